use std::io::Write;

use super::*;
use crate::record::{BatchError, Blame, RecordFault};

fn refusal(batch: &[u8], limits: &Limits) -> BatchError {
    validate(batch, limits).expect_err("refused")
}

#[test]
fn an_honest_batch_passes_with_every_codec() {
    for codec in CODECS {
        let summary = validate(&sample(codec), &limits()).unwrap();
        assert_eq!((summary.count, summary.codec, summary.max_timestamp), (3, codec, NOW.0 + 5));
        assert_eq!(summary.producer.unwrap().base_sequence, 40);
        assert_eq!(summary.patch, None);
    }
}

#[test]
fn each_lie_in_the_header_has_its_refusal() {
    let batch = sample(Codec::None);
    let cases: &[(&str, usize, &[u8], Blame)] = &[
        ("base offset", 7, &[1], Blame::InvalidRecord),
        ("old magic", 16, &[1], Blame::InvalidRecord),
        ("oldest magic", 16, &[0], Blame::InvalidRecord),
        ("magic of the future", 16, &[3], Blame::Corrupt),
        ("negative magic", 16, &[0xff], Blame::Corrupt),
        ("codec 5", 22, &[5], Blame::UnsupportedCompression),
        ("codec 7", 22, &[7], Blame::UnsupportedCompression),
        ("control", 22, &[1 << 5], Blame::InvalidRecord),
        ("delete horizon", 22, &[1 << 6], Blame::InvalidRecord),
        ("transactional", 22, &[1 << 4], Blame::Transactional),
        ("append time", 22, &[1 << 3], Blame::InvalidTimestamp),
        ("last offset delta", 26, &[3], Blame::InvalidRecord),
        ("no records", 57, &[0, 0, 0, 0], Blame::InvalidRecord),
        ("negative count", 57, &[0x80, 0, 0, 0], Blame::InvalidRecord),
        ("huge count", 23, &[0x7f, 0xff, 0xff, 0xfe], Blame::InvalidRecord),
        ("sequence −1", 53, &[0xff; 4], Blame::InvalidRecord),
        ("epoch −1", 51, &[0xff; 2], Blame::InvalidRecord),
    ];
    for (what, at, bytes, blame) in cases {
        let bad = tampered(&batch, *at, bytes);
        assert_eq!(refusal(&bad, &limits()).blame(), *blame, "{what}");
    }
    // A count that agrees with the last offset delta but not with the bytes.
    let mut bad = tampered(&batch, 23, &0x7fff_fffei32.to_be_bytes());
    bad = tampered(&bad, 57, &0x7fff_ffffi32.to_be_bytes());
    assert!(matches!(
        refusal(&bad, &limits()),
        BatchError::Record(RecordError { index: 3, fault: RecordFault::Truncated })
    ));
}

#[test]
fn an_lz4_frame_that_java_readers_refuse_is_corrupt() {
    let batch = sample(Codec::Lz4);
    let flags = batch[HEADER_BYTES + 4];
    let frames: [(&str, usize, &[u8]); 6] = [
        ("linked blocks", 4, &[flags & !(1 << 5)]),
        ("another version", 4, &[flags | 1 << 7]),
        ("a dictionary", 4, &[flags | 1]),
        ("the reserved bit", 4, &[flags | 2]),
        ("another magic", 0, &[5]),
        ("a skippable frame", 0, &[0x50, 0x2a, 0x4d, 0x18]),
    ];
    for (what, at, bytes) in frames {
        let error = refusal(&tampered(&batch, HEADER_BYTES + at, bytes), &limits());
        assert_eq!((&error, error.blame()), (&BatchError::Lz4Frame, Blame::Corrupt), "{what}");
    }
    for cut in HEADER_BYTES..HEADER_BYTES + 5 {
        assert_eq!(refusal(&resealed(batch[..cut].to_vec()), &limits()), BatchError::Lz4Frame);
    }
    // The encoder of `kafkajs-lz4`'s usual plug-in links its blocks.
    let mut linked = Vec::new();
    let info = lz4_flex::frame::FrameInfo::new().block_mode(lz4_flex::frame::BlockMode::Linked);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, &mut linked);
    encoder.write_all(&inflate(Codec::Lz4, &batch[HEADER_BYTES..], INFLATE_MAX).unwrap()).unwrap();
    encoder.finish().unwrap();
    let linked = resealed([&batch[..HEADER_BYTES], &linked].concat());
    assert_eq!(refusal(&linked, &limits()), BatchError::Lz4Frame);
}

