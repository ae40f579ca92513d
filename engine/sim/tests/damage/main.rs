//! Damaged segments: whatever lies on the disk, a reader gets what was stored or an error, damage is
//! listed and fenced, and everything around it stays readable.

mod bad_blocks;
mod lengths;
mod load;
mod log;
mod repair;

use engine::base::{LeaderEpoch, Offset, WallMs};
use engine::broker::{DamagedPart, FetchError};
use engine::io::{Disk, DiskOp};
use engine::log::{Cause, DamagedRange};
use engine::record::{BatchBuilder, BatchHeader, Codec};
use log::{
    MIB, POOL, Pass, RECORDS, bases, batches, bytes_of, closed, closed_sized, file, key, open, open_sized,
    open_with, pass, produce, put, run_for,
};

/// Changes the second segment of a closed log and says what a pass then finds.
fn pass_after(seed: u64, change: impl FnOnce(&mut Vec<u8>, &[(usize, i64)]) + 'static) -> Pass {
    let world = closed(seed);
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(POOL);
        let name = file(bases(&disk).await[1], ".log");
        let mut bytes = bytes_of(&disk, &name).await;
        let begins = batches(&bytes);
        assert!(begins.len() > 10, "{} batches", begins.len());
        change(&mut bytes, &begins);
        put(&disk, &name, &bytes).await;
        let shard = open(&inner).await;
        let found = pass(&shard, 20_000).await;
        let again = pass(&shard, MIB).await;
        assert_eq!(found, again, "what is fenced stays fenced, the rest readable");
        // Appends go on all the same.
        produce(&inner, &shard, RECORDS).await;
        found
    })
}

#[test]
fn a_flipped_bit_anywhere_in_a_batch_costs_that_neighbourhood_only() {
    let world = closed(1);
    let inner = world.clone();
    let (begin, len) = world.run_until(async move {
        let disk = inner.disk(POOL);
        let bytes = bytes_of(&disk, &file(bases(&disk).await[1], ".log")).await;
        let begins = batches(&bytes);
        (begins[5].0, begins[6].0 - begins[5].0)
    });
    // Every byte of the header, and some of the rest.
    for at in (0..61).chain((61..len).step_by(len / 12)) {
        let found = pass_after(1, move |bytes, _| bytes[begin + at] ^= 0x10);
        let [(first, end, _)] = found.fenced[..] else { panic!("byte {at}: {found:?}") };
        assert!(end - first <= 8, "byte {at}: {first}..{end}");
        assert_eq!(found.read.len() as i64, RECORDS - (end - first), "byte {at}");
    }
}

#[test]
fn zeroed_misdirected_and_stale_blocks_never_come_back() {
    let zeroed = pass_after(2, |bytes, _| bytes[16_384..32_768].fill(0));
    assert_eq!(zeroed.fenced.len(), 1, "{zeroed:?}");
    assert!(zeroed.read.len() as i64 > RECORDS - 20, "{zeroed:?}");

    // Right bytes at a wrong place: both what they cover and what follows from them.
    let misdirected = pass_after(2, |bytes, begins| {
        let (from, to) = (begins[2].0, begins[6].0);
        let moved = bytes[from..to].to_vec();
        let at = begins[9].0;
        let n = moved.len().min(bytes.len() - at);
        bytes[at..at + n].copy_from_slice(&moved[..n]);
    });
    assert_eq!(misdirected.fenced.len(), 1, "{misdirected:?}");

    // A batch of the same offsets that an older leader had written there.
    let stale = pass_after(2, |bytes, begins| {
        BatchHeader::peek_mut(&mut bytes[begins[4].0..])
            .expect("a header")
            .stamp(Offset(begins[4].1), LeaderEpoch(9));
    });
    assert_eq!((stale.fenced.len(), stale.fenced[0].2), (1, Cause::Misplaced), "{stale:?}");
}

#[test]
fn a_batch_inside_a_record_is_not_taken_for_one_behind_damage() {
    // What a client put into its record: a whole batch that claims the offset behind the damaged one.
    let found = pass_after(3, |bytes, begins| {
        let (at, offset) = begins[5];
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1, None, Some(b"forged"), &[]);
        let mut forged = builder.finish();
        BatchHeader::peek_mut(&mut forged).expect("a header").stamp(Offset(offset + 1), LeaderEpoch(0));
        let inside = at + 200;
        bytes[inside..inside + forged.len()].copy_from_slice(&forged);
        bytes[at + 8..at + 12].copy_from_slice(&188_i32.to_be_bytes());
    });
    assert_eq!(found.fenced.len(), 1, "{found:?}");
}

