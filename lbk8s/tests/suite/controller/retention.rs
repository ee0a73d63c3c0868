//! Addresses that their pool no longer has, under live Services: kept and said to be, until that is confirmed.
#![cfg(feature = "controller")]

use lbcore::LostAddresses;
use lbk8s::objects::annotations::{EXCLUDE, RELEASE, STATE};
use serde_json::{Value, json};

use crate::harness::pure::{World, annotate, names, namespace};
use crate::harness::{advertisement, pool, service, with};

const POOL: &str = "IPAddressPool";

/// How a pool loses 10.0.0.1: the reason of the condition, why in words, and whether the pool has it no more.
struct Case {
    reason: &'static str,
    why: &'static str,
    lost: bool,
    /// The edit of the pool; none deletes it.
    edit: Option<Value>,
}

fn cases() -> [Case; 5] {
    let case = |reason, why, lost, edit| Case { reason, why, lost, edit };
    [
        case(
            "AddressNotInPool",
            "pool \"p\" has it no more",
            true,
            Some(json!({"spec": {"addresses": ["10.0.0.7-10.0.0.9"]}})),
        ),
        case("PoolGone", "its pool \"p\" is gone", true, None),
        case(
            "AddressExcluded",
            "pool \"p\" does not give it out: the pool excludes 10.0.0.0-10.0.0.6 (lbd.io/exclude)",
            true,
            Some(annotate(EXCLUDE, "10.0.0.0-10.0.0.6")),
        ),
        case(
            "AddressExcluded",
            "pool \"p\" does not give it out: the pool excludes 10.0.0.1-10.0.0.1 (lbd.io/exclude)",
            true,
            Some(annotate(EXCLUDE, "10.0.0.1")),
        ),
        case("PoolDraining", "pool \"p\" is being drained", false, Some(annotate(STATE, "draining"))),
    ]
}

fn web_pool() -> Value {
    with(pool("p", 0, &["10.0.0.1-10.0.0.9"]), &json!({"metadata": {"labels": {"site": "web"}}}))
}

/// A pool, advertisements that choose it in three ways and one that does not, and a Service that holds 10.0.0.1.
fn objects() -> Vec<Value> {
    let selector = json!({"ipAddressPoolSelectors": [{"matchLabels": {"site": "web"}}]});
    vec![
        web_pool(),
        advertisement("by-name", &json!({"ipAddressPools": ["p"]})),
        advertisement("by-label", &selector),
        advertisement("of-another", &json!({"ipAddressPools": ["other"]})),
        namespace("default"),
        service("a", 1),
    ]
}

fn holding_world() -> World {
    let mut world = World::of(&objects());
    world.settle();
    assert_eq!(world.shows("a"), ["10.0.0.1"]);
    world
}

fn apply(world: &mut World, case: &Case) {
    match &case.edit {
        Some(edit) => world.edit(POOL, "p", edit),
        None => world.tell_gone(POOL, "p"),
    }
}

fn record() -> Value {
    json!({"10.0.0.1": {"pool": "p", "advertisements": ["by-label", "by-name"]}})
}

#[test]
fn a_lost_address_is_kept_with_a_condition_a_record_and_one_warning() {
    for case in cases() {
        let mut world = holding_world();
        apply(&mut world, &case);
        let written = world.settle();
        assert_eq!(names(&written), ["a"], "{}", case.why);
        assert_eq!(world.shows("a"), ["10.0.0.1"]);
        let says = format!(
            "10.0.0.1 is kept although {}; it stays until the Service goes or lbd.io/release gives it up",
            case.why
        );
        assert_eq!(world.condition("a"), format!("True/{}: {says}", case.reason));
        assert!(written[0].event().starts_with("Warning AllocationFailed: "), "{}", written[0].event());
        assert!(written[0].event().contains(&says), "{}", written[0].event());
        assert_eq!(world.kept("a"), if case.lost { record() } else { Value::Null });
        let pool = &world.service("a")["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"];
        assert_eq!(pool, "p");
        // Nothing of this is said or written again.
        for object in [world.service("a").clone(), namespace("default")] {
            world.tell(object);
        }
        assert_eq!(world.settle().len(), 0);
        world.edit("Service", "a", &json!({"metadata": {"labels": {"x": "y"}}}));
        assert_eq!(world.settle().len(), 0);
        world.check_restart();
        world.check_restart();
        // When the pool is as it was, so is the Service, without a word.
        world.tell(web_pool());
        let written = world.settle();
        assert_eq!((names(&written), written[0].event()), (vec!["a"], ""));
        assert_eq!(world.condition("a"), "True/Assigned: 10.0.0.1 from pool \"p\"");
        assert_eq!((world.kept("a"), world.shows("a")), (Value::Null, vec!["10.0.0.1".to_owned()]));
        world.check_restart();
    }
}

