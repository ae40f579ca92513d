//! A member of a group, in the classic protocol that every broker speaks.
//!
//! One thread does everything, so heartbeats go out between fetches: output that is not taken for as long as
//! [`SESSION`] costs the membership, and the next heartbeat joins again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use wire::stored::consumer_protocol::{Subscription, subscription_bytes};
use wire::{ErrorCode, heartbeat, join_group, leave_group, offset_commit, sync_group};

use super::range::{Candidate, assign};
use super::reader::Cursor;
use crate::cli::cluster::{Cluster, Place, refused};
use crate::cli::group::parts::{bytes_of, parts_of};
use crate::cli::group::view::committed;
use crate::load::client::{CALL_TIMEOUT, ClientError};

/// How long the group waits for a sign of life.
const SESSION: Duration = Duration::from_secs(30);

/// How often one is given.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long a join may take: as long as the slowest member may, five minutes in most clients.
const JOIN_PATIENCE: Duration = Duration::from_secs(330);

/// Before a coordinator that moves or loads is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the last commit is tried.
const LAST_COMMIT: Duration = Duration::from_secs(10);

/// The assignor that every client offers.
const ASSIGNOR: &str = "range";

const CONSUMER: &str = "consumer";

/// The member.
pub(super) struct Member {
    group: String,
    topic: String,
    coordinator: i32,
    /// Empty until the coordinator gives one.
    id: String,
    generation: i32,
    beat_at: Instant,
}

impl Member {
    /// Finds the coordinator; joins nothing yet.
    pub(super) fn new(cluster: &mut Cluster, group: &str, topic: &str) -> Result<Member, ClientError> {
        let coordinator = cluster.coordinator(group)?;
        let (group, topic) = (group.to_owned(), topic.to_owned());
        Ok(Member { group, topic, coordinator, id: String::new(), generation: -1, beat_at: Instant::now() })
    }

    /// Joins, as often as it takes until the group has agreed: the partitions that are ours. `None` if it is to stop
    /// before; a request that is under way waits for its answer.
    pub(super) fn join(
        &mut self,
        cluster: &mut Cluster,
        stop: &AtomicBool,
    ) -> anyhow::Result<Option<Vec<i32>>> {
        let deadline = Instant::now() + JOIN_PATIENCE;
        while !stop.load(Ordering::Relaxed) {
            let code = match self.try_join(cluster)? {
                Ok(parts) => {
                    self.beat_at = Instant::now();
                    return Ok(Some(parts));
                }
                Err(code) => code,
            };
            match code {
                ErrorCode::MemberIdRequired | ErrorCode::RebalanceInProgress => {}
                ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => self.id.clear(),
                code if code.is_retriable() && Instant::now() < deadline => {
                    sleep(PAUSE);
                    self.coordinator = cluster.coordinator(&self.group)?;
                }
                code => return Err(refused(format!("join group {}", self.group), code, None).into()),
            }
        }
        Ok(None)
    }

