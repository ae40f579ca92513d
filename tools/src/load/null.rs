//! A broker that keeps nothing: `bench --null` shows what the generator itself can do. One thread a
//! connection, no disk; it acknowledges at once. In tests it keeps what it gets and serves it back.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::base::{LeaderEpoch, Offset};
use engine::record::BatchHeader;
use uuid::Uuid;
use wire::{
    ApiKey, DecodeError, ErrorCode, List, Message, Reader, Records, RequestHeader, ResponseHeader, Writer,
    api_versions, create_topics, delete_topics, describe_configs, fetch, init_producer_id, list_offsets,
    metadata, produce,
};

/// Receive buffer of a connection: a frame above it is read without it.
const INBOX_BYTES: usize = 256 << 10;

/// The largest request.
const FRAME_BYTES_MAX: usize = 512 << 20;

const NODE_ID: i32 = 1;

/// Partitions of a topic that a producer merely mentions.
const AUTO_PARTITIONS: i32 = 2;

/// Kafka's timestamp for the end of a log.
const LATEST: i64 = -1;

/// A running null broker. It stops when it is dropped.
#[derive(Debug)]
pub struct NullBroker {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    stop: AtomicBool,
    state: Mutex<State>,
}

/// A batch and its first offset.
type Stored = (i64, Vec<u8>);

#[derive(Debug, Default)]
struct State {
    topics: Vec<Topic>,
    producers: i64,
    keep: bool,
    #[cfg(test)]
    plant: Option<tests::Plant>,
}

#[derive(Debug)]
struct Topic {
    name: String,
    id: Uuid,
    partitions: Vec<Log>,
}

#[derive(Debug, Default)]
struct Log {
    end: i64,
    /// With `keep`: the batches.
    batches: Vec<Stored>,
}

impl NullBroker {
    /// Starts it on a free port. With `keep` it stores what it gets, in memory.
    pub fn start(keep: bool) -> io::Result<NullBroker> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Mutex::new(State { keep, ..State::default() });
        let shared = Arc::new(Shared { address, stop: AtomicBool::new(false), state });
        let accepting = Arc::clone(&shared);
        std::thread::Builder::new().name("null-accept".into()).spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.stop.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A connection that breaks ends; its client says so.
                let serve = move || drop(serve(stream, &shared));
                if std::thread::Builder::new().name("null-serve".into()).spawn(serve).is_err() {
                    return;
                }
            }
        })?;
        Ok(NullBroker { address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Whether a client has made a topic.
    #[must_use]
    pub fn has_topics(&self) -> bool {
        self.shared.state.lock().is_ok_and(|state| !state.topics.is_empty())
    }
}

impl Drop for NullBroker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Wakes the accepting thread.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(INBOX_BYTES, stream.try_clone()?);
    let (mut stream, mut frame, mut out) = (stream, Vec::new(), Writer::new());
    loop {
        let mut size = [0; 4];
        reader.read_exact(&mut size)?;
        let size = usize::try_from(i32::from_be_bytes(size)).ok().filter(|n| *n <= FRAME_BYTES_MAX);
        frame.resize(size.ok_or(io::ErrorKind::InvalidData)?, 0);
        reader.read_exact(&mut frame)?;
        out.clear();
        answer(&frame, shared, &mut out).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        stream.write_all(out.head())?;
    }
}

