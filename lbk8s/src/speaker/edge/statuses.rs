//! `ServiceL2Status`: which node answers for a Service, written by that node.
//!
//! The name of the object comes from the Service alone, so that there is one of it: a new owner takes the place of a
//! former one, also of one that never returns.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::ObjectMeta;
use kube::{Api, Client, ResourceExt};
use lbcore::ServiceKey;
use serde_json::json;

use crate::objects::metallb::{InterfaceInfo, L2Status, SECOND_FAMILY, ServiceL2Status};
use crate::upkeep::Upkeep;
use crate::watching::explain_client;

/// The labels by which MetalLB's users find these objects.
const NODE: &str = "metallb.io/node";
const SERVICE_NAME: &str = "metallb.io/service-name";
const SERVICE_NAMESPACE: &str = "metallb.io/service-namespace";

/// The selector of the objects that a node has written.
pub(super) fn of_node(node: &str) -> String {
    format!("{NODE}={}", label(node))
}

/// A node's name as the value of a label, which is shorter than a name can be.
fn label(node: &str) -> String {
    if node.len() <= 63 {
        return node.to_owned();
    }
    let start = node.get(..46).unwrap_or(node).trim_end_matches(['.', '-']);
    format!("{start}-{:016x}", hash(node.as_bytes()))
}

/// The name of a Service's object. If two nodes answer for the two families of a Service, that for IPv6 has its own.
pub(super) fn name(service: &ServiceKey, second_family: bool) -> String {
    let family = if second_family { SECOND_FAMILY } else { "" };
    format!("l2-{:016x}{family}", hash(service.to_string().as_bytes()))
}

/// FNV-1a: the same on every node and in every version.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What an object is to say; `None`: it is not to be there, or to be another node's.
pub(super) type Says = Option<L2Status>;

/// Keeps the objects of this node up to date.
pub(super) fn keep(client: &Client, namespace: &str, node: &str) -> Upkeep<String, Says> {
    let api: Api<ServiceL2Status> = Api::namespaced(client.clone(), namespace);
    let owner = Api::<crate::objects::facts::NodeFacts>::namespaced(client.clone(), namespace);
    let node = node.to_owned();
    let put = move |name: String, says: Says| {
        let (api, owner, node) = (api.clone(), owner.clone(), node.clone());
        async move {
            let told = |error: kube::Error| explain_client(&error);
            let Some(status) = says else {
                return remove(&api, &name, &node).await.map(|()| None).map_err(told);
            };
            let stored = api.get_opt(&name).await.map_err(told)?;
            if let Some(young) = stored.as_ref().filter(|it| !is_of(it, &node) && is_young(it)) {
                // Two that both believe to be the owner do not replace each other's word without end: this is tried
                // again, after longer and longer pauses.
                return Err(format!("node {} has just written it", node_of(young)));
            }
            write(&api, &owner, &name, stored, status).await.map(Some).map_err(told)
        }
    };
    Upkeep::new("ServiceL2Status", put).without(Option::is_none)
}

/// The node that wrote an object: that of its status, or before there is one that of its labels.
fn node_of(stored: &ServiceL2Status) -> &str {
    let of_status = stored.status.as_ref().map(|status| status.node.as_str()).filter(|node| !node.is_empty());
    of_status.or(stored.labels().get(NODE).map(String::as_str)).unwrap_or_default()
}

fn is_of(stored: &ServiceL2Status, node: &str) -> bool {
    let of = node_of(stored);
    of == node || (stored.status.is_none() && of == label(node))
}

/// For so long another node's object is not replaced.
const YOUNG: i64 = 5;

/// Whether an object was made a moment ago, if the clocks say anything about that.
fn is_young(stored: &ServiceL2Status) -> bool {
    let age = stored.creation_timestamp().map(|made| Timestamp::now().as_second() - made.0.as_second());
    age.is_some_and(|age| (0..YOUNG).contains(&age))
}

async fn write(
    api: &Api<ServiceL2Status>,
    owner: &Api<crate::objects::facts::NodeFacts>,
    name: &str,
    stored: Option<ServiceL2Status>,
    status: L2Status,
) -> Result<L2Status, kube::Error> {
    let is_ours = |stored: &ServiceL2Status| is_of(stored, &status.node);
    if let Some(other) = stored.as_ref().filter(|stored| !is_ours(stored)) {
        // Whose it is cannot be changed in it.
        delete(api, other).await?;
    }
    if !stored.as_ref().is_some_and(is_ours) {
        api.create(&PostParams::default(), &new(owner, name, &status).await).await?;
    }
    // An empty list is not written, and would stay as it was.
    let interfaces = (!status.interfaces.is_empty()).then_some(&status.interfaces);
    let patch = json!({"status": {
        "node": status.node,
        "serviceName": status.service_name,
        "serviceNamespace": status.service_namespace,
        "interfaces": interfaces,
    }});
    let written = api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(written.status.unwrap_or_default())
}

async fn new(
    owner: &Api<crate::objects::facts::NodeFacts>,
    name: &str,
    status: &L2Status,
) -> ServiceL2Status {
    let label_of = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let labels = BTreeMap::from([
        (NODE.to_owned(), label(&status.node)),
        label_of(SERVICE_NAME, &status.service_name),
        label_of(SERVICE_NAMESPACE, &status.service_namespace),
    ]);
    // It goes with the node: its NodeFacts belong to the Node.
    let facts = owner.get_metadata(&status.node).await.ok().and_then(|facts| facts.metadata.uid);
    let owner = facts.map(|uid| OwnerReference {
        api_version: "lbd.io/v1alpha1".to_owned(),
        kind: "NodeFacts".to_owned(),
        name: status.node.clone(),
        uid,
        ..OwnerReference::default()
    });
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels),
        owner_references: owner.map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    ServiceL2Status { metadata, ..ServiceL2Status::default() }
}

/// Removes an object, unless it is another node's by now.
async fn remove(api: &Api<ServiceL2Status>, name: &str, node: &str) -> Result<(), kube::Error> {
    match api.get_opt(name).await? {
        Some(stored) if is_of(&stored, node) => delete(api, &stored).await,
        _ => Ok(()),
    }
}

async fn delete(api: &Api<ServiceL2Status>, stored: &ServiceL2Status) -> Result<(), kube::Error> {
    let preconditions = Preconditions { uid: stored.uid(), ..Preconditions::default() };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.delete(&stored.name_any(), &parameters).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => deleted.map(|_| ()),
    }
}

/// What the object of a Service is to say.
pub(super) fn status(node: &str, service: &ServiceKey, interfaces: &[String]) -> L2Status {
    L2Status {
        node: node.to_owned(),
        service_name: service.name().to_owned(),
        service_namespace: service.namespace().to_owned(),
        interfaces: interfaces.iter().map(|name| InterfaceInfo { name: name.clone() }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_fit() {
        let service = ServiceKey::new("n".repeat(63), "s".repeat(63));
        assert!(name(&service, true).len() < 63);
        assert_ne!(name(&service, false), name(&ServiceKey::new("n", "s"), false));
        let long = format!("{}.{}", "a".repeat(45), "b".repeat(60));
        let value = label(&long);
        assert!(value.len() <= 63 && !value.contains(".-"), "{value}");
        assert_ne!(value, label(&format!("{long}c")));
        assert_eq!(label("n1"), "n1");
    }
}
