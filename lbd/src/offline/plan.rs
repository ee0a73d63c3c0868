//! `lbd plan`: what every Service would get, and why.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use lbk8s::objects::Severity;
use lbk8s::offline::report::{
    ChangesReport, Outcome as Word, PoolReport, ProblemReport, Report, ServiceReport,
};
use lbk8s::offline::{Finding, World};

use super::{load, print_json, read, summary, verdict};
use crate::cli::{Format, PlanArguments};
use crate::cluster::manifests;
use crate::cluster::running::Said;
use crate::columns::{columns, harmless};
use crate::exit::{Failure, Outcome};
use crate::offline;

const BOLD: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARN: Style = AnsiColor::Yellow.on_default().bold();

pub(crate) fn main(arguments: &PlanArguments) -> Outcome {
    if !arguments.cluster && arguments.server.is_given() {
        return Err(Failure::WithoutCluster);
    }
    let report = if arguments.cluster {
        let namespace = &arguments.world.namespace;
        let before = manifests::read(&arguments.server, namespace)?;
        let after = manifests::applied(&before, load(&arguments.files)?, namespace);
        let said = Said::in_cluster(&arguments.server, namespace)?;
        for why in said.unasked.iter().filter(|_| said.rules.is_none()) {
            let unknown = "so that --lb-class and --lost-addresses count, and not what it was started with";
            writeln!(anstream::stderr(), "lbd: {}, {unknown}", harmless(why))?;
        }
        let world = arguments.world.or_as(said.rules.as_ref());
        changes(&offline::world(before, &world), &offline::world(after, &world))
    } else if arguments.against.is_empty() {
        let world = read(&arguments.files, &arguments.world)?;
        let plan = world.facts().plan();
        Report::new(&world, &plan, &world.findings(&plan, false))
    } else {
        let world = read(&arguments.files, &arguments.world)?;
        changes(&read(&arguments.against, &arguments.world)?, &world)
    };
    match arguments.output {
        Format::Json => print_json(&report)?,
        Format::Text => print(&report)?,
    }
    verdict(report.has_problems(arguments.strict))
}

/// What another world has in its place, and what changes by it.
fn changes(before: &World, after: &World) -> Report {
    let planned = before.facts().plan();
    // What Services have in the one world is what they hold when the other one comes.
    let plan = after.facts().clone().after(&planned).plan();
    // What cannot be read of the one would show as new in the other.
    let findings: Vec<Finding> = before.of_files().into_iter().chain(after.findings(&plan, false)).collect();
    Report::new(after, &plan, &findings).with_changes(&plan.against(&planned))
}

fn print(report: &Report) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let header = |text: &str| format!("{BOLD}{text}{BOLD:#}");
    let mut sections: Vec<Vec<String>> = Vec::new();
    if let Some(changes) = &report.changes {
        sections.push(std::iter::once(header("CHANGES")).chain(changed(changes)).collect());
    }
    let mut table = |lines: Vec<String>| {
        let mut lines = lines.into_iter();
        let first = lines.next().map(|line| header(&line));
        sections.push(first.into_iter().chain(lines).collect());
    };
    table(services(&report.services));
    table(pools(&report.pools));
    if !report.problems.is_empty() {
        sections.push(report.problems.iter().map(problem).collect());
    }
    let text: Vec<String> = sections.iter().map(|section| section.join("\n")).collect();
    writeln!(out, "{}\n", text.join("\n\n"))?;
    let count = |severity| report.problems.iter().filter(|it| it.severity == severity).count();
    let problems = summary(count(Severity::Error), count(Severity::Warning));
    writeln!(out, "{}. {problems}.", outcomes(&report.services))
}

fn services(services: &[ServiceReport]) -> Vec<String> {
    let header = ["SERVICE", "OUTCOME", "ADDRESSES", "POOLS", "WHY"].map(str::to_owned);
    let row = |service: &ServiceReport| {
        let mut pools: Vec<&str> = service.addresses.iter().map(|it| it.pool.as_str()).collect();
        pools.dedup();
        let pools = if pools.is_empty() { "-".to_owned() } else { pools.join(",") };
        [
            format!("{}/{}", service.namespace, service.name),
            word(service.outcome).to_owned(),
            addresses(service),
            pools,
            service.reason.message.clone(),
        ]
    };
    columns(&std::iter::once(header).chain(services.iter().map(row)).collect::<Vec<_>>())
}

