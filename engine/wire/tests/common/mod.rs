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
