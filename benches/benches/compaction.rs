//! How many bytes of log a second does one core compact: both passes, the keys noted and the survivors
//! written, without a disk? Batches of 16 KiB over 10,000 keys, three records in four superseded; then over a
//! million keys, whose map no cache of a processor holds. Values are half names of fields and half of chance.

use std::hint::black_box;

use benches::Chance;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::base::{LeaderEpoch, Offset, WallMs};
use engine::log::ProducerTable;
use engine::log::cleaner::{Fill, OffsetMap, Round, Survivors};
use engine::record::{BatchBuilder, BatchHeader, Codec};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH_BYTES: usize = 16 * 1024;
const FEW_KEYS: u64 = 10_000;
const MANY_KEYS: u64 = 1_000_000;
/// Each key is written this often.
const TIMES: u64 = 4;
const DAY_MS: u64 = 86_400_000;

/// A log in which the keys come in an order of chance, `TIMES` times each on average.
fn log(codec: Codec, value_bytes: usize, keys: u64) -> Vec<Vec<u8>> {
    let mut chance = Chance::new(0x9e37_79b9_7f4a_7c15);
    let (mut batches, mut offset, mut value) = (Vec::new(), 0, vec![0; value_bytes]);
    while offset < keys * TIMES {
        let mut builder = BatchBuilder::new(codec);
        let base = offset;
        while builder.bytes() < BATCH_BYTES {
            let key = chance.below(keys);
            chance.fill(&mut value);
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
    let codecs = [Codec::None, Codec::Lz4, Codec::Snappy, Codec::Zstd, Codec::Gzip];
    let few = codecs.into_iter().flat_map(|codec| [(codec, 100, FEW_KEYS), (codec, 1_000, FEW_KEYS)]);
    for (codec, value_bytes, keys) in few.chain([(Codec::None, 100, MANY_KEYS)]) {
        let batches = log(codec, value_bytes, keys);
        // What counts is what the records hold: compressed ones lie in fewer bytes.
        let plain: usize = log(Codec::None, value_bytes, keys).iter().map(Vec::len).sum();
        group.throughput(Throughput::Bytes(plain as u64));
        let name = format!("{codec:?}, {keys} keys");
        group.bench_with_input(BenchmarkId::new(name, value_bytes), &batches, |b, batches| {
            let mut out = Vec::new();
            b.iter(|| compact(black_box(batches), &mut out));
        });
    }
    group.finish();
}

criterion_group!(benches, compaction);
criterion_main!(benches);
