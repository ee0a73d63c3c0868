//! What is remembered of addresses that were freed: a service comes back to its own, others get them last.
//! One claim per test.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lbcore::{
    Allocator, Avoided, Families, Family, Grant, PoolSpec, PoolState, Port, Protocol, Remembered, Request,
    ServiceKey, Sharing,
};

const V4: Families = Families::Single(Family::V4);
const PREFER: Families = Families::Prefer { primary: Family::V4 };
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

/// A pool that is sticky for `sticky` and lets addresses cool down for `cool_down` microseconds.
fn resting(name: &str, ranges: &[&str], sticky: u64, cool_down: u64) -> PoolSpec {
    let spec = PoolSpec::parse(name, ranges.iter().copied()).expect("good ranges");
    let (sticky, cool_down) = (Duration::from_micros(sticky), Duration::from_micros(cool_down));
    PoolSpec { sticky, cool_down, ..spec }
}

fn world(pools: Vec<PoolSpec>) -> Allocator {
    let mut allocator = Allocator::default();
    assert_eq!(allocator.set_pools(pools).problems, []);
    allocator
}

fn asks(service: &str, families: Families) -> Request {
    Request::new(key(service), families)
}

fn pinned(service: &str, address: &str) -> Request {
    Request { addresses: ips(&[address]), ..asks(service, V4) }
}

fn shares(service: &str, sharing: &str, port: u16) -> Request {
    let ports = [Port { protocol: Protocol::Tcp, number: port }].into();
    let sharing = Some(Sharing { key: sharing.to_owned(), backend: String::new() });
    Request { sharing, ports, ..asks(service, V4) }
}

fn given(allocator: &mut Allocator, request: Request) -> Vec<IpAddr> {
    allocator.request(request).addresses()
}

/// Asks, and goes again at `time`.
fn comes_and_goes(allocator: &mut Allocator, request: Request, time: i64) {
    let service = request.key.clone();
    assert!(!given(allocator, request).is_empty());
    allocator.advance(time);
    allocator.release(&service);
    assert_eq!(allocator.woken(), []);
}

/// A process that takes over what is remembered of these pools, told in the opposite order.
fn restarted(allocator: &Allocator, time: i64) -> Allocator {
    let mut after = Allocator::default();
    after.advance(time);
    after.set_pools(allocator.pools().cloned().collect());
    let entries = allocator.pools().flat_map(|pool| allocator.remembered(&pool.name));
    let mut entries: Vec<Remembered> = entries.collect();
    entries.reverse();
    after.remember(entries);
    after
}

#[test]
fn a_service_that_is_made_again_in_time_gets_the_address_it_had() {
    for (sticky, back_at, expected, grant) in [
        (10, 5, "10.0.0.1", Grant::Remembered),
        (10, 14, "10.0.0.1", Grant::Remembered),
        (10, 15, "10.0.0.0", Grant::Lowest),
        (0, 5, "10.0.0.0", Grant::Lowest),
    ] {
        let mut allocator = world(vec![resting("p", &["10.0.0.0/30"], sticky, 0)]);
        allocator.request(asks("a/lower", V4));
        comes_and_goes(&mut allocator, asks("a/a", V4), 5);
        allocator.release(&key("a/lower"));
        allocator.advance(back_at);
        let again = allocator.request(asks("a/a", V4));
        assert_eq!(
            (again.addresses(), again.held()[0].grant),
            (ips(&[expected]), grant),
            "{sticky} {back_at}"
        );
    }
}

#[test]
fn a_service_comes_back_to_the_address_that_it_had_last() {
    let spec = || resting("p", &["10.0.0.0/29"], 100, 0);
    let mut before = world(vec![spec()]);
    assert_eq!(given(&mut before, asks("a/a", V4)), ips(&["10.0.0.0"]));
    before.advance(1);
    assert_eq!(given(&mut before, pinned("a/a", "10.0.0.5")), ips(&["10.0.0.5"]));
    before.advance(2);
    before.release(&key("a/a"));
    let after = restarted(&before, 2);
    let mut reloaded = before.clone();
    reloaded.set_pools(vec![spec()]);
    for (mut allocator, when) in
        [(before, "at once"), (reloaded, "after a reload"), (after, "after a restart")]
    {
        assert_eq!(given(&mut allocator, asks("a/a", V4)), ips(&["10.0.0.5"]), "{when}");
    }
}

