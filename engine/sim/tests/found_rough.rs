//! What rough weather found in the engine (`engine/docs/simulator.md`), told again as short scripts: disks that
//! damage, and starts that are cut short on them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{
    DeleteRecords, HostedPartition, Purpose, Recovered, RecoveryError, Shard, ShardSettings, recover,
};
use engine::config::{Cleanup, TopicSettings};
use engine::io::{DiskOp, DiskResult};
use engine::record::{BatchBuilder, Codec};
use sim::faults::{CutAt, Side};
use sim::{Harm, SimDisk, World};

const MIB: usize = 1 << 20;

/// Journal files of this size are full after a few frames.
const JOURNAL_BYTES: u64 = 64 * 1024;

fn durable() -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index: 0 }
}

fn relaxed() -> PartitionKey {
    PartitionKey { index: 1, ..durable() }
}

/// A durable partition, whose records may be compacted, and a relaxed one.
fn hosted(cleanup: Cleanup) -> [HostedPartition; 2] {
    [(durable(), 1), (relaxed(), 1_000)].map(|(key, flush_messages)| HostedPartition {
        key,
        core: CoreId(0),
        leader_epoch: LeaderEpoch(0),
        settings: TopicSettings {
            flush_messages,
            cleanup,
            segment_bytes: 20_000,
            min_cleanable_dirty_ppm: 0,
            ..TopicSettings::default()
        },
    })
}

async fn start(world: &World, cleanup: Cleanup) -> Result<Recovered, RecoveryError> {
    recover(&world.disk(8 * MIB), &hosted(cleanup), 1, world.now()).await
}

fn recovered(world: &World) -> Result<Recovered, RecoveryError> {
    let inner = world.clone();
    world.run_until(async move { start(&inner, Cleanup::Delete).await })
}

/// A shard with its jobs over what the disk holds.
async fn open(world: &World, cleanup: Cleanup) -> Shard<SimDisk> {
    let mut recovered = start(world, cleanup).await.expect("recovery");
    let settings = ShardSettings {
        journal_bytes: JOURNAL_BYTES,
        journal_bytes_first: JOURNAL_BYTES,
        journal_files: 2,
        ..ShardSettings::default()
    };
    let core = recovered.cores.remove(0);
    let shard = Shard::open(world.disk(8 * MIB), core, settings, world.now()).await.expect("open");
    world.run_shard(&shard);
    shard
}

/// A record with a key that all have.
fn batch(bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1_000, Some(b"k"), Some(&vec![5; bytes]), &[]);
    builder.finish()
}

async fn append(world: &World, shard: &Shard<SimDisk>, key: PartitionKey, bytes: usize) {
    let appended = shard.append(world.now(), key, &batch(bytes)).expect("room");
    shard.until_durable(appended.ticket).await.expect("online");
}

/// A machine that took so many frames of the durable partition, and lost its power.
fn after_frames(seed: u64, frames: usize) -> World {
    let world = World::new(seed);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, Cleanup::Delete).await;
        for _ in 0..frames {
            append(&inner, &shard, durable(), 600).await;
        }
    });
    world.crash();
    world
}

fn end_of(recovered: &Recovered, key: PartitionKey) -> Option<Offset> {
    let (_, state) = recovered.cores[0].partitions.iter().find(|(hosted, _)| hosted.key == key)?;
    Some(state.segments.end())
}

/// Damage in a journal was forgotten when the start that found it was cut between the checkpoints that cover it and
/// the new name of the file.
#[test]
fn a_start_that_is_cut_behind_its_checkpoint_leaves_word_of_the_damage() {
    let mut cut = 0;
    for step in 1..40 {
        let world = after_frames(step, 3);
        assert!(world.harm("cores/0/journal-00000000", 1, Harm::Bit));
        world.cut_at(Some(CutAt { step: world.persist_steps() + step, side: Side::Before }));
        let inner = world.clone();
        let first = world.run_until_cut(async move { start(&inner, Cleanup::Delete).await.map(drop) });
        cut += u64::from(first.is_none());
        world.crash();
        let report = recovered(&world).expect("recovery").report;
        assert!(report.frames_damaged + report.journals_kept > 0, "cut before step {step}: {report:?}");
    }
    assert!(cut > 5, "only {cut} starts were cut");
}

