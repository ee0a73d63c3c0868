//! The addresses of one pool: which are free, and for whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::free::FreeIntervals;
use super::layout::Layout;
use super::{Counters, PoolSpec, Reservation, ServicePattern};
use crate::{AddressRange, Family, ServiceKey};

/// The address space of a pool in force.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    v4: Half,
    v6: Half,
}

/// The addresses of one family. Each that is not held is in exactly one place: free for everybody, free for
/// those it is kept for, resting, or avoided.
#[derive(Debug, Clone)]
struct Half {
    layout: Layout,
    held: u128,
    free: FreeIntervals,
    reserved: Vec<(ServicePattern, FreeIntervals)>,
    /// First position of each run that is kept, to its last and the index in `reserved`.
    kept: BTreeMap<u128, (u128, usize)>,
    resting: Resting,
    /// Never given without being asked for, held or not.
    avoided: BTreeSet<u128>,
    /// Of the avoided ones, those that are not held.
    avoided_unheld: u128,
}

/// Positions that were freed a short while ago: the last to be given out, the one that was freed first before
/// the others.
#[derive(Debug, Clone, Default)]
struct Resting {
    by_time: BTreeSet<(i64, u128)>,
    freed: BTreeMap<u128, i64>,
}

impl Resting {
    fn insert(&mut self, position: u128, freed: i64) {
        self.remove(position);
        self.by_time.insert((freed, position));
        self.freed.insert(position, freed);
    }

    fn remove(&mut self, position: u128) -> bool {
        let freed = self.freed.remove(&position);
        freed.is_some_and(|freed| self.by_time.remove(&(freed, position)))
    }
}

impl Half {
    fn new(family: Family, spec: &PoolSpec) -> Self {
        let layout = Layout::new(family, spec);
        let mut kept = BTreeMap::new();
        let mut reserved = Vec::new();
        for (index, Reservation { range, service }) in spec.reservations.iter().enumerate() {
            let mut runs = layout.positions(range);
            runs.sort_unstable();
            kept.extend(runs.iter().map(|(first, last)| (*first, (*last, index))));
            reserved.push((service.clone(), FreeIntervals::of(runs)));
        }
        let free = if kept.is_empty() {
            FreeIntervals::full(layout.total())
        } else {
            FreeIntervals::of(gaps(&kept, layout.total()))
        };
        Self {
            layout,
            held: 0,
            free,
            reserved,
            kept,
            resting: Resting::default(),
            avoided: BTreeSet::new(),
            avoided_unheld: 0,
        }
    }

    /// The index of the reservation of a position.
    fn reservation(&self, position: u128) -> Option<usize> {
        let (_, (last, index)) = self.kept.range(..=position).next_back()?;
        (position <= *last).then_some(*index)
    }

    fn region(&mut self, position: u128) -> &mut FreeIntervals {
        match self.reservation(position) {
            Some(index) => &mut self.reserved[index].1,
            None => &mut self.free,
        }
    }

    /// Takes a position that is not held out of the place where it is.
    fn withdraw(&mut self, position: u128) {
        if !self.resting.remove(position) {
            self.region(position).take(position);
        }
    }
}

/// The positions below `total` that nobody keeps.
fn gaps(kept: &BTreeMap<u128, (u128, usize)>, total: u128) -> Vec<(u128, u128)> {
    let mut gaps = Vec::new();
    let mut next = 0;
    for (first, (last, _)) in kept {
        if next < *first {
            gaps.push((next, first - 1));
        }
        next = last + 1;
    }
    if next < total {
        gaps.push((next, total - 1));
    }
    gaps
}

impl Space {
    /// The space of `spec`, all of it free.
    pub(crate) fn new(spec: &PoolSpec) -> Self {
        Self { v4: Half::new(Family::V4, spec), v6: Half::new(Family::V6, spec) }
    }

    /// Whether any address of `range` is given out.
    pub(crate) fn has_any(&self, range: &AddressRange) -> bool {
        !self.half(range.family()).layout.positions(range).is_empty()
    }

