//! Frames that real clients and a real broker sent each other (`golden/`): each decodes to its last
//! byte and encodes again to the same bytes.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::for_each_message;
use wire::{ApiKey, DecodeError, Message, Reader, RequestHeader, ResponseHeader, Writer};

/// Clients whose frames must be there.
const CLIENTS: [&str; 4] = ["java", "confluent-kafka", "kcat", "kafka-python"];

struct Golden {
    path: PathBuf,
    client: String,
    api: String,
    version: i16,
    is_request: bool,
    frame: Vec<u8>,
}

/// Every frame of the folder. A file whose name does not say what it is fails the test.
fn golden() -> Vec<Golden> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder of golden frames") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "bin") {
                continue;
            }
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a file name").to_string();
            let mut parts = name.rsplitn(3, '-');
            let direction = parts.next().expect("a direction");
            let version = parts.next().and_then(|v| v.strip_prefix('v')).expect("a version");
            assert!(matches!(direction, "request" | "response"), "{name}");
            let client = path.strip_prefix(&root).expect("below the root").components().next();
            found.push(Golden {
                client: client.expect("a client").as_os_str().to_string_lossy().into_owned(),
                api: parts.next().expect("an API").to_string(),
                version: version.parse().expect("a version"),
                is_request: direction == "request",
                frame: std::fs::read(&path).expect("a readable frame"),
                path,
            });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// `ListOffsets` as the file names have it: `list_offsets`.
fn file_name(key: ApiKey) -> String {
    let mut name = String::new();
    for c in format!("{key:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    name
}

fn key_of(golden: &Golden) -> Option<ApiKey> {
    ApiKey::ALL.iter().copied().find(|key| file_name(*key) == golden.api)
}

/// What a frame becomes after decoding and encoding.
fn again(golden: &Golden) -> Vec<u8> {
    let key = key_of(golden).expect("a served API");
    let (version, name) = (golden.version, golden.path.display().to_string());
    let mut r = Reader::new(&golden.frame);
    let mut w = Writer::new();
    if golden.is_request {
        let header = RequestHeader::decode(&mut r).expect(&name);
        assert_eq!((header.api_key, header.api_version), (key, version), "{name}");
        header.encode(&mut w);
    } else {
        ResponseHeader::decode(key, version, &mut r).expect(&name).encode(key, version, &mut w);
    }
    macro_rules! body {
        ($ours:ty, $theirs:ty) => {
            if <$ours as Message>::KEY == key && stringify!($ours).ends_with("Request") == golden.is_request {
                <$ours>::decode(version, &mut r).expect(&name).encode(version, &mut w);
            }
        };
    }
    for_each_message!(body);
    assert!(r.is_empty(), "{name}: {} bytes left", r.remaining());
    w.into_head()
}

/// Keys whose newest version no recorded client sent: the oracle crate alone vouches for them.
const ORACLE_ALONE: [ApiKey; 17] = [
    ApiKey::Heartbeat,
    ApiKey::ListGroups,
    ApiKey::DeleteRecords,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::AlterConfigs,
    ApiKey::AlterReplicaLogDirs,
    ApiKey::DescribeLogDirs,
    ApiKey::CreatePartitions,
    ApiKey::ElectLeaders,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments,
    ApiKey::OffsetDelete,
    ApiKey::DescribeQuorum,
    ApiKey::DescribeCluster,
    ApiKey::DescribeProducers,
    ApiKey::UnregisterBroker,
    ApiKey::ListConfigResources,
];

#[test]
fn every_golden_frame_decodes_to_its_end_and_encodes_to_the_same_bytes() {
    let frames = golden();
    let clients: BTreeSet<&str> = frames.iter().map(|golden| golden.client.as_str()).collect();
    for client in CLIENTS {
        assert!(clients.contains(client), "no golden frames of {client}");
    }
    let mut seen = BTreeSet::new();
    for golden in &frames {
        let Some(key) = key_of(golden) else { continue };
        if !key.served().contains(golden.version) {
            continue;
        }
        assert_eq!(again(golden), golden.frame, "{}", golden.path.display());
        seen.insert((key.code(), golden.version, golden.is_request));
    }
    for key in ApiKey::ALL {
        for is_request in [true, false] {
            let has_newest = seen.contains(&(key.code(), key.served().max, is_request));
            if ORACLE_ALONE.contains(key) {
                continue;
            }
            assert!(has_newest, "{key:?} {}: no golden frame (request: {is_request})", key.served().max);
        }
    }
}

#[test]
fn every_served_key_is_served_in_the_versions_of_kafka_4_4() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/java/api_versions-v5-response.bin");
    let frame = std::fs::read(path).expect("what Apache Kafka 4.4.0 answered");
    let mut r = Reader::new(&frame);
    ResponseHeader::decode(ApiKey::ApiVersions, 5, &mut r).expect("a header");
    let kafka = wire::api_versions::Response::decode(5, &mut r).expect("a body");
    for key in ApiKey::ALL {
        let ours = wire::api_versions::ApiVersion::of(*key);
        assert!(kafka.api_keys.contains(&ours), "{key:?}: {ours:?}");
    }
}

#[test]
fn golden_requests_that_are_not_served_are_refused_by_their_header() {
    let mut refused = 0;
    for golden in golden().iter().filter(|golden| golden.is_request) {
        let served = key_of(golden).is_some_and(|key| key.served().contains(golden.version));
        if served {
            continue;
        }
        refused += 1;
        match RequestHeader::decode(&mut Reader::new(&golden.frame)) {
            // Answered in version 0, so that the client comes down.
            Ok(header) => assert!(header.api_key == ApiKey::ApiVersions && !header.is_served()),
            Err(DecodeError::ApiKey(key)) => assert_eq!(ApiKey::from_code(key), None),
            Err(DecodeError::Version { key, version }) => {
                assert_eq!((Some(key), version), (key_of(golden), golden.version));
            }
            Err(other) => panic!("{}: {other}", golden.path.display()),
        }
    }
    assert!(refused > 0, "no client asked for more than is served");
}
