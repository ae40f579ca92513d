//! A record batch that is laid out once and patched for each use.
//!
//! With values of one size, record `i` lies at the same place in every batch, so a used image is
//! refilled by writing 24 bytes (and a key) per record and one checksum: the payload stays where
//! it is, and no byte is copied but by the kernel.
//!
//! A record, as the load writes it:
//!
//! | field | size |
//! |---|---|
//! | length | varint |
//! | attributes | 1, zero |
//! | timestamp delta | varint 0: all records carry the batch's time |
//! | offset delta | varint |
//! | key length, key | varint −1, or 8 and 8 bytes |
//! | value length, value | varint, a [`Stamp`] and payload |
//! | header count | varint 0 |

use engine::record::{Codec, HEADER_BYTES, LOG_OVERHEAD, MAGIC};

use super::plan::Payload;
use super::random::Random;
use super::stamp::{STAMP_BYTES, Stamp};

/// Bytes of a key, where keys are sent: a number, little-endian.
pub(super) const KEY_BYTES: usize = 8;

/// What all images of a run have in common: the bytes that fill values.
#[derive(Debug)]
pub(super) struct Filler {
    bytes: Vec<u8>,
}

impl Filler {
    /// Payload for values of up to `value_bytes_max`.
    pub(super) fn new(value_bytes_max: usize, payload: &Payload, random: &mut Random) -> Filler {
        let mut bytes = vec![0u8; value_bytes_max.saturating_sub(STAMP_BYTES)];
        match payload {
            Payload::Random { share } => {
                // Random words and runs take turns, so that a codec finds both everywhere.
                let mut owed = 0.0;
                for chunk in bytes.chunks_mut(8) {
                    owed += share;
                    let word = if owed >= 1.0 { random.next().to_le_bytes() } else { [b'r'; 8] };
                    owed -= if owed >= 1.0 { 1.0 } else { 0.0 };
                    chunk.copy_from_slice(&word[..chunk.len()]);
                }
            }
            Payload::Bytes(given) => {
                bytes.iter_mut().zip(given.iter().cycle()).for_each(|(byte, given)| *byte = *given);
            }
        }
        Filler { bytes }
    }
}

/// Who sends a batch, for its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    /// Producer id, −1 for none.
    pub(super) id: i64,
    /// Its epoch, −1 for none.
    pub(super) epoch: i16,
    /// Number of the first record, −1 for none.
    pub(super) base_sequence: i32,
}

/// One batch and its buffer.
#[derive(Debug)]
pub(super) struct Image {
    batch_bytes_max: usize,
    /// The header, then as many records as were ever laid out.
    bytes: Vec<u8>,
    /// Where each laid record's value starts, and where the record ends.
    places: Vec<(u32, u32)>,
    /// Records in the batch now: at most `places.len()`.
    count: usize,
    /// Values of one size keep their places.
    stable: bool,
    packed: Vec<u8>,
}

impl Image {
    /// An empty batch that aims at `batch_bytes_max`; `stable` promises that all values have one size
    /// and that either all or none have a key.
    pub(super) fn new(batch_bytes_max: usize, stable: bool) -> Image {
        Image {
            batch_bytes_max,
            bytes: vec![0; HEADER_BYTES],
            places: Vec::new(),
            count: 0,
            stable,
            packed: Vec::new(),
        }
    }

