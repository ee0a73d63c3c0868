//! What a Service's status is to say, as a difference to what it says.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use lbcore::allocator::Holding;
use lbcore::{Decision, Refusal, ServiceKey};
use serde_json::{Value, json};

use crate::events::{Event, Severity};
use crate::objects::annotations::{ALLOCATED_FROM, KEPT};
use crate::objects::service::{Kept, ServiceView, Wish};

/// The type of our condition on a Service: whether it holds an address, and why or why not.
pub const CONDITION: &str = "lbd.io/Assigned";

/// A status to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The Service.
    pub key: ServiceKey,
    /// The version that the difference was made against.
    version: String,
    ingress: Vec<LoadBalancerIngress>,
    /// The pool to record; `None` removes the record.
    pool: Option<String>,
    /// What to record of addresses that their pool no longer has.
    kept: BTreeMap<IpAddr, Kept>,
    /// Our condition; `None` removes it.
    condition: Option<Assigned>,
    kept_before: BTreeMap<IpAddr, Kept>,
    /// All conditions as they were.
    conditions: Vec<Condition>,
    /// What to tell once it is written.
    pub events: Vec<Event>,
}

/// Our condition, but for its time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Assigned {
    status: &'static str,
    reason: String,
    message: String,
    /// The message begins with what the Service holds.
    tells_of_held: bool,
}

impl Write {
    /// Whether a Service shows all that was to be written.
    #[must_use]
    pub fn is_shown_by(&self, service: &Service) -> bool {
        let view = ServiceView::read(service, &None);
        let condition =
            view.condition(CONDITION).map(|theirs| (&*theirs.status, &theirs.reason, &theirs.message));
        addresses(&view.ingress) == addresses(&self.ingress)
            && view.recorded_pool == self.pool
            && view.kept == self.kept
            && condition == self.condition.as_ref().map(|ours| (ours.status, &ours.reason, &ours.message))
    }

    /// The merge patch for the status subresource. `now` is the time of a condition that changes its status.
    #[must_use]
    pub fn patch(&self, now: Timestamp) -> Value {
        let before = self.conditions.iter().find(|condition| condition.type_ == CONDITION);
        let ours = self.condition.as_ref().map(|condition| Condition {
            type_: CONDITION.to_owned(),
            status: condition.status.to_owned(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            last_transition_time: before
                .filter(|before| before.status == condition.status)
                .map_or_else(|| Time(now), |before| before.last_transition_time.clone()),
            observed_generation: None,
        });
        let others = self.conditions.iter().filter(|condition| condition.type_ != CONDITION).cloned();
        let conditions: Vec<Condition> = others.chain(ours).collect();
        let mut annotations = json!({ALLOCATED_FROM: self.pool});
        if self.kept != self.kept_before {
            let kept = (!self.kept.is_empty()).then(|| json!(self.kept).to_string());
            annotations[KEPT] = json!(kept);
        }
        json!({
            "metadata": {"resourceVersion": self.version, "annotations": annotations},
            "status": {"loadBalancer": {"ingress": self.ingress}, "conditions": conditions},
        })
    }
}

/// What has to be written so that the Service shows `decision`; nothing if it does already. Why it loses the address
/// `told` is known already.
pub(super) fn write(
    view: &ServiceView,
    decision: Option<&Decision>,
    kept: BTreeMap<IpAddr, Kept>,
    told: Option<IpAddr>,
) -> Option<Write> {
    let held: &[Holding] = decision.map_or(&[], Decision::held);
    let condition = match &view.wish {
        // Not ours to touch; and of what is none, only our own traces are removed.
        Wish::NotOurs => return None,
        Wish::Nothing if view.recorded_pool.is_none() && !has_condition(view) => return None,
        Wish::Nothing => None,
        Wish::Unclear(problems) => {
            let message = problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message));
            let message = message.collect::<Vec<_>>().join("; ");
            Some(Assigned {
                status: status(held),
                reason: "InvalidRequest".to_owned(),
                message,
                tells_of_held: false,
            })
        }
        Wish::Addresses(_) => Some(describe(decision?)),
    };
    let unclear_and_unheld = matches!(view.wish, Wish::Unclear(_)) && held.is_empty();
    let (ingress, pool, kept) = if unclear_and_unheld {
        // Held before this process started, and not adopted because the wish cannot be read: left as it is.
        (view.ingress.clone(), view.recorded_pool.clone(), view.kept.clone())
    } else {
        let pool = held.first().map(|holding| holding.pool.to_string());
        (ingress(view, held), pool, kept)
    };
    let written = view.condition(CONDITION);
    let same_condition = match (&condition, written) {
        (Some(ours), Some(theirs)) => {
            (ours.status, &ours.reason, &ours.message)
                == (theirs.status.as_str(), &theirs.reason, &theirs.message)
        }
        (None, None) => true,
        _ => false,
    };
    if same_condition && ingress == view.ingress && pool == view.recorded_pool && kept == view.kept {
        return None;
    }
    let moved = addresses(&ingress) != view.addresses();
    let event = event(view, condition.as_ref(), held, moved, same_condition);
    let why = condition.as_ref().filter(|_| !held.is_empty() || decision.is_some());
    let cleared = why.and_then(|why| cleared(view, &addresses(&ingress), told, &why.message));
    Some(Write {
        key: view.key.clone(),
        version: view.version.clone(),
        ingress,
        pool,
        kept,
        kept_before: view.kept.clone(),
        condition,
        conditions: view.conditions.clone(),
        events: cleared.into_iter().chain(event).collect(),
    })
}

