//! A topic's settings: overrides over the broker's defaults over Kafka's.

use std::collections::BTreeMap;

use super::INFLATED_BYTES_MAX;
use super::alter::{self, AlterOp};
use super::broker::BrokerSettings;
use super::def::{self, ConfigError, Def, Kind, Support, list_items};
use super::describe::{Described, Source};
use super::inherit::{describe_one, inherited};
use crate::base::WallMs;
use crate::record::{Limits, TimestampType};

pub use super::topic_defs::DEFS;

/// What happens to old segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cleanup {
    /// Whole segments go, by age and size.
    #[default]
    Delete,
    /// Records go that a later one with the same key follows.
    Compact,
    /// Both.
    CompactAndDelete,
}

impl Cleanup {
    /// Whether segments go by age and size.
    #[must_use]
    pub fn deletes(self) -> bool {
        self != Cleanup::Compact
    }

    /// Whether the log is compacted, and every record needs a key.
    #[must_use]
    pub fn compacts(self) -> bool {
        self != Cleanup::Delete
    }
}

/// A topic's settings, resolved: what the log acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// What happens to old segments.
    pub cleanup: Cleanup,
    /// Age at which segments go, ms; `None` keeps them.
    pub retention_ms: Option<u64>,
    /// Size of a partition above which its oldest segments go, bytes; `None` keeps them.
    pub retention_bytes: Option<u64>,
    /// Size at which a segment is rolled, bytes, at least 1 MiB.
    pub segment_bytes: u32,
    /// Age at which a segment is rolled, ms, at least 1.
    pub segment_ms: u64,
    /// Largest random amount taken off `segment_ms`, ms.
    pub segment_jitter_ms: u64,
    /// Size of an index at which its segment is rolled, bytes, at least [`INDEX_BYTES_MIN`].
    pub segment_index_bytes: u32,
    /// Bytes of log between two index entries.
    pub index_interval_bytes: u32,
    /// The largest batch, bytes, at most [`super::BATCH_BYTES_MAX`].
    pub max_message_bytes: u32,
    /// Whose clock stamps records.
    pub timestamp_type: TimestampType,
    /// How far a timestamp may lie in the past, ms; `u64::MAX` is no limit.
    pub timestamp_before_max_ms: u64,
    /// How far a timestamp may lie in the future, ms; `u64::MAX` is no limit.
    pub timestamp_after_max_ms: u64,
    /// Records between two flushes, at least 1; `u64::MAX` is no limit.
    pub flush_messages: u64,
    /// Longest time a written record stays unflushed, ms; `u64::MAX` is no limit.
    pub flush_ms: u64,
    /// In-sync replicas that `acks=all` needs, at least 1.
    pub min_insync_replicas: u16,
    /// How long a deleted segment's file stays, ms.
    pub file_delete_delay_ms: u64,
    /// How long a tombstone stays after the first compaction that met it, ms.
    pub delete_retention_ms: u64,
    /// How long a record stays uncompacted at least, ms.
    pub min_compaction_lag_ms: u64,
    /// How long a record may stay uncompacted, ms; `u64::MAX` is no limit.
    pub max_compaction_lag_ms: u64,
    /// The uncompacted part of a log that starts a compaction, millionths.
    pub min_cleanable_dirty_ppm: u32,
}

/// The smallest index that makes a segment roll, bytes: one block, whatever `segment.index.bytes`
/// says, so that a tiny value cannot make every batch its own segment.
pub const INDEX_BYTES_MIN: u32 = 4096;

impl TopicSettings {
    /// Whether a record counts as durable once it is written, before it is flushed. Everything
    /// else is acknowledged only after a flush.
    #[must_use]
    pub fn is_relaxed(&self) -> bool {
        self.flush_messages > 1 && self.flush_ms != 0
    }

    /// What a batch for this topic is checked against, at `now`. Compressed records are inflated only
    /// where every record must have a key, or none may be too old: a header tells the first and the largest
    /// timestamp, not the smallest.
    #[must_use]
    pub fn limits(&self, produce_version: i16, now: WallMs) -> Limits {
        Limits {
            max_bytes: self.max_message_bytes,
            segment_bytes: self.segment_bytes,
            produce_version,
            timestamp_type: self.timestamp_type,
            timestamp_before_max_ms: self.timestamp_before_max_ms,
            timestamp_after_max_ms: self.timestamp_after_max_ms,
            now,
            keys_required: self.cleanup.compacts(),
            inflate_bytes_max: (self.cleanup.compacts() || self.bounds_age()).then_some(INFLATED_BYTES_MAX),
        }
    }

