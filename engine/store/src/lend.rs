//! Record bytes lent to another core.
//!
//! A chunk is counted on its own core only, so a slice of one cannot cross to another. Its bytes can:
//! the owner keeps the slice, hands out where the bytes lie, and drops the slice when the borrower
//! says so. Order: the owner makes [`Lent`]s and keeps their slices; the borrower wraps them in a
//! [`Loan`] at once; the loan's `release` tells the owner, who then drops the slices.

use engine::io::Slice;

use crate::Chunk;

/// Where the bytes of a lent slice lie. Only a [`Loan`] reads them.
#[derive(Debug)]
pub struct Lent {
    at: *const u8,
    len: usize,
}

// SAFETY: it is an address; the bytes there are read through a `Loan` alone, whose contract says
// that the owner keeps them sealed and alive meanwhile. Sealed bytes are written by nobody.
unsafe impl Send for Lent {}

impl Lent {
    /// Lends the bytes of a slice, which its owner keeps until the loan is released.
    #[must_use]
    pub fn new(slice: &Slice<Chunk>) -> Lent {
        Lent { at: slice.as_ptr(), len: slice.len() }
    }

    /// How many bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it may be empty, and nobody asks")]
    pub fn len(&self) -> usize {
        self.len
    }
}

/// Slices borrowed from another core. Dropping it releases them.
pub struct Loan {
    slices: Vec<Lent>,
    release: Option<Box<dyn FnOnce()>>,
}

impl Loan {
    /// A loan of these slices; `release` runs once, when it ends.
    #[must_use]
    pub fn new(slices: Vec<Lent>, release: impl FnOnce() + 'static) -> Loan {
        Loan { slices, release: Some(Box::new(release)) }
    }

    /// The bytes of slice `index`.
    ///
    /// # Panics
    /// If there is no such slice.
    #[must_use]
    pub fn bytes(&self, index: usize) -> &[u8] {
        let lent = &self.slices[index];
        // SAFETY: the owner of the chunk keeps it alive and sealed until `release` has run, which
        // happens when `self` is dropped; the borrow returned here cannot outlive `self`.
        unsafe { std::slice::from_raw_parts(lent.at, lent.len) }
    }
}

impl std::fmt::Debug for Loan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Loan of {} slices", self.slices.len())
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}
