//! Clusters in which MetalLB was before.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{Object, advertisement, pool, service};
use crate::plane::Kind;
use crate::wait::until;

use crate::worlds::{one_pool, served};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("services_of_metallb_are_taken_over_without_a_change", taken_over),
        case("the_config_map_of_v0_12_is_followed_where_there_is_no_pool", config_map),
        case("a_pool_beside_the_config_map_of_v0_12_leaves_every_address", config_map_and_pool),
        case("a_webhook_of_metallb_that_was_left_behind_is_told_of", webhook).only_on(Kind::Real),
    ]
}

/// Objects as MetalLB leaves them: addresses in the status, its pool beside them, and statuses of its speakers.
async fn taken_over(cluster: &mut Cluster) -> Result {
    cluster.stop_all()?;
    one_pool(cluster).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    // Not the addresses that ours would have given, and not in the order of age.
    let given = [("a", "192.168.3.207"), ("b", "192.168.3.203"), ("c", "192.168.3.205")];
    for (name, address) in given {
        let held = service(name).annotation("metallb.io/ip-allocated-from-pool", "default");
        cluster.create(&held.spec("selector", json!({"app": "web"}))).await?;
        let ingress = json!({"loadBalancer": {"ingress": [{"ip": address}]}});
        cluster.patch_status("Service", name, ingress).await?;
    }
    // One that it never got to.
    cluster.create(&service("late").spec("selector", json!({"app": "web"}))).await?;
    let before = ingresses(cluster).await?;
    cluster.start().await?;
    cluster.shows("late", &["192.168.3.200"]).await?;
    for (name, address) in given {
        cluster.serves(address.parse()?, "web").await?;
        assert_eq!(ingresses(cluster).await?[name], before[name], "{name} has what it had");
    }
    Ok(())
}

async fn ingresses(cluster: &Cluster) -> Result<BTreeMap<String, Value>> {
    let services = cluster.list("Service").await?.into_iter();
    let ingress = |service: Value| {
        let name = service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        (name, service["status"]["loadBalancer"].clone())
    };
    Ok(services.map(ingress).collect())
}

async fn webhook(cluster: &mut Cluster) -> Result {
    cluster.create(&super::metallb::webhook()).await?;
    until("the controller tells of the webhook", async || {
        let log = cluster.log("controller")?;
        if log.contains("metallb-webhook-configuration") {
            Ok(())
        } else {
            Err("it says nothing of it".into())
        }
    })
    .await
}

/// The configuration of old, with these addresses.
fn old_configuration(addresses: &str) -> Object {
    let text =
        format!("address-pools:\n- name: default\n  protocol: layer2\n  addresses:\n  - {addresses}\n");
    crate::object::config_map("config", "config", &text)
}

async fn config_map(cluster: &mut Cluster) -> Result {
    cluster.create(&old_configuration("192.168.3.200-192.168.3.203")).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    assert_eq!(address.to_string(), "192.168.3.200");
    let grown = old_configuration("192.168.3.200-192.168.3.209").0["data"].take();
    cluster.patch("ConfigMap", "config", json!({"data": grown})).await?;
    cluster.pods("other", &["n3"]).await?;
    cluster.create(&service("other").annotation("metallb.io/loadBalancerIPs", "192.168.3.209")).await?;
    cluster.shows("other", &["192.168.3.209"]).await?;
    cluster.serves("192.168.3.209".parse()?, "other").await.map(drop)
}

async fn config_map_and_pool(cluster: &mut Cluster) -> Result {
    cluster.create(&old_configuration("192.168.3.200-192.168.3.203")).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    cluster.create_all(&[pool("new", &["192.168.3.200-192.168.3.209"]), advertisement("all")]).await?;
    cluster.create(&service("other").annotation("metallb.io/loadBalancerIPs", "192.168.3.209")).await?;
    cluster.shows("other", &["192.168.3.209"]).await?;
    cluster.shows("web", &[&address.to_string()]).await?;
    cluster.serves(address, "web").await.map(drop)
}
