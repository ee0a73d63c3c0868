//! The loop that answers and announces on the real interfaces of this host.
//!
//! It has a thread and a runtime of its own, so that nothing else in the process delays an answer. All its
//! state belongs to that thread; the handle sends it messages.

mod ports;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use self::ports::{Followed, Ports};
use crate::interface::Unusable;
use crate::interface::monitor::{Change, Monitor};
use crate::socket::{OpenError, permitted};
use crate::{Announcer, Counters, Interface, Profile, Rule, Selection};

/// How to answer and announce.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Which interfaces may be used.
    pub interfaces: Selection,
    /// How often to announce.
    pub profile: Profile,
}

/// Why answering could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Packet sockets cannot be had.
    #[error(transparent)]
    Socket(#[from] OpenError),
    /// The interfaces cannot be followed.
    #[error("cannot follow the interfaces by netlink: {0}")]
    Netlink(#[source] io::Error),
    /// A thread or a runtime could not be made.
    #[error("cannot start the answering thread: {0}")]
    Thread(#[source] io::Error),
    /// An interface was asked for by name and is not there.
    #[error("there is no interface {name:?}; this host has {}", .there.join(", "))]
    NoInterface {
        /// The name asked for.
        name: String,
        /// The interfaces there are.
        there: Vec<String>,
    },
}

/// What happened on the interfaces, for logs and status.
#[derive(Debug)]
pub enum Event {
    /// The interface answers from now on.
    Opened {
        /// Its name.
        interface: String,
    },
    /// The interface answers no more.
    Closed {
        /// Its name.
        interface: String,
    },
    /// The interface could not be opened; it is tried again when it changes.
    Failed {
        /// Its name.
        interface: String,
        /// What the kernel said.
        error: OpenError,
    },
    /// An address is answered on these interfaces from now on, by name; on none if the list is empty.
    Placed {
        /// The address.
        address: Ipv4Addr,
        /// The interfaces.
        interfaces: Vec<String>,
        /// If there are none: why each interface of this host does not answer.
        passed_over: Vec<(String, Unusable)>,
    },
    /// The interfaces cannot be followed for the moment; it is tried again.
    NetlinkLost(io::Error),
}

/// What is answered where, and what became of the frames.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The addresses and the names of the interfaces that answer for them.
    pub addresses: BTreeMap<Ipv4Addr, Vec<String>>,
    /// The counters of each open interface, by name.
    pub counters: BTreeMap<String, Counters>,
    /// Gratuitous frames sent.
    pub announced: u64,
}

enum Command {
    Announce(Ipv4Addr, Rule),
    Withdraw(Ipv4Addr),
    Snapshot(oneshot::Sender<Snapshot>),
}

/// Answers for addresses until it is dropped. Cheap to ask: every call only sends a message.
#[derive(Debug)]
pub struct Layer2 {
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Layer2 {
    /// Starts answering, for nothing yet, in the network namespace of the calling thread. Blocks for the few
    /// milliseconds that this takes. The second value tells what happens; it may be dropped.
    ///
    /// # Errors
    /// [`StartError`]: without permission, or with a chosen interface that is not there, nothing is started.
    pub fn start(settings: Settings) -> Result<(Self, mpsc::UnboundedReceiver<Event>), StartError> {
        permitted()?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let (events, heard) = mpsc::unbounded_channel();
        let (ready, started) = std::sync::mpsc::channel();
        let serve = move || {
            let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return std::mem::drop(ready.send(Err(StartError::Thread(error)))),
            };
            LocalSet::new().block_on(&runtime, async move {
                match Loop::open(settings, events).await {
                    Err(error) => std::mem::drop(ready.send(Err(error))),
                    Ok(mut serving) => {
                        let _ = ready.send(Ok(()));
                        serving.run(inbox).await;
                    }
                }
            });
        };
        // A new thread starts in the namespace of the one that makes it.
        let thread =
            std::thread::Builder::new().name("layer2".to_owned()).spawn(serve).map_err(StartError::Thread)?;
        let ended = || StartError::Thread(io::Error::other("it ended at once"));
        started.recv().map_err(|_| ended())??;
        Ok((Self { commands: Some(commands), thread: Some(thread) }, heard))
    }

    /// Answers for `address` where `rule` says, and tells the LAN. Asking again with the same rule changes
    /// nothing and sends nothing.
    pub fn announce(&self, address: Ipv4Addr, rule: Rule) {
        self.send(Command::Announce(address, rule));
    }

    /// Stops answering for `address`.
    pub fn withdraw(&self, address: Ipv4Addr) {
        self.send(Command::Withdraw(address));
    }

    /// What is answered where right now. Empty if the thread has ended.
    pub async fn snapshot(&self) -> Snapshot {
        let (ask, answer) = oneshot::channel();
        self.send(Command::Snapshot(ask));
        answer.await.unwrap_or_default()
    }

    fn send(&self, command: Command) {
        // The thread ends only after this handle is dropped, or by a panic that it has reported.
        let _ = self.commands.as_ref().expect("present until drop").send(command);
    }
}

impl Drop for Layer2 {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How long to wait before the interfaces are followed again after the kernel closed the connection.
const NETLINK_RETRY: Duration = Duration::from_millis(200);

struct Loop {
    settings: Settings,
    monitor: Monitor,
    ports: Ports,
    /// The interfaces that answer, as they were when every address was placed last.
    answering: Vec<Interface>,
    announcer: Announcer,
    rules: BTreeMap<Ipv4Addr, Rule>,
    placed: BTreeMap<Ipv4Addr, BTreeSet<u32>>,
    announced: u64,
    events: mpsc::UnboundedSender<Event>,
}

impl Loop {
    async fn open(settings: Settings, events: mpsc::UnboundedSender<Event>) -> Result<Self, StartError> {
        let monitor = Monitor::open().await.map_err(StartError::Netlink)?;
        let there: Vec<String> = monitor.interfaces().values().map(|it| it.name.clone()).collect();
        if let Some(name) = settings.interfaces.only.iter().find(|name| !there.contains(name)) {
            return Err(StartError::NoInterface { name: name.clone(), there });
        }
        let mut serving = Self {
            announcer: Announcer::new(settings.profile),
            settings,
            monitor,
            ports: Ports::default(),
            answering: Vec::new(),
            rules: BTreeMap::new(),
            placed: BTreeMap::new(),
            announced: 0,
            events,
        };
        serving.follow_interfaces();
        Ok(serving)
    }

    async fn run(&mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        loop {
            let deadline = self.announcer.deadline();
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                change = self.monitor.changed() => self.on_change(change).await,
                () = due => {}
            }
            self.announce_due();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Announce(address, rule) => {
                if self.rules.get(&address) != Some(&rule) {
                    self.rules.insert(address, rule);
                    self.place(address);
                }
            }
            Command::Withdraw(address) => {
                self.rules.remove(&address);
                self.ports.responder().remove(address);
                for index in self.placed.remove(&address).unwrap_or_default() {
                    self.announcer.withdraw((address, index));
                }
            }
            Command::Snapshot(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.snapshot());
            }
        }
    }

    async fn on_change(&mut self, change: io::Result<Change>) {
        let followed = match change {
            Ok(Change::Set(_)) => Ok(()),
            Ok(Change::Gone(index)) => {
                self.close(index);
                Ok(())
            }
            Ok(Change::Lost) => {
                self.close_all();
                self.monitor.reread().await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = followed {
            self.tell(Event::NetlinkLost(error));
            tokio::time::sleep(NETLINK_RETRY).await;
            match Monitor::open().await {
                Ok(monitor) => {
                    self.monitor = monitor;
                    self.close_all();
                }
                Err(error) => self.tell(Event::NetlinkLost(error)),
            }
        }
        self.follow_interfaces();
    }

    /// After changes were missed: an interface may have been replaced by another with the same index, unseen.
    fn close_all(&mut self) {
        for index in self.ports.open_indexes() {
            self.close(index);
        }
    }

    fn close(&mut self, index: u32) {
        if let Some(name) = self.ports.close(index) {
            self.tell(Event::Closed { interface: name });
        }
    }

    /// Opens and closes sockets so that they go with the interfaces, then places every address anew.
    fn follow_interfaces(&mut self) {
        let interfaces = self.monitor.interfaces();
        let usable: Vec<&Interface> =
            interfaces.values().filter(|it| self.settings.interfaces.usable(it).is_ok()).collect();
        let Followed { events, renewed } = self.ports.follow(usable.iter().copied());
        let now: Vec<Interface> =
            usable.into_iter().filter(|it| self.ports.is_open(it.index)).cloned().collect();
        for event in events {
            self.tell(event);
        }
        // An interface that does not answer may change without a look at every address.
        if renewed.is_empty() && now == self.answering {
            return;
        }
        self.answering = now;
        // A link that came back, or one with a new hardware address, is told of everything again.
        for placed in self.placed.values_mut() {
            placed.retain(|index| !renewed.contains(index));
        }
        let addresses: Vec<Ipv4Addr> = self.rules.keys().copied().collect();
        for address in addresses {
            self.place(address);
        }
    }

    /// Answers for `address` where its rule says, and announces it where that is new.
    fn place(&mut self, address: Ipv4Addr) {
        let chosen = self.rules[&address].choose(address, self.answering.iter());
        let before = self.placed.insert(address, chosen.clone());
        if before.as_ref() == Some(&chosen) {
            return;
        }
        let before = before.unwrap_or_default();
        self.ports.responder().set(address, chosen.clone());
        for index in before.difference(&chosen) {
            self.announcer.withdraw((address, *index));
        }
        for index in chosen.difference(&before) {
            self.announcer.claim((address, *index), Instant::now());
        }
        let interfaces = self.names(&chosen);
        let passed_over = if interfaces.is_empty() { self.passed_over() } else { Vec::new() };
        self.tell(Event::Placed { address, interfaces, passed_over });
    }

    fn passed_over(&self) -> Vec<(String, Unusable)> {
        let why =
            |it: &Interface| self.settings.interfaces.usable(it).err().map(|why| (it.name.clone(), why));
        self.monitor.interfaces().values().filter_map(why).collect()
    }

    fn announce_due(&mut self) {
        for (address, index) in self.announcer.due(Instant::now()) {
            self.announced += self.ports.announce(index, address);
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            addresses: self.placed.iter().map(|(address, at)| (*address, self.names(at))).collect(),
            counters: self.ports.counters(),
            announced: self.announced,
        }
    }

    fn names(&self, indexes: &BTreeSet<u32>) -> Vec<String> {
        let interfaces = self.monitor.interfaces();
        indexes.iter().filter_map(|index| interfaces.get(index)).map(|it| it.name.clone()).collect()
    }

    fn tell(&self, event: Event) {
        // Nobody needs to listen.
        let _ = self.events.send(event);
    }
}
