//! `lbd pools`: the pools of a cluster, and how full they are.

use lbk8s::controller::view::{PoolView, UseView};

use super::report::Report;
use super::{ask, nothing, or_dash, print};
use crate::attention::{number, percent};
use crate::cli::{Format, ShownArguments};
use crate::columns::{fitted, terminal_width};
use crate::exit::Outcome;
use crate::offline::print_json;

/// How long the bar of a pool is.
const BAR: usize = 20;

pub(crate) fn main(arguments: &ShownArguments) -> Outcome {
    let report = Report::of(&ask(&arguments.ask)?);
    if report.pools.is_empty() {
        return nothing(&report, "There is no pool: no Service gets an address.");
    }
    match arguments.output {
        Format::Json => print_json(&report.pools)?,
        Format::Text => print(&lines(&report.pools, terminal_width()))?,
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
        let families = [("IPv4", &pool.ipv4), ("IPv6", &pool.ipv6)];
        let mut rows: Vec<_> =
            families.into_iter().filter_map(|(family, used)| Some(of(family, used.as_ref()?))).collect();
        if rows.is_empty() {
            // Nothing is known of its use, or it has no address that may be given.
            let mut row = [const { String::new() }; 7].map(or_dash);
            (row[0], row[6]) = (pool.name.clone(), or_dash(pool.ranges.join(",")));
            rows.push(row);
        }
        rows
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
