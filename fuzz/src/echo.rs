//! Echo requests and the answers to them: `lbnet::wire::EchoRequest`.

use std::net::IpAddr;

use lbnet::MacAddr;
use lbnet::wire::EchoRequest;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, Ipv4Packet,
    Ipv4Repr, Ipv6Packet, Ipv6Repr,
};

/// Who answers.
const STATION: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x0b);

/// Reads the input as a frame.
pub fn check(data: &[u8]) {
    for frame in crate::frames::frames(data) {
        let request = match EchoRequest::parse(&frame) {
            Ok(request) => request,
            Err(malformed) => {
                assert!(!malformed.to_string().is_empty());
                continue;
            }
        };
        let mut answer = vec![0; frame.len()];
        let length = request.answer(STATION, &mut answer).expect("an answer is no longer than its request");
        answer.truncate(length);
        assert!(EchoRequest::parse(&answer).is_err(), "an answer is no question");
        assert_eq!(request.answer(STATION, &mut vec![0; length - 1]), None, "an answer is never cut off");
        check_answer(&request, &frame, &answer);
    }
}

/// What must hold of every answer: smoltcp reads it as the reply to what it reads the request as.
pub(crate) fn check_answer(request: &EchoRequest<'_>, frame: &[u8], answer: &[u8]) {
    let (asked, answered) = (read(frame), read(answer));
    let EchoRequest { source_ip, target, .. } = *request;
    assert!(asked.is_request && (asked.source, asked.destination) == (source_ip, target));
    assert!(!answered.is_request && (answered.source, answered.destination) == (target, source_ip));
    assert_eq!(asked.message, answered.message, "identifier, number and data");
    assert_eq!(answer[..6], request.source.octets(), "it goes to the station that asked");
}

/// What smoltcp makes of a frame.
struct Echo {
    is_request: bool,
    source: IpAddr,
    destination: IpAddr,
    message: (u16, u16, Vec<u8>),
}

fn read(frame: &[u8]) -> Echo {
    let checksums = ChecksumCapabilities::default();
    let ethernet = EthernetFrame::new_checked(frame).expect("long enough");
    if ethernet.ethertype() == EthernetProtocol::Ipv4 {
        let packet = Ipv4Packet::new_checked(ethernet.payload()).expect("long enough");
        let ip = Ipv4Repr::parse(&packet, &checksums).expect("sound");
        let icmp = Icmpv4Packet::new_checked(packet.payload()).expect("long enough");
        let (is_request, message) = match Icmpv4Repr::parse(&icmp, &checksums) {
            Ok(Icmpv4Repr::EchoRequest { ident, seq_no, data }) => (true, (ident, seq_no, data.to_vec())),
            Ok(Icmpv4Repr::EchoReply { ident, seq_no, data }) => (false, (ident, seq_no, data.to_vec())),
            other => panic!("{other:?}"),
        };
        return Echo { is_request, source: ip.src_addr.into(), destination: ip.dst_addr.into(), message };
    }
    let packet = Ipv6Packet::new_checked(ethernet.payload()).expect("long enough");
    let ip = Ipv6Repr::parse(&packet).expect("sound");
    let icmp = Icmpv6Packet::new_checked(packet.payload()).expect("long enough");
    let (is_request, message) = match Icmpv6Repr::parse(&ip.src_addr, &ip.dst_addr, &icmp, &checksums) {
        Ok(Icmpv6Repr::EchoRequest { ident, seq_no, data }) => (true, (ident, seq_no, data.to_vec())),
        Ok(Icmpv6Repr::EchoReply { ident, seq_no, data }) => (false, (ident, seq_no, data.to_vec())),
        other => panic!("{other:?}"),
    };
    Echo { is_request, source: ip.src_addr.into(), destination: ip.dst_addr.into(), message }
}
