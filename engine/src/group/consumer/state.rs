//! A consumer group, its members, and what each has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::change::Change;
use super::patterns::bytes_of_name;
use super::sessions::Session;
use crate::base::{Instant, PartitionKey};
use crate::config::GroupSettings;
use crate::group::{DescribedConsumer, DescribedConsumerGroup, Protocol};
use crate::metadata::Position;

/// Partitions of any topics.
pub(crate) type Parts = BTreeSet<PartitionKey>;

/// What a member said of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) rack: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) names: BTreeSet<String>,
    pub(crate) regex: Option<String>,
    /// How long it may take to give partitions up.
    pub(crate) rebalance: Duration,
    /// The assignor that it wants.
    pub(crate) assignor: Option<String>,
    /// Set if it speaks the classic protocol.
    pub(crate) classic: Option<ClassicFace>,
}

/// What a member of the classic protocol has beside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ClassicFace {
    pub(crate) session: Duration,
    pub(crate) protocols: Vec<Protocol>,
}

/// Where a member stands on its way to its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Phase {
    /// It has what it shall have.
    #[default]
    Stable,
    /// It has to give partitions up.
    Revoking,
    /// It waits for partitions that others have to give up.
    Waiting,
}

/// What a member has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Holding {
    /// The epoch that it is in.
    pub(crate) epoch: i32,
    /// The epoch before, which it may still name if an answer was lost.
    pub(crate) previous: i32,
    pub(crate) phase: Phase,
    pub(crate) assigned: Parts,
    /// What it has to give up.
    pub(crate) revoking: Parts,
}

impl Holding {
    /// Everything that nobody else may have.
    pub(super) fn held(&self) -> impl Iterator<Item = &PartitionKey> + Clone {
        self.assigned.iter().chain(&self.revoking)
    }
}

/// The topics of a pattern.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Matched {
    pub(crate) topics: BTreeSet<String>,
    /// Index of the metadata that was looked through.
    pub(crate) version: i64,
    /// When, ms since the epoch.
    pub(crate) at: i64,
}

/// A group of the new protocol.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConsumerGroup {
    pub(crate) epoch: i32,
    /// Hash of the topics that the epoch was made for.
    pub(crate) hash: i64,
    /// The group epoch that the target was made for.
    pub(crate) target_epoch: i32,
    pub(crate) members: BTreeMap<String, Member>,
    /// What members shall have; nothing where there is none.
    pub(crate) targets: BTreeMap<String, Parts>,
    pub(crate) holdings: BTreeMap<String, Holding>,
    pub(crate) regexes: BTreeMap<String, Matched>,
    /// Member ids of static members.
    pub(crate) statics: BTreeMap<String, String>,
    /// What any member has or has still to give up, by how many: one, but while damaged records are
    /// replayed.
    pub(crate) held: FxHashMap<PartitionKey, u32>,
    pub(super) sessions: BTreeMap<String, Session>,
    /// The metadata that the group has looked at, and when.
    pub(crate) seen: (Position, Instant),
    /// Bytes of its members, see [`ConsumerGroup::member_bytes`].
    pub(super) bytes: usize,
}

