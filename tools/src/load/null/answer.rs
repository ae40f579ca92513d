//! Requests → answers: what a client of one topic needs, and nothing else.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wire::{
    ApiKey, DecodeError, ErrorCode, List, Message, Reader, Records, RequestHeader, ResponseHeader, Writer,
    api_versions, create_topics, delete_topics, describe_configs, fetch, init_producer_id, list_offsets,
    metadata, produce,
};

use super::state::{Log, State, Topic};

const NODE_ID: i32 = 1;

/// Partitions of a topic that a producer merely mentions.
const AUTO_PARTITIONS: i32 = 2;

/// Kafka's timestamp for the end of a log.
const LATEST: i64 = -1;

/// The longest that a fetch may wait, milliseconds.
const WAIT_MS_MAX: i32 = 5_000;

/// What came of a request.
#[derive(Debug)]
pub(super) enum Answered {
    /// The answer is written (nothing, where none is wanted); these bytes belong into its holes.
    Now(VecDeque<Vec<Bytes>>),
    /// There is nothing yet: ask again when there is, or then.
    Later(Instant),
}

/// What the null broker answers.
const ANSWERED: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::InitProducerId,
    ApiKey::DescribeConfigs,
];

/// Answers one request into `out`. A fetch that was asked before waits until `waits_until`.
pub(super) fn answer(
    frame: &[u8],
    state: &mut State,
    waits_until: Option<Instant>,
    out: &mut Writer,
) -> Result<Answered, DecodeError> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader)?;
    let version = header.api_version;
    let reply = ResponseHeader { correlation_id: header.correlation_id };
    match header.api_key {
        ApiKey::ApiVersions if !header.is_served() => {
            reply.frame(0, &api_versions::Response::advertised(ErrorCode::UnsupportedVersion, ANSWERED), out);
        }
        ApiKey::ApiVersions => {
            reply.frame(version, &api_versions::Response::advertised(ErrorCode::None, ANSWERED), out)
        }
        ApiKey::Metadata => {
            let request = metadata::Request::decode(version, &mut reader)?;
            let asked = request.topics.as_deref().unwrap_or_default();
            for name in asked.iter().filter_map(|t| t.name) {
                if request.allow_auto_topic_creation && state.topics.iter().all(|t| t.name != name) {
                    state.create(name, AUTO_PARTITIONS);
                }
            }
            reply.frame(version, &describe(state, asked), out);
        }
        ApiKey::CreateTopics => {
            let request = create_topics::Request::decode(version, &mut reader)?;
            let create = |t: &create_topics::Topic<'_>| create_topics::TopicResult {
                name: t.name.to_string().into(),
                topic_id: state.create(t.name, t.num_partitions),
                ..Default::default()
            };
            let topics = request.topics.iter().map(create).collect();
            reply.frame(version, &create_topics::Response { topics, ..Default::default() }, out);
        }
        ApiKey::DeleteTopics => {
            let request = delete_topics::Request::decode(version, &mut reader)?;
            state.delete(|t| {
                request.topics.iter().any(|r| r.name == Some(&t.name))
                    || request.topic_names.contains(&t.name.as_str())
            });
            reply.frame(version, &delete_topics::Response::default(), out);
        }
        ApiKey::InitProducerId => {
            init_producer_id::Request::decode(version, &mut reader)?;
            state.producers += 1;
            let response = init_producer_id::Response { producer_id: state.producers, ..Default::default() };
            reply.frame(version, &response, out);
        }
        ApiKey::ListOffsets => {
            let request = list_offsets::Request::decode(version, &mut reader)?;
            let topics = request.topics.iter().map(|topic| locate(state, topic)).collect();
            reply.frame(version, &list_offsets::Response { topics, ..Default::default() }, out);
        }
        ApiKey::DescribeConfigs => {
            describe_configs::Request::decode(version, &mut reader)?;
            reply.frame(version, &describe_configs::Response::default(), out);
        }
        ApiKey::Produce => {
            let request = produce::Request::decode(version, &mut reader)?;
            append(&request, version, state, |response| {
                if request.acks != 0 {
                    reply.frame(version, response, out);
                }
            });
        }
        ApiKey::Fetch => {
            let request = fetch::Request::decode(version, &mut reader)?;
            let wait = Duration::from_millis(request.max_wait_ms.clamp(0, WAIT_MS_MAX) as u64);
            let now = Instant::now();
            let until = waits_until.unwrap_or(now + wait);
            return Ok(match read(&request, state, now >= until, |r| reply.frame(version, r, out)) {
                Some(records) => Answered::Now(records),
                None => Answered::Later(until),
            });
        }
        other => return Err(DecodeError::ApiKey(other.code())),
    }
    Ok(Answered::Now(VecDeque::new()))
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
fn describe<'a>(state: &'a State, asked: &[metadata::RequestTopic<'_>]) -> metadata::Response<'a> {
    let broker = metadata::Broker {
        node_id: NODE_ID,
        host: state.address.ip().to_string().into(),
        port: i32::from(state.address.port()),
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
    let is_asked = |t: &Topic| if version >= 13 { t.id == data.topic_id } else { t.name == data.name };
    let Some(at) = state.topics.iter().position(is_asked) else { return };
    let results: Vec<_> = data
        .partition_data
        .iter()
        .map(|partition| {
            let batch = partition.records.as_bytes().unwrap_or_default();
            let base_offset = state.append(at, partition.index, batch);
            produce::PartitionResponse {
                index: partition.index,
                base_offset: base_offset.unwrap_or(-1),
                error_code: if base_offset.is_some() { ErrorCode::None } else { ErrorCode::CorruptMessage },
                ..Default::default()
            }
        })
        .collect();
    let topics = [produce::TopicResponse {
        name: state.topics[at].name.as_str().into(),
        topic_id: state.topics[at].id,
        partition_responses: List::of(&results),
    }];
    reply(&produce::Response { responses: List::of(&topics), ..Default::default() });
}

/// Answers a fetch if there is something, or if it is `due` all the same. Returns the record bytes of
/// each partition that has some.
fn read(
    request: &fetch::Request<'_>,
    state: &State,
    due: bool,
    reply: impl FnOnce(&fetch::Response<'_>),
) -> Option<VecDeque<Vec<Bytes>>> {
    let asked = request.topics.iter().next();
    let is_asked = |t: &&Topic| asked.as_ref().is_some_and(|a| a.topic == t.name || a.topic_id == t.id);
    let Some(topic) = state.topics.iter().find(is_asked) else {
        reply(&fetch::Response { error_code: ErrorCode::UnknownTopicOrPartition, ..Default::default() });
        return Some(VecDeque::new());
    };
    let mut left = usize::try_from(request.max_bytes).unwrap_or(0);
    let mut records = VecDeque::new();
    let mut partitions = Vec::new();
    let log_of = |index: i32| -> Option<&Log> { topic.partitions.get(usize::try_from(index).ok()?) };
    let mut refused = false;
    for asked in request.topics.iter().flat_map(|t| t.partitions) {
        let Some(log) = log_of(asked.partition) else { continue };
        // What is still to come is waited for; only what is gone is refused.
        let out_of_range = asked.fetch_offset < log.start;
        refused |= out_of_range;
        let bytes_max = left.min(usize::try_from(asked.partition_max_bytes).unwrap_or(0));
        let found: Vec<Bytes> = if out_of_range || left == 0 {
            Vec::new()
        } else {
            log.read(asked.fetch_offset, bytes_max).cloned().collect()
        };
        let bytes = found.iter().map(Bytes::len).sum();
        left = left.saturating_sub(bytes);
        partitions.push(fetch::PartitionData {
            partition_index: asked.partition,
            error_code: if out_of_range { ErrorCode::OffsetOutOfRange } else { ErrorCode::None },
            high_watermark: log.end,
            log_start_offset: log.start,
            records: Records::Splice { bytes },
            ..Default::default()
        });
        if bytes > 0 {
            records.push_back(found);
        }
    }
    if records.is_empty() && !refused && !due {
        return None;
    }
    let topics = [fetch::TopicResponse {
        topic: topic.name.as_str().into(),
        topic_id: topic.id,
        partitions: List::of(&partitions),
    }];
    reply(&fetch::Response { responses: List::of(&topics), ..Default::default() });
    Some(records)
}
