//! What rough weather found in the engine of machines with several cores (`engine/docs/simulator.md`), told again as
//! short scripts.

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{HostedPartition, Recovered, RecoveryError, Shard, ShardSettings, recover};
use engine::config::TopicSettings;
use engine::io::{BLOCK, Disk, FileName, Open};
use engine::record::{BatchBuilder, Codec};
use sim::faults::{CutAt, Side};
use sim::{SimDisk, World};

const MIB: usize = 1 << 20;

/// Journal files of this size are full after a few frames.
const JOURNAL_BYTES: u64 = 64 * 1024;

const CORES: u16 = 2;

/// A partition of each core has its number.
fn partition(core: u16) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index: i32::from(core) }
}

/// One partition for each core.
fn hosted() -> Vec<HostedPartition> {
    let on = |core| HostedPartition {
        key: partition(core),
        core: CoreId(core),
        leader_epoch: LeaderEpoch(0),
        settings: TopicSettings::default(),
    };
    (0..CORES).map(on).collect()
}

/// A start on so many cores.
fn recovered(world: &World, cores: u16) -> Result<Recovered, RecoveryError> {
    let inner = world.clone();
    world.run_until(async move { recover(&inner.disk(8 * MIB), &hosted(), cores, inner.now()).await })
}

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1_000, Some(b"k"), Some(&[5; 600]), &[]);
    builder.finish()
}

/// A machine whose cores took so many frames each, and which lost its power.
fn after_frames(seed: u64, frames: usize) -> World {
    let world = World::new(seed);
    let mut recovered = recovered(&world, CORES).expect("recovery");
    let inner = world.clone();
    world.run_until(async move {
        let mut shards: Vec<Shard<SimDisk>> = Vec::new();
        for core in recovered.cores.drain(..) {
            let settings = ShardSettings {
                journal_bytes: JOURNAL_BYTES,
                journal_bytes_first: JOURNAL_BYTES,
                journal_files: 2,
                ..ShardSettings::default()
            };
            let shard = Shard::open(inner.disk(8 * MIB), core, settings, inner.now()).await.expect("open");
            inner.run_shard(&shard);
            shards.push(shard);
        }
        for _ in 0..frames {
            for (core, shard) in shards.iter().enumerate() {
                let appended = shard.append(inner.now(), partition(core as u16), &batch()).expect("room");
                shard.until_durable(appended.ticket).await.expect("online");
            }
        }
    });
    world.crash();
    world
}

fn end_of(recovered: &Recovered, key: PartitionKey) -> Option<Offset> {
    let mut all = recovered.cores.iter().flat_map(|core| &core.partitions);
    all.find(|(hosted, _)| hosted.key == key).map(|(_, state)| state.segments.end())
}

/// A page of one core's first journal file lands in the same place of another's.
fn stray(world: &World, from: u16, to: u16, page: usize) {
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(8 * MIB);
        let open = |core: u16| FileName::core_dir(CoreId(core)).join("journal-00000000");
        let source = disk.open(&open(from), Open::Existing).await.expect("it is there");
        let target = disk.open(&open(to), Open::Existing).await.expect("it is there");
        let at = (page * BLOCK) as u64;
        let block = disk.read(&source, at, BLOCK).await.expect("it can be read");
        disk.write(&target, at, block).await.expect("it can be written");
        disk.flush(&target).await.expect("it can be flushed");
    });
    world.crash();
}

/// All cores began a life with the same numbers: a frame of one core's journal passed for that of another where it
/// lay over it, and the records there were gone in silence.
#[test]
fn a_frame_of_another_cores_journal_does_not_pass_for_one_of_this() {
    const FRAMES: usize = 5;
    for (from, to) in [(0, 1), (1, 0)] {
        // No flush mark covers the last one.
        for page in 1..FRAMES {
            let world = after_frames(page as u64, FRAMES);
            stray(&world, from, to, page);
            let recovered = recovered(&world, CORES).expect("recovery");
            assert_eq!(recovered.report.frames_damaged, 1, "page {page} of {from}");
            assert_eq!(recovered.report.partitions_damaged, [partition(to)], "page {page} of {from}");
            assert_eq!(
                end_of(&recovered, partition(from)),
                Some(Offset(FRAMES as i64)),
                "page {page} of {from}"
            );
        }
    }
}

/// The same for the header of a file: the first frame stands in for it.
#[test]
fn a_header_of_another_cores_journal_costs_nothing() {
    const FRAMES: usize = 5;
    for (from, to) in [(0, 1), (1, 0)] {
        let world = after_frames(7, FRAMES);
        stray(&world, from, to, 0);
        let recovered = recovered(&world, CORES).expect("recovery");
        assert_eq!(recovered.report.frames_damaged, 0, "{from} to {to}");
        for core in 0..CORES {
            assert_eq!(end_of(&recovered, partition(core)), Some(Offset(FRAMES as i64)), "{from} to {to}");
        }
    }
}

/// A core was no more, and a block of its journal could not be read: the file was kept aside, and its checkpoint, which
/// counted on it, stayed as it was. No start went on any more.
#[test]
fn a_core_that_is_no_more_and_keeps_a_journal_aside_stops_no_start() {
    const FILE: &str = "cores/1/journal-00000000";
    let (mut kept, mut behind) = (0, 0);
    for frames in 8..40 {
        for block in 1..JOURNAL_BYTES / 4096 {
            let world = after_frames(frames as u64, frames);
            let files = world.files(|name| name.starts_with("cores/1/journal-")).len();
            world.faults(|f| drop(f.bad_blocks.insert(FileName::new(FILE), [block].into())));
            let Ok(first) = recovered(&world, 1) else { continue };
            if first.report.passed_over == 0 {
                continue;
            }
            kept += 1;
            behind += u32::from(files > 1);
            world.crash();
            let second =
                recovered(&world, 1).unwrap_or_else(|e| panic!("{frames} frames, block {block}: {e}"));
            assert!(second.report.journals_kept > 0, "{frames} frames, block {block}");
            for core in 0..CORES {
                assert_eq!(end_of(&second, partition(core)), Some(Offset(frames as i64)), "block {block}");
            }
        }
    }
    assert!(kept > 0 && behind > 0, "{kept} files were kept aside, {behind} with another behind");
}

/// A start removes the directory of a core that is no more, and is cut half way: whatever is left of it, the next one
/// goes on.
#[test]
fn a_start_that_is_cut_while_it_removes_a_core_leaves_no_gap() {
    let mut cut = 0;
    for frames in [12, 20, 28] {
        for step in 1..50 {
            let world = after_frames(step, frames);
            world.cut_at(Some(CutAt { step: world.persist_steps() + step, side: Side::Before }));
            let inner = world.clone();
            let first = world.run_until_cut(async move {
                recover(&inner.disk(8 * MIB), &hosted(), 1, inner.now()).await.map(drop)
            });
            cut += u32::from(first.is_none());
            world.crash();
            let second = recovered(&world, 1).unwrap_or_else(|e| panic!("{frames} frames, step {step}: {e}"));
            assert_eq!(second.report.frames_damaged, 0, "{frames} frames, cut before step {step}");
            for core in 0..CORES {
                assert_eq!(end_of(&second, partition(core)), Some(Offset(frames as i64)), "step {step}");
            }
        }
    }
    assert!(cut > 60, "only {cut} starts were cut");
}
