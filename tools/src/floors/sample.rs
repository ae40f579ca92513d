//! What one pass of one floor measured.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::data::{LATENCY_NS_MAX, latency_histogram};

/// Operations, bytes and time; latency of single operations where it was taken.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) operations: u64,
    pub(super) bytes: u64,
    pub(super) wall: Duration,
    /// Nanoseconds.
    pub(super) latency: Histogram<u64>,
}

impl Sample {
    pub(super) fn new() -> Sample {
        Sample { operations: 0, bytes: 0, wall: Duration::ZERO, latency: latency_histogram() }
    }

    /// One operation over `bytes` that took `took`.
    pub(super) fn take(&mut self, bytes: u64, took: Duration) {
        self.count(1, bytes);
        self.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Operations of which nobody took the time.
    pub(super) fn count(&mut self, operations: u64, bytes: u64) {
        self.operations += operations;
        self.bytes += bytes;
    }

    /// The time of one operation, nanoseconds.
    pub(super) fn record(&mut self, ns: u64) {
        self.latency.record(ns.min(LATENCY_NS_MAX)).expect("a latency histogram takes an hour");
    }

    /// What another worker did in the same time.
    pub(super) fn join(&mut self, other: &Sample) {
        self.count(other.operations, other.bytes);
        self.latency.add(&other.latency).expect("histograms of one shape add up");
    }

    /// What another pass did at another time.
    pub(super) fn append(&mut self, other: &Sample) {
        self.join(other);
        self.wall += other.wall;
    }

    /// 10^6 bytes per second.
    pub(super) fn mb_per_s(&self) -> f64 {
        let seconds = self.wall.as_secs_f64();
        if seconds > 0.0 { self.bytes as f64 / seconds / 1e6 } else { 0.0 }
    }

    /// The median, microseconds; zero without samples.
    pub(super) fn p50_us(&self) -> f64 {
        crate::report::quantile::value_ns(&self.latency, 0.5) as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_their_time_and_passes_add_theirs() {
        let mut worker = Sample::new();
        worker.take(1_000_000, Duration::from_micros(500));
        worker.wall = Duration::from_secs(1);
        let mut pass = worker.clone();
        pass.join(&worker);
        assert_eq!((pass.mb_per_s(), pass.operations), (2.0, 2));
        pass.append(&worker);
        assert_eq!((pass.mb_per_s(), pass.operations), (1.5, 3));
        assert!((pass.p50_us() - 500.0).abs() < 1.0, "{}", pass.p50_us());
    }
}
