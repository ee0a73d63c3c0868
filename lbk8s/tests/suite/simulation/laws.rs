//! What must hold, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use lbcore::ownership::claims::Table;
use lbk8s::speaker::team::Told;
use lblab::simulated::Place;
use lblab::simulated::members::Members;
use lbnet::membership::Membership;

use super::lan::Lan;
use super::speakers::{Cluster, Speaking, address};

/// After the last thing that was done to the cluster, everything is as it should be within this time: a silence is
/// noticed and asked about (0.5 s), a greeting finds its way (0.5 s), and those who should have claimed and did not are
/// passed over (1 s for the first of them, 0.25 s for each further one).
pub(crate) const BOUND: Duration = Duration::from_secs(3);

/// Watches a cluster.
pub(crate) struct Watcher {
    services: usize,
    pub(crate) lan: Lan,
    /// When something was last done to the cluster.
    pub(crate) disturbed: Duration,
    /// Since when two nodes that can hear each other answer for an address.
    double: BTreeMap<IpAddr, Duration>,
    /// The longest that was so, and the longest that nobody answered who could.
    pub(crate) longest_double: Duration,
    unanswered: BTreeMap<(IpAddr, Place), Duration>,
    pub(crate) longest_gap: Duration,
    looked: Option<Duration>,
    /// What everything looked like then.
    fingerprint: Vec<u64>,
    /// To compare with.
    latest: Vec<u64>,
}

/// Nothing is looked at more often than this.
const EVERY: Duration = Duration::from_millis(5);
/// Everything is looked at as often as this, also if nothing seems to have changed.
const ALWAYS: Duration = Duration::from_millis(100);

/// The sets of running nodes that can hear each other, directly or through others.
fn components(members: &Members<Speaking>) -> Vec<BTreeSet<Place>> {
    let mut left: BTreeSet<Place> = (0..members.nodes.len())
        .filter(|node| members.nodes[*node].is_some() && members.runs(*node))
        .collect();
    let mut components = Vec::new();
    while let Some(first) = left.pop_first() {
        let mut component = BTreeSet::from([first]);
        let mut edge = vec![first];
        while let Some(node) = edge.pop() {
            let hears = |other: &Place| {
                !members.network.is_cut(node, *other) && !members.network.is_cut(*other, node)
            };
            for other in left.iter().copied().filter(hears).collect::<Vec<_>>() {
                left.remove(&other);
                component.insert(other);
                edge.push(other);
            }
        }
        components.push(component);
    }
    components
}

/// Whoever claims an address does so under a higher epoch than all that those who live have told it. `before` is what it claimed
/// before, and `own` what it does now.
pub(crate) fn epochs_grow(member: &Membership, before: &Table, own: &Table) {
    let new: Vec<_> = own.iter().filter(|(address, epoch)| before.get(*address) != Some(epoch)).collect();
    for other in member.members().filter(|other| other.alive) {
        let records = member.records(other.name).map(Told::read).unwrap_or_default();
        for (address, epoch) in &new {
            let theirs = records.claims.get(*address).copied().unwrap_or_default();
            assert!(
                theirs < **epoch,
                "{} claims {address} under epoch {epoch}, and {} has claimed it under {theirs}",
                member.name(),
                other.name
            );
        }
    }
}

impl Watcher {
    pub(crate) fn new(services: usize) -> Self {
        Self {
            services,
            lan: Lan::default(),
            disturbed: Duration::ZERO,
            double: BTreeMap::new(),
            longest_double: Duration::ZERO,
            unanswered: BTreeMap::new(),
            longest_gap: Duration::ZERO,
            looked: None,
            fingerprint: Vec::new(),
            latest: Vec::new(),
        }
    }

    pub(crate) fn set_services(&mut self, services: usize) {
        self.services = services;
        self.looked = None;
    }

    pub(crate) fn disturb(&mut self, now: Duration) {
        self.disturbed = now;
    }

    /// Looks at who answers for what. Panics if a law is broken.
    pub(crate) fn look(&mut self, members: &Members<Speaking>) {
        let now = members.now;
        if self.lan.is_told(members) {
            self.lan.look(members, self.services, false);
        }
        if self.looked.is_some_and(|looked| now < looked + EVERY) {
            return;
        }
        Cluster::fingerprint(members, &mut self.latest);
        // What is wrong is looked at again until it is right: the time for which it is so counts.
        let is_well = self.double.is_empty() && self.unanswered.is_empty();
        let is_recent = self.looked.is_some_and(|looked| now < looked + ALWAYS);
        if is_well && is_recent && self.latest == self.fingerprint {
            return;
        }
        std::mem::swap(&mut self.latest, &mut self.fingerprint);
        self.looked = Some(now);
        self.lan.look(members, self.services, true);
        let components = components(members);
        // What is so of nodes that hear each other no more, or others too by now, is over.
        let firsts: BTreeSet<Place> = components.iter().filter_map(BTreeSet::first).copied().collect();
        self.unanswered.retain(|(_, first), _| firsts.contains(first));
        for service in 0..self.services {
            let address = address(service);
            let answering: BTreeSet<Place> = Cluster::answering(members, address).into_iter().collect();
            // Others may hear both of two that do not hear each other: these cannot know.
            let hear = |one: &Place, other: &Place| {
                one < other && !members.network.is_cut(*one, *other) && !members.network.is_cut(*other, *one)
            };
            let double = answering.iter().any(|one| answering.iter().any(|other| hear(one, other)));
            for component in &components {
                let here: Vec<Place> = component.intersection(&answering).copied().collect();
                let key = (address, *component.first().unwrap());
                let knows = |node: &Place| {
                    let running = members.nodes[*node].as_ref();
                    running.is_some_and(|running| running.process.speaker.ownership(address).is_some())
                };
                if here.is_empty() && component.iter().any(knows) {
                    let since = *self.unanswered.entry(key).or_insert(now);
                    let gap = now.saturating_sub(since.max(self.disturbed));
                    self.longest_gap = self.longest_gap.max(gap);
                    assert!(
                        gap <= BOUND,
                        "nobody of {component:?} has answered for {address} for {gap:?}, at {now:?}"
                    );
                } else {
                    self.unanswered.remove(&key);
                }
            }
            if double {
                let since = *self.double.entry(address).or_insert(now);
                let time = now.saturating_sub(since.max(self.disturbed));
                self.longest_double = self.longest_double.max(time);
                assert!(
                    time <= BOUND,
                    "{answering:?} answer for {address} and have heard each other for {time:?}, at {now:?}"
                );
            } else {
                self.double.remove(&address);
            }
        }
    }

    /// At rest exactly one answers for each, among those that can hear each other; no way is cut in part then.
    pub(crate) fn at_rest(&self, members: &Members<Speaking>) {
        let components = components(members);
        for service in 0..self.services {
            let address = address(service);
            let answering: BTreeSet<Place> = Cluster::answering(members, address).into_iter().collect();
            for component in &components {
                let here = component.intersection(&answering).count();
                assert_eq!(here, 1, "{answering:?} answer for {address} at rest");
            }
        }
    }
}
