//! Carries [`Membership`] on UDP, on a thread of its own: whatever else the process does delays no heartbeat.
//!
//! It also keeps the [`Permit`] to answer: extended from moment to moment while this process runs, and lapsed as soon as it
//! stands still.

mod key_files;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::key_files::{KeyFileError, read as read_key_files};
use super::keys::{Key, Keys, NotOpened};
use super::message::Change;
use super::table::Records;
use super::{Counters, Event, Identity, Incoming, Membership, Settings};
use crate::Permit;

/// The port of members. Not MetalLB's 7946, so that both can be in a cluster for a while.
pub const PORT: u16 = 7947;

/// How often the files of keys are read again.
const KEYS_EVERY: Duration = Duration::from_secs(10);
/// Datagrams that are taken in before anything else has its turn.
const AT_A_TIME: usize = 64;
/// Datagrams at most that wait in the socket of a process that stood still.
const WAITING: usize = 10_000;
/// The longest datagram that is read.
const LONGEST: usize = 2048;

/// How members are carried.
#[derive(Debug, Clone)]
pub struct CarrierSettings {
    /// The node's name.
    pub name: String,
    /// The UDP port, the same on all nodes.
    pub port: u16,
    /// Where the keys are; none: anybody who can send datagrams can be a member.
    pub keys: Option<PathBuf>,
    /// How fast and how carefully.
    pub membership: Settings,
    /// What is kept up while this process does not stand still.
    pub permit: Arc<Permit>,
}

/// Why members cannot be carried.
#[derive(Debug, thiserror::Error)]
pub enum CarrierError {
    /// The port cannot be had.
    #[error("cannot listen on UDP port {port}: {source}; choose another one, the same on all nodes")]
    Port {
        /// The port.
        port: u16,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no usable key.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// A thread, a runtime or random numbers could not be had.
    #[error("cannot start the thread of members: {0}")]
    Thread(#[source] io::Error),
}

/// Something that a member's process tells the one who decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Something happened; see [`Event`].
    Happened(Event),
    /// A member tells this of itself now.
    Records(String, Records),
    /// Another node's datagrams cannot be opened.
    NotOpened(SocketAddr, NotOpened),
    /// The files of keys cannot be read; those that were read last stay in force.
    Keys(KeyFileError),
    /// Other keys are in force now.
    KeysChanged,
}

enum Command {
    Peers(BTreeMap<String, BTreeSet<SocketAddr>>),
    Contacts(BTreeSet<SocketAddr>),
    Expect(BTreeSet<String>),
    Publish(Vec<Change>),
    Processed(oneshot::Sender<()>),
    GoOn(u64),
    Leave(oneshot::Sender<()>),
    Snapshot(oneshot::Sender<Snapshot>),
}

/// A member at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Whether it is alive.
    pub alive: bool,
    /// Where it was heard from last.
    pub at: Option<SocketAddr>,
    /// How long ago that was.
    pub silent: Option<Duration>,
    /// Whether this node notices when it falls silent.
    pub watched: bool,
}

/// What is known of the members at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All but this node, by name.
    pub members: Vec<Member>,
    /// What was counted.
    pub counters: Counters,
}