#[test]
fn a_missing_or_short_file_is_damage_of_its_own_records_only() {
    let short = pass_after(4, |bytes, begins| bytes.truncate(begins[8].0 + 100));
    let [(first, end, Cause::Missing)] = short.fenced[..] else { panic!("{short:?}") };
    assert_eq!(short.read.len() as i64, RECORDS - (end - first));

    let world = closed(4);
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(POOL);
        let bases = bases(&disk).await;
        disk.remove(&file(bases[1], ".log")).await.expect("removed");
        let shard = open(&inner).await;
        let found = pass(&shard, MIB).await;
        assert_eq!(found.fenced, [(bases[1], bases[2], Cause::Missing)]);
        assert_eq!(shard.stats().damaged_ranges, 1);
    });
}

#[test]
fn an_index_that_lies_or_is_gone_costs_no_record() {
    for (end, kind) in
        [".index", ".timeindex"].into_iter().flat_map(|end| (0..4).map(move |kind| (end, kind)))
    {
        let world = closed(5);
        let inner = world.clone();
        world.run_until(async move {
            let disk = inner.disk(POOL);
            for base in bases(&disk).await {
                let name = file(base, end);
                let mut bytes = bytes_of(&disk, &name).await;
                let each = if end == ".index" { 8 } else { 12 };
                match kind {
                    0 => bytes.fill(0xFF),
                    // What stands there belongs to later batches …
                    1 => bytes
                        .chunks_exact_mut(each)
                        .for_each(|e| e[each - 2] = e[each - 2].wrapping_add(0x40)),
                    // … or every entry is the next one's, of which none is wrong by itself.
                    2 if bytes.len() > each => bytes.rotate_left(each),
                    _ => bytes.clear(),
                }
                put(&disk, &name, &bytes).await;
            }
            let shard = open(&inner).await;
            for from in 0..RECORDS {
                let fetched = shard.read(key(), Offset(from), 1, true).await.expect("readable");
                let first = fetched.slices.first().expect("a record");
                let base = BatchHeader::peek(first).map(|h| h.base_offset());
                assert_eq!(base, Some(Offset(from)), "{end} {kind}");
                let timed = shard.offset_for_time(key(), 1_000 + from).await.expect("readable");
                assert_eq!(timed.map(|found| found.offset), Some(Offset(from)), "{end} {kind}");
                let time = shard.time_at(key(), Offset(from)).await.expect("readable");
                assert_eq!(time, Some(1_000 + from), "{end} {kind}");
            }
            assert_eq!(shard.stats().damaged_ranges, 0);
        });
    }
}

#[test]
fn a_time_is_never_taken_from_bytes_that_do_not_hold() {
    // The header's timestamps, a batch of another place, an older leader's, a block of zeroes: each time the
    // answer is the next record that can be read.
    type Change = fn(&mut [u8], &[(usize, i64)]);
    let changes: [(&str, Change); 5] = [
        ("base timestamp", |bytes, begins| bytes[begins[6].0 + 34] ^= 0x40),
        ("largest timestamp", |bytes, begins| bytes[begins[6].0 + 42] ^= 0x40),
        ("misdirected", |bytes, begins| {
            let moved = bytes[begins[9].0..begins[10].0].to_vec();
            let at = begins[6].0;
            bytes[at..at + moved.len()].copy_from_slice(&moved);
        }),
        ("stale", |bytes, begins| {
            let header = BatchHeader::peek_mut(&mut bytes[begins[6].0..]).expect("a header");
            header.stamp(Offset(begins[6].1), LeaderEpoch(9));
        }),
        ("zeroes", |bytes, begins| bytes[begins[6].0..begins[7].0].fill(0)),
    ];
    for (name, change) in changes {
        let world = closed(12);
        let inner = world.clone();
        world.run_until(async move {
            let disk = inner.disk(POOL);
            let segment = file(bases(&disk).await[1], ".log");
            let mut bytes = bytes_of(&disk, &segment).await;
            let begins = batches(&bytes);
            let due = begins[6].1;
            change(&mut bytes, &begins);
            put(&disk, &segment, &bytes).await;
            let shard = open(&inner).await;
            let found =
                shard.offset_for_time(key(), 1_000 + due).await.expect("an answer").expect("a record");
            assert!((due + 1..=due + 6).contains(&found.offset.0), "{name}: {found:?} for {due}");
            assert_eq!(found.timestamp, 1_000 + found.offset.0, "{name}");
            let time = shard.time_at(key(), Offset(due)).await.expect("an answer").expect("a record");
            assert!((1_001 + due..=1_006 + due).contains(&time), "{name}: {time} for {due}");
            let newest = shard.max_timestamp(key()).await.expect("an answer").expect("a record");
            assert_eq!(newest.offset, Offset(RECORDS - 1), "{name}");
        });
    }
}

