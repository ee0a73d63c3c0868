//! `lbd explain` of a cluster: why a Service has its address or waits, why this node answers and not that one, and what the
//! LAN says.

use std::io::{self, Write};
use std::net::IpAddr;

use futures::future::join_all;
use lbk8s::manifest::Manifests;
use lbk8s::offline::explain::Explanation;
use lbk8s::speaker::view::{AddressExplained, CandidateView};
use lbk8s::suggest;
use serde::Serialize;

use super::found::{Found, Source};
use super::history::{self, explained};
use super::reach::{Process, Silence};
use super::report::{AddressReport, Report, ServiceReport};
use super::status::BOLD;
use super::{ago, manifests, run};
use crate::cli::{ExplainArguments, Format};
use crate::columns::{columns, harmless, terminal_width, wrapped};
use crate::exit::{Failure, Outcome};
use crate::offline;
use crate::wire::whohas;

/// All that is known of a Service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    #[serde(flatten)]
    service: ServiceReport,
    owners: Vec<Answered>,
    /// Which pools would be looked at if it asked now; nothing where no API server is asked.
    pools: Option<Explanation>,
    /// Who could not be asked.
    unasked: Vec<String>,
}

/// An address of the Service.
#[derive(Debug, Serialize)]
struct Answered {
    address: IpAddr,
    /// As a speaker sees it; nothing if none could be asked.
    ownership: Option<AddressExplained>,
    lan: Lan,
}

/// What the LAN says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Lan {
    /// The node that asked; it is not the owner.
    asked_by: Option<String>,
    found: Option<whohas::Found>,
    /// Why nothing was found out.
    why: Option<String>,
}

/// `lbd explain` without files.
pub(crate) fn explain(arguments: &ExplainArguments) -> Outcome {
    let (explained, report) = run(of(arguments))?;
    match arguments.output {
        Format::Json => offline::print_json(&explained)?,
        Format::Text => print(&explained, &report)?,
    }
    Ok(())
}

async fn of(arguments: &ExplainArguments) -> Result<(Explained, Report), Failure> {
    let source = Source::at(&arguments.at, &arguments.server, arguments.world.namespace.clone()).await?;
    let (found, objects) = tokio::join!(source.ask(), objects(&source));
    let found = found?;
    let mut unasked: Vec<String> = found.silent().collect();
    let objects = objects.unwrap_or_else(|failure| {
        unasked.push(format!("The objects cannot be read: {failure}"));
        None
    });
    let rules = found.leader().and_then(|leader| leader.status.rules.as_ref());
    let world = arguments.world.or_as(rules);
    let pools = objects.and_then(|objects| offline::world(objects, &world).explain(&arguments.service));
    let mut report = Report::of(&found);
    let name = arguments.service.to_string();
    let Some(at) = report.services.iter().position(|service| service.service == name) else {
        return Err(no_such_service(name, pools.as_ref(), &report, &unasked));
    };
    let service = report.services.swap_remove(at);
    // Those that were silent a moment ago are not waited for again.
    let spoke = found.speakers.iter().filter(|asked| asked.said.is_ok());
    let processes: Vec<Process> = spoke.map(|asked| asked.process.clone()).collect();
    let addresses = service.addresses.iter().map(|address| answered(&processes, address, &found));
    let addresses = join_all(addresses).await;
    Ok((Explained { service, owners: addresses, pools, unasked }, report))
}

/// The objects of the API server, if it is asked.
async fn objects(source: &Source) -> Result<Option<Manifests>, Failure> {
    let Some(server) = source.server() else { return Ok(None) };
    manifests::of(server, source.namespace()).await.map(Some)
}

fn no_such_service(
    name: String,
    pools: Option<&Explanation>,
    report: &Report,
    unasked: &[String],
) -> Failure {
    if pools.is_some() {
        return Failure::NotOurs(name);
    }
    if let Some(why) = unasked.first() {
        return Failure::NotKnown { name, why: why.clone() };
    }
    let known = report.services.iter().map(|service| service.service.as_str());
    let hint = suggest::hint(suggest::nearest(&name, known));
    Failure::NoSuchService { name, hint }
}

