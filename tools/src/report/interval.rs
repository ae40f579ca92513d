//! Latency histograms and the cuts of the measured window that carry them.

use std::borrow::Cow;
use std::time::Duration;

use hdrhistogram::Histogram;

/// At most this many intervals are kept for one run, so that the page stays below its size bound
/// and the generator's memory stays flat on long runs (see [`interval_length`]).
pub const INTERVALS_MAX: usize = 300;

/// Latency above this is recorded as this: one hour in nanoseconds.
pub const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// An empty latency histogram: nanoseconds, three significant digits, growing as it needs to.
pub fn latency_histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits are within the histogram's range");
    histogram.auto(true);
    histogram
}

/// The interval that a run of this length is cut into: one second, or whole seconds such that
/// [`INTERVALS_MAX`] intervals cover the run.
pub fn interval_length(run: Duration) -> Duration {
    Duration::from_secs(run.as_secs().div_ceil(INTERVALS_MAX as u64).max(1))
}

/// Latency in nanoseconds, one histogram per question. Create them with [`latency_histogram`].
#[derive(Debug, Clone, Default)]
pub struct LatencySet {
    /// From the planned send to the acknowledgement. In a closed loop it equals the service time.
    pub produce_response: Option<Histogram<u64>>,
    /// From the actual send to the acknowledgement.
    pub produce_service: Option<Histogram<u64>>,
    /// From the planned send to the consumer that has the record in hand.
    pub end_to_end: Option<Histogram<u64>>,
    /// From a fetch request to its complete answer, for answers with records. It includes the time that the
    /// broker rightly waits for records, so it is shown only where nothing else was measured.
    pub fetch: Option<Histogram<u64>>,
}

impl LatencySet {
    /// Adds another set's samples: exact, so percentiles of the sum are percentiles of all samples.
    pub fn add(&mut self, other: &Self) {
        for (into, from) in [
            (&mut self.produce_response, &other.produce_response),
            (&mut self.produce_service, &other.produce_service),
            (&mut self.end_to_end, &other.end_to_end),
            (&mut self.fetch, &other.fetch),
        ] {
            let Some(from) = from else { continue };
            let into = into.get_or_insert_with(latency_histogram);
            into.add(from).expect("a growing histogram takes every value");
        }
    }
}

/// Picks one operation's histogram out of a set.
pub type SamplesOf = fn(&LatencySet) -> Option<&Histogram<u64>>;

/// One cut of the measured window.
#[derive(Debug, Clone)]
pub struct Interval {
    /// Start, from the start of the window.
    pub start: Duration,
    /// Length.
    pub length: Duration,
    /// Records acknowledged to producers.
    pub records_in: u64,
    /// Bytes acknowledged to producers.
    pub bytes_in: u64,
    /// Records read by consumers.
    pub records_out: u64,
    /// Bytes read by consumers.
    pub bytes_out: u64,
    /// Sends that left later than planned by more than the allowance.
    pub late_sends: u64,
    /// Latency of what completed in this interval.
    pub latency: LatencySet,
}

/// Intervals for drawing: neighbours are merged until at most [`INTERVALS_MAX`] are left, so that a
/// page stays within its size whatever it is given.
pub fn coarsened(intervals: &[Interval]) -> Cow<'_, [Interval]> {
    let step = intervals.len().div_ceil(INTERVALS_MAX);
    if step <= 1 {
        return Cow::Borrowed(intervals);
    }
    let merge = |group: &[Interval]| {
        let mut merged = group[0].clone();
        for next in &group[1..] {
            merged.length += next.length;
            merged.records_in += next.records_in;
            merged.bytes_in += next.bytes_in;
            merged.records_out += next.records_out;
            merged.bytes_out += next.bytes_out;
            merged.late_sends += next.late_sends;
            merged.latency.add(&next.latency);
        }
        merged
    };
    Cow::Owned(intervals.chunks(step).map(merge).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(start: u64) -> Interval {
        let mut histogram = latency_histogram();
        histogram.record(1_000 * (start + 1)).expect("in range");
        Interval {
            start: Duration::from_secs(start),
            length: Duration::from_secs(1),
            records_in: 1,
            bytes_in: 10,
            records_out: 1,
            bytes_out: 10,
            late_sends: 0,
            latency: LatencySet { produce_response: Some(histogram), ..LatencySet::default() },
        }
    }

    #[test]
    fn a_long_run_is_cut_into_few_intervals() {
        assert_eq!(interval_length(Duration::from_secs(30)), Duration::from_secs(1));
        assert_eq!(interval_length(Duration::from_millis(200)), Duration::from_secs(1));
        assert_eq!(interval_length(Duration::from_secs(3_600)), Duration::from_secs(12));
    }

    #[test]
    fn merging_intervals_loses_no_sample() {
        let intervals: Vec<Interval> = (0..INTERVALS_MAX as u64 * 2 + 1).map(second).collect();
        let coarse = coarsened(&intervals);
        assert!(coarse.len() <= INTERVALS_MAX);
        assert_eq!(coarse.iter().map(|i| i.records_in).sum::<u64>(), intervals.len() as u64);
        let samples = |i: &Interval| i.latency.produce_response.as_ref().map_or(0, |h| h.len());
        assert_eq!(coarse.iter().map(samples).sum::<u64>(), intervals.len() as u64);
        let last = coarse.last().expect("some");
        assert_eq!(last.start + last.length, Duration::from_secs(intervals.len() as u64));
    }
}
