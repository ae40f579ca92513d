//! The table of topic settings.

use super::BATCH_BYTES_MAX;
use super::def::{Def, Kind, Support, Synonym, list_items};

const HOUR: i64 = 3_600_000;
const LONG_MAX: &str = "9223372036854775807";
const LONG: Kind = Kind::Long(0, i64::MAX);
const NO_TIERING: Support = Support::NoEffect("tiered storage does not exist yet");
const PASS_THROUGH: Support = Support::NoEffect("batches are stored as the producer compressed them");

const fn named(name: &'static str) -> Synonym {
    Synonym { name, scale: 1 }
}

fn refuse_no_policy(value: &str) -> Option<&'static str> {
    list_items(value).next().is_none().then_some("it must not be empty: delete, compact, or both")
}

fn refuse_recompression(value: &str) -> Option<&'static str> {
    (value != "producer").then_some(
        "the broker does not recompress; only producer is supported (set the codec in the producer)",
    )
}

fn refuse_tiering(value: &str) -> Option<&'static str> {
    value.eq_ignore_ascii_case("true").then_some("tiered storage does not exist yet; only false is supported")
}

/// Every topic setting, by name.
pub const DEFS: &[Def] = &[
    Def::new(
        "cleanup.policy",
        Kind::List(&["delete", "compact"]),
        Some("delete"),
        "What happens to old segments. delete removes them by retention.ms and retention.bytes; compact keeps the \
         last record of each key, and takes no record without one.",
    )
    .synonyms(&[named("log.cleanup.policy")])
    .refuse(refuse_no_policy),
    Def::new(
        "compression.gzip.level",
        Kind::Int(-1, 9),
        Some("-1"),
        "Level for recompression with gzip.",
    )
    .synonyms(&[named("compression.gzip.level")])
    .support(PASS_THROUGH),
    Def::new("compression.lz4.level", Kind::Int(1, 17), Some("9"), "Level for recompression with lz4.")
        .synonyms(&[named("compression.lz4.level")])
    .support(PASS_THROUGH),
    Def::new(
        "compression.type",
        Kind::Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        Some("producer"),
        "The codec of stored batches. producer keeps what the producer chose.",
    )
    .synonyms(&[named("compression.type")])
    .refuse(refuse_recompression),
    Def::new(
        "compression.zstd.level",
        Kind::Int(-131_072, 22),
        Some("3"),
        "Level for recompression with zstd.",
    )
    .synonyms(&[named("compression.zstd.level")])
    .support(PASS_THROUGH),
    Def::new(
        "delete.retention.ms",
        LONG,
        Some("86400000"),
        "How long a record without a value (a tombstone) stays in a compacted topic, from the first compaction on \
         that meets it.",
    )
    .synonyms(&[named("log.cleaner.delete.retention.ms")]),
    Def::new(
        "errors.deadletterqueue.group.enable",
        Kind::Bool,
        Some("false"),
        "Marks a topic as a dead-letter queue of share groups.",
    )
    .support(Support::NoEffect("share groups do not exist yet")),
    Def::new(
        "file.delete.delay.ms",
        LONG,
        Some("60000"),
        "How long a deleted segment's file stays before its space is given back.",
    )
    .synonyms(&[named("log.segment.delete.delay.ms")]),
    Def::new(
        "flush.messages",
        Kind::Long(1, i64::MAX),
        Some("1"),
        "Records written between two flushes. 1 (the default here; Kafka's is no limit): a record is \
         acknowledged only once it is flushed to disk. Above 1, unless flush.ms is 0, the topic is relaxed: \
         a record is acknowledged once written, and power loss may take the last unflushed ones.",
    )
    .synonyms(&[named("log.flush.interval.messages")]),
    Def::new(
        "flush.ms",
        LONG,
        Some(LONG_MAX),
        "In a relaxed topic, how long a written record may stay unflushed. 0 makes the topic durable whatever \
         flush.messages says.",
    )
    .synonyms(&[named("log.flush.interval.ms")]),
    Def::new(
        "follower.replication.throttled.replicas",
        Kind::List(&[]),
        Some(""),
        "Replicas whose fetching is throttled.",
    )
    .support(Support::NoEffect("replication does not exist yet")),
    Def::new(
        "index.interval.bytes",
        Kind::Int(0, i32::MAX),
        Some("4096"),
        "Bytes of log between two entries of the offset index.",
    )
    .synonyms(&[named("log.index.interval.bytes")]),
    Def::new(
        "leader.replication.throttled.replicas",
        Kind::List(&[]),
        Some(""),
        "Replicas whose serving is throttled.",
    )
    .support(Support::NoEffect("replication does not exist yet")),
    Def::new(
        "local.retention.bytes",
        Kind::Long(-2, i64::MAX),
        Some("-2"),
        "Local part of a tiered topic, in bytes.",
    )
    .synonyms(&[named("log.local.retention.bytes")])
    .support(NO_TIERING),
    Def::new(
        "local.retention.ms",
        Kind::Long(-2, i64::MAX),
        Some("-2"),
        "Local part of a tiered topic, in milliseconds.",
    )
    .synonyms(&[named("log.local.retention.ms")])
    .support(NO_TIERING),
    Def::new(
        "max.compaction.lag.ms",
        Kind::Long(1, i64::MAX),
        Some(LONG_MAX),
        "How long a record may stay uncompacted; segments are rolled after it too.",
    )
    .synonyms(&[named("log.cleaner.max.compaction.lag.ms")]),
    Def::new(
        "max.message.bytes",
        Kind::Int(0, BATCH_BYTES_MAX as i32),
        Some("1048588"),
        "The largest record batch accepted, in bytes, as sent (compressed).",
    )
    .synonyms(&[named("message.max.bytes")]),
    Def::new("message.downconversion.enable", Kind::Bool, Some("true"), "Conversion for consumers of old formats.")
        .support(Support::NoEffect("only the current record format exists")),
    Def::new("message.format.version", Kind::Text, None, "The record format to write.")
        .support(Support::Dropped),
    Def::new(
        "message.timestamp.after.max.ms",
        LONG,
        Some("3600000"),
        "How far a record's timestamp may be ahead of the broker's clock (CreateTime only).",
    )
    .synonyms(&[named("log.message.timestamp.after.max.ms")]),
    Def::new(
        "message.timestamp.before.max.ms",
        LONG,
        Some(LONG_MAX),
        "How far a record's timestamp may be behind the broker's clock (CreateTime only).",
    )
    .synonyms(&[named("log.message.timestamp.before.max.ms")]),
    Def::new(
        "message.timestamp.type",
        Kind::Choice(&["CreateTime", "LogAppendTime"]),
        Some("CreateTime"),
        "Whose clock stamps records: the producer's, or the broker's at append.",
    )
    .synonyms(&[named("log.message.timestamp.type")]),
    Def::new(
        "min.cleanable.dirty.ratio",
        Kind::Double(0.0, 1.0),
        Some("0.5"),
        "Share of uncompacted bytes above which a log is compacted.",
    )
    .synonyms(&[named("log.cleaner.min.cleanable.ratio")]),
    Def::new("min.compaction.lag.ms", LONG, Some("0"), "How long a record stays uncompacted at least.")
        .synonyms(&[named("log.cleaner.min.compaction.lag.ms")]),
    Def::new(
        "min.insync.replicas",
        Kind::Int(1, i16::MAX as i32),
        Some("1"),
        "In-sync replicas without which acks=all is refused.",
    )
    .synonyms(&[named("min.insync.replicas")]),
    Def::new("preallocate", Kind::Bool, Some("false"), "Allocate a segment's file at its creation.")
        .synonyms(&[named("log.preallocate")])
    .support(Support::NoEffect("segments are allocated in steps as they grow")),
    Def::new(
        "remote.copy.lag.bytes",
        Kind::Long(-1, i64::MAX),
        Some("0"),
        "How much of a tiered topic stays uncopied, in bytes.",
    )
    .support(NO_TIERING),
    Def::new(
        "remote.copy.lag.ms",
        Kind::Long(-1, i64::MAX),
        Some("0"),
        "How long a segment of a tiered topic stays uncopied.",
    )
    .support(NO_TIERING),
    Def::new(
        "remote.log.copy.disable",
        Kind::Bool,
        Some("false"),
        "Stops copying a tiered topic to remote storage.",
    )
    .support(NO_TIERING),
    Def::new(
        "remote.log.delete.on.disable",
        Kind::Bool,
        Some("false"),
        "Deletes remote data when tiering is disabled.",
    )
    .support(NO_TIERING),
    Def::new("remote.storage.enable", Kind::Bool, Some("false"), "Keeps old segments in remote storage.")
        .refuse(refuse_tiering),
    Def::new(
        "retention.bytes",
        Kind::Long(-1, i64::MAX),
        Some("-1"),
        "Bytes of a partition above which old segments are deleted. -1: no limit.",
    )
    .synonyms(&[named("log.retention.bytes")]),
    Def::new(
        "retention.ms",
        Kind::Long(-1, i64::MAX),
        Some("604800000"),
        "Age at which segments are deleted, by their newest record. -1: never.",
    )
    .synonyms(&[
        named("log.retention.ms"),
        Synonym { name: "log.retention.minutes", scale: 60_000 },
        Synonym { name: "log.retention.hours", scale: HOUR },
    ]),
    Def::new(
        "segment.bytes",
        Kind::Int(1024 * 1024, i32::MAX),
        Some("1073741824"),
        "Size at which a new segment is begun.",
    )
    .synonyms(&[named("log.segment.bytes")]),
    Def::new(
        "segment.index.bytes",
        Kind::Int(4, i32::MAX),
        Some("10485760"),
        "Size of an index at which a new segment is begun (at least 4096 in effect).",
    )
    .synonyms(&[named("log.index.size.max.bytes")]),
    Def::new(
        "segment.jitter.ms",
        LONG,
        Some("0"),
        "Largest random amount taken off segment.ms, so that partitions do not roll together.",
    )
    .synonyms(&[
        named("log.roll.jitter.ms"),
        Synonym { name: "log.roll.jitter.hours", scale: HOUR },
    ]),
    Def::new(
        "segment.ms",
        Kind::Long(1, i64::MAX),
        Some("604800000"),
        "Age at which a new segment is begun even if the old one is not full.",
    )
    .synonyms(&[named("log.roll.ms"), Synonym { name: "log.roll.hours", scale: HOUR }]),
    Def::new(
        "unclean.leader.election.enable",
        Kind::Bool,
        Some("false"),
        "Lets a replica that missed records become leader.",
    )
    .synonyms(&[named("unclean.leader.election.enable")])
    .support(Support::NoEffect("replication does not exist yet")),
];
