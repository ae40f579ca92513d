//! Offsets by time: what ListOffsets asks.
//!
//! A search goes from segments (their largest timestamps) through the time and offset indexes to
//! batches (their largest timestamps) to records. Timestamps need not rise: the answer is the first
//! record by offset, whatever lies behind it.

use crate::base::{LeaderEpoch, Offset};
use crate::log::index::NO_TIMESTAMP;
use crate::log::segments::{Segment, Segments};
use crate::record::{BatchHeader, Records, TimestampType, payload};

/// A record's offset, with its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimedOffset {
    /// The record.
    pub offset: Offset,
    /// Its timestamp, ms.
    pub timestamp: i64,
    /// The leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

/// The first segment that holds a record with a timestamp of `target` or later: begin at what its
/// indexes say for `target`, but not below `from` (the log start), and go on in the segments after it.
#[must_use]
pub fn segment_for(segments: &Segments, from: Offset, target: i64) -> Option<&Segment> {
    segments.iter().find(|s| s.bytes > 0 && s.max.timestamp >= target && segments.end_of(s.base) > from)
}

/// The segment with the largest timestamp of all records from `from` (the log start) on; the first such.
#[must_use]
pub fn segment_of_max(segments: &Segments, from: Offset) -> Option<&Segment> {
    let held =
        segments.iter().filter(|s| s.bytes > 0 && s.max.timestamp >= 0 && segments.end_of(s.base) > from);
    held.reduce(|best, s| if s.max.timestamp > best.max.timestamp { s } else { best })
}

/// Whether a batch holds a record with a timestamp of `target` or later at or after `from`. Only
/// then are its records worth inflating.
#[must_use]
pub fn may_hold(header: &BatchHeader, from: Offset, target: i64) -> bool {
    header.record_count() != 0 && header.max_timestamp() >= target && header.last_offset() >= from
}

/// The first record of a whole batch, at or after `from`, with a timestamp of `target` or later.
///
/// With the broker's timestamps every record has the batch's and nothing is inflated. Records that
/// cannot be read (a producer's compressed bytes are stored unread, and may inflate to more than
/// `inflate_bytes_max`) count as if each had the batch's largest timestamp: the answer is then early,
/// so a consumer that begins there misses nothing.
#[must_use]
pub fn first_at_or_after(
    batch: &[u8],
    from: Offset,
    target: i64,
    inflate_bytes_max: usize,
) -> Option<TimedOffset> {
    let header = BatchHeader::peek(batch).filter(|header| may_hold(header, from, target))?;
    let whole = timed(header, header.base_offset().max(from), header.max_timestamp());
    if header.attributes().timestamp_type() == TimestampType::LogAppendTime {
        return Some(whole);
    }
    first(batch, header, inflate_bytes_max, |found| found.offset >= from && found.timestamp >= target)
        .unwrap_or(Some(whole))
}

/// The first record with the largest timestamp of a whole batch's records at or after `from`: the answer
/// for −3 once the batch is found. Its last one if the records cannot be read, or none agrees with the
/// header of a batch that is asked for as a whole. `None` if none of them has a timestamp.
#[must_use]
pub fn first_of_max(batch: &[u8], from: Offset, inflate_bytes_max: usize) -> Option<TimedOffset> {
    let header = BatchHeader::peek(batch).filter(|header| may_hold(header, from, 0))?;
    let max = header.max_timestamp();
    if header.attributes().timestamp_type() == TimestampType::LogAppendTime {
        return Some(timed(header, header.base_offset().max(from), max));
    }
    let last = timed(header, header.last_offset(), max);
    if from <= header.base_offset() {
        let exact = first(batch, header, inflate_bytes_max, |found| found.timestamp == max).ok().flatten();
        return Some(exact.unwrap_or(last));
    }
    // The largest may lie below: each record that is left counts.
    let mut best: Option<TimedOffset> = None;
    let read = first(batch, header, inflate_bytes_max, |found| {
        let better = found.timestamp > best.map_or(NO_TIMESTAMP, |best| best.timestamp);
        if found.offset >= from && better {
            best = Some(*found);
        }
        false
    });
    if read.is_ok() { best } else { Some(last) }
}

/// The batch's records cannot be read.
struct Unreadable;

