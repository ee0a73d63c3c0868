//! What the API of the cluster has: nodes, pools, an advertisement, and Services that every node serves.

use std::net::Ipv4Addr;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use lbk8s::objects::metallb::{IPAddressPool, L2Advertisement};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::site::Result;

/// The address of the Service that is watched.
pub(super) const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 200);
/// Its port of a web server.
pub(super) const HTTP: u16 = 80;
/// Its port of a server that says back what it is told.
pub(super) const ECHO: u16 = 7;
/// The addresses of Services beside it.
const OTHERS: &str = "192.168.3.201-192.168.3.254";

/// Makes the object of a node.
pub(super) async fn node(client: &Client, name: &str, address: Ipv4Addr) -> Result<()> {
    let metadata = ObjectMeta {
        labels: Some([("kubernetes.io/hostname".to_owned(), name.to_owned())].into()),
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    let api: Api<Node> = Api::all(client.clone());
    api.create(&PostParams::default(), &Node { metadata, ..Node::default() }).await?;
    let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": address}]}});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

/// Makes the pools, the advertisement, and the Service that has [`VIP`].
pub(super) async fn world(client: &Client, nodes: &[&str]) -> Result<()> {
    let ours = lbk8s::CONFIG_NAMESPACE;
    let pool = |name: &str, addresses: String| json!({"metadata": {"name": name}, "spec": {"addresses": [addresses]}});
    create::<IPAddressPool>(client, ours, pool("one", format!("{VIP}/32"))).await?;
    create::<IPAddressPool>(client, ours, pool("others", OTHERS.to_owned())).await?;
    create::<L2Advertisement>(client, ours, json!({"metadata": {"name": "all"}, "spec": {}})).await?;
    service(client, "web", "one", nodes).await
}

/// Makes a Service with an address of a pool and an endpoint on each node.
pub(super) async fn service(client: &Client, name: &str, pool: &str, nodes: &[&str]) -> Result<()> {
    let endpoint =
        |node: &&str| json!({"addresses": ["127.0.0.1"], "conditions": {"ready": true}, "nodeName": node});
    let endpoints: Vec<Value> = nodes.iter().map(endpoint).collect();
    let slice = json!({
        "metadata": {"name": format!("{name}-1"), "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": [],
    });
    create::<EndpointSlice>(client, "default", slice).await?;
    let ports = json!([{"name": "http", "port": HTTP}, {"name": "echo", "port": ECHO}]);
    let service = json!({
        "metadata": {"name": name, "annotations": {"metallb.io/address-pool": pool}},
        "spec": {"type": "LoadBalancer", "ports": ports},
    });
    create::<Service>(client, "default", service).await
}

async fn create<K>(client: &Client, namespace: &str, object: Value) -> Result<()>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}
