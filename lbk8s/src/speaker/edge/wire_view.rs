//! What became of the frames that this node's interfaces have seen, and who else has its addresses: for those that ask.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::jiff::Timestamp;
use lbnet::layer2::{AddressCounters, InterfaceSnapshot, Snapshot};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::speaker::view::moment;

/// What this node has answered and announced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireView {
    /// Frames sent without being asked.
    pub announced: u64,
    /// Frames by interface.
    pub interfaces: BTreeMap<String, FramesView>,
    /// Who else claims an address of this node.
    pub conflicts: Vec<ConflictView>,
    /// Addresses that are not answered because somebody else has them, and the hardware address of who it is.
    pub taken: BTreeMap<IpAddr, String>,
    /// Addresses that this host's kernel answers for too.
    pub kernel_answers: Vec<String>,
    /// What was counted of each address; not part of the JSON, for there may be thousands.
    #[serde(skip)]
    pub by_address: BTreeMap<IpAddr, AddressCounters>,
}

/// What became of the frames that an interface has seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FramesView {
    /// ARP requests answered.
    pub arp: u64,
    /// Neighbour solicitations answered.
    pub ndp: u64,
    /// Echo requests answered.
    pub echo: u64,
    /// Frames in which somebody else claimed an address of this node.
    pub claims: u64,
    /// Frames that were not answered, by reason.
    pub dropped: BTreeMap<Cow<'static, str>, u64>,
}

/// Another station that claims an address of this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConflictView {
    /// The address.
    pub address: IpAddr,
    /// The hardware address of who claims it.
    pub mac: String,
    /// Where it was heard last.
    pub interface: String,
    /// When it was heard first.
    pub first: Timestamp,
    /// When it was heard last.
    pub last: Timestamp,
    /// How many of its frames were heard.
    pub frames: u64,
}

impl WireView {
    /// `start` and `began` are the same moment.
    pub(super) fn of(snapshot: Snapshot, start: Instant, began: Timestamp) -> Self {
        let start = start.into_std();
        let at = |instant: std::time::Instant| moment(began, instant.saturating_duration_since(start));
        let conflicts = snapshot.conflicts.into_iter().map(|it| ConflictView {
            address: it.address,
            mac: it.mac.to_string(),
            interface: it.interface,
            first: at(it.first),
            last: at(it.last),
            frames: it.frames,
        });
        let interfaces = snapshot.interfaces.iter().map(|(name, it)| (name.clone(), FramesView::of(it)));
        Self {
            announced: snapshot.announced,
            interfaces: interfaces.collect(),
            conflicts: conflicts.collect(),
            taken: snapshot.taken.iter().map(|(address, mac)| (*address, mac.to_string())).collect(),
            kernel_answers: snapshot.kernel_answers.iter().map(ToString::to_string).collect(),
            by_address: snapshot.counted,
        }
    }
}

impl FramesView {
    fn of(InterfaceSnapshot { counters, .. }: &InterfaceSnapshot) -> Self {
        let mut dropped = BTreeMap::new();
        // Several ways to be malformed have one word.
        for (reason, count) in &counters.dropped {
            *dropped.entry(reason.code().into()).or_default() += count;
        }
        Self { arp: counters.arp, ndp: counters.ndp, echo: counters.echo, claims: counters.claims, dropped }
    }
}
