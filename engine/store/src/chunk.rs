//! A buffer that its owner fills, and its sealed form that tails, writes and fetches share.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

use glommio::io::{DmaBuffer, ReadResult};

use crate::boxes::{Boxed, Kept, Spare};
use crate::pool::Credit;

impl Boxed for DmaBuffer {
    fn spare() -> &'static LocalKey<Spare<DmaBuffer>> {
        thread_local! { static SPARE: Spare<DmaBuffer> = const { RefCell::new(Vec::new()) } }
        &SPARE
    }
}

impl Boxed for Credit {
    fn spare() -> &'static LocalKey<Spare<Credit>> {
        thread_local! { static SPARE: Spare<Credit> = const { RefCell::new(Vec::new()) } }
        &SPARE
    }
}

/// Memory of the pool with one owner. Its capacity is a power of two of at least one block.
#[derive(Debug)]
pub struct Buf {
    // Dropped in this order: the memory is back before its credit is.
    pub(crate) memory: DmaBuffer,
    pub(crate) credit: Credit,
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.as_bytes()
    }
}

impl DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.as_bytes_mut()
    }
}

/// Sealed memory of the pool: what was filled here or read from a file.
#[derive(Clone, Debug)]
pub struct Chunk(pub(crate) Kind);

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Sealed { memory: Kept<DmaBuffer>, _credit: Kept<Credit> },
    Read { bytes: ReadResult, _credit: Kept<Credit> },
}

impl Chunk {
    pub(crate) fn sealed(buf: Buf, len: usize) -> Chunk {
        let Buf { mut memory, credit } = buf;
        // glommio always writes a whole buffer, so the length is cut before it is shared.
        memory.trim_to_size(len);
        Chunk(Kind::Sealed { memory: Kept::new(memory), _credit: Kept::new(credit) })
    }

    pub(crate) fn read(bytes: ReadResult, credit: Credit) -> Chunk {
        Chunk(Kind::Read { bytes, _credit: Kept::new(credit) })
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kind::Sealed { memory, .. } => memory.as_bytes(),
            Kind::Read { bytes, .. } => bytes,
        }
    }
}
