//! One shard on the simulated disk: what is acknowledged is there, read back byte for byte, after
//! a clean stop and after a crash.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{HostedPartition, RecoveryReport, Shard, ShardSettings, recover};
use engine::config::TopicSettings;
use engine::record::{BatchBuilder, BatchHeader, Codec};
use sim::{SimDisk, World};

const POOL: usize = 8 * 1024 * 1024;

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index }
}

fn hosted(partitions: i32, settings: &TopicSettings) -> Vec<HostedPartition> {
    (0..partitions)
        .map(|index| HostedPartition {
            key: key(index),
            core: CoreId(0),
            leader_epoch: LeaderEpoch(0),
            settings: settings.clone(),
        })
        .collect()
}

fn journals() -> ShardSettings {
    ShardSettings { journal_bytes: 1 << 20, journal_bytes_first: 1 << 20, ..ShardSettings::default() }
}

async fn open(world: &World, hosted: &[HostedPartition]) -> (Shard<SimDisk>, RecoveryReport) {
    open_with(world, hosted, POOL).await
}

async fn open_with(
    world: &World,
    hosted: &[HostedPartition],
    pool: usize,
) -> (Shard<SimDisk>, RecoveryReport) {
    let disk = world.disk(pool);
    let mut recovered = recover(&disk, hosted, 1, world.now()).await.expect("recovery");
    let shard = Shard::open(disk, recovered.cores.remove(0), journals(), world.now()).await.expect("open");
    for part in hosted {
        if shard.bounds(part.key).is_err() {
            shard.create(part.clone());
        }
    }
    world.run_shard(&shard);
    (shard, recovered.report)
}

fn batch(value: &[u8], records: usize, timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    for i in 0..records {
        builder.push(timestamp + i as i64, None, Some(value), &[]);
    }
    builder.finish()
}

