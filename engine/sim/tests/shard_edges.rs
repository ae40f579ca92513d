//! A shard where its jobs meet: rolls and checkpoints, lanes short of memory, stops and deletions
//! while something is being written, cores that change, files that end up too small.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{
    AppendError, FetchError, Fetched, HostedPartition, RecoveryReport, Shard, ShardSettings, recover,
};
use engine::config::TopicSettings;
use engine::io::{Disk, DiskOp, FileName, Open};
use engine::record::{BatchBuilder, BatchHeader, Codec};
use sim::{SimDisk, World};

const MIB: usize = 1 << 20;
const POOL: usize = 8 * MIB;

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index }
}

fn hosted_on(core: u16, index: i32, settings: &TopicSettings) -> HostedPartition {
    let (leader_epoch, settings) = (LeaderEpoch(0), settings.clone());
    HostedPartition { key: key(index), core: CoreId(core), leader_epoch, settings }
}

fn hosted(partitions: i32, settings: &TopicSettings) -> Vec<HostedPartition> {
    (0..partitions).map(|index| hosted_on(0, index, settings)).collect()
}

fn journals(bytes: u64) -> ShardSettings {
    ShardSettings { journal_bytes: bytes, journal_bytes_first: bytes, ..ShardSettings::default() }
}

fn start(world: &World, shard: &Shard<SimDisk>) {
    world.run_shard(shard);
}

async fn open_with(
    world: &World,
    hosted: &[HostedPartition],
    pool: usize,
    settings: ShardSettings,
) -> (Shard<SimDisk>, RecoveryReport) {
    let disk = world.disk(pool);
    let mut recovered = recover(&disk, hosted, 1, world.now()).await.expect("recovery");
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    start(world, &shard);
    (shard, recovered.report)
}

async fn open(world: &World, hosted: &[HostedPartition]) -> Shard<SimDisk> {
    open_with(world, hosted, POOL, journals(MIB as u64)).await.0
}

fn batch(fill: u8, bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1000, None, Some(&vec![fill; bytes]), &[]);
    builder.finish()
}

async fn produce(world: &World, shard: &Shard<SimDisk>, key: PartitionKey, batch: &[u8]) -> Offset {
    loop {
        match shard.append(world.now(), key, batch) {
            Ok(appended) => {
                shard.until_durable(appended.ticket).await.expect("online");
                return appended.base_offset;
            }
            Err(AppendError::NoRoom) => shard.room().await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn values(fetched: &Fetched<sim::disk::Chunk>) -> Vec<(Offset, u8)> {
    let bytes: Vec<u8> = fetched.slices.iter().flat_map(|s| s.to_vec()).collect();
    let (mut at, mut out) = (0, Vec::new());
    while at < bytes.len() {
        let header = BatchHeader::peek(&bytes[at..]).expect("a header");
        let total = header.total_bytes().expect("a length");
        // The last byte of a batch of one record is its header count, the one before its value's.
        out.push((header.base_offset(), bytes[at + total - 2]));
        at += total;
    }
    out
}

async fn read_all(shard: &Shard<SimDisk>, key: PartitionKey) -> Vec<(Offset, u8)> {
    let mut out: Vec<(Offset, u8)> = Vec::new();
    let mut from = shard.bounds(key).expect("hosted").log_start;
    loop {
        let fetched = shard.read(key, from, 64 * 1024, true).await.expect("readable");
        if fetched.bytes == 0 {
            return out;
        }
        out.extend(values(&fetched));
        from = out.last().expect("not empty").0.plus(1);
    }
}

fn expected(count: i64, fill: impl Fn(i64) -> u8) -> Vec<(Offset, u8)> {
    (0..count).map(|i| (Offset(i), fill(i))).collect()
}

fn small_segments() -> TopicSettings {
    TopicSettings { segment_bytes: 10_000, ..TopicSettings::default() }
}

#[test]
fn a_roll_right_after_a_crash_keeps_the_open_block() {
    let world = World::new(1);
    for life in 0..4 {
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, &hosted(1, &small_segments())).await;
            produce(&inner, &shard, key(0), &batch(life, 6_000)).await;
            if life == 3 {
                shard.close(inner.now()).await.expect("closed");
            }
        });
        world.crash();
    }
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, &hosted(1, &small_segments())).await;
        assert_eq!(read_all(&shard, key(0)).await, expected(4, |i| i as u8));
    });
}

