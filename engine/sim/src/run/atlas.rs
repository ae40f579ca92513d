//! The fault atlas: what a run damages on its disk, and what that may cost.
//!
//! | damaged | which pages | what it may cost |
//! |---|---|---|
//! | a journal | of frames that a flush mark behind them covers, and which no later file calls unflushed; and what no start reads | those batches and what follows of their partitions, told by every start from then on |
//! | a checkpoint | any | the start; or what was written since the older one, told |
//! | a segment | any | the batches in and around the page, fenced |
//! | an index | any | nothing |
//!
//! The frame that was flushed last is spared: its bytes are all that says so. What a power cut tore of a frame
//! that was never acknowledged looks the same, and a broker that took it for damage would refuse to go on after
//! every other power cut.

use std::collections::BTreeSet;

use engine::base::PartitionKey;
use engine::io::{BLOCK, FileName};
use engine::journal::{FILE_HEADER_BYTES, FileHeader, FrameHeader, FrameView};
use engine::log::DamagedRange;

use super::plan::{Part, Rot};
use crate::random::Random;
use crate::world::World;

/// One page in so many is damaged where no start looks.
const UNREAD_EVERY: u64 = 4;

/// What was damaged so far while the machine was down.
#[derive(Default)]
pub(super) struct Atlas {
    /// Partitions with something in a damaged frame.
    suspects: BTreeSet<PartitionKey>,
    journals: u64,
    checkpoints: u64,
}

/// A page, and whose batches lie in it.
struct Place {
    file: String,
    page: usize,
    keys: BTreeSet<PartitionKey>,
}

impl Atlas {
    /// Damages a page, if there is one of that kind. Says where.
    pub(super) fn damage(&mut self, world: &World, rot: &Rot, spared: &PartitionKey) -> Option<String> {
        let mut random = Random::new(rot.draw);
        let place = match rot.part {
            Part::Journal => journal_page(world, &mut random)?,
            Part::Checkpoint => any_page(world, &mut random, |name| name.contains("/checkpoint-"))?,
            Part::Segment | Part::Index => {
                let ends: &[&str] = if rot.part == Part::Segment {
                    &[".log"]
                } else {
                    &[".index", ".timeindex", ".snapshot"]
                };
                let spared = dir_of(spared);
                any_page(world, &mut random, |name| {
                    !name.starts_with(&spared) && ends.iter().any(|end| name.ends_with(end))
                })?
            }
        };
        if !world.harm(&place.file, place.page, rot.harm) {
            return None;
        }
        self.journals += u64::from(rot.part == Part::Journal);
        self.checkpoints += u64::from(rot.part == Part::Checkpoint);
        self.suspects.extend(place.keys);
        Some(format!("page {} of {}", place.page, place.file))
    }

    /// Whether there is damage that a start may tell of, or refuse to go on with.
    pub(super) fn has_any(&self) -> bool {
        self.journals + self.checkpoints > 0
    }

    /// Whether a damaged frame held anything of a partition, or the older checkpoint may count: the journal files
    /// behind it may be in use again.
    pub(super) fn is_suspect(&self, key: &PartitionKey) -> bool {
        self.checkpoints > 0 || self.suspects.contains(key)
    }
}

/// The directory of a partition.
pub(super) fn dir_of(key: &PartitionKey) -> String {
    format!("{}/", FileName::partition_dir(*key))
}

/// A range is fenced: there must be damage in it, and no more than `most` bytes behind that.
pub(super) fn judge(
    world: &World,
    key: &PartitionKey,
    range: &DamagedRange,
    most: u64,
) -> Result<(), String> {
    let name = |end: &str| FileName::new(format!("{}{:020}.{end}", dir_of(key), range.segment.0));
    let pages = world.damaged(&name("log"));
    let (first, end) = (range.position as usize / BLOCK, (range.end_position as usize).div_ceil(BLOCK));
    let Some(last) = pages.range(first..end).next_back() else {
        return Err(format!("intact records are fenced: {range:?}, damaged pages {pages:?}"));
    };
    let behind = u64::from(range.end_position).saturating_sub((last + 1) as u64 * BLOCK as u64);
    // Where a range ends is told by the index.
    if behind > most && world.damaged(&name("index")).is_empty() {
        return Err(format!(
            "{behind} intact bytes behind the damage are fenced: {range:?}, pages {pages:?}"
        ));
    }
    Ok(())
}

fn any_page(world: &World, random: &mut Random, pick: impl Fn(&str) -> bool) -> Option<Place> {
    let mut pages = Vec::new();
    for (file, bytes) in world.files(pick) {
        let held = bytes.chunks(BLOCK).enumerate().filter(|(_, page)| page.iter().any(|b| *b != 0));
        pages.extend(held.map(|(page, _)| (file.clone(), page)));
    }
    if pages.is_empty() {
        return None;
    }
    let (file, page) = pages.swap_remove(random.index(pages.len()));
    Some(Place { file, page, keys: BTreeSet::new() })
}

/// A page of a journal whose loss can be told.
fn journal_page(world: &World, random: &mut Random) -> Option<Place> {
    let files = world.files(|name| name.contains("/journal-"));
    let mut cores: Vec<&str> = files.iter().filter_map(|(name, _)| Some(name.rsplit_once('/')?.0)).collect();
    cores.dedup();
    if cores.is_empty() {
        return None;
    }
    let dir = format!("{}/", cores[random.index(cores.len())]);
    let (mut framed, mut unread, mut mark, mut headers) = (Vec::new(), Vec::new(), 0, Vec::new());
    for (file, bytes) in files.iter().filter(|(name, _)| name.starts_with(&dir)) {
        let place = |page| Place { file: file.clone(), page, keys: BTreeSet::new() };
        let Some(header) = FileHeader::read(bytes) else { continue };
        mark = mark.max(header.first_sequence().saturating_sub(1));
        headers.push(header);
        let mut at = FILE_HEADER_BYTES as usize;
        unread.push(place(0));
        while at < bytes.len() {
            let claimed = FrameHeader::peek(&bytes[at..]).filter(|h| h.incarnation() == header.incarnation());
            let view =
                claimed.and_then(|h| FrameView::verify(&bytes[at..], h.incarnation(), h.sequence()).ok());
            let Some(view) = view else {
                if bytes[at..at + BLOCK].iter().any(|b| *b != 0) {
                    unread.push(place(at / BLOCK));
                }
                at += BLOCK;
                continue;
            };
            mark = mark.max(view.header.flush_mark());
            let keys: BTreeSet<PartitionKey> = view.entries().map(|entry| entry.place.key).collect();
            let end = at + view.header.disk_bytes();
            for page in at / BLOCK..end / BLOCK {
                framed.push((view.header.sequence(), Place { keys: keys.clone(), ..place(page) }));
            }
            at = end;
        }
    }
    let promised = |sequence| sequence <= mark && !headers.iter().any(|h| h.was_unflushed(sequence));
    framed.retain(|(sequence, _)| promised(*sequence));
    if random.within(0..UNREAD_EVERY) == 0 && !unread.is_empty() || framed.is_empty() {
        return (!unread.is_empty()).then(|| unread.swap_remove(random.index(unread.len())));
    }
    let chosen = random.index(framed.len());
    Some(framed.swap_remove(chosen).1)
}
