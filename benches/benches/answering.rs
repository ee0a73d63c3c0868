//! Answering, looked at closely: `cargo bench -p benches --bench answering`

use std::hint::black_box;
use std::time::Instant;

use benches::figures::answering::{ADDRESSES, PORT, address, question, responder, walk};
use criterion::{Criterion, criterion_group, criterion_main};
use lbnet::responder::ANSWER_LEN;

fn answering(criterion: &mut Criterion) {
    let (mut ours, walk) = (responder(), walk());
    let target = address(ADDRESSES - 1);
    let frame = question(target);
    let (now, mut answer) = (Instant::now(), [0; ANSWER_LEN]);
    let mut group = criterion.benchmark_group("one question, 10,000 addresses");
    group.bench_function("lbnet: decide and build the answer", |bencher| {
        bencher.iter(|| ours.answer(now, PORT, black_box(&frame), &mut answer).answer.is_ok());
    });
    group.bench_function("linear walk: decide", |bencher| bencher.iter(|| walk.answers(black_box(target))));
    group.finish();
}

criterion_group!(benches, answering);
criterion_main!(benches);
