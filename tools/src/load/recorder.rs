//! What a run measures: one histogram per clock and interval, merged at the end, never averaged.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Latency above this is recorded as this: one hour in nanoseconds.
pub const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Which latency a sample belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// Planned send → acknowledgement; one sample a record (a request in a closed loop).
    Response,
    /// Actual send → acknowledgement; one sample a request.
    Service,
    /// Planned send → in the consumer's hand; one sample a record.
    EndToEnd,
    /// Fetch sent → answer complete; one sample a request that brought records.
    Fetch,
}

const CLOCKS: usize = 4;

/// Latency in nanoseconds, one histogram per [`Clock`].
#[derive(Clone, Debug)]
pub struct Latencies([Histogram<u64>; CLOCKS]);

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies(std::array::from_fn(|_| {
            let mut histogram = Histogram::new(3).expect("three digits are within the histogram's range");
            histogram.auto(true);
            histogram
        }))
    }
}

impl Latencies {
    /// The histogram of one clock.
    #[must_use]
    pub fn of(&self, clock: Clock) -> &Histogram<u64> {
        &self.0[clock as usize]
    }

    fn add(&mut self, other: &Latencies) {
        for (into, from) in self.0.iter_mut().zip(&other.0) {
            into.add(from).expect("a growing histogram takes every value");
        }
    }

    fn reset(&mut self) {
        self.0.iter_mut().for_each(Histogram::reset);
    }
}

/// Counts over some stretch of time. Bytes are those of keys and values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Records acknowledged (with acks=0: sent).
    pub records_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Records read.
    pub records_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Records that catch-up readers read; not in `records_out`.
    pub records_caught_up: u64,
    /// Their bytes.
    pub bytes_caught_up: u64,
    /// Produce requests sent.
    pub sends: u64,
    /// Sends later than planned by more than the allowance, although the connection was free.
    pub late_sends: u64,
}

impl Counts {
    /// Adds another stretch.
    pub fn add(&mut self, other: &Counts) {
        self.records_in += other.records_in;
        self.bytes_in += other.bytes_in;
        self.records_out += other.records_out;
        self.bytes_out += other.bytes_out;
        self.records_caught_up += other.records_caught_up;
        self.bytes_caught_up += other.bytes_caught_up;
        self.sends += other.sends;
        self.late_sends += other.late_sends;
    }
}

/// One cut of the measured window.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Start, from the start of the window.
    pub start: Duration,
    /// Length.
    pub length: Duration,
    /// What happened in it.
    pub counts: Counts,
    /// Latency of what ended in it.
    pub latencies: Latencies,
}

fn record(histogram: &mut Histogram<u64>, value: u64) {
    histogram.record(value).expect("a growing histogram takes an hour");
}

/// Collects samples while the window is open, and cuts it into intervals.
#[derive(Debug)]
pub struct Recorder {
    window: std::ops::Range<u64>,
    interval_ns: u64,
    cut_ns: u64,
    current: Interval,
    intervals: Vec<Interval>,
    /// Of any time, the warm-up too: for the live line.
    live: Counts,
    live_response: Histogram<u64>,
}

impl Recorder {
    /// Measures from `start_ns` to `end_ns` (CLOCK_MONOTONIC), cut into intervals of that length.
    #[must_use]
    pub fn new(start_ns: u64, end_ns: u64, interval: Duration) -> Recorder {
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let blank = Interval {
            start: Duration::ZERO,
            length: Duration::ZERO,
            counts: Counts::default(),
            latencies: Latencies::default(),
        };
        let live_response = blank.latencies.of(Clock::Response).clone();
        Recorder {
            window: start_ns..end_ns,
            interval_ns,
            cut_ns: start_ns,
            current: blank,
            intervals: Vec::new(),
            live: Counts::default(),
            live_response,
        }
    }

    /// Takes a latency that ended at `now_ns` and belongs to work planned at `planned_ns`: only work
    /// planned within the window counts, however late it ends. In a closed loop the plan is the send.
    pub fn latency(&mut self, clock: Clock, planned_ns: u64, from_ns: u64, now_ns: u64) {
        let value = now_ns.saturating_sub(from_ns).min(LATENCY_NS_MAX);
        if clock == Clock::Response {
            record(&mut self.live_response, value);
        }
        if self.window.contains(&planned_ns) {
            record(&mut self.current.latencies.0[clock as usize], value);
        }
    }

    /// Takes counts of something that happened at `now_ns`.
    pub fn count(&mut self, now_ns: u64, counts: Counts) {
        self.live.add(&counts);
        if self.window.contains(&now_ns) {
            self.current.counts.add(&counts);
        }
    }

    /// Closes intervals that are over. Call it often: what is recorded before the cut belongs to the
    /// interval before it.
    pub fn cut(&mut self, now_ns: u64) {
        loop {
            let next = self.cut_ns.saturating_add(self.interval_ns);
            if now_ns < next || next > self.window.end {
                return;
            }
            self.close(next);
        }
    }

