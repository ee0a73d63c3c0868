//! Echo requests and replies as smoltcp reads and writes them.

use std::net::IpAddr;

use lbnet::MacAddr;
use lbnet::wire::LONGEST_ECHO_FRAME;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr,
    IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
};

use super::super::{is_station, ours, theirs};

/// An echo request or reply, and what of its IP header an answer keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Echo {
    pub(crate) is_request: bool,
    pub(crate) destination: MacAddr,
    pub(crate) source: MacAddr,
    pub(crate) source_ip: IpAddr,
    pub(crate) target: IpAddr,
    /// DSCP and ECN, or the traffic class.
    pub(crate) class: u8,
    /// The identification of IPv4, or the flow label of IPv6.
    pub(crate) label: u32,
    pub(crate) hop_limit: u8,
    pub(crate) ident: u16,
    pub(crate) seq_no: u16,
    pub(crate) data: Vec<u8>,
}

impl Echo {
    /// The answer by RFC 792 and RFC 4443 section 4.2: addresses reversed, and the data as it came.
    pub(crate) fn answer_from(&self, mac: MacAddr) -> Self {
        Self {
            is_request: false,
            destination: self.source,
            source: mac,
            source_ip: self.target,
            target: self.source_ip,
            hop_limit: 64,
            ..self.clone()
        }
    }
}

/// smoltcp's reading of a frame, in the narrower bounds of our own documentation: no fragments, no options of IPv4,
/// and nothing that is from a group or from nobody (RFC 1122 section 3.2.2) or is to a group.
pub(crate) fn smoltcp_parse(bytes: &[u8]) -> Option<Echo> {
    let frame = EthernetFrame::new_checked(bytes).ok()?;
    let header = EthernetRepr::parse(&frame).ok()?;
    if bytes.len() > LONGEST_ECHO_FRAME || !is_station(header.src_addr) {
        return None;
    }
    let (destination, source) = (ours(header.dst_addr), ours(header.src_addr));
    let checksums = ChecksumCapabilities::default();
    let echo = match header.ethertype {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            let ip = Ipv4Repr::parse(&packet, &checksums).ok()?;
            if ip.next_header != IpProtocol::Icmp || packet.header_len() != 20 {
                return None;
            }
            let message = Icmpv4Packet::new_checked(packet.payload()).ok()?;
            let (is_request, ident, seq_no, data) = match Icmpv4Repr::parse(&message, &checksums).ok()? {
                Icmpv4Repr::EchoRequest { ident, seq_no, data } => (true, ident, seq_no, data.to_vec()),
                Icmpv4Repr::EchoReply { ident, seq_no, data } => (false, ident, seq_no, data.to_vec()),
                _ => return None,
            };
            let (source_ip, target) = (ip.src_addr.into(), ip.dst_addr.into());
            let (class, label) = (packet.dscp() << 2 | packet.ecn(), packet.ident().into());
            let hop_limit = ip.hop_limit;
            Echo {
                is_request,
                destination,
                source,
                source_ip,
                target,
                class,
                label,
                hop_limit,
                ident,
                seq_no,
                data,
            }
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            let ip = Ipv6Repr::parse(&packet).ok()?;
            if ip.next_header != IpProtocol::Icmpv6 {
                return None;
            }
            let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
            let (is_request, ident, seq_no, data) =
                match Icmpv6Repr::parse(&ip.src_addr, &ip.dst_addr, &message, &checksums).ok()? {
                    Icmpv6Repr::EchoRequest { ident, seq_no, data } => (true, ident, seq_no, data.to_vec()),
                    Icmpv6Repr::EchoReply { ident, seq_no, data } => (false, ident, seq_no, data.to_vec()),
                    _ => return None,
                };
            let (source_ip, target) = (ip.src_addr.into(), ip.dst_addr.into());
            let (class, label) = (packet.traffic_class(), packet.flow_label());
            let hop_limit = ip.hop_limit;
            Echo {
                is_request,
                destination,
                source,
                source_ip,
                target,
                class,
                label,
                hop_limit,
                ident,
                seq_no,
                data,
            }
        }
        _ => return None,
    };
    let from_somebody = !echo.source_ip.is_unspecified() && !echo.source_ip.is_multicast();
    let sound = from_somebody && echo.source_ip != IpAddr::from([255; 4]) && !echo.target.is_multicast();
    sound.then_some(echo)
}

/// The frame as smoltcp writes it; whatever it came as, it may be taken apart on the way (`DF` is not set).
pub(crate) fn smoltcp_emit(echo: &Echo) -> Vec<u8> {
    let checksums = ChecksumCapabilities::default();
    let Echo { class, label, hop_limit, ident, seq_no, .. } = *echo;
    let data = &echo.data[..];
    let header = |ethertype| EthernetRepr {
        src_addr: theirs(echo.source),
        dst_addr: theirs(echo.destination),
        ethertype,
    };
    match (echo.source_ip, echo.target) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
            let message = if echo.is_request {
                Icmpv4Repr::EchoRequest { ident, seq_no, data }
            } else {
                Icmpv4Repr::EchoReply { ident, seq_no, data }
            };
            let payload_len = message.buffer_len();
            let ip = Ipv4Repr { src_addr, dst_addr, next_header: IpProtocol::Icmp, payload_len, hop_limit };
            let header = header(EthernetProtocol::Ipv4);
            let mut bytes = vec![0xa5; header.buffer_len() + ip.buffer_len() + payload_len];
            let mut frame = EthernetFrame::new_unchecked(&mut bytes);
            header.emit(&mut frame);
            let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
            ip.emit(&mut packet, &checksums);
            packet.set_dont_frag(false);
            packet.set_ident(u16::try_from(label).expect("an identification"));
            packet.set_dscp(class >> 2);
            packet.set_ecn(class & 3);
            packet.fill_checksum();
            message.emit(&mut Icmpv4Packet::new_unchecked(packet.payload_mut()), &checksums);
            bytes
        }
        (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
            let message = if echo.is_request {
                Icmpv6Repr::EchoRequest { ident, seq_no, data }
            } else {
                Icmpv6Repr::EchoReply { ident, seq_no, data }
            };
            let payload_len = message.buffer_len();
            let ip = Ipv6Repr { src_addr, dst_addr, next_header: IpProtocol::Icmpv6, payload_len, hop_limit };
            let header = header(EthernetProtocol::Ipv6);
            let mut bytes = vec![0xa5; header.buffer_len() + ip.buffer_len() + payload_len];
            let mut frame = EthernetFrame::new_unchecked(&mut bytes);
            header.emit(&mut frame);
            let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
            ip.emit(&mut packet);
            packet.set_traffic_class(class);
            packet.set_flow_label(label);
            let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
            message.emit(&src_addr, &dst_addr, &mut icmp, &checksums);
            bytes
        }
        _ => unreachable!("addresses are made in pairs"),
    }
}
