//! The coordinator's side of groups of the new protocol: one step of a group at a time.
//!
//! While the records of a step are made durable, whoever asks the same group waits in its line, and
//! is asked again, in order, when they are. So each step is worked out against what is durable.

use std::collections::{BTreeSet, VecDeque};

use super::answer::{Answer, Effect, GroupError, LeaveAnswer, Refusal};
use super::ask::{Ask, ConsumerHeartbeatAsk};
use super::consumer::{self, Change, ConsumerGroup, Place, Step};
use super::coordinator::{After, Coordinator, Token};
use super::settings::{
    EXPELLED_MAX, GROUPS_MAX, MEMBER_BYTES_MAX, RETRY, WAITING_BYTES_MAX, WAITING_PER_GROUP_MAX,
};
use super::stored;
use crate::base::{Bug, Instant, Now, WallMs, planted};

/// What a heartbeat comes to.
enum Plan {
    /// A step of its group.
    Step(Step),
    /// Changes that its classic group makes first.
    Upgrade(Vec<Change>),
}

impl Coordinator {
    /// Lets a request through unless its group is in the middle of a step: then it waits.
    pub(super) fn in_turn(&mut self, now: Now, token: Token, ask: Ask, out: &mut Vec<Effect>) -> Option<Ask> {
        // Commits stand for themselves; they are checked against what is durable.
        if matches!(ask, Ask::Commit(_) | Ask::DeleteOffsets { .. }) {
            return Some(ask);
        }
        let waiting_bytes = self.waiting_bytes;
        let (groups, mut desk) = self.desk(now, out);
        let Some(group) = groups.get_mut(ask.group()).filter(|g| g.is_stepping) else { return Some(ask) };
        let bytes = ask.bytes();
        if group.waiting.len() >= WAITING_PER_GROUP_MAX || waiting_bytes + bytes > WAITING_BYTES_MAX {
            desk.answer(token, refused(&ask, GroupError::CoordinatorNotAvailable, String::new()));
            return None;
        }
        // It must not die while it waits for us.
        if let (Ask::ConsumerHeartbeat(ask), Some(consumer)) = (&ask, &mut group.consumer) {
            consumer.keep_alive(&ask.group, &ask.member, desk.settings, desk.now, desk.timers);
        }
        group.waiting.push_back((token, ask));
        self.waiting_bytes += bytes;
        None
    }

    /// Lets a request wait behind the others until the step is made that comes next.
    pub(super) fn wait(&mut self, name: &str, token: Token, ask: Ask) {
        self.waiting_bytes += ask.bytes();
        self.groups.get_mut(name).expect("it takes a step").waiting.push_back((token, ask));
    }

    /// Everybody who waits for a group.
    fn take_waiting(&mut self, name: &str) -> VecDeque<(Token, Ask)> {
        let waiting = self.groups.get_mut(name).map(|g| std::mem::take(&mut g.waiting)).unwrap_or_default();
        self.waiting_bytes -= waiting.iter().map(|(_, ask)| ask.bytes()).sum::<usize>();
        waiting
    }

    /// ConsumerGroupHeartbeat.
    pub(super) fn consumer_heartbeat(
        &mut self,
        now: Now,
        token: Token,
        ask: &ConsumerHeartbeatAsk,
        out: &mut Vec<Effect>,
    ) {
        let steady = self.timers.steady(now.mono);
        let planned = consumer::check(ask, &self.settings).and_then(|()| {
            self.look_for_patterns(&ask.group, Some(ask), steady);
            match self.plan_upgrade(now, ask)? {
                Some(changes) => Ok(Plan::Upgrade(changes)),
                None => self.plan_heartbeat(now, ask).map(Plan::Step),
            }
        });
        match planned {
            Ok(Plan::Step(step)) => self.take(now, Some(token), &ask.group, step, out),
            Ok(Plan::Upgrade(changes)) => {
                self.wait(&ask.group, token, Ask::ConsumerHeartbeat(ask.clone()));
                self.take(now, None, &ask.group, Step { changes, ..Step::default() }, out);
            }
            Err(refusal) => out.push(Effect::Answer(token, Answer::ConsumerHeartbeat(Err(refusal)))),
        }
    }

