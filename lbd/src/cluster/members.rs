//! `lbd members`: the controllers and speakers of a cluster, and what they answer for.

use std::io::Write;

use super::report::{MemberReport, MemberState, Report};
use super::status::BOLD;
use super::{ago, ask, or_dash};
use crate::cli::{Format, ShownArguments};
use crate::columns::{fitted, terminal_width};
use crate::exit::Outcome;
use crate::offline::print_json;

pub(crate) fn main(arguments: &ShownArguments) -> Outcome {
    let report = Report::of(&ask(&arguments.ask)?);
    match arguments.output {
        Format::Json => print_json(&report.members)?,
        Format::Text => {
            let mut out = anstream::stdout().lock();
            if report.members.is_empty() {
                writeln!(out, "No speaker is to be seen.")?;
            }
            let lines = lines(&report, terminal_width());
            if let (Some((header, rest)), false) = (lines.split_first(), report.members.is_empty()) {
                writeln!(out, "{BOLD}{header}{BOLD:#}")?;
                rest.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            }
        }
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
            _ => or_dash(member.not_heard_by.join(",")),
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
