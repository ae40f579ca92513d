//! Kafka's API, one file per key: decode, route, await, encode.
//!
//! | file | what |
//! |---|---|
//! | `served` | the visible list: which request goes to which file |
//! | `errors` | the engine's refusals as Kafka's codes |
//! | `produce`, `produce_remote` | the hot path in; the part of it that other cores do |
//! | `fetch`, `fetch_plan`, `fetch_session`, `fetch_answer` | the hot path out |
//! | `group` | what the group APIs share |
//! | `named` | the partition that a request names |
//! | `config_resource` | what the config APIs share |
//! | the rest | one file per API |
//!
//! Invariants: Produce appends in arrival order before the next request is looked at; an answer to acks
//! 1 or all leaves after its tickets are durable; acks 0 is never answered, and closes on an error; a
//! Produce is never answered with UNKNOWN_SERVER_ERROR, which clients take for the loss of a sequence.

mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod api_versions;
mod config_resource;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod elect_leaders;
mod errors;
mod fetch;
mod fetch_answer;
mod fetch_plan;
mod fetch_session;
mod find_coordinator;
mod group;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod named;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod produce_remote;
mod served;
mod sync_group;
mod unregister_broker;

pub use served::Handler;
