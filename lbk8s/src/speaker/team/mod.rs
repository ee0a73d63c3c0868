//! The speakers together: who lives, who claims what, and what that makes of this one.
//!
//! What members tell of themselves are records by key: [`FACTS`], [`READY`], [`LEAVING`], and one for each address that they
//! claim, offer to another node, or claimed before they were restarted.

mod checks;
mod deciding;
mod spread;
mod telling;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use lbcore::ownership::Interface;
use lbcore::ownership::claims::{Cause, Claims, Failback, Offers, Table};
use lbcore::{Labels, Node, ServiceKey};

pub(super) use self::telling::held;
pub use self::told::{DRAINED, FACTS, LEAVING, READY, REBALANCE, Record, Told};
use super::history::History;
use super::{Effect, Speaker};

/// A node whose speaker was restarted keeps what it had for so long, until it answers again.
const RETURNING: Duration = Duration::from_millis(1500);

/// When many start at once, the first of them to be ready waits for the others for so long: they would have to take their
/// share from it.
const STARTING: Duration = Duration::from_millis(500);
/// What turns out within this time, after two have heard each other again, they did while they had not.
const REUNION: Duration = Duration::from_secs(5);
/// Others that start at the same time are waited for before the share of each is worked out.
const GATHERING: Duration = Duration::from_millis(500);

/// What a speaker knows of the others.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub(super) struct Team {
    pub(super) claims: Claims,
    alive: BTreeSet<String>,
    ready: BTreeSet<String>,
    leaving: BTreeSet<String>,
    /// Those whose addresses are to go elsewhere, as they say themselves.
    drained: BTreeSet<String>,
    /// The Services that nodes do not serve, by their own checks.
    pub(super) failing: BTreeMap<String, BTreeSet<ServiceKey>>,
    /// The same of this node, as it was told last, and whether it is being drained.
    told_failing: BTreeSet<ServiceKey>,
    told_drained: bool,
    /// Those whose interfaces are known from themselves.
    told: BTreeSet<String>,
    /// Why addresses have the owners that they have: under which epoch, and what was said.
    pub(super) causes: BTreeMap<IpAddr, (u64, Cause)>,
    /// Those that were restarted and do not answer yet, and until when they keep what they had; nothing if that is over.
    returning: BTreeMap<String, Option<Duration>>,
    /// Since when those were not heard that are not, or were not until a moment ago: until when that is one.
    apart: BTreeMap<String, (Duration, Option<Duration>)>,
    /// Until when those that live are taken to be ready; over, once that is none.
    starting: Option<Duration>,
    /// When this speaker was the first to claim an address, if that was lately.
    young: BTreeMap<IpAddr, Duration>,
    /// All that were ever ready since this speaker began.
    met: BTreeSet<String>,
    /// When it looks whether others that have come lack their share.
    sharing: Option<Duration>,
    /// When it goes on to even out the spread, which somebody asked for.
    rebalancing: Option<Duration>,
    /// What this speaker claimed before it was restarted is told to the others.
    held: BTreeSet<IpAddr>,
    /// What those that are not heard any more had then.
    had: BTreeMap<String, BTreeSet<IpAddr>>,
    /// What this speaker has given up lately, until when that is on record, and how often it has given anything up.
    ceded: BTreeMap<IpAddr, Duration>,
    cessions: u64,
    /// The same of others, as they told it last.
    others_ceded: BTreeMap<String, Table>,
    /// What it offers, as it was told last.
    offers: Offers,
    pub(super) history: History,
    /// Everybody who was expected has been heard: this speaker may claim.
    joined: bool,
    /// That was so for the first time.
    began: bool,
    /// It stood still, or was taken for dead, and does not know yet what others did meanwhile.
    was_away: bool,
    pub(super) now: Duration,
}

impl Team {
    pub(super) fn new(me: &str, failback: Failback) -> Self {
        Self {
            claims: Claims::new(me, failback),
            alive: BTreeSet::new(),
            ready: BTreeSet::new(),
            leaving: BTreeSet::new(),
            drained: BTreeSet::new(),
            failing: BTreeMap::new(),
            told_failing: BTreeSet::new(),
            told_drained: false,
            told: BTreeSet::new(),
            causes: BTreeMap::new(),
            returning: BTreeMap::new(),
            apart: BTreeMap::new(),
            starting: None,
            young: BTreeMap::new(),
            met: BTreeSet::new(),
            sharing: None,
            rebalancing: None,
            held: BTreeSet::new(),
            had: BTreeMap::new(),
            ceded: BTreeMap::new(),
            cessions: 0,
            others_ceded: BTreeMap::new(),
            offers: Offers::new(),
            history: History::default(),
            joined: false,
            began: false,
            was_away: false,
            now: Duration::ZERO,
        }
    }

