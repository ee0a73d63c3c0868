//! Worlds that many cases begin with.

use serde_json::{Value, json};

use crate::Result;
use crate::cluster::Cluster;
use crate::object::{advertisement, pool, service};

/// The arguments under which what a pool no longer has is taken away at once, as MetalLB does.
pub(crate) const TAKE_AWAY: [&str; 2] = ["--lost-addresses", "take-away"];

/// The pool of most cases.
pub(crate) const POOL: &str = "192.168.3.200-192.168.3.209";

/// One pool, announced from everywhere.
pub(crate) async fn one_pool(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("default", &[POOL]), advertisement("all")]).await
}

/// A Service with a pod on each of these nodes, announced and reached; its address.
pub(crate) async fn served(cluster: &mut Cluster, name: &str, nodes: &[&str]) -> Result<std::net::IpAddr> {
    cluster.pods(name, nodes).await?;
    cluster.create(&service(name)).await?;
    let address = cluster.address(name).await?;
    cluster.serves(address, name).await?;
    Ok(address)
}

/// A list with one selector, of one label.
pub(crate) fn labelled(key: &str, value: &str) -> Value {
    json!([{"matchLabels": {key: value}}])
}

/// A list with one selector, of one node.
pub(crate) fn node(name: &str) -> Value {
    labelled("kubernetes.io/hostname", name)
}
