//! Nodes on two LANs, each of which is cut alone: the one that the API and the speakers use, and the one of the addresses.

use std::net::IpAddr;

use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{advertisement, pool};
use crate::worlds::served;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("who_is_not_heard_on_the_lan_of_the_address_hands_it_over", unheard),
        case("who_is_cut_off_from_the_nodes_alone_goes_on_and_answers_alone", management_cut),
    ]
}

/// A Service with an address on the second LAN; who answers there.
async fn on_the_second_lan(cluster: &mut Cluster) -> Result<(IpAddr, String)> {
    cluster.site.plug_second_interfaces(true).await?;
    let pools = [pool("second", &["192.168.4.200-192.168.4.209"]), advertisement("all")];
    cluster.create_all(&pools).await?;
    let address = served(cluster, "web", &["n1", "n2", "n3"]).await?;
    let owner = cluster.announcer(address).await?;
    cluster.answered_by(address, &format!("{owner}/eth1")).await?;
    Ok((address, owner))
}

async fn unheard(cluster: &mut Cluster) -> Result {
    let (address, owner) = on_the_second_lan(cluster).await?;
    cluster.site.mute_second(&owner, true).await?;
    let others: Vec<&str> = ["n1", "n2", "n3"].into_iter().filter(|node| *node != owner).collect();
    let next = cluster.answered_by_one_of(address, &others).await?;
    cluster.reaches(address, "web").await?;
    let facts = cluster.get("NodeFacts", &owner).await?;
    let deaf = json!([{"name": "eth1", "unheard": true}]);
    let said = facts["interfaces"].as_array().into_iter().flatten().filter(|it| it["unheard"] == true);
    let said: Vec<_> = said.map(|it| json!({"name": it["name"], "unheard": true})).collect();
    assert_eq!(json!(said), deaf, "and no other: {facts:#}");
    // Healed, it takes nothing back, and stops to answer beside the other one.
    cluster.site.mute_second(&owner, false).await?;
    cluster.answered_by(address, &format!("{next}/eth1")).await
}

async fn management_cut(cluster: &mut Cluster) -> Result {
    let (address, owner) = on_the_second_lan(cluster).await?;
    cluster.site.mute(&owner, true).await?;
    // Its speaker is heard by the other LAN: nobody takes it to be dead.
    cluster.answered_by(address, &format!("{owner}/eth1")).await?;
    for node in ["n1", "n2", "n3"] {
        let log = cluster.log(&format!("speaker-{node}"))?;
        assert!(!log.contains("is not heard any more"), "{node}: {log}");
    }
    cluster.site.mute(&owner, false).await?;
    cluster.answered_by(address, &format!("{owner}/eth1")).await
}
