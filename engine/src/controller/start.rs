//! What a broker tells the cluster when it starts.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Context;
use super::placement::Placement;
use crate::base::{CoreId, LeaderEpoch, PartitionKey};
use crate::config::topic;
use crate::metadata::{Broker, MetadataRecord, Partition, PartitionState, Topic};

/// A broker that starts, before it serves anyone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// The cluster's id, should this be its first start; else ignored.
    pub cluster: Uuid,
    /// Where clients find the broker.
    pub broker: Broker,
    /// Whether it did not stop cleanly before. Written but unflushed records of relaxed topics may
    /// be gone, so their leader epochs rise: clients that saw them notice (KIP-320).
    pub unclean: bool,
}

/// The records of a start: the cluster on its first day, this broker where it changed, partitions
/// of cores that no longer exist moved to others (and spread anew where cores were added), leader
/// epochs of relaxed topics after an unclean stop. Any first part of them is as valid as all: append
/// them in pieces where they are many (about 60 bytes each, see `FRAME_BYTES_MAX`).
#[must_use]
pub fn start_records(cx: Context<'_>, start: &Start) -> Vec<MetadataRecord> {
    let node = cx.node();
    let mut records = Vec::new();
    if cx.image.cluster().is_none() {
        records.push(MetadataRecord::ClusterCreated { cluster: start.cluster });
    }
    if cx.image.broker(node) != Some(&start.broker) {
        records.push(MetadataRecord::BrokerRegistered { node, broker: start.broker.clone() });
    }
    let mut placement = Placement::of(cx.image, cx.cores);
    // Orphans first: they may fill the cores that were added.
    let mut moved: BTreeMap<PartitionKey, CoreId> = BTreeMap::new();
    for (key, _) in partitions(cx).filter(|(_, p)| p.core.0 >= cx.cores) {
        moved.insert(key, placement.place());
    }
    if placement.is_lopsided() {
        let fair = placement.total().div_ceil(cx.cores.into());
        for (key, old) in partitions(cx).filter(|(_, p)| p.core.0 < cx.cores) {
            if placement.count(old.core) > fair {
                placement.take(old.core);
                moved.insert(key, placement.place());
            }
        }
    }
    for topic in cx.image.topics() {
        let raise = start.unclean && is_relaxed(cx, topic);
        for (key, old) in topic.keyed() {
            let core = moved.get(&key).copied();
            if !raise && core.is_none() {
                continue;
            }
            let leader_epoch = LeaderEpoch(old.leader_epoch.0.saturating_add(raise.into()));
            let partition_epoch = old.partition_epoch.saturating_add(1);
            let core = core.unwrap_or(old.core);
            let state = PartitionState { leader_epoch, partition_epoch, core, ..old.clone() };
            records.push(MetadataRecord::PartitionChanged { key, state });
        }
    }
    records
}

fn partitions(cx: Context<'_>) -> impl Iterator<Item = (PartitionKey, &Partition)> {
    cx.image.topics().flat_map(|t| t.keyed())
}

/// A topic whose settings no longer parse counts as relaxed: a needless epoch does no harm.
fn is_relaxed(cx: Context<'_>, topic: &Topic) -> bool {
    topic::parse(&topic.configs, cx.settings).map_or(true, |settings| settings.is_relaxed())
}
