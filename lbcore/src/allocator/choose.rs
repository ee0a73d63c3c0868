//! The choice of addresses for one service, without changing anything.

use std::net::IpAddr;
use std::slice;
use std::sync::Arc;

use super::{Allocator, Holding};
use crate::{Families, Family, Grant, Labels, PoolVerdict, Refusal, Request, Verdict};

/// What a service is to hold, and the part of its wish that this leaves open.
pub(super) struct Choice {
    pub(super) held: Vec<Holding>,
    pub(super) unmet: Option<Refusal>,
    /// A further refusal, behind the one that is told of. What helps against it is waited for all the same.
    pub(super) also: Option<Refusal>,
    /// Whether this is what the service asks for, and not only what it had before.
    pub(super) fulfilled: bool,
}

impl Allocator {
    /// Decides what a service that holds `before` is to hold. `new_pool`: it asks for another pool than when it
    /// got that. Otherwise a pool that was renamed or split around its address moves nothing.
    pub(super) fn choose(&self, request: &Request, before: &[Holding], new_pool: bool) -> Choice {
        let before = &self.with_pools(before.to_vec())[..];
        match self.fulfil(request, before, new_pool) {
            Ok((held, unmet)) => {
                let held = in_order(request, self.with_pools(held));
                let unmet = unmet.or_else(|| elsewhere(request, &held));
                self.tell_first_of_lost(Choice { held, unmet, also: None, fulfilled: true })
            }
            // What is held is kept until something better can be had in its place.
            Err(refusal) => {
                let held = in_order(request, self.keepable(request, before));
                self.tell_first_of_lost(Choice { held, unmet: Some(refusal), also: None, fulfilled: false })
            }
        }
    }

    /// That a held address is in no pool any more is told before anything else.
    fn tell_first_of_lost(&self, choice: Choice) -> Choice {
        match choice.held.iter().find(|holding| self.pool_of(holding.address).is_none()) {
            None => choice,
            Some(Holding { address, pool, .. }) => {
                let lost = Refusal::PoolGone { address: *address, pool: pool.clone() };
                Choice { also: choice.unmet, unmet: Some(lost), ..choice }
            }
        }
    }

    /// Those of the held addresses that the service may go on using.
    fn keepable(&self, request: &Request, before: &[Holding]) -> Vec<Holding> {
        let may_keep = |holding: &&Holding| {
            request.families.wants(Family::of(holding.address))
                && self.shareable(holding.address, request).is_ok()
        };
        before.iter().filter(may_keep).cloned().collect()
    }

    fn fulfil(
        &self,
        request: &Request,
        before: &[Holding],
        new_pool: bool,
    ) -> Result<(Vec<Holding>, Option<Refusal>), Refusal> {
        let stays = |holding: &Holding| !new_pool || is_of_pool_asked(request, holding);
        let mut held = self.requested(request, before, &stays)?;
        let covered =
            |held: &[Holding], family| held.iter().any(|holding| Family::of(holding.address) == family);
        let open: Vec<Family> =
            request.families.wanted().into_iter().filter(|family| !covered(&held, *family)).collect();
        for holding in self.keepable(request, before) {
            let family = Family::of(holding.address);
            if open.contains(&family) && !covered(&held, family) && stays(&holding) {
                held.push(holding);
            }
        }
        let missing: Vec<Family> = open.into_iter().filter(|family| !covered(&held, *family)).collect();
        let found = match missing[..] {
            [] => Ok(Vec::new()),
            [first, second] => self.take_both(request, first, second),
            [family, ..] => {
                self.take_one(request, family, &held, !before.is_empty()).map(|holding| vec![holding])
            }
        };
        let prefers_both = matches!(request.families, Families::Prefer { .. });
        match found {
            Ok(found) => held.extend(found),
            Err(refusal) if held.is_empty() || !prefers_both => return Err(refusal),
            // Said below, in the words that will be true as long as the first address is held.
            Err(_) => {}
        }
        let got_both = covered(&held, Family::V4) && covered(&held, Family::V6);
        let unmet = if prefers_both && !got_both {
            let family = if covered(&held, Family::V4) { Family::V6 } else { Family::V4 };
            self.take_one(request, family, &held, true).err()
        } else {
            None
        };
        Ok((held, unmet))
    }

