//! Laws of what is remembered of addresses that were freed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::{Decision, Family, PoolState};
use proptest::prelude::*;

use super::naive::{is_kept, is_kept_for_another, listed, users};
use super::story::{Event, story};
use super::world::World;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_left_which_address_is_remembered_as_long_as_its_pool_wants(story in story()) {
        let mut world = World::default();
        for event in &story {
            world.step(event);
            let mut expected = world.facts.memory.clone();
            expected.sort_unstable();
            prop_assert_eq!(world.remembered(), expected);
        }
    }

    #[test]
    fn every_change_of_what_is_remembered_is_told(story in story()) {
        let mut world = World::default();
        world.allocator.memory_changed();
        let mut known = BTreeMap::new();
        for event in story.iter().filter(|event| !matches!(event, Event::Restart)) {
            world.step(event);
            let told = world.allocator.memory_changed();
            known.retain(|name, _| world.facts.pools.iter().any(|pool| pool.name == *name));
            for pool in &world.facts.pools {
                let now = world.allocator.remembered(&pool.name);
                let before = known.insert(pool.name.clone(), now.clone()).unwrap_or_default();
                prop_assert!(now == before || told.contains(&*pool.name), "{}: {now:?}, not {before:?}", pool.name);
            }
        }
    }

    #[test]
    fn a_service_that_is_made_again_has_what_it_had_unless_one_that_waited_took_it(story in story()) {
        let mut world = World::default();
        for event in &story {
            world.step(event);
        }
        for (key, decision) in world.decisions() {
            let wish = world.facts.wishes[&key].clone();
            let mut again = world.clone();
            again.release(&key);
            again.wake();
            let (facts, held) = (&again.facts, users(&again.allocator));
            // Of two that it left at one time, none is the last.
            let is_last = |address: IpAddr| {
                let left = facts.memory.iter().filter(|entry| entry.service == key && entry.freed == facts.now);
                left.filter(|entry| Family::of(entry.address) == Family::of(address)).count() == 1
            };
            let is_kept_for_it = facts.pools.iter().flat_map(|pool| &pool.reservations).any(|it| it.service.matches(&key));
            let can_return = |address: &IpAddr| {
                facts.home(*address).is_some_and(|home| {
                    home.state == PoolState::Active
                        && !home.sticky.is_zero()
                        && facts.admits(home, &wish)
                        && wish.pool.as_ref().map_or(home.auto_assign, |asked| **asked == *home.name)
                        && facts.fits(&wish, *address, &held)
                        && !facts.avoided.contains(address)
                        && !is_kept_for_another(home, *address, &key)
                })
            };
            let expected = decision.addresses().into_iter().filter(|it| is_last(*it) && can_return(it));
            let expected: Vec<IpAddr> = expected.collect();
            let given = again.ask(wish.clone()).addresses();
            if wish.addresses.is_empty() && !is_kept_for_it && !given.is_empty() {
                prop_assert!(expected.iter().all(|it| given.contains(it)), "{key} had {expected:?}, and has {given:?}");
            }
        }
    }

    #[test]
    fn an_address_that_rests_goes_to_another_only_when_its_pool_has_no_other(story in story()) {
        let mut world = World::default();
        for event in &story {
            let decision = world.happens(event);
            let (facts, before) = &world.before_asking;
            for holding in decision.iter().flat_map(Decision::held) {
                let key = &decision.as_ref().expect("it holds something").key;
                let request = &facts.wishes[key];
                let address = holding.address;
                let rests = facts.memory.iter().any(|entry| entry.address == address && entry.service != *key);
                let had = facts.memory.iter().any(|entry| entry.address == address && entry.service == *key);
                let unasked = !request.addresses.contains(&address) && !before.contains_key(&address);
                let home = facts.home(address).filter(|_| rests && !had && unasked);
                let Some(home) = home.filter(|home| !is_kept(home, address)) else { continue };
                for other in listed(home, Family::of(address)) {
                    let resting = facts.memory.iter().any(|entry| entry.address == other);
                    let taken = before.contains_key(&other) || facts.avoided.contains(&other);
                    prop_assert!(resting || taken || is_kept(home, other), "{other} before {address}");
                }
            }
            world.wake();
        }
    }
}
