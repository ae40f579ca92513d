//! What clients ask of a group.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::base::PartitionKey;

/// A request to a coordinator. Texts are owned: a request may wait longer than its frame lives.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A member wants in.
    Join(JoinAsk),
    /// A member wants its assignment; the leader brings all of them.
    Sync(SyncAsk),
    /// A member is alive.
    Heartbeat(MemberRef),
    /// A member of the new protocol: everything in one.
    ConsumerHeartbeat(ConsumerHeartbeatAsk),
    /// Members leave.
    Leave {
        /// The group.
        group: String,
        /// Who leaves.
        members: Vec<Leaver>,
    },
    /// Offsets to keep.
    Commit(CommitAsk),
    /// Offsets to forget: all of a group, with the group (DeleteGroups).
    Delete {
        /// The group.
        group: String,
    },
    /// Offsets of partitions to forget (OffsetDelete).
    DeleteOffsets {
        /// The group.
        group: String,
        /// The partitions.
        partitions: Vec<(String, i32)>,
    },
}

impl Ask {
    /// The group that is asked.
    pub(super) fn group(&self) -> &str {
        match self {
            Ask::Join(ask) => &ask.who.group,
            Ask::Sync(ask) => &ask.who.group,
            Ask::Heartbeat(who) => &who.group,
            Ask::ConsumerHeartbeat(ask) => &ask.group,
            Ask::Commit(ask) => &ask.who.group,
            Ask::Leave { group, .. } | Ask::Delete { group } | Ask::DeleteOffsets { group, .. } => group,
        }
    }

    /// Bytes that it takes while it waits.
    pub(super) fn bytes(&self) -> usize {
        let text = |t: &Option<String>| t.as_ref().map_or(0, String::len);
        let more = match self {
            Ask::Join(ask) => ask.who.bytes() + ask.bytes(),
            Ask::Sync(ask) => {
                let part =
                    |(id, part): &(String, Bytes)| size_of::<(String, Bytes)>() + id.len() + part.len();
                ask.who.bytes()
                    + text(&ask.protocol_type)
                    + text(&ask.protocol)
                    + ask.assignments.iter().map(part).sum::<usize>()
            }
            Ask::Heartbeat(who) => who.bytes(),
            Ask::ConsumerHeartbeat(ask) => {
                let name = |name: &String| size_of::<String>() + name.len();
                let owned = ask.owned.as_ref().map_or(0, BTreeSet::len);
                let texts = [&ask.instance, &ask.rack, &ask.regex, &ask.assignor];
                ask.group.len()
                    + ask.member.len()
                    + ask.client_id.len()
                    + texts.into_iter().map(text).sum::<usize>()
                    + ask.names.iter().flatten().map(name).sum::<usize>()
                    + owned * size_of::<PartitionKey>()
            }
            Ask::Leave { group, members } => {
                let member = |l: &Leaver| size_of::<Leaver>() + l.member.len() + text(&l.instance);
                group.len() + members.iter().map(member).sum::<usize>()
            }
            Ask::Commit(ask) => {
                let offset = |o: &CommitOffset| size_of::<CommitOffset>() + o.topic.len() + o.metadata.len();
                ask.who.bytes() + ask.offsets.iter().map(offset).sum::<usize>()
            }
            Ask::Delete { group } => group.len(),
            Ask::DeleteOffsets { group, partitions } => {
                let place = |(topic, _): &(String, i32)| size_of::<(String, i32)>() + topic.len();
                group.len() + partitions.iter().map(place).sum::<usize>()
            }
        };
        size_of::<Ask>() + more
    }
}

impl MemberRef {
    fn bytes(&self) -> usize {
        self.group.len() + self.member.len() + self.instance.as_ref().map_or(0, String::len)
    }
}

impl JoinAsk {
    /// Bytes that it makes its member take.
    pub(super) fn bytes(&self) -> usize {
        let protocol = |p: &Protocol| size_of::<Protocol>() + p.name.len() + p.metadata.len();
        self.client_id.len() + self.client_host.len() + self.protocols.iter().map(protocol).sum::<usize>()
    }
}

/// A member as it names itself in a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemberRef {
    /// The group.
    pub group: String,
    /// The generation that it believes current; -1: outside of any.
    pub generation: i32,
    /// Its id.
    pub member: String,
    /// The static member that it is.
    pub instance: Option<String>,
}

/// A protocol (an assignor) that a member supports, and its subscription for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Protocol {
    /// The assignor's name.
    pub name: String,
    /// Opaque to us.
    pub metadata: Bytes,
}

/// JoinGroup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinAsk {
    /// Group, member id (empty: none yet) and instance; the generation is not used.
    pub who: MemberRef,
    /// An id that nobody has, from which the new member's is made.
    pub fresh_id: String,
    /// The client's id.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// How long it may be silent.
    pub session: Duration,
    /// How long it may take to join again.
    pub rebalance: Duration,
    /// `consumer` for consumers.
    pub protocol_type: String,
    /// Most wanted first.
    pub protocols: Vec<Protocol>,
    /// A dynamic member must come again under the id that it is given (KIP-394, version 4 on).
    pub known_id_required: bool,
    /// The client understands `skip_assignment` (KIP-814, version 9).
    pub may_skip_assignment: bool,
}

/// SyncGroup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncAsk {
    /// Who asks.
    pub who: MemberRef,
    /// What it believes the group's type to be (version 5 on).
    pub protocol_type: Option<String>,
    /// What it believes the group agreed on (version 5 on).
    pub protocol: Option<String>,
    /// From the leader: each member's part.
    pub assignments: Vec<(String, Bytes)>,
}

/// ConsumerGroupHeartbeat (KIP-848). What is `None` is as it was.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConsumerHeartbeatAsk {
    /// The group.
    pub group: String,
    /// The member.
    pub member: String,
    /// Its epoch: 0 joins, -1 leaves, -2 leaves for a while (static).
    pub epoch: i32,
    /// The static member that it is.
    pub instance: Option<String>,
    /// Its rack.
    pub rack: Option<String>,
    /// How long it may take to give partitions up.
    pub rebalance: Option<Duration>,
    /// Topics that it wants.
    pub names: Option<BTreeSet<String>>,
    /// Pattern of topics that it wants; an empty one ends the subscription by pattern.
    pub regex: Option<String>,
    /// The assignor that it wants.
    pub assignor: Option<String>,
    /// Partitions that it owns.
    pub owned: Option<BTreeSet<PartitionKey>>,
    /// The client's id.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
}

/// Somebody who leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaver {
    /// Its id, may be empty for a static one.
    pub member: String,
    /// The static member that it is.
    pub instance: Option<String>,
}

/// OffsetCommit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitAsk {
    /// Who commits; generation -1 and no member: from outside of the group. In a group of the new
    /// protocol the generation is the member's epoch.
    pub who: MemberRef,
    /// The client can be told STALE_MEMBER_EPOCH (version 9 on).
    pub knows_epochs: bool,
    /// The offsets.
    pub offsets: Vec<CommitOffset>,
}

/// An offset to keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record to read.
    pub offset: i64,
    /// Leader epoch of the last record read, -1 unknown.
    pub leader_epoch: i32,
    /// Text of the client.
    pub metadata: String,
}
