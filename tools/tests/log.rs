//! `ringlog log` against partition directories made of the engine's own formats.

#[path = "data_dir/ringlog.rs"]
mod ringlog;

use std::fs;
use std::path::Path;

use engine::base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicId};
use engine::log::names::{self, SegmentFile};
use engine::log::{IndexTail, LeaderEpochs, ProducerTable};
use engine::record::{BatchBuilder, BatchHeader, Codec};
use ringlog::ringlog;
use serde_json::Value;

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

const BATCHES: i64 = 100;
const BASE: i64 = 500;

/// A partition with one segment of 100 batches of 2 records each, from offset 500 on.
fn write_partition(dir: &Path) {
    let mut log = Vec::new();
    let mut index = IndexTail::new(Offset(BASE));
    let mut producers = ProducerTable::new();
    for i in 0..BATCHES {
        let codec = if i % 2 == 0 { Codec::None } else { Codec::Lz4 };
        let mut builder = BatchBuilder::new(codec);
        builder.set_producer(ProducerId(9), ProducerEpoch(0), 2 * i as i32);
        builder.push(
            10_000 + i,
            Some(b"key"),
            Some(format!("value {i}").as_bytes()),
            &[("h".as_bytes(), None)],
        );
        builder.push(10_000 + i, None, None, &[]);
        let mut batch = builder.finish();
        let header = BatchHeader::peek_mut(&mut batch).expect("a header");
        header.stamp(Offset(BASE + 2 * i), LeaderEpoch(3));
        index.on_batch(header, log.len() as u32, 500);
        producers.apply(header);
        log.extend(batch);
    }
    index.finish();
    let write = |kind: SegmentFile, bytes: &[u8]| {
        fs::write(dir.join(kind.name(Offset(BASE))), bytes).expect("a writable directory");
    };
    write(SegmentFile::Log, &log);
    write(SegmentFile::Index, index.offsets.unwritten().1);
    write(SegmentFile::TimeIndex, index.times.unwritten().1);
    write(SegmentFile::Snapshot, &producers.encode_snapshot());
    let mut epochs = LeaderEpochs::new();
    epochs.assign(LeaderEpoch(3), Offset(BASE));
    fs::write(dir.join(names::LEADER_EPOCH_CHECKPOINT), epochs.encode()).expect("a writable directory");
    let metadata = names::encode_partition_metadata(TopicId(uuid::Uuid::from_u128(1)));
    fs::write(dir.join(names::PARTITION_METADATA), metadata).expect("a writable directory");
}

fn partition() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    write_partition(dir.path());
    dir
}

/// Changes a file of the partition and says how many damages `verify` then finds.
fn damages_after(kind: SegmentFile, change: impl FnOnce(&mut Vec<u8>)) -> u64 {
    let dir = partition();
    let path = dir.path().join(kind.name(Offset(BASE)));
    let mut bytes = fs::read(&path).expect("written before");
    change(&mut bytes);
    fs::write(&path, bytes).expect("a writable directory");
    ringlog(&["verify", dir.path().to_str().expect("text")]).0
}

#[test]
fn dump_shows_every_file_of_a_partition() {
    let dir = partition();
    let (damages, lines) = ringlog(&["dump", "--data", dir.path().to_str().expect("text")]);
    assert_eq!(damages, 0);
    let batches = of_kind(&lines, "batch");
    assert_eq!(batches.len(), 100);
    assert_eq!(batches[7]["baseOffset"], 514);
    assert_eq!(batches[7]["lastSequence"], 15);
    assert_eq!(batches[7]["compresscodec"], "lz4");
    assert_eq!(batches[7]["isvalid"], true);
    let records = of_kind(&lines, "record");
    assert_eq!(records.len(), 200);
    assert_eq!(records[14]["payload"], "value 7");
    assert_eq!(records[14]["headerKeys"], serde_json::json!(["h"]));
    assert_eq!(records[15]["payload"], Value::Null);
    assert!(of_kind(&lines, "index").len() > 5);
    assert!(of_kind(&lines, "timeindex").len() > 5);
    assert_eq!(of_kind(&lines, "producer")[0]["lastSequence"], 199);
    assert_eq!(of_kind(&lines, "epoch")[0]["startOffset"], BASE);
    assert_eq!(of_kind(&lines, "partition.metadata")[0]["topicId"], "AAAAAAAAAAAAAAAAAAAAAQ");
}

#[test]
fn a_sound_partition_verifies() {
    let dir = partition();
    let (damages, lines) = ringlog(&["verify", dir.path().to_str().expect("text")]);
    assert_eq!(damages, 0, "{lines:?}");
    let report = of_kind(&lines, "report")[0];
    assert_eq!((&report["segments"], &report["batches"]), (&Value::from(1), &Value::from(100)));
    assert_eq!(report["indexes"], 2);
}

#[test]
fn allocated_space_is_not_damage() {
    for kind in [SegmentFile::Log, SegmentFile::Index, SegmentFile::TimeIndex] {
        assert_eq!(damages_after(kind, |bytes| bytes.resize(1 << 20, 0)), 0, "{kind:?}");
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_lies() {
    let length = |kind: SegmentFile| {
        let dir = partition();
        fs::metadata(dir.path().join(kind.name(Offset(BASE)))).expect("written before").len() as usize
    };
    for kind in [SegmentFile::Log, SegmentFile::Index, SegmentFile::TimeIndex, SegmentFile::Snapshot] {
        let length = length(kind);
        for at in (0..length).step_by(length / 20) {
            let found = damages_after(kind, |bytes| bytes[at] ^= 0x10);
            assert!(found > 0, "{kind:?} byte {at}");
        }
    }
}

#[test]
fn a_missing_end_is_found() {
    assert!(damages_after(SegmentFile::Log, |bytes| bytes.truncate(bytes.len() - 1)) > 0);
    assert!(damages_after(SegmentFile::Index, |bytes| bytes.truncate(bytes.len() - 1)) > 0);
    assert!(damages_after(SegmentFile::Snapshot, Vec::clear) > 0);
}
