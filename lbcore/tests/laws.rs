//! What holds after any sequence of events, checked against a naive telling of the rules.

mod naive;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lbcore::allocator::Claim;
use lbcore::{
    Allocator, Counters, Decision, Families, Family, Grant, Labels, PoolSpec, Port, Protocol, Refusal,
    Release, Request, Selector, ServiceAllocation, ServiceKey, Sharing,
};
use naive::{Facts, Users, listed, may_share, users, without};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One event.
#[derive(Debug, Clone)]
enum Event {
    Ask(Request),
    Release(ServiceKey),
    Pools(Vec<PoolSpec>),
    Namespace(&'static str, Option<Labels>),
    Restart,
}

fn label(key: &str, value: &str) -> Labels {
    Labels::from([(key.to_owned(), value.to_owned())])
}

/// One of six services; their age is not the order of their names.
fn service() -> impl Strategy<Value = (ServiceKey, i64)> {
    (0_usize..6).prop_map(|n| {
        let namespace = if n % 2 == 0 { "blue" } else { "red" };
        (ServiceKey::new(namespace, format!("s{n}")), [3, 1, 2, 3, 1, 0][n])
    })
}

fn families() -> impl Strategy<Value = Families> {
    let family = || select(vec![Family::V4, Family::V4, Family::V6]);
    prop_oneof![
        2 => family().prop_map(Families::Single),
        1 => family().prop_map(|primary| Families::Prefer { primary }),
        1 => family().prop_map(|primary| Families::Require { primary }),
    ]
}

/// Nothing asked for, one address, or one of each family.
fn addresses() -> impl Strategy<Value = Vec<IpAddr>> {
    let some = ["10.0.0.0", "10.0.0.1", "10.0.0.3", "10.0.1.0", "fd00::", "fd00::1", "fd00::3"];
    let some: Vec<IpAddr> = some.iter().map(|text| text.parse().expect(text)).collect();
    let asked = prop::collection::vec(select(some), 1..3).prop_map(|mut asked| {
        if asked.len() == 2 && Family::of(asked[0]) == Family::of(asked[1]) {
            asked.pop();
        }
        asked
    });
    prop_oneof![4 => Just(vec![]), 1 => asked]
}

fn sharing() -> impl Strategy<Value = Option<Sharing>> {
    let sharing = (select(vec!["k", "k", "l"]), select(vec!["", "", "app=x"]))
        .prop_map(|(key, backend)| Sharing { key: key.to_owned(), backend: backend.to_owned() });
    prop::option::of(sharing)
}

fn request() -> impl Strategy<Value = Request> {
    let port = |number: u16| Port { protocol: Protocol::Tcp, number };
    let ports = prop::collection::btree_set((80_u16..83).prop_map(port), 0..3);
    let pool = prop_oneof![4 => Just(None), 1 => select(vec!["a", "b", "c", "x"]).prop_map(|p| Some(std::sync::Arc::from(p)))];
    let labels = select(vec![Labels::new(), label("tier", "gold")]);
    (service(), families(), addresses(), pool, sharing(), ports, labels).prop_map(
        |((key, created), families, addresses, pool, sharing, ports, labels)| Request {
            key,
            created,
            families,
            addresses,
            pool,
            sharing,
            ports,
            labels,
            release: Release::Nothing,
        },
    )
}

fn allocation() -> impl Strategy<Value = ServiceAllocation> {
    let open = ServiceAllocation::default();
    let kinds = vec![
        open.clone(),
        open.clone(),
        open.clone(),
        ServiceAllocation { namespaces: BTreeSet::from(["red".to_owned()]), ..open.clone() },
        ServiceAllocation { namespace_selectors: vec![Selector::label("team", "x")], ..open.clone() },
        ServiceAllocation { service_selectors: vec![Selector::label("tier", "gold")], ..open },
    ];
    (select(kinds), 0_i64..3).prop_map(|(kind, priority)| ServiceAllocation { priority, ..kind })
}

/// Some form of the pool `name`; forms of different pools may overlap.
fn pool(name: &'static str) -> impl Strategy<Value = PoolSpec> {
    let forms: Vec<&[&str]> = vec![
        &["10.0.0.0/31"],
        &["10.0.0.0/30", "fd00::/127"],
        &["10.0.0.3/32", "10.0.0.2/32"],
        &["10.0.1.0/31"],
        &["fd00::/127"],
        &["fd00::2/127", "10.0.0.0/32"],
        &["10.0.0.254-10.0.1.1"],
        &["10.0.2.0/30", "fd00::4/128"],
    ];
    let auto_assign = prop::bool::weighted(0.8);
    let avoid_buggy = prop::bool::weighted(0.2);
    (select(forms), 0_i64..3, auto_assign, avoid_buggy, allocation()).prop_map(
        move |(ranges, created, auto_assign, avoid_buggy, allocation)| {
            let parsed = PoolSpec::parse(name, ranges.iter().copied()).expect("good ranges");
            PoolSpec { created, auto_assign, avoid_buggy, allocation, ..parsed }
        },
    )
}

fn pools() -> impl Strategy<Value = Vec<PoolSpec>> {
    let maybe = |name| prop::option::weighted(0.8, pool(name));
    (maybe("a"), maybe("b"), maybe("c")).prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect())
}

