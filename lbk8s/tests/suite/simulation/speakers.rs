//! Speakers in virtual time: each with the world as it has heard of it, and the claims of all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use lbcore::ownership::claims::{Cause, Failback};
use lbk8s::speaker::team::{FACTS, LEAVING, READY, Told};
use lbk8s::speaker::{Change, Effect, Rules, Speaker, WithoutSlices};
use lblab::simulated::members::{Members, Now, Process, name};
use lblab::simulated::{Place, Weather};
use lbnet::membership::{Event, Membership, Settings};
use serde_json::{Value, json};

use super::laws::epochs_grow;
use crate::harness::{advertisement, announced, config_change, holding, pool};

/// A speaker, as its edge would run it.
pub(crate) struct Speaking {
    pub(crate) speaker: Speaker,
    /// What it has been told of the others may be acted upon: it may answer.
    permitted: bool,
    /// It has heard the others, or waited for them, once.
    began: bool,
    /// Addresses that it took, with the epoch and the cause, until they are looked at.
    pub(crate) taken: Vec<(IpAddr, Option<Cause>)>,
    /// The Services of which it told the LAN where their addresses are, by number, each time that it did.
    pub(crate) announced: Vec<usize>,
    /// Under which epoch it claimed each of them last.
    pub(crate) epochs: BTreeMap<usize, u64>,
    /// The same of others, by name, as far as they have told.
    pub(crate) heard: BTreeMap<(String, usize), u64>,
    /// How often it told the LAN of an address once more.
    pub(crate) again: u64,
    /// Counts what may have changed which addresses it knows and answers for.
    changes: u64,
}

impl Speaking {
    fn apply(&mut self, change: Change) {
        let is_time = matches!(change, Change::Time(_));
        let effects = self.speaker.apply(change);
        if !is_time || !effects.is_empty() {
            self.changes += 1;
        }
        for effect in effects {
            match effect {
                Effect::Owner { address, why, .. } => self.taken.push((address, why)),
                Effect::AnnounceAgain { address } => {
                    self.again += 1;
                    self.announced.push(service(address));
                }
                Effect::Announce { address, .. } => self.announced.push(service(address)),
                Effect::Withdraw { .. } | Effect::Nobody { .. } | Effect::Overlap { .. } => {}
            }
        }
    }

    /// Takes in what another one tells of itself.
    fn hear(&mut self, member: &Membership, name: &str) {
        let told = member.records(name).map(Told::read).unwrap_or_default();
        let claims =
            told.claims.iter().map(|(address, epoch)| ((name.to_owned(), service(*address)), *epoch));
        self.heard.extend(claims);
        self.apply(Change::Member(name.to_owned(), Box::new(told)));
    }

    /// The addresses that are answered, while the process runs.
    pub(crate) fn answers(&self) -> BTreeSet<IpAddr> {
        if self.permitted { self.speaker.owned().collect() } else { BTreeSet::new() }
    }
}

impl Process for Speaking {
    fn happened(&mut self, member: &mut Membership, event: &Event, now: Now) {
        self.speaker.set_clock(now.since);
        match event {
            Event::Up { name, restarted } => {
                self.apply(Change::MemberUp(name.clone()));
                if !restarted {
                    self.hear(member, name);
                }
            }
            Event::Down { name, .. } => self.apply(Change::MemberDown(name.clone())),
            Event::Table { name } => self.hear(member, name),
            Event::StoodStill(_) => {
                self.permitted = false;
                self.apply(Change::StoodStill);
            }
            Event::TakenForDead { .. } => {
                self.permitted = false;
                self.apply(Change::TakenForDead);
            }
            Event::Ready { .. } => {
                self.began = true;
                self.apply(Change::Joined);
                self.permitted = true;
            }
            Event::Segment { .. } => {}
            Event::NameTaken { .. } => panic!("every name is there once"),
        }
    }

    fn wake(&mut self, member: &mut Membership, now: Now) {
        self.speaker.set_clock(now.since);
        self.apply(Change::Time(now.since));
        let records = self.speaker.records_to_tell();
        if records.is_empty() {
            return;
        }
        let before = Told::read(member.published()).claims;
        member.publish(records, now.clock);
        let own = Told::read(member.published()).claims;
        epochs_grow(member, &before, &own);
        assert!(self.began || own.is_empty(), "{} claims {own:?} before it has heard anybody", member.name());
        self.epochs.extend(own.into_iter().map(|(address, epoch)| (service(address), epoch)));
    }

    fn deadline(&self) -> Option<Duration> {
        self.speaker.deadline()
    }
}

