//! A cluster as its administrator sees it: topics and leaders, and a connection to each broker that is
//! opened when it is first needed. Any broker that speaks Kafka's protocol will do.

use std::collections::{BTreeMap, HashMap};
use std::thread::sleep;
use std::time::{Duration, Instant};

use uuid::Uuid;
use wire::{ErrorCode, find_coordinator, list_offsets, metadata};

use super::connect::Brokers;
use super::offsets::Offsets;
use crate::load::client::{Client, ClientError};

/// How long a coordinator may take to be there: the first question creates the offsets topic.
const COORDINATOR_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is asked for meanwhile.
const COORDINATOR_POLL: Duration = Duration::from_millis(100);

/// A partition by name.
pub(super) type Place = (String, i32);

/// A partition as metadata shows it.
#[derive(Clone, Debug)]
pub(super) struct PartitionInfo {
    pub(super) index: i32,
    pub(super) leader: i32,
    pub(super) epoch: i32,
    pub(super) replicas: Vec<i32>,
    pub(super) isr: Vec<i32>,
}

/// A topic as metadata shows it; partitions in their order.
#[derive(Clone, Debug)]
pub(super) struct TopicInfo {
    pub(super) name: String,
    /// Zero from brokers that have none.
    pub(super) id: Uuid,
    pub(super) error: ErrorCode,
    pub(super) partitions: Vec<PartitionInfo>,
}

impl TopicInfo {
    /// Every partition by name.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.partitions.iter().map(|p| (self.name.clone(), p.index))
    }
}

/// The connections.
pub(super) struct Cluster {
    first: Client,
    clients: HashMap<i32, Client>,
    addresses: BTreeMap<i32, String>,
}

/// The broker said no.
pub(super) fn refused(what: impl Into<String>, code: ErrorCode, detail: Option<String>) -> ClientError {
    ClientError::Refused { what: what.into(), code, detail }
}

impl Cluster {
    /// Connects to the first broker that answers and learns of the others.
    pub(super) fn connect(brokers: &Brokers) -> Result<Cluster, ClientError> {
        let first = brokers.connect()?;
        let mut cluster = Cluster { first, clients: HashMap::new(), addresses: BTreeMap::new() };
        cluster.topics(Some(&[]))?;
        Ok(cluster)
    }

    /// The broker that was connected to first: good for all that any broker answers.
    pub(super) fn first(&mut self) -> &mut Client {
        &mut self.first
    }

    /// Every broker, by id.
    pub(super) fn nodes(&self) -> Vec<i32> {
        self.addresses.keys().copied().collect()
    }

    /// Where a broker is.
    pub(super) fn address(&self, node: i32) -> &str {
        self.addresses.get(&node).map_or("?", String::as_str)
    }

    /// The connection to a broker.
    pub(super) fn node(&mut self, node: i32) -> Result<&mut Client, ClientError> {
        if !self.clients.contains_key(&node) {
            let address = self.addresses.get(&node);
            let unknown = || refused(format!("find broker {node}"), ErrorCode::LeaderNotAvailable, None);
            let client = Client::connect(address.ok_or_else(unknown)?)?;
            self.clients.insert(node, client);
        }
        Ok(self.clients.get_mut(&node).expect("it was just opened"))
    }

