//! ARP frames: `lbnet::ArpFrame`.

use lbnet::ArpFrame;
use lbnet::wire::Operation;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetFrame};

/// Reads the input as a frame.
pub fn check(data: &[u8]) {
    for frame in crate::frames::frames(data) {
        match ArpFrame::parse(&frame) {
            Ok(arp) => check_frame(&arp, &frame),
            Err(malformed) => assert!(!malformed.to_string().is_empty()),
        }
    }
}

/// What must hold of every frame that was read.
pub(crate) fn check_frame(arp: &ArpFrame, frame: &[u8]) {
    let written = arp.to_bytes();
    assert_eq!(ArpFrame::parse(&written).as_ref(), Ok(arp), "what is written is read differently");
    assert_eq!(written, frame[..written.len()], "every byte of it has its field");
    let ethernet = EthernetFrame::new_checked(frame).expect("long enough");
    let packet = ArpPacket::new_checked(ethernet.payload()).expect("long enough");
    let operation = match arp.operation {
        Operation::Request => ArpOperation::Request,
        Operation::Reply => ArpOperation::Reply,
    };
    let expected = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: smoltcp::wire::EthernetAddress(arp.sender_mac.octets()),
        source_protocol_addr: arp.sender_ip,
        target_hardware_addr: smoltcp::wire::EthernetAddress(arp.target_mac.octets()),
        target_protocol_addr: arp.target_ip,
    };
    assert_eq!(ArpRepr::parse(&packet), Ok(expected), "smoltcp reads it differently");
}
