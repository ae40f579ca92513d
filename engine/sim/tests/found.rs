//! What the simulator found in the engine (`engine/docs/simulator.md`), told again as short scripts that
//! stay when its seeds mean something else.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{DeleteRecords, HostedPartition, Shard, ShardSettings, recover};
use engine::config::{CleanerSettings, Cleanup, TopicSettings};
use engine::io::DiskOp;
use engine::record::{BatchBuilder, Codec};
use sim::faults::{CutAt, Side};
use sim::{SimDisk, World};

const MIB: usize = 1 << 20;
const HOUR_MS: u64 = 3_600_000;

fn key() -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index: 0 }
}

/// A shard with its jobs over what the disk holds, in segments of `segment_bytes`.
async fn open(world: &World, segment_bytes: u32) -> Shard<SimDisk> {
    open_on(world, segment_bytes, CoreId(0)).await
}

async fn append(world: &World, shard: &Shard<SimDisk>, bytes: usize) {
    let batch = batch(world.now().wall.0, bytes);
    let appended = shard.append(world.now(), key(), &batch).expect("room");
    shard.until_durable(appended.ticket).await.expect("online");
}

/// As `open`, with the partition on the last of as many cores as that needs.
async fn open_on(world: &World, segment_bytes: u32, core: CoreId) -> Shard<SimDisk> {
    let disk = world.disk(8 * MIB);
    let settings = TopicSettings { segment_bytes, retention_ms: Some(HOUR_MS), ..TopicSettings::default() };
    let hosted = HostedPartition { key: key(), core, leader_epoch: LeaderEpoch(0), settings };
    let mut recovered = recover(&disk, &[hosted], core.0 + 1, world.now()).await.expect("recovery");
    assert_eq!(recovered.report.frames_damaged, 0, "a failed write is no damage");
    let bytes = MIB as u64;
    let settings =
        ShardSettings { journal_bytes: bytes, journal_bytes_first: bytes, ..ShardSettings::default() };
    let shard = Shard::open(disk, recovered.cores.remove(usize::from(core.0)), settings, world.now())
        .await
        .expect("open");
    world.run_shard(&shard);
    shard
}

fn batch(time: i64, bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(time, None, Some(&vec![5; bytes]), &[]);
    builder.finish()
}

/// The clock went back between the first record and the rest, and the first was deleted: its segment
/// promises a time that none of its records has any more, the next segment does.
#[test]
fn a_time_that_only_deleted_records_of_the_first_segment_reach_is_looked_for_in_the_next() {
    const TIMES: [i64; 6] = [9_000, 1_000, 1_000, 1_000, 5_000, 5_000];
    let world = World::new(4);
    let inner = world.clone();
    let found = world.run_until(async move {
        let shard = open(&inner, 20_000).await;
        for time in TIMES {
            let appended = shard.append(inner.now(), key(), &batch(time, 6_000)).expect("room");
            shard.until_durable(appended.ticket).await.expect("online");
        }
        let want = DeleteRecords { key: key(), before: Some(Offset(1)) };
        shard.delete_records(&[want]).await.pop().expect("one answer").expect("deleted");
        shard.close(inner.now()).await.expect("closed");
        let shard = open(&inner, 20_000).await;
        shard.offset_for_time(key(), 4_000).await.expect("read")
    });
    assert_eq!(found.map(|found| found.offset), Some(Offset(4)));
}

/// One lane of the commit fails on its way to the next journal file; the other must not write its frame to
/// a file that is not open, or whose header is that of an earlier use: that looked like damage.
#[test]
fn a_lane_does_not_go_on_where_the_other_failed_to_begin_a_journal_file() {
    for op in [DiskOp::Open, DiskOp::Write] {
        let world = World::new(44);
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, 20_000).await;
            let appended = shard.append(inner.now(), key(), &batch(1_000, 100)).expect("room");
            shard.until_durable(appended.ticket).await.expect("online");
        });
        world.kill();
        let inner = world.clone();
        world.run_until(async move {
            // The file is there from before, so it has to be opened.
            let shard = open(&inner, 20_000).await;
            inner.faults(|f| {
                f.eio_ppm = 1_000_000;
                f.eio_ops = vec![op];
            });
            shard.append(inner.now(), key(), &batch(1_000, 100)).expect("room");
        });
        world.run_steps(1_000);
        world.faults(|f| f.eio_ppm = 0);
        world.kill();
        let inner = world.clone();
        let end = world.run_until(async move {
            open(&inner, 20_000).await.bounds(key()).expect("hosted").high_watermark
        });
        // A write that failed may have reached the disk all the same.
        assert!((Offset(1)..=Offset(2)).contains(&end), "{op:?}: the log ends at {end}");
    }
}

/// The old core's checkpoint counts on the segments of a partition that leaves it; their names were made
/// durable only with the new core's.
#[test]
fn a_partition_that_moves_is_there_wherever_its_recovery_stops() {
    const STEPS: u64 = 60;
    let mut stopped = 0;
    for (step, side) in (1..STEPS).flat_map(|step| [(step, Side::Before), (step, Side::After)]) {
        let world = World::new(823 + step);
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, 20_000).await;
            let appended = shard.append(inner.now(), key(), &batch(1_000, 6_000)).expect("room");
            shard.until_durable(appended.ticket).await.expect("online");
        });
        world.kill();
        world.cut_at(Some(CutAt { step: world.persist_steps() + step, side }));
        let inner = world.clone();
        let up = world.run_until_cut(async move { drop(open_on(&inner, 20_000, CoreId(1)).await) });
        stopped += u64::from(up.is_none());
        world.crash();
        let inner = world.clone();
        let read = world.run_until(async move {
            let shard = open_on(&inner, 20_000, CoreId(1)).await;
            shard.read(key(), Offset(0), MIB, true).await.map(|fetched| fetched.bytes)
        });
        assert!(read.as_ref().is_ok_and(|bytes| *bytes > 6_000), "step {step}, {side:?}: {read:?}");
    }
    assert!(stopped > 20, "only {stopped} recoveries were cut");
}

