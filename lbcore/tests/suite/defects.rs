//! Defects of MetalLB's allocation that are absent here, one test each, named after the defect.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::allocator::Claim;
use lbcore::range::RangeErrorKind;
use lbcore::reason::NotShared;
use lbcore::{
    Allocator, Counters, Decision, Families, Family, Labels, PoolSpec, Port, Protocol, Refusal, Request,
    Selector, ServiceAllocation, ServiceKey, Sharing, Verdict,
};

const V4: Families = Families::Single(Family::V4);
const V6: Families = Families::Single(Family::V6);
const PREFER: Families = Families::Prefer { primary: Family::V4 };
const PREFER_V6: Families = Families::Prefer { primary: Family::V6 };
const REQUIRE: Families = Families::Require { primary: Family::V4 };

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().expect(text)).collect()
}

fn key(text: &str) -> ServiceKey {
    text.parse().expect(text)
}

fn pool(name: &str, ranges: &[&str]) -> PoolSpec {
    PoolSpec::parse(name, ranges.iter().copied()).expect("good ranges")
}

fn world(pools: Vec<PoolSpec>) -> Allocator {
    let mut allocator = Allocator::default();
    assert_eq!(allocator.set_pools(pools).problems, []);
    assert_eq!(allocator.woken(), []);
    allocator
}

fn asks(service: &str, families: Families) -> Request {
    Request::new(key(service), families)
}

fn pinned(service: &str, families: Families, addresses: &[&str]) -> Request {
    Request { addresses: ips(addresses), ..asks(service, families) }
}

fn shares(service: &str, sharing: &str, backend: &str, port: u16) -> Request {
    let sharing = Sharing { key: sharing.to_owned(), backend: backend.to_owned() };
    let ports = [Port { protocol: Protocol::Tcp, number: port }].into();
    Request { sharing: Some(sharing), ports, ..asks(service, V4) }
}

fn now(allocator: &Allocator, service: &str) -> Decision {
    allocator.decision(&key(service)).expect(service)
}

#[test]
fn a_counter_overflows_at_2_to_the_64_and_beyond() {
    let (mask, bit) = (|bits: u32| (1_u128 << bits) - 1, |bits: u32| 1_u128 << bits);
    for (ranges, total) in [
        (&["fd00::/66"][..], bit(62)),
        (&["fd00::/65"], bit(63)),
        (&["fd00::-fd00::7fff:ffff:ffff:fffe"], mask(63)),
        (&["fd00::/64"], bit(64)),
        (&["fd00::/64", "fd01::/128"], bit(64) + 1),
        (&["fd00::/64", "fd00:0:0:1::/64", "fd00:0:0:2::/64"], 3 * bit(64)),
        (&["fd00::/32", "10.0.0.0/30"], bit(96)),
        (&["::/1", "8000::/1"], u128::MAX),
        (&["::/0"], u128::MAX),
    ] {
        let mut allocator = world(vec![pool("p", ranges)]);
        let counters = |allocator: &Allocator| allocator.counters("p", Family::V6).expect("in force");
        assert_eq!(counters(&allocator), Counters { total, ..Counters::default() }, "{ranges:?}");
        for n in 1..=3 {
            assert!(!allocator.request(asks(&format!("a/{n}"), V6)).held().is_empty());
            let counted = counters(&allocator);
            assert_eq!((counted.assigned, counted.available()), (n, total - n), "{ranges:?}");
        }
        allocator.release(&key("a/2"));
        assert_eq!(counters(&allocator).available(), total - 2, "{ranges:?}");
    }
}

#[test]
fn excludes_of_a_huge_range_are_subtracted_exactly() {
    let excludes =
        vec!["fd00::/65".parse().expect("a range"), "fd00::ffff:ffff:ffff:ffff/128".parse().expect("one")];
    let allocator = world(vec![PoolSpec { excludes, ..pool("p", &["fd00::/64"]) }]);
    let counters = allocator.counters("p", Family::V6).expect("in force");
    assert_eq!(counters.total, (1 << 63) - 1);
}

