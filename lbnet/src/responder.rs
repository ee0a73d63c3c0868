//! What to answer: a pure function of a frame and of the addresses that are ours.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use pnet_base::MacAddr;

use crate::wire::{ARP_FRAME_LEN, ArpFrame, Malformed, Operation};

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
    /// Looked up, never walked: its order is random.
    view: HashMap<Ipv4Addr, BTreeSet<u32>>,
    counters: BTreeMap<u32, Counters>,
}

/// Why a frame is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Drop {
    /// The bytes are no sound ARP frame.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A reply; it asks nothing.
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
}

/// How many frames an interface has seen, by what became of them. What the kernel's filter drops (replies,
/// frames for other stations or VLANs) never gets here and is counted nowhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Answered.
    pub answered: u64,
    /// Dropped: [`Drop::Malformed`].
    pub malformed: u64,
    /// Dropped: [`Drop::NotRequest`].
    pub not_request: u64,
    /// Dropped: [`Drop::OtherStation`].
    pub other_station: u64,
    /// Dropped: [`Drop::Own`].
    pub own: u64,
    /// Dropped: [`Drop::ForeignTarget`].
    pub foreign_target: u64,
    /// Dropped: [`Drop::OtherInterface`].
    pub other_interface: u64,
}

impl Counters {
    fn count(&mut self, result: Result<(), Drop>) {
        let counter = match result {
            Ok(()) => &mut self.answered,
            Err(Drop::Malformed(_)) => &mut self.malformed,
            Err(Drop::NotRequest) => &mut self.not_request,
            Err(Drop::OtherStation) => &mut self.other_station,
            Err(Drop::Own) => &mut self.own,
            Err(Drop::ForeignTarget) => &mut self.foreign_target,
            Err(Drop::OtherInterface) => &mut self.other_interface,
        };
        *counter += 1;
    }
}

impl Responder {
    /// Answers for `address` on the interfaces with these indexes, and on no other. Without any, the address
    /// is still ours, but unanswered.
    pub fn set(&mut self, address: Ipv4Addr, interfaces: BTreeSet<u32>) {
        self.view.insert(address, interfaces);
    }

    /// Answers for `address` no more.
    pub fn remove(&mut self, address: Ipv4Addr) {
        self.view.remove(&address);
    }

    /// Decides about one frame and counts the decision. An answer is written to `answer`.
    ///
    /// # Errors
    /// The reason if the frame is not answered; `answer` is untouched then.
    pub fn answer(&mut self, port: Port, frame: &[u8], answer: &mut [u8; ARP_FRAME_LEN]) -> Result<(), Drop> {
        let result = self.decide(port, frame).map(|reply| reply.emit(answer));
        self.counters.entry(port.index).or_default().count(result);
        result
    }

    fn decide(&self, port: Port, frame: &[u8]) -> Result<ArpFrame, Drop> {
        let request = ArpFrame::parse(frame)?;
        if request.operation != Operation::Request {
            return Err(Drop::NotRequest);
        }
        if request.source == port.mac || request.sender_mac == port.mac {
            return Err(Drop::Own);
        }
        if !request.destination.is_broadcast() && request.destination != port.mac {
            return Err(Drop::OtherStation);
        }
        // RFC 826: "Am I the target protocol address?" A probe for it, and another host's announcement of it,
        // ask for it too and are answered alike: RFC 5227 section 2.4 lets the holder defend it so.
        match self.view.get(&request.target_ip) {
            None => Err(Drop::ForeignTarget),
            Some(interfaces) if !interfaces.contains(&port.index) => Err(Drop::OtherInterface),
            Some(_) => Ok(request.reply_from(port.mac)),
        }
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
mod tests {
    use super::*;

    const PORT: Port = Port { index: 2, mac: MacAddr(2, 0, 0, 0, 0, 0x0b) };
    const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x64);
    const CLIENT_IP: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 100);
    const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 253);

    fn responder() -> Responder {
        let mut responder = Responder::default();
        responder.set(VIP, BTreeSet::from([PORT.index]));
        responder
    }

    fn answer(port: Port, frame: &ArpFrame) -> Result<ArpFrame, Drop> {
        let mut bytes = [0; ARP_FRAME_LEN];
        let result = responder().answer(port, &frame.to_bytes(), &mut bytes);
        result.map(|()| ArpFrame::parse(&bytes).expect("answers are sound"))
    }

    #[test]
    fn every_kind_of_question_for_our_address_is_answered() {
        let broadcast = ArpFrame::request(CLIENT, CLIENT_IP, VIP);
        let unicast = ArpFrame { destination: PORT.mac, ..broadcast };
        let probe = ArpFrame::request(CLIENT, Ipv4Addr::UNSPECIFIED, VIP);
        let announcement = ArpFrame::gratuitous(Operation::Request, CLIENT, VIP);
        for question in [broadcast, unicast, probe, announcement] {
            let reply = answer(PORT, &question).expect("ours");
            assert_eq!(
                (reply.operation, reply.sender_mac, reply.sender_ip),
                (Operation::Reply, PORT.mac, VIP)
            );
            assert_eq!(
                (reply.destination, reply.target_mac, reply.target_ip),
                (CLIENT, CLIENT, question.sender_ip)
            );
        }
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
            (PORT, ArpFrame { sender_mac: MacAddr::zero(), ..question }, Drop::Malformed(Malformed::Sender)),
        ] {
            assert_eq!(answer(port, &frame), Err(reason), "{frame:?}");
        }
    }

    #[test]
    fn each_decision_is_counted_where_the_frame_came_in() {
        let mut responder = responder();
        let mut bytes = [0; ARP_FRAME_LEN];
        let question = ArpFrame::request(CLIENT, CLIENT_IP, VIP).to_bytes();
        let _ = responder.answer(PORT, &question, &mut bytes);
        let _ = responder.answer(PORT, &question[..20], &mut bytes);
        let _ = responder.answer(Port { index: 3, ..PORT }, &question, &mut bytes);
        responder.remove(VIP);
        let _ = responder.answer(PORT, &question, &mut bytes);
        let expected = Counters { answered: 1, malformed: 1, foreign_target: 1, ..Counters::default() };
        assert_eq!(responder.counters()[&PORT.index], expected);
        assert_eq!(responder.counters()[&3], Counters { other_interface: 1, ..Counters::default() });
    }
}