#[test]
fn size_and_shape_are_checked_before_anything_else() {
    let batch = sample(Codec::None);
    assert_eq!(refusal(&[], &limits()), BatchError::Empty);
    assert_eq!(refusal(&[], &limits()).blame(), Blame::InvalidRecord);
    for cut in 1..batch.len() {
        assert_eq!(refusal(&batch[..cut], &limits()).blame(), Blame::Corrupt, "cut at {cut}");
    }
    let two = [batch.clone(), batch.clone()].concat();
    assert_eq!(refusal(&two, &limits()), BatchError::Trailing { bytes: batch.len() });
    let short = tampered(&batch, 8, &10i32.to_be_bytes());
    assert_eq!(refusal(&short, &limits()).blame(), Blame::Corrupt);
    let negative = tampered(&batch, 8, &(-1i32).to_be_bytes());
    assert_eq!(refusal(&negative, &limits()).blame(), Blame::Corrupt);

    let mut flipped = batch.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(refusal(&flipped, &limits()), BatchError::Checksum);

    let max = batch.len() as u32;
    validate(&batch, &Limits { max_bytes: max, segment_bytes: max, ..limits() }).unwrap();
    let tight = Limits { max_bytes: max - 1, ..limits() };
    assert_eq!(refusal(&flipped, &tight).blame(), Blame::TooLarge);
    let tight = Limits { segment_bytes: max - 1, ..limits() };
    assert_eq!(refusal(&batch, &tight).blame(), Blame::LargerThanSegment);
}

#[test]
fn zstd_needs_a_request_that_knows_it() {
    let batch = sample(Codec::Zstd);
    let old = Limits { produce_version: 6, ..limits() };
    assert_eq!(refusal(&batch, &old).blame(), Blame::UnsupportedCompression);
    validate(&batch, &Limits { produce_version: 7, ..limits() }).unwrap();
    validate(&sample(Codec::Lz4), &old).unwrap();
}

#[test]
fn each_lie_in_a_record_is_told_with_its_index() {
    // Records of one byte of value each: length, attributes, 3 deltas and lengths, value, headers.
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(NOW.0, None, Some(b"x"), &[]);
    builder.push(NOW.0, None, Some(b"y"), &[]);
    let batch = builder.finish();
    let second = HEADER_BYTES + 8;
    assert_eq!(batch[second..], [14, 0, 0, 2, 1, 2, b'y', 0]);
    let cases: &[(&str, usize, u8, RecordFault)] = &[
        ("longer than the batch", 0, 16, RecordFault::Length { length: 8, left: 7 }),
        ("negative length", 0, 1, RecordFault::Length { length: -1, left: 7 }),
        ("no body", 0, 0, RecordFault::Truncated),
        ("shorter than its fields", 0, 12, RecordFault::Truncated),
        ("not its place", 3, 0, RecordFault::OffsetDelta { claimed: 0 }),
        ("key longer than the record", 4, 20, RecordFault::Length { length: 10, left: 3 }),
        ("key length −2", 4, 3, RecordFault::Length { length: -2, left: 3 }),
        ("value ends early", 5, 0, RecordFault::HeaderCount { count: -61, left: 1 }),
        ("more headers than bytes", 7, 2, RecordFault::HeaderCount { count: 1, left: 0 }),
        ("negative headers", 7, 1, RecordFault::HeaderCount { count: -1, left: 0 }),
    ];
    for (what, at, byte, fault) in cases {
        let bad = tampered(&batch, second + at, &[*byte]);
        let error = refusal(&bad, &limits());
        assert_eq!(error, BatchError::Record(RecordError { index: 1, fault: *fault }), "{what}");
        assert_eq!((error.blame(), error.records()), (Blame::InvalidRecord, vec![1]));
    }
    let trailing = resealed([batch.as_slice(), &[0]].concat());
    let leftover = RecordError { index: 2, fault: RecordFault::Leftover { bytes: 1 } };
    assert_eq!(refusal(&trailing, &limits()), BatchError::Record(leftover));
    let endless = resealed([&batch[..second], &[0x80; 8]].concat());
    let varint = RecordError { index: 1, fault: RecordFault::Varint };
    assert_eq!(refusal(&endless, &limits()), BatchError::Record(varint));
}

