//! What was acknowledged can be read, in order, after a restart too.

mod harness;

use std::time::Duration;

use harness::{Broker, Client, Want, batch, batch_at, fetched, produced, values};
use wire::{ApiKey, ErrorCode, Message, Reader, find_coordinator, metadata};

/// Reads a partition to its end.
fn read_all(client: &mut Client, topic: &str, partition: i32) -> Vec<(i64, Vec<u8>)> {
    let mut out: Vec<(i64, Vec<u8>)> = Vec::new();
    loop {
        let from = out.last().map_or(0, |(offset, _)| offset + 1);
        let (error, high_watermark, records) = client.fetch(topic, partition, from, Want::default());
        assert_eq!(error, ErrorCode::None);
        out.extend(values(&records).into_iter().filter(|(offset, _)| *offset >= from));
        if out.len() as i64 == high_watermark {
            return out;
        }
    }
}

#[test]
fn what_was_produced_is_read_back_and_survives_a_restart() {
    let mut broker = Broker::start(&[]);
    let mut client = broker.client();
    assert_eq!(client.create_topic("orders", 1, &[]), ErrorCode::None);
    for i in 0..10u8 {
        let sent = client.produce("orders", 0, -1, &batch(&[&[i], &[i, i]]));
        assert_eq!(sent, (ErrorCode::None, i64::from(i) * 2));
    }
    let expected: Vec<(i64, Vec<u8>)> =
        (0..20).map(|o| (o, vec![(o / 2) as u8; 1 + (o % 2) as usize])).collect();
    assert_eq!(read_all(&mut client, "orders", 0), expected);
    broker.restart();
    let mut client = broker.client();
    assert_eq!(read_all(&mut client, "orders", 0), expected);
    assert_eq!(client.produce("orders", 0, 1, &batch(&[b"after"])), (ErrorCode::None, 20));
}

#[test]
fn a_topic_is_created_on_first_use_and_can_be_deleted() {
    let broker = Broker::start(&["num.partitions=3"]);
    let mut client = broker.client();
    assert_eq!(client.metadata_of("fresh"), (ErrorCode::None, 3));
    assert_eq!(client.produce("fresh", 2, -1, &batch(&[b"x"])), (ErrorCode::None, 0));
    assert_eq!(client.delete_topic("fresh"), ErrorCode::None);
    assert_eq!(client.produce("fresh", 2, -1, &batch(&[b"x"])).0, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(client.metadata_of("../../etc").0, ErrorCode::InvalidTopicException);
    assert_eq!(client.create_topic("../../etc", 1, &[]), ErrorCode::InvalidTopicException);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let first = client.correlation() + 1;
    let mut frames = Vec::new();
    for i in 0..100u8 {
        frames.extend(client.produce_frame(9, "t", 0, -1, &batch(&[&[i]])));
        if i % 10 == 9 {
            frames.extend(client.frame(3, &wire::api_versions::Request::default()));
        }
    }
    client.send_bytes(&frames);
    let mut correlation = first;
    for i in 0..100i64 {
        let body = client.receive(ApiKey::Produce, 9, correlation);
        assert_eq!(produced(9, &body), (ErrorCode::None, i));
        correlation += 1;
        if i % 10 == 9 {
            client.receive(ApiKey::ApiVersions, 3, correlation);
            correlation += 1;
        }
    }
}

#[test]
fn acks_0_is_never_answered_and_an_error_closes() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.send_produce(9, "t", 0, 0, &batch(&[b"silent"]));
    // The next answer is that of the next request.
    let (error, _, records) = client.fetch("t", 0, 0, Want { max_wait_ms: 5000, ..Want::default() });
    assert_eq!((error, values(&records)), (ErrorCode::None, vec![(0, b"silent".to_vec())]));
    client.send_produce(9, "nowhere", 0, 0, &batch(&[b"x"]));
    assert!(client.is_closed());
}

