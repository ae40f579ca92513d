//! What is to be sent, how, and for how long: plain settings, checked before anything starts.

use std::time::Duration;

pub use super::keys::KeySpread;
pub use super::schedule::{Arrivals, Stage};
use super::stamp::STAMP_BYTES;
use super::warm::WarmRule;
use engine::record::Codec;

/// The most clients of one kind in a run: what one thread can poll with room to spare.
pub const CLIENTS_MAX: usize = 4_096;

/// The most requests in flight on one connection.
pub const DEPTH_MAX: usize = 4_096;

/// The most streams (a producer's records in one partition): each has a ledger.
pub const STREAMS_MAX: usize = 1 << 22;

/// What is measured.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Produce and consume at once.
    #[default]
    Both,
    /// Produce only; what was sent is read back after the window.
    Produce,
    /// Read a small, freshly written set again and again: what the broker holds in memory.
    FetchHot,
    /// Read a set larger than the broker's memory from its start: what the disk gives.
    FetchCold,
}

impl Mode {
    /// Whether producers run in the measured window.
    #[must_use]
    pub fn produces(self) -> bool {
        matches!(self, Mode::Both | Mode::Produce)
    }

    /// Whether consumers run in the measured window.
    #[must_use]
    pub fn fetches(self) -> bool {
        self != Mode::Produce
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::Both => "both",
            Mode::Produce => "produce",
            Mode::FetchHot => "fetch-hot",
            Mode::FetchCold => "fetch-cold",
        })
    }
}

/// What producers wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Acks {
    /// Every in-sync replica.
    #[default]
    All,
    /// The leader.
    Leader,
    /// Nothing: the broker never answers.
    None,
}

impl Acks {
    /// As on the wire: −1, 1 or 0.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Acks::All => -1,
            Acks::Leader => 1,
            Acks::None => 0,
        }
    }
}

/// When records are sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pace {
    /// Open loop: planned times, whatever the broker does.
    Open {
        /// Records a second over all producers.
        records_per_s: f64,
        /// How they spread.
        arrivals: Arrivals,
    },
    /// Open loop at a share of what a closed loop of [`super::CALIBRATION`] reaches first.
    OfMax {
        /// The share, above 0, at most 1.
        share: f64,
        /// How records spread.
        arrivals: Arrivals,
    },
    /// Closed loop: the next request leaves when one of `depth` comes back.
    Closed,
}

impl Pace {
    /// Whether records have planned times.
    #[must_use]
    pub fn is_open(self) -> bool {
        self != Pace::Closed
    }
}

/// Where readers that run beside producers begin.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum StartAt {
    /// Behind what was written before the load.
    #[default]
    End,
    /// At the start of the log: a preload is a backlog that they drain.
    Start,
}

impl std::fmt::Display for StartAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            StartAt::End => "end",
            StartAt::Start => "start",
        })
    }
}

/// What values are filled with, behind their stamps.
#[derive(Clone, PartialEq, Debug)]
pub enum Payload {
    /// Random bytes, this share of them (0 to 1); the rest is one letter.
    Random {
        /// The share.
        share: f64,
    },
    /// These bytes, again and again; not empty.
    Bytes(std::sync::Arc<[u8]>),
}

/// Sizes of record values, uniform between both ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Smallest, bytes.
    pub min: usize,
    /// Largest, bytes.
    pub max: usize,
}

impl Sizes {
    /// Whether all values have one size.
    #[must_use]
    pub fn fixed(self) -> bool {
        self.min == self.max
    }

