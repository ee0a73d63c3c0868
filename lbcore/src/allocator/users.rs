//! Who uses which address.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::services::ServiceId;
use crate::AddressRange;

/// The services that use each address, the one that has used it longest first. Nearly every address has one
/// user, so that is what costs little room.
#[derive(Debug, Clone, Default)]
pub(super) struct Users {
    v4: BTreeMap<Ipv4Addr, ServiceId>,
    v6: BTreeMap<Ipv6Addr, ServiceId>,
    /// The second user of an address and those behind.
    further: BTreeMap<IpAddr, Vec<ServiceId>>,
}

impl Users {
    fn first(&self, address: IpAddr) -> Option<ServiceId> {
        match address {
            IpAddr::V4(v4) => self.v4.get(&v4).copied(),
            IpAddr::V6(v6) => self.v6.get(&v6).copied(),
        }
    }

    fn set_first(&mut self, address: IpAddr, id: Option<ServiceId>) {
        match (address, id) {
            (IpAddr::V4(v4), Some(id)) => drop(self.v4.insert(v4, id)),
            (IpAddr::V6(v6), Some(id)) => drop(self.v6.insert(v6, id)),
            (IpAddr::V4(v4), None) => drop(self.v4.remove(&v4)),
            (IpAddr::V6(v6), None) => drop(self.v6.remove(&v6)),
        }
    }

    pub(super) fn is_held(&self, address: IpAddr) -> bool {
        self.first(address).is_some()
    }

    pub(super) fn of(&self, address: IpAddr) -> impl Iterator<Item = ServiceId> {
        let first = self.first(address);
        let further = first.filter(|_| !self.further.is_empty()).and_then(|_| self.further.get(&address));
        first.into_iter().chain(further.into_iter().flatten().copied())
    }

    /// Adds a user; whether it is the first.
    pub(super) fn add(&mut self, address: IpAddr, id: ServiceId) -> bool {
        let first = !self.is_held(address);
        if first {
            self.set_first(address, Some(id));
        } else {
            self.further.entry(address).or_default().push(id);
        }
        first
    }

    /// Removes a user; whether none is left.
    pub(super) fn remove(&mut self, address: IpAddr, id: ServiceId) -> bool {
        let Some(further) = self.further.get_mut(&address) else {
            self.set_first(address, None);
            return true;
        };
        let leading = match address {
            IpAddr::V4(v4) => self.v4.get_mut(&v4),
            IpAddr::V6(v6) => self.v6.get_mut(&v6),
        };
        match leading {
            Some(first) if *first == id => *first = further.remove(0),
            _ => further.retain(|user| *user != id),
        }
        if further.is_empty() {
            self.further.remove(&address);
        }
        false
    }

    /// The addresses in use, IPv4 before IPv6, each in ascending order.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.keys().map(|address| IpAddr::V4(*address));
        v4.chain(self.v6.keys().map(|address| IpAddr::V6(*address)))
    }

    /// The addresses of `range` that are in use.
    pub(super) fn within(&self, range: &AddressRange) -> Box<dyn Iterator<Item = IpAddr> + '_> {
        match (range.first(), range.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Box::new(self.v4.range(first..=last).map(|(address, _)| IpAddr::V4(*address)))
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Box::new(self.v6.range(first..=last).map(|(address, _)| IpAddr::V6(*address)))
            }
            _ => unreachable!("both ends of a range are of one family"),
        }
    }
}
