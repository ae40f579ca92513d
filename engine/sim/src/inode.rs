//! What one file holds: what a read sees, and what the platter holds for sure.
//!
//! Between the two stands the list of changes since the last flush. At a power cut each 512-byte sector of
//! each of these changes reaches the platter or not, and lengths change in order up to some point.
//!
//! Contents are pages that are shared, never copied: a write lends its own memory, and a file of zeros is
//! free. So a crash costs what it changes, whatever the size of the files.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use engine::io::BLOCK;

use crate::random::Random;
use crate::storage::Counters;

/// What a disk writes as one.
pub(crate) const SECTOR: usize = 512;

/// Memory that pages lie in.
pub(crate) type Memory = Rc<Vec<u8>>;

/// [`BLOCK`] bytes of a file.
#[derive(Clone, Debug)]
enum Page {
    Zero,
    /// The bytes from this position of the memory on.
    In(Memory, usize),
}

impl Page {
    fn bytes(&self) -> &[u8] {
        const ZEROS: [u8; BLOCK] = [0; BLOCK];
        match self {
            Page::Zero => &ZEROS,
            Page::In(memory, at) => &memory[*at..*at + BLOCK],
        }
    }
}

/// The bytes of a file. Behind its length its last page is zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pages: Vec<Page>,
    len: usize,
}

impl Content {
    fn of(mut bytes: Vec<u8>) -> Content {
        let len = bytes.len();
        bytes.resize(len.next_multiple_of(BLOCK), 0);
        let mut content = Content::default();
        content.write(0, &Rc::new(bytes));
        content.len = len;
        content
    }

    fn resize(&mut self, len: usize) {
        self.pages.resize(len.div_ceil(BLOCK), Page::Zero);
        if len < self.len && !len.is_multiple_of(BLOCK) {
            let last = self.pages.last_mut().expect("a length that is no multiple has a page");
            let mut bytes = last.bytes().to_vec();
            bytes[len % BLOCK..].fill(0);
            *last = Page::In(Rc::new(bytes), 0);
        }
        self.len = len;
    }

    /// Whole pages at the start of a page.
    fn write(&mut self, at: usize, memory: &Memory) {
        if self.len < at + memory.len() {
            self.resize(at + memory.len());
        }
        for (i, page) in self.pages[at / BLOCK..][..memory.len() / BLOCK].iter_mut().enumerate() {
            *page = Page::In(memory.clone(), i * BLOCK);
        }
    }

    /// The part of a range that the file has: memory, and where it begins in it.
    pub(crate) fn read(&self, range: Range<usize>) -> (Memory, Range<usize>) {
        let end = range.end.min(self.len);
        let start = range.start.min(end);
        let first = start / BLOCK;
        let pages = &self.pages[first..end.div_ceil(BLOCK).max(first)];
        if let Some(Page::In(memory, at)) = pages.first() {
            let follows = |(i, page): (usize, &Page)| matches!(page, Page::In(other, a) if Rc::ptr_eq(other, memory) && *a == at + i * BLOCK);
            if pages.iter().enumerate().all(follows) {
                let begin = at + start % BLOCK;
                return (memory.clone(), begin..begin + end - start);
            }
        }
        let mut bytes = Vec::with_capacity(pages.len() * BLOCK);
        pages.iter().for_each(|page| bytes.extend_from_slice(page.bytes()));
        (Rc::new(bytes), start % BLOCK..start % BLOCK + end - start)
    }

    /// Some sectors of a write, those that the file has room for. Says how many were kept and lost.
    fn tear(&mut self, at: usize, memory: &Memory, mut keeps: impl FnMut() -> bool) -> (u64, u64) {
        let (mut kept, mut lost) = (0, 0);
        for (i, new) in memory.chunks(BLOCK).enumerate() {
            let start = at + i * BLOCK;
            let mask: [bool; BLOCK / SECTOR] =
                std::array::from_fn(|s| keeps() && start + (s + 1) * SECTOR <= self.len);
            let here = mask.iter().filter(|k| **k).count();
            kept += here as u64;
            lost += (mask.len() - here) as u64;
            if here == mask.len() {
                self.pages[start / BLOCK] = Page::In(memory.clone(), i * BLOCK);
            } else if here > 0 {
                let page = &mut self.pages[start / BLOCK];
                let mut bytes = page.bytes().to_vec();
                for sector in (0..mask.len()).filter(|s| mask[*s]).map(|s| s * SECTOR..(s + 1) * SECTOR) {
                    bytes[sector.clone()].copy_from_slice(&new[sector]);
                }
                *page = Page::In(Rc::new(bytes), 0);
            }
        }
        (kept, lost)
    }

    /// Flips one bit of a byte that is not zero, from a position on. False if there is none.
    fn rot(&mut self, random: &mut Random) -> bool {
        let count = self.pages.len();
        let held = |page: &Page| page.bytes().iter().any(|b| *b != 0);
        let from = if count == 0 { 0 } else { random.index(count) };
        let Some(index) = (from..count).chain(0..from).find(|i| held(&self.pages[*i])) else { return false };
        let mut bytes = self.pages[index].bytes().to_vec();
        let set: Vec<usize> = (0..BLOCK).filter(|i| bytes[*i] != 0).collect();
        bytes[set[random.index(set.len())]] ^= 1 << random.index(8);
        self.pages[index] = Page::In(Rc::new(bytes), 0);
        true
    }
}

