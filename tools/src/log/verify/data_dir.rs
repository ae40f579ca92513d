//! A whole data directory: what checkpoints vouch for, with the journal laid over it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use engine::base::{LeaderEpoch, Now, Offset, PartitionKey};
use engine::broker::PartitionState;
use engine::io::FileName;
use engine::journal::{Entry, EntryKind};
use engine::log::names::SegmentFile;
use engine::log::segments::{Applied, Place};
use engine::metadata::Image;
use engine::metadata::storage::{self, Verdict};

use super::Report;
use super::partition::{Expected, Overlay, verify_segment, verify_small_files};
use super::swap::swap;
use crate::log::checkpoints::Checkpoints;
use crate::log::dump::{files, read_small};
use crate::log::journals::{Met, journals, replay};
use crate::log::lines::Lines;

/// A partition as its checkpoint has it, and as the journal continues it.
pub(super) struct Known {
    core: u16,
    pub(super) state: PartitionState,
    /// The log start with the journal's word: what lies below it may be gone.
    log_start: Offset,
    pub(super) head: engine::log::Segments,
    broken: bool,
    /// Its log ends at an extent that was not completely written.
    ended: bool,
    /// The compacted segment that counts although a crash may have left files of others in its place.
    pub(super) swapped: Option<Offset>,
}

/// Checks a data directory: metadata, checkpoints, journals, then every segment.
pub(super) fn verify_data_dir<W: Write>(
    root: &Path,
    report: &mut Report,
    out: &mut Lines<W>,
) -> anyhow::Result<()> {
    let hosted = hosted(root, report, out)?;
    let cores = core_dirs(root)?;
    let mut known: BTreeMap<PartitionKey, Known> = BTreeMap::new();
    let mut included = BTreeMap::new();
    for (core, dir) in &cores {
        let checkpoints = Checkpoints::read(dir)?;
        checkpoints.tell(report, out)?;
        let Some(checkpoint) = checkpoints.newest else { continue };
        included.insert(*core, checkpoint.included);
        for state in checkpoint.partitions {
            let newer = known.get(&state.key).is_none_or(|held| held.state.generation < state.generation);
            if newer && hosted.contains(&state.key) {
                known.insert(state.key, Known::new(*core, state));
            }
        }
    }
    for key in &hosted {
        // Created after the checkpoint: all of it is in the journal, of whichever core.
        known.entry(*key).or_insert_with(|| Known::new(u16::MAX, PartitionState::new(*key, LeaderEpoch(0))));
    }
    for (_, dir) in &cores {
        swap(root, dir, &mut known, report, out)?;
    }
    for (core, dir) in &cores {
        let included = included.get(core).copied().unwrap_or(0);
        overlay(root, *core, dir, included, &mut known, report, out)?;
    }
    for known in known.values() {
        verify_partition(root, known, report, out)?;
    }
    Ok(())
}

impl Known {
    fn new(core: u16, state: PartitionState) -> Known {
        Known {
            core,
            log_start: state.log_start,
            head: state.segments.clone(),
            state,
            broken: false,
            ended: false,
            swapped: None,
        }
    }
}

/// The partitions that the metadata names.
fn hosted<W: Write>(
    root: &Path,
    report: &mut Report,
    out: &mut Lines<W>,
) -> anyhow::Result<BTreeSet<PartitionKey>> {
    let image = image(root, report, out)?;
    Ok(image.topics().flat_map(|topic| topic.keyed().map(|(key, _)| key).collect::<Vec<_>>()).collect())
}

