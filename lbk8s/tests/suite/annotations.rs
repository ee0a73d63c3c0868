//! Our own annotations and MetalLB's as they are read: good values, empty ones, and bad ones with what is said.
#![cfg(feature = "controller")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lbcore::{AddressRange, Avoided, PoolSpec, PoolState, Release, Reservation};
use lbk8s::Problem;
use lbk8s::objects::annotations::{
    COOL_DOWN, EXCLUDE, EXCLUDE_NETWORK_ADDRESSES, GATEWAYS, RELEASE, RESERVE, STATE, STICKY,
};
use lbk8s::objects::namespace::NamespaceView;
use lbk8s::objects::pool::read;
use serde_json::{Value, json};

use crate::harness::pure::{World, annotate, namespace, node, node_addresses};
use crate::harness::{ip, pool, service, with};

fn read_pool(patch: &Value) -> Result<PoolSpec, Vec<Problem>> {
    let object = with(pool("p", 1, &["10.0.0.0/24", "fd00::/120"]), patch);
    read(&serde_json::from_value(object).unwrap())
}

/// As `path: message`.
fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

fn ranges(texts: &[&str]) -> Vec<AddressRange> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

#[test]
fn good_values_on_a_pool_are_read() {
    type Set = fn(&mut PoolSpec);
    let cases: [(&str, &str, Set); 24] = [
        (EXCLUDE, "10.0.0.5", |pool| pool.excludes = ranges(&["10.0.0.5/32"])),
        (EXCLUDE, " 10.0.0.5 ,10.0.0.9/30, 10.0.0.20 - 10.0.0.22 ,fd00::1 ", |pool| {
            pool.excludes = ranges(&["10.0.0.5/32", "10.0.0.8/30", "10.0.0.20-10.0.0.22", "fd00::1/128"]);
        }),
        (EXCLUDE, "::ffff:10.0.0.5", |pool| pool.excludes = ranges(&["10.0.0.5/32"])),
        (EXCLUDE, "172.16.0.1", |pool| pool.excludes = ranges(&["172.16.0.1/32"])),
        (EXCLUDE_NETWORK_ADDRESSES, "true", |pool| pool.exclude_network_addresses = true),
        (EXCLUDE_NETWORK_ADDRESSES, " true\n", |pool| pool.exclude_network_addresses = true),
        (EXCLUDE_NETWORK_ADDRESSES, "false", |_| {}),
        (RESERVE, "10.0.0.5=web/nginx", |pool| {
            pool.reservations = vec!["10.0.0.5=web/nginx".parse().unwrap()];
        }),
        (RESERVE, " 10.0.0.5 = web/nginx , 10.0.0.8-10.0.0.9=db/*,fd00::/126=*/?", |pool| {
            let all = ["10.0.0.5=web/nginx", "10.0.0.8-10.0.0.9=db/*", "fd00::/126=*/?"];
            pool.reservations = all.map(|text| text.parse::<Reservation>().unwrap()).to_vec();
        }),
        (STICKY, "10m", |pool| pool.sticky = minutes(10)),
        (STICKY, " 24h ", |pool| pool.sticky = minutes(24 * 60)),
        (STICKY, "1h30m", |pool| pool.sticky = minutes(90)),
        (STICKY, "1.5h", |pool| pool.sticky = minutes(90)),
        (STICKY, "0s", |_| {}),
        (COOL_DOWN, "90s", |pool| pool.cool_down = Duration::from_secs(90)),
        (COOL_DOWN, "1500ms", |pool| pool.cool_down = Duration::from_millis(1500)),
        (STATE, "active", |_| {}),
        (STATE, "cordoned", |pool| pool.state = PoolState::Cordoned),
        (STATE, " draining ", |pool| pool.state = PoolState::Draining),
        (RELEASE, "all", |pool| pool.release = Release::All),
        (RELEASE, " all ", |pool| pool.release = Release::All),
        (RELEASE, "10.0.0.5", |pool| pool.release = Release::Within(ranges(&["10.0.0.5/32"]))),
        (RELEASE, "10.0.0.5 , fd00::/64", |pool| {
            pool.release = Release::Within(ranges(&["10.0.0.5/32", "fd00::/64"]));
        }),
        (RELEASE, "::ffff:10.0.0.5", |pool| pool.release = Release::Within(ranges(&["10.0.0.5/32"]))),
    ];
    let plain = read_pool(&json!({})).unwrap();
    for (key, value, set) in cases {
        let mut expected = plain.clone();
        set(&mut expected);
        assert_eq!(read_pool(&annotate(key, value)), Ok(expected), "{key}: {value:?}");
    }
    let keys = [EXCLUDE, EXCLUDE_NETWORK_ADDRESSES, RESERVE, STICKY, COOL_DOWN, STATE, RELEASE];
    for (key, value) in keys.iter().flat_map(|key| [(key, ""), (key, "  "), (key, "\n")]) {
        assert_eq!(read_pool(&annotate(key, value)), Ok(plain.clone()), "{key}: {value:?} is as none");
    }
}

