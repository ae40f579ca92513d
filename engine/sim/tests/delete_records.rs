//! DeleteRecords: the log start that a client was told is there after anything that may happen.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{
    DeleteRecords, DeleteRecordsError, FetchError, HostedPartition, Shard, ShardSettings, recover,
};
use engine::config::TopicSettings;
use engine::io::{BLOCK, Disk, FileName, Open};
use engine::record::{BatchBuilder, Codec};
use sim::{SimDisk, World};

const MIB: usize = 1 << 20;
const RECORD_BYTES: usize = 6_000;

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index }
}

fn settings() -> TopicSettings {
    TopicSettings { segment_bytes: 20_000, retention_ms: None, ..TopicSettings::default() }
}

fn hosted(partitions: i32) -> Vec<HostedPartition> {
    let one = |index| HostedPartition {
        key: key(index),
        core: CoreId(0),
        leader_epoch: LeaderEpoch(0),
        settings: settings(),
    };
    (0..partitions).map(one).collect()
}

/// A shard with its jobs, over what the disk holds.
async fn open(world: &World, partitions: i32) -> Shard<SimDisk> {
    let disk = world.disk(8 * MIB);
    let mut recovered = recover(&disk, &hosted(partitions), 1, world.now()).await.expect("recovery");
    let bytes = MIB as u64;
    let settings =
        ShardSettings { journal_bytes: bytes, journal_bytes_first: bytes, ..ShardSettings::default() };
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    world.run_shard(&shard);
    shard
}

async fn produce(world: &World, shard: &Shard<SimDisk>, key: PartitionKey, batches: usize) {
    for _ in 0..batches {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1000, None, Some(&[5; RECORD_BYTES]), &[]);
        let appended = shard.append(world.now(), key, &builder.finish()).expect("room");
        shard.until_durable(appended.ticket).await.expect("online");
    }
}

async fn delete(
    shard: &Shard<SimDisk>,
    index: i32,
    before: Option<i64>,
) -> Result<Offset, DeleteRecordsError> {
    let want = DeleteRecords { key: key(index), before: before.map(Offset) };
    shard.delete_records(&[want]).await.pop().expect("one answer")
}

fn log_start(shard: &Shard<SimDisk>, index: i32) -> Offset {
    shard.bounds(key(index)).expect("hosted").log_start
}

#[test]
fn offsets_outside_the_visible_log_are_refused_and_one_below_its_start_changes_nothing() {
    let world = World::new(1);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 1).await;
        assert_eq!(delete(&shard, 0, None).await, Ok(Offset(0)), "an empty log starts at its end");
        produce(&inner, &shard, key(0), 5).await;
        for asked in [6, i64::MAX, -2, i64::MIN] {
            let (asked, high_watermark) = (Offset(asked), Offset(5));
            let refused = Err(DeleteRecordsError::OutOfRange { asked, high_watermark });
            assert_eq!(delete(&shard, 0, Some(asked.0)).await, refused);
        }
        assert_eq!(delete(&shard, 1, None).await, Err(DeleteRecordsError::UnknownPartition));
        assert_eq!(delete(&shard, 0, Some(3)).await, Ok(Offset(3)));
        assert_eq!(delete(&shard, 0, Some(2)).await, Ok(Offset(3)));
        let read = shard.read(key(0), Offset(2), MIB, true).await;
        assert!(matches!(read.map(|_| ()), Err(FetchError::OutOfRange(now)) if now.log_start == Offset(3)));
        let kept = shard.read(key(0), Offset(3), MIB, true).await.expect("kept");
        assert!(kept.bytes > 2 * RECORD_BYTES);
        assert_eq!(delete(&shard, 0, None).await, Ok(Offset(5)));
        produce(&inner, &shard, key(0), 1).await;
        assert_eq!(
            (log_start(&shard, 0), shard.bounds(key(0)).expect("hosted").high_watermark.0),
            (Offset(5), 6)
        );
    });
}

