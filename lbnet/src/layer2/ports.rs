//! The open sockets, one for each interface, and the tasks that read them.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use pnet_base::MacAddr;
use tokio::task::JoinHandle;

use super::Event;
use crate::responder::{Port, Responder};
use crate::socket::{ArpSocket, Hear};
use crate::wire::{ARP_FRAME_LEN, ArpFrame, Operation};
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
    mac: MacAddr,
    socket: Rc<ArpSocket>,
    reader: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
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

    /// Closes the socket of an interface; its name, if there was one.
    pub(super) fn close(&mut self, index: u32) -> Option<String> {
        self.open.remove(&index).map(|open| open.name.clone())
    }

    /// Opens and closes sockets so that just the `usable` interfaces have one.
    pub(super) fn follow<'a>(&mut self, usable: impl Iterator<Item = &'a Interface>) -> Vec<Event> {
        let mut events = Vec::new();
        let mut wanted: BTreeMap<u32, (&str, MacAddr)> = BTreeMap::new();
        for interface in usable {
            if let Some(mac) = interface.mac {
                wanted.insert(interface.index, (&interface.name, mac));
            }
        }
        // A new hardware address or name opens the interface anew, so that answers and announcements carry it.
        self.open.retain(|index, open| {
            let stays = wanted.get(index).is_some_and(|(name, mac)| open.name == *name && open.mac == *mac);
            if !stays {
                events.push(Event::Closed { interface: open.name.clone() });
            }
            stays
        });
        for (index, (name, mac)) in wanted {
            if self.open.contains_key(&index) {
                continue;
            }
            let Some(nonzero) = NonZeroU32::new(index) else { continue };
            let interface = name.to_owned();
            match ArpSocket::open(nonzero, Hear::Requests) {
                Err(error) => events.push(Event::Failed { interface, error }),
                Ok(socket) => {
                    let socket = Rc::new(socket);
                    let port = Port { index, mac };
                    let read = read(Rc::clone(&socket), port, Rc::clone(&self.responder));
                    let reader = tokio::task::spawn_local(read);
                    self.open.insert(index, Open { name: name.to_owned(), mac, socket, reader });
                    events.push(Event::Opened { interface });
                }
            }
        }
        events
    }

    /// Sends one round of announcements; how many frames went out.
    pub(super) fn announce(&self, index: u32, address: Ipv4Addr) -> u64 {
        let Some(open) = self.open.get(&index) else { return 0 };
        let forms = [Operation::Request, Operation::Reply];
        let sent = forms.iter().filter(|form| {
            let frame = ArpFrame::gratuitous(**form, open.mac, address).to_bytes();
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

/// Longer than any ARP frame with its padding; the rest of a longer frame is of no interest.
const FRAME_BUFFER: usize = 128;
/// The pause after an error, so that one which does not go away costs nothing.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Answers what comes in on one interface. It ends only by being aborted.
async fn read(socket: Rc<ArpSocket>, port: Port, responder: Rc<RefCell<Responder>>) {
    let mut buffer = [0; FRAME_BUFFER];
    let mut answer = [0; ARP_FRAME_LEN];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(frame) => {
                if responder.borrow_mut().answer(port, frame, &mut answer).is_ok()
                    && let Err(error) = socket.send(&answer)
                {
                    tracing::debug!(index = port.index, %error, "an answer was not sent");
                }
            }
            Err(error) => {
                // The link went down, most likely; netlink tells what to do about it.
                tracing::debug!(index = port.index, %error, "reading failed; going on");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}