/// A change of a file that no flush has made sure.
#[derive(Debug)]
enum Change {
    Write { at: usize, bytes: Memory },
    Length(usize),
}

/// One file's contents, whatever its name.
#[derive(Debug, Default)]
pub(crate) struct Inode {
    seen: Content,
    platter: Content,
    /// Oldest first, numbered by `next`.
    unsure: Vec<(u64, Change)>,
    next: u64,
    /// A flush failed and the caches forgot what they should have written.
    forgot: bool,
}

pub(crate) type InodeRef = Rc<RefCell<Inode>>;

/// A write that has not returned: the file, the position, the bytes.
pub(crate) type UnderWay = (InodeRef, usize, Memory);

impl Inode {
    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.seen.len
    }

    /// What a read of this range sees.
    pub(crate) fn read(&self, range: Range<usize>) -> (Memory, Range<usize>) {
        self.seen.read(range)
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.unsure.push((self.next, change));
        self.next += 1;
    }

    /// A write as a read sees it from now on.
    pub(crate) fn write(&mut self, at: usize, bytes: Memory) {
        self.change(Change::Write { at, bytes });
    }

    /// A write that was under way: nothing saw it, some of it may be there after a crash.
    pub(crate) fn write_under_way(&mut self, at: usize, bytes: Memory) {
        self.unsure.push((self.next, Change::Write { at, bytes }));
        self.next += 1;
    }

    pub(crate) fn set_len(&mut self, len: usize) {
        self.change(Change::Length(len));
    }

    /// Stands for "everything that returned before now".
    pub(crate) fn mark(&self) -> u64 {
        self.next
    }

    /// Everything before the mark is on the platter.
    pub(crate) fn flushed(&mut self, mark: u64) {
        let sure = self.unsure.partition_point(|(n, _)| *n < mark);
        for (_, change) in self.unsure.drain(..sure) {
            apply(&mut self.platter, &change);
        }
    }

    /// A flush failed: the kernel forgot some of what it should have written, and a later flush
    /// that succeeds says nothing about it.
    pub(crate) fn flush_failed(&mut self, mark: u64, random: &mut Random) {
        let before = self.unsure.len();
        self.unsure.retain(|(n, _)| *n >= mark || random.coin());
        self.forgot |= self.unsure.len() < before;
    }

    /// A flush failed and the device dropped all of it: what reads see, too.
    pub(crate) fn dropped(&mut self, mark: u64) {
        self.unsure.retain(|(n, _)| *n >= mark);
        self.seen = self.platter.clone();
        for (_, change) in &self.unsure {
            apply(&mut self.seen, change);
        }
    }

    /// All of it is sure: how `replace` leaves its file.
    pub(crate) fn sure(bytes: Vec<u8>) -> Inode {
        let content = Content::of(bytes);
        Inode { platter: content.clone(), seen: content, ..Inode::default() }
    }

    /// One bit changes on the platter, and where a read sees it. False if the file holds nothing.
    pub(crate) fn rot(&mut self, random: &mut Random) -> bool {
        let rotten = self.platter.rot(random);
        if rotten {
            self.seen = self.platter.clone();
        }
        rotten
    }

    /// The power goes.
    pub(crate) fn crash(&mut self, luck: Luck, random: &mut Random, counters: &mut Counters) {
        if self.unsure.is_empty() && !self.forgot {
            return;
        }
        let lengths = self.unsure.len();
        let lengths_kept = match luck {
            Luck::AllLost => 0,
            Luck::AllKept => lengths,
            Luck::Mixed => random.index(lengths + 1),
        };
        for (i, (_, change)) in std::mem::take(&mut self.unsure).into_iter().enumerate() {
            match change {
                Change::Length(len) if i < lengths_kept => self.platter.resize(len),
                Change::Length(_) => {}
                Change::Write { at, bytes } => {
                    if i < lengths_kept && self.platter.len < at + bytes.len() {
                        self.platter.resize(at + bytes.len());
                    }
                    // Most writes survive or vanish whole; the rest sector by sector.
                    let whole = match luck {
                        Luck::AllLost => Some(false),
                        Luck::AllKept => Some(true),
                        Luck::Mixed if random.coin() => Some(random.coin()),
                        Luck::Mixed => None,
                    };
                    let (kept, lost) =
                        self.platter.tear(at, &bytes, || whole.unwrap_or_else(|| random.coin()));
                    counters.writes_lost += u64::from(kept == 0);
                    counters.writes_torn += u64::from(kept > 0 && lost > 0);
                }
            }
        }
        self.seen = self.platter.clone();
        self.forgot = false;
    }
}

fn apply(content: &mut Content, change: &Change) {
    match change {
        Change::Length(len) => content.resize(*len),
        Change::Write { at, bytes } => content.write(*at, bytes),
    }
}

/// How kind a power cut is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Luck {
    AllLost,
    AllKept,
    Mixed,
}

impl Luck {
    pub(crate) fn draw(random: &mut Random) -> Luck {
        match random.index(8) {
            0 => Luck::AllLost,
            1 => Luck::AllKept,
            _ => Luck::Mixed,
        }
    }
}