#[test]
fn checkpoints_and_stops_amid_rolls_lose_nothing() {
    for seed in 0..24 {
        let world = World::new(seed);
        let mut count = [0i64; 4];
        for life in 0..4 {
            let inner = world.clone();
            count = world.run_until(async move {
                let settings = ShardSettings { journal_files: 2, ..journals(128 * 1024) };
                let (shard, report) = open_with(&inner, &hosted(4, &small_segments()), POOL, settings).await;
                assert!(report.partitions_damaged.is_empty() && report.frames_damaged == 0, "seed {seed}");
                let mut count = count;
                let rounds = 20 + inner.random(|r| r.within(0..40));
                for round in 0..rounds {
                    for (index, count) in count.iter_mut().enumerate() {
                        let index = index as i32;
                        let bytes = batch(*count as u8, 1_000 + (round as usize * 731) % 5_000);
                        assert_eq!(produce(&inner, &shard, key(index), &bytes).await, Offset(*count));
                        *count += 1;
                    }
                }
                if life % 2 == 0 {
                    shard.close(inner.now()).await.expect("closed");
                }
                count
            });
            world.crash();
        }
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, &hosted(4, &small_segments())).await;
            for (index, count) in count.into_iter().enumerate() {
                let found = read_all(&shard, key(index as i32)).await;
                assert_eq!(found, expected(count, |i| i as u8), "seed {seed} partition {index}");
            }
        });
    }
}

#[test]
fn lanes_that_are_short_of_memory_do_not_wait_for_each_other() {
    for seed in 0..8 {
        let world = World::new(seed);
        let inner = world.clone();
        world.run_until(async move {
            let pool = 4 * MIB;
            let hosted = hosted(12, &TopicSettings::default());
            let (shard, _) = open_with(&inner, &hosted, pool, journals(8 * MIB as u64)).await;
            let producers: Vec<_> = (0..12)
                .map(|index| {
                    let (world, shard) = (inner.clone(), shard.clone());
                    inner.start(async move {
                        for i in 0..6 {
                            produce(&world, &shard, key(index), &batch(i, 700_000)).await;
                        }
                    })
                })
                .collect();
            for producer in producers {
                producer.join().await;
            }
        });
    }
}

#[test]
fn one_journal_file_follows_itself_once_a_checkpoint_covers_it() {
    let world = World::new(4);
    let inner = world.clone();
    world.run_until(async move {
        let settings = ShardSettings { journal_files: 1, ..journals(MIB as u64) };
        let (shard, _) = open_with(&inner, &hosted(1, &TopicSettings::default()), POOL, settings).await;
        for i in 0..40 {
            produce(&inner, &shard, key(0), &batch(i, 100_000)).await;
        }
        let stats = shard.stats();
        assert!((3..20).contains(&stats.checkpoints), "{stats:?}");
    });
    world.crash();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, &hosted(1, &TopicSettings::default())).await;
        assert_eq!(read_all(&shard, key(0)).await, expected(40, |i| i as u8));
    });
}

