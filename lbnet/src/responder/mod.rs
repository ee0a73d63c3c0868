//! What to answer: a pure function of a frame and of the addresses that are ours.

mod askers;
mod counters;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use hashbrown::HashMap;
use pnet_base::MacAddr;

use self::askers::Askers;
pub use self::askers::{ASKERS, Asker};
pub use self::counters::Counters;
use crate::wire::{
    ARP_FRAME_LEN, Advertisement, ArpFrame, EchoRequest, Malformed, NDP_FRAME_LEN, NdpFrame, Operation,
    Solicitation,
};

/// The interface on which a frame came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Its index in the kernel.
    pub index: u32,
    /// Its hardware address, which answers carry.
    pub mac: MacAddr,
}

/// The addresses to answer for, and what became of the frames seen. Answering costs one look-up: no lock,
/// no copy, no allocation, however many addresses there are.
#[derive(Debug, Clone, Default)]
pub struct Responder {
    /// Looked up, never walked: its order is random. Nobody but its owner puts addresses into it, so that its hash
    /// need not withstand keys that are made up to collide.
    view: HashMap<IpAddr, Entry>,
    counters: BTreeMap<u32, Counters>,
}

#[derive(Debug, Clone, Default)]
struct Entry {
    /// The first interface that answers, by index: nearly always the only one, and then nothing else is looked up.
    first: Option<u32>,
    others: BTreeSet<u32>,
    /// Whether `ping` is answered here, in user space.
    echo: bool,
    /// Whether it is being found out if the address is free.
    probed: bool,
    /// Whether it may turn out that it is not.
    tentative: bool,
    /// How many ARP requests and neighbour solicitations for it were answered.
    answered: u64,
    askers: Askers,
}

/// What kind of question was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An ARP request.
    Arp,
    /// A neighbour solicitation.
    Ndp,
    /// An ICMP or ICMPv6 echo request.
    Echo,
}

/// An answer, which is at the beginning of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// To what.
    pub kind: Kind,
    /// The address that was asked for.
    pub address: IpAddr,
    /// The bytes of the answering frame.
    pub length: usize,
}

/// Somebody else says that one of our addresses is his.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The address.
    pub address: IpAddr,
    /// The hardware address that it is said to be at.
    pub mac: MacAddr,
    /// The interface that heard it, by index.
    pub interface: u32,
    /// It asks whether the address is free, as we do: nobody has it yet.
    pub is_probe: bool,
}

/// What one frame comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The answer, or why there is none.
    pub answer: Result<Answered, Drop>,
    /// A frame may claim an address of ours too, whether it is answered or not (RFC 5227 section 2.4).
    pub claim: Option<Claim>,
}

/// Why a frame is not answered. The order is that in which counters are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Drop {
    /// The bytes are no sound frame.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A reply or an advertisement; it asks nothing.
    #[error("not a question")]
    NotRequest,
    /// Sent to the hardware address of another station.
    #[error("sent to another station")]
    OtherStation,
    /// Our own frame, come back.
    #[error("sent by this host")]
    Own,
    /// It asks for an address that is not ours.
    #[error("asks for an address that is not ours")]
    ForeignTarget,
    /// It asks for an address of ours, on an interface that does not answer for it.
    #[error("asked on an interface that does not answer for the address")]
    OtherInterface,
    /// An echo request, and echo is not answered here.
    #[error("echo is not answered here")]
    NoEcho,
}

impl Drop {
    /// A short, stable word for machines, in the form of a metric's label.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::NotRequest => "not_request",
            Self::OtherStation => "other_station",
            Self::Own => "own",
            Self::ForeignTarget => "foreign_target",
            Self::OtherInterface => "other_interface",
            Self::NoEcho => "no_echo",
        }
    }
}

/// Bytes that a buffer for answers has at least. An echo needs as many as its request.
pub const ANSWER_LEN: usize = NDP_FRAME_LEN;

impl Responder {
    /// Answers for `address` on the interfaces with these indexes, and on no other. Without any, the address
    /// is still ours, but unanswered: who else claims it is told all the same.
    pub fn set(&mut self, address: IpAddr, mut interfaces: BTreeSet<u32>) {
        let entry = self.view.entry(address).or_default();
        (entry.first, entry.others) = (interfaces.pop_first(), interfaces);
    }

    /// Whether `ping` is answered for an address of ours; it is not, unless said here.
    pub fn set_echo(&mut self, address: IpAddr, echo: bool) {
        if let Some(entry) = self.view.get_mut(&address) {
            entry.echo = echo;
        }
    }

