//! Frames as they are on the wire.
//!
//! Parsing never panics, whatever the bytes. The length of a frame is checked once, by `parse`; bytes
//! beyond it are padding and not looked at.

mod arp;
mod checksum;
mod echo;
mod ndp;

pub use arp::{ARP_FRAME_LEN, ArpFrame, LONGEST_ARP_FRAME, Operation};
pub use echo::{EchoRequest, LONGEST_ECHO_FRAME};
pub use ndp::{
    Advertisement, LONGEST_NDP_FRAME, NDP_FRAME_LEN, NdpFrame, Solicitation, multicast_mac, solicited_node,
};
use pnet_base::MacAddr;
use pnet_packet::ethernet::EthernetPacket;

/// Bytes of an Ethernet II header.
const ETHERNET_LEN: usize = EthernetPacket::minimum_packet_size();

/// Why bytes are no frame that this crate takes in. The order is that in which counters are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Malformed {
    /// Shorter than the frame it should be, or than its own length fields say.
    #[error("shorter than it should be")]
    Truncated,
    /// Longer than any frame of its kind.
    #[error("longer than any frame of its kind")]
    TooLong,
    /// Another Ethernet type, a VLAN tag among them.
    #[error("of another Ethernet type")]
    EtherType,
    /// ARP of another hardware or protocol type, or lengths that do not go with them (RFC 826, packet reception).
    #[error("not ARP for IPv4 over Ethernet")]
    Types,
    /// ARP that is neither request nor reply. RFC 5494 section 2 reserves and assigns other operations.
    #[error("neither a request nor a reply")]
    Operation,
    /// A sender's hardware address that no station can have: a group address or zero.
    #[error("sent from a hardware address that no station can have")]
    Sender,
    /// IP of another version, another protocol in it, another type of ICMP, or a fragment.
    #[error("not the protocol it should be")]
    Protocol,
    /// Neighbour discovery that passed a router: its hop limit is not 255 (RFC 4861 sections 7.1.1 and 7.1.2).
    #[error("came through a router")]
    HopLimit,
    /// An ICMP code that is not 0.
    #[error("a code that is not 0")]
    Code,
    /// A checksum that is not right.
    #[error("a wrong checksum")]
    Checksum,
    /// A target, a source or a destination that such a message cannot have.
    #[error("an address that such a message cannot have")]
    Address,
    /// An option of length zero, one that is cut off, or a link-layer address of another length than Ethernet's.
    #[error("an unsound option")]
    Options,
}

/// Whether a station can have this hardware address.
fn is_station(mac: MacAddr) -> bool {
    // The group bit is set in the broadcast address too.
    !mac.is_multicast() && !mac.is_zero()
}
