//! A disk that fails: one operation anywhere, or all of them for a while. What was acknowledged is there
//! afterwards, what can be served is, and service returns by itself.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{
    AppendError, HostedPartition, Offline, RecoveryError, RecoveryReport, Shard, ShardSettings, ShardStats,
    recover,
};
use engine::config::TopicSettings;
use engine::io::{BLOCK, Disk, DiskOp, FileName, Open};
use engine::record::{BatchBuilder, BatchHeader, Codec};
use sim::{SimDisk, World};

const POOL: usize = 8 << 20;
const JOURNAL: u64 = 256 * 1024;
const PARTITIONS: i32 = 3;

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index }
}

fn hosted() -> Vec<HostedPartition> {
    let settings = TopicSettings { segment_bytes: 128 * 1024, ..TopicSettings::default() };
    let part = |index| HostedPartition {
        key: key(index),
        core: CoreId(0),
        leader_epoch: LeaderEpoch(0),
        settings: settings.clone(),
    };
    (0..PARTITIONS).map(part).collect()
}

async fn open(world: &World) -> (Shard<SimDisk>, RecoveryReport) {
    let settings = ShardSettings {
        journal_bytes: JOURNAL,
        journal_bytes_first: JOURNAL,
        journal_files: 3,
        frame_bytes_early: 0,
        extent_bytes_min: 8192,
        ..ShardSettings::default()
    };
    let disk = world.disk(POOL);
    let mut recovered = recover(&disk, &hosted(), 1, world.now()).await.expect("recovery");
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    world.run_shard(&shard);
    world.run_clock(&shard, Duration::from_millis(50));
    (shard, recovered.report)
}

/// Every fifth batch is large enough for an extent.
fn batch(number: i64) -> Vec<u8> {
    let bytes = if number % 5 == 4 { 30_000 } else { 500 + (number as usize * 731) % 3_000 };
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1000, None, Some(&vec![number as u8; bytes]), &[]);
    builder.finish()
}

/// Appends until it is acknowledged, as a client that tries again does. The offset, and the tries.
async fn produce(world: &World, shard: &Shard<SimDisk>, index: i32, number: i64) -> (Offset, u32) {
    let mut tries = 0;
    loop {
        tries += 1;
        assert!(tries < 2_000, "batch {number} of {index} never gets through");
        match shard.append(world.now(), key(index), &batch(number)) {
            Ok(appended) => match shard.until_durable(appended.ticket).await {
                Ok(()) => return (appended.base_offset, tries),
                Err(Offline) => world.sleep(Duration::from_millis(100)).await,
            },
            Err(AppendError::NoRoom) => shard.room().await,
            Err(AppendError::Offline) => world.sleep(Duration::from_millis(100)).await,
            Err(error) => panic!("{error}"),
        }
    }
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
            assert!(engine::record::crc_matches(whole));
            found.push(whole[whole.len() - 2]);
            next = header.last_offset().0 + 1;
            rest = behind;
        }
    }
    found
}

/// Cuts the power, recovers, and gives each partition's fills.
fn after_crash(world: &World) -> Vec<Vec<u8>> {
    world.crash();
    world.faults(|f| f.eio_at.clear());
    let w = world.clone();
    world.run_until(async move {
        let (shard, report) = open(&w).await;
        assert_eq!((report.frames_damaged, report.partitions_damaged.len()), (0, 0), "no damage: {report:?}");
        let mut all = Vec::new();
        for index in 0..PARTITIONS {
            all.push(fills(&shard, index).await);
        }
        all
    })
}

