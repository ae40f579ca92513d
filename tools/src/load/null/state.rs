//! Topics, and what is kept of them.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use engine::base::{LeaderEpoch, Offset};
use engine::record::BatchHeader;
use uuid::Uuid;

use super::KEEP_BYTES_MAX;

/// The most partitions of a topic.
const PARTITIONS_MAX: i32 = 100_000;

/// All that the broker knows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) address: SocketAddr,
    pub(super) topics: Vec<Topic>,
    pub(super) producers: i64,
    keep: bool,
    #[cfg(test)]
    pub(super) plant: Option<super::tests::Plant>,
    kept_bytes: u64,
    appended: u64,
}

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) id: Uuid,
    pub(super) partitions: Vec<Log>,
}

/// One partition.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// First offset that is still there.
    pub(super) start: i64,
    pub(super) end: i64,
    /// If batches are kept: they, in the order of offsets.
    pub(super) batches: VecDeque<Stored>,
}

/// A batch with its place.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) base: i64,
    pub(super) bytes: Bytes,
}

impl Stored {
    /// Copies a batch and gives it its base offset.
    pub(super) fn at(base: i64, batch: &[u8]) -> Stored {
        let mut bytes = batch.to_vec();
        BatchHeader::peek_mut(&mut bytes).expect("a header").stamp(Offset(base), LeaderEpoch(0));
        Stored { base, bytes: bytes.into() }
    }

    fn last(&self) -> i64 {
        BatchHeader::peek(&self.bytes).map_or(self.base, |header| header.last_offset().0)
    }
}

impl State {
    pub(super) fn new(address: SocketAddr, keep: bool) -> State {
        State {
            address,
            topics: Vec::new(),
            producers: 0,
            keep,
            #[cfg(test)]
            plant: None,
            kept_bytes: 0,
            appended: 0,
        }
    }

    /// Batches that have come so far.
    pub(super) fn appended(&self) -> u64 {
        self.appended
    }

    pub(super) fn has_topics(&self) -> bool {
        !self.topics.is_empty()
    }

    pub(super) fn create(&mut self, name: &str, partitions: i32) -> Uuid {
        let partitions = (0..partitions.clamp(1, PARTITIONS_MAX)).map(|_| Log::default()).collect();
        // Ids are never used again, or an old producer would write to a new topic.
        let id = Uuid::from_u128(u128::from(self.appended) << 64 | (self.topics.len() as u128 + 1));
        self.topics.push(Topic { name: name.to_string(), id, partitions });
        id
    }

    /// Drops the topics that `is_named` says, with what was kept of them.
    pub(super) fn delete(&mut self, is_named: impl Fn(&Topic) -> bool) {
        let kept = &mut self.kept_bytes;
        self.topics.retain(|topic| {
            let goes = is_named(topic);
            if goes {
                let batches = topic.partitions.iter().flat_map(|log| &log.batches);
                *kept -= batches.map(|batch| batch.bytes.len() as u64).sum::<u64>();
            }
            !goes
        });
    }

    /// Appends a batch to partition `index` of topic `at`; returns its base offset, `None` for a
    /// partition that is not there or bytes that are no batch.
    pub(super) fn append(&mut self, at: usize, index: i32, batch: &[u8]) -> Option<i64> {
        let log = self.topics[at].partitions.get_mut(usize::try_from(index).ok()?)?;
        let base = log.end;
        log.end += i64::from(BatchHeader::peek(batch)?.record_count());
        self.appended += 1;
        if self.keep {
            log.batches.push_back(Stored::at(base, batch));
            self.kept_bytes += batch.len() as u64;
            #[cfg(test)]
            if let Some(plant) = self.plant {
                plant.spoil(log);
            }
            while self.kept_bytes > KEEP_BYTES_MAX
                && let Some(oldest) = log.batches.pop_front()
            {
                self.kept_bytes -= oldest.bytes.len() as u64;
                log.start = log.batches.front().map_or(log.end, |batch| batch.base);
            }
        }
        Some(base)
    }
}

impl Log {
    /// Batches from `offset` on: the first whole, further ones up to `bytes_max` in all.
    pub(super) fn read(&self, offset: i64, bytes_max: usize) -> impl Iterator<Item = &Bytes> {
        let from = self.batches.partition_point(|batch| batch.last() < offset);
        let mut taken = 0;
        self.batches.range(from..).map(|batch| &batch.bytes).take_while(move |bytes| {
            let first = taken == 0;
            taken += bytes.len();
            first || taken <= bytes_max
        })
    }
}
