//! What a client's kernel keeps in its cache of neighbours, which `ip neigh` shows.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use lblab::suite::Case;
use lbnet::Settings;
use tokio::net::UdpSocket;

use crate::listener::Questions;
use crate::site::{Result, Site, Station, VIPS, note, one_round, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("who_pings_learns_the_nodes_mac_and_learns_unasked_of_a_move", moved),
        Case::new("unreachability_probes_of_a_kernel_are_answered_and_never_fail", probed),
    ]
}

async fn moved() -> Result {
    let site = Site::new().await?;
    let client = site.client().await?;
    let nodes = site.nodes().await?;
    // However busy the machine is, it does not ask again.
    neigh(&client, &["base_reachable", "3600000"]).await?;
    let settings = || Settings { echo: true, ..one_round() };
    let answering = [nodes[0].answering(settings()).await?, nodes[1].answering(settings()).await?];
    for vip in VIPS {
        answering[0].announce(vip).await;
        assert_eq!(client.neighbour(vip).await?, None, "nobody has asked yet");
        client.done("ping", &["-c", "1", &vip.to_string()]).await?;
        client.knows(vip, nodes[0].mac()).await?;
        answering[0].withdraw(vip).await;
        let begun = Instant::now();
        answering[1].announce(vip).await;
        client.knows(vip, nodes[1].mac()).await?;
        note(&format!("a kernel's cache follows {vip} within {} ms", begun.elapsed().as_millis()));
        assert_eq!(answering[1].answered(vip).await, 0, "it was told, and did not ask");
    }
    Ok(())
}

/// Sets what the client's kernel does about its neighbours on `eth0`, in both families. Not by `/proc/sys`, which shows
/// that to nobody without root.
async fn neigh(client: &Station, settings: &[&str]) -> Result {
    for cache in ["arp_cache", "ndisc_cache"] {
        let change = ["ntable", "change", "name", cache, "dev", "eth0"];
        client.done("ip", &[&change, settings].concat()).await?;
    }
    Ok(())
}

/// Makes the client's kernel find out within seconds whether its neighbours are there: when it has not heard of them for
/// half to one and a half times `reachable` milliseconds, and then for a second more. If that is less than the second
/// it does so again and again without any traffic; if it is more, the entry becomes stale first and waits for traffic.
pub(crate) async fn probe_often(client: &Station, reachable: &str) -> Result {
    let times = ["base_reachable", reachable, "delay_probe", "1000", "retrans", "200"];
    // However busy the machine is, it does not give up.
    let patience = ["ucast_probes", "100", "mcast_probes", "100"];
    neigh(client, &[&times[..], &patience].concat()).await
}

async fn probed() -> Result {
    let site = Site::new().await?;
    let (client, node) = (site.client().await?, site.station("n1", 11).await?);
    let answering = node.answering(one_round()).await?;
    probe_often(&client, "2200").await?;
    for vip in VIPS {
        answering.announce(vip).await;
    }
    let (monitor, questions) = (client.monitor().await?, Questions::at(&node).await?);
    // What is sent one way tells the kernel nothing about whether it arrives.
    for vip in VIPS {
        send(&client, vip).await?;
    }
    let mut polled: BTreeSet<(IpAddr, String)> = BTreeSet::new();
    let probes = |vip| monitor.of(vip).iter().filter(|it| it.state == "PROBE").count();
    until("three unreachability probes for each address, and every state of the cache", async || {
        for vip in VIPS {
            let Some(entry) = client.neighbour(vip).await? else { continue };
            if entry.state == "STALE" {
                // The kernel waits for a confirmation, then probes.
                send(&client, vip).await?;
            }
            polled.insert((vip, entry.state));
        }
        let delayed = |vip| polled.contains(&(vip, "DELAY".to_owned()));
        Ok(VIPS.into_iter().all(|vip| probes(vip) >= 3 && delayed(vip)).then_some(()))
    })
    .await?;
    for vip in VIPS {
        client.knows(vip, node.mac()).await?;
        let entries = monitor.of(vip);
        let states: Vec<&str> = entries.iter().map(|entry| entry.state.as_str()).collect();
        note(&format!("{vip}: {}", states.join(" ")));
        assert!(!states.contains(&"FAILED") && !polled.contains(&(vip, "FAILED".to_owned())), "{states:?}");
        assert!(entries.iter().filter(|it| it.state == "PROBE").all(|it| it.mac == Some(node.mac())));
        let after: Vec<&str> = states.windows(2).filter(|two| two[0] == "PROBE").map(|two| two[1]).collect();
        assert!(after.len() >= 2 && after.iter().all(|state| *state == "REACHABLE"), "{states:?}");
        assert!(states.contains(&"STALE"), "{states:?}");
        assert!(answering.answered(vip).await > after.len() as u64);
        let asked = questions.about(vip);
        let unicast = asked.iter().filter(|question| question.to == node.mac()).count();
        assert!(unicast >= after.len() && unicast < asked.len(), "the first by multicast: {asked:?}");
    }
    Ok(())
}

/// Sends a datagram that nobody answers.
async fn send(client: &Station, to: IpAddr) -> Result {
    let send = move || async move {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        UdpSocket::bind((any, 0)).await?.send_to(b"?", SocketAddr::from((to, 9))).await
    };
    client.host.run(send).await??;
    Ok(())
}
