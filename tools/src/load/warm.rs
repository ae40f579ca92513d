//! When a broker is warm: two successive windows of the same load agree.
//!
//! A fixed warm-up is too short for a broker that compiles itself while it runs, and wasted on one that does not. The
//! rule is the same for both: windows of one length follow each other until two in a row agree in throughput and, where
//! the load has a plan that the broker keeps up with, in the median of response times too. A broker that cannot hold the
//! rate has a median that only grows, so its throughput alone decides.
//!
//! A load that was measured on the same broker before may bring what it did then as the window before the first.
//!
//! The warm-up also ends after a named time, or when it has used [`BYTES_SHARE`] of the run's bytes; what it saw is kept
//! and reported, agreed or not.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::recorder::Counts;

/// The part of a run's byte budget that its warm-up may use; the rest is for the window.
pub const BYTES_SHARE: f64 = 0.5;

/// The most windows that are kept: an hour of seconds.
pub const WINDOWS_MAX: usize = 3_600;

/// Of a planned rate: what is acknowledged of it by a broker that keeps up.
const KEEPS_UP: f64 = 0.99;

/// How long a run warms up.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WarmRule {
    /// Length of a window.
    pub window: Duration,
    /// Two figures agree when they differ by at most this share of the larger one, 0 to 1.
    pub tolerance: f64,
    /// The warm-up ends after this long, agreed or not.
    pub max: Duration,
    /// What the same load did on the same broker when it was last measured, settled: it counts as the window before the
    /// first, so that a broker which is still as warm as it was shows that in one window.
    pub before: Option<WarmWindow>,
}

/// Why a warm-up ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmEnd {
    /// Two successive windows agreed.
    Agreed,
    /// Its longest time was over.
    Time,
    /// Its share of the bytes was used.
    Bytes,
    /// The run was stopped.
    Stopped,
}

/// One window of load before measuring.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WarmWindow {
    /// From the start of the load.
    pub start: Duration,
    /// Its length.
    pub length: Duration,
    /// Records acknowledged or read in it.
    pub records: u64,
    /// Their keys and values, bytes.
    pub bytes: u64,
    /// Median of produce response times in it, ns; `None` if nothing was acknowledged.
    pub p50_ns: Option<u64>,
}

impl WarmWindow {
    /// Bytes a second.
    #[must_use]
    pub fn bytes_per_s(&self) -> f64 {
        self.bytes as f64 / self.length.as_secs_f64().max(1e-9)
    }

    fn records_per_s(&self) -> f64 {
        self.records as f64 / self.length.as_secs_f64().max(1e-9)
    }
}

/// What a warm-up did.
#[derive(Clone, PartialEq, Debug)]
pub struct WarmUp {
    /// Why it ended.
    pub end: WarmEnd,
    /// Its whole length.
    pub length: Duration,
    /// Partitions that had taken no record when it ended.
    pub untouched: usize,
    /// Its windows, in order of time.
    pub windows: Vec<WarmWindow>,
}

/// Watches a warm-up.
#[derive(Debug)]
pub(super) struct Warming {
    rule: WarmRule,
    /// What a load with a plan should reach, records a second.
    planned_per_s: Option<f64>,
    began_ns: u64,
    window_ns: u64,
    counts: Counts,
    response: Option<Histogram<u64>>,
    windows: Vec<WarmWindow>,
}

impl Warming {
    pub(super) fn new(rule: WarmRule, planned_per_s: Option<f64>, now_ns: u64) -> Warming {
        Warming {
            rule,
            planned_per_s,
            began_ns: now_ns,
            window_ns: now_ns,
            counts: Counts::default(),
            response: None,
            windows: Vec::new(),
        }
    }

    /// Takes what happened up to `now_ns`; closes the window if it is over.
    pub(super) fn take(&mut self, now_ns: u64, counts: &Counts, response: &Histogram<u64>) {
        self.counts.add(counts);
        match &mut self.response {
            Some(seen) => seen.add(response).expect("a growing histogram takes every value"),
            None => self.response = Some(response.clone()),
        }
        let length = Duration::from_nanos(now_ns - self.window_ns);
        if length < self.rule.window || self.windows.len() == WINDOWS_MAX {
            return;
        }
        let counts = std::mem::take(&mut self.counts);
        let response = self.response.take().filter(|h| !h.is_empty());
        self.windows.push(WarmWindow {
            start: Duration::from_nanos(self.window_ns - self.began_ns),
            length,
            records: counts.records_in + counts.records_out,
            bytes: counts.bytes_in + counts.bytes_out,
            p50_ns: response.map(|h| h.value_at_quantile(0.5)),
        });
        self.window_ns = now_ns;
    }

