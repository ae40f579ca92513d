//! Topics, settings, brokers: described, altered, kept.

mod harness;

use harness::{Broker, Client, Want, batch};
use wire::describe_configs::{self, RESOURCE_BROKER, RESOURCE_TOPIC, SOURCE_DEFAULT, SOURCE_TOPIC};
use wire::incremental_alter_configs::{self, OPERATION_DELETE, OPERATION_SET};
use wire::{ErrorCode, Message, Reader, describe_cluster, describe_topic_partitions, metadata};

/// A topic's setting: value and source.
fn setting(client: &mut Client, resource_type: i8, resource_name: &str, name: &str) -> (Option<String>, i8) {
    let request = describe_configs::Request {
        resources: vec![describe_configs::Resource {
            resource_type,
            resource_name,
            configuration_keys: Some(vec![name]),
        }],
        include_synonyms: true,
        include_documentation: true,
    };
    let body = client.call(4, &request);
    let mut response = describe_configs::Response::decode(4, &mut Reader::new(&body)).unwrap();
    let mut result = response.results.remove(0);
    assert_eq!(result.error_code, ErrorCode::None);
    let config = result.configs.remove(0);
    assert_eq!(config.name, name);
    assert!(config.documentation.is_some());
    (config.value.map(|v| v.into_owned()), config.config_source)
}

fn alter(client: &mut Client, topic: &str, name: &str, operation: i8, value: Option<&str>) -> ErrorCode {
    let request = incremental_alter_configs::Request {
        resources: vec![incremental_alter_configs::Resource {
            resource_type: RESOURCE_TOPIC,
            resource_name: topic,
            configs: vec![incremental_alter_configs::AlterableConfig {
                name,
                config_operation: operation,
                value,
            }],
        }],
        validate_only: false,
    };
    let body = client.call(1, &request);
    let response = incremental_alter_configs::Response::decode(1, &mut Reader::new(&body)).unwrap();
    response.responses[0].error_code
}

#[test]
fn an_altered_setting_applies_at_once_and_survives_a_restart() {
    let mut broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    let large = batch(&[&vec![1; 5000]]);
    assert_eq!(setting(&mut client, RESOURCE_TOPIC, "t", "max.message.bytes").1, SOURCE_DEFAULT);
    assert_eq!(alter(&mut client, "t", "max.message.bytes", OPERATION_SET, Some("1000")), ErrorCode::None);
    for _ in 0..2 {
        let mut client = broker.client();
        let now = setting(&mut client, RESOURCE_TOPIC, "t", "max.message.bytes");
        assert_eq!(now, (Some("1000".to_owned()), SOURCE_TOPIC));
        for partition in 0..2 {
            assert_eq!(client.produce("t", partition, -1, &large).0, ErrorCode::MessageTooLarge);
        }
        broker.restart();
    }
    let mut client = broker.client();
    assert_eq!(alter(&mut client, "t", "max.message.bytes", OPERATION_DELETE, None), ErrorCode::None);
    assert_eq!(client.produce("t", 0, -1, &large), (ErrorCode::None, 0));
}

#[test]
fn settings_without_effect_or_unknown_are_refused() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for (name, value) in [("compression.type", "zstd"), ("no.such", "1"), ("retention.ms", "x")] {
        let altered = alter(&mut client, "t", name, OPERATION_SET, Some(value));
        assert_eq!(altered, ErrorCode::InvalidConfig, "{name}");
        assert_eq!(client.create_topic("u", 1, &[(name, value)]), ErrorCode::InvalidConfig, "{name}");
    }
    assert_eq!(
        alter(&mut client, "gone", "retention.ms", OPERATION_SET, Some("1")),
        ErrorCode::UnknownTopicOrPartition
    );
}

#[test]
fn a_topics_durability_is_told() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("durable", 1, &[]);
    client.create_topic("relaxed", 1, &[("flush.messages", "1000")]);
    for topic in ["durable", "relaxed"] {
        let told = setting(&mut client, RESOURCE_TOPIC, topic, "ringlog.durability").0;
        assert_eq!(told.as_deref(), Some(topic));
        assert_eq!(client.produce(topic, 0, -1, &batch(&[b"x"])), (ErrorCode::None, 0));
    }
    assert_eq!(setting(&mut client, RESOURCE_BROKER, "1", "num.partitions").0.as_deref(), Some("1"));
}

