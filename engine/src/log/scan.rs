//! Walking batch headers over bytes that lie in several slices, as reads bring them.
//!
//! Batches, and even headers, may straddle slices. The headers are the disk's word: every length
//! and offset is checked before it moves the walk, and one that cannot be true ends it.

use std::ops::Deref;

use crate::base::Offset;
use crate::config::BATCH_BYTES_MAX;
use crate::record::{BatchHeader, HEADER_BYTES, MAGIC};

/// No whole batch begins at this position of the segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no valid batch at position {position}")]
pub struct Damaged {
    /// Where, in bytes from the segment's start.
    pub position: u64,
}

/// A batch as its header describes it.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Where it begins, in bytes from the segment's start.
    pub position: u64,
    /// Its whole length.
    pub bytes: usize,
    /// A copy of its header.
    pub header: BatchHeader,
}

/// What the walk met.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A header. The whole batch may reach beyond the slices, never beyond `end`.
    Batch(Found),
    /// The slices end before the header that begins here does: read on from here.
    More {
        /// The next header's position.
        position: u64,
    },
    /// The walk reached `end` exactly.
    End,
}

/// A walk from one batch's start to the next.
#[derive(Debug)]
pub struct Walk<'a, S> {
    slices: &'a [S],
    /// Position of `slices[0]`'s first byte not passed yet.
    from: u64,
    skip: usize,
    position: u64,
    end: u64,
    least: Offset,
}

impl<'a, S: Deref<Target = [u8]>> Walk<'a, S> {
    /// A walk over the bytes of a segment from `position` on, where a batch begins. `end` is where
    /// the segment's valid bytes end: no batch may reach beyond it. `base` is an offset that the
    /// first batch may not lie below (the segment's base offset).
    #[must_use]
    pub fn new(slices: &'a [S], position: u64, end: u64, base: Offset) -> Walk<'a, S> {
        Walk { slices, from: position, skip: 0, position, end, least: base }
    }

    /// The next batch. After `More`, `End` or an error the walk stays where it is.
    ///
    /// # Errors
    /// [`Damaged`] if the header's magic, length or offsets cannot be true.
    #[expect(clippy::should_implement_trait, reason = "it is an iterator of results with three outcomes")]
    pub fn next(&mut self) -> Result<Step, Damaged> {
        if self.position >= self.end {
            return Ok(Step::End);
        }
        let damaged = Damaged { position: self.position };
        let left = self.end - self.position;
        if left < HEADER_BYTES as u64 {
            return Err(damaged);
        }
        let Some(header) = self.header() else { return Ok(Step::More { position: self.position }) };
        // A length that was never appended is not read: it could want more memory than readers have.
        let longest = left.min(u64::from(BATCH_BYTES_MAX));
        let bytes = header.total_bytes().filter(|&n| n as u64 <= longest).ok_or(damaged)?;
        let sound = header.magic() == MAGIC
            && header.base_offset() >= self.least
            && header.last_offset_delta() >= 0
            && header.next_offset() > header.base_offset();
        if !sound {
            return Err(damaged);
        }
        let found = Found { position: self.position, bytes, header };
        self.least = header.next_offset();
        self.position += bytes as u64;
        Ok(Step::Batch(found))
    }

    /// A copy of the header at the current position, or `None` if the slices end before it does.
    fn header(&mut self) -> Option<BatchHeader> {
        while let Some(first) = self.slices.first() {
            let passed = self.position - self.from;
            let left = first.len() - self.skip;
            if passed < left as u64 {
                break;
            }
            self.from += left as u64;
            self.skip = 0;
            self.slices = &self.slices[1..];
        }
        let within = self.skip + (self.position - self.from) as usize;
        let first = self.slices.first()?;
        if let Some(header) = BatchHeader::peek(&first[within..]) {
            return Some(*header);
        }
        let mut joined = [0; HEADER_BYTES];
        let mut filled = 0;
        for (i, slice) in self.slices.iter().enumerate() {
            let part = if i == 0 { &slice[within..] } else { &slice[..] };
            let n = part.len().min(HEADER_BYTES - filled);
            joined[filled..filled + n].copy_from_slice(&part[..n]);
            filled += n;
            if filled == HEADER_BYTES {
                return BatchHeader::peek(&joined).copied();
            }
        }
        None
    }
}

/// What the log knows of a batch without reading it: nothing in its own first bytes is covered by its checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// It begins with this offset; behind it where offsets may be missing.
    From(Offset),
    /// It ends with this offset: an index entry says so.
    To(Offset),
}

