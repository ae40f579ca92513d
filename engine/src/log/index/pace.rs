//! When an index entry is due. The planner of appends and the index itself both ask, so that a
//! roll for a full index is decided before the index has been written.

use crate::base::Offset;
use crate::log::Malformed;
use crate::log::cursor::Cursor;
use crate::record::BatchHeader;

/// The timestamp that means "none".
pub const NO_TIMESTAMP: i64 = -1;

/// A timestamp and where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimestampOffset {
    /// Milliseconds, or [`NO_TIMESTAMP`].
    pub timestamp: i64,
    /// The last offset of the batch that holds it; the segment's base offset if there is none.
    pub offset: Offset,
}

/// A batch gets an entry in the offset index, and perhaps one in the time index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// The time index's entry.
    pub time: Option<TimestampOffset>,
}

/// One segment's progress towards its next index entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexPace {
    bytes_since_entry: u32,
    max: TimestampOffset,
    last_time: i64,
    offset_entries: u32,
    time_entries: u32,
}

impl IndexPace {
    /// A segment without batches.
    #[must_use]
    pub fn new(base: Offset) -> IndexPace {
        IndexPace {
            bytes_since_entry: 0,
            max: TimestampOffset { timestamp: NO_TIMESTAMP, offset: base },
            last_time: NO_TIMESTAMP,
            offset_entries: 0,
            time_entries: 0,
        }
    }

    /// The largest timestamp so far and the last offset of the first batch that holds it.
    #[must_use]
    pub fn max(&self) -> TimestampOffset {
        self.max
    }

    /// Counts a batch of `bytes` bytes and says whether it gets entries.
    pub fn on_batch(&mut self, header: &BatchHeader, bytes: u32, interval_bytes: u32) -> Option<Due> {
        // One that compaction left without records has no time to be found by.
        if header.record_count() != 0 && header.max_timestamp() > self.max.timestamp {
            self.max = TimestampOffset { timestamp: header.max_timestamp(), offset: header.last_offset() };
        }
        let due = self.bytes_since_entry > interval_bytes;
        if due {
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry = self.bytes_since_entry.saturating_add(bytes);
        due.then(|| {
            self.offset_entries += 1;
            Due { time: self.time_due() }
        })
    }

    /// The time entry that a roll or a clean stop adds, if the largest timestamp rose since the
    /// last one.
    pub fn time_due(&mut self) -> Option<TimestampOffset> {
        (self.max.timestamp > self.last_time).then(|| {
            self.last_time = self.max.timestamp;
            self.time_entries += 1;
            self.max
        })
    }

    /// Whether an index of at most `index_bytes` is full. The time index keeps room for the entry
    /// that a roll adds.
    #[must_use]
    pub fn is_full(&self, index_bytes: u32) -> bool {
        self.offset_entries >= index_bytes / 8 || self.time_entries >= (index_bytes / 12).saturating_sub(1)
    }

    pub(in crate::log) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.bytes_since_entry.to_be_bytes());
        out.extend(self.max.timestamp.to_be_bytes());
        out.extend(self.max.offset.0.to_be_bytes());
        out.extend(self.last_time.to_be_bytes());
        out.extend(self.offset_entries.to_be_bytes());
        out.extend(self.time_entries.to_be_bytes());
    }

    pub(in crate::log) fn decode(from: &mut Cursor<'_>) -> Result<IndexPace, Malformed> {
        const WHAT: &str = "index pace";
        let bytes_since_entry = from.u32(WHAT)?;
        let max = TimestampOffset { timestamp: from.i64(WHAT)?, offset: Offset(from.i64(WHAT)?) };
        let last_time = from.i64(WHAT)?;
        let (offset_entries, time_entries) = (from.u32(WHAT)?, from.u32(WHAT)?);
        // No file of at most 2^31 bytes holds more; so counting on cannot overflow.
        if offset_entries > i32::MAX as u32 || time_entries > i32::MAX as u32 {
            return Err(from.malformed(WHAT));
        }
        Ok(IndexPace { bytes_since_entry, max, last_time, offset_entries, time_entries })
    }
}
