//! How far groups are behind: what they committed, held against the ends of the logs on whichever core.
//!
//! Computed when a page of metrics asks for it, in small steps between which requests are served; nothing is
//! kept on the way of a commit or an append. The age of the first unread record comes from its batch's header:
//! from memory where it is hot, else from the disk, for at most [`LAG_COLD_READS_MAX`] partitions a page, and
//! only once while the commit stays where it is.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use engine::base::{CoreId, Offset, PartitionKey};

use super::core::Core;
use crate::limits::{GROUP_SERIES_BYTES_MAX, GROUP_SERIES_MAX, LAG_ASKED_MAX, LAG_COLD_READS_MAX};
use crate::runtime::{begin_work, fair};

/// One committed offset and what lies behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitLag {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record that the group reads.
    pub committed: i64,
    /// Records behind it; `None` if the partition is gone or has no leader here.
    pub lag: Option<i64>,
    /// When the first of them was written, ms since the epoch; `None` if there is none, or not known.
    pub since: Option<i64>,
}

/// What the groups of a core have committed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct GroupLag {
    /// Their commits, up to [`GROUP_SERIES_MAX`] and [`GROUP_SERIES_BYTES_MAX`].
    pub commits: Vec<CommitLag>,
    /// How many more there are.
    pub left_out: u64,
}

/// Ages that were found, as long as the commit stays: (partition, committed offset) → ms since the epoch.
#[derive(Default, Debug)]
pub struct LagTimes(HashMap<(PartitionKey, i64), i64>);

/// A question to a partition's owner.
#[derive(Clone, Copy)]
struct Wanted {
    row: usize,
    key: PartitionKey,
    committed: i64,
    since: Option<i64>,
}

/// Its answer.
struct Found {
    lag: Option<i64>,
    since: Option<i64>,
}

impl Core {
    /// Whether any group of this core has committed anything.
    #[must_use]
    pub fn has_commits(&self) -> bool {
        let seats = self.group_seats();
        seats
            .into_iter()
            .any(|seat| self.look_at_groups(seat, |c| c.committed().next().is_some()) == Ok(true))
    }

    /// How far the groups of this core are behind.
    pub async fn group_lag(self: &Rc<Self>, times: &mut LagTimes) -> GroupLag {
        let mut found = self.commits().await;
        let mut asked: BTreeMap<u16, Vec<Wanted>> = BTreeMap::new();
        for (nth, commits) in found.commits.chunks(LAG_ASKED_MAX).enumerate() {
            let work = begin_work();
            let catalog = self.catalog();
            for (row, commit) in (nth * LAG_ASKED_MAX..).zip(commits) {
                let Some(entry) = catalog.topic(&commit.topic) else { continue };
                let partition = usize::try_from(commit.partition).ok();
                let Some(state) = partition.and_then(|p| entry.topic.partitions.get(p)) else { continue };
                let key = PartitionKey { topic: entry.topic.id, index: commit.partition };
                let committed = commit.committed;
                let since = times.0.get(&(key, committed)).copied();
                let owner = self.node.core_of(state).0;
                asked.entry(owner).or_default().push(Wanted { row, key, committed, since });
            }
            drop(catalog);
            fair(work).await;
        }
        times.0.clear();
        let mut cold_left = LAG_COLD_READS_MAX;
        for (core, wanted) in asked {
            for chunk in wanted.chunks(LAG_ASKED_MAX) {
                let chunk: Vec<Wanted> = chunk.to_vec();
                let rows: Vec<Wanted> = chunk.clone();
                let look = move |core: Rc<Core>| async move { look(&core, chunk, cold_left).await };
                let (answers, left) = self.call(CoreId(core), look).await;
                cold_left = left;
                for (wanted, answer) in rows.into_iter().zip(answers) {
                    let commit = &mut found.commits[wanted.row];
                    (commit.lag, commit.since) = (answer.lag, answer.since);
                    if let Some(since) = answer.since {
                        times.0.insert((wanted.key, wanted.committed), since);
                    }
                }
            }
        }
        found
    }

    /// What is committed, up to the limits of a page.
    async fn commits(&self) -> GroupLag {
        let mut found = GroupLag::default();
        let mut bytes = 0;
        for seat in self.group_seats() {
            let work = begin_work();
            // One that still loads is told the next time.
            let _ = self.look_at_groups(seat, |coordinator| {
                let before = found.commits.len();
                for (group, topic, partition, committed) in coordinator.committed() {
                    bytes += group.len() + topic.len();
                    if found.commits.len() >= GROUP_SERIES_MAX || bytes > GROUP_SERIES_BYTES_MAX {
                        break;
                    }
                    let (group, topic) = (group.to_owned(), topic.to_owned());
                    found.commits.push(CommitLag {
                        group,
                        topic,
                        partition,
                        committed,
                        lag: None,
                        since: None,
                    });
                }
                let shown = found.commits.len() - before;
                found.left_out += (coordinator.committed_count() - shown) as u64;
            });
            fair(work).await;
        }
        found
    }
}

/// On the core that owns the partitions.
async fn look(core: &Rc<Core>, wanted: Vec<Wanted>, mut cold_left: usize) -> (Vec<Found>, usize) {
    let mut answers = Vec::with_capacity(wanted.len());
    for one in wanted {
        let work = begin_work();
        let Ok(bounds) = core.shard.bounds(one.key) else {
            answers.push(Found { lag: None, since: None });
            continue;
        };
        let lag = bounds.high_watermark.0.saturating_sub(one.committed).max(0);
        let mut since = one.since.filter(|_| lag > 0);
        if lag > 0 && since.is_none() {
            let from = Offset(one.committed).max(bounds.log_start);
            let is_hot = core.shard.is_hot(one.key, from);
            if is_hot || cold_left > 0 {
                cold_left -= usize::from(!is_hot);
                since = core.shard.time_at(one.key, from).await.ok().flatten();
            }
        }
        answers.push(Found { lag: Some(lag), since });
        fair(work).await;
    }
    (answers, cold_left)
}
