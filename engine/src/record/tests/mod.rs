//! Batches that are honest pass and read back as they were built; every lie has its refusal; random
//! damage neither panics nor inflates beyond its bound.

mod hostile;
mod round_trip;
mod validation;

use proptest::prelude::ProptestConfig;

use super::*;
use crate::base::{ProducerEpoch, ProducerId, WallMs};

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const NOW: WallMs = WallMs(1_700_000_000_000);
const INFLATE_MAX: usize = 4 << 20;

fn limits() -> Limits {
    Limits {
        max_bytes: 1 << 20,
        segment_bytes: 1 << 30,
        produce_version: 9,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: u64::MAX,
        timestamp_after_max_ms: 3_600_000,
        now: NOW,
        keys_required: false,
        inflate_bytes_max: None,
    }
}

/// Three records of a producer: a plain one, a tombstone with duplicate headers, an empty one.
fn sample(codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec);
    builder.set_producer(ProducerId(7), ProducerEpoch(2), 40);
    builder.push(NOW.0, Some(b"key"), Some(&[b'v'; 300]), &[]);
    builder.push(NOW.0 + 5, Some(b"gone"), None, &[(b"h", Some(b"1")), (b"h", None), (b"", Some(b""))]);
    builder.push(NOW.0 - 5, None, Some(b""), &[]);
    builder.finish()
}

/// Sets bytes of a batch and makes its checksum match again.
fn tampered(batch: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut out = batch.to_vec();
    out[at..at + bytes.len()].copy_from_slice(bytes);
    header::seal_crc(&mut out);
    out
}

/// Failures print their input; no file is written.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

/// Makes length and checksum match the bytes.
fn resealed(mut batch: Vec<u8>) -> Vec<u8> {
    let length = (batch.len() - LOG_OVERHEAD) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    header::seal_crc(&mut batch);
    batch
}
