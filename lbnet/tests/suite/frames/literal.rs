//! Literal frames: those that Linux hosts have sent, and others whose checksums were computed by hand.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use lbnet::wire::{EchoRequest, multicast_mac};
use lbnet::{Advertisement, MacAddr, Malformed, NdpFrame, Responder, Solicitation};

use super::{CLIENT, PORT, echo, ndp};

const CLIENT_IP: Ipv6Addr = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, 0x64);
const CLIENT_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 0x64);
const VIP: Ipv6Addr = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 1, 0x253);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What Linux sends for an address that it has not met.
const MULTICAST_QUESTION: &str = "3333ff010253 020000000064 86dd 6000000000203aff \
     fd000003000000000000000000000064 ff0200000000000000000001ff010253 \
     8700782700000000 fd000003000000000000000000010253 0101020000000064";
/// What `ndisc6` sends, with a flow label.
const LABELLED_QUESTION: &str = "3333ff010253 020000000064 86dd 600f0c8e00203aff \
     fe80000000000000000000fffe000064 ff0200000000000000000001ff010253 \
     870077aa00000000 fd000003000000000000000000010253 0101020000000064";
/// What Linux sends to check whether a neighbour is still there, with a link-local address.
const UNICAST_QUESTION: &str = "02000000000b 020000000064 86dd 6000000000203aff \
     fe80000000000000000000fffe000064 fd000003000000000000000000010253 \
     870078ab00000000 fd000003000000000000000000010253 0101020000000064";
/// What Linux sends before it takes an address for its own, with a nonce (RFC 7527).
const FREE_QUESTION: &str = "3333ff010253 02000000000b 86dd 6000000000203aff \
     00000000000000000000000000000000 ff0200000000000000000001ff010253 \
     8700033300000000 fd000003000000000000000000010253 0e0185f71333ce95";
/// Linux's answer to the first.
const MULTICAST_ANSWER: &str = "020000000064 02000000000b 86dd 6000000000203aff \
     fd000003000000000000000000010253 fd000003000000000000000000000064 \
     8800178160000000 fd000003000000000000000000010253 020102000000000b";
/// Linux's answer to the check, which goes without the option.
const UNICAST_ANSWER: &str = "020000000064 02000000000b 86dd 6000000000183aff \
     fd000003000000000000000000010253 fe80000000000000000000fffe000064 \
     88003b1840000000 fd000003000000000000000000010253";
/// What Linux sends to find routers.
const ROUTER_QUESTION: &str = "333300000002 020000000064 86dd 6000000000103aff \
     fe80000000000000000000fffe000064 ff020000000000000000000000000002 \
     85007a6600000000 0101020000000064";
/// What `ping -s 5` sends.
const PING4: &str = "02000000000b 020000000064 0800 \
     45000021c05e40004001f1cb c0a80364 c0a803fd \
     0800e3d50e250001 0001020304";
/// What `ping -6 -s 16` sends, with a flow label.
const PING6: &str = "02000000000b 020000000064 86dd 60099e0000183a40 \
     fd000003000000000000000000000064 fd000003000000000000000000010253 \
     8000992b0e270001 0cba046b00000000c174090000000000";
/// Linux's reply to the first.
const PING4_REPLY: &str = "020000000064 02000000000b 0800 \
     45000021184100004001d9e9 c0a803fd c0a80364 \
     0000ebd50e250001 0001020304";