#[test]
fn a_fetch_waits_for_the_next_batch() {
    let broker = Broker::start(&[]);
    let (mut reader, mut writer) = (broker.client(), broker.client());
    writer.create_topic("t", 1, &[]);
    reader.send_fetch("t", 0, 0, Want { max_wait_ms: 15_000, ..Want::default() });
    assert_eq!(writer.produce("t", 0, -1, &batch(&[b"wake"])), (ErrorCode::None, 0));
    let body = reader.receive(ApiKey::Fetch, 12, 1);
    assert_eq!(values(&fetched(&body).2), vec![(0, b"wake".to_vec())]);
    // Nothing new: the answer is empty once the time is up.
    let (error, high_watermark, records) =
        reader.fetch("t", 0, 1, Want { max_wait_ms: 50, ..Want::default() });
    assert_eq!((error, high_watermark, records.len()), (ErrorCode::None, 1, 0));
}

#[test]
fn the_first_batch_comes_whole_above_every_limit() {
    let broker = Broker::start(&["message.max.bytes=4000000"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let large = vec![7; 3_000_000];
    assert_eq!(client.produce("t", 0, -1, &batch(&[&large])), (ErrorCode::None, 0));
    assert_eq!(client.produce("t", 0, -1, &batch(&[b"small"])), (ErrorCode::None, 1));
    let want = Want { max_bytes: 1, partition_max_bytes: 1, ..Want::default() };
    let (error, _, records) = client.fetch("t", 0, 0, want);
    assert_eq!((error, values(&records)), (ErrorCode::None, vec![(0, large)]));
}

#[test]
fn requests_larger_than_the_memory_for_them_come_in_one_at_a_time_beside_small_ones() {
    // A mebibyte for each core.
    let broker = Broker::start_on("0,1", &["message.max.bytes=8000000", "net.receive_bytes=2097152"]);
    broker.client().create_topic("t", 8, &[]);
    let large = batch(&[&vec![7; 6_000_000]]);
    std::thread::scope(|scope| {
        for partition in 0..8 {
            let (mut client, large) = (broker.client(), &large);
            let small = batch(&[b"small"]);
            scope.spawn(move || {
                let sent: &[u8] = if partition < 6 { large } else { &small };
                for offset in 0..2 {
                    assert_eq!(client.produce("t", partition, -1, sent), (ErrorCode::None, offset));
                }
            });
        }
    });
}

#[test]
fn large_requests_on_slow_links_wait_for_each_other_and_come_whole() {
    let broker = Broker::start(&["message.max.bytes=8000000", "net.receive_bytes=4194304"]);
    broker.client().create_topic("t", 2, &[]);
    let large = batch(&[&vec![7; 5_000_000]]);
    std::thread::scope(|scope| {
        for partition in 0..2 {
            let (mut client, large) = (broker.client(), &large);
            scope.spawn(move || {
                let frame = client.produce_frame(9, "t", partition, -1, large);
                // More than the two seconds that a sender is given which stands still in others' way.
                for piece in frame.chunks(200_000) {
                    client.send_bytes(piece);
                    std::thread::sleep(Duration::from_millis(160));
                }
                let body = client.receive(ApiKey::Produce, 9, client.correlation());
                assert_eq!(produced(9, &body), (ErrorCode::None, 0));
            });
        }
    });
}

#[test]
fn offsets_outside_the_log_are_refused() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.produce("t", 0, -1, &batch(&[b"x"]));
    for offset in [-1, 2, i64::MAX] {
        let (error, high_watermark, _) = client.fetch("t", 0, offset, Want::default());
        assert_eq!((error, high_watermark), (ErrorCode::OffsetOutOfRange, -1), "offset {offset}");
    }
    assert_eq!(client.fetch("t", 1, 0, Want::default()).0, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn offsets_are_found_by_their_ends_and_by_time() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("message.timestamp.before.max.ms", "9223372036854775807")]);
    for time in [1000, 3000, 2000] {
        client.produce("t", 0, -1, &batch_at(time, &[b"a", b"b"]));
    }
    let mut at = |time: i64| {
        let found = client.list_offset("t", 0, time);
        assert_eq!(found.error_code, ErrorCode::None);
        (found.offset, found.timestamp)
    };
    assert_eq!(at(-1), (6, -1));
    assert_eq!(at(-2), (0, -1));
    assert_eq!(at(-3), (2, 3000));
    assert_eq!(at(0), (0, 1000));
    assert_eq!(at(1500), (2, 3000));
    assert_eq!(at(3001), (-1, -1));
}