    /// The mean, bytes.
    #[must_use]
    pub fn mean(self) -> f64 {
        (self.min + self.max) as f64 / 2.0
    }
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Bootstrap addresses, `host:port`.
    pub brokers: Vec<String>,
    /// The topic; made by the run.
    pub topic: String,
    /// Configs of the topic, under Kafka's names.
    pub topic_configs: Vec<(String, String)>,
    /// Its partitions.
    pub partitions: usize,
    /// Its replicas; −1 lets the broker choose.
    pub replication: i16,
    /// What is measured.
    pub mode: Mode,
    /// When records are sent.
    pub pace: Pace,
    /// In an open loop: rates one after the other, again and again from the start of the window. Empty: one rate.
    pub stages: Vec<Stage>,
    /// In an open loop: records of one producer that are due at the same moment.
    pub batch_records: u32,
    /// Requests in flight on one connection: the loop's depth when closed, a bound when open.
    pub depth: usize,
    /// Sizes of values.
    pub sizes: Sizes,
    /// What values are filled with.
    pub payload: Payload,
    /// Distinct keys; 0 sends none. With keys, a record's key chooses its partition.
    pub keys: u64,
    /// How often each key comes, in an open loop.
    pub key_spread: KeySpread,
    /// A batch is sent when this many bytes are in it …
    pub batch_bytes: usize,
    /// … or when its first record was planned this long ago.
    pub linger: Duration,
    /// Producers, each with a connection per leader.
    pub producers: usize,
    /// Consumers of a group, each with a connection per leader; partitions are dealt to them in turn.
    pub consumers: usize,
    /// Groups of consumers; each reads everything.
    pub groups: usize,
    /// In mode `both`: where they begin.
    pub start_at: StartAt,
    /// In mode `both`: readers of one more group that reads the preload from its start, again and again.
    pub catch_up: usize,
    /// When these begin, from the start of the window.
    pub catch_up_after: Duration,
    /// What producers wait for.
    pub acks: Acks,
    /// How batches are compressed.
    pub codec: Codec,
    /// Whether producers ask for an id and number their batches.
    pub idempotence: bool,
    /// Load before the window, not measured but checked; with a rule, its least length.
    pub warm_up: Duration,
    /// When the broker counts as warm; `None`: after `warm_up`.
    pub warm_rule: Option<WarmRule>,
    /// The measured window.
    pub duration: Duration,
    /// The window is cut into intervals of this length.
    pub interval: Duration,
    /// The load stops after this many bytes of keys and values; what is written before it does not count.
    pub bytes_max: u64,
    /// Bytes written before the load: what the fetch modes read, or a backlog.
    pub preload_bytes: u64,
    /// `fetch.max.bytes` of consumers.
    pub fetch_bytes: usize,
    /// In mode `produce`: whether everything is read back after the window.
    pub read_back: bool,
    /// Seed of arrivals, sizes, keys and payloads.
    pub seed: u64,
    /// The CPU that the generator's thread is pinned to.
    pub core: Option<usize>,
}

/// A plan that cannot be carried out.
#[derive(Debug, thiserror::Error, PartialEq)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PlanError {
    #[error(
        "record size {got} is below {STAMP_BYTES} bytes, which each value needs to be checked; use --record-size {STAMP_BYTES} or more"
    )]
    RecordTooSmall { got: usize },
    #[error("record sizes {min}..{max} run backwards; write the smaller first")]
    SizesBackwards { min: usize, max: usize },
    #[error("{name} must be between {min} and {max}, not {got}")]
    OutOfRange { name: &'static str, got: usize, min: usize, max: usize },
    #[error("the rate must be a positive number of records per second, not {0}")]
    Rate(f64),
    #[error(
        "the warm-up rule needs a window of at least a millisecond and a tolerance between 0 and 1; use --warmup-window and --warmup-tolerance"
    )]
    WarmRule,
    #[error("a share of the maximum must be above 0 % and at most 100 %, not {} %", .0 * 100.0)]
    Share(f64),
    #[error(
        "a rate plan begins with a rate above 0, which is also the warm-up's, and each of its times is above 0"
    )]
    Stages,
    #[error(
        "a rate plan, records per batch and key distributions need planned times; give a rate with --rate"
    )]
    NeedsRate,
    #[error("catch-up readers read the preload beside producers; use --mode both and --preload")]
    CatchUp,
    #[error("what is written before the load needs answers that say where it ends; use --acks 1 or all")]
    PreparedWithoutAcks,
    #[error("a preload in mode produce would never be read; use --mode both")]
    PreloadUnread,
    #[error("the measured window must be at least one millisecond; use --duration")]
    NoWindow,
    #[error("idempotent producers need acks=all; drop --idempotence or use --acks all")]
    IdempotenceNeedsAll,
    #[error("idempotent producers may have at most 5 requests in flight; use --depth 5 or less")]
    IdempotenceDepth,
    #[error("a closed loop needs an answer to wait for; use --acks 1 or all, or give a rate with --rate")]
    ClosedWithoutAcks,
}

