//! Several journal frames on their way to the disk at once, and what a power cut, a failure, a change
//! of the journal file and a relaxed topic do between them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{
    AppendError, HostedPartition, Offline, RecoveryReport, Shard, ShardSettings, Ticket, recover,
};
use engine::config::TopicSettings;
use engine::io::DiskOp;
use engine::record::{BatchBuilder, BatchHeader, Codec};
use sim::{SimDisk, World};

const SEEDS: u64 = 120;
const POOL: usize = 8 << 20;
const JOURNAL: u64 = 128 * 1024;

/// The partition of a durable topic, and that of a relaxed one.
const DURABLE: i32 = 0;
const RELAXED: i32 = 1;

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index }
}

fn hosted() -> Vec<HostedPartition> {
    let part = |index, flush_messages| HostedPartition {
        key: key(index),
        core: CoreId(0),
        leader_epoch: LeaderEpoch(0),
        settings: TopicSettings { flush_messages, ..TopicSettings::default() },
    };
    vec![part(DURABLE, 1), part(RELAXED, u64::MAX)]
}

/// A shard whose frames never wait for each other.
async fn open(world: &World) -> (Shard<SimDisk>, RecoveryReport) {
    let settings = ShardSettings {
        journal_bytes: JOURNAL,
        journal_bytes_first: JOURNAL,
        frame_bytes_early: 0,
        ..ShardSettings::default()
    };
    let disk = world.disk(POOL);
    let mut recovered = recover(&disk, &hosted(), 1, world.now()).await.expect("recovery");
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    for part in hosted().iter().filter(|part| shard.bounds(part.key).is_err()) {
        shard.create(part.clone());
    }
    world.run_shard(&shard);
    (shard, recovered.report)
}

fn batch(fill: u8, bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1000, None, Some(&vec![fill; bytes]), &[]);
    builder.finish()
}

/// Appends and lets the commit take it: what comes next goes into another frame.
async fn put(world: &World, shard: &Shard<SimDisk>, index: i32, fill: u8) -> Ticket {
    let appended = shard.append(world.now(), key(index), &batch(fill, 5000)).expect("room");
    world.sleep(Duration::from_nanos(1)).await;
    appended.ticket
}

/// The fills of a partition's batches, in order.
async fn fills(shard: &Shard<SimDisk>, index: i32) -> Vec<u8> {
    let (mut found, mut next) = (Vec::new(), 0);
    while next < shard.bounds(key(index)).expect("hosted").high_watermark.0 {
        let fetched = shard.read(key(index), Offset(next), 1 << 20, true).await.expect("readable");
        let bytes: Vec<u8> = fetched.slices.iter().flat_map(|slice| slice.to_vec()).collect();
        let mut rest = &bytes[..];
        while let Some(header) = BatchHeader::peek(rest) {
            let (whole, behind) = rest.split_at(header.total_bytes().expect("a length"));
            found.push(whole[whole.len() - 2]);
            next = header.last_offset().0 + 1;
            rest = behind;
        }
    }
    found
}

/// Cuts the power and recovers.
fn after_crash(world: &World) -> (Vec<u8>, Vec<u8>, RecoveryReport) {
    world.crash();
    let w = world.clone();
    let (durable, relaxed, report) = world.run_until(async move {
        let (shard, report) = open(&w).await;
        (fills(&shard, DURABLE).await, fills(&shard, RELAXED).await, report)
    });
    assert_eq!((report.frames_damaged, report.partitions_damaged.len()), (0, 0), "a power cut is no damage");
    (durable, relaxed, report)
}

/// Lets a frame hang with `partitions` waiting for the writer, appends twice what lets the open frame leave early
/// with few, and returns how many frames had left beside it after each.
fn overlaps(partitions: i32) -> [u64; 2] {
    const EARLY: usize = 64 * 1024;
    let world = World::new(1);
    let w = world.clone();
    world.run_until(async move {
        let settings = ShardSettings { frame_bytes_early: EARLY, ..ShardSettings::default() };
        let disk = w.disk(4 * POOL);
        let mut recovered = recover(&disk, &[], 1, w.now()).await.expect("recovery");
        let shard = Shard::open(disk, recovered.cores.remove(0), settings, w.now()).await.expect("open");
        for index in 0..partitions {
            shard.create(HostedPartition { key: key(index), ..hosted().remove(0) });
        }
        w.run_shard(&shard);
        for index in 0..partitions {
            let ticket = put(&w, &shard, index, 1).await;
            shard.until_durable(ticket).await.expect("online");
        }
        let hangs = w.counters().ops + 1;
        w.faults(|f| f.stall_at = [hangs].into());
        put(&w, &shard, 0, 2).await;
        let before = shard.stats().commits_overlapped;
        let mut left = [0; 2];
        for beside in &mut left {
            shard.append(w.now(), key(0), &batch(3, EARLY)).expect("room");
            w.sleep(Duration::from_nanos(1)).await;
            *beside = shard.stats().commits_overlapped - before;
        }
        left
    })
}

