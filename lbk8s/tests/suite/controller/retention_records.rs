//! The record of a kept address (`lbd.io/kept`): from which pool it is, and under which advertisements it stays.
#![cfg(feature = "controller")]

use lbk8s::objects::annotations::KEPT;
use serde_json::{Value, json};

use crate::harness::pure::{World, annotate, names};
use crate::harness::{advertisement, pool, service, with};

const POOL: &str = "IPAddressPool";
const AD: &str = "L2Advertisement";

fn by_label(name: &str, site: &str) -> Value {
    let selector = json!({"ipAddressPoolSelectors": [{"matchLabels": {"site": site}}]});
    advertisement(name, &selector)
}

fn labelled_pool(site: &str) -> Value {
    with(pool("p", 0, &["10.0.0.1-10.0.0.9"]), &json!({"metadata": {"labels": {"site": site}}}))
}

fn advertisements_of(world: &World, service: &str, address: &str) -> Value {
    world.kept(service)[address]["advertisements"].clone()
}

#[test]
fn the_record_names_the_advertisements_that_chose_the_pool_last() {
    let mut world = World::of(&[
        labelled_pool("web"),
        by_label("web", "web"),
        by_label("db", "db"),
        advertisement("every", &json!({})),
        service("a", 1),
    ]);
    world.settle();
    // Until the pool goes, changes are followed.
    world.edit(POOL, "p", &json!({"metadata": {"labels": {"site": "db"}}}));
    world.tell(advertisement("named", &json!({"ipAddressPools": ["p"]})));
    world.tell_gone(AD, "every");
    assert_eq!(world.settle().len(), 0);
    world.tell_gone(POOL, "p");
    world.settle();
    assert_eq!(advertisements_of(&world, "a", "10.0.0.1"), json!(["db", "named"]));
    // What happens to advertisements afterwards is no change of the record.
    world.tell(advertisement("every", &json!({})));
    world.tell_gone(AD, "named");
    assert_eq!(world.settle().len(), 0);
    world.check_restart();
    world.edit("Service", "a", &json!({"metadata": {"labels": {"x": "y"}}}));
    assert_eq!(world.settle().len(), 0);
    assert_eq!(advertisements_of(&world, "a", "10.0.0.1"), json!(["db", "named"]));
}

#[test]
fn the_record_of_a_pool_that_shrank_does_not_depend_on_when_somebody_looks() {
    let mut world =
        World::of(&[labelled_pool("web"), by_label("web", "web"), service("a", 1), service("b", 2)]);
    world.settle();
    world.edit(POOL, "p", &json!({"spec": {"addresses": ["10.0.0.9/32"]}}));
    world.settle();
    assert_eq!(advertisements_of(&world, "a", "10.0.0.1"), json!(["web"]));
    // The pool is still there, and another advertisement chooses it.
    world.tell(advertisement("every", &json!({})));
    world.settle();
    let told = advertisements_of(&world, "a", "10.0.0.1");
    world.edit("Service", "a", &json!({"metadata": {"labels": {"x": "y"}}}));
    world.settle();
    assert_eq!(advertisements_of(&world, "a", "10.0.0.1"), told, "another label changed the record");
    assert_eq!(advertisements_of(&world, "b", "10.0.0.2"), told, "two Services of one pool differ");
    world.check_restart();
}

/// A Service with an address from each of two pools, which are announced under different names.
fn of_two_pools() -> World {
    let both =
        json!({"spec": {"clusterIPs": ["10.96.0.7", "fd96::7"], "ipFamilyPolicy": "RequireDualStack"}});
    let mut world = World::of(&[
        pool("four", 0, &["10.0.0.1-10.0.0.9"]),
        pool("six", 0, &["fd00::1-fd00::9"]),
        advertisement("of-four", &json!({"ipAddressPools": ["four"]})),
        advertisement("of-six", &json!({"ipAddressPools": ["six"]})),
        with(service("a", 1), &both),
    ]);
    world.settle();
    assert_eq!(world.shows("a"), ["10.0.0.1", "fd00::1"]);
    world
}

