//! Who else is there, who has died, and what each tells of itself: without the API server, in less than half a second.
//!
//! [`Membership`] is a pure state machine. It is told of datagrams and of the time, and says what to send and what
//! happened; sockets, clocks and keys are the edge's (`carrier`). Six ideas make it:
//!
//! - **Watching.** A node beats ten times a second to a few others ([`Settings::watchers`]), chosen by rendezvous, and
//!   these notice when it falls silent. What a node sends does not grow with the cluster.
//! - **Asking.** Before a watcher says that a node is dead it asks others whether they can hear it, and again. One bad
//!   path, or a lossy network, moves nothing. A death is told to all at once.
//! - **Proof of life.** What counts is a datagram that repeats a number which its sender can only have heard from this
//!   process, and lately: no datagram that was recorded, or lay in a queue, makes anybody alive.
//! - **Segments.** On each LAN on which a node announces it finds out whether it is heard there; see [`Segment`].
//! - **Tables.** Each node has a table of records, and brings it to every other; see [`table`].
//! - **Gossip.** SWIM (foca) says who is there at all, so that a member which nobody has configured is found, and one
//!   whose watchers died with it is missed.
//!
//! A process that stood still (SIGSTOP, a paused virtual machine, a starved host) knows nothing of the time in between:
//! it counts no silence of others, says so ([`Event::StoodStill`]), and hears everybody anew before it goes on
//! ([`Event::Ready`]). So does one that others took for dead ([`Event::TakenForDead`]).

#[cfg(feature = "announce")]
pub mod carrier;
mod hearing;
pub mod keys;
pub mod message;
mod peer;
pub mod rendezvous;
pub mod replay;
mod segments;
mod settings;
mod swim;
pub mod table;
mod telling;
mod waiting;
mod watching;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use self::message::{Change, Session};
use self::peer::{Contact, Peer, State};
use self::segments::Segments;
pub use self::segments::{Segment, SegmentView};
pub use self::settings::Settings;
use self::swim::Swim;
use self::table::{Own, Records};
use self::waiting::Waiting;
use self::watching::Watching;

/// Who this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The node's name: the same after a restart.
    pub name: String,
    /// Drawn at random at each start; not 0.
    pub session: Session,
    /// Grows from one process of a node to the next, as the time of the start does nearly always. Only gossip needs it.
    pub generation: u64,
    /// Where this node can be reached.
    pub addresses: Vec<SocketAddr>,
}

/// Why a member is held to be dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It was silent, and nobody who was asked had heard it.
    Silent {
        /// How many were asked.
        asked: usize,
    },
    /// Another member said so.
    Told {
        /// Who.
        by: String,
    },
    /// It said that it goes.
    Left,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member is there.
    Up {
        /// Its name.
        name: String,
        /// It was there already, as a process that is no more.
        restarted: bool,
    },
    /// A member is there no more.
    Down {
        /// Its name.
        name: String,
        /// Why that is believed.
        why: Why,
        /// How long it had been silent.
        silent: Duration,
    },
    /// The table of a member has changed.
    Table {
        /// Its name.
        name: String,
    },
    /// This process stood still for so long, and knows nothing of what others did meanwhile. Whatever it was doing, others may
    /// do now.
    StoodStill(Duration),
    /// Others took this process to be dead, though it went on: it was not heard. Whatever it was doing, others may do now.
    TakenForDead {
        /// Who says so.
        by: String,
    },
    /// All members that were expected have been heard and their tables are here, or were waited for in vain. At the start,
    /// and whenever this process stood still or was taken for dead.
    Ready {
        /// Those that were waited for in vain.
        missing: Vec<String>,
    },
    /// This node is heard on a LAN on which it announces, or is heard by nobody there though others live. At first every
    /// one counts as heard. See [`Segment`].
    Segment {
        /// The interface that is on it.
        interface: String,
        /// Whether this node is heard.
        heard: bool,
    },
    /// Another process calls itself by the name of this node.
    NameTaken {
        /// Where it is.
        at: SocketAddr,
    },
}

