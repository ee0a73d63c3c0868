//! Round trips and sustained answers on the wire: the same asker, real sockets, and three who answer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use lbnet::filter::Protocol;

use crate::asker::{Asker, Heard};
use crate::bare::{self, Bare};
use crate::process::cpu_time;
use crate::site::{OURS, Result, Site};
use crate::{Figure, Target, micros, percentile};

const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 253);
const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, 0xfd);
/// All have their turn as often, and short ones, so that all meet the same weather.
const TURNS: usize = 24;
const ROUNDS: usize = 200;
/// Questions on the way at a time, and for how long, in each of so many turns.
const IN_FLIGHT: usize = 32;
const SUSTAINED: Duration = Duration::from_secs(1);
const SUSTAINED_TURNS: usize = 2;

/// Measures.
///
/// # Errors
/// What the kernel says, or nobody answers.
pub async fn measure(site: &Site) -> Result<Vec<Figure>> {
    let (mut ours, mut bare, mut kernel) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ours6, mut kernel6) = (Vec::new(), Vec::new());
    let own6 = site.node_nic.address6.ok_or("the node has no IPv6 address")?;
    for _ in 0..TURNS {
        // Each is alone on the node, so that nobody is woken by the questions to another.
        kernel.extend(round_trips(site, site.node_nic.address.into()).await?);
        kernel6.extend(round_trips(site, own6.into()).await?);
        let layer2 = site.answering([VIP.into(), VIP6.into()]).await?;
        ours.extend(round_trips(site, VIP.into()).await?);
        ours6.extend(round_trips(site, VIP6.into()).await?);
        drop(layer2);
        let loops = Bare::start(site, VIP).await?;
        bare.extend(round_trips(site, VIP.into()).await?);
        drop(loops);
    }
    let row = |what: &str, (ours, other): (&[Duration], &[Duration]), beside: &str, target| {
        // Of a machine with more to do the quickest tenth tells most about those who answer.
        [("quickest tenth", 10), ("median", 50), ("p99", 99)].map(|(name, share)| {
            let of = |taken: &[Duration]| micros(percentile(taken.to_vec(), share));
            let target = if share == 99 { Target::None } else { target };
            Figure::new(format!("{what} round trip over veth, {name}"), of(ours), "µs", target)
                .beside(beside, of(other))
        })
    };
    let loops = "a bare receive-and-send loop";
    let itself = "the kernel, for its own address";
    let mut figures = Vec::new();
    figures.extend(row("ARP", (&ours, &bare), loops, Target::AtMostTimes(1.15)));
    figures.extend(row("ARP", (&ours, &kernel), itself, Target::None));
    figures.extend(row("NDP", (&ours6, &kernel6), itself, Target::None));
    figures.extend(sustained(site).await?);
    Ok(figures)
}

async fn round_trips(site: &Site, target: IpAddr) -> Result<Vec<Duration>> {
    let protocol = if target.is_ipv4() { Protocol::Arp } else { Protocol::Ipv6 };
    let asking = move |asker: &Asker| {
        let asked = (0..ROUNDS).map(|_| asker.round_trip(target, |_| {}));
        let answered: io::Result<Vec<_>> = asked.collect();
        Ok(answered?.into_iter().flatten().collect::<Vec<_>>())
    };
    let taken = site.ask(protocol, asking).await?;
    let lost = ROUNDS - taken.len();
    if lost == 0 { Ok(taken) } else { Err(format!("{lost} questions for {target} got no answer").into()) }
}

/// Answers in a row and the time they took: that on the clock, and that of the answering thread.
#[derive(Default)]
struct Sustained {
    answers: u32,
    took: Duration,
    cpu: Duration,
}

impl Sustained {
    /// Adds what one turn came to.
    async fn turn(&mut self, site: &Site, thread: &str) -> Result<()> {
        let before = cpu_time(thread);
        let (answers, took) = site.ask(Protocol::Arp, keep_asking).await?;
        self.answers += answers;
        self.took += took;
        self.cpu += cpu_time(thread).saturating_sub(before);
        Ok(())
    }

    fn per_second(&self) -> f64 {
        f64::from(self.answers) / self.took.as_secs_f64()
    }

    fn cpu_each(&self) -> f64 {
        micros(self.cpu) / f64::from(self.answers)
    }
}

async fn sustained(site: &Site) -> Result<[Figure; 2]> {
    let (mut ours, mut bare) = (Sustained::default(), Sustained::default());
    for _ in 0..SUSTAINED_TURNS {
        let layer2 = site.answering([VIP.into()]).await?;
        ours.turn(site, OURS).await?;
        drop(layer2);
        let loops = Bare::start(site, VIP).await?;
        bare.turn(site, bare::THREAD).await?;
        drop(loops);
    }
    let loops = "a bare receive-and-send loop";
    let rate = format!("ARP answers a second, {IN_FLIGHT} questions in flight");
    Ok([
        Figure::new(rate, ours.per_second(), "/s", Target::AtLeastTimes(1.0))
            .beside(loops, bare.per_second()),
        Figure::new("the answering threads' CPU time for each of them", ours.cpu_each(), "µs", Target::None)
            .beside(loops, bare.cpu_each()),
    ])
}

/// Asks again for every answer; how many came, in which time.
fn keep_asking(asker: &Asker) -> io::Result<(u32, Duration)> {
    let question = asker.question(VIP.into());
    let fill = || (0..IN_FLIGHT).try_for_each(|_| asker.send(&question));
    let (begun, mut answers) = (Instant::now(), 0);
    fill()?;
    while begun.elapsed() < SUSTAINED {
        match asker.hear()? {
            Some(Heard::Answer(_)) => {
                answers += 1;
                asker.send(&question)?;
            }
            Some(_) => {}
            // All were lost.
            None => fill()?,
        }
    }
    Ok((answers, begun.elapsed()))
}
