//! Which journal file takes the next frame, and which may be used again.

use std::collections::VecDeque;

use super::layout::FILE_HEADER_BYTES;

/// A journal file in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalFile {
    /// The number in its name.
    pub number: u32,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A file that holds frames.
#[derive(Clone, Copy, Debug)]
struct Used {
    file: JournalFile,
    last_sequence: u64,
    /// Where the next frame goes.
    end: u64,
    /// Frames before this position are covered by a checkpoint.
    covered: u64,
}

/// The files of one core in their order of use.
///
/// `active → sealed → (a checkpoint covers its last sequence) → free → active`. One that failed goes
/// `active → aside → (a checkpoint covers its last sequence) → gone`, and never takes a frame again. A file returns to
/// `free` only by [`Ring::trim`]; where no other can be had, the active one follows itself once all
/// of it is covered.
#[derive(Debug, Default)]
pub struct Ring {
    /// The highest sequence that a checkpoint covers.
    covered: u64,
    /// The active file and its end when the next checkpoint began.
    mark: Option<(u32, u64)>,
    active: Option<Used>,
    sealed: VecDeque<Used>,
    free: VecDeque<JournalFile>,
    /// Files that failed and hold frames that no checkpoint covers yet.
    aside: Vec<Used>,
    /// Files that failed and hold nothing that is needed.
    gone: Vec<JournalFile>,
}

impl Ring {
    /// A ring without files.
    #[must_use]
    pub fn new() -> Ring {
        Ring::default()
    }

    /// Files in any state.
    #[must_use]
    pub fn files(&self) -> usize {
        self.sealed.len() + self.free.len() + usize::from(self.active.is_some())
    }

    /// Bytes of frames that no checkpoint covers yet.
    #[must_use]
    pub fn bytes_used(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|u| u.end).sum();
        sealed + self.active.map_or(0, |u| u.end - u.covered)
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes_total(&self) -> u64 {
        let free: u64 = self.free.iter().map(|f| f.bytes).sum();
        free + self.sealed.iter().chain(&self.active).map(|u| u.file.bytes).sum::<u64>()
    }

    /// The longest file: no frame that needs more can be placed.
    #[must_use]
    pub fn bytes_largest(&self) -> u64 {
        let free = self.free.iter().map(|f| f.bytes);
        free.chain(self.sealed.iter().chain(&self.active).map(|u| u.file.bytes)).max().unwrap_or(0)
    }

    /// Whether a file waits to be used.
    #[must_use]
    pub fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// The file that takes frames now.
    #[must_use]
    pub fn active(&self) -> Option<JournalFile> {
        self.active.map(|used| used.file)
    }

    /// A checkpoint begins: what the active file holds now will be covered when it is trimmed.
    pub fn mark(&mut self) {
        self.mark = self.active.map(|used| (used.file.number, used.end));
    }

    /// Adds a prepared file.
    pub fn add(&mut self, file: JournalFile) {
        self.free.push_back(file);
    }

    /// The place for a frame of `bytes` in the active file: file and position. `None` if it has
    /// none, or there is no active file.
    pub fn place(&mut self, sequence: u64, bytes: usize) -> Option<(JournalFile, u64)> {
        let active = self.active.as_mut()?;
        if active.end + bytes as u64 > active.file.bytes {
            return None;
        }
        assert!(sequence > active.last_sequence, "frames go in order");
        let at = active.end;
        active.end += bytes as u64;
        active.last_sequence = sequence;
        Some((active.file, at))
    }

    /// Makes the next free file that can hold a frame of `bytes` the active one, before the frame
    /// `first_sequence`. `None` while a checkpoint must free one first.
    pub fn advance(&mut self, first_sequence: u64, bytes: usize) -> Option<JournalFile> {
        let fits = |f: &JournalFile| FILE_HEADER_BYTES + bytes as u64 <= f.bytes;
        let file = match self.free.iter().position(fits) {
            Some(index) => self.free.remove(index)?,
            None => self.active.filter(|a| a.last_sequence <= self.covered && fits(&a.file))?.file,
        };
        if let Some(full) = self.active.take()
            && full.file != file
        {
            self.sealed.push_back(full);
        }
        let (last_sequence, end) = (first_sequence - 1, FILE_HEADER_BYTES);
        self.active = Some(Used { file, last_sequence, end, covered: 0 });
        Some(file)
    }

    /// The active file failed: it takes no more frames. Gives its number.
    pub fn set_aside(&mut self) -> Option<u32> {
        let failed = self.active.take()?;
        self.aside.push(failed);
        Some(failed.file.number)
    }

    /// The active file, which holds no acknowledged frame, is one of the free again.
    pub fn give_back(&mut self) {
        self.free.extend(self.active.take().map(|used| used.file));
    }

    /// The active file, which holds no acknowledged frame, is to be removed.
    pub fn abandon(&mut self) {
        self.gone.extend(self.active.take().map(|used| used.file));
    }

    /// Whether a checkpoint that covers the frames up to `durable` lets go of a file that failed. Before its last
    /// frames are acknowledged in another file none does.
    #[must_use]
    pub fn lets_go_below(&self, durable: u64) -> bool {
        self.aside.iter().any(|used| used.last_sequence <= durable)
    }

    /// Files that failed and may be removed.
    pub fn take_gone(&mut self) -> Vec<JournalFile> {
        std::mem::take(&mut self.gone)
    }

    /// Frees every sealed file whose frames are all at or below `covered`.
    pub fn trim(&mut self, covered: u64) {
        self.covered = self.covered.max(covered);
        if let (Some(active), Some((number, end))) = (&mut self.active, self.mark.take())
            && active.file.number == number
            && end <= active.end
        {
            active.covered = end;
        }
        let (gone, aside): (Vec<Used>, Vec<Used>) =
            self.aside.drain(..).partition(|used| used.last_sequence <= covered);
        self.aside = aside;
        self.gone.extend(gone.into_iter().map(|used| used.file));
        while let Some(used) = self.sealed.front() {
            if used.last_sequence > covered {
                break;
            }
            self.free.push_back(used.file);
            self.sealed.pop_front();
        }
    }
}
