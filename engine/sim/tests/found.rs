//! What the simulator found in the engine (`engine/docs/simulator.md`), told again as short scripts that
//! stay when its seeds mean something else.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{
    DeleteRecords, HostedPartition, Recovered, RecoveryError, ScrubLimits, Shard, ShardSettings, recover,
};
use engine::config::{CleanerSettings, Cleanup, TopicSettings};
use engine::io::{BLOCK, Disk, DiskOp, FileName, Open};
use engine::record::{BatchBuilder, BatchHeader, Codec};
use sim::faults::{CutAt, Side};
use sim::{Harm, SimDisk, World};

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

/// What the disk holds, with the partition on the last of as many cores as that needs.
async fn recovered_on(world: &World, segment_bytes: u32, core: CoreId) -> Result<Recovered, RecoveryError> {
    let settings = TopicSettings { segment_bytes, retention_ms: Some(HOUR_MS), ..TopicSettings::default() };
    let hosted = HostedPartition { key: key(), core, leader_epoch: LeaderEpoch(0), settings };
    recover(&world.disk(8 * MIB), &[hosted], core.0 + 1, world.now()).await
}

/// As `open`, with the partition on the last of as many cores as that needs.
async fn open_on(world: &World, segment_bytes: u32, core: CoreId) -> Shard<SimDisk> {
    let disk = world.disk(8 * MIB);
    let mut recovered = recovered_on(world, segment_bytes, core).await.expect("recovery");
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

/// It stood in one checkpoint of its new core and in none of the old one's any more when the start was cut, and that
/// one could not be read.
#[test]
fn a_partition_that_moves_is_there_without_any_one_checkpoint_of_its_new_core() {
    let (mut stopped, mut harmed, mut refused) = ([0, 0], 0, 0);
    for (first, second) in (1..48).flat_map(|first| [0, 5, 9, 13, 17, 21].map(|second| (first, second))) {
        for slot in 0..2 {
            let world = World::new(6413 + first);
            let inner = world.clone();
            world.run_until(async move { append(&inner, &open(&inner, 20_000).await, 6_000).await });
            world.kill();
            for (number, step) in [first, second].into_iter().enumerate().filter(|(_, step)| *step > 0) {
                world.cut_at(Some(CutAt { step: world.persist_steps() + step, side: Side::After }));
                let inner = world.clone();
                let up = world.run_until_cut(async move { drop(open_on(&inner, 20_000, CoreId(1)).await) });
                stopped[number] += u64::from(up.is_none());
                world.crash();
            }
            let bad = format!("cores/1/checkpoint-{slot}");
            if world.files(|name| name == bad).iter().any(|(_, bytes)| !bytes.is_empty()) {
                harmed += u64::from(world.harm(&bad, 0, Harm::Bit));
            }
            let inner = world.clone();
            match world.run_until(async move { recovered_on(&inner, 20_000, CoreId(1)).await }) {
                Ok(recovered) => {
                    let (_, state) = &recovered.cores[1].partitions[0];
                    assert_eq!(
                        state.segments.end(),
                        Offset(1),
                        "cut at {first} and {second}, without {slot}"
                    );
                }
                // The power cut tore the other one.
                Err(RecoveryError::NoCheckpoint(_)) => refused += 1,
                Err(error) => panic!("cut at {first} and {second}, without {slot}: {error}"),
            }
        }
    }
    assert!(stopped[0] > 200 && stopped[1] > 100, "{stopped:?} recoveries were cut");
    assert!(harmed > 200 && refused < harmed / 4, "{refused} of {harmed} were refused");
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

/// A machine that lost its power once records were deleted and their segments' files gone. No checkpoint knows.
fn after_deleted_segments(seed: u64) -> World {
    let world = World::new(seed);
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
    world
}

/// The log start went past a segment and its files were gone when the power went; no checkpoint knew. After
/// the start the cleaner came before retention, met a segment without a file, and left the log alone.
#[test]
fn compaction_leaves_segments_below_the_log_start_to_retention() {
    let world = after_deleted_segments(27);
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

/// As above, but the scrub came before retention: it listed the segments as damage, though nobody reads them.
#[test]
fn a_scrub_takes_no_segment_below_the_log_start_for_damage() {
    let world = after_deleted_segments(1);
    let inner = world.clone();
    let (report, damages) = world.run_until(async move {
        let shard = open(&inner, 20_000).await;
        shard.set_scrub(ScrubLimits { bytes_per_second: 64 << 20, interval_ms: 1_000_000 });
        inner.run_clock(&shard, Duration::from_millis(20));
        inner.sleep(Duration::from_secs(2)).await;
        (shard.scrub_report(), shard.damages())
    });
    assert!(report.pass == 1 && !report.under_way && report.checked > 0, "{report:?}");
    assert_eq!((report.damaged, damages), (0, Vec::new()));
}

/// What a relaxed topic wrote is acknowledged before any flush. Then a flush fails and the journal moves: its new
/// file vouched for all before it, and what the power cut took of that looked like damage.
#[test]
fn a_journal_that_moves_vouches_for_nothing_that_was_not_flushed() {
    let relaxed = PartitionKey { index: 1, ..key() };
    let hosted = [(key(), 1), (relaxed, 1_000)].map(|(key, flush_messages)| HostedPartition {
        key,
        core: CoreId(0),
        leader_epoch: LeaderEpoch(0),
        settings: TopicSettings { flush_messages, ..TopicSettings::default() },
    });
    for seed in 0..60 {
        let world = World::new(seed);
        let (inner, before) = (world.clone(), hosted.clone());
        world.run_until(async move {
            let disk = inner.disk(8 * MIB);
            let mut recovered = recover(&disk, &before, 1, inner.now()).await.expect("recovery");
            let core = recovered.cores.remove(0);
            let shard = Shard::open(disk, core, ShardSettings::default(), inner.now()).await.expect("open");
            let (commits, writer, clock, time) = (shard.clone(), shard.clone(), shard.clone(), inner.clone());
            inner.spawn(async move { commits.run_commits().await });
            inner.spawn(async move { writer.run_writer().await });
            inner.spawn(async move {
                loop {
                    time.sleep(Duration::from_millis(20)).await;
                    clock.tick(time.now());
                }
            });
            let appended = shard.append(inner.now(), relaxed, &batch(1_000, 600)).expect("room");
            shard.until_durable(appended.ticket).await.expect("online");
            inner.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Flush]));
            let appended = shard.append(inner.now(), key(), &batch(1_000, 600)).expect("room");
            while shard.stats().journals_failed == 0 {
                inner.sleep(Duration::from_millis(1)).await;
            }
            inner.faults(|f| f.eio_ppm = 0);
            while shard.until_durable(appended.ticket).await.is_err() {
                inner.sleep(Duration::from_millis(20)).await;
            }
        });
        world.crash();
        let (inner, after) = (world.clone(), hosted.clone());
        let recovered = world.run_until(async move {
            recover(&inner.disk(8 * MIB), &after, 1, inner.now()).await.expect("recovery")
        });
        assert_eq!(recovered.report.frames_damaged, 0, "seed {seed}: nothing was damaged");
        assert_eq!(recovered.report.partitions_damaged, [], "seed {seed}");
        let durable = recovered.cores[0].partitions.iter().find(|(hosted, _)| hosted.key == key());
        assert_eq!(durable.map(|(_, state)| state.segments.end()), Some(Offset(1)), "seed {seed}");
    }
}

