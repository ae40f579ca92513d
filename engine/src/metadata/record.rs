//! One change of the cluster, and its bytes.
//!
//! | kind | record | version 1, after {u8 kind, u8 version} |
//! |---|---|---|
//! | 1 | cluster created | cluster uuid |
//! | 2 | broker registered | i32 node, u8 has rack, rack string if so, list of {name string, host string, u16 port} |
//! | 3 | topic created | topic uuid, name string |
//! | 4 | partition created | topic uuid, i32 index, state |
//! | 5 | partition changed | as 4 |
//! | 6 | topic deleted | topic uuid |
//! | 7 | config set | resource, name string, value string |
//! | 8 | config removed | resource, name string |
//! | 9 | producer ids allocated | i32 node, i64 first, i64 next |
//! | 10 | group config set | group string, name string, value string |
//! | 11 | group config removed | group string, name string |
//!
//! A partition's state is {list of i32 replicas, list of i32 in-sync replicas, i32 leader (−1 = none),
//! i32 leader epoch, i32 partition epoch, u16 core}. A resource is {u8 1, topic uuid}, {u8 2, i32 node}
//! or {u8 3} for all brokers. A kind or version that is not in this table is an error: a newer
//! version wrote it, and to skip it would be to forget it.

use uuid::Uuid;

use super::bytes::{Malformed, Reader, put_list, put_string};
use super::image::{Broker, Endpoint};
use crate::base::{CoreId, LeaderEpoch, NodeId, PartitionKey, ProducerId, TopicId};

/// The only version of any record so far.
const VERSION: u8 = 1;

/// On the wire, a partition without a leader.
const NO_LEADER: i32 = -1;

/// Who holds a partition, and who leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionState {
    /// The nodes that hold it, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// Those that have every acknowledged record.
    pub isr: Vec<NodeId>,
    /// The node that takes writes.
    pub leader: Option<NodeId>,
    /// Rises with every change of the leader.
    pub leader_epoch: LeaderEpoch,
    /// Rises with every change of this state; changes are compare-and-set on it.
    pub partition_epoch: i32,
    /// The core that owns it, on every node that holds it.
    pub core: CoreId,
}

/// What a setting belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConfigResource {
    /// One topic.
    Topic(TopicId),
    /// One broker.
    Broker(NodeId),
    /// All brokers.
    AllBrokers,
}

/// One change of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the table above says what each holds")]
pub enum MetadataRecord {
    ClusterCreated { cluster: Uuid },
    BrokerRegistered { node: NodeId, broker: Broker },
    TopicCreated { id: TopicId, name: String },
    PartitionCreated { key: PartitionKey, state: PartitionState },
    PartitionChanged { key: PartitionKey, state: PartitionState },
    TopicDeleted { id: TopicId },
    ConfigSet { resource: ConfigResource, name: String, value: String },
    ConfigRemoved { resource: ConfigResource, name: String },
    ProducerIdsAllocated { node: NodeId, first: ProducerId, next: ProducerId },
    GroupConfigSet { group: String, name: String, value: String },
    GroupConfigRemoved { group: String, name: String },
}

