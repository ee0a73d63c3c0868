//! Programs are run here by a machine that is written from the description of classic BPF, and shares nothing with
//! what makes them. That the kernel agrees is shown in `tests/lan`.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use pnet_base::MacAddr;
use proptest::collection::btree_set;
use proptest::prelude::*;

use super::*;
use crate::wire::{Advertisement, ArpFrame, Operation, Solicitation};

const HOST: u32 = 0;
const BROADCAST: u32 = 1;
const MULTICAST: u32 = 2;
const OTHERHOST: u32 = 3;

/// Runs a program on a frame that came to the host in this way: the bytes it lets through.
fn run(program: &[Instruction], frame: &[u8], came: u32) -> u32 {
    let load = |at: u32, bytes: usize| -> Option<u32> {
        let bytes = frame.get(at as usize..at as usize + bytes)?;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    };
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let Instruction { code, yes, no, k } = program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { yes } else { no });
        match code {
            0x06 => return k,
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x80 => accumulator = u32::try_from(frame.len()).unwrap(),
            0x30 if k == 0xffff_f004 => accumulator = came,
            // A field that is not there ends the program: nothing is let through.
            0x20 | 0x28 | 0x30 => {
                let width = match code {
                    0x20 => 4,
                    0x28 => 2,
                    _ => 1,
                };
                let Some(value) = load(k, width) else { return 0 };
                accumulator = value;
            }
            _ => panic!("no such instruction: {code:#x}"),
        }
    }
}

fn passes(filter: &Filter, frame: &[u8], came: u32) -> bool {
    run(filter.program(), frame, came) > 0
}

const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x64);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 253);
const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, 0x253);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 252);
const OTHER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 4, 0, 0, 0, 0, 0, 0x253);

fn arp_of(addresses: &[Ipv4Addr]) -> Filter {
    let addresses: Vec<IpAddr> = addresses.iter().copied().map(IpAddr::from).collect();
    Filter::narrow(Protocol::Arp, &addresses, false, LONGEST)
}

fn ndp_of(addresses: &[Ipv6Addr], echo: bool) -> Filter {
    let addresses: Vec<IpAddr> = addresses.iter().copied().map(IpAddr::from).collect();
    Filter::narrow(Protocol::Ipv6, &addresses, echo, LONGEST)
}

#[test]
fn questions_and_claims_for_our_addresses_pass_and_nothing_else_of_arp() {
    let filter = arp_of(&[VIP]);
    assert!(filter.is_exact());
    let question = ArpFrame::request(CLIENT, OTHER, VIP);
    let reply = ArpFrame { operation: Operation::Reply, ..question };
    for (frame, came, expected) in [
        (question, BROADCAST, true),
        (question, HOST, true),
        (question, MULTICAST, false),
        (question, OTHERHOST, false),
        (ArpFrame::request(CLIENT, Ipv4Addr::UNSPECIFIED, VIP), BROADCAST, true),
        (ArpFrame::gratuitous(Operation::Request, CLIENT, VIP), BROADCAST, true),
        (ArpFrame::gratuitous(Operation::Reply, CLIENT, VIP), BROADCAST, true),
        (ArpFrame::request(CLIENT, VIP, OTHER), BROADCAST, true),
        (ArpFrame { sender_ip: VIP, target_ip: OTHER, ..reply }, HOST, true),
        (reply, HOST, false),
        (ArpFrame::request(CLIENT, OTHER, OTHER), BROADCAST, false),
        (ArpFrame::gratuitous(Operation::Reply, CLIENT, OTHER), BROADCAST, false),
    ] {
        assert_eq!(passes(&filter, &frame.to_bytes(), came), expected, "{frame:?} {came}");
    }
    let sound = question.to_bytes();
    for (offset, bytes) in [(12, [0x81, 0]), (14, [0, 6]), (16, [0x86, 0xdd]), (18, [8, 4]), (20, [0, 3])] {
        let mut frame = sound;
        frame[offset..offset + 2].copy_from_slice(&bytes);
        assert!(!passes(&filter, &frame, BROADCAST), "{offset}");
    }
    assert!(!passes(&filter, &sound[..41], BROADCAST));
    assert!(!passes(&arp_of(&[]), &sound, BROADCAST));
    assert!(passes(&Filter::open(Protocol::Arp), &sound, BROADCAST));
}