/// The newer checkpoint could not be read, the older one counts on a journal file that is in use again, and another
/// old file still stood before it: frames between them passed for damaged ones, and the start wrote over the newer
/// checkpoint.
#[test]
fn a_start_without_its_newer_checkpoint_ends_where_the_journal_does_not_reach_back() {
    let (mut refused, mut went_on) = (0, 0);
    for frames in 10..60 {
        for slot in 0..2 {
            let world = after_frames(frames as u64, frames);
            if !world.harm(&format!("cores/0/checkpoint-{slot}"), 0, Harm::Bit) {
                continue;
            }
            match recovered(&world) {
                Ok(recovered) => {
                    went_on += 1;
                    assert_eq!(recovered.report.frames_damaged, 0, "{frames} frames, slot {slot}");
                    assert_eq!(end_of(&recovered, durable()), Some(Offset(frames as i64)));
                }
                Err(RecoveryError::JournalGap { .. }) => refused += 1,
                Err(error) => panic!("{frames} frames, slot {slot}: {error}"),
            }
        }
    }
    assert!(refused > 0 && went_on > 0, "{refused} starts were refused, {went_on} went on");
}

/// A frame was damaged by a later one that was put over it. That one verified where it lay, and what came between the
/// two was passed over.
#[test]
fn a_frame_in_the_place_of_an_earlier_one_costs_only_that_one() {
    const FRAMES: usize = 5;
    for seed in 0..60 {
        let world = after_frames(seed, FRAMES);
        assert!(world.harm("cores/0/journal-00000000", 2, Harm::Astray));
        let report = recovered(&world).expect("recovery").report;
        assert_eq!((report.frames_damaged, report.frames), (1, FRAMES as u64 - 1), "seed {seed}");
    }
}

/// Behind a damaged frame one that was never flushed was gone, and one behind that was still there. It was taken, and
/// its partition fenced for the gap.
#[test]
fn behind_a_damaged_frame_the_log_ends_where_it_would_without_the_damage() {
    for seed in 0..200 {
        let world = World::new(seed);
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, Cleanup::Delete).await;
            append(&inner, &shard, durable(), 600).await;
            for _ in 0..4 {
                append(&inner, &shard, relaxed(), 600).await;
            }
        });
        world.crash();
        assert!(world.harm("cores/0/journal-00000000", 1, Harm::Bit));
        let report = recovered(&world).expect("recovery").report;
        assert!(!report.partitions_damaged.contains(&relaxed()), "seed {seed}: {report:?}");
    }
}

/// Records of a relaxed topic were deleted after the journal had moved, and what they were deleted of was lost with
/// the file before: the log start lay behind the end, and the partition was fenced for damage.
#[test]
fn a_relaxed_log_that_ends_below_its_log_start_goes_on_there() {
    let mut lost = 0;
    for seed in 0..160 {
        let world = World::new(seed);
        let inner = world.clone();
        let shard = world.run_until(async move {
            let shard = open(&inner, Cleanup::Delete).await;
            for _ in 0..3 {
                append(&inner, &shard, relaxed(), 600).await;
            }
            shard
        });
        world.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Flush]));
        shard.append(world.now(), durable(), &batch(600)).expect("room");
        while shard.stats().journals_failed == 0 {
            world.pass(Duration::from_micros(50));
        }
        world.faults(|f| f.eio_ppm = 0);
        let (deleting, time) = (shard.clone(), world.clone());
        world.spawn(async move {
            let want = DeleteRecords { key: relaxed(), before: None };
            while deleting.delete_records(std::slice::from_ref(&want)).await.pop().is_none_or(|d| d.is_err())
            {
                time.sleep(Duration::from_millis(1)).await;
            }
        });
        // Before a checkpoint covers what the journal left behind.
        world.cut_at(Some(CutAt { step: world.persist_steps() + 1 + seed % 16, side: Side::Before }));
        world.pass(Duration::from_millis(60));
        drop(shard);
        world.crash();
        let recovered = recovered(&world).expect("recovery");
        assert_eq!(recovered.report.partitions_damaged, [], "seed {seed}");
        let (_, state) =
            &recovered.cores[0].partitions.iter().find(|(h, _)| h.key == relaxed()).expect("hosted");
        assert!(state.log_start <= state.segments.end(), "seed {seed}");
        lost += u64::from(recovered.report.frames_unflushed > 0 && state.log_start == Offset(3));
    }
    assert!(lost > 0, "the log start outlived its records in no run");
}

