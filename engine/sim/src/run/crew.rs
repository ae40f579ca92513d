//! Members of groups: clients that outlive the machine and remember what they were told.
//!
//! | group | its members speak |
//! |---|---|
//! | [`CLASSIC`] | JoinGroup, SyncGroup, Heartbeat, LeaveGroup |
//! | [`NEW`] | ConsumerGroupHeartbeat (KIP-848) |
//!
//! A generation that a member was synced into never comes again with other parts or with a lower number, and
//! nobody of an older one commits any more. Two members of the new protocol never have a partition at once,
//! no epoch goes back, and nobody is put out who had its answers: no session ends within a run.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use engine::base::{CoreId, LeaderEpoch, NodeId, PartitionKey, TopicId};
use engine::group::{
    Answer, Ask, ConsumerHeartbeatAsk, GroupError, JoinAnswer, JoinAsk, Leaver, MemberRef, Protocol, SyncAsk,
};
use engine::metadata::{Image, MetadataRecord, PartitionState, Position};
use uuid::Uuid;

use super::plan::GROUPS;
use super::seat::{FOR_EVER, Seat, group_name, topic_name};
use super::topic::Finding;

/// The group of the classic protocol.
pub(super) const CLASSIC: usize = GROUPS;
/// The group of the new one.
pub(super) const NEW: usize = GROUPS + 1;
/// Members of each.
pub(super) const MEMBERS: usize = 3;

/// Topics that groups read, and the partitions of each.
const TOPICS: usize = 2;
const PARTITIONS: i32 = 2;

/// The answers to so many heartbeats were lost, one after the other, when a member may be put out: the
/// coordinator believes it of the epoch before.
const LOST_MAX: u32 = 2;

/// All members.
pub(super) struct Crew {
    classic: Vec<RefCell<Member>>,
    new: Vec<RefCell<Mate>>,
    told: RefCell<Told>,
    /// Made of it: ids that nobody had.
    fresh: Cell<u64>,
    pub(super) synced: Cell<u64>,
    pub(super) beats: Cell<u64>,
}

/// What was told to members of the classic group.
#[derive(Default)]
struct Told {
    /// The highest generation that anybody was synced into.
    generation: i32,
    /// By generation, the parts that leaders sent; of those that were told, the ones that agree with it.
    parts: BTreeMap<i32, Vec<BTreeMap<String, Bytes>>>,
}

/// Of the classic protocol.
#[derive(Clone, Default)]
struct Member {
    is_busy: bool,
    id: String,
    /// It was synced into this generation.
    generation: Option<i32>,
}

/// Of the new protocol.
#[derive(Clone, Default)]
struct Mate {
    is_busy: bool,
    epoch: i32,
    owned: BTreeSet<PartitionKey>,
    /// Heartbeats in a row whose answers it did not hear.
    lost: u32,
}

impl Crew {
    pub(super) fn new() -> Crew {
        Crew {
            classic: vec![RefCell::default(); MEMBERS],
            new: vec![RefCell::default(); MEMBERS],
            told: RefCell::default(),
            fresh: Cell::new(0),
            synced: Cell::new(0),
            beats: Cell::new(0),
        }
    }

    /// The machine stopped: nobody is answered any more.
    pub(super) fn stopped(&self) {
        self.classic.iter().for_each(|member| member.borrow_mut().is_busy = false);
        for mate in &self.new {
            let mut mate = mate.borrow_mut();
            mate.lost += u32::from(std::mem::replace(&mut mate.is_busy, false));
        }
    }

    /// A member of the classic group calls: it joins, or shows that it is there and commits, or leaves.
    pub(super) async fn call(self: Rc<Self>, seat: Rc<Seat>, number: usize, leaves: bool) -> Finding {
        if std::mem::replace(&mut self.classic[number].borrow_mut().is_busy, true) {
            return Ok(());
        }
        let mut member = self.classic[number].borrow().clone();
        let called = match (member.generation, leaves) {
            (None, false) => self.join(&seat, &mut member).await,
            (None, true) => Ok(()),
            (Some(_), true) => leave(&seat, &mut member).await,
            (Some(generation), false) => self.stay(&seat, &mut member, generation, number).await,
        };
        member.is_busy = false;
        *self.classic[number].borrow_mut() = member;
        called
    }

