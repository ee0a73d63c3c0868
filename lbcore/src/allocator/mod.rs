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

mod choose;
mod pools;
mod share;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

pub use pools::PoolsChanged;

use self::choose::Choice;
use self::waiting::Waiting;
use crate::pool::Space;
use crate::{Counters, Family, Grant, Labels, PoolSpec, Refusal, Request, ServiceKey, Sharing};

/// The state of allocation. Cloning it gives a world in which to try what would happen.
#[derive(Debug, Clone, Default)]
pub struct Allocator {
    pools: BTreeMap<Arc<str>, Pool>,
    /// The pools as services look at them: by rank, then name.
    order: Vec<Arc<str>>,
    /// First address of each range in force to its last address and its pool.
    ranges: BTreeMap<IpAddr, (IpAddr, Arc<str>)>,
    namespaces: BTreeMap<String, Labels>,
    /// Looked up only, never walked: its order is random.
    services: HashMap<ServiceKey, Entry>,
    users: BTreeMap<IpAddr, Vec<ServiceKey>>,
    /// The addresses in use under each sharing key.
    shared: BTreeMap<Sharing, BTreeSet<IpAddr>>,
    waiting: Waiting,
}

#[derive(Debug, Clone)]
struct Pool {
    spec: PoolSpec,
    space: Space,
}

#[derive(Debug, Clone)]
struct Entry {
    request: Request,
    held: Vec<Holding>,
    unmet: Option<Refusal>,
    /// The pool that was asked for when the request was fulfilled last.
    fulfilled_for: Option<String>,
}

impl Entry {
    fn new(request: Request) -> Self {
        Self { request, held: Vec::new(), unmet: None, fulfilled_for: None }
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
        /// The part of the wish that is not fulfilled, if any.
        unmet: Option<Refusal>,
    },
    /// It holds none, and waits.
    Pending {
        /// Why.
        refusal: Refusal,
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
            Outcome::Assigned { unmet, .. } => unmet.as_ref(),
            Outcome::Pending { refusal } => Some(refusal),
        }
    }
}

/// What a service showed in its status when this process first saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The service's wish.
    pub request: Request,
    /// The addresses in `status.loadBalancer.ingress`.
    pub addresses: Vec<IpAddr>,
    /// The pool recorded beside them (`metallb.io/ip-allocated-from-pool`). An address that is in no pool is
    /// adopted only with such a record: otherwise somebody else gave it.
    pub recorded_pool: Option<String>,
}