/// A frame of the journal's file in use lay over the first one of another file. That one passed for the later file,
/// and what came last in the right one was void.
#[test]
fn a_frame_astray_in_another_journal_file_does_not_take_its_place() {
    let (mut tried, frames) = (0, 40);
    for seed in 0..60 {
        let world = after_frames(seed, frames);
        let files = world.files(|name| name.contains("/journal-"));
        if files.len() < 2 {
            continue;
        }
        for (file, _) in &files {
            let world = after_frames(seed, frames);
            assert!(world.harm(file, 1, Harm::Astray));
            tried += 1;
            let recovered = recovered(&world).expect("recovery");
            if recovered.report.frames_damaged == 0 {
                assert_eq!(end_of(&recovered, durable()), Some(Offset(frames as i64)), "seed {seed}, {file}");
            }
        }
    }
    assert!(tried > 60, "only {tried} runs had two files");
}

/// The disk holds these records of one key in closed segments, compacted or about to be.
async fn compacting(world: &World) -> Shard<SimDisk> {
    let shard = open(world, Cleanup::Compact).await;
    for _ in 0..12 {
        append(world, &shard, durable(), 6_000).await;
    }
    world.run_cleaner(&shard);
    shard
}

/// Reads all that is left, to the end.
async fn read_all(shard: &Shard<SimDisk>) -> Result<(), String> {
    let end = shard.bounds(durable()).map_err(|e| e.to_string())?.high_watermark;
    for from in 0..end.0 {
        let read = shard.read(durable(), Offset(from), MIB, true).await;
        read.map_err(|error| format!("at {from}: {error}"))?;
    }
    Ok(())
}

/// A compacted segment was in place, and the checkpoint that said so was damaged: the older one counted on the files
/// that were replaced.
#[test]
fn a_compacted_log_is_read_by_either_checkpoint() {
    for slot in 0..2 {
        let world = World::new(35);
        let inner = world.clone();
        world.run_until(async move {
            let shard = compacting(&inner).await;
            while shard.stats().compactions == 0 {
                inner.sleep(Duration::from_millis(10)).await;
            }
        });
        world.crash();
        assert!(world.harm(&format!("cores/0/checkpoint-{slot}"), 0, Harm::Zeros));
        let inner = world.clone();
        let read = world.run_until(async move {
            let shard = open(&inner, Cleanup::Compact).await;
            read_all(&shard).await
        });
        assert_eq!(read, Ok(()), "without checkpoint {slot}");
    }
}

