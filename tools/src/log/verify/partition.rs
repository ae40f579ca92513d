//! One partition's files.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use engine::base::{LeaderEpoch, Offset};
use engine::log::index::{Entry, OffsetEntry, TimeEntry};
use engine::log::names::{self, SegmentFile};
use engine::log::{LeaderEpochs, ProducerTable};
use engine::record::BatchHeader;

use super::Report;
use crate::log::batches::{Batches, Next};
use crate::log::dump::{files, read_small};
use crate::log::indexes::Seen;
use crate::log::lines::Lines;

/// The end of a file that lies elsewhere: what is at `at` and after counts, not the file's own bytes.
#[derive(Clone, Debug)]
pub(super) struct Overlay {
    /// Where it begins.
    pub(super) at: u64,
    /// The bytes.
    pub(super) bytes: Vec<u8>,
}

/// What is known of a segment from elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Its base offset.
    pub(super) base: Offset,
    /// Its size and the offset after its last record; `None`: whatever the file holds.
    pub(super) size_and_end: Option<(u64, Offset)>,
    /// The end of the `.log`.
    pub(super) log: Option<Overlay>,
    /// The end of the `.index`.
    pub(super) offsets: Option<Overlay>,
    /// The end of the `.timeindex`.
    pub(super) times: Option<Overlay>,
    /// Compaction wrote it, and a crash may have left some of its files under the names that they were
    /// written under.
    pub(super) cleaned: bool,
    /// Offsets may be missing between batches.
    pub(super) gaps: bool,
    /// Under which leader each offset was written, if that is known.
    pub(super) epochs: Option<LeaderEpochs>,
    /// It is closed: compaction may have taken its last batches, so that its records end before it does.
    pub(super) closed: bool,
}

impl Expected {
    /// A segment of which only the file is known.
    pub(super) fn file(base: Offset) -> Expected {
        Expected {
            base,
            size_and_end: None,
            log: None,
            offsets: None,
            times: None,
            cleaned: false,
            gaps: true,
            epochs: None,
            closed: false,
        }
    }

    fn path(&self, dir: &Path, kind: SegmentFile) -> PathBuf {
        let cleaned = dir.join(kind.cleaned_name(self.base));
        if self.cleaned && cleaned.exists() { cleaned } else { dir.join(kind.name(self.base)) }
    }

    /// Why a batch does not belong where `due` is the next offset, if the log knows.
    fn misplaced(&self, header: &BatchHeader, due: Offset) -> Option<String> {
        let epochs = self.epochs.as_ref()?;
        if !self.gaps && header.base_offset() != due {
            return Some(format!("the batch at offset {} stands where {due} is due", header.base_offset()));
        }
        let epoch = epochs.epoch_of(header.base_offset())?;
        let other = header.leader_epoch();
        (epoch != other).then(|| {
            let base = header.base_offset();
            format!("the batch at offset {base} is of leader epoch {}, not {}", other.0, epoch.0)
        })
    }
}

/// Checks every segment in a directory, and the small files beside them.
pub(super) fn verify_directory<W: Write>(
    dir: &Path,
    report: &mut Report,
    out: &mut Lines<W>,
) -> anyhow::Result<()> {
    report.partitions += 1;
    for path in files(dir)? {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some((base, SegmentFile::Log)) = SegmentFile::parse(&name) {
            verify_segment(dir, &Expected::file(base), report, out)?;
        }
    }
    verify_small_files(dir, report, out)
}

/// Checks the files of a directory that are rebuilt rather than replayed: they only need to be whole.
pub(super) fn verify_small_files<W: Write>(
    dir: &Path,
    report: &mut Report,
    out: &mut Lines<W>,
) -> anyhow::Result<()> {
    for path in files(dir)? {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let verdict = match SegmentFile::parse(&name) {
            Some((_, SegmentFile::Snapshot)) => {
                ProducerTable::decode_snapshot(&read_small(&path)?).map(|_| ())
            }
            None if name == names::LEADER_EPOCH_CHECKPOINT => {
                LeaderEpochs::decode(&read_small(&path)?).map(|_| ())
            }
            None if name == names::PARTITION_METADATA => {
                names::decode_partition_metadata(&read_small(&path)?).map(|_| ())
            }
            _ => Ok(()),
        };
        if let Err(error) = verdict {
            report.damage(out, &path.display().to_string(), Some(error.at as u64), &error.to_string())?;
        }
    }
    Ok(())
}

