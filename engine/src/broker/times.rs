//! Offsets by time, exact to the record (ListOffsets).

use super::pages::SegmentSource;
use super::read::FetchError;
use super::shard::Shard;
use super::tail::TailBatch;
use crate::base::{Offset, PartitionKey};
use crate::io::Disk;
use crate::log::scan::{Damaged, Found, Step, Walk};
use crate::log::times;
use crate::record::{BatchHeader, HEADER_BYTES, TimestampType, crc_matches};

pub use crate::log::times::TimedOffset;

/// Bytes of segment scanned at a time behind the index entry.
const SCAN_BYTES: usize = 256 * 1024;

/// A batch inflates to at most this, in bytes, when its records' timestamps are asked for. The
/// answer for one that does not is its first offset: early by a batch, never late.
const INFLATE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is looked for.
#[derive(Clone, Copy)]
enum Wanted {
    /// The first record at or after this time.
    Since(i64),
    /// The first record with this time, the largest in the log.
    Max(i64),
}

impl<D: Disk> Shard<D> {
    /// The first record, by offset, whose timestamp is at or after `timestamp` ms. `None` if there
    /// is none.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn offset_for_time(
        &self,
        key: PartitionKey,
        timestamp: i64,
    ) -> Result<Option<TimedOffset>, FetchError> {
        self.steady(key, async || self.find_time(key, timestamp).await).await
    }

    async fn find_time(&self, key: PartitionKey, timestamp: i64) -> Result<Option<TimedOffset>, FetchError> {
        let wanted = Wanted::Since(timestamp);
        let from = self.bounds(key)?.log_start;
        let mut after = from;
        loop {
            let found = {
                let state = self.inner.state.borrow();
                let written = &state.by_key(key).ok_or(FetchError::UnknownPartition)?.written;
                let segment = times::segment_for(written, after, timestamp);
                segment.map(|s| (s.base, written.end_of(s.base)))
            };
            let Some((base, end)) = found else { return Ok(self.scan_tail(key, from, timestamp)) };
            let source = self.source(key, base).await?;
            let near = self.indexed_time(&source, timestamp).await?;
            if let Some(found) = self.scan_segment(&source, from.max(near), from, wanted).await? {
                return Ok(Some(found));
            }
            // Its record of that time lies below the log start.
            after = end;
        }
    }

    /// The first record with the largest timestamp in the log (KIP-734). `None` if the log is empty
    /// or its records have no timestamps.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn max_timestamp(&self, key: PartitionKey) -> Result<Option<TimedOffset>, FetchError> {
        self.steady(key, async || self.find_max(key).await).await
    }

    async fn find_max(&self, key: PartitionKey) -> Result<Option<TimedOffset>, FetchError> {
        let from = self.bounds(key)?.log_start;
        let written = self.written_max(key, from).await?;
        let unwritten = self.unwritten_max(key, from);
        Ok(match (written, unwritten) {
            (Some(written), Some(hot)) if written.timestamp < hot.timestamp => Some(hot),
            (None, hot) => hot,
            (written, _) => written,
        })
    }

    /// The first record with the largest timestamp in the segments.
    async fn written_max(&self, key: PartitionKey, from: Offset) -> Result<Option<TimedOffset>, FetchError> {
        let candidate = |from| -> Result<_, FetchError> {
            let state = self.inner.state.borrow();
            let partition = state.by_key(key).ok_or(FetchError::UnknownPartition)?;
            let segment = times::segment_of_max(&partition.written, from);
            Ok(segment.map(|s| (s.base, s.max, partition.written.end_of(s.base))))
        };
        let Some((base, max, end)) = candidate(from)? else { return Ok(None) };
        let source = self.source(key, base).await?;
        if max.offset >= from {
            let near = max.offset;
            let found = self.scan_segment(&source, near, from, Wanted::Max(max.timestamp)).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        // The log starts within this segment, behind its largest timestamp: what is left of it is walked
        // once, and the segments behind it are whole.
        let rest = self.largest_left(&source, from).await?;
        let Some((base, max, _)) = candidate(end)? else { return Ok(rest) };
        if rest.is_some_and(|rest| rest.timestamp >= max.timestamp) {
            return Ok(rest);
        }
        let source = self.source(key, base).await?;
        self.scan_segment(&source, max.offset, end, Wanted::Max(max.timestamp)).await
    }

    /// The first record with the largest timestamp of those that are in no segment yet.
    fn unwritten_max(&self, key: PartitionKey, from: Offset) -> Option<TimedOffset> {
        let state = self.inner.state.borrow();
        let left = || state.by_key(key).into_iter().flat_map(|p| p.tail.unwritten());
        let exact = |batch: &TailBatch<D::Chunk>| {
            let bytes: Vec<u8> = batch.slices.iter().flat_map(|s| s.iter().copied()).collect();
            times::first_of_max(&bytes, from, INFLATE_BYTES_MAX)
        };
        // The log starts within one batch at most.
        let cut = left().find(|b| b.base_offset < from && b.last_offset >= from).and_then(exact);
        let whole = left().filter(|b| b.base_offset >= from);
        let largest = whole.reduce(|best, b| if b.max_timestamp > best.max_timestamp { b } else { best });
        match (cut, largest) {
            (Some(cut), Some(batch)) if batch.max_timestamp <= cut.timestamp => Some(cut),
            (cut, None) => cut,
            (_, Some(batch)) => exact(batch),
        }
    }

    /// When the batch that holds `from`, or the first behind it, began: the timestamp of its first record, or
    /// the broker's where that counts. `None` at the end of the log and where there is no timestamp. Reads
    /// headers only, so it is exact to the batch and costs no more than a block or two of a cold segment.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn time_at(&self, key: PartitionKey, from: Offset) -> Result<Option<i64>, FetchError> {
        self.steady(key, async || self.find_time_at(key, from).await).await
    }

    async fn find_time_at(&self, key: PartitionKey, from: Offset) -> Result<Option<i64>, FetchError> {
        let bounds = self.bounds(key)?;
        let mut from = from.max(bounds.log_start);
        let header = loop {
            if from >= bounds.high_watermark {
                return Ok(None);
            }
            if self.is_hot(key, from) {
                let state = self.inner.state.borrow();
                let partition = state.by_key(key).ok_or(FetchError::UnknownPartition)?;
                break partition.tail.from(from).next().map(TailBatch::header);
            }
            let source = self.source_of(key, from).await?;
            let near = self.indexed_position(&source, from).await?;
            let position = self.locate(&source, near, from).await?;
            let slices = self.read_range(&source, position, HEADER_BYTES).await?;
            if let Step::Batch(found) = Walk::new(&slices, position, source.end, source.base).next()? {
                break Some(found.header);
            }
            // Compaction took what was here.
            let state = self.inner.state.borrow();
            from = state.by_key(key).ok_or(FetchError::UnknownPartition)?.written.end_of(source.base);
        };
        let time = header.map(|header| match header.attributes().timestamp_type() {
            TimestampType::LogAppendTime => header.max_timestamp(),
            // Compaction put something else where the first record's time was, or nothing.
            TimestampType::CreateTime if header.delete_horizon().is_some() || header.record_count() == 0 => {
                header.max_timestamp()
            }
            TimestampType::CreateTime => header.base_timestamp(),
        });
        Ok(time.filter(|ms| *ms >= 0))
    }

    async fn scan_segment(
        &self,
        source: &SegmentSource<D>,
        near: Offset,
        from: Offset,
        wanted: Wanted,
    ) -> Result<Option<TimedOffset>, FetchError> {
        let indexed = self.indexed_position(source, near).await?;
        let mut position = self.locate(source, indexed, near).await?;
        loop {
            let next =
                self.find_batch(source, position, |found| wanted.may_hold(&found.header, from)).await?;
            let Some(found) = next else { return Ok(None) };
            let batch = self.whole_batch(source, found.position, found.bytes).await?;
            if !crc_matches(&batch) {
                position = self.past_damage(source, found.position).await?;
                continue;
            }
            if let Some(found) = wanted.find(&batch, from) {
                return Ok(Some(found));
            }
            position = found.position + found.bytes as u64;
        }
    }

    /// The first record with the largest timestamp of a segment's records at or after `from`, by the headers
    /// of all batches from there on.
    async fn largest_left(
        &self,
        source: &SegmentSource<D>,
        from: Offset,
    ) -> Result<Option<TimedOffset>, FetchError> {
        let indexed = self.indexed_position(source, from).await?;
        let start = self.locate(source, indexed, from).await?;
        let (mut first, mut largest) = (None, None::<Found>);
        self.find_batch(source, start, |found| {
            if found.header.base_offset() < from {
                first = Some(*found);
            } else if found.header.record_count() != 0
                && largest.is_none_or(|l| l.header.max_timestamp() < found.header.max_timestamp())
            {
                largest = Some(*found);
            }
            false
        })
        .await?;
        let mut best: Option<TimedOffset> = None;
        for found in [first, largest].into_iter().flatten() {
            if best.is_some_and(|best| best.timestamp >= found.header.max_timestamp()) {
                continue;
            }
            let batch = self.whole_batch(source, found.position, found.bytes).await?;
            let exact = times::first_of_max(&batch, from, INFLATE_BYTES_MAX);
            best = match (best, exact) {
                (Some(best), Some(exact)) if best.timestamp >= exact.timestamp => Some(best),
                (best, None) => best,
                (_, exact) => exact,
            };
        }
        Ok(best)
    }

    /// The first batch at or behind `position`, where one begins, that is wanted.
    async fn find_batch(
        &self,
        source: &SegmentSource<D>,
        mut position: u64,
        mut wanted: impl FnMut(&Found) -> bool,
    ) -> Result<Option<Found>, FetchError> {
        let mut want = SCAN_BYTES;
        while position < source.end {
            let slices = self.read_range(source, position, want).await?;
            let mut walk = Walk::new(&slices, position, source.end, source.base);
            let start = position;
            loop {
                let step = match walk.next() {
                    Ok(step) => step,
                    Err(damaged) => {
                        position = self.past_damage(source, damaged.position).await?;
                        break;
                    }
                };
                match step {
                    Step::End => return Ok(None),
                    Step::More { position: same } if same == start => {
                        want *= 2;
                        break;
                    }
                    Step::More { position: next } => {
                        position = next;
                        want = SCAN_BYTES;
                        break;
                    }
                    Step::Batch(found) if wanted(&found) => return Ok(Some(found)),
                    Step::Batch(_) => {}
                }
            }
        }
        Ok(None)
    }

    async fn whole_batch(
        &self,
        source: &SegmentSource<D>,
        position: u64,
        bytes: usize,
    ) -> Result<Vec<u8>, FetchError> {
        let slices = self.read_range(source, position, bytes).await?;
        let mut batch = Vec::with_capacity(bytes);
        for slice in &slices {
            batch.extend_from_slice(slice);
        }
        if batch.len() < bytes {
            return Err(Damaged { position }.into());
        }
        Ok(batch)
    }

    fn scan_tail(&self, key: PartitionKey, from: Offset, target: i64) -> Option<TimedOffset> {
        let state = self.inner.state.borrow();
        state.by_key(key)?.tail.iter().find_map(|batch| {
            let header = batch.header();
            if !times::may_hold(&header, from, target) {
                return None;
            }
            let bytes: Vec<u8> = batch.slices.iter().flat_map(|s| s.iter().copied()).collect();
            times::first_at_or_after(&bytes, from, target, INFLATE_BYTES_MAX)
        })
    }
}

impl Wanted {
    fn target(self) -> i64 {
        match self {
            Wanted::Since(target) | Wanted::Max(target) => target,
        }
    }

    fn may_hold(self, header: &BatchHeader, from: Offset) -> bool {
        times::may_hold(header, from, self.target())
    }

    /// The record that answers, in a batch that may hold it.
    fn find(self, batch: &[u8], from: Offset) -> Option<TimedOffset> {
        match self {
            Wanted::Since(target) => times::first_at_or_after(batch, from, target, INFLATE_BYTES_MAX),
            Wanted::Max(target) => {
                times::first_of_max(batch, from, INFLATE_BYTES_MAX).filter(|found| found.timestamp >= target)
            }
        }
    }
}
