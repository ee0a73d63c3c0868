//! What is made of a frame: `lbnet::Responder`, and the kernel's filters before it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use lbnet::filter::{Filter, Protocol};
use lbnet::responder::{ANSWER_LEN, Kind, Port};
use lbnet::wire::{EchoRequest, Operation};
use lbnet::{ArpFrame, Counters, MacAddr, NdpFrame, Responder, Verdict};

use crate::bpf::{Came, passes};

const PORTS: [Port; 2] = [
    Port { index: 2, mac: MacAddr(2, 0, 0, 0, 0, 0x0b) },
    Port { index: 3, mac: MacAddr(2, 0, 0, 0, 0, 0x0c) },
];

/// Each with the interfaces that answer for it, whether echo is answered too, and whether it is being probed.
const ADDRESSES: [(IpAddr, &[u32], bool, bool); 6] = [
    (v4(1), &[2], true, false),
    (v4(2), &[2, 3], false, true),
    (v4(3), &[], true, false),
    (v6(1), &[3], true, false),
    (v6(2), &[2, 3], true, true),
    (v6(3), &[], false, false),
];

const fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 168, 3, last))
}

const fn v6(last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, last))
}

/// Gives the input as a frame to both interfaces of a host.
pub fn check(data: &[u8]) {
    for frame in crate::frames::frames(data) {
        for port in PORTS {
            check_frame(port, &frame);
        }
    }
}

fn check_frame(port: Port, frame: &[u8]) {
    let mut responder = Responder::default();
    for (address, interfaces, echo, probed) in ADDRESSES {
        responder.set(address, interfaces.iter().copied().collect::<BTreeSet<_>>());
        responder.set_echo(address, echo);
        responder.set_probed(address, probed);
    }
    let mut buffer = vec![0x5a; frame.len().max(ANSWER_LEN)];
    let verdict = responder.answer(Instant::now(), port, frame, &mut buffer);
    let length = verdict.answer.map_or(0, |answered| answered.length);
    assert!(buffer[length..].iter().all(|byte| *byte == 0x5a), "what is not the answer is untouched");
    buffer.truncate(length);

    check_counters(&responder, port, &verdict);
    if verdict.answer.is_ok() {
        check_answer(port, frame, &verdict, &buffer);
    }
    if let Some(claim) = verdict.claim {
        let (.., is_probed) =
            ADDRESSES.into_iter().find(|it| it.0 == claim.address).expect("it is one of ours");
        assert!(is_probed || !is_from_nobody(frame), "who asks whether an address is free does not have it");
        assert_eq!(claim.interface, port.index);
        assert_ne!(claim.mac, port.mac, "nobody disputes an address with himself");
    }
    check_filters(port, frame, &verdict);
}

/// Whether the sender has no address of its own.
fn is_from_nobody(frame: &[u8]) -> bool {
    match NdpFrame::parse(frame) {
        Ok(NdpFrame::Solicitation(asked)) => asked.source_ip.is_unspecified(),
        Ok(NdpFrame::Advertisement(_)) => false,
        Err(_) => ArpFrame::parse(frame).is_ok_and(|arp| arp.sender_ip.is_unspecified()),
    }
}

fn check_counters(responder: &Responder, port: Port, verdict: &Verdict) {
    assert_eq!(responder.counters().len(), 1, "on one interface");
    let counters: &Counters = &responder.counters()[&port.index];
    let counted = match verdict.answer {
        Err(reason) => counters.dropped(reason),
        Ok(answered) => match answered.kind {
            Kind::Arp => counters.arp,
            Kind::Ndp => counters.ndp,
            Kind::Echo => counters.echo,
        },
    };
    assert_eq!((counted, counters.read()), (1, 1), "{verdict:?}");
    assert_eq!(counters.claims, u64::from(verdict.claim.is_some()));
}

/// An answer is sound, to the asker, of this station, and about an address that it answers for.
fn check_answer(port: Port, frame: &[u8], verdict: &Verdict, answer: &[u8]) {
    let answered = verdict.answer.expect("there is one");
    let held = ADDRESSES.iter().find(|(address, ..)| *address == answered.address);
    let (address, interfaces, echo, _) = held.expect("it is one of ours");
    assert!(interfaces.contains(&port.index), "{answered:?} at {port:?}");
    assert_eq!(answer[6..12], port.mac.octets());
    match answered.kind {
        Kind::Arp => {
            let (asked, reply) = (ArpFrame::parse(frame).unwrap(), ArpFrame::parse(answer).unwrap());
            crate::arp::check_frame(&reply, answer);
            assert_eq!((asked.operation, reply.operation), (Operation::Request, Operation::Reply));
            assert_eq!((IpAddr::from(reply.sender_ip), reply.sender_mac), (*address, port.mac));
            assert_eq!((reply.destination, reply.target_ip), (asked.sender_mac, asked.sender_ip));
        }
        Kind::Ndp => {
            let Ok(NdpFrame::Solicitation(asked)) = NdpFrame::parse(frame) else { panic!("it asks nothing") };
            let reply = NdpFrame::parse(answer).unwrap();
            crate::ndp::check_frame(&reply, answer);
            let NdpFrame::Advertisement(told) = reply else { panic!("{reply:?} tells nothing") };
            assert_eq!((IpAddr::from(told.target), told.target_mac), (*address, Some(port.mac)));
            assert_eq!(told.solicited, !asked.source_ip.is_unspecified());
            assert!(told.overrides && !told.router);
            if told.solicited {
                assert_eq!(told.destination, asked.source_mac.unwrap_or(asked.source));
                assert_eq!(told.destination_ip, asked.source_ip);
            } else {
                assert_eq!(told.destination_ip, "ff02::1".parse::<Ipv6Addr>().unwrap());
            }
        }
        Kind::Echo => {
            assert!(echo, "echo is not wanted for {address}");
            crate::echo::check_answer(&EchoRequest::parse(frame).unwrap(), frame, answer);
        }
    }
}

/// What the responder has an answer to, or takes for a claim, the kernel lets through, however narrow its filter;
/// given that the frame is for this host at all.
fn check_filters(port: Port, frame: &[u8], verdict: &Verdict) {
    let matters = verdict.answer.is_ok() || verdict.claim.is_some();
    if !matters {
        return;
    }
    let came = Came::by(&frame[..6], &port.mac.octets());
    let (protocol, is_for_us) = match frame[12..14] {
        [0x08, 0x06] => (Protocol::Arp, matches!(came, Came::Here | Came::Broadcast)),
        [0x08, 0x00] => (Protocol::Ipv4, came == Came::Here),
        _ => (Protocol::Ipv6, came != Came::Elsewhere),
    };
    if is_for_us {
        let ours = ADDRESSES.map(|(address, ..)| address);
        for longest in [usize::MAX, 30, 0] {
            let filter = Filter::narrow(protocol, &ours, true, longest);
            assert!(passes(&filter, frame, came), "{verdict:?} is dropped by a filter of at most {longest}");
        }
        assert!(passes(&Filter::open(protocol), frame, came), "{verdict:?} is dropped by the open filter");
    }
}
