//! Bytes that lie in ways that are known: refused with their facts, and nothing is allocated for what is
//! not there. Ways not thought of are the fuzz targets' (`tests/fuzz`).

mod common;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::Seeded;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use wire::codec::{ARRAY_MAX, TAGS_MAX};
use wire::{
    ApiKey, DecodeError, Message, Reader, RequestHeader, Writer, create_topics, delete_topics, fetch,
    metadata, produce, sample,
};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The counter is one for the process, so the tests of this file take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes allocated by `work`, whether freed again or not.
fn allocated<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let region = Region::new(COUNTING);
    let result = work();
    let bytes = region.change().bytes_allocated;
    (result, bytes)
}

/// As [`allocated`], the least of several runs: the test harness allocates a little on a thread of its
/// own, but not in every run, and what `work` allocates is in all of them.
fn allocated_at_least<T>(mut work: impl FnMut() -> T) -> (T, usize) {
    let runs = (0..20).map(|_| allocated(&mut work));
    runs.min_by_key(|(_, bytes)| *bytes).expect("a run")
}

#[test]
fn four_bytes_that_claim_two_billion_topics_allocate_nothing() {
    let _turn = alone();
    let body = i32::MAX.to_be_bytes();
    let (result, bytes) =
        allocated_at_least(|| metadata::Request::decode(1, &mut Reader::new(&body)).map(|_| ()));
    assert_eq!(result, Err(DecodeError::Count { at: 4, count: i32::MAX as u32, size_min: 2, left: 0 }));
    assert_eq!(bytes, 0);
}

#[test]
fn a_compact_count_of_four_billion_allocates_nothing() {
    let _turn = alone();
    let body = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let (result, bytes) =
        allocated_at_least(|| metadata::Request::decode(12, &mut Reader::new(&body)).map(|_| ()));
    assert_eq!(result, Err(DecodeError::Count { at: 5, count: u32::MAX - 1, size_min: 18, left: 0 }));
    assert_eq!(bytes, 0);
}

#[test]
fn an_array_stops_at_a_million_elements_even_if_the_bytes_are_there() {
    let _turn = alone();
    let names = vec![""; ARRAY_MAX as usize + 1];
    let mut w = Writer::new();
    delete_topics::Request { topic_names: names, ..Default::default() }.encode(4, &mut w);
    let result = delete_topics::Request::decode(4, &mut Reader::new(w.head())).map(|_| ());
    assert_eq!(result, Err(DecodeError::CountMax { at: 3, count: ARRAY_MAX + 1, max: ARRAY_MAX }));
}

#[test]
fn tags_stop_at_ten_thousand_and_unknown_ones_are_skipped() {
    let _turn = alone();
    let body = |tags: u32| {
        let mut w = Writer::new();
        create_topics::Request::default().encode(5, &mut w);
        let mut body = w.into_head();
        assert_eq!(body.pop(), Some(0), "the count of tags ends the body");
        let mut w = Writer::with_buffer(body);
        w.uvarint(tags);
        for _ in 0..tags {
            w.tag(7, |w| w.u8(1));
        }
        w.into_head()
    };
    let decode = |body: &[u8]| create_topics::Request::decode(5, &mut Reader::new(body)).map(|_| ());
    assert_eq!(decode(&body(3)), Ok(()));
    assert_eq!(decode(&body(TAGS_MAX)), Ok(()));
    let too_many = decode(&body(TAGS_MAX + 1));
    assert!(
        matches!(too_many, Err(DecodeError::CountMax { count: 10_001, max: TAGS_MAX, .. })),
        "{too_many:?}"
    );
}

#[test]
fn a_tagged_value_stays_within_its_size() {
    let _turn = alone();
    // replica_state (tag 1) takes 13 bytes; the tag announces 14, then 5.
    for (announced, extra) in [(14u32, 1usize), (5, 0)] {
        let mut w = Writer::new();
        fetch::Request::default().encode(17, &mut w);
        let mut body = w.into_head();
        body.pop();
        let mut w = Writer::with_buffer(body);
        w.uvarint(1);
        w.uvarint(1);
        w.uvarint(announced);
        w.raw(&[0; 13]);
        w.raw(&vec![0; extra]);
        let result = fetch::Request::decode(17, &mut Reader::new(w.head())).map(|_| ());
        assert!(matches!(result, Err(DecodeError::TagSize { .. } | DecodeError::Short { .. })), "{result:?}");
    }
}

