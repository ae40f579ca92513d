//! Percentiles, and the rule by which they are refused.
//!
//! A percentile is carried only when at least [`SAMPLES_BEYOND_MIN`] samples lie beyond it:
//! p99 needs 1,000 samples, p99.99 needs 100,000. Below that it says more about one sample than
//! about the broker, so tables print `-`, `report.json` has `null` and the curve a hollow point.

use hdrhistogram::Histogram;

/// Samples that must lie beyond a percentile before it is printed.
pub const SAMPLES_BEYOND_MIN: u64 = 10;

/// One percentile of the ladder that every output shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rung {
    /// As printed: `p99.9`.
    pub label: &'static str,
    /// As a fraction: 0.999.
    pub quantile: f64,
    /// One sample in this many lies beyond: 1,000 for p99.9.
    pub one_in: u64,
}

/// p50 to p99.99.
pub const LADDER: [Rung; 5] = [
    Rung { label: "p50", quantile: 0.5, one_in: 2 },
    Rung { label: "p90", quantile: 0.9, one_in: 10 },
    Rung { label: "p99", quantile: 0.99, one_in: 100 },
    Rung { label: "p99.9", quantile: 0.999, one_in: 1_000 },
    Rung { label: "p99.99", quantile: 0.9999, one_in: 10_000 },
];

/// Median.
pub const P50: Rung = LADDER[0];
/// 99th percentile.
pub const P99: Rung = LADDER[2];

/// True when this many samples carry the percentile beyond which one sample in `one_in` lies.
pub fn is_carried(samples: u64, one_in: u64) -> bool {
    samples >= one_in.saturating_mul(SAMPLES_BEYOND_MIN)
}

/// The percentile in nanoseconds, or `None` when the samples do not carry it.
pub fn carried_ns(histogram: &Histogram<u64>, rung: Rung) -> Option<u64> {
    is_carried(histogram.len(), rung.one_in).then(|| value_ns(histogram, rung.quantile))
}

/// The value at a quantile in nanoseconds, whether carried or not, never above the largest sample.
pub fn value_ns(histogram: &Histogram<u64>, quantile: f64) -> u64 {
    histogram.value_at_quantile(quantile).min(histogram.max())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::latency_histogram;

    #[test]
    fn a_percentile_needs_ten_samples_beyond_it() {
        let mut histogram = latency_histogram();
        histogram.record_n(1_000_000, 999).expect("in range");
        assert!(carried_ns(&histogram, LADDER[1]).is_some(), "p90 of 999");
        assert_eq!(carried_ns(&histogram, P99), None, "p99 of 999");
        histogram.record(2_000_000).expect("in range");
        assert!(carried_ns(&histogram, P99).is_some(), "p99 of 1000");
        assert_eq!(carried_ns(&histogram, LADDER[3]), None, "p99.9 of 1000");
    }

    #[test]
    fn an_empty_histogram_carries_nothing() {
        assert!(LADDER.iter().all(|rung| carried_ns(&latency_histogram(), *rung).is_none()));
    }

    #[test]
    fn no_percentile_exceeds_the_largest_sample() {
        let mut histogram = latency_histogram();
        histogram.record_n(1_234_567, 100_000).expect("in range");
        assert!(value_ns(&histogram, 0.9999) <= histogram.max());
    }
}