/// A clean stop took its time while a compacted segment was taking its place. Retention came by, took the new files
/// for left-overs, and removed them.
#[test]
fn retention_leaves_the_files_of_a_swap_that_was_stopped_half_way() {
    let mut half_way = 0;
    for seed in 0..20 {
        let world = World::new(seed);
        let inner = world.clone();
        half_way += world.run_until(async move {
            let shard = compacting(&inner).await;
            inner.faults(|f| (f.eio_ppm, f.eio_ops) = (300_000, vec![DiskOp::Rename]));
            inner.sleep(Duration::from_secs(1)).await;
            inner.faults(|f| f.eio_ppm = 0);
            // The stop waits for this one.
            shard.append(inner.now(), durable(), &batch(600)).expect("room");
            let (closing, time) = (shard.clone(), inner.clone());
            inner.spawn(async move { drop(closing.close(time.now()).await) });
            inner.sleep(Duration::from_micros(10)).await;
            shard.housekeep(inner.now()).await;
            u32::from(shard.stats().compactions == 0)
        });
        world.kill();
        let inner = world.clone();
        let read = world.run_until(async move {
            let shard = open(&inner, Cleanup::Compact).await;
            read_all(&shard).await
        });
        assert_eq!(read, Ok(()), "seed {seed}");
    }
    assert!(half_way > 0);
}

/// A read that could not ask the index began at its segment's start and ran into damage far below the offset, which
/// lay where nobody reads any more. The closer look asked the index, began behind the damage and found none: what
/// the reader wanted is intact, and it was refused.
#[cfg(feature = "buggify")]
#[test]
fn a_reader_without_the_index_comes_past_damage_that_lies_below() {
    let world = World::new(437);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, Cleanup::Delete).await;
        for _ in 0..3 {
            append(&inner, &shard, durable(), 5_000).await;
        }
        drop(shard.close(inner.now()).await);
    });
    world.crash();
    assert!(world.harm(&format!("topics/{}/0/{:020}.log", durable().topic, 0), 0, Harm::Zeros));
    let inner = world.clone();
    let read = world.run_until(async move {
        let shard = open(&inner, Cleanup::Delete).await;
        let mut first = true;
        let once = move |site| site == engine::base::Site::NoHint && std::mem::take(&mut first);
        engine::base::decide(Some(Box::new(once)));
        let read = shard.read(durable(), Offset(2), MIB, true).await.map(|fetched| fetched.bytes > 5_000);
        engine::base::decide(None);
        read.map_err(|error| error.to_string())
    });
    assert_eq!(read, Ok(true));
}

/// The journal moved to another file, and not all frames of the failed one came along: its header calls them void. A
/// start could not read a block behind its frames and kept it aside, and at the next one they came back.
#[test]
fn frames_that_a_kept_journal_calls_void_stay_void() {
    let mut kept = 0;
    for seed in 0..600 {
        let world = World::new(seed);
        let inner = world.clone();
        let shard = world.run_until(async move {
            let shard = open(&inner, Cleanup::Delete).await;
            append(&inner, &shard, durable(), 600).await;
            shard
        });
        world.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Flush]));
        for _ in 0..3 {
            let _ = shard.append(world.now(), durable(), &batch(600));
            world.pass(Duration::from_micros(20));
        }
        while shard.stats().journals_failed == 0 {
            world.pass(Duration::from_micros(50));
        }
        world.faults(|f| f.eio_ppm = 0);
        world.cut_at(Some(CutAt { step: world.persist_steps() + 1 + seed % 12, side: Side::After }));
        world.pass(Duration::from_millis(60));
        drop(shard);
        world.kill();
        let files = world.files(|name| name.contains("/journal-"));
        if files.len() < 2 {
            continue;
        }
        world.faults(|f| (f.eio_ppm, f.eio_ops) = (150_000, vec![DiskOp::Read]));
        let Some(first) = (0..20).find_map(|_| recovered(&world).ok()) else { continue };
        world.faults(|f| f.eio_ppm = 0);
        kept += u64::from(first.report.passed_over > 0);
        world.crash();
        let second = recovered(&world).expect("recovery");
        assert_eq!(end_of(&second, durable()), end_of(&first, durable()), "seed {seed}");
    }
    assert!(kept > 0, "no start kept a file aside");
}

/// How segments can be left: nothing of them is written any more.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// There is no space.
    Full,
    /// An operation fails with EIO.
    Fails(DiskOp),
}

impl Ends {
    fn begin(self, world: &World) {
        let used = world.used();
        world.faults(|f| match self {
            Ends::Full => f.capacity = Some(used),
            Ends::Fails(op) => (f.eio_ppm, f.eio_ops) = (1_000_000, vec![op]),
        });
    }
}

