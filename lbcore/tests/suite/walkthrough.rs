//! The story that a user follows, as far as addresses are concerned.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::allocator::Claim;
use lbcore::{
    Allocator, Counters, Decision, Families, Family, Grant, Outcome, PoolSpec, PoolVerdict, Refusal, Request,
    ServiceKey, Verdict,
};

const V4: Families = Families::Single(Family::V4);

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn key(text: &str) -> ServiceKey {
    text.parse().expect(text)
}

/// A request of a service created at `created`.
fn asks(service: &str, created: i64) -> Request {
    Request { created, ..Request::new(key(service), V4) }
}

fn four_addresses() -> Allocator {
    let mut allocator = Allocator::default();
    let pool = PoolSpec::parse("default", ["192.168.3.251-192.168.3.254"]).expect("a good pool");
    let changed = allocator.set_pools(vec![pool]);
    assert_eq!((changed.problems, changed.decisions), (vec![], vec![]));
    assert_eq!(allocator.woken(), []);
    allocator
}

fn only_address(decision: &Decision) -> IpAddr {
    assert_eq!(decision.refusal(), None);
    let addresses = decision.addresses();
    assert_eq!(addresses.len(), 1, "{decision:?}");
    addresses[0]
}

/// Steps 1 to 6: two gateways, nginx, a pinned service, and a fifth that finds the pool full.
fn full_house() -> Allocator {
    let mut allocator = four_addresses();
    for (service, created, pinned, expected) in [
        ("istio-system/istio-ingressgateway", 1, None, "192.168.3.251"),
        ("istio-system/istio-eastwestgateway", 2, None, "192.168.3.252"),
        ("default/nginx", 3, None, "192.168.3.253"),
        ("default/pinned", 4, Some(ip("192.168.3.254")), "192.168.3.254"),
    ] {
        let request = Request { addresses: pinned.into_iter().collect(), ..asks(service, created) };
        let decision = allocator.request(request);
        assert!(decision.changed, "{service}");
        assert_eq!(only_address(&decision), ip(expected), "{service}");
        let holding = &decision.held()[0];
        assert_eq!(&*holding.pool, "default", "{service}");
        let grant = if pinned.is_some() { Grant::Requested } else { Grant::Lowest };
        assert_eq!(holding.grant, grant, "{service}");
    }
    allocator.request(asks("default/fifth", 5));
    allocator
}

#[test]
fn gateways_then_nginx_then_a_pinned_service_fill_the_pool_in_order() {
    let allocator = full_house();
    let counters = allocator.counters("default", Family::V4).expect("the pool is in force");
    assert_eq!(counters, Counters { total: 4, assigned: 4, ..Counters::default() });
    assert_eq!(counters.available(), 0);
    let held: Vec<_> = allocator.held().collect();
    assert_eq!(held.len(), 4);
    assert!(held.contains(&(ip("192.168.3.253"), vec![key("default/nginx")])));
}

#[test]
fn an_address_can_be_pinned_before_its_turn_comes() {
    let mut allocator = four_addresses();
    let pinned = Request { addresses: vec![ip("192.168.3.252")], ..asks("default/pinned", 9) };
    assert_eq!(only_address(&allocator.request(pinned)), ip("192.168.3.252"));
    for (service, expected) in [("a/a", "192.168.3.251"), ("a/b", "192.168.3.253"), ("a/c", "192.168.3.254")]
    {
        assert_eq!(only_address(&allocator.request(asks(service, 1))), ip(expected));
    }
}

