//! The open sockets: those of each interface that answers, and what their filters let through.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pnet_base::MacAddr;

use super::Event;
use super::readers::{Leg, Reader, Shared};
use crate::Interface;
use crate::filter::{Filter, Protocol};
use crate::responder::Port;
use crate::socket::{BlockingSocket, OpenError};

/// How long changes of the addresses are gathered before the filters follow. Until then everything that could be a
/// question passes, so that nothing is lost.
const GATHER: Duration = Duration::from_millis(20);

/// A filter that the kernel refuses is tried at half its length, down to this one.
const SHORTEST: usize = 64;

/// What is open, by index of the interface.
#[derive(Debug)]
pub(super) struct Ports {
    shared: Shared,
    echo: bool,
    open: BTreeMap<u32, Open>,
    narrow_at: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    name: String,
    leg: Arc<Leg>,
    sockets: BTreeMap<Protocol, (Arc<BlockingSocket>, FilterState)>,
    /// The addresses to hear of.
    heard: BTreeSet<IpAddr>,
}

/// What the filter of one socket lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterState {
    /// Nothing but questions for addresses of ours and claims to them. Otherwise foreign ones come too and are
    /// counted as dropped: for the moment after a change, or because there are too many addresses.
    pub exact: bool,
    /// Its instructions.
    pub instructions: usize,
    /// How often it was replaced.
    pub replaced: u64,
    /// How often the kernel refused one, as too long for `net.core.optmem_max`.
    pub refused: u64,
    /// The longest that is tried.
    longest: usize,
    /// How many addresses there were when one was refused; with fewer it is tried in full again.
    refused_with: usize,
    is_open: bool,
    is_stale: bool,
}

/// What following the interfaces came to.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) events: Vec<Event>,
    /// The interfaces, by index, on which every address is to be announced again.
    pub(super) renewed: BTreeSet<u32>,
    /// Those that could not be opened, with their names.
    pub(super) failed: BTreeMap<u32, (String, OpenError)>,
}

impl Ports {
    pub(super) fn new(shared: Shared, echo: bool) -> Self {
        Self { shared, echo, open: BTreeMap::new(), narrow_at: None }
    }

    pub(super) fn is_open(&self, index: u32) -> bool {
        self.open.contains_key(&index)
    }

    pub(super) fn open_indexes(&self) -> Vec<u32> {
        self.open.keys().copied().collect()
    }

    /// The hardware address of an open interface.
    pub(super) fn mac(&self, index: u32) -> Option<MacAddr> {
        self.open.get(&index).map(|open| open.leg.port().mac)
    }

    /// Closes the sockets of an interface that is gone; its name, if there were any.
    pub(super) fn close(&mut self, index: u32) -> Option<String> {
        let mut responder = self.shared.responder();
        responder.forget(index);
        self.open.remove(&index).map(|open| {
            open.leg.close();
            open.name
        })
    }

