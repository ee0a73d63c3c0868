//! MetalLB's objects for BGP, which we do not serve.

use serde_json::{Value, json};

use super::objects::{NAMESPACE, definition};
use super::says;
use crate::Result;
use crate::cluster::Cluster;
use crate::object::Object;
use crate::wait::until;
use crate::worlds::{one_pool, served};

pub(super) async fn told_of(cluster: &mut Cluster) -> Result {
    let definitions = [
        definition("BGPPeer", "bgppeers", "v1beta2"),
        definition("BGPAdvertisement", "bgpadvertisements", "v1beta1"),
    ];
    cluster.create_all(&definitions).await?;
    let outcome = are_told_of(cluster).await;
    // Other cases are in a cluster without them.
    for definition in &definitions {
        let name = definition.0["metadata"]["name"].as_str().unwrap_or_default();
        cluster.delete("CustomResourceDefinition", name).await?;
    }
    outcome
}

async fn are_told_of(cluster: &mut Cluster) -> Result {
    let object = |kind: &str, version: &str, name: &str, spec: Value| {
        let metadata = json!({"name": name, "namespace": NAMESPACE});
        Object(
            json!({"apiVersion": format!("metallb.io/{version}"), "kind": kind, "metadata": metadata, "spec": spec}),
        )
    };
    let peer = object(
        "BGPPeer",
        "v1beta2",
        "tor",
        json!({"myASN": 64500, "peerASN": 64501, "peerAddress": "10.0.0.1"}),
    );
    let routes = object("BGPAdvertisement", "v1beta1", "routes", json!({"ipAddressPools": ["default"]}));
    for object in [peer, routes] {
        until("the kind is served", async || cluster.create(&object).await.map(drop)).await?;
    }
    one_pool(cluster).await?;
    // One that runs looks for kinds that were not there every half minute.
    cluster.restart_controller(&[]).await?;
    for about in ["BGPPeer metallb-system/tor", "BGPAdvertisement metallb-system/routes"] {
        says(cluster, "controller", about).await?;
    }
    says(cluster, "controller", "lbd serves layer 2 only").await?;
    served(cluster, "web", &["n1", "n2"]).await.map(drop)
}
