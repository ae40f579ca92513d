//! The partitions of a seed: how each is set up, and what its clients send.

use engine::base::{CoreId, LeaderEpoch, PartitionKey, ProducerId, TopicId};
use engine::broker::HostedPartition;
use engine::config::{Cleanup, TopicSettings};
use engine::io::IO_BYTES_MAX;
use uuid::Uuid;

use crate::random::Random;

/// A record larger than any buffer.
pub(super) const BIG_BYTES: u32 = IO_BYTES_MAX as u32 + 20_000;

/// Segments of at least this many bytes get values that become extents.
const SEGMENT_BYTES_EXTENT: u32 = 64 * 1024;

const HOUR_MS: u64 = 3_600_000;

/// A partition and its clients.
#[derive(Clone, Debug)]
pub(super) struct TopicPlan {
    pub(super) hosted: HostedPartition,
    pub(super) producer: Option<ProducerId>,
    /// A record of [`BIG_BYTES`] comes now and then.
    pub(super) big: bool,
    /// Values that become extents come now and then.
    pub(super) extents: bool,
    /// Its records have so many keys, if it is compacted.
    pub(super) keys: Option<u64>,
}

impl TopicPlan {
    /// The `n`-th partition of a machine of so many cores; `large` ones have room for a record of
    /// [`BIG_BYTES`].
    pub(super) fn draw(n: u64, cores: u16, large: bool, random: &mut Random) -> TopicPlan {
        let segment_bytes =
            if large { 1024 * 1024 } else { [16 * 1024, SEGMENT_BYTES_EXTENT][random.index(2)] };
        let relaxed = random.within(0..5) == 0;
        let mut settings = TopicSettings {
            segment_bytes,
            retention_bytes: random.coin().then_some(2 * u64::from(segment_bytes)),
            retention_ms: random.coin().then_some(HOUR_MS),
            flush_messages: if relaxed { random.within(2..100) } else { 1 },
            index_interval_bytes: [512, 4096][random.index(2)],
            ..TopicSettings::default()
        };
        let keys = (!large && random.within(0..3) == 0).then(|| [3, 10, 50][random.index(3)]);
        if keys.is_some() {
            compact(&mut settings, random);
        }
        let key =
            PartitionKey { topic: TopicId(Uuid::from_u128(u128::from(n / 2) + 1)), index: (n % 2) as i32 };
        let core = CoreId(random.index(usize::from(cores)) as u16);
        let producer = (!relaxed && random.coin()).then_some(ProducerId(100 + n as i64));
        let big = n == 0 && settings.segment_bytes > BIG_BYTES && random.coin();
        let extents = settings.segment_bytes >= SEGMENT_BYTES_EXTENT && random.coin();
        let hosted = HostedPartition { key, core, leader_epoch: LeaderEpoch(0), settings };
        TopicPlan { hosted, producer, big, extents, keys }
    }

    /// It is not compacted.
    pub(super) fn leave_uncompacted(&mut self) {
        self.keys = None;
        self.hosted.settings.cleanup = Cleanup::Delete;
    }

    /// Where the commits of groups go: one partition, on the first core, compacted.
    pub(super) fn offsets(random: &mut Random) -> TopicPlan {
        let key = PartitionKey { topic: TopicId(Uuid::from_u128(999)), index: 0 };
        let mut settings = TopicSettings { retention_ms: None, ..TopicSettings::default() };
        compact(&mut settings, random);
        settings.cleanup = Cleanup::Compact;
        let hosted = HostedPartition { key, core: CoreId(0), leader_epoch: LeaderEpoch(0), settings };
        TopicPlan { hosted, producer: None, big: false, extents: false, keys: None }
    }
}

/// Makes a topic a compacted one, of segments so small that there is something to compact.
fn compact(settings: &mut TopicSettings, random: &mut Random) {
    let of = |random: &mut Random, times: &[u64]| times[random.index(times.len())];
    settings.cleanup = [Cleanup::Compact, Cleanup::Compact, Cleanup::CompactAndDelete][random.index(3)];
    settings.segment_bytes = [2, 4, 16][random.index(3)] * 1024;
    settings.retention_bytes = settings.retention_bytes.map(|_| 4 * u64::from(settings.segment_bytes));
    settings.min_cleanable_dirty_ppm = [0, 0, 500_000][random.index(3)];
    settings.delete_retention_ms = of(random, &[0, 20, 1_000, HOUR_MS]);
    settings.min_compaction_lag_ms = of(random, &[0, 0, 0, 50]);
    settings.max_compaction_lag_ms = of(random, &[u64::MAX, u64::MAX, u64::MAX, 1_000]);
}

/// Changes when what is old goes, and where records have keys whether they are compacted.
pub(super) fn alter(settings: &mut TopicSettings, has_keys: bool, random: &mut Random) {
    settings.retention_bytes = random.coin().then(|| random.within(1..4) * u64::from(settings.segment_bytes));
    settings.retention_ms = [None, Some(HOUR_MS), Some(2 * HOUR_MS)][random.index(3)];
    if has_keys {
        settings.cleanup = [Cleanup::Delete, Cleanup::Compact, Cleanup::CompactAndDelete][random.index(3)];
    }
}
