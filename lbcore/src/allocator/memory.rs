//! Addresses that were freed a short while ago, and who had them.
//!
//! Within `sticky` of a pool, a service that comes back gets the address it had. As long as an address is
//! remembered it rests: it is the last to be given to another service, but it is given before anybody waits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Allocator;
use super::in_force::PoolId;
use crate::{Family, ServiceKey};

/// An address that a service had, as it is written down for the next process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remembered {
    /// The address.
    pub address: IpAddr,
    /// Who had it.
    pub service: ServiceKey,
    /// When it was freed, in microseconds since the Unix epoch.
    pub freed: i64,
}

/// What is remembered. A service may come back to several addresses, and an address may have had several users.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    by_service: BTreeMap<ServiceKey, Vec<(IpAddr, i64)>>,
    by_address: BTreeMap<IpAddr, BTreeMap<ServiceKey, i64>>,
    /// When what is forgotten.
    expiry: BTreeSet<(i64, ServiceKey, IpAddr)>,
    /// Pools of which something else is remembered than when somebody asked last.
    changed: BTreeSet<Arc<str>>,
}

impl Memory {
    fn insert(&mut self, Remembered { address, service, freed }: Remembered, rest: Duration) {
        self.forget(&service, address);
        self.expiry.insert((later(freed, rest), service.clone(), address));
        self.by_address.entry(address).or_default().insert(service.clone(), freed);
        self.by_service.entry(service).or_default().push((address, freed));
    }

    fn forget(&mut self, service: &ServiceKey, address: IpAddr) -> bool {
        let Some(addresses) = self.by_service.get_mut(service) else { return false };
        let before = addresses.len();
        addresses.retain(|(known, _)| *known != address);
        if addresses.len() == before {
            return false;
        }
        if addresses.is_empty() {
            self.by_service.remove(service);
        }
        if let Some(services) = self.by_address.get_mut(&address) {
            services.remove(service);
            if services.is_empty() {
                self.by_address.remove(&address);
            }
        }
        true
    }

    fn all(&self) -> impl Iterator<Item = Remembered> {
        let of = |(address, services): (&IpAddr, &BTreeMap<ServiceKey, i64>)| {
            let address = *address;
            let of = |(service, freed): (&ServiceKey, &i64)| Remembered {
                address,
                service: service.clone(),
                freed: *freed,
            };
            services.iter().map(of).collect::<Vec<_>>()
        };
        self.by_address.iter().flat_map(of)
    }
}

