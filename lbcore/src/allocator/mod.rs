//! Who holds which address, and why.
//!
//! An [`Allocator`] is told of pools, namespaces and services as they come and go, and answers with
//! [`Decision`]s. It follows three rules:
//!
//! - An address in use is never taken away silently. What is held stays held while the service asks for
//!   nothing else, also when its pool shrinks or goes; the decision then says so.
//! - One event touches what it touches. Giving and freeing cost O(log n); a freed address wakes only
//!   services that could use it.
//! - The order is always the same: older services first, then by namespace and name; pools set aside for a
//!   service first, then by priority, then by name; addresses in the order in which the pool lists them.

mod adopt;
mod choose;
mod explain;
mod held;
mod in_force;
mod keep;
mod memory;
mod moving;
mod pools;
mod services;
mod share;
mod users;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

pub use adopt::Claim;
pub use explain::Considered;
pub use keep::{LostAddresses, Unreadable};
pub use memory::Remembered;
pub use pools::PoolsChanged;

use self::choose::Choice;
use self::held::{Held, Holdings};
use self::in_force::{PoolId, Pools};
use self::memory::Memory;
use self::services::{Entry, ServiceId, Services};
use self::users::Users;
use self::waiting::Waiting;
use crate::pool::Exclusion;
use crate::reason::Avoided;
use crate::{Counters, Family, Grant, Labels, PoolSpec, Refusal, Release, Request, ServiceKey, Sharing};

/// The state of allocation. Cloning it gives a world in which to try what would happen.
#[derive(Debug, Clone, Default)]
pub struct Allocator {
    /// The time, as the caller told it last.
    now: i64,
    lost_addresses: LostAddresses,
    /// Pools that are written, but not in force because nobody can read them.
    unreadable: Unreadable,
    pools: Pools,
    /// First address of each range in force to its last address and its pool.
    ranges: BTreeMap<IpAddr, (IpAddr, PoolId)>,
    /// Never given without being asked for.
    avoided: BTreeMap<IpAddr, Avoided>,
    namespaces: BTreeMap<String, Namespace>,
    services: Services,
    users: Users,
    /// Held addresses that no pool in force gives out.
    lost: BTreeSet<IpAddr>,
    /// The addresses in use under each sharing key. Looked up only, never walked: its order is random.
    shared: HashMap<Sharing, BTreeSet<IpAddr>>,
    waiting: Waiting,
    memory: Memory,
}

/// A namespace, as allocation sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels (`metadata.labels`), for pools with `namespaceSelectors`.
    pub labels: Labels,
    /// Addresses that its services may lose now that their pool no longer has them or is drained
    /// (`lbd.io/release`).
    pub release: Release,
}

impl From<Labels> for Namespace {
    fn from(labels: Labels) -> Self {
        Self { labels, release: Release::Nothing }
    }
}

/// An address that a service holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The address.
    pub address: IpAddr,
    /// The pool it is from; if that is gone, the name of it that was known last.
    pub pool: Arc<str>,
    /// Why this address.
    pub grant: Grant,
}

/// What was decided for one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The service.
    pub key: ServiceKey,
    /// What it has now.
    pub outcome: Outcome,
    /// Whether this differs from what it had before.
    pub changed: bool,
}

/// What a service has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It holds addresses.
    Assigned {
        /// In the order in which they are listed in the service's status. Never empty.
        held: Vec<Holding>,
        /// What is not as it should be, if anything: a part of the wish that is not fulfilled, or an address
        /// that the service should leave.
        unmet: Option<Arc<Refusal>>,
    },
    /// It holds none, and waits.
    Pending {
        /// Why.
        refusal: Arc<Refusal>,
    },
}

impl Decision {
    /// The addresses held, in order; empty while pending.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.held().iter().map(|holding| holding.address).collect()
    }

    /// What is held, in order; empty while pending.
    #[must_use]
    pub fn held(&self) -> &[Holding] {
        match &self.outcome {
            Outcome::Assigned { held, .. } => held,
            Outcome::Pending { .. } => &[],
        }
    }

    /// Why the wish, or a part of it, is not fulfilled.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.outcome {
            Outcome::Assigned { unmet, .. } => unmet.as_deref(),
            Outcome::Pending { refusal } => Some(refusal),
        }
    }
}

