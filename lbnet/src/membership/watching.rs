//! Who falls silent: heartbeats, and the questions before a death is declared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::message::{Body, Session};
use super::peer::{Peer, State};
use super::{Event, Membership, Settings, Why, rendezvous};

/// How long the question of another member is remembered.
const REMEMBERED: Duration = Duration::from_secs(1);
/// How often a death is told: a datagram may be lost.
const TOLD: u32 = 3;

/// What a node does to notice the silence of others.
#[derive(Debug)]
pub(super) struct Watching {
    next_beat: Instant,
    /// Those that are to notice when this node falls silent.
    watchers: BTreeSet<String>,
    /// When one whose silence this node is to notice has been silent for too long, as it was when it was looked last: those
    /// that were heard since then have more time, and nobody has less than until the next look.
    too_long: Option<Instant>,
    suspects: BTreeMap<String, Suspect>,
    /// What each token was made for.
    tokens: BTreeMap<u64, Token>,
    last_token: u64,
    /// Deaths that are told a few times.
    deaths: Vec<Death>,
    /// Since when all members are to have answered to the word of a death, and until when that is waited for: whoever
    /// was cut off together with the dead one is noticed so, though nobody here watches him.
    roll_call: Option<(Instant, Instant)>,
}

#[derive(Debug)]
struct Suspect {
    round: u32,
    until: Instant,
    /// How many were asked so far.
    asked: usize,
}

#[derive(Debug)]
enum Token {
    /// Others were asked about this one.
    About(String),
    /// Another member asked about somebody, with a token of its own.
    For { asker: String, token: u64, until: Instant },
}

#[derive(Debug)]
struct Death {
    who: String,
    session: Session,
    left: u32,
}

impl Watching {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next_beat: now,
            watchers: BTreeSet::new(),
            too_long: None,
            suspects: BTreeMap::new(),
            tokens: BTreeMap::new(),
            last_token: 0,
            deaths: Vec::new(),
            roll_call: None,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        let roll_call = self.roll_call.map(|(_, until)| until);
        let others = self.suspects.values().map(|suspect| suspect.until).chain(roll_call);
        others.chain(self.too_long).fold(self.next_beat, Instant::min)
    }

    pub(super) fn is_suspected(&self, name: &str) -> bool {
        self.suspects.contains_key(name)
    }

    /// Somebody is no suspect any more: it lives, or is dead.
    pub(super) fn forget(&mut self, name: &str) {
        if self.suspects.remove(name).is_some() {
            self.tokens.retain(|_, token| !matches!(token, Token::About(who) if who == name));
        }
    }

    /// This process stood still: nobody's silence in that time counts.
    pub(super) fn forget_silence(&mut self, now: Instant) {
        self.suspects.clear();
        self.tokens.clear();
        self.roll_call = None;
        self.next_beat = now;
    }

    fn token(&mut self, token: Token) -> u64 {
        self.last_token += 1;
        self.tokens.insert(self.last_token, token);
        self.last_token
    }
}

/// For how long a member may be silent here: one that beats to this node, and one that answers its beats.
fn allowed(peer: &Peer, settings: &Settings) -> Option<Duration> {
    let answers = settings.silence() + settings.interval * ANSWERED;
    match (peer.watched, peer.watches) {
        (true, _) => Some(settings.silence()),
        (false, true) => Some(answers),
        (false, false) => None,
    }
}

/// Every so manieth heartbeat is answered.
const ANSWERED: u32 = 2;

impl Membership {
    /// Chooses those that are to notice when this node falls silent, and lets those go that are not any more.
    pub(super) fn choose_watchers(&mut self) {
        let alive = self.peers.iter().filter(|(_, peer)| peer.state == State::Alive);
        let names: Vec<String> = alive.map(|(name, _)| name.clone()).collect();
        self.choose_watchers_among(&names);
    }

    /// The same when one has come: it is better than one of those that were chosen, or nothing changes.
    pub(super) fn consider_watcher(&mut self, name: &str) {
        let those = self.watching.watchers.iter().map(String::as_str).filter(|it| *it != name);
        let names: Vec<String> = those.chain([name]).map(str::to_owned).collect();
        self.choose_watchers_among(&names);
    }

