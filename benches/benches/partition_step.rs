//! How much dearer is an append with its group commit, the segment's copy and its share of checkpoints
//! than copying the batch once? And a read of the tail? Over a disk that keeps nothing: all of it is
//! the engine's own work.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Waker};

use benches::{batch, compare, key, ready};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::base::{CoreId, LeaderEpoch, Now, Offset};
use engine::broker::{AppendError, HostedPartition, Shard, ShardSettings, recover};
use engine::config::TopicSettings;
use sim::NullDisk;

const PARTITIONS: i32 = 16;
const POOL: usize = 32 << 20;
const FETCH_BYTES: usize = 64 * 1024;

type Job = Pin<Box<dyn Future<Output = ()>>>;

struct Bench {
    shard: Shard<NullDisk>,
    commits: Job,
    writer: Job,
    next: i32,
    newest: [Offset; PARTITIONS as usize],
}

impl Bench {
    fn new() -> Bench {
        let disk = NullDisk::new(POOL);
        let hosted: Vec<HostedPartition> = (0..PARTITIONS)
            .map(|index| HostedPartition {
                key: key(index),
                core: CoreId(0),
                leader_epoch: LeaderEpoch(0),
                settings: TopicSettings::default(),
            })
            .collect();
        let mut recovered = ready(recover(&disk, &hosted, 1, Now::default())).expect("an empty disk");
        let state = recovered.cores.remove(0);
        let shard = ready(Shard::open(disk, state, ShardSettings::default(), Now::default())).expect("open");
        for part in hosted.iter().filter(|p| shard.bounds(p.key).is_err()) {
            shard.create(part.clone());
        }
        let (commits, writer) = (shard.clone(), shard.clone());
        Bench {
            shard,
            commits: Box::pin(async move { commits.run_commits().await }),
            writer: Box::pin(async move { writer.run_writer().await }),
            next: 0,
            newest: [Offset::ZERO; PARTITIONS as usize],
        }
    }

    fn step(job: &mut Job) {
        assert!(job.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "the job ended");
    }

    /// Appends a batch to each partition and commits them as one group.
    fn append_group(&mut self, batch: &[u8]) {
        for index in 0..PARTITIONS {
            let appended = loop {
                match self.shard.append(Now::default(), key(index), batch) {
                    Ok(appended) => break appended,
                    Err(AppendError::NoRoom) => {
                        Bench::step(&mut self.commits);
                        Bench::step(&mut self.writer);
                    }
                    Err(error) => panic!("{error}"),
                }
            };
            self.newest[index as usize] = appended.base_offset;
        }
        Bench::step(&mut self.commits);
        Bench::step(&mut self.writer);
    }

    /// Reads the newest batch of the next partition.
    fn read(&mut self) -> usize {
        self.next = (self.next + 1) % PARTITIONS;
        let from = self.newest[self.next as usize];
        ready(self.shard.read(key(self.next), from, FETCH_BYTES, true)).expect("in memory").bytes
    }
}

fn partition_step(c: &mut Criterion) {
    let batch = batch(15, 1024, 1_000);
    let mut to = vec![0; batch.len() * PARTITIONS as usize];
    let mut bench = Bench::new();
    let copy = |to: &mut [u8]| {
        for part in to.chunks_exact_mut(batch.len()) {
            part.copy_from_slice(black_box(&batch));
        }
        black_box(to);
    };
    let mut group = c.benchmark_group("partition_step");
    group.throughput(Throughput::Bytes(to.len() as u64));
    group.bench_function("copy of 16 batches", |b| b.iter(|| copy(&mut to)));
    group
        .bench_function("append and commit 16 batches", |b| b.iter(|| bench.append_group(black_box(&batch))));
    group.throughput(Throughput::Bytes(batch.len() as u64));
    group.bench_function("read of a hot batch", |b| b.iter(|| bench.read()));
    group.finish();
    compare("append and commit / copy", 200, || bench.append_group(black_box(&batch)), || copy(&mut to));
    let mut one = vec![0; batch.len()];
    compare(
        "read of a hot batch / copy",
        2_000,
        || {
            black_box(bench.read());
        },
        || {
            one.copy_from_slice(black_box(&batch));
            black_box(&one);
        },
    );
}

criterion_group!(benches, partition_step);
criterion_main!(benches);
