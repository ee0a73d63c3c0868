//! Other stations with an address of ours: those that claim it, and those that have it before we do.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use lblab::suite::Case;
use lbnet::wire::Operation;
use lbnet::{
    Advertisement, ArpFrame, Event, Layer2, MacAddr, Policy, Probed, Profile, Rule, Settings, probe,
};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::site::{NOBODY, Node, Result, Site, VIP, VIP6, placed, start, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("a_foreign_claim_is_told_of_once_with_who_and_where_and_answering_goes_on", reported),
        Case::new("an_address_is_defended_by_one_announcement_in_ten_seconds", defended),
        Case::new("who_yields_answers_no_more_until_the_other_has_gone", yielded),
        Case::new("members_of_the_cluster_are_no_conflict", members),
        Case::new("a_new_address_that_is_free_is_announced_after_it_was_probed", free),
        Case::new("a_new_address_is_answered_as_soon_as_it_has_been_quiet_and_not_announced_yet", quiet),
        Case::new("who_says_late_that_a_new_address_is_his_keeps_it", late),
        Case::new("a_new_address_that_somebody_has_is_not_announced_until_he_gives_it_up", taken),
        Case::new("what_is_taken_stays_so_by_another_rule_and_over_a_link_that_was_down", stays_taken),
        Case::new("an_address_that_a_member_answers_for_is_not_taken", members_answer),
        Case::new("a_probe_tells_who_has_an_address_and_announces_nothing", probed),
    ]
}

const STRANGER: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x99);

/// One round only, so that what is announced later is announced for a reason.
fn settings(conflicts: Policy) -> Settings {
    let profile = Profile { rounds: 1, refresh: None, ..Profile::default() };
    let probe = probe::Profile { again: Duration::from_millis(300), ..probe::Profile::default() };
    Settings { profile, conflicts, probe, ..Settings::default() }
}

/// A node that answers for both addresses.
async fn answering(site: &Site, policy: Policy) -> Result<(Node, Layer2, UnboundedReceiver<Event>)> {
    let node = site.node(11).await?;
    let (layer2, events) = start(&node.host, settings(policy)).await?;
    for address in [IpAddr::from(VIP), VIP6.into()] {
        layer2.announce(address, Rule::any());
        placed(&layer2, address, &["eth0"]).await?;
    }
    site.client().announced(0, VIP, node.nic.mac, 1).await?;
    Ok((node, layer2, events))
}

/// A stranger says that the addresses are his.
fn claim(site: &Site) -> Result {
    site.client().send(&ArpFrame::gratuitous(Operation::Reply, STRANGER, VIP).to_bytes())?;
    site.client().send6(&Advertisement::unsolicited(STRANGER, VIP6).to_bytes())
}

/// The addresses in conflict with the stranger, of the events so far.
fn conflicts(events: &mut UnboundedReceiver<Event>) -> Vec<IpAddr> {
    let told = std::iter::from_fn(|| events.try_recv().ok());
    let of_stranger = told.filter_map(|event| match event {
        Event::Conflict { address, mac: STRANGER, interface, .. } if interface == "eth0" => Some(address),
        _ => None,
    });
    of_stranger.collect()
}

/// Waits until the stranger's claims have been counted.
async fn counted(layer2: &Layer2, claims: u64) -> Result {
    until("the claims are heard", async || {
        (layer2.snapshot().await.interfaces["eth0"].counters.claims == claims).then_some(())
    })
    .await
}

async fn reported() -> Result {
    let site = Site::new().await?;
    let (node, layer2, mut events) = answering(&site, Policy::Report).await?;
    claim(&site)?;
    claim(&site)?;
    counted(&layer2, 4).await?;
    let snapshot = layer2.snapshot().await;
    let mut told = conflicts(&mut events);
    told.sort();
    assert_eq!(told, [IpAddr::from(VIP), VIP6.into()]);
    for conflict in &snapshot.conflicts {
        assert_eq!((conflict.mac, conflict.interface.as_str(), conflict.frames), (STRANGER, "eth0", 2));
        assert!(conflict.first <= conflict.last);
    }
    assert_eq!(snapshot.conflicts.len(), 2);
    assert_eq!(site.client().who_has(VIP).await?, [node.nic.mac]);
    assert_eq!(site.client().who_has(VIP6).await?, [node.nic.mac]);
    layer2.withdraw(VIP);
    layer2.withdraw(VIP6);
    assert_eq!(layer2.snapshot().await.conflicts, []);
    Ok(())
}

async fn defended() -> Result {
    let site = Site::new().await?;
    let (node, layer2, _events) = answering(&site, Policy::Defend).await?;
    let (mark, mark6, before) =
        (site.client().mark(), site.client().mark6(), layer2.snapshot().await.announced);
    claim(&site)?;
    site.client().announced(mark, VIP, node.nic.mac, 1).await?;
    let ours = |told: &Advertisement| told.target_mac == Some(node.nic.mac);
    site.client().advertised(mark6, "the defence", ours).await?;
    claim(&site)?;
    claim(&site)?;
    counted(&layer2, 6).await?;
    // Two frames of ARP and one advertisement, once.
    assert_eq!(layer2.snapshot().await.announced, before + 3);
    Ok(())
}

