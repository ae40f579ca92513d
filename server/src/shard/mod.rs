//! What one core owns, and how cores talk.
//!
//! | file | what |
//! |---|---|
//! | `core` | [`Core`]: one core's shard, counters, memory, and its way to the others |
//! | `post` | mail between cores, batched: one wake for whatever gathered meanwhile |
//! | `acks` | replies that wait for a group commit |
//! | `watch` | fetches that wait for a high watermark |
//! | `fetch_sessions` | what clients of this core asked for before (KIP-227) |
//! | `reads` | reads for a fetch, here or lent by another core |
//! | `view` | the nodes that clients of a listener see: brokers, or the cores of this one |
//! | `catalog` | the cluster's topics with their settings resolved |
//! | `groups` | the coordinators of this core's consumer groups |
//! | `group_log` | the records of such a coordinator, to the log and back |
//! | `lag` | how far groups are behind: commits here, held against the ends of logs everywhere |
//! | `control` | changes of the cluster: decided, made durable, told to every core, then answered |
//!
//! Invariants: a core's state is touched by its own thread only; mail to a core is handled in the order
//! in which it was sent, appends among it in that order too; a lent slice is kept until its release came
//! back; an acknowledgement leaves only after the ticket of its append is durable.

mod acks;
mod catalog;
mod control;
mod core;
mod fetch_sessions;
mod group_log;
mod groups;
mod lag;
mod post;
mod reads;
mod view;
mod watch;

pub use acks::{AppendSink, Then};
pub use catalog::{Catalog, TopicEntry};
pub use control::{Control, ControlError};
pub use core::{Apply, Core, Disk, Node, Parts};
pub use groups::{Groups, OFFSETS_TOPIC, Unready};
pub use lag::{CommitLag, GroupLag, LagTimes};
pub use post::{Append, Mail, Post, PostOffice};
pub use reads::{Peeked, Place, Read, ReadWant};
pub use view::{CoreDirect, NodeAddress, View};
pub use watch::Watch;
