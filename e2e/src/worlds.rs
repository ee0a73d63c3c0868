//! Worlds that many cases begin with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::Result;
use crate::cluster::Cluster;
use crate::object::{Object, advertisement, pool, service};
use crate::seen::addresses;
use crate::wait::until_within;

/// The arguments under which an address returns at once to the node that is best, as MetalLB does.
pub(crate) const FAIL_BACK: [&str; 2] = ["--failback", "always"];

/// Starts the speakers of all nodes anew with these further arguments.
pub(crate) async fn restart_speakers(cluster: &mut Cluster, arguments: &[&str]) -> Result {
    for node in ["n1", "n2", "n3"] {
        cluster.kill(&format!("speaker-{node}"))?;
    }
    cluster.start_speakers(arguments).await
}

/// The arguments under which what a pool no longer has is taken away at once, as MetalLB does.
pub(crate) const TAKE_AWAY: [&str; 2] = ["--lost-addresses", "take-away"];

/// Waits until the controller knows these pools. A watch tells of pools and another one of Services: of two objects that are
/// made one after the other it may hear the other way round.
pub(crate) async fn pools_known(cluster: &mut Cluster, names: &[&str]) -> Result {
    for name in names {
        until_within(crate::wait::PATIENCE, "the controller counts the pool", async || {
            cluster.lives()?;
            let counted = cluster.get("IPAddressPool", name).await?["status"]["availableIPv4"].clone();
            if counted.is_null() { Err(format!("{name} is not counted").into()) } else { Ok(()) }
        })
        .await?;
    }
    Ok(())
}

/// The pool of most cases.
pub(crate) const POOL: &str = "192.168.3.200-192.168.3.209";

/// One pool, announced from everywhere.
pub(crate) async fn one_pool(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("default", &[POOL]), advertisement("all")]).await
}

/// A Service with a pod on each of these nodes, announced and reached; its address.
pub(crate) async fn served(cluster: &mut Cluster, name: &str, nodes: &[&str]) -> Result<IpAddr> {
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

/// A Service that nobody has to reach: without pods, without ports on the nodes, and not for kube-proxy.
fn bare(name: &str) -> Object {
    let bare = service(name).label("service.kubernetes.io/service-proxy-name", "none");
    let mut bare = bare.spec("allocateLoadBalancerNodePorts", json!(false));
    bare.0["spec"]["selector"].take();
    bare
}

/// Makes Services, many at a time.
pub(crate) async fn create_many(cluster: &Cluster, names: impl IntoIterator<Item = String>) -> Result {
    let made = futures::stream::iter(names).map(|name| async move { cluster.create(&bare(&name)).await });
    made.buffer_unordered(32).try_for_each(async |_| Ok(())).await
}

/// Waits until `count` load balancers have an address each, and no two the same; what each has.
pub(crate) async fn all_have_their_own(
    cluster: &mut Cluster,
    count: usize,
) -> Result<BTreeMap<String, IpAddr>> {
    let patience = Duration::from_mins(3);
    until_within(patience, &format!("{count} Services have addresses of their own"), async || {
        cluster.lives()?;
        let services = cluster.list("Service").await?;
        let balanced = services.iter().filter(|service| service["spec"]["type"] == "LoadBalancer");
        let held: BTreeMap<String, IpAddr> = balanced
            .filter_map(|service| {
                Some((service["metadata"]["name"].as_str()?.to_owned(), *addresses(service).first()?))
            })
            .collect();
        let distinct: BTreeSet<IpAddr> = held.values().copied().collect();
        if held.len() == count && distinct.len() == count {
            return Ok(held);
        }
        Err(format!("{} have {} addresses", held.len(), distinct.len()).into())
    })
    .await
}
