//! Journal frames as they are built, written and read back.

use engine::base::{LeaderEpoch, Offset, PartitionKey, TopicId, WallMs};
use engine::io::BLOCK;
use engine::journal::{
    BatchPlace, EntryKind, ExtentView, FILE_HEADER_BYTES, FRAME_BYTES_MAX, FileHeader, FrameBuilder,
    FrameError, FrameView, JournalFile, NoMemory, Ring, ScanEnd, Shape, Stored, Verdict, file_name,
    file_number, judge, may_be_of, next_incarnation,
};
use engine::record::{BatchBuilder, BatchHeader, Codec};
use proptest::prelude::*;
use zerocopy::IntoBytes;

fn batch(value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1_000, Some(b"key"), Some(&vec![7; value_bytes]), &[]);
    builder.finish()
}

fn place(offset: i64) -> BatchPlace {
    BatchPlace {
        key: PartitionKey { topic: TopicId(uuid::Uuid::from_u128(5)), index: 3 },
        generation: 2,
        leader_epoch: LeaderEpoch(4),
        base_offset: Offset(offset),
        last_offset: Offset(offset),
        segment: Offset(0),
        position: 10 * offset as u64,
        appended_at: WallMs(99),
    }
}

fn memory(bytes: usize) -> Option<Vec<u8>> {
    Some(vec![0xEE; bytes])
}

/// A frame with one batch of each size, as it lies on disk.
fn frame(sizes: &[usize], incarnation: u64, sequence: u64, mark: u64) -> Vec<u8> {
    let mut builder = FrameBuilder::new();
    for (i, size) in sizes.iter().enumerate() {
        builder.push_batch(1, &place(i as i64), &batch(*size), true, memory).expect("memory");
    }
    let sealed = builder.seal(incarnation, sequence, mark, Vec::new());
    let bytes: Vec<u8> = sealed.buffers.iter().flat_map(|(b, n)| b[..*n].to_vec()).collect();
    assert_eq!(bytes.len(), sealed.disk_bytes);
    assert!(builder.is_empty());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_frame_reads_back_as_it_was_built(sizes in prop::collection::vec(0usize..40_000, 1..40)) {
        let bytes = frame(&sizes, 9, 17, 16);
        prop_assert!(bytes.len().is_multiple_of(BLOCK));
        let view = FrameView::verify(&bytes, 9, 17).expect("verifies");
        prop_assert_eq!(view.header.flush_mark(), 16);
        let entries: Vec<_> = view.entries().collect();
        prop_assert_eq!(entries.len(), sizes.len());
        for (i, (entry, size)) in entries.iter().zip(&sizes).enumerate() {
            prop_assert_eq!(entry.kind, EntryKind::Batch);
            prop_assert_eq!(entry.place.base_offset, Offset(i as i64));
            prop_assert_eq!(entry.place.position, 10 * i as u64);
            let header = BatchHeader::peek(entry.payload).expect("a header");
            prop_assert_eq!(header.leader_epoch(), LeaderEpoch(4));
            prop_assert_eq!(&entry.payload[16..], &batch(*size)[16..]);
            prop_assert_eq!(&bytes[entry.at..entry.at + entry.payload.len()], entry.payload);
        }
    }

    #[test]
    fn no_changed_bit_of_a_frame_passes(at in 0usize..12_000, bit in 0u8..8) {
        let good = frame(&[3_000, 5_000, 10], 9, 17, 16);
        let view = FrameView::verify(&good, 9, 17).expect("verifies");
        let used = 64 + view.header.payload_bytes();
        let at = at % used;
        let mut bad = good.clone();
        bad[at] ^= 1 << bit;
        prop_assert!(FrameView::verify(&bad, 9, 17).is_err(), "bit {} of byte {}", bit, at);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..9_000), magic in any::<bool>()) {
        if magic && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(b"RLFRAME1");
        }
        prop_assert!(FrameView::verify(&bytes, 1, 1).is_err());
    }
}

/// Found by the property above, once in some forty runs: a batch's magic lies in front of its checksum.
#[test]
fn no_changed_bit_of_a_small_frame_passes() {
    let good = frame(&[10], 9, 17, 16);
    let view = FrameView::verify(&good, 9, 17).expect("verifies");
    for bit in 0..8 * (64 + view.header.payload_bytes()) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(FrameView::verify(&bad, 9, 17).is_err(), "bit {bit}");
    }
}

#[test]
fn frames_of_another_use_or_number_are_refused() {
    let bytes = frame(&[100], 9, 17, 16);
    assert_eq!(FrameView::verify(&bytes, 8, 17).err(), Some(FrameError::Absent { incarnation: 8 }));
    assert_eq!(FrameView::verify(&bytes, 9, 18).err(), Some(FrameError::Sequence { got: 17, expected: 18 }));
    assert!(FrameView::verify(&bytes[..BLOCK / 2], 9, 17).is_ok());
}

