//! The table of interfaces, told by messages as the kernel writes them (rtnetlink(7), `linux/if_link.h`). Bonds, bridges
//! and VRFs are here because not every kernel has them; the bridge is tried on one in `tests/lan` too.
#![cfg(feature = "announce")]

use std::net::IpAddr;

use lbnet::interface::table::{Change, Table};
use lbnet::{MacAddr, Selection};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const NESTED: u16 = 0x8000;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

const IFF_UP: u32 = 0x1;
const IFF_BROADCAST: u32 = 0x2;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_RUNNING: u32 = 0x40;
const IFF_NOARP: u32 = 0x80;
/// As an interface that can be used has them.
const GOOD: u32 = IFF_UP | IFF_BROADCAST | IFF_RUNNING;

const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
const AF_BRIDGE: u8 = 7;

/// An attribute with its length, its kind, and padding to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A message with its header, and what is read of it.
fn message(kind: u16, body: &[u8]) -> RouteNetlinkMessage {
    let length = u32::try_from(16 + body.len()).unwrap();
    let bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], body].concat();
    match NetlinkMessage::deserialize(&bytes).expect("a sound message").payload {
        NetlinkPayload::InnerMessage(message) => message,
        other => panic!("{other:?}"),
    }
}

struct Link {
    index: u32,
    name: &'static str,
    flags: u32,
    mac: [u8; 6],
    /// The interface that it is part of, and what kind of part.
    master: Option<(u32, &'static str)>,
    family: u8,
    hardware: u16,
}

const ETH0: Link = Link {
    index: 2,
    name: "eth0",
    flags: GOOD,
    mac: [2, 0, 0, 0, 0, 0xb],
    master: None,
    family: 0,
    hardware: ARPHRD_ETHER,
};

impl Link {
    fn message(&self, kind: u16) -> RouteNetlinkMessage {
        let header = [
            &[self.family, 0][..],
            &self.hardware.to_ne_bytes(),
            &self.index.to_ne_bytes(),
            &self.flags.to_ne_bytes(),
            &[0; 4],
        ]
        .concat();
        let name = [self.name.as_bytes(), &[0]].concat();
        let mut body = [header, attribute(IFLA_IFNAME, &name), attribute(IFLA_ADDRESS, &self.mac)].concat();
        if let Some((master, kind)) = self.master {
            let kind = attribute(IFLA_INFO_SLAVE_KIND, &[kind.as_bytes(), &[0]].concat());
            body.extend(attribute(IFLA_MASTER, &master.to_ne_bytes()));
            body.extend(attribute(IFLA_LINKINFO | NESTED, &kind));
        }
        message(kind, &body)
    }