impl Plan {
    /// Checks that the plan makes sense by itself.
    pub fn check(&self) -> Result<(), PlanError> {
        let range = |name, got, min, max| {
            if (min..=max).contains(&got) {
                Ok(())
            } else {
                Err(PlanError::OutOfRange { name, got, min, max })
            }
        };
        if self.sizes.min > self.sizes.max {
            return Err(PlanError::SizesBackwards { min: self.sizes.min, max: self.sizes.max });
        }
        if self.sizes.min < STAMP_BYTES {
            return Err(PlanError::RecordTooSmall { got: self.sizes.min });
        }
        range("--partitions", self.partitions, 1, 100_000)?;
        range("--producers", self.producers, 1, CLIENTS_MAX)?;
        range("--consumers", self.consumers, usize::from(self.mode != Mode::Produce), CLIENTS_MAX)?;
        range("--depth", self.depth, 1, DEPTH_MAX)?;
        range("--record-size", self.sizes.max, STAMP_BYTES, 64 << 20)?;
        range("--batch-size", self.batch_bytes, 1, 256 << 20)?;
        range("--partitions times --producers", self.partitions * self.producers, 1, STREAMS_MAX)?;
        range("--groups", self.groups, 1, CLIENTS_MAX)?;
        range("--groups times --consumers", self.groups * self.consumers, 0, CLIENTS_MAX)?;
        range("--catch-up", self.catch_up, 0, CLIENTS_MAX)?;
        range("streams times --groups", self.partitions * self.producers * self.groups, 1, STREAMS_MAX)?;
        range("--batch-records", self.batch_records as usize, 1, 1 << 20)?;
        range("--keys", self.keys as usize, 0, self.key_spread.keys_max())?;
        self.check_pace()?;
        if self.catch_up > 0 && (self.mode != Mode::Both || self.preload_bytes == 0) {
            return Err(PlanError::CatchUp);
        }
        let prepared = self.preload_bytes > 0 || matches!(self.pace, Pace::OfMax { .. });
        if prepared && self.acks == Acks::None {
            return Err(PlanError::PreparedWithoutAcks);
        }
        if self.mode == Mode::Produce && self.preload_bytes > 0 {
            return Err(PlanError::PreloadUnread);
        }
        if self.duration < Duration::from_millis(1) {
            return Err(PlanError::NoWindow);
        }
        if let Some(rule) = self.warm_rule
            && (rule.window < Duration::from_millis(1) || !(0.0..=1.0).contains(&rule.tolerance))
        {
            return Err(PlanError::WarmRule);
        }
        if self.idempotence && self.acks != Acks::All {
            return Err(PlanError::IdempotenceNeedsAll);
        }
        if self.idempotence && self.depth > 5 {
            return Err(PlanError::IdempotenceDepth);
        }
        if self.pace == Pace::Closed && self.acks == Acks::None && self.mode.produces() {
            return Err(PlanError::ClosedWithoutAcks);
        }
        Ok(())
    }

    fn check_pace(&self) -> Result<(), PlanError> {
        match self.pace {
            Pace::Open { records_per_s, .. } if !(records_per_s.is_finite() && records_per_s > 0.0) => {
                return Err(PlanError::Rate(records_per_s));
            }
            Pace::OfMax { share, .. } if !(share > 0.0 && share <= 1.0) => {
                return Err(PlanError::Share(share));
            }
            _ => {}
        }
        let shaped =
            !self.stages.is_empty() || self.batch_records > 1 || self.key_spread != KeySpread::Uniform;
        if shaped && !self.pace.is_open() {
            return Err(PlanError::NeedsRate);
        }
        let sound = |s: &Stage| s.records_per_s.is_finite() && s.records_per_s >= 0.0 && !s.length.is_zero();
        let leads = self.stages.first().is_none_or(|s| s.records_per_s > 0.0);
        if !leads || !self.stages.iter().all(sound) {
            return Err(PlanError::Stages);
        }
        Ok(())
    }

    /// Whether the topic's own settings delete records.
    #[must_use]
    pub fn expires(&self) -> bool {
        let limits = |(name, value): &(String, String)| {
            matches!(name.as_str(), "retention.bytes" | "retention.ms") && value != "-1"
        };
        self.topic_configs.iter().any(limits)
    }

    /// Bytes of keys and values that a record has in the mean.
    #[must_use]
    pub fn record_bytes_mean(&self) -> f64 {
        self.sizes.mean() + if self.keys > 0 { super::image::KEY_BYTES as f64 } else { 0.0 }
    }
}
