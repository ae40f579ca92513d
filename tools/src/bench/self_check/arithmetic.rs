//! What a stop of the broker must look like, and what other ways of measuring make of it.
//!
//! ```text
//! records are due evenly over a window T; within it the broker stands still for S
//! a record due t after the stop began waits S - t      latency
//! so those that wait longer than x are (S - x) / T       S |\
//! and the q-th percentile is  S - (1 - q) T                |  \
//!                                                         0 +----\--------> due
//! ```

use std::time::Duration;

use crate::load::Outcome;
use crate::load::recorder::Clock;
use crate::report::quantile::value_ns;

/// How far the measured percentile may be from what arithmetic demands.
pub(super) const TOLERANCE: f64 = 0.02;

/// The latency at quantile `q` that a stop of length `stop` within `window` must lead to; `None`
/// where the stop is too short to be seen there.
pub(super) fn demanded(q: f64, window: Duration, stop: Duration) -> Option<Duration> {
    let beyond = window.mul_f64(1.0 - q);
    stop.checked_sub(beyond).filter(|left| !left.is_zero())
}

/// One percentile, measured in three ways. Microseconds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct Row {
    /// `p99`
    pub(super) percentile: &'static str,
    /// By arithmetic.
    pub(super) demanded_us: f64,
    /// From the planned send, all samples in one histogram: ours.
    pub(super) planned_send_us: f64,
    /// Ours over what is demanded, less one.
    pub(super) error: f64,
    /// The mean over intervals of each interval's percentile: what tools that average print.
    pub(super) averaged_us: f64,
    /// From the actual send: what closed loops and tools without a plan print.
    pub(super) actual_send_us: f64,
}

impl Row {
    pub(super) fn of((percentile, q): (&'static str, f64), outcome: &Outcome, demanded: Duration) -> Row {
        let us = |ns: u64| ns as f64 / 1e3;
        let whole = |clock| us(value_ns(outcome.measured.latencies.of(clock), q));
        let intervals: Vec<f64> = outcome
            .measured
            .intervals
            .iter()
            .map(|interval| interval.latencies.of(Clock::Response))
            .filter(|histogram| !histogram.is_empty())
            .map(|histogram| us(value_ns(histogram, q)))
            .collect();
        let planned_send_us = whole(Clock::Response);
        let demanded_us = demanded.as_secs_f64() * 1e6;
        Row {
            percentile,
            demanded_us,
            planned_send_us,
            error: planned_send_us / demanded_us - 1.0,
            averaged_us: intervals.iter().sum::<f64>() / intervals.len().max(1) as f64,
            actual_send_us: whole(Clock::Service),
        }
    }

    /// Whether ours is what arithmetic demands.
    pub(super) fn holds(&self) -> bool {
        self.error.abs() <= TOLERANCE
    }
}

/// The largest response time outside the stop, microseconds: the noise of the machine. The interval
/// that saw the end of the stop, and the next, which may have drained the rest, are left out.
pub(super) fn elsewhere_max_us(outcome: &Outcome) -> f64 {
    let largest: Vec<u64> =
        outcome.measured.intervals.iter().map(|i| i.latencies.of(Clock::Response).max()).collect();
    let at = (0..largest.len()).max_by_key(|i| largest[*i]).unwrap_or(0);
    let rest = largest.iter().enumerate().filter(|(i, _)| *i != at && *i != at + 1);
    rest.map(|(_, ns)| *ns).max().unwrap_or(0) as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_in_a_minute_is_four_tenths_at_the_99th() {
        let second = Duration::from_secs(1);
        let at = |q| demanded(q, Duration::from_secs(60), second).map(|d| d.as_millis());
        assert_eq!((at(0.99), at(0.999), at(0.9)), (Some(400), Some(940), None));
        // By hand: records due every millisecond, 60 s, stopped from 20 s to 21 s.
        let mut waits: Vec<u64> =
            (0..60_000).map(|due| if (20_000..21_000).contains(&due) { 21_000 - due } else { 0 }).collect();
        waits.sort_unstable();
        assert!(waits[59_400].abs_diff(400) <= 1, "{}", waits[59_400]);
    }
}