impl Allocator {
    /// Tells of a namespace, or with `None` that it is gone. Services of it that wait are looked at again by the
    /// next [`Allocator::woken`]; those that this moves are returned.
    pub fn set_namespace(&mut self, name: &str, namespace: Option<Namespace>) -> Vec<Decision> {
        let release = namespace.as_ref().map(|namespace| namespace.release.clone()).unwrap_or_default();
        let before = match namespace {
            Some(namespace) => self.namespaces.insert(name.to_owned(), namespace),
            None => self.namespaces.remove(name),
        };
        if before.as_ref() == self.namespaces.get(name) {
            return Vec::new();
        }
        self.waiting.wake_namespace(name);
        if release == before.unwrap_or_default().release {
            return Vec::new();
        }
        let held = self.services.in_namespace(name).flat_map(|entry| entry.held.as_slice());
        let touched: Vec<IpAddr> =
            held.filter(|held| self.loss(held).is_some()).map(|held| held.address).collect();
        self.look_again(touched.into_iter())
    }

    /// Decides for a service that is new or has changed.
    ///
    /// Asking again for the same changes nothing. Addresses that this frees are given to those that wait
    /// by [`Allocator::woken`], which the caller asks next. The request is shared with the caller, not copied.
    pub fn request(&mut self, request: impl Into<Arc<Request>>) -> Decision {
        let request = request.into();
        let hash = self.services.hash(&request.key);
        if let Some(id) = self.services.find(hash, &request.key) {
            let entry = self.services.get(id);
            let decided = entry.held != Holdings::None || entry.unmet.is_some();
            if decided && entry.request == request {
                return self.render(id, false);
            }
            return self.decide_known(id, request);
        }
        let Choice { held, unmet, also, fulfilled } = self.choose(&request, &[], false);
        let id = self.services.insert(hash, Entry::new(request));
        self.settle(id, &held.into(), unmet.map(Arc::new), also.as_ref(), fulfilled, true)
    }

    /// Forgets a service and frees what it held; [`Allocator::woken`] says who gets it.
    pub fn release(&mut self, key: &ServiceKey) -> Vec<Holding> {
        let Some(id) = self.services.id(key) else { return Vec::new() };
        let turn = self.services.get(id).request.turn();
        let held = self.hold(id, &Holdings::None);
        self.waiting.remove(&turn);
        self.services.remove(id);
        held.as_slice().iter().map(|held| self.show(held)).collect()
    }

    /// Decides again for services that wait and that something since the last call could help, the oldest
    /// first. Only decisions that changed are returned.
    pub fn woken(&mut self) -> Vec<Decision> {
        let mut decisions = Vec::new();
        while let Some(key) = self.next_woken() {
            let Some(id) = self.services.id(&key) else { continue };
            let decision = self.decide_known(id, self.services.get(id).request.clone());
            if decision.changed {
                decisions.push(decision);
            }
        }
        decisions
    }

    /// What was last decided for a service.
    #[must_use]
    pub fn decision(&self, key: &ServiceKey) -> Option<Decision> {
        self.services.id(key).map(|id| self.render(id, false))
    }

    /// The services that hold `address`: the one that has used it longest with its present ports first.
    #[must_use]
    pub fn users(&self, address: IpAddr) -> Vec<ServiceKey> {
        self.users.of(address).map(|id| self.services.key(id).clone()).collect()
    }

    /// Every address held and its users, IPv4 before IPv6, each by address.
    pub fn held(&self) -> impl Iterator<Item = (IpAddr, Vec<ServiceKey>)> {
        self.users.addresses().map(|address| (address, self.users(address)))
    }

    /// The pools in force, by name.
    pub fn pools(&self) -> impl Iterator<Item = &PoolSpec> {
        self.pools.iter().map(|(_, pool)| &pool.spec)
    }

    /// How full a pool is in one family; `None` if there is no such pool.
    #[must_use]
    pub fn counters(&self, pool: &str, family: Family) -> Option<Counters> {
        self.pools.id(pool).map(|id| self.pools[id].space.counters(family))
    }

    /// The pool in force that gives out `address`.
    #[must_use]
    pub fn pool_of(&self, address: IpAddr) -> Option<Arc<str>> {
        self.pool_at(address).map(|id| self.pools.name(id).clone())
    }

    fn pool_at(&self, address: IpAddr) -> Option<PoolId> {
        let (_, (last, pool)) = self.ranges.range(..=address).next_back()?;
        (address <= *last && self.pools[*pool].space.covers(address)).then_some(*pool)
    }

    /// The pool in force that has `address` in its ranges but leaves it out, and why.
    fn excluded(&self, address: IpAddr) -> Option<(PoolId, Exclusion)> {
        let (_, (last, pool)) = self.ranges.range(..=address).next_back()?;
        let why = (address <= *last).then(|| self.pools[*pool].spec.exclusion(address))??;
        Some((*pool, why))
    }

