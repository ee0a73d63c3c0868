//! `L2Advertisement` as `lbcore` knows it.

use kube::ResourceExt;
use lbcore::Advertisement;

use super::metallb::L2Advertisement;
use super::{ObjectRef, Problem, selector};

/// Reads an advertisement.
///
/// # Errors
/// All that is wrong with it; the advertisement is not in force then: a selector that cannot be read could
/// otherwise announce where it should not.
pub fn read(advertisement: &L2Advertisement) -> Result<Advertisement, Vec<Problem>> {
    let object = ObjectRef::of(advertisement);
    let spec = &advertisement.spec;
    let mut problems = Vec::new();
    let mut selectors =
        |field: &str, list| selector::read_all(&object, &format!("spec.{field}"), list, &mut problems);
    let pool_selectors = selectors("ipAddressPoolSelectors", spec.ip_address_pool_selectors.as_ref());
    let node_selectors = selectors("nodeSelectors", spec.node_selectors.as_ref());
    let service_selectors = selectors("serviceSelectors", spec.service_selectors.as_ref());
    let mut preferred = Vec::new();
    for (index, entry) in spec.preferred_node_selectors.iter().flatten().enumerate() {
        let path = format!("spec.preferredNodeSelectors[{index}]");
        if !(1..=100).contains(&entry.weight) {
            let message = format!("{} is out of range; a weight goes from 1 to 100", entry.weight);
            problems.push(Problem::new(&object, "InvalidWeight", format!("{path}.weight"), message));
        }
        let preference =
            selector::read(&object, &format!("{path}.preference"), &entry.preference, &mut problems);
        preferred.extend(preference.map(|preference| (entry.weight, preference)));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Advertisement {
        name: advertisement.name_any(),
        pools: spec.ip_address_pools.clone().into_iter().flatten().collect(),
        pool_selectors,
        node_selectors,
        service_selectors,
        preferred,
        interfaces: spec.interfaces.clone().into_iter().flatten().collect(),
    })
}
