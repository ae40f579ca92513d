//! A broker in a temporary directory, and a client that speaks frames by hand.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use engine::record::BatchBuilder;
use server::{Config, Running, Sources};
use wire::{
    ApiKey, ErrorCode, List, Message, Reader, Records, RequestHeader, ResponseHeader, Writer, create_topics,
    delete_topics, fetch, list_offsets, metadata, produce,
};

/// No answer in this repository's tests takes longer than this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A broker of its own for one test.
pub(crate) struct Broker {
    running: Option<Running>,
    data: PathBuf,
    set: Vec<String>,
    _dir: tempfile::TempDir,
}

impl Broker {
    /// Starts one with these settings on one core.
    pub(crate) fn start(set: &[&str]) -> Broker {
        Broker::start_on("0", set)
    }

    /// Starts one on a list of CPUs.
    pub(crate) fn start_on(cores: &str, set: &[&str]) -> Broker {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let data = dir.path().join("data");
        let mut all = vec![
            format!("log.dirs={}", data.display()),
            "listeners=PLAINTEXT://127.0.0.1:0".to_owned(),
            format!("server.cores={cores}"),
            "memory.pool_bytes=33554432".to_owned(),
            "journal.file_bytes=16777216".to_owned(),
            "journal.first_file_bytes=4194304".to_owned(),
            "ringlog.disk.ballast.bytes=1048576".to_owned(),
        ];
        all.extend(set.iter().map(|s| (*s).to_owned()));
        let mut broker = Broker { running: None, data, set: all, _dir: dir };
        broker.restart();
        broker
    }

