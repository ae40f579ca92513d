//! The answer to a fetch: all that was asked for, or within a session what changed.

use std::borrow::Cow;

use engine::base::Instant;
use engine::fetch::{Session, SessionError, TopicRef};
use uuid::Uuid;
use wire::fetch::{EpochEndOffset, PartitionData, Request, ResponseEnd, ResponseStart, ResponseWriter};
use wire::{ApiKey, ErrorCode, LeaderIdAndEpoch, NodeEndpoint, Records, ResponseHeader, Writer};

use super::errors;
use super::fetch_plan::{FetchScratch, Want};
use super::fetch_session::{self, Footing};
use super::served::Call;
use crate::runtime::{LeaseGuard, Reply, Stage, Timed, clock};
use crate::shard::NodeAddress;

/// Answers with what was read, in the stage that began then.
pub(super) fn give(
    call: &mut Call<'_>,
    request: &Request<'_>,
    footing: Footing,
    mut scratch: FetchScratch,
    lease: LeaseGuard,
    (reading, began): (Stage, Instant),
) {
    let (arrived, since) = (call.out.arrived(), clock::monotonic());
    let core = call.core;
    core.clocks.took(reading, began, since);
    let version = call.version();
    let told = match footing {
        Footing::Alone => Ok(0),
        Footing::Opens => Ok(fetch_session::open(core, since, version, request, &scratch.wants)),
        Footing::GoesOn { id, epoch } => {
            fetch_session::tell(core, id, epoch, &mut scratch.wants).map(|()| id)
        }
    };
    let session_id = match told {
        Ok(id) => id,
        Err(error) => return refuse(call, scratch, &error),
    };
    show_leaders(call, version, &mut scratch.wants);
    let FetchScratch { wants, pieces } = &scratch;
    let shape = Shape { version, isolation: request.isolation_level };
    let end = ResponseEnd { node_endpoints: leaders(call, version, wants) };
    let mut writer: Writer = call.out.buffers().writer();
    let frame = writer.begin_frame();
    ResponseHeader { correlation_id: call.header.correlation_id }.encode(ApiKey::Fetch, version, &mut writer);
    let start = ResponseStart { session_id, ..ResponseStart::default() };
    match footing {
        Footing::GoesOn { id, epoch } => {
            let mut sessions = core.fetch_sessions.borrow_mut();
            let session = sessions.answering(id, epoch).expect("it was there a moment ago");
            changed(session, wants, shape, &start, &end, &mut writer);
        }
        Footing::Alone | Footing::Opens => all(request, wants, shape, &start, &end, &mut writer),
    }
    writer.end_frame(frame);
    let reply = if writer.splices().is_empty() {
        Reply::new(writer)
    } else {
        core.counters.fetch_bytes.add(wants.iter().map(|w| w.bytes as u64).sum());
        // Splices were written in the order of the partitions that have records.
        let mut filled = wants.iter().filter(|w| w.bytes > 0);
        Reply::with_records(call.out.buffers(), writer, lease, |_| {
            let want = filled.next().expect("one for each splice");
            pieces[want.pieces.clone()].iter()
        })
    };
    let timed = Timed { last: Stage::FetchSend, total: Stage::FetchTotal, arrived, since };
    call.out.reply(reply.timed(timed));
    keep(call, scratch);
}

/// How an answer is written.
#[derive(Clone, Copy)]
struct Shape {
    version: i16,
    /// 1: committed records only.
    isolation: i8,
}

/// Whether a client of this version takes hints on where the leader is (KIP-951).
fn hints(version: i16) -> bool {
    version >= 16
}

/// Gives the leaders of misdirected partitions the ids that they have for the client.
fn show_leaders(call: &Call<'_>, version: i16, wants: &mut [Want]) {
    if hints(version) {
        let (view, this) = (call.view(), call.core.node.id.0);
        let ours = |w: &&mut Want| w.is_misdirected() && w.leader.leader_id == this;
        wants.iter_mut().filter(ours).for_each(|w| w.leader.leader_id = view.core(w.core));
    }
}

