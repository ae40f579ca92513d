//! A group and its states.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::answer::{Answer, Committed, Described, DescribedMember, Effect, GroupError};
use super::ask::{Ask, MemberRef, Protocol};
use super::consumer::ConsumerGroup;
use super::coordinator::Token;
use super::member::Member;
use crate::base::{Instant, WallMs};

/// Where a group stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// No members; maybe offsets.
    Empty,
    /// Members are asked to join again.
    PreparingRebalance,
    /// Everybody has joined; the leader assigns.
    CompletingRebalance,
    /// Everybody has its part.
    Stable,
}

impl State {
    /// Kafka's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// A group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) state: State,
    /// When it came into its state; for an empty one, since when its offsets age.
    pub(super) since: WallMs,
    pub(super) protocol_type: Option<String>,
    pub(super) generation: i32,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Member ids of static members.
    pub(super) statics: BTreeMap<String, String>,
    /// Ids given away (KIP-394) that have not joined yet.
    pub(super) pending: BTreeSet<String>,
    /// Members that joined since the initial delay was last extended.
    pub(super) more_joined: bool,
    /// When the rebalance must complete.
    pub(super) join_until: Instant,
    /// The end of the initial delay, if it is the first rebalance of an empty group.
    pub(super) initial_until: Option<Instant>,
    /// An assignment is being made durable.
    pub(super) is_writing: bool,
    pub(super) offsets: BTreeMap<(String, i32), Committed>,
    /// Set while it is a group of the new protocol: what stands above is empty then.
    pub(super) consumer: Option<Box<ConsumerGroup>>,
    /// A step of the new protocol is being made durable.
    pub(super) is_stepping: bool,
    /// Who waits for its turn meanwhile.
    pub(super) waiting: VecDeque<(Token, Ask)>,
}

impl Group {
    pub(super) fn new(name: String, since: WallMs) -> Group {
        Group {
            name,
            state: State::Empty,
            since,
            protocol_type: None,
            generation: 0,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeSet::new(),
            more_joined: false,
            join_until: Instant(0),
            initial_until: None,
            is_writing: false,
            offsets: BTreeMap::new(),
            consumer: None,
            is_stepping: false,
            waiting: VecDeque::new(),
        }
    }

    /// Nobody is in it, of either protocol.
    pub(super) fn is_empty(&self) -> bool {
        self.state == State::Empty
            && self.pending.is_empty()
            && self.consumer.as_ref().is_none_or(|c| c.members.is_empty())
    }

    /// There is nothing that would have to be kept.
    pub(super) fn is_nothing(&self) -> bool {
        self.is_empty()
            && self.offsets.is_empty()
            && self.generation == 0
            && self.consumer.is_none()
            && !self.is_stepping
            && self.waiting.is_empty()
    }

    /// It is a classic group no more, or not yet again. Offsets stay.
    pub(super) fn reset_classic(&mut self) {
        let fresh = Group::new(std::mem::take(&mut self.name), self.since);
        *self = Group {
            offsets: std::mem::take(&mut self.offsets),
            consumer: self.consumer.take(),
            is_stepping: self.is_stepping,
            waiting: std::mem::take(&mut self.waiting),
            ..fresh
        };
    }

    /// Makes what was replayed consistent, if it is not. Says whether it had to.
    pub(super) fn mend(&mut self) -> bool {
        let Some(consumer) = &mut self.consumer else { return false };
        let mut mended = consumer.mend();
        // Members of both protocols: those of the new one count.
        let is_void = consumer.members.is_empty() && (consumer.epoch == 0 || !self.members.is_empty());
        if is_void {
            self.consumer = None;
            mended = true;
        } else if !self.members.is_empty() {
            self.reset_classic();
            mended = true;
        }
        mended
    }

    /// The type of its members' protocol, if there were ever any.
    pub(super) fn kind(&self) -> Option<&str> {
        if self.consumer.is_some() { Some("consumer") } else { self.protocol_type.as_deref() }
    }