/// A broker is killed while its journal moves: the next start reads from the cache that a frame is void. The power
/// took the header that said so, and the frame came back under offsets that were free again.
#[test]
fn what_a_start_found_void_does_not_come_back_with_the_next() {
    const STEPS: u64 = 8;
    const TRIES: u64 = 40;
    let mut stopped = 0;
    for run in 0..TRIES * STEPS {
        let world = World::new(run);
        let inner = world.clone();
        let shard = world.run_until(async move {
            let shard = open(&inner, 20_000).await;
            append(&inner, &shard, 600).await;
            shard
        });
        world.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Flush]));
        shard.append(world.now(), key(), &batch(1_000, 600)).expect("room");
        while shard.stats().journals_failed == 0 {
            world.pass(Duration::from_micros(50));
        }
        world.faults(|f| f.eio_ppm = 0);
        world.cut_at(Some(CutAt { step: world.persist_steps() + 1 + run % STEPS, side: Side::Before }));
        world.pass(Duration::from_millis(60));
        stopped += u64::from(world.is_cut());
        world.kill();
        drop(shard);
        let end = |world: &World| {
            let inner = world.clone();
            world.run_until(async move { open(&inner, 20_000).await.bounds(key()).expect("hosted") })
        };
        let told = end(&world).high_watermark;
        world.crash();
        assert_eq!(end(&world).high_watermark, told, "run {run}");
    }
    assert!(stopped > 20, "only {stopped} moves were cut");
}

