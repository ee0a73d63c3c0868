//! `Node` as ownership sees it.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

/// Whoever carries this label, with any value, announces nothing.
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Reads a node.
#[must_use]
pub fn read(node: &Node) -> lbcore::Node {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let network_unavailable = conditions
        .into_iter()
        .any(|condition| condition.type_ == "NetworkUnavailable" && condition.status == "True");
    lbcore::Node {
        name: node.name_any(),
        labels: node.labels().clone(),
        excluded: node.labels().contains_key(EXCLUDE),
        network_unavailable,
    }
}
