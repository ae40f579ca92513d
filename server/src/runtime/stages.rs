//! Stage clocks: how long each part of a request takes, on one core.
//!
//! | api | stage | from | to |
//! |---|---|---|---|
//! | produce | `parse` | its bytes were received | its turn on the connection came |
//! | produce | `append` | its turn came | checked, and in the open journal frame (waiting for room included) |
//! | produce | `commit` | in the open frame | the frame was sealed |
//! | produce | `journal` | the frame was sealed | the frame was written |
//! | produce | `flush` | the frame was written | it was durable: flushed, and all frames before it were |
//! | produce | `acknowledge` | durable | the last byte of the reply was taken by the socket |
//! | produce | `total` | its bytes were received | the reply was taken |
//! | fetch | `parse` | its bytes were received | its turn came |
//! | fetch | `wait` | its turn came | enough was there, or its time was up; only those that waited |
//! | fetch | `read_hot` | nothing to wait for any more | read, all of it from memory |
//! | fetch | `read_cold` | nothing to wait for any more | read, some of it from the disk |
//! | fetch | `send` | read | the last byte of the reply was taken by the socket |
//! | fetch | `total` | its bytes were received | the reply was taken |
//!
//! A request of several cores has `commit`, `journal` and `flush` on each core that appended a part of it,
//! the rest on the core of its connection. There is no `replicate`: one node has nobody to wait for.
//!
//! Invariants: one thread; a sample is a few nanoseconds and allocates nothing, because every histogram
//! has its final size from the start.

use std::cell::RefCell;
use std::time::Duration;

use engine::base::Instant;
use hdrhistogram::Histogram;

/// Nanoseconds that no sample is told apart below, and the largest that is.
const NANOS_MIN: u64 = 8;
const NANOS_MAX: u64 = 60_000_000_000;

/// The largest frame or count that is told apart.
const SIZE_MAX: u64 = 1 << 30;

/// Two digits: a bucket is at most 1 % wide (or 8 ns), a histogram about 27 KiB.
const DIGITS: u8 = 2;

/// A part of a request's life; see the table above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the table above says what each is")]
pub enum Stage {
    ProduceParse,
    ProduceAppend,
    ProduceCommit,
    ProduceJournal,
    ProduceFlush,
    ProduceAcknowledge,
    ProduceTotal,
    FetchParse,
    FetchWait,
    FetchReadHot,
    FetchReadCold,
    FetchSend,
    FetchTotal,
}

impl Stage {
    /// How many there are.
    pub const COUNT: usize = 13;

    /// API and stage as metrics name them, in the order of the variants.
    pub const NAMES: [(&'static str, &'static str); Stage::COUNT] = [
        ("produce", "parse"),
        ("produce", "append"),
        ("produce", "commit"),
        ("produce", "journal"),
        ("produce", "flush"),
        ("produce", "acknowledge"),
        ("produce", "total"),
        ("fetch", "parse"),
        ("fetch", "wait"),
        ("fetch", "read_hot"),
        ("fetch", "read_cold"),
        ("fetch", "send"),
        ("fetch", "total"),
    ];
}

/// A reply whose last two stages are still to be timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timed {
    /// Counted as the last stage, from `since`.
    pub last: Stage,
    /// Counted as the whole, from `arrived`.
    pub total: Stage,
    /// When the request's bytes were received.
    pub arrived: Instant,
    /// When the last stage began.
    pub since: Instant,
}

/// Every histogram of one core: the one that is recorded into, and copies of it.
#[derive(Clone, Debug)]
pub struct Histograms {
    /// By [`Stage`], nanoseconds.
    pub stages: [Histogram<u64>; Stage::COUNT],
    /// Bytes of each flushed journal frame.
    pub flush_bytes: Histogram<u64>,
    /// Requests that each durable frame released, of frames that had any.
    pub acks_per_flush: Histogram<u64>,
}

impl Default for Histograms {
    fn default() -> Histograms {
        let sized = |low, high| Histogram::new_with_bounds(low, high, DIGITS).expect("constant bounds");
        Histograms {
            stages: std::array::from_fn(|_| sized(NANOS_MIN, NANOS_MAX)),
            flush_bytes: sized(1, SIZE_MAX),
            acks_per_flush: sized(1, SIZE_MAX),
        }
    }
}

impl Histograms {
    /// All of them, in a fixed order.
    pub fn all(&self) -> impl Iterator<Item = &Histogram<u64>> {
        self.stages.iter().chain([&self.flush_bytes, &self.acks_per_flush])
    }

    /// Becomes equal to `other`, without allocating.
    pub fn copy_from(&mut self, other: &Histograms) {
        let mine = self.stages.iter_mut().chain([&mut self.flush_bytes, &mut self.acks_per_flush]);
        for (mine, theirs) in mine.zip(other.all()) {
            // Nothing is ever taken back, so an equal count is an equal histogram.
            if mine.len() != theirs.len() {
                mine.reset();
                mine.add(theirs).expect("equal bounds");
            }
        }
    }
}

/// One core's clocks.
#[derive(Debug, Default)]
pub struct StageClocks {
    histograms: RefCell<Histograms>,
}

impl StageClocks {
    /// A stage took from `from` to `to`; zero where `to` is earlier.
    pub fn took(&self, stage: Stage, from: Instant, to: Instant) {
        self.took_each(stage, to.since(from), 1);
    }

    /// The same stage took equally long for `count` requests.
    pub fn took_each(&self, stage: Stage, time: Duration, count: u64) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(NANOS_MAX).min(NANOS_MAX);
        let histogram = &mut self.histograms.borrow_mut().stages[stage as usize];
        histogram.record_n(nanos, count).expect("within the bounds");
    }

    /// The socket took the last byte of a reply.
    pub fn sent(&self, timed: &Timed, now: Instant) {
        self.took(timed.last, timed.since, now);
        self.took(timed.total, timed.arrived, now);
    }

    /// A frame of `bytes` was flushed.
    pub fn flushed(&self, bytes: u64) {
        let sizes = &mut self.histograms.borrow_mut().flush_bytes;
        sizes.record(bytes.min(SIZE_MAX)).expect("within the bounds");
    }

    /// A durable frame released `acks` requests.
    pub fn released(&self, acks: u64) {
        let counts = &mut self.histograms.borrow_mut().acks_per_flush;
        counts.record(acks.min(SIZE_MAX)).expect("within the bounds");
    }

    /// Shows the histograms.
    pub fn with<T>(&self, look: impl FnOnce(&Histograms) -> T) -> T {
        look(&self.histograms.borrow())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_land_in_their_stage_and_copies_follow() {
        let clocks = StageClocks::default();
        clocks.took(Stage::ProduceAppend, Instant(1_000), Instant(6_000));
        clocks.took(Stage::ProduceAppend, Instant(6_000), Instant(1_000));
        clocks.took_each(Stage::ProduceFlush, Duration::from_secs(3_600), 7);
        clocks.flushed(0);
        clocks.released(3);
        let mut copy = Histograms::default();
        clocks.with(|h| copy.copy_from(h));
        let lens: Vec<u64> = copy.all().map(Histogram::len).filter(|n| *n > 0).collect();
        assert_eq!(lens, [2, 7, 1, 1]);
        assert_eq!(copy.stages[Stage::ProduceAppend as usize].min(), 0);
        assert!((4_950..5_050).contains(&copy.stages[Stage::ProduceAppend as usize].max()));
        clocks.took(Stage::ProduceAppend, Instant(0), Instant(64));
        clocks.with(|h| copy.copy_from(h));
        assert_eq!(copy.stages[Stage::ProduceAppend as usize].len(), 3);
    }
}
