//! Whether stored batches still are what was stored, and at their place.
//!
//! A batch's own checksum covers everything behind its first 21 bytes. What lies before, and whose batch
//! it is, is held against what the log knows without its segments: offsets lie back to back from the
//! segment's base on, and the leader epoch of each offset is in the checkpoint. So bytes of another
//! place, another time or another partition pass only if they are a batch of the same offsets, length
//! and epoch.

use std::ops::Deref;

use super::damage::Cause;
use super::epochs::LeaderEpochs;
use super::scan::{Step, Walk};
use crate::base::{Bug, Offset, planted};
use crate::record::{BatchHeader, CRC_FROM};

/// What the log knows of the batches that it expects.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The offset that the first batch begins with; the next ones follow it.
    pub next: Offset,
    /// Offsets may be missing between batches: compaction takes records out.
    pub gaps: bool,
    /// The epoch under which each offset was written.
    pub epochs: &'a LeaderEpochs,
}

/// What stopped the check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The walk's end, or the limit.
    End,
    /// The slices hold no whole batch here: this many bytes from the check's start are needed for more.
    More(usize),
    /// The batch here does not hold.
    Flaw(Cause),
}

/// How far bytes hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checked {
    /// Bytes of whole batches that hold, from the check's start on.
    pub bytes: usize,
    /// The offset after them.
    pub next: Offset,
    /// What lies behind them.
    pub stop: Stop,
}

/// Checks whole batches from `position` on, at most `limit` bytes of them. `end` is where the segment's
/// valid bytes end.
pub fn check<S: Deref<Target = [u8]>>(
    slices: &[S],
    position: u64,
    end: u64,
    limit: usize,
    expectation: Expectation<'_>,
) -> Checked {
    let there: usize = slices.iter().map(|s| s.len()).sum();
    let mut checked = Checked { bytes: 0, next: expectation.next, stop: Stop::End };
    // What a batch claims is judged below; the walk itself only needs offsets that rise.
    let mut walk = Walk::new(slices, position, end, Offset::ZERO);
    while checked.bytes < limit {
        let found = match walk.next() {
            Ok(Step::Batch(found)) => found,
            Ok(Step::End) => return checked,
            Ok(Step::More { .. }) => {
                checked.stop = Stop::More(checked.bytes + crate::record::HEADER_BYTES);
                return checked;
            }
            Err(_) => {
                checked.stop = Stop::Flaw(Cause::NotABatch);
                return checked;
            }
        };
        let bytes = checked.bytes + found.bytes;
        if bytes > limit {
            return checked;
        }
        if bytes > there {
            checked.stop = Stop::More(bytes);
            return checked;
        }
        let due = Expectation { next: checked.next, ..expectation };
        let flaw = header_flaw(&found.header, due).or_else(|| {
            let crc = crc_of(slices, checked.bytes + CRC_FROM, found.bytes - CRC_FROM);
            (crc != found.header.crc() && !planted(Bug::ReadUnchecked)).then_some(Cause::Checksum)
        });
        if let Some(cause) = flaw {
            checked.stop = Stop::Flaw(cause);
            return checked;
        }
        checked.bytes = bytes;
        checked.next = found.header.next_offset();
    }
    checked
}

/// What is wrong with a header at the place of the expectation: it says nothing of the batch's bytes.
#[must_use]
pub fn header_flaw(header: &BatchHeader, expectation: Expectation<'_>) -> Option<Cause> {
    let (next, base) = (expectation.next, header.base_offset());
    let begins = base == next || (expectation.gaps && base > next);
    // An epoch that was forgotten, with retention or for their number, is not judged.
    let epoch = expectation.epochs.epoch_of(base).is_none_or(|epoch| epoch == header.leader_epoch());
    (!begins || !epoch).then_some(Cause::Misplaced)
}

