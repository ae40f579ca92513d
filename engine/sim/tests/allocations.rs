//! Once warm, an append, a group commit and a read of the hot tail take nothing from the heap.
//!
//! One test alone in this binary: every allocation of the process counts.

use std::alloc::System;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use engine::base::{CoreId, LeaderEpoch, Now, Offset, PartitionKey, ProducerEpoch, ProducerId, TopicId};
use engine::broker::{AppendError, HostedPartition, Shard, ShardSettings, recover};
use engine::config::TopicSettings;
use engine::record::{BatchBuilder, Codec};
use sim::NullDisk;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PARTITIONS: i32 = 16;
const POOL: usize = 8 << 20;
const WARM: usize = 6_000;
const COUNTED: usize = 1_400;
const FETCH_BYTES: usize = 64 * 1024;

/// Allocations seen, by what made them.
#[derive(Default)]
struct Seen {
    append: usize,
    commit: usize,
    read: usize,
}

/// Runs `work` and adds what it allocated.
fn count<T>(into: &mut usize, work: impl FnOnce() -> T) -> T {
    let region = Region::new(ALLOCATOR);
    let value = work();
    let change = region.change();
    *into += change.allocations + change.reallocations;
    value
}

/// Polls a future that the null disk never keeps waiting.
fn ready<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the null disk is never busy"),
    }
}

/// A job of the shard that is polled by hand.
struct Job<'a>(Pin<Box<dyn Future<Output = ()> + 'a>>);

impl Job<'_> {
    fn step(&mut self) {
        let state = self.0.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(state.is_pending(), "the job ended");
    }
}

fn key(index: usize) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index: index as i32 }
}

#[test]
fn a_warm_append_commit_and_hot_read_allocate_nothing() {
    let disk = NullDisk::new(POOL);
    let now = Now::default();
    let hosted: Vec<HostedPartition> = (0..PARTITIONS as usize)
        .map(|index| HostedPartition {
            key: key(index),
            core: CoreId(0),
            leader_epoch: LeaderEpoch(0),
            settings: TopicSettings { segment_bytes: 2 << 20, ..TopicSettings::default() },
        })
        .collect();
    let mut recovered = ready(recover(&disk, &hosted, 1, now)).expect("an empty disk");
    let settings =
        ShardSettings { journal_bytes: 4 << 20, journal_bytes_first: 4 << 20, ..ShardSettings::default() };
    let shard = ready(Shard::open(disk, recovered.cores.remove(0), settings, now)).expect("open");
    for part in hosted.iter().filter(|p| shard.bounds(p.key).is_err()) {
        shard.create(part.clone());
    }
    let mut commits = Job(Box::pin(shard.run_commits()));
    let mut writer = Job(Box::pin(shard.run_writer()));

    let value = [5_u8; 16_000];
    let mut builder = BatchBuilder::new(Codec::None);
    let mut batch = Vec::new();
    let mut seen = Seen::default();
    for i in 0..WARM + COUNTED {
        if i == WARM {
            seen = Seen::default();
        }
        let (key, turn) = (key(i % PARTITIONS as usize), (i / PARTITIONS as usize) as i32);
        batch.clear();
        builder.set_producer(ProducerId(i64::from(key.index)), ProducerEpoch(0), turn);
        builder.push(1_000, None, Some(&value), &[]);
        builder.finish_into(&mut batch);
        let appended = loop {
            match count(&mut seen.append, || shard.append(now, key, &batch)) {
                Ok(appended) => break appended,
                Err(AppendError::NoRoom) => writer.step(),
                Err(error) => panic!("{error}"),
            }
        };
        // Most frames hold one batch and are one write; every seventh holds two, in two writes.
        if i % 7 != 0 {
            count(&mut seen.commit, || commits.step());
        }
        writer.step();
        if shard.durable() >= appended.ticket {
            let from = Offset((appended.base_offset.0 - 2).max(0));
            let read = count(&mut seen.read, || ready(shard.read(key, from, FETCH_BYTES, true)));
            assert!(read.expect("in memory").bytes >= batch.len());
        }
    }
    let stats = shard.stats();
    assert!(stats.checkpoints > 5 && stats.commits > (WARM / 2) as u64, "{stats:?}");
    assert_eq!(stats.bytes_read_cold, 0, "every read was of the tail");
    let allocations = (seen.append, seen.commit, seen.read);
    assert_eq!(allocations, (0, 0, 0), "in {COUNTED} appends, commits and reads");
}
