//! The addresses of one pool, and which of them are free.

use std::net::IpAddr;

use super::free::FreeIntervals;
use super::layout::Layout;
use super::{Counters, PoolSpec};
use crate::Family;

/// The address space of a pool in force.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    v4: Half,
    v6: Half,
}

#[derive(Debug, Clone)]
struct Half {
    layout: Layout,
    free: FreeIntervals,
}

impl Half {
    fn new(family: Family, spec: &PoolSpec) -> Self {
        let layout = Layout::new(family, &spec.ranges, spec.avoid_buggy);
        let free = FreeIntervals::full(layout.total());
        Self { layout, free }
    }
}

impl Space {
    /// The space of `spec`, all of it free.
    pub(crate) fn new(spec: &PoolSpec) -> Self {
        Self { v4: Half::new(Family::V4, spec), v6: Half::new(Family::V6, spec) }
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

    /// The address that comes first among the free ones.
    pub(crate) fn lowest(&self, family: Family) -> Option<IpAddr> {
        let half = self.half(family);
        half.free.lowest().map(|position| half.layout.address(position))
    }

    pub(crate) fn position(&self, address: IpAddr) -> Option<u128> {
        self.half(Family::of(address)).layout.position(address)
    }

    /// Whether `address` may be given out by this pool, held or not.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        self.half(Family::of(address)).layout.position(address).is_some()
    }

    /// Marks `address` as held; no effect on one that the pool does not give out.
    pub(crate) fn take(&mut self, address: IpAddr) {
        let half = self.half_mut(Family::of(address));
        if let Some(position) = half.layout.position(address) {
            half.free.take(position);
        }
    }

    /// Marks `address` as free; no effect on one that the pool does not give out.
    pub(crate) fn give(&mut self, address: IpAddr) {
        let half = self.half_mut(Family::of(address));
        if let Some(position) = half.layout.position(address) {
            half.free.give(position);
        }
    }

    /// How full the pool is in one family.
    pub(crate) fn counters(&self, family: Family) -> Counters {
        let half = self.half(family);
        Counters { total: half.layout.total(), assigned: half.layout.total() - half.free.count() }
    }
}
