//! The statistics of a comparison: pairs of figures in, a ratio with its interval and a finding out.
//!
//! The unit is a pair of runs that stood next to each other in time. Of each pair the logarithm of
//! `second / first` is taken, so that twice and half weigh the same and a drift of the machine that
//! both runs of a pair share cancels out. The estimate is the median of these; its interval is a
//! percentile bootstrap over pairs, [`DRAWS`] draws from a fixed seed, with the levels widened for
//! few pairs (Hesterberg's expanded percentiles: Student's t instead of the normal quantile, and
//! n/(n−1)). Without that widening seven equal pairs would be called different in one of eight
//! comparisons instead of one in twenty. With five pairs no interval can be wider than their range,
//! which holds the true median with probability 1 − 2/2⁵ = 93.75 %.

use crate::load::random::Random;

/// With fewer pairs than this nothing is judged.
pub const PAIRS_MIN: usize = 5;

/// Resamples behind one interval.
pub const DRAWS: usize = 10_000;

/// Seed of the resamples: the same pairs give the same interval everywhere.
const SEED: u64 = 0x7269_6e67_6c6f_6721;

/// Ratios beyond e^±20 count as that: a figure of zero must not swallow the others.
const LOG_RATIO_MAX: f64 = 20.0;

/// Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
const STUDENT_95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// The same for more: the normal quantile, a little wide below a few hundred pairs.
const NORMAL_95: f64 = 1.980;

/// What pairs of figures say about `second / first`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Comparison {
    /// Pairs that both figures were there for.
    pub pairs: usize,
    /// Pairs left out because a figure was missing, negative or not a number.
    pub left_out: usize,
    /// Median of `second / first`; 1 without any pair.
    pub median_ratio: f64,
    /// Lower end of the 95 % interval of that median. With fewer than [`PAIRS_MIN`] pairs: the smallest ratio seen.
    pub low: f64,
    /// Upper end. With fewer than [`PAIRS_MIN`] pairs: the largest ratio seen.
    pub high: f64,
}

/// Which way a figure improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Throughput.
    Higher,
    /// Latency, CPU, memory.
    Lower,
}

/// The word for a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The second is better: the interval excludes 1 and the median lies beyond the noise floor.
    Faster,
    /// The second is worse, by the same rule.
    Slower,
    /// Neither; [`Comparison::smallest_seen`] says what could have been found.
    NoChange,
    /// Fewer than [`PAIRS_MIN`] pairs: nothing is judged.
    TooFewPairs,
}

impl Finding {
    /// As printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::NoChange => "no change found",
            Self::TooFewPairs => "too few pairs",
        }
    }
}

/// Compares `(first, second)` figures of paired runs. A pair with a figure that is negative or not a
/// number is left out and counted; a figure of zero counts as very much smaller than any other.
pub fn pairs(figures: &[(f64, f64)]) -> Comparison {
    compared(figures, DRAWS)
}

fn compared(figures: &[(f64, f64)], draws: usize) -> Comparison {
    let mut logs: Vec<f64> =
        figures.iter().filter_map(|(first, second)| log_ratio(*first, *second)).collect();
    logs.sort_by(f64::total_cmp);
    let left_out = figures.len() - logs.len();
    let (Some(smallest), Some(largest)) = (logs.first(), logs.last()) else {
        return Comparison { pairs: 0, left_out, median_ratio: 1.0, low: 1.0, high: 1.0 };
    };
    let (low, high) =
        if logs.len() < PAIRS_MIN { (*smallest, *largest) } else { interval_of_median(&logs, draws) };
    Comparison {
        pairs: logs.len(),
        left_out,
        median_ratio: median(&logs).exp(),
        low: low.exp(),
        high: high.exp(),
    }
}

impl Comparison {
    /// True when there are pairs enough for a verdict.
    pub fn is_enough(&self) -> bool {
        self.pairs >= PAIRS_MIN
    }

    /// The word: a change counts only when the interval excludes 1 **and** the median lies beyond the
    /// machine's noise floor (0.03: ±3 %; 0 when none is known).
    pub fn finding(&self, better: Better, noise_floor: f64) -> Finding {
        if !self.is_enough() {
            return Finding::TooFewPairs;
        }
        let excluded = self.low > 1.0 || self.high < 1.0;
        if !excluded || self.median_ratio.ln().abs() <= log_of(noise_floor) {
            return Finding::NoChange;
        }
        if (self.median_ratio > 1.0) == (better == Better::Higher) {
            Finding::Faster
        } else {
            Finding::Slower
        }
    }

