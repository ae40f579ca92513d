//! What a run knows when it ends: plain values that the load generator fills and that every
//! output (terminal, `report.json`, `.hlog`, page) is made from. Nothing here computes a figure
//! twice: rates are methods over bytes, records and wall clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::disk::DiskUse;
pub use super::floors::{Floor, FloorGroup, FloorUnit, Floors, FloorsSource, Share};
pub use super::interval::{
    INTERVALS_MAX, Interval, LATENCY_NS_MAX, LatencySet, SamplesOf, interval_length, latency_histogram,
};
pub use super::profile::Profile;
use super::stages::BrokerStages;
use super::units;
pub use crate::load::warm::WarmEnd;

/// The version of `report.json`. It rises when a key changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// One finished (or interrupted) run.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// Names the run folder, for example `20261122-071200-7f3c`.
    pub run_id: String,
    /// Version and commit of the tool, for example `0.1.0 (a1b2c3d)`.
    pub tool_version: String,
    /// Name of the workload.
    pub workload: String,
    /// When the measured window began, in milliseconds since the epoch.
    pub started_unix_ms: u64,
    /// Length of the measured window as planned; what was measured is in [`Throughput::wall`].
    pub duration: Duration,
    /// Load that ran before the window and counts in no figure.
    pub warm_up: Duration,
    /// What that load looked like, where a rule ended it.
    pub warm_up_windows: Option<WarmUpFacts>,
    /// The command that repeats this run, every setting spelled out.
    pub command_line: String,
    /// Every setting in effect, in the order in which they are shown.
    pub settings: Vec<Setting>,
    /// The settings that decide what was measured, typed.
    pub load: LoadSettings,
    /// Where it ran.
    pub machine: MachineFingerprint,
    /// What an acknowledgement meant in this run.
    pub durability: DurabilityMode,
    /// The broker under load.
    pub broker: BrokerFacts,
    /// What producers got acknowledged in the window (with `acks=0`: what they sent).
    pub produced: Throughput,
    /// What consumers read in the window; `None` without consumers.
    pub consumed: Option<Throughput>,
    /// Latency over the whole window.
    pub latency: LatencySet,
    /// The window cut into intervals, in order of time.
    pub intervals: Vec<Interval>,
    /// What catch-up readers read in the window; `None` without any.
    pub caught_up: Option<Throughput>,
    /// What making the topic ready took.
    pub setup: Setup,
    /// The limits that the workload or the command set, and whether they held.
    pub slo: Vec<SloResult>,
    /// The data check, over warm-up and window.
    pub check: DataCheck,
    /// Whether the run counts.
    pub validity: Validity,
    /// What the machine could do at that time; `None` when it was not measured.
    pub floors: Option<Floors>,
    /// Figures of this run beside the floors that bound them; empty without floors.
    pub share_of_floor: Vec<Share>,
    /// Where the broker's CPU time went; `None` unless asked for.
    pub profile: Option<Profile>,
    /// What the disk did; `None` when nobody watched it.
    pub disk: Option<DiskUse>,
    /// True when the run was interrupted: figures cover what was measured until then.
    pub partial: bool,
}

impl RunReport {
    /// The one word for the run. A failed data check outranks a late generator.
    pub fn verdict(&self) -> Verdict {
        match (self.check.verdict(), self.validity.is_valid()) {
            (CheckVerdict::Failed, _) => Verdict::DataCheckFailed,
            (_, false) => Verdict::Invalid,
            _ => Verdict::Valid,
        }
    }
}

/// The one word for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The figures say what they claim.
    Valid,
    /// The plan was missed or requests failed: the figures do not answer the question that was asked.
    Invalid,
    /// Records were lost, duplicated, reordered or changed.
    DataCheckFailed,
}

impl Verdict {
    /// The exit code of `ringlog bench`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::DataCheckFailed => 5,
            Self::Invalid => 6,
        }
    }

    /// As printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "VALID",
            Self::Invalid => "INVALID",
            Self::DataCheckFailed => "DATA CHECK FAILED",
        }
    }
}

