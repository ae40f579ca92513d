//! All groups of one partition of `__consumer_offsets`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use wire::DecodeError;
use wire::stored::group::Key;

use super::answer::{
    Answer, Committed, Described, DescribedConsumerGroup, Effect, Fetched, GroupError, LeaveAnswer, Listed,
    OffsetResult,
};
use super::ask::{Ask, CommitAsk, CommitOffset, JoinAsk, Leaver};
use super::classic::Group;
use super::settings::{ENDS_BYTES, GROUP_ID_BYTES_MAX, GROUPS_MAX, PROTOCOLS_MAX, RETRY, TEXT_BYTES_MAX};
use super::timers::{Timer, Timers};
use super::{consumer, join, stored};
use crate::base::{Bug, Instant, Now, WallMs, planted};
use crate::config::{GroupSettings, own_group};
use crate::metadata::Image;

/// Names a request that waits for its answer; the caller chooses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

/// Names an append, in the order of the appends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AppendId(pub u64);

/// A record: key, and value or its end.
pub(super) type Record = (Vec<u8>, Option<Vec<u8>>);

/// What happens when records are durable.
#[derive(Debug)]
pub(super) enum After {
    Nothing,
    Answer(Token, Answer),
    Assigned {
        group: String,
        generation: i32,
        assignments: Vec<(String, Bytes)>,
    },
    Committed {
        token: Token,
        group: String,
        offsets: Vec<CommitOffset>,
        results: Vec<OffsetResult>,
        at: WallMs,
    },
    Forgotten {
        answer: Option<(Token, Vec<OffsetResult>)>,
        group: String,
        partitions: Vec<(String, i32)>,
    },
    Gone {
        token: Option<Token>,
        group: String,
    },
    /// A step of the new protocol.
    Stepped {
        token: Option<Token>,
        group: String,
        step: consumer::Step,
    },
}

/// What a group works with beside itself.
pub(super) struct Desk<'a> {
    pub(super) settings: &'a GroupSettings,
    pub(super) timers: &'a mut Timers,
    pub(super) appends: &'a mut Appends,
    /// Bytes that members make this coordinator keep.
    pub(super) member_bytes: &'a mut usize,
    /// On the clock of the timers.
    pub(super) now: Instant,
    pub(super) wall: WallMs,
    pub(super) out: &'a mut Vec<Effect>,
}

impl Desk<'_> {
    pub(super) fn answer(&mut self, token: Token, answer: Answer) {
        self.out.push(Effect::Answer(token, answer));
    }

    pub(super) fn append(&mut self, records: Vec<Record>, after: After) {
        let id = AppendId(self.appends.next);
        self.appends.next += 1;
        self.appends.waiting.push_back((id, after));
        self.out.push(Effect::Append(id, records));
    }
}

impl Desk<'_> {
    /// Records that end things, each by itself: in several appends if they are many. What is to happen
    /// then happens after the last one.
    pub(super) fn append_ends(&mut self, records: Vec<Record>, after: After) {
        let (mut part, mut bytes) = (Vec::new(), 0);
        for record in records {
            if bytes >= ENDS_BYTES {
                self.append(std::mem::take(&mut part), After::Nothing);
                bytes = 0;
            }
            bytes += record.0.len() + record.1.as_ref().map_or(0, Vec::len);
            part.push(record);
        }
        self.append(part, after);
    }
}

/// Appends that are not durable yet, in their order.
#[derive(Debug, Default)]
pub(super) struct Appends {
    pub(super) waiting: VecDeque<(AppendId, After)>,
    next: u64,
}

/// What a replayed record was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replayed {
    /// It changed a group.
    Applied,
    /// A newer broker's record, of this key version; left alone.
    Unknown(i16),
}

/// The groups of one partition. Replay every record, say [`Coordinator::loaded`], then ask; call
/// [`Coordinator::tick`] about ten times a second.
#[derive(Debug)]
pub struct Coordinator {
    pub(super) settings: GroupSettings,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) timers: Timers,
    appends: Appends,
    pub(super) member_bytes: usize,
    /// Bytes of requests that wait for their turn.
    pub(super) waiting_bytes: usize,
    /// The topics that there are.
    pub(super) image: Image,
    /// The topics of patterns.
    pub(super) patterns: consumer::Patterns,
}

