//! Room for new partitions, and where they go: what creating topics and growing them share.

use super::placement::Placement;
use super::{
    Context, PARTITIONS_PER_CORE_MAX, PARTITIONS_PER_REQUEST_MAX, PARTITIONS_PER_TOPIC_MAX, Refused, Why,
};
use crate::base::{LeaderEpoch, NodeId};
use crate::metadata::PartitionState;

/// What one request may still add.
pub(super) struct Room {
    placement: Placement,
    node: NodeId,
    cores: u16,
    added: usize,
}

impl Room {
    pub(super) fn of(cx: Context<'_>) -> Room {
        Room { placement: Placement::of(cx.image, cx.cores), node: cx.node(), cores: cx.cores, added: 0 }
    }

    /// Whether a topic that has `old` partitions may get `new` more.
    pub(super) fn check(&self, old: usize, new: usize) -> Result<(), Refused> {
        let partitions = old + new;
        if partitions > PARTITIONS_PER_TOPIC_MAX {
            let message = format!("{partitions} partitions; at most {PARTITIONS_PER_TOPIC_MAX} are allowed");
            return Err(Refused::new(Why::InvalidPartitions, message));
        }
        if self.added + new > PARTITIONS_PER_REQUEST_MAX {
            let message = format!("more than {PARTITIONS_PER_REQUEST_MAX} partitions in one request");
            return Err(Refused::new(Why::PolicyViolation, message));
        }
        let room = usize::from(self.cores) * PARTITIONS_PER_CORE_MAX;
        let total = self.placement.total() + new;
        if total > room {
            let message = format!("{total} partitions in all; {} cores take {room}", self.cores);
            return Err(Refused::new(Why::PolicyViolation, message));
        }
        Ok(())
    }

    /// Whether replicas placed by hand are what this cluster can have.
    pub(super) fn check_replicas(&self, index: usize, nodes: &[NodeId]) -> Result<(), Refused> {
        if nodes == [self.node] {
            return Ok(());
        }
        let nodes: Vec<i32> = nodes.iter().map(|n| n.0).collect();
        let message =
            format!("partition {index} is assigned to {nodes:?}; the only broker is {}", self.node.0);
        Err(Refused::new(Why::InvalidReplicaAssignment, message))
    }

    /// A new partition, on the core with the fewest.
    pub(super) fn place(&mut self) -> PartitionState {
        self.added += 1;
        PartitionState {
            replicas: vec![self.node],
            isr: vec![self.node],
            leader: Some(self.node),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
            core: self.placement.place(),
        }
    }
}
