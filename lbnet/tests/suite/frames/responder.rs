//! The responder's answers to solicitations and echo requests, what it counts, and what it takes for a claim.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use lbnet::responder::{ANSWER_LEN, Kind, Port};
use lbnet::wire::{Operation, multicast_mac};
use lbnet::{
    Advertisement, ArpFrame, Claim, Counters, Drop, MacAddr, NdpFrame, Responder, Solicitation, Verdict,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::ndp::{host_ip, sound_solicitation};
use super::{CLIENT, OTHER_PORT, PORT, arp, echo, mac, ndp};

/// What the responder is told of an address.
#[derive(Debug, Clone)]
struct Held {
    at: BTreeSet<u32>,
    echo: bool,
    probed: bool,
}

type View = BTreeMap<IpAddr, Held>;

/// Which addresses are answered, on which of the two interfaces, and how.
fn any_view() -> impl Strategy<Value = View> {
    let address = prop_oneof![arp::ip().prop_map(IpAddr::from), ndp::ip().prop_map(IpAddr::from)]
        .prop_filter("that somebody can have", |ip| !ip.is_unspecified() && !ip.is_multicast());
    let held = (btree_set(2_u32..4, 0..3), any::<bool>(), any::<bool>());
    btree_map(address, held.prop_map(|(at, echo, probed)| Held { at, echo, probed }), 0..8)
}

/// What may be a frame of any kind that is answered.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![arp::any_bytes(), ndp::any_bytes(), echo::any_bytes()]
}

fn responder(view: &View) -> Responder {
    let mut responder = Responder::default();
    for (address, held) in view {
        responder.set(*address, held.at.clone());
        responder.set_echo(*address, held.echo);
        responder.set_probed(*address, held.probed);
    }
    responder
}

/// What the responder says of a frame, and the frame that it wrote. Nothing else is written.
fn answer(responder: &mut Responder, port: Port, bytes: &[u8]) -> (Verdict, Vec<u8>) {
    let mut buffer = vec![0x5a; bytes.len().max(ANSWER_LEN)];
    let verdict = responder.answer(Instant::now(), port, bytes, &mut buffer);
    let length = verdict.answer.map_or(0, |answered| answered.length);
    assert!(buffer[length..].iter().all(|byte| *byte == 0x5a), "what is not the answer is untouched");
    buffer.truncate(length);
    (verdict, buffer)
}

fn counter(counters: &Counters, verdict: &Verdict) -> u64 {
    match verdict.answer {
        Err(reason) => counters.dropped(reason),
        Ok(answered) => match answered.kind {
            Kind::Arp => counters.arp,
            Kind::Ndp => counters.ndp,
            Kind::Echo => counters.echo,
        },
    }
}

/// Whether a frame for this address is answered here, and if not, why.
fn held<'a>(view: &'a View, address: &IpAddr) -> Result<&'a Held, Drop> {
    match view.get(address) {
        None => Err(Drop::ForeignTarget),
        Some(held) if held.at.contains(&PORT.index) => Ok(held),
        Some(_) => Err(Drop::OtherInterface),
    }
}

/// The advertisement that RFC 4861 section 7.2.4 and RFC 4862 section 5.4.3 have for a solicitation.
fn advertisement(asked: &Solicitation) -> Advertisement {
    let is_probe = asked.source_ip.is_unspecified();
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    Advertisement {
        destination: if is_probe {
            multicast_mac(all_nodes)
        } else {
            asked.source_mac.unwrap_or(asked.source)
        },
        source: PORT.mac,
        source_ip: asked.target,
        destination_ip: if is_probe { all_nodes } else { asked.source_ip },
        target: asked.target,
        router: false,
        solicited: !is_probe,
        overrides: true,
        target_mac: Some(PORT.mac),
    }
}

/// The address that a frame claims, and for whom, by RFC 5227 sections 2.1.1 and 2.4 and RFC 4862 sections 5.4.3 and
/// 5.4.4. Our own frames claim nothing.
fn claimed(view: &View, bytes: &[u8]) -> Option<Claim> {
    let (asker, sender, target, mac) = if let Some(arp) = arp::smoltcp_parse(bytes) {
        // A probe is a request (RFC 5227 section 1.1); a reply from nobody says nothing.
        if arp.operation == Operation::Reply && arp.sender_ip.is_unspecified() {
            return None;
        }
        (arp.source, IpAddr::from(arp.sender_ip), IpAddr::from(arp.target_ip), arp.sender_mac)
    } else {
        match ndp::smoltcp_parse(bytes)? {
            NdpFrame::Solicitation(asked) => {
                let mac = asked.source_mac.unwrap_or(asked.source);
                (asked.source, asked.source_ip.into(), asked.target.into(), mac)
            }
            NdpFrame::Advertisement(told) => {
                let mac = told.target_mac.unwrap_or(told.source);
                (told.source, told.target.into(), told.target.into(), mac)
            }
        }
    };
    let address = if sender.is_unspecified() { target } else { sender };
    let counts = view.get(&address).is_some_and(|held| !sender.is_unspecified() || held.probed);
    let is_own = asker == PORT.mac || mac == PORT.mac;
    let is_probe = sender.is_unspecified();
    (counts && !is_own).then_some(Claim { address, mac, interface: PORT.index, is_probe })
}

