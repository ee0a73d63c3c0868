//! One LAN of this node, and who was heard on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::message::Session;
use super::super::{Settings, rendezvous};
use super::Segment;

/// For so long frames of other stations say that this is not the end that is cut.
pub(super) const FRAMES: Duration = Duration::from_secs(1);

/// A segment, and what is known of it.
#[derive(Debug)]
pub(in super::super) struct Lan {
    pub(super) segment: Segment,
    /// What was told last.
    pub(super) heard: bool,
    /// When the latest of this node's datagrams was sent that somebody on it has heard.
    pub(super) last: Instant,
    pub(super) members: BTreeMap<String, Seen>,
    pub(super) asking: Option<Asking>,
    /// When frames of other stations last came in, since nobody is heard any more.
    pub(super) frames: Option<Instant>,
    /// How often others were tried, since nobody is heard any more.
    tried: u64,
}

/// A member, as it was heard on the segment.
#[derive(Debug)]
pub(super) struct Seen {
    session: Session,
    /// Where on the segment it was.
    at: SocketAddr,
    /// The highest number of its datagrams that came.
    pub(super) highest: u64,
    /// When one came.
    heard: Instant,
    /// When one came that would have come without the segment being announced on.
    ordinary: Option<Instant>,
}

/// Nobody is heard: others are asked.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) since: Instant,
    pub(super) round: u32,
    /// One of them lives, as was known when they were last asked.
    pub(super) lives: bool,
    /// When the next step is due.
    pub(super) until: Instant,
}

/// A datagram that came by a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    pub(super) from: SocketAddr,
    pub(super) session: Session,
    pub(super) sequence: u64,
    pub(super) ordinary: bool,
}

impl Lan {
    pub(super) fn new(segment: Segment, now: Instant) -> Self {
        Self {
            segment,
            heard: true,
            last: now,
            members: BTreeMap::new(),
            asking: None,
            frames: None,
            tried: 0,
        }
    }

    /// Whether a member's datagram from this address came by this segment.
    pub(super) fn is_of(&self, name: &str, from: SocketAddr, via: Option<u32>) -> bool {
        via.is_none_or(|via| via == self.segment.index)
            && self.segment.members.get(name).is_some_and(|places| places.contains(&from))
    }

    /// A datagram of a member came by this segment.
    pub(super) fn see(&mut self, name: &str, came: Came, now: Instant) {
        let new = Seen { session: came.session, at: came.from, highest: 0, heard: now, ordinary: None };
        let seen = match self.members.get_mut(name) {
            Some(seen) if seen.session == came.session => seen,
            Some(other) => {
                *other = new;
                other
            }
            None => self.members.entry(name.to_owned()).or_insert(new),
        };
        (seen.at, seen.heard) = (came.from, now);
        seen.highest = seen.highest.max(came.sequence);
        if came.ordinary {
            seen.ordinary = Some(now);
        }
    }

    /// A datagram that was sent then was heard by somebody on this segment; whether that was lately.
    pub(super) fn was_heard(&mut self, sent: Instant, settings: &Settings, now: Instant) -> bool {
        self.last = self.last.max(sent);
        let lately = now.saturating_duration_since(sent) < settings.silence();
        if lately {
            self.found();
        }
        lately
    }

    /// There is nothing to be asked any more.
    pub(super) fn found(&mut self) {
        (self.asking, self.frames, self.tried) = (None, None, 0);
    }

    /// Whether nobody has been heard for too long.
    pub(super) fn is_silent(&self, settings: &Settings, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= settings.silence()
    }

    /// Whether nobody is heard, as far as this is known by now.
    pub(super) fn is_doubted(&self) -> bool {
        !self.heard || self.asking.is_some()
    }

    pub(super) fn deadline(&self, settings: &Settings) -> Instant {
        self.asking.as_ref().map_or(self.last + settings.silence(), |asking| asking.until)
    }

    /// This process stood still: what it did not hear meanwhile means nothing. What it knew it still knows.
    pub(super) fn forget_silence(&mut self, now: Instant) {
        self.last = now;
        self.found();
    }

    /// Those among these members that a heartbeat on this segment is sent to, with the place of each. Those that are
    /// spoken to on it anyway, by heartbeats or their answers, need none.
    pub(super) fn beaten_to(
        &mut self,
        me: &str,
        interface: &str,
        alive: &[(&str, bool)],
        settings: &Settings,
        now: Instant,
    ) -> Vec<(String, SocketAddr)> {
        let lately = settings.silence() + settings.interval * 2;
        let is_spoken_to = |(name, watches): &&(&str, bool)| {
            let ordinary = self.members.get(*name).and_then(|seen| seen.ordinary);
            *watches && ordinary.is_some_and(|at| now.saturating_duration_since(at) < lately)
        };
        let (spoken_to, others): (Vec<_>, Vec<_>) = alive.iter().partition(is_spoken_to);
        let wanted = settings.watchers.saturating_sub(spoken_to.len());
        // As long as nobody is heard each time others are tried: those that noticed it may be cut off themselves.
        let round = if self.is_doubted() {
            self.tried += 1;
            self.tried
        } else {
            0
        };
        let chosen = rendezvous::choose(
            &format!("{me}/{interface}"),
            round,
            wanted,
            others.iter().map(|(name, _)| *name),
        );
        let place = |name: &str| {
            let places = self.segment.members.get(name)?;
            let at = self.members.get(name).map(|seen| seen.at).filter(|at| places.contains(at));
            Some((name.to_owned(), at.or_else(|| places.first().copied())?))
        };
        chosen.into_iter().filter_map(place).collect()
    }

    /// How many of these were heard lately.
    pub(super) fn heard_lately(&self, alive: &BTreeSet<&str>, settings: &Settings, now: Instant) -> usize {
        let lately = |seen: &Seen| now.saturating_duration_since(seen.heard) < settings.silence() * 2;
        self.members.iter().filter(|(name, seen)| alive.contains(name.as_str()) && lately(seen)).count()
    }
}
