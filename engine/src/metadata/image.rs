//! The cluster at one moment.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use uuid::Uuid;

use super::record::{ConfigResource, MetadataRecord, PartitionState};
use crate::base::{NodeId, PartitionKey, ProducerId, TopicId};

/// A place in the metadata log. Ordered by index; a term never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position {
    /// The entry's number, from 1; 0 is before the first.
    pub index: u64,
    /// The quorum's term in which it was proposed.
    pub term: u64,
}

/// A partition, as metadata knows it.
pub type Partition = PartitionState;

/// A topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topic {
    /// Its identity: another one for each incarnation of a name.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// Its partitions, by index.
    pub partitions: Vec<Partition>,
    /// Its overrides, checked when they were set.
    pub configs: BTreeMap<String, String>,
}

impl Topic {
    /// Its partitions with their keys.
    pub fn keyed(&self) -> impl Iterator<Item = (PartitionKey, &Partition)> {
        (0i32..).zip(&self.partitions).map(|(index, p)| (PartitionKey { topic: self.id, index }, p))
    }
}

/// An address of a broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The listener's name.
    pub name: String,
    /// Host name or address that clients are told.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broker {
    /// The rack it stands in.
    pub rack: Option<String>,
    /// One for each listener.
    pub endpoints: Vec<Endpoint>,
}

/// A record that does not fit the image: the log is not the one that made it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are in the messages")]
pub enum ApplyError {
    #[error("the cluster was created before")]
    ClusterExists,
    #[error("topic {name} ({id}) exists")]
    TopicExists { id: TopicId, name: String },
    #[error("no topic {id}")]
    NoTopic { id: TopicId },
    #[error("partition {key} created where {partitions} exist")]
    PartitionOrder { key: PartitionKey, partitions: usize },
    #[error("no partition {key}")]
    NoPartition { key: PartitionKey },
    #[error(
        "partition {key} changed to epoch {epoch} (leader {leader_epoch}) from {old} (leader {old_leader})"
    )]
    Epoch { key: PartitionKey, epoch: i32, leader_epoch: i32, old: i32, old_leader: i32 },
    #[error("producer ids {first}..{next} allocated where {expected} is next")]
    ProducerIds { first: i64, next: i64, expected: i64 },
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct State {
    position: Position,
    cluster: Option<Uuid>,
    topics: BTreeMap<String, Arc<Topic>>,
    names: BTreeMap<TopicId, String>,
    brokers: BTreeMap<NodeId, Broker>,
    node_configs: BTreeMap<NodeId, BTreeMap<String, String>>,
    cluster_configs: BTreeMap<String, String>,
    group_configs: Arc<GroupConfigs>,
    next_producer_id: i64,
}

/// What was set for groups: group, name, value.
pub type GroupConfigs = BTreeMap<String, BTreeMap<String, String>>;

/// The cluster at one moment: immutable for whoever holds it, cheap to clone and to send.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image(Arc<State>);

impl Image {
    /// The last entry that was applied.
    #[must_use]
    pub fn position(&self) -> Position {
        self.0.position
    }

    /// The cluster's id, once it was created.
    #[must_use]
    pub fn cluster(&self) -> Option<Uuid> {
        self.0.cluster
    }

