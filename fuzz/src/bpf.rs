//! A machine for classic BPF, as far as `lbnet` uses it (`linux/bpf_common.h`, `linux/filter.h`).

use lbnet::filter::Filter;

/// How a frame came to the host (`linux/if_packet.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    Here = 0,
    Broadcast = 1,
    Multicast = 2,
    Elsewhere = 3,
}

impl Came {
    /// By the Ethernet destination, as `eth_type_trans` of Linux has it for a station with `mac`.
    pub(crate) fn by(destination: &[u8], mac: &[u8]) -> Self {
        match destination {
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => Self::Broadcast,
            [first, ..] if first & 1 == 1 => Self::Multicast,
            _ if destination == mac => Self::Here,
            _ => Self::Elsewhere,
        }
    }
}

/// Whether the filter lets the frame through, whole.
pub(crate) fn passes(filter: &Filter, frame: &[u8], came: Came) -> bool {
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let instruction = filter.program()[at];
        let k = instruction.k;
        at += 1;
        let jump = |holds: bool| usize::from(if holds { instruction.yes } else { instruction.no });
        match instruction.code {
            0x06 => return k as usize >= frame.len(),
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x80 => accumulator = u32::try_from(frame.len()).expect("inputs are short"),
            // SKF_AD_OFF + SKF_AD_PKTTYPE
            0x30 if k == 0xffff_f004 => accumulator = came as u32,
            code @ (0x20 | 0x28 | 0x30) => {
                let width = [4, 2, 1][usize::from((code - 0x20) / 8)];
                // A load from beyond the frame ends the program, and nothing is let through.
                let Some(field) = frame.get(k as usize..k as usize + width) else { return false };
                accumulator = field.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
            }
            code => panic!("no such instruction: {code:#x}"),
        }
    }
}
