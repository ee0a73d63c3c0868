//! Laws of what is set aside: excluded addresses, those kept by name, those of nodes, and pools that give no more.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lbcore::{PoolState, Request, ServiceKey};
use proptest::prelude::*;

use super::naive::{gains, is_kept_for_another, users};
use super::story::{Event, story};
use super::world::World;

/// Who gained which address by an event.
fn gained(world: &mut World, event: &Event) -> Vec<(IpAddr, ServiceKey)> {
    let before = users(&world.allocator);
    world.step(event);
    gains(&before, &users(&world.allocator))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_gains_an_excluded_address(story in story()) {
        let mut world = World::default();
        for event in &story {
            for (address, service) in gained(&mut world, event) {
                prop_assert!(world.facts.home(address).is_some(), "{service} has {address}");
            }
        }
    }

    #[test]
    fn nobody_gains_an_address_that_is_kept_for_another(story in story()) {
        let mut world = World::default();
        for event in &story {
            for (address, service) in gained(&mut world, event) {
                let kept = |pool| is_kept_for_another(pool, address, &service);
                prop_assert!(!world.facts.home(address).is_some_and(kept), "{service} has {address}");
            }
        }
    }

    #[test]
    fn an_avoided_address_is_gained_only_by_asking_for_it(story in story()) {
        let mut world = World::default();
        for event in &story {
            for (address, service) in gained(&mut world, event) {
                if world.facts.avoided.contains(&address) {
                    prop_assert!(world.facts.wishes[&service].addresses.contains(&address), "{service}");
                }
            }
        }
    }

    #[test]
    fn what_is_held_of_a_pool_that_gives_no_more_never_grows(story in story()) {
        let mut world = World::default();
        for event in &story {
            for (address, service) in gained(&mut world, event) {
                let state = world.facts.home(address).map(|home| home.state);
                prop_assert_eq!(state, Some(PoolState::Active), "{} has {}", service, address);
            }
        }
    }

    #[test]
    fn a_service_that_is_new_gets_what_is_kept_for_it_before_anything_else(story in story()) {
        let mut world = World::default();
        for event in &story {
            let decision = world.happens(event);
            let (facts, before) = &world.before_asking;
            let new = |key: &ServiceKey| !before.values().flatten().any(|user| user == key);
            if let Some(decision) = decision.filter(|decision| new(&decision.key)) {
                let request = &facts.wishes[&decision.key];
                for family in request.families.wanted().iter().filter(|_| request.addresses.is_empty()) {
                    let own = facts.own(request, *family, before, None);
                    prop_assert!(decision.held().is_empty() || own.is_none_or(|own| decision.addresses().contains(&own)));
                }
            }
            world.wake();
        }
    }

    #[test]
    fn what_would_be_considered_is_what_is_given(story in story()) {
        let mut world = World::default();
        for event in &story {
            if let Event::Ask(request) = event {
                let known: BTreeSet<&ServiceKey> = world.facts.wishes.keys().collect();
                let free = Request { addresses: vec![], ..request.clone() };
                if !known.contains(&free.key) && free.families.wanted().len() == 1 {
                    let considered = world.allocator.consider(&free);
                    let found = considered.ok().and_then(|all| all[0].found.clone());
                    let given = world.allocator.clone().request(free);
                    prop_assert_eq!(found.as_ref(), given.held().first());
                }
            }
            world.step(event);
        }
    }
}