    fn is_new(&self) -> RouteNetlinkMessage {
        self.message(RTM_NEWLINK)
    }
}

fn address(kind: u16, index: u32, address: &str, prefix: u8) -> RouteNetlinkMessage {
    let ip: IpAddr = address.parse().unwrap();
    let (family, bytes) = match ip {
        IpAddr::V4(v4) => (2, v4.octets().to_vec()),
        IpAddr::V6(v6) => (10, v6.octets().to_vec()),
    };
    let header = [&[family, prefix, 0x80, 0][..], &index.to_ne_bytes()].concat();
    let local = if ip.is_ipv4() { attribute(IFA_LOCAL, &bytes) } else { Vec::new() };
    message(kind, &[header, attribute(IFA_ADDRESS, &bytes), local].concat())
}

/// Which of the interfaces could be used, by name.
fn usable(table: &Table) -> Vec<&str> {
    let selection = Selection::default();
    let usable = table.interfaces().values().filter(|it| selection.usable(it).is_ok());
    usable.map(|it| it.name.as_str()).collect()
}

#[test]
fn a_link_is_told_of_once_and_each_change_of_it_is_seen() {
    let mut table = Table::default();
    assert_eq!(table.apply(&ETH0.is_new()), Some(Change::Link(2)));
    assert_eq!(table.apply(&ETH0.is_new()), None);
    assert_eq!(table.interfaces()[&2].mac, Some(MacAddr(2, 0, 0, 0, 0, 0xb)));
    for (link, expected) in [
        (Link { flags: IFF_UP | IFF_BROADCAST, ..ETH0 }, &[][..]),
        (ETH0, &["eth0"]),
        (Link { flags: IFF_BROADCAST, ..ETH0 }, &[]),
        (Link { mac: [2, 0, 0, 0, 0, 0xcc], ..ETH0 }, &["eth0"]),
        (Link { name: "lan7", ..ETH0 }, &["lan7"]),
        (Link { name: "veth7", ..ETH0 }, &[]),
        (Link { flags: GOOD | IFF_NOARP, ..ETH0 }, &[]),
        (Link { flags: GOOD | IFF_LOOPBACK, hardware: ARPHRD_LOOPBACK, ..ETH0 }, &[]),
    ] {
        assert_eq!(table.apply(&link.is_new()), Some(Change::Link(2)));
        assert_eq!(usable(&table), expected);
    }
    assert_eq!(table.apply(&ETH0.message(RTM_DELLINK)), Some(Change::Gone(2)));
    assert_eq!(table.apply(&ETH0.message(RTM_DELLINK)), None);
    assert!(table.interfaces().is_empty());
}

#[test]
fn a_part_of_a_bond_or_bridge_or_team_answers_nothing_and_their_controller_does() {
    for kind in ["bond", "bridge", "team"] {
        let mut table = Table::default();
        let controller = Link { index: 5, name: "ctl0", ..ETH0 };
        table.apply(&ETH0.is_new());
        table.apply(&controller.is_new());
        assert_eq!(usable(&table), ["eth0", "ctl0"]);
        let part = Link { master: Some((5, kind)), ..ETH0 };
        assert_eq!(table.apply(&part.is_new()), Some(Change::Link(2)), "{kind}");
        assert_eq!(usable(&table), ["ctl0"], "{kind}");
        // A bond that fails over takes the hardware address of its other part.
        let failed_over = Link { mac: [2, 0, 0, 0, 0, 0xdd], ..controller };
        assert_eq!(table.apply(&failed_over.is_new()), Some(Change::Link(5)));
        assert_eq!(table.apply(&ETH0.is_new()), Some(Change::Link(2)), "let go by the {kind}");
        assert_eq!(usable(&table), ["eth0", "ctl0"]);
    }
}

#[test]
fn an_interface_in_a_vrf_answers_for_itself() {
    let mut table = Table::default();
    let vrf = Link { index: 5, name: "vrf-blue", flags: GOOD | IFF_NOARP, ..ETH0 };
    table.apply(&vrf.is_new());
    table.apply(&Link { master: Some((5, "vrf")), ..ETH0 }.is_new());
    assert_eq!(usable(&table), ["eth0"]);
}

#[test]
fn what_a_bridge_tells_of_its_ports_is_no_news_of_a_link() {
    let mut table = Table::default();
    table.apply(&ETH0.is_new());
    // Sent when a port leaves: the port itself stays.
    let left = Link { family: AF_BRIDGE, master: Some((5, "bridge")), ..ETH0 };
    assert_eq!(table.apply(&left.message(RTM_DELLINK)), None);
    assert_eq!(table.apply(&left.is_new()), None);
    assert_eq!(usable(&table), ["eth0"]);
}

#[test]
fn what_a_wireless_interface_tells_of_its_scans_is_no_news_of_a_link() {
    const IFLA_WIRELESS: u16 = 11;
    let mut table = Table::default();
    table.apply(&ETH0.is_new());
    let header =
        [&[0, 0][..], &ARPHRD_ETHER.to_ne_bytes(), &2_u32.to_ne_bytes(), &GOOD.to_ne_bytes(), &[0; 4]];
    let scan =
        [header.concat(), attribute(IFLA_IFNAME, b"eth0\0"), attribute(IFLA_WIRELESS, &[0; 16])].concat();
    assert_eq!(table.apply(&message(RTM_NEWLINK, &scan)), None);
    assert_eq!(usable(&table), ["eth0"]);
}

#[test]
fn addresses_come_and_go_with_who_has_them() {
    let mut table = Table::default();
    let six: IpAddr = "fd00:3::b".parse().unwrap();
    assert_eq!(table.apply(&address(RTM_NEWADDR, 2, "10.0.0.1", 24)), None, "of a link that nobody knows");
    table.apply(&ETH0.is_new());
    table.apply(&Link { index: 3, name: "kube-ipvs0", flags: IFF_BROADCAST | IFF_NOARP, ..ETH0 }.is_new());
    let four = IpAddr::from([10, 0, 0, 1]);
    assert_eq!(table.apply(&address(RTM_NEWADDR, 2, "10.0.0.1", 24)), Some(Change::Address(2, four)));
    assert_eq!(table.apply(&address(RTM_NEWADDR, 2, "10.0.0.1", 24)), None);
    assert_eq!(table.apply(&address(RTM_NEWADDR, 3, "10.0.0.1", 32)), Some(Change::Address(3, four)));
    assert_eq!(table.apply(&address(RTM_NEWADDR, 2, "fd00:3::b", 64)), Some(Change::Address(2, six)));
    let holders =
        |table: &Table, address| table.holders(address).map(|it| it.name.clone()).collect::<Vec<_>>();
    assert_eq!(holders(&table, four), ["eth0", "kube-ipvs0"]);
    assert!(table.interfaces()[&2].carries("10.0.0.9".parse().unwrap()));
    assert!(table.interfaces()[&2].carries("fd00:3::9".parse().unwrap()));

    // The same address with another length is another entry of the same holder.
    table.apply(&address(RTM_NEWADDR, 2, "10.0.0.1", 32));
    assert_eq!(table.apply(&address(RTM_DELADDR, 2, "10.0.0.1", 24)), Some(Change::Address(2, four)));
    assert!(!table.interfaces()[&2].carries("10.0.0.9".parse().unwrap()));
    assert_eq!(holders(&table, four), ["eth0", "kube-ipvs0"]);
    assert_eq!(table.apply(&address(RTM_DELADDR, 2, "10.0.0.1", 32)), Some(Change::Address(2, four)));
    assert_eq!(table.apply(&address(RTM_DELADDR, 2, "10.0.0.1", 32)), None);
    assert_eq!(holders(&table, four), ["kube-ipvs0"]);
    // A link that changes keeps its addresses, and takes them with it when it goes.
    table.apply(&Link { name: "lan7", ..ETH0 }.is_new());
    assert_eq!(holders(&table, six), ["lan7"]);
    table.apply(&ETH0.message(RTM_DELLINK));
    assert_eq!(holders(&table, six), [""; 0]);
}
