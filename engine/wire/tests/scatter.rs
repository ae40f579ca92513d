//! Responses streamed with holes for the records, and frames made of both.

mod common;

use std::ops::Range;

use common::Seeded;
use uuid::Uuid;
use wire::{
    ApiKey, ErrorCode, List, Message, Reader, Records, RequestHeader, ResponseHeader, Segment, Writer, fetch,
    produce, sample,
};

/// What reaches the socket when these slices are put into the holes.
fn gathered(w: &Writer, slices: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for segment in w.segments() {
        match segment {
            Segment::Head(range) => {
                assert!(!range.is_empty());
                bytes.extend_from_slice(&w.head()[range]);
            }
            Segment::Splice { index, bytes: length } => {
                assert_eq!(slices[index].len(), length);
                bytes.extend_from_slice(slices[index]);
            }
        }
    }
    assert_eq!(bytes.len(), w.total_bytes());
    bytes
}

#[test]
fn a_streamed_fetch_response_with_its_records_equals_the_copied_one() {
    let mut spliced = 0;
    for seed in 0..200 {
        let entropy = Seeded::new(seed).bytes(900);
        for version in ApiKey::Fetch.served().versions() {
            let made: fetch::Response = sample::message(&entropy, version).expect("a served version");
            let mut copied = Writer::new();
            made.encode(version, &mut copied);

            let mut w = Writer::new();
            let mut slices = Vec::new();
            let start = fetch::ResponseStart {
                throttle_time_ms: made.throttle_time_ms,
                error_code: made.error_code,
                session_id: made.session_id,
            };
            let mut streamed = fetch::ResponseWriter::new(version, &start, made.responses.len(), &mut w);
            for topic in made.responses {
                streamed.topic(&topic.topic, topic.topic_id, topic.partitions.len());
                for mut partition in topic.partitions {
                    if let Some(records) = partition.records.as_bytes() {
                        partition.records = Records::Splice { bytes: records.len() };
                        slices.extend((!records.is_empty()).then_some(records));
                    }
                    streamed.partition(&partition);
                }
            }
            streamed.finish(&fetch::ResponseEnd { node_endpoints: made.node_endpoints.clone() });
            assert_eq!(w.splices().len(), slices.len());
            assert_eq!(gathered(&w, &slices), copied.head());
            spliced += slices.len();
        }
    }
    assert!(spliced > 1_000, "{spliced}");
}

#[test]
fn a_streamed_produce_response_equals_the_collected_one() {
    for seed in 0..200 {
        let entropy = Seeded::new(seed).bytes(900);
        for version in ApiKey::Produce.served().versions() {
            let made: produce::Response = sample::message(&entropy, version).expect("a served version");
            let mut collected = Writer::new();
            made.encode(version, &mut collected);

            let mut w = Writer::new();
            let mut streamed = produce::ResponseWriter::new(version, made.responses.len(), &mut w);
            for topic in made.responses {
                streamed.topic(&topic.name, topic.topic_id, topic.partition_responses.len());
                for partition in topic.partition_responses {
                    streamed.partition(&partition);
                }
            }
            streamed.finish(&produce::ResponseEnd {
                throttle_time_ms: made.throttle_time_ms,
                node_endpoints: made.node_endpoints.clone(),
            });
            assert_eq!(w.head(), collected.head());
        }
    }
}

/// Where the records of the only partition lie in a frame with that header and version.
fn produced(version: i16, batch: &[u8]) -> (Vec<u8>, Range<usize>) {
    let partitions = [produce::PartitionData { index: 0, records: Records::Splice { bytes: batch.len() } }];
    let topics = [produce::TopicData {
        name: "orders",
        topic_id: Uuid::from_u128(7),
        partition_data: List::of(&partitions),
    }];
    let request = produce::Request { acks: 1, topic_data: List::of(&topics), ..Default::default() };
    let header = RequestHeader {
        api_key: ApiKey::Produce,
        api_version: version,
        correlation_id: 5,
        client_id: Some("generator"),
    };
    let mut w = Writer::new();
    header.frame(&request, &mut w);
    let mut frame = gathered(&w, &[batch]);
    let size: Vec<u8> = frame.drain(..4).collect();
    assert_eq!(size, (frame.len() as i32).to_be_bytes());

    let mut r = Reader::new(&frame);
    assert_eq!(RequestHeader::decode(&mut r), Ok(header));
    let request = produce::Request::decode(version, &mut r).expect("a request");
    assert!(r.is_empty());
    let topic = request.topic_data.iter().next().expect("a topic");
    let partition = topic.partition_data.iter().next().expect("a partition");
    let range = partition.records.range().expect("records");
    (frame, range)
}

