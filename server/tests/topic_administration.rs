//! Topics grow, records go, and the disk says what it holds: CreatePartitions, DeleteRecords, CreateTopics,
//! DescribeLogDirs, ListConfigResources.

mod harness;

use harness::{Broker, Client, Want, batch, values};
use wire::describe_configs::{
    RESOURCE_BROKER, RESOURCE_BROKER_LOGGER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP, RESOURCE_TOPIC,
};
use wire::{
    ErrorCode, Message, Reader, create_partitions, create_topics, delete_records, describe_log_dirs,
    list_config_resources,
};

const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
const HIGH_WATERMARK: i64 = -1;

type Growth<'a> = (&'a str, i32, Option<Vec<Vec<i32>>>);

fn grow<'a>(
    client: &mut Client,
    version: i16,
    topics: &[Growth<'a>],
    validate_only: bool,
) -> Vec<(String, ErrorCode)> {
    let topic = |&(name, count, ref assignments): &Growth<'a>| {
        let assignment = |ids: &Vec<i32>| create_partitions::Assignment { broker_ids: ids.clone() };
        create_partitions::Topic {
            name,
            count,
            assignments: assignments.as_ref().map(|all| all.iter().map(assignment).collect()),
        }
    };
    let topics = topics.iter().map(topic).collect();
    let request = create_partitions::Request { topics, timeout_ms: 1000, validate_only };
    let body = client.call(version, &request);
    let response = create_partitions::Response::decode(version, &mut Reader::new(&body)).unwrap();
    response.results.into_iter().map(|r| (r.name.into_owned(), r.error_code)).collect()
}

/// Low watermark and error of each partition, in the request's order.
fn delete(
    client: &mut Client,
    version: i16,
    topic: &str,
    partitions: &[(i32, i64)],
) -> Vec<(i64, ErrorCode)> {
    let partitions = partitions
        .iter()
        .map(|&(partition_index, offset)| delete_records::Partition { partition_index, offset })
        .collect();
    let topics = vec![delete_records::Topic { name: topic, partitions }];
    let body = client.call(version, &delete_records::Request { topics, timeout_ms: 1000 });
    let response = delete_records::Response::decode(version, &mut Reader::new(&body)).unwrap();
    let results = response.topics.into_iter().flat_map(|t| t.partitions);
    results.map(|p| (p.low_watermark, p.error_code)).collect()
}

#[test]
fn new_partitions_on_every_core_take_records_at_once_and_after_a_restart() {
    let mut broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    assert_eq!(client.produce("t", 0, -1, &batch(&[b"old"])), (ErrorCode::None, 0));
    let answer = grow(&mut client, 3, &[("t", 6, None)], false);
    assert_eq!(answer, [("t".to_owned(), ErrorCode::None)]);
    // Each connection is served by one of the cores: all of them know.
    for partition in 0..6 {
        let mut client = broker.client();
        assert_eq!(client.metadata_of("t"), (ErrorCode::None, 6));
        let offset = i64::from(partition == 0);
        assert_eq!(client.produce("t", partition, -1, &batch(&[b"new"])), (ErrorCode::None, offset));
    }
    broker.restart();
    let mut client = broker.client();
    for partition in 0..6 {
        let (error, _, records) = client.fetch("t", partition, 0, Want::default());
        assert_eq!(error, ErrorCode::None);
        assert_eq!(values(&records).last().unwrap().1, b"new");
    }
}

#[test]
fn every_topic_of_a_growth_is_answered_by_name_at_every_version() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    for version in 0..=3 {
        let names = [format!("a{version}"), format!("b{version}")];
        for name in &names {
            client.create_topic(name, 2, &[]);
        }
        let [a, b] = [names[0].as_str(), names[1].as_str()];
        let asked: Vec<Growth<'_>> = vec![(a, 3, None), (b, 2, None), ("gone", 3, None)];
        let answer = grow(&mut client, version, &asked, false);
        let expected = [
            (a, ErrorCode::None),
            (b, ErrorCode::InvalidPartitions),
            ("gone", ErrorCode::UnknownTopicOrPartition),
        ];
        assert_eq!(answer, expected.map(|(name, code)| (name.to_owned(), code)));
        assert_eq!(client.metadata_of(a).1, 3);
    }
}

