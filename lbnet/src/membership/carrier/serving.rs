//! The loop that carries a member.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{mpsc, watch};

use super::frames::{self, Frames};
use super::socket::{Came, MemberSocket};
use super::{CarrierError, CarrierSettings, Command, Member, News, OnSegment, Snapshot, key_files};
use crate::Permit;
use crate::membership::keys::{Key, Keys, NotOpened};
use crate::membership::{Event, Identity, Incoming, MemberView, Membership, SegmentView, Settings};

/// How often the files of keys are read again.
const KEYS_EVERY: Duration = Duration::from_secs(10);
/// Datagrams that are taken in before anything else has its turn.
const AT_A_TIME: usize = 64;
/// Datagrams at most that wait in the socket of a process that stood still.
const WAITING: usize = 10_000;
/// The longest datagram that is read.
const LONGEST: usize = 2048;

pub(super) struct Running {
    membership: Membership,
    keys: Keys,
    key_path: Option<PathBuf>,
    keys_due: Instant,
    key_trouble: Option<String>,
    strangers: BTreeSet<SocketAddr>,
    socket: MemberSocket,
    frames: Frames,
    /// When it is looked next whether frames come in, as long as that matters.
    frames_due: Option<Instant>,
    /// It was said to all that this node goes.
    left: bool,
    /// How often all were heard or waited for.
    readies: u64,
    permit: Arc<Permit>,
    settings: Settings,
    /// Answering may go on.
    permitted: bool,
    news: mpsc::UnboundedSender<News>,
    heard_by_all: watch::Sender<bool>,
}

impl Running {
    pub(super) fn open(
        settings: CarrierSettings,
        addresses: Vec<SocketAddr>,
        keys: Vec<Key>,
        news: mpsc::UnboundedSender<News>,
        heard_by_all: watch::Sender<bool>,
    ) -> Result<Self, CarrierError> {
        let at_port = |source| CarrierError::Port { port: settings.port, source };
        let socket = MemberSocket::bind(settings.port).map_err(at_port)?;
        let random = SystemRandom::new();
        let draw = || {
            let mut bytes = [0; 8];
            random
                .fill(&mut bytes)
                .map_err(|_| CarrierError::Thread(io::Error::other("the system gives no random numbers")))?;
            Ok::<_, CarrierError>(u64::from_be_bytes(bytes) | 1)
        };
        let (session, seed) = (draw()?, draw()?);
        // Only gossip compares it, and only with that of the same node's process before.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let generation = u64::try_from(since.as_millis()).unwrap_or_default();
        let me = Identity { name: settings.name, session, generation, addresses };
        let now = Instant::now();
        let mut membership = Membership::new(settings.membership.clone(), me, seed, now);
        membership.publish(settings.records, now);
        Ok(Self {
            membership,
            keys: Keys::new(session, keys),
            key_path: settings.keys,
            keys_due: now + KEYS_EVERY,
            key_trouble: None,
            strangers: BTreeSet::new(),
            socket,
            frames: Frames::default(),
            frames_due: None,
            left: false,
            readies: 0,
            permit: settings.permit,
            settings: settings.membership,
            permitted: false,
            news,
            heard_by_all,
        })
    }