    async fn join(&self, seat: &Seat, member: &mut Member) -> Finding {
        self.fresh.set(self.fresh.get() + 1);
        let ask = JoinAsk {
            who: who(CLASSIC, -1, &member.id),
            fresh_id: format!("member-{}", self.fresh.get()),
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session: FOR_EVER,
            rebalance: FOR_EVER,
            protocol_type: "consumer".to_owned(),
            protocols: vec![Protocol { name: "range".to_owned(), metadata: Bytes::from_static(b"topics") }],
            known_id_required: false,
            may_skip_assignment: false,
        };
        let joined = match seat.ask(Ask::Join(ask)).await {
            Answer::Join(Ok(joined)) => joined,
            Answer::Join(Err((error, _))) => {
                member.forget_if(error);
                return Ok(());
            }
            other => return Err(format!("a join was answered with {other:?}")),
        };
        let synced = self.told.borrow().generation;
        if joined.generation < synced {
            return Err(format!("generation {} after {synced} was synced", joined.generation));
        }
        member.id.clone_from(&joined.member);
        self.sync(seat, member, &joined).await
    }

    async fn sync(&self, seat: &Seat, member: &mut Member, joined: &JoinAnswer) -> Finding {
        let generation = joined.generation;
        let mut parts = BTreeMap::new();
        if joined.leader == joined.member {
            self.fresh.set(self.fresh.get() + 1);
            let part = |id: &String| Bytes::from(format!("part {} of {id}", self.fresh.get()));
            parts = joined.members.iter().map(|m| (m.id.clone(), part(&m.id))).collect();
            self.told.borrow_mut().parts.entry(generation).or_default().push(parts.clone());
        }
        let ask = SyncAsk {
            who: who(CLASSIC, generation, &member.id),
            protocol_type: None,
            protocol: None,
            assignments: parts.into_iter().collect(),
        };
        match seat.ask(Ask::Sync(ask)).await {
            Answer::Sync(Ok(synced)) => {
                let mut told = self.told.borrow_mut();
                told.generation = told.generation.max(generation);
                let sent = told.parts.entry(generation).or_default();
                sent.retain(|parts| parts.get(&member.id) == Some(&synced.assignment));
                if sent.is_empty() {
                    let (id, part) = (&member.id, &synced.assignment);
                    return Err(format!(
                        "{id} is told {part:?} in generation {generation}: nobody sent that"
                    ));
                }
                member.generation = Some(generation);
                self.synced.set(self.synced.get() + 1);
                Ok(())
            }
            Answer::Sync(Err(error)) => {
                member.forget_if(error);
                Ok(())
            }
            other => Err(format!("a sync was answered with {other:?}")),
        }
    }

    async fn stay(&self, seat: &Seat, member: &mut Member, generation: i32, number: usize) -> Finding {
        let newest = self.told.borrow().generation;
        if seat.commit(who(CLASSIC, generation, &member.id), (CLASSIC, number)).await? && generation < newest
        {
            return Err(format!("a member of generation {generation} has committed, {newest} was synced"));
        }
        match seat.ask(Ask::Heartbeat(who(CLASSIC, generation, &member.id))).await {
            Answer::Heartbeat(Ok(())) => Ok(()),
            Answer::Heartbeat(Err(error)) => {
                member.generation = None;
                member.forget_if(error);
                Ok(())
            }
            other => Err(format!("a heartbeat was answered with {other:?}")),
        }
    }

    /// A member of the new group calls, or leaves.
    pub(super) async fn beat(self: Rc<Self>, seat: Rc<Seat>, number: usize, leaves: bool) -> Finding {
        if std::mem::replace(&mut self.new[number].borrow_mut().is_busy, true) {
            return Ok(());
        }
        let mate = self.new[number].borrow().clone();
        let found = match leaves {
            true if mate.epoch == 0 => Ok(()),
            true => self.go(&seat, number).await,
            false => self.turn(&seat, number, mate).await,
        };
        self.new[number].borrow_mut().is_busy = false;
        found
    }

