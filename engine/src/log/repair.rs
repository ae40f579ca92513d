//! Putting back what a copy still holds of a damaged range.
//!
//! What is wanted is the range's offsets, `first..end`: whole batches, the same bytes as they were appended
//! here, from whoever has them (a replica, a backup). They may come in pieces, in order. A piece is held
//! against the log as everything is that is read, and fits only where the range begins, so nothing that comes
//! from outside can put a record where another was.

use super::damage::{Cause, DamagedRange};
use super::epochs::LeaderEpochs;
use super::intact::{self, Expectation, Stop};
use crate::base::Offset;

/// Why a piece is not put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Misfit {
    /// What begins at this byte of the piece is not a whole batch that holds and belongs here.
    #[error("byte {at} of the piece: {}", .cause.name())]
    Batch {
        /// In bytes from the piece's start.
        at: usize,
        /// What does not hold.
        cause: Cause,
    },
    /// The piece ends within a batch, or is empty.
    #[error("the piece ends within a batch")]
    Short,
    /// The batches hold and are not those that were here: they end at another offset, or another place.
    #[error(
        "the piece ends at offset {next} and byte {position} of the segment, the range at {end} and {end_position}"
    )]
    End {
        /// The offset behind the piece.
        next: Offset,
        /// Where it would end.
        position: u64,
        /// The offset behind the range.
        end: Offset,
        /// Where the range ends.
        end_position: u64,
    },
}

/// A piece that fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patch {
    /// Where its bytes go, from the segment's start.
    pub position: u64,
    /// Where they end.
    pub end_position: u64,
    /// The offset behind them.
    pub next: Offset,
    /// What is damaged still; `None` if that was all.
    pub rest: Option<DamagedRange>,
}

/// Fits a piece to the beginning of a range. `gaps` says that the log was compacted: there its last offsets
/// may be missing.
///
/// # Errors
/// See [`Misfit`].
pub fn fit(range: &DamagedRange, piece: &[u8], gaps: bool, epochs: &LeaderEpochs) -> Result<Patch, Misfit> {
    let (position, range_end) = (u64::from(range.position), u64::from(range.end_position));
    let piece_end = position + piece.len() as u64;
    let expectation = Expectation { next: range.first, gaps, epochs };
    // Beyond the range its own bytes are not judged: where they end is, below.
    let checked = intact::check(&[piece], position, piece_end.max(range_end), piece.len(), expectation);
    match checked.stop {
        Stop::Flaw(cause) => return Err(Misfit::Batch { at: checked.bytes, cause }),
        Stop::More(_) => return Err(Misfit::Short),
        Stop::End if checked.bytes < piece.len() || piece.is_empty() => return Err(Misfit::Short),
        Stop::End => {}
    }
    let next = checked.next;
    let ends = if piece_end == range_end {
        next == range.end || (gaps && next <= range.end)
    } else {
        piece_end < range_end && next < range.end
    };
    if !ends {
        return Err(Misfit::End { next, position: piece_end, end: range.end, end_position: range_end });
    }
    let rest = DamagedRange { position: piece_end as u32, first: next, ..*range };
    let rest = (piece_end < range_end).then_some(rest);
    Ok(Patch { position, end_position: piece_end, next, rest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{LeaderEpoch, WallMs};
    use crate::record::{BatchBuilder, BatchHeader, Codec};

    /// A batch of one record.
    fn batch(offset: i64, epoch: i32) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1, None, Some(format!("value {offset}").as_bytes()), &[]);
        let mut batch = builder.finish();
        BatchHeader::peek_mut(&mut batch).expect("a header").stamp(Offset(offset), LeaderEpoch(epoch));
        batch
    }

    /// The batches 41 to 43 of a segment, damaged.
    fn damaged() -> (DamagedRange, Vec<u8>, LeaderEpochs) {
        let bytes: Vec<u8> = (41..44).flat_map(|offset| batch(offset, 2)).collect();
        let range = DamagedRange {
            segment: Offset(40),
            position: 100,
            end_position: 100 + bytes.len() as u32,
            first: Offset(41),
            end: Offset(44),
            found_at: WallMs(9),
            cause: Cause::Checksum,
        };
        let mut epochs = LeaderEpochs::new();
        epochs.assign(LeaderEpoch(2), Offset(30));
        (range, bytes, epochs)
    }

    #[test]
    fn the_range_is_put_back_whole_or_in_pieces() {
        let (range, bytes, epochs) = damaged();
        let each = bytes.len() / 3;
        let whole =
            Patch { position: 100, end_position: 100 + bytes.len() as u64, next: Offset(44), rest: None };
        assert_eq!(fit(&range, &bytes, false, &epochs), Ok(whole));
        let mut left = range;
        for (nth, piece) in bytes.chunks(each).enumerate() {
            let patch = fit(&left, piece, false, &epochs).expect("it fits");
            assert_eq!((patch.position, patch.next), (100 + (nth * each) as u64, Offset(42 + nth as i64)));
            match patch.rest {
                Some(rest) => left = rest,
                None => assert_eq!(nth, 2),
            }
        }
    }

    #[test]
    fn what_was_never_there_is_refused() {
        let (range, bytes, epochs) = damaged();
        let each = bytes.len() / 3;
        let refused =
            |piece: &[u8]| fit(&range, piece, false, &epochs).expect_err("it does not belong there");
        for at in 0..each {
            let mut rotten = bytes.clone();
            rotten[each + at] ^= 0x10;
            refused(&rotten);
        }
        assert_eq!(refused(&[]), Misfit::Short);
        assert_eq!(refused(&bytes[..each + 5]), Misfit::Short);
        assert_eq!(refused(&bytes[each..]), Misfit::Batch { at: 0, cause: Cause::Misplaced }, "others");
        let older: Vec<u8> = (41..44).flat_map(|offset| batch(offset, 1)).collect();
        assert_eq!(refused(&older), Misfit::Batch { at: 0, cause: Cause::Misplaced }, "of an older leader");
        let longer: Vec<u8> = (41..45).flat_map(|offset| batch(offset, 2)).collect();
        assert!(matches!(refused(&longer), Misfit::End { next: Offset(45), .. }));
        let mut short = range;
        short.end_position += 7;
        assert!(matches!(fit(&short, &bytes, false, &epochs), Err(Misfit::End { .. })), "of another length");
    }
}
