//! Allocation, looked at closely: `cargo bench -p benches --bench allocation`

use std::net::Ipv4Addr;

use benches::baseline::LinearScan;
use benches::figures::allocation::{allocator, request};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn allocation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one address when so many are held");
    for held in [10, 1_000, 20_000_u32] {
        let mut filled = allocator("10.0.0.0/16");
        let mut scan = LinearScan::new(Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(10, 0, 255, 255));
        for number in 0..held {
            filled.request(request(number));
            scan.allocate(&format!("service-{number}"));
        }
        group.bench_function(BenchmarkId::new("lbcore", held), |bencher| {
            let new = request(held);
            bencher.iter(|| {
                let decision = filled.request(new.clone());
                filled.release(&new.key);
                decision
            });
        });
        group.bench_function(BenchmarkId::new("linear walk", held), |bencher| {
            bencher.iter(|| scan.find());
        });
    }
    group.finish();
}

criterion_group!(benches, allocation);
criterion_main!(benches);
