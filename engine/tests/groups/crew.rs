//! Members of the new protocol that do what clients do, and the topics that they read.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, NodeId, PartitionKey, TopicId};
use engine::group::{Answer, Ask, ConsumerHeartbeatAnswer, ConsumerHeartbeatAsk, GroupError};
use engine::metadata::{Image, MetadataRecord, PartitionState, Position};
use uuid::Uuid;

use crate::world::*;

/// A member as its client sees it.
#[derive(Clone, Debug)]
pub(crate) struct Mate {
    pub(crate) ask: ConsumerHeartbeatAsk,
    pub(crate) epoch: i32,
    pub(crate) owned: BTreeSet<PartitionKey>,
}

impl Mate {
    pub(crate) fn new(id: &str, topics: &[&str]) -> Mate {
        let ask = ConsumerHeartbeatAsk {
            group: GROUP.to_owned(),
            member: id.to_owned(),
            rebalance: Some(REBALANCE),
            names: Some(topics.iter().map(|t| (*t).to_owned()).collect()),
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            ..ConsumerHeartbeatAsk::default()
        };
        Mate { ask, epoch: 0, owned: BTreeSet::new() }
    }

    pub(crate) fn fixed(id: &str, instance: &str, topics: &[&str]) -> Mate {
        let mut mate = Mate::new(id, topics);
        mate.ask.instance = Some(instance.to_owned());
        mate
    }

    pub(crate) fn by_pattern(id: &str, pattern: &str) -> Mate {
        let mut mate = Mate::new(id, &[]);
        mate.ask.names = None;
        mate.ask.regex = Some(pattern.to_owned());
        mate
    }

    /// What it asks: everything when it joins, what it owns afterwards.
    pub(crate) fn asks(&self) -> ConsumerHeartbeatAsk {
        if self.epoch == 0 {
            return ConsumerHeartbeatAsk { owned: Some(BTreeSet::new()), ..self.ask.clone() };
        }
        ConsumerHeartbeatAsk {
            epoch: self.epoch,
            owned: Some(self.owned.clone()),
            rebalance: None,
            names: None,
            regex: None,
            assignor: None,
            rack: None,
            ..self.ask.clone()
        }
    }

    /// What it asks when it goes, for good (-1) or for a while (-2).
    pub(crate) fn goes(&self, epoch: i32) -> ConsumerHeartbeatAsk {
        ConsumerHeartbeatAsk { epoch, owned: None, ..self.asks() }
    }

    pub(crate) fn takes(&mut self, answer: &ConsumerHeartbeatAnswer) {
        self.epoch = answer.epoch;
        if let Some(assignment) = &answer.assignment {
            self.owned.clone_from(assignment);
        }
    }
}

impl World {
    /// These are the topics now, with their numbers of partitions.
    pub(crate) fn topics(&mut self, topics: &[(&str, i32)]) {
        self.next += 1;
        self.coordinator.follow(image(topics, self.next));
    }

    /// A heartbeat as it is; its answer may still be to come.
    pub(crate) fn send(&mut self, ask: ConsumerHeartbeatAsk) -> u64 {
        self.ask(Ask::ConsumerHeartbeat(ask))
    }

    pub(crate) fn told(&mut self, id: u64) -> Result<ConsumerHeartbeatAnswer, GroupError> {
        match self.answer(id) {
            Answer::ConsumerHeartbeat(answer) => answer.map_err(|refusal| refusal.error),
            other => panic!("not a heartbeat: {other:?}"),
        }
    }

    pub(crate) fn beat_as(
        &mut self,
        ask: ConsumerHeartbeatAsk,
    ) -> Result<ConsumerHeartbeatAnswer, GroupError> {
        let id = self.send(ask);
        self.told(id)
    }

    /// A heartbeat of a member that does what it is told.
    pub(crate) fn beat(&mut self, mate: &mut Mate) -> ConsumerHeartbeatAnswer {
        let answer = self.beat_as(mate.asks()).expect("a heartbeat that is right");
        mate.takes(&answer);
        answer
    }

    /// Everybody calls until nobody is told anything new. Nothing is ever read by two.
    pub(crate) fn settle(&mut self, crew: &mut [Mate]) {
        for _ in 0..20 {
            let before = crew.to_vec();
            for place in 0..crew.len() {
                self.beat(&mut crew[place]);
                nothing_twice(crew);
            }
            self.pass(Duration::from_millis(100));
            if crew.iter().zip(&before).all(|(a, b)| a.epoch == b.epoch && a.owned == b.owned) {
                return;
            }
        }
        panic!("the group does not settle: {crew:?}");
    }

    pub(crate) fn group_state(&self) -> Option<&'static str> {
        self.coordinator.list().find(|l| l.group == GROUP).map(|l| l.state)
    }

    pub(crate) fn group_type(&self) -> Option<&'static str> {
        self.coordinator.list().find(|l| l.group == GROUP).map(|l| l.group_type)
    }
}

pub(crate) fn nothing_twice(crew: &[Mate]) {
    let all: usize = crew.iter().map(|m| m.owned.len()).sum();
    let different: BTreeSet<_> = crew.iter().flat_map(|m| &m.owned).collect();
    assert_eq!(all, different.len(), "a partition is read by two: {crew:?}");
}

/// The id of a topic of the tests: made of its name.
pub(crate) fn topic_id(name: &str) -> TopicId {
    let mut bytes = [0; 16];
    bytes[..name.len().min(16)].copy_from_slice(&name.as_bytes()[..name.len().min(16)]);
    TopicId(Uuid::from_bytes(bytes))
}

pub(crate) fn keys(topic: &str, indexes: impl IntoIterator<Item = i32>) -> BTreeSet<PartitionKey> {
    indexes.into_iter().map(|index| PartitionKey { topic: topic_id(topic), index }).collect()
}

pub(crate) fn image(topics: &[(&str, i32)], version: u64) -> Image {
    let mut image = Image::default();
    for (name, partitions) in topics {
        let id = topic_id(name);
        image.apply(&MetadataRecord::TopicCreated { id, name: (*name).to_owned() }).expect("new");
        for index in 0..*partitions {
            let state = PartitionState {
                replicas: vec![NodeId(1)],
                isr: vec![NodeId(1)],
                leader: Some(NodeId(1)),
                leader_epoch: LeaderEpoch(0),
                partition_epoch: 0,
                core: CoreId(0),
            };
            let key = PartitionKey { topic: id, index };
            image.apply(&MetadataRecord::PartitionCreated { key, state }).expect("new");
        }
    }
    image.advance(Position { index: version, term: 1 });
    image
}
