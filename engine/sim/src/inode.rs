//! What one file holds: what a read sees, and what the platter holds for sure.
//!
//! Between the two stands the list of changes since the last flush. At a power cut each 512-byte sector of
//! each of these changes reaches the platter or not, and lengths change in order up to some point.
//!
//! Contents are pages that are shared, never copied: a write lends its own memory, and a file of zeros is
//! free. So a crash costs what it changes, whatever the size of the files.
//!
//! Which pages ever were damaged is known: so whoever compares can tell what damage may cost and what not.

use std::cell::RefCell;
use std::collections::BTreeSet;
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

    /// The pages that hold anything.
    fn pages_held(&self) -> Vec<usize> {
        let held = |page: &Page| page.bytes().iter().any(|b| *b != 0);
        self.pages.iter().enumerate().filter(|(_, page)| held(page)).map(|(i, _)| i).collect()
    }

    /// A page becomes these bytes.
    fn put(&mut self, page: usize, bytes: Vec<u8>) {
        self.pages[page] = Page::In(Rc::new(bytes), 0);
    }
}

/// A change of a file that no flush has made sure.
#[derive(Debug)]
enum Change {
    Write(Write),
    Length(usize),
}

/// Bytes on their way to a place of a file.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) at: usize,
    pub(crate) bytes: Memory,
    /// They belong to another place.
    pub(crate) astray: bool,
}

impl Write {
    fn pages(&self) -> Range<usize> {
        self.at / BLOCK..(self.at + self.bytes.len()).div_ceil(BLOCK)
    }
}

/// How a page is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Harm {
    /// One bit changes.
    Bit,
    /// It holds zeros: the disk lost the write.
    Zeros,
    /// It holds what belongs to another page: a write of that one went astray.
    Astray,
    /// It cannot be read until it is written again.
    Unreadable,
}

impl Harm {
    /// Every kind.
    pub const ALL: [Harm; 4] = [Harm::Bit, Harm::Zeros, Harm::Astray, Harm::Unreadable];
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
    /// Pages that at some time held something else than what was written there last.
    damaged: BTreeSet<usize>,
    /// Pages that the disk cannot read.
    unreadable: BTreeSet<usize>,
}

pub(crate) type InodeRef = Rc<RefCell<Inode>>;

/// A write that has not returned.
pub(crate) type UnderWay = (InodeRef, Write);

impl Inode {
    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.seen.len
    }

    /// What a read of this range sees.
    pub(crate) fn read(&self, range: Range<usize>) -> (Memory, Range<usize>) {
        self.seen.read(range)
    }

    /// Whether the disk can read this range.
    pub(crate) fn is_readable(&self, range: Range<usize>) -> bool {
        self.unreadable.range(range.start / BLOCK..range.end.div_ceil(BLOCK)).next().is_none()
    }

    /// The pages that at some time held something else than what was written there last, or could not be read.
    pub(crate) fn damaged(&self) -> &BTreeSet<usize> {
        &self.damaged
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        if let Change::Write(write) = &change {
            // A sector that could not be read is replaced when it is written.
            for page in write.pages() {
                self.unreadable.remove(&page);
            }
            if write.astray {
                self.damaged.extend(write.pages());
            }
        }
        self.unsure.push((self.next, change));
        self.next += 1;
    }

    /// A write as a read sees it from now on.
    pub(crate) fn write(&mut self, write: Write) {
        self.change(Change::Write(write));
    }

    /// A write was lost, or went elsewhere: where it belongs stands what stood there.
    pub(crate) fn missed(&mut self, at: usize, bytes: usize) {
        self.damaged.extend(at / BLOCK..(at + bytes).div_ceil(BLOCK));
    }

    /// A write that was under way: nothing saw it, some of it may be there after a crash.
    pub(crate) fn write_under_way(&mut self, write: Write) {
        self.unsure.push((self.next, Change::Write(write)));
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
        self.see();
    }

    /// Reads see the platter and what the caches hold beyond it.
    fn see(&mut self) {
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

    /// What the platter holds.
    pub(crate) fn on_platter(&self) -> Vec<u8> {
        let (memory, range) = self.platter.read(0..self.platter.len);
        memory[range].to_vec()
    }

    /// Its pages on the platter that hold anything.
    pub(crate) fn pages_held(&self) -> Vec<usize> {
        self.platter.pages_held()
    }

    /// What the platter holds of a page.
    pub(crate) fn page(&self, page: usize) -> Vec<u8> {
        self.platter.pages[page].bytes().to_vec()
    }

    /// A page is damaged on the platter; `other` is what belongs to another page.
    pub(crate) fn harm(&mut self, page: usize, harm: Harm, other: Vec<u8>, random: &mut Random) {
        let mut bytes = self.page(page);
        match harm {
            Harm::Bit => {
                let set: Vec<usize> = (0..BLOCK).filter(|i| bytes[*i] != 0).collect();
                if !set.is_empty() {
                    bytes[set[random.index(set.len())]] ^= 1 << random.index(8);
                }
            }
            Harm::Zeros => bytes.fill(0),
            Harm::Astray => bytes = other,
            Harm::Unreadable => {
                self.unreadable.insert(page);
            }
        }
        self.platter.put(page, bytes);
        self.see();
        self.damaged.insert(page);
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
                Change::Write(write) => {
                    let Write { at, bytes, astray } = &write;
                    let at = *at;
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
                        self.platter.tear(at, bytes, || whole.unwrap_or_else(|| random.coin()));
                    if *astray {
                        self.damaged.extend(write.pages());
                    }
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
        Change::Write(write) => content.write(write.at, &write.bytes),
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