    /// Topics by name, or all of them, sorted. One that does not exist has its error.
    pub(super) fn topics(&mut self, names: Option<&[String]>) -> Result<Vec<TopicInfo>, ClientError> {
        let topics = names.map(|names| {
            let by_name = names.iter().map(|name| metadata::RequestTopic {
                name: Some(name.as_str()),
                ..metadata::RequestTopic::default()
            });
            by_name.collect()
        });
        let request =
            metadata::Request { topics, allow_auto_topic_creation: false, ..metadata::Request::default() };
        let answer: metadata::Response<'_> = self.first.call(&request)?;
        if answer.error_code.is_err() {
            return Err(refused("learn of the topics", answer.error_code, None));
        }
        let addresses = answer.brokers.iter().map(|b| (b.node_id, format!("{}:{}", b.host, b.port)));
        let addresses: BTreeMap<i32, String> = addresses.collect();
        let partition = |p: metadata::Partition| PartitionInfo {
            index: p.partition_index,
            leader: p.leader_id,
            epoch: p.leader_epoch,
            replicas: p.replica_nodes,
            isr: p.isr_nodes,
        };
        let topic = |t: metadata::Topic<'_>| TopicInfo {
            name: t.name.unwrap_or_default().into_owned(),
            id: t.topic_id,
            error: t.error_code,
            partitions: t.partitions.into_iter().map(partition).collect(),
        };
        let mut found: Vec<TopicInfo> = answer.topics.into_iter().map(topic).collect();
        self.addresses = addresses;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.iter_mut().for_each(|t| t.partitions.sort_by_key(|p| p.index));
        Ok(found)
    }

    /// The same, where every topic must exist.
    pub(super) fn existing(&mut self, names: &[String]) -> Result<Vec<TopicInfo>, ClientError> {
        let found = self.topics(Some(names))?;
        match found.iter().find(|t| t.error.is_err()) {
            Some(t) => Err(refused(format!("describe topic {}", t.name), t.error, None)),
            None => Ok(found),
        }
    }

    /// The offset of each partition at `timestamp`, or at one of the constants of
    /// [`wire::list_offsets`]; −1 where no record is that late. Asked of the leaders.
    pub(super) fn offsets(
        &mut self,
        topics: &[TopicInfo],
        places: &[Place],
        timestamp: i64,
    ) -> Result<Offsets, ClientError> {
        let mut found = HashMap::new();
        for (leader, places) in by_leader(topics, places, &mut found) {
            let mut by_topic: BTreeMap<&str, Vec<list_offsets::Partition>> = BTreeMap::new();
            for (topic, partition_index) in &places {
                let partition_index = *partition_index;
                let partition = list_offsets::Partition {
                    partition_index,
                    timestamp,
                    ..list_offsets::Partition::default()
                };
                by_topic.entry(topic).or_default().push(partition);
            }
            let topics = by_topic
                .into_iter()
                .map(|(name, partitions)| list_offsets::Topic { name, partitions })
                .collect();
            let request =
                list_offsets::Request { replica_id: -1, topics, ..list_offsets::Request::default() };
            let answer: list_offsets::Response<'_> = self.node(leader)?.call(&request)?;
            for topic in answer.topics {
                for p in topic.partitions {
                    let offset = if p.error_code.is_err() { Err(p.error_code) } else { Ok(p.offset) };
                    found.insert((topic.name.to_string(), p.partition_index), offset);
                }
            }
        }
        Ok(found.into())
    }

    /// The broker that coordinates a group.
    pub(super) fn coordinator(&mut self, group: &str) -> Result<i32, ClientError> {
        let deadline = Instant::now() + COORDINATOR_TIMEOUT;
        loop {
            let request = find_coordinator::Request {
                key: group,
                key_type: find_coordinator::KEY_GROUP,
                coordinator_keys: vec![group],
            };
            let answer: find_coordinator::Response<'_> = self.first.call(&request)?;
            let (code, node, address) = match answer.coordinators.into_iter().next() {
                Some(c) => (c.error_code, c.node_id, format!("{}:{}", c.host, c.port)),
                None => (answer.error_code, answer.node_id, format!("{}:{}", answer.host, answer.port)),
            };
            if !code.is_err() {
                self.addresses.insert(node, address);
                return Ok(node);
            }
            if !code.is_retriable() || Instant::now() > deadline {
                return Err(refused(format!("find the coordinator of group {group}"), code, None));
            }
            sleep(COORDINATOR_POLL);
        }
    }
}

/// Asks again while the answer is that the coordinator loads, moves, or is not there yet.
pub(super) fn until_ready<T>(
    mut ask: impl FnMut() -> Result<(ErrorCode, T), ClientError>,
) -> Result<(ErrorCode, T), ClientError> {
    let deadline = Instant::now() + COORDINATOR_TIMEOUT;
    loop {
        let (code, answer) = ask()?;
        if !code.is_retriable() || Instant::now() > deadline {
            return Ok((code, answer));
        }
        sleep(COORDINATOR_POLL);
    }
}

/// Which leader has which of the partitions; those without one go to `found` with the reason.
pub(super) fn by_leader<T>(
    topics: &[TopicInfo],
    places: &[Place],
    found: &mut HashMap<Place, Result<T, ErrorCode>>,
) -> BTreeMap<i32, Vec<Place>> {
    let mut out: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
    for place in places {
        let topic = topics.iter().find(|t| t.name == place.0);
        let partition = topic.and_then(|t| t.partitions.iter().find(|p| p.index == place.1));
        match partition {
            Some(p) if p.leader >= 0 => out.entry(p.leader).or_default().push(place.clone()),
            Some(_) => drop(found.insert(place.clone(), Err(ErrorCode::LeaderNotAvailable))),
            None => drop(found.insert(place.clone(), Err(ErrorCode::UnknownTopicOrPartition))),
        }
    }
    out
}
