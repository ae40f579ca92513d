//! How topics and features are named, and what the names stand for.

use uuid::Uuid;
use wire::{
    ErrorCode, List, Message, Reader, Records, api_versions, fetch, find_coordinator, metadata, produce,
};

use crate::harness::{Broker, Client, Want, batch};

/// The id of a topic.
pub(crate) fn topic_id(client: &mut Client, name: &str) -> Uuid {
    let topic = metadata::RequestTopic { name: Some(name), ..Default::default() };
    let body = client.call(12, &metadata::Request { topics: Some(vec![topic]), ..Default::default() });
    metadata::Response::decode(12, &mut Reader::new(&body)).unwrap().topics[0].topic_id
}

#[test]
fn no_feature_is_advertised_by_accident() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    for version in [3, 4, 5] {
        let request = api_versions::Request {
            client_software_name: "test",
            client_software_version: "1.0",
            ..Default::default()
        };
        let body = client.call(version, &request);
        let response = api_versions::Response::decode(version, &mut Reader::new(&body)).unwrap();
        assert_eq!(response.error_code, ErrorCode::None);
        let names: Vec<&str> = response.finalized_features.iter().map(|f| f.name.as_ref()).collect();
        // Clients take transaction.version for the promise that EndTxn raises epochs (KIP-890).
        assert!(!names.contains(&"transaction.version"), "{names:?}");
        assert!(response.supported_features.iter().all(|f| f.name != "transaction.version"));
    }
}

#[test]
fn a_client_that_reached_another_cluster_or_broker_is_told_to_bootstrap_anew() {
    let broker = Broker::start(&["node.id=7"]);
    let mut client = broker.client();
    let body = client.call(13, &metadata::Request::default());
    let known = metadata::Response::decode(13, &mut Reader::new(&body)).unwrap();
    assert_eq!(known.error_code, ErrorCode::None);
    let cluster = known.cluster_id.unwrap();
    let mut ask = |version, cluster_id, node_id| {
        let request = api_versions::Request {
            client_software_name: "test",
            client_software_version: "1.0",
            cluster_id,
            node_id,
        };
        let body = client.call(version, &request);
        api_versions::Response::decode(version, &mut Reader::new(&body)).unwrap().error_code
    };
    let (here, elsewhere) = (Some(cluster.as_ref()), Some("AAAAAAAAAAAAAAAAAAAAAA"));
    for expected in [(None, -1), (here, 7)] {
        assert_eq!(ask(5, expected.0, expected.1), ErrorCode::None, "{expected:?}");
    }
    for moved in [(here, 8), (elsewhere, 7), (Some(""), 7)] {
        assert_eq!(ask(5, moved.0, moved.1), ErrorCode::RebootstrapRequired, "{moved:?}");
    }
    for half in [(None, 7), (here, -1), (elsewhere, -1)] {
        assert_eq!(ask(5, half.0, half.1), ErrorCode::InvalidRequest, "{half:?}");
    }
    assert_eq!(ask(4, elsewhere, 8), ErrorCode::None, "version 4 does not carry it");
}

#[test]
fn a_recreated_topic_is_another_and_its_old_id_is_unknown() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let old = topic_id(&mut client, "t");
    assert!(!old.is_nil(), "zero stands for none");
    client.delete_topic("t");
    client.create_topic("t", 1, &[]);
    let new = topic_id(&mut client, "t");
    assert_ne!(old, new);
    let records = batch(&[b"x"]);
    let mut produce_to = |topic_id| {
        let partitions = [produce::PartitionData { index: 0, records: Records::copied(&records) }];
        let topics =
            [produce::TopicData { topic_id, partition_data: List::of(&partitions), ..Default::default() }];
        let request = produce::Request {
            acks: -1,
            timeout_ms: 1000,
            topic_data: List::of(&topics),
            ..Default::default()
        };
        let body = client.call(13, &request);
        crate::harness::produced(13, &body)
    };
    assert_eq!(produce_to(old), (ErrorCode::UnknownTopicId, -1));
    assert_eq!(produce_to(Uuid::nil()), (ErrorCode::UnknownTopicId, -1));
    assert_eq!(produce_to(new), (ErrorCode::None, 0));
    let mut fetch_from = |topic_id| {
        let partitions = [fetch::Partition { partition_max_bytes: 1000, ..Default::default() }];
        let topics = [fetch::Topic { topic_id, partitions: List::of(&partitions), ..Default::default() }];
        let body = client.call(13, &fetch::Request { topics: List::of(&topics), ..Default::default() });
        let response = fetch::Response::decode(13, &mut Reader::new(&body)).unwrap();
        let topic = response.responses.iter().next().unwrap();
        topic.partitions.iter().next().unwrap().error_code
    };
    assert_eq!(fetch_from(old), ErrorCode::UnknownTopicId);
    assert_eq!(fetch_from(new), ErrorCode::None);
}

