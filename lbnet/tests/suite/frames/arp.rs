//! ARP frames, and the responder's answers to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Instant;

use lbnet::responder::{ANSWER_LEN, Port};
use lbnet::wire::{ARP_FRAME_LEN, Operation};
use lbnet::{ArpFrame, Drop, MacAddr, Responder};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, EthernetRepr};

use super::{CLIENT, PORT, altered, is_station, mac, ours, theirs};

/// smoltcp's reading of a frame. What it leaves to its caller is refused here by the letter of our own
/// documentation: other operations, and senders that no station can be.
pub(super) fn smoltcp_parse(bytes: &[u8]) -> Option<ArpFrame> {
    let frame = EthernetFrame::new_checked(bytes).ok()?;
    let header = EthernetRepr::parse(&frame).ok()?;
    if header.ethertype != EthernetProtocol::Arp {
        return None;
    }
    let packet = ArpPacket::new_checked(frame.payload()).ok()?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_hardware_addr,
        target_protocol_addr,
    } = ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    let operation = match operation {
        ArpOperation::Request => Operation::Request,
        ArpOperation::Reply => Operation::Reply,
        ArpOperation::Unknown(_) => return None,
    };
    is_station(source_hardware_addr).then(|| ArpFrame {
        destination: ours(header.dst_addr),
        source: ours(header.src_addr),
        operation,
        sender_mac: ours(source_hardware_addr),
        sender_ip: source_protocol_addr,
        target_mac: ours(target_hardware_addr),
        target_ip: target_protocol_addr,
    })
}

/// The frame as smoltcp writes it.
fn smoltcp_emit(frame: &ArpFrame) -> Vec<u8> {
    let arp = ArpRepr::EthernetIpv4 {
        operation: match frame.operation {
            Operation::Request => ArpOperation::Request,
            Operation::Reply => ArpOperation::Reply,
        },
        source_hardware_addr: theirs(frame.sender_mac),
        source_protocol_addr: frame.sender_ip,
        target_hardware_addr: theirs(frame.target_mac),
        target_protocol_addr: frame.target_ip,
    };
    let header = EthernetRepr {
        src_addr: theirs(frame.source),
        dst_addr: theirs(frame.destination),
        ethertype: EthernetProtocol::Arp,
    };
    let mut bytes = vec![0xa5; header.buffer_len() + arp.buffer_len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut bytes);
    header.emit(&mut ethernet);
    arp.emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
    bytes
}

/// Few enough addresses that they meet often, and any other now and then.
pub(super) fn ip() -> impl Strategy<Value = Ipv4Addr> {
    let near = (0_u8..4).prop_map(|last| Ipv4Addr::new(192, 168, 3, last));
    prop_oneof![4 => near, 1 => Just(Ipv4Addr::UNSPECIFIED), 1 => any::<u32>().prop_map(Ipv4Addr::from)]
        .boxed()
}

/// A frame of ours with any field values at all.
fn any_frame() -> impl Strategy<Value = ArpFrame> {
    let operation = select(&[Operation::Request, Operation::Request, Operation::Reply][..]);
    (mac(), mac(), operation, mac(), ip(), mac(), ip()).prop_map(
        |(destination, source, operation, sender_mac, sender_ip, target_mac, target_ip)| ArpFrame {
            destination,
            source,
            operation,
            sender_mac,
            sender_ip,
            target_mac,
            target_ip,
        },
    )
}

/// A frame that a station could have sent.
fn sound_frame() -> impl Strategy<Value = ArpFrame> {
    any_frame().prop_map(|mut frame| {
        if !is_station(theirs(frame.sender_mac)) {
            frame.sender_mac = CLIENT;
        }
        frame
    })
}

/// What may be taken for ARP.
pub(super) fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    altered(any_frame().prop_map(|frame| smoltcp_emit(&frame)))
}

/// Which addresses are answered, on which of the two interfaces.
fn any_view() -> impl Strategy<Value = BTreeMap<Ipv4Addr, BTreeSet<u32>>> {
    let indexes = proptest::collection::btree_set(2_u32..4, 0..3);
    proptest::collection::btree_map(ip(), indexes, 0..5)
}

