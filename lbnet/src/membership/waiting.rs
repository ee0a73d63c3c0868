//! What is waited for before this node may go on: at the start, and after it stood still.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use super::message::Body;
use super::peer::{Peer, State};
use super::{Event, Membership};

/// What is waited for before this node may go on.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) since: Instant,
    pub(super) until: Instant,
    /// At the start nothing is known before somebody says whom to expect.
    pub(super) told: bool,
    pub(super) names: BTreeSet<String>,
    /// One of them that was not here when it was looked last: as long as it is not, nothing else needs a look.
    absent: Option<String>,
}

impl Waiting {
    /// Nobody has said whom to expect.
    pub(super) fn new(since: Instant, until: Instant) -> Self {
        Self { since, until, told: false, names: BTreeSet::new(), absent: None }
    }
}

impl Membership {
    /// These are all that can be known: from now on those that do not answer are waited for no longer than
    /// [`Settings::join`](super::Settings::join). Only members in `expected` are waited for, and all addresses without a name.
    pub fn expect(&mut self, expected: BTreeSet<String>, now: Instant) {
        if let Some(waiting) = self.waiting.as_mut().filter(|waiting| !waiting.told) {
            (waiting.since, waiting.until, waiting.told) = (now, now + self.settings.join, true);
            waiting.absent = None;
            waiting.names = expected.into_iter().filter(|name| *name != self.me.name).collect();
        }
        self.look_whether_ready(now);
    }

    /// Whether nothing is waited for: see [`Event::Ready`].
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.waiting.is_none()
    }

    /// Whether so much time has passed since the last call of [`Membership::on_time`] that this process stood still: what
    /// waits in its sockets is of a time it knows nothing of.
    #[must_use]
    pub fn has_stood_still(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.ticked) > self.settings.standstill()
    }

    /// Something happened by which others may have taken over whatever this process was doing: it waits for all of them.
    pub(super) fn begin_anew(&mut self, because: Event, now: Instant) {
        self.watching.forget_silence(now);
        self.segments.forget_silence(now);
        let mut names = BTreeSet::new();
        for (name, peer) in &mut self.peers {
            // Only what answers to something that is sent from now on is heard.
            peer.proof = self.sequence + 1;
            if peer.state == State::Alive {
                peer.heard_here = now;
                peer.unheard = None;
                names.insert(name.clone());
            }
        }
        let greeted: Vec<String> = names.iter().cloned().collect();
        let before = self.waiting.take();
        // Who stands still while it starts does not know yet whom to expect.
        let told = before.as_ref().is_none_or(|waiting| waiting.told);
        names.extend(before.into_iter().flat_map(|waiting| waiting.names));
        self.waiting = Some(Waiting { told, names, ..Waiting::new(now, now + self.settings.join) });
        self.events.push_back(because);
        for name in greeted {
            self.send(&name, Body::Hello);
        }
    }

    /// Ends the waiting when everybody has been heard, or the time is over.
    pub(super) fn look_whether_ready(&mut self, now: Instant) {
        let Some(waiting) = self.waiting.as_ref().filter(|waiting| waiting.told) else { return };
        let (since, is_over) = (waiting.since, now >= waiting.until);
        let is_absent = |name: &&String| !self.is_here(name, since);
        if !is_over {
            // As long as one is known to be absent, the others are not looked at.
            if waiting.absent.as_ref().is_some_and(|name| is_absent(&name)) {
                return;
            }
            let absent = waiting.names.iter().find(is_absent).cloned();
            if absent.is_some() {
                self.waiting.iter_mut().for_each(|waiting| waiting.absent.clone_from(&absent));
                return;
            }
        }
        let missing: Vec<String> = waiting.names.iter().filter(is_absent).cloned().collect();
        let unnamed = self.contacts.keys().filter(|at| !self.is_known_at(**at)).map(ToString::to_string);
        let missing: Vec<String> = missing.into_iter().chain(unnamed).collect();
        if !missing.is_empty() && !is_over {
            return;
        }
        self.waiting = None;
        for name in &missing {
            let alive = self.peers.get(name).filter(|peer| peer.state == State::Alive);
            if alive.is_some_and(|peer| peer.heard.is_none_or(|heard| heard < since)) {
                // It may only not have been heard here.
                self.suspect(name, now);
            }
        }
        self.events.push_back(Event::Ready { missing });
    }

    /// Whether a member has been heard since then, and its table is here.
    fn is_here(&self, name: &str, since: Instant) -> bool {
        // A table from before may say what is so no more.
        let is_here = |peer: &Peer| peer.heard.is_some_and(|heard| heard >= since) && peer.has_told();
        self.peers.get(name).is_some_and(is_here)
    }

    /// Whether somebody has answered at an address, and its table is here.
    fn is_known_at(&self, at: SocketAddr) -> bool {
        self.peers.values().any(|peer| peer.at == Some(at) && peer.has_told())
    }

    /// Whether somebody has answered at an address.
    pub(super) fn is_met(&self, at: SocketAddr) -> bool {
        self.peers.values().any(|peer| peer.at == Some(at) && peer.state == State::Alive)
    }
}
