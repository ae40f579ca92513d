//! Batches against the public codec crate, both ways, in every codec.

use bytes::{Bytes, BytesMut};
use engine::base::{ProducerEpoch, ProducerId, WallMs};
use engine::record::{BatchBuilder, BatchHeader, Codec, Limits, Records, TimestampType, payload, validate};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;

const NOW: i64 = 1_700_000_000_000;
const CODECS: [(Codec, theirs::Compression); 5] = [
    (Codec::None, theirs::Compression::None),
    (Codec::Gzip, theirs::Compression::Gzip),
    (Codec::Snappy, theirs::Compression::Snappy),
    (Codec::Lz4, theirs::Compression::Lz4),
    (Codec::Zstd, theirs::Compression::Zstd),
];

/// Values from empty to larger than any codec's block, some compressible, some not.
fn values() -> Vec<Option<Vec<u8>>> {
    let noise = |n: u32| (0..n).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    vec![None, Some(vec![]), Some(noise(100)), Some(vec![b'a'; 40_000]), Some(noise(150_000)), Some(vec![1])]
}

#[test]
fn what_we_build_the_oracle_reads() {
    for (codec, compression) in CODECS {
        let mut builder = BatchBuilder::new(codec);
        builder.set_producer(ProducerId(77), ProducerEpoch(3), 500);
        for (i, value) in (0i64..).zip(values()) {
            builder.push(NOW + i, Some(b"key"), value.as_deref(), &[(b"h", Some(b"1")), (b"n", None)]);
        }
        let set = theirs::RecordBatchDecoder::decode(&mut Bytes::from(builder.finish())).expect("readable");
        assert_eq!(set.compression as u8, compression as u8);
        assert_eq!(set.records.len(), values().len());
        for ((i, record), value) in (0i64..).zip(&set.records).zip(values()) {
            assert_eq!((record.offset, record.timestamp, record.sequence), (i, NOW + i, 500 + i as i32));
            assert_eq!((record.producer_id, record.producer_epoch), (77, 3));
            assert_eq!(record.key.as_deref(), Some(&b"key"[..]));
            assert_eq!(record.value.as_deref(), value.as_deref());
            let headers: Vec<_> = record.headers.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
            assert_eq!(headers, [("h", Some(&b"1"[..])), ("n", None)]);
        }
    }
}

#[test]
fn what_the_oracle_builds_we_accept_and_read() {
    let limits = Limits {
        max_bytes: 1 << 20,
        segment_bytes: 1 << 30,
        produce_version: 9,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: 10,
        timestamp_after_max_ms: 10,
        now: WallMs(NOW),
        keys_required: false,
        inflate_bytes_max: Some(1 << 20),
    };
    for (codec, compression) in CODECS {
        let records: Vec<theirs::Record> = (0i64..)
            .zip(values())
            .map(|(i, value)| theirs::Record {
                transactional: false,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: -1,
                producer_id: 77,
                producer_epoch: 3,
                timestamp_type: theirs::TimestampType::Creation,
                offset: i,
                sequence: 500 + i as i32,
                timestamp: NOW + i,
                key: None,
                value: value.map(Bytes::from),
                headers: [(StrBytes::from_static_str("h"), Some(Bytes::from_static(b"1")))]
                    .into_iter()
                    .collect(),
            })
            .collect();
        let mut batch = BytesMut::new();
        let options = theirs::RecordEncodeOptions { version: 2, compression };
        theirs::RecordBatchEncoder::encode(&mut batch, &records, &options).expect("encodable");

        let summary = validate(&batch, &limits).unwrap_or_else(|e| panic!("{codec:?}: {e}"));
        assert_eq!((summary.codec, summary.count as usize), (codec, records.len()));
        assert_eq!(summary.producer.expect("a producer").base_sequence, 500);
        let inflated = payload(&batch, 1 << 20).expect("inflates");
        let ours: Vec<_> = Records::of(BatchHeader::peek(&batch).expect("a header"), &inflated)
            .collect::<Result<_, _>>()
            .expect("readable");
        for (record, theirs) in ours.iter().zip(&records) {
            assert_eq!((record.offset.0, record.timestamp), (theirs.offset, theirs.timestamp));
            assert_eq!((record.key, record.value), (None, theirs.value.as_deref()));
            let headers: Vec<_> = record.headers.map(|h| (h.key, h.value)).collect();
            assert_eq!(headers, [(&b"h"[..], Some(&b"1"[..]))]);
        }
    }
}
