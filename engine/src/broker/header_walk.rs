//! Walking a segment's headers, for who looks for a batch and does not want all of them.
//!
//! A walk begins at a batch that holds and goes over damage, known or met. Each header is held against the
//! log where it is passed; the bytes of a batch are when they are asked for, so whatever is taken from one
//! was verified. A batch that was only passed may be rotten: then it is as if it were not there.

use super::damage::EXAMINED_MAX;
use super::pages::SegmentSource;
use super::read::FetchError;
use super::shard::Shard;
use super::stretch::Stretch;
use crate::base::Offset;
use crate::io::Disk;
use crate::log::Cause;
use crate::log::intact::{self, Expectation};
use crate::log::scan::{Damaged, Found, Step, Walk};
use crate::record::BatchHeader;

/// Bytes of segment walked at a time.
const WALK_BYTES: usize = 256 * 1024;

/// A walk in one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderWalk {
    /// Where it began, or went on behind damage: a batch that holds, and its first offset.
    sound: (u64, Offset),
    /// Where the next batch begins, and the offset due there.
    at: (u64, Offset),
    /// Times that it met damage which was not listed.
    met: usize,
}

impl HeaderWalk {
    fn from(sound: (u64, Offset)) -> HeaderWalk {
        HeaderWalk { sound, at: sound, met: 0 }
    }

    fn go_on_at(&mut self, sound: (u64, Offset)) {
        (self.sound, self.at) = (sound, sound);
    }

    /// Passes the batch that was found last.
    pub(super) fn pass(&mut self, found: &Found) {
        self.at = (found.position + found.bytes as u64, found.header.next_offset());
    }
}

impl<D: Disk> Shard<D> {
    /// A walk that begins at or below `near`.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(super) async fn walk_from(
        &self,
        source: &SegmentSource<D>,
        near: Offset,
    ) -> Result<HeaderWalk, FetchError> {
        Ok(HeaderWalk::from(self.sound_start(source, near).await?))
    }

    /// The next batch that is wanted; the walk stands at it then. `None` at the segment's end.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(super) async fn find_batch(
        &self,
        source: &SegmentSource<D>,
        walk: &mut HeaderWalk,
        mut wanted: impl FnMut(&Found) -> bool,
    ) -> Result<Option<Found>, FetchError> {
        let mut want = WALK_BYTES;
        while walk.at.0 < source.end {
            let position = walk.at.0;
            if let Some(range) = self.listed(source, position) {
                walk.go_on_at((u64::from(range.end_position), range.end));
                continue;
            }
            // What is listed may be unreadable.
            let end = self.listed_after(source, position).map_or(source.end, |at| at.min(source.end));
            let len = want.min((end - position) as usize);
            let Stretch { slices, cut } = self.read_some(source, position, len).await?;
            let mut headers = Walk::new(&slices, position, end, source.base);
            let flaw = loop {
                match headers.next() {
                    Ok(Step::Batch(found)) if self.flaw_of(source, &found.header, walk.at.1)?.is_some() => {
                        break true;
                    }
                    Ok(Step::Batch(found)) if wanted(&found) => return Ok(Some(found)),
                    Ok(Step::Batch(found)) => walk.pass(&found),
                    Ok(Step::More { position: at }) => {
                        // The next header is longer than what was read, or cannot be.
                        let stands = at == position;
                        want = if stands { want * 2 } else { WALK_BYTES };
                        break stands && cut.is_some();
                    }
                    Ok(Step::End) => break false,
                    Err(_) => break true,
                }
            };
            if flaw {
                self.pass_damage(source, walk).await?;
            }
        }
        Ok(None)
    }

    /// The bytes of a batch that the walk stands at. `None` if they do not hold: the walk goes on behind them.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(super) async fn whole_batch(
        &self,
        source: &SegmentSource<D>,
        walk: &mut HeaderWalk,
        found: &Found,
    ) -> Result<Option<Vec<u8>>, FetchError> {
        let Stretch { slices, .. } = self.read_some(source, found.position, found.bytes).await?;
        let next = found.header.base_offset();
        let holds = {
            let state = self.inner.state.borrow();
            let partition = state.by_key(source.key).ok_or(FetchError::UnknownPartition)?;
            let expectation = Expectation { next, gaps: false, epochs: &partition.epochs };
            intact::check(&slices, found.position, source.end, found.bytes, expectation).bytes == found.bytes
        };
        if holds {
            return Ok(Some(
                slices.iter().flat_map(|slice| slice.iter().copied()).take(found.bytes).collect(),
            ));
        }
        walk.at = (found.position, next);
        self.pass_damage(source, walk).await?;
        Ok(None)
    }

    /// Lists what the walk met where it stands, and goes on behind it.
    async fn pass_damage(&self, source: &SegmentSource<D>, walk: &mut HeaderWalk) -> Result<(), FetchError> {
        walk.met += 1;
        if walk.met > EXAMINED_MAX {
            return Err(Damaged { position: walk.at.0 }.into());
        }
        let behind = self.past_damage(source, walk.sound, walk.at.0).await?;
        walk.go_on_at(behind);
        Ok(())
    }

    fn flaw_of(
        &self,
        source: &SegmentSource<D>,
        header: &BatchHeader,
        next: Offset,
    ) -> Result<Option<Cause>, FetchError> {
        let state = self.inner.state.borrow();
        let partition = state.by_key(source.key).ok_or(FetchError::UnknownPartition)?;
        let expectation = Expectation { next, gaps: partition.gaps, epochs: &partition.epochs };
        Ok(intact::header_flaw(header, expectation))
    }
}