    /// Whether it is being found out if an address of ours is free. If so, somebody else who does the same has a
    /// claim to it (RFC 5227 section 2.1.1).
    pub fn set_probed(&mut self, address: IpAddr, probed: bool) {
        if let Some(entry) = self.view.get_mut(&address) {
            entry.probed = probed;
        }
    }

    /// Whether an address that is answered may turn out to be somebody else's. Then an answer does not take the place
    /// of what a neighbour knows already (RFC 4429 section 3.3); ARP has no word for that.
    pub fn set_tentative(&mut self, address: IpAddr, tentative: bool) {
        if let Some(entry) = self.view.get_mut(&address) {
            entry.tentative = tentative;
        }
    }

    /// Answers for `address` no more.
    pub fn remove(&mut self, address: IpAddr) {
        self.view.remove(&address);
    }

    /// Decides about one frame that came in at `now`, and counts the decision. An answer is written to `buffer`,
    /// which must have [`ANSWER_LEN`] bytes; an echo that does not fit is dropped as too long.
    pub fn answer(&mut self, now: Instant, port: Port, frame: &[u8], buffer: &mut [u8]) -> Verdict {
        let verdict = match frame.get(12..14) {
            Some([0x08, 0x06]) => self.on_arp(now, port, frame, buffer),
            // Of ICMPv6 the type says which it is: an Ethernet header, an IPv6 header, then the message.
            Some([0x86, 0xdd]) if frame.get(54) != Some(&128) => self.on_ndp(now, port, frame, buffer),
            Some([0x08, 0x00] | [0x86, 0xdd]) => {
                Verdict { answer: self.on_echo(port, frame, buffer), claim: None }
            }
            Some(_) => Verdict { answer: Err(Malformed::EtherType.into()), claim: None },
            None => Verdict { answer: Err(Malformed::Truncated.into()), claim: None },
        };
        self.counters.entry(port.index).or_default().count(&verdict);
        verdict
    }

    fn on_arp(&mut self, now: Instant, port: Port, frame: &[u8], buffer: &mut [u8]) -> Verdict {
        let request = match ArpFrame::parse(frame) {
            Ok(request) => request,
            Err(malformed) => return Verdict { answer: Err(malformed.into()), claim: None },
        };
        if request.source == port.mac || request.sender_mac == port.mac {
            return Verdict { answer: Err(Drop::Own), claim: None };
        }
        // RFC 5227 section 2.4: "any ARP packet [...] where the 'sender IP address' is (one of) the host's own IP
        // address(es)".
        let sender = request.sender_ip;
        let claim = self.claim(sender.into(), request.target_ip.into(), request.sender_mac, port);
        // A reply without a sender says nothing: a probe is a request (section 1.1).
        let says = request.operation == Operation::Request || !sender.is_unspecified();
        let claim = claim.filter(|_| says);
        let answer = self.arp_answer(now, port, &request, buffer);
        Verdict { answer, claim }
    }

    fn arp_answer(
        &mut self,
        now: Instant,
        port: Port,
        request: &ArpFrame,
        buffer: &mut [u8],
    ) -> Result<Answered, Drop> {
        if request.operation != Operation::Request {
            return Err(Drop::NotRequest);
        }
        if !request.destination.is_broadcast() && request.destination != port.mac {
            return Err(Drop::OtherStation);
        }
        // RFC 826: "Am I the target protocol address?" A probe for it, and another host's announcement of it,
        // ask for it too and are answered alike: RFC 5227 section 2.4 lets the holder defend it so.
        let address = request.target_ip.into();
        let entry = self.answering(address, port)?;
        entry.askers.note(port.index, request.sender_mac, request.sender_ip.into(), now);
        let bytes = buffer.first_chunk_mut::<ARP_FRAME_LEN>().ok_or(Malformed::TooLong)?;
        entry.answered += 1;
        request.reply_from(port.mac).emit(bytes);
        Ok(Answered { kind: Kind::Arp, address, length: ARP_FRAME_LEN })
    }

