//! What one Fetch asks for, and what was found of it.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use engine::base::{CoreId, Offset, PartitionKey, TopicId};
use engine::broker::{Bounds, FetchError};
use smallvec::SmallVec;
use wire::ErrorCode;
use wire::fetch::{Partition, Request};

use super::errors;
use crate::limits::FETCH_KEPT_MAX;
use crate::runtime::Piece;
use crate::shard::{Catalog, Core, Peeked, Read, ReadWant, TopicEntry, Watch};

/// Memory that the fetches of one connection use again and again.
#[derive(Default)]
pub(super) struct FetchScratch {
    pub(super) wants: Vec<Want>,
    /// The record bytes of all of them.
    pub(super) pieces: Vec<Piece>,
}

impl FetchScratch {
    /// Forgets what the last fetch left, and memory beyond what is kept.
    pub(super) fn clear(&mut self) {
        self.wants.clear();
        self.pieces.clear();
        self.wants.shrink_to(FETCH_KEPT_MAX);
        self.pieces.shrink_to(FETCH_KEPT_MAX);
    }
}

/// One partition of a fetch.
pub(super) struct Want {
    pub(super) core: CoreId,
    pub(super) key: PartitionKey,
    pub(super) from: Offset,
    pub(super) bytes_max: usize,
    /// Why it is not served; then nothing else counts.
    pub(super) error: Option<ErrorCode>,
    pub(super) bounds: Option<Bounds>,
    /// Bytes that there would be, roughly.
    pub(super) available: u64,
    /// Its places in the list of pieces.
    pub(super) pieces: Range<usize>,
    pub(super) bytes: usize,
}

/// Finds the partitions of a request, in its order.
pub(super) fn resolve(
    core: &Core,
    catalog: &Catalog,
    version: i16,
    request: &Request<'_>,
    out: &mut Vec<Want>,
) {
    out.clear();
    for topic in &request.topics {
        let by_id = version >= 13;
        let entry =
            if by_id { catalog.topic_by_id(TopicId(topic.topic_id)) } else { catalog.topic(topic.topic) };
        for partition in &topic.partitions {
            out.push(want(core, entry, by_id, &partition));
        }
    }
}

fn want(core: &Core, entry: Option<&Rc<TopicEntry>>, by_id: bool, asked: &Partition) -> Want {
    let mut want = Want {
        core: core.id,
        key: PartitionKey { topic: entry.map_or(TopicId::ZERO, |e| e.topic.id), index: asked.partition },
        from: Offset(asked.fetch_offset),
        bytes_max: usize::try_from(asked.partition_max_bytes).unwrap_or(0),
        error: None,
        bounds: None,
        available: 0,
        pieces: 0..0,
        bytes: 0,
    };
    let Some(entry) = entry else {
        want.error = Some(if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition });
        return want;
    };
    let state = usize::try_from(asked.partition).ok().and_then(|i| entry.topic.partitions.get(i));
    let Some(state) = state else {
        want.error = Some(ErrorCode::UnknownTopicOrPartition);
        return want;
    };
    want.core = core.node.core_of(state);
    want.error = if state.leader != Some(core.node.id) {
        Some(ErrorCode::NotLeaderOrFollower)
    } else {
        check_epoch(asked.current_leader_epoch, state.leader_epoch.0)
    };
    want
}

/// What a client is told whose idea of the leader is not ours (KIP-320); −1 skips the check.
pub(super) fn check_epoch(theirs: i32, ours: i32) -> Option<ErrorCode> {
    match theirs {
        -1 => None,
        epoch if epoch < ours => Some(ErrorCode::FencedLeaderEpoch),
        epoch if epoch > ours => Some(ErrorCode::UnknownLeaderEpoch),
        _ => None,
    }
}

impl Want {
    fn note(&mut self, peeked: Peeked) {
        match peeked.bounds {
            Ok(bounds) => {
                self.bounds = Some(bounds);
                self.available = peeked.bytes;
            }
            Err(error) => self.fail(&error),
        }
    }

    pub(super) fn fail(&mut self, error: &FetchError) {
        self.error = Some(errors::of_fetch(error));
        self.available = 0;
    }

    /// Takes what was read for it; the bytes.
    pub(super) fn take(&mut self, read: Result<Read, FetchError>) -> usize {
        match read {
            Ok(read) => {
                self.bounds = Some(read.bounds);
                self.pieces = read.pieces;
                self.bytes = read.bytes;
            }
            Err(error) => self.fail(&error),
        }
        self.bytes
    }

    /// Whether there is anything to read for it.
    pub(super) fn is_readable(&self) -> bool {
        self.error.is_none() && self.available > 0
    }

    pub(super) fn read_want(&self, limit: usize) -> ReadWant {
        ReadWant { key: self.key, from: self.from, bytes_max: self.bytes_max.min(limit) }
    }
}

/// Other cores that a fetch needs, ascending, each once.
pub(super) fn other_cores(core: &Core, wants: &[Want]) -> SmallVec<[CoreId; 4]> {
    let mut cores: SmallVec<[CoreId; 4]> = SmallVec::new();
    for want in wants.iter().filter(|w| w.error.is_none() && w.core != core.id) {
        if let Err(at) = cores.binary_search(&want.core) {
            cores.insert(at, want.core);
        }
    }
    cores
}

/// Looks at the partitions of this core.
pub(super) fn peek_here(core: &Core, wants: &mut [Want]) {
    for want in wants.iter_mut().filter(|w| w.error.is_none() && w.core == core.id) {
        want.note(core.peek(want.key, want.from));
    }
}

/// Looks at every partition.
pub(super) async fn peek(core: &Rc<Core>, wants: &mut [Want]) {
    peek_here(core, wants);
    for at in other_cores(core, wants) {
        let mut theirs: Vec<&mut Want> =
            wants.iter_mut().filter(|w| w.error.is_none() && w.core == at).collect();
        let asked = theirs.iter().map(|w| (w.key, w.from)).collect();
        let peeked = core.peek_all(at, asked).await;
        theirs.iter_mut().zip(peeked).for_each(|(want, peeked)| want.note(peeked));
    }
}

/// Begins to watch the partitions of this core.
pub(super) fn watch(core: &Rc<Core>, wants: &[Want]) -> Watch {
    core.watch(wants.iter().filter(|w| w.core == core.id).map(|w| w.key))
}

/// Asks another core to say when one of its partitions advances, or `limit` has passed.
pub(super) async fn watch_there(
    core: Rc<Core>,
    at: CoreId,
    wants: Vec<(PartitionKey, Offset)>,
    limit: Duration,
) {
    core.call(at, move |there| async move {
        let watch = there.watch(wants.iter().map(|(key, _)| *key));
        let wait = watch.signal().wait();
        let ready = wants.iter().any(|&(key, from)| there.shard.bytes_from(key, from) > 0);
        if !ready && !there.is_stopping() {
            super::fetch::within(limit, wait).await;
        }
    })
    .await;
}