#[test]
fn a_growth_that_is_only_validated_or_misplaced_changes_nothing() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let mut one = |count, assignments, validate_only| {
        grow(&mut client, 3, &[("t", count, assignments)], validate_only)[0].1
    };
    assert_eq!(one(3, None, true), ErrorCode::None);
    assert_eq!(one(3, Some(vec![vec![1]]), false), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(one(3, Some(vec![vec![1], vec![2]]), false), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(one(1_000_000, None, false), ErrorCode::InvalidPartitions);
    let twice: Vec<Growth<'_>> = vec![("t", 2, None), ("t", 3, None)];
    let answer = grow(&mut client, 3, &twice, false);
    assert!(answer.iter().all(|(_, code)| *code == ErrorCode::InvalidRequest), "{answer:?}");
    assert_eq!(client.metadata_of("t").1, 1);
    assert_eq!(grow(&mut client, 3, &[("t", 2, Some(vec![vec![1]]))], false)[0].1, ErrorCode::None);
    assert_eq!(client.metadata_of("t").1, 2);
}

#[test]
fn deleted_records_are_gone_for_fetch_and_list_offsets_and_stay_gone_after_a_restart() {
    let mut broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    client.create_topic("t", 3, &[]);
    for partition in 0..3 {
        for _ in 0..5 {
            client.produce("t", partition, -1, &batch(&[b"x", b"y"]));
        }
    }
    let answer = delete(&mut client, 2, "t", &[(0, 4), (1, HIGH_WATERMARK), (2, 0)]);
    assert_eq!(answer, [(4, ErrorCode::None), (10, ErrorCode::None), (0, ErrorCode::None)]);
    for _ in 0..2 {
        let mut client = broker.client();
        for (partition, start) in [(0, 4), (1, 10), (2, 0)] {
            assert_eq!(client.list_offset("t", partition, EARLIEST).offset, start);
            assert_eq!(client.list_offset("t", partition, LATEST).offset, 10);
            if start > 0 {
                let below = client.fetch("t", partition, start - 1, Want::default());
                assert_eq!(below.0, ErrorCode::OffsetOutOfRange);
            }
            let (error, high_watermark, records) = client.fetch("t", partition, start, Want::default());
            assert_eq!((error, high_watermark), (ErrorCode::None, 10));
            assert_eq!(values(&records).len() as i64, 10 - start);
        }
        broker.restart();
    }
    let mut client = broker.client();
    // It never goes back, and records that follow are there.
    assert_eq!(delete(&mut client, 0, "t", &[(1, 3)]), [(10, ErrorCode::None)]);
    assert_eq!(client.produce("t", 1, -1, &batch(&[b"z"])), (ErrorCode::None, 10));
    assert_eq!(client.list_offset("t", 1, EARLIEST).offset, 10);
}

#[test]
fn a_log_start_inside_a_batch_hides_only_the_records_before_it() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.produce("t", 0, -1, &batch(&[b"a", b"b", b"c"]));
    assert_eq!(delete(&mut client, 1, "t", &[(0, 2)]), [(2, ErrorCode::None)]);
    assert_eq!(client.list_offset("t", 0, 0).offset, 2, "the first record at or after the epoch");
    let (_, _, records) = client.fetch("t", 0, 2, Want::default());
    assert_eq!(values(&records).last().unwrap(), &(2, b"c".to_vec()), "the batch comes whole");
}

#[test]
fn records_that_cannot_be_deleted_are_refused_partition_by_partition() {
    let broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    client.produce("t", 0, -1, &batch(&[b"x"]));
    let out_of_range = (-1, ErrorCode::OffsetOutOfRange);
    let unknown = (-1, ErrorCode::UnknownTopicOrPartition);
    let asked = [(0, 2), (0, -2), (2, 0), (-1, 0), (1, HIGH_WATERMARK), (0, 1)];
    let answer = delete(&mut client, 2, "t", &asked);
    let fine = |low| (low, ErrorCode::None);
    assert_eq!(answer, [out_of_range, out_of_range, unknown, unknown, fine(0), fine(1)]);
    assert_eq!(delete(&mut client, 2, "gone", &[(0, 0)]), [unknown]);
}

