//! What one core does with bytes that it already has: checksum and copy.

use std::hint::black_box;
use std::io;
use std::time::Duration;

use super::aligned::Aligned;
use super::budget::Until;
use super::disk::on_thread;
use super::sample::Sample;

/// Far above any cache of one core, so that a copy comes from memory and goes there.
const REGION_BYTES: usize = 64 << 20;

/// What is done with each block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Work {
    /// CRC-32C, as batches carry it, by the crate that the broker uses; the block stays in cache.
    Checksum,
    /// A copy from and to memory.
    Copy,
}

/// Blocks of `bytes`, one after the other, on `core`.
pub(super) fn process(
    work: Work,
    bytes: usize,
    core: Option<usize>,
    time: Duration,
    bytes_max: u64,
) -> io::Result<Sample> {
    on_thread(core, || {
        let region = if work == Work::Copy { REGION_BYTES } else { bytes };
        let (from, mut to) = (Aligned::new(region), Aligned::new(region));
        let mut sample = Sample::new();
        let until = Until::starting_now(time, bytes_max);
        while !until.is_over(sample.bytes) {
            match work {
                Work::Checksum => {
                    black_box(crc32c::crc32c(black_box(&from[..bytes])));
                    sample.count(1, bytes as u64);
                }
                Work::Copy => {
                    for (from, to) in from.chunks_exact(bytes).zip(to.chunks_exact_mut(bytes)) {
                        black_box(to).copy_from_slice(black_box(from));
                        sample.count(1, bytes as u64);
                    }
                }
            }
        }
        sample.wall = until.elapsed();
        Ok(sample)
    })
}
