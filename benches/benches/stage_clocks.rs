//! What do the stage clocks add to a request? One look at the clock, one sample, and both for all the
//! stages of a produce, against the parsing of its smallest request.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use server::runtime::{Histograms, Stage, StageClocks, clock};

fn stage_clocks(c: &mut Criterion) {
    let clocks = StageClocks::default();
    let mut group = c.benchmark_group("stage_clocks");
    group.measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    group.bench_function("look_at_the_clock", |b| b.iter(|| black_box(clock::monotonic())));
    let mut nanos = 1_000;
    group.bench_function("sample", |b| {
        b.iter(|| {
            // Values move as those of a load do: the bucket is not always the same line of cache.
            nanos = (nanos * 5 + 77) % 4_000_000;
            clocks.took_each(Stage::ProduceFlush, Duration::from_nanos(nanos), 1);
        });
    });
    group.bench_function("whole_produce_alone_in_its_frame", |b| {
        b.iter(|| {
            let received = clock::monotonic();
            let begun = clock::monotonic();
            clocks.took(Stage::ProduceParse, received, begun);
            let appended = clock::monotonic();
            clocks.took(Stage::ProduceAppend, begun, appended);
            let (sealed, written, durable) = (clock::monotonic(), clock::monotonic(), clock::monotonic());
            clocks.took(Stage::ProduceCommit, appended, sealed);
            clocks.took(Stage::ProduceJournal, sealed, written);
            clocks.took(Stage::ProduceFlush, written, durable);
            clocks.flushed(4096);
            clocks.released(1);
            let sent = clock::monotonic();
            clocks.took(Stage::ProduceAcknowledge, durable, sent);
            clocks.took(Stage::ProduceTotal, received, sent);
        });
    });
    let mut copy = Histograms::default();
    group.bench_function("copy_for_the_admin_endpoint", |b| {
        b.iter(|| {
            for stage in [Stage::ProduceFlush, Stage::ProduceTotal] {
                clocks.took_each(stage, Duration::from_micros(200), 1);
            }
            clocks.with(|histograms| copy.copy_from(histograms));
        });
    });
    group.finish();
}

criterion_group!(benches, stage_clocks);
criterion_main!(benches);
