//! Many addresses taken over at once, while people go on asking for them.

use std::collections::BTreeSet;
use std::io;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lbnet::filter::Protocol;
use lbnet::{Announcer, Layer2, Profile, Rule};

use super::answering::Numbered;
use crate::asker::Asker;
use crate::process::{cpu_time, resident_bytes};
use crate::site::{OURS, Result, Site};
use crate::{Figure, Target, micros, percentile};

/// Addresses taken over.
const TAKEN: u32 = 10_000;
/// Addresses that are answered before, which are asked for until the others are there.
const HELD: u32 = 100;
/// The pause before the next question: somebody who asks as fast as he can would measure himself.
const PAUSE: Duration = Duration::from_micros(500);
/// How often is asked before, for comparison.
const QUIET_ROUNDS: usize = 500;
/// When to give up.
const DEADLINE: Duration = Duration::from_secs(20);

/// What switches take that have no storm control.
fn raised() -> Profile {
    Profile { frames_per_second: 10_000, burst: 1_000, ..Profile::default() }
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a02_0000 + number).into()
}

fn address6(number: u32) -> IpAddr {
    Ipv6Addr::from_bits((0xfd00_0003_u128 << 96) + 0x0001_0000 + u128::from(number)).into()
}

/// How long the announcer needs to say everything once, by its own clock: nobody waits for it.
fn announcing(profile: Profile) -> Duration {
    let (start, mut announcer) = (Instant::now(), Announcer::new(profile));
    (0..TAKEN).for_each(|number| announcer.claim((address(number), 2), None, start));
    let (mut said, mut now) = (0, start);
    while said < TAKEN
        && let Some(deadline) = announcer.deadline()
    {
        now = deadline;
        said += announcer.due(now, usize::MAX).iter().fold(0, |firsts, due| firsts + u32::from(due.first));
    }
    now - start
}

/// What an asker saw.
#[derive(Default)]
struct Watched {
    /// When the last of the addresses was announced for the first time, if all were.
    announced: Option<Instant>,
    round_trips: Vec<Duration>,
    unanswered: usize,
}

