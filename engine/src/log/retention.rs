//! Which old segments go. A plan only: nothing is deleted here.

use crate::base::{Offset, WallMs};
use crate::config::TopicSettings;
use crate::log::segments::{Segment, Segments};

/// How long and how much a topic keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RetentionLimits {
    /// `retention.ms`; `None` keeps for ever.
    pub ms: Option<u64>,
    /// `retention.bytes`: a floor, whole segments go only while at least this much stays.
    pub bytes: Option<u64>,
}

impl From<&TopicSettings> for RetentionLimits {
    /// Where a topic is only compacted, nothing goes by age or size.
    fn from(settings: &TopicSettings) -> RetentionLimits {
        if !settings.cleanup.deletes() {
            return RetentionLimits::default();
        }
        RetentionLimits { ms: settings.retention_ms, bytes: settings.retention_bytes }
    }
}

/// What retention wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetentionPlan {
    /// The log start offset after it; never lower than before, never above the high watermark.
    pub log_start: Offset,
    /// Base offsets of the segments to drop, oldest first.
    pub drop: Vec<Offset>,
    /// Whether the active segment is among them: roll first, so that an empty one takes its place.
    pub roll: bool,
}

/// Applies Kafka's three rules in Kafka's order: segments wholly below `log_start`, then the oldest
/// while the log stays at `bytes` or above, then the oldest while their largest timestamp is more
/// than `ms` ago. Each stops at the first segment that may stay, or that reaches above the high
/// watermark. `None` if nothing goes.
#[must_use]
pub fn plan(
    segments: &Segments,
    log_start: Offset,
    high_watermark: Offset,
    now: WallMs,
    limits: RetentionLimits,
) -> Option<RetentionPlan> {
    let mut remaining = segments.iter().peekable();
    let mut drop = Vec::new();
    let mut new_start = log_start;
    let mut sweep = |breached: &mut dyn FnMut(&Segment, Option<Offset>) -> bool| {
        while let Some(&segment) = remaining.peek() {
            let next = segments.after(segment.base).map(|s| s.base);
            let upper = next.unwrap_or(segments.end());
            let empty_active = next.is_none() && segment.bytes == 0;
            if empty_active || high_watermark < upper || !breached(segment, next) {
                break;
            }
            drop.push(segment.base);
            new_start = new_start.max(upper);
            remaining.next();
        }
    };

    let mut kept = segments.bytes();
    sweep(&mut |segment, next| {
        let below = next.is_some_and(|next| next <= log_start);
        if below {
            kept -= u64::from(segment.bytes);
        }
        below
    });
    if let Some(floor) = limits.bytes {
        sweep(&mut |segment, _| {
            let after = kept - u64::from(segment.bytes);
            let breached = after >= floor;
            if breached {
                kept = after;
            }
            breached
        });
    }
    if let Some(ms) = limits.ms {
        sweep(&mut |segment, _| {
            let age = now.0.saturating_sub(segment.largest_timestamp());
            u64::try_from(age).is_ok_and(|age| age > ms)
        });
    }

    let roll = drop.last() == Some(&segments.active().base);
    (!drop.is_empty()).then_some(RetentionPlan { log_start: new_start, drop, roll })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Now;
    use crate::log::fixture::Batch;
    use crate::log::segments::RollLimits;

    /// Segments of 10 records and 100 bytes each, the i-th with largest timestamp 1000 × (i + 1).
    fn log(count: i64) -> Segments {
        let limits = RollLimits {
            segment_bytes: 100,
            segment_ms: u64::MAX,
            jitter_ms: 0,
            index_bytes: 1 << 20,
            index_interval_bytes: 4096,
        };
        let mut segments = Segments::new(Offset(0), Now::default(), 0);
        for i in 0..count {
            let batch =
                Batch { base: 10 * i, records: 10, max_timestamp: 1_000 * (i + 1), ..Batch::default() };
            let place = segments.plan(&batch.header(), 100, Now::default(), &limits).expect("fits").place;
            segments.apply(&batch.header(), place, Now::default(), 4096).expect("continues");
        }
        segments
    }

    const NEVER: RetentionLimits = RetentionLimits { ms: None, bytes: None };

    fn check(
        segments: &Segments,
        (start, hw, now): (i64, i64, i64),
        limits: RetentionLimits,
        expected: Option<(i64, usize, bool)>,
    ) {
        let planned = plan(segments, Offset(start), Offset(hw), WallMs(now), limits);
        assert_eq!(planned.map(|p| (p.log_start.0, p.drop.len(), p.roll)), expected);
    }

    #[test]
    fn nothing_goes_without_a_limit() {
        check(&log(5), (0, 50, i64::MAX), NEVER, None);
    }

    #[test]
    fn segments_below_the_log_start_go() {
        check(&log(5), (25, 50, 0), NEVER, Some((25, 2, false)));
        check(&log(5), (20, 50, 0), NEVER, Some((20, 2, false)));
        check(&log(5), (50, 50, 0), NEVER, Some((50, 4, false)));
    }

    #[test]
    fn bytes_are_a_floor() {
        let bytes = |n| RetentionLimits { bytes: Some(n), ..NEVER };
        check(&log(5), (0, 50, 0), bytes(500), None);
        check(&log(5), (0, 50, 0), bytes(401), None);
        check(&log(5), (0, 50, 0), bytes(400), Some((10, 1, false)));
        check(&log(5), (0, 50, 0), bytes(250), Some((20, 2, false)));
        check(&log(5), (25, 50, 0), bytes(250), Some((25, 2, false)));
        check(&log(5), (0, 50, 0), bytes(0), Some((50, 5, true)));
    }

    #[test]
    fn expired_segments_go_the_active_one_too() {
        let ms = |n| RetentionLimits { ms: Some(n), ..NEVER };
        check(&log(3), (0, 30, 2_500), ms(1_500), None);
        check(&log(3), (0, 30, 2_501), ms(1_500), Some((10, 1, false)));
        check(&log(3), (0, 30, 100_000), ms(1_500), Some((30, 3, true)));
        check(&log(3), (0, 30, 0), ms(0), None);
        check(&log(0), (0, 0, 100_000), ms(1_500), None);
    }

    #[test]
    fn nothing_above_the_high_watermark_goes() {
        let all = RetentionLimits { ms: Some(0), bytes: Some(0) };
        check(&log(3), (0, 19, 100_000), all, Some((10, 1, false)));
        check(&log(3), (0, 20, 100_000), all, Some((20, 2, false)));
        check(&log(3), (0, 29, 100_000), all, Some((20, 2, false)));
    }

    #[test]
    fn records_without_timestamps_age_by_their_last_append() {
        let mut segments = Segments::new(Offset(0), Now::default(), 0);
        let header = Batch { max_timestamp: -1, ..Batch::default() }.header();
        let place = segments.end_place();
        let now = Now { wall: WallMs(5_000), ..Now::default() };
        segments.apply(&header, place, now, 4096).expect("continues");
        let limits = RetentionLimits { ms: Some(1_000), ..NEVER };
        check(&segments, (0, 1, 6_000), limits, None);
        check(&segments, (0, 1, 6_001), limits, Some((1, 1, true)));
    }
}
