//! Times, byte counts and size ranges as people write them: `30s`, `16KiB`, `100..2000`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use engine::record::Codec;
use serde::de::{Deserialize, Deserializer, Visitor};

use crate::load::plan::{Acks, Stage};

/// A stretch of time: `30s`, `500ms`, `2m`, `1h`; a bare number is seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span(pub Duration);

/// A number of bytes: `1024`, `16KiB`, `1MB`, `2GiB`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bytes(pub u64);

/// One size or a uniform range: `1KiB` or `100..2000`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SizeRange {
    /// Smallest.
    pub min: u64,
    /// Largest.
    pub max: u64,
}

/// What producers wait for: `all`, `1` or `0`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AcksWord(pub Acks);

/// A codec by its Kafka name: `none`, `gzip`, `snappy`, `lz4` or `zstd`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodecWord(pub Codec);

/// A share: `50%` or `0.5`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Share(pub f64);

/// Rates one after the other: `5000 for 10s, 40000 for 500ms`.
#[derive(Clone, PartialEq, Debug)]
pub struct RatePlan(pub Vec<Stage>);

/// A setting: `name=value`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

const ACKS: [(&str, Acks); 4] =
    [("all", Acks::All), ("1", Acks::Leader), ("0", Acks::None), ("-1", Acks::All)];

const CODECS: [(&str, Codec); 5] = [
    ("none", Codec::None),
    ("gzip", Codec::Gzip),
    ("snappy", Codec::Snappy),
    ("lz4", Codec::Lz4),
    ("zstd", Codec::Zstd),
];

const BYTE_UNITS: [(&str, u64); 11] = [
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("g", 1 << 30),
    ("m", 1 << 20),
    ("k", 1 << 10),
    ("b", 1),
    ("", 1),
];

const TIME_UNITS: [(&str, f64); 6] =
    [("ms", 1e-3), ("us", 1e-6), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)];

/// Splits `12.5MiB` into its number and its unit in lower case.
fn split(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    let at = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let number: f64 = text[..at].replace('_', "").parse().ok()?;
    Some((number, text[at..].trim().to_ascii_lowercase()))
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let parsed = split(text).and_then(|(number, unit)| {
            let (_, seconds) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
            Duration::try_from_secs_f64(number * seconds).ok()
        });
        parsed.map(Span).ok_or_else(|| format!("{text:?} is not a time; write 30s, 500ms or 2m"))
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes, String> {
        let parsed = split(text).and_then(|(number, unit)| {
            let (_, factor) = BYTE_UNITS.iter().find(|(name, _)| *name == unit)?;
            let bytes = number * *factor as f64;
            (bytes < 2f64.powi(63)).then_some(bytes as u64)
        });
        parsed.map(Bytes).ok_or_else(|| format!("{text:?} is not a size; write 1024, 16KiB or 2GB"))
    }
}

impl FromStr for SizeRange {
    type Err = String;

    fn from_str(text: &str) -> Result<SizeRange, String> {
        match text.split_once("..") {
            Some((min, max)) => Ok(SizeRange {
                min: min.parse::<Bytes>()?.0,
                max: max.trim_start_matches('=').parse::<Bytes>()?.0,
            }),
            None => {
                let Bytes(n) = text.parse()?;
                Ok(SizeRange { min: n, max: n })
            }
        }
    }
}

impl FromStr for AcksWord {
    type Err = String;

    fn from_str(text: &str) -> Result<AcksWord, String> {
        let known = ACKS.iter().find(|(word, _)| *word == text);
        known.map(|(_, acks)| AcksWord(*acks)).ok_or_else(|| format!("{text:?} is not all, 1 or 0"))
    }
}

impl FromStr for CodecWord {
    type Err = String;

    fn from_str(text: &str) -> Result<CodecWord, String> {
        let known = CODECS.iter().find(|(word, _)| *word == text);
        known
            .map(|(_, codec)| CodecWord(*codec))
            .ok_or_else(|| format!("{text:?} is not none, gzip, snappy, lz4 or zstd"))
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let (number, unit) = match text.trim().strip_suffix('%') {
            Some(number) => (number, 0.01),
            None => (text, 1.0),
        };
        let share = number.trim().parse::<f64>().ok().map(|n| n * unit).filter(|s| (0.0..=1.0).contains(s));
        share.map(Share).ok_or_else(|| format!("{text:?} is not a share; write 50% or 0.5"))
    }
}

