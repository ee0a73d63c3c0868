//! Who gets an address, keeps it, and gives it up.

use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{advertisement, pool, service};

use crate::worlds::served;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("a_type_change_frees_the_address_for_one_that_waits", type_change),
        case("a_deletion_frees_the_address_for_one_that_waits", deletion),
        case("restarts_of_the_controller_change_nothing", restarts),
        case("a_shared_address_is_left_when_the_policy_fits_no_more_and_shared_again", sharing_policy),
        case("a_shared_address_is_left_when_the_selectors_differ_and_shared_again", sharing_selector),
    ]
}

/// One address; `first` has it and is reached, `second` waits for it.
async fn two_for_one(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("one", &["192.168.3.200/32"]), advertisement("all")]).await?;
    served(cluster, "first", &["n1"]).await?;
    cluster.shows("first", &["192.168.3.200"]).await?;
    cluster.pods("second", &["n2"]).await?;
    cluster.create(&service("second")).await?;
    cluster.pending("second", "PoolExhausted").await
}

async fn type_change(cluster: &mut Cluster) -> Result {
    two_for_one(cluster).await?;
    cluster.change("Service", "first", json!({"type": "ClusterIP"})).await?;
    cluster.shows("second", &["192.168.3.200"]).await?;
    cluster.shows("first", &[]).await?;
    cluster.serves("192.168.3.200".parse()?, "second").await.map(drop)
}

async fn deletion(cluster: &mut Cluster) -> Result {
    two_for_one(cluster).await?;
    cluster.delete("Service", "first").await?;
    cluster.shows("second", &["192.168.3.200"]).await?;
    cluster.serves("192.168.3.200".parse()?, "second").await.map(drop)
}

async fn restarts(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("two", &["192.168.3.200-192.168.3.201"]), advertisement("all")]).await?;
    let address = served(cluster, "a", &["n1"]).await?;
    cluster.create(&service("b")).await?;
    cluster.address("b").await?;
    for name in ["c", "d"] {
        cluster.create(&service(name)).await?;
        cluster.pending(name, "PoolExhausted").await?;
    }
    let mut before = Vec::new();
    for name in ["a", "b", "c", "d"] {
        before.push((name, cluster.get("Service", name).await?));
    }
    for restart in 1..=5 {
        cluster.restart_controller(&[]).await?;
        cluster.caught_up().await?;
        for (name, before) in &before {
            // Not even written: the resource version is the same.
            let now = cluster.get("Service", name).await?;
            assert_eq!(now, *before, "{name} after restart {restart}");
        }
    }
    cluster.serves(address, "a").await.map(drop)
}

/// Two Services that share the only address by a key, on two ports; `second` has the pods of `first` too.
async fn sharing(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("one", &["192.168.3.200/32"]), advertisement("all")]).await?;
    cluster.pods("web", &["n1"]).await?;
    for (name, port) in [("first", 80), ("second", 81)] {
        let shared = service(name).annotation("metallb.io/allow-shared-ip", "key").port(port, "TCP");
        cluster.create(&shared.spec("selector", json!({"app": "web"}))).await?;
        cluster.shows(name, &["192.168.3.200"]).await?;
    }
    both_are_reached(cluster).await
}

async fn both_are_reached(cluster: &mut Cluster) -> Result {
    let address = "192.168.3.200".parse()?;
    cluster.serves(address, "web").await?;
    cluster.reaches_port(address, 81, "web").await.map(drop)
}

async fn sharing_policy(cluster: &mut Cluster) -> Result {
    sharing(cluster).await?;
    cluster.change("Service", "second", json!({"externalTrafficPolicy": "Local"})).await?;
    cluster.pending("second", "PoolExhausted").await?;
    cluster.shows("first", &["192.168.3.200"]).await?;
    cluster.serves("192.168.3.200".parse()?, "web").await?;
    cluster.change("Service", "second", json!({"externalTrafficPolicy": "Cluster"})).await?;
    cluster.shows("second", &["192.168.3.200"]).await?;
    both_are_reached(cluster).await
}

async fn sharing_selector(cluster: &mut Cluster) -> Result {
    sharing(cluster).await?;
    for name in ["second", "first"] {
        cluster.change("Service", name, json!({"externalTrafficPolicy": "Local"})).await?;
    }
    // With the same pods behind them, two Services of policy Local may share.
    cluster.shows("first", &["192.168.3.200"]).await?;
    cluster.shows("second", &["192.168.3.200"]).await?;
    both_are_reached(cluster).await?;
    cluster.change("Service", "second", json!({"selector": {"app": "other"}})).await?;
    cluster.pending("second", "PoolExhausted").await?;
    cluster.serves("192.168.3.200".parse()?, "web").await?;
    cluster.change("Service", "second", json!({"selector": {"app": "web"}})).await?;
    cluster.shows("second", &["192.168.3.200"]).await?;
    both_are_reached(cluster).await
}
