//! The data check: every record that was acknowledged is read exactly once, in order, unharmed.
//!
//! A *stream* is one producer's records in one partition, numbered 0, 1, 2 … by their stamps.
//! A number that comes too early leaves a hole; a record that fills a hole was reordered; one that
//! is neither next nor missing is a duplicate; a hole that stays is a loss, unless the broker had
//! refused that batch.
//!
//! Retention may delete records before they are read. Each offset holds one record, so a reader that must go on at a
//! later offset missed exactly as many records of that partition as it skipped offsets: so many holes are *expired*,
//! the others lost. A broker may only do so to a topic whose own settings ask for it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::stamp::Stamp;

/// What the check found. All zero but `read` and `expired` is a clean run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// Records read.
    pub read: u64,
    /// Acknowledged, deleted by the topic's retention before it was read.
    pub expired: u64,
    /// Acknowledged, never read.
    pub lost: u64,
    /// Read more than once.
    pub duplicate: u64,
    /// Read after a later one of the same stream.
    pub reordered: u64,
    /// Batches whose CRC or shape is wrong, and records without a stamp of this run.
    pub corrupt: u64,
}

impl Findings {
    /// Adds what another reader found.
    pub fn add(&mut self, other: &Findings) {
        self.read += other.read;
        self.expired += other.expired;
        self.lost += other.lost;
        self.duplicate += other.duplicate;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.lost == 0 && self.duplicate == 0 && self.reordered == 0 && self.corrupt == 0
    }
}

/// What a producer knows of one of its streams.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The number of the next record.
    pub next: u64,
    /// Batches that the broker refused or never answered: present or not, both are right.
    pub unsure: Vec<Range<u64>>,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    next: u64,
    /// Start → end of the numbers skipped so far.
    holes: BTreeMap<u64, u64>,
}

/// The reader's side of the check: one per group of readers.
#[derive(Debug)]
pub struct Checker {
    run: u32,
    producers: usize,
    /// Offsets that retention took before they were read, of each partition; empty: none may.
    skipped: Vec<u64>,
    /// `partition * producers + producer`.
    streams: Vec<Stream>,
    findings: Findings,
}

impl Checker {
    /// A check of the records that `producers` clients send to `partitions`.
    ///
    /// `expires` says that the topic's own settings delete records.
    #[must_use]
    pub fn new(run: u32, partitions: usize, producers: usize, expires: bool) -> Checker {
        Checker {
            run,
            producers,
            skipped: if expires { vec![0; partitions] } else { Vec::new() },
            streams: vec![Stream::default(); partitions * producers],
            findings: Findings::default(),
        }
    }

    /// Reading begins behind what `ledgers` know.
    pub fn start_behind(&mut self, ledgers: &[Ledger]) {
        assert_eq!(ledgers.len(), self.streams.len(), "one ledger a stream");
        self.streams.iter_mut().zip(ledgers).for_each(|(stream, ledger)| stream.next = ledger.next);
    }

    /// Reading of a partition went on `offsets` later, where its log now starts.
    pub fn skip(&mut self, partition: usize, offsets: u64) {
        if let Some(skipped) = self.skipped.get_mut(partition) {
            *skipped += offsets;
        }
    }

    /// Takes one record's value as read from `partition`; returns its stamp if it is one of ours.
    pub fn record(&mut self, partition: usize, value: &[u8]) -> Option<Stamp> {
        self.findings.read += 1;
        let stamp =
            Stamp::read(value).filter(|s| s.run == self.run && (s.producer as usize) < self.producers);
        let Some(stamp) = stamp else {
            self.findings.corrupt += 1;
            return None;
        };
        let stream = &mut self.streams[partition * self.producers + stamp.producer as usize];
        if stamp.sequence == stream.next {
            stream.next += 1;
        } else if stamp.sequence > stream.next {
            stream.holes.insert(stream.next, stamp.sequence);
            stream.next = stamp.sequence + 1;
        } else if stream.fill(stamp.sequence) {
            self.findings.reordered += 1;
        } else {
            self.findings.duplicate += 1;
        }
        Some(stamp)
    }