impl Due {
    fn allows(self, header: &BatchHeader, gaps: bool) -> bool {
        match self {
            Due::From(due) => header.base_offset() == due || (gaps && header.base_offset() > due),
            Due::To(last) => header.last_offset() == last,
        }
    }
}

/// Where the first batch that holds `target`, or lies after it, begins.
#[derive(Clone, Copy, Debug)]
pub enum Located {
    /// Here. It may reach beyond the slices.
    At(Found),
    /// Not in these slices: read on from this position, where a batch begins.
    More {
        /// The next header's position.
        position: u64,
        /// What is known of the batch there.
        due: Due,
    },
    /// All batches before `end` lie below the target.
    Above,
}

/// Finds the first batch whose last offset is at or after `target`. `due` is known of the first batch of the walk,
/// and each that is passed tells where the next begins; with `gaps` offsets may be missing between them.
///
/// # Errors
/// [`Damaged`] at a header that cannot be true.
pub fn locate<S: Deref<Target = [u8]>>(
    mut walk: Walk<'_, S>,
    mut due: Due,
    gaps: bool,
    target: Offset,
) -> Result<Located, Damaged> {
    loop {
        match walk.next()? {
            Step::Batch(found) if !due.allows(&found.header, gaps) => {
                return Err(Damaged { position: found.position });
            }
            Step::Batch(found) if found.header.last_offset() >= target => return Ok(Located::At(found)),
            Step::Batch(found) => due = Due::From(found.header.next_offset()),
            Step::More { position } => return Ok(Located::More { position, due }),
            Step::End => return Ok(Located::Above),
        }
    }
}

/// What a read may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Bytes of batches at most.
    pub max_bytes: usize,
    /// The first batch comes whole even above `max_bytes`.
    pub at_least_one: bool,
    /// Only batches that end at or before this offset: the high watermark, or what bounds the reader.
    pub below: Offset,
}

/// A run of whole batches at the walk's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Its length in bytes, all of it inside the slices.
    pub bytes: usize,
    /// The offset after its last batch; `None` if it is empty.
    pub next_offset: Option<Offset>,
    /// Set when the run is cut short by the slices, not by the budget, the bound or the end: the bytes
    /// from the walk's start that it takes to hold one more batch (or just its header, if that much is
    /// not there). With an empty run and `at_least_one` this must be read.
    pub wants: Option<usize>,
}