/// The members, carried until it is dropped.
#[derive(Debug)]
pub struct Carrier {
    commands: Option<mpsc::UnboundedSender<Command>>,
    heard_by_all: watch::Receiver<bool>,
    permit: Arc<Permit>,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl Carrier {
    /// Starts in the network namespace of the calling thread. Whoever decides hears the news.
    ///
    /// # Errors
    /// [`CarrierError`]: then nothing is started.
    pub fn start(settings: CarrierSettings) -> Result<(Self, mpsc::UnboundedReceiver<News>), CarrierError> {
        let keys = match &settings.keys {
            Some(path) => key_files::read(path)?,
            None => vec![Key::insecure()],
        };
        let (port, permit) = (settings.port, Arc::clone(&settings.permit));
        let (commands, inbox) = mpsc::unbounded_channel();
        let (news, heard) = mpsc::unbounded_channel();
        let (all, heard_by_all) = watch::channel(false);
        let (ready, started) = std::sync::mpsc::channel();
        let carry = move || {
            let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(CarrierError::Thread(error)))),
            };
            runtime.block_on(async move {
                // Others are told where this node is; if it cannot be known, they hear it.
                let own = crate::HostAddresses::read().await.map(|host| host.own).unwrap_or_default();
                let own = own.into_iter().map(|address| SocketAddr::new(address, port)).collect();
                match Running::open(settings, own, keys, news, all) {
                    Err(error) => drop(ready.send(Err(error))),
                    Ok(mut running) => {
                        // Whoever starts it waits for this.
                        let _ = ready.send(Ok(()));
                        running.run(inbox).await;
                    }
                }
            });
        };
        let thread = std::thread::Builder::new().name("membership".to_owned());
        let thread = thread.spawn(carry).map_err(CarrierError::Thread)?;
        let ended = || CarrierError::Thread(io::Error::other(format!("it ended at once, on port {port}")));
        started.recv().map_err(|_| ended())??;
        Ok((Self { commands: Some(commands), heard_by_all, permit, port, thread: Some(thread) }, heard))
    }

    /// The port, the same on all nodes.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// See [`Membership::set_peers`].
    pub fn set_peers(&self, peers: BTreeMap<String, BTreeSet<SocketAddr>>) {
        self.send(Command::Peers(peers));
    }

    /// See [`Membership::set_contacts`].
    pub fn set_contacts(&self, contacts: BTreeSet<SocketAddr>) {
        self.send(Command::Contacts(contacts));
    }

    /// See [`Membership::expect`].
    pub fn expect(&self, names: BTreeSet<String>) {
        self.send(Command::Expect(names));
    }

    /// See [`Membership::publish`].
    pub fn publish(&self, changes: Vec<Change>) {
        self.send(Command::Publish(changes));
    }

    /// All that the `count`th [`Event::Ready`] brought has been acted upon: answering may go on. If this process has stood
    /// still since, that is not enough.
    pub fn go_on(&self, count: u64) {
        self.send(Command::GoOn(count));
    }

    /// Whether this node may answer: its process has not stood still.
    #[must_use]
    pub fn may_answer(&self) -> bool {
        self.permit.holds(Instant::now())
    }

    /// Waits until every living member has all that was published.
    pub async fn heard_by_all(&self) {
        let (tell, told) = oneshot::channel();
        self.send(Command::Processed(tell));
        // One that has ended tells nobody anything.
        let _ = told.await;
        let _ = self.heard_by_all.clone().wait_for(|heard| *heard).await;
    }

    /// Says to all that this node goes.
    pub async fn leave(&self) {
        let (tell, told) = oneshot::channel();
        self.send(Command::Leave(tell));
        let _ = told.await;
    }

    /// What is known of the members right now.
    pub async fn snapshot(&self) -> Snapshot {
        let (ask, answer) = oneshot::channel();
        self.send(Command::Snapshot(ask));
        answer.await.unwrap_or_default()
    }

    fn send(&self, command: Command) {
        // The thread ends only after this handle is dropped, or by a panic that it has reported.
        let _ = self.commands.as_ref().map(|commands| commands.send(command));
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Running {
    membership: Membership,
    keys: Keys,
    key_path: Option<PathBuf>,
    keys_due: Instant,
    key_trouble: Option<String>,
    strangers: BTreeSet<SocketAddr>,
    socket: UdpSocket,
    /// The same socket without the reactor, which after a stop knows nothing of what came meanwhile.
    raw: std::net::UdpSocket,
    is_ipv6: bool,
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
    fn open(
        settings: CarrierSettings,
        addresses: Vec<SocketAddr>,
        keys: Vec<Key>,
        news: mpsc::UnboundedSender<News>,
        heard_by_all: watch::Sender<bool>,
    ) -> Result<Self, CarrierError> {
        let at_port = |source| CarrierError::Port { port: settings.port, source };
        let (socket, raw, is_ipv6) = bind(settings.port).map_err(at_port)?;
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
        Ok(Self {
            membership: Membership::new(settings.membership.clone(), me, seed, now),
            keys: Keys::new(session, keys),
            key_path: settings.keys,
            keys_due: now + KEYS_EVERY,
            key_trouble: None,
            strangers: BTreeSet::new(),
            socket,
            raw,
            is_ipv6,
            left: false,
            readies: 0,
            permit: settings.permit,
            settings: settings.membership,
            permitted: false,
            news,
            heard_by_all,
        })
    }

    async fn run(&mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut buffer = vec![0; LONGEST];
        loop {
            let due = self.membership.deadline().min(self.keys_due);
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
            let mut buffer = [0; LONGEST];
            // Whoever goes on sending does not keep this up.
            let waited = (0..WAITING).take_while(|_| self.raw.recv_from(&mut buffer).is_ok()).count();
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

    fn stop_answering(&mut self) {
        self.permitted = false;
        self.permit.withdraw();
    }

    fn read(&mut self, buffer: &mut [u8]) {
        for _ in 0..AT_A_TIME {
            // Also what a datagram of ours came to that nobody wanted: it is noticed by silence.
            let Ok((length, from)) = self.socket.try_recv_from(buffer) else { return };
            let from = plain(from);
            match self.keys.open(&mut buffer[..length]) {
                // Who has gone hears nobody.
                Ok(_) if self.left => {}
                Ok((session, sequence, bytes)) => {
                    self.strangers.remove(&from);
                    self.membership.receive(Incoming { from, session, sequence, bytes }, Instant::now());
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
                let member = |it: super::MemberView<'_>| Member {
                    name: it.name.to_owned(),
                    alive: it.alive,
                    at: it.at,
                    silent: it.heard.map(|heard| now.saturating_duration_since(heard)),
                    watched: it.watched,
                };
                let members = self.membership.members().map(member).collect();
                let _ = answer.send(Snapshot { members, counters: self.membership.counters() });
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
                let _ = self.socket.try_send_to(&sealed, self.reachable(out.to));
            }
        }
        while let Some(event) = self.membership.next_event() {
            match &event {
                Event::StoodStill(_) => self.stop_answering(),
                Event::Ready { .. } => self.readies += 1,
                _ => {}
            }
            let of = match &event {
                // What one that is back told before is known still, and counts again.
                Event::Table { name } | Event::Up { name, restarted: false } => {
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

    /// An address in the family of the socket.
    fn reachable(&self, to: SocketAddr) -> SocketAddr {
        match to {
            SocketAddr::V4(v4) if self.is_ipv6 => {
                SocketAddr::V6(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0))
            }
            other => other,
        }
    }

    fn tell(&self, news: News) {
        // Nobody needs to listen.
        let _ = self.news.send(news);
    }
}

/// An address as it is written: IPv4 is IPv4.
fn plain(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}

/// One socket for both families; for IPv4 alone, where the kernel has no IPv6.
fn bind(port: u16) -> io::Result<(UdpSocket, std::net::UdpSocket, bool)> {
    let open = |domain, at: SocketAddr| -> io::Result<_> {
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if at.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        let raw = std::net::UdpSocket::from(socket);
        Ok((UdpSocket::from_std(raw.try_clone()?)?, raw))
    };
    let both = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
    match open(Domain::IPV6, both.into()) {
        Ok((socket, raw)) => Ok((socket, raw, true)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => {
            let only = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
            let (socket, raw) = open(Domain::IPV4, only.into())?;
            Ok((socket, raw, false))
        }
    }
}
