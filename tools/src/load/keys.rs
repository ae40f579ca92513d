//! How often each key comes.

use super::random::Random;

/// The most keys of a skewed distribution, which has a table of them: 8 bytes a key.
pub(super) const SKEWED_KEYS_MAX: usize = 1 << 20;

/// Zipf's exponent, as in YCSB.
const EXPONENT: f64 = 0.99;

/// How often each key comes.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum KeySpread {
    /// Each as often as any other, at random.
    #[default]
    Uniform,
    /// One after the other.
    RoundRobin,
    /// Few are hot: key number n comes n^0.99 times more rarely than the first.
    Zipf,
}

impl KeySpread {
    /// The most keys that it can spread over.
    #[must_use]
    pub fn keys_max(self) -> usize {
        if self == KeySpread::Zipf { SKEWED_KEYS_MAX } else { usize::MAX }
    }
}

impl std::fmt::Display for KeySpread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            KeySpread::Uniform => "uniform",
            KeySpread::RoundRobin => "round-robin",
            KeySpread::Zipf => "zipf",
        })
    }
}

/// A distribution over keys 0 .. n.
#[derive(Debug)]
pub(super) struct Keys {
    keys: u64,
    spread: KeySpread,
    /// Of a skewed distribution: the share of draws at or below each key.
    shares: Vec<f64>,
}

impl Keys {
    /// `keys` of them; 0 means that none are sent.
    pub(super) fn new(keys: u64, spread: KeySpread) -> Keys {
        assert!(keys as usize <= spread.keys_max(), "the plan was checked");
        let mut shares = Vec::new();
        if spread == KeySpread::Zipf {
            let mut sum = 0.0;
            shares.extend((1..=keys).map(|n| {
                sum += (n as f64).powf(-EXPONENT);
                sum
            }));
            shares.iter_mut().for_each(|share| *share /= sum);
        }
        Keys { keys, spread, shares }
    }

    /// The next key of a sender that has drawn `drawn` before.
    pub(super) fn draw(&self, drawn: u64, random: &mut Random) -> u64 {
        if self.keys == 0 {
            return 0;
        }
        match self.spread {
            KeySpread::Uniform => random.below(self.keys),
            KeySpread::RoundRobin => drawn % self.keys,
            KeySpread::Zipf => {
                let share = random.unit();
                (self.shares.partition_point(|s| *s < share) as u64).min(self.keys - 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(spread: KeySpread) -> Vec<u64> {
        let (keys, mut random, mut counts) = (Keys::new(100, spread), Random::new(5), vec![0; 100]);
        (0..100_000).for_each(|drawn| counts[keys.draw(drawn, &mut random) as usize] += 1);
        counts
    }

    #[test]
    fn each_distribution_spreads_as_it_says() {
        assert!(counts(KeySpread::RoundRobin).iter().all(|n| *n == 1_000));
        assert!(counts(KeySpread::Uniform).iter().all(|n| (850..1_150).contains(n)));
        let zipf = counts(KeySpread::Zipf);
        let ratio = zipf[0] as f64 / zipf[9] as f64;
        assert!((8.0..12.0).contains(&ratio), "the first comes 10^0.99 times as often as the tenth: {ratio}");
        assert!(zipf[99] > 0, "no key is left out");
        assert_eq!(Keys::new(0, KeySpread::Uniform).draw(7, &mut Random::new(1)), 0);
    }
}