fn responder(view: &BTreeMap<Ipv4Addr, BTreeSet<u32>>) -> Responder {
    let mut responder = Responder::default();
    for (address, interfaces) in view {
        responder.set((*address).into(), interfaces.clone());
    }
    responder
}

/// What the responder says of a frame, and what it wrote.
fn answer(responder: &mut Responder, port: Port, bytes: &[u8]) -> (Result<(), Drop>, [u8; ANSWER_LEN]) {
    let mut written = [0x5a; ANSWER_LEN];
    let verdict = responder.answer(Instant::now(), port, bytes, &mut written);
    (verdict.answer.map(|answered| assert_eq!(answered.length, ARP_FRAME_LEN)), written)
}

proptest! {
    #[test]
    fn smoltcp_reads_what_we_write(frame in sound_frame()) {
        prop_assert_eq!(smoltcp_parse(&frame.to_bytes()), Some(frame));
    }

    #[test]
    fn we_read_what_smoltcp_writes(frame in sound_frame()) {
        prop_assert_eq!(ArpFrame::parse(&smoltcp_emit(&frame)), Ok(frame));
    }

    #[test]
    fn both_write_the_same_bytes_whatever_the_fields(frame in any_frame()) {
        let mut bytes = [0x5a; ARP_FRAME_LEN];
        frame.emit(&mut bytes);
        prop_assert_eq!(&bytes[..], smoltcp_emit(&frame));
    }

    #[test]
    fn of_any_bytes_we_take_what_smoltcp_takes_and_nothing_else(bytes in any_bytes()) {
        prop_assert_eq!(ArpFrame::parse(&bytes).ok(), smoltcp_parse(&bytes));
    }

    #[test]
    fn an_answer_is_a_sound_reply_to_the_asker_and_only_for_an_address_of_the_interface(
        view in any_view(),
        bytes in any_bytes(),
    ) {
        let (result, written) = answer(&mut responder(&view), PORT, &bytes);
        if result.is_ok() {
            let asked = smoltcp_parse(&bytes).expect("only a sound question is answered");
            prop_assert_eq!(asked.operation, Operation::Request);
            prop_assert!(view.get(&asked.target_ip).is_some_and(|at| at.contains(&PORT.index)));
            prop_assert!(asked.destination == PORT.mac || asked.destination.is_broadcast());
            prop_assert!(asked.source != PORT.mac && asked.sender_mac != PORT.mac);
            let reply = ArpFrame {
                destination: asked.sender_mac,
                source: PORT.mac,
                operation: Operation::Reply,
                sender_mac: PORT.mac,
                sender_ip: asked.target_ip,
                target_mac: asked.sender_mac,
                target_ip: asked.sender_ip,
            };
            prop_assert_eq!(smoltcp_parse(&written[..ARP_FRAME_LEN]), Some(reply));
        } else {
            prop_assert_eq!(written, [0x5a; ANSWER_LEN]);
        }
    }

    #[test]
    fn a_question_sent_to_us_or_to_all_is_answered_just_where_its_address_is_ours(
        view in any_view(),
        frame in sound_frame(),
        to_all in any::<bool>(),
        padding in vec(any::<u8>(), 0..20),
    ) {
        let destination = if to_all { MacAddr::broadcast() } else { PORT.mac };
        let question = ArpFrame { destination, operation: Operation::Request, ..frame };
        let mut bytes = smoltcp_emit(&question);
        bytes.extend(padding);
        let expected = match view.get(&question.target_ip) {
            _ if question.source == PORT.mac || question.sender_mac == PORT.mac => Err(Drop::Own),
            None => Err(Drop::ForeignTarget),
            Some(at) if at.contains(&PORT.index) => Ok(()),
            Some(_) => Err(Drop::OtherInterface),
        };
        prop_assert_eq!(answer(&mut responder(&view), PORT, &bytes).0, expected);
    }
}