proptest! {
    #[test]
    fn every_frame_is_counted_exactly_once_for_what_became_of_it(
        view in any_view(),
        frames in vec((any_bytes(), any::<bool>()), 0..40),
    ) {
        let mut responder = responder(&view);
        for (bytes, first) in frames {
            let port = if first { PORT } else { OTHER_PORT };
            let before = responder.counters().clone();
            let (verdict, _) = answer(&mut responder, port, &bytes);
            for index in [PORT.index, OTHER_PORT.index] {
                let before = before.get(&index).cloned().unwrap_or_default();
                let after = responder.counters().get(&index).cloned().unwrap_or_default();
                let step = u64::from(index == port.index);
                prop_assert_eq!(after.read(), before.read() + step);
                prop_assert_eq!(counter(&after, &verdict), counter(&before, &verdict) + step);
                prop_assert_eq!(after.claims, before.claims + step * u64::from(verdict.claim.is_some()));
            }
        }
    }

    #[test]
    fn an_answer_is_sound_and_goes_to_the_asker_and_only_for_an_address_of_the_interface(
        view in any_view(),
        bytes in any_bytes(),
    ) {
        let (verdict, written) = answer(&mut responder(&view), PORT, &bytes);
        let Ok(answered) = verdict.answer else { return Ok(()) };
        prop_assert!(held(&view, &answered.address).is_ok());
        match answered.kind {
            Kind::Arp => {
                let asked = arp::smoltcp_parse(&bytes).expect("only a sound question is answered");
                let reply = arp::smoltcp_parse(&written).expect("an answer is sound");
                prop_assert_eq!(answered.address, IpAddr::from(asked.target_ip));
                prop_assert_eq!((reply.operation, reply.sender_ip), (Operation::Reply, asked.target_ip));
                prop_assert_eq!((reply.destination, reply.target_ip), (asked.sender_mac, asked.sender_ip));
            }
            Kind::Ndp => {
                let Some(NdpFrame::Solicitation(asked)) = ndp::smoltcp_parse(&bytes) else {
                    panic!("only a sound question is answered");
                };
                prop_assert_eq!(answered.address, IpAddr::from(asked.target));
                prop_assert!(asked.destination_ip.is_multicast() || asked.destination == PORT.mac);
                prop_assert!(asked.source != PORT.mac && asked.source_mac != Some(PORT.mac));
                let expected = NdpFrame::Advertisement(advertisement(&asked));
                prop_assert_eq!(ndp::smoltcp_parse(&written), Some(expected));
            }
            Kind::Echo => {
                let asked = echo::smoltcp_parse(&bytes).expect("only a sound question is answered");
                prop_assert_eq!(answered.address, asked.target);
                prop_assert!(asked.is_request && asked.destination == PORT.mac && asked.source != PORT.mac);
                prop_assert!(view[&asked.target].echo);
                prop_assert_eq!(echo::smoltcp_parse(&written), Some(asked.answer_from(PORT.mac)));
            }
        }
    }

    #[test]
    fn a_solicitation_sent_to_its_group_or_to_us_is_answered_just_where_its_target_is_ours(
        view in any_view(),
        asked in sound_solicitation(),
        is_unicast in any::<bool>(),
    ) {
        let mut asked = Solicitation::multicast(asked.source, asked.source_ip, asked.target);
        if is_unicast && !asked.source_ip.is_unspecified() {
            asked = Solicitation { destination: PORT.mac, destination_ip: asked.target, source_mac: None, ..asked };
        }
        let (verdict, _) = answer(&mut responder(&view), PORT, &asked.to_bytes());
        let expected = if asked.source == PORT.mac {
            Err(Drop::Own)
        } else {
            held(&view, &asked.target.into()).map(|_| Kind::Ndp)
        };
        prop_assert_eq!(verdict.answer.map(|answered| answered.kind), expected);
    }

    #[test]
    fn a_solicitation_by_unicast_and_one_without_the_option_are_answered_to_who_sent_them(
        (source_ip, target) in (host_ip(), host_ip()),
        source_mac in proptest::option::of(Just(CLIENT)),
    ) {
        let asked = Solicitation {
            destination: PORT.mac,
            destination_ip: target,
            source_mac,
            ..Solicitation::multicast(CLIENT, source_ip, target)
        };
        let view = View::from([(asked.target.into(), Held { at: [2].into(), echo: false, probed: false })]);
        let (verdict, written) = answer(&mut responder(&view), PORT, &asked.to_bytes());
        prop_assert_eq!(verdict.answer.map(|answered| answered.kind), Ok(Kind::Ndp));
        let Some(NdpFrame::Advertisement(told)) = ndp::smoltcp_parse(&written) else { panic!("unsound") };
        prop_assert_eq!((told.destination, told.destination_ip), (CLIENT, asked.source_ip));
        prop_assert!(told.solicited && told.overrides);
    }

    #[test]
    fn who_checks_whether_an_address_is_free_is_answered_by_way_of_all_nodes_and_overridden(
        target in host_ip(),
    ) {
        let probe = Solicitation::multicast(CLIENT, Ipv6Addr::UNSPECIFIED, target);
        let view = View::from([(probe.target.into(), Held { at: [2].into(), echo: false, probed: false })]);
        let (verdict, written) = answer(&mut responder(&view), PORT, &probe.to_bytes());
        prop_assert!(verdict.answer.is_ok());
        let Some(NdpFrame::Advertisement(told)) = ndp::smoltcp_parse(&written) else { panic!("unsound") };
        prop_assert_eq!(told.destination_ip, "ff02::1".parse::<Ipv6Addr>().unwrap());
        prop_assert_eq!(told.destination, MacAddr(0x33, 0x33, 0, 0, 0, 1));
        prop_assert_eq!((told.solicited, told.overrides, told.router), (false, true, false));
        prop_assert_eq!((told.target, told.target_mac), (probe.target, Some(PORT.mac)));
    }

    #[test]
    fn an_echo_request_to_us_is_answered_just_where_its_target_is_ours_and_echo_is_wanted(
        view in any_view(),
        request in echo::sound_request(),
        destination in prop_oneof![4 => Just(PORT.mac), 1 => mac()],
    ) {
        let request = echo::Echo { destination, ..request };
        let (verdict, _) = answer(&mut responder(&view), PORT, &echo::smoltcp_emit(&request));
        let expected = match held(&view, &request.target) {
            _ if destination != PORT.mac => Err(Drop::OtherStation),
            _ if request.source == PORT.mac => Err(Drop::Own),
            Ok(held) if held.echo => Ok(Kind::Echo),
            Ok(_) => Err(Drop::NoEcho),
            Err(reason) => Err(reason),
        };
        prop_assert_eq!(verdict.answer.map(|answered| answered.kind), expected);
        prop_assert_eq!(verdict.claim, None);
    }

    #[test]
    fn a_claim_is_told_just_for_frames_whose_sender_or_target_says_so(
        view in any_view(),
        bytes in any_bytes(),
    ) {
        let (verdict, _) = answer(&mut responder(&view), PORT, &bytes);
        prop_assert_eq!(verdict.claim, claimed(&view, &bytes));
    }

    #[test]
    fn who_asks_whether_an_address_is_free_claims_it_just_while_we_ask_that_too(
        target in prop_oneof![
            (1_u32..).prop_map(|ip| Ipv4Addr::from(ip).into()),
            ndp::host_ip().prop_map(IpAddr::from),
        ],
        probed in any::<bool>(),
        at in btree_set(2_u32..4, 0..3),
    ) {
        let view = View::from([(target, Held { at, echo: false, probed })]);
        let probe = match target {
            IpAddr::V4(target) => ArpFrame::request(CLIENT, Ipv4Addr::UNSPECIFIED, target).to_bytes().to_vec(),
            IpAddr::V6(target) => Solicitation::multicast(CLIENT, Ipv6Addr::UNSPECIFIED, target).to_bytes(),
        };
        let claim = Claim { address: target, mac: CLIENT, interface: PORT.index, is_probe: true };
        prop_assert_eq!(answer(&mut responder(&view), PORT, &probe).0.claim, probed.then_some(claim));
    }
}

/// RFC 5227 section 1.1: "The term 'ARP Probe' is used in this document to refer to an ARP Request packet". A reply
/// without a sender is none, and the kernel's filter does not let it through either.
#[test]
fn a_reply_from_nobody_is_no_claim_to_what_it_is_about() {
    let target = Ipv4Addr::new(192, 168, 3, 1);
    let view = View::from([(target.into(), Held { at: [2].into(), echo: false, probed: true })]);
    let probe = ArpFrame::request(CLIENT, Ipv4Addr::UNSPECIFIED, target);
    let reply = ArpFrame { operation: Operation::Reply, ..probe };
    assert!(answer(&mut responder(&view), PORT, &probe.to_bytes()).0.claim.is_some());
    assert_eq!(answer(&mut responder(&view), PORT, &reply.to_bytes()).0.claim, None);
}
