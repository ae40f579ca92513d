//! What compaction may take from a partition and what it must leave, record by record.
//!
//! A record may be missing if a later one has its key, or if it is the tombstone that ended its key and its
//! time has come; it must be old enough to be compacted, and once it is gone it stays so. What is there is as
//! it was written. Where the tombstone of a key is gone no older record of that key is left.

use std::collections::{BTreeMap, BTreeSet};

use engine::config::{INFLATED_BYTES_MAX, TopicSettings};
use engine::record::{BatchHeader, Records, crc_matches, payload};

/// A record that was given an offset.
struct Told {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    /// Its timestamp, ms.
    time: i64,
    /// The earliest time that the machine may have believed since, ms.
    since: i64,
    /// The read that found it gone.
    gone: Option<u64>,
    /// When it may go if it is a tombstone, as its batch says, ms.
    horizon: Option<i64>,
}

/// The records of a compacted partition.
pub(super) struct Fold {
    delete_retention_ms: i64,
    lag_min_ms: i64,
    told: BTreeMap<i64, Told>,
    by_key: BTreeMap<Vec<u8>, BTreeSet<i64>>,
    /// The earliest time that the machine may believe now, and the latest that it ever may have, ms.
    time: i64,
    time_max: i64,
    reads: u64,
    /// Records that compaction took.
    pub(super) dropped: u64,
    /// Of these, tombstones that ended their keys.
    pub(super) ended: u64,
}

/// Records of a batch: offset, timestamp, key and value.
type Decoded = Vec<(i64, i64, Vec<u8>, Option<Vec<u8>>)>;

fn decode(batch: &[u8]) -> Result<Decoded, String> {
    let header = BatchHeader::peek(batch).ok_or("less than a header")?;
    let records = payload(batch, INFLATED_BYTES_MAX).map_err(|e| e.to_string())?;
    let mut decoded = Vec::new();
    for record in Records::of(header, &records) {
        let record = record.map_err(|e| e.to_string())?;
        let key = record.key.ok_or("a record without a key")?;
        decoded.push((record.offset.0, record.timestamp, key.to_vec(), record.value.map(<[u8]>::to_vec)));
    }
    if header.record_count() as usize == decoded.len() {
        Ok(decoded)
    } else {
        Err(format!("a batch says that it has {} records: {}", header.record_count(), decoded.len()))
    }
}

impl Fold {
    /// Of a topic that is compacted; `None` for others.
    pub(super) fn new(settings: &TopicSettings) -> Option<Fold> {
        settings.cleanup.compacts().then(|| Fold {
            delete_retention_ms: settings.delete_retention_ms as i64,
            lag_min_ms: settings.min_compaction_lag_ms as i64,
            told: BTreeMap::new(),
            by_key: BTreeMap::new(),
            time: i64::MIN,
            time_max: i64::MIN,
            reads: 0,
            dropped: 0,
            ended: 0,
        })
    }

    /// The earliest and the latest time that the machine may believe.
    pub(super) fn told_time(&mut self, (earliest, latest): (i64, i64)) {
        if earliest < self.time {
            self.told.values_mut().for_each(|told| told.since = told.since.min(earliest));
        }
        self.time = earliest;
        self.time_max = self.time_max.max(latest);
    }

    /// A batch was given its place.
    pub(super) fn give(&mut self, batch: &[u8]) -> Result<(), String> {
        for (offset, time, key, value) in decode(batch)? {
            self.by_key.entry(key.clone()).or_default().insert(offset);
            let told = Told { key, value, time, since: self.time.min(time), gone: None, horizon: None };
            self.told.insert(offset, told);
        }
        Ok(())
    }

    /// The log ends here after a crash. Nothing went for the sake of what the crash took.
    pub(super) fn end_at(&mut self, end: i64) -> Result<(), String> {
        let lost = self.told.split_off(&end);
        self.forget(&lost);
        for told in lost.values() {
            let Some(last) = self.by_key.get(&told.key).and_then(|offsets| offsets.last()) else { continue };
            let left = &self.told[last];
            if left.gone.is_some() && (left.value.is_some() || !self.has_come(left)) {
                return Err(format!("the record at {last} went for a later one of its key that is lost"));
            }
        }
        Ok(())
    }

    /// The log holds nothing below this any more.
    pub(super) fn start_at(&mut self, start: i64) {
        let kept = self.told.split_off(&start);
        let gone = std::mem::replace(&mut self.told, kept);
        self.forget(&gone);
    }

    fn forget(&mut self, gone: &BTreeMap<i64, Told>) {
        for (offset, told) in gone {
            let offsets = self.by_key.get_mut(&told.key).expect("every record is found by its key");
            offsets.remove(offset);
            if offsets.is_empty() {
                self.by_key.remove(&told.key);
            }
        }
    }

    /// A read begins: what is known to be gone by now it may not show.
    pub(super) fn begin_read(&mut self) -> u64 {
        self.reads += 1;
        self.reads
    }

