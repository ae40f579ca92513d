use std::collections::BTreeMap;

use proptest::prelude::*;

use super::plan::{CleanLimits, Facts, cleanable, groups, is_due};
use super::{Aborted, OffsetMap};
use super::{Fill, Round, Survivors, Tally};
use crate::base::{LeaderEpoch, Now, Offset, ProducerEpoch, ProducerId, WallMs};
use crate::config::BATCH_BYTES_MAX;
use crate::log::ProducerTable;
use crate::log::fixture;
use crate::log::producers::ProducerEntry;
use crate::log::segments::{RollLimits, Segments};
use crate::record::{
    Attributes, BatchBuilder, BatchHeader, Codec, Records, crc_matches, payload, restamp, stamp_append_time,
};

const DAY: u64 = 86_400_000;
const NOW: i64 = 1_000_000;

type Written<'a> = (Option<&'a str>, Option<&'a str>);

/// A log as its batches, one after the other.
#[derive(Clone, Default)]
struct Log {
    batches: Vec<Vec<u8>>,
    end: i64,
}

impl Log {
    fn add(&mut self, codec: Codec, producer: Option<(i64, i16, i32)>, records: &[Written<'_>]) -> &mut Log {
        let mut builder = BatchBuilder::new(codec);
        if let Some((id, epoch, sequence)) = producer {
            builder.set_producer(ProducerId(id), ProducerEpoch(epoch), sequence);
        }
        self.push(builder, records)
    }

    fn transactional(&mut self, producer: i64, records: &[Written<'_>]) -> &mut Log {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.set_producer(ProducerId(producer), ProducerEpoch(0), 0);
        builder.set_transactional(true);
        self.push(builder, records)
    }

    fn push(&mut self, mut builder: BatchBuilder, records: &[Written<'_>]) -> &mut Log {
        for (i, (key, value)) in records.iter().enumerate() {
            let timestamp = 100 + self.end + i as i64;
            builder.push(timestamp, key.map(str::as_bytes), value.map(str::as_bytes), &[(b"h", None)]);
        }
        self.stamp(builder.finish(), records.len() as i64)
    }

    /// The marker that ends a producer's transaction.
    fn marker(&mut self, producer: i64, commit: bool) -> &mut Log {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.set_producer(ProducerId(producer), ProducerEpoch(0), -1);
        builder.set_transactional(true);
        builder.push(100 + self.end, Some(&[0, 0, 0, u8::from(commit)]), Some(&[0; 6]), &[]);
        let mut batch = builder.finish();
        batch[22] |= Attributes::CONTROL as u8;
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        self.stamp(batch, 1)
    }

    fn stamp(&mut self, mut batch: Vec<u8>, records: i64) -> &mut Log {
        let header = BatchHeader::peek_mut(&mut batch).expect("a batch");
        header.stamp(Offset(self.end), LeaderEpoch(3));
        self.end += records;
        self.batches.push(batch);
        self
    }

    fn header(&self, at: usize) -> &BatchHeader {
        BatchHeader::peek(&self.batches[at]).expect("a batch")
    }

    /// Every record: offset, timestamp, key, value; markers left out.
    fn records(&self) -> Vec<(i64, i64, Option<String>, Option<String>)> {
        let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
        let mut all = Vec::new();
        for batch in &self.batches {
            let header = BatchHeader::peek(batch).expect("a batch");
            if header.attributes().is_control() {
                continue;
            }
            let bytes = payload(batch, 1 << 20).expect("it inflates");
            for record in Records::of(header, &bytes) {
                let record = record.expect("it can be walked");
                assert_eq!(record.headers.count(), 1, "headers stay");
                all.push((record.offset.0, record.timestamp, text(record.key), text(record.value)));
            }
        }
        all
    }

    fn values(&self) -> Vec<(i64, Option<String>)> {
        self.records().into_iter().map(|(offset, _, _, value)| (offset, value)).collect()
    }

    fn producers(&self) -> ProducerTable {
        let mut table = ProducerTable::new();
        for batch in &self.batches {
            table.apply(BatchHeader::peek(batch).expect("a batch"));
        }
        table
    }
}

/// What a round is run with.
struct Run {
    from: i64,
    now: i64,
    map_bytes: u64,
    aborted: Vec<Aborted>,
    producers: ProducerTable,
}

impl Run {
    fn over(log: &Log) -> Run {
        Run { from: 0, now: NOW, map_bytes: 1 << 20, aborted: Vec::new(), producers: log.producers() }
    }

    fn clean(&self, log: &Log) -> (Log, Tally, Offset) {
        let map = OffsetMap::new(Offset(self.from), Offset(log.end), self.map_bytes, 900_000, 42);
        let mut fill = Fill::new(map, Offset(self.from), self.aborted.clone());
        if log.batches.iter().all(|batch| fill.visit(batch)) {
            fill.seen_to(Offset(log.end));
        }
        let round = Round::new(fill.finish(), &self.producers, WallMs(self.now), DAY);
        let mut survivors = Survivors::new(&round, self.aborted.clone());
        let mut cleaned = Log { batches: Vec::new(), end: log.end };
        for batch in &log.batches {
            let mut out = Vec::new();
            survivors.visit(batch, &mut out);
            if !out.is_empty() {
                assert!(crc_matches(&out), "what is written verifies");
                assert_eq!(BatchHeader::peek(&out).and_then(BatchHeader::total_bytes), Some(out.len()));
                cleaned.batches.push(out);
            }
        }
        (cleaned, survivors.tally(), round.end())
    }
}

fn clean(log: &Log) -> Log {
    Run::over(log).clean(log).0
}

#[test]
fn the_latest_value_of_each_key_stays_at_its_offset_with_its_time_in_every_codec() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut log = Log::default();
        log.add(codec, None, &[(Some("a"), Some("1")), (Some("b"), Some("1")), (Some("c"), Some("1"))]);
        log.add(codec, None, &[(Some("a"), Some("2")), (Some(""), Some("")), (Some("a"), Some("3"))]);
        let cleaned = clean(&log);
        let left: Vec<_> = log.records().into_iter().filter(|(at, ..)| ![0, 3].contains(at)).collect();
        assert_eq!(cleaned.records(), left, "{codec:?}");
        for (at, before) in log.batches.iter().enumerate() {
            let (before, after) = (BatchHeader::peek(before).unwrap(), cleaned.header(at));
            assert_eq!(before.base_offset(), after.base_offset());
            assert_eq!(before.last_offset(), after.last_offset(), "the last offset of a batch stays");
            assert_eq!((after.leader_epoch(), after.attributes()), (LeaderEpoch(3), before.attributes()));
            assert_eq!((after.record_count(), after.max_timestamp()), (2, before.max_timestamp()));
        }
        assert_eq!(cleaned.header(0).base_timestamp(), 101, "that of the first record left");
    }
}

#[test]
fn a_batch_that_would_outgrow_what_can_be_read_stays_whole() {
    let mut log = Log::default();
    let keys: Vec<String> = (0..250_000).map(|key| format!("{key:010}")).collect();
    let mut records: Vec<Written<'_>> = keys.iter().map(|key| (Some(key.as_str()), Some("v"))).collect();
    // One that is replaced, and a tombstone: with its horizon every timestamp takes a byte or two more.
    records.extend([(Some("a"), Some("1")), (Some("a"), Some("2")), (Some("b"), None)]);
    let bytes = log.clone().add(Codec::None, None, &records).batches[0].len();
    let padding = "p".repeat(BATCH_BYTES_MAX as usize - bytes - 1000);
    records.push((Some("c"), Some(&padding)));
    log.add(Codec::None, None, &records);
    let (cleaned, tally, _) = Run { map_bytes: 16 << 20, ..Run::over(&log) }.clean(&log);
    assert!(cleaned.batches == log.batches, "a batch of {bytes} bytes was changed");
    assert_eq!((tally.batches_changed, tally.records_dropped), (0, 0), "and nothing is said to have gone");
}

#[test]
fn a_batch_with_nothing_to_lose_stays_byte_for_byte() {
    let mut log = Log::default();
    log.add(Codec::Zstd, None, &[(Some("a"), Some("1")), (Some("b"), Some("1"))]);
    let (cleaned, tally, end) = Run::over(&log).clean(&log);
    assert_eq!(cleaned.batches, log.batches);
    assert_eq!((tally.batches_changed, tally.records_dropped, end), (0, 0, Offset(2)));
    assert_eq!(tally.bytes_in, tally.bytes_out);
}

#[test]
fn records_without_a_key_go() {
    let mut log = Log::default();
    log.add(Codec::None, None, &[(None, Some("lost")), (Some("a"), Some("1"))]);
    assert_eq!(clean(&log).values(), [(1, Some("1".to_owned()))]);
}

#[test]
fn a_tombstone_gets_its_time_when_it_is_first_met_and_goes_when_that_has_come() {
    for codec in [Codec::None, Codec::Lz4] {
        let mut log = Log::default();
        log.add(codec, None, &[(Some("a"), Some("1")), (Some("b"), Some("1")), (Some("a"), None)]);
        log.add(codec, None, &[(Some("z"), Some("1"))]);
        let first = clean(&log);
        let times = |log: &Log| log.records().iter().map(|r| (r.0, r.1)).collect::<Vec<_>>();
        assert_eq!(times(&first), [(1, 101), (2, 102), (3, 103)], "times are told as before");
        let header = first.header(0);
        assert_eq!(header.delete_horizon(), Some(NOW + DAY as i64));
        assert_eq!((header.max_timestamp(), header.base_timestamp()), (102, NOW + DAY as i64));
        assert_eq!(first.header(1).delete_horizon(), None, "only where a tombstone waits");

        let later = |now| Run { now, ..Run::over(&first) }.clean(&first);
        let (second, tally, _) = later(NOW + DAY as i64 - 1);
        assert_eq!((second.batches, tally.batches_changed), (first.batches.clone(), 0));
        let (third, ..) = later(NOW + DAY as i64);
        assert_eq!(third.values(), [(1, Some("1".to_owned())), (3, Some("1".to_owned()))]);
        assert_eq!(third.header(0).delete_horizon(), Some(NOW + DAY as i64), "records count from it");
        assert_eq!(times(&third), [(1, 101), (3, 103)]);
    }
}

#[test]
fn the_brokers_time_stays_the_time_of_every_record() {
    let mut log = Log::default();
    log.add(Codec::None, None, &[(Some("a"), Some("1")), (Some("b"), Some("1")), (Some("b"), None)]);
    stamp_append_time(&mut log.batches[0], WallMs(5_000));
    let cleaned = clean(&log);
    assert_eq!(cleaned.records().iter().map(|r| (r.0, r.1)).collect::<Vec<_>>(), [(0, 5_000), (2, 5_000)]);
    assert_eq!(cleaned.header(0).max_timestamp(), 5_000);
}

#[test]
fn the_last_batch_of_a_producer_stays_without_records_as_long_as_it_is_remembered() {
    let mut log = Log::default();
    log.add(Codec::Gzip, Some((7, 2, 0)), &[(Some("a"), Some("1"))]);
    log.add(Codec::Gzip, Some((7, 2, 1)), &[(Some("a"), Some("2")), (Some("a"), Some("3"))]);
    log.add(Codec::None, None, &[(Some("a"), Some("4"))]);
    log.add(Codec::None, None, &[(Some("b"), Some("1"))]);
    let cleaned = clean(&log);
    assert_eq!(cleaned.values().len(), 2);
    let header = cleaned.header(0);
    assert_eq!(
        (header.base_offset(), header.last_offset(), header.record_count()),
        (Offset(1), Offset(2), 0)
    );
    assert_eq!((header.producer_id(), header.producer_epoch(), header.base_sequence()), (7, 2, 1));
    assert_eq!(header.total_bytes(), Some(61));
    let mut rebuilt = ProducerTable::new();
    cleaned.batches.iter().for_each(|batch| rebuilt.apply(BatchHeader::peek(batch).unwrap()));
    assert_eq!(rebuilt.get(7).unwrap().last_sequence(), log.producers().get(7).unwrap().last_sequence());

    let (again, tally, _) = Run { producers: log.producers(), ..Run::over(&cleaned) }.clean(&cleaned);
    assert_eq!((again.batches, tally.batches_changed), (cleaned.batches.clone(), 0));
    let forgotten = Run { producers: ProducerTable::new(), ..Run::over(&cleaned) }.clean(&cleaned).0;
    assert_eq!(forgotten.batches.len(), 2);
}

#[test]
fn the_last_batch_of_a_round_stays_without_records_so_that_the_end_is_told() {
    let mut log = Log::default();
    log.add(Codec::None, None, &[(Some("a"), Some("1"))]);
    log.add(Codec::None, None, &[(None, Some("no key"))]);
    let cleaned = clean(&log);
    assert_eq!(cleaned.batches.len(), 2);
    assert_eq!((cleaned.header(1).last_offset(), cleaned.header(1).record_count()), (Offset(1), 0));
}

#[test]
fn a_full_map_ends_the_round_before_the_record_that_found_no_room() {
    let mut log = Log::default();
    let names: Vec<String> = (0..6).map(|i| format!("k{i}")).collect();
    for name in &names {
        log.add(Codec::None, None, &[(Some("same"), Some("x")), (Some(name), Some("1"))]);
    }
    // Six slots at nine in ten hold five keys.
    let run = Run { map_bytes: 6 * 24, ..Run::over(&log) };
    let (cleaned, _, end) = run.clean(&log);
    assert_eq!(end, Offset(8), "`same` and k0 to k3, up to `same` before k4");
    let offsets: Vec<i64> = cleaned.values().iter().map(|v| v.0).collect();
    assert_eq!(offsets, [1, 3, 5, 6, 7, 8, 9, 10, 11]);
    let (cleaned, _, end) = Run { from: end.0, ..Run::over(&log) }.clean(&cleaned);
    assert_eq!(end, Offset(12));
    assert_eq!(cleaned.values().iter().map(|v| v.0).collect::<Vec<_>>(), [1, 3, 5, 7, 9, 10, 11]);
}

#[test]
fn a_tombstone_behind_the_end_of_the_round_gets_no_time() {
    let mut log = Log::default();
    let value = Some("1");
    log.add(Codec::None, None, &[(Some("k0"), value), (Some("k1"), value), (Some("k2"), value)]);
    log.add(Codec::Lz4, None, &[(Some("k3"), value), (Some("k4"), value), (Some("k5"), None)]);
    log.add(Codec::None, None, &[(Some("k6"), None)]);
    // Six slots at nine in ten hold five keys.
    let (cleaned, tally, end) = Run { map_bytes: 6 * 24, ..Run::over(&log) }.clean(&log);
    assert_eq!((end, tally.batches_changed), (Offset(5), 0));
    assert_eq!(cleaned.batches, log.batches, "the round that judges it sets its time");
    let (cleaned, ..) = Run { from: 5, ..Run::over(&log) }.clean(&log);
    let horizon = Some(NOW + DAY as i64);
    assert_eq!((cleaned.header(1).delete_horizon(), cleaned.header(2).delete_horizon()), (horizon, horizon));
}

#[test]
fn what_cannot_be_read_stays_and_hides_nothing() {
    let mut log = Log::default();
    log.add(Codec::None, None, &[(Some("a"), Some("1"))]);
    log.add(Codec::Zstd, None, &[(Some("a"), Some("2"))]);
    log.add(Codec::None, None, &[(Some("b"), Some("1"))]);
    let broken = log.batches[1].len() - 1;
    log.batches[1].truncate(broken);
    log.batches[1][8..12].copy_from_slice(&((broken - 12) as i32).to_be_bytes());
    restamp(&mut log.batches[1], &crate::record::Stamp { base_timestamp: 0, producer: None });
    let (cleaned, tally, _) = Run::over(&log).clean(&log);
    assert_eq!((cleaned.batches, tally.batches_unreadable), (log.batches, 1));
}

#[test]
fn a_batch_with_more_records_than_its_header_says_stays_and_hides_nothing() {
    let mut log = Log::default();
    log.add(Codec::None, None, &[(Some("a"), Some("1"))]);
    log.add(Codec::Zstd, None, &[(Some("a"), Some("2")), (Some("b"), Some("1"))]);
    log.batches[1][57..61].copy_from_slice(&1_i32.to_be_bytes());
    restamp(&mut log.batches[1], &crate::record::Stamp { base_timestamp: 0, producer: None });
    log.add(Codec::None, None, &[(Some("c"), Some("1"))]);
    let (cleaned, tally, _) = Run::over(&log).clean(&log);
    assert_eq!((cleaned.batches, tally.batches_unreadable), (log.batches, 1));
}

#[test]
fn data_of_an_aborted_transaction_goes_and_its_marker_when_nobody_can_need_it() {
    let mut log = Log::default();
    log.add(Codec::None, None, &[(Some("a"), Some("0"))]);
    log.transactional(7, &[(Some("a"), Some("aborted"))]);
    log.marker(7, false);
    log.transactional(8, &[(Some("b"), Some("1"))]);
    log.marker(8, true);
    log.add(Codec::None, None, &[(Some("z"), Some("1"))]);
    let aborted = vec![Aborted { producer: 7, first: Offset(1) }];
    let run = |log: &Log, now| Run {
        now,
        aborted: aborted.clone(),
        producers: ProducerTable::new(),
        ..Run::over(log)
    };
    let (first, ..) = run(&log, NOW).clean(&log);
    let offsets = |log: &Log| {
        let of = |b: &Vec<u8>| BatchHeader::peek(b).unwrap().base_offset().0;
        log.batches.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(offsets(&first), [0, 2, 3, 4, 5], "an aborted value hides no older one, and goes");
    assert_eq!(first.header(1).delete_horizon(), None, "a batch of it was there until now");

    let (second, ..) = run(&first, NOW).clean(&first);
    assert_eq!(offsets(&second), [0, 2, 3, 4, 5]);
    assert_eq!(second.header(1).delete_horizon(), Some(NOW + DAY as i64));
    assert_eq!(second.header(3).delete_horizon(), None, "committed data is still there");
    let (third, ..) = run(&second, NOW + DAY as i64).clean(&second);
    assert_eq!(offsets(&third), [0, 3, 4, 5]);

    // b is written again: the transaction of 8 loses its data, then its marker.
    let mut log = third;
    log.add(Codec::None, None, &[(Some("b"), Some("2"))]);
    log.add(Codec::None, None, &[(Some("z"), Some("2"))]);
    let (first, ..) = run(&log, NOW).clean(&log);
    assert_eq!(offsets(&first), [0, 4, 6, 7]);
    let (second, ..) = run(&first, NOW).clean(&first);
    assert_eq!(second.header(1).delete_horizon(), Some(NOW + DAY as i64));
    let (third, ..) = run(&second, NOW + DAY as i64).clean(&second);
    assert_eq!(offsets(&third), [0, 6, 7]);
}

const LIMITS: CleanLimits = CleanLimits { lag_min_ms: 0, lag_max_ms: u64::MAX, dirty_ppm: 500_000 };

/// Segments of 10 offsets and 100 bytes each; the i-th has the largest timestamp 1000 × (i + 1).
fn segments(count: i64) -> Segments {
    let limits = RollLimits {
        segment_bytes: 100,
        segment_ms: u64::MAX,
        jitter_ms: 0,
        index_bytes: 1 << 20,
        index_interval_bytes: 4096,
    };
    let mut segments = Segments::new(Offset(0), Now::default(), 0);
    for i in 0..count {
        let batch = fixture::Batch {
            base: 10 * i,
            records: 10,
            max_timestamp: 1_000 * (i + 1),
            ..fixture::Batch::default()
        };
        let place = segments.plan(&batch.header(), 100, Now::default(), &limits).expect("fits").place;
        segments.apply(&batch.header(), place, Now::default(), 4096).expect("continues");
    }
    segments
}

#[test]
fn closed_segments_below_the_last_stable_offset_may_be_compacted() {
    let segments = segments(5);
    let check = |(log_start, cleaned, last_stable), limits: CleanLimits, now, expected| {
        let facts = Facts {
            segments: &segments,
            log_start: Offset(log_start),
            cleaned: Offset(cleaned),
            last_stable: Offset(last_stable),
        };
        let part = cleanable(&facts, &limits, WallMs(now));
        assert_eq!((part.from.0, part.end.0, part.clean_bytes, part.dirty_bytes), expected);
    };
    check((0, 0, 50), LIMITS, 0, (0, 40, 0, 400));
    check((0, 20, 50), LIMITS, 0, (20, 40, 200, 200));
    check((0, 25, 50), LIMITS, 0, (25, 40, 200, 200));
    check((33, 20, 50), LIMITS, 0, (33, 40, 300, 100));
    check((0, 40, 50), LIMITS, 0, (40, 40, 400, 0));
    check((0, 90, 50), LIMITS, 0, (50, 50, 400, 0));
    check((0, 0, 39), LIMITS, 0, (0, 30, 0, 300));
    check((0, 0, 9), LIMITS, 0, (0, 0, 0, 0));
    let lag = CleanLimits { lag_min_ms: 1_000, ..LIMITS };
    check((0, 0, 50), lag, 2_999, (0, 10, 0, 100));
    check((0, 0, 50), lag, 3_000, (0, 20, 0, 200));
    check((0, 0, 50), lag, i64::MAX, (0, 40, 0, 400));
    check((0, 0, 50), lag, i64::MIN, (0, 0, 0, 0));
}

#[test]
fn a_round_is_due_by_its_dirty_part_or_by_the_age_of_what_waits() {
    let segments = segments(5);
    let facts = |cleaned| Facts {
        segments: &segments,
        log_start: Offset(0),
        cleaned: Offset(cleaned),
        last_stable: Offset(50),
    };
    let check = |cleaned, limits: &CleanLimits, first, now, expected| {
        let part = cleanable(&facts(cleaned), limits, WallMs(now));
        assert_eq!(is_due(&part, limits, first, WallMs(now)), expected, "from {cleaned} at {now}");
    };
    check(0, &LIMITS, None, 0, true);
    check(10, &LIMITS, None, 0, true);
    check(20, &LIMITS, None, 0, false);
    check(30, &LIMITS, None, 0, false);
    check(40, &CleanLimits { dirty_ppm: 0, ..LIMITS }, None, 0, false);
    let lag = CleanLimits { lag_max_ms: 500, ..LIMITS };
    check(30, &lag, Some(4_000), 4_500, false);
    check(30, &lag, Some(4_000), 4_501, true);
    check(40, &lag, Some(4_000), 4_501, false);
    check(30, &LIMITS, Some(0), i64::MAX, false);
}

#[test]
fn neighbours_become_one_segment_as_far_as_they_fit() {
    let log = segments(6);
    let check = |end, bytes, expected: &[(i64, i64, u64, usize)]| {
        let found: Vec<_> = groups(&log, Offset(0), Offset(end), bytes)
            .iter()
            .map(|g| (g.base.0, g.end.0, g.bytes, g.count))
            .collect();
        assert_eq!(found, expected);
    };
    check(50, 1_000, &[(0, 50, 500, 5)]);
    check(50, 250, &[(0, 20, 200, 2), (20, 40, 200, 2), (40, 50, 100, 1)]);
    check(50, 10, &[(0, 10, 100, 1), (10, 20, 100, 1), (20, 30, 100, 1), (30, 40, 100, 1), (40, 50, 100, 1)]);
    check(15, 1_000, &[(0, 20, 200, 2)]);
    for (log_start, first) in [(9, 0), (10, 10), (25, 20)] {
        assert_eq!(groups(&log, Offset(log_start), Offset(50), 1_000)[0].base, Offset(first));
    }
    check(0, 1_000, &[]);
    assert_eq!(
        groups(&segments(1), Offset(0), Offset(10), 1_000),
        [],
        "the active segment is never among them"
    );
}

/// A batch: its codec, its producer (0 is none), and a key and a value for each record.
type Drawn = (u8, u8, Vec<(u8, Option<u8>)>);

fn records() -> impl Strategy<Value = Vec<Drawn>> {
    let record = (0..6_u8, prop::option::weighted(0.8, 0..9_u8));
    prop::collection::vec((0..5_u8, 0..4_u8, prop::collection::vec(record, 1..6)), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// Compacted, in rounds of any size, a log is the fold of what it was by key.
    #[test]
    fn a_compacted_log_is_the_fold_of_the_original_by_key(batches in records(), slots in 2..12_u64) {
        let mut log = Log::default();
        let mut sequences = [0; 4];
        for (codec, producer, records) in &batches {
            let codec = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd][*codec as usize];
            let written: Vec<_> =
                records.iter().map(|(k, v)| (k.to_string(), v.map(|v| v.to_string()))).collect();
            let written: Vec<Written<'_>> =
                written.iter().map(|(k, v)| (Some(k.as_str()), v.as_deref())).collect();
            let sequence = &mut sequences[*producer as usize];
            let fields = (*producer > 0).then_some((i64::from(*producer), 0, *sequence));
            log.add(codec, fields, &written);
            *sequence += written.len() as i32;
        }
        let mut fold = BTreeMap::new();
        for (offset, time, key, value) in log.records() {
            fold.insert(key, (offset, time, value));
        }
        let by_offset = |fold: &BTreeMap<_, (i64, i64, Option<String>)>| {
            let mut all: Vec<_> = fold.iter().map(|(k, v)| (v.0, v.1, Option::<String>::clone(k), v.2.clone())).collect();
            all.sort();
            all
        };
        let (mut cleaned, mut from) = (log.clone(), 0);
        while from < log.end {
            let run = Run { from, map_bytes: slots * 24, producers: log.producers(), ..Run::over(&log) };
            let (next, _, end) = run.clean(&cleaned);
            prop_assert!(end.0 > from, "every round goes on");
            (cleaned, from) = (next, end.0);
        }
        prop_assert_eq!(cleaned.records(), by_offset(&fold));

        // What remains tells the end and the producers as before.
        let mut rebuilt = ProducerTable::new();
        cleaned.batches.iter().for_each(|batch| rebuilt.apply(BatchHeader::peek(batch).unwrap()));
        for (id, entry) in log.producers().sorted() {
            let last = |e: &ProducerEntry| e.last().map(|b| (b.epoch, b.last_sequence, b.last_offset));
            prop_assert_eq!(rebuilt.get(id).and_then(last), last(entry));
        }

        // Once the tombstones' time has come, only values are left; and a round over that changes nothing.
        let whole = Run { producers: log.producers(), map_bytes: 1 << 20, ..Run::over(&log) };
        let late = Run { now: NOW + DAY as i64, ..whole };
        let (last, ..) = late.clean(&cleaned);
        fold.retain(|_, (_, _, value)| value.is_some());
        prop_assert_eq!(last.records(), by_offset(&fold));
        let (again, tally, _) = late.clean(&last);
        prop_assert_eq!((again.batches, tally.records_dropped), (last.batches, 0));
    }
}
