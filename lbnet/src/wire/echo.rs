//! ICMP and ICMPv6 echo over Ethernet (RFC 792, RFC 4443 section 4), in Ethernet II frames without a VLAN tag.

use std::net::IpAddr;

use pnet_base::MacAddr;
use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{Ipv4Packet, MutableIpv4Packet, checksum as ipv4_checksum};
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet_packet::util::{checksum, ipv6_checksum};

use super::{ETHERNET_LEN, Malformed, is_station};

/// Bytes of the longest frame in which an echo is answered: a jumbo frame.
pub const LONGEST_ECHO_FRAME: usize = ETHERNET_LEN + 9000;

const IPV4_LEN: usize = Ipv4Packet::minimum_packet_size();
const IPV6_LEN: usize = Ipv6Packet::minimum_packet_size();
/// Type, code, checksum, identifier and sequence number.
const ECHO_LEN: usize = 8;
/// How many routers an answer may pass: what RFC 1700 recommends.
const TIME_TO_LIVE: u8 = 64;

/// A whole frame with an echo request in it, found sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoRequest<'a> {
    frame: &'a [u8],
    /// The Ethernet destination.
    pub destination: MacAddr,
    /// The Ethernet source: who asks, or the router it asks through.
    pub source: MacAddr,
    /// Who asks.
    pub source_ip: IpAddr,
    /// Who is asked.
    pub target: IpAddr,
}

/// The types of request and reply.
const ECHO4: (u8, u8) = (8, 0);
const ECHO6: (u8, u8) = (128, 129);

impl<'a> EchoRequest<'a> {
    /// Looks whether a frame is an echo request.
    ///
    /// # Errors
    /// [`Malformed`] for anything else; also for fragments and for IPv4 with options, which are not put together
    /// here.
    pub fn parse(frame: &'a [u8]) -> Result<Self, Malformed> {
        if frame.len() > LONGEST_ECHO_FRAME {
            return Err(Malformed::TooLong);
        }
        let ethernet = EthernetPacket::new(frame).ok_or(Malformed::Truncated)?;
        let (destination, source) = (ethernet.get_destination(), ethernet.get_source());
        if !is_station(source) {
            return Err(Malformed::Sender);
        }
        let (length, source_ip, target) = match ethernet.get_ethertype() {
            EtherTypes::Ipv4 => sound4(ethernet.payload())?,
            EtherTypes::Ipv6 => sound6(ethernet.payload())?,
            _ => return Err(Malformed::EtherType),
        };
        // RFC 1122 section 3.2.2: nothing that comes from a group or from nobody is answered.
        let nobody = source_ip.is_unspecified() || source_ip.is_multicast();
        if nobody || source_ip == IpAddr::from([255; 4]) || target.is_multicast() {
            return Err(Malformed::Address);
        }
        let frame = &frame[..ETHERNET_LEN + length];
        Ok(Self { frame, destination, source, source_ip, target })
    }

    /// Writes the answer of a station with `mac` to the beginning of `buffer`; its length, or nothing if the buffer
    /// is too short.
    #[must_use]
    pub fn answer(&self, mac: MacAddr, buffer: &mut [u8]) -> Option<usize> {
        let length = self.frame.len();
        let answer = buffer.get_mut(..length)?;
        // RFC 792: "The data received in the echo message must be returned in the echo reply message."
        answer.copy_from_slice(self.frame);
        let (header, packet) = answer.split_at_mut(ETHERNET_LEN);
        let mut ethernet = MutableEthernetPacket::new(header)?;
        ethernet.set_destination(self.source);
        ethernet.set_source(mac);
        match (self.source_ip, self.target) {
            (IpAddr::V4(asker), IpAddr::V4(target)) => {
                let mut ip = MutableIpv4Packet::new(packet)?;
                ip.set_source(target);
                ip.set_destination(asker);
                ip.set_ttl(TIME_TO_LIVE);
                ip.set_flags(0);
                let sum = ipv4_checksum(&ip.to_immutable());
                ip.set_checksum(sum);
                let message = &mut packet[IPV4_LEN..];
                message[0] = ECHO4.1;
                let sum = checksum(message, 1);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
            }
            (IpAddr::V6(asker), IpAddr::V6(target)) => {
                let mut ip = MutableIpv6Packet::new(packet)?;
                ip.set_source(target);
                ip.set_destination(asker);
                ip.set_hop_limit(TIME_TO_LIVE);
                let message = &mut packet[IPV6_LEN..];
                message[0] = ECHO6.1;
                let sum = ipv6_checksum(message, 1, &[], &target, &asker, IpNextHeaderProtocols::Icmpv6);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
            }
            _ => return None,
        }
        Some(length)
    }
}

