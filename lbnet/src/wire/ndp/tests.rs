use super::*;

const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x64);
const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x0b);
const CLIENT_IP: Ipv6Addr = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, 0x64);
const VIP: Ipv6Addr = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 1, 0x253);

/// A solicitation as a Linux host sends it by multicast.
const SOLICITATION: [u8; NDP_FRAME_LEN] = [
    0x33, 0x33, 0xff, 0x01, 0x02, 0x53, 0x02, 0x00, 0x00, 0x00, 0x00, 0x64, 0x86, 0xdd, // Ethernet
    0x60, 0, 0, 0, 0, 32, 58, 255, // IPv6: 32 bytes of ICMPv6, hop limit 255
    0xfd, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x64, // from fd00:3::64
    0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x01, 0x02, 0x53, // to ff02::1:ff01:253
    135, 0, 0x78, 0x27, 0, 0, 0, 0, // solicitation, checksum
    0xfd, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x02, 0x53, // target fd00:3::1:253
    1, 1, 0x02, 0x00, 0x00, 0x00, 0x00, 0x64, // source link-layer address
];
const ADVERTISEMENT: [u8; NDP_FRAME_LEN] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x64, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x86, 0xdd, // Ethernet
    0x60, 0, 0, 0, 0, 32, 58, 255, // IPv6: 32 bytes of ICMPv6, hop limit 255
    0xfd, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x02, 0x53, // from fd00:3::1:253
    0xfd, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x64, // to fd00:3::64
    136, 0, 0x17, 0x81, 0x60, 0, 0, 0, // advertisement, checksum, solicited and override
    0xfd, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x02, 0x53, // target fd00:3::1:253
    2, 1, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, // target link-layer address
];

fn solicitation() -> Solicitation {
    Solicitation::multicast(CLIENT, CLIENT_IP, VIP)
}

