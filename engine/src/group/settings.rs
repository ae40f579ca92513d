//! Bounds of what groups may make a coordinator keep, and delays that are not settings.

use std::time::Duration;

/// How long a new member that has joined may wait for its first rebalance to end, as Kafka.
pub(super) const NEW_MEMBER_JOIN: Duration = Duration::from_secs(300);

/// Standing still for longer than this between two looks at the clock is a pause of the broker.
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// Longest group id, bytes: a record key holds it beside a topic name.
pub(super) const GROUP_ID_BYTES_MAX: usize = 32_767;

/// Longest id of a member that chose its own in the new protocol, bytes.
pub(super) const MEMBER_ID_BYTES_MAX: usize = 1024;

/// Longest text that a member of the classic protocol says of itself (ids, type, names of protocols),
/// bytes: a record holds 32,767 of each, and a new member's id is one of them with 37 more.
pub(super) const TEXT_BYTES_MAX: usize = 32_000;

/// Protocols (assignors) that a member of the classic protocol may have: all members' are held against
/// each other. A join with more is answered INCONSISTENT_GROUP_PROTOCOL.
pub(super) const PROTOCOLS_MAX: usize = 64;

/// Longest text beside a committed offset whatever `offset.metadata.max.bytes` says: what a record holds.
pub(super) const METADATA_BYTES_MAX: usize = 32_767;

/// Longest pattern that a member may subscribe with, bytes.
pub(super) const REGEX_PATTERN_BYTES_MAX: usize = 4096;

/// What the automaton of a simple pattern takes at most, bytes.
pub(super) const REGEX_SIMPLE_BYTES: usize = 4 << 10;

/// What the automaton of any pattern may take, bytes: some thousand characters of alternatives. Looking
/// at a name costs at most the product of this and the name's length.
pub(super) const REGEX_COMPILED_BYTES_MAX: usize = 32 << 10;

/// Work of looking for the topics of patterns that is done at a time: bytes of names × KiB of the
/// pattern's automaton. Names of 20 bytes against a simple pattern: 1,600 of them. What is left is done
/// with the next looks at the clock, so that no core stands still for a pattern.
pub(super) const REGEX_WORK_MAX: usize = 128 << 10;

/// The same for names that came or went, against all patterns at once. Beyond it all of them begin anew,
/// part by part.
pub(super) const REGEX_CHANGED_WORK_MAX: usize = 8 * REGEX_WORK_MAX;

/// Names of topics that one pattern may match, bytes: its record is to fit into one batch of Kafka's
/// default size. A pattern beyond it is answered INVALID_REGULAR_EXPRESSION.
pub(super) const REGEX_MATCHED_BYTES_MAX: usize = 900 << 10;

/// What one coordinator keeps of compiled patterns and the topics that they match, bytes. Beyond it the
/// ones that were not asked for longest are compiled again when they are.
pub(super) const PATTERNS_BYTES_MAX: usize = 32 << 20;

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

/// Bytes of tombstones that go into one append: those of all offsets of a group may be more than a batch
/// holds.
pub(super) const ENDS_BYTES: usize = 1 << 20;

/// Offsets that one group keeps at most; further partitions are answered COORDINATOR_NOT_AVAILABLE.
pub(super) const OFFSETS_PER_GROUP_MAX: usize = 200_000;

/// What members send (subscriptions and assignments), and what follows from it (parts, matched topics),
/// that one coordinator keeps, bytes. A join beyond it is answered GROUP_MAX_SIZE_REACHED.
pub(super) const MEMBER_BYTES_MAX: usize = 64 << 20;

/// The same for assignments of leaders, which come when their members are in already. One beyond it is
/// answered COORDINATOR_NOT_AVAILABLE.
pub(super) const ASSIGNED_BYTES_MAX: usize = 2 * MEMBER_BYTES_MAX;

/// Bytes of requests that wait for their turn at the groups of one coordinator; further ones are
/// answered COORDINATOR_NOT_AVAILABLE and come again.
pub(super) const WAITING_BYTES_MAX: usize = 32 << 20;
