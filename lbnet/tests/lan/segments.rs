//! Hosts with several interfaces in one segment, and interfaces that become part of another.

use std::net::Ipv4Addr;

use lblab::suite::Case;
use lblab::{Nic, Port};
use lbnet::{MacAddr, Rule, Settings};

use crate::site::{Node, Result, Site, VIP, address, placed, start, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("of_two_interfaces_with_one_subnet_one_answers_and_the_other_takes_over", one_subnet),
        Case::new(
            "two_interfaces_that_hear_each_other_are_one_segment_whatever_their_subnets",
            hear_each_other,
        ),
        Case::new("an_interface_that_joins_a_bridge_is_answered_for_by_the_bridge", bridged),
    ]
}

/// A node with a second interface, `eth1`, on the same bridge.
async fn two_legged(site: &Site, second: Nic) -> Result<(Node, MacAddr, Port)> {
    let node = site.node(11).await?;
    let port = site.lan.plug(&node.host, site.segment.bridge, &second).await?;
    // What the kernel itself would answer on the other leg is none of our business here.
    node.host.sysctl("ipv4/conf/all/arp_ignore", "1").await?;
    Ok((node, second.mac, port))
}

async fn one_subnet() -> Result {
    let site = Site::new().await?;
    let (node, second, _) = two_legged(&site, Nic::new("eth1", address(3, 12))).await?;
    let (layer2, _) = start(&node.host, Settings::default()).await?;
    layer2.announce(VIP, Rule::any());
    placed(&layer2, VIP, &["eth0"]).await?;
    assert_eq!(site.client().who_has(VIP).await?, [node.nic.mac]);
    site.lan.cut(&node.port).await?;
    site.client().answered(VIP, second).await?;
    placed(&layer2, VIP, &["eth1"]).await?;
    site.lan.heal(&node.port).await?;
    placed(&layer2, VIP, &["eth0"]).await?;
    assert_eq!(site.client().who_has(VIP).await?, [node.nic.mac]);
    Ok(())
}

async fn hear_each_other() -> Result {
    let site = Site::new().await?;
    let (node, second, port) = two_legged(&site, Nic::new("eth1", Ipv4Addr::new(10, 77, 0, 1))).await?;
    let (layer2, _) = start(&node.host, Settings::default()).await?;
    // No interface carries it, so both would answer, until one hears what the other announces.
    let nowhere = Ipv4Addr::new(10, 9, 9, 9);
    layer2.announce(nowhere, Rule::any());
    placed(&layer2, nowhere, &["eth0"]).await?;
    assert_eq!(site.client().who_has(nowhere).await?, [node.nic.mac]);
    assert_eq!(layer2.snapshot().await.conflicts, [], "with oneself there is no conflict");
    site.lan.cut(&node.port).await?;
    site.client().answered(nowhere, second).await?;
    site.lan.heal(&node.port).await?;
    placed(&layer2, nowhere, &["eth0"]).await?;
    // Plugged in elsewhere, it is another segment.
    let elsewhere = site.lan.bridge(&Nic::new("br9", address(9, 1))).await?;
    site.lan.move_to(&port, elsewhere).await?;
    site.lan.cut(&port).await?;
    // A link that is back at once is not seen to have been away.
    let gone = async || (!layer2.snapshot().await.interfaces.contains_key("eth1")).then_some(());
    until("the link is seen to be down", gone).await?;
    site.lan.heal(&port).await?;
    placed(&layer2, nowhere, &["eth0", "eth1"]).await
}

async fn bridged() -> Result {
    let site = Site::new().await?;
    let (node, layer2) = site.answering_node(Settings::default()).await?;
    let net = node.host.net();
    let nic = Nic { mac: MacAddr(2, 0, 0, 0, 0, 0xbb), ..Nic::new("br0", address(3, 13)) };
    let bridge = net.add_bridge(&nic).await?;
    net.up(bridge).await?;
    net.attach(net.index("eth0").await?, Some(bridge)).await?;
    net.add_address(bridge, nic.address, nic.prefix).await?;
    site.client().answered(VIP, nic.mac).await?;
    placed(&layer2, VIP, &["br0"]).await?;
    assert_eq!(site.client().who_has(VIP).await?, [nic.mac]);
    net.attach(net.index("eth0").await?, None).await?;
    net.down(bridge).await?;
    site.client().answered(VIP, node.nic.mac).await?;
    placed(&layer2, VIP, &["eth0"]).await
}
