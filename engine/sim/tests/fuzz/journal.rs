//! Journal files.

use std::hint::black_box;

use bolero::check;
use engine::base::{LeaderEpoch, Offset, PartitionKey, TopicId, WallMs};
use engine::journal::{
    BatchPlace, ENTRY_BYTES, EntryHeader, EntryKind, FRAME_HEADER_BYTES, FileHeader, FrameBuilder,
    FrameHeader, FrameView, file_number,
};
use engine::record::BatchHeader;

use crate::{BRIEF, Input, batches};

const INCARNATION: u64 = 9;
const SEQUENCE: u64 = 17;

/// Frames of one batch, of many, and with an entry that has none.
fn frames() -> Vec<Vec<u8>> {
    let place = |i: i64, records: i32| BatchPlace {
        key: PartitionKey { topic: TopicId(uuid::Uuid::from_u128(5)), index: 3 },
        generation: 2,
        leader_epoch: LeaderEpoch(4),
        base_offset: Offset(i),
        last_offset: Offset(i + i64::from(records) - 1),
        segment: Offset(0),
        position: 10 * i as u64,
        appended_at: WallMs(99),
    };
    let memory = |bytes: usize| Some(vec![0xEE; bytes]);
    [1, 4, 10]
        .map(|count| {
            let mut builder = FrameBuilder::new();
            for (i, batch) in batches().into_iter().enumerate().take(count) {
                let records = BatchHeader::peek(&batch).expect("a header").record_count();
                builder.push_batch(1, &place(10 * i as i64, records), &batch, true, memory).expect("memory");
            }
            builder.push_log_start(1, &place(3, 1), memory).expect("memory");
            let sealed = builder.seal(INCARNATION, SEQUENCE, SEQUENCE - 1, Vec::new());
            sealed.buffers.iter().flat_map(|(buffer, n)| buffer[..*n].to_vec()).collect()
        })
        .into()
}

/// Makes the header's checksum and count match the entries, as far as they can be walked.
fn mend(frame: &mut [u8]) {
    let Some(header) = FrameHeader::peek(frame) else { return };
    let Some(entries) = frame.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + header.payload_bytes()) else {
        return;
    };
    let (mut at, mut crc, mut count) = (0, 0, 0);
    while let Some(head) = entries.get(at..at + ENTRY_BYTES) {
        let Some(entry) = EntryHeader::peek(head) else { break };
        crc = crc32c::crc32c_append(crc, head);
        at += ENTRY_BYTES + entry.payload_bytes();
        count += 1;
    }
    let at = at.min(entries.len()) as u32;
    let mended = FrameHeader::new(INCARNATION, SEQUENCE, header.flush_mark(), at, count, crc);
    frame[..FRAME_HEADER_BYTES].copy_from_slice(zerocopy::IntoBytes::as_bytes(&mended));
}

#[test]
fn journal_frames() {
    let sound = frames();
    for frame in &sound {
        FrameView::verify(frame, INCARNATION, SEQUENCE).expect("a sound frame");
    }
    check!().with_iterations(BRIEF).with_type::<Input>().for_each(|input| {
        let bytes = input.bytes(&sound, mend);
        let Ok(view) = FrameView::verify(&bytes, INCARNATION, SEQUENCE) else { return };
        for entry in view.entries() {
            assert_eq!(&bytes[entry.at..entry.at + entry.payload.len()], entry.payload);
            assert!(entry.kind != EntryKind::Batch || entry.place.base_offset <= entry.place.last_offset);
        }
    });
}

#[test]
fn journal_file_headers() {
    let sound =
        [zerocopy::IntoBytes::as_bytes(&FileHeader::new(1, INCARNATION, SEQUENCE, SEQUENCE - 1)).to_vec()];
    check!().with_iterations(BRIEF / 4).with_type::<Input>().for_each(|input| {
        let bytes = input.bytes(&sound, |header| {
            if header.len() >= 32 {
                let crc = crc32c::crc32c(&header[..28]);
                header[28..32].copy_from_slice(&crc.to_be_bytes());
            }
        });
        let _ = black_box(FileHeader::read(&bytes).map(|h| (h.incarnation(), h.first_sequence())));
        let _ = black_box(file_number(&String::from_utf8_lossy(&bytes)));
    });
}
