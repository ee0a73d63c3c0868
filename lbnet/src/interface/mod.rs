//! The interfaces of this host, and which of them answer for an address.

#[cfg(feature = "announce")]
pub(crate) mod monitor;

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use pnet_base::MacAddr;

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
    /// The bond, bridge or VRF that it is part of, by index. Frames for it arrive there.
    pub controller: Option<u32>,
    /// Its IPv4 addresses with their prefix lengths.
    pub addresses: Vec<Ipv4Net>,
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
    /// It is part of a bond, bridge or VRF.
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
            Self::Enslaved => "part of a bond, bridge or VRF",
            Self::Down => "down",
            Self::NoCarrier => "without a carrier",
        })
    }
}

/// Which interfaces of the host may be used at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Only these, by name; empty means any. A chosen name is used even if it is left out below.
    pub only: BTreeSet<String>,
    /// Names that start with one of these are left out.
    pub left_out: Vec<String>,
}

impl Default for Selection {
    /// Any interface but those that container networks make, as in MetalLB's default list.
    fn default() -> Self {
        let left_out = [
            "docker",
            "cbr",
            "dummy",
            "virbr",
            "lxcbr",
            "veth",
            "cali",
            "tunl",
            "flannel",
            "kube-ipvs",
            "cni",
            "nodelocaldns",
            "lxc",
        ];
        Self { only: BTreeSet::new(), left_out: left_out.map(str::to_owned).to_vec() }
    }
}

impl Selection {
    /// These interfaces and no other.
    pub fn only(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { only: names.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Whether `interface` can be used.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn usable(&self, interface: &Interface) -> Result<(), Unusable> {
        let chosen = self.only.contains(&interface.name);
        let left_out = self.left_out.iter().any(|start| interface.name.starts_with(start));
        for (is_so, why) in [
            (!self.only.is_empty() && !chosen, Unusable::NotChosen),
            (interface.loopback, Unusable::Loopback),
            (!chosen && left_out, Unusable::LeftOut),
            (interface.mac.is_none(), Unusable::NotEthernet),
            (interface.noarp, Unusable::NoArp),
            (interface.controller.is_some(), Unusable::Enslaved),
            (!interface.up, Unusable::Down),
            (!interface.running, Unusable::NoCarrier),
        ] {
            if is_so {
                return Err(why);
            }
        }
        Ok(())
    }
}

/// Where one address is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    names: Option<BTreeSet<String>>,
}

impl Rule {
    /// On the usable interfaces that carry the address's subnet; if there is none, on all usable ones.
    #[must_use]
    pub fn any() -> Self {
        Self { names: None }
    }

    /// On the usable ones of these interfaces, whatever subnets they carry.
    #[must_use]
    pub fn named(names: BTreeSet<String>) -> Self {
        Self { names: Some(names) }
    }

    /// The indexes of the interfaces that answer for `address`, of those that are `usable`.
    pub fn choose<'a>(
        &self,
        address: Ipv4Addr,
        usable: impl Iterator<Item = &'a Interface> + Clone,
    ) -> BTreeSet<u32> {
        if let Some(names) = &self.names {
            return usable.filter(|interface| names.contains(&interface.name)).map(|it| it.index).collect();
        }
        let carries = |interface: &&Interface| interface.addresses.iter().any(|net| net.contains(&address));
        let carrying: BTreeSet<u32> = usable.clone().filter(carries).map(|it| it.index).collect();
        if carrying.is_empty() { usable.map(|interface| interface.index).collect() } else { carrying }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str, net: &str) -> Interface {
        Interface {
            index,
            name: name.to_owned(),
            mac: Some(MacAddr(2, 0, 0, 0, 0, 1)),
            up: true,
            running: true,
            loopback: false,
            noarp: false,
            controller: None,
            addresses: vec![net.parse().unwrap()],
        }
    }

    #[test]
    fn unusable_interfaces_are_told_apart() {
        let good = interface(2, "eth0", "10.0.0.1/24");
        let any = Selection::default();
        assert_eq!(any.usable(&good), Ok(()));
        for (interface, why) in [
            (Interface { name: "vethab12".to_owned(), ..good.clone() }, Unusable::LeftOut),
            (Interface { loopback: true, ..good.clone() }, Unusable::Loopback),
            (Interface { mac: None, ..good.clone() }, Unusable::NotEthernet),
            (Interface { noarp: true, ..good.clone() }, Unusable::NoArp),
            (Interface { controller: Some(9), ..good.clone() }, Unusable::Enslaved),
            (Interface { up: false, ..good.clone() }, Unusable::Down),
            (Interface { running: false, ..good.clone() }, Unusable::NoCarrier),
        ] {
            assert_eq!(any.usable(&interface), Err(why));
        }
        assert_eq!(Selection::only(["eth1"]).usable(&good), Err(Unusable::NotChosen));
        let chosen = Interface { name: "veth1".to_owned(), ..good };
        assert_eq!(Selection::only(["veth1"]).usable(&chosen), Ok(()));
    }

    #[test]
    fn the_interfaces_that_carry_the_subnet_answer_and_all_if_there_is_none() {
        let all = [interface(2, "eth0", "10.0.0.1/24"), interface(3, "eth1", "10.0.1.1/24")];
        let choose = |rule: &Rule, address: &str| {
            rule.choose(address.parse().unwrap(), all.iter()).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(choose(&Rule::any(), "10.0.1.9"), [3]);
        assert_eq!(choose(&Rule::any(), "10.9.9.9"), [2, 3]);
        assert_eq!(choose(&Rule::named(BTreeSet::from(["eth0".to_owned()])), "10.0.1.9"), [2]);
        assert!(choose(&Rule::named(BTreeSet::from(["eth7".to_owned()])), "10.0.1.9").is_empty());
    }
}
