//! Compacted topics: what a client may send, what compaction leaves, and that groups live on a compacted
//! `__consumer_offsets`.

mod harness;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use engine::record::{BatchBuilder, BatchHeader, Codec, Records, payload};
use harness::{Broker, Client, PATIENCE, Want, batch};
use wire::describe_configs::RESOURCE_BROKER;
use wire::incremental_alter_configs::OPERATION_SET;
use wire::{ErrorCode, Message, Reader, incremental_alter_configs, produce};

const COMPACTED: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.bytes", "1048576"), ("min.cleanable.dirty.ratio", "0.01")];

const VALUE_BYTES: usize = 10_000;

fn keyed(codec: Codec, records: &[(&str, Option<&[u8]>)]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec);
    for (key, value) in records {
        builder.push(server::runtime::clock::now().wall.0, Some(key.as_bytes()), *value, &[]);
    }
    builder.finish()
}

/// Every record: offset, key and value. Each position is asked for once, so gaps are passed as a client does.
fn read_all(client: &mut Client, topic: &str) -> Vec<(i64, String, Option<Vec<u8>>)> {
    let (mut out, mut next) = (Vec::new(), 0);
    loop {
        let (error, high_watermark, bytes) = client.fetch(topic, 0, next, Want::default());
        assert_eq!(error, ErrorCode::None);
        if next >= high_watermark {
            return out;
        }
        assert!(!bytes.is_empty(), "something stands at {next} or above");
        let mut rest = &bytes[..];
        while let Some(header) = BatchHeader::peek(rest) {
            let Some(batch) = rest.get(..header.total_bytes().expect("a length")) else { break };
            assert!(engine::record::crc_matches(batch));
            let records = payload(batch, 1 << 24).expect("it inflates");
            for record in Records::of(header, &records).map(|r| r.expect("walked")) {
                let key = String::from_utf8(record.key.expect("a key").to_vec()).expect("text");
                out.push((record.offset.0, key, record.value.map(<[u8]>::to_vec)));
            }
            next = header.next_offset().0;
            rest = &rest[batch.len()..];
        }
    }
}

fn metric(broker: &Broker, name: &str) -> u64 {
    let mut stream = TcpStream::connect(broker.admin().expect("an admin listener")).expect("connected");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page");
    let line = page.lines().find(|l| l.starts_with(&format!("ringlog_{name}{{"))).expect(name);
    line.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok()).expect("a number") as u64
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Alters a setting of all brokers.
fn set(client: &mut Client, name: &str, value: &str) {
    let config = incremental_alter_configs::AlterableConfig {
        name,
        config_operation: OPERATION_SET,
        value: Some(value),
    };
    let resource = incremental_alter_configs::Resource {
        resource_type: RESOURCE_BROKER,
        resource_name: "",
        configs: vec![config],
    };
    let request = incremental_alter_configs::Request { resources: vec![resource], validate_only: false };
    let body = client.call(1, &request);
    let response = incremental_alter_configs::Response::decode(1, &mut Reader::new(&body)).expect("answer");
    assert_eq!(response.responses[0].error_code, ErrorCode::None, "{name}");
}

#[test]
fn records_without_a_key_are_refused_one_by_one_in_every_codec() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &COMPACTED), ErrorCode::None);
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new(codec);
        for key in [Some(&b"a"[..]), None, Some(b"b"), None] {
            builder.push(server::runtime::clock::now().wall.0, key, Some(b"x"), &[]);
        }
        let frame = client.produce_frame(9, "t", 0, -1, &builder.finish());
        client.send_bytes(&frame);
        let body = client.receive(produce::Request::KEY, 9, client.correlation());
        let response = produce::Response::decode(9, &mut Reader::new(&body)).expect("an answer");
        let topic = response.responses.iter().next().expect("the topic");
        let partition = topic.partition_responses.iter().next().expect("the partition");
        assert_eq!(partition.error_code, ErrorCode::InvalidRecord, "{codec:?}");
        let told: Vec<(i32, Option<String>)> = partition
            .record_errors
            .iter()
            .map(|e| (e.batch_index, e.batch_index_error_message.as_ref().map(|m| m.to_string())))
            .collect();
        let message = Some("Compacted topic cannot accept message without key".to_owned());
        assert_eq!(told, [(1, message.clone()), (3, message)]);
    }
    assert_eq!(client.produce("t", 0, -1, &keyed(Codec::Zstd, &[("a", None)])), (ErrorCode::None, 0));
    client.create_topic("plain", 1, &[]);
    assert_eq!(client.produce("plain", 0, -1, &batch(&[b"no key"])), (ErrorCode::None, 0));
}

