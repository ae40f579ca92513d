//! One core's journal: where an acknowledged record lies first.
//!
//! The appends of all partitions of a core become one frame, one aligned write, one flush. A frame
//! is durable when it and every earlier frame of the core were written before a flush that returned.
//! Frames are numbered without gaps; a file's incarnation is new at every reuse, so what an earlier
//! use left behind never passes for data. The whole blocks of a large batch may go straight to its
//! segment; then its frame is durable only when they are too.
//!
//! This module holds the formats and the decisions: [`FrameBuilder`] fills a frame, [`Ring`] says
//! which file it goes to and which may be reused, [`Scan`] reads a file back and tells a torn end
//! from damage. The I/O is in `broker::commit` and `broker::recovery`.

mod builder;
mod extent;
mod layout;
mod reframe;
mod ring;
mod scan;

pub use builder::{FrameBuilder, FrameEntry, NoMemory, SealedFrame, Stored};
pub use extent::{Extent, ExtentView, Shape};
pub use layout::{
    BatchPlace, ENTRY_BYTES, EntryHeader, EntryKind, FILE_HEADER_BYTES, FRAME_BYTES_MAX, FRAME_HEADER_BYTES,
    FileHeader, FrameHeader, file_name, file_number, may_be_of, next_incarnation,
};
pub use reframe::reframe;
pub use ring::{JournalFile, Ring};
pub use scan::{Entries, Entry, FrameError, FrameView, ScanEnd, Verdict, judge};
