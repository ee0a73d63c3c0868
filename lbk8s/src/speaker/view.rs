//! What a speaker knows, for people and for pages that show it: as JSON. It renders what was decided, and decides nothing.
//!
//! Command lines and speakers are of different versions for a while: a field that is added here has a default, and of a reason
//! that came later the word is read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use lbcore::ownership::claims::Cause;
use lbcore::ownership::{Candidate, PassedOver};
use lbcore::{Ownership, Reach, ServiceKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Speaker;
use super::history::{Move, Tenure};

/// An address, and who answers for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressView {
    /// The address.
    pub address: IpAddr,
    /// The Services that have it.
    pub services: Vec<ServiceKey>,
    /// The node that answers for it, or is about to; none if nobody can.
    pub owner: Option<String>,
    /// The epoch of that node's claim; none if it has claimed nothing yet.
    pub epoch: Option<u64>,
    /// Since when it has answered, as far as this speaker knows.
    pub since: Option<Timestamp>,
    /// Why it is that one.
    pub why: Option<Why>,
    /// Whether this node answers for it.
    pub here: bool,
    /// The interfaces on which this node does.
    pub interfaces: Vec<String>,
    /// The pool it is from.
    pub pool: Option<String>,
    /// Why nobody answers, if so.
    pub nobody: Option<String>,
}

/// A reason: a stable word for machines, with what belongs to it, and the same for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// For machines.
    #[serde(flatten)]
    pub cause: Reason<Cause>,
    /// For people.
    pub text: String,
}

/// Why something is so, for machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reason<T> {
    /// A reason that is known here.
    Known(T),
    /// One that only another version knows, as it was told.
    Other(Value),
}

impl<T: Serialize> Reason<T> {
    /// The stable word for it.
    #[must_use]
    pub fn word(&self) -> String {
        let told = match self {
            Self::Known(reason) => serde_json::to_value(reason).unwrap_or_default(),
            Self::Other(told) => told.clone(),
        };
        told.as_str().or(told["reason"].as_str()).unwrap_or_default().to_owned()
    }
}

/// All that is known of an address: why this node, and why not that one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressExplained {
    /// Who answers.
    #[serde(flatten)]
    pub view: AddressView,
    /// Why each family of its Service has its own owner, if so.
    pub apart: Option<String>,
    /// The nodes that can answer, best first.
    pub candidates: Vec<CandidateView>,
    /// The nodes that cannot, and why.
    pub passed_over: Vec<PassedOverView>,
    /// Who has answered, the last one last.
    pub history: Vec<TenureView>,
}

/// A node that can answer.
#[expect(clippy::struct_excessive_bools, reason = "each is a rank of its own")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidateView {
    /// The node.
    pub node: String,
    /// The sum of the preferences that match it.
    pub weight: i64,
    /// Whether it has a ready endpoint of every Service that wants its traffic kept on the node.
    pub ready: bool,
    /// Whether it can answer for the Service's other family too, if any can.
    pub fits_all: bool,
    /// Whether it is heard on the address's LAN, as far as is known.
    pub heard: bool,
    /// Whether it answers only if no other can: it is being drained.
    pub last_choice: bool,
    /// Whether its speaker is about to end.
    pub leaving: bool,
    /// Whether it carries the address's subnet.
    pub in_subnet: bool,
    /// How many addresses it answers for.
    pub load: usize,
}

/// A node that cannot answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassedOverView {
    /// The node.
    pub node: String,
    /// Why, for machines.
    pub reason: Reason<PassedOver>,
    /// Why, for people.
    pub text: String,
}

/// An owner from one moment on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenureView {
    /// Since when.
    pub since: Timestamp,
    /// The node; none if nobody claimed the address.
    pub owner: Option<String>,
    /// The epoch of its claim.
    pub epoch: u64,
    /// Why it took the address.
    pub why: Option<Why>,
}

/// An address that has another owner than before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveView {
    /// The address.
    pub address: IpAddr,
    /// When this speaker heard of it.
    pub at: Timestamp,
    /// Who answered before; none if nobody did.
    pub from: Option<String>,
    /// Who does since; none if nobody does.
    pub to: Option<String>,
    /// Why that one took it, as it said itself.
    pub why: Option<Why>,
}

fn why(cause: &Cause) -> Why {
    Why { cause: Reason::Known(cause.clone()), text: cause.to_string() }
}

pub(super) fn moment(began: Timestamp, since: Duration) -> Timestamp {
    let since = SignedDuration::try_from(since).unwrap_or_default();
    began.checked_add(since).unwrap_or(began)
}

impl Speaker {
    /// An address as it is now; nothing if no Service has it. `began` is when this speaker's clock was zero.
    #[must_use]
    pub fn view(&self, address: IpAddr, began: Timestamp) -> Option<AddressView> {
        let ownership = self.ownership(address)?;
        Some(self.view_of(&ownership, began))
    }

