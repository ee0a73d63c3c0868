use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::wire::Advertisement;

const PORT: Port = Port { index: 2, mac: MacAddr(2, 0, 0, 0, 0, 0x0b) };
const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x64);
const CLIENT_IP: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 100);
const CLIENT_IP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, 0x64);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 253);
const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, 0x253);

fn responder() -> Responder {
    let mut responder = Responder::default();
    for address in [IpAddr::from(VIP), IpAddr::from(VIP6)] {
        responder.set(address, BTreeSet::from([PORT.index]));
    }
    responder
}

fn verdict(port: Port, frame: &[u8]) -> (Verdict, Vec<u8>) {
    let mut buffer = [0; 200];
    let verdict = responder().answer(Instant::now(), port, frame, &mut buffer);
    let length = verdict.answer.map_or(0, |answered| answered.length);
    (verdict, buffer[..length].to_vec())
}

fn arp_answer(port: Port, frame: &ArpFrame) -> Result<ArpFrame, Drop> {
    let (verdict, answer) = verdict(port, &frame.to_bytes());
    verdict.answer.map(|_| ArpFrame::parse(&answer).expect("answers are sound"))
}

fn ndp_answer(port: Port, asked: &Solicitation) -> Result<Advertisement, Drop> {
    let (verdict, answer) = verdict(port, &asked.to_bytes());
    verdict.answer.map(|_| match NdpFrame::parse(&answer) {
        Ok(NdpFrame::Advertisement(answer)) => answer,
        other => panic!("{other:?}"),
    })
}

fn claimed(frame: &[u8]) -> Option<Claim> {
    verdict(PORT, frame).0.claim
}

#[test]
fn every_kind_of_arp_question_for_our_address_is_answered() {
    let broadcast = ArpFrame::request(CLIENT, CLIENT_IP, VIP);
    let unicast = ArpFrame { destination: PORT.mac, ..broadcast };
    let probe = ArpFrame::request(CLIENT, Ipv4Addr::UNSPECIFIED, VIP);
    let announcement = ArpFrame::gratuitous(Operation::Request, CLIENT, VIP);
    for question in [broadcast, unicast, probe, announcement] {
        let reply = arp_answer(PORT, &question).expect("ours");
        assert_eq!((reply.operation, reply.sender_mac, reply.sender_ip), (Operation::Reply, PORT.mac, VIP));
        assert_eq!(
            (reply.destination, reply.target_mac, reply.target_ip),
            (CLIENT, CLIENT, question.sender_ip)
        );
    }
}

#[test]
fn every_kind_of_solicitation_for_our_address_is_answered() {
    let multicast = Solicitation::multicast(CLIENT, CLIENT_IP6, VIP6);
    let unicast = Solicitation { destination: PORT.mac, destination_ip: VIP6, ..multicast };
    let without_option = Solicitation { source_mac: None, ..unicast };
    for question in [multicast, unicast, without_option] {
        let answer = ndp_answer(PORT, &question).expect("ours");
        assert_eq!((answer.destination, answer.destination_ip), (CLIENT, CLIENT_IP6));
        assert_eq!((answer.target, answer.target_mac), (VIP6, Some(PORT.mac)));
        assert!(answer.solicited && answer.overrides && !answer.router);
    }
    let probe = Solicitation::multicast(CLIENT, Ipv6Addr::UNSPECIFIED, VIP6);
    assert_eq!(ndp_answer(PORT, &probe), Ok(Advertisement::unsolicited(PORT.mac, VIP6)));
}

