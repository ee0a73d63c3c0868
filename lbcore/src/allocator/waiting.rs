//! Services that wait, by what could help them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use super::Allocator;
use super::in_force::{PoolId, Pools};
use crate::request::Turn;
use crate::{Families, Family, PoolVerdict, Refusal, Request, ServiceKey, Sharing, Verdict};

/// Something that can change so that a waiting service may be helped. That the set of pools changes helps
/// everybody, so nobody wishes for it by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    /// An address of this pool comes free.
    Pool(PoolId, Family),
    /// An address of this pool comes free that is kept for some services.
    Reserved(PoolId, Family),
    /// This address comes free, or can be shared.
    Address(IpAddr),
    /// The labels of a namespace change.
    Namespace(Arc<str>),
    /// An address is used under this key, or a port comes free on one.
    Sharing(Sharing),
}

/// How far those that wait have been looked at because the pools changed.
#[derive(Debug, Clone, Default)]
enum Alarm {
    #[default]
    Silent,
    Fresh,
    Behind(Turn),
}

/// The queue of those that wait, and the wishes that came true since it was last worked off.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting {
    wishes: BTreeMap<Turn, Vec<Wish>>,
    by_wish: BTreeMap<Wish, BTreeSet<Turn>>,
    /// Wishes that came true, each with the turn that was looked at last.
    alarms: BTreeMap<Wish, Option<Turn>>,
    /// The same for everybody: the pools have changed.
    all: Alarm,
}

