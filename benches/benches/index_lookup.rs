//! How much dearer is finding an offset in the index of a full segment (262,144 entries) than in that of
//! a young one (512)? In memory, and in blocks as they come from the disk.

use std::hint::black_box;

use benches::compare;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::base::Offset;
use engine::log::index::{Entry, IndexSearch, IndexTail, Lookup, OffsetEntry, SearchStep};
use engine::record::BatchHeader;

/// An entry every 4 KiB: the index of a segment of 2 MiB and of 1 GiB.
const SIZES: [u32; 2] = [512, 262_144];
const RECORDS_PER_ENTRY: u32 = 4;

fn on_disk(entries: u32) -> Vec<u8> {
    let mut file = Vec::new();
    for i in 0..entries {
        OffsetEntry { relative: (i + 1) * RECORDS_PER_ENTRY, position: i * 4096 }.write(&mut file);
    }
    file
}

fn in_memory(entries: u32) -> IndexTail {
    let batch = benches::batch(RECORDS_PER_ENTRY as usize, 1000, 1_000);
    let mut header = *BatchHeader::peek(&batch).expect("a batch");
    let mut tail = IndexTail::new(Offset(0));
    for i in 0..entries {
        header.stamp(Offset(i64::from(i * RECORDS_PER_ENTRY)), engine::base::LeaderEpoch(0));
        assert!(tail.on_batch(&header, i * batch.len() as u32, 0));
    }
    tail
}

fn search(file: &[u8], target: u32) -> Option<OffsetEntry> {
    let mut search = IndexSearch::<OffsetEntry>::new(target, file.len() / OffsetEntry::BYTES);
    loop {
        match search.step() {
            SearchStep::Done(found) => return found,
            SearchStep::Read { at, len } => {
                let from = at as usize;
                search.feed(&file[from..(from + len).min(file.len())]);
            }
        }
    }
}

/// Targets all over the index, none where a branch predictor expects it.
struct Targets {
    next: u32,
    end: u32,
}

impl Targets {
    fn new(entries: u32) -> Targets {
        Targets { next: 1, end: entries * RECORDS_PER_ENTRY }
    }

    fn draw(&mut self) -> u32 {
        self.next = self.next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.next % self.end
    }
}

fn index_lookup(c: &mut Criterion) {
    let files = SIZES.map(on_disk);
    let tails = SIZES.map(in_memory);
    let mut group = c.benchmark_group("index_lookup");
    for (i, entries) in SIZES.into_iter().enumerate() {
        let mut targets = Targets::new(entries);
        group.bench_function(BenchmarkId::new("in blocks", entries), |b| {
            b.iter(|| search(black_box(&files[i]), targets.draw()));
        });
        group.bench_function(BenchmarkId::new("in memory", entries), |b| {
            b.iter(|| match tails[i].lookup_offset(Offset(i64::from(targets.draw()))) {
                Lookup::Found(found) => black_box(found),
                Lookup::OnDisk(_) => panic!("all of it is in memory"),
            });
        });
    }
    group.finish();
    let (mut large, mut small) = (Targets::new(SIZES[1]), Targets::new(SIZES[0]));
    compare(
        "in blocks, full / young segment",
        10_000,
        || {
            black_box(search(&files[1], large.draw()));
        },
        || {
            black_box(search(&files[0], small.draw()));
        },
    );
}

criterion_group!(benches, index_lookup);
criterion_main!(benches);
