//! Every message and version against the public codec crate, both ways, with generated values.

mod common;

use bytes::{Bytes, BytesMut};
use common::{for_each_message, tree};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wire::{ApiKey, ErrorCode, Message, Reader, RequestHeader, ResponseHeader, Writer, sample};

/// Generated values for each message and version.
const CASES: u32 = 24;

/// Versions that are served but unknown to the oracle; golden frames stand in for them, and for
/// DescribeLogDirs kafka-python in `server/tests/clients/admin.py`.
const BEYOND_THE_ORACLE: [(ApiKey, i16); 6] = [
    (ApiKey::ListOffsets, 11),
    (ApiKey::OffsetCommit, 10),
    (ApiKey::OffsetFetch, 10),
    (ApiKey::ApiVersions, 5),
    (ApiKey::DescribeLogDirs, 5),
    (ApiKey::DeleteGroups, 3),
];

fn with_entropy(test: impl Fn(&[u8])) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let entropy = proptest::collection::vec(any::<u8>(), 0..400);
    let result = runner.run(&entropy, |bytes| {
        test(&bytes);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

macro_rules! agree {
    ($ours:ty, $theirs:ty, $seen:expr) => {{
        const KEY: ApiKey = <$ours as Message>::KEY;
        for version in KEY.served().versions() {
            if BEYOND_THE_ORACLE.contains(&(KEY, version)) {
                continue;
            }
            *$seen += 1;
            with_entropy(|entropy| {
                let context = format!("{} {version}", stringify!($ours));
                let made: $ours = sample::message(entropy, version).expect("a served version");
                let mut w = Writer::new();
                made.encode(version, &mut w);
                let bytes = w.into_head();

                let mut reader = Reader::new(&bytes);
                let back = <$ours>::decode(version, &mut reader).expect(&context);
                assert!(reader.is_empty(), "{context}: {} bytes left", reader.remaining());
                assert_eq!(back, made, "{context}");

                let mut left = Bytes::copy_from_slice(&bytes);
                let oracle = <$theirs>::decode(&mut left, version).expect(&context);
                assert!(left.is_empty(), "{context}: the oracle left {} bytes", left.len());
                let difference = tree::difference(&format!("{made:?}"), &format!("{oracle:?}"));
                assert_eq!(difference, None, "{context}: {made:?} {oracle:?}");

                let mut again = BytesMut::new();
                oracle.encode(&mut again, version).expect(&context);
                assert_eq!(again, bytes, "{context}: {made:?}");
            });
        }
    }};
}

#[test]
fn every_message_and_version_agrees_with_the_oracle_both_ways() {
    let mut seen = 0usize;
    let counter = &mut seen;
    for_each_message!(agree, counter);
    let served: usize = ApiKey::ALL.iter().map(|key| key.served().versions().count() * 2).sum();
    assert_eq!(seen + BEYOND_THE_ORACLE.len() * 2, served);
}

#[test]
fn the_comparison_sees_a_wrong_name_and_a_wrong_value() {
    let theirs = "A { x: BrokerId(1), name: Some(\"t\"), list: [B { e: 6, unknown_tagged_fields: {} }] }";
    assert_eq!(tree::difference("A { x: 1, name: \"t\", list: [C { e: NOT_LEADER(6) }] }", theirs), None);
    for wrong in [
        "A { y: 1, name: \"t\", list: [C { e: 6 }] }",
        "A { x: 2, name: \"t\", list: [C { e: 6 }] }",
        "A { x: 1, name: None, list: [C { e: 6 }] }",
        "A { x: 1, name: \"t\", list: [C { e: 7 }] }",
        "A { x: 1, name: \"t\", list: [] }",
        "A { name: \"t\", list: [C { e: 6 }] }",
    ] {
        assert!(tree::difference(wrong, theirs).is_some(), "{wrong}");
    }
}

#[test]
fn request_headers_agree_with_the_oracle() {
    for key in ApiKey::ALL {
        for api_version in key.served().versions() {
            for client_id in [None, Some(""), Some("päivää")] {
                let ours = RequestHeader { api_key: *key, api_version, correlation_id: -7, client_id };
                let mut w = Writer::new();
                ours.encode(&mut w);
                let mut reader = Reader::new(w.head());
                assert_eq!(RequestHeader::decode(&mut reader), Ok(ours));
                assert!(reader.is_empty());

                let their_key = theirs::ApiKey::try_from(key.code()).expect("a key of Kafka's");
                let mut left = Bytes::copy_from_slice(w.head());
                let header_version = their_key.request_header_version(api_version);
                let header = theirs::RequestHeader::decode(&mut left, header_version).expect("a header");
                assert!(left.is_empty(), "{key:?} {api_version}");
                assert_eq!(header.client_id.as_deref(), client_id);
                assert_eq!(
                    (header.request_api_key, header.request_api_version, header.correlation_id),
                    (key.code(), api_version, -7)
                );
            }
        }
    }
}

#[test]
fn response_headers_agree_with_the_oracle() {
    for key in ApiKey::ALL {
        for version in key.served().versions() {
            let ours = ResponseHeader { correlation_id: i32::MAX };
            let mut w = Writer::new();
            ours.encode(*key, version, &mut w);
            assert_eq!(ResponseHeader::decode(*key, version, &mut Reader::new(w.head())), Ok(ours));
            let their_key = theirs::ApiKey::try_from(key.code()).expect("a key of Kafka's");
            let mut left = Bytes::copy_from_slice(w.head());
            let header_version = their_key.response_header_version(version);
            let header = theirs::ResponseHeader::decode(&mut left, header_version).expect("a header");
            assert!(left.is_empty(), "{key:?} {version}");
            assert_eq!(header.correlation_id, i32::MAX);
        }
    }
}

#[test]
fn a_response_to_api_versions_always_has_the_short_header() {
    for version in ApiKey::ApiVersions.served().versions() {
        let mut w = Writer::new();
        ResponseHeader { correlation_id: 1 }.encode(ApiKey::ApiVersions, version, &mut w);
        assert_eq!(w.head(), [0, 0, 0, 1]);
        assert_eq!(theirs::ApiVersionsResponse::header_version(version), 0);
    }
}

#[test]
fn error_codes_agree_with_the_oracle() {
    for ours in ErrorCode::ALL {
        let code = ours.code();
        assert_eq!(ErrorCode::from_code(code), *ours);
        match ResponseError::try_from_code(code) {
            None => assert_eq!(*ours, ErrorCode::None),
            Some(theirs) => {
                assert_eq!(ours.is_retriable(), theirs.is_retriable(), "{ours}");
                let name: String = ours.name().split('_').flat_map(|word| word.chars()).collect();
                assert_eq!(name.to_lowercase(), theirs.to_string().to_lowercase());
            }
        }
    }
    assert_eq!(ErrorCode::from_code(i16::MAX), ErrorCode::UnknownServerError);
    assert!(ErrorCode::ALL.len() >= 135);
}