impl FromStr for RatePlan {
    type Err = String;

    fn from_str(text: &str) -> Result<RatePlan, String> {
        let stage = |part: &str| {
            let (rate, length) = part.split_once(" for ")?;
            let records_per_s = rate.trim().replace('_', "").parse().ok()?;
            Some(Stage { records_per_s, length: length.parse::<Span>().ok()?.0 })
        };
        let stages: Option<Vec<Stage>> = text.split(',').map(stage).collect();
        stages
            .map(RatePlan)
            .ok_or_else(|| format!("{text:?} is not a rate plan; write \"5000 for 10s, 40000 for 500ms\""))
    }
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Pair, String> {
        let (name, value) =
            text.split_once('=').ok_or_else(|| format!("{text:?} is not a setting; write name=value"))?;
        Ok(Pair { name: name.trim().to_string(), value: value.trim().to_string() })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

impl fmt::Display for RatePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, stage) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{} for {}", stage.records_per_s, Span(stage.length))?;
        }
        Ok(())
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl fmt::Display for AcksWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = ACKS.iter().find(|(_, acks)| *acks == self.0).expect("every value has a word").0;
        f.write_str(word)
    }
}

impl fmt::Display for CodecWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = CODECS.iter().find(|(_, codec)| *codec == self.0).expect("every codec has a word").0;
        f.write_str(word)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        if ms.is_multiple_of(1_000) { write!(f, "{}s", ms / 1_000) } else { write!(f, "{:?}", self.0) }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for SizeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { Bytes(self.min).fmt(f) } else { write!(f, "{}..{}", self.min, self.max) }
    }
}

/// In a workload file a quantity is a string, or a bare number.
fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(deserializer: D) -> Result<T, D::Error> {
    struct Text<T>(std::marker::PhantomData<T>);
    impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number or a text with a unit")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
        fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
        fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
    }
    deserializer.deserialize_any(Text(std::marker::PhantomData))
}

macro_rules! deserialize_as_text {
    ($($quantity:ty),*) => {
        $(
            impl<'de> Deserialize<'de> for $quantity {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$quantity, D::Error> {
                    deserialize(deserializer)
                }
            }
        )*
    };
}

deserialize_as_text!(Span, Bytes, SizeRange, AcksWord, CodecWord, Share, RatePlan);

/// In a workload file settings are a table, in order of their names.
pub(super) fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Pair>, D::Error> {
    let table = toml::Table::deserialize(deserializer)?;
    let mut pairs: Vec<Pair> = table
        .into_iter()
        .map(|(name, value)| match value {
            toml::Value::String(value) => Pair { name, value },
            other => Pair { name, value: other.to_string() },
        })
        .collect();
    pairs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let cases = [("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("1.5s", 1_500), ("7", 7_000)];
        for (text, ms) in cases {
            assert_eq!(text.parse::<Span>().map(|s| s.0.as_millis()), Ok(ms), "{text}");
        }
        for bad in ["", "s", "-3s", "3 weeks", "1e400s"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases =
            [("1024", 1024), ("16KiB", 16_384), ("16k", 16_384), ("1MB", 1_000_000), ("0.5 GiB", 1 << 29)];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        assert_eq!("100..2KiB".parse(), Ok(SizeRange { min: 100, max: 2048 }));
        assert!("100..".parse::<SizeRange>().is_err());
        assert!("99999999999GiB".parse::<Bytes>().is_err());
        assert_eq!(Bytes(16_384).to_string(), "16KiB");
    }

    #[test]
    fn shares_rate_plans_and_settings_are_read_and_printed_as_people_write_them() {
        assert_eq!("50%".parse(), Ok(Share(0.5)));
        assert_eq!("0.25".parse::<Share>().map(|s| s.to_string()), Ok("25%".to_string()));
        assert!("101%".parse::<Share>().is_err() && "half".parse::<Share>().is_err());
        let plan: RatePlan = "5_000 for 10s, 0 for 1.5s,40000 for 500ms".parse().expect("a plan");
        assert_eq!(plan.to_string(), "5000 for 10s, 0 for 1.5s, 40000 for 500ms");
        assert!("5000".parse::<RatePlan>().is_err() && "".parse::<RatePlan>().is_err());
        assert_eq!("a.b = c=d".parse::<Pair>().map(|p| p.to_string()), Ok("a.b=c=d".to_string()));
    }
}
