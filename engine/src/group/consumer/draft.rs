//! A step of a group: what one request changes, worked out against the group as it is.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::assign::{Counts, Subscriber, assign};
use super::change::Change;
use super::patterns::{self, Looked, Patterns};
use super::reconcile::{Target, next};
use super::state::{ConsumerGroup, Holding, Matched, Member, Parts};
use super::topics::Subscriptions;
use crate::base::{Instant, PartitionKey, TopicId, WallMs};
use crate::config::{Assignor, GroupSettings};
use crate::group::GroupError;
use crate::group::answer::{Answer, Refusal};
use crate::group::classic::Group;
use crate::group::settings::{METADATA_REFRESH, REGEXES_PER_GROUP_MAX};
use crate::metadata::{Image, Position};

/// What a group works with beside itself.
pub(crate) struct Place<'a> {
    pub(crate) image: &'a Image,
    pub(crate) patterns: &'a Patterns,
    pub(crate) settings: &'a GroupSettings,
    pub(crate) now: Instant,
    pub(crate) wall: WallMs,
    /// Members keep so much already that none may bring more.
    pub(crate) is_full: bool,
}

/// What a request comes to.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// To be made when durable, in this order.
    pub(crate) changes: Vec<Change>,
    /// The metadata that was looked at.
    pub(crate) seen: Option<(Position, Instant)>,
    /// Who gave a sign of life.
    pub(crate) alive: Option<String>,
    /// The answer, if somebody asked.
    pub(crate) answer: Option<Answer>,
    /// The classic group that it is afterwards; its record comes behind those of the changes.
    pub(crate) becomes: Option<Box<Group>>,
}

/// What a look at the patterns came to.
#[derive(Default)]
struct LookedAt {
    /// A pattern matches other topics than before.
    found: bool,
    /// Of some pattern it is not known yet.
    is_partial: bool,
}

/// A member that changes, and the group around it.
pub(super) struct Draft<'a> {
    pub(super) group: &'a ConsumerGroup,
    pub(super) place: &'a Place<'a>,
    /// As the group knows it; `None` if it is new.
    pub(super) was: Option<&'a Member>,
    /// The static member whose place it takes.
    pub(super) replaces: Option<&'a Member>,
    /// As it is from now on.
    pub(super) member: Member,
    /// What it has before the step.
    pub(super) holding: Holding,
    pub(super) step: Step,
}