/// Answers one request; nothing is written where no answer is wanted.
fn answer(frame: &[u8], shared: &Shared, out: &mut Writer) -> Result<(), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader)?;
    let version = header.api_version;
    let reply = ResponseHeader { correlation_id: header.correlation_id };
    let state = || shared.state.lock().expect("no thread panics while it holds the state");
    match header.api_key {
        ApiKey::ApiVersions if !header.is_served() => {
            reply.frame(0, &api_versions::Response::advertised(ErrorCode::UnsupportedVersion), out);
        }
        ApiKey::ApiVersions => {
            reply.frame(version, &api_versions::Response::advertised(ErrorCode::None), out)
        }
        ApiKey::Metadata => {
            let request = metadata::Request::decode(version, &mut reader)?;
            let mut state = state();
            let asked = request.topics.as_deref().unwrap_or_default();
            for name in asked.iter().filter_map(|t| t.name) {
                if request.allow_auto_topic_creation && state.topics.iter().all(|t| t.name != name) {
                    state.create(name, AUTO_PARTITIONS);
                }
            }
            reply.frame(version, &describe(&state, asked, shared.address), out);
        }
        ApiKey::CreateTopics => {
            let request = create_topics::Request::decode(version, &mut reader)?;
            let mut state = state();
            let results = request.topics.iter().map(|t| state.create(t.name, t.num_partitions)).collect();
            reply.frame(version, &create_topics::Response { topics: results, ..Default::default() }, out);
        }
        ApiKey::DeleteTopics => {
            let request = delete_topics::Request::decode(version, &mut reader)?;
            let named = |t: &Topic| {
                request.topics.iter().any(|r| r.name == Some(&t.name))
                    || request.topic_names.contains(&t.name.as_str())
            };
            state().topics.retain(|t| !named(t));
            reply.frame(version, &delete_topics::Response::default(), out);
        }
        ApiKey::InitProducerId => {
            init_producer_id::Request::decode(version, &mut reader)?;
            let mut state = state();
            state.producers += 1;
            let response = init_producer_id::Response { producer_id: state.producers, ..Default::default() };
            reply.frame(version, &response, out);
        }
        ApiKey::ListOffsets => {
            let request = list_offsets::Request::decode(version, &mut reader)?;
            let state = state();
            let topics = request.topics.iter().map(|topic| locate(&state, topic)).collect();
            reply.frame(version, &list_offsets::Response { topics, ..Default::default() }, out);
        }
        ApiKey::DescribeConfigs => {
            describe_configs::Request::decode(version, &mut reader)?;
            reply.frame(version, &describe_configs::Response::default(), out);
        }
        ApiKey::Produce => {
            let request = produce::Request::decode(version, &mut reader)?;
            append(&request, version, &mut state(), |response| {
                if request.acks != 0 {
                    reply.frame(version, response, out);
                }
            });
        }
        ApiKey::Fetch => {
            let request = fetch::Request::decode(version, &mut reader)?;
            let deadline = Instant::now() + Duration::from_millis(request.max_wait_ms.clamp(0, 5_000) as u64);
            while !read(&request, &state(), Instant::now() > deadline, |r| reply.frame(version, r, out)) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        other => return Err(DecodeError::ApiKey(other.code())),
    }
    Ok(())
}

impl State {
    fn create(&mut self, name: &str, partitions: i32) -> create_topics::TopicResult<'static> {
        let partitions = (0..partitions.clamp(1, 100_000)).map(|_| Log::default()).collect();
        let id = Uuid::from_u128(self.topics.len() as u128 + 1);
        self.topics.push(Topic { name: name.to_string(), id, partitions });
        create_topics::TopicResult { name: name.to_string().into(), topic_id: id, ..Default::default() }
    }
}