/// Each with what is said of it.
const BAD: [(&str, &str, &str); 23] = [
    (EXCLUDE, "frog", r#""frog" is not an IP address"#),
    (EXCLUDE, "10.0.0.1,", r#""": is empty; write a CIDR (10.0.0.0/24) or a range (10.0.0.10-10.0.0.20)"#),
    (
        EXCLUDE,
        "10.0.0.9-10.0.0.1",
        r#""10.0.0.9-10.0.0.1": ends at 10.0.0.1, before its start 10.0.0.9; write the lower address first"#,
    ),
    (
        EXCLUDE,
        "10.0.0.1-fd00::1",
        r#""10.0.0.1-fd00::1": starts in IPv4 and ends in IPv6; both ends must be of one family"#,
    ),
    (EXCLUDE, "10.0.0.0/33", r#""10.0.0.0/33": "33" is not a prefix length of IPv4; it goes from 0 to 32"#),
    (EXCLUDE, "10.0.0.1 10.0.0.2", r#""10.0.0.1 10.0.0.2" is not an IP address"#),
    (EXCLUDE_NETWORK_ADDRESSES, "yes", r#""yes" is neither true nor false"#),
    (EXCLUDE_NETWORK_ADDRESSES, "True", r#""True" is neither true nor false"#),
    (
        RESERVE,
        "10.0.0.5",
        r#""10.0.0.5" is no reservation; write ADDRESSES=NAMESPACE/NAME, as in 10.0.0.5=web/nginx"#,
    ),
    (
        RESERVE,
        "10.0.0.5=web/nginx,",
        r#""" is no reservation; write ADDRESSES=NAMESPACE/NAME, as in 10.0.0.5=web/nginx"#,
    ),
    (
        RESERVE,
        "10.0.0.5=nginx",
        r#""nginx" names no service; write NAMESPACE/NAME, as in web/nginx or web/*"#,
    ),
    (
        RESERVE,
        "10.0.0.5=/nginx",
        r#""/nginx" names no service; write NAMESPACE/NAME, as in web/nginx or web/*"#,
    ),
    (RESERVE, "frog=web/nginx", r#""frog" is not an IP address"#),
    (STICKY, "10", r#""10" is no duration; write it as in 90s, 10m or 24h"#),
    (STICKY, "-10m", r#""-10m" is no duration; write it as in 90s, 10m or 24h"#),
    (STICKY, "1 fortnight", r#""1 fortnight" is no duration; write it as in 90s, 10m or 24h"#),
    (STICKY, "10m,5m", r#""10m,5m" is no duration; write it as in 90s, 10m or 24h"#),
    (COOL_DOWN, "a while", r#""a while" is no duration; write it as in 90s, 10m or 24h"#),
    (
        COOL_DOWN,
        "99999999999999999999h",
        r#""99999999999999999999h" is no duration; write it as in 90s, 10m or 24h"#,
    ),
    (STATE, "Draining", r#""Draining" is no state of a pool; write active, cordoned or draining"#),
    (STATE, "drained", r#""drained" is no state of a pool; write active, cordoned or draining"#),
    (RELEASE, "frog", r#""frog" is not an IP address"#),
    (RELEASE, "all,10.0.0.1", r#""all" is not an IP address"#),
];

/// What is said behind the fault of a list.
fn what_would_be_right(key: &str) -> &'static str {
    match key {
        EXCLUDE => "; write addresses, CIDRs and ranges, separated by commas",
        RELEASE => "; write all, or addresses, CIDRs and ranges, separated by commas",
        _ => "",
    }
}

#[test]
fn a_bad_value_on_a_pool_is_a_problem_that_says_where_what_and_how() {
    for (key, value, message) in BAD {
        let problems = read_pool(&annotate(key, value)).unwrap_err();
        let expected = format!("metadata.annotations[{key}]: {message}{}", what_would_be_right(key));
        assert_eq!(texts(&problems), [expected], "{value:?}");
        let object = &problems[0].object;
        assert_eq!((&*object.kind, &*object.name, &*object.uid), ("IPAddressPool", "p", "uid-of-p"));
    }
}

#[test]
fn all_bad_values_are_told_at_once_beside_bad_addresses() {
    let patch = json!({
        "metadata": {"annotations": {EXCLUDE: "frog", STICKY: "toad", STATE: "newt", RELEASE: "all"}},
        "spec": {"addresses": ["10.0.0.9-10.0.0.1"]},
    });
    let problems = read_pool(&patch).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    let at = |key: &str| format!("metadata.annotations[{key}]");
    assert_eq!(paths, ["spec.addresses[0]", &at(EXCLUDE), &at(STICKY), &at(STATE)]);
}

#[test]
fn with_a_bad_value_the_last_good_form_of_the_pool_stays_in_force() {
    for (key, value, message) in BAD {
        let good = with(pool("p", 1, &["10.0.0.1-10.0.0.4"]), &annotate(EXCLUDE, "10.0.0.1"));
        let mut world = World::of(&[good, service("a", 1)]);
        world.settle();
        assert_eq!(world.shows("a"), ["10.0.0.2"]);
        // With the bad value comes an edit that is good by itself; it does not count before the other is right.
        world.edit(
            "IPAddressPool",
            "p",
            &json!({"spec": {"addresses": ["10.9.0.1-10.9.0.9"]}, "metadata": {"annotations": {key: value}}}),
        );
        let told = format!(
            "IPAddressPool metallb-system/p: metadata.annotations[{key}]: {message}{}",
            what_would_be_right(key)
        );
        assert_eq!(world.problems(), [told]);
        assert_eq!(world.settle().len(), 0, "{key}: {value:?}");
        world.tell(service("b", 2));
        world.settle();
        assert_eq!(world.shows("b"), ["10.0.0.3"], "{key}: {value:?}");
        // The same told again is not news, and once right it is in force.
        world.edit("IPAddressPool", "p", &json!({"metadata": {"labels": {"x": "y"}}}));
        assert_eq!(world.problems(), Vec::<String>::new());
        world.edit("IPAddressPool", "p", &annotate(key, Value::Null));
        world.tell(service("c", 3));
        world.settle();
        assert_eq!(world.shows("c"), ["10.9.0.1"], "{key}: {value:?}");
    }
}

#[test]
fn a_pool_that_never_was_good_is_not_in_force() {
    for (key, value, _) in BAD {
        let bad = with(pool("p", 1, &["10.0.0.1-10.0.0.4"]), &annotate(key, value));
        let mut world = World::of(&[bad, service("a", 1)]);
        world.settle();
        assert!(world.condition("a").starts_with("False/NoPools: "), "{key}: {value:?}");
        assert_eq!(world.problems().len(), 1);
    }
}

#[test]
fn reservations_that_contradict_each_other_or_the_pool_are_told_at_the_annotation() {
    for (value, message) in [
        (
            "10.0.0.1=web/a,10.0.0.1-10.0.0.2=web/b",
            "keeps 10.0.0.1-10.0.0.2 for web/b, but 10.0.0.1-10.0.0.1=web/a is kept already; keep an address for one pattern only",
        ),
        (
            "10.0.9.1=web/a",
            "keeps 10.0.9.1-10.0.9.1 for web/a, but 10.0.9.1-10.0.9.1 is not among the addresses that the pool gives out",
        ),
        (
            "10.0.0.4=web/a",
            "keeps 10.0.0.4-10.0.0.4 for web/a, but 10.0.0.4-10.0.0.4 is not among the addresses that the pool gives out",
        ),
    ] {
        let good = with(pool("p", 1, &["10.0.0.1-10.0.0.4"]), &annotate(EXCLUDE, "10.0.0.4"));
        let mut world = World::of(&[good, service("a", 1)]);
        world.settle();
        world.edit("IPAddressPool", "p", &annotate(RESERVE, value));
        let told = format!("IPAddressPool metallb-system/p: metadata.annotations[{RESERVE}]: {message}");
        assert_eq!(world.problems(), [told]);
        assert_eq!(world.settle().len(), 0);
        world.tell(service("b", 2));
        world.settle();
        assert_eq!(world.shows("b"), ["10.0.0.2"]);
    }
}

#[test]
fn a_release_on_a_namespace_is_read_and_a_bad_one_counts_as_none() {
    let read = |value: Value| {
        let object = with(namespace("web"), &annotate(RELEASE, value));
        NamespaceView::read(&serde_json::from_value(object).unwrap())
    };
    for (value, expected) in [
        ("all", Release::All),
        (" all ", Release::All),
        ("10.0.0.1 ,10.0.0.4/30", Release::Within(ranges(&["10.0.0.1/32", "10.0.0.4/30"]))),
        ("", Release::Nothing),
        ("  ", Release::Nothing),
    ] {
        let view = read(json!(value));
        assert_eq!((view.namespace.release, view.problems), (expected, vec![]), "{value:?}");
    }
    for (value, message) in [
        ("everything", r#""everything" is not an IP address"#),
        ("10.0.0.1;10.0.0.2", r#""10.0.0.1;10.0.0.2" is not an IP address"#),
    ] {
        let view = read(json!(value));
        assert_eq!(view.namespace.release, Release::Nothing);
        assert_eq!(
            texts(&view.problems),
            [format!("metadata.annotations[{RELEASE}]: {message}{}", what_would_be_right(RELEASE))]
        );
        let mut world = World::of(&[]);
        world.tell(with(namespace("web"), &annotate(RELEASE, value)));
        assert_eq!(world.problems().len(), 1);
        world.edit("Namespace", "web", &json!({"metadata": {"labels": {"x": "y"}}}));
        assert_eq!(world.problems(), Vec::<String>::new(), "told once");
    }
}

#[test]
fn the_addresses_of_a_node_and_its_gateways_are_read() {
    let own = || Avoided::Node("n".to_owned());
    let gateway = || Avoided::GatewayOf("n".to_owned());
    let listed = [
        ("InternalIP", "10.0.0.1"),
        ("ExternalIP", "203.0.113.7"),
        ("InternalIP", "fd00::1"),
        ("InternalIP", "::ffff:10.0.0.2"),
        ("InternalIP", "no address"),
        ("Hostname", "10.0.0.3"),
        ("InternalDNS", "node.example"),
    ];
    for (gateways, expected) in [
        ("", vec![]),
        ("10.0.0.254", vec![("10.0.0.254", gateway())]),
        (
            " 10.0.0.254 ,frog,,fd00::ffff, ::ffff:10.0.0.253 ",
            vec![("10.0.0.254", gateway()), ("fd00::ffff", gateway()), ("10.0.0.253", gateway())],
        ),
        // Of an address that is both, the node is told of.
        ("10.0.0.1", vec![]),
    ] {
        let mut all: BTreeMap<IpAddr, Avoided> =
            ["10.0.0.1", "203.0.113.7", "fd00::1", "10.0.0.2"].map(|address| (ip(address), own())).into();
        all.extend(expected.into_iter().map(|(address, whose)| (ip(address), whose)));
        let node = with(node("n", &listed), &annotate(GATEWAYS, gateways));
        assert_eq!(node_addresses(&node), all, "{gateways:?}");
    }
    let bare = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    assert_eq!(node_addresses(&bare), BTreeMap::new());
}
