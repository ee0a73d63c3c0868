//! Which other nodes are on the LANs that this node is on, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use lbnet::Interface;
use lbnet::membership::Segment;

use crate::objects::facts::NodeFactsFields;

/// The interfaces of this node, and the addresses of the others.
#[derive(Debug, Default)]
pub(super) struct Lans {
    own: Vec<Interface>,
    others: BTreeMap<String, BTreeSet<IpAddr>>,
    told: BTreeMap<String, Segment>,
}

/// Whether an address tells on which LAN it is: one that is good on one link only is the same on all.
fn is_of_a_lan(net: &IpNet) -> bool {
    let link_local = match net.addr() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    // One with the length of a host may be a virtual one of somebody else's making.
    !link_local && net.prefix_len() < net.max_prefix_len()
}

impl Lans {
    pub(super) fn set_own(&mut self, interfaces: Vec<Interface>) {
        self.own = interfaces;
    }

    /// What another node has, or with `None` no more is known of it.
    pub(super) fn set_other(&mut self, node: &str, facts: Option<&NodeFactsFields>) {
        let Some(facts) = facts else {
            self.others.remove(node);
            return;
        };
        let addresses = facts.addresses.iter().filter_map(|text| text.parse().ok()).collect();
        self.others.insert(node.to_owned(), addresses);
    }

    /// The LANs of this node with the others on them, who listen on this port; nothing if they are what they were.
    pub(super) fn changed(&mut self, port: u16) -> Option<BTreeMap<String, Segment>> {
        let segments: BTreeMap<String, Segment> =
            self.own.iter().map(|interface| (interface.name.clone(), self.on(interface, port))).collect();
        (segments != self.told).then(|| {
            self.told.clone_from(&segments);
            segments
        })
    }

    fn on(&self, interface: &Interface, port: u16) -> Segment {
        let nets: Vec<&IpNet> = interface.addresses.iter().filter(|net| is_of_a_lan(net)).collect();
        let is_there = |address: &&IpAddr| nets.iter().any(|net| net.contains(*address));
        let members = self.others.iter().filter_map(|(name, addresses)| {
            let places: BTreeSet<SocketAddr> =
                addresses.iter().filter(is_there).map(|address| SocketAddr::new(*address, port)).collect();
            (!places.is_empty()).then(|| (name.clone(), places))
        });
        Segment { index: interface.index, members: members.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(addresses: &[&str]) -> NodeFactsFields {
        let addresses = addresses.iter().map(ToString::to_string).collect();
        NodeFactsFields { addresses, ..NodeFactsFields::default() }
    }

    fn own(name: &str, index: u32, addresses: &[&str]) -> Interface {
        let addresses = addresses.iter().map(|net| net.parse().unwrap()).collect();
        let (up, running, loopback, noarp) = (true, true, false, false);
        Interface {
            index,
            name: name.to_owned(),
            mac: None,
            up,
            running,
            loopback,
            noarp,
            controller: None,
            addresses,
        }
    }

    #[test]
    fn each_is_where_its_address_is() {
        let mut lans = Lans::default();
        lans.set_own(vec![
            own("eth0", 2, &["10.0.0.1/24", "fe80::1/64"]),
            own("eth1", 3, &["192.168.4.1/24", "fd00::1/64"]),
        ]);
        lans.set_other("b", Some(&facts(&["10.0.0.2", "fd00::2", "192.168.5.9"])));
        lans.set_other("c", Some(&facts(&["10.9.0.2", "no address"])));
        let segments = lans.changed(7).unwrap();
        let at = |text: &str| BTreeSet::from([text.parse::<SocketAddr>().unwrap()]);
        assert_eq!(segments["eth0"].members, BTreeMap::from([("b".to_owned(), at("10.0.0.2:7"))]));
        assert_eq!(segments["eth1"].members, BTreeMap::from([("b".to_owned(), at("[fd00::2]:7"))]));
        assert_eq!((segments["eth0"].index, segments["eth1"].index), (2, 3));
        assert_eq!(lans.changed(7), None, "nothing has changed");
        lans.set_other("b", None);
        assert!(lans.changed(7).unwrap().values().all(|segment| segment.members.is_empty()));
    }
}
