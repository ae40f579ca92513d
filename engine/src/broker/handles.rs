//! Which segment files are open, and which of them is closed to make room for another.
//!
//! | a handle | stays open |
//! |---|---|
//! | is held by an operation, or by pages that wait to be read ahead | until that ends |
//! | has writes that no flush covers yet | until a flush of it succeeded |
//! | is idle | while there is room; the ones used longest ago go first |
//!
//! A file that was closed is opened again by whoever needs it next. That can fail, and counts as a failure
//! of the operation that it was opened for.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::base::{Offset, PartitionKey};
use crate::io::{Disk, FileName};
use crate::log::names::SegmentFile;

/// An open file of a segment. Whoever keeps it keeps it open.
pub(super) type Handle<D> = Rc<<D as Disk>::File>;

/// Handles that have writes which no flush covers may be this share of all, one in two: then they are
/// flushed, whether a checkpoint is due or not.
const UNFLUSHED_SHARE: usize = 2;

/// Room is made for this share of all handles at a time, one in eight: to look for the oldest costs a look at
/// each.
const CLOSED_SHARE: usize = 8;

/// A file of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct FileKey {
    pub(super) partition: PartitionKey,
    /// The segment's base offset.
    pub(super) base: Offset,
    pub(super) kind: SegmentFile,
}

impl FileKey {
    /// Its name.
    pub(super) fn name(&self) -> FileName {
        FileName::partition_dir(self.partition).join(self.kind.name(self.base))
    }
}

/// A file that is open.
struct Open<F> {
    base: Offset,
    kind: SegmentFile,
    file: Rc<F>,
    /// When it was used last: no two have the same.
    used: u64,
    /// It has writes that no flush covers.
    unflushed: bool,
}

impl<F> Open<F> {
    fn is_idle(&self) -> bool {
        !self.unflushed && Rc::strong_count(&self.file) == 1
    }
}

/// The open segment files of one core.
pub(super) struct Handles<F> {
    open: FxHashMap<PartitionKey, Vec<Open<F>>>,
    count: usize,
    unflushed: usize,
    max: usize,
    uses: u64,
    /// Files opened, and closed to make room, since the start.
    pub(super) opened: u64,
    pub(super) closed: u64,
}

impl<F> Handles<F> {
    /// At most `max` files, those in use aside.
    pub(super) fn new(max: usize) -> Self {
        let open = FxHashMap::default();
        Handles { open, count: 0, unflushed: 0, max: max.max(1), uses: 0, opened: 0, closed: 0 }
    }

    /// Files that are open.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether so many of them have writes that no flush covers that a flush is due.
    pub(super) fn wants_flush(&self) -> bool {
        self.unflushed >= (self.max / UNFLUSHED_SHARE).max(1)
    }

    /// The file, if it is open; it counts as used now.
    pub(super) fn get(&mut self, key: FileKey) -> Option<Rc<F>> {
        self.uses += 1;
        let uses = self.uses;
        let open = self.find(key)?;
        open.used = uses;
        Some(Rc::clone(&open.file))
    }

    /// Takes a file that was just opened. If another had opened it meanwhile, that one stays.
    pub(super) fn insert(&mut self, key: FileKey, file: F) -> Rc<F> {
        self.opened += 1;
        if let Some(held) = self.get(key) {
            return held;
        }
        self.make_room();
        let file = Rc::new(file);
        self.add(key, Rc::clone(&file));
        file
    }

    /// A write went to the file: it stays open until a flush covers it.
    pub(super) fn wrote(&mut self, key: FileKey, file: &Rc<F>) {
        if self.get(key).is_none() {
            // It was forgotten while it was written.
            self.add(key, Rc::clone(file));
        }
        let open = self.find(key).expect("it was just added");
        let more = !std::mem::replace(&mut open.unflushed, true);
        self.unflushed += usize::from(more);
    }

    /// A flush covers every write that went to the file.
    pub(super) fn flushed(&mut self, key: FileKey) {
        let Some(open) = self.find(key) else { return };
        let less = std::mem::take(&mut open.unflushed);
        self.unflushed -= usize::from(less);
    }

    /// The files with writes that no flush covers, in no order, for the caller to flush: it says
    /// [`Handles::wrote`] of each if that fails.
    pub(super) fn take_unflushed(&mut self) -> Vec<(FileKey, Rc<F>)> {
        let mut taken = Vec::with_capacity(self.unflushed);
        for (&partition, files) in &mut self.open {
            for open in files.iter_mut().filter(|open| open.unflushed) {
                open.unflushed = false;
                let key = FileKey { partition, base: open.base, kind: open.kind };
                taken.push((key, Rc::clone(&open.file)));
            }
        }
        self.unflushed = 0;
        taken
    }

    /// Forgets the files of a partition whose writes are flushed: others may have taken their names.
    pub(super) fn forget_flushed(&mut self, partition: PartitionKey) {
        self.keep_of(partition, |open| open.unflushed);
    }

    /// Forgets all files of a partition that is gone.
    pub(super) fn forget(&mut self, partition: PartitionKey) {
        self.keep_of(partition, |_| false);
    }

    /// Closes every idle file: the process has no descriptors left.
    pub(super) fn close_idle(&mut self) {
        self.close(self.count);
    }

