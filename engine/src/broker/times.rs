//! Offsets by time, exact to the record (ListOffsets).

use super::damage::EXAMINED_MAX;
use super::header_walk::HeaderWalk;
use super::pages::SegmentSource;
use super::read::FetchError;
use super::shard::Shard;
use super::tail::TailBatch;
use crate::base::{Offset, PartitionKey};
use crate::io::Disk;
use crate::log::scan::Found;
use crate::log::times;
use crate::record::{BatchHeader, TimestampType};

pub use crate::log::times::TimedOffset;

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
            if let Some(source) = self.source_or_list(key, base).await? {
                let walk = self.walk_for_time(&source, from, timestamp).await?;
                if let Some(found) = self.scan_segment(&source, walk, from, wanted).await? {
                    return Ok(Some(found));
                }
            }
            // Its record of that time lies below the log start, or is damaged.
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
            let walk = self.walk_from(&source, max.offset).await?;
            let found = self.scan_segment(&source, walk, from, Wanted::Max(max.timestamp)).await?;
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
        let walk = self.walk_from(&source, max.offset).await?;
        self.scan_segment(&source, walk, end, Wanted::Max(max.timestamp)).await
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
    /// the broker's where that counts. `None` at the end of the log and where there is no timestamp. It is exact
    /// to the batch: no record is inflated for it.
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
            if let Some(batch) = self.first_intact(&source, from).await? {
                break BatchHeader::peek(&batch).copied();
            }
            // Compaction took what was here, or it is damaged.
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

    /// The first whole batch that holds `from` or lies behind it; `None` if the segment has none.
    async fn first_intact(
        &self,
        source: &SegmentSource<D>,
        from: Offset,
    ) -> Result<Option<Vec<u8>>, FetchError> {
        let mut walk = self.walk_from(source, from).await?;
        while let Some(found) =
            self.find_batch(source, &mut walk, |found| found.header.last_offset() >= from).await?
        {
            if let Some(batch) = self.whole_batch(source, &mut walk, &found).await? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// A walk that finds the first record at or after `target` ms: everything before it is older. An entry of
    /// the time index counts only if the batch that it names has the time that it says.
    async fn walk_for_time(
        &self,
        source: &SegmentSource<D>,
        from: Offset,
        target: i64,
    ) -> Result<HeaderWalk, FetchError> {
        let least = from.max(source.base);
        let Some(entry) = self.indexed_time(source, target).await? else {
            return self.walk_from(source, least).await;
        };
        let named = entry.offset(source.base);
        if named <= least {
            return self.walk_from(source, least).await;
        }
        let mut walk = self.walk_from(source, named).await?;
        let found = self.find_batch(source, &mut walk, |found| found.header.last_offset() >= named).await?;
        let agrees = found.is_some_and(|f| f.header.max_timestamp() == entry.timestamp);
        if agrees { Ok(walk) } else { self.walk_from(source, least).await }
    }

    async fn scan_segment(
        &self,
        source: &SegmentSource<D>,
        mut walk: HeaderWalk,
        from: Offset,
        wanted: Wanted,
    ) -> Result<Option<TimedOffset>, FetchError> {
        while let Some(found) =
            self.find_batch(source, &mut walk, |found| wanted.may_hold(&found.header, from)).await?
        {
            let Some(batch) = self.whole_batch(source, &mut walk, &found).await? else { continue };
            if let Some(found) = wanted.find(&batch, from) {
                return Ok(Some(found));
            }
            walk.pass(&found);
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of a segment's records at or after `from`, by the headers
    /// of all batches from there on.
    async fn largest_left(
        &self,
        source: &SegmentSource<D>,
        from: Offset,
    ) -> Result<Option<TimedOffset>, FetchError> {
        let mut best = None::<TimedOffset>;
        for _ in 0..EXAMINED_MAX {
            // The batch that holds `from`, and the first with the largest timestamp of those behind it.
            let mut candidates: [Option<(HeaderWalk, Found)>; 2] = [None, None];
            let mut walk = self.walk_from(source, from).await?;
            while let Some(found) =
                self.find_batch(source, &mut walk, |found| found.header.last_offset() >= from).await?
            {
                let time = found.header.max_timestamp();
                let place = usize::from(found.header.base_offset() >= from);
                let first =
                    candidates[place].is_none_or(|(_, largest)| largest.header.max_timestamp() < time);
                if first && found.header.record_count() != 0 {
                    candidates[place] = Some((walk, found));
                }
                walk.pass(&found);
            }
            let mut sound = true;
            for (mut walk, found) in candidates.into_iter().flatten() {
                let time = found.header.max_timestamp();
                if best.is_some_and(|best| best.timestamp >= time) {
                    continue;
                }
                match self.whole_batch(source, &mut walk, &found).await? {
                    Some(batch) => {
                        let exact = times::first_of_max(&batch, from, INFLATE_BYTES_MAX);
                        let better =
                            |exact: &TimedOffset| best.is_none_or(|best| best.timestamp < exact.timestamp);
                        best = exact.filter(better).or(best);
                    }
                    // It is listed now, and the next largest counts.
                    None => sound = false,
                }
            }
            if sound {
                break;
            }
        }
        Ok(best)
    }

    /// The segment that begins at `base`; `None` if its file cannot be had, which is listed then.
    async fn source_or_list(
        &self,
        key: PartitionKey,
        base: Offset,
    ) -> Result<Option<SegmentSource<D>>, FetchError> {
        let revision = self.inner.state.borrow().by_key(key).ok_or(FetchError::UnknownPartition)?.revision;
        match self.source(key, base).await {
            Ok(source) => Ok(Some(source)),
            Err(FetchError::Disk(error)) => {
                self.list_unopened(key, revision, base, error)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
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