#[test]
fn recovery_killed_at_any_step_while_partitions_change_cores_loses_nothing() {
    let settings = small_segments();
    let two_cores =
        |swap: u16| (0..4).map(|i| hosted_on((i as u16 + swap) % 2, i, &settings)).collect::<Vec<_>>();
    for seed in 0..60 {
        let world = World::new(seed);
        let (inner, first) = (world.clone(), two_cores(0));
        world.run_until(async move {
            let disk = inner.disk(POOL);
            let recovered = recover(&disk, &first, 2, inner.now()).await.expect("recovery");
            for core in recovered.cores {
                let number = i32::from(core.core.0);
                let opened = Shard::open(disk.clone(), core, journals(MIB as u64), inner.now()).await;
                let shard = opened.expect("open");
                start(&inner, &shard);
                for i in 0..5 {
                    for index in [number, number + 2] {
                        produce(&inner, &shard, key(index), &batch(i, 3_000)).await;
                    }
                }
            }
        });
        world.crash();
        for kill in 0..3 {
            let (inner, moved) = (world.clone(), two_cores(1));
            world.spawn(async move {
                let disk = inner.disk(POOL);
                let _ = recover(&disk, &moved, 2, inner.now()).await;
            });
            world.run_steps(1 + (seed * 37 + kill * 101) % 300);
            world.crash();
        }
        let (inner, moved) = (world.clone(), two_cores(1));
        world.run_until(async move {
            let disk = inner.disk(POOL);
            let recovered = recover(&disk, &moved, 2, inner.now()).await.expect("recovery");
            assert!(recovered.report.partitions_damaged.is_empty(), "seed {seed}");
            for core in recovered.cores {
                let number = i32::from(core.core.0);
                let opened = Shard::open(disk.clone(), core, journals(MIB as u64), inner.now()).await;
                let shard = opened.expect("open");
                start(&inner, &shard);
                for index in [1 - number, 3 - number] {
                    let found = read_all(&shard, key(index)).await;
                    assert_eq!(found, expected(5, |i| i as u8), "seed {seed} partition {index}");
                }
            }
        });
    }
}

#[test]
fn recovery_needs_little_memory_when_most_of_the_journal_is_of_a_deleted_topic() {
    let world = World::new(5);
    let inner = world.clone();
    world.run_until(async move {
        let settings = journals(16 * MIB as u64);
        let (shard, _) = open_with(&inner, &hosted(2, &TopicSettings::default()), POOL, settings).await;
        for i in 0..30 {
            produce(&inner, &shard, key(0), &batch(i, 100)).await;
            produce(&inner, &shard, key(1), &batch(i, 250_000)).await;
        }
    });
    world.crash();
    let inner = world.clone();
    world.run_until(async move {
        let settings = journals(16 * MIB as u64);
        let kept = hosted(1, &TopicSettings::default());
        let (shard, _) = open_with(&inner, &kept, 2 * MIB, settings).await;
        assert_eq!(read_all(&shard, key(0)).await, expected(30, |i| i as u8));
    });
}

#[test]
fn a_stop_ends_though_a_segment_cannot_be_written() {
    let world = World::new(6);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, &hosted(2, &TopicSettings::default())).await;
        produce(&inner, &shard, key(0), &batch(0, 100)).await;
        inner.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Open]));
        assert!(shard.close(inner.now()).await.is_err());
        inner.faults(|f| f.eio_ppm = 0);
    });
    world.crash();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, &hosted(2, &TopicSettings::default())).await;
        assert_eq!(read_all(&shard, key(0)).await, expected(1, |_| 0));
    });
}

#[test]
fn an_index_that_failed_once_does_not_close_its_partition_for_good() {
    let world = World::new(7);
    let inner = world.clone();
    world.run_until(async move {
        let settings = TopicSettings { index_interval_bytes: 1, ..TopicSettings::default() };
        let (shard, _) = open_with(&inner, &hosted(1, &settings), POOL, journals(16 * MIB as u64)).await;
        // Opens the segment's file, then fills a block of its index whose file is not open yet.
        produce(&inner, &shard, key(0), &batch(0, 300_000)).await;
        inner.sleep(Duration::from_secs(1)).await;
        inner.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Open]));
        for i in 0..600 {
            if shard.append(inner.now(), key(0), &batch(i as u8, 600)).is_err() {
                break;
            }
            inner.sleep(Duration::from_millis(5)).await;
        }
        produce_or_offline(&inner, &shard).await;
        inner.faults(|f| f.eio_ppm = 0);
        shard.tick(inner.now());
        inner.sleep(Duration::from_secs(1)).await;
        shard.tick(inner.now());
        produce(&inner, &shard, key(0), &batch(1, 100)).await;
    });
}