/// A datagram to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub to: SocketAddr,
    /// The index of the interface by which it has to go, if not by any.
    pub via: Option<u32>,
    /// The number of it; each is used once.
    pub sequence: u64,
    /// What is in it, to be sealed.
    pub bytes: Vec<u8>,
}

/// A datagram that came.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// Where from.
    pub from: SocketAddr,
    /// The index of the interface by which it came, if that is known.
    pub via: Option<u32>,
    /// The sender's process.
    pub session: Session,
    /// The number that it gave to it.
    pub sequence: u64,
    /// What is in it; it was sealed.
    pub bytes: &'a [u8],
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams sent.
    pub sent: u64,
    /// Bytes in them, before they are sealed.
    pub sent_bytes: u64,
    /// Heartbeats among them.
    pub beats: u64,
    /// Datagrams among them that are to be heard on one segment, and answers to such.
    pub on_segments: u64,
    /// Datagrams heard, as proof of life.
    pub heard: u64,
    /// Datagrams that were no proof of life: too old, come twice, or not to this process.
    pub stale: u64,
    /// Bytes that were no datagram.
    pub malformed: u64,
    /// Silences that were noticed.
    pub suspicions: u64,
    /// Those of them that others explained: they could hear the silent one.
    pub explained: u64,
    /// Deaths declared here.
    pub deaths: u64,
}

/// How a member is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it is alive.
    pub alive: bool,
    /// Where it was heard from last.
    pub at: Option<SocketAddr>,
    /// When that was.
    pub heard: Option<Instant>,
    /// Whether this node is to notice when it falls silent.
    pub watched: bool,
    /// The version of its table that is here.
    pub version: u64,
}

/// The members, as one node sees them.
#[derive(Debug)]
pub struct Membership {
    settings: Settings,
    me: Identity,
    sequence: u64,
    peers: BTreeMap<String, Peer>,
    /// Addresses of members whose names are not known yet.
    contacts: BTreeMap<SocketAddr, Contact>,
    own: Own,
    watching: Watching,
    segments: Segments,
    swim: Swim,
    /// When [`Membership::on_time`] was called last.
    ticked: Instant,
    waiting: Option<Waiting>,
    counters: Counters,
    out: VecDeque<Outgoing>,
    events: VecDeque<Event>,
}

