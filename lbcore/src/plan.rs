//! What would happen: a whole world decided at once, and the difference between two.
//!
//! A plan takes the same way as a controller that starts: what services hold is adopted first, then everybody is
//! decided for, the oldest first. So a plan equals what then happens.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::allocator::{Claim, Considered, LostAddresses, Namespace, Remembered, Unreadable};
use crate::{
    Allocator, Avoided, Counters, Decision, Family, PoolProblem, PoolSpec, PoolVerdict, Refusal, ServiceKey,
    Verdict,
};

/// Everything that allocation looks at.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The pools as written.
    pub pools: Vec<PoolSpec>,
    /// The namespaces by name.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Addresses of nodes and gateways.
    pub avoided: BTreeMap<IpAddr, Avoided>,
    /// The services with what they hold, in the order in which the plan lists them.
    pub services: Vec<Claim>,
    /// What is remembered of freed addresses.
    pub remembered: Vec<Remembered>,
    /// What becomes of held addresses that no pool has any more.
    pub lost_addresses: LostAddresses,
    /// Pools that are written in a way that cannot be read.
    pub unreadable: Unreadable,
    /// The time, in microseconds since the Unix epoch.
    pub now: i64,
}

/// What would happen in a [`World`].
#[derive(Debug, Clone)]
pub struct Plan {
    /// Each service, in the order of the world.
    pub services: Vec<Planned>,
    /// The pools in force, by name.
    pub pools: Vec<PlannedPool>,
    /// What is wrong between pools.
    pub problems: Vec<PoolProblem>,
}

/// What would happen to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What it held before.
    pub before: Vec<IpAddr>,
    /// What it is to hold, and why.
    pub decision: Decision,
}

/// In a word, what would happen to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedOutcome {
    /// It gets addresses that it did not have.
    Assigned,
    /// It keeps what it has.
    Kept,
    /// It gets none, and waits for one to come free.
    Pending,
    /// It gets none, and none can come free: what it asks for is not to be had.
    Refused,
}

/// How full a pool would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPool {
    /// Its name.
    pub name: String,
    /// Its IPv4 addresses.
    pub v4: Counters,
    /// Its IPv6 addresses.
    pub v6: Counters,
    /// Services that found it full.
    pub wanting: usize,
}

impl Planned {
    /// In a word.
    #[must_use]
    pub fn outcome(&self) -> PlannedOutcome {
        let after = self.decision.addresses();
        match self.decision.refusal() {
            Some(refusal) if after.is_empty() && refusal.is_final() => PlannedOutcome::Refused,
            _ if after.is_empty() => PlannedOutcome::Pending,
            _ if after.iter().all(|address| self.before.contains(address)) => PlannedOutcome::Kept,
            _ => PlannedOutcome::Assigned,
        }
    }
}

impl World {
    /// Decides.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let (mut allocator, problems) = self.prepare();
        allocator.adopt(self.services.clone());
        allocator.woken();
        let planned = |claim: &Claim| {
            let decision = allocator.decision(&claim.request.key)?;
            Some(Planned { before: claim.addresses.clone(), decision })
        };
        let services: Vec<Planned> = self.services.iter().filter_map(planned).collect();
        let pools = allocator.pools().map(|pool| {
            let count = |family| allocator.counters(&pool.name, family).unwrap_or_default();
            let wanting = services.iter().filter(|service| found_full(service, &pool.name)).count();
            PlannedPool { name: pool.name.clone(), v4: count(Family::V4), v6: count(Family::V6), wanting }
        });
        Plan { pools: pools.collect(), services, problems }
    }

    /// What a service would be told of every pool if it held nothing and asked in its turn: behind all that hold
    /// something, and behind the older ones that hold nothing. `None` if there is no such service.
    #[must_use]
    pub fn explain(&self, key: &ServiceKey) -> Option<Result<Vec<Considered>, Refusal>> {
        let own = self.services.iter().find(|claim| claim.request.key == *key)?;
        let (mut allocator, _) = self.prepare();
        let turn = |claim: &Claim| claim.request.turn();
        let earlier = self.services.iter().filter(|claim| {
            claim.request.key != *key && (!claim.addresses.is_empty() || turn(claim) < turn(own))
        });
        allocator.adopt(earlier.cloned().collect());
        Some(allocator.consider(&own.request))
    }

    fn prepare(&self) -> (Allocator, Vec<PoolProblem>) {
        let mut allocator = Allocator::default();
        allocator.set_lost_addresses(self.lost_addresses);
        allocator.set_unreadable(self.unreadable.clone());
        allocator.advance(self.now);
        allocator.set_avoided(self.avoided.clone());
        for (name, namespace) in &self.namespaces {
            allocator.set_namespace(name, Some(namespace.clone()));
        }
        let problems = allocator.set_pools(self.pools.clone()).problems;
        allocator.remember(self.remembered.clone());
        (allocator, problems)
    }

    /// This world as it would be found by one that comes after `before`: services that hold nothing here hold what
    /// they were to get there.
    #[must_use]
    pub fn after(mut self, before: &Plan) -> Self {
        let planned: BTreeMap<&ServiceKey, &Planned> =
            before.services.iter().map(|planned| (&planned.decision.key, planned)).collect();
        for claim in self.services.iter_mut().filter(|claim| claim.addresses.is_empty()) {
            let Some(planned) = planned.get(&claim.request.key) else { continue };
            claim.addresses = planned.decision.addresses();
            let held = planned.decision.held().iter();
            claim.recorded_pools = held.map(|held| (held.address, held.pool.to_string())).collect();
        }
        self
    }
}