/// No word is left out of a sum: over a checksum too it comes to zero, whichever of its two zeros was sent (RFC 1071).
const ALL_WORDS: usize = usize::MAX;

type Sound = Result<(usize, IpAddr, IpAddr), Malformed>;

fn sound4(packet: &[u8]) -> Sound {
    let ip = Ipv4Packet::new(packet).ok_or(Malformed::Truncated)?;
    let fragment = ip.get_fragment_offset() != 0 || ip.get_flags() & 1 != 0;
    let plain = ip.get_version() == 4 && ip.get_header_length() == 5 && !fragment;
    if !plain || ip.get_next_level_protocol() != IpNextHeaderProtocols::Icmp {
        return Err(Malformed::Protocol);
    }
    if checksum(&packet[..IPV4_LEN], ALL_WORDS) != 0 {
        return Err(Malformed::Checksum);
    }
    let length = usize::from(ip.get_total_length());
    let message = packet.get(IPV4_LEN..length).ok_or(Malformed::Truncated)?;
    sound(message, ECHO4.0, checksum(message, ALL_WORDS))?;
    Ok((length, ip.get_source().into(), ip.get_destination().into()))
}

fn sound6(packet: &[u8]) -> Sound {
    let ip = Ipv6Packet::new(packet).ok_or(Malformed::Truncated)?;
    if ip.get_version() != 6 || ip.get_next_header() != IpNextHeaderProtocols::Icmpv6 {
        return Err(Malformed::Protocol);
    }
    let length = IPV6_LEN + usize::from(ip.get_payload_length());
    let message = packet.get(IPV6_LEN..length).ok_or(Malformed::Truncated)?;
    let (source, target) = (ip.get_source(), ip.get_destination());
    let sum = ipv6_checksum(message, ALL_WORDS, &[], &source, &target, IpNextHeaderProtocols::Icmpv6);
    sound(message, ECHO6.0, sum)?;
    Ok((length, source.into(), target.into()))
}