#[test]
fn what_a_service_asks_for_comes_before_what_it_had() {
    let mut allocator =
        world(vec![resting("p", &["10.0.0.0/30"], 100, 0), resting("q", &["10.0.1.0/30"], 100, 0)]);
    comes_and_goes(&mut allocator, asks("a/a", V4), 1);
    assert_eq!(given(&mut allocator.clone(), pinned("a/a", "10.0.0.3")), ips(&["10.0.0.3"]));
    let other_pool = Request { pool: Some("q".into()), ..asks("a/a", V4) };
    assert_eq!(given(&mut allocator.clone(), other_pool), ips(&["10.0.1.0"]));
    assert_eq!(given(&mut allocator, asks("a/a", V4)), ips(&["10.0.0.0"]));
}

#[test]
fn a_service_does_not_come_back_to_what_it_may_not_have_any_more() {
    let spec = || resting("p", &["10.0.0.0/30"], 100, 0);
    let keeps = |text: &str| PoolSpec { reservations: vec![text.parse().expect(text)], ..spec() };
    let spare = || resting("z", &["10.0.9.0/30"], 0, 0);
    for (edit, pools, expected) in [
        ("nothing", spec(), "10.0.0.0"),
        ("kept for another", keeps("10.0.0.0=b/*"), "10.0.0.1"),
        ("excluded", PoolSpec { excludes: vec!["10.0.0.0/32".parse().expect("one")], ..spec() }, "10.0.0.1"),
        ("cordoned", PoolSpec { state: PoolState::Cordoned, ..spec() }, "10.0.9.0"),
        ("on request only", PoolSpec { auto_assign: false, ..spec() }, "10.0.9.0"),
        ("kept for it", keeps("10.0.0.3=a/a"), "10.0.0.3"),
    ] {
        let mut allocator = world(vec![spec(), spare()]);
        comes_and_goes(&mut allocator, asks("a/a", V4), 1);
        allocator.set_pools(vec![pools, spare()]);
        assert_eq!(given(&mut allocator, asks("a/a", V4)), ips(&[expected]), "{edit}");
    }
    let mut allocator = world(vec![spec()]);
    comes_and_goes(&mut allocator, asks("a/a", V4), 1);
    allocator.set_avoided(BTreeMap::from([(ip("10.0.0.0"), Avoided::Node("n".to_owned()))]));
    assert_eq!(given(&mut allocator, asks("a/a", V4)), ips(&["10.0.0.1"]), "a node's");
}

#[test]
fn a_service_that_waits_goes_before_one_that_may_come_back() {
    let mut allocator = world(vec![resting("p", &["10.0.0.0/32"], 100, 100)]);
    allocator.request(asks("a/a", V4));
    allocator.request(asks("a/waits", V4));
    allocator.release(&key("a/a"));
    assert_eq!(allocator.woken().len(), 1);
    assert_eq!(given(&mut allocator, asks("a/a", V4)), ips(&[]));
    assert_eq!(allocator.users(ip("10.0.0.0")), [key("a/waits")]);
}

#[test]
fn both_families_come_back_also_from_two_pools() {
    for (pools, families) in [
        (vec![resting("p", &["10.0.0.0/30", "fd00::/126"], 100, 0)], PREFER),
        (vec![resting("p", &["10.0.0.0/30", "fd00::/126"], 100, 0)], REQUIRE),
        (vec![resting("p", &["10.0.0.0/30"], 100, 0), resting("q", &["fd00::/126"], 100, 0)], PREFER),
        (vec![resting("p", &["10.0.0.0/30"], 100, 0), resting("q", &["fd00::/126"], 100, 0)], REQUIRE),
    ] {
        let mut allocator = world(pools);
        allocator.request(asks("a/first", REQUIRE));
        let had = given(&mut allocator, asks("a/a", families));
        assert_eq!(had, ips(&["10.0.0.1", "fd00::1"]));
        allocator.release(&key("a/a"));
        allocator.release(&key("a/first"));
        assert_eq!(given(&mut allocator, asks("b/new", REQUIRE)), ips(&["10.0.0.2", "fd00::2"]));
        assert_eq!(given(&mut allocator, asks("a/a", families)), had);
    }
}

