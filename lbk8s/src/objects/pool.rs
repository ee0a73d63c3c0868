//! `IPAddressPool` as a pool of `lbcore`.

use kube::ResourceExt;
use lbcore::{PoolSpec, ServiceAllocation};

use super::metallb::IPAddressPool;
use super::{ObjectRef, Problem, created, selector};

/// Reads a pool.
///
/// # Errors
/// All that is wrong with it; the pool is not in force then.
pub fn read(pool: &IPAddressPool) -> Result<PoolSpec, Vec<Problem>> {
    let object = ObjectRef::of(pool);
    let mut problems = Vec::new();
    let spec = &pool.spec;
    let parsed = PoolSpec::parse(pool.name_any(), spec.addresses.iter().map(String::as_str));
    let parsed = parsed.map_err(|errors| {
        problems.extend(errors.0.into_iter().map(|error| Problem::new(&object, error.path, error.kind)));
    });
    let rules = spec.service_allocation.clone().unwrap_or_default();
    let mut selectors = |field: &str, list| {
        selector::read_all(&object, &format!("spec.serviceAllocation.{field}"), list, &mut problems)
    };
    let allocation = ServiceAllocation {
        priority: rules.priority.unwrap_or(0),
        namespaces: rules.namespaces.clone().into_iter().flatten().collect(),
        namespace_selectors: selectors("namespaceSelectors", rules.namespace_selectors.as_ref()),
        service_selectors: selectors("serviceSelectors", rules.service_selectors.as_ref()),
    };
    match parsed {
        Ok(parsed) if problems.is_empty() => Ok(PoolSpec {
            created: created(pool),
            auto_assign: spec.auto_assign.unwrap_or(true),
            avoid_buggy: spec.avoid_buggy_ips.unwrap_or(false),
            allocation,
            labels: pool.labels().clone(),
            ..parsed
        }),
        _ => Err(problems),
    }
}
