//! Values → bytes, with holes where record bytes go.
//!
//! ```text
//! head    | header … length of records │ next partition … length │ tail |
//!                                      ↑ splice 0 (n bytes)       ↑ splice 1
//! socket  | header … length of records | n record bytes | next partition … | m record bytes | tail |
//! ```

use std::ops::Range;

use smallvec::SmallVec;
use uuid::Uuid;

use super::Shape;

/// A hole: `bytes` record bytes belong in front of `head[at]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Position in the head.
    pub at: usize,
    /// How many bytes are to be put there; never zero.
    pub bytes: usize,
}

/// One part of what goes to the socket, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// These bytes of [`Writer::head`].
    Head(Range<usize>),
    /// The record bytes of splice `index`.
    Splice {
        /// Number of the splice, from 0.
        index: usize,
        /// Its length.
        bytes: usize,
    },
}

/// Where a frame began; given back to [`Writer::end_frame`].
#[derive(Debug)]
#[must_use = "the size of the frame is written by `end_frame`"]
pub struct FrameStart {
    at: usize,
    spliced: usize,
}

/// Collects encoded bytes and splices. Kept and cleared, it does not allocate once warm.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    head: Vec<u8>,
    splices: SmallVec<[Splice; 8]>,
    spliced: usize,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer that appends to `head`.
    pub fn with_buffer(head: Vec<u8>) -> Self {
        Self { head, ..Self::default() }
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.head.clear();
        self.splices.clear();
        self.spliced = 0;
    }

    /// The bytes written, without what belongs into the splices.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Gives the buffer back. Only for a message without splices.
    pub fn into_head(self) -> Vec<u8> {
        assert!(self.splices.is_empty(), "record bytes are still to be spliced in");
        self.head
    }

    /// The holes, in order.
    pub fn splices(&self) -> &[Splice] {
        &self.splices
    }

    /// Bytes on the wire: head and splices.
    pub fn total_bytes(&self) -> usize {
        self.head.len() + self.spliced
    }

    /// What goes to the socket, in order. No segment is empty.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        let mut from = 0;
        let spliced = self.splices.iter().enumerate().flat_map(move |(index, splice)| {
            let head = from..splice.at;
            from = splice.at;
            [Segment::Head(head), Segment::Splice { index, bytes: splice.bytes }]
        });
        let tail = self.splices.last().map_or(0, |splice| splice.at)..self.head.len();
        let is_filled = |segment: &Segment| !matches!(segment, Segment::Head(range) if range.is_empty());
        spliced.chain([Segment::Head(tail)]).filter(is_filled)
    }

    /// Leaves room for the size of a frame. Several frames may follow each other in one writer.
    pub fn begin_frame(&mut self) -> FrameStart {
        let start = FrameStart { at: self.head.len(), spliced: self.spliced };
        self.i32(0);
        start
    }

    /// Writes the size of the frame (splices included) in front of it.
    pub fn end_frame(&mut self, start: FrameStart) {
        let bytes = self.head.len() - start.at - 4 + (self.spliced - start.spliced);
        let size = i32::try_from(bytes).expect("a frame is below 2 GiB");
        self.head[start.at..start.at + 4].copy_from_slice(&size.to_be_bytes());
    }

    /// Leaves a hole of `bytes` bytes; zero bytes leave none.
    pub fn splice(&mut self, bytes: usize) {
        if bytes > 0 {
            self.splices.push(Splice { at: self.head.len(), bytes });
            self.spliced += bytes;
        }
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.head.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.head.push(value);
    }

    /// Two bytes.
    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    /// Four bytes.
    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// Eight bytes.
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.raw(value.as_bytes());
    }

    /// An unsigned varint.
    pub fn uvarint(&mut self, mut value: u32) {
        while value > 0x7f {
            self.u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    /// A nullable string. A classic version carries at most 32,767 bytes: longer text (a message of
    /// ours, never a name) is cut at a character.
    pub fn string(&mut self, value: Option<&str>, shape: Shape) {
        let Some(text) = value else {
            return if shape.flexible { self.uvarint(0) } else { self.i16(-1) };
        };
        if shape.flexible {
            self.compact_length(text.len());
            self.raw(text.as_bytes());
        } else {
            let text = &text[..text.floor_char_boundary(i16::MAX as usize)];
            self.i16(text.len() as i16);
            self.raw(text.as_bytes());
        }
    }

    /// The length of nullable bytes; the bytes follow as [`Writer::raw`] or [`Writer::splice`].
    pub fn bytes_length(&mut self, length: Option<usize>, shape: Shape) {
        self.count(length, shape);
    }

    /// The count of a nullable array; the elements follow.
    pub fn count(&mut self, count: Option<usize>, shape: Shape) {
        match (count, shape.flexible) {
            (None, true) => self.uvarint(0),
            (None, false) => self.i32(-1),
            (Some(n), true) => self.compact_length(n),
            (Some(n), false) => self.i32(i32::try_from(n).expect("a count is below 2^31")),
        }
    }

    fn compact_length(&mut self, n: usize) {
        self.uvarint(u32::try_from(n + 1).expect("a length is below 2^32 - 1"));
    }

    /// One tagged field. The size comes before the value, so the value is written first and the
    /// size rotated in front of it.
    pub fn tag(&mut self, tag: u32, value: impl FnOnce(&mut Writer)) {
        self.uvarint(tag);
        let (start, splices) = (self.head.len(), self.splices.len());
        value(self);
        assert_eq!(splices, self.splices.len(), "record bytes are never in a tagged field");
        let size = self.head.len() - start;
        self.uvarint(u32::try_from(size).expect("a tag is below 4 GiB"));
        let size_bytes = self.head.len() - start - size;
        self.head[start..].rotate_right(size_bytes);
    }
}
