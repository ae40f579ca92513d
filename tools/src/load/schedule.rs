//! When each record is due.

use std::time::Duration;

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

/// A rate that holds for some time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Stage {
    /// Records per second over all producers; 0 is a pause.
    pub records_per_s: f64,
    /// How long it holds.
    pub length: Duration,
}

/// The mean rate of stages that repeat for `length`.
#[must_use]
pub fn mean_rate(stages: &[Stage], length: Duration) -> f64 {
    let cycle: f64 = stages.iter().map(|s| s.length.as_secs_f64()).sum();
    let whole = length.as_secs_f64();
    if cycle <= 0.0 || whole <= 0.0 {
        return 0.0;
    }
    let records = |s: &Stage, seconds: f64| s.records_per_s * seconds;
    let per_cycle: f64 = stages.iter().map(|s| records(s, s.length.as_secs_f64())).sum();
    let mut left = whole % cycle;
    let mut sum = (whole / cycle).floor() * per_cycle;
    for stage in stages {
        let seconds = left.min(stage.length.as_secs_f64());
        sum += records(stage, seconds);
        left -= seconds;
    }
    sum / whole
}

/// One sender's share of an open loop.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Records per second > 0, where no stages say otherwise.
    pub records_per_s: f64,
    /// Rates one after the other, again and again; empty: one rate for ever. The first is above 0.
    pub stages: Vec<Stage>,
    /// When the first stage begins (CLOCK_MONOTONIC ns); until then its rate holds already.
    pub stages_ns: u64,
    /// Records that are due at the same moment, at least 1.
    pub together: u32,
    /// How they spread around the rate.
    pub arrivals: Arrivals,
}

impl Shape {
    /// One rate for ever, one record at a time.
    #[must_use]
    pub fn steady(records_per_s: f64, arrivals: Arrivals) -> Shape {
        Shape { records_per_s, stages: Vec::new(), stages_ns: 0, together: 1, arrivals }
    }
}

/// Some time at one rate, in moments at which records are due.
#[derive(Clone, Copy, Debug)]
struct Leg {
    /// Its start, ns from the start of the schedule.
    start_ns: f64,
    /// Moments before it.
    before: f64,
    /// Between two moments; infinite in a pause.
    gap_ns: f64,
    length_ns: f64,
}

/// An endless row of planned times (CLOCK_MONOTONIC ns). It knows nothing of what was really sent:
/// a late sender finds the records still there, at their planned times.
///
/// Moments are numbered in *expected* moments: the first of fixed arrivals stands between 0 and 1 and each next one 1
/// further, Poisson arrivals have exponential distances with mean 1. A number becomes a time through the legs, which
/// say how fast expected moments pass.
#[derive(Clone, Debug)]
pub struct Schedule {
    start_ns: u64,
    shape: Shape,
    /// The leg that the next moment lies in, and the number of the stage that follows it.
    leg: Leg,
    next_stage: usize,
    /// Fixed arrivals: where the first moment stands; Poisson: where the next one does.
    at: f64,
    moments: u64,
    /// Records of the present moment that were taken.
    taken: u32,
    random: Random,
}

impl Schedule {
    /// Arrivals from `start_ns` on.
    #[must_use]
    pub fn new(start_ns: u64, shape: Shape, seed: u64) -> Schedule {
        assert!(shape.records_per_s > 0.0 && shape.together > 0, "an open loop has a rate");
        let mut random = Random::new(seed);
        // Producers with different seeds start at different phases, or fixed arrivals would all come at once.
        let at = match shape.arrivals {
            Arrivals::Fixed => random.unit(),
            Arrivals::Poisson => -random.unit().ln(),
        };
        let lead_ns = shape.stages_ns.saturating_sub(start_ns) as f64;
        let leg = match shape.stages.first() {
            None => Leg {
                start_ns: 0.0,
                before: 0.0,
                gap_ns: gap_ns(&shape, shape.records_per_s),
                length_ns: f64::INFINITY,
            },
            Some(first) => Leg {
                start_ns: 0.0,
                before: 0.0,
                gap_ns: gap_ns(&shape, first.records_per_s),
                length_ns: lead_ns,
            },
        };
        let mut schedule = Schedule { start_ns, shape, leg, next_stage: 0, at, moments: 0, taken: 0, random };
        schedule.walk();
        schedule
    }

    /// The number of the next moment, in expected moments.
    fn position(&self) -> f64 {
        match self.shape.arrivals {
            // From the count, so that rounding never adds up.
            Arrivals::Fixed => self.at + self.moments as f64,
            Arrivals::Poisson => self.at,
        }
    }

