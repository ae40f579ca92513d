//! The classic protocol in groups of the new one, and the way from one protocol to the other.

use std::collections::BTreeSet;

use super::answer::{Answer, Effect, GroupError, LeaveAnswer, Refusal};
use super::ask::{Ask, ConsumerHeartbeatAsk, Leaver, MemberRef};
use super::classic::{Group, release};
use super::consumer::{CONSUMER, Change, ConsumerGroup, Step};
use super::coordinator::{Coordinator, Desk, Token};
use super::join;
use super::migrate::{self, Unfit};
use crate::base::Now;

impl Coordinator {
    /// Answers the requests of the classic protocol to a group of the new one; passes all others on.
    pub(super) fn across(&mut self, now: Now, token: Token, ask: Ask, out: &mut Vec<Effect>) -> Option<Ask> {
        let steady = self.timers.steady(now.mono);
        if let Ask::Join(join) = &ask {
            self.look_for_patterns(&join.who.group, None, steady);
        }
        let place = self.place(steady, now.wall);
        let Some(group) = self.groups.get(ask.group()).and_then(|g| g.consumer.as_ref()) else {
            return Some(ask);
        };
        match &ask {
            Ask::Join(join) if group.members.is_empty() => {
                // Nobody is in it: it is classic again, then the join is one like any other.
                let step = Step { changes: group.end(), ..Step::default() };
                let name = join.who.group.clone();
                self.wait(&name, token, ask);
                self.take(now, None, &name, step, out);
            }
            Ask::Join(join) => match group.join(join, &place) {
                Ok(step) => self.take(now, Some(token), &join.who.group, step, out),
                Err(error) => {
                    let answer = Answer::Join(Err((error, join.who.member.clone())));
                    out.push(Effect::Answer(token, answer));
                }
            },
            Ask::Sync(sync) => {
                let result = group.sync(sync, place.image);
                self.alive(now, &sync.who, result.is_ok(), out);
                out.push(Effect::Answer(token, Answer::Sync(result)));
            }
            Ask::Heartbeat(who) => {
                let result = group.classic_heartbeat(who);
                let is_alive = matches!(result, Ok(()) | Err(GroupError::RebalanceInProgress));
                self.alive(now, who, is_alive, out);
                out.push(Effect::Answer(token, Answer::Heartbeat(result)));
            }
            Ask::Leave { group: name, members } => {
                let ids: Vec<Result<String, GroupError>> = members.iter().map(|l| group.leaver(l)).collect();
                let gone: BTreeSet<String> = ids.iter().flatten().cloned().collect();
                let told = |(l, id): (&Leaver, &Result<String, GroupError>)| LeaveAnswer {
                    member: l.member.clone(),
                    instance: l.instance.clone(),
                    result: id.as_ref().map(|_| ()).map_err(|error| *error),
                };
                let answer = Answer::Leave(Ok(members.iter().zip(&ids).map(told).collect()));
                let gone: Vec<String> = gone.into_iter().collect();
                let mut step = if gone.is_empty() { Step::default() } else { group.without(&gone, &place) };
                step.answer = Some(answer);
                self.take(now, Some(token), name, step, out);
            }
            Ask::ConsumerHeartbeat(_) | Ask::Commit(_) | Ask::Delete { .. } | Ask::DeleteOffsets { .. } => {
                return Some(ask);
            }
        }
        None
    }

    fn alive(&mut self, now: Now, who: &MemberRef, is_alive: bool, out: &mut Vec<Effect>) {
        let (groups, desk) = self.desk(now, out);
        if let Some(consumer) = groups.get_mut(&who.group).and_then(|g| g.consumer.as_mut())
            && is_alive
        {
            consumer.keep_alive(&who.group, &who.member, desk.settings, desk.now, desk.timers);
        }
    }

