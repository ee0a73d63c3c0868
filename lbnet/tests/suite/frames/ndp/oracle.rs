//! Frames of neighbour discovery as smoltcp reads and writes them.

use lbnet::wire::LONGEST_NDP_FRAME;
use lbnet::{Advertisement, MacAddr, NdpFrame, Solicitation};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpProtocol,
    Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};

use super::super::{is_station, ours, theirs};

/// smoltcp's reading of a frame. What it leaves to its caller is refused here by the letter of RFC 4861 sections
/// 7.1.1 and 7.1.2, and what no station can have for an address by the letter of our own documentation.
///
/// Options are not left to smoltcp: it drops a solicitation for the form of an option that has no place in it, which
/// section 7.1.1 says to ignore.
pub(crate) fn smoltcp_parse(bytes: &[u8]) -> Option<NdpFrame> {
    let frame = EthernetFrame::new_checked(bytes).ok()?;
    let header = EthernetRepr::parse(&frame).ok()?;
    if bytes.len() > LONGEST_NDP_FRAME || header.ethertype != EthernetProtocol::Ipv6 {
        return None;
    }
    let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
    let Ipv6Repr { src_addr: source_ip, dst_addr: destination_ip, next_header, hop_limit, .. } =
        Ipv6Repr::parse(&packet).ok()?;
    if next_header != IpProtocol::Icmpv6 {
        return None;
    }
    let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
    let kind = message.msg_type();
    if kind != Icmpv6Message::NeighborSolicit && kind != Icmpv6Message::NeighborAdvert {
        return None;
    }
    let target = message.target_addr();
    let options = options(message.payload());
    let first = |kind: u8| options.iter().flatten().find(|(it, _)| *it == kind).map(|(_, value)| *value);
    let link_layer = first(if kind == Icmpv6Message::NeighborSolicit { 1 } else { 2 });
    let link_layer_mac = link_layer.and_then(|value| Some(MacAddr::from(<[u8; 6]>::try_from(value).ok()?)));
    let is_solicited = message.neighbor_flags().contains(NdiscNeighborFlags::SOLICITED);
    let is_from_nobody = source_ip.is_unspecified();
    let sound = [
        // "The IP Hop Limit field has a value of 255".
        hop_limit == 255,
        // "ICMP Checksum is valid."
        message.verify_checksum(&source_ip, &destination_ip),
        // "ICMP Code is 0."
        message.msg_code() == 0,
        // "ICMP length (derived from the IP length) is 24 or more octets."
        packet.payload().len() >= 24,
        // "Target Address is not a multicast address."
        !target.is_multicast(),
        // "All included options have a length that is greater than zero."
        options.is_some(),
        // Ethernet's link-layer addresses have 6 bytes (RFC 2464 section 6), and stations have no others than these.
        link_layer.is_none() || link_layer_mac.is_some_and(|mac| is_station(theirs(mac))),
        is_station(header.src_addr),
        // RFC 4291 section 2.7: "Multicast addresses must not be used as source addresses in IPv6 packets".
        !source_ip.is_multicast(),
    ];
    let sound_of_its_kind = if kind == Icmpv6Message::NeighborSolicit {
        // "If the IP source address is the unspecified address, the IP destination address is a solicited-node
        // multicast address." "[...] there is no source link-layer address option in the message."
        let group = destination_ip.octets()[..13] == [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];
        !is_from_nobody || (group && link_layer.is_none())
    } else {
        // "If the IP Destination Address is a multicast address the Solicited flag is zero." Section 4.4 has the
        // source be "An address assigned to the interface".
        !(is_from_nobody || destination_ip.is_multicast() && is_solicited)
    };
    if sound.contains(&false) || !sound_of_its_kind {
        return None;
    }
    let (destination, source) = (ours(header.dst_addr), ours(header.src_addr));
    Some(if kind == Icmpv6Message::NeighborSolicit {
        let source_mac = link_layer_mac;
        let asked = Solicitation { destination, source, source_ip, destination_ip, target, source_mac };
        NdpFrame::Solicitation(asked)
    } else {
        NdpFrame::Advertisement(Advertisement {
            destination,
            source,
            source_ip,
            destination_ip,
            target,
            router: message.neighbor_flags().contains(NdiscNeighborFlags::ROUTER),
            solicited: is_solicited,
            overrides: message.neighbor_flags().contains(NdiscNeighborFlags::OVERRIDE),
            target_mac: link_layer_mac,
        })
    })
}

/// The options as RFC 4861 section 4.6 draws them, each with its type and what follows its length.
fn options(mut bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut options = Vec::new();
    while !bytes.is_empty() {
        let (option, rest) = bytes.split_at_checked(8 * usize::from(*bytes.get(1)?))?;
        options.push((*option.first()?, &option[2..]));
        bytes = rest;
    }
    Some(options)
}

/// The frame as smoltcp writes it.
pub(crate) fn smoltcp_emit(frame: &NdpFrame) -> Vec<u8> {
    let (destination, source, source_ip, destination_ip, message) = match *frame {
        NdpFrame::Solicitation(it) => {
            let lladdr = it.source_mac.map(|mac| theirs(mac).into());
            let message = NdiscRepr::NeighborSolicit { target_addr: it.target, lladdr };
            (it.destination, it.source, it.source_ip, it.destination_ip, message)
        }
        NdpFrame::Advertisement(it) => {
            let mut flags = NdiscNeighborFlags::empty();
            flags.set(NdiscNeighborFlags::ROUTER, it.router);
            flags.set(NdiscNeighborFlags::SOLICITED, it.solicited);
            flags.set(NdiscNeighborFlags::OVERRIDE, it.overrides);
            let lladdr = it.target_mac.map(|mac| theirs(mac).into());
            let message = NdiscRepr::NeighborAdvert { flags, target_addr: it.target, lladdr };
            (it.destination, it.source, it.source_ip, it.destination_ip, message)
        }
    };
    let message = Icmpv6Repr::Ndisc(message);
    let header = EthernetRepr {
        src_addr: theirs(source),
        dst_addr: theirs(destination),
        ethertype: EthernetProtocol::Ipv6,
    };
    let ip = Ipv6Repr {
        src_addr: source_ip,
        dst_addr: destination_ip,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    let mut bytes = vec![0xa5; header.buffer_len() + ip.buffer_len() + message.buffer_len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut bytes);
    header.emit(&mut ethernet);
    let mut packet = Ipv6Packet::new_unchecked(ethernet.payload_mut());
    ip.emit(&mut packet);
    let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
    message.emit(&source_ip, &destination_ip, &mut icmp, &ChecksumCapabilities::default());
    bytes
}
