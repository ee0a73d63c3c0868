//! Addresses that a pool has and does not give to everybody: excluded ones, those of nodes and gateways, and
//! those kept for a service by name. One claim per test.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::pool::{PoolProblemKind, ReservationError};
use lbcore::{
    AddressRange, Allocator, Avoided, Counters, Decision, Exclusion, Families, Family, Grant, Labels,
    PoolSpec, PoolVerdict, Port, Protocol, Refusal, Request, Reservation, Selector, ServiceAllocation,
    ServiceKey, ServicePattern, Sharing, Verdict,
};

const V4: Families = Families::Single(Family::V4);
const V6: Families = Families::Single(Family::V6);
const REQUIRE: Families = Families::Require { primary: Family::V4 };

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().expect(text)).collect()
}

fn ip(text: &str) -> IpAddr {
    ips(&[text])[0]
}

fn key(text: &str) -> ServiceKey {
    text.parse().expect(text)
}

fn range(text: &str) -> AddressRange {
    AddressRange::parse_or_address(text).expect(text)
}

fn pool(name: &str, ranges: &[&str]) -> PoolSpec {
    PoolSpec::parse(name, ranges.iter().copied()).expect("good ranges")
}

fn excluding(excludes: &[&str], pool: PoolSpec) -> PoolSpec {
    PoolSpec { excludes: excludes.iter().map(|text| range(text)).collect(), ..pool }
}

fn keeping(reservations: &[&str], pool: PoolSpec) -> PoolSpec {
    let reservations = reservations.iter().map(|text| text.parse().expect(text)).collect();
    PoolSpec { reservations, ..pool }
}

fn world(pools: Vec<PoolSpec>) -> Allocator {
    let mut allocator = Allocator::default();
    assert_eq!(allocator.set_pools(pools).problems, []);
    assert_eq!(allocator.woken(), []);
    allocator
}

fn avoided(addresses: &[&str]) -> BTreeMap<IpAddr, Avoided> {
    addresses.iter().map(|text| (ip(text), Avoided::Node("n1".to_owned()))).collect()
}

fn asks(service: &str, families: Families) -> Request {
    Request::new(key(service), families)
}

fn pinned(service: &str, address: &str) -> Request {
    let address = ip(address);
    Request { addresses: vec![address], ..asks(service, Families::Single(Family::of(address))) }
}

fn shares(service: &str, port: u16) -> Request {
    let ports = [Port { protocol: Protocol::Tcp, number: port }].into();
    Request {
        sharing: Some(Sharing { key: "k".to_owned(), backend: String::new() }),
        ports,
        ..asks(service, V4)
    }
}

fn given(allocator: &mut Allocator, request: Request) -> Vec<IpAddr> {
    allocator.request(request).addresses()
}

fn now(allocator: &Allocator, service: &str) -> Decision {
    allocator.decision(&key(service)).expect(service)
}

fn keys(decisions: &[Decision]) -> Vec<String> {
    decisions.iter().map(|decision| decision.key.to_string()).collect()
}

/// All that services get that ask for nothing else, one after the other.
fn all_given(pools: Vec<PoolSpec>, families: Families) -> Vec<String> {
    let mut allocator = world(pools);
    let next =
        |n| allocator.request(asks(&format!("x/{n}"), families)).addresses().first().map(ToString::to_string);
    (0..20).map_while(next).collect()
}

#[test]
fn an_excluded_address_is_given_neither_by_choice_nor_by_name() {
    let plain = || pool("p", &["10.0.0.0/29", "fd00::/125"]);
    let network = || PoolSpec { exclude_network_addresses: true, ..plain() };
    let buggy = || PoolSpec { avoid_buggy: true, ..plain() };
    let listed = |text| Exclusion::Listed(range(text));
    for (spec, address, why, code) in [
        (excluding(&["10.0.0.3"], plain()), "10.0.0.3", listed("10.0.0.3"), "AddressExcluded"),
        (
            excluding(&["10.0.0.2-10.0.0.5"], plain()),
            "10.0.0.4",
            listed("10.0.0.2-10.0.0.5"),
            "AddressExcluded",
        ),
        (excluding(&["10.0.0.0/16"], plain()), "10.0.0.7", listed("10.0.0.0/16"), "AddressExcluded"),
        (excluding(&["fd00::/127"], plain()), "fd00::1", listed("fd00::/127"), "AddressExcluded"),
        (network(), "10.0.0.0", Exclusion::Network, "AddressExcluded"),
        (network(), "10.0.0.7", Exclusion::Broadcast, "AddressExcluded"),
        (network(), "fd00::", Exclusion::Network, "AddressExcluded"),
        (buggy(), "10.0.0.0", Exclusion::Buggy, "AddressExcluded"),
    ] {
        let refused = world(vec![spec.clone()]).request(pinned("a/a", address));
        let excluded = Refusal::Excluded { address: ip(address), pool: "p".into(), why };
        assert_eq!(refused.refusal(), Some(&excluded));
        assert_eq!(excluded.code(), code);
        let all = all_given(vec![spec.clone()], Families::Single(Family::of(ip(address))));
        assert!(!all.contains(&address.to_owned()), "{all:?}");
        let counters = world(vec![spec]).counters("p", Family::of(ip(address))).expect("in force");
        assert_eq!(counters.total, all.len() as u128);
    }
}