/// How a clean stop ends within so long; `None` if it does not.
fn close_within(world: &World, shard: &Shard<SimDisk>, time: Duration) -> Option<DiskResult<()>> {
    let (closing, now, done) = (shard.clone(), world.now(), Rc::new(Cell::new(None)));
    let closed = done.clone();
    world.spawn(async move { closed.set(Some(closing.close(now).await)) });
    world.pass(time);
    done.take()
}

/// A checkpoint was due and could not be taken, for a partition could not be written. In a stop that try ended at
/// once and woke itself, for ever: nothing else ran on the core.
#[test]
fn a_clean_stop_with_a_partition_that_cannot_be_written_ends() {
    for ends in [Ends::Fails(DiskOp::Open), Ends::Fails(DiskOp::MakeDir)] {
        let world = World::new(778);
        let inner = world.clone();
        let shard = world.run_until(async move { open(&inner, Cleanup::Delete).await });
        world.run_clock(&shard, Duration::from_millis(50));
        ends.begin(&world);
        let mut acknowledged = 0;
        while let Ok(appended) = shard.append(world.now(), durable(), &batch(6_000)) {
            world.pass(Duration::from_millis(200));
            assert!(shard.durable() >= appended.ticket, "{ends:?}: there is room in the journal");
            acknowledged += 1;
        }
        // The stop waits for this one.
        shard.append(world.now(), relaxed(), &batch(600)).expect("room");
        let closed = close_within(&world, &shard, Duration::from_secs(15));
        assert!(matches!(closed, Some(Err(_))), "{ends:?}: {closed:?}");
        drop(shard);
        world.crash();
        world.faults(|f| f.eio_ppm = 0);
        let recovered = recovered(&world).expect("recovery");
        assert_eq!(end_of(&recovered, durable()), Some(Offset(acknowledged)), "{ends:?}");
    }
}

/// The journal was full and the segments could not be written, so no checkpoint freed a file of it. A clean stop
/// waited for its last frame for ever.
#[test]
fn a_clean_stop_ends_where_the_journal_is_full_and_no_segment_can_be_written() {
    for ends in [Ends::Full, Ends::Fails(DiskOp::Open), Ends::Fails(DiskOp::MakeDir)] {
        let world = World::new(1634);
        let inner = world.clone();
        let shard = world.run_until(async move { open(&inner, Cleanup::Delete).await });
        world.run_clock(&shard, Duration::from_millis(50));
        ends.begin(&world);
        // One that could not be written refuses more, so each append has its own; and producers are refused sooner.
        let [some, _] = hosted(Cleanup::Delete);
        let numbered = |index| HostedPartition { key: PartitionKey { index, ..durable() }, ..some.clone() };
        let mut acknowledged = Vec::new();
        for index in 2.. {
            shard.create(numbered(index));
            let appended = shard
                .append_for(Purpose::Commit, world.now(), numbered(index).key, &batch(6_000))
                .expect("room");
            world.pass(Duration::from_millis(200));
            if shard.durable() < appended.ticket {
                break;
            }
            acknowledged.push(numbered(index));
        }
        assert!(acknowledged.len() > 5, "{ends:?}: {} frames fill the journal", acknowledged.len());
        let closed = close_within(&world, &shard, Duration::from_secs(15));
        assert!(matches!(closed, Some(Err(_))), "{ends:?}: {closed:?}");
        drop(shard);
        world.crash();
        world.faults(|f| (f.capacity, f.eio_ppm) = (None, 0));
        let inner = world.clone();
        let recovered = world
            .run_until(async move { recover(&inner.disk(8 * MIB), &acknowledged, 1, inner.now()).await })
            .expect("recovery");
        for (partition, state) in &recovered.cores[0].partitions {
            assert_eq!(state.segments.end(), Offset(1), "{ends:?}: {}", partition.key);
        }
    }
}