#[test]
fn only_the_latest_value_of_each_key_is_left_and_a_restart_changes_nothing() {
    let mut broker = Broker::start(&["log.cleaner.backoff.ms=20", "admin.listen=127.0.0.1:0"]);
    let mut client = broker.client();
    for topic in ["both", "t"] {
        let mut configs = COMPACTED.to_vec();
        if topic == "both" {
            configs[0].1 = "compact,delete";
        }
        assert_eq!(client.create_topic(topic, 1, &configs), ErrorCode::None);
    }
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    let mut latest: BTreeMap<String, (i64, Option<Vec<u8>>)> = BTreeMap::new();
    for round in 0..120_i64 {
        let value: Vec<u8> = (0..VALUE_BYTES as i64).map(|i| ((i * (round + 7)) >> 3) as u8).collect();
        let keys: Vec<String> = (0..4).map(|i| format!("k{}", (round * 3 + i) % 10)).collect();
        let gone = round % 17 == 3;
        let records: Vec<(&str, Option<&[u8]>)> =
            keys.iter().map(|k| (k.as_str(), (!gone).then_some(&value[..]))).collect();
        // What a segment holds does not depend on how well the values shrink.
        let sent =
            keyed(if round % 8 == 0 { codecs[(round / 8 % 5) as usize] } else { Codec::None }, &records);
        let (error, base) = client.produce("t", 0, -1, &sent);
        assert_eq!((error, client.produce("both", 0, -1, &sent).0), (ErrorCode::None, ErrorCode::None));
        for (i, (key, value)) in records.iter().enumerate() {
            latest.insert((*key).to_owned(), (base + i as i64, value.map(<[u8]>::to_vec)));
        }
    }
    until("both topics are compacted", || metric(&broker, "compactions") >= 2);
    until("nothing is dirty", || metric(&broker, "compaction_dirty_percent_max") == 0);
    let dropped = metric(&broker, "compaction_records_dropped");
    assert!(dropped > 500, "{dropped} of 960 records dropped");
    assert!(metric(&broker, "compaction_bytes_read") > metric(&broker, "compaction_bytes_written"));
    assert_eq!(metric(&broker, "compaction_errors"), 0);

    let check = |left: &[(i64, String, Option<Vec<u8>>)]| {
        assert!(left.windows(2).all(|two| two[0].0 < two[1].0), "offsets rise");
        let mut last = BTreeMap::new();
        for (offset, key, value) in left {
            last.insert(key.clone(), (*offset, value.clone()));
        }
        assert_eq!(last, latest);
    };
    let left = read_all(&mut client, "t");
    check(&left);
    check(&read_all(&mut client, "both"));
    assert!(left.len() < 150, "{} records of 480 are left: the active segment's and ten", left.len());
    broker.restart();
    let mut client = broker.client();
    assert_eq!(read_all(&mut client, "t"), left);
    assert_eq!(client.list_offset("t", 0, -2).offset, 0, "the log still starts where it did");
    assert_eq!(client.list_offset("t", 0, -1).offset, 480);
    assert_eq!(client.produce("t", 0, -1, &keyed(Codec::None, &[("k", Some(b"v"))])), (ErrorCode::None, 480));
}

#[test]
fn compaction_and_the_scrub_follow_their_limits_while_the_broker_runs() {
    let settings = [
        "log.cleaner.backoff.ms=20",
        "log.cleaner.enable=false",
        "log.scrub.io.max.bytes.per.second=0",
        "admin.listen=127.0.0.1:0",
    ];
    let broker = Broker::start(&settings);
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &COMPACTED), ErrorCode::None);
    let value = vec![7; 100 * VALUE_BYTES];
    for _ in 0..4 {
        let (error, _) = client.produce("t", 0, -1, &keyed(Codec::None, &[("k", Some(&value))]));
        assert_eq!(error, ErrorCode::None);
    }
    // At one byte a second what is taken first is owed for days: no round ends.
    set(&mut client, "log.cleaner.io.max.bytes.per.second", "1");
    set(&mut client, "log.cleaner.enable", "true");
    until("compaction begins", || metric(&broker, "compaction_bytes_read") > 0);
    std::thread::sleep(Duration::from_millis(200));
    let read = metric(&broker, "compaction_bytes_read");
    assert!(read <= 600_000, "{read} bytes at one byte a second");
    assert_eq!(metric(&broker, "compactions"), 0);
    set(&mut client, "log.cleaner.io.max.bytes.per.second", "1e12");
    until("a round ends", || metric(&broker, "compactions") > 0);
    assert_eq!(metric(&broker, "scrub_checked_bytes"), 0, "there is none");
    set(&mut client, "log.scrub.io.max.bytes.per.second", "100000000");
    until("the scrub has read everything", || metric(&broker, "scrub_ended_ms") > 0);
}
