//! What wakes the process, and that nothing which should is lost.

use std::net::Ipv4Addr;

use lblab::suite::Case;
use lbnet::filter::Protocol;
use lbnet::responder::Counters;
use lbnet::{Drop, Layer2, Rule, Settings};

use crate::site::{NOBODY, Result, Site, VIP, filtered, note, placed, start, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("a_flood_of_questions_for_other_addresses_wakes_nobody", flood),
        Case::new("more_addresses_than_a_filter_holds_are_covered_and_foreign_questions_counted", covered),
        Case::new("a_filter_that_the_kernel_refuses_is_made_shorter_and_all_is_answered", refused),
        Case::new("no_question_is_lost_while_filters_are_replaced", replaced),
    ]
}

async fn counters(layer2: &Layer2) -> Counters {
    layer2.snapshot().await.interfaces["eth0"].counters.clone()
}

/// Addresses that lie apart.
fn scattered(count: u32) -> impl Iterator<Item = Ipv4Addr> {
    (1..=count).map(|number| Ipv4Addr::from_bits(0x0b00_0000 | (number.wrapping_mul(0x9e37_79b1) >> 8)))
}

async fn flood() -> Result {
    const FLOOD: u32 = 100_000;
    let site = Site::new().await?;
    let (_node, layer2) = site.answering_node(Settings::default()).await?;
    for target in scattered(1_000) {
        layer2.announce(target, Rule::any());
    }
    filtered(&layer2, "eth0").await?;
    let client = site.client();
    let before = counters(&layer2).await;
    for number in 0..FLOOD {
        let question = client.question(client.nic.address, Ipv4Addr::from_bits(0x0c00_0000 + number));
        // A question that the kernel does not take is none; the last one is waited for.
        let _ = client.send(&question.to_bytes());
    }
    let mark = client.mark();
    until("the plain question is answered", async || {
        let _ = client.send(&client.question(client.nic.address, VIP).to_bytes());
        client.heard(mark, |heard| heard.iter().any(|(_, frame)| frame.sender_ip == VIP).then_some(()))
    })
    .await?;
    let after = counters(&layer2).await;
    assert_eq!(after.read() - after.arp, before.read() - before.arp, "frames that were not for us");
    note(&format!("{FLOOD} foreign questions, 0 of them read"));
    Ok(())
}

async fn covered() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let (layer2, _) = start(&node.host, Settings::default()).await?;
    let targets: Vec<Ipv4Addr> = scattered(6_000).collect();
    for target in &targets {
        layer2.announce(*target, Rule::any());
    }
    placed(&layer2, targets[5_999], &["eth0"]).await?;
    let filter = until("the filter has followed", async || {
        let filter = layer2.snapshot().await.interfaces["eth0"].filters[&Protocol::Arp];
        (filter.instructions > 1_000).then_some(filter)
    })
    .await?;
    assert!(!filter.exact && filter.instructions <= 4096, "{filter:?}");
    for target in targets.iter().step_by(1_000) {
        assert_eq!(site.client().who_has(*target).await?, [node.nic.mac]);
    }
    // Beside an address of ours is one that is not: near enough to be covered.
    let beside = Ipv4Addr::from_bits(targets[0].to_bits() + 1);
    assert!(!targets.contains(&beside));
    assert_eq!(site.client().who_has(beside).await?, NOBODY);
    note(&format!("6,000 scattered addresses by {} instructions", filter.instructions));
    Ok(())
}

async fn refused() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    node.host.sysctl("core/optmem_max", "20480").await?;
    let (layer2, _) = start(&node.host, Settings::default()).await?;
    let targets: Vec<Ipv4Addr> = scattered(1_500).collect();
    for target in &targets {
        layer2.announce(*target, Rule::any());
    }
    placed(&layer2, targets[1_499], &["eth0"]).await?;
    let filter = until("the filter has been refused and made shorter", async || {
        let filter = layer2.snapshot().await.interfaces["eth0"].filters[&Protocol::Arp];
        (filter.refused > 0 && filter.instructions > 100).then_some(filter)
    })
    .await?;
    assert!(!filter.exact, "{filter:?}");
    note(&format!("refused {} times, then {} instructions", filter.refused, filter.instructions));
    for target in targets.iter().step_by(300) {
        assert_eq!(site.client().who_has(*target).await?, [node.nic.mac]);
    }
    Ok(())
}

async fn replaced() -> Result {
    const ROUNDS: u32 = 300;
    let site = Site::new().await?;
    let (_node, layer2) = site.answering_node(Settings::default()).await?;
    let client = site.client();
    let mark = client.mark();
    let question = client.question(client.nic.address, VIP).to_bytes();
    let others: Vec<Ipv4Addr> = scattered(ROUNDS).collect();
    for (number, other) in others.iter().enumerate() {
        // One comes, one goes, and a question that is sent only once is on the wire meanwhile.
        layer2.announce(*other, Rule::any());
        client.send(&question)?;
        if let Some(gone) = number.checked_sub(10).and_then(|before| others.get(before)) {
            layer2.withdraw(*gone);
        }
        if number % 10 == 0 {
            filtered(&layer2, "eth0").await?;
        }
    }
    let answers = until("every question is answered", async || {
        let answers = client.heard(mark, |heard| {
            let ours = heard.iter().filter(|(_, frame)| frame.destination == client.nic.mac);
            ours.filter(|(_, frame)| frame.sender_ip == VIP).count()
        });
        (answers >= ROUNDS as usize).then_some(answers)
    })
    .await?;
    assert_eq!(answers, ROUNDS as usize);
    let replaced = layer2.snapshot().await.interfaces["eth0"].filters[&Protocol::Arp].replaced;
    note(&format!("{ROUNDS} questions answered while the filter was replaced {replaced} times"));
    assert!(replaced >= u64::from(ROUNDS / 10), "{replaced}");
    assert_eq!(counters(&layer2).await.dropped(Drop::OtherInterface), 0);
    Ok(())
}
