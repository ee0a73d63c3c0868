//! What is to be done about one address: announce it, withdraw it, and tell of it.

use std::net::IpAddr;

use lbcore::{Node, Ownership};

use super::{Effect, Owned, Speaker};
use crate::ObjectRef;

impl Speaker {
    pub(super) fn settle(&mut self, address: IpAddr) -> Vec<Effect> {
        let ownership = self.ownership(address);
        let apart = ownership.as_ref().and_then(|ownership| ownership.apart);
        // Who has answered for an address has asked before whether it was free.
        let was_claimed = self.team.as_ref().is_some_and(|team| team.claims.was_claimed(address));
        let decided = self.decide(address, ownership.as_ref());
        self.note_owner(address);
        let (wanted, why) = decided.map_or((None, None), |(interfaces, why)| (Some(interfaces), why));
        let mut effects = self.tell_of_nobody(address, ownership.as_ref());
        // As long as nobody can answer for it, it has had no owner yet.
        let is_settled = ownership.as_ref().is_none_or(|ownership| ownership.owner().is_some());
        let is_taken =
            self.taken.iter().any(|(node, addresses)| self.is_heard(node) && addresses.contains(&address));
        let is_given = is_settled && self.given.remove(&address);
        let is_new = is_taken || (is_given && !was_claimed);
        let before = self.owned.remove(&address);
        let told = before.iter().flat_map(|owned| &owned.told);
        let users = self.users.of(&address).to_vec();
        if before.is_some() || wanted.is_some() {
            self.changed.extend(told.chain(&users).cloned());
        }
        let Some(interfaces) = wanted else {
            let why = || self.reason_to_withdraw(ownership.as_ref());
            let overlap = before.as_ref().and_then(|_| self.overlapped(address));
            effects.extend(before.map(|_| Effect::Withdraw { address, why: why() }));
            if let Some((node, apart)) = overlap {
                let about = |service: &ObjectRef| Effect::Overlap {
                    service: service.clone(),
                    address,
                    node: node.clone(),
                    apart,
                };
                effects.extend(self.users(address).map(about));
            }
            return effects;
        };
        let (known, told) = before.map_or((None, Vec::new()), |owned| (Some(owned.interfaces), owned.told));
        if known.as_ref() != Some(&interfaces) {
            effects.push(Effect::Announce { address, interfaces: interfaces.clone(), is_new });
        }
        // Who shares an address from now on is told as well who announces it.
        let joined = users.iter().filter(|key| !told.contains(key)).filter_map(|key| self.services.get(key));
        effects.extend(joined.map(|view| Effect::Owner {
            service: view.object.clone(),
            address,
            apart,
            why: why.clone(),
        }));
        self.owned.insert(address, Owned { interfaces, told: users });
        effects
    }

    /// Says once why nobody answers for an address; again when the reason changes.
    fn tell_of_nobody(&mut self, address: IpAddr, ownership: Option<&Ownership>) -> Vec<Effect> {
        let nobody = ownership.and_then(|ownership| ownership.nobody.clone());
        let before = match &nobody {
            Some(why) => self.orphans.insert(address, why.clone()),
            None => self.orphans.remove(&address),
        };
        // All nodes see the same: the first by name that has a speaker tells. Without any there is nobody else to do it.
        let tells = |node: &&Node| node.interfaces.is_some() && !node.silent;
        let first = self.nodes.iter().find(tells).or(self.nodes.first());
        let tells = first.is_none_or(|node| node.name == self.node);
        match nobody {
            Some(why) if tells && before.as_ref() != Some(&why) => {
                let about = |service: &ObjectRef| Effect::Nobody {
                    service: service.clone(),
                    address,
                    why: why.to_string(),
                };
                self.users(address).map(about).collect()
            }
            _ => Vec::new(),
        }
    }

    fn reason_to_withdraw(&self, ownership: Option<&Ownership>) -> String {
        if self.is_held_back() {
            return "MetalLB's speakers run".to_owned();
        }
        let Some(ownership) = ownership else { return "no Service has it any more".to_owned() };
        if let Some(nobody) = &ownership.nobody {
            return nobody.to_string();
        }
        let own = ownership.passed_over.iter().find(|(node, _)| *node == self.node);
        let own = own.map(|(_, why)| format!("this node {why}"));
        let claimed = self.team.as_ref().and_then(|team| team.claims.owner(ownership.address));
        let other = claimed.or(ownership.owner().map(|owner| owner.node.as_str()));
        let other = || other.map(|node| format!("node {node} answers now"));
        own.or_else(other).unwrap_or_default()
    }
}