    /// The state in Kafka's words.
    pub(super) fn state_name(&self) -> &'static str {
        self.consumer.as_ref().map_or(self.state.name(), |c| c.state())
    }

    /// Whether a member is who it says it is, in the generation that it says.
    pub(super) fn check(&self, who: &MemberRef) -> Result<(), GroupError> {
        self.check_identity(who)?;
        if who.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        Ok(())
    }

    /// Whether a member is who it says it is.
    pub(super) fn check_identity(&self, who: &MemberRef) -> Result<(), GroupError> {
        if let Some(instance) = &who.instance {
            match self.statics.get(instance) {
                None => return Err(GroupError::UnknownMemberId),
                Some(id) if *id != who.member => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(&who.member) { Ok(()) } else { Err(GroupError::UnknownMemberId) }
    }

    /// Whether every member, apart from `leaving_out`, and these protocols have one in common.
    pub(super) fn agrees(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if protocol_type.is_empty() || protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|p| self.members.values().all(|m| m.supports(&p.name)))
    }

    /// The protocol that all support and most want.
    pub(super) fn vote(&self) -> Option<String> {
        let first = self.members.values().next()?;
        let mut common: BTreeSet<&str> = first.protocols.iter().map(|p| p.name.as_str()).collect();
        for member in self.members.values() {
            common.retain(|name| member.supports(name));
        }
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(wanted) = member.protocols.iter().find(|p| common.contains(p.name.as_str())) {
                *votes.entry(&wanted.name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, n)| *n).map(|(name, _)| name.to_owned())
    }

    /// The topics that somebody reads, `None` if it may be any.
    pub(super) fn subscribed(&self) -> Option<BTreeSet<String>> {
        if let Some(consumer) = &self.consumer {
            return Some(consumer.subscribed());
        }
        if self.protocol_type.as_deref() != Some("consumer") {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            // What cannot be read may be a subscription to anything.
            topics.extend(super::stored::subscribed_topics(&member.metadata(protocol))?);
        }
        Some(topics)
    }

    /// Answers everybody who waits for an assignment.
    pub(super) fn answer_syncing(&mut self, result: Result<(), GroupError>, out: &mut Vec<Effect>) {
        let (kind, protocol) = (self.protocol_type.clone(), self.protocol.clone());
        for member in self.members.values_mut() {
            let Some(token) = member.syncing.take() else { continue };
            let answer = result.map(|()| super::answer::SyncAnswer {
                protocol_type: kind.clone().unwrap_or_default(),
                protocol: protocol.clone().unwrap_or_default(),
                assignment: member.assignment.clone(),
            });
            out.push(Effect::Answer(token, Answer::Sync(answer)));
        }
    }

    /// Takes a member out, with the name that it had as a static one. Who waited is told.
    pub(super) fn remove(&mut self, id: &str, why: GroupError, out: &mut Vec<Effect>) -> Option<Member> {
        let mut member = self.members.remove(id)?;
        if let Some(instance) = &member.instance
            && self.statics.get(instance).is_some_and(|current| current == id)
        {
            self.statics.remove(instance);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.values().find(|m| m.joining.is_some()).map(|m| m.id.clone());
        }
        release(&mut member, why, out);
        Some(member)
    }

    /// The group in full.
    pub(super) fn describe(&self) -> Described {
        let stable = self.state == State::Stable;
        let protocol = self.protocol.clone().filter(|_| stable).unwrap_or_default();
        let members = self.members.values().map(|m| DescribedMember {
            id: m.id.clone(),
            instance: m.instance.clone(),
            client_id: m.client_id.clone(),
            client_host: m.client_host.clone(),
            metadata: if stable { m.metadata(&protocol) } else { Default::default() },
            assignment: if stable { m.assignment.clone() } else { Default::default() },
        });
        Described {
            group: self.name.clone(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.state,
            members: members.collect(),
            protocol,
        }
    }

    /// Asserts what must hold between any two events.
    pub(super) fn assert_consistent(&self) {
        if let Some(consumer) = &self.consumer {
            assert!(self.members.is_empty() && self.state == State::Empty, "a group of both protocols");
            consumer.assert_consistent();
        }
        assert!(self.is_stepping || self.waiting.is_empty(), "somebody waits for nothing");
        assert!(
            self.members.is_empty() == (self.state == State::Empty)
                || self.state == State::PreparingRebalance
        );
        assert!(
            self.statics.values().all(|id| self.members.contains_key(id)),
            "a static member that is none"
        );
        assert!(self.pending.iter().all(|id| !self.members.contains_key(id)), "a pending member that is in");
        if self.state == State::Stable {
            assert!(self.members.values().all(|m| !m.waits()), "somebody waits in a stable group");
            assert!(
                self.leader.as_ref().is_none_or(|id| self.members.contains_key(id)),
                "a leader that is gone"
            );
        }
    }
}

/// Lets a member go that waits for an answer.
pub(super) fn release(member: &mut Member, why: GroupError, out: &mut Vec<Effect>) {
    if let Some(token) = member.joining.take() {
        out.push(Effect::Answer(token, Answer::Join(Err((why, member.id.clone())))));
    }
    if let Some(token) = member.syncing.take() {
        out.push(Effect::Answer(token, Answer::Sync(Err(why))));
    }
}