/// A load in which the `nth` operation after a while fails. What each partition acknowledged, in order, and
/// what the shard counted.
fn fail_once(seed: u64, nth: u64) -> (World, Vec<Vec<u8>>, ShardStats) {
    let world = World::new(seed);
    let w = world.clone();
    let (acknowledged, stats) = world.run_until(async move {
        let (shard, _) = open(&w).await;
        for number in 0..6 {
            produce(&w, &shard, (number % 3) as i32, number).await;
        }
        let fails = w.counters().ops + nth;
        w.faults(|f| f.eio_at = [fails].into());
        let producers: Vec<_> = (0..PARTITIONS)
            .map(|index| {
                let (w, shard) = (w.clone(), shard.clone());
                let own = w.clone();
                own.start(async move {
                    let mut taken = Vec::new();
                    for number in 10..34 {
                        taken.push((produce(&w, &shard, index, number).await.0, number as u8));
                    }
                    taken
                })
            })
            .collect();
        let mut acknowledged = Vec::new();
        for producer in producers {
            acknowledged.push(producer.join().await);
        }
        for index in 0..PARTITIONS {
            let stored = fills(&shard, index).await;
            for (offset, fill) in &acknowledged[index as usize] {
                assert_eq!(stored[offset.0 as usize], *fill, "seed {seed} operation {nth}");
            }
            acknowledged[index as usize].sort_unstable();
            // From here on it must not change any more.
            acknowledged[index as usize] = stored.into_iter().map(|fill| (Offset(0), fill)).collect();
        }
        assert!(!shard.is_offline(), "seed {seed} operation {nth}");
        let fills_only = |list: Vec<(Offset, u8)>| list.into_iter().map(|(_, fill)| fill).collect();
        (acknowledged.into_iter().map(fills_only).collect::<Vec<Vec<u8>>>(), shard.stats())
    });
    (world, acknowledged, stats)
}

#[test]
fn any_one_failing_operation_costs_nothing_that_was_acknowledged() {
    let (mut journals, mut segments, mut checkpoints) = (0, 0, 0);
    for nth in 1..400 {
        let (world, acknowledged, stats) = fail_once(nth % 7, nth);
        journals += stats.journals_failed;
        segments += stats.segment_errors;
        checkpoints += stats.checkpoints_failed;
        assert_eq!(after_crash(&world), acknowledged, "operation {nth}: {stats:?}");
    }
    assert!(journals > 20 && segments > 5 && checkpoints > 0, "{journals} {segments} {checkpoints}");
}

/// Appends until the partition, or with a full journal its core, takes no more; the fills that were acknowledged.
async fn produce_while_it_takes(world: &World, shard: &Shard<SimDisk>, index: i32) -> Vec<u8> {
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    while refused < 40 && acknowledged.len() < 50 {
        let fill = 10 + acknowledged.len() as i64;
        match shard.append(world.now(), key(index), &batch(fill)) {
            Ok(appended) if shard.until_durable(appended.ticket).await.is_ok() => {
                acknowledged.push(fill as u8);
                refused = 0;
                continue;
            }
            Ok(_) => return acknowledged,
            Err(AppendError::NoRoom | AppendError::Offline) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        world.sleep(Duration::from_millis(100)).await;
    }
    acknowledged
}

/// Written back as it was read, it would be in the segment for good, and the journal would be gone.
#[test]
fn what_a_failed_flush_dropped_comes_back_from_the_journal() {
    let mut dropped = 0;
    for nth in 1..300 {
        let world = World::new(nth % 7);
        let w = world.clone();
        let acknowledged = world.run_until(async move {
            let (shard, _) = open(&w).await;
            for number in 0..6 {
                produce(&w, &shard, (number % 3) as i32, number).await;
            }
            let fails = w.counters().ops + nth;
            w.faults(|f| (f.drops_cache, f.eio_at) = (true, [fails].into()));
            let producers: Vec<_> = (0..PARTITIONS)
                .map(|index| {
                    let (w, shard) = (w.clone(), shard.clone());
                    let own = w.clone();
                    own.start(async move { produce_while_it_takes(&w, &shard, index).await })
                })
                .collect();
            let mut acknowledged = Vec::new();
            for producer in producers {
                acknowledged.push(producer.join().await);
            }
            acknowledged
        });
        dropped += usize::from(acknowledged.iter().any(|taken| taken.len() < 50));
        for (stored, acknowledged) in after_crash(&world).into_iter().zip(acknowledged) {
            let stored: Vec<u8> = stored.into_iter().filter(|fill| *fill >= 10).collect();
            assert!(stored.starts_with(&acknowledged), "operation {nth}: {stored:?} {acknowledged:?}");
        }
    }
    assert!(dropped > 0, "no flush dropped anything that counted");
}

#[test]
fn a_core_whose_disk_takes_nothing_is_read_and_comes_back_by_itself() {
    for (seed, ops) in [
        vec![DiskOp::Flush],
        vec![DiskOp::Write],
        vec![DiskOp::Write, DiskOp::Flush, DiskOp::Open, DiskOp::Allocate, DiskOp::Replace, DiskOp::SyncDir],
    ]
    .into_iter()
    .enumerate()
    {
        let world = World::new(seed as u64);
        let w = world.clone();
        let before = world.run_until(async move {
            let (shard, _) = open(&w).await;
            for number in 0..20 {
                produce(&w, &shard, 0, number).await;
            }
            w.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, ops));
            let appended = shard.append(w.now(), key(0), &batch(20)).expect("nobody knows yet");
            assert_eq!(shard.until_durable(appended.ticket).await, Err(Offline));
            assert!(shard.is_offline());
            let refused = shard.append(w.now(), key(0), &batch(21));
            assert_eq!(refused.unwrap_err(), AppendError::Offline);
            assert_eq!(fills(&shard, 0).await.len(), 20, "what was acknowledged is still served");
            w.sleep(Duration::from_secs(20)).await;
            assert!(shard.is_offline());
            w.faults(|f| f.eio_ppm = 0);
            w.sleep(Duration::from_secs(3)).await;
            assert!(!shard.is_offline(), "it found a file that it can write");
            assert_eq!(fills(&shard, 0).await.len(), 21, "what was under way was not lost");
            for number in 21..60 {
                produce(&w, &shard, 0, number).await;
            }
            let stored = fills(&shard, 0).await;
            assert_eq!(stored, (0..60).collect::<Vec<u8>>());
            stored
        });
        assert_eq!(after_crash(&world)[0], before);
    }
}