impl ConsumerGroup {
    /// Where the group stands, in Kafka's words.
    pub(crate) fn state(&self) -> &'static str {
        let settled = |h: &Holding| h.phase == Phase::Stable && h.epoch == self.target_epoch;
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if self.members.keys().all(|id| self.holdings.get(id).is_some_and(settled)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// The group in full.
    pub(crate) fn describe(&self, group: &str, settings: &GroupSettings) -> DescribedConsumerGroup {
        let nothing = Holding::default();
        let member = |m: &Member| {
            let holding = self.holdings.get(&m.id).unwrap_or(&nothing);
            DescribedConsumer {
                id: m.id.clone(),
                instance: m.instance.clone(),
                rack: m.rack.clone(),
                epoch: holding.epoch,
                client_id: m.client_id.clone(),
                client_host: m.client_host.clone(),
                names: m.names.clone(),
                regex: m.regex.clone(),
                assigned: holding.assigned.clone(),
                target: self.targets.get(&m.id).cloned().unwrap_or_default(),
                is_classic: m.classic.is_some(),
            }
        };
        DescribedConsumerGroup {
            group: group.to_owned(),
            state: self.state(),
            epoch: self.epoch,
            target_epoch: self.target_epoch,
            assignor: self.assignor(settings).name(),
            members: self.members.values().map(member).collect(),
        }
    }

    /// The changes that end the group.
    pub(crate) fn end(&self) -> Vec<Change> {
        let ids = |ids: Vec<&String>, gone: fn(String) -> Change| -> Vec<Change> {
            ids.into_iter().map(|id| gone(id.clone())).collect()
        };
        let mut changes = ids(self.holdings.keys().collect(), Change::HoldingGone);
        changes.extend(ids(self.targets.keys().collect(), Change::TargetGone));
        changes.extend(ids(self.members.keys().collect(), Change::MemberGone));
        changes.extend(ids(self.regexes.keys().collect(), Change::RegexGone));
        changes.extend([Change::TargetEpochGone, Change::EpochGone]);
        changes
    }

    /// The topics that members want, by name or by pattern.
    pub(crate) fn subscribed(&self) -> BTreeSet<String> {
        let names = self.members.values().flat_map(|m| &m.names);
        let patterns: BTreeSet<&String> = self.members.values().filter_map(|m| m.regex.as_ref()).collect();
        let matched = patterns.into_iter().filter_map(|r| self.regexes.get(r)).flat_map(|m| &m.topics);
        let all: BTreeSet<&String> = names.chain(matched).collect();
        all.into_iter().cloned().collect()
    }

    /// Bytes that members make us keep: what they say, what they have, and what their patterns match.
    pub(crate) fn member_bytes(&self) -> usize {
        self.bytes
    }

    /// Makes a change: its record is durable, or is replayed.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Epoch { epoch, hash } => (self.epoch, self.hash) = (epoch, hash),
            Change::Member(member) => {
                self.forget_member(&member.id.clone());
                if let Some(instance) = &member.instance {
                    self.statics.insert(instance.clone(), member.id.clone());
                }
                self.bytes += bytes_of_member(&member);
                self.members.insert(member.id.clone(), *member);
            }
            Change::MemberGone(id) => {
                self.forget_member(&id);
                self.sessions.remove(&id);
            }
            Change::TargetEpoch(epoch) => self.target_epoch = epoch,
            Change::Target { member, parts } => {
                self.bytes += bytes_of_parts(parts.len());
                if let Some(old) = self.targets.insert(member, parts) {
                    self.bytes -= bytes_of_parts(old.len());
                }
            }
            Change::TargetGone(id) => {
                if let Some(old) = self.targets.remove(&id) {
                    self.bytes -= bytes_of_parts(old.len());
                }
            }
            Change::Holding { member, holding } => {
                self.time_anew(&member, &holding);
                self.forget_holding(&member);
                self.bytes += bytes_of_parts(holding.held().count());
                holding.held().for_each(|key| *self.held.entry(*key).or_default() += 1);
                self.holdings.insert(member, holding);
            }
            Change::HoldingGone(id) => self.forget_holding(&id),
            Change::Regex { pattern, matched } => {
                self.forget_regex(&pattern);
                self.bytes += bytes_of_matched(&pattern, &matched);
                self.regexes.insert(pattern, matched);
            }
            Change::RegexGone(pattern) => self.forget_regex(&pattern),
            Change::ClassicGone | Change::EpochGone | Change::TargetEpochGone => {}
        }
    }

    fn forget_member(&mut self, id: &str) {
        let Some(old) = self.members.remove(id) else { return };
        self.bytes -= bytes_of_member(&old);
        if let Some(instance) = &old.instance
            && self.statics.get(instance).is_some_and(|current| current == id)
        {
            self.statics.remove(instance);
        }
    }

    fn forget_holding(&mut self, id: &str) {
        let Some(old) = self.holdings.remove(id) else { return };
        self.bytes -= bytes_of_parts(old.held().count());
        for key in old.held() {
            if let Some(count) = self.held.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    self.held.remove(key);
                }
            }
        }
    }

    fn forget_regex(&mut self, pattern: &str) {
        if let Some(old) = self.regexes.remove(pattern) {
            self.bytes -= bytes_of_matched(pattern, &old);
        }
    }

    /// Asserts what must hold between any two events.
    pub(crate) fn assert_consistent(&self) {
        let held: usize = self.holdings.values().map(|h| h.held().count()).sum();
        assert_eq!(held, self.held.len(), "a partition is held twice");
        assert!(self.target_epoch <= self.epoch, "a target of an epoch to come");
        for (id, holding) in &self.holdings {
            assert!(self.members.contains_key(id), "{id} has partitions and is no member");
            assert!(holding.epoch <= self.target_epoch, "{id} is ahead of the target");
            assert!(holding.phase == Phase::Revoking || holding.revoking.is_empty());
        }
        assert!(
            self.statics.values().all(|id| self.members.contains_key(id)),
            "a static member that is none"
        );
    }
}

pub(super) fn bytes_of_parts(count: usize) -> usize {
    count * size_of::<PartitionKey>()
}

pub(super) fn bytes_of_matched(pattern: &str, matched: &Matched) -> usize {
    size_of::<Matched>()
        + pattern.len()
        + matched.topics.iter().map(|name| bytes_of_name(name)).sum::<usize>()
}

pub(super) fn bytes_of_member(member: &Member) -> usize {
    let text = |t: &Option<String>| t.as_ref().map_or(0, String::len);
    let protocols = member.classic.iter().flat_map(|c| &c.protocols);
    size_of::<Member>()
        + member.id.len()
        + member.client_id.len()
        + member.client_host.len()
        + text(&member.instance)
        + text(&member.rack)
        + text(&member.regex)
        + text(&member.assignor)
        + member.names.iter().map(|n| n.len() + size_of::<String>()).sum::<usize>()
        + protocols.map(|p| p.name.len() + p.metadata.len()).sum::<usize>()
}
