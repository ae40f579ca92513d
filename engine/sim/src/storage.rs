//! What the platter holds and what only the caches do.
//!
//! Each file has two contents: what a read sees, and what the platter holds for sure. Between them
//! stands the list of changes since the last flush. At a power cut each 512-byte sector of each of
//! these changes reaches the platter or not, lengths change in order up to some point, and each
//! name that was not synced is there or not.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use engine::io::{DirEntry, FileName, Open};

use crate::random::Random;

/// What a disk writes as one.
pub const SECTOR: usize = 512;

/// What was done to a machine's disk, and what it did to us.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Operations of every kind that began.
    pub ops: u64,
    /// Reads (of files, small ones included).
    pub reads: u64,
    /// Bytes that they returned.
    pub bytes_read: u64,
    /// Of these, bytes of segments (`.log`).
    pub segment_bytes_read: u64,
    /// Writes.
    pub writes: u64,
    /// Their bytes.
    pub bytes_written: u64,
    /// Flushes of a file.
    pub flushes: u64,
    /// The files that were read.
    pub files_read: BTreeSet<FileName>,
    /// Power cuts.
    pub crashes: u64,
    /// Writes of which a power cut took every sector.
    pub writes_lost: u64,
    /// Writes of which it took some.
    pub writes_torn: u64,
    /// Created, renamed or removed names that it undid.
    pub names_lost: u64,
    /// Operations that failed because a fault said so.
    pub faults: u64,
}

/// A change of a file that no flush has made sure.
#[derive(Debug)]
enum Change {
    Write { at: usize, bytes: Rc<Vec<u8>> },
    Length(usize),
}

/// One file's contents, whatever its name.
#[derive(Debug, Default)]
pub(crate) struct Inode {
    pub(crate) seen: Vec<u8>,
    platter: Vec<u8>,
    /// Oldest first, numbered by `next`.
    unsure: Vec<(u64, Change)>,
    next: u64,
}

pub(crate) type InodeRef = Rc<RefCell<Inode>>;

/// A write that has not returned: the file, the position, the bytes.
pub(crate) type UnderWay = (InodeRef, usize, Rc<Vec<u8>>);

