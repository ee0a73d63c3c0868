//! The pools in force, each under a small number.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use crate::PoolSpec;
use crate::pool::Space;

/// The number of a pool's name. It outlives the pool, so that an address of a pool that is gone can say where it
/// came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PoolId(u32);

/// A pool in force.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub(super) spec: PoolSpec,
    pub(super) space: Space,
}

/// Pools by number, and numbers by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Pools {
    ids: BTreeMap<Arc<str>, PoolId>,
    slots: Vec<(Arc<str>, Option<Pool>)>,
    /// As services look at them: by rank, then name.
    order: Vec<PoolId>,
    /// Those that keep addresses for services by name.
    reserving: Vec<PoolId>,
}

impl Pools {
    /// The number of a name, which need not be that of a pool in force.
    pub(super) fn intern(&mut self, name: &str) -> PoolId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = PoolId(u32::try_from(self.slots.len()).expect("fewer pool names than addresses of IPv4"));
        let name: Arc<str> = name.into();
        self.slots.push((name.clone(), None));
        self.ids.insert(name, id);
        id
    }

    pub(super) fn name(&self, id: PoolId) -> &Arc<str> {
        &self.slots[id.0 as usize].0
    }

    /// The pool in force of this number.
    pub(super) fn get(&self, id: PoolId) -> Option<&Pool> {
        self.slots[id.0 as usize].1.as_ref()
    }

    /// The number of a pool in force.
    pub(super) fn id(&self, name: &str) -> Option<PoolId> {
        self.ids.get(name).copied().filter(|id| self.get(*id).is_some())
    }

    /// The pools in force, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PoolId, &Pool)> {
        self.ids.values().filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// As services look at them.
    pub(super) fn order(&self) -> &[PoolId] {
        &self.order
    }

    /// Those that keep addresses for services by name, as services look at them.
    pub(super) fn reserving(&self) -> &[PoolId] {
        &self.reserving
    }

    /// Puts these pools in force; returns those that were before.
    pub(super) fn replace(&mut self, pools: BTreeMap<PoolId, Pool>) -> BTreeMap<PoolId, Pool> {
        let before = self.take();
        for (id, pool) in pools {
            self.slots[id.0 as usize].1 = Some(pool);
        }
        let mut order: Vec<PoolId> = self.iter().map(|(id, _)| id).collect();
        // They come by name, and the sort keeps that order within a rank.
        order.sort_by_key(|id| self[*id].spec.allocation.rank());
        self.reserving = order.iter().copied().filter(|id| !self[*id].spec.reservations.is_empty()).collect();
        self.order = order;
        before
    }

    /// Takes all pools out of force.
    pub(super) fn take(&mut self) -> BTreeMap<PoolId, Pool> {
        let slots = self.slots.iter_mut().zip(0_u32..);
        slots.filter_map(|((_, pool), id)| Some((PoolId(id), pool.take()?))).collect()
    }
}

impl Index<PoolId> for Pools {
    type Output = Pool;

    fn index(&self, id: PoolId) -> &Pool {
        self.get(id).expect("the number is that of a pool in force")
    }
}

impl IndexMut<PoolId> for Pools {
    fn index_mut(&mut self, id: PoolId) -> &mut Pool {
        self.slots[id.0 as usize].1.as_mut().expect("the number is that of a pool in force")
    }
}