impl Draft<'_> {
    /// Takes the member in as it is now: epoch, target, and what the member has then.
    pub(super) fn carry_on(mut self, owned: Option<&Parts>) -> Result<(Step, Holding), Refusal> {
        let (group, place) = (self.group, self.place);
        if self.was != Some(&self.member) {
            if place.is_full {
                let text = "The coordinator keeps as much for members as it may.".to_owned();
                return Err(Refusal::new(GroupError::GroupMaxSizeReached, text));
            }
            self.step.changes.push(Change::Member(Box::new(self.member.clone())));
        }
        let before = self.was.or(self.replaces);
        let resubscribed =
            before.is_none_or(|b| b.names != self.member.names || b.regex != self.member.regex);
        let stale = group.looks_again(place);
        let mut regexes = Cow::Borrowed(&group.regexes);
        let looked = self.look_at_patterns(stale, &mut regexes)?;

        let mut epoch = group.epoch;
        if resubscribed || stale || looked.found {
            let mut subscriptions = Subscriptions::new(place.image, &regexes);
            self.members().for_each(|m| drop(subscriptions.of(m)));
            let hash = subscriptions.hash();
            if resubscribed || hash != group.hash {
                epoch = epoch.saturating_add(1);
                self.step.changes.push(Change::Epoch { epoch, hash });
            }
            let position = if looked.is_partial { group.seen.0 } else { place.image.position() };
            self.step.seen = Some((position, place.now));
        }

        let mut target = group.targets.get(&self.member.id).cloned().unwrap_or_default();
        if let Some(old) = self.replaces {
            target = group.targets.get(&old.id).cloned().unwrap_or_default();
            self.step.changes.push(Change::Target { member: self.member.id.clone(), parts: target.clone() });
        }
        let mut target_epoch = group.target_epoch;
        if epoch > target_epoch {
            target_epoch = epoch;
            let (changes, own) = self.assign(&regexes, &target);
            self.step.changes.extend(changes);
            target = own;
            self.step.changes.push(Change::TargetEpoch(epoch));
        }

        let old = before.and_then(|b| group.holdings.get(&b.id));
        let is_own =
            |key: &PartitionKey| old.is_some_and(|h| h.assigned.contains(key) || h.revoking.contains(key));
        let target = Target { epoch: target_epoch, parts: &target };
        let holding = next(&self.holding, &target, owned, |key| group.held.contains_key(key) && !is_own(key));
        if group.holdings.get(&self.member.id) != Some(&holding) {
            let (member, holding) = (self.member.id.clone(), holding.clone());
            self.step.changes.push(Change::Holding { member, holding });
        }
        Ok((self.step, holding))
    }

    /// Everybody, the member as it is from now on.
    fn members(&self) -> impl Iterator<Item = &Member> {
        let gone = self.replaces.map(|m| m.id.as_str());
        let others = self
            .group
            .members
            .values()
            .filter(move |m| m.id != self.member.id && Some(m.id.as_str()) != gone);
        others.chain(std::iter::once(&self.member))
    }

    /// Resolves patterns that are new, and all of them if the topics are others now.
    fn look_at_patterns(
        &mut self,
        stale: bool,
        regexes: &mut Cow<'_, BTreeMap<String, Matched>>,
    ) -> Result<LookedAt, Refusal> {
        let (image, wall) = (self.place.image, self.place.wall);
        let mut looked = LookedAt::default();
        let was = self.was.or(self.replaces).and_then(|m| m.regex.clone());
        if was != self.member.regex
            && let Some(pattern) = &was
            && self.members().all(|m| m.regex.as_ref() != Some(pattern))
        {
            regexes.to_mut().remove(pattern);
            self.step.changes.push(Change::RegexGone(pattern.clone()));
        }
        let mut patterns: Vec<String> = if stale { regexes.keys().cloned().collect() } else { Vec::new() };
        if let Some(pattern) = &self.member.regex
            && !regexes.contains_key(pattern)
        {
            if regexes.len() >= REGEXES_PER_GROUP_MAX {
                let text = format!("A group may have {REGEXES_PER_GROUP_MAX} regular expressions.");
                return Err(Refusal::new(GroupError::InvalidRegularExpression, text));
            }
            if !self.place.patterns.has(pattern) {
                patterns::check(pattern)?;
            }
            patterns.push(pattern.clone());
        }
        for pattern in patterns {
            let topics = match self.place.patterns.topics(&pattern) {
                Looked::Found(topics) => topics,
                Looked::NotYet => {
                    looked.is_partial = true;
                    continue;
                }
                Looked::TooMany if regexes.contains_key(&pattern) => continue,
                Looked::TooMany => {
                    let text = "SubscribedTopicRegex matches more topics than a group may have.".to_owned();
                    return Err(Refusal::new(GroupError::InvalidRegularExpression, text));
                }
            };
            if regexes.get(&pattern).is_some_and(|known| known.topics == *topics) {
                continue;
            }
            looked.found = true;
            let matched =
                Matched { topics: topics.clone(), version: image.position().index as i64, at: wall.0 };
            regexes.to_mut().insert(pattern.clone(), matched.clone());
            self.step.changes.push(Change::Regex { pattern, matched });
        }
        Ok(looked)
    }

    /// Works the target out anew: what changes, and the member's own part of `own` so far.
    fn assign(&self, regexes: &BTreeMap<String, Matched>, own: &Parts) -> (Vec<Change>, Parts) {
        let (group, image) = (self.group, self.place.image);
        let nothing = Parts::new();
        let mut subscriptions = Subscriptions::new(image, regexes);
        let members: Vec<(&Member, Rc<[TopicId]>)> =
            self.members().map(|m| (m, subscriptions.of(m))).collect();
        let is_self = |m: &Member| m.id == self.member.id;
        let subscriber = |(m, topics): &'_ (&Member, Rc<[TopicId]>)| {
            let current = if is_self(m) { own } else { group.targets.get(&m.id).unwrap_or(&nothing) };
            (m.instance.clone().unwrap_or_else(|| m.id.clone()), topics.clone(), current)
        };
        let known: Vec<_> = members.iter().map(subscriber).collect();
        let subscribers: Vec<Subscriber<'_>> =
            known.iter().map(|(name, topics, current)| Subscriber { name, topics, current }).collect();
        let ids = subscribers.iter().flat_map(|s| s.topics).copied();
        let ids: BTreeSet<TopicId> = ids.collect();
        let counts: Counts = ids.into_iter().filter_map(|id| Some((id, count(image, id)?))).collect();
        let parts = assign(assignor(self.members(), self.place.settings), &subscribers, &counts);
        let (mut changes, mut own) = (Vec::new(), Parts::new());
        for ((member, _), parts) in members.into_iter().zip(parts) {
            if group.targets.get(&member.id) != Some(&parts) {
                changes.push(Change::Target { member: member.id.clone(), parts: parts.clone() });
            }
            if is_self(member) {
                own = parts;
            }
        }
        (changes, own)
    }
}

