//! How many bytes of log a second does one core compact: both passes, the keys noted and the survivors
//! written, without a disk? Batches of 16 KiB over 10,000 keys, three records in four superseded.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::base::{LeaderEpoch, Offset, WallMs};
use engine::log::ProducerTable;
use engine::log::cleaner::{Fill, OffsetMap, Round, Survivors};
use engine::record::{BatchBuilder, BatchHeader, Codec};

const BATCH_BYTES: usize = 16 * 1024;
const KEYS: u64 = 10_000;
/// Each key is written this often.
const TIMES: u64 = 4;
const DAY_MS: u64 = 86_400_000;

/// A log in which the keys come in an order of chance, `TIMES` times each on average.
fn log(codec: Codec, value_bytes: usize) -> Vec<Vec<u8>> {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut batches, mut offset) = (Vec::new(), 0);
    let value: Vec<u8> = (0..value_bytes).map(|i| (i / 8) as u8).collect();
    while offset < KEYS * TIMES {
        let mut builder = BatchBuilder::new(codec);
        let base = offset;
        while builder.bytes() < BATCH_BYTES {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (random >> 33) % KEYS;
            builder.push(1_700_000_000_000 + offset as i64, Some(&key.to_be_bytes()), Some(&value), &[]);
            offset += 1;
        }
        let mut batch = builder.finish();
        BatchHeader::peek_mut(&mut batch).expect("a batch").stamp(Offset(base as i64), LeaderEpoch(0));
        batches.push(batch);
    }
    batches
}

fn compact(batches: &[Vec<u8>], out: &mut Vec<u8>) -> u64 {
    let end = BatchHeader::peek(batches.last().expect("a log")).expect("a batch").next_offset();
    let mut fill = Fill::new(OffsetMap::new(Offset(0), end, 128 << 20, 900_000, 7), Offset(0), Vec::new());
    for batch in batches {
        assert!(engine::record::crc_matches(batch) && fill.visit(batch));
    }
    let round = Round::new(fill.finish(), &ProducerTable::new(), WallMs(0), DAY_MS);
    let mut survivors = Survivors::new(&round, Vec::new());
    for batch in batches {
        assert!(engine::record::crc_matches(batch));
        out.clear();
        survivors.visit(batch, out);
        black_box(&out);
    }
    survivors.tally().records_dropped
}

fn compaction(c: &mut Criterion) {
    let mut group = c.benchmark_group("compaction");
    group.sample_size(10);
    for codec in [Codec::None, Codec::Lz4, Codec::Snappy, Codec::Zstd, Codec::Gzip] {
        for value_bytes in [100, 1_000] {
            let batches = log(codec, value_bytes);
            // What counts is what the records hold: compressed ones lie in fewer bytes.
            let plain: usize = log(Codec::None, value_bytes).iter().map(Vec::len).sum();
            group.throughput(Throughput::Bytes(plain as u64));
            let name = format!("{codec:?}");
            group.bench_with_input(BenchmarkId::new(name, value_bytes), &batches, |b, batches| {
                let mut out = Vec::new();
                b.iter(|| compact(black_box(batches), &mut out));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, compaction);
criterion_main!(benches);
