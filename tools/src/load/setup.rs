//! Before the load: the topic, its leaders, the connections, the producers' ids.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;
use wire::{
    ApiKey, ErrorCode, create_partitions, create_topics, delete_topics, describe_configs, init_producer_id,
    metadata,
};

use super::client::{Client, ClientError};

/// How long a new topic may take until every partition has a leader.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(120);

/// How often its metadata is asked for meanwhile.
const LEADERS_POLL: Duration = Duration::from_millis(20);

/// How long a broker may take to create or delete a topic, ms.
const TIMEOUT_MS: i32 = 30_000;

/// Partitions that are asked for at once. Kafka's controller refuses a request that becomes more than 10,000 records
/// (POLICY_VIOLATION), and each partition is one.
const PARTITIONS_AT_ONCE: i32 = 9_000;

/// A topic as a client sees it.
#[derive(Clone, Debug)]
pub struct TopicView {
    /// Its id; zero from brokers that have none.
    pub id: Uuid,
    /// Node id of each partition's leader.
    pub leaders: Vec<i32>,
    /// Node id → `host:port`.
    pub nodes: HashMap<i32, String>,
}

fn refused(what: impl Into<String>, code: ErrorCode, detail: Option<impl Into<String>>) -> ClientError {
    ClientError::Refused { what: what.into(), code, detail: detail.map(Into::into) }
}

/// Creates a topic. `replication` −1 leaves the choice to the broker.
pub fn create_topic(
    client: &mut Client,
    name: &str,
    partitions: i32,
    replication: i16,
    configs: &[(String, String)],
) -> Result<(), ClientError> {
    let configs = configs.iter().map(|(name, value)| create_topics::TopicConfig { name, value: Some(value) });
    let topic = create_topics::Topic {
        name,
        num_partitions: partitions,
        replication_factor: replication,
        configs: configs.collect(),
        ..create_topics::Topic::default()
    };
    let request =
        create_topics::Request { topics: vec![topic], timeout_ms: TIMEOUT_MS, validate_only: false };
    let answer: create_topics::Response<'_> = client.call(&request)?;
    match answer.topics.into_iter().next() {
        Some(t) if t.error_code.is_err() => {
            Err(refused(format!("create topic {name}"), t.error_code, t.error_message))
        }
        _ => Ok(()),
    }
}

/// Creates a topic of any size: one of very many partitions begins with as many as one request may ask for and grows.
pub fn create_topic_of(
    client: &mut Client,
    name: &str,
    partitions: i32,
    replication: i16,
    configs: &[(String, String)],
) -> Result<(), ClientError> {
    // A broker that cannot grow topics makes them as they are asked for.
    let grows = client.versions().of(ApiKey::CreatePartitions).is_some();
    let mut there = if grows { partitions.min(PARTITIONS_AT_ONCE) } else { partitions };
    create_topic(client, name, there, replication, configs)?;
    while there < partitions {
        // One that has no leaders yet may be unknown to the next request.
        await_topic(client, name, Some(there))?;
        there = there.saturating_add(PARTITIONS_AT_ONCE).min(partitions);
        grow_topic(client, name, there)?;
    }
    Ok(())
}

fn grow_topic(client: &mut Client, name: &str, count: i32) -> Result<(), ClientError> {
    let topic = create_partitions::Topic { name, count, assignments: None };
    let request =
        create_partitions::Request { topics: vec![topic], timeout_ms: TIMEOUT_MS, validate_only: false };
    let answer: create_partitions::Response<'_> = client.call(&request)?;
    match answer.results.into_iter().next() {
        Some(result) if result.error_code.is_err() => {
            let what = format!("give topic {name} {count} partitions");
            Err(refused(what, result.error_code, result.error_message))
        }
        _ => Ok(()),
    }
}

/// Deletes a topic.
pub fn delete_topic(client: &mut Client, name: &str) -> Result<(), ClientError> {
    let by_name = client.versions().of(ApiKey::DeleteTopics).is_some_and(|v| v < 6);
    let mut request = delete_topics::Request { timeout_ms: TIMEOUT_MS, ..delete_topics::Request::default() };
    if by_name {
        request.topic_names = vec![name];
    } else {
        request.topics = vec![delete_topics::Topic { name: Some(name), ..delete_topics::Topic::default() }];
    }
    let answer: delete_topics::Response<'_> = client.call(&request)?;
    match answer.responses.into_iter().next() {
        Some(t) if t.error_code.is_err() => {
            Err(refused(format!("delete topic {name}"), t.error_code, t.error_message))
        }
        _ => Ok(()),
    }
}