    /// A topic by its name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.0.topics.get(name)
    }

    /// A topic by its id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.0.topics.get(self.0.names.get(&id)?)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<Topic>> {
        self.0.topics.values()
    }

    /// The topics whose names come behind that one, by name.
    pub fn topics_after<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Arc<Topic>> + use<'a> {
        self.0.topics.range::<str, _>((Bound::Excluded(name), Bound::Unbounded)).map(|(_, topic)| topic)
    }

    /// A partition.
    #[must_use]
    pub fn partition(&self, key: PartitionKey) -> Option<&Partition> {
        self.topic_by_id(key.topic)?.partitions.get(usize::try_from(key.index).ok()?)
    }

    /// A broker.
    #[must_use]
    pub fn broker(&self, node: NodeId) -> Option<&Broker> {
        self.0.brokers.get(&node)
    }

    /// All brokers, by id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = (NodeId, &Broker)> {
        self.0.brokers.iter().map(|(node, broker)| (*node, broker))
    }

    /// What was set for a resource while brokers ran; `None` for a topic that does not exist.
    #[must_use]
    pub fn configs(&self, resource: ConfigResource) -> Option<&BTreeMap<String, String>> {
        const NOTHING: &BTreeMap<String, String> = &BTreeMap::new();
        match resource {
            ConfigResource::Topic(id) => self.topic_by_id(id).map(|t| &t.configs),
            ConfigResource::Broker(node) => Some(self.0.node_configs.get(&node).unwrap_or(NOTHING)),
            ConfigResource::AllBrokers => Some(&self.0.cluster_configs),
        }
    }

    /// What was set for groups, of those for which anything was. Another one whenever it changes.
    #[must_use]
    pub fn group_configs(&self) -> &Arc<GroupConfigs> {
        &self.0.group_configs
    }

    /// The first producer id that nobody was given.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        ProducerId(self.0.next_producer_id)
    }

    /// Makes one change. Copies the image first if someone else holds it.
    ///
    /// # Errors
    /// The record does not fit; nothing is changed then.
    pub fn apply(&mut self, record: &MetadataRecord) -> Result<(), ApplyError> {
        self.check(record)?;
        let state = Arc::make_mut(&mut self.0);
        match record {
            MetadataRecord::ClusterCreated { cluster } => state.cluster = Some(*cluster),
            MetadataRecord::BrokerRegistered { node, broker } => {
                state.brokers.insert(*node, broker.clone());
            }
            MetadataRecord::TopicCreated { id, name } => {
                let topic =
                    Topic { id: *id, name: name.clone(), partitions: Vec::new(), configs: BTreeMap::new() };
                state.names.insert(*id, name.clone());
                state.topics.insert(name.clone(), Arc::new(topic));
            }
            MetadataRecord::PartitionCreated { key, state: partition } => {
                state.topic_mut(key.topic).partitions.push(partition.clone());
            }
            MetadataRecord::PartitionChanged { key, state: partition } => {
                state.topic_mut(key.topic).partitions[key.index as usize] = partition.clone();
            }
            MetadataRecord::TopicDeleted { id } => {
                let name = state.names.remove(id).expect("checked");
                state.topics.remove(&name);
            }
            MetadataRecord::ConfigSet { resource, name, value } => {
                state.configs_mut(*resource).insert(name.clone(), value.clone());
            }
            MetadataRecord::ConfigRemoved { resource, name } => {
                state.configs_mut(*resource).remove(name);
                if let ConfigResource::Broker(node) = resource
                    && state.node_configs.get(node).is_some_and(BTreeMap::is_empty)
                {
                    state.node_configs.remove(node);
                }
            }
            MetadataRecord::ProducerIdsAllocated { next, .. } => state.next_producer_id = next.0,
            MetadataRecord::GroupConfigSet { group, name, value } => {
                let groups = Arc::make_mut(&mut state.group_configs);
                groups.entry(group.clone()).or_default().insert(name.clone(), value.clone());
            }
            MetadataRecord::GroupConfigRemoved { group, name } => {
                let groups = Arc::make_mut(&mut state.group_configs);
                if let Some(configs) = groups.get_mut(group) {
                    configs.remove(name);
                    if configs.is_empty() {
                        groups.remove(group);
                    }
                }
            }
        }
        Ok(())
    }

    /// Says that everything up to an entry is applied.
    pub fn advance(&mut self, position: Position) {
        Arc::make_mut(&mut self.0).position = position;
    }

    /// The records that make this image out of an empty one.
    #[must_use]
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let state = &*self.0;
        let mut out: Vec<MetadataRecord> =
            state.cluster.iter().map(|&cluster| MetadataRecord::ClusterCreated { cluster }).collect();
        for (&node, broker) in &state.brokers {
            out.push(MetadataRecord::BrokerRegistered { node, broker: broker.clone() });
        }
        let config = |resource, (name, value): (&String, &String)| MetadataRecord::ConfigSet {
            resource,
            name: name.clone(),
            value: value.clone(),
        };
        for topic in state.topics.values() {
            out.push(MetadataRecord::TopicCreated { id: topic.id, name: topic.name.clone() });
            for (key, partition) in topic.keyed() {
                out.push(MetadataRecord::PartitionCreated { key, state: partition.clone() });
            }
            out.extend(topic.configs.iter().map(|kv| config(ConfigResource::Topic(topic.id), kv)));
        }
        for (&node, configs) in &state.node_configs {
            out.extend(configs.iter().map(|kv| config(ConfigResource::Broker(node), kv)));
        }
        out.extend(state.cluster_configs.iter().map(|kv| config(ConfigResource::AllBrokers, kv)));
        for (group, configs) in &*state.group_configs {
            out.extend(configs.iter().map(|(name, value)| MetadataRecord::GroupConfigSet {
                group: group.clone(),
                name: name.clone(),
                value: value.clone(),
            }));
        }
        if state.next_producer_id > 0 {
            out.push(MetadataRecord::ProducerIdsAllocated {
                node: NodeId(-1),
                first: ProducerId(0),
                next: ProducerId(state.next_producer_id),
            });
        }
        out
    }

    fn check(&self, record: &MetadataRecord) -> Result<(), ApplyError> {
        let topic = |id: TopicId| self.topic_by_id(id).ok_or(ApplyError::NoTopic { id });
        match record {
            MetadataRecord::ClusterCreated { .. } if self.0.cluster.is_some() => {
                Err(ApplyError::ClusterExists)
            }
            MetadataRecord::TopicCreated { id, name }
                if self.topic(name).is_some() || self.0.names.contains_key(id) =>
            {
                Err(ApplyError::TopicExists { id: *id, name: name.clone() })
            }
            MetadataRecord::PartitionCreated { key, .. } => {
                let partitions = topic(key.topic)?.partitions.len();
                let fits = usize::try_from(key.index) == Ok(partitions);
                if fits { Ok(()) } else { Err(ApplyError::PartitionOrder { key: *key, partitions }) }
            }
            MetadataRecord::PartitionChanged { key, state: new } => {
                let old = self.partition(*key).ok_or(ApplyError::NoPartition { key: *key })?;
                let follows = old.partition_epoch.checked_add(1) == Some(new.partition_epoch);
                if follows && new.leader_epoch >= old.leader_epoch {
                    return Ok(());
                }
                Err(ApplyError::Epoch {
                    key: *key,
                    epoch: new.partition_epoch,
                    leader_epoch: new.leader_epoch.0,
                    old: old.partition_epoch,
                    old_leader: old.leader_epoch.0,
                })
            }
            MetadataRecord::TopicDeleted { id } => topic(*id).map(|_| ()),
            MetadataRecord::ConfigSet { resource: ConfigResource::Topic(id), .. }
            | MetadataRecord::ConfigRemoved { resource: ConfigResource::Topic(id), .. } => {
                topic(*id).map(|_| ())
            }
            MetadataRecord::ProducerIdsAllocated { first, next, .. } => {
                let expected = self.0.next_producer_id;
                let fits = first.0 == expected && next.0 > first.0;
                if fits {
                    Ok(())
                } else {
                    Err(ApplyError::ProducerIds { first: first.0, next: next.0, expected })
                }
            }
            _ => Ok(()),
        }
    }
}

impl State {
    fn topic_mut(&mut self, id: TopicId) -> &mut Topic {
        let name = self.names.get(&id).expect("checked");
        Arc::make_mut(self.topics.get_mut(name).expect("names and topics agree"))
    }

    fn configs_mut(&mut self, resource: ConfigResource) -> &mut BTreeMap<String, String> {
        match resource {
            ConfigResource::Topic(id) => &mut self.topic_mut(id).configs,
            ConfigResource::Broker(node) => self.node_configs.entry(node).or_default(),
            ConfigResource::AllBrokers => &mut self.cluster_configs,
        }
    }
}
