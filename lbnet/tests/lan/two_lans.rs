//! Members with an interface on each of two LANs, on real sockets: each LAN is cut alone while the carrier stays up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use lblab::suite::Case;
use lblab::{Nic, Port};
use lbnet::membership::carrier::{News, PORT};
use lbnet::membership::{Event, Segment};

use crate::members::Member;
use crate::site::{self, Node, Result, Site, VIP, address, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("who_is_cut_off_the_announced_lan_alone_says_so_by_ipv4", || announced_cut(false)),
        Case::new("who_is_cut_off_the_announced_lan_alone_says_so_by_ipv6", || announced_cut(true)),
        Case::new("who_is_cut_off_the_other_lan_alone_lives_on_by_ipv4", || other_cut(false)),
        Case::new("who_is_cut_off_the_other_lan_alone_lives_on_by_ipv6", || other_cut(true)),
        Case::new("of_two_on_a_lan_the_one_that_clients_reach_is_heard", frames),
        Case::new("what_is_to_be_heard_on_a_lan_goes_by_it_whatever_the_routes_say", one_subnet),
    ]
}

/// A node with `eth0` on the LAN by which members know each other, and `eth1` on the one on which they announce.
struct TwoLegged {
    name: String,
    node: Node,
    second: Nic,
    port: Port,
    member: Member,
}

impl TwoLegged {
    /// Where it is on the LAN that is announced on.
    fn at(&self, ipv6: bool) -> SocketAddr {
        let v6 = self.second.address6.filter(|_| ipv6).map(IpAddr::from);
        SocketAddr::new(v6.unwrap_or(self.second.address.into()), PORT)
    }

    fn is_heard(&self) -> bool {
        let told = self.member.seen.iter().rev().find_map(|news| match news {
            News::Happened(Event::Segment { interface, heard }) if interface == "eth1" => Some(*heard),
            _ => None,
        });
        told.unwrap_or(true)
    }

    /// Waits until it says that it is heard on the second LAN, or that it is not.
    async fn says(&mut self, heard: bool) -> Result {
        let event = Event::Segment { interface: "eth1".to_owned(), heard };
        let what = format!("{} says heard: {heard}", self.name);
        self.member.tells(&what, |news| *news == News::Happened(event.clone())).await
    }

    /// What it told besides that members are up and of what they tell.
    fn troubles(&self) -> Vec<&News> {
        let is_trouble =
            |news: &&News| matches!(news, News::Happened(Event::Segment { .. } | Event::Down { .. }));
        self.member.seen.iter().filter(is_trouble).collect()
    }

    /// Takes in what was told so far.
    async fn listen(&mut self) -> Result {
        self.member.tells("something", |_| true).await
    }
}

/// Nodes that have met, and speak on both LANs. The second one is `net` to the second NICs of all.
async fn nodes(
    site: &Site,
    second: &site::Segment,
    net: u8,
    count: u8,
    ipv6: bool,
) -> Result<Vec<TwoLegged>> {
    let mut nodes = Vec::new();
    for last in 11..11 + count {
        let node = site.node(last).await?;
        let nic = Nic::new("eth1", address(net, last + if net == 3 { 100 } else { 0 })).dual_stack();
        let port = site.lan.plug(&node.host, second.bridge, &nic).await?;
        let name = format!("n{last}");
        let member = Member::start(&node, &name, None).await?;
        nodes.push(TwoLegged { name, node, second: nic, port, member });
    }
    for one in &nodes {
        let others = || nodes.iter().filter(|other| other.name != one.name);
        let first = |other: &TwoLegged| SocketAddr::new(other.node.nic.address.into(), PORT);
        let peers = others().map(|other| (other.name.clone(), BTreeSet::from([first(other)])));
        one.member.carrier.set_peers(peers.collect());
        one.member.carrier.expect(others().map(|other| other.name.clone()).collect());
        let index = one.node.host.net().index("eth1").await?;
        let members = others().map(|other| (other.name.clone(), [other.at(ipv6)].into())).collect();
        one.member.carrier.set_segments(BTreeMap::from([("eth1".to_owned(), Segment { index, members })]));
    }
    for one in &nodes {
        until(&format!("{} hears all others on eth1", one.name), async || {
            let seen = one.member.carrier.snapshot().await;
            let all = usize::from(count) - 1;
            (seen.segments.first().is_some_and(|it| it.heard && it.speaking == all)).then_some(())
        })
        .await?;
    }
    Ok(nodes)
}

