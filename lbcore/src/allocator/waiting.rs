//! Services that wait, by what could help them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use super::Allocator;
use crate::request::Turn;
use crate::{Families, Family, PoolVerdict, Refusal, Request, ServiceKey, Sharing, Verdict};

/// Something that can change so that a waiting service may be helped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    /// The set of pools changes. Everybody wishes for that.
    Pools,
    /// The labels of a namespace change.
    Namespace(Arc<str>),
    /// An address of this pool comes free.
    Pool(Arc<str>, Family),
    /// This address comes free, or can be shared.
    Address(IpAddr),
    /// An address is used under this key, or a port comes free on one.
    Sharing(Sharing),
}

/// The queue of those that wait, and the wishes that came true since it was last worked off.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting {
    wishes: BTreeMap<Turn, Vec<Wish>>,
    by_wish: BTreeMap<Wish, BTreeSet<Turn>>,
    /// Wishes that came true, each with the turn that was looked at last.
    alarms: BTreeMap<Wish, Option<Turn>>,
}

impl Waiting {
    /// Adds the service of `request`, refused for these reasons; without any it does not wait.
    pub(super) fn insert<'a>(&mut self, request: &Request, refusals: impl Iterator<Item = &'a Refusal>) {
        let mut wishes: Vec<Wish> = refusals.flat_map(|refusal| helped_by(request, refusal)).collect();
        if wishes.is_empty() {
            return;
        }
        wishes.sort();
        wishes.dedup();
        let turn = request.turn();
        for wish in &wishes {
            self.by_wish.entry(wish.clone()).or_default().insert(turn.clone());
        }
        self.wishes.insert(turn, wishes);
    }

    /// Removes a service, if it waits.
    pub(super) fn remove(&mut self, turn: &Turn) {
        for wish in self.wishes.remove(turn).unwrap_or_default() {
            if let Some(turns) = self.by_wish.get_mut(&wish) {
                turns.remove(turn);
                if turns.is_empty() {
                    self.by_wish.remove(&wish);
                }
            }
        }
    }

    pub(super) fn wake_pools(&mut self) {
        self.alarms.insert(Wish::Pools, None);
    }

    pub(super) fn wake_namespace(&mut self, name: &str) {
        self.alarm(Wish::Namespace(name.into()));
    }

    pub(super) fn wake_pool(&mut self, pool: &Arc<str>, family: Family) {
        self.alarm(Wish::Pool(pool.clone(), family));
    }

    pub(super) fn wake_address(&mut self, address: IpAddr) {
        self.alarm(Wish::Address(address));
    }

    pub(super) fn wake_sharing(&mut self, sharing: &Sharing) {
        self.alarm(Wish::Sharing(sharing.clone()));
    }

    fn alarm(&mut self, wish: Wish) {
        if self.by_wish.contains_key(&wish) {
            self.alarms.insert(wish, None);
        }
    }

    /// The next to look at for this wish, behind the one that was looked at last.
    fn next(&self, wish: &Wish, last: Option<&Turn>) -> Option<&Turn> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_wish.get(wish)?.range((from, Bound::Unbounded)).next()
    }
}

/// What could help against `refusal`.
fn helped_by(request: &Request, refusal: &Refusal) -> Vec<Wish> {
    let mut wishes = vec![Wish::Pools];
    let namespace = || Wish::Namespace(request.key.namespace().into());
    let sharing = || request.sharing.clone().map(Wish::Sharing);
    match refusal {
        Refusal::NoneFree { family, tried } => {
            for PoolVerdict { pool, verdict } in tried {
                match verdict {
                    Verdict::Full { .. } => wishes.push(Wish::Pool(pool.clone(), *family)),
                    Verdict::NotAdmitted => wishes.push(namespace()),
                    Verdict::OnRequestOnly | Verdict::NoSuchFamily | Verdict::NotTheFirstPool => {}
                }
                // The refusal names one family; a service that prefers both is helped by either.
                if matches!(request.families, Families::Prefer { .. }) {
                    wishes.push(Wish::Pool(pool.clone(), family.other()));
                }
            }
            wishes.extend(sharing());
        }
        Refusal::NotAdmitted { .. } => wishes.push(namespace()),
        Refusal::Taken { address, .. } => {
            wishes.push(Wish::Address(*address));
            wishes.extend(sharing());
        }
        Refusal::NoPools
        | Refusal::UnknownPool { .. }
        | Refusal::OutsidePools { .. }
        | Refusal::OtherPool { .. }
        | Refusal::FamilyNotWanted { .. }
        | Refusal::PoolGone { .. } => {}
    }
    wishes
}

impl Allocator {
    /// The oldest service that one of the alarms could help; alarms that can help nobody more are dropped.
    pub(super) fn next_woken(&mut self) -> Option<ServiceKey> {
        let (pools, waiting) = (&self.pools, &mut self.waiting);
        let alarms = std::mem::take(&mut waiting.alarms);
        let mut next: Option<Turn> = None;
        for (wish, last) in alarms {
            // An address that came free may be gone again to an earlier one: then nobody else need look.
            let spent = match &wish {
                Wish::Pool(pool, family) => {
                    pools.get(pool).is_none_or(|pool| pool.space.lowest(*family).is_none())
                }
                _ => false,
            };
            let Some(turn) = waiting.next(&wish, last.as_ref()).filter(|_| !spent) else { continue };
            if next.as_ref().is_none_or(|next| turn < next) {
                next = Some(turn.clone());
            }
            waiting.alarms.insert(wish, last);
        }
        let turn = next?;
        let due =
            waiting.alarms.iter().filter(|(wish, last)| waiting.next(wish, last.as_ref()) == Some(&turn));
        let due: Vec<Wish> = due.map(|(wish, _)| wish.clone()).collect();
        for wish in due {
            waiting.alarms.insert(wish, Some(turn.clone()));
        }
        Some(turn.1)
    }
}
