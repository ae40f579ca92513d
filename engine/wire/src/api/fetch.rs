//! Fetch (1): the hot path out. A decoded request or response is a view on its frame; a response is
//! streamed through [`ResponseWriter`], which leaves a splice where the records of a partition go.

use std::borrow::Cow;

use uuid::Uuid;

use super::topics::Topics;
use super::{LeaderIdAndEpoch, NodeEndpoint};
use crate::codec::{Field, List, Records, Shape, Writer};
use crate::{ApiKey, ErrorCode, Message};

message! {
    /// Asks for records.
    pub struct Request<'a> {
        /// Node id of a follower that fetches, -1 for a consumer.
        0..=14 => replica_id: i32 = -1;
        /// How long to wait for `min_bytes`, in ms.
        0.. => max_wait_ms: i32;
        /// Fewest bytes worth answering.
        0.. => min_bytes: i32;
        /// Most bytes of the whole response; the first batch comes whole all the same.
        3.. => max_bytes: i32 = i32::MAX;
        /// 0: read uncommitted, 1: read committed.
        4.. => isolation_level: i8;
        /// The fetch session, 0 for none.
        7.. => session_id: i32;
        /// Its epoch: 0 opens a session, -1 is sessionless or closes.
        7.. => session_epoch: i32 = -1;
        /// The topics, in the order in which they are to be served.
        0.. => topics: List<'a, Topic<'a>>;
        /// Topics to drop from the session.
        7.. => forgotten_topics_data: List<'a, ForgottenTopic<'a>>;
        /// The consumer's rack, empty for none.
        11.. => rack_id: &'a str;
    }
    tags {
        /// The cluster that a follower believes to be in.
        0, 12.. => cluster_id: Option<&'a str>;
        /// The follower that fetches.
        1, 15.. => replica_state: ReplicaState;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::Fetch;
}

message! {
    /// A follower that fetches.
    pub struct ReplicaState {
        /// Node id, -1 for a consumer.
        15.. => replica_id: i32 = -1;
        /// Broker epoch, -1 for none.
        15.. => replica_epoch: i64 = -1;
    }
}

message! {
    /// A topic to fetch.
    pub struct Topic<'a> {
        /// Its name.
        0..=12 => topic: &'a str;
        /// Its id.
        13.. => topic_id: Uuid;
        /// The partitions.
        0.. => partitions: List<'a, Partition>;
    }
}

message! {
    /// A partition to fetch.
    pub struct Partition {
        /// Its number.
        0.. => partition: i32;
        /// The leader epoch that the client knows, -1 to skip the check.
        9.. => current_leader_epoch: i32 = -1;
        /// The offset to start from.
        0.. => fetch_offset: i64;
        /// Epoch of the last record that was fetched, -1 for none.
        12.. => last_fetched_epoch: i32 = -1;
        /// A follower's log start, -1 from a consumer.
        5.. => log_start_offset: i64 = -1;
        /// Most bytes of this partition.
        0.. => partition_max_bytes: i32;
    }
    tags {
        /// The directory of a follower.
        0, 17.. => replica_directory_id: Uuid;
        /// The high watermark that a follower knows, -1 if it knows none (KIP-1166). A consumer has none.
        1, 18.. => high_watermark: i64 = i64::MAX;
    }
}

message! {
    /// A topic to drop from the session.
    pub struct ForgottenTopic<'a> {
        /// Its name.
        7..=12 => topic: &'a str;
        /// Its id.
        13.. => topic_id: Uuid;
        /// The partitions.
        7.. => partitions: List<'a, i32>;
    }
}

message! {
    /// Records. Decoded, it is a view on the frame.
    pub struct Response<'a> {
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
        /// An error of the whole request: of the session, or of topic ids.
        7.. => error_code: ErrorCode;
        /// The fetch session, 0 for none.
        7.. => session_id: i32;
        /// The topics.
        0.. => responses: List<'a, TopicResponse<'a>>;
    }
    tags {
        /// Where the current leaders named above can be reached.
        0, 16.. => node_endpoints: Vec<NodeEndpoint<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::Fetch;
}

message! {
    /// Records of a topic.
    pub struct TopicResponse<'a> {
        /// Its name.
        0..=12 => topic: Cow<'a, str>;
        /// Its id.
        13.. => topic_id: Uuid;
        /// The partitions.
        0.. => partitions: List<'a, PartitionData<'a>>;
    }
}

