//! Addresses that other stations on the LAN turned out to have.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::Avoided;

/// For so long an address is given to nobody after it was found in use, in microseconds: as soon as no Service has it,
/// nobody asks for it any more.
const REMEMBERED: i64 = 600_000_000;

/// Who has which address, and for how long that is remembered.
#[derive(Debug, Default)]
pub(super) struct Strangers(BTreeMap<IpAddr, (Avoided, i64)>);

impl Strangers {
    /// A node tells of it, now.
    pub(super) fn heard(&mut self, address: IpAddr, whose: Avoided, now: i64) {
        self.0.insert(address, (whose, now + REMEMBERED));
    }

    /// Forgets what was not told again for long; whether there was any. What lasts longer than it can began before the
    /// clock was set back.
    pub(super) fn expire(&mut self, now: i64) -> bool {
        let before = self.0.len();
        self.0.retain(|_, (_, until)| *until > now && *until - now <= REMEMBERED);
        self.0.len() != before
    }

    /// When the next one is forgotten.
    pub(super) fn deadline(&self) -> Option<i64> {
        self.0.values().map(|(_, until)| *until).min()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (IpAddr, Avoided)> + '_ {
        self.0.iter().map(|(address, (whose, _))| (*address, whose.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_in_use_is_remembered_for_a_while() {
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let whose = || Avoided::Station { mac: "02:00:00:00:00:09".to_owned(), heard_by: "n1".to_owned() };
        let mut strangers = Strangers::default();
        strangers.heard(address, whose(), 100);
        assert_eq!(strangers.deadline(), Some(100 + REMEMBERED));
        assert!(!strangers.expire(99 + REMEMBERED));
        assert_eq!(strangers.all().collect::<Vec<_>>(), [(address, whose())]);
        assert!(strangers.expire(100 + REMEMBERED) && strangers.all().next().is_none());
        strangers.heard(address, whose(), 9 * REMEMBERED);
        assert!(strangers.expire(0), "the clock was set back");
    }
}