    /// Goes on to the leg that the next moment lies in.
    fn walk(&mut self) {
        let position = self.position();
        while position >= self.leg.before + self.leg.length_ns / self.leg.gap_ns {
            let stage = self.shape.stages[self.next_stage % self.shape.stages.len()];
            self.next_stage += 1;
            self.leg = Leg {
                start_ns: self.leg.start_ns + self.leg.length_ns,
                before: self.leg.before + self.leg.length_ns / self.leg.gap_ns,
                gap_ns: gap_ns(&self.shape, stage.records_per_s),
                length_ns: stage.length.as_nanos() as f64,
            };
        }
    }

    /// The planned time of the next record.
    #[must_use]
    pub fn due_ns(&self) -> u64 {
        let ahead = self.leg.start_ns + (self.position() - self.leg.before) * self.leg.gap_ns;
        self.start_ns + ahead as u64
    }

    /// Takes the next record: the following one becomes due.
    pub fn advance(&mut self) {
        self.taken += 1;
        if self.taken < self.shape.together {
            return;
        }
        self.taken = 0;
        self.moments += 1;
        if self.shape.arrivals == Arrivals::Poisson {
            self.at -= self.random.unit().ln();
        }
        self.walk();
    }
}

fn gap_ns(shape: &Shape, records_per_s: f64) -> f64 {
    1e9 * f64::from(shape.together) / records_per_s
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planned times of `n` records at `rate` a second.
    fn times(n: usize, rate: f64, arrivals: Arrivals, seed: u64) -> Vec<u64> {
        times_of(n, Schedule::new(1_000_000, Shape::steady(rate, arrivals), seed))
    }

    fn times_of(n: usize, mut schedule: Schedule) -> Vec<u64> {
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

    /// 1,000/s for a second, then a pause of half a second, then 10,000/s for 100 ms; the first holds for the second before.
    fn bursts(arrivals: Arrivals, together: u32) -> Shape {
        let stage = |records_per_s, ms| Stage { records_per_s, length: Duration::from_millis(ms) };
        let stages = vec![stage(1_000.0, 1_000), stage(0.0, 500), stage(10_000.0, 100)];
        Shape { stages, stages_ns: 1_001_000_000, together, ..Shape::steady(1_250.0, arrivals) }
    }

    #[test]
    fn stages_hold_their_rates_one_after_the_other_again_and_again() {
        for arrivals in [Arrivals::Fixed, Arrivals::Poisson] {
            let t = times_of(30_000, Schedule::new(1_000_000, bursts(arrivals, 1), 9));
            assert!(t.is_sorted());
            let within = |from_ms: u64, to_ms: u64| {
                let range = 1_000_000 + from_ms * 1_000_000..1_000_000 + to_ms * 1_000_000;
                t.iter().filter(|t| range.contains(t)).count() as f64
            };
            // The lead-in, then two cycles of 1.6 s.
            for (from, to, records) in [
                (0, 1_000, 1_000.0),
                (1_000, 2_000, 1_000.0),
                (2_500, 2_600, 1_000.0),
                (4_100, 4_200, 1_000.0),
            ] {
                let got = within(from, to);
                let slack = if arrivals == Arrivals::Fixed { 1.0 } else { 160.0 };
                assert!((got - records).abs() <= slack, "{arrivals} {from}..{to}: {got}");
            }
            assert_eq!(within(2_001, 2_500) + within(3_601, 4_100), 0.0, "nothing is due in a pause");
        }
    }

    #[test]
    fn records_that_are_due_together_share_their_moment_and_keep_the_rate() {
        let shape = Shape { together: 10, ..Shape::steady(20_000.0, Arrivals::Fixed) };
        let t = times_of(20_000, Schedule::new(0, shape, 3));
        assert!(t.chunks(10).all(|c| c.iter().all(|due| due == &c[0])));
        assert!((990_000_000..=1_000_000_000).contains(&(t[19_999] - t[0])), "{}", t[19_999] - t[0]);
    }

    #[test]
    fn the_mean_of_stages_counts_whole_and_begun_cycles() {
        let stages = bursts(Arrivals::Fixed, 1).stages;
        assert_eq!(mean_rate(&stages, Duration::from_millis(1_600)), 1_250.0);
        assert_eq!(mean_rate(&stages, Duration::from_millis(2_600)), 3_000.0 / 2.6);
        assert_eq!(mean_rate(&[], Duration::from_secs(1)), 0.0);
    }
}