    /// One JoinGroup and one SyncGroup.
    fn try_join(&mut self, cluster: &mut Cluster) -> anyhow::Result<Result<Vec<i32>, ErrorCode>> {
        let metadata = subscription_bytes(&[&self.topic]);
        let millis = SESSION.as_millis() as i32;
        let request = join_group::Request {
            group_id: &self.group,
            session_timeout_ms: millis,
            rebalance_timeout_ms: millis,
            member_id: &self.id,
            protocol_type: CONSUMER,
            protocols: vec![join_group::Protocol { name: ASSIGNOR, metadata: &metadata }],
            ..join_group::Request::default()
        };
        let client = cluster.node(self.coordinator)?;
        client.set_patience(JOIN_PATIENCE)?;
        let answer: join_group::Response<'_> = client.call(&request)?;
        let (code, id) = (answer.error_code, answer.member_id.into_owned());
        let (generation, leads) = (answer.generation_id, answer.leader == id && !answer.skip_assignment);
        let candidate = |m: join_group::Member<'_>| {
            let wanted = Subscription::from_bytes(&m.metadata).context("another member's subscription")?;
            let topics = wanted.topics.into_iter().map(str::to_owned).collect();
            let instance = m.group_instance_id.map(std::borrow::Cow::into_owned);
            anyhow::Ok(Candidate { id: m.member_id.into_owned(), instance, topics })
        };
        let members: anyhow::Result<Vec<Candidate>> = answer.members.into_iter().map(candidate).collect();
        cluster.node(self.coordinator)?.set_patience(CALL_TIMEOUT)?;
        if !id.is_empty() {
            self.id = id;
        }
        if code.is_err() {
            return Ok(Err(code));
        }
        self.generation = generation;
        let given = if leads { self.give_out(cluster, &members?)? } else { Vec::new() };
        let assignments =
            given.iter().map(|(member_id, assignment)| sync_group::Assignment { member_id, assignment });
        let request = sync_group::Request {
            group_id: &self.group,
            generation_id: generation,
            member_id: &self.id,
            protocol_type: Some(CONSUMER),
            protocol_name: Some(ASSIGNOR),
            assignments: assignments.collect(),
            ..sync_group::Request::default()
        };
        let client = cluster.node(self.coordinator)?;
        // The leader may take its time.
        client.set_patience(JOIN_PATIENCE)?;
        let answer: sync_group::Response<'_> = client.call(&request)?;
        let code = answer.error_code;
        let parts = parts_of(&answer.assignment).context("our assignment");
        cluster.node(self.coordinator)?.set_patience(CALL_TIMEOUT)?;
        if code.is_err() {
            return Ok(Err(code));
        }
        Ok(Ok(parts?.remove(&self.topic).unwrap_or_default()))
    }

    /// As the leader: what each member gets.
    fn give_out(
        &self,
        cluster: &mut Cluster,
        members: &[Candidate],
    ) -> Result<Vec<(String, Vec<u8>)>, ClientError> {
        let names: BTreeSet<String> = members.iter().flat_map(|m| m.topics.iter().cloned()).collect();
        let names: Vec<String> = names.into_iter().collect();
        let topics = cluster.topics(Some(&names))?;
        let partitions = topics.into_iter().map(|t| (t.name, t.partitions.len() as i32)).collect();
        let parts = assign(members, &partitions);
        Ok(parts.into_iter().map(|(id, parts)| (id, bytes_of(&parts))).collect())
    }

    /// Gives a sign of life where one is due. False if the group gives partitions out anew.
    pub(super) fn is_in(&mut self, cluster: &mut Cluster) -> anyhow::Result<bool> {
        if self.beat_at.elapsed() < HEARTBEAT {
            return Ok(true);
        }
        let request = heartbeat::Request {
            group_id: &self.group,
            generation_id: self.generation,
            member_id: &self.id,
            ..heartbeat::Request::default()
        };
        let answer: heartbeat::Response = cluster.node(self.coordinator)?.call(&request)?;
        self.beat_at = Instant::now();
        self.stays(cluster, answer.error_code, "heartbeat to")
    }

    /// Commits how far the partitions were printed. False if the group gives them out anew.
    pub(super) fn commit(&mut self, cluster: &mut Cluster, cursors: &mut [Cursor]) -> anyhow::Result<bool> {
        let ahead = cursors.iter().filter(|c| c.next != c.committed).map(|c| offset_commit::Partition {
            partition_index: c.partition,
            committed_offset: c.next,
            ..offset_commit::Partition::default()
        });
        let partitions: Vec<_> = ahead.collect();
        if partitions.is_empty() {
            return Ok(true);
        }
        let topic = offset_commit::Topic { name: &self.topic, partitions, ..offset_commit::Topic::default() };
        let request = offset_commit::Request {
            group_id: &self.group,
            generation_id_or_member_epoch: self.generation,
            member_id: &self.id,
            topics: vec![topic],
            ..offset_commit::Request::default()
        };
        let client = cluster.node(self.coordinator)?;
        let answer: offset_commit::Response<'_> =
            client.call_up_to(offset_commit::NEWEST_BY_NAME, &request)?;
        let results = answer.topics.iter().flat_map(|t| &t.partitions);
        let code = results.map(|p| p.error_code).find(|code| code.is_err()).unwrap_or_default();
        if !code.is_err() {
            cursors.iter_mut().for_each(|c| c.committed = c.next);
        }
        self.stays(cluster, code, "commit for")
    }

    /// The last commit, tried again for a while.
    ///
    /// # Errors
    /// What was printed and is not committed: the group will see it again.
    pub(super) fn commit_at_last(
        &mut self,
        cluster: &mut Cluster,
        cursors: &mut [Cursor],
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + LAST_COMMIT;
        let printed = |cursors: &[Cursor]| cursors.iter().any(|c| c.next != c.committed);
        while self.commit(cluster, cursors)? && printed(cursors) && Instant::now() < deadline {}
        if printed(cursors) {
            bail!("group {} took no last commit: it will see some records again", self.group);
        }
        Ok(())
    }

    fn stays(&mut self, cluster: &mut Cluster, code: ErrorCode, what: &str) -> anyhow::Result<bool> {
        match code {
            ErrorCode::None => Ok(true),
            ErrorCode::RebalanceInProgress => Ok(false),
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                self.id.clear();
                Ok(false)
            }
            code if code.is_retriable() => {
                sleep(PAUSE);
                self.coordinator = cluster.coordinator(&self.group)?;
                Ok(true)
            }
            code => Err(refused(format!("{what} group {}", self.group), code, None).into()),
        }
    }

    /// What the group has committed.
    pub(super) fn committed(&self, cluster: &mut Cluster) -> Result<BTreeMap<Place, i64>, ClientError> {
        committed(cluster, self.coordinator, &self.group)
    }

    /// Leaves, so that the others need not wait for our session to end. If that fails, they do.
    pub(super) fn leave(&mut self, cluster: &mut Cluster) {
        if self.id.is_empty() {
            return;
        }
        let member = leave_group::Member { member_id: &self.id, ..leave_group::Member::default() };
        let request =
            leave_group::Request { group_id: &self.group, member_id: &self.id, members: vec![member] };
        let Ok(client) = cluster.node(self.coordinator) else { return };
        let _ = client.call::<_, leave_group::Response<'_>>(&request);
    }
}