    /// Sees that it is known, or being found out, which topics the patterns match that a step of a group
    /// needs: those of all members if the topics are others now, and one that a member brings.
    pub(super) fn look_for_patterns(
        &mut self,
        name: &str,
        ask: Option<&ConsumerHeartbeatAsk>,
        steady: Instant,
    ) {
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        let group = self.groups.get(name).and_then(|g| g.consumer.as_ref());
        let mut of_member = ask.and_then(|ask| ask.regex.clone()).filter(|pattern| !pattern.is_empty());
        if let Some(group) = group {
            if group.looks_again_at(&self.image, steady) {
                wanted.extend(group.regexes.keys().cloned());
            }
            let member = ask.and_then(|ask| group.members.get(&ask.member));
            of_member = of_member.or_else(|| member.and_then(|m| m.regex.clone()));
            of_member = of_member.filter(|pattern| !group.regexes.contains_key(pattern));
        }
        wanted.extend(of_member);
        if !wanted.is_empty() {
            self.patterns.look_for(&self.image, wanted.iter());
        }
    }

    /// Whether a group speaks the new protocol.
    pub(super) fn is_consumer(&self, name: &str) -> bool {
        self.groups.get(name).is_some_and(|g| g.consumer.is_some())
    }

    fn plan_heartbeat(&mut self, now: Now, ask: &ConsumerHeartbeatAsk) -> Result<Step, Refusal> {
        let steady = self.timers.steady(now.mono);
        let place = self.place(steady, now.wall);
        let missing = |text: &str| {
            Err(Refusal::new(GroupError::GroupIdNotFound, format!("Group {} {text}", ask.group)))
        };
        let fresh = ConsumerGroup::default();
        let group = self.groups.get(&ask.group);
        let mut became = None;
        let consumer = match group {
            None if ask.epoch != 0 => return missing("not found."),
            None if self.groups.len() >= GROUPS_MAX => {
                return Err(Refusal::new(GroupError::CoordinatorNotAvailable, String::new()));
            }
            None => &fresh,
            Some(group) => match &group.consumer {
                Some(consumer) => consumer,
                None if ask.epoch != 0 || !group.is_empty() => return missing("is not a consumer group."),
                None => {
                    became = group.protocol_type.is_some().then_some(Change::ClassicGone);
                    &fresh
                }
            },
        };
        let mut step = consumer.heartbeat(ask, &place)?;
        step.changes.splice(..0, became);
        Ok(step)
    }

