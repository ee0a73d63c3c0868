//! A speaker that is restarted: it goes on with what it knew, if nobody can be asked, and keeps what it had, if nobody has it.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::wait::until;
use crate::worlds::{one_pool, served};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("while_the_api_is_away_all_speakers_are_restarted_and_one_answers", without_api),
        case("a_speaker_that_is_back_before_its_death_is_noticed_keeps_its_addresses", back_soon),
        case("a_speaker_alone_keeps_its_addresses_over_a_crash", alone),
        case("a_damaged_state_is_set_aside_and_the_api_is_asked", damaged),
    ]
}

const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn folder(cluster: &Cluster, node: &str) -> PathBuf {
    cluster.folder().join(format!("state-{node}"))
}

async fn start(cluster: &mut Cluster, node: &str, more: &[&str]) -> Result {
    let folder = folder(cluster, node).display().to_string();
    cluster.start_speaker(node, &[&["--state-dir", &folder], more].concat()).await
}

/// Starts all speakers anew, each with a folder for what it knows.
async fn remembering(cluster: &mut Cluster, more: &[&str]) -> Result {
    for node in NODES {
        let _ = std::fs::remove_dir_all(folder(cluster, node));
        cluster.kill(&format!("speaker-{node}"))?;
    }
    for node in NODES {
        start(cluster, node, more).await?;
    }
    cluster.speakers_are_back().await
}

/// Waits until a node's file says whether the node claims an address.
async fn written(cluster: &Cluster, node: &str, address: IpAddr) -> Result {
    let path = folder(cluster, node).join("speaker.state");
    until("what is claimed is on disk", async || {
        let text = std::fs::read_to_string(&path)?;
        let claims = text.split_once("\"claims\":").map(|(_, claims)| claims.to_owned()).unwrap_or_default();
        if claims.contains(&format!("\"{address}\":")) { Ok(()) } else { Err(claims.into()) }
    })
    .await
}

async fn without_api(cluster: &mut Cluster) -> Result {
    remembering(cluster, &[]).await?;
    one_pool(cluster).await?;
    let address = served(cluster, "web", &NODES).await?;
    let gone = served(cluster, "gone", &NODES).await?;
    let owner = cluster.announcer(address).await?;
    let other = cluster.announcer(gone).await?;
    written(cluster, &owner, address).await?;
    written(cluster, &other, gone).await?;
    // Everybody has heard of both.
    cluster.speakers_caught_up().await?;
    for node in NODES {
        until("both are on disk", async || {
            let text = std::fs::read_to_string(folder(cluster, node).join("speaker.state"))?;
            let both = [address, gone].iter().all(|it| text.contains(&format!("\"{it}\"")));
            if both { Ok(()) } else { Err(format!("{node}: not yet").into()) }
        })
        .await?;
    }
    for node in NODES {
        cluster.kill(&format!("speaker-{node}"))?;
    }
    cluster.delete("Service", "gone").await?;
    cluster.plane.stop_serving()?;
    for node in NODES {
        start(cluster, node, &[]).await?;
    }
    cluster.speakers_are_back().await?;
    for node in NODES {
        let log = cluster.log(&format!("speaker-{node}"))?;
        assert!(log.contains("going on with what was known last"), "{node} says so: {log}");
    }
    cluster.answered_by(address, &owner).await?;
    // And when it fails, as ever.
    cluster.kill(&format!("speaker-{owner}"))?;
    let others: Vec<&str> = NODES.into_iter().filter(|node| *node != owner).collect();
    let next = cluster.answered_by_one_of(address, &others).await?;
    cluster.plane.serve().await?;
    cluster.unanswered(gone).await?;
    cluster.answered_by(address, &next).await?;
    let later = served(cluster, "later", &NODES).await?;
    cluster.reaches(later, "later").await.map(drop)
}

async fn back_soon(cluster: &mut Cluster) -> Result {
    // Silence is noticed after more than three seconds, so that it is back in time on any machine.
    const SLOW: [&str; 2] = ["--heartbeat", "1000"];
    remembering(cluster, &SLOW).await?;
    one_pool(cluster).await?;
    let address = served(cluster, "web", &NODES).await?;
    let owner = cluster.announcer(address).await?;
    written(cluster, &owner, address).await?;
    cluster.kill(&format!("speaker-{owner}"))?;
    start(cluster, &owner, &SLOW).await?;
    cluster.speaker_is_back(&owner).await?;
    cluster.answered_by(address, &owner).await?;
    for node in NODES.into_iter().filter(|node| *node != owner) {
        let log = cluster.log(&format!("speaker-{node}"))?;
        assert!(!log.contains("\"announcing\""), "{node} has taken nothing meanwhile: {log}");
    }
    cluster.serves(address, "web").await.map(drop)
}

async fn alone(cluster: &mut Cluster) -> Result {
    remembering(cluster, &[]).await?;
    one_pool(cluster).await?;
    let address = served(cluster, "web", &NODES).await?;
    let owner = cluster.announcer(address).await?;
    written(cluster, &owner, address).await?;
    for node in NODES {
        cluster.kill(&format!("speaker-{node}"))?;
    }
    start(cluster, &owner, &[]).await?;
    cluster.answered_by(address, &owner).await?;
    for node in NODES.into_iter().filter(|node| *node != owner) {
        start(cluster, node, &[]).await?;
    }
    cluster.speakers_are_back().await?;
    cluster.answered_by(address, &owner).await
}

async fn damaged(cluster: &mut Cluster) -> Result {
    remembering(cluster, &[]).await?;
    one_pool(cluster).await?;
    let address = served(cluster, "web", &NODES).await?;
    let owner = cluster.announcer(address).await?;
    written(cluster, &owner, address).await?;
    cluster.kill(&format!("speaker-{owner}"))?;
    let path = folder(cluster, &owner).join("speaker.state");
    let mut bytes = std::fs::read(&path)?;
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&path, bytes)?;
    start(cluster, &owner, &[]).await?;
    cluster.speaker_is_back(&owner).await?;
    let log = cluster.log(&format!("speaker-{owner}"))?;
    assert!(log.contains("is damaged") && log.contains("speaker.state.unreadable"), "{log}");
    cluster.serves(address, "web").await.map(drop)
}