    /// The read that began as `began` shows this batch, which was given as `given`.
    pub(super) fn show(&mut self, began: u64, batch: &[u8], given: &[u8]) -> Result<(), String> {
        let (now, was) = (BatchHeader::peek(batch), BatchHeader::peek(given));
        let (now, was) = now.zip(was).ok_or("a torn header")?;
        let (base, end) = (was.base_offset().0, was.next_offset().0);
        if batch == given {
            return self.told.range_mut(base..end).try_for_each(|(offset, told)| told.shown(*offset, began));
        }
        let stays = |header: &BatchHeader| {
            let producer = (header.producer_id(), header.producer_epoch(), header.base_sequence());
            (header.base_offset(), header.next_offset(), header.leader_epoch(), producer)
        };
        if stays(now) != stays(was) || !crc_matches(batch) {
            return Err(format!("batch {base} is {:?}, it was {:?}", stays(now), stays(was)));
        }
        let mut next = base;
        for (offset, time, key, value) in decode(batch)? {
            self.skip(next, offset)?;
            let told = self.told.get_mut(&offset).filter(|_| offset >= next);
            let told = told.ok_or_else(|| format!("a record at {offset} that nobody wrote"))?;
            if (told.time, &told.key, &told.value) != (time, &key, &value) {
                return Err(format!("the record at {offset} is another than was written"));
            }
            told.shown(offset, began)?;
            if let Some(horizon) = now.delete_horizon() {
                told.waits_until(offset, horizon, self.delete_retention_ms)?;
            }
            next = offset + 1;
        }
        self.skip(next, end)
    }

    /// A read shows nothing of these offsets: each record is gone that was there.
    pub(super) fn skip(&mut self, from: i64, to: i64) -> Result<(), String> {
        if from >= to {
            return Ok(());
        }
        let missing: Vec<i64> =
            self.told.range(from..to).filter(|(_, t)| t.gone.is_none()).map(|(&offset, _)| offset).collect();
        for offset in missing {
            let told = &self.told[&offset];
            let later = self.later(offset);
            let what = match (later, &told.value) {
                _ if self.is_young(told.time) => "too young to be compacted",
                (Some(_), _) => "",
                (None, Some(_)) => "the latest of its key",
                (None, None) if !self.has_come(told) => "a tombstone whose time has not come",
                (None, None) => "",
            };
            if !what.is_empty() {
                return Err(format!("the record at {offset} is gone: it was {what}"));
            }
            self.dropped += 1;
            self.ended += u64::from(later.is_none());
            let now = self.reads;
            self.told.get_mut(&offset).expect("just found").gone = Some(now);
        }
        Ok(())
    }

    /// Whether the time of a tombstone may have come.
    fn has_come(&self, told: &Told) -> bool {
        let earliest = told.since.saturating_add(self.delete_retention_ms);
        self.time_max >= told.horizon.unwrap_or(earliest)
    }

    /// The next record with the key of this one.
    fn later(&self, offset: i64) -> Option<i64> {
        self.by_key[&self.told[&offset].key].range(offset + 1..).next().copied()
    }

    /// All of the log from `start` on was read: no key that ended goes on with what it had before.
    pub(super) fn check_ends(&self, start: i64) -> Result<(), String> {
        for offsets in self.by_key.values() {
            let mut back = offsets.iter().rev().map(|offset| (*offset, &self.told[offset]));
            let Some((last, Told { gone: Some(_), .. })) = back.next() else { continue };
            let left = back.find(|(offset, told)| *offset >= start && told.gone.is_none());
            if let Some((offset, _)) = left {
                return Err(format!(
                    "the tombstone at {last} is gone and {offset}, which it deleted, is there"
                ));
            }
        }
        Ok(())
    }

    /// The first record at `start` or above that is there and of that time or later.
    pub(super) fn offset_since(&self, start: i64, time: i64) -> Option<i64> {
        let mut there = self.told.range(start..).filter(|(_, told)| told.gone.is_none());
        there.find(|(_, told)| told.time >= time).map(|(&offset, _)| offset)
    }

    /// Whether no round may have taken it yet. Without a lag its time says nothing: a clock that jumped stamps
    /// records ahead of what is believed.
    fn is_young(&self, time: i64) -> bool {
        self.lag_min_ms > 0 && self.time_max.saturating_sub(time) < self.lag_min_ms
    }

    /// The timestamps of the records that compaction may not take: retention has to go by them.
    pub(super) fn times_that_stay(&self, of: std::ops::Range<i64>) -> impl Iterator<Item = i64> + '_ {
        let stays =
            move |(offset, told): &(&i64, &Told)| told.value.is_some() && self.later(**offset).is_none();
        self.told.range(of).filter(stays).map(|(_, told)| told.time)
    }
}

impl Told {
    fn shown(&self, offset: i64, began: u64) -> Result<(), String> {
        match self.gone {
            Some(gone) if gone < began => Err(format!("the record at {offset} was gone and is back")),
            _ => Ok(()),
        }
    }

    /// Its batch says until when its tombstones stay.
    fn waits_until(&mut self, offset: i64, horizon: i64, retention_ms: i64) -> Result<(), String> {
        let earliest = self.since.saturating_add(retention_ms);
        if horizon < earliest || self.horizon.is_some_and(|known| known != horizon) {
            let known = self.horizon;
            return Err(format!(
                "the tombstones with {offset} may go at {horizon}: not before {earliest}, known {known:?}"
            ));
        }
        self.horizon = Some(horizon);
        Ok(())
    }
}
