//! Reads for a fetch, here or lent by another core.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey};
use engine::broker::{Bounds, FetchError, Hot};
use engine::io::Slice;
use engine::log::EpochEnd;
use slab::Slab;
use store::Chunk;
use store::lend::{Lent, Loan};

use super::core::Core;
use super::post::Mail;
use crate::runtime::{LeaseGuard, Piece};

/// How long a fetch of another core waits for memory that others hold here. Not for ever: it holds memory of its
/// own core meanwhile, and two cores' fetches could wait for each other.
const LEND_WITHIN: Duration = Duration::from_secs(1);

/// A partition that a fetch asks for.
#[derive(Clone, Copy, Debug)]
pub struct ReadWant {
    /// Which.
    pub key: PartitionKey,
    /// From where.
    pub from: Offset,
    /// Most bytes of it.
    pub bytes_max: usize,
}

/// Where a reader stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// In which partition.
    pub key: PartitionKey,
    /// At which offset.
    pub from: Offset,
    /// Under which epoch the record before was written, as the reader has it; −1 unknown.
    pub last_epoch: LeaderEpoch,
}

/// What can be said of a partition without reading.
#[derive(Clone, Debug)]
pub struct Peeked {
    /// Its bounds, or why it cannot be read from there.
    pub bounds: Result<Bounds, FetchError>,
    /// Bytes that a reader would find, roughly.
    pub bytes: u64,
    /// Where the reader's log and this one part (KIP-320): there it must go back to.
    pub diverging: Option<EpochEnd>,
}

impl Peeked {
    fn new(bounds: Result<Bounds, FetchError>, bytes: u64) -> Peeked {
        Peeked { bounds, bytes, diverging: None }
    }
}

/// What was read of one partition.
pub struct Read {
    /// The bounds when the read began.
    pub bounds: Bounds,
    /// Where in the caller's list the record bytes are.
    pub pieces: Range<usize>,
    /// Their number.
    pub bytes: usize,
}

/// Slices that other cores hold: kept here until they are released.
#[derive(Default)]
pub struct Loans {
    open: RefCell<Slab<(Vec<Slice<Chunk>>, LeaseGuard)>>,
}

impl Loans {
    pub(super) fn release(&self, loan: usize) {
        self.open.borrow_mut().remove(loan);
    }

    /// Whether nothing is lent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }
}

/// What a read on another core brings back.
struct Borrowed {
    loan: Option<usize>,
    slices: Vec<Lent>,
    reads: Vec<Result<(Bounds, usize), FetchError>>,
}

impl Core {
    /// What a reader would find, on this core.
    pub fn peek(&self, place: Place) -> Peeked {
        let Place { key, from, last_epoch } = place;
        if last_epoch.0 >= 0
            && let Some(parted) = self.peek_epoch(place)
        {
            return parted;
        }
        match self.shard.bounds(key) {
            Err(error) => Peeked::new(Err(error), 0),
            Ok(bounds) if from == bounds.high_watermark => Peeked::new(Ok(bounds), 0),
            Ok(bounds) if from >= bounds.log_start && from < bounds.high_watermark => {
                Peeked::new(Ok(bounds), self.shard.bytes_from(key, from))
            }
            // Outside the visible part: the log knows whether it is outside the log.
            Ok(bounds) => {
                let read = self.shard.read_hot(key, from, 0, false, |_| {});
                Peeked::new(read.map(|_| bounds), 0)
            }
        }
    }

    /// Whether the reader's log is another than this one; `None` while they are the same.
    fn peek_epoch(&self, place: Place) -> Option<Peeked> {
        let look = || {
            let bounds = self.shard.bounds(place.key)?;
            Ok((bounds, self.shard.epoch_end(place.key, place.last_epoch)?))
        };
        match look() {
            Err(error) => Some(Peeked::new(Err(error), 0)),
            Ok((bounds, None)) => Some(Peeked::new(Err(FetchError::OutOfRange(bounds)), 0)),
            Ok((bounds, Some(end))) => {
                let parted = end.epoch < place.last_epoch || end.end < place.from;
                parted.then(|| Peeked { diverging: Some(end), ..Peeked::new(Ok(bounds), 0) })
            }
        }
    }

    /// Peeks at partitions of one core.
    pub async fn peek_all(self: &Rc<Self>, at: CoreId, places: Vec<Place>) -> Vec<Peeked> {
        self.call(at, move |core| async move { places.into_iter().map(|place| core.peek(place)).collect() })
            .await
    }