/// A cluster of speakers, with Services that have addresses.
pub(crate) struct Cluster {
    pub(crate) members: Members<Speaking>,
    /// All objects as the API has them.
    objects: BTreeMap<String, Value>,
    /// Changes on their way to a node: when they come there.
    changes: Vec<(Duration, Place, Change)>,
    /// Nodes that do not hear of changes for the time being, and what they miss.
    cut_off: BTreeMap<Place, Vec<Change>>,
    /// Nodes that are slow, and when they stop short next.
    slow: BTreeSet<Place>,
    stumble: Duration,
    failback: Failback,
}

/// A slow node stops short so often,
const STUMBLES: Duration = Duration::from_millis(200);
/// and for so many milliseconds at most: less than what it would take for a standstill.
const SLOW: u64 = 150;

fn node_object(node: Place, drained: bool) -> Value {
    let annotations = if drained { json!({"lbd.io/drain": "true"}) } else { json!({}) };
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": name(node), "labels": {"kubernetes.io/hostname": name(node)}, "annotations": annotations,
        },
    })
}

fn change(object: &Value) -> Change {
    match object["kind"].as_str().unwrap() {
        "Service" => Change::Service(announced(object)),
        "Node" => Change::Node(lbk8s::objects::node::read(&serde_json::from_value(object.clone()).unwrap())),
        _ => Change::Config(config_change(object)),
    }
}

pub(crate) fn address(service: usize) -> IpAddr {
    IpAddr::from([10, 0, u8::try_from(service / 250).unwrap(), u8::try_from(service % 250 + 1).unwrap()])
}

/// The number of the Service that has an address.
fn service(address: IpAddr) -> usize {
    let IpAddr::V4(v4) = address else { panic!("{address} is of no Service") };
    let [_, _, high, low] = v4.octets();
    usize::from(high) * 250 + usize::from(low) - 1
}

impl Cluster {
    pub(crate) fn new(
        nodes: usize,
        services: usize,
        settings: Settings,
        weather: Weather,
        seed: u64,
    ) -> Self {
        let mut cluster = Self {
            members: Members::new(nodes, settings, weather, seed),
            objects: BTreeMap::new(),
            changes: Vec::new(),
            cut_off: BTreeMap::new(),
            slow: BTreeSet::new(),
            stumble: Duration::ZERO,
            failback: Failback::default(),
        };
        cluster.store(pool("default", 0, &["10.0.0.0/16"]));
        cluster.store(advertisement("all", &json!({})));
        for node in 0..nodes {
            cluster.store(node_object(node, false));
        }
        for service in 0..services {
            cluster.add_service(service);
        }
        cluster
    }

    fn store(&mut self, object: Value) -> Change {
        let key = format!("{}/{}", object["kind"], object["metadata"]["name"]);
        let change = change(&object);
        self.objects.insert(key, object);
        change
    }

    pub(crate) fn add_service(&mut self, number: usize) {
        let service = holding(&format!("s{number}"), 1, &[&address(number).to_string()], "default");
        let change = self.store(service);
        self.tell_all(&change);
    }

    pub(crate) fn drain(&mut self, node: Place, drained: bool) {
        let change = self.store(node_object(node, drained));
        self.tell_all(&change);
    }

    /// Each node hears of it a little later.
    fn tell_all(&mut self, change: &Change) {
        for node in 0..self.members.nodes.len() {
            let later = Duration::from_millis(1 + self.members.network.draw(40));
            match self.cut_off.get_mut(&node) {
                Some(missed) => missed.push(change.clone()),
                None => self.changes.push((self.members.now + later, node, change.clone())),
            }
        }
    }

    /// A node hears of no changes from now on, or of all that it missed.
    pub(crate) fn cut_off(&mut self, node: Place, cut: bool) {
        if cut {
            self.cut_off.entry(node).or_default();
        } else if let Some(missed) = self.cut_off.remove(&node) {
            let now = self.members.now;
            self.changes.extend(missed.into_iter().map(|change| (now, node, change)));
        }
    }

    /// Everything that a node does comes late from now on, or no more.
    pub(crate) fn set_slow(&mut self, node: Place, slow: bool) {
        if slow {
            self.slow.insert(node);
        } else {
            self.slow.remove(&node);
        }
    }

    fn slow_ones_stumble(&mut self) {
        if self.members.now < self.stumble {
            return;
        }
        self.stumble = self.members.now + STUMBLES;
        for node in self.slow.clone() {
            let time = Duration::from_millis(1 + self.members.network.draw(SLOW));
            if self.members.runs(node) {
                self.members.stand_still(node, time);
            }
        }
    }