/// The same with a frame that fits no journal file that is there, and no larger one to be had.
#[test]
fn a_clean_stop_ends_where_no_journal_file_can_be_made_for_its_last_frame() {
    for ends in [Ends::Full, Ends::Fails(DiskOp::Allocate)] {
        let world = World::new(1634);
        let inner = world.clone();
        let shard = world.run_until(async move {
            let shard = open(&inner, Cleanup::Delete).await;
            append(&inner, &shard, durable(), 600).await;
            shard
        });
        world.run_clock(&shard, Duration::from_millis(50));
        ends.begin(&world);
        for _ in 0..5 {
            shard.append(world.now(), durable(), &batch(15_000)).expect("room");
        }
        let closed = close_within(&world, &shard, Duration::from_secs(15));
        assert!(matches!(closed, Some(Err(_))), "{ends:?}: {closed:?}");
        drop(shard);
        world.crash();
        world.faults(|f| (f.capacity, f.eio_ppm) = (None, 0));
        assert!(end_of(&recovered(&world).expect("recovery"), durable()) >= Some(Offset(1)), "{ends:?}");
    }
}

/// Nothing could be written at all: the stop ended, and passed for a clean one.
#[test]
fn a_stop_that_gives_up_the_last_frame_is_not_a_clean_one() {
    let world = World::new(1634);
    let inner = world.clone();
    let shard = world.run_until(async move { open(&inner, Cleanup::Delete).await });
    world.run_clock(&shard, Duration::from_millis(50));
    Ends::Fails(DiskOp::Write).begin(&world);
    shard.append(world.now(), durable(), &batch(600)).expect("room");
    let closed = close_within(&world, &shard, Duration::from_secs(15));
    assert!(matches!(closed, Some(Err(_))), "{closed:?}");
}

/// A broker was killed before its last frame was flushed. The next start read the frame from the cache and readers
/// were shown it; the power took it from the journal, damage took the new checkpoint, and it was gone in silence.
#[test]
fn what_a_start_reads_of_a_killed_broker_stands_in_the_journal_too() {
    let (mut slow, mut held) = (0, 0);
    for seed in 0..40 {
        let world = after_frames(seed, 3);
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, Cleanup::Delete).await;
            append(&inner, &shard, durable(), 600).await;
            shard.append(inner.now(), durable(), &batch(600)).expect("room");
            inner.sleep(Duration::from_micros(100)).await;
        });
        world.kill();
        let first = recovered(&world).expect("recovery");
        let end = end_of(&first, durable());
        slow += u64::from(end == Some(Offset(5)));
        world.crash();
        let newest = first.cores[0].checkpoint_generation % 2;
        assert!(world.harm(&format!("cores/0/checkpoint-{newest}"), 0, Harm::Bit));
        match recovered(&world) {
            Ok(second) => {
                held += 1;
                assert_eq!(end_of(&second, durable()), end, "seed {seed}");
            }
            Err(RecoveryError::JournalGap { .. }) => {}
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(slow > 0 && held > 0, "{slow} last frames were read, {held} starts went on");
}

/// A journal file was kept aside, and then the newest checkpoint could not be read: the older one counted on that
/// file, and what it had held was gone in silence.
#[test]
fn a_journal_that_is_kept_aside_is_in_both_checkpoints() {
    for seed in 0..20 {
        let world = after_frames(seed, 4);
        assert!(world.harm("cores/0/journal-00000000", 3, Harm::Bit));
        let first = recovered(&world).expect("recovery");
        assert_eq!(first.report.frames_damaged, 1, "seed {seed}");
        world.crash();
        let newest = first.cores[0].checkpoint_generation % 2;
        assert!(world.harm(&format!("cores/0/checkpoint-{newest}"), 0, Harm::Bit));
        let second = recovered(&world).expect("recovery");
        assert!(second.report.journals_kept > 0, "seed {seed}");
        assert_eq!(end_of(&second, durable()), end_of(&first, durable()), "seed {seed}");
    }
}