fn later(time: i64, duration: Duration) -> i64 {
    time.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

impl Allocator {
    /// Tells what time it is, in microseconds since the Unix epoch. Only what is remembered depends on it; time
    /// that goes backwards is taken to stand still.
    pub fn advance(&mut self, now: i64) {
        self.now = self.now.max(now);
        while self.memory.expiry.first().is_some_and(|(expires, _, _)| *expires <= self.now) {
            let Some((_, service, address)) = self.memory.expiry.pop_first() else { break };
            let pool = self.pool_at(address);
            let known = self.memory.by_address.get(&address).and_then(|services| services.get(&service));
            let rest = pool.map(|pool| self.pools[pool].spec.rest()).unwrap_or_default();
            match known.map(|freed| later(*freed, rest)) {
                // The pool lets its addresses rest longer by now, or the address was freed again.
                Some(until) if until > self.now => {
                    self.memory.expiry.insert((until, service, address));
                }
                Some(_) => self.forget(&service, address),
                None => {}
            }
        }
    }

    /// Remembers what a process before this one wrote down. To be told before [`Allocator::adopt`].
    pub fn remember(&mut self, entries: impl IntoIterator<Item = Remembered>) {
        for entry in entries {
            self.note(entry);
        }
    }

    /// What is remembered of a pool's addresses, by address: to be written down beside the pool.
    #[must_use]
    pub fn remembered(&self, pool: &str) -> Vec<Remembered> {
        let Some(id) = self.pools.id(pool) else { return Vec::new() };
        self.memory.all().filter(|entry| self.pool_at(entry.address) == Some(id)).collect()
    }

    /// The pools of which something else is remembered than at the last call.
    pub fn memory_changed(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.memory.changed)
    }

    /// The service gave up `address`: remembers that if its pool wants to. Says when it was freed, if it is to rest.
    pub(super) fn part(&mut self, service: &ServiceKey, address: IpAddr) -> Option<i64> {
        let entry = Remembered { address, service: service.clone(), freed: self.now };
        self.note(entry).then_some(self.now)
    }

    fn note(&mut self, entry: Remembered) -> bool {
        let Some(pool) = self.pool_at(entry.address) else { return false };
        let rest = self.pools[pool].spec.rest();
        if rest.is_zero() || later(entry.freed, rest) <= self.now {
            return false;
        }
        let address = entry.address;
        self.memory.changed.insert(self.pools.name(pool).clone());
        self.memory.insert(entry, rest);
        self.rest_on(pool, address);
        true
    }

    /// Lets an address rest that nobody holds and that is remembered, since it was freed last.
    pub(super) fn rest_on(&mut self, pool: PoolId, address: IpAddr) {
        let freed =
            self.memory.by_address.get(&address).and_then(|services| services.values().max().copied());
        if let Some(freed) = freed.filter(|_| !self.users.is_held(address)) {
            self.pools[pool].space.rest(address, freed);
        }
    }

    /// The service has `address` again, or it is over: nothing is remembered of the two.
    pub(super) fn forget(&mut self, service: &ServiceKey, address: IpAddr) {
        if !self.memory.forget(service, address) {
            return;
        }
        let Some(pool) = self.pool_at(address) else { return };
        self.memory.changed.insert(self.pools.name(pool).clone());
        if !self.memory.by_address.contains_key(&address) {
            self.pools[pool].space.end_rest(address);
        }
    }

    /// The addresses of `family` that the service had and can come back to, the one it had last first.
    pub(super) fn sticky(&self, service: &ServiceKey, family: Family) -> impl Iterator<Item = IpAddr> {
        let known = self.memory.by_service.get(service).into_iter().flatten();
        let mut known: Vec<(IpAddr, i64)> = known.copied().collect();
        known.sort_unstable_by_key(|(address, freed)| (std::cmp::Reverse(*freed), *address));
        known.into_iter().filter_map(move |(address, freed)| {
            let sticky = self.pools[self.pool_at(address)?].spec.sticky;
            (Family::of(address) == family && later(freed, sticky) > self.now).then_some(address)
        })
    }

    /// The addresses that the service had and that are remembered, sticky or not.
    pub(super) fn had(&self, service: &ServiceKey) -> Vec<IpAddr> {
        let known = self.memory.by_service.get(service);
        known.into_iter().flatten().map(|(address, _)| *address).collect()
    }

    /// What is remembered of each pool, by name.
    pub(super) fn remembered_by_pool(&self) -> BTreeMap<Arc<str>, Vec<Remembered>> {
        let mut by_pool: BTreeMap<Arc<str>, Vec<Remembered>> = BTreeMap::new();
        for entry in self.memory.all() {
            if let Some(pool) = self.pool_of(entry.address) {
                by_pool.entry(pool).or_default().push(entry);
            }
        }
        by_pool
    }

    /// Looks at everything that is remembered again: pools may have other addresses, or rest them for another time.
    /// `before` is what was remembered of each pool until now.
    pub(super) fn remember_again(&mut self, before: &BTreeMap<Arc<str>, Vec<Remembered>>) {
        let told = self.memory.changed.clone();
        let entries: Vec<Remembered> = self.memory.all().collect();
        for entry in &entries {
            self.forget(&entry.service, entry.address);
        }
        for entry in entries {
            self.note(entry);
        }
        let after = self.remembered_by_pool();
        let names = before.keys().chain(after.keys());
        let changed = names.filter(|name| before.get(*name) != after.get(*name)).cloned();
        self.memory.changed = told.into_iter().chain(changed).collect();
    }
}
