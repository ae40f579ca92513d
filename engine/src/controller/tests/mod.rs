//! Decisions on requests that a client may send, each applied to the image that it was made on.

mod alter;
mod grow;
mod start;
mod topics;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::base::TopicId;
use crate::config::{Layer, Origin};

/// A single broker with its image.
struct Cluster {
    image: Image,
    settings: BrokerSettings,
    cores: u16,
    ids: u128,
}

impl Cluster {
    fn new(settings: &[(&str, &str)]) -> Cluster {
        let values = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let settings = BrokerSettings::parse(&[Layer { origin: Origin::File, values }]).unwrap();
        Cluster { image: Image::default(), settings, cores: 2, ids: 0 }
    }

    fn cx(&self) -> Context<'_> {
        Context { image: &self.image, settings: &self.settings, cores: self.cores }
    }

    /// Applies records: every decision's must fit.
    fn apply(&mut self, records: &[MetadataRecord]) {
        for record in records {
            self.image.apply(record).unwrap();
        }
    }

    fn create(&mut self, requests: &[CreateTopic]) -> Vec<Result<CreatedTopic, Refused>> {
        let mut ids = self.ids;
        let decision = create_topics(self.cx(), requests, false, || {
            ids += 1;
            Uuid::from_u128(ids)
        });
        self.ids = ids;
        self.apply(&decision.records);
        decision.replies
    }

    fn create_one(&mut self, request: CreateTopic) -> Result<CreatedTopic, Refused> {
        self.create(&[request]).pop().unwrap()
    }

    fn create_named(&mut self, name: &str, partitions: i32) -> TopicId {
        self.create_one(asked(name, partitions)).unwrap().id
    }

    /// Partitions of each core.
    fn cores_of(&self) -> Vec<usize> {
        let mut counts = BTreeMap::new();
        for partition in self.image.topics().flat_map(|t| &t.partitions) {
            *counts.entry(partition.core.0).or_default() += 1;
        }
        (0..self.cores).map(|c| counts.get(&c).copied().unwrap_or(0)).collect()
    }
}

fn asked(name: &str, partitions: i32) -> CreateTopic {
    CreateTopic { partitions, ..CreateTopic::with_defaults(name) }
}

fn why<T: std::fmt::Debug>(reply: Result<T, Refused>) -> Why {
    reply.expect_err("refused").why
}

#[test]
fn producer_ids_come_in_blocks_that_never_overlap() {
    let mut cluster = Cluster::new(&[]);
    let mut next = 0;
    for _ in 0..3 {
        let (record, block) = allocate_producer_ids(&cluster.image, NodeId(1)).unwrap();
        assert_eq!((block.first.0, block.next.0), (next, next + 1000));
        cluster.apply(&[record]);
        next = block.next.0;
    }
    cluster.apply(&[MetadataRecord::ProducerIdsAllocated {
        node: NodeId(1),
        first: ProducerId(next),
        next: ProducerId(i64::MAX - 10),
    }]);
    assert_eq!(allocate_producer_ids(&cluster.image, NodeId(1)), None);
}
