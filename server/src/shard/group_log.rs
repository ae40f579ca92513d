//! The log of a coordinator: its records in a partition of the offsets topic, and back.

use engine::base::PartitionKey;
use engine::broker::{AppendError, Load, Purpose, Ticket};
use engine::config::GroupSettings;
use engine::group::{Coordinator, GroupError, Replayed};
use engine::record::{BatchHeader, Records, payload};

use super::core::Core;
use crate::runtime::{begin_work, clock, fair};

/// Damaged groups that a line of the log names.
const DAMAGED_NAMED_MAX: usize = 8;

/// A batch of a coordinator inflates to at most this: ours are not compressed, Kafka's may be.
const INFLATED_BYTES_MAX: usize = 64 << 20;

/// Why records are not known to be in the log.
pub(super) enum NotAppended {
    /// They are not.
    Refused(GroupError),
    /// The core went offline behind them: they are tried until they are durable.
    InDoubt(Ticket),
}

/// Appends a coordinator's records and waits until they are durable.
///
/// # Errors
/// See [`NotAppended`].
pub(super) async fn append(core: &Core, key: PartitionKey, batch: &[u8]) -> Result<(), NotAppended> {
    if batch.len() > engine::config::BATCH_BYTES_MAX as usize {
        return Err(NotAppended::Refused(GroupError::UnknownServerError));
    }
    loop {
        match core.shard.append_for(Purpose::Commit, clock::now(), key, batch) {
            Ok(appended) => {
                let ticket = appended.ticket;
                return core.shard.until_durable(ticket).await.map_err(|_| NotAppended::InDoubt(ticket));
            }
            Err(AppendError::NoRoom) => core.shard.room().await,
            Err(AppendError::LargerThanSegment { .. } | AppendError::Producer(_)) => {
                return Err(NotAppended::Refused(GroupError::UnknownServerError));
            }
            Err(AppendError::Offline | AppendError::NoSpace | AppendError::UnknownPartition) => {
                return Err(NotAppended::Refused(GroupError::NotCoordinator));
            }
        }
    }
}

/// Replays a partition from its start to its end.
///
/// # Errors
/// What could not be read, in words.
pub(super) async fn load(
    core: &Core,
    key: PartitionKey,
    settings: GroupSettings,
) -> Result<Coordinator, String> {
    let mut coordinator = Coordinator::new(settings);
    let mut log = Load::new(key);
    while let Some(bytes) = log.next(&core.shard).await.map_err(|e| e.to_string())? {
        let mut rest = &bytes[..];
        while let Some(header) = BatchHeader::peek(rest) {
            let total = header.total_bytes().filter(|&n| n <= rest.len()).ok_or("a batch that is cut")?;
            replay(&mut coordinator, key, &rest[..total])?;
            rest = &rest[total..];
        }
        fair(begin_work()).await;
    }
    let damaged = coordinator.loaded(clock::now());
    if !damaged.is_empty() {
        let (count, first) = (damaged.len(), &damaged[..damaged.len().min(DAMAGED_NAMED_MAX)]);
        tracing::error!(partition = %key, count, ?first, "groups whose records contradict each other: \
            their members are to join again");
    }
    Ok(coordinator)
}

fn replay(coordinator: &mut Coordinator, partition: PartitionKey, batch: &[u8]) -> Result<(), String> {
    let header = BatchHeader::peek(batch).expect("peeked before");
    if header.attributes().is_control() {
        return Ok(());
    }
    let payload = payload(batch, INFLATED_BYTES_MAX).map_err(|e| e.to_string())?;
    for record in Records::of(header, &payload) {
        let record = record.map_err(|e| e.to_string())?;
        let Some(key) = record.key else { continue };
        match coordinator.replay(key, record.value) {
            Ok(Replayed::Applied) => {}
            Ok(Replayed::Unknown(version)) => {
                tracing::warn!(%partition, offset = record.offset.0, version, "a group record of a newer broker");
            }
            // One record that cannot be read must not cost every group of the partition.
            Err(error) => {
                tracing::error!(%partition, offset = record.offset.0, %error, "not a group record: skipped")
            }
        }
    }
    Ok(())
}
