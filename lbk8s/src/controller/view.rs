//! What the controller knows, for people and for pages that show it: as JSON. It renders what was decided, and decides
//! nothing.
//!
//! A newer command line reads what an older controller says: a field that is added here has a default.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::allocator::{Holding, Outcome};
use lbcore::{Counters, Decision, Family, Grant, PoolSpec, ServiceKey};
use serde::{Deserialize, Serialize};

use super::Controller;
use crate::objects::service::{ServiceView, Wish};

/// A pool, and how full it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// Its ranges, as they are in force.
    pub ranges: Vec<String>,
    /// Its IPv4 addresses; none if it has none.
    pub ipv4: Option<UseView>,
    /// Its IPv6 addresses; none if it has none.
    pub ipv6: Option<UseView>,
}

/// How many addresses of one family a pool has, and what they are used for. One that is shared counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseView {
    /// Those that may be given.
    pub total: u128,
    /// Of these, held by a Service.
    pub used: u128,
    /// Of these, not held, but kept for Services by name.
    pub reserved: u128,
    /// Of these, not held, but avoided: they belong to nodes, gateways and other stations.
    pub avoided: u128,
    /// Of these, those that any Service can still get.
    pub free: u128,
}

/// What became of a Service's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It holds an address.
    Served,
    /// It holds none, and waits.
    Pending,
    /// Its wish cannot be read.
    Unclear,
}

/// A Service that asks for an address, and what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The Service.
    pub service: ServiceKey,
    /// What became of its wish.
    pub state: State,
    /// What it holds, in order.
    pub held: Vec<HeldView>,
    /// What is not as it wishes, for machines: the reason of its condition.
    pub reason: Option<Cow<'static, str>>,
    /// What is not as it wishes, for people.
    pub text: Option<String>,
}

/// An address that a Service holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldView {
    /// The address.
    pub address: IpAddr,
    /// The pool it is from.
    pub pool: String,
    /// Why this address: a stable word.
    pub why: Cow<'static, str>,
    /// The same for people.
    #[serde(default)]
    pub text: Cow<'static, str>,
}

/// How many Services there are in each state, and why those wait that do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicesView {
    /// Those that hold an address.
    pub served: usize,
    /// Those that hold none, and wait.
    pub pending: usize,
    /// Those whose wish cannot be read.
    pub unclear: usize,
    /// Those that hold none, by reason.
    pub reasons: BTreeMap<Cow<'static, str>, usize>,
}

impl ServicesView {
    /// Counts the Services that stand so.
    pub fn of<'a>(standings: impl IntoIterator<Item = &'a Standing>) -> Self {
        let mut view = Self::default();
        for standing in standings {
            match standing.state {
                State::Served => view.served += 1,
                State::Pending => view.pending += 1,
                State::Unclear => view.unclear += 1,
            }
            if let (true, Some(reason)) = (standing.held.is_empty(), &standing.reason) {
                *view.reasons.entry(reason.clone()).or_default() += 1;
            }
        }
        view
    }
}

impl UseView {
    /// Whether no more than a tenth is left for any Service.
    #[must_use]
    pub fn is_nearly_full(self) -> bool {
        let Self { total, used, reserved, avoided, .. } = self;
        Counters { total, assigned: used, reserved, avoided }.is_nearly_full()
    }

    fn of(counters: Counters) -> Self {
        let Counters { total, assigned, reserved, avoided } = counters;
        Self { total, used: assigned, reserved, avoided, free: counters.available() }
    }
}

impl HeldView {
    fn of(holding: &Holding) -> Self {
        Self::given(holding.address, &holding.pool, holding.grant)
    }

    /// An address that was given for this reason.
    #[must_use]
    pub fn given(address: IpAddr, pool: &str, grant: Grant) -> Self {
        Self { address, pool: pool.to_owned(), why: grant.code().into(), text: grant.to_string().into() }
    }
}

impl Controller {
    /// The pools in force, by name.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolView> {
        let view = |pool: &PoolSpec| {
            let of = |family| self.allocator.counters(&pool.name, family).filter(|it| it.total > 0);
            PoolView {
                name: pool.name.clone(),
                ranges: pool.ranges.iter().map(ToString::to_string).collect(),
                ipv4: of(Family::V4).map(UseView::of),
                ipv6: of(Family::V6).map(UseView::of),
            }
        };
        let mut pools: Vec<PoolView> = self.allocator.pools().map(view).collect();
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        pools
    }

    /// Where the pools in force were read: `IPAddressPool` or `ConfigMap`.
    #[must_use]
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// The Services that ask for an address, by name.
    pub fn standings(&self) -> impl Iterator<Item = Standing> {
        self.services.values().filter_map(|view| self.standing(view))
    }

    fn standing(&self, view: &ServiceView) -> Option<Standing> {
        let service = view.key.clone();
        let decision = self.allocator.decision(&service);
        let held: Vec<HeldView> = decision.iter().flat_map(Decision::held).map(HeldView::of).collect();
        let standing = match &view.wish {
            Wish::NotOurs | Wish::Nothing => return None,
            Wish::Unclear(problems) => {
                let text = problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message));
                Standing {
                    service,
                    state: State::Unclear,
                    held,
                    reason: Some("InvalidRequest".into()),
                    text: Some(text.collect::<Vec<_>>().join("; ")),
                }
            }
            Wish::Addresses(_) => {
                let decision = decision?;
                let refusal = decision.refusal();
                Standing {
                    service,
                    state: match decision.outcome {
                        Outcome::Assigned { .. } => State::Served,
                        Outcome::Pending { .. } => State::Pending,
                    },
                    held,
                    reason: refusal.map(|refusal| refusal.code().into()),
                    text: refusal.map(ToString::to_string),
                }
            }
        };
        Some(standing)
    }
}