/// What has to be written so that the Service shows nothing that it does not hold, before it can show what it
/// holds. Without this two Services that exchange their addresses would wait for each other.
pub(super) fn give_up(view: &ServiceView, held: &[IpAddr], told: Option<IpAddr>) -> Option<Write> {
    let kept = |entry: &&LoadBalancerIngress| parse(entry).is_none_or(|address| held.contains(&address));
    let ingress: Vec<LoadBalancerIngress> = view.ingress.iter().filter(kept).cloned().collect();
    let written = view.condition(CONDITION);
    let condition = written.map(|written| Assigned {
        status: if written.status == "True" { "True" } else { "False" },
        reason: written.reason.clone(),
        message: written.message.clone(),
        tells_of_held: false,
    });
    (ingress != view.ingress).then(|| Write {
        key: view.key.clone(),
        version: view.version.clone(),
        ingress,
        pool: view.recorded_pool.clone(),
        kept: view.kept.clone(),
        kept_before: view.kept.clone(),
        condition,
        conditions: view.conditions.clone(),
        events: cleared(view, held, told, "it gets another one").into_iter().collect(),
    })
}

/// What is told of addresses that a Service shows and is not to show any more.
fn cleared(view: &ServiceView, shows: &[IpAddr], told: Option<IpAddr>, now: &str) -> Option<Event> {
    let lost =
        view.addresses().into_iter().filter(|address| !shows.contains(address) && Some(*address) != told);
    let lost: Vec<String> = lost.map(|address| address.to_string()).collect();
    (!lost.is_empty()).then(|| Event {
        about: view.object.clone(),
        severity: Severity::Warning,
        reason: "ClearAssignment",
        note: format!("{} is not this Service's any more: {now}", lost.join(", ")),
    })
}

fn status(held: &[Holding]) -> &'static str {
    if held.is_empty() { "False" } else { "True" }
}

fn has_condition(view: &ServiceView) -> bool {
    view.condition(CONDITION).is_some()
}

/// The condition for a decision. Of an adopted address it says the same as of one that was given: a restart
/// changes nothing.
fn describe(decision: &Decision) -> Assigned {
    let held = decision.held();
    let holdings: Vec<String> =
        held.iter().map(|holding| format!("{} from pool {:?}", holding.address, holding.pool)).collect();
    match decision.refusal() {
        None => Assigned {
            status: "True",
            reason: "Assigned".to_owned(),
            message: holdings.join(", "),
            tells_of_held: true,
        },
        Some(refusal) => {
            let mut message = refusal.to_string();
            // Of one that is kept the refusal itself names address and pool.
            let tells_of_held = !held.is_empty() && !matches!(refusal, Refusal::Kept { .. });
            if tells_of_held {
                message = format!("{}; {message}", holdings.join(", "));
            }
            Assigned { status: status(held), reason: refusal.code().to_owned(), message, tells_of_held }
        }
    }
}

/// The entries for what is held. Others' fields of an entry stay, and so do entries that hold no address.
fn ingress(view: &ServiceView, held: &[Holding]) -> Vec<LoadBalancerIngress> {
    let entry = |address: IpAddr| {
        let known = view.ingress.iter().find(|entry| parse(entry) == Some(address)).cloned();
        known.unwrap_or_else(|| LoadBalancerIngress {
            ip: Some(address.to_string()),
            ..LoadBalancerIngress::default()
        })
    };
    let ours = held.iter().map(|holding| entry(holding.address));
    let others = view.ingress.iter().filter(|entry| entry.ip.is_none()).cloned();
    ours.chain(others).collect()
}

fn parse(entry: &LoadBalancerIngress) -> Option<IpAddr> {
    entry.ip.as_ref()?.parse().ok()
}

fn addresses(ingress: &[LoadBalancerIngress]) -> Vec<IpAddr> {
    ingress.iter().filter_map(parse).collect()
}

/// What to tell, under MetalLB's reasons: only what is new.
fn event(
    view: &ServiceView,
    condition: Option<&Assigned>,
    held: &[Holding],
    moved: bool,
    same_condition: bool,
) -> Option<Event> {
    let event = |severity, reason, note| Some(Event { about: view.object.clone(), severity, reason, note });
    let Some(condition) = condition else {
        return event(Severity::Normal, "ClearAssignment", "It asks for no address any more".to_owned());
    };
    let given = held
        .iter()
        .map(|holding| format!("{} from pool {:?}: {}", holding.address, holding.pool, holding.grant));
    match condition.reason.as_str() {
        "Assigned" if moved => event(
            Severity::Normal,
            "IPAllocated",
            format!("Assigned {}", given.collect::<Vec<_>>().join(", ")),
        ),
        // Taken over as it is, or its condition said less than now.
        "Assigned" => None,
        _ if same_condition && !moved => None,
        "InvalidRequest" => event(Severity::Warning, "LoadBalancerFailed", condition.message.clone()),
        // That an address is kept is said of the address itself.
        _ if condition.tells_of_held => {
            event(Severity::Warning, "AllocationFailed", format!("Holds {}", condition.message))
        }
        _ => event(Severity::Warning, "AllocationFailed", condition.message.clone()),
    }
}
