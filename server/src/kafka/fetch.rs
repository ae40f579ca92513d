//! Fetch (1): whole batches in request order, the first one whatever its size; a long poll that ends
//! when a high watermark advances.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use engine::base::Signal;
use wire::fetch::{PartitionData, Request, ResponseEnd, ResponseStart, ResponseWriter};
use wire::{ApiKey, ErrorCode, Records, ResponseHeader, Writer};

use super::fetch_plan::{self, Want};
use super::served::{Call, Refused};
use crate::limits::{FETCH_KEPT_MAX, WATCHED_MAX};
use crate::runtime::{LeaseGuard, Reply, clock};
use crate::shard::Core;

/// The longest a fetch waits, whatever it asks for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How often the partitions are looked at that are too many to be watched.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    let core = call.core.clone();
    core.counters.fetch_requests.add(1);
    if request.replica_id >= 0 || request.replica_state.replica_id >= 0 {
        return Err(Refused::Replica);
    }
    let mut wants = std::mem::take(&mut call.session.fetch.wants);
    let in_session = request.session_id != 0;
    let mut lease = None;
    if in_session {
        // No session is ever opened, so there is none to go on with.
        wants.clear();
    } else {
        fetch_plan::resolve(&core, &core.catalog(), call.version(), &request, &mut wants);
        gather(&core, &request, &mut wants).await;
        lease = Some(read(&core, &request, &mut wants).await);
    }
    answer(&call, &request, in_session, &wants, lease);
    wants.clear();
    if wants.capacity() > FETCH_KEPT_MAX {
        wants = Vec::new();
    }
    call.session.fetch.wants = wants;
    Ok(())
}

/// Waits until there is enough to answer, or the time is up.
async fn gather(core: &Rc<Core>, request: &Request<'_>, wants: &mut [Want]) {
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
    let deadline = clock::now().mono.after(wait);
    let enough = u64::try_from(request.min_bytes.min(request.max_bytes)).unwrap_or(0);
    fetch_plan::peek(core, wants).await;
    let ready = |wants: &[Want]| {
        wants.is_empty()
            || wants.iter().any(|w| w.error.is_some())
            || wants.iter().map(|w| w.available.min(w.bytes_max as u64)).sum::<u64>() >= enough
    };
    if wait.is_zero() || ready(wants) {
        return;
    }
    core.counters.fetch_parked.add(1);
    let watch = fetch_plan::watch(core, wants);
    loop {
        let changed = watch.signal().wait();
        // What happened between the last look and the watch was told to nobody.
        fetch_plan::peek(core, wants).await;
        let now = clock::now().mono;
        if ready(wants) || core.is_stopping() || now >= deadline {
            return;
        }
        let all_watched = wants.len() <= WATCHED_MAX;
        let limit = if all_watched { deadline.since(now) } else { deadline.since(now).min(LOOK_EVERY) };
        let elsewhere = fetch_plan::other_cores(core, wants);
        if elsewhere.is_empty() {
            within(limit, changed).await;
            continue;
        }
        let told = Rc::new(Signal::new());
        let woken = told.wait();
        for at in elsewhere {
            let theirs = wants.iter().filter(|w| w.core == at).map(|w| (w.key, w.from)).collect();
            let there = fetch_plan::watch_there(core.clone(), at, theirs, limit);
            let told = told.clone();
            glommio::spawn_local(async move {
                there.await;
                told.notify();
            })
            .detach();
        }
        within(limit, either(changed, woken)).await;
    }
}