    fn close(&mut self, at_ns: u64) {
        self.current.start = Duration::from_nanos(self.cut_ns - self.window.start);
        self.current.length = Duration::from_nanos(at_ns - self.cut_ns);
        self.intervals.push(self.current.clone());
        self.current.counts = Counts::default();
        self.current.latencies.reset();
        self.cut_ns = at_ns;
    }

    /// What happened since the last call, warm-up included, with the response times in it.
    pub fn live(&mut self) -> (Counts, Histogram<u64>) {
        let taken = (std::mem::take(&mut self.live), self.live_response.clone());
        self.live_response.reset();
        taken
    }

    /// The window up to `now_ns` at most, merged and cut. Latencies that ended after the last cut
    /// (acknowledgements that came while the load drained) count in the last interval.
    #[must_use]
    pub fn finish(mut self, now_ns: u64) -> Measured {
        self.cut(now_ns);
        let end = now_ns.min(self.window.end);
        if end > self.cut_ns {
            self.close(end);
        } else if let Some(last) = self.intervals.last_mut() {
            last.counts.add(&self.current.counts);
            last.latencies.add(&self.current.latencies);
        }
        let mut counts = Counts::default();
        let mut latencies = Latencies::default();
        for interval in &self.intervals {
            counts.add(&interval.counts);
            latencies.add(&interval.latencies);
        }
        let wall = Duration::from_nanos(end.saturating_sub(self.window.start));
        Measured { wall, counts, latencies, intervals: self.intervals }
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Wall clock of the window that was really measured.
    pub wall: Duration,
    /// Counts over the window.
    pub counts: Counts,
    /// Merged over all intervals.
    pub latencies: Latencies,
    /// The window, cut.
    pub intervals: Vec<Interval>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: Duration = Duration::from_secs(1);

    /// A broker that answers each request in 1 ms, except that it stands still for 500 ms: the
    /// stall shows in the response time of all that was due meanwhile, and in the service time of
    /// only the one request that was in flight.
    #[test]
    fn a_stall_shows_in_response_time_and_not_in_service_time() {
        let mut recorder = Recorder::new(0, 10_000 * MS, SECOND);
        let (stall_from, stall_until) = (2_000 * MS, 2_500 * MS);
        let mut free_at = 0;
        for i in 0..10_000u64 {
            let planned = i * MS;
            let sent = planned.max(free_at);
            let answered =
                if (stall_from..stall_until).contains(&sent) { stall_until } else { sent } + MS / 2;
            free_at = answered;
            recorder.cut(answered);
            recorder.latency(Clock::Response, planned, planned, answered);
            recorder.latency(Clock::Service, planned, sent, answered);
        }
        let measured = recorder.finish(10_001 * MS);
        let response = measured.latencies.of(Clock::Response);
        let service = measured.latencies.of(Clock::Service);
        assert_eq!(response.len(), 10_000);
        // 500 of 10,000 were due in the stall and as many again while it was worked off.
        assert!(response.value_at_quantile(0.97) > 100 * MS, "{}", response.value_at_quantile(0.97));
        assert!(service.value_at_quantile(0.999) < MS, "{}", service.value_at_quantile(0.999));
        assert!(service.max() >= 499 * MS);
    }

    #[test]
    fn intervals_add_up_to_the_whole_and_the_warm_up_counts_nowhere() {
        let start = 5_000 * MS;
        let mut recorder = Recorder::new(start, start + 3_500 * MS, SECOND);
        for i in 0..9_000u64 {
            let now = i * MS;
            recorder.cut(now);
            recorder.count(now, Counts { records_in: 1, bytes_in: 10, ..Counts::default() });
            recorder.latency(Clock::Response, now, now, now + i);
        }
        let measured = recorder.finish(9_000 * MS);
        assert_eq!(measured.counts.records_in, 3_500);
        assert_eq!(measured.latencies.of(Clock::Response).len(), 3_500);
        assert_eq!(measured.wall, Duration::from_millis(3_500));
        let lengths: Vec<u128> = measured.intervals.iter().map(|i| i.length.as_millis()).collect();
        assert_eq!(lengths, [1_000, 1_000, 1_000, 500]);
        assert_eq!(measured.intervals.iter().map(|i| i.counts.records_in).sum::<u64>(), 3_500);
    }

    #[test]
    fn an_interrupted_window_is_as_long_as_it_was() {
        let mut recorder = Recorder::new(0, 30_000 * MS, SECOND);
        recorder.count(100 * MS, Counts { records_in: 5, ..Counts::default() });
        let measured = recorder.finish(1_250 * MS);
        assert_eq!(measured.wall, Duration::from_millis(1_250));
        assert_eq!(measured.intervals.len(), 2);
        assert_eq!(measured.counts.records_in, 5);
    }

    #[test]
    fn answers_that_come_while_the_load_drains_belong_to_the_window() {
        let mut recorder = Recorder::new(0, 1_000 * MS, SECOND);
        recorder.cut(1_200 * MS);
        recorder.latency(Clock::Response, 999 * MS, 999 * MS, 1_200 * MS);
        let measured = recorder.finish(1_300 * MS);
        assert_eq!(measured.latencies.of(Clock::Response).len(), 1);
    }
}