#[test]
fn the_largest_time_behind_the_log_start_is_one_that_holds() {
    let world = closed(13);
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(POOL);
        let last = *bases(&disk).await.last().expect("segments");
        let name = file(last, ".log");
        let mut bytes = bytes_of(&disk, &name).await;
        let begins = batches(&bytes);
        // The last batch in whole blocks, which no memory serves after a start.
        let (at, damaged) = begins[begins.len() - 4];
        bytes[at + 30] ^= 1;
        put(&disk, &name, &bytes).await;
        let shard = open(&inner).await;
        let wants = [engine::broker::DeleteRecords { key: key(), before: Some(Offset(damaged - 1)) }];
        shard.delete_records(&wants).await.pop().expect("an answer").expect("deleted");
        let found = shard.max_timestamp(key()).await.expect("an answer").expect("a record");
        assert_eq!(found.offset, Offset(RECORDS - 1));
        let fetched = shard.read(key(), Offset(damaged), MIB, true).await;
        assert!(matches!(fetched, Err(FetchError::Fenced(_))));
    });
}

#[test]
fn the_list_outlives_a_clean_stop_and_goes_with_its_segment() {
    let world = closed(6);
    let inner = world.clone();
    let listed = world.run_until(async move {
        let disk = inner.disk(POOL);
        let name = file(bases(&disk).await[1], ".log");
        let mut bytes = bytes_of(&disk, &name).await;
        bytes[10_000] ^= 1;
        put(&disk, &name, &bytes).await;
        let shard = open(&inner).await;
        pass(&shard, MIB).await;
        let listed = shard.damages();
        assert_eq!(listed.len(), 1, "{listed:?}");
        shard.close(inner.now()).await.expect("closed");
        listed
    });
    world.kill();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner).await;
        assert_eq!(shard.damages(), listed);
        let [DamagedPart::Range(_, DamagedRange { end, .. })] = listed[..] else { panic!("{listed:?}") };
        let wants = [engine::broker::DeleteRecords { key: key(), before: Some(Offset(RECORDS - 1)) }];
        shard.delete_records(&wants).await.pop().expect("an answer").expect("deleted");
        shard.housekeep(inner.now()).await;
        assert!(shard.bounds(key()).expect("hosted").log_start > end);
        assert_eq!(shard.damages(), []);
    });
}

#[test]
fn a_time_is_found_behind_damage() {
    let world = closed(7);
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(POOL);
        let name = file(bases(&disk).await[1], ".log");
        let mut bytes = bytes_of(&disk, &name).await;
        let begins = batches(&bytes);
        bytes[begins[3].0 + 16] = 7;
        put(&disk, &name, &bytes).await;
        let shard = open(&inner).await;
        let behind = begins[begins.len() - 1].1;
        let found = shard.offset_for_time(key(), 1_000 + behind).await.expect("an answer").expect("a record");
        assert_eq!(found.offset, Offset(behind));
        let damaged = shard.offset_for_time(key(), 1_000 + begins[3].1).await.expect("an answer");
        assert!(damaged.expect("a record").offset > Offset(begins[3].1), "the next one that can be read");
    });
}