    fn choose_watchers_among(&mut self, names: &[String]) {
        let names = names.iter().map(String::as_str);
        let chosen = rendezvous::choose(&self.me.name, 0, self.settings.watchers, names);
        let chosen: BTreeSet<String> = chosen.into_iter().map(str::to_owned).collect();
        let before = std::mem::replace(&mut self.watching.watchers, chosen.clone());
        for name in before.difference(&chosen) {
            let Some(peer) = self.peers.get_mut(name) else { continue };
            peer.watches = false;
            if peer.state == State::Alive {
                // So that it knows.
                self.send(name, Body::Ack);
            }
        }
        for name in &chosen {
            if let Some(peer) = self.peers.get_mut(name) {
                peer.watches = true;
            }
        }
    }

    /// Sends heartbeats, if it is time.
    pub(super) fn beat(&mut self, now: Instant) {
        if now < self.watching.next_beat {
            return;
        }
        let next = self.watching.next_beat + self.settings.interval;
        // Who comes late does not make up for it by a burst.
        self.watching.next_beat = if next > now { next } else { now + self.settings.interval };
        self.beat_on_segments(now);
        for name in self.watching.watchers.clone() {
            self.send(&name, Body::Beat);
        }
        self.watching.tokens.retain(|_, token| !matches!(token, Token::For { until, .. } if *until <= now));
        self.tell_deaths();
    }

    /// Notices who has been silent for too long, and asks others about them.
    pub(super) fn look_for_silence(&mut self, now: Instant) {
        let roll_call = self.watching.roll_call.take_if(|(_, until)| *until <= now);
        let is_silent = |(name, peer): &(&String, &Peer)| {
            let silent = now.saturating_duration_since(peer.heard_here);
            let too_long = allowed(peer, &self.settings).is_some_and(|allowed| silent >= allowed);
            let absent = roll_call.is_some_and(|(since, _)| peer.heard_here < since);
            peer.state == State::Alive && (too_long || absent) && !self.watching.is_suspected(name)
        };
        let silent: Vec<String> = self.peers.iter().filter(is_silent).map(|(name, _)| name.clone()).collect();
        for name in silent {
            self.suspect(&name, now);
        }
        let due = self.watching.suspects.iter().filter(|(_, suspect)| suspect.until <= now);
        let due: Vec<(String, u32, usize)> =
            due.map(|(name, suspect)| (name.clone(), suspect.round, suspect.asked)).collect();
        for (name, round, asked) in due {
            // With nobody to ask, asking again is of no use.
            if round + 1 < self.settings.rounds && asked > 0 {
                self.ask_about(&name, round + 1, asked, now);
            } else {
                self.declare_dead(&name, asked, now);
            }
        }
        let unsuspected = self
            .peers
            .iter()
            .filter(|(name, peer)| peer.state == State::Alive && !self.watching.is_suspected(name));
        let ends = unsuspected.filter_map(|(_, peer)| Some(peer.heard_here + allowed(peer, &self.settings)?));
        self.watching.too_long = ends.min();
    }

    /// Somebody may be dead: it is asked, and others are.
    pub(super) fn suspect(&mut self, name: &str, now: Instant) {
        if self.is_alive(name) && !self.watching.is_suspected(name) {
            self.counters.suspicions += 1;
            self.ask_about(name, 0, 0, now);
        }
    }

    /// Asks a suspect itself, and others about it, each time others.
    fn ask_about(&mut self, name: &str, round: u32, asked_before: usize, now: Instant) {
        let Some(session) = self.peers.get(name).map(|peer| peer.session) else { return };
        let alive = self.peers.iter().filter(|(_, peer)| peer.state == State::Alive);
        let others = alive.map(|(other, _)| other.as_str()).filter(|other| *other != name);
        let about = format!("{}/{name}", self.me.name);
        let asked = rendezvous::choose(&about, round.into(), self.settings.asked, others);
        let asked: Vec<String> = asked.into_iter().map(str::to_owned).collect();
        let token = self.watching.token(Token::About(name.to_owned()));
        let suspect =
            Suspect { round, until: now + self.settings.patience(), asked: asked_before + asked.len() };
        self.watching.suspects.insert(name.to_owned(), suspect);
        self.send_everywhere(name, Body::Ping(token));
        for other in asked {
            self.send(&other, Body::Ask { who: name, session, token });
        }
    }