async fn answered(processes: &[Process], address: &AddressReport, found: &Found) -> Answered {
    let all = explained(processes, address.address).await.unwrap_or_default();
    let owner = address.node.as_deref();
    let node_of = |process: &Process| {
        let asked = found.speakers.iter().find(|asked| asked.process.name == process.name);
        asked.and_then(|asked| asked.said.as_ref().ok()).map(|speaker| speaker.status.node.clone())
    };
    let with_nodes: Vec<_> = all.into_iter().map(|(process, it)| (process, node_of(process), it)).collect();
    let lan = ask_lan(address.address, owner, &with_nodes).await;
    let mut with_nodes = with_nodes;
    // The owner knows best.
    with_nodes.sort_by_key(|(_, node, _)| node.as_deref() != owner);
    let ownership = with_nodes.into_iter().next().map(|(_, _, explained)| explained);
    Answered { address: address.address, ownership, lan }
}

/// A host does not hear its own questions, so that the owner is the last to be asked.
async fn ask_lan(
    address: IpAddr,
    owner: Option<&str>,
    speakers: &[(&Process, Option<String>, AddressExplained)],
) -> Lan {
    let silent = |why: &str| Lan { asked_by: None, found: None, why: Some(why.to_owned()) };
    let others = speakers.iter().filter(|(_, node, _)| node.as_deref() != owner);
    let in_subnet = |(_, node, explained): &&(&Process, Option<String>, AddressExplained)| {
        explained.candidates.iter().any(|it| Some(&it.node) == node.as_ref() && it.in_subnet)
    };
    let asking = others.clone().find(in_subnet).or_else(|| others.clone().next());
    let Some((process, node, _)) = asking else {
        return silent("no speaker but the owner's can be asked; lbd whohas asks from any host of the LAN");
    };
    match process.get::<whohas::Found>(&format!("/v1/lan/{address}")).await {
        Ok(found) => Lan { asked_by: node.clone(), found: Some(found), why: None },
        Err(Silence::NotThere) => silent("its speakers are of a version that cannot be asked for it"),
        Err(Silence::Forbidden(why) | Silence::Failed(why)) => silent(&why),
    }
}

fn print(explained: &Explained, report: &Report) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let width = terminal_width();
    let service = &explained.service;
    let named = |it: &AddressReport| format!("{} of pool {:?}", it.address, it.pool);
    let addresses: Vec<String> = service.addresses.iter().map(named).collect();
    let has = if addresses.is_empty() {
        "has no address".to_owned()
    } else {
        format!("has {}", addresses.join(" and "))
    };
    let given: Vec<&str> = service.addresses.iter().filter_map(|it| it.given.as_deref()).collect();
    let why = match &service.text {
        Some(text) => {
            let reason = service.reason.as_ref().map(|reason| format!(" ({reason})"));
            format!("{}: {text}", reason.unwrap_or_default())
        }
        None if given.is_empty() => String::new(),
        None => format!(": {}", given.join("; ")),
    };
    writeln!(
        out,
        "{BOLD}{}{BOLD:#} {}",
        harmless(&service.service),
        wrapped(&format!("{has}{why}"), width, 0)
    )?;
    for (address, answered) in service.addresses.iter().zip(&explained.owners) {
        print_address(&mut out, address, answered, report, width)?;
    }
    for why in &explained.unasked {
        writeln!(out, "\n{}", wrapped(why, width, 2))?;
    }
    if let Some(pools) = &explained.pools {
        offline::explain::print_pools(&mut out, pools)?;
    }
    Ok(())
}