#[test]
fn a_push_without_memory_changes_nothing() {
    let mut builder: FrameBuilder<Vec<u8>> = FrameBuilder::new();
    builder.push_batch(0, &place(0), &batch(100), true, memory).expect("memory");
    let before = builder.bytes();
    assert_eq!(builder.push_batch(0, &place(1), &batch(50_000), true, |_| None), Err(NoMemory));
    assert_eq!(builder.bytes(), before);
    let sealed = builder.seal(1, 1, 0, Vec::new());
    assert_eq!(sealed.entries.len(), 1);
}

#[test]
fn a_lone_small_batch_holds_one_block_and_a_large_one_few_buffers() {
    let mut builder = FrameBuilder::new();
    builder.push_batch(0, &place(0), &batch(100), true, memory).expect("memory");
    let sealed = builder.seal(1, 1, 0, Vec::new());
    assert_eq!(sealed.buffers.iter().map(|(b, _)| b.len()).collect::<Vec<_>>(), [BLOCK]);
    builder.push_batch(0, &place(0), &batch(1 << 20), true, memory).expect("memory");
    assert!(builder.seal(1, 2, 1, Vec::new()).buffers.len() <= 6);
}

#[test]
fn a_frame_has_a_bound_and_an_empty_one_takes_any_batch() {
    let mut builder: FrameBuilder<Vec<u8>> = FrameBuilder::new();
    assert!(builder.fits(8 << 20, 1 << 20));
    assert!(!builder.fits(FRAME_BYTES_MAX, 1 << 20));
    builder.push_batch(0, &place(0), &batch(600_000), true, memory).expect("memory");
    assert!(builder.fits(300_000, 1 << 20));
    assert!(!builder.fits(600_000, 1 << 20));
}

#[test]
fn only_relaxed_batches_need_no_flush() {
    let mut builder = FrameBuilder::new();
    builder.push_batch(0, &place(0), &batch(1), false, memory).expect("memory");
    assert!(!builder.seal(1, 1, 0, Vec::new()).needs_flush);
    builder.push_batch(0, &place(0), &batch(1), false, memory).expect("memory");
    builder.push_batch(1, &place(0), &batch(1), true, memory).expect("memory");
    assert!(builder.seal(1, 2, 1, Vec::new()).needs_flush);
}

#[test]
fn what_lies_at_or_below_a_flush_mark_is_damage_and_above_it_torn() {
    assert_eq!(judge(ScanEnd { missing: 8, flush_mark: 7 }), Verdict::Torn);
    assert_eq!(judge(ScanEnd { missing: 8, flush_mark: 8 }), Verdict::Damaged);
    assert_eq!(judge(ScanEnd { missing: 8, flush_mark: 11 }), Verdict::Damaged);
}

#[test]
fn a_file_header_holds_or_is_none() {
    let header = FileHeader::new(3, 12, 400, 397);
    let mut block = vec![0; BLOCK];
    block[..header.as_bytes().len()].copy_from_slice(header.as_bytes());
    let read = FileHeader::read(&block).expect("whole");
    assert_eq!((read.incarnation(), read.first_sequence()), (12, 400));
    let unflushed: Vec<u64> = (0..500).filter(|sequence| read.was_unflushed(*sequence)).collect();
    assert_eq!(unflushed, [398, 399]);
    let many = FileHeader::new(3, 12, 400_000, 5);
    assert!(many.was_unflushed(1) && many.was_unflushed(399_999) && !many.was_unflushed(400_000));
    for at in 0..32 {
        let mut bad = block.clone();
        bad[at] ^= 1;
        assert!(FileHeader::read(&bad).is_none(), "byte {at}");
    }
    assert!(FileHeader::read(&block[..16]).is_none());
    assert_eq!(file_number(&file_name(7)), Some(7));
    assert_eq!(file_number("journal-7"), None);
    assert_eq!(file_number("checkpoint-0"), None);
}

#[test]
fn a_file_is_used_again_only_when_a_checkpoint_covers_its_last_frame() {
    let bytes = FILE_HEADER_BYTES + 2 * BLOCK as u64;
    let mut ring = Ring::new();
    ring.add(JournalFile { number: 0, bytes });
    ring.add(JournalFile { number: 1, bytes });
    assert_eq!(ring.place(1, BLOCK), None, "nothing is active yet");
    assert_eq!(ring.advance(1, BLOCK).map(|f| f.number), Some(0));
    assert_eq!(ring.place(1, BLOCK).map(|(f, at)| (f.number, at)), Some((0, FILE_HEADER_BYTES)));
    assert_eq!(ring.place(2, BLOCK).map(|(_, at)| at), Some(FILE_HEADER_BYTES + BLOCK as u64));
    assert_eq!(ring.place(3, BLOCK), None, "full");
    assert_eq!(ring.advance(3, BLOCK).map(|f| f.number), Some(1));
    assert!(ring.place(3, 2 * BLOCK).is_some());
    assert_eq!(ring.advance(4, BLOCK), None, "no free file");
    ring.trim(1);
    assert_eq!(ring.advance(4, BLOCK), None, "frame 2 is not covered");
    ring.trim(2);
    assert_eq!(ring.advance(4, BLOCK).map(|f| f.number), Some(0));
}