/// The frame with these bytes at `offset`, and its checksum made right again.
fn with(frame: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    let ip = Ipv6Packet::new(&frame[ETHERNET_LEN..]).expect("long enough");
    let (source, destination) = (ip.get_source(), ip.get_destination());
    let message = &mut frame[MESSAGE..];
    message[CHECKSUM].fill(0);
    let sum = icmpv6_checksum(message, source, destination);
    message[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn literal_frames_are_parsed() {
    assert_eq!(NdpFrame::parse(&SOLICITATION), Ok(NdpFrame::Solicitation(solicitation())));
    let answer = solicitation().answer_from(NODE);
    assert_eq!(NdpFrame::parse(&ADVERTISEMENT), Ok(NdpFrame::Advertisement(answer)));
    let padded: Vec<u8> = SOLICITATION.iter().copied().chain([0xee; 18]).collect();
    assert_eq!(NdpFrame::parse(&padded), Ok(NdpFrame::Solicitation(solicitation())));
}

#[test]
fn literal_frames_are_written_over_every_byte() {
    let mut bytes = [0xa5; NDP_FRAME_LEN];
    assert_eq!(solicitation().emit(&mut bytes), NDP_FRAME_LEN);
    assert_eq!(bytes, SOLICITATION);
    let mut bytes = [0xa5; NDP_FRAME_LEN];
    assert_eq!(solicitation().answer_from(NODE).emit(&mut bytes), NDP_FRAME_LEN);
    assert_eq!(bytes, ADVERTISEMENT);
}

#[test]
fn a_check_whether_an_address_is_free_is_answered_to_everybody_and_is_not_solicited() {
    let check = Solicitation::multicast(CLIENT, Ipv6Addr::UNSPECIFIED, VIP);
    assert_eq!(check.to_bytes().len(), NDP_FRAME_LEN - 8);
    assert_eq!(NdpFrame::parse(&check.to_bytes()), Ok(NdpFrame::Solicitation(check)));
    let answer = check.answer_from(NODE);
    assert_eq!(answer, Advertisement::unsolicited(NODE, VIP));
    assert_eq!(answer.destination, MacAddr(0x33, 0x33, 0, 0, 0, 1));
    assert_eq!(answer.destination_ip, "ff02::1".parse::<Ipv6Addr>().unwrap());
    assert!(!answer.solicited && answer.overrides && !answer.router);
}

#[test]
fn without_the_option_the_answer_goes_back_to_the_station_that_asked() {
    let asked = Solicitation { source_mac: None, ..solicitation() };
    let answer = asked.answer_from(NODE);
    assert_eq!((answer.destination, answer.destination_ip), (CLIENT, CLIENT_IP));
    assert!(answer.solicited && answer.overrides);
    let other = MacAddr(2, 0, 0, 0, 0, 0x99);
    let asked = Solicitation { source_mac: Some(other), ..solicitation() };
    assert_eq!(asked.answer_from(NODE).destination, other);
}

#[test]
fn unsound_frames_are_refused_with_the_reason() {
    let ns = |offset: usize, bytes: &[u8]| NdpFrame::parse(&with(&SOLICITATION, offset, bytes));
    let na = |offset: usize, bytes: &[u8]| NdpFrame::parse(&with(&ADVERTISEMENT, offset, bytes));
    for length in 0..NDP_FRAME_LEN {
        assert_eq!(NdpFrame::parse(&SOLICITATION[..length]), Err(Malformed::Truncated), "{length}");
    }
    let long: Vec<u8> = SOLICITATION.iter().copied().chain([0; LONGEST_NDP_FRAME]).collect();
    assert_eq!(NdpFrame::parse(&long), Err(Malformed::TooLong));
    assert_eq!(ns(6, &[1]), Err(Malformed::Sender));
    assert_eq!(ns(12, &[0x81, 0]), Err(Malformed::EtherType));
    assert_eq!(ns(14, &[0x40]), Err(Malformed::Protocol));
    assert_eq!(ns(18, &[0, 23]), Err(Malformed::Truncated));
    assert_eq!(ns(18, &[0, 33]), Err(Malformed::Truncated));
    assert_eq!(ns(20, &[6]), Err(Malformed::Protocol));
    assert_eq!(ns(21, &[254]), Err(Malformed::HopLimit));
    assert_eq!(ns(54, &[133]), Err(Malformed::Protocol));
    assert_eq!(ns(55, &[1]), Err(Malformed::Code));
    assert_eq!(ns(62, &[0xff]), Err(Malformed::Address), "the target is a group");
    assert_eq!(ns(79, &[0]), Err(Malformed::Options), "an option of length zero");
    assert_eq!(ns(79, &[2]), Err(Malformed::Options), "an option that is cut off");
    assert_eq!(ns(79, &[32]), Err(Malformed::Options), "an option that is cut off");
    assert_eq!(ns(80, &[0xff]), Err(Malformed::Sender));
    assert_eq!(ns(22, &[0; 16]), Err(Malformed::Options), "a check with the option");
    assert_eq!(na(22, &[0; 16]), Err(Malformed::Address), "an answer from nobody");
    assert_eq!(na(38, &ALL_NODES.octets()), Err(Malformed::Address), "solicited by everybody");
    let mut wrong = SOLICITATION;
    wrong[57] ^= 1;
    assert_eq!(NdpFrame::parse(&wrong), Err(Malformed::Checksum));
    let mut check = Solicitation::multicast(CLIENT, Ipv6Addr::UNSPECIFIED, VIP);
    check.destination_ip = VIP;
    assert_eq!(NdpFrame::parse(&check.to_bytes()), Err(Malformed::Address));
}

#[test]
fn groups_are_those_of_the_standards() {
    let vip: Ipv6Addr = "2001:db8::1:800:200e:8c6c".parse().unwrap();
    let group = solicited_node(vip);
    assert_eq!(group, "ff02::1:ff0e:8c6c".parse::<Ipv6Addr>().unwrap());
    assert_eq!(multicast_mac(group), MacAddr(0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c));
}