    /// Stops it, if it runs, and starts it again on the same data.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let sources = Sources { set: self.set.clone(), ..Sources::default() };
        self.running = Some(server::start(Config::load(&sources).unwrap()).unwrap());
    }

    /// As [`Broker::restart`], with another setting.
    pub(crate) fn restart_with(&mut self, set: &str) {
        self.set.push(set.to_owned());
        self.restart();
    }

    /// Stops it cleanly.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().unwrap();
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.running.as_ref().unwrap().bound()[0]
    }

    /// The addresses of all its listeners.
    pub(crate) fn bound(&self) -> &[SocketAddr] {
        self.running.as_ref().unwrap().bound()
    }

    /// Where its metrics are, if `admin.listen` is set.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.running.as_ref().unwrap().admin()
    }

    /// Its metrics page; `admin.listen` must be set.
    pub(crate) fn metrics(&self) -> String {
        let mut http = TcpStream::connect(self.admin().expect("admin.listen is set")).unwrap();
        http.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut page = String::new();
        http.read_to_string(&mut page).unwrap();
        assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
        page
    }

    pub(crate) fn data(&self) -> &std::path::Path {
        &self.data
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    correlation: i32,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Client {
        Client::over(TcpStream::connect(addr).unwrap())
    }

    /// Speaks over a connection that is there already.
    pub(crate) fn over(stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, correlation: 0 }
    }

    /// The bytes of a request, with its length.
    pub(crate) fn frame<'a, M: Message<'a>>(&mut self, version: i16, body: &M) -> Vec<u8> {
        self.correlation += 1;
        let header = RequestHeader {
            api_key: M::KEY,
            api_version: version,
            correlation_id: self.correlation,
            client_id: Some("test"),
        };
        let mut w = Writer::new();
        header.frame(body, &mut w);
        w.into_head()
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn send<'a, M: Message<'a>>(&mut self, version: i16, body: &M) {
        let frame = self.frame(version, body);
        self.send_bytes(&frame);
    }

    /// The next answer, without its length.
    pub(crate) fn receive_frame(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; i32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        frame
    }

    /// The answer to the last request, or that the connection was closed instead.
    pub(crate) fn receive_unless_closed(&mut self, key: ApiKey, version: i16) -> Option<Vec<u8>> {
        let mut first = [0];
        match self.stream.peek(&mut first).unwrap() {
            0 => None,
            _ => Some(self.receive(key, version, self.correlation)),
        }
    }

    /// The next answer; its correlation id must be this.
    pub(crate) fn receive(&mut self, key: ApiKey, version: i16, correlation: i32) -> Vec<u8> {
        let frame = self.receive_frame();
        let mut r = Reader::new(&frame);
        let header = ResponseHeader::decode(key, version, &mut r).unwrap();
        assert_eq!(header.correlation_id, correlation, "answers leave in request order");
        frame[r.position()..].to_vec()
    }

    /// Sends and waits for the answer's body.
    pub(crate) fn call<'a, M: Message<'a>>(&mut self, version: i16, body: &M) -> Vec<u8> {
        self.send(version, body);
        self.receive(M::KEY, version, self.correlation)
    }

    pub(crate) fn correlation(&self) -> i32 {
        self.correlation
    }

    /// Whether the broker closes the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, Interrupted};
        let mut byte = [0];
        loop {
            match self.stream.read(&mut byte) {
                Ok(0) => return true,
                Ok(_) => {
                    eprintln!("still open: it sent {byte:?}");
                    return false;
                }
                Err(e) if e.kind() == Interrupted => {}
                Err(e) if matches!(e.kind(), ConnectionReset | BrokenPipe | ConnectionAborted) => {
                    return true;
                }
                Err(e) => {
                    eprintln!("still open: {e}");
                    return false;
                }
            }
        }
    }

    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> ErrorCode {
        let configs = configs
            .iter()
            .map(|(name, value)| create_topics::TopicConfig { name, value: Some(value) })
            .collect();
        let topic = create_topics::Topic {
            name,
            num_partitions: partitions,
            replication_factor: -1,
            configs,
            ..Default::default()
        };
        let body = self.call(7, &create_topics::Request { topics: vec![topic], ..Default::default() });
        let response = create_topics::Response::decode(7, &mut Reader::new(&body)).unwrap();
        response.topics[0].error_code
    }

    pub(crate) fn delete_topic(&mut self, name: &str) -> ErrorCode {
        let request =
            delete_topics::Request { topic_names: vec![name], timeout_ms: 1000, ..Default::default() };
        let body = self.call(4, &request);
        delete_topics::Response::decode(4, &mut Reader::new(&body)).unwrap().responses[0].error_code
    }

    /// Produces one batch at a version by name; error code and base offset.
    pub(crate) fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        acks: i16,
        batch: &[u8],
    ) -> (ErrorCode, i64) {
        self.send_produce(9, topic, partition, acks, batch);
        let body = self.receive(ApiKey::Produce, 9, self.correlation);
        produced(9, &body)
    }

    pub(crate) fn send_produce(
        &mut self,
        version: i16,
        topic: &str,
        partition: i32,
        acks: i16,
        batch: &[u8],
    ) {
        let frame = self.produce_frame(version, topic, partition, acks, batch);
        self.send_bytes(&frame);
    }

    pub(crate) fn produce_frame(
        &mut self,
        version: i16,
        topic: &str,
        partition: i32,
        acks: i16,
        batch: &[u8],
    ) -> Vec<u8> {
        let partitions = [produce::PartitionData { index: partition, records: Records::copied(batch) }];
        let topics =
            [produce::TopicData { name: topic, partition_data: List::of(&partitions), ..Default::default() }];
        let request =
            produce::Request { acks, timeout_ms: 1000, topic_data: List::of(&topics), ..Default::default() };
        self.frame(version, &request)
    }

    /// Fetches one partition: error code, high watermark, record bytes.
    pub(crate) fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        from: i64,
        want: Want,
    ) -> (ErrorCode, i64, Vec<u8>) {
        self.send_fetch(topic, partition, from, want);
        let body = self.receive(ApiKey::Fetch, 12, self.correlation);
        fetched(&body)
    }

    pub(crate) fn send_fetch(&mut self, topic: &str, partition: i32, from: i64, want: Want) {
        let frame = self.fetch_frame(topic, partition, from, want);
        self.send_bytes(&frame);
    }

    pub(crate) fn fetch_frame(&mut self, topic: &str, partition: i32, from: i64, want: Want) -> Vec<u8> {
        let partitions = [fetch::Partition {
            partition,
            fetch_offset: from,
            partition_max_bytes: want.partition_max_bytes,
            ..Default::default()
        }];
        let topics = [fetch::Topic { topic, partitions: List::of(&partitions), ..Default::default() }];
        let request = fetch::Request {
            max_wait_ms: want.max_wait_ms,
            min_bytes: want.min_bytes,
            max_bytes: want.max_bytes,
            topics: List::of(&topics),
            ..Default::default()
        };
        self.frame(12, &request)
    }

    pub(crate) fn list_offset(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> list_offsets::PartitionResponse {
        let partition =
            list_offsets::Partition { partition_index: partition, timestamp, ..Default::default() };
        let topic = list_offsets::Topic { name: topic, partitions: vec![partition] };
        let request = list_offsets::Request { replica_id: -1, topics: vec![topic], ..Default::default() };
        let body = self.call(9, &request);
        let response = list_offsets::Response::decode(9, &mut Reader::new(&body)).unwrap();
        response.topics[0].partitions[0].clone()
    }

    pub(crate) fn metadata_of(&mut self, topic: &str) -> (ErrorCode, usize) {
        let topic = metadata::RequestTopic { name: Some(topic), ..Default::default() };
        let request = metadata::Request {
            topics: Some(vec![topic]),
            allow_auto_topic_creation: true,
            ..Default::default()
        };
        let body = self.call(12, &request);
        let response = metadata::Response::decode(12, &mut Reader::new(&body)).unwrap();
        (response.topics[0].error_code, response.topics[0].partitions.len())
    }
}

