//! Deleted files: their names go at once, their bytes slowly.
//!
//! Freeing gigabytes at a stroke makes every other write of the file system wait. So a large file that is
//! deleted is renamed to `cores/<core>/dead-<number>`, which takes a moment, and is cut there from its end, a
//! step with each tick of the clock. No other name leads to it, and the next start goes on where this one
//! stopped. When the disk is nearly full, or nobody writes, one step follows the other.
//!
//! A topic is deleted once the metadata log says so, and that is before its first file goes. So a broker that dies in
//! between leaves files that no partition leads to; the next one removes them, of those topics only whose
//! deletion it has read. What the metadata merely does not know is kept.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::shard::Shard;
use crate::base::{CoreId, Site, TopicId, buggify};
use crate::io::{Disk, DiskFault, DiskResult, FileName, Open};

/// Bytes given back at a time, at least; files that are no larger are removed at once.
const STEP: u64 = 2 * 1024 * 1024;

/// A step is this part of all that waits, if that is more: no load deletes faster for long.
const STEP_PART: u64 = 2048;

/// What the files are called in the core's directory, before their number.
const PREFIX: &str = "dead-";

/// The deleted files of a core, those that are cut next first.
#[derive(Debug, Default)]
pub(super) struct Graves {
    files: VecDeque<(FileName, u64)>,
    bytes: u64,
    number: u64,
    /// Nobody writes whom it could disturb.
    quiet: bool,
}

impl Graves {
    /// Bytes that are still to be given back.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A file of the core's directory that an earlier life left; whether it is one.
    pub(super) fn find(&mut self, name: &FileName, bytes: u64) -> bool {
        let Some(number) = name.base().strip_prefix(PREFIX).and_then(|n| n.parse().ok()) else {
            return false;
        };
        self.number = self.number.max(number);
        self.push(name.clone(), bytes);
        true
    }

    fn next_name(&mut self, core: CoreId) -> FileName {
        self.number += 1;
        FileName::core_dir(core).join(format_args!("{PREFIX}{:08}", self.number))
    }

    fn push(&mut self, name: FileName, bytes: u64) {
        self.bytes += bytes;
        self.files.push_back((name, bytes));
    }

    /// The file that is cut next, its bytes, and those that stay.
    fn next(&mut self) -> Option<(FileName, u64, u64)> {
        let step = STEP.max(self.bytes / STEP_PART);
        let (name, bytes) = self.files.pop_front()?;
        Some((name, bytes, bytes.saturating_sub(step)))
    }
}

impl<D: Disk> Shard<D> {
    /// Deletes a file: its name is gone when this returns, its bytes soon.
    pub(super) async fn bury(&self, name: &FileName, bytes: u64) -> DiskResult<()> {
        let disk = &self.inner.disk;
        if bytes <= STEP && !buggify(Site::BurySmallFiles) {
            return disk.remove(name).await;
        }
        let grave = self.inner.state.borrow_mut().graves.next_name(self.inner.core);
        match disk.rename(name, &grave).await {
            Ok(()) => {}
            // Not even room for a name.
            Err(error) if error.fault == DiskFault::NoSpace => return disk.remove(name).await,
            Err(error) => return Err(error),
        }
        self.inner.state.borrow_mut().graves.push(grave, bytes);
        self.inner.buried.notify();
        Ok(())
    }

    /// Deletes a file of the core's directory that nobody opens any more, under the name that it has.
    pub(super) fn bury_own(&self, name: FileName, bytes: u64) {
        self.inner.state.borrow_mut().graves.push(name, bytes);
        self.inner.buried.notify();
    }

    /// Buries what a directory holds, and removes it.
    pub(super) async fn bury_dir(&self, dir: &FileName) -> DiskResult<()> {
        for entry in self.inner.disk.list(dir).await? {
            self.bury(&entry.name, entry.len).await?;
        }
        self.inner.disk.remove(dir).await
    }

    /// Removes a deleted topic's directory if nothing is left in it: the last of its cores does.
    pub(super) async fn leave_topic(&self, topic: TopicId) -> DiskResult<()> {
        let dir = FileName::topic_dir(topic);
        if self.inner.disk.list(&dir).await?.is_empty() {
            self.inner.disk.remove(&dir).await?;
        }
        Ok(())
    }

    /// Gives back what an earlier life left of these topics, which are deleted and hosted by nobody.
    ///
    /// # Errors
    /// The disk's. The next start tries again.
    pub async fn bury_topics(&self, deleted: &[TopicId]) -> DiskResult<()> {
        if deleted.is_empty() || self.inner.settings.read_only {
            return Ok(());
        }
        let deleted: FxHashMap<FileName, TopicId> =
            deleted.iter().map(|&topic| (FileName::topic_dir(topic), topic)).collect();
        let mut left = self.inner.disk.list(&FileName::new("topics")).await?;
        left.retain(|entry| entry.is_dir && deleted.contains_key(&entry.name));
        if left.is_empty() {
            return Ok(());
        }
        tracing::info!(topics = left.len(), "removing what was left of topics that are deleted");
        for topic in &left {
            for partition in self.inner.disk.list(&topic.name).await? {
                if partition.is_dir && partition.name.base().parse::<u32>().is_ok() {
                    self.bury_dir(&partition.name).await?;
                }
            }
            self.leave_topic(deleted[&topic.name]).await?;
        }
        Ok(())
    }

    /// Whether no core has written lately, or one has: beside producers deletion takes its time.
    pub fn set_quiet(&self, quiet: bool) {
        self.inner.state.borrow_mut().graves.quiet = quiet;
    }

    /// Gives back the bytes of deleted files until [`Shard::close`].
    pub(super) async fn run_graves(&self) {
        loop {
            let (buried, ticked) = (self.inner.buried.wait(), self.inner.ticked.wait());
            if self.inner.closing.get() {
                return;
            }
            let (next, hurry) = {
                let mut state = self.inner.state.borrow_mut();
                (state.graves.next(), state.graves.quiet || state.space.is_tight())
            };
            let Some((name, bytes, left)) = next else {
                buried.await;
                continue;
            };
            self.cut(name, bytes, left).await;
            if !hurry {
                ticked.await;
            }
        }
    }

    /// One step of a file.
    async fn cut(&self, name: FileName, bytes: u64, left: u64) {
        let disk = &self.inner.disk;
        let cut = async {
            if left == 0 {
                return disk.remove(&name).await;
            }
            let file = disk.open(&name, Open::Existing).await?;
            disk.truncate(&file, left).await
        };
        let cut = cut.await;
        let graves = &mut self.inner.state.borrow_mut().graves;
        match cut {
            Ok(()) => {
                graves.bytes -= bytes - left;
                if left > 0 {
                    graves.files.push_front((name, left));
                }
            }
            Err(error) if error.fault == DiskFault::NotFound => graves.bytes -= bytes,
            Err(error) => {
                // Others may go; the next start tries this one again.
                tracing::warn!(core = self.inner.core.0, %error, "a deleted file's space was not given back");
                graves.bytes -= bytes;
            }
        }
    }
}
