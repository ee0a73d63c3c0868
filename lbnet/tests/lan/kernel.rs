//! This host's own kernel, which may answer too.

use std::net::{IpAddr, Ipv4Addr};

use lblab::suite::Case;
use lblab::{Host, Nic};
use lbnet::{Event, Layer2, Rule, Settings};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::site::{NOBODY, Result, Site, VIP, address, start};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("an_address_on_a_local_interface_is_told_of_with_its_cure_until_it_is_cured", local),
        Case::new("an_address_on_lo_is_no_trouble_with_arp_ignore", cured),
    ]
}

/// What the kernel is said to answer for, of the events so far.
fn told(events: &mut UnboundedReceiver<Event>) -> Vec<String> {
    std::iter::from_fn(|| events.try_recv().ok())
        .filter_map(|event| match event {
            Event::KernelAnswers(answer) => Some(answer.to_string()),
            _ => None,
        })
        .collect()
}

async fn kernel_answers(layer2: &Layer2) -> Vec<IpAddr> {
    layer2.snapshot().await.kernel_answers.iter().map(|answer| answer.address).collect()
}

async fn lo(host: &Host) -> Result<u32> {
    Ok(host.net().index("lo").await?)
}

async fn local() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let (layer2, mut events) = start(&node.host, Settings::default()).await?;
    layer2.announce(VIP, Rule::any());
    assert!(kernel_answers(&layer2).await.is_empty());
    assert_eq!(told(&mut events), [""; 0]);
    // As kube-proxy does it in its IPVS mode.
    node.host.net().add_address(lo(&node.host).await?, VIP, 32).await?;
    crate::site::until("it is noticed", async || (kernel_answers(&layer2).await == [VIP]).then_some(()))
        .await?;
    let said = told(&mut events);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("because it is on lo") && said[0].contains("arp_ignore=1"), "{said:?}");
    // It does answer: that is what is told of.
    layer2.withdraw(VIP);
    layer2.snapshot().await;
    assert_eq!(site.client().who_has(VIP).await?, [node.nic.mac]);

    node.host.sysctl("ipv4/conf/all/arp_ignore", "1").await?;
    layer2.announce(VIP, Rule::any());
    assert!(kernel_answers(&layer2).await.is_empty());
    layer2.withdraw(VIP);
    layer2.snapshot().await;
    assert_eq!(site.client().who_has(VIP).await?, NOBODY);
    Ok(())
}

async fn cured() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    node.host.sysctl("ipv4/conf/all/arp_ignore", "1").await?;
    let vip: Ipv4Addr = address(3, 200);
    node.host.net().add_address(lo(&node.host).await?, vip, 32).await?;
    let (layer2, mut events) = start(&node.host, Settings::default()).await?;
    layer2.announce(vip, Rule::any());
    layer2.snapshot().await;
    assert_eq!(told(&mut events), [""; 0]);
    // But on the very interface that answers it is answered by both.
    let nic = Nic::new("eth1", address(3, 12));
    site.lan.plug(&node.host, site.segment.bridge, &nic).await?;
    node.host.net().add_address(node.host.net().index("eth0").await?, vip, 32).await?;
    crate::site::until("it is noticed", async || (kernel_answers(&layer2).await == [vip]).then_some(()))
        .await?;
    Ok(())
}