    pub(super) async fn run(&mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut buffer = vec![0; LONGEST];
        loop {
            let due = self.membership.deadline().min(self.keys_due);
            let due = self.frames_due.map_or(due, |frames| due.min(frames));
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due.into()) => {}
                readable = self.socket.readable() => if readable.is_ok() {
                    self.wake();
                    self.read(&mut buffer);
                },
                command = inbox.recv() => match command {
                    Some(command) => {
                        self.wake();
                        self.obey(command);
                    }
                    None => break,
                },
            }
            // Also when datagrams come without end.
            match inbox.try_recv() {
                Ok(command) => {
                    self.wake();
                    self.obey(command);
                }
                Err(mpsc::error::TryRecvError::Empty) => {}
                Err(mpsc::error::TryRecvError::Disconnected) => break,
            }
            self.look_for_frames().await;
            self.wake();
            self.carry();
        }
        self.permit.withdraw();
    }

    /// Takes note of the time. What waits in the socket of a process that stood still is of another time.
    fn wake(&mut self) {
        let now = Instant::now();
        if self.membership.has_stood_still(now) {
            self.stop_answering();
            // Whoever goes on sending does not keep this up.
            let waited = self.socket.discard(WAITING);
            tracing::debug!(waited, "stood still: the datagrams that came meanwhile are of another time");
        }
        if now >= self.membership.deadline() {
            self.membership.on_time(now);
        }
        if self.permitted {
            self.permit.set(now + self.settings.standstill());
        }
        if now >= self.keys_due {
            self.keys_due = now + KEYS_EVERY;
            self.read_keys();
        }
    }

    /// Looks whether frames come in where that says which end of a LAN is cut.
    async fn look_for_frames(&mut self) {
        let wanted: Vec<(String, u32)> =
            self.membership.frames_wanted().map(|(interface, index)| (interface.to_owned(), index)).collect();
        if wanted.is_empty() {
            self.frames_due = None;
            return self.frames.forget();
        }
        let now = Instant::now();
        if self.frames_due.is_some_and(|due| due > now) {
            return;
        }
        self.frames_due = Some(now + frames::EVERY);
        for (interface, index) in wanted {
            if self.frames.came(index).await {
                self.membership.on_frames(&interface, Instant::now());
            }
        }
    }

    fn stop_answering(&mut self) {
        self.permitted = false;
        self.permit.withdraw();
    }

    fn read(&mut self, buffer: &mut [u8]) {
        for _ in 0..AT_A_TIME {
            // Also what a datagram of ours came to that nobody wanted: it is noticed by silence.
            let Ok(Came { length, from, via }) = self.socket.receive(buffer) else { return };
            match self.keys.open(&mut buffer[..length]) {
                // Who has gone hears nobody.
                Ok(_) if self.left => {}
                Ok((session, sequence, bytes)) => {
                    self.strangers.remove(&from);
                    let incoming = Incoming { from, via, session, sequence, bytes };
                    self.membership.receive(incoming, Instant::now());
                }
                Err(why) => {
                    if why == NotOpened::UnknownKey && self.key_path.is_some() {
                        // A new key may just have come.
                        self.keys_due = self.keys_due.min(Instant::now() + Duration::from_secs(1));
                    }
                    // Told once for each; a flood of made-up senders fills nothing.
                    if self.strangers.len() < 64 && self.strangers.insert(from) {
                        self.tell(News::NotOpened(from, why));
                    }
                }
            }
        }
    }

    fn read_keys(&mut self) {
        let Some(path) = &self.key_path else { return };
        match key_files::read(path) {
            Ok(keys) => {
                self.key_trouble = None;
                if self.keys.set(keys) {
                    self.tell(News::KeysChanged);
                }
            }
            Err(error) => {
                if self.key_trouble.replace(error.to_string()) != Some(error.to_string()) {
                    self.tell(News::Keys(error));
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Peers(peers) => {
                self.membership.set_peers(peers, now);
                self.membership.on_time(now);
            }
            Command::Contacts(contacts) => {
                self.membership.set_contacts(&contacts, now);
                self.membership.on_time(now);
            }
            Command::Segments(segments) => self.membership.set_segments(segments, now),
            Command::Expect(names) => self.membership.expect(names, now),
            Command::Publish(changes) => self.membership.publish(changes, now),
            Command::Processed(tell) => {
                self.note_heard_by_all();
                // Whoever asked may have gone.
                let _ = tell.send(());
            }
            Command::GoOn(count) => {
                // It may have stood still once more since.
                if self.membership.is_ready() && count == self.readies {
                    self.permitted = true;
                    self.permit.set(now + self.settings.standstill());
                }
            }
            Command::Leave(tell) => {
                self.membership.leave();
                self.carry();
                self.left = true;
                // Whoever asked may have gone.
                let _ = tell.send(());
            }
            Command::Snapshot(answer) => {
                let member = |it: MemberView<'_>| Member {
                    name: it.name.to_owned(),
                    alive: it.alive,
                    at: it.at,
                    silent: it.heard.map(|heard| now.saturating_duration_since(heard)),
                    watched: it.watched,
                };
                let segment = |it: SegmentView<'_>| OnSegment {
                    interface: it.interface.to_owned(),
                    heard: it.heard,
                    alive: it.alive,
                    speaking: it.speaking,
                };
                let members = self.membership.members().map(member).collect();
                let segments = self.membership.segments(now).map(segment).collect();
                let _ = answer.send(Snapshot { members, segments, counters: self.membership.counters() });
            }
        }
    }

    /// Sends what is to be sent, and tells what happened.
    fn carry(&mut self) {
        while let Some(out) = self.membership.next_datagram() {
            if self.left {
                continue;
            }
            if let Some(sealed) = self.keys.seal(out.sequence, &out.bytes) {
                // One that the kernel does not take is as good as lost on the way.
                let _ = self.socket.send(&sealed, out.to, out.via);
            }
        }
        while let Some(event) = self.membership.next_event() {
            match &event {
                Event::StoodStill(_) | Event::TakenForDead { .. } => self.stop_answering(),
                Event::Ready { .. } => self.readies += 1,
                _ => {}
            }
            let of = match &event {
                // What one that is back told before is known still, and counts again.
                Event::Table { name } | Event::Up { name, restarted: false }
                    // Of a new process nothing is known yet.
                    if self.membership.has_table(name) =>
                {
                    Some((name.clone(), self.membership.records(name)))
                }
                _ => None,
            };
            let records = of.and_then(|(name, records)| Some(News::Records(name, records?.clone())));
            if !matches!(event, Event::Table { .. }) {
                self.tell(News::Happened(event));
            }
            if let Some(records) = records {
                self.tell(records);
            }
        }
        self.note_heard_by_all();
    }

    fn note_heard_by_all(&self) {
        let all = self.membership.is_heard_by_all();
        self.heard_by_all.send_if_modified(|known| std::mem::replace(known, all) != all);
    }

    fn tell(&self, news: News) {
        // Nobody needs to listen.
        let _ = self.news.send(news);
    }
}
