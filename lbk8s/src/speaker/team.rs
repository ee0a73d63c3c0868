//! The speakers together: who lives, who claims what, and what that makes of this one.
//!
//! What members tell of themselves are records by key: [`FACTS`], [`READY`], [`LEAVING`], and one for each address they claim.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use lbcore::ownership::Interface;
use lbcore::ownership::claims::{Cause, Claims, Failback, Table, Verdict};
use lbcore::{Interfaces, Ownership};

use super::{Effect, Speaker};
use crate::objects::facts::NodeFactsFields;

/// The record with the interfaces of a node, in the form of its `NodeFacts`.
pub const FACTS: &str = "facts";
/// The record of a speaker that knows the world and answers for what it claims. Without it, it takes nothing over.
pub const READY: &str = "ready";
/// The record of a speaker that is about to end.
pub const LEAVING: &str = "leaving";
const CLAIM: &str = "claim/";

/// What a member tells of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// The addresses that it claims.
    pub claims: Table,
    /// What it is like; nothing if it has not told, or in a way that cannot be read.
    pub facts: Option<NodeFactsFields>,
    /// It knows the world, and answers for what it claims.
    pub ready: bool,
    /// It is about to end.
    pub leaving: bool,
}

impl Told {
    /// Reads the records of a member. What cannot be read is passed over: it may be of a later version.
    #[must_use]
    pub fn read(records: &BTreeMap<String, Vec<u8>>) -> Self {
        let claim = |(key, value): (&String, &Vec<u8>)| {
            let address: IpAddr = key.strip_prefix(CLAIM)?.parse().ok()?;
            Some((address, u64::from_be_bytes(value.as_slice().try_into().ok()?)))
        };
        Self {
            claims: records.iter().filter_map(claim).collect(),
            facts: records.get(FACTS).and_then(|facts| serde_json::from_slice(facts).ok()),
            ready: records.contains_key(READY),
            leaving: records.contains_key(LEAVING),
        }
    }
}

/// The record of a claim, or of one that is given up.
#[must_use]
pub fn claim(address: IpAddr, epoch: Option<u64>) -> (String, Option<Vec<u8>>) {
    (format!("{CLAIM}{address}"), epoch.map(|epoch| epoch.to_be_bytes().to_vec()))
}

/// What a speaker knows of the others.
#[derive(Debug)]
pub(super) struct Team {
    pub(super) claims: Claims,
    alive: BTreeSet<String>,
    ready: BTreeSet<String>,
    leaving: BTreeSet<String>,
    /// Those whose interfaces are known from themselves.
    told: BTreeSet<String>,
    /// Everybody who was expected has been heard: this speaker may claim.
    joined: bool,
    /// It stood still, and does not know yet what others did meanwhile.
    stood_still: bool,
    now: Duration,
}

impl Team {
    pub(super) fn new(me: &str, failback: Failback) -> Self {
        Self {
            claims: Claims::new(me, failback),
            alive: BTreeSet::new(),
            ready: BTreeSet::new(),
            leaving: BTreeSet::new(),
            told: BTreeSet::new(),
            joined: false,
            stood_still: false,
            now: Duration::ZERO,
        }
    }
}

impl Speaker {
    /// What this speaker's claims were changed to since the last call, for the others to know.
    pub fn claims_to_tell(&mut self) -> Vec<(IpAddr, Option<u64>)> {
        self.team.as_mut().map(|team| team.claims.changed_own()).unwrap_or_default()
    }

