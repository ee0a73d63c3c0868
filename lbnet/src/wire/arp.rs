//! ARP for IPv4 over Ethernet (RFC 826), in Ethernet II frames without a VLAN tag.

use std::net::Ipv4Addr;

use pnet_base::MacAddr;
use pnet_packet::Packet;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperation, ArpOperations, ArpPacket, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};

use super::{ETHERNET_LEN, Malformed, is_station};

/// Bytes of an ARP frame without padding: an Ethernet header of 14 and a packet of 28. The driver pads it
/// to Ethernet's minimum of 60.
pub const ARP_FRAME_LEN: usize = ETHERNET_LEN + ArpPacket::minimum_packet_size();

/// Bytes of the longest frame that is taken for ARP. Padding fills it up to 60; equipment that adds a trailer
/// stays far below this, and what is longer is something else under ARP's Ethernet type.
pub const LONGEST_ARP_FRAME: usize = 128;

/// What an ARP packet is for (`ar$op`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has the sender address.
    Reply,
}

/// A whole ARP frame, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArpFrame {
    /// The Ethernet destination.
    pub destination: MacAddr,
    /// The Ethernet source.
    pub source: MacAddr,
    /// `ar$op`.
    pub operation: Operation,
    /// `ar$sha`.
    pub sender_mac: MacAddr,
    /// `ar$spa`; 0.0.0.0 in a probe (RFC 5227 section 1.1).
    pub sender_ip: Ipv4Addr,
    /// `ar$tha`; without meaning in a request.
    pub target_mac: MacAddr,
    /// `ar$tpa`.
    pub target_ip: Ipv4Addr,
}

