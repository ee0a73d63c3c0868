//! Frames of neighbour discovery: `lbnet::NdpFrame`.

use lbnet::NdpFrame;
use smoltcp::wire::{EthernetFrame, Icmpv6Message, Icmpv6Packet, Ipv6Packet, NdiscNeighborFlags};

/// Reads the input as a frame.
pub fn check(data: &[u8]) {
    for frame in crate::frames::frames(data) {
        match NdpFrame::parse(&frame) {
            Ok(ndp) => check_frame(&ndp, &frame),
            Err(malformed) => assert!(!malformed.to_string().is_empty()),
        }
    }
}

/// What must hold of every frame that was read.
pub(crate) fn check_frame(ndp: &NdpFrame, frame: &[u8]) {
    let written = match ndp {
        NdpFrame::Solicitation(ndp) => ndp.to_bytes(),
        NdpFrame::Advertisement(ndp) => ndp.to_bytes(),
    };
    assert_eq!(NdpFrame::parse(&written).as_ref(), Ok(ndp), "what is written is read differently");
    // Options of other types may stand before and behind; smoltcp is not asked for them, as it refuses some that have
    // no meaning here for their form.
    let ethernet = EthernetFrame::new_checked(frame).expect("long enough");
    let ip = Ipv6Packet::new_checked(ethernet.payload()).expect("long enough");
    let message = Icmpv6Packet::new_checked(ip.payload()).expect("long enough");
    assert!(message.verify_checksum(&ip.src_addr(), &ip.dst_addr()));
    assert_eq!((ip.version(), ip.hop_limit(), message.msg_code()), (6, 255, 0));
    let flags = message.neighbor_flags();
    match ndp {
        NdpFrame::Solicitation(asked) => {
            assert_eq!(message.msg_type(), Icmpv6Message::NeighborSolicit);
            assert_eq!(message.target_addr(), asked.target);
            assert_eq!((ip.src_addr(), ip.dst_addr()), (asked.source_ip, asked.destination_ip));
        }
        NdpFrame::Advertisement(told) => {
            assert_eq!(message.msg_type(), Icmpv6Message::NeighborAdvert);
            assert_eq!(message.target_addr(), told.target);
            assert_eq!((ip.src_addr(), ip.dst_addr()), (told.source_ip, told.destination_ip));
            assert_eq!(flags.contains(NdiscNeighborFlags::ROUTER), told.router);
            assert_eq!(flags.contains(NdiscNeighborFlags::SOLICITED), told.solicited);
            assert_eq!(flags.contains(NdiscNeighborFlags::OVERRIDE), told.overrides);
        }
    }
}
