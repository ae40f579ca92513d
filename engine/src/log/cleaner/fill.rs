//! Notes the latest offset of each key: the first walk of a round.

use super::map::{KeyHash, OffsetMap};
use super::transactions::{Aborted, Transactions};
use crate::base::Offset;
use crate::config::INFLATED_BYTES_MAX;
use crate::record::{BatchHeader, Inflater, Records};

/// Notes the keys of a log's dirty part.
#[derive(Debug)]
pub struct Fill {
    map: OffsetMap,
    from: Offset,
    transactions: Transactions,
    inflater: Inflater,
    /// Keys of the batch at hand.
    noted: Vec<(KeyHash, Offset)>,
    worked: u64,
}

impl Fill {
    /// Notes what lies at `from` or above.
    #[must_use]
    pub fn new(map: OffsetMap, from: Offset, aborted: Vec<Aborted>) -> Fill {
        let transactions = Transactions::new(aborted);
        Fill { map, from, transactions, inflater: Inflater::default(), noted: Vec::new(), worked: 0 }
    }

    /// Bytes passed so far, as they lie in the log and inflated: what the work is counted by.
    #[must_use]
    pub fn worked(&self) -> u64 {
        self.worked
    }

    /// Notes a whole batch. False if the map is full: it ends before the first record that found no room.
    pub fn visit(&mut self, batch: &[u8]) -> bool {
        self.worked += batch.len() as u64;
        let Some(header) = BatchHeader::peek(batch) else { return true };
        // What cannot be read has no keys, and stays as it is.
        let Ok(records) = self.inflater.payload(batch, INFLATED_BYTES_MAX) else { return true };
        self.worked += inflated_bytes(batch, records);
        self.noted.clear();
        if header.attributes().is_control() {
            self.transactions.on_control(header, records);
        } else if !self.transactions.on_data(header)
            && !collect_keys(header, records, self.from, &self.map, &mut self.noted)
        {
            self.noted.clear();
        }
        for (key, offset) in &self.noted {
            if self.map.is_full() {
                return false;
            }
            self.map.put(*key, *offset);
        }
        if header.last_offset() >= self.from {
            self.map.seen_to(header.next_offset());
        }
        true
    }

    /// Everything below `end` was visited.
    pub fn seen_to(&mut self, end: Offset) {
        self.map.seen_to(end);
    }

    /// The map, as far as it goes.
    #[must_use]
    pub fn finish(self) -> OffsetMap {
        self.map
    }
}

/// Collects the keys of a batch from `from` on. False if its records cannot be walked or are not as many as the
/// header says: such a batch stays whole as it is, and none of its keys may then hide an older record.
fn collect_keys(
    header: &BatchHeader,
    payload: &[u8],
    from: Offset,
    map: &OffsetMap,
    keys: &mut Vec<(KeyHash, Offset)>,
) -> bool {
    let mut walked = 0;
    for record in Records::of(header, payload) {
        let Ok(record) = record else { return false };
        walked += 1;
        if record.offset < from || record.offset > header.last_offset() {
            continue;
        }
        keys.extend(record.key.map(|key| (map.hash(key), record.offset)));
    }
    walked == header.record_count()
}

/// What inflating a batch has added to it, in bytes; none where its records are its own.
pub(super) fn inflated_bytes(batch: &[u8], payload: &[u8]) -> u64 {
    let own = batch.as_ptr_range().contains(&payload.as_ptr());
    if own { 0 } else { payload.len() as u64 }
}
