//! The engine's refusals as Kafka's error codes.

use std::borrow::Cow;

use engine::broker::{AppendError, DeleteRecordsError, FetchError};
use engine::controller::{Refused, Why};
use engine::fetch::SessionError;
use engine::log::producers::ProducerError;
use engine::record::{BatchError, Blame};
use wire::ErrorCode;

use crate::shard::ControlError;

/// A refusal: Kafka's code, and a sentence for the client's user.
pub(super) type Fault = (ErrorCode, String);

/// What a producer is told about a batch that was not accepted.
pub(super) fn of_batch(error: &BatchError) -> ErrorCode {
    match error.blame() {
        Blame::Corrupt => ErrorCode::CorruptMessage,
        Blame::InvalidRecord => ErrorCode::InvalidRecord,
        Blame::TooLarge => ErrorCode::MessageTooLarge,
        Blame::LargerThanSegment => ErrorCode::RecordListTooLarge,
        Blame::UnsupportedCompression => ErrorCode::UnsupportedCompressionType,
        Blame::InvalidTimestamp => ErrorCode::InvalidTimestamp,
        Blame::Transactional => ErrorCode::InvalidTxnState,
    }
}

/// What a producer is told about an append that was not made.
pub(super) fn of_append(error: &AppendError) -> ErrorCode {
    match error {
        // The partition moved or went away while the request was on its way.
        AppendError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        AppendError::Offline | AppendError::NoSpace | AppendError::NoRoom => ErrorCode::KafkaStorageError,
        AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
        AppendError::Producer(error) => of_producer(error),
    }
}

fn of_producer(error: &ProducerError) -> ErrorCode {
    match error {
        ProducerError::OutOfOrder { .. } => ErrorCode::OutOfOrderSequenceNumber,
        ProducerError::InvalidEpoch { .. } => ErrorCode::InvalidProducerEpoch,
    }
}

/// What a consumer is told.
pub(super) fn of_fetch(error: &FetchError) -> ErrorCode {
    match error {
        FetchError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        FetchError::OutOfRange(_) => ErrorCode::OffsetOutOfRange,
        FetchError::Disk(_) => ErrorCode::KafkaStorageError,
        FetchError::Fenced(range) if !range.cause.is_lasting() => ErrorCode::KafkaStorageError,
        FetchError::Damaged(_) | FetchError::Fenced(_) => ErrorCode::CorruptMessage,
    }
}

/// What a client is told about records that were not deleted.
pub(super) fn of_delete_records(error: &DeleteRecordsError) -> ErrorCode {
    match error {
        DeleteRecordsError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        DeleteRecordsError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        DeleteRecordsError::Offline => ErrorCode::KafkaStorageError,
    }
}

/// What a client is told whose request does not fit its fetch session.
pub(super) fn of_session(error: &SessionError) -> ErrorCode {
    match error {
        SessionError::NotFound { .. } => ErrorCode::FetchSessionIdNotFound,
        SessionError::Epoch { .. } => ErrorCode::InvalidFetchSessionEpoch,
        SessionError::Form { .. } => ErrorCode::FetchSessionTopicIdError,
    }
}

/// What a client is told about a change that the controller refused.
pub(super) fn of_refusal(refused: &Refused) -> ErrorCode {
    match refused.why {
        Why::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        Why::UnknownTopicId => ErrorCode::UnknownTopicId,
        Why::InvalidTopic => ErrorCode::InvalidTopicException,
        Why::TopicAlreadyExists => ErrorCode::TopicAlreadyExists,
        Why::InvalidPartitions => ErrorCode::InvalidPartitions,
        Why::InvalidReplicationFactor => ErrorCode::InvalidReplicationFactor,
        Why::InvalidReplicaAssignment => ErrorCode::InvalidReplicaAssignment,
        Why::InvalidConfig => ErrorCode::InvalidConfig,
        Why::InvalidRequest => ErrorCode::InvalidRequest,
        Why::PolicyViolation => ErrorCode::PolicyViolation,
        Why::TopicDeletionDisabled => ErrorCode::TopicDeletionDisabled,
    }
}

/// What a client is told when the metadata log did not take a change.
pub(super) fn of_control(error: &ControlError) -> (ErrorCode, String) {
    tracing::error!(%error, "a change of the cluster was not made");
    (ErrorCode::KafkaStorageError, error.to_string())
}

/// An outcome as answers have it.
pub(super) fn told(outcome: Result<(), Fault>) -> (ErrorCode, Option<Cow<'static, str>>) {
    match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err((code, message)) => (code, Some(Cow::Owned(message))),
    }
}
