//! The served keys: which request goes where.
//!
//! Versions stand in `wire::ApiKey`. A key or version that is not served closes the connection, as
//! Kafka does; ApiVersions alone is answered at any version.

use std::net::SocketAddr;
use std::rc::Rc;

use wire::{ApiKey, DecodeError, Message, Reader, RequestHeader, ResponseHeader};

use super::fetch_plan::FetchScratch;
use super::{
    alter_configs, alter_partition_reassignments, alter_replica_log_dirs, api_versions,
    consumer_group_describe, consumer_group_heartbeat, create_partitions, create_topics, delete_groups,
    delete_records, delete_topics, describe_cluster, describe_configs, describe_groups, describe_log_dirs,
    describe_producers, describe_quorum, describe_topic_partitions, elect_leaders, fetch, find_coordinator,
    heartbeat, incremental_alter_configs, init_producer_id, join_group, leave_group, list_config_resources,
    list_groups, list_offsets, list_partition_reassignments, metadata, offset_commit, offset_delete,
    offset_fetch, offset_for_leader_epoch, produce, sync_group, unregister_broker,
};
use crate::limits::{ITEMS_PER_REQUEST_MAX, SMALL_REQUEST_BYTES_MAX};
use crate::runtime::{Outbox, Reason, Reply, Service, hint};
use crate::shard::{Core, View};

/// The keys that are served: what ApiVersions names, and what [`Handler`] has an arm for.
pub(super) const SERVED: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::AlterReplicaLogDirs,
    ApiKey::DescribeLogDirs,
    ApiKey::CreatePartitions,
    ApiKey::DeleteGroups,
    ApiKey::ElectLeaders,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments,
    ApiKey::OffsetDelete,
    ApiKey::DescribeQuorum,
    ApiKey::DescribeCluster,
    ApiKey::DescribeProducers,
    ApiKey::UnregisterBroker,
    ApiKey::ListConfigResources,
    ApiKey::ConsumerGroupHeartbeat,
    ApiKey::ConsumerGroupDescribe,
    ApiKey::DescribeTopicPartitions,
];

/// Serves the connections of one core.
#[derive(Clone)]
pub struct Handler {
    core: Rc<Core>,
}

/// One connection.
pub struct Session {
    peer: SocketAddr,
    /// Which listener: what its clients are told as addresses.
    pub(super) listener: usize,
    /// Memory that its fetches use again and again.
    pub(super) fetch: FetchScratch,
}

/// One request that is neither Produce nor Fetch, and where its answer goes.
pub(super) struct Call<'a> {
    pub(super) core: &'a Rc<Core>,
    pub(super) session: &'a mut Session,
    pub(super) header: RequestHeader<'a>,
    pub(super) body: Reader<'a>,
    pub(super) out: &'a Rc<Outbox>,
}

impl<'a> Call<'a> {
    /// The version of the request, and of the answer.
    pub(super) fn version(&self) -> i16 {
        self.header.api_version
    }

    /// How the cluster looks to the client.
    pub(super) fn view(&self) -> View<'a> {
        self.core.node.view(self.session.listener)
    }

    /// Where the client is, as Kafka shows it in groups.
    pub(super) fn client_host(&self) -> String {
        format!("/{}", self.session.peer.ip())
    }

    /// Reads the body.
    pub(super) fn decode<M: Message<'a>>(&mut self) -> Result<M, Refused> {
        Ok(M::decode(self.header.api_version, &mut self.body)?)
    }

    /// Answers.
    pub(super) fn answer<'b, M: Message<'b>>(&self, body: &M) {
        self.answer_at(self.header.api_version, body);
    }

    /// Answers in another version than asked.
    pub(super) fn answer_at<'b, M: Message<'b>>(&self, version: i16, body: &M) {
        let mut writer = self.out.buffers().writer();
        let header = ResponseHeader { correlation_id: self.header.correlation_id };
        header.frame(version, body, &mut writer);
        self.out.reply(Reply::new(writer));
    }
}

/// A request that closes its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It does not parse, or is not served.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// A consumer's port was asked for a replica's data.
    #[error("a request of a replica on a client's port")]
    Replica,
    /// More items than a request may have.
    #[error("{got} items in one request, at most {max} are allowed")]
    TooMany {
        /// How many.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// A Produce with acks=0 failed.
    #[error("acks=0 and an error")]
    Silent,
}

impl Refused {
    /// Refuses a request of more items than that.
    pub(super) fn above(max: usize, got: usize) -> Result<(), Refused> {
        if got > max { Err(Refused::TooMany { got, max }) } else { Ok(()) }
    }

    /// Refuses a request whose topics or resources name more than [`ITEMS_PER_REQUEST_MAX`] partitions or
    /// settings, given how many each names. One that names none counts as one, for it is answered too.
    pub(super) fn above_items(named: impl Iterator<Item = usize>) -> Result<(), Refused> {
        Refused::above(ITEMS_PER_REQUEST_MAX, named.map(|count| count.max(1)).sum())
    }

