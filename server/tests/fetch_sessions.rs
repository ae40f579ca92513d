//! Incremental fetch sessions (KIP-227), as a client sees them.

mod harness;

use harness::{Broker, Client, batch, values};
use uuid::Uuid;
use wire::{ErrorCode, List, Message, Reader, fetch, metadata};

/// One fetch of topic `t`: what is asked, by whom.
#[derive(Default)]
struct Ask<'a> {
    version: i16,
    session: (i32, i32),
    partitions: &'a [(i32, i64)],
    forgotten: &'a [i32],
    max_wait_ms: i32,
    partition_max_bytes: i32,
    topic_id: Uuid,
}

/// What came back: the error and session of the whole answer, and each partition that it names.
#[derive(Debug)]
struct Told {
    error: ErrorCode,
    session: i32,
    partitions: Vec<Partition>,
}

#[derive(Debug, PartialEq)]
struct Partition {
    index: i32,
    error: ErrorCode,
    high_watermark: i64,
    records: usize,
}

impl Told {
    fn indexes(&self) -> Vec<i32> {
        self.partitions.iter().map(|p| p.index).collect()
    }
}

fn frame(client: &mut Client, ask: &Ask<'_>) -> Vec<u8> {
    let bytes_max = if ask.partition_max_bytes > 0 { ask.partition_max_bytes } else { 1 << 20 };
    let partition = |&(partition, fetch_offset): &(i32, i64)| fetch::Partition {
        partition,
        fetch_offset,
        partition_max_bytes: bytes_max,
        ..Default::default()
    };
    let partitions: Vec<fetch::Partition> = ask.partitions.iter().map(partition).collect();
    let (name, topic_id) = if ask.version >= 13 { ("", ask.topic_id) } else { ("t", Uuid::nil()) };
    let topic = fetch::Topic { topic: name, topic_id, partitions: List::of(&partitions) };
    let forgotten = fetch::ForgottenTopic { topic: name, topic_id, partitions: List::of(ask.forgotten) };
    let topics = if partitions.is_empty() { vec![] } else { vec![topic] };
    let gone = if ask.forgotten.is_empty() { vec![] } else { vec![forgotten] };
    let request = fetch::Request {
        max_wait_ms: ask.max_wait_ms,
        min_bytes: 1,
        max_bytes: 50 << 20,
        session_id: ask.session.0,
        session_epoch: ask.session.1,
        topics: List::of(&topics),
        forgotten_topics_data: List::of(&gone),
        ..Default::default()
    };
    client.frame(ask.version, &request)
}

fn read(version: i16, body: &[u8]) -> Told {
    let response = fetch::Response::decode(version, &mut Reader::new(body)).unwrap();
    let mut partitions = Vec::new();
    for topic in &response.responses {
        for p in &topic.partitions {
            let records = values(p.records.as_bytes().unwrap_or_default()).len();
            partitions.push(Partition {
                index: p.partition_index,
                error: p.error_code,
                high_watermark: p.high_watermark,
                records,
            });
        }
    }
    Told { error: response.error_code, session: response.session_id, partitions }
}

fn ask(client: &mut Client, ask: Ask<'_>) -> Told {
    let frame = frame(client, &ask);
    client.send_bytes(&frame);
    let correlation = client.correlation();
    let body = client.receive(wire::ApiKey::Fetch, ask.version, correlation);
    read(ask.version, &body)
}

/// Opens a session of these partitions from their starts.
fn open(client: &mut Client, partitions: &[(i32, i64)]) -> Told {
    ask(client, Ask { version: 12, session: (0, 0), partitions, ..Default::default() })
}

/// Goes on with it.
fn go_on(client: &mut Client, session: (i32, i32), partitions: &[(i32, i64)], forgotten: &[i32]) -> Told {
    ask(client, Ask { version: 12, session, partitions, forgotten, ..Default::default() })
}