/// Checks one segment: every batch's checksum, that batches lie back to back with rising offsets and
/// leader epochs that do not fall, and that the entries of both indexes name them.
pub(super) fn verify_segment<W: Write>(
    dir: &Path,
    expected: &Expected,
    report: &mut Report,
    out: &mut Lines<W>,
) -> anyhow::Result<()> {
    report.segments += 1;
    let path = expected.path(dir, SegmentFile::Log);
    let file = path.display().to_string();
    let Some((source, end)) = open(&path, expected)? else {
        report.damage(out, &file, None, "the file is missing or shorter than what is vouched for")?;
        return Ok(());
    };
    let mut batches = Batches::new(source, end, expected.base);
    let mut seen = Seen::default();
    let mut epoch = LeaderEpoch(-1);
    loop {
        let due = batches.next_offset();
        match batches.next()? {
            Next::Batch(batch) => {
                let header = batch.header();
                if let Some(what) = expected.misplaced(header, due) {
                    report.damage(out, &file, Some(batch.position), &what)?;
                }
                report.batches += 1;
                report.bytes += batch.bytes.len() as u64;
                seen.note(batch.position, header.last_offset(), header.max_timestamp());
                if !batch.is_valid() {
                    let what = format!("the batch at offset {} fails its checksum", header.base_offset());
                    report.damage(out, &file, Some(batch.position), &what)?;
                }
                // Outside the checksum, like the base offset: where nothing else is known, its order is judged.
                if expected.epochs.is_none() && header.leader_epoch() < epoch {
                    let what = format!("leader epoch {} after {}", header.leader_epoch().0, epoch.0);
                    report.damage(out, &file, Some(batch.position), &what)?;
                }
                epoch = header.leader_epoch();
            }
            Next::End => break,
            Next::Unused if expected.size_and_end.is_none() => break,
            Next::Unused => {
                let what = "zeroes where a batch should be";
                report.damage(out, &file, Some(batches.position()), what)?;
                return Ok(());
            }
            Next::Broken(what) => {
                report.damage(out, &file, Some(batches.position()), what)?;
                return Ok(());
            }
        }
    }
    if let Some((_, end)) = expected.size_and_end
        && batches.next_offset() != end
        && !(expected.closed && batches.next_offset() < end)
    {
        let what = format!("ends at offset {}, not {end}", batches.next_offset());
        report.damage(out, &file, Some(batches.position()), &what)?;
    }
    let (base, offsets, times) = (expected.base, &expected.offsets, &expected.times);
    let check = |bytes: &[u8]| seen.check_offsets(base, bytes);
    let path = expected.path(dir, SegmentFile::Index);
    verify_index::<OffsetEntry, W>(&path, offsets.as_ref(), check, report, out)?;
    let check = |bytes: &[u8]| seen.check_times(base, bytes);
    let path = expected.path(dir, SegmentFile::TimeIndex);
    verify_index::<TimeEntry, W>(&path, times.as_ref(), check, report, out)
}

/// The segment's bytes, end laid over; `None` if the file does not hold what it should.
fn open(path: &Path, expected: &Expected) -> anyhow::Result<Option<(Box<dyn Read>, u64)>> {
    let end = expected.size_and_end.map(|(bytes, _)| bytes);
    let on_disk = match &expected.log {
        Some(overlay) => overlay.at,
        None => end.unwrap_or(0),
    };
    let overlay = expected.log.as_ref().map_or(&[][..], |o| &o.bytes).to_vec();
    let file = match File::open(path) {
        Ok(file) => file,
        // Nothing of it was ever written out: all of it is elsewhere.
        Err(error) if error.kind() == io::ErrorKind::NotFound && on_disk == 0 && end.is_some() => {
            return Ok(Some((Box::new(Cursor::new(overlay)), end.unwrap_or(0))));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let length = file.metadata()?.len();
    if length < on_disk {
        return Ok(None);
    }
    let reader = BufReader::with_capacity(1 << 20, file);
    Ok(Some(match end {
        Some(end) => (Box::new(reader.take(on_disk).chain(Cursor::new(overlay))), end),
        None => (Box::new(reader), length),
    }))
}

fn verify_index<E: Entry, W: Write>(
    path: &Path,
    overlay: Option<&Overlay>,
    check: impl Fn(&[u8]) -> Option<(u64, String)>,
    report: &mut Report,
    out: &mut Lines<W>,
) -> anyhow::Result<()> {
    let Some(bytes) = index_bytes::<E>(path, overlay)? else {
        let what = "the index is missing or shorter than what is vouched for";
        report.damage(out, &path.display().to_string(), None, what)?;
        return Ok(());
    };
    report.indexes += 1;
    if let Some((at, what)) = check(&bytes) {
        report.damage(out, &path.display().to_string(), Some(at), &what)?;
    }
    Ok(())
}

/// The whole index. Kafka allocates the index of an active segment: zeroes at the end of a file that
/// nothing else describes are no entries.
fn index_bytes<E: Entry>(path: &Path, overlay: Option<&Overlay>) -> anyhow::Result<Option<Vec<u8>>> {
    let mut bytes = if path.exists() { read_small(path)? } else { Vec::new() };
    match overlay {
        Some(overlay) => {
            if (bytes.len() as u64) < overlay.at {
                return Ok(None);
            }
            bytes.truncate(overlay.at as usize);
            bytes.extend(&overlay.bytes);
        }
        None if !path.exists() => return Ok(None),
        None => {
            let used = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
            if bytes.len() - used >= E::BYTES {
                bytes.truncate(used.next_multiple_of(E::BYTES));
            }
        }
    }
    Ok(Some(bytes))
}