    /// When [`super::Change::Time`] has something to do next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        // As long as nothing may be decided, all of it is looked at when it may.
        self.team.as_ref().filter(|_| self.may_decide()).and_then(|team| team.claims.deadline())
    }

    /// Whether some address of this speaker waits for another node to take it.
    #[must_use]
    pub fn waits_for_successors(&self) -> bool {
        // One that is about to end itself is no successor.
        let others = |address: &IpAddr| {
            let ownership = self.ownership(*address);
            let candidates = ownership.map(|it| it.candidates).unwrap_or_default();
            let own = candidates.iter().find(|it| it.node == self.node).map(|it| it.standing);
            candidates.iter().any(|it| it.node != self.node && Some(it.standing) > own)
        };
        self.team.is_some() && self.owned.keys().any(others)
    }

    /// Whether a node's speaker is heard and can take something over; always, where speakers do not listen to each other.
    pub(super) fn is_heard(&self, node: &str) -> bool {
        let heard = |team: &Team| team.alive.contains(node) && team.ready.contains(node);
        self.team.as_ref().is_none_or(|team| node == self.node || heard(team))
    }

    pub(super) fn is_leaving(&self, node: &str) -> bool {
        self.team.as_ref().is_some_and(|team| team.leaving.contains(node))
    }

    /// Whether what a node's object says of its interfaces is older than what its speaker says itself.
    pub(super) fn tells_itself(&self, node: &str) -> bool {
        self.team
            .as_ref()
            .is_some_and(|team| team.told.contains(node) && (node == self.node || team.alive.contains(node)))
    }

    pub(super) fn set_own_interfaces(&mut self, interfaces: Vec<Interface>) -> BTreeSet<IpAddr> {
        let me = self.node.clone();
        if let Some(team) = &mut self.team {
            team.told.insert(me.clone());
        }
        self.set_interfaces(me, Some(interfaces))
    }

    /// Whether ownership may be decided.
    pub(super) fn may_decide(&self) -> bool {
        self.synced && self.team.as_ref().is_none_or(|team| team.joined)
    }

    /// Everybody has been heard. If that was so before, and this speaker stood still since: others may have told the LAN
    /// meanwhile that they answer for what is this node's still, so it is told anew.
    pub(super) fn set_joined(&mut self) -> (BTreeSet<IpAddr>, bool) {
        let Some(team) = &mut self.team else { return (BTreeSet::new(), false) };
        team.joined = true;
        let stood_still = std::mem::take(&mut team.stood_still);
        (self.all_addresses(), stood_still)
    }

    pub(super) fn set_stood_still(&mut self) {
        if let Some(team) = &mut self.team {
            team.stood_still |= team.joined;
            team.joined = false;
        }
    }

    /// It is so late now, for whatever comes next.
    pub fn set_clock(&mut self, now: Duration) {
        if let Some(team) = &mut self.team {
            team.now = now;
        }
    }

    /// A moment after whenever this speaker began.
    pub(super) fn set_time(&mut self, now: Duration) -> BTreeSet<IpAddr> {
        let Some(team) = &mut self.team else { return BTreeSet::new() };
        team.now = now;
        if !self.may_decide() {
            return BTreeSet::new();
        }
        self.team.as_mut().map(|team| team.claims.due(now)).unwrap_or_default()
    }

    pub(super) fn set_alive(&mut self, name: &str) -> BTreeSet<IpAddr> {
        let Some(team) = &mut self.team else { return BTreeSet::new() };
        if team.alive.insert(name.to_owned()) { self.mark(name) } else { BTreeSet::new() }
    }

    /// A member is not heard any more; the addresses that are touched, and what is to be told of ours that it had too.
    pub(super) fn set_gone(&mut self, name: &str) -> (BTreeSet<IpAddr>, Vec<Effect>) {
        let Some(team) = &mut self.team else { return Default::default() };
        team.leaving.remove(name);
        team.ready.remove(name);
        let was_alive = team.alive.remove(name);
        let (mut touched, had) = team.claims.set_gone(name);
        if was_alive {
            touched.extend(self.mark(name));
        }
        (touched, self.announce_again(had))
    }

    /// Whoever had these too may have had the last word with a neighbour.
    fn announce_again(&self, addresses: BTreeSet<IpAddr>) -> Vec<Effect> {
        let ours = addresses.into_iter().filter(|address| self.owned.contains_key(address));
        ours.map(|address| Effect::AnnounceAgain { address }).collect()
    }

    /// A member tells this of itself; the addresses that are touched, and what it has given up of ours.
    pub(super) fn hear(&mut self, name: &str, told: Told) -> (BTreeSet<IpAddr>, Vec<Effect>) {
        let Some(team) = &mut self.team else { return Default::default() };
        if !team.alive.contains(name) {
            return Default::default();
        }
        let (mut touched, given_up) = team.claims.set(name, told.claims);
        let note = |names: &mut BTreeSet<String>, is_so: bool| {
            if is_so { names.insert(name.to_owned()) } else { names.remove(name) }
        };
        let changed = note(&mut team.leaving, told.leaving) | note(&mut team.ready, told.ready);
        if let Some(facts) = &told.facts {
            team.told.insert(name.to_owned());
            touched.extend(self.set_interfaces(name.to_owned(), Some(facts.interfaces())));
        }
        if changed {
            touched.extend(self.mark(name));
        }
        (touched, self.announce_again(given_up))
    }

    /// This speaker is about to end: others take what it has.
    pub(super) fn set_leaving(&mut self) -> BTreeSet<IpAddr> {
        let me = self.node.clone();
        if let Some(team) = &mut self.team {
            team.leaving.insert(me.clone());
        }
        self.mark(&me);
        self.owned.keys().copied().collect()
    }

    /// What is known of a node apart from its object, put on it.
    pub(super) fn mark(&mut self, name: &str) -> BTreeSet<IpAddr> {
        let (silent, leaving) = (!self.is_heard(name), self.is_leaving(name));
        let Ok(at) = self.nodes.binary_search_by(|known| (*known.name).cmp(name)) else {
            return BTreeSet::new();
        };
        let node = &mut self.nodes[at];
        let before = (node.silent, node.leaving);
        (node.silent, node.leaving) = (silent, leaving);
        if before == (node.silent, node.leaving) { BTreeSet::new() } else { self.all_addresses() }
    }

    /// Where this node answers for an address, if it does, and why that is so since now.
    pub(super) fn decide(
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
            return None;
        };
        let beside: Vec<IpAddr> =
            if ownership.apart { vec![] } else { self.beside(address).into_iter().collect() };
        let mine = own(ownership);
        let team = self.team.as_mut()?;
        match team.claims.settle(address, ownership, &beside, team.now) {
            Verdict::Ours { taken } => {
                // Until another node takes it, it is answered where it was.
                let interfaces = mine.or_else(|| self.owned.get(&address).map(|it| it.interfaces.clone()))?;
                Some((interfaces, taken))
            }
            Verdict::Theirs { .. } | Verdict::Nobody => None,
        }
    }
}
