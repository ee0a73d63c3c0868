//! `loadBalancerClass`.

use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::service;

use crate::worlds::{one_pool, served};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("a_service_of_a_foreign_class_gets_no_address", foreign),
        case("with_a_class_only_services_of_it_are_served", own),
    ]
}

async fn foreign(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    cluster.pods("theirs", &["n1"]).await?;
    let before =
        cluster.create(&service("theirs").spec("loadBalancerClass", json!("example.com/other"))).await?;
    served(cluster, "ours", &["n1"]).await?;
    cluster.caught_up().await?;
    let now = cluster.get("Service", "theirs").await?;
    assert_eq!(now["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "nobody wrote it");
    // An address that its own controller gives it is not ours to announce.
    let ingress = json!({"loadBalancer": {"ingress": [{"ip": "192.168.3.209"}]}});
    cluster.patch_status("Service", "theirs", ingress).await?;
    cluster.speakers_caught_up().await?;
    cluster.unanswered("192.168.3.209".parse()?).await
}

async fn own(cluster: &mut Cluster) -> Result {
    let class = ["--lb-class", "example.com/ours"];
    cluster.restart_controller(&class).await?;
    for node in ["n1", "n2", "n3"] {
        cluster.stop(&format!("speaker-{node}"))?;
    }
    cluster.start_speakers(&class).await?;
    one_pool(cluster).await?;
    let before = cluster.create(&service("classless")).await?;
    cluster.pods("ours", &["n1"]).await?;
    cluster.create(&service("ours").spec("loadBalancerClass", json!("example.com/ours"))).await?;
    let address = cluster.address("ours").await?;
    cluster.serves(address, "ours").await?;
    let now = cluster.get("Service", "classless").await?;
    assert_eq!(now["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "nobody wrote it");
    Ok(())
}
