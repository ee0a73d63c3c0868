//! Addresses of nodes and their gateways: nobody gets one who does not ask for it, and who holds one is told.
#![cfg(feature = "controller")]

use lbk8s::objects::annotations::{GATEWAYS, RESERVE, STICKY};
use serde_json::{Value, json};

use crate::harness::pure::{World, annotate, names, node};
use crate::harness::{holding, pool, service, with};

fn four() -> Value {
    pool("p", 0, &["10.0.0.1-10.0.0.4"])
}

/// A node with the address 10.0.0.1 and the gateway 10.0.0.2.
fn gateway_node() -> Value {
    with(node("n", &[("InternalIP", "10.0.0.1"), ("Hostname", "n")]), &annotate(GATEWAYS, "10.0.0.2"))
}

fn pinned(name: &str, second: u32, address: &str) -> Value {
    with(service(name, second), &json!({"spec": {"loadBalancerIP": address}}))
}

fn sharing(service: Value, port: u16) -> Value {
    let patch = annotate("metallb.io/allow-shared-ip", "k");
    with(with(service, &patch), &json!({"spec": {"ports": [{"port": port}]}}))
}

#[test]
fn they_are_skipped_and_who_waits_is_told_of_them() {
    let mut world = World::of(&[four(), gateway_node(), service("a", 1), service("b", 2), service("c", 3)]);
    world.settle();
    assert_eq!((world.shows("a"), world.shows("b")), (vec!["10.0.0.3".into()], vec!["10.0.0.4".into()]));
    let why = "no free IPv4 address: pool \"p\" has none left of 4 (of nodes, gateways and others: 2)";
    assert_eq!(world.condition("c"), format!("False/PoolExhausted: {why}"));
    world.check_restart();
    // A gateway that is none any more is given to the one that waits; so is the address of a node that goes.
    world.edit("Node", "n", &annotate(GATEWAYS, Value::Null));
    assert_eq!(names(&world.settle()), ["c"]);
    assert_eq!(world.shows("c"), ["10.0.0.2"]);
    world.tell(service("d", 4));
    world.settle();
    world.tell_gone("Node", "n");
    assert_eq!(names(&world.settle()), ["d"]);
    assert_eq!(world.shows("d"), ["10.0.0.1"]);
    world.check_restart();
}

#[test]
fn who_asks_for_one_gets_it_and_is_told_whose_it_is() {
    for (address, whose) in [("10.0.0.1", "the address of node n"), ("10.0.0.2", "the gateway of node n")] {
        let mut world = World::of(&[four(), gateway_node(), pinned("a", 1, address)]);
        let written = world.settle();
        assert_eq!((names(&written), world.shows("a")), (vec!["a"], vec![address.to_owned()]));
        let why = format!(
            "{address} is also {whose}: two hosts will answer for it; give the Service another address"
        );
        let says = format!("True/AddressOfNode: {address} from pool \"p\"; {why}");
        assert_eq!(world.condition("a"), says);
        assert!(written[0].event().starts_with("Warning "), "{}", written[0].event());
        assert!(written[0].event().ends_with(&why), "{}", written[0].event());
        world.check_restart();
        // The name alone kept it there: without it nothing is taken from a live Service.
        world.edit("Service", "a", &json!({"spec": {"loadBalancerIP": null}}));
        assert_eq!(world.settle().len(), 0);
        assert_eq!(world.condition("a"), says);
    }
}

#[test]
fn who_holds_one_when_the_node_comes_keeps_it_and_is_told_once() {
    let mut world = World::of(&[four(), service("a", 1), service("b", 2), service("c", 3)]);
    world.settle();
    world.tell(gateway_node());
    let written = world.settle();
    assert_eq!(names(&written), ["a", "b"]);
    for (written, why) in written.iter().zip(["the address of node n", "the gateway of node n"]) {
        let says = world.condition(&written.name);
        assert!(says.starts_with("True/AddressOfNode: ") && says.contains(why), "{says}");
        assert!(written.event().starts_with("Warning AllocationFailed: Holds "), "{}", written.event());
        assert!(written.event().contains(why), "{}", written.event());
    }
    assert_eq!((world.shows("a"), world.shows("b")), (vec!["10.0.0.1".into()], vec!["10.0.0.2".into()]));
    world.check_restart();
    // The node reports again and again that it is there.
    for beat in 0..5 {
        let heartbeat = json!({"status": {"conditions": [{
            "type": "Ready", "status": "True", "lastHeartbeatTime": format!("2025-01-01T00:00:0{beat}Z"),
        }]}, "metadata": {"labels": {"beat": beat.to_string()}}});
        world.edit("Node", "n", &heartbeat);
        assert_eq!(world.settle().len(), 0);
    }
    // What becomes of the node is no news for those that it does not concern, and no event.
    world.edit("Node", "n", &annotate(GATEWAYS, Value::Null));
    let written = world.settle();
    assert_eq!((names(&written), written[0].event()), (vec!["b"], ""));
    assert_eq!(world.condition("b"), "True/Assigned: 10.0.0.2 from pool \"p\"");
    world.tell_gone("Node", "n");
    let written = world.settle();
    assert_eq!((names(&written), written[0].event()), (vec!["a"], ""));
    world.check_restart();
}

