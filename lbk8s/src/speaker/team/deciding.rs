//! What this speaker makes of claims: for which addresses it answers, and who does for the others.

use std::net::IpAddr;
use std::time::Duration;

use lbcore::ownership::claims::{Cause, Verdict};
use lbcore::{Interfaces, Ownership};

use super::Speaker;

impl Speaker {
    /// Where this node answers for an address, if it does, and why that is so since now.
    pub(in crate::speaker) fn decide(
        &mut self,
        address: IpAddr,
        ownership: Option<&Ownership>,
    ) -> Option<(Interfaces, Option<Cause>)> {
        let held_back = self.is_held_back();
        let own = |ownership: &Ownership| {
            let mine = ownership.candidates.iter().find(|candidate| candidate.node == self.node);
            mine.map(|candidate| candidate.interfaces.clone())
        };
        let Some(team) = &mut self.team else {
            let owner = ownership.and_then(Ownership::owner).filter(|owner| owner.node == self.node);
            return owner.filter(|_| !held_back).map(|owner| (owner.interfaces.clone(), None));
        };
        let Some(ownership) = ownership.filter(|_| !held_back) else {
            team.claims.forget(address);
            team.causes.remove(&address);
            return None;
        };
        let beside: Vec<IpAddr> =
            if ownership.apart.is_some() { vec![] } else { self.beside(address).into_iter().collect() };
        let mine = own(ownership);
        let team = self.team.as_mut()?;
        match team.claims.settle(address, ownership, &beside, team.now) {
            Verdict::Ours { taken } => {
                if let Some(Cause::First | Cause::Rebalanced { .. }) = &taken {
                    team.young.insert(address, team.now);
                }
                if let (Some(cause), Some((_, epoch))) = (&taken, team.claims.holder(address)) {
                    team.causes.insert(address, (epoch, cause.clone()));
                }
                // Until another node takes it, it is answered where it was.
                let interfaces = mine.or_else(|| self.owned.get(&address).map(|it| it.interfaces.clone()))?;
                Some((interfaces, taken))
            }
            Verdict::Theirs { .. } | Verdict::Nobody => {
                team.young.remove(&address);
                None
            }
        }
    }

    /// Who answers for an address is as it is now: takes note of it, if that is news.
    pub(in crate::speaker) fn note_owner(&mut self, address: IpAddr) {
        let is_used = !self.users.of(&address).is_empty();
        let Some(team) = &mut self.team else { return };
        let holder = team.claims.holder(address).map(|(node, epoch)| (node.to_owned(), epoch));
        let why = holder.as_ref().and_then(|(_, epoch)| {
            team.causes.get(&address).filter(|(of, _)| of == epoch).map(|(_, cause)| cause.clone())
        });
        team.history.note(address, holder, why, team.now);
        if !is_used {
            team.history.forget(address);
        }
    }

    /// Another node, which this one had not heard for a while, claims an address that this one answered for until now: for
    /// how long they did not hear each other.
    pub(in crate::speaker) fn overlapped(&self, address: IpAddr) -> Option<(String, Duration)> {
        let team = self.team.as_ref()?;
        let (node, _) = team.claims.holder(address)?;
        let (since, until) = team.apart.get(node)?;
        let is_over = until.is_some_and(|until| until < team.now);
        (!is_over).then(|| (node.to_owned(), team.now.saturating_sub(*since)))
    }
}
