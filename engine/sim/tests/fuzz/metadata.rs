//! The metadata log and its snapshots.

use bolero::check;
use engine::base::{CoreId, LeaderEpoch, NodeId, PartitionKey, ProducerId, TopicId};
use engine::metadata::storage::{Entry, decode_snapshot, encode_frame, encode_snapshot, scan};
use engine::metadata::{Broker, ConfigResource, Endpoint, Image, MetadataRecord, PartitionState, Position};
use uuid::Uuid;

use crate::{BRIEF, Input, mend_crc};

/// One record of each kind, in an order that an empty image takes.
fn records() -> Vec<MetadataRecord> {
    let topic = TopicId(Uuid::from_u128(1));
    let state = PartitionState {
        replicas: vec![NodeId(1), NodeId(2)],
        isr: vec![NodeId(1)],
        leader: Some(NodeId(1)),
        leader_epoch: LeaderEpoch(4),
        partition_epoch: 0,
        core: CoreId(3),
    };
    let moved = PartitionState { leader: None, isr: Vec::new(), partition_epoch: 1, ..state.clone() };
    let endpoint = Endpoint { name: "PLAINTEXT".into(), host: "h.example".into(), port: 9092 };
    let key = PartitionKey { topic, index: 0 };
    let resource = ConfigResource::Topic(topic);
    vec![
        MetadataRecord::ClusterCreated { cluster: Uuid::from_u128(77) },
        MetadataRecord::BrokerRegistered {
            node: NodeId(1),
            broker: Broker { rack: Some("r1".into()), endpoints: vec![endpoint] },
        },
        MetadataRecord::TopicCreated { id: topic, name: "orders".into() },
        MetadataRecord::PartitionCreated { key, state },
        MetadataRecord::PartitionChanged { key, state: moved },
        MetadataRecord::ConfigSet { resource, name: "retention.ms".into(), value: "5".into() },
        MetadataRecord::ConfigRemoved { resource, name: "retention.ms".into() },
        MetadataRecord::ProducerIdsAllocated {
            node: NodeId(1),
            first: ProducerId(0),
            next: ProducerId(1000),
        },
        MetadataRecord::GroupConfigSet { group: "g".into(), name: "n".into(), value: "5".into() },
        MetadataRecord::GroupConfigRemoved { group: "g".into(), name: "n".into() },
        MetadataRecord::TopicCreated { id: TopicId(Uuid::from_u128(2)), name: "gone".into() },
        MetadataRecord::TopicDeleted { id: TopicId(Uuid::from_u128(2)) },
    ]
}

#[test]
fn metadata_records() {
    let encode = |record: &MetadataRecord| {
        let mut out = Vec::new();
        record.encode(&mut out);
        out
    };
    let sound: Vec<Vec<u8>> = records().iter().map(encode).collect();
    check!().with_iterations(BRIEF).with_type::<Input>().for_each(|input| {
        if let Ok(record) = MetadataRecord::decode(&input.bytes(&sound, |_| {})) {
            assert_eq!(MetadataRecord::decode(&encode(&record)), Ok(record));
        }
    });
}

#[test]
fn metadata_logs() {
    let entry = |index, records| Entry { position: Position { index, term: 1 }, records };
    let one = encode_frame(&[entry(1, records())]);
    let two = [one.clone(), encode_frame(&[entry(2, records()), entry(3, Vec::new())])].concat();
    let sound = [one, two];
    check!().with_iterations(BRIEF).with_type::<Input>().for_each(|input| {
        let bytes = input.bytes(&sound, |log| {
            // The first frame lies in one block: four bytes of marker, four of checksum, its length.
            let length = log.get(8..12).map_or(0, |n| u32::from_be_bytes([n[0], n[1], n[2], n[3]]) as usize);
            let end = length.saturating_add(4).min(log.len());
            mend_crc(&mut log[..end], 4, 8);
        });
        if let Ok(scan) = scan(&bytes) {
            assert!(scan.end <= bytes.len() as u64);
            let mut image = Image::default();
            for record in scan.entries.iter().flat_map(|e| &e.records) {
                if image.apply(record).is_err() {
                    return;
                }
            }
        }
    });
}

#[test]
fn metadata_snapshots() {
    let mut image = Image::default();
    let mut sound = vec![encode_snapshot(&image)];
    for record in records() {
        image.apply(&record).expect("an order that fits");
        sound.push(encode_snapshot(&image));
    }
    check!().with_iterations(BRIEF).with_type::<Input>().for_each(|input| {
        let bytes = input.bytes(&sound, |snapshot| mend_crc(snapshot, 8, 12));
        if let Ok(image) = decode_snapshot(&bytes) {
            let again = decode_snapshot(&encode_snapshot(&image)).expect("what we write, we read");
            assert_eq!(again, image);
        }
    });
}