/// Mentions a topic to the broker as a producer does: it may create it.
pub fn ask_for_topic(client: &mut Client, name: &str) -> Result<(), ClientError> {
    let topic = metadata::RequestTopic { name: Some(name), ..metadata::RequestTopic::default() };
    let request = metadata::Request {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: true,
        ..metadata::Request::default()
    };
    client.call::<_, metadata::Response<'_>>(&request)?;
    Ok(())
}

/// Describes a topic that exists; `None` while some partition has no leader.
pub fn view_topic(client: &mut Client, name: &str) -> Result<Option<TopicView>, ClientError> {
    let topic = metadata::RequestTopic { name: Some(name), ..metadata::RequestTopic::default() };
    let request = metadata::Request {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: false,
        ..metadata::Request::default()
    };
    let answer: metadata::Response<'_> = client.call(&request)?;
    let nodes = answer.brokers.iter().map(|b| (b.node_id, format!("{}:{}", b.host, b.port))).collect();
    let Some(topic) = answer.topics.into_iter().next() else { return Ok(None) };
    let unknown = topic.error_code == ErrorCode::UnknownTopicOrPartition;
    if unknown || (topic.error_code.is_err() && !topic.error_code.is_retriable()) {
        return Err(refused(format!("describe topic {name}"), topic.error_code, None::<String>));
    }
    let mut partitions = topic.partitions;
    partitions.sort_by_key(|p| p.partition_index);
    let leaderless =
        topic.error_code.is_err() || partitions.iter().any(|p| p.error_code.is_err() || p.leader_id < 0);
    if leaderless || partitions.is_empty() {
        return Ok(None);
    }
    Ok(Some(TopicView {
        id: topic.topic_id,
        leaders: partitions.iter().map(|p| p.leader_id).collect(),
        nodes,
    }))
}

/// Describes a topic as soon as every partition has a leader, and as many are known as there are to be.
pub fn await_topic(
    client: &mut Client,
    name: &str,
    partitions: Option<i32>,
) -> Result<TopicView, ClientError> {
    let all = |view: &TopicView| partitions.is_none_or(|count| view.leaders.len() == count as usize);
    let deadline = Instant::now() + LEADERS_TIMEOUT;
    loop {
        match view_topic(client, name) {
            Ok(Some(view)) if all(&view) => return Ok(view),
            Ok(_) | Err(ClientError::Refused { code: ErrorCode::UnknownTopicOrPartition, .. }) => {}
            Err(e) => return Err(e),
        }
        if Instant::now() > deadline {
            let what = format!("topic {name} got no leaders within {LEADERS_TIMEOUT:?}");
            return Err(refused(what, ErrorCode::LeaderNotAvailable, None::<String>));
        }
        std::thread::sleep(LEADERS_POLL);
    }
}

/// Asks for an idempotent producer's id and epoch.
pub fn producer_identity(client: &mut Client) -> Result<(i64, i16), ClientError> {
    let request = init_producer_id::Request {
        transaction_timeout_ms: i32::MAX,
        ..init_producer_id::Request::default()
    };
    let answer: init_producer_id::Response = client.call(&request)?;
    if answer.error_code.is_err() {
        return Err(refused("ask for a producer id", answer.error_code, None::<String>));
    }
    Ok((answer.producer_id, answer.producer_epoch))
}

/// The effective value of some of a topic's configs, by name; those that the broker does not know
/// are missing.
pub fn topic_configs(
    client: &mut Client,
    topic: &str,
    names: &[&str],
) -> Result<HashMap<String, String>, ClientError> {
    /// Kafka's number for a topic among config resources.
    const TOPIC: i8 = 2;
    let resource = describe_configs::Resource {
        resource_type: TOPIC,
        resource_name: topic,
        configuration_keys: Some(names.to_vec()),
    };
    let request =
        describe_configs::Request { resources: vec![resource], ..describe_configs::Request::default() };
    let answer: describe_configs::Response<'_> = client.call(&request)?;
    let mut found = HashMap::new();
    for result in answer.results {
        if result.error_code.is_err() {
            return Err(refused(
                format!("describe configs of {topic}"),
                result.error_code,
                result.error_message,
            ));
        }
        let known =
            result.configs.into_iter().filter_map(|c| Some((c.name.into_owned(), c.value?.into_owned())));
        found.extend(known);
    }
    Ok(found)
}