fn found_full(service: &Planned, pool: &str) -> bool {
    let full = |tried: &PoolVerdict| *tried.pool == *pool && matches!(tried.verdict, Verdict::Full { .. });
    matches!(service.decision.refusal(), Some(Refusal::NoneFree { tried, .. }) if tried.iter().any(full))
}

/// What one plan changes against another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Services, by name.
    pub services: Vec<ServiceChange>,
    /// Pools, by name.
    pub pools: Vec<PoolChange>,
}

/// A service that is there in only one of two plans, or has other addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceChange {
    /// The service.
    pub key: ServiceKey,
    /// What it had; `None` if it was not there.
    pub before: Option<Vec<IpAddr>>,
    /// What it has; `None` if it is gone.
    pub after: Option<Vec<IpAddr>>,
    /// Why it has no more, if it lacks something.
    pub refusal: Option<Arc<Refusal>>,
}

/// A pool that is there in only one of two plans, or has become too small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolChange {
    /// The pool.
    pub name: String,
    /// What became of it.
    pub what: PoolChangeKind,
}

/// What became of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// More services than before find it full: now so many.
    Overflows {
        /// Services that find it full.
        wanting: usize,
    },
}

impl Plan {
    /// What is different from `before`.
    #[must_use]
    pub fn against(&self, before: &Self) -> Difference {
        let services = |plan: &Self| -> BTreeMap<ServiceKey, Decision> {
            plan.services.iter().map(|it| (it.decision.key.clone(), it.decision.clone())).collect()
        };
        let (old, new) = (services(before), services(self));
        let mut keys: Vec<&ServiceKey> = old.keys().chain(new.keys()).collect();
        keys.sort();
        keys.dedup();
        let changed = |key: &&ServiceKey| {
            let addresses = |of: &BTreeMap<ServiceKey, Decision>| of.get(*key).map(Decision::addresses);
            addresses(&old) != addresses(&new)
        };
        let change = |key: &ServiceKey| ServiceChange {
            key: key.clone(),
            before: old.get(key).map(Decision::addresses),
            after: new.get(key).map(Decision::addresses),
            refusal: new.get(key).and_then(|decision| decision.refusal().cloned().map(Arc::new)),
        };
        let services = keys.into_iter().filter(changed).map(change).collect();
        Difference { services, pools: self.changed_pools(before) }
    }

    fn changed_pools(&self, before: &Self) -> Vec<PoolChange> {
        let pools = |plan: &Self| -> BTreeMap<String, usize> {
            plan.pools.iter().map(|pool| (pool.name.clone(), pool.wanting)).collect()
        };
        let (old, new) = (pools(before), pools(self));
        let mut changes = Vec::new();
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            changes.push(PoolChange { name: name.clone(), what: PoolChangeKind::Removed });
        }
        for (name, &wanting) in &new {
            let known = old.get(name);
            if known.is_none() {
                changes.push(PoolChange { name: name.clone(), what: PoolChangeKind::Added });
            }
            if wanting > known.copied().unwrap_or_default() {
                changes.push(PoolChange { name: name.clone(), what: PoolChangeKind::Overflows { wanting } });
            }
        }
        changes.sort_by(|a, b| a.name.cmp(&b.name));
        changes
    }
}