#[test]
fn a_session_names_only_what_changed() {
    let broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    client.create_topic("t", 4, &[]);
    client.produce("t", 2, -1, &batch(&[b"a"]));
    let opened = open(&mut client, &[(0, 0), (1, 0), (2, 0), (3, 0)]);
    assert_eq!((opened.error, opened.indexes()), (ErrorCode::None, vec![0, 1, 2, 3]));
    let id = opened.session;
    assert!(id > 0);

    let told = go_on(&mut client, (id, 1), &[(2, 1)], &[]);
    assert_eq!((told.error, told.session, told.indexes()), (ErrorCode::None, id, vec![]));
    client.produce("t", 1, -1, &batch(&[b"b"]));
    client.produce("t", 3, -1, &batch(&[b"c", b"d"]));
    let told = go_on(&mut client, (id, 2), &[], &[]);
    let mut seen: Vec<(i32, usize)> = told.partitions.iter().map(|p| (p.index, p.records)).collect();
    seen.sort_unstable();
    assert_eq!(seen, [(1, 1), (3, 2)]);
    // What is not read comes again, until the client moves on.
    assert_eq!(go_on(&mut client, (id, 3), &[(1, 1)], &[]).indexes(), [3]);
    assert_eq!(go_on(&mut client, (id, 4), &[(3, 2)], &[]).indexes(), Vec::<i32>::new());
}

#[test]
fn a_high_watermark_or_an_error_is_news_without_records() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    let id = open(&mut client, &[(0, 0), (1, 7), (5, 0)]).session;
    for epoch in 1..3 {
        let told = go_on(&mut client, (id, epoch), &[], &[]);
        let expected = [(1, ErrorCode::OffsetOutOfRange), (5, ErrorCode::UnknownTopicOrPartition)];
        let seen: Vec<_> = told.partitions.iter().map(|p| (p.index, p.error)).collect();
        assert_eq!(seen, expected, "errors are told every time");
    }
    let told = go_on(&mut client, (id, 3), &[(1, 0)], &[5]);
    assert_eq!(
        told.partitions,
        [Partition { index: 1, error: ErrorCode::None, high_watermark: 0, records: 0 }]
    );
    // Another client's record: with no bytes left to give it, its watermark is told alone.
    client.produce("t", 0, -1, &batch(&[b"x"]));
    client.produce("t", 1, -1, &batch(&[b"y"]));
    let first = Ask {
        version: 12,
        session: (id, 4),
        partitions: &[(0, 0), (1, 0)],
        partition_max_bytes: 1,
        ..Default::default()
    };
    let mut told: Vec<_> =
        ask(&mut client, first).partitions.iter().map(|p| (p.high_watermark, p.records)).collect();
    told.sort_unstable();
    assert_eq!(told, [(1, 0), (1, 1)], "the first gives a batch above the limit, the other its watermark");
}

#[test]
fn no_partition_of_a_session_starves() {
    let broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    client.create_topic("t", 6, &[]);
    for partition in 0..6 {
        for _ in 0..3 {
            client.produce("t", partition, -1, &batch(&[b"record"]));
        }
    }
    // One byte is allowed: each answer holds the one batch that is always given.
    let narrow = |session, partitions| Ask {
        version: 12,
        session,
        partitions,
        partition_max_bytes: 1,
        ..Default::default()
    };
    let all: Vec<(i32, i64)> = (0..6).map(|p| (p, 0)).collect();
    let first = ask(&mut client, narrow((0, 0), &all));
    let mut gave: Vec<i32> = first.partitions.iter().filter(|p| p.records > 0).map(|p| p.index).collect();
    for epoch in 1..6 {
        // The client does not even move on: others get their turn all the same.
        let told = ask(&mut client, narrow((first.session, epoch), &[]));
        gave.extend(told.partitions.iter().filter(|p| p.records > 0).map(|p| p.index));
    }
    gave.sort_unstable();
    assert_eq!(gave, [0, 1, 2, 3, 4, 5], "each gave once in six answers");
}