#[test]
fn the_edges_of_subnets_are_left_out_and_those_of_other_ranges_are_not() {
    for (text, families, expected) in [
        ("10.0.0.0/30", V4, &["10.0.0.1", "10.0.0.2"][..]),
        ("10.0.0.4-10.0.0.7", V4, &["10.0.0.5", "10.0.0.6"]),
        ("10.0.0.0/31", V4, &["10.0.0.0", "10.0.0.1"]),
        ("10.0.0.0/32", V4, &["10.0.0.0"]),
        ("10.0.0.1-10.0.0.4", V4, &["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]),
        ("10.0.0.0-10.0.0.2", V4, &["10.0.0.0", "10.0.0.1", "10.0.0.2"]),
        ("fd00::/126", V6, &["fd00::1", "fd00::2", "fd00::3"]),
        ("fd00::/127", V6, &["fd00::", "fd00::1"]),
    ] {
        let spec = PoolSpec { exclude_network_addresses: true, ..pool("p", &[text]) };
        assert_eq!(all_given(vec![spec], families), expected, "{text}");
    }
}

#[test]
fn a_pool_of_which_all_is_excluded_has_no_address_at_all() {
    let mut allocator = world(vec![excluding(&["0.0.0.0/0"], pool("p", &["10.0.0.0/24"]))]);
    let tried = vec![PoolVerdict { pool: "p".into(), verdict: Verdict::NoSuchFamily }];
    let refused = allocator.request(asks("a/a", V4));
    assert_eq!(refused.refusal(), Some(&Refusal::NoneFree { family: Family::V4, tried }));
    assert_eq!(allocator.counters("p", Family::V4), Some(Counters::default()));
}

#[test]
fn an_address_that_is_excluded_no_more_is_given_to_the_one_that_waits() {
    let spec = || pool("p", &["10.0.0.0/31"]);
    let mut allocator = world(vec![excluding(&["10.0.0.1"], spec())]);
    allocator.request(asks("a/a", V4));
    allocator.request(asks("a/any", V4));
    allocator.request(Request { created: 1, ..pinned("a/named", "10.0.0.1") });
    allocator.set_pools(vec![spec()]);
    assert_eq!(keys(&allocator.woken())[0], "a/any");
    assert_eq!(allocator.users(ip("10.0.0.1")), [key("a/any")]);
}

#[test]
fn an_avoided_address_is_given_only_to_who_asks_for_it_and_the_reason_is_seen() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/31"])]);
    assert_eq!(allocator.set_avoided(avoided(&["10.0.0.0"])), []);
    assert_eq!(given(&mut allocator, asks("a/a", V4)), ips(&["10.0.0.1"]));
    let none = allocator.request(asks("a/b", V4));
    assert_eq!(
        none.refusal().expect("nothing is free").to_string(),
        r#"no free IPv4 address: pool "p" has none left of 2 (of nodes, gateways and others: 1)"#
    );
    let counted = Counters { total: 2, assigned: 1, avoided: 1, ..Counters::default() };
    assert_eq!(allocator.counters("p", Family::V4), Some(counted));
    let asked = allocator.request(pinned("a/c", "10.0.0.0"));
    assert_eq!(asked.addresses(), ips(&["10.0.0.0"]));
    let owner = Avoided::Node("n1".to_owned());
    assert_eq!(asked.refusal(), Some(&Refusal::NotAlone { address: ip("10.0.0.0"), owner }));
    let counted = Counters { total: 2, assigned: 2, ..Counters::default() };
    assert_eq!(allocator.counters("p", Family::V4), Some(counted));
    // Free again, it waits for nobody but who asks for it.
    allocator.release(&key("a/c"));
    assert_eq!(allocator.woken(), []);
}

#[test]
fn a_held_address_that_turns_out_to_be_a_nodes_is_kept_with_a_warning() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/31"])]);
    allocator.request(asks("a/a", V4));
    let told = allocator.set_avoided(avoided(&["10.0.0.0", "10.0.0.1", "10.9.9.9"]));
    assert_eq!(keys(&told), ["a/a"]);
    assert_eq!(told[0].addresses(), ips(&["10.0.0.0"]));
    assert_eq!(
        told[0].refusal().expect("a warning").to_string(),
        "10.0.0.0 is also the address of node n1: two hosts will answer for it; give the Service another address"
    );
    assert_eq!(allocator.set_avoided(avoided(&["10.0.0.0", "10.0.0.1"])), []);
    let gateway = BTreeMap::from([(ip("10.0.0.0"), Avoided::GatewayOf("n2".to_owned()))]);
    let told = allocator.set_avoided(gateway);
    assert!(told[0].refusal().expect("a warning").to_string().contains("is also the gateway of node n2"));
    let told = allocator.set_avoided(BTreeMap::new());
    assert_eq!((keys(&told), told[0].refusal()), (vec!["a/a".to_owned()], None));
}

