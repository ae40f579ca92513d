//! DeleteRecords: the log start that a client was told is there after anything that may happen.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{
    DeleteRecords, DeleteRecordsError, FetchError, HostedPartition, Shard, ShardSettings, recover,
};
use engine::config::TopicSettings;
use engine::io::{Disk, FileName};
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

/// A shard with its jobs, over what the disk holds.
async fn open(world: &World, partitions: i32) -> Shard<SimDisk> {
    let hosted = |index| HostedPartition {
        key: key(index),
        core: CoreId(0),
        leader_epoch: LeaderEpoch(0),
        settings: settings(),
    };
    let hosted: Vec<HostedPartition> = (0..partitions).map(hosted).collect();
    let disk = world.disk(8 * MIB);
    let mut recovered = recover(&disk, &hosted, 1, world.now()).await.expect("recovery");
    let bytes = MIB as u64;
    let settings =
        ShardSettings { journal_bytes: bytes, journal_bytes_first: bytes, ..ShardSettings::default() };
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    let (commits, writer) = (shard.clone(), shard.clone());
    world.spawn(async move { commits.run_commits().await });
    world.spawn(async move { writer.run_writer().await });
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