    /// Makes room for one more.
    pub(super) fn make_room(&mut self) {
        if self.count >= self.max {
            let least = self.count + 1 - self.max;
            self.close(least.max(self.max / CLOSED_SHARE));
        }
    }

    /// Closes so many of the idle files, those used longest ago.
    fn close(&mut self, wanted: usize) {
        let all = self.open.values().flatten();
        let mut used: Vec<u64> = all.filter(|open| open.is_idle()).map(|open| open.used).collect();
        let wanted = wanted.min(used.len());
        if wanted == 0 {
            return;
        }
        let (_, last, _) = used.select_nth_unstable(wanted - 1);
        let last = *last;
        self.open.retain(|_, files| {
            files.retain(|open| !open.is_idle() || open.used > last);
            !files.is_empty()
        });
        self.count -= wanted;
        self.closed += wanted as u64;
    }

    fn find(&mut self, key: FileKey) -> Option<&mut Open<F>> {
        let mut files = self.open.get_mut(&key.partition)?.iter_mut();
        files.find(|open| open.base == key.base && open.kind == key.kind)
    }

    fn add(&mut self, key: FileKey, file: Rc<F>) {
        self.uses += 1;
        let open = Open { base: key.base, kind: key.kind, file, used: self.uses, unflushed: false };
        self.open.entry(key.partition).or_default().push(open);
        self.count += 1;
    }

    fn keep_of(&mut self, partition: PartitionKey, keep: impl Fn(&Open<F>) -> bool) {
        let Some(files) = self.open.get_mut(&partition) else { return };
        let before = files.len();
        files.retain(|open| {
            let kept = keep(open);
            self.unflushed -= usize::from(!kept && open.unflushed);
            kept
        });
        self.count -= before - files.len();
        if files.is_empty() {
            self.open.remove(&partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::TopicId;

    fn key(index: i32) -> FileKey {
        let partition = PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index };
        FileKey { partition, base: Offset::ZERO, kind: SegmentFile::Log }
    }

    fn handles(max: usize) -> Handles<i32> {
        Handles::new(max)
    }

    #[test]
    fn the_file_used_longest_ago_makes_room_for_another() {
        let mut handles = handles(3);
        (0..3).for_each(|i| drop(handles.insert(key(i), i)));
        handles.get(key(0));
        handles.insert(key(3), 3);
        assert_eq!(handles.get(key(1)), None);
        assert!([0, 2, 3].into_iter().all(|i| handles.get(key(i)).is_some()));
        assert_eq!((handles.count(), handles.opened, handles.closed), (3, 4, 1));
    }

    #[test]
    fn a_file_in_use_is_never_closed_and_one_more_is_opened_all_the_same() {
        let mut handles = handles(2);
        let held: Vec<_> = (0..3).map(|i| handles.insert(key(i), i)).collect();
        assert_eq!(handles.count(), 3);
        drop(held);
        handles.insert(key(3), 3);
        assert_eq!(handles.count(), 2);
    }

    #[test]
    fn a_file_with_unflushed_writes_stays_open_until_a_flush_covers_them() {
        let mut handles = handles(2);
        let file = handles.insert(key(0), 0);
        handles.wrote(key(0), &file);
        drop(file);
        assert!(handles.wants_flush());
        (1..5).for_each(|i| drop(handles.insert(key(i), i)));
        assert!(handles.get(key(0)).is_some());
        let flushing = handles.take_unflushed();
        assert_eq!(flushing.len(), 1);
        (5..8).for_each(|i| drop(handles.insert(key(i), i)));
        assert!(handles.get(key(0)).is_some(), "the flush holds it");
        // It failed.
        flushing.iter().for_each(|(key, file)| handles.wrote(*key, file));
        drop(flushing);
        (8..12).for_each(|i| drop(handles.insert(key(i), i)));
        assert!(handles.get(key(0)).is_some());
        handles.flushed(key(0));
        assert!(!handles.wants_flush());
        (12..15).for_each(|i| drop(handles.insert(key(i), i)));
        assert_eq!(handles.get(key(0)), None);
    }

    #[test]
    fn what_is_forgotten_is_not_counted_and_unflushed_writes_are_only_forgotten_with_their_partition() {
        let mut handles = handles(8);
        let file = handles.insert(key(0), 0);
        handles.wrote(key(0), &file);
        handles.insert(FileKey { kind: SegmentFile::Index, ..key(0) }, 1);
        handles.forget_flushed(key(0).partition);
        assert_eq!((handles.count(), handles.take_unflushed().len()), (1, 1));
        handles.wrote(key(0), &file);
        handles.forget(key(0).partition);
        assert_eq!((handles.count(), handles.take_unflushed().len()), (0, 0));
        // Its writer was still at it.
        handles.wrote(key(0), &file);
        assert_eq!((handles.count(), handles.take_unflushed().len()), (1, 1));
    }

    #[test]
    fn many_are_closed_at_once_when_there_are_many() {
        let mut handles = handles(80);
        (0..81).for_each(|i| drop(handles.insert(key(i), i)));
        assert_eq!((handles.count(), handles.closed), (71, 10));
        handles.close_idle();
        assert_eq!(handles.count(), 0);
    }

    #[test]
    fn two_who_open_a_file_at_once_share_the_first() {
        let mut handles = handles(4);
        handles.insert(key(0), 1);
        assert_eq!(*handles.insert(key(0), 2), 1);
        assert_eq!(handles.count(), 1);
    }
}
