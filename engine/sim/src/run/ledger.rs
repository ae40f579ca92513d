//! What was promised: the truth that every recovery is compared with.

use std::collections::{BTreeMap, BTreeSet};

use engine::base::{LeaderEpoch, Offset};
use engine::config::TopicSettings;
use engine::io::Disk;
use engine::record::BatchHeader;

use super::fold::Fold;

/// A batch that the engine took and gave a place.
pub(crate) struct Given {
    /// Its bytes as they must be read.
    bytes: Vec<u8>,
    end: i64,
    epoch: LeaderEpoch,
    /// The timestamp of all its records, ms.
    time: i64,
    /// Its acknowledgement left, or a consumer saw it: it may never go away again.
    promised: bool,
}

/// One partition's truth, over all lives of the machine.
#[derive(Default)]
pub(crate) struct Ledger {
    given: BTreeMap<i64, Given>,
    /// Of a topic that is compacted: what of each batch is left.
    fold: Option<Fold>,
    log_start: i64,
    /// The least that retention had to leave since the last start.
    retention_bytes: Option<u64>,
    retention_ms: Option<u64>,
    /// What it has to leave now.
    retention: (Option<u64>, Option<u64>),
    /// The latest time that the machine may ever have believed, ms.
    time_max: i64,
    /// The highest high watermark seen in this life.
    high_watermark: i64,
    /// Log starts that a client asked for, answered or not.
    starts_asked: BTreeSet<i64>,
    /// A client asked for all to be deleted that is visible when that is done: at least what was below this.
    all_asked: Option<i64>,
    /// The highest that was answered: it may never go back.
    start_promised: i64,
    /// Batches whose fate a crash left open and that turned out lost.
    pub(crate) lost: u64,
    pub(crate) acknowledged: u64,
    pub(crate) read: u64,
}

impl Ledger {
    pub(crate) fn new(settings: &TopicSettings) -> Ledger {
        let retention = retention(settings);
        Ledger {
            retention_bytes: retention.0,
            retention_ms: retention.1,
            retention,
            fold: Fold::new(settings),
            ..Ledger::default()
        }
    }

    /// Other settings count from now on. What went by those of before is only seen later.
    pub(crate) fn alter(&mut self, settings: &TopicSettings) {
        self.retention = retention(settings);
        let less = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        self.retention_bytes = less(self.retention_bytes, self.retention.0);
        self.retention_ms = less(self.retention_ms, self.retention.1);
    }

    /// The engine gave a batch its place.
    pub(crate) fn give(
        &mut self,
        base: Offset,
        records: i64,
        bytes: Vec<u8>,
        epoch: LeaderEpoch,
        time: i64,
    ) -> Result<(), String> {
        let next = self.end();
        if base.0 != next {
            return Err(format!("a batch got offset {base}, the log ends at {next}"));
        }
        if let Some(fold) = &mut self.fold {
            fold.give(&bytes)?;
        }
        self.given.insert(base.0, Given { bytes, end: base.0 + records, epoch, time, promised: false });
        Ok(())
    }

    /// The end of what was given.
    pub(crate) fn end(&self) -> i64 {
        self.given.last_key_value().map_or(self.log_start, |(_, g)| g.end.max(self.log_start))
    }

    pub(crate) fn acknowledge(&mut self, base: Offset) {
        self.acknowledged += 1;
        if let Some(given) = self.given.get_mut(&base.0) {
            given.promised = true;
        }
    }

    /// A crash that may take what was only written: no promise of a relaxed topic holds.
    pub(crate) fn forgive(&mut self) {
        self.given.values_mut().for_each(|given| given.promised = false);
    }

    /// A consumer begins to read. What it is told names its read to [`Ledger::show`].
    pub(crate) fn begin_read(&mut self) -> u64 {
        self.fold.as_mut().map_or(0, Fold::begin_read)
    }

