//! Bytes that are not what was stored, under a real broker: whatever a file holds when it starts, a consumer
//! gets the records that were acknowledged at their offsets, or an error for just those that are lost.

mod harness;

use std::path::{Path, PathBuf};

use engine::record::BatchHeader;
use harness::{Broker, Client, Want, batch_at, values};
use wire::ErrorCode;

/// Records of the log, one to a batch, all of one size.
const RECORDS: i64 = 60;
const VALUE_BYTES: usize = 60_000;

fn value(offset: i64) -> Vec<u8> {
    let mut value = vec![offset as u8; VALUE_BYTES];
    value[..8].copy_from_slice(&offset.to_be_bytes());
    value
}

/// A broker with a log of several segments, stopped.
fn stopped() -> Broker {
    let mut broker = Broker::start(&[]);
    let mut client = broker.client();
    let configs = [("segment.bytes", "1048576"), ("message.timestamp.before.max.ms", "9223372036854775807")];
    assert_eq!(client.create_topic("t", 1, &configs), ErrorCode::None);
    for offset in 0..RECORDS {
        let sent = client.produce("t", 0, -1, &batch_at(1_000 + offset, &[&value(offset)]));
        assert_eq!(sent, (ErrorCode::None, offset));
    }
    drop(client);
    broker.stop();
    broker
}

