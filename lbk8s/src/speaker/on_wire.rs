//! What happens on the wire, told in the log and in events about the Services it concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use lbnet::layer2::Event as WireEvent;
use lbnet::{KernelAnswer, MacAddr, Policy};

use super::Speaker;
use crate::events::{Event, Severity};
use crate::objects::facts::Taken;

/// How long a claim of another station is waited out. When an address moves to another node, that one announces it
/// while this one may not know yet: that is no conflict.
const MOVING: Duration = Duration::from_secs(3);

/// Tells what happens on the wire of one node.
pub(super) struct OnWire {
    node: String,
    /// Claims that may be those of the next owner.
    claims: FuturesUnordered<BoxFuture<'static, Claim>>,
    /// New addresses that turned out to be in use.
    taken: BTreeMap<IpAddr, MacAddr>,
    /// Where addresses are answered.
    placed: BTreeMap<IpAddr, Vec<String>>,
    /// Interfaces whose addresses the kernel answers for, each with the one it answers on. One word about the
    /// setting is enough for all of them.
    kernel_told: BTreeSet<(String, String)>,
}

struct Claim {
    address: IpAddr,
    mac: MacAddr,
    interface: String,
    policy: Policy,
}

impl OnWire {
    pub(super) fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            claims: FuturesUnordered::new(),
            taken: BTreeMap::new(),
            placed: BTreeMap::new(),
            kernel_told: BTreeSet::new(),
        }
    }

    /// Logs what happened; the events that go with it.
    pub(super) fn tell(&mut self, event: WireEvent, speaker: &Speaker) -> Vec<Event> {
        match event {
            WireEvent::Opened { interface } => tracing::info!(interface, "answering"),
            WireEvent::Interfaces(_) => {}
            WireEvent::Closed { interface } => tracing::info!(interface, "answering no more"),
            WireEvent::Failed { interface, error } => tracing::warn!(interface, %error, "cannot answer"),
            WireEvent::NoGroup { interface, error } => {
                tracing::warn!(interface, %error, "cannot join multicast groups: IPv6 may be switched off there");
            }
            WireEvent::NetlinkLost(error) => {
                tracing::warn!(%error, "cannot follow the interfaces; trying again");
            }
            WireEvent::Placed { address, interfaces, passed_over } if interfaces.is_empty() => {
                self.placed.remove(&address);
                let why: Vec<String> =
                    passed_over.iter().map(|(name, why)| format!("{name}: {why}")).collect();
                tracing::warn!(%address, interfaces = why.join(", "), "no interface answers for it");
                return self.no_interface(address, &why.join(", "), speaker);
            }
            WireEvent::Placed { address, interfaces, .. } => {
                tracing::info!(%address, interfaces = interfaces.join(","), "answered");
                let was_taken = self.taken.remove(&address).is_some();
                self.placed.insert(address, interfaces);
                if was_taken {
                    return self.free_at_last(address, speaker);
                }
            }
            // It may have been withdrawn while this was told.
            WireEvent::Taken { address, .. } if !speaker.owns(address) => {}
            WireEvent::Taken { address, mac, interface } => {
                return self.found_taken(address, mac, &interface, speaker);
            }
            WireEvent::Conflict { address, mac, interface, policy } => {
                tracing::debug!(%address, %mac, interface, "claimed by another station");
                let claim = Claim { address, mac, interface, policy };
                self.claims.push(tokio::time::sleep(MOVING).map(|()| claim).boxed());
            }
            WireEvent::ConflictOver { address, mac } => {
                tracing::info!(%address, %mac, "not claimed by the other station any more");
            }
            WireEvent::KernelAnswers(answer) => self.kernel_answers(&answer),
        }
        Vec::new()
    }

    /// An address is not announced by this node any more.
    pub(super) fn withdrawn(&mut self, address: IpAddr) {
        self.taken.remove(&address);
        self.placed.remove(&address);
    }

    /// The addresses that another station has, and which.
    pub(super) fn taken(&self) -> BTreeSet<Taken> {
        let taken = |(address, mac): (&IpAddr, &MacAddr)| Taken {
            address: address.to_string(),
            mac: mac.to_string(),
        };
        self.taken.iter().map(taken).collect()
    }

    /// The interfaces on which an address is answered, by name.
    pub(super) fn placed(&self, address: IpAddr) -> Option<&[String]> {
        self.placed.get(&address).map(Vec::as_slice)
    }

    /// Waits for the next claim that is a conflict, because the address did not move; the events about it.
    pub(super) async fn confirmed(&mut self, speaker: &Speaker) -> Vec<Event> {
        loop {
            let Some(Claim { address, mac, interface, policy }) = self.claims.next().await else {
                // There is none to wait for, until the caller asks again.
                std::future::pending().await
            };
            if !speaker.owns(address) {
                continue;
            }
            tracing::warn!(%address, %mac, interface, %policy, "another station has this address too");
            let note = format!(
                "{address} conflicts: the station {mac}, heard on {interface} of node {:?}, has it too; {policy}",
                self.node
            );
            return warnings(address, "addressConflict", &note, speaker);
        }
    }

    fn found_taken(
        &mut self,
        address: IpAddr,
        mac: MacAddr,
        interface: &str,
        speaker: &Speaker,
    ) -> Vec<Event> {
        self.taken.insert(address, mac);
        tracing::warn!(%address, %mac, interface, "not announced: another station has this address");
        let note = format!(
            "{address} is not announced: the station {mac}, heard on {interface} of node {:?}, has it already. It is \
             asked for again every half minute, and announced once nobody has it; to keep such addresses from \
             Services, list them in lbd.io/exclude on the pool",
            self.node
        );
        warnings(address, "announceFailed", &note, speaker)
    }

    fn free_at_last(&self, address: IpAddr, speaker: &Speaker) -> Vec<Event> {
        let note = format!(
            "announcing {address} from node {:?} with protocol \"layer2\": nobody else has it any more",
            self.node
        );
        told(address, Severity::Normal, "nodeAssigned", &note, speaker)
    }

    fn no_interface(&self, address: IpAddr, interfaces: &str, speaker: &Speaker) -> Vec<Event> {
        let note = format!(
            "{address} is not answered: node {:?} owns it, but none of its interfaces can answer ({interfaces})",
            self.node
        );
        warnings(address, "announceFailed", &note, speaker)
    }

    fn kernel_answers(&mut self, answer: &KernelAnswer) {
        if self.kernel_told.insert((answer.holder.clone(), answer.on.clone())) {
            tracing::warn!("{answer}");
        } else {
            tracing::debug!("{answer}");
        }
    }
}

fn warnings(address: IpAddr, reason: &'static str, note: &str, speaker: &Speaker) -> Vec<Event> {
    told(address, Severity::Warning, reason, note, speaker)
}

/// An event about each Service that has the address.
fn told(
    address: IpAddr,
    severity: Severity,
    reason: &'static str,
    note: &str,
    speaker: &Speaker,
) -> Vec<Event> {
    let event = |service: &crate::ObjectRef| Event {
        about: service.clone(),
        severity,
        reason,
        note: note.to_owned(),
    };
    speaker.users(address).map(event).collect()
}