async fn yielded() -> Result {
    let site = Site::new().await?;
    let (node, layer2, _events) = answering(&site, Policy::Yield).await?;
    let rival = site.node(12).await?;
    let (other, _) = start(&rival.host, settings(Policy::Report)).await?;
    other.announce(VIP, Rule::any());
    until("the node has given way", async || {
        (layer2.snapshot().await.taken == [(IpAddr::from(VIP), rival.nic.mac)].into()).then_some(())
    })
    .await?;
    assert_eq!(site.client().who_has(VIP).await?, [rival.nic.mac]);
    assert!(!layer2.snapshot().await.addresses.contains_key(&VIP.into()));
    assert_eq!(site.client().who_has(VIP6).await?, [node.nic.mac], "nobody claims the other address");
    let mark = site.client().mark();
    drop(other);
    site.client().answered(VIP, node.nic.mac).await?;
    site.client().announced(mark, VIP, node.nic.mac, 1).await?;
    assert!(layer2.snapshot().await.taken.is_empty());
    Ok(())
}

async fn members() -> Result {
    let site = Site::new().await?;
    let (node, layer2, mut events) = answering(&site, Policy::Yield).await?;
    layer2.set_members(BTreeSet::from([STRANGER]));
    layer2.snapshot().await;
    claim(&site)?;
    counted(&layer2, 2).await?;
    assert_eq!(layer2.snapshot().await.conflicts, []);
    assert_eq!(conflicts(&mut events), [VIP; 0]);
    assert_eq!(site.client().who_has(VIP).await?, [node.nic.mac]);
    Ok(())
}

async fn free() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let (layer2, _) = start(&node.host, settings(Policy::Report)).await?;
    layer2.announce_new(VIP, Rule::any());
    layer2.announce_new(VIP6, Rule::any());
    placed(&layer2, VIP, &["eth0"]).await?;
    placed(&layer2, VIP6, &["eth0"]).await?;
    site.client().announced(0, VIP, node.nic.mac, 1).await?;
    let probes = site.client().heard(0, |heard| {
        let probe = ArpFrame::request(node.nic.mac, [0; 4].into(), VIP);
        heard.iter().filter(|(_, frame)| *frame == probe).count()
    });
    assert_eq!(probes, 3);
    Ok(())
}

/// Probes do not come to an end.
fn endless() -> Settings {
    let probe = probe::Profile { gap: Duration::from_hours(1), ..probe::Profile::default() };
    Settings { probe, ..settings(Policy::Report) }
}

async fn quiet() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let (layer2, mut events) = start(&node.host, endless()).await?;
    layer2.announce_new(VIP, Rule::any());
    layer2.announce_new(VIP6, Rule::any());
    site.client().answered(VIP, node.nic.mac).await?;
    until("IPv6 is answered", async || {
        (site.client().who_has(VIP6).await.ok()? == [node.nic.mac]).then_some(())
    })
    .await?;
    let announcements = site.client().heard(0, |heard| {
        heard.iter().filter(|(_, frame)| frame.sender_ip == VIP && frame.target_ip == VIP).count()
    });
    assert_eq!(announcements, 0);
    // Who asks the same later asks somebody who answers, and has no claim.
    site.client().send(&ArpFrame::request(STRANGER, [0; 4].into(), VIP).to_bytes())?;
    site.client().answered(VIP, node.nic.mac).await?;
    let told = std::iter::from_fn(|| events.try_recv().ok());
    assert_eq!(told.filter(|it| matches!(it, Event::Taken { .. } | Event::Placed { .. })).count(), 0);
    Ok(())
}

async fn late() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let (layer2, mut events) = start(&node.host, endless()).await?;
    layer2.announce_new(VIP, Rule::any());
    layer2.announce_new(VIP6, Rule::any());
    placed(&layer2, VIP, &["eth0"]).await?;
    placed(&layer2, VIP6, &["eth0"]).await?;
    claim(&site)?;
    until("the stranger has both", async || (layer2.snapshot().await.taken.len() == 2).then_some(())).await?;
    assert_eq!(site.client().who_has(VIP).await?, NOBODY);
    assert_eq!(site.client().who_has(VIP6).await?, NOBODY);
    let told = std::iter::from_fn(|| events.try_recv().ok());
    assert_eq!(told.filter(|it| matches!(it, Event::Taken { mac: STRANGER, .. })).count(), 2);
    Ok(())
}