fn event() -> impl Strategy<Value = Event> {
    let labels = prop::option::of(select(vec![Labels::new(), label("team", "x")]));
    prop_oneof![
        12 => request().prop_map(Event::Ask),
        3 => service().prop_map(|(key, _)| Event::Release(key)),
        2 => pools().prop_map(Event::Pools),
        1 => (select(vec!["blue", "red"]), labels).prop_map(|(name, labels)| Event::Namespace(name, labels)),
        1 => Just(Event::Restart),
    ]
}

/// A few pools first, then anything.
fn story() -> impl Strategy<Value = Vec<Event>> {
    (pools(), prop::collection::vec(event(), 1..25)).prop_map(|(pools, mut events)| {
        events.insert(0, Event::Pools(pools));
        events
    })
}

/// The allocator, and beside it what a naive observer knows.
#[derive(Default)]
struct World {
    allocator: Allocator,
    facts: Facts,
    /// The pools as last written, good or bad.
    written: Vec<PoolSpec>,
    /// Lists are handed over backwards.
    backwards: bool,
}

impl World {
    /// Lets an event happen, without waking anybody yet.
    fn happens(&mut self, event: &Event) -> Option<Decision> {
        let mut decision = None;
        match event.clone() {
            Event::Ask(request) => {
                self.facts.wishes.insert(request.key.clone(), request.clone());
                decision = Some(self.allocator.request(request));
            }
            Event::Release(key) => {
                self.facts.wishes.remove(&key);
                self.allocator.release(&key);
            }
            Event::Pools(pools) => {
                self.written.clone_from(&pools);
                self.allocator.set_pools(self.turned(pools));
                self.facts.pools = self.allocator.pools().cloned().collect();
            }
            Event::Namespace(name, labels) => {
                match labels.clone() {
                    Some(labels) => self.facts.namespaces.insert(name.to_owned(), labels),
                    None => self.facts.namespaces.remove(name),
                };
                self.allocator.set_namespace(name, labels.map(Into::into));
            }
            Event::Restart => self.allocator = self.restarted(),
        }
        decision
    }

    /// Lets an event happen and wakes those whom it helps.
    fn step(&mut self, event: &Event) {
        self.happens(event);
        self.allocator.woken();
    }

    fn turned<T>(&self, mut list: Vec<T>) -> Vec<T> {
        if self.backwards {
            list.reverse();
        }
        list
    }

    /// A new process that learns the same pools and namespaces and adopts what is held.
    fn restarted(&self) -> Allocator {
        let mut allocator = Allocator::default();
        allocator.set_pools(self.turned(self.facts.pools.clone()));
        for (name, labels) in &self.facts.namespaces {
            allocator.set_namespace(name, Some(labels.clone().into()));
        }
        let claim = |(key, request): (&ServiceKey, &Request)| {
            let decision = self.allocator.decision(key).expect("it has asked");
            // Of several addresses, a status records the pool of the first.
            let recorded_pool = decision.held().first().map(|holding| holding.pool.to_string());
            Claim {
                request: request.clone().into(),
                addresses: decision.addresses(),
                recorded_pool,
                recorded_pools: BTreeMap::new(),
            }
        };
        let claims = self.facts.wishes.iter().map(claim).collect();
        allocator.adopt(self.turned(claims));
        allocator.woken();
        allocator
    }

    fn decisions(&self) -> BTreeMap<ServiceKey, Decision> {
        let decide = |key: &ServiceKey| self.allocator.decision(key).expect("it has asked");
        self.facts.wishes.keys().map(|key| (key.clone(), decide(key))).collect()
    }

    fn addresses(&self) -> BTreeMap<ServiceKey, Vec<IpAddr>> {
        self.decisions().into_iter().map(|(key, decision)| (key, decision.addresses())).collect()
    }
}

/// Whether a service has an address that is not from the pool it asks for, and does not have all it asks for.
fn lacks_something_beside_another_pool(request: &Request, decision: &Decision) -> bool {
    let another =
        |asked: &std::sync::Arc<str>| decision.held().iter().any(|holding| *holding.pool != **asked);
    let held = decision.addresses();
    let lacks = held.len() < request.families.wanted().len()
        || request.addresses.iter().any(|asked| !held.contains(asked));
    request.pool.as_ref().is_some_and(another) && lacks
}

