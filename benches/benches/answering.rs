//! Answering, looked at closely: `cargo bench -p benches --bench answering`

use std::hint::black_box;
use std::time::Instant;

use benches::figures::answering::{
    ADDRESSES, ANSWER, Numbered, PORT, address, address6, foreign, ping, question, responder, walk,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn answering(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one question, 10,000 addresses");
    for (what, of) in [("ARP", address as Numbered), ("NDP", address6)] {
        let (mut ours, walk) = (responder(of), walk(of));
        let (now, mut answer) = (Instant::now(), [0; ANSWER]);
        for (case, target) in [("of ours", of(ADDRESSES - 1)), ("foreign", foreign(of))] {
            let frame = question(target);
            group.bench_function(BenchmarkId::new(format!("lbnet, {what}"), case), |bencher| {
                bencher.iter(|| ours.answer(now, PORT, black_box(&frame), &mut answer).answer.is_ok());
            });
            group.bench_function(
                BenchmarkId::new(format!("linear walk, the test alone, {what}"), case),
                |bencher| {
                    bencher.iter(|| walk.answers(black_box(target)));
                },
            );
        }
    }
    let (mut ours, frame) = (responder(address), ping(address(ADDRESSES - 1)));
    let (now, mut answer) = (Instant::now(), [0; ANSWER]);
    group.bench_function("lbnet, ping", |bencher| {
        bencher.iter(|| ours.answer(now, PORT, black_box(&frame), &mut answer).answer.is_ok());
    });
    group.finish();
}

criterion_group!(benches, answering);
criterion_main!(benches);
