//! Neighbour solicitations and advertisements of IPv6 over Ethernet (RFC 4861), in Ethernet II frames without a
//! VLAN tag.
//!
//! Fixed headers are read and written by `pnet_packet`. Options are walked here: the library's own walk panics on
//! lengths that anybody on the LAN can make up (libpnet issue 679).

use std::net::Ipv6Addr;
use std::ops::Range;

use pnet_base::MacAddr;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet_packet::icmpv6::ndp::{
    MutableNeighborAdvertPacket, MutableNeighborSolicitPacket, NeighborAdvertPacket, NeighborSolicitPacket,
};
use pnet_packet::icmpv6::{Icmpv6Code, Icmpv6Type, Icmpv6Types};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};

use super::checksum::icmpv6_checksum;
use super::{ETHERNET_LEN, Malformed, is_station};

/// Bytes of the frames that are written here: an Ethernet header of 14, an IPv6 header of 40, a solicitation or
/// advertisement of 24 and the option with a link-layer address of 8.
pub const NDP_FRAME_LEN: usize = MESSAGE + NeighborSolicitPacket::minimum_packet_size() + LINK_LAYER_OPTION;

/// Bytes of the longest frame that is taken for neighbour discovery: all that Ethernet carries. Secure neighbour
/// discovery (RFC 3971) fills more of it than one thinks.
pub const LONGEST_NDP_FRAME: usize = ETHERNET_LEN + 1500;

/// Where the ICMPv6 message begins.
const MESSAGE: usize = ETHERNET_LEN + IPV6_LEN;
const IPV6_LEN: usize = Ipv6Packet::minimum_packet_size();
/// Type, code, checksum, flags and target: solicitation and advertisement are alike in that.
const MESSAGE_LEN: usize = NeighborSolicitPacket::minimum_packet_size();
const LINK_LAYER_OPTION: usize = 8;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
/// RFC 4861 section 4.3: "Hop Limit 255".
const HOP_LIMIT: u8 = 255;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// Who has the target address? (RFC 4861 section 4.3)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solicitation {
    /// The Ethernet destination.
    pub destination: MacAddr,
    /// The Ethernet source.
    pub source: MacAddr,
    /// Who asks; `::` while it checks whether its own address is free (RFC 4862 section 5.4.2).
    pub source_ip: Ipv6Addr,
    /// The solicited-node group of the target, or the target itself to check whether it is still there.
    pub destination_ip: Ipv6Addr,
    /// The address asked for.
    pub target: Ipv6Addr,
    /// The source link-layer address option.
    pub source_mac: Option<MacAddr>,
}

/// The target address is at this hardware address. (RFC 4861 section 4.4)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertisement {
    /// The Ethernet destination.
    pub destination: MacAddr,
    /// The Ethernet source.
    pub source: MacAddr,
    /// Who says it.
    pub source_ip: Ipv6Addr,
    /// Whom it is said to.
    pub destination_ip: Ipv6Addr,
    /// The address that it is about.
    pub target: Ipv6Addr,
    /// The sender is a router.
    pub router: bool,
    /// It answers a solicitation.
    pub solicited: bool,
    /// It replaces what is known of the target.
    pub overrides: bool,
    /// The target link-layer address option.
    pub target_mac: Option<MacAddr>,
}

/// A frame of neighbour discovery, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NdpFrame {
    /// A neighbour solicitation.
    Solicitation(Solicitation),
    /// A neighbour advertisement.
    Advertisement(Advertisement),
}

/// The multicast group in which those listen who may have `address` (RFC 4291 section 2.7.1).
#[must_use]
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | (address.to_bits() & 0x00ff_ffff))
}

/// The Ethernet address of a multicast group (RFC 2464 section 7).
#[must_use]
pub fn multicast_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr(0x33, 0x33, a, b, c, d)
}

