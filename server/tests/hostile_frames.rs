//! Bytes that are no request, or one that nobody serves: the connection ends, and no other notices.

mod harness;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use harness::{Broker, Client, Want, batch, produced, values};
use uuid::Uuid;
use wire::{
    ApiKey, ErrorCode, List, Message, Reader, api_versions, fetch, find_coordinator, init_producer_id,
};

/// Sends bytes that must end their connection, with a witness on the same broker.
#[track_caller]
fn closes(broker: &Broker, bytes: &[u8]) {
    let mut witness = broker.client();
    let mut client = broker.client();
    // The broker may close before it has read everything.
    let _ = client.stream.write_all(bytes);
    assert!(client.is_closed(), "{:?}", &bytes[..bytes.len().min(32)]);
    assert_eq!(witness.metadata_of("witness").0, ErrorCode::None);
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32).to_be_bytes(), body].concat()
}

/// API key, version, correlation id, no client id.
fn header(key: i16, version: i16) -> Vec<u8> {
    [&key.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 9], &[0xff, 0xff]].concat()
}

#[test]
fn frame_lengths_that_cannot_be_end_the_connection() {
    let broker = Broker::start(&[]);
    for length in [i32::MIN, -1, 0, 7, (100 << 20) + 1, i32::MAX] {
        closes(&broker, &length.to_be_bytes());
    }
    // Allowed for a Produce, not for a Metadata.
    let large = 5i32 << 20;
    closes(&broker, &[&large.to_be_bytes()[..], &header(3, 12)].concat());
}

#[test]
fn other_protocols_end_the_connection() {
    let broker = Broker::start(&[]);
    closes(&broker, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    closes(&broker, &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]);
}

#[test]
fn keys_and_versions_that_are_not_served_end_the_connection() {
    let broker = Broker::start(&[]);
    for (key, version) in [(-1, 0), (4, 0), (999, 0), (0, 2), (0, 14), (1, 3), (1, 18), (3, -1), (3, 14)] {
        closes(&broker, &framed(&header(key, version)));
    }
}

#[test]
fn counts_that_the_bytes_cannot_hold_end_the_connection() {
    let broker = Broker::start(&[]);
    for count in [i32::MAX, 1 << 24, 2] {
        // Metadata 1: an array of topics.
        closes(&broker, &framed(&[&header(3, 1)[..], &count.to_be_bytes()].concat()));
    }
    // Metadata 9: a varint that does not end.
    closes(&broker, &framed(&[&header(3, 9)[..], &[0], &[0xff; 9]].concat()));
    // Produce 9: topics beyond the bytes.
    closes(&broker, &framed(&[&header(0, 9)[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0x7f]].concat()));
}

#[test]
fn random_frames_never_harm_the_broker() {
    let broker = Broker::start(&[]);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..300 {
        let keys = [0i16, 1, 2, 3, 10, 18, 19, 20, 22, 32, 44, 60, 75];
        let key = keys[random() as usize % keys.len()];
        let version = (random() % 14) as i16;
        let mut body = header(key, version);
        for _ in 0..random() % 200 {
            body.push(random() as u8);
        }
        let mut client = broker.client();
        let _ = client.stream.write_all(&framed(&body));
        client.stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = std::io::Read::read_to_end(&mut client.stream, &mut answer);
    }
    assert_eq!(broker.client().metadata_of("alive").0, ErrorCode::None);
}

#[test]
fn api_versions_is_answered_at_any_version() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.send_bytes(&framed(&[&header(18, 99)[..], b"whatever follows"].concat()));
    let frame = client.receive_frame();
    assert_eq!(frame[..4], [0, 0, 0, 9]);
    let response = api_versions::Response::decode(0, &mut Reader::new(&frame[4..])).unwrap();
    assert_eq!(response.error_code, ErrorCode::UnsupportedVersion);
    let of = |key: ApiKey| response.api_keys.iter().find(|k| k.api_key == key.code()).unwrap().clone();
    assert_eq!((of(ApiKey::ApiVersions).min_version, of(ApiKey::ApiVersions).max_version), (0, 5));
    assert_eq!((of(ApiKey::Produce).min_version, of(ApiKey::Produce).max_version), (0, 13));

    let request = api_versions::Request {
        client_software_name: "-bad name",
        client_software_version: "1",
        ..Default::default()
    };
    let body = client.call(3, &request);
    let response = api_versions::Response::decode(3, &mut Reader::new(&body)).unwrap();
    assert_eq!(response.error_code, ErrorCode::InvalidRequest);
}