/// Limits of a fetch.
#[derive(Clone, Copy)]
pub(crate) struct Want {
    pub(crate) max_wait_ms: i32,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
    pub(crate) partition_max_bytes: i32,
}

impl Default for Want {
    fn default() -> Want {
        Want { max_wait_ms: 0, min_bytes: 1, max_bytes: 50 << 20, partition_max_bytes: 1 << 20 }
    }
}

pub(crate) fn produced(version: i16, body: &[u8]) -> (ErrorCode, i64) {
    let response = produce::Response::decode(version, &mut Reader::new(body)).unwrap();
    let topic = response.responses.iter().next().unwrap();
    let partition = topic.partition_responses.iter().next().unwrap();
    (partition.error_code, partition.base_offset)
}

pub(crate) fn fetched(body: &[u8]) -> (ErrorCode, i64, Vec<u8>) {
    let response = fetch::Response::decode(12, &mut Reader::new(body)).unwrap();
    assert_eq!(response.error_code, ErrorCode::None);
    let topic = response.responses.iter().next().unwrap();
    let partition = topic.partitions.iter().next().unwrap();
    let records = partition.records.as_bytes().unwrap_or_default().to_vec();
    (partition.error_code, partition.high_watermark, records)
}

/// A batch of these values at a time.
pub(crate) fn batch_at(timestamp: i64, values: &[&[u8]]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(engine::record::Codec::None);
    for value in values {
        builder.push(timestamp, None, Some(value), &[]);
    }
    let mut out = Vec::new();
    builder.finish_into(&mut out);
    out
}

/// A batch of these values.
pub(crate) fn batch(values: &[&[u8]]) -> Vec<u8> {
    batch_at(server::runtime::clock::now().wall.0, values)
}

/// The values of the records in these batches, each with its offset.
pub(crate) fn values(records: &[u8]) -> Vec<(i64, Vec<u8>)> {
    let mut out = Vec::new();
    let mut rest = records;
    while let Some(header) = engine::record::BatchHeader::peek(rest) {
        let total = header.total_bytes().unwrap();
        assert!(engine::record::crc_matches(&rest[..total]), "a batch came back with another checksum");
        for record in engine::record::Records::of(header, &rest[engine::record::HEADER_BYTES..total]) {
            let record = record.unwrap();
            let offset = header.base_offset().0 + i64::from(record.offset_delta);
            out.push((offset, record.value.unwrap_or_default().to_vec()));
        }
        rest = &rest[total..];
    }
    assert!(rest.is_empty(), "only whole batches come back here");
    out
}
