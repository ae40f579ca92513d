//! What a cluster's tools ask for, answered truthfully for one node.

mod harness;

use engine::base::{ProducerEpoch, ProducerId};
use engine::record::{BatchBuilder, Codec};
use harness::{Broker, Client, Want, batch};
use wire::{
    ErrorCode, Message, Reader, alter_partition_reassignments, alter_replica_log_dirs, describe_cluster,
    describe_producers, describe_quorum, elect_leaders, list_offsets, list_partition_reassignments,
    offset_for_leader_epoch, unregister_broker,
};

/// Where an epoch of `t-0` ended: error, epoch, offset.
fn epoch_end(client: &mut Client, current: i32, asked: i32) -> (ErrorCode, i32, i64) {
    let partition = offset_for_leader_epoch::Partition {
        partition: 0,
        current_leader_epoch: current,
        leader_epoch: asked,
    };
    let request = offset_for_leader_epoch::Request {
        replica_id: -1,
        topics: vec![offset_for_leader_epoch::Topic { topic: "t", partitions: vec![partition] }],
    };
    let mut answers = (2..=4).map(|version| {
        let body = client.call(version, &request);
        let response = offset_for_leader_epoch::Response::decode(version, &mut Reader::new(&body)).unwrap();
        let answer = &response.topics[0].partitions[0];
        (answer.error_code, answer.leader_epoch, answer.end_offset)
    });
    let first = answers.next().unwrap();
    answers.for_each(|answer| assert_eq!(answer, first, "the versions agree"));
    first
}

#[test]
fn a_consumer_learns_where_each_leader_epoch_ended() {
    let mut broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("flush.messages", "1000")]);
    assert_eq!(epoch_end(&mut client, -1, 0), (ErrorCode::None, 0, 0), "known before its first batch");
    client.produce("t", 0, -1, &batch(&[b"a", b"b"]));
    // Without the mark of a clean stop the leader epoch of a relaxed topic rises.
    broker.stop();
    std::fs::remove_file(broker.data().join("clean")).unwrap();
    broker.restart();
    let mut client = broker.client();
    assert_eq!(epoch_end(&mut client, -1, 1), (ErrorCode::None, 1, 2), "nothing was written under it yet");
    client.produce("t", 0, -1, &batch(&[b"c"]));
    assert_eq!(epoch_end(&mut client, -1, 0), (ErrorCode::None, 0, 2));
    assert_eq!(epoch_end(&mut client, 1, 1), (ErrorCode::None, 1, 3));
    assert_eq!(epoch_end(&mut client, -1, 2), (ErrorCode::None, -1, -1), "newer than the leader's");
    assert_eq!(epoch_end(&mut client, 0, 0).0, ErrorCode::FencedLeaderEpoch);
    assert_eq!(epoch_end(&mut client, 2, 0).0, ErrorCode::UnknownLeaderEpoch);
    // The first record kept is the first epoch's, whoever leads now.
    assert_eq!(client.list_offset("t", 0, list_offsets::EARLIEST).leader_epoch, 0);
    assert_eq!(client.list_offset("t", 0, list_offsets::LATEST).leader_epoch, 1);
}

#[test]
fn an_epoch_of_a_partition_that_is_not_there_is_unknown() {
    let broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    client.create_topic("t", 4, &[]);
    for partition in 0..4 {
        client.produce("t", partition, -1, &batch(&[b"x"]));
    }
    let wants = |partitions: std::ops::Range<i32>| {
        let partition = |partition| offset_for_leader_epoch::Partition {
            partition,
            current_leader_epoch: -1,
            leader_epoch: 0,
        };
        partitions.map(partition).collect::<Vec<_>>()
    };
    let request = offset_for_leader_epoch::Request {
        replica_id: -2,
        topics: vec![
            offset_for_leader_epoch::Topic { topic: "gone", partitions: wants(0..1) },
            offset_for_leader_epoch::Topic { topic: "t", partitions: wants(0..5) },
        ],
    };
    let body = client.call(4, &request);
    let response = offset_for_leader_epoch::Response::decode(4, &mut Reader::new(&body)).unwrap();
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::UnknownTopicOrPartition);
    let ends: Vec<_> = response.topics[1].partitions.iter().map(|p| (p.error_code, p.end_offset)).collect();
    let unknown = (ErrorCode::UnknownTopicOrPartition, -1);
    assert_eq!(
        ends,
        [(ErrorCode::None, 1), (ErrorCode::None, 1), (ErrorCode::None, 1), (ErrorCode::None, 1), unknown]
    );
}

