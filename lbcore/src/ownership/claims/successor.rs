//! Who takes an address over.

use std::net::IpAddr;
use std::time::Duration;

use super::{Claims, Expected, Failback};
use crate::ownership::{Candidate, Ownership};

impl Claims {
    /// Who takes over: the first in the order of rendezvous that has not got too many already.
    pub(super) fn successor(
        &mut self,
        address: IpAddr,
        holder: Option<&str>,
        ownership: &Ownership,
        beside: &[IpAddr],
        now: Duration,
    ) -> String {
        if let Some(expected) = self.expected.get_mut(&address)
            && now >= expected.since + expected.patience()
        {
            expected.late.insert(expected.node.clone());
        }
        let offered = holder.and_then(|holder| self.offered(address, holder, ownership, now));
        let late = |node: &str| self.expected.get(&address).is_some_and(|it| it.late.contains(node));
        let prompt: Vec<&Candidate> = ownership.candidates.iter().filter(|it| !late(&it.node)).collect();
        let nobody = prompt.is_empty();
        // If nobody took it, all have another chance.
        let left = if nobody { ownership.candidates.iter().collect() } else { prompt };
        // The best of those that are left; they come in the order of their standing.
        let best = left.first().map(|it| it.standing);
        let among: Vec<&Candidate> = left.into_iter().filter(|it| Some(it.standing) == best).collect();
        if nobody {
            self.expected.remove(&address);
        }
        // Whoever answers stays, if those that are better did not take it.
        let some_late = self.expected.get(&address).is_some_and(|it| !it.late.is_empty());
        let stays = holder.filter(|holder| some_late && among.iter().any(|it| it.node == **holder));
        let with_others = beside.iter().filter_map(|other| self.owner.get(other));
        let together =
            with_others.into_iter().find(|node| among.iter().any(|candidate| candidate.node == **node));
        let node = match stays.map(str::to_owned).as_ref().or(together) {
            _ if offered.is_some() => offered.unwrap_or_default(),
            Some(node) if stays.is_some() || self.failback != Failback::Always => node.clone(),
            _ => self.least_laden(address, &among).to_owned(),
        };
        let known = self.expected.get(&address).is_some_and(|expected| expected.node == node);
        if !known {
            let late = self.expected.remove(&address).map(|expected| expected.late).unwrap_or_default();
            self.expected.insert(address, Expected { node: node.clone(), since: now, late });
        }
        node
    }

    /// Rendezvous with bounded load: nobody gets more than a quarter above the mean, as long as others have less.
    fn least_laden<'a>(&self, address: IpAddr, among: &[&'a Candidate]) -> &'a str {
        let first = among.first().map(|candidate| candidate.node.as_str()).unwrap_or_default();
        if self.failback == Failback::Always {
            return first;
        }
        let load = |node: &str| {
            let own = usize::from(self.owner.get(&address).is_some_and(|owner| owner == node));
            self.load.get(node).copied().unwrap_or_default() - own
        };
        let total: usize = among.iter().map(|candidate| load(&candidate.node)).sum();
        let most = ((total + 1) * 5).div_ceil(among.len().max(1) * 4);
        let fits = among.iter().find(|candidate| load(&candidate.node) < most);
        fits.map_or(first, |candidate| candidate.node.as_str())
    }
}