fn first(
    batch: &[u8],
    header: &BatchHeader,
    inflate_bytes_max: usize,
    mut wanted: impl FnMut(&TimedOffset) -> bool,
) -> Result<Option<TimedOffset>, Unreadable> {
    let records = payload(batch, inflate_bytes_max).map_err(|_| Unreadable)?;
    for record in Records::of(header, &records) {
        let record = record.map_err(|_| Unreadable)?;
        let found = timed(header, record.offset, record.timestamp);
        if wanted(&found) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn timed(header: &BatchHeader, offset: Offset, timestamp: i64) -> TimedOffset {
    TimedOffset { offset, timestamp, leader_epoch: header.leader_epoch() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Now, WallMs};
    use crate::log::fixture::Batch;
    use crate::record::{BatchBuilder, Codec, stamp_append_time};

    /// One segment of one batch of ten records for each largest timestamp.
    fn log(timestamps: &[i64]) -> Segments {
        let mut segments = Segments::new(Offset(0), Now::default(), 0);
        for (i, &max_timestamp) in timestamps.iter().enumerate() {
            segments.roll(Now::default());
            let batch = Batch { base: 10 * i as i64, records: 10, max_timestamp, ..Batch::default() };
            let place = segments.end_place();
            segments.apply(&batch.header(), place, Now::default(), 4096).expect("continues");
        }
        segments
    }

    #[test]
    fn the_first_segment_that_reaches_the_target_is_searched() {
        let segments = log(&[50, 20, 70, 70]);
        let base = |from, target| segment_for(&segments, Offset(from), target).map(|s| s.base.0);
        assert_eq!(base(0, 10), Some(0));
        assert_eq!(base(0, 51), Some(20));
        assert_eq!(base(0, 71), None);
        assert_eq!(base(10, 10), Some(10));
        assert_eq!(base(35, 10), Some(30));
        assert_eq!(base(40, 10), None);
    }

    #[test]
    fn the_largest_timestamp_is_in_the_first_segment_that_has_it() {
        let base = |log: &Segments, from| segment_of_max(log, Offset(from)).map(|s| s.base.0);
        assert_eq!(base(&log(&[50, 70, 20, 70]), 0), Some(10));
        assert_eq!(base(&log(&[50, 70, 20, 70]), 20), Some(30));
        assert_eq!(base(&log(&[-1, -1]), 0), None);
        assert_eq!(base(&log(&[]), 0), None);
    }

    const MAX: usize = 1 << 20;

    /// A batch at offset 100 with records at 1000, 1300, 1100, 1300.
    fn batch(codec: Codec) -> Vec<u8> {
        let mut builder = BatchBuilder::new(codec);
        for timestamp in [1_000, 1_300, 1_100, 1_300] {
            builder.push(timestamp, None, Some(b"value"), &[]);
        }
        let mut bytes = builder.finish();
        BatchHeader::peek_mut(&mut bytes).expect("a header").stamp(Offset(100), LeaderEpoch(6));
        bytes
    }

    fn find(batch: &[u8], from: i64, target: i64) -> Option<(i64, i64)> {
        first_at_or_after(batch, Offset(from), target, MAX).map(|t| (t.offset.0, t.timestamp))
    }

    #[test]
    fn the_exact_record_is_found() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let batch = batch(codec);
            assert_eq!(find(&batch, 0, 0), Some((100, 1_000)));
            assert_eq!(find(&batch, 0, 1_001), Some((101, 1_300)));
            assert_eq!(find(&batch, 102, 1_001), Some((102, 1_100)));
            assert_eq!(find(&batch, 102, 1_101), Some((103, 1_300)));
            assert_eq!(find(&batch, 0, 1_301), None);
            assert_eq!(find(&batch, 104, 0), None);
            let max = TimedOffset { offset: Offset(101), timestamp: 1_300, leader_epoch: LeaderEpoch(6) };
            assert_eq!(first_of_max(&batch, Offset(0), MAX), Some(max));
            let rest = |from| first_of_max(&batch, Offset(from), MAX).map(|t| (t.offset.0, t.timestamp));
            assert_eq!(rest(102), Some((103, 1_300)));
            assert_eq!(rest(104), None);
        }
    }

    #[test]
    fn unreadable_records_give_an_early_answer() {
        let mut batch = batch(Codec::Zstd);
        batch[61..].fill(0xEE);
        assert_eq!(find(&batch, 0, 1_001), Some((100, 1_300)));
        assert_eq!(find(&batch, 102, 1_001), Some((102, 1_300)));
        assert_eq!(find(&batch, 0, 1_301), None);
        assert_eq!(first_of_max(&batch, Offset(0), MAX).map(|t| t.offset), Some(Offset(103)));
        assert_eq!(first_of_max(&batch, Offset(102), MAX).map(|t| t.offset), Some(Offset(103)));
    }

    #[test]
    fn the_brokers_time_is_that_of_every_record() {
        let mut batch = batch(Codec::None);
        stamp_append_time(&mut batch, WallMs(2_000));
        assert_eq!(find(&batch, 102, 1_500), Some((102, 2_000)));
        assert_eq!(find(&batch, 0, 2_001), None);
        assert_eq!(first_of_max(&batch, Offset(0), MAX).map(|t| t.offset), Some(Offset(100)));
        assert_eq!(first_of_max(&batch, Offset(102), MAX).map(|t| t.offset), Some(Offset(102)));
    }
}
