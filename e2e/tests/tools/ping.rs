//! The system's `ping`, answered in user space.

use std::net::IpAddr;

use lblab::suite::Case;
use lbnet::Settings;

use crate::site::{Result, Site, Station, VIPS, one_round};
use crate::tool;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("ping_is_answered_in_every_size_that_fits_a_frame", answered),
        Case::new("ping_is_answered_in_a_jumbo_frame", jumbo),
        Case::new("ping_is_not_answered_unless_that_is_switched_on", off),
        Case::new("ping_is_left_to_the_kernel_for_an_address_that_it_has", left_to_the_kernel),
    ]
}

fn echo() -> Settings {
    Settings { echo: true, ..one_round() }
}

/// Pings three times with `size` bytes of data, in one frame; all must be answered, once.
async fn pinged(client: &Station, target: IpAddr, size: usize) -> Result {
    let (size, target) = (size.to_string(), target.to_string());
    let said = client
        .done("ping", &["-n", "-M", "do", "-c", "3", "-i", "0.2", "-W", "10", "-s", &size, &target])
        .await?;
    assert!(said.contains("3 received, 0% packet loss") && !said.contains("DUP!"), "{said}");
    // It says so of every byte that came back changed.
    assert!(!said.contains("wrong data"), "{said}");
    Ok(())
}

async fn answered() -> Result {
    let site = Site::new().await?;
    let (client, node) = (site.client().await?, site.station("n1", 11).await?);
    let answering = node.answering(echo()).await?;
    for vip in VIPS {
        answering.announce(vip).await;
        for size in [0, 1, 56, 1400] {
            pinged(&client, vip, size).await?;
        }
    }
    assert_eq!(answering.layer2.snapshot().await.interfaces["eth0"].counters.echo, 24);
    Ok(())
}

async fn jumbo() -> Result {
    let site = Site::new().await?;
    let (client, node) = (site.client().await?, site.station("n1", 11).await?);
    for port in ["c-eth0", "n1-eth0", "br0"] {
        tool::done("ip", &["link", "set", port, "mtu", "9000"]).await?;
    }
    for station in [&client, &node] {
        station.done("ip", &["link", "set", "eth0", "mtu", "9000"]).await?;
    }
    let answering = node.answering(echo()).await?;
    for vip in VIPS {
        answering.announce(vip).await;
        // An IP header of 20 or 40 bytes, and one of 8.
        pinged(&client, vip, if vip.is_ipv4() { 8972 } else { 8952 }).await?;
    }
    Ok(())
}

async fn off() -> Result {
    let site = Site::new().await?;
    let (client, node) = (site.client().await?, site.station("n1", 11).await?);
    let answering = node.answering(one_round()).await?;
    for vip in VIPS {
        answering.announce(vip).await;
        let output = client.run("ping", &["-n", "-c", "1", "-W", "1", &vip.to_string()]).await?;
        // "If ping does not receive any reply packets at all it will exit with code 1" (ping(8)).
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        client.knows(vip, node.mac()).await?;
    }
    Ok(())
}

async fn left_to_the_kernel() -> Result {
    let site = Site::new().await?;
    let (client, node) = (site.client().await?, site.station("n1", 11).await?);
    let answering = node.answering(echo()).await?;
    for vip in VIPS {
        answering.announce(vip).await;
        node.add("eth0", vip).await?;
        answering
            .shows(&format!("the kernel has {vip}"), |snapshot| {
                snapshot.kernel_answers.iter().any(|it| it.address == vip).then_some(())
            })
            .await?;
        pinged(&client, vip, 56).await?;
    }
    assert_eq!(answering.layer2.snapshot().await.interfaces["eth0"].counters.echo, 0);
    Ok(())
}