/// Asks for random addresses until all taken over have been announced: of those held before, and of the others too as
/// soon as they are `there`. With `rounds` it asks only so often.
fn watch(asker: &Asker, of: Numbered, there: &AtomicBool, rounds: usize) -> io::Result<Watched> {
    let mut silent: BTreeSet<IpAddr> = (HELD..HELD + TAKEN).map(of).collect();
    let mut watched = Watched::default();
    let begun = Instant::now();
    // Numerical Recipes' generator: the same numbers each time.
    let next = |last: &u32| Some(last.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    for number in iter::successors(Some(1_u32), next).take(rounds) {
        if watched.announced.is_some() || begun.elapsed() > DEADLINE {
            break;
        }
        let among = if there.load(Ordering::Relaxed) { HELD + TAKEN } else { HELD };
        let answered = asker.round_trip(of((number >> 8) % among), |address| {
            if silent.remove(&address) && silent.is_empty() {
                watched.announced = Some(Instant::now());
            }
        })?;
        match answered {
            Some(took) => watched.round_trips.push(took),
            None => watched.unanswered += 1,
        }
        thread::sleep(PAUSE);
    }
    Ok(watched)
}

/// What became of the addresses that the node was given.
struct Taken {
    begun: Instant,
    /// Until all were answered.
    answered: Duration,
    /// Until all multicast groups were joined, which goes on in the background, and how many sockets that took.
    joined: Duration,
    sockets: usize,
}

/// Gives the node the addresses.
async fn take(site: &Site, layer2: &Layer2, of: Numbered, there: &AtomicBool) -> Taken {
    // The asker is at work by then.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    (HELD..HELD + TAKEN).for_each(|number| layer2.announce(of(number), Rule::any()));
    // It is obeyed after all before it.
    let mut snapshot = layer2.snapshot().await;
    let answered = begun.elapsed();
    there.store(true, Ordering::Relaxed);
    loop {
        let groups = snapshot.interfaces.get(&site.node_nic.name).map(|it| it.groups).unwrap_or_default();
        let all = of(0).is_ipv4() || groups.joined >= (HELD + TAKEN) as usize;
        if all || begun.elapsed() > DEADLINE {
            return Taken { begun, answered, joined: begun.elapsed(), sockets: groups.sockets };
        }
        // Looking takes the answering thread's time.
        tokio::time::sleep(Duration::from_millis(100)).await;
        snapshot = layer2.snapshot().await;
    }
}

async fn takeover(site: &Site, family: &str, protocol: Protocol, of: Numbered) -> Result<Vec<Figure>> {
    let memory = resident_bytes();
    let layer2 = site.start(raised()).await?;
    (0..HELD).for_each(|number| layer2.announce(of(number), Rule::any()));
    site.settled(&layer2).await?;
    let there = Arc::new(AtomicBool::new(false));
    let ask = |rounds| {
        let there = Arc::clone(&there);
        site.ask(protocol, move |asker| watch(asker, of, &there, rounds))
    };
    let quiet = ask(QUIET_ROUNDS).await?;
    let cpu = cpu_time(OURS);
    let (watched, taken) = tokio::join!(ask(usize::MAX), take(site, &layer2, of, &there));
    let (watched, cpu) = (watched?, cpu_time(OURS).saturating_sub(cpu));
    let memory_after = resident_bytes();
    let announced = watched.announced.ok_or_else(|| format!("not all {family} addresses were announced"))?;

    let row = |name: &str, value, unit, target| {
        Figure::new(format!("{family} takeover of 10,000: {name}"), value, unit, target)
    };
    let round_trip = |name: &str, target, of: fn(Vec<Duration>) -> Duration| {
        row(name, micros(of(watched.round_trips.clone())), "µs", target)
            .beside("before it", micros(of(quiet.round_trips.clone())))
    };
    let asked = watched.round_trips.len() + watched.unanswered;
    #[expect(clippy::cast_precision_loss, reason = "the count is small")]
    let unanswered = watched.unanswered as f64;
    let took = announced.saturating_duration_since(taken.begun);
    let mut figures = vec![
        row("until all are announced, 10,000 frames a second", took.as_secs_f64(), "s", Target::AtMost(2.2)),
        row("until all are answered", taken.answered.as_secs_f64(), "s", Target::None),
        round_trip("round trip meanwhile, median", Target::AtMostTimes(2.0), |taken| percentile(taken, 50)),
        round_trip("round trip meanwhile, p99", Target::None, |taken| percentile(taken, 99)),
        round_trip("round trip meanwhile, longest", Target::None, |taken| percentile(taken, 100)),
        row(&format!("unanswered of {asked} questions meanwhile"), unanswered, "", Target::Exactly(0.0)),
        row("CPU time of the answering threads", cpu.as_secs_f64(), "s", Target::None),
        row("memory of the process", memory_after / 1e6, "MB", Target::None)
            .beside("before it", memory / 1e6),
    ];
    if protocol == Protocol::Ipv6 {
        let name = format!("until all multicast groups are joined, by {} sockets", taken.sockets);
        figures.push(row(&name, taken.joined.as_secs_f64(), "s", Target::None));
    }
    Ok(figures)
}

/// Measures.
///
/// # Errors
/// What the kernel says, or not all was announced in time.
pub async fn measure(site: &Site) -> Result<Vec<Figure>> {
    let mut figures = takeover(site, "IPv4", Protocol::Arp, address).await?;
    figures.extend(takeover(site, "IPv6", Protocol::Ipv6, address6).await?);
    let by_default = announcing(Profile::default()).as_secs_f64();
    figures.push(
        Figure::new(
            "IPv4 takeover of 10,000: until all are announced, by default, as the announcer plans it",
            by_default,
            "s",
            Target::None,
        )
        .beside("at 10,000 frames a second, as planned", announcing(raised()).as_secs_f64()),
    );
    Ok(figures)
}
