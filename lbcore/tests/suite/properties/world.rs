//! The allocator, and beside it what a naive observer knows.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::allocator::Claim;
use lbcore::{
    Allocator, Counters, Decision, Family, Holding, LostAddresses, PoolSpec, Remembered, Request, ServiceKey,
};

use super::naive::{Facts, Users, gains, users};
use super::story::Event;

#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) allocator: Allocator,
    pub(crate) facts: Facts,
    /// The pools as last written, good or bad.
    pub(crate) written: Vec<PoolSpec>,
    /// Who held what when the observer looked last.
    seen: Users,
    /// The wishes of services that are gone.
    gone: BTreeMap<ServiceKey, Request>,
    /// Decisions that were told without being asked for, in the present step.
    pub(crate) told: Vec<Decision>,
    /// What was known, and who held what, when a service asked last.
    pub(crate) before_asking: (Facts, Users),
    /// Lists are handed over backwards.
    backwards: bool,
    /// Lost addresses are taken away.
    take_away: bool,
}

impl World {
    /// A world in which lost addresses are kept, or taken away.
    pub(crate) fn new(take_away: bool) -> Self {
        let mut world = Self { take_away, ..Self::default() };
        world.allocator.set_lost_addresses(world.lost_addresses());
        world
    }

    /// A world that is told of everything in the opposite order.
    pub(crate) fn backwards() -> Self {
        Self { backwards: true, ..Self::default() }
    }

    fn lost_addresses(&self) -> LostAddresses {
        if self.take_away { LostAddresses::TakeAway } else { LostAddresses::Keep }
    }

    /// Lets an event happen, without waking anybody by it yet.
    pub(crate) fn happens(&mut self, event: &Event) -> Option<Decision> {
        self.told.clear();
        let mut decision = None;
        match event.clone() {
            Event::Ask(request) => decision = Some(self.ask(request)),
            Event::Release(key) => self.release(&key),
            Event::Remake(key) => {
                self.release(&key);
                self.wake();
                let again = self.gone.get(&key).cloned();
                decision = again.map(|request| self.ask(request));
            }
            Event::Pools(pools) => self.write(pools),
            Event::Edit(name, edit) => {
                let edited = |pool: PoolSpec| if pool.name == name { edit.of(pool) } else { pool };
                let pools = self.written.iter().cloned().map(edited).collect();
                self.write(pools);
            }
            Event::Namespace(name, namespace) => {
                match namespace.clone() {
                    Some(namespace) => self.facts.namespaces.insert(name.to_owned(), namespace),
                    None => self.facts.namespaces.remove(name),
                };
                let told = self.allocator.set_namespace(name, namespace);
                self.told.extend(told);
            }
            Event::Avoided(avoided) => {
                self.facts.avoided = avoided.keys().copied().collect();
                self.told.extend(self.allocator.set_avoided(avoided));
            }
            Event::Advance(time) => {
                self.facts.now += time;
                self.allocator.advance(self.facts.now);
                self.facts.forget_what_is_over();
            }
            Event::Restart => self.allocator = self.restarted(),
        }
        self.observe();
        decision
    }

    pub(crate) fn ask(&mut self, request: Request) -> Decision {
        self.facts.wishes.insert(request.key.clone(), request.clone());
        self.before_asking = (self.facts.clone(), self.seen.clone());
        let decision = self.allocator.request(request);
        self.observe();
        decision
    }

    pub(crate) fn release(&mut self, key: &ServiceKey) {
        if let Some(wish) = self.facts.wishes.remove(key) {
            self.gone.insert(key.clone(), wish);
        }
        self.allocator.release(key);
        self.observe();
    }

