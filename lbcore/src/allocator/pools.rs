//! Putting a new set of pools in force.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Allocator, Decision, Pool};
use crate::pool::{PoolProblemKind, Space};
use crate::{PoolProblem, PoolSpec, ServiceKey};

/// What a new set of pools did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolsChanged {
    /// Pools that are not in force as written. If one was in force before, that form of it stays.
    pub problems: Vec<PoolProblem>,
    /// Services whose addresses now belong to another pool, or to none; they keep them.
    pub decisions: Vec<Decision>,
}

impl Allocator {
    /// Puts `specs` in force in place of all pools before. [`Allocator::woken`] then says which waiting
    /// services this helps.
    ///
    /// Of two pools that overlap or share a name, the one in force stays; of two new ones, the older.
    pub fn set_pools(&mut self, mut specs: Vec<PoolSpec>) -> PoolsChanged {
        let in_force: BTreeMap<Arc<str>, PoolSpec> =
            self.pools.iter().map(|(name, pool)| (name.clone(), pool.spec.clone())).collect();
        let unchanged = |spec: &PoolSpec| in_force.get(spec.name.as_str()) == Some(spec);
        specs.sort_by_cached_key(|spec| (!unchanged(spec), spec.created, spec.name.clone()));

        let mut accepted = Accepted::default();
        let mut problems = Vec::new();
        // The last good form of an edited pool holds its ground against new pools, until its edit is accepted.
        for spec in specs {
            let refused = match accepted.fits(&spec) {
                Ok(()) => None,
                Err((path, kind)) => Some(PoolProblem { pool: spec.name.clone(), path, kind }),
            };
            let Some(problem) = refused else {
                accepted.insert(spec);
                continue;
            };
            let duplicate = problem.kind == PoolProblemKind::DuplicateName;
            problems.push(problem);
            if let Some(last_good) = in_force.get(spec.name.as_str()).filter(|_| !duplicate)
                && accepted.fits(last_good).is_ok()
            {
                accepted.insert(last_good.clone());
            }
        }
        let decisions = self.replace_pools(accepted);
        PoolsChanged { problems, decisions }
    }

    fn replace_pools(&mut self, accepted: Accepted) -> Vec<Decision> {
        let mut touched: BTreeSet<ServiceKey> = BTreeSet::new();
        let mut before = std::mem::take(&mut self.pools);
        let mut pools = BTreeMap::new();
        for (name, spec) in accepted.pools {
            let (name, pool) = match before.remove_entry(name.as_str()) {
                Some((name, mut pool))
                    if pool.spec.ranges == spec.ranges && pool.spec.avoid_buggy == spec.avoid_buggy =>
                {
                    pool.spec = spec;
                    (name, pool)
                }
                other => {
                    let name = other.as_ref().map_or_else(|| Arc::from(name), |(name, _)| name.clone());
                    let mut space = Space::new(&spec);
                    for (address, users) in
                        spec.ranges.iter().flat_map(|range| self.users.range(range.first()..=range.last()))
                    {
                        space.take(*address);
                        touched.extend(users.iter().cloned());
                    }
                    if let Some((_, old)) = other {
                        touched.extend(self.users_in(&old.spec));
                    }
                    (name, Pool { spec, space })
                }
            };
            pools.insert(name, pool);
        }
        for old in before.values() {
            touched.extend(self.users_in(&old.spec));
        }
        self.ranges = ranges_of(&pools);
        self.order = pools.keys().cloned().collect();
        self.order.sort_by_key(|name| pools[name].spec.allocation.rank());
        self.pools = pools;
        self.waiting.wake_pools();
        let decided = touched.into_iter().map(|key| self.services[&key].request.clone());
        let decided: Vec<_> = decided.collect();
        decided.into_iter().map(|request| self.decide(request)).filter(|decision| decision.changed).collect()
    }

    fn users_in(&self, spec: &PoolSpec) -> Vec<ServiceKey> {
        let ranges = spec.ranges.iter();
        ranges
            .flat_map(|range| self.users.range(range.first()..=range.last()))
            .flat_map(|(_, users)| users.iter().cloned())
            .collect()
    }
}

fn ranges_of(pools: &BTreeMap<Arc<str>, Pool>) -> BTreeMap<IpAddr, (IpAddr, Arc<str>)> {
    let of = |(name, pool): (&Arc<str>, &Pool)| {
        let name = name.clone();
        let ranges = pool.spec.ranges.clone().into_iter();
        ranges.map(move |range| (range.first(), (range.last(), name.clone())))
    };
    pools.iter().flat_map(of).collect()
}

/// Pools that go together, with an index of their ranges.
#[derive(Default)]
struct Accepted {
    pools: BTreeMap<String, PoolSpec>,
    /// First address to (last address, pool).
    ranges: BTreeMap<IpAddr, (IpAddr, String)>,
}

impl Accepted {
    /// Whether `spec` goes together with the pools accepted so far; if not, the field at fault and why.
    fn fits(&self, spec: &PoolSpec) -> Result<(), (String, PoolProblemKind)> {
        if self.pools.contains_key(&spec.name) {
            return Err(("metadata.name".to_owned(), PoolProblemKind::DuplicateName));
        }
        for (index, range) in spec.ranges.iter().enumerate() {
            // Accepted ranges do not overlap, so the last that starts at or before our end is the one to ask.
            let below = self.ranges.range(..=range.last()).next_back();
            let Some((_, (last, other))) = below.filter(|(_, (last, _))| *last >= range.first()) else {
                continue;
            };
            let theirs = self.pools[other].ranges.iter().find(|theirs| theirs.last() == *last);
            let theirs = *theirs.expect("the index names ranges of accepted pools");
            let kind = PoolProblemKind::OverlapsPool { range: *range, theirs, other: other.clone() };
            return Err((format!("spec.addresses[{index}]"), kind));
        }
        Ok(())
    }

    fn insert(&mut self, spec: PoolSpec) {
        for range in &spec.ranges {
            self.ranges.insert(range.first(), (range.last(), spec.name.clone()));
        }
        self.pools.insert(spec.name.clone(), spec);
    }
}