    fn half(&self, family: Family) -> &Half {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn half_mut(&mut self, family: Family) -> &mut Half {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// The free address that comes first. One of `own`, which rest, counts as free; of the others that rest the
    /// one freed longest ago comes when nothing else is left.
    pub(crate) fn lowest(&self, family: Family, own: &[IpAddr]) -> Option<IpAddr> {
        let half = self.half(family);
        let resting = |address: &IpAddr| {
            let position = half.layout.position(*address)?;
            half.resting.freed.contains_key(&position).then_some(position)
        };
        let own = own.iter().filter_map(resting).min();
        let free = own.into_iter().chain(half.free.lowest()).min();
        let position = free.or_else(|| half.resting.by_time.first().map(|(_, position)| *position));
        position.map(|position| half.layout.address(position))
    }

    /// The free address that comes first among those kept for the service.
    pub(crate) fn lowest_reserved(&self, family: Family, service: &ServiceKey) -> Option<IpAddr> {
        let half = self.half(family);
        let ours = half.reserved.iter().filter(|(pattern, _)| pattern.matches(service));
        // What is kept for it by name comes before what is kept for many.
        let best = ours.filter_map(|(pattern, free)| Some((!pattern.is_exact(), free.lowest()?))).min();
        best.map(|(_, position)| half.layout.address(position))
    }

    /// For whom else `address` is kept, if it is not for the service.
    pub(crate) fn kept_for_another(&self, address: IpAddr, service: &ServiceKey) -> Option<&ServicePattern> {
        let half = self.half(Family::of(address));
        if half.kept.is_empty() {
            return None;
        }
        let (pattern, _) = &half.reserved[half.reservation(half.layout.position(address)?)?];
        (!pattern.matches(service)).then_some(pattern)
    }

    /// Whether `address` is kept for some services.
    pub(crate) fn is_kept(&self, address: IpAddr) -> bool {
        let half = self.half(Family::of(address));
        half.layout.position(address).is_some_and(|position| half.reservation(position).is_some())
    }

    /// Whether something is kept for the service.
    pub(crate) fn reserves_for(&self, service: &ServiceKey) -> bool {
        self.v4.reserved.iter().any(|(pattern, _)| pattern.matches(service))
    }

    pub(crate) fn position(&self, address: IpAddr) -> Option<u128> {
        self.half(Family::of(address)).layout.position(address)
    }

    /// Whether `address` may be given out by this pool, held or not.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        self.position(address).is_some()
    }

    /// Marks `address`, which nobody held, as held; no effect on one that the pool does not give out.
    pub(crate) fn take(&mut self, address: IpAddr) {
        let half = self.half_mut(Family::of(address));
        let Some(position) = half.layout.position(address) else { return };
        half.held += 1;
        if half.avoided.contains(&position) {
            half.avoided_unheld -= 1;
        } else {
            half.withdraw(position);
        }
    }

    /// Marks `address`, which was held, as free; no effect on one that the pool does not give out.
    /// `rests_since`: when it was freed, if it is to rest.
    pub(crate) fn give(&mut self, address: IpAddr, rests_since: Option<i64>) {
        let half = self.half_mut(Family::of(address));
        let Some(position) = half.layout.position(address) else { return };
        half.held -= 1;
        if half.avoided.contains(&position) {
            half.avoided_unheld += 1;
            return;
        }
        match rests_since.filter(|_| half.reservation(position).is_none()) {
            Some(freed) => half.resting.insert(position, freed),
            None => drop(half.region(position).give(position)),
        }
    }

    /// Lets a free address rest; no effect on one that is held, kept or avoided.
    pub(crate) fn rest(&mut self, address: IpAddr, freed: i64) {
        let half = self.half_mut(Family::of(address));
        let Some(position) = half.layout.position(address) else { return };
        if half.resting.freed.contains_key(&position) || half.free.take(position) {
            half.resting.insert(position, freed);
        }
    }

    /// Ends the rest of an address, if it rests.
    pub(crate) fn end_rest(&mut self, address: IpAddr) {
        let half = self.half_mut(Family::of(address));
        let Some(position) = half.layout.position(address) else { return };
        if half.resting.remove(position) {
            half.free.give(position);
        }
    }

    /// Keeps an address from being given without being asked for.
    pub(crate) fn avoid(&mut self, address: IpAddr, held: bool) {
        let half = self.half_mut(Family::of(address));
        let Some(position) = half.layout.position(address) else { return };
        if half.avoided.insert(position) && !held {
            half.withdraw(position);
            half.avoided_unheld += 1;
        }
    }

    /// Takes back [`Space::avoid`].
    pub(crate) fn avoid_no_more(&mut self, address: IpAddr, held: bool) {
        let half = self.half_mut(Family::of(address));
        let Some(position) = half.layout.position(address) else { return };
        if half.avoided.remove(&position) && !held {
            half.region(position).give(position);
            half.avoided_unheld -= 1;
        }
    }

    /// How many addresses there are, how many of them are kept for services by name, and how many are avoided; held
    /// or not.
    pub(crate) fn extent(&self, family: Family) -> (u128, u128, u128) {
        let half = self.half(family);
        let kept = half.kept.iter().map(|(first, (last, _))| last - first + 1).sum();
        (half.layout.total(), kept, half.avoided.len() as u128)
    }

    /// How full the pool is in one family.
    pub(crate) fn counters(&self, family: Family) -> Counters {
        let half = self.half(family);
        Counters {
            total: half.layout.total(),
            assigned: half.held,
            reserved: half.reserved.iter().map(|(_, free)| free.count()).sum(),
            avoided: half.avoided_unheld,
        }
    }
}