#[test]
fn a_frame_leaves_early_and_later_when_many_partitions_wait_for_the_writer() {
    assert_eq!(overlaps(32)[0], 1);
    assert_eq!(overlaps(33), [0, 1]);
}

#[test]
fn a_frame_behind_one_that_hangs_is_not_acknowledged_and_void_after_a_power_cut() {
    let (mut void, mut all) = (0, 0);
    for seed in 0..SEEDS {
        let world = World::new(seed);
        let w = world.clone();
        world.run_until(async move {
            let (shard, _) = open(&w).await;
            let first = put(&w, &shard, DURABLE, 1).await;
            shard.until_durable(first).await.expect("online");
            let hangs = w.counters().ops + 1;
            w.faults(|f| f.stall_at = [hangs].into());
            let (second, third) = (put(&w, &shard, DURABLE, 2).await, put(&w, &shard, DURABLE, 3).await);
            assert!(third > second, "two frames");
            w.sleep(Duration::from_secs(1)).await;
            assert_eq!(shard.durable(), first, "acknowledged in order");
            assert_eq!(shard.stats().commits_overlapped, 1);
            assert_eq!(fills(&shard, DURABLE).await, [1], "visible in order");
        });
        let (left, _, report) = after_crash(&world);
        assert!([1, 2, 3].starts_with(&left) && !left.is_empty(), "seed {seed}: {left:?}");
        void += usize::from(left.len() == 1 && report.torn);
        all += usize::from(left.len() == 3);
    }
    assert!(void > 10 && all > 10, "the third frame was void {void} times and counted {all} times");
}

#[test]
fn a_failed_write_or_flush_moves_what_is_in_flight_to_another_file() {
    // Both frames' writes come first, then both flushes, in either order.
    for (seed, failing) in (0..SEEDS).flat_map(|seed| (1..5).map(move |nth| (seed, nth))) {
        let world = World::new(seed);
        let w = world.clone();
        world.run_until(async move {
            let (shard, _) = open(&w).await;
            let first = put(&w, &shard, DURABLE, 1).await;
            shard.until_durable(first).await.expect("online");
            let fails = w.counters().ops + failing;
            w.faults(|f| f.eio_at = [fails].into());
            let (second, third) = (put(&w, &shard, DURABLE, 2).await, put(&w, &shard, DURABLE, 3).await);
            shard.until_durable(second).await.expect("another file took it");
            shard.until_durable(third).await.expect("another file took it");
            assert_eq!((shard.is_offline(), shard.stats().journals_failed), (false, 1));
            let fourth = put(&w, &shard, DURABLE, 4).await;
            shard.until_durable(fourth).await.expect("online");
            assert_eq!(fills(&shard, DURABLE).await, [1, 2, 3, 4]);
        });
        let (left, _, _) = after_crash(&world);
        assert_eq!(left, [1, 2, 3, 4], "seed {seed} operation {failing}");
    }
}

#[test]
fn a_durable_frame_makes_the_relaxed_frames_before_it_durable() {
    let mut behind = 0;
    for seed in 0..SEEDS {
        let world = World::new(seed);
        let w = world.clone();
        world.run_until(async move {
            let (shard, _) = open(&w).await;
            let written = put(&w, &shard, RELAXED, 1).await;
            shard.until_durable(written).await.expect("written");
            put(&w, &shard, RELAXED, 2).await;
            let durable = put(&w, &shard, DURABLE, 3).await;
            put(&w, &shard, RELAXED, 4).await;
            shard.until_durable(durable).await.expect("online");
        });
        let (durable, relaxed, _) = after_crash(&world);
        assert_eq!(durable, [3], "seed {seed}");
        assert!([1, 2, 4].starts_with(&relaxed) && relaxed.len() >= 2, "seed {seed}: {relaxed:?}");
        behind += usize::from(relaxed.len() == 2);
    }
    assert!(behind > 10, "what came behind it was lost {behind} times");
}

