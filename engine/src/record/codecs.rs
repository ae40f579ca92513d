//! Codecs with memory that is used again: for whoever inflates and compresses batch after batch.
//!
//! zstd's tables and windows cost more to make than a batch of 16 KiB costs to inflate. A compressor
//! that is told the size beforehand, as here, takes tables that fit it.

use std::fmt;

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::codec::{InflateError, ZSTD_LEVEL, ZSTD_WINDOW_LOG_MAX, compress, inflate};
use super::header::{BatchHeader, Codec, HEADER_BYTES};

/// Memory for inflated records grows by at least this much at once, in bytes.
const GROW_BYTES: usize = 64 * 1024;

/// What is kept between two batches at most, in bytes: one that inflates to more gives its memory back.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Inflates the records of one batch after the other.
#[derive(Default)]
pub struct Inflater {
    plain: Vec<u8>,
    zstd: Option<Decoder<'static>>,
}

/// Compresses the records of one batch after the other.
#[derive(Default)]
pub struct Deflater {
    packed: Vec<u8>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("kept_bytes", &self.plain.capacity()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("kept_bytes", &self.packed.capacity()).finish_non_exhaustive()
    }
}

impl Inflater {
    /// The bytes of a batch's records: borrowed if they are not compressed, else inflated to at most
    /// `max_out` bytes.
    ///
    /// # Errors
    /// As [`super::payload`].
    pub fn payload<'a>(&'a mut self, batch: &'a [u8], max_out: usize) -> Result<&'a [u8], InflateError> {
        let header = BatchHeader::peek(batch).ok_or(InflateError::Damaged)?;
        let records = &batch[HEADER_BYTES..];
        if self.plain.capacity() > KEPT_BYTES_MAX {
            self.plain = Vec::new();
        }
        match header.attributes().codec().ok_or(InflateError::UnknownCodec)? {
            Codec::None => return Ok(records),
            Codec::Zstd => self.inflate_zstd(records, max_out)?,
            codec => self.plain = inflate(codec, records, max_out)?,
        }
        Ok(&self.plain)
    }

    fn inflate_zstd(&mut self, bytes: &[u8], max_out: usize) -> Result<(), InflateError> {
        let mut decoder = match self.zstd.take() {
            Some(decoder) => decoder,
            None => new_decoder().map_err(|_| InflateError::Damaged)?,
        };
        drain_zstd(&mut decoder, bytes, max_out, &mut self.plain)?;
        // One that met damage stands somewhere inside of it, and is not used again.
        self.zstd = Some(decoder);
        Ok(())
    }
}

impl Deflater {
    /// Compresses `bytes`, appending to `out`.
    pub fn compress(&mut self, codec: Codec, bytes: &[u8], out: &mut Vec<u8>) {
        if codec == Codec::Zstd && self.compress_zstd(bytes) {
            out.extend_from_slice(&self.packed);
        } else {
            compress(codec, bytes, out);
        }
    }

    /// False if zstd could not be had.
    fn compress_zstd(&mut self, bytes: &[u8]) -> bool {
        if self.packed.capacity() > KEPT_BYTES_MAX {
            self.packed = Vec::new();
        }
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        let Some(encoder) = &mut self.zstd else { return false };
        encoder.compress_to_buffer(bytes, &mut self.packed).is_ok()
    }
}

fn new_decoder() -> std::io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
    Ok(decoder)
}

/// Inflates whole frames, one after the other. Memory grows with what has come out.
fn drain_zstd(
    decoder: &mut Decoder<'_>,
    bytes: &[u8],
    max_out: usize,
    out: &mut Vec<u8>,
) -> Result<(), InflateError> {
    out.clear();
    let mut input = InBuffer::around(bytes);
    loop {
        if out.len() == out.capacity() {
            out.reserve(out.len().max(GROW_BYTES));
        }
        let at = out.len();
        let before = input.pos();
        let mut output = OutBuffer::around_pos(out, at);
        let hint = decoder.run(&mut input, &mut output).map_err(|_| InflateError::Damaged)?;
        let moved = input.pos() > before || output.pos() > at;
        if out.len() > max_out {
            return Err(InflateError::TooLarge { max: max_out });
        }
        // A hint of 0: a frame ended, and all of it came out.
        if hint == 0 {
            if input.pos() == bytes.len() {
                return Ok(());
            }
            decoder.reinit().map_err(|_| InflateError::Damaged)?;
        } else if !moved || (input.pos() == bytes.len() && out.len() < out.capacity()) {
            return Err(InflateError::Damaged);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchBuilder;

    const MAX: usize = 1 << 20;

    fn batch(codec: Codec, value: &[u8]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(codec);
        builder.push(1, Some(b"key"), Some(value), &[]);
        builder.finish()
    }

    /// Some 100,000 bytes that neither repeat nor are of chance.
    fn value() -> Vec<u8> {
        (0..100_000_u32).map(|i| (i.wrapping_mul(i) >> 9) as u8).collect()
    }

    #[test]
    fn they_inflate_as_payload_does_again_and_again() {
        let mut inflater = Inflater::default();
        for len in [100_000, 0, 7, 70_000] {
            for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
                let batch = batch(codec, &value()[..len]);
                let expected = crate::record::payload(&batch, MAX).unwrap();
                assert_eq!(inflater.payload(&batch, MAX).unwrap(), &expected[..], "{codec:?} {len}");
            }
        }
    }

    #[test]
    fn what_they_compress_is_inflated_by_anybody() {
        let mut deflater = Deflater::default();
        for bytes in [&value()[..], b"", b"abc"] {
            for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
                let mut out = b"before".to_vec();
                deflater.compress(codec, bytes, &mut out);
                let packed = out.strip_prefix(b"before").unwrap();
                assert_eq!(inflate(codec, packed, MAX).unwrap(), bytes, "{codec:?}");
            }
        }
    }

    #[test]
    fn frames_of_zstd_may_follow_each_other_and_none_may_be_cut() {
        let half = zstd::encode_all(&value()[..], 3).unwrap();
        let frames = [&half[..], &half].concat();
        let (mut inflater, twice) = (Inflater::default(), [value(), value()].concat());
        inflater.inflate_zstd(&frames, MAX).unwrap();
        assert!(inflater.plain == twice);
        for cut in (1..half.len()).step_by(97) {
            assert_eq!(
                inflater.inflate_zstd(&frames[..frames.len() - cut], MAX),
                Err(InflateError::Damaged),
                "{cut}"
            );
        }
        inflater.inflate_zstd(&half, MAX).unwrap();
        assert!(inflater.plain == value(), "after damage as before");
    }

    #[test]
    fn no_more_comes_out_than_is_allowed() {
        let bomb = zstd::encode_all(&vec![0; 16 * MAX][..], 3).unwrap();
        let mut inflater = Inflater::default();
        assert_eq!(inflater.inflate_zstd(&bomb, MAX), Err(InflateError::TooLarge { max: MAX }));
        assert!(inflater.plain.capacity() <= 4 * MAX, "{}", inflater.plain.capacity());
        assert_eq!(inflater.inflate_zstd(b"", MAX), Err(InflateError::Damaged));
    }
}