fn print_address(
    out: &mut impl Write,
    address: &AddressReport,
    answered: &Answered,
    report: &Report,
    width: Option<usize>,
) -> io::Result<()> {
    let on: Vec<String> = address
        .interfaces
        .iter()
        .map(|it| it.mac.as_ref().map_or_else(|| it.name.clone(), |mac| format!("{} ({mac})", it.name)))
        .collect();
    let on = if on.is_empty() { String::new() } else { format!(" on {}", on.join(" and ")) };
    let since = address.since.map(|since| format!(", for {}", ago(since, report.at))).unwrap_or_default();
    let why = address.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let said = match &address.node {
        Some(node) => format!("is answered by node {node}{on}{since}{why}"),
        None if address.unanswered => format!("is answered by nobody{why}"),
        None => "is answered by nobody who could be asked".to_owned(),
    };
    writeln!(out, "\n{BOLD}{}{BOLD:#} {}", address.address, wrapped(&said, width, 0))?;
    if let Some(ownership) = &answered.ownership {
        let candidates = ownership.candidates.iter().map(|it| [it.node.clone(), candidate(it, address)]);
        let passed = ownership
            .passed_over
            .iter()
            .map(|it| [it.node.clone(), format!("cannot; {} ({})", it.text, it.reason.word())]);
        let rows: Vec<[String; 2]> = candidates.chain(passed).collect();
        writeln!(out, "  Nodes, best first:")?;
        let indent = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0) + 6;
        for line in columns(&rows) {
            writeln!(out, "    {}", wrapped(&line, width, indent))?;
        }
        if let Some(apart) = &ownership.apart {
            writeln!(out, "  {}", wrapped(apart, width, 2))?;
        }
        if ownership.history.len() > 1 {
            writeln!(out, "  Before:")?;
            let before = &ownership.history[..ownership.history.len() - 1];
            for line in history::lines(before, width.map(|width| width.saturating_sub(2))).iter().skip(1) {
                writeln!(out, "    {line}")?;
            }
        }
    }
    writeln!(out, "  {}", wrapped(&lan(&answered.lan, address), width, 2))
}

fn candidate(it: &CandidateView, address: &AddressReport) -> String {
    let mut facts = Vec::new();
    let mut tell = |is: bool, fact: &str| {
        if is {
            facts.push(fact.to_owned());
        }
    };
    tell(!it.in_subnet, "not in the address's subnet");
    tell(!it.ready, "without a ready endpoint");
    tell(!it.fits_all, "not for both families");
    tell(!it.heard, "not heard on the LAN");
    tell(it.last_choice, "drained");
    tell(it.leaving, "leaving");
    if it.weight != 0 {
        facts.push(format!("preferred by {}", it.weight));
    }
    facts.push(match it.load {
        1 => "has 1 address".to_owned(),
        load => format!("has {load} addresses"),
    });
    let verb = if address.node.as_ref() == Some(&it.node) { "answers" } else { "could" };
    format!("{verb}; {}", facts.join(", "))
}

fn lan(lan: &Lan, address: &AddressReport) -> String {
    let Some(found) = &lan.found else {
        return format!("The LAN was not asked: {}.", lan.why.as_deref().unwrap_or("nobody could ask it"));
    };
    let by = lan.asked_by.as_deref().unwrap_or("a speaker");
    let expected: Vec<&str> = address.interfaces.iter().filter_map(|it| it.mac.as_deref()).collect();
    let station = |mac: &str| match &address.node {
        Some(node) if expected.contains(&mac) => format!("{mac}, which is {node}'s"),
        _ if expected.is_empty() => mac.to_owned(),
        _ => format!("{mac}, which is not the owner's"),
    };
    let macs: Vec<String> = found.macs().into_iter().map(station).collect();
    let on = found.asked_on.join(", ");
    match &macs[..] {
        [] => format!("The LAN, asked by {by} on {on}: NOBODY ANSWERS."),
        [one] => format!("The LAN, asked by {by} on {on}: {one}, and nobody else."),
        several => format!("The LAN, asked by {by} on {on}: SEVERAL ANSWER: {}.", several.join("; ")),
    }
}