#[test]
fn lengths_that_lie_are_errors_with_their_facts() {
    let _turn = alone();
    let decode =
        |version, body: &[u8]| metadata::Request::decode(version, &mut Reader::new(body)).map(|_| ());
    // A count of -2; null where version 0 has none; a name of 5 bytes with 1 left; a name of -2.
    assert_eq!(decode(1, &[0xff, 0xff, 0xff, 0xfe]), Err(DecodeError::Length { at: 4, length: -2 }));
    assert_eq!(decode(0, &[0xff, 0xff, 0xff, 0xff]), Err(DecodeError::Null { at: 4 }));
    assert_eq!(decode(1, &[0, 0, 0, 1, 0, 5, b'a']), Err(DecodeError::Short { at: 6, need: 5, left: 1 }));
    assert_eq!(decode(1, &[0, 0, 0, 1, 0xff, 0xfe]), Err(DecodeError::Length { at: 6, length: -2 }));
    assert_eq!(decode(1, &[0, 0, 0, 1, 0xff, 0xff]), Err(DecodeError::Null { at: 6 }));
    assert_eq!(decode(1, &[0, 0, 0, 1, 0, 1, 0xff]), Err(DecodeError::Utf8 { at: 6 }));
    assert_eq!(decode(9, &[0x80; 9]), Err(DecodeError::Varint { at: 0 }));
    assert_eq!(decode(9, &[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(DecodeError::Varint { at: 0 }));
    assert_eq!(decode(1, &[0, 0]), Err(DecodeError::Short { at: 0, need: 4, left: 2 }));
    let version = DecodeError::Version { key: ApiKey::Metadata, version: 14 };
    assert_eq!(decode(14, &[]), Err(version));
}

#[test]
fn headers_of_what_is_not_served_are_refused() {
    let _turn = alone();
    let decode = |key: i16, version: i16| {
        let mut w = Writer::new();
        w.i16(key);
        w.i16(version);
        w.i32(9);
        w.i16(-1);
        RequestHeader::decode(&mut Reader::new(w.head())).map(|header| header.is_served())
    };
    assert_eq!(decode(999, 0), Err(DecodeError::ApiKey(999)));
    assert_eq!(decode(-1, 0), Err(DecodeError::ApiKey(-1)));
    // Advertised, not served.
    let produce_2 = DecodeError::Version { key: ApiKey::Produce, version: 2 };
    assert_eq!(decode(0, 2), Err(produce_2));
    assert_eq!(ApiKey::Produce.advertised().min, 0);
    assert_eq!(decode(0, i16::MIN).ok(), None);
    assert_eq!(decode(18, 99), Ok(false));
    assert_eq!(decode(18, 2), Ok(true));
}

#[test]
fn decoding_produce_and_fetch_allocates_nothing() {
    let _turn = alone();
    let (mut produced, mut fetched) = (0, 0);
    for seed in 0..50 {
        let entropy = Seeded::new(seed).bytes(600);
        for version in ApiKey::Produce.served().versions() {
            let made: produce::Request = sample::message(&entropy, version).expect("a served version");
            let mut w = Writer::new();
            made.encode(version, &mut w);
            let (bytes_of_records, allocated) = allocated_at_least(|| {
                let request =
                    produce::Request::decode(version, &mut Reader::new(w.head())).expect("a request");
                let partitions = request.topic_data.iter().flat_map(|topic| topic.partition_data);
                partitions.map(|partition| partition.records.len()).sum::<usize>()
            });
            assert_eq!(allocated, 0);
            produced += bytes_of_records;
        }
        for version in ApiKey::Fetch.served().versions() {
            let made: fetch::Request = sample::message(&entropy, version).expect("a served version");
            let mut w = Writer::new();
            made.encode(version, &mut w);
            let (partitions, allocated) = allocated_at_least(|| {
                let request = fetch::Request::decode(version, &mut Reader::new(w.head())).expect("a request");
                request.topics.iter().map(|topic| topic.partitions.iter().count()).sum::<usize>()
            });
            assert_eq!(allocated, 0);
            fetched += partitions;
        }
    }
    assert!(produced > 10_000 && fetched > 100, "{produced} record bytes, {fetched} partitions");
}