impl Inode {
    fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.unsure.push((self.next, change));
        self.next += 1;
    }

    /// A write as a read sees it from now on.
    pub(crate) fn write(&mut self, at: usize, bytes: Rc<Vec<u8>>) {
        self.change(Change::Write { at, bytes });
    }

    /// A write that was under way: nothing saw it, some of it may be there after a crash.
    pub(crate) fn write_under_way(&mut self, at: usize, bytes: Rc<Vec<u8>>) {
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
        let later = self.unsure.split_off(self.unsure.partition_point(|(n, _)| *n < mark));
        for (_, change) in std::mem::replace(&mut self.unsure, later) {
            apply(&mut self.platter, &change);
        }
    }

    /// A flush failed: the kernel forgot some of what it should have written, and a later flush
    /// that succeeds says nothing about it.
    pub(crate) fn flush_failed(&mut self, mark: u64, random: &mut Random) {
        self.unsure.retain(|(n, _)| *n >= mark || random.coin());
    }

    /// All of it is sure: how `replace` leaves its file.
    pub(crate) fn sure(bytes: Vec<u8>) -> Inode {
        Inode { platter: bytes.clone(), seen: bytes, ..Inode::default() }
    }

    fn crash(&mut self, luck: Luck, random: &mut Random, counters: &mut Counters) {
        let lengths = self.unsure.len();
        let lengths_kept = match luck {
            Luck::AllLost => 0,
            Luck::AllKept => lengths,
            Luck::Mixed => random.index(lengths + 1),
        };
        for (i, (_, change)) in std::mem::take(&mut self.unsure).into_iter().enumerate() {
            match change {
                Change::Length(len) if i < lengths_kept => self.platter.resize(len, 0),
                Change::Length(_) => {}
                Change::Write { at, bytes } => {
                    if i < lengths_kept && self.platter.len() < at + bytes.len() {
                        self.platter.resize(at + bytes.len(), 0);
                    }
                    self.tear(at, &bytes, luck, random, counters);
                }
            }
        }
        self.seen = self.platter.clone();
    }

    fn tear(&mut self, at: usize, bytes: &[u8], luck: Luck, random: &mut Random, counters: &mut Counters) {
        // Most writes survive or vanish whole; the rest sector by sector.
        let whole = match luck {
            Luck::AllLost => Some(false),
            Luck::AllKept => Some(true),
            Luck::Mixed if random.coin() => Some(random.coin()),
            Luck::Mixed => None,
        };
        let (mut kept, mut lost) = (0, 0);
        for (i, sector) in bytes.chunks(SECTOR).enumerate() {
            let start = at + i * SECTOR;
            if whole.unwrap_or_else(|| random.coin()) && start + sector.len() <= self.platter.len() {
                self.platter[start..start + sector.len()].copy_from_slice(sector);
                kept += 1;
            } else {
                lost += 1;
            }
        }
        counters.writes_lost += u64::from(kept == 0);
        counters.writes_torn += u64::from(kept > 0 && lost > 0);
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(len) => content.resize(*len, 0),
        Change::Write { at, bytes } => {
            if content.len() < at + bytes.len() {
                content.resize(at + bytes.len(), 0);
            }
            content[*at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

/// How kind a power cut is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Luck {
    AllLost,
    AllKept,
    Mixed,
}

#[derive(Clone, Debug)]
enum Node {
    Dir(u64),
    File(InodeRef),
}

impl Node {
    fn is(&self, other: &Node) -> bool {
        match (self, other) {
            (Node::Dir(a), Node::Dir(b)) => a == b,
            (Node::File(a), Node::File(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }
}

type Tree = BTreeMap<String, Node>;

#[derive(Debug)]
enum NameChange {
    Put { path: String, node: Node },
    Rename { from: String, to: String, node: Node },
    Remove { path: String },
}

impl NameChange {
    /// What the name stands for; nothing once it is removed.
    fn node(&self) -> Option<&Node> {
        match self {
            NameChange::Put { node, .. } | NameChange::Rename { node, .. } => Some(node),
            NameChange::Remove { .. } => None,
        }
    }
}

#[derive(Debug)]
struct UnsureName {
    number: u64,
    /// The directory whose sync makes it sure.
    dir: u64,
    synced: bool,
    change: NameChange,
}

/// Why a name operation cannot be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NameError {
    NotFound,
    IsDir,
}

/// One machine's disk.
#[derive(Debug)]
pub(crate) struct Storage {
    seen: Tree,
    platter: Tree,
    unsure: Vec<UnsureName>,
    next: u64,
    pub(crate) counters: Counters,
}

const ROOT: u64 = 0;

impl Storage {
    pub(crate) fn new() -> Storage {
        Storage {
            seen: Tree::new(),
            platter: Tree::new(),
            unsure: Vec::new(),
            next: 1,
            counters: Counters::default(),
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn dir_id(&self, dir: Option<&FileName>) -> Result<u64, NameError> {
        match dir.map(|d| self.seen.get(d.as_str())) {
            None => Ok(ROOT),
            Some(Some(Node::Dir(id))) => Ok(*id),
            Some(_) => Err(NameError::NotFound),
        }
    }

    fn change(&mut self, dir: u64, change: NameChange) -> u64 {
        apply_name(&mut self.seen, &change);
        let number = self.number();
        self.unsure.push(UnsureName { number, dir, synced: false, change });
        number
    }

    pub(crate) fn open(&mut self, name: &FileName, how: Open) -> Result<InodeRef, NameError> {
        match self.seen.get(name.as_str()) {
            Some(Node::File(inode)) => return Ok(inode.clone()),
            Some(Node::Dir(_)) => return Err(NameError::IsDir),
            None if how == Open::Existing => return Err(NameError::NotFound),
            None => {}
        }
        let inode = InodeRef::default();
        self.put(name, inode.clone())?;
        Ok(inode)
    }

    /// Puts a file under a name; the number stands for this change.
    pub(crate) fn put(&mut self, name: &FileName, inode: InodeRef) -> Result<u64, NameError> {
        let dir = self.dir_id(name.parent().as_ref())?;
        if matches!(self.seen.get(name.as_str()), Some(Node::Dir(_))) {
            return Err(NameError::IsDir);
        }
        Ok(self.change(dir, NameChange::Put { path: name.as_str().to_owned(), node: Node::File(inode) }))
    }

    pub(crate) fn rename(&mut self, from: &FileName, to: &FileName) -> Result<(), NameError> {
        let node = self.seen.get(from.as_str()).cloned().ok_or(NameError::NotFound)?;
        let dir = self.dir_id(to.parent().as_ref())?;
        if matches!(self.seen.get(to.as_str()), Some(Node::Dir(_))) {
            return Err(NameError::IsDir);
        }
        self.change(
            dir,
            NameChange::Rename { from: from.as_str().to_owned(), to: to.as_str().to_owned(), node },
        );
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &FileName) {
        if self.seen.contains_key(name.as_str())
            && let Ok(dir) = self.dir_id(name.parent().as_ref())
        {
            self.change(dir, NameChange::Remove { path: name.as_str().to_owned() });
        }
    }

    /// Creates what is missing of a chain of directories; the numbers stand for its names, those
    /// that were there but not sure included.
    pub(crate) fn make_dir(&mut self, dir: &FileName) -> Result<Vec<u64>, NameError> {
        let mut chain: Vec<FileName> = std::iter::successors(Some(dir.clone()), FileName::parent).collect();
        chain.reverse();
        let mut numbers = Vec::new();
        for name in chain {
            match self.seen.get(name.as_str()) {
                Some(Node::File(_)) => return Err(NameError::IsDir),
                Some(Node::Dir(_)) => {
                    let put = |u: &&UnsureName| matches!(&u.change, NameChange::Put { path, .. } if path == name.as_str());
                    numbers.extend(self.unsure.iter().rev().find(put).map(|u| u.number));
                }
                None => {
                    let parent = self.dir_id(name.parent().as_ref())?;
                    let node = Node::Dir(self.number());
                    numbers
                        .push(self.change(parent, NameChange::Put { path: name.as_str().to_owned(), node }));
                }
            }
        }
        Ok(numbers)
    }

    /// The changes of a directory's names up to now.
    pub(crate) fn names_of(&self, dir: &FileName) -> Result<Vec<u64>, NameError> {
        let id = self.dir_id(Some(dir))?;
        Ok(self.unsure.iter().filter(|u| u.dir == id).map(|u| u.number).collect())
    }

    /// The changes of all names up to now.
    pub(crate) fn all_names(&self) -> Vec<u64> {
        self.unsure.iter().map(|u| u.number).collect()
    }

    /// These changes of names are on the platter, and with each the earlier ones of the same file:
    /// a journal of names never holds a second rename without the first.
    pub(crate) fn synced(&mut self, numbers: &[u64]) {
        for i in (0..self.unsure.len()).rev() {
            if self.unsure[i].synced || numbers.contains(&self.unsure[i].number) {
                self.keep_with_earlier(i);
            }
        }
        let first_unsure = self.unsure.iter().position(|u| !u.synced).unwrap_or(self.unsure.len());
        for sure in self.unsure.drain(..first_unsure) {
            apply_name(&mut self.platter, &sure.change);
        }
    }

    fn keep_with_earlier(&mut self, index: usize) {
        self.unsure[index].synced = true;
        let Some(node) = self.unsure[index].change.node().cloned() else { return };
        for earlier in &mut self.unsure[..index] {
            earlier.synced |= earlier.change.node().is_some_and(|n| n.is(&node));
        }
    }

    pub(crate) fn list(&self, dir: &FileName) -> Vec<DirEntry> {
        let prefix = format!("{dir}/");
        let inside = self.seen.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        inside
            .filter(|(path, _)| !path[prefix.len()..].contains('/'))
            .map(|(path, node)| {
                let (is_dir, len) = match node {
                    Node::Dir(_) => (true, 0),
                    Node::File(inode) => (false, inode.borrow().seen.len() as u64),
                };
                DirEntry { name: FileName::new(path.clone()), is_dir, len }
            })
            .collect()
    }

    pub(crate) fn file(&self, name: &FileName) -> Result<Option<InodeRef>, NameError> {
        match self.seen.get(name.as_str()) {
            None => Ok(None),
            Some(Node::File(inode)) => Ok(Some(inode.clone())),
            Some(Node::Dir(_)) => Err(NameError::IsDir),
        }
    }

    /// Bytes of all files that have a name.
    pub(crate) fn used(&self) -> u64 {
        let len = |node: &Node| match node {
            Node::Dir(_) => 0,
            Node::File(inode) => inode.borrow().seen.len() as u64,
        };
        self.seen.values().map(len).sum()
    }

    /// The power goes. `under_way` are the writes that had not returned.
    pub(crate) fn crash(&mut self, under_way: Vec<UnderWay>, random: &mut Random) {
        self.counters.crashes += 1;
        let luck = match random.index(8) {
            0 => Luck::AllLost,
            1 => Luck::AllKept,
            _ => Luck::Mixed,
        };
        for (inode, at, bytes) in under_way {
            inode.borrow_mut().write_under_way(at, bytes);
        }
        for i in (0..self.unsure.len()).rev() {
            let survives = match luck {
                Luck::AllLost => false,
                Luck::AllKept => true,
                Luck::Mixed => random.coin(),
            };
            if survives || self.unsure[i].synced {
                self.keep_with_earlier(i);
            }
        }
        for unsure in std::mem::take(&mut self.unsure) {
            if unsure.synced {
                apply_name(&mut self.platter, &unsure.change);
            } else {
                self.counters.names_lost += 1;
            }
        }
        self.seen = self.platter.clone();
        let mut crashed: Vec<*const RefCell<Inode>> = Vec::new();
        for node in self.seen.values() {
            if let Node::File(inode) = node
                && !crashed.contains(&Rc::as_ptr(inode))
            {
                crashed.push(Rc::as_ptr(inode));
                inode.borrow_mut().crash(luck, random, &mut self.counters);
            }
        }
    }
}

fn apply_name(tree: &mut Tree, change: &NameChange) {
    let parent_there = |tree: &Tree, path: &str| match path.rsplit_once('/') {
        None => true,
        Some((dir, _)) => matches!(tree.get(dir), Some(Node::Dir(_))),
    };
    match change {
        NameChange::Put { path, node } => {
            if parent_there(tree, path) {
                tree.insert(path.clone(), node.clone());
            }
        }
        NameChange::Remove { path } => {
            tree.remove(path);
            take_below(tree, path);
        }
        NameChange::Rename { from, to, node } => {
            // What stood under the old name moves with it, unless its creation was lost.
            tree.remove(from);
            let below = take_below(tree, from);
            if parent_there(tree, to) {
                tree.insert(to.clone(), node.clone());
                tree.extend(below.into_iter().map(|(rest, node)| (format!("{to}{rest}"), node)));
            }
        }
    }
}

/// Takes everything below a directory out of the tree, by what follows its path.
fn take_below(tree: &mut Tree, dir: &str) -> Vec<(String, Node)> {
    let prefix = format!("{dir}/");
    let paths: Vec<String> = tree
        .range(prefix.clone()..)
        .map(|(p, _)| p)
        .take_while(|p| p.starts_with(&prefix))
        .cloned()
        .collect();
    paths.into_iter().filter_map(|p| tree.remove(&p).map(|node| (p[dir.len()..].to_owned(), node))).collect()
}
