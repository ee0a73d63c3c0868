//! An even spread: for those that start together, and when somebody asks for it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use lbcore::ownership::claims::Offers;
use lbcore::ownership::claims::rebalance::{Group, even_out};

use super::Speaker;

/// What a node was the first to claim, and not longer ago, it gives away to others that start after it, so that all have
/// their share. After that only who asks for it moves anything.
const YOUNG: Duration = Duration::from_mins(1);

/// Groups that are moved at a time: it is worked out between two other things that this speaker does.
const AT_ONCE: usize = 300;
/// The rest is looked at again after these have moved.
const AGAIN: Duration = Duration::from_secs(1);

impl Speaker {
    /// Others that have come since get their share of what this speaker was the first to claim a moment ago.
    pub(super) fn share(&mut self) -> BTreeSet<IpAddr> {
        let Some(team) = &mut self.team else { return BTreeSet::new() };
        let now = team.now;
        team.young.retain(|_, since| now < *since + YOUNG);
        if team.young.is_empty() {
            return BTreeSet::new();
        }
        let mut offers = self.even_out();
        let is_all = offers.len() < AT_ONCE;
        let Some(team) = &mut self.team else { return BTreeSet::new() };
        offers.retain(|address, _| team.young.contains_key(address));
        team.sharing = (!is_all && !offers.is_empty()).then(|| now + AGAIN);
        team.claims.offer(offers)
    }

    /// Evens out who has how many addresses: this speaker gives away what it has too many of.
    pub(in crate::speaker) fn set_rebalancing(&mut self) -> BTreeSet<IpAddr> {
        let mut offers = self.even_out();
        let is_all = offers.len() < AT_ONCE;
        let Some(team) = &mut self.team else { return BTreeSet::new() };
        offers.retain(|address, _| self.owned.contains_key(address));
        team.rebalancing = (!is_all && !offers.is_empty()).then(|| team.now + AGAIN);
        team.claims.offer(offers)
    }

    /// Which addresses would have to move so that all have their share, as every speaker works it out.
    fn even_out(&self) -> Offers {
        let mut seen: BTreeSet<IpAddr> = BTreeSet::new();
        let mut groups = Vec::new();
        for address in self.users.keys().copied().collect::<Vec<_>>() {
            if seen.contains(&address) {
                continue;
            }
            let Some(ownership) = self.ownership(address) else { continue };
            let Some(holder) = self.team.as_ref().and_then(|team| team.claims.holder(address)) else {
                continue;
            };
            let beside = if ownership.apart.is_some() { BTreeSet::new() } else { self.beside(address) };
            let addresses: Vec<IpAddr> = beside.into_iter().chain([address]).collect();
            seen.extend(&addresses);
            let best = ownership.candidates.first().map(|best| best.standing);
            let as_good = ownership.candidates.iter().filter(|it| Some(it.standing) == best);
            let candidates: BTreeSet<String> = as_good.map(|it| it.node.clone()).collect();
            if candidates.contains(holder.0) {
                groups.push(Group { addresses, holder: holder.0.to_owned(), candidates });
            }
        }
        even_out(&groups, AT_ONCE)
    }
}
