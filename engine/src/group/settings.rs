//! Bounds of what groups may make a coordinator keep, and delays that are not settings.

use std::time::Duration;

/// How long a new member that has joined may wait for its first rebalance to end, as Kafka.
pub(super) const NEW_MEMBER_JOIN: Duration = Duration::from_secs(300);

/// Standing still for longer than this between two looks at the clock is a pause of the broker.
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// Longest group id, bytes: a record key holds it beside a topic name.
pub(super) const GROUP_ID_BYTES_MAX: usize = 32_767;

/// Longest id of a member that chose its own, bytes.
pub(super) const MEMBER_ID_BYTES_MAX: usize = 1024;

/// Longest pattern that a member may subscribe with, bytes.
pub(super) const REGEX_PATTERN_BYTES_MAX: usize = 4096;

/// What a compiled pattern may take, bytes. Its time is linear in the length of a name.
pub(super) const REGEX_COMPILED_BYTES_MAX: usize = 1 << 20;

/// Different patterns that the members of one group may have.
pub(super) const REGEXES_PER_GROUP_MAX: usize = 64;

/// How long a group that has looked at the topics waits until it looks again, if they changed.
pub(super) const METADATA_REFRESH: Duration = Duration::from_secs(1);

/// When a member that cannot be taken out now, because the group is in the middle of a step, is
/// looked at again.
pub(super) const RETRY: Duration = Duration::from_millis(100);

/// Members that one step takes out at most.
pub(super) const EXPELLED_MAX: usize = 10_000;

/// Requests that wait for their turn at one group; further ones are answered
/// COORDINATOR_NOT_AVAILABLE and come again.
pub(super) const WAITING_PER_GROUP_MAX: usize = 20_000;

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
