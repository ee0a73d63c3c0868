//! Frames of neighbour discovery.

mod oracle;

use std::net::Ipv6Addr;

use lbnet::wire::{NDP_FRAME_LEN, solicited_node};
use lbnet::{Advertisement, MacAddr, NdpFrame, Solicitation};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use smoltcp::wire::{Icmpv6Packet, Ipv6Packet, NdiscRepr};

use self::oracle::smoltcp_emit;
pub(super) use self::oracle::smoltcp_parse;
use super::{CLIENT, altered, is_station, mac, mend, theirs};

const ETHERNET_LEN: usize = 14;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The frame as we write it.
fn emit(frame: &NdpFrame) -> Vec<u8> {
    let mut buffer = [0x5a; NDP_FRAME_LEN];
    let length = match frame {
        NdpFrame::Solicitation(frame) => frame.emit(&mut buffer),
        NdpFrame::Advertisement(frame) => frame.emit(&mut buffer),
    };
    assert_eq!(buffer[length..], [0x5a; NDP_FRAME_LEN][length..], "what is behind the frame is left alone");
    buffer[..length].to_vec()
}

/// The frame with more options behind its own.
fn with_options(frame: &NdpFrame, options: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = smoltcp_emit(frame);
    bytes.extend(options.concat());
    let length = u16::try_from(bytes.len() - ETHERNET_LEN - 40).expect("they are few");
    Ipv6Packet::new_unchecked(&mut bytes[ETHERNET_LEN..]).set_payload_len(length);
    mend(&mut bytes);
    bytes
}

/// Few enough addresses that they meet often, and any other now and then.
pub(super) fn ip() -> impl Strategy<Value = Ipv6Addr> {
    let near = || (0_u16..4).prop_map(|last| Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, last));
    prop_oneof![
        8 => near(),
        2 => near().prop_map(solicited_node),
        1 => Just(ALL_NODES),
        2 => Just(Ipv6Addr::UNSPECIFIED),
        1 => any::<u128>().prop_map(Ipv6Addr::from),
    ]
    .boxed()
}

/// An address that somebody can have.
pub(super) fn host_ip() -> impl Strategy<Value = Ipv6Addr> {
    ip().prop_map(host)
}

/// A solicitation with any field values at all.
fn any_solicitation() -> impl Strategy<Value = Solicitation> {
    (mac(), mac(), ip(), ip(), ip(), proptest::option::of(mac())).prop_map(
        |(destination, source, source_ip, destination_ip, target, source_mac)| Solicitation {
            destination,
            source,
            source_ip,
            destination_ip,
            target,
            source_mac,
        },
    )
}

fn any_advertisement() -> impl Strategy<Value = Advertisement> {
    (any_solicitation(), any::<[bool; 3]>()).prop_map(|(like, [router, solicited, overrides])| {
        Advertisement {
            destination: like.destination,
            source: like.source,
            source_ip: like.source_ip,
            destination_ip: like.destination_ip,
            target: like.target,
            router,
            solicited,
            overrides,
            target_mac: like.source_mac,
        }
    })
}

fn any_frame() -> impl Strategy<Value = NdpFrame> {
    prop_oneof![
        3 => any_solicitation().prop_map(NdpFrame::Solicitation),
        2 => any_advertisement().prop_map(NdpFrame::Advertisement),
    ]
    .boxed()
}

/// A solicitation that a station could have sent.
pub(super) fn sound_solicitation() -> impl Strategy<Value = Solicitation> {
    any_solicitation().prop_map(|mut asked| {
        asked.source = station(asked.source);
        asked.source_mac = asked.source_mac.map(station);
        asked.target = unicast(asked.target);
        if asked.source_ip.is_unspecified() {
            asked.destination_ip = solicited_node(asked.target);
            asked.source_mac = None;
        } else {
            asked.source_ip = unicast(asked.source_ip);
        }
        asked
    })
}

fn sound_advertisement() -> impl Strategy<Value = Advertisement> {
    any_advertisement().prop_map(|mut told| {
        told.source = station(told.source);
        told.target_mac = told.target_mac.map(station);
        told.target = unicast(told.target);
        told.source_ip = host(told.source_ip);
        told.solicited &= !told.destination_ip.is_multicast();
        told
    })
}