#[test]
fn a_replicas_fetch_is_refused_on_a_clients_port() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.send(12, &fetch::Request { replica_id: 1, ..Default::default() });
    assert!(client.is_closed());
}

#[test]
fn unknown_sessions_and_topic_ids_have_their_own_errors() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    let body = client.call(12, &fetch::Request { session_id: 5, session_epoch: 1, ..Default::default() });
    let response = fetch::Response::decode(12, &mut Reader::new(&body)).unwrap();
    assert_eq!(response.error_code, ErrorCode::FetchSessionIdNotFound);
    let partitions = [fetch::Partition { partition_max_bytes: 1, ..Default::default() }];
    let topics = [fetch::Topic {
        topic_id: Uuid::from_u128(77),
        partitions: List::of(&partitions),
        ..Default::default()
    }];
    let body = client.call(17, &fetch::Request { topics: List::of(&topics), ..Default::default() });
    let response = fetch::Response::decode(17, &mut Reader::new(&body)).unwrap();
    let topic = response.responses.iter().next().unwrap();
    assert_eq!(topic.partitions.iter().next().unwrap().error_code, ErrorCode::UnknownTopicId);
}

#[test]
fn what_does_not_exist_yet_is_refused_for_good() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    let request = init_producer_id::Request { transactional_id: Some("tx"), ..Default::default() };
    let body = client.call(4, &request);
    let error = init_producer_id::Response::decode(4, &mut Reader::new(&body)).unwrap().error_code;
    assert!(error != ErrorCode::None && !error.is_retriable(), "{error:?}");
    // Groups have a coordinator; transactions have none.
    let request =
        find_coordinator::Request { key_type: 1, coordinator_keys: vec!["a", "b"], ..Default::default() };
    let body = client.call(4, &request);
    let response = find_coordinator::Response::decode(4, &mut Reader::new(&body)).unwrap();
    assert_eq!(response.coordinators.len(), 2);
    for coordinator in response.coordinators {
        assert_ne!(coordinator.error_code, ErrorCode::None);
        assert!(!coordinator.error_code.is_retriable());
    }
}

#[test]
fn producer_ids_are_never_given_twice() {
    let mut broker = Broker::start(&[]);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut client = broker.client();
        for _ in 0..5 {
            let body = client.call(4, &init_producer_id::Request::default());
            let response = init_producer_id::Response::decode(4, &mut Reader::new(&body)).unwrap();
            assert_eq!((response.error_code, response.producer_epoch), (ErrorCode::None, 0));
            assert!(!seen.contains(&response.producer_id));
            seen.push(response.producer_id);
        }
        broker.restart();
    }
}

#[test]
fn an_idempotent_producer_gets_an_id_of_its_own_whatever_it_says_it_has() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    let mut ask = |producer_id, producer_epoch| {
        let request =
            init_producer_id::Request { producer_id, producer_epoch, ..init_producer_id::Request::default() };
        let body = client.call(4, &request);
        let response = init_producer_id::Response::decode(4, &mut Reader::new(&body)).unwrap();
        (response.error_code, response.producer_id, response.producer_epoch)
    };
    // @platformatic/kafka sends zeros for none: its producers must not become one.
    let answers = [ask(0, 0), ask(0, 0), ask(1_000_000, 7)];
    assert!(answers.iter().all(|&(error, _, epoch)| (error, epoch) == (ErrorCode::None, 0)), "{answers:?}");
    let ids: BTreeSet<i64> = answers.iter().map(|(_, id, _)| *id).collect();
    assert_eq!(ids.len(), 3, "{answers:?}");
    assert!(!ids.contains(&1_000_000));
    assert_eq!(ask(-1, 0), (ErrorCode::InvalidRequest, -1, -1));
    assert_eq!(ask(0, -1), (ErrorCode::InvalidRequest, -1, -1));
}

#[test]
fn a_request_that_comes_byte_by_byte_is_served() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let frame = client.produce_frame(9, "t", 0, -1, &batch(&[b"slowly"]));
    for byte in frame {
        client.send_bytes(&[byte]);
        std::thread::sleep(Duration::from_micros(200));
    }
    let body = client.receive(ApiKey::Produce, 9, client.correlation());
    assert_eq!(produced(9, &body), (ErrorCode::None, 0));
}