#[test]
fn a_kept_address_is_given_to_nobody_else_and_not_even_for_the_asking() {
    for case in cases() {
        let mut world = holding_world();
        apply(&mut world, &case);
        world.restart();
        world.tell(pool("other", 1, &["10.1.0.1-10.1.0.9"]));
        world.tell(service("b", 2));
        world.tell(with(service("c", 3), &json!({"spec": {"loadBalancerIP": "10.0.0.1"}})));
        world.settle();
        assert_eq!(world.shows("a"), ["10.0.0.1"]);
        assert_ne!(world.shows("b"), ["10.0.0.1"]);
        assert_eq!(world.shows("c"), Vec::<String>::new());
        world.check_restart();
        // When the Service goes, the record goes with it, and nobody gets what no pool has.
        world.tell_gone("Service", "a");
        world.settle();
        assert_eq!(world.shows("c"), Vec::<String>::new(), "{}", case.why);
        assert!(world.controller.allocator().users("10.0.0.1".parse().unwrap()).is_empty());
    }
}

/// Where the operator confirms, and with what.
fn confirm(world: &mut World, place: &str, value: &str) {
    match place {
        POOL => world.edit(POOL, "p", &annotate(RELEASE, value)),
        "Service" => world.edit("Service", "a", &annotate(RELEASE, value)),
        _ => world.edit("Namespace", "default", &annotate(RELEASE, value)),
    }
}

fn places(case: &Case) -> Vec<&'static str> {
    // One that is gone cannot be annotated.
    [POOL, "Service", "Namespace"].into_iter().filter(|place| *place != POOL || case.edit.is_some()).collect()
}

#[test]
fn when_it_is_confirmed_the_service_moves_and_that_is_told_once() {
    for case in cases() {
        for (place, value) in
            places(&case).into_iter().flat_map(|place| ["all", "10.0.0.0/24"].map(|value| (place, value)))
        {
            let mut world = holding_world();
            world.tell(pool("q", 1, &["10.1.0.1-10.1.0.9"]));
            apply(&mut world, &case);
            world.settle();
            assert_eq!(world.shows("a"), ["10.0.0.1"]);
            // Others' addresses are not a word about this one.
            confirm(&mut world, place, "10.0.0.2, 10.9.0.0/16, fd00::/64");
            assert_eq!(world.settle().len(), 0, "{place}: {}", case.why);
            world.check_restart();
            confirm(&mut world, place, value);
            let written = world.settle();
            assert_eq!(names(&written), ["a"], "{place} {value}: {}", case.why);
            let (address, pool) = match &world.shows("a")[..] {
                [address] if address.starts_with("10.1.") => (address.clone(), "q"),
                [address] if case.reason != "PoolDraining" => (address.clone(), "p"),
                other => panic!("{place} {value}: {}: it shows {other:?}", case.why),
            };
            assert_ne!(address, "10.0.0.1");
            assert_eq!(world.condition("a"), format!("True/Assigned: {address} from pool {pool:?}"));
            let told =
                format!("Normal IPAllocated: Assigned {address} from pool {pool:?}: the lowest free address");
            assert_eq!(written[0].event(), told);
            assert_eq!(world.kept("a"), Value::Null);
            world.check_restart();
        }
    }
}

#[test]
fn when_it_is_confirmed_and_there_is_no_other_address_the_service_waits_and_that_is_told_once() {
    for case in cases() {
        for place in places(&case) {
            let mut world = holding_world();
            for second in 2..10 {
                world.tell(service(&format!("s{second}"), second));
            }
            world.settle();
            apply(&mut world, &case);
            world.settle();
            // The others are told to keep theirs.
            confirm(&mut world, place, "10.0.0.1");
            let written = world.settle();
            assert_eq!(names(&written), ["a"], "{place}: {}", case.why);
            assert_eq!(world.shows("a"), Vec::<String>::new());
            assert_eq!(world.kept("a"), Value::Null);
            let says = world.condition("a");
            let (reason, why) = says.split_once(": ").unwrap();
            assert!(reason.starts_with("False/"), "{says}");
            assert_eq!(written[0].event(), format!("Warning AllocationFailed: {why}"));
            for second in 2..10 {
                assert_eq!(world.shows(&format!("s{second}")), [format!("10.0.0.{second}")]);
            }
            world.check_restart();
            // A pool with room helps.
            world.tell(pool("q", 1, &["10.1.0.1-10.1.0.9"]));
            assert_eq!(names(&world.settle()), ["a"]);
            assert_eq!(world.shows("a"), ["10.1.0.1"]);
        }
    }
}

