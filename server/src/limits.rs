//! Bounds that no setting moves.

/// Requests of one connection that may wait for their replies. One more stops reading from it.
pub const SLOTS_MAX: usize = 256;

/// Reply bytes of one connection that may wait to be sent. Beyond, reading from it stops.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024;

/// The largest request that is not a Produce, in bytes. Decoded, and answered, a request may take a
/// constant times its bytes, so this bounds what one of them costs.
pub const SMALL_REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Topics, resources or keys that one request may name, where each is answered by itself.
pub const ITEMS_PER_REQUEST_MAX: usize = 20_000;

/// Resources whose settings one request may ask for: each answer is some thousand bytes.
pub const DESCRIBED_PER_REQUEST_MAX: usize = 1000;

/// Bytes that one answer tells of groups, before the last of them. Those behind it are answered
/// COORDINATOR_NOT_AVAILABLE, with which clients ask for them again.
pub const GROUPS_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Producers that one answer describes; the partition that passes it is the last.
pub const PRODUCERS_PER_ANSWER_MAX: usize = 20_000;

/// Partitions of a fetch whose memory is kept for the connection's next one.
pub const FETCH_KEPT_MAX: usize = 1024;

/// Bytes that the fetch sessions of one core take at most. Beyond, older ones give way by the rule of
/// KIP-227, or the client fetches without a session.
pub const FETCH_SESSION_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of mail to one other core that may wait. Beyond, the connections that write it wait.
pub const MAIL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Partitions of one fetch that wake it as they grow. Those of a larger one are looked at again
/// at short intervals.
pub const WATCHED_MAX: usize = 4096;

/// Topics that one request may create or delete.
pub const TOPICS_PER_REQUEST_MAX: usize = 1000;

/// Committed offsets of groups that the metrics page names, on all cores together. How many more there are
/// is one of its figures.
pub const GROUP_SERIES_MAX: usize = 5000;

/// Bytes of group and topic names among them: a group's id may have 32 KiB.
pub const GROUP_SERIES_BYTES_MAX: usize = 1024 * 1024;

/// Partitions of one core that are asked at a time how far groups are behind in them.
pub const LAG_ASKED_MAX: usize = 256;

/// Of those, for one page, partitions whose disk is asked how old the first unread record is. The others'
/// age is told when a later page comes to them.
pub const LAG_COLD_READS_MAX: usize = 16;
