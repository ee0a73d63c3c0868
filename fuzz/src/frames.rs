//! Frames as seeds have them, and what is asked of smoltcp about them.

use smoltcp::wire::{EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, Ipv4Packet, Ipv6Packet};

/// The frames that an input stands for: the bytes that it has as hexadecimal digits, and the same with right
/// checksums, which a fuzzer does not find by itself.
///
/// Whatever is no digit is passed over, so that every input is a frame; `#` begins a comment.
pub(crate) fn frames(data: &[u8]) -> [Vec<u8>; 2] {
    let bytes = bytes(data);
    let mut mended = bytes.clone();
    mend(&mut mended);
    [bytes, mended]
}

fn bytes(data: &[u8]) -> Vec<u8> {
    let code = data.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b'#').next());
    let digits = code.flatten().filter_map(|digit| char::from(*digit).to_digit(16));
    let digits: Vec<u8> = digits.map(|digit| u8::try_from(digit).expect("less than 16")).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn mend(bytes: &mut [u8]) {
    let Ok(mut frame) = EthernetFrame::new_checked(bytes) else { return };
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let Ok(mut ip) = Ipv4Packet::new_checked(frame.payload_mut()) else { return };
            ip.fill_checksum();
            if let Ok(mut icmp) = Icmpv4Packet::new_checked(ip.payload_mut()) {
                icmp.fill_checksum();
            }
        }
        EthernetProtocol::Ipv6 => {
            let Ok(mut ip) = Ipv6Packet::new_checked(frame.payload_mut()) else { return };
            let (source, destination) = (ip.src_addr(), ip.dst_addr());
            if let Ok(mut icmp) = Icmpv6Packet::new_checked(ip.payload_mut()) {
                icmp.fill_checksum(&source, &destination);
            }
        }
        _ => {}
    }
}
