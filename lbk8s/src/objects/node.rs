//! `Node` as ownership sees it, and the addresses that it makes unfit for Services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use lbcore::Avoided;

use super::annotations::{DRAIN, GATEWAYS, REBALANCE, path};
use super::{ObjectRef, Problem};

/// Whoever carries this label, with any value, announces nothing.
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Whoever has this taint is known to be down.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Reads a node.
#[must_use]
pub fn read(node: &Node) -> lbcore::Node {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let network_unavailable = conditions
        .into_iter()
        .any(|condition| condition.type_ == "NetworkUnavailable" && condition.status == "True");
    lbcore::Node {
        name: node.name_any(),
        labels: node.labels().into(),
        excluded: node.labels().contains_key(EXCLUDE),
        network_unavailable,
        drained: is_drained(node),
        cordoned: node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)),
        ..lbcore::Node::default()
    }
}

/// Whether the addresses of a node are to go elsewhere, as far as they can: somebody says so ([`DRAIN`]), or that it is
/// out of service (`node.kubernetes.io/out-of-service`).
fn is_drained(node: &Node) -> bool {
    let asked = node.annotations().get(DRAIN).is_some_and(|value| value.trim() == "true");
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    asked || taints.into_iter().any(|taint| taint.key == OUT_OF_SERVICE)
}

/// The word by which somebody asked for an even spread last ([`REBALANCE`]).
#[must_use]
pub fn rebalance(node: &Node) -> Option<String> {
    node.annotations().get(REBALANCE).cloned()
}

/// Where a node's speaker can be reached by the others.
#[must_use]
pub fn internal_addresses(node: &Node) -> BTreeSet<IpAddr> {
    let listed = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    listed.filter(|it| it.type_ == "InternalIP").filter_map(|it| parse(&it.address)).collect()
}

/// What is wrong with the list of a node's gateways.
#[must_use]
pub fn problems(node: &Node) -> Vec<Problem> {
    let list = node.annotations().get(GATEWAYS).map(String::as_str).unwrap_or_default();
    let bad = list.split(',').map(str::trim).filter(|text| !text.is_empty() && parse(text).is_none());
    let problem = |text: &str| {
        let message = format!("{text:?} is no IP address; write addresses, separated by commas");
        Problem::new(&ObjectRef::of(node), "InvalidAnnotation", path(GATEWAYS), message)
    };
    bad.map(problem).collect()
}

fn parse(text: &str) -> Option<IpAddr> {
    text.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The addresses of a node and of its gateways. What is no address is passed over.
#[must_use]
pub fn addresses(node: &Node) -> BTreeMap<IpAddr, Avoided> {
    let gateways = node.annotations().get(GATEWAYS).map(String::as_str).unwrap_or_default();
    let gateways = gateways.split(',').filter_map(parse);
    let gateways = gateways.map(|address| (address, Avoided::GatewayOf(node.name_any())));
    let listed = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    // The other types are names.
    let listed = listed.filter(|it| it.type_ == "InternalIP" || it.type_ == "ExternalIP");
    let own = listed.filter_map(|it| parse(&it.address));
    gateways.chain(own.map(|address| (address, Avoided::Node(node.name_any())))).collect()
}
