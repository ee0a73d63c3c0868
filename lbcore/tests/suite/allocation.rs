//! Which address a service gets, and why it gets none. One claim per test.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lbcore::reason::NotShared;
use lbcore::{
    Allocator, Counters, Decision, Families, Family, Grant, Labels, PoolSpec, PoolVerdict, Port, Protocol,
    Refusal, Request, Selector, ServiceAllocation, ServiceKey, Sharing, Verdict,
};

const V4: Families = Families::Single(Family::V4);
const V6: Families = Families::Single(Family::V6);
const PREFER_V4: Families = Families::Prefer { primary: Family::V4 };
const PREFER_V6: Families = Families::Prefer { primary: Family::V6 };
const REQUIRE_V4: Families = Families::Require { primary: Family::V4 };
const REQUIRE_V6: Families = Families::Require { primary: Family::V6 };

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().expect(text)).collect()
}

fn ip(text: &str) -> IpAddr {
    ips(&[text])[0]
}

fn key(text: &str) -> ServiceKey {
    text.parse().expect(text)
}

fn pool(name: &str, ranges: &[&str]) -> PoolSpec {
    PoolSpec::parse(name, ranges.iter().copied()).expect("good ranges")
}

fn on_request(name: &str, ranges: &[&str]) -> PoolSpec {
    PoolSpec { auto_assign: false, ..pool(name, ranges) }
}

fn ranked(name: &str, ranges: &[&str], priority: i64) -> PoolSpec {
    PoolSpec { allocation: ServiceAllocation { priority, ..Default::default() }, ..pool(name, ranges) }
}

