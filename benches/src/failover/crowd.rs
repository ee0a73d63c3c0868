//! Members in virtual time, also a thousand of them: each is looked at only when something comes or its own deadline does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use lblab::simulated::{Place, Simulated, Weather};
use lbnet::membership::carrier::PORT;
use lbnet::membership::{Counters, Event, Identity, Incoming, Membership, Settings, Why};

/// A datagram: the session and the number outside of it, and what is in it.
type Datagram = (u64, u64, Vec<u8>);

/// The members, and the network between them. The same seed gives the same story.
pub(super) struct Crowd {
    base: Instant,
    pub(super) now: Duration,
    network: Simulated<Datagram>,
    settings: Settings,
    members: Vec<Option<Membership>>,
    /// When each is to be woken, and the same by time, with entries that count no more.
    due: Vec<Option<Duration>>,
    wakes: BinaryHeap<Reverse<(Duration, Place)>>,
    /// Who took whom to be dead without having been told by that one itself, and when.
    pub(super) deaths: Vec<(Duration, Place, String)>,
    sessions: u64,
}

impl Crowd {
    /// So many, all started at once.
    pub(super) fn new(count: usize, settings: Settings, weather: Weather, seed: u64) -> Self {
        let mut crowd = Self {
            base: Instant::now(),
            now: Duration::ZERO,
            network: Simulated::new(weather, seed),
            settings,
            members: (0..count).map(|_| None).collect(),
            due: vec![None; count],
            wakes: BinaryHeap::new(),
            deaths: Vec::new(),
            sessions: 0,
        };
        (0..count).for_each(|place| crowd.start(place));
        crowd
    }

    /// A new process on a node, which is told of all nodes.
    pub(super) fn start(&mut self, place: Place) {
        self.sessions += 1;
        let now = self.base + self.now;
        let me = Identity {
            name: name(place),
            session: self.sessions,
            generation: self.sessions,
            addresses: vec![address(place)],
        };
        let mut member = Membership::new(self.settings.clone(), me, self.network.draw(u64::MAX), now);
        let others = (0..self.members.len()).filter(|other| *other != place);
        let peers: BTreeMap<String, BTreeSet<SocketAddr>> =
            others.map(|other| (name(other), [address(other)].into())).collect();
        let expected = peers.keys().cloned().collect();
        member.set_peers(peers, now);
        member.expect(expected, now);
        self.members[place] = Some(member);
        self.carry(place);
    }

    /// The process of a node is no more, without a word.
    pub(super) fn kill(&mut self, place: Place) {
        (self.members[place], self.due[place]) = (None, None);
    }

    /// A number below `below`, by the seed.
    pub(super) fn draw(&mut self, below: u64) -> u64 {
        self.network.draw(below)
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while self.wakes.peek().is_some_and(|Reverse((at, place))| self.due[*place] != Some(*at)) {
                self.wakes.pop();
            }
            let wake = self.wakes.peek().map(|Reverse(wake)| *wake);
            let arrival = self.network.next();
            let Some(at) = wake.map(|(at, _)| at).into_iter().chain(arrival).min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(at);
            let now = self.base + self.now;
            if arrival == Some(at) {
                let Some((from, to, (session, sequence, bytes))) = self.network.arrived(self.now) else {
                    continue;
                };
                if let Some(member) = &mut self.members[to] {
                    let bytes = bytes.as_slice();
                    member
                        .receive(Incoming { from: address(from), via: None, session, sequence, bytes }, now);
                    self.carry(to);
                }
            } else if let Some((_, place)) = wake {
                if let Some(member) = &mut self.members[place] {
                    member.on_time(now);
                }
                self.carry(place);
            }
        }
        self.now = end;
    }

    fn carry(&mut self, place: Place) {
        let Some(member) = &mut self.members[place] else { return };
        while let Some(event) = member.next_event() {
            if let Event::Down { name, why: Why::Silent { .. } | Why::Told { .. }, .. } = event {
                self.deaths.push((self.now, place, name));
            }
        }
        while let Some(out) = member.next_datagram() {
            if let Some(to) = place_of(out.to).filter(|to| *to < self.due.len()) {
                self.network.send(self.now, place, to, (member.session(), out.sequence, out.bytes));
            }
        }
        // Not a moment too early: else it would be woken for nothing.
        let due =
            member.deadline().saturating_duration_since(self.base).max(self.now) + Duration::from_micros(1);
        if self.due[place].replace(due) != Some(due) {
            self.wakes.push(Reverse((due, place)));
        }
    }

    /// Whether every running node sees all running ones alive.
    pub(super) fn agrees(&self) -> bool {
        let running = self.members.iter().flatten().count();
        self.members.iter().flatten().all(|member| member.alive().count() + 1 == running)
    }

    /// What all running ones have counted, together.
    pub(super) fn counted(&self) -> Counters {
        self.members.iter().flatten().map(Membership::counters).fold(Counters::default(), |sum, it| {
            Counters {
                sent: sum.sent + it.sent,
                sent_bytes: sum.sent_bytes + it.sent_bytes,
                beats: sum.beats + it.beats,
                suspicions: sum.suspicions + it.suspicions,
                explained: sum.explained + it.explained,
                deaths: sum.deaths + it.deaths,
                ..sum
            }
        })
    }
}

pub(super) fn name(place: Place) -> String {
    format!("n{place}")
}

fn address(place: Place) -> SocketAddr {
    let [.., high, low] = place.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], PORT))
}

fn place_of(address: SocketAddr) -> Option<Place> {
    match address.ip() {
        IpAddr::V4(v4) => Some(u16::from_be_bytes([v4.octets()[2], v4.octets()[3]]).into()),
        IpAddr::V6(_) => None,
    }
}
