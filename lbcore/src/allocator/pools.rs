//! Putting a new set of pools in force.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Allocator, Decision, Pool};
use crate::pool::{PoolProblemKind, Space};
use crate::{AddressRange, PoolProblem, PoolSpec, ServiceKey};

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
        let rank = |spec: &PoolSpec| match in_force.get(spec.name.as_str()) {
            Some(old) if old == spec => 0,
            Some(_) => 1,
            None => 2,
        };
        specs.sort_by_cached_key(|spec| {
            // The ranges break the tie between two pools of one name and age.
            let ranges: Vec<IpAddr> = spec.ranges.iter().map(AddressRange::first).collect();
            (rank(spec), spec.created, spec.name.clone(), ranges)
        });
        // What is in force and still written stays until its own edit fits beside all the others.
        let mut accepted = Accepted::default();
        for spec in &specs {
            if let Some(old) = in_force.get(spec.name.as_str()) {
                accepted.insert(old.clone());
            }
        }
        let mut seen = BTreeSet::new();
        let (mut open, doubles): (Vec<PoolSpec>, Vec<PoolSpec>) =
            specs.into_iter().partition(|spec| seen.insert(spec.name.clone()));
        open.retain(|spec| rank(spec) > 0);
        while let Some(fitting) = open.iter().position(|spec| accepted.fits(spec).is_ok()) {
            accepted.insert(open.remove(fitting));
        }
        let mut problems = Vec::new();
        for spec in &open {
            let (path, kind) = accepted.fits(spec).expect_err("the loop has taken all that fit");
            problems.push(PoolProblem { pool: spec.name.clone(), path, kind });
        }
        problems.extend(doubles.into_iter().map(|spec| PoolProblem {
            pool: spec.name,
            path: "metadata.name".to_owned(),
            kind: PoolProblemKind::DuplicateName,
        }));
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
        let mut touched: Vec<_> = touched.into_iter().map(|key| self.services[&key].request.turn()).collect();
        touched.sort();
        let mut decisions = Vec::new();
        for (_, key) in touched {
            let entry = &self.services[&key];
            if entry.unmet.is_some() {
                let held = self.with_pools(entry.held.clone());
                let entry = self.services.get_mut(&key).expect("it was there above");
                if held != entry.held {
                    entry.held = held;
                    decisions.push(super::decision(&key, entry, true));
                }
            } else {
                let decision = self.decide(entry.request.clone());
                if decision.changed {
                    decisions.push(decision);
                }
            }
        }
        decisions
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
        for (index, range) in spec.ranges.iter().enumerate() {
            if let Some(earlier) = spec.ranges[..index].iter().find(|e| e.overlaps(range)) {
                let kind = PoolProblemKind::OverlapsItself { range: *range, earlier: *earlier };
                return Err((format!("spec.addresses[{index}]"), kind));
            }
            // Accepted ranges do not overlap: going down, the first that ends below ours is the last to look at.
            let mut others = self
                .ranges
                .range(..=range.last())
                .rev()
                .take_while(|(_, (last, _))| *last >= range.first())
                .filter(|(_, (_, other))| *other != spec.name);
            let Some((_, (last, other))) = others.next() else { continue };
            let theirs = self.pools[other].ranges.iter().find(|theirs| theirs.last() == *last);
            let theirs = *theirs.expect("the index names ranges of accepted pools");
            let kind = PoolProblemKind::OverlapsPool { range: *range, theirs, other: other.clone() };
            return Err((format!("spec.addresses[{index}]"), kind));
        }
        Ok(())
    }

    fn insert(&mut self, spec: PoolSpec) {
        if let Some(old) = self.pools.get(&spec.name) {
            for range in &old.ranges {
                self.ranges.remove(&range.first());
            }
        }
        for range in &spec.ranges {
            self.ranges.insert(range.first(), (range.last(), spec.name.clone()));
        }
        self.pools.insert(spec.name.clone(), spec);
    }
}
