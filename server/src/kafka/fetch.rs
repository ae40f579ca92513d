//! Fetch (1): whole batches in request order, the first one whatever its size; a long poll that ends
//! when a high watermark advances.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use engine::base::{Instant, Signal};
use wire::fetch::Request;

use super::fetch_answer;
use super::fetch_plan::{self, FetchScratch, Want};
use super::fetch_session::{self, Footing};
use super::served::{Call, Refused};
use crate::limits::WATCHED_MAX;
use crate::runtime::{LeaseGuard, Stage, clock};
use crate::shard::Core;

/// The longest a fetch waits, whatever it asks for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How often the partitions are looked at that are too many to be watched.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A fetch that could not be answered at once.
pub(super) struct Begun<'a> {
    at: Instant,
    request: Request<'a>,
    footing: Footing,
    scratch: FetchScratch,
}

/// Answers, if all that is asked for is on this core and in memory: then nothing is allocated for it.
/// Anything else is for [`serve`].
pub(super) fn serve_now<'a>(call: &mut Call<'a>) -> Result<Option<Begun<'a>>, Refused> {
    let at = clock::monotonic();
    let request: Request<'a> = call.decode()?;
    let core = call.core;
    core.counters.fetch_requests.add(1);
    core.clocks.took(Stage::FetchParse, call.out.arrived(), at);
    if request.replica_id >= 0 || request.replica_state.replica_id >= 0 {
        return Err(Refused::Replica);
    }
    let mut scratch = std::mem::take(&mut call.session.fetch);
    let footing = match fetch_session::begin(core, at, call.version(), &request, &mut scratch.wants) {
        Ok(footing) => footing,
        Err(error) => {
            fetch_answer::refuse(call, scratch, &error);
            return Ok(None);
        }
    };
    match read_now(core, &request, &mut scratch) {
        Some(lease) => {
            fetch_answer::give(call, &request, footing, scratch, lease, (Stage::FetchReadHot, at));
            Ok(None)
        }
        None => Ok(Some(Begun { at, request, footing, scratch })),
    }
}

/// Answers as soon as there is enough, or the time is up.
pub(super) async fn serve(mut call: Call<'_>, begun: Begun<'_>) -> Result<(), Refused> {
    let Begun { at, request, footing, mut scratch } = begun;
    let core = call.core.clone();
    let waited = gather(&core, &request, &mut scratch.wants).await;
    let ready = clock::monotonic();
    if waited {
        core.clocks.took(Stage::FetchWait, at, ready);
    }
    let (lease, cold) = read(&core, &request, &mut scratch).await;
    let stage = if cold { Stage::FetchReadCold } else { Stage::FetchReadHot };
    fetch_answer::give(&mut call, &request, footing, scratch, lease, (stage, ready));
    Ok(())
}

/// The least that is waited for.
fn bytes_enough(request: &Request<'_>) -> u64 {
    u64::try_from(request.min_bytes.min(request.max_bytes)).unwrap_or(0)
}

fn bytes_available(wants: &[Want]) -> u64 {
    wants.iter().map(|w| w.available.min(w.bytes_max as u64)).sum()
}

/// Reads everything from this core's memory, or nothing: `None` where something must be waited for.
fn read_now(core: &Rc<Core>, request: &Request<'_>, scratch: &mut FetchScratch) -> Option<LeaseGuard> {
    let FetchScratch { wants, pieces } = scratch;
    if wants.iter().any(|w| w.core != core.id || w.error.is_some()) {
        return None;
    }
    fetch_plan::peek_here(core, wants);
    let cold = |w: &Want| w.error.is_some() || (w.available > 0 && !core.shard.is_hot(w.key, w.from));
    if bytes_available(wants) < bytes_enough(request).max(1) || wants.iter().any(cold) {
        return None;
    }
    let budget = budget(core, request, core.leases.allowance()?);
    let mut lease = core.leases.charge(budget);
    let mut left = budget;
    let mut first = true;
    for want in wants.iter_mut().filter(|w| w.is_readable()) {
        let read = match core.read_hot(want.read_want(left), first, pieces) {
            Ok(Some(read)) => Ok(read),
            Ok(None) => unreachable!("it was in memory a moment ago"),
            Err(error) => Err(error),
        };
        left = left.saturating_sub(want.take(read));
        first = false;
        if left == 0 {
            break;
        }
    }
    lease.resize(wants.iter().map(|w| w.bytes).sum());
    Some(lease)
}

