use super::*;
use crate::log::fixture::Batch;

const LIMITS: RollLimits = RollLimits {
    segment_bytes: 1_000,
    segment_ms: 60_000,
    jitter_ms: 0,
    index_bytes: 10 << 20,
    index_interval_bytes: 4_096,
};

fn at(wall: i64) -> Now {
    Now { wall: WallMs(wall), ..Now::default() }
}

fn append(segments: &mut Segments, batch: Batch, now: Now, limits: &RollLimits) -> AppendPlan {
    let plan = segments.plan(&batch.header(), batch.bytes, now, limits).expect("fits a segment");
    let header = Batch { base: plan.base_offset.0, ..batch }.header();
    let applied = segments.apply(&header, plan.place, now, limits.index_interval_bytes);
    assert_eq!(applied, Ok(if plan.roll { Applied::Rolled } else { Applied::Grew }));
    plan
}

#[test]
fn batches_lie_back_to_back_until_the_segment_is_full() {
    let mut segments = Segments::new(Offset(7), at(0), 0);
    let batch = Batch { records: 5, bytes: 400, ..Batch::default() };
    let places: Vec<_> = (0..4)
        .map(|_| {
            let plan = append(&mut segments, batch, at(0), &LIMITS);
            (plan.base_offset.0, plan.place.segment.0, plan.place.position, plan.roll)
        })
        .collect();
    assert_eq!(places, [(7, 7, 0, false), (12, 7, 400, false), (17, 17, 0, true), (22, 17, 400, false)]);
    assert_eq!((segments.end(), segments.bytes()), (Offset(27), 1_600));
    assert_eq!(segments.find(Offset(16)).map(|s| s.base), Some(Offset(7)));
    assert_eq!(segments.find(Offset(17)).map(|s| s.base), Some(Offset(17)));
    assert_eq!(segments.find(Offset(6)), None);
    assert_eq!(segments.end_of(Offset(7)), Offset(17));
    assert_eq!(segments.end_of(Offset(17)), Offset(27));
}

#[test]
fn a_batch_that_fills_the_segment_exactly_stays_in_it() {
    let mut segments = Segments::new(Offset(0), at(0), 0);
    append(&mut segments, Batch { bytes: 600, ..Batch::default() }, at(0), &LIMITS);
    assert!(!append(&mut segments, Batch { bytes: 400, ..Batch::default() }, at(0), &LIMITS).roll);
    assert!(append(&mut segments, Batch { bytes: 61, ..Batch::default() }, at(0), &LIMITS).roll);
    let header = Batch { bytes: 1_001, ..Batch::default() }.header();
    let refused = PlaceError::LargerThanSegment { bytes: 1_001, limit: 1_000 };
    assert_eq!(segments.plan(&header, 1_001, at(0), &LIMITS), Err(refused));
}

#[test]
fn record_time_rolls_and_the_clock_only_without_it() {
    let timed = |max_timestamp| Batch { max_timestamp, ..Batch::default() };
    let mut by_records = Segments::new(Offset(0), at(0), 0);
    append(&mut by_records, timed(1_000), at(0), &LIMITS);
    assert!(!append(&mut by_records, timed(61_000), at(1 << 40), &LIMITS).roll);
    assert!(append(&mut by_records, timed(61_001), at(0), &LIMITS).roll);
    assert!(!append(&mut by_records, timed(0), at(0), &LIMITS).roll);
    let mut by_clock = Segments::new(Offset(0), at(500), 0);
    append(&mut by_clock, timed(-1), at(500), &LIMITS);
    assert!(!append(&mut by_clock, timed(-1), at(60_500), &LIMITS).roll);
    assert!(append(&mut by_clock, timed(-1), at(60_501), &LIMITS).roll);
}

#[test]
fn jitter_rolls_earlier_but_never_later() {
    let jittered = RollLimits { jitter_ms: 50_000, ..LIMITS };
    let mut waits = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut segments = Segments::new(Offset(0), at(0), seed);
        append(&mut segments, Batch { max_timestamp: 0, ..Batch::default() }, at(0), &jittered);
        let wait = (0..=60_001)
            .find(|&t| {
                let header = Batch { max_timestamp: t, ..Batch::default() }.header();
                segments.must_roll(&header, 100, at(0), &jittered)
            })
            .expect("rolls after segment.ms at the latest");
        assert!(wait > 10_000);
        waits.insert(wait);
    }
    assert!(waits.len() > 10, "{waits:?}");
}

