//! Altering settings while brokers run.

use std::collections::{BTreeMap, BTreeSet};

use super::{Context, Decision, Refused, Why};
use crate::base::NodeId;
use crate::config::{AlterOp, ConfigError, broker, own_group, topic};
use crate::metadata::{ConfigResource, MetadataRecord};

/// Whose settings a client alters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AlterTarget {
    /// A topic's, by name.
    Topic(String),
    /// One broker's.
    Broker(NodeId),
    /// All brokers'.
    AllBrokers,
    /// A consumer group's, by its id, whether there is such a group or not.
    Group(String),
}

/// Longest id of a group that has settings of its own, bytes.
const GROUP_ID_BYTES_MAX: usize = 1024;

/// Groups that have settings of their own; a request that finds as many adds none.
const GROUPS_MAX: usize = 10_000;

/// What to do with a resource's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Alteration {
    /// These, in order, each name once; others stay (IncrementalAlterConfigs).
    Some(Vec<(String, AlterOp)>),
    /// These and no others are set from then on, each name once (AlterConfigs).
    All(Vec<(String, String)>),
}

impl Alteration {
    fn names(&self) -> Vec<&str> {
        match self {
            Alteration::Some(ops) => ops.iter().map(|(name, _)| name.as_str()).collect(),
            Alteration::All(values) => values.iter().map(|(name, _)| name.as_str()).collect(),
        }
    }

    /// The same as operations on what is set now.
    fn ops(&self, old: &BTreeMap<String, String>) -> Vec<(String, AlterOp)> {
        match self {
            Alteration::Some(ops) => ops.clone(),
            Alteration::All(values) => {
                let kept = |name: &String| values.iter().any(|(n, _)| n == name);
                let gone = old.keys().filter(|name| !kept(name)).map(|name| (name.clone(), AlterOp::Delete));
                gone.chain(values.iter().map(|(n, v)| (n.clone(), AlterOp::Set(v.clone())))).collect()
            }
        }
    }
}

/// Alterations of one resource, all or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlterConfigs {
    /// Whose.
    pub target: AlterTarget,
    /// What.
    pub alteration: Alteration,
}

/// Decides on alterations, each resource by itself.
#[must_use]
pub fn alter_configs(cx: Context<'_>, requests: &[AlterConfigs], validate_only: bool) -> Decision<()> {
    let mut asked: BTreeMap<&AlterTarget, usize> = BTreeMap::new();
    for request in requests {
        *asked.entry(&request.target).or_default() += 1;
    }
    let mut records = Vec::new();
    let replies = requests
        .iter()
        .map(|request| {
            if asked[&request.target] > 1 {
                return Err(Refused::new(Why::InvalidRequest, "the resource is named twice in this request"));
            }
            let changes = alter_one(cx, request)?;
            if !validate_only {
                records.extend(changes);
            }
            Ok(())
        })
        .collect();
    Decision { records, replies }
}

fn alter_one(cx: Context<'_>, request: &AlterConfigs) -> Result<Vec<MetadataRecord>, Refused> {
    let mut seen = BTreeSet::new();
    let names = request.alteration.names();
    if let Some(name) = names.iter().find(|name| !seen.insert(**name)) {
        let message = format!("{name:.249} is named twice for this resource");
        return Err(Refused::new(Why::InvalidRequest, message));
    }
    let resource = match &request.target {
        AlterTarget::Group(group) => return alter_group(cx, group, &request.alteration),
        AlterTarget::Topic(name) => match cx.image.topic(name) {
            Some(topic) => ConfigResource::Topic(topic.id),
            None => {
                let message = format!("no topic {name:.249}");
                return Err(Refused::new(Why::UnknownTopicOrPartition, message));
            }
        },
        AlterTarget::Broker(node) if *node == cx.node() => ConfigResource::Broker(*node),
        AlterTarget::Broker(node) => {
            let message = format!("broker {} was asked to alter broker {}", cx.node().0, node.0);
            return Err(Refused::new(Why::InvalidRequest, message));
        }
        AlterTarget::AllBrokers => ConfigResource::AllBrokers,
    };
    let old = cx.image.configs(resource).expect("the resource was found");
    let ops = request.alteration.ops(old);
    let new = match resource {
        ConfigResource::Topic(_) => topic::alter(old, &ops, cx.settings)?,
        ConfigResource::Broker(_) | ConfigResource::AllBrokers => {
            check_dynamic(&names)?;
            cx.settings.alter(old, &ops).map_err(of_broker)?
        }
    };
    let set = |name, value| MetadataRecord::ConfigSet { resource, name, value };
    Ok(difference(old, &new, set, |name| MetadataRecord::ConfigRemoved { resource, name }))
}

fn alter_group(
    cx: Context<'_>,
    group: &str,
    alteration: &Alteration,
) -> Result<Vec<MetadataRecord>, Refused> {
    if group.is_empty() {
        return Err(Refused::new(Why::InvalidRequest, "Default group resources are not allowed."));
    }
    if group.len() > GROUP_ID_BYTES_MAX {
        let message = format!("a group with settings has an id of at most {GROUP_ID_BYTES_MAX} bytes");
        return Err(Refused::new(Why::InvalidRequest, message));
    }
    let nothing = BTreeMap::new();
    let groups = cx.image.group_configs();
    let old = groups.get(group).unwrap_or(&nothing);
    if old.is_empty() && groups.len() >= GROUPS_MAX {
        let message = format!("{GROUPS_MAX} groups have settings of their own already");
        return Err(Refused::new(Why::PolicyViolation, message));
    }
    let new = own_group::alter(old, &alteration.ops(old), cx.settings)?;
    let group = || group.to_owned();
    let set = |name, value| MetadataRecord::GroupConfigSet { group: group(), name, value };
    Ok(difference(old, &new, set, |name| MetadataRecord::GroupConfigRemoved { group: group(), name }))
}

/// Refuses settings that a running broker does not take, as Kafka does: not with the code of a bad value.
fn check_dynamic(names: &[&str]) -> Result<(), Refused> {
    let is_fixed = |name: &&&str| broker::DEFS.iter().any(|def| def.name == **name && !def.dynamic);
    let fixed: Vec<&str> = names.iter().filter(is_fixed).copied().collect();
    if fixed.is_empty() {
        return Ok(());
    }
    let message = format!("Cannot update these configs dynamically: {}", fixed.join(", "));
    Err(Refused::new(Why::InvalidRequest, message))
}

/// A broker's bad value is INVALID_REQUEST in Kafka, where a topic's is INVALID_CONFIG. A name that
/// nobody knows Kafka would keep for a plug-in; here are none, so it is refused.
fn of_broker(error: ConfigError) -> Refused {
    let known = broker::DEFS.iter().any(|def| def.name == error.name);
    let why = if known { Why::InvalidRequest } else { Why::InvalidConfig };
    Refused::new(why, error.to_string())
}

/// The records that turn one level's overrides into others.
fn difference(
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
    set: impl Fn(String, String) -> MetadataRecord,
    removed: impl Fn(String) -> MetadataRecord,
) -> Vec<MetadataRecord> {
    let gone = old.keys().filter(|name| !new.contains_key(*name)).cloned();
    let other = new.iter().filter(|(name, value)| old.get(*name) != Some(*value));
    gone.map(removed).chain(other.map(|(name, value)| set(name.clone(), value.clone()))).collect()
}
