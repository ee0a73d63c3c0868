//! The same under the names of MetalLB's metrics, for dashboards and alerts that are there already.
//!
//! Some of its counters have no `_total` in their name, which `OpenMetrics` wants; they are told as gauges, so that
//! queries find them. What `rate()` makes of them is the same.

use lbk8s::controller::view::{PoolView, UseView};
use lbk8s::objects::{Problem, Severity};

use super::{Known, Labels, Metrics};

pub(super) fn register(metrics: &mut Metrics<'_>, known: &Known) {
    if let Some(status) = &known.controller {
        pools(metrics, &status.pools);
        let help = "Changes taken in";
        metrics.counter("k8s_client_updates", help, status.counted.reconciles.count);
        metrics.counter("k8s_client_update_errors", "Writes that failed", status.counted.failures);
    }
    speaker(metrics, known);
    let of_speaker = known.speaker.iter().map(|it| (it.waiting_for.is_empty(), &it.problems));
    let of_controller = known.controller.iter().map(|it| (it.ready, &it.problems));
    let (mut loaded, mut stale) = (true, false);
    for (is_loaded, problems) in of_speaker.chain(of_controller) {
        loaded &= is_loaded;
        stale |= is_stale(problems);
    }
    metrics.gauge("k8s_client_config_loaded_bool", "1 if there is a configuration", loaded.into());
    let help = "1 if a part of the configuration is not in force as it is written";
    metrics.gauge("k8s_client_config_stale_bool", help, stale.into());
}

fn is_stale(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
fn pools(metrics: &mut Metrics<'_>, pools: &[PoolView]) {
    let mut tell = |name: &str, help: &str, of: &dyn Fn(&PoolView) -> u128| {
        let values = pools.iter().map(|pool| (vec![("pool", pool.name.clone())], of(pool) as f64));
        metrics.gauges(name, help, values);
    };
    let total = |it: Option<UseView>| it.map(|it| it.total).unwrap_or_default();
    let used = |it: Option<UseView>| it.map(|it| it.used).unwrap_or_default();
    let all = |pool: &PoolView| total(pool.ipv4).saturating_add(total(pool.ipv6));
    tell("allocator_addresses_total", "Addresses of a pool", &all);
    tell("allocator_ipv4_addresses_total", "IPv4 addresses of a pool", &|pool| total(pool.ipv4));
    tell("allocator_ipv6_addresses_total", "IPv6 addresses of a pool", &|pool| total(pool.ipv6));
    let all = |pool: &PoolView| used(pool.ipv4).saturating_add(used(pool.ipv6));
    tell("allocator_addresses_in_use_total", "Addresses that Services hold", &all);
    let help = "IPv4 addresses that Services hold";
    tell("allocator_ipv4_addresses_in_use_total", help, &|pool| used(pool.ipv4));
    let help = "IPv6 addresses that Services hold";
    tell("allocator_ipv6_addresses_in_use_total", help, &|pool| used(pool.ipv6));
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
fn speaker(metrics: &mut Metrics<'_>, known: &Known) {
    let Some(status) = &known.speaker else { return };
    let announced = known.addresses.iter().filter(|address| address.here).flat_map(|address| {
        address.services.iter().map(|service| {
            let labels: Labels = vec![
                ("service", service.to_string()),
                ("protocol", "layer2".to_owned()),
                ("node", status.node.clone()),
                ("ip", address.address.to_string()),
            ];
            (labels, 1.0)
        })
    });
    metrics.gauges("speaker_announced", "Addresses of Services that this node answers for", announced);
    let of = |count: fn(&lbnet::layer2::AddressCounters) -> u64| {
        let by = status.wire.by_address.iter();
        by.map(move |(address, counters)| (vec![("ip", address.to_string())], count(counters) as f64))
    };
    // Every question that comes here for an address of ours is answered.
    metrics.gauges("layer2_requests_received", "Questions for an address", of(|it| it.answered));
    metrics.gauges("layer2_responses_sent", "Answers for an address", of(|it| it.answered));
    metrics.gauges("layer2_gratuitous_sent", "Frames sent without being asked", of(|it| it.announced));
}
