use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::io::BLOCK;
use crate::metadata::storage::{
    Entry, StorageError, Verdict, decode_snapshot, encode_frame, encode_snapshot, scan,
};

fn entry(index: u64, term: u64, records: Vec<MetadataRecord>) -> Entry {
    Entry { position: Position { index, term }, records }
}

fn frames(entries: &[Entry]) -> Vec<u8> {
    entries.iter().flat_map(|e| encode_frame(std::slice::from_ref(e))).collect()
}

fn bytes_of(record: &MetadataRecord) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(&mut out);
    out
}

#[test]
fn every_record_reads_back_and_no_part_of_it_does() {
    for record in every_kind() {
        let bytes = bytes_of(&record);
        assert_eq!(MetadataRecord::decode(&bytes), Ok(record.clone()));
        for cut in 0..bytes.len() {
            MetadataRecord::decode(&bytes[..cut]).expect_err(&format!("{record:?} cut at {cut}"));
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(MetadataRecord::decode(&longer), Err(Malformed::Leftover { bytes: 1 }));
    }
}

#[test]
fn a_record_of_a_newer_version_is_refused_by_name() {
    let mut bytes = bytes_of(&created(1, "t"));
    bytes[1] = 2;
    assert_eq!(MetadataRecord::decode(&bytes), Err(Malformed::UnknownRecord { kind: 3, version: 2 }));
    assert_eq!(MetadataRecord::decode(&[200, 1]), Err(Malformed::UnknownRecord { kind: 200, version: 1 }));
}

#[test]
fn a_count_that_the_bytes_cannot_hold_is_refused_before_allocating() {
    let mut bytes = bytes_of(&MetadataRecord::PartitionCreated { key: key(1, 0), state: state(0) });
    bytes[22..26].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(MetadataRecord::decode(&bytes), Err(Malformed::Short { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn damaged_bytes_are_refused_in_peace(
        noise in vec(any::<u8>(), 0..200),
        hits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let _ = MetadataRecord::decode(&noise);
        let _ = scan(&noise);
        let _ = decode_snapshot(&noise);
        let image = image_of(&every_kind());
        let mut snapshot = encode_snapshot(&image);
        let mut log = frames(&[entry(1, 1, every_kind()), entry(2, 1, vec![created(5, "five")])]);
        let mut records: Vec<Vec<u8>> = every_kind().iter().map(bytes_of).collect();
        for (at, byte) in hits {
            for target in records.iter_mut().chain([&mut snapshot, &mut log]) {
                let at = at.index(target.len());
                target[at] = byte;
            }
        }
        records.iter().for_each(|r| drop(MetadataRecord::decode(r)));
        if let Ok(decoded) = decode_snapshot(&snapshot) {
            prop_assert_eq!(decoded, image);
        }
        let scanned = scan(&log).expect("a checksum stands before every decoder");
        prop_assert!(scanned.entries.len() <= 2);
    }
}

#[test]
fn frames_read_back_across_blocks() {
    let long = set(ConfigResource::AllBrokers, "x", &"y".repeat(3 * BLOCK));
    let entries = [entry(5, 2, vec![long]), entry(6, 2, every_kind()), entry(7, 3, vec![])];
    let bytes = frames(&entries);
    assert_eq!(bytes.len(), 6 * BLOCK);
    let scanned = scan(&bytes).unwrap();
    assert_eq!(scanned.entries, entries);
    assert_eq!((scanned.end, scanned.verdict), (bytes.len() as u64, Verdict::Clean));
    assert_eq!(scan(&encode_frame(&entries)).unwrap().entries, entries);

    let preallocated = [bytes.clone(), vec![0; 3 * BLOCK]].concat();
    assert_eq!(scan(&preallocated).unwrap().end, bytes.len() as u64);
    assert_eq!(scan(&[]).unwrap().verdict, Verdict::Clean);
}

#[test]
fn an_index_at_the_end_of_numbers_is_an_order_like_any_other() {
    // Found by the fuzz target `metadata_logs`: one more than it was computed to compare.
    let scanned = scan(&frames(&[entry(u64::MAX, 1, every_kind()), entry(2, 1, vec![])]));
    assert!(matches!(scanned, Err(StorageError::Order { index: 2, .. })), "{scanned:?}");
}

#[test]
fn a_torn_last_frame_ends_the_log_at_any_cut() {
    let first = frames(&[entry(1, 1, vec![created(1, "a")])]);
    let last = frames(&[entry(2, 1, vec![set(ConfigResource::AllBrokers, "x", &"y".repeat(2 * BLOCK))])]);
    for cut in (1..last.len()).step_by(97) {
        let scanned = scan(&[&first, &last[..cut]].concat()).unwrap();
        assert_eq!((scanned.entries.len(), scanned.end), (1, BLOCK as u64));
        assert_eq!(scanned.verdict, Verdict::Torn { at: BLOCK as u64 });
    }
    for lost in 0..last.len() / BLOCK {
        let mut torn = last.clone();
        torn[lost * BLOCK..(lost + 1) * BLOCK].fill(0);
        assert_eq!(scan(&[first.clone(), torn].concat()).unwrap().entries.len(), 1, "block {lost} lost");
    }
}

#[test]
fn an_unreadable_frame_before_a_whole_one_is_damage() {
    let mut bytes = frames(&[entry(1, 1, every_kind()), entry(2, 1, vec![created(5, "five")])]);
    bytes[100] ^= 1;
    let intact_at = (bytes.len() - BLOCK) as u64;
    assert_eq!(scan(&bytes).unwrap().verdict, Verdict::Damaged { at: 0, intact_at });
}

#[test]
fn a_text_that_spells_a_frame_is_not_one() {
    let forged = frames(&[entry(9, 9, vec![created(9, "forged")])]);
    // Every alignment of the forged block within the blocks of the true one.
    for shift in (0..BLOCK).step_by(4) {
        let text = format!("{}{}", " ".repeat(shift), forged.iter().map(|&b| b as char).collect::<String>());
        let mut bytes = frames(&[entry(1, 1, vec![set(ConfigResource::AllBrokers, "x", &text)])]);
        bytes[10] ^= 1;
        assert_eq!(scan(&bytes).unwrap().verdict, Verdict::Torn { at: 0 }, "shift {shift}");
    }
}

#[test]
fn an_entry_of_a_new_term_replaces_what_its_leader_does_not_have() {
    let entries = [
        entry(1, 1, vec![created(1, "a")]),
        entry(2, 1, vec![created(2, "b")]),
        entry(3, 1, vec![created(3, "c")]),
        entry(2, 2, vec![created(4, "d")]),
    ];
    let scanned = scan(&frames(&entries)).unwrap();
    assert_eq!(scanned.entries, [entries[0].clone(), entries[3].clone()]);
    for bad in [entry(3, 1, vec![]), entry(0, 2, vec![]), entry(1, 0, vec![])] {
        let start = [entry(1, 1, vec![])];
        scan(&frames(&[start.as_slice(), &[bad]].concat())).expect_err("refused");
    }
}

#[test]
fn a_snapshot_reads_back_or_is_refused() {
    let image = image_of(&every_kind());
    let bytes = encode_snapshot(&image);
    assert_eq!(decode_snapshot(&bytes), Ok(image));
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        assert_eq!(decode_snapshot(&bad), Err(StorageError::SnapshotDamaged), "byte {at}");
        assert_eq!(decode_snapshot(&bytes[..at]), Err(StorageError::SnapshotDamaged), "cut at {at}");
    }
}
