//! Who is answered, and who is not.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use lblab::suite::Case;
use lblab::{Host, Nic};
use lbnet::wire::Operation;
use lbnet::{ArpFrame, Drop, MacAddr, Rule, Selection, Settings};

use crate::site::{NOBODY, Result, Segment, Site, VIP, address, filtered, placed, start};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("just_one_node_answers_and_only_from_announce_to_withdraw", one_node_answers),
        Case::new("nobody_answers_when_the_handle_is_dropped", dropped),
        Case::new("a_question_for_another_address_does_not_wake_the_process", another_address),
        Case::new("a_frame_of_another_vlan_is_not_answered_but_a_priority_tagged_one_is", vlan),
        Case::new("replies_and_frames_to_others_and_own_frames_are_not_answered", no_questions),
        Case::new("an_interface_that_was_not_selected_does_not_answer", not_selected),
        Case::new("an_address_is_answered_only_on_the_interfaces_that_its_rule_names", named),
        Case::new("the_interface_that_carries_the_subnet_answers_and_all_do_if_none_carries_it", carries),
    ]
}

async fn one_node_answers() -> Result {
    let site = Site::new().await?;
    let (one, two) = (site.node(11).await?, site.node(12).await?);
    let (first, _) = start(&one.host, Settings::default()).await?;
    let (_second, _) = start(&two.host, Settings::default()).await?;
    assert_eq!(site.client().who_has(VIP).await?, NOBODY);
    first.announce(VIP, Rule::any());
    assert_eq!(site.client().who_has(VIP).await?, [one.nic.mac]);
    assert_eq!(first.snapshot().await.addresses[&VIP.into()], ["eth0"]);
    first.withdraw(VIP);
    first.snapshot().await;
    assert_eq!(site.client().who_has(VIP).await?, NOBODY);
    assert!(first.snapshot().await.addresses.is_empty());
    Ok(())
}

async fn dropped() -> Result {
    let site = Site::new().await?;
    let (_node, layer2) = site.answering_node(Settings::default()).await?;
    drop(layer2);
    assert_eq!(site.client().who_has(VIP).await?, NOBODY);
    Ok(())
}

async fn another_address() -> Result {
    let site = Site::new().await?;
    let (_node, layer2) = site.answering_node(Settings::default()).await?;
    filtered(&layer2, "eth0").await?;
    let read = layer2.snapshot().await.interfaces["eth0"].counters.read();
    let client = site.client();
    let others = [address(3, 252), address(3, 254), Ipv4Addr::new(10, 9, 9, 9)];
    let questions = others.map(|other| client.question(other, other).to_bytes().to_vec());
    assert_eq!(client.answered_of(&questions, VIP).await?, BTreeSet::new());
    let counters = layer2.snapshot().await.interfaces["eth0"].counters.clone();
    assert_eq!((counters.read(), counters.dropped(Drop::ForeignTarget)), (read + 1, 0));
    Ok(())
}

/// The frame with an 802.1Q tag.
fn tagged(frame: &ArpFrame, priority: u8, vlan: u8) -> Vec<u8> {
    let bytes = frame.to_bytes();
    [&bytes[..12], &[0x81, 0x00, priority << 5, vlan], &bytes[12..]].concat()
}

async fn vlan() -> Result {
    let site = Site::new().await?;
    let (_node, _layer2) = site.answering_node(Settings::default()).await?;
    let [untagged, priority, other, other_with_priority] = [101, 102, 103, 104].map(|last| address(3, last));
    let question = |from| site.client().question(from, VIP);
    let frames = [
        question(untagged).to_bytes().to_vec(),
        tagged(&question(priority), 5, 0),
        tagged(&question(other), 0, 10),
        tagged(&question(other_with_priority), 7, 10),
    ];
    assert_eq!(site.client().answered_of(&frames, VIP).await?, BTreeSet::from([untagged, priority]));
    Ok(())
}