#[test]
fn an_answered_log_start_survives_a_power_cut_at_once() {
    for seed in 0..40 {
        let world = World::new(seed);
        let mut expected = 0;
        for life in 0..4 {
            let inner = world.clone();
            expected += 3;
            world.run_until(async move {
                let shard = open(&inner, 2).await;
                assert_eq!(log_start(&shard, 0), Offset(expected - 3), "seed {seed} life {life}");
                produce(&inner, &shard, key(0), 3).await;
                produce(&inner, &shard, key(1), 1).await;
                assert_eq!(delete(&shard, 0, None).await, Ok(Offset(expected)));
                assert_eq!(log_start(&shard, 1), Offset(0));
            });
            world.crash();
        }
    }
}

/// The log start stands above everything that a segment holds when a checkpoint is taken, and recovery
/// brings those records back below it.
#[test]
fn a_checkpoint_taken_while_the_log_start_is_above_the_written_end_can_be_recovered() {
    for seed in 0..20 {
        let world = World::new(seed);
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, 12).await;
            // Enough traffic elsewhere for checkpoints while this partition's records wait in memory.
            for _ in 0..12 {
                produce(&inner, &shard, key(0), 2).await;
                assert!(delete(&shard, 0, None).await.is_ok());
                for other in 1..12 {
                    produce(&inner, &shard, key(other), 2).await;
                }
            }
            assert!(shard.stats().checkpoints > 0, "seed {seed}: no checkpoint was taken");
        });
        world.crash();
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, 12).await;
            assert_eq!(log_start(&shard, 0), Offset(24), "seed {seed}");
            assert_eq!(log_start(&shard, 1), Offset(0), "seed {seed}");
            produce(&inner, &shard, key(0), 1).await;
        });
    }
}

#[test]
fn many_log_starts_of_one_request_share_group_commits() {
    let world = World::new(3);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 50).await;
        for index in 0..50 {
            produce(&inner, &shard, key(index), 1).await;
        }
        let before = shard.stats().commits;
        let wants: Vec<DeleteRecords> =
            (0..50).map(|index| DeleteRecords { key: key(index), before: None }).collect();
        let answers = shard.delete_records(&wants).await;
        assert!(answers.iter().all(|a| *a == Ok(Offset(1))), "{answers:?}");
        assert!(shard.stats().commits <= before + 2, "{} commits", shard.stats().commits - before);
    });
}

#[test]
fn whole_segments_below_the_log_start_leave_the_disk_and_a_clean_stop_keeps_it() {
    let world = World::new(4);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 1).await;
        produce(&inner, &shard, key(0), 12).await;
        let before = shard.log_bytes(key(0)).expect("hosted");
        assert_eq!(delete(&shard, 0, Some(10)).await, Ok(Offset(10)));
        // What is only in the journal is brought to its segments first, a step a round.
        for _ in 0..12 {
            shard.housekeep(inner.now()).await;
            inner.sleep(Duration::from_secs(1)).await;
        }
        let kept = shard.log_bytes(key(0)).expect("hosted");
        assert!(kept < before / 2, "{kept} of {before} bytes");
        shard.close(inner.now()).await.expect("closed");
        inner.sleep(Duration::from_secs(2)).await;
        let names = inner.disk(8 * MIB).list(&FileName::partition_dir(key(0))).await.expect("a list");
        assert!(names.iter().all(|e| !e.name.base().starts_with("00000000000000000000")), "{names:?}");
    });
    let inner = world.clone();
    world.run_until(async move {
        assert_eq!(log_start(&open(&inner, 1).await, 0), Offset(10));
    });
}

/// Flips a bit of each place in the core's journals where these bytes stand. How many there are.
async fn damage(disk: &SimDisk, bytes: &[u8]) -> usize {
    let mut found = 0;
    for entry in disk.list(&FileName::core_dir(CoreId(0))).await.expect("a list") {
        if !entry.name.base().starts_with("journal-") {
            continue;
        }
        let file = disk.open(&entry.name, Open::Existing).await.expect("open");
        for at in (0..entry.len).step_by(BLOCK) {
            let block = disk.read(&file, at, BLOCK).await.expect("readable");
            let Some(place) = block.windows(bytes.len()).position(|w| w == bytes) else { continue };
            let mut damaged = disk.take(BLOCK).expect("memory");
            damaged[..BLOCK].copy_from_slice(&block);
            damaged[place] ^= 1;
            disk.write(&file, at, disk.seal(damaged, BLOCK)).await.expect("written");
            found += 1;
        }
        disk.flush(&file).await.expect("flushed");
    }
    found
}