/// One setting in effect and where its value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The setting's full name, for example `load.record_bytes` or `log.segment.bytes`.
    pub name: String,
    /// The effective value as text.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// Where a setting's value came from, lowest precedence first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Built in.
    Default,
    /// The workload file or the embedded workload.
    Workload,
    /// The settings file.
    File,
    /// `--set name=value`.
    Set,
    /// An environment variable.
    Environment,
    /// A flag of its own.
    Flag,
    /// Worked out by the tool (a free port, the plan that fits the disk).
    Derived,
}

impl Origin {
    /// As printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Workload => "workload",
            Self::File => "file",
            Self::Set => "--set",
            Self::Environment => "environment",
            Self::Flag => "flag",
            Self::Derived => "derived",
        }
    }
}

/// A warm-up that lasted until two successive windows agreed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WarmUpFacts {
    /// Why it ended.
    pub end: WarmEnd,
    /// Partitions that had taken no record when it ended.
    pub untouched: u64,
    /// What the same load did on the same broker in a window measured before, which the first window was held against.
    #[serde(default)]
    pub before: Option<WarmWindowFacts>,
    /// Its windows, in order of time.
    pub windows: Vec<WarmWindowFacts>,
}

/// One window of a warm-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WarmWindowFacts {
    /// From the start of the load.
    pub start_s: f64,
    /// Length.
    pub length_s: f64,
    /// Records acknowledged or read.
    pub records: u64,
    /// Their keys and values, 10^6 bytes a second.
    pub mb_per_s: f64,
    /// Median produce response time.
    pub p50_us: Option<f64>,
}

/// When records are sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "snake_case")]
pub enum Arrivals {
    /// Open loop, evenly spaced planned times.
    Fixed {
        /// Planned records per second over all producers.
        records_per_s: f64,
    },
    /// Open loop, exponentially distributed gaps.
    Poisson {
        /// Mean planned records per second over all producers.
        records_per_s: f64,
    },
    /// Closed loop: the next request leaves when one of `depth` comes back.
    Closed {
        /// Requests in flight per producer.
        depth: u32,
    },
}

impl Arrivals {
    /// As printed.
    pub fn label(self) -> String {
        match self {
            Self::Fixed { records_per_s } => {
                format!("open loop, {} records/s, fixed gaps", units::grouped(records_per_s.round() as u64))
            }
            Self::Poisson { records_per_s } => {
                format!("open loop, {} records/s, Poisson", units::grouped(records_per_s.round() as u64))
            }
            Self::Closed { depth } => format!("closed loop, depth {depth}"),
        }
    }
}

/// What the producers wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acks {
    /// Every in-sync replica.
    All,
    /// The leader.
    #[serde(rename = "1")]
    Leader,
    /// Nothing.
    #[serde(rename = "0")]
    None,
}

impl Acks {
    /// Kafka's word: `all`, `1` or `0`.
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Leader => "1",
            Self::None => "0",
        }
    }
}

/// The settings that decide what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadSettings {
    /// When records are sent.
    pub arrivals: Arrivals,
    /// Bytes of one record's value (the mean where sizes vary).
    pub record_bytes: u64,
    /// Target size of a record batch.
    pub batch_bytes: u64,
    /// How long a producer may wait to fill a batch, in milliseconds.
    pub linger_ms: f64,
    /// Partitions of the topic.
    pub partitions: u32,
    /// Producer connections.
    pub producers: u32,
    /// Consumers of each group.
    pub consumers: u32,
    /// Groups of consumers; each reads everything.
    pub groups: u32,
    /// Distinct keys; 0: records have none.
    pub keys: u64,
    /// Records of a producer that were due at the same moment.
    pub batch_records: u32,
    /// The rates that followed each other, as written in the workload.
    pub rate_plan: Option<String>,
    /// The rate of the closed loop that was run first, where the rate is a share of it.
    pub max_records_per_s: Option<f64>,
    /// What the producers wait for.
    pub acks: Acks,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub compression: String,
    /// Whether producers are idempotent.
    pub idempotence: bool,
    /// Seed of arrivals, sizes, keys and payloads.
    pub seed: u64,
}

/// What an acknowledgement meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum DurabilityMode {
    /// On disk: written and flushed before the acknowledgement.
    Flushed {
        /// What the producers waited for.
        acks: Acks,
    },
    /// Written to the page cache or device without a flush per acknowledgement.
    Relaxed {
        /// What the producers waited for.
        acks: Acks,
        /// Effective `flush.messages`.
        flush_messages: i64,
        /// Effective `flush.ms`.
        flush_ms: i64,
    },
    /// A broker that is not ours: only its answer was seen.
    Unknown {
        /// What the producers waited for.
        acks: Acks,
    },
}

