//! The knobs of a load: each is a flag, a key of a workload file and a line of the report, under one
//! name, defined once.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use super::quantity::{AcksWord, Bytes, CodecWord, SizeRange, Span};
use crate::load::plan::{Arrivals, Mode};

/// What is sent. Unset knobs have the defaults that `super::settle` names.
#[derive(clap::Args, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[command(next_help_heading = "Load")]
pub struct Knobs {
    /// In a workload file: its name in reports.
    #[arg(skip)]
    pub name: Option<String>,
    /// In a workload file: what it is for.
    #[arg(skip)]
    pub about: Option<String>,
    /// What is measured [default: both]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Length of the measured window [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub duration: Option<Span>,
    /// Load before the window: checked, not measured [default: 5s]
    #[arg(long, value_name = "TIME", visible_alias = "warm-up")]
    pub warmup: Option<Span>,
    /// Warm up until two successive windows agree within this share of the larger: 0.05 is 5 % [default: only --warmup]
    #[arg(long, value_name = "SHARE")]
    pub warmup_tolerance: Option<f64>,
    /// Length of these windows [default: 5s]
    #[arg(long, value_name = "TIME")]
    pub warmup_window: Option<Span>,
    /// Such a warm-up ends after this long, agreed or not [default: 2m]
    #[arg(long, value_name = "TIME")]
    pub warmup_max: Option<Span>,
    /// Open loop: records per second over all producers; 0 is a closed loop [default: 20000, unless --depth is given]
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// Open loop, by volume: 10^6 bytes of keys and values per second
    #[arg(long, value_name = "MB", conflicts_with = "rate")]
    pub mb_rate: Option<f64>,
    /// How planned sends spread around the rate [default: poisson]
    #[arg(long, value_enum)]
    pub arrivals: Option<Arrivals>,
    /// Requests in flight per connection; without a rate, this makes a closed loop [default: 5]
    #[arg(long, value_name = "N")]
    pub depth: Option<usize>,
    /// Bytes of a record's value, one size or a range such as 100..2000; at least 24 [default: 1KiB]
    #[arg(long, value_name = "SIZE")]
    pub record_size: Option<SizeRange>,
    /// A batch is sent when it is this large … [default: 16KiB]
    #[arg(long, value_name = "SIZE")]
    pub batch_size: Option<Bytes>,
    /// … or when its first record was planned this long ago [default: 0s]
    #[arg(long, value_name = "TIME")]
    pub linger: Option<Span>,
    /// Partitions of the topic [default: 6]
    #[arg(long, value_name = "N")]
    pub partitions: Option<usize>,
    /// Producers, each with its own connection [default: 4]
    #[arg(long, value_name = "N", visible_alias = "connections")]
    pub producers: Option<usize>,
    /// Consumers, each with its own connection [default: 2]
    #[arg(long, value_name = "N")]
    pub consumers: Option<usize>,
    /// Distinct keys; 0 sends none. A record's key chooses its partition [default: 0]
    #[arg(long, value_name = "N")]
    pub keys: Option<u64>,
    /// What producers wait for: all, 1 or 0 [default: all]
    #[arg(long, value_name = "all|1|0")]
    pub acks: Option<AcksWord>,
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd [default: none]
    #[arg(long, value_name = "CODEC")]
    pub compression: Option<CodecWord>,
    /// Producers ask for an id and number their batches
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub idempotence: Option<bool>,
    /// Make the topic relaxed: flush.messages=N (none: never by count). Acknowledged is then written, not flushed
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "9223372036854775807")]
    pub relaxed: Option<i64>,
    /// Replicas of the topic; -1 leaves it to the broker [default: -1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub replication_factor: Option<i16>,
    /// fetch.max.bytes of consumers [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    pub fetch_max_bytes: Option<Bytes>,
    /// In the fetch modes: what is written before the window [default: 16MiB hot, 8GiB cold]
    #[arg(long, value_name = "SIZE")]
    pub preload: Option<Bytes>,
    /// The load stops after this many bytes of keys and values [default: by plan]
    #[arg(long, value_name = "SIZE")]
    pub disk_budget: Option<Bytes>,
    /// The topic, which the run creates and deletes [default: a new name]
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// Seed of arrivals, sizes, keys and payloads [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Reads a workload file.
pub fn read_workload(path: &Path) -> anyhow::Result<Knobs> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read workload {}", path.display()))?;
    let mut knobs: Knobs = toml::from_str(&text).with_context(|| format!("workload {}", path.display()))?;
    if knobs.name.is_none() {
        knobs.name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    }
    Ok(knobs)
}
