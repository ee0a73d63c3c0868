//! Another host says that an address of ours is its own, by `arping -U` and `-A` or by its kernel.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lblab::suite::Case;
use lbnet::conflict::DEFEND_INTERVAL;
use lbnet::{Event, MacAddr, Policy, Settings, probe};

use crate::site::{Answering, Result, Site, Station, VIP, VIPS, note, one_round, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("a_claim_in_either_form_is_told_once_and_changes_no_answer", reported),
        Case::new("a_defence_takes_a_kernels_cache_back_once_in_ten_seconds", defended),
        Case::new("who_gives_way_is_silent_until_the_other_is_gone", given_way),
    ]
}

/// Says to everybody that [`VIP`] is this station's, as the owner of an address does; in request form by `-U`, in reply
/// form by `-A`.
async fn claim(rival: &Station, form: &str) -> Result {
    // arping binds the address that it claims.
    rival.host.sysctl("ipv4/ip_nonlocal_bind", "1").await?;
    let said = rival.done("arping", &["-I", "eth0", form, "-c", "1", &VIP.to_string()]).await?;
    assert!(said.contains("Sent 1 probes"), "{said}");
    Ok(())
}

/// How often `rival` was heard to claim the address, when it is `frames` times or more, and from first to last.
async fn heard(
    answering: &Answering,
    address: IpAddr,
    rival: MacAddr,
    frames: u64,
) -> Result<(u64, Duration)> {
    answering
        .shows(&format!("{rival} was heard to claim {address} {frames} times"), |snapshot| {
            let about = |it: &&lbnet::layer2::Conflict| (it.address, it.mac) == (address, rival);
            let found = snapshot.conflicts.iter().find(about)?;
            (found.frames >= frames).then_some((found.frames, found.last - found.first))
        })
        .await
}

async fn reported() -> Result {
    let site = Site::new().await?;
    let (client, node, rival) = (site.client().await?, site.station("n1", 11).await?, site.rival().await?);
    let mut answering = node.answering(one_round()).await?;
    answering.announce(VIP).await;
    claim(&rival, "-U").await?;
    answering.hears_conflict(VIP.into(), rival.mac()).await?;
    claim(&rival, "-A").await?;
    let (frames, _) = heard(&answering, VIP.into(), rival.mac(), 2).await?;
    assert_eq!(frames, 2);
    // A second event would be there by now.
    while let Ok(event) = answering.events.try_recv() {
        assert!(!matches!(event, Event::Conflict { .. }), "told again: {event:?}");
    }
    assert_eq!(answering.layer2.snapshot().await.announced, 2, "one round of two frames, and no defence");
    client.answered_by(VIP, &[node.mac()]).await
}

async fn defended() -> Result {
    let site = Site::new().await?;
    let (client, node, rival) = (site.client().await?, site.station("n1", 11).await?, site.rival().await?);
    let settings = Settings { conflicts: Policy::Defend, echo: true, ..one_round() };
    let mut answering = node.answering(settings).await?;
    answering.announce(VIP).await;
    client.done("ping", &["-c", "1", &VIP.to_string()]).await?;
    client.knows(VIP, node.mac()).await?;
    let monitor = client.monitor().await?;
    claim(&rival, "-U").await?;
    answering.hears_conflict(VIP.into(), rival.mac()).await?;
    let begun = Instant::now();
    until("the client's cache went to the rival and back", async || {
        let macs: Vec<MacAddr> = monitor.of(VIP.into()).into_iter().filter_map(|it| it.mac).collect();
        let stolen = macs.iter().position(|mac| *mac == rival.mac());
        Ok(stolen.filter(|at| macs[*at..].contains(&node.mac())).map(drop))
    })
    .await?;
    note(&format!("a kernel's cache is back within {} ms of the conflict", begun.elapsed().as_millis()));
    client.knows(VIP, node.mac()).await?;
    assert_eq!(answering.layer2.snapshot().await.announced, 4, "one defence of two frames");

    claim(&rival, "-U").await?;
    let (_, between) = heard(&answering, VIP.into(), rival.mac(), 2).await?;
    let announced = answering.layer2.snapshot().await.announced;
    if between < DEFEND_INTERVAL {
        assert_eq!(announced, 4, "defended again after {between:?}");
        client.knows(VIP, rival.mac()).await?;
    } else {
        // This machine is too busy to show what happens sooner.
        assert_eq!(announced, 6, "not defended after {between:?}");
    }
    Ok(())
}

async fn given_way() -> Result {
    let site = Site::new().await?;
    let (client, node, rival) = (site.client().await?, site.station("n1", 11).await?, site.rival().await?);
    // Its kernel tells everybody of a new IPv6 address; of an IPv4 one only arping does.
    rival.host.sysctl("ipv6/conf/eth0/ndisc_notify", "1").await?;
    let again = Duration::from_millis(300);
    let probe = probe::Profile { again, ..probe::Profile::default() };
    let mut answering = node.answering(Settings { conflicts: Policy::Yield, probe, ..one_round() }).await?;
    for vip in VIPS {
        answering.announce(vip).await;
        client.answered_by(vip, &[node.mac()]).await?;
        // Without `nodad` the kernel counts it as new, and tells.
        rival.done("ip", &["address", "add", &vip.to_string(), "dev", "eth0"]).await?;
        if vip.is_ipv4() {
            claim(&rival, "-A").await?;
        }
        answering.hears_conflict(vip, rival.mac()).await?;
        let snapshot = answering.layer2.snapshot().await;
        assert_eq!((snapshot.addresses.get(&vip), snapshot.taken.get(&vip)), (None, Some(&rival.mac())));
        // It is probed several times meanwhile.
        client.answered_by(vip, &[rival.mac()]).await?;
        assert_eq!(answering.layer2.snapshot().await.taken.get(&vip), Some(&rival.mac()));
        rival.remove("eth0", vip).await?;
        answering
            .hears(&format!("{vip} is answered again"), |event| {
                let Event::Placed { address, interfaces, .. } = event else { return None };
                (*address == vip && interfaces == &["eth0"]).then_some(())
            })
            .await?;
        client.answered_by(vip, &[node.mac()]).await?;
    }
    Ok(())
}