    /// A consumer was shown these bytes: whole batches from the one with `from` on, below `high_watermark`.
    /// Of a compacted log also from one behind it, if nothing has to be left of those between.
    pub(crate) fn show(
        &mut self,
        began: u64,
        from: i64,
        high_watermark: i64,
        bytes: &[u8],
    ) -> Result<i64, String> {
        let mut rest = bytes;
        let mut next = None;
        while !rest.is_empty() {
            let base = i64::from_be_bytes(rest[..8].try_into().map_err(|_| "a torn header")?);
            let Some(given) = self.given.get_mut(&base) else {
                return Err(format!("a batch at {base} that nobody appended"));
            };
            let compacted = self.fold.is_some();
            if next.is_some_and(|next| base < next || (base > next && !compacted)) {
                return Err(format!("batch {base} follows {next:?}"));
            }
            if next.is_none() && (given.end <= from || (base > from && !compacted)) {
                return Err(format!("a read at {from} began with batch {base}..{}", given.end));
            }
            if given.end > high_watermark {
                return Err(format!("batch {base}..{} above the high watermark {high_watermark}", given.end));
            }
            let bytes = match &mut self.fold {
                None => given.bytes.len(),
                Some(fold) => {
                    fold.skip(next.unwrap_or(from), base)?;
                    let bytes = BatchHeader::peek(rest).and_then(BatchHeader::total_bytes);
                    let bytes = bytes.filter(|n| *n <= rest.len()).ok_or("a torn batch")?;
                    fold.show(began, &rest[..bytes], &given.bytes)?;
                    bytes
                }
            };
            if !compacted && (rest.len() < bytes || rest[..bytes] != given.bytes) {
                return Err(format!("batch {base} reads other bytes than were appended"));
            }
            given.promised = true;
            self.read += 1;
            next = Some(given.end);
            rest = &rest[bytes..];
        }
        next.ok_or_else(|| format!("a read at {from} below {high_watermark} returned nothing"))
    }

    /// A consumer is told how far it may read. Within a life that never goes back.
    pub(crate) fn bounded(&mut self, log_start: Offset, high_watermark: Offset) -> Result<(), String> {
        if high_watermark.0 < self.high_watermark {
            return Err(format!("the high watermark went from {} to {high_watermark}", self.high_watermark));
        }
        if log_start.0 < self.start_promised {
            return Err(format!("the log starts at {log_start}: {} was promised", self.start_promised));
        }
        self.high_watermark = high_watermark.0;
        Ok(())
    }

    /// The machine starts again.
    pub(crate) fn begin_life(&mut self) {
        self.high_watermark = 0;
    }

    /// The earliest and the latest time that the machine may believe.
    pub(crate) fn told_time(&mut self, times: (i64, i64)) {
        self.time_max = self.time_max.max(times.1);
        if let Some(fold) = &mut self.fold {
            fold.told_time(times);
        }
    }

    /// The batch that holds an offset: its base and the epoch it was written under.
    pub(crate) fn epoch_of(&self, offset: i64) -> Option<LeaderEpoch> {
        self.given.range(..=offset).next_back().filter(|(_, g)| g.end > offset).map(|(_, g)| g.epoch)
    }

    /// The first offset whose record is of that time or later.
    pub(crate) fn offset_since(&self, time: i64) -> Option<i64> {
        if let Some(fold) = &self.fold {
            return fold.offset_since(self.log_start, time);
        }
        let batch = self.given.iter().find(|(_, g)| g.end > self.log_start && g.time >= time);
        batch.map(|(&base, _)| base.max(self.log_start))
    }

    /// The timestamps of what is in the log.
    pub(crate) fn times(&self) -> Vec<i64> {
        self.given.values().map(|g| g.time).collect()
    }

    /// A client asks for a higher log start, or with `all` for whatever is visible then.
    pub(crate) fn ask_start(&mut self, start: Offset, all: bool) {
        self.starts_asked.insert(start.0);
        if all {
            self.all_asked = Some(self.all_asked.map_or(start.0, |from| from.min(start.0)));
        }
    }

    /// Whether a client asked for a log start: this one, or all that was visible, which ends with a batch.
    fn was_asked(&self, start: i64) -> bool {
        let ends_there = || start == self.end() || self.given.contains_key(&start);
        self.starts_asked.contains(&start) || self.all_asked.is_some_and(|from| start >= from) && ends_there()
    }

    /// A client was told where the log starts.
    pub(crate) fn promise_start(&mut self, asked: Offset, start: Offset) -> Result<(), String> {
        if start < asked {
            return Err(format!("the log starts at {start} where {asked} was asked for"));
        }
        self.start_promised = self.start_promised.max(start.0);
        Ok(())
    }

