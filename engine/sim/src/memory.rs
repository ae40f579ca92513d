//! The pool of I/O memory of a simulated core: credits, buffers, chunks.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::rc::Rc;

use engine::base::Signal;
use engine::io::{BLOCK, IO_BYTES_MAX, READERS_SHARE};

use crate::inode::Memory;

/// Bytes that one core may hold, and who waits for some.
pub(crate) struct Pool {
    pub(crate) size: usize,
    free: Cell<usize>,
    readers: Cell<usize>,
    freed: Signal,
    queue: RefCell<VecDeque<u64>>,
    next_ticket: Cell<u64>,
}

/// Bytes of the pool, given back when dropped.
struct Credit {
    pool: Rc<Pool>,
    bytes: usize,
    reader: bool,
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.pool.free.set(self.pool.free.get() + self.bytes);
        if self.reader {
            self.pool.readers.set(self.pool.readers.get() - self.bytes);
        }
        self.pool.freed.notify();
    }
}

/// A reader's place in the queue.
struct Place<'a> {
    pool: &'a Pool,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pool.queue.borrow_mut().retain(|t| *t != self.ticket);
        self.pool.freed.notify();
    }
}

/// A buffer for reading that has not been read into.
pub(crate) struct Lease(Credit);

/// Memory with one owner.
pub struct Buf {
    bytes: Vec<u8>,
    credit: Credit,
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Sealed memory, or a part of what a file holds.
#[derive(Clone)]
pub struct Chunk {
    bytes: Memory,
    range: Range<usize>,
    _credit: Rc<Credit>,
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.range.len())
    }
}

fn cost(len: usize) -> usize {
    assert!(len > 0 && len <= IO_BYTES_MAX, "a buffer of {len} bytes");
    len.next_power_of_two().max(BLOCK)
}

impl Pool {
    pub(crate) fn new(size: usize) -> Rc<Pool> {
        Rc::new(Pool {
            size,
            free: Cell::new(size),
            readers: Cell::new(0),
            freed: Signal::new(),
            queue: RefCell::default(),
            next_ticket: Cell::new(0),
        })
    }

    pub(crate) fn free(&self) -> usize {
        self.free.get()
    }

    /// A buffer whose every byte is `noise`, as recycled memory is full of something.
    pub(crate) fn take(self: &Rc<Self>, len: usize, noise: u8) -> Option<Buf> {
        let bytes = cost(len);
        self.free.set(self.free.get().checked_sub(bytes)?);
        let credit = Credit { pool: self.clone(), bytes, reader: false };
        // Zeroed and filled, not `vec![noise; n]`: an unoptimised build does that byte by byte.
        let mut bytes = vec![0; bytes];
        bytes.fill(noise);
        Some(Buf { bytes, credit })
    }

    /// Waits for its turn and for memory to read `len` bytes into.
    pub(crate) async fn lease(self: &Rc<Self>, len: usize) -> Lease {
        let bytes = cost(len);
        let ticket = self.next_ticket.replace(self.next_ticket.get() + 1);
        self.queue.borrow_mut().push_back(ticket);
        let _place = Place { pool: self, ticket };
        loop {
            let freed = self.freed.wait();
            let first = self.queue.borrow().front() == Some(&ticket);
            let room = self.readers.get() + bytes <= self.size / READERS_SHARE && bytes <= self.free.get();
            if first && room {
                self.free.set(self.free.get() - bytes);
                self.readers.set(self.readers.get() + bytes);
                return Lease(Credit { pool: self.clone(), bytes, reader: true });
            }
            freed.await;
        }
    }
}

impl Lease {
    /// What was read.
    pub(crate) fn hold(self, (bytes, range): (Memory, Range<usize>)) -> Chunk {
        Chunk { bytes, range, _credit: Rc::new(self.0) }
    }
}

impl Chunk {
    pub(crate) fn seal(buf: Buf, len: usize) -> Chunk {
        let Buf { mut bytes, credit } = buf;
        assert!(len <= bytes.len(), "{len} bytes of a buffer of {}", bytes.len());
        bytes.truncate(len);
        Chunk { bytes: Rc::new(bytes), range: 0..len, _credit: Rc::new(credit) }
    }

    /// Its memory: the sealed buffer, or a copy of the part of a file that was read and is written again.
    pub(crate) fn memory(&self) -> Memory {
        if self.range == (0..self.bytes.len()) { self.bytes.clone() } else { Rc::new(self.to_vec()) }
    }
}
