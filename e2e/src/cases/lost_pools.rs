//! What becomes of held addresses when their pool goes: taken away under one setting, kept under the other.

use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::pool;

use crate::worlds::{TAKE_AWAY, one_pool, served};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("take_away_without_any_pool_the_status_is_emptied", all_gone_taken),
        case("without_any_pool_the_address_is_kept_until_the_service_goes", all_gone_kept),
        case("take_away_when_a_pool_is_deleted_another_gives_an_address", one_gone_taken),
        case("when_a_pool_is_deleted_its_address_is_kept_until_the_service_goes", one_gone_kept),
        case("when_a_pool_is_deleted_a_release_gives_its_address_up", released),
    ]
}

async fn all_gone_taken(cluster: &mut Cluster) -> Result {
    cluster.restart_controller(&TAKE_AWAY).await?;
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1"]).await?;
    cluster.delete("IPAddressPool", "default").await?;
    cluster.shows("web", &[]).await?;
    cluster.unanswered(address).await
}

async fn all_gone_kept(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1"]).await?;
    cluster.delete("IPAddressPool", "default").await?;
    cluster.told("web", "PoolGone").await?;
    cluster.shows("web", &[&address.to_string()]).await?;
    cluster.serves(address, "web").await?;
    cluster.delete("Service", "web").await?;
    cluster.unanswered(address).await
}

/// Two pools; the Service holds an address of the first, which is deleted.
async fn first_of_two_goes(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    served(cluster, "web", &["n1"]).await?;
    cluster.shows("web", &["192.168.3.200"]).await?;
    cluster.create(&pool("other", &["192.168.3.220-192.168.3.229"])).await?;
    cluster.delete("IPAddressPool", "default").await
}

async fn one_gone_taken(cluster: &mut Cluster) -> Result {
    cluster.restart_controller(&TAKE_AWAY).await?;
    first_of_two_goes(cluster).await?;
    cluster.shows("web", &["192.168.3.220"]).await?;
    cluster.serves("192.168.3.220".parse()?, "web").await?;
    cluster.unanswered("192.168.3.200".parse()?).await
}

async fn one_gone_kept(cluster: &mut Cluster) -> Result {
    first_of_two_goes(cluster).await?;
    cluster.told("web", "PoolGone").await?;
    cluster.shows("web", &["192.168.3.200"]).await?;
    cluster.serves("192.168.3.200".parse()?, "web").await?;
    // A Service that comes now gets an address that is in force.
    cluster.create(&crate::object::service("new")).await?;
    cluster.shows("new", &["192.168.3.220"]).await
}

async fn released(cluster: &mut Cluster) -> Result {
    first_of_two_goes(cluster).await?;
    cluster.told("web", "PoolGone").await?;
    let release = json!({"metadata": {"annotations": {"lbd.io/release": "192.168.3.200"}}});
    cluster.patch("Service", "web", release).await?;
    cluster.shows("web", &["192.168.3.220"]).await?;
    cluster.serves("192.168.3.220".parse()?, "web").await?;
    cluster.unanswered("192.168.3.200".parse()?).await
}
