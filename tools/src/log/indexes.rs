//! The entries of a whole index, and whether they agree with the batches.

use std::collections::BTreeMap;

use engine::base::Offset;
use engine::log::index::{Entry, OffsetEntry, TimeEntry};

/// Where batches begin and what they hold, noted while their segment is read.
#[derive(Default)]
pub(super) struct Seen {
    /// Position → last offset.
    by_position: BTreeMap<u64, Offset>,
    /// Last offset → largest timestamp.
    by_last_offset: BTreeMap<Offset, i64>,
}

impl Seen {
    pub(super) fn note(&mut self, position: u64, last: Offset, max_timestamp: i64) {
        self.by_position.insert(position, last);
        self.by_last_offset.insert(last, max_timestamp);
    }

    /// What is wrong with an offset index, and at which byte.
    pub(super) fn check_offsets(&self, base: Offset, bytes: &[u8]) -> Option<(u64, String)> {
        if !bytes.len().is_multiple_of(OffsetEntry::BYTES) {
            return Some((bytes.len() as u64, "the file ends inside an entry".to_owned()));
        }
        let mut previous: Option<OffsetEntry> = None;
        for (i, entry) in entries::<OffsetEntry>(bytes).enumerate() {
            let at = (i * OffsetEntry::BYTES) as u64;
            if previous.is_some_and(|p| entry.relative <= p.relative || entry.position <= p.position) {
                return Some((at, "entries do not rise".to_owned()));
            }
            previous = Some(entry);
            let offset = entry.offset(base);
            match self.by_position.get(&u64::from(entry.position)) {
                Some(&last) if last == offset => {}
                Some(last) => {
                    let position = entry.position;
                    let what =
                        format!("offset {offset} at position {position}, where a batch ends at {last}");
                    return Some((at, what));
                }
                None => {
                    return Some((at, format!("offset {offset} at position {}: no batch", entry.position)));
                }
            }
        }
        None
    }

    /// What is wrong with a time index, and at which byte.
    pub(super) fn check_times(&self, base: Offset, bytes: &[u8]) -> Option<(u64, String)> {
        if !bytes.len().is_multiple_of(TimeEntry::BYTES) {
            return Some((bytes.len() as u64, "the file ends inside an entry".to_owned()));
        }
        let mut previous: Option<TimeEntry> = None;
        for (i, entry) in entries::<TimeEntry>(bytes).enumerate() {
            let at = (i * TimeEntry::BYTES) as u64;
            if previous.is_some_and(|p| entry.timestamp <= p.timestamp || entry.relative < p.relative) {
                return Some((at, "entries do not rise".to_owned()));
            }
            previous = Some(entry);
            let offset = entry.offset(base);
            match self.by_last_offset.get(&offset) {
                Some(&max) if max == entry.timestamp => {}
                Some(max) => {
                    let what = format!("time {} at offset {offset}, whose batch has {max}", entry.timestamp);
                    return Some((at, what));
                }
                None => return Some((at, format!("time {} at offset {offset}: no batch", entry.timestamp))),
            }
        }
        None
    }
}

/// The entries in the bytes of an index file; a last, incomplete one is left out.
pub(super) fn entries<E: Entry>(bytes: &[u8]) -> impl Iterator<Item = E> {
    bytes.chunks_exact(E::BYTES).map(E::read)
}