impl Waiting {
    /// Adds the service of `request`, which is refused something, with what could help it.
    fn insert(&mut self, request: &Request, mut wishes: Vec<Wish>) {
        if wishes.len() > 1 {
            wishes.sort_unstable();
            wishes.dedup();
        }
        let turn = request.turn();
        for wish in &wishes {
            match self.by_wish.get_mut(wish) {
                Some(turns) => drop(turns.insert(turn.clone())),
                None => drop(self.by_wish.insert(wish.clone(), BTreeSet::from([turn.clone()]))),
            }
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

    pub(super) fn wake_all(&mut self) {
        self.all = Alarm::Fresh;
    }

    pub(super) fn wake_namespace(&mut self, name: &str) {
        self.alarm(|| Wish::Namespace(name.into()));
    }

    pub(super) fn wake_pool(&mut self, pool: PoolId, family: Family) {
        self.alarm(|| Wish::Pool(pool, family));
    }

    pub(super) fn wake_reserved(&mut self, pool: PoolId, family: Family) {
        self.alarm(|| Wish::Reserved(pool, family));
    }

    pub(super) fn wake_address(&mut self, address: IpAddr) {
        self.alarm(|| Wish::Address(address));
    }

    pub(super) fn wake_sharing(&mut self, sharing: &Sharing) {
        self.alarm(|| Wish::Sharing(sharing.clone()));
    }

    fn alarm(&mut self, wish: impl FnOnce() -> Wish) {
        if self.by_wish.is_empty() {
            return;
        }
        let wish = wish();
        if self.by_wish.contains_key(&wish) {
            self.alarms.insert(wish, None);
        }
    }

    /// The next to look at for this wish, behind the one that was looked at last.
    fn next(&self, wish: &Wish, last: Option<&Turn>) -> Option<&Turn> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_wish.get(wish)?.range((from, Bound::Unbounded)).next()
    }

    /// The next to look at because the pools changed.
    fn next_of_all(&self) -> Option<&Turn> {
        let from = match &self.all {
            Alarm::Silent => return None,
            Alarm::Fresh => Bound::Unbounded,
            Alarm::Behind(last) => Bound::Excluded(last),
        };
        self.wishes.range((from, Bound::Unbounded)).next().map(|(turn, _)| turn)
    }
}

/// Adds what could help against `refusal` to `wishes`.
fn helped_by(request: &Request, refusal: &Refusal, pools: &Pools, wishes: &mut Vec<Wish>) {
    let namespace = || Wish::Namespace(request.key.namespace().into());
    let sharing = || request.sharing.clone().map(Wish::Sharing);
    match refusal {
        Refusal::NoneFree { family, tried } => {
            // The refusal names one family; a service that prefers both is helped by either.
            let both = matches!(request.families, Families::Prefer { .. });
            for PoolVerdict { pool, verdict } in tried {
                let Some(id) = pools.id(pool) else { continue };
                match verdict {
                    Verdict::Full { .. } => wishes.push(Wish::Pool(id, *family)),
                    Verdict::NotAdmitted => wishes.push(namespace()),
                    // What it keeps by name it gives without being asked for, once it admits the service.
                    Verdict::OnRequestOnly if pools[id].space.reserves_for(&request.key) => {
                        wishes.push(namespace());
                    }
                    Verdict::OnRequestOnly
                    | Verdict::NoSuchFamily
                    | Verdict::NotTheFirstPool
                    | Verdict::Cordoned => {}
                }
                if both {
                    wishes.push(Wish::Pool(id, family.other()));
                }
                if pools[id].space.reserves_for(&request.key) {
                    wishes.push(Wish::Reserved(id, *family));
                    if both {
                        wishes.push(Wish::Reserved(id, family.other()));
                    }
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
        | Refusal::Excluded { .. }
        | Refusal::Reserved { .. }
        | Refusal::Cordoned { .. }
        | Refusal::NotAlone { .. }
        | Refusal::Kept { .. } => {}
    }
}

impl Allocator {
    /// Puts the service of `request` in the queue if it is refused something.
    pub(super) fn wait<'a>(&mut self, request: &Request, refusals: impl Iterator<Item = &'a Refusal>) {
        let mut refusals = refusals.peekable();
        if refusals.peek().is_none() {
            return;
        }
        let mut wishes = Vec::new();
        for refusal in refusals {
            helped_by(request, refusal, &self.pools, &mut wishes);
        }
        self.waiting.insert(request, wishes);
    }

    /// Tells that an address of a pool came free.
    pub(super) fn wake_for(&mut self, pool: PoolId, address: IpAddr) {
        let family = Family::of(address);
        if self.pools[pool].space.is_kept(address) {
            self.waiting.wake_reserved(pool, family);
        } else {
            self.waiting.wake_pool(pool, family);
        }
    }

    /// The oldest service that one of the alarms could help; alarms that can help nobody more are dropped.
    pub(super) fn next_woken(&mut self) -> Option<ServiceKey> {
        let (pools, waiting) = (&self.pools, &mut self.waiting);
        let alarms = std::mem::take(&mut waiting.alarms);
        let mut next: Option<Turn> = None;
        for (wish, last) in alarms {
            // An address that came free may be gone again to an earlier one: then nobody else need look.
            let spent = match &wish {
                Wish::Pool(pool, family) => {
                    pools.get(*pool).is_none_or(|pool| pool.space.lowest(*family, &[]).is_none())
                }
                _ => false,
            };
            let Some(turn) = waiting.next(&wish, last.as_ref()).filter(|_| !spent) else { continue };
            if next.as_ref().is_none_or(|next| turn < next) {
                next = Some(turn.clone());
            }
            waiting.alarms.insert(wish, last);
        }
        match waiting.next_of_all() {
            Some(turn) if next.as_ref().is_none_or(|next| turn < next) => next = Some(turn.clone()),
            Some(_) => {}
            None => waiting.all = Alarm::Silent,
        }
        let turn = next?;
        let due =
            waiting.alarms.iter().filter(|(wish, last)| waiting.next(wish, last.as_ref()) == Some(&turn));
        let due: Vec<Wish> = due.map(|(wish, _)| wish.clone()).collect();
        for wish in due {
            waiting.alarms.insert(wish, Some(turn.clone()));
        }
        if waiting.next_of_all() == Some(&turn) {
            waiting.all = Alarm::Behind(turn.clone());
        }
        Some(turn.1)
    }
}
