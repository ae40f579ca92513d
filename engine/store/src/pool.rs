//! One region of I/O memory per executor, handed out by credit.
//!
//! glommio allocates buffers from a buddy allocator over the executor's registered region and
//! falls back to the heap in silence when that has no block. So nothing is allocated without a
//! credit for its rounded size: what is out never exceeds the pool, wherever it lies. A buffer
//! that still misses the region (its free blocks may be scattered) is counted, because it costs
//! page faults and an unregistered transfer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use engine::base::Signal;
use engine::io::{BLOCK, IO_BYTES_MAX, READERS_SHARE};
use glommio::io::DmaBuffer;

/// Smallest pool: a few of the largest buffers.
pub(crate) const POOL_BYTES_MIN: usize = 8 * IO_BYTES_MAX;

thread_local! {
    static POOL: RefCell<Option<Rc<Pool>>> = const { RefCell::new(None) };
}

/// Counters of one executor's pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolStats {
    /// Its size in bytes.
    pub size: usize,
    /// Bytes without an owner.
    pub free: usize,
    /// Bytes that reads hold.
    pub readers: usize,
    /// Buffers that came from the heap because the region had no block of their size.
    pub misses: u64,
}

#[derive(Debug)]
pub(crate) struct Pool {
    region: Range<usize>,
    size: usize,
    free: Cell<usize>,
    readers: Cell<usize>,
    misses: Cell<u64>,
    freed: Signal,
    /// Reads that wait for credit, oldest first: a large one is not overtaken for ever.
    queue: RefCell<VecDeque<u64>>,
    next_ticket: Cell<u64>,
}

/// The memory to ask glommio for so that `size` bytes can be handed out: the buddy allocator
/// keeps its bit maps (at most six bits a block) inside its own region.
pub(crate) fn region_bytes(size: usize) -> usize {
    (size + size / BLOCK + 64 * 1024).next_multiple_of(BLOCK)
}

impl Pool {
    /// Learns where the executor's fresh region lies and makes it this thread's pool.
    /// Must run on the executor before anything else allocates.
    pub(crate) fn adopt(size: usize) {
        assert!(size.is_multiple_of(IO_BYTES_MAX) && size >= POOL_BYTES_MIN, "pool of {size} bytes");
        // A fresh allocator holds one whole block for every bit of the size, so these cannot miss.
        let mut blocks = Vec::new();
        let mut rest = size;
        while rest > 0 {
            let block = 1_usize << rest.ilog2();
            blocks.push(glommio::allocate_dma_buffer(block));
            rest -= block;
        }
        let start = blocks.iter().map(|b| b.as_ptr().addr()).min().unwrap_or(0);
        let limit = start + region_bytes(size);
        // Then the small blocks that the maps left over, from which small buffers come first.
        blocks.extend((0..(limit - start - size) / BLOCK).map(|_| glommio::allocate_dma_buffer(BLOCK)));
        let ends = blocks.iter().map(|b| b.as_ptr().addr() + b.len());
        let end = ends.filter(|end| (start..=limit).contains(end)).max().unwrap_or(0);
        assert!(end - start >= size, "a pool of {size} bytes in a region of {}", end - start);
        let region = start..end;
        let pool = Pool {
            region,
            size,
            free: Cell::new(size),
            readers: Cell::new(0),
            misses: Cell::new(0),
            freed: Signal::new(),
            queue: RefCell::default(),
            next_ticket: Cell::new(0),
        };
        POOL.set(Some(Rc::new(pool)));
    }

    /// Forgets this thread's pool, when its executor has ended.
    pub(crate) fn abandon() {
        POOL.set(None);
    }

    /// This thread's pool.
    ///
    /// # Panics
    /// On a thread that `runtime` did not start.
    pub(crate) fn here() -> Rc<Pool> {
        POOL.with_borrow(|p| p.clone()).expect("GlommioDisk belongs on an executor of store::runtime")
    }

    pub(crate) fn stats(&self) -> PoolStats {
        PoolStats {
            size: self.size,
            free: self.free.get(),
            readers: self.readers.get(),
            misses: self.misses.get(),
        }
    }

    /// The credit that a buffer of `len` bytes costs.
    pub(crate) fn cost(len: usize) -> usize {
        assert!(len > 0 && len <= IO_BYTES_MAX, "a buffer of {len} bytes");
        len.next_power_of_two().max(BLOCK)
    }

    /// A writer's credit, if there is one.
    pub(crate) fn try_take(self: &Rc<Self>, bytes: usize) -> Option<Credit> {
        let left = self.free.get().checked_sub(bytes)?;
        self.free.set(left);
        Some(Credit { pool: self.clone(), bytes, reader: false })
    }

    /// A reader's credit, as soon as there is one: first come, first served.
    pub(crate) async fn lease(self: &Rc<Self>, bytes: usize) -> Credit {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket + 1);
        self.queue.borrow_mut().push_back(ticket);
        let _place = Place { pool: self, ticket };
        loop {
            let freed = self.freed.wait();
            let first = self.queue.borrow().front() == Some(&ticket);
            let room = self.readers.get() + bytes <= self.size / READERS_SHARE;
            if first
                && room
                && let Some(mut credit) = self.try_take(bytes)
            {
                credit.reader = true;
                self.readers.set(self.readers.get() + bytes);
                return credit;
            }
            freed.await;
        }
    }

    /// Ends when some buffer was given back.
    pub(crate) async fn until_freed(&self) {
        self.freed.wait().await;
    }

    pub(crate) fn holds(&self, address: *const u8) -> bool {
        self.region.contains(&address.addr())
    }

    pub(crate) fn count_miss(&self) {
        self.misses.set(self.misses.get() + 1);
    }

    /// Allocates under a credit and counts it if it missed the region.
    pub(crate) fn allocate(&self, credit: &Credit) -> DmaBuffer {
        let buffer = glommio::allocate_dma_buffer(credit.bytes);
        if !self.holds(buffer.as_ptr()) {
            self.count_miss();
        }
        buffer
    }
}

/// A waiting reader's place in the queue, given up when its future ends or is dropped.
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

/// The right to a number of bytes of the pool. Whoever holds a buffer holds its credit, dropped
/// after it.
#[derive(Debug)]
pub(crate) struct Credit {
    pool: Rc<Pool>,
    pub(crate) bytes: usize,
    reader: bool,
}

impl Drop for Credit {
    fn drop(&mut self) {
        let free = self.pool.free.get() + self.bytes;
        assert!(free <= self.pool.size, "{free} bytes free in a pool of {}", self.pool.size);
        self.pool.free.set(free);
        if self.reader {
            self.pool.readers.set(self.pool.readers.get() - self.bytes);
        }
        self.pool.freed.notify();
    }
}
