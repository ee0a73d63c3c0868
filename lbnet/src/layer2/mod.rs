//! The loop that answers and announces on the real interfaces of this host.
//!
//! It has a thread and a runtime of its own; the handle sends it messages. Each socket has a thread too, which answers
//! at once: neither the loop nor anything else in the process delays it. They share the responder, under a lock that
//! is held for one decision.

mod held;
mod listening;
mod ports;
mod readers;
mod serve;
mod snapshot;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use pnet_base::MacAddr;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use self::serve::Loop;
pub use self::snapshot::{AddressCounters, Conflict, InterfaceSnapshot, Snapshot};
use crate::conflict::Policy;
use crate::host::KernelAnswer;
use crate::interface::Unusable;
use crate::socket::{OpenError, permitted};
use crate::{Interface, Permit, Profile, Rule, Selection, probe};

/// How to answer and announce.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Which interfaces may be used.
    pub interfaces: Selection,
    /// How often to announce.
    pub profile: Profile,
    /// What to do when another station claims an address of ours.
    pub conflicts: Policy,
    /// How an address is probed before it is used for the first time.
    pub probe: probe::Profile,
    /// Whether `ping` is answered, here in user space. It never is for an address that this host has on an
    /// interface: there the kernel answers.
    pub echo: bool,
    /// Nothing is answered or announced unless this holds. By default it does.
    pub permit: Arc<Permit>,
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
    /// These interfaces can answer from now on, with their subnets: told at the start, and whenever one of them, its
    /// hardware address or its subnets change.
    Interfaces(Vec<Interface>),
    /// The interface could not be opened; it is tried again when it changes.
    Failed {
        /// Its name.
        interface: String,
        /// What the kernel said.
        error: OpenError,
    },
    /// The interface does not listen to the multicast groups in which IPv6 addresses are asked for, so that they are
    /// answered on it only by chance. It is tried again when the interface changes.
    NoGroup {
        /// Its name.
        interface: String,
        /// What the kernel said.
        error: io::Error,
    },
    /// An address is answered on these interfaces from now on, by name; on none if the list is empty.
    Placed {
        /// The address.
        address: IpAddr,
        /// The interfaces.
        interfaces: Vec<String>,
        /// If there are none: why each interface of this host does not answer.
        passed_over: Vec<(String, Unusable)>,
    },
    /// A new address turned out to be in use: it is not answered until nobody else has it.
    Taken {
        /// The address.
        address: IpAddr,
        /// Who has it.
        mac: MacAddr,
        /// Where that was heard.
        interface: String,
    },
    /// Another station claims an address that is answered here. Told once for each, until it has been quiet.
    Conflict {
        /// The address.
        address: IpAddr,
        /// Who claims it.
        mac: MacAddr,
        /// Where that was heard.
        interface: String,
        /// What is done about it.
        policy: Policy,
    },
    /// A station that claimed an address has not done so for a while ([`crate::conflict::QUIET`]).
    ConflictOver {
        /// The address.
        address: IpAddr,
        /// Who claimed it.
        mac: MacAddr,
    },
    /// This host's kernel answers for an address too.
    KernelAnswers(KernelAnswer),
    /// The interfaces cannot be followed for the moment; it is tried again.
    NetlinkLost(io::Error),
}

/// What probing an address came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// Nobody has it.
    Free,
    /// Somebody has it.
    Taken(MacAddr),
    /// It could not be asked: no interface answers for it, it is answered here already, or the probe was given up.
    NotAsked,
}

pub(crate) enum Command {
    Announce { address: IpAddr, rule: Rule, is_new: bool },
    Probe { address: IpAddr, rule: Rule, tell: oneshot::Sender<Probed> },
    Withdraw(IpAddr),
    AnnounceAgain(IpAddr),
    Obeyed(oneshot::Sender<()>),
    Members(BTreeSet<MacAddr>),
    Selection(Selection),
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
    /// nothing and sends nothing. An address that is being probed, or was found taken, stays so by its new rule; to
    /// answer for it all the same, withdraw it first.
    pub fn announce(&self, address: impl Into<IpAddr>, rule: Rule) {
        self.send(Command::Announce { address: address.into(), rule, is_new: false });
    }

    /// The same for an address that nobody has answered for yet: it is probed first, for a fifth of a second. If it
    /// turns out to be in use it is not answered, [`Event::Taken`] tells, and it is probed again until it is free.
    /// Not for an address that moves here, is adopted, or was answered before a restart: those must not wait.
    ///
    /// When many are new at a time they are announced at once, and left to the watch for conflicts.
    pub fn announce_new(&self, address: impl Into<IpAddr>, rule: Rule) {
        self.send(Command::Announce { address: address.into(), rule, is_new: true });
    }

    /// Finds out whether anybody has `address`, on the interfaces that `rule` says; it is not announced after that.
    pub async fn probe(&self, address: impl Into<IpAddr>, rule: Rule) -> Probed {
        let (tell, told) = oneshot::channel();
        self.send(Command::Probe { address: address.into(), rule, tell });
        told.await.unwrap_or(Probed::NotAsked)
    }

    /// Stops answering for `address`.
    pub fn withdraw(&self, address: impl Into<IpAddr>) {
        self.send(Command::Withdraw(address.into()));
    }

    /// Tells the LAN anew that `address` is answered here, if it is: whoever had it before may have had the last word with
    /// a neighbour.
    pub fn announce_again(&self, address: impl Into<IpAddr>) {
        self.send(Command::AnnounceAgain(address.into()));
    }

    /// Waits until all that was said before is so: what was withdrawn is answered no more.
    pub fn obeyed(&self) -> impl Future<Output = ()> + Send + use<> {
        let (tell, told) = oneshot::channel();
        self.send(Command::Obeyed(tell));
        async {
            // If the thread has ended, nothing is answered.
            let _ = told.await;
        }
    }

    /// The hardware addresses of the cluster's other members: that an address moves to one of them is no conflict.
    pub fn set_members(&self, members: BTreeSet<MacAddr>) {
        self.send(Command::Members(members));
    }

    /// Which interfaces may be used from now on, in place of [`Settings::interfaces`].
    pub fn set_interfaces(&self, selection: Selection) {
        self.send(Command::Selection(selection));
    }

    /// What is answered where right now. Empty if the thread has ended.
    pub fn snapshot(&self) -> impl Future<Output = Snapshot> + Send + use<> {
        let (ask, answer) = oneshot::channel();
        self.send(Command::Snapshot(ask));
        async { answer.await.unwrap_or_default() }
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