/// A frame that is written in digits, with spaces between its fields.
fn frame(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// The answer to a frame, if it asks for the address of these frames.
fn answer(digits: &str) -> Option<Vec<u8>> {
    let mut responder = Responder::default();
    for address in [IpAddr::from(VIP), IpAddr::from([192, 168, 3, 253])] {
        responder.set(address, BTreeSet::from([PORT.index]));
        responder.set_echo(address, true);
    }
    let mut buffer = [0; 200];
    let verdict = responder.answer(Instant::now(), PORT, &frame(digits), &mut buffer);
    Some(buffer[..verdict.answer.ok()?.length].to_vec())
}

#[test]
fn what_linux_sends_is_read_as_it_was_meant() {
    let question = Solicitation::multicast(CLIENT, CLIENT_IP, VIP);
    let free = Solicitation::multicast(PORT.mac, Ipv6Addr::UNSPECIFIED, VIP);
    let answered = question.answer_from(PORT.mac);
    for (digits, expected) in [
        (MULTICAST_QUESTION, NdpFrame::Solicitation(question)),
        (
            LABELLED_QUESTION,
            NdpFrame::Solicitation(Solicitation { source_ip: CLIENT_LINK_LOCAL, ..question }),
        ),
        (
            UNICAST_QUESTION,
            NdpFrame::Solicitation(Solicitation {
                destination: PORT.mac,
                source_ip: CLIENT_LINK_LOCAL,
                destination_ip: VIP,
                ..question
            }),
        ),
        (FREE_QUESTION, NdpFrame::Solicitation(free)),
        (MULTICAST_ANSWER, NdpFrame::Advertisement(answered)),
        (
            UNICAST_ANSWER,
            NdpFrame::Advertisement(Advertisement {
                destination_ip: CLIENT_LINK_LOCAL,
                overrides: false,
                target_mac: None,
                ..answered
            }),
        ),
    ] {
        assert_eq!(NdpFrame::parse(&frame(digits)), Ok(expected), "{digits}");
        assert_eq!(ndp::smoltcp_parse(&frame(digits)), Some(expected), "{digits}");
    }
    for digits in [PING4, PING6] {
        let (bytes, other) = (frame(digits), echo::smoltcp_parse(&frame(digits)).unwrap());
        let request = EchoRequest::parse(&bytes).unwrap();
        assert_eq!((request.source, request.destination), (CLIENT, PORT.mac));
        assert_eq!((request.source_ip, request.target), (other.source_ip, other.target));
    }
    // It is shorter than a question for an address, which is noticed first.
    assert_eq!(NdpFrame::parse(&frame(ROUTER_QUESTION)), Err(Malformed::Truncated));
    assert_eq!(EchoRequest::parse(&frame(PING4_REPLY)), Err(Malformed::Protocol));
}

#[test]
fn we_write_the_bytes_that_linux_and_a_calculation_by_hand_have() {
    let question = Solicitation::multicast(CLIENT, CLIENT_IP, VIP);
    let free = Solicitation::multicast(PORT.mac, Ipv6Addr::UNSPECIFIED, VIP);
    assert_eq!(question.to_bytes(), frame(MULTICAST_QUESTION));
    assert_eq!(question.answer_from(PORT.mac).to_bytes(), frame(MULTICAST_ANSWER));
    for (written, digits) in [
        (
            free.to_bytes(),
            "3333ff010253 02000000000b 86dd 6000000000183aff \
     00000000000000000000000000000000 ff0200000000000000000001ff010253 \
     870078fc00000000 fd000003000000000000000000010253",
        ),
        (
            Advertisement::unsolicited(PORT.mac, VIP).to_bytes(),
            "333300000001 02000000000b 86dd 6000000000203aff \
     fd000003000000000000000000010253 ff020000000000000000000000000001 \
     880055e520000000 fd000003000000000000000000010253 020102000000000b",
        ),
        (
            Advertisement::unsolicited(PORT.mac, VIP).told_to(CLIENT, CLIENT_IP).to_bytes(),
            "020000000064 02000000000b 86dd 6000000000203aff \
     fd000003000000000000000000010253 fd000003000000000000000000000064 \
     8800578120000000 fd000003000000000000000000010253 020102000000000b",
        ),
    ] {
        assert_eq!(written, frame(digits));
    }
}

#[test]
fn what_linux_asks_is_answered_with_these_bytes() {
    let to_link_local = "020000000064 02000000000b 86dd 6000000000203aff \
     fd000003000000000000000000010253 fe80000000000000000000fffe000064 \
     8800170460000000 fd000003000000000000000000010253 020102000000000b";
    for (asked, answered) in [
        (MULTICAST_QUESTION, MULTICAST_ANSWER),
        (LABELLED_QUESTION, to_link_local),
        (UNICAST_QUESTION, to_link_local),
        // The reply of Linux has an identification of its own.
        (
            PING4,
            "020000000064 02000000000b 0800 \
     45000021c05e0000400131cc c0a803fd c0a80364 \
     0000ebd50e250001 0001020304",
        ),
        (
            PING6,
            "020000000064 02000000000b 86dd 60099e0000183a40 \
     fd000003000000000000000000010253 fd000003000000000000000000000064 \
     8100982b0e270001 0cba046b00000000c174090000000000",
        ),
    ] {
        assert_eq!(answer(asked), Some(frame(answered)), "{asked}");
    }
    // From another station than ours: all nodes are told.
    let free = FREE_QUESTION.replacen("02000000000b", "020000000064", 1);
    let told = Advertisement::unsolicited(PORT.mac, VIP);
    assert_eq!((told.destination, told.destination_ip), (multicast_mac(ALL_NODES), ALL_NODES));
    assert_eq!(answer(&free), Some(told.to_bytes()));
    for asked in [FREE_QUESTION, ROUTER_QUESTION, MULTICAST_ANSWER, UNICAST_ANSWER, PING4_REPLY] {
        assert_eq!(answer(asked), None, "{asked}");
    }
}

#[test]
fn what_the_rfc_forbids_is_refused_though_its_checksum_is_right() {
    for (digits, reason) in [
        // Through a router.
        (
            "3333ff010253 020000000064 86dd 6000000000183afe \
     fd000003000000000000000000000064 ff0200000000000000000001ff010253 \
     87007b9400000000 fd000003000000000000000000010253",
            Malformed::HopLimit,
        ),
        // Another code.
        (
            "3333ff010253 020000000064 86dd 6000000000183aff \
     fd000003000000000000000000000064 ff0200000000000000000001ff010253 \
     87017b9300000000 fd000003000000000000000000010253",
            Malformed::Code,
        ),
        // A byte less than a solicitation has.
        (
            "3333ff010253 020000000064 86dd 6000000000173aff \
     fd000003000000000000000000000064 ff0200000000000000000001ff010253 \
     87007be800000000 fd0000030000000000000000000102",
            Malformed::Truncated,
        ),
        // For a group.
        (
            "3333ff010253 020000000064 86dd 6000000000183aff \
     fd000003000000000000000000000064 ff0200000000000000000001ff010253 \
     87007be800000000 ff020000000000000000000000000001",
            Malformed::Address,
        ),
        // With an option of length zero.
        (
            "3333ff010253 020000000064 86dd 6000000000203aff \
     fd000003000000000000000000000064 ff0200000000000000000001ff010253 \
     8700782800000000 fd000003000000000000000000010253 0100020000000064",
            Malformed::Options,
        ),
        // From nobody, with the link-layer address of somebody.
        (
            "3333ff010253 020000000064 86dd 6000000000203aff \
     00000000000000000000000000000000 ff0200000000000000000001ff010253 \
     8700758f00000000 fd000003000000000000000000010253 0101020000000064",
            Malformed::Options,
        ),
        // From nobody, to one station.
        (
            "02000000000b 020000000064 86dd 6000000000183aff \
     00000000000000000000000000000000 fd000003000000000000000000010253 \
     870079fd00000000 fd000003000000000000000000010253",
            Malformed::Address,
        ),
        // Solicited by all nodes.
        (
            "333300000001 020000000064 86dd 6000000000203aff \
     fd000003000000000000000000010253 ff020000000000000000000000000001 \
     8800158c60000000 fd000003000000000000000000010253 0201020000000064",
            Malformed::Address,
        ),
    ] {
        assert_eq!(NdpFrame::parse(&frame(digits)), Err(reason), "{digits}");
        assert_eq!(ndp::smoltcp_parse(&frame(digits)), None, "{digits}");
    }
    // A router's, for comparison.
    let told = frame(
        "333300000001 020000000064 86dd 6000000000183aff \
     fe800000000000000000000000000001 ff020000000000000000000000000001 \
     8800dba4a0000000 fe800000000000000000000000000001",
    );
    let Ok(NdpFrame::Advertisement(told)) = NdpFrame::parse(&told) else { panic!("it is sound") };
    assert_eq!((told.source, told.target_mac), (MacAddr(2, 0, 0, 0, 0, 0x64), None));
    assert!(told.router && told.overrides && !told.solicited);
}

/// RFC 1071 section 1: "If the result is all 1 bits (-0 in 1's complement arithmetic), the check succeeds." Where the
/// checksum is zero, `ffff` says the same.
#[test]
fn both_zeros_of_ones_complement_are_right_checksums() {
    for (digits, zero) in [
        (
            "02000000000b 020000000064 0800 \
     4500001c000000004001f22f c0a80364 c0a803fd \
     08000000f7fe0001",
            36,
        ),
        (
            "02000000000b 020000000064 86dd 6000000000083a40 \
     fd000003000000000000000000000064 fd000003000000000000000000010253 \
     8000000082fc0001",
            56,
        ),
    ] {
        let mut bytes = frame(digits);
        for sum in [[0, 0], [0xff, 0xff]] {
            bytes[zero..zero + 2].copy_from_slice(&sum);
            assert!(echo::smoltcp_parse(&bytes).is_some(), "{sum:?}");
            assert!(EchoRequest::parse(&bytes).is_ok(), "{sum:?}");
        }
    }
}
