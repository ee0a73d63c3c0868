//! Members of a cluster on a network in virtual time: processes that start, die, stand still, and whose clocks differ.
//!
//! Every node is on [`LANS`] LANs, each with an address of its own, and knows the others by those of the first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use lbnet::membership::carrier::PORT;
use lbnet::membership::{Event, Identity, Incoming, Membership, Segment, Settings};

use super::{Place, Simulated, Weather};

/// So many LANs there are.
pub const LANS: usize = 2;

/// A datagram: the session and the number outside of it, and what is in it.
type Datagram = (u64, u64, Vec<u8>);

/// So many that come while their receiver stands still wait in its socket.
const SOCKET: usize = 1000;

/// More than this does not happen at one moment, unless something wakes itself without end.
const BUSY: u32 = 20_000;

/// What a process does besides being a member.
pub trait Process {
    /// Something happened to the member.
    fn happened(&mut self, member: &mut Membership, event: &Event, now: Now);

    /// Time has passed, or something has come.
    fn wake(&mut self, member: &mut Membership, now: Now);

    /// When it wants to be woken next.
    fn deadline(&self) -> Option<Duration>;
}

/// A moment by the clock of a node.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// As members take it.
    pub clock: Instant,
    /// Since the beginning.
    pub since: Duration,
}

impl Process for () {
    fn happened(&mut self, _: &mut Membership, _: &Event, _: Now) {}

    fn wake(&mut self, _: &mut Membership, _: Now) {}

    fn deadline(&self) -> Option<Duration> {
        None
    }
}

/// A process on a node.
#[derive(Debug)]
pub struct Running<P> {
    /// The member.
    pub member: Membership,
    /// What it does besides.
    pub process: P,
    /// It does nothing until then.
    stands_until: Duration,
    /// What waits, with where it is from and to.
    socket: Vec<((Place, Place), Datagram)>,
}

/// The cluster.
#[derive(Debug)]
pub struct Members<P> {
    base: Instant,
    /// The time that has passed.
    pub now: Duration,
    /// What is between them.
    pub network: Simulated<Datagram>,
    /// What runs on each node, if anything does.
    pub nodes: Vec<Option<Running<P>>>,
    settings: Settings,
    /// How fast the clock of each node goes, in thousandths.
    rates: Vec<u32>,
    /// What happened, when and on which node.
    pub story: Vec<(Duration, Place, Event)>,
    sessions: u64,
    /// When something happens on each node by itself, and those of which that is to be found out anew.
    dues: Vec<Option<Duration>>,
    touched: BTreeSet<Place>,
    /// Datagrams sent so far.
    pub sent: u64,
}

/// The name of a node.
#[must_use]
pub fn name(node: Place) -> String {
    format!("n{node}")
}

/// The interface of every node on a LAN.
#[must_use]
pub fn interface(lan: usize) -> String {
    format!("eth{lan}")
}

/// The index of it, as every node's kernel has it.
fn index(lan: usize) -> u32 {
    u32::try_from(lan).unwrap_or(u32::MAX).saturating_add(1)
}

fn address(node: Place, lan: usize) -> SocketAddr {
    let ([.., high, low], [.., lan]) = (node.to_be_bytes(), lan.to_be_bytes());
    SocketAddr::from(([10, lan, high, low], PORT))
}

/// The node and the LAN of an address.
fn node_at(address: SocketAddr) -> Option<(Place, usize)> {
    let IpAddr::V4(v4) = address.ip() else { return None };
    let [_, lan, high, low] = v4.octets();
    Some((u16::from_be_bytes([high, low]).into(), lan.into()))
}

impl<P: Process> Members<P> {
    /// Nodes on which nothing runs yet.
    #[must_use]
    pub fn new(count: usize, settings: Settings, weather: Weather, seed: u64) -> Self {
        Self {
            base: Instant::now(),
            now: Duration::ZERO,
            network: Simulated::new(weather, seed),
            nodes: (0..count).map(|_| None).collect(),
            settings,
            rates: vec![1000; count],
            story: Vec::new(),
            sessions: seed.wrapping_mul(1_000_003),
            dues: vec![None; count],
            touched: BTreeSet::new(),
            sent: 0,
        }
    }

