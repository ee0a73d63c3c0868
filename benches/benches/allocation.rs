//! Allocation, looked at closely: `cargo bench -p benches --bench allocation`
//!
//! The linear walk beside it is how others do it, see `src/baseline.rs`.

use std::hint::black_box;
use std::net::Ipv4Addr;

use benches::baseline::LinearScan;
use benches::figures::allocation::{allocator, changed, claims, filled, request};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

fn scan() -> LinearScan {
    LinearScan::new(Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(10, 0, 255, 255))
}

fn one_address(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one address when so many are held");
    for held in [10, 1_000, 20_000_u32] {
        let mut allocator = filled("10.0.0.0/16", held);
        let mut scan = scan();
        for number in 0..held {
            scan.allocate(&format!("service-{number}"));
        }
        group.bench_function(BenchmarkId::new("lbcore", held), |bencher| {
            let new = request(held);
            bencher.iter(|| {
                let decision = allocator.request(new.clone());
                allocator.release(&new.key);
                decision
            });
        });
        group.bench_function(BenchmarkId::new("linear walk", held), |bencher| {
            bencher.iter(|| scan.find());
        });
    }
    group.finish();
}

fn filling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filling a /16");
    group.sample_size(10);
    for services in [2_000, 20_000_u32] {
        let requests: Vec<_> = (0..services).map(request).collect();
        group.bench_function(BenchmarkId::new("lbcore", services), |bencher| {
            let run = |mut allocator: lbcore::Allocator| {
                for request in &requests {
                    black_box(allocator.request(request.clone()));
                }
                allocator
            };
            bencher.iter_batched(|| allocator("10.0.0.0/16"), run, BatchSize::LargeInput);
        });
    }
    // Of 20,000 it would take the better part of a minute each time; it grows with the square of the number.
    group.bench_function(BenchmarkId::new("linear walk", 2_000), |bencher| {
        let run = |mut scan: LinearScan| {
            for number in 0..2_000 {
                black_box(scan.allocate(&format!("service-{number}")));
            }
            scan
        };
        bencher.iter_batched(scan, run, BatchSize::LargeInput);
    });
    group.finish();
}

fn upkeep(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("upkeep");
    group.sample_size(20);
    group.bench_function("one attempt on a full pool", |bencher| {
        let full = filled("10.0.0.0/28", 16);
        let mut number = 16;
        bencher.iter_batched_ref(
            || {
                number += 1;
                (full.clone(), request(number))
            },
            |(full, request)| full.request(request.clone()),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("adopting 100,000 held addresses", |bencher| {
        let claims = claims(100_000);
        let setup = || (allocator("10.0.0.0/8"), claims.clone());
        bencher.iter_batched(setup, |(mut allocator, claims)| allocator.adopt(claims), BatchSize::LargeInput);
    });
    for services in [10, 10_000] {
        group.bench_function(BenchmarkId::new("a change of one service of", services), |bencher| {
            let mut allocator = filled("10.0.0.0/8", services);
            let mut time = 0;
            bencher.iter(|| {
                time += 1;
                allocator.request(changed(services / 2, time));
                allocator.woken()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, one_address, filling, upkeep);
criterion_main!(benches);