#[test]
fn a_sharer_comes_back_to_its_address_if_it_may_still_share_it() {
    let mut allocator = world(vec![resting("p", &["10.0.0.0/30"], 100, 0)]);
    allocator.request(shares("a/a", "k", 80));
    allocator.request(shares("a/b", "k", 81));
    allocator.release(&key("a/a"));
    assert_eq!(given(&mut allocator.clone(), shares("a/a", "k", 80)), ips(&["10.0.0.0"]));
    for other in [shares("a/a", "l", 80), shares("a/a", "k", 81), asks("a/a", V4)] {
        assert_eq!(given(&mut allocator.clone(), other), ips(&["10.0.0.1"]));
    }
}

#[test]
fn a_freed_address_is_the_last_to_go_to_another_until_it_has_cooled_down() {
    let mut allocator = world(vec![resting("p", &["10.0.0.0-10.0.0.2"], 0, 10)]);
    for (service, time) in [("a/a", 1), ("a/b", 2)] {
        comes_and_goes(&mut allocator, asks(service, V4), time);
    }
    // The second took the second address: the first one rested.
    assert_eq!(
        allocator.remembered("p"),
        [("10.0.0.0", "a/a", 1), ("10.0.0.1", "a/b", 2)].map(|(address, service, freed)| Remembered {
            address: ip(address),
            service: key(service),
            freed
        })
    );
    let mut cooled = allocator.clone();
    for (service, expected) in [("b/1", "10.0.0.2"), ("b/2", "10.0.0.0"), ("b/3", "10.0.0.1")] {
        assert_eq!(given(&mut allocator, asks(service, V4)), ips(&[expected]), "{service}");
    }
    cooled.advance(11);
    for (service, expected) in [("b/1", "10.0.0.0"), ("b/2", "10.0.0.2"), ("b/3", "10.0.0.1")] {
        assert_eq!(given(&mut cooled, asks(service, V4)), ips(&[expected]), "{service} later");
    }
}

#[test]
fn an_address_rests_from_the_time_when_its_last_user_left() {
    let spec = || resting("p", &["10.0.0.0/31"], 0, 100);
    let mut before = world(vec![spec()]);
    // The first address is left by z at 1 and by a at 5, the second one by m at 3.
    before.request(shares("x/z", "k", 80));
    before.request(shares("x/a", "k", 81));
    before.request(asks("x/m", V4));
    for (service, time) in [("x/z", 1), ("x/m", 3), ("x/a", 5)] {
        before.advance(time);
        before.release(&key(service));
    }
    let after = restarted(&before, 5);
    let mut reloaded = before.clone();
    reloaded.set_pools(vec![PoolSpec { auto_assign: true, ..spec() }]);
    for (mut allocator, when) in
        [(before, "at once"), (reloaded, "after a reload"), (after, "after a restart")]
    {
        assert_eq!(given(&mut allocator, asks("b/new", V4)), ips(&["10.0.0.1"]), "{when}");
    }
}

#[test]
fn an_address_that_was_avoided_for_a_while_rests_as_before() {
    let node = || BTreeMap::from([(ip("10.0.0.0"), Avoided::Node("n".to_owned()))]);
    // Avoided after it was freed, and freed while it was avoided.
    for before in [true, false] {
        let mut allocator = world(vec![resting("p", &["10.0.0.0/31"], 0, 100)]);
        allocator.request(asks("a/a", V4));
        if before {
            allocator.release(&key("a/a"));
        }
        allocator.set_avoided(node());
        allocator.release(&key("a/a"));
        allocator.set_avoided(BTreeMap::new());
        assert_eq!(given(&mut allocator, asks("b/new", V4)), ips(&["10.0.0.1"]), "freed before {before}");
    }
}

