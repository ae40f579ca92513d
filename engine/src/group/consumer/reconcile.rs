//! How one member moves towards its target.
//!
//! | from | when | to | epoch |
//! |---|---|---|---|
//! | Stable, Waiting | something is to be given up | Revoking | as it was |
//! | Revoking | it still has what it shall give up, or did not say | Revoking | as it was |
//! | any | nothing to give up, others still hold something of its target | Waiting | the target's |
//! | any | nothing to give up, everything else is free | Stable | the target's |
//!
//! Giving up comes first and keeps the epoch; only then is the member in the target's epoch and gets
//! what is free of what it shall have.

use super::state::{Holding, Parts, Phase};
use crate::base::PartitionKey;

/// What a member shall have, and when.
pub(super) struct Target<'a> {
    /// The epoch of the target.
    pub(super) epoch: i32,
    /// The partitions.
    pub(super) parts: &'a Parts,
}

/// What the member has after it said what it owns; `None`: it did not say.
pub(super) fn next(
    holding: &Holding,
    target: &Target<'_>,
    owned: Option<&Parts>,
    is_held_by_others: impl Fn(&PartitionKey) -> bool,
) -> Holding {
    let may_own = |parts: &Parts| owned.is_none_or(|owned| !owned.is_disjoint(parts));
    match holding.phase {
        Phase::Stable if holding.epoch == target.epoch => return holding.clone(),
        Phase::Revoking if may_own(&holding.revoking) => return holding.clone(),
        Phase::Stable | Phase::Revoking | Phase::Waiting => {}
    }
    let (kept, revoking): (Parts, Parts) =
        holding.assigned.iter().partition(|key| target.parts.contains(*key));
    if !revoking.is_empty() && may_own(&revoking) {
        return Holding { phase: Phase::Revoking, assigned: kept, revoking, ..holding.clone() };
    }
    let mut assigned = kept;
    let mut waits = false;
    for key in target.parts {
        if assigned.contains(key) {
            continue;
        }
        if is_held_by_others(key) {
            waits = true;
        } else {
            assigned.insert(*key);
        }
    }
    Holding {
        epoch: target.epoch,
        previous: if holding.epoch == target.epoch { holding.previous } else { holding.epoch },
        phase: if waits { Phase::Waiting } else { Phase::Stable },
        assigned,
        revoking: Parts::new(),
    }
}
