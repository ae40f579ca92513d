//! Consumer groups: who is in a group, who reads which partition, how far each has come.
//!
//! One [`Coordinator`] owns the groups of one partition of `__consumer_offsets`. It is told what
//! clients ask ([`Ask`]) and what time it is, and pushes [`Effect`]s: answers, and records that must
//! be durable first. What a record changes, changes only when the record is durable, or is replayed.
//!
//! ```text
//!                 a member joins            everybody has joined, or the time is over
//!   Empty ──────────────▶ PreparingRebalance ──────────────▶ CompletingRebalance
//!     ▲                    ▲        ▲                               │ the leader's assignment
//!     │ the last one left  │        │ a member joins, leaves, dies  ▼ is durable
//!     └────────────────────┘        └─────────────────────────── Stable
//! ```
//!
//! | file | what |
//! |---|---|
//! | `ask`, `answer` | what comes in and what goes out |
//! | `settings` | bounds of what is kept |
//! | `member`, `classic` | a member, a classic group and its states |
//! | `join`, `sync`, `leave` | the moves of the classic protocol (KIP-345, 394, 814) |
//! | `offsets` | committed offsets |
//! | `timers` | deadlines; a broker that stood still does not count that time |
//! | `stored` | the group as a record |
//! | `consumer` | groups of the new protocol (KIP-848) |
//! | `steps` | the coordinator's side of those: one step of a group at a time |
//! | `bridge`, `migrate` | the classic protocol in groups of the new one; a group changes its protocol |
//! | `end` | deletion and expiry of groups and offsets |
//! | `coordinator` | all groups of a partition: routing, replay, admin |
//!
//! Invariants: the generation rises once per completed rebalance; a member waits for at most one
//! join and one sync; only the leader is told the members; an answer to a commit leaves after its
//! record is durable; what is unknown here after a restart was never acknowledged.

mod answer;
mod ask;
mod bridge;
mod classic;
mod consumer;
mod coordinator;
mod end;
mod join;
mod leave;
mod member;
mod migrate;
mod offsets;
mod settings;
mod steps;
mod stored;
mod sync;
mod timers;

pub use answer::{
    Answer, Committed, ConsumerHeartbeatAnswer, Described, DescribedConsumer, DescribedConsumerGroup,
    DescribedMember, Effect, Fetched, GroupError, JoinAnswer, JoinedMember, LeaveAnswer, Listed,
    OffsetResult, Refusal, SyncAnswer,
};
pub use ask::{
    Ask, CommitAsk, CommitOffset, ConsumerHeartbeatAsk, JoinAsk, Leaver, MemberRef, Protocol, SyncAsk,
};
pub use classic::State;
pub use coordinator::{AppendId, Coordinator, Replayed, Token, partition_of};
