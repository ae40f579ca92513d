//! The table of broker settings.

use super::BATCH_BYTES_MAX;
use super::def::{Def, Kind, Support, list_items};

const LONG_MAX: &str = "9223372036854775807";
const LONG: Kind = Kind::Long(0, i64::MAX);
const HOURS: Kind = Kind::Int(-1, i32::MAX);

const NO_REPLICATION: Support = Support::NoEffect("replication does not exist yet");
const NO_SHARE_GROUPS: Support = Support::NoEffect("share groups do not exist yet");
const NO_TIERING: Support = Support::NoEffect("tiered storage does not exist yet");
const NO_TRANSACTIONS: Support = Support::NoEffect("transactions do not exist yet");
const PASS_THROUGH: Support = Support::NoEffect("batches are stored as the producer compressed them");
const KERNEL_BUFFERS: Support = Support::NoEffect("the kernel sizes them by the connection's speed");
const OWN_THREADS: Support = Support::NoEffect("there is one thread per core; server.cores says which");

/// Node ids leave room for one virtual node per core within 31 bits.
const NODE_ID_MAX: i32 = 1_000_000;

fn refuse_no_policy(value: &str) -> Option<&'static str> {
    list_items(value).next().is_none().then_some("it must not be empty: delete, compact, or both")
}

fn refuse_recompression(value: &str) -> Option<&'static str> {
    (value != "producer").then_some(
        "the broker does not recompress; only producer is supported (set the codec in the producer)",
    )
}

fn refuse_connection_rate(value: &str) -> Option<&'static str> {
    (value != "2147483647").then_some("the rate of new connections cannot be limited yet")
}

