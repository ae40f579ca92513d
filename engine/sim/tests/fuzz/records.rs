//! Batches from producers, and runs of batches as they lie in segments.

use std::hint::black_box;

use bolero::{TypeGenerator, check};
use engine::base::{Offset, WallMs};
use engine::log::ProducerTable;
use engine::log::cleaner::{Fate, Fill, OffsetMap, Round, Survivors};
use engine::log::scan::{Budget, Due, Step, Walk, locate, whole_batches};
use engine::record::{
    BatchHeader, Codec, Limits, Records, TimestampType, compress, crc_matches, inflate, payload,
    stamp_append_time, validate,
};

use crate::spoil::Edits;
use crate::{BRIEF, Input, batches, mend_batch};

const INFLATE_MAX: usize = 1 << 20;

fn limits(inflate_bytes_max: Option<usize>) -> Limits {
    Limits {
        max_bytes: 1 << 20,
        segment_bytes: 1 << 30,
        produce_version: 9,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: u64::MAX,
        timestamp_after_max_ms: 3_600_000,
        now: WallMs(2_000),
        keys_required: false,
        inflate_bytes_max,
    }
}

#[test]
fn record_batches() {
    let sound = batches();
    check!().with_iterations(BRIEF).with_type::<Input>().for_each(|input| {
        let mut batch = input.bytes(&sound, mend_batch);
        let shallow = validate(&batch, &limits(None));
        let deep = validate(&batch, &limits(Some(INFLATE_MAX)));
        let Some(header) = BatchHeader::peek(&batch).copied() else { return };
        if let Ok(payload) = payload(&batch, INFLATE_MAX) {
            assert!(payload.len() <= INFLATE_MAX.max(batch.len()));
            let mut walked = 0;
            let mut sound = true;
            for record in Records::of(&header, &payload) {
                sound &= record.is_ok();
                walked += usize::from(record.is_ok_and(|r| r.headers.count() <= payload.len()));
            }
            assert!(walked <= payload.len(), "a record takes at least a byte");
            // What passed every check is read to its end by every consumer.
            assert!(deep.is_err() || sound && walked == header.record_count() as usize);
        }
        if let Ok(summary) = shallow.or(deep) {
            assert!(summary.count > 0);
            stamp_append_time(&mut batch, WallMs(3_000));
        }
    });
}

#[test]
fn batches_that_are_compacted() {
    let sound = batches();
    check!().with_iterations(BRIEF).with_type::<(Input, u8)>().for_each(|(input, from)| {
        let batch = input.bytes(&sound, mend_batch);
        // What the reader of a segment checks first.
        let whole = |h: &&BatchHeader| {
            h.total_bytes() == Some(batch.len())
                && h.base_offset() >= Offset(0)
                && h.last_offset_delta() >= 0
                && h.next_offset() > h.base_offset()
        };
        let Some(header) = BatchHeader::peek(&batch).filter(whole) else { return };
        if !crc_matches(&batch) {
            return;
        }
        let from = Offset(i64::from(*from));
        let mut fill =
            Fill::new(OffsetMap::new(from, header.next_offset(), 1 << 10, 900_000, 1), from, Vec::new());
        fill.visit(&batch);
        let map = fill.finish();
        let mut producers = ProducerTable::new();
        producers.apply(header);
        for delete_retention_ms in [0, u64::MAX] {
            let round = Round::new(map.clone(), &producers, WallMs(2_000), delete_retention_ms);
            let mut out = Vec::new();
            let fate = Survivors::new(&round, Vec::new()).visit(&batch, &mut out);
            assert_eq!(fate == Fate::Dropped, out.is_empty());
            let Some(left) = BatchHeader::peek(&out) else { continue };
            assert!(crc_matches(&out) && left.total_bytes() == Some(out.len()));
            assert_eq!(
                (left.base_offset(), left.last_offset()),
                (header.base_offset(), header.last_offset())
            );
            assert!(left.record_count() <= header.record_count() || fate == Fate::Kept);
        }
    });
}

/// Compressed bytes, spoilt.
#[derive(Clone, Debug, TypeGenerator)]
struct Compressed {
    codec: u8,
    plain: Vec<u8>,
    repeat: u8,
    edits: Edits,
    max: u16,
}

#[test]
fn compressed_bytes() {
    check!().with_iterations(BRIEF / 2).with_type::<Compressed>().for_each(|input| {
        let codec = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd][usize::from(input.codec % 4)];
        let mut bytes = Vec::new();
        compress(codec, &input.plain.repeat(usize::from(input.repeat)), &mut bytes);
        input.edits.apply(&mut bytes);
        if let Ok(plain) = inflate(codec, &bytes, usize::from(input.max)) {
            assert!(plain.len() <= usize::from(input.max));
        }
    });
}

/// A stretch of a segment, spoilt, held in slices that end anywhere.
#[derive(Clone, Debug, TypeGenerator)]
struct Stretch {
    edits: Edits,
    cuts: [u16; 3],
    end: u16,
    target: i64,
    max_bytes: u16,
    at_least_one: bool,
}

#[test]
fn segments() {
    let mut sound = Vec::new();
    for (i, batch) in batches().into_iter().enumerate() {
        let at = sound.len();
        sound.extend_from_slice(&batch);
        sound[at..at + 8].copy_from_slice(&(10 * i as i64).to_be_bytes());
    }
    check!().with_iterations(BRIEF).with_type::<Stretch>().for_each(|stretch| {
        let mut bytes = sound.clone();
        stretch.edits.apply(&mut bytes);
        let mut cuts = stretch.cuts.map(|cut| usize::from(cut) % (bytes.len() + 1));
        cuts.sort_unstable();
        let slices =
            [&bytes[..cuts[0]], &bytes[cuts[0]..cuts[1]], &bytes[cuts[1]..cuts[2]], &bytes[cuts[2]..]];
        let walk = || Walk::new(&slices, 4096, 4096 + u64::from(stretch.end), Offset(0));

        let mut headers = walk();
        let mut steps = 0;
        while let Ok(Step::Batch(found)) = headers.next() {
            assert!(found.header.total_bytes().is_some());
            steps += 1;
            assert!(steps <= bytes.len(), "the walk does not move");
        }
        for (due, gaps) in [(Due::From(Offset(0)), true), (Due::To(Offset(stretch.target)), false)] {
            let _ = black_box(locate(walk(), due, gaps, Offset(stretch.target)));
        }
        let budget = Budget {
            max_bytes: stretch.max_bytes.into(),
            at_least_one: stretch.at_least_one,
            below: Offset(stretch.target),
        };
        if let Ok(run) = whole_batches(walk(), budget) {
            assert!(run.bytes <= bytes.len());
        }
    });
}
