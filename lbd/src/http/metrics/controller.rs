//! The metrics of a controller.

use lbk8s::controller::ControllerStatus;
use lbk8s::controller::view::{PoolView, UseView};

use super::{Labels, Metrics};

#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
pub(super) fn register(metrics: &mut Metrics<'_>, status: &ControllerStatus) {
    metrics.gauge("leader", "Whether this controller gives addresses", status.leader.into());
    let help = "Whether the API server has told of everything, so that addresses are given";
    metrics.gauge("ready", help, status.ready.into());
    let mut pools = |name: &str, help: &str, of: fn(&UseView) -> u128| {
        let values = status.pools.iter().flat_map(families);
        metrics.gauges(name, help, values.map(|(labels, used)| (labels, of(&used) as f64)));
    };
    pools("pool_addresses", "Addresses of a pool that may be given", |it| it.total);
    pools("pool_used_addresses", "Those that Services hold", |it| it.used);
    pools("pool_reserved_addresses", "Those that are kept for Services by name", |it| it.reserved);
    pools("pool_avoided_addresses", "Those that belong to nodes, gateways and others", |it| it.avoided);
    pools("pool_free_addresses", "Those that any Service can get", |it| it.free);
    let services = &status.services;
    let by_state =
        [("served", services.served), ("pending", services.pending), ("unclear", services.unclear)]
            .map(|(state, count)| (vec![("state", state.to_owned())], count as f64));
    metrics.gauges("services", "Services that ask for an address, by what became of it", by_state);
    let reasons = services.reasons.iter();
    let reasons = reasons.map(|(reason, count)| (vec![("reason", reason.to_string())], *count as f64));
    metrics.gauges("unserved_services", "Services without an address, by reason", reasons);
    metrics.problems("What is wrong with the configuration", &status.problems);
    let counted = &status.counted;
    let mut add = |name: &str, help: &str, value: u64| metrics.counter(name, help, value);
    add("writes", "Statuses of Services that were written", counted.writes);
    add("write_conflicts", "Those that were not, because the Service had changed", counted.conflicts);
    add("write_failures", "Those that failed", counted.failures);
    add("rivals", "Services whose status somebody else keeps changing", counted.rivals);
    add("addresses_lost", "Addresses that turned out to be another's after they were given", counted.moved);
    metrics.durations("reconcile_duration", "How long it took to take in a change", &counted.reconciles);
    metrics.durations("write_duration", "How long it took to write a status", &counted.written);
}

/// The families of a pool, each with its labels.
fn families(pool: &PoolView) -> impl Iterator<Item = (Labels, UseView)> {
    let of = |name: &str, used: Option<UseView>| {
        Some((vec![("pool", pool.name.clone()), ("family", name.to_owned())], used?))
    };
    [of("ipv4", pool.ipv4), of("ipv6", pool.ipv6)].into_iter().flatten()
}