#[test]
fn a_service_takes_its_own_resting_address_as_a_free_one() {
    let mut allocator = world(vec![resting("p", &["10.0.0.0/31"], 0, 100)]);
    comes_and_goes(&mut allocator, asks("a/a", V4), 1);
    assert_eq!(given(&mut allocator.clone(), asks("b/b", V4)), ips(&["10.0.0.1"]));
    assert_eq!(given(&mut allocator, asks("a/a", V4)), ips(&["10.0.0.0"]));
}

#[test]
fn a_resting_address_is_given_by_name_and_before_anybody_waits() {
    let mut allocator = world(vec![resting("p", &["10.0.0.0/32"], 100, 100)]);
    comes_and_goes(&mut allocator, asks("a/a", V4), 1);
    assert_eq!(given(&mut allocator.clone(), pinned("b/b", "10.0.0.0")), ips(&["10.0.0.0"]));
    assert_eq!(given(&mut allocator, asks("b/b", V4)), ips(&["10.0.0.0"]));
}

#[test]
fn memory_is_carried_over_a_restart_and_fades_there_too() {
    let mut before = world(vec![resting("p", &["10.0.0.0/30"], 10, 20)]);
    before.request(asks("a/first", V4));
    comes_and_goes(&mut before, asks("a/a", V4), 5);
    before.release(&key("a/first"));
    for (time, back, entries) in
        [(5, "10.0.0.1", 2), (14, "10.0.0.1", 2), (15, "10.0.0.1", 2), (25, "10.0.0.0", 0)]
    {
        let mut after = restarted(&before, time);
        assert_eq!(after.remembered("p").len(), entries, "{time}");
        before.advance(time);
        assert_eq!(before.remembered("p"), after.remembered("p"), "{time}");
        let mut continued = before.clone();
        for allocator in [&mut after, &mut continued] {
            assert_eq!(given(allocator, asks("a/a", V4)), ips(&[back]), "{time}");
        }
    }
}

#[test]
fn every_change_of_what_is_remembered_is_told_by_pool() {
    let p = |ranges: &[&str]| resting("p", ranges, 10, 0);
    let told = |allocator: &mut Allocator| {
        allocator.memory_changed().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let mut allocator = world(vec![p(&["10.0.0.0/30"])]);
    allocator.request(asks("a/a", V4));
    assert_eq!(told(&mut allocator), [""; 0]);
    allocator.release(&key("a/a"));
    assert_eq!(told(&mut allocator), ["p"]);
    assert_eq!(told(&mut allocator), [""; 0]);
    allocator.request(asks("a/a", V4));
    assert_eq!(told(&mut allocator), ["p"], "it is back");
    allocator.release(&key("a/a"));
    told(&mut allocator);
    allocator.advance(10);
    assert_eq!(told(&mut allocator), ["p"], "it is over");
    comes_and_goes(&mut allocator, asks("a/a", V4), 11);
    told(&mut allocator);
    allocator.set_pools(vec![p(&["10.0.1.0/30"])]);
    assert_eq!(allocator.remembered("p"), []);
    assert_eq!(told(&mut allocator), ["p"], "the address is in no pool any more");
}

#[test]
fn time_that_goes_backwards_stands_still() {
    let mut allocator = world(vec![resting("p", &["10.0.0.0/30"], 10, 0)]);
    allocator.advance(100);
    allocator.request(asks("a/a", V4));
    allocator.advance(50);
    allocator.release(&key("a/a"));
    assert_eq!(allocator.remembered("p")[0].freed, 100);
    allocator.advance(109);
    assert_eq!(allocator.remembered("p").len(), 1);
    allocator.advance(110);
    assert_eq!(allocator.remembered("p"), []);
}

#[test]
fn a_pool_that_lets_its_addresses_rest_for_another_time_does_so_from_then_on() {
    for (sticky, remembered_at_15) in [(10, false), (20, true), (0, false)] {
        let mut allocator = world(vec![resting("p", &["10.0.0.0/30"], 10, 0)]);
        comes_and_goes(&mut allocator, asks("a/a", V4), 5);
        allocator.set_pools(vec![resting("p", &["10.0.0.0/30"], sticky, 0)]);
        assert_eq!(allocator.remembered("p").is_empty(), sticky == 0);
        allocator.advance(15);
        assert_eq!(!allocator.remembered("p").is_empty(), remembered_at_15, "{sticky}");
    }
}
