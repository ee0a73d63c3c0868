//! What this node sends, and to whom.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::message::{Body, Datagram};
use super::peer::{Peer, Pushed, State};
use super::{Incoming, Membership, Outgoing};

/// How often one who does not answer is greeted: this is how fast a healed network finds together.
const GREETING: Duration = Duration::from_millis(500);
/// The first few greetings come faster: one may be lost while this node waits to begin.
const FIRST_GREETINGS: u32 = 5;
/// Greetings at a time: of a thousand that are down not all are greeted at once, but when this node waits for them.
const GREETED_AT_ONCE: [usize; 2] = [16, 256];

impl Membership {
    /// Sends a message to a member, wherever it is or may be.
    pub(super) fn send(&mut self, name: &str, body: Body<'_>) {
        let places = self.peers.get(name).map(Peer::places).unwrap_or_default();
        self.send_to(name, &places, body);
    }

    /// The same wherever it may be: the way by which it was heard may be the one that is bad.
    pub(super) fn send_everywhere(&mut self, name: &str, body: Body<'_>) {
        let places = self.peers.get(name).map(Peer::all_places).unwrap_or_default();
        self.send_to(name, &places, body);
    }

    fn send_to(&mut self, name: &str, places: &[SocketAddr], body: Body<'_>) {
        let (next, now) = (self.sequence + 1, self.ticked);
        let Some(peer) = self.peers.get_mut(name) else { return };
        if peer.state == State::Alive {
            peer.unanswered = 0;
            peer.unheard.get_or_insert((next, now));
        }
        let (session, echo, have, watch) =
            (peer.session, peer.numbers.highest(), peer.table.version(), peer.watches);
        let head = Datagram { from: "", to: session, echo, table: self.own.stamp(), have, watch, body };
        for to in places {
            self.put(*to, None, &head);
        }
    }

    /// Sends a message to a member by one way. Whether it is heard by the others is not told by that.
    pub(super) fn send_by(&mut self, name: &str, to: SocketAddr, via: Option<u32>, body: Body<'_>) {
        let Some(peer) = self.peers.get(name) else { return };
        let (session, echo, have, watch) =
            (peer.session, peer.numbers.highest(), peer.table.version(), peer.watches);
        let head = Datagram { from: "", to: session, echo, table: self.own.stamp(), have, watch, body };
        self.put(to, via, &head);
    }

    fn put(&mut self, to: SocketAddr, via: Option<u32>, head: &Datagram<'_>) {
        self.sequence += 1;
        let bytes = Datagram { from: &self.me.name, ..head.clone() }.to_bytes();
        self.counters.sent += 1;
        self.counters.sent_bytes += u64::try_from(bytes.len()).unwrap_or_default();
        self.counters.beats += u64::from(head.body == Body::Beat);
        self.counters.on_segments += u64::from(matches!(head.body, Body::OnSegment { .. }));
        self.out.push_back(Outgoing { to, via, sequence: self.sequence, bytes });
    }

    /// Answers a process that has not proved that it lives, so that it can.
    pub(super) fn greet_stranger(&mut self, incoming: Incoming<'_>) {
        let head = Datagram {
            from: "",
            to: incoming.session,
            echo: incoming.sequence,
            table: self.own.stamp(),
            have: 0,
            watch: false,
            body: Body::Hello,
        };
        self.put(incoming.from, incoming.via, &head);
    }

    /// Greets those that are not alive, as far as is known.
    pub(super) fn greet(&mut self, now: Instant) {
        let interval = self.settings.interval;
        let pause = |greeted: u32| if greeted < FIRST_GREETINGS { interval } else { GREETING.max(interval) };
        let mut due: Vec<(Instant, String)> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.state != State::Alive && peer.greet_at <= now)
            .filter(|(_, peer)| !peer.all_places().is_empty())
            .map(|(name, peer)| (peer.greet_at, name.clone()))
            .collect();
        due.sort();
        let at_once = GREETED_AT_ONCE[usize::from(self.waiting.is_some())];
        for (_, name) in due.into_iter().take(at_once) {
            if let Some(peer) = self.peers.get_mut(&name) {
                peer.greet_at = now + pause(peer.greeted);
                peer.greeted = peer.greeted.saturating_add(1);
            }
            self.send(&name, Body::Hello);
        }
        self.greet_awaited();
        let unmet: Vec<SocketAddr> =
            self.contacts.keys().copied().filter(|address| !self.is_met(*address)).collect();
        for address in unmet {
            let Some(contact) = self.contacts.get_mut(&address).filter(|it| it.greet_at <= now) else {
                continue;
            };
            contact.greet_at = now + pause(contact.greeted);
            contact.greeted = contact.greeted.saturating_add(1);
            let (table, body) = (self.own.stamp(), Body::Hello);
            self.put(
                address,
                None,
                &Datagram { from: "", to: 0, echo: 0, table, have: 0, watch: false, body },
            );
        }
    }

    /// Asks once more those that live and have not been heard since this node waits for them.
    fn greet_awaited(&mut self) {
        let Some(waiting) = &self.waiting else { return };
        let since = waiting.since;
        let unheard = |name: &&String| {
            let peer = self.peers.get(*name).filter(|peer| peer.state == State::Alive);
            peer.is_some_and(|peer| peer.heard.is_none_or(|heard| heard < since))
        };
        let unheard: Vec<String> = waiting.names.iter().filter(unheard).cloned().collect();
        for name in unheard {
            self.send_everywhere(&name, Body::Hello);
        }
    }

    /// Sends every member what it lacks of this node's table, unless that is on its way.
    pub(super) fn push_all(&mut self, now: Instant) {
        let version = self.own.stamp().version;
        let again = self.settings.interval;
        let lacks: Vec<String> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.state == State::Alive && peer.have != version)
            .filter(|(_, peer)| peer.pushed.is_none_or(|it| it.version != version || now - it.at >= again))
            .map(|(name, _)| name.clone())
            .collect();
        for name in lacks {
            self.push(&name, now);
        }
    }

    pub(super) fn push(&mut self, name: &str, now: Instant) {
        let version = self.own.stamp().version;
        let Some(peer) = self.peers.get_mut(name).filter(|peer| peer.have != version) else { return };
        // What did not come by one way is sent by all.
        let pushed = Pushed { at: now, version, number: u64::MAX };
        let again = peer.pushed.replace(pushed).is_some_and(|before| before.version == version);
        let missing = self.own.missing(peer.have, peer.part);
        peer.part = peer.part.wrapping_add(missing.len());
        for part in &missing {
            if again {
                self.send_everywhere(name, part.body());
            } else {
                self.send(name, part.body());
            }
        }
        let number = self.sequence;
        if let Some(pushed) = self.peers.get_mut(name).and_then(|peer| peer.pushed.as_mut()) {
            pushed.number = number;
        }
    }
}
