//! Whether this node is heard on each LAN on which it announces, which the path of the members' other datagrams may know
//! nothing of.
//!
//! On each segment a node beats to a few members that are on it too, by the interface that is on it
//! ([`Body::OnSegment`]), and these answer by the interface by which that came. Each such datagram says which number of
//! the other's was the last to come *by this segment*: so what counts is that this node was heard there, and not that it
//! hears. Where the other datagrams between two members go by the segment anyway, they count, and nothing is added: in a
//! cluster with one LAN this costs nothing.
//!
//! A segment on which nobody was heard for [`Settings::silence`](super::Settings::silence) is doubted: other members on it
//! are asked, on it and by every other way. It is unheard if one of them lives, as another way shows, and none has answered
//! on the segment. If none lives, as far as is known, there is nobody to compare with, and it counts as heard: who is cut
//! off altogether learns that by deaths.
//!
//! With **two** members on a segment both find themselves unheard and cannot know which of the two is cut. What they see on
//! the wire settles it: the one that still gets frames of other stations (questions of clients, the gateway) is heard.
//! Frames are looked at from the moment of the doubt on, when none of the other member can be among them. With three or
//! more the others decide, and frames count for nothing: whoever gets frames need not be heard.

mod lan;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use self::lan::{Asking, Came, FRAMES, Lan};
use super::message::{Body, Datagram};
use super::peer::{Peer, State};
use super::{Event, Incoming, Membership, Settings, rendezvous};

/// A LAN on which this node announces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segment {
    /// The index, in this node's kernel, of the interface that is on it.
    pub index: u32,
    /// The members that are on it too, and where on it they are.
    pub members: BTreeMap<String, BTreeSet<SocketAddr>>,
}

/// How a segment is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentView<'a> {
    /// The interface that is on it.
    pub interface: &'a str,
    /// Whether this node is heard on it.
    pub heard: bool,
    /// How many members are on it that live.
    pub alive: usize,
    /// How many of them were heard on it lately. Not all speak on it all the time.
    pub speaking: usize,
}

/// All segments of this node.
#[derive(Debug, Default)]
pub(super) struct Segments {
    lans: BTreeMap<String, Lan>,
    /// Which numbers were sent when: from this number on, since that time.
    sent: VecDeque<(u64, Instant)>,
}

impl Segments {
    pub(super) fn deadline(&self, settings: &Settings) -> Option<Instant> {
        self.lans.values().map(|lan| lan.deadline(settings)).min()
    }

    /// See [`Lan::forget_silence`].
    pub(super) fn forget_silence(&mut self, now: Instant) {
        self.sent.clear();
        for lan in self.lans.values_mut() {
            lan.forget_silence(now);
        }
    }

    /// The places of a member on all segments, as far as others can be sent there too without saying by which interface.
    pub(super) fn places(&self, name: &str) -> BTreeSet<SocketAddr> {
        let places = self.lans.values().filter_map(|lan| lan.segment.members.get(name)).flatten();
        places.copied().filter(|place| is_routed(*place)).collect()
    }

    /// Numbers from this one on are sent now.
    fn note_sent(&mut self, number: u64, settings: &Settings, now: Instant) {
        let old = |at: Instant| now.saturating_duration_since(at) > settings.silence() * 2;
        while self.sent.front().is_some_and(|(_, at)| old(*at)) {
            self.sent.pop_front();
        }
        self.sent.push_back((number, now));
    }

    /// When a number was sent, if that was lately.
    fn sent_at(&self, number: u64) -> Option<Instant> {
        self.sent.iter().rev().find(|(first, _)| *first <= number).map(|(_, at)| *at)
    }
}

/// Whether an address is enough to send to: one that is good on one link only is not.
pub(super) fn is_routed(place: SocketAddr) -> bool {
    match place {
        SocketAddr::V4(_) => true,
        SocketAddr::V6(place) => !place.ip().is_unicast_link_local(),
    }
}

/// Those among `on` that live, and whether each is to notice when this node falls silent.
fn alive_on<'a>(peers: &'a BTreeMap<String, Peer>, on: &'a Segment) -> Vec<(&'a str, bool)> {
    let alive = |name: &'a String| {
        let peer = peers.get(name).filter(|peer| peer.state == State::Alive)?;
        Some((name.as_str(), peer.watches))
    };
    on.members.iter().filter(|(_, places)| !places.is_empty()).filter_map(|(name, _)| alive(name)).collect()
}

