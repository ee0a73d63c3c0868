//! A bridge that forwards multicast only to those who have joined (RFC 4541).

use std::net::Ipv6Addr;

use lblab::suite::Case;
use lbnet::wire::solicited_node;
use serde_json::Value;

use crate::listener::Questions;
use crate::site::{Result, Site, VIP6, one_round, until};
use crate::tool;

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("a_bridge_that_forwards_only_to_members_forwards_questions_to_the_node", joined)]
}

/// Announced when the bridge looks already.
const LATER: Ipv6Addr = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, 0xfe);
/// In a group that nobody has joined.
const NOBODYS: Ipv6Addr = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0x99, 0x9999);

async fn joined() -> Result {
    let site = Site::new().await?;
    let (client, node) = (site.client().await?, site.station("n1", 11).await?);
    let answering = node.answering(one_round()).await?;
    answering.announce(VIP6).await;
    let questions = Questions::at(&node).await?;
    let heard = |target: Ipv6Addr| (!questions.about(target).is_empty()).then_some(());

    client.answered_by(NOBODYS, &[]).await?;
    until("a question for nobody is forwarded without snooping", async || Ok(heard(NOBODYS))).await?;

    // It asks who has joined what, at once and for answers at once; without that it would forward everything.
    let snooping =
        "mcast_snooping 1 mcast_querier 1 mcast_startup_query_interval 10 mcast_query_response_interval 10";
    let set = ["link", "set", "br0", "type", "bridge"];
    let snooping: Vec<&str> = set.into_iter().chain(snooping.split(' ')).collect();
    tool::done("ip", &snooping).await?;
    until("a question for nobody is forwarded no more", async || {
        questions.clear();
        client.answered_by(NOBODYS, &[]).await?;
        client.answered_by(VIP6, &[node.mac()]).await?;
        Ok(if heard(NOBODYS).is_none() { heard(VIP6) } else { None })
    })
    .await?;
    is_member(VIP6, true).await?;

    is_member(LATER, false).await?;
    answering.announce(LATER).await;
    is_member(LATER, true).await?;
    for target in [VIP6, LATER] {
        questions.clear();
        client.answered_by(NOBODYS, &[]).await?;
        client.answered_by(target, &[node.mac()]).await?;
        until(&format!("the question for {target} is forwarded"), async || Ok(heard(target))).await?;
        assert_eq!(heard(NOBODYS), None, "the one for nobody came first, and was not");
    }

    answering.withdraw(LATER).await;
    is_member(LATER, false).await?;
    client.answered_by(VIP6, &[node.mac()]).await
}

/// Waits until the bridge takes the node for a member of the group in which `address` is asked for, or for none.
async fn is_member(address: Ipv6Addr, expected: bool) -> Result {
    let group = solicited_node(address).to_string();
    until(&format!("the bridge knows whether {group} was joined: {expected}"), async || {
        let table: Value = serde_json::from_str(&tool::done("bridge", &["-j", "mdb", "show"]).await?)?;
        let mut entries = table[0]["mdb"].as_array().into_iter().flatten();
        let found = entries.any(|entry| entry["grp"] == group.as_str() && entry["port"] == "n1-eth0");
        Ok((found == expected).then_some(()))
    })
    .await
}
