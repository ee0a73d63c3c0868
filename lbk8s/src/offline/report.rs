//! A plan for machines: a stable shape, with counts as decimal strings.

use std::collections::BTreeMap;

use lbcore::plan::{Difference, Plan, Planned, PlannedOutcome, PlannedPool, PoolChangeKind};
use lbcore::{Counters, Decision, ServiceKey};
use serde::Serialize;

use super::{Finding, World};
use crate::objects::Severity;
use crate::objects::service::{ServiceView, Wish};

/// What every Service gets and why, how full every pool is, and all that is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// All Services, in the order of the files.
    pub services: Vec<ServiceReport>,
    /// The pools in force, by name.
    pub pools: Vec<PoolReport>,
    /// All that is wrong, in the order of the files.
    pub problems: Vec<ProblemReport>,
    /// What is different from the other world, if there is one to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangesReport>,
}

/// What a Service gets.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// In a word.
    pub outcome: Outcome,
    /// In the order in which its status lists them.
    pub addresses: Vec<AddressReport>,
    /// Why.
    pub reason: Reason,
}

/// What becomes of a Service, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It gets addresses that it did not have.
    Assigned,
    /// It keeps what it has.
    Kept,
    /// It gets none, and waits for one to come free.
    Pending,
    /// It gets none: what it asks for cannot be read or is not to be had.
    Refused,
    /// It is not ours to serve: of another type or class.
    Ignored,
}

/// An address and where it is from.
#[derive(Debug, Clone, Serialize)]
pub struct AddressReport {
    /// The address.
    pub ip: String,
    /// The pool.
    pub pool: String,
}

/// Why something is as it is.
#[derive(Debug, Clone, Serialize)]
pub struct Reason {
    /// A short, stable word.
    pub code: String,
    /// The same in a sentence.
    pub message: String,
}

/// How full a pool is.
#[derive(Debug, Clone, Serialize)]
pub struct PoolReport {
    /// Its name.
    pub name: String,
    /// Its IPv4 addresses.
    pub ipv4: Count,
    /// Its IPv6 addresses.
    pub ipv6: Count,
}

/// Numbers of addresses, as decimal strings: they may be larger than what JSON's readers take.
#[derive(Debug, Clone, Serialize)]
pub struct Count {
    /// How many the pool gives out.
    pub total: String,
    /// How many of them are held.
    pub assigned: String,
    /// How many of them any Service can still get.
    pub available: String,
}

/// Something that is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct ProblemReport {
    /// How bad it is.
    pub severity: Severity,
    /// The kind of the object at fault, or `File`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The field at fault.
    pub path: String,
    /// A short, stable word.
    pub code: String,
    /// What was found, what was expected, and what to do.
    pub message: String,
    /// The file, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

/// What is different from the other world.
#[derive(Debug, Clone, Serialize)]
pub struct ChangesReport {
    /// Services that are new or gone or have other addresses, by name.
    pub services: Vec<ServiceChangeReport>,
    /// Pools that are new or gone or have become too small, by name.
    pub pools: Vec<PoolChangeReport>,
}

/// A Service that is different.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceChangeReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `added`, `removed`, `moved` or `pending`.
    pub change: &'static str,
    /// What it had.
    pub before: Vec<String>,
    /// What it has.
    pub after: Vec<String>,
    /// Why it lacks something, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// A pool that is different.
#[derive(Debug, Clone, Serialize)]
pub struct PoolChangeReport {
    /// Its name.
    pub name: String,
    /// `added`, `removed` or `overflows`.
    pub change: &'static str,
    /// How many Services find it full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanting: Option<usize>,
}

impl Report {
    /// The report of a plan for a world.
    #[must_use]
    pub fn new(world: &World, plan: &Plan, findings: &[Finding]) -> Self {
        let planned: BTreeMap<&ServiceKey, &Planned> =
            plan.services.iter().map(|planned| (&planned.decision.key, planned)).collect();
        Self {
            services: world
                .services
                .iter()
                .map(|view| service(view, planned.get(&view.key).copied()))
                .collect(),
            pools: plan.pools.iter().map(pool).collect(),
            problems: findings.iter().map(problem).collect(),
            changes: None,
        }
    }

