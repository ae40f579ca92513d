//! Records and images read back; hostile bytes are refused; a log on a disk that loses and tears
//! what was not flushed keeps every acknowledged change and invents none.

mod disk;
mod durability;
mod formats;
mod images;

use uuid::Uuid;

use super::*;
use crate::base::{CoreId, LeaderEpoch, NodeId, PartitionKey, ProducerId, TopicId};

fn topic_id(n: u128) -> TopicId {
    TopicId(Uuid::from_u128(n))
}

fn key(topic: u128, index: i32) -> PartitionKey {
    PartitionKey { topic: topic_id(topic), index }
}

fn state(partition_epoch: i32) -> PartitionState {
    PartitionState {
        replicas: vec![NodeId(1), NodeId(2)],
        isr: vec![NodeId(1)],
        leader: Some(NodeId(1)),
        leader_epoch: LeaderEpoch(4),
        partition_epoch,
        core: CoreId(3),
    }
}

fn created(topic: u128, name: &str) -> MetadataRecord {
    MetadataRecord::TopicCreated { id: topic_id(topic), name: name.into() }
}

fn set(resource: ConfigResource, name: &str, value: &str) -> MetadataRecord {
    MetadataRecord::ConfigSet { resource, name: name.into(), value: value.into() }
}

/// One of each kind, in an order that an empty image takes.
fn every_kind() -> Vec<MetadataRecord> {
    let endpoint = |name: &str| Endpoint { name: name.into(), host: "h.example".into(), port: 9092 };
    let leaderless = PartitionState { leader: None, isr: vec![], ..state(1) };
    vec![
        MetadataRecord::ClusterCreated { cluster: Uuid::from_u128(77) },
        MetadataRecord::BrokerRegistered {
            node: NodeId(1),
            broker: Broker { rack: Some("r1".into()), endpoints: vec![endpoint("PLAINTEXT"), endpoint("X")] },
        },
        MetadataRecord::BrokerRegistered {
            node: NodeId(2),
            broker: Broker { rack: None, endpoints: vec![] },
        },
        created(1, "orders"),
        MetadataRecord::PartitionCreated { key: key(1, 0), state: state(0) },
        MetadataRecord::PartitionCreated { key: key(1, 1), state: state(0) },
        MetadataRecord::PartitionChanged { key: key(1, 1), state: leaderless },
        created(2, "gone"),
        MetadataRecord::TopicDeleted { id: topic_id(2) },
        set(ConfigResource::Topic(topic_id(1)), "retention.ms", "5"),
        set(ConfigResource::Broker(NodeId(2)), "log.retention.ms", "6"),
        set(ConfigResource::Broker(NodeId(1)), "log.retention.ms", "7"),
        MetadataRecord::ConfigRemoved {
            resource: ConfigResource::Broker(NodeId(1)),
            name: "log.retention.ms".into(),
        },
        set(ConfigResource::AllBrokers, "log.retention.ms", "8"),
        MetadataRecord::ProducerIdsAllocated {
            node: NodeId(1),
            first: ProducerId(0),
            next: ProducerId(1000),
        },
        MetadataRecord::GroupConfigSet { group: "g".into(), name: "a".into(), value: "9".into() },
        MetadataRecord::GroupConfigSet { group: "g".into(), name: "b".into(), value: "10".into() },
        MetadataRecord::GroupConfigSet { group: "h".into(), name: "a".into(), value: "11".into() },
        MetadataRecord::GroupConfigRemoved { group: "g".into(), name: "b".into() },
        MetadataRecord::GroupConfigRemoved { group: "h".into(), name: "a".into() },
    ]
}

fn image_of(records: &[MetadataRecord]) -> Image {
    let mut image = Image::default();
    for record in records {
        image.apply(record).unwrap();
    }
    image
}
