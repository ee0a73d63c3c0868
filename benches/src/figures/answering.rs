//! Deciding about a question and building the answer.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Instant;

use lbnet::responder::{ANSWER_LEN, Port};
use lbnet::wire::ARP_FRAME_LEN;
use lbnet::{ArpFrame, MacAddr, Responder};

use crate::baseline::LinearWalk;
use crate::{Figure, nanoseconds_each};

/// The interface that answers.
pub const PORT: Port = Port { index: 2, mac: MacAddr(2, 0, 0, 0, 0, 1) };
/// How many addresses there are.
pub const ADDRESSES: u32 = 10_000;

/// The address with this number.
#[must_use]
pub fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + number)
}

/// A responder for all of them.
#[must_use]
pub fn responder() -> Responder {
    let mut responder = Responder::default();
    for number in 0..ADDRESSES {
        responder.set(address(number).into(), BTreeSet::from([PORT.index]));
    }
    responder
}

/// The same as others do it.
#[must_use]
pub fn walk() -> LinearWalk {
    LinearWalk::new(
        (0..ADDRESSES).map(|number| (format!("service-{number}"), vec![address(number)])).collect(),
    )
}

/// A question for `target`.
#[must_use]
pub fn question(target: Ipv4Addr) -> [u8; ARP_FRAME_LEN] {
    ArpFrame::request(MacAddr(2, 0, 0, 0, 0, 9), Ipv4Addr::new(10, 255, 0, 1), target).to_bytes()
}

/// Measures.
#[must_use]
pub fn measure() -> Vec<Figure> {
    let questions: Vec<_> = (0..ADDRESSES).map(|number| question(address(number))).collect();
    let foreign = question(Ipv4Addr::new(192, 168, 0, 1));
    let (mut responder, walk) = (responder(), walk());
    let (now, mut answer) = (Instant::now(), [0; ANSWER_LEN]);
    let mut ask = |frame: &[u8]| {
        let answered = responder.answer(now, PORT, black_box(frame), &mut answer);
        black_box((answered.answer.is_ok(), &answer));
    };
    let ours = nanoseconds_each(1_000_000, |turn| ask(&questions[(turn % ADDRESSES) as usize]));
    let dropped = nanoseconds_each(1_000_000, |_| ask(&foreign));
    let walked = nanoseconds_each(2_000, |turn| {
        black_box(walk.answers(black_box(address(turn * 5 % ADDRESSES))));
    });
    let walked_foreign = nanoseconds_each(2_000, |_| {
        black_box(walk.answers(black_box(Ipv4Addr::new(192, 168, 0, 1))));
    });
    let figure = |figure: &str, value, target, baseline| Figure {
        figure: figure.to_owned(),
        value,
        unit: "ns",
        target,
        baseline: Some(("linear walk, the test alone".to_owned(), baseline)),
    };
    vec![
        figure("deciding and building one answer, 10,000 addresses", ours, "at most 150 ns", walked),
        figure("dropping a foreign question, 10,000 addresses", dropped, "at most 150 ns", walked_foreign),
    ]
}
