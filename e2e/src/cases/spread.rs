//! How addresses are spread over nodes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::{Cluster, lbd};
use crate::plane::Plane;
use crate::wait::until;
use crate::worlds::{one_pool, served};

pub(super) fn cases() -> Vec<Case> {
    vec![case("who_returns_gets_its_share_when_somebody_asks_for_an_even_spread", rebalanced)]
}

const NODES: [&str; 3] = ["n1", "n2", "n3"];

async fn owners(cluster: &mut Cluster, addresses: &[IpAddr]) -> Result<BTreeMap<String, usize>> {
    let mut owners: BTreeMap<String, usize> = NODES.iter().map(|node| ((*node).to_owned(), 0)).collect();
    for address in addresses {
        *owners.entry(cluster.announcer(*address).await?).or_default() += 1;
    }
    Ok(owners)
}

async fn rebalanced(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let mut addresses = Vec::new();
    for number in 0..6 {
        addresses.push(served(cluster, &format!("s{number}"), &NODES).await?);
    }
    cluster.kill("speaker-n1")?;
    for address in &addresses {
        cluster.answered_by_one_of(*address, &["n2", "n3"]).await?;
    }
    cluster.start_speaker("n1", &[]).await?;
    cluster.speaker_is_back("n1").await?;
    let before = owners(cluster, &addresses).await?;
    assert_eq!(before["n1"], 0, "nothing returns by itself: {before:?}");
    let mut command = Command::new(lbd()?);
    command.arg("rebalance");
    match &cluster.plane {
        Plane::Embedded(_) => command.args(cluster.plane.way(crate::role::Role::Speaker)),
        Plane::Real(real) => command.arg("--kubeconfig").arg(real.admin()),
    };
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("3 nodes were asked"), "{said} {}", String::from_utf8_lossy(&output.stderr));
    until("each has its share", async || {
        let now = owners(cluster, &addresses).await?;
        if now.values().all(|count| *count == 2) { Ok(()) } else { Err(format!("{now:?}").into()) }
    })
    .await
}