#[test]
fn a_range_from_ipv4_to_ipv6_is_an_empty_pool() {
    for (text, first, last) in
        [("1.2.3.4-1000::", Family::V4, Family::V6), ("::1 - 10.0.0.9", Family::V6, Family::V4)]
    {
        let problems = PoolSpec::parse("p", ["10.0.0.0/24", text]).expect_err(text).0;
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, "spec.addresses[1]");
        let lbcore::pool::PoolProblemKind::Range(error) = &problems[0].kind else { panic!("{problems:?}") };
        assert_eq!(error.kind, RangeErrorKind::MixedFamilies { first, last });
    }
}

#[test]
fn a_slash_32_with_avoid_buggy_ips_counts_minus_one() {
    for (ranges, total) in [
        (&["10.0.0.0/32"][..], 0),
        (&["10.0.0.255/32"], 0),
        (&["10.0.0.0/32", "10.0.0.255/32"], 0),
        (&["10.0.0.1/32"], 1),
        (&["10.0.0.0/31"], 1),
        (&["10.0.0.255-10.0.1.0"], 0),
        (&["10.0.0.0/24"], 254),
        (&["10.0.0.128/25"], 127),
        (&["10.0.0.0/16"], 256 * 254),
        (&["10.0.0.0/32", "10.0.1.1/32"], 1),
    ] {
        let mut allocator = world(vec![PoolSpec { avoid_buggy: true, ..pool("p", ranges) }]);
        let counters = allocator.counters("p", Family::V4).expect("in force");
        assert_eq!((counters.total, counters.available()), (total, total), "{ranges:?}");
        assert_eq!(allocator.request(asks("a/a", V4)).held().is_empty(), total == 0, "{ranges:?}");
    }
}

#[test]
fn a_selector_that_matches_nothing_opens_a_pool_to_everybody() {
    let namespaces =
        ServiceAllocation { namespace_selectors: vec![Selector::label("team", "x")], ..Default::default() };
    let services =
        ServiceAllocation { service_selectors: vec![Selector::label("tier", "gold")], ..Default::default() };
    for allocation in [namespaces, services] {
        let restricted = PoolSpec { allocation, ..pool("x", &["10.0.0.0/30"]) };
        for on_request_only in [false, true] {
            let mut allocator = world(vec![PoolSpec { auto_assign: !on_request_only, ..restricted.clone() }]);
            let not_admitted = Refusal::NotAdmitted { pool: "x".into() };
            let by_name = Request { pool: Some("x".into()), ..asks("a/pool", V4) };
            assert_eq!(allocator.request(by_name).refusal(), Some(&not_admitted));
            let by_address = allocator.request(pinned("a/address", V4, &["10.0.0.1"]));
            assert_eq!(by_address.refusal(), Some(&not_admitted));
            assert_eq!(allocator.request(asks("a/any", V4)).addresses(), ips(&[]));
        }
    }
}

#[test]
fn requested_addresses_are_renumbered_at_the_next_pass() {
    let pools = || vec![pool("p", &["10.0.0.0/24", "fd00::/64"])];
    for addresses in [["10.0.0.9", "fd00::1"], ["fd00::1", "10.0.0.9"], ["10.0.0.10", "fd00::9"]] {
        for families in [PREFER, PREFER_V6, REQUIRE] {
            let mut allocator = world(pools());
            let request = pinned("a/a", families, &addresses);
            assert_eq!(allocator.request(request.clone()).addresses(), ips(&addresses));
            for _ in 0..2 {
                let again = allocator.request(request.clone());
                assert_eq!((again.addresses(), again.changed), (ips(&addresses), false));
                assert_eq!(allocator.set_pools(pools()).decisions, []);
                assert_eq!(allocator.woken(), []);
            }
            let mut restarted = world(pools());
            let claim = Claim {
                recorded_pools: std::collections::BTreeMap::new(),
                request: request.into(),
                addresses: ips(&addresses),
                recorded_pool: Some("p".into()),
            };
            let adopted = restarted.adopt(vec![claim]);
            assert_eq!((adopted[0].addresses(), adopted[0].changed), (ips(&addresses), false));
        }
    }
}

