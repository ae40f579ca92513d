//! One core.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use engine::base::{CoreId, NodeId, PartitionKey};
use engine::broker::{HostedPartition, Shard};
use engine::config::{BrokerSettings, Listener};
use engine::fetch::SessionCache;
use engine::metadata::{Image, Partition};
use uuid::Uuid;

use super::acks::Acks;
use super::catalog::{Catalog, TopicEntry};
use super::control::Control;
use super::fetch_sessions;
use super::groups::Groups;
use super::post::Post;
use super::reads::Loans;
use super::view::CoreDirect;
use super::watch::Watches;
use crate::runtime::{Buffers, Counters, LeaseBudget, StageClocks};

/// The disk that a broker uses.
pub type Disk = store::GlommioDisk;

/// What every core knows of the process, unchanging.
#[derive(Debug)]
pub struct Node {
    /// The cluster's id.
    pub cluster: Uuid,
    /// This broker's id.
    pub id: NodeId,
    /// Where its data lies: an absolute path.
    pub data_dir: String,
    /// The id of that directory.
    pub directory: Uuid,
    /// What clients of each listener are told, in the order of the listeners.
    pub advertised: Vec<Listener>,
    /// The listener that shows a node for each core, if there is one.
    pub direct: Option<CoreDirect>,
    /// The settings it was started with.
    pub settings: BrokerSettings,
    /// How many cores it runs on.
    pub cores: u16,
    /// Nothing is taken: see `server.read_only`.
    pub read_only: bool,
}

impl Node {
    /// The core that owns a partition. Placement is kept in the metadata; a broker that runs on
    /// fewer cores than the one that placed it folds the rest onto them.
    #[must_use]
    pub fn core_of(&self, partition: &Partition) -> CoreId {
        CoreId(partition.core.0 % self.cores)
    }
}

impl Node {
    /// The cluster's id as Kafka writes it: 22 characters of URL-safe base64.
    #[must_use]
    pub fn cluster_name(&self) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bits = u128::from_be_bytes(*self.cluster.as_bytes());
        // 22 digits hold 132 bits: the last one carries four zero bits behind the id.
        let mut out = [0; 22];
        out[21] = DIGITS[((bits & 3) << 4) as usize];
        bits >>= 2;
        for digit in out[..21].iter_mut().rev() {
            *digit = DIGITS[(bits & 63) as usize];
            bits >>= 6;
        }
        out.iter().map(|&b| char::from(b)).collect()
    }
}

/// Everything that one core owns. All of it is used by its own thread only.
pub struct Core {
    /// Which core.
    pub id: CoreId,
    /// The process.
    pub node: Arc<Node>,
    /// Its partitions and journal.
    pub shard: Shard<Disk>,
    /// What it counts.
    pub counters: Rc<Counters>,
    /// How long its requests take.
    pub clocks: Rc<StageClocks>,
    /// Memory of its connections.
    pub buffers: Rc<Buffers>,
    /// The budget of log memory held by replies.
    pub leases: Rc<LeaseBudget>,
    /// Mail to the other cores.
    pub post: Post,
    /// Who waits for a group commit.
    pub acks: Acks,
    /// Who waits for a high watermark.
    pub watches: Watches,
    /// Answers lent to other cores.
    pub loans: Loans,
    /// Incremental fetch sessions that were opened on this core.
    pub fetch_sessions: RefCell<SessionCache>,
    /// Coordinators of consumer groups.
    pub groups: Groups,
    /// Changes of the cluster: on core 0 alone.
    pub control: Option<Control>,
    catalog: RefCell<Rc<Catalog>>,
    apply: Apply,
    stopping: Cell<bool>,
}

/// Puts settings of this broker that were altered while it runs into effect, beyond those of topics.
pub type Apply = Box<dyn Fn(&BrokerSettings)>;