#[test]
fn everything_else_is_dropped_with_its_reason() {
    let question = ArpFrame::request(CLIENT, CLIENT_IP, VIP);
    let other_station = MacAddr(2, 0, 0, 0, 0, 0x0c);
    for (port, frame, reason) in [
        (PORT, ArpFrame { operation: Operation::Reply, ..question }, Drop::NotRequest),
        (PORT, ArpFrame { destination: other_station, ..question }, Drop::OtherStation),
        (PORT, ArpFrame::gratuitous(Operation::Request, PORT.mac, VIP), Drop::Own),
        (PORT, ArpFrame { target_ip: CLIENT_IP, ..question }, Drop::ForeignTarget),
        (Port { index: 3, ..PORT }, question, Drop::OtherInterface),
        (PORT, ArpFrame { sender_mac: MacAddr::zero(), ..question }, Malformed::Sender.into()),
    ] {
        assert_eq!(arp_answer(port, &frame), Err(reason), "{frame:?}");
    }
    let asked = Solicitation::multicast(CLIENT, CLIENT_IP6, VIP6);
    let unicast = Solicitation { destination_ip: VIP6, ..asked };
    for (port, asked, reason) in [
        (PORT, Solicitation { destination: other_station, ..unicast }, Drop::OtherStation),
        (PORT, Solicitation { source: PORT.mac, ..asked }, Drop::Own),
        (PORT, Solicitation { source_mac: Some(PORT.mac), ..asked }, Drop::Own),
        (PORT, Solicitation::multicast(CLIENT, CLIENT_IP6, CLIENT_IP6), Drop::ForeignTarget),
        (Port { index: 3, ..PORT }, asked, Drop::OtherInterface),
        (PORT, Solicitation { target: "ff02::1".parse().unwrap(), ..asked }, Malformed::Address.into()),
    ] {
        assert_eq!(ndp_answer(port, &asked), Err(reason), "{asked:?}");
    }
    for (frame, why) in [(&[0; 13][..], Malformed::Truncated), (&[0; 60][..], Malformed::EtherType)] {
        assert_eq!(verdict(PORT, frame).0, Verdict { answer: Err(why.into()), claim: None });
    }
}

#[test]
fn whoever_else_says_that_an_address_of_ours_is_his_is_told_of() {
    let claim = |address| Some(Claim { address, mac: CLIENT, interface: PORT.index, is_probe: false });
    let four = [
        ArpFrame::gratuitous(Operation::Request, CLIENT, VIP),
        ArpFrame::gratuitous(Operation::Reply, CLIENT, VIP),
        ArpFrame::request(CLIENT, VIP, CLIENT_IP),
    ];
    for frame in four {
        assert_eq!(claimed(&frame.to_bytes()), claim(VIP.into()), "{frame:?}");
    }
    let told = Advertisement::unsolicited(CLIENT, VIP6);
    for frame in [told, told.told_to(PORT.mac, CLIENT_IP6), Advertisement { target_mac: None, ..told }] {
        assert_eq!(claimed(&frame.to_bytes()), claim(VIP6.into()), "{frame:?}");
    }
    let asks = Solicitation::multicast(CLIENT, VIP6, CLIENT_IP6);
    assert_eq!(claimed(&asks.to_bytes()), claim(VIP6.into()));

    for frame in [
        ArpFrame::request(CLIENT, CLIENT_IP, VIP),
        ArpFrame::request(CLIENT, Ipv4Addr::UNSPECIFIED, VIP),
        ArpFrame::gratuitous(Operation::Reply, CLIENT, CLIENT_IP),
        ArpFrame::gratuitous(Operation::Reply, PORT.mac, VIP),
    ] {
        assert_eq!(claimed(&frame.to_bytes()), None, "{frame:?}");
    }
    let probe = Solicitation::multicast(CLIENT, Ipv6Addr::UNSPECIFIED, VIP6);
    assert_eq!(claimed(&probe.to_bytes()), None);
    assert_eq!(claimed(&Advertisement::unsolicited(PORT.mac, VIP6).to_bytes()), None);
}

#[test]
fn whoever_probes_an_address_that_is_being_probed_has_a_claim_to_it() {
    let (now, mut responder, mut buffer) = (Instant::now(), responder(), [0; ANSWER_LEN]);
    let probes = [
        (IpAddr::from(VIP), ArpFrame::request(CLIENT, Ipv4Addr::UNSPECIFIED, VIP).to_bytes().to_vec()),
        (IpAddr::from(VIP6), Solicitation::multicast(CLIENT, Ipv6Addr::UNSPECIFIED, VIP6).to_bytes()),
    ];
    for (address, frame) in probes {
        responder.set(address, BTreeSet::new());
        responder.set_probed(address, true);
        let verdict = responder.answer(now, PORT, &frame, &mut buffer);
        assert_eq!(verdict.answer, Err(Drop::OtherInterface), "it is not answered yet");
        let claim = Claim { address, mac: CLIENT, interface: PORT.index, is_probe: true };
        assert_eq!(verdict.claim, Some(claim));
        responder.set_probed(address, false);
        assert_eq!(responder.answer(now, PORT, &frame, &mut buffer).claim, None);
    }
}