#[test]
fn requested_addresses_of_one_family_are_sorted_as_text() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/24"])]);
    let wanted = ["10.0.0.9", "10.0.0.10", "10.0.0.2"];
    let request = pinned("a/a", V4, &wanted);
    assert_eq!(allocator.request(request.clone()).addresses(), ips(&wanted));
    assert!(!allocator.request(request).changed);
}

#[test]
fn a_service_that_prefers_dual_stack_flaps_between_one_address_and_two() {
    // One ClusterIP makes a service single-stack, whatever its policy says.
    let both = || pool("p", &["10.0.0.0/30", "fd00::/64"]);
    let mut allocator = world(vec![both()]);
    let single = allocator.request(asks("a/single", V4));
    let dual = allocator.request(asks("a/dual", PREFER));
    for _ in 0..5 {
        for first in [&single, &dual] {
            let families = if first.addresses().len() == 1 { V4 } else { PREFER };
            let again = allocator.request(Request::new(first.key.clone(), families));
            assert_eq!(again, Decision { changed: false, ..first.clone() });
        }
        assert_eq!(allocator.set_pools(vec![both()]).decisions, []);
        assert_eq!(allocator.woken(), []);
    }
}

#[test]
fn a_missing_second_family_raises_an_event_at_every_pass() {
    let four = || pool("p", &["10.0.0.0/30"]);
    for pools in [vec![four()], vec![four(), pool("q", &["fd00::/128"])]] {
        let mut allocator = world(pools.clone());
        if pools.len() == 2 {
            allocator.request(asks("a/first", V6));
        }
        let first = allocator.request(asks("a/a", PREFER));
        assert_eq!(first.addresses(), ips(&["10.0.0.0"]));
        assert!(matches!(first.refusal(), Some(Refusal::NoneFree { family: Family::V6, .. })));
        for _ in 0..3 {
            assert_eq!(allocator.request(asks("a/a", PREFER)), Decision { changed: false, ..first.clone() });
            assert_eq!(allocator.set_pools(pools.clone()).decisions, []);
            assert_eq!(allocator.set_namespace("a", None), []);
            assert_eq!(allocator.set_avoided(BTreeMap::new()), []);
            allocator.advance(1);
            assert_eq!(allocator.woken(), []);
        }
    }
}

#[test]
fn a_family_that_a_pool_loses_costs_the_other_one_too() {
    let (both, four) = (|| pool("p", &["10.0.0.0/30", "fd00::/64"]), || pool("p", &["10.0.0.0/30"]));
    let mut allocator = Allocator::default();
    allocator.set_lost_addresses(lbcore::LostAddresses::TakeAway);
    allocator.set_pools(vec![both()]);
    assert_eq!(allocator.request(asks("a/a", PREFER_V6)).addresses(), ips(&["fd00::", "10.0.0.0"]));
    for _ in 0..3 {
        for (pools, expected) in [(four(), &["10.0.0.0"][..]), (both(), &["fd00::", "10.0.0.0"])] {
            allocator.set_pools(vec![pools]);
            allocator.woken();
            assert_eq!(now(&allocator, "a/a").addresses(), ips(expected));
        }
    }
}

#[test]
fn of_pools_of_equal_priority_one_is_taken_at_random() {
    let names = ["d", "a", "c", "b"];
    let third = |name: &str| name.bytes().next().expect("a letter");
    for priority in [0, 5] {
        for shift in 0..names.len() {
            let allocation = ServiceAllocation { priority, ..ServiceAllocation::default() };
            let of = |name: &str| PoolSpec {
                allocation: allocation.clone(),
                ..pool(name, &[&format!("10.0.{}.0/32", third(name))])
            };
            let mut pools: Vec<PoolSpec> = names.map(of).to_vec();
            pools.rotate_left(shift);
            let mut allocator = world(pools);
            let taken =
                (0..4).map(|n| allocator.request(asks(&format!("a/{n}"), V4)).held()[0].pool.to_string());
            assert_eq!(taken.collect::<Vec<_>>(), ["a", "b", "c", "d"], "{priority} {shift}");
        }
    }
}

