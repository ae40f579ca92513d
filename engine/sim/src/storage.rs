//! The names of a machine's disk: which stand on the platter and which only in the caches.
//!
//! What the files hold is the matter of [`crate::inode`]. At a power cut each name that was not synced is
//! there or not, and each file loses what it had not flushed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use engine::io::{BLOCK, DirEntry, FileName, Open};

use crate::inode::{Harm, InodeRef, Luck, UnderWay};
use crate::random::Random;

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
    /// Steps that changed the disk, or were about to: where a machine can be told to stop.
    pub persist_steps: u64,
    /// Writes that went astray, or were lost though they were acknowledged.
    pub strays: u64,
    /// Pages that were damaged.
    pub damaged: u64,
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
    /// Segment files opened.
    pub segments_opened: u64,
    /// Segment files that are open now …
    pub segments_open: usize,
    /// … and the most that were at a time.
    pub segments_open_max: usize,
}

impl Counters {
    pub(crate) fn note_file_read(&mut self, name: &FileName) {
        if !self.files_read.contains(name) {
            self.files_read.insert(name.clone());
        }
    }
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
    /// The name that it gives or takes.
    fn place(&self) -> &str {
        match self {
            NameChange::Put { path, .. } | NameChange::Remove { path } => path,
            NameChange::Rename { to, .. } => to,
        }
    }

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

/// What kind of file a name is of: writes go astray among files of one kind.
fn kind_of(name: &str) -> &str {
    let base = name.rsplit('/').next().unwrap_or(name);
    base.rsplit_once('.')
        .or_else(|| base.split_once('-').map(|(kind, _)| ("", kind)))
        .map_or(base, |(_, kind)| kind)
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
        let (before, rest) = self.unsure.split_at_mut(index);
        let change = &rest[0].change;
        for earlier in before {
            let same = earlier.change.node().zip(change.node()).is_some_and(|(a, b)| a.is(b));
            // One name is changed in order: nothing is created where the old one still stands.
            earlier.synced |= same || earlier.change.place() == change.place();
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
                    Node::File(inode) => (false, inode.borrow().len() as u64),
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

    /// What a reader finds in a file. `None` if there is none.
    pub(crate) fn content(&self, name: &str) -> Option<Vec<u8>> {
        match self.seen.get(name) {
            Some(Node::File(inode)) => {
                let inode = inode.borrow();
                let (memory, range) = inode.read(0..inode.len());
                Some(memory[range].to_vec())
            }
            _ => None,
        }
    }

    /// Whether there is a file whose name `pick` accepts.
    pub(crate) fn has_file(&self, pick: impl Fn(&str) -> bool) -> bool {
        self.seen.iter().any(|(name, node)| matches!(node, Node::File(_)) && pick(name))
    }

    /// Every file, by the name that it has now.
    pub(crate) fn seen_files(&self) -> impl Iterator<Item = (&str, &InodeRef)> {
        self.seen.iter().filter_map(|(name, node)| match node {
            Node::File(inode) => Some((name.as_str(), inode)),
            Node::Dir(_) => None,
        })
    }

    /// The files on the platter whose names `pick` accepts.
    pub(crate) fn files(&self, pick: impl Fn(&str) -> bool) -> Vec<(String, InodeRef)> {
        let file = |(name, node): (&String, &Node)| match node {
            Node::File(inode) if pick(name) => Some((name.clone(), inode.clone())),
            _ => None,
        };
        self.platter.iter().filter_map(file).collect()
    }

    /// A page of a file is damaged on the platter. False if there is nothing to damage.
    pub(crate) fn harm(&mut self, name: &str, page: usize, harm: Harm, random: &mut Random) -> bool {
        let files = self.files(|other| kind_of(other) == kind_of(name));
        let Some((_, inode)) = files.iter().find(|(other, _)| other == name) else { return false };
        let mut others = Vec::new();
        for (_, other) in &files {
            // A batch does not name its partition: at its own place in another file nothing tells it from the right one.
            let pages = other.borrow().pages_held().into_iter().filter(|p| *p != page);
            others.extend(pages.map(|p| (other.clone(), p)));
        }
        let other = match others.len() {
            0 => vec![0; BLOCK],
            len => {
                let (file, page) = &others[random.index(len)];
                file.borrow().page(*page)
            }
        };
        inode.borrow_mut().harm(page, harm, other, random);
        self.counters.damaged += 1;
        true
    }

    /// Bytes of all files that have a name.
    pub(crate) fn used(&self) -> u64 {
        let len = |node: &Node| match node {
            Node::Dir(_) => 0,
            Node::File(inode) => inode.borrow().len() as u64,
        };
        self.seen.values().map(len).sum()
    }

    /// The power goes. `under_way` are the writes that had not returned.
    pub(crate) fn crash(&mut self, under_way: Vec<UnderWay>, random: &mut Random) {
        self.counters.crashes += 1;
        let luck = Luck::draw(random);
        for (inode, write) in under_way {
            inode.borrow_mut().write_under_way(write);
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
        for node in self.seen.values() {
            // A file with two names loses what it loses once: then nothing of it is unsure.
            if let Node::File(inode) = node {
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
                // A directory that is made where another was is empty: the name cannot have come before its removal.
                if tree.get(path).is_some_and(|before| !before.is(node)) {
                    take_below(tree, path);
                }
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