#[test]
fn a_full_index_and_a_far_offset_roll() {
    let small = RollLimits { index_bytes: 36, index_interval_bytes: 0, segment_bytes: 1 << 20, ..LIMITS };
    let mut segments = Segments::new(Offset(0), at(0), 0);
    let rolls: Vec<_> = (0..8)
        .map(|i| append(&mut segments, Batch { max_timestamp: i, ..Batch::default() }, at(0), &small).roll)
        .collect();
    // Room for 3 time entries, one of them the roll's: the 2 others come with batches 1 and 2.
    assert_eq!(rolls, [false, false, false, true, false, false, true, false]);
    let mut far = Segments::new(Offset(0), at(0), 0);
    let wide = Batch { records: i32::MAX, ..Batch::default() };
    append(&mut far, wide, at(0), &LIMITS);
    assert!(!append(&mut far, Batch::default(), at(0), &LIMITS).roll, "i32::MAX itself still fits");
    assert!(append(&mut far, Batch::default(), at(0), &LIMITS).roll);
}

#[test]
fn replay_ignores_what_is_there_and_refuses_what_does_not_continue() {
    let mut live = Segments::new(Offset(0), at(0), 9);
    let mut journal = Vec::new();
    for i in 0..10 {
        let batch = Batch { records: 3, bytes: 300, max_timestamp: i, ..Batch::default() };
        let plan = append(&mut live, batch, at(i), &LIMITS);
        journal.push((Batch { base: plan.base_offset.0, ..batch }, plan.place, at(i)));
    }
    let mut replayed = Segments::new(Offset(0), at(0), 9);
    for from in [0, 0, 4] {
        for (batch, place, now) in &journal[from..] {
            assert!(replayed.apply(&batch.header(), *place, *now, 4_096).is_ok());
        }
    }
    assert_eq!(replayed, live);
    let end = live.end_place();
    for (base, place) in [
        (29, end),
        (31, end),
        (30, Place { position: end.position + 1, ..end }),
        (30, Place { segment: Offset(27), position: 0 }),
        (30, Place { segment: Offset(31), position: 0 }),
    ] {
        let header = Batch { base, records: 3, ..Batch::default() }.header();
        assert!(matches!(
            replayed.apply(&header, place, at(0), 4_096),
            Err(PlaceError::Discontinuous { .. })
        ));
    }
    assert_eq!(replayed, live);
}

#[test]
fn old_segments_are_forgotten_but_never_the_active_one() {
    let mut segments = Segments::new(Offset(0), at(0), 0);
    for _ in 0..6 {
        append(&mut segments, Batch { bytes: 500, ..Batch::default() }, at(0), &LIMITS);
    }
    let bases = |list: &[Segment]| list.iter().map(|s| s.base.0).collect::<Vec<_>>();
    assert_eq!(bases(&segments.drop_before(Offset(3))), [0, 2]);
    assert_eq!(bases(&segments.drop_before(Offset(100))), Vec::<i64>::new());
    segments.roll(at(0));
    segments.roll(at(0));
    assert_eq!(bases(&segments.drop_before(Offset(100))), [4]);
    assert_eq!(segments.active().base, segments.end());
}

#[test]
fn a_checkpoint_carries_the_list() {
    let mut segments = Segments::new(Offset(0), at(0), 77);
    for i in 0..9 {
        append(&mut segments, Batch { bytes: 500, max_timestamp: i, ..Batch::default() }, at(i), &LIMITS);
    }
    let mut bytes = Vec::new();
    segments.encode(&mut bytes);
    assert_eq!(Segments::decode(&bytes), Ok((segments, bytes.len())));
    for cut in 0..bytes.len() {
        assert!(Segments::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for (lie, len) in [(0, 1), (1, 8), (69, 4), (73, 8), (81, 4)] {
        let mut lying = bytes.clone();
        lying[lie..lie + len].fill(0xFF);
        assert!(Segments::decode(&lying).is_err(), "a lie at {lie}");
    }
    let mut none = bytes[..73].to_vec();
    none[69..].fill(0);
    assert!(Segments::decode(&none).is_err());
}

#[test]
fn a_compacted_segment_takes_the_place_of_its_group_once_and_never_of_the_active_one() {
    let mut segments = Segments::new(Offset(0), at(0), 0);
    for _ in 0..8 {
        append(&mut segments, Batch { bytes: 500, ..Batch::default() }, at(0), &LIMITS);
    }
    let bases = |segments: &Segments| segments.iter().map(|s| s.base.0).collect::<Vec<_>>();
    assert_eq!((bases(&segments), segments.bytes()), (vec![0, 2, 4, 6], 4_000));
    let one = Segment { base: Offset(2), bytes: 300, ..segments.active().clone() };
    assert!(segments.replace(&one, Offset(6)));
    assert_eq!((bases(&segments), segments.bytes()), (vec![0, 2, 6], 2_300));
    assert_eq!(segments.end_of(Offset(2)), Offset(6));
    let once = segments.clone();
    assert!(segments.replace(&one, Offset(6)), "recovery says it again");
    assert_eq!(segments, once);
    assert!(!segments.replace(&one, Offset(7)), "the active segment would go");
    segments.drop_before(Offset(6));
    assert!(!segments.replace(&one, Offset(6)), "retention was there first");
    assert_eq!(bases(&segments), [6]);
    assert_eq!(segments.end(), Offset(8));
}
