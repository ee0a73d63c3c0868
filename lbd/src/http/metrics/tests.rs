//! What is told is what docs/status.md says, and the other way round.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use lbk8s::controller::view::{PoolView, ServicesView, UseView};
use lbk8s::speaker::{Counted, FramesView, InterfaceView, MemberView, WireView};
use lbnet::layer2::AddressCounters;

use super::*;

const DOCUMENTED: &str = include_str!("../../../../docs/status.md");
const ADDRESS: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 3, 251));

fn all() -> MetricsArguments {
    MetricsArguments { metrics_by_address: true, metallb_metric_names: true }
}

/// A speaker and a controller that have something to say for every metric.
fn known() -> Known {
    let frames = FramesView {
        arp: 3,
        ndp: 2,
        echo: 1,
        claims: 4,
        dropped: BTreeMap::from([("foreign_target".into(), 7)]),
    };
    let wire = WireView {
        announced: 9,
        interfaces: BTreeMap::from([("eth0".to_owned(), frames)]),
        by_address: BTreeMap::from([(ADDRESS, AddressCounters { answered: 5, announced: 6 })]),
        ..WireView::default()
    };
    let member = MemberView {
        node: "n2".to_owned(),
        alive: true,
        at: None,
        silent_seconds: None,
        watched: true,
        owned: 1,
    };
    let interface =
        InterfaceView { name: "eth0".to_owned(), mac: String::new(), subnets: Vec::new(), heard: false };
    let speaker = SpeakerStatus {
        node: "n1".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        ready: true,
        waiting_for: Vec::new(),
        world: lbk8s::speaker::World::Server,
        leaving: false,
        held_back: false,
        interfaces: vec![interface],
        members: vec![member],
        addresses: 2,
        owned: 1,
        unanswered: 0,
        problems: Vec::new(),
        counted: Counted {
            moves: 1,
            overlaps: 0,
            overlap_seconds: 0.5,
            failovers: Durations::default(),
            datagrams_sent: 1,
            bytes_sent: 1,
            heartbeats_sent: 1,
            datagrams_heard: 1,
            datagrams_stale: 1,
            suspicions: 1,
            explained: 1,
            deaths: 1,
        },
        wire,
    };
    let used = UseView { total: 1 << 80, used: 3, reserved: 0, avoided: 1, free: 5 };
    let pool = PoolView { name: "a \"b\"".to_owned(), ranges: Vec::new(), ipv4: None, ipv6: Some(used) };
    let controller = ControllerStatus {
        leader: true,
        pools: vec![pool],
        services: ServicesView {
            reasons: BTreeMap::from([("NoPools".into(), 1)]),
            ..ServicesView::default()
        },
        ..ControllerStatus::default()
    };
    let address = AddressView {
        address: ADDRESS,
        services: vec!["web/nginx".parse().expect("a key")],
        owner: Some("n1".to_owned()),
        epoch: None,
        since: None,
        why: None,
        here: true,
        interfaces: Vec::new(),
        pool: None,
        nobody: None,
    };
    Known { speaker: Some(speaker), addresses: vec![address], controller: Some(controller) }
}

/// The names of all series, as they are asked for; of a histogram that of the whole.
fn told(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let name = |(name, kind): (&str, &str)| {
        if kind == "counter" { format!("{name}_total") } else { name.to_owned() }
    };
    types.map(name).collect()
}

/// The names that the page mentions in code, but for those of a whole family (`lbd_…_*`).
fn documented() -> BTreeSet<String> {
    let code = DOCUMENTED.split('`').skip(1).step_by(2);
    let names = code.map(|code| code.split('{').next().unwrap_or_default());
    let is_metric = |name: &&str| name.starts_with("lbd_") || name.starts_with("metallb_");
    names.filter(is_metric).map(str::to_owned).collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_told() {
    let text = known().text(&all()).expect("text");
    assert_eq!(told(&text), documented());
}

#[test]
fn nothing_is_told_by_address_unless_asked_for() {
    let text = known().text(&MetricsArguments::default()).expect("text");
    assert!(!text.contains("192.168.3.251") && !text.contains("metallb_"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn numbers_and_labels_are_right() {
    let text = known().text(&all()).expect("text");
    for line in [
        "lbd_speaker_frames_answered_total{interface=\"eth0\",protocol=\"ndp\"} 2",
        "lbd_speaker_frames_ignored_total{interface=\"eth0\",reason=\"foreign_target\"} 7",
        "lbd_speaker_address_questions_answered_total{address=\"192.168.3.251\"} 5",
        "lbd_speaker_members{state=\"alive\"} 1.0",
        "lbd_controller_pool_used_addresses{pool=\"a \\\"b\\\"\",family=\"ipv6\"} 3.0",
        "lbd_controller_unserved_services{reason=\"NoPools\"} 1.0",
        "metallb_layer2_responses_sent{ip=\"192.168.3.251\"} 5.0",
        "metallb_allocator_addresses_in_use_total{pool=\"a \\\"b\\\"\"} 3.0",
        "metallb_speaker_announced{service=\"web/nginx\",protocol=\"layer2\",node=\"n1\",ip=\"192.168.3.251\"} 1.0",
    ] {
        assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
    }
}