    fn write(&mut self, pools: Vec<PoolSpec>) {
        self.written.clone_from(&pools);
        let pools = self.turned(pools).into_iter().map(|pool| self.turned_inside(pool)).collect();
        let changed = self.allocator.set_pools(pools);
        self.told.extend(changed.decisions);
        let in_force: Vec<PoolSpec> = self.allocator.pools().cloned().collect();
        self.facts.pools = in_force.into_iter().map(|pool| self.turned_inside(pool)).collect();
        self.facts.forget_what_is_over();
    }

    /// Wakes those whom something since the last call could help.
    pub(crate) fn wake(&mut self) {
        self.told.extend(self.allocator.woken());
        self.observe();
    }

    /// Lets an event happen and wakes those whom it helps.
    pub(crate) fn step(&mut self, event: &Event) {
        self.happens(event);
        self.wake();
    }

    /// Notes who left an address, and who has one again.
    fn observe(&mut self) {
        let now = users(&self.allocator);
        for (address, service) in gains(&now, &self.seen) {
            self.facts.note_leaving(&service, address);
        }
        for (address, service) in gains(&self.seen, &now) {
            self.facts.note_return(&service, address);
        }
        self.seen = now;
    }

    fn turned<T>(&self, mut list: Vec<T>) -> Vec<T> {
        if self.backwards {
            list.reverse();
        }
        list
    }

    fn turned_inside(&self, pool: PoolSpec) -> PoolSpec {
        let excludes = self.turned(pool.excludes);
        let reservations = self.turned(pool.reservations);
        PoolSpec { excludes, reservations, ..pool }
    }

    /// A new process that learns the same facts and adopts what is held.
    fn restarted(&self) -> Allocator {
        let mut allocator = Allocator::default();
        allocator.set_lost_addresses(self.lost_addresses());
        allocator.advance(self.facts.now);
        let pools = self.turned(self.facts.pools.clone());
        allocator.set_pools(pools.into_iter().map(|pool| self.turned_inside(pool)).collect());
        for (name, namespace) in &self.facts.namespaces {
            allocator.set_namespace(name, Some(namespace.clone()));
        }
        let avoided = self.facts.avoided.iter();
        let avoided = avoided.filter_map(|it| Some((*it, self.allocator.avoided(*it)?.clone())));
        allocator.set_avoided(avoided.collect());
        allocator.remember(self.turned(self.remembered()));
        let claim = |(key, request): (&ServiceKey, &Request)| {
            let decision = self.allocator.decision(key).expect("it has asked");
            let recorded = |holding: &Holding| (holding.address, holding.pool.to_string());
            Claim {
                request: request.clone().into(),
                addresses: decision.addresses(),
                recorded_pool: decision.held().first().map(|holding| holding.pool.to_string()),
                recorded_pools: decision.held().iter().map(recorded).collect(),
            }
        };
        let claims = self.facts.wishes.iter().map(claim).collect();
        allocator.adopt(self.turned(claims));
        allocator.woken();
        allocator
    }

    /// What is remembered of all pools, in the order of the addresses.
    pub(crate) fn remembered(&self) -> Vec<Remembered> {
        let of = |pool: &PoolSpec| self.allocator.remembered(&pool.name);
        let mut entries: Vec<_> = self.facts.pools.iter().flat_map(of).collect();
        entries.sort_unstable();
        entries
    }

    pub(crate) fn counters(&self) -> Vec<Option<Counters>> {
        let of = |pool: &PoolSpec| [Family::V4, Family::V6].map(|it| self.allocator.counters(&pool.name, it));
        self.facts.pools.iter().flat_map(of).collect()
    }

    pub(crate) fn decisions(&self) -> BTreeMap<ServiceKey, Decision> {
        let decide = |key: &ServiceKey| self.allocator.decision(key).expect("it has asked");
        self.facts.wishes.keys().map(|key| (key.clone(), decide(key))).collect()
    }

    pub(crate) fn addresses(&self) -> BTreeMap<ServiceKey, Vec<IpAddr>> {
        self.decisions().into_iter().map(|(key, decision)| (key, decision.addresses())).collect()
    }
}
