//! Putting a new set of pools in force.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Allocator, Decision, Holding, Pool};
use crate::pool::{PoolProblemKind, Space};
use crate::request::Turn;
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
        // The first that fits goes next. One that does not is looked at again when the pool in its way moves.
        let mut due: BTreeSet<usize> = (0..open.len()).collect();
        let mut blocked: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        while let Some(index) = due.pop_first() {
            let spec = &open[index];
            match accepted.fits(spec) {
                Ok(()) => {
                    due.extend(blocked.remove(&spec.name).unwrap_or_default());
                    accepted.insert(spec.clone());
                }
                Err((_, PoolProblemKind::OverlapsPool { other, .. })) => {
                    blocked.entry(other).or_default().push(index);
                }
                Err(_) => {}
            }
        }
        open.retain(|spec| accepted.pools.get(&spec.name) != Some(spec));
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
        let mut touched: Vec<AddressRange> = Vec::new();
        let mut before = std::mem::take(&mut self.pools);
        for (name, spec) in accepted.pools {
            let (name, pool) = match before.remove_entry(name.as_str()) {
                Some((name, mut pool))
                    if pool.spec.ranges == spec.ranges && pool.spec.avoid_buggy == spec.avoid_buggy =>
                {
                    pool.spec = spec;
                    (name, pool)
                }
                other => {
                    let mut space = Space::new(&spec);
                    for (address, _) in self.users_in(&spec.ranges) {
                        space.take(*address);
                    }
                    touched.extend(&spec.ranges);
                    let name = match other {
                        Some((name, old)) => {
                            touched.extend(old.spec.ranges);
                            name
                        }
                        None => name.into(),
                    };
                    (name, Pool { spec, space })
                }
            };
            self.pools.insert(name, pool);
        }
        touched.extend(before.into_values().flat_map(|old| old.spec.ranges));
        self.ranges = ranges_of(&self.pools);
        self.order = self.pools.keys().cloned().collect();
        self.order.sort_by_key(|name| self.pools[name].spec.allocation.rank());
        self.waiting.wake_pools();
        self.follow(&touched)
    }

    /// Brings services up to date whose addresses in `ranges` are in another pool now, or in none.
    fn follow(&mut self, ranges: &[AddressRange]) -> Vec<Decision> {
        let mut moved: BTreeSet<Turn> = BTreeSet::new();
        for (address, users) in self.users_in(ranges) {
            let pool = self.pool_of(*address);
            let has_moved =
                |holding: &Holding| holding.address == *address && Some(&holding.pool) != pool.as_ref();
            let users = users.iter().map(|user| &self.services[user]);
            let users = users.filter(|entry| entry.held.iter().any(has_moved));
            moved.extend(users.map(|entry| entry.request.turn()));
        }
        let mut decisions = Vec::new();
        for (_, key) in moved {
            let entry = &self.services[&key];
            if entry.unmet.is_some() {
                // It waits, so it is decided for when those that wait are; until then its pools have the new names.
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

    fn users_in(&self, ranges: &[AddressRange]) -> impl Iterator<Item = (&IpAddr, &Vec<ServiceKey>)> {
        ranges.iter().flat_map(|range| self.users.range(range.first()..=range.last()))
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