fn sound_frame() -> impl Strategy<Value = NdpFrame> {
    prop_oneof![
        sound_solicitation().prop_map(NdpFrame::Solicitation),
        sound_advertisement().prop_map(NdpFrame::Advertisement),
    ]
    .boxed()
}

fn station(mac: MacAddr) -> MacAddr {
    if is_station(theirs(mac)) { mac } else { CLIENT }
}

fn unicast(ip: Ipv6Addr) -> Ipv6Addr {
    if ip.is_multicast() { Ipv6Addr::LOCALHOST } else { ip }
}

fn host(ip: Ipv6Addr) -> Ipv6Addr {
    if ip.is_unspecified() { Ipv6Addr::LOCALHOST } else { unicast(ip) }
}

/// An option of one of these types, of any length, with anything in it.
fn option_of(types: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    (select(types), 1_u8..5).prop_flat_map(|(kind, units)| {
        vec(any::<u8>(), usize::from(units) * 8 - 2)
            .prop_map(move |value| [&[kind, units][..], &value].concat())
    })
}

/// What may be taken for neighbour discovery.
pub(super) fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let frames = prop_oneof![3 => sound_frame(), 1 => any_frame()];
    let options = prop_oneof![2 => Just(Vec::new()), 1 => vec(option_of(&[1, 2, 3, 4, 5, 14, 200]), 0..4)];
    altered((frames, options).prop_map(|(frame, options)| with_options(&frame, &options)))
}

proptest! {
    #[test]
    fn smoltcp_reads_what_we_write(frame in sound_frame()) {
        prop_assert_eq!(smoltcp_parse(&emit(&frame)), Some(frame));
    }

    #[test]
    fn we_read_what_smoltcp_writes(frame in sound_frame()) {
        prop_assert_eq!(NdpFrame::parse(&smoltcp_emit(&frame)), Ok(frame));
    }

    #[test]
    fn both_write_the_same_bytes_whatever_the_fields(frame in any_frame()) {
        prop_assert_eq!(emit(&frame), smoltcp_emit(&frame));
    }

    #[test]
    fn of_any_bytes_we_take_what_smoltcp_and_the_rfc_take_and_nothing_else(bytes in any_bytes()) {
        prop_assert_eq!(NdpFrame::parse(&bytes).ok(), smoltcp_parse(&bytes));
    }

    #[test]
    fn options_of_other_types_are_passed_over_by_both(
        frame in sound_frame(),
        options in vec(option_of(&[5, 13, 14, 38, 253]), 0..6),
    ) {
        let bytes = with_options(&frame, &options);
        prop_assert_eq!(NdpFrame::parse(&bytes), Ok(frame));
        let packet = Ipv6Packet::new_checked(&bytes[ETHERNET_LEN..]).unwrap();
        let message = Icmpv6Packet::new_checked(packet.payload()).unwrap();
        let (target, mac) = match NdiscRepr::parse(&message) {
            Ok(NdiscRepr::NeighborSolicit { target_addr, lladdr }
                | NdiscRepr::NeighborAdvert { target_addr, lladdr, .. }) => (target_addr, lladdr),
            other => panic!("{other:?}"),
        };
        let expected = match frame {
            NdpFrame::Solicitation(frame) => (frame.target, frame.source_mac),
            NdpFrame::Advertisement(frame) => (frame.target, frame.target_mac),
        };
        prop_assert_eq!((target, mac), (expected.0, expected.1.map(|mac| theirs(mac).into())));
    }

    #[test]
    fn an_option_of_length_zero_or_one_that_is_cut_off_is_refused(
        frame in sound_frame(),
        before in vec(option_of(&[5, 14]), 0..3),
        unsound in prop_oneof![
            any::<u8>().prop_map(|kind| vec![kind, 0, 0, 0, 0, 0, 0, 0]),
            (any::<u8>(), 2_u8..).prop_map(|(kind, units)| vec![kind, units, 0, 0, 0, 0, 0, 0]),
            any::<u8>().prop_map(|kind| vec![kind]),
        ],
    ) {
        let bytes = with_options(&frame, &[before, vec![unsound]].concat());
        prop_assert_eq!(NdpFrame::parse(&bytes).ok(), None);
        prop_assert_eq!(smoltcp_parse(&bytes), None);
    }
}
