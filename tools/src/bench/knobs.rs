//! The knobs of a load: each is a flag, a key of a workload file and a line of the report, under one
//! name, defined once.

use serde::Deserialize;

use super::quantity::{AcksWord, Bytes, CodecWord, Pair, RatePlan, Share, SizeRange, Span, pairs};
use super::slo::{self, Slo};
use crate::load::plan::{Arrivals, KeySpread, Mode, StartAt};

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
    /// The report.json of this load on this very broker, settled: its window counts as the one before the first
    #[arg(long, value_name = "FILE", requires = "warmup_tolerance")]
    pub warmup_like: Option<String>,
    /// Open loop: records per second over all producers; 0 is a closed loop [default: 20000, unless --depth is given]
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// Open loop, by volume: 10^6 bytes of keys and values per second
    #[arg(long, value_name = "MB", conflicts_with = "rate")]
    pub mb_rate: Option<f64>,
    /// Open loop at a share of what a closed loop of the same shape reaches first, such as 50%
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["rate", "mb_rate"])]
    pub rate_of_max: Option<Share>,
    /// Rates one after the other, again and again from the start of the window: "5000 for 10s, 40000 for 1s"
    #[arg(long, value_name = "STAGES", conflicts_with_all = ["rate", "mb_rate", "rate_of_max"])]
    pub rate_plan: Option<RatePlan>,
    /// Records of one producer that are due at the same moment [default: 1]
    #[arg(long, value_name = "N")]
    pub batch_records: Option<u32>,
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
    /// Consumers of a group, each with its own connection [default: 2]
    #[arg(long, value_name = "N")]
    pub consumers: Option<usize>,
    /// Groups of consumers; each group reads everything [default: 1]
    #[arg(long, value_name = "N")]
    pub groups: Option<usize>,
    /// With a preload: whether consumers begin behind it or drain it [default: end]
    #[arg(long, value_enum)]
    pub start_at: Option<StartAt>,
    /// Readers of one more group, which reads the preload from its start beside the load, again and again [default: 0]
    #[arg(long, value_name = "N")]
    pub catch_up: Option<usize>,
    /// When these begin, from the start of the window [default: 0s]
    #[arg(long, value_name = "TIME")]
    pub catch_up_after: Option<Span>,
    /// Distinct keys; 0 sends none. A record's key chooses its partition [default: 0]
    #[arg(long, value_name = "N")]
    pub keys: Option<u64>,
    /// How often each key comes [default: uniform]
    #[arg(long, value_enum)]
    pub key_spread: Option<KeySpread>,
    /// Random share of each value, the rest is one letter [default: 100%, or 50% with a codec]
    #[arg(long, value_name = "SHARE", conflicts_with = "payload_file")]
    pub random_share: Option<Share>,
    /// A file whose bytes fill values, again and again
    #[arg(long, value_name = "FILE")]
    pub payload_file: Option<String>,
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
    /// What is written before the load, to be read by it [default: 16MiB for fetch-hot, 8GiB for fetch-cold, else 0]
    #[arg(long, value_name = "SIZE")]
    pub preload: Option<Bytes>,
    /// The load ends after this many bytes of keys and values, or after its time [default: by plan]
    #[arg(long, value_name = "SIZE", visible_alias = "disk-budget")]
    #[serde(alias = "disk-budget")]
    pub bytes: Option<Bytes>,
    /// A setting of the topic, under Kafka's name; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    #[serde(default, deserialize_with = "pairs")]
    pub topic_config: Vec<Pair>,
    /// In a workload file: settings of a broker of our own; on the command line that is --set
    #[arg(skip)]
    #[serde(default, deserialize_with = "pairs")]
    pub broker_config: Vec<Pair>,
    /// A limit on a figure of the report, such as "produce.response_us.p99 < 3ms"; broken: exit code 99. May be repeated
    #[arg(long, value_name = "FIGURE<LIMIT")]
    #[serde(default, deserialize_with = "slo::table")]
    pub slo: Vec<Slo>,
    /// The topic, which the run creates and deletes [default: a new name]
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// Seed of arrivals, sizes, keys and payloads [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}
