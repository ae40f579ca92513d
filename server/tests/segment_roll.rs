//! When a segment is full, as its files show: by bytes, by the time that its records span, by its index.

mod harness;

use std::path::Path;

use harness::{Broker, batch_at};
use wire::ErrorCode;

/// A value that leaves room for three batches in a segment of a mebibyte.
const LARGE: usize = 300_000;

/// The base offsets of a topic's segments; the only topic there is.
fn bases(data: &Path) -> Vec<i64> {
    let mut topics = std::fs::read_dir(data.join("topics")).unwrap();
    let topic = topics.next().unwrap().unwrap().path();
    assert!(topics.next().is_none());
    let names =
        std::fs::read_dir(topic.join("0")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut bases: Vec<i64> =
        names.filter_map(|n| n.strip_suffix(".log").map(|base| base.parse().unwrap())).collect();
    bases.sort_unstable();
    bases
}

/// The segments of a topic with these settings after batches of one record each: timestamp and bytes. The
/// broker is started again in the middle: what decides is kept.
#[track_caller]
fn check(configs: &[(&str, &str)], batches: &[(i64, usize)], expected: &[i64]) {
    let mut broker = Broker::start(&[]);
    broker.client().create_topic("t", 1, &[&[("retention.ms", "-1")], configs].concat());
    for (n, (timestamp, bytes)) in batches.iter().enumerate() {
        if n == batches.len() / 2 {
            broker.restart();
        }
        let batch = batch_at(*timestamp, &[&vec![7; *bytes]]);
        assert_eq!(broker.client().produce("t", 0, -1, &batch), (ErrorCode::None, n as i64));
    }
    broker.stop();
    assert_eq!(bases(broker.data()), expected);
}

#[test]
fn a_batch_that_would_make_a_segment_too_large_begins_the_next() {
    check(&[("segment.bytes", "1048576")], &[(5, LARGE); 8], &[0, 3, 6]);
}

#[test]
fn records_further_apart_than_segment_ms_lie_in_different_segments() {
    let times = [10_000, 10_500, 11_000, 11_001, 10_000, 12_001, 12_002, 13_002, 13_003];
    check(&[("segment.ms", "1000")], &times.map(|t| (t, 100)), &[0, 3, 6, 8]);
}

#[test]
fn a_full_index_ends_its_segment() {
    // A block of entries of eight bytes, the least that counts; each batch but a segment's first has one.
    let configs = [("segment.index.bytes", "36"), ("index.interval.bytes", "0")];
    check(&configs, &[(5, 100); 1030], &[0, 513, 1026]);
}