#[test]
fn creating_twice_or_beyond_the_limits_is_refused() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    assert_eq!(client.create_topic("a.b", 1, &[]), ErrorCode::None);
    assert_eq!(client.create_topic("a.b", 1, &[]), ErrorCode::TopicAlreadyExists);
    assert_eq!(client.create_topic("a_b", 1, &[]), ErrorCode::InvalidTopicException);
    assert_eq!(client.create_topic("none", 0, &[]), ErrorCode::InvalidPartitions);
    assert_eq!(client.create_topic("many", i32::MAX, &[]), ErrorCode::InvalidPartitions);
    assert_eq!(client.delete_topic("never"), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn a_deleted_and_recreated_topic_is_empty() {
    let mut broker = Broker::start(&[]);
    let mut client = broker.client();
    for _ in 0..3 {
        assert_eq!(client.create_topic("t", 1, &[]), ErrorCode::None);
        assert_eq!(client.produce("t", 0, -1, &batch(&[b"x"])), (ErrorCode::None, 0));
        assert_eq!(client.delete_topic("t"), ErrorCode::None);
    }
    broker.restart();
    let mut client = broker.client();
    let (error, _, _) = client.fetch("t", 0, 0, Want::default());
    assert_eq!(error, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn every_form_of_metadata_request_is_understood() {
    let broker = Broker::start(&["auto.create.topics.enable=false"]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    let count = |client: &mut Client, version: i16, topics: Option<Vec<metadata::RequestTopic<'_>>>| {
        let body = client.call(version, &metadata::Request { topics, ..Default::default() });
        let response = metadata::Response::decode(version, &mut Reader::new(&body)).unwrap();
        assert_eq!(response.brokers.len(), 1);
        assert!(response.topics.iter().flat_map(|t| &t.partitions).all(|p| p.leader_id == 1));
        (response.topics.len(), response.topics.first().map(|t| (t.error_code, t.topic_id)))
    };
    assert_eq!(count(&mut client, 0, Some(Vec::new())).0, 1);
    assert_eq!(count(&mut client, 1, Some(Vec::new())).0, 0);
    let (all, first) = count(&mut client, 12, None);
    assert_eq!(all, 1);
    let topic_id = first.unwrap().1;
    let by_id = |topic_id| Some(vec![metadata::RequestTopic { topic_id, name: None }]);
    assert_eq!(count(&mut client, 12, by_id(topic_id)).1, Some((ErrorCode::None, topic_id)));
    let unknown = uuid::Uuid::from_u128(5);
    assert_eq!(count(&mut client, 12, by_id(unknown)).1, Some((ErrorCode::UnknownTopicId, unknown)));
    assert_eq!(client.metadata_of("absent").0, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn the_cluster_and_its_partitions_are_described_page_by_page() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    let body = client.call(1, &describe_cluster::Request::default());
    let response = describe_cluster::Response::decode(1, &mut Reader::new(&body)).unwrap();
    assert_eq!((response.error_code, response.brokers.len()), (ErrorCode::None, 1));
    assert_eq!(response.brokers[0].port, i32::from(broker.addr().port()));
    assert_eq!(response.cluster_id.len(), 22);

    client.create_topic("a", 3, &[]);
    client.create_topic("b", 2, &[]);
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let request = describe_topic_partitions::Request {
            response_partition_limit: 2,
            cursor: cursor.take(),
            ..Default::default()
        };
        let body = client.call(0, &request);
        let response = describe_topic_partitions::Response::decode(0, &mut Reader::new(&body)).unwrap();
        for topic in &response.topics {
            let name = topic.name.clone().unwrap().into_owned();
            seen.extend(topic.partitions.iter().map(|p| (name.clone(), p.partition_index)));
        }
        let Some(next) = response.next_cursor else { break };
        cursor = Some(describe_topic_partitions::Cursor {
            topic_name: next.topic_name.into_owned().into(),
            partition_index: next.partition_index,
        });
    }
    let expected: Vec<(String, i32)> =
        [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)].map(|(t, p)| (t.to_owned(), p)).to_vec();
    assert_eq!(seen, expected);
}

#[test]
fn lists_of_eligible_leaders_are_empty_and_never_null() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("a", 1, &[]);
    let request = describe_topic_partitions::Request { response_partition_limit: 10, ..Default::default() };
    let body = client.call(0, &request);
    let response = describe_topic_partitions::Response::decode(0, &mut Reader::new(&body)).unwrap();
    let partition = &response.topics[0].partitions[0];
    // The Java admin client reads both without a look, from 3.8 on.
    assert_eq!(partition.eligible_leader_replicas, Some(Vec::new()));
    assert_eq!(partition.last_known_elr, Some(Vec::new()));
}
