//! DeleteRecords: a client raises the log start.
//!
//! The rise is an entry of the journal like any append, and is answered once that is durable. It never
//! goes back, and it may lie above the written end: what it hides may still be on its way to a segment.

use super::shard::{Shard, Ticket};
use crate::base::{Bug, Offset, PartitionKey, planted};
use crate::io::Disk;

/// A partition and where its log shall start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeleteRecords {
    /// Which.
    pub key: PartitionKey,
    /// Records below it go; `None` stands for the high watermark.
    pub before: Option<Offset>,
}

/// Why a log start was not raised. Nothing has changed then, unless the core went offline meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DeleteRecordsError {
    /// The shard does not host it.
    #[error("the partition is not on this core")]
    UnknownPartition,
    /// Negative, or above the high watermark.
    #[error("offset {asked} is not between 0 and the high watermark {high_watermark}")]
    OutOfRange {
        /// What was asked for.
        asked: Offset,
        /// Consumers see what is below.
        high_watermark: Offset,
    },
    /// The core's journal failed, the shard closes, or is read only.
    #[error("the core is offline")]
    Offline,
}

impl<D: Disk> Shard<D> {
    /// Raises the log starts of partitions, all in as few group commits as they fit. Each answer is the
    /// log start in force, durable; one that was there or above already stays. The segments below go
    /// with the next [`Shard::housekeep`].
    pub async fn delete_records(&self, wants: &[DeleteRecords]) -> Vec<Result<Offset, DeleteRecordsError>> {
        let mut begun = Vec::with_capacity(wants.len());
        for want in wants {
            begun.push(self.begin_delete(want).await);
        }
        let last = begun.iter().filter_map(|b| b.as_ref().ok()).filter_map(|(_, ticket)| *ticket).max();
        let durable = match last {
            Some(ticket) => self.until_durable(ticket).await.is_ok(),
            None => true,
        };
        let state = self.inner.state.borrow();
        begun
            .into_iter()
            .zip(wants)
            .map(|(begun, want)| {
                let (start, ticket) = begun?;
                if ticket.is_some() && !durable {
                    return Err(DeleteRecordsError::Offline);
                }
                // Another raise may have gone further meanwhile.
                Ok(state.by_key(want.key).map_or(start, |p| p.log_start.max(start)))
            })
            .collect()
    }

    /// Puts one rise into the open frame, waiting for room. No ticket where there is nothing to raise.
    async fn begin_delete(
        &self,
        want: &DeleteRecords,
    ) -> Result<(Offset, Option<Ticket>), DeleteRecordsError> {
        loop {
            let read_only = self.inner.settings.read_only;
            if self.inner.failed.get() || self.inner.draining.get() || read_only {
                return Err(DeleteRecordsError::Offline);
            }
            let pushed = {
                let mut guard = self.inner.state.borrow_mut();
                let state = &mut *guard;
                let slot = state.slot(want.key).ok_or(DeleteRecordsError::UnknownPartition)?;
                let partition = state.partition(slot).ok_or(DeleteRecordsError::UnknownPartition)?;
                let high_watermark = partition.high_watermark;
                let asked = want.before.unwrap_or(high_watermark);
                if asked < Offset::ZERO || asked > high_watermark {
                    return Err(DeleteRecordsError::OutOfRange { asked, high_watermark });
                }
                if asked <= partition.log_start {
                    return Ok((partition.log_start, None));
                }
                if planted(Bug::LogStartInMemory) {
                    partition.log_start_durable(asked);
                    return Ok((asked, None));
                }
                let now = self.inner.now.get().wall;
                state.push_log_start(slot, asked, now, &self.inner.disk).map(|pushed| (asked, pushed))
            };
            match pushed {
                Some((asked, Ok(ticket))) => {
                    self.inner.work.notify();
                    return Ok((asked, Some(ticket)));
                }
                Some((_, Err(()))) => self.room().await,
                None => return Err(DeleteRecordsError::UnknownPartition),
            }
        }
    }
}