    async fn turn(&self, seat: &Seat, number: usize, mate: Mate) -> Finding {
        let ask = heartbeat(number, &mate);
        match seat.ask(Ask::ConsumerHeartbeat(ask)).await {
            Answer::ConsumerHeartbeat(Ok(answer)) => {
                if answer.epoch < mate.epoch {
                    return Err(format!("{}: epoch {} after {}", answer.member, answer.epoch, mate.epoch));
                }
                {
                    let mut mate = self.new[number].borrow_mut();
                    (mate.epoch, mate.lost) = (answer.epoch, 0);
                    if let Some(assignment) = answer.assignment {
                        mate.owned = assignment;
                    }
                }
                self.beats.set(self.beats.get() + 1);
                self.nothing_twice()?;
                let member = who(NEW, answer.epoch, &answer.member);
                seat.commit(member, (NEW, number)).await.map(drop)
            }
            Answer::ConsumerHeartbeat(Err(refusal)) => {
                let mut mate = self.new[number].borrow_mut();
                let is_out = matches!(
                    refusal.error,
                    GroupError::FencedMemberEpoch | GroupError::UnknownMemberId | GroupError::GroupIdNotFound
                );
                if is_out && mate.lost < LOST_MAX && mate.epoch > 0 {
                    let (epoch, lost) = (mate.epoch, mate.lost);
                    return Err(format!(
                        "mate {number} of epoch {epoch} is out after {lost} lost answers: {refusal:?}"
                    ));
                }
                if is_out {
                    *mate = Mate { is_busy: true, ..Mate::default() };
                } else {
                    // The step may be durable, or not.
                    mate.lost += 1;
                }
                Ok(())
            }
            other => Err(format!("a heartbeat was answered with {other:?}")),
        }
    }

    async fn go(&self, seat: &Seat, number: usize) -> Finding {
        let ask = {
            let mut mate = self.new[number].borrow_mut();
            *mate = Mate { is_busy: true, ..Mate::default() };
            ConsumerHeartbeatAsk {
                epoch: -1,
                owned: None,
                names: None,
                rebalance: None,
                ..heartbeat(number, &mate)
            }
        };
        match seat.ask(Ask::ConsumerHeartbeat(ask)).await {
            Answer::ConsumerHeartbeat(_) => Ok(()),
            other => Err(format!("a leave was answered with {other:?}")),
        }
    }

    fn nothing_twice(&self) -> Finding {
        let mut seen = BTreeSet::new();
        for (number, mate) in self.new.iter().enumerate() {
            if let Some(twice) = mate.borrow().owned.iter().find(|key| !seen.insert(**key)) {
                return Err(format!("mate {number} and another have {twice}"));
            }
        }
        Ok(())
    }
}

impl Member {
    /// The coordinator does not know it: it begins anew.
    fn forget_if(&mut self, error: GroupError) {
        if error == GroupError::UnknownMemberId {
            self.id.clear();
        }
    }
}

async fn leave(seat: &Seat, member: &mut Member) -> Finding {
    let leaver = Leaver { member: std::mem::take(&mut member.id), instance: None };
    member.generation = None;
    match seat.ask(Ask::Leave { group: group_name(CLASSIC), members: vec![leaver] }).await {
        Answer::Leave(_) => Ok(()),
        other => Err(format!("a leave was answered with {other:?}")),
    }
}

fn who(group: usize, generation: i32, member: &str) -> MemberRef {
    MemberRef { group: group_name(group), generation, member: member.to_owned(), instance: None }
}

/// What a mate asks: everything when it joins, what it has afterwards.
fn heartbeat(number: usize, mate: &Mate) -> ConsumerHeartbeatAsk {
    let joins = mate.epoch == 0;
    ConsumerHeartbeatAsk {
        group: group_name(NEW),
        member: format!("mate-{number}"),
        epoch: mate.epoch,
        rebalance: joins.then_some(FOR_EVER),
        names: joins.then(|| (0..TOPICS).map(topic_name).collect()),
        owned: Some(if joins { BTreeSet::new() } else { mate.owned.clone() }),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        ..ConsumerHeartbeatAsk::default()
    }
}

/// The topics that groups read.
pub(super) fn image() -> Image {
    let mut image = Image::default();
    for number in 0..TOPICS {
        let id = TopicId(Uuid::from_u128(1_000 + number as u128));
        image.apply(&MetadataRecord::TopicCreated { id, name: topic_name(number) }).expect("a new one");
        for index in 0..PARTITIONS {
            let state = PartitionState {
                replicas: vec![NodeId(1)],
                isr: vec![NodeId(1)],
                leader: Some(NodeId(1)),
                leader_epoch: LeaderEpoch(0),
                partition_epoch: 0,
                core: CoreId(0),
            };
            let key = PartitionKey { topic: id, index };
            image.apply(&MetadataRecord::PartitionCreated { key, state }).expect("of the new one");
        }
    }
    image.advance(Position { index: 1, term: 1 });
    image
}