/// A pool set aside for one namespace.
fn aside(name: &str, ranges: &[&str], namespace: &str, priority: i64) -> PoolSpec {
    let namespaces = BTreeSet::from([namespace.to_owned()]);
    let allocation = ServiceAllocation { priority, namespaces, ..Default::default() };
    PoolSpec { allocation, ..pool(name, ranges) }
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

fn of_pool(service: &str, families: Families, pool: &str) -> Request {
    Request { pool: Some(pool.into()), ..asks(service, families) }
}

fn shares(service: &str, sharing: &str, backend: &str, ports: &[u16]) -> Request {
    let port = |number: &u16| Port { protocol: Protocol::Tcp, number: *number };
    Request {
        sharing: Some(Sharing { key: sharing.to_owned(), backend: backend.to_owned() }),
        ports: ports.iter().map(port).collect(),
        ..asks(service, V4)
    }
}

/// The addresses given to one service in an otherwise empty world.
fn alone(pools: Vec<PoolSpec>, request: Request) -> Vec<IpAddr> {
    world(pools).request(request).addresses()
}

fn refusal(decision: &Decision) -> Refusal {
    decision.refusal().unwrap_or_else(|| panic!("nothing is refused: {decision:?}")).clone()
}

/// The refusal of one service in an otherwise empty world, where it gets nothing.
fn refused(pools: Vec<PoolSpec>, request: Request) -> Refusal {
    let decision = world(pools).request(request);
    assert_eq!(decision.addresses(), ips(&[]));
    refusal(&decision)
}

fn passed(pool: &str, verdict: Verdict) -> PoolVerdict {
    PoolVerdict { pool: pool.into(), verdict }
}

#[test]
fn addresses_asked_for_keep_the_order_in_which_they_are_asked() {
    let pools = || vec![pool("p", &["10.0.0.0/24", "fd00::/64"])];
    for addresses in [["fd00::7", "10.0.0.9"], ["10.0.0.9", "fd00::7"]] {
        for families in [PREFER_V4, PREFER_V6, REQUIRE_V4, REQUIRE_V6] {
            assert_eq!(alone(pools(), pinned("a/a", families, &addresses)), ips(&addresses), "{families:?}");
        }
    }
    // What is not asked for comes behind it.
    assert_eq!(alone(pools(), pinned("a/a", REQUIRE_V4, &["fd00::7"])), ips(&["fd00::7", "10.0.0.0"]));
}

#[test]
fn an_address_that_cannot_be_had_is_refused_with_its_reason() {
    let pools = || vec![pool("lan", &["10.0.0.0/30"]), aside("vip", &["10.0.1.0/30"], "web", 0)];
    for (request, expected, text) in [
        (
            pinned("a/a", V4, &["10.9.9.9"]),
            Refusal::OutsidePools { address: ip("10.9.9.9") },
            "no pool has 10.9.9.9; ask for an address of a pool, or add it to one",
        ),
        (
            Request { pool: Some("vip".into()), ..pinned("web/a", V4, &["10.0.0.1"]) },
            Refusal::OtherPool { address: ip("10.0.0.1"), pool: "lan".into(), asked: "vip".into() },
            r#"10.0.0.1 belongs to pool "lan", but the service asks for pool "vip""#,
        ),
        (
            pinned("a/a", V4, &["fd00::1"]),
            Refusal::FamilyNotWanted { address: ip("fd00::1") },
            "fd00::1 is IPv6, which the service does not have (spec.ipFamilies)",
        ),
        (
            of_pool("a/a", V4, "none"),
            Refusal::UnknownPool { pool: "none".into(), pools: vec!["lan".into(), "vip".into()] },
            r#"there is no pool "none"; the pools are "lan", "vip""#,
        ),
        (
            of_pool("a/a", V4, "vip"),
            Refusal::NotAdmitted { pool: "vip".into() },
            r#"pool "vip" is set aside for other namespaces or services (spec.serviceAllocation)"#,
        ),
        (
            pinned("a/a", V4, &["10.0.1.1"]),
            Refusal::NotAdmitted { pool: "vip".into() },
            r#"pool "vip" is set aside for other namespaces or services (spec.serviceAllocation)"#,
        ),
    ] {
        let found = refused(pools(), request);
        assert_eq!(found, expected);
        assert_eq!(found.to_string(), text);
    }
}

#[test]
fn a_taken_address_is_refused_with_what_stands_in_the_way_of_sharing_it() {
    let here = |request: Request| Request { addresses: ips(&["10.0.0.1"]), ..request };
    let tcp = |number| Port { protocol: Protocol::Tcp, number };
    for (holder, asking, why) in [
        (asks("a/a", V4), asks("a/b", V4), NotShared::NoKey),
        (shares("a/a", "k", "", &[80]), asks("a/b", V4), NotShared::NoKey),
        (asks("a/a", V4), shares("a/b", "k", "", &[81]), NotShared::NoKey),
        (
            shares("a/a", "k", "", &[80]),
            shares("a/b", "l", "", &[81]),
            NotShared::OtherKey { theirs: "k".to_owned(), ours: "l".to_owned() },
        ),
        (shares("a/a", "k", "app=a", &[80]), shares("a/b", "k", "app=b", &[81]), NotShared::OtherBackend),
        (shares("a/a", "k", "", &[80]), shares("a/b", "k", "app=b", &[81]), NotShared::OtherBackend),
        (
            shares("a/a", "k", "", &[80, 443]),
            shares("a/b", "k", "", &[443]),
            NotShared::PortInUse { port: tcp(443) },
        ),
    ] {
        let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
        assert_eq!(allocator.request(here(holder)).addresses(), ips(&["10.0.0.1"]));
        let decision = allocator.request(here(asking));
        let taken = Refusal::Taken { address: ip("10.0.0.1"), holder: key("a/a"), why };
        assert_eq!(refusal(&decision), taken);
        assert_eq!(decision.addresses(), ips(&[]));
    }
}

#[test]
fn when_nothing_is_free_every_pool_says_why() {
    let selector = Selector::label("team", "red");
    let red = ServiceAllocation { namespace_selectors: vec![selector], ..Default::default() };
    let mut allocator = world(vec![
        pool("full", &["10.0.0.0/31"]),
        pool("one", &["10.0.1.0/32"]),
        pool("six", &["fd00::/64"]),
        on_request("spare", &["10.0.2.0/24"]),
        PoolSpec { allocation: red, ..pool("red", &["10.0.3.0/24"]) },
    ]);
    for service in ["a/a", "a/b", "a/c"] {
        allocator.request(asks(service, V4));
    }
    let found = refusal(&allocator.request(asks("a/d", V4)));
    let tried = vec![
        passed("red", Verdict::NotAdmitted),
        passed("full", Verdict::Full { total: 2, reserved: 0, avoided: 0 }),
        passed("one", Verdict::Full { total: 1, reserved: 0, avoided: 0 }),
        passed("six", Verdict::NoSuchFamily),
        passed("spare", Verdict::OnRequestOnly),
    ];
    assert_eq!(found, Refusal::NoneFree { family: Family::V4, tried });
    assert_eq!(
        found.to_string(),
        r#"no free IPv4 address: pool "red" is set aside for others; pool "full" has all 2 in use; pool "one" has its only one in use; pool "six" has none; pool "spare" is given out on request only (autoAssign: false)"#
    );
}

#[test]
fn a_pool_without_auto_assign_gives_only_on_request() {
    let pools = || vec![on_request("a", &["10.0.0.0/30"]), pool("b", &["10.0.1.0/30"])];
    assert_eq!(alone(pools(), asks("a/a", V4)), ips(&["10.0.1.0"]));
    assert_eq!(alone(pools(), of_pool("a/a", V4, "a")), ips(&["10.0.0.0"]));
    assert_eq!(alone(pools(), pinned("a/a", V4, &["10.0.0.2"])), ips(&["10.0.0.2"]));
    let tried = vec![passed("a", Verdict::OnRequestOnly)];
    let found = refused(vec![on_request("a", &["10.0.0.0/30"])], asks("a/a", V4));
    assert_eq!(found, Refusal::NoneFree { family: Family::V4, tried });
}

#[test]
fn pools_come_by_priority_then_by_name_and_those_without_priority_last() {
    let all = || {
        vec![
            ranked("a", &["10.0.0.0/32"], 0),
            ranked("b", &["10.0.1.0/32"], 7),
            ranked("d", &["10.0.2.0/32"], 3),
            ranked("c", &["10.0.3.0/32"], 3),
            pool("e", &["10.0.4.0/32"]),
        ]
    };
    let expected = ips(&["10.0.3.0", "10.0.2.0", "10.0.1.0", "10.0.0.0", "10.0.4.0"]);
    for pools in [all(), all().into_iter().rev().collect()] {
        let mut allocator = world(pools);
        let given = (0..5).flat_map(|n| allocator.request(asks(&format!("a/{n}"), V4)).addresses());
        assert_eq!(given.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn pools_set_aside_for_a_service_come_before_those_for_everybody() {
    let allocation = ServiceAllocation {
        service_selectors: vec![Selector::label("tier", "gold")],
        ..ServiceAllocation::default()
    };
    let pools = vec![
        ranked("any", &["10.0.0.0/32"], 1),
        aside("web", &["10.0.1.0/32"], "web", 9),
        PoolSpec { allocation, ..pool("gold", &["10.0.2.0/32"]) },
    ];
    let mut allocator = world(pools);
    let gold = Labels::from([("tier".to_owned(), "gold".to_owned())]);
    for (request, expected) in [
        (asks("web/a", V4), "10.0.1.0"),
        (Request { labels: gold, ..asks("web/b", V4) }, "10.0.2.0"),
        (asks("db/a", V4), "10.0.0.0"),
    ] {
        assert_eq!(allocator.request(request).addresses(), ips(&[expected]));
    }
}

#[test]
fn a_selector_that_matches_no_namespace_opens_the_pool_to_nobody() {
    let allocation = ServiceAllocation {
        namespace_selectors: vec![Selector::label("team", "red")],
        ..ServiceAllocation::default()
    };
    let pools = || vec![PoolSpec { allocation: allocation.clone(), ..pool("red", &["10.0.0.0/30"]) }];
    let not_admitted = Refusal::NotAdmitted { pool: "red".into() };
    assert_eq!(refused(pools(), of_pool("a/a", V4, "red")), not_admitted);
    assert_eq!(refused(pools(), pinned("a/a", V4, &["10.0.0.1"])), not_admitted);
    let tried = vec![passed("red", Verdict::NotAdmitted)];
    assert_eq!(refused(pools(), asks("a/a", V4)), Refusal::NoneFree { family: Family::V4, tried });
}

#[test]
fn a_namespace_that_gains_a_label_wakes_its_services() {
    let allocation = ServiceAllocation {
        namespace_selectors: vec![Selector::label("team", "red")],
        ..ServiceAllocation::default()
    };
    let red = || Some(Labels::from([("team".to_owned(), "red".to_owned())]));
    for request in [asks("a/a", V4), of_pool("a/a", V4, "red"), pinned("a/a", V4, &["10.0.0.0"])] {
        let pools = vec![PoolSpec { allocation: allocation.clone(), ..pool("red", &["10.0.0.0/30"]) }];
        let mut allocator = world(pools);
        allocator.request(request);
        allocator.set_namespace("b", red().map(Into::into));
        assert_eq!(allocator.woken(), []);
        allocator.set_namespace("a", red().map(Into::into));
        let woken = allocator.woken();
        assert_eq!(woken.len(), 1);
        assert_eq!(woken[0].addresses(), ips(&["10.0.0.0"]));
        // Losing the label takes nothing from a live service.
        allocator.set_namespace("a", None);
        assert_eq!(allocator.woken(), []);
        assert_eq!(allocator.users(ip("10.0.0.0")), [key("a/a")]);
    }
}

#[test]
fn avoid_buggy_leaves_out_0_and_255_of_ipv4_only() {
    let buggy = || vec![PoolSpec { avoid_buggy: true, ..pool("p", &["10.0.0.254-10.0.1.1", "fd00::/64"]) }];
    let mut allocator = world(buggy());
    for (service, expected) in [("a/a", &["10.0.0.254"][..]), ("a/b", &["10.0.1.1"]), ("a/c", &[])] {
        assert_eq!(allocator.request(asks(service, V4)).addresses(), ips(expected), "{service}");
    }
    assert_eq!(
        allocator.counters("p", Family::V4),
        Some(Counters { total: 2, assigned: 2, ..Counters::default() })
    );
    assert_eq!(alone(buggy(), asks("a/a", V6)), ips(&["fd00::"]));
    assert_eq!(alone(buggy(), pinned("a/a", V6, &["fd00::ff"])), ips(&["fd00::ff"]));
    assert_eq!(alone(buggy(), pinned("a/a", V4, &["10.0.0.255"])), ips(&[]));
}

#[test]
fn dual_stack_comes_from_one_pool_if_it_can_and_from_two_if_it_must() {
    let one = || pool("z", &["10.0.9.0/30", "fd00:9::/64"]);
    let four = || pool("a", &["10.0.0.0/30"]);
    let six = || pool("b", &["fd00::/64"]);
    for (pools, families, expected) in [
        (vec![four(), six(), one()], REQUIRE_V4, &["10.0.9.0", "fd00:9::"][..]),
        (vec![four(), six(), one()], PREFER_V6, &["fd00:9::", "10.0.9.0"]),
        (vec![four(), six()], REQUIRE_V4, &["10.0.0.0", "fd00::"]),
        (vec![four(), six()], REQUIRE_V6, &["fd00::", "10.0.0.0"]),
        (vec![four(), six()], PREFER_V6, &["fd00::", "10.0.0.0"]),
        (vec![four()], PREFER_V6, &["10.0.0.0"]),
        (vec![six()], PREFER_V4, &["fd00::"]),
        (vec![four()], REQUIRE_V4, &[]),
        (vec![one()], V6, &["fd00:9::"]),
        (vec![one()], V4, &["10.0.9.0"]),
    ] {
        assert_eq!(alone(pools, asks("a/a", families)), ips(expected), "{families:?}");
    }
}

#[test]
fn a_service_that_prefers_both_is_served_with_one_and_told_what_is_missing() {
    let mut allocator = world(vec![pool("a", &["10.0.0.0/30"])]);
    let decision = allocator.request(asks("a/a", PREFER_V4));
    assert_eq!(decision.addresses(), ips(&["10.0.0.0"]));
    let tried = vec![passed("a", Verdict::NoSuchFamily)];
    assert_eq!(refusal(&decision), Refusal::NoneFree { family: Family::V6, tried });
}

#[test]
fn sharers_are_packed_onto_one_address() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
    for (request, expected, grant) in [
        (asks("a/other", V4), "10.0.0.0", Grant::Lowest),
        (shares("a/a", "k", "", &[80]), "10.0.0.1", Grant::Lowest),
        (shares("a/b", "k", "", &[81]), "10.0.0.1", Grant::Shared),
        // A port in common moves it to the next address, a third packs onto the lowest that fits.
        (shares("a/c", "k", "", &[80]), "10.0.0.2", Grant::Lowest),
        (shares("a/d", "k", "", &[82]), "10.0.0.1", Grant::Shared),
        (shares("a/e", "k", "", &[81]), "10.0.0.2", Grant::Shared),
        (shares("a/f", "k", "app=f", &[99]), "10.0.0.3", Grant::Lowest),
        (shares("a/g", "k", "app=f", &[98]), "10.0.0.3", Grant::Shared),
    ] {
        let decision = allocator.request(request);
        assert_eq!(decision.addresses(), ips(&[expected]), "{:?}", decision.key);
        assert_eq!(decision.held()[0].grant, grant, "{:?}", decision.key);
    }
    assert_eq!(allocator.users(ip("10.0.0.1")), ["a/a", "a/b", "a/d"].map(key));
    assert_eq!(
        allocator.counters("p", Family::V4),
        Some(Counters { total: 4, assigned: 4, ..Counters::default() })
    );
}

#[test]
fn sharers_are_packed_in_the_order_in_which_the_pool_lists_its_addresses() {
    let mut allocator = world(vec![pool("p", &["10.0.1.0/32", "10.0.0.0/32"])]);
    allocator.request(shares("a/a", "k", "", &[80]));
    allocator.request(shares("a/b", "k", "", &[80]));
    assert_eq!(allocator.users(ip("10.0.0.0")), [key("a/b")]);
    let third = allocator.request(shares("a/c", "k", "", &[81]));
    assert_eq!(third.addresses(), ips(&["10.0.1.0"]));
}

#[test]
fn a_waiting_sharer_is_woken_by_a_port_that_comes_free() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/32"])]);
    allocator.request(shares("a/a", "k", "", &[80]));
    allocator.request(shares("a/b", "k", "", &[80]));
    allocator.request(shares("a/a", "k", "", &[81]));
    let woken = allocator.woken();
    assert_eq!(woken.len(), 1);
    assert_eq!(woken[0].addresses(), ips(&["10.0.0.0"]));
    assert_eq!(allocator.users(ip("10.0.0.0")), ["a/a", "a/b"].map(key));
}

#[test]
fn the_only_user_of_an_address_changes_its_key_in_place_and_one_of_two_has_to_move() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
    allocator.request(shares("a/a", "k", "", &[80]));
    let alone = allocator.request(shares("a/a", "l", "", &[80]));
    assert_eq!((alone.addresses(), alone.changed), (ips(&["10.0.0.0"]), false));

    assert_eq!(allocator.request(shares("a/b", "l", "", &[81])).addresses(), ips(&["10.0.0.0"]));
    let moved = allocator.request(shares("a/a", "k", "", &[80]));
    assert_eq!((moved.addresses(), moved.changed), (ips(&["10.0.0.1"]), true));
    assert_eq!(allocator.users(ip("10.0.0.0")), [key("a/b")]);
    assert_eq!(
        allocator.counters("p", Family::V4),
        Some(Counters { total: 4, assigned: 2, ..Counters::default() })
    );
}

#[test]
fn counters_of_huge_pools_do_not_overflow() {
    let ranges = ["fd00::/8", "2001:db8::/32", "10.0.0.0/8"];
    let mut allocator = world(vec![pool("p", &ranges), pool("q", &["fe00::/8"])]);
    allocator.request(asks("a/a", REQUIRE_V6));
    let six = allocator.counters("p", Family::V6).expect("the pool is in force");
    assert_eq!(six, Counters { total: (1 << 120) + (1 << 96), assigned: 1, ..Counters::default() });
    assert_eq!(six.available(), (1 << 120) + (1 << 96) - 1);
    assert_eq!(
        allocator.counters("p", Family::V4),
        Some(Counters { total: 1 << 24, assigned: 1, ..Counters::default() })
    );

    let mut allocator = world(vec![pool("all", &["::/0"])]);
    assert_eq!(allocator.request(asks("a/a", V6)).addresses(), ips(&["::"]));
    let all = allocator.counters("all", Family::V6).expect("the pool is in force");
    assert_eq!(all.available(), u128::MAX - 1);
}