    /// Opens and closes sockets so that just the `usable` interfaces have them.
    pub(super) fn follow<'a>(&mut self, usable: impl Iterator<Item = &'a Interface>) -> Followed {
        let mut followed = Followed::default();
        let mut wanted: BTreeMap<u32, (&str, MacAddr)> = BTreeMap::new();
        for interface in usable {
            if let Some(mac) = interface.mac {
                wanted.insert(interface.index, (&interface.name, mac));
            }
        }
        let shared = &self.shared;
        self.open.retain(|index, open| {
            let stays = wanted.contains_key(index);
            if !stays {
                let _no_answer_is_under_way = shared.responder();
                open.leg.close();
                followed.events.push(Event::Closed { interface: open.name.clone() });
            }
            stays
        });
        for (index, (name, mac)) in wanted {
            let port = Port { index, mac };
            if let Some(open) = self.open.get_mut(&index) {
                name.clone_into(&mut open.name);
                if open.leg.set_port(port) {
                    followed.renewed.insert(index);
                }
                continue;
            }
            let Some(nonzero) = NonZeroU32::new(index) else { continue };
            let interface = name.to_owned();
            match self.start(nonzero, name, port) {
                Err(error) => drop(followed.failed.insert(index, (interface, error))),
                Ok(open) => {
                    self.open.insert(index, open);
                    followed.renewed.insert(index);
                    followed.events.push(Event::Opened { interface });
                }
            }
        }
        followed
    }

    fn start(&self, index: NonZeroU32, name: &str, port: Port) -> Result<Open, OpenError> {
        let leg = Arc::new(Leg::new(port));
        let mut protocols = vec![Protocol::Arp, Protocol::Ipv6];
        if self.echo {
            protocols.push(Protocol::Ipv4);
        }
        let mut sockets = BTreeMap::new();
        for protocol in protocols {
            // Nothing is ours here yet.
            let filter = Filter::narrow(protocol, [], self.echo, usize::MAX);
            let socket = Arc::new(BlockingSocket::open(index, protocol, &filter)?);
            let state = FilterState {
                exact: true,
                instructions: filter.program().len(),
                replaced: 0,
                refused: 0,
                longest: usize::MAX,
                refused_with: 0,
                is_open: false,
                is_stale: false,
            };
            sockets.insert(protocol, (socket, state));
        }
        for (protocol, (socket, _)) in &sockets {
            let reader = Reader {
                socket: Arc::clone(socket),
                protocol: *protocol,
                echo: self.echo,
                leg: Arc::clone(&leg),
                shared: self.shared.clone(),
            };
            if let Err(error) = reader.start() {
                // Those that have started end again.
                leg.close();
                return Err(OpenError::Kernel(error));
            }
        }
        Ok(Open { name: name.to_owned(), leg, sockets, heard: BTreeSet::new() })
    }

    /// Hears of an address on an interface from now on.
    pub(super) fn hear(&mut self, index: u32, address: IpAddr, now: Instant) {
        let Some(open) = self.open.get_mut(&index) else { return };
        if !open.heard.insert(address) {
            return;
        }
        for (protocol, (socket, state)) in of_family(&mut open.sockets, address) {
            state.is_stale = true;
            state.open(protocol, socket);
        }
        self.narrow_at.get_or_insert(now + GATHER);
    }

    /// Hears of an address on an interface no more.
    pub(super) fn ignore(&mut self, index: u32, address: IpAddr, now: Instant) {
        let Some(open) = self.open.get_mut(&index) else { return };
        if open.heard.remove(&address) {
            of_family(&mut open.sockets, address).for_each(|(_, (_, state))| state.is_stale = true);
            self.narrow_at.get_or_insert(now + GATHER);
        }
    }

    /// When to call [`Ports::narrow`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.narrow_at
    }

    /// Lets the filters follow the addresses, if it is time.
    pub(super) fn narrow(&mut self, now: Instant) {
        if self.narrow_at.is_none_or(|at| at > now) {
            return;
        }
        self.narrow_at = None;
        for open in self.open.values_mut() {
            for (protocol, (socket, state)) in &mut open.sockets {
                if state.is_stale {
                    state.narrow(*protocol, socket, &open.heard, self.echo);
                }
            }
        }
    }

    /// Sends a frame from an interface; whether the kernel took it.
    pub(super) fn send(&self, index: u32, protocol: Protocol, frame: &[u8]) -> bool {
        let socket = self.open.get(&index).and_then(|open| open.sockets.get(&protocol));
        socket.is_some_and(|(socket, _)| socket.send(frame).is_ok())
    }

    /// The open interfaces: index, name, hardware address and filters.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str, MacAddr, BTreeMap<Protocol, FilterState>)> {
        self.open.iter().map(|(index, open)| {
            let filters = open.sockets.iter().map(|(protocol, (_, state))| (*protocol, *state));
            (*index, open.name.as_str(), open.leg.port().mac, filters.collect())
        })
    }
}

impl FilterState {
    fn narrow(&mut self, protocol: Protocol, socket: &BlockingSocket, heard: &BTreeSet<IpAddr>, echo: bool) {
        self.is_stale = false;
        if heard.len() < self.refused_with {
            (self.longest, self.refused_with) = (usize::MAX, 0);
        }
        // The kernel counts the old program until the new one is in its place, so that two long ones may be too much.
        self.open(protocol, socket);
        loop {
            let filter = Filter::narrow(protocol, heard, echo, self.longest);
            if self.attach(socket, &filter) {
                self.is_open = false;
                return;
            }
            self.refused += 1;
            self.refused_with = heard.len();
            if filter.program().len() <= SHORTEST {
                // What is attached lets through what the last change needed; the responder sorts it out.
                return;
            }
            self.longest = filter.program().len() / 2;
        }
    }

    /// Lets everything pass that could be a question, by a short program that costs little.
    fn open(&mut self, protocol: Protocol, socket: &BlockingSocket) {
        if self.is_open {
            return;
        }
        if !self.attach(socket, &Filter::open(protocol)) {
            // Not even that fits beside the present one.
            self.refused += 1;
            self.exact = false;
            if let Err(error) = socket.hear_all() {
                tracing::warn!(?protocol, %error, "a filter cannot be taken away");
            }
        }
        self.is_open = true;
    }

    fn attach(&mut self, socket: &BlockingSocket, filter: &Filter) -> bool {
        let attached = socket.hear(filter).is_ok();
        if attached {
            self.exact = filter.is_exact();
            self.instructions = filter.program().len();
            self.replaced += 1;
        }
        attached
    }
}

type Sockets = BTreeMap<Protocol, (Arc<BlockingSocket>, FilterState)>;

/// The sockets that an address of this family is heard by.
fn of_family(
    sockets: &mut Sockets,
    address: IpAddr,
) -> impl Iterator<Item = (Protocol, &mut (Arc<BlockingSocket>, FilterState))> {
    let is_of = move |protocol: Protocol| (protocol == Protocol::Ipv6) == address.is_ipv6();
    sockets.iter_mut().filter(move |(protocol, _)| is_of(**protocol)).map(|(protocol, it)| (*protocol, it))
}

impl Drop for Ports {
    fn drop(&mut self) {
        let _no_answer_is_under_way = self.shared.responder();
        for open in self.open.values() {
            open.leg.close();
        }
    }
}