/// The CRC-32C of the part `start..start + bytes` of what lies in consecutive slices.
fn crc_of<S: Deref<Target = [u8]>>(slices: &[S], mut start: usize, mut bytes: usize) -> u32 {
    let mut crc = 0;
    for slice in slices {
        if start >= slice.len() {
            start -= slice.len();
            continue;
        }
        let n = bytes.min(slice.len() - start);
        crc = crc32c::crc32c_append(crc, &slice[start..start + n]);
        bytes -= n;
        start = 0;
        if bytes == 0 {
            break;
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::LeaderEpoch;
    use crate::record::{BatchBuilder, Codec};

    const EPOCH: LeaderEpoch = LeaderEpoch(3);

    /// Batches of two records each, from offset 100 on.
    fn segment(count: i64) -> Vec<u8> {
        let batch = |i: i64| {
            let mut builder = BatchBuilder::new(Codec::None);
            builder.push(1, None, Some(format!("value {i}").as_bytes()), &[]);
            builder.push(1, None, None, &[]);
            let mut batch = builder.finish();
            let header = BatchHeader::peek_mut(&mut batch).expect("a header");
            header.stamp(Offset(100 + 2 * i), EPOCH);
            batch
        };
        (0..count).flat_map(batch).collect()
    }

    fn epochs() -> LeaderEpochs {
        let mut epochs = LeaderEpochs::new();
        epochs.assign(EPOCH, Offset(100));
        epochs
    }

    fn checked(bytes: &[u8], cut: usize, gaps: bool) -> Checked {
        let slices: Vec<&[u8]> = bytes.chunks(cut).collect();
        let expectation = Expectation { next: Offset(100), gaps, epochs: &epochs() };
        check(&slices, 0, bytes.len() as u64, usize::MAX, expectation)
    }

    #[test]
    fn sound_batches_hold_however_they_are_cut() {
        let bytes = segment(10);
        for cut in [1, 7, 61, 1000] {
            let whole = Checked { bytes: bytes.len(), next: Offset(120), stop: Stop::End };
            assert_eq!(checked(&bytes, cut, false), whole, "{cut}");
        }
    }

    #[test]
    fn every_flipped_bit_is_found_in_its_own_batch() {
        let sound = segment(3);
        let each = sound.len() / 3;
        for at in each..2 * each {
            for bit in [1, 0x10, 0x80] {
                let mut bytes = sound.clone();
                bytes[at] ^= bit;
                let found = checked(&bytes, 64, false);
                assert_eq!((found.bytes, found.next), (each, Offset(102)), "byte {at}: {found:?}");
                assert_ne!(found.stop, Stop::End, "byte {at}");
            }
        }
    }

    #[test]
    fn zeroed_stale_and_misdirected_batches_do_not_pass() {
        let sound = segment(4);
        let each = sound.len() / 4;
        let put = |from: &[u8]| {
            let mut bytes = sound.clone();
            bytes[each..2 * each].copy_from_slice(from);
            checked(&bytes, 4096, false).stop
        };
        assert_eq!(put(&vec![0; each]), Stop::Flaw(Cause::NotABatch));
        assert_eq!(put(&sound[2 * each..3 * each]), Stop::Flaw(Cause::Misplaced), "of another place");
        let mut older = sound[each..2 * each].to_vec();
        BatchHeader::peek_mut(&mut older).expect("a header").stamp(Offset(102), LeaderEpoch(2));
        assert_eq!(put(&older), Stop::Flaw(Cause::Misplaced), "of another epoch");
    }

    #[test]
    fn gaps_are_sound_only_where_records_are_taken_out() {
        let sound = segment(4);
        let each = sound.len() / 4;
        let bytes = [&sound[..each], &sound[2 * each..]].concat();
        assert_eq!(checked(&bytes, 4096, true).stop, Stop::End);
        let strict = checked(&bytes, 4096, false);
        assert_eq!((strict.bytes, strict.stop), (each, Stop::Flaw(Cause::Misplaced)));
    }

    #[test]
    fn limits_and_missing_bytes_end_the_check() {
        let bytes = segment(3);
        let each = bytes.len() / 3;
        let expectation = Expectation { next: Offset(100), gaps: false, epochs: &epochs() };
        let of = |there: usize, limit| check(&[&bytes[..there]], 0, bytes.len() as u64, limit, expectation);
        assert_eq!(of(bytes.len(), 2 * each + 5).bytes, 2 * each);
        assert_eq!(of(bytes.len(), 2 * each + 5).stop, Stop::End);
        assert_eq!(of(each + 62, usize::MAX).stop, Stop::More(2 * each));
        assert_eq!(of(each + 5, usize::MAX).stop, Stop::More(each + 61));
    }
}
