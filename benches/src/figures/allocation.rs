//! Giving addresses.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;

use lbcore::allocator::Claim;
use lbcore::{Allocator, Family, PoolSpec, Request, ServiceKey};

use crate::baseline::LinearScan;
use crate::process::resident_bytes;
use crate::{Figure, Target, nanoseconds_each, time};

/// An allocator with one pool.
///
/// # Panics
/// `range` is none.
#[must_use]
pub fn allocator(range: &str) -> Allocator {
    let mut allocator = Allocator::default();
    allocator.set_pools(vec![PoolSpec::parse("default", [range]).expect("a sound range")]);
    allocator
}

/// The request of the service with this number.
#[must_use]
pub fn request(number: u32) -> Arc<Request> {
    of_family(number, Family::V4)
}

fn of_family(number: u32, family: Family) -> Arc<Request> {
    let mut request = Request::new(ServiceKey::new("default", format!("service-{number}")), family);
    request.created = i64::from(number);
    Arc::new(request)
}

/// What the services with the first `count` numbers held before the process started, in `10.0.0.0/8`.
#[must_use]
pub fn claims(count: u32) -> Vec<Claim> {
    let claim = |number| Claim {
        request: request(number),
        addresses: vec![Ipv4Addr::from_bits(0x0a00_0000 + number).into()],
        recorded_pool: None,
        recorded_pools: BTreeMap::new(),
    };
    (0..count).map(claim).collect()
}

/// An allocator in which services with the first `count` numbers hold an address each.
#[must_use]
pub fn filled(range: &str, count: u32) -> Allocator {
    let mut allocator = allocator(range);
    for number in 0..count {
        allocator.request(request(number));
    }
    allocator
}

/// The request of one service, which asks for one address and then for another, again and again.
#[must_use]
pub fn changed(number: u32, time: u32) -> Request {
    let address = Ipv4Addr::from_bits(0x0aff_0000 + time % 2);
    Request { addresses: vec![address.into()], ..(*request(number)).clone() }
}

fn fill(range: &str, services: u32) -> f64 {
    let mut allocator = allocator(range);
    let family = if range.contains(':') { Family::V6 } else { Family::V4 };
    let requests: Vec<_> = (0..services).map(|number| of_family(number, family)).collect();
    let (allocator, took) = time(move || {
        for request in requests {
            black_box(allocator.request(request));
        }
        allocator
    });
    drop(black_box(allocator));
    took.as_secs_f64() * 1e3
}

const REMEMBERED: u32 = 1_000_000;

/// What the allocator takes for each held address beside the requests, which the caller owns and shares with it.
fn bytes_each() -> f64 {
    let requests: Vec<_> = (0..REMEMBERED).map(request).collect();
    let before = resident_bytes();
    let mut allocator = allocator("10.0.0.0/12");
    for request in &requests {
        allocator.request(request.clone());
    }
    let each = (resident_bytes() - before) / f64::from(REMEMBERED);
    drop(black_box((allocator, requests)));
    each
}

/// The walk's time grows with the square of the services, so a smaller number is measured and scaled up.
const WALKED: u32 = 2_000;
const FILLED: u32 = 20_000;

fn walk_milliseconds() -> f64 {
    let mut scan = LinearScan::new(Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(10, 0, 255, 255));
    let ((), took) = time(|| {
        for number in 0..WALKED {
            black_box(scan.allocate(&format!("service-{number}")));
        }
    });
    let scale = f64::from(FILLED / WALKED);
    took.as_secs_f64() * 1e3 * scale * scale
}

fn walk_of_full_pool() -> f64 {
    let mut scan = LinearScan::new(Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(10, 0, 255, 255));
    scan.fill();
    nanoseconds_each(20, |_| _ = black_box(scan.find())) / 1e3
}

/// What is promised to take no longer than something else may take this many times as long: two runs of the same code
/// differ by up to a third on a shared machine.
const SAME: f64 = 1.35;

/// Measures.
#[must_use]
pub fn measure() -> Vec<Figure> {
    // First of all, before anything that was freed makes room.
    let bytes = bytes_each();
    let mut full = filled("10.0.0.0/28", 16);
    let attempts: Vec<_> = (16..20_016).map(request).collect();
    let mut next = attempts.iter();
    let exhausted = nanoseconds_each(20_000, |_| {
        black_box(next.next().map(|request| full.request(request.clone())));
    });
    let claims = claims(100_000);
    let mut adopting = allocator("10.0.0.0/8");
    let (_, adopted) = time(|| black_box(adopting.adopt(claims)));
    let change = |services: u32| {
        let mut allocator = filled("10.0.0.0/8", services);
        let each = nanoseconds_each(20_000, |time| {
            black_box(allocator.request(changed(services / 2, time)));
            black_box(allocator.woken());
        });
        each / 1e3
    };

    let ms = |name: &str, value, target| Figure::new(name, value, "ms", target);
    let into_16 = fill("10.0.0.0/16", FILLED);
    let beside_16 =
        |name: &str, value| ms(name, value, Target::AtMostTimes(SAME)).beside("into a /16", into_16);
    vec![
        ms("20,000 services into a /16", into_16, Target::AtMostTimes(0.001))
            .beside(format!("linear walk, from {WALKED}"), walk_milliseconds()),
        ms("1,000,000 services into a /12", fill("10.0.0.0/12", 1_000_000), Target::AtMost(1_000.0)),
        beside_16("20,000 services into a /8", fill("10.0.0.0/8", FILLED)),
        beside_16("20,000 services into a /64", fill("fd00::/64", FILLED)),
        Figure::new(
            "one attempt on a full pool, with its reason",
            exhausted / 1e3,
            "µs",
            Target::AtMost(1.0),
        )
        .beside("linear walk of a full /16", walk_of_full_pool()),
        ms("adopting 100,000 held addresses", adopted.as_secs_f64() * 1e3, Target::AtMost(200.0)),
        Figure::new("a change of one of 10,000 services", change(10_000), "µs", Target::AtMostTimes(SAME))
            .beside("of one of 10", change(10)),
        Figure::new("memory for each held address, of 1,000,000", bytes, "bytes", Target::AtMost(150.0)),
    ]
}