async fn no_questions() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let (layer2, _) = start(&node.host, Settings::default()).await?;
    layer2.announce(VIP, Rule::any());
    placed(&layer2, VIP, &["eth0"]).await?;
    let question = |last| site.client().question(address(3, last), VIP);
    let stranger = MacAddr(2, 0, 0, 0, 0, 0x99);
    let frames = [
        ArpFrame { operation: Operation::Reply, ..question(101) },
        ArpFrame { operation: Operation::Reply, destination: node.nic.mac, ..question(102) },
        // The bridge knows no such station and sends the frame everywhere.
        ArpFrame { destination: stranger, ..question(103) },
        ArpFrame { destination: MacAddr(1, 0, 0x5e, 0, 0, 1), ..question(104) },
        ArpFrame { source: node.nic.mac, ..question(105) },
        ArpFrame { sender_mac: node.nic.mac, ..question(106) },
    ];
    let frames = frames.map(|frame| frame.to_bytes().to_vec());
    assert_eq!(site.client().answered_of(&frames, VIP).await?, BTreeSet::new());
    let counters = layer2.snapshot().await.interfaces["eth0"].counters.clone();
    assert_eq!((counters.answered(), counters.dropped(Drop::Own)), (1, 2));
    Ok(())
}

/// A second segment, 192.168.4.0/24, in which the host has `eth1`.
async fn second_segment(site: &Site, host: &Host) -> Result<(Segment, Nic)> {
    let segment = Segment::new(&site.lan, 4).await?;
    let nic = Nic::new("eth1", address(4, 11));
    site.lan.plug(host, segment.bridge, &nic).await?;
    Ok((segment, nic))
}

async fn not_selected() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let (other, _) = second_segment(&site, &node.host).await?;
    let settings = Settings { interfaces: Selection::only(["eth0"]), ..Settings::default() };
    let (layer2, _) = start(&node.host, settings).await?;
    // No interface carries it, and the second would carry that.
    for target in [Ipv4Addr::new(10, 9, 9, 9), address(4, 253)] {
        layer2.announce(target, Rule::any());
        assert_eq!(site.client().who_has(target).await?, [node.nic.mac], "{target}");
        assert_eq!(other.client.who_has(target).await?, NOBODY, "{target}");
    }
    assert_eq!(layer2.snapshot().await.interfaces.into_keys().collect::<Vec<_>>(), ["eth0"]);
    Ok(())
}

async fn named() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let (other, nic) = second_segment(&site, &node.host).await?;
    let (layer2, _) = start(&node.host, Settings::default()).await?;
    let named = |name: &str| Rule::named(BTreeSet::from([name.to_owned()]));
    // The first interface carries its subnet, but the rule counts.
    layer2.announce(VIP, named("eth1"));
    assert_eq!(site.client().who_has(VIP).await?, NOBODY);
    assert_eq!(other.client.who_has(VIP).await?, [nic.mac]);
    layer2.announce(VIP, named("eth0"));
    assert_eq!(site.client().who_has(VIP).await?, [node.nic.mac]);
    assert_eq!(other.client.who_has(VIP).await?, NOBODY);
    layer2.announce(VIP, named("eth7"));
    layer2.snapshot().await;
    assert_eq!(site.client().who_has(VIP).await?, NOBODY);
    assert_eq!(layer2.snapshot().await.addresses[&VIP.into()], [""; 0]);
    Ok(())
}

async fn carries() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let (other, nic) = second_segment(&site, &node.host).await?;
    let (layer2, _) = start(&node.host, Settings::default()).await?;
    layer2.announce(VIP, Rule::any());
    assert_eq!(site.client().who_has(VIP).await?, [node.nic.mac]);
    assert_eq!(other.client.who_has(VIP).await?, NOBODY);
    let nowhere = Ipv4Addr::new(10, 9, 9, 9);
    layer2.announce(nowhere, Rule::any());
    assert_eq!(site.client().who_has(nowhere).await?, [node.nic.mac]);
    assert_eq!(other.client.who_has(nowhere).await?, [nic.mac]);
    // From now on one carries it, and then none again.
    let (net, index) = (node.host.net(), node.host.net().index("eth1").await?);
    net.add_address(index, Ipv4Addr::new(10, 9, 9, 1), 24).await?;
    placed(&layer2, nowhere, &["eth1"]).await?;
    assert_eq!(site.client().who_has(nowhere).await?, NOBODY);
    assert_eq!(other.client.who_has(nowhere).await?, [nic.mac]);
    net.delete_address(index, Ipv4Addr::new(10, 9, 9, 1)).await?;
    placed(&layer2, nowhere, &["eth0", "eth1"]).await?;
    assert_eq!(site.client().who_has(nowhere).await?, [node.nic.mac]);
    Ok(())
}