#[test]
fn the_range_of_the_records_counts_from_the_start_of_the_frame() {
    let batch: Vec<u8> = (0..=255).collect();
    for version in ApiKey::Produce.served().versions() {
        let (frame, range) = produced(version, &batch);
        assert_eq!(&frame[range], batch);
    }
}

#[test]
fn frames_follow_each_other_in_one_writer_and_a_cleared_writer_starts_again() {
    let mut w = Writer::new();
    let partitions = [fetch::PartitionData {
        records: Records::Splice { bytes: 10 },
        aborted_transactions: None,
        ..Default::default()
    }];
    let topics = [fetch::TopicResponse { partitions: List::of(&partitions), ..Default::default() }];
    let response = fetch::Response { responses: List::of(&topics), ..Default::default() };
    ResponseHeader { correlation_id: 1 }.frame(17, &response, &mut w);
    let first = w.total_bytes();
    ResponseHeader { correlation_id: 2 }.frame(17, &response, &mut w);
    assert_eq!((w.splices().len(), w.total_bytes()), (2, 2 * first));
    let stream = gathered(&w, &[&[1; 10], &[2; 10]]);
    assert_eq!(stream[..4], (first as i32 - 4).to_be_bytes());
    assert_eq!(stream[first..first + 4], stream[..4]);
    assert_eq!(stream[first + 4..first + 8], [0, 0, 0, 2]);

    let mut r = Reader::new(&stream[first + 4..]);
    ResponseHeader::decode(ApiKey::Fetch, 17, &mut r).expect("a header");
    let decoded = fetch::Response::decode(17, &mut r).expect("a response");
    let topic = decoded.responses.iter().next().expect("a topic");
    let partition = topic.partitions.iter().next().expect("a partition");
    assert_eq!(partition.records.as_bytes(), Some(&[2u8; 10][..]));
    assert_eq!(partition.aborted_transactions, None);

    w.clear();
    assert_eq!((w.total_bytes(), w.splices().len()), (0, 0));
}

#[test]
#[should_panic(expected = "topics or partitions are missing")]
fn a_response_with_a_missing_partition_is_a_bug() {
    let mut w = Writer::new();
    let mut streamed = produce::ResponseWriter::new(9, 1, &mut w);
    streamed.topic("t", Uuid::nil(), 2);
    streamed.partition(&produce::PartitionResponse::default());
    streamed.finish(&produce::ResponseEnd::default());
}

#[test]
fn text_that_a_classic_version_cannot_carry_is_cut_at_a_character() {
    let message = "ä".repeat(20_000);
    let errors = [produce::PartitionResponse {
        error_code: ErrorCode::InvalidRecord,
        error_message: Some(message.as_str().into()),
        ..Default::default()
    }];
    let topics = [produce::TopicResponse { partition_responses: List::of(&errors), ..Default::default() }];
    let response = produce::Response { responses: List::of(&topics), ..Default::default() };
    for (version, length) in [(8, 32_766), (9, 40_000)] {
        let mut w = Writer::new();
        response.encode(version, &mut w);
        let decoded = produce::Response::decode(version, &mut Reader::new(w.head())).expect("a response");
        let topic = decoded.responses.iter().next().expect("a topic");
        let partition = topic.partition_responses.iter().next().expect("a partition");
        assert_eq!(partition.error_message.expect("a message").len(), length);
    }
}

#[test]
fn api_versions_names_every_served_key_and_finds_the_highest_common_version() {
    use wire::api_versions::{ApiVersion, Request, Response};
    let ours = Response::advertised(ErrorCode::None, ApiKey::ALL);
    for key in ApiKey::ALL {
        assert_eq!(ours.highest_common(*key), Some(key.served().max));
    }
    assert!(ours.api_keys.contains(&ApiVersion { api_key: 0, min_version: 0, max_version: 13 }));
    let older = Response {
        api_keys: vec![
            ApiVersion { api_key: 1, min_version: 0, max_version: 11 },
            ApiVersion { api_key: 3, min_version: 14, max_version: 15 },
        ],
        ..Default::default()
    };
    assert_eq!(older.highest_common(ApiKey::Fetch), Some(11));
    assert_eq!(older.highest_common(ApiKey::Metadata), None);
    assert_eq!(older.highest_common(ApiKey::Produce), None);

    let named = |name, version| Request {
        client_software_name: name,
        client_software_version: version,
        ..Request::default()
    };
    assert!(named("apache-kafka-java", "4.4.0").is_valid(3));
    for (name, version) in [("", "1"), ("-a", "1"), ("a b", "1"), ("a", "1."), ("a", "")] {
        assert!(!named(name, version).is_valid(3), "{name:?} {version:?}");
        assert!(named(name, version).is_valid(2));
    }
}
