//! What people should know, in the log and in events.

use std::net::IpAddr;

use lbcore::{Avoided, ServiceKey};

use crate::events::{Event, Severity};
use crate::{ObjectRef, Problem, objects};

/// Something that people should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// These pools are in force now.
    Pools {
        /// Where they were read: `IPAddressPool` or `ConfigMap`.
        source: &'static str,
        /// Each pool's name, ranges and number of addresses.
        pools: Vec<(String, Vec<String>, u128)>,
    },
    /// Something is wrong with an object.
    Problem(Problem),
    /// Something that was wrong with an object is so no more.
    Solved(Problem),
    /// A Service got another address, because another station turned out to have the one it was given.
    Moved {
        /// The Service.
        service: ObjectRef,
        /// The address that it was given first.
        from: IpAddr,
        /// Who has that.
        owner: Avoided,
    },
    /// Two controllers gave one address twice; the older Service keeps it.
    Double {
        /// The Service that gets another one.
        service: ObjectRef,
        /// The address.
        address: IpAddr,
        /// The Service that keeps it.
        kept_by: ServiceKey,
    },
    /// Somebody keeps changing the addresses in a Service's status.
    Rival {
        /// The Service.
        service: ObjectRef,
        /// Who, as far as the Service tells.
        writer: Option<String>,
    },
    /// A Service uses annotations under MetalLB's deprecated prefix.
    Deprecated {
        /// The Service.
        service: ObjectRef,
        /// The annotations.
        keys: Vec<String>,
    },
}

/// Writes a notice to the log.
pub fn log(notice: &Notice) {
    match notice {
        Notice::Pools { source, pools } if pools.is_empty() => tracing::info!(source, "no pool is in force"),
        Notice::Pools { source, pools } => {
            for (pool, ranges, addresses) in pools {
                let (ranges, total) = (ranges.join(", "), addresses.to_string());
                tracing::info!(pool, addresses = ranges, total, source, "pool loaded");
            }
        }
        Notice::Problem(problem) => {
            tracing::warn!(object = %problem.object, path = problem.path, "{}", problem.message);
        }
        Notice::Solved(problem) => {
            tracing::info!(object = %problem.object, path = problem.path, "no more: {}", problem.message);
        }
        Notice::Deprecated { .. } => {}
        told => {
            if let Some(Event { about, note, .. }) = event(told) {
                tracing::warn!(object = %about, "{note}");
            }
        }
    }
}

/// The event that goes with a notice.
pub(super) fn event(notice: &Notice) -> Option<Event> {
    let warning = |about: &ObjectRef, reason, note| {
        Some(Event { about: about.clone(), severity: Severity::Warning, reason, note })
    };
    match notice {
        Notice::Pools { .. } | Notice::Solved(_) => None,
        Notice::Problem(problem) => {
            let note = format!("{}: {}", problem.path, problem.message);
            let reason = match problem.severity {
                objects::Severity::Error => "ConfigurationError",
                objects::Severity::Warning => "ConfigurationWarning",
            };
            warning(&problem.object, reason, note)
        }
        Notice::Moved { service, from, owner } => {
            let note = format!("{from} is {owner}; the Service gets another address, which nobody else has");
            warning(service, "ClearAssignment", note)
        }
        Notice::Double { service, address, kept_by } => {
            let note = format!(
                "{address} was given to {kept_by} too, by another controller; {kept_by} is older and keeps it, and this \
                 Service gets another address"
            );
            warning(service, "ClearAssignment", note)
        }
        Notice::Rival { service, writer } => {
            let writer = writer.as_ref().map_or("somebody".to_owned(), |name| format!("{name:?}"));
            let note = format!(
                "{writer} keeps changing status.loadBalancer, which lbd writes; it is put right less and less often. Let \
                 one of the two serve this Service (spec.loadBalancerClass)"
            );
            warning(service, "StatusConflict", note)
        }
        Notice::Deprecated { service, keys } => {
            let note = format!("{} should begin with metallb.io/ now", keys.join(", "));
            warning(service, "deprecatedAnnotation", note)
        }
    }
}
