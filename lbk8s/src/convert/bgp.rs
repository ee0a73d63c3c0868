//! What is BGP's: lbd does not serve it, but who converts a ConfigMap wants all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use k8s_openapi::jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::names::Names;
use super::text::{BgpAdvertisement, NodeSelector, Peer, Profile};
use super::{Faults, fields};
use crate::schema::INVALID_VALUE;
use crate::suggest;

/// The hold time of a peer that names none.
const HOLD_TIME: &str = "90s";

pub(super) fn peer(peer: &Peer, path: &str, profiles: &Names, faults: &mut Faults<'_>) -> Map<String, Value> {
    for (field, asn) in [("my-asn", peer.my_asn), ("peer-asn", peer.peer_asn)] {
        if asn == 0 {
            faults.add(
                INVALID_VALUE,
                &format!("{path}.{field}"),
                "is missing or 0; an AS number begins at 1",
            );
        }
    }
    if peer.peer_address.parse::<IpAddr>().is_err() {
        let message = format!("{:?} is no IP address", peer.peer_address);
        faults.add(INVALID_VALUE, &format!("{path}.peer-address"), message);
    }
    let source = present(peer.source_address.as_ref());
    if source.is_some_and(|source| source.parse::<IpAddr>().is_err()) {
        faults.add(INVALID_VALUE, &format!("{path}.source-address"), "is no IP address");
    }
    let router = present(peer.router_id.as_ref());
    if router.is_some_and(|router| router.parse::<Ipv4Addr>().is_err()) {
        faults.add(INVALID_VALUE, &format!("{path}.router-id"), "is no IPv4 address");
    }
    let profile = present(peer.bfd_profile.as_ref());
    if let Some(name) = profile.filter(|name| !profiles.has(name)) {
        let hint = suggest::hint(suggest::nearest(name, profiles.known()));
        let message = format!("there is no profile {name:?} in bfd-profiles{hint}");
        faults.add("UnknownProfile", &format!("{path}.bfd-profile"), message);
    }
    let hold_path = format!("{path}.hold-time");
    let hold = seconds(present(peer.hold_time.as_ref()).unwrap_or(HOLD_TIME), &hold_path, faults);
    if hold.is_some_and(|hold| (1..3).contains(&hold)) {
        faults.add(INVALID_VALUE, &hold_path, "is too short; it is 0 or at least 3s (RFC 4271 section 4.2)");
    }
    let keepalive_path = format!("{path}.keepalive-time");
    let keepalive =
        present(peer.keepalive_time.as_ref()).and_then(|text| seconds(text, &keepalive_path, faults));
    if hold.zip(keepalive).is_some_and(|(hold, keepalive)| keepalive > hold) {
        faults.add(INVALID_VALUE, &keepalive_path, "is longer than hold-time");
    }
    let selectors: Vec<Value> = peer.node_selectors.iter().map(selector).collect();
    fields([
        ("myASN", json!(peer.my_asn)),
        ("peerASN", json!(peer.peer_asn)),
        ("peerAddress", json!(peer.peer_address)),
        ("sourceAddress", json!(source)),
        ("peerPort", json!(peer.peer_port)),
        ("holdTime", json!(hold.map(|seconds| format!("{seconds}s")))),
        ("keepaliveTime", json!(keepalive.map(|seconds| format!("{seconds}s")))),
        ("routerID", json!(router)),
        ("nodeSelectors", if selectors.is_empty() { Value::Null } else { json!(selectors) }),
        ("password", json!(present(peer.password.as_ref()))),
        ("bfdProfile", json!(profile.map(|name| profiles.of(name)))),
        ("ebgpMultiHop", json!(peer.ebgp_multihop)),
    ])
}