impl NdpFrame {
    /// Takes a frame apart.
    ///
    /// # Errors
    /// [`Malformed`] for anything that is no solicitation or advertisement, or an unsound one; the caller drops it.
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        if frame.len() > LONGEST_NDP_FRAME {
            return Err(Malformed::TooLong);
        }
        let ethernet = EthernetPacket::new(frame).ok_or(Malformed::Truncated)?;
        if ethernet.get_ethertype() != EtherTypes::Ipv6 {
            return Err(Malformed::EtherType);
        }
        let (destination, source) = (ethernet.get_destination(), ethernet.get_source());
        if !is_station(source) {
            return Err(Malformed::Sender);
        }
        let ip = Ipv6Packet::new(&frame[ETHERNET_LEN..]).ok_or(Malformed::Truncated)?;
        // Extension headers before neighbour discovery are allowed and never seen; RFC 6980 forbids fragments.
        if ip.get_version() != 6 || ip.get_next_header() != IpNextHeaderProtocols::Icmpv6 {
            return Err(Malformed::Protocol);
        }
        let (source_ip, destination_ip) = (ip.get_source(), ip.get_destination());
        // What follows the packet is Ethernet's padding.
        let length = usize::from(ip.get_payload_length());
        let message = frame[MESSAGE..].get(..length).ok_or(Malformed::Truncated)?;
        // RFC 4861 sections 7.1.1 and 7.1.2, in their order. "ICMP length (derived from the IP length) is 24 or
        // more octets" comes first here, so that the fields are there.
        if message.len() < MESSAGE_LEN {
            return Err(Malformed::Truncated);
        }
        let (kind, code) = (Icmpv6Type(message[0]), message[1]);
        if kind != Icmpv6Types::NeighborSolicit && kind != Icmpv6Types::NeighborAdvert {
            return Err(Malformed::Protocol);
        }
        // "The IP Hop Limit field has a value of 255, i.e., the packet could not possibly have been forwarded by
        // a router."
        if ip.get_hop_limit() != HOP_LIMIT {
            return Err(Malformed::HopLimit);
        }
        // "ICMP Checksum is valid."
        if icmpv6_checksum(message, source_ip, destination_ip) != 0 {
            return Err(Malformed::Checksum);
        }
        // "ICMP Code is 0."
        if code != 0 {
            return Err(Malformed::Code);
        }
        let target = NeighborSolicitPacket::new(message).ok_or(Malformed::Truncated)?.get_target_addr();
        // "Target Address is not a multicast address."
        if target.is_multicast() || source_ip.is_multicast() {
            return Err(Malformed::Address);
        }
        // "All included options have a length that is greater than zero."
        let options = &message[MESSAGE_LEN..];
        if kind == Icmpv6Types::NeighborSolicit {
            let source_mac = link_layer_address(options, SOURCE_LINK_LAYER)?;
            // "If the IP source address is the unspecified address, the IP destination address is a
            // solicited-node multicast address [and] there is no source link-layer address option".
            if source_ip.is_unspecified() {
                if !is_solicited_node(destination_ip) {
                    return Err(Malformed::Address);
                }
                if source_mac.is_some() {
                    return Err(Malformed::Options);
                }
            }
            return Ok(Self::Solicitation(Solicitation {
                destination,
                source,
                source_ip,
                destination_ip,
                target,
                source_mac,
            }));
        }
        let flags = NeighborAdvertPacket::new(message).ok_or(Malformed::Truncated)?.get_flags();
        let solicited = flags & SOLICITED != 0;
        // "If the IP Destination Address is a multicast address the Solicited flag is zero."
        if source_ip.is_unspecified() || (destination_ip.is_multicast() && solicited) {
            return Err(Malformed::Address);
        }
        Ok(Self::Advertisement(Advertisement {
            destination,
            source,
            source_ip,
            destination_ip,
            target,
            router: flags & ROUTER != 0,
            solicited,
            overrides: flags & OVERRIDE != 0,
            target_mac: link_layer_address(options, TARGET_LINK_LAYER)?,
        }))
    }
}