/// What one answer may hold, within the budgets of the client, the broker and this core's memory.
fn budget(core: &Core, request: &Request<'_>, allowed: usize) -> usize {
    let broker = core.catalog().broker().fetch_bytes_max as usize;
    usize::try_from(request.max_bytes).unwrap_or(0).min(broker).min(allowed)
}

/// Waits until there is enough to answer, or the time is up; whether there was anything to wait for.
async fn gather(core: &Rc<Core>, request: &Request<'_>, wants: &mut [Want]) -> bool {
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
    let deadline = clock::now().mono.after(wait);
    let enough = bytes_enough(request);
    fetch_plan::peek(core, wants).await;
    let ready = |wants: &[Want]| {
        wants.is_empty() || wants.iter().any(Want::is_urgent) || bytes_available(wants) >= enough
    };
    if wait.is_zero() || ready(wants) {
        return false;
    }
    core.counters.fetch_parked.add(1);
    let watch = fetch_plan::watch(core, wants);
    loop {
        let changed = watch.signal().wait();
        // What happened between the last look and the watch was told to nobody.
        fetch_plan::peek(core, wants).await;
        let now = clock::now().mono;
        if ready(wants) || core.is_stopping() || now >= deadline {
            return true;
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

/// Reads what there is; whether any of it was on this core's disk.
async fn read(core: &Rc<Core>, request: &Request<'_>, scratch: &mut FetchScratch) -> (LeaseGuard, bool) {
    let FetchScratch { wants, pieces } = scratch;
    let allowed = match core.leases.allowance() {
        Some(bytes) => bytes,
        None => {
            core.counters.fetch_lease_waits.add(1);
            core.leases.allowance_in_turn().await
        }
    };
    let budget = budget(core, request, allowed);
    let mut lease = core.leases.charge(budget);
    let elsewhere = fetch_plan::other_cores(core, wants);
    let share = budget / (elsewhere.len() + 1);
    // The first partition in request order that has anything gives at least one batch.
    let first = wants.iter().position(Want::is_readable);
    // Only one partition is read from the disk, on the core of the first: a fetch that held the
    // memory of one cold read while it waits for another could wait for ever. Clients rotate the
    // order of partitions, so each gets its turn.
    let cold_at = first.map(|i| wants[i].core);
    let mut cold_left = cold_at == Some(core.id);
    let mut left = budget;
    let (mut here, mut any_cold) = (0, false);
    for at in elsewhere {
        let at_least_one = first.is_some_and(|i| wants[i].core == at);
        let mut theirs: Vec<&mut Want> =
            wants.iter_mut().filter(|w| w.core == at && w.is_readable()).collect();
        if theirs.is_empty() {
            continue;
        }
        let asked = theirs.iter().map(|w| w.read_want(share)).collect();
        let reads = core.borrow(at, asked, share, at_least_one, cold_at == Some(at), pieces).await;
        for (want, read) in theirs.iter_mut().zip(reads) {
            left = left.saturating_sub(want.take(read));
        }
    }
    for (index, want) in wants.iter_mut().enumerate() {
        if want.core != core.id || !want.is_readable() {
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
        any_cold |= cold;
        let taken = want.take(core.read(want.read_want(left), at_least_one, pieces).await);
        left = left.saturating_sub(taken);
        here += taken;
    }
    lease.resize(here);
    (lease, any_cold)
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
