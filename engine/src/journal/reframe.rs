//! A sealed frame once more, for another file of the journal.

use zerocopy::IntoBytes;

use super::extent::ExtentView;
use super::layout::{ENTRY_BYTES, EntryHeader, EntryKind, FRAME_HEADER_BYTES, FrameHeader};
use crate::io::BLOCK;

/// The frame `frame` as it is written to a file of this incarnation, padded to whole blocks. Its number and
/// its entries stay; the extent with number `i`, counted from 0, becomes a batch with all its bytes where
/// `whole(i)` gives its whole blocks.
///
/// # Panics
/// If `frame` is not one that this process sealed, or `whole` gives other bytes than the extent's.
#[must_use]
pub fn reframe(
    frame: &[u8],
    incarnation: u64,
    flush_mark: u64,
    mut whole: impl FnMut(usize) -> Option<Vec<u8>>,
) -> Vec<u8> {
    let old = FrameHeader::peek(frame).expect("a sealed frame has a header");
    let mut rest = &frame[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + old.payload_bytes()];
    let mut out = vec![0; FRAME_HEADER_BYTES];
    let (mut crc, mut extents) = (0, 0);
    let mut put = |out: &mut Vec<u8>, header: &EntryHeader, parts: &[&[u8]]| {
        crc = crc32c::crc32c_append(crc, header.as_bytes());
        out.extend(header.as_bytes());
        parts.iter().for_each(|part| out.extend_from_slice(part));
    };
    while let Some(header) = EntryHeader::peek(rest) {
        let (payload, behind) = rest[ENTRY_BYTES..].split_at(header.payload_bytes());
        rest = behind;
        let number = extents;
        extents += usize::from(header.kind() == Some(EntryKind::Extent));
        let middle = if extents > number { whole(number) } else { None };
        let Some(middle) = middle else {
            put(&mut out, &header, &[payload]);
            continue;
        };
        let place = header.place();
        let extent = ExtentView::read(&place, payload).expect("a sealed extent");
        assert!(middle.len() == extent.middle, "{} bytes of whole blocks", middle.len());
        let bytes = extent.head.len() + extent.middle + extent.tail.len();
        let batch = EntryHeader::batch(&place, bytes as u32);
        put(&mut out, &batch, &[extent.head, &middle, extent.tail]);
    }
    let payload = (out.len() - FRAME_HEADER_BYTES) as u32;
    let header = FrameHeader::new(incarnation, old.sequence(), flush_mark, payload, old.entries(), crc);
    out[..FRAME_HEADER_BYTES].copy_from_slice(header.as_bytes());
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{LeaderEpoch, Offset, PartitionKey, WallMs};
    use crate::journal::{BatchPlace, FrameBuilder, FrameView, Shape};
    use crate::record::{BatchBuilder, Codec};

    fn place(base: i64, position: u64) -> BatchPlace {
        BatchPlace {
            key: PartitionKey::default(),
            generation: 1,
            leader_epoch: LeaderEpoch(4),
            base_offset: Offset(base),
            last_offset: Offset(base),
            segment: Offset(0),
            position,
            appended_at: WallMs(9),
        }
    }

    fn batch(bytes: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1, None, Some(&vec![7; bytes]), &[]);
        builder.finish()
    }

    #[test]
    fn a_frame_moves_and_its_extents_may_become_whole() {
        let mut builder = FrameBuilder::new();
        let take = |bytes: usize| Some(vec![0xEE_u8; bytes.next_multiple_of(BLOCK)]);
        let (small, large) = (batch(100), batch(50_000));
        builder.push_batch(0, &place(10, 0), &small, true, take).expect("memory");
        builder.push_extent(1, &place(11, small.len() as u64), &large, take).expect("memory");
        builder.push_extent(2, &place(12, 5_000), &large, take).expect("memory");
        builder.push_log_start(0, &place(3, 0), take).expect("memory");
        let sealed = builder.seal(5, 70, 69, Vec::new());
        let frame: Vec<u8> = sealed.buffers.iter().flat_map(|(b, n)| b[..*n].to_vec()).collect();
        let middle = |i: usize| -> Vec<u8> {
            sealed.extents[i].buffers.iter().flat_map(|(b, n)| b[..*n].to_vec()).collect()
        };
        for converted in [vec![], vec![1], vec![0, 1]] {
            let moved = reframe(&frame, 6, 68, |i| converted.contains(&i).then(|| middle(i)));
            assert!(moved.len().is_multiple_of(BLOCK));
            let view = FrameView::verify(&moved, 6, 70).expect("it verifies");
            assert_eq!(view.header.flush_mark(), 68);
            let kinds: Vec<EntryKind> = view.entries().map(|e| e.kind).collect();
            let kind = |i| if converted.contains(&i) { EntryKind::Batch } else { EntryKind::Extent };
            assert_eq!(kinds, [EntryKind::Batch, kind(0), kind(1), EntryKind::LogStart]);
            for (i, entry) in view.entries().enumerate().filter(|(_, e)| e.kind == EntryKind::Extent) {
                assert!(entry.extent().expect("an extent").holds(&middle(i - 1)));
            }
        }
        assert_eq!(Shape::of(5_000, large.len()).middle, middle(1).len());
    }
}
