//! When each record is due.

use super::random::Random;

/// How arrivals spread around the rate.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// Evenly spaced: one record every 1/rate seconds.
    Fixed,
    /// Exponential gaps, as from many independent users.
    #[default]
    Poisson,
}

impl std::fmt::Display for Arrivals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Arrivals::Fixed => "fixed",
            Arrivals::Poisson => "poisson",
        })
    }
}

/// An endless row of planned times (CLOCK_MONOTONIC ns). It knows nothing of what was really sent:
/// a late sender finds the records still there, at their planned times.
#[derive(Clone, Debug)]
pub struct Schedule {
    start_ns: u64,
    gap_ns: f64,
    arrivals: Arrivals,
    count: u64,
    elapsed_ns: f64,
    random: Random,
}

impl Schedule {
    /// Arrivals from `start_ns` on, `per_second` > 0 of them in the mean.
    #[must_use]
    pub fn new(start_ns: u64, per_second: f64, arrivals: Arrivals, seed: u64) -> Schedule {
        assert!(per_second > 0.0, "an open loop has a rate");
        let gap_ns = 1e9 / per_second;
        let mut random = Random::new(seed);
        // Producers with different seeds start at different phases, or fixed arrivals would all come at once.
        let elapsed_ns = match arrivals {
            Arrivals::Fixed => gap_ns * random.unit(),
            Arrivals::Poisson => -random.unit().ln() * gap_ns,
        };
        Schedule { start_ns, gap_ns, arrivals, count: 0, elapsed_ns, random }
    }

    /// The planned time of the next record.
    #[must_use]
    pub fn due_ns(&self) -> u64 {
        let ahead = match self.arrivals {
            // From the count, so that rounding never adds up.
            Arrivals::Fixed => self.elapsed_ns + self.count as f64 * self.gap_ns,
            Arrivals::Poisson => self.elapsed_ns,
        };
        self.start_ns + ahead as u64
    }

    /// Takes the next record: the following one becomes due.
    pub fn advance(&mut self) {
        self.count += 1;
        if self.arrivals == Arrivals::Poisson {
            self.elapsed_ns -= self.random.unit().ln() * self.gap_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planned times of `n` records at `rate` a second.
    fn times(n: usize, rate: f64, arrivals: Arrivals, seed: u64) -> Vec<u64> {
        let mut schedule = Schedule::new(1_000_000, rate, arrivals, seed);
        (0..n)
            .map(|_| {
                let due = schedule.due_ns();
                schedule.advance();
                due
            })
            .collect()
    }

    #[test]
    fn fixed_arrivals_are_evenly_spaced_and_never_drift() {
        let t = times(300_001, 30_000.0, Arrivals::Fixed, 7);
        let span = t[300_000] - t[0];
        assert!(span.abs_diff(10_000_000_000) <= 1, "ten seconds' worth: {span}");
        assert!(t.windows(2).all(|w| (33_333..=33_334).contains(&(w[1] - w[0]))));
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() {
        for seed in 0..5 {
            let t = times(100_001, 50_000.0, Arrivals::Poisson, seed);
            let gaps: Vec<f64> = t.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            assert!((mean / 20_000.0 - 1.0).abs() < 0.02, "seed {seed}: mean gap {mean} ns");
            assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "seed {seed}: deviation equals the mean");
        }
    }

    #[test]
    fn one_seed_is_one_schedule() {
        assert_eq!(times(1_000, 1e6, Arrivals::Poisson, 42), times(1_000, 1e6, Arrivals::Poisson, 42));
        assert_ne!(times(1_000, 1e6, Arrivals::Poisson, 42), times(1_000, 1e6, Arrivals::Poisson, 43));
    }
}
