//! Altering settings while brokers run.

use std::collections::{BTreeMap, BTreeSet};

use super::{Context, Decision, Refused, Why};
use crate::base::NodeId;
use crate::config::{AlterOp, topic};
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
}

/// Alterations of one resource, all or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlterConfigs {
    /// Whose.
    pub target: AlterTarget,
    /// What, in order; each name once.
    pub ops: Vec<(String, AlterOp)>,
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
    let mut names = BTreeSet::new();
    if let Some((name, _)) = request.ops.iter().find(|(name, _)| !names.insert(name.as_str())) {
        let message = format!("{name:.249} is named twice for this resource");
        return Err(Refused::new(Why::InvalidRequest, message));
    }
    let resource = match &request.target {
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
    let new = match resource {
        ConfigResource::Topic(_) => topic::alter(old, &request.ops, cx.settings)?,
        ConfigResource::Broker(_) | ConfigResource::AllBrokers => cx.settings.alter(old, &request.ops)?,
    };
    Ok(difference(resource, old, &new))
}

/// The records that turn one level's overrides into others.
fn difference(
    resource: ConfigResource,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<MetadataRecord> {
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let set = new.iter().filter(|(name, value)| old.get(*name) != Some(*value));
    gone.map(|name| MetadataRecord::ConfigRemoved { resource, name: name.clone() })
        .chain(set.map(|(name, value)| MetadataRecord::ConfigSet {
            resource,
            name: name.clone(),
            value: value.clone(),
        }))
        .collect()
}
