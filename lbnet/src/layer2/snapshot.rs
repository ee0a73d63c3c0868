//! What is answered where, at one moment.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use pnet_base::MacAddr;

use super::ports::FilterState;
use crate::Counters;
use crate::filter::Protocol;
use crate::host::KernelAnswer;
use crate::socket::groups::Count;

/// What is answered where, and what became of the frames.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The addresses and the names of the interfaces that answer for them.
    pub addresses: BTreeMap<IpAddr, Vec<String>>,
    /// Addresses that are not answered because somebody else has them.
    pub taken: BTreeMap<IpAddr, MacAddr>,
    /// The open interfaces, by name.
    pub interfaces: BTreeMap<String, InterfaceSnapshot>,
    /// Who else claims an address of ours.
    pub conflicts: Vec<Conflict>,
    /// The addresses for which this host's kernel answers too.
    pub kernel_answers: Vec<KernelAnswer>,
    /// Frames sent without being asked: announcements and probes.
    pub announced: u64,
    /// What was counted of each address that is answered.
    pub counted: BTreeMap<IpAddr, AddressCounters>,
}

/// What was counted of an address since it was last handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddressCounters {
    /// ARP requests and neighbour solicitations that were answered.
    pub answered: u64,
    /// Frames that told of it without being asked.
    pub announced: u64,
}

/// One interface that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceSnapshot {
    /// The hardware address in its answers.
    pub mac: MacAddr,
    /// What became of the frames that it has seen.
    pub counters: Counters,
    /// What its filters let through.
    pub filters: BTreeMap<Protocol, FilterState>,
    /// The multicast groups that it listens to, so that IPv6 addresses are asked for in vain by nobody. They are
    /// joined in the background.
    pub groups: Count,
}

/// Another station that claims an address of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The address.
    pub address: IpAddr,
    /// Who claims it.
    pub mac: MacAddr,
    /// Where it was heard last.
    pub interface: String,
    /// When it was heard first.
    pub first: Instant,
    /// When it was heard last.
    pub last: Instant,
    /// How many of its frames were heard.
    pub frames: u64,
}
