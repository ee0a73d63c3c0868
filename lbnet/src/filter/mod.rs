//! What the kernel lets through to us, as classic BPF programs.
//!
//! A frame that cannot be a question for one of our addresses, nor another station's claim to one, never wakes the
//! process. As long as the addresses fit into a program they are all in it; beyond that the smallest gaps between
//! them are closed until it fits, so that a few foreign questions come through and are dropped by the responder.
//!
//! A frame of a VLAN that has no interface here comes with its tag removed. That the kernel takes it for a frame to
//! another host (`PACKET_OTHERHOST`) is the only trace of it, and every program begins with that.

mod bpf;
mod targets;

use std::net::IpAddr;

pub use self::bpf::Instruction;
use self::bpf::{
    ACCEPT, JEQ, JGE, LD_B, LD_H, LD_LEN, LD_W, LONGEST, PKTTYPE, REJECT, if_equal, load, unless,
};
pub use self::targets::Targets;

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// ARP.
    Arp,
    /// Neighbour discovery, and echo by ICMPv6.
    Ipv6,
    /// Echo by ICMP.
    Ipv4,
}

impl Protocol {
    /// Its Ethernet type.
    #[must_use]
    pub fn ethertype(self) -> u16 {
        match self {
            Self::Arp => 0x0806,
            Self::Ipv6 => 0x86dd,
            Self::Ipv4 => 0x0800,
        }
    }
}

/// A program for one socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    program: Vec<Instruction>,
    exact: bool,
}

// linux/if_packet.h
const PACKET_BROADCAST: u32 = 1;
const PACKET_MULTICAST: u32 = 2;
const PACKET_OTHERHOST: u32 = 3;
// Where the fields are, from the beginning of the Ethernet header.
const ETHERTYPE: u32 = 12;
const ARP_TYPES: u32 = 14;
const ARP_OPERATION: u32 = 18;
const ARP_SENDER: u32 = 28;
const ARP_TARGET: u32 = 38;
const IPV4_PROTOCOL: u32 = 23;
const IPV4_DESTINATION: u32 = 30;
const ICMP_TYPE: u32 = 34;
const IPV6_NEXT_HEADER: u32 = 20;
const IPV6_HOP_LIMIT: u32 = 21;
const IPV6_SOURCE: u32 = 22;
const IPV6_DESTINATION: u32 = 38;
const ICMPV6_TYPE: u32 = 54;
const NDP_TARGET: u32 = 62;
// What is in them.
const ARP_REQUEST: u32 = 0x0604_0001; // lengths 6 and 4, request
const ARP_REPLY: u32 = 0x0604_0002;
const ICMP: u32 = 1;
const ICMPV6: u32 = 58;
const ECHO_REQUEST4: u32 = 8;
const ECHO_REQUEST6: u32 = 128;
const SOLICITATION: u32 = 135;
const ADVERTISEMENT: u32 = 136;

impl Filter {
    /// Lets all through that is a question or a claim for any address: for the moment in which an address is new,
    /// and for those who ask.
    #[must_use]
    pub fn open(protocol: Protocol) -> Self {
        let mut program = head(protocol);
        match protocol {
            Protocol::Arp | Protocol::Ipv4 => {}
            Protocol::Ipv6 => {
                program.extend(load(LD_B, ICMPV6_TYPE));
                for kind in [ECHO_REQUEST6, SOLICITATION, ADVERTISEMENT] {
                    program.extend(if_equal(kind, vec![ACCEPT]));
                }
                program.push(REJECT);
            }
        }
        program.push(ACCEPT);
        Self { program, exact: false }
    }

    /// Lets everything through that a socket is opened for.
    #[must_use]
    pub fn everything() -> Self {
        Self { program: vec![ACCEPT], exact: false }
    }

    /// Lets through what asks for one of these addresses or claims it, in a program of `longest` instructions at
    /// most; with `echo` for the echo requests to them too. Addresses of the other family are passed over.
    #[must_use]
    pub fn narrow<'a>(
        protocol: Protocol,
        addresses: impl IntoIterator<Item = &'a IpAddr>,
        echo: bool,
        longest: usize,
    ) -> Self {
        let v6 = protocol == Protocol::Ipv6;
        let longest = longest.min(LONGEST);
        let targets = Targets::new(addresses.into_iter().filter(|address| address.is_ipv6() == v6).copied());
        let fits = |targets: &Targets| narrow(protocol, targets, echo).len() <= longest;
        // Not even one interval fits into a program that is shorter than any.
        let Some(widened) = targets.widened_until(fits) else { return Self::open(protocol) };
        Self { program: narrow(protocol, &widened, echo), exact: widened == targets }
    }

    /// Whether it lets through nothing but what is for the addresses it was made for.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// The instructions.
    #[must_use]
    pub fn program(&self) -> &[Instruction] {
        &self.program
    }
}

