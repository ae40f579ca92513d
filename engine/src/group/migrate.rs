//! A group with members changes its protocol.
//!
//! Upwards: the members of a classic group become members of the new protocol that speak the classic
//! one, in an epoch that is their generation, with what the leader gave them. Downwards, when the last
//! one that speaks the new protocol is gone: they become a classic group in a generation that is the
//! group's epoch, and are asked to join again.

use std::collections::BTreeSet;

use wire::stored::consumer_protocol::{Assignment, Subscription};

use super::ask::Protocol;
use super::classic::{Group, State};
use super::consumer::{
    CONSUMER, Change, ClassicFace, ConsumerGroup, Holding, Member as Modern, Parts, assignment_of, parts_of,
};
use super::member::Member;
use crate::base::{Instant, WallMs};
use crate::metadata::Image;

/// Why a classic group of consumers cannot become one of the new protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unfit {
    /// A member's subscription or assignment is none of a consumer.
    Malformed,
    /// The leader's assignor says something to its members that would be lost.
    CustomAssignor,
}

/// The changes that make a consumer group of a classic one.
pub(super) fn upwards(group: &Group, image: &Image) -> Result<Vec<Change>, Unfit> {
    let epoch = group.generation;
    // A hash of nothing: the first look at the topics is the one that counts.
    let mut changes = vec![Change::ClassicGone, Change::Epoch { epoch, hash: 0 }];
    let mut holdings = Vec::new();
    let mut taken = Parts::new();
    for member in group.members.values() {
        let protocol = member.protocols.first().ok_or(Unfit::Malformed)?;
        let subscription = Subscription::from_bytes(&protocol.metadata).map_err(|_| Unfit::Malformed)?;
        changes.push(Change::Member(Box::new(modern(member, &subscription))));
        let mut assigned = match group.state {
            State::Stable => {
                let assignment = Assignment::from_bytes(&member.assignment).map_err(|_| Unfit::Malformed)?;
                if !assignment.user_data.is_empty() {
                    return Err(Unfit::CustomAssignor);
                }
                parts_of(&assignment.topics, image)
            }
            State::Empty | State::PreparingRebalance | State::CompletingRebalance => Parts::new(),
        };
        // An assignment may lie: each partition is somebody's once.
        assigned.retain(|key| taken.insert(*key));
        changes.push(Change::Target { member: member.id.clone(), parts: assigned.clone() });
        let holding = Holding { epoch, previous: epoch, assigned, ..Holding::default() };
        holdings.push(Change::Holding { member: member.id.clone(), holding });
    }
    changes.push(Change::TargetEpoch(epoch));
    changes.extend(holdings);
    Ok(changes)
}

fn modern(member: &Member, subscription: &Subscription<'_>) -> Modern {
    Modern {
        id: member.id.clone(),
        instance: member.instance.clone(),
        rack: subscription.rack.map(str::to_owned),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        names: subscription.topics.iter().map(|t| (*t).to_owned()).collect(),
        regex: None,
        rebalance: member.rebalance,
        assignor: None,
        classic: Some(ClassicFace { session: member.session, protocols: member.protocols.clone() }),
    }
}

/// The classic group of a consumer group whose members, apart from `gone`, all speak the classic
/// protocol; `None` if there are others, or none at all.
pub(super) fn downwards(
    name: &str,
    group: &ConsumerGroup,
    image: &Image,
    wall: WallMs,
) -> Option<Box<Group>> {
    let faces: Option<Vec<(&Modern, &ClassicFace)>> =
        group.members.values().map(|m| Some((m, m.classic.as_ref()?))).collect();
    let faces = faces.filter(|list| !list.is_empty())?;
    let names = |face: &ClassicFace| -> BTreeSet<String> {
        face.protocols.iter().map(|p: &Protocol| p.name.clone()).collect()
    };
    let common = faces.iter().map(|(_, face)| names(face)).reduce(|a, b| &a & &b)?;
    let mut classic = Group::new(name.to_owned(), wall);
    classic.protocol_type = Some(CONSUMER.to_owned());
    classic.protocol = Some(common.into_iter().next()?);
    classic.generation = group.epoch;
    classic.state = State::Stable;
    classic.leader = faces.first().map(|(member, _)| member.id.clone());
    for (member, face) in faces {
        if let Some(instance) = &member.instance {
            classic.statics.insert(instance.clone(), member.id.clone());
        }
        let nothing = Parts::new();
        let parts = group.holdings.get(&member.id).map_or(&nothing, |h| &h.assigned);
        let subscription = face.protocols.first().map(|p| p.metadata.clone()).unwrap_or_default();
        let member = Member {
            id: member.id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            session: face.session,
            rebalance: member.rebalance,
            protocols: face.protocols.clone(),
            assignment: assignment_of(&subscription, parts, image),
            joining: None,
            syncing: None,
            is_new: false,
            has_synced: true,
            alive_until: Instant(0),
            watched_until: Instant(0),
        };
        classic.members.insert(member.id.clone(), member);
    }
    Some(Box::new(classic))
}
