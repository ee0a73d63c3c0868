//! Who else claims an address of ours, and what is done about it (RFC 5227 section 2.4).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use pnet_base::MacAddr;

use crate::responder::Claim;

/// What to do when another station claims an address of ours. In words it is what that comes to for the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Tell of it, and go on answering.
    #[default]
    Report,
    /// Tell of it, and announce the address again, at most once in [`DEFEND_INTERVAL`] (RFC 5227 section 2.4 (c)).
    Defend,
    /// Tell of it, and stop answering until nobody else has the address any more.
    Yield,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Report => "both answer",
            Self::Defend => "it is announced again",
            Self::Yield => "it is not answered here until the other has gone",
        })
    }
}

/// RFC 5227 section 1.1: "`DEFEND_INTERVAL` 10 seconds (minimum interval between defensive ARPs)".
pub const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// A station that has not claimed an address for this long is taken to have given it up.
pub const QUIET: Duration = Duration::from_mins(5);

/// How many stations are told of for one address.
const CROWD: usize = 8;

/// How many stations are remembered at most, so that nobody can fill the memory.
const MOST: usize = 1024;

/// Another station that claims an address of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The interface that heard it last, by index.
    pub interface: u32,
    /// When it was heard first.
    pub first: Instant,
    /// When it was heard last.
    pub last: Instant,
    /// How many of its frames were heard.
    pub frames: u64,
}

/// What a claim asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaction {
    /// This station was not known to claim this address: tell of it.
    pub report: bool,
    /// Announce the address once, now.
    pub defend: bool,
    /// Stop answering for the address.
    pub give_way: bool,
}

/// The claims that were heard. It reads no clock and sends nothing.
#[derive(Debug, Clone, Default)]
pub struct Conflicts {
    policy: Policy,
    /// Hardware addresses of the cluster's other members: that an address moves between them is no conflict.
    members: BTreeSet<MacAddr>,
    seen: BTreeMap<(IpAddr, MacAddr), Sighting>,
    defended: BTreeMap<IpAddr, Instant>,
    /// Nobody has been quiet for long enough before this.
    next: Option<Instant>,
}

impl Conflicts {
    /// Nothing was heard yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// The hardware addresses of the cluster's other members.
    pub fn set_members(&mut self, members: BTreeSet<MacAddr>) {
        self.seen.retain(|(_, mac), _| !members.contains(mac));
        self.members = members;
    }

    /// A frame of another station claims an address of ours.
    pub fn heard(&mut self, claim: Claim, now: Instant) -> Reaction {
        if self.members.contains(&claim.mac) {
            return Reaction::default();
        }
        let Claim { address, mac, interface, .. } = claim;
        let is_new = !self.seen.contains_key(&(address, mac));
        // Of a crowd only the first are news, the others are counted.
        let from = (address, MacAddr::zero())..=(address, MacAddr::broadcast());
        let report = is_new && self.seen.range(from).take(CROWD).count() < CROWD;
        if is_new && self.seen.len() >= MOST {
            let longest_quiet =
                self.seen.iter().min_by_key(|(_, sighting)| sighting.last).map(|(key, _)| *key);
            longest_quiet.and_then(|key| self.seen.remove(&key));
        }
        let sighting = self.seen.entry((address, mac)).or_insert(Sighting {
            interface,
            first: now,
            last: now,
            frames: 0,
        });
        sighting.interface = interface;
        sighting.last = now;
        sighting.frames += 1;
        self.next.get_or_insert(now + QUIET);
        Reaction {
            report,
            defend: self.policy == Policy::Defend && self.may_defend(address, now),
            give_way: self.policy == Policy::Yield,
        }
    }

    /// Whether a hardware address is that of another member.
    #[must_use]
    pub fn is_member(&self, mac: MacAddr) -> bool {
        self.members.contains(&mac)
    }

    /// A station that is known to claim an address does so still, while the address is not answered here.
    pub fn heard_again(&mut self, claim: Claim, now: Instant) {
        if let Some(sighting) = self.seen.get_mut(&(claim.address, claim.mac)) {
            sighting.last = now;
            sighting.frames += 1;
        }
    }

    /// RFC 5227 section 2.4 (c): "If the host has not seen any other conflicting ARP packets recently, within the last
    /// `DEFEND_INTERVAL` seconds, [it] broadcasts one ARP Announcement". A host that must keep its address may go on
    /// with that, but no more often.
    fn may_defend(&mut self, address: IpAddr, now: Instant) -> bool {
        let defended = self.defended.get(&address);
        let may = defended.is_none_or(|at| now.saturating_duration_since(*at) >= DEFEND_INTERVAL);
        if may {
            self.defended.insert(address, now);
        }
        may
    }

    /// The address is not ours any more.
    pub fn forget(&mut self, address: IpAddr) {
        self.seen.retain(|(claimed, _), _| *claimed != address);
        self.defended.remove(&address);
    }

