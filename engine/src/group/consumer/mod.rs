//! Groups of the new protocol (KIP-848): the coordinator assigns, members follow at their own pace.
//!
//! ```text
//!   group epoch ──▶ target assignment ──▶ members, one by one
//!   rises when members,   what each shall      what each has: gives up first, is granted what
//!   subscriptions or      have at that epoch   others have given up, then is in the epoch
//!   topics change
//! ```
//!
//! Everything is in one request, the heartbeat. It is planned against the group as it is and yields
//! changes; they become records, and are made when those are durable. A group makes one such step at
//! a time: what comes meanwhile waits in its line. A replayed record is the same change.
//!
//! | file | what |
//! |---|---|
//! | `state` | the group: members, targets, what each has |
//! | `change` | a change, and the record that it is |
//! | `heartbeat` | what a member asks, and what is refused |
//! | `draft` | a step: epoch, target, reconciliation |
//! | `reconcile` | how one member moves towards its target |
//! | `classic` | members of the classic protocol, while a group migrates |
//! | `topics` | which topics are meant: by name and by pattern; their hash |
//! | `patterns` | which topics a pattern matches |
//! | `mend` | a group whose records contradict each other |
//! | `assign` | the assignors `uniform` and `range` |
//! | `sessions` | signs of life, and the time to give partitions up |
//!
//! Invariants: a partition is held (assigned, or still to be given up) by one member at a time; a
//! member's epoch never exceeds the target's, nor the target's the group's; a member has nothing to
//! give up unless it is in [`Phase::Revoking`].

mod assign;
mod change;
mod classic;
mod draft;
mod heartbeat;
mod mend;
mod patterns;
mod reconcile;
mod sessions;
mod state;
mod topics;

pub(super) use change::{Change, read};
pub(super) use classic::{CONSUMER, assignment_of, parts_of};
pub(super) use draft::{Place, Step};
pub(super) use heartbeat::check;
pub(super) use patterns::Patterns;
pub(super) use state::{ClassicFace, ConsumerGroup, Holding, Member, Parts};
