//! The cluster's topics, with their settings resolved for the data path.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use engine::base::TopicId;
use engine::broker::HostedPartition;
use engine::config::{BrokerSettings, ConfigError, TopicSettings, topic};
use engine::metadata::{ConfigResource, Image, Topic};
use rustc_hash::FxHashMap;

use super::core::{Node, hosted};
use super::groups::OFFSETS_TOPIC;

/// A topic and what its settings come to.
#[derive(Debug)]
pub struct TopicEntry {
    /// Its place in the metadata.
    pub topic: Arc<Topic>,
    /// Its settings: overrides over the broker's over Kafka's.
    pub settings: TopicSettings,
    /// The broker's own: clients read it, but do not write it.
    pub internal: bool,
    /// Overrides that are not valid any more, and not in force.
    pub ignored: usize,
}

/// One image of the cluster, indexed. Immutable; a newer one takes over what did not change.
#[derive(Debug)]
pub struct Catalog {
    image: Image,
    broker: BrokerSettings,
    /// Settings of brokers altered at run time that are not valid any more, and not in force.
    ignored: Vec<ConfigError>,
    by_name: FxHashMap<Rc<str>, Rc<TopicEntry>>,
    by_id: FxHashMap<TopicId, Rc<TopicEntry>>,
}

impl Catalog {
    /// Indexes an image.
    #[must_use]
    pub fn new(image: Image, node: &Node) -> Catalog {
        Catalog::build(image, node, None)
    }

    /// Indexes a newer image.
    #[must_use]
    pub fn follow(&self, image: Image, node: &Node) -> Catalog {
        Catalog::build(image, node, Some(self))
    }

    fn build(image: Image, node: &Node, old: Option<&Catalog>) -> Catalog {
        const NOTHING: &BTreeMap<String, String> = &BTreeMap::new();
        let all = image.configs(ConfigResource::AllBrokers).unwrap_or(NOTHING);
        let this = image.configs(ConfigResource::Broker(node.id)).unwrap_or(NOTHING);
        // Each was checked when it was set; only a newer build with other rules ignores any.
        let (broker, ignored) = node.settings.with_stored(all, this);
        if old.is_none_or(|old| old.ignored != ignored) {
            for error in &ignored {
                tracing::error!(%error, "a setting altered at run time is not valid any more: ignored");
            }
        }
        let old = old.filter(|o| o.broker == broker);
        let mut by_name = FxHashMap::default();
        let mut by_id = FxHashMap::default();
        for topic in image.topics() {
            let known = old.and_then(|o| o.topic_by_id(topic.id)).filter(|e| Arc::ptr_eq(&e.topic, topic));
            let entry = known.cloned().unwrap_or_else(|| Rc::new(resolve(topic, &broker)));
            by_name.insert(Rc::from(topic.name.as_str()), entry.clone());
            by_id.insert(topic.id, entry);
        }
        Catalog { image, broker, ignored, by_name, by_id }
    }

    /// Settings of topics and brokers that are stored, but not valid any more and so not in force.
    #[must_use]
    pub fn ignored(&self) -> usize {
        self.ignored.len() + self.topics().map(|e| e.ignored).sum::<usize>()
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The broker's settings, those altered at run time included.
    #[must_use]
    pub fn broker(&self) -> &BrokerSettings {
        &self.broker
    }

    /// A topic by name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Rc<TopicEntry>> {
        self.by_name.get(name)
    }

    /// A topic by id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Rc<TopicEntry>> {
        self.by_id.get(&id)
    }

    /// All topics, in no order.
    pub fn topics(&self) -> impl Iterator<Item = &Rc<TopicEntry>> {
        self.by_id.values()
    }

    /// Every partition that this node holds: what recovery is told.
    #[must_use]
    pub fn hosted(&self, node: &Node) -> Vec<HostedPartition> {
        self.topics().flat_map(|e| e.topic.keyed().map(|(key, _)| hosted(node, e, key))).collect()
    }
}

fn resolve(topic: &Arc<Topic>, broker: &BrokerSettings) -> TopicEntry {
    let (settings, ignored) = topic::stored(&topic.configs, broker);
    for error in &ignored {
        tracing::error!(topic = topic.name, %error, "a setting is not valid any more: ignored, the others hold");
    }
    let internal = topic.name == OFFSETS_TOPIC;
    TopicEntry { topic: topic.clone(), settings, internal, ignored: ignored.len() }
}