    /// Drops the stations that have been quiet for [`QUIET`]; which they were.
    pub fn expire(&mut self, now: Instant) -> Vec<(IpAddr, MacAddr)> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let is_over = |sighting: &Sighting| now.saturating_duration_since(sighting.last) >= QUIET;
        let over: Vec<_> =
            self.seen.iter().filter(|(_, sighting)| is_over(sighting)).map(|(key, _)| *key).collect();
        for key in &over {
            self.seen.remove(key);
        }
        self.next = self.seen.values().map(|sighting| sighting.last + QUIET).min();
        over
    }

    /// When to ask [`Conflicts::expire`] again.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Everybody who claims an address of ours: the address and the hardware address, and when that was heard.
    pub fn seen(&self) -> impl Iterator<Item = (IpAddr, MacAddr, &Sighting)> {
        self.seen.iter().map(|((address, mac), sighting)| (*address, *mac, sighting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x99);
    const REPORT: Reaction = Reaction { report: true, defend: false, give_way: false };
    const NOTHING: Reaction = Reaction { report: false, defend: false, give_way: false };

    fn claim(last: u8, mac: MacAddr) -> Claim {
        Claim { address: IpAddr::from([10, 0, 0, last]), mac, interface: 2, is_probe: false }
    }

    #[test]
    fn a_station_is_reported_once_until_it_has_been_quiet() {
        let (start, mut conflicts) = (Instant::now(), Conflicts::new(Policy::Report));
        assert_eq!(conflicts.heard(claim(1, STRANGER), start), REPORT);
        let later = start + Duration::from_mins(1);
        assert_eq!(conflicts.heard(Claim { interface: 3, ..claim(1, STRANGER) }, later), NOTHING);
        assert_eq!(conflicts.heard(claim(2, STRANGER), later), REPORT, "another address");
        let sighting = Sighting { interface: 3, first: start, last: later, frames: 2 };
        assert_eq!(conflicts.seen().next(), Some((IpAddr::from([10, 0, 0, 1]), STRANGER, &sighting)));

        assert_eq!(conflicts.deadline(), Some(start + QUIET));
        assert_eq!(conflicts.expire(start + QUIET), []);
        assert_eq!(conflicts.deadline(), Some(later + QUIET));
        assert_eq!(conflicts.expire(later + QUIET).len(), 2);
        assert_eq!(conflicts.deadline(), None);
        assert_eq!(conflicts.heard(claim(1, STRANGER), later + QUIET), REPORT);
        conflicts.forget(IpAddr::from([10, 0, 0, 1]));
        assert_eq!(conflicts.seen().count(), 0);
    }

    #[test]
    fn members_are_no_conflict() {
        let (now, mut conflicts) = (Instant::now(), Conflicts::new(Policy::Yield));
        conflicts.heard(claim(1, STRANGER), now);
        conflicts.set_members(BTreeSet::from([STRANGER]));
        assert_eq!(conflicts.seen().count(), 0);
        assert_eq!(conflicts.heard(claim(1, STRANGER), now), NOTHING);
    }

    #[test]
    fn an_address_is_defended_at_most_once_in_ten_seconds_whoever_claims_it() {
        let (start, mut conflicts) = (Instant::now(), Conflicts::new(Policy::Defend));
        let at = |seconds| start + Duration::from_secs(seconds);
        let defended: Vec<bool> = [(0, 1), (0, 2), (1, 1), (9, 1), (10, 1), (19, 2), (20, 2)]
            .into_iter()
            .map(|(seconds, last)| {
                conflicts.heard(claim(1, MacAddr(2, 0, 0, 0, 1, last)), at(seconds)).defend
            })
            .collect();
        assert_eq!(defended, [true, false, false, false, true, false, true]);
        assert!(conflicts.heard(claim(2, STRANGER), at(20)).defend, "each address by itself");
    }

    #[test]
    fn who_yields_gives_way_each_time() {
        let (start, mut conflicts) = (Instant::now(), Conflicts::new(Policy::Yield));
        assert_eq!(conflicts.heard(claim(1, STRANGER), start), Reaction { give_way: true, ..REPORT });
        assert_eq!(conflicts.heard(claim(1, STRANGER), start), Reaction { give_way: true, ..NOTHING });
    }

    #[test]
    fn a_flood_of_stations_takes_no_more_memory_and_the_last_ones_stay() {
        let (start, mut conflicts) = (Instant::now(), Conflicts::new(Policy::Report));
        for number in 0..3000_u32 {
            let [_, _, c, d] = number.to_be_bytes();
            let now = start + Duration::from_millis(number.into());
            let reaction = conflicts.heard(claim(1, MacAddr(2, 0, 0, 0, c, d)), now);
            assert_eq!(reaction.report, number < 8, "of a crowd the first are told of");
        }
        assert_eq!(conflicts.seen().count(), MOST);
        assert!(conflicts.seen().any(|(_, mac, _)| mac == MacAddr(2, 0, 0, 0, 0x0b, 0xb7)));
    }
}