/// A text that is not empty: MetalLB takes an empty one for none.
fn present(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// A duration as Go writes it, in whole seconds.
fn seconds(text: &str, path: &str, faults: &mut Faults<'_>) -> Option<i64> {
    let seconds = text.parse::<SignedDuration>().ok().map(|duration| duration.as_secs());
    let seconds = seconds.filter(|seconds| *seconds >= 0);
    if seconds.is_none() {
        faults.add(INVALID_VALUE, path, format!("{text:?} is no duration; write it as in 90s or 1m30s"));
    }
    seconds
}

fn selector(selector: &NodeSelector) -> Value {
    let labels = (!selector.match_labels.is_empty()).then_some(&selector.match_labels);
    let expressions: Vec<Value> = selector
        .match_expressions
        .iter()
        .map(|it| json!({"key": it.key, "operator": it.operator, "values": it.values}))
        .collect();
    let expressions = (!expressions.is_empty()).then_some(expressions);
    Value::Object(fields([("matchLabels", json!(labels)), ("matchExpressions", json!(expressions))]))
}

pub(super) fn advertisement(
    advertisement: &BgpAdvertisement,
    pool: &str,
    path: &str,
    aliases: &BTreeSet<&str>,
    faults: &mut Faults<'_>,
) -> Map<String, Value> {
    for (field, length, longest) in [
        ("aggregation-length", advertisement.aggregation_length, 32),
        ("aggregation-length-v6", advertisement.aggregation_length_v6, 128),
    ] {
        if let Some(length) = length.filter(|length| !(1..=longest).contains(length)) {
            let message = format!("{length} is no prefix length; it goes from 1 to {longest}");
            faults.add(INVALID_VALUE, &format!("{path}.{field}"), message);
        }
    }
    for (index, community) in advertisement.communities.iter().enumerate() {
        if !is_community(community) && !aliases.contains(community.as_str()) {
            let hint = suggest::hint(suggest::nearest(community, aliases.iter().copied()));
            let message =
                format!("{community:?} is neither a community nor an alias of bgp-communities{hint}");
            faults.add("UnknownCommunity", &format!("{path}.communities[{index}]"), message);
        }
    }
    let communities = (!advertisement.communities.is_empty()).then_some(&advertisement.communities);
    fields([
        ("ipAddressPools", json!([pool])),
        ("aggregationLength", json!(advertisement.aggregation_length)),
        ("aggregationLengthV6", json!(advertisement.aggregation_length_v6)),
        ("localPref", json!(advertisement.localpref)),
        ("communities", json!(communities)),
    ])
}

/// `u16:u16`, or `large:u32:u32:u32`.
fn is_community(text: &str) -> bool {
    match text.split(':').collect::<Vec<_>>()[..] {
        [a, b] => a.parse::<u16>().is_ok() && b.parse::<u16>().is_ok(),
        ["large", a, b, c] => [a, b, c].iter().all(|part| part.parse::<u32>().is_ok()),
        _ => false,
    }
}

pub(super) fn communities(aliases: &BTreeMap<String, String>, faults: &mut Faults<'_>) -> Value {
    for (name, value) in aliases {
        if !is_community(value) {
            let message = format!("{value:?} is no community; write it as in 65000:100 or large:1:2:3");
            faults.add(INVALID_VALUE, &format!("bgp-communities.{name}"), message);
        }
    }
    aliases.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

pub(super) fn profile(profile: &Profile, path: &str, faults: &mut Faults<'_>) -> Map<String, Value> {
    const MILLISECONDS: RangeInclusive<u32> = 10..=60_000;
    for (field, value, range) in [
        ("receive-interval", profile.receive_interval, MILLISECONDS),
        ("transmit-interval", profile.transmit_interval, MILLISECONDS),
        ("echo-interval", profile.echo_interval, MILLISECONDS),
        ("detect-multiplier", profile.detect_multiplier, 2..=255),
        ("minimum-ttl", profile.minimum_ttl, 1..=254),
    ] {
        if let Some(value) = value.filter(|value| !range.contains(value)) {
            let message =
                format!("{value} is out of range; it goes from {} to {}", range.start(), range.end());
            faults.add(INVALID_VALUE, &format!("{path}.{field}"), message);
        }
    }
    fields([
        ("receiveInterval", json!(profile.receive_interval)),
        ("transmitInterval", json!(profile.transmit_interval)),
        ("detectMultiplier", json!(profile.detect_multiplier)),
        ("echoInterval", json!(profile.echo_interval)),
        ("echoMode", json!(profile.echo_mode)),
        ("passiveMode", json!(profile.passive_mode)),
        ("minimumTtl", json!(profile.minimum_ttl)),
    ])
}
