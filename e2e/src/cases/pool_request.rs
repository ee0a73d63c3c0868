//! A Service that names a pool or an address.

use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{advertisement, pool, service};

use crate::worlds::served;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("a_pool_is_named_that_gives_by_itself_too", async |cluster: &mut Cluster| {
            named_pool(cluster, true).await
        }),
        case("a_pool_is_named_that_gives_on_request_only", async |cluster: &mut Cluster| {
            named_pool(cluster, false).await
        }),
        case("the_annotation_names_the_pool_of_the_address", annotation),
        case("addresses_are_asked_for_by_annotation_and_by_field", address),
        case("a_pool_that_is_not_there_is_named_in_the_reason", unknown_pool),
    ]
}

async fn named_pool(cluster: &mut Cluster, auto_assign: bool) -> Result {
    cluster.create_all(&[pool("default", &["192.168.3.200-192.168.3.209"]), advertisement("all")]).await?;
    let earlier = served(cluster, "earlier", &["n1"]).await?;
    let asked_for = pool("special", &["192.168.3.220-192.168.3.229"]).spec("autoAssign", json!(auto_assign));
    cluster.create(&asked_for).await?;
    cluster.pods("web", &["n2"]).await?;
    cluster.create(&service("web").annotation("metallb.io/address-pool", "special")).await?;
    cluster.shows("web", &["192.168.3.220"]).await?;
    cluster.serves("192.168.3.220".parse()?, "web").await?;
    // The earlier one is where it was.
    cluster.shows("earlier", &[&earlier.to_string()]).await?;
    cluster.serves(earlier, "earlier").await.map(drop)
}

async fn annotation(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("default", &["192.168.3.200-192.168.3.209"]), advertisement("all")]).await?;
    served(cluster, "web", &["n1"]).await?;
    let service = cluster.get("Service", "web").await?;
    assert_eq!(service["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"], "default");
    cluster.change("Service", "web", json!({"type": "ClusterIP"})).await?;
    crate::wait::until("the annotation is gone", async || {
        let service = cluster.get("Service", "web").await?;
        let left = &service["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"];
        if left.is_null() { Ok(()) } else { Err(left.to_string().into()) }
    })
    .await
}

async fn address(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("default", &["192.168.3.200-192.168.3.209"]), advertisement("all")]).await?;
    cluster.pods("a", &["n1"]).await?;
    cluster.create(&service("a").annotation("metallb.io/loadBalancerIPs", "192.168.3.207")).await?;
    cluster.create(&service("b").spec("loadBalancerIP", json!("192.168.3.205"))).await?;
    cluster.create(&service("c").annotation("metallb.universe.tf/loadBalancerIPs", "192.168.3.203")).await?;
    cluster.shows("a", &["192.168.3.207"]).await?;
    cluster.shows("b", &["192.168.3.205"]).await?;
    cluster.shows("c", &["192.168.3.203"]).await?;
    cluster.serves("192.168.3.207".parse()?, "a").await?;
    cluster.create(&service("d").annotation("metallb.io/loadBalancerIPs", "192.168.3.207")).await?;
    cluster.pending("d", "AddressInUse").await?;
    cluster.create(&service("e").annotation("metallb.io/loadBalancerIPs", "192.168.7.1")).await?;
    cluster.pending("e", "AddressOutsidePools").await
}

async fn unknown_pool(cluster: &mut Cluster) -> Result {
    cluster.create(&pool("default", &["192.168.3.200-192.168.3.209"])).await?;
    cluster.create(&service("web").annotation("metallb.io/address-pool", "special")).await?;
    cluster.pending("web", "special").await?;
    cluster.event("web", "AllocationFailed", "special").await?;
    cluster.create(&pool("special", &["192.168.3.220-192.168.3.229"])).await?;
    cluster.shows("web", &["192.168.3.220"]).await?;
    cluster.event("web", "IPAllocated", "192.168.3.220").await.map(drop)
}
