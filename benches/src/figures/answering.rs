//! Deciding about a question and building the answer.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use lbnet::responder::Port;
use lbnet::{ArpFrame, MacAddr, Responder, Solicitation};

use super::cluster::reconcile;
use crate::baseline::LinearWalk;
use crate::site::Result;
use crate::{Figure, Target, nanoseconds_each, percentile};

/// The interface that answers.
pub const PORT: Port = Port { index: 2, mac: MacAddr(2, 0, 0, 0, 0, 1) };
/// How many addresses there are of each family.
pub const ADDRESSES: u32 = 10_000;
/// Bytes of a buffer in which an answer has room, that to an echo request of `ping` too.
pub const ANSWER: usize = 128;

const ASKER: (MacAddr, Ipv4Addr) = (MacAddr(2, 0, 0, 0, 0, 9), Ipv4Addr::new(10, 255, 0, 1));
const TURNS: u32 = 1_000_000;
/// Of answers beside work one in so many is timed, so that what is written down stays small.
const TIMED: u32 = 16;
const SERVICES: usize = 10_000;

/// The addresses of one family, by number.
pub type Numbered = fn(u32) -> IpAddr;
/// A frame that asks for an address.
type Asking = fn(IpAddr) -> Vec<u8>;

/// The IPv4 address with this number.
#[must_use]
pub fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

/// The IPv6 address with this number.
#[must_use]
pub fn address6(number: u32) -> IpAddr {
    Ipv6Addr::from_bits((0xfd00_u128 << 112) + u128::from(number)).into()
}

/// An address that is none of these.
#[must_use]
pub fn foreign(like: Numbered) -> IpAddr {
    like(0x00ff_0000)
}

/// A responder for all addresses of one family, `ping` too.
#[must_use]
pub fn responder(of: Numbered) -> Responder {
    let mut responder = Responder::default();
    for address in (0..ADDRESSES).map(of) {
        responder.set(address, BTreeSet::from([PORT.index]));
        responder.set_echo(address, true);
    }
    responder
}

/// The same as others do it.
#[must_use]
pub fn walk(of: Numbered) -> LinearWalk {
    LinearWalk::new((0..ADDRESSES).map(|number| (format!("service-{number}"), vec![of(number)])).collect())
}

/// A question for `target`.
#[must_use]
pub fn question(target: IpAddr) -> Vec<u8> {
    let (mac, ip) = ASKER;
    match target {
        IpAddr::V4(target) => ArpFrame::request(mac, ip, target).to_bytes().to_vec(),
        IpAddr::V6(target) => {
            Solicitation::multicast(mac, "fd00::ffff:1".parse().expect("sound"), target).to_bytes()
        }
    }
}