#[test]
fn each_decision_is_counted_where_the_frame_came_in() {
    let (now, mut responder, mut buffer) = (Instant::now(), responder(), [0; ANSWER_LEN]);
    let question = ArpFrame::request(CLIENT, CLIENT_IP, VIP).to_bytes();
    let asked = Solicitation::multicast(CLIENT, CLIENT_IP6, VIP6).to_bytes();
    responder.answer(now, PORT, &question, &mut buffer);
    responder.answer(now, PORT, &asked, &mut buffer);
    responder.answer(now, PORT, &question[..20], &mut buffer);
    responder.answer(now, Port { index: 3, ..PORT }, &question, &mut buffer);
    responder.remove(VIP.into());
    responder.answer(now, PORT, &question, &mut buffer);
    let here = &responder.counters()[&PORT.index];
    assert_eq!((here.arp, here.ndp, here.echo, here.answered(), here.read()), (1, 1, 0, 2, 4));
    assert_eq!(here.dropped, BTreeMap::from([(Malformed::Truncated.into(), 1), (Drop::ForeignTarget, 1)]));
    assert_eq!(responder.counters()[&3].dropped, BTreeMap::from([(Drop::OtherInterface, 1)]));
}

#[test]
fn those_who_were_answered_are_remembered() {
    let (now, mut responder, mut buffer) = (Instant::now(), responder(), [0; ANSWER_LEN]);
    let probe = ArpFrame::request(CLIENT, Ipv4Addr::UNSPECIFIED, VIP);
    responder.answer(now, PORT, &probe.to_bytes(), &mut buffer);
    assert_eq!(responder.last_asked(VIP.into(), PORT.index), None, "a probe");
    let question = ArpFrame::request(CLIENT, CLIENT_IP, VIP);
    responder.answer(now, PORT, &question.to_bytes(), &mut buffer);
    assert_eq!(responder.last_asked(VIP.into(), PORT.index), Some(now));
    let known: Vec<&Asker> = responder.askers(VIP.into(), PORT.index).collect();
    assert_eq!(known, [&Asker { interface: PORT.index, mac: CLIENT, ip: CLIENT_IP.into(), at: now }]);
    assert_eq!(responder.askers(VIP.into(), 3).count(), 0);
}

/// An echo request by ICMP as `ping` writes it, without data.
fn echo(destination: MacAddr) -> Vec<u8> {
    let mut frame =
        [&destination.octets()[..], &CLIENT.octets(), &[8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0]]
            .concat();
    frame.extend([CLIENT_IP.octets(), VIP.octets()].concat());
    let sum = pnet_packet::util::checksum(&frame[14..], 5);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend([8, 0, 0xf7, 0xfd, 0, 1, 0, 1]);
    frame
}

#[test]
fn ping_is_answered_only_where_that_is_wanted() {
    let (now, mut responder, mut buffer) = (Instant::now(), responder(), [0; ANSWER_LEN]);
    let mut ping = |responder: &mut Responder, frame: &[u8]| {
        responder.answer(now, PORT, frame, &mut buffer).answer.map(|answered| answered.kind)
    };
    assert_eq!(ping(&mut responder, &echo(PORT.mac)), Err(Drop::NoEcho));
    responder.set_echo(VIP.into(), true);
    assert_eq!(ping(&mut responder, &echo(PORT.mac)), Ok(Kind::Echo));
    assert_eq!(ping(&mut responder, &echo(MacAddr::broadcast())), Err(Drop::OtherStation));
    responder.set(VIP.into(), BTreeSet::new());
    assert_eq!(ping(&mut responder, &echo(PORT.mac)), Err(Drop::OtherInterface));
    assert_eq!(responder.counters()[&PORT.index].echo, 1);
}

#[test]
fn as_long_as_an_address_may_be_somebody_elses_an_answer_replaces_nothing_that_is_known() {
    let mut responder = Responder::default();
    responder.set(VIP6.into(), [PORT.index].into());
    for tentative in [true, false] {
        responder.set_tentative(VIP6.into(), tentative);
        let question = Solicitation::multicast(CLIENT, CLIENT_IP6, VIP6);
        let mut buffer = [0; ANSWER_LEN];
        let verdict = responder.answer(Instant::now(), PORT, &question.to_bytes(), &mut buffer);
        let length = verdict.answer.expect("ours").length;
        let Ok(NdpFrame::Advertisement(answer)) = NdpFrame::parse(&buffer[..length]) else {
            panic!("no answer")
        };
        assert_eq!(answer.overrides, !tentative);
    }
}
