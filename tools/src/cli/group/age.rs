//! Lag in seconds: how long the oldest record that a group has not read has been waiting.
//!
//! Only the record itself knows when it was written, so the record at the committed offset is fetched and
//! its timestamp read: exact, on any broker. A partition that has nothing to read lags 0 s; where the
//! record has no timestamp, or cannot be read, nothing is claimed.

use std::collections::HashMap;

use engine::record::{BatchHeader, Records, payload};
use wire::{ErrorCode, List, fetch};

use crate::cli::cluster::{Cluster, Place, TopicInfo, by_leader};
use crate::load::client::ClientError;

/// Partitions in one fetch.
const PARTITIONS_PER_FETCH: usize = 64;

/// Bytes of each that are wanted: enough for the first batch of most.
const PARTITION_BYTES: i32 = 64 << 10;

/// The most that one fetch brings, but for a first batch that is larger.
const FETCH_BYTES: i32 = 4 << 20;

/// The most that one compressed batch may inflate to.
const INFLATED_BYTES_MAX: usize = 64 << 20;

/// When the first record at or behind each offset was written, ms since the epoch.
pub(super) fn written_at(
    cluster: &mut Cluster,
    topics: &[TopicInfo],
    from: &HashMap<Place, i64>,
) -> Result<HashMap<Place, i64>, ClientError> {
    let places: Vec<Place> = from.keys().cloned().collect();
    let mut found = HashMap::new();
    let mut skipped: HashMap<Place, Result<i64, ErrorCode>> = HashMap::new();
    for (leader, mut waiting) in by_leader(topics, &places, &mut skipped) {
        waiting.sort_unstable();
        while !waiting.is_empty() {
            let asked = &waiting[..waiting.len().min(PARTITIONS_PER_FETCH)];
            let read = fetch_first(cluster, leader, topics, asked, from)?;
            let first = waiting[0].clone();
            // Brokers bring the first partition's batch whatever its size, so each turn settles one.
            waiting.retain(|place| *place != first && !read.contains_key(place));
            found.extend(read.into_iter().filter_map(|(place, time)| Some((place, time?))));
        }
    }
    Ok(found)
}

/// One fetch: the partitions that it settled, and the time where it could be read.
fn fetch_first(
    cluster: &mut Cluster,
    leader: i32,
    topics: &[TopicInfo],
    places: &[Place],
    from: &HashMap<Place, i64>,
) -> Result<HashMap<Place, Option<i64>>, ClientError> {
    let mut by_topic: Vec<(&TopicInfo, Vec<fetch::Partition>)> = Vec::new();
    for place in places {
        let Some(topic) = topics.iter().find(|t| t.name == place.0) else { continue };
        if by_topic.last().is_none_or(|(last, _)| last.name != topic.name) {
            by_topic.push((topic, Vec::new()));
        }
        by_topic.last_mut().expect("just pushed").1.push(fetch::Partition {
            partition: place.1,
            fetch_offset: from[place],
            partition_max_bytes: PARTITION_BYTES,
            ..fetch::Partition::default()
        });
    }
    let asked: Vec<fetch::Topic<'_>> = by_topic
        .iter()
        .map(|(t, partitions)| fetch::Topic {
            topic: &t.name,
            topic_id: t.id,
            partitions: List::of(partitions),
        })
        .collect();
    let request = fetch::Request {
        max_wait_ms: 0,
        min_bytes: 0,
        max_bytes: FETCH_BYTES,
        topics: List::of(&asked),
        ..fetch::Request::default()
    };
    let answer: fetch::Response<'_> = cluster.node(leader)?.call(&request)?;
    let mut found = HashMap::new();
    for topic in answer.responses.iter() {
        let named = topics.iter().find(|t| {
            if t.id.is_nil() {
                t.name == topic.topic
            } else {
                t.id == topic.topic_id || t.name == topic.topic
            }
        });
        let Some(named) = named else { continue };
        for data in topic.partitions {
            let place = (named.name.clone(), data.partition_index);
            let Some(offset) = from.get(&place) else { continue };
            let bytes = data.records.as_bytes().unwrap_or_default();
            if data.error_code.is_err() || !bytes.is_empty() {
                found.insert(place, timestamp_at(bytes, *offset));
            }
        }
    }
    Ok(found)
}

/// The timestamp of the first record at or behind `offset` in these batches.
fn timestamp_at(mut bytes: &[u8], offset: i64) -> Option<i64> {
    while let Some((header, total)) = BatchHeader::peek(bytes).and_then(|h| Some((h, h.total_bytes()?))) {
        let batch = bytes.get(..total)?;
        bytes = &bytes[total..];
        if header.last_offset().0 < offset || header.attributes().is_control() {
            continue;
        }
        let records = payload(batch, INFLATED_BYTES_MAX).ok()?;
        let record = Records::of(header, &records).map_while(Result::ok).find(|r| r.offset.0 >= offset);
        if let Some(record) = record {
            return Some(record.timestamp).filter(|ms| *ms >= 0);
        }
    }
    None
}
