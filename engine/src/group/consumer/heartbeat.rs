//! ConsumerGroupHeartbeat: what a member asks, what it is told, and what is refused.

use super::change::Change;
use super::draft::{Draft, Place, Step};
use super::state::{ConsumerGroup, Holding, Member, Parts, Phase};
use crate::config::GroupSettings;
use crate::group::GroupError;
use crate::group::answer::{Answer, ConsumerHeartbeatAnswer, Refusal};
use crate::group::ask::ConsumerHeartbeatAsk;
use crate::group::settings::{GROUP_ID_BYTES_MAX, MEMBER_ID_BYTES_MAX};

/// The epoch of a member that joins.
const JOINS: i32 = 0;
/// The epoch of a member that leaves.
pub(crate) const LEAVES: i32 = -1;
/// The epoch of a static member that leaves and will be back.
const LEAVES_FOR_A_WHILE: i32 = -2;

fn refuse<T>(error: GroupError, text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(error, text.into()))
}

/// Whether a request makes sense at all.
pub(crate) fn check(ask: &ConsumerHeartbeatAsk, settings: &GroupSettings) -> Result<(), Refusal> {
    let invalid = |text: &str| refuse(GroupError::InvalidRequest, text);
    let is_blank = |text: &Option<String>| text.as_ref().is_some_and(|t| t.trim().is_empty());
    if ask.group.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if ask.group.len() > GROUP_ID_BYTES_MAX {
        return refuse(GroupError::InvalidGroupId, "GroupId is too long.");
    }
    if ask.member.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if ask.member.len() > MEMBER_ID_BYTES_MAX {
        return invalid("MemberId is too long.");
    }
    if is_blank(&ask.instance) {
        return invalid("InstanceId can't be empty.");
    }
    if is_blank(&ask.rack) {
        return invalid("RackId can't be empty.");
    }
    match ask.epoch {
        JOINS => {
            if ask.rebalance.is_none() {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            if ask.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            if ask.names.is_none() && ask.regex.is_none() {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
        }
        LEAVES_FOR_A_WHILE if ask.instance.is_none() => return invalid("InstanceId can't be null."),
        LEAVES | LEAVES_FOR_A_WHILE => {}
        epoch if epoch < LEAVES_FOR_A_WHILE => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    let allowed = &settings.consumer.assignors;
    if let Some(wanted) = &ask.assignor
        && !allowed.iter().any(|a| a.name() == wanted)
    {
        let names: Vec<&str> = allowed.iter().map(|a| a.name()).collect();
        let text =
            format!("ServerAssignor {wanted} is not supported. Supported assignors: {}.", names.join(", "));
        return refuse(GroupError::UnsupportedAssignor, text);
    }
    Ok(())
}

/// Who sends a heartbeat.
struct Caller<'a> {
    /// As the group knows it.
    known: Option<&'a Member>,
    /// The static member whose place it takes.
    replaces: Option<&'a Member>,
}

impl ConsumerGroup {
    /// What a heartbeat, checked before, comes to.
    pub(crate) fn heartbeat(&self, ask: &ConsumerHeartbeatAsk, place: &Place<'_>) -> Result<Step, Refusal> {
        if ask.epoch < JOINS {
            return self.leave(ask, place);
        }
        let Caller { known, replaces } = self.identify(ask)?;
        if known.is_none() && replaces.is_none() && self.members.len() >= place.settings.consumer.members_max
        {
            let text = format!(
                "The consumer group has reached its maximum capacity of {} members.",
                place.settings.consumer.members_max
            );
            return refuse(GroupError::GroupMaxSizeReached, text);
        }
        let mut step = Step { alive: Some(ask.member.clone()), ..Step::default() };
        let mut holding = Holding::default();
        if let Some(old) = replaces {
            holding.assigned = self.holdings.get(&old.id).map(|h| h.assigned.clone()).unwrap_or_default();
            step.changes.push(Change::HoldingGone(old.id.clone()));
            step.changes.push(Change::TargetGone(old.id.clone()));
            step.changes.push(Change::MemberGone(old.id.clone()));
        } else if ask.epoch != JOINS {
            // Who joins anew has nothing any more.
            holding = self.holdings.get(&ask.member).cloned().unwrap_or_default();
        }
        let before = holding.assigned.clone();
        let is_late = ask.epoch != JOINS && ask.epoch != holding.epoch;
        let mut member = known.or(replaces).cloned().unwrap_or_default();
        update(&mut member, ask);
        let draft = Draft { group: self, place, was: known, replaces, member, holding, step };
        let (mut step, holding) = draft.carry_on(ask.owned.as_ref())?;
        let is_full =
            ask.rebalance.is_some() && (ask.names.is_some() || ask.regex.is_some()) && ask.owned.is_some();
        let tells = ask.epoch == JOINS || is_full || is_late || before != holding.assigned;
        step.answer = Some(Answer::ConsumerHeartbeat(Ok(ConsumerHeartbeatAnswer {
            member: ask.member.clone(),
            epoch: holding.epoch,
            interval: place.settings.consumer.heartbeat_of(&ask.group),
            assignment: tells.then_some(holding.assigned),
        })));
        Ok(step)
    }

    fn identify(&self, ask: &ConsumerHeartbeatAsk) -> Result<Caller<'_>, Refusal> {
        let joins = ask.epoch == JOINS;
        let known = self.members.get(&ask.member);
        match ask.instance.as_ref().map(|i| (i, self.statics.get(i))) {
            // A member of the new protocol may leave its instance out once it is known.
            None if known.is_none() && !joins => return self.unknown(&ask.member),
            None => {}
            Some((instance, None)) if !joins => {
                return refuse(GroupError::UnknownMemberId, format!("Instance id {instance} is unknown."));
            }
            Some((_, None)) => {}
            Some((_, Some(id))) if *id == ask.member => {}
            Some((instance, Some(id))) if !joins => return self.fenced(&ask.member, instance, id),
            Some((instance, Some(id))) => {
                if self.holdings.get(id).is_none_or(|h| h.epoch != LEAVES_FOR_A_WHILE) {
                    let text = format!(
                        "Static member {} with instance id {instance} cannot join the group because the \
                         instance id is owned by {id} member.",
                        ask.member
                    );
                    return refuse(GroupError::UnreleasedInstanceId, text);
                }
                return Ok(Caller { known: None, replaces: self.members.get(id) });
            }
        }
        if !joins {
            self.check_epoch(ask)?;
        }
        Ok(Caller { known, replaces: None })
    }

    fn unknown<T>(&self, member: &str) -> Result<T, Refusal> {
        refuse(GroupError::UnknownMemberId, format!("Member {member} is not a member of the group."))
    }

    fn fenced<T>(&self, member: &str, instance: &str, by: &str) -> Result<T, Refusal> {
        let text = format!("Static member {member} with instance id {instance} was fenced by member {by}.");
        refuse(GroupError::FencedInstanceId, text)
    }

    /// A member in its own epoch, or in the one before if it may just not have heard.
    fn check_epoch(&self, ask: &ConsumerHeartbeatAsk) -> Result<(), Refusal> {
        let nothing = Holding::default();
        let holding = self.holdings.get(&ask.member).unwrap_or(&nothing);
        let owns_less = || ask.owned.as_ref().is_some_and(|owned| owned.is_subset(&holding.assigned));
        let comparison = match ask.epoch.cmp(&holding.epoch) {
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Less if ask.epoch == holding.previous && owns_less() => return Ok(()),
            std::cmp::Ordering::Less => "smaller",
            std::cmp::Ordering::Greater => "greater",
        };
        let text = format!(
            "The consumer group member has a {comparison} member epoch ({}) than the one known by the group \
             coordinator ({}). The member must abandon all its partitions and rejoin.",
            ask.epoch, holding.epoch
        );
        refuse(GroupError::FencedMemberEpoch, text)
    }

    /// A member leaves, for good or, a static one, for a while.
    fn leave(&self, ask: &ConsumerHeartbeatAsk, place: &Place<'_>) -> Result<Step, Refusal> {
        match &ask.instance {
            None if !self.members.contains_key(&ask.member) => return self.unknown(&ask.member),
            None => {}
            Some(instance) => match self.statics.get(instance) {
                None => {
                    let text = format!("Instance id {instance} is unknown.");
                    return refuse(GroupError::UnknownMemberId, text);
                }
                Some(id) if *id != ask.member => return self.fenced(&ask.member, instance, id),
                Some(_) => {}
            },
        }
        let mut step = if ask.epoch == LEAVES {
            self.without(std::slice::from_ref(&ask.member), place)
        } else {
            let was = self.holdings.get(&ask.member).cloned().unwrap_or_default();
            let holding = Holding {
                epoch: LEAVES_FOR_A_WHILE,
                previous: was.epoch,
                phase: Phase::Stable,
                revoking: Parts::new(),
                ..was
            };
            let change = Change::Holding { member: ask.member.clone(), holding };
            Step { changes: vec![change], ..Step::default() }
        };
        step.answer = Some(Answer::ConsumerHeartbeat(Ok(ConsumerHeartbeatAnswer {
            member: ask.member.clone(),
            epoch: ask.epoch,
            interval: place.settings.consumer.heartbeat_of(&ask.group),
            assignment: None,
        })));
        Ok(step)
    }

    /// Whether a member may commit in the epoch that it names.
    pub(crate) fn check_member_epoch(&self, member: &str, epoch: i32) -> Result<(), GroupError> {
        let Some(known) = self.members.get(member) else { return Err(GroupError::UnknownMemberId) };
        let current = self.holdings.get(member).map_or(JOINS, |h| h.epoch);
        match (epoch == current, &known.classic) {
            (true, _) => Ok(()),
            (false, Some(_)) => Err(GroupError::IllegalGeneration),
            (false, None) => Err(GroupError::StaleMemberEpoch),
        }
    }
}

/// Takes over what a member says of itself; what it leaves out is as before.
fn update(member: &mut Member, ask: &ConsumerHeartbeatAsk) {
    fn take<T: Clone>(field: &mut Option<T>, said: &Option<T>) {
        if said.is_some() {
            field.clone_from(said);
        }
    }
    member.id.clone_from(&ask.member);
    member.client_id.clone_from(&ask.client_id);
    member.client_host.clone_from(&ask.client_host);
    member.classic = None;
    take(&mut member.instance, &ask.instance);
    take(&mut member.rack, &ask.rack);
    take(&mut member.assignor, &ask.assignor);
    take(&mut member.regex, &ask.regex);
    if let Some(names) = &ask.names {
        member.names.clone_from(names);
    }
    if ask.epoch == JOINS {
        member.names = ask.names.clone().unwrap_or_default();
        member.regex.clone_from(&ask.regex);
    }
    // An empty pattern ends the subscription by pattern.
    member.regex = member.regex.take().filter(|r| !r.is_empty());
    if let Some(rebalance) = ask.rebalance {
        member.rebalance = rebalance;
    }
}
