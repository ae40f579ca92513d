//! A write that the disk never answered is carried out after all, long after its file was deleted: it must land
//! nowhere that counts.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{AppendError, HostedPartition, Shard, ShardSettings, recover};
use engine::config::TopicSettings;
use engine::io::{Disk, FileName};
use engine::record::{BatchBuilder, BatchHeader, Codec};
use sim::{SimDisk, World};

const MIB: u64 = 1 << 20;
const SEGMENT: u64 = 2 * MIB;
const BATCH: usize = 60_000;

/// A partition fills so many segments: more than are kept for reuse.
const SEGMENTS: u64 = 8;

/// Segment files that are kept for reuse.
const KEPT: usize = 4;

fn key(topic: u128) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(topic)), index: 0 }
}

fn settings() -> TopicSettings {
    TopicSettings { segment_bytes: SEGMENT as u32, retention_ms: None, ..TopicSettings::default() }
}

async fn open(world: &World) -> Shard<SimDisk> {
    let disk = world.disk(8 << 20);
    let part = |topic| HostedPartition {
        key: key(topic),
        core: CoreId(0),
        leader_epoch: LeaderEpoch(0),
        settings: settings(),
    };
    let mut recovered = recover(&disk, &[part(1), part(2)], 1, world.now()).await.expect("recovery");
    let settings =
        ShardSettings { journal_bytes: 4 * MIB, journal_bytes_first: 4 * MIB, ..ShardSettings::default() };
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    world.run_shard(&shard);
    world.run_clock(&shard, Duration::from_millis(50));
    shard
}

fn batch(topic: u128, number: u64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1_000, None, Some(&vec![(number * 7 + topic as u64) as u8; BATCH]), &[]);
    builder.finish()
}

/// Appends the next batches until they are acknowledged, however long that takes.
async fn fill(world: &World, shard: &Shard<SimDisk>, topic: u128, numbers: std::ops::Range<u64>) {
    for number in numbers {
        loop {
            match shard.append(world.now(), key(topic), &batch(topic, number)) {
                Ok(appended) if shard.until_durable(appended.ticket).await.is_ok() => break,
                Ok(_) | Err(AppendError::NoRoom | AppendError::Offline) => {
                    world.sleep(Duration::from_millis(100)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Every batch of a partition, as it was appended.
async fn check(shard: &Shard<SimDisk>, topic: u128, count: u64) {
    let mut next = 0;
    while next < count {
        let fetched = shard.read(key(topic), Offset(next as i64), 1 << 20, true).await.expect("readable");
        let bytes: Vec<u8> = fetched.slices.iter().flat_map(|slice| slice.to_vec()).collect();
        let mut rest = &bytes[..];
        while let Some(header) = BatchHeader::peek(rest) {
            let (whole, behind) = rest.split_at(header.total_bytes().expect("a length"));
            assert!(engine::record::crc_matches(whole), "batch {next}");
            assert_eq!(whole[whole.len() - 2], batch(topic, next)[BATCH], "batch {next}");
            next += 1;
            rest = behind;
        }
    }
}

async fn free_files(world: &World) -> usize {
    let entries = world.disk(1 << 20).list(&FileName::core_dir(CoreId(0))).await.expect("listed");
    entries.iter().filter(|entry| entry.name.base().starts_with("free-")).count()
}

#[test]
fn a_write_without_an_answer_lands_in_no_other_partition() {
    for seed in 0..4 {
        let world = World::new(seed);
        let w = world.clone();
        let per_segment = SEGMENT / BATCH as u64;
        let count = SEGMENTS * per_segment;
        world.run_until(async move {
            let shard = open(&w).await;
            fill(&w, &shard, 1, 0..per_segment / 2).await;
            let before = w.counters().faults;
            w.faults(|f| f.stall_writes_of = Some(".log"));
            let (inner, other) = (w.clone(), shard.clone());
            let filled = w.start(async move { fill(&inner, &other, 1, per_segment / 2..count).await });
            while w.counters().faults == before {
                w.sleep(Duration::from_millis(10)).await;
            }
            w.faults(|f| f.stall_writes_of = None);
            filled.join().await;
            assert_ne!(shard.stats().segment_errors, 0, "its deadline passed");
            // All of it is deleted, and what is kept of its files is used by the other partition.
            shard.update(key(1), TopicSettings { retention_bytes: Some(0), ..settings() });
            for _ in 0..10 {
                shard.housekeep(w.now()).await;
                w.sleep(Duration::from_millis(200)).await;
            }
            assert_eq!(free_files(&w).await, KEPT);
            fill(&w, &shard, 2, 0..count).await;
            w.sleep(Duration::from_secs(5)).await;
            assert_eq!(free_files(&w).await, 0);
            check(&shard, 2, count).await;
        });
        // Now the disk carries it out.
        world.kill();
        let w = world.clone();
        world.run_until(async move {
            let shard = open(&w).await;
            check(&shard, 2, count).await;
        });
    }
}
