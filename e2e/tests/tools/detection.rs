//! Addresses that are in use already, found by a kernel that wants one of ours and by us when a kernel has it.

use std::time::Duration;

use lblab::suite::Case;
use lbnet::{Event, Probed, Rule, Settings, probe};
use serde_json::Value;

use crate::site::{Result, Site, Station, VIP6, VIPS, one_round, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("a_kernel_refuses_itself_an_ipv6_address_that_is_announced", refused),
        Case::new("a_probe_finds_what_a_kernel_has_and_what_nobody_has", probed),
        Case::new("a_new_address_that_a_kernel_has_is_announced_when_it_is_given_up", taken),
    ]
}

/// Adds [`VIP6`] as a user would and waits until duplicate address detection is over; whether it found somebody.
async fn is_refused(host: &Station) -> Result<bool> {
    let address = VIP6.to_string();
    host.done("ip", &["address", "add", &format!("{address}/64"), "dev", "eth0"]).await?;
    let refused = until("duplicate address detection is over", async || {
        let shown = host.done("ip", &["-j", "-6", "address", "show", "dev", "eth0"]).await?;
        let shown: Value = serde_json::from_str(&shown)?;
        let mut entries = shown[0]["addr_info"].as_array().into_iter().flatten();
        let entry = entries.find(|entry| entry["local"] == address.as_str()).ok_or("it is not there")?;
        let flag = |name: &str| entry[name].as_bool().unwrap_or(false);
        // An address that was refused stays tentative.
        Ok((flag("dadfailed") || !flag("tentative")).then(|| flag("dadfailed")))
    })
    .await?;
    host.remove("eth0", VIP6.into()).await?;
    Ok(refused)
}

async fn refused() -> Result {
    let site = Site::new().await?;
    let (node, other) = (site.station("n1", 11).await?, site.rival().await?);
    for interface in ["all", "eth0"] {
        other.host.sysctl(&format!("ipv6/conf/{interface}/accept_dad"), "1").await?;
    }
    // A second's wait after each question.
    other.host.sysctl("ipv6/conf/eth0/dad_transmits", "3").await?;
    let answering = node.answering(Settings::default()).await?;
    assert!(!is_refused(&other).await?, "nobody has it yet");
    answering.announce(VIP6).await;
    assert!(is_refused(&other).await?);
    assert_eq!(answering.layer2.snapshot().await.conflicts, [], "it only asked");
    answering.withdraw(VIP6).await;
    assert!(!is_refused(&other).await?, "nobody has it any more");
    Ok(())
}

/// Probes that wait long enough for a busy machine.
fn patient() -> Settings {
    let gap = Duration::from_millis(500);
    let probe = probe::Profile { gap, again: gap, ..probe::Profile::default() };
    Settings { probe, ..one_round() }
}

async fn probed() -> Result {
    let site = Site::new().await?;
    let (node, other) = (site.station("n1", 11).await?, site.rival().await?);
    let answering = node.answering(patient()).await?;
    for vip in VIPS {
        assert_eq!(answering.layer2.probe(vip, Rule::any()).await, Probed::Free, "{vip}");
        other.add("eth0", vip).await?;
        assert_eq!(answering.layer2.probe(vip, Rule::any()).await, Probed::Taken(other.mac()), "{vip}");
        other.remove("eth0", vip).await?;
        assert_eq!(answering.layer2.probe(vip, Rule::any()).await, Probed::Free, "{vip}");
    }
    Ok(())
}

async fn taken() -> Result {
    let site = Site::new().await?;
    let (client, node, other) = (site.client().await?, site.station("n1", 11).await?, site.rival().await?);
    let mut answering = node.answering(patient()).await?;
    for vip in VIPS {
        other.add("eth0", vip).await?;
        answering.layer2.announce_new(vip, Rule::any());
        let what = format!("{vip} is taken");
        let heard = answering.hears(&what, |event| match event {
            Event::Taken { address, mac, interface } => Some((*address, *mac, interface.clone())),
            _ => None,
        });
        assert_eq!(heard.await?, (vip, other.mac(), "eth0".to_owned()));
        assert_eq!(answering.layer2.snapshot().await.taken.get(&vip), Some(&other.mac()));
        client.answered_by(vip, &[other.mac()]).await?;
        other.remove("eth0", vip).await?;
        answering
            .shows(&format!("{vip} is answered"), |snapshot| {
                (snapshot.addresses.get(&vip)? == &["eth0"]).then_some(())
            })
            .await?;
        client.answered_by(vip, &[node.mac()]).await?;
    }
    Ok(())
}