#[test]
fn the_producers_of_a_partition_are_named() {
    let broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    for (producer, epoch, sequence) in [(7, 0, 0), (7, 0, 2), (3, 4, 0)] {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.set_producer(ProducerId(producer), ProducerEpoch(epoch), sequence);
        builder.push(5000, None, Some(b"a"), &[]);
        builder.push(6000, None, Some(b"b"), &[]);
        assert_eq!(client.produce("t", 1, -1, &builder.finish()).0, ErrorCode::None);
    }
    let request = describe_producers::Request {
        topics: vec![
            describe_producers::Topic { name: "t", partition_indexes: vec![0, 1, 2] },
            describe_producers::Topic { name: "gone", partition_indexes: vec![0] },
        ],
    };
    let body = client.call(0, &request);
    let response = describe_producers::Response::decode(0, &mut Reader::new(&body)).unwrap();
    let of = |topic: usize, partition: usize| {
        let result = &response.topics[topic].partitions[partition];
        let producers = result.active_producers.iter();
        let view = producers.map(|p| (p.producer_id, p.producer_epoch, p.last_sequence, p.last_timestamp));
        (result.error_code, view.collect::<Vec<_>>())
    };
    assert_eq!(of(0, 0), (ErrorCode::None, vec![]));
    assert_eq!(of(0, 1), (ErrorCode::None, vec![(3, 4, 1, 6000), (7, 0, 3, 6000)]));
    assert_eq!(of(0, 2), (ErrorCode::UnknownTopicOrPartition, vec![]));
    assert_eq!(of(1, 0), (ErrorCode::UnknownTopicOrPartition, vec![]));
    let producer = &response.topics[0].partitions[1].active_producers[0];
    assert_eq!((producer.coordinator_epoch, producer.current_txn_start_offset), (-1, -1));
}

#[test]
fn no_election_is_needed_on_one_node() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    let elect = |client: &mut Client, version: i16, election_type: i8, all: bool| {
        let named = vec![
            elect_leaders::Topic { topic: "t", partitions: vec![0, 1, 2] },
            elect_leaders::Topic { topic: "gone", partitions: vec![0] },
        ];
        let request = elect_leaders::Request {
            election_type,
            topic_partitions: if all { None } else { Some(named) },
            ..Default::default()
        };
        let body = client.call(version, &request);
        let response = elect_leaders::Response::decode(version, &mut Reader::new(&body)).unwrap();
        let results = response.replica_election_results.iter().flat_map(|t| &t.partition_result);
        (response.error_code, results.map(|p| p.error_code).collect::<Vec<_>>())
    };
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let each = vec![ErrorCode::ElectionNotNeeded, ErrorCode::ElectionNotNeeded, unknown, unknown];
    for version in 0..=2 {
        assert_eq!(elect(&mut client, version, 0, false), (ErrorCode::None, each.clone()));
        assert_eq!(elect(&mut client, version, 0, true), (ErrorCode::None, vec![]));
    }
    assert_eq!(elect(&mut client, 2, 1, false), (ErrorCode::None, each));
    assert_eq!(elect(&mut client, 2, 7, false), (ErrorCode::InvalidRequest, vec![]));
}