impl DurabilityMode {
    /// As printed.
    pub fn label(&self) -> String {
        match self {
            Self::Flushed { acks } => format!("acks={}, flushed (fdatasync per group)", acks.word()),
            Self::Relaxed { acks, flush_messages, flush_ms } => {
                let count = if *flush_messages == i64::MAX {
                    "never".to_string()
                } else {
                    flush_messages.to_string()
                };
                let time = if *flush_ms == i64::MAX { "never".to_string() } else { flush_ms.to_string() };
                format!("acks={}, relaxed (flush.messages={count}, flush.ms={time})", acks.word())
            }
            Self::Unknown { acks } => format!("acks={}, flush unknown (not our broker)", acks.word()),
        }
    }
}

/// Whether the broker's buffers were registered with the kernel's rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BufferMode {
    /// Registered: the kernel pinned them once.
    Registered,
    /// Not registered: the memlock limit is too small.
    Unregistered,
    /// Not our broker.
    Unknown,
}

impl BufferMode {
    /// As printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Unregistered => "unregistered (memlock limit)",
            Self::Unknown => "unknown",
        }
    }
}

/// The broker under load, as far as it could be seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BrokerFacts {
    /// Name and version, for example `ringlog 0.1.0`, or `unknown`.
    pub name: String,
    /// Bootstrap address.
    pub address: String,
    /// Process id when the broker is a child of this run.
    pub pid: Option<u32>,
    /// Cores that it was pinned to.
    pub cores: Vec<u32>,
    /// User and system CPU seconds within the measured window.
    pub cpu_seconds: Option<f64>,
    /// Highest resident memory seen, in bytes.
    pub rss_bytes_max: Option<u64>,
    /// Configured buffer pool, in bytes.
    pub pool_bytes: Option<u64>,
    /// Whether its buffers were registered.
    pub buffers: BufferMode,
    /// Time from start to the `ready` line, in milliseconds.
    pub ready_ms: Option<f64>,
    /// What its own clocks said of the window; `None` unless it has an admin endpoint that we know.
    pub stages: Option<BrokerStages>,
}

impl BrokerFacts {
    /// What is known of a broker that this run did not start.
    pub fn foreign(address: impl Into<String>) -> Self {
        Self {
            name: "unknown".to_string(),
            address: address.into(),
            pid: None,
            cores: Vec::new(),
            cpu_seconds: None,
            rss_bytes_max: None,
            pool_bytes: None,
            buffers: BufferMode::Unknown,
            ready_ms: None,
            stages: None,
        }
    }
}

/// The machine, as far as it can change a figure. Filled by [`super::machine::fingerprint`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineFingerprint {
    /// Eight hexadecimal digits over what must be equal for two runs to be comparable.
    pub hardware_id: String,
    /// Processor name.
    pub cpu_model: String,
    /// Processors online.
    pub cores: u32,
    /// Main memory in bytes.
    pub memory_bytes: u64,
    /// Kernel release and architecture.
    pub kernel: String,
    /// Distribution.
    pub os: String,
    /// File system type of the data directory.
    pub filesystem: String,
    /// Device below the data directory.
    pub device: String,
    /// The device's model, when it has one.
    pub device_model: String,
    /// I/O scheduler of the device.
    pub scheduler: String,
    /// `write back` or `write through`, as the kernel sees the device's cache.
    pub write_cache: String,
    /// Logical block size in bytes; 0 when unknown.
    pub logical_block_bytes: u32,
    /// Where the file system is mounted.
    pub mount_point: String,
    /// Mount options.
    pub mount_options: String,
    /// Kernel clock source.
    pub clocksource: String,
    /// Memlock limit in bytes; `None` is unlimited.
    pub memlock_bytes: Option<u64>,
    /// CPU frequency governor, when there is one.
    pub governor: String,
    /// Kernel command line.
    pub kernel_command_line: String,
}

