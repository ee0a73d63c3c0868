//! What the LAN is told without asking.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use lblab::suite::Case;
use lbnet::wire::ARP_FRAME_LEN;
use lbnet::{ArpFrame, MacAddr, Profile, Rule, Settings};

use crate::site::{Client, Heard, Result, Site, VIP, address, note, placed, start, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("both_forms_are_announced_at_once_and_again_with_growing_gaps", rounds),
        Case::new("a_withdrawn_address_is_announced_no_more", withdrawn),
        Case::new("all_is_announced_again_when_the_link_is_back", link_back),
        Case::new("all_is_announced_with_the_new_hardware_address_after_a_change", new_mac),
        Case::new("who_asked_lately_is_told_of_a_change_by_itself_too", askers),
        Case::new("what_is_held_is_announced_again_now_and_then", refreshed),
        Case::new("two_thousand_addresses_are_answered_at_once_and_announced_within_the_budget", many),
    ]
}

const FIRST_GAP: Duration = Duration::from_millis(250);

fn three_rounds() -> Settings {
    Settings {
        profile: Profile { rounds: 3, first_gap: FIRST_GAP, refresh: None, ..Profile::default() },
        ..Settings::default()
    }
}

async fn rounds() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let (layer2, _) = start(&node.host, three_rounds()).await?;
    let (begun, mark) = (Instant::now(), site.client().mark());
    layer2.announce(VIP, Rule::any());
    for times in site.client().announced(mark, VIP, node.nic.mac, 3).await? {
        let [first, second, third] = times[..] else { panic!("three rounds, not {times:?}") };
        // A busy machine can only make a round later.
        assert!(first - begun < FIRST_GAP, "at once, not after {:?}", first - begun);
        assert!(second - begun >= FIRST_GAP, "{:?}", second - begun);
        assert!(third - begun >= 3 * FIRST_GAP, "{:?}", third - begun);
    }
    assert_eq!(layer2.snapshot().await.announced, 6);
    layer2.announce(VIP, Rule::any());
    assert_eq!(layer2.snapshot().await.announced, 6, "the same rule again");
    Ok(())
}

async fn withdrawn() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let (layer2, _) = start(&node.host, three_rounds()).await?;
    let (client, mac, other) = (site.client(), node.nic.mac, address(3, 252));
    let mark = client.mark();
    layer2.announce(VIP, Rule::any());
    client.announced(mark, VIP, mac, 1).await?;
    layer2.withdraw(VIP);
    // What is heard after the first word of the other address was sent after the withdrawal.
    layer2.announce(other, Rule::any());
    client.announced(mark, other, mac, 1).await?;
    let mark = client.mark();
    client.announced(mark, other, mac, 2).await?;
    let still = client.heard(mark, |heard| heard.iter().any(|(_, frame)| frame.sender_ip == VIP));
    assert!(!still);
    Ok(())
}

/// One round only, so that what is announced later is announced for a reason.
fn one_round() -> Settings {
    Settings { profile: Profile { rounds: 1, refresh: None, ..Profile::default() }, ..Settings::default() }
}

async fn link_back() -> Result {
    let site = Site::new().await?;
    let (node, layer2) = site.answering_node(one_round()).await?;
    site.client().announced(0, VIP, node.nic.mac, 1).await?;
    site.lan.cut(&node.port).await?;
    placed(&layer2, VIP, &[]).await?;
    let mark = site.client().mark();
    site.lan.heal(&node.port).await?;
    site.client().announced(mark, VIP, node.nic.mac, 1).await?;
    Ok(())
}

async fn new_mac() -> Result {
    let site = Site::new().await?;
    let (node, _layer2) = site.answering_node(one_round()).await?;
    let (client, old, new) = (site.client(), node.nic.mac, MacAddr(2, 0, 0, 0, 0, 0xcc));
    client.announced(0, VIP, old, 1).await?;
    let mark = client.mark();
    node.host.net().set_mac(node.host.net().index("eth0").await?, new).await?;
    client.announced(mark, VIP, new, 1).await?;
    let frames = client.heard(mark, |heard| heard.iter().map(|(_, frame)| *frame).collect::<Vec<_>>());
    let since = frames.iter().skip_while(|frame| frame.sender_mac != new);
    assert_eq!(since.filter(|frame| frame.source == old || frame.sender_mac == old).count(), 0);
    Ok(())
}