#[test]
fn records_of_a_topic_that_is_only_compacted_are_not_a_clients_to_delete() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("cleanup.policy", "compact")]);
    client.create_topic("both", 1, &[("cleanup.policy", "compact,delete")]);
    assert_eq!(delete(&mut client, 2, "t", &[(0, 0)]), [(-1, ErrorCode::PolicyViolation)]);
    assert_eq!(delete(&mut client, 2, "t", &[(1, 0)]), [(-1, ErrorCode::UnknownTopicOrPartition)]);
    assert_eq!(delete(&mut client, 2, "both", &[(0, 0)]), [(0, ErrorCode::None)]);
}

#[test]
fn a_topic_is_created_as_asked_or_only_validated() {
    let broker = Broker::start(&["num.partitions=3", "log.retention.ms=7"]);
    let mut client = broker.client();
    let mut create = |version: i16, topic: create_topics::Topic<'_>, validate_only| {
        let request = create_topics::Request { topics: vec![topic], validate_only, ..Default::default() };
        let body = client.call(version, &request);
        let mut response = create_topics::Response::decode(version, &mut Reader::new(&body)).unwrap();
        let result = response.topics.remove(0);
        let configs: Vec<(String, Option<String>, i8)> = result
            .configs
            .into_iter()
            .flatten()
            .map(|c| (c.name.into_owned(), c.value.map(|v| v.into_owned()), c.config_source))
            .collect();
        (result.error_code, result.num_partitions, result.replication_factor, result.topic_id, configs)
    };
    let defaults = |name| create_topics::Topic {
        name,
        num_partitions: -1,
        replication_factor: -1,
        ..Default::default()
    };
    let (error, partitions, replicas, id, configs) = create(7, defaults("a"), true);
    assert_eq!((error, partitions, replicas, id.is_nil()), (ErrorCode::None, 3, 1, true));
    let retention = configs.iter().find(|(name, _, _)| name == "retention.ms").unwrap();
    assert_eq!((retention.1.as_deref(), retention.2), (Some("7"), 4), "from the broker's start");
    let (error, _, _, id, _) = create(7, defaults("a"), false);
    assert_eq!((error, id.is_nil()), (ErrorCode::None, false), "the validated topic was not created");
    assert_eq!(create(7, defaults("a"), true).0, ErrorCode::TopicAlreadyExists);

    let assign = |index: i32, ids: &[i32]| create_topics::ReplicaAssignment {
        partition_index: index,
        broker_ids: ids.to_vec(),
    };
    let assigned = |name, assignments| create_topics::Topic { assignments, ..defaults(name) };
    let good = create(5, assigned("b", vec![assign(1, &[1]), assign(0, &[1])]), false);
    assert_eq!((good.0, good.1, good.2), (ErrorCode::None, 2, 1));
    for assignments in [vec![assign(1, &[1])], vec![assign(0, &[1, 2])], vec![assign(0, &[])]] {
        let refused = create(6, assigned("c", assignments), false);
        assert_eq!((refused.0, refused.1), (ErrorCode::InvalidReplicaAssignment, -1));
    }
    let both = create_topics::Topic { num_partitions: 1, ..assigned("c", vec![assign(0, &[1])]) };
    assert_eq!(create(4, both, false).0, ErrorCode::InvalidRequest);
    let replicated = create_topics::Topic { replication_factor: 2, ..defaults("c") };
    assert_eq!(create(2, replicated, true).0, ErrorCode::InvalidReplicationFactor);
}

/// Directory, topics with the size of each partition, and bytes of the volume: all and free.
type Dir = (ErrorCode, String, Vec<(String, Vec<(i32, i64)>)>, (i64, i64));