    /// The same with what is different from another world.
    #[must_use]
    pub fn with_changes(self, difference: &Difference) -> Self {
        let services = difference.services.iter().map(|change| {
            let texts = |list: &Option<Vec<std::net::IpAddr>>| {
                list.iter().flatten().map(ToString::to_string).collect::<Vec<_>>()
            };
            let (before, after) = (texts(&change.before), texts(&change.after));
            let word = match (&change.before, &change.after) {
                (None, _) => "added",
                (_, None) => "removed",
                (_, Some(after)) if after.is_empty() => "pending",
                _ => "moved",
            };
            ServiceChangeReport {
                namespace: change.key.namespace().to_owned(),
                name: change.key.name().to_owned(),
                change: word,
                before,
                after,
                reason: change
                    .refusal
                    .as_ref()
                    .map(|refusal| Reason { code: refusal.code().to_owned(), message: refusal.to_string() }),
            }
        });
        let pools = difference.pools.iter().map(|pool| {
            let (change, wanting) = match pool.what {
                PoolChangeKind::Added => ("added", None),
                PoolChangeKind::Removed => ("removed", None),
                PoolChangeKind::Overflows { wanting } => ("overflows", Some(wanting)),
            };
            PoolChangeReport { name: pool.name.clone(), change, wanting }
        });
        Self { changes: Some(ChangesReport { services: services.collect(), pools: pools.collect() }), ..self }
    }

    /// Whether anything is wrong; with `strict` a warning counts too.
    #[must_use]
    pub fn has_problems(&self, strict: bool) -> bool {
        self.problems.iter().any(|problem| strict || problem.severity == Severity::Error)
    }
}

/// A finding in this shape.
#[must_use]
pub fn problem(finding: &Finding) -> ProblemReport {
    let problem = &finding.problem;
    let place = finding.place.as_ref();
    ProblemReport {
        severity: problem.severity,
        kind: problem.object.kind.to_string(),
        namespace: problem.object.namespace.to_string(),
        name: problem.object.name.to_string(),
        path: problem.path.clone(),
        code: problem.code.to_string(),
        message: problem.message.clone(),
        file: place.map(|place| place.file.display().to_string()),
        line: place.map(|place| place.line).filter(|line| *line > 0),
    }
}

fn service(view: &ServiceView, planned: Option<&Planned>) -> ServiceReport {
    let (outcome, reason) = match (&view.wish, planned) {
        (Wish::NotOurs, _) => (
            Outcome::Ignored,
            Reason::new("OtherClass", "another implementation serves it (spec.loadBalancerClass)"),
        ),
        (Wish::Nothing, _) => {
            (Outcome::Ignored, Reason::new("OtherType", "it is not of type LoadBalancer (spec.type)"))
        }
        (Wish::Unclear(problems), _) => {
            let texts: Vec<String> =
                problems.iter().map(|it| format!("{}: {}", it.path, it.message)).collect();
            // What it shows is left as it is, whoever gave it.
            let outcome = if view.addresses().is_empty() { Outcome::Refused } else { Outcome::Kept };
            (outcome, Reason::new("InvalidRequest", &texts.join("; ")))
        }
        (Wish::Addresses(_), Some(planned)) => (outcome(planned), why(&planned.decision)),
        (Wish::Addresses(_), None) => unreachable!("who asks for addresses is planned for"),
    };
    let held = planned.map_or(&[][..], |planned| planned.decision.held());
    let address =
        |held: &lbcore::Holding| AddressReport { ip: held.address.to_string(), pool: held.pool.to_string() };
    let mut addresses: Vec<AddressReport> = held.iter().map(address).collect();
    if addresses.is_empty() && matches!(view.wish, Wish::Unclear(_)) {
        let pool = view.recorded_pool.clone().unwrap_or_default();
        let left = |address: std::net::IpAddr| AddressReport { ip: address.to_string(), pool: pool.clone() };
        addresses.extend(view.addresses().into_iter().map(left));
    }
    ServiceReport {
        namespace: view.key.namespace().to_owned(),
        name: view.key.name().to_owned(),
        outcome,
        addresses,
        reason,
    }
}

fn outcome(planned: &Planned) -> Outcome {
    match planned.outcome() {
        PlannedOutcome::Assigned => Outcome::Assigned,
        PlannedOutcome::Kept => Outcome::Kept,
        PlannedOutcome::Pending => Outcome::Pending,
        PlannedOutcome::Refused => Outcome::Refused,
    }
}

impl Reason {
    pub(super) fn new(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned() }
    }
}

/// Why a decision is as it is: what is wrong with it, else how each address was chosen.
fn why(decision: &Decision) -> Reason {
    if let Some(refusal) = decision.refusal() {
        return Reason::new(refusal.code(), &refusal.to_string());
    }
    let held = decision.held();
    let code = held.first().map_or("", |held| held.grant.code());
    let mut grants: Vec<String> = held.iter().map(|held| held.grant.to_string()).collect();
    grants.dedup();
    Reason::new(code, &grants.join(", "))
}

fn pool(pool: &PlannedPool) -> PoolReport {
    PoolReport { name: pool.name.clone(), ipv4: count(pool.v4), ipv6: count(pool.v6) }
}

fn count(counters: Counters) -> Count {
    Count {
        total: counters.total.to_string(),
        assigned: counters.assigned.to_string(),
        available: counters.available().to_string(),
    }
}
