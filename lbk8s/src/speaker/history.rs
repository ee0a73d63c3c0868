//! Who has answered for an address, and why each came after the one before.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use lbcore::ownership::claims::Cause;

/// Owners that are remembered of each address.
const REMEMBERED: usize = 16;
/// Moves that are remembered of all addresses together.
const MOVES: usize = 200;

/// An owner, from one moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
    /// Since when, on the clock of the speaker that noted it.
    pub since: Duration,
    /// The node; none if nobody claimed the address from then on.
    pub owner: Option<String>,
    /// The epoch of its claim.
    pub epoch: u64,
    /// Why it took the address, as it said itself.
    pub why: Option<Cause>,
}

/// An address that has another owner than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The address.
    pub address: IpAddr,
    /// Who answered before; none if nobody claimed it then.
    pub from: Option<String>,
    /// Who does since.
    pub to: Tenure,
}

/// The owners of all addresses, as one speaker has heard of them.
#[derive(Debug, Clone, Default)]
pub struct History {
    of: BTreeMap<IpAddr, VecDeque<Tenure>>,
    moves: u64,
    lately: VecDeque<Move>,
}

impl History {
    pub(super) fn note(
        &mut self,
        address: IpAddr,
        holder: Option<(String, u64)>,
        why: Option<Cause>,
        now: Duration,
    ) {
        let (owner, epoch) = holder.map_or((None, 0), |(node, epoch)| (Some(node), epoch));
        let known = self.of.get(&address).and_then(VecDeque::back);
        let is_as_known = match known {
            Some(last) => last.owner == owner && (owner.is_none() || last.epoch == epoch),
            None => owner.is_none(),
        };
        if is_as_known {
            return;
        }
        self.moves += u64::from(known.is_some_and(|last| last.owner.is_some() && last.owner != owner));
        let tenure = Tenure { since: now, owner, epoch, why };
        if let Some(last) = known.filter(|last| last.owner != tenure.owner) {
            let from = last.owner.clone();
            if self.lately.len() == MOVES {
                self.lately.pop_front();
            }
            self.lately.push_back(Move { address, from, to: tenure.clone() });
        }
        let tenures = self.of.entry(address).or_default();
        if tenures.len() == REMEMBERED {
            tenures.pop_front();
        }
        tenures.push_back(tenure);
    }

    pub(super) fn forget(&mut self, address: IpAddr) {
        self.of.remove(&address);
    }

    /// The owners of an address, the last one last.
    pub fn of(&self, address: IpAddr) -> impl Iterator<Item = &Tenure> {
        self.of.get(&address).into_iter().flatten()
    }

    /// The moves of all addresses, the last one last: up to 200 of them. An address that is given back moves no more.
    #[must_use]
    pub fn lately(&self) -> impl DoubleEndedIterator<Item = &Move> {
        self.lately.iter()
    }

    /// How often an address lost its owner, since this speaker began.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_noted_and_only_so_much_of_it() {
        let address = IpAddr::from([10, 0, 0, 1]);
        let mut history = History::default();
        let second = Duration::from_secs;
        history.note(address, None, None, second(1));
        assert_eq!(history.of(address).count(), 0, "nobody has claimed it yet");
        for (at, owner, epoch) in [(2, "a", 1), (3, "a", 1), (4, "b", 2), (5, "b", 2)] {
            history.note(address, Some((owner.to_owned(), epoch)), Some(Cause::First), second(at));
        }
        history.note(address, None, None, second(6));
        let seen: Vec<_> = history.of(address).map(|it| (it.since, it.owner.as_deref(), it.epoch)).collect();
        assert_eq!(seen, [(second(2), Some("a"), 1), (second(4), Some("b"), 2), (second(6), None, 0)]);
        assert_eq!(history.moves(), 2);
        let moves: Vec<_> = history.lately().map(|it| (it.from.as_deref(), it.to.owner.as_deref())).collect();
        assert_eq!(moves, [(Some("a"), Some("b")), (Some("b"), None)]);
        for at in 7..100 {
            history.note(address, Some(("a".to_owned(), at)), None, second(at));
        }
        assert_eq!(history.of(address).count(), REMEMBERED);
        history.forget(address);
        assert_eq!(history.of(address).count(), 0);
    }
}
