//! What a coordinator answers, and what must happen first.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::classic::State;
use super::coordinator::{AppendId, Token};
use crate::base::PartitionKey;

/// What must happen now.
#[derive(Debug)]
pub enum Effect {
    /// Send this answer.
    Answer(Token, Answer),
    /// Append these records (key, value) as one batch, then say so with
    /// [`Coordinator::appended`](super::Coordinator::appended). Appends become durable in order.
    Append(AppendId, Vec<(Vec<u8>, Option<Vec<u8>>)>),
}

/// Why a group refuses: one for each of Kafka's error codes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "Kafka's own names")]
pub enum GroupError {
    InvalidGroupId,
    InvalidSessionTimeout,
    UnknownMemberId,
    MemberIdRequired,
    FencedInstanceId,
    IllegalGeneration,
    InconsistentGroupProtocol,
    RebalanceInProgress,
    GroupMaxSizeReached,
    CoordinatorNotAvailable,
    OffsetMetadataTooLarge,
    GroupIdNotFound,
    NonEmptyGroup,
    GroupSubscribedToTopic,
    InvalidRequest,
    FencedMemberEpoch,
    StaleMemberEpoch,
    UnreleasedInstanceId,
    UnsupportedAssignor,
    UnsupportedVersion,
    InvalidRegularExpression,
    /// The coordinator gave its groups up before it could answer.
    NotCoordinator,
    /// The record was too large for the topic.
    UnknownServerError,
}

/// An answer to an [`Ask`](super::Ask).
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// To a join.
    Join(Result<JoinAnswer, (GroupError, String)>),
    /// To a sync.
    Sync(Result<SyncAnswer, GroupError>),
    /// To a heartbeat.
    Heartbeat(Result<(), GroupError>),
    /// To a heartbeat of the new protocol.
    ConsumerHeartbeat(Result<ConsumerHeartbeatAnswer, Refusal>),
    /// To a leave.
    Leave(Result<Vec<LeaveAnswer>, GroupError>),
    /// To a commit: a result for each offset, in its order.
    Commit(Vec<OffsetResult>),
    /// To the deletion of a group.
    Delete(Result<(), GroupError>),
    /// To the deletion of offsets: a result for each partition, in its order.
    DeleteOffsets(Result<Vec<OffsetResult>, GroupError>),
}

impl Answer {
    /// The same answer after what it rests on could not be made durable.
    pub(super) fn failed(self, error: GroupError) -> Answer {
        match self {
            Answer::Join(Ok(joined)) => Answer::Join(Err((error, joined.member))),
            Answer::Join(Err((_, member))) => Answer::Join(Err((error, member))),
            Answer::Sync(_) => Answer::Sync(Err(error)),
            Answer::Heartbeat(_) => Answer::Heartbeat(Err(error)),
            Answer::ConsumerHeartbeat(_) => {
                Answer::ConsumerHeartbeat(Err(Refusal::new(error, String::new())))
            }
            Answer::Leave(_) => Answer::Leave(Err(error)),
            Answer::Commit(results) => Answer::Commit(vec![Err(error); results.len()]),
            Answer::Delete(_) => Answer::Delete(Err(error)),
            Answer::DeleteOffsets(_) => Answer::DeleteOffsets(Err(error)),
        }
    }
}

/// Why a group of the new protocol refuses, with a text for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The error.
    pub error: GroupError,
    /// The text, may be empty.
    pub text: String,
}

impl Refusal {
    /// One with this text.
    #[must_use]
    pub fn new(error: GroupError, text: String) -> Refusal {
        Refusal { error, text }
    }
}

/// A member of the new protocol is told where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerHeartbeatAnswer {
    /// Its id.
    pub member: String,
    /// Its epoch.
    pub epoch: i32,
    /// When it shall call again.
    pub interval: Duration,
    /// Everything that it is assigned, where that is news.
    pub assignment: Option<BTreeSet<PartitionKey>>,
}

/// What became of one partition's offset.
pub type OffsetResult = Result<(), GroupError>;

/// A member is in the new generation. With the error of a failed join goes the member id, which
/// MEMBER_ID_REQUIRED assigns.
#[derive(Clone, PartialEq, Debug)]
pub struct JoinAnswer {
    /// The generation.
    pub generation: i32,
    /// The group's type.
    pub protocol_type: String,
    /// The assignor agreed on.
    pub protocol: String,
    /// The leader's id.
    pub leader: String,
    /// The member's own id.
    pub member: String,
    /// The leader need not assign.
    pub skip_assignment: bool,
    /// For the leader: everybody.
    pub members: Vec<JoinedMember>,
}