/// Appends and waits; returns the base offset.
async fn produce(world: &World, shard: &Shard<SimDisk>, key: PartitionKey, batch: &[u8]) -> Offset {
    loop {
        match shard.append(world.now(), key, batch) {
            Ok(appended) => {
                shard.until_durable(appended.ticket).await.expect("online");
                return appended.base_offset;
            }
            Err(engine::broker::AppendError::NoRoom) => shard.room().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Every batch of a partition from its log start: base offset and the bytes behind the header's
/// stamped part.
async fn read_all(shard: &Shard<SimDisk>, key: PartitionKey) -> Vec<(Offset, Vec<u8>)> {
    let mut out = Vec::new();
    let mut from = shard.bounds(key).expect("hosted").log_start;
    loop {
        let fetched = shard.read(key, from, 64 * 1024, true).await.expect("readable");
        if fetched.bytes == 0 {
            return out;
        }
        let bytes: Vec<u8> = fetched.slices.iter().flat_map(|s| s.to_vec()).collect();
        let mut at = 0;
        while at < bytes.len() {
            let header = BatchHeader::peek(&bytes[at..]).expect("a header");
            let total = header.total_bytes().expect("a length");
            out.push((header.base_offset(), bytes[at + 16..at + total].to_vec()));
            from = header.next_offset();
            at += total;
        }
    }
}

/// Produces `count` batches of growing sizes over `partitions` partitions; returns what each holds.
async fn fill(
    world: &World,
    shard: &Shard<SimDisk>,
    partitions: i32,
    count: usize,
) -> Vec<Vec<(Offset, Vec<u8>)>> {
    let mut expected = vec![Vec::new(); partitions as usize];
    for i in 0..count {
        let index = i % partitions as usize;
        let value = vec![i as u8; 10 + (i * 37) % 9000];
        let bytes = batch(&value, 1 + i % 3, 1000 + i as i64);
        let offset = produce(world, shard, key(index as i32), &bytes).await;
        expected[index].push((offset, bytes[16..].to_vec()));
    }
    expected
}

async fn check(shard: &Shard<SimDisk>, expected: &[Vec<(Offset, Vec<u8>)>]) {
    for (index, expected) in expected.iter().enumerate() {
        let found = read_all(shard, key(index as i32)).await;
        assert_eq!(found.len(), expected.len(), "partition {index}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found == expected, "partition {index} at {:?}", expected.0);
        }
    }
}

/// The shard asserts it: each write of a busy partition once left it in the line of those that wait longest once more.
#[test]
fn a_partition_that_is_written_again_and_again_stands_in_line_once() {
    let world = World::new(1);
    let w = world.clone();
    world.run_until(async move {
        let (shard, _) = open(&w, &hosted(1, &TopicSettings::default())).await;
        for round in 1..4 {
            produce(&w, &shard, key(0), &batch(&vec![7; 300 * 1024], 1, 1000)).await;
            w.sleep(Duration::from_secs(1)).await;
            assert!(shard.stats().segment_bytes > round * 250 * 1024, "written in round {round}");
        }
    });
}

#[test]
fn what_was_produced_is_read_back() {
    let world = World::new(1);
    let inner = world.clone();
    world.run_until(async move {
        let (shard, _) = open(&inner, &hosted(3, &TopicSettings::default())).await;
        let expected = fill(&inner, &shard, 3, 300).await;
        check(&shard, &expected).await;
    });
}

#[test]
fn a_clean_stop_and_a_crash_lose_nothing_acknowledged() {
    let world = World::new(2);
    let settings = TopicSettings { segment_bytes: 1 << 20, ..TopicSettings::default() };
    let mut expected = Vec::new();
    for round in 0..6 {
        let inner = world.clone();
        let settings = settings.clone();
        let before = expected.clone();
        expected = world.run_until(async move {
            let (shard, report) = open(&inner, &hosted(3, &settings)).await;
            assert_eq!(report.frames_damaged, 0);
            assert!(report.partitions_damaged.is_empty());
            let mut expected = before;
            if !expected.is_empty() {
                check(&shard, &expected).await;
            }
            let more = fill(&inner, &shard, 3, 400).await;
            expected.resize(3, Vec::new());
            for (all, more) in expected.iter_mut().zip(more) {
                all.extend(more);
            }
            if round % 2 == 0 {
                shard.close(inner.now()).await.expect("closed");
            }
            expected
        });
        world.crash();
    }
}

#[test]
fn journals_are_used_again_and_the_cost_of_recovery_stays_bounded() {
    let world = World::new(3);
    let inner = world.clone();
    world.run_until(async move {
        let (shard, _) = open(&inner, &hosted(2, &TopicSettings::default())).await;
        // Below the size of an extent: all of them go through the journal.
        for i in 0..160 {
            let value = vec![i as u8; 150_000];
            produce(&inner, &shard, key(i % 2), &batch(&value, 1, 5)).await;
        }
        assert_eq!(shard.stats().extents, 0);
        assert!(shard.stats().checkpoints > 2, "{:?}", shard.stats());
    });
    world.crash();
    let before = world.counters();
    let inner = world.clone();
    world.run_until(async move {
        let (shard, _) = open(&inner, &hosted(2, &TopicSettings::default())).await;
        assert_eq!(shard.bounds(key(0)).expect("hosted").high_watermark, Offset(80));
    });
    let read = world.counters().bytes_read - before.bytes_read;
    let segments: Vec<_> =
        world.counters().files_read.into_iter().filter(|f| f.as_str().ends_with(".log")).collect();
    assert!(segments.is_empty(), "recovery read segments: {segments:?}");
    assert!(read <= 5 << 20, "recovery read {read} bytes of 24 MB of data and 4 MiB of journals");
}

#[test]
fn retention_drops_whole_segments_and_the_start_survives() {
    let world = World::new(4);
    let settings = TopicSettings {
        segment_bytes: 1 << 20,
        retention_bytes: Some(2 << 20),
        retention_ms: None,
        ..TopicSettings::default()
    };
    let (inner, s) = (world.clone(), settings.clone());
    let start = world.run_until(async move {
        let (shard, _) = open(&inner, &hosted(1, &s)).await;
        for i in 0..60 {
            produce(&inner, &shard, key(0), &batch(&vec![i as u8; 100_000], 1, 5)).await;
        }
        inner.sleep(Duration::from_secs(2)).await;
        shard.tick(inner.now());
        shard.housekeep(inner.now()).await;
        let bounds = shard.bounds(key(0)).expect("hosted");
        assert!(bounds.log_start > Offset(20), "{bounds:?}");
        assert_eq!(bounds.high_watermark, Offset(60));
        bounds.log_start
    });
    world.crash();
    let inner = world.clone();
    world.run_until(async move {
        let (shard, _) = open(&inner, &hosted(1, &settings)).await;
        assert_eq!(shard.bounds(key(0)).expect("hosted").log_start, start);
        let found = read_all(&shard, key(0)).await;
        assert_eq!(found.len() as i64, 60 - start.0);
    });
}

#[test]
fn a_batch_larger_than_every_journal_file_gets_a_file_of_its_own() {
    let world = World::new(5);
    let inner = world.clone();
    world.run_until(async move {
        let (shard, _) = open(&inner, &hosted(1, &TopicSettings::default())).await;
        let large = batch(&vec![3; 2 << 20], 1, 5);
        assert_eq!(produce(&inner, &shard, key(0), &large).await, Offset(0));
        shard.close(inner.now()).await.expect("closed");
    });
}

#[test]
fn a_full_pool_of_small_unwritten_batches_empties_itself() {
    let world = World::new(6);
    let inner = world.clone();
    world.run_until(async move {
        let partitions = 300;
        // An odd size, so that what is left is more than a batch needs and less than a whole buffer.
        let pool = POOL + 128 * 1024;
        let (shard, _) = open_with(&inner, &hosted(partitions, &TopicSettings::default()), pool).await;
        // It shows that appends find room again. It also passed on code whose appends stood still under a
        // real load, so it does not show what stood still there.
        // Each partition stays below what makes it ripe. Frames of eight batches fill half of the
        // buffer that they pin, so the pool is used up before half of it is unwritten.
        let mut last = None;
        for i in 0..8 * partitions {
            let bytes = batch(&vec![i as u8; 16_000], 1, 5);
            last = loop {
                match shard.append(inner.now(), key(i % partitions), &bytes) {
                    Ok(appended) => break Some(appended.ticket),
                    Err(_) => shard.room().await,
                }
            };
            if i % 8 == 7 {
                shard.until_durable(last.expect("appended")).await.expect("online");
            }
        }
        assert!(last.is_some());
        shard.close(inner.now()).await.expect("closed");
        assert_eq!(shard.bounds(key(7)).expect("hosted").high_watermark, Offset(8));
    });
}

#[test]
fn a_pool_full_of_cached_batches_makes_room_for_readers() {
    let world = World::new(7);
    let inner = world.clone();
    world.run_until(async move {
        let (shard, _) = open(&inner, &hosted(1, &TopicSettings::default())).await;
        for i in 0..6_000 {
            produce(&inner, &shard, key(0), &batch(&[i as u8; 3_000], 1, 5)).await;
        }
        let mut from = Offset(0);
        while from < Offset(6_000) {
            let fetched = shard.read(key(0), from, 1 << 20, true).await.expect("readable");
            let last = fetched.slices.last().expect("something");
            assert!(!last.is_empty());
            let bytes: Vec<u8> = fetched.slices.iter().flat_map(|s| s.to_vec()).collect();
            let mut at = 0;
            while at < bytes.len() {
                let header = BatchHeader::peek(&bytes[at..]).expect("a header");
                from = header.next_offset();
                at += header.total_bytes().expect("a length");
            }
        }
    });
}