/// The addresses of a Service, or a dash.
pub(super) fn addresses(service: &ServiceReport) -> String {
    let addresses: Vec<&str> = service.addresses.iter().map(|it| it.ip.as_str()).collect();
    if addresses.is_empty() { "-".to_owned() } else { addresses.join(",") }
}

pub(super) fn word(outcome: Word) -> &'static str {
    match outcome {
        Word::Assigned => "assigned",
        Word::Kept => "kept",
        Word::Pending => "pending",
        Word::Refused => "refused",
        Word::Ignored => "ignored",
    }
}

/// A family that a pool does not have is left out.
fn pools(pools: &[PoolReport]) -> Vec<String> {
    let header = ["POOL", "FAMILY", "TOTAL", "ASSIGNED", "AVAILABLE"].map(str::to_owned);
    let rows = pools.iter().flat_map(|pool| {
        [("IPv4", &pool.ipv4), ("IPv6", &pool.ipv6)].into_iter().filter(|(_, count)| count.total != "0").map(
            |(family, count)| {
                let name = pool.name.clone();
                let [total, assigned, available] =
                    [&count.total, &count.assigned, &count.available].map(Clone::clone);
                [name, family.to_owned(), total, assigned, available]
            },
        )
    });
    columns(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

fn problem(problem: &ProblemReport) -> String {
    let (style, word) = match problem.severity {
        Severity::Error => (ERROR, "error"),
        Severity::Warning => (WARN, "warning"),
    };
    let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
    let place = problem.file.as_ref().map(|file| format!("{file}{line}: ")).unwrap_or_default();
    let object = match (problem.kind.as_str(), problem.namespace.as_str()) {
        ("File", _) => return format!("{style}{word}{style:#}: {place}{}", problem.message),
        (kind, "") => format!("{kind} {}", problem.name),
        (kind, namespace) => format!("{kind} {namespace}/{}", problem.name),
    };
    format!("{style}{word}{style:#}: {place}{object}: {}: {}", problem.path, problem.message)
}

/// `4 Services: 3 assigned, 1 pending`.
fn outcomes(services: &[ServiceReport]) -> String {
    let all = [Word::Assigned, Word::Kept, Word::Pending, Word::Refused, Word::Ignored];
    let counted =
        all.map(|outcome| (services.iter().filter(|it| it.outcome == outcome).count(), word(outcome)));
    let parts: Vec<String> = counted
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    match services.len() {
        0 => "No Services".to_owned(),
        1 => format!("1 Service: {}", parts.join(", ")),
        count => format!("{count} Services: {}", parts.join(", ")),
    }
}

fn changed(changes: &ChangesReport) -> Vec<String> {
    let list = |addresses: &[String]| if addresses.is_empty() { "-".to_owned() } else { addresses.join(",") };
    let service = |change: &lbk8s::offline::report::ServiceChangeReport| {
        [
            change.change.to_owned(),
            format!("{}/{}", change.namespace, change.name),
            format!("{} -> {}", list(&change.before), list(&change.after)),
            change.reason.as_ref().map(|reason| reason.message.clone()).unwrap_or_default(),
        ]
    };
    let pool = |change: &lbk8s::offline::report::PoolChangeReport| {
        let wanting = change.wanting.map(|count| format!("Services that find it full: {count}"));
        [
            change.change.to_owned(),
            format!("pool {:?}", change.name),
            wanting.unwrap_or_default(),
            String::new(),
        ]
    };
    let rows: Vec<[String; 4]> =
        changes.services.iter().map(service).chain(changes.pools.iter().map(pool)).collect();
    if rows.is_empty() { vec!["nothing".to_owned()] } else { columns(&rows) }
}
