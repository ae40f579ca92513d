//! A broker in this process, and a client whose exchanges take nothing from the heap.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use server::{Config, Running, Sources};
use wire::{ApiKey, List, Message, Reader, Records, RequestHeader, ResponseHeader, Writer};
use wire::{create_topics, fetch, produce};

use crate::real_dir;

const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
const CREATE_TOPICS_VERSION: i16 = 7;

/// The topic that every client of this module uses.
const TOPIC: &str = "bench";

/// A running broker over a fresh directory.
pub struct Broker {
    running: Option<Running>,
    _dir: tempfile::TempDir,
}

impl Broker {
    /// Starts one on these CPUs, with a topic of `partitions` partitions.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(cores: &str, partitions: i32) -> Broker {
        let dir = real_dir();
        let set = vec![
            format!("log.dirs={}", dir.path().join("data").display()),
            "listeners=PLAINTEXT://127.0.0.1:0".to_owned(),
            format!("server.cores={cores}"),
        ];
        let sources = Sources { set, ..Sources::default() };
        let running = server::start(Config::load(&sources).expect("settings")).expect("a broker");
        let broker = Broker { running: Some(running), _dir: dir };
        broker.client().create_topic(partitions);
        broker
    }

    fn address(&self) -> SocketAddr {
        self.running.as_ref().expect("it runs until it is dropped").bound()[0]
    }

    /// A new connection.
    ///
    /// # Panics
    /// If there is none to be had.
    #[must_use]
    pub fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address()).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Client { stream, answer: vec![0; 4 << 20] }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().expect("a clean stop");
        }
    }
}

/// A connection that sends requests made beforehand.
pub struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

fn frame<'a, M: Message<'a>>(api_version: i16, body: &M) -> Vec<u8> {
    let header = RequestHeader { api_key: M::KEY, api_version, correlation_id: 1, client_id: Some("bench") };
    let mut w = Writer::new();
    header.frame(body, &mut w);
    w.into_head()
}

impl Client {
    /// The frame that produces a batch, acks=all.
    #[must_use]
    pub fn produce_frame(partition: i32, batch: &[u8]) -> Vec<u8> {
        let partitions = [produce::PartitionData { index: partition, records: Records::copied(batch) }];
        let topic =
            produce::TopicData { name: TOPIC, partition_data: List::of(&partitions), ..Default::default() };
        let topics = [topic];
        let topic_data = List::of(&topics);
        frame(
            PRODUCE_VERSION,
            &produce::Request { acks: -1, timeout_ms: 1000, topic_data, ..Default::default() },
        )
    }

    /// The frame that fetches one partition from an offset on.
    #[must_use]
    pub fn fetch_frame(partition: i32, fetch_offset: i64, bytes_max: i32) -> Vec<u8> {
        Client::session_frame((0, -1), Some((partition, fetch_offset)), bytes_max)
    }

    /// The frame that fetches within a session, given as id and epoch; one partition is asked for, or
    /// nothing beyond what the session knows.
    #[must_use]
    pub fn session_frame(session: (i32, i32), asked: Option<(i32, i64)>, bytes_max: i32) -> Vec<u8> {
        let (partition, fetch_offset) = asked.unwrap_or_default();
        let partitions = [fetch::Partition {
            partition,
            fetch_offset,
            partition_max_bytes: bytes_max,
            ..Default::default()
        }];
        let topics = [fetch::Topic { topic: TOPIC, partitions: List::of(&partitions), ..Default::default() }];
        let topics = if asked.is_some() { List::of(&topics) } else { List::default() };
        let request = fetch::Request {
            max_wait_ms: 100,
            min_bytes: 1,
            max_bytes: bytes_max,
            session_id: session.0,
            session_epoch: session.1,
            topics,
            ..Default::default()
        };
        frame(FETCH_VERSION, &request)
    }

    /// Sends a frame and waits for its whole answer.
    ///
    /// # Panics
    /// If the connection ends.
    pub fn exchange(&mut self, frame: &[u8]) -> &[u8] {
        self.stream.write_all(frame).expect("send");
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).expect("an answer");
        let answer = &mut self.answer[..u32::from_be_bytes(length) as usize];
        self.stream.read_exact(answer).expect("a whole answer");
        answer
    }

    /// Produces and checks that it worked; the base offset.
    ///
    /// # Panics
    /// If the batch was refused.
    pub fn produce(&mut self, frame: &[u8]) -> i64 {
        let mut r = Reader::new(self.exchange(frame));
        ResponseHeader::decode(ApiKey::Produce, PRODUCE_VERSION, &mut r).expect("a header");
        let response = produce::Response::decode(PRODUCE_VERSION, &mut r).expect("an answer");
        let topic = response.responses.iter().next().expect("the topic");
        let partition = topic.partition_responses.iter().next().expect("the partition");
        assert_eq!(partition.error_code, wire::ErrorCode::None);
        partition.base_offset
    }

    /// Fetches and checks that records came; their bytes.
    ///
    /// # Panics
    /// If none came.
    pub fn fetch(&mut self, frame: &[u8]) -> usize {
        let mut r = Reader::new(self.exchange(frame));
        ResponseHeader::decode(ApiKey::Fetch, FETCH_VERSION, &mut r).expect("a header");
        let response = fetch::Response::decode(FETCH_VERSION, &mut r).expect("an answer");
        let topic = response.responses.iter().next().expect("the topic");
        let partition = topic.partitions.iter().next().expect("the partition");
        assert_eq!(partition.error_code, wire::ErrorCode::None);
        let bytes = partition.records.as_bytes().map_or(0, <[u8]>::len);
        assert!(bytes > 0, "no records");
        bytes
    }

    /// Opens a fetch session over one partition; its id.
    ///
    /// # Panics
    /// If none was opened.
    pub fn open_session(&mut self, asked: (i32, i64), bytes_max: i32) -> i32 {
        let frame = Client::session_frame((0, 0), Some(asked), bytes_max);
        let mut r = Reader::new(self.exchange(&frame));
        ResponseHeader::decode(ApiKey::Fetch, FETCH_VERSION, &mut r).expect("a header");
        let id = fetch::Response::decode(FETCH_VERSION, &mut r).expect("an answer").session_id;
        assert!(id > 0, "no session");
        id
    }

    fn create_topic(&mut self, num_partitions: i32) {
        let topic = create_topics::Topic {
            name: TOPIC,
            num_partitions,
            replication_factor: -1,
            ..Default::default()
        };
        let request = create_topics::Request { topics: vec![topic], timeout_ms: 1000, ..Default::default() };
        let mut r = Reader::new(self.exchange(&frame(CREATE_TOPICS_VERSION, &request)));
        ResponseHeader::decode(ApiKey::CreateTopics, CREATE_TOPICS_VERSION, &mut r).expect("a header");
        let response = create_topics::Response::decode(CREATE_TOPICS_VERSION, &mut r).expect("an answer");
        assert_eq!(response.topics[0].error_code, wire::ErrorCode::None);
    }
}
