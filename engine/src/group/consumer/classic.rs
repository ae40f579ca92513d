//! Members of the classic protocol in a group of the new one, while it migrates.
//!
//! To such a member its epoch is a generation. A heartbeat tells it to join again when the group moved;
//! the join is the step, the sync tells it what it has. Nobody is the leader: the coordinator assigns.

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::stored::consumer_protocol::{Subscription, assignment_bytes};

use super::change::Change;
use super::draft::{Draft, Place, Step};
use super::state::{ClassicFace, ConsumerGroup, Holding, Member, Parts, Phase};
use crate::base::PartitionKey;
use crate::group::answer::{Answer, JoinAnswer, SyncAnswer};
use crate::group::ask::{JoinAsk, Leaver, MemberRef, SyncAsk};
use crate::group::{GroupError, Protocol};
use crate::metadata::Image;

/// The type of groups that can migrate.
pub(crate) const CONSUMER: &str = "consumer";

impl ConsumerGroup {
    /// A member of the classic protocol joins, for the first time or again.
    pub(crate) fn join(&self, ask: &JoinAsk, place: &Place<'_>) -> Result<Step, GroupError> {
        let protocol = self.agreed(ask)?;
        let subscription = Subscription::from_bytes(&protocol.metadata)
            .map_err(|_| GroupError::InconsistentGroupProtocol)?;
        let id = &ask.who.member;
        let (known, replaces) = self.identify_classic(&ask.who)?;
        let is_new = known.is_none() && replaces.is_none();
        if is_new && self.members.len() >= place.settings.consumer.members_max {
            return Err(GroupError::GroupMaxSizeReached);
        }
        let own_id = if id.is_empty() {
            let prefix = ask.who.instance.as_deref().unwrap_or(&ask.client_id);
            format!("{prefix}-{}", ask.fresh_id)
        } else {
            id.clone()
        };
        if id.is_empty() && ask.known_id_required && ask.who.instance.is_none() {
            let answer = Answer::Join(Err((GroupError::MemberIdRequired, own_id)));
            return Ok(Step { answer: Some(answer), ..Step::default() });
        }
        let member = Member {
            id: own_id.clone(),
            instance: ask.who.instance.clone(),
            rack: subscription.rack.map(str::to_owned),
            client_id: ask.client_id.clone(),
            client_host: ask.client_host.clone(),
            names: subscription.topics.iter().map(|t| (*t).to_owned()).collect(),
            regex: None,
            rebalance: ask.rebalance,
            assignor: None,
            classic: Some(ClassicFace { session: ask.session, protocols: ask.protocols.clone() }),
        };
        let mut step = Step { alive: Some(own_id.clone()), ..Step::default() };
        let mut holding = self.holdings.get(&own_id).cloned().unwrap_or_default();
        if let Some(old) = replaces {
            let assigned = self.holdings.get(&old.id).map(|h| h.assigned.clone()).unwrap_or_default();
            holding = Holding { assigned, ..Holding::default() };
            step.changes.push(Change::HoldingGone(old.id.clone()));
            step.changes.push(Change::TargetGone(old.id.clone()));
            step.changes.push(Change::MemberGone(old.id.clone()));
        }
        // What it says to own counts only for the generation that it is in.
        let owned = if subscription.generation == holding.epoch {
            parts_of(&subscription.owned, place.image)
        } else {
            Parts::new()
        };
        let draft = Draft { group: self, place, was: known, replaces, member, holding, step };
        let (mut step, holding) = draft.carry_on(Some(&owned)).map_err(|refusal| refusal.error)?;
        step.answer = Some(Answer::Join(Ok(JoinAnswer {
            generation: holding.epoch,
            protocol_type: CONSUMER.to_owned(),
            protocol: protocol.name.clone(),
            leader: String::new(),
            member: own_id,
            skip_assignment: false,
            members: Vec::new(),
        })));
        Ok(step)
    }