fn refuse_no_assignor(value: &str) -> Option<&'static str> {
    list_items(value).next().is_none().then_some("it must name an assignor")
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
    Def::new("auto.leader.rebalance.enable", Kind::Bool, Some("true"), "Gives leadership back to preferred replicas.")
        .unused(NO_REPLICATION),
    Def::new("background.threads", Kind::Int(1, i32::MAX), Some("10"), "Threads for background work.")
        .unused(OWN_THREADS),
    Def::new("broker.rack", Kind::Text, None, "The rack this broker stands in, told to clients.").fixed(),
    Def::new("compression.gzip.level", Kind::Int(-1, 9), Some("-1"), "Default of the topic setting of the same name.")
        .unused(PASS_THROUGH),
    Def::new("compression.lz4.level", Kind::Int(1, 17), Some("9"), "Default of the topic setting of the same name.")
        .unused(PASS_THROUGH),
    Def::new(
        "compression.type",
        Kind::Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        Some("producer"),
        "The codec of stored batches. producer keeps what the producer chose.",
    )
    .refuse(refuse_recompression),
    Def::new("compression.zstd.level", Kind::Int(-131_072, 22), Some("3"), "Default of the topic setting of the same name.")
        .unused(PASS_THROUGH),
    Def::new("connection.failed.authentication.delay.ms", Kind::Int(0, i32::MAX), Some("100"), "How long a failed authentication is answered late.")
        .unused(Support::NoEffect("nobody authenticates yet")),
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
        "group.consumer.assignors",
        Kind::List(&["uniform", "range"]),
        Some("uniform,range"),
        "Assignors of groups of the new protocol; the first is the default.",
    )
    .fixed()
    .refuse(refuse_no_assignor),
    Def::new(
        "group.consumer.heartbeat.interval.ms",
        Kind::Int(1, i32::MAX),
        Some("5000"),
        "How often members of the new group protocol are told to call, ms.",
    )
    .fixed(),
    Def::new(
        "group.consumer.max.heartbeat.interval.ms",
        Kind::Int(1, i32::MAX),
        Some("15000"),
        "The upper bound of group.consumer.heartbeat.interval.ms.",
    )
    .fixed(),
    Def::new(
        "group.consumer.max.session.timeout.ms",
        Kind::Int(1, i32::MAX),
        Some("60000"),
        "The upper bound of group.consumer.session.timeout.ms.",
    )
    .fixed(),
    Def::new(
        "group.consumer.max.size",
        Kind::Int(1, i32::MAX),
        Some("2147483647"),
        "The most members of a group of the new protocol.",
    )
    .fixed(),
    Def::new(
        "group.consumer.migration.policy",
        Kind::Choice(&["disabled", "upgrade", "downgrade", "bidirectional"]),
        Some("bidirectional"),
        "Whether a group with members may change between the classic and the new protocol.",
    )
    .fixed(),
    Def::new(
        "group.consumer.min.heartbeat.interval.ms",
        Kind::Int(1, i32::MAX),
        Some("5000"),
        "The lower bound of group.consumer.heartbeat.interval.ms.",
    )
    .fixed(),
    Def::new(
        "group.consumer.min.session.timeout.ms",
        Kind::Int(1, i32::MAX),
        Some("45000"),
        "The lower bound of group.consumer.session.timeout.ms.",
    )
    .fixed(),
    Def::new(
        "group.consumer.session.timeout.ms",
        Kind::Int(1, i32::MAX),
        Some("45000"),
        "How long a member of the new group protocol may be silent, ms.",
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
    Def::new("group.share.delivery.count.limit", Kind::Int(2, 10), Some("5"), "Times that a share group is given a record.")
        .unused(NO_SHARE_GROUPS),
    Def::new("group.share.partition.max.record.locks", Kind::Int(100, 10_000), Some("2000"), "Records of a partition that a share group holds at a time.")
        .unused(NO_SHARE_GROUPS),
    Def::new("group.share.record.lock.duration.ms", Kind::Int(1000, 3_600_000), Some("30000"), "How long a share group holds a record.")
        .unused(NO_SHARE_GROUPS),
    Def::new("leader.imbalance.check.interval.seconds", Kind::Long(1, i64::MAX), Some("300"), "How often leadership is balanced.")
        .unused(NO_REPLICATION),
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
    Def::new(
        "log.cleaner.backoff.ms",
        LONG,
        Some("15000"),
        "How long compaction rests when no log is due for it.",
    ),
    Def::new(
        "log.cleaner.dedupe.buffer.size",
        Kind::Long(1024 * 1024, i64::MAX),
        Some("134217728"),
        "Memory for the keys of a round of compaction, in bytes, shared by all cores; 24 bytes a key. It is taken \
         only while a round lasts, and no more of it than the round has records.",
    ),
    Def::new("log.cleaner.delete.retention.ms", LONG, Some("86400000"), "Default of delete.retention.ms."),
    Def::new("log.cleaner.enable", Kind::Bool, Some("true"), "Whether logs are compacted at all."),
    Def::new(
        "log.cleaner.io.buffer.load.factor",
        Kind::Double(0.0, 1.0),
        Some("0.9"),
        "How full the memory for keys may be.",
    ),
    Def::new("log.cleaner.io.buffer.size", Kind::Int(0, i32::MAX), Some("524288"), "Memory for compaction's I/O.")
        .unused(Support::NoEffect("a core reads 512 KiB at a time, from its I/O pool")),
    Def::new(
        "log.cleaner.io.max.bytes.per.second",
        Kind::Double(1.0, f64::MAX),
        Some("1.7976931348623157E308"),
        "Bytes a second that compaction reads and writes at most, on all cores together.",
    ),
    Def::new("log.cleaner.max.compaction.lag.ms", Kind::Long(1, i64::MAX), Some("9223372036854775807"), "Default of max.compaction.lag.ms."),
    Def::new("log.cleaner.min.cleanable.ratio", Kind::Double(0.0, 1.0), Some("0.5"), "Default of min.cleanable.dirty.ratio."),
    Def::new("log.cleaner.min.compaction.lag.ms", LONG, Some("0"), "Default of min.compaction.lag.ms."),
    Def::new("log.cleaner.threads", Kind::Int(0, i32::MAX), Some("1"), "Threads that compact.")
        .unused(OWN_THREADS),
    Def::new("log.cleanup.policy", Kind::List(&["delete", "compact"]), Some("delete"), "Default of cleanup.policy.")
        .refuse(refuse_no_policy),
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
    Def::new("log.local.retention.bytes", Kind::Long(-2, i64::MAX), Some("-2"), "Default of local.retention.bytes.")
        .unused(NO_TIERING),
    Def::new("log.local.retention.ms", Kind::Long(-2, i64::MAX), Some("-2"), "Default of local.retention.ms.")
        .unused(NO_TIERING),
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
    Def::new("log.preallocate", Kind::Bool, Some("false"), "Default of preallocate.")
        .unused(Support::NoEffect("segments are allocated in steps as they grow")),
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
    Def::new(
        "log.scrub.interval.ms",
        Kind::Long(1, i64::MAX),
        Some("604800000"),
        "How far apart passes of the scrub begin, which reads every segment to find damage; one at a time.",
    ),
    Def::new(
        "log.scrub.io.max.bytes.per.second",
        LONG,
        Some("10485760"),
        "How fast the scrub reads, bytes per second of the whole broker, shared by the cores; 0 turns it off.",
    ),
    Def::new("log.segment.bytes", Kind::Int(1024 * 1024, i32::MAX), Some("1073741824"), "Default of segment.bytes."),
    Def::new("log.segment.delete.delay.ms", LONG, Some("60000"), "Default of file.delete.delay.ms."),
    Def::new(
        "max.connection.creation.rate",
        Kind::Int(0, i32::MAX),
        Some("2147483647"),
        "The most new connections per second.",
    )
    .fixed()
    .refuse(refuse_connection_rate),
    Def::new("max.connections", Kind::Int(0, i32::MAX), Some("2147483647"), "The most connections at one time."),
    Def::new(
        "max.connections.per.ip",
        Kind::Int(0, i32::MAX),
        Some("2147483647"),
        "The most connections from one address at one time.",
    ),
    Def::new(
        "max.incremental.fetch.session.cache.slots",
        Kind::Int(0, i32::MAX),
        Some("1000"),
        "The most incremental fetch sessions (KIP-227), shared by the cores. A client beyond them fetches without one.",
    )
    .fixed(),
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
    Def::new("num.io.threads", Kind::Int(1, i32::MAX), Some("8"), "Threads that serve requests.")
        .unused(OWN_THREADS),
    Def::new("num.network.threads", Kind::Int(1, i32::MAX), Some("3"), "Threads that receive and send.")
        .unused(OWN_THREADS),
    Def::new("num.partitions", Kind::Int(1, i32::MAX), Some("1"), "Partitions of a topic created without a count.")
        .fixed(),
    Def::new("num.recovery.threads.per.data.dir", Kind::Int(1, i32::MAX), Some("2"), "Threads that recover logs after a crash.")
        .unused(Support::NoEffect("recovery reads journals on one core")),
    Def::new("num.replica.fetchers", Kind::Int(1, i32::MAX), Some("1"), "Connections that replicate from each broker.")
        .unused(NO_REPLICATION),
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
        "offsets.topic.replication.factor",
        Kind::Short(1, i16::MAX),
        Some("3"),
        "Replicas of __consumer_offsets; as many as there are live brokers if those are fewer. Counts only when \
         the topic is created.",
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
    Def::new("replica.fetch.max.bytes", Kind::Int(0, i32::MAX), Some("1048576"), "Bytes of a partition that replication reads at a time.")
        .unused(NO_REPLICATION),
    Def::new("replica.lag.time.max.ms", Kind::Long(0, i64::MAX), Some("30000"), "How long a replica may lag before it leaves the in-sync set.")
        .unused(NO_REPLICATION),
    Def::new("replica.selector.class", Kind::Text, None, "Chooses the replica that consumers read from.")
        .unused(NO_REPLICATION),
    Def::new(
        "ringlog.disk.ballast.bytes",
        LONG,
        Some("67108864"),
        "Size of a file that holds nothing and is removed when the disk is full, so that the broker can start, take \
         deletions and move what it acknowledged from its journals to its segments there; made again when there is \
         space. At least half of memory.pool_bytes is sensible; 0 keeps none. Kafka has no such setting.",
    ),
    Def::new(
        "ringlog.disk.floor.bytes",
        Kind::Long(-1, i64::MAX),
        Some("-1"),
        "Free space of the data directory's file system below which producers get KAFKA_STORAGE_ERROR, which they \
         retry; reads, deletions and retention go on, and commits until 16 MiB are left (half of the floor if that is \
         less). Producers are served again an eighth above it. -1: 5 % of the file system, 1 GiB at most. 0: never \
         refused before the disk does. Kafka has no such setting.",
    ),
    Def::new("socket.receive.buffer.bytes", Kind::Int(-1, i32::MAX), Some("102400"), "The kernel's receive buffer of a connection. -1: its default.")
        .unused(KERNEL_BUFFERS),
    Def::new(
        "socket.request.max.bytes",
        Kind::Int(1, i32::MAX),
        Some("104857600"),
        "The largest request accepted; a larger one closes its connection.",
    )
    .fixed(),
    Def::new("socket.send.buffer.bytes", Kind::Int(-1, i32::MAX), Some("102400"), "The kernel's send buffer of a connection. -1: its default.")
        .unused(KERNEL_BUFFERS),
    Def::new("transaction.max.timeout.ms", Kind::Int(1, i32::MAX), Some("900000"), "The longest time-out that a transaction may ask for.")
        .unused(NO_TRANSACTIONS),
    Def::new("transaction.state.log.min.isr", Kind::Int(1, i32::MAX), Some("2"), "min.insync.replicas of __transaction_state.")
        .unused(NO_TRANSACTIONS),
    Def::new("transaction.state.log.num.partitions", Kind::Int(1, i32::MAX), Some("50"), "Partitions of __transaction_state.")
        .unused(NO_TRANSACTIONS),
    Def::new("transaction.state.log.replication.factor", Kind::Short(1, i16::MAX), Some("3"), "Replicas of __transaction_state.")
        .unused(NO_TRANSACTIONS),
    Def::new("transactional.id.expiration.ms", Kind::Int(1, i32::MAX), Some("604800000"), "How long an unused transactional id is remembered.")
        .unused(NO_TRANSACTIONS),
    Def::new(
        "unclean.leader.election.enable",
        Kind::Bool,
        Some("false"),
        "Default of the topic setting of the same name.",
    )
    .unused(NO_REPLICATION),
];