    fn reason(self) -> Reason {
        match self {
            Refused::Malformed(DecodeError::ApiKey(_) | DecodeError::Version { .. }) => Reason::Unsupported,
            Refused::Malformed(_) | Refused::Replica | Refused::TooMany { .. } => Reason::BadRequest,
            Refused::Silent => Reason::SilentError,
        }
    }
}

impl Handler {
    /// A handler for the connections of `core`.
    #[must_use]
    pub fn new(core: Rc<Core>) -> Handler {
        Handler { core }
    }

    async fn serve(&self, session: &mut Session, frame: &[u8], out: &Rc<Outbox>) -> Result<(), Refused> {
        let mut body = Reader::new(frame);
        let header = RequestHeader::decode(&mut body)?;
        if header.api_key == ApiKey::Produce {
            return produce::serve(&self.core, &header, body, out).await;
        }
        let core = &self.core;
        let mut call = Call { core, session, header, body, out };
        let mut fetch = None;
        if call.header.api_key == ApiKey::Fetch {
            fetch = fetch::serve_now(&mut call)?;
            if fetch.is_none() {
                return Ok(());
            }
        }
        // What may wait is boxed, except for Produce: its state would make every connection larger.
        Box::pin(async move {
            match call.header.api_key {
                ApiKey::Fetch => fetch::serve(call, fetch.expect("it was begun above")).await,
                ApiKey::ListOffsets => list_offsets::serve(call).await,
                ApiKey::Metadata => metadata::serve(call).await,
                ApiKey::OffsetCommit => offset_commit::serve(call).await,
                ApiKey::OffsetFetch => offset_fetch::serve(call).await,
                ApiKey::FindCoordinator => find_coordinator::serve(call).await,
                ApiKey::JoinGroup => join_group::serve(call).await,
                ApiKey::Heartbeat => heartbeat::serve(call).await,
                ApiKey::LeaveGroup => leave_group::serve(call).await,
                ApiKey::SyncGroup => sync_group::serve(call).await,
                ApiKey::DescribeGroups => describe_groups::serve(call).await,
                ApiKey::ListGroups => list_groups::serve(call).await,
                ApiKey::ConsumerGroupHeartbeat => consumer_group_heartbeat::serve(call).await,
                ApiKey::ConsumerGroupDescribe => consumer_group_describe::serve(call).await,
                ApiKey::ApiVersions => api_versions::serve(call),
                ApiKey::CreateTopics => create_topics::serve(call).await,
                ApiKey::DeleteTopics => delete_topics::serve(call).await,
                ApiKey::DeleteRecords => delete_records::serve(call).await,
                ApiKey::InitProducerId => init_producer_id::serve(call).await,
                ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch::serve(call).await,
                ApiKey::DescribeConfigs => describe_configs::serve(call),
                ApiKey::AlterConfigs => alter_configs::serve(call).await,
                ApiKey::AlterReplicaLogDirs => alter_replica_log_dirs::serve(call),
                ApiKey::DescribeLogDirs => describe_log_dirs::serve(call).await,
                ApiKey::CreatePartitions => create_partitions::serve(call).await,
                ApiKey::DeleteGroups => delete_groups::serve(call).await,
                ApiKey::ElectLeaders => elect_leaders::serve(call),
                ApiKey::IncrementalAlterConfigs => incremental_alter_configs::serve(call).await,
                ApiKey::AlterPartitionReassignments => alter_partition_reassignments::serve(call),
                ApiKey::ListPartitionReassignments => list_partition_reassignments::serve(call),
                ApiKey::OffsetDelete => offset_delete::serve(call).await,
                ApiKey::DescribeQuorum => describe_quorum::serve(call),
                ApiKey::DescribeCluster => describe_cluster::serve(call),
                ApiKey::DescribeProducers => describe_producers::serve(call).await,
                ApiKey::UnregisterBroker => unregister_broker::serve(call),
                ApiKey::ListConfigResources => list_config_resources::serve(call),
                ApiKey::DescribeTopicPartitions => describe_topic_partitions::serve(call),
                other => Err(DecodeError::ApiKey(other.code()).into()),
            }
        })
        .await
    }
}

impl Service for Handler {
    type Session = Session;

    fn open(&self, peer: SocketAddr, listener: usize) -> Session {
        Session { peer, listener, fetch: FetchScratch::default() }
    }

    fn frame_bytes_max(&self, start: [u8; 4]) -> usize {
        let key = i16::from_be_bytes([start[0], start[1]]);
        if key == ApiKey::Produce.code() { usize::MAX } else { SMALL_REQUEST_BYTES_MAX }
    }

    async fn handle(&self, session: &mut Session, frame: &[u8], out: &Rc<Outbox>) -> Result<(), Reason> {
        let Err(refused) = self.serve(session, frame, out).await else { return Ok(()) };
        let reason = refused.reason();
        if reason != Reason::SilentError {
            self.core.counters.requests_bad.add(1);
            let word = |at: usize| frame.get(at..at + 2).map_or(-1, |b| i16::from_be_bytes([b[0], b[1]]));
            hint::bad_request(session.peer, word(0), word(2), &refused);
        }
        Err(reason)
    }
}
