//! The small files beside a segment, in Kafka's formats, and the names of all of them.

use std::hint::black_box;

use bolero::check;
use engine::base::{LeaderEpoch, Offset, PartitionKey, TopicId, WallMs};
use engine::log::cleaner::Swap;
use engine::log::index::{Entry, OffsetEntry, SearchStep, TimeEntry, TimestampOffset};
use engine::log::names::{SegmentFile, decode_partition_metadata, decode_uuid, encode_partition_metadata};
use engine::log::{IndexSearch, LeaderEpochs, ProducerTable, Segment};
use engine::record::BatchHeader;

use crate::{BRIEF, Input, batches, mend_crc};

/// Looks `target` up in `file`. Whatever it holds, the search asks for blocks of it only, and ends.
fn search<E: Entry>(file: &[u8], target: E::Key) {
    let mut search = IndexSearch::<E>::new(target, file.len() / E::BYTES);
    for _ in 0..40 {
        match search.step() {
            SearchStep::Done(found) => {
                assert!(found.is_none_or(|entry| entry.key() <= target));
                return;
            }
            SearchStep::Read { at, len } => {
                let from = usize::try_from(at).expect("a position").min(file.len());
                search.feed(&file[from..(from + len).min(file.len())]);
            }
        }
    }
    panic!("the search does not end");
}

#[test]
fn index_files() {
    let (mut offsets, mut times) = (Vec::new(), Vec::new());
    for i in 0..3_000_u32 {
        OffsetEntry { relative: 3 * i, position: 100 * i }.write(&mut offsets);
        TimeEntry { timestamp: 10 * i64::from(i), relative: 3 * i }.write(&mut times);
    }
    let sound = [offsets, times];
    check!().with_iterations(BRIEF).with_type::<(Input, u16)>().for_each(|(input, target)| {
        let file = input.bytes(&sound, |_| {});
        search::<OffsetEntry>(&file, u32::from(*target));
        search::<TimeEntry>(&file, i64::from(*target));
    });
}

#[test]
fn producer_snapshots() {
    let mut table = ProducerTable::new();
    let mut sound = vec![table.encode_snapshot()];
    for batch in batches() {
        let header = BatchHeader::peek(&batch).expect("a header");
        table.apply(header);
        sound.push(table.encode_snapshot());
    }
    check!().with_iterations(BRIEF).with_type::<Input>().for_each(|input| {
        let bytes = input.bytes(&sound, |snapshot| mend_crc(snapshot, 2, 6));
        if let Ok(table) = ProducerTable::decode_snapshot(&bytes) {
            let again = ProducerTable::decode_snapshot(&table.encode_snapshot());
            assert_eq!(again.expect("what we write, we read").len(), table.len());
        }
    });
}

#[test]
fn swap_files() {
    let key = PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index: 3 };
    let segment = Segment {
        base: Offset(10),
        bytes: 4711,
        max: TimestampOffset { timestamp: 99, offset: Offset(49) },
        last_append: WallMs(100),
    };
    let swap = |segment| Swap { key, base: Offset(10), end: Offset(50), segment };
    let sound = [swap(None).encode(), swap(Some(segment)).encode()];
    check!().with_iterations(BRIEF).with_type::<Input>().for_each(|input| {
        if let Ok(swap) = Swap::decode(&input.bytes(&sound, |bytes| mend_crc(bytes, 8, 12))) {
            assert_eq!(Swap::decode(&swap.encode()), Ok(swap));
        }
    });
}

#[test]
fn leader_epoch_checkpoints() {
    let mut epochs = LeaderEpochs::new();
    let mut sound = vec![epochs.encode().into_bytes()];
    for i in 0..20 {
        epochs.assign(LeaderEpoch(i), Offset(100 * i64::from(i)));
        sound.push(epochs.encode().into_bytes());
    }
    check!().with_iterations(BRIEF).with_type::<Input>().for_each(|input| {
        if let Ok(epochs) = LeaderEpochs::decode(&input.bytes(&sound, |_| {})) {
            assert_eq!(LeaderEpochs::decode(epochs.encode().as_bytes()).as_ref(), Ok(&epochs));
        }
    });
}

#[test]
fn names_and_partition_metadata() {
    let topic = TopicId(uuid::Uuid::from_u128(7));
    let mut sound = vec![encode_partition_metadata(topic).into_bytes()];
    sound.extend(SegmentFile::ALL.map(|file| file.name(Offset(42)).into_bytes()));
    check!().with_iterations(BRIEF).with_type::<Input>().for_each(|input| {
        let bytes = input.bytes(&sound, |_| {});
        if let Ok(topic) = decode_partition_metadata(&bytes) {
            assert_eq!(decode_partition_metadata(encode_partition_metadata(topic).as_bytes()), Ok(topic));
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Some((base, file)) = SegmentFile::parse(&text) {
            assert_eq!(file.name(base), text);
        }
        let _ = black_box(decode_uuid(&text));
    });
}