async fn taken() -> Result {
    let site = Site::new().await?;
    let (node, holder) = (site.node(11).await?, site.node(12).await?);
    let (net, index) = (holder.host.net(), holder.host.net().index("eth0").await?);
    net.add_address(index, VIP, 32).await?;
    net.add_address(index, VIP6, 128).await?;
    let (layer2, mut events) = start(&node.host, settings(Policy::Report)).await?;
    let both: BTreeSet<IpAddr> = [VIP.into(), VIP6.into()].into();
    for address in &both {
        layer2.announce_new(*address, Rule::any());
    }
    until("both are found taken", async || {
        let taken = layer2.snapshot().await.taken;
        (taken.keys().copied().collect::<BTreeSet<_>>() == both).then(|| {
            assert!(taken.values().all(|mac| *mac == holder.nic.mac));
        })
    })
    .await?;
    assert_eq!(site.client().who_has(VIP).await?, [holder.nic.mac]);
    assert_eq!(site.client().who_has(VIP6).await?, [holder.nic.mac]);
    let told = std::iter::from_fn(|| events.try_recv().ok());
    let taken = told.filter(|event| matches!(event, Event::Taken { mac, .. } if *mac == holder.nic.mac));
    assert_eq!(taken.count(), 2, "each is told of once, however often it is probed");
    net.delete_address(index, VIP).await?;
    net.delete_address(index, VIP6).await?;
    site.client().answered(VIP, node.nic.mac).await?;
    placed(&layer2, VIP6, &["eth0"]).await?;
    assert_eq!(site.client().who_has(VIP6).await?, [node.nic.mac]);
    Ok(())
}

async fn stays_taken() -> Result {
    let site = Site::new().await?;
    let (node, holder) = (site.node(11).await?, site.node(12).await?);
    let (net, index) = (holder.host.net(), holder.host.net().index("eth0").await?);
    net.add_address(index, VIP, 32).await?;
    let (layer2, _events) = start(&node.host, settings(Policy::Report)).await?;
    let is_taken = async || (layer2.snapshot().await.taken.contains_key(&VIP.into())).then_some(());
    layer2.announce_new(VIP, Rule::any());
    until("it is found taken", is_taken).await?;
    layer2.announce(VIP, Rule::named(BTreeSet::from(["eth0".to_owned()])));
    assert!(layer2.snapshot().await.addresses.is_empty(), "a new rule is no reason to answer");
    site.lan.cut(&node.port).await?;
    let gone = async || (!layer2.snapshot().await.interfaces.contains_key("eth0")).then_some(());
    until("the link is seen to be down", gone).await?;
    // Longer than until it is asked for again, which nobody can hear.
    let begun = std::time::Instant::now();
    until("the time to ask again is over", async || {
        (begun.elapsed() > Duration::from_millis(800)).then_some(())
    })
    .await?;
    assert!(layer2.snapshot().await.addresses.is_empty(), "not heard of is not free");
    site.lan.heal(&node.port).await?;
    until("it is asked for again", async || {
        layer2.snapshot().await.interfaces.contains_key("eth0").then_some(())
    })
    .await?;
    assert_eq!(site.client().who_has(VIP).await?, [holder.nic.mac]);
    net.delete_address(index, VIP).await?;
    site.client().answered(VIP, node.nic.mac).await?;
    Ok(())
}

async fn members_answer() -> Result {
    let site = Site::new().await?;
    let (node, member) = (site.node(11).await?, site.node(12).await?);
    // As the kernels of all nodes do with kube-proxy in its IPVS mode.
    member.host.net().add_address(member.host.net().index("lo").await?, VIP, 32).await?;
    let (layer2, _events) = start(&node.host, settings(Policy::Yield)).await?;
    layer2.announce_new(VIP, Rule::any());
    until("it is found taken", async || {
        layer2.snapshot().await.taken.contains_key(&VIP.into()).then_some(())
    })
    .await?;
    layer2.set_members(BTreeSet::from([member.nic.mac]));
    placed(&layer2, VIP, &["eth0"]).await?;
    assert!(layer2.snapshot().await.conflicts.is_empty());
    Ok(())
}

async fn probed() -> Result {
    let site = Site::new().await?;
    let (node, holder) = (site.node(11).await?, site.node(12).await?);
    let (layer2, _) = start(&node.host, settings(Policy::Report)).await?;
    let nobody: Ipv6Addr = "fd00:3::9999".parse()?;
    assert_eq!(layer2.probe(holder.nic.address, Rule::any()).await, Probed::Taken(holder.nic.mac));
    let holder6 = holder.nic.address6.ok_or("it is dual-stack")?;
    assert_eq!(layer2.probe(holder6, Rule::any()).await, Probed::Taken(holder.nic.mac));
    assert_eq!(layer2.probe(VIP, Rule::any()).await, Probed::Free);
    assert_eq!(layer2.probe(nobody, Rule::any()).await, Probed::Free);
    let nowhere = Rule::named(BTreeSet::from(["eth7".to_owned()]));
    assert_eq!(layer2.probe(VIP, nowhere).await, Probed::NotAsked);
    assert_eq!(site.client().who_has(VIP).await?, NOBODY);
    assert!(layer2.snapshot().await.addresses.is_empty());
    layer2.announce(VIP, Rule::any());
    assert_eq!(layer2.probe(VIP, Rule::any()).await, Probed::NotAsked, "it is ours");
    Ok(())
}
