//! The metrics of a speaker, in the text form of `OpenMetrics`.

use std::fmt;

use lbk8s::speaker::{Durations, SpeakerStatus, World};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What `/metrics` is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Durations by class.
#[derive(Debug)]
struct Histogram(Durations);

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Durations { count, seconds, up_to, .. } = &self.0;
        // Here each class is counted by itself.
        let mut below = 0;
        let mut classes: Vec<(f64, u64)> = Vec::new();
        for (end, cumulative) in up_to {
            classes.push((*end, cumulative - below));
            below = *cumulative;
        }
        classes.push((f64::MAX, count - below));
        encoder.encode_histogram::<NoLabelSet>(*seconds, *count, &classes, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// All metrics of a speaker.
pub(super) fn text(status: &SpeakerStatus) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("lbd_speaker");
    let mut gauge = |name: &str, help: &str, value: usize| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    let is_ready = status.ready && status.waiting_for.is_empty();
    gauge("ready", "Whether this speaker answers for what it owns", is_ready.into());
    let from_server = status.world == World::Server;
    gauge("server_synced", "Whether the API server has told of everything", from_server.into());
    gauge("addresses", "Addresses of Services", status.addresses);
    gauge("owned_addresses", "Addresses that this node answers for", status.owned);
    let unheard = status.interfaces.iter().filter(|it| !it.heard).count();
    gauge("unheard_interfaces", "Interfaces on whose LANs nobody hears this node", unheard);
    let members = Family::<Vec<(&'static str, &'static str)>, Gauge>::default();
    for (state, alive) in [("alive", true), ("silent", false)] {
        let count = status.members.iter().filter(|member| member.alive == alive).count();
        members.get_or_create(&vec![("state", state)]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    registry.register("members", "Speakers of other nodes, by whether they are heard", members);
    let counted = &status.counted;
    let mut add = |name: &str, help: &str, value: u64| {
        let total = Counter::<u64>::default();
        total.inc_by(value);
        registry.register(name, help, total);
    };
    add("moves", "How often an address lost its owner, as this speaker saw it", counted.moves);
    add(
        "overlaps",
        "How often this node and one that it could not hear answered for one address",
        counted.overlaps,
    );
    add("datagrams_sent", "Datagrams sent to other speakers", counted.datagrams_sent);
    add("heartbeats_sent", "Heartbeats among them", counted.heartbeats_sent);
    add("datagrams_heard", "Datagrams of other speakers", counted.datagrams_heard);
    add("datagrams_stale", "Datagrams that were too old, or came twice", counted.datagrams_stale);
    add("suspicions", "Silences of other speakers that were noticed", counted.suspicions);
    add("suspicions_explained", "Those that others explained: they heard the silent one", counted.explained);
    add("deaths", "Deaths of other speakers that this one declared", counted.deaths);
    let bytes = Counter::<u64>::default();
    bytes.inc_by(counted.bytes_sent);
    let unit = prometheus_client::registry::Unit::Bytes;
    registry.register_with_unit(
        "sent",
        "Bytes in datagrams to other speakers, before they are sealed",
        unit,
        bytes,
    );
    let seconds = Counter::<f64, std::sync::atomic::AtomicU64>::default();
    seconds.inc_by(counted.overlap_seconds);
    let unit = prometheus_client::registry::Unit::Seconds;
    registry.register_with_unit(
        "overlap",
        "For how long nodes that answered for one address did not hear each other",
        unit.clone(),
        seconds,
    );
    registry.register_with_unit(
        "failover_duration",
        "From the last heartbeat of a dead owner to the first answer of this node",
        unit,
        Histogram(counted.failovers.clone()),
    );
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}
