//! The choice of addresses for one service, without changing anything.

use std::borrow::Cow;

use super::Allocator;
use super::held::Held;
use super::in_force::PoolId;
use crate::{Families, Family, Grant, Labels, PoolState, PoolVerdict, Refusal, Request, Verdict};

/// What a service is to hold, and the part of its wish that this leaves open.
pub(super) struct Choice {
    pub(super) held: Vec<Held>,
    pub(super) unmet: Option<Refusal>,
    /// A further refusal, behind the one that is told of. What helps against it is waited for all the same.
    pub(super) also: Option<Refusal>,
    /// Whether this is what the service asks for, and not only what it had before.
    pub(super) fulfilled: bool,
}

impl Allocator {
    /// Decides what a service that holds `before` is to hold. `new_pool`: it asks for another pool than when it
    /// got that. Otherwise a pool that was renamed or split around its address moves nothing.
    pub(super) fn choose(&self, request: &Request, before: &[Held], new_pool: bool) -> Choice {
        let mut kept = self.with_pools(before);
        kept.retain(|held| !self.is_given_up(request, held));
        // One that gives something up is on the move, and as free in its choice as a new one.
        let served = !kept.is_empty() && kept.len() == before.len();
        let (mut held, unmet, fulfilled) = match self.fulfil(request, &kept, new_pool, served) {
            Ok((held, unmet)) => (held, unmet, true),
            // What is held is kept until something better can be had in its place.
            Err(refusal) => (self.keepable(request, &kept).collect(), Some(refusal), false),
        };
        if held.len() > 1 {
            put_in_order(request, &mut held);
        }
        let unmet = unmet.or_else(|| self.elsewhere(request, &held));
        // That an address is lost or in question is told before anything else.
        match self.concern(request, &held) {
            None => Choice { held, unmet, also: None, fulfilled },
            Some(concern) => Choice { held, unmet: Some(concern), also: unmet, fulfilled },
        }
    }