fn sound(message: &[u8], request: u8, sum: u16) -> Result<(), Malformed> {
    if message.len() < ECHO_LEN {
        return Err(Malformed::Truncated);
    }
    if message[0] != request {
        return Err(Malformed::Protocol);
    }
    if sum != 0 {
        return Err(Malformed::Checksum);
    }
    if message[1] == 0 { Ok(()) } else { Err(Malformed::Code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x64);
    const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x0b);

    /// `ping -s 5`, without padding.
    const REQUEST4: [u8; 47] = [
        0x02, 0, 0, 0, 0, 0x0b, 0x02, 0, 0, 0, 0, 0x64, 0x08, 0x00, // Ethernet
        0x45, 0, 0, 33, 0x12, 0x34, 0x40, 0, 64, 1, 0x9f, 0xf6, // 33 bytes, DF, TTL 64, ICMP
        192, 168, 3, 100, 192, 168, 3, 253, // addresses
        8, 0, 0xb4, 0x25, 0x00, 0x07, 0x00, 0x01, // echo request 7, 1
        b'h', b'e', b'l', b'l', b'o',
    ];
    const REPLY4: [u8; 47] = [
        0x02, 0, 0, 0, 0, 0x64, 0x02, 0, 0, 0, 0, 0x0b, 0x08, 0x00, // Ethernet
        0x45, 0, 0, 33, 0x12, 0x34, 0x00, 0, 64, 1, 0xdf, 0xf6, // 33 bytes, TTL 64, ICMP
        192, 168, 3, 253, 192, 168, 3, 100, // addresses
        0, 0, 0xbc, 0x25, 0x00, 0x07, 0x00, 0x01, // echo reply 7, 1
        b'h', b'e', b'l', b'l', b'o',
    ];
    const REQUEST6: [u8; 64] = [
        0x02, 0, 0, 0, 0, 0x0b, 0x02, 0, 0, 0, 0, 0x64, 0x86, 0xdd, // Ethernet
        0x60, 0, 0, 0, 0, 10, 58, 63, // 10 bytes of ICMPv6, hop limit 63
        0xfd, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x64, // from fd00:3::64
        0xfd, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x02, 0x53, // to fd00:3::1:253
        128, 0, 0x1a, 0x8a, 0x00, 0x07, 0x00, 0x01, // echo request 7, 1
        b'h', b'i',
    ];

    #[test]
    fn literal_frames_are_answered() {
        let request = EchoRequest::parse(&REQUEST4).unwrap();
        assert_eq!((request.source, request.destination), (CLIENT, NODE));
        assert_eq!(request.target, IpAddr::from([192, 168, 3, 253]));
        let mut buffer = [0xa5; 100];
        assert_eq!(request.answer(NODE, &mut buffer), Some(47));
        assert_eq!(buffer[..47], REPLY4);
        assert_eq!(request.answer(NODE, &mut buffer[..46]), None);

        let request = EchoRequest::parse(&REQUEST6).unwrap();
        assert_eq!(request.answer(NODE, &mut buffer), Some(64));
        assert_eq!((buffer[21], buffer[54]), (64, 129));
        // An echo reply is no request.
        assert_eq!(EchoRequest::parse(&buffer[..64]), Err(Malformed::Protocol));
    }

    #[test]
    fn padding_is_not_sent_back() {
        let padded: Vec<u8> = REQUEST4.iter().copied().chain([0xee; 13]).collect();
        assert_eq!(EchoRequest::parse(&padded).unwrap().answer(NODE, &mut [0; 100]), Some(47));
    }

    #[test]
    fn unsound_frames_are_refused_with_the_reason() {
        let with = |frame: &[u8], offset: usize, bytes: &[u8]| {
            let mut frame = frame.to_vec();
            frame[offset..offset + bytes.len()].copy_from_slice(bytes);
            let mut ip = MutableIpv4Packet::new(&mut frame[ETHERNET_LEN..]).unwrap();
            if ip.get_version() == 4 {
                let sum = ipv4_checksum(&ip.to_immutable());
                ip.set_checksum(sum);
            }
            EchoRequest::parse(&frame).map(|_| ())
        };
        for length in 0..REQUEST4.len() {
            assert_eq!(EchoRequest::parse(&REQUEST4[..length]), Err(Malformed::Truncated), "{length}");
        }
        for length in 0..REQUEST6.len() {
            assert_eq!(EchoRequest::parse(&REQUEST6[..length]), Err(Malformed::Truncated), "{length}");
        }
        assert_eq!(EchoRequest::parse(&[0; LONGEST_ECHO_FRAME + 1]), Err(Malformed::TooLong));
        assert_eq!(with(&REQUEST4, 6, &[0xff]), Err(Malformed::Sender));
        assert_eq!(with(&REQUEST4, 12, &[0x81, 0]), Err(Malformed::EtherType));
        assert_eq!(with(&REQUEST4, 14, &[0x46]), Err(Malformed::Protocol), "options");
        assert_eq!(with(&REQUEST4, 20, &[0x20]), Err(Malformed::Protocol), "more fragments");
        assert_eq!(with(&REQUEST4, 21, &[1]), Err(Malformed::Protocol), "a later fragment");
        assert_eq!(with(&REQUEST4, 23, &[17]), Err(Malformed::Protocol), "UDP");
        assert_eq!(with(&REQUEST4, 26, &[0; 4]), Err(Malformed::Address));
        assert_eq!(with(&REQUEST4, 26, &[255; 4]), Err(Malformed::Address));
        assert_eq!(with(&REQUEST4, 34, &[13]), Err(Malformed::Protocol), "a timestamp request");
        assert_eq!(with(&REQUEST4, 46, b"0"), Err(Malformed::Checksum));
        assert_eq!(with(&REQUEST6, 62, b"o"), Err(Malformed::Checksum));
        let mut wrong = REQUEST4;
        wrong[24] ^= 1;
        assert_eq!(EchoRequest::parse(&wrong), Err(Malformed::Checksum));
    }
}
