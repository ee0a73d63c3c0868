//! Addresses inside a pool's ranges that it never gives out.

use std::fmt;
use std::net::IpAddr;

use super::PoolSpec;
use crate::{AddressRange, Family};

/// Why a pool does not give out an address that lies in its ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusion {
    /// It is in the pool's list of excluded addresses (`lbd.io/exclude`).
    Listed(AddressRange),
    /// It is the first address of a subnet (`lbd.io/exclude-network-addresses`): of IPv4 the network's own
    /// address, of IPv6 the anycast address of its routers (RFC 4291 section 2.6.1).
    Network,
    /// It is the last address of an IPv4 subnet (`lbd.io/exclude-network-addresses`).
    Broadcast,
    /// It is an IPv4 address that ends in .0 or .255 (`spec.avoidBuggyIPs`).
    Buggy,
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(range) => write!(f, "the pool excludes {range} (lbd.io/exclude)"),
            Self::Network => f.write_str(
                "it is the first address of its subnet, which the pool leaves out (lbd.io/exclude-network-addresses)",
            ),
            Self::Broadcast => f.write_str(
                "it is the broadcast address of its subnet, which the pool leaves out (lbd.io/exclude-network-addresses)",
            ),
            Self::Buggy => f.write_str("the pool leaves out .0 and .255 (avoidBuggyIPs)"),
        }
    }
}

impl PoolSpec {
    /// Why the pool does not give out `address`, which lies in one of its ranges; `None` if it does.
    #[must_use]
    pub fn exclusion(&self, address: IpAddr) -> Option<Exclusion> {
        if let Some(range) = self.excludes.iter().find(|range| range.contains(address)) {
            return Some(Exclusion::Listed(*range));
        }
        if self.avoid_buggy && matches!(address, IpAddr::V4(v4) if matches!(v4.octets()[3], 0 | 255)) {
            return Some(Exclusion::Buggy);
        }
        let subnet = self.subnets().find(|subnet| subnet.contains(address))?;
        if subnet.first() == address {
            Some(Exclusion::Network)
        } else {
            let broadcast = subnet.family() == Family::V4 && subnet.last() == address;
            broadcast.then_some(Exclusion::Broadcast)
        }
    }

    /// The addresses left out, but for those of `avoidBuggyIPs`.
    pub(super) fn left_out(&self) -> impl Iterator<Item = AddressRange> {
        let edges = self.subnets().flat_map(|subnet| {
            let last = (subnet.family() == Family::V4).then(|| AddressRange::only(subnet.last()));
            [Some(AddressRange::only(subnet.first())), last]
        });
        self.excludes.iter().copied().chain(edges.flatten())
    }

    /// The ranges that are subnets with a network address, if those are to be left out.
    fn subnets(&self) -> impl Iterator<Item = AddressRange> {
        let wanted = self.exclude_network_addresses;
        self.ranges.iter().copied().filter(move |range| wanted && range.is_subnet())
    }
}