    /// Whether a node's speaker was restarted a moment ago, and is to keep what it had.
    fn is_returning(&self, node: &str) -> bool {
        self.returning.get(node).copied().flatten().is_some_and(|until| self.now < until)
    }

    /// When something is to be looked at again.
    fn deadline(&self) -> Option<Duration> {
        let returning = self.returning.values().copied().flatten();
        let own = self.starting.into_iter().chain(self.sharing).chain(self.rebalancing);
        self.claims.deadline().into_iter().chain(returning).chain(own).min()
    }
}

impl Speaker {
    /// When [`super::Change::Time`] has something to do next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        // As long as nothing may be decided, all of it is looked at when it may.
        self.team.as_ref().filter(|_| self.may_decide()).and_then(Team::deadline)
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
        let works =
            |team: &Team| team.ready.contains(node) || team.is_returning(node) || team.starting.is_some();
        let heard = |team: &Team| team.alive.contains(node) && works(team);
        self.team.as_ref().is_none_or(|team| node == self.node || heard(team))
    }

    /// Whether the speaker of another node is heard.
    #[must_use]
    pub fn hears(&self, node: &str) -> bool {
        self.team.as_ref().is_none_or(|team| team.alive.contains(node))
    }

    pub(super) fn is_leaving(&self, node: &str) -> bool {
        self.team.as_ref().is_some_and(|team| team.leaving.contains(node))
    }

    /// Whether a node's speaker was restarted a moment ago.
    pub(super) fn is_returning(&self, node: &str) -> bool {
        self.team.as_ref().is_some_and(|team| team.is_returning(node))
    }

    /// Whether a node says itself that its addresses are to go elsewhere.
    pub(super) fn says_drained(&self, node: &str) -> bool {
        self.team.as_ref().is_some_and(|team| team.drained.contains(node))
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

    /// Whether all that are heard have said what they are like: to decide without that is to decide without them, and to take
    /// their answers for a stranger's.
    pub(super) fn knows_all_heard(&self) -> bool {
        self.team.as_ref().is_none_or(|team| team.alive.iter().all(|name| team.told.contains(name)))
    }

    /// Whether ownership may be decided.
    pub(super) fn may_decide(&self) -> bool {
        self.synced && self.team.as_ref().is_none_or(|team| team.joined)
    }

    /// Everybody has been heard. If that was so before, and this speaker was away since: others may have told the LAN
    /// meanwhile that they answer for what is this node's still, so it is told anew.
    pub(super) fn set_joined(&mut self) -> (BTreeSet<IpAddr>, bool) {
        let Some(team) = &mut self.team else { return (BTreeSet::new(), false) };
        team.joined = true;
        let was_away = std::mem::take(&mut team.was_away);
        if !std::mem::replace(&mut team.began, true) {
            team.starting = Some(team.now + STARTING);
        }
        self.mark_all();
        (self.all_addresses(), was_away)
    }

    pub(super) fn set_stood_still(&mut self) {
        self.set_taken_for_dead();
        if let Some(team) = &mut self.team {
            // What others did meanwhile, this one did not do at the same time.
            team.apart.clear();
        }
    }

    pub(super) fn set_taken_for_dead(&mut self) {
        if let Some(team) = &mut self.team {
            team.was_away |= team.joined;
            team.joined = false;
            // What was before, and is over, is none of this.
            let now = team.now;
            team.apart.retain(|_, (_, until)| until.is_none_or(|until| until >= now));
            // Until now it answered, and they did not hear it.
            for name in &team.alive {
                team.apart.entry(name.clone()).or_insert((team.now, Some(team.now + REUNION)));
            }
        }
    }

    /// What this process gives up is numbered from here on: a number that is higher than those of the process before it.
    pub fn count_from(&mut self, first: u64) {
        if let Some(team) = &mut self.team {
            team.cessions = first;
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
        let Some(team) = &mut self.team else { return BTreeSet::new() };
        let over = |until: &Option<Duration>| until.is_some_and(|until| until <= now);
        let late: Vec<String> =
            team.returning.iter().filter(|(_, until)| over(until)).map(|(name, _)| name.clone()).collect();
        let mut touched = team.claims.due(now);
        let has_started = team.starting.take_if(|until| *until <= now).is_some();
        let shares = team.sharing.take_if(|at| *at <= now).is_some();
        let rebalances = team.rebalancing.take_if(|at| *at <= now).is_some();
        for name in late {
            touched.extend(self.end_returning(&name));
        }
        if has_started {
            touched.extend(self.mark_all());
        }
        if shares {
            touched.extend(self.share());
        }
        if rebalances {
            touched.extend(self.set_rebalancing());
        }
        touched
    }

    /// One that was restarted does not answer in time: what it had goes to others.
    fn end_returning(&mut self, name: &str) -> BTreeSet<IpAddr> {
        let Some(team) = &mut self.team else { return BTreeSet::new() };
        team.returning.insert(name.to_owned(), None);
        let (mut touched, _) = team.claims.set(name, Table::new());
        touched.extend(self.mark(name));
        touched
    }

    /// A member is heard; the addresses that are touched, and what is to be told of ours that it had: it may have answered for
    /// them until a moment ago, and told the LAN so.
    pub(super) fn set_alive(&mut self, name: &str) -> (BTreeSet<IpAddr>, Vec<Effect>) {
        if self.rules.members_are_nodes && self.nodes().all(|known| known != name) {
            let labels = Labels::from([("kubernetes.io/hostname", name)]);
            self.set_node(Node { name: name.to_owned(), labels, ..Node::default() });
        }
        let Some(team) = &mut self.team else { return Default::default() };
        let had = team.had.remove(name).unwrap_or_default();
        if let Some((_, until)) = team.apart.get_mut(name) {
            *until = Some(team.now + REUNION);
        }
        let touched = if team.alive.insert(name.to_owned()) { self.mark(name) } else { BTreeSet::new() };
        (touched, self.announce_again(had))
    }

    /// A member is not heard any more; the addresses that are touched, and what is to be told of ours that it had too.
    pub(super) fn set_gone(&mut self, name: &str) -> (BTreeSet<IpAddr>, Vec<Effect>) {
        let Some(team) = &mut self.team else { return Default::default() };
        team.leaving.remove(name);
        team.ready.remove(name);
        team.returning.remove(name);
        if team.joined {
            team.apart.insert(name.to_owned(), (team.now, None));
        }
        let was_alive = team.alive.remove(name);
        let (mut touched, had) = team.claims.set_gone(name);
        team.had.insert(name.to_owned(), had.clone());
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
        let is_returning = !told.ready && !told.held.is_empty();
        let known = team.others_ceded.insert(name.to_owned(), told.ceded.clone()).unwrap_or_default();
        let ceded = told.ceded.into_iter().filter(|(address, number)| known.get(address) != Some(number));
        let ceded: BTreeSet<IpAddr> = ceded.map(|(address, _)| address).collect();
        let (mut touched, mut given_up) = if is_returning {
            team.returning.entry(name.to_owned()).or_insert(Some(team.now + RETURNING));
            let held = if team.is_returning(name) { told.held } else { Table::new() };
            team.claims.set_returning(name, held)
        } else {
            team.returning.remove(name);
            team.claims.set(name, told.claims)
        };
        given_up.extend(ceded);
        touched.extend(team.claims.set_offers(name, told.offers));
        let claimed = team.claims.of(name).cloned().unwrap_or_default();
        for (address, cause) in told.causes {
            let Some(epoch) = claimed.get(&address).copied() else { continue };
            if team.causes.get(&address).is_none_or(|(known, _)| *known <= epoch) {
                team.causes.insert(address, (epoch, cause));
            }
        }
        let note = |names: &mut BTreeSet<String>, is_so: bool| {
            if is_so { names.insert(name.to_owned()) } else { names.remove(name) }
        };
        let changed = note(&mut team.leaving, told.leaving)
            | note(&mut team.drained, told.drained)
            | note(&mut team.ready, told.ready)
            | is_returning;
        // One that was away and returns lacks nothing: among equals an address stays.
        if told.ready && team.met.insert(name.to_owned()) && !team.young.is_empty() {
            team.sharing = Some(team.now + GATHERING);
        }
        touched.extend(self.note_failing(name, &told.failing));
        if let (Some(facts), Some(team)) = (&told.facts, &mut self.team) {
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

    fn mark_all(&mut self) -> BTreeSet<IpAddr> {
        let names: Vec<String> = self.nodes().map(str::to_owned).collect();
        names.iter().flat_map(|name| self.mark(name)).collect()
    }

    /// What is known of a node apart from its object, put on it.
    pub(super) fn mark(&mut self, name: &str) -> BTreeSet<IpAddr> {
        let (silent, leaving) = (!self.is_heard(name), self.is_leaving(name));
        let (says_drained, returning) = (self.says_drained(name), self.is_returning(name));
        let Ok(at) = self.nodes.binary_search_by(|known| (*known.name).cmp(name)) else {
            return BTreeSet::new();
        };
        let node = &mut self.nodes[at];
        let before = (node.silent, node.leaving, node.last_choice, node.returning);
        let cordoned = node.cordoned && self.rules.move_on_cordon;
        node.last_choice = node.drained || says_drained || cordoned;
        (node.silent, node.leaving, node.returning) = (silent, leaving, returning);
        if before == (node.silent, node.leaving, node.last_choice, node.returning) {
            BTreeSet::new()
        } else {
            self.all_addresses()
        }
    }
}

impl Speaker {}
