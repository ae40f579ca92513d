//! The table of broker settings.

use super::BATCH_BYTES_MAX;
use super::def::{Def, Kind, list_items};

const LONG_MAX: &str = "9223372036854775807";
const LONG: Kind = Kind::Long(0, i64::MAX);
const HOURS: Kind = Kind::Int(-1, i32::MAX);

/// Node ids leave room for one virtual node per core within 31 bits.
const NODE_ID_MAX: i32 = 1_000_000;

fn refuse_compaction(value: &str) -> Option<&'static str> {
    let delete_only = list_items(value).eq(["delete"]);
    (!delete_only).then_some("log compaction does not exist yet; only delete is supported")
}

fn refuse_recompression(value: &str) -> Option<&'static str> {
    (value != "producer").then_some(
        "the broker does not recompress; only producer is supported (set the codec in the producer)",
    )
}

fn refuse_two_directories(value: &str) -> Option<&'static str> {
    match list_items(value).count() {
        0 => Some("it must name a directory"),
        1 => None,
        _ => Some("only one data directory is supported"),
    }
}

/// Every broker setting, by name.
pub const DEFS: &[Def] = &[
    Def::new(
        "advertised.listeners",
        Kind::Text,
        None,
        "Addresses that clients are told to connect to, as NAME://host:port, one for each listener that is not \
         advertised as it is. Never 0.0.0.0. Port 0 stands for the port that was bound. Default: listeners.",
    )
    .fixed(),
    Def::new(
        "auto.create.topics.enable",
        Kind::Bool,
        Some("true"),
        "Creates a topic when a client asks for one that does not exist.",
    )
    .fixed(),
    Def::new("broker.rack", Kind::Text, None, "The rack this broker stands in, told to clients.").fixed(),
    Def::new(
        "compression.type",
        Kind::Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        Some("producer"),
        "The codec of stored batches. producer keeps what the producer chose.",
    )
    .refuse(refuse_recompression),
    Def::new(
        "connections.max.idle.ms",
        Kind::Long(-1, i64::MAX),
        Some("600000"),
        "A connection without a request for this long is closed. -1: never.",
    )
    .fixed(),
    Def::new(
        "default.replication.factor",
        Kind::Int(1, i16::MAX as i32),
        Some("1"),
        "Replicas of a topic created without a count.",
    )
    .fixed(),
    Def::new(
        "delete.topic.enable",
        Kind::Bool,
        Some("true"),
        "Whether topics can be deleted.",
    )
    .fixed(),
    Def::new(
        "fetch.max.bytes",
        Kind::Int(1024, i32::MAX),
        Some("57671680"),
        "The most bytes of records in one answer to a fetch (the first batch always comes whole).",
    )
    .fixed(),
    Def::new(
        "group.initial.rebalance.delay.ms",
        Kind::Int(0, i32::MAX),
        Some("3000"),
        "How long the first rebalance of an empty group waits for more members, ms.",
    )
    .fixed(),
    Def::new(
        "group.max.session.timeout.ms",
        Kind::Int(1, i32::MAX),
        Some("1800000"),
        "The longest session time-out that a member may ask for, ms.",
    )
    .fixed(),
    Def::new(
        "group.max.size",
        Kind::Int(1, i32::MAX),
        Some("2147483647"),
        "The most members of a group.",
    )
    .fixed(),
    Def::new(
        "group.min.session.timeout.ms",
        Kind::Int(1, i32::MAX),
        Some("6000"),
        "The shortest session time-out that a member may ask for, ms.",
    )
    .fixed(),
    Def::new(
        "listener.security.protocol.map",
        Kind::Text,
        Some("PLAINTEXT:PLAINTEXT"),
        "Which protocol each listener name stands for, as NAME:PROTOCOL. Only PLAINTEXT exists so far.",
    )
    .fixed(),
    Def::new(
        "listeners",
        Kind::Text,
        Some("PLAINTEXT://127.0.0.1:9092"),
        "Addresses to listen on, as NAME://host:port, comma-separated (a bare host:port is named PLAINTEXT). Port 0 \
         takes a free one. Kafka listens on all interfaces by default; here that must be asked for.",
    )
    .fixed(),
    Def::new("log.cleanup.policy", Kind::List(&["delete", "compact"]), Some("delete"), "Default of cleanup.policy.")
        .refuse(refuse_compaction),
    Def::new("log.dirs", Kind::Text, Some("data"), "The data directory.").fixed().refuse(refuse_two_directories),
    Def::new(
        "log.flush.interval.messages",
        Kind::Long(1, i64::MAX),
        Some("1"),
        "Default of flush.messages. 1 here (Kafka's is no limit): acknowledged means flushed to disk.",
    ),
    Def::new("log.flush.interval.ms", LONG, None, "Default of flush.ms."),
    Def::new("log.index.interval.bytes", Kind::Int(0, i32::MAX), Some("4096"), "Default of index.interval.bytes."),
    Def::new("log.index.size.max.bytes", Kind::Int(4, i32::MAX), Some("10485760"), "Default of segment.index.bytes."),
    Def::new(
        "log.message.timestamp.after.max.ms",
        LONG,
        Some("3600000"),
        "Default of message.timestamp.after.max.ms.",
    ),
    Def::new(
        "log.message.timestamp.before.max.ms",
        LONG,
        Some(LONG_MAX),
        "Default of message.timestamp.before.max.ms.",
    ),
    Def::new(
        "log.message.timestamp.type",
        Kind::Choice(&["CreateTime", "LogAppendTime"]),
        Some("CreateTime"),
        "Default of message.timestamp.type.",
    ),
    Def::new("log.retention.bytes", Kind::Long(-1, i64::MAX), Some("-1"), "Default of retention.bytes."),
    Def::new(
        "log.retention.check.interval.ms",
        Kind::Long(1, i64::MAX),
        Some("300000"),
        "How often retention looks for segments to delete.",
    )
    .fixed(),
    Def::new("log.retention.hours", HOURS, Some("168"), "Default of retention.ms, in hours; the minutes and ms go first.")
        .fixed(),
    Def::new("log.retention.minutes", HOURS, None, "Default of retention.ms, in minutes; the ms go first.").fixed(),
    Def::new("log.retention.ms", Kind::Long(-1, i64::MAX), None, "Default of retention.ms."),
    Def::new("log.roll.hours", Kind::Int(1, i32::MAX), Some("168"), "Default of segment.ms, in hours; the ms go first.")
        .fixed(),
    Def::new("log.roll.jitter.hours", Kind::Int(0, i32::MAX), Some("0"), "Default of segment.jitter.ms, in hours.")
        .fixed(),
    Def::new("log.roll.jitter.ms", LONG, None, "Default of segment.jitter.ms."),
    Def::new("log.roll.ms", Kind::Long(1, i64::MAX), None, "Default of segment.ms."),
    Def::new("log.segment.bytes", Kind::Int(1024 * 1024, i32::MAX), Some("1073741824"), "Default of segment.bytes."),
    Def::new("log.segment.delete.delay.ms", LONG, Some("60000"), "Default of file.delete.delay.ms."),
    Def::new("max.connections", Kind::Int(0, i32::MAX), Some("2147483647"), "The most connections at one time."),
    Def::new(
        "max.connections.per.ip",
        Kind::Int(0, i32::MAX),
        Some("2147483647"),
        "The most connections from one address at one time.",
    ),
    Def::new(
        "message.max.bytes",
        Kind::Int(0, BATCH_BYTES_MAX as i32),
        Some("1048588"),
        "Default of max.message.bytes.",
    ),
    Def::new(
        "min.insync.replicas",
        Kind::Int(1, i16::MAX as i32),
        Some("1"),
        "Default of the topic setting of the same name.",
    ),
    Def::new("node.id", Kind::Int(0, NODE_ID_MAX), Some("1"), "This broker's id in its cluster.").fixed(),
    Def::new("num.partitions", Kind::Int(1, i32::MAX), Some("1"), "Partitions of a topic created without a count.")
        .fixed(),
    Def::new(
        "offset.metadata.max.bytes",
        Kind::Int(0, i32::MAX),
        Some("4096"),
        "The longest text beside a committed offset, bytes.",
    )
    .fixed(),
    Def::new(
        "offsets.retention.check.interval.ms",
        Kind::Long(1, i64::MAX),
        Some("600000"),
        "How often committed offsets are looked through for those that are no longer kept, ms.",
    )
    .fixed(),
    Def::new(
        "offsets.retention.minutes",
        Kind::Int(1, i32::MAX),
        Some("10080"),
        "How long committed offsets outlive the last use of their group.",
    )
    .fixed(),
    Def::new(
        "offsets.topic.num.partitions",
        Kind::Int(1, 10_000),
        Some("50"),
        "Partitions of __consumer_offsets; counts only when the topic is created.",
    )
    .fixed(),
    Def::new(
        "offsets.topic.segment.bytes",
        Kind::Int(1 << 20, i32::MAX),
        Some("104857600"),
        "segment.bytes of __consumer_offsets; counts only when the topic is created.",
    )
    .fixed(),
    Def::new(
        "producer.id.expiration.ms",
        Kind::Int(1, i32::MAX),
        Some("86400000"),
        "How long an idle idempotent producer's sequence numbers are remembered.",
    ),
    Def::new(
        "socket.request.max.bytes",
        Kind::Int(1, i32::MAX),
        Some("104857600"),
        "The largest request accepted; a larger one closes its connection.",
    )
    .fixed(),
    Def::new(
        "unclean.leader.election.enable",
        Kind::Bool,
        Some("false"),
        "Default of the topic setting of the same name.",
    )
    .support(super::Support::NoEffect("replication does not exist yet")),
];
