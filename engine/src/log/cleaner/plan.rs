//! What of a log may be compacted now, whether it is worth it, and which segments become one.

use crate::base::{Offset, WallMs};
use crate::config::TopicSettings;
use crate::log::segments::Segments;

/// Millionths of one.
const MILLION: u64 = 1_000_000;

/// When a topic is compacted: from its settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CleanLimits {
    /// `min.compaction.lag.ms`.
    pub lag_min_ms: u64,
    /// `max.compaction.lag.ms`; `u64::MAX` is none.
    pub lag_max_ms: u64,
    /// `min.cleanable.dirty.ratio`, millionths.
    pub dirty_ppm: u32,
}

impl From<&TopicSettings> for CleanLimits {
    fn from(settings: &TopicSettings) -> CleanLimits {
        CleanLimits {
            lag_min_ms: settings.min_compaction_lag_ms,
            lag_max_ms: settings.max_compaction_lag_ms,
            dirty_ppm: settings.min_cleanable_dirty_ppm,
        }
    }
}

/// What is known of a log.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its segments as far as they are written. The active one is never compacted.
    pub segments: &'a Segments,
    /// The log start offset.
    pub log_start: Offset,
    /// Everything below was in a round already.
    pub cleaned: Offset,
    /// The last stable offset: nothing of an open transaction, or above the high watermark, is below.
    pub last_stable: Offset,
}

/// The part of a log that a round may note.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cleanable {
    /// Where it begins.
    pub from: Offset,
    /// Where it ends: the base of a segment. Not below `from`.
    pub end: Offset,
    /// Bytes of segments below it.
    pub clean_bytes: u64,
    /// Bytes of segments in it.
    pub dirty_bytes: u64,
}

impl Cleanable {
    /// The dirty part of the two, millionths; 0 if there is nothing.
    #[must_use]
    pub fn dirty_ppm(&self) -> u32 {
        let all = self.clean_bytes + self.dirty_bytes;
        let ppm = (u128::from(self.dirty_bytes) * u128::from(MILLION)).checked_div(u128::from(all));
        ppm.unwrap_or(0) as u32
    }
}

/// What may be compacted: closed segments below the last stable offset, as far as none of them holds a
/// record younger than `min.compaction.lag.ms`.
#[must_use]
pub fn cleanable(facts: &Facts<'_>, limits: &CleanLimits, now: WallMs) -> Cleanable {
    let segments = facts.segments;
    let from = facts.cleaned.max(facts.log_start).min(segments.end());
    let mut found = Cleanable { from, end: from, clean_bytes: 0, dirty_bytes: 0 };
    let closed = segments.iter().take(segments.len() - 1);
    for segment in closed {
        let end = segments.end_of(segment.base);
        if end <= from {
            found.clean_bytes += u64::from(segment.bytes);
            continue;
        }
        let age = now.0.saturating_sub(segment.largest_timestamp());
        let young = limits.lag_min_ms > 0 && !u64::try_from(age).is_ok_and(|age| age >= limits.lag_min_ms);
        if end > facts.last_stable || young {
            break;
        }
        found.dirty_bytes += u64::from(segment.bytes);
        found.end = end;
    }
    found
}

/// Whether a round should begin: enough is dirty, or something has been for too long. `first_timestamp` is
/// the earliest timestamp of the dirty closed segments, if one is known.
#[must_use]
pub fn is_due(part: &Cleanable, limits: &CleanLimits, first_timestamp: Option<i64>, now: WallMs) -> bool {
    if part.dirty_bytes == 0 {
        return false;
    }
    let lag = limits.lag_max_ms.max(limits.lag_min_ms);
    let overdue = first_timestamp.is_some_and(|first| {
        u64::try_from(now.0.saturating_sub(first)).is_ok_and(|waited| lag != u64::MAX && waited > lag)
    });
    overdue || part.dirty_ppm() > limits.dirty_ppm
}

/// Segments that become one: those with a base in `base..end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// The base of the first, and of what comes of them.
    pub base: Offset,
    /// The base of the segment behind the last.
    pub end: Offset,
    /// Their bytes.
    pub bytes: u64,
    /// How many they are.
    pub count: usize,
}

/// The segments that hold offsets of `log_start..end`, in groups that fit into one segment of `segment_bytes`
/// whatever stays of them. Those below the log start are retention's: their files may be gone.
#[must_use]
pub fn groups(segments: &Segments, log_start: Offset, end: Offset, segment_bytes: u32) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let closed = segments.iter().take(segments.len() - 1);
    let visible = closed.skip_while(|s| segments.end_of(s.base) <= log_start);
    for segment in visible.take_while(|s| s.base < end) {
        let next = segments.end_of(segment.base);
        let bytes = u64::from(segment.bytes);
        if let Some(last) = groups.last_mut() {
            let near = next.0 - 1 - last.base.0 <= i64::from(i32::MAX);
            if last.bytes + bytes <= u64::from(segment_bytes) && near {
                (last.end, last.bytes, last.count) = (next, last.bytes + bytes, last.count + 1);
                continue;
            }
        }
        groups.push(Group { base: segment.base, end: next, bytes, count: 1 });
    }
    groups
}
