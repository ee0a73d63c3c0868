//! Frames and the responder against smoltcp's wire types, which share no code with ours.

mod arp;
mod echo;
mod literal;
mod ndp;
mod responder;

use lbnet::MacAddr;
use lbnet::responder::Port;
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, Ipv4Packet, Ipv6Packet,
};

/// The interface that answers in these tests.
const PORT: Port = Port { index: 2, mac: MacAddr(2, 0, 0, 0, 0, 0x0b) };
/// Another one of the same host.
const OTHER_PORT: Port = Port { index: 3, mac: MacAddr(2, 0, 0, 0, 0, 0x0c) };
/// Somebody who asks.
const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x64);

fn ours(mac: EthernetAddress) -> MacAddr {
    MacAddr::from(mac.0)
}

fn theirs(mac: MacAddr) -> EthernetAddress {
    EthernetAddress(mac.octets())
}

/// Whether a station can have this hardware address.
fn is_station(mac: EthernetAddress) -> bool {
    mac.is_unicast() && mac.0 != [0; 6]
}

/// Few enough addresses that they meet often, and any other now and then.
///
/// Here and below, choices within choices are boxed: unboxed they do not fit on a test's stack.
fn mac() -> impl Strategy<Value = MacAddr> {
    let known = [
        PORT.mac,
        OTHER_PORT.mac,
        CLIENT,
        MacAddr(1, 0, 0x5e, 0, 0, 1),
        MacAddr::broadcast(),
        MacAddr::zero(),
    ];
    prop_oneof![3 => select(known.to_vec()), 1 => any::<[u8; 6]>().prop_map(MacAddr::from)].boxed()
}

/// Noise; and these frames with a few bytes changed, most of them with right checksums all the same, some cut
/// short, some with bytes behind them.
fn altered(frames: impl Strategy<Value = Vec<u8>> + 'static) -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![any::<u8>(), 0_u8..3];
    let changes = vec((any::<Index>(), value), 0..3);
    let cut = option::weighted(0.25, any::<Index>());
    let padding = prop_oneof![2 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..64)];
    let altered = (frames, changes, weighted(0.8), cut, padding).prop_map(
        |(mut bytes, changes, is_mended, cut, padding)| {
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if is_mended {
                mend(&mut bytes);
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes.extend(padding);
            bytes
        },
    );
    prop_oneof![1 => vec(any::<u8>(), 0..2048), 6 => altered].boxed()
}

/// Writes right checksums where there is a place for them, so that a change is refused for itself.
fn mend(bytes: &mut [u8]) {
    let Ok(mut frame) = EthernetFrame::new_checked(bytes) else { return };
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let Ok(mut ip) = Ipv4Packet::new_checked(frame.payload_mut()) else { return };
            ip.fill_checksum();
            if let Ok(mut icmp) = Icmpv4Packet::new_checked(ip.payload_mut()) {
                icmp.fill_checksum();
            }
        }
        EthernetProtocol::Ipv6 => {
            let Ok(mut ip) = Ipv6Packet::new_checked(frame.payload_mut()) else { return };
            let (source, destination) = (ip.src_addr(), ip.dst_addr());
            if let Ok(mut icmp) = Icmpv6Packet::new_checked(ip.payload_mut()) {
                icmp.fill_checksum(&source, &destination);
            }
        }
        _ => {}
    }
}
