//! The interfaces that an advertisement names.

use std::net::IpAddr;

use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{advertisement, config_map, pool, service};
use crate::wait::until;

use crate::worlds::{POOL, node};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("the_status_names_the_interface", status),
        case("the_hardware_address_is_that_of_the_interface", hardware_address),
        case("a_change_of_the_interface_is_followed", change),
        case("an_interface_that_is_not_there_is_told_and_nobody_answers", not_there),
        case("an_interface_that_the_config_map_excludes_answers_no_more", excluded),
        case("two_advertisements_name_the_interfaces_of_both", union),
        case("together_with_a_node_selector", with_node),
    ]
}

/// A Service on nodes that have a second interface; its address, not yet announced.
async fn on_two_interfaces(cluster: &mut Cluster) -> Result<IpAddr> {
    cluster.site.plug_second_interfaces(false).await?;
    a_service(cluster).await
}

async fn a_service(cluster: &mut Cluster) -> Result<IpAddr> {
    cluster.create(&pool("default", &[POOL])).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    cluster.create(&service("web")).await?;
    cluster.address("web").await
}

/// Waits until one interface of this name answers, and the Service is reached through it.
async fn answered_on(cluster: &mut Cluster, address: IpAddr, interface: &str) -> Result {
    until(&format!("an {interface} alone answers for {address}"), async || {
        let answering = cluster.who_answers(address).await?;
        let alone = answering.len() == 1 && answering.iter().all(|it| it.ends_with(interface));
        if alone { Ok(()) } else { Err(format!("{answering:?}").into()) }
    })
    .await?;
    cluster.reaches(address, "web").await.map(drop)
}

async fn status(cluster: &mut Cluster) -> Result {
    let address = on_two_interfaces(cluster).await?;
    cluster.create(&advertisement("one").spec("interfaces", json!(["eth1"]))).await?;
    answered_on(cluster, address, "eth1").await?;
    until("the status names eth1", async || {
        let statuses = cluster.list("ServiceL2Status").await?;
        let named = statuses.iter().all(|it| it["status"]["interfaces"] == json!([{"name": "eth1"}]));
        if named && statuses.len() == 1 { Ok(()) } else { Err(format!("{statuses:?}").into()) }
    })
    .await
}

async fn hardware_address(cluster: &mut Cluster) -> Result {
    let address = on_two_interfaces(cluster).await?;
    cluster.create(&advertisement("one").spec("interfaces", json!(["eth1"]))).await?;
    answered_on(cluster, address, "eth1").await
}

async fn change(cluster: &mut Cluster) -> Result {
    let address = on_two_interfaces(cluster).await?;
    cluster.create(&advertisement("one").spec("interfaces", json!(["eth1"]))).await?;
    answered_on(cluster, address, "eth1").await?;
    cluster.change("L2Advertisement", "one", json!({"interfaces": ["eth0"]})).await?;
    answered_on(cluster, address, "eth0").await
}

async fn not_there(cluster: &mut Cluster) -> Result {
    let address = on_two_interfaces(cluster).await?;
    cluster.create(&advertisement("one").spec("interfaces", json!(["eth7"]))).await?;
    cluster.event("web", "announceFailed", "eth7").await?;
    cluster.unanswered(address).await?;
    cluster.change("L2Advertisement", "one", json!({"interfaces": ["eth7", "eth0"]})).await?;
    answered_on(cluster, address, "eth0").await
}

async fn excluded(cluster: &mut Cluster) -> Result {
    let address = on_two_interfaces(cluster).await?;
    cluster.create(&advertisement("both").spec("interfaces", json!(["eth0", "eth1"]))).await?;
    answered_on(cluster, address, "eth0").await?;
    let text = "announcedInterfacesToExclude: [\"^eth0$\"]";
    cluster.create(&config_map("metallb-excludel2", "excludel2.yaml", text)).await?;
    answered_on(cluster, address, "eth1").await?;
    cluster.delete("ConfigMap", "metallb-excludel2").await?;
    answered_on(cluster, address, "eth0").await
}

async fn union(cluster: &mut Cluster) -> Result {
    // In one segment the first of them would answer alone.
    cluster.site.plug_second_interfaces(true).await?;
    let address = a_service(cluster).await?;
    for interface in ["eth0", "eth1"] {
        cluster.create(&advertisement(interface).spec("interfaces", json!([interface]))).await?;
    }
    until("both interfaces of one node answer", async || {
        let answering = cluster.who_answers(address).await?;
        let nodes: std::collections::BTreeSet<_> =
            answering.iter().filter_map(|it| it.split_once('/')).map(|it| it.0).collect();
        if answering.len() == 2 && nodes.len() == 1 { Ok(()) } else { Err(format!("{answering:?}").into()) }
    })
    .await?;
    cluster.reaches(address, "web").await.map(drop)
}

async fn with_node(cluster: &mut Cluster) -> Result {
    let address = on_two_interfaces(cluster).await?;
    let one = advertisement("one").spec("interfaces", json!(["eth1"])).spec("nodeSelectors", node("n2"));
    cluster.create(&one).await?;
    cluster.answered_by(address, "n2/eth1").await?;
    cluster.reaches(address, "web").await.map(drop)
}
