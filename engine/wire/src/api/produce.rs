//! Produce (0): the hot path in. Both directions allocate nothing: a decoded request is a view on
//! its frame, a response is streamed through [`ResponseWriter`].
//!
//! ```
//! use wire::{produce, List, Message, Reader, Records, Writer};
//!
//! // A client sends a batch that it has already built, without copying it …
//! let batch = [7u8; 100];
//! let partitions = [produce::PartitionData { index: 3, records: Records::Splice { bytes: batch.len() } }];
//! let topics = [produce::TopicData { name: "orders", partition_data: List::of(&partitions), ..Default::default() }];
//! let request = produce::Request { acks: -1, timeout_ms: 1000, topic_data: List::of(&topics), ..Default::default() };
//! let mut w = Writer::new();
//! request.encode(9, &mut w);
//! assert_eq!(w.splices()[0].bytes, 100);
//!
//! // … and the broker finds it in the frame.
//! let mut frame = w.head()[..w.splices()[0].at].to_vec();
//! frame.extend_from_slice(&batch);
//! frame.extend_from_slice(&w.head()[w.splices()[0].at..]);
//! let request = produce::Request::decode(9, &mut Reader::new(&frame)).unwrap();
//! let partition = request.topic_data.iter().next().unwrap().partition_data.iter().next().unwrap();
//! assert_eq!(&frame[partition.records.range().unwrap()], &batch);
//! ```

use std::borrow::Cow;

use uuid::Uuid;

use super::topics::Topics;
use super::{LeaderIdAndEpoch, NodeEndpoint};
use crate::codec::{Field, List, Records, Shape, Writer};
use crate::{ApiKey, ErrorCode, Message};

message! {
    /// Record batches to append.
    pub struct Request<'a> {
        /// Transactional id, if the producer has one.
        3.. => transactional_id: Option<&'a str>;
        /// -1: all in-sync replicas, 1: the leader, 0: no answer at all.
        0.. => acks: i16;
        /// How long the client waits for the replicas, in ms.
        0.. => timeout_ms: i32;
        /// The topics.
        0.. => topic_data: List<'a, TopicData<'a>>;
    }
}

impl<'a> Message<'a> for Request<'a> {
    const KEY: ApiKey = ApiKey::Produce;
}

message! {
    /// Batches for a topic.
    pub struct TopicData<'a> {
        /// Its name.
        0..=12 => name: &'a str;
        /// Its id.
        13.. => topic_id: Uuid;
        /// The partitions.
        0.. => partition_data: List<'a, PartitionData<'a>>;
    }
}

message! {
    /// Batches for a partition.
    pub struct PartitionData<'a> {
        /// Its number.
        0.. => index: i32;
        /// One record batch.
        0.. => records: Records<'a>;
    }
}

message! {
    /// Where the batches went. Decoded, it is a view on the frame.
    pub struct Response<'a> {
        /// The topics, in the order of the request.
        0.. => responses: List<'a, TopicResponse<'a>>;
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
    }
    tags {
        /// Where the current leaders named above can be reached.
        0, 10.. => node_endpoints: Vec<NodeEndpoint<'a>>;
    }
}

impl<'a> Message<'a> for Response<'a> {
    const KEY: ApiKey = ApiKey::Produce;
}

message! {
    /// Results of a topic.
    pub struct TopicResponse<'a> {
        /// Its name.
        0..=12 => name: Cow<'a, str>;
        /// Its id.
        13.. => topic_id: Uuid;
        /// The partitions.
        0.. => partition_responses: List<'a, PartitionResponse<'a>>;
    }
}

message! {
    /// Result of a partition.
    pub struct PartitionResponse<'a> {
        /// Its number.
        0.. => index: i32;
        /// Whether the batch was appended.
        0.. => error_code: ErrorCode;
        /// Offset of the first record, -1 on error.
        0.. => base_offset: i64;
        /// The broker's time if the topic stores append time, else -1.
        2.. => log_append_time_ms: i64 = -1;
        /// First offset of the log, -1 on error.
        5.. => log_start_offset: i64 = -1;
        /// The records that made the broker refuse the batch.
        8.. => record_errors: Vec<BatchIndexAndErrorMessage<'a>>;
        /// Text to the error.
        8.. => error_message: Option<Cow<'a, str>>;
    }
    tags {
        /// Who leads now, with NOT_LEADER_OR_FOLLOWER.
        0, 10.. => current_leader: LeaderIdAndEpoch;
    }
}

message! {
    /// A record that was refused.
    pub struct BatchIndexAndErrorMessage<'a> {
        /// Its index in the batch.
        8.. => batch_index: i32;
        /// Why.
        8.. => batch_index_error_message: Option<Cow<'a, str>>;
    }
}

/// Streams a response body: topics in request order, each with its partitions, then [`finish`](Self::finish).
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
    pub fn new(version: i16, topics: usize, w: &'w mut Writer) -> Self {
        let shape = ApiKey::Produce.shape(version).expect("a served version");
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

    /// Where the next partition will stand in the writer's head: index (i32), error code (i16), base
    /// offset (i64), from version 2 append time (i64), from 5 log start (i64). So that a result that is
    /// not known yet can be filled in later.
    pub fn position(&self) -> usize {
        self.w.head().len()
    }

    /// Writes the result of a partition.
    pub fn partition(&mut self, partition: &PartitionResponse<'_>) {
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
        /// How long the client is throttled, in ms.
        1.. => throttle_time_ms: i32;
    }
    tags {
        /// Where the current leaders that the partitions named can be reached.
        0, 10.. => node_endpoints: Vec<NodeEndpoint<'a>>;
    }
}