fn record_of_both() -> Value {
    json!({
        "10.0.0.1": {"pool": "four", "advertisements": ["of-four"]},
        "fd00::1": {"pool": "six", "advertisements": ["of-six"]},
    })
}

#[test]
fn of_two_addresses_that_are_lost_one_after_the_other_both_are_recorded() {
    for order in [["four", "six"], ["six", "four"]] {
        let mut world = of_two_pools();
        for name in order {
            world.tell_gone(POOL, name);
            world.settle();
        }
        assert_eq!(world.kept("a"), record_of_both(), "{order:?}");
    }
}

#[test]
fn of_two_lost_addresses_each_keeps_the_record_of_its_own_pool_over_a_restart() {
    let mut world = of_two_pools();
    for name in ["six", "four"] {
        world.tell_gone(POOL, name);
        world.settle();
        world.restart();
        world.settle();
    }
    assert_eq!(world.kept("a"), record_of_both());
    world.check_restart();
}

#[test]
fn a_pool_of_no_advertisement_is_recorded_with_none() {
    let mut world = World::of(&[labelled_pool("web"), by_label("db", "db"), service("a", 1)]);
    world.settle();
    world.tell_gone(POOL, "p");
    assert_eq!(world.settle().len(), 1);
    assert_eq!(world.kept("a"), json!({"10.0.0.1": {"pool": "p", "advertisements": []}}));
    world.check_restart();
}

#[test]
fn an_address_that_another_pool_takes_over_is_not_kept_but_had() {
    let mut world = World::of(&[labelled_pool("web"), service("a", 1)]);
    world.settle();
    world.tell_gone(POOL, "p");
    world.settle();
    assert_eq!(world.kept("a")["10.0.0.1"]["pool"], "p");
    world.tell(pool("q", 1, &["10.0.0.0/24"]));
    assert_eq!(names(&world.settle()), ["a"]);
    assert_eq!(world.kept("a"), Value::Null);
    assert_eq!(world.condition("a"), "True/Assigned: 10.0.0.1 from pool \"q\"");
    world.check_restart();
}

#[test]
fn a_record_that_somebody_broke_loses_no_address_and_is_set_right() {
    for broken in
        ["", "frog", "[]", "{\"10.0.0.1\": 7}", "{\"frog\": {\"pool\": \"p\", \"advertisements\": []}}"]
    {
        let mut world = World::of(&[labelled_pool("web"), by_label("web", "web"), service("a", 1)]);
        world.settle();
        world.tell_gone(POOL, "p");
        world.settle();
        world.edit("Service", "a", &annotate(KEPT, broken));
        assert_eq!(world.settle().len(), 1, "{broken}");
        assert_eq!(world.shows("a"), ["10.0.0.1"]);
        assert_eq!(advertisements_of(&world, "a", "10.0.0.1"), json!(["web"]), "{broken}");
        // A process that has never seen the pool knows its name only.
        world.edit("Service", "a", &annotate(KEPT, broken));
        world.restart();
        world.settle();
        assert_eq!(world.shows("a"), ["10.0.0.1"]);
        assert_eq!(world.kept("a"), json!({"10.0.0.1": {"pool": "p"}}), "{broken}");
    }
}

#[test]
fn a_service_that_asks_for_no_address_any_more_loses_its_record() {
    let mut world = World::of(&[labelled_pool("web"), service("a", 1)]);
    world.settle();
    world.tell_gone(POOL, "p");
    world.settle();
    world.edit("Service", "a", &json!({"spec": {"type": "ClusterIP"}}));
    assert_eq!(world.settle().len(), 1);
    assert_eq!((world.kept("a"), world.shows("a").len()), (Value::Null, 0));
    world.check_restart();
}