impl ArpFrame {
    /// Takes a frame apart.
    ///
    /// # Errors
    /// [`Malformed`] for anything that is not a sound IPv4-over-Ethernet ARP frame; the caller drops it.
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        if frame.len() < ARP_FRAME_LEN {
            return Err(Malformed::Truncated);
        }
        if frame.len() > LONGEST_ARP_FRAME {
            return Err(Malformed::TooLong);
        }
        let ethernet = EthernetPacket::new(frame).ok_or(Malformed::Truncated)?;
        if ethernet.get_ethertype() != EtherTypes::Arp {
            return Err(Malformed::EtherType);
        }
        let arp = ArpPacket::new(ethernet.payload()).ok_or(Malformed::Truncated)?;
        // RFC 826: "Do I have the hardware type in ar$hrd? [optionally check the hardware length ar$hln]
        // Do I speak the protocol in ar$pro? [optionally check the protocol length ar$pln]"
        let types = arp.get_hardware_type() == ArpHardwareTypes::Ethernet
            && arp.get_protocol_type() == EtherTypes::Ipv4
            && arp.get_hw_addr_len() == 6
            && arp.get_proto_addr_len() == 4;
        if !types {
            return Err(Malformed::Types);
        }
        let operation = match arp.get_operation() {
            ArpOperations::Request => Operation::Request,
            ArpOperations::Reply => Operation::Reply,
            _ => return Err(Malformed::Operation),
        };
        let sender_mac = arp.get_sender_hw_addr();
        if !is_station(sender_mac) {
            return Err(Malformed::Sender);
        }
        Ok(Self {
            destination: ethernet.get_destination(),
            source: ethernet.get_source(),
            operation,
            sender_mac,
            sender_ip: arp.get_sender_proto_addr(),
            target_mac: arp.get_target_hw_addr(),
            target_ip: arp.get_target_proto_addr(),
        })
    }

    /// Writes the frame over all of `buffer`.
    pub fn emit(&self, buffer: &mut [u8; ARP_FRAME_LEN]) {
        let (header, packet) = buffer.split_at_mut(ETHERNET_LEN);
        let mut ethernet = MutableEthernetPacket::new(header).expect("the header has its length");
        ethernet.set_destination(self.destination);
        ethernet.set_source(self.source);
        ethernet.set_ethertype(EtherTypes::Arp);
        let mut arp = MutableArpPacket::new(packet).expect("the packet has its length");
        arp.set_hardware_type(ArpHardwareTypes::Ethernet);
        arp.set_protocol_type(EtherTypes::Ipv4);
        arp.set_hw_addr_len(6);
        arp.set_proto_addr_len(4);
        arp.set_operation(self.operation.code());
        arp.set_sender_hw_addr(self.sender_mac);
        arp.set_sender_proto_addr(self.sender_ip);
        arp.set_target_hw_addr(self.target_mac);
        arp.set_target_proto_addr(self.target_ip);
    }

    /// The frame as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ARP_FRAME_LEN] {
        let mut bytes = [0; ARP_FRAME_LEN];
        self.emit(&mut bytes);
        bytes
    }

    /// The question who has `target`, broadcast by a host with `mac` and `ip`. With 0.0.0.0 for `ip` it is
    /// a probe, which no cache learns from (RFC 5227 section 2.1.1).
    #[must_use]
    pub fn request(mac: MacAddr, ip: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self {
            destination: MacAddr::broadcast(),
            source: mac,
            operation: Operation::Request,
            sender_mac: mac,
            sender_ip: ip,
            // RFC 5227 section 2.1.1: the field is ignored and should be set to all zeroes.
            target_mac: MacAddr::zero(),
            target_ip: target,
        }
    }

    /// The answer to this request: the address asked for is at `mac`.
    ///
    /// RFC 826: "Swap hardware and protocol fields, putting the local hardware and protocol addresses in the
    /// sender fields. Set the ar$op field to `ares_op$REPLY`. Send the packet to the (new) target hardware
    /// address on the same hardware on which the request was received."
    #[must_use]
    pub fn reply_from(&self, mac: MacAddr) -> Self {
        Self {
            destination: self.sender_mac,
            source: mac,
            operation: Operation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Tells everybody that `ip` is at `mac`: a gratuitous ARP. Some hosts learn from the request form only
    /// (RFC 5227 section 3 recommends it), others from the reply form, so both are sent.
    #[must_use]
    pub fn gratuitous(operation: Operation, mac: MacAddr, ip: Ipv4Addr) -> Self {
        let target_mac = match operation {
            Operation::Request => MacAddr::zero(),
            Operation::Reply => MacAddr::broadcast(),
        };
        Self { operation, target_mac, ..Self::request(mac, ip, ip) }
    }
}

impl Operation {
    fn code(self) -> ArpOperation {
        match self {
            Self::Request => ArpOperations::Request,
            Self::Reply => ArpOperations::Reply,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request as captured from a Linux host, without padding.
    const REQUEST: [u8; ARP_FRAME_LEN] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x64, 0x08, 0x06, // Ethernet
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, // Ethernet, IPv4, lengths, request
        0x02, 0x00, 0x00, 0x00, 0x00, 0x64, 192, 168, 3, 100, // sender
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 192, 168, 3, 253, // target
    ];
    const REPLY: [u8; ARP_FRAME_LEN] = [
        0x02, 0x00, 0x00, 0x00, 0x00, 0x64, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x08, 0x06, // Ethernet
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x02, // Ethernet, IPv4, lengths, reply
        0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 192, 168, 3, 253, // sender
        0x02, 0x00, 0x00, 0x00, 0x00, 0x64, 192, 168, 3, 100, // target
    ];
    const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x64);
    const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x0b);

    fn request() -> ArpFrame {
        ArpFrame::request(CLIENT, Ipv4Addr::new(192, 168, 3, 100), Ipv4Addr::new(192, 168, 3, 253))
    }

    #[test]
    fn literal_frames_are_parsed() {
        assert_eq!(ArpFrame::parse(&REQUEST), Ok(request()));
        assert_eq!(ArpFrame::parse(&REPLY), Ok(request().reply_from(NODE)));
        let padded: Vec<u8> = REQUEST.iter().copied().chain([0xee; 18]).collect();
        assert_eq!(ArpFrame::parse(&padded), Ok(request()));
    }

    #[test]
    fn literal_frames_are_written_over_every_byte() {
        for (frame, expected) in [(request(), REQUEST), (request().reply_from(NODE), REPLY)] {
            let mut bytes = [0xa5; ARP_FRAME_LEN];
            frame.emit(&mut bytes);
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn unsound_frames_are_refused_with_the_reason() {
        let with = |offset: usize, bytes: &[u8]| {
            let mut frame = REQUEST;
            frame[offset..offset + bytes.len()].copy_from_slice(bytes);
            ArpFrame::parse(&frame)
        };
        assert_eq!(ArpFrame::parse(&[]), Err(Malformed::Truncated));
        assert_eq!(ArpFrame::parse(&REQUEST[..ARP_FRAME_LEN - 1]), Err(Malformed::Truncated));
        let long: Vec<u8> = REQUEST.iter().copied().chain([0; LONGEST_ARP_FRAME]).collect();
        assert_eq!(ArpFrame::parse(&long), Err(Malformed::TooLong));
        assert_eq!(ArpFrame::parse(&long[..LONGEST_ARP_FRAME]), Ok(request()));
        assert_eq!(with(12, &[0x81, 0x00]), Err(Malformed::EtherType));
        assert_eq!(with(14, &[0, 6]), Err(Malformed::Types));
        assert_eq!(with(16, &[0x86, 0xdd]), Err(Malformed::Types));
        assert_eq!(with(18, &[8]), Err(Malformed::Types));
        assert_eq!(with(19, &[16]), Err(Malformed::Types));
        assert_eq!(with(20, &[0, 3]), Err(Malformed::Operation));
        assert_eq!(with(22, &[0; 6]), Err(Malformed::Sender));
        assert_eq!(with(22, &[0xff; 6]), Err(Malformed::Sender));
        assert_eq!(with(22, &[1, 0, 0x5e, 0, 0, 1]), Err(Malformed::Sender));
    }
}