    fn decide_known(&mut self, id: ServiceId, request: Arc<Request>) -> Decision {
        let entry = self.services.get(id);
        let old = entry.request.clone();
        let new_pool = entry.fulfilled_for != request.pool;
        let Choice { held, unmet, also, fulfilled } = self.choose(&request, entry.held.as_slice(), new_pool);
        let (held, unmet) = (Holdings::from(held), unmet.map(Arc::new));
        let changed = held != entry.held || unmet != entry.unmet;
        self.waiting.remove(&old.turn());
        if !Arc::ptr_eq(&old, &request) {
            if old.sharing != request.sharing || old.ports != request.ports {
                // Its addresses leave the index under the old key and enter it under the new one.
                self.hold(id, &Holdings::None);
            }
            self.services.get_mut(id).request = request;
        }
        self.settle(id, &held, unmet, also.as_ref(), fulfilled, changed)
    }

    /// Writes a choice down.
    fn settle(
        &mut self,
        id: ServiceId,
        held: &Holdings,
        unmet: Option<Arc<Refusal>>,
        also: Option<&Refusal>,
        fulfilled: bool,
        changed: bool,
    ) -> Decision {
        self.hold(id, held);
        let entry = self.services.get_mut(id);
        entry.unmet = unmet;
        if fulfilled {
            entry.fulfilled_for.clone_from(&entry.request.pool);
        }
        if let Some(unmet) = entry.unmet.clone() {
            let request = entry.request.clone();
            self.wait(&request, [&*unmet].into_iter().chain(also));
        }
        self.render(id, changed)
    }

    /// Makes `held` what the service holds; returns what it held before. Every change of who uses an
    /// address passes through here.
    fn hold(&mut self, id: ServiceId, held: &Holdings) -> Holdings {
        let entry = self.services.get_mut(id);
        let request = entry.request.clone();
        let before = std::mem::replace(&mut entry.held, held.clone());
        let contains = |list: &Holdings, address| list.as_slice().iter().any(|held| held.address == address);
        for dropped in before.as_slice().iter().filter(|it| !contains(held, it.address)) {
            self.stop_using(dropped.address, id, &request);
        }
        for added in held.as_slice().iter().filter(|it| !contains(&before, it.address)) {
            self.start_using(added.address, id, &request);
        }
        before
    }

    fn start_using(&mut self, address: IpAddr, id: ServiceId, request: &Request) {
        if self.users.add(address, id) {
            match self.pool_at(address) {
                Some(pool) => self.pools[pool].space.take(address),
                None => drop(self.lost.insert(address)),
            }
        }
        self.forget(&request.key, address);
        if let Some(sharing) = &request.sharing {
            self.shared.entry(sharing.clone()).or_default().insert(address);
            self.waiting.wake_sharing(sharing);
        }
    }

    fn stop_using(&mut self, address: IpAddr, id: ServiceId, request: &Request) {
        let sharing = request.sharing.as_ref();
        let free = self.users.remove(address, id);
        let rests_since = self.part(&request.key, address);
        if free {
            self.lost.remove(&address);
            if let Some(pool) = self.pool_at(address) {
                self.pools[pool].space.give(address, rests_since);
                self.wake_for(pool, address);
            }
            if let Some(sharing) = sharing
                && let Some(addresses) = self.shared.get_mut(sharing)
            {
                addresses.remove(&address);
                if addresses.is_empty() {
                    self.shared.remove(sharing);
                }
            }
        } else if let Some(sharing) = sharing {
            // A port came free on an address that stays shared.
            self.waiting.wake_sharing(sharing);
        }
        self.waiting.wake_address(address);
    }

    /// Decides again for the users of these addresses, the oldest first; returns what changed.
    fn look_again(&mut self, addresses: impl Iterator<Item = IpAddr>) -> Vec<Decision> {
        let users = addresses.flat_map(|address| self.users.of(address));
        let turns: BTreeSet<_> = users.map(|id| self.services.get(id).request.turn()).collect();
        let mut decisions = Vec::new();
        for (_, key) in turns {
            let Some(id) = self.services.id(&key) else { continue };
            let decision = self.decide_known(id, self.services.get(id).request.clone());
            if decision.changed {
                decisions.push(decision);
            }
        }
        decisions
    }

    fn show(&self, held: &Held) -> Holding {
        Holding { address: held.address, pool: self.pools.name(held.pool).clone(), grant: held.grant }
    }

    fn render(&self, id: ServiceId, changed: bool) -> Decision {
        let entry = self.services.get(id);
        let outcome = if entry.held == Holdings::None {
            let refusal = entry.unmet.clone().expect("a service without addresses has a reason");
            Outcome::Pending { refusal }
        } else {
            let held = entry.held.as_slice().iter().map(|held| self.show(held)).collect();
            Outcome::Assigned { held, unmet: entry.unmet.clone() }
        };
        Decision { key: entry.request.key.clone(), outcome, changed }
    }
}
