//! A disk that fails under a checkpoint: its flush of segments, and the write of its own file.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{AppendError, HostedPartition, Offline, Shard, ShardSettings, recover};
use engine::config::TopicSettings;
use engine::io::DiskOp;
use engine::record::{BatchBuilder, BatchHeader, Codec};
use sim::{SimDisk, World};

const KIB: usize = 1024;
const POOL: usize = 8 << 20;
const PARTITIONS: i32 = 2;

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index }
}

/// A shard with its jobs, with a journal of three files of so many bytes.
async fn open(world: &World, segment_bytes: usize, journal_bytes: usize) -> Shard<SimDisk> {
    let settings = TopicSettings { segment_bytes: segment_bytes as u32, ..TopicSettings::default() };
    let part = |index| HostedPartition {
        key: key(index),
        core: CoreId(0),
        leader_epoch: LeaderEpoch(0),
        settings: settings.clone(),
    };
    let hosted: Vec<HostedPartition> = (0..PARTITIONS).map(part).collect();
    let disk = world.disk(POOL);
    let mut recovered = recover(&disk, &hosted, 1, world.now()).await.expect("recovery");
    let report = &recovered.report;
    assert_eq!((report.frames_damaged, report.partitions_damaged.len()), (0, 0), "no damage: {report:?}");
    let settings = ShardSettings {
        journal_bytes: journal_bytes as u64,
        journal_bytes_first: journal_bytes as u64,
        journal_files: 3,
        ..ShardSettings::default()
    };
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    world.run_shard(&shard);
    world.run_clock(&shard, Duration::from_millis(20));
    shard
}

