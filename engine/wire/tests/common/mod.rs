//! What the tests of this crate share: the list of all messages, and the comparison of two structs of
//! different crates by their field names.

#![allow(dead_code, unused_imports, unused_macros, unreachable_pub, reason = "each test binary uses a part")]

pub mod spoil;
pub mod tree;

/// Calls `$run!(Ours, Theirs, extra…)` for every message that is served.
macro_rules! for_each_message {
    ($run:ident $(, $extra:expr)*) => {
        $run!(wire::produce::Request, kafka_protocol::messages::ProduceRequest $(, $extra)*);
        $run!(wire::produce::Response, kafka_protocol::messages::ProduceResponse $(, $extra)*);
        $run!(wire::fetch::Request, kafka_protocol::messages::FetchRequest $(, $extra)*);
        $run!(wire::fetch::Response, kafka_protocol::messages::FetchResponse $(, $extra)*);
        $run!(wire::list_offsets::Request, kafka_protocol::messages::ListOffsetsRequest $(, $extra)*);
        $run!(wire::list_offsets::Response, kafka_protocol::messages::ListOffsetsResponse $(, $extra)*);
        $run!(wire::metadata::Request, kafka_protocol::messages::MetadataRequest $(, $extra)*);
        $run!(wire::metadata::Response, kafka_protocol::messages::MetadataResponse $(, $extra)*);
        $run!(wire::find_coordinator::Request, kafka_protocol::messages::FindCoordinatorRequest $(, $extra)*);
        $run!(wire::find_coordinator::Response, kafka_protocol::messages::FindCoordinatorResponse $(, $extra)*);
        $run!(wire::api_versions::Request, kafka_protocol::messages::ApiVersionsRequest $(, $extra)*);
        $run!(wire::api_versions::Response, kafka_protocol::messages::ApiVersionsResponse $(, $extra)*);
        $run!(wire::create_topics::Request, kafka_protocol::messages::CreateTopicsRequest $(, $extra)*);
        $run!(wire::create_topics::Response, kafka_protocol::messages::CreateTopicsResponse $(, $extra)*);
        $run!(wire::delete_topics::Request, kafka_protocol::messages::DeleteTopicsRequest $(, $extra)*);
        $run!(wire::delete_topics::Response, kafka_protocol::messages::DeleteTopicsResponse $(, $extra)*);
        $run!(wire::init_producer_id::Request, kafka_protocol::messages::InitProducerIdRequest $(, $extra)*);
        $run!(wire::init_producer_id::Response, kafka_protocol::messages::InitProducerIdResponse $(, $extra)*);
        $run!(wire::describe_configs::Request, kafka_protocol::messages::DescribeConfigsRequest $(, $extra)*);
        $run!(wire::describe_configs::Response, kafka_protocol::messages::DescribeConfigsResponse $(, $extra)*);
        $run!(
            wire::incremental_alter_configs::Request,
            kafka_protocol::messages::IncrementalAlterConfigsRequest $(, $extra)*
        );
        $run!(
            wire::incremental_alter_configs::Response,
            kafka_protocol::messages::IncrementalAlterConfigsResponse $(, $extra)*
        );
        $run!(wire::describe_cluster::Request, kafka_protocol::messages::DescribeClusterRequest $(, $extra)*);
        $run!(wire::describe_cluster::Response, kafka_protocol::messages::DescribeClusterResponse $(, $extra)*);
        $run!(
            wire::describe_topic_partitions::Request,
            kafka_protocol::messages::DescribeTopicPartitionsRequest $(, $extra)*
        );
        $run!(
            wire::describe_topic_partitions::Response,
            kafka_protocol::messages::DescribeTopicPartitionsResponse $(, $extra)*
        );
        $run!(wire::join_group::Request, kafka_protocol::messages::JoinGroupRequest $(, $extra)*);
        $run!(wire::join_group::Response, kafka_protocol::messages::JoinGroupResponse $(, $extra)*);
        $run!(wire::sync_group::Request, kafka_protocol::messages::SyncGroupRequest $(, $extra)*);
        $run!(wire::sync_group::Response, kafka_protocol::messages::SyncGroupResponse $(, $extra)*);
        $run!(wire::heartbeat::Request, kafka_protocol::messages::HeartbeatRequest $(, $extra)*);
        $run!(wire::heartbeat::Response, kafka_protocol::messages::HeartbeatResponse $(, $extra)*);
        $run!(wire::leave_group::Request, kafka_protocol::messages::LeaveGroupRequest $(, $extra)*);
        $run!(wire::leave_group::Response, kafka_protocol::messages::LeaveGroupResponse $(, $extra)*);
        $run!(wire::offset_commit::Request, kafka_protocol::messages::OffsetCommitRequest $(, $extra)*);
        $run!(wire::offset_commit::Response, kafka_protocol::messages::OffsetCommitResponse $(, $extra)*);
        $run!(wire::offset_fetch::Request, kafka_protocol::messages::OffsetFetchRequest $(, $extra)*);
        $run!(wire::offset_fetch::Response, kafka_protocol::messages::OffsetFetchResponse $(, $extra)*);
        $run!(wire::describe_groups::Request, kafka_protocol::messages::DescribeGroupsRequest $(, $extra)*);
        $run!(wire::describe_groups::Response, kafka_protocol::messages::DescribeGroupsResponse $(, $extra)*);
        $run!(wire::list_groups::Request, kafka_protocol::messages::ListGroupsRequest $(, $extra)*);
        $run!(wire::list_groups::Response, kafka_protocol::messages::ListGroupsResponse $(, $extra)*);
        $run!(wire::delete_groups::Request, kafka_protocol::messages::DeleteGroupsRequest $(, $extra)*);
        $run!(wire::delete_groups::Response, kafka_protocol::messages::DeleteGroupsResponse $(, $extra)*);
        $run!(wire::offset_delete::Request, kafka_protocol::messages::OffsetDeleteRequest $(, $extra)*);
        $run!(wire::offset_delete::Response, kafka_protocol::messages::OffsetDeleteResponse $(, $extra)*);
        $run!(wire::consumer_group_heartbeat::Request, kafka_protocol::messages::ConsumerGroupHeartbeatRequest $(, $extra)*);
        $run!(wire::consumer_group_heartbeat::Response, kafka_protocol::messages::ConsumerGroupHeartbeatResponse $(, $extra)*);
        $run!(wire::consumer_group_describe::Request, kafka_protocol::messages::ConsumerGroupDescribeRequest $(, $extra)*);
        $run!(wire::consumer_group_describe::Response, kafka_protocol::messages::ConsumerGroupDescribeResponse $(, $extra)*);
        $run!(wire::alter_configs::Request, kafka_protocol::messages::AlterConfigsRequest $(, $extra)*);
        $run!(wire::alter_configs::Response, kafka_protocol::messages::AlterConfigsResponse $(, $extra)*);
        $run!(wire::create_partitions::Request, kafka_protocol::messages::CreatePartitionsRequest $(, $extra)*);
        $run!(wire::create_partitions::Response, kafka_protocol::messages::CreatePartitionsResponse $(, $extra)*);
        $run!(wire::delete_records::Request, kafka_protocol::messages::DeleteRecordsRequest $(, $extra)*);
        $run!(wire::delete_records::Response, kafka_protocol::messages::DeleteRecordsResponse $(, $extra)*);
        $run!(wire::describe_log_dirs::Request, kafka_protocol::messages::DescribeLogDirsRequest $(, $extra)*);
        $run!(wire::describe_log_dirs::Response, kafka_protocol::messages::DescribeLogDirsResponse $(, $extra)*);
        $run!(wire::list_config_resources::Request, kafka_protocol::messages::ListConfigResourcesRequest $(, $extra)*);
        $run!(wire::list_config_resources::Response, kafka_protocol::messages::ListConfigResourcesResponse $(, $extra)*);
        $run!(wire::offset_for_leader_epoch::Request, kafka_protocol::messages::OffsetForLeaderEpochRequest $(, $extra)*);
        $run!(wire::offset_for_leader_epoch::Response, kafka_protocol::messages::OffsetForLeaderEpochResponse $(, $extra)*);
        $run!(wire::describe_producers::Request, kafka_protocol::messages::DescribeProducersRequest $(, $extra)*);
        $run!(wire::describe_producers::Response, kafka_protocol::messages::DescribeProducersResponse $(, $extra)*);
        $run!(wire::elect_leaders::Request, kafka_protocol::messages::ElectLeadersRequest $(, $extra)*);
        $run!(wire::elect_leaders::Response, kafka_protocol::messages::ElectLeadersResponse $(, $extra)*);
        $run!(wire::alter_partition_reassignments::Request, kafka_protocol::messages::AlterPartitionReassignmentsRequest $(, $extra)*);
        $run!(wire::alter_partition_reassignments::Response, kafka_protocol::messages::AlterPartitionReassignmentsResponse $(, $extra)*);
        $run!(wire::list_partition_reassignments::Request, kafka_protocol::messages::ListPartitionReassignmentsRequest $(, $extra)*);
        $run!(wire::list_partition_reassignments::Response, kafka_protocol::messages::ListPartitionReassignmentsResponse $(, $extra)*);
        $run!(wire::alter_replica_log_dirs::Request, kafka_protocol::messages::AlterReplicaLogDirsRequest $(, $extra)*);
        $run!(wire::alter_replica_log_dirs::Response, kafka_protocol::messages::AlterReplicaLogDirsResponse $(, $extra)*);
        $run!(wire::describe_quorum::Request, kafka_protocol::messages::DescribeQuorumRequest $(, $extra)*);
        $run!(wire::describe_quorum::Response, kafka_protocol::messages::DescribeQuorumResponse $(, $extra)*);
        $run!(wire::unregister_broker::Request, kafka_protocol::messages::UnregisterBrokerRequest $(, $extra)*);
        $run!(wire::unregister_broker::Response, kafka_protocol::messages::UnregisterBrokerResponse $(, $extra)*);
    };
}
pub(crate) use for_each_message;

/// A source of bytes that a seed decides (xorshift64*).
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`, which is not zero.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 33) % n as u64) as usize
    }

    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 56) as u8).collect()
    }
}
