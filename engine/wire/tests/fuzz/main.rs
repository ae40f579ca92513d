//! Fuzz targets of the protocol. Each runs for a bounded number of inputs under `cargo test`.
//!
//! An input names a message, a version and the bytes that a sound value is made of, and how its encoding
//! is spoilt. Nothing may panic, and decoding may allocate no more than the bytes that are there warrant.

#[path = "../common/mod.rs"]
mod common;

use std::alloc::System;
use std::hint::black_box;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use bolero::{TypeGenerator, check};
use common::for_each_message;
use common::spoil::Edits;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use wire::stored::{consumer_group, consumer_protocol, group};
use wire::{ApiKey, Message, Reader, RequestHeader, ResponseHeader, Writer, sample};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Inputs of a target under `cargo test`.
const BRIEF: usize = 60_000;

/// The counter is one for the process, so the targets take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Most bytes that decoding a frame may allocate.
fn bound(frame: &[u8]) -> usize {
    64 * frame.len() + 64 * 1024
}

/// One message of one version: how a sound body is made, and what a body from a stranger goes through.
struct Subject {
    key: ApiKey,
    version: i16,
    is_request: bool,
    make: fn(&[u8], i16) -> Vec<u8>,
    /// Decodes; encodes again what decodes.
    take: fn(&[u8], i16),
}

static SUBJECTS: LazyLock<Vec<Subject>> = LazyLock::new(|| {
    let mut subjects = Vec::new();
    macro_rules! add {
        ($ours:ty, $theirs:ty) => {
            for version in <$ours as Message>::KEY.served().versions() {
                subjects.push(Subject {
                    key: <$ours as Message>::KEY,
                    version,
                    is_request: stringify!($ours).ends_with("Request"),
                    make: |entropy, version| {
                        let made: $ours = sample::message(entropy, version).expect("a served version");
                        let mut w = Writer::new();
                        made.encode(version, &mut w);
                        w.into_head()
                    },
                    take: |body, version| {
                        let (message, bytes) = allocated(|| <$ours>::decode(version, &mut Reader::new(body)));
                        let name = stringify!($ours);
                        assert!(bytes <= bound(body), "{name} {version}: {bytes} allocated for {body:?}");
                        if let Ok(message) = message {
                            message.encode(version, &mut Writer::new());
                        }
                    },
                });
            }
        };
    }
    for_each_message!(add);
    subjects
});

/// Bytes allocated by `work`, whether freed again or not.
fn allocated<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let region = Region::new(COUNTING);
    let result = work();
    let bytes = region.change().bytes_allocated;
    (result, bytes)
}

/// A spoilt body.
#[derive(Clone, Debug, TypeGenerator)]
struct Spoilt {
    subject: u16,
    entropy: Vec<u8>,
    edits: Edits,
}

fn bodies(is_request: bool) {
    let _turn = alone();
    let subjects: Vec<&Subject> = SUBJECTS.iter().filter(|s| s.is_request == is_request).collect();
    check!().with_iterations(BRIEF).with_type::<Spoilt>().for_each(|spoilt| {
        let subject = subjects[usize::from(spoilt.subject) % subjects.len()];
        let mut body = (subject.make)(&spoilt.entropy, subject.version);
        spoilt.edits.apply(&mut body);
        (subject.take)(&body, subject.version);
    });
}

#[test]
fn request_bodies() {
    bodies(true);
}

#[test]
fn response_bodies() {
    bodies(false);
}

/// A frame that a real client or broker sent, spoilt; or bytes out of nowhere.
#[derive(Clone, Debug, TypeGenerator)]
enum Frame {
    Golden { which: u16, edits: Edits },
    Bytes(Vec<u8>),
}

/// The frames of `tests/golden`.
static GOLDEN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut paths = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")];
    let mut frames = Vec::new();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(std::fs::read_dir(&path).expect("a folder").map(|e| e.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "bin") {
            frames.push(std::fs::read(&path).expect("a frame"));
        }
    }
    frames.sort();
    assert!(frames.len() > 100, "{} golden frames", frames.len());
    frames
});

#[test]
fn request_frames() {
    let _turn = alone();
    check!().with_iterations(BRIEF).with_type::<Frame>().for_each(|frame| {
        let frame = match frame {
            Frame::Golden { which, edits } => {
                let mut bytes = GOLDEN[usize::from(*which) % GOLDEN.len()].clone();
                edits.apply(&mut bytes);
                bytes
            }
            Frame::Bytes(bytes) => bytes.clone(),
        };
        let mut r = Reader::new(&frame);
        let Ok(header) = RequestHeader::decode(&mut r) else { return };
        let body = &frame[r.position()..];
        for subject in SUBJECTS.iter() {
            if (subject.key, subject.version, subject.is_request)
                == (header.api_key, header.api_version, true)
            {
                (subject.take)(body, subject.version);
            }
        }
    });
}

#[test]
fn response_headers() {
    let _turn = alone();
    check!().with_iterations(BRIEF).with_type::<(u16, Vec<u8>)>().for_each(|(subject, bytes)| {
        let subject = &SUBJECTS[usize::from(*subject) % SUBJECTS.len()];
        let header = ResponseHeader::decode(subject.key, subject.version, &mut Reader::new(bytes));
        let _ = black_box(header);
    });
}

/// Bytes behind the small numbers that versions are.
#[derive(Clone, Debug, TypeGenerator)]
struct Versioned {
    version: u8,
    rest: Vec<u8>,
}

/// What groups keep in `__consumer_offsets`, and what their consumers tell each other through the broker.
#[test]
fn bytes_of_groups() {
    let _turn = alone();
    check!().with_iterations(BRIEF).with_type::<Versioned>().for_each(|input| {
        let mut bytes = i16::from(input.version % 24).to_be_bytes().to_vec();
        bytes.extend(&input.rest);
        let readers: [fn(&[u8]); 11] = [
            |b| drop(black_box(group::Key::read(b))),
            |b| drop(black_box(group::OffsetValue::from_bytes(b))),
            |b| drop(black_box(group::GroupValue::from_bytes(b))),
            |b| drop(black_box(consumer_group::from_bytes::<consumer_group::EpochValue>(b))),
            |b| drop(black_box(consumer_group::from_bytes::<consumer_group::MemberValue<'_>>(b))),
            |b| drop(black_box(consumer_group::from_bytes::<consumer_group::TargetEpochValue>(b))),
            |b| drop(black_box(consumer_group::from_bytes::<consumer_group::TargetValue>(b))),
            |b| drop(black_box(consumer_group::from_bytes::<consumer_group::CurrentValue>(b))),
            |b| drop(black_box(consumer_group::from_bytes::<consumer_group::RegexValue<'_>>(b))),
            |b| drop(black_box(consumer_protocol::Subscription::from_bytes(b))),
            |b| drop(black_box(consumer_protocol::assignment(b))),
        ];
        for (number, read) in readers.iter().enumerate() {
            let ((), used) = allocated(|| read(&bytes));
            assert!(used <= bound(&bytes), "reader {number}: {used} allocated for {bytes:?}");
        }
    });
}
