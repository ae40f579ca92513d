use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::base::Offset;

type Bytes = Vec<u8>;
type Plain = (i64, Option<Bytes>, Option<Bytes>, Vec<(Bytes, Option<Bytes>)>);

fn read_back(batch: &[u8]) -> Vec<Plain> {
    let payload = payload(batch, INFLATE_MAX).unwrap();
    Records::of(BatchHeader::peek(batch).unwrap(), &payload)
        .map(|r| {
            let r = r.unwrap();
            let headers = r.headers.map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec))).collect();
            (r.timestamp, r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec), headers)
        })
        .collect()
}

fn plain_record() -> impl Strategy<Value = Plain> {
    let bytes = || vec(any::<u8>(), 0..200);
    let header = (vec(any::<u8>(), 0..9), option::of(vec(any::<u8>(), 0..9)));
    (-1..NOW.0, option::of(bytes()), option::of(bytes()), vec(header, 0..4))
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn what_is_built_validates_and_reads_back(records in vec(plain_record(), 1..40), codec in 0usize..5) {
        let mut builder = BatchBuilder::new(CODECS[codec]);
        for (timestamp, key, value, headers) in &records {
            let headers: Vec<(&[u8], Option<&[u8]>)> =
                headers.iter().map(|(k, v)| (k.as_slice(), v.as_deref())).collect();
            builder.push(*timestamp, key.as_deref(), value.as_deref(), &headers);
        }
        let batch = builder.finish();
        let limits = Limits { inflate_bytes_max: Some(INFLATE_MAX), ..limits() };
        let summary = validate(&batch, &limits).unwrap();
        prop_assert_eq!(summary.count as usize, records.len());
        prop_assert_eq!(summary.max_timestamp, records.iter().map(|r| r.0).max().unwrap());
        prop_assert_eq!(summary.patch, None);
        prop_assert_eq!(read_back(&batch), records);
    }

    #[test]
    fn varints_read_back(n in any::<i64>()) {
        let mut bytes = Vec::new();
        varint::put(&mut bytes, n);
        prop_assert_eq!(bytes.len(), varint::len(n));
        let mut rest = bytes.as_slice();
        prop_assert_eq!(varint::take_i64(&mut rest), Ok(n));
        prop_assert!(rest.is_empty());
        let short = varint::take_i32(&mut bytes.as_slice());
        prop_assert_eq!(short.ok(), i32::try_from(n).ok());
    }
}

/// Numbers of one and two bytes are read apart from longer ones: both ways must agree. A byte that adds
/// nothing makes a short number a long one.
#[test]
fn short_numbers_read_as_their_longer_forms_do() {
    for low in 0..=u8::MAX {
        for high in 0..=u8::MAX {
            let mut rest: &[u8] = &[low, high];
            let short = varint::take_i32(&mut rest);
            let whole = low < 0x80 || high < 0x80;
            assert_eq!(short.is_ok(), whole, "{low:#x} {high:#x}");
            if whole {
                let used = if low < 0x80 { 1 } else { 2 };
                assert_eq!(rest.len(), 2 - used);
                let long = if used == 1 { [low | 0x80, 0x80, 0] } else { [low, high | 0x80, 0] };
                assert_eq!(short, varint::take_i32(&mut long.as_slice()));
                assert_eq!(short.map(i64::from), varint::take_i64(&mut long.as_slice()));
            }
        }
    }
    assert_eq!(varint::take_i32(&mut [].as_slice()), Err(varint::VarintError::Truncated));
    assert_eq!(varint::take_i32(&mut [0x80].as_slice()), Err(varint::VarintError::Truncated));
}