/// The metadata, as far as it can be read.
pub(in crate::log) fn image<W: Write>(
    root: &Path,
    report: &mut Report,
    out: &mut Lines<W>,
) -> anyhow::Result<Image> {
    let dir = root.join("meta");
    let snapshot = dir.join("snapshot");
    let mut image = Image::default();
    if snapshot.exists() {
        match storage::decode_snapshot(&read_small(&snapshot)?) {
            Ok(read) => image = read,
            Err(error) => {
                report.damage(out, &snapshot.display().to_string(), None, &error.to_string())?;
            }
        }
    }
    let mut index = image.position().index;
    let logs = if dir.exists() { files(&dir)? } else { Vec::new() };
    for path in logs {
        if !path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("log-")) {
            continue;
        }
        let file = path.display().to_string();
        let scan = match storage::scan(&read_small(&path)?) {
            Ok(scan) => scan,
            Err(error) => {
                report.damage(out, &file, None, &error.to_string())?;
                continue;
            }
        };
        if let Verdict::Damaged { at, .. } = scan.verdict {
            report.damage(out, &file, Some(at), "acknowledged metadata does not verify")?;
        }
        for entry in scan.entries {
            if entry.position.index <= index {
                continue;
            }
            if entry.position.index != index + 1 {
                let what = format!("goes on with entry {} after {index}", entry.position.index);
                report.damage(out, &file, None, &what)?;
            }
            index = entry.position.index;
            for record in &entry.records {
                if let Err(error) = image.apply(record) {
                    report.damage(out, &file, None, &error.to_string())?;
                }
            }
        }
    }
    Ok(image)
}

