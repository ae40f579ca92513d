//! SyncGroup: the leader's assignment becomes durable, then everybody gets its part. Heartbeats.

use super::answer::{Answer, GroupError, SyncAnswer};
use super::ask::{MemberRef, SyncAsk};
use super::classic::{Group, State};
use super::coordinator::{After, Desk, Token};
use super::settings::ASSIGNED_BYTES_MAX;
use super::stored;
use bytes::Bytes;

impl Group {
    /// A member asks for its part; the leader brings all of them.
    pub(super) fn sync(&mut self, token: Token, ask: SyncAsk, desk: &mut Desk<'_>) {
        if let Err(error) = self.try_sync(token, ask, desk) {
            desk.answer(token, Answer::Sync(Err(error)));
        }
    }

    fn try_sync(&mut self, token: Token, ask: SyncAsk, desk: &mut Desk<'_>) -> Result<(), GroupError> {
        self.check(&ask.who)?;
        let differs = |asked: &Option<String>, ours: &Option<String>| asked.is_some() && asked != ours;
        if differs(&ask.protocol_type, &self.protocol_type) || differs(&ask.protocol, &self.protocol) {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        let id = &ask.who.member;
        let member = self.members.get_mut(id).expect("its identity was checked");
        let session = member.session;
        match self.state {
            State::Empty => return Err(GroupError::UnknownMemberId),
            State::PreparingRebalance => return Err(GroupError::RebalanceInProgress),
            State::Stable => {
                member.has_synced = true;
                let answer = SyncAnswer {
                    protocol_type: self.protocol_type.clone().unwrap_or_default(),
                    protocol: self.protocol.clone().unwrap_or_default(),
                    assignment: member.assignment.clone(),
                };
                desk.answer(token, Answer::Sync(Ok(answer)));
            }
            State::CompletingRebalance => {
                member.has_synced = true;
                if let Some(before) = member.syncing.replace(token) {
                    desk.answer(before, Answer::Sync(Err(GroupError::RebalanceInProgress)));
                }
                if self.leader.as_ref() == Some(id) && !self.is_writing {
                    let bytes = ask.assignments.iter().map(|(_, part)| part.len()).sum::<usize>();
                    if *desk.member_bytes + bytes > ASSIGNED_BYTES_MAX {
                        member.syncing = None;
                        return Err(GroupError::CoordinatorNotAvailable);
                    }
                    self.is_writing = true;
                    let record = stored::group_record(self, Some(&ask.assignments));
                    let (group, generation) = (self.name.clone(), self.generation);
                    let assignments = ask.assignments;
                    desk.append(vec![record], After::Assigned { group, generation, assignments });
                }
            }
        }
        self.keep_alive(&ask.who.member, session, desk);
        Ok(())
    }

    /// The assignment is durable, or is not.
    pub(super) fn assigned(
        &mut self,
        generation: i32,
        assignments: Vec<(String, Bytes)>,
        result: Result<(), GroupError>,
        desk: &mut Desk<'_>,
    ) {
        if self.state != State::CompletingRebalance || self.generation != generation || !self.is_writing {
            return;
        }
        self.is_writing = false;
        if let Err(error) = result {
            self.answer_syncing(Err(error), desk.out);
            self.prepare(desk);
            return;
        }
        for member in self.members.values_mut() {
            *desk.member_bytes -= member.bytes();
            member.assignment = Bytes::new();
        }
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        *desk.member_bytes += self.members.values().map(super::member::Member::bytes).sum::<usize>();
        self.set_state(State::Stable, desk);
        self.answer_syncing(Ok(()), desk.out);
        let alive: Vec<_> =
            self.members.values().filter(|m| m.has_synced).map(|m| (m.id.clone(), m.session)).collect();
        for (id, session) in alive {
            self.keep_alive(&id, session, desk);
        }
    }

    /// Members that joined but never asked for their part are out.
    pub(super) fn sync_time_is_over(&mut self, generation: i32, desk: &mut Desk<'_>) {
        let current =
            matches!(self.state, State::CompletingRebalance | State::Stable) && self.generation == generation;
        if !current {
            return;
        }
        let silent: Vec<String> =
            self.members.values().filter(|m| !m.has_synced).map(|m| m.id.clone()).collect();
        for id in silent {
            self.expel(&id, desk);
        }
    }

    /// A member is alive.
    pub(super) fn heartbeat(&mut self, who: &MemberRef, desk: &mut Desk<'_>) -> Result<(), GroupError> {
        self.check(who)?;
        let session = self.members[&who.member].session;
        self.keep_alive(&who.member, session, desk);
        match self.state {
            State::Empty => Err(GroupError::UnknownMemberId),
            State::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }
}