message! {
    /// Records of a partition.
    pub struct PartitionData<'a> {
        /// Its number.
        0.. => partition_index: i32;
        /// Whether it could be read.
        0.. => error_code: ErrorCode;
        /// The high watermark, -1 on error.
        0.. => high_watermark: i64;
        /// The last stable offset, -1 on error.
        4.. => last_stable_offset: i64 = -1;
        /// First offset of the log, -1 on error.
        5.. => log_start_offset: i64 = -1;
        /// Aborted transactions in the range, ascending; null for read uncommitted.
        4.. => aborted_transactions: Option<Vec<AbortedTransaction>> = Some(Vec::new());
        /// Node id of a nearer replica, -1 for none.
        11.. => preferred_read_replica: i32 = -1;
        /// Whole record batches, the last one perhaps cut.
        0.. => records: Records<'a>;
    }
    tags {
        /// Where the client's log leaves the leader's.
        0, 12.. => diverging_epoch: EpochEndOffset;
        /// Who leads now, with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH.
        1, 12.. => current_leader: LeaderIdAndEpoch;
        /// A snapshot to fetch instead. Between members of the quorum only.
        2, 12.. => snapshot_id: SnapshotId;
    }
}

message! {
    /// A transaction that was aborted.
    pub struct AbortedTransaction {
        /// The producer.
        4.. => producer_id: i64;
        /// Its first offset.
        4.. => first_offset: i64;
    }
}

message! {
    /// The end of an epoch in the leader's log. The default, -1 and -1, means none.
    pub struct EpochEndOffset {
        /// The epoch.
        12.. => epoch: i32 = -1;
        /// Offset behind its last record.
        12.. => end_offset: i64 = -1;
    }
}

message! {
    /// A snapshot. The default, -1 and -1, means none.
    pub struct SnapshotId {
        /// Offset behind its last record.
        0.. => end_offset: i64 = -1;
        /// Its epoch.
        0.. => epoch: i32 = -1;
    }
}

message! {
    /// What stands in front of the topics of a response.
    pub struct ResponseStart {
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
        /// An error of the whole request.
        7.. => error_code: ErrorCode;
        /// The fetch session, 0 for none.
        7.. => session_id: i32;
    }
}

/// Streams a response body: topics, each with its partitions, then [`finish`](Self::finish).
///
/// The splices of the [`Writer`] are the partitions with records, in order.
///
/// # Panics
/// Any method panics when topics or partitions differ in number from what was announced.
#[derive(Debug)]
#[must_use = "the response ends with `finish`"]
pub struct ResponseWriter<'w> {
    w: &'w mut Writer,
    shape: Shape,
    nesting: Topics,
}

impl<'w> ResponseWriter<'w> {
    /// Starts a body of `version` (one that is served) with that many topics.
    pub fn new(version: i16, start: &ResponseStart, topics: usize, w: &'w mut Writer) -> Self {
        let shape = ApiKey::Fetch.shape(version).expect("a served version");
        // Not a struct of its own on the wire: its fields stand in the body, without tags.
        start.write(w, Shape { flexible: false, ..shape });
        let nesting = Topics::begin(topics, shape, w);
        Self { w, shape, nesting }
    }

    /// Starts a topic: by name below version 13, by id from there.
    pub fn topic(&mut self, name: &str, topic_id: Uuid, partitions: usize) {
        if self.shape.version >= 13 {
            self.w.uuid(topic_id);
        } else {
            self.w.string(Some(name), self.shape);
        }
        self.nesting.topic(partitions, self.w);
    }

    /// Writes a partition. Its records are [`Records::Splice`] (or null, or empty).
    pub fn partition(&mut self, partition: &PartitionData<'_>) {
        partition.write(self.w, self.shape);
        self.nesting.partition(self.w);
    }

    /// Ends the body.
    pub fn finish(self, end: &ResponseEnd<'_>) {
        self.nesting.end();
        end.write(self.w, self.shape);
    }
}

message! {
    /// What follows the topics of a response.
    pub struct ResponseEnd<'a> {
    }
    tags {
        /// Where the current leaders that the partitions named can be reached.
        0, 16.. => node_endpoints: Vec<NodeEndpoint<'a>>;
    }
}