fn log_dirs<'a>(client: &mut Client, version: i16, topics: Option<&[(&'a str, &'a [i32])]>) -> Dir {
    let topic = |&(name, partitions): &(&'a str, &'a [i32])| describe_log_dirs::Topic {
        topic: name,
        partitions: partitions.to_vec(),
    };
    let request = describe_log_dirs::Request { topics: topics.map(|t| t.iter().map(topic).collect()) };
    let body = client.call(version, &request);
    let mut response = describe_log_dirs::Response::decode(version, &mut Reader::new(&body)).unwrap();
    assert_eq!(response.results.len(), 1, "one directory");
    let dir = response.results.remove(0);
    assert!(!dir.is_cordoned);
    let mut topics: Vec<(String, Vec<(i32, i64)>)> = Vec::new();
    for topic in dir.topics {
        assert!(topic.partitions.iter().all(|p| p.offset_lag == 0 && !p.is_future_key));
        let sizes = topic.partitions.iter().map(|p| (p.partition_index, p.partition_size)).collect();
        topics.push((topic.name.into_owned(), sizes));
    }
    (dir.error_code, dir.log_dir.into_owned(), topics, (dir.total_bytes, dir.usable_bytes))
}

#[test]
fn the_data_directory_tells_what_each_partition_takes_and_the_volume_holds() {
    let mut broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    client.create_topic("u", 1, &[]);
    let large = batch(&[&vec![1; 5000]]);
    client.produce("t", 0, -1, &large);
    client.produce("t", 0, -1, &large);
    client.produce("u", 0, -1, &large);
    let bytes = large.len() as i64;
    for _ in 0..2 {
        let mut client = broker.client();
        let (error, path, topics, (total, usable)) = log_dirs(&mut client, 4, None);
        assert_eq!(error, ErrorCode::None);
        assert_eq!(std::path::Path::new(&path), broker.data().canonicalize().unwrap());
        let expected =
            vec![("t".to_owned(), vec![(0, 2 * bytes), (1, 0)]), ("u".to_owned(), vec![(0, bytes)])];
        assert_eq!(topics, expected);
        assert!(0 < usable && usable <= total, "{usable} of {total}");
        broker.restart();
    }
    let mut client = broker.client();
    for version in 1..=5 {
        let some: &[(&str, &[i32])] = &[("t", &[0, 9, -1]), ("gone", &[0]), ("u", &[])];
        let (_, _, topics, volume) = log_dirs(&mut client, version, Some(some));
        assert_eq!(topics, [("t".to_owned(), vec![(0, 2 * bytes)])], "what does not exist has no line");
        assert_eq!(volume == (-1, -1), version < 4);
    }
    assert_eq!(log_dirs(&mut client, 4, Some(&[])).2, []);
}

#[test]
fn what_has_settings_is_listed_by_type() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("b", 1, &[]);
    client.create_topic("a", 1, &[]);
    let mut list = |version: i16, resource_types: &[i8]| {
        let request = list_config_resources::Request { resource_types: resource_types.to_vec() };
        let body = client.call(version, &request);
        let response = list_config_resources::Response::decode(version, &mut Reader::new(&body)).unwrap();
        let names =
            response.config_resources.into_iter().map(|r| (r.resource_type, r.resource_name.into_owned()));
        (response.error_code, names.collect::<Vec<_>>())
    };
    let named = |names: &[(i8, &str)]| -> Vec<(i8, String)> {
        names.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect()
    };
    let everything =
        [(RESOURCE_BROKER_LOGGER, "1"), (RESOURCE_BROKER, "1"), (RESOURCE_TOPIC, "a"), (RESOURCE_TOPIC, "b")];
    assert_eq!(list(1, &[]), (ErrorCode::None, named(&everything)));
    assert_eq!(list(1, &[RESOURCE_TOPIC]), (ErrorCode::None, named(&everything[2..])));
    assert_eq!(list(1, &[RESOURCE_GROUP, RESOURCE_CLIENT_METRICS]), (ErrorCode::None, Vec::new()));
    assert_eq!(list(1, &[RESOURCE_TOPIC, 3]), (ErrorCode::UnsupportedVersion, Vec::new()));
    assert_eq!(list(0, &[]), (ErrorCode::None, Vec::new()));
}
