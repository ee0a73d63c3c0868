//! The interfaces of a host as messages of netlink tell of them (rtnetlink(7)).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use pnet_base::MacAddr;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Interface;

/// The interfaces of one network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    interfaces: BTreeMap<u32, Interface>,
    /// Who has an address, by index. Looked up, never walked.
    holders: HashMap<IpAddr, BTreeSet<u32>>,
}

/// What a message did to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// An interface is new or differs from before.
    Link(u32),
    /// An interface has an address that it had not, or no more.
    Address(u32, IpAddr),
    /// An interface is gone; another may come with the same index.
    Gone(u32),
}

impl Table {
    /// The interfaces, by index.
    #[must_use]
    pub fn interfaces(&self) -> &BTreeMap<u32, Interface> {
        &self.interfaces
    }

    /// The interfaces that have `address` for their own.
    pub fn holders(&self, address: IpAddr) -> impl Iterator<Item = &Interface> {
        let holders = self.holders.get(&address).into_iter().flatten();
        holders.filter_map(|index| self.interfaces.get(index))
    }

    /// Takes in a message; nothing if it changes nothing.
    pub fn apply(&mut self, message: &RouteNetlinkMessage) -> Option<Change> {
        match message {
            RouteNetlinkMessage::NewLink(message) => {
                let mut link = link(message)?;
                let index = link.index;
                let before = self.interfaces.remove(&index);
                if let Some(before) = &before {
                    link.addresses.clone_from(&before.addresses);
                }
                let changed = before.as_ref() != Some(&link);
                self.interfaces.insert(index, link);
                changed.then_some(Change::Link(index))
            }
            RouteNetlinkMessage::DelLink(message) => {
                let gone = self.interfaces.remove(&link(message)?.index)?;
                for net in &gone.addresses {
                    self.let_go(net.addr(), gone.index);
                }
                Some(Change::Gone(gone.index))
            }
            RouteNetlinkMessage::NewAddress(message) => {
                let (index, net) = address(message)?;
                let is_new = self.interfaces.get_mut(&index)?.addresses.insert(net);
                self.holders.entry(net.addr()).or_default().insert(index);
                is_new.then_some(Change::Address(index, net.addr()))
            }
            RouteNetlinkMessage::DelAddress(message) => {
                let (index, net) = address(message)?;
                let addresses = &mut self.interfaces.get_mut(&index)?.addresses;
                if !addresses.remove(&net) {
                    return None;
                }
                // It may have the address with another prefix length still.
                if !addresses.iter().any(|other| other.addr() == net.addr()) {
                    self.let_go(net.addr(), index);
                }
                Some(Change::Address(index, net.addr()))
            }
            _ => None,
        }
    }

    fn let_go(&mut self, address: IpAddr, index: u32) {
        if let Some(holders) = self.holders.get_mut(&address) {
            holders.remove(&index);
            if holders.is_empty() {
                self.holders.remove(&address);
            }
        }
    }
}

fn link(message: &LinkMessage) -> Option<Interface> {
    let header = &message.header;
    // A bridge tells of its ports in messages of its own family, a DelLink among them when a port leaves it.
    if header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let mut link = Interface {
        index: header.index,
        name: String::new(),
        mac: None,
        up: header.flags.contains(LinkFlags::Up),
        running: header.flags.contains(LinkFlags::Running),
        loopback: header.flags.contains(LinkFlags::Loopback),
        noarp: header.flags.contains(LinkFlags::Noarp),
        controller: None,
        addresses: BTreeSet::new(),
    };
    // What a wireless interface tells of its scans has nothing of the link in it but the index and the flags.
    if message.attributes.iter().any(|it| matches!(it, LinkAttribute::Wireless(_))) {
        return None;
    }
    let mut in_vrf = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) if header.link_layer_type == LinkLayerType::Ether => {
                link.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddr::from);
            }
            // Zero stands for none.
            LinkAttribute::Controller(index) => link.controller = Some(*index).filter(|index| *index != 0),
            LinkAttribute::LinkInfo(infos) => {
                in_vrf = infos.iter().any(|info| matches!(info, LinkInfo::PortKind(InfoPortKind::Vrf)));
            }
            _ => {}
        }
    }
    // A VRF takes packets from its interfaces, not frames: ARP and neighbour discovery stay with them.
    if in_vrf {
        link.controller = None;
    }
    Some(link)
}

fn address(message: &AddressMessage) -> Option<(u32, IpNet)> {
    let (mut local, mut peer) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link IFA_ADDRESS is the far end and IFA_LOCAL is ours.
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => peer = Some(*ip),
            _ => {}
        }
    }
    let net = IpNet::new(local.or(peer)?, message.header.prefix_len).ok()?;
    Some((message.header.index, net))
}