#[test]
fn large_payloads_pass_through_every_codec() {
    let mut bytes: Bytes = (0..700_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    bytes.extend(std::iter::repeat_n(b'a', 300_000));
    for codec in CODECS {
        let mut small = Vec::new();
        compress(codec, &bytes, &mut small);
        assert_eq!(inflate(codec, &small, bytes.len()).as_ref(), Ok(&bytes), "{codec:?}");
        let short = inflate(codec, &small, bytes.len() - 1);
        assert_eq!(short, Err(InflateError::TooLarge { max: bytes.len() - 1 }), "{codec:?}");
    }
}

#[test]
fn raw_snappy_and_concatenated_gzip_members_are_read() {
    let raw = snap::raw::Encoder::new().compress_vec(b"hello hello hello").unwrap();
    assert_eq!(inflate(Codec::Snappy, &raw, 100).unwrap(), b"hello hello hello");
    let mut members = Vec::new();
    compress(Codec::Gzip, b"one", &mut members);
    compress(Codec::Gzip, b"two", &mut members);
    assert_eq!(inflate(Codec::Gzip, &members, 100).unwrap(), b"onetwo");
}

#[test]
fn a_builder_begins_anew_after_each_batch() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(NOW.0, None, Some(b"first"), &[]);
    let first = builder.finish();
    builder.push(NOW.0 + 1, None, Some(b"other"), &[]);
    let mut both = first.clone();
    builder.finish_into(&mut both);
    let second = &both[first.len()..];
    assert_eq!(read_back(second), [(NOW.0 + 1, None, Some(b"other".to_vec()), vec![])]);
    validate(second, &limits()).unwrap();
}

#[test]
fn offsets_follow_the_stamped_base() {
    let mut batch = sample(Codec::Lz4);
    BatchHeader::peek_mut(&mut batch).unwrap().stamp(Offset(100), crate::base::LeaderEpoch(3));
    assert!(crc_matches(&batch), "offset and epoch lie outside the checksum");
    let inflated = payload(&batch, INFLATE_MAX).unwrap();
    let offsets: Vec<i64> =
        Records::of(BatchHeader::peek(&batch).unwrap(), &inflated).map(|r| r.unwrap().offset.0).collect();
    assert_eq!(offsets, [100, 101, 102]);
}

#[test]
fn append_time_becomes_the_time_of_every_record() {
    let mut batch = sample(Codec::None);
    stamp_append_time(&mut batch, WallMs(42));
    assert!(crc_matches(&batch));
    assert!(read_back(&batch).iter().all(|(timestamp, ..)| *timestamp == 42));
}

#[test]
fn a_restamped_batch_keeps_its_records_and_their_distances() {
    let mut batch = sample(Codec::Zstd);
    let before = read_back(&batch);
    restamp(
        &mut batch,
        &Stamp { base_timestamp: NOW.0 + 1000, producer: Some((ProducerId(8), ProducerEpoch(0), 43)) },
    );
    let summary = validate(&batch, &Limits { inflate_bytes_max: Some(INFLATE_MAX), ..limits() }).unwrap();
    assert_eq!(summary.max_timestamp, NOW.0 + 1005);
    let producer = summary.producer.unwrap();
    assert_eq!((producer.id, producer.epoch, producer.base_sequence), (ProducerId(8), ProducerEpoch(0), 43));
    for (old, new) in before.iter().zip(read_back(&batch)) {
        assert_eq!((old.0 + 1000, &old.1, &old.2, &old.3), (new.0, &new.1, &new.2, &new.3));
    }
    restamp(&mut batch, &Stamp { base_timestamp: 0, producer: None });
    assert_eq!(validate(&batch, &limits()).unwrap().producer, None);
}

#[test]
fn a_batch_is_byte_for_byte_what_kafka_writes() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1000, Some(b"k"), Some(b"v"), &[(b"a", Some(b"b"))]);
    let batch = builder.finish();
    let record = [22, 0, 0, 0, 2, b'k', 2, b'v', 2, 2, b'a', 2, b'b'];
    // The length counts from the attributes on.
    assert_eq!(batch[HEADER_BYTES], (record.len() as u8 - 1) * 2);
    assert_eq!(batch[HEADER_BYTES + 1..], record[1..]);
    assert_eq!(batch[8..12], (61 - 12 + 13i32).to_be_bytes());
    assert_eq!(batch[16], 2);
    assert_eq!(batch[43..57], [0xff; 14]);
}