/// Where those leaders are that misdirected partitions name.
fn leaders(call: &Call<'_>, version: i16, wants: &[Want]) -> Vec<NodeEndpoint<'static>> {
    if !hints(version) || !wants.iter().any(Want::is_misdirected) {
        return Vec::new();
    }
    let catalog = call.core.catalog();
    let nodes = call.view().nodes(catalog.image());
    let named = |id| wants.iter().any(|w| w.is_misdirected() && w.leader.leader_id == id);
    let endpoint = |b: NodeAddress| NodeEndpoint {
        node_id: b.id,
        host: Cow::Owned(b.host),
        port: b.port.into(),
        rack: b.rack.map(Cow::Owned),
    };
    nodes.into_iter().filter(|b| named(b.id)).map(endpoint).collect()
}

/// Answers a request that does not fit its session.
pub(super) fn refuse(call: &mut Call<'_>, scratch: FetchScratch, error: &SessionError) {
    let (version, arrived, since) = (call.version(), call.out.arrived(), clock::monotonic());
    let mut writer: Writer = call.out.buffers().writer();
    let frame = writer.begin_frame();
    ResponseHeader { correlation_id: call.header.correlation_id }.encode(ApiKey::Fetch, version, &mut writer);
    let start = ResponseStart { error_code: errors::of_session(error), ..ResponseStart::default() };
    ResponseWriter::new(version, &start, 0, &mut writer).finish(&ResponseEnd::default());
    writer.end_frame(frame);
    let timed = Timed { last: Stage::FetchSend, total: Stage::FetchTotal, arrived, since };
    call.out.reply(Reply::new(writer).timed(timed));
    keep(call, scratch);
}

/// Gives the connection its memory back.
fn keep(call: &mut Call<'_>, mut scratch: FetchScratch) {
    scratch.clear();
    call.session.fetch = scratch;
}

/// Every partition of the request.
fn all(
    request: &Request<'_>,
    wants: &[Want],
    shape: Shape,
    start: &ResponseStart,
    end: &ResponseEnd<'_>,
    writer: &mut Writer,
) {
    // A request that closed its session by forgetting its last partition asks for nothing any more.
    let topics = if wants.is_empty() { 0 } else { request.topics.len() };
    let mut body = ResponseWriter::new(shape.version, start, topics, writer);
    let mut rest = wants.iter();
    for topic in request.topics.iter().take(topics) {
        body.topic(topic.topic, topic.topic_id, topic.partitions.len());
        for _ in 0..topic.partitions.len() {
            let want = rest.next().expect("one for each partition of the request");
            body.partition(&partition(want, shape));
        }
    }
    body.finish(end);
}

/// The partitions that the client does not know all about, in the session's order. Neighbours of one
/// topic share its entry.
fn changed(
    session: &Session,
    wants: &[Want],
    shape: Shape,
    start: &ResponseStart,
    end: &ResponseEnd<'_>,
    writer: &mut Writer,
) {
    let told = || wants.iter().filter(|w| w.told);
    let mut rows = 0;
    let mut last = None;
    for want in told() {
        rows += usize::from(last != Some(want.topic));
        last = Some(want.topic);
    }
    let mut body = ResponseWriter::new(shape.version, start, rows, writer);
    let mut rest = told().peekable();
    while let Some(first) = rest.peek() {
        let topic = first.topic;
        let row = rest.clone().take_while(|w| w.topic == topic).count();
        match session.topic(topic) {
            TopicRef::Name(name) => body.topic(name, Uuid::nil(), row),
            TopicRef::Id(id) => body.topic("", id.0, row),
        }
        rest.by_ref().take(row).for_each(|want| body.partition(&partition(want, shape)));
    }
    body.finish(end);
}

fn partition(want: &Want, shape: Shape) -> PartitionData<'static> {
    let aborted = if shape.isolation == 1 { Some(Vec::new()) } else { None };
    let Some(bounds) = want.bounds.filter(|_| want.error.is_none()) else {
        return PartitionData {
            partition_index: want.key.index,
            error_code: want.error.unwrap_or(ErrorCode::KafkaStorageError),
            high_watermark: -1,
            aborted_transactions: None,
            current_leader: if hints(shape.version) && want.is_misdirected() {
                want.leader.clone()
            } else {
                LeaderIdAndEpoch::default()
            },
            ..PartitionData::default()
        };
    };
    let diverging = want.diverging.map(|end| EpochEndOffset { epoch: end.epoch.0, end_offset: end.end.0 });
    PartitionData {
        partition_index: want.key.index,
        high_watermark: bounds.high_watermark.0,
        last_stable_offset: bounds.last_stable.0,
        log_start_offset: bounds.log_start.0,
        aborted_transactions: aborted,
        diverging_epoch: diverging.unwrap_or_default(),
        records: if want.bytes > 0 { Records::Splice { bytes: want.bytes } } else { Records::default() },
        ..PartitionData::default()
    }
}
