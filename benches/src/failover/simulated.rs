//! The same figures of more nodes than this machine can run, and of more hours than anybody waits: the real state machines
//! of membership in virtual time.

use std::time::Duration;

use lblab::simulated::Weather;
use lbnet::membership::Settings;

use super::crowd::{Crowd, name};
use super::{count, ms, per_second};
use crate::site::Result;
use crate::{Figure, Target, median, percentile};

const SECOND: Duration = Duration::from_secs(1);
/// Nodes, and how many deaths.
const CROWDS: [(usize, usize); 2] = [(100, 30), (1000, 5)];
/// Nodes, and how many heartbeats they live through while packets are lost.
const LOSSY: [(usize, u32); 2] = [(3, 864_000), (10, 144_000)];

fn settings(heartbeat: Duration) -> Settings {
    Settings { interval: heartbeat, ..Settings::default() }
}

/// What 100 and 1,000 nodes send, and how soon all of them know of a death.
pub(super) fn measure(heartbeat: Duration, print: &mut impl FnMut(&[Figure]) -> Result<()>) -> Result<()> {
    CROWDS.into_iter().try_for_each(|(nodes, deaths)| print(&crowd(nodes, deaths, heartbeat)))
}

fn crowd(nodes: usize, deaths: usize, heartbeat: Duration) -> Vec<Figure> {
    let mut crowd = Crowd::new(nodes, settings(heartbeat), Weather::fair(), 1);
    crowd.run(3 * SECOND);
    let agreed = if crowd.agrees() { "" } else { " (not all of them have met)" };
    let name_of = format!("{nodes} simulated nodes{agreed}, heartbeat {} ms", heartbeat.as_millis());
    let before = crowd.counted();
    crowd.run(3 * SECOND);
    let after = crowd.counted();
    let each = |number: u64| count(usize::try_from(number).unwrap_or(usize::MAX)) / 3.0 / count(nodes);
    let mut known = Vec::new();
    let mut all_know = true;
    for _ in 0..deaths {
        let phase = crowd.draw(1 + u64::try_from(heartbeat.as_micros()).unwrap_or(u64::MAX));
        crowd.run(Duration::from_micros(phase));
        let dead = usize::try_from(crowd.draw(u64::try_from(nodes).unwrap_or(1))).unwrap_or_default();
        let died = crowd.now;
        crowd.kill(dead);
        crowd.deaths.clear();
        crowd.run(2 * SECOND);
        let own = crowd.deaths.iter().filter(|(_, _, who)| *who == name(dead));
        let last = own.clone().map(|(at, _, _)| at.saturating_sub(died)).max();
        all_know &= own.count() == nodes - 1;
        known.extend(last);
        crowd.start(dead);
        crowd.run(SECOND);
    }
    let target = if heartbeat.as_millis() <= 20 { 100.0 } else { 500.0 };
    let what = if all_know { "all others know" } else { "the last of others knows, but not all do," };
    let longest = ms(percentile(known.clone(), 100));
    let death = format!("{name_of}: from a death until {what} median of {deaths}");
    let beats = Figure::new(
        format!("{name_of}: heartbeats that a node sends"),
        each(after.beats - before.beats),
        "/s",
        // Three monitors, ten times a second, however many nodes there are.
        Target::AtMost(per_second(30.5, u64::try_from(heartbeat.as_millis()).unwrap_or(u64::MAX))),
    );
    vec![
        Figure::new(death, ms(median(known)), "ms", Target::AtMost(target)).and("the longest", longest),
        beats,
        Figure::new(
            format!("{name_of}: datagrams that a node sends"),
            each(after.sent - before.sent),
            "/s",
            Target::None,
        ),
        Figure::new(
            format!("{name_of}: bytes in them, before they are sealed"),
            each(after.sent_bytes - before.sent_bytes),
            "B/s",
            Target::None,
        ),
    ]
}

/// How often a living node is taken to be dead while 5 % of all datagrams are lost, in so many a day.
pub(super) fn loss(heartbeat: Duration) -> Vec<Figure> {
    LOSSY.into_iter().map(|(nodes, beats)| lossy(nodes, heartbeat * beats, heartbeat)).collect()
}

fn lossy(nodes: usize, time: Duration, heartbeat: Duration) -> Figure {
    let weather = Weather { loss: 0.05, ..Weather::fair() };
    let mut crowd = Crowd::new(nodes, settings(heartbeat), weather, 7);
    crowd.run(5 * SECOND);
    crowd.deaths.clear();
    let before = crowd.counted();
    crowd.run(time);
    let after = crowd.counted();
    let hours = time.as_secs_f64() / 3600.0;
    let days = hours / 24.0;
    let whole = |number: u64| count(usize::try_from(number).unwrap_or(usize::MAX));
    let declared = whole(after.deaths - before.deaths);
    let figure = format!(
        "{nodes} simulated nodes at 5 % loss, heartbeat {} ms: false deaths a day, from {hours:.1} hours",
        heartbeat.as_millis()
    );
    let silences = whole(after.suspicions - before.suspicions) / days;
    // By chance all heartbeats and all indirect probes of a failure timeout are lost about once in 900,000 heartbeats.
    let target = Target::AtMost(1.0);
    Figure::new(figure, declared / days, "/day", target).and("silences that were asked about", silences)
}
