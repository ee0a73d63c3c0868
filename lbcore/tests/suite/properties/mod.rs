//! What holds after any sequence of events, checked against a naive telling of the rules.

mod keeping;
mod memory;
mod naive;
mod setting_aside;
mod story;
mod world;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use self::naive::{Facts, Users, is_kept, listed, may_share, users, without};
use self::story::{Event, story};
use self::world::World;
use lbcore::{
    Allocator, Counters, Decision, Families, Family, Grant, PoolSpec, Refusal, Request, ServiceKey,
};
use proptest::prelude::*;
use proptest::sample::Index;

/// Whether a service has an address that is not from the pool it asks for, and not just what it asks for.
fn has_more_or_less_beside_another_pool(request: &Request, decision: &Decision) -> bool {
    let another = |asked: &Arc<str>| decision.held().iter().any(|holding| *holding.pool != **asked);
    let held = decision.addresses();
    let of = |family: Family| held.iter().filter(move |address| Family::of(**address) == family);
    let lacks = request.families.wanted().iter().any(|family| of(*family).count() == 0)
        || request.addresses.iter().any(|asked| !held.contains(asked));
    let surplus = |address: &IpAddr| {
        !request.addresses.contains(address) && of(Family::of(*address)).any(|other| other != address)
    };
    request.pool.as_ref().is_some_and(another) && (lacks || held.iter().any(surplus))
}

