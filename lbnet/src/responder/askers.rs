//! Who asked for an address lately.

use std::net::IpAddr;
use std::time::Instant;

use pnet_base::MacAddr;

/// How many neighbours are remembered for each address. Beyond a router or two, whoever misses a broadcast asks
/// again.
pub const ASKERS: usize = 4;

/// A neighbour that asked for an address, and was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// On this interface, by index.
    pub interface: u32,
    /// Its hardware address.
    pub mac: MacAddr,
    /// Its address.
    pub ip: IpAddr,
    /// When it asked last.
    pub at: Instant,
}

/// The last few. It has a fixed size, so that noting one allocates nothing and nobody can fill the memory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Askers([Option<Asker>; ASKERS]);

impl Askers {
    pub(super) fn note(&mut self, interface: u32, mac: MacAddr, ip: IpAddr, at: Instant) {
        // Who probes whether an address is free has none of its own, and nothing in its cache.
        if ip.is_unspecified() {
            return;
        }
        let asker = Asker { interface, mac, ip, at };
        let same = |known: &Asker| (known.interface, known.mac, known.ip) == (interface, mac, ip);
        let known = self.0.iter().position(|slot| slot.as_ref().is_some_and(same));
        // Else an empty place, which is before all times, or that of whoever asked longest ago.
        let oldest = || (0..ASKERS).min_by_key(|slot| self.0[*slot].map(|asker| asker.at));
        if let Some(slot) = known.or_else(oldest) {
            self.0[slot] = Some(asker);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Asker> {
        self.0.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_to_ask_are_remembered_each_once() {
        let (start, mut askers) = (Instant::now(), Askers::default());
        let mut ask = |last: u8, after: u64| {
            let at = start + Duration::from_secs(after);
            askers.note(2, MacAddr(2, 0, 0, 0, 0, last), IpAddr::from([10, 0, 0, last]), at);
        };
        for (last, after) in [(1, 0), (2, 1), (3, 2), (1, 3), (4, 4), (5, 5)] {
            ask(last, after);
        }
        let mut known: Vec<u8> = askers.iter().map(|asker| asker.mac.5).collect();
        known.sort_unstable();
        assert_eq!(known, [1, 3, 4, 5], "the second asked longest ago");
        askers.note(2, MacAddr(2, 0, 0, 0, 0, 9), IpAddr::from([0; 4]), start);
        assert!(askers.iter().all(|asker| asker.mac.5 != 9), "a probe");
    }
}