#[test]
fn an_avoided_address_is_shared_only_by_who_asks_for_it() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/31"])]);
    allocator.request(shares("a/a", 80));
    allocator.set_avoided(avoided(&["10.0.0.0"]));
    assert_eq!(given(&mut allocator, shares("a/b", 81)), ips(&["10.0.0.1"]));
    let named = Request { addresses: ips(&["10.0.0.0"]), ..shares("a/c", 82) };
    assert_eq!(given(&mut allocator, named), ips(&["10.0.0.0"]));
}

#[test]
fn an_address_that_is_avoided_no_more_wakes_who_could_use_or_share_it() {
    for (holder, waiting) in [(None, asks("b/waits", V4)), (Some(shares("a/a", 80)), shares("b/waits", 81))] {
        let mut allocator = world(vec![pool("p", &["10.0.0.0/32"])]);
        if let Some(request) = holder {
            allocator.request(request);
        }
        allocator.set_avoided(avoided(&["10.0.0.0"]));
        assert_eq!(given(&mut allocator, waiting), ips(&[]));
        allocator.set_avoided(BTreeMap::new());
        assert_eq!(keys(&allocator.woken()), ["b/waits"]);
    }
}

#[test]
fn a_kept_address_goes_to_no_stranger_by_choice_by_name_or_by_sharing() {
    let spec = || keeping(&["10.0.0.0=web/nginx"], pool("p", &["10.0.0.0/31"]));
    let mut allocator = world(vec![spec()]);
    assert_eq!(given(&mut allocator, asks("a/a", V4)), ips(&["10.0.0.1"]));
    let none = allocator.request(asks("a/b", V4));
    assert_eq!(
        none.refusal().expect("nothing is free").to_string(),
        r#"no free IPv4 address: pool "p" has none left of 2 (kept for Services by name: 1)"#
    );
    let named = allocator.request(pinned("web/other", "10.0.0.0"));
    let reserved =
        Refusal::Reserved { address: ip("10.0.0.0"), pool: "p".into(), pattern: "web/nginx".to_owned() };
    assert_eq!(named.refusal(), Some(&reserved));
    assert_eq!(reserved.to_string(), r#"10.0.0.0 is kept for web/nginx (lbd.io/reserve of pool "p")"#);
    let counted = Counters { total: 2, assigned: 1, reserved: 1, ..Counters::default() };
    assert_eq!(allocator.counters("p", Family::V4), Some(counted));

    let mut allocator = world(vec![spec()]);
    let owner = allocator.request(shares("web/nginx", 80));
    assert_eq!((owner.addresses(), owner.held()[0].grant), (ips(&["10.0.0.0"]), Grant::Reserved));
    assert_eq!(given(&mut allocator, shares("a/b", 81)), ips(&["10.0.0.1"]));
    let named = allocator.request(Request { addresses: ips(&["10.0.0.0"]), ..shares("a/c", 82) });
    assert_eq!(named.refusal(), Some(&reserved));
    // Nor is a stranger told of it when it comes free.
    allocator.request(asks("a/waits", V4));
    allocator.release(&key("web/nginx"));
    assert_eq!(allocator.woken(), []);
}

#[test]
fn a_service_gets_what_is_kept_for_it_first() {
    let aside = |name: &str, ranges: &[&str]| {
        let allocation = ServiceAllocation { namespaces: ["other".to_owned()].into(), ..Default::default() };
        PoolSpec { allocation, ..pool(name, ranges) }
    };
    for (pools, request, expected) in [
        // By name before by pattern, whatever the order of the addresses.
        (
            vec![keeping(&["10.0.0.1=web/*", "10.0.0.2=web/a"], pool("p", &["10.0.0.0/30"]))],
            asks("web/a", V4),
            &["10.0.0.2"][..],
        ),
        (vec![keeping(&["10.0.0.1=web/*"], pool("p", &["10.0.0.0/30"]))], asks("web/a", V4), &["10.0.0.1"]),
        // In a later pool, also in one that gives to others on request only.
        (
            vec![pool("a", &["10.0.1.0/24"]), keeping(&["10.0.0.1=web/a"], pool("p", &["10.0.0.0/30"]))],
            asks("web/a", V4),
            &["10.0.0.1"],
        ),
        (
            vec![PoolSpec {
                auto_assign: false,
                ..keeping(&["10.0.0.1=web/a"], pool("p", &["10.0.0.0/30"]))
            }],
            asks("web/a", V4),
            &["10.0.0.1"],
        ),
        // Not in one that it does not ask for, or that does not admit it.
        (
            vec![pool("a", &["10.0.1.0/24"]), keeping(&["10.0.0.1=web/a"], pool("p", &["10.0.0.0/30"]))],
            Request { pool: Some("a".into()), ..asks("web/a", V4) },
            &["10.0.1.0"],
        ),
        (
            vec![pool("a", &["10.0.1.0/24"]), keeping(&["10.0.0.1=web/a"], aside("p", &["10.0.0.0/30"]))],
            asks("web/a", V4),
            &["10.0.1.0"],
        ),
        // What it asks for by name comes before.
        (
            vec![keeping(&["10.0.0.1=web/a"], pool("p", &["10.0.0.0/30"]))],
            pinned("web/a", "10.0.0.3"),
            &["10.0.0.3"],
        ),
        // Both families, or one, and the other beside it.
        (
            vec![keeping(&["10.0.0.1=web/a", "fd00::5=web/a"], pool("p", &["10.0.0.0/30", "fd00::/64"]))],
            asks("web/a", REQUIRE),
            &["10.0.0.1", "fd00::5"],
        ),
        (
            vec![
                pool("a", &["10.0.1.0/30", "fd01::/64"]),
                keeping(&["fd00::5=web/a"], pool("p", &["10.0.0.0/30", "fd00::/64"])),
            ],
            asks("web/a", REQUIRE),
            &["10.0.0.0", "fd00::5"],
        ),
    ] {
        assert_eq!(given(&mut world(pools.clone()), request.clone()), ips(expected), "{request:?} {pools:?}");
    }
}

#[test]
fn a_range_is_kept_for_as_many_services_of_a_pattern_as_it_has_addresses() {
    let mut allocator = world(vec![keeping(&["10.0.0.0/31=web/*"], pool("p", &["10.0.0.0/30"]))]);
    for (service, expected) in
        [("a/a", "10.0.0.2"), ("web/a", "10.0.0.0"), ("web/b", "10.0.0.1"), ("web/c", "10.0.0.3")]
    {
        assert_eq!(given(&mut allocator, asks(service, V4)), ips(&[expected]), "{service}");
    }
    allocator.request(asks("a/waits", V4));
    allocator.request(Request { created: 9, ..asks("web/waits", V4) });
    allocator.release(&key("web/a"));
    assert_eq!(keys(&allocator.woken()), ["web/waits"]);
}

#[test]
fn an_address_kept_while_a_stranger_has_it_stays_with_it_and_goes_to_its_owner_then() {
    let plain = || pool("p", &["10.0.0.0/32"]);
    let mut allocator = world(vec![plain()]);
    allocator.request(asks("a/a", V4));
    allocator.request(asks("a/waits", V4));
    allocator.request(Request { created: 9, ..asks("web/nginx", V4) });
    let told = allocator.set_pools(vec![keeping(&["10.0.0.0=web/nginx"], plain())]).decisions;
    assert_eq!(keys(&told), ["a/a"]);
    allocator.woken();
    assert_eq!(now(&allocator, "a/a").addresses(), ips(&["10.0.0.0"]));
    assert_eq!(now(&allocator, "a/a").refusal().map(Refusal::code), Some("AddressReserved"));
    allocator.release(&key("a/a"));
    assert_eq!(keys(&allocator.woken()), ["web/nginx"]);
    assert_eq!(now(&allocator, "web/nginx").held()[0].grant, Grant::Reserved);
}

#[test]
fn a_reservation_moves_no_live_service() {
    let plain = || pool("p", &["10.0.0.0/30"]);
    let mut allocator = world(vec![plain()]);
    allocator.request(asks("web/nginx", V4));
    assert_eq!(allocator.set_pools(vec![keeping(&["10.0.0.3=web/nginx"], plain())]).decisions, []);
    assert_eq!(allocator.woken(), []);
    assert!(!allocator.request(asks("web/nginx", V4)).changed);
}

#[test]
fn a_namespace_that_is_admitted_wakes_its_services_for_what_is_kept_for_them() {
    let namespace_selectors = vec![Selector::label("team", "x")];
    let allocation = ServiceAllocation { namespace_selectors, ..Default::default() };
    for auto_assign in [true, false] {
        let spec = PoolSpec { auto_assign, allocation: allocation.clone(), ..pool("p", &["10.0.0.0/30"]) };
        let mut allocator = world(vec![keeping(&["10.0.0.1=web/nginx"], spec)]);
        assert_eq!(given(&mut allocator, asks("web/nginx", V4)), ips(&[]));
        let labels = Labels::from([("team".to_owned(), "x".to_owned())]);
        allocator.set_namespace("web", Some(labels.into()));
        assert_eq!(keys(&allocator.woken()), ["web/nginx"], "auto-assign {auto_assign}");
        assert_eq!(now(&allocator, "web/nginx").addresses(), ips(&["10.0.0.1"]));
    }
}

#[test]
fn patterns_match_namespace_and_name_each_for_itself() {
    for (pattern, service, matches) in [
        ("web/nginx", "web/nginx", true),
        ("web/nginx", "web/nginx2", false),
        ("web/nginx", "web2/nginx", false),
        ("web/*", "web/nginx", true),
        ("web/*", "web2/nginx", false),
        ("*/nginx", "web/nginx", true),
        ("*/*", "web/nginx", true),
        ("we?/n*x", "web/nginx", true),
        ("we?/n*x", "weeb/nginx", false),
        ("web/?", "web/nginx", false),
    ] {
        let parsed: ServicePattern = pattern.parse().expect(pattern);
        assert_eq!(parsed.matches(&key(service)), matches, "{pattern} {service}");
        assert_eq!(parsed.to_string(), pattern);
        assert_eq!(parsed.is_exact(), !pattern.contains(['*', '?']));
    }
}

#[test]
fn a_reservation_that_cannot_be_read_is_told_with_what_would_be_right() {
    for (text, part) in [
        ("10.0.0.5", "is no reservation; write ADDRESSES=NAMESPACE/NAME"),
        ("10.0.0.x=web/nginx", "is not an IP address"),
        ("10.0.0.5-fd00::=web/nginx", "both ends must be of one family"),
        ("10.0.0.5=nginx", "names no service; write NAMESPACE/NAME"),
        ("10.0.0.5=/nginx", "names no service"),
        ("10.0.0.5=web/", "names no service"),
        ("10.0.0.5=web/nginx/x", "names no service"),
    ] {
        let error: ReservationError = text.parse::<Reservation>().expect_err(text);
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_pool_that_keeps_what_it_does_not_give_or_keeps_it_twice_is_faulty() {
    let base = || pool("p", &["10.0.0.0/29"]);
    let twice = |kind: &PoolProblemKind| matches!(kind, PoolProblemKind::ReservedTwice { .. });
    for (spec, is_twice) in [
        (keeping(&["10.0.1.0=web/a"], base()), false),
        (keeping(&["fd00::1=web/a"], base()), false),
        (excluding(&["10.0.0.1"], keeping(&["10.0.0.1=web/a"], base())), false),
        (PoolSpec { avoid_buggy: true, ..keeping(&["10.0.0.0=web/a"], base()) }, false),
        (PoolSpec { exclude_network_addresses: true, ..keeping(&["10.0.0.7=web/a"], base()) }, false),
        (keeping(&["10.0.0.1=web/a", "10.0.0.1=web/b"], base()), true),
        (keeping(&["10.0.0.0/30=web/*", "10.0.0.3-10.0.0.4=web/b"], base()), true),
    ] {
        let mut allocator = Allocator::default();
        let problems = allocator.set_pools(vec![spec, pool("q", &["10.1.0.0/30"])]).problems;
        assert_eq!(problems.len(), 1);
        assert_eq!((&*problems[0].pool, &*problems[0].path), ("p", "metadata.annotations[lbd.io/reserve]"));
        assert_eq!(twice(&problems[0].kind), is_twice, "{}", problems[0]);
        assert_eq!(allocator.pools().map(|pool| &*pool.name).collect::<Vec<_>>(), ["q"]);
    }
}
