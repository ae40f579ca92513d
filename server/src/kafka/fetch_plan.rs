//! What one Fetch asks for, and what was found of it.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{Bounds, FetchError};
use engine::fetch::{Asked, Session, TopicRef};
use engine::log::EpochEnd;
use smallvec::SmallVec;
use wire::fetch::{Partition, Request};
use wire::{ErrorCode, LeaderIdAndEpoch};

use super::errors;
use crate::limits::FETCH_KEPT_MAX;
use crate::runtime::Piece;
use crate::shard::{Catalog, Core, Peeked, Place, Read, ReadWant, TopicEntry, Watch};

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
    last_epoch: LeaderEpoch,
    pub(super) bytes_max: usize,
    /// Why it is not served; then nothing else counts.
    pub(super) error: Option<ErrorCode>,
    /// Who leads it, for a client whose idea of that is another.
    pub(super) leader: LeaderIdAndEpoch,
    pub(super) bounds: Option<Bounds>,
    /// Where the reader's log leaves ours; then it gets no records.
    pub(super) diverging: Option<EpochEnd>,
    /// Bytes that there would be, roughly.
    pub(super) available: u64,
    /// Its places in the list of pieces.
    pub(super) pieces: Range<usize>,
    pub(super) bytes: usize,
    /// Its place in the session that the request goes on with, and its topic's number there.
    pub(super) slot: u32,
    pub(super) topic: u32,
    /// Whether the answer within a session names it.
    pub(super) told: bool,
}

/// What a request asks of one partition.
pub(super) fn asked_of(partition: &Partition) -> Asked {
    Asked {
        partition: partition.partition,
        leader_epoch: partition.current_leader_epoch,
        offset: partition.fetch_offset,
        last_epoch: partition.last_fetched_epoch,
        bytes_max: partition.partition_max_bytes,
    }
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
            out.push(want(core, entry, by_id, &asked_of(&partition)));
        }
    }
}

/// Finds the partitions of a session, in its order.
pub(super) fn resolve_session(core: &Core, catalog: &Catalog, session: &Session, out: &mut Vec<Want>) {
    out.clear();
    // Partitions of one topic mostly stand together: its name is looked up once for a row of them.
    let mut last: Option<(TopicRef<'_>, Option<&Rc<TopicEntry>>)> = None;
    for (slot, topic, asked) in session.partitions() {
        let entry = match last {
            Some((before, entry)) if before == topic => entry,
            _ => match topic {
                TopicRef::Name(name) => catalog.topic(name),
                TopicRef::Id(id) => catalog.topic_by_id(id),
            },
        };
        last = Some((topic, entry));
        let want = want(core, entry, session.is_by_id(), asked);
        out.push(Want { slot, topic: session.topic_of(slot), ..want });
    }
}

fn want(core: &Core, entry: Option<&Rc<TopicEntry>>, by_id: bool, asked: &Asked) -> Want {
    let mut want = Want {
        core: core.id,
        key: PartitionKey { topic: entry.map_or(TopicId::ZERO, |e| e.topic.id), index: asked.partition },
        from: Offset(asked.offset),
        last_epoch: LeaderEpoch(asked.last_epoch),
        bytes_max: usize::try_from(asked.bytes_max).unwrap_or(0),
        error: None,
        leader: LeaderIdAndEpoch::default(),
        bounds: None,
        diverging: None,
        available: 0,
        pieces: 0..0,
        bytes: 0,
        slot: 0,
        topic: 0,
        told: true,
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
    want.leader = LeaderIdAndEpoch {
        leader_id: state.leader.map_or(-1, |node| node.0),
        leader_epoch: state.leader_epoch.0,
    };
    want.error = if state.leader != Some(core.node.id) {
        Some(ErrorCode::NotLeaderOrFollower)
    } else {
        check_epoch(asked.leader_epoch, state.leader_epoch.0)
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
                self.diverging = peeked.diverging;
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Whether the client must look for the leader (KIP-951).
    pub(super) fn is_misdirected(&self) -> bool {
        matches!(self.error, Some(ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch))
    }

    /// Whether the answer must not wait: there is an error, or the reader must go back.
    pub(super) fn is_urgent(&self) -> bool {
        self.error.is_some() || self.diverging.is_some()
    }

    fn place(&self) -> Place {
        Place { key: self.key, from: self.from, last_epoch: self.last_epoch }
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
        want.note(core.peek(want.place()));
    }
}

/// Looks at every partition.
pub(super) async fn peek(core: &Rc<Core>, wants: &mut [Want]) {
    peek_here(core, wants);
    for at in other_cores(core, wants) {
        let mut theirs: Vec<&mut Want> =
            wants.iter_mut().filter(|w| w.error.is_none() && w.core == at).collect();
        let asked = theirs.iter().map(|w| w.place()).collect();
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
