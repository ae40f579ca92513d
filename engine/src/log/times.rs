//! Offsets by time: what ListOffsets asks.
//!
//! A search goes from segments (their largest timestamps) through the time and offset indexes to
//! batches (their largest timestamps) to records. Timestamps need not rise: the answer is the first
//! record by offset, whatever lies behind it.

use crate::base::{LeaderEpoch, Offset};
use crate::log::segments::{Segment, Segments};
use crate::record::{BatchHeader, TimestampType};

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

/// A record inside its batch, as its varints say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordDeltas {
    /// Offset − base offset.
    pub offset: i32,
    /// Timestamp − base timestamp.
    pub timestamp: i64,
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
    header.max_timestamp() >= target && header.last_offset() >= from
}

/// The first record of a batch, at or after `from`, with a timestamp of `target` or later.
/// With the broker's timestamps every record has the batch's, and `records` is not asked.
pub fn first_at_or_after(
    header: &BatchHeader,
    records: impl IntoIterator<Item = RecordDeltas>,
    from: Offset,
    target: i64,
) -> Option<TimedOffset> {
    if !may_hold(header, from, target) {
        return None;
    }
    if header.attributes().timestamp_type() == TimestampType::LogAppendTime {
        return Some(timed(header, header.base_offset().max(from), header.max_timestamp()));
    }
    records
        .into_iter()
        .map(|record| resolve(header, record))
        .find(|found| found.offset >= from && found.timestamp >= target)
}

/// The record with the batch's largest timestamp, the first such: the answer for −3 once
/// the batch of the largest timestamp is found. `None` if no record agrees with the header.
pub fn first_of_max(
    header: &BatchHeader,
    records: impl IntoIterator<Item = RecordDeltas>,
) -> Option<TimedOffset> {
    if header.max_timestamp() < 0 {
        return None;
    }
    if header.attributes().timestamp_type() == TimestampType::LogAppendTime {
        return Some(timed(header, header.base_offset(), header.max_timestamp()));
    }
    records
        .into_iter()
        .map(|record| resolve(header, record))
        .find(|found| found.timestamp == header.max_timestamp())
}

fn resolve(header: &BatchHeader, record: RecordDeltas) -> TimedOffset {
    let offset = header.base_offset().0.wrapping_add(i64::from(record.offset));
    timed(header, Offset(offset), header.base_timestamp().wrapping_add(record.timestamp))
}

fn timed(header: &BatchHeader, offset: Offset, timestamp: i64) -> TimedOffset {
    TimedOffset { offset, timestamp, leader_epoch: header.leader_epoch() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Now;
    use crate::log::fixture::Batch;

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

    fn records() -> [RecordDeltas; 4] {
        // Base 1000: 1000, 1300, 1100, 1300.
        [(0, 0), (1, 300), (2, 100), (3, 300)].map(|(offset, timestamp)| RecordDeltas { offset, timestamp })
    }

    /// A batch at offset 100 with base timestamp 1000 and largest timestamp 1300.
    fn bytes(attributes: i16) -> Vec<u8> {
        let mut bytes =
            Batch { base: 100, records: 4, max_timestamp: 1_300, epoch: 6, ..Batch::default() }.encode();
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        bytes[27..35].copy_from_slice(&1_000_i64.to_be_bytes());
        bytes
    }

    #[test]
    fn the_exact_record_is_found() {
        let bytes = bytes(0);
        let header = BatchHeader::peek(&bytes).expect("a header");
        let find = |from, target| {
            first_at_or_after(header, records(), Offset(from), target).map(|t| (t.offset.0, t.timestamp))
        };
        assert_eq!(find(0, 0), Some((100, 1_000)));
        assert_eq!(find(0, 1_001), Some((101, 1_300)));
        assert_eq!(find(102, 1_001), Some((102, 1_100)));
        assert_eq!(find(102, 1_101), Some((103, 1_300)));
        assert_eq!(find(0, 1_301), None);
        assert_eq!(find(104, 0), None);
        let max = TimedOffset { offset: Offset(101), timestamp: 1_300, leader_epoch: LeaderEpoch(6) };
        assert_eq!(first_of_max(header, records()), Some(max));
        assert_eq!(first_of_max(header, []), None, "a header that no record agrees with");
    }

    #[test]
    fn the_brokers_time_is_that_of_every_record() {
        let bytes = bytes(1 << 3);
        let header = BatchHeader::peek(&bytes).expect("a header");
        let found = first_at_or_after(header, [], Offset(102), 1_200).map(|t| (t.offset.0, t.timestamp));
        assert_eq!(found, Some((102, 1_300)));
        assert_eq!(first_of_max(header, []).map(|t| t.offset), Some(Offset(100)));
    }
}
