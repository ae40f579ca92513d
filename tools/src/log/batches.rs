//! Reading the batches of a segment one after another, in memory bounded by one batch.

use std::io::{self, Read};

use engine::base::Offset;
use engine::record::{BatchHeader, HEADER_BYTES, MAGIC, crc_matches};

/// What stands at a position of a segment.
pub(super) enum Next {
    /// A whole batch; its checksum may still fail.
    Batch(Stored),
    /// The bytes end exactly here.
    End,
    /// Only zeroes up to the end: space that is allocated and not used.
    Unused,
    /// No batch can begin here.
    Broken(&'static str),
}

/// One batch as it is stored.
pub(super) struct Stored {
    /// Where it begins.
    pub(super) position: u64,
    /// All of it.
    pub(super) bytes: Vec<u8>,
}

impl Stored {
    pub(super) fn header(&self) -> &BatchHeader {
        BatchHeader::peek(&self.bytes).expect("read with its header")
    }

    pub(super) fn is_valid(&self) -> bool {
        crc_matches(&self.bytes)
    }
}

/// A walk over a segment's bytes.
pub(super) struct Batches<R> {
    from: R,
    position: u64,
    end: u64,
    least: Offset,
}

impl<R: Read> Batches<R> {
    /// Walks `end` bytes of a segment that begins at `base`.
    pub(super) fn new(from: R, end: u64, base: Offset) -> Batches<R> {
        Batches { from, position: 0, end, least: base }
    }

    /// Where the next batch begins.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The offset that the next batch may not lie below.
    pub(super) fn next_offset(&self) -> Offset {
        self.least
    }

    /// The next batch. After anything else the walk is over.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        let left = self.end - self.position;
        if left == 0 {
            return Ok(Next::End);
        }
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        self.read_up_to(left.min(HEADER_BYTES as u64), &mut bytes)?;
        if bytes.iter().all(|&b| b == 0) {
            return self.only_zeroes(left - bytes.len() as u64);
        }
        let Some(header) = BatchHeader::peek(&bytes) else {
            return Ok(Next::Broken("fewer bytes than a batch header"));
        };
        if header.magic() != MAGIC {
            return Ok(Next::Broken("not a batch of magic 2"));
        }
        let Some(total) = header.total_bytes().filter(|&n| n as u64 <= left) else {
            return Ok(Next::Broken("a batch length that cannot be true"));
        };
        if header.base_offset() < self.least || header.last_offset_delta() < 0 {
            return Ok(Next::Broken("offsets that do not rise"));
        }
        let next = header.next_offset();
        // Grows as bytes arrive, so that a length that lies costs no memory.
        self.read_up_to((total - HEADER_BYTES) as u64, &mut bytes)?;
        if bytes.len() < total {
            return Ok(Next::Broken("the file ends inside a batch"));
        }
        let position = self.position;
        self.position += total as u64;
        self.least = next;
        Ok(Next::Batch(Stored { position, bytes }))
    }

    fn read_up_to(&mut self, n: u64, into: &mut Vec<u8>) -> io::Result<()> {
        (&mut self.from).take(n).read_to_end(into).map(|_| ())
    }

    fn only_zeroes(&mut self, mut left: u64) -> io::Result<Next> {
        let mut block = vec![0; 64 * 1024];
        while left > 0 {
            let want = left.min(block.len() as u64) as usize;
            let got = self.from.read(&mut block[..want])?;
            if got == 0 {
                break;
            }
            if block[..got].iter().any(|&b| b != 0) {
                return Ok(Next::Broken("zeroes where a batch should begin, and more behind them"));
            }
            left -= got as u64;
        }
        Ok(Next::Unused)
    }
}