#[test]
fn compressed_records_are_walked_only_where_a_bound_is_given() {
    let mut raw = sample(Codec::None);
    // A record that lies, compressed, under an honest header.
    raw[HEADER_BYTES + 1] ^= 0x7f;
    raw.truncate(raw.len() - 1);
    let mut small = raw[..HEADER_BYTES].to_vec();
    compress(Codec::Lz4, &raw[HEADER_BYTES..], &mut small);
    small[22] = 3;
    let lie = resealed(small);
    validate(&lie, &limits()).unwrap();
    let walking = Limits { inflate_bytes_max: Some(INFLATE_MAX), ..limits() };
    assert_eq!(refusal(&lie, &walking).blame(), Blame::InvalidRecord);
    let tight = Limits { inflate_bytes_max: Some(100), ..limits() };
    assert_eq!(refusal(&sample(Codec::Gzip), &tight).blame(), Blame::TooLarge);
}

#[test]
fn records_without_a_key_are_told_one_by_one_where_keys_are_required() {
    for codec in CODECS {
        let mut builder = BatchBuilder::new(codec);
        for key in [Some(&b"a"[..]), None, Some(b""), None] {
            builder.push(NOW.0, key, Some(b"x"), &[]);
        }
        let batch = builder.finish();
        validate(&batch, &limits()).unwrap();
        let compacted = Limits { keys_required: true, inflate_bytes_max: Some(INFLATE_MAX), ..limits() };
        let error = refusal(&batch, &compacted);
        assert_eq!((error.blame(), error.records()), (Blame::InvalidRecord, vec![1, 3]), "{codec:?}");
    }
}

#[test]
fn timestamps_outside_the_window_are_told_one_by_one() {
    let mut builder = BatchBuilder::new(Codec::None);
    for ahead in [0, 3_600_001, 5, -11, i64::MAX - NOW.0] {
        builder.push(NOW.0 + ahead, None, Some(b"x"), &[]);
    }
    let batch = builder.finish();
    let error = refusal(&batch, &Limits { timestamp_before_max_ms: 10, ..limits() });
    assert_eq!((error.blame(), error.records()), (Blame::InvalidTimestamp, vec![1, 3, 4]));
    let open = Limits { timestamp_after_max_ms: u64::MAX, ..limits() };
    validate(&batch, &open).unwrap();
}

#[test]
fn a_compressed_batch_answers_for_the_timestamps_its_header_claims() {
    let mut builder = BatchBuilder::new(Codec::Zstd);
    builder.push(NOW.0, None, Some(b"x"), &[]);
    builder.push(NOW.0 + 3_600_001, None, Some(b"x"), &[]);
    let batch = builder.finish();
    let error = refusal(&batch, &limits());
    assert_eq!((error.blame(), error.records()), (Blame::InvalidTimestamp, vec![1]));
}

#[test]
fn no_timestamp_is_in_every_window() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(-1, None, Some(b"x"), &[]);
    let tight = Limits { timestamp_before_max_ms: 0, timestamp_after_max_ms: 0, ..limits() };
    assert_eq!(validate(&builder.finish(), &tight).unwrap().max_timestamp, -1);
}

#[test]
fn a_wrong_largest_timestamp_is_corrected() {
    let batch = tampered(&sample(Codec::None), 35, &NOW.0.to_be_bytes());
    let summary = validate(&batch, &limits()).unwrap();
    assert_eq!(summary.patch, Some(Patch::MaxTimestamp(NOW.0 + 5)));
    let mut patched = batch.clone();
    summary.patch.unwrap().apply(&mut patched);
    assert_eq!(patched, sample(Codec::None));
}

#[test]
fn an_append_time_topic_takes_any_timestamp_and_stamps_its_own() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(i64::MAX, None, Some(b"x"), &[]);
    let mut batch = builder.finish();
    let limits = Limits { timestamp_type: TimestampType::LogAppendTime, ..limits() };
    let summary = validate(&batch, &limits).unwrap();
    assert_eq!(summary.max_timestamp, NOW.0);
    summary.patch.unwrap().apply(&mut batch);
    let header = BatchHeader::peek(&batch).unwrap();
    assert_eq!(header.attributes().timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(header.max_timestamp(), NOW.0);
    assert!(crc_matches(&batch));
}