#[test]
fn what_the_disk_cannot_read_is_an_error_until_it_can() {
    let world = closed(8);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner).await;
        inner.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Read]));
        let refused = shard.read(key(), Offset(40), MIB, true).await;
        let Err(FetchError::Fenced(range)) = refused else { panic!("it was read") };
        assert_eq!(range.cause, Cause::Unreadable);
        assert!(shard.bounds(key()).is_ok() && !shard.is_offline());
        inner.faults(|f| f.eio_ppm = 0);
        let later = |ms| engine::base::Now { wall: WallMs(inner.now().wall.0 + ms), ..inner.now() };
        shard.tick(later(1_000));
        assert!(matches!(shard.read(key(), Offset(40), MIB, true).await, Err(FetchError::Fenced(_))));
        shard.tick(later(60_000));
        let found = pass(&shard, MIB).await;
        assert_eq!((found.read.len() as i64, found.fenced.len()), (RECORDS, 0));
        assert_eq!(shard.damages(), []);
    });
}

#[test]
fn the_scrub_finds_damage_before_a_reader_does_and_sees_when_it_is_put_right() {
    let world = closed(9);
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(POOL);
        let name = file(bases(&disk).await[1], ".log");
        let sound = bytes_of(&disk, &name).await;
        let mut bytes = sound.clone();
        bytes[20_000] ^= 4;
        put(&disk, &name, &bytes).await;
        let shard = open_with(&inner, 1 << 20).await;
        run_for(&inner, &shard, 5).await;
        let report = shard.scrub_report();
        assert_eq!((report.pass, report.damaged, report.under_way), (1, 1, false), "{report:?}");
        assert!(report.checked > report.total / 2 && report.ended.0 > 0, "{report:?}");
        assert_eq!(shard.damages().len(), 1);
        assert_eq!(pass(&shard, MIB).await.fenced.len(), 1);
        put(&disk, &name, &sound).await;
        run_for(&inner, &shard, 60).await;
        assert_eq!(shard.scrub_report().pass, 2);
        assert_eq!(shard.damages(), []);
        assert_eq!(pass(&shard, MIB).await.fenced, []);
    });
}

#[test]
fn a_flaw_far_into_a_segment_is_confirmed_without_reading_all_before_it_again() {
    const LOG: i64 = 300;
    let world = closed_sized(14, 4 << 20, LOG);
    let inner = world.clone();
    world.run_until(async move {
        let disk = inner.disk(POOL);
        let name = file(0, ".log");
        let mut bytes = bytes_of(&disk, &name).await;
        let begins = batches(&bytes);
        let (at, offset) = begins[begins.len() - 20];
        bytes[at + 100] ^= 4;
        put(&disk, &name, &bytes).await;
        let shard = open_sized(&inner, 4 << 20, 200_000).await;
        let before = inner.counters().segment_bytes_read;
        run_for(&inner, &shard, 10).await;
        let read = inner.counters().segment_bytes_read - before;
        let report = shard.scrub_report();
        assert_eq!((report.pass, report.under_way, report.damaged), (1, false, 1), "{report:?}");
        assert!(read >= report.total - 8192 && read < report.total + 400_000, "{read} of {}", report.total);
        let [DamagedPart::Range(_, range)] = shard.damages()[..] else { panic!("{:?}", shard.damages()) };
        assert_eq!((range.first, range.end), (Offset(offset), Offset(offset + 1)));
    });
}

#[test]
fn the_scrub_keeps_its_rate_and_goes_on_where_it_stood() {
    let world = closed(10);
    let rate = 40_000;
    let mut checked = 0;
    for life in 0..20 {
        let inner = world.clone();
        let report = world.run_until(async move {
            let shard = open_with(&inner, rate).await;
            run_for(&inner, &shard, 2).await;
            shard.close(inner.now()).await.expect("closed");
            shard.scrub_report()
        });
        world.kill();
        assert_eq!(report.pass, 1, "life {life}: {report:?}");
        assert!(report.checked <= checked + 2 * rate + 130_000, "life {life}: {report:?} after {checked}");
        assert!(report.checked > checked || !report.under_way, "life {life}: {report:?} after {checked}");
        checked = report.checked;
        if !report.under_way {
            assert_eq!((report.checked, report.damaged), (report.total, 0), "every byte once");
            return;
        }
    }
    panic!("no pass came to its end: {checked} bytes");
}