impl ConsumerGroup {
    /// Whether the topics may be others than when the group last looked.
    pub(super) fn looks_again(&self, place: &Place<'_>) -> bool {
        self.looks_again_at(place.image, place.now)
    }

    /// The same, of these topics at this time.
    pub(crate) fn looks_again_at(&self, image: &Image, now: Instant) -> bool {
        let (position, at) = self.seen;
        image.position() != position && (at == Instant(0) || now.since(at) >= METADATA_REFRESH)
    }

    /// Takes members out for good. The target is worked out when the next one calls.
    pub(crate) fn without(&self, gone: &[String], place: &Place<'_>) -> Step {
        let mut step = Step::default();
        for id in gone {
            step.changes.push(Change::HoldingGone(id.clone()));
            step.changes.push(Change::TargetGone(id.clone()));
            step.changes.push(Change::MemberGone(id.clone()));
        }
        let set: BTreeSet<&String> = gone.iter().collect();
        let left = || self.members.values().filter(|m| !set.contains(&m.id));
        for pattern in self.regexes.keys() {
            if left().all(|m| m.regex.as_ref() != Some(pattern)) {
                step.changes.push(Change::RegexGone(pattern.clone()));
            }
        }
        let mut subscriptions = Subscriptions::new(place.image, &self.regexes);
        left().for_each(|m| drop(subscriptions.of(m)));
        step.changes.push(Change::Epoch { epoch: self.epoch.saturating_add(1), hash: subscriptions.hash() });
        step
    }

    /// The assignor that most want, the first of the settings if none says.
    pub(crate) fn assignor(&self, settings: &GroupSettings) -> Assignor {
        assignor(self.members.values(), settings)
    }
}

fn assignor<'m>(members: impl Iterator<Item = &'m Member>, settings: &GroupSettings) -> Assignor {
    let allowed = &settings.consumer.assignors;
    let mut votes = vec![0; allowed.len()];
    for wanted in members.filter_map(|m| m.assignor.as_deref()) {
        if let Some(place) = allowed.iter().position(|a| a.name() == wanted) {
            votes[place] += 1;
        }
    }
    // Of equals the first one wins.
    let best = (0..votes.len()).rev().max_by_key(|&place| votes[place]).unwrap_or(0);
    allowed[best]
}

fn count(image: &Image, id: TopicId) -> Option<i32> {
    Some(image.topic_by_id(id)?.partitions.len() as i32)
}