/// Appends until it is acknowledged, as a client that tries again does.
async fn produce(world: &World, shard: &Shard<SimDisk>, index: i32, fill: u8, bytes: usize) {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1000, None, Some(&vec![fill; bytes]), &[]);
    let batch = builder.finish();
    for _ in 0..2_000 {
        match shard.append(world.now(), key(index), &batch) {
            Ok(appended) => match shard.until_durable(appended.ticket).await {
                Ok(()) => return,
                Err(Offline) => world.sleep(Duration::from_millis(100)).await,
            },
            Err(AppendError::NoRoom) => shard.room().await,
            Err(AppendError::Offline) => world.sleep(Duration::from_millis(100)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("batch {fill} of {index} never gets through: {:?}", shard.stats());
}

/// The fills of each partition's batches, in order.
async fn fills(shard: &Shard<SimDisk>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for index in 0..PARTITIONS {
        let (mut found, mut next) = (Vec::new(), 0);
        while next < shard.bounds(key(index)).expect("hosted").high_watermark.0 {
            let fetched = shard.read(key(index), Offset(next), 1 << 20, true).await;
            let fetched = fetched.unwrap_or_else(|error| panic!("{index} at {next}: {error}"));
            let bytes: Vec<u8> = fetched.slices.iter().flat_map(|slice| slice.to_vec()).collect();
            let mut rest = &bytes[..];
            while let Some(header) = BatchHeader::peek(rest) {
                let (whole, behind) = rest.split_at(header.total_bytes().expect("a length"));
                assert!(engine::record::crc_matches(whole));
                found.push(whole[whole.len() - 2]);
                next = header.last_offset().0 + 1;
                rest = behind;
            }
        }
        all.push(found);
    }
    all
}

/// Has a fault until it has shown once.
fn once(world: &World, on: impl Fn(&mut sim::Faults, bool) + 'static) {
    let before = world.counters().faults;
    world.faults(|f| on(f, true));
    let w = world.clone();
    world.spawn(async move {
        while w.counters().faults == before {
            w.sleep(Duration::from_micros(200)).await;
        }
        w.faults(|f| on(f, false));
    });
}

/// What is left when the power was cut.
fn after_crash(world: &World, segment_bytes: usize, journal_bytes: usize) -> Vec<Vec<u8>> {
    world.crash();
    let w = world.clone();
    world.run_until(async move { fills(&open(&w, segment_bytes, journal_bytes).await).await })
}

/// A segment was left on the strength of its own flush while a checkpoint's flush of it was under way, and that one
/// was told what failed: what it had dropped was looked for in the segment behind.
#[test]
fn a_segment_is_not_left_while_a_flush_of_it_may_fail() {
    const SEGMENT: usize = 700 * KIB;
    const JOURNAL: usize = 2048 * KIB;
    const BATCH: usize = 220 * KIB;
    let (mut failed, mut left) = (0, 0);
    for seed in 0..12 {
        let world = World::new(seed);
        world.faults(|f| f.buggify.slow_flushes = true);
        let w = world.clone();
        let (before, stats) = world.run_until(async move {
            let shard = open(&w, SEGMENT, JOURNAL).await;
            let producers: Vec<_> = (0..PARTITIONS)
                .map(|index| {
                    let (w, shard) = (w.clone(), shard.clone());
                    let own = w.clone();
                    own.start(async move {
                        for fill in 0..60 {
                            produce(&w, &shard, index, fill, BATCH).await;
                        }
                    })
                })
                .collect();
            let mut taken = 0;
            while producers.iter().any(|producer| !producer.is_ready()) {
                // Every second one fails.
                if shard.stats().checkpoints > taken {
                    taken = shard.stats().checkpoints;
                    once(&w, |f, on| f.eio_flush_of_many = on);
                }
                w.sleep(Duration::from_millis(1)).await;
            }
            w.faults(|f| f.eio_flush_of_many = false);
            // Another checkpoint lets go of the journal.
            w.sleep(Duration::from_secs(5)).await;
            let taken = shard.stats().checkpoints;
            while shard.stats().checkpoints < taken + 2 {
                produce(&w, &shard, 0, 60, BATCH).await;
            }
            (fills(&shard).await, shard.stats())
        });
        failed += stats.checkpoints_failed;
        left += stats.segment_errors;
        assert_eq!(after_crash(&world, SEGMENT, JOURNAL), before, "seed {seed}");
    }
    assert!(failed > 20 && left > 2, "{failed} checkpoints failed, {left} times as a segment was left");
}

/// With the next file nothing asked for a checkpoint any more, and only one that was taken ended the trouble.
#[test]
fn a_core_without_a_checkpoint_is_online_with_the_next_journal_file() {
    const SEGMENT: usize = 256 * KIB;
    const JOURNAL: usize = 128 * KIB;
    let world = World::new(1);
    let w = world.clone();
    world.run_until(async move {
        let shard = open(&w, SEGMENT, JOURNAL).await;
        let fails = |f: &mut sim::Faults| {
            (f.eio_ppm, f.eio_ops, f.eio_flush_of_many) = (1_000_000, vec![DiskOp::Allocate], true);
        };
        produce(&w, &shard, 0, 0, 4 * KIB).await;
        produce(&w, &shard, 1, 1, 4 * KIB).await;
        w.faults(fails);
        while !shard.is_offline() {
            let mut builder = BatchBuilder::new(Codec::None);
            builder.push(1000, None, Some(&[2; 4 * KIB]), &[]);
            let _ = shard.append(w.now(), key(0), &builder.finish());
            w.sleep(Duration::from_millis(5)).await;
        }
        assert!(shard.stats().checkpoints_failed > 0);
        w.sleep(Duration::from_secs(20)).await;
        assert!(shard.is_offline(), "no file, and no checkpoint that frees one");
        w.faults(|f| f.eio_ppm = 0);
        w.sleep(Duration::from_secs(20)).await;
        assert!(!shard.is_offline(), "there is a file");
        produce(&w, &shard, 1, 3, 4 * KIB).await;
    });
}

/// What had no answer landed with the power cut, over the checkpoint that came after it in the same slot, and the
/// journal did not reach back to the other one any more.
#[test]
fn a_checkpoint_whose_write_has_no_answer_is_not_written_over() {
    const SEGMENT: usize = 256 * KIB;
    const JOURNAL: usize = 128 * KIB;
    const BATCH: usize = 4 * KIB;
    let mut stalled = 0;
    for (seed, slot) in (0..24).flat_map(|seed| [(seed, "checkpoint-0"), (seed, "checkpoint-1")]) {
        let world = World::new(seed);
        let w = world.clone();
        let (before, failed) = world.run_until(async move {
            let shard = open(&w, SEGMENT, JOURNAL).await;
            let mut fill = 0;
            while shard.stats().checkpoints < 2 {
                produce(&w, &shard, fill % 2, fill as u8, BATCH).await;
                fill += 1;
            }
            once(&w, move |f, on| f.stall_writes_of = on.then_some(slot));
            let begun = w.counters().faults;
            while w.counters().faults == begun {
                produce(&w, &shard, fill % 2, fill as u8, BATCH).await;
                fill += 1;
            }
            w.sleep(Duration::from_secs(35)).await;
            // Files of the journal that the next checkpoint lets go of are used again.
            for _ in 0..seed * 2 {
                produce(&w, &shard, fill % 2, fill as u8, BATCH).await;
                fill += 1;
            }
            (fills(&shard).await, shard.stats().checkpoints_failed)
        });
        stalled += failed;
        assert_eq!(after_crash(&world, SEGMENT, JOURNAL), before, "seed {seed}, {slot}");
    }
    assert!(stalled >= 40, "{stalled} writes of a checkpoint had no answer");
}