    /// The changes that make a classic group with members one of the new protocol, which a heartbeat asks
    /// for that will be let in then; `None` if it is no such group, or its heartbeat no join.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND if that is not allowed or not possible, COORDINATOR_NOT_AVAILABLE if it is not
    /// just now, and what the group would refuse the heartbeat with.
    pub(super) fn plan_upgrade(
        &mut self,
        now: Now,
        ask: &ConsumerHeartbeatAsk,
    ) -> Result<Option<Vec<Change>>, Refusal> {
        let steady = self.timers.steady(now.mono);
        let place = self.place(steady, now.wall);
        let classic = self.groups.get(&ask.group).filter(|g| g.consumer.is_none() && !g.members.is_empty());
        let Some(group) = classic.filter(|_| ask.epoch == 0) else { return Ok(None) };
        let refuse = |reason: &str| {
            let text =
                format!("Cannot upgrade classic group {} to consumer group because {reason}", ask.group);
            Err(Refusal::new(GroupError::GroupIdNotFound, text))
        };
        if !self.settings.consumer.migration.upgrade {
            return refuse("online upgrade is disabled.");
        }
        if group.protocol_type.as_deref() != Some(CONSUMER) {
            return refuse("the group does not use the consumer embedded protocol.");
        }
        if group.members.len() > self.settings.consumer.members_max {
            return refuse("the group size exceeds the consumer group maximum size.");
        }
        if group.is_writing {
            // What the leader assigned is on its way to the disk: whoever asks again finds it.
            return Err(Refusal::new(GroupError::CoordinatorNotAvailable, String::new()));
        }
        let changes = match migrate::upwards(group, &self.image) {
            Ok(changes) => changes,
            Err(Unfit::Malformed) => return refuse("the embedded consumer protocol is malformed."),
            Err(Unfit::CustomAssignor) => {
                return refuse(
                    "an unsupported custom assignor is in use. Please refer to the documentation or switch to \
                     a default assignor before re-attempting the upgrade.",
                );
            }
        };
        // Nobody's group changes for a heartbeat that is refused then.
        let mut upgraded = ConsumerGroup::default();
        changes.iter().for_each(|change| upgraded.apply(change.clone()));
        upgraded.heartbeat(ask, &place)?;
        Ok(Some(changes))
    }

    /// Makes a group classic again in which nobody speaks the new protocol any more, if that is
    /// allowed. Says whether it does.
    pub(super) fn downgrade(&mut self, now: Now, name: &str, out: &mut Vec<Effect>) -> bool {
        let Some(group) = self.groups.get(name).filter(|g| !g.is_stepping) else { return false };
        let Some(consumer) = &group.consumer else { return false };
        if !self.settings.consumer.migration.downgrade {
            return false;
        }
        let comes = |ask: &Ask| matches!(ask, Ask::ConsumerHeartbeat(ask) if ask.epoch == 0);
        if group.waiting.iter().any(|(_, ask)| comes(ask)) {
            return false;
        }
        let Some(classic) = migrate::downwards(name, consumer, &self.image, now.wall) else { return false };
        let step = Step { changes: consumer.end(), becomes: Some(classic), ..Step::default() };
        self.take(now, None, name, step, out);
        true
    }
}

impl Group {
    /// The members are the new protocol's now. Who waits is to come again.
    pub(super) fn leave_classic(&mut self, desk: &mut Desk<'_>) {
        for member in self.members.values_mut() {
            *desk.member_bytes -= member.bytes();
            release(member, GroupError::RebalanceInProgress, desk.out);
        }
        self.reset_classic();
    }

    /// The members are a classic group's now, and are asked to join again.
    pub(super) fn become_classic(&mut self, classic: Group, desk: &mut Desk<'_>) {
        let (offsets, waiting) = (std::mem::take(&mut self.offsets), std::mem::take(&mut self.waiting));
        *self = Group { offsets, waiting, ..classic };
        for member in self.members.values_mut() {
            *desk.member_bytes += member.bytes();
            member.alive_until = desk.now.after(member.session);
            join::watch(&self.name, member, desk);
        }
        self.prepare(desk);
    }
}