#[test]
fn a_topic_with_append_time_carries_the_brokers_clock() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let before = server::runtime::clock::now().wall.0;
    assert_eq!(client.produce("t", 0, -1, &batch_at(5, &[b"x"])), (ErrorCode::None, 0));
    let (_, _, records) = client.fetch("t", 0, 0, Want::default());
    let header = engine::record::BatchHeader::peek(&records).unwrap();
    assert!(header.max_timestamp() >= before);
    assert_eq!(values(&records), vec![(0, b"x".to_vec())]);
}

#[test]
fn partitions_of_another_core_work_through_any_connection() {
    let mut broker = Broker::start_on("0,1", &[]);
    for round in 0..2i64 {
        let mut clients: Vec<Client> = (0..4).map(|_| broker.client()).collect();
        clients[0].create_topic("t", 4, &[]);
        for (i, client) in clients.iter_mut().enumerate() {
            for partition in 0..4 {
                let value = [round as u8, i as u8];
                let sent = client.produce("t", partition, -1, &batch(&[&value]));
                assert_eq!(sent, (ErrorCode::None, round * 4 + i as i64), "partition {partition}");
            }
        }
        for client in &mut clients {
            for partition in 0..4 {
                let read = read_all(client, "t", partition);
                assert_eq!(read.len() as i64, (round + 1) * 4);
                assert_eq!(read.last().unwrap().1, [round as u8, 3]);
            }
        }
        drop(clients);
        broker.restart();
    }
}

#[test]
fn a_fetch_wakes_for_a_partition_of_another_core() {
    let broker = Broker::start_on("0,1", &[]);
    let mut writer = broker.client();
    writer.create_topic("t", 2, &[]);
    for partition in 0..2 {
        // Some of these connections lie on the other core than the partition.
        let mut readers: Vec<Client> = (0..4).map(|_| broker.client()).collect();
        for reader in &mut readers {
            reader.send_fetch("t", partition, 0, Want { max_wait_ms: 15_000, ..Want::default() });
        }
        assert_eq!(writer.produce("t", partition, -1, &batch(&[b"wake"])), (ErrorCode::None, 0));
        for reader in &mut readers {
            let body = reader.receive(ApiKey::Fetch, 12, 1);
            assert_eq!(values(&fetched(&body).2), vec![(0, b"wake".to_vec())]);
        }
    }
}

#[test]
fn an_answer_leaves_although_the_next_request_waits() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.produce("t", 0, -1, &batch(&[b"x"]));
    let first = client.correlation() + 1;
    // Both are here at once, and the second waits for longer than this test does.
    let mut frames = client.fetch_frame("t", 0, 0, Want::default());
    frames.extend(client.fetch_frame("t", 0, 1, Want { max_wait_ms: 60_000, ..Want::default() }));
    client.send_bytes(&frames);
    let body = client.receive(ApiKey::Fetch, 12, first);
    assert_eq!(values(&fetched(&body).2), [(0, b"x".to_vec())]);
    broker.client().produce("t", 0, -1, &batch(&[b"y"]));
    let body = client.receive(ApiKey::Fetch, 12, first + 1);
    assert_eq!(values(&fetched(&body).2), [(1, b"y".to_vec())]);
}

#[test]
fn the_offsets_topic_is_internal_and_clients_do_not_write_it() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    let request = find_coordinator::Request { coordinator_keys: vec!["group"], ..Default::default() };
    let body = client.call(4, &request);
    let found = find_coordinator::Response::decode(4, &mut Reader::new(&body)).expect("an answer");
    assert_eq!(found.coordinators[0].error_code, ErrorCode::None);
    assert_eq!(
        client.produce("__consumer_offsets", 0, -1, &batch(&[b"x"])).0,
        ErrorCode::InvalidTopicException
    );
    let body = client.call(12, &metadata::Request { topics: None, ..Default::default() });
    let answer = metadata::Response::decode(12, &mut Reader::new(&body)).expect("an answer");
    assert!(answer.topics[0].is_internal);
}
