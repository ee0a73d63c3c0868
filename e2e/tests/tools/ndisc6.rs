//! The system's `ndisc6` asks.

use lblab::suite::Case;
use lbnet::{MacAddr, Settings};

use crate::answering;
use crate::site::{Result, Site, VIP6, VIPS};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("ndisc6_sees_the_announcing_node_and_no_other", || answering::one_answers(VIP6.into())),
        Case::new("ndisc6_sees_nobody_before_the_announcement_and_after_the_withdrawal", || {
            answering::nobody_answers(VIP6.into())
        }),
        Case::new("ndisc6_is_answered_whichever_of_its_addresses_it_asks_from", sources),
        Case::new("two_nodes_with_one_address_are_both_seen_and_both_tell_of_it", two_answer),
    ]
}

async fn sources() -> Result {
    let site = Site::new().await?;
    let (client, node) = (site.client().await?, site.station("n1", 11).await?);
    let answering = node.answering(Settings::default()).await?;
    answering.announce(VIP6).await;
    let addresses = client.done("ip", &["-j", "-6", "address", "show", "dev", "eth0"]).await?;
    let addresses: serde_json::Value = serde_json::from_str(&addresses)?;
    let own: Vec<&str> = addresses[0]["addr_info"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["local"].as_str())
        .collect();
    assert!(own.iter().any(|it| it.starts_with("fe80:")) && own.contains(&"fd00:3::64"), "{own:?}");
    for source in own {
        let said =
            client.done("ndisc6", &["-1", "-q", "-r", "30", "-s", source, &VIP6.to_string(), "eth0"]).await?;
        assert_eq!(said.trim().parse::<MacAddr>().ok(), Some(node.mac()), "from {source}: {said}");
    }
    Ok(())
}

async fn two_answer() -> Result {
    let site = Site::new().await?;
    let client = site.client().await?;
    let nodes = site.nodes().await?;
    let macs = [nodes[0].mac(), nodes[1].mac()];
    let mut answering =
        [nodes[0].answering(Settings::default()).await?, nodes[1].answering(Settings::default()).await?];
    for vip in VIPS {
        for node in &answering {
            node.announce(vip).await;
        }
        client.answered_by(vip, &macs).await?;
        for (node, other) in answering.iter_mut().zip([macs[1], macs[0]]) {
            node.hears_conflict(vip, other).await?;
            let conflicts = node.layer2.snapshot().await.conflicts;
            assert!(conflicts.iter().any(|it| (it.address, it.mac) == (vip, other)), "{conflicts:?}");
        }
    }
    Ok(())
}
