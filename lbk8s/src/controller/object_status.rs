//! What pools and advertisements say of themselves: how full a pool is, and whether they are in force.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use lbcore::{Allocator, Counters, Family};

use super::Controller;
use crate::objects::Severity;
use crate::objects::metallb::IPAddressPoolStatus;
use crate::{ObjectRef, Problem};

/// The type of our condition on pools and advertisements.
pub const IN_FORCE: &str = "lbd.io/InForce";

impl Controller {
    /// All that is wrong with the configuration.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// The objects of pools and advertisements.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.config.objects().map(|(object, _)| object)
    }

    /// What a pool is to say of itself, when its conditions are `shown`.
    #[must_use]
    pub fn pool_status(&self, pool: &ObjectRef, shown: &[Condition]) -> IPAddressPoolStatus {
        of_pool(&self.allocator, &pool.name, &self.problems_of(pool), shown, self.now)
    }

    /// What an advertisement is to say of itself, when its conditions are `shown`. One that nothing is wrong with, and
    /// that has said nothing so far, has nothing to say.
    #[must_use]
    pub fn advertisement_conditions(&self, advertisement: &ObjectRef, shown: &[Condition]) -> Vec<Condition> {
        let problems = self.problems_of(advertisement);
        if problems.is_empty() && !shown.iter().any(|it| it.type_ == IN_FORCE) {
            return shown.to_vec();
        }
        conditions(&problems, shown, self.now)
    }

    fn problems_of(&self, object: &ObjectRef) -> Vec<&Problem> {
        self.problems.iter().filter(|problem| problem.object.same_name(object)).collect()
    }
}

/// What a pool is to say. `shown` are the conditions that it has.
pub(super) fn of_pool(
    allocator: &Allocator,
    pool: &str,
    problems: &[&Problem],
    shown: &[Condition],
    now: i64,
) -> IPAddressPoolStatus {
    let count = |family, of: fn(&Counters) -> u128| {
        let counters = allocator.counters(pool, family).unwrap_or_default();
        // The numbers of IPv6 do not fit into what the schema has; MetalLB stops counting at the same one.
        i64::try_from(of(&counters)).unwrap_or(i64::MAX)
    };
    let assigned = |counters: &Counters| counters.assigned;
    let free = |counters: &Counters| counters.available();
    IPAddressPoolStatus {
        assigned_ipv4: count(Family::V4, assigned),
        assigned_ipv6: count(Family::V6, assigned),
        available_ipv4: count(Family::V4, free),
        available_ipv6: count(Family::V6, free),
        conditions: conditions(problems, shown, now),
    }
}

/// The conditions of an object with these problems: ours, behind those of others.
pub(super) fn conditions(problems: &[&Problem], shown: &[Condition], now: i64) -> Vec<Condition> {
    let errors = problems.iter().any(|problem| problem.severity == Severity::Error);
    let status = if errors { "False" } else { "True" };
    let lines: Vec<String> = problems.iter().map(|problem| line(problem)).collect();
    let before = shown.iter().find(|it| it.type_ == IN_FORCE && it.status == status);
    // The API keeps seconds.
    let now = Timestamp::from_second(now / 1_000_000).unwrap_or_default();
    let ours = Condition {
        type_: IN_FORCE.to_owned(),
        status: status.to_owned(),
        reason: problems.first().map_or("InForce", |problem| &*problem.code).to_owned(),
        message: lines.join("; "),
        last_transition_time: before.map_or(Time(now), |it| it.last_transition_time.clone()),
        observed_generation: None,
    };
    let others = shown.iter().filter(|it| it.type_ != IN_FORCE).cloned();
    others.chain([ours]).collect()
}

/// What a condition says of a problem.
pub(super) fn line(problem: &Problem) -> String {
    format!("{}: {}", problem.path, problem.message)
}
