//! What a round of compaction decides by.

use rustc_hash::FxHashMap;

use super::map::{KeyHash, OffsetMap};
use crate::base::{Bug, Offset, WallMs, planted};
use crate::log::ProducerTable;
use crate::record::BatchHeader;

/// The last that is known of a producer: its batch with this stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct LastBatch {
    /// The last offset of its last data batch; `None` if only markers are known.
    offset: Option<Offset>,
    epoch: i16,
}

/// What a round decides by.
#[derive(Clone, Debug)]
pub struct Round {
    map: OffsetMap,
    producers: FxHashMap<i64, LastBatch>,
    now: WallMs,
    delete_retention_ms: u64,
}

impl Round {
    /// The round of this map, at `now`, with the topic's `delete.retention.ms`. It ends where the map does.
    #[must_use]
    pub fn new(map: OffsetMap, producers: &ProducerTable, now: WallMs, delete_retention_ms: u64) -> Round {
        let last = |entry: &crate::log::producers::ProducerEntry| LastBatch {
            offset: entry.last().map(|batch| batch.last_offset),
            epoch: entry.epoch,
        };
        let producers = producers.sorted().into_iter().map(|(id, entry)| (id, last(entry))).collect();
        Round { map, producers, now, delete_retention_ms }
    }

    /// The offset after the last one that the round judges.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.map.end()
    }

    /// What the map knows a key by.
    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        self.map.hash(key)
    }

    /// Whether a batch is the last that is known of its producer.
    pub(super) fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let Some(last) = self.producers.get(&header.producer_id()) else { return false };
        match last.offset {
            Some(offset) => header.last_offset() == offset,
            None => header.attributes().is_control() && header.producer_epoch() == last.epoch,
        }
    }

    /// Whether what waits for a batch's delete horizon stays.
    pub(super) fn before_horizon(&self, header: &BatchHeader) -> bool {
        !planted(Bug::DropTombstonesEarly)
            && header.delete_horizon().is_none_or(|horizon| self.now.0 < horizon)
    }

    /// The delete horizon of what is first met now, ms.
    pub(super) fn horizon(&self) -> i64 {
        self.now.0.saturating_add(i64::try_from(self.delete_retention_ms).unwrap_or(i64::MAX))
    }

    /// Whether a data record stays. `wanted` is false for a tombstone whose time has come.
    pub(super) fn stays(&self, key: Option<KeyHash>, offset: Offset, wanted: bool) -> bool {
        if offset >= self.map.end() {
            return true;
        }
        let Some(key) = key else { return false };
        let is_older = |latest| offset < latest || (offset == latest && planted(Bug::DropLatest));
        wanted && !self.map.get(key).is_some_and(is_older)
    }
}
