//! `lbd status`: what needs attention first, then controllers, speakers, pools and Services.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use k8s_openapi::jiff::Timestamp;
use lbk8s::controller::view::State;

use super::found::Source;
use super::report::{AddressReport, Report, ServiceReport};
use super::{ago, ask, members, or_dash, pause, pools, run};
use crate::attention::Weight;
use crate::cli::{Format, StatusArguments};
use crate::columns::{fitted, terminal_width, wrapped};
use crate::exit::{Failure, Outcome};
use crate::offline::print_json;

pub(super) const BOLD: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default();

/// Problems that are shown at once.
const SHOWN: usize = 50;

pub(crate) fn main(arguments: &StatusArguments) -> Outcome {
    if arguments.watch {
        return run(watch(arguments));
    }
    let report = Report::of(&ask(&arguments.shown.ask)?);
    print(&report, arguments.shown.output)?;
    // What was found out has been shown: nothing.
    if report.blind { Err(Failure::Found) } else { Ok(()) }
}

fn print(report: &Report, format: Format) -> io::Result<()> {
    match format {
        Format::Json => print_json(report),
        Format::Text => anstream::stdout().lock().write_all(text(report, terminal_width()).as_bytes()),
    }
}

/// On a terminal in its place; elsewhere one after the other, whenever something has changed.
async fn watch(arguments: &StatusArguments) -> Outcome {
    let source = Source::of(&arguments.shown.ask).await?;
    let in_place = io::stdout().is_terminal() && arguments.shown.output == Format::Text;
    let mut last = String::new();
    loop {
        let began = Instant::now();
        match source.ask().await {
            Ok(found) => {
                let mut report = Report::of(&found);
                let at = std::mem::replace(&mut report.at, Timestamp::UNIX_EPOCH);
                // How long ago something was is no change.
                let now = serde_json::to_string(&report).map_err(io::Error::other)?;
                report.at = at;
                match arguments.shown.output {
                    Format::Text if in_place => redraw(&text(&report, terminal_width()))?,
                    _ if now == last => {}
                    Format::Text => print(&report, Format::Text)?,
                    Format::Json => {
                        let line = serde_json::to_string(&report).map_err(io::Error::other)?;
                        writeln!(io::stdout(), "{line}")?;
                    }
                }
                last = now;
            }
            // It may come back.
            Err(failure) => writeln!(anstream::stderr(), "lbd: {failure}; asking again")?,
        }
        tokio::time::sleep(pause(began.elapsed())).await;
    }
}

/// Writes over what was there, line by line, so that nothing flickers; as much of it as there is room for.
fn redraw(text: &str) -> io::Result<()> {
    // What moves the cursor is no colour, and stays where those are not wanted.
    let mut out = io::stdout().lock();
    let height = ratatui::crossterm::terminal::size().map_or(usize::MAX, |(_, height)| height.into());
    write!(out, "\x1b[H")?;
    for (number, line) in text.lines().take(height.saturating_sub(1)).enumerate() {
        let end = if number == 0 { "" } else { "\n" };
        write!(out, "{end}")?;
        write!(anstream::AutoStream::auto(&mut out), "{line}")?;
        write!(out, "\x1b[K")?;
    }
    write!(out, "\n\x1b[J")?;
    out.flush()
}

/// The whole, for people.
pub(super) fn text(report: &Report, width: Option<usize>) -> String {
    let mut text = problems(report, width);
    let mut section = |lines: Vec<String>| {
        let mut lines = lines.into_iter();
        if let Some(header) = lines.next() {
            let _ = writeln!(text, "\n{BOLD}{header}{BOLD:#}");
        }
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
    };
    if !report.controllers.is_empty() {
        section(members::controllers(report, width));
    }
    if !report.members.is_empty() {
        section(members::lines(report, width));
    }
    if !report.pools.is_empty() {
        section(pools::lines(&report.pools, width));
    }
    section(services(report, width));
    text
}

fn problems(report: &Report, width: Option<usize>) -> String {
    let mut text = String::new();
    for problem in report.problems.iter().take(SHOWN) {
        let style = match problem.severity {
            Weight::Error => ERROR,
            Weight::Warning => WARNING,
            Weight::Note => NOTE,
        };
        let word = problem.severity.word();
        let _ = writeln!(text, "{style}{word:<7}{style:#}  {}", wrapped(&problem.text, width, 9));
    }
    if let Some(more @ 1..) = report.problems.len().checked_sub(SHOWN) {
        let _ = writeln!(text, "{more} more are not shown; -o json has all.");
    }
    if report.problems.is_empty() && !report.blind {
        let _ = writeln!(text, "{GOOD}Nothing needs attention.{GOOD:#}");
    }
    if report.services.iter().any(|service| service.state != State::Served) {
        let _ =
            writeln!(text, "{}", wrapped("lbd explain NAMESPACE/NAME says why a Service waits.", width, 0));
    }
    text
}

/// Each address of each Service; those without one first.
fn services(report: &Report, width: Option<usize>) -> Vec<String> {
    if report.blind {
        return vec!["Nobody could be asked for Services.".to_owned()];
    }
    if report.services.is_empty() {
        return vec!["No Service asks for an address.".to_owned()];
    }
    let header = ["SERVICE", "ADDRESS", "POOL", "NODE", "INTERFACE", "MAC", "SINCE"].map(str::to_owned);
    let mut rows = vec![header];
    let (served, waiting): (Vec<&ServiceReport>, Vec<&ServiceReport>) =
        report.services.iter().partition(|service| !service.addresses.is_empty());
    for service in waiting {
        let state = match service.state {
            State::Unclear => "<unclear>",
            State::Served | State::Pending => "<pending>",
        };
        let nothing = || "-".to_owned();
        rows.push([
            service.service.clone(),
            state.to_owned(),
            nothing(),
            nothing(),
            nothing(),
            nothing(),
            nothing(),
        ]);
    }
    for service in served {
        rows.extend(service.addresses.iter().map(|address| row(&service.service, address, report)));
    }
    // Who answers is what is looked for; where, and since when, explain tells too.
    fitted(&rows, width, &[5, 2, 4, 6])
}

/// The node that answers, as far as that is known.
pub(super) fn nobody_or(address: &AddressReport) -> String {
    let nobody = if address.unanswered { "<nobody>" } else { "?" };
    address.node.clone().unwrap_or_else(|| nobody.to_owned())
}

fn row(service: &str, address: &AddressReport, report: &Report) -> [String; 7] {
    let names: Vec<&str> = address.interfaces.iter().map(|it| &*it.name).collect();
    let mut macs: Vec<&str> = address.interfaces.iter().filter_map(|it| it.mac.as_deref()).collect();
    macs.dedup();
    [
        service.to_owned(),
        address.address.to_string(),
        or_dash(address.pool.clone()),
        nobody_or(address),
        or_dash(names.join(",")),
        or_dash(macs.join(",")),
        or_dash(address.since.map(|since| ago(since, report.at)).unwrap_or_default()),
    ]
}
