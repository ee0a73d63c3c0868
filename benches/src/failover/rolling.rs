//! All speakers are restarted, one after another, as an upgrade does it: is it noticed?

use std::time::{Duration, Instant};

use lblab::connecting::Connecting;
use lblab::watch::Watch;
use nix::sys::signal::Signal;

use super::cluster::{Cluster, PATIENCE};
use super::gaps::CONNECTING;
use super::objects::VIP;
use super::{count, ms};
use crate::program::Lbd;
use crate::site::Result;
use crate::{Figure, Target};

pub(super) async fn measure(cluster: &mut Cluster) -> Result<Vec<Figure>> {
    cluster.start_afresh().await?;
    cluster.settled().await?;
    let watch = Watch::start(&cluster.client, &cluster.client_nic, VIP).await?;
    let connecting = Connecting::start(&cluster.client, CONNECTING).await?;
    let mut longest = Duration::ZERO;
    for at in 0..cluster.nodes.len() {
        cluster.signal(at, Signal::SIGTERM)?;
        longest = longest.max(ended(cluster, at).await?);
        cluster.nodes[at].speaker = None;
        cluster.start_speaker(at).await?;
        cluster.settled().await?;
    }
    let story = watch.story();
    drop(watch);
    let attempts = connecting.finish().await;
    let name =
        format!("rolling restart of {} nodes, heartbeat {} ms", cluster.nodes.len(), cluster.heartbeat);
    let gap = story.longest_gap().map(|(gap, _)| gap).unwrap_or_default();
    let numbered = |what: &str, number: usize, of: usize| {
        Figure::new(format!("{name}: {what}"), count(number), "", Target::Exactly(0.0))
            .and("of so many", count(of))
    };
    let timed =
        |what: &str, time: Duration, target| Figure::new(format!("{name}: {what}"), ms(time), "ms", target);
    let moves = story.answers.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
    Ok(vec![
        numbered("ARP questions unanswered", story.unanswered(), story.asked.len()),
        numbered("new TCP connections failed", attempts.failed().count(), attempts.0.len()),
        timed("longest without an answer by ARP", gap, Target::None),
        timed("longest without a new TCP connection", attempts.longest_gap(), Target::None),
        timed("longest in which two MACs answer", story.longest_overlap(), Target::AtMost(100.0)),
        timed("longest from SIGTERM to the end of a process", longest, Target::None),
        Figure::new(
            format!("{name}: answers by another MAC than the one before"),
            count(moves),
            "",
            Target::None,
        ),
    ])
}

/// Waits until the speaker of a node has ended by itself; how long that took.
async fn ended(cluster: &mut Cluster, at: usize) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let runs = cluster.nodes[at].speaker.as_mut().map(Lbd::runs).transpose()?;
        if runs != Some(true) {
            return Ok(began.elapsed());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("the speaker of {} does not end", cluster.nodes[at].host.name()).into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