async fn askers() -> Result {
    let site = Site::new().await?;
    let (node, _layer2) = site.answering_node(one_round()).await?;
    let (client, old, new) = (site.client(), node.nic.mac, MacAddr(2, 0, 0, 0, 0, 0xcc));
    client.announced(0, VIP, old, 1).await?;
    let mark = client.mark();
    node.host.net().set_mac(node.host.net().index("eth0").await?, new).await?;
    // A reply that answers no question: none was asked since.
    let wanted = ArpFrame::request(client.nic.mac, client.nic.address, VIP).reply_from(new);
    until("the client is told by itself", async || {
        client.heard(mark, |heard| heard.iter().any(|(_, frame)| *frame == wanted).then_some(()))
    })
    .await
}

async fn refreshed() -> Result {
    const REFRESH: Duration = Duration::from_millis(300);
    let site = Site::new().await?;
    let profile = Profile { rounds: 1, refresh: Some(REFRESH), ..Profile::default() };
    let (node, layer2) = site.answering_node(Settings { profile, ..Settings::default() }).await?;
    for times in site.client().announced(0, VIP, node.nic.mac, 3).await? {
        assert!(times[2] - times[0] >= 2 * REFRESH, "{times:?}");
    }
    layer2.withdraw(VIP);
    let other = address(3, 252);
    layer2.announce(other, Rule::any());
    // What is heard after the first word of the other address was sent after the withdrawal.
    site.client().announced(0, other, node.nic.mac, 1).await?;
    let mark = site.client().mark();
    site.client().announced(mark, other, node.nic.mac, 2).await?;
    let still = site.client().heard(mark, |heard| heard.iter().any(|(_, frame)| frame.sender_ip == VIP));
    assert!(!still);
    Ok(())
}

const MANY: u16 = 2000;

async fn many() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let settings = Settings::default();
    let profile = settings.profile;
    let (layer2, _) = start(&node.host, settings).await?;
    let (client, mac) = (site.client(), node.nic.mac);
    let targets: Vec<Ipv4Addr> =
        (0..MANY).map(u16::to_be_bytes).map(|[high, low]| Ipv4Addr::new(10, 50, high, low)).collect();
    let (begun, mark) = (Instant::now(), client.mark());
    for target in &targets {
        layer2.announce(*target, Rule::any());
    }
    placed(&layer2, targets[targets.len() - 1], &["eth0"]).await?;
    for part in targets.chunks(50) {
        all_answered(client, part, mac).await?;
    }
    note(&format!("{MANY} addresses announced and each asked for within {} ms", begun.elapsed().as_millis()));

    // More than the first burst and a second's worth.
    let enough = (profile.burst + profile.frames_per_second + 50) as usize;
    let times = until("enough announcements to judge their pace", async || {
        let told = |heard: &[Heard]| {
            let gratuitous = heard.iter().filter(|(_, frame)| frame.sender_ip == frame.target_ip);
            gratuitous.map(|(at, _)| *at).collect::<Vec<_>>()
        };
        Some(client.heard(mark, told)).filter(|times| times.len() >= enough)
    })
    .await?;
    for (frames, at) in (1..).zip(times) {
        // A busy machine can only make a frame later, so this cannot fail by chance.
        let earned = Duration::from_secs(1) * u32::saturating_sub(frames, profile.burst);
        let allowed = begun + earned / profile.frames_per_second;
        assert!(at >= allowed, "frame {frames} came {:?} too early", allowed - at);
    }
    Ok(())
}

/// Asks for all `targets` until `by` has answered for each of them, and nobody else for any.
async fn all_answered(client: &Client, targets: &[Ipv4Addr], by: MacAddr) -> Result {
    let mark = client.mark();
    let questions: Vec<[u8; ARP_FRAME_LEN]> =
        targets.iter().map(|target| client.question(client.nic.address, *target).to_bytes()).collect();
    for question in questions {
        client.send(&question)?;
    }
    until("each of them is answered", async || {
        client.heard(mark, |heard| {
            let answers = heard.iter().filter(|(_, frame)| frame.destination == client.nic.mac);
            let answered: Vec<Ipv4Addr> = answers
                .inspect(|(_, frame)| assert_eq!(frame.sender_mac, by))
                .map(|(_, frame)| frame.sender_ip)
                .collect();
            targets.iter().all(|target| answered.contains(target)).then_some(())
        })
    })
    .await
}