/// The parts of a core that its start provides.
pub struct Parts {
    /// Which core.
    pub id: CoreId,
    /// The process.
    pub node: Arc<Node>,
    /// Its partitions and journal.
    pub shard: Shard<Disk>,
    /// What it counts.
    pub counters: Rc<Counters>,
    /// How long its requests take.
    pub clocks: Rc<StageClocks>,
    /// Memory of its connections.
    pub buffers: Rc<Buffers>,
    /// The budget of log memory held by replies.
    pub leases: Rc<LeaseBudget>,
    /// Changes of the cluster: on core 0 alone.
    pub control: Option<Control>,
    /// The cluster as recovery left it. The shard hosts its partitions already.
    pub image: Image,
    /// What a change of this broker's settings does; called for those of the image first.
    pub apply: Apply,
}

impl Core {
    /// A core over what its start provides.
    #[must_use]
    pub fn new(parts: Parts) -> Rc<Core> {
        let catalog = Catalog::new(parts.image, &parts.node);
        (parts.apply)(catalog.broker());
        let fetch_sessions = RefCell::new(SessionCache::new(fetch_sessions::limits(&parts.node, parts.id)));
        Rc::new(Core {
            id: parts.id,
            post: Post::new(parts.id, parts.node.cores),
            node: parts.node,
            shard: parts.shard,
            counters: parts.counters,
            clocks: parts.clocks,
            buffers: parts.buffers,
            leases: parts.leases,
            acks: Acks::default(),
            watches: Watches::default(),
            loans: Loans::default(),
            fetch_sessions,
            groups: Groups::default(),
            control: parts.control,
            catalog: RefCell::new(Rc::new(catalog)),
            apply: parts.apply,
            stopping: Cell::new(false),
        })
    }

    /// The cluster as this core knows it now.
    #[must_use]
    pub fn catalog(&self) -> Rc<Catalog> {
        self.catalog.borrow().clone()
    }

    /// Whether requests that wait must be answered now, because the broker stops.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Lets every request that waits go.
    pub fn stop_waiting(&self) {
        self.stopping.set(true);
        self.watches.wake_all();
        self.end_groups();
    }

    /// Takes over a newer image: hosts partitions that are new here, applies changed settings,
    /// and lets go of those that are gone, whose space is given back in the background.
    pub fn follow(self: &Rc<Self>, image: Image) {
        let old = self.catalog();
        if image.position() <= old.image().position() && old.image().cluster().is_some() {
            return;
        }
        let new = Rc::new(old.follow(image, &self.node));
        if new.broker() != old.broker() {
            (self.apply)(new.broker());
        }
        for entry in old.topics().filter(|t| new.topic_by_id(t.topic.id).is_none()) {
            self.forget_topic(&entry.topic.name);
            for key in self.own_partitions(entry) {
                let core = self.clone();
                glommio::spawn_local(async move {
                    if let Err(error) = core.shard.delete(key).await {
                        tracing::error!(%key, %error, "a deleted partition's space was not given back");
                    }
                })
                .detach();
            }
        }
        for entry in new.topics() {
            match old.topic_by_id(entry.topic.id) {
                None => self.own_partitions(entry).for_each(|key| self.host(entry, key)),
                Some(before) if Rc::ptr_eq(before, entry) => {}
                Some(before) => {
                    let known = before.topic.partitions.len() as i32;
                    for key in self.own_partitions(entry) {
                        if key.index >= known {
                            self.host(entry, key);
                        } else if before.settings != entry.settings {
                            self.shard.update(key, entry.settings.clone());
                        }
                    }
                }
            }
        }
        self.catalog.replace(new);
        self.seat_groups();
    }

    fn host(&self, entry: &TopicEntry, key: PartitionKey) {
        self.shard.create(hosted(&self.node, entry, key));
    }

    fn own_partitions<'a>(&'a self, entry: &'a TopicEntry) -> impl Iterator<Item = PartitionKey> + 'a {
        entry.topic.keyed().filter(|(_, p)| self.node.core_of(p) == self.id).map(|(key, _)| key)
    }
}

/// A partition as the shard wants to know it.
pub(crate) fn hosted(node: &Node, entry: &TopicEntry, key: PartitionKey) -> HostedPartition {
    let partition = &entry.topic.partitions[key.index as usize];
    HostedPartition {
        key,
        core: node.core_of(partition),
        leader_epoch: partition.leader_epoch,
        settings: entry.settings.clone(),
    }
}
