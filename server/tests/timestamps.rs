//! `message.timestamp.*`: which timestamps a topic takes, and what a producer is told of the others.

mod harness;

use engine::record::{BatchBuilder, Codec};
use harness::{Broker, Client, Want, batch_at};
use wire::incremental_alter_configs::{self, OPERATION_SET};
use wire::{ApiKey, ErrorCode, Message, Reader, produce};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn now() -> i64 {
    server::runtime::clock::now().wall.0
}

/// Records with these timestamps.
fn batch(codec: Codec, timestamps: &[i64]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec);
    timestamps.iter().for_each(|timestamp| builder.push(*timestamp, None, Some(b"value"), &[]));
    builder.finish()
}

/// The error of a batch and the records that are blamed, with their messages.
fn produce(client: &mut Client, version: i16, batch: &[u8]) -> (ErrorCode, Vec<(i32, String)>) {
    client.send_produce(version, "t", 0, -1, batch);
    let body = client.receive(ApiKey::Produce, version, client.correlation());
    let response = produce::Response::decode(version, &mut Reader::new(&body)).unwrap();
    let topic = response.responses.iter().next().unwrap();
    let partition = topic.partition_responses.iter().next().unwrap();
    let blamed = partition.record_errors.iter();
    let blamed =
        blamed.map(|r| (r.batch_index, r.batch_index_error_message.clone().unwrap_or_default().into_owned()));
    (partition.error_code, blamed.collect())
}

fn with_topic(set: &[&str], configs: &[(&str, &str)]) -> (Broker, Client) {
    let broker = Broker::start(set);
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, configs), ErrorCode::None);
    (broker, client)
}

#[track_caller]
fn taken(client: &mut Client, timestamps: &[i64]) {
    for codec in [Codec::None, Codec::Gzip] {
        assert_eq!(produce(client, 9, &batch(codec, timestamps)), (ErrorCode::None, vec![]), "{codec:?}");
    }
}

/// Nothing of the batch is kept, and these records are to blame.
#[track_caller]
fn refused(client: &mut Client, timestamps: &[i64], blamed: &[i32]) {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let before = client.list_offset("t", 0, -1).offset;
        let (code, told) = produce(client, 9, &batch(codec, timestamps));
        assert_eq!(code, ErrorCode::InvalidTimestamp, "{codec:?}");
        let places: Vec<i32> = told.iter().map(|(index, _)| *index).collect();
        assert_eq!(places, blamed, "{codec:?}");
        for (index, message) in told {
            assert!(message.contains(&timestamps[index as usize].to_string()), "{codec:?}: {message}");
        }
        assert_eq!(client.list_offset("t", 0, -1).offset, before, "{codec:?}");
    }
}

#[test]
fn by_default_an_hour_ahead_is_taken_and_any_time_ago() {
    let (_broker, mut client) = with_topic(&[], &[]);
    taken(&mut client, &[now() + HOUR - MINUTE, 0, now() - 10_000 * DAY]);
    // Timestamps that say "none" are in no window.
    taken(&mut client, &[-1]);
    refused(&mut client, &[now(), now() + 2 * HOUR, now(), now() + 3 * HOUR], &[1, 3]);
}

#[test]
fn a_topics_window_goes_before_the_brokers() {
    let set = ["log.message.timestamp.before.max.ms=3600000", "log.message.timestamp.after.max.ms=60000"];
    let (_broker, mut client) = with_topic(&set, &[("message.timestamp.after.max.ms", "86400000")]);
    taken(&mut client, &[now() - HOUR + MINUTE, now() + DAY - MINUTE]);
    // One too old between others, which no header tells.
    refused(&mut client, &[now(), now() - 2 * HOUR, now()], &[1]);
    refused(&mut client, &[now() + 2 * DAY], &[0]);
}

#[test]
fn a_window_that_is_altered_applies_to_the_next_batch() {
    let (_broker, mut client) = with_topic(&[], &[]);
    taken(&mut client, &[now() - DAY]);
    let config = incremental_alter_configs::AlterableConfig {
        name: "message.timestamp.before.max.ms",
        config_operation: OPERATION_SET,
        value: Some("3600000"),
    };
    let request = incremental_alter_configs::Request {
        resources: vec![incremental_alter_configs::Resource {
            resource_type: wire::describe_configs::RESOURCE_TOPIC,
            resource_name: "t",
            configs: vec![config],
        }],
        validate_only: false,
    };
    client.call(1, &request);
    refused(&mut client, &[now() - DAY], &[0]);
    taken(&mut client, &[now() - HOUR + MINUTE]);
}

#[test]
fn a_topic_with_append_time_takes_any_timestamp_and_keeps_none() {
    let configs = [("message.timestamp.type", "LogAppendTime"), ("message.timestamp.before.max.ms", "1000")];
    let (_broker, mut client) = with_topic(&[], &configs);
    let before = now();
    for timestamp in [0, now() + 900 * DAY] {
        assert_eq!(client.produce("t", 0, -1, &batch_at(timestamp, &[b"x"])).0, ErrorCode::None);
    }
    let (_, _, records) = client.fetch("t", 0, 0, Want::default());
    let header = engine::record::BatchHeader::peek(&records).unwrap();
    assert!((before..=now()).contains(&header.max_timestamp()));
}

#[test]
fn requests_too_old_for_errors_of_records_get_the_code() {
    let (_broker, mut client) = with_topic(&[], &[]);
    assert_eq!(
        produce(&mut client, 7, &batch(Codec::None, &[now() + DAY])),
        (ErrorCode::InvalidTimestamp, vec![])
    );
}