    fn view_of(&self, ownership: &Ownership, began: Timestamp) -> AddressView {
        let address = ownership.address;
        let team = self.team.as_ref();
        let holder = team.and_then(|team| team.claims.holder(address));
        let expected = match team {
            Some(team) => team.claims.owner(address),
            None => ownership.owner().map(|owner| owner.node.as_str()),
        };
        let owner = holder.map(|(node, _)| node).or(expected).filter(|_| ownership.nobody.is_none());
        let last = team.and_then(|team| team.history.of(address).last());
        let last = last.filter(|last| last.owner.as_deref() == owner);
        AddressView {
            address,
            services: self.keys_of(address).cloned().collect(),
            owner: owner.map(str::to_owned),
            epoch: holder.map(|(_, epoch)| epoch),
            since: last.map(|last| moment(began, last.since)),
            why: last.and_then(|last| last.why.as_ref()).map(why),
            here: self.owns(address),
            interfaces: Vec::new(),
            pool: self.announced(address).map(|announced| announced.pool),
            nobody: ownership.nobody.as_ref().map(ToString::to_string),
        }
    }

    /// All that is known of an address; nothing if no Service has it.
    #[must_use]
    pub fn explain(&self, address: IpAddr, began: Timestamp) -> Option<AddressExplained> {
        let ownership = self.ownership(address)?;
        let load = |node: &str| {
            self.team.as_ref().and_then(|team| team.claims.load().get(node).copied()).unwrap_or_default()
        };
        let candidate = |it: &Candidate| CandidateView {
            node: it.node.clone(),
            weight: it.weight,
            ready: it.ready,
            fits_all: it.standing.fits_all,
            heard: it.heard,
            last_choice: it.last_choice,
            leaving: it.leaving,
            in_subnet: it.reach == Reach::Subnet,
            load: load(&it.node),
        };
        let passed_over = |(node, why): &(String, PassedOver)| PassedOverView {
            node: node.clone(),
            reason: Reason::Known(*why),
            text: why.to_string(),
        };
        let tenure = |it: &Tenure| TenureView {
            since: moment(began, it.since),
            owner: it.owner.clone(),
            epoch: it.epoch,
            why: it.why.as_ref().map(why),
        };
        Some(AddressExplained {
            view: self.view_of(&ownership, began),
            apart: ownership.apart.map(|apart| apart.to_string()),
            candidates: ownership.candidates.iter().map(candidate).collect(),
            passed_over: ownership.passed_over.iter().map(passed_over).collect(),
            history: self.team.iter().flat_map(|team| team.history.of(address)).map(tenure).collect(),
        })
    }

    /// The moves that this speaker has heard of lately, the last one first.
    #[must_use]
    pub fn moved(&self, began: Timestamp) -> Vec<MoveView> {
        let view = |it: &Move| MoveView {
            address: it.address,
            at: moment(began, it.to.since),
            from: it.from.clone(),
            to: it.to.owner.clone(),
            why: it.to.why.as_ref().map(why),
        };
        self.team.iter().flat_map(|team| team.history.lately().rev()).map(view).collect()
    }

    /// All addresses of Services.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.users.keys().copied()
    }

    /// How many addresses nobody answers for.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.orphans.len()
    }

    /// How many addresses each node answers for, where speakers listen to each other.
    pub(super) fn load(&self) -> Option<&BTreeMap<String, usize>> {
        self.team.as_ref().map(|team| team.claims.load())
    }

    /// How often an address lost its owner, as this speaker saw it.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.team.as_ref().map(|team| team.history.moves()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reasons_of_this_version_and_of_others_are_read_as_they_were_told() {
        let died = json!({"reason": "Died", "node": "n1", "text": "it is not heard"});
        let later = json!({"reason": "Eclipsed", "by": {"moon": 1}, "text": "it is dark"});
        for (told, word) in [(&died, "Died"), (&later, "Eclipsed")] {
            let why: Why = serde_json::from_value(told.clone()).unwrap();
            assert_eq!((why.cause.word(), &json!(why)), (word.to_owned(), told));
            assert_eq!(matches!(why.cause, Reason::Known(_)), word == "Died");
        }
        let silent = json!({"node": "n1", "reason": "Silent", "text": "is not heard"});
        let later = json!({"node": "n1", "reason": "Eclipsed", "text": "is dark"});
        for (told, reason) in
            [(&silent, Reason::Known(PassedOver::Silent)), (&later, Reason::Other(json!("Eclipsed")))]
        {
            let view: PassedOverView = serde_json::from_value(told.clone()).unwrap();
            assert_eq!(
                (&view.reason, view.reason.word(), &json!(view)),
                (&reason, told["reason"].as_str().unwrap().to_owned(), told)
            );
        }
    }
}