#[test]
fn a_failed_flush_over_relaxed_frames_acknowledges_nothing_behind_it() {
    for seed in 0..SEEDS {
        let world = World::new(seed);
        let w = world.clone();
        world.run_until(async move {
            let (shard, _) = open(&w).await;
            let relaxed = put(&w, &shard, RELAXED, 1).await;
            shard.until_durable(relaxed).await.expect("written");
            w.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Flush]));
            let (second, third) = (put(&w, &shard, DURABLE, 2).await, put(&w, &shard, RELAXED, 3).await);
            assert_eq!(shard.until_durable(second).await, Err(Offline));
            assert_eq!(shard.until_durable(third).await, Err(Offline));
            w.faults(|f| f.eio_ppm = 0);
        });
        let (durable, relaxed, _) = after_crash(&world);
        assert!(
            relaxed != [3] && relaxed != [1, 3] || durable == [2],
            "seed {seed}: {durable:?} {relaxed:?}"
        );
    }
}

/// The header of the next file said that everything before it was flushed: what relaxed topics had only written
/// was fenced as damage when the power took it.
#[test]
fn relaxed_frames_that_a_failed_file_held_end_their_log_and_are_no_damage() {
    let (mut lost, mut cut_short) = (0, 0);
    for (seed, failing) in (0..SEEDS).flat_map(|seed| (1..3).map(move |nth| (seed, nth))) {
        let world = World::new(seed);
        let w = world.clone();
        world.run_until(async move {
            let (shard, _) = open(&w).await;
            put(&w, &shard, RELAXED, 1).await;
            let flushed = put(&w, &shard, DURABLE, 2).await;
            shard.until_durable(flushed).await.expect("online");
            for fill in [3, 4] {
                let written = put(&w, &shard, RELAXED, fill).await;
                shard.until_durable(written).await.expect("written");
            }
            let fails = w.counters().ops + failing;
            w.faults(|f| f.eio_at = [fails].into());
            let moved = put(&w, &shard, DURABLE, 5).await;
            shard.until_durable(moved).await.expect("another file took it");
            assert_eq!(shard.stats().journals_failed, 1);
            // In the other file, and there to stay, but behind what may be gone.
            put(&w, &shard, RELAXED, 6).await;
            let last = put(&w, &shard, DURABLE, 7).await;
            shard.until_durable(last).await.expect("online");
        });
        let (durable, relaxed, report) = after_crash(&world);
        assert_eq!(durable, [2, 5, 7], "seed {seed} operation {failing}");
        let prefix = [1, 3, 4, 6].starts_with(&relaxed) && !relaxed.is_empty();
        assert!(prefix, "seed {seed} operation {failing}: {relaxed:?}");
        lost += usize::from(report.frames_unflushed > 0);
        cut_short += usize::from(relaxed.len() < 3);
        // It takes appends where it ends.
        let w = world.clone();
        let more = world.run_until(async move {
            let (shard, _) = open(&w).await;
            let ticket = put(&w, &shard, RELAXED, 8).await;
            shard.until_durable(ticket).await.expect("written");
            fills(&shard, RELAXED).await
        });
        assert_eq!(more, [&relaxed[..], &[8]].concat());
    }
    assert!(lost > 20 && cut_short > 20, "{lost} {cut_short}");
}

#[test]
fn files_change_under_frames_in_flight_and_a_power_cut_finds_what_was_acknowledged() {
    let (mut overlapped, mut files) = (0, 0);
    for seed in 0..SEEDS {
        let world = World::new(seed);
        let w = world.clone();
        let (shard, _) = world.run_until(async move { open(&w).await });
        let acknowledged = Rc::new(RefCell::new(Vec::new()));
        for producer in 0..6_u8 {
            let (w, shard, acknowledged) = (world.clone(), shard.clone(), acknowledged.clone());
            world.spawn(async move {
                for turn in 0..20 {
                    let fill = producer * 20 + turn;
                    let appended = loop {
                        match shard.append(w.now(), key(DURABLE), &batch(fill, 9000)) {
                            Ok(appended) => break appended,
                            Err(AppendError::NoRoom) => shard.room().await,
                            Err(error) => panic!("{error}"),
                        }
                    };
                    shard.until_durable(appended.ticket).await.expect("online");
                    acknowledged.borrow_mut().push((appended.base_offset.0, fill));
                }
            });
        }
        world.run_steps(200 + seed * 17);
        overlapped += shard.stats().commits_overlapped;
        files += shard.stats().journal_bytes / JOURNAL;
        let (left, _, _) = after_crash(&world);
        for (offset, fill) in acknowledged.borrow().iter() {
            assert_eq!(left.get(*offset as usize), Some(fill), "seed {seed}: offset {offset}");
        }
    }
    assert!(overlapped > SEEDS && files > SEEDS, "{overlapped} frames overlapped, {files} files were filled");
}