    /// Takes note of a batch that cannot be believed; its records will count as lost besides.
    pub fn corrupt_batch(&mut self) {
        self.findings.corrupt += 1;
    }

    /// Settles a partition that was read to its end, and forgets it, to read it again from its start.
    pub fn rewind(&mut self, partition: usize, ledgers: &[Ledger]) {
        self.settle(partition, ledgers, true);
    }

    /// What is found so far, losses apart.
    #[must_use]
    pub fn findings(&self) -> Findings {
        self.findings
    }

    /// Compares what was read with what was sent: `ledgers[partition * producers + producer]`. Unless
    /// `whole`, reading stopped somewhere and what follows is not missed.
    #[must_use]
    pub fn finish(mut self, ledgers: &[Ledger], whole: bool) -> Findings {
        assert_eq!(ledgers.len(), self.streams.len(), "one ledger a stream");
        (0..self.streams.len() / self.producers).for_each(|partition| self.settle(partition, ledgers, whole));
        self.findings
    }

    /// Counts what one partition misses, and forgets it.
    fn settle(&mut self, partition: usize, ledgers: &[Ledger], whole: bool) {
        let from = partition * self.producers;
        let mine = from..from + self.producers;
        let streams = self.streams[mine.clone()].iter_mut().zip(&ledgers[mine]);
        let missing: u64 = streams.map(|(stream, ledger)| std::mem::take(stream).lost(ledger, whole)).sum();
        let skipped = self.skipped.get_mut(partition).map_or(0, std::mem::take);
        let expired = missing.min(skipped);
        self.findings.expired += expired;
        self.findings.lost += missing - expired;
    }
}

impl Stream {
    /// How many records of the ledger are missing.
    fn lost(mut self, ledger: &Ledger, whole: bool) -> u64 {
        if whole && self.next < ledger.next {
            self.holes.insert(self.next, ledger.next);
        }
        let missing: u64 = self.holes.iter().map(|(start, end)| end - start).sum();
        let excused: u64 = ledger.unsure.iter().map(|u| self.missing_within(u)).sum();
        missing - excused
    }

    /// Takes `n` out of the hole that contains it; false if there is none.
    fn fill(&mut self, n: u64) -> bool {
        let Some((&start, &end)) = self.holes.range(..=n).next_back() else { return false };
        if n >= end {
            return false;
        }
        self.holes.remove(&start);
        if start < n {
            self.holes.insert(start, n);
        }
        if n + 1 < end {
            self.holes.insert(n + 1, end);
        }
        true
    }

