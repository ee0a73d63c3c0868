//! `Node` as ownership sees it, and the addresses that it makes unfit for Services.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use lbcore::Avoided;

use super::annotations::GATEWAYS;

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

/// The addresses of a node and of its gateways. What is no address is passed over.
#[must_use]
pub fn addresses(node: &Node) -> BTreeMap<IpAddr, Avoided> {
    let parse = |text: &str| text.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let gateways = node.annotations().get(GATEWAYS).map(String::as_str).unwrap_or_default();
    let gateways = gateways.split(',').filter_map(parse);
    let gateways = gateways.map(|address| (address, Avoided::GatewayOf(node.name_any())));
    let listed = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    // The other types are names.
    let listed = listed.filter(|it| it.type_ == "InternalIP" || it.type_ == "ExternalIP");
    let own = listed.filter_map(|it| parse(&it.address));
    gateways.chain(own.map(|address| (address, Avoided::Node(node.name_any())))).collect()
}