/// Appends until the partition says that it is offline.
async fn produce_or_offline(world: &World, shard: &Shard<SimDisk>) {
    for i in 0..2_000 {
        match shard.append(world.now(), key(0), &batch(i as u8, 20_000)) {
            Ok(_) => world.sleep(Duration::from_millis(5)).await,
            Err(AppendError::Offline) => return,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the fault showed nowhere");
}

#[test]
fn a_partition_deleted_while_it_is_written_leaves_no_files() {
    for seed in 0..40 {
        let world = World::new(seed);
        let inner = world.clone();
        world.run_until(async move {
            let shard = open(&inner, &hosted(1, &TopicSettings::default())).await;
            produce(&inner, &shard, key(0), &batch(1, 600_000)).await;
            inner.sleep(Duration::from_micros(50 * seed)).await;
            shard.delete(key(0)).await.expect("deleted");
            inner.sleep(Duration::from_secs(2)).await;
            let left = inner.disk(POOL).list(&FileName::partition_dir(key(0))).await.expect("a list");
            assert!(left.is_empty(), "seed {seed}: {left:?}");
        });
    }
}

#[test]
fn a_reader_overtaken_by_retention_never_sees_another_partitions_records() {
    let settings = TopicSettings {
        segment_bytes: MIB as u32,
        retention_bytes: Some(1),
        index_interval_bytes: 64 * 1024,
        ..TopicSettings::default()
    };
    let mut overtaken = 0;
    for seed in 0..3 {
        let world = World::new(seed);
        let (inner, settings) = (world.clone(), settings.clone());
        overtaken += world.run_until(async move {
            let pool = 4 * MIB;
            let (shard, _) = open_with(&inner, &hosted(2, &settings), pool, journals(MIB as u64)).await;
            let (world, reads, done) = (inner.clone(), shard.clone(), Rc::new(Cell::new(false)));
            let ended = Rc::clone(&done);
            let reader = inner.start(async move {
                let mut overtaken = 0;
                while !ended.get() {
                    let Ok(bounds) = reads.bounds(key(0)) else { return overtaken };
                    match reads.read(key(0), bounds.log_start, 300_000, true).await {
                        Ok(fetched) => {
                            for (_, fill) in values(&fetched) {
                                assert_eq!(fill, 1, "seed {seed}");
                            }
                        }
                        Err(FetchError::OutOfRange(_)) => overtaken += 1,
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                    world.sleep(Duration::from_micros(300)).await;
                }
                overtaken
            });
            for _ in 0..12 {
                for _ in 0..4 {
                    produce(&inner, &shard, key(0), &batch(1, 250_000)).await;
                    produce(&inner, &shard, key(1), &batch(2, 250_000)).await;
                }
                shard.housekeep(inner.now()).await;
            }
            done.set(true);
            reader.join().await
        });
    }
    assert!(overtaken > 0, "no reader was ever overtaken");
}

#[test]
fn records_that_get_old_before_they_reach_a_segment_expire_too() {
    let world = World::new(10);
    let settings = TopicSettings { retention_ms: Some(1_000), ..TopicSettings::default() };
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, &hosted(1, &settings)).await;
        // Part of the log is in its segment, part only in the journal, and nothing else asks for a write.
        for records in [1, 2] {
            for _ in 0..records {
                produce(&inner, &shard, key(0), &batch(0, 100)).await;
            }
            for _ in 0..4 {
                inner.sleep(Duration::from_secs(1)).await;
                shard.housekeep(inner.now()).await;
            }
        }
        let bounds = shard.bounds(key(0)).expect("hosted");
        assert_eq!((bounds.log_start, bounds.high_watermark), (Offset(3), Offset(3)));
    });
}

#[test]
fn files_left_below_the_first_segment_are_swept_once() {
    let world = World::new(8);
    let settings = TopicSettings { retention_bytes: Some(1), retention_ms: None, ..small_segments() };
    let (inner, s) = (world.clone(), settings.clone());
    world.run_until(async move {
        let shard = open(&inner, &hosted(1, &s)).await;
        for i in 0..10 {
            produce(&inner, &shard, key(0), &batch(i, 6_000)).await;
        }
        shard.close(inner.now()).await.expect("closed");
    });
    let (inner, s) = (world.clone(), settings.clone());
    world.run_until(async move {
        let shard = open(&inner, &hosted(1, &s)).await;
        shard.housekeep(inner.now()).await;
        assert!(shard.bounds(key(0)).expect("hosted").log_start > Offset(5));
        shard.close(inner.now()).await.expect("closed");
        // What a crash right after the durable log start would have left.
        let left = FileName::partition_dir(key(0)).join("00000000000000000002.log");
        inner.disk(POOL).open(&left, Open::OrCreate).await.expect("created");
    });
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, &hosted(1, &settings)).await;
        shard.housekeep(inner.now()).await;
        let dir = FileName::partition_dir(key(0));
        let names = inner.disk(POOL).list(&dir).await.expect("a list");
        assert!(names.iter().all(|e| !e.name.base().starts_with("00000000000000000002")), "{names:?}");
        assert!(!read_all(&shard, key(0)).await.is_empty());
    });
}