impl Allocator {
    /// Tells of a namespace's labels, or with `None` that it is gone. Services of it that wait are looked
    /// at again by the next [`Allocator::woken`].
    pub fn set_namespace(&mut self, name: &str, labels: Option<Labels>) {
        let changed = match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels.clone()) != Some(labels),
            None => self.namespaces.remove(name).is_some(),
        };
        if changed {
            self.waiting.wake_namespace(name);
        }
    }

    /// Takes over what services hold already, before anything new is given, then decides for each.
    ///
    /// Of two services that claim one address and may not share it, the older keeps it.
    pub fn adopt(&mut self, mut claims: Vec<Claim>) -> Vec<Decision> {
        claims.sort_by_cached_key(|claim| claim.request.turn());
        for Claim { request, addresses, recorded_pool } in &claims {
            let mut held: Vec<Holding> = Vec::new();
            for &address in addresses {
                let family = Family::of(address);
                let surplus = held.iter().any(|holding| {
                    let same_family = Family::of(holding.address) == family;
                    holding.address == address || same_family && !request.addresses.contains(&address)
                });
                if surplus || !request.families.wants(family) || self.shareable(address, request).is_err() {
                    continue;
                }
                let recorded = || recorded_pool.as_deref().map(Arc::from);
                if let Some(pool) = self.pool_of(address).or_else(recorded) {
                    held.push(Holding { address, pool, grant: Grant::Adopted });
                }
            }
            // It may have asked for another pool while nobody looked, or its pool was split around its address.
            // The two cannot be told apart, so the address is kept, and the decision says where it is.
            let adopted = || Entry { fulfilled_for: request.pool.clone(), ..Entry::new(request.clone()) };
            self.services.entry(request.key.clone()).or_insert_with(adopted);
            self.hold(&request.key, held);
        }
        claims.into_iter().map(|claim| self.decide(claim.request)).collect()
    }

    /// Decides for a service that is new or has changed.
    ///
    /// Asking again for the same changes nothing. Addresses that this frees are given to those that wait
    /// by [`Allocator::woken`], which the caller asks next.
    pub fn request(&mut self, request: Request) -> Decision {
        match self.services.get(&request.key) {
            Some(entry) if entry.request == request && (!entry.held.is_empty() || entry.unmet.is_some()) => {
                decision(&request.key, entry, false)
            }
            _ => self.decide(request),
        }
    }

    /// Forgets a service and frees what it held; [`Allocator::woken`] says who gets it.
    pub fn release(&mut self, key: &ServiceKey) -> Vec<Holding> {
        let Some(entry) = self.services.get(key) else { return Vec::new() };
        let turn = entry.request.turn();
        let held = self.hold(key, Vec::new());
        self.waiting.remove(&turn);
        self.services.remove(key);
        held
    }

    /// Decides again for services that wait and that something since the last call could help, the oldest
    /// first. Only decisions that changed are returned.
    pub fn woken(&mut self) -> Vec<Decision> {
        let mut decisions = Vec::new();
        while let Some(key) = self.next_woken() {
            let request = self.services[&key].request.clone();
            let decision = self.decide(request);
            if decision.changed {
                decisions.push(decision);
            }
        }
        decisions
    }

    /// What was last decided for a service.
    #[must_use]
    pub fn decision(&self, key: &ServiceKey) -> Option<Decision> {
        self.services.get(key).map(|entry| decision(key, entry, false))
    }

    /// The services that hold `address`: the one that has used it longest with its present ports first.
    #[must_use]
    pub fn users(&self, address: IpAddr) -> &[ServiceKey] {
        self.users.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Every address held and its users, by address.
    pub fn held(&self) -> impl Iterator<Item = (IpAddr, &[ServiceKey])> {
        self.users.iter().map(|(address, users)| (*address, users.as_slice()))
    }

    /// The pools in force, by name.
    pub fn pools(&self) -> impl Iterator<Item = &PoolSpec> {
        self.pools.values().map(|pool| &pool.spec)
    }

    /// How full a pool is in one family; `None` if there is no such pool.
    #[must_use]
    pub fn counters(&self, pool: &str, family: Family) -> Option<Counters> {
        self.pools.get(pool).map(|pool| pool.space.counters(family))
    }

    /// The pool in force that gives out `address`.
    #[must_use]
    pub fn pool_of(&self, address: IpAddr) -> Option<Arc<str>> {
        let (_, (last, pool)) = self.ranges.range(..=address).next_back()?;
        (address <= *last && self.pools[pool].space.covers(address)).then(|| pool.clone())
    }

    fn decide(&mut self, request: Request) -> Decision {
        let key = request.key.clone();
        let old = self.services.get(&key);
        let (before, unmet_before) =
            old.map_or_else(Default::default, |entry| (entry.held.clone(), entry.unmet.clone()));
        let new_pool = old.is_some_and(|entry| entry.fulfilled_for != request.pool);
        let Choice { held, unmet, also, fulfilled } = self.choose(&request, &before, new_pool);
        let changed = old.is_none() || held != before || unmet != unmet_before;
        let sharing_changed = old.is_some_and(|entry| {
            entry.request.sharing != request.sharing || entry.request.ports != request.ports
        });
        if let Some(turn) = old.map(|entry| entry.request.turn()) {
            self.waiting.remove(&turn);
        }
        if sharing_changed {
            // Its addresses leave the index under the old key and enter it under the new one.
            self.hold(&key, Vec::new());
        }
        match self.services.get_mut(&key) {
            Some(entry) => entry.request = request,
            None => drop(self.services.insert(key.clone(), Entry::new(request))),
        }
        self.hold(&key, held);
        let entry = self.services.get_mut(&key).expect("it was inserted above");
        entry.unmet = unmet;
        if fulfilled {
            entry.fulfilled_for.clone_from(&entry.request.pool);
        }
        self.waiting.insert(&entry.request, entry.unmet.iter().chain(&also));
        decision(&key, entry, changed)
    }

    /// Makes `held` what the service holds; returns what it held before. Every change of who uses an
    /// address passes through here.
    fn hold(&mut self, key: &ServiceKey, held: Vec<Holding>) -> Vec<Holding> {
        let entry = self.services.get_mut(key).expect("only known services hold addresses");
        let sharing = entry.request.sharing.clone();
        let before = std::mem::take(&mut entry.held);
        let contains = |list: &[Holding], address| list.iter().any(|holding| holding.address == address);
        let dropped = before.iter().filter(|holding| !contains(&held, holding.address));
        let added = held.iter().filter(|holding| !contains(&before, holding.address));
        for holding in dropped {
            self.stop_using(holding.address, key, sharing.as_ref());
        }
        for holding in added {
            self.start_using(holding.address, key, sharing.as_ref());
        }
        self.services.get_mut(key).expect("it was there above").held = held;
        before
    }

    fn start_using(&mut self, address: IpAddr, key: &ServiceKey, sharing: Option<&Sharing>) {
        let users = self.users.entry(address).or_default();
        users.push(key.clone());
        if users.len() == 1
            && let Some(pool) = self.pool_of(address)
        {
            self.pools.get_mut(&pool).expect("the index names pools in force").space.take(address);
        }
        if let Some(sharing) = sharing {
            self.shared.entry(sharing.clone()).or_default().insert(address);
            self.waiting.wake_sharing(sharing);
        }
    }

    fn stop_using(&mut self, address: IpAddr, key: &ServiceKey, sharing: Option<&Sharing>) {
        let users = self.users.get_mut(&address).expect("a held address has users");
        users.retain(|user| user != key);
        if users.is_empty() {
            self.users.remove(&address);
            if let Some(pool) = self.pool_of(address) {
                self.pools.get_mut(&pool).expect("the index names pools in force").space.give(address);
                self.waiting.wake_pool(&pool, Family::of(address));
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
}

fn decision(key: &ServiceKey, entry: &Entry, changed: bool) -> Decision {
    let outcome = if entry.held.is_empty() {
        let refusal = entry.unmet.clone().expect("a service without addresses has a reason");
        Outcome::Pending { refusal }
    } else {
        Outcome::Assigned { held: entry.held.clone(), unmet: entry.unmet.clone() }
    };
    Decision { key: key.clone(), outcome, changed }
}
