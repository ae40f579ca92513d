//! When the broker did what may show in latency: its counters, looked at once a second while the window is measured.

use std::time::{Duration, Instant};

use super::stages::get;
use crate::report::stages::{Mark, MarkKind};

/// How often the broker is asked, which it hardly notices.
const EVERY: Duration = Duration::from_secs(1);

/// A look that comes this much early counts: the watcher turns four times a second.
const EARLY: Duration = Duration::from_millis(130);

/// More are not kept: an hour of every kind.
const MARKS_MAX: usize = 5 * 3_600;

/// Counters of all cores together, by kind.
type Counts = [f64; MarkKind::ALL.len()];

/// A window under way.
#[derive(Debug)]
pub(super) struct Marking {
    address: String,
    began: Instant,
    last: Duration,
    counts: Counts,
    found: Vec<Mark>,
}

impl Marking {
    /// Begins at the admin endpoint `address`; `None` if it does not answer.
    pub(super) fn start(address: &str) -> Option<Marking> {
        let counts = counts(&get(address, "/metrics").ok()?);
        let began = Instant::now();
        Some(Marking { address: address.to_string(), began, last: Duration::ZERO, counts, found: Vec::new() })
    }

    /// Looks, if it is time.
    pub(super) fn tick(&mut self) {
        if self.began.elapsed() + EARLY >= self.last + EVERY {
            self.look();
        }
    }

    /// The last look, and everything that was seen.
    pub(super) fn finish(mut self) -> Vec<Mark> {
        self.look();
        self.found
    }

    fn look(&mut self) {
        // One that does not answer once is asked again: what it did meanwhile is seen then.
        let Ok(page) = get(&self.address, "/metrics") else { return };
        self.take(self.began.elapsed(), counts(&page));
    }

    fn take(&mut self, now: Duration, counts: Counts) {
        let (start_s, length_s) = (self.last.as_secs_f64(), (now - self.last).as_secs_f64());
        for (index, kind) in MarkKind::ALL.into_iter().enumerate() {
            let count = (counts[index] - self.counts[index]).max(0.0) as u64;
            if count > 0 && self.found.len() < MARKS_MAX {
                self.found.push(Mark { kind, start_s, length_s, count });
            }
        }
        (self.last, self.counts) = (now, counts);
    }
}

/// What a page of metrics says.
fn counts(page: &str) -> Counts {
    let sum = |name: &str, with: &str| -> f64 {
        let series = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
        let lines = page.lines().filter(series).filter(|line| line.contains(with));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    };
    MarkKind::ALL.map(|kind| match kind {
        MarkKind::SegmentRolled => sum("ringlog_segments_rolled", ""),
        MarkKind::Checkpoint => sum("ringlog_checkpoints", ""),
        MarkKind::Retention => sum("ringlog_segments_dropped", ""),
        MarkKind::Compaction => sum("ringlog_compactions", ""),
        MarkKind::SlowFlush => {
            let flushes = sum("ringlog_request_seconds_count", "stage=\"flush\"");
            flushes - sum("ringlog_request_seconds_bucket", "stage=\"flush\",le=\"0.01\"")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# TYPE ringlog_checkpoints counter\nringlog_checkpoints{core=\"0\"} 3\n\
        ringlog_checkpoints{core=\"1\"} 4\nringlog_checkpoints_failed{core=\"0\"} 9\nringlog_segments_rolled{core=\"0\"} 5\n\
        ringlog_request_seconds_bucket{core=\"0\",api=\"produce\",stage=\"flush\",le=\"0.01\"} 90\n\
        ringlog_request_seconds_bucket{core=\"0\",api=\"produce\",stage=\"flush\",le=\"+Inf\"} 92\n\
        ringlog_request_seconds_count{core=\"0\",api=\"produce\",stage=\"flush\"} 92\n";

    #[test]
    fn counters_of_all_cores_are_read_and_their_rise_is_a_mark() {
        let before = counts(PAGE);
        assert_eq!(before, [5.0, 7.0, 0.0, 0.0, 2.0]);
        let mut marking = Marking {
            address: String::new(),
            began: Instant::now(),
            last: Duration::ZERO,
            counts: before,
            found: Vec::new(),
        };
        marking.take(Duration::from_secs(1), before);
        assert!(marking.found.is_empty(), "nothing happened");
        marking.take(Duration::from_secs(2), counts(&PAGE.replace("core=\"1\"} 4", "core=\"1\"} 6")));
        let mark = Mark { kind: MarkKind::Checkpoint, start_s: 1.0, length_s: 1.0, count: 2 };
        assert_eq!(marking.found, [mark]);
    }
}