    /// Those of the held addresses that the service may go on using.
    fn keepable<'a>(&'a self, request: &'a Request, before: &'a [Held]) -> impl Iterator<Item = Held> + 'a {
        let may_keep = |held: &&Held| {
            request.families.wants(Family::of(held.address)) && self.shareable(held.address, request).is_ok()
        };
        before.iter().filter(may_keep).copied()
    }

    fn fulfil(
        &self,
        request: &Request,
        before: &[Held],
        new_pool: bool,
        served: bool,
    ) -> Result<(Vec<Held>, Option<Refusal>), Refusal> {
        let stays = |held: &Held| !new_pool || self.is_of_pool_asked(request, held);
        let mut held = self.requested(request, before, &stays)?;
        let asked = held.len();
        for holding in self.keepable(request, before) {
            let family = Family::of(holding.address);
            if !covers(&held[..asked], family) && !covers(&held, family) && stays(&holding) {
                held.push(holding);
            }
        }
        for family in request.families.wanted() {
            if !covers(&held, *family)
                && let Some(holding) = self.kept_for_it(request, *family, &held, served)
            {
                held.push(holding);
            }
        }
        let mut missing = request.families.wanted().iter().copied().filter(|family| !covers(&held, *family));
        let prefers_both = matches!(request.families, Families::Prefer { .. });
        let refused = match (missing.next(), missing.next()) {
            (None, _) => None,
            (Some(first), Some(second)) => match self.take_both(request, first, second) {
                Ok(both) => {
                    held.extend(both.into_iter().flatten());
                    None
                }
                Err(refusal) => Some(refusal),
            },
            (Some(family), None) => match self.take_one(request, family, &held, served) {
                Ok(holding) => {
                    held.push(holding);
                    None
                }
                Err(refusal) => Some(refusal),
            },
        };
        if let Some(refusal) = refused
            && (held.is_empty() || !prefers_both)
        {
            return Err(refusal);
        }
        // The refusal in the words that will be true as long as the first address is held.
        let lacks = request.families.wanted().iter().find(|family| prefers_both && !covers(&held, **family));
        let unmet = lacks.and_then(|family| self.take_one(request, *family, &held, true).err());
        Ok((held, unmet))
    }

    /// The addresses that the service asks for by name.
    pub(super) fn requested(
        &self,
        request: &Request,
        before: &[Held],
        stays: &impl Fn(&Held) -> bool,
    ) -> Result<Vec<Held>, Refusal> {
        let mut held: Vec<Held> = Vec::new();
        for &address in &request.addresses {
            if held.iter().any(|holding| holding.address == address) {
                continue;
            }
            if !request.families.wants(Family::of(address)) {
                return Err(Refusal::FamilyNotWanted { address });
            }
            if let Some(holding) = before.iter().find(|holding| holding.address == address)
                && self.shareable(address, request).is_ok()
                && stays(holding)
            {
                held.push(*holding);
                continue;
            }
            let Some(pool) = self.pool_at(address) else {
                return Err(match self.excluded(address) {
                    None => Refusal::OutsidePools { address },
                    Some((pool, why)) => {
                        Refusal::Excluded { address, pool: self.pools.name(pool).clone(), why }
                    }
                });
            };
            let name = self.pools.name(pool);
            if let Some(asked) = request.pool.as_ref().filter(|asked| *asked != name) {
                return Err(Refusal::OtherPool { address, pool: name.clone(), asked: asked.clone() });
            }
            self.open(pool, request)?;
            if let Some(pattern) = self.pools[pool].space.kept_for_another(address, &request.key) {
                let pattern = pattern.to_string();
                return Err(Refusal::Reserved { address, pool: name.clone(), pattern });
            }
            self.shareable(address, request)?;
            held.push(Held { address, pool, grant: Grant::Requested });
        }
        Ok(held)
    }

    /// An address that is the service's own before anybody else's: kept for it by name, or the one that it had
    /// a short while ago.
    pub(super) fn kept_for_it(
        &self,
        request: &Request,
        family: Family,
        held: &[Held],
        served: bool,
    ) -> Option<Held> {
        let may_use = |pool: PoolId| {
            let name = self.pools.name(pool);
            request.pool.as_ref().is_none_or(|asked| asked == name)
                && self.open(pool, request).is_ok()
                && (!only_home(request, held, served) || is_home(held, pool))
        };
        let reserved = self.pools.reserving().iter().filter(|pool| may_use(**pool)).find_map(|pool| {
            let address = self.pools[*pool].space.lowest_reserved(family, &request.key)?;
            Some(Held { address, pool: *pool, grant: Grant::Reserved })
        });
        let sticky = || {
            self.sticky(&request.key, family).find_map(|address| {
                let pool = self.pool_at(address)?;
                let fits = may_use(pool)
                    && (request.pool.is_some() || self.pools[pool].spec.auto_assign)
                    && !self.avoided.contains_key(&address)
                    && self.pools[pool].space.kept_for_another(address, &request.key).is_none()
                    && self.shareable(address, request).is_ok();
                fits.then_some(Held { address, pool, grant: Grant::Remembered })
            })
        };
        reserved.or_else(sticky)
    }

    /// Both families: from one pool if one has both, else each from the first pool that has it.
    fn take_both(
        &self,
        request: &Request,
        first: Family,
        second: Family,
    ) -> Result<[Option<Held>; 2], Refusal> {
        for pool in self.meant(request)?.iter().filter(|pool| self.barred(**pool, request).is_none()) {
            if let (Some(first), Some(second)) =
                (self.take_from(*pool, first, request), self.take_from(*pool, second, request))
            {
                return Ok([Some(first), Some(second)]);
            }
        }
        match (self.take_one(request, first, &[], false), self.take_one(request, second, &[], false)) {
            (Ok(first), Ok(second)) => Ok([Some(first), Some(second)]),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) if matches!(request.families, Families::Prefer { .. }) => {
                Ok([Some(one), None])
            }
            (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
        }
    }

    /// One address of `family`, from the pool of what is `held` if it can be.
    pub(super) fn take_one(
        &self,
        request: &Request,
        family: Family,
        held: &[Held],
        served: bool,
    ) -> Result<Held, Refusal> {
        let only_home = only_home(request, held, served);
        let pools = self.meant(request)?;
        let home = pools.iter().filter(|pool| is_home(held, **pool));
        let others = pools.iter().filter(|pool| !is_home(held, **pool));
        let mut tried = Vec::new();
        for &pool in home.chain(others) {
            let verdict = if let Some(verdict) = self.barred(pool, request) {
                verdict
            } else if only_home && !is_home(held, pool) {
                Verdict::NotTheFirstPool
            } else if let Some(holding) = self.take_from(pool, family, request) {
                return Ok(holding);
            } else {
                self.emptiness(pool, family)
            };
            tried.push(PoolVerdict { pool: self.pools.name(pool).clone(), verdict });
        }
        Err(Refusal::NoneFree { family, tried })
    }

    /// Why a pool has nothing left.
    pub(super) fn emptiness(&self, pool: PoolId, family: Family) -> Verdict {
        let (total, reserved, avoided) = self.pools[pool].space.extent(family);
        if total == 0 { Verdict::NoSuchFamily } else { Verdict::Full { total, reserved, avoided } }
    }

    fn take_from(&self, pool: PoolId, family: Family, request: &Request) -> Option<Held> {
        if let Some(address) = self.lowest_shared(pool, family, request) {
            return Some(Held { address, pool, grant: Grant::Shared });
        }
        let address = self.pools[pool].space.lowest(family, &self.had(&request.key))?;
        Some(Held { address, pool, grant: Grant::Lowest })
    }

    /// The pools the service can mean, in order.
    pub(super) fn meant(&self, request: &Request) -> Result<Cow<'_, [PoolId]>, Refusal> {
        if self.pools.order().is_empty() {
            return Err(Refusal::NoPools);
        }
        let Some(asked) = &request.pool else { return Ok(Cow::Borrowed(self.pools.order())) };
        let Some(pool) = self.pools.id(asked) else {
            let pools = self.pools.iter().map(|(pool, _)| self.pools.name(pool).clone()).collect();
            return Err(Refusal::UnknownPool { pool: asked.clone(), pools });
        };
        self.open(pool, request)?;
        Ok(Cow::Owned(vec![pool]))
    }

    /// Whether a service that names the pool, or an address of it, may have one.
    fn open(&self, pool: PoolId, request: &Request) -> Result<(), Refusal> {
        if !self.admits(pool, request) {
            return Err(Refusal::NotAdmitted { pool: self.pools.name(pool).clone() });
        }
        if self.pools[pool].spec.state != PoolState::Active {
            return Err(Refusal::Cordoned { pool: self.pools.name(pool).clone() });
        }
        Ok(())
    }

    /// Why the service may not take from a pool that it can mean, if so.
    pub(super) fn barred(&self, pool: PoolId, request: &Request) -> Option<Verdict> {
        let spec = &self.pools[pool].spec;
        if request.pool.is_none() && !spec.auto_assign {
            Some(Verdict::OnRequestOnly)
        } else if !self.admits(pool, request) {
            Some(Verdict::NotAdmitted)
        } else if spec.state != PoolState::Active {
            Some(Verdict::Cordoned)
        } else {
            None
        }
    }

    fn admits(&self, pool: PoolId, request: &Request) -> bool {
        static NONE: Labels = Labels::new();
        let allocation = &self.pools[pool].spec.allocation;
        if !allocation.is_restricted() {
            return true;
        }
        let namespace = self.namespaces.get(request.key.namespace());
        allocation.admits(request, namespace.map_or(&NONE, |namespace| &namespace.labels))
    }

    /// The holdings under the number of the pool that has them now: pools are renamed and split.
    pub(super) fn with_pools(&self, held: &[Held]) -> Vec<Held> {
        let now = |held: &Held| Held { pool: self.pool_at(held.address).unwrap_or(held.pool), ..*held };
        held.iter().map(now).collect()
    }

    fn is_of_pool_asked(&self, request: &Request, held: &Held) -> bool {
        request.pool.as_ref().is_none_or(|asked| asked == self.pools.name(held.pool))
    }

    /// That a held address is in another pool now than the service asks for.
    fn elsewhere(&self, request: &Request, held: &[Held]) -> Option<Refusal> {
        let asked = request.pool.clone()?;
        let Held { address, pool, .. } =
            *held.iter().find(|holding| !self.is_of_pool_asked(request, holding))?;
        Some(Refusal::OtherPool { address, pool: self.pools.name(pool).clone(), asked })
    }
}

/// A service that is served already does not grow into a second pool by itself.
fn only_home(request: &Request, held: &[Held], served: bool) -> bool {
    let prefers_both = matches!(request.families, Families::Prefer { .. });
    served && !held.is_empty() && request.pool.is_none() && prefers_both
}

/// Whether a pool is that of an address already chosen.
fn is_home(held: &[Held], pool: PoolId) -> bool {
    held.iter().any(|holding| holding.pool == pool)
}

fn covers(held: &[Held], family: Family) -> bool {
    held.iter().any(|holding| Family::of(holding.address) == family)
}

/// The order in which addresses are listed: as asked for, the others behind, the primary family first.
fn put_in_order(request: &Request, held: &mut [Held]) {
    held.sort_by_key(|Held { address, .. }| {
        let asked = request.addresses.iter().position(|asked| asked == address);
        (asked.unwrap_or(usize::MAX), Family::of(*address) != request.families.primary())
    });
}
