//! What is remembered of freed addresses as time goes by, and what is written down of it.
#![cfg(feature = "controller")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use lbcore::{Remembered, ServiceKey};
use lbk8s::objects::annotations::{COOL_DOWN, REMEMBERED, RESERVE, STATE, STICKY};
use lbk8s::objects::pool::write_remembered;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::pure::{World, annotate};
use crate::harness::{pool, service, with};

const POOL: &str = "IPAddressPool";

fn sticky_pool() -> Value {
    with(pool("p", 0, &["10.0.0.1-10.0.0.9"]), &annotate(STICKY, "10m"))
}

/// Services `a` and `b` on the first two addresses of a pool that remembers for ten minutes; both go at once.
fn freed() -> World {
    let mut world = World::of(&[sticky_pool(), service("a", 1), service("b", 2)]);
    world.settle();
    assert_eq!((world.shows("a"), world.shows("b")), (vec!["10.0.0.1".into()], vec!["10.0.0.2".into()]));
    assert_eq!(world.settle_memory(), []);
    world.pass(60);
    world.tell_gone("Service", "b");
    world.tell_gone("Service", "a");
    assert_eq!(world.settle_memory().len(), 1);
    world
}

fn note(world: &World) -> &Value {
    &world.object(POOL, "p")["metadata"]["annotations"][REMEMBERED]
}

#[test]
fn the_note_says_who_had_what_and_since_when_it_is_free() {
    let world = freed();
    let notes: Value = serde_json::from_str(note(&world).as_str().unwrap()).unwrap();
    let freed = "2025-01-01T00:01:00Z";
    let expected = json!({
        "10.0.0.1": [{"service": "default/a", "freed": freed}],
        "10.0.0.2": [{"service": "default/b", "freed": freed}],
    });
    assert_eq!(notes, expected);
}

#[test]
fn until_the_time_is_over_a_service_comes_back_to_its_address_and_then_to_the_lowest() {
    for restarted in [false, true] {
        for (seconds, expected) in [(0, "10.0.0.2"), (599, "10.0.0.2"), (600, "10.0.0.1"), (9999, "10.0.0.1")]
        {
            let mut world = freed();
            world.pass(seconds);
            if restarted {
                world.check_restart();
            }
            world.tell(service("b", 3));
            world.settle();
            assert_eq!(world.shows("b"), [expected], "after {seconds} s, restarted: {restarted}");
            // Something has changed, so the note is brought up to date, if it was not old already at the start.
            world.settle_memory();
            let noted = seconds < 600 || restarted;
            assert_eq!(note(&world).is_string(), noted, "after {seconds} s, restarted: {restarted}");
            world.check_restart();
        }
    }
}

#[test]
fn a_process_that_finds_nothing_but_old_notes_removes_them_with_the_next_one() {
    let mut world = freed();
    world.pass(9999);
    world.check_restart();
    world.tell(service("c", 3));
    world.settle();
    world.tell_gone("Service", "c");
    assert_eq!(world.settle_memory().len(), 1);
    let notes: Value = serde_json::from_str(note(&world).as_str().unwrap()).unwrap();
    assert_eq!(notes.as_object().unwrap().keys().collect::<Vec<_>>(), ["10.0.0.1"]);
    assert_eq!(notes["10.0.0.1"][0]["service"], "default/c");
}

#[test]
fn a_pool_that_remembers_for_longer_or_shorter_does_so_from_then_on() {
    for (time, seconds, expected) in [
        ("1h", 3599, "10.0.0.2"),
        ("1h", 3600, "10.0.0.1"),
        ("1m", 59, "10.0.0.2"),
        ("1m", 60, "10.0.0.1"),
        ("", 0, "10.0.0.1"),
    ] {
        let mut world = freed();
        world.edit(POOL, "p", &annotate(STICKY, time));
        world.pass(seconds);
        world.tell(service("b", 3));
        world.settle();
        assert_eq!(world.shows("b"), [expected], "{time:?} after {seconds} s");
    }
    // Cooling down for longer than it is sticky keeps the address free, and brings nobody back to it.
    let mut world = freed();
    world.edit(POOL, "p", &annotate(COOL_DOWN, "1h"));
    world.pass(601);
    world.tell(service("c", 3));
    world.settle();
    assert_eq!(world.shows("c"), ["10.0.0.3"]);
    world.pass(3600);
    world.tell(service("d", 4));
    world.settle();
    assert_eq!(world.shows("d"), ["10.0.0.1"]);
}