impl MetadataRecord {
    /// Appends its bytes.
    ///
    /// # Panics
    /// If a text is longer than 65,535 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.kind(), VERSION]);
        match self {
            MetadataRecord::ClusterCreated { cluster } => out.extend_from_slice(cluster.as_bytes()),
            MetadataRecord::BrokerRegistered { node, broker } => {
                out.extend_from_slice(&node.0.to_be_bytes());
                out.push(broker.rack.is_some().into());
                if let Some(rack) = &broker.rack {
                    put_string(out, rack);
                }
                put_list(out, &broker.endpoints, |out, endpoint| {
                    put_string(out, &endpoint.name);
                    put_string(out, &endpoint.host);
                    out.extend_from_slice(&endpoint.port.to_be_bytes());
                });
            }
            MetadataRecord::TopicCreated { id, name } => {
                out.extend_from_slice(id.0.as_bytes());
                put_string(out, name);
            }
            MetadataRecord::PartitionCreated { key, state }
            | MetadataRecord::PartitionChanged { key, state } => {
                out.extend_from_slice(key.topic.0.as_bytes());
                out.extend_from_slice(&key.index.to_be_bytes());
                put_state(out, state);
            }
            MetadataRecord::TopicDeleted { id } => out.extend_from_slice(id.0.as_bytes()),
            MetadataRecord::ConfigSet { resource, name, value } => {
                put_resource(out, *resource);
                put_string(out, name);
                put_string(out, value);
            }
            MetadataRecord::ConfigRemoved { resource, name } => {
                put_resource(out, *resource);
                put_string(out, name);
            }
            MetadataRecord::ProducerIdsAllocated { node, first, next } => {
                out.extend_from_slice(&node.0.to_be_bytes());
                out.extend_from_slice(&first.0.to_be_bytes());
                out.extend_from_slice(&next.0.to_be_bytes());
            }
            MetadataRecord::GroupConfigSet { group, name, value } => {
                [group, name, value].into_iter().for_each(|text| put_string(out, text));
            }
            MetadataRecord::GroupConfigRemoved { group, name } => {
                [group, name].into_iter().for_each(|text| put_string(out, text));
            }
        }
    }

    /// Reads what [`MetadataRecord::encode`] wrote, all of it.
    ///
    /// # Errors
    /// Bytes that are not one record of this table.
    pub fn decode(bytes: &[u8]) -> Result<MetadataRecord, Malformed> {
        let mut r = Reader(bytes);
        let (kind, version) = (r.u8()?, r.u8()?);
        if version != VERSION {
            return Err(Malformed::UnknownRecord { kind, version });
        }
        let record = match kind {
            1 => MetadataRecord::ClusterCreated { cluster: r.uuid()? },
            2 => MetadataRecord::BrokerRegistered { node: NodeId(r.i32()?), broker: take_broker(&mut r)? },
            3 => MetadataRecord::TopicCreated { id: TopicId(r.uuid()?), name: r.string()? },
            4 => MetadataRecord::PartitionCreated { key: take_key(&mut r)?, state: take_state(&mut r)? },
            5 => MetadataRecord::PartitionChanged { key: take_key(&mut r)?, state: take_state(&mut r)? },
            6 => MetadataRecord::TopicDeleted { id: TopicId(r.uuid()?) },
            7 => MetadataRecord::ConfigSet {
                resource: take_resource(&mut r)?,
                name: r.string()?,
                value: r.string()?,
            },
            8 => MetadataRecord::ConfigRemoved { resource: take_resource(&mut r)?, name: r.string()? },
            9 => MetadataRecord::ProducerIdsAllocated {
                node: NodeId(r.i32()?),
                first: ProducerId(r.i64()?),
                next: ProducerId(r.i64()?),
            },
            10 => {
                MetadataRecord::GroupConfigSet { group: r.string()?, name: r.string()?, value: r.string()? }
            }
            11 => MetadataRecord::GroupConfigRemoved { group: r.string()?, name: r.string()? },
            _ => return Err(Malformed::UnknownRecord { kind, version }),
        };
        r.end()?;
        Ok(record)
    }

    fn kind(&self) -> u8 {
        match self {
            MetadataRecord::ClusterCreated { .. } => 1,
            MetadataRecord::BrokerRegistered { .. } => 2,
            MetadataRecord::TopicCreated { .. } => 3,
            MetadataRecord::PartitionCreated { .. } => 4,
            MetadataRecord::PartitionChanged { .. } => 5,
            MetadataRecord::TopicDeleted { .. } => 6,
            MetadataRecord::ConfigSet { .. } => 7,
            MetadataRecord::ConfigRemoved { .. } => 8,
            MetadataRecord::ProducerIdsAllocated { .. } => 9,
            MetadataRecord::GroupConfigSet { .. } => 10,
            MetadataRecord::GroupConfigRemoved { .. } => 11,
        }
    }
}

fn put_state(out: &mut Vec<u8>, state: &PartitionState) {
    put_list(out, &state.replicas, |out, node| out.extend_from_slice(&node.0.to_be_bytes()));
    put_list(out, &state.isr, |out, node| out.extend_from_slice(&node.0.to_be_bytes()));
    out.extend_from_slice(&state.leader.map_or(NO_LEADER, |node| node.0).to_be_bytes());
    out.extend_from_slice(&state.leader_epoch.0.to_be_bytes());
    out.extend_from_slice(&state.partition_epoch.to_be_bytes());
    out.extend_from_slice(&state.core.0.to_be_bytes());
}

fn take_state(r: &mut Reader<'_>) -> Result<PartitionState, Malformed> {
    Ok(PartitionState {
        replicas: r.list(4, |r| r.i32().map(NodeId))?,
        isr: r.list(4, |r| r.i32().map(NodeId))?,
        leader: Some(r.i32()?).filter(|&n| n != NO_LEADER).map(NodeId),
        leader_epoch: LeaderEpoch(r.i32()?),
        partition_epoch: r.i32()?,
        core: CoreId(r.u16()?),
    })
}

fn take_key(r: &mut Reader<'_>) -> Result<PartitionKey, Malformed> {
    Ok(PartitionKey { topic: TopicId(r.uuid()?), index: r.i32()? })
}

fn take_broker(r: &mut Reader<'_>) -> Result<Broker, Malformed> {
    const ENDPOINT_BYTES_MIN: usize = 2 + 2 + 2;
    let rack = match r.u8()? {
        0 => None,
        1 => Some(r.string()?),
        _ => return Err(Malformed::Range),
    };
    let endpoints = r.list(ENDPOINT_BYTES_MIN, |r| {
        Ok(Endpoint { name: r.string()?, host: r.string()?, port: r.u16()? })
    })?;
    Ok(Broker { rack, endpoints })
}

fn put_resource(out: &mut Vec<u8>, resource: ConfigResource) {
    match resource {
        ConfigResource::Topic(id) => {
            out.push(1);
            out.extend_from_slice(id.0.as_bytes());
        }
        ConfigResource::Broker(node) => {
            out.push(2);
            out.extend_from_slice(&node.0.to_be_bytes());
        }
        ConfigResource::AllBrokers => out.push(3),
    }
}

fn take_resource(r: &mut Reader<'_>) -> Result<ConfigResource, Malformed> {
    match r.u8()? {
        1 => Ok(ConfigResource::Topic(TopicId(r.uuid()?))),
        2 => Ok(ConfigResource::Broker(NodeId(r.i32()?))),
        3 => Ok(ConfigResource::AllBrokers),
        _ => Err(Malformed::Range),
    }
}
