//! How much dearer is validating a record batch, every record walked, than its CRC-32C alone? For
//! 16 KiB of large records, where the checksum is nearly all of it, and of small ones. `walk` is the
//! walk by itself; `headers` shows the records that the short way does not take.

use std::hint::black_box;

use benches::{batch, compare};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::base::WallMs;
use engine::record::{
    BatchBuilder, BatchHeader, Codec, HEADER_BYTES, Limits, Records, TimestampType, validate,
};

const NOW_MS: i64 = 1_700_000_000_000;

/// Where the checksum's bytes begin: with the attributes.
const CRC_FROM: usize = 21;

fn limits() -> Limits {
    Limits {
        max_bytes: 1 << 20,
        segment_bytes: 1 << 30,
        produce_version: 9,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: u64::MAX,
        timestamp_after_max_ms: 3_600_000,
        now: WallMs(NOW_MS),
        keys_required: false,
        inflate_bytes_max: None,
    }
}

/// Small records, each with a key and two headers.
fn with_headers() -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    let headers: [(&[u8], Option<&[u8]>); 2] = [(b"trace", Some(b"0123456789abcdef")), (b"kind", None)];
    (0..104).for_each(|i| builder.push(NOW_MS + i, Some(b"key-0123"), Some(&[7; 100]), &headers));
    builder.finish()
}

/// Walks every record; the sum of what it says, so that nothing is left out.
fn walk(batch: &[u8]) -> i64 {
    let header = BatchHeader::peek(batch).expect("our own batch");
    let records = Records::of(header, &batch[HEADER_BYTES..]);
    records.map(|r| r.expect("our own record")).map(|r| r.timestamp ^ i64::from(r.offset_delta)).sum()
}

fn validation(c: &mut Criterion) {
    let limits = limits();
    let mut group = c.benchmark_group("batch_validation");
    let batches = [
        ("1 KiB records", batch(15, 1024, NOW_MS)),
        ("100 B records", batch(148, 100, NOW_MS)),
        ("headers", with_headers()),
    ];
    for (name, batch) in &batches {
        group.throughput(Throughput::Bytes(batch.len() as u64));
        group.bench_with_input(BenchmarkId::new("crc32c", name), batch, |b, batch| {
            b.iter(|| crc32c::crc32c(black_box(&batch[CRC_FROM..])));
        });
        group.bench_with_input(BenchmarkId::new("validate", name), batch, |b, batch| {
            b.iter(|| validate(black_box(batch), &limits).expect("our own batch"));
        });
        group.bench_with_input(BenchmarkId::new("walk", name), batch, |b, batch| {
            b.iter(|| walk(black_box(batch)));
        });
    }
    group.finish();
    for (name, batch) in &batches {
        compare(
            &format!("validate / crc32c, {name}"),
            2_000,
            || {
                black_box(validate(black_box(batch), &limits).expect("our own batch"));
            },
            || {
                black_box(crc32c::crc32c(black_box(&batch[CRC_FROM..])));
            },
        );
    }
}

criterion_group!(benches, validation);
criterion_main!(benches);