    fn declare_dead(&mut self, name: &str, asked: usize, now: Instant) {
        let Some(session) = self.peers.get(name).map(|peer| peer.session) else { return };
        self.counters.deaths += 1;
        self.bury(name, Why::Silent { asked }, now);
        let mut death = Death { who: name.to_owned(), session, left: TOLD };
        self.watching.roll_call.get_or_insert((now, now + self.settings.patience()));
        self.tell_death(&mut death);
        self.watching.deaths.push(death);
    }

    /// Tells of deaths once more, each a few times in all.
    fn tell_deaths(&mut self) {
        let mut deaths = std::mem::take(&mut self.watching.deaths);
        // One that has come back is not told of any more.
        deaths.retain(|death| death.left > 0 && !self.is_alive(&death.who));
        for death in &mut deaths {
            self.tell_death(death);
        }
        self.watching.deaths = deaths;
    }

    /// Tells all members, the dead one too: it may live and only not be heard.
    fn tell_death(&mut self, death: &mut Death) {
        death.left -= 1;
        let alive = self.peers.iter().filter(|(_, peer)| peer.state == State::Alive);
        let to: Vec<String> = alive.map(|(name, _)| name.clone()).chain([death.who.clone()]).collect();
        for name in to {
            self.send(&name, Body::Died { who: &death.who, session: death.session });
        }
    }

    pub(super) fn on_beat(&mut self, name: &str) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        peer.unanswered += 1;
        // Often enough for it to know that it is heard, and what it has to repeat.
        if peer.unanswered >= ANSWERED {
            self.send(name, Body::Ack);
        }
    }

    pub(super) fn on_ask(&mut self, asker: &str, who: &str, session: Session, token: u64, now: Instant) {
        let lately = now.checked_sub(self.settings.interval * 2);
        let is_heard = self.peers.get(who).is_some_and(|peer| {
            peer.state == State::Alive && peer.session == session && peer.heard >= lately
        });
        if is_heard {
            return self.send(asker, Body::Heard(token));
        }
        let theirs = Token::For { asker: asker.to_owned(), token, until: now + REMEMBERED };
        let own = self.watching.token(theirs);
        self.send_everywhere(who, Body::Ping(own));
    }

    pub(super) fn on_pong(&mut self, token: u64) {
        if let Some(Token::For { asker, token, .. }) = self.watching.tokens.remove(&token) {
            self.send(&asker, Body::Heard(token));
        }
    }

    pub(super) fn on_heard(&mut self, token: u64, now: Instant) {
        let Some(Token::About(name)) = self.watching.tokens.get(&token) else { return };
        let name = name.clone();
        self.counters.explained += 1;
        self.watching.forget(&name);
        if let Some(peer) = self.peers.get_mut(&name) {
            // It lives, and only the way between the two of us is bad.
            peer.heard_here = now;
        }
    }

    pub(super) fn on_died(&mut self, by: &str, who: &str, session: Session, now: Instant) {
        if who == self.me.name {
            // Whoever believes that is to hear it at once; and what this node had, others may have by now.
            if session == self.me.session && self.is_ready() {
                self.begin_anew(Event::TakenForDead { by: by.to_owned() }, now);
            }
            return;
        }
        // So that the one who tells it knows that this node is there.
        self.send(by, Body::Ack);
        let lately = now.checked_sub(self.settings.silence());
        let is_meant = self.peers.get(who).is_some_and(|peer| {
            // Who has heard it himself knows better.
            peer.session == session && peer.heard < lately
        });
        if is_meant {
            self.bury(who, Why::Told { by: by.to_owned() }, now);
        }
    }
}
