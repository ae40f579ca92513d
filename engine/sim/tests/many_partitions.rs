//! Very many partitions: what they cost in files, and what holds when hardly any may be open.

use engine::base::{CoreId, LeaderEpoch, PartitionKey, TopicId};
use engine::broker::{AppendError, HostedPartition, Shard, ShardSettings, recover};
use engine::config::TopicSettings;
use engine::record::{BatchBuilder, Codec};
use sim::{SimDisk, World};

const POOL: usize = 8 * 1024 * 1024;

/// A record of this size fills a block, and one of the other does not.
const LARGE: usize = 6000;
const SMALL: usize = 100;

/// Files that lanes, a checkpoint and a reader hold at a time, whatever the bound of the idle ones.
const IN_USE_MAX: usize = 32;

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index }
}

fn hosted(partitions: i32) -> Vec<HostedPartition> {
    let settings = TopicSettings { index_interval_bytes: 0, ..TopicSettings::default() };
    let partition = |index| HostedPartition {
        key: key(index),
        core: CoreId(0),
        leader_epoch: LeaderEpoch(0),
        settings: settings.clone(),
    };
    (0..partitions).map(partition).collect()
}

async fn open(world: &World, partitions: i32) -> Shard<SimDisk> {
    let disk = world.disk(POOL);
    let recovered = recover(&disk, &hosted(partitions), 1, world.now()).await;
    let core = recovered.expect("recovery").cores.remove(0);
    let settings =
        ShardSettings { journal_bytes: 1 << 20, journal_bytes_first: 1 << 20, ..ShardSettings::default() };
    let shard = Shard::open(disk, core, settings, world.now()).await.expect("open");
    world.run_shard(&shard);
    shard
}

fn batch(index: i32, round: i32, bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1000, None, Some(&vec![(index * 7 + round) as u8; bytes]), &[]);
    builder.finish()
}

/// Appends to every partition once, and waits until all of it is durable.
async fn write_each(world: &World, shard: &Shard<SimDisk>, partitions: i32, round: i32, bytes: usize) {
    let mut last = shard.durable();
    for index in 0..partitions {
        last = loop {
            match shard.append(world.now(), key(index), &batch(index, round, bytes)) {
                Ok(appended) => break appended.ticket,
                Err(AppendError::NoRoom) => shard.room().await,
                Err(error) => panic!("partition {index}: {error}"),
            }
        };
    }
    shard.until_durable(last).await.expect("online");
}

/// Every partition holds what `rounds` rounds wrote, and nothing else.
async fn check_each(shard: &Shard<SimDisk>, partitions: i32, rounds: i32, bytes: usize) {
    for index in 0..partitions {
        let mut next = shard.bounds(key(index)).expect("hosted").log_start;
        for round in 0..rounds {
            let fetched = shard.read(key(index), next, 1, true).await.expect("readable");
            let found: Vec<u8> = fetched.slices.iter().flat_map(|slice| slice.to_vec()).collect();
            assert!(
                found[16..] == batch(index, round, bytes)[16..],
                "partition {index} at {next}, of {round}"
            );
            next = next.plus(1);
        }
        assert_eq!(shard.bounds(key(index)).expect("hosted").high_watermark, next, "partition {index}");
    }
}

#[test]
fn partitions_with_less_than_a_block_have_no_file_and_survive_a_crash() {
    let world = World::new(1);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 1000).await;
        // More than the journal holds: checkpoints are taken.
        for round in 0..5 {
            write_each(&inner, &shard, 1000, round, SMALL).await;
        }
        assert!(shard.stats().checkpoints > 0);
    });
    assert_eq!(world.counters().segments_opened, 0);
    world.crash();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 1000).await;
        check_each(&shard, 1000, 5, SMALL).await;
    });
    assert_eq!(world.counters().segments_opened, 0);
}