/// The names of the core's journal files.
async fn journals(world: &World) -> Vec<String> {
    let names = world.disk(POOL).list(&FileName::core_dir(CoreId(0))).await.expect("listed");
    let names = names.into_iter().map(|entry| entry.name.base().to_string());
    names.filter(|name| name.starts_with("journal-")).collect()
}

#[test]
fn a_disk_that_takes_no_writes_gets_no_fuller_by_what_is_tried() {
    let world = World::new(11);
    let w = world.clone();
    world.run_until(async move {
        let (shard, _) = open(&w).await;
        produce(&w, &shard, 0, 0).await;
        w.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Write]));
        let appended = shard.append(w.now(), key(0), &batch(1)).expect("nobody knows yet");
        assert_eq!(shard.until_durable(appended.ticket).await, Err(Offline));
        w.sleep(Duration::from_secs(60)).await;
        let names = journals(&w).await;
        assert!(names.len() <= 4, "one that failed and three: {names:?}");
    });
}

/// Had the file been used again, what it held at first would be lost with the power (seen at the eighth operation).
#[test]
fn a_fresh_journal_file_whose_write_has_no_answer_is_not_written_again() {
    for later in 2..14 {
        let world = World::new(12);
        let w = world.clone();
        let before = world.run_until(async move {
            let (shard, _) = open(&w).await;
            produce(&w, &shard, 0, 0).await;
            w.sleep(Duration::from_secs(2)).await;
            let ops = w.counters().ops;
            // The frame, then something of the file that it is moved to.
            w.faults(|f| f.stall_at = [ops + 1, ops + later].into());
            produce(&w, &shard, 0, 1).await;
            w.sleep(Duration::from_secs(5)).await;
            fills(&shard, 0).await
        });
        assert_eq!(after_crash(&world)[0], before, "operation {later} had no answer");
    }
}

#[test]
fn a_journal_file_that_failed_is_let_go_once_a_checkpoint_covers_it() {
    let world = World::new(5);
    let w = world.clone();
    world.run_until(async move {
        let (shard, _) = open(&w).await;
        for round in 0..30 {
            let fails = w.counters().ops + 1;
            w.faults(|f| f.eio_at = [fails].into());
            produce(&w, &shard, 0, round).await;
            w.sleep(Duration::from_secs(2)).await;
        }
        let names = journals(&w).await;
        assert!(names.len() <= 5, "{names:?}");
        assert!(shard.stats().journals_failed >= 20, "{:?}", shard.stats());
    });
}

