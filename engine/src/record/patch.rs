//! Changes to a whole batch that recompute its checksum.

use super::header::{Attributes, BatchHeader, seal_crc};
use crate::base::{ProducerEpoch, ProducerId, WallMs};

/// What must change in a batch before it is appended. Rare: such a batch has to be copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patch {
    /// Every record gets the broker's time (`message.timestamp.type=LogAppendTime`).
    AppendTime(WallMs),
    /// The header's largest timestamp was not that of the records; this is.
    MaxTimestamp(i64),
}

impl Patch {
    /// Applies it.
    ///
    /// # Panics
    /// If `batch` is shorter than a header.
    pub fn apply(self, batch: &mut [u8]) {
        match self {
            Patch::AppendTime(now) => stamp_append_time(batch, now),
            Patch::MaxTimestamp(max) => {
                BatchHeader::peek_mut(batch).expect("a whole batch").set_max_timestamp(max);
                seal_crc(batch);
            }
        }
    }
}

/// Gives every record of a batch the broker's time: attribute bit 3 and the largest timestamp.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn stamp_append_time(batch: &mut [u8], now: WallMs) {
    let header = BatchHeader::peek_mut(batch).expect("a whole batch");
    header.add_attributes(Attributes::LOG_APPEND_TIME);
    header.set_max_timestamp(now.0);
    seal_crc(batch);
}

/// What a generator changes in a batch that it sends again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// The first record's new timestamp, ms; the others keep their distance.
    pub base_timestamp: i64,
    /// Producer, its epoch and the first record's sequence number; `None` for none.
    pub producer: Option<(ProducerId, ProducerEpoch, i32)>,
}

/// Makes a prebuilt batch a new one: timestamps and producer fields, without touching a record.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn restamp(batch: &mut [u8], stamp: &Stamp) {
    let header = BatchHeader::peek_mut(batch).expect("a whole batch");
    header.shift_timestamps(stamp.base_timestamp);
    match stamp.producer {
        Some((id, epoch, sequence)) => header.set_producer(id.0, epoch.0, sequence),
        None => header.set_producer(-1, -1, -1),
    }
    seal_crc(batch);
}