/// The end of each partition, or its start where a time or the start is asked for.
fn locate(state: &State, asked: &list_offsets::Topic<'_>) -> list_offsets::TopicResponse<'static> {
    let topic = state.topics.iter().find(|t| t.name == asked.name);
    let partitions = asked.partitions.iter().map(|p| {
        let log = topic.and_then(|t| t.partitions.get(usize::try_from(p.partition_index).ok()?));
        list_offsets::PartitionResponse {
            partition_index: p.partition_index,
            error_code: if log.is_some() { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition },
            offset: log.map_or(-1, |log| if p.timestamp == LATEST { log.end } else { 0 }),
            ..Default::default()
        }
    });
    list_offsets::TopicResponse { name: asked.name.to_string().into(), partitions: partitions.collect() }
}

/// The topics that were asked for, or all.
fn describe<'a>(
    state: &'a State,
    asked: &[metadata::RequestTopic<'_>],
    address: SocketAddr,
) -> metadata::Response<'a> {
    let broker = metadata::Broker {
        node_id: NODE_ID,
        host: address.ip().to_string().into(),
        port: i32::from(address.port()),
        rack: None,
    };
    let wanted = |topic: &&Topic| asked.is_empty() || asked.iter().any(|a| a.name == Some(&topic.name));
    let missing =
        asked.iter().filter_map(|a| a.name).filter(|name| state.topics.iter().all(|t| t.name != *name));
    let missing = missing.map(|name| metadata::Topic {
        error_code: ErrorCode::UnknownTopicOrPartition,
        name: Some(name.to_string().into()),
        ..Default::default()
    });
    let topics = state.topics.iter().filter(wanted).map(|topic| metadata::Topic {
        name: Some(topic.name.as_str().into()),
        topic_id: topic.id,
        partitions: (0..topic.partitions.len() as i32)
            .map(|partition_index| metadata::Partition {
                partition_index,
                leader_id: NODE_ID,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    metadata::Response {
        topics: topics.chain(missing).collect(),
        brokers: vec![broker],
        controller_id: NODE_ID,
        ..Default::default()
    }
}

fn append(
    request: &produce::Request<'_>,
    version: i16,
    state: &mut State,
    reply: impl FnOnce(&produce::Response<'_>),
) {
    let Some(data) = request.topic_data.iter().next() else { return };
    let keep = state.keep;
    #[cfg(test)]
    let plant = state.plant;
    let topic = state
        .topics
        .iter_mut()
        .find(|t| if version >= 13 { t.id == data.topic_id } else { t.name == data.name });
    let Some(topic) = topic else { return };
    let results = data.partition_data.iter().map(|partition| {
        let mut response = produce::PartitionResponse { index: partition.index, ..Default::default() };
        let log = usize::try_from(partition.index).ok().and_then(|i| topic.partitions.get_mut(i));
        let batch = partition.records.as_bytes().unwrap_or_default();
        match (log, BatchHeader::peek(batch)) {
            (Some(log), Some(header)) => {
                response.base_offset = log.end;
                log.end += i64::from(header.record_count());
                if keep {
                    let mut kept = batch.to_vec();
                    BatchHeader::peek_mut(&mut kept)
                        .expect("a header")
                        .stamp(Offset(response.base_offset), LeaderEpoch(0));
                    log.batches.push((response.base_offset, kept));
                    #[cfg(test)]
                    if let Some(plant) = plant {
                        plant.spoil(log);
                    }
                }
            }
            (None, _) => response.error_code = ErrorCode::UnknownTopicOrPartition,
            (_, None) => response.error_code = ErrorCode::CorruptMessage,
        }
        response
    });
    let results: Vec<_> = results.collect();
    let topics = [produce::TopicResponse {
        name: topic.name.as_str().into(),
        topic_id: topic.id,
        partition_responses: List::of(&results),
    }];
    reply(&produce::Response { responses: List::of(&topics), ..Default::default() });
}

/// Answers a fetch if there is something, or if it is `due` all the same.
fn read(
    request: &fetch::Request<'_>,
    state: &State,
    due: bool,
    reply: impl FnOnce(&fetch::Response<'_>),
) -> bool {
    let asked = request.topics.iter().next();
    let is_asked = |t: &&Topic| asked.as_ref().is_some_and(|a| a.topic == t.name || a.topic_id == t.id);
    let Some(topic) = state.topics.iter().find(is_asked) else {
        reply(&fetch::Response { error_code: ErrorCode::UnknownTopicOrPartition, ..Default::default() });
        return true;
    };
    let mut left = usize::try_from(request.max_bytes).unwrap_or(0);
    let mut found: Vec<(i32, i64, Vec<u8>)> = Vec::new();
    for asked in request.topics.iter().flat_map(|t| t.partitions) {
        let Some(log) = usize::try_from(asked.partition).ok().and_then(|i| topic.partitions.get(i)) else {
            continue;
        };
        let from = log.batches.partition_point(|(base, batch)| {
            BatchHeader::peek(batch).map_or(*base, |h| h.last_offset().0) < asked.fetch_offset
        });
        let mut bytes = Vec::new();
        for (_, batch) in &log.batches[from..] {
            let max = left.min(usize::try_from(asked.partition_max_bytes).unwrap_or(0));
            if !bytes.is_empty() && bytes.len() + batch.len() > max {
                break;
            }
            bytes.extend_from_slice(batch);
        }
        left = left.saturating_sub(bytes.len());
        found.push((asked.partition, log.end, bytes));
    }
    if !due && found.iter().all(|(_, _, bytes)| bytes.is_empty()) {
        return false;
    }
    let partitions: Vec<_> = found
        .iter()
        .map(|(partition_index, end, bytes)| fetch::PartitionData {
            partition_index: *partition_index,
            high_watermark: *end,
            records: Records::copied(bytes),
            ..Default::default()
        })
        .collect();
    let topics = [fetch::TopicResponse {
        topic: topic.name.as_str().into(),
        topic_id: topic.id,
        partitions: List::of(&partitions),
    }];
    reply(&fetch::Response { responses: List::of(&topics), ..Default::default() });
    true
}

#[cfg(test)]
#[path = "null_tests.rs"]
mod tests;