#[test]
fn the_fifth_service_stays_pending_and_says_why() {
    let allocator = full_house();
    let fifth = allocator.decision(&key("default/fifth")).expect("it has asked");
    let tried = vec![PoolVerdict {
        pool: "default".into(),
        verdict: Verdict::Full { total: 4, reserved: 0, avoided: 0 },
    }];
    let refusal = Refusal::NoneFree { family: Family::V4, tried };
    assert_eq!(fifth.outcome, Outcome::Pending { refusal: refusal.clone().into() });
    assert_eq!(refusal.to_string(), r#"no free IPv4 address: pool "default" has all 4 in use"#);
    assert_eq!(refusal.code(), "PoolExhausted");
}

#[test]
fn deleting_nginx_gives_its_address_to_the_fifth() {
    let mut allocator = full_house();
    let freed = allocator.release(&key("default/nginx"));
    assert_eq!(freed.iter().map(|holding| holding.address).collect::<Vec<_>>(), [ip("192.168.3.253")]);
    assert_eq!(allocator.decision(&key("default/nginx")), None);
    assert_eq!(allocator.users(ip("192.168.3.253")), []);

    let woken = allocator.woken();
    assert_eq!(woken.len(), 1, "{woken:?}");
    assert_eq!(woken[0].key, key("default/fifth"));
    assert!(woken[0].changed);
    assert_eq!(only_address(&woken[0]), ip("192.168.3.253"));
    assert_eq!(allocator.users(ip("192.168.3.253")), [key("default/fifth")]);
    assert_eq!(allocator.woken(), []);
}

#[test]
fn nobody_else_moves_when_nginx_goes() {
    let mut allocator = full_house();
    allocator.release(&key("default/nginx"));
    allocator.woken();
    for (service, expected) in [
        ("istio-system/istio-ingressgateway", "192.168.3.251"),
        ("istio-system/istio-eastwestgateway", "192.168.3.252"),
        ("default/pinned", "192.168.3.254"),
    ] {
        let decision = allocator.decision(&key(service)).expect("it is still there");
        assert_eq!(only_address(&decision), ip(expected), "{service}");
    }
}

#[test]
fn the_address_of_nginx_stays_free_when_nobody_waits() {
    let mut allocator = four_addresses();
    allocator.request(asks("default/nginx", 1));
    allocator.release(&key("default/nginx"));
    assert_eq!(allocator.woken(), []);
    assert_eq!(
        allocator.counters("default", Family::V4),
        Some(Counters { total: 4, assigned: 0, ..Counters::default() })
    );
    // Made again, it finds its old address free.
    assert_eq!(only_address(&allocator.request(asks("default/nginx", 2))), ip("192.168.3.251"));
}

#[test]
fn without_a_pool_a_service_waits_for_one() {
    let mut allocator = Allocator::default();
    let decision = allocator.request(asks("default/nginx", 1));
    assert_eq!(decision.refusal(), Some(&Refusal::NoPools));
    assert_eq!(Refusal::NoPools.to_string(), "there is no address pool; create an IPAddressPool");

    allocator.set_pools(vec![PoolSpec::parse("default", ["192.168.3.251-192.168.3.254"]).expect("good")]);
    let woken = allocator.woken();
    assert_eq!(woken.len(), 1);
    assert_eq!(only_address(&woken[0]), ip("192.168.3.251"));
}

#[test]
fn many_ranges_of_one_pool_are_used_in_the_order_written() {
    let mut allocator = Allocator::default();
    let pool = PoolSpec::parse("default", ["192.168.12.0/24", "192.168.144.0/20"]).expect("a good pool");
    allocator.set_pools(vec![pool]);
    let counters = allocator.counters("default", Family::V4).expect("the pool is in force");
    assert_eq!(counters.total, 256 + 4096);

    let nth = |allocator: &mut Allocator, n: i64| {
        only_address(&allocator.request(asks(&format!("default/s{n:04}"), n)))
    };
    assert_eq!(nth(&mut allocator, 0), ip("192.168.12.0"));
    for n in 1..255 {
        nth(&mut allocator, n);
    }
    assert_eq!(nth(&mut allocator, 255), ip("192.168.12.255"));
    assert_eq!(nth(&mut allocator, 256), ip("192.168.144.0"));
    for n in 257..4351 {
        nth(&mut allocator, n);
    }
    assert_eq!(nth(&mut allocator, 4351), ip("192.168.159.255"));
    let last = allocator.request(asks("default/late", 9999));
    let why = last.refusal().expect("the pool is full").to_string();
    assert_eq!(why, r#"no free IPv4 address: pool "default" has all 4352 in use"#);
}

#[test]
fn the_order_written_counts_also_when_the_higher_range_comes_first() {
    let mut allocator = Allocator::default();
    let pool = PoolSpec::parse("default", ["192.168.144.0/31", "192.168.12.0/31"]).expect("a good pool");
    allocator.set_pools(vec![pool]);
    let given: Vec<IpAddr> =
        (0..4).map(|n| only_address(&allocator.request(asks(&format!("default/s{n}"), n)))).collect();
    assert_eq!(given, ["192.168.144.0", "192.168.144.1", "192.168.12.0", "192.168.12.1"].map(ip));
}

#[test]
fn a_restart_in_the_middle_of_the_story_changes_nothing() {
    let before = full_house();
    let mut after = four_addresses();
    let services = [
        (asks("default/fifth", 5), vec![]),
        (
            Request { addresses: vec![ip("192.168.3.254")], ..asks("default/pinned", 4) },
            vec!["192.168.3.254"],
        ),
        (asks("default/nginx", 3), vec!["192.168.3.253"]),
        (asks("istio-system/istio-eastwestgateway", 2), vec!["192.168.3.252"]),
        (asks("istio-system/istio-ingressgateway", 1), vec!["192.168.3.251"]),
    ];
    let claims = services.map(|(request, held)| Claim {
        request: request.into(),
        addresses: held.into_iter().map(ip).collect(),
        recorded_pool: Some("default".into()),
        recorded_pools: BTreeMap::new(),
    });
    let decisions = after.adopt(claims.to_vec());
    assert_eq!(decisions.len(), 5);
    for decision in decisions {
        let earlier = before.decision(&decision.key).expect("the same services");
        assert_eq!(decision.addresses(), earlier.addresses());
        assert_eq!(decision.refusal(), earlier.refusal());
        let pending = decision.addresses().is_empty();
        assert_eq!(decision.changed, pending, "only the reason for waiting is news: {decision:?}");
    }
    assert_eq!(after.woken(), []);
    assert_eq!(
        after.counters("default", Family::V4),
        Some(Counters { total: 4, assigned: 4, ..Counters::default() })
    );
}
