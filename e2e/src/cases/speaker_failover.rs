//! A node or its speaker fails.

use std::net::IpAddr;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;

use crate::worlds::{FAIL_BACK, one_pool, restart_speakers, served};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("when_its_speaker_is_killed_another_node_answers", killed),
        case("when_its_speaker_is_stopped_another_node_answers", stopped),
        case("when_its_cable_is_cut_another_node_answers", cut),
        case("when_its_speaker_is_frozen_another_node_answers_and_one_when_it_goes_on", frozen),
        case("when_its_speaker_returns_the_address_stays_where_it_is", returns),
        case("fail_back_when_its_speaker_returns_the_address_does_too", fails_back),
    ]
}

/// A Service on all nodes; its address, and who announces it.
async fn announced(cluster: &mut Cluster) -> Result<(IpAddr, String)> {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2", "n3"]).await?;
    let node = cluster.announcer(address).await?;
    Ok((address, node))
}

/// Waits until another node than `first` answers alone and the Service is reached there; which one.
async fn taken_over(cluster: &mut Cluster, address: IpAddr, first: &str) -> Result<String> {
    let others: Vec<&str> = ["n1", "n2", "n3"].into_iter().filter(|node| *node != first).collect();
    let second = cluster.answered_by_one_of(address, &others).await?;
    cluster.reaches(address, "web").await?;
    Ok(second)
}

async fn killed(cluster: &mut Cluster) -> Result {
    let (address, node) = announced(cluster).await?;
    cluster.kill(&format!("speaker-{node}"))?;
    taken_over(cluster, address, &node).await.map(drop)
}

async fn stopped(cluster: &mut Cluster) -> Result {
    let (address, node) = announced(cluster).await?;
    cluster.stop(&format!("speaker-{node}"))?;
    taken_over(cluster, address, &node).await.map(drop)
}

async fn cut(cluster: &mut Cluster) -> Result {
    let (address, node) = announced(cluster).await?;
    cluster.site.cut(&node, true).await?;
    taken_over(cluster, address, &node).await?;
    cluster.site.cut(&node, false).await?;
    cluster.serves(address, "web").await.map(drop)
}

async fn frozen(cluster: &mut Cluster) -> Result {
    let (address, node) = announced(cluster).await?;
    cluster.freeze(&format!("speaker-{node}"), true)?;
    taken_over(cluster, address, &node).await?;
    cluster.freeze(&format!("speaker-{node}"), false)?;
    cluster.serves(address, "web").await.map(drop)
}

async fn returns(cluster: &mut Cluster) -> Result {
    let (address, node) = announced(cluster).await?;
    cluster.kill(&format!("speaker-{node}"))?;
    let second = taken_over(cluster, address, &node).await?;
    cluster.start_speaker(&node, &[]).await?;
    cluster.speaker_is_back(&node).await?;
    cluster.answered_by(address, &second).await
}

async fn fails_back(cluster: &mut Cluster) -> Result {
    restart_speakers(cluster, &FAIL_BACK).await?;
    let (address, node) = announced(cluster).await?;
    cluster.kill(&format!("speaker-{node}"))?;
    taken_over(cluster, address, &node).await?;
    cluster.start_speaker(&node, &FAIL_BACK).await?;
    cluster.answered_by(address, &node).await
}
