//! Putting a new set of pools in force.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::held::Holdings;
use super::in_force::{Pool, PoolId};
use super::{Allocator, Decision};
use crate::pool::{PoolProblemKind, Space};
use crate::request::Turn;
use crate::{AddressRange, PoolProblem, PoolSpec};

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
            self.pools.iter().map(|(id, pool)| (self.pools.name(id).clone(), pool.spec.clone())).collect();
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
                Err(fault) => {
                    if let PoolProblemKind::OverlapsPool { other, .. } = fault.1 {
                        blocked.entry(other).or_default().push(index);
                    }
                }
            }
        }
        open.retain(|spec| accepted.pools.get(&spec.name) != Some(spec));
        let mut problems = Vec::new();
        for spec in &open {
            let mut faults = spec.faults();
            if faults.is_empty() {
                faults.push(*accepted.fits(spec).expect_err("the loop has taken all that fit"));
            }
            let problem = |(path, kind)| PoolProblem { pool: spec.name.clone(), path, kind };
            problems.extend(faults.into_iter().map(problem));
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
        // Addresses whose users may have to be told something else now.
        let mut touched: BTreeSet<IpAddr> = std::mem::take(&mut self.lost);
        let remembered = self.remembered_by_pool();
        let mut before = self.pools.take();
        let mut after: BTreeMap<PoolId, Pool> = BTreeMap::new();
        for (name, spec) in accepted.pools {
            let id = self.pools.intern(&name);
            let old = before.remove(&id);
            let same_rules = |old: &PoolSpec| {
                (old.state, &old.release, old.rest()) == (spec.state, &spec.release, spec.rest())
            };
            if !old.as_ref().is_some_and(|old| same_rules(&old.spec) && old.spec.same_space(&spec)) {
                let old_ranges = old.iter().flat_map(|old| &old.spec.ranges);
                touched
                    .extend(spec.ranges.iter().chain(old_ranges).flat_map(|range| self.users.within(range)));
            }
            let space = match old {
                Some(old) if old.spec.same_space(&spec) => old.space,
                _ => self.space_of(&spec),
            };
            after.insert(id, Pool { spec, space });
        }
        for gone in before.into_values() {
            touched.extend(gone.spec.ranges.iter().flat_map(|range| self.users.within(range)));
        }
        self.pools.replace(after);
        self.ranges = self.pools.iter().flat_map(|(id, pool)| ranges_of(id, &pool.spec)).collect();
        self.lost = touched.iter().copied().filter(|it| self.pool_at(*it).is_none()).collect();
        self.remember_again(&remembered);
        self.waiting.wake_all();
        self.follow(&touched)
    }

    /// The space of a pool, with the addresses of it that are held.
    fn space_of(&self, spec: &PoolSpec) -> Space {
        let mut space = Space::new(spec);
        for address in self.avoided.keys().filter(|it| spec.ranges.iter().any(|range| range.contains(**it))) {
            space.avoid(*address, false);
        }
        for address in spec.ranges.iter().flat_map(|range| self.users.within(range)) {
            space.take(address);
        }
        space
    }

    /// Brings services up to date that hold one of these addresses: it may be in another pool now, or in none.
    fn follow(&mut self, touched: &BTreeSet<IpAddr>) -> Vec<Decision> {
        let users = touched.iter().flat_map(|address| self.users.of(*address));
        let turns: BTreeSet<Turn> = users.map(|id| self.services.get(id).request.turn()).collect();
        let mut decisions = Vec::new();
        for (_, key) in turns {
            let Some(id) = self.services.id(&key) else { continue };
            let entry = self.services.get(id);
            let now = self.with_pools(entry.held.as_slice());
            let given_up = now.iter().any(|held| self.is_given_up(&entry.request, held));
            if entry.unmet.is_some() && !given_up {
                // It waits, so it is decided for when those that wait are; until then its pools have the new names.
                let held = Holdings::from(now);
                if held != entry.held {
                    self.services.get_mut(id).held = held;
                    decisions.push(self.render(id, true));
                }
            } else {
                let decision = self.decide_known(id, entry.request.clone());
                if decision.changed {
                    decisions.push(decision);
                }
            }
        }
        decisions
    }
}

fn ranges_of(id: PoolId, spec: &PoolSpec) -> impl Iterator<Item = (IpAddr, (IpAddr, PoolId))> {
    spec.ranges.iter().map(move |range| (range.first(), (range.last(), id)))
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
    fn fits(&self, spec: &PoolSpec) -> Result<(), Box<(String, PoolProblemKind)>> {
        if let Some(fault) = spec.faults().into_iter().next() {
            return Err(Box::new(fault));
        }
        for (index, range) in spec.ranges.iter().enumerate() {
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
            return Err(Box::new((format!("spec.addresses[{index}]"), kind)));
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