#[test]
fn a_start_opens_no_segment_and_reads_what_a_checkpoint_and_a_journal_hold() {
    let world = World::new(2);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 1000).await;
        write_each(&inner, &shard, 1000, 0, LARGE).await;
    });
    world.crash();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 1000).await;
        write_each(&inner, &shard, 10, 1, SMALL).await;
    });
    world.crash();
    let before = world.counters();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 1000).await;
        assert_eq!(shard.bounds(key(9)).expect("hosted").high_watermark.0, 2);
    });
    let now = world.counters();
    assert_eq!(now.segments_opened, before.segments_opened);
    let read = now.bytes_read - before.bytes_read;
    // Two checkpoints with an open block of 2 KB for each partition, and the journal's first file.
    assert!(read < 2 * 1000 * 2600 + (2 << 20), "{read} bytes read");
}

#[test]
fn three_hundred_written_partitions_work_with_four_open_files() {
    let world = World::new(3);
    world.faults(|f| f.files_max = Some(4));
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 300).await;
        for round in 0..4 {
            write_each(&inner, &shard, 300, round, LARGE).await;
        }
        check_each(&shard, 300, 4, LARGE).await;
        let stats = shard.stats();
        assert!(stats.checkpoints > 0 && stats.files_closed > 300, "{stats:?}");
        assert_eq!(stats.segment_errors, 0);
    });
    let most = world.counters().segments_open_max;
    assert!(most <= 4 + IN_USE_MAX, "{most} files were open at a time");
    world.crash();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 300).await;
        check_each(&shard, 300, 4, LARGE).await;
        shard.close(inner.now()).await.expect("closed");
    });
    let most = world.counters().segments_open_max;
    assert!(most <= 4 + IN_USE_MAX, "{most} files were open at a time");
}

#[test]
fn idle_files_are_closed_when_the_process_has_no_descriptor_left() {
    let world = World::new(4);
    // The shard believes that it may have more.
    world.faults(|f| f.descriptors = Some(IN_USE_MAX));
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 200).await;
        for round in 0..2 {
            write_each(&inner, &shard, 200, round, SMALL).await;
        }
        shard.close(inner.now()).await.expect("closed");
        assert_eq!(shard.stats().segment_errors, 0);
    });
    world.crash();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 200).await;
        for round in 0..2 {
            write_each(&inner, &shard, 100, round, LARGE).await;
        }
        shard.close(inner.now()).await.expect("closed");
        assert_eq!(shard.stats().segment_errors, 0);
    });
}

#[test]
fn a_file_that_cannot_be_opened_refuses_appends_to_its_partition_until_it_can() {
    let world = World::new(5);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner, 3).await;
        inner.faults(|f| f.descriptors = Some(0));
        let mut refused = 0;
        for round in 0..400 {
            match shard.append(inner.now(), key(0), &batch(0, round, LARGE)) {
                Ok(appended) => shard.until_durable(appended.ticket).await.expect("the journal is open"),
                Err(AppendError::NoRoom) => shard.room().await,
                Err(error) => {
                    assert_eq!(error, AppendError::Offline);
                    refused += 1;
                }
            }
            shard.tick(inner.now());
        }
        assert!(refused > 0);
        let held = shard.bounds(key(0)).expect("hosted").high_watermark;
        assert!(held.0 > 0, "what was acknowledged is in the journal");
        inner.faults(|f| f.descriptors = None);
        let appended = loop {
            match shard.append(inner.now(), key(0), &batch(0, 0, SMALL)) {
                Ok(appended) => break appended,
                Err(_) => {
                    shard.tick(inner.now());
                    inner.sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        };
        assert_eq!(appended.base_offset, held);
        shard.until_durable(appended.ticket).await.expect("online");
        assert!(shard.read(key(0), engine::base::Offset(0), 1, true).await.expect("readable").bytes > LARGE);
        assert!(shard.damages().is_empty(), "a descriptor that was missing says nothing of the segment");
    });
}