#[test]
fn requests_that_do_not_fit_their_session_are_refused_as_a_whole() {
    let broker = Broker::start_on("0,1", &[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.produce("t", 0, -1, &batch(&[b"a"]));
    let id = open(&mut client, &[(0, 0)]).session;
    let refused = |client: &mut Client, asked: Ask<'_>, expected: ErrorCode| {
        let told = ask(client, asked);
        assert_eq!((told.error, told.session, told.partitions.len()), (expected, 0, 0));
    };
    let on = |session| Ask { version: 12, session, ..Default::default() };
    refused(&mut client, on((id ^ 64, 1)), ErrorCode::FetchSessionIdNotFound);
    refused(&mut client, on((0, 1)), ErrorCode::FetchSessionIdNotFound);
    refused(&mut client, on((i32::MIN, 1)), ErrorCode::FetchSessionIdNotFound);
    for epoch in [2, 7, -2, i32::MAX] {
        refused(&mut client, on((id, epoch)), ErrorCode::InvalidFetchSessionEpoch);
    }
    let by_id = Ask { version: 13, session: (id, 1), ..Default::default() };
    refused(&mut client, by_id, ErrorCode::FetchSessionTopicIdError);
    assert_eq!(go_on(&mut client, (id, 1), &[], &[]).indexes(), [0], "the session is as it was");
    refused(&mut client, on((id, 1)), ErrorCode::InvalidFetchSessionEpoch);
}

#[test]
fn a_session_is_closed_by_its_client() {
    let broker = Broker::start_on("0,1", &[]);
    // Connections land on either core: a session is closed wherever the request arrives.
    for _ in 0..4 {
        let (mut client, mut other) = (broker.client(), broker.client());
        client.create_topic("t", 2, &[]);
        let gone = |client: &mut Client, id, epoch| {
            let told = go_on(client, (id, epoch), &[], &[]);
            assert_eq!(told.error, ErrorCode::FetchSessionIdNotFound);
        };
        let id = open(&mut client, &[(0, 0)]).session;
        let closed = ask(
            &mut client,
            Ask { version: 12, session: (id, -1), partitions: &[(0, 0)], ..Default::default() },
        );
        assert_eq!((closed.error, closed.session, closed.indexes()), (ErrorCode::None, 0, vec![0]));
        gone(&mut client, id, 1);
        let id = open(&mut client, &[(0, 0)]).session;
        let opened = ask(
            &mut client,
            Ask { version: 12, session: (id, 0), partitions: &[(1, 0)], ..Default::default() },
        );
        assert!(opened.session > 0 && opened.session != id, "another one is opened in its place");
        gone(&mut client, id, 1);
        let told = go_on(&mut client, (opened.session, 1), &[], &[1]);
        assert_eq!(
            (told.error, told.session, told.indexes()),
            (ErrorCode::None, 0, vec![]),
            "nothing is left"
        );
        gone(&mut client, opened.session, 2);
        let id = open(&mut client, &[(0, 0)]).session;
        ask(&mut other, Ask { version: 12, session: (id, -1), ..Default::default() });
        // Mail between cores is handled before the answer of a call that went the same way after it.
        other.produce("t", 0, -1, &batch(&[b"x"]));
        other.produce("t", 1, -1, &batch(&[b"x"]));
        gone(&mut client, id, 1);
    }
}

#[test]
fn topics_may_be_named_by_id() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    let body = client.call(12, &metadata::Request { topics: None, ..Default::default() });
    let topic_id = metadata::Response::decode(12, &mut Reader::new(&body)).unwrap().topics[0].topic_id;
    for version in [13, 17] {
        let by_id =
            |session, partitions| Ask { version, session, partitions, topic_id, ..Default::default() };
        let opened = ask(&mut client, by_id((0, 0), &[(0, 0), (1, 0)]));
        assert_eq!((opened.error, opened.indexes()), (ErrorCode::None, vec![0, 1]));
        assert_eq!(ask(&mut client, by_id((opened.session, 1), &[])).indexes(), Vec::<i32>::new());
        let unknown = Ask { topic_id: Uuid::from_u128(9), ..by_id((opened.session, 2), &[(0, 0)]) };
        let told = ask(&mut client, unknown);
        assert_eq!((told.error, told.partitions[0].error), (ErrorCode::None, ErrorCode::UnknownTopicId));
        let by_name = go_on(&mut client, (opened.session, 3), &[], &[]);
        assert_eq!(by_name.error, ErrorCode::FetchSessionTopicIdError);
    }
}

