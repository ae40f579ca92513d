//! JoinGroup, and the rebalance that it starts.
//!
//! A rebalance completes when every member has joined again, or when the longest rebalance time-out
//! is over: then those who did not come are out, but for static members, who keep their place until
//! their session ends. The first rebalance of an empty group waits a little for more members.

use std::time::Duration;

use super::answer::{Answer, GroupError, JoinAnswer, JoinedMember};
use super::ask::JoinAsk;
use super::classic::{Group, State, release};
use super::coordinator::{After, Desk, Token};
use super::member::Member;
use super::settings::{MEMBER_BYTES_MAX, NEW_MEMBER_JOIN};
use super::stored;
use super::timers::Timer;
use crate::base::Instant;

impl Group {
    /// A member joins, for the first time or again.
    pub(super) fn join(&mut self, token: Token, ask: &JoinAsk, desk: &mut Desk<'_>) {
        if let Err(error) = self.try_join(token, ask, desk) {
            desk.answer(token, Answer::Join(Err((error, ask.who.member.clone()))));
        }
    }

    fn try_join(&mut self, token: Token, ask: &JoinAsk, desk: &mut Desk<'_>) -> Result<(), GroupError> {
        if !self.agrees(&ask.protocol_type, &ask.protocols) {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        let id = &ask.who.member;
        if !id.is_empty() && !self.pending.contains(id) {
            self.check_identity(&ask.who)?;
            return self.rejoin(token, ask, desk);
        }
        if let Some(instance) = &ask.who.instance
            && let Some(old) = self.statics.get(instance).cloned()
        {
            may_grow(self.members.get(&old), ask, desk)?;
            self.replace_static(&old, token, ask, desk);
            return Ok(());
        }
        let is_full = self.members.len() + self.pending.len() >= desk.settings.members_max;
        if (is_full && !self.pending.contains(id))
            || *desk.member_bytes > MEMBER_BYTES_MAX
            || desk.timers.is_full()
        {
            return Err(GroupError::GroupMaxSizeReached);
        }
        if !id.is_empty() {
            self.pending.remove(id);
            self.add(id.clone(), token, ask, desk);
        } else if ask.known_id_required && ask.who.instance.is_none() {
            let id = format!("{}-{}", ask.client_id, ask.fresh_id);
            self.pending.insert(id.clone());
            let timer = Timer::Pending { group: self.name.clone(), member: id.clone() };
            desk.timers.set(desk.now.after(ask.session), timer);
            desk.answer(token, Answer::Join(Err((GroupError::MemberIdRequired, id))));
        } else {
            self.add(new_id(ask), token, ask, desk);
        }
        Ok(())
    }

    fn add(&mut self, id: String, token: Token, ask: &JoinAsk, desk: &mut Desk<'_>) {
        if self.members.is_empty() {
            self.protocol_type = Some(ask.protocol_type.clone());
        }
        let mut member = Member::new(id.clone(), ask);
        member.joining = Some(token);
        *desk.member_bytes += member.bytes();
        if let Some(instance) = &member.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        self.members.insert(id.clone(), member);
        self.keep_alive(&id, NEW_MEMBER_JOIN, desk);
        self.more_joined = true;
        self.prepare(desk);
    }

    fn rejoin(&mut self, token: Token, ask: &JoinAsk, desk: &mut Desk<'_>) -> Result<(), GroupError> {
        let id = &ask.who.member;
        let is_leader = self.leader.as_ref() == Some(id);
        let member = self.members.get_mut(id).expect("its identity was checked");
        let changed = member.protocols != ask.protocols;
        let joins = match self.state {
            State::Empty => return Err(GroupError::UnknownMemberId),
            State::PreparingRebalance => true,
            State::CompletingRebalance => changed,
            // The leader joins again when it saw something change, topics for example.
            State::Stable => changed || is_leader,
        };
        if joins {
            may_grow(Some(member), ask, desk)?;
            *desk.member_bytes -= member.bytes();
            release(member, GroupError::RebalanceInProgress, desk.out);
            member.update(ask);
            member.joining = Some(token);
            *desk.member_bytes += member.bytes();
            self.prepare(desk);
        } else {
            let session = member.session;
            let answer = self.joined(id);
            desk.answer(token, Answer::Join(Ok(answer)));
            self.keep_alive(id, session, desk);
        }
        Ok(())
    }

    /// A static member is back, under a new id: its old one is fenced. If nothing else changed, the
    /// group goes on as it was (KIP-345).
    fn replace_static(&mut self, old: &str, token: Token, ask: &JoinAsk, desk: &mut Desk<'_>) {
        let mut member = self.members.remove(old).expect("a static member is a member");
        release(&mut member, GroupError::FencedInstanceId, desk.out);
        *desk.member_bytes -= member.bytes();
        let id = new_id(ask);
        member.id.clone_from(&id);
        member.update(ask);
        *desk.member_bytes += member.bytes();
        let session = member.session;
        self.statics.insert(member.instance.clone().expect("it is static"), id.clone());
        self.members.insert(id.clone(), member);
        self.keep_alive(&id, session, desk);
        let was_leader = self.leader.as_deref() == Some(old);
        if was_leader {
            self.leader = Some(id.clone());
        }
        if self.state == State::Stable && self.vote() == self.protocol {
            let mut answer = self.joined(&id);
            answer.skip_assignment = was_leader && ask.may_skip_assignment;
            if was_leader && !ask.may_skip_assignment {
                // Such a client would assign if it saw itself as the leader.
                answer.leader = old.to_owned();
                answer.members.clear();
            }
            let record = stored::group_record(self, None);
            desk.append(vec![record], After::Answer(token, Answer::Join(Ok(answer))));
            return;
        }
        self.members.get_mut(&id).expect("just inserted").joining = Some(token);
        self.prepare(desk);
    }

    /// Asks everybody to join again, unless that is under way.
    pub(super) fn prepare(&mut self, desk: &mut Desk<'_>) {
        if self.state == State::CompletingRebalance {
            self.is_writing = false;
            self.answer_syncing(Err(GroupError::RebalanceInProgress), desk.out);
        }
        if self.state != State::PreparingRebalance {
            let longest = self.rebalance_timeout();
            let delay = desk.settings.initial_rebalance_delay.min(longest);
            let waits_for_more = self.state == State::Empty && !delay.is_zero();
            self.initial_until = waits_for_more.then(|| desk.now.after(longest));
            self.more_joined = false;
            self.set_state(State::PreparingRebalance, desk);
            self.wait_for_joins(if waits_for_more { delay } else { longest }, desk);
        }
        self.complete_if_all_joined(desk);
    }

    fn wait_for_joins(&mut self, wait: Duration, desk: &mut Desk<'_>) {
        self.join_until = desk.now.after(wait);
        let timer = Timer::Join { group: self.name.clone(), generation: self.generation };
        desk.timers.set(self.join_until, timer);
    }

    /// The wait for joins may be over.
    pub(super) fn join_time_is_over(&mut self, generation: i32, desk: &mut Desk<'_>) {
        let stale = self.state != State::PreparingRebalance || self.generation != generation;
        if stale || desk.now < self.join_until {
            return;
        }
        if let Some(limit) = self.initial_until {
            if self.more_joined && desk.now < limit {
                self.more_joined = false;
                let left = limit.since(desk.now);
                self.wait_for_joins(desk.settings.initial_rebalance_delay.min(left), desk);
                return;
            }
            self.initial_until = None;
        }
        self.complete(desk);
    }

    pub(super) fn complete_if_all_joined(&mut self, desk: &mut Desk<'_>) {
        let all = self.pending.is_empty() && self.members.values().all(|m| m.joining.is_some());
        let may = self.initial_until.is_none() || self.members.is_empty();
        if self.state == State::PreparingRebalance && all && may {
            self.complete(desk);
        }
    }

    fn complete(&mut self, desk: &mut Desk<'_>) {
        self.initial_until = None;
        let gone: Vec<String> = self
            .members
            .values()
            .filter(|m| m.joining.is_none() && m.instance.is_none())
            .map(|m| m.id.clone())
            .collect();
        for id in gone {
            if let Some(member) = self.remove(&id, GroupError::UnknownMemberId, desk.out) {
                *desk.member_bytes -= member.bytes();
            }
        }
        let joined = |m: &Member| m.joining.is_some();
        if !self.members.is_empty() && !self.members.values().any(joined) {
            // Static members alone, none of them here: their sessions decide.
            self.wait_for_joins(self.rebalance_timeout(), desk);
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.set_state(State::Empty, desk);
            let record = stored::group_record(self, None);
            desk.append(vec![record], After::Nothing);
            return;
        }
        let leads = |id: &String| self.members.get(id).is_some_and(joined);
        if !self.leader.as_ref().is_some_and(leads) {
            self.leader = self.members.values().find(|m| joined(m)).map(|m| m.id.clone());
        }
        self.protocol = self.vote();
        assert!(self.protocol.is_some(), "members that joined have a protocol in common");
        self.set_state(State::CompletingRebalance, desk);
        let ids: Vec<(String, Duration)> = self.members.values().map(|m| (m.id.clone(), m.session)).collect();
        for (id, session) in ids {
            let answer = self.joined(&id);
            let member = self.members.get_mut(&id).expect("listed");
            member.has_synced = false;
            if let Some(token) = member.joining.take() {
                member.is_new = false;
                desk.answer(token, Answer::Join(Ok(answer)));
                self.keep_alive(&id, session, desk);
            }
        }
        let timer = Timer::Sync { group: self.name.clone(), generation: self.generation };
        desk.timers.set(desk.now.after(self.rebalance_timeout()), timer);
    }

    /// What a member of the current generation is told.
    fn joined(&self, id: &str) -> JoinAnswer {
        let protocol = self.protocol.clone().unwrap_or_default();
        let leader = self.leader.clone().unwrap_or_default();
        let members = if leader == id {
            let told = |m: &Member| JoinedMember {
                id: m.id.clone(),
                instance: m.instance.clone(),
                metadata: m.metadata(&protocol),
            };
            self.members.values().map(told).collect()
        } else {
            Vec::new()
        };
        JoinAnswer {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol,
            leader,
            member: id.to_owned(),
            skip_assignment: false,
            members,
        }
    }

    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|m| m.rebalance).max().unwrap_or_default()
    }

    pub(super) fn set_state(&mut self, state: State, desk: &Desk<'_>) {
        self.state = state;
        self.since = desk.wall;
    }

    /// A sign of life: the member is dead only when silent for `session` from now.
    pub(super) fn keep_alive(&mut self, id: &str, session: Duration, desk: &mut Desk<'_>) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.alive_until = desk.now.after(session);
        watch(&self.name, member, desk);
    }

    /// A session may be over.
    pub(super) fn session_is_over(&mut self, id: &str, at: Instant, desk: &mut Desk<'_>) {
        let Some(member) = self.members.get_mut(id) else { return };
        if member.watched_until != at {
            return;
        }
        let waits = member.waits() && !member.is_new;
        if waits || member.alive_until > desk.now {
            if waits {
                member.alive_until = desk.now.after(member.session);
            }
            member.watched_until = Instant(0);
            watch(&self.name, member, desk);
            return;
        }
        self.expel(id, desk);
    }

    /// Takes a member out and lets the others share its part.
    pub(super) fn expel(&mut self, id: &str, desk: &mut Desk<'_>) {
        if let Some(member) = self.remove(id, GroupError::UnknownMemberId, desk.out) {
            *desk.member_bytes -= member.bytes();
        }
        match self.state {
            State::Empty => {}
            State::PreparingRebalance => self.complete_if_all_joined(desk),
            State::CompletingRebalance | State::Stable => self.prepare(desk),
        }
    }
}

/// One timer stands for each session; an earlier end needs an earlier one.
pub(super) fn watch(group: &str, member: &mut Member, desk: &mut Desk<'_>) {
    if member.watched_until != Instant(0) && member.watched_until <= member.alive_until {
        return;
    }
    member.watched_until = member.alive_until;
    let timer = Timer::Session { group: group.to_owned(), member: member.id.clone() };
    desk.timers.set(member.alive_until, timer);
}

/// Whether a member that joins again may say more than before: not where members keep as much as they may.
fn may_grow(member: Option<&Member>, ask: &JoinAsk, desk: &Desk<'_>) -> Result<(), GroupError> {
    let grows = member.is_none_or(|m| ask.bytes() > m.bytes());
    if grows && *desk.member_bytes > MEMBER_BYTES_MAX {
        return Err(GroupError::GroupMaxSizeReached);
    }
    Ok(())
}

fn new_id(ask: &JoinAsk) -> String {
    let prefix = ask.who.instance.as_deref().unwrap_or(&ask.client_id);
    format!("{prefix}-{}", ask.fresh_id)
}
