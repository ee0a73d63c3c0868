//! Who answers in fact: claims, which stay where they are until there is a reason.
//!
//! [`elect_beside`](super::elect_beside) says who can answer and who would be best. If each address went to the best one
//! at every moment, it would move whenever a node comes back. So a node that answers claims the address under an epoch,
//! and tells all others; a claim counts as long as its node lives and is as good as any other. Whoever takes an address
//! over claims it under the next epoch and answers from that moment; the one before goes on answering until it hears of
//! that, and then gives its claim up. So nobody's question is lost when an address moves, and of two sides of a network
//! that has healed one gives way: the higher epoch counts, and of equal ones the order of rendezvous.
//!
//! [`Claims`] is pure. It is told of claims, of elections and of the time (since whenever), and says what this node does.
//! All nodes that know the same come to the same.

pub mod rebalance;
mod settle;
mod successor;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Ownership, Standing, rendezvous};

/// What nodes claim: addresses, each with the epoch of the claim.
pub type Table = BTreeMap<IpAddr, u64>;

/// What a node wants to give away: addresses, each with the node that is to take it.
pub type Offers = BTreeMap<IpAddr, String>;

/// Whether an address returns to a node that is better than the one that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failback {
    /// Only to a node that is preferred more (`preferredNodeSelectors`), when that has been a candidate for so long
    /// without a break. Among equals an address stays.
    Preferred {
        /// For so long.
        after: Duration,
    },
    /// At once, to whoever is best: what MetalLB does.
    Always,
}

impl Default for Failback {
    fn default() -> Self {
        Self::Preferred { after: Duration::from_secs(30) }
    }
}

/// A node that should take an address over has to claim it within this time: it may not know of it yet, or be cut off
/// from what it would know it by. Then the next one takes it.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// If it did not, there may be more that do not know of it: each further one has less time.
const FURTHER_PATIENCE: Duration = Duration::from_millis(250);
/// So often an address may be taken from living nodes without a wait: nodes are drained one after another, or pods move.
const FREE: u32 = 3;
/// The first wait before it is taken once more; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// After so long without that the waits begin anew.
const QUIET: Duration = Duration::from_mins(5);

/// Why an address has the owner that it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum Cause {
    /// Nobody claimed it.
    First,
    /// This node claimed it before it was restarted, and nobody has claimed it since.
    Restored,
    /// Whoever claimed it lives no more, or cannot be heard.
    Died {
        /// The owner before.
        node: String,
    },
    /// Whoever claimed it can answer no more.
    Unfit {
        /// The owner before.
        node: String,
    },
    /// Another node is better: by its endpoints, by its preference, or because the one before is being drained.
    Outranked {
        /// The owner before.
        node: String,
    },
    /// Whoever should have taken it did not.
    NotTaken {
        /// The node that should have.
        by: String,
    },
    /// Whoever claimed it had more than its share, and gave it away when it was asked to.
    Rebalanced {
        /// The owner before.
        node: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => write!(f, "nobody answered for it"),
            Self::Restored => write!(f, "this node answered for it before it was restarted"),
            Self::Died { node } => write!(f, "node {node}, which answered before, is not heard any more"),
            Self::Unfit { node } => write!(f, "node {node}, which answered before, cannot any more"),
            Self::Outranked { node } => {
                write!(f, "node {node}, which answered before, is not as good a choice")
            }
            Self::Rebalanced { node } => {
                write!(f, "node {node}, which answered before, had more than its share")
            }
            Self::NotTaken { by } => write!(f, "node {by} should have answered, and did not claim it"),
        }
    }
}

/// What becomes of an address, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This node answers.
    Ours {
        /// Since this moment, and why; nothing if it did before.
        taken: Option<Cause>,
    },
    /// This node does not answer.
    Theirs {
        /// Who does, or should.
        node: String,
        /// Whether that node has said so.
        claimed: bool,
    },
    /// Nobody can answer.
    Nobody,
}

/// The claims of all nodes, and what this node makes of them.
#[derive(Debug)]
pub struct Claims {
    me: String,
    failback: Failback,
    of: BTreeMap<String, Table>,
    /// The same by address: node and epoch.
    claimed: BTreeMap<IpAddr, BTreeMap<String, u64>>,
    /// The highest epoch that each address was ever claimed under, as far as it was heard, and by whom.
    last: BTreeMap<IpAddr, (u64, String)>,
    /// Claims of this node from before it was restarted, until they are decided upon.
    restored: BTreeSet<IpAddr>,
    /// Who answers, or should, and how many addresses that makes for each node.
    owner: BTreeMap<IpAddr, String>,
    load: BTreeMap<String, usize>,
    expected: BTreeMap<IpAddr, Expected>,
    /// Since when a candidate that is preferred more has been there.
    better: BTreeMap<IpAddr, (String, Duration)>,
    /// How often this node took an address from a living one, and when last.
    takes: BTreeMap<IpAddr, (u32, Duration)>,
    /// When to look at an address again, and the same by time.
    wake: BTreeMap<IpAddr, Duration>,
    wakes: BTreeSet<(Duration, IpAddr)>,
    /// Since when this node answers for an address although it must not any more.
    unfit: BTreeMap<IpAddr, Duration>,
    /// Addresses that their holders want to give away, by holder, and to whom.
    offers: BTreeMap<String, Offers>,
    /// Addresses whose claim by this node has changed.
    to_tell: BTreeSet<IpAddr>,
}

