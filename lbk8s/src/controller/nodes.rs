//! What nodes tell of themselves: which addresses no Service is to get.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lbcore::{Avoided, Decision, Grant};

use super::{Controller, Notice};
use crate::objects::facts::{self, NodeFactsFields, Taken};

impl Controller {
    pub(super) fn on_node(&mut self, name: String, addresses: Option<BTreeMap<IpAddr, Avoided>>) {
        // Nodes report every few seconds that they are there; nearly always that is all.
        if self.nodes.get(&name) == addresses.as_ref() {
            return;
        }
        match addresses {
            Some(addresses) => self.nodes.insert(name, addresses),
            None => self.nodes.remove(&name),
        };
        if self.synced {
            self.set_avoided();
        }
    }

    pub(super) fn on_facts(&mut self, name: String, facts: Option<Box<NodeFactsFields>>) {
        let told = facts.as_ref().map(|facts| facts.taken.clone()).unwrap_or_default();
        let before = match facts {
            Some(facts) if self.facts.get(&name) == Some(&*facts) => return,
            Some(facts) => self.facts.insert(name, *facts),
            None => self.facts.remove(&name),
        };
        if !self.synced {
            return;
        }
        let known: BTreeSet<Taken> = before.into_iter().flat_map(|facts| facts.taken).collect();
        self.set_avoided();
        let avoided = |address: &IpAddr| self.allocator.avoided(*address);
        let taken: Vec<(IpAddr, Avoided)> = told
            .iter()
            .filter(|taken| !known.contains(*taken))
            .filter_map(|taken| taken.address.parse().ok())
            .filter_map(|address| Some((address, avoided(&address)?.clone())))
            .filter(|(_, owner)| matches!(owner, Avoided::Station { .. }))
            .collect();
        for (address, owner) in taken {
            self.strangers.heard(address, owner.clone(), self.now);
            self.leave(address, &owner);
        }
    }

    /// Services that were given an address just now move on to the next: nobody has ever answered for it.
    fn leave(&mut self, address: IpAddr, owner: &Avoided) {
        for key in self.allocator.users(address) {
            let decision = self.allocator.decision(&key);
            let given = decision.iter().flat_map(Decision::held).find(|held| held.address == address);
            // One that was there when this process started may have been in use for years.
            if given.is_none_or(|given| given.grant == Grant::Adopted) {
                continue;
            }
            if self.allocator.leave(&key, address).is_some() {
                if let Some(view) = self.services.get(&key) {
                    let (service, owner) = (view.object.clone(), owner.clone());
                    self.notices.push(Notice::Moved { service, from: address, owner });
                }
                self.lost.insert(key.clone(), address);
                self.retry(&key);
            }
        }
    }

    /// Tells which addresses belong to nodes, gateways and other stations. What two say of one address, a node's or a
    /// gateway's counts before a station's, and then the first by name.
    pub(super) fn set_avoided(&mut self) {
        let members: BTreeSet<&str> =
            self.facts.values().flat_map(|facts| &facts.interfaces).map(|it| &*it.mac).collect();
        // A node that answers while an address moves is no stranger.
        let is_stranger =
            |whose: &Avoided| !matches!(whose, Avoided::Station { mac, .. } if members.contains(&**mac));
        let told = self
            .facts
            .iter()
            .flat_map(|(node, facts)| facts::avoided(node, facts))
            .filter(|(_, whose)| is_stranger(whose));
        let told = told.chain(self.strangers.all().filter(|(_, whose)| is_stranger(whose)));
        let nodes = self.nodes.values().flatten().map(|(address, whose)| (*address, whose.clone()));
        let mut all: BTreeMap<IpAddr, Avoided> = BTreeMap::new();
        for (address, whose) in told.chain(nodes) {
            match all.get(&address) {
                Some(known) if *known <= whose => {}
                _ => drop(all.insert(address, whose)),
            }
        }
        let decisions = self.allocator.set_avoided(all);
        self.enqueue(&decisions);
    }
}