#[test]
fn a_session_waits_for_any_of_its_partitions() {
    let broker = Broker::start_on("0,1", &[]);
    let (mut client, mut writer) = (broker.client(), broker.client());
    client.create_topic("t", 4, &[]);
    let id = open(&mut client, &[(0, 0), (1, 0), (2, 0), (3, 0)]).session;
    let mut read_before = vec![];
    for (epoch, partition) in (1..).zip([0, 3, 1, 2]) {
        let request = Ask {
            version: 12,
            session: (id, epoch),
            partitions: &read_before,
            max_wait_ms: 15_000,
            ..Default::default()
        };
        let sent = frame(&mut client, &request);
        client.send_bytes(&sent);
        writer.produce("t", partition, -1, &batch(&[b"wake"]));
        let correlation = client.correlation();
        let told = read(12, &client.receive(wire::ApiKey::Fetch, 12, correlation));
        assert_eq!(
            told.partitions.iter().map(|p| (p.index, p.records)).collect::<Vec<_>>(),
            [(partition, 1)]
        );
        read_before = vec![(partition, 1)];
    }
}

#[test]
fn slots_that_are_used_up_leave_clients_without_a_session() {
    let broker = Broker::start(&["max.incremental.fetch.session.cache.slots=2"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.produce("t", 0, -1, &batch(&[b"a"]));
    let first = open(&mut client, &[(0, 0)]).session;
    assert!(first > 0 && open(&mut client, &[(0, 0)]).session > 0);
    for _ in 0..3 {
        let told = open(&mut client, &[(0, 0)]);
        assert_eq!((told.error, told.session, told.partitions[0].records), (ErrorCode::None, 0, 1));
    }
    assert_eq!(go_on(&mut client, (first, 1), &[], &[]).indexes(), [0], "those that are open stay");
    ask(&mut client, Ask { version: 12, session: (first, -1), ..Default::default() });
    assert!(open(&mut client, &[(0, 0)]).session > 0, "a slot that was given back is used again");
}

#[test]
fn a_session_that_grows_without_end_is_closed() {
    let broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let id = open(&mut client, &[(0, 0)]).session;
    let closed = (1..100).find(|&epoch| {
        let from = epoch * 20_000;
        let many: Vec<(i32, i64)> = (from..from + 20_000).map(|p| (p, 0)).collect();
        let told = go_on(&mut client, (id, epoch), &many, &[]);
        told.error == ErrorCode::FetchSessionIdNotFound
    });
    assert!(closed.is_some_and(|epoch| epoch > 1), "{closed:?}");
    assert!(open(&mut client, &[(0, 0)]).session > 0);
}

#[test]
fn a_fetch_behind_an_epoch_that_was_cut_is_told_where_to_go_back_to() {
    let mut broker = Broker::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("flush.messages", "1000")]);
    client.produce("t", 0, -1, &batch(&[b"a", b"b"]));
    broker.stop();
    std::fs::remove_file(broker.data().join("clean")).unwrap();
    broker.restart();
    let mut client = broker.client();
    client.produce("t", 0, -1, &batch(&[b"c"]));
    let mut from = |fetch_offset, last_fetched_epoch| {
        let partitions = [fetch::Partition {
            fetch_offset,
            last_fetched_epoch,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        }];
        let topics = [fetch::Topic { topic: "t", partitions: List::of(&partitions), ..Default::default() }];
        let request = fetch::Request {
            max_wait_ms: 15_000,
            min_bytes: 1,
            max_bytes: 1 << 20,
            topics: List::of(&topics),
            ..Default::default()
        };
        let body = client.call(12, &request);
        let response = fetch::Response::decode(12, &mut Reader::new(&body)).unwrap();
        let topic = response.responses.iter().next().unwrap();
        let p = topic.partitions.iter().next().unwrap();
        let diverging = (p.diverging_epoch.epoch, p.diverging_epoch.end_offset);
        (p.error_code, diverging, values(p.records.as_bytes().unwrap_or_default()).len())
    };
    assert_eq!(from(2, 0), (ErrorCode::None, (-1, -1), 1), "the log goes on where epoch 0 ended");
    assert_eq!(from(2, 1), (ErrorCode::None, (-1, -1), 1));
    assert_eq!(from(3, 0), (ErrorCode::None, (0, 2), 0), "epoch 0 ended at 2 here: go back");
    assert_eq!(from(0, 9).0, ErrorCode::OffsetOutOfRange, "an epoch that never was");
}
