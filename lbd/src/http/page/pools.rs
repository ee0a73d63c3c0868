//! Pools as bars, and the Services that want addresses of them.

use lbk8s::controller::view::{PoolView, Standing, State, UseView};

use super::html::{Cell, Escaped, Row, add, table};
use crate::attention::{number, percent};

/// Pools that are shown at once.
const POOLS: usize = 100;

/// Each pool's use, with a bar of it for each family.
pub(super) fn bars(pools: &[PoolView], words: &str) -> String {
    if pools.is_empty() {
        return "<p class=\"none\">There is no pool: no Service gets an address.</p>".to_owned();
    }
    let has_words = |pool: &&PoolView| {
        let ranges = pool.ranges.iter().any(|range| range.contains(words));
        words.is_empty() || ranges || pool.name.to_lowercase().contains(words)
    };
    let mut html = String::from("<ul class=\"pools\">");
    for pool in pools.iter().filter(has_words).take(POOLS) {
        let ranges = pool.ranges.join(", ");
        add(
            &mut html,
            format_args!("<li><h3>{}</h3><p class=\"ranges\">{}</p>", Escaped(&pool.name), Escaped(ranges)),
        );
        for (family, used) in [("IPv4", &pool.ipv4), ("IPv6", &pool.ipv6)] {
            if let Some(used) = used {
                html += &bar(family, used);
            }
        }
        html += "</li>";
    }
    let shown = pools.iter().filter(has_words).count();
    html += "</ul>";
    if shown < pools.len() || shown > POOLS {
        add(&mut html, format_args!("<p class=\"more\">{} of {} pools.</p>", shown.min(POOLS), pools.len()));
    }
    html
}

fn bar(family: &str, used: &UseView) -> String {
    let share = percent(used.used, used.total);
    let apart = [(used.reserved, "kept by name"), (used.avoided, "avoided")];
    let apart = apart.into_iter().filter(|(count, _)| *count > 0);
    let apart = apart.map(|(count, what)| format!(", {count} {what}")).collect::<Vec<_>>().concat();
    let kept = percent(used.reserved.saturating_add(used.avoided), used.total);
    let fullness = if used.is_nearly_full() { "bar full" } else { "bar" };
    let said = match used.used {
        1.. if share < 1.0 => "under 1 %".to_owned(),
        _ => format!("{share:.0} %"),
    };
    // Nobody sees less than this.
    let share = if used.used > 0 { share.max(0.8) } else { 0.0 };
    // Shapes have their widths as attributes: no style is allowed in a tag.
    format!(
        "<p class=\"use\"><b>{family}</b> {} of {} in use ({said}), {} free{apart}</p>\
         <svg class=\"{fullness}\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"all\" width=\"100\" height=\"4\"/><rect class=\"used\" width=\"{share:.2}\" height=\"4\"/>\
         <rect class=\"kept\" x=\"{share:.2}\" width=\"{kept:.2}\" height=\"4\"/></svg>",
        number(used.used),
        number(used.total),
        number(used.free),
    )
}

/// The Services that ask for an address.
pub(super) fn services(services: &[Standing], words: &str) -> String {
    let row = |it: &Standing| {
        let addresses: Vec<String> = it.held.iter().map(|held| held.address.to_string()).collect();
        let mut pools: Vec<&str> = it.held.iter().map(|held| held.pool.as_str()).collect();
        pools.dedup();
        let (state, wrong) = match it.state {
            State::Served => ("served", false),
            State::Pending => ("pending", true),
            State::Unclear => ("unclear", true),
        };
        let why = match (&it.text, it.held.first()) {
            (Some(text), _) => Cell::text(text),
            (None, Some(held)) => Cell::text(&held.text),
            (None, None) => Cell::or_dash(None::<&str>),
        };
        let some = |all: String| Cell::or_dash(Some(all).filter(|all| !all.is_empty()));
        let cells = vec![
            Cell::text(&it.service),
            Cell::Mark(state, wrong),
            some(addresses.join(", ")),
            some(pools.join(", ")),
            why,
        ];
        Row { wrong, cells }
    };
    let headings = ["Service", "State", "Addresses", "Pool", "Why"];
    table(&headings, services.iter().map(row), words, "No Service asks for an address.")
}
