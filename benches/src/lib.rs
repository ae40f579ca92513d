//! What the benchmarks share: inputs, a shard over a disk that keeps nothing, a directory on a real
//! disk, and the one way to compare.
//!
//! | file in `benches/` | question |
//! |---|---|
//! | `codec` | how much dearer is reading a Produce request, and writing a Fetch response, than copying its bytes? |
//! | `batch_validation` | how much dearer is validating a batch than its checksum? |
//! | `journal_group` | how much dearer is filling a journal frame than copying its batches? |
//! | `partition_step` | how much dearer is an append with its commit, and a read of the tail, than copying the batch? |
//! | `index_lookup` | how much dearer is a lookup in a large index than in a small one? |
//! | `compaction` `compaction_disk` | how much of a log does a core compact in a second: the decisions alone, and all of it on a disk? |
//! | `mailbox` | what does the hop to another core cost? |
//! | `dma_append` | how much faster or slower are write and flush on io_uring than `pwrite` and `fdatasync`? |
//! | `allocations` | what does the whole broker take from the heap for a produce and for a fetch? |
//!
//! Each answers with a ratio: the baseline stands in the same group of the same run, because two runs
//! on one machine differ by more than most changes do. `cargo bench -p benches --bench NAME`.

mod broker;
mod chance;
pub mod heap;

use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use engine::base::{PartitionKey, TopicId};
use engine::record::{BatchBuilder, Codec};

pub use broker::{Broker, Client};
pub use chance::Chance;

/// A batch of `records` records with values of `value_bytes` bytes, at time `timestamp` (ms).
#[must_use]
pub fn batch(records: usize, value_bytes: usize, timestamp: i64) -> Vec<u8> {
    let value: Vec<u8> = (0..value_bytes).map(|i| (i * 31) as u8).collect();
    let mut builder = BatchBuilder::new(Codec::None);
    (0..records).for_each(|_| builder.push(timestamp, None, Some(&value), &[]));
    builder.finish()
}

/// A partition of the one topic that benchmarks have.
#[must_use]
pub fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index }
}

/// Polls a future that nothing keeps waiting.
///
/// # Panics
/// If it waits all the same.
pub fn ready<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a future that must not wait waits"),
    }
}

/// A fresh directory in the build directory, which is on a disk and not in memory.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn real_dir() -> tempfile::TempDir {
    let target = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
    tempfile::tempdir_in(target.expect("a program lies in a directory")).expect("a directory")
}

/// Pairs of runs in one comparison.
const PAIRS: usize = 15;

/// Prints by how much `this` takes longer than `baseline`: the median over pairs of runs of at least
/// `rounds` calls each, one after the other, so that a change of the machine's speed hits both.
pub fn compare(name: &str, rounds: u32, mut this: impl FnMut(), mut baseline: impl FnMut()) {
    let run = |work: &mut dyn FnMut()| {
        let began = Instant::now();
        (0..rounds).for_each(|_| work());
        began.elapsed().as_secs_f64() / f64::from(rounds)
    };
    run(&mut this);
    run(&mut baseline);
    let mut ratios: Vec<f64> = (0..PAIRS).map(|_| run(&mut this) / run(&mut baseline)).collect();
    ratios.sort_by(f64::total_cmp);
    println!("ratio {name}: {:.2} ({:.2} to {:.2})", ratios[PAIRS / 2], ratios[0], ratios[PAIRS - 1]);
}