    /// Where a node is in the network, by one of its LANs.
    #[must_use]
    pub fn place(&self, node: Place, lan: usize) -> Place {
        lan * self.nodes.len() + node
    }

    /// Cuts a node off from all others on one LAN, or joins it again. Its carrier stays up.
    pub fn cut_off(&mut self, node: Place, lan: usize, cut: bool) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let (one, other) = (self.place(node, lan), self.place(other, lan));
            self.network.set_cut(one, other, cut);
            self.network.set_cut(other, one, cut);
        }
    }

    /// A node announces on these LANs, and all others are on them too.
    pub fn announce_on(&mut self, node: Place, lans: &[usize]) {
        let on = |lan: usize| {
            let others = (0..self.nodes.len()).filter(|other| *other != node);
            let members = others.map(|other| (name(other), [address(other, lan)].into())).collect();
            (interface(lan), Segment { index: index(lan), members })
        };
        let segments = lans.iter().map(|lan| on(*lan)).collect();
        self.with(node, |_, member, now| member.set_segments(segments, now.clock));
    }

    /// Frames of stations that are no members come to a node by a LAN.
    pub fn frames(&mut self, node: Place, lan: usize) {
        self.with(node, |_, member, now| member.on_frames(&interface(lan), now.clock));
    }

    /// The clock of a node goes at this rate, in thousandths of what is right, from the next start on.
    pub fn set_rate(&mut self, node: Place, thousandths: u32) {
        self.rates[node] = thousandths;
    }

    /// What the clock of a node shows at a moment.
    fn clock(&self, node: Place, now: Duration) -> Instant {
        self.base + now * self.rates[node] / 1000
    }

    fn local(&self, node: Place) -> Now {
        let clock = self.clock(node, self.now);
        Now { clock, since: clock - self.base }
    }

    /// The moment at which the clock of a node shows this.
    fn moment(&self, node: Place, clock: Instant) -> Duration {
        // Not a moment too early: else it would be woken for nothing again and again.
        clock.saturating_duration_since(self.base) * 1000 / self.rates[node] + Duration::from_micros(1)
    }

    /// A new process on a node, with these others configured.
    pub fn start(&mut self, node: Place, others: impl IntoIterator<Item = Place>, process: P) {
        let others = others.into_iter().filter(|other| *other != node);
        let peers: BTreeMap<String, BTreeSet<SocketAddr>> =
            others.map(|other| (name(other), [address(other, 0)].into())).collect();
        self.start_and(node, process, |member, now| {
            let expected = peers.keys().cloned().collect();
            member.set_peers(peers, now);
            member.expect(expected, now);
        });
    }

    /// A new process on a node that knows the others by their addresses alone.
    pub fn start_among(&mut self, node: Place, others: impl IntoIterator<Item = Place>, process: P) {
        let others = others.into_iter().filter(|other| *other != node);
        let contacts = others.map(|other| address(other, 0)).collect();
        self.start_and(node, process, |member, now| {
            member.set_contacts(&contacts, now);
            member.expect(BTreeSet::new(), now);
        });
    }

    fn start_and(&mut self, node: Place, process: P, begin: impl FnOnce(&mut Membership, Instant)) {
        self.sessions += 1;
        let now = self.clock(node, self.now);
        let me = Identity {
            name: name(node),
            session: self.sessions,
            generation: self.sessions,
            addresses: vec![address(node, 0)],
        };
        let seed = self.network.draw(u64::MAX);
        let mut member = Membership::new(self.settings.clone(), me, seed, now);
        begin(&mut member, now);
        let socket = Vec::new();
        self.nodes[node] = Some(Running { member, process, stands_until: Duration::ZERO, socket });
        self.carry(node);
    }

    /// The process of a node is no more, without a word.
    pub fn kill(&mut self, node: Place) {
        self.nodes[node] = None;
        self.touched.insert(node);
    }

    /// The process does nothing for a while, as after SIGSTOP.
    pub fn stand_still(&mut self, node: Place, time: Duration) {
        let until = self.now + time;
        if let Some(node) = &mut self.nodes[node] {
            node.stands_until = until;
        }
        self.touched.insert(node);
    }

    /// Whether the process of a node runs, and does not stand still.
    #[must_use]
    pub fn runs(&self, node: Place) -> bool {
        self.nodes[node].as_ref().is_some_and(|node| node.stands_until <= self.now)
    }

    /// The member on a node.
    ///
    /// # Panics
    /// Nothing runs there.
    pub fn member(&mut self, node: Place) -> &mut Membership {
        self.touched.insert(node);
        &mut self.nodes[node].as_mut().expect("it runs").member
    }

    /// A node tells something of itself.
    pub fn publish(&mut self, node: Place, changes: Vec<(String, Option<Vec<u8>>)>) {
        let now = self.clock(node, self.now);
        self.member(node).publish(changes, now);
        self.carry(node);
    }

    /// Something is done with what runs on a node, if anything does and it does not stand still.
    pub fn with<T>(&mut self, node: Place, act: impl FnOnce(&mut P, &mut Membership, Now) -> T) -> Option<T> {
        if !self.runs(node) {
            return None;
        }
        let now = self.local(node);
        let running = self.nodes[node].as_mut()?;
        let done = act(&mut running.process, &mut running.member, now);
        self.carry(node);
        Some(done)
    }

    /// Cuts all ways between the nodes of `side` and the others, on all LANs.
    pub fn split(&mut self, side: &[Place]) {
        for one in 0..self.nodes.len() {
            for other in 0..self.nodes.len() {
                if side.contains(&one) != side.contains(&other) {
                    for lan in 0..LANS {
                        self.network.set_cut(self.place(one, lan), self.place(other, lan), true);
                    }
                }
            }
        }
    }

    fn carry(&mut self, node: Place) {
        self.touched.insert(node);
        let now = self.local(node);
        let Some(running) = &mut self.nodes[node] else { return };
        while let Some(event) = running.member.next_event() {
            running.process.happened(&mut running.member, &event, now);
            self.story.push((self.now, node, event));
        }
        running.process.wake(&mut running.member, now);
        while let Some(out) = running.member.next_datagram() {
            self.sent += 1;
            let Some((to, lan)) = node_at(out.to) else { continue };
            // From one LAN to another there is no way.
            if to < self.rates.len() && out.via.is_none_or(|via| via == index(lan)) {
                let datagram = (running.member.session(), out.sequence, out.bytes);
                let (from, to) = (lan * self.rates.len() + node, lan * self.rates.len() + to);
                self.network.send(self.now, from, to, datagram);
            }
        }
    }

    fn deliver(&mut self, from: Place, to: Place, (session, sequence, bytes): &Datagram) {
        let count = self.nodes.len();
        let (lan, from, to) = (to / count, from % count, to % count);
        let now = self.clock(to, self.now);
        if let Some(node) = &mut self.nodes[to] {
            let via = Some(index(lan));
            let incoming =
                Incoming { from: address(from, lan), via, session: *session, sequence: *sequence, bytes };
            node.member.receive(incoming, now);
        }
        self.carry(to);
    }

    fn tick(&mut self, node: Place) {
        let now = self.clock(node, self.now);
        let Some(running) = &mut self.nodes[node] else { return };
        // What lies in the socket of a process that stood still is of another time.
        let waiting = std::mem::take(&mut running.socket);
        let stood = running.member.has_stood_still(now);
        running.member.on_time(now);
        self.carry(node);
        for (from, datagram) in waiting {
            if !stood {
                let (from, to) = from;
                self.deliver(from, to, &datagram);
            }
        }
    }

    /// When something happens on a node by itself.
    fn due(&self, node: Place) -> Option<Duration> {
        let running = self.nodes[node].as_ref()?;
        let own = running.process.deadline().map(|after| self.moment(node, self.base + after));
        let due = self.moment(node, running.member.deadline());
        Some(own.map_or(due, |own| due.min(own)).max(running.stands_until))
    }

    /// Lets time pass, and looks at everything whenever something has happened.
    ///
    /// # Panics
    /// A node is woken again and again at the same moment.
    pub fn run_and(&mut self, time: Duration, mut look: impl FnMut(&Self)) {
        let end = self.now + time;
        let mut at_once = 0_u32;
        self.touched.extend(0..self.nodes.len());
        loop {
            for node in std::mem::take(&mut self.touched) {
                self.dues[node] = self.due(node);
            }
            let dues = self.dues.iter().enumerate();
            let next = dues.filter_map(|(node, due)| Some(((*due)?, node))).min();
            let arrival = self.network.next();
            let Some(at) = next.map(|(at, _)| at).into_iter().chain(arrival).min().filter(|at| *at <= end)
            else {
                break;
            };
            let stands = at <= self.now + Duration::from_micros(2) && arrival != Some(at);
            at_once = if stands { at_once + 1 } else { 0 };
            assert!(at_once < BUSY, "the nodes are busy without end: {next:?} is due at {:?}", self.now);
            self.now = self.now.max(at);
            if arrival == Some(at) {
                if let Some((from, to, datagram)) = self.network.arrived(self.now) {
                    let count = self.nodes.len();
                    match &mut self.nodes[to % count] {
                        Some(node) if node.stands_until > self.now => {
                            if node.socket.len() < SOCKET {
                                node.socket.push(((from, to), datagram));
                            }
                        }
                        _ => self.deliver(from, to, &datagram),
                    }
                }
            } else if let Some((_, node)) = next {
                self.tick(node);
            }
            look(self);
        }
        self.now = end;
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        self.run_and(time, |_| {});
    }

    /// Whether every running node sees just the running ones alive.
    ///
    /// # Errors
    /// One does not; which, and what it sees.
    pub fn agree(&self) -> Result<(), String> {
        let running: BTreeSet<String> =
            (0..self.nodes.len()).filter(|node| self.nodes[*node].is_some()).map(name).collect();
        for (node, running_node) in self.nodes.iter().enumerate() {
            let Some(running_node) = running_node else { continue };
            let mut seen: BTreeSet<String> = running_node.member.alive().map(str::to_owned).collect();
            seen.insert(name(node));
            if seen != running {
                return Err(format!("{} sees {seen:?}, and {running:?} run", name(node)));
            }
        }
        Ok(())
    }

    /// Whether every running node has the tables of all others.
    ///
    /// # Errors
    /// One does not; which, and whose.
    pub fn tables_agree(&self) -> Result<(), String> {
        for (node, running) in self.nodes.iter().enumerate() {
            let Some(running) = running else { continue };
            for (at, other) in self.nodes.iter().enumerate().filter(|(at, _)| *at != node) {
                let Some(other) = other else { continue };
                if other.member.records(&name(node)) != Some(running.member.published()) {
                    return Err(format!("{} has not the table of {}", name(at), name(node)));
                }
            }
        }
        Ok(())
    }

    /// The deaths of a node that were noticed since a moment: by whom, and how long after it.
    #[must_use]
    pub fn deaths(&self, of: Place, since: Duration) -> BTreeMap<Place, Duration> {
        let died = |event: &Event| matches!(event, Event::Down { name: dead, .. } if *dead == name(of));
        let deaths = self.story.iter().rev().filter(|(at, _, event)| *at >= since && died(event));
        deaths.map(|(at, by, _)| (*by, at.saturating_sub(since))).collect()
    }
}