    pub(super) fn place(&self, steady: Instant, wall: WallMs) -> Place<'_> {
        Place {
            image: &self.image,
            patterns: &self.patterns,
            settings: &self.settings,
            now: steady,
            wall,
            is_full: self.member_bytes > MEMBER_BYTES_MAX || self.timers.is_full(),
        }
    }

    /// Makes a step: at once if it changes nothing, else when its records are durable.
    pub(super) fn take(
        &mut self,
        now: Now,
        token: Option<Token>,
        name: &str,
        step: Step,
        out: &mut Vec<Effect>,
    ) {
        if step.changes.is_empty() {
            return self.unchanged(now, token, name, step, out);
        }
        self.group_mut(name, now.wall).is_stepping = true;
        let mut records: Vec<_> = step.changes.iter().map(|change| change.to_record(name)).collect();
        records.extend(step.becomes.as_deref().map(|group| stored::group_record(group, None)));
        let (_, mut desk) = self.desk(now, out);
        desk.append(records, After::Stepped { token, group: name.to_owned(), step });
    }

    /// A step that changes nothing. Whoever waits is not asked here: [`Coordinator::go_on`] does that,
    /// one after the other, and comes here for many of them.
    fn unchanged(&mut self, now: Now, token: Option<Token>, name: &str, step: Step, out: &mut Vec<Effect>) {
        let (groups, desk) = self.desk(now, out);
        if let Some(consumer) = groups.get_mut(name).and_then(|g| g.consumer.as_mut()) {
            consumer.seen = step.seen.unwrap_or(consumer.seen);
            if let Some(id) = &step.alive {
                consumer.keep_alive(name, id, desk.settings, desk.now, desk.timers);
            }
        }
        if let (Some(token), Some(answer)) = (token, step.answer) {
            desk.out.push(Effect::Answer(token, answer));
        }
    }

    /// A step's records are durable, or are not.
    pub(super) fn stepped(
        &mut self,
        now: Now,
        token: Option<Token>,
        name: &str,
        step: Step,
        result: Result<(), GroupError>,
        out: &mut Vec<Effect>,
    ) {
        let (groups, mut desk) = self.desk(now, out);
        let group = groups.get_mut(name).expect("a group in the middle of a step stays");
        group.is_stepping = false;
        let mut lost_members = false;
        if result.is_ok() {
            let before = group.consumer.as_ref().map_or(0, |c| c.member_bytes());
            let was_classic = !group.members.is_empty();
            lost_members = step.changes.iter().any(|change| matches!(change, Change::MemberGone(_)));
            for change in step.changes {
                match change {
                    Change::ClassicGone => group.leave_classic(&mut desk),
                    Change::EpochGone => group.consumer = None,
                    change => group.consumer.get_or_insert_default().apply(change),
                }
            }
            let after = group.consumer.as_ref().map_or(0, |c| c.member_bytes());
            *desk.member_bytes = *desk.member_bytes + after - before;
            if let Some(consumer) = &mut group.consumer {
                if consumer.members.is_empty() {
                    group.since = desk.wall;
                }
                consumer.seen = step.seen.unwrap_or(consumer.seen);
                if was_classic {
                    consumer.watch_all(name, desk.settings, desk.now, desk.timers);
                }
                if let Some(id) = &step.alive {
                    consumer.keep_alive(name, id, desk.settings, desk.now, desk.timers);
                }
            }
        }
        if let (Err(_), Some(consumer), Some((_, at))) = (result, &mut group.consumer, step.seen) {
            // The topics are looked at again, but not by every call.
            consumer.seen.1 = at;
        }
        if let (Ok(()), Some(classic)) = (result, step.becomes) {
            group.become_classic(*classic, &mut desk);
        }
        if let (Some(token), Some(answer)) = (token, step.answer) {
            let answer = result.map_or_else(|error| answer.clone().failed(error), |()| answer.clone());
            desk.answer(token, answer);
        }
        if let Err(error) = result {
            self.send_away(name, error, out);
        }
        if !(lost_members && self.downgrade(now, name, out)) {
            self.go_on(now, name, out);
        }
    }

    /// What could not be made durable once is not tried for those who wait for it.
    fn send_away(&mut self, name: &str, error: GroupError, out: &mut Vec<Effect>) {
        for (token, ask) in self.take_waiting(name) {
            out.push(Effect::Answer(token, refused(&ask, error, String::new())));
        }
    }

    /// Whoever waited for the group is asked again.
    pub(super) fn go_on(&mut self, now: Now, name: &str, out: &mut Vec<Effect>) {
        while let Some(group) = self.groups.get_mut(name).filter(|g| !g.is_stepping) {
            let Some((token, ask)) = group.waiting.pop_front() else { break };
            self.waiting_bytes -= ask.bytes();
            self.ask(now, token, ask, out);
        }
        if self.groups.get(name).is_some_and(|g| g.is_nothing()) {
            self.groups.remove(name);
        }
    }

    /// The end of a group is durable, or is not.
    pub(super) fn gone(
        &mut self,
        now: Now,
        token: Option<Token>,
        name: &str,
        result: Result<(), GroupError>,
        out: &mut Vec<Effect>,
    ) {
        // Whoever waits is asked again: by what is left when the end is durable, a new group.
        let waiting = self.take_waiting(name);
        let gone = self.groups.get_mut(name).expect("a group that ends stays until then");
        gone.is_stepping = false;
        if result.is_ok() {
            self.member_bytes -= gone.consumer.as_ref().map_or(0, |c| c.member_bytes());
            self.groups.remove(name);
        }
        if let Some(token) = token {
            out.push(Effect::Answer(token, Answer::Delete(result)));
        }
        for (token, ask) in waiting {
            self.ask(now, token, ask, out);
        }
        self.go_on(now, name, out);
    }

    /// A member's session may be over: then it is taken out.
    pub(super) fn consumer_is_silent(
        &mut self,
        now: Now,
        name: &str,
        member: &str,
        at: Instant,
        out: &mut Vec<Effect>,
    ) {
        let (groups, desk) = self.desk(now, out);
        let Some(group) = groups.get_mut(name) else { return };
        let Some(consumer) = &mut group.consumer else { return };
        if !consumer.session_is_over(name, member, at, desk.now, desk.timers) {
            return;
        }
        // Until the step is durable, and if it fails, the member is watched on.
        consumer.watch_again(name, member, desk.now.after(RETRY), desk.timers);
        if group.is_stepping {
            return;
        }
        // Whoever else is silent goes in the same step.
        let silent = consumer.silent(desk.now, EXPELLED_MAX);
        self.expel(now, name, &silent, out);
    }

    /// A member did not give up in time what it had to: it is taken out.
    pub(super) fn consumer_clings(&mut self, now: Now, name: &str, member: &str, out: &mut Vec<Effect>) {
        let (groups, desk) = self.desk(now, out);
        let Some(group) = groups.get(name) else { return };
        let Some(consumer) = group.consumer.as_ref().filter(|c| c.clings(member, desk.now)) else { return };
        consumer.watch_revoke_again(name, member, desk.now.after(RETRY), desk.timers);
        if group.is_stepping {
            return;
        }
        // Whoever else clings goes in the same step.
        let clinging = consumer.clinging(desk.now, EXPELLED_MAX);
        self.expel(now, name, &clinging, out);
    }

    fn expel(&mut self, now: Now, name: &str, members: &[String], out: &mut Vec<Effect>) {
        let steady = self.timers.steady(now.mono);
        let place = self.place(steady, now.wall);
        let Some(group) = self.groups.get(name).filter(|g| !g.is_stepping) else { return };
        let Some(consumer) = &group.consumer else { return };
        let step = consumer.without(members, &place);
        self.take(now, None, name, step, out);
    }

    /// Makes the change of a replayed record.
    pub(super) fn replay_step(&mut self, name: &str, change: Change) {
        match change {
            Change::Holding { .. } if planted(Bug::ForgetHoldings) => {}
            Change::EpochGone => {
                if let Some(group) = self.groups.get_mut(name) {
                    group.consumer = None;
                }
            }
            Change::Epoch { .. } => {
                self.group_mut(name, WallMs(0)).consumer.get_or_insert_default().apply(change);
            }
            change if change.is_end() => {
                if let Some(consumer) = self.groups.get_mut(name).and_then(|g| g.consumer.as_mut()) {
                    consumer.apply(change);
                }
            }
            change => self.group_mut(name, WallMs(0)).consumer.get_or_insert_default().apply(change),
        }
    }
}

/// The answer that refuses a request.
fn refused(ask: &Ask, error: GroupError, text: String) -> Answer {
    match ask {
        Ask::Join(ask) => Answer::Join(Err((error, ask.who.member.clone()))),
        Ask::Sync(_) => Answer::Sync(Err(error)),
        Ask::Heartbeat(_) => Answer::Heartbeat(Err(error)),
        Ask::ConsumerHeartbeat(_) => Answer::ConsumerHeartbeat(Err(Refusal::new(error, text))),
        Ask::Leave { members, .. } => {
            let told = |l: &super::ask::Leaver| LeaveAnswer {
                member: l.member.clone(),
                instance: l.instance.clone(),
                result: Err(error),
            };
            Answer::Leave(Ok(members.iter().map(told).collect()))
        }
        Ask::Commit(ask) => Answer::Commit(vec![Err(error); ask.offsets.len()]),
        Ask::Delete { .. } => Answer::Delete(Err(error)),
        Ask::DeleteOffsets { .. } => Answer::DeleteOffsets(Err(error)),
    }
}