    /// Whether the last two windows agree.
    pub(super) fn agrees(&self) -> bool {
        let (before, last) = match (&self.windows[..], &self.rule.before) {
            ([.., before, last], _) => (before, last),
            ([last], Some(before)) => (before, last),
            _ => return false,
        };
        if last.bytes == 0 || !self.near(before.bytes_per_s(), last.bytes_per_s()) {
            return false;
        }
        match (self.planned_per_s, before.p50_ns, last.p50_ns) {
            (Some(planned), Some(p50), Some(last_p50)) if last.records_per_s() >= planned * KEEPS_UP => {
                self.near(p50 as f64, last_p50 as f64)
            }
            _ => true,
        }
    }

    fn near(&self, a: f64, b: f64) -> bool {
        (a - b).abs() <= self.rule.tolerance * a.max(b)
    }

    /// Whether it has lasted as long as it may.
    pub(super) fn is_over(&self, now_ns: u64) -> bool {
        u128::from(now_ns - self.began_ns) >= self.rule.max.as_nanos()
    }

    /// Whether it has lasted at least `min`.
    pub(super) fn lasted(&self, min: Duration, now_ns: u64) -> bool {
        u128::from(now_ns - self.began_ns) >= min.as_nanos()
    }

    pub(super) fn finish(self, end: WarmEnd, untouched: usize, now_ns: u64) -> WarmUp {
        WarmUp { end, length: Duration::from_nanos(now_ns - self.began_ns), untouched, windows: self.windows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn warming(planned_per_s: Option<f64>) -> Warming {
        let rule = WarmRule {
            window: Duration::from_secs(5),
            tolerance: 0.05,
            max: Duration::from_secs(60),
            before: None,
        };
        Warming::new(rule, planned_per_s, 0)
    }

    /// Feeds windows of 5 s in ticks of 1 s: records a second of 1,000 bytes, and the response time, ns.
    fn feed(warming: &mut Warming, windows: &[(u64, u64)]) {
        for &(records_in, response_ns) in windows {
            for _ in 0..5 {
                let now_ns = warming.window_ns + SECOND_NS * (1 + warming.counts.sends);
                let mut response = Histogram::new(3).expect("three digits");
                response.record_n(response_ns, records_in).expect("in range");
                let counts =
                    Counts { records_in, bytes_in: records_in * 1_000, sends: 1, ..Counts::default() };
                warming.take(now_ns, &counts, &response);
            }
        }
    }

    #[test]
    fn two_windows_in_a_row_must_agree() {
        let mut w = warming(None);
        feed(&mut w, &[(100, 1)]);
        assert!(!w.agrees(), "one window agrees with nothing");
        feed(&mut w, &[(150, 1)]);
        assert!(!w.agrees(), "it still rises");
        feed(&mut w, &[(155, 1)]);
        assert!(w.agrees(), "155 is within 5 % of 150");
        assert_eq!(w.windows.len(), 3);
        assert_eq!(w.windows[2].start, Duration::from_secs(10));
        assert_eq!(w.windows[2].bytes, 5 * 155 * 1_000);
    }

    #[test]
    fn a_broker_that_keeps_the_rate_must_also_agree_in_its_median() {
        let mut w = warming(Some(100.0));
        feed(&mut w, &[(100, 9_000_000), (100, 3_000_000)]);
        assert!(!w.agrees(), "the rate says nothing: it is the plan's");
        feed(&mut w, &[(100, 2_950_000)]);
        assert!(w.agrees());
        let mut cannot = warming(Some(100.0));
        feed(&mut cannot, &[(80, 1_000_000_000), (80, 2_000_000_000)]);
        assert!(cannot.agrees(), "a queue that only grows has no stable median");
    }

    #[test]
    fn one_window_is_enough_where_it_agrees_with_what_was_measured_before() {
        let before = WarmWindow {
            start: Duration::ZERO,
            length: Duration::from_secs(30),
            records: 30 * 150,
            bytes: 30 * 150_000,
            p50_ns: Some(1),
        };
        let mut w = warming(None);
        w.rule.before = Some(before);
        assert!(!w.agrees(), "nothing was seen yet");
        feed(&mut w, &[(100, 1)]);
        assert!(!w.agrees(), "it is slower than it was");
        feed(&mut w, &[(150, 1)]);
        assert!(!w.agrees(), "two windows of its own speak for themselves");
        let mut w = warming(None);
        w.rule.before = Some(before);
        feed(&mut w, &[(155, 1)]);
        assert!(w.agrees(), "as fast as before");
    }

    #[test]
    fn silence_is_not_agreement_and_time_ends_it() {
        let mut w = warming(None);
        feed(&mut w, &[(0, 1), (0, 1)]);
        assert!(!w.agrees());
        assert!(!w.is_over(59 * SECOND_NS) && w.is_over(60 * SECOND_NS));
        let done = w.finish(WarmEnd::Time, 3, 60 * SECOND_NS);
        assert_eq!((done.end, done.untouched, done.windows.len()), (WarmEnd::Time, 3, 2));
        assert_eq!(done.windows[1].p50_ns, None);
    }
}
