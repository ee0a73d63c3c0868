//! Echo requests and the answers to them.

mod oracle;

use std::net::IpAddr;

use lbnet::MacAddr;
use lbnet::wire::EchoRequest;
use proptest::collection::vec;
use proptest::prelude::*;

pub(super) use self::oracle::{Echo, smoltcp_emit, smoltcp_parse};
use super::{CLIENT, PORT, altered, is_station, mac, theirs};

/// What is to be seen of a request from outside, with our answer to it.
fn parse(bytes: &[u8]) -> Option<(MacAddr, MacAddr, IpAddr, IpAddr, Vec<u8>)> {
    let request = EchoRequest::parse(bytes).ok()?;
    let mut buffer = vec![0x5a; bytes.len()];
    let length = request.answer(PORT.mac, &mut buffer).expect("an answer is no longer than its request");
    assert!(buffer[length..].iter().all(|byte| *byte == 0x5a), "what is behind the answer is left alone");
    buffer.truncate(length);
    Some((request.destination, request.source, request.source_ip, request.target, buffer))
}

/// The same by smoltcp.
fn expected(bytes: &[u8]) -> Option<(MacAddr, MacAddr, IpAddr, IpAddr, Vec<u8>)> {
    let request = smoltcp_parse(bytes).filter(|echo| echo.is_request)?;
    let answer = smoltcp_emit(&request.answer_from(PORT.mac));
    Some((request.destination, request.source, request.source_ip, request.target, answer))
}

/// Addresses of who asks and who is asked, of one family.
fn ips() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        (super::arp::ip(), super::arp::ip()).prop_map(|(one, other)| (one.into(), other.into())),
        (super::ndp::ip(), super::ndp::ip()).prop_map(|(one, other)| (one.into(), other.into())),
    ]
    .boxed()
}

/// An echo with any field values at all.
pub(super) fn any_echo() -> impl Strategy<Value = Echo> {
    let header = (any::<u8>(), 0_u32..0x10_0000, any::<u8>());
    let data = prop_oneof![9 => vec(any::<u8>(), 0..70), 1 => vec(any::<u8>(), 1400..1600)];
    let message = (any::<u16>(), any::<u16>(), data);
    (proptest::bool::weighted(0.9), mac(), mac(), ips(), header, message).prop_map(
        |(is_request, destination, source, (source_ip, target), (class, label, hop_limit), message)| {
            let label = if source_ip.is_ipv4() { label & 0xffff } else { label };
            let (ident, seq_no, data) = message;
            Echo {
                is_request,
                destination,
                source,
                source_ip,
                target,
                class,
                label,
                hop_limit,
                ident,
                seq_no,
                data,
            }
        },
    )
}

/// A request that a station could have sent.
pub(super) fn sound_request() -> impl Strategy<Value = Echo> {
    any_echo().prop_map(|mut echo| {
        echo.is_request = true;
        if !is_station(theirs(echo.source)) {
            echo.source = CLIENT;
        }
        let ip = |ip: IpAddr| match ip {
            IpAddr::V4(ip) if ip.is_multicast() || ip.is_unspecified() || ip.is_broadcast() => {
                [10, 0, 0, 1].into()
            }
            IpAddr::V6(ip) if ip.is_multicast() || ip.is_unspecified() => {
                "fe80::1".parse().expect("an address")
            }
            ip => ip,
        };
        (echo.source_ip, echo.target) = (ip(echo.source_ip), ip(echo.target));
        echo
    })
}

/// What may be taken for an echo request.
pub(super) fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let echoes = prop_oneof![3 => sound_request(), 1 => any_echo()];
    altered(echoes.prop_map(|echo| smoltcp_emit(&echo)))
}

proptest! {
    #[test]
    fn we_read_what_smoltcp_writes_and_it_reads_our_answer(request in sound_request()) {
        let parsed = parse(&smoltcp_emit(&request));
        prop_assert!(parsed.is_some());
        let (destination, source, source_ip, target, answer) = parsed.unwrap();
        prop_assert_eq!(
            (destination, source, source_ip, target),
            (request.destination, request.source, request.source_ip, request.target)
        );
        prop_assert_eq!(smoltcp_parse(&answer), Some(request.answer_from(PORT.mac)));
    }

    #[test]
    fn of_any_bytes_we_take_what_smoltcp_takes_and_nothing_else_and_both_answer_with_the_same_bytes(
        bytes in any_bytes(),
    ) {
        prop_assert_eq!(parse(&bytes), expected(&bytes));
    }

    #[test]
    fn an_answer_is_written_whole_or_not_at_all(request in sound_request(), room in 0_usize..1700) {
        let bytes = smoltcp_emit(&request);
        let mut buffer = vec![0x5a; room];
        let length = EchoRequest::parse(&bytes).unwrap().answer(PORT.mac, &mut buffer);
        prop_assert_eq!(length, (room >= bytes.len()).then_some(bytes.len()));
        if length.is_none() {
            prop_assert!(buffer.iter().all(|byte| *byte == 0x5a));
        }
    }
}
