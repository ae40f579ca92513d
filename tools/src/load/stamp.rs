//! The head of each value, by which a reader recognises a record and knows when it was planned.
//!
//! | bytes | field |
//! |---|---|
//! | 0–3 | run: random per run; a record of another run is counted as foreign |
//! | 4–7 | producer, from 0 |
//! | 8–15 | sequence: 0, 1, 2 … per producer and partition |
//! | 16–23 | planned time, CLOCK_MONOTONIC ns |
//!
//! All little-endian. What follows is payload, covered by the batch's CRC.

/// Bytes of a stamp: the smallest value that the load sends.
pub const STAMP_BYTES: usize = 24;

/// Who sent a record, as which, planned for when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// The run.
    pub run: u32,
    /// The producer, from 0.
    pub producer: u32,
    /// The record's number within its producer and partition.
    pub sequence: u64,
    /// When it should have been sent, CLOCK_MONOTONIC ns.
    pub planned_ns: u64,
}

impl Stamp {
    /// Writes the stamp over the first 24 bytes of a value.
    pub fn write(&self, value: &mut [u8]) {
        value[0..4].copy_from_slice(&self.run.to_le_bytes());
        value[4..8].copy_from_slice(&self.producer.to_le_bytes());
        value[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        value[16..24].copy_from_slice(&self.planned_ns.to_le_bytes());
    }

    /// Reads the stamp of a value, `None` if it is too short to have one.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Stamp> {
        let head: &[u8; STAMP_BYTES] = value.first_chunk()?;
        Some(Stamp {
            run: u32::from_le_bytes([head[0], head[1], head[2], head[3]]),
            producer: u32::from_le_bytes([head[4], head[5], head[6], head[7]]),
            sequence: u64::from_le_bytes(*head[8..].first_chunk()?),
            planned_ns: u64::from_le_bytes(*head[16..].first_chunk()?),
        })
    }
}
