//! What is wrong with the bytes of a checkpoint, for people.

use super::checkpoint::{CRC_AT, Checkpoint, HEADER_BYTES, MAGIC, is_newer};

/// Why bytes are no checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckpointFlaw {
    /// Another version of the format.
    #[error("a checkpoint of a later format")]
    Newer,
    /// It does not begin as one does.
    #[error("it does not begin as a checkpoint does")]
    Magic,
    /// It ends before its header says.
    #[error("it has {has} bytes, and its header says {says}")]
    Short {
        /// Bytes there are.
        has: u64,
        /// Bytes there should be.
        says: u64,
    },
    /// Its checksum fails.
    #[error("its checksum fails")]
    Checksum,
    /// Its checksum holds, and what it says cannot be.
    #[error("its checksum holds and its contents contradict themselves")]
    Contents,
}

impl CheckpointFlaw {
    /// Where, in bytes from the file's start.
    #[must_use]
    pub fn position(&self) -> u64 {
        match self {
            CheckpointFlaw::Newer | CheckpointFlaw::Magic => 0,
            CheckpointFlaw::Short { has, .. } => *has,
            CheckpointFlaw::Checksum => CRC_AT as u64,
            CheckpointFlaw::Contents => HEADER_BYTES as u64,
        }
    }
}

impl Checkpoint {
    /// As [`Checkpoint::decode`], with the reason.
    ///
    /// # Errors
    /// See [`CheckpointFlaw`].
    pub fn explain(bytes: &[u8]) -> Result<Checkpoint, CheckpointFlaw> {
        if let Some(checkpoint) = Checkpoint::decode(bytes) {
            return Ok(checkpoint);
        }
        if is_newer(bytes) {
            return Err(CheckpointFlaw::Newer);
        }
        let has = bytes.len() as u64;
        let Some(header) = bytes.get(..HEADER_BYTES) else {
            return Err(CheckpointFlaw::Short { has, says: HEADER_BYTES as u64 });
        };
        if header[..8] != MAGIC {
            return Err(CheckpointFlaw::Magic);
        }
        let body = u64::from_be_bytes(header[42..50].try_into().expect("eight bytes"));
        let says = (HEADER_BYTES as u64).saturating_add(body);
        if says > has {
            return Err(CheckpointFlaw::Short { has, says });
        }
        let crc = u32::from_be_bytes(header[CRC_AT..].try_into().expect("four bytes"));
        let body = &bytes[HEADER_BYTES..says as usize];
        let holds = crc == crc32c::crc32c_append(crc32c::crc32c(&header[..CRC_AT]), body);
        Err(if holds { CheckpointFlaw::Contents } else { CheckpointFlaw::Checksum })
    }
}