#[test]
fn a_requested_address_has_to_cover_both_families_exactly() {
    let pools = || vec![pool("p", &["10.0.0.0/24", "fd00::/64"])];
    for (families, asked, expected) in [
        (PREFER, &["10.0.0.7"][..], &["10.0.0.7", "fd00::"][..]),
        (PREFER, &["fd00::7"], &["fd00::7", "10.0.0.0"]),
        (REQUIRE, &["10.0.0.7"], &["10.0.0.7", "fd00::"]),
        (REQUIRE, &["fd00::7"], &["fd00::7", "10.0.0.0"]),
    ] {
        let given = world(pools()).request(pinned("a/a", families, asked));
        assert_eq!((given.addresses(), given.refusal()), (ips(expected), None), "{families:?} {asked:?}");
    }
    // Who prefers both is served with the one asked for, if there is no other.
    let given = world(vec![pool("p", &["10.0.0.0/24"])]).request(pinned("a/a", PREFER, &["10.0.0.7"]));
    assert_eq!(given.addresses(), ips(&["10.0.0.7"]));
}

#[test]
fn one_of_two_sharers_that_changes_its_key_loses_its_address_for_ever() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/31"])]);
    allocator.request(shares("a/a", "k", "", 80));
    allocator.request(shares("a/b", "k", "", 81));
    let moved = allocator.request(shares("a/b", "l", "", 81));
    assert_eq!((moved.addresses(), moved.refusal()), (ips(&["10.0.0.1"]), None));
    assert_eq!(now(&allocator, "a/a").addresses(), ips(&["10.0.0.0"]));
    // With no other address it waits, and comes back as soon as it can.
    let mut allocator = world(vec![pool("p", &["10.0.0.0/32"])]);
    allocator.request(shares("a/a", "k", "", 80));
    allocator.request(shares("a/b", "k", "", 81));
    assert_eq!(allocator.request(shares("a/b", "l", "", 81)).addresses(), ips(&[]));
    assert_eq!(allocator.request(shares("a/b", "k", "", 81)).addresses(), ips(&["10.0.0.0"]));
    allocator.request(shares("a/b", "l", "", 81));
    allocator.request(shares("a/a", "l", "", 80));
    allocator.woken();
    assert_eq!(now(&allocator, "a/b").addresses(), ips(&["10.0.0.0"]));
}

#[test]
fn a_taken_address_is_said_to_be_a_change_of_the_sharing_key() {
    let here = |request: Request| Request { addresses: ips(&["10.0.0.0"]), ..request };
    let port = |number| Port { protocol: Protocol::Tcp, number };
    for (asking, why, code) in [
        (asks("a/b", V4), NotShared::NoKey, "AddressInUse"),
        (
            shares("a/b", "l", "", 81),
            NotShared::OtherKey { theirs: "k".to_owned(), ours: "l".to_owned() },
            "AddressInUse",
        ),
        (shares("a/b", "k", "app=b", 81), NotShared::OtherBackend, "AddressInUse"),
        (shares("a/b", "k", "", 80), NotShared::PortInUse { port: port(80) }, "AddressInUse"),
    ] {
        let mut allocator = world(vec![pool("p", &["10.0.0.0/31"])]);
        allocator.request(shares("a/a", "k", "", 80));
        let refused = allocator.request(here(asking));
        let taken = Refusal::Taken { address: ips(&["10.0.0.0"])[0], holder: key("a/a"), why };
        assert_eq!(refused.refusal(), Some(&taken));
        assert_eq!(taken.code(), code);
    }
}