    /// A new process on a node. It reads all objects there are, as soon as the API answers it.
    pub(crate) fn start(&mut self, node: Place) {
        let rules = Rules {
            without_slices: WithoutSlices::Served,
            together: Some(self.failback),
            ..Rules::default()
        };
        let mut speaking = Speaking {
            speaker: Speaker::new(name(node), rules),
            permitted: false,
            began: false,
            taken: vec![],
            announced: vec![],
            epochs: BTreeMap::new(),
            heard: BTreeMap::new(),
            again: 0,
            changes: 0,
        };
        speaking.speaker.count_from(u64::try_from(self.members.now.as_micros()).unwrap());
        let listed = self.objects.values().map(change).chain([Change::Synced]);
        let is_cut_off = self.cut_off.contains_key(&node);
        if is_cut_off {
            self.cut_off.insert(node, listed.collect());
        } else {
            listed.for_each(|change| speaking.apply(change));
        }
        speaking.apply(Change::OwnFacts(vec![interface()]));
        self.changes.retain(|(_, to, _)| *to != node);
        self.members.start(node, 0..self.members.nodes.len(), speaking);
        let facts = json!({"interfaces": [{"name": "eth0", "mac": "", "subnets": ["10.0.0.0/8"]}]});
        self.members.publish(node, vec![(FACTS.to_owned(), Some(facts.to_string().into_bytes()))]);
        if !is_cut_off {
            self.is_ready(node);
        }
    }

    /// A node knows the world, and says so.
    fn is_ready(&mut self, node: Place) {
        self.members.publish(node, vec![(READY.to_owned(), Some(Vec::new()))]);
    }

    /// The process of a node is told to end: it waits until others have what it has.
    pub(crate) fn leave(&mut self, node: Place) {
        self.members.with(node, |speaking, member, now| {
            member.publish([(LEAVING.to_owned(), Some(Vec::new()))], now.clock);
            speaking.apply(Change::Leave);
        });
    }

    /// Whether a process that was told to end may, and says so then.
    pub(crate) fn end_if_left(&mut self, node: Place) -> bool {
        let left = self.members.with(node, |speaking, member, _| {
            let left = !speaking.speaker.waits_for_successors();
            if left {
                member.leave();
            }
            left
        });
        let left = left.unwrap_or(false);
        if left {
            self.members.kill(node);
        }
        left
    }

    /// All that decides which addresses are answered, and by whom: two equal fingerprints mean that nothing has changed.
    pub(crate) fn fingerprint(members: &Members<Speaking>, into: &mut Vec<u64>) {
        into.clear();
        into.push(members.network.cut_changes());
        for (node, running) in members.nodes.iter().enumerate() {
            let Some(running) = running else {
                into.extend([0, 0]);
                continue;
            };
            let flags = u64::from(members.runs(node)) << 1 | u64::from(running.process.permitted);
            into.extend([running.member.session(), running.process.changes << 2 | flags]);
        }
    }

    /// Who answers for an address.
    pub(crate) fn answering(members: &Members<Speaking>, address: IpAddr) -> Vec<Place> {
        let answers = |node: &Place| {
            let running = members.nodes[*node].as_ref().filter(|_| members.runs(*node));
            running.is_some_and(|it| it.process.permitted && it.process.speaker.owns(address))
        };
        (0..members.nodes.len()).filter(answers).collect()
    }

    /// Lets time pass, and looks at everything whenever something has happened.
    pub(crate) fn run(&mut self, time: Duration, mut look: impl FnMut(&Members<Speaking>)) {
        let end = self.members.now + time;
        while self.members.now < end {
            self.slow_ones_stumble();
            let stumble = if self.slow.is_empty() { end } else { self.stumble };
            let next = self.changes.iter().map(|(at, _, _)| *at).min().unwrap_or(end).min(end).min(stumble);
            let pause = next.saturating_sub(self.members.now);
            self.members.run_and(pause, &mut look);
            let now = self.members.now;
            self.changes.sort_by_key(|(at, node, _)| (*at, *node));
            let later = self.changes.split_off(self.changes.partition_point(|(at, _, _)| *at <= now));
            for (at, node, change) in std::mem::replace(&mut self.changes, later) {
                let told = self.members.with(node, |speaking, _, _| speaking.apply(change.clone()));
                // Who stands still hears of it when it goes on.
                if told.is_some() && matches!(change, Change::Synced) {
                    self.is_ready(node);
                }
                if told.is_none() && self.members.nodes[node].is_some() {
                    self.changes.push((at.max(now) + Duration::from_millis(20), node, change));
                }
                look(&self.members);
            }
            look(&self.members);
        }
    }
}

fn interface() -> lbcore::ownership::Interface {
    lbcore::ownership::Interface {
        name: "eth0".to_owned(),
        subnets: vec!["10.0.0.0/8".parse().unwrap()],
        unheard: false,
    }
}
