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

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{Candidate, Ownership, Standing, rendezvous};

/// What nodes claim: addresses, each with the epoch of the claim.
pub type Table = BTreeMap<IpAddr, u64>;

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
/// The first wait before an address is taken from a living node once more; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// After so long without that the waits begin anew.
const QUIET: Duration = Duration::from_mins(5);

/// Why an address has the owner that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
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
            to_tell: BTreeSet::new(),
        }
    }

    /// What this node claimed before it was restarted. Whoever has claimed it since has a higher epoch.
    pub fn restore(&mut self, table: Table) {
        self.restored.extend(table.keys());
        self.to_tell.extend(table.keys());
        let me = self.me.clone();
        self.set(&me, table);
    }

    /// What this node claims, to be told to all others.
    #[must_use]
    pub fn own(&self) -> Table {
        self.of.get(&self.me).cloned().unwrap_or_default()
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
                let last = self.last.entry(*address).or_default();
                if *epoch > last.0 {
                    *last = (*epoch, node.to_owned());
                }
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

    /// A claim was given up by its node itself: whoever is next does not follow one that died.
    fn end_well(&mut self, address: IpAddr, node: &str) {
        if let Some(last) = self.last.get_mut(&address).filter(|last| last.1 == node) {
            last.1.clear();
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

    /// Decides about an address. `ownership` names the candidates among the nodes that live; `beside` are the addresses
    /// of the other family that its Services have, which go with it if they can.
    pub fn settle(
        &mut self,
        address: IpAddr,
        ownership: &Ownership,
        beside: &[IpAddr],
        now: Duration,
    ) -> Verdict {
        self.sleep(address);
        let restored = self.restored.remove(&address);
        let Some(best) = ownership.candidates.first().map(|best| best.standing) else {
            self.expected.remove(&address);
            self.better.remove(&address);
            self.drop_own(address);
            self.set_owner(address, None);
            return Verdict::Nobody;
        };
        let key = beside.iter().copied().chain([address]).min().unwrap_or(address);
        let holder = self.holder_by(address, key).map(|(node, _)| node.to_owned());
        if let Some(holder) = &holder
            && self.may_stay(address, holder, ownership, best, now)
            && !self.is_elsewhere(key, address, holder, ownership, best)
        {
            self.expected.remove(&address);
            self.unfit.remove(&address);
            self.set_owner(address, Some(holder));
            if *holder == self.me {
                return Verdict::Ours { taken: restored.then_some(Cause::Restored) };
            }
            // Two claimed it, and the other one counts.
            self.drop_own(address);
            return Verdict::Theirs { node: holder.clone(), claimed: true };
        }
        let successor = self.successor(address, holder.as_deref(), ownership, beside, now);
        if holder.as_ref() == Some(&successor) {
            // Better ones were given the chance, and did not take it.
            self.expected.remove(&address);
            self.set_owner(address, Some(&successor));
            self.wake_at(address, now + PATIENCE);
            if successor == self.me {
                return Verdict::Ours { taken: restored.then_some(Cause::Restored) };
            }
            self.drop_own(address);
            return Verdict::Theirs { node: successor, claimed: true };
        }
        if successor == self.me {
            return self.take(address, holder.as_deref(), ownership, now);
        }
        let waited = self.expected.get(&address).map(|expected| now.saturating_sub(expected.since));
        self.set_owner(address, Some(&successor));
        self.wake_at(address, now + PATIENCE.saturating_sub(waited.unwrap_or_default()));
        let is_holder = holder.as_deref() == Some(&*self.me);
        let is_fit = ownership.candidates.iter().any(|candidate| candidate.node == self.me);
        let unfit = (is_holder && !is_fit).then(|| *self.unfit.entry(address).or_insert(now));
        // The one before answers until the next one does; if it must not, then not for long.
        if is_holder && unfit.is_none_or(|since| now < since + PATIENCE) {
            if let Some(since) = unfit {
                self.wake_at(address, since + PATIENCE);
            }
            return Verdict::Ours { taken: None };
        }
        self.unfit.remove(&address);
        self.drop_own(address);
        Verdict::Theirs { node: successor, claimed: false }
    }

    /// Whether the address that this one belongs to is answered by another node, which could answer for both.
    fn is_elsewhere(
        &self,
        key: IpAddr,
        address: IpAddr,
        holder: &str,
        ownership: &Ownership,
        best: Standing,
    ) -> bool {
        let first = self.holder(key).filter(|_| key != address && self.failback != Failback::Always);
        first.is_some_and(|(first, _)| first != holder && standing_of(ownership, first) == Some(best))
    }

    /// Whether the one who answers stays: it is as good as any.
    fn may_stay(
        &mut self,
        address: IpAddr,
        holder: &str,
        ownership: &Ownership,
        best: Standing,
        now: Duration,
    ) -> bool {
        let Some(standing) = standing_of(ownership, holder) else {
            self.better.remove(&address);
            return false;
        };
        let after = match self.failback {
            Failback::Always => return ownership.candidates[0].node == holder,
            Failback::Preferred { after } => after,
        };
        if standing == best {
            self.better.remove(&address);
            return true;
        }
        // Only of the preference it is said that it may wait.
        if (Standing { weight: best.weight, ..standing }) != best {
            self.better.remove(&address);
            return false;
        }
        let preferred = &ownership.candidates[0].node;
        let since = match self.better.get(&address) {
            Some((node, since)) if standing_of(ownership, node) == Some(best) => *since,
            _ => {
                self.better.insert(address, (preferred.clone(), now));
                now
            }
        };
        if now < since + after {
            self.wake_at(address, since + after);
            return true;
        }
        false
    }

    /// Who takes over: the first in the order of rendezvous that has not got too many already.
    fn successor(
        &mut self,
        address: IpAddr,
        holder: Option<&str>,
        ownership: &Ownership,
        beside: &[IpAddr],
        now: Duration,
    ) -> String {
        if let Some(expected) = self.expected.get_mut(&address)
            && now >= expected.since + PATIENCE
        {
            expected.late.insert(expected.node.clone());
        }
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

    /// This node takes an address over, unless it has done so too often of late.
    fn take(
        &mut self,
        address: IpAddr,
        holder: Option<&str>,
        ownership: &Ownership,
        now: Duration,
    ) -> Verdict {
        let from = holder.filter(|holder| *holder != self.me);
        if let Some(from) = from {
            let (times, last) = self.takes.get(&address).copied().unwrap_or_default();
            let times = if now > last + QUIET { 0 } else { times };
            let wait = match times {
                0 => Duration::ZERO,
                more => (FIRST_WAIT * 2_u32.saturating_pow(more - 1)).min(LONGEST_WAIT),
            };
            // Two that see it differently would take it from each other for ever.
            if now < last + wait {
                self.wake_at(address, last + wait);
                self.drop_own(address);
                self.set_owner(address, Some(from));
                return Verdict::Theirs { node: from.to_owned(), claimed: true };
            }
            self.takes.insert(address, (times + 1, now));
        }
        let (epoch, last_by) = self.last.get(&address).cloned().unwrap_or_default();
        let late = self.expected.remove(&address).map(|expected| expected.late).unwrap_or_default();
        let cause = match (from, late.into_iter().next_back()) {
            (_, Some(by)) => Cause::NotTaken { by },
            (Some(node), None) if standing_of(ownership, node).is_some() => {
                Cause::Outranked { node: node.to_owned() }
            }
            (Some(node), None) => Cause::Unfit { node: node.to_owned() },
            (None, None) if last_by.is_empty() || last_by == self.me => Cause::First,
            (None, None) => Cause::Died { node: last_by },
        };
        self.better.remove(&address);
        let me = self.me.clone();
        self.claim(address, &me, epoch + 1);
        self.to_tell.insert(address);
        self.set_owner(address, Some(&me));
        Verdict::Ours { taken: Some(cause) }
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