    /// Reads one partition of this core if it is in memory there: `None` where the disk must be asked.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub fn read_hot(
        &self,
        want: ReadWant,
        at_least_one: bool,
        pieces: &mut Vec<Piece>,
    ) -> Result<Option<Read>, FetchError> {
        let start = pieces.len();
        let give = |slice| pieces.push(Piece::Own(slice));
        match self.shard.read_hot(want.key, want.from, want.bytes_max, at_least_one, give)? {
            Hot::Served { bounds, bytes } => Ok(Some(Read { bounds, pieces: start..pieces.len(), bytes })),
            Hot::Cold(_) => Ok(None),
        }
    }

    /// Reads one partition of this core, from the disk if need be.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn read(
        &self,
        want: ReadWant,
        at_least_one: bool,
        pieces: &mut Vec<Piece>,
    ) -> Result<Read, FetchError> {
        let fetched = self.shard.read(want.key, want.from, want.bytes_max, at_least_one).await?;
        let start = pieces.len();
        pieces.extend(fetched.slices.into_iter().map(Piece::Own));
        Ok(Read { bounds: fetched.bounds, pieces: start..pieces.len(), bytes: fetched.bytes })
    }

    /// Reads partitions of another core, in order, `bytes_max` in all; the first that has anything
    /// gives at least one batch if so asked. The bytes stay there, lent. `cold` lets one partition be
    /// read from the disk; without it, or beyond the first, only what is in memory is read.
    pub async fn borrow(
        self: &Rc<Self>,
        at: CoreId,
        wants: Vec<ReadWant>,
        bytes_max: usize,
        at_least_one: bool,
        cold: bool,
        pieces: &mut Vec<Piece>,
    ) -> Vec<Result<Read, FetchError>> {
        let borrowed = self
            .call(at, move |core| async move { core.lend(wants, bytes_max, at_least_one, cold).await })
            .await;
        let lens: Vec<usize> = borrowed.slices.iter().map(Lent::len).collect();
        let loan = borrowed.loan.map(|id| {
            let core = self.clone();
            Rc::new(Loan::new(borrowed.slices, move || core.post.send(at, Mail::Release(id))))
        });
        let mut next = 0;
        let mut read = |(bounds, slices): (Bounds, usize)| {
            let range = next..next + slices;
            next += slices;
            let bytes = lens[range.clone()].iter().sum();
            let start = pieces.len();
            let piece = |index| Piece::Lent { loan: loan.clone().expect("slices are lent"), index };
            pieces.extend(range.map(piece));
            Read { bounds, pieces: start..pieces.len(), bytes }
        };
        borrowed.reads.into_iter().map(|r| r.map(&mut read)).collect()
    }

    /// How many bytes one answer of another core may hold of this core's memory; `None` if none came free in time.
    async fn lendable(&self) -> Option<usize> {
        if let Some(bytes) = self.leases.allowance() {
            return Some(bytes);
        }
        self.counters.fetch_lease_waits.add(1);
        glommio::timer::timeout(LEND_WITHIN, async { Ok(self.leases.allowance_in_turn().await) }).await.ok()
    }

    async fn lend(
        &self,
        wants: Vec<ReadWant>,
        bytes_max: usize,
        at_least_one: bool,
        mut cold: bool,
    ) -> Borrowed {
        let Some(allowed) = self.lendable().await else {
            // Nothing of it now: its client asks again.
            let nothing = |want: ReadWant| self.shard.bounds(want.key).map(|bounds| (bounds, 0));
            return Borrowed {
                loan: None,
                slices: Vec::new(),
                reads: wants.into_iter().map(nothing).collect(),
            };
        };
        let mut kept: Vec<Slice<Chunk>> = Vec::new();
        let mut reads = Vec::with_capacity(wants.len());
        let mut left = bytes_max.min(allowed);
        let mut lease = self.leases.charge(left);
        let mut first = at_least_one;
        for want in wants {
            if !self.shard.is_hot(want.key, want.from) && !std::mem::take(&mut cold) {
                reads.push(self.shard.bounds(want.key).map(|bounds| (bounds, 0)));
                continue;
            }
            let limit = want.bytes_max.min(left);
            match self.shard.read(want.key, want.from, limit, first).await {
                Ok(fetched) => {
                    first &= fetched.bytes == 0;
                    left = left.saturating_sub(fetched.bytes);
                    reads.push(Ok((fetched.bounds, fetched.slices.len())));
                    kept.extend(fetched.slices);
                }
                Err(error) => reads.push(Err(error)),
            }
        }
        let slices: Vec<Lent> = kept.iter().map(Lent::new).collect();
        let loan = (!kept.is_empty()).then(|| {
            self.counters.loans.add(1);
            lease.resize(kept.iter().map(|s| s.len()).sum());
            self.loans.open.borrow_mut().insert((kept, lease))
        });
        Borrowed { loan, slices, reads }
    }
}