impl Membership {
    /// A node that knows nobody yet. `seed` decides whom gossip talks to.
    #[must_use]
    pub fn new(settings: Settings, me: Identity, seed: u64, now: Instant) -> Self {
        let swim = Swim::new(&me, seed);
        let until = now + settings.join;
        Self {
            watching: Watching::new(now),
            segments: Segments::default(),
            settings,
            me,
            sequence: 0,
            peers: BTreeMap::new(),
            contacts: BTreeMap::new(),
            own: Own::default(),
            swim,
            ticked: now,
            waiting: Some(Waiting::new(now, until)),
            counters: Counters::default(),
            out: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The name of this node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.me.name
    }

    /// This process, as the others know it.
    #[must_use]
    pub fn session(&self) -> Session {
        self.me.session
    }

    /// The members that are configured, with the addresses at which they may be. Members that are left out here stay as
    /// long as they live.
    pub fn set_peers(&mut self, peers: BTreeMap<String, BTreeSet<SocketAddr>>, now: Instant) {
        for (name, peer) in &mut self.peers {
            if !peers.contains_key(name) {
                peer.configured.clear();
            }
        }
        self.peers.retain(|_, peer| peer.state == State::Alive || !peer.configured.is_empty());
        for (name, addresses) in peers {
            if name != self.me.name {
                self.peer(&name, now).configured = addresses;
            }
        }
    }

    /// A member, which may not have been known.
    fn peer(&mut self, name: &str, now: Instant) -> &mut Peer {
        let (segments, proof) = (&self.segments, self.sequence + 1);
        let new = || Peer { on_segments: segments.places(name), ..Peer::new(proof, now) };
        self.peers.entry(name.to_owned()).or_insert_with(new)
    }

    /// Addresses at which members are, whose names they will tell themselves.
    pub fn set_contacts(&mut self, addresses: &BTreeSet<SocketAddr>, now: Instant) {
        self.contacts.retain(|address, _| addresses.contains(address));
        for address in addresses {
            self.contacts.entry(*address).or_insert_with(|| Contact::new(now));
        }
    }

    /// Tells all members that records of this node are different now; `None` removes one.
    pub fn publish(&mut self, changes: impl IntoIterator<Item = Change>, now: Instant) {
        if self.own.change(changes) {
            self.push_all(now);
        }
    }

    /// The table of this node, as the others get it.
    #[must_use]
    pub fn published(&self) -> &Records {
        self.own.records()
    }

    /// What a member has told of itself, if anything. That of one which died is kept until it is heard again.
    #[must_use]
    pub fn records(&self, name: &str) -> Option<&Records> {
        self.peers.get(name).map(|peer| peer.table.records())
    }

    /// Whether what is here of a member's table is of the process that was heard last.
    #[must_use]
    pub fn has_table(&self, name: &str) -> bool {
        self.peers.get(name).is_some_and(|peer| peer.table.version() > 0)
    }

    /// Whether every living member has this node's table as it is now.
    #[must_use]
    pub fn is_heard_by_all(&self) -> bool {
        let version = self.own.stamp().version;
        self.peers.values().filter(|peer| peer.state == State::Alive).all(|peer| peer.have == version)
    }

    /// Whether a member is alive.
    #[must_use]
    pub fn is_alive(&self, name: &str) -> bool {
        self.peers.get(name).is_some_and(|peer| peer.state == State::Alive)
    }

    /// The names of those that are alive, without this node.
    pub fn alive(&self) -> impl Iterator<Item = &str> {
        let alive = self.peers.iter().filter(|(_, peer)| peer.state == State::Alive);
        alive.map(|(name, _)| name.as_str())
    }

    /// All members, by name.
    pub fn members(&self) -> impl Iterator<Item = MemberView<'_>> {
        self.peers.iter().map(|(name, peer)| MemberView {
            name,
            alive: peer.state == State::Alive,
            at: peer.at,
            heard: peer.heard,
            watched: peer.watched,
            version: peer.table.version(),
        })
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Says to all that this node goes: it counts as dead at once, and nobody waits for its silence.
    pub fn leave(&mut self) {
        let alive: Vec<String> = self.alive().map(str::to_owned).collect();
        for name in alive {
            self.send(&name, message::Body::Left);
        }
    }

    /// The next datagram to send.
    pub fn next_datagram(&mut self) -> Option<Outgoing> {
        self.out.pop_front()
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Membership::on_time`] has to be called next. A caller that is much later than this stood still.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let waiting = self.waiting.as_ref().filter(|waiting| waiting.told).map(|waiting| waiting.until);
        let own = self.watching.deadline();
        let soonest = own.min(self.ticked + self.settings.interval);
        let segments = self.segments.deadline(&self.settings);
        [waiting, segments, self.swim.deadline()].into_iter().flatten().fold(soonest, Instant::min)
    }

    /// Takes note of the time.
    pub fn on_time(&mut self, now: Instant) {
        let stood = now.saturating_duration_since(self.ticked);
        self.ticked = now;
        if stood > self.settings.standstill() {
            self.begin_anew(Event::StoodStill(stood), now);
        }
        self.beat(now);
        self.look_for_silence(now);
        self.look_at_segments(now);
        self.greet(now);
        self.push_all(now);
        self.gossip(now);
        self.look_whether_ready(now);
    }

    /// A member is dead, as far as this node knows.
    fn bury(&mut self, name: &str, why: Why, now: Instant) {
        let proof = self.sequence + 1;
        let Some(peer) = self.peers.get_mut(name).filter(|peer| peer.state == State::Alive) else { return };
        peer.state = State::Down;
        peer.unheard = None;
        (peer.watched, peer.watches) = (false, false);
        // It may come back, but not by what it said before.
        peer.proof = proof;
        peer.greet_at = now;
        let silent = peer.heard.map(|heard| now.saturating_duration_since(heard)).unwrap_or_default();
        self.watching.forget(name);
        self.events.push_back(Event::Down { name: name.to_owned(), why, silent });
        self.choose_watchers();
    }
}
