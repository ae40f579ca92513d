//! Produce (0): check on this core, append where the partition lives, answer when it is durable.

use std::borrow::Cow;
use std::rc::Rc;

use bytes::Bytes;
use engine::base::{CoreId, Instant, Now, PartitionKey, TopicId};
use engine::broker::{AppendError, Appended, Ticket};
use engine::record::{BatchError, Patch, validate};
use uuid::Uuid;
use wire::produce::{BatchIndexAndErrorMessage, PartitionData, PartitionResponse, Request, ResponseWriter};
use wire::{ApiKey, ErrorCode, Message, Reader, RequestHeader, ResponseHeader};

use super::errors;
use super::produce_remote::{Remote, RemotePart};
use super::served::Refused;
use crate::runtime::{Outbox, Reply, Stage, Timed, clock};
use crate::shard::{Core, Then, TopicEntry};

/// Everything that the partitions of one request share.
struct Shared<'a> {
    core: &'a Rc<Core>,
    now: Now,
    version: i16,
    acks: i16,
}

/// What became of one partition's batch.
enum Outcome {
    Here { appended: Appended, append_time: i64 },
    Elsewhere { core: CoreId, key: PartitionKey, batch: Bytes, append_time: i64 },
    Refused { code: ErrorCode, error: Option<BatchError> },
}

impl Outcome {
    fn refused(code: ErrorCode) -> Outcome {
        Outcome::Refused { code, error: None }
    }
}

pub(super) async fn serve(
    core: &Rc<Core>,
    header: &RequestHeader<'_>,
    mut body: Reader<'_>,
    out: &Rc<Outbox>,
) -> Result<(), Refused> {
    let version = header.api_version;
    let request = Request::decode(version, &mut body)?;
    core.counters.produce_requests.add(1);
    let shared = Shared { core, now: clock::now(), version, acks: request.acks };
    let arrived = out.arrived();
    core.clocks.took(Stage::ProduceParse, arrived, shared.now.mono);
    let slot = (request.acks != 0).then(|| out.reserve());
    let catalog = core.catalog();

    let mut writer = out.buffers().writer();
    let frame = writer.begin_frame();
    ResponseHeader { correlation_id: header.correlation_id }.encode(ApiKey::Produce, version, &mut writer);
    let mut results = ResponseWriter::new(version, request.topic_data.len(), &mut writer);
    let mut ticket = None;
    let mut refused = 0;
    let mut remote = Remote::default();
    for topic in &request.topic_data {
        let entry = if version >= 13 {
            catalog.topic_by_id(TopicId(topic.topic_id))
        } else {
            catalog.topic(topic.name)
        };
        results.topic(topic.name, topic.topic_id, topic.partition_data.len());
        for partition in &topic.partition_data {
            let result = match shared.append(entry, topic.topic_id, &partition).await {
                Outcome::Here { appended, append_time } => {
                    ticket = ticket.max(Some(appended.ticket));
                    accepted(partition.index, &appended, append_time)
                }
                Outcome::Elsewhere { core: at, key, batch, append_time } => {
                    let part = RemotePart { position: results.position(), append_time };
                    remote.add(core, at, key, batch, part).await;
                    PartitionResponse { index: partition.index, ..PartitionResponse::default() }
                }
                Outcome::Refused { code, error } => {
                    refused += 1;
                    refusal(partition.index, code, error.as_ref())
                }
            };
            results.partition(&result);
        }
    }
    results.finish(&wire::produce::ResponseEnd::default());
    writer.end_frame(frame);
    core.counters.produce_errors.add(refused);
    let appended = clock::monotonic();
    core.clocks.took(Stage::ProduceAppend, shared.now.mono, appended);

    if !remote.is_empty() {
        remote.send(core, out, slot, version, writer, ticket, refused > 0);
        return Ok(());
    }
    let Some(slot) = slot else {
        out.buffers().give_writer(writer);
        return if refused == 0 { Ok(()) } else { Err(Refused::Silent) };
    };
    let reply = Reply::new(writer).timed(timed(arrived, appended));
    match ticket {
        Some(ticket) => core.when_durable(ticket, appended, Then::Reply(out.clone(), slot, reply)),
        None => out.complete(slot, reply),
    }
    Ok(())
}

/// The last stages of a Produce whose answer is ready at `since`.
pub(super) fn timed(arrived: Instant, since: Instant) -> Timed {
    Timed { last: Stage::ProduceAcknowledge, total: Stage::ProduceTotal, arrived, since }
}

