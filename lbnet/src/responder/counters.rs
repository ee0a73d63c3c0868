//! What became of the frames that an interface has seen.

use std::collections::BTreeMap;

use super::{Drop, Kind, Verdict};

/// How many frames an interface has seen, by what became of them. What the kernel's filter drops never gets here
/// and is counted nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// ARP requests answered.
    pub arp: u64,
    /// Neighbour solicitations answered.
    pub ndp: u64,
    /// Echo requests answered.
    pub echo: u64,
    /// Frames in which somebody else claimed an address of ours; each is counted with the others too.
    pub claims: u64,
    /// Frames that were not answered, by reason.
    pub dropped: BTreeMap<Drop, u64>,
}

impl Counters {
    /// All questions answered.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.arp + self.ndp + self.echo
    }

    /// How many frames were dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: Drop) -> u64 {
        self.dropped.get(&reason).copied().unwrap_or_default()
    }

    /// All frames that the process was woken for.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.answered() + self.dropped.values().sum::<u64>()
    }

    pub(super) fn count(&mut self, verdict: &Verdict) {
        self.claims += u64::from(verdict.claim.is_some());
        let counter = match verdict.answer {
            Ok(answered) => match answered.kind {
                Kind::Arp => &mut self.arp,
                Kind::Ndp => &mut self.ndp,
                Kind::Echo => &mut self.echo,
            },
            Err(reason) => self.dropped.entry(reason).or_default(),
        };
        *counter += 1;
    }
}