/// Who is to take an address over.
#[derive(Debug)]
struct Expected {
    node: String,
    since: Duration,
    /// Those that were expected before, and did not.
    late: BTreeSet<String>,
}

impl Expected {
    /// How long it is waited for.
    fn patience(&self) -> Duration {
        if self.late.is_empty() { PATIENCE } else { FURTHER_PATIENCE }
    }
}

impl Claims {
    /// Nobody claims anything yet.
    #[must_use]
    pub fn new(me: impl Into<String>, failback: Failback) -> Self {
        Self {
            me: me.into(),
            failback,
            of: BTreeMap::new(),
            claimed: BTreeMap::new(),
            last: BTreeMap::new(),
            restored: BTreeSet::new(),
            owner: BTreeMap::new(),
            load: BTreeMap::new(),
            expected: BTreeMap::new(),
            better: BTreeMap::new(),
            takes: BTreeMap::new(),
            wake: BTreeMap::new(),
            wakes: BTreeSet::new(),
            unfit: BTreeMap::new(),
            offers: BTreeMap::new(),
            to_tell: BTreeSet::new(),
        }
    }

    /// What this node claimed before it was restarted. It counts only where nobody claims it now: how old it is, nobody
    /// knows, and so the height of its epoch says nothing. It is told to others once it is decided that it stays.
    pub fn restore(&mut self, table: Table) {
        self.restored.extend(table.keys());
        let me = self.me.clone();
        self.set(&me, table);
    }

    /// What was restored and has not been decided upon counts no more: no Service has it.
    pub fn end_restoring(&mut self) {
        for address in std::mem::take(&mut self.restored) {
            self.drop_own(address);
        }
    }

    /// A node that was restarted claimed this before. Until it claims for itself that counts where nobody else claims
    /// it. Returns as [`Claims::set`] does.
    pub fn set_returning(&mut self, node: &str, table: Table) -> (BTreeSet<IpAddr>, BTreeSet<IpAddr>) {
        let is_free = |address: &IpAddr| {
            let nodes = self.claimed.get(address);
            nodes.is_none_or(|nodes| nodes.keys().all(|claims| claims == node))
        };
        let free = table.into_iter().filter(|(address, _)| is_free(address)).collect();
        self.set(node, free)
    }

    /// What this node claims, to be told to all others.
    #[must_use]
    pub fn own(&self) -> Table {
        self.of.get(&self.me).cloned().unwrap_or_default()
    }

    /// What a node claims.
    #[must_use]
    pub fn of(&self, node: &str) -> Option<&Table> {
        self.of.get(node)
    }

    /// The claims of this node that have changed since the last call: under which epoch, or given up.
    pub fn changed_own(&mut self) -> Vec<(IpAddr, Option<u64>)> {
        let own = self.of.get(&self.me);
        let changed = std::mem::take(&mut self.to_tell).into_iter();
        changed.map(|address| (address, own.and_then(|own| own.get(&address).copied()))).collect()
    }

    /// A node claims this now. Returns the addresses that are to be looked at again, and apart from them those that it
    /// has given up.
    pub fn set(&mut self, node: &str, table: Table) -> (BTreeSet<IpAddr>, BTreeSet<IpAddr>) {
        let before = self.of.remove(node).unwrap_or_default();
        let mut touched = BTreeSet::new();
        let given_up: BTreeSet<IpAddr> =
            before.keys().filter(|address| !table.contains_key(address)).copied().collect();
        for address in &given_up {
            self.unclaim(*address, node);
            self.end_well(*address, node);
        }
        for (address, epoch) in &table {
            if before.get(address) != Some(epoch) {
                self.claimed.entry(*address).or_default().insert(node.to_owned(), *epoch);
                self.note_last(*address);
                touched.insert(*address);
            }
        }
        if !table.is_empty() {
            self.of.insert(node.to_owned(), table);
        }
        touched.extend(&given_up);
        (touched, given_up)
    }

    /// A node is not heard any more, and what it claimed counts no longer. Returns as [`Claims::set`] does.
    pub fn set_gone(&mut self, node: &str) -> (BTreeSet<IpAddr>, BTreeSet<IpAddr>) {
        let table = self.of.remove(node).unwrap_or_default();
        self.offers.remove(node);
        for address in table.keys() {
            self.unclaim(*address, node);
        }
        let addresses: BTreeSet<IpAddr> = table.into_keys().collect();
        (addresses.clone(), addresses)
    }

