//! A clean stop: the journal is drained and every file ends where its log does.

use futures_util::future::join_all;

use super::shard::Shard;
use crate::base::Now;
use crate::io::{Disk, DiskResult, FileName};
use crate::log::names;

/// Partitions finished at the same time.
const AT_ONCE: usize = 8;

impl<D: Disk> Shard<D> {
    /// Stops taking appends, acknowledges what was taken, brings every segment and index to its
    /// exact length, and checkpoints. After it the data directory reads like Kafka's own.
    ///
    /// It waits for no disk that fails: what a partition cannot write stays in the journal, and what waits for a
    /// journal file that does not come free is given up, unacknowledged. Its end needs [`Shard::tick`] until then.
    ///
    /// # Errors
    /// The disk's. What was acknowledged is safe in the journal all the same: the next start reads it.
    pub async fn close(&self, now: Now) -> DiskResult<()> {
        let inner = &self.inner;
        inner.now.set(now);
        inner.draining.set(true);
        inner.files.notify();
        inner.ticked.notify();
        self.until_cleaned().await;
        self.drain().await;
        let mut finished = self.why_offline();
        if finished.is_ok() {
            finished = self.force_writes(inner.durable.get()).await.map(drop);
        }
        inner.closing.set(true);
        finished = finished.and_then(|()| self.why_offline());
        if finished.is_ok() {
            finished = self.finish_all().await;
        }
        inner.work.notify();
        inner.written.notify();
        inner.ahead.notify();
        inner.files.notify();
        inner.room.notify();
        inner.ticked.notify();
        inner.buried.notify();
        if let Err(error) = self.save_last_time(now).await {
            tracing::warn!(%error, "the time was not written down");
        }
        if let Err(error) = self.save_scrub().await {
            tracing::warn!(%error, "the place of the scrub was not written down");
        }
        finished
    }

    /// Waits until compaction has put down what it was at.
    async fn until_cleaned(&self) {
        loop {
            let wait = self.inner.files.wait();
            if !self.inner.cleaning.get() || self.inner.failed.get() {
                return;
            }
            wait.await;
        }
    }

    /// Waits until the last frame is durable.
    async fn drain(&self) {
        loop {
            let wait = self.inner.committed.wait();
            let drained = {
                let state = self.inner.state.borrow();
                state.frame.is_empty() && self.inner.durable.get() + 1 == state.sequence
            };
            if drained || self.inner.failed.get() {
                return;
            }
            self.inner.work.notify();
            wait.await;
        }
    }

    /// Finishes every partition that was written since it was last finished, and checkpoints.
    pub(super) async fn finish_all(&self) -> DiskResult<()> {
        let slots: Vec<u32> = {
            let state = self.inner.state.borrow();
            let unsealed = |p: &super::partition::Partition<D>| !p.segment.sealed && !p.offline;
            let of = |(slot, p): (usize, &Option<Box<_>>)| {
                p.as_deref().is_some_and(unsealed).then_some(slot as u32)
            };
            state.partitions.iter().enumerate().filter_map(of).collect()
        };
        for some in slots.chunks(AT_ONCE) {
            for finished in join_all(some.iter().map(|&slot| self.finish_partition(slot))).await {
                finished?;
            }
        }
        if self.take_checkpoint().await? {
            return Ok(());
        }
        // A partition that cannot be written keeps its place in the journal.
        self.inner.state.borrow().segment_error.clone().map_or(Ok(()), Err)
    }

    async fn finish_partition(&self, slot: u32) -> DiskResult<()> {
        if !self.hold(slot).await {
            return Ok(());
        }
        let finished = self.finish_held(slot).await;
        self.let_go(slot);
        finished
    }

    async fn finish_held(&self, slot: u32) -> DiskResult<()> {
        let Some(key) = self.inner.state.borrow().key_of(slot) else { return Ok(()) };
        self.finish_segment(slot).await?;
        let (end, epochs) = {
            let mut state = self.inner.state.borrow_mut();
            let Some(partition) = state.partition(slot) else { return Ok(()) };
            (partition.written.end(), partition.epochs.encode())
        };
        self.write_snapshot(slot, end).await?;
        let dir = FileName::partition_dir(key);
        let disk = &self.inner.disk;
        disk.replace(&dir.join(names::LEADER_EPOCH_CHECKPOINT), epochs.into_bytes()).await?;
        let metadata = names::encode_partition_metadata(key.topic);
        disk.replace(&dir.join(names::PARTITION_METADATA), metadata.into_bytes()).await
    }
}
