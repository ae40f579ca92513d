//! What a verification looked at and found.

use std::io::{self, Write};

use crate::log::lines::Lines;

/// Counts of what was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Report {
    /// Partitions.
    pub(crate) partitions: u64,
    /// Segments.
    pub(crate) segments: u64,
    /// Batches whose checksum was computed.
    pub(crate) batches: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// Index files.
    pub(crate) indexes: u64,
    /// Journal frames above the checkpoints.
    pub(crate) frames: u64,
    /// Batches that only the journal holds.
    pub(crate) batches_in_journal: u64,
    /// Things that do not hold.
    pub(crate) damages: u64,
}

impl Report {
    /// Shows the counts.
    ///
    /// # Errors
    /// The sink's.
    pub(crate) fn print<W: Write>(&self, out: &mut Lines<W>) -> io::Result<()> {
        let lead = if self.damages == 0 { "SOUND" } else { "DAMAGED" };
        out.line(
            "report",
            lead,
            &[
                ("partitions", self.partitions.into()),
                ("segments", self.segments.into()),
                ("batches", self.batches.into()),
                ("bytes", self.bytes.into()),
                ("indexes", self.indexes.into()),
                ("frames", self.frames.into()),
                ("batchesInJournal", self.batches_in_journal.into()),
                ("damages", self.damages.into()),
            ],
        )
    }

    /// Counts a damage and says it.
    ///
    /// # Errors
    /// The sink's.
    pub(crate) fn damage<W: Write>(
        &mut self,
        out: &mut Lines<W>,
        file: &str,
        position: Option<u64>,
        what: &str,
    ) -> io::Result<()> {
        self.damages += 1;
        out.damage(file, position, what)
    }
}
