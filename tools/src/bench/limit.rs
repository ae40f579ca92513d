//! A limit on a percentile: `p99.9=5ms`.

use std::fmt;
use std::str::FromStr;

use super::quantity::Span;
use crate::report::curve::CurveLimit;
use crate::report::quantile::{LADDER, Rung};

/// The most that a percentile of the response time may be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limit {
    /// The percentile.
    pub rung: Rung,
    /// Microseconds.
    pub us: f64,
}

impl Limit {
    /// The same as `curve.json` has it.
    #[must_use]
    pub fn facts(self) -> CurveLimit {
        let percentile = self.rung.label.replace('.', "");
        CurveLimit { percentile, label: self.to_string(), us: self.us }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Limit, String> {
        let wrong = || format!("{text:?} is not a limit; write p99.9=5ms");
        let (label, time) = text.split_once('=').ok_or_else(wrong)?;
        let rung = LADDER.into_iter().find(|rung| rung.label == label.trim()).ok_or_else(|| {
            let labels = LADDER.map(|rung| rung.label).join(", ");
            format!("{label:?} is not a percentile of the report; write one of {labels}")
        })?;
        let us = time.trim_start_matches('<').parse::<Span>()?.0.as_secs_f64() * 1e6;
        if us > 0.0 { Ok(Limit { rung, us }) } else { Err(wrong()) }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ≤ {} ms", self.rung.label, self.us / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_percentile_of_the_report_and_a_time() {
        let limit: Limit = "p99.9=5ms".parse().expect("a limit");
        assert_eq!((limit.rung.one_in, limit.us), (1_000, 5_000.0));
        assert_eq!(limit.facts().percentile, "p999");
        assert_eq!(limit.to_string(), "p99.9 ≤ 5 ms");
        for bad in ["p99.9", "p98=5ms", "p99=0ms", "p99=soon"] {
            assert!(bad.parse::<Limit>().is_err(), "{bad}");
        }
    }
}