#[test]
fn what_is_no_longer_to_be_had_is_not_come_back_to() {
    let other = with(pool("q", 1, &["10.1.0.1-10.1.0.9"]), &json!({}));
    for (what, edit, expected) in [
        ("reserved", annotate(RESERVE, "10.0.0.2=default/c"), "10.0.0.3"),
        ("cordoned", annotate(STATE, "cordoned"), "10.1.0.1"),
        ("on request only", json!({"spec": {"autoAssign": false}}), "10.1.0.1"),
        ("set aside", json!({"spec": {"serviceAllocation": {"namespaces": ["x"]}}}), "10.1.0.1"),
        ("gone from the pool", json!({"spec": {"addresses": ["10.0.0.1/32"]}}), "10.0.0.1"),
    ] {
        let mut world = freed();
        world.tell(other.clone());
        world.edit(POOL, "p", &edit);
        world.tell(service("b", 3));
        assert_eq!(world.settle().len(), 1, "{what}");
        assert_eq!(world.shows("b"), [expected], "{what}");
    }
    // Another Service asked for it by name meanwhile.
    let mut world = freed();
    world.tell(with(service("c", 3), &json!({"spec": {"loadBalancerIP": "10.0.0.2"}})));
    world.tell(service("b", 4));
    world.settle();
    assert_eq!((world.shows("c"), world.shows("b")), (vec!["10.0.0.2".into()], vec!["10.0.0.3".into()]));
    // A wish of its own goes before the memory.
    let mut world = freed();
    world.tell(with(service("b", 3), &json!({"spec": {"loadBalancerIP": "10.0.0.5"}})));
    world.settle();
    assert_eq!(world.shows("b"), ["10.0.0.5"]);
}

#[test]
fn both_addresses_of_a_dual_stack_service_are_come_back_to() {
    let both = json!({"spec": {"clusterIPs": ["10.96.0.7", "fd96::7"], "ipFamilyPolicy": "PreferDualStack"}});
    let sticky = with(pool("p", 0, &["10.0.0.1-10.0.0.9", "fd00::1-fd00::9"]), &annotate(STICKY, "10m"));
    let mut world = World::of(&[sticky, with(service("a", 1), &both), with(service("b", 2), &both)]);
    world.settle();
    world.tell_gone("Service", "a");
    world.tell_gone("Service", "b");
    assert_eq!(world.settle_memory().len(), 1);
    world.check_restart();
    world.tell(with(service("b", 3), &both));
    assert_eq!(world.settle().len(), 1);
    assert_eq!(world.shows("b"), ["10.0.0.2", "fd00::2"]);
}

#[test]
fn of_very_many_the_last_are_written_and_all_fit_into_an_annotation() {
    let entry = |number: u32| Remembered {
        address: IpAddr::V6(Ipv6Addr::from_bits(u128::MAX - u128::from(number))),
        // No name and no namespace of a Service is longer.
        service: ServiceKey::new("n".repeat(63), format!("s{number:0>62}")),
        freed: i64::from(number),
    };
    let text = write_remembered((0..1100).map(entry).collect()).unwrap();
    let notes: BTreeMap<IpAddr, Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(notes.len(), 1000);
    let written = |number: u32| notes.contains_key(&entry(number).address);
    assert!(!written(0) && !written(99) && written(100) && written(1099));
    // Kubernetes refuses more than this of all annotations together.
    assert!(text.len() <= 256 * 1024, "{} bytes", text.len());
    assert_eq!(write_remembered(vec![]), None);
}

#[derive(Debug, Clone)]
enum Step {
    Come(u8),
    Go(u8),
    /// Somebody takes everything out of its status.
    Wipe(u8),
    /// By so many seconds, also backwards.
    ClockJumps(i64),
}

fn step() -> impl Strategy<Value = Step> {
    const YEARS: i64 = 10 * 365 * 24 * 3600;
    prop_oneof![
        3 => (0_u8..8).prop_map(Step::Come),
        1 => (0_u8..8).prop_map(Step::Go),
        3 => (0_u8..8).prop_map(Step::Wipe),
        1 => (-YEARS..YEARS).prop_map(Step::ClockJumps),
        2 => (-20_i64..20).prop_map(Step::ClockJumps),
    ]
}

fn play(steps: Vec<Step>) {
    let mut world = World::of(&[sticky_pool()]);
    let mut there: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (turn, step) in steps.into_iter().enumerate() {
        let name = |number: u8| format!("s{number}");
        match step {
            Step::Come(it) if !there.contains_key(&name(it)) => {
                world.tell(service(&name(it), u32::try_from(turn).unwrap()));
                world.settle();
                there.insert(name(it), world.shows(&name(it)));
            }
            Step::Go(it) if there.remove(&name(it)).is_some() => world.tell_gone("Service", &name(it)),
            Step::Wipe(it) if there.contains_key(&name(it)) => {
                world.edit("Service", &name(it), &json!({"status": {"loadBalancer": {"ingress": null}}}));
            }
            Step::ClockJumps(seconds) => world.pass(seconds),
            _ => {}
        }
        world.settle();
    }
    // As long as somebody who keeps wiping is backed off from at most.
    for _ in 0..300 {
        world.pass(1);
        world.settle();
    }
    let distinct: BTreeSet<&String> = there.values().flatten().collect();
    assert_eq!(distinct.len(), there.len(), "{there:?}");
    for (name, address) in &there {
        assert_eq!(&world.shows(name), address, "{name} has what it was given first");
    }
    world.settle_memory();
    world.check_restart();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn whatever_the_clock_does_each_service_shows_what_it_was_given_first(
        steps in proptest::collection::vec(step(), 1..60)
    ) {
        play(steps);
    }
}
