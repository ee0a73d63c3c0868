//! Neighbour discovery: who is answered, and how the questions come to be heard.

use std::net::Ipv6Addr;
use std::time::Instant;

use lblab::suite::Case;
use lblab::{Host, Nic};
use lbnet::socket::groups::Count;
use lbnet::{Advertisement, MacAddr, Profile, Rule, Settings, Solicitation};

use crate::site::{NOBODY, Node, Result, Site, VIP6, address, note, placed, start, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("every_kind_of_solicitation_is_answered", answered),
        Case::new("a_check_whether_the_address_is_free_is_answered_to_everybody", duplicate),
        Case::new("a_solicitation_of_another_vlan_is_not_answered_but_a_priority_tagged_one_is", vlan),
        Case::new(
            "an_address_is_announced_to_all_nodes_again_after_a_change_of_the_hardware_address",
            announced,
        ),
        Case::new("groups_are_joined_on_an_interface_that_appears_later_or_returns", appears_later),
        Case::new("a_group_is_left_when_its_last_address_is_withdrawn", shared_group),
        Case::new("ten_thousand_groups_are_joined_whatever_the_limit_of_a_socket", ten_thousand),
    ]
}

fn solicitation(site: &Site, target: Ipv6Addr) -> Solicitation {
    Solicitation::multicast(site.client().nic.mac, site.client().address6(), target)
}

/// A node that answers for [`VIP6`].
async fn answering_node(site: &Site, settings: Settings) -> Result<(Node, lbnet::Layer2)> {
    let node = site.node(11).await?;
    let (layer2, _) = start(&node.host, settings).await?;
    layer2.announce(VIP6, Rule::any());
    placed(&layer2, VIP6, &["eth0"]).await?;
    Ok((node, layer2))
}

/// Waits for the answer to a question that is sent until it is answered.
async fn answer_to(
    site: &Site,
    frame: &[u8],
    wanted: impl Fn(&Advertisement) -> bool,
) -> Result<Advertisement> {
    let mark = site.client().mark6();
    site.client().send6(frame)?;
    site.client().advertised(mark, "an answer", wanted).await
}

async fn answered() -> Result {
    let site = Site::new().await?;
    assert_eq!(site.client().who_has(VIP6).await?, NOBODY);
    let (node, layer2) = answering_node(&site, Settings::default()).await?;
    assert_eq!(site.client().who_has(VIP6).await?, [node.nic.mac]);
    let multicast = solicitation(&site, VIP6);
    let unicast = Solicitation { destination: node.nic.mac, destination_ip: VIP6, ..multicast };
    for asked in [multicast, unicast, Solicitation { source_mac: None, ..unicast }] {
        let answer = answer_to(&site, &asked.to_bytes(), |told| told.solicited).await?;
        assert_eq!(answer, asked.answer_from(node.nic.mac), "{asked:?}");
    }
    layer2.withdraw(VIP6);
    layer2.snapshot().await;
    assert_eq!(site.client().who_has(VIP6).await?, NOBODY);
    Ok(())
}

async fn duplicate() -> Result {
    let site = Site::new().await?;
    let once = Profile { rounds: 1, refresh: None, ..Profile::default() };
    let (node, _layer2) = answering_node(&site, Settings { profile: once, ..Settings::default() }).await?;
    site.client().advertised(0, "the announcement", |told| told.target == VIP6).await?;
    let check = Solicitation::multicast(site.client().nic.mac, Ipv6Addr::UNSPECIFIED, VIP6);
    let answer = answer_to(&site, &check.to_bytes(), |told| told.target == VIP6).await?;
    assert_eq!(answer, Advertisement::unsolicited(node.nic.mac, VIP6));
    Ok(())
}

async fn vlan() -> Result {
    let site = Site::new().await?;
    let (node, layer2) = answering_node(&site, Settings::default()).await?;
    let bytes = solicitation(&site, VIP6).to_bytes();
    let tagged =
        |priority: u8, vlan: u8| [&bytes[..12], &[0x81, 0, priority << 5, vlan], &bytes[12..]].concat();
    site.client().send6(&tagged(0, 10))?;
    site.client().send6(&tagged(7, 10))?;
    let answer = answer_to(&site, &tagged(5, 0), |told| told.solicited).await?;
    assert_eq!(answer.target_mac, Some(node.nic.mac));
    // Questions are answered in their order: both of the other VLAN are behind us.
    assert_eq!(layer2.snapshot().await.interfaces["eth0"].counters.ndp, 1);
    Ok(())
}

