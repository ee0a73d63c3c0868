//! `lbd members`: the controllers and speakers of a cluster, and what they answer for.

use super::report::{MemberReport, MemberState, Report};
use super::{ago, ask, nothing, or_dash, print};
use crate::cli::{Format, ShownArguments};
use crate::columns::{fitted, terminal_width};
use crate::exit::Outcome;
use crate::offline::print_json;

pub(crate) fn main(arguments: &ShownArguments) -> Outcome {
    let report = Report::of(&ask(&arguments.ask)?);
    if report.members.is_empty() {
        return nothing(&report, "No speaker is to be seen.");
    }
    match arguments.output {
        Format::Json => print_json(&report.members)?,
        Format::Text => print(&lines(&report, terminal_width()))?,
    }
    Ok(())
}

/// A line for each node.
pub(super) fn lines(report: &Report, width: Option<usize>) -> Vec<String> {
    let header = ["NODE", "SPEAKER", "ADDRESSES", "NOT HEARD BY", "STARTED", "INTERFACES"].map(str::to_owned);
    let row = |member: &MemberReport| {
        let interfaces = member.interfaces.iter().map(|it| {
            let deaf = if it.heard { "" } else { " (not heard)" };
            format!("{} {}{deaf}", it.name, it.mac)
        });
        let not_heard = match member.state {
            MemberState::Unknown => "?".to_owned(),
            _ => not_heard(&member.not_heard_by),
        };
        [
            member.node.clone(),
            member.state.word().to_owned(),
            or_dash(member.addresses.map(|count| count.to_string()).unwrap_or_default()),
            not_heard,
            or_dash(member.started.map(|started| ago(started, report.at)).unwrap_or_default()),
            or_dash(interfaces.collect::<Vec<_>>().join(", ")),
        ]
    };
    fitted(&std::iter::once(header).chain(report.members.iter().map(row)).collect::<Vec<_>>(), width, &[5, 4])
}

/// The first few; at a thousand nodes a dead one is not heard by a thousand.
fn not_heard(nodes: &[String]) -> String {
    match nodes {
        [a, b, c, rest @ ..] if !rest.is_empty() => format!("{a},{b},{c} and {} more", rest.len()),
        _ => or_dash(nodes.join(",")),
    }
}

/// A line for each controller.
pub(super) fn controllers(report: &Report, width: Option<usize>) -> Vec<String> {
    let header = ["CONTROLLER", "STATE", "SINCE"].map(str::to_owned);
    let rows = report.controllers.iter().map(|controller| {
        let state = match (controller.leader, controller.ready) {
            (Some(true), Some(true)) => "gives addresses",
            (Some(true), _) => "waits",
            (Some(false), _) => "stands by",
            (None, _) => "unknown",
        };
        let since = controller.since.map(|since| ago(since, report.at)).unwrap_or_default();
        [controller.name.clone(), state.to_owned(), or_dash(since)]
    });
    fitted(&std::iter::once(header).chain(rows).collect::<Vec<_>>(), width, &[2])
}