    /// The engine says where the log starts. A client may have moved it, or retention, which never goes past what it
    /// keeps.
    pub(crate) fn starts_at(&mut self, log_start: Offset) -> Result<(), String> {
        let start = log_start.0;
        if start < self.start_promised {
            return Err(format!("the log starts at {start}: {} was promised", self.start_promised));
        }
        if start > self.end() {
            return Err(format!("the log starts at {start} and was given up to {}", self.end()));
        }
        if start > self.log_start {
            let kept: u64 = self.given.range(start..).map(|(_, g)| g.bytes.len() as u64).sum();
            match self.retention_bytes {
                _ if self.was_asked(start) => {}
                Some(bytes) if kept >= bytes => {}
                _ if self.is_old_below(start) => {}
                limit => {
                    let ms = self.retention_ms;
                    return Err(format!(
                        "the log starts at {start}: {kept} bytes left, retention {limit:?} bytes, {ms:?} ms"
                    ));
                }
            }
            // A batch that the start divides is still read whole.
            let divided = self.given.range(..start).next_back().filter(|(_, g)| g.end > start);
            let first = divided.map_or(start, |(&base, _)| base);
            self.given = self.given.split_off(&first);
            self.log_start = start;
            if let Some(fold) = &mut self.fold {
                fold.start_at(first);
            }
        }
        (self.retention_bytes, self.retention_ms) = self.retention;
        Ok(())
    }

    /// Whether all below an offset is older than it has to be kept, but for what may go for its size before, or
    /// because a client asked for it.
    fn is_old_below(&self, start: i64) -> bool {
        let Some(ms) = self.retention_ms else { return false };
        let is_old = |time: i64| self.time_max.saturating_sub(time) > ms as i64;
        let asked = self.starts_asked.range(..=start).next_back().copied().unwrap_or(0);
        let from = self.sized_to().max(asked).min(start);
        match &self.fold {
            Some(fold) => fold.times_that_stay(from..start).all(is_old),
            None => self.given.range(from..start).all(|(_, g)| is_old(g.time)),
        }
    }

    /// The offset below which the log may go for its size alone.
    fn sized_to(&self) -> i64 {
        let Some(limit) = self.retention_bytes else { return 0 };
        let mut kept = 0;
        let mut behind = self.given.iter().rev();
        let first = behind.find(|(_, g)| {
            kept += g.bytes.len() as u64;
            kept >= limit
        });
        first.map_or(0, |(&base, _)| base)
    }

    /// After a recovery the log ends here: everything promised is below, the rest never was.
    pub(crate) fn ends_at(&mut self, start: Offset, end: Offset) -> Result<(), String> {
        let mut gone = self.given.split_off(&end.0);
        // What was deleted up to there, inside a batch, may have gone with what was not promised.
        if start == end && self.end() > end.0 {
            gone.extend(self.given.pop_last());
            self.log_start = self.log_start.max(start.0);
        }
        if let Some((base, _)) = gone.iter().find(|(_, g)| g.promised) {
            return Err(format!("the log ends at {end}: batch {base}, acknowledged or shown, is gone"));
        }
        self.lost += gone.len() as u64;
        if let Some(fold) = &mut self.fold {
            fold.end_at(end.0)?;
        }
        if self.end().max(start.0) != end.0 {
            return Err(format!("the log ends at {end}, inside a batch or behind {}", self.end()));
        }
        Ok(())
    }

    /// All of the log was read after a recovery.
    pub(crate) fn read_whole(&self) -> Result<(), String> {
        self.fold.as_ref().map_or(Ok(()), |fold| fold.check_ends(self.log_start))
    }

    /// Records that compaction took, and those of them that ended their keys.
    pub(crate) fn compacted(&self) -> (u64, u64) {
        self.fold.as_ref().map_or((0, 0), |fold| (fold.dropped, fold.ended))
    }

    /// The longest batch in the log, bytes.
    pub(crate) fn largest(&self) -> u64 {
        self.given.values().map(|g| g.bytes.len() as u64).max().unwrap_or(0)
    }

    /// Whether a client was ever told of a higher log start.
    pub(crate) fn deleted(&self) -> bool {
        self.start_promised > 0
    }

    /// Whether the log's start ever moved.
    pub(crate) fn moved(&self) -> bool {
        self.log_start > 0
    }

    /// Whether this batch is still in the log or was deleted by retention after it was there.
    pub(crate) fn holds(&self, base: i64) -> bool {
        base < self.log_start || self.given.contains_key(&base)
    }
}

/// What retention has to leave of a topic, in bytes and ms. One that is only compacted keeps what is old.
fn retention(settings: &TopicSettings) -> (Option<u64>, Option<u64>) {
    let deletes = settings.cleanup.deletes();
    (settings.retention_bytes.filter(|_| deletes), settings.retention_ms.filter(|_| deletes))
}

/// The bytes of a fetch in one piece.
pub(crate) fn joined<D: Disk>(fetched: &engine::broker::Fetched<D::Chunk>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(fetched.bytes);
    fetched.slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
    bytes
}
