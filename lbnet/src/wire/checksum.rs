//! The Internet checksum (RFC 1071) of ICMPv6 messages.
//!
//! The library's function adds 16 bits at a time, which took a third of the time of an answer to a neighbour solicitation.

use std::net::Ipv6Addr;

/// The next header of ICMPv6 (RFC 4443 section 1).
const ICMPV6: u64 = 58;

/// The checksum of a message and of its pseudo-header (RFC 4443 section 2.3, RFC 8200 section 8.1).
///
/// Of a message whose checksum field is zero it is what belongs there; of a sound message it is zero.
pub(super) fn icmpv6_checksum(message: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> u16 {
    // RFC 1071 section 2 (B) and (C): 32 bits at a time, folded at the end, come to the same. A message is far shorter than
    // the 2^32 words that would overflow 64 bits.
    let (words, rest) = message.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let (source, destination) = (source.octets(), destination.octets());
    let pseudo_header = source.as_chunks::<4>().0.iter().chain(destination.as_chunks::<4>().0);
    let words = words.iter().chain([&last]).chain(pseudo_header);
    let length = u64::try_from(message.len()).unwrap_or(u64::MAX >> 32);
    let mut sum: u64 = words.map(|word| u64::from(u32::from_be_bytes(*word))).sum::<u64>() + ICMPV6 + length;
    while sum > u64::from(u16::MAX) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // It fits now; the complement of it is the checksum.
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use pnet_packet::ip::IpNextHeaderProtocols;
    use pnet_packet::util::ipv6_checksum;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_checksum_of_any_message_is_that_of_the_library(
            message in prop::collection::vec(any::<u8>(), 0..200), source: u128, destination: u128
        ) {
            let (source, destination) = (Ipv6Addr::from_bits(source), Ipv6Addr::from_bits(destination));
            // It leaves out no word.
            let theirs = ipv6_checksum(&message, usize::MAX, &[], &source, &destination, IpNextHeaderProtocols::Icmpv6);
            prop_assert_eq!(icmpv6_checksum(&message, source, destination), theirs);
        }
    }

    #[test]
    fn a_message_with_its_checksum_sums_to_zero() {
        let (source, destination) = (Ipv6Addr::LOCALHOST, Ipv6Addr::from_bits(0xff02 << 112 | 1));
        // Type, code, checksum, and an odd number of bytes.
        let mut message = vec![135, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 7];
        let sum = icmpv6_checksum(&message, source, destination);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(icmpv6_checksum(&message, source, destination), 0);
        message[8] ^= 1;
        assert_ne!(icmpv6_checksum(&message, source, destination), 0);
    }
}
