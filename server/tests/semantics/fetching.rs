//! Fetches: what they hold, when they are answered, what stands beside the records.

use engine::record::{BatchBuilder, Codec};
use wire::{ApiKey, ErrorCode, List, Message, Reader, fetch, list_offsets};

use crate::harness::{Broker, Client, Want, batch, values};

/// A partition's part of a fetch answer.
#[derive(Debug, PartialEq)]
struct Part {
    index: i32,
    error: ErrorCode,
    high_watermark: i64,
    last_stable: i64,
    log_start: i64,
    aborted: Option<usize>,
    values: Vec<(i64, Vec<u8>)>,
}

/// Fetches partitions of `t`, each with its offset and bytes.
fn fetch_all(
    client: &mut Client,
    isolation_level: i8,
    max_bytes: i32,
    wants: &[(i32, i64, i32)],
) -> Vec<Part> {
    let partition = |&(partition, fetch_offset, partition_max_bytes): &(i32, i64, i32)| fetch::Partition {
        partition,
        fetch_offset,
        partition_max_bytes,
        ..Default::default()
    };
    let partitions: Vec<fetch::Partition> = wants.iter().map(partition).collect();
    let topics = [fetch::Topic { topic: "t", partitions: List::of(&partitions), ..Default::default() }];
    let request = fetch::Request {
        min_bytes: 1,
        max_bytes,
        isolation_level,
        topics: List::of(&topics),
        ..Default::default()
    };
    let body = client.call(12, &request);
    let response = fetch::Response::decode(12, &mut Reader::new(&body)).unwrap();
    assert_eq!((response.error_code, response.throttle_time_ms), (ErrorCode::None, 0));
    let topic = response.responses.iter().next().unwrap();
    topic
        .partitions
        .iter()
        .map(|p| Part {
            index: p.partition_index,
            error: p.error_code,
            high_watermark: p.high_watermark,
            last_stable: p.last_stable_offset,
            log_start: p.log_start_offset,
            aborted: p.aborted_transactions.as_ref().map(Vec::len),
            values: values(p.records.as_bytes().unwrap_or_default()),
        })
        .collect()
}

#[test]
fn a_fetch_from_within_a_batch_gets_the_whole_batch() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for codec in [Codec::None, Codec::Zstd] {
        let mut builder = BatchBuilder::new(codec);
        for value in [b"a", b"b", b"c"] {
            builder.push(server::runtime::clock::now().wall.0, None, Some(value), &[]);
        }
        assert_eq!(client.produce("t", 0, -1, &builder.finish()).0, ErrorCode::None);
    }
    for from in 0..6 {
        let (error, _, records) =
            client.fetch("t", 0, from, Want { partition_max_bytes: 1, ..Want::default() });
        let header = engine::record::BatchHeader::peek(&records).unwrap();
        let batch = (header.base_offset().0, header.last_offset().0);
        assert_eq!((error, batch), (ErrorCode::None, (from / 3 * 3, from / 3 * 3 + 2)), "from {from}");
    }
}

#[test]
fn partitions_are_served_in_request_order_within_one_budget() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 4, &[]);
    let large = batch(&[&[1; 10_000]]);
    for partition in 1..4 {
        client.produce("t", partition, -1, &large);
    }
    let held = |parts: &[Part]| -> Vec<i32> {
        parts.iter().filter(|p| !p.values.is_empty()).map(|p| p.index).collect()
    };
    let all = |order: [i32; 4]| order.map(|p| (p, 0, 1 << 20));
    let one = fetch_all(&mut client, 0, 1, &all([0, 2, 1, 3]));
    assert_eq!(held(&one), [2], "the first that has anything, whatever its size");
    let two = fetch_all(&mut client, 0, 21_000, &all([3, 2, 1, 0]));
    assert_eq!(held(&two), [3, 2], "what is left for the third is too little");
    let narrow = fetch_all(&mut client, 0, 1 << 20, &[(1, 0, 1), (2, 0, 1), (3, 0, 1 << 20)]);
    assert_eq!(held(&narrow), [1, 3], "only the first may go above its own limit");
}

#[test]
fn bounds_stand_beside_records_and_not_beside_errors() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.produce("t", 0, -1, &batch(&[b"a", b"b"]));
    for (isolation, aborted) in [(0, None), (1, Some(0))] {
        let parts = fetch_all(&mut client, isolation, 1 << 20, &[(0, 2, 1000), (0, 9, 1000), (7, 0, 1000)]);
        let (_, at_end) = (&parts, &parts[0]);
        assert_eq!(
            (at_end.error, at_end.high_watermark, at_end.last_stable, at_end.log_start, at_end.aborted),
            (ErrorCode::None, 2, 2, 0, aborted),
            "the end of the log is no error"
        );
        for (part, error) in
            [(&parts[1], ErrorCode::OffsetOutOfRange), (&parts[2], ErrorCode::UnknownTopicOrPartition)]
        {
            assert_eq!(
                (part.error, part.high_watermark, part.last_stable, part.log_start, part.aborted),
                (error, -1, -1, -1, None)
            );
        }
    }
}

