//! What compaction knows of transactions: which data was aborted, and which markers nobody needs.
//!
//! A marker stays until all batches of its transaction are gone, and then for `delete.retention.ms` more,
//! so that a reader who has seen a part of the transaction learns how it ended. Data of an aborted
//! transaction goes at once. Nothing of an open transaction is ever seen here: it lies above the last
//! stable offset.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::Offset;
use crate::record::{BatchHeader, Records};

/// What a control record is: the second half of its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Marker {
    /// The transaction was aborted.
    Abort,
    /// It was committed.
    Commit,
    /// Something else, which compaction keeps.
    Other,
}

impl Marker {
    /// The key of a control record: version (2 bytes), type (2 bytes), both big-endian.
    #[must_use]
    pub fn of_key(key: Option<&[u8]>) -> Marker {
        match key.and_then(|key| key.get(2..4)) {
            Some([0, 0]) => Marker::Abort,
            Some([0, 1]) => Marker::Commit,
            _ => Marker::Other,
        }
    }
}

/// An aborted transaction, as the log's transaction index has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aborted {
    /// Whose it was.
    pub producer: i64,
    /// The offset of its first record.
    pub first: Offset,
}

/// Follows the transactions of a log while it is read in order. A map and the rewriting that is decided
/// by it each walk the log once, each with its own.
#[derive(Clone, Debug, Default)]
pub struct Transactions {
    /// Those not reached yet, by first offset.
    to_come: VecDeque<Aborted>,
    /// Producers within an aborted one, and whether a batch of it was seen.
    aborted: FxHashMap<i64, bool>,
    /// Producers of which batches were seen that are not known to be aborted.
    committed: FxHashSet<i64>,
}

impl Transactions {
    /// Of a log in which these transactions were aborted, in any order.
    #[must_use]
    pub fn new(mut aborted: Vec<Aborted>) -> Transactions {
        aborted.sort_by_key(|transaction| transaction.first);
        Transactions { to_come: aborted.into(), ..Transactions::default() }
    }

    /// Passes a data batch. True if it was aborted.
    pub fn on_data(&mut self, header: &BatchHeader) -> bool {
        self.reach(header.last_offset());
        if !header.attributes().is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id()) {
            Some(seen) => {
                *seen = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id());
                false
            }
        }
    }

    /// Passes a control batch. True if no batch of its transaction is left before it.
    pub fn on_control(&mut self, header: &BatchHeader, payload: &[u8]) -> bool {
        self.reach(header.last_offset());
        // Without its record it tells only its producer's epoch.
        let Some(Ok(record)) = Records::of(header, payload).next() else { return header.record_count() == 0 };
        match Marker::of_key(record.key) {
            Marker::Abort => !self.aborted.remove(&header.producer_id()).unwrap_or(false),
            Marker::Commit => !self.committed.remove(&header.producer_id()),
            Marker::Other => false,
        }
    }

    fn reach(&mut self, offset: Offset) {
        while let Some(next) = self.to_come.pop_front_if(|next| next.first <= offset) {
            self.aborted.entry(next.producer).or_insert(false);
        }
    }
}
