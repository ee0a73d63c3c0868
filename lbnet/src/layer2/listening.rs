//! Joining and leaving multicast groups, on a thread of its own: among thousands of groups the kernel takes up to a
//! millisecond for one more, and answers must not wait for that.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use tokio::sync::mpsc::UnboundedSender;

use crate::socket::groups::{Count, Groups};

/// What tells the thread what to listen for. When it is dropped, the thread ends by itself.
#[derive(Debug)]
pub(super) struct Listening {
    wishes: mpsc::Sender<Wish>,
    counts: Arc<Mutex<BTreeMap<u32, Count>>>,
    ended: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy)]
enum Wish {
    Listen(u32, Ipv6Addr),
    Ignore(Ipv6Addr),
    IgnoreAt(u32, Ipv6Addr),
    Retry(u32),
    Gone(u32),
}

/// An interface, by index, on which the kernel refuses to join groups; told once until it lets us.
pub(super) type Refusal = (u32, io::Error);

impl Listening {
    /// Starts the thread, in the network namespace of the calling one.
    ///
    /// # Errors
    /// The system says so.
    pub(super) fn start(refusals: UnboundedSender<Refusal>) -> io::Result<Self> {
        let (wishes, inbox) = mpsc::channel();
        let (counts, ended) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let (shown, is_ended) = (Arc::clone(&counts), Arc::clone(&ended));
        std::thread::Builder::new()
            .name("layer2-groups".to_owned())
            .spawn(move || serve(&inbox, &shown, &is_ended, &refusals))?;
        Ok(Self { wishes, counts, ended })
    }

    pub(super) fn listen(&self, interface: u32, address: Ipv6Addr) {
        self.wish(Wish::Listen(interface, address));
    }

    pub(super) fn ignore(&self, address: Ipv6Addr) {
        self.wish(Wish::Ignore(address));
    }

    /// Listens for an address on one interface no more.
    pub(super) fn ignore_at(&self, interface: u32, address: Ipv6Addr) {
        self.wish(Wish::IgnoreAt(interface, address));
    }

    /// An interface has changed; what was refused there may be let through now.
    pub(super) fn retry(&self, interface: u32) {
        self.wish(Wish::Retry(interface));
    }

    pub(super) fn gone(&self, interface: u32) {
        self.wish(Wish::Gone(interface));
    }

    /// How many groups are joined on an interface by now.
    pub(super) fn count(&self, interface: u32) -> Count {
        let counts = self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        counts.get(&interface).copied().unwrap_or_default()
    }

    fn wish(&self, wish: Wish) {
        // The thread ends after this handle, or by a panic that it has reported.
        let _ = self.wishes.send(wish);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Nobody wants what is still waiting.
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn serve(
    inbox: &mpsc::Receiver<Wish>,
    counts: &Mutex<BTreeMap<u32, Count>>,
    ended: &AtomicBool,
    refusals: &UnboundedSender<Refusal>,
) {
    let mut groups = Groups::default();
    while let Ok(wish) = inbox.recv() {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        let refused = |groups: &Groups, interface| {
            groups.counts().any(|(index, count)| index == interface && count.refused > 0)
        };
        match wish {
            Wish::Listen(interface, address) => {
                let was_refused = refused(&groups, interface);
                if let Err(error) = groups.listen(interface, address)
                    && !was_refused
                {
                    // Nobody needs to hear it.
                    let _ = refusals.send((interface, error));
                }
            }
            Wish::Ignore(address) => groups.ignore(address),
            Wish::IgnoreAt(interface, address) => groups.ignore_at(interface, address),
            Wish::Retry(interface) => {
                if let Err(error) = groups.retry(interface) {
                    tracing::debug!(interface, %error, "multicast groups are still refused");
                }
            }
            Wish::Gone(interface) => groups.gone(interface),
        }
        *counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = groups.counts().collect();
    }
}