#[test]
fn a_confirmation_written_beforehand_takes_nothing_from_a_pool_that_has_its_addresses() {
    for place in [POOL, "Service", "Namespace"] {
        let mut world = holding_world();
        confirm(&mut world, place, "all");
        assert_eq!(world.settle().len(), 0, "{place}");
        world.check_restart();
        world.edit(POOL, "p", &annotate(STATE, "cordoned"));
        assert_eq!(world.settle().len(), 0, "{place}: a cordoned pool keeps what it has");
        assert_eq!(world.shows("a"), ["10.0.0.1"]);
    }
}

#[test]
fn of_a_pool_that_is_emptied_only_the_namespaces_that_confirm_are_moved() {
    let mut world = World::of(&[web_pool(), service("a", 1), service("b", 2), namespace("elsewhere")]);
    world.settle();
    world.tell(pool("q", 1, &["10.1.0.1-10.1.0.9"]));
    world.edit(POOL, "p", &annotate(STATE, "draining"));
    assert_eq!(names(&world.settle()), ["a", "b"]);
    world.edit("Namespace", "elsewhere", &annotate(RELEASE, "all"));
    assert_eq!(world.settle().len(), 0);
    world.tell(with(namespace("default"), &annotate(RELEASE, "10.0.0.2/32")));
    assert_eq!(names(&world.settle()), ["b"]);
    assert_eq!((world.shows("a"), world.shows("b")), (vec!["10.0.0.1".into()], vec!["10.1.0.1".into()]));
    world.check_restart();
    world.tell_gone("Namespace", "default");
    assert_eq!(world.settle().len(), 0);
}

#[test]
fn taken_away_is_taken_at_once_but_for_a_pool_that_is_drained() {
    for case in cases() {
        let mut world = World::that(LostAddresses::TakeAway, &objects());
        world.settle();
        world.tell(pool("q", 1, &["10.1.0.1-10.1.0.9"]));
        apply(&mut world, &case);
        let written = world.settle();
        assert_eq!(names(&written), ["a"], "{}", case.why);
        assert_eq!(world.kept("a"), Value::Null);
        if case.lost {
            assert_ne!(world.shows("a"), ["10.0.0.1"], "{}", case.why);
            assert!(written[0].event().starts_with("Normal IPAllocated: "), "{}", written[0].event());
        } else {
            assert_eq!(world.shows("a"), ["10.0.0.1"]);
            assert!(world.condition("a").starts_with("True/PoolDraining: "));
        }
        world.check_restart();
    }
}

#[test]
fn taken_away_is_taken_also_when_there_is_nothing_in_its_place() {
    let mut world = World::that(LostAddresses::TakeAway, &objects());
    world.settle();
    world.tell_gone(POOL, "p");
    let written = world.settle();
    assert_eq!((names(&written), world.shows("a").len()), (vec!["a"], 0));
    assert!(world.condition("a").starts_with("False/NoPools: "));
    assert!(written[0].event().starts_with("Warning AllocationFailed: "));
    // A process that starts later takes what was lost while nobody looked.
    let mut world = World::of(&objects());
    world.settle();
    world.edit(POOL, "p", &json!({"spec": {"addresses": ["10.0.0.7-10.0.0.9"]}}));
    let stored = [world.object(POOL, "p").clone(), world.service("a").clone()];
    let mut world = World::that(LostAddresses::TakeAway, &stored);
    world.settle();
    assert_eq!(world.shows("a"), ["10.0.0.7"]);
}

#[test]
fn a_pool_that_cannot_be_read_at_the_start_is_no_word_to_take_addresses_away() {
    let mut world = World::that(LostAddresses::TakeAway, &objects());
    world.settle();
    world.edit(POOL, "p", &annotate(STATE, "frozen"));
    assert_eq!(world.settle().len(), 0);
    world.restart();
    world.settle();
    assert_eq!(world.shows("a"), ["10.0.0.1"], "{}", world.condition("a"));
}
