//! How groups and what they committed end: deleted, expired, or with their topic.
//!
//! Until the end of a group is durable whoever asks it waits, whatever its protocol. Its records end
//! commits too that are still on their way to the disk.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Answer, Effect, GroupError, OffsetResult};
use super::classic::Group;
use super::coordinator::{After, AppendId, Appends, Coordinator, Record, Token};
use super::stored;
use crate::base::Now;

impl Coordinator {
    pub(super) fn delete(&mut self, now: Now, token: Token, name: String, out: &mut Vec<Effect>) {
        let (groups, mut desk) = self.desk(now, out);
        let refused = match groups.get(&name) {
            None => Some(GroupError::GroupIdNotFound),
            Some(group) if !group.is_empty() => Some(GroupError::NonEmptyGroup),
            Some(_) => None,
        };
        if let Some(error) = refused {
            desk.answer(token, Answer::Delete(Err(error)));
            return;
        }
        let group = groups.get_mut(&name).expect("it exists");
        // Of either protocol: whoever joins finds what is left when this is durable.
        group.is_stepping = true;
        let records = end_of(group, desk.appends.commits_of(&name));
        desk.append_ends(records, After::Gone { token: Some(token), group: name });
    }

    pub(super) fn delete_offsets(
        &mut self,
        now: Now,
        token: Token,
        name: &str,
        partitions: Vec<(String, i32)>,
        out: &mut Vec<Effect>,
    ) {
        let (groups, mut desk) = self.desk(now, out);
        let Some(group) = groups.get(name) else {
            return desk.answer(token, Answer::DeleteOffsets(Err(GroupError::GroupIdNotFound)));
        };
        if !group.is_empty() && group.kind() != Some("consumer") {
            return desk.answer(token, Answer::DeleteOffsets(Err(GroupError::NonEmptyGroup)));
        }
        let subscribed = group.subscribed();
        let verdict = |(topic, _): &(String, i32)| {
            let is_read = subscribed.as_ref().is_none_or(|topics| topics.contains(topic));
            if is_read { Err(GroupError::GroupSubscribedToTopic) } else { Ok(()) }
        };
        let results: Vec<OffsetResult> = partitions.iter().map(verdict).collect();
        let free = |(key, result): (&(String, i32), &OffsetResult)| result.is_ok().then(|| key.clone());
        let known = |key: &(String, i32)| group.offsets.contains_key(key);
        let gone: Vec<_> = partitions.iter().zip(&results).filter_map(free).filter(known).collect();
        if gone.is_empty() {
            return desk.answer(token, Answer::DeleteOffsets(Ok(results)));
        }
        let records = group.tombstones(&gone);
        let group = name.to_owned();
        desk.append_ends(
            records,
            After::Forgotten { answer: Some((token, results)), group, partitions: gone },
        );
    }

    /// Looks for offsets and groups that are no longer kept (`offsets.retention.check.interval.ms`).
    pub fn expire(&mut self, now: Now, out: &mut Vec<Effect>) {
        let retention = i64::try_from(self.settings.offsets_retention.as_millis()).unwrap_or(i64::MAX);
        let (groups, mut desk) = self.desk(now, out);
        let in_use = desk.appends.groups_that_commit();
        for group in groups.values_mut().filter(|g| !g.is_stepping) {
            let mut old = group.expired(retention, now.wall);
            if !old.is_empty() && in_use.contains(&group.name) {
                // Their ends would come behind a commit that is on its way, and take it with them.
                let coming = desk.appends.commits_of(&group.name);
                old.retain(|key| !coming.contains(key));
            }
            if group.is_empty() && old.len() == group.offsets.len() {
                if in_use.contains(&group.name) {
                    continue;
                }
                group.is_stepping = true;
                let records = end_of(group, BTreeSet::new());
                desk.append_ends(records, After::Gone { token: None, group: group.name.clone() });
            } else if !old.is_empty() {
                let after =
                    After::Forgotten { answer: None, group: group.name.clone(), partitions: old.clone() };
                desk.append_ends(group.tombstones(&old), after);
            }
        }
    }

    /// A topic is gone: so are its offsets.
    pub fn forget_topic(&mut self, now: Now, topic: &str, out: &mut Vec<Effect>) {
        let (groups, mut desk) = self.desk(now, out);
        // Of commits too that are still on their way.
        let mut coming = desk.appends.commits_to(topic);
        for group in groups.values() {
            let known = group.offsets.keys().filter(|(t, _)| t == topic).cloned();
            let mut partitions: BTreeSet<_> = coming.remove(&group.name).unwrap_or_default();
            partitions.extend(known);
            if !partitions.is_empty() {
                let partitions: Vec<_> = partitions.into_iter().collect();
                let records = group.tombstones(&partitions);
                desk.append_ends(
                    records,
                    After::Forgotten { answer: None, group: group.name.clone(), partitions },
                );
            }
        }
    }
}

impl Appends {
    /// What a group has commits of that are not durable yet.
    fn commits_of(&self, name: &str) -> BTreeSet<(String, i32)> {
        let of_group = |after: &'_ After| match after {
            After::Committed { group, offsets, .. } if group == name => {
                offsets.iter().map(|o| (o.topic.clone(), o.partition)).collect()
            }
            _ => Vec::new(),
        };
        self.waiting.iter().flat_map(|(_, after)| of_group(after)).collect()
    }

    /// What groups have commits to a topic of that are not durable yet.
    fn commits_to(&self, topic: &str) -> BTreeMap<String, BTreeSet<(String, i32)>> {
        let mut list: BTreeMap<String, BTreeSet<(String, i32)>> = BTreeMap::new();
        for (_, after) in &self.waiting {
            let After::Committed { group, offsets, .. } = after else { continue };
            let of_topic = offsets.iter().filter(|o| o.topic == topic);
            let keys: BTreeSet<_> = of_topic.map(|o| (o.topic.clone(), o.partition)).collect();
            if !keys.is_empty() {
                list.entry(group.clone()).or_default().extend(keys);
            }
        }
        list
    }

    /// Groups that have commits that are not durable yet.
    fn groups_that_commit(&self) -> BTreeSet<String> {
        let committing = |(_, after): &(AppendId, After)| match after {
            After::Committed { group, .. } => Some(group.clone()),
            _ => None,
        };
        self.waiting.iter().filter_map(committing).collect()
    }
}

/// Records that end a group with everything that it committed or is about to have committed.
fn end_of(group: &Group, mut offsets: BTreeSet<(String, i32)>) -> Vec<Record> {
    offsets.extend(group.offsets.keys().cloned());
    let all: Vec<(String, i32)> = offsets.into_iter().collect();
    let mut records = group.tombstones(&all);
    match &group.consumer {
        None => records.push(stored::group_tombstone(&group.name)),
        Some(consumer) => records.extend(consumer.end().iter().map(|change| change.to_record(&group.name))),
    }
    records
}