#[test]
fn metadata_by_id_needs_a_version_that_has_it() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let topic_id = topic_id(&mut client, "t");
    for version in [10, 11] {
        let mut client = broker.client();
        let topic = metadata::RequestTopic { topic_id, name: None };
        client.send(version, &metadata::Request { topics: Some(vec![topic]), ..Default::default() });
        assert!(client.is_closed());
    }
    let body = client.call(12, &metadata::Request { topics: None, ..Default::default() });
    let response = metadata::Response::decode(12, &mut Reader::new(&body)).unwrap();
    assert_eq!(response.topics[0].topic_authorized_operations, i32::MIN, "not asked for");
    let brokers: Vec<i32> = response.brokers.iter().map(|b| b.node_id).collect();
    let partition = &response.topics[0].partitions[0];
    assert!(partition.replica_nodes.iter().chain([&partition.leader_id]).all(|id| brokers.contains(id)));
}

#[test]
fn a_topic_that_clients_may_not_create_is_unknown_and_a_bad_name_is_refused() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    let topic = metadata::RequestTopic { name: Some("fresh"), ..Default::default() };
    let request = metadata::Request {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let body = client.call(12, &request);
    let response = metadata::Response::decode(12, &mut Reader::new(&body)).unwrap();
    assert_eq!(response.topics[0].error_code, ErrorCode::UnknownTopicOrPartition);
    for name in ["", ".", "..", "a b", "ä", &"n".repeat(250)] {
        assert_eq!(client.metadata_of(name).0, ErrorCode::InvalidTopicException, "{name:?}");
    }
    assert_eq!(client.metadata_of("fresh").0, ErrorCode::None);
    assert_eq!(client.fetch("fresh", 0, 0, Want::default()).0, ErrorCode::None);
}

#[test]
fn a_groups_coordinator_is_found_alone_or_among_many_and_stays() {
    let broker = Broker::start_on("0,1", &["offsets.topic.num.partitions=4"]);
    let mut client = broker.client();
    let port = i32::from(broker.addr().port());
    for _ in 0..2 {
        for version in 0..=3 {
            let request = find_coordinator::Request { key: "g", ..Default::default() };
            let body = client.call(version, &request);
            let response = find_coordinator::Response::decode(version, &mut Reader::new(&body)).unwrap();
            assert_eq!(
                (response.error_code, response.node_id, response.port),
                (ErrorCode::None, 1, port),
                "version {version}"
            );
        }
        for version in 4..=6 {
            let request =
                find_coordinator::Request { coordinator_keys: vec!["g", "", "h"], ..Default::default() };
            let body = client.call(version, &request);
            let response = find_coordinator::Response::decode(version, &mut Reader::new(&body)).unwrap();
            let found: Vec<_> = response
                .coordinators
                .iter()
                .map(|c| (c.key.as_ref(), c.error_code, c.node_id, c.port))
                .collect();
            assert_eq!(
                found,
                [
                    ("g", ErrorCode::None, 1, port),
                    ("", ErrorCode::None, 1, port),
                    ("h", ErrorCode::None, 1, port)
                ]
            );
        }
    }
}