impl Solicitation {
    /// The question who has `target`, asked of its solicited-node group by a host with `mac` and `ip`. With `::` for
    /// `ip` it checks whether the address is free, and no cache learns from it (RFC 4862 section 5.4.2).
    #[must_use]
    pub fn multicast(mac: MacAddr, ip: Ipv6Addr, target: Ipv6Addr) -> Self {
        let group = solicited_node(target);
        Self {
            destination: multicast_mac(group),
            source: mac,
            source_ip: ip,
            destination_ip: group,
            target,
            // RFC 4861 section 4.3: "MUST NOT be included when the source IP address is the unspecified address.
            // Otherwise [...] this option MUST be included in multicast solicitations".
            source_mac: (!ip.is_unspecified()).then_some(mac),
        }
    }

    /// The answer to this solicitation: the target is at `mac` (RFC 4861 section 7.2.4).
    #[must_use]
    pub fn answer_from(&self, mac: MacAddr) -> Advertisement {
        let answer = Advertisement::unsolicited(mac, self.target);
        // "If the source of the solicitation is the unspecified address, the node MUST set the Solicited flag to
        // zero and multicast the advertisement to the all-nodes address."
        if self.source_ip.is_unspecified() {
            return answer;
        }
        // "Otherwise, the node MUST set the Solicited flag to one and unicast the advertisement to the Source
        // Address of the solicitation." Without the option, which a check of reachability may leave out, the frame
        // goes back to the station that it came from: nobody else can be on the way, its hop limit is 255.
        Advertisement {
            destination: self.source_mac.unwrap_or(self.source),
            destination_ip: self.source_ip,
            solicited: true,
            ..answer
        }
    }

    /// Writes the frame to the beginning of `buffer`; its length, [`NDP_FRAME_LEN`] or 8 less without the option.
    pub fn emit(&self, buffer: &mut [u8; NDP_FRAME_LEN]) -> usize {
        let option = self.source_mac.map(|mac| (SOURCE_LINK_LAYER, mac));
        let addresses = (self.source_ip, self.destination_ip);
        let code = Icmpv6Types::NeighborSolicit;
        emit(buffer, (self.destination, self.source), addresses, code, option, |message| {
            let mut solicit = MutableNeighborSolicitPacket::new(message).expect("the message has its length");
            solicit.set_reserved(0);
            solicit.set_target_addr(self.target);
        })
    }

    /// The frame as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [0; NDP_FRAME_LEN];
        let length = self.emit(&mut bytes);
        bytes[..length].to_vec()
    }
}

impl Advertisement {
    /// Tells everybody that `address` is at `mac` (RFC 4861 section 7.2.6). The source is the address itself, so
    /// that the interface needs none.
    #[must_use]
    pub fn unsolicited(mac: MacAddr, address: Ipv6Addr) -> Self {
        Self {
            destination: multicast_mac(ALL_NODES),
            source: mac,
            source_ip: address,
            destination_ip: ALL_NODES,
            target: address,
            // A host that saw the flag change from one to zero would drop its routes by way of this address.
            router: false,
            solicited: false,
            // Section 7.2.4: zero for anycast and proxies only, "Otherwise, the Override flag SHOULD be set to
            // one": a cache that has the last owner's address takes this one at once.
            overrides: true,
            target_mac: Some(mac),
        }
    }

    /// The same, told to one neighbour alone. It is not solicited: nothing may be made of it about whether the
    /// way to us works.
    #[must_use]
    pub fn told_to(&self, mac: MacAddr, ip: Ipv6Addr) -> Self {
        Self { destination: mac, destination_ip: ip, ..*self }
    }

