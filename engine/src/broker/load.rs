//! Reading a whole log once, for a state that is rebuilt from it: the coordinators' groups.
//!
//! What is damaged must not keep the rest from being loaded, and what the disk only could not read just now
//! must not be given up at once: what was committed there would be as it was before.
//!
//! | what a read meets | what the load does |
//! |---|---|
//! | a range of damage | goes on behind it |
//! | a range that the disk cannot read | asks [`TRIES`] times, [`AGAIN`] apart, and goes on behind it |
//! | a disk that hangs, or fails otherwise | the same, and then gives up |
//! | a log start that rose | goes on from there |

use std::time::Duration;

use super::read::FetchError;
use super::shard::Shard;
use crate::base::{Offset, PartitionKey};
use crate::io::Disk;
use crate::log::DamagedRange;
use crate::record::BatchHeader;

/// How often the disk is asked for what it cannot read.
const TRIES: u32 = 3;

/// The time between two of them: longer than a reader is kept from a range that could not be read.
const AGAIN: Duration = Duration::from_secs(11);

/// Bytes read at a time.
const LOAD_BYTES: usize = 1 << 20;

/// Reads a log from its start to where it ended when the load began.
#[derive(Debug)]
pub struct Load {
    key: PartitionKey,
    next: Offset,
    end: Option<Offset>,
    tries: u32,
}

impl Load {
    /// Of this partition.
    #[must_use]
    pub fn new(key: PartitionKey) -> Load {
        Load { key, next: Offset::ZERO, end: None, tries: 0 }
    }

    /// The next batches that can be read, whole and in order; `None` behind the last. May wait for half a
    /// minute where the disk fails.
    ///
    /// # Errors
    /// The partition is gone, or the disk fails and goes on failing.
    pub async fn next<D: Disk>(&mut self, shard: &Shard<D>) -> Result<Option<Vec<u8>>, FetchError> {
        loop {
            let bounds = shard.bounds(self.key)?;
            let end = *self.end.get_or_insert(bounds.high_watermark);
            self.next = self.next.max(bounds.log_start);
            if self.next >= end {
                return Ok(None);
            }
            let error = match shard.read(self.key, self.next, LOAD_BYTES, true).await {
                Ok(fetched) => {
                    let mut bytes = Vec::with_capacity(fetched.bytes);
                    fetched.slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
                    let behind = behind(&bytes);
                    if let Some(next) = behind.filter(|next| *next > self.next) {
                        (self.next, self.tries) = (next, 0);
                        return Ok(Some(bytes));
                    }
                    // Nothing was read below the high watermark: somebody else may know why, later.
                    FetchError::OutOfRange(bounds)
                }
                Err(FetchError::Fenced(range)) if range.cause.is_lasting() || self.tries >= TRIES => {
                    self.pass_over(shard, range);
                    continue;
                }
                Err(FetchError::UnknownPartition) => return Err(FetchError::UnknownPartition),
                Err(error) => error,
            };
            if self.tries >= TRIES {
                return Err(error);
            }
            self.tries += 1;
            tracing::warn!(partition = %self.key, %error, "a load waits for the disk: it is asked again");
            if !shard.until_passed(AGAIN).await {
                return Err(error);
            }
        }
    }

    fn pass_over<D: Disk>(&mut self, shard: &Shard<D>, range: DamagedRange) {
        tracing::error!(
            partition = %self.key,
            first_offset = range.first.0,
            next_readable = range.end.0,
            cause = range.cause.name(),
            "records are passed over: what they changed is as it was before"
        );
        let mut state = shard.inner.state.borrow_mut();
        state.stats.load_ranges_passed_over += 1;
        state.stats.load_offsets_passed_over += (range.end.0 - self.next.0.max(range.first.0)).max(0) as u64;
        (self.next, self.tries) = (self.next.max(range.end), 0);
    }
}

/// The offset behind the last of these whole batches.
fn behind(mut bytes: &[u8]) -> Option<Offset> {
    let mut next = None;
    while let Some(header) = BatchHeader::peek(bytes) {
        next = Some(header.next_offset());
        bytes = header.total_bytes().and_then(|total| bytes.get(total..)).unwrap_or_default();
    }
    next
}

impl<D: Disk> Shard<D> {
    /// Waits until the shard's clock has gone on by so much. False if it closes before.
    async fn until_passed(&self, time: Duration) -> bool {
        let end = self.inner.now.get().mono.after(time);
        loop {
            let wait = self.inner.ticked.wait();
            if self.inner.closing.get() {
                return false;
            }
            if self.inner.now.get().mono >= end {
                return true;
            }
            wait.await;
        }
    }
}
