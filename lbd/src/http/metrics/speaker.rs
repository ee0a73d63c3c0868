//! The metrics of a speaker.

use lbk8s::speaker::{SpeakerStatus, World};
use prometheus_client::registry::Unit;

use super::{Labels, Metrics};

#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
pub(super) fn register(metrics: &mut Metrics<'_>, status: &SpeakerStatus) {
    let is_ready = status.ready && status.waiting_for.is_empty();
    metrics.gauge("ready", "Whether this speaker answers for what it owns", is_ready.into());
    let from_server = status.world == World::Server;
    metrics.gauge("server_synced", "Whether the API server has told of everything", from_server.into());
    metrics.gauge("addresses", "Addresses of Services", status.addresses);
    metrics.gauge("owned_addresses", "Addresses that this node answers for", status.owned);
    metrics.gauge("unanswered_addresses", "Addresses that no node can answer for", status.unanswered);
    let unheard = status.interfaces.iter().filter(|it| !it.heard).count();
    metrics.gauge("unheard_interfaces", "Interfaces on whose LANs nobody hears this node", unheard);
    let members = [("alive", true), ("silent", false)].map(|(state, alive)| {
        let count = status.members.iter().filter(|member| member.alive == alive).count();
        (vec![("state", state.to_owned())], count as f64)
    });
    metrics.gauges("members", "Speakers of other nodes, by whether they are heard", members);
    metrics.problems("What is wrong with the configuration, as this speaker reads it", &status.problems);
    register_wire(metrics, status);
    let counted = &status.counted;
    let mut add = |name: &str, help: &str, value: u64| metrics.counter(name, help, value);
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
    let sent = "Bytes in datagrams to other speakers, before they are sealed";
    metrics.counter_of("sent", sent, Unit::Bytes, counted.bytes_sent as f64);
    let apart = "For how long nodes that answered for one address did not hear each other";
    metrics.counter_of("overlap", apart, Unit::Seconds, counted.overlap_seconds);
    let failover = "From the last heartbeat of a dead owner to the first answer of this node";
    metrics.durations("failover_duration", failover, &counted.failovers);
}

fn register_wire(metrics: &mut Metrics<'_>, status: &SpeakerStatus) {
    let wire = &status.wire;
    let on = |name: &str| -> Labels { vec![("interface", name.to_owned())] };
    let answered = wire.interfaces.iter().flat_map(|(name, frames)| {
        let by = [("arp", frames.arp), ("ndp", frames.ndp), ("echo", frames.echo)];
        by.map(|(protocol, count)| ([on(name), vec![("protocol", protocol.to_owned())]].concat(), count))
    });
    metrics.counters("frames_answered", "Questions answered", answered);
    let dropped = wire.interfaces.iter().flat_map(|(name, frames)| {
        let by = frames.dropped.iter();
        by.map(|(reason, count)| ([on(name), vec![("reason", reason.to_string())]].concat(), *count))
    });
    metrics.counters("frames_ignored", "Frames that were read and not answered", dropped);
    let claims = wire.interfaces.iter().map(|(name, frames)| (on(name), frames.claims));
    let help = "Frames in which another station claimed an address of this node";
    metrics.counters("foreign_claims", help, claims);
    metrics.counter("frames_announced", "Frames sent without being asked", wire.announced);
    let help = "Addresses of this node that another station claims";
    metrics.gauge("conflicts", help, wire.conflicts.len());
    let help = "Addresses of this node that it does not answer for, because another station has them";
    metrics.gauge("taken_addresses", help, wire.taken.len());
    let help = "Addresses that the kernel of this node answers for too";
    metrics.gauge("kernel_answers", help, wire.kernel_answers.len());
}

/// What may be as many as there are addresses.
pub(super) fn register_by_address(metrics: &mut Metrics<'_>, status: &SpeakerStatus) {
    let of = |count: fn(&lbnet::layer2::AddressCounters) -> u64| {
        let by = status.wire.by_address.iter();
        by.map(move |(address, counters)| (vec![("address", address.to_string())], count(counters)))
    };
    let help = "ARP requests and neighbour solicitations answered";
    metrics.counters("address_questions_answered", help, of(|it| it.answered));
    let help = "Frames sent for the address without being asked";
    metrics.counters("address_frames_announced", help, of(|it| it.announced));
}
