//! Why one Service gets what it gets: every pool that was looked at.

use lbcore::allocator::Considered;
use lbcore::{PoolVerdict, ServiceKey};
use serde::Serialize;

use super::World;
use super::report::{Reason, Report, ServiceReport};

/// Why a Service gets what it gets.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The Service, as the plan has it.
    pub service: ServiceReport,
    /// For each family that it wants, the pools it would be looked for in if it held nothing, in order.
    pub families: Vec<FamilySearch>,
    /// Why no pool is looked at, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Reason>,
}

/// The search for an address of one family.
#[derive(Debug, Clone, Serialize)]
pub struct FamilySearch {
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// The pools that were looked at, in order. The last one gives the address, if there is one.
    pub pools: Vec<PoolLook>,
}

/// A look at one pool.
#[derive(Debug, Clone, Serialize)]
pub struct PoolLook {
    /// The pool.
    pub pool: String,
    /// The address that it gives, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Why, or why not.
    pub reason: Reason,
}

impl World {
    /// Explains a Service; `None` if there is none of this name.
    #[must_use]
    pub fn explain(&self, key: &ServiceKey) -> Option<Explanation> {
        let report = Report::new(self, &self.facts.plan(), &[]);
        let named = |it: &ServiceReport| it.namespace == key.namespace() && it.name == key.name();
        let service = report.services.into_iter().find(named)?;
        // One that is not ours to serve is looked for in no pool.
        let (families, refusal) = match self.facts.explain(key) {
            None => (Vec::new(), None),
            Some(Ok(considered)) => (considered.iter().map(search).collect(), None),
            Some(Err(refusal)) => (Vec::new(), Some(Reason::new(refusal.code(), &refusal.to_string()))),
        };
        Some(Explanation { service, families, refusal })
    }

    /// The names of all Services, as `namespace/name`.
    pub fn service_names(&self) -> impl Iterator<Item = String> {
        self.services.iter().map(|view| view.key.to_string())
    }
}

fn search(considered: &Considered) -> FamilySearch {
    let passed = considered.passed_over.iter().map(|passed: &PoolVerdict| PoolLook {
        pool: passed.pool.to_string(),
        ip: None,
        reason: Reason::new(passed.verdict.code(), &passed.to_string()),
    });
    let found = considered.found.iter().map(|held| PoolLook {
        pool: held.pool.to_string(),
        ip: Some(held.address.to_string()),
        reason: Reason::new(held.grant.code(), &held.grant.to_string()),
    });
    FamilySearch { family: considered.family.to_string(), pools: passed.chain(found).collect() }
}
