//! Members on a network in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lblab::simulated::{Simulated, Weather};
use lbnet::membership::{Event, Identity, Incoming, Membership, Settings};

/// A datagram: the session and the number outside of it, and what is in it.
type Datagram = (u64, u64, Vec<u8>);

/// One that came while its receiver stood still waits in the socket.
const SOCKET: usize = 1000;

pub(crate) struct Node {
    pub(crate) member: Membership,
    /// It does nothing until then.
    stands_until: Duration,
    socket: Vec<(usize, Datagram)>,
}

pub(crate) struct Cluster {
    base: Instant,
    pub(crate) now: Duration,
    pub(crate) network: Simulated<Datagram>,
    pub(crate) nodes: Vec<Option<Node>>,
    settings: Settings,
    /// What happened, where and when.
    pub(crate) story: Vec<(Duration, usize, Event)>,
    sessions: u64,
    pub(crate) sent: u64,
}

pub(crate) fn name(node: usize) -> String {
    format!("n{node}")
}

fn address(node: usize) -> SocketAddr {
    let [.., high, low] = u32::try_from(node).unwrap().to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 7947))
}

fn node_at(address: SocketAddr) -> usize {
    match address.ip() {
        std::net::IpAddr::V4(v4) => usize::from(u16::from_be_bytes([v4.octets()[2], v4.octets()[3]])),
        std::net::IpAddr::V6(_) => unreachable!("all are IPv4"),
    }
}

impl Cluster {
    /// Nodes that all start at once and know of each other.
    pub(crate) fn new(count: usize, settings: Settings, weather: Weather, seed: u64) -> Self {
        let mut cluster = Self {
            base: Instant::now(),
            now: Duration::ZERO,
            network: Simulated::new(weather, seed),
            nodes: (0..count).map(|_| None).collect(),
            settings,
            story: Vec::new(),
            sessions: seed.wrapping_mul(1_000_003),
            sent: 0,
        };
        for node in 0..count {
            cluster.start(node);
        }
        cluster
    }

    pub(crate) fn at(&self, now: Duration) -> Instant {
        self.base + now
    }

    /// A new process on a node, with all others configured.
    pub(crate) fn start(&mut self, node: usize) {
        let others = 0..self.nodes.len();
        self.start_knowing(node, others);
    }

    pub(crate) fn start_knowing(&mut self, node: usize, others: impl IntoIterator<Item = usize>) {
        self.sessions += 1;
        let now = self.at(self.now);
        let me = Identity {
            name: name(node),
            session: self.sessions,
            generation: self.sessions,
            addresses: vec![address(node)],
        };
        let seed = self.network.draw(u64::MAX);
        let mut member = Membership::new(self.settings.clone(), me, seed, now);
        let others: Vec<usize> = others.into_iter().filter(|other| *other != node).collect();
        let peers: BTreeMap<String, BTreeSet<SocketAddr>> =
            others.iter().map(|other| (name(*other), [address(*other)].into())).collect();
        let expected = peers.keys().cloned().collect();
        member.set_peers(peers, now);
        member.expect(expected, now);
        self.nodes[node] = Some(Node { member, stands_until: Duration::ZERO, socket: Vec::new() });
        self.carry(node);
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    /// The process does nothing for a while, as after SIGSTOP.
    pub(crate) fn stand_still(&mut self, node: usize, time: Duration) {
        let until = self.now + time;
        if let Some(node) = &mut self.nodes[node] {
            node.stands_until = until;
        }
    }

    pub(crate) fn member(&mut self, node: usize) -> &mut Membership {
        &mut self.nodes[node].as_mut().expect("it runs").member
    }

    pub(crate) fn publish(&mut self, node: usize, changes: Vec<(String, Option<Vec<u8>>)>) {
        let now = self.at(self.now);
        self.member(node).publish(changes, now);
        self.carry(node);
    }

    /// Cuts all ways between the nodes of `side` and the others.
    pub(crate) fn split(&mut self, side: &[usize]) {
        for one in 0..self.nodes.len() {
            for other in 0..self.nodes.len() {
                if side.contains(&one) != side.contains(&other) {
                    self.network.set_cut(one, other, true);
                }
            }
        }
    }

    fn carry(&mut self, node: usize) {
        let Some(running) = &mut self.nodes[node] else { return };
        while let Some(out) = running.member.next_datagram() {
            self.sent += 1;
            let session = running.member.session();
            self.network.send(self.now, node, node_at(out.to), (session, out.sequence, out.bytes));
        }
        while let Some(event) = running.member.next_event() {
            self.story.push((self.now, node, event));
        }
    }

    fn deliver(&mut self, from: usize, to: usize, (session, sequence, bytes): &Datagram) {
        let now = self.at(self.now);
        if let Some(node) = &mut self.nodes[to] {
            let incoming = Incoming { from: address(from), session: *session, sequence: *sequence, bytes };
            node.member.receive(incoming, now);
        }
        self.carry(to);
    }

    fn tick(&mut self, node: usize) {
        let now = self.at(self.now);
        let Some(running) = &mut self.nodes[node] else { return };
        // What lies in the socket of a process that stood still is of another time.
        let waiting = std::mem::take(&mut running.socket);
        let stood = running.member.has_stood_still(now);
        running.member.on_time(now);
        self.carry(node);
        for (from, datagram) in waiting {
            if !stood {
                self.deliver(from, node, &datagram);
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = |node: &Node| {
                let deadline = node.member.deadline().saturating_duration_since(self.base);
                deadline.max(node.stands_until)
            };
            let nodes = self.nodes.iter().enumerate();
            let next = nodes.filter_map(|(at, node)| Some((due(node.as_ref()?), at))).min();
            let arrival = self.network.next();
            let Some(at) = next.map(|(at, _)| at).into_iter().chain(arrival).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            if arrival == Some(at) {
                if let Some((from, to, datagram)) = self.network.arrived(self.now) {
                    match &mut self.nodes[to] {
                        Some(node) if node.stands_until > self.now => {
                            if node.socket.len() < SOCKET {
                                node.socket.push((from, datagram));
                            }
                        }
                        _ => self.deliver(from, to, &datagram),
                    }
                }
            } else if let Some((_, node)) = next {
                self.tick(node);
            }
        }
        self.now = end;
    }

    /// Whether every running node sees just the running ones alive.
    pub(crate) fn agree(&self) -> Result<(), String> {
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
    pub(crate) fn tables_agree(&self) -> Result<(), String> {
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

    /// The deaths of a node that were noticed since a moment: by whom, and when.
    pub(crate) fn deaths(&self, of: usize, since: Duration) -> BTreeMap<usize, Duration> {
        let died = |event: &Event| matches!(event, Event::Down { name: dead, .. } if *dead == name(of));
        let deaths = self.story.iter().rev().filter(|(at, _, event)| *at >= since && died(event));
        deaths.map(|(at, by, _)| (*by, *at - since)).collect()
    }
}
