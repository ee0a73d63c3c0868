//! Giving away what is more than one's share, when somebody asks for it.
//!
//! Among equals an address stays where it is, so after a node has been away the others have what was its own. That is no
//! fault, and nothing moves by itself. When it is asked for, every node works out the same plan from the same claims, and
//! offers of its own what the plan takes from it; the one that it is offered to takes it, as in every planned move.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::{Claims, Failback, Offers, standing_of};
use crate::ownership::{Ownership, rendezvous};

/// Addresses that go together, their holder, and the nodes that are as good as it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The addresses: one, or both families of a Service.
    pub addresses: Vec<IpAddr>,
    /// Who answers for them.
    pub holder: String,
    /// All that could as well, the holder among them.
    pub candidates: BTreeSet<String>,
}

/// Which addresses have to move, and where to, so that nobody has two more than another one who could have them. Nothing
/// moves that need not: each move takes from one that has too many. At most so many groups move; the rest does when it is
/// asked for again.
#[must_use]
pub fn even_out(groups: &[Group], most: usize) -> Offers {
    let mut load: BTreeMap<&str, usize> = BTreeMap::new();
    let mut held: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        for node in &group.candidates {
            load.entry(node).or_default();
        }
        *load.entry(&group.holder).or_default() += group.addresses.len();
        held.entry(&group.holder).or_default().insert(index);
    }
    let mut offers = Offers::new();
    for _ in 0..most {
        let Some((from, index, to)) = next_move(groups, &load, &held) else { break };
        let group = &groups[index];
        offers.extend(group.addresses.iter().map(|address| (*address, to.to_owned())));
        *load.entry(from).or_default() -= group.addresses.len();
        *load.entry(to).or_default() += group.addresses.len();
        // What has moved once stays.
        held.entry(from).or_default().remove(&index);
    }
    offers
}

/// The next one to move: from whoever has most to whoever has least, of all that may be moved between the two that which
/// the order of rendezvous would give to the latter first.
fn next_move<'a>(
    groups: &'a [Group],
    load: &BTreeMap<&'a str, usize>,
    held: &BTreeMap<&'a str, BTreeSet<usize>>,
) -> Option<(&'a str, usize, &'a str)> {
    let mut laden: Vec<(&str, usize)> = load.iter().map(|(node, load)| (*node, *load)).collect();
    laden.sort_by_key(|(node, load)| (std::cmp::Reverse(*load), *node));
    for (from, most) in &laden {
        for (to, least) in laden.iter().rev() {
            let fits = |index: &&usize| {
                let group = &groups[**index];
                least + group.addresses.len() < *most && group.candidates.contains(*to)
            };
            let order = |index: &&usize| {
                let first = groups[**index].addresses.first();
                first.map(|address| (rendezvous(to, *address), *address))
            };
            if let Some(index) = held.get(from).and_then(|held| held.iter().filter(fits).max_by_key(order)) {
                return Some((from, *index, to));
            }
            if least + 1 >= *most {
                break;
            }
        }
    }
    None
}

impl Claims {
    /// This node gives these of its addresses away. They stay its own until those that they are offered to have taken
    /// them.
    pub fn offer(&mut self, offers: Offers) -> BTreeSet<IpAddr> {
        let me = self.me.clone();
        self.set_offers(&me, offers)
    }

    /// A node wants to give these away. Returns the addresses that are to be looked at again.
    pub fn set_offers(&mut self, node: &str, offers: Offers) -> BTreeSet<IpAddr> {
        let before = self.offers.remove(node).unwrap_or_default();
        let changed = before.iter().filter(|(address, to)| offers.get(*address) != Some(to));
        let new = offers.iter().filter(|(address, to)| before.get(*address) != Some(to));
        let touched = changed.chain(new).map(|(address, _)| *address).collect();
        if !offers.is_empty() {
            self.offers.insert(node.to_owned(), offers);
        }
        touched
    }

    /// What this node offers, to be told to all others.
    #[must_use]
    pub fn own_offers(&self) -> Offers {
        self.offers.get(&self.me).cloned().unwrap_or_default()
    }

    pub(super) fn withdraw_offer(&mut self, address: IpAddr) {
        if let Some(own) = self.offers.get_mut(&self.me) {
            own.remove(&address);
            if own.is_empty() {
                self.offers.remove(&self.me);
            }
        }
    }

    /// Whom the holder of an address offers it to, if that one is as good. One that does not take it in time is offered
    /// nothing.
    pub(super) fn offered(
        &mut self,
        address: IpAddr,
        holder: &str,
        ownership: &Ownership,
        now: Duration,
    ) -> Option<String> {
        let to = self.offers.get(holder)?.get(&address)?.clone();
        let best = ownership.candidates.first().map(|best| best.standing);
        let is_as_good = self.failback != Failback::Always
            && to != holder
            && best.is_some()
            && standing_of(ownership, &to) == best;
        let expected = self.expected.get(&address).filter(|expected| expected.node == to);
        let is_late = expected.is_some_and(|expected| now >= expected.since + expected.patience());
        if is_as_good && !is_late {
            return Some(to);
        }
        if holder == self.me {
            self.withdraw_offer(address);
        }
        None
    }
}