    fn on_ndp(&mut self, now: Instant, port: Port, frame: &[u8], buffer: &mut [u8]) -> Verdict {
        let own = Verdict { answer: Err(Drop::Own), claim: None };
        match NdpFrame::parse(frame) {
            Err(malformed) => Verdict { answer: Err(malformed.into()), claim: None },
            Ok(NdpFrame::Solicitation(asked)) => {
                let station = asked.source_mac.unwrap_or(asked.source);
                if asked.source == port.mac || station == port.mac {
                    return own;
                }
                let claim = self.claim(asked.source_ip.into(), asked.target.into(), station, port);
                Verdict { answer: self.ndp_answer(now, port, &asked, station, buffer), claim }
            }
            Ok(NdpFrame::Advertisement(told)) => {
                let mac = told.target_mac.unwrap_or(told.source);
                if told.source == port.mac || mac == port.mac {
                    return own;
                }
                // RFC 4862 section 5.4.4: an advertisement for an address of ours says that it is somebody else's.
                let claim = self.claim(told.target.into(), told.target.into(), mac, port);
                Verdict { answer: Err(Drop::NotRequest), claim }
            }
        }
    }

    fn ndp_answer(
        &mut self,
        now: Instant,
        port: Port,
        asked: &Solicitation,
        station: MacAddr,
        buffer: &mut [u8],
    ) -> Result<Answered, Drop> {
        // To the target's group, or to this station: whoever has us in its cache asks so whether we are still
        // there (RFC 4861 section 7.3.3).
        if !asked.destination_ip.is_multicast() && asked.destination != port.mac {
            return Err(Drop::OtherStation);
        }
        let address = asked.target.into();
        let entry = self.answering(address, port)?;
        entry.askers.note(port.index, station, asked.source_ip.into(), now);
        let bytes = buffer.first_chunk_mut::<NDP_FRAME_LEN>().ok_or(Malformed::TooLong)?;
        entry.answered += 1;
        let overrides = !entry.tentative;
        let length = Advertisement { overrides, ..asked.answer_from(port.mac) }.emit(bytes);
        Ok(Answered { kind: Kind::Ndp, address, length })
    }

    fn on_echo(&mut self, port: Port, frame: &[u8], buffer: &mut [u8]) -> Result<Answered, Drop> {
        let request = EchoRequest::parse(frame)?;
        if request.destination != port.mac {
            return Err(Drop::OtherStation);
        }
        if request.source == port.mac {
            return Err(Drop::Own);
        }
        if !self.answering(request.target, port)?.echo {
            return Err(Drop::NoEcho);
        }
        let length = request.answer(port.mac, buffer).ok_or(Malformed::TooLong)?;
        Ok(Answered { kind: Kind::Echo, address: request.target, length })
    }

    fn answering(&mut self, address: IpAddr, port: Port) -> Result<&mut Entry, Drop> {
        match self.view.get_mut(&address) {
            None => Err(Drop::ForeignTarget),
            Some(entry) if entry.first == Some(port.index) || entry.others.contains(&port.index) => Ok(entry),
            Some(_) => Err(Drop::OtherInterface),
        }
    }

    /// A frame of `mac`, which has `sender` for its own address and is about `target`.
    fn claim(&self, sender: IpAddr, target: IpAddr, mac: MacAddr, port: Port) -> Option<Claim> {
        // RFC 5227 section 2.1.1, RFC 4862 section 5.4.3: who asks without an address of its own is about to take
        // the one it asks for. That counts only while we are about to take it too.
        let is_probe = sender.is_unspecified();
        let address = if is_probe { target } else { sender };
        let counts = self.view.get(&address)?.probed || !is_probe;
        counts.then_some(Claim { address, mac, interface: port.index, is_probe })
    }

    /// When `address` was asked for last on this interface.
    #[must_use]
    pub fn last_asked(&self, address: IpAddr, interface: u32) -> Option<Instant> {
        self.askers(address, interface).map(|asker| asker.at).max()
    }

    /// Who asked for `address` last on this interface: up to [`ASKERS`] of them.
    pub fn askers(&self, address: IpAddr, interface: u32) -> impl Iterator<Item = &Asker> {
        let askers = self.view.get(&address).map(|entry| entry.askers.iter());
        askers.into_iter().flatten().filter(move |asker| asker.interface == interface)
    }

    /// How many ARP requests and neighbour solicitations for an address of ours were answered.
    #[must_use]
    pub fn answered(&self, address: IpAddr) -> u64 {
        self.view.get(&address).map(|entry| entry.answered).unwrap_or_default()
    }

    /// Forgets the counters of an interface that is gone; another may come with its index.
    pub fn forget(&mut self, index: u32) {
        self.counters.remove(&index);
    }

    /// The counters of each interface, by index.
    #[must_use]
    pub fn counters(&self) -> &BTreeMap<u32, Counters> {
        &self.counters
    }
}

#[cfg(test)]
mod tests;