/// Frames to this station or to everybody, of the right kind and length. What passes goes on after it.
fn head(protocol: Protocol) -> Vec<Instruction> {
    let (too_far, shortest) = match protocol {
        Protocol::Arp => (PACKET_MULTICAST, 42),
        // Neighbour discovery is multicast; an echo for us is not, and the responder looks at that.
        Protocol::Ipv6 => (PACKET_OTHERHOST, 62),
        Protocol::Ipv4 => (PACKET_BROADCAST, 42),
    };
    let mut program = load(LD_B, PKTTYPE).to_vec();
    program.extend(unless_reject(JGE, too_far, false));
    program.extend(load(LD_LEN, 0));
    program.extend(unless_reject(JGE, shortest, true));
    program.extend(load(LD_H, ETHERTYPE));
    program.extend(unless_reject(JEQ, protocol.ethertype().into(), true));
    match protocol {
        Protocol::Arp => {
            program.extend(load(LD_W, ARP_TYPES));
            program.extend(unless_reject(JEQ, 0x0001_0800, true)); // Ethernet, IPv4
            program.extend(load(LD_W, ARP_OPERATION));
            // A request or a reply: with its last two bits as 1 or 2.
            program.extend(unless(JEQ, ARP_REPLY, unless_reject(JEQ, ARP_REQUEST, true).to_vec()));
        }
        Protocol::Ipv6 => {
            program.extend(load(LD_B, IPV6_NEXT_HEADER));
            program.extend(unless_reject(JEQ, ICMPV6, true));
        }
        Protocol::Ipv4 => {
            program.extend(load(LD_B, IPV4_PROTOCOL));
            program.extend(unless_reject(JEQ, ICMP, true));
        }
    }
    program
}

/// Rejects the frame unless the comparison comes out as said.
fn unless_reject(comparison: u16, with: u32, is: bool) -> [Instruction; 2] {
    let (yes, no) = if is { (1, 0) } else { (0, 1) };
    [Instruction { code: comparison, yes, no, k: with }, REJECT]
}

fn narrow(protocol: Protocol, targets: &Targets, echo: bool) -> Vec<Instruction> {
    let mut program = head(protocol);
    match protocol {
        Protocol::Arp => {
            // The sender of any ARP frame claims its address; the target of a request is asked for.
            let asked = targets.test(ARP_TARGET);
            program.extend(load(LD_W, ARP_OPERATION));
            program.extend(if_equal(ARP_REQUEST, asked));
            program.extend(targets.test(ARP_SENDER));
        }
        Protocol::Ipv6 => {
            if echo {
                program.extend(load(LD_B, ICMPV6_TYPE));
                program.extend(if_equal(ECHO_REQUEST6, targets.test(IPV6_DESTINATION)));
            }
            program.extend(load(LD_B, IPV6_HOP_LIMIT));
            program.extend(unless_reject(JEQ, 255, true));
            // The source of a solicitation claims its address, as does the target of an advertisement; the target of
            // a solicitation is asked for.
            program.extend(load(LD_B, ICMPV6_TYPE));
            program.extend(if_equal(SOLICITATION, targets.test(IPV6_SOURCE)));
            program.extend(load(LD_B, ICMPV6_TYPE));
            program.extend(unless(JEQ, SOLICITATION, unless_reject(JEQ, ADVERTISEMENT, true).to_vec()));
            program.extend(targets.test(NDP_TARGET));
        }
        Protocol::Ipv4 => {
            if echo {
                // Its place if the header has no options; with some the responder drops it.
                program.extend(load(LD_B, ICMP_TYPE));
                program.extend(if_equal(ECHO_REQUEST4, targets.test(IPV4_DESTINATION)));
            }
        }
    }
    program.push(REJECT);
    program
}

#[cfg(test)]
mod tests;
