//! What a Service asks for: MetalLB's annotations under both prefixes, several addresses, ports, and classes.
#![cfg(feature = "controller")]

use std::collections::BTreeSet;

use lbcore::{Families, Family, Protocol, Release, Request};
use lbk8s::objects::annotations::RELEASE;
use lbk8s::objects::service::{Class, ServiceView, Wish};
use serde_json::{Value, json};

use crate::harness::pure::{World, annotate};
use crate::harness::{ip, pool, service, with};

fn view(patch: &Value, class: &Class) -> ServiceView {
    let service = with(service("a", 1), patch);
    ServiceView::read(&serde_json::from_value(service).unwrap(), class)
}

fn request(patch: &Value) -> Request {
    match view(patch, &None).wish {
        Wish::Addresses(request) => (*request).clone(),
        other => panic!("{other:?}"),
    }
}

fn problems(patch: &Value) -> Vec<String> {
    match view(patch, &None).wish {
        Wish::Unclear(problems) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn dual() -> Value {
    json!({"spec": {"clusterIPs": ["10.96.0.7", "fd96::7"], "ipFamilyPolicy": "PreferDualStack"}})
}

#[test]
fn metallbs_annotations_count_under_both_prefixes_and_an_empty_one_hides_nothing() {
    type Found = fn(&Request) -> Option<String>;
    let cases: [(&str, Found); 3] = [
        ("address-pool", |request| request.pool.as_deref().map(str::to_owned)),
        ("loadBalancerIPs", |request| request.addresses.first().map(ToString::to_string)),
        ("allow-shared-ip", |request| request.sharing.as_ref().map(|sharing| sharing.key.clone())),
    ];
    for (name, found) in cases {
        let (ours, old) = ("10.0.0.1", "10.0.0.2");
        for (stable, deprecated, expected) in [
            (None, None, None),
            (Some(ours), None, Some(ours)),
            (None, Some(old), Some(old)),
            (Some(ours), Some(old), Some(ours)),
            (Some(""), Some(old), Some(old)),
            (Some("  "), Some(" 10.0.0.2 "), Some(old)),
            (Some(ours), Some(""), Some(ours)),
            (Some(""), Some(""), None),
        ] {
            let (stable_key, deprecated_key) =
                (format!("metallb.io/{name}"), format!("metallb.universe.tf/{name}"));
            let annotations = json!({stable_key: stable, deprecated_key: deprecated});
            let request = request(&json!({"metadata": {"annotations": annotations}}));
            assert_eq!(found(&request).as_deref(), expected, "{name}: {stable:?}, {deprecated:?}");
        }
    }
}

#[test]
fn a_problem_names_the_annotation_under_the_prefix_that_was_used() {
    for (prefix, empty) in [("metallb.io/", "metallb.universe.tf/"), ("metallb.universe.tf/", "metallb.io/")]
    {
        let (key, empty) = (format!("{prefix}loadBalancerIPs"), format!("{empty}loadBalancerIPs"));
        let patch = json!({"metadata": {"annotations": {&key: "10.0.0.1, frog", empty: ""}}});
        let told = format!("Service default/a: metadata.annotations[{key}]: \"frog\" is no IP address");
        assert_eq!(problems(&patch), [told]);
        let both = with(annotate(&key, "10.0.0.1"), &json!({"spec": {"loadBalancerIP": "10.0.0.1"}}));
        let told = format!(
            "Service default/a: spec.loadBalancerIP: is set together with the annotation {key}; remove one of them"
        );
        assert_eq!(problems(&both), [told]);
    }
}

#[test]
fn a_release_on_a_service_is_read_and_a_bad_one_keeps_what_is_held() {
    for (value, expected) in [
        ("", Release::Nothing),
        ("all", Release::All),
        (" 10.0.0.1 , fd00::/64", {
            Release::Within(vec!["10.0.0.1/32".parse().unwrap(), "fd00::/64".parse().unwrap()])
        }),
    ] {
        assert_eq!(request(&annotate(RELEASE, value)).release, expected, "{value:?}");
    }
    let why = r#"metadata.annotations[lbd.io/release]: "frog" is not an IP address; write all, or addresses, CIDRs and ranges, separated by commas"#;
    assert_eq!(problems(&annotate(RELEASE, "frog")), [format!("Service default/a: {why}")]);
    let mut world = World::of(&[pool("p", 0, &["10.0.0.1-10.0.0.4"]), service("a", 1)]);
    world.settle();
    world.edit("Service", "a", &annotate(RELEASE, "frog"));
    let written = world.settle();
    assert_eq!((written.len(), world.condition("a")), (1, format!("True/InvalidRequest: {why}")));
    assert_eq!(world.shows("a"), ["10.0.0.1"]);
    world.check_restart();
}

#[test]
fn services_are_ours_by_their_class_and_by_none_if_we_have_none() {
    let classes = [None, Some("lbd.io/lbd"), Some("example.com/other")];
    for (ours, theirs) in classes.into_iter().flat_map(|ours| classes.map(|theirs| (ours, theirs))) {
        let patch = json!({"spec": {"loadBalancerClass": theirs}});
        let wish = view(&patch, &ours.map(str::to_owned)).wish;
        let is_ours = matches!(wish, Wish::Addresses(_));
        assert_eq!(is_ours, ours == theirs, "we are {ours:?}, it says {theirs:?}: {wish:?}");
        assert!(is_ours || wish == Wish::NotOurs);
    }
}

#[test]
fn several_addresses_of_one_family_are_all_given_in_the_order_asked_for() {
    let asks = |list: &str| annotate("metallb.io/loadBalancerIPs", list);
    let objects =
        [pool("p", 0, &["10.0.0.1-10.0.0.9"]), with(service("a", 1), &asks("10.0.0.3, 10.0.0.1,10.0.0.3"))];
    let mut world = World::of(&objects);
    assert_eq!(world.settle().len(), 1);
    assert_eq!(world.shows("a"), ["10.0.0.3", "10.0.0.1"]);
    world.check_restart();
    world.tell(service("b", 2));
    world.settle();
    assert_eq!(world.shows("b"), ["10.0.0.2"]);
    for (list, expected) in [
        ("10.0.0.1,10.0.0.3", vec!["10.0.0.1", "10.0.0.3"]),
        ("10.0.0.1", vec!["10.0.0.1"]),
        ("10.0.0.1,10.0.0.9", vec!["10.0.0.1", "10.0.0.9"]),
        // One of them is taken: nothing is lost for it.
        ("10.0.0.1,10.0.0.2", vec!["10.0.0.1", "10.0.0.9"]),
    ] {
        world.edit("Service", "a", &asks(list));
        assert_eq!(world.settle().len(), 1, "{list}");
        assert_eq!(world.shows("a"), expected, "{list}");
        world.check_restart();
    }
    assert!(world.condition("a").starts_with("True/AddressInUse: "), "{}", world.condition("a"));
}

#[test]
fn several_addresses_stay_while_the_wish_cannot_be_read_also_after_a_restart() {
    let asks = |list: &str| annotate("metallb.io/loadBalancerIPs", list);
    let objects = [pool("p", 0, &["10.0.0.1-10.0.0.9"]), with(service("a", 1), &asks("10.0.0.3,10.0.0.1"))];
    let mut world = World::of(&objects);
    world.settle();
    world.edit("Service", "a", &asks("10.0.0.3,10.0.0.1,frog"));
    assert_eq!(world.settle().len(), 1);
    assert_eq!(world.shows("a"), ["10.0.0.3", "10.0.0.1"]);
    world.restart();
    world.tell(service("b", 2));
    world.settle();
    assert_eq!(world.shows("a"), ["10.0.0.3", "10.0.0.1"]);
    assert_eq!(world.shows("b"), ["10.0.0.2"]);
}

#[test]
fn ports_of_all_three_protocols_are_told_apart_when_an_address_is_shared() {
    let port = |protocol: &str, number: u16| json!({"port": number, "protocol": protocol});
    let sharer = |name: &str, second: u32, ports: Vec<Value>| {
        let key = annotate("metallb.io/allow-shared-ip", "k");
        with(with(service(name, second), &key), &json!({"spec": {"ports": ports}}))
    };
    let ports = vec![port("TCP", 80), port("UDP", 80), port("SCTP", 80), json!({"port": 443})];
    let read: BTreeSet<String> =
        request(&json!({"spec": {"ports": ports}})).ports.iter().map(ToString::to_string).collect();
    assert_eq!(read, ["80/TCP", "80/UDP", "80/SCTP", "443/TCP"].map(str::to_owned).into());
    let sctp = request(&json!({"spec": {"ports": [port("SCTP", 7)]}})).ports;
    assert_eq!(sctp.first().map(|port| (port.protocol, port.number)), Some((Protocol::Sctp, 7)));
    let mut world = World::of(&[
        pool("p", 0, &["10.0.0.1/32"]),
        sharer("tcp", 1, vec![port("TCP", 80)]),
        sharer("udp", 2, vec![port("UDP", 80)]),
        sharer("sctp", 3, vec![port("SCTP", 80)]),
        sharer("sctp-too", 4, vec![port("SCTP", 81), port("SCTP", 80)]),
    ]);
    world.settle();
    for name in ["tcp", "udp", "sctp"] {
        assert_eq!(world.shows(name), ["10.0.0.1"], "{name}");
    }
    assert_eq!(world.shows("sctp-too"), Vec::<String>::new());
    world.edit("Service", "sctp-too", &json!({"spec": {"loadBalancerIP": "10.0.0.1"}}));
    world.settle();
    let why = "10.0.0.1 is held by default/sctp: both serve port 80/SCTP";
    assert_eq!(world.condition("sctp-too"), format!("False/AddressInUse: {why}"));
    // The port is given up by the other: that helps.
    world.edit("Service", "sctp", &json!({"spec": {"ports": [port("SCTP", 82)]}}));
    world.settle();
    assert_eq!(world.shows("sctp-too"), ["10.0.0.1"]);
    world.check_restart();
}

#[test]
fn addresses_of_mixed_families_are_given_as_far_as_the_service_has_the_families() {
    let asks = |list: &str| annotate("metallb.io/loadBalancerIPs", list);
    let both = with(asks("fd00::5,10.0.0.5"), &dual());
    let read = request(&both);
    assert_eq!(read.families, Families::Prefer { primary: Family::V4 });
    assert_eq!(read.addresses, [ip("fd00::5"), ip("10.0.0.5")]);
    // A mapped address is the IPv4 address that it carries.
    assert_eq!(request(&asks("::ffff:10.0.0.5")).addresses, [ip("10.0.0.5")]);
    let pool = pool("p", 0, &["10.0.0.1-10.0.0.9", "fd00::1-fd00::9"]);
    for (patch, expected) in [
        (both, vec!["fd00::5", "10.0.0.5"]),
        // The family that is not asked for by name is chosen freely.
        (with(asks("fd00::5"), &dual()), vec!["fd00::5", "10.0.0.1"]),
        (with(asks("10.0.0.5"), &dual()), vec!["10.0.0.5", "fd00::1"]),
        (with(asks("10.0.0.5,10.0.0.6"), &dual()), vec!["10.0.0.5", "10.0.0.6", "fd00::1"]),
        (asks("10.0.0.5,fd00::5"), vec![]),
        (asks("fd00::5"), vec![]),
    ] {
        let mut world = World::of(&[pool.clone(), with(service("a", 1), &patch)]);
        assert_eq!(world.settle().len(), 1);
        assert_eq!(world.shows("a"), expected, "{patch}");
        if expected.is_empty() {
            let why = "fd00::5 is IPv6, which the service does not have (spec.ipFamilies)";
            assert_eq!(world.condition("a"), format!("False/FamilyNotWanted: {why}"));
        }
        world.check_restart();
    }
}