async fn announced_cut(ipv6: bool) -> Result {
    let site = Site::new().await?;
    let second = site::Segment::new(&site.lan, 4).await?;
    let mut nodes = nodes(&site, &second, 4, 3, ipv6).await?;
    site.lan.mute(&nodes[2].port, true).await?;
    nodes[2].says(false).await?;
    site.lan.mute(&nodes[2].port, false).await?;
    nodes[2].says(true).await?;
    for one in &mut nodes {
        one.listen().await?;
        let expected = if one.name == "n13" { 2 } else { 0 };
        assert_eq!(one.troubles().len(), expected, "{}: {:?}", one.name, one.troubles());
        assert!(one.member.carrier.snapshot().await.members.iter().all(|member| member.alive));
    }
    Ok(())
}

async fn other_cut(ipv6: bool) -> Result {
    let site = Site::new().await?;
    let second = site::Segment::new(&site.lan, 4).await?;
    let mut nodes = nodes(&site, &second, 4, 3, ipv6).await?;
    site.lan.mute(&nodes[2].node.port, true).await?;
    // By whichever family it was asked last.
    let places = [nodes[2].at(false), nodes[2].at(true)].map(Some);
    for other in &nodes[..2] {
        let member = &other.member;
        until("it is spoken to by the second LAN", async || {
            let seen = member.carrier.snapshot().await;
            seen.members.iter().any(|it| it.name == "n13" && places.contains(&it.at)).then_some(())
        })
        .await?;
    }
    nodes[2].member.carrier.publish(vec![("claim".to_owned(), Some(vec![1]))]);
    for other in &mut nodes[..2] {
        let told = |news: &News| matches!(news, News::Records(name, it) if name == "n13" && !it.is_empty());
        other.member.tells("what it tells comes", told).await?;
    }
    for one in &mut nodes {
        one.listen().await?;
        assert_eq!(one.troubles(), [] as [&News; 0], "{}", one.name);
    }
    Ok(())
}

async fn frames() -> Result {
    let site = Site::new().await?;
    let second = site::Segment::new(&site.lan, 4).await?;
    let mut nodes = nodes(&site, &second, 4, 2, false).await?;
    let load = second.client.load(VIP).await?;
    site.lan.mute(&nodes[1].port, true).await?;
    nodes[1].says(false).await?;
    nodes[0].listen().await?;
    assert!(nodes[0].is_heard(), "the questions of the client reach it: {:?}", nodes[0].troubles());
    // Nobody asks any more, and nobody knows which of the two is cut, until somebody asks again.
    drop(load);
    nodes[0].says(false).await?;
    let _load = second.client.load(VIP).await?;
    nodes[0].says(true).await?;
    nodes[1].listen().await?;
    assert!(!nodes[1].is_heard(), "{:?}", nodes[1].troubles());
    site.lan.mute(&nodes[1].port, false).await?;
    nodes[1].says(true).await
}

async fn one_subnet() -> Result {
    let site = Site::new().await?;
    let second = site::Segment::new(&site.lan, 4).await?;
    // Both interfaces of each are in one subnet, on two LANs: by the routes all goes by the first.
    let mut nodes = nodes(&site, &second, 3, 3, false).await?;
    site.lan.mute(&nodes[0].port, true).await?;
    nodes[0].says(false).await?;
    nodes[1].listen().await?;
    assert_eq!(nodes[1].troubles(), [] as [&News; 0]);
    Ok(())
}
