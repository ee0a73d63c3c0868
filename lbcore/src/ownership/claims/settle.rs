//! The decision about one address: who answers stays, or who is next takes over.

use std::net::IpAddr;
use std::time::Duration;

use super::{Cause, Claims, FIRST_WAIT, FREE, Failback, LONGEST_WAIT, PATIENCE, QUIET, Verdict, standing_of};
use crate::ownership::{Ownership, Standing};

impl Claims {
    /// Decides about an address. `ownership` names the candidates among the nodes that live; `beside` are the addresses
    /// of the other family that its Services have, which go with it if they can.
    pub fn settle(
        &mut self,
        address: IpAddr,
        ownership: &Ownership,
        beside: &[IpAddr],
        now: Duration,
    ) -> Verdict {
        self.sleep(address);
        let restored = self.end_restored(address);
        let Some(best) = ownership.candidates.first().map(|best| best.standing) else {
            self.expected.remove(&address);
            self.better.remove(&address);
            self.unfit.remove(&address);
            self.drop_own(address);
            self.set_owner(address, None);
            return Verdict::Nobody;
        };
        let key = beside.iter().copied().chain([address]).min().unwrap_or(address);
        let holder = self.holder_by(address, key).map(|(node, _)| node.to_owned());
        if let Some(holder) = &holder
            && self.may_stay(address, holder, ownership, best, now)
            && !self.is_elsewhere(key, address, holder, ownership, best)
        {
            self.expected.remove(&address);
            self.unfit.remove(&address);
            self.set_owner(address, Some(holder));
            if *holder == self.me {
                return Verdict::Ours { taken: restored.then_some(Cause::Restored) };
            }
            // Two claimed it, and the other one counts.
            self.drop_own(address);
            return Verdict::Theirs { node: holder.clone(), claimed: true };
        }
        let successor = self.successor(address, holder.as_deref(), ownership, beside, now);
        if holder.as_ref() == Some(&successor) {
            // Better ones were given the chance, and did not take it.
            self.expected.remove(&address);
            self.set_owner(address, Some(&successor));
            self.wake_at(address, now + PATIENCE);
            if successor == self.me {
                return Verdict::Ours { taken: restored.then_some(Cause::Restored) };
            }
            self.drop_own(address);
            return Verdict::Theirs { node: successor, claimed: true };
        }
        if successor == self.me {
            return self.take(address, holder.as_deref(), ownership, now);
        }
        let until = self.expected.get(&address).map(|expected| expected.since + expected.patience());
        self.set_owner(address, Some(&successor));
        self.wake_at(address, until.unwrap_or(now + PATIENCE).max(now));
        let is_holder = holder.as_deref() == Some(&*self.me);
        let is_fit = ownership.candidates.iter().any(|candidate| candidate.node == self.me);
        let unfit = (is_holder && !is_fit).then(|| *self.unfit.entry(address).or_insert(now));
        // The one before answers until the next one does; if it must not, then not for long.
        if is_holder && unfit.is_none_or(|since| now < since + PATIENCE) {
            if let Some(since) = unfit {
                self.wake_at(address, since + PATIENCE);
            }
            return Verdict::Ours { taken: None };
        }
        self.unfit.remove(&address);
        self.drop_own(address);
        Verdict::Theirs { node: successor, claimed: false }
    }

    /// Whether this node claimed an address before it was restarted, and nobody else does now.
    fn end_restored(&mut self, address: IpAddr) -> bool {
        if !self.restored.remove(&address) {
            return false;
        }
        let is_alone =
            self.claimed.get(&address).is_some_and(|nodes| nodes.keys().all(|node| *node == self.me));
        if is_alone {
            self.to_tell.insert(address);
        } else {
            self.drop_own(address);
        }
        is_alone
    }

    /// Whether the address that this one belongs to is answered by another node, which could answer for both.
    fn is_elsewhere(
        &self,
        key: IpAddr,
        address: IpAddr,
        holder: &str,
        ownership: &Ownership,
        best: Standing,
    ) -> bool {
        let first = self.holder(key).filter(|_| key != address && self.failback != Failback::Always);
        first.is_some_and(|(first, _)| first != holder && standing_of(ownership, first) == Some(best))
    }

    /// Whether the one who answers stays: it is as good as any.
    fn may_stay(
        &mut self,
        address: IpAddr,
        holder: &str,
        ownership: &Ownership,
        best: Standing,
        now: Duration,
    ) -> bool {
        let Some(standing) = standing_of(ownership, holder) else {
            self.better.remove(&address);
            return false;
        };
        if self.offered(address, holder, ownership, now).is_some() {
            return false;
        }
        let after = match self.failback {
            Failback::Always => return ownership.candidates[0].node == holder,
            Failback::Preferred { after } => after,
        };
        if standing == best {
            self.better.remove(&address);
            return true;
        }
        // Only of the preference it is said that it may wait.
        if (Standing { weight: best.weight, ..standing }) != best {
            self.better.remove(&address);
            return false;
        }
        let preferred = &ownership.candidates[0].node;
        let since = match self.better.get(&address) {
            Some((node, since)) if standing_of(ownership, node) == Some(best) => *since,
            _ => {
                self.better.insert(address, (preferred.clone(), now));
                now
            }
        };
        if now < since + after {
            self.wake_at(address, since + after);
            return true;
        }
        false
    }

    /// This node takes an address over, unless it has done so too often of late.
    fn take(
        &mut self,
        address: IpAddr,
        holder: Option<&str>,
        ownership: &Ownership,
        now: Duration,
    ) -> Verdict {
        let from = holder.filter(|holder| *holder != self.me);
        // That its speaker ends a node says itself, and all hear the same.
        let is_leaving =
            from.and_then(|from| standing_of(ownership, from)).is_some_and(|standing| !standing.staying);
        if let Some(from) = from.filter(|_| !is_leaving) {
            let (times, last) = self.takes.get(&address).copied().unwrap_or_default();
            let times = if now > last + QUIET { 0 } else { times };
            let wait = match times.checked_sub(FREE) {
                None => Duration::ZERO,
                Some(more) => (FIRST_WAIT * 2_u32.saturating_pow(more)).min(LONGEST_WAIT),
            };
            // Two that see it differently would take it from each other for ever.
            if now < last + wait {
                self.wake_at(address, last + wait);
                self.drop_own(address);
                self.set_owner(address, Some(from));
                return Verdict::Theirs { node: from.to_owned(), claimed: true };
            }
            self.takes.insert(address, (times + 1, now));
        }
        let (epoch, last_by) = self.last.get(&address).cloned().unwrap_or_default();
        let late = self.expected.remove(&address).map(|expected| expected.late).unwrap_or_default();
        let is_offered = from.is_some_and(|from| self.offered(address, from, ownership, now).is_some());
        let cause = match (from, late.into_iter().next_back()) {
            (Some(node), None) if is_offered => Cause::Rebalanced { node: node.to_owned() },
            (_, Some(by)) => Cause::NotTaken { by },
            (Some(node), None) if standing_of(ownership, node).is_some() => {
                Cause::Outranked { node: node.to_owned() }
            }
            (Some(node), None) => Cause::Unfit { node: node.to_owned() },
            (None, None) if last_by.is_empty() || last_by == self.me => Cause::First,
            (None, None) => Cause::Died { node: last_by },
        };
        self.better.remove(&address);
        let me = self.me.clone();
        self.unfit.remove(&address);
        // Whatever somebody makes of it.
        self.claim(address, &me, epoch.saturating_add(1));
        self.to_tell.insert(address);
        self.set_owner(address, Some(&me));
        Verdict::Ours { taken: Some(cause) }
    }
}