    /// The addresses that the service asks for by name.
    fn requested(
        &self,
        request: &Request,
        before: &[Holding],
        stays: &impl Fn(&Holding) -> bool,
    ) -> Result<Vec<Holding>, Refusal> {
        let mut held: Vec<Holding> = Vec::new();
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
                held.push(holding.clone());
                continue;
            }
            let pool = self.pool_of(address).ok_or(Refusal::OutsidePools { address })?;
            match &request.pool {
                Some(asked) if **asked != *pool => {
                    return Err(Refusal::OtherPool { address, pool, asked: asked.clone() });
                }
                _ if !self.admits(&pool, request) => return Err(Refusal::NotAdmitted { pool }),
                _ => self.shareable(address, request)?,
            }
            held.push(Holding { address, pool, grant: Grant::Requested });
        }
        Ok(held)
    }

    /// Both families: from one pool if one has both, else each from the first pool that has it.
    fn take_both(&self, request: &Request, first: Family, second: Family) -> Result<Vec<Holding>, Refusal> {
        for pool in self.meant(request)?.iter().filter(|pool| self.barred(pool, request).is_none()) {
            if let (Some(first), Some(second)) =
                (self.take_from(pool, first, request), self.take_from(pool, second, request))
            {
                return Ok(vec![first, second]);
            }
        }
        match (self.take_one(request, first, &[], false), self.take_one(request, second, &[], false)) {
            (Ok(first), Ok(second)) => Ok(vec![first, second]),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) if matches!(request.families, Families::Prefer { .. }) => {
                Ok(vec![one])
            }
            (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
        }
    }

    /// One address of `family`, from the pool of what is `held` if it can be.
    fn take_one(
        &self,
        request: &Request,
        family: Family,
        held: &[Holding],
        served: bool,
    ) -> Result<Holding, Refusal> {
        let is_home = |pool: &Arc<str>| held.iter().any(|holding| holding.pool == *pool);
        // A service that is served already does not grow into a second pool by itself.
        let only_home = served
            && !held.is_empty()
            && request.pool.is_none()
            && matches!(request.families, Families::Prefer { .. });
        let pools = self.meant(request)?;
        let (home, others) =
            (pools.iter().filter(|pool| is_home(pool)), pools.iter().filter(|pool| !is_home(pool)));
        let mut tried = Vec::new();
        for pool in home.chain(others) {
            let verdict = if let Some(verdict) = self.barred(pool, request) {
                verdict
            } else if only_home && !is_home(pool) {
                Verdict::NotTheFirstPool
            } else if let Some(holding) = self.take_from(pool, family, request) {
                return Ok(holding);
            } else {
                match self.pools[pool].space.counters(family).total {
                    0 => Verdict::NoSuchFamily,
                    total => Verdict::Full { total },
                }
            };
            tried.push(PoolVerdict { pool: pool.clone(), verdict });
        }
        Err(Refusal::NoneFree { family, tried })
    }

    fn take_from(&self, pool: &Arc<str>, family: Family, request: &Request) -> Option<Holding> {
        let holding = |(address, grant)| Holding { address, pool: pool.clone(), grant };
        let shared = || self.lowest_shared(pool, family, request).map(|address| (address, Grant::Shared));
        let free = || self.pools[pool].space.lowest(family).map(|address: IpAddr| (address, Grant::Lowest));
        shared().or_else(free).map(holding)
    }

    /// The pools the service can mean, in order.
    fn meant(&self, request: &Request) -> Result<&[Arc<str>], Refusal> {
        if self.pools.is_empty() {
            return Err(Refusal::NoPools);
        }
        let Some(asked) = &request.pool else { return Ok(&self.order) };
        let Some((pool, _)) = self.pools.get_key_value(asked.as_str()) else {
            let pools = self.pools.keys().cloned().collect();
            return Err(Refusal::UnknownPool { pool: asked.clone(), pools });
        };
        if self.admits(pool, request) {
            Ok(slice::from_ref(pool))
        } else {
            Err(Refusal::NotAdmitted { pool: pool.clone() })
        }
    }

    /// Why the service may not take from a pool that it can mean, if so.
    fn barred(&self, pool: &Arc<str>, request: &Request) -> Option<Verdict> {
        if request.pool.is_none() && !self.pools[pool].spec.auto_assign {
            Some(Verdict::OnRequestOnly)
        } else if self.admits(pool, request) {
            None
        } else {
            Some(Verdict::NotAdmitted)
        }
    }

    fn admits(&self, pool: &Arc<str>, request: &Request) -> bool {
        static NONE: Labels = Labels::new();
        let namespace = self.namespaces.get(request.key.namespace()).unwrap_or(&NONE);
        self.pools[pool].spec.allocation.admits(request, namespace)
    }

    /// The holdings under the name of the pool that has them now: pools are renamed and split.
    pub(super) fn with_pools(&self, mut held: Vec<Holding>) -> Vec<Holding> {
        for holding in &mut held {
            if let Some(pool) = self.pool_of(holding.address) {
                holding.pool = pool;
            }
        }
        held
    }
}

fn is_of_pool_asked(request: &Request, holding: &Holding) -> bool {
    request.pool.as_ref().is_none_or(|asked| **asked == *holding.pool)
}

/// That a held address is in another pool now than the service asks for.
fn elsewhere(request: &Request, held: &[Holding]) -> Option<Refusal> {
    let asked = request.pool.clone()?;
    let Holding { address, pool, .. } = held.iter().find(|holding| !is_of_pool_asked(request, holding))?;
    Some(Refusal::OtherPool { address: *address, pool: pool.clone(), asked })
}

/// The order in which addresses are listed: as asked for, the others behind, the primary family first.
fn in_order(request: &Request, mut held: Vec<Holding>) -> Vec<Holding> {
    held.sort_by_key(|Holding { address, .. }| {
        let asked = request.addresses.iter().position(|asked| asked == address);
        (asked.unwrap_or(usize::MAX), Family::of(*address) != request.families.primary())
    });
    held
}
