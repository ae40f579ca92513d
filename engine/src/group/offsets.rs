//! Committed offsets.

use super::answer::{Answer, Committed, GroupError, OffsetResult};
use super::ask::{CommitAsk, CommitOffset};
use super::classic::{Group, State};
use super::coordinator::{After, Coordinator, Desk, Record, Token};
use super::settings::{METADATA_BYTES_MAX, OFFSETS_PER_GROUP_MAX};
use super::stored;
use crate::base::{Bug, WallMs, planted};

impl Coordinator {
    /// Everything that is committed: group, topic, partition, offset.
    pub fn committed(&self) -> impl Iterator<Item = (&str, &str, i32, i64)> {
        self.groups.values().flat_map(|group| {
            let name = group.name.as_str();
            group.offsets.iter().map(move |(key, at)| (name, key.0.as_str(), key.1, at.offset))
        })
    }

    /// How many offsets are committed.
    #[must_use]
    pub fn committed_count(&self) -> usize {
        self.groups.values().map(|group| group.offsets.len()).sum()
    }
}

impl Group {
    /// Offsets to keep: the answer waits until they are durable.
    pub(super) fn commit(&mut self, token: Token, ask: CommitAsk, desk: &mut Desk<'_>) {
        if let Err(error) = self.may_commit(&ask, desk) {
            desk.answer(token, Answer::Commit(vec![Err(error); ask.offsets.len()]));
            return;
        }
        let mut results: Vec<OffsetResult> = Vec::with_capacity(ask.offsets.len());
        let mut records = Vec::new();
        let mut kept = Vec::new();
        for offset in ask.offsets {
            let result = self.admit(&offset, desk);
            results.push(result);
            if result.is_ok() {
                records.push(stored::offset_record(&self.name, &offset, desk.wall));
                kept.push(offset);
            }
        }
        if records.is_empty() {
            desk.answer(token, Answer::Commit(results));
            return;
        }
        if planted(Bug::CommitTooEarly) {
            self.committed(kept, desk.wall);
            desk.append(records, After::Nothing);
            desk.answer(token, Answer::Commit(results));
            return;
        }
        let after =
            After::Committed { token, group: self.name.clone(), offsets: kept, results, at: desk.wall };
        desk.append(records, after);
    }

    fn may_commit(&mut self, ask: &CommitAsk, desk: &mut Desk<'_>) -> Result<(), GroupError> {
        if ask.who.generation < 0 && self.is_empty() {
            // From outside of the group: an assigned consumer, or an admin.
            return Ok(());
        }
        if ask.who.generation < 0 && ask.who.member.is_empty() && ask.who.instance.is_none() {
            return Err(GroupError::UnknownMemberId);
        }
        if let Some(consumer) = &self.consumer {
            let is_new = consumer.members.get(&ask.who.member).is_some_and(|m| m.classic.is_none());
            if is_new && !ask.knows_epochs {
                return Err(GroupError::UnsupportedVersion);
            }
            return consumer.check_member_epoch(&ask.who.member, ask.who.generation);
        }
        self.check(&ask.who)?;
        let session = self.members[&ask.who.member].session;
        self.keep_alive(&ask.who.member, session, desk);
        match self.state {
            State::CompletingRebalance => Err(GroupError::RebalanceInProgress),
            State::Empty => Err(GroupError::UnknownMemberId),
            State::PreparingRebalance | State::Stable => Ok(()),
        }
    }

    fn admit(&self, offset: &CommitOffset, desk: &Desk<'_>) -> OffsetResult {
        if offset.metadata.len() > desk.settings.metadata_bytes_max.min(METADATA_BYTES_MAX) {
            return Err(GroupError::OffsetMetadataTooLarge);
        }
        let is_known = self.offsets.contains_key(&(offset.topic.clone(), offset.partition));
        if !is_known && self.offsets.len() >= OFFSETS_PER_GROUP_MAX {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        Ok(())
    }

    /// Durable offsets become what is committed.
    pub(super) fn committed(&mut self, offsets: Vec<CommitOffset>, at: WallMs) {
        for offset in offsets {
            let committed = Committed {
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                metadata: offset.metadata,
                timestamp: at.0,
            };
            self.offsets.insert((offset.topic, offset.partition), committed);
        }
    }

    /// Offsets that nobody has used for as long as they are kept (KIP-211).
    pub(super) fn expired(&self, retention_ms: i64, wall: WallMs) -> Vec<(String, i32)> {
        let old = |since: i64| wall.0.saturating_sub(since) >= retention_ms;
        let is_read_by_members = match (&self.protocol_type, self.state) {
            _ if self.consumer.is_some() => true,
            // Nobody was ever in it: each commit counts for itself.
            (None, State::Empty) => false,
            (Some(_), State::Empty) if old(self.since.0) => false,
            (Some(kind), State::Stable) if kind == "consumer" => true,
            _ => return Vec::new(),
        };
        let over = |(_, committed): &(&(String, i32), &Committed)| old(committed.timestamp);
        let mut list: Vec<_> = self.offsets.iter().filter(over).map(|(key, _)| key.clone()).collect();
        if is_read_by_members && !list.is_empty() {
            match self.subscribed() {
                Some(topics) => list.retain(|(topic, _)| !topics.contains(topic)),
                None => list.clear(),
            }
        }
        list
    }

    /// Records that delete these offsets.
    pub(super) fn tombstones(&self, partitions: &[(String, i32)]) -> Vec<Record> {
        partitions
            .iter()
            .map(|(topic, partition)| stored::offset_tombstone(&self.name, topic, *partition))
            .collect()
    }
}