    /// The smallest change that these pairs could have shown, as a share (0.03: ±3 %): the longer arm
    /// of the interval, or the noise floor where that is larger.
    pub fn smallest_seen(&self, noise_floor: f64) -> f64 {
        let middle = self.median_ratio.ln();
        let arm = (self.high.ln() - middle).max(middle - self.low.ln());
        arm.max(log_of(noise_floor)).exp_m1()
    }
}

/// How far apart two sets of `pairs` pairs of *equal* runs come to lie, as a share: the 95th percentile of
/// the absolute median log-ratio, over seeded draws of pairs from `figures` with either run first.
/// `None` with fewer than [`PAIRS_MIN`] usable pairs.
pub fn noise_floor(figures: &[(f64, f64)], pairs: usize) -> Option<f64> {
    let logs: Vec<f64> = figures.iter().filter_map(|(first, second)| log_ratio(*first, *second)).collect();
    if logs.len() < PAIRS_MIN || pairs == 0 {
        return None;
    }
    let mut random = Random::new(SEED);
    let mut draw = vec![0.0; pairs];
    let mut medians: Vec<f64> = (0..DRAWS)
        .map(|_| {
            for slot in &mut draw {
                let log = logs[random.below(logs.len() as u64) as usize];
                *slot = if random.next() & 1 == 0 { log } else { -log };
            }
            draw.sort_by(f64::total_cmp);
            median(&draw).abs()
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Some(at_share(&medians, 0.95).exp_m1())
}

fn log_ratio(first: f64, second: f64) -> Option<f64> {
    let usable = |figure: f64| figure.is_finite() && figure >= 0.0;
    if !usable(first) || !usable(second) {
        return None;
    }
    if first == second {
        return Some(0.0);
    }
    Some((second.ln() - first.ln()).clamp(-LOG_RATIO_MAX, LOG_RATIO_MAX))
}

/// The logarithm of one and a share.
fn log_of(share: f64) -> f64 {
    share.max(0.0).ln_1p()
}

/// The median of sorted values; there is at least one.
pub(super) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

fn interval_of_median(sorted: &[f64], draws: usize) -> (f64, f64) {
    let mut random = Random::new(SEED);
    let mut draw = vec![0.0; sorted.len()];
    let mut medians: Vec<f64> = (0..draws)
        .map(|_| {
            draw.fill_with(|| sorted[random.below(sorted.len() as u64) as usize]);
            draw.sort_by(f64::total_cmp);
            median(&draw)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let level = expanded_level(sorted.len());
    (at_share(&medians, level), at_share(&medians, 1.0 - level))
}

/// The share of the bootstrap distribution that is cut off at each end for `n` pairs.
fn expanded_level(n: usize) -> f64 {
    let student = STUDENT_95.get(n.saturating_sub(2)).copied().unwrap_or(NORMAL_95);
    normal_below(-student * (n as f64 / (n as f64 - 1.0)).sqrt())
}

/// The value below which this share of the sorted values lies.
fn at_share(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len() - 1;
    sorted[((share * last as f64).round() as usize).min(last)]
}

/// The standard normal distribution function (Abramowitz and Stegun 26.2.17, exact to 7.5 × 10⁻⁸).
fn normal_below(x: f64) -> f64 {
    const FACTORS: [f64; 5] = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let series = FACTORS.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    let beyond = series * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    if x < 0.0 { beyond } else { 1.0 - beyond }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs whose log-ratios are `shift` plus noise of this deviation.
    fn simulated(seed: u64, n: usize, deviation: f64, shift: f64) -> Vec<(f64, f64)> {
        let mut random = Random::new(seed);
        let mut normal = move || (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
        // Both runs of a pair share a drift that is ten times the noise.
        (0..n)
            .map(|_| {
                let drift = 10.0 * deviation * normal();
                (100.0 * drift.exp(), 100.0 * (drift + shift + deviation * normal()).exp())
            })
            .collect()
    }

    fn share_of_changes(n: usize, shift: f64, floor: f64) -> f64 {
        const WORLDS: u64 = 300;
        // A tenth of the draws moves an interval's end by less than its own noise.
        const FEW_DRAWS: usize = DRAWS / 10;
        let found = (0..WORLDS)
            .filter(|world| {
                let comparison = compared(&simulated(1_000 + world, n, 0.02, shift), FEW_DRAWS);
                comparison.finding(Better::Higher, floor) != Finding::NoChange
            })
            .count();
        found as f64 / WORLDS as f64
    }

    #[test]
    fn equal_runs_are_rarely_called_different() {
        for n in [5, 7, 10] {
            let share = share_of_changes(n, 0.0, 0.0);
            // Nominal 5 % (6.25 % at five pairs), plus three standard deviations of 300 trials.
            assert!(share <= 0.105, "{n} pairs: {share}");
        }
        let floor = noise_floor(&simulated(1, 40, 0.02, 0.0), 5).expect("pairs enough");
        let share = share_of_changes(5, 0.0, floor);
        assert!(share <= 0.06, "with the noise floor {floor}: {share}");
    }

    #[test]
    fn a_change_of_four_deviations_is_found() {
        assert!(share_of_changes(5, 0.08, 0.0) > 0.99);
        assert!(share_of_changes(10, 0.04, 0.0) > 0.95);
    }

    #[test]
    fn the_interval_holds_the_median_and_is_the_same_each_time() {
        let figures = simulated(3, 9, 0.05, 0.1);
        let comparison = pairs(&figures);
        assert!(comparison.low < comparison.median_ratio && comparison.median_ratio < comparison.high);
        assert_eq!(comparison, pairs(&figures));
        let back: Vec<(f64, f64)> = figures.iter().map(|(a, b)| (*b, *a)).collect();
        assert!((pairs(&back).median_ratio * comparison.median_ratio - 1.0).abs() < 1e-12);
    }

    #[test]
    fn known_pairs_give_known_figures() {
        let comparison = pairs(&[(100.0, 110.0), (100.0, 120.0), (200.0, 260.0), (10.0, 14.0), (50.0, 75.0)]);
        assert!((comparison.median_ratio - 1.3).abs() < 1e-12);
        assert!((comparison.low - 1.1).abs() < 1e-12, "five pairs: the interval is their range");
        assert!((comparison.high - 1.5).abs() < 1e-12);
        assert_eq!(comparison.finding(Better::Higher, 0.0), Finding::Faster);
        assert_eq!(comparison.finding(Better::Lower, 0.0), Finding::Slower);
        assert_eq!(comparison.finding(Better::Higher, 0.31), Finding::NoChange, "within the noise floor");
        assert!((comparison.smallest_seen(0.0) - (1.3 / 1.1 - 1.0)).abs() < 1e-12);
        assert!((comparison.smallest_seen(0.5) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn few_pairs_are_not_judged() {
        let comparison = pairs(&[(1.0, 2.0), (1.0, 3.0), (1.0, 2.5), (1.0, 2.0)]);
        assert_eq!(comparison.finding(Better::Higher, 0.0), Finding::TooFewPairs);
        assert!((comparison.low - 2.0).abs() < 1e-12 && (comparison.high - 3.0).abs() < 1e-12);
        assert_eq!(pairs(&[]).finding(Better::Higher, 0.0), Finding::TooFewPairs);
    }

    #[test]
    fn figures_that_cannot_be_compared_are_counted_and_zero_is_kept() {
        let comparison = pairs(&[(1.0, f64::NAN), (-1.0, 1.0), (0.0, 0.0), (2.0, 0.0)]);
        assert_eq!((comparison.pairs, comparison.left_out), (2, 2));
        assert!(comparison.low > 0.0 && comparison.low < 1e-8);
        assert_eq!(comparison.high, 1.0);
    }

    #[test]
    fn normal_levels_are_the_tables() {
        for (x, expected) in [(0.0, 0.5), (-1.96, 0.025), (1.0, 0.841_344_7), (-3.0, 0.001_349_9)] {
            assert!((normal_below(x) - expected).abs() < 1e-5, "{x}");
        }
        assert!(expanded_level(5) < expanded_level(20) && expanded_level(20) < 0.025);
    }
}