/// Whether a service that lacks something could now have it.
fn could_have_more(facts: &Facts, decision: &Decision, others: &Users) -> bool {
    let request = &facts.wishes[&decision.key];
    let asked = |address| {
        let lost = || Some(&*decision.held().iter().find(|held| held.address == address)?.pool);
        let home = facts.home(address).map(|home| home.name.as_str()).or_else(lost);
        request.pool.is_none() || request.pool.as_deref() == home
    };
    let held = decision.addresses();
    let lacks_none = request.addresses.iter().all(|asked| held.contains(asked))
        && request.families.wanted().iter().all(|family| held.iter().any(|it| Family::of(*it) == *family));
    match (decision.refusal(), decision.held()) {
        // An address whose pool is now another fulfils the wish.
        (None | Some(Refusal::OtherPool { .. }), [_, ..]) => false,
        // Nor does it move because the pool was split around one of its addresses.
        (_, [_, ..]) if request.addresses.is_empty() && !held.iter().all(|address| asked(*address)) => false,
        // An address that is lost or in question fulfils the wish.
        (Some(Refusal::Kept { .. } | Refusal::NotAlone { .. } | Refusal::Reserved { .. }), [_, ..])
            if lacks_none =>
        {
            false
        }
        // Once served, who prefers both grows only into the pools of what it holds.
        (_, [first, rest @ ..])
            if matches!(request.families, Families::Prefer { .. })
                && rest.iter().all(|held| Family::of(held.address) == Family::of(first.address))
                && request.addresses.iter().all(|asked| held.contains(asked))
                && held.iter().all(|address| asked(*address)) =>
        {
            let missing = Family::of(first.address).other();
            let choices = facts.choices(request);
            held.iter().filter_map(|address| facts.home(*address)).any(|home| {
                let is_choice = choices.iter().any(|pool| pool.name == home.name);
                facts.own(request, missing, others, Some(home)).is_some()
                    || is_choice && facts.pick(home, missing, request, others).is_some()
            })
        }
        _ => facts.answer(request, others).is_some(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_global_rejects: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_address_is_held_by_two_that_may_not_share(story in story()) {
        let mut world = World::default();
        for event in &story {
            world.step(event);
            for (address, users) in world.allocator.held() {
                for (n, user) in users.iter().enumerate() {
                    let addresses = world.allocator.decision(user).map(|decision| decision.addresses());
                    prop_assert!(addresses.is_some_and(|addresses| addresses.contains(&address)));
                    for other in &users[n + 1..] {
                        let (one, two) = (&world.facts.wishes[user], &world.facts.wishes[other]);
                        prop_assert!(may_share(one, two), "{address} is held by {user} and {other}");
                    }
                }
            }
            for (key, decision) in world.decisions() {
                let families: Vec<_> = decision.addresses().into_iter().map(Family::of).collect();
                let wanted = world.facts.wishes[&key].families;
                prop_assert!(families.iter().all(|family| wanted.wants(*family)), "{decision:?}");
                let unasked = |address: &IpAddr| !world.facts.wishes[&key].addresses.contains(address);
                for address in decision.addresses().into_iter().filter(unasked) {
                    // One of each family, unless more are asked for or a changed wish is still open.
                    let same = families.iter().filter(|family| **family == Family::of(address)).count();
                    prop_assert!(same == 1 || decision.refusal().is_some(), "{decision:?}");
                }
                for address in decision.addresses() {
                    prop_assert!(world.allocator.users(address).contains(&key));
                }
            }
        }
    }

    #[test]
    fn every_new_address_comes_from_a_pool_in_force_and_the_lowest_free_one(story in story()) {
        let mut world = World::default();
        for event in &story {
            let decision = world.happens(event);
            if let Some(decision) = decision {
                let (facts, before) = &world.before_asking;
                let request = &facts.wishes[&decision.key];
                let old = |address: IpAddr| before.get(&address).is_some_and(|users| users.contains(&request.key));
                if !before.values().flatten().any(|user| *user == request.key) {
                    prop_assert_eq!(Some(decision.addresses()).filter(|addresses| !addresses.is_empty()),
                        facts.answer(request, before), "{:?}", decision);
                }
                for holding in decision.held().iter().filter(|holding| !old(holding.address)) {
                    let home = facts.home(holding.address).expect("it is in a pool in force");
                    prop_assert_eq!(&*holding.pool, home.name.as_str());
                    prop_assert!(facts.admits(home, request));
                    if holding.grant == Grant::Lowest {
                        let alone = Request { sharing: None, ..request.clone() };
                        let first_free = facts.pick(home, Family::of(holding.address), &alone, before);
                        prop_assert_eq!(Some(holding.address), first_free);
                    }
                }
            }
            world.wake();
        }
    }

    #[test]
    fn counters_equal_a_recount(story in story()) {
        let mut world = World::default();
        for event in &story {
            world.step(event);
            let held = users(&world.allocator);
            let facts = &world.facts;
            for pool in &facts.pools {
                for family in [Family::V4, Family::V6] {
                    let addresses = listed(pool, family);
                    let (assigned, rest): (Vec<_>, Vec<_>) =
                        addresses.iter().partition(|address| held.contains_key(address));
                    let (avoided, rest): (Vec<_>, Vec<_>) =
                        rest.into_iter().partition(|address| facts.avoided.contains(address));
                    let (reserved, available): (Vec<_>, Vec<_>) =
                        rest.into_iter().partition(|address| is_kept(pool, *address));
                    let recount = Counters {
                        total: addresses.len() as u128,
                        assigned: assigned.len() as u128,
                        reserved: reserved.len() as u128,
                        avoided: avoided.len() as u128,
                    };
                    prop_assert_eq!(world.allocator.counters(&pool.name, family), Some(recount));
                    prop_assert_eq!(recount.available(), available.len() as u128);
                }
            }
            for (_, decision) in world.decisions() {
                for holding in decision.held() {
                    if let Some(home) = facts.home(holding.address) {
                        prop_assert_eq!(&*holding.pool, home.name.as_str(), "{:?}", decision);
                    }
                }
            }
        }
    }

    #[test]
    fn same_inputs_in_any_order_give_the_same_result(story in story()) {
        let mut forwards = World::default();
        let mut backwards = World::backwards();
        for event in &story {
            forwards.step(event);
            backwards.step(event);
            prop_assert_eq!(&forwards.facts.pools, &backwards.facts.pools);
            prop_assert_eq!(forwards.decisions(), backwards.decisions());
            prop_assert_eq!(forwards.remembered(), backwards.remembered());
        }
    }

    #[test]
    fn pools_that_are_still_written_stay_in_force_and_never_overlap(story in story()) {
        let mut world = World::default();
        for event in &story {
            let before = world.facts.pools.clone();
            world.step(event);
            let after = &world.facts.pools;
            for old in before.iter().filter(|old| world.written.iter().any(|spec| spec.name == old.name)) {
                prop_assert!(after.iter().any(|pool| pool.name == old.name), "{old:?} is gone: {after:?}");
            }
            for pool in after {
                prop_assert!(world.written.contains(pool) || before.contains(pool));
                let others = after.iter().filter(|other| other.name != pool.name);
                for other in others.flat_map(|other| &other.ranges) {
                    prop_assert!(pool.ranges.iter().all(|range| !range.overlaps(other)));
                }
            }
        }
    }

    #[test]
    fn a_pending_service_really_has_no_address_it_could_have(story in story()) {
        let mut world = World::default();
        for event in &story {
            world.step(event);
            for (key, decision) in world.decisions() {
                let others = without(users(&world.allocator), &key);
                prop_assert!(!could_have_more(&world.facts, &decision, &others), "{decision:?}");
            }
        }
    }

    #[test]
    fn asking_again_changes_nothing(story in story()) {
        let mut world = World::default();
        for event in &story {
            world.step(event);
            let before = world.decisions();
            for (key, request) in &world.facts.wishes {
                let again = world.allocator.request(request.clone());
                prop_assert_eq!(&again, &before[key]);
            }
            prop_assert_eq!(world.allocator.woken(), vec![]);
            // Everybody is looked at again, once to bring reasons up to date, then for nothing new.
            let addresses = world.addresses();
            for settled in [false, true] {
                let mut decisions = world.allocator.set_pools(world.written.clone()).decisions;
                decisions.extend(world.allocator.woken());
                prop_assert!(!settled || decisions.is_empty(), "{decisions:?}");
                prop_assert_eq!(world.addresses(), addresses.clone());
            }
        }
    }

    #[test]
    fn adopting_what_is_held_restores_the_same_holdings(story in story()) {
        let mut world = World::default();
        for event in &story {
            world.step(event);
        }
        // No status says whether a service got an address before or after it asked for the pool it asks for now.
        // Before: the address is to be replaced, together with all others. After (its pool was split or went):
        // it stays, what is missing may be had beside it, and what is too much goes. A restart that takes no address away has to
        // assume the latter.
        let unclear = |(key, held): (&ServiceKey, &Decision)| {
            has_more_or_less_beside_another_pool(&world.facts.wishes[key], held)
        };
        prop_assume!(!world.decisions().iter().any(unclear));
        let state = |world: &World| (world.addresses(), world.counters(), world.remembered());
        let before = state(&world);
        world.step(&Event::Restart);
        prop_assert_eq!(state(&world), before);
    }

    #[test]
    fn release_and_wake_gives_to_the_oldest_waiter(
        waiters in prop::collection::vec(0_i64..4, 1..8),
        leaves in prop::collection::vec(any::<Index>(), 1..4),
    ) {
        let mut allocator = Allocator::default();
        allocator.set_pools(vec![PoolSpec::parse("p", ["10.0.0.0/30"]).expect("a good pool")]);
        prop_assert_eq!(allocator.woken(), vec![]);
        let mut holders: Vec<ServiceKey> = (0..4).map(|n| ServiceKey::new("a", format!("h{n}"))).collect();
        for key in &holders {
            allocator.request(Request::new(key.clone(), Family::V4));
        }
        let mut queue = BTreeSet::new();
        for (n, created) in waiters.into_iter().enumerate() {
            let key = ServiceKey::new(if n % 3 == 0 { "b" } else { "a" }, format!("w{n}"));
            let request = Request { created, ..Request::new(key.clone(), Family::V4) };
            prop_assert!(allocator.request(request).held().is_empty());
            queue.insert((created, key));
        }
        for leaving in leaves {
            let leaver = holders.swap_remove(leaving.index(holders.len()));
            let freed = allocator.release(&leaver)[0].address;
            let woken = allocator.woken();
            if let Some((_, oldest)) = queue.pop_first() {
                prop_assert_eq!(woken.len(), 1);
                prop_assert_eq!((&woken[0].key, woken[0].addresses()), (&oldest, vec![freed]));
                holders.push(oldest);
            } else {
                prop_assert_eq!(woken, vec![]);
            }
        }
    }
}
