//! What is known of one member.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::message::{Session, Stamp};
use super::replay::Replay;
use super::segments::is_routed;
use super::table::Copy;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has not been heard yet.
    Unknown,
    Alive,
    Down,
}

/// A table, or what has changed in it, was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pushed {
    pub(super) at: Instant,
    pub(super) version: u64,
    /// The number of the last datagram that carried it.
    pub(super) number: u64,
}

#[derive(Debug)]
pub(super) struct Peer {
    /// Where it may be, by configuration.
    pub(super) configured: BTreeSet<SocketAddr>,
    /// Where it may be, by gossip.
    pub(super) gossiped: BTreeSet<SocketAddr>,
    /// Where it may be on the segments of this node.
    pub(super) on_segments: BTreeSet<SocketAddr>,
    /// Where it was heard from last.
    pub(super) at: Option<SocketAddr>,
    /// When it was last heard from there.
    pub(super) at_heard: Instant,
    /// Its process; 0 if none was heard.
    pub(super) session: Session,
    pub(super) numbers: Replay,
    /// It has to repeat this number of ours, or a later one, to prove that it lives.
    pub(super) proof: u64,
    /// The first number that was sent to it since it repeated one, and when that was: if it goes on repeating older ones, it
    /// may be heard here and hear nothing.
    pub(super) unheard: Option<(u64, Instant)>,
    pub(super) state: State,
    /// When it last proved that it lives.
    pub(super) heard: Option<Instant>,
    /// When it was last known to live, from itself or from others: from here its silence is counted.
    pub(super) heard_here: Instant,
    /// This node is to notice when it falls silent.
    pub(super) watched: bool,
    /// It notices when this node falls silent.
    pub(super) watches: bool,
    /// Heartbeats heard since it was last answered.
    pub(super) unanswered: u32,
    pub(super) table: Copy,
    /// What it last said of its table.
    pub(super) stamp: Stamp,
    /// The version of our table that it has.
    pub(super) have: u64,
    /// What it was last sent of what it lacks, and from which part on it is sent next.
    pub(super) pushed: Option<Pushed>,
    pub(super) part: usize,
    /// When it is greeted next, as long as it is not alive, and how often it was.
    pub(super) greet_at: Instant,
    pub(super) greeted: u32,
}

impl Peer {
    /// Not heard yet: it has to repeat the number `proof`, or a later one.
    pub(super) fn new(proof: u64, now: Instant) -> Self {
        Self {
            configured: BTreeSet::new(),
            gossiped: BTreeSet::new(),
            on_segments: BTreeSet::new(),
            at: None,
            at_heard: now,
            session: 0,
            numbers: Replay::default(),
            proof,
            unheard: None,
            stamp: Stamp::default(),
            state: State::Unknown,
            heard: None,
            heard_here: now,
            watched: false,
            watches: false,
            unanswered: 0,
            table: Copy::default(),
            have: 0,
            pushed: None,
            part: 0,
            greet_at: now,
            greeted: 0,
        }
    }

    /// Whether it lives, and its table is here as it last said that it is.
    pub(super) fn has_told(&self) -> bool {
        let version = self.table.version();
        self.state == State::Alive && version > 0 && version >= self.stamp.version
    }

    /// Where to send to: where it was heard, else wherever it may be.
    pub(super) fn places(&self) -> Vec<SocketAddr> {
        match (self.state, self.at) {
            (State::Alive, Some(at)) => vec![at],
            _ => self.all_places(),
        }
    }

    /// Wherever it may be.
    pub(super) fn all_places(&self) -> Vec<SocketAddr> {
        let known = self.configured.iter().chain(&self.gossiped).chain(&self.on_segments).copied();
        let all: BTreeSet<SocketAddr> = known.chain(self.at).collect();
        all.into_iter().collect()
    }

    /// It was heard from an address: what is sent to it goes there from now on. What it says on a segment moves nothing,
    /// unless the way that the others take is silent.
    pub(super) fn was_at(&mut self, from: SocketAddr, on_segment: bool, silence: Duration, now: Instant) {
        let is_silent = now.saturating_duration_since(self.at_heard) >= silence;
        let is_better = match self.at {
            None => true,
            Some(at) if at == from => true,
            Some(_) => !on_segment || (is_silent && (self.watched || self.watches)),
        };
        if is_better && (!on_segment || is_routed(from)) {
            (self.at, self.at_heard) = (Some(from), now);
        }
    }

    /// Whether a datagram that repeats this number is no sign that it hears this node: what was sent to it long enough ago
    /// has not come to it.
    pub(super) fn is_deaf(&self, echo: u64, patience: Duration, now: Instant) -> bool {
        self.unheard.is_some_and(|(number, at)| echo < number && now.saturating_duration_since(at) > patience)
    }

    /// Another process of it speaks.
    pub(super) fn restart(&mut self, session: Session) {
        self.session = session;
        self.unheard = None;
        self.numbers = Replay::default();
        self.stamp = Stamp::default();
        self.table.restart();
        (self.have, self.pushed, self.part) = (0, None, 0);
        (self.watched, self.watches) = (false, false);
    }
}

/// An address at which somebody may be.
#[derive(Debug)]
pub(super) struct Contact {
    pub(super) greet_at: Instant,
    pub(super) greeted: u32,
}

impl Contact {
    pub(super) fn new(now: Instant) -> Self {
        Self { greet_at: now, greeted: 0 }
    }
}
