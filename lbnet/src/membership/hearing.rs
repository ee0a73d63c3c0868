//! What is made of a datagram.

use std::time::Instant;

use super::message::{Body, Datagram};
use super::peer::State;
use super::{Event, Incoming, Membership, Why};

/// Members at most: names are told by whoever has the key, and memory is not endless.
const MOST: usize = 10_000;

impl Membership {
    /// Takes a datagram in.
    pub fn receive(&mut self, incoming: Incoming<'_>, now: Instant) {
        let Ok(datagram) = Datagram::parse(incoming.bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let name = datagram.from;
        if name == self.me.name {
            if incoming.session != self.me.session {
                self.events.push_back(Event::NameTaken { at: incoming.from });
            }
            return;
        }
        if !self.peers.contains_key(name) {
            if self.peers.len() >= MOST {
                return;
            }
            self.peer(name, now);
        }
        let Some(peer) = self.peers.get_mut(name) else { return };
        let is_to_us = datagram.to == self.me.session;
        if peer.session == incoming.session {
            if !peer.numbers.accept(incoming.sequence) {
                self.counters.stale += 1;
                return;
            }
        } else if !is_to_us || datagram.echo < peer.proof {
            // It may be an old process's; what it answers to this greeting will tell.
            self.counters.stale += 1;
            self.greet_stranger(incoming);
            return;
        }
        let is_deaf = peer.is_deaf(datagram.echo, self.settings.silence() * 2, now);
        if !is_to_us || datagram.echo < peer.proof || is_deaf {
            // Of this process, but no answer to us: it does not know us yet, or it was long on its way, or nothing of ours
            // comes to it.
            self.counters.stale += 1;
            self.greet_stranger(incoming);
            return;
        }
        self.counters.heard += 1;
        self.prove_alive(&datagram, incoming, now);
        self.understand(datagram, incoming, now);
        self.look_whether_ready(now);
    }

    /// A member has proved that it lives.
    fn prove_alive(&mut self, datagram: &Datagram<'_>, incoming: Incoming<'_>, now: Instant) {
        let Some(peer) = self.peers.get_mut(datagram.from) else { return };
        let restarted = peer.session != incoming.session;
        if restarted {
            peer.restart(incoming.session);
            peer.numbers.accept(incoming.sequence);
            // What the process before it said counts no more.
            peer.proof = peer.proof.max(datagram.echo);
        }
        let was = peer.state;
        if was != State::Alive || restarted {
            peer.at = None;
        }
        peer.state = State::Alive;
        peer.unheard.take_if(|(number, _)| *number <= datagram.echo);
        let on_segment = matches!(datagram.body, Body::OnSegment { .. });
        peer.was_at(incoming.from, on_segment, self.settings.silence(), now);
        peer.heard = Some(now);
        peer.heard_here = now;
        peer.watched = datagram.watch;
        peer.greeted = 0;
        // A version that we never had is of a process before this one.
        peer.have = if datagram.have <= self.own.stamp().version { datagram.have } else { 0 };
        if peer.have == self.own.stamp().version {
            (peer.pushed, peer.part) = (None, 0);
        }
        // It has had what was sent after the table, and not the table: that was lost, or it did not know us yet.
        let is_lost = peer.pushed.is_some_and(|pushed| datagram.echo >= pushed.number);
        if datagram.table.version >= peer.stamp.version {
            peer.stamp = datagram.table;
        }
        let has_table = peer.table.check(datagram.table);
        self.hear_on_segments(datagram, incoming, now);
        let name = datagram.from.to_owned();
        if self.watching.is_suspected(&name) {
            self.watching.forget(&name);
        }
        if was != State::Alive || restarted {
            self.events.push_back(Event::Up { name: name.clone(), restarted: was == State::Alive });
            self.swim.meet(&name);
            self.consider_watcher(&name);
            self.push(&name, now);
            if !has_table && !matches!(datagram.body, Body::Hello) {
                // Then it knows that it is to send its table.
                self.send(&name, Body::Ack);
            }
        } else if is_lost {
            self.push(&name, now);
        }
    }

    fn understand(&mut self, datagram: Datagram<'_>, incoming: Incoming<'_>, now: Instant) {
        let name = datagram.from;
        match datagram.body {
            Body::Hello => self.send(name, Body::Welcome),
            Body::Welcome | Body::Ack | Body::OnSegment { answer: false, .. } => {}
            Body::Beat => self.on_beat(name),
            // By every way by which it was asked: some may be good one way only.
            Body::Ping(token) => self.send_by(name, incoming.from, incoming.via, Body::Pong(token)),
            Body::Pong(token) => self.on_pong(token),
            Body::Ask { who, session, token } => self.on_ask(name, who, session, token, now),
            Body::Heard(token) => self.on_heard(token, now),
            Body::Died { who, session } => self.on_died(name, who, session, now),
            Body::Left => self.bury(name, Why::Left, now),
            Body::Changes { since, version, changes } => {
                let taken = self.peers.get_mut(name).is_some_and(|peer| {
                    let taken = peer.table.take_changes(since, version, changes);
                    taken && peer.table.check(datagram.table)
                });
                self.on_table(name, taken);
            }
            Body::Part { version, index, of, bytes } => {
                let Some(peer) = self.peers.get_mut(name) else { return };
                let whole = peer.table.take_part(version, index, of, bytes);
                // That all of it is here is said once; of a part that was here already the sender does not know.
                if whole || version <= peer.table.version() {
                    self.on_table(name, whole);
                }
            }
            Body::Swim(bytes) => self.on_gossip(bytes, now),
            Body::OnSegment { answer: true, .. } => self.on_segment_beat(name, incoming),
        }
    }

    /// Says which version of a member's table is here now.
    fn on_table(&mut self, name: &str, changed: bool) {
        if changed {
            self.events.push_back(Event::Table { name: name.to_owned() });
        }
        self.send(name, Body::Ack);
    }
}
