//! Binary search in the part of an index that is on disk, by a machine that asks for blocks.

use std::ops::Range;

use crate::io::BLOCK;

use super::entry::Entry;

/// What a search wants next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SearchStep<E> {
    /// Read these bytes of the file (whole blocks, at most 12 KiB; fewer at its end) and `feed` them.
    Read {
        /// Where, a multiple of [`BLOCK`].
        at: u64,
        /// How much, a multiple of [`BLOCK`].
        len: usize,
    },
    /// The largest entry whose key is not above the target. Its fields are the disk's word:
    /// check a position against the segment's size, and what lies there.
    Done(Option<E>),
}

/// Call [`IndexSearch::step`], do what it says, [`IndexSearch::feed`], until it is done: about
/// log₂(file / group) reads.
///
/// Entries before `lo` are known to be ≤ target, those from `hi` on to be above it.
#[derive(Clone, Debug)]
pub struct IndexSearch<E: Entry> {
    target: E::Key,
    entries: usize,
    lo: usize,
    hi: usize,
    best: Option<E>,
}

impl<E: Entry> IndexSearch<E> {
    /// A search in a file whose first `entries` entries are whole on disk.
    #[must_use]
    pub fn new(target: E::Key, entries: usize) -> IndexSearch<E> {
        IndexSearch { target, entries, lo: 0, hi: entries, best: None }
    }

    /// What is wanted next.
    #[must_use]
    pub fn step(&self) -> SearchStep<E> {
        if self.lo >= self.hi {
            return SearchStep::Done(self.best);
        }
        let at = self.group() * E::GROUP_BYTES;
        let len = (self.entries * E::BYTES - at).next_multiple_of(BLOCK).min(E::GROUP_BYTES);
        SearchStep::Read { at: at as u64, len }
    }

    /// Takes the bytes that the last step asked for. Bytes that are missing count as entries above
    /// every target.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.lo >= self.hi {
            return;
        }
        let first = self.group() * (E::GROUP_BYTES / E::BYTES);
        let whole = (bytes.len() / E::BYTES).min(E::GROUP_BYTES / E::BYTES);
        let range: Range<usize> = first.max(self.lo)..(first + whole).min(self.hi);
        let entry = |i: usize| E::read(&bytes[(i - first) * E::BYTES..][..E::BYTES]);
        let (mut lo, mut hi) = (range.start, range.end.max(range.start));
        let cut_short = first + whole < self.hi && whole < E::GROUP_BYTES / E::BYTES;
        let end = hi;
        while lo < hi {
            let middle = usize::midpoint(lo, hi);
            let read = entry(middle);
            if read.key() <= self.target {
                self.best = Some(read);
                lo = middle + 1;
            } else {
                hi = middle;
            }
        }
        if lo > range.start {
            self.lo = lo;
        }
        if lo < end || lo == range.start || cut_short {
            self.hi = lo;
        }
    }

    fn group(&self) -> usize {
        usize::midpoint(self.lo, self.hi) / (E::GROUP_BYTES / E::BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::index::{OffsetEntry, TimeEntry};

    fn run<E: Entry>(file: &[u8], entries: usize, target: E::Key) -> (Option<E>, usize) {
        let mut search = IndexSearch::<E>::new(target, entries);
        let mut reads = 0;
        loop {
            match search.step() {
                SearchStep::Done(found) => return (found, reads),
                SearchStep::Read { at, len } => {
                    assert!(at.is_multiple_of(BLOCK as u64) && len.is_multiple_of(BLOCK) && len > 0);
                    let from = (at as usize).min(file.len());
                    search.feed(&file[from..(from + len).min(file.len())]);
                    reads += 1;
                    assert!(reads < 40, "the search does not end");
                }
            }
        }
    }

    #[test]
    fn every_target_finds_the_entry_at_or_below_it() {
        for count in [0, 1, 2, 341, 342, 1023, 1024, 1025, 2049, 5000] {
            let mut file = Vec::new();
            (0..count).for_each(|i| TimeEntry { timestamp: 10 * i, relative: i as u32 }.write(&mut file));
            for target in (-5..count * 10 + 15).step_by(if count > 100 { 37 } else { 5 }) {
                let expected = (target >= 0 && count > 0).then(|| (target / 10).min(count - 1));
                let (found, reads) = run::<TimeEntry>(&file, count as usize, target);
                assert_eq!(found.map(|e| i64::from(e.relative)), expected, "{target} of {count}");
                assert!(reads <= 4, "{reads} reads for {count} entries");
            }
        }
    }

    #[test]
    fn offset_entries_are_found_too() {
        let mut file = Vec::new();
        (0..1500_u32).for_each(|i| OffsetEntry { relative: 3 * i + 2, position: i }.write(&mut file));
        for target in 0..4600 {
            let (found, _) = run::<OffsetEntry>(&file, 1500, target);
            let expected = (target >= 2).then(|| ((target - 2) / 3).min(1499));
            assert_eq!(found.map(|e| e.position), expected, "{target}");
        }
    }

    #[test]
    fn a_short_or_senseless_file_ends_the_search() {
        let mut file = Vec::new();
        (0..700_u32).for_each(|i| OffsetEntry { relative: i, position: i }.write(&mut file));
        assert_eq!(run::<OffsetEntry>(&file, 5000, 4999).0.map(|e| e.position), Some(699));
        assert_eq!(run::<OffsetEntry>(&[], 5000, 10).0, None);
        let senseless: Vec<u8> =
            (0..50_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for target in [0, 1 << 20, u32::MAX] {
            run::<OffsetEntry>(&senseless, senseless.len() / 8, target);
            run::<TimeEntry>(&senseless, senseless.len() / 12, i64::from(target));
        }
    }
}