    /// Records in it.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Takes all records out; the buffer keeps its layout.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        if !self.stable {
            self.places.clear();
            self.bytes.truncate(HEADER_BYTES);
        }
    }

    /// Whether one more value fits. An empty batch takes any.
    pub(super) fn fits(&self, value_bytes: usize, keyed: bool) -> bool {
        self.count == 0 || self.end() + record_bytes(self.count, value_bytes, keyed).1 <= self.batch_bytes_max
    }

    /// Adds a record.
    pub(super) fn push(&mut self, stamp: &Stamp, key: Option<u64>, value_bytes: usize, filler: &Filler) {
        assert!(value_bytes >= STAMP_BYTES, "a value holds its stamp");
        if self.count == self.places.len() {
            self.lay(key.is_some(), value_bytes, filler);
        }
        let at = self.places[self.count].0 as usize;
        stamp.write(&mut self.bytes[at..at + STAMP_BYTES]);
        if let Some(key) = key {
            // The value's length stands between both.
            let end = at - varint_bytes(zigzag(value_bytes as i64));
            self.bytes[end - KEY_BYTES..end].copy_from_slice(&key.to_le_bytes());
        }
        self.count += 1;
    }

    fn lay(&mut self, keyed: bool, value_bytes: usize, filler: &Filler) {
        let (body, total) = record_bytes(self.count, value_bytes, keyed);
        let start = self.bytes.len();
        self.bytes.reserve(total);
        put_varint(&mut self.bytes, zigzag(body as i64));
        self.bytes.extend_from_slice(&[0, 0]);
        put_varint(&mut self.bytes, zigzag(self.count as i64));
        if keyed {
            put_varint(&mut self.bytes, zigzag(KEY_BYTES as i64));
            self.bytes.extend_from_slice(&[0; KEY_BYTES]);
        } else {
            put_varint(&mut self.bytes, zigzag(-1));
        }
        put_varint(&mut self.bytes, zigzag(value_bytes as i64));
        let value = self.bytes.len();
        self.bytes.extend_from_slice(&[0; STAMP_BYTES]);
        self.bytes.extend_from_slice(&filler.bytes[..value_bytes - STAMP_BYTES]);
        self.bytes.push(0);
        assert_eq!(self.bytes.len() - start, total, "a record is as long as computed");
        self.places.push((value as u32, self.bytes.len() as u32));
    }

    fn end(&self) -> usize {
        if self.count == 0 { HEADER_BYTES } else { self.places[self.count - 1].1 as usize }
    }

    /// Writes header and checksum. The batch is then [`Image::bytes`].
    pub(super) fn seal(&mut self, sender: Sender, timestamp_ms: i64, codec: Codec) {
        assert!(self.count > 0, "an empty batch is never sent");
        let end = self.end();
        self.packed.clear();
        let count = self.count as i32;
        let batch = if codec == Codec::None {
            &mut self.bytes[..end]
        } else {
            self.packed.resize(HEADER_BYTES, 0);
            engine::record::compress(codec, &self.bytes[HEADER_BYTES..end], &mut self.packed);
            &mut self.packed[..]
        };
        write_header(batch, sender, timestamp_ms, codec, count);
    }

    /// The sealed batch.
    pub(super) fn bytes(&self) -> &[u8] {
        if self.packed.is_empty() { &self.bytes[..self.end()] } else { &self.packed }
    }
}