#[test]
fn a_fetch_that_need_not_wait_does_not() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    client.produce("t", 0, -1, &batch(&[b"a"]));
    // Each of these is answered at once: the harness gives up long before they would time out.
    let patient = Want { max_wait_ms: 60_000, ..Want::default() };
    assert_eq!(client.fetch("t", 0, 7, patient).0, ErrorCode::OffsetOutOfRange);
    assert_eq!(client.fetch("t", 9, 0, patient).0, ErrorCode::UnknownTopicOrPartition);
    let enough = Want { min_bytes: 0, ..patient };
    assert_eq!(client.fetch("t", 1, 0, enough).0, ErrorCode::None);
    let above_the_limit = Want { min_bytes: i32::MAX, max_bytes: 10, ..patient };
    assert!(!client.fetch("t", 0, 0, above_the_limit).2.is_empty());
    let body = client.call(12, &fetch::Request { max_wait_ms: 60_000, min_bytes: 1, ..Default::default() });
    assert!(fetch::Response::decode(12, &mut Reader::new(&body)).unwrap().responses.is_empty());
}

#[test]
fn a_fetch_that_waits_ends_when_its_topic_is_deleted() {
    let broker = Broker::start_on("0,1", &[]);
    for name in ["one", "two"] {
        let (mut client, mut other) = (broker.client(), broker.client());
        other.create_topic(name, 1, &[]);
        client.send_fetch(name, 0, 0, Want { max_wait_ms: 60_000, ..Want::default() });
        let correlation = client.correlation();
        // So that the fetch is there before the topic goes.
        other.fetch(name, 0, 0, Want { max_wait_ms: 200, ..Want::default() });
        assert_eq!(other.delete_topic(name), ErrorCode::None);
        let body = client.receive(ApiKey::Fetch, 12, correlation);
        let (error, _, _) = crate::harness::fetched(&body);
        assert_eq!(error, ErrorCode::UnknownTopicOrPartition);
    }
}

#[test]
fn a_client_with_another_leader_epoch_is_told_and_shown_the_leader() {
    let mut broker = Broker::start(&[]);
    broker.client().create_topic("t", 1, &[("flush.messages", "1000")]);
    broker.stop();
    std::fs::remove_file(broker.data().join("clean")).unwrap();
    broker.restart();
    let mut client = broker.client();
    let topic_id = crate::naming::topic_id(&mut client, "t");
    let mut ask = |version: i16, current_leader_epoch| {
        let partitions =
            [fetch::Partition { current_leader_epoch, partition_max_bytes: 1000, ..Default::default() }];
        let topic = if version < 13 { "t" } else { "" };
        let topics = [fetch::Topic { topic, topic_id, partitions: List::of(&partitions) }];
        let request = fetch::Request { topics: List::of(&topics), ..Default::default() };
        let body = client.call(version, &request);
        let response = fetch::Response::decode(version, &mut Reader::new(&body)).unwrap();
        let topic = response.responses.iter().next().unwrap();
        let partition = topic.partitions.iter().next().unwrap();
        let nodes: Vec<(i32, i32)> = response.node_endpoints.iter().map(|n| (n.node_id, n.port)).collect();
        let leader = (partition.current_leader.leader_id, partition.current_leader.leader_epoch);
        (partition.error_code, leader, nodes)
    };
    let port = i32::from(broker.addr().port());
    for version in [9, 12, 15, 16, 17] {
        assert_eq!(ask(version, -1), (ErrorCode::None, (-1, -1), vec![]), "−1 skips the check");
        assert_eq!(ask(version, 1).0, ErrorCode::None);
        assert_eq!(ask(version, 2), (ErrorCode::UnknownLeaderEpoch, (-1, -1), vec![]));
        let shown = if version >= 16 { ((1, 1), vec![(1, port)]) } else { ((-1, -1), vec![]) };
        assert_eq!(ask(version, 0), (ErrorCode::FencedLeaderEpoch, shown.0, shown.1), "version {version}");
    }
    let mut offset_at = |current_leader_epoch| {
        let partition = list_offsets::Partition {
            current_leader_epoch,
            timestamp: list_offsets::LATEST,
            ..Default::default()
        };
        let topics = vec![list_offsets::Topic { name: "t", partitions: vec![partition] }];
        let body = client.call(9, &list_offsets::Request { replica_id: -1, topics, ..Default::default() });
        let response = list_offsets::Response::decode(9, &mut Reader::new(&body)).unwrap();
        response.topics[0].partitions[0].error_code
    };
    assert_eq!(offset_at(0), ErrorCode::FencedLeaderEpoch);
    assert_eq!(offset_at(2), ErrorCode::UnknownLeaderEpoch);
    assert_eq!(offset_at(1), ErrorCode::None);
}

#[test]
fn special_timestamps_are_those_of_the_requests_version() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.produce("t", 0, -1, &batch(&[b"a"]));
    let mut ask = |version: i16, timestamp| {
        let partition = list_offsets::Partition { timestamp, ..Default::default() };
        let topics = vec![list_offsets::Topic { name: "t", partitions: vec![partition] }];
        let body =
            client.call(version, &list_offsets::Request { replica_id: -1, topics, ..Default::default() });
        let response = list_offsets::Response::decode(version, &mut Reader::new(&body)).unwrap();
        let partition = &response.topics[0].partitions[0];
        (partition.error_code, partition.offset)
    };
    for (timestamp, since, offset) in [(-3, 7, 0), (-4, 8, 0), (-5, 9, -1), (-6, 11, -1)] {
        assert_eq!(ask(since - 1, timestamp), (ErrorCode::UnsupportedVersion, -1), "{timestamp}");
        assert_eq!(ask(since, timestamp), (ErrorCode::None, offset), "{timestamp}");
    }
    assert_eq!(ask(11, -7), (ErrorCode::UnsupportedVersion, -1));
    assert_eq!(ask(1, i64::MAX), (ErrorCode::None, -1), "nothing is that new, which is no error");
}
