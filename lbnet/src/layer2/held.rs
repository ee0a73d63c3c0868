//! What is known of an address that was handed to the loop.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::Probed;
use crate::Rule;
use crate::host::KernelAnswer;

/// An address, from the moment in which it is asked for until it is withdrawn.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) rule: Rule,
    pub(super) mode: Mode,
    /// The interfaces that its rule means, by index.
    pub(super) at: BTreeSet<u32>,
    /// The interfaces that it was last said to be answered on.
    pub(super) told: Option<BTreeSet<u32>>,
    /// The kernel answers for it too.
    pub(super) kernel: Option<KernelAnswer>,
    /// Frames that told of it without being asked.
    pub(super) announced: u64,
}

/// What is done for an address.
#[derive(Debug)]
pub(super) enum Mode {
    /// It is answered and announced.
    Answering,
    /// It is answered, for nobody has said yet that he has it, and announced once that is certain.
    Tentative,
    /// It is being found out whether it is free, or it is known that it is not. It is answered as soon as it is free.
    Waiting,
    /// It is being found out whether it is free, for somebody who wants to know no more than that.
    Probing(Vec<oneshot::Sender<Probed>>),
}

impl Held {
    pub(super) fn new(rule: Rule, mode: Mode) -> Self {
        Self { rule, mode, at: BTreeSet::new(), told: None, kernel: None, announced: 0 }
    }

    /// Whether it is answered, for now or for good.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.mode, Mode::Answering | Mode::Tentative)
    }

    /// Whether it is answered and announced.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.mode, Mode::Answering)
    }

    /// Tells those who wait for a probe what it came to.
    pub(super) fn tell(&mut self, probed: Probed) {
        if let Mode::Probing(waiting) = &mut self.mode {
            for tell in waiting.drain(..) {
                // Whoever asked may have gone.
                let _ = tell.send(probed);
            }
        }
    }
}