async fn announced() -> Result {
    let site = Site::new().await?;
    let (node, _layer2) = answering_node(&site, Settings::default()).await?;
    let told = site.client().advertised(0, "the announcement", |told| told.target == VIP6).await?;
    assert_eq!(told, Advertisement::unsolicited(node.nic.mac, VIP6));
    let (mark, new) = (site.client().mark6(), MacAddr(2, 0, 0, 0, 0, 0xcc));
    node.host.net().set_mac(node.host.net().index("eth0").await?, new).await?;
    let told = site.client().advertised(mark, "the new one", |told| told.target_mac == Some(new)).await?;
    assert_eq!(told, Advertisement::unsolicited(new, VIP6));
    Ok(())
}

/// Waits until the host's kernel says that it has joined as many groups with names like this.
async fn joined(host: &Host, like: &'static str, count: usize) -> Result {
    until(&format!("{count} groups like {like}"), async || {
        let read = || async { std::fs::read_to_string("/proc/thread-self/net/igmp6") };
        let text = host.run(read).await.ok()?.ok()?;
        (text.lines().filter(|line| line.contains(like)).count() == count).then_some(())
    })
    .await
}

/// The solicited-node group of [`VIP6`] as `/proc/net/igmp6` writes it.
const GROUP: &str = "ff0200000000000000000001ff000253";

async fn appears_later() -> Result {
    let site = Site::new().await?;
    let host = Host::new("n11").await?;
    let (layer2, _) = start(&host, Settings::default()).await?;
    layer2.announce(VIP6, Rule::any());
    placed(&layer2, VIP6, &[]).await?;
    let nic = Nic::new("eth0", address(3, 11)).dual_stack();
    let port = site.lan.plug(&host, site.segment.bridge, &nic).await?;
    placed(&layer2, VIP6, &["eth0"]).await?;
    joined(&host, GROUP, 1).await?;
    assert_eq!(site.client().who_has(VIP6).await?, [nic.mac]);

    site.lan.cut(&port).await?;
    placed(&layer2, VIP6, &[]).await?;
    site.lan.heal(&port).await?;
    placed(&layer2, VIP6, &["eth0"]).await?;
    joined(&host, GROUP, 1).await?;

    site.lan.unplug(port).await?;
    placed(&layer2, VIP6, &[]).await?;
    joined(&host, GROUP, 0).await?;
    site.lan.plug(&host, site.segment.bridge, &nic).await?;
    placed(&layer2, VIP6, &["eth0"]).await?;
    joined(&host, GROUP, 1).await?;
    assert_eq!(site.client().who_has(VIP6).await?, [nic.mac]);
    Ok(())
}

async fn shared_group() -> Result {
    let site = Site::new().await?;
    let (node, layer2) = answering_node(&site, Settings::default()).await?;
    let same_group: Ipv6Addr = "fd00:3::7:0:253".parse()?;
    layer2.announce(same_group, Rule::any());
    placed(&layer2, same_group, &["eth0"]).await?;
    joined(&node.host, GROUP, 1).await?;
    layer2.withdraw(VIP6);
    layer2.snapshot().await;
    // Once that is known, it is known too that the group was not left.
    assert_eq!(site.client().who_has(VIP6).await?, NOBODY);
    joined(&node.host, GROUP, 1).await?;
    assert_eq!(site.client().who_has(same_group).await?, [node.nic.mac]);
    layer2.withdraw(same_group);
    joined(&node.host, GROUP, 0).await?;
    Ok(())
}

async fn ten_thousand() -> Result {
    const MANY: u16 = 10_000;
    let site = Site::new().await?;
    for optmem_max in ["131072", "20480"] {
        let node = site.node(if optmem_max == "20480" { 12 } else { 11 }).await?;
        node.host.sysctl("core/optmem_max", optmem_max).await?;
        let (layer2, _) = start(&node.host, Settings::default()).await?;
        let begun = Instant::now();
        let targets: Vec<Ipv6Addr> =
            (0..MANY).map(|number| Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0x10, number)).collect();
        for target in &targets {
            layer2.announce(*target, Rule::any());
        }
        let sockets = until("all groups are joined", async || {
            let interface = layer2.snapshot().await.interfaces.remove("eth0")?;
            (interface.groups.joined == usize::from(MANY)).then_some(interface.groups.sockets)
        })
        .await?;
        let millis = begun.elapsed().as_millis();
        note(&format!(
            "{MANY} groups joined within {millis} ms by {sockets} sockets, optmem_max {optmem_max}"
        ));
        assert!(sockets > 1, "one socket cannot join them all");
        joined(&node.host, "ff0200000000000000000001ff10", usize::from(MANY)).await?;
        for target in [targets[0], targets[5_000], targets[9_999]] {
            assert_eq!(site.client().who_has(target).await?, [node.nic.mac]);
            layer2.withdraw(target);
        }
        for target in &targets {
            layer2.withdraw(*target);
        }
        until("all groups are left", async || {
            let left = layer2.snapshot().await.interfaces["eth0"].groups;
            (left == Count::default()).then_some(())
        })
        .await?;
    }
    Ok(())
}