#[test]
fn questions_and_claims_for_our_addresses_pass_and_nothing_else_of_ipv6() {
    let filter = ndp_of(&[VIP6], false);
    let asked = Solicitation::multicast(CLIENT, OTHER6, VIP6);
    let probe = Solicitation::multicast(CLIENT, Ipv6Addr::UNSPECIFIED, VIP6);
    let foreign = Solicitation::multicast(CLIENT, OTHER6, OTHER6);
    let claims = Solicitation::multicast(CLIENT, VIP6, OTHER6);
    let unicast = Solicitation { source_mac: None, destination_ip: VIP6, ..asked };
    for (frame, came, expected) in [
        (asked.to_bytes(), MULTICAST, true),
        (asked.to_bytes(), OTHERHOST, false),
        (unicast.to_bytes(), HOST, true),
        (probe.to_bytes(), MULTICAST, true),
        (claims.to_bytes(), MULTICAST, true),
        (foreign.to_bytes(), MULTICAST, false),
        (Advertisement::unsolicited(CLIENT, VIP6).to_bytes(), MULTICAST, true),
        (Advertisement::unsolicited(CLIENT, OTHER6).to_bytes(), MULTICAST, false),
        (foreign.answer_from(CLIENT).to_bytes(), HOST, false),
    ] {
        assert_eq!(passes(&filter, &frame, came), expected, "{came} {frame:?}");
    }
    let mut routed = asked.to_bytes();
    routed[21] = 254;
    assert!(!passes(&filter, &routed, MULTICAST));
    assert!(passes(&Filter::open(Protocol::Ipv6), &foreign.to_bytes(), MULTICAST));
}

#[test]
fn echo_requests_to_our_addresses_pass_if_they_are_wanted() {
    let echo6 = |target: Ipv6Addr| {
        let mut frame = Solicitation::multicast(CLIENT, OTHER6, OTHER6).to_bytes();
        (frame[21], frame[54]) = (63, 128);
        frame[38..54].copy_from_slice(&target.octets());
        frame
    };
    assert!(passes(&ndp_of(&[VIP6], true), &echo6(VIP6), HOST));
    assert!(!passes(&ndp_of(&[VIP6], true), &echo6(OTHER6), HOST));
    assert!(!passes(&ndp_of(&[VIP6], false), &echo6(VIP6), HOST));

    let mut frame =
        [&[0; 12][..], &[8, 0, 0x45], &[0; 8], &[1, 0, 0], &OTHER.octets(), &VIP.octets(), &[8]].concat();
    frame.resize(42, 0);
    let echo4 = |echo| Filter::narrow(Protocol::Ipv4, &[IpAddr::from(VIP)], echo, LONGEST);
    assert_eq!(frame[23], 1);
    assert!(passes(&echo4(true), &frame, HOST));
    assert!(!passes(&echo4(true), &frame, BROADCAST));
    assert!(!passes(&echo4(false), &frame, HOST));
    frame[33] = 252;
    assert!(!passes(&echo4(true), &frame, HOST));
}

#[test]
fn ten_thousand_addresses_of_a_range_are_one_comparison() {
    let range: Vec<Ipv4Addr> = (0..10_000).map(|n| Ipv4Addr::from_bits(0x0a00_0000 + n)).collect();
    let filter = arp_of(&range);
    assert!(filter.is_exact() && filter.program().len() < 40, "{}", filter.program().len());
    let range: Vec<Ipv6Addr> = (0..10_000).map(|n| Ipv6Addr::from_bits(VIP6.to_bits() + n)).collect();
    let filter = ndp_of(&range, true);
    assert!(filter.is_exact() && filter.program().len() < 80, "{}", filter.program().len());
}