/// A member, as the leader is told.
#[derive(Clone, PartialEq, Debug)]
pub struct JoinedMember {
    /// Its id.
    pub id: String,
    /// The static member that it is.
    pub instance: Option<String>,
    /// Its subscription.
    pub metadata: Bytes,
}

/// A member's part.
#[derive(Clone, PartialEq, Debug)]
pub struct SyncAnswer {
    /// The group's type.
    pub protocol_type: String,
    /// The assignor.
    pub protocol: String,
    /// Opaque to us.
    pub assignment: Bytes,
}

/// What became of somebody who left.
#[derive(Clone, PartialEq, Debug)]
pub struct LeaveAnswer {
    /// As asked.
    pub member: String,
    /// As asked.
    pub instance: Option<String>,
    /// Whether it left.
    pub result: Result<(), GroupError>,
}

/// A committed offset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The offset of the next record to read.
    pub offset: i64,
    /// Leader epoch of the last record read, -1 unknown.
    pub leader_epoch: i32,
    /// Text of the client.
    pub metadata: String,
    /// When, ms since the epoch.
    pub timestamp: i64,
}

/// Offsets of a partition that were asked for: none was committed where it is `None`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub committed: Option<Committed>,
}

/// A group in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its id.
    pub group: String,
    /// Its type, empty if nobody was ever in it.
    pub protocol_type: String,
    /// Its state, in Kafka's words.
    pub state: &'static str,
    /// `classic` or `consumer`.
    pub group_type: &'static str,
}

/// A group of the new protocol in full.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedConsumerGroup {
    /// Its id.
    pub group: String,
    /// Its state, in Kafka's words.
    pub state: &'static str,
    /// Its epoch.
    pub epoch: i32,
    /// The epoch that the target was made for.
    pub target_epoch: i32,
    /// The assignor's name.
    pub assignor: &'static str,
    /// Its members.
    pub members: Vec<DescribedConsumer>,
}

impl DescribedConsumerGroup {
    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let text = |t: &Option<String>| t.as_ref().map_or(0, String::len);
        let member = |m: &DescribedConsumer| {
            let names = m.names.iter().map(|n| size_of::<String>() + n.len()).sum::<usize>();
            let texts = m.id.len() + m.client_id.len() + m.client_host.len() + text(&m.regex);
            let parts = (m.assigned.len() + m.target.len()) * size_of::<PartitionKey>();
            size_of::<DescribedConsumer>() + names + texts + text(&m.instance) + text(&m.rack) + parts
        };
        size_of::<DescribedConsumerGroup>()
            + self.group.len()
            + self.members.iter().map(member).sum::<usize>()
    }
}

/// A member of a group of the new protocol in full.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedConsumer {
    /// Its id.
    pub id: String,
    /// The static member that it is.
    pub instance: Option<String>,
    /// Its rack.
    pub rack: Option<String>,
    /// Its epoch.
    pub epoch: i32,
    /// The client's id.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// Topics that it wants.
    pub names: BTreeSet<String>,
    /// Pattern of topics that it wants.
    pub regex: Option<String>,
    /// What it has.
    pub assigned: BTreeSet<PartitionKey>,
    /// What it shall have.
    pub target: BTreeSet<PartitionKey>,
    /// It speaks the classic protocol.
    pub is_classic: bool,
}

/// A group in full.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// Its id.
    pub group: String,
    /// Its type, empty if nobody was ever in it.
    pub protocol_type: String,
    /// Its state.
    pub state: State,
    /// The assignor, empty unless it is stable.
    pub protocol: String,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

impl Described {
    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let member = |m: &DescribedMember| {
            let instance = m.instance.as_ref().map_or(0, String::len);
            let texts = m.id.len() + instance + m.client_id.len() + m.client_host.len();
            size_of::<DescribedMember>() + texts + m.metadata.len() + m.assignment.len()
        };
        let texts = self.group.len() + self.protocol_type.len() + self.protocol.len();
        size_of::<Described>() + texts + self.members.iter().map(member).sum::<usize>()
    }
}

/// A member in full.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedMember {
    /// Its id.
    pub id: String,
    /// The static member that it is.
    pub instance: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// Its subscription under the agreed assignor; empty unless the group is stable.
    pub metadata: Bytes,
    /// Its part; empty unless the group is stable.
    pub assignment: Bytes,
}