/// Which partition of `__consumer_offsets` has a group: Java's `String.hashCode`, as every client
/// that reads the topic expects.
///
/// # Panics
/// If there are no partitions.
#[must_use]
pub fn partition_of(group: &str, partitions: i32) -> i32 {
    assert!(partitions > 0, "a topic has partitions");
    let hash =
        group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (if hash == i32::MIN { 0 } else { hash.abs() }) % partitions
}

impl Coordinator {
    /// A coordinator without groups.
    #[must_use]
    pub fn new(settings: GroupSettings) -> Coordinator {
        Coordinator {
            settings,
            groups: BTreeMap::new(),
            timers: Timers::default(),
            appends: Appends::default(),
            member_bytes: 0,
            waiting_bytes: 0,
            image: Image::default(),
            patterns: consumer::Patterns::default(),
        }
    }

    /// Topics may be others now. A group that is assigned here looks when its next member calls.
    ///
    /// Settings of groups may be others too: they hold from the next call of a member on.
    pub fn follow(&mut self, image: Image) {
        if !Arc::ptr_eq(self.image.group_configs(), image.group_configs()) {
            let consumer = &mut self.settings.consumer;
            let of_group = |(group, own): (&String, &BTreeMap<String, String>)| {
                (group.clone(), own_group::resolve(own, consumer))
            };
            let overrides = image.group_configs().iter().map(of_group).collect();
            consumer.overrides = overrides;
        }
        self.image = image;
    }

    // What there is.