/// Measures the whole batches that a read takes from the walk's start.
///
/// # Errors
/// [`Damaged`] at a header that cannot be true, if no whole batch lies before it: the batches before
/// the damage are still served.
pub fn whole_batches<S: Deref<Target = [u8]>>(mut walk: Walk<'_, S>, budget: Budget) -> Result<Run, Damaged> {
    let start = walk.position;
    let there: usize = walk.slices.iter().map(|s| s.len()).sum();
    let mut run = Run { bytes: 0, next_offset: None, wants: None };
    loop {
        let found = match walk.next() {
            Ok(Step::Batch(found)) => found,
            Ok(Step::End) => return Ok(run),
            Ok(Step::More { position }) => {
                // A header that the budget has no room for is not worth reading.
                let wants = (position - start) as usize + HEADER_BYTES;
                let first = run.bytes == 0 && budget.at_least_one;
                run.wants = (first || wants <= budget.max_bytes).then_some(wants);
                return Ok(run);
            }
            Err(damaged) if run.bytes == 0 => return Err(damaged),
            Err(_) => return Ok(run),
        };
        let end = run.bytes + found.bytes;
        let affordable = end <= budget.max_bytes || (run.bytes == 0 && budget.at_least_one);
        if !affordable || found.header.next_offset() > budget.below {
            return Ok(run);
        }
        if end > there {
            run.wants = Some(end);
            return Ok(run);
        }
        run.bytes = end;
        run.next_offset = Some(found.header.next_offset());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fixture::Batch;

    /// Ten batches of 3 records: 0–2 at 1000, 3–5 at 1100 …, 100 bytes each.
    fn segment() -> Vec<u8> {
        (0..10).flat_map(|i| Batch { base: 3 * i, records: 3, ..Batch::default() }.encode()).collect()
    }

    fn cut(bytes: &[u8], at: usize) -> Vec<&[u8]> {
        bytes.chunks(at).collect()
    }

    const START: u64 = 1_000;
    const END: u64 = START + 1_000;

    fn walk<'a>(slices: &'a [&'a [u8]]) -> Walk<'a, &'a [u8]> {
        Walk::new(slices, START, END, Offset(0))
    }

    /// Where `target` is in the segment, of which nothing is missing.
    fn locate(walk: Walk<'_, &[u8]>, target: Offset) -> Result<Located, Damaged> {
        super::locate(walk, Due::From(Offset(0)), false, target)
    }

    fn budget(max_bytes: usize) -> Budget {
        Budget { max_bytes, at_least_one: true, below: Offset(i64::MAX) }
    }

    #[test]
    fn every_cut_shows_the_same_batches() {
        let bytes = segment();
        for size in [1, 7, 60, 61, 62, 99, 100, 101, 350, 5_000] {
            let slices = cut(&bytes, size);
            for target in 0..30 {
                let Ok(Located::At(found)) = locate(walk(&slices), Offset(target)) else {
                    panic!("offset {target} in slices of {size}")
                };
                assert_eq!(found.position, START + 100 * (target / 3) as u64);
            }
            assert!(matches!(locate(walk(&slices), Offset(30)), Ok(Located::Above)));
        }
    }

    #[test]
    fn empty_slices_are_passed_over() {
        let bytes = segment();
        let slices: Vec<&[u8]> = vec![&[], &bytes[..100], &[], &[], &bytes[100..130], &[], &bytes[130..]];
        assert!(matches!(locate(walk(&slices), Offset(29)), Ok(Located::At(_))));
        assert_eq!(whole_batches(walk(&slices), budget(1_000)).map(|r| r.bytes), Ok(1_000));
    }

    #[test]
    fn a_length_that_no_batch_has_is_damage_and_not_asked_for() {
        let mut bytes = segment();
        bytes[8..12].copy_from_slice(&(BATCH_BYTES_MAX as i32).to_be_bytes());
        let slices = [&bytes[..]];
        let mut long = Walk::new(&slices, 0, 1 << 30, Offset(0));
        assert!(matches!(long.next(), Err(Damaged { position: 0 })));
    }

    #[test]
    fn a_walk_asks_for_more_where_the_bytes_end() {
        let bytes = segment();
        for there in [0, 1, 60, 150, 260] {
            let slices = cut(&bytes[..there], 64);
            let Ok(Located::More { position, .. }) = locate(walk(&slices), Offset(29)) else {
                panic!("{there} bytes do not hold offset 29")
            };
            assert_eq!(position, START + (there as u64 + 39) / 100 * 100, "{there}");
        }
    }

    #[test]
    fn a_run_is_bounded_by_bytes_by_offset_and_by_what_is_there() {
        let bytes = segment();
        let check = |there: usize, budget: Budget, expected: (usize, Option<i64>, Option<usize>)| {
            let slices = cut(&bytes[..there], 33);
            let run = whole_batches(walk(&slices), budget).expect("sound");
            assert_eq!((run.bytes, run.next_offset.map(|o| o.0), run.wants), expected);
        };
        check(1_000, budget(1_000), (1_000, Some(30), None));
        check(1_000, budget(299), (200, Some(6), None));
        check(1_000, budget(300), (300, Some(9), None));
        check(1_000, budget(0), (100, Some(3), None));
        check(1_000, Budget { at_least_one: false, ..budget(99) }, (0, None, None));
        check(1_000, Budget { below: Offset(9), ..budget(1_000) }, (300, Some(9), None));
        check(1_000, Budget { below: Offset(8), ..budget(1_000) }, (200, Some(6), None));
        check(1_000, Budget { below: Offset(2), ..budget(1_000) }, (0, None, None));
        check(270, budget(1_000), (200, Some(6), Some(300)));
        check(250, budget(1_000), (200, Some(6), Some(261)));
        check(270, budget(299), (200, Some(6), None));
        check(250, budget(260), (200, Some(6), None));
        check(80, budget(10), (0, None, Some(100)));
        check(40, budget(10), (0, None, Some(61)));
        check(40, Budget { at_least_one: false, ..budget(10) }, (0, None, None));
    }

    #[test]
    fn headers_that_lie_end_the_walk_where_they_stand() {
        let sound = segment();
        let lies: [(&str, usize, &[u8]); 8] = [
            ("length −1", 8, &[0xFF; 4]),
            ("length 0", 8, &[0; 4]),
            ("length below a header", 8, &[0, 0, 0, 48]),
            ("length beyond the end", 8, &[0, 0, 0xFF, 0]),
            ("base below its predecessor", 0, &[0, 0, 0, 0, 0, 0, 0, 1]),
            ("magic 1", 16, &[1]),
            ("negative delta", 23, &[0xFF; 4]),
            ("offset overflow", 0, &[0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        ];
        for (name, at, lie) in lies {
            let mut bytes = sound.clone();
            bytes[200 + at..200 + at + lie.len()].copy_from_slice(lie);
            let slices = cut(&bytes, 47);
            let damaged = Damaged { position: START + 200 };
            assert_eq!(locate(walk(&slices), Offset(29)).map(|_| ()), Err(damaged), "{name}");
            let run = whole_batches(walk(&slices), budget(1_000));
            assert_eq!(run.map(|r| r.bytes), Ok(200), "{name}: what lies before is served");
            let there = &cut(&bytes[200..], 47);
            let at_damage = whole_batches(Walk::new(there, START + 200, END, Offset(6)), budget(1_000));
            assert_eq!(at_damage, Err(damaged), "{name}");
        }
    }

    #[test]
    fn a_rest_too_short_for_a_header_is_damage() {
        let bytes = segment();
        let slices = [&bytes[..]];
        let walk = Walk::new(&slices[..], START, START + 150, Offset(0));
        assert_eq!(locate(walk, Offset(29)).map(|_| ()), Err(Damaged { position: START + 100 }));
    }

    #[test]
    fn a_batch_is_found_only_where_the_one_before_it_ends() {
        // The third batch, of offsets 6 to 8, claims a base that is off by one bit.
        for base in [7_i64, 4] {
            let mut bytes = segment();
            bytes[200..208].copy_from_slice(&base.to_be_bytes());
            let slices = [&bytes[..]];
            for target in 6..=8 {
                let found = locate(walk(&slices), Offset(target)).map(|_| ());
                assert_eq!(found, Err(Damaged { position: START + 200 }), "{target} of {base}");
            }
        }
    }

    #[test]
    fn a_walk_from_an_index_entry_begins_with_the_batch_that_it_names() {
        let bytes = segment();
        let slices = [&bytes[100..]];
        let from = |due| {
            let walk = Walk::new(&slices, START + 100, END, Offset(0));
            super::locate(walk, due, false, Offset(7)).map(|_| ())
        };
        assert_eq!(from(Due::To(Offset(5))), Ok(()));
        assert_eq!(from(Due::To(Offset(4))), Err(Damaged { position: START + 100 }));
    }

    #[test]
    fn offsets_may_be_missing_only_where_records_are_taken_out() {
        let whole = segment();
        let bytes = [&whole[..100], &whole[200..]].concat();
        let slices = [&bytes[..]];
        let of = |gaps| {
            let walk = Walk::new(&slices, START, END - 100, Offset(0));
            match super::locate(walk, Due::From(Offset(0)), gaps, Offset(4)) {
                Ok(Located::At(found)) => Ok(found.header.base_offset()),
                other => Err(other.map(|_| ())),
            }
        };
        assert_eq!(of(true), Ok(Offset(6)));
        assert_eq!(of(false), Err(Err(Damaged { position: START + 100 })));
    }
}