    /// Writes the frame to the beginning of `buffer`; its length, [`NDP_FRAME_LEN`] or 8 less without the option.
    pub fn emit(&self, buffer: &mut [u8; NDP_FRAME_LEN]) -> usize {
        let option = self.target_mac.map(|mac| (TARGET_LINK_LAYER, mac));
        let addresses = (self.source_ip, self.destination_ip);
        let code = Icmpv6Types::NeighborAdvert;
        emit(buffer, (self.destination, self.source), addresses, code, option, |message| {
            let mut advert = MutableNeighborAdvertPacket::new(message).expect("the message has its length");
            let flag = |set: bool, flag: u8| if set { flag } else { 0 };
            let flags =
                flag(self.router, ROUTER) | flag(self.solicited, SOLICITED) | flag(self.overrides, OVERRIDE);
            advert.set_flags(flags);
            advert.set_reserved(0);
            advert.set_target_addr(self.target);
        })
    }

    /// The frame as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [0; NDP_FRAME_LEN];
        let length = self.emit(&mut bytes);
        bytes[..length].to_vec()
    }
}

/// Writes all headers, the body by `write`, the option and the checksum.
fn emit(
    buffer: &mut [u8; NDP_FRAME_LEN],
    (destination, source): (MacAddr, MacAddr),
    (source_ip, destination_ip): (Ipv6Addr, Ipv6Addr),
    kind: Icmpv6Type,
    option: Option<(u8, MacAddr)>,
    write: impl FnOnce(&mut [u8]),
) -> usize {
    let length = if option.is_some() { MESSAGE_LEN + LINK_LAYER_OPTION } else { MESSAGE_LEN };
    let (header, packet) = buffer.split_at_mut(ETHERNET_LEN);
    let mut ethernet = MutableEthernetPacket::new(header).expect("the header has its length");
    ethernet.set_destination(destination);
    ethernet.set_source(source);
    ethernet.set_ethertype(EtherTypes::Ipv6);
    let mut ip = MutableIpv6Packet::new(packet).expect("the packet has its length");
    ip.set_version(6);
    ip.set_traffic_class(0);
    ip.set_flow_label(0);
    ip.set_payload_length(u16::try_from(length).expect("a few bytes"));
    ip.set_next_header(IpNextHeaderProtocols::Icmpv6);
    ip.set_hop_limit(HOP_LIMIT);
    ip.set_source(source_ip);
    ip.set_destination(destination_ip);
    let message = &mut packet[IPV6_LEN..][..length];
    let mut icmp = MutableNeighborSolicitPacket::new(message).expect("the message has its length");
    icmp.set_icmpv6_type(kind);
    icmp.set_icmpv6_code(Icmpv6Code(0));
    write(message);
    if let Some((kind, mac)) = option {
        let (head, address) = message[MESSAGE_LEN..].split_at_mut(2);
        // The length counts units of 8 bytes (RFC 4861 section 4.6.1).
        head.copy_from_slice(&[kind, 1]);
        address.copy_from_slice(&mac.octets());
    }
    // "the Checksum field is set to zero" (RFC 4443 section 2.3)
    message[CHECKSUM].fill(0);
    let sum = icmpv6_checksum(message, source_ip, destination_ip);
    message[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    MESSAGE + length
}

/// The bytes of a message that hold its checksum.
const CHECKSUM: Range<usize> = 2..4;

fn is_solicited_node(address: Ipv6Addr) -> bool {
    solicited_node(address) == address
}

/// The first link-layer address of this kind among options.
fn link_layer_address(mut options: &[u8], kind: u8) -> Result<Option<MacAddr>, Malformed> {
    let mut found = None;
    while let [option, units, ..] = *options {
        // RFC 4861 section 4.6: "Nodes MUST silently discard an ND packet that contains an option with length
        // zero."
        let length = usize::from(units) * 8;
        if length == 0 || length > options.len() {
            return Err(Malformed::Options);
        }
        if option == kind && found.is_none() {
            let address = <[u8; 6]>::try_from(&options[2..length]).map_err(|_| Malformed::Options)?;
            let address = MacAddr::from(address);
            if !is_station(address) {
                return Err(Malformed::Sender);
            }
            found = Some(address);
        }
        options = &options[length..];
    }
    // A single byte is left over: an option without its length.
    if options.is_empty() { Ok(found) } else { Err(Malformed::Options) }
}

#[cfg(test)]
mod tests;
