//! Fuzz targets of everything that the engine reads from disks and from producers' batches. Each runs for
//! a bounded number of inputs under `cargo test`, and as long as wanted, guided by coverage, under
//! `cargo bolero test` (see the README).
//!
//! An input picks sound bytes, spoils them and chooses whether their checksum is mended, so that what
//! lies behind it is reached too; or it is bytes out of nowhere. Nothing may panic, loop or balloon.

#[path = "../../../wire/tests/common/spoil.rs"]
mod spoil;

mod checkpoint;
mod journal;
mod log_files;
mod metadata;
mod records;

use bolero::TypeGenerator;
use engine::record::{BatchBuilder, Codec};
use spoil::Edits;

/// Inputs of a target under `cargo test`.
const BRIEF: usize = 20_000;

/// What one input is.
#[derive(Clone, Debug, TypeGenerator)]
enum Input {
    Spoilt { pick: u8, edits: Edits, mend: bool },
    Bytes(Vec<u8>),
}

impl Input {
    /// Its bytes, made from one of `sound`; `mend` sets lengths and checksums to what the bytes are.
    fn bytes(&self, sound: &[Vec<u8>], mend: fn(&mut [u8])) -> Vec<u8> {
        match self {
            Input::Spoilt { pick, edits, mend: mended } => {
                let mut bytes = sound[usize::from(*pick) % sound.len()].clone();
                edits.apply(&mut bytes);
                if *mended {
                    mend(&mut bytes);
                }
                bytes
            }
            Input::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// Puts the CRC-32C of what follows `from` at `at`, if there is room for it.
fn mend_crc(bytes: &mut [u8], at: usize, from: usize) {
    if bytes.len() >= from {
        let crc = crc32c::crc32c(&bytes[from..]);
        bytes[at..at + 4].copy_from_slice(&crc.to_be_bytes());
    }
}

/// Sound batches: every codec, with and without a producer, one record and many.
fn batches() -> Vec<Vec<u8>> {
    use engine::base::{ProducerEpoch, ProducerId};
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    let mut sound = Vec::new();
    for (i, codec) in codecs.into_iter().cycle().take(10).enumerate() {
        let mut builder = BatchBuilder::new(codec);
        if i % 2 == 0 {
            builder.set_producer(ProducerId(7), ProducerEpoch(2), 40);
        }
        builder.push(1_000, Some(b"key"), Some(&[b'v'; 200]), &[]);
        if i < codecs.len() {
            builder.push(1_005, None, None, &[(b"h", Some(b"1")), (b"h", None), (b"", Some(b""))]);
            builder.push(995, None, Some(b""), &[]);
        }
        sound.push(builder.finish());
    }
    sound
}

/// Makes a batch's length and checksum match its bytes.
fn mend_batch(batch: &mut [u8]) {
    if batch.len() >= engine::record::HEADER_BYTES {
        let length = (batch.len() - engine::record::LOG_OVERHEAD) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[16] = 2;
        mend_crc(batch, 17, 21);
    }
}
