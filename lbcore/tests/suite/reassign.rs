//! Addresses that move while services run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use lbcore::allocator::Claim;
use lbcore::{Allocator, Avoided, Decision, Family, PoolSpec, Request, ServiceKey};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn key(name: &str) -> ServiceKey {
    ServiceKey::new("n", name)
}

fn request(name: &str, created: i64) -> Arc<Request> {
    Arc::new(Request { created, ..Request::new(key(name), Family::V4) })
}

fn allocator() -> Allocator {
    let mut allocator = Allocator::default();
    let pool = PoolSpec::new("p", vec!["10.0.0.0-10.0.0.3".parse().unwrap()]);
    assert!(allocator.set_pools(vec![pool]).problems.is_empty());
    allocator
}

fn claim(request: &Arc<Request>, addresses: &[&str]) -> Claim {
    let addresses = addresses.iter().map(|text| ip(text)).collect();
    Claim { request: request.clone(), addresses, recorded_pool: None, recorded_pools: BTreeMap::new() }
}

fn held(allocator: &Allocator, name: &str) -> Vec<String> {
    let decision = allocator.decision(&key(name));
    decision.iter().flat_map(Decision::addresses).map(|address| address.to_string()).collect()
}

#[test]
fn what_a_service_shows_is_taken_over_if_it_is_free() {
    let mut allocator = allocator();
    allocator.request(request("a", 1));
    let (decision, lost) = allocator.claim(claim(&request("a", 1), &["10.0.0.3"]), |_, _| true);
    assert!(decision.changed && lost.is_empty());
    assert_eq!(held(&allocator, "a"), ["10.0.0.3"]);
    let (decision, _) = allocator.claim(claim(&request("new", 5), &["10.0.0.1"]), |_, _| true);
    assert!(decision.changed);
    assert_eq!(held(&allocator, "new"), ["10.0.0.1"]);
    let (_, lost) = allocator.claim(claim(&request("a", 1), &["10.9.9.9"]), |_, _| true);
    assert!(lost.is_empty());
    assert_eq!(held(&allocator, "a"), ["10.0.0.3"], "what is in no pool is nobody's to show");
}

#[test]
fn of_two_that_show_one_address_the_older_keeps_it() {
    let mut allocator = allocator();
    allocator.request(request("older", 1));
    let (_, lost) = allocator.claim(claim(&request("younger", 2), &["10.0.0.0"]), |_, _| true);
    assert!(lost.is_empty());
    assert_eq!(held(&allocator, "older"), ["10.0.0.0"]);
    assert_eq!(held(&allocator, "younger"), ["10.0.0.1"]);

    let (decision, lost) = allocator.claim(claim(&request("oldest", 0), &["10.0.0.1"]), |_, _| true);
    assert_eq!(decision.addresses(), [ip("10.0.0.1")]);
    assert_eq!(lost.iter().map(|it| &it.key).collect::<Vec<_>>(), [&key("younger")]);
    assert_eq!(held(&allocator, "younger"), ["10.0.0.2"]);
}

#[test]
fn an_address_that_is_only_decided_on_yields_to_one_that_shows_it() {
    let mut allocator = allocator();
    allocator.request(request("older", 1));
    let (_, lost) = allocator.claim(claim(&request("younger", 2), &["10.0.0.0"]), |_, _| false);
    assert_eq!(lost.len(), 1);
    assert_eq!(held(&allocator, "younger"), ["10.0.0.0"]);
    assert_eq!(held(&allocator, "older"), ["10.0.0.1"]);
}

#[test]
fn an_address_in_use_elsewhere_is_left_unless_it_was_asked_for() {
    let mut allocator = allocator();
    allocator.request(request("a", 1));
    let station = Avoided::Station { mac: "02:00:00:00:00:09".to_owned(), heard_by: "n1".to_owned() };
    allocator.set_avoided(BTreeMap::from([(ip("10.0.0.0"), station.clone())]));
    assert_eq!(held(&allocator, "a"), ["10.0.0.0"], "that it is known takes nothing away");
    let decision = allocator.leave(&key("a"), ip("10.0.0.0")).unwrap();
    assert_eq!(decision.addresses(), [ip("10.0.0.1")]);
    assert_eq!(allocator.leave(&key("a"), ip("10.0.0.0")), None, "it holds it no more");
    let (decision, _) = allocator.claim(claim(&request("a", 1), &["10.0.0.0"]), |_, _| true);
    assert_eq!(decision.addresses(), [ip("10.0.0.1")], "its status still shows it for a moment");

    let named = Request { addresses: vec![ip("10.0.0.2")], ..(*request("named", 2)).clone() };
    allocator.request(named);
    assert_eq!(allocator.leave(&key("named"), ip("10.0.0.2")), None);
}

#[test]
fn an_address_in_use_elsewhere_stays_if_there_is_no_other() {
    let mut allocator = allocator();
    for (name, created) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        allocator.request(request(name, created));
    }
    let before: BTreeSet<_> = allocator.held().collect();
    assert_eq!(allocator.leave(&key("b"), ip("10.0.0.1")), None);
    assert_eq!(allocator.held().collect::<BTreeSet<_>>(), before);
}
