//! Bounds of what groups may make a coordinator keep, and delays that are not settings.

use std::time::Duration;

/// How long a new member that has joined may wait for its first rebalance to end, as Kafka.
pub(super) const NEW_MEMBER_JOIN: Duration = Duration::from_secs(300);

/// Standing still for longer than this between two looks at the clock is a pause of the broker.
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// Longest group id, bytes: a record key holds it beside a topic name.
pub(super) const GROUP_ID_BYTES_MAX: usize = 32_767;

/// Groups that one coordinator keeps at most; further ones are answered COORDINATOR_NOT_AVAILABLE.
pub(super) const GROUPS_MAX: usize = 100_000;

/// Timers of one coordinator from which on nobody new may join: they bound ids that are given away and
/// never used. The join is answered GROUP_MAX_SIZE_REACHED.
pub(super) const TIMERS_MAX: usize = 200_000;

/// Offsets that one group keeps at most; further partitions are answered COORDINATOR_NOT_AVAILABLE.
pub(super) const OFFSETS_PER_GROUP_MAX: usize = 200_000;

/// What members send (subscriptions and assignments) that one coordinator keeps at most, bytes.
/// A join beyond it is answered GROUP_MAX_SIZE_REACHED.
pub(super) const MEMBER_BYTES_MAX: usize = 64 << 20;