    /// Whether anybody is known to have answered for an address.
    #[must_use]
    pub fn was_claimed(&self, address: IpAddr) -> bool {
        self.last.contains_key(&address)
    }

    /// A claim was given up by its node itself: whoever is next does not follow one that died, but may follow another one
    /// that claimed it at the same time.
    fn end_well(&mut self, address: IpAddr, node: &str) {
        if let Some(last) = self.last.get_mut(&address).filter(|last| last.1 == node) {
            last.1.clear();
            self.note_last(address);
        }
    }

    /// Who holds an address holds it under the highest epoch that was heard, or somebody else did before.
    fn note_last(&mut self, address: IpAddr) {
        let Some((node, epoch)) = self.holder(address).map(|(node, epoch)| (node.to_owned(), epoch)) else {
            return;
        };
        let last = self.last.entry(address).or_default();
        if epoch >= last.0 {
            *last = (epoch, node);
        }
    }

    fn unclaim(&mut self, address: IpAddr, node: &str) {
        if let Some(nodes) = self.claimed.get_mut(&address) {
            nodes.remove(node);
            if nodes.is_empty() {
                self.claimed.remove(&address);
            }
        }
    }

    /// No Service has the address any more: this node neither claims it nor expects anything of it.
    pub fn forget(&mut self, address: IpAddr) {
        self.drop_own(address);
        self.set_owner(address, None);
        self.expected.remove(&address);
        self.better.remove(&address);
        self.takes.remove(&address);
        self.unfit.remove(&address);
        self.sleep(address);
        if !self.claimed.contains_key(&address) {
            self.last.remove(&address);
        }
    }

    /// The addresses that are to be looked at again by now.
    pub fn due(&mut self, now: Duration) -> BTreeSet<IpAddr> {
        let mut due = BTreeSet::new();
        while let Some((_, address)) = self.wakes.first().filter(|(at, _)| *at <= now).copied() {
            self.sleep(address);
            due.insert(address);
        }
        due
    }

    /// When the next address is to be looked at again.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Who claims an address under the highest epoch, among the nodes that live.
    #[must_use]
    pub fn holder(&self, address: IpAddr) -> Option<(&str, u64)> {
        self.holder_by(address, address)
    }

    /// The same where addresses belong together: `key` is the lowest of them, and decides between equal epochs for all.
    fn holder_by(&self, address: IpAddr, key: IpAddr) -> Option<(&str, u64)> {
        let nodes = self.claimed.get(&address)?.iter();
        let best = nodes.max_by_key(|(node, epoch)| (**epoch, rendezvous(node, key), (*node).clone()));
        best.map(|(node, epoch)| (node.as_str(), *epoch))
    }

    /// Who answers for an address or is to, as far as this node knows.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<&str> {
        self.owner.get(&address).map(String::as_str)
    }

    /// How many addresses each node answers for.
    #[must_use]
    pub fn load(&self) -> &BTreeMap<String, usize> {
        &self.load
    }

    fn claim(&mut self, address: IpAddr, node: &str, epoch: u64) {
        self.of.entry(node.to_owned()).or_default().insert(address, epoch);
        self.claimed.entry(address).or_default().insert(node.to_owned(), epoch);
        self.last.insert(address, (epoch, node.to_owned()));
    }

    fn drop_own(&mut self, address: IpAddr) {
        if let Some(own) = self.of.get_mut(&self.me)
            && own.remove(&address).is_some()
        {
            let me = self.me.clone();
            self.unclaim(address, &me);
            self.end_well(address, &me);
            self.to_tell.insert(address);
        }
        self.withdraw_offer(address);
    }

    fn set_owner(&mut self, address: IpAddr, node: Option<&str>) {
        let before = match node {
            Some(node) => self.owner.insert(address, node.to_owned()),
            None => self.owner.remove(&address),
        };
        if before.as_deref() == node {
            return;
        }
        if let Some(load) = before.and_then(|before| self.load.get_mut(&before)) {
            *load -= 1;
        }
        if let Some(node) = node {
            *self.load.entry(node.to_owned()).or_default() += 1;
        }
        self.load.retain(|_, load| *load > 0);
    }

    fn wake_at(&mut self, address: IpAddr, at: Duration) {
        let at = self.wake.get(&address).map_or(at, |known| at.min(*known));
        self.sleep(address);
        self.wake.insert(address, at);
        self.wakes.insert((at, address));
    }

    /// Nothing wakes an address any more.
    fn sleep(&mut self, address: IpAddr) {
        if let Some(at) = self.wake.remove(&address) {
            self.wakes.remove(&(at, address));
        }
    }
}

fn standing_of(ownership: &Ownership, node: &str) -> Option<Standing> {
    ownership.candidates.iter().find(|candidate| candidate.node == node).map(|candidate| candidate.standing)
}
