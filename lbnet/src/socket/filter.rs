//! What the kernel lets through to us, as classic BPF programs.

use socket2::SockFilter;

/// The Ethernet type of ARP.
pub(super) const ETH_P_ARP: u16 = 0x0806;

// Operations of classic BPF (linux/bpf_common.h).
const LD_W_ABS: u16 = 0x20;
const LD_H_ABS: u16 = 0x28;
const LD_B_ABS: u16 = 0x30;
const LD_W_LEN: u16 = 0x80;
const JEQ_K: u16 = 0x15;
const JGE_K: u16 = 0x35;
const RET_K: u16 = 0x06;
/// How the frame came to the host (`SKF_AD_OFF + SKF_AD_PKTTYPE`, linux/filter.h).
const PKTTYPE: u32 = 0xffff_f004;
const PACKET_MULTICAST: u32 = 2;

/// Which ARP frames a socket hears. All must be addressed to this station or to everybody. That leaves out
/// frames of a VLAN without an interface here: the kernel has removed their tag by now, and that it takes them
/// for those of another host (`PACKET_OTHERHOST`) is the only trace of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hear {
    /// Requests: what a responder needs.
    Requests,
    /// Requests and replies: what somebody who asks needs.
    Everything,
}

impl Hear {
    pub(super) fn program(self) -> &'static [SockFilter] {
        match self {
            Self::Requests => &REQUESTS,
            Self::Everything => &EVERYTHING,
        }
    }
}

/// ARP for IPv4 over Ethernet, requests only.
const REQUESTS: [SockFilter; 12] = [
    SockFilter::new(LD_B_ABS, 0, 0, PKTTYPE),
    SockFilter::new(JGE_K, 9, 0, PACKET_MULTICAST),
    SockFilter::new(LD_W_LEN, 0, 0, 0),
    SockFilter::new(JGE_K, 0, 7, 42),
    SockFilter::new(LD_H_ABS, 0, 0, 12),
    SockFilter::new(JEQ_K, 0, 5, ETH_P_ARP as u32),
    SockFilter::new(LD_W_ABS, 0, 0, 14),
    SockFilter::new(JEQ_K, 0, 3, 0x0001_0800), // hardware type Ethernet, protocol type IPv4
    SockFilter::new(LD_W_ABS, 0, 0, 18),
    SockFilter::new(JEQ_K, 0, 1, 0x0604_0001), // lengths 6 and 4, operation request
    SockFilter::new(RET_K, 0, 0, 0xffff),
    SockFilter::new(RET_K, 0, 0, 0),
];

/// Any ARP.
const EVERYTHING: [SockFilter; 6] = [
    SockFilter::new(LD_B_ABS, 0, 0, PKTTYPE),
    SockFilter::new(JGE_K, 3, 0, PACKET_MULTICAST),
    SockFilter::new(LD_H_ABS, 0, 0, 12),
    SockFilter::new(JEQ_K, 0, 1, ETH_P_ARP as u32),
    SockFilter::new(RET_K, 0, 0, 0xffff),
    SockFilter::new(RET_K, 0, 0, 0),
];
