//! How long nobody answers after something has happened to the owner of an address.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lblab::connecting::{Attempts, Connecting, Plan};
use lblab::lasting::{Lasting, Life};
use lblab::watch::{Story, Watch};

use super::cluster::{Cluster, until};
use super::event::Event;
use super::objects::{ECHO, HTTP, VIP};
use super::{count, ms};
use crate::site::Result;
use crate::{Figure, Target, median, percentile};

/// New connections through the neighbour cache of the client's kernel: one that brings nothing for so long has failed for
/// whoever waits for it, long before the kernel sends its SYN once more.
pub(super) const CONNECTING: Plan = Plan {
    server: SocketAddr::new(std::net::IpAddr::V4(VIP), HTTP),
    every: Duration::from_millis(5),
    patience: Duration::from_millis(400),
};
/// Connections that are there already.
const LASTING: usize = 10;
/// So long after the address has moved it shows what has become of them.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// What the client saw of one event.
struct Seen {
    story: Story,
    attempts: Attempts,
    lives: Vec<Life>,
    /// When it happened, and when the lives were looked at.
    happened: Instant,
    looked: Instant,
}

/// Measures each event `runs` times, and prints it.
pub(super) async fn measure(
    cluster: &mut Cluster,
    runs: usize,
    print: &mut impl FnMut(&[Figure]) -> Result<()>,
) -> Result<()> {
    for event in Event::ALL {
        let mut seen = Vec::new();
        for _ in 0..runs {
            // Else the moves of the runs before would slow down this one's.
            if event.is_planned() {
                cluster.start_afresh().await?;
            }
            seen.push(once(cluster, event).await?);
        }
        print(&figures(event, cluster.nodes.len(), cluster.heartbeat, &seen))?;
    }
    Ok(())
}

async fn once(cluster: &mut Cluster, event: Event) -> Result<Seen> {
    let owner = cluster.settled().await?;
    let watch = Watch::start(&cluster.client, &cluster.client_nic, VIP).await?;
    let connecting = Connecting::start(&cluster.client, CONNECTING).await?;
    let lasting = Lasting::start(&cluster.client, SocketAddr::from((VIP, ECHO)), LASTING).await?;
    until(&watch, |story| story.answers.len() > 100).await?;
    let happened = Instant::now();
    cluster.happen(event, owner).await?;
    let mac = cluster.nodes[owner].nic.mac;
    until(&watch, |story| story.answers.iter().rev().take(50).all(|(_, by)| *by != mac)).await?;
    tokio::time::sleep(AFTERWARDS).await;
    let (story, lives, looked) = (watch.story(), lasting.lives(), Instant::now());
    drop(watch);
    let attempts = connecting.finish().await;
    cluster.undo(event, owner).await?;
    Ok(Seen { story, attempts, lives, happened, looked })
}

fn figures(event: Event, nodes: usize, heartbeat: u64, seen: &[Seen]) -> Vec<Figure> {
    let name = format!("{}, {nodes} nodes, heartbeat {heartbeat} ms", event.name());
    let target = match event.is_planned() {
        // The questions that were not answered are counted below.
        true => Target::None,
        false if heartbeat <= 20 => Target::AtMost(150.0),
        false => Target::AtMostBoth(500.0, 1_000.0),
    };
    let times = |what: &str, target, times: Vec<Duration>| {
        let name = format!("{name}: {what}, median of {}", times.len());
        let longest = ms(percentile(times.clone(), 100));
        Figure::new(name, ms(median(times)), "ms", target).and("the longest", longest)
    };
    let all = |what: &str, of: &str, number: usize, among: usize, target| {
        Figure::new(format!("{name}: {what}"), count(number), "", target)
            .and(format!("of so many {of}"), count(among))
    };
    let gap = |seen: &Seen| seen.story.longest_gap().map(|(gap, _)| gap).unwrap_or_default();
    let mut figures = vec![
        times("no answer by ARP", target, seen.iter().map(gap).collect()),
        times(
            "no new TCP connection answered",
            target,
            seen.iter().map(|it| it.attempts.longest_gap()).collect(),
        ),
    ];
    if event.is_planned() {
        let overlaps = seen.iter().map(|it| it.story.longest_overlap()).collect();
        figures.push(times("two MACs answer", Target::AtMost(100.0), overlaps));
        let asked = seen.iter().map(|it| it.story.asked.len()).sum();
        let unanswered = seen.iter().map(|it| it.story.unanswered()).sum();
        figures.push(all("ARP questions unanswered", "questions", unanswered, asked, Target::Exactly(0.0)));
        let begun = seen.iter().map(|it| it.attempts.0.len()).sum();
        let failed = seen.iter().map(|it| it.attempts.failed().count()).sum();
        figures.push(all(
            "new TCP connections failed, those under way in the move among them",
            "connections",
            failed,
            begun,
            // The new node does not know a connection that was being opened in the moment of a move.
            Target::AtMost(count(seen.len())),
        ));
    }
    figures.extend(established(&name, seen));
    figures
}

/// What became of connections that were there already: nothing is promised.
fn established(name: &str, seen: &[Seen]) -> Vec<Figure> {
    let of = seen.len() * LASTING;
    let lives = || seen.iter().flat_map(|seen| seen.lives.iter().map(move |life| (seen, life)));
    let goes_on = |(seen, life): &(&Seen, &Life)| {
        let heard = life.heard.is_some_and(|heard| seen.looked - heard < AFTERWARDS / 2);
        life.ended.is_none() && heard
    };
    let told: Vec<Duration> = lives()
        .filter_map(|(seen, life)| Some(life.ended.as_ref()?.0.saturating_duration_since(seen.happened)))
        .collect();
    let kept = lives().filter(goes_on).count();
    let number = |what: &str, number| {
        let name = format!("{name}: established connections {what}");
        Figure::new(name, count(number), "", Target::None).and("of so many", count(of))
    };
    let mut figures = vec![number("that go on", kept), number("that were reset", told.len())];
    if !told.is_empty() {
        let longest = ms(percentile(told.clone(), 100));
        let name = format!("{name}: until the client of a reset one knows, median");
        figures.push(Figure::new(name, ms(median(told)), "ms", Target::None).and("the longest", longest));
    }
    figures
}
