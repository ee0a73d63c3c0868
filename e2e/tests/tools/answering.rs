//! What the tools of both families are asked: who answers, and when nobody does.

use std::net::IpAddr;

use lbnet::Settings;

use crate::site::{Result, Site};

/// Of two nodes just the one that announces the address is seen, whichever that is.
pub(crate) async fn one_answers(vip: IpAddr) -> Result {
    let site = Site::new().await?;
    let client = site.client().await?;
    let nodes = site.nodes().await?;
    let answering =
        [nodes[0].answering(Settings::default()).await?, nodes[1].answering(Settings::default()).await?];
    for (node, answering) in nodes.iter().zip(&answering) {
        answering.announce(vip).await;
        client.answered_by(vip, &[node.mac()]).await?;
        answering.withdraw(vip).await;
    }
    Ok(())
}

/// Nobody is seen before the announcement and after the withdrawal.
pub(crate) async fn nobody_answers(vip: IpAddr) -> Result {
    let site = Site::new().await?;
    let (client, node) = (site.client().await?, site.station("n1", 11).await?);
    let answering = node.answering(Settings::default()).await?;
    client.answered_by(vip, &[]).await?;
    answering.announce(vip).await;
    assert_eq!(answering.layer2.snapshot().await.addresses[&vip], ["eth0"]);
    answering.withdraw(vip).await;
    client.answered_by(vip, &[]).await
}