/// The segments of the topic, in order.
fn segments(data: &Path) -> Vec<PathBuf> {
    let (mut dirs, mut found) = (vec![data.join("topics")], Vec::new());
    while let Some(dir) = dirs.pop() {
        for path in std::fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry").path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "log") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Where each batch begins, and the end.
fn begins(bytes: &[u8]) -> Vec<usize> {
    let mut at = vec![0];
    while let Some(header) = BatchHeader::peek(&bytes[at[at.len() - 1]..]) {
        at.push(at[at.len() - 1] + header.total_bytes().expect("a length"));
    }
    at
}

/// Reads every offset, in answers of many batches and of one. The offsets that are refused.
fn lost(client: &mut Client) -> Vec<i64> {
    let mut lost = Vec::new();
    for partition_max_bytes in [1 << 20, 1] {
        let mut refused = Vec::new();
        let mut from = 0;
        while from < RECORDS {
            let want = Want { partition_max_bytes, ..Want::default() };
            let (error, high_watermark, records) = client.fetch("t", 0, from, want);
            match error {
                ErrorCode::None => {
                    assert_eq!(high_watermark, RECORDS);
                    let records = values(&records);
                    assert!(!records.is_empty(), "nothing at {from}");
                    for (offset, stored) in records {
                        assert_eq!(offset, from, "in order");
                        assert!(stored == value(offset), "another record at {offset}");
                        from += 1;
                    }
                }
                ErrorCode::CorruptMessage => {
                    refused.push(from);
                    from += 1;
                }
                error => panic!("{error:?} at {from}"),
            }
        }
        assert!(lost.is_empty() || lost == refused, "{lost:?} and then {refused:?}");
        lost = refused;
    }
    lost
}

/// Changes the middle segment of a stopped broker, and says what a consumer then cannot get.
fn lost_after(change: impl FnOnce(&mut Vec<u8>, &[usize], &[PathBuf])) -> (Vec<i64>, i64) {
    let mut broker = stopped();
    let segments = segments(broker.data());
    assert!(segments.len() >= 3, "{segments:?}");
    let mut bytes = std::fs::read(&segments[1]).expect("a segment");
    let first = BatchHeader::peek(&bytes).expect("a batch").base_offset().0;
    let begins = begins(&bytes);
    assert!(begins.len() > 15, "{} batches", begins.len());
    change(&mut bytes, &begins, &segments);
    std::fs::write(&segments[1], &bytes).expect("written");
    broker.restart();
    let mut client = broker.client();
    let lost = lost(&mut client);
    // The time of what is lost is that of the next record there is; all others are found.
    for offset in 0..RECORDS {
        let found = client.list_offset("t", 0, 1_000 + offset);
        let next = (offset..).find(|next| !lost.contains(next)).expect("a record");
        assert_eq!(
            (found.error_code, found.offset),
            (ErrorCode::None, next),
            "the time of {offset}, without {lost:?}"
        );
    }
    // Appends go on behind.
    let sent = client.produce("t", 0, -1, &batch_at(9_000, &[b"on"]));
    assert_eq!(sent, (ErrorCode::None, RECORDS));
    (lost, first)
}

#[test]
fn one_bit_in_any_field_of_a_header_costs_that_batch() {
    let fields = [
        ("base offset", 7),
        ("length", 9),
        ("length, its last byte", 11),
        ("leader epoch", 14),
        ("magic", 16),
        ("checksum", 18),
        ("attributes", 22),
        ("last offset delta", 26),
        ("base timestamp", 31),
        ("largest timestamp", 39),
        ("producer id", 47),
        ("producer epoch", 51),
        ("base sequence", 55),
        ("count of records", 60),
    ];
    for (field, at) in fields {
        let (lost, first) = lost_after(|bytes, begins, _| bytes[begins[6] + at] ^= 0x04);
        // Without its length a batch takes the next one with it that the index does not name.
        let next = if field.starts_with("length") { 2 } else { 1 };
        assert!(
            lost[0] == first + 6 && lost.len() <= next,
            "{field}: {lost:?}, and {} is damaged",
            first + 6
        );
    }
}

#[test]
fn a_block_of_zeroes_costs_the_batches_that_it_touches() {
    let mut touched = Vec::new();
    let (lost, first) = lost_after(|bytes, begins, _| {
        let (from, to) = (81_920, 86_016);
        bytes[from..to].fill(0);
        let touches = |n: &usize| begins[*n] < to && begins[n + 1] > from;
        touched = (0..begins.len() - 1).filter(touches).map(|n| n as i64).collect();
    });
    let touched: Vec<i64> = touched.into_iter().map(|n| first + n).collect();
    assert!(touched.iter().all(|offset| lost.contains(offset)), "{lost:?} for {touched:?}");
    assert!(lost.len() <= touched.len() + 1, "{lost:?} for {touched:?}");
}

#[test]
fn whole_batches_at_another_place_are_never_taken_for_what_was_there() {
    // All batches have one length, so that what was written astray fits exactly.
    let (lost, first) = lost_after(|bytes, begins, _| {
        let moved = bytes[begins[2]..begins[5]].to_vec();
        bytes[begins[8]..begins[11]].copy_from_slice(&moved);
    });
    assert_eq!(lost, [first + 8, first + 9, first + 10], "what went backwards");
    let (lost, first) = lost_after(|bytes, begins, _| {
        let moved = bytes[begins[8]..begins[11]].to_vec();
        bytes[begins[2]..begins[5]].copy_from_slice(&moved);
    });
    assert_eq!(lost, [first + 2, first + 3, first + 4], "and what went forwards");
}

#[test]
fn another_segments_batches_in_a_file_are_fenced_to_the_last() {
    let mut held = 0;
    let (lost, first) = lost_after(|bytes, begins, segments| {
        let older = std::fs::read(&segments[0]).expect("a segment");
        let n = older.len().min(bytes.len());
        bytes[..n].copy_from_slice(&older[..n]);
        held = begins.len() as i64 - 1;
    });
    assert_eq!(lost, (first..first + held).collect::<Vec<_>>());
}

#[test]
fn what_lies_behind_the_tail_is_not_the_log() {
    let mut broker = stopped();
    let segments = segments(broker.data());
    let last = &segments[segments.len() - 1];
    let mut bytes = std::fs::read(last).expect("a segment");
    // Sound batches that would go on exactly there, and those of an older segment.
    let older = std::fs::read(&segments[0]).expect("a segment");
    let mut next = older[..begins(&older)[1]].to_vec();
    let header = BatchHeader::peek_mut(&mut next).expect("a header");
    header.stamp(engine::base::Offset(RECORDS), engine::base::LeaderEpoch(0));
    bytes.extend(next);
    bytes.extend(older);
    std::fs::write(last, &bytes).expect("written");
    broker.restart();
    let mut client = broker.client();
    assert_eq!(lost(&mut client), [] as [i64; 0]);
    assert_eq!(client.fetch("t", 0, RECORDS, Want::default()), (ErrorCode::None, RECORDS, vec![]));
    // Also once something is written over a part of it, and another start has read the file.
    for offset in RECORDS..RECORDS + 3 {
        let sent = client.produce("t", 0, -1, &batch_at(1_000 + offset, &[&value(offset)[..500]]));
        assert_eq!(sent, (ErrorCode::None, offset));
    }
    drop(client);
    broker.restart();
    let mut client = broker.client();
    let (error, high_watermark, records) = client.fetch("t", 0, RECORDS, Want::default());
    assert_eq!((error, high_watermark), (ErrorCode::None, RECORDS + 3));
    let read = values(&records);
    assert_eq!(read.len(), 3);
    assert!(read.iter().all(|(offset, stored)| *stored == value(*offset)[..500]), "what was written last");
}