/// Fills the 61 bytes that `engine::record::BatchHeader` draws; base offset and epoch are the broker's.
fn write_header(batch: &mut [u8], sender: Sender, timestamp_ms: i64, codec: Codec, count: i32) {
    let length = (batch.len() - LOG_OVERHEAD) as i32;
    batch[0..8].copy_from_slice(&0i64.to_be_bytes());
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[12..16].copy_from_slice(&(-1i32).to_be_bytes());
    batch[16] = MAGIC as u8;
    batch[21..23].copy_from_slice(&codec_id(codec).to_be_bytes());
    batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    batch[27..35].copy_from_slice(&timestamp_ms.to_be_bytes());
    batch[35..43].copy_from_slice(&timestamp_ms.to_be_bytes());
    batch[43..51].copy_from_slice(&sender.id.to_be_bytes());
    batch[51..53].copy_from_slice(&sender.epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&sender.base_sequence.to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn codec_id(codec: Codec) -> i16 {
    match codec {
        Codec::None => 0,
        Codec::Gzip => 1,
        Codec::Snappy => 2,
        Codec::Lz4 => 3,
        Codec::Zstd => 4,
    }
}

/// Bytes of record number `index` without and with its length field.
fn record_bytes(index: usize, value_bytes: usize, keyed: bool) -> (usize, usize) {
    let key = if keyed { 1 + KEY_BYTES } else { 1 };
    let value = varint_bytes(zigzag(value_bytes as i64)) + value_bytes;
    let body = 2 + varint_bytes(zigzag(index as i64)) + key + value + 1;
    (body, varint_bytes(zigzag(body as i64)) + body)
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn varint_bytes(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

#[cfg(test)]
mod tests {
    use engine::record::{BatchHeader, Records, crc_matches, payload};

    use super::*;

    /// Fills, seals and reads back `count` records; returns their values.
    fn round(image: &mut Image, count: u64, keyed: bool, value_bytes: usize, codec: Codec) -> Vec<Vec<u8>> {
        let filler = Filler::new(value_bytes, &Payload::Random { share: 0.5 }, &mut Random::new(1));
        image.clear();
        for sequence in 0..count {
            let stamp = Stamp { run: 7, producer: 3, sequence, planned_ns: sequence * 10 };
            image.push(&stamp, keyed.then_some(sequence + 100), value_bytes, &filler);
        }
        image.seal(Sender { id: 5, epoch: 1, base_sequence: 40 }, 1_700_000_000_000, codec);
        let batch = image.bytes();
        assert!(crc_matches(batch));
        let header = BatchHeader::peek(batch).expect("a header");
        assert_eq!(header.total_bytes(), Some(batch.len()));
        assert_eq!((header.record_count() as u64, header.last_offset_delta() as u64), (count, count - 1));
        assert_eq!((header.producer_id(), header.producer_epoch(), header.base_sequence()), (5, 1, 40));
        let records = payload(batch, 1 << 20).expect("it inflates");
        let read = Records::of(header, &records).map(|r| r.expect("a record")).enumerate().map(|(i, r)| {
            let key = keyed.then(|| (i as u64 + 100).to_le_bytes());
            assert_eq!(r.key, key.as_ref().map(|k| &k[..]));
            assert_eq!(r.timestamp, 1_700_000_000_000);
            r.value.expect("a value").to_vec()
        });
        read.collect()
    }

    #[test]
    fn an_image_is_a_valid_batch_however_often_it_is_reused() {
        for keyed in [false, true] {
            let mut image = Image::new(16 << 10, true);
            for count in [5, 200, 1, 90] {
                let values = round(&mut image, count, keyed, 100, Codec::None);
                assert_eq!(values.len() as u64, count);
                for (sequence, value) in values.iter().enumerate() {
                    assert_eq!(value.len(), 100);
                    let stamp = Stamp::read(value).expect("a stamp");
                    assert_eq!((stamp.sequence, stamp.producer, stamp.run), (sequence as u64, 3, 7));
                }
            }
        }
    }

    #[test]
    fn sizes_may_change_where_nothing_is_promised() {
        let mut image = Image::new(16 << 10, false);
        for value_bytes in [24, 3_000, 100] {
            assert!(
                round(&mut image, 4, true, value_bytes, Codec::None).iter().all(|v| v.len() == value_bytes)
            );
        }
    }

    #[test]
    fn every_codec_reads_back() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            assert_eq!(round(&mut Image::new(1 << 20, true), 50, false, 1_000, codec).len(), 50, "{codec:?}");
        }
    }

    #[test]
    fn a_batch_stays_below_its_size_and_takes_at_least_one_record() {
        let filler = Filler::new(1_024, &Payload::Random { share: 1.0 }, &mut Random::new(1));
        let stamp = Stamp { run: 0, producer: 0, sequence: 0, planned_ns: 0 };
        let mut image = Image::new(16 << 10, true);
        while image.fits(1_024, false) {
            image.push(&stamp, None, 1_024, &filler);
        }
        image.seal(Sender { id: -1, epoch: -1, base_sequence: -1 }, 0, Codec::None);
        assert!(image.bytes().len() <= 16 << 10 && image.bytes().len() + 1_100 > 16 << 10);
        assert!(Image::new(10, true).fits(1_024, false));
    }

    #[test]
    fn a_payload_is_as_random_as_asked_or_what_was_given() {
        let letters = |share| {
            let filler = Filler::new(8_024, &Payload::Random { share }, &mut Random::new(1));
            filler.bytes.chunks(8).filter(|word| *word == [b'r'; 8]).count()
        };
        assert_eq!([letters(0.0), letters(0.5), letters(1.0)], [1_000, 500, 0]);
        let given = Payload::Bytes(b"abc"[..].into());
        assert_eq!(Filler::new(31, &given, &mut Random::new(1)).bytes, b"abcabca");
    }
}