    /// Every group.
    pub fn list(&self) -> impl Iterator<Item = Listed> + '_ {
        self.groups.values().map(|g| Listed {
            group: g.name.clone(),
            protocol_type: g.kind().unwrap_or_default().to_owned(),
            state: g.state_name(),
            group_type: if g.consumer.is_some() { "consumer" } else { "classic" },
        })
    }

    /// A classic group in full, `None` if there is none.
    #[must_use]
    pub fn describe(&self, group: &str) -> Option<Described> {
        self.groups.get(group).filter(|g| g.consumer.is_none()).map(Group::describe)
    }

    /// A group of the new protocol in full, `None` if there is none.
    #[must_use]
    pub fn describe_consumer(&self, group: &str) -> Option<DescribedConsumerGroup> {
        self.groups.get(group)?.consumer.as_ref().map(|c| c.describe(group, &self.settings))
    }

    /// Whether a member of that epoch may read what a group has committed. Nobody in particular (no
    /// member, a negative epoch) may always.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH; ILLEGAL_GENERATION for one of the classic protocol.
    pub fn may_fetch(&self, group: &str, member: Option<&str>, epoch: i32) -> Result<(), GroupError> {
        match (self.groups.get(group).and_then(|g| g.consumer.as_ref()), member) {
            (None, _) => Ok(()),
            (Some(_), None | Some("")) if epoch < 0 => Ok(()),
            (Some(consumer), member) => consumer.check_member_epoch(member.unwrap_or_default(), epoch),
        }
    }

    /// What a group has committed for these partitions, or for all.
    #[must_use]
    pub fn fetch(&self, group: &str, partitions: Option<&[(String, i32)]>) -> Vec<Fetched> {
        let offsets = self.groups.get(group).map(|g| &g.offsets);
        let fetched = |(topic, partition): &(String, i32), committed: Option<&Committed>| Fetched {
            topic: topic.clone(),
            partition: *partition,
            committed: committed.cloned(),
        };
        match partitions {
            Some(list) => list.iter().map(|key| fetched(key, offsets.and_then(|o| o.get(key)))).collect(),
            None => {
                offsets.into_iter().flatten().map(|(key, committed)| fetched(key, Some(committed))).collect()
            }
        }
    }

    /// Asserts what must hold between any two inputs.
    ///
    /// # Panics
    /// If it does not.
    pub fn check(&self) {
        self.groups.values().for_each(Group::assert_consistent);
        let classic = self.groups.values().flat_map(|g| g.members.values()).map(super::member::Member::bytes);
        let consumers = self.groups.values().filter_map(|g| g.consumer.as_ref());
        let bytes = classic.sum::<usize>() + consumers.map(|c| c.member_bytes()).sum::<usize>();
        assert_eq!(self.member_bytes, bytes, "bytes of members");
        let nobody_waits = self.groups.values().all(|g| g.waiting.is_empty());
        assert_eq!(self.waiting_bytes == 0, nobody_waits, "bytes of those who wait");
    }

    // What was.

    /// A record of the partition, in its order.
    ///
    /// # Errors
    /// [`DecodeError`] for a record that is none of ours.
    pub fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<Replayed, DecodeError> {
        let key = Key::read(key)?;
        if let Some((group, change)) = consumer::read(&key, value)? {
            self.replay_step(group, change);
            return Ok(Replayed::Applied);
        }
        match key {
            Key::Unknown(version) => return Ok(Replayed::Unknown(version)),
            Key::Offset(key) => {
                let place = (key.topic.to_owned(), key.partition);
                match value {
                    Some(value) => {
                        let committed = stored::committed(value)?;
                        let offsets = &mut self.group_mut(key.group, WallMs(committed.timestamp)).offsets;
                        if !planted(Bug::LoseCommits) || !offsets.contains_key(&place) {
                            offsets.insert(place, committed);
                        }
                    }
                    None => {
                        if let Some(group) = self.groups.get_mut(key.group)
                            && !planted(Bug::ForgetCommitEnds)
                        {
                            group.offsets.remove(&place);
                        }
                    }
                }
            }
            Key::Group(key) => match value {
                Some(value) => stored::restore(self.group_mut(key.group, WallMs(0)), value)?,
                // Offsets have records of their own, and stay when the group changes its protocol.
                None => {
                    if let Some(group) = self.groups.get_mut(key.group) {
                        group.reset_classic();
                    }
                }
            },
            Key::Epoch(_)
            | Key::Partitions(_)
            | Key::Member(_)
            | Key::TargetEpoch(_)
            | Key::Target(_)
            | Key::Current(_)
            | Key::Regex(_) => {}
        }
        Ok(Replayed::Applied)
    }

    pub(super) fn group_mut(&mut self, name: &str, since: WallMs) -> &mut Group {
        self.groups.entry(name.to_owned()).or_insert_with(|| Group::new(name.to_owned(), since))
    }

    /// Everything is replayed: sessions of members begin anew, now. Says which groups had records that
    /// contradict each other, and were mended: a member about whom they do is to join again.
    pub fn loaded(&mut self, now: Now) -> Vec<String> {
        let mut out = Vec::new();
        let damaged = self.groups.values_mut().filter_map(|g| g.mend().then(|| g.name.clone())).collect();
        self.groups.retain(|_, g| !g.is_nothing());
        let (groups, mut desk) = self.desk(now, &mut out);
        for group in groups.values_mut() {
            for member in group.members.values_mut() {
                *desk.member_bytes += member.bytes();
                member.alive_until = desk.now.after(member.session);
                join::watch(&group.name, member, &mut desk);
            }
            if let Some(consumer) = &mut group.consumer {
                *desk.member_bytes += consumer.member_bytes();
                consumer.watch_all(&group.name, desk.settings, desk.now, desk.timers);
            }
        }
        self.check();
        damaged
    }

    // What is asked.

    /// A request. The answer comes as an effect, now or later.
    pub fn ask(&mut self, now: Now, token: Token, ask: Ask, out: &mut Vec<Effect>) {
        if let Ask::Join(join) = &ask
            && let Err(error) = self.check_join(join)
        {
            let answer = Answer::Join(Err((error, join.who.member.clone())));
            return out.push(Effect::Answer(token, answer));
        }
        let Some(ask) = self.in_turn(now, token, ask, out) else { return };
        let Some(ask) = self.across(now, token, ask, out) else { return };
        match ask {
            Ask::ConsumerHeartbeat(ask) => self.consumer_heartbeat(now, token, &ask, out),
            Ask::Join(ask) => self.join(now, token, &ask, out),
            Ask::Sync(ask) => {
                let (groups, mut desk) = self.desk(now, out);
                match groups.get_mut(&ask.who.group) {
                    Some(group) => group.sync(token, ask, &mut desk),
                    None => desk.answer(token, Answer::Sync(Err(GroupError::UnknownMemberId))),
                }
            }
            Ask::Heartbeat(who) => {
                let (groups, mut desk) = self.desk(now, out);
                let group = groups.get_mut(&who.group).ok_or(GroupError::UnknownMemberId);
                let result = group.and_then(|group| group.heartbeat(&who, &mut desk));
                desk.answer(token, Answer::Heartbeat(result));
            }
            Ask::Leave { group, members } => self.leave(now, token, &group, members, out),
            Ask::Commit(ask) => self.commit(now, token, ask, out),
            Ask::Delete { group } => self.delete(now, token, group, out),
            Ask::DeleteOffsets { group, partitions } => {
                self.delete_offsets(now, token, &group, partitions, out)
            }
        }
    }

    /// Whether a JoinGroup makes sense at all, whatever protocol its group speaks.
    fn check_join(&self, ask: &JoinAsk) -> Result<(), GroupError> {
        let name = &ask.who.group;
        if name.is_empty() || name.len() > GROUP_ID_BYTES_MAX {
            return Err(GroupError::InvalidGroupId);
        }
        if !(self.settings.session_timeout_min..=self.settings.session_timeout_max).contains(&ask.session) {
            return Err(GroupError::InvalidSessionTimeout);
        }
        if ask.protocols.len() > PROTOCOLS_MAX {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        let of_member = [&ask.who.member, &ask.client_id, &ask.protocol_type].into_iter();
        let texts = of_member.chain(&ask.who.instance).chain(ask.protocols.iter().map(|p| &p.name));
        if texts.map(String::len).any(|length| length > TEXT_BYTES_MAX) {
            return Err(GroupError::InvalidRequest);
        }
        Ok(())
    }

    fn join(&mut self, now: Now, token: Token, ask: &JoinAsk, out: &mut Vec<Effect>) {
        let refuse = |error, out: &mut Vec<Effect>| {
            out.push(Effect::Answer(token, Answer::Join(Err((error, ask.who.member.clone())))));
        };
        let name = &ask.who.group;
        if !self.groups.contains_key(name) {
            if !ask.who.member.is_empty() {
                return refuse(GroupError::UnknownMemberId, out);
            }
            if self.groups.len() >= GROUPS_MAX {
                return refuse(GroupError::CoordinatorNotAvailable, out);
            }
            self.group_mut(name, now.wall);
        }
        let (groups, mut desk) = self.desk(now, out);
        groups.get_mut(name).expect("it exists").join(token, ask, &mut desk);
    }

    fn leave(&mut self, now: Now, token: Token, name: &str, members: Vec<Leaver>, out: &mut Vec<Effect>) {
        let (groups, mut desk) = self.desk(now, out);
        let answer = match groups.get_mut(name) {
            Some(group) => group.leave(members, &mut desk),
            None => {
                let unknown = |l: Leaver| LeaveAnswer {
                    member: l.member,
                    instance: l.instance,
                    result: Err(GroupError::UnknownMemberId),
                };
                members.into_iter().map(unknown).collect()
            }
        };
        desk.answer(token, Answer::Leave(Ok(answer)));
    }

    fn commit(&mut self, now: Now, token: Token, ask: CommitAsk, out: &mut Vec<Effect>) {
        let name = &ask.who.group;
        let refused = match self.groups.get(name) {
            Some(_) => None,
            None if ask.who.generation >= 0 => Some(GroupError::IllegalGeneration),
            None if name.len() > GROUP_ID_BYTES_MAX => Some(GroupError::InvalidGroupId),
            None if self.groups.len() >= GROUPS_MAX => Some(GroupError::CoordinatorNotAvailable),
            None => None,
        };
        if let Some(error) = refused {
            out.push(Effect::Answer(token, Answer::Commit(vec![Err(error); ask.offsets.len()])));
            return;
        }
        self.group_mut(name, now.wall);
        let (groups, mut desk) = self.desk(now, out);
        groups.get_mut(&ask.who.group).expect("it exists").commit(token, ask, &mut desk);
    }

    // What happened.

    /// An append is durable, or failed. Called in the order of the appends.
    ///
    /// # Panics
    /// If appends are reported out of order.
    pub fn appended(
        &mut self,
        now: Now,
        id: AppendId,
        result: Result<(), GroupError>,
        out: &mut Vec<Effect>,
    ) {
        let (next, after) = self.appends.waiting.pop_front().expect("an append that waits");
        assert_eq!(next, id, "appends become durable in order");
        match after {
            After::Nothing => {}
            After::Answer(token, answer) => {
                let answer = result.map_or_else(|error| answer.clone().failed(error), |()| answer.clone());
                out.push(Effect::Answer(token, answer));
            }
            After::Stepped { token, group, step } => self.stepped(now, token, &group, step, result, out),
            After::Assigned { group, generation, assignments } => {
                let (groups, mut desk) = self.desk(now, out);
                if let Some(group) = groups.get_mut(&group) {
                    group.assigned(generation, assignments, result, &mut desk);
                }
            }
            After::Committed { token, group, offsets, mut results, at } => {
                match result {
                    Ok(()) => self.group_mut(&group, at).committed(offsets, at),
                    Err(error) => results.iter_mut().for_each(|r| *r = r.and(Err(error))),
                }
                out.push(Effect::Answer(token, Answer::Commit(results)));
            }
            After::Forgotten { answer, group, partitions } => {
                if let (Ok(()), Some(group)) = (result, self.groups.get_mut(&group)) {
                    partitions.iter().for_each(|key| drop(group.offsets.remove(key)));
                }
                if let Some((token, mut results)) = answer {
                    results.iter_mut().for_each(|r| *r = r.and(result));
                    out.push(Effect::Answer(token, Answer::DeleteOffsets(Ok(results))));
                }
            }
            After::Gone { token, group } => self.gone(now, token, &group, result, out),
        }
    }

    /// Time passes.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        let steady = self.timers.steady(now.mono);
        while let Some((at, timer)) = self.timers.due(steady) {
            match timer {
                Timer::Session { group, member } if self.is_consumer(&group) => {
                    self.consumer_is_silent(now, &group, &member, at, out);
                }
                Timer::Revoke { group, member } => self.consumer_clings(now, &group, &member, out),
                classic => self.classic_time_is_over(now, at, classic, out),
            }
        }
        self.patterns.go_on();
    }

    fn classic_time_is_over(&mut self, now: Now, at: Instant, timer: Timer, out: &mut Vec<Effect>) {
        let (groups, mut desk) = self.desk(now, out);
        if groups.get(timer.group()).is_some_and(|g| g.is_stepping) {
            // It changes its protocol just now: then the timer is void, unless that fails.
            let again = desk.now.after(RETRY);
            if let Timer::Session { group, member } = &timer
                && let Some(member) = groups.get_mut(group).and_then(|g| g.members.get_mut(member))
                && member.watched_until == at
            {
                member.watched_until = again;
            }
            return desk.timers.set(again, timer);
        }
        match timer {
            Timer::Session { group, member } => {
                if let Some(group) = groups.get_mut(&group) {
                    group.session_is_over(&member, at, &mut desk);
                }
            }
            Timer::Pending { group, member } => {
                if let Some(group) = groups.get_mut(&group)
                    && group.pending.remove(&member)
                {
                    group.complete_if_all_joined(&mut desk);
                }
            }
            Timer::Join { group, generation } => {
                if let Some(group) = groups.get_mut(&group) {
                    group.join_time_is_over(generation, &mut desk);
                }
            }
            Timer::Sync { group, generation } => {
                if let Some(group) = groups.get_mut(&group) {
                    group.sync_time_is_over(generation, &mut desk);
                }
            }
            Timer::Revoke { .. } => {}
        }
    }

    pub(super) fn desk<'a>(
        &'a mut self,
        now: Now,
        out: &'a mut Vec<Effect>,
    ) -> (&'a mut BTreeMap<String, Group>, Desk<'a>) {
        let steady = self.timers.steady(now.mono);
        let desk = Desk {
            settings: &self.settings,
            timers: &mut self.timers,
            appends: &mut self.appends,
            member_bytes: &mut self.member_bytes,
            now: steady,
            wall: now.wall,
            out,
        };
        (&mut self.groups, desk)
    }
}
