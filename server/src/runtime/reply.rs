//! What a slot sends: encoded bytes, and between them record bytes that stay where they are, in the
//! log's chunks on this core or on another's.

use std::ops::Range;
use std::rc::Rc;

use engine::base::Instant;
use engine::io::Slice;
use store::Chunk;
use store::lend::Loan;
use wire::{Segment, Writer};

use super::{Buffers, LeaseGuard, Timed};

/// Record bytes that are sent without being copied.
#[derive(Clone)]
pub enum Piece {
    /// Of this core's log.
    Own(Slice<Chunk>),
    /// Lent by another core.
    Lent {
        /// The loan.
        loan: Rc<Loan>,
        /// Which of its slices.
        index: usize,
    },
}

impl Piece {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Piece::Own(slice) => slice,
            Piece::Lent { loan, index } => loan.bytes(*index),
        }
    }
}

pub(super) enum Part {
    Head(Range<usize>),
    Piece(Piece),
}

/// A whole frame to be sent.
pub struct Reply {
    writer: Writer,
    /// Empty if it is the writer's bytes alone.
    parts: Vec<Part>,
    lease: Option<LeaseGuard>,
    timed: Option<Timed>,
}

impl Reply {
    /// A frame without record bytes.
    ///
    /// # Panics
    /// If the writer holds splices.
    #[must_use]
    pub fn new(writer: Writer) -> Reply {
        assert!(writer.splices().is_empty(), "record bytes are missing");
        Reply { writer, parts: Vec::new(), lease: None, timed: None }
    }

    /// A frame with record bytes: `fill` gives the pieces of each splice, asked by index in rising order.
    ///
    /// # Panics
    /// If the pieces of a splice do not have its length.
    #[must_use]
    pub fn with_records<'a, I: Iterator<Item = &'a Piece>>(
        buffers: &Buffers,
        writer: Writer,
        lease: LeaseGuard,
        mut fill: impl FnMut(usize) -> I,
    ) -> Reply {
        let mut parts = buffers.parts();
        for segment in writer.segments() {
            match segment {
                Segment::Head(range) => parts.push(Part::Head(range)),
                Segment::Splice { index, bytes } => {
                    let mut left = bytes;
                    for piece in fill(index) {
                        left = left.checked_sub(piece.bytes().len()).expect("pieces fit their splice");
                        parts.push(Part::Piece(piece.clone()));
                    }
                    assert_eq!(left, 0, "pieces fill their splice");
                }
            }
        }
        Reply { writer, parts, lease: Some(lease), timed: None }
    }

    /// Has its last stages timed.
    #[must_use]
    pub fn timed(self, timed: Timed) -> Reply {
        Reply { timed: Some(timed), ..self }
    }

    /// Its last stage begins at `at`, if it is timed.
    pub fn ready_at(&mut self, at: Instant) {
        if let Some(timed) = &mut self.timed {
            timed.since = at;
        }
    }

    /// The stages that end when it has been sent.
    #[must_use]
    pub fn stages(&self) -> Option<Timed> {
        self.timed
    }

    /// Everything that will be sent, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.writer.total_bytes()
    }

    /// Of those, what was encoded for it: the rest is the log's.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.writer.head().len()
    }

    /// How many parts there are.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts.len().max(1)
    }

    /// The bytes of one part.
    ///
    /// # Panics
    /// If there is no such part.
    #[must_use]
    pub fn part(&self, index: usize) -> &[u8] {
        match self.parts.get(index) {
            None => self.writer.head(),
            Some(Part::Head(range)) => &self.writer.head()[range.clone()],
            Some(Part::Piece(piece)) => piece.bytes(),
        }
    }

    /// Gives its memory back for reuse; everything held ends here.
    pub fn recycle(self, buffers: &Buffers) {
        buffers.give_parts(self.parts);
        buffers.give_writer(self.writer);
        drop(self.lease);
    }
}
