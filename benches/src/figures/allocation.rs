//! Giving addresses.

use std::hint::black_box;
use std::net::Ipv4Addr;

use lbcore::allocator::Claim;
use lbcore::{Allocator, Family, PoolSpec, Request, ServiceKey};

use crate::baseline::LinearScan;
use crate::{Figure, nanoseconds_each, time};

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
pub fn request(number: u32) -> Request {
    let mut request = Request::new(ServiceKey::new("default", format!("service-{number}")), Family::V4);
    request.created = i64::from(number);
    request
}

fn fill(range: &str, services: u32) -> f64 {
    let mut allocator = allocator(range);
    let requests: Vec<Request> = (0..services).map(request).collect();
    let (allocator, took) = time(move || {
        for request in requests {
            black_box(allocator.request(request));
        }
        allocator
    });
    drop(black_box(allocator));
    took.as_secs_f64() * 1e3
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

/// Measures.
#[must_use]
pub fn measure() -> Vec<Figure> {
    let mut full = allocator("10.0.0.0/28");
    for number in 0..16 {
        full.request(request(number));
    }
    let mut number = 16;
    let exhausted = nanoseconds_each(20_000, |_| {
        number += 1;
        let request = request(number);
        let key = request.key.clone();
        black_box(full.request(request));
        full.release(&key);
    });
    let claims: Vec<Claim> = (0..100_000_u32)
        .map(|number| Claim {
            request: request(number),
            addresses: vec![Ipv4Addr::from_bits(0x0a00_0000 + number).into()],
            recorded_pool: None,
        })
        .collect();
    let mut adopting = allocator("10.0.0.0/8");
    let (_, adopted) = time(|| black_box(adopting.adopt(claims)));

    let ms = |figure: &str, value, target, baseline| Figure {
        figure: figure.to_owned(),
        value,
        unit: "ms",
        target,
        baseline,
    };
    vec![
        ms(
            "20,000 services into a /16",
            fill("10.0.0.0/16", FILLED),
            "1,000 times the walk's speed",
            Some((format!("linear walk, from {WALKED}"), walk_milliseconds())),
        ),
        ms("1,000,000 services into a /12", fill("10.0.0.0/12", 1_000_000), "about 1,000 ms", None),
        ms("20,000 services into a /8", fill("10.0.0.0/8", FILLED), "no slower than a /16", None),
        Figure {
            figure: "one attempt on a full pool, with its reason, and its withdrawal".to_owned(),
            value: exhausted / 1e3,
            unit: "µs",
            target: "the attempt under 1 µs",
            baseline: None,
        },
        ms("adopting 100,000 held addresses", adopted.as_secs_f64() * 1e3, "under 200 ms", None),
    ]
}