/// Work over wall clock. Rates are computed, never averaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throughput {
    /// Records.
    pub records: u64,
    /// Bytes of keys and values, without protocol or batch overhead.
    pub bytes: u64,
    /// Wall clock of the window in which they were counted.
    pub wall: Duration,
}

impl Throughput {
    /// Records per second; 0 for an empty window.
    pub fn records_per_s(&self) -> f64 {
        self.per_s(self.records)
    }

    /// Megabytes (10^6 bytes) per second; 0 for an empty window.
    pub fn mb_per_s(&self) -> f64 {
        self.per_s(self.bytes) / 1e6
    }

    /// Mebibytes (2^20 bytes) per second; 0 for an empty window.
    pub fn mib_per_s(&self) -> f64 {
        self.per_s(self.bytes) / (1 << 20) as f64
    }

    fn per_s(&self, amount: u64) -> f64 {
        let seconds = self.wall.as_secs_f64();
        if seconds > 0.0 { amount as f64 / seconds } else { 0.0 }
    }
}

/// What making the topic ready took, each from the request that created it, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Until that request was answered.
    pub created_ms: f64,
    /// Until every partition had a leader.
    pub led_ms: f64,
    /// Until one record was acknowledged in each partition.
    pub touched_ms: f64,
}

/// One limit and whether it held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SloResult {
    /// The figure, as its path in `report.json`.
    pub key: String,
    /// The limit as written, for example `< 3ms`.
    pub limit: String,
    /// The figure in its own unit; `None`: not measured, or refused for want of samples.
    pub value: Option<f64>,
    /// Whether it kept the limit. A figure that was not measured did not.
    pub held: bool,
}

/// What the data check found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DataCheck {
    /// Records sent.
    pub sent: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Records read; 0 when nothing was read back.
    pub read: u64,
    /// Acknowledged, deleted by the topic's retention before they were read.
    pub expired: u64,
    /// Acknowledged but never read.
    pub lost: u64,
    /// Read more than once.
    pub duplicate: u64,
    /// Read after a later record of the same partition and producer.
    pub reordered: u64,
    /// Read with other bytes than were sent.
    pub corrupt: u64,
    /// True when records were read back and compared. False without consumers.
    pub checked: bool,
}

impl DataCheck {
    /// What the counts mean.
    pub fn verdict(&self) -> CheckVerdict {
        if self.lost + self.duplicate + self.reordered + self.corrupt > 0 {
            CheckVerdict::Failed
        } else if self.checked {
            CheckVerdict::Passed
        } else {
            CheckVerdict::NotChecked
        }
    }
}

/// The word for a data check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// Every acknowledged record was read back once, in order, byte for byte.
    Passed,
    /// Some record was lost, duplicated, reordered or changed.
    Failed,
    /// Nothing was read back.
    NotChecked,
}

/// Whether the run counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Validity {
    /// Share of sends that left later than planned by more than the allowance, 0 to 1.
    pub late_share: f64,
    /// Achieved rate over planned rate; 1 in a closed loop.
    pub achieved_share: f64,
    /// What the generator reached on a broker that keeps nothing, same load, same cores, 10^6 bytes
    /// of keys and values per second; `None` when it was not measured.
    pub generator_ceiling_mb_per_s: Option<f64>,
    /// The run's throughput over that ceiling.
    pub generator_ceiling_share: Option<f64>,
    /// The share is [`GENERATOR_SHARE_MAX`] or more: the figure says as much about the generator as
    /// about the broker. Never set on a run whose denominator the ceiling is.
    pub generator_bound: bool,
    /// CPU time of the window that the machine's host gave to others, over all of it; `None` when nobody looked.
    pub steal_share: Option<f64>,
    /// CPU time that neither broker nor generator used: other programs, and the kernel's own threads.
    pub others_share: Option<f64>,
    /// Why the run does not count; empty for a valid run. One sentence each.
    pub reasons: Vec<String>,
}

/// From this share of the generator's own ceiling on, a run is marked.
pub const GENERATOR_SHARE_MAX: f64 = 0.5;

/// From this share of all CPU time on, used neither by broker nor generator, a run is marked.
pub const OTHERS_SHARE_MAX: f64 = 0.25;

impl Validity {
    /// True when there is no reason against the run.
    pub fn is_valid(&self) -> bool {
        self.reasons.is_empty()
    }
}