#[test]
fn a_held_address_that_is_freed_is_not_given_again_while_the_node_has_it() {
    let mut world = World::of(&[pool("p", 0, &["10.0.0.1/32"]), service("a", 1), service("b", 2)]);
    world.settle();
    world.tell(node("n", &[("InternalIP", "10.0.0.1")]));
    world.settle();
    world.tell_gone("Service", "a");
    world.settle();
    assert_eq!(world.shows("b"), Vec::<String>::new());
    world.tell_gone("Node", "n");
    world.settle();
    assert_eq!(world.shows("b"), ["10.0.0.1"]);
}

#[test]
fn who_waits_is_told_the_truth_when_an_address_comes_free_that_is_not_for_it() {
    let reserved = with(pool("p", 0, &["10.0.0.1/32"]), &annotate(RESERVE, "10.0.0.1=default/a"));
    for (objects, why) in [
        (
            vec![pool("p", 0, &["10.0.0.1/32"]), node("n", &[("InternalIP", "10.0.0.1")])],
            "has none left of 1 (of nodes, gateways and others: 1)",
        ),
        (vec![reserved], "has none left of 1 (kept for Services by name: 1)"),
    ] {
        let mut world = World::of(&objects);
        world.tell(pinned("a", 1, "10.0.0.1"));
        world.tell(service("b", 2));
        world.settle();
        assert_eq!(world.shows("a"), ["10.0.0.1"]);
        world.tell_gone("Service", "a");
        world.settle();
        let says = format!("False/PoolExhausted: no free IPv4 address: pool \"p\" {why}");
        assert_eq!(world.condition("b"), says);
        world.check_restart();
    }
}

#[test]
fn of_an_address_of_two_nodes_one_is_named_and_it_is_spared_until_both_are_gone() {
    let gateway = |name: &str| with(node(name, &[]), &annotate(GATEWAYS, "10.0.0.1, 10.0.0.9"));
    let mut world = World::of(&[four(), gateway("n2"), gateway("n1"), pinned("a", 1, "10.0.0.1")]);
    world.settle();
    assert!(world.condition("a").contains("the gateway of node n1"), "{}", world.condition("a"));
    world.check_restart();
    world.tell_gone("Node", "n1");
    assert_eq!(world.settle().len(), 1);
    assert!(world.condition("a").contains("the gateway of node n2"), "{}", world.condition("a"));
    world.tell_gone("Node", "n2");
    assert_eq!(world.settle().len(), 1);
    assert_eq!(world.condition("a"), "True/Assigned: 10.0.0.1 from pool \"p\"");
}

#[test]
fn nobody_gets_one_by_sharing_who_did_not_ask_for_it() {
    let mut world = World::of(&[
        four(),
        gateway_node(),
        sharing(pinned("a", 1, "10.0.0.1"), 80),
        sharing(service("b", 2), 81),
    ]);
    world.settle();
    assert_eq!(world.shows("a"), ["10.0.0.1"]);
    assert_eq!(world.shows("b"), ["10.0.0.3"], "{}", world.condition("b"));
    // Whoever asks for it shares it.
    world.tell(sharing(pinned("c", 3, "10.0.0.1"), 82));
    world.settle();
    assert_eq!(world.shows("c"), ["10.0.0.1"]);
    assert!(world.condition("c").starts_with("True/AddressOfNode: "));
}

#[test]
fn nobody_gets_one_that_is_kept_for_it_or_that_it_had_before() {
    let patch = json!({"metadata": {"annotations": {RESERVE: "10.0.0.1=default/a", STICKY: "10m"}}});
    let mut world = World::of(&[with(four(), &patch), service("b", 1), service("c", 2)]);
    world.settle();
    assert_eq!((world.shows("b"), world.shows("c")), (vec!["10.0.0.2".into()], vec!["10.0.0.3".into()]));
    world.tell_gone("Service", "b");
    world.tell(gateway_node());
    world.tell(service("a", 3));
    world.tell(service("b", 4));
    world.settle();
    assert_eq!((world.shows("a"), world.shows("b")), (vec!["10.0.0.4".into()], Vec::<String>::new()));
    world.tell_gone("Node", "n");
    assert_eq!(names(&world.settle()), ["b"]);
    assert_eq!(world.shows("b"), ["10.0.0.2"]);
}

#[test]
fn what_is_shown_at_the_start_is_taken_over_though_a_node_has_it() {
    let objects = [four(), gateway_node(), holding("a", 1, &["10.0.0.1"], "p"), service("b", 2)];
    let mut world = World::of(&objects);
    let written = world.settle();
    assert_eq!(names(&written), ["a", "b"]);
    assert_eq!((world.shows("a"), world.shows("b")), (vec!["10.0.0.1".into()], vec!["10.0.0.3".into()]));
    assert!(world.condition("a").starts_with("True/AddressOfNode: "));
    world.check_restart();
}