/// Records that were deleted are damaged, and share a segment with records that were not: readers of those come by.
#[test]
fn damage_below_the_log_start_keeps_no_reader_from_what_is_above_it() {
    for page in [0, 1] {
        let world = World::new(211);
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, 60_000).await;
            for _ in 0..6 {
                append(&inner, &shard, 6_000).await;
            }
            let want = DeleteRecords { key: key(), before: Some(Offset(2)) };
            shard.delete_records(&[want]).await.pop().expect("one answer").expect("deleted");
            shard.close(inner.now()).await.expect("closed");
        });
        world.crash();
        let segment = world.files(|name| name.ends_with(".log")).remove(0).0;
        assert!(world.harm(&segment, page, Harm::Zeros));
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, 60_000).await;
            for from in 2..6 {
                let read = shard.read(key(), Offset(from), 10_000, true).await.map(|fetched| fetched.bytes);
                assert!(read.as_ref().is_ok_and(|bytes| *bytes > 6_000), "page {page}, at {from}: {read:?}");
            }
        });
    }
}

/// The header of a journal file was lost, as if the file had never been used: its frames were passed over.
#[test]
fn a_journal_file_whose_header_was_lost_is_read_all_the_same() {
    let world = World::new(7);
    let inner = world.clone();
    world.run_until(async move { append(&inner, &open(&inner, 20_000).await, 600).await });
    world.crash();
    assert!(world.harm("cores/0/journal-00000000", 0, Harm::Zeros));
    let inner = world.clone();
    let end = world.run_until(async move { open(&inner, 20_000).await.bounds(key()).expect("hosted") });
    assert_eq!(end.high_watermark, Offset(1));
}

/// Damage in a journal is told by the start that finds it, and that start may be cut short. And the file that it
/// keeps aside went with the directory of a core that is no more.
#[test]
fn a_journal_that_is_kept_for_its_damage_stays_and_every_start_tells_of_it() {
    let world = World::new(218);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open_on(&inner, 20_000, CoreId(1)).await;
        for _ in 0..3 {
            append(&inner, &shard, 600).await;
        }
    });
    world.crash();
    assert!(world.harm("cores/1/journal-00000000", 1, Harm::Bit));
    let mut told = Vec::new();
    for _ in 0..3 {
        let inner = world.clone();
        let report = world.run_until(async move {
            let settings = TopicSettings::default();
            let hosted =
                HostedPartition { key: key(), core: CoreId(0), leader_epoch: LeaderEpoch(0), settings };
            recover(&inner.disk(8 * MIB), &[hosted], 1, inner.now()).await.expect("recovery").report
        });
        told.push((report.frames_damaged, report.journals_kept));
        world.crash();
    }
    assert_eq!(told, [(1, 0), (0, 1), (0, 1)]);
    assert_eq!(world.files(|name| name.contains("damaged-journal-")).len(), 1);
}

