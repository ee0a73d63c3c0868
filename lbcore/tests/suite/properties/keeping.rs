//! Laws of what is kept: nothing that is held goes without a cause, and what happens is told.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::{Decision, Family, Loss, PoolState, Refusal, Request, ServiceKey};
use proptest::prelude::*;

use super::naive::{Facts, is_kept_for_another};
use super::story::{Event, story};
use super::world::World;

/// Whether the service's own wish explains that it gave up `address`, which came from `pool`.
fn wishes_another(request: &Request, address: IpAddr, pool: &str) -> bool {
    let family = Family::of(address);
    !request.families.wants(family)
        || request.pool.as_ref().is_some_and(|asked| **asked != *pool)
        || !request.addresses.contains(&address)
            && request.addresses.iter().any(|asked| Family::of(*asked) == family)
}

/// Whether the pool of a held address has it no more, leaves it out, or is being drained.
fn is_in_question(facts: &Facts, address: IpAddr) -> bool {
    facts.home(address).is_none_or(|home| home.state == PoolState::Draining)
}

type Decisions = BTreeMap<ServiceKey, Decision>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_address_in_use_is_never_taken_away_silently(story in story(), take_away in prop::bool::weighted(0.2)) {
        let mut world = World::new(take_away);
        for event in &story {
            let before = world.decisions();
            world.step(event);
            let asks_anew = |key: &ServiceKey| match event {
                Event::Ask(request) => request.key == *key,
                Event::Remake(remade) => remade == key,
                _ => false,
            };
            for (key, after) in world.decisions() {
                let Some(before) = before.get(&key).filter(|_| !asks_anew(&key)) else { continue };
                let request = &world.facts.wishes[&key];
                let after = after.addresses();
                for lost in before.held().iter().filter(|held| !after.contains(&held.address)) {
                    let address = lost.address;
                    let facts = &world.facts;
                    let pool = facts.home(address).map_or(&*lost.pool, |home| &home.name);
                    let confirmed = is_in_question(facts, address) && facts.released(&key, address, &lost.pool);
                    let by_setting = take_away && facts.home(address).is_none();
                    prop_assert!(
                        confirmed || by_setting || wishes_another(request, address, pool),
                        "{key} lost {address}, it has {after:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_released_is_given_up_and_what_is_not_is_told_of(story in story(), take_away in prop::bool::weighted(0.2)) {
        let mut world = World::new(take_away);
        for event in &story {
            world.step(event);
            let facts = &world.facts;
            for (key, decision) in world.decisions() {
                let in_question = |address: &IpAddr| is_in_question(facts, *address);
                let first = decision.addresses().into_iter().find(in_question);
                match (first, decision.refusal()) {
                    (Some(first), Some(Refusal::Kept { address, pool, why })) => {
                        prop_assert_eq!(first, *address);
                        prop_assert!(!facts.released(&key, first, pool), "{decision:?}");
                        prop_assert!(!take_away || *why == Loss::Draining, "{decision:?}");
                        let home = facts.surroundings(first);
                        match why {
                            Loss::PoolUnreadable => prop_assert!(false, "every pool can be read"),
                            Loss::Draining => prop_assert!(home.is_some_and(|home| home.state == PoolState::Draining)),
                            Loss::Excluded { pool, .. } => prop_assert_eq!(home.map(|home| &*home.name), Some(&**pool)),
                            Loss::RangeRemoved => prop_assert!(home.is_none() && facts.pools.iter().any(|it| it.name == **pool)),
                            Loss::PoolRemoved => prop_assert!(home.is_none() && !facts.pools.iter().any(|it| it.name == **pool)),
                        }
                    }
                    (None, Some(Refusal::Kept { .. })) | (Some(_), _) => prop_assert!(false, "{decision:?}"),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn a_held_address_that_is_a_nodes_or_kept_for_another_is_told_of(story in story()) {
        let mut world = World::default();
        for event in &story {
            world.step(event);
            let facts = &world.facts;
            for (key, decision) in world.decisions() {
                let avoided = decision.addresses().into_iter().find(|it| facts.avoided.contains(it));
                let strange = |address: &IpAddr| {
                    facts.home(*address).is_some_and(|home| is_kept_for_another(home, *address, &key))
                };
                let kept = decision.addresses().into_iter().find(strange);
                match (decision.refusal(), avoided, kept) {
                    (_, None, None) | (Some(Refusal::Kept { .. }), _, _) => {}
                    (Some(Refusal::NotAlone { address, .. }), Some(avoided), _) => prop_assert_eq!(*address, avoided),
                    (Some(Refusal::Reserved { address, .. }), None, Some(kept)) => prop_assert_eq!(*address, kept),
                    _ => prop_assert!(false, "{decision:?}"),
                }
            }
        }
    }

    #[test]
    fn every_change_is_told_and_nothing_else(story in story(), take_away in prop::bool::weighted(0.2)) {
        let mut world = World::new(take_away);
        for event in &story {
            let before = world.decisions();
            let asked = world.happens(event);
            world.wake();
            if matches!(event, Event::Restart) {
                continue;
            }
            let told: Decisions = asked.into_iter().chain(world.told.clone()).map(|it| (it.key.clone(), it)).collect();
            for (key, after) in world.decisions() {
                let outcome = |decision: &Decision| decision.outcome.clone();
                let known = told.get(&key).or(before.get(&key));
                prop_assert_eq!(known.map(outcome), Some(outcome(&after)), "{} was told something else", key);
            }
            prop_assert!(world.told.iter().all(|decision| decision.changed), "{:?}", world.told);
            // Time alone moves nobody.
            if matches!(event, Event::Advance(_)) {
                prop_assert_eq!(&world.told, &vec![]);
            }
        }
    }
}