/// What `ping` sends to `target`, with its 56 bytes of data.
///
/// # Panics
/// For an IPv6 address.
#[must_use]
pub fn ping(target: IpAddr) -> Vec<u8> {
    let (mac, ip) = ASKER;
    let IpAddr::V4(target) = target else { panic!("{target} is of the other family") };
    let mut header = vec![0x45, 0, 0, 84, 0, 0, 0x40, 0, 64, 1, 0, 0];
    header.extend(ip.octets());
    header.extend(target.octets());
    let mut message = vec![8, 0, 0, 0, 0, 1, 0, 1];
    message.extend(0..56);
    for (part, at) in [(&mut header, 10), (&mut message, 2)] {
        let sum = checksum(part);
        part[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    let ethernet = [&PORT.mac.octets()[..], &mac.octets()[..], &[8, 0]].concat();
    [ethernet, header, message].concat()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|word| u16::from_be_bytes([word[0], word[1]]));
    !words.fold(0, |sum: u16, word| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}

/// A responder that is asked the same questions again and again.
struct Asked {
    responder: Responder,
    /// One behind the other, all of this length: the kernel has just written a frame that it hands over, so none is to
    /// be fetched from afar here either.
    questions: Vec<u8>,
    length: usize,
    buffer: [u8; ANSWER],
}

impl Asked {
    fn new(of: Numbered, question: Asking) -> Self {
        let questions = (0..ADDRESSES).flat_map(|number| question(of(number))).collect();
        Self { responder: responder(of), questions, length: question(of(0)).len(), buffer: [0; ANSWER] }
    }

    /// What answering one takes, in nanoseconds.
    fn nanoseconds(&mut self) -> f64 {
        let now = Instant::now();
        nanoseconds_each(TURNS, |turn| self.ask(now, turn))
    }

    /// How often answering one allocates, after the first.
    fn allocations(&mut self) -> f64 {
        let now = Instant::now();
        self.ask(now, 0);
        let counted = allocation_counter::measure(|| (0..ADDRESSES).for_each(|turn| self.ask(now, turn)));
        f64::from(u32::try_from(counted.count_total).unwrap_or(u32::MAX)) / f64::from(ADDRESSES)
    }

    /// How long answers take, one after the other, until it is `enough`.
    fn each(&mut self, enough: impl Fn() -> bool) -> Vec<Duration> {
        let mut taken = Vec::new();
        for turn in (0..u32::MAX).step_by(TIMED as usize) {
            if turn % 1024 == 0 && enough() {
                break;
            }
            let started = Instant::now();
            self.ask(started, turn);
            taken.push(started.elapsed());
            (1..TIMED).for_each(|untimed| self.ask(started, turn + untimed));
        }
        taken
    }

    fn ask(&mut self, now: Instant, turn: u32) {
        let start = turn as usize * self.length % self.questions.len();
        let question = &self.questions[start..start + self.length];
        let verdict = self.responder.answer(now, PORT, black_box(question), &mut self.buffer);
        black_box((verdict.answer.is_ok(), &self.buffer));
    }
}

/// Answers while services reconcile in another thread, and while nothing else happens.
fn beside_reconciling() -> Result<Vec<Figure>> {
    let mut asked = Asked::new(address, question);
    let quiet_since = Instant::now();
    let quiet = asked.each(|| quiet_since.elapsed() > Duration::from_secs(1));
    let reconciling = thread::spawn(|| reconcile(SERVICES).map_err(|error| error.to_string()));
    let busy = asked.each(|| reconciling.is_finished());
    reconciling.join().map_err(|_| "reconciling panicked")??;
    let nanoseconds = |taken: &[Duration], share| percentile(taken.to_vec(), share).as_secs_f64() * 1e9;
    let row = |what, share| {
        let name =
            format!("one answer while 10,000 services reconcile beside it, {what}, a clock's look in it");
        Figure::new(name, nanoseconds(&busy, share), "ns", Target::AtMostTimes(1.25))
            .beside("without them", nanoseconds(&quiet, share))
    };
    Ok(vec![row("median", 50), row("p99", 99)])
}

const AT_MOST: Target = Target::AtMost(150.0);
/// An answer by NDP is twice as long as one by ARP (86 bytes to 42), and has a checksum over most of it (RFC 4443 section 2.3). It
/// is held against ARP's: nanoseconds differ by a quarter from one machine to the next.
const BY_ARP: f64 = 1.6;

/// Measures.
///
/// # Errors
/// Reconciling failed.
pub fn measure() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut by_arp = None;
    for (what, of) in [("ARP", address as Numbered), ("NDP", address6)] {
        let (mut ours, mut dropped) = (Asked::new(of, question), Asked::new(of, question));
        dropped.questions = question(foreign(of));
        let walk = walk(of);
        let walked = nanoseconds_each(2_000, |turn| {
            black_box(walk.answers(black_box(of(turn * 5 % ADDRESSES))));
        });
        let walked_foreign = nanoseconds_each(2_000, |_| {
            black_box(walk.answers(black_box(foreign(of))));
        });
        let row = |name: &str, value, target| {
            Figure::new(format!("{what}: {name}, 10,000 addresses"), value, "ns", target)
        };
        let answer = ours.nanoseconds();
        figures.push(match by_arp {
            None => row("deciding and building one answer", answer, AT_MOST)
                .beside("linear walk, the test alone", walked),
            Some(by_arp) => row("deciding and building one answer", answer, Target::AtMostTimes(BY_ARP))
                .beside("one answer by ARP", by_arp),
        });
        by_arp = Some(answer);
        figures.push(
            row("dropping a foreign question", dropped.nanoseconds(), AT_MOST)
                .beside("linear walk, the test alone", walked_foreign),
        );
        let allocations = [("answer", &mut ours), ("foreign question", &mut dropped)];
        figures.extend(allocations.map(|(each, asked)| {
            Figure::new(
                format!("{what}: allocations for each {each}"),
                asked.allocations(),
                "",
                Target::Exactly(0.0),
            )
        }));
    }
    let mut echo = Asked::new(address, ping);
    figures.push(Figure::new(
        "ping: deciding and building one answer, 10,000 addresses",
        echo.nanoseconds(),
        "ns",
        Target::None,
    ));
    figures.push(Figure::new(
        "ping: allocations for each answer",
        echo.allocations(),
        "",
        Target::Exactly(0.0),
    ));
    figures.extend(beside_reconciling()?);
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_answered() {
        let cases: [(Numbered, Asking); 3] = [(address, question), (address6, question), (address, ping)];
        for (of, question) in cases {
            let mut responder = responder(of);
            let mut answer =
                |target| responder.answer(Instant::now(), PORT, &question(target), &mut [0; ANSWER]).answer;
            assert_eq!(answer(of(7)).map(|answered| answered.address), Ok(of(7)));
            assert_eq!(answer(foreign(of)), Err(lbnet::Drop::ForeignTarget));
        }
    }
}
