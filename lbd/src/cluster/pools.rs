//! `lbd pools`: the pools of a cluster, and how full they are.

use std::io::Write;

use lbk8s::controller::view::{PoolView, UseView};

use super::ask;
use super::report::Report;
use super::status::BOLD;
use crate::attention::{number, percent};
use crate::cli::{Format, ShownArguments};
use crate::columns::{fitted, terminal_width};
use crate::exit::{Failure, Outcome};
use crate::offline::print_json;

/// How long the bar of a pool is.
const BAR: usize = 20;

pub(crate) fn main(arguments: &ShownArguments) -> Outcome {
    let report = Report::of(&ask(&arguments.ask)?);
    match arguments.output {
        Format::Json => print_json(&report.pools)?,
        Format::Text => {
            let mut out = anstream::stdout().lock();
            let unread = report.problems.iter().find(|it| it.text.starts_with("The IPAddressPools"));
            if let (true, Some(unread)) = (report.pools.is_empty(), unread) {
                writeln!(out, "{}", unread.text)?;
                return Err(Failure::Found);
            }
            if report.pools.is_empty() {
                writeln!(out, "There is no pool: no Service gets an address.")?;
            } else {
                let lines = lines(&report.pools, terminal_width());
                let (header, rest) = lines.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
                writeln!(out, "{BOLD}{header}{BOLD:#}")?;
                rest.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            }
            for problem in report.problems.iter().filter(|it| it.text.starts_with("Pool ")) {
                writeln!(out, "{}: {}", problem.severity.word(), problem.text)?;
            }
        }
    }
    Ok(())
}

/// A line for each family of each pool.
pub(super) fn lines(pools: &[PoolView], width: Option<usize>) -> Vec<String> {
    let header = ["POOL", "FAMILY", "USE", "USED", "FREE", "KEPT", "RANGES"].map(str::to_owned);
    let rows = pools.iter().flat_map(|pool| {
        let of = |family: &str, used: &UseView| {
            [
                pool.name.clone(),
                family.to_owned(),
                bar(used),
                format!("{} of {}", number(used.used), number(used.total)),
                number(used.free),
                number(used.reserved.saturating_add(used.avoided)),
                pool.ranges.join(","),
            ]
        };
        let ipv4 = pool.ipv4.as_ref().map(|used| of("IPv4", used));
        ipv4.into_iter().chain(pool.ipv6.as_ref().map(|used| of("IPv6", used)))
    });
    fitted(&std::iter::once(header).chain(rows).collect::<Vec<_>>(), width, &[6, 5, 2])
}

/// What is used, and what is kept by name or avoided, of the whole.
fn bar(used: &UseView) -> String {
    let parts = |count: u128| {
        let steps = u32::try_from(BAR).unwrap_or(1);
        let filled = (1..=steps)
            .filter(|part| percent(count, used.total) >= 100.0 * f64::from(*part) / f64::from(steps));
        // What is there at all is to be seen.
        if count > 0 { filled.count().max(1) } else { 0 }
    };
    let full = parts(used.used);
    let kept = parts(used.reserved.saturating_add(used.avoided)).min(BAR - full);
    format!("[{}{}{}]", "#".repeat(full), "+".repeat(kept), ".".repeat(BAR - full - kept))
}