    /// Whether a record may be too old.
    fn bounds_age(&self) -> bool {
        self.timestamp_before_max_ms != u64::MAX && self.timestamp_type == TimestampType::CreateTime
    }

    /// Age at which a segment is rolled, ms: only what is closed can be compacted.
    #[must_use]
    pub fn roll_ms(&self) -> u64 {
        if self.cleanup.compacts() {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }

    /// `durable` or `relaxed`, for reports and metrics.
    #[must_use]
    pub fn durability(&self) -> &'static str {
        if self.is_relaxed() { "relaxed" } else { "durable" }
    }
}

impl Default for TopicSettings {
    /// Kafka's defaults, except `flush.messages=1`.
    fn default() -> Self {
        let raw = |name: &str| def(name).default.unwrap_or_default().to_owned();
        resolve(&raw)
    }
}

/// The read-only line that DescribeConfigs adds to a topic's settings: its mode in one word.
pub const DURABILITY: &str = "ringlog.durability";

const DURABILITY_DOC: &str = "durable: acknowledged records are flushed to disk. relaxed: they are written, and \
     flushed later (flush.messages above 1 and flush.ms not 0). Read-only; it follows from those two.";

/// Resolves a topic's overrides over the broker's settings.
///
/// # Errors
/// The first override (or broker default) that is unknown or refused.
pub fn parse(
    overrides: &BTreeMap<String, String>,
    broker: &BrokerSettings,
) -> Result<TopicSettings, ConfigError> {
    for (name, value) in overrides {
        find(name, value)?.check(value.trim())?;
    }
    for def in DEFS {
        let (value, synonym) = inherited(def, broker);
        def.check(&value).map_err(|e| match synonym {
            Some(name) => ConfigError { name: name.to_owned(), ..e },
            None => e,
        })?;
    }
    let raw = |name: &str| match overrides.get(name) {
        Some(value) => value.trim().to_owned(),
        None => inherited(def(name), broker).0,
    };
    check_lags(&raw)?;
    Ok(resolve(&raw))
}

/// The settings of a topic whose overrides were checked when they were stored, by other rules or beside
/// other settings of the broker: each that does not pass any more is passed over and told, the rest holds.
/// Of retention that cannot be read nothing is deleted.
#[must_use]
pub fn stored(
    overrides: &BTreeMap<String, String>,
    broker: &BrokerSettings,
) -> (TopicSettings, Vec<ConfigError>) {
    let mut ignored = Vec::new();
    let mut kept = BTreeMap::new();
    for (name, value) in overrides {
        match find(name, value).and_then(|def| def.check(value.trim())) {
            Ok(()) => _ = kept.insert(name.clone(), value.clone()),
            Err(error) => {
                ignored.push(error);
                if RETENTION.contains(&name.as_str()) {
                    kept.insert(name.clone(), KEEP_ALL.to_owned());
                }
            }
        }
    }
    for lag in ["min.compaction.lag.ms", "max.compaction.lag.ms"] {
        if let Err(error) = parse(&kept, broker)
            && kept.remove(lag).is_some()
        {
            ignored.push(error);
        }
    }
    let settings = parse(&kept, broker).unwrap_or_else(|error| {
        ignored.push(error);
        TopicSettings { retention_ms: None, retention_bytes: None, ..broker.topic_defaults() }
    });
    (settings, ignored)
}

/// Settings that delete records, and the value that deletes none.
const RETENTION: [&str; 2] = ["retention.ms", "retention.bytes"];
const KEEP_ALL: &str = "-1";

/// Refuses a log that must be compacted before it may be.
fn check_lags(raw: &dyn Fn(&str) -> String) -> Result<(), ConfigError> {
    let ms = |name: &str| raw(name).parse::<i64>().expect("checked by its definition");
    let (lowest, highest) = (ms("min.compaction.lag.ms"), ms("max.compaction.lag.ms"));
    if lowest <= highest {
        return Ok(());
    }
    let reason = format!("it is above max.compaction.lag.ms, which is {highest}");
    Err(ConfigError::new("min.compaction.lag.ms", &lowest.to_string(), reason))
}

