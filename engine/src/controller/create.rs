//! Creating topics.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::names::{check_topic_name, folded};
use super::room::Room;
use super::{Context, Decision, Refused, Why};
use crate::base::{NodeId, PartitionKey, TopicId};
use crate::config::topic;
use crate::metadata::{ConfigResource, MetadataRecord};

/// A topic that a client asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CreateTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; −1 for the broker's default or what `assignments` say.
    pub partitions: i32,
    /// How many replicas; −1 for the broker's default or what `assignments` say.
    pub replication_factor: i16,
    /// The nodes of each partition, by its index; empty to leave it to the broker.
    pub assignments: Vec<(i32, Vec<NodeId>)>,
    /// Overrides; a null value is refused.
    pub configs: Vec<(String, Option<String>)>,
}

impl CreateTopic {
    /// A topic as auto-creation wants it: all defaults.
    #[must_use]
    pub fn with_defaults(name: impl Into<String>) -> CreateTopic {
        CreateTopic { name: name.into(), partitions: -1, replication_factor: -1, ..CreateTopic::default() }
    }
}

/// A topic that was created, or would have been.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreatedTopic {
    /// Its name.
    pub name: String,
    /// Its identity; [`TopicId::ZERO`] if it was only validated.
    pub id: TopicId,
    /// Its partitions.
    pub partitions: i32,
    /// Its replicas.
    pub replication_factor: i16,
    /// Its overrides, to describe it.
    pub configs: BTreeMap<String, String>,
}

/// Decides on new topics, each by itself. `new_id` gives a fresh random uuid at each call.
#[must_use]
pub fn create_topics(
    cx: Context<'_>,
    requests: &[CreateTopic],
    validate_only: bool,
    mut new_id: impl FnMut() -> Uuid,
) -> Decision<CreatedTopic> {
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    for request in requests {
        *asked.entry(request.name.as_str()).or_default() += 1;
    }
    let mut batch = Batch {
        cx,
        taken: cx.image.topics().map(|t| (folded(&t.name), t.name.clone())).collect(),
        room: Room::of(cx),
        records: Vec::new(),
    };
    let replies = requests
        .iter()
        .map(|request| {
            if asked[request.name.as_str()] > 1 {
                return Err(Refused::new(Why::InvalidRequest, "the topic is named twice in this request"));
            }
            let (partitions, configs) = batch.check(request)?;
            let id = if validate_only { TopicId::ZERO } else { TopicId(new_id()) };
            batch.add(request, id, partitions, &configs);
            Ok(CreatedTopic {
                name: request.name.clone(),
                id,
                partitions: partitions as i32,
                replication_factor: 1,
                configs,
            })
        })
        .collect();
    let records = if validate_only { Vec::new() } else { batch.records };
    Decision { records, replies }
}

struct Batch<'a> {
    cx: Context<'a>,
    /// Names that exist or will, by their folded form.
    taken: BTreeMap<String, String>,
    room: Room,
    records: Vec<MetadataRecord>,
}

impl Batch<'_> {
    fn check(&self, request: &CreateTopic) -> Result<(usize, BTreeMap<String, String>), Refused> {
        let name = &request.name;
        check_topic_name(name)?;
        match self.taken.get(&folded(name)) {
            Some(other) if other == name => {
                return Err(Refused::new(Why::TopicAlreadyExists, format!("topic {name} already exists")));
            }
            Some(other) => {
                let message = format!("topic {name} collides with {other}: '.' and '_' count as the same");
                return Err(Refused::new(Why::InvalidTopic, message));
            }
            None => {}
        }
        let partitions = if request.assignments.is_empty() {
            self.check_counts(request)?
        } else {
            self.check_assignments(request)?
        };
        self.room.check(0, partitions)?;
        let mut configs = BTreeMap::new();
        for (key, value) in &request.configs {
            let Some(value) = value else {
                return Err(Refused::new(Why::InvalidConfig, format!("{key} is null; leave it out instead")));
            };
            configs.insert(key.clone(), value.trim().to_owned());
        }
        topic::parse(&configs, self.cx.settings)?;
        Ok((partitions, configs))
    }

    fn check_counts(&self, request: &CreateTopic) -> Result<usize, Refused> {
        let partitions = match request.partitions {
            -1 => self.cx.settings.num_partitions,
            n => n,
        };
        let Some(partitions) = usize::try_from(partitions).ok().filter(|&n| n > 0) else {
            let message = format!("{partitions} partitions; it must be at least 1 (or -1 for the default)");
            return Err(Refused::new(Why::InvalidPartitions, message));
        };
        let replicas = match request.replication_factor {
            -1 => self.cx.settings.default_replication_factor,
            n => n,
        };
        if replicas < 1 {
            let message = format!("{replicas} replicas; it must be at least 1 (or -1 for the default)");
            return Err(Refused::new(Why::InvalidReplicationFactor, message));
        }
        let brokers = self.cx.live_brokers();
        if replicas > brokers {
            let message = format!("{replicas} replicas, but only {brokers} broker is there");
            return Err(Refused::new(Why::InvalidReplicationFactor, message));
        }
        Ok(partitions)
    }

    fn check_assignments(&self, request: &CreateTopic) -> Result<usize, Refused> {
        if request.partitions != -1 || request.replication_factor != -1 {
            let message = "with an assignment, partitions and replication factor must both be -1";
            return Err(Refused::new(Why::InvalidRequest, message));
        }
        let refuse = |message: String| Err(Refused::new(Why::InvalidReplicaAssignment, message));
        let indexes: BTreeSet<i32> = request.assignments.iter().map(|(index, _)| *index).collect();
        let consecutive = indexes.iter().copied().eq(0..request.assignments.len() as i32);
        if !consecutive {
            return refuse("partitions must be numbered from 0 without a gap, each once".into());
        }
        for (index, nodes) in &request.assignments {
            self.room.check_replicas(*index as usize, nodes)?;
        }
        Ok(request.assignments.len())
    }

    fn add(
        &mut self,
        request: &CreateTopic,
        id: TopicId,
        partitions: usize,
        configs: &BTreeMap<String, String>,
    ) {
        self.taken.insert(folded(&request.name), request.name.clone());
        self.records.push(MetadataRecord::TopicCreated { id, name: request.name.clone() });
        for index in 0..partitions as i32 {
            let state = self.room.place();
            let key = PartitionKey { topic: id, index };
            self.records.push(MetadataRecord::PartitionCreated { key, state });
        }
        for (name, value) in configs {
            self.records.push(MetadataRecord::ConfigSet {
                resource: ConfigResource::Topic(id),
                name: name.clone(),
                value: value.clone(),
            });
        }
    }
}
