//! Carries [`Membership`](super::Membership) on UDP, on a thread of its own: whatever else the process does delays no heartbeat.
//!
//! It also keeps the [`Permit`] to answer: extended from moment to moment while this process runs, and lapsed as soon as it
//! stands still.

mod frames;
mod key_files;
mod serving;
mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::key_files::{KeyFileError, read as read_key_files};
use self::serving::Running;
use super::keys::{Key, NotOpened};
use super::message::Change;
use super::table::Records;
use super::{Counters, Event, Segment, Settings};
use crate::Permit;

/// The port of members. Not MetalLB's 7946, so that both can be in a cluster for a while.
pub const PORT: u16 = 7947;

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
    /// What the others hear of this process from the first moment on.
    pub records: Vec<Change>,
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
    Segments(BTreeMap<String, Segment>),
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

/// A LAN on which this node announces, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnSegment {
    /// The interface that is on it.
    pub interface: String,
    /// Whether this node is heard on it.
    pub heard: bool,
    /// How many members are on it that live.
    pub alive: usize,
    /// How many of them were heard on it lately; not all speak on it all the time.
    pub speaking: usize,
}

/// What is known of the members at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All but this node, by name.
    pub members: Vec<Member>,
    /// The LANs on which this node announces, by interface.
    pub segments: Vec<OnSegment>,
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

    /// See [`Membership::set_peers`](super::Membership::set_peers).
    pub fn set_peers(&self, peers: BTreeMap<String, BTreeSet<SocketAddr>>) {
        self.send(Command::Peers(peers));
    }

    /// See [`Membership::set_contacts`](super::Membership::set_contacts).
    pub fn set_contacts(&self, contacts: BTreeSet<SocketAddr>) {
        self.send(Command::Contacts(contacts));
    }

    /// See [`Membership::set_segments`](super::Membership::set_segments).
    pub fn set_segments(&self, segments: BTreeMap<String, Segment>) {
        self.send(Command::Segments(segments));
    }

    /// See [`Membership::expect`](super::Membership::expect).
    pub fn expect(&self, names: BTreeSet<String>) {
        self.send(Command::Expect(names));
    }

    /// See [`Membership::publish`](super::Membership::publish).
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
    pub fn snapshot(&self) -> impl Future<Output = Snapshot> + Send + use<> {
        let (ask, answer) = oneshot::channel();
        self.send(Command::Snapshot(ask));
        async { answer.await.unwrap_or_default() }
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
