//! Step 9: what becomes of an address when its node dies, is drained, or cannot be heard.

use std::time::{Duration, Instant};

use lblab::client::{Asking, who_has};
use lblab::watch::{Story, Watch};
use serde_json::json;

use super::client::{expect, one_answers, vip};
use super::lan::{DemoLan, Node};
use super::screen::{Seen, millis, rounded};
use super::world::{PATIENCE, World};
use crate::exit::Failure;

/// The gateway's address, which all of it is about.
const LAST: u8 = 251;

pub(super) async fn step(world: &mut World<'_>) -> Result<Seen, Failure> {
    let address = vip(LAST);
    let (first, _) = one_answers(world.lan(), address).await?;
    let (first, first_mac) = (first.name().to_owned(), first.nic.mac);

    let watch = watch(world).await?;
    world.kill_speaker(&first)?;
    let killed = taken_over(&watch, |story| story.answerers().iter().any(|mac| *mac != first_mac)).await?;
    let (gap, _) = killed.longest_gap().unwrap_or_default();
    drop(watch);
    let second = one_answers(world.lan(), address).await?.0.name().to_owned();
    expect(gap < Duration::from_secs(1), || format!("nobody answered for {gap:?}"))?;

    // Its owner is cut off from everybody, and notices nothing of it.
    let lan = world.lan();
    let (cut, _) = one_answers(lan, address).await?;
    let cut_name = cut.name().to_owned();
    lan.lan.mute(&cut.port, true).await?;
    let (third, _) = one_answers(lan, address).await?;
    let third = third.name().to_owned();
    expect(third != cut_name, || format!("{cut_name} answers though it is cut off"))?;
    let healed = Instant::now();
    lan.lan.mute(&cut.port, false).await?;
    let (left, within) = one_is_left(lan, healed).await?;

    let watch = self::watch(world).await?;
    let begun = Instant::now();
    world.drain(&left, true).await?;
    let drained = taken_over(&watch, |story| story.answerers().len() > 1 && is_settled(story)).await?;
    let took = begun.elapsed();
    let (longest, _) = drained.longest_gap().unwrap_or_default();
    let both = drained.doubly_answered();
    drop(watch);
    let last = one_answers(world.lan(), address).await?.0.name().to_owned();
    expect(last != left, || format!("{left} answers although it is drained"))?;

    Ok(Seen {
        lines: vec![
            format!(
                "{first}, which answers for {address}, is killed: {second} answers {} ms later",
                millis(gap)
            ),
            format!(
                "{cut_name} is cut off, and {third} takes over; the LAN heals, and within {} ms {left} alone answers",
                millis(within)
            ),
            format!(
                "{left} is drained: {last} takes over without a question unanswered (longest pause {} ms, both answered \
                 for {} ms)",
                millis(longest),
                millis(both)
            ),
        ],
        facts: json!({
            "address": address,
            "killed": {"node": first, "gap_ms": rounded(gap), "next": second},
            "split": {"node": cut_name, "next": third, "healed_ms": rounded(within), "owner": left},
            "drained": {
                "node": left, "next": last, "took_ms": rounded(took), "longest_pause_ms": rounded(longest),
                "both_ms": rounded(both),
            },
        }),
    })
}

async fn watch(world: &World<'_>) -> Result<Watch, Failure> {
    let lan = world.lan();
    let watch = Watch::start(&lan.client, &lan.client_nic, vip(LAST)).await?;
    // From an answer on, silence counts.
    taken_over(&watch, |story| !story.answers.is_empty()).await?;
    Ok(watch)
}

/// Waits until what was heard is as wanted.
async fn taken_over(watch: &Watch, wanted: impl Fn(&Story) -> bool) -> Result<Story, Failure> {
    let started = Instant::now();
    loop {
        let story = watch.story();
        if wanted(&story) {
            return Ok(story);
        }
        expect(started.elapsed() < PATIENCE, || format!("only {:?} answered", story.answerers()))?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether the last twenty answers are by one station.
fn is_settled(story: &Story) -> bool {
    let last: Vec<_> = story.answers.iter().rev().take(20).map(|(_, mac)| mac).collect();
    last.len() == 20 && last.iter().all(|mac| *mac == last[0])
}

/// Waits until one node alone answers; which, and how long after `since` that was seen.
async fn one_is_left(lan: &DemoLan, since: Instant) -> Result<(String, Duration), Failure> {
    loop {
        let asking = Asking { questions: 1, ..Asking::default() };
        let answers = who_has(&lan.client, &lan.client_nic, vip(LAST), asking).await?;
        let by = |node: &&Node| answers.contains_key(&node.nic.mac);
        let answering: Vec<&str> = lan.nodes.iter().filter(by).map(Node::name).collect();
        if let [one] = answering[..]
            && answers.len() == 1
        {
            return Ok((one.to_owned(), since.elapsed()));
        }
        expect(since.elapsed() < PATIENCE, || format!("{answering:?} answer"))?;
    }
}