/// Retention left the active segment and removed its files; no checkpoint knew when the power went.
#[test]
fn records_behind_a_log_that_age_took_whole_are_found_after_a_restart() {
    let world = World::new(1764);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 20_000).await;
        append(&inner, &shard, 6_000).await;
        // What is in its segment is known to a checkpoint.
        shard.close(inner.now()).await.expect("closed");
        let shard = open(&inner, 20_000).await;
        inner.skip(Duration::from_millis(2 * HOUR_MS));
        shard.housekeep(inner.now()).await;
        assert_eq!(shard.bounds(key()).expect("hosted").log_start, Offset(1), "age took it");
    });
    world.crash();
    let inner = world.clone();
    world.run_until(async move { append(&inner, &open(&inner, 20_000).await, 100).await });
    world.crash();
    let inner = world.clone();
    let read = world.run_until(async move {
        let shard = open(&inner, 20_000).await;
        shard.read(key(), Offset(1), MIB, true).await.map(|fetched| fetched.bytes)
    });
    assert!(read.as_ref().is_ok_and(|bytes| *bytes > 100), "{read:?}");
}

/// The process is killed while it flushes a checkpoint, which the next start reads all the same; the power
/// goes while that start writes its own checkpoint over the other one. Then neither was left.
#[test]
fn a_checkpoint_that_a_killed_broker_did_not_flush_is_flushed_before_the_other_is_written_over() {
    const STEPS: u64 = 12;
    const TRIES: u64 = 24;
    let mut stopped = 0;
    for run in 0..TRIES * STEPS * STEPS {
        // What a crash leaves of writes is chance: each pair of steps is tried often.
        let (step, recovery) = (1 + run % STEPS, 1 + run / STEPS % STEPS);
        let world = World::new(run);
        let inner = world.clone();
        world.run_until(async move { append(&inner, &open(&inner, 20_000).await, 6_000).await });
        world.kill();
        // Each checkpoint is more than a sector, and differs from the one before in more than its first.
        let inner = world.clone();
        world.run_until(async move { append(&inner, &open(&inner, 20_000).await, 500).await });
        world.kill();
        for (cut, ends) in [(step, World::kill as fn(&World)), (recovery, World::crash)] {
            world.cut_at(Some(CutAt { step: world.persist_steps() + cut, side: Side::Before }));
            let inner = world.clone();
            let up = world.run_until_cut(async move { drop(open(&inner, 20_000).await) });
            stopped += u64::from(up.is_none());
            ends(&world);
        }
        world.cut_at(None);
        let inner = world.clone();
        let read = world.run_until(async move {
            let shard = open(&inner, 20_000).await;
            shard.read(key(), Offset(0), MIB, true).await.map(|fetched| fetched.bytes)
        });
        assert!(
            read.as_ref().is_ok_and(|bytes| *bytes > 6_000),
            "run {run}, steps {step} and {recovery}: {read:?}"
        );
    }
    assert!(stopped > 100, "only {stopped} starts were cut");
}

/// With `log.cleaner.backoff.ms=0` a cleaner that found nothing to do looked again and again and never let
/// anything else on its core run.
#[test]
fn a_cleaner_that_never_rests_leaves_the_core_to_others() {
    let world = World::new(0);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 20_000).await;
        shard.set_cleaner(CleanerSettings { backoff: Duration::ZERO, ..CleanerSettings::default() });
        let cleaner = shard.clone();
        inner.spawn(async move { cleaner.run_cleaner().await });
        append(&inner, &shard, 100).await;
    });
}

/// The log start went past a segment and its files were gone when the power went; no checkpoint knew. After
/// the start the cleaner came before retention, met a segment without a file, and left the log alone.
#[test]
fn compaction_leaves_segments_below_the_log_start_to_retention() {
    let world = World::new(27);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 20_000).await;
        for _ in 0..10 {
            append(&inner, &shard, 6_000).await;
        }
        // A checkpoint knows all segments.
        shard.close(inner.now()).await.expect("closed");
        let shard = open(&inner, 20_000).await;
        let want = DeleteRecords { key: key(), before: Some(Offset(4)) };
        shard.delete_records(&[want]).await.pop().expect("one answer").expect("deleted");
        shard.housekeep(inner.now()).await;
        assert!(shard.stats().segments_dropped > 0);
    });
    world.crash();
    let inner = world.clone();
    let stats = world.run_until(async move {
        let shard = open(&inner, 20_000).await;
        let compacted = TopicSettings {
            cleanup: Cleanup::Compact,
            segment_bytes: 20_000,
            min_cleanable_dirty_ppm: 0,
            ..TopicSettings::default()
        };
        shard.update(key(), compacted);
        let cleaner = shard.clone();
        inner.spawn(async move { cleaner.run_cleaner().await });
        inner.sleep(Duration::from_millis(500)).await;
        shard.stats()
    });
    assert_eq!((stats.compactions, stats.compaction_errors), (1, 0));
}
