//! The batches that real clients sent (`wire/tests/golden`): each validates, inflates and walks to
//! its end.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use engine::base::WallMs;
use engine::record::{BatchError, BatchHeader, Codec, Limits, Records, TimestampType, payload, validate};
use wire::{Message, Reader, RequestHeader};

const INFLATE_MAX: usize = 1 << 20;

/// Records of the golden frames are stamped from here on, ms.
const EPOCH: i64 = 1_700_000_000_000;

fn produce_requests() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("wire/tests/golden")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the golden frames") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
            if path.is_dir() {
                folders.push(path);
            } else if name.starts_with("produce-") && name.ends_with("-request.bin") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn batches_of_real_clients_pass_and_walk_to_their_end() {
    let mut seen = BTreeSet::new();
    let (mut nulls, mut headers, mut twice) = (0, 0, 0);
    for path in produce_requests() {
        let name = path.display().to_string();
        let frame = std::fs::read(&path).expect(&name);
        let mut r = Reader::new(&frame);
        let request_header = RequestHeader::decode(&mut r).expect(&name);
        let version = request_header.api_version;
        let request = wire::produce::Request::decode(version, &mut r).expect(&name);
        for partition in request.topic_data.iter().flat_map(|t| t.partition_data.iter()) {
            let batch = &frame[partition.records.range().expect("records")];
            let header = BatchHeader::peek(batch).expect(&name);
            let limits = Limits {
                max_bytes: 1 << 20,
                segment_bytes: 1 << 30,
                produce_version: version,
                timestamp_type: TimestampType::CreateTime,
                timestamp_before_max_ms: u64::MAX,
                timestamp_after_max_ms: u64::MAX,
                now: WallMs(EPOCH),
                keys_required: false,
                inflate_bytes_max: Some(INFLATE_MAX),
            };
            let summary = validate(batch, &limits);
            if request.transactional_id.is_some() {
                assert_eq!(summary, Err(BatchError::Transactional), "{name}");
                continue;
            }
            let summary = summary.expect(&name);
            assert_eq!(summary.patch, None, "{name}: its largest timestamp is true");
            let folder =
                path.parent().and_then(|p| p.file_name()).and_then(|n| n.to_str()).expect("a folder");
            let codec = match folder {
                "gzip" => Codec::Gzip,
                "snappy" => Codec::Snappy,
                "lz4" => Codec::Lz4,
                "zstd" => Codec::Zstd,
                _ => summary.codec,
            };
            assert_eq!(summary.codec, codec, "{name}");
            let inflated = payload(batch, INFLATE_MAX).expect(&name);
            let records: Vec<_> = Records::of(header, &inflated).collect::<Result<_, _>>().expect(&name);
            assert_eq!(records.len(), summary.count as usize, "{name}");
            for record in &records {
                assert!(record.timestamp >= EPOCH, "{name}: {}", record.timestamp);
                nulls += usize::from(record.key.is_none()) + usize::from(record.value.is_none());
                let keys: Vec<&[u8]> = record.headers.map(|h| h.key).collect();
                headers += keys.len();
                twice += usize::from(keys.len() > keys.iter().collect::<BTreeSet<_>>().len());
            }
            let client = name.split("golden/").nth(1).and_then(|p| p.split('/').next()).expect("a client");
            seen.insert((client.to_owned(), format!("{codec:?}")));
        }
    }
    for client in ["java", "confluent-kafka", "kcat", "kafka-python"] {
        for codec in ["Gzip", "Snappy", "Lz4", "Zstd"] {
            assert!(seen.contains(&(client.to_owned(), codec.to_owned())), "{client} {codec}");
        }
    }
    assert!(
        nulls > 0 && headers > 0 && twice > 0,
        "{nulls} nulls, {headers} headers, {twice} with a name twice"
    );
}