    fn missing_within(&self, range: &Range<u64>) -> u64 {
        self.holes
            .range(..range.end)
            .map(|(&start, &end)| end.min(range.end).saturating_sub(start.max(range.start)))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u32 = 0xBEEF;

    /// Reads `sequences` of producer 0 from partition 0 after `sent` were sent.
    fn check(sequences: &[u64], sent: u64, unsure: Option<Range<u64>>) -> Findings {
        let mut checker = Checker::new(RUN, 1, 1, false);
        for &sequence in sequences {
            let mut value = [0; 40];
            Stamp { run: RUN, producer: 0, sequence, planned_ns: 5 }.write(&mut value);
            assert!(checker.record(0, &value).is_some());
        }
        checker.finish(&[Ledger { next: sent, unsure: unsure.into_iter().collect() }], true)
    }

    #[test]
    fn a_clean_run_is_clean() {
        let found = check(&[0, 1, 2, 3], 4, None);
        assert_eq!(found, Findings { read: 4, ..Findings::default() });
        assert!(found.clean());
    }

    #[test]
    fn a_record_that_never_comes_is_lost_in_the_middle_and_at_the_end() {
        assert_eq!(check(&[0, 1, 4], 5, None).lost, 2);
        assert_eq!(check(&[0, 1], 5, None).lost, 3);
    }

    #[test]
    fn a_record_read_twice_is_a_duplicate() {
        let found = check(&[0, 1, 1, 2, 0], 3, None);
        assert_eq!((found.duplicate, found.lost, found.reordered), (2, 0, 0));
    }

    #[test]
    fn a_record_read_after_a_later_one_is_reordered_and_not_lost() {
        let found = check(&[0, 2, 3, 1, 4], 5, None);
        assert_eq!((found.reordered, found.lost, found.duplicate), (1, 0, 0));
        let filled_twice = check(&[0, 3, 2, 1, 2], 4, None);
        assert_eq!((filled_twice.reordered, filled_twice.duplicate, filled_twice.lost), (2, 1, 0));
    }

    #[test]
    fn a_refused_batch_may_be_missing_or_present() {
        assert_eq!(check(&[0, 1, 5], 6, Some(2..5)).lost, 0);
        assert_eq!(check(&[0, 1, 2, 3, 4, 5], 6, Some(2..5)).lost, 0);
        assert_eq!(check(&[0, 5], 6, Some(2..5)).lost, 1);
    }

    #[test]
    fn a_foreign_or_short_value_is_corrupt() {
        let mut checker = Checker::new(RUN, 1, 1, false);
        let mut foreign = [0; 24];
        Stamp { run: 1, producer: 0, sequence: 0, planned_ns: 0 }.write(&mut foreign);
        assert_eq!(checker.record(0, &foreign), None);
        assert_eq!(checker.record(0, b"short"), None);
        checker.corrupt_batch();
        assert_eq!(checker.finish(&[Ledger::default()], true).corrupt, 3);
    }

    #[test]
    fn a_partition_read_again_is_settled_each_time() {
        let ledgers = [Ledger { next: 3, unsure: Vec::new() }];
        let mut checker = Checker::new(RUN, 1, 1, false);
        let read = |checker: &mut Checker, sequences: &[u64]| {
            for &sequence in sequences {
                let mut value = [0; 24];
                Stamp { run: RUN, producer: 0, sequence, planned_ns: 0 }.write(&mut value);
                checker.record(0, &value);
            }
        };
        read(&mut checker, &[0, 1, 2]);
        checker.rewind(0, &ledgers);
        assert!(checker.findings().clean());
        read(&mut checker, &[0, 1]);
        checker.rewind(0, &ledgers);
        assert_eq!(checker.findings().lost, 1, "the second pass missed the last one");
        read(&mut checker, &[0]);
        assert_eq!(checker.finish(&ledgers, false).lost, 1, "the third pass was not over");
    }

    /// Two producers sent five records each to one partition; of the first, 0 to 2 are never read, of the second 0.
    fn after_retention(expires: bool, skipped: u64) -> Findings {
        let mut checker = Checker::new(RUN, 1, 2, expires);
        checker.skip(0, skipped);
        for (producer, sequences) in [(0, 3..5), (1, 1..5)] {
            for sequence in sequences {
                let mut value = [0; 24];
                Stamp { run: RUN, producer, sequence, planned_ns: 0 }.write(&mut value);
                checker.record(0, &value);
            }
        }
        checker.finish(&[const { Ledger { next: 5, unsure: Vec::new() } }; 2], true)
    }

    #[test]
    fn what_retention_deleted_is_expired_and_no_record_more() {
        let found = after_retention(true, 4);
        assert_eq!((found.expired, found.lost, found.read), (4, 0, 6));
        let found = after_retention(true, 3);
        assert_eq!((found.expired, found.lost), (3, 1), "one more is missing than offsets were skipped");
        let found = after_retention(false, 4);
        assert_eq!((found.expired, found.lost), (0, 4), "nobody asked for retention");
    }

    #[test]
    fn a_reader_that_begins_behind_the_preload_misses_nothing_of_it() {
        let mut checker = Checker::new(RUN, 1, 1, false);
        checker.start_behind(&[Ledger { next: 3, unsure: Vec::new() }]);
        let mut value = [0; 24];
        Stamp { run: RUN, producer: 0, sequence: 3, planned_ns: 0 }.write(&mut value);
        checker.record(0, &value);
        let found = checker.finish(&[Ledger { next: 5, unsure: Vec::new() }], true);
        assert_eq!((found.read, found.lost), (1, 1));
    }
}