#[test]
fn a_log_start_above_records_that_were_damaged_fences_its_partition() {
    let world = World::new(5);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 2).await;
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1000, None, Some(b"these records will be lost"), &[]);
        let appended = shard.append(inner.now(), key(0), &builder.finish()).expect("room");
        shard.until_durable(appended.ticket).await.expect("online");
        assert_eq!(delete(&shard, 0, None).await, Ok(Offset(1)));
        produce(&inner, &shard, key(1), 3).await;
    });
    world.crash();
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(8 * MIB);
        assert_eq!(damage(&disk, b"these records will be lost").await, 1);
        let recovered = recover(&disk, &hosted(2), 1, inner.now()).await.expect("recovery");
        assert_eq!(recovered.report.frames_damaged, 1);
        assert_eq!(recovered.report.partitions_damaged, [key(0)], "its offset 0 must not be given again");
    });
}

/// Its entries in the journal were passed over with everything else of such a partition.
#[test]
fn the_log_start_of_a_fenced_partition_does_not_go_back() {
    let world = World::new(6);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 2).await;
        produce(&inner, &shard, key(0), 4).await;
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1000, None, Some(b"these records will be lost"), &[]);
        let appended = shard.append(inner.now(), key(0), &builder.finish()).expect("room");
        shard.until_durable(appended.ticket).await.expect("online");
        produce(&inner, &shard, key(0), 1).await;
        produce(&inner, &shard, key(1), 3).await;
    });
    world.crash();
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(8 * MIB);
        assert_eq!(damage(&disk, b"these records will be lost").await, 1);
        let shard = open(&inner, 2).await;
        assert_eq!(shard.stats().partitions_fenced, 1);
        assert_eq!(delete(&shard, 0, Some(3)).await, Ok(Offset(3)));
    });
    world.crash();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 2).await;
        assert_eq!((shard.stats().partitions_fenced, log_start(&shard, 0)), (1, Offset(3)));
    });
}

/// One batch of a record for each timestamp.
async fn produce_at(world: &World, shard: &Shard<SimDisk>, key: PartitionKey, timestamps: &[i64]) {
    let mut builder = BatchBuilder::new(Codec::None);
    for timestamp in timestamps {
        builder.push(*timestamp, None, Some(&[7; 100]), &[]);
    }
    let appended = shard.append(world.now(), key, &builder.finish()).expect("room");
    shard.until_durable(appended.ticket).await.expect("online");
}

#[test]
fn the_largest_timestamp_is_looked_for_among_the_records_that_are_left() {
    for written in [true, false] {
        let world = World::new(6);
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, 1).await;
            // Offsets 0 to 2, 3 and 4, 5, 6.
            for timestamps in [&[900, 1000, 300][..], &[800, 500], &[100], &[500]] {
                produce_at(&inner, &shard, key(0), timestamps).await;
            }
            if written {
                shard.close(inner.now()).await.expect("closed");
            }
            let shard = if written { open(&inner, 1).await } else { shard.clone() };
            let max = |below: i64| {
                let shard = shard.clone();
                async move {
                    assert_eq!(delete(&shard, 0, Some(below)).await, Ok(Offset(below)));
                    let found = shard.max_timestamp(key(0)).await.expect("an answer");
                    found.map(|found| (found.offset.0, found.timestamp))
                }
            };
            assert_eq!(max(1).await, Some((1, 1000)));
            assert_eq!(max(2).await, Some((3, 800)), "the largest of its batch is gone");
            assert_eq!(max(4).await, Some((4, 500)), "the first of two");
            assert_eq!(max(5).await, Some((6, 500)));
            produce_at(&inner, &shard, key(0), &[400]).await;
            assert_eq!(max(7).await, Some((7, 400)), "in no segment yet, and alone");
            assert_eq!(max(8).await, None);
        });
    }
}