/// An entry of an index was damaged and led behind the end of the segment. That passed for the place of records that
/// compaction took, and the reader went on with the next segment: intact records were passed over, in silence.
#[test]
fn an_index_that_leads_behind_the_end_of_its_segment_is_not_followed() {
    const BATCHES: i64 = 60;
    let index = format!("topics/{}/0/{:020}.index", key().topic, 0);
    for seed in 0..150 {
        let world = World::new(seed);
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, 20_000).await;
            for _ in 0..BATCHES {
                append(&inner, &shard, 600).await;
            }
            shard.close(inner.now()).await.expect("closed");
        });
        world.crash();
        assert!(world.harm(&index, 0, Harm::Bit), "there is one");
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, 20_000).await;
            for from in 0..BATCHES {
                let read = shard.read(key(), Offset(from), MIB, true).await.expect("intact");
                let header = read.slices.first().and_then(|slice| BatchHeader::peek(slice)).expect("a batch");
                assert_eq!(header.base_offset(), Offset(from), "seed {seed}");
            }
        });
    }
}

/// A bit flips in a block of a file.
async fn flip(world: &World, name: &FileName, at: u64, bit: u8) {
    let disk = world.disk(8 * MIB);
    let file = disk.open(name, Open::Existing).await.expect("it is there");
    let start = at / BLOCK as u64 * BLOCK as u64;
    let mut buffer = disk.take(BLOCK).expect("memory");
    buffer[..BLOCK].copy_from_slice(&disk.read(&file, start, BLOCK).await.expect("it can be read"));
    buffer[(at - start) as usize] ^= 1 << bit;
    disk.write(&file, start, disk.seal(buffer, BLOCK)).await.expect("it can be written");
    disk.flush(&file).await.expect("it can be flushed");
}

/// A bit of a batch's base offset was damaged, which its checksum does not cover, and it still seemed to hold the
/// offset that a reader had come to: it was given its records under wrong offsets, in silence.
#[test]
fn a_batch_whose_base_offset_is_damaged_is_given_to_nobody() {
    const RECORDS: i64 = 5;
    const BATCHES: i64 = 12;
    let log = FileName::partition_dir(key()).join(format_args!("{:020}.log", 0));
    let mut builder = BatchBuilder::new(Codec::None);
    (0..RECORDS).for_each(|_| builder.push(1_000, None, Some(&[5; 120]), &[]));
    let batch = builder.finish();
    for (damaged, bit) in (0..BATCHES).flat_map(|damaged| (0..6).map(move |bit| (damaged, bit))) {
        let world = World::new(31_029);
        let (inner, log, batch) = (world.clone(), log.clone(), batch.clone());
        world.run_until(async move {
            let shard = open(&inner, 20_000).await;
            for _ in 0..BATCHES {
                let appended = shard.append(inner.now(), key(), &batch).expect("room");
                shard.until_durable(appended.ticket).await.expect("online");
            }
            shard.close(inner.now()).await.expect("closed");
            flip(&inner, &log, damaged as u64 * batch.len() as u64 + 7, bit).await;
        });
        world.crash();
        // One after the other, and each as the first that a reader asks for.
        let forth: Vec<i64> = (0..RECORDS * BATCHES).collect();
        let back: Vec<i64> = forth.iter().rev().copied().collect();
        for order in [forth, back] {
            let inner = world.clone();
            let given = world.run_until(async move {
                let shard = open(&inner, 20_000).await;
                let mut given = Vec::new();
                for from in order {
                    let Ok(read) = shard.read(key(), Offset(from), 1, true).await else { continue };
                    let header =
                        read.slices.first().and_then(|slice| BatchHeader::peek(slice)).expect("a batch");
                    given.push((from, header.base_offset().0));
                }
                given
            });
            world.crash();
            for (from, base) in &given {
                assert_eq!(*base, from - from % RECORDS, "batch {damaged}, bit {bit}, read at {from}");
            }
            assert!(given.iter().all(|(from, _)| from / RECORDS != damaged), "batch {damaged}, bit {bit}");
            // It, and its neighbours up to the next that the index names.
            assert!(given.len() as i64 >= RECORDS * (BATCHES - 6), "batch {damaged}, bit {bit}: {given:?}");
        }
    }
}