    /// The protocol of a member that every other one of the classic protocol has too.
    fn agreed<'a>(&self, ask: &'a JoinAsk) -> Result<&'a Protocol, GroupError> {
        let others = || {
            let others = self.members.values().filter(|m| m.id != ask.who.member);
            others.filter_map(|m| m.classic.as_ref())
        };
        let common = |p: &&Protocol| others().all(|face| face.protocols.iter().any(|o| o.name == p.name));
        let agreed = ask.protocols.iter().find(common).filter(|_| ask.protocol_type == CONSUMER);
        agreed.ok_or(GroupError::InconsistentGroupProtocol)
    }

    /// The member as the group knows it, or the static one that it replaces.
    fn identify_classic(&self, who: &MemberRef) -> Result<(Option<&Member>, Option<&Member>), GroupError> {
        let known = self.members.get(&who.member);
        let Some(instance) = &who.instance else { return Ok((known, None)) };
        match self.statics.get(instance) {
            Some(id) if *id == who.member => Ok((known, None)),
            Some(id) if who.member.is_empty() => Ok((None, self.members.get(id))),
            Some(_) => Err(GroupError::FencedInstanceId),
            None if who.member.is_empty() => Ok((None, None)),
            None => Err(GroupError::UnknownMemberId),
        }
    }

    /// Whether somebody is the member of the classic protocol that it says it is, in its epoch.
    fn check_classic(&self, who: &MemberRef) -> Result<(&Member, &Holding), GroupError> {
        if let Some(instance) = &who.instance {
            match self.statics.get(instance) {
                None => return Err(GroupError::UnknownMemberId),
                Some(id) if *id != who.member => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        let member = self.members.get(&who.member).filter(|m| m.classic.is_some());
        let member = member.ok_or(GroupError::UnknownMemberId)?;
        let holding = self.holdings.get(&who.member).ok_or(GroupError::IllegalGeneration)?;
        if holding.epoch != who.generation {
            return Err(GroupError::IllegalGeneration);
        }
        Ok((member, holding))
    }

    /// Whether a member of the classic protocol must join again to go on.
    fn must_rejoin(&self, id: &str, holding: &Holding) -> bool {
        let free = |key: &PartitionKey| !holding.assigned.contains(key) && !self.held.contains_key(key);
        match holding.phase {
            // It joins again by itself once it has given up.
            Phase::Revoking => false,
            Phase::Stable => holding.epoch < self.epoch,
            Phase::Waiting => {
                let target = self.targets.get(id);
                holding.epoch < self.epoch || target.is_some_and(|t| t.iter().any(free))
            }
        }
    }

    /// What a member of the classic protocol has.
    pub(crate) fn sync(&self, ask: &SyncAsk, image: &Image) -> Result<SyncAnswer, GroupError> {
        let (member, holding) = self.check_classic(&ask.who)?;
        let protocols = member.classic.iter().flat_map(|face| &face.protocols);
        let wanted = |p: &&Protocol| ask.protocol.as_ref().is_none_or(|name| *name == p.name);
        let is_other = ask.protocol_type.as_ref().is_some_and(|kind| kind != CONSUMER);
        let protocol = protocols.clone().find(wanted).filter(|_| !is_other);
        let protocol = protocol.ok_or(GroupError::InconsistentGroupProtocol)?;
        if self.must_rejoin(&member.id, holding) {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(SyncAnswer {
            protocol_type: CONSUMER.to_owned(),
            protocol: protocol.name.clone(),
            assignment: assignment_of(&protocol.metadata, &holding.assigned, image),
        })
    }

    /// A member of the classic protocol is alive.
    pub(crate) fn classic_heartbeat(&self, who: &MemberRef) -> Result<(), GroupError> {
        let (member, holding) = self.check_classic(who)?;
        if self.must_rejoin(&member.id, holding) { Err(GroupError::RebalanceInProgress) } else { Ok(()) }
    }

    /// The member of the classic protocol that leaves.
    pub(crate) fn leaver(&self, leaver: &Leaver) -> Result<String, GroupError> {
        let id = match &leaver.instance {
            None => &leaver.member,
            Some(instance) => {
                let id = self.statics.get(instance).ok_or(GroupError::UnknownMemberId)?;
                if !leaver.member.is_empty() && leaver.member != *id {
                    return Err(GroupError::FencedInstanceId);
                }
                id
            }
        };
        let known = self.members.get(id).filter(|m| m.classic.is_some());
        known.map(|m| m.id.clone()).ok_or(GroupError::UnknownMemberId)
    }
}

/// Partitions of topics that exist, by their names.
pub(crate) fn parts_of(topics: &[(&str, Vec<i32>)], image: &Image) -> Parts {
    let keys = |(name, partitions): &(&str, Vec<i32>)| {
        let topic = image.topic(name).map(|t| (t.id, t.partitions.len() as i32));
        let wanted = partitions.clone();
        topic.into_iter().flat_map(move |(topic, count)| {
            let real = wanted.clone().into_iter().filter(move |index| (0..count).contains(index));
            real.map(move |index| PartitionKey { topic, index }).collect::<Vec<_>>()
        })
    };
    topics.iter().flat_map(keys).collect()
}

/// Partitions as an assignment of the classic protocol, in the version of a subscription.
pub(crate) fn assignment_of(subscription: &[u8], parts: &Parts, image: &Image) -> Bytes {
    let version = Subscription::from_bytes(subscription).map_or(0, |s| s.version.min(3));
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for key in parts {
        if let Some(topic) = image.topic_by_id(key.topic) {
            topics.entry(&topic.name).or_default().push(key.index);
        }
    }
    let topics: Vec<_> = topics.into_iter().collect();
    Bytes::from(assignment_bytes(version, &topics))
}