#[test]
fn an_exhausted_ipv6_range_is_searched_for_a_request_of_ipv4_only() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30", "fd00::/128"])]);
    allocator.request(asks("a/six", V6));
    assert_eq!(allocator.request(asks("a/four", V4)).refusal(), None);
    let considered = allocator.consider(&asks("a/other", V4)).expect("there are pools");
    assert_eq!(considered.iter().map(|it| it.family).collect::<Vec<_>>(), [Family::V4]);
    // Nor is one that waits for IPv4 woken by IPv6.
    let mut allocator = world(vec![pool("p", &["10.0.0.0/32", "fd00::/128"])]);
    for (service, families) in [("a/four", V4), ("a/six", V6), ("a/waits", V4)] {
        allocator.request(asks(service, families));
    }
    allocator.release(&key("a/six"));
    assert_eq!(allocator.woken(), []);
}

#[test]
fn every_event_is_a_full_pass_over_all_services() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/29"]), pool("q", &["10.0.1.0/32"])]);
    for n in 0..8 {
        allocator.request(asks(&format!("a/{n}"), V4));
    }
    for (service, address) in [("b/waits", "10.0.0.3"), ("b/waits-too", "10.0.0.4")] {
        assert!(allocator.request(pinned(service, V4, &[address])).held().is_empty());
    }
    // The touched one and nobody else.
    let names = |decisions: Vec<Decision>| decisions.iter().map(|it| it.key.to_string()).collect::<Vec<_>>();
    allocator.release(&key("a/4"));
    assert_eq!(names(allocator.woken()), ["b/waits-too"]);
    let avoided = [(ips(&["10.0.0.6"])[0], lbcore::Avoided::Node("n".to_owned()))];
    assert_eq!(names(allocator.set_avoided(avoided.into())), ["a/6"]);
    let shrunk = vec![pool("p", &["10.0.0.0-10.0.0.6"]), pool("q", &["10.0.1.0/32"])];
    assert_eq!(names(allocator.set_pools(shrunk).decisions), ["a/7"]);
    assert_eq!(names(allocator.set_namespace("a", Some(Labels::new().into()))), [""; 0]);
    assert_eq!(names(allocator.woken()), [""; 0]);
}

#[test]
fn a_pool_without_the_family_says_that_null_is_not_allowed() {
    let mut allocator = world(vec![pool("six", &["fd00::/64"])]);
    let refused = allocator.request(Request { pool: Some("six".into()), ..asks("a/a", V4) });
    let refusal = refused.refusal().expect("it has none").clone();
    let Refusal::NoneFree { family: Family::V4, tried } = &refusal else { panic!("{refusal}") };
    assert_eq!(tried[0].verdict, Verdict::NoSuchFamily);
    assert_eq!(refusal.to_string(), r#"no free IPv4 address: pool "six" has none"#);
}

#[test]
fn no_address_is_chosen_across_two_pools_for_a_dual_stack_service() {
    let split = || vec![pool("four", &["10.0.0.0/30"]), pool("six", &["fd00::/64"])];
    for (families, expected) in [
        (PREFER, ["10.0.0.0", "fd00::"]),
        (PREFER_V6, ["fd00::", "10.0.0.0"]),
        (REQUIRE, ["10.0.0.0", "fd00::"]),
        (Families::Require { primary: Family::V6 }, ["fd00::", "10.0.0.0"]),
    ] {
        assert_eq!(world(split()).request(asks("a/a", families)).addresses(), ips(&expected), "{families:?}");
    }
}

#[test]
fn one_faulty_pool_stops_every_other_change() {
    let mut allocator = world(vec![pool("a", &["10.0.0.0/32"]), pool("b", &["10.0.1.0/32"])]);
    allocator.request(asks("a/1", V4));
    allocator.request(asks("a/2", V4));
    allocator.request(asks("a/3", V4));
    let changed = allocator.set_pools(vec![
        pool("a", &["10.0.0.0/31"]),
        pool("b", &["10.0.0.1/32"]),
        pool("c", &["10.0.2.0/32"]),
    ]);
    assert_eq!(changed.problems.len(), 1);
    let woken: Vec<_> = allocator.woken().into_iter().map(|decision| decision.key).collect();
    assert_eq!(woken, [key("a/3")]);
}