impl Membership {
    /// The segments on which this node announces, by interface. What is new counts as heard at first; one that is not there
    /// any more, or is another interface now, is forgotten, and heard.
    pub fn set_segments(&mut self, segments: BTreeMap<String, Segment>, now: Instant) {
        let mut before = std::mem::take(&mut self.segments.lans);
        for (interface, mut segment) in segments {
            segment.members.remove(&self.me.name);
            let lan = match before.remove(&interface) {
                Some(mut lan) if lan.segment.index == segment.index => {
                    lan.members.retain(|name, _| segment.members.contains_key(name));
                    lan.segment = segment;
                    lan
                }
                other => {
                    before.extend(other.map(|lan| (interface.clone(), lan)));
                    Lan::new(segment, now)
                }
            };
            self.segments.lans.insert(interface, lan);
        }
        for (interface, _) in before.into_iter().filter(|(_, lan)| !lan.heard) {
            self.events.push_back(Event::Segment { interface, heard: true });
        }
        for (name, peer) in &mut self.peers {
            peer.on_segments = self.segments.places(name);
        }
    }

    /// The segments on which this node announces.
    pub fn segments(&self, now: Instant) -> impl Iterator<Item = SegmentView<'_>> {
        self.segments.lans.iter().map(move |(interface, lan)| {
            let alive: BTreeSet<&str> =
                alive_on(&self.peers, &lan.segment).into_iter().map(|(name, _)| name).collect();
            let speaking = lan.heard_lately(&alive, &self.settings, now);
            SegmentView { interface, heard: lan.heard, alive: alive.len(), speaking }
        })
    }

    /// The interfaces whose frames matter now, with the index of each: see [`Membership::on_frames`].
    pub fn frames_wanted(&self) -> impl Iterator<Item = (&str, u32)> {
        let wanted = |lan: &Lan| lan.is_doubted() && alive_on(&self.peers, &lan.segment).len() == 1;
        let wanted = self.segments.lans.iter().filter(move |(_, lan)| wanted(lan));
        wanted.map(|(interface, lan)| (interface.as_str(), lan.segment.index))
    }

    /// Frames of other stations have come in on an interface, since it was first named by
    /// [`Membership::frames_wanted`].
    pub fn on_frames(&mut self, interface: &str, now: Instant) {
        if let Some(lan) = self.segments.lans.get_mut(interface).filter(|lan| lan.is_doubted()) {
            lan.frames = Some(now);
            if let Some(asking) = lan.asking.as_mut().filter(|asking| asking.round >= self.settings.rounds) {
                asking.until = now;
            }
            self.look_at_segments(now);
        }
    }

    /// A member has proved that it lives; by a segment, perhaps.
    pub(super) fn hear_on_segments(&mut self, datagram: &Datagram<'_>, incoming: Incoming<'_>, now: Instant) {
        let (ordinary, number) = match datagram.body {
            Body::OnSegment { heard, .. } => (false, Some(heard)),
            // Sent by every way, whatever came by which.
            Body::Hello | Body::Ping(_) => (false, None),
            _ => (true, Some(datagram.echo)),
        };
        let (from, session, sequence) = (incoming.from, incoming.session, incoming.sequence);
        let sent = number.and_then(|number| self.segments.sent_at(number));
        for (interface, lan) in &mut self.segments.lans {
            if !lan.is_of(datagram.from, from, incoming.via) {
                continue;
            }
            lan.see(datagram.from, Came { from, session, sequence, ordinary }, now);
            let lately = sent.is_some_and(|sent| lan.was_heard(sent, &self.settings, now));
            if lately && !std::mem::replace(&mut lan.heard, true) {
                self.events.push_back(Event::Segment { interface: interface.clone(), heard: true });
            }
        }
    }

    /// A heartbeat on a segment is answered by the way by which it came.
    pub(super) fn on_segment_beat(&mut self, name: &str, incoming: Incoming<'_>) {
        let body = Body::OnSegment { heard: incoming.sequence, answer: false };
        self.send_by(name, incoming.from, incoming.via, body);
    }

    /// Sends heartbeats on all segments; once in an interval, before all others.
    pub(super) fn beat_on_segments(&mut self, now: Instant) {
        if self.segments.lans.is_empty() {
            return;
        }
        self.segments.note_sent(self.sequence + 1, &self.settings, now);
        let mut beats = Vec::new();
        for (interface, lan) in &mut self.segments.lans {
            let alive: Vec<(String, bool)> = alive_on(&self.peers, &lan.segment)
                .into_iter()
                .map(|(name, it)| (name.to_owned(), it))
                .collect();
            let alive: Vec<(&str, bool)> = alive.iter().map(|(name, it)| (name.as_str(), *it)).collect();
            for (name, to) in lan.beaten_to(&self.me.name, interface, &alive, &self.settings, now) {
                let heard = lan.members.get(&name).map_or(0, |seen| seen.highest);
                beats.push((name, to, lan.segment.index, heard));
            }
        }
        for (name, to, via, heard) in beats {
            self.send_by(&name, to, Some(via), Body::OnSegment { heard, answer: true });
        }
    }

    /// Notices on which segments this node is not heard.
    pub(super) fn look_at_segments(&mut self, now: Instant) {
        let mut to_ask = Vec::new();
        for (interface, lan) in &mut self.segments.lans {
            let alive = alive_on(&self.peers, &lan.segment);
            let heard = if alive.is_empty() {
                // Nobody to compare with.
                lan.forget_silence(now);
                true
            } else if !lan.is_silent(&self.settings, now) {
                continue;
            } else {
                let asking =
                    lan.asking.get_or_insert(Asking { since: now, round: 0, lives: false, until: now });
                if asking.until > now {
                    continue;
                }
                // Those that live, as is known by another way.
                let lives = |(name, _): &(&str, bool)| {
                    self.peers.get(*name).is_some_and(|peer| peer.heard > Some(asking.since))
                };
                if asking.round < self.settings.rounds || !asking.lives {
                    to_ask.push((interface.clone(), asking.round));
                    asking.round = asking.round.saturating_add(1);
                    asking.lives = alive.iter().any(lives);
                    asking.until = now + self.settings.patience();
                    continue;
                }
                let frames =
                    lan.frames.map(|at| at + FRAMES).filter(|until| alive.len() == 1 && *until > now);
                asking.until = frames.unwrap_or(now + FRAMES);
                frames.is_some()
            };
            if std::mem::replace(&mut lan.heard, heard) != heard {
                self.events.push_back(Event::Segment { interface: interface.clone(), heard });
            }
        }
        for (interface, round) in to_ask {
            self.ask_on_segment(&interface, round, now);
        }
    }

    /// Asks some that are on a segment, each time others: there, and by every other way.
    fn ask_on_segment(&mut self, interface: &str, round: u32, now: Instant) {
        let Some(lan) = self.segments.lans.get(interface) else { return };
        let names = alive_on(&self.peers, &lan.segment).into_iter().map(|(name, _)| name);
        let about = format!("{}/{interface}/asked", self.me.name);
        let all = rendezvous::choose(&about, 0, usize::MAX, names);
        let asked_before = self.settings.asked.saturating_mul(usize::try_from(round).unwrap_or_default());
        let from = asked_before.checked_rem(all.len()).unwrap_or_default();
        let asked = all.iter().cycle().skip(from).take(self.settings.asked.min(all.len()));
        let ask = |name: &str| {
            let heard = lan.members.get(name).map_or(0, |seen| seen.highest);
            let places = lan.segment.members.get(name).cloned().unwrap_or_default();
            (name.to_owned(), places, heard)
        };
        let asked: Vec<_> = asked.map(|name| ask(name)).collect();
        let via = lan.segment.index;
        self.segments.note_sent(self.sequence + 1, &self.settings, now);
        for (name, places, heard) in asked {
            for to in places {
                self.send_by(&name, to, Some(via), Body::OnSegment { heard, answer: true });
            }
            // No token is 0: the answer only says that it lives.
            self.send_everywhere(&name, Body::Ping(0));
        }
    }
}
