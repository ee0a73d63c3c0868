//! The open sockets, one for each interface, and the tasks that read them.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pnet_base::MacAddr;
use tokio::sync::Notify;

use super::Event;
use crate::responder::{Port, Responder};
use crate::socket::{ArpSocket, Hear};
use crate::wire::{ARP_FRAME_LEN, ArpFrame, LONGEST_ARP_FRAME, Operation};
use crate::{Counters, Interface};

/// What is open, by index of the interface. The responder belongs to all of them: they share one thread.
#[derive(Debug, Default)]
pub(super) struct Ports {
    responder: Rc<RefCell<Responder>>,
    open: BTreeMap<u32, Open>,
}

#[derive(Debug)]
struct Open {
    name: String,
    /// Shared with the reader: a new hardware address is in the very next answer.
    port: Rc<Cell<Port>>,
    socket: Arc<ArpSocket>,
    closed: Rc<Notify>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.closed.notify_one();
    }
}

/// What following the interfaces came to.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) events: Vec<Event>,
    /// The interfaces, by index, on which every address is to be announced again.
    pub(super) renewed: BTreeSet<u32>,
}

impl Ports {
    pub(super) fn responder(&self) -> RefMut<'_, Responder> {
        self.responder.borrow_mut()
    }

    pub(super) fn is_open(&self, index: u32) -> bool {
        self.open.contains_key(&index)
    }

    pub(super) fn open_indexes(&self) -> Vec<u32> {
        self.open.keys().copied().collect()
    }

    /// Closes the socket of an interface that is gone; its name, if there was one.
    pub(super) fn close(&mut self, index: u32) -> Option<String> {
        self.responder.borrow_mut().forget(index);
        self.open.remove(&index).map(|open| open.name.clone())
    }

    /// Opens and closes sockets so that just the `usable` interfaces have one.
    pub(super) fn follow<'a>(&mut self, usable: impl Iterator<Item = &'a Interface>) -> Followed {
        let mut followed = Followed::default();
        let mut wanted: BTreeMap<u32, (&str, MacAddr)> = BTreeMap::new();
        for interface in usable {
            if let Some(mac) = interface.mac {
                wanted.insert(interface.index, (&interface.name, mac));
            }
        }
        self.open.retain(|index, open| {
            let stays = wanted.contains_key(index);
            if !stays {
                followed.events.push(Event::Closed { interface: open.name.clone() });
            }
            stays
        });
        for (index, (name, mac)) in wanted {
            let port = Port { index, mac };
            if let Some(open) = self.open.get_mut(&index) {
                name.clone_into(&mut open.name);
                if open.port.replace(port) != port {
                    followed.renewed.insert(index);
                }
                continue;
            }
            let Some(nonzero) = NonZeroU32::new(index) else { continue };
            let interface = name.to_owned();
            match ArpSocket::open(nonzero, Hear::Requests) {
                Err(error) => followed.events.push(Event::Failed { interface, error }),
                Ok(socket) => {
                    self.start(name, port, socket);
                    followed.renewed.insert(index);
                    followed.events.push(Event::Opened { interface });
                }
            }
        }
        followed
    }

    fn start(&mut self, name: &str, port: Port, socket: ArpSocket) {
        let index = port.index;
        let (socket, closed) = (Arc::new(socket), Rc::new(Notify::new()));
        let port = Rc::new(Cell::new(port));
        let reader = Reader {
            socket: Arc::clone(&socket),
            port: Rc::clone(&port),
            responder: Rc::clone(&self.responder),
        };
        let until = Rc::clone(&closed);
        tokio::task::spawn_local(async move {
            tokio::select! {
                biased;
                () = reader.read() => {}
                () = until.notified() => {}
            }
            // The kernel takes up to 20 ms to close a packet socket; other interfaces must not wait for that.
            std::thread::spawn(move || drop(reader.socket));
        });
        self.open.insert(index, Open { name: name.to_owned(), port, socket, closed });
    }

    /// Sends one round of announcements; how many frames went out.
    pub(super) fn announce(&self, index: u32, address: Ipv4Addr) -> u64 {
        let Some(open) = self.open.get(&index) else { return 0 };
        let forms = [Operation::Request, Operation::Reply];
        let sent = forms.iter().filter(|form| {
            let frame = ArpFrame::gratuitous(**form, open.port.get().mac, address).to_bytes();
            // A frame that the kernel does not take is made good by the next round.
            open.socket.send(&frame).is_ok()
        });
        sent.count() as u64
    }

    pub(super) fn counters(&self) -> BTreeMap<String, Counters> {
        let responder = self.responder.borrow();
        let counters = |index| responder.counters().get(index).copied().unwrap_or_default();
        self.open.iter().map(|(index, open)| (open.name.clone(), counters(index))).collect()
    }
}

/// One byte more than the longest frame, so that a longer one shows and is dropped for it.
const FRAME_BUFFER: usize = LONGEST_ARP_FRAME + 1;
/// The pause after an error, so that one which does not go away costs nothing.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// What answers the questions that come in on one interface.
struct Reader {
    socket: Arc<ArpSocket>,
    port: Rc<Cell<Port>>,
    responder: Rc<RefCell<Responder>>,
}

impl Reader {
    /// Answers, and never ends.
    async fn read(&self) {
        let mut buffer = [0; FRAME_BUFFER];
        let mut answer = [0; ARP_FRAME_LEN];
        loop {
            match self.socket.recv(&mut buffer).await {
                Ok(frame) => {
                    if self.responder.borrow_mut().answer(self.port.get(), frame, &mut answer).is_ok()
                        && let Err(error) = self.socket.send(&answer)
                    {
                        tracing::debug!(port = ?self.port, %error, "an answer was not sent");
                    }
                }
                Err(error) => {
                    // The link went down, most likely; netlink tells what to do about it.
                    tracing::debug!(port = ?self.port, %error, "reading failed; going on");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }
}
