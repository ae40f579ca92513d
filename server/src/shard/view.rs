//! How the cluster looks through one listener.
//!
//! Through most of them this broker is one node. Through the *core-direct* one (`net.core_direct`) it is a
//! node for each core, at a port of its own, so that clients connect to the very core that owns a partition
//! or coordinates a group, and nothing that they ask has to go by mail to another core.
//!
//! | of | id |
//! |---|---|
//! | a broker | `node.id` |
//! | a core, through the core-direct listener | 2^20 + 1024 × `node.id` + core |
//!
//! The ids of cores are never stored, and begin above every `node.id` that is allowed. Whoever comes with one
//! means this broker: its settings and log directories are told under either.

use engine::base::{CoreId, NodeId};
use engine::metadata::{Image, Partition};

use super::core::Node;

/// Where the ids of cores begin; `node.id` ends below it.
const IDS_OF_CORES: i32 = 1 << 20;

/// Ids of cores that each node has: more than the cores of any.
const IDS_PER_NODE: i32 = 1 << 10;

/// The listener that shows a node for each core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreDirect {
    /// Which listener.
    pub listener: usize,
    /// The port of each core, as clients are told.
    pub ports: Vec<u16>,
}

/// Where a node is found through one listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeAddress {
    /// Which node: a broker or a core.
    pub id: i32,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The rack it stands in.
    pub rack: Option<String>,
}

/// How the cluster looks through one listener.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    node: &'a Node,
    listener: usize,
    direct: Option<&'a CoreDirect>,
}

impl Node {
    /// How the cluster looks through listener `listener`.
    #[must_use]
    pub fn view(&self, listener: usize) -> View<'_> {
        let direct = self.direct.as_ref().filter(|direct| direct.listener == listener);
        View { node: self, listener, direct }
    }

    /// Whether a client that names node `id` means this broker, through whichever listener.
    #[must_use]
    pub fn is_named_by(&self, id: i32) -> bool {
        let first = id_of_core(self.id, CoreId(0));
        let cores = first..first + i32::from(self.cores);
        id == self.id.0 || self.direct.is_some() && cores.contains(&id)
    }
}

fn id_of_core(node: NodeId, core: CoreId) -> i32 {
    IDS_OF_CORES + IDS_PER_NODE * node.0 + i32::from(core.0)
}

impl View<'_> {
    /// The nodes that clients of this listener can reach, by id.
    #[must_use]
    pub fn nodes(&self, image: &Image) -> Vec<NodeAddress> {
        let ours = &self.node.advertised[self.listener];
        let mut out = Vec::with_capacity(image.brokers().len());
        for (id, broker) in image.brokers() {
            let mut add = |id, host: &str, port| {
                out.push(NodeAddress { id, host: host.to_owned(), port, rack: broker.rack.clone() });
            };
            match (id == self.node.id, self.direct) {
                (true, Some(direct)) => {
                    for (core, &port) in (0..).zip(&direct.ports) {
                        add(id_of_core(id, CoreId(core)), &ours.host, port);
                    }
                }
                (true, None) => add(id.0, &ours.host, ours.port),
                (false, _) => {
                    // Without such a listener these clients cannot reach it.
                    if let Some(at) = broker.endpoints.iter().find(|e| e.name == ours.name) {
                        add(id.0, &at.host, at.port);
                    }
                }
            }
        }
        out.sort_by_key(|node| node.id);
        out
    }

    /// The id of the node that answers for a core of this broker.
    #[must_use]
    pub fn core(&self, core: CoreId) -> i32 {
        self.direct.map_or(self.node.id.0, |_| id_of_core(self.node.id, core))
    }

    /// The id of the node that takes changes of the cluster.
    #[must_use]
    pub fn controller(&self) -> i32 {
        self.core(CoreId(0))
    }

    /// The id of a partition's leader; −1 if it has none.
    #[must_use]
    pub fn leader(&self, partition: &Partition) -> i32 {
        partition.leader.map_or(-1, |leader| self.replica(partition, leader))
    }

    /// The ids of some of a partition's replicas.
    #[must_use]
    pub fn replicas(&self, partition: &Partition, replicas: &[NodeId]) -> Vec<i32> {
        replicas.iter().map(|&replica| self.replica(partition, replica)).collect()
    }

    fn replica(&self, partition: &Partition, replica: NodeId) -> i32 {
        if replica == self.node.id { self.core(self.node.core_of(partition)) } else { replica.0 }
    }
}
