//! The system's `arping` asks.

use lblab::suite::Case;
use lbnet::Settings;

use crate::answering;
use crate::site::{Result, Site, Station, VIP, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("arping_sees_the_announcing_node_and_no_other", || answering::one_answers(VIP.into())),
        Case::new("arping_sees_nobody_before_the_announcement_and_after_the_withdrawal", || {
            answering::nobody_answers(VIP.into())
        }),
        Case::new("arping_is_answered_by_unicast_too", unicast),
        Case::new("duplicate_address_detection_finds_the_address_in_use_while_announced", in_use),
    ]
}

async fn unicast() -> Result {
    let site = Site::new().await?;
    let (client, node) = (site.client().await?, site.station("n1", 11).await?);
    let answering = node.answering(Settings::default()).await?;
    answering.announce(VIP).await;
    // After the first answer it asks that station alone; on a busy machine that may come too late.
    until("two of three questions are asked by unicast and all are answered", async || {
        let said = client.done("arping", &["-I", "eth0", "-c", "3", "-w", "10", &VIP.to_string()]).await?;
        let all = said.contains("Sent 3 probes (1 broadcast(s))") && said.contains("Received 3 response(s)");
        Ok(all.then_some(()))
    })
    .await
}

/// Whether duplicate address detection finds that somebody has the address.
async fn is_in_use(client: &Station) -> Result<bool> {
    let arguments = ["-I", "eth0", "-D", "-c", "2", "-w", "2", &VIP.to_string()];
    let output = client.run("arping", &arguments).await?;
    match output.status.code() {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        _ => Err(format!("{output:?}").into()),
    }
}

async fn in_use() -> Result {
    let site = Site::new().await?;
    let (client, node) = (site.client().await?, site.station("n1", 11).await?);
    let answering = node.answering(Settings::default()).await?;
    assert!(!is_in_use(&client).await?);
    answering.announce(VIP).await;
    until("it is found in use", async || Ok(is_in_use(&client).await?.then_some(()))).await?;
    answering.withdraw(VIP).await;
    assert!(!is_in_use(&client).await?);
    Ok(())
}
