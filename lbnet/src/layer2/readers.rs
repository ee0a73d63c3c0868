//! The tasks that read the sockets and answer at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::Announcer;
use crate::filter::Protocol;
use crate::responder::{ANSWER_LEN, Claim, Port, Responder};
use crate::socket::FrameSocket;
use crate::wire::{LONGEST_ARP_FRAME, LONGEST_ECHO_FRAME, LONGEST_NDP_FRAME};

/// What all readers and the loop share; they are on one thread.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) responder: Rc<RefCell<Responder>>,
    pub(super) announcer: Rc<RefCell<Announcer>>,
    pub(super) claims: mpsc::UnboundedSender<Claim>,
}

/// What answers the questions that come in by one socket.
pub(super) struct Reader {
    pub(super) socket: Arc<FrameSocket>,
    pub(super) protocol: Protocol,
    /// Whether whole echo requests may come in.
    pub(super) echo: bool,
    /// Shared with the loop: a new hardware address is in the very next answer.
    pub(super) port: Rc<Cell<Port>>,
    pub(super) shared: Shared,
}

/// The pause after an error, so that one which does not go away costs nothing.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

impl Reader {
    /// Answers, and never ends.
    pub(super) async fn read(&self) {
        let longest = match (self.protocol, self.echo) {
            (Protocol::Arp, _) => LONGEST_ARP_FRAME,
            (Protocol::Ipv6, false) => LONGEST_NDP_FRAME,
            (Protocol::Ipv6 | Protocol::Ipv4, _) => LONGEST_ECHO_FRAME,
        };
        // One byte more than the longest frame, so that a longer one shows and is dropped for it.
        let mut buffer = vec![0; longest + 1];
        let mut answer = vec![0; longest.max(ANSWER_LEN)];
        loop {
            match self.socket.recv(&mut buffer).await {
                Ok(frame) => self.answer(frame, &mut answer),
                Err(error) => {
                    // The link went down, most likely; netlink tells what to do about it.
                    tracing::debug!(port = ?self.port, %error, "reading failed; going on");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }

    fn answer(&self, frame: &[u8], buffer: &mut [u8]) {
        let (now, port) = (Instant::now(), self.port.get());
        let verdict = self.shared.responder.borrow_mut().answer(now, port, frame, buffer);
        if let Ok(answered) = verdict.answer {
            if let Err(error) = self.socket.send(&buffer[..answered.length]) {
                tracing::debug!(?port, %error, "an answer was not sent");
            }
            self.shared.announcer.borrow_mut().asked((answered.address, port.index), now);
        }
        if let Some(claim) = verdict.claim {
            // The loop is on the same thread and outlives its readers.
            let _ = self.shared.claims.send(claim);
        }
    }
}