/// Reads what there is, within the budgets of the client, the broker and this core's memory.
async fn read(core: &Rc<Core>, request: &Request<'_>, wants: &mut [Want]) -> LeaseGuard {
    let allowed = loop {
        match core.leases.allowance() {
            Some(bytes) => break bytes,
            None => {
                core.counters.fetch_lease_waits.add(1);
                core.leases.freed().await;
            }
        }
    };
    let broker = core.catalog().broker().fetch_bytes_max as usize;
    let budget = usize::try_from(request.max_bytes).unwrap_or(0).min(broker).min(allowed);
    let mut lease = core.leases.charge(budget);
    let elsewhere = fetch_plan::other_cores(core, wants);
    let share = budget / (elsewhere.len() + 1);
    // The first partition in request order that has anything gives at least one batch.
    let first = wants.iter().position(|w| w.error.is_none() && w.available > 0);
    // Only one partition is read from the disk, on the core of the first: a fetch that held the
    // memory of one cold read while it waits for another could wait for ever. Clients rotate the
    // order of partitions, so each gets its turn.
    let cold_at = first.map(|i| wants[i].core);
    let mut cold_left = cold_at == Some(core.id);
    let mut left = budget;
    let mut here = 0;
    for at in elsewhere {
        let at_least_one = first.is_some_and(|i| wants[i].core == at);
        let mut theirs: Vec<&mut Want> =
            wants.iter_mut().filter(|w| w.error.is_none() && w.core == at && w.available > 0).collect();
        if theirs.is_empty() {
            continue;
        }
        let asked = theirs.iter().map(|w| w.read_want(share)).collect();
        let reads = core.borrow(at, asked, share, at_least_one, cold_at == Some(at)).await;
        for (want, read) in theirs.iter_mut().zip(reads) {
            match read {
                Ok(read) => {
                    want.bounds = Some(read.bounds);
                    want.pieces = read.pieces;
                    want.bytes = read.bytes;
                    left = left.saturating_sub(read.bytes);
                }
                Err(error) => want.fail(&error),
            }
        }
    }
    for (index, want) in wants.iter_mut().enumerate() {
        if want.error.is_some() || want.core != core.id || want.available == 0 {
            continue;
        }
        let at_least_one = first == Some(index);
        if left == 0 && !at_least_one {
            break;
        }
        let cold = !core.shard.is_hot(want.key, want.from);
        if cold && !std::mem::take(&mut cold_left) {
            continue;
        }
        match core.read(want.read_want(left), at_least_one).await {
            Ok(read) => {
                left = left.saturating_sub(read.bytes);
                here += read.bytes;
                want.bounds = Some(read.bounds);
                want.pieces = read.pieces;
                want.bytes = read.bytes;
            }
            Err(error) => want.fail(&error),
        }
    }
    lease.resize(here);
    lease
}

fn answer(
    call: &Call<'_>,
    request: &Request<'_>,
    in_session: bool,
    wants: &[Want],
    lease: Option<LeaseGuard>,
) {
    let mut writer: Writer = call.out.buffers().writer();
    let frame = writer.begin_frame();
    let version = call.version();
    ResponseHeader { correlation_id: call.header.correlation_id }.encode(ApiKey::Fetch, version, &mut writer);
    let error_code = if in_session { ErrorCode::FetchSessionIdNotFound } else { ErrorCode::None };
    let start = ResponseStart { error_code, ..ResponseStart::default() };
    let topics = if in_session { 0 } else { request.topics.len() };
    let mut body = ResponseWriter::new(version, &start, topics, &mut writer);
    let mut rest = wants.iter();
    for topic in request.topics.iter().take(topics) {
        body.topic(topic.topic, topic.topic_id, topic.partitions.len());
        for _ in 0..topic.partitions.len() {
            let want = rest.next().expect("one for each partition of the request");
            body.partition(&partition(want, request.isolation_level));
        }
    }
    body.finish(&ResponseEnd::default());
    writer.end_frame(frame);
    let reply = match lease {
        Some(lease) if !writer.splices().is_empty() => {
            let filled: smallvec::SmallVec<[&Want; 8]> = wants.iter().filter(|w| w.bytes > 0).collect();
            call.core.counters.fetch_bytes.add(filled.iter().map(|w| w.bytes as u64).sum());
            Reply::with_records(writer, lease, |index| filled[index].pieces.iter())
        }
        _ => Reply::new(writer),
    };
    call.out.reply(reply);
}

fn partition(want: &Want, isolation: i8) -> PartitionData<'static> {
    let aborted = if isolation == 1 { Some(Vec::new()) } else { None };
    let Some(bounds) = want.bounds.filter(|_| want.error.is_none()) else {
        return PartitionData {
            partition_index: want.key.index,
            error_code: want.error.unwrap_or(ErrorCode::KafkaStorageError),
            high_watermark: -1,
            aborted_transactions: None,
            ..PartitionData::default()
        };
    };
    PartitionData {
        partition_index: want.key.index,
        high_watermark: bounds.high_watermark.0,
        last_stable_offset: bounds.last_stable.0,
        log_start_offset: bounds.log_start.0,
        aborted_transactions: aborted,
        records: if want.bytes > 0 { Records::Splice { bytes: want.bytes } } else { Records::default() },
        ..PartitionData::default()
    }
}

/// Waits for `event`, but not longer than `limit`.
pub(super) async fn within(limit: Duration, event: impl Future<Output = ()>) {
    let mut event = pin!(event);
    let mut timer = pin!(glommio::timer::Timer::new(limit));
    std::future::poll_fn(|cx| {
        let done = event.as_mut().poll(cx).is_ready() || timer.as_mut().poll(cx).is_ready();
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Waits for the first of two events.
async fn either(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    std::future::poll_fn(|cx| {
        let done = a.as_mut().poll(cx).is_ready() || b.as_mut().poll(cx).is_ready();
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
