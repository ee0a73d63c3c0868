//! The interfaces of this host, and which of them answer for an address.

#[cfg(feature = "announce")]
pub(crate) mod monitor;
mod pattern;
mod rule;
mod segments;
mod selection;
#[cfg(feature = "announce")]
pub mod table;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
pub use pattern::{Pattern, PatternError};
use pnet_base::MacAddr;
pub use rule::Rule;
pub use segments::Segments;
pub use selection::Selection;

/// An interface as the kernel tells of it.
#[expect(clippy::struct_excessive_bools, reason = "they are the kernel's flags, each by itself")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its index, which no other interface has while it lives.
    pub index: u32,
    /// Its name, which may change.
    pub name: String,
    /// Its hardware address, if it has one of Ethernet's kind.
    pub mac: Option<MacAddr>,
    /// Set up by its administrator (`IFF_UP`).
    pub up: bool,
    /// It has a carrier (`IFF_RUNNING`).
    pub running: bool,
    /// The loopback interface.
    pub loopback: bool,
    /// It speaks no ARP (`IFF_NOARP`).
    pub noarp: bool,
    /// The bond, bridge or other interface that it is part of, by index: frames for it arrive there. An interface
    /// in a VRF keeps its own frames, and is part of nothing in this sense.
    pub controller: Option<u32>,
    /// Its addresses with their prefix lengths.
    pub addresses: BTreeSet<IpNet>,
}

impl Interface {
    /// Whether `address` is in a subnet of the interface. An address with the length of a host is in none.
    #[must_use]
    pub fn carries(&self, address: IpAddr) -> bool {
        self.subnets().any(|net| net.contains(&address))
    }

    /// What of it counts for where addresses are answered: of its addresses only the subnets.
    #[cfg(feature = "announce")]
    pub(crate) fn for_placing(&self) -> Self {
        Self { addresses: self.subnets().collect(), ..self.clone() }
    }

    /// Its subnets, but for link-local ones, which are the same on all interfaces.
    fn subnets(&self) -> impl Iterator<Item = IpNet> + '_ {
        let of_lan = |net: &IpNet| match net.addr() {
            IpAddr::V4(v4) => !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        };
        let shared = |net: &IpNet| net.prefix_len() < net.max_prefix_len();
        self.addresses.iter().filter(move |net| of_lan(net) && shared(net)).map(IpNet::trunc)
    }
}

/// Why an interface is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Its name is not among those chosen.
    NotChosen,
    /// Its name is among those left out.
    LeftOut,
    /// It is the loopback interface.
    Loopback,
    /// It has no Ethernet address.
    NotEthernet,
    /// It speaks no ARP.
    NoArp,
    /// It is part of a bond or bridge.
    Enslaved,
    /// It is down.
    Down,
    /// It has no carrier.
    NoCarrier,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotChosen => "not among the chosen interfaces",
            Self::LeftOut => "left out by its name",
            Self::Loopback => "a loopback interface",
            Self::NotEthernet => "no Ethernet interface",
            Self::NoArp => "an interface without ARP",
            Self::Enslaved => "part of a bond or bridge",
            Self::Down => "down",
            Self::NoCarrier => "without a carrier",
        })
    }
}

#[cfg(test)]
fn interface(index: u32, name: &str, nets: &[&str]) -> Interface {
    Interface {
        index,
        name: name.to_owned(),
        mac: Some(MacAddr(2, 0, 0, 0, 0, u8::try_from(index).unwrap())),
        up: true,
        running: true,
        loopback: false,
        noarp: false,
        controller: None,
        addresses: nets.iter().map(|net| net.parse().unwrap()).collect(),
    }
}