#[test]
fn a_reassignment_to_the_same_broker_moves_nothing_and_any_other_is_refused() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let mut reassign = |topic, partition_index, replicas: Option<Vec<i32>>| {
        let partition = alter_partition_reassignments::Partition { partition_index, replicas };
        let request = alter_partition_reassignments::Request {
            topics: vec![alter_partition_reassignments::Topic { name: topic, partitions: vec![partition] }],
            ..Default::default()
        };
        let answers = (0..=1).map(|version| {
            let body = client.call(version, &request);
            let response =
                alter_partition_reassignments::Response::decode(version, &mut Reader::new(&body)).unwrap();
            assert_eq!(response.error_code, ErrorCode::None);
            response.responses[0].partitions[0].error_code
        });
        let answers: Vec<ErrorCode> = answers.collect();
        assert_eq!(answers[0], answers[1]);
        answers[0]
    };
    assert_eq!(reassign("t", 0, Some(vec![1])), ErrorCode::None);
    assert_eq!(reassign("t", 0, Some(vec![2])), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(reassign("t", 0, Some(vec![1, 2])), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(reassign("t", 0, Some(vec![1, 1])), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(reassign("t", 0, Some(vec![])), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(reassign("t", 0, None), ErrorCode::NoReassignmentInProgress);
    assert_eq!(reassign("t", 1, Some(vec![1])), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(reassign("gone", 0, None), ErrorCode::UnknownTopicOrPartition);

    for topics in
        [None, Some(vec![list_partition_reassignments::Topic { name: "t", partition_indexes: vec![0] }])]
    {
        let request = list_partition_reassignments::Request { topics, ..Default::default() };
        let body = client.call(0, &request);
        let response = list_partition_reassignments::Response::decode(0, &mut Reader::new(&body)).unwrap();
        assert_eq!((response.error_code, response.topics.len()), (ErrorCode::None, 0));
    }
}

#[test]
fn a_reassignment_is_answered_in_no_more_than_a_constant_times_its_bytes() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    let name = "x".repeat(500_000);
    let of = |partitions: usize| {
        let partition = alter_partition_reassignments::Partition { partition_index: 0, replicas: None };
        let partitions = vec![partition; partitions];
        alter_partition_reassignments::Request {
            topics: vec![alter_partition_reassignments::Topic { name: &name, partitions }],
            ..Default::default()
        }
    };
    let body = client.call(1, &of(1000));
    let response = alter_partition_reassignments::Response::decode(1, &mut Reader::new(&body)).unwrap();
    let message = response.responses[0].partitions[999].error_message.as_deref().unwrap();
    assert!((249..400).contains(&message.len()), "{} bytes", message.len());
    client.send(1, &of(85_000));
    assert!(client.is_closed());
    assert_eq!(broker.client().metadata_of("t").0, ErrorCode::None);
}

/// Sends a request that must end its connection.
#[track_caller]
fn ends<'a, M: Message<'a>>(broker: &Broker, version: i16, request: &M) {
    let mut client = broker.client();
    client.send(version, request);
    assert!(client.is_closed());
}

#[test]
fn requests_that_name_too_many_partitions_end_their_connection() {
    const MANY: usize = 20_001;
    let broker = Broker::start(&[]);
    let quorum = describe_quorum::Topic {
        topic_name: "t",
        partitions: vec![describe_quorum::Partition { partition_index: 0 }; MANY],
    };
    ends(&broker, 2, &describe_quorum::Request { topics: vec![quorum] });
    let producers = describe_producers::Topic { name: "t", partition_indexes: vec![0; MANY] };
    ends(&broker, 0, &describe_producers::Request { topics: vec![producers] });
    let want = offset_for_leader_epoch::Partition { partition: 0, current_leader_epoch: -1, leader_epoch: 0 };
    let epochs = offset_for_leader_epoch::Topic { topic: "t", partitions: vec![want; MANY] };
    ends(&broker, 4, &offset_for_leader_epoch::Request { replica_id: -1, topics: vec![epochs] });
    let elections = elect_leaders::Topic { topic: "t", partitions: vec![0; MANY] };
    let topic_partitions = Some(vec![elections]);
    ends(&broker, 2, &elect_leaders::Request { topic_partitions, ..Default::default() });
    let moved = alter_replica_log_dirs::Topic { name: "t", partitions: vec![0; MANY] };
    let dir = alter_replica_log_dirs::Dir { path: "/", topics: vec![moved] };
    ends(&broker, 2, &alter_replica_log_dirs::Request { dirs: vec![dir] });
    let empty = describe_producers::Topic { name: "", partition_indexes: vec![] };
    ends(&broker, 0, &describe_producers::Request { topics: vec![empty; MANY] });
    assert_eq!(broker.client().metadata_of("t").0, ErrorCode::None);
}

#[test]
fn a_replica_stays_in_its_directory_and_there_is_no_other() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let here = broker.data().canonicalize().unwrap();
    let here = here.to_str().unwrap();
    let dir = |path, name| alter_replica_log_dirs::Dir {
        path,
        topics: vec![alter_replica_log_dirs::Topic { name, partitions: vec![0, 1] }],
    };
    let request = alter_replica_log_dirs::Request {
        dirs: vec![dir(here, "t"), dir("/elsewhere", "t"), dir(here, "gone")],
    };
    for version in 1..=2 {
        let body = client.call(version, &request);
        let response = alter_replica_log_dirs::Response::decode(version, &mut Reader::new(&body)).unwrap();
        let codes: Vec<ErrorCode> =
            response.results.iter().flat_map(|t| &t.partitions).map(|p| p.error_code).collect();
        let unknown = ErrorCode::UnknownTopicOrPartition;
        let elsewhere = ErrorCode::LogDirNotFound;
        assert_eq!(codes, [ErrorCode::None, unknown, elsewhere, elsewhere, unknown, unknown]);
    }
}

#[test]
fn the_quorum_has_one_voter_whose_log_grows() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    let mut describe = |topic_name| {
        let partitions = [0, 1].map(|partition_index| describe_quorum::Partition { partition_index });
        let request = describe_quorum::Request {
            topics: vec![describe_quorum::Topic { topic_name, partitions: partitions.to_vec() }],
        };
        for version in 0..=1 {
            let body = client.call(version, &request);
            let response = describe_quorum::Response::decode(version, &mut Reader::new(&body)).unwrap();
            assert_eq!(response.error_code, ErrorCode::None);
        }
        let body = client.call(2, &request);
        let response = describe_quorum::Response::decode(2, &mut Reader::new(&body)).unwrap();
        assert_eq!(response.error_code, ErrorCode::None);
        assert_eq!(response.nodes.len(), 1);
        assert_eq!(response.nodes[0].listeners[0].port, broker.addr().port());
        let of = &response.topics[0].partitions;
        assert_eq!(of[1].error_code, ErrorCode::UnknownTopicOrPartition);
        let voters: Vec<_> = of[0].current_voters.iter().map(|v| (v.replica_id, v.log_end_offset)).collect();
        assert!(of[0].observers.is_empty());
        (of[0].error_code, of[0].leader_id, of[0].high_watermark, voters)
    };
    let (error, leader, first, voters) = describe("__cluster_metadata");
    assert_eq!((error, leader, voters), (ErrorCode::None, 1, vec![(1, first)]));
    assert_eq!(describe("t"), (ErrorCode::UnknownTopicOrPartition, -1, -1, vec![]));
    let mut other = broker.client();
    other.create_topic("t", 1, &[]);
    let (_, _, grown, voters) = describe("__cluster_metadata");
    assert!(grown > first, "{grown} after {first}");
    assert_eq!(voters, [(1, grown)]);
}

#[test]
fn a_running_broker_cannot_be_unregistered() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    for (broker_id, expected) in [(1, ErrorCode::InvalidRequest), (2, ErrorCode::BrokerIdNotRegistered)] {
        let body = client.call(0, &unregister_broker::Request { broker_id });
        let response = unregister_broker::Response::decode(0, &mut Reader::new(&body)).unwrap();
        assert_eq!(response.error_code, expected);
        assert!(response.error_message.unwrap().contains(&broker_id.to_string()));
    }
    assert_eq!(client.create_topic("t", 1, &[]), ErrorCode::None);
}

