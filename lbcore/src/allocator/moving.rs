//! Addresses that move while services run: another controller gave one, or one cannot be used.

use std::net::IpAddr;

use super::held::{Held, Holdings};
use super::services::{Entry, ServiceId};
use super::{Allocator, Claim, Decision};
use crate::reason::Avoided;
use crate::{Family, ServiceKey};

impl Allocator {
    /// Takes over what a service shows although it was not given here: somebody else wrote it into the status, as a
    /// second controller does. What it shows becomes what it holds, as far as it may hold it.
    ///
    /// Of two services that show one address and may not share it, the older keeps it; `shows` says who shows what.
    /// An address that its holder does not show yet is left to the one that does. Returns the decision for the
    /// service, then those for the services that lost an address to it.
    pub fn claim(
        &mut self,
        claim: Claim,
        shows: impl Fn(&ServiceKey, IpAddr) -> bool,
    ) -> (Decision, Vec<Decision>) {
        let mut lost = Vec::new();
        for &address in &claim.addresses {
            lost.extend(self.evict(&claim, address, &shows));
        }
        let (mut held, more) = self.claimed(&claim);
        held.extend(more);
        held.retain(|it| !matches!(self.avoided.get(&it.address), Some(Avoided::Station { .. })));
        let hash = self.services.hash(&claim.request.key);
        let id = self.services.find(hash, &claim.request.key);
        let id = id.unwrap_or_else(|| self.services.insert(hash, Entry::new(claim.request.clone())));
        let before = self.services.get(id).held.clone();
        let covered = |family| held.iter().any(|it: &Held| Family::of(it.address) == family);
        let rest = before.as_slice().iter().filter(|it| !covered(Family::of(it.address))).copied();
        let together: Vec<Held> = held.iter().copied().chain(rest).collect();
        self.hold(id, &together.into());
        let mut decision = self.decide_known(id, claim.request);
        decision.changed |= self.services.get(id).held != before;
        let again = |id: ServiceId| (id, self.services.get(id).request.clone());
        let lost: Vec<_> = lost.into_iter().map(again).collect();
        let lost = lost.into_iter().map(|(id, request)| self.decide_known(id, request)).collect();
        (decision, lost)
    }

    /// Takes an address from those that use it, if all in the way are younger than the claim or do not show it.
    fn evict(
        &mut self,
        claim: &Claim,
        address: IpAddr,
        shows: impl Fn(&ServiceKey, IpAddr) -> bool,
    ) -> Vec<ServiceId> {
        if self.shareable(address, &claim.request).is_ok() {
            return Vec::new();
        }
        let users =
            self.users.of(address).filter(|id| self.services.get(*id).request.key != claim.request.key);
        let users: Vec<ServiceId> = users.collect();
        let stays = |id: &ServiceId| {
            let theirs = &self.services.get(*id).request;
            theirs.turn() < claim.request.turn() && shows(&theirs.key, address)
        };
        if users.iter().any(stays) {
            return Vec::new();
        }
        for id in &users {
            let without = self.without(*id, address);
            self.hold(*id, &without);
        }
        users
    }

    /// Gives a service another address in place of one that it cannot use, if it has not asked for that one by name
    /// and there is another; otherwise it stays as it is.
    pub fn leave(&mut self, key: &ServiceKey, address: IpAddr) -> Option<Decision> {
        let id = self.services.id(key)?;
        let entry = self.services.get(id);
        let request = entry.request.clone();
        if request.addresses.contains(&address)
            || !entry.held.as_slice().iter().any(|it| it.address == address)
        {
            return None;
        }
        let (before, without) = (entry.held.clone(), self.without(id, address));
        let choice = self.choose(&request, without.as_slice(), false);
        if choice.held.len() < before.as_slice().len() {
            return None;
        }
        self.hold(id, &without);
        let mut decision = self.decide_known(id, request);
        decision.changed = true;
        Some(decision)
    }

    fn without(&self, id: ServiceId, address: IpAddr) -> Holdings {
        let held = self.services.get(id).held.as_slice().iter().filter(|it| it.address != address);
        held.copied().collect::<Vec<Held>>().into()
    }
}