/// Whether a service that holds something, but not all it wants, could now have all of it.
fn could_have_more(facts: &Facts, decision: &Decision, others: &Users) -> bool {
    let request = &facts.wishes[&decision.key];
    let asked = |address| {
        let lost = || Some(&*decision.held().iter().find(|held| held.address == address)?.pool);
        let home = facts.home(address).map(|home| home.name.as_str()).or_else(lost);
        request.pool.is_none() || request.pool.as_deref() == home
    };
    match (decision.refusal(), decision.held()) {
        // An address that is kept although its pool is gone, or is now another, fulfils the wish.
        (None | Some(Refusal::Kept { .. } | Refusal::OtherPool { .. }), [_, ..]) => false,
        // Nor does it move because the pool was split around one of its addresses.
        (_, [_, ..])
            if request.addresses.is_empty() && !decision.held().iter().all(|it| asked(it.address)) =>
        {
            false
        }
        // Once served, who prefers both grows only into the pool of what it holds.
        (_, [held])
            if matches!(request.families, Families::Prefer { .. })
                && request.addresses.iter().all(|address| *address == held.address)
                && asked(held.address) =>
        {
            let home = facts.home(held.address);
            let home = home.filter(|home| facts.choices(request).iter().any(|pool| pool.name == home.name));
            let missing = Family::of(held.address).other();
            home.is_some_and(|home| facts.pick(home, missing, request, others).is_some())
        }
        _ => facts.answer(request, others).is_some(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

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
                prop_assert!(families.len() < 2 || families[0] != families[1], "{decision:?}");
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
            let before = users(&world.allocator);
            let decision = world.happens(event);
            if let (Event::Ask(request), Some(decision)) = (event, decision) {
                let old = |address: IpAddr| before.get(&address).is_some_and(|users| users.contains(&request.key));
                let facts = &world.facts;
                if !before.values().flatten().any(|user| *user == request.key) {
                    prop_assert_eq!(Some(decision.addresses()).filter(|addresses| !addresses.is_empty()),
                        facts.answer(request, &before), "{:?}", decision);
                }
                for holding in decision.held().iter().filter(|holding| !old(holding.address)) {
                    let home = facts.home(holding.address).expect("it is in a pool in force");
                    prop_assert_eq!(&*holding.pool, home.name.as_str());
                    prop_assert!(facts.admits(home, request));
                    if holding.grant == Grant::Lowest {
                        let addresses = listed(home, Family::of(holding.address));
                        let first_free = addresses.into_iter().find(|address| !before.contains_key(address));
                        prop_assert_eq!(Some(holding.address), first_free);
                    }
                }
            }
            world.allocator.woken();
        }
    }

    #[test]
    fn counters_equal_a_recount(story in story()) {
        let mut world = World::default();
        for event in &story {
            world.step(event);
            let held = users(&world.allocator);
            for pool in &world.facts.pools {
                for family in [Family::V4, Family::V6] {
                    let addresses = listed(pool, family);
                    let assigned = addresses.iter().filter(|address| held.contains_key(address)).count();
                    let recount = Counters { total: addresses.len() as u128, assigned: assigned as u128, ..Counters::default() };
                    prop_assert_eq!(world.allocator.counters(&pool.name, family), Some(recount));
                }
            }
            for (_, decision) in world.decisions() {
                for holding in decision.held() {
                    if let Some(home) = world.facts.home(holding.address) {
                        prop_assert_eq!(&*holding.pool, home.name.as_str(), "{:?}", decision);
                    }
                }
            }
        }
    }

    #[test]
    fn same_inputs_in_any_order_of_pools_give_the_same_result(story in story()) {
        let mut forwards = World::default();
        let mut backwards = World { backwards: true, ..World::default() };
        for event in &story {
            forwards.step(event);
            backwards.step(event);
            prop_assert_eq!(&forwards.facts.pools, &backwards.facts.pools);
            prop_assert_eq!(forwards.decisions(), backwards.decisions());
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
        // it stays, and what is missing may be had beside it. A restart that takes no address away has to
        // assume the latter.
        let unclear = |(key, held): (&ServiceKey, &Decision)| {
            lacks_something_beside_another_pool(&world.facts.wishes[key], held)
        };
        prop_assume!(!world.decisions().iter().any(unclear));
        let before = world.addresses();
        let counters = |world: &World| {
            let of = |pool: &PoolSpec| [Family::V4, Family::V6].map(|f| world.allocator.counters(&pool.name, f));
            world.facts.pools.iter().map(of).collect::<Vec<_>>()
        };
        let counted = counters(&world);
        world.step(&Event::Restart);
        prop_assert_eq!(world.addresses(), before);
        prop_assert_eq!(counters(&world), counted);
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