#[test]
fn the_brokers_are_described_and_controllers_are_elsewhere() {
    let broker = Broker::start(&["broker.rack=r1"]);
    let mut client = broker.client();
    for version in 0..=2 {
        let request = describe_cluster::Request {
            include_cluster_authorized_operations: version > 0,
            include_fenced_brokers: version == 2,
            ..Default::default()
        };
        let body = client.call(version, &request);
        let response = describe_cluster::Response::decode(version, &mut Reader::new(&body)).unwrap();
        assert_eq!((response.error_code, response.controller_id), (ErrorCode::None, 1));
        let brokers: Vec<_> =
            response.brokers.iter().map(|b| (b.broker_id, b.rack.as_deref(), b.is_fenced)).collect();
        assert_eq!(brokers, [(1, Some("r1"), false)]);
        let operations = if version > 0 { 0x1fa0 } else { i32::MIN };
        assert_eq!(response.cluster_authorized_operations, operations);
    }
    for (endpoint_type, expected) in
        [(2, ErrorCode::MismatchedEndpointType), (9, ErrorCode::UnsupportedEndpointType)]
    {
        let request = describe_cluster::Request { endpoint_type, ..Default::default() };
        let body = client.call(1, &request);
        let response = describe_cluster::Response::decode(1, &mut Reader::new(&body)).unwrap();
        assert_eq!((response.error_code, response.brokers.len()), (expected, 0));
    }
}

#[test]
fn a_replica_is_not_answered_on_a_clients_port() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.fetch("t", 0, 0, Want::default());
    client.send(3, &offset_for_leader_epoch::Request { replica_id: 1, topics: Vec::new() });
    assert!(client.is_closed());
}