/// A frame with one extent at `position`; the batch as it must lie in the segment; its middle.
fn extent_frame(position: u64, value_bytes: usize) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let place = BatchPlace { position, ..place(3) };
    let mut whole = batch(value_bytes);
    BatchHeader::peek_mut(&mut whole).expect("a header").stamp(place.base_offset, place.leader_epoch);
    let mut builder = FrameBuilder::new();
    builder.push_extent(1, &place, &batch(value_bytes), memory).expect("memory");
    let sealed = builder.seal(9, 17, 16, Vec::new());
    assert!(sealed.needs_flush);
    assert_eq!(sealed.entries[0].stored, Stored::Extent(0));
    let [extent] = &sealed.extents[..] else { panic!("one extent") };
    assert_eq!(extent.at, position.next_multiple_of(BLOCK as u64));
    let middle = extent.buffers.iter().flat_map(|(b, n)| b[..*n].to_vec()).collect();
    (sealed.buffers.iter().flat_map(|(b, n)| b[..*n].to_vec()).collect(), whole, middle)
}

#[test]
fn the_shape_of_the_worked_example() {
    let shape = Shape::of(10_000, 300_000);
    assert_eq!((shape.head, shape.middle, shape.tail), (2_288, 294_912, 2_800));
    assert_eq!(shape.payload_bytes(), 5_149);
    assert_eq!(Shape::of(1, 8_190), Shape { head: 8_190, middle: 0, tail: 0 }, "no whole block");
    assert_eq!(Shape::of(8_192, 4_096), Shape { head: 0, middle: 4_096, tail: 0 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_extent_and_its_entry_are_the_batch(position in 0u64..20_000, value in 8_200usize..600_000) {
        let (frame, whole, middle) = extent_frame(position, value);
        let view = FrameView::verify(&frame, 9, 17).expect("verifies");
        let entry = view.entries().next().expect("an entry");
        prop_assert_eq!(entry.kind, EntryKind::Extent);
        let extent = entry.extent().expect("an extent");
        prop_assert_eq!(extent.middle, middle.len());
        prop_assert_eq!([extent.head, &middle[..], extent.tail].concat(), whole);
        prop_assert!(extent.holds(&middle));
        prop_assert!(frame.len() <= 4 * BLOCK, "the middle is not in the frame");
    }

    #[test]
    fn no_changed_bit_of_an_extent_passes(at in 0usize..100_000, bit in 0u8..8) {
        let (frame, _, middle) = extent_frame(100, 50_000);
        let view = FrameView::verify(&frame, 9, 17).expect("verifies");
        let used = 64 + view.header.payload_bytes();
        let mut bad = frame.clone();
        bad[at % used] ^= 1 << bit;
        prop_assert!(FrameView::verify(&bad, 9, 17).is_err());
        let entry = view.entries().next().expect("an entry");
        let mut torn = middle.clone();
        torn[at % middle.len()] ^= 1 << bit;
        prop_assert!(!entry.extent().expect("an extent").holds(&torn));
    }

    #[test]
    fn no_payload_makes_the_extent_reader_panic(
        payload in prop::collection::vec(any::<u8>(), 0..9_000),
        position in any::<u64>(),
    ) {
        let place = BatchPlace { position, ..place(0) };
        prop_assert!(ExtentView::read(&place, &payload).is_none());
    }
}

#[test]
fn an_extent_without_memory_changes_nothing() {
    let mut builder: FrameBuilder<Vec<u8>> = FrameBuilder::new();
    builder.push_batch(0, &place(0), &batch(100), true, memory).expect("memory");
    let before = builder.bytes();
    let mut left = 1;
    let mut take = |bytes| {
        left -= 1;
        if left >= 0 { memory(bytes) } else { None }
    };
    assert_eq!(builder.push_extent(0, &place(1), &batch(600_000), &mut take), Err(NoMemory));
    assert_eq!(builder.bytes(), before);
    assert!(builder.seal(1, 1, 0, Vec::new()).extents.is_empty());
}

#[test]
fn an_incarnation_names_its_core_and_rises() {
    let before_cores_were_named = 12;
    assert!((0..3).all(|core| may_be_of(before_cores_were_named, core)));
    let mut highest = before_cores_were_named;
    for core in [0, 3, u16::MAX, 0, 1] {
        let next = next_incarnation(highest, core);
        assert!(next > highest, "{next} behind {highest}");
        assert!(may_be_of(next, core) && !may_be_of(next, core ^ 1), "{next} of core {core}");
        highest = next;
    }
}