/// The directory of a shard that was killed after so many batches, with the first block of files changed, and
/// what recovery makes of it: its report, and the records that it has.
fn recovered_after(
    batches: i64,
    change: impl Fn(&str, &mut Vec<u8>) -> bool + Copy + 'static,
) -> Result<(RecoveryReport, i64), RecoveryError> {
    let world = World::new(21);
    let w = world.clone();
    world.run_until(async move {
        let (shard, _) = open(&w).await;
        for number in 0..batches {
            produce(&w, &shard, (number % 3) as i32, number).await;
        }
        assert!(shard.stats().checkpoints >= 2, "{:?}", shard.stats());
    });
    world.kill();
    let w = world.clone();
    world.run_until(async move {
        let disk = w.disk(POOL);
        let dir = FileName::core_dir(CoreId(0));
        for entry in disk.list(&dir).await.expect("listed") {
            let file = disk.open(&entry.name, Open::Existing).await.expect("there");
            let mut bytes = disk.read(&file, 0, BLOCK).await.expect("readable").to_vec();
            bytes.resize(BLOCK, 0);
            if change(entry.name.base(), &mut bytes) {
                let mut buffer = disk.take(BLOCK).expect("memory");
                buffer[..BLOCK].copy_from_slice(&bytes);
                disk.write(&file, 0, disk.seal(buffer, BLOCK)).await.expect("written");
            }
        }
        let recovered = recover(&disk, &hosted(), 1, w.now()).await?;
        let ends = recovered.cores[0].partitions.iter().map(|(_, state)| state.segments.end().0);
        Ok((recovered.report, ends.sum()))
    })
}

const BATCHES: i64 = 400;

#[test]
fn a_core_without_a_checkpoint_is_refused_and_with_one_of_two_it_loses_nothing_in_silence() {
    let both = recovered_after(BATCHES, |name, bytes| {
        bytes[60] ^= 1;
        name.starts_with("checkpoint-")
    });
    assert_eq!(both, Err(RecoveryError::NoCheckpoint(CoreId(0))));
    let (mut told, mut whole) = (0, 0);
    for batches in (BATCHES..BATCHES + 120).step_by(20) {
        for slot in ["checkpoint-0", "checkpoint-1"] {
            let one = recovered_after(batches, move |name, bytes| {
                bytes[60] ^= 1;
                name == slot
            });
            match one {
                Ok((report, records)) => {
                    assert_eq!((report.frames_damaged, report.partitions_damaged.len()), (0, 0));
                    assert_eq!(records, batches, "{slot} of {batches}");
                    whole += 1;
                }
                Err(RecoveryError::JournalGap { included, first, .. }) => {
                    assert!(first > included + 1);
                    told += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(told > 0 && whole > 0, "{told} were told, {whole} recovered");
}

#[test]
fn files_of_a_later_format_are_refused_by_name() {
    for (file, at, version) in [("checkpoint-", 7, b'9'), ("journal-", 7, b'2')] {
        let refused = recovered_after(BATCHES, move |name, bytes| {
            let used = bytes[0] == b'R';
            bytes[at] = version;
            used && name.starts_with(file)
        });
        let Err(RecoveryError::Newer(name)) = refused else { panic!("{refused:?}") };
        assert!(name.base().starts_with(file), "{name}");
    }
}

#[test]
fn the_first_frame_stands_in_for_the_header_of_its_journal_file() {
    let (sound, records) = recovered_after(BATCHES, |_, _| false).expect("sound");
    assert_eq!(records, BATCHES);
    let damaged = recovered_after(BATCHES, |name, bytes| {
        let used = bytes[0] == b'R';
        bytes[20] ^= 0x10;
        used && name.starts_with("journal-")
    });
    assert_eq!(damaged, Ok((sound, records)));
}
