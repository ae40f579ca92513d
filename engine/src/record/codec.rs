//! The four codecs of Kafka, with a bound on what comes out.
//!
//! | codec | container |
//! |---|---|
//! | gzip | RFC 1952 members |
//! | snappy | snappy-java's: 16 bytes of header, then {i32 length, raw snappy block}; plain raw snappy is read too |
//! | lz4 | LZ4 frame; we write independent 64 KiB blocks (Java's decoder refuses linked ones) |
//! | zstd | zstd frames |

use std::io::{Read, Write};

use super::header::Codec;

/// Why bytes could not be inflated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InflateError {
    /// More would come out than the caller allows.
    #[error("inflates to more than {max} bytes")]
    TooLarge {
        /// The caller's limit.
        max: usize,
    },
    /// The bytes are not what the codec writes.
    #[error("not valid compressed data")]
    Damaged,
    /// Nobody defined this codec.
    #[error("unknown codec")]
    UnknownCodec,
}

/// The largest zstd window accepted, as a power of two: zstd's own default limit, which Kafka keeps
/// too. Only pages that output has reached become resident.
pub(super) const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// The level that Kafka's producers use by default.
pub(super) const ZSTD_LEVEL: i32 = 3;

/// What snappy-java writes before its blocks: magic, version 1, compatible from version 1.
const XERIAL_HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const XERIAL_MAGIC_BYTES: usize = 8;
/// Uncompressed bytes of a block, as snappy-java cuts them.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

/// A snappy element of 3 bytes copies at most 64, so no honest length claims more than this many
/// times its input.
const SNAPPY_RATIO_MAX: usize = 22;

/// Inflates `bytes` to at most `max_out` bytes. Memory grows with what has come out, not with what
/// a header claims.
///
/// # Errors
/// See [`InflateError`].
pub fn inflate(codec: Codec, bytes: &[u8], max_out: usize) -> Result<Vec<u8>, InflateError> {
    match codec {
        Codec::None if bytes.len() > max_out => Err(InflateError::TooLarge { max: max_out }),
        Codec::None => Ok(bytes.to_vec()),
        Codec::Gzip => drain(flate2::bufread::MultiGzDecoder::new(bytes), max_out),
        Codec::Snappy => inflate_snappy(bytes, max_out),
        Codec::Lz4 => inflate_lz4(bytes, max_out),
        Codec::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(bytes).map_err(|_| InflateError::Damaged)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|_| InflateError::Damaged)?;
            drain(decoder, max_out)
        }
    }
}

/// How an LZ4 frame begins: magic, then flags.
///
/// | bits of the flags | |
/// |---|---|
/// | 7–6 | version, 01 |
/// | 5 | blocks are independent |
/// | 4, 3, 2 | checksum of each block, size of the content, checksum of the content |
/// | 1–0 | reserved, dictionary |
const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const LZ4_FLAGS_CHECKED: u8 = 0b1110_0011;
const LZ4_FLAGS_WANTED: u8 = 0b0110_0000;

/// Whether LZ4 bytes begin as Kafka's own decoder demands: one frame of independent blocks, without a
/// dictionary. A batch that does not would be stored and then stop every Java consumer.
pub(super) fn is_lz4_for_all(bytes: &[u8]) -> bool {
    let flags = bytes.strip_prefix(&LZ4_MAGIC).and_then(|rest| rest.first());
    flags.is_some_and(|flags| flags & LZ4_FLAGS_CHECKED == LZ4_FLAGS_WANTED)
}

/// Compresses `bytes`, appending to `out`.
pub fn compress(codec: Codec, bytes: &[u8], out: &mut Vec<u8>) {
    // Writers into memory fail for no reason but running out of it.
    const IN_MEMORY: &str = "writing to memory does not fail";
    match codec {
        Codec::None => out.extend_from_slice(bytes),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
            encoder.write_all(bytes).expect(IN_MEMORY);
            encoder.finish().expect(IN_MEMORY);
        }
        Codec::Snappy => {
            out.extend_from_slice(&XERIAL_HEADER);
            let mut encoder = snap::raw::Encoder::new();
            for block in bytes.chunks(XERIAL_BLOCK_BYTES) {
                let at = out.len();
                out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
                let len = encoder.compress(block, &mut out[at + 4..]).expect("room for the largest outcome");
                out[at..at + 4].copy_from_slice(&(len as u32).to_be_bytes());
                out.truncate(at + 4 + len);
            }
        }
        Codec::Lz4 => {
            let info = lz4_flex::frame::FrameInfo::new()
                .block_size(lz4_flex::frame::BlockSize::Max64KB)
                .block_mode(lz4_flex::frame::BlockMode::Independent);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, out);
            encoder.write_all(bytes).expect(IN_MEMORY);
            encoder.finish().expect(IN_MEMORY);
        }
        Codec::Zstd => {
            zstd::stream::copy_encode(bytes, out, ZSTD_LEVEL).expect(IN_MEMORY);
        }
    }
}

/// Reads a decoder to its end, or to one byte more than allowed.
fn drain(mut decoder: impl Read, max_out: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    let limit = (max_out as u64).saturating_add(1);
    decoder.by_ref().take(limit).read_to_end(&mut out).map_err(|_| InflateError::Damaged)?;
    if out.len() > max_out { Err(InflateError::TooLarge { max: max_out }) } else { Ok(out) }
}

fn inflate_lz4(mut bytes: &[u8], max_out: usize) -> Result<Vec<u8>, InflateError> {
    let out = drain(lz4_flex::frame::FrameDecoder::new(&mut bytes), max_out)?;
    if bytes.is_empty() { Ok(out) } else { Err(InflateError::Damaged) }
}

fn inflate_snappy(bytes: &[u8], max_out: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    let mut decoder = snap::raw::Decoder::new();
    if !bytes.starts_with(&XERIAL_HEADER[..XERIAL_MAGIC_BYTES]) {
        inflate_snappy_block(&mut decoder, bytes, &mut out, max_out)?;
        return Ok(out);
    }
    // The two version numbers have never been anything else.
    let mut rest = bytes.get(XERIAL_HEADER.len()..).ok_or(InflateError::Damaged)?;
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk::<4>().ok_or(InflateError::Damaged)?;
        let len = u32::from_be_bytes(*len) as usize;
        let (block, after) = after.split_at_checked(len).ok_or(InflateError::Damaged)?;
        inflate_snappy_block(&mut decoder, block, &mut out, max_out)?;
        rest = after;
    }
    Ok(out)
}

fn inflate_snappy_block(
    decoder: &mut snap::raw::Decoder,
    block: &[u8],
    out: &mut Vec<u8>,
    max_out: usize,
) -> Result<(), InflateError> {
    let claimed = snap::raw::decompress_len(block).map_err(|_| InflateError::Damaged)?;
    if claimed > max_out - out.len() {
        return Err(InflateError::TooLarge { max: max_out });
    }
    if claimed > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(InflateError::Damaged);
    }
    let at = out.len();
    out.resize(at + claimed, 0);
    let len = decoder.decompress(block, &mut out[at..]).map_err(|_| InflateError::Damaged)?;
    if len == claimed { Ok(()) } else { Err(InflateError::Damaged) }
}