pub(in crate::log) fn core_dirs(root: &Path) -> anyhow::Result<Vec<(u16, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("cores"))? {
        let entry = entry?;
        if let Ok(core) = entry.file_name().to_string_lossy().parse() {
            found.push((core, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a core's journal and continues its partitions with it, in memory.
fn overlay<W: Write>(
    root: &Path,
    core: u16,
    dir: &Path,
    included: u64,
    known: &mut BTreeMap<PartitionKey, Known>,
    report: &mut Report,
    out: &mut Lines<W>,
) -> anyhow::Result<()> {
    let journals = journals(dir, |path, what, lost| {
        let file = path.display().to_string();
        if lost {
            report.damage(out, &file, Some(0), what)?;
        } else {
            out.line("torn", "Damaged header", &[("file", file.into()), ("what", what.into())])?;
        }
        Ok(())
    })?;
    if let Some(first) =
        journals.iter().map(|j| j.header.first_sequence()).min().filter(|f| *f > included + 1)
    {
        let what = format!(
            "the journal begins with frame {first}, and the newest whole checkpoint ends with {included}: a start \
             refuses, as what lies between is missing"
        );
        report.damage(out, &dir.display().to_string(), None, &what)?;
    }
    let torn = replay(&journals, included, |met| {
        match met {
            Met::Frame(view, proven) => {
                report.frames += 1;
                for entry in view.entries() {
                    if holds(root, core, &entry, proven, known, report, out)? {
                        apply(core, &entry, known, report, out)?;
                    }
                }
            }
            Met::Damaged(path, position) => {
                let what = "a frame that was durable does not verify";
                report.damage(out, &path.display().to_string(), Some(position), what)?;
            }
        }
        Ok(())
    })?;
    if torn {
        let what = "ends in frames that were never flushed: they are void";
        out.line("torn", "Journal", &[("core", core.into()), ("what", what.into())])?;
    }
    Ok(())
}

/// Whether an entry may be applied: an extent only if its blocks are in its segment. Where no flush
/// mark covers them and they are not, the partition's log ends, as recovery has it; else it is damage.
fn holds<W: Write>(
    root: &Path,
    core: u16,
    entry: &Entry<'_>,
    proven: bool,
    known: &mut BTreeMap<PartitionKey, Known>,
    report: &mut Report,
    out: &mut Lines<W>,
) -> anyhow::Result<bool> {
    let place = &entry.place;
    let (Some(extent), Some(known)) = (entry.extent(), known.get_mut(&place.key)) else { return Ok(true) };
    let next = (known.core == core || known.core == u16::MAX)
        && place.generation == known.state.generation
        && known.head.end() == place.base_offset;
    if known.ended || !next {
        return Ok(true);
    }
    let dir = root.join(FileName::partition_dir(place.key).as_str());
    let path = dir.join(SegmentFile::Log.name(place.segment));
    if read_part(&path, extent.at, extent.middle)?.is_some_and(|middle| extent.holds(&middle)) {
        return Ok(true);
    }
    let file = path.display().to_string();
    if proven {
        report.damage(out, &file, Some(extent.at), "the blocks of an extent do not verify")?;
        return Ok(true);
    }
    known.ended = true;
    let what = "an extent that was never flushed: the partition ends before it";
    out.line(
        "torn",
        "Segment",
        &[("file", file.into()), ("position", extent.at.into()), ("what", what.into())],
    )?;
    Ok(false)
}

/// These bytes of a file; `None` if it has fewer.
fn read_part(path: &Path, at: u64, bytes: usize) -> anyhow::Result<Option<Vec<u8>>> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if file.metadata()?.len() < at.saturating_add(bytes as u64) {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at))?;
    let mut part = vec![0; bytes];
    file.read_exact(&mut part)?;
    Ok(Some(part))
}

fn apply<W: Write>(
    core: u16,
    entry: &Entry<'_>,
    known: &mut BTreeMap<PartitionKey, Known>,
    report: &mut Report,
    out: &mut Lines<W>,
) -> anyhow::Result<()> {
    let place = &entry.place;
    let Some(known) = known.get_mut(&place.key) else { return Ok(()) };
    let elsewhere = known.core != core && known.core != u16::MAX;
    if elsewhere
        || known.broken
        || known.ended
        || known.state.fenced
        || place.generation != known.state.generation
    {
        return Ok(());
    }
    if entry.kind == EntryKind::LogStart {
        known.log_start = known.log_start.max(place.base_offset);
        return Ok(());
    }
    let now = Now { wall: place.appended_at, ..Now::default() };
    let at = u32::try_from(place.position).map(|position| Place { segment: place.segment, position });
    let header = entry.header();
    match (header, at) {
        (Some(header), Ok(at)) => match known.head.apply(header, at, now, u32::MAX) {
            Ok(Applied::Already) => {}
            Ok(_) => report.batches_in_journal += 1,
            Err(error) => {
                known.broken = true;
                report.damage(out, &place.key.to_string(), None, &error.to_string())?;
            }
        },
        _ => report.damage(out, &place.key.to_string(), None, "an entry that names no place")?,
    }
    Ok(())
}

fn verify_partition<W: Write>(
    root: &Path,
    known: &Known,
    report: &mut Report,
    out: &mut Lines<W>,
) -> anyhow::Result<()> {
    report.partitions += 1;
    let state = &known.state;
    if state.fenced {
        let what = "fenced: recovery found that it could not be continued";
        report.damage(out, &state.key.to_string(), None, what)?;
    }
    let dir = root.join(FileName::partition_dir(state.key).as_str());
    let (segments, active) = (&state.segments, state.segments.active());
    for segment in segments.iter() {
        let end = segments.end_of(segment.base);
        let dropped = end <= known.log_start && segment.base != active.base;
        let untouched = segment.bytes == 0;
        if untouched || (dropped && !dir.join(SegmentFile::Log.name(segment.base)).exists()) {
            continue;
        }
        let mut expected = Expected {
            size_and_end: Some((u64::from(segment.bytes), end)),
            cleaned: known.swapped == Some(segment.base),
            gaps: state.gaps || known.swapped.is_some(),
            epochs: Some(state.epochs.clone()),
            closed: segment.base != active.base,
            ..Expected::file(segment.base)
        };
        if segment.base == active.base {
            let laid = |(at, bytes): (u64, &[u8])| Some(Overlay { at, bytes: bytes.to_vec() });
            let aligned = u64::from(segment.bytes).saturating_sub(state.open.len() as u64);
            expected.log = laid((aligned, &state.open));
            expected.offsets = laid(state.index.offsets.unwritten());
            expected.times = laid(state.index.times.unwritten());
        }
        verify_segment(&dir, &expected, report, out)?;
    }
    if dir.exists() { verify_small_files(&dir, report, out) } else { Ok(()) }
}
