//! The threads that read the sockets and answer at once.
//!
//! Each socket has one, which waits in the kernel: nothing that the loop does delays an answer, and no reactor is on
//! the way. What they share with the loop is locked for the length of one decision.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::filter::Protocol;
use crate::responder::{ANSWER_LEN, Claim, Port, Responder};
use crate::socket::BlockingSocket;
use crate::wire::{LONGEST_ARP_FRAME, LONGEST_ECHO_FRAME, LONGEST_NDP_FRAME};
use crate::{Announcer, Permit};

/// What all readers and the loop share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    responder: Arc<Mutex<Responder>>,
    announcer: Arc<Mutex<Announcer>>,
    claims: mpsc::Sender<Claim>,
    /// Whether addresses wait for their first announcement. Only then it matters who asks for which.
    first_words: Arc<AtomicBool>,
    permit: Arc<Permit>,
}

/// What all readers of one interface share with the loop.
#[derive(Debug)]
pub(super) struct Leg {
    /// A new hardware address is in the very next answer.
    port: Mutex<Port>,
    /// Nobody answers here any more.
    closed: AtomicBool,
}

/// What answers the questions that come in by one socket.
pub(super) struct Reader {
    pub(super) socket: Arc<BlockingSocket>,
    pub(super) protocol: Protocol,
    /// Whether whole echo requests may come in.
    pub(super) echo: bool,
    pub(super) leg: Arc<Leg>,
    pub(super) shared: Shared,
}

/// Claims that wait for the loop. More than that at a time are a flood, of which nothing is to be learned.
const CLAIMS: usize = 1024;
/// The pause after an error, so that one which does not go away costs nothing.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// Bytes of a reader's stack: its buffers are elsewhere.
const STACK: usize = 128 * 1024;

impl Shared {
    /// With what the loop hears of claims by.
    pub(super) fn new(announcer: Announcer, permit: Arc<Permit>) -> (Self, mpsc::Receiver<Claim>) {
        let (claims, heard) = mpsc::channel(CLAIMS);
        let announcer = Arc::new(Mutex::new(announcer));
        let first_words = Arc::default();
        (Self { responder: Arc::default(), announcer, claims, first_words, permit }, heard)
    }

    pub(super) fn responder(&self) -> MutexGuard<'_, Responder> {
        self.responder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether addresses wait for their first announcement from now on.
    pub(super) fn set_first_words(&self, waiting: bool) {
        self.first_words.store(waiting, Ordering::Relaxed);
    }

    pub(super) fn announcer(&self) -> MutexGuard<'_, Announcer> {
        self.announcer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leg {
    pub(super) fn new(port: Port) -> Self {
        Self { port: Mutex::new(port), closed: AtomicBool::new(false) }
    }

    pub(super) fn port(&self) -> Port {
        *self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers as this port from now on; whether it is another one than before.
    pub(super) fn set_port(&self, port: Port) -> bool {
        let before = std::mem::replace(&mut *self.port.lock().unwrap_or_else(PoisonError::into_inner), port);
        before != port
    }

    /// Answers no more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

impl Reader {
    /// Starts to answer, on a thread that ends soon after its leg is closed.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(self) -> io::Result<()> {
        let name = match self.protocol {
            Protocol::Arp => "layer2-arp",
            Protocol::Ipv6 => "layer2-ipv6",
            Protocol::Ipv4 => "layer2-ipv4",
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK);
        thread.spawn(move || self.read()).map(std::mem::drop)
    }

    fn read(&self) {
        let longest = match (self.protocol, self.echo) {
            (Protocol::Arp, _) => LONGEST_ARP_FRAME,
            (Protocol::Ipv6, false) => LONGEST_NDP_FRAME,
            (Protocol::Ipv6 | Protocol::Ipv4, _) => LONGEST_ECHO_FRAME,
        };
        // One byte more than the longest frame, so that a longer one shows and is dropped for it.
        let mut buffer = vec![0; longest + 1];
        let mut answer = vec![0; longest.max(ANSWER_LEN)];
        while !self.leg.is_closed() {
            match self.socket.recv(&mut buffer) {
                Ok(Some(frame)) => self.answer(frame, &mut answer),
                Ok(None) => {}
                Err(error) => {
                    // The link went down, most likely; netlink tells what to do about it.
                    tracing::debug!(port = ?self.leg.port(), %error, "reading failed; going on");
                    std::thread::sleep(ERROR_PAUSE);
                }
            }
        }
    }

    fn answer(&self, frame: &[u8], buffer: &mut [u8]) {
        let (now, port) = (Instant::now(), self.leg.port());
        let verdict = {
            let mut responder = self.shared.responder();
            // Looked at under the lock under which it is set: after that nothing is answered here.
            if self.leg.is_closed() {
                return;
            }
            let verdict = responder.answer(now, port, frame, buffer);
            if let Some(claim) = verdict.claim {
                // Under the lock, so that what is counted is on its way. If the loop has enough to do, this one says
                // nothing that the others do not.
                let _ = self.shared.claims.try_send(claim);
            }
            verdict
        };
        // What is asked while nobody may answer, or before, is asked again.
        if let Ok(answered) = verdict.answer
            && self.shared.permit.holds(Instant::now())
        {
            if let Err(error) = self.socket.send(&buffer[..answered.length]) {
                tracing::debug!(?port, %error, "an answer was not sent");
            }
            if self.shared.first_words.load(Ordering::Relaxed) {
                self.shared.announcer().asked((answered.address, port.index), now);
            }
        }
    }
}