/// Every setting of a topic with its value and where that comes from, by name.
#[must_use]
pub fn describe(overrides: &BTreeMap<String, String>, broker: &BrokerSettings) -> Vec<Described> {
    let mut out: Vec<Described> = DEFS
        .iter()
        .filter(|def| def.support != Support::Dropped || overrides.contains_key(def.name))
        .map(|def| describe_one(def, overrides.get(def.name), Source::TopicOverride, broker))
        .collect();
    let mode = stored(overrides, broker).0.durability();
    out.push(Described {
        name: DURABILITY,
        value: Some(mode.to_owned()),
        source: Source::Default,
        read_only: true,
        sensitive: false,
        value_type: Kind::Text.value_type(),
        synonyms: Vec::new(),
        documentation: DURABILITY_DOC.to_owned(),
    });
    out
}

/// Applies alterations to a topic's overrides: the new overrides, checked as a whole.
///
/// # Errors
/// The first alteration that is refused; nothing is changed then.
pub fn alter(
    overrides: &BTreeMap<String, String>,
    ops: &[(String, AlterOp)],
    broker: &BrokerSettings,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let current =
        |def: &'static Def| overrides.get(def.name).cloned().unwrap_or_else(|| inherited(def, broker).0);
    let altered = alter::apply(overrides, ops, find, &current)?;
    parse(&altered, broker)?;
    Ok(altered)
}

fn find(name: &str, value: &str) -> Result<&'static Def, ConfigError> {
    if name == DURABILITY {
        return Err(ConfigError::new(name, value, "it is read-only; set flush.messages and flush.ms"));
    }
    def::find(DEFS, name, value)
}

fn def(name: &str) -> &'static Def {
    DEFS.iter().find(|d| d.name == name).expect("a name of our own table")
}

/// Builds the typed settings from checked values.
fn resolve(raw: &dyn Fn(&str) -> String) -> TopicSettings {
    let long = |name: &str| raw(name).parse::<i64>().expect("checked by its definition");
    let unsigned = |name: &str| u64::try_from(long(name)).expect("checked by its definition");
    let int = |name: &str| u32::try_from(long(name)).expect("checked by its definition");
    let limit = |name: &str| match long(name) {
        i64::MAX => u64::MAX,
        n => u64::try_from(n).expect("checked by its definition"),
    };
    let policies = raw("cleanup.policy");
    let names = |policy: &str| list_items(&policies).any(|word| word == policy);
    let cleanup = match (names("compact"), names("delete")) {
        (true, true) => Cleanup::CompactAndDelete,
        (true, false) => Cleanup::Compact,
        (false, _) => Cleanup::Delete,
    };
    let ratio: f64 = raw("min.cleanable.dirty.ratio").parse().expect("checked by its definition");
    TopicSettings {
        cleanup,
        retention_ms: u64::try_from(long("retention.ms")).ok(),
        retention_bytes: u64::try_from(long("retention.bytes")).ok(),
        segment_bytes: int("segment.bytes"),
        segment_ms: unsigned("segment.ms"),
        segment_jitter_ms: unsigned("segment.jitter.ms"),
        segment_index_bytes: int("segment.index.bytes").max(INDEX_BYTES_MIN),
        index_interval_bytes: int("index.interval.bytes"),
        max_message_bytes: int("max.message.bytes"),
        timestamp_type: match raw("message.timestamp.type").as_str() {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        },
        timestamp_before_max_ms: limit("message.timestamp.before.max.ms"),
        timestamp_after_max_ms: limit("message.timestamp.after.max.ms"),
        flush_messages: limit("flush.messages"),
        flush_ms: limit("flush.ms"),
        min_insync_replicas: u16::try_from(long("min.insync.replicas")).expect("checked by its definition"),
        file_delete_delay_ms: unsigned("file.delete.delay.ms"),
        delete_retention_ms: unsigned("delete.retention.ms"),
        min_compaction_lag_ms: unsigned("min.compaction.lag.ms"),
        max_compaction_lag_ms: limit("max.compaction.lag.ms"),
        min_cleanable_dirty_ppm: (ratio * 1e6) as u32,
    }
}
