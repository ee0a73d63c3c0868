//! Addresses that are held although no active pool has them any more: kept, until the operator gives them up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::held::Held;
use super::{Allocator, Decision};
use crate::reason::{Avoided, Loss};
use crate::{PoolState, Refusal, Request};

/// What becomes of an address that a service holds when its pool shrinks or goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LostAddresses {
    /// It is kept, and said to be kept, until the operator confirms ([`crate::Release`]) or the service goes.
    #[default]
    Keep,
    /// It is taken away at once, as MetalLB does; the service gets another one if it can.
    TakeAway,
}

/// Pools that are written, but in a way that cannot be read, and of which no earlier form is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Those of these names.
    These(BTreeSet<String>),
    /// Not even their names can be read: it may be any pool that is not in force.
    Any,
}

impl Default for Unreadable {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Unreadable {
    /// Whether a pool that is not in force may be one of them.
    #[must_use]
    pub fn contains(&self, pool: &str) -> bool {
        match self {
            Self::These(names) => names.contains(pool),
            Self::Any => true,
        }
    }
}

impl Allocator {
    /// Tells which pools cannot be read: an address of such a pool is no less its own than before. To be told
    /// before [`Allocator::set_pools`].
    pub fn set_unreadable(&mut self, unreadable: Unreadable) {
        self.unreadable = unreadable;
    }

    /// The addresses that services hold and no pool gives out.
    pub fn lost(&self) -> impl Iterator<Item = IpAddr> {
        self.lost.iter().copied()
    }

    /// Sets what becomes of held addresses that their pool no longer has. To be told before anything else.
    pub fn set_lost_addresses(&mut self, lost: LostAddresses) {
        self.lost_addresses = lost;
    }

    /// Tells which addresses belong to this cluster's nodes and gateways: they are never given unless a service
    /// asks for them by name. Returns the services that hold one, and those that held one, as they stand now.
    pub fn set_avoided(&mut self, avoided: BTreeMap<IpAddr, Avoided>) -> Vec<Decision> {
        if avoided == self.avoided {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.avoided, avoided);
        let gone: Vec<IpAddr> = before.keys().filter(|it| !self.avoided.contains_key(it)).copied().collect();
        let new: Vec<IpAddr> = self.avoided.keys().filter(|it| !before.contains_key(it)).copied().collect();
        for address in &gone {
            if let Some(pool) = self.pool_at(*address) {
                let held = self.users.is_held(*address);
                self.pools[pool].space.avoid_no_more(*address, held);
                self.rest_on(pool, *address);
            }
        }
        for address in &new {
            if let Some(pool) = self.pool_at(*address) {
                let held = self.users.is_held(*address);
                self.pools[pool].space.avoid(*address, held);
            }
        }
        // The reasons of those that wait count what is spared.
        self.waiting.wake_all();
        let renamed = self.avoided.iter().filter(|(address, why)| before.get(address) != Some(why));
        let touched: Vec<IpAddr> = renamed.map(|(address, _)| *address).chain(gone).collect();
        self.look_again(touched.into_iter())
    }

    /// Whom an address belongs to that is given only by name.
    #[must_use]
    pub fn avoided(&self, address: IpAddr) -> Option<&Avoided> {
        self.avoided.get(&address)
    }

    /// Why a held address is one that its service should leave, if so.
    pub(super) fn loss(&self, held: &Held) -> Option<Loss> {
        if let Some(pool) = self.pool_at(held.address) {
            let draining = self.pools[pool].spec.state == PoolState::Draining;
            return draining.then_some(Loss::Draining);
        }
        if let Some((pool, why)) = self.excluded(held.address) {
            return Some(Loss::Excluded { pool: self.pools.name(pool).clone(), why });
        }
        Some(match self.pools.get(held.pool) {
            Some(_) => Loss::RangeRemoved,
            None if self.unreadable.contains(self.pools.name(held.pool)) => Loss::PoolUnreadable,
            None => Loss::PoolRemoved,
        })
    }

    /// Whether a held address is to be given up: it is lost, and the operator has confirmed.
    pub(super) fn is_given_up(&self, request: &Request, held: &Held) -> bool {
        let Some(loss) = self.loss(held) else { return false };
        let address = held.address;
        let by_setting = self.lost_addresses == LostAddresses::TakeAway
            && !matches!(loss, Loss::Draining | Loss::PoolUnreadable);
        let home = match &loss {
            Loss::Excluded { pool, .. } => self.pools.id(pool),
            _ => Some(held.pool),
        };
        let namespace = self.namespaces.get(request.key.namespace());
        by_setting
            || home
                .and_then(|pool| self.pools.get(pool))
                .is_some_and(|pool| pool.spec.release.covers(address))
            || request.release.covers(address)
            || namespace.is_some_and(|namespace| namespace.release.covers(address))
    }

    /// What is to be said of held addresses before anything else: that one is lost, or in question.
    pub(super) fn concern(&self, request: &Request, held: &[Held]) -> Option<Refusal> {
        let lost = held.iter().find_map(|held| {
            let (address, pool) = (held.address, self.pools.name(held.pool).clone());
            self.loss(held).map(|why| Refusal::Kept { address, pool, why })
        });
        let foreign = || {
            held.iter().find_map(|held| {
                let address = held.address;
                let owner = self.avoided.get(&address).cloned()?;
                Some(Refusal::NotAlone { address, owner })
            })
        };
        let reserved = || {
            held.iter().find_map(|held| {
                let address = held.address;
                let space = &self.pools.get(held.pool)?.space;
                let pattern = space.kept_for_another(address, &request.key)?.to_string();
                Some(Refusal::Reserved { address, pool: self.pools.name(held.pool).clone(), pattern })
            })
        };
        lost.or_else(foreign).or_else(reserved)
    }
}