impl Shared<'_> {
    async fn append(&self, entry: Option<&Rc<TopicEntry>>, id: Uuid, data: &PartitionData<'_>) -> Outcome {
        if !matches!(self.acks, -1..=1) {
            return Outcome::refused(ErrorCode::InvalidRequiredAcks);
        }
        let unknown =
            if self.version >= 13 { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        let Some(entry) = entry else { return Outcome::refused(unknown) };
        debug_assert!(self.version < 13 || entry.topic.id.0 == id, "the catalog gave another topic");
        if entry.internal {
            // What a coordinator replays is written by coordinators alone.
            return Outcome::refused(ErrorCode::InvalidTopicException);
        }
        let partition = usize::try_from(data.index).ok().and_then(|i| entry.topic.partitions.get(i));
        let Some(partition) = partition else {
            return Outcome::refused(ErrorCode::UnknownTopicOrPartition);
        };
        if partition.leader != Some(self.core.node.id) {
            return Outcome::refused(ErrorCode::NotLeaderOrFollower);
        }
        if self.acks == -1 && partition.isr.len() < usize::from(entry.settings.min_insync_replicas) {
            return Outcome::refused(ErrorCode::NotEnoughReplicas);
        }
        let batch = data.records.as_bytes().unwrap_or_default();
        let patch = match validate(batch, &entry.settings.limits(self.version, self.now.wall)) {
            Ok(summary) => summary.patch,
            Err(error) => {
                return Outcome::Refused { code: errors::of_batch(&error), error: Some(error) };
            }
        };
        let append_time = match patch {
            Some(Patch::AppendTime(at)) => at.0,
            _ => -1,
        };
        self.core.counters.produce_batches.add(1);
        self.core.counters.produce_bytes.add(batch.len() as u64);
        let key = PartitionKey { topic: entry.topic.id, index: data.index };
        let at = self.core.node.core_of(partition);
        let patched = patch.map(|patch| {
            let mut copy = batch.to_vec();
            patch.apply(&mut copy);
            copy
        });
        if at != self.core.id {
            let batch = patched.map_or_else(|| Bytes::copy_from_slice(batch), Bytes::from);
            return Outcome::Elsewhere { core: at, key, batch, append_time };
        }
        match self.append_here(key, patched.as_deref().unwrap_or(batch)).await {
            Ok(appended) => Outcome::Here { appended, append_time },
            Err(error) => Outcome::refused(errors::of_append(&error)),
        }
    }

    /// Appends on this core. Without room the connection waits here, so that its order stays.
    async fn append_here(&self, key: PartitionKey, batch: &[u8]) -> Result<Appended, AppendError> {
        loop {
            match self.core.shard.append(self.now, key, batch) {
                Err(AppendError::NoRoom) => {
                    self.core.counters.produce_waits.add(1);
                    self.core.shard.room().await;
                }
                other => return other,
            }
        }
    }
}

fn accepted(index: i32, appended: &Appended, append_time: i64) -> PartitionResponse<'static> {
    PartitionResponse {
        index,
        base_offset: appended.base_offset.0,
        log_append_time_ms: append_time,
        log_start_offset: appended.log_start.0,
        ..PartitionResponse::default()
    }
}

fn refusal(index: i32, code: ErrorCode, error: Option<&BatchError>) -> PartitionResponse<'static> {
    let record_errors = error.map(BatchError::records).unwrap_or_default();
    let message = |at: usize| match error {
        Some(BatchError::Keyless { .. }) => {
            Some(Cow::Borrowed("Compacted topic cannot accept message without key"))
        }
        Some(BatchError::Timestamps { records }) => {
            let timestamp = records.get(at)?.timestamp;
            Some(Cow::Owned(format!("timestamp {timestamp} is outside the topic's window")))
        }
        _ => None,
    };
    PartitionResponse {
        index,
        error_code: code,
        base_offset: -1,
        record_errors: record_errors
            .into_iter()
            .enumerate()
            .map(|(at, batch_index)| BatchIndexAndErrorMessage {
                batch_index,
                batch_index_error_message: message(at),
            })
            .collect(),
        error_message: error.map(|e| Cow::Owned(e.to_string())),
        ..PartitionResponse::default()
    }
}

/// A ticket in the line of this core; `None` when nothing was appended here.
pub(super) type LocalTicket = Option<Ticket>;