#[test]
fn any_timestamp_may_be_asked_for() {
    let world = World::new(9);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, &hosted(1, &TopicSettings::default())).await;
        produce(&inner, &shard, key(0), &batch(0, 300_000)).await;
        inner.sleep(Duration::from_secs(1)).await;
        let found = shard.offset_for_time(key(0), i64::MIN).await.expect("an answer").expect("a record");
        assert_eq!(found.offset, Offset(0));
        assert!(shard.offset_for_time(key(0), i64::MAX).await.expect("an answer").is_none());
    });
}

#[test]
fn a_checkpoint_goes_on_when_the_partition_that_it_waits_for_is_deleted() {
    let world = World::new(12);
    let inner = world.clone();
    world.run_until(async move {
        let settings = ShardSettings { journal_files: 1, ..journals(MIB as u64) };
        let (shard, _) = open_with(&inner, &hosted(2, &TopicSettings::default()), POOL, settings).await;
        for i in 0..3 {
            produce(&inner, &shard, key(1), &batch(i, 100_000)).await;
        }
        inner.sleep(Duration::from_secs(1)).await;
        // Its segment is open; that of the other one cannot be.
        inner.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Open]));
        produce(&inner, &shard, key(0), &batch(0, 10_000)).await;
        let (world, appends) = (inner.clone(), shard.clone());
        let producer = inner.start(async move {
            for i in 3..20 {
                produce(&world, &appends, key(1), &batch(i, 100_000)).await;
            }
        });
        inner.sleep(Duration::from_secs(5)).await;
        assert!(!producer.is_ready() && !shard.is_offline(), "the journal is full, and a checkpoint waits");
        inner.faults(|f| f.eio_ppm = 0);
        shard.delete(key(0)).await.expect("deleted");
        producer.join().await;
        assert_eq!(read_all(&shard, key(1)).await, expected(20, |i| i as u8));
    });
}

#[test]
fn retention_that_waits_for_memory_ends_when_the_journal_fails() {
    let world = World::new(13);
    let inner = world.clone();
    world.run_until(async move {
        let settings =
            TopicSettings { segment_bytes: 400_000, retention_ms: None, ..TopicSettings::default() };
        // Its own handle: each has a pool of its own.
        let disk = inner.disk(POOL);
        let mut recovered = recover(&disk, &hosted(1, &settings), 1, inner.now()).await.expect("recovery");
        let (state, journals) = (recovered.cores.remove(0), journals(8 * MIB as u64));
        let shard = Shard::open(disk.clone(), state, journals, inner.now()).await.expect("open");
        start(&inner, &shard);
        for i in 0..4 {
            produce(&inner, &shard, key(0), &batch(i, 300_000)).await;
        }
        inner.sleep(Duration::from_secs(1)).await;
        shard.housekeep(inner.now()).await;
        shard.update(key(0), TopicSettings { retention_bytes: Some(1), ..settings });
        // A write that never returns keeps its memory, and the rest is taken.
        let next = inner.counters().ops;
        inner.faults(|f| f.stall_at.extend(next..next + 20));
        shard.append(inner.now(), key(0), &batch(4, 100)).expect("room");
        inner.sleep(Duration::from_secs(1)).await;
        let _taken: Vec<_> = std::iter::from_fn(|| disk.take(engine::io::BLOCK)).collect();
        shard.housekeep(inner.now()).await;
        assert!(shard.is_offline());
    });
}
