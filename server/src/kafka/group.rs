//! What the group APIs share: who coordinates a group, and the coordinator's refusals as Kafka's codes.

use std::collections::BTreeSet;
use std::rc::Rc;

use engine::base::CoreId;
use engine::controller::{Context, CreateTopic};
use engine::group::{Answer, Ask, GroupError, partition_of};
use wire::ErrorCode;

use super::create_topics::create;
use crate::limits::GROUPS_ANSWER_BYTES_MAX;
use crate::shard::{Core, OFFSETS_TOPIC, Unready};

/// Where a group is coordinated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    /// The partition of the offsets topic.
    pub(super) partition: i32,
    /// The core that owns it.
    pub(super) core: CoreId,
}

/// What one answer has told of groups: each of them once, whatever was asked, and not without bounds.
#[derive(Debug, Default)]
pub(super) struct Told<'a> {
    names: BTreeSet<&'a str>,
    /// What the groups so far take.
    pub(super) bytes: usize,
}

impl<'a> Told<'a> {
    /// Whether a group was not asked for before.
    pub(super) fn is_new(&mut self, name: &'a str) -> bool {
        self.names.insert(name)
    }

    /// Whether no further group is told.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > GROUPS_ANSWER_BYTES_MAX
    }
}

/// The seat of a group, if the offsets topic exists.
pub(super) fn seat_of(core: &Core, group: &str) -> Result<Seat, Unready> {
    let catalog = core.catalog();
    let entry = catalog.topic(OFFSETS_TOPIC).ok_or(Unready::Unavailable)?;
    let partition = partition_of(group, entry.topic.partitions.len() as i32);
    let state = &entry.topic.partitions[partition as usize];
    Ok(Seat { partition, core: core.node.core_of(state) })
}

/// Asks a group's coordinator.
pub(super) async fn ask(core: &Rc<Core>, group: &str, ask: Ask) -> Result<Answer, ErrorCode> {
    // Offsets alone may be kept under the empty id, by consumers that are in no group.
    let of_member = matches!(ask, Ask::Join(_) | Ask::Sync(_) | Ask::Heartbeat(_) | Ask::Leave { .. });
    if group.is_empty() && of_member {
        return Err(ErrorCode::InvalidGroupId);
    }
    let Seat { partition, core: at } = seat_of(core, group).map_err(of_unready)?;
    let asked = core.call(at, move |core| async move { core.ask_group(partition, ask).await }).await;
    asked.map_err(of_unready)
}

/// Creates the offsets topic unless it exists, as Kafka does when a coordinator is first looked for.
/// It is compacted, so that nothing is deleted by age or size: what is committed stays until its group is gone.
pub(super) async fn create_offsets_topic(core: &Rc<Core>) -> Result<(), ErrorCode> {
    if core.catalog().topic(OFFSETS_TOPIC).is_some() {
        return Ok(());
    }
    let (partitions, segment_bytes, replication_factor) = {
        let catalog = core.catalog();
        let groups = &catalog.broker().groups;
        let context = Context { image: catalog.image(), settings: catalog.broker(), cores: core.node.cores };
        let replicas = context.internal_replication(groups.offsets_replication);
        (groups.offsets_partitions, groups.offsets_segment_bytes, replicas)
    };
    let config = |name: &str, value: String| (name.to_owned(), Some(value));
    let configs = vec![
        config("cleanup.policy", "compact".to_owned()),
        config("compression.type", "producer".to_owned()),
        config("segment.bytes", segment_bytes.to_string()),
    ];
    let topic =
        CreateTopic { partitions, replication_factor, configs, ..CreateTopic::with_defaults(OFFSETS_TOPIC) };
    match create(core, vec![topic], false).await {
        Ok(replies) => {
            for refused in replies.into_iter().filter_map(Result::err) {
                tracing::debug!(%refused, "the offsets topic was not created");
            }
        }
        Err(error) => tracing::error!(%error, "the offsets topic was not created"),
    }
    // Somebody else may have been first.
    if core.catalog().topic(OFFSETS_TOPIC).is_some() {
        Ok(())
    } else {
        Err(ErrorCode::CoordinatorNotAvailable)
    }
}

/// What a client is told when there is no coordinator to ask.
pub(super) fn of_unready(unready: Unready) -> ErrorCode {
    match unready {
        Unready::Loading => ErrorCode::CoordinatorLoadInProgress,
        Unready::Unavailable => ErrorCode::NotCoordinator,
    }
}

/// What a client is told when a group refuses.
pub(super) fn of_group(error: GroupError) -> ErrorCode {
    match error {
        GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupError::UnknownMemberId => ErrorCode::UnknownMemberId,
        GroupError::MemberIdRequired => ErrorCode::MemberIdRequired,
        GroupError::FencedInstanceId => ErrorCode::FencedInstanceId,
        GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupError::InconsistentGroupProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::GroupMaxSizeReached => ErrorCode::GroupMaxSizeReached,
        GroupError::CoordinatorNotAvailable => ErrorCode::CoordinatorNotAvailable,
        GroupError::OffsetMetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
        GroupError::GroupIdNotFound => ErrorCode::GroupIdNotFound,
        GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupError::GroupSubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        GroupError::InvalidRequest => ErrorCode::InvalidRequest,
        GroupError::FencedMemberEpoch => ErrorCode::FencedMemberEpoch,
        GroupError::StaleMemberEpoch => ErrorCode::StaleMemberEpoch,
        GroupError::UnreleasedInstanceId => ErrorCode::UnreleasedInstanceId,
        GroupError::UnsupportedAssignor => ErrorCode::UnsupportedAssignor,
        GroupError::UnsupportedVersion => ErrorCode::UnsupportedVersion,
        GroupError::InvalidRegularExpression => ErrorCode::InvalidRegularExpression,
        GroupError::NotCoordinator => ErrorCode::NotCoordinator,
        GroupError::UnknownServerError => ErrorCode::UnknownServerError,
    }
}

/// The code of a result.
pub(super) fn code(result: Result<(), GroupError>) -> ErrorCode {
    result.map_or_else(of_group, |()| ErrorCode::None)
}