#[test]
fn more_than_a_thousand_scattered_addresses_fit_exactly_and_more_are_covered() {
    let scattered = |count: u32| -> Vec<Ipv4Addr> {
        (0..count).map(|n| Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b1))).collect()
    };
    assert!(arp_of(&scattered(1_700)).is_exact());
    let many = scattered(10_000);
    let filter = arp_of(&many);
    assert!(!filter.is_exact() && filter.program().len() <= LONGEST);
    for address in many {
        assert!(passes(&filter, &ArpFrame::request(CLIENT, OTHER, address).to_bytes(), BROADCAST));
    }
}

/// Addresses that lie near to each other, and some that do not.
fn addresses4(count: usize) -> impl Strategy<Value = BTreeSet<Ipv4Addr>> {
    let near = (0_u32..600).prop_map(|n| 0x0a00_0000 + n);
    let ends = prop_oneof![Just(0), Just(u32::MAX), Just(1)];
    btree_set(prop_oneof![4 => near, 2 => any::<u32>(), 1 => ends].prop_map(Ipv4Addr::from_bits), 0..count)
}

fn addresses6(count: usize) -> impl Strategy<Value = BTreeSet<Ipv6Addr>> {
    let word = || prop_oneof![3 => 0_u32..3, 1 => any::<u32>(), 1 => Just(u32::MAX)];
    let bits = (word(), word(), word(), word()).prop_map(|(a, b, c, d)| {
        u128::from(a) << 96 | u128::from(b) << 64 | u128::from(c) << 32 | u128::from(d)
    });
    btree_set(bits.prop_map(Ipv6Addr::from_bits), 0..count)
}

proptest! {
    #[test]
    fn an_exact_filter_lets_through_just_what_asks_for_its_addresses(
        ours in addresses4(300), others in addresses4(50),
    ) {
        let filter = arp_of(&ours.iter().copied().collect::<Vec<_>>());
        prop_assert!(filter.is_exact());
        for target in ours.iter().chain(&others) {
            let frame = ArpFrame::request(CLIENT, Ipv4Addr::new(9, 9, 9, 9), *target).to_bytes();
            let expected = ours.contains(target) || ours.contains(&Ipv4Addr::new(9, 9, 9, 9));
            prop_assert_eq!(passes(&filter, &frame, BROADCAST), expected, "{}", target);
        }
    }

    #[test]
    fn an_exact_filter_lets_through_just_what_solicits_its_addresses(
        ours in addresses6(100), others in addresses6(50),
    ) {
        let filter = ndp_of(&ours.iter().copied().collect::<Vec<_>>(), true);
        prop_assert!(filter.is_exact());
        for target in ours.iter().chain(&others).filter(|target| !target.is_multicast()) {
            let frame = Solicitation::multicast(CLIENT, OTHER6, *target).to_bytes();
            let expected = ours.contains(target) || ours.contains(&OTHER6);
            prop_assert_eq!(passes(&filter, &frame, MULTICAST), expected, "{}", target);
        }
    }

    #[test]
    fn a_filter_of_any_length_lets_through_all_that_asks_for_its_addresses(
        four in addresses4(200), six in addresses6(200), longest in 1_usize..400,
    ) {
        let all: Vec<IpAddr> =
            four.iter().copied().map(IpAddr::from).chain(six.iter().copied().map(IpAddr::from)).collect();
        let arp = Filter::narrow(Protocol::Arp, &all, false, longest);
        let ndp = Filter::narrow(Protocol::Ipv6, &all, true, longest);
        let shortest = |protocol| Filter::open(protocol).program().len();
        prop_assert!(arp.program().len() <= longest.max(shortest(Protocol::Arp)));
        prop_assert!(ndp.program().len() <= longest.max(shortest(Protocol::Ipv6)));
        for target in four {
            let frame = ArpFrame::request(CLIENT, Ipv4Addr::UNSPECIFIED, target).to_bytes();
            prop_assert!(passes(&arp, &frame, BROADCAST), "{}", target);
        }
        for target in six.into_iter().filter(|target| !target.is_multicast()) {
            let frame = Solicitation::multicast(CLIENT, Ipv6Addr::UNSPECIFIED, target).to_bytes();
            prop_assert!(passes(&ndp, &frame, MULTICAST), "{}", target);
        }
    }
}