#[test]
fn a_half_closed_connection_gets_its_answers() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let mut frames = Vec::new();
    for i in 0..20u8 {
        frames.extend(client.produce_frame(9, "t", 0, -1, &batch(&[&[i]])));
    }
    client.send_bytes(&frames);
    client.stream.shutdown(Shutdown::Write).unwrap();
    for i in 0..20i64 {
        let body = client.receive(ApiKey::Produce, 9, 2 + i as i32);
        assert_eq!(produced(9, &body), (ErrorCode::None, i));
    }
    assert!(client.is_closed());
}

#[test]
fn slow_and_silent_connections_are_closed_in_time() {
    let broker =
        Broker::start(&["net.first_frame_ms=700", "net.frame_ms=700", "connections.max.idle.ms=700"]);
    let mut never_spoke = broker.client();
    let mut stuck = broker.client();
    stuck.send_bytes(&[&100_000i32.to_be_bytes()[..], &header(0, 9)].concat());
    let mut idle = broker.client();
    assert_eq!(idle.metadata_of("t").0, ErrorCode::None);
    for client in [&mut never_spoke, &mut stuck, &mut idle] {
        assert!(client.is_closed());
    }
    assert_eq!(broker.client().metadata_of("t").0, ErrorCode::None);
}

#[test]
fn connections_above_the_limit_are_refused() {
    let broker = Broker::start(&["max.connections.per.ip=3"]);
    let mut kept: Vec<Client> = (0..3).map(|_| broker.client()).collect();
    for client in &mut kept {
        assert_eq!(client.metadata_of("t").0, ErrorCode::None);
    }
    assert!(broker.client().is_closed());
    drop(kept.pop());
    // The place is free once the broker has seen the end of the connection.
    let mut admitted = false;
    for _ in 0..200 {
        let mut client = broker.client();
        client.send(3, &api_versions::Request::default());
        if !client.is_closed() {
            admitted = true;
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(admitted);
}

#[test]
fn consumers_that_stop_reading_do_not_stop_producers() {
    let broker = Broker::start(&[]);
    let mut producer = broker.client();
    producer.create_topic("t", 1, &[]);
    let value = vec![5; 500_000];
    for i in 0..40i64 {
        assert_eq!(producer.produce("t", 0, -1, &batch(&[&value])), (ErrorCode::None, i));
    }
    let mut stuck = Vec::new();
    for _ in 0..50 {
        let mut client = broker.client();
        for _ in 0..20 {
            client.send_fetch("t", 0, 0, Want { partition_max_bytes: 10 << 20, ..Want::default() });
        }
        stuck.push(client);
    }
    for i in 40..140i64 {
        assert_eq!(producer.produce("t", 0, -1, &batch(&[&value])), (ErrorCode::None, i));
    }
    let mut reader = broker.client();
    let (error, _, records) = reader.fetch("t", 0, 139, Want::default());
    assert_eq!((error, values(&records).len()), (ErrorCode::None, 1));
}

#[test]
fn requests_that_ask_for_far_too_much_end_the_connection() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    let resource = wire::describe_configs::Resource {
        resource_type: wire::describe_configs::RESOURCE_BROKER,
        resource_name: "1",
        configuration_keys: None,
    };
    let request = wire::describe_configs::Request { resources: vec![resource; 20_000], ..Default::default() };
    client.send(4, &request);
    assert!(client.is_closed());
    let mut client = broker.client();
    let request = find_coordinator::Request { coordinator_keys: vec!["k"; 100_000], ..Default::default() };
    client.send(4, &request);
    assert!(client.is_closed());
    assert_eq!(broker.client().metadata_of("t").0, ErrorCode::None);
}

#[test]
fn a_thousand_idle_connections_do_not_disturb_a_producer() {
    let broker = Broker::start(&[]);
    let mut producer = broker.client();
    producer.create_topic("t", 1, &[]);
    let idle: Vec<Client> = (0..1000).map(|_| broker.client()).collect();
    for i in 0..100i64 {
        assert_eq!(producer.produce("t", 0, -1, &batch(&[b"x"])), (ErrorCode::None, i));
    }
    for mut client in idle.into_iter().step_by(100) {
        assert_eq!(client.metadata_of("t").0, ErrorCode::None);
    }
}
