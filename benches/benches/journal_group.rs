//! How much dearer is filling and sealing a journal frame than copying its batches? A group of 16
//! batches of 16 KiB, as a busy core commits them.

use std::hint::black_box;

use benches::{batch, compare, key};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::base::{LeaderEpoch, Offset, WallMs};
use engine::journal::{BatchPlace, FrameBuilder};

const BATCHES: usize = 16;

/// Buffers that come back, so that the heap has no part in the answer.
#[derive(Default)]
struct Buffers(Vec<Vec<u8>>);

impl Buffers {
    fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let at = self.0.iter().position(|b| b.len() == bytes.next_power_of_two());
        Some(at.map_or_else(|| vec![0; bytes.next_power_of_two()], |at| self.0.swap_remove(at)))
    }
}

struct Group {
    frame: FrameBuilder<Vec<u8>>,
    buffers: Buffers,
    spare: Vec<engine::journal::FrameEntry>,
    sequence: u64,
}

impl Group {
    fn fill(&mut self, batch: &[u8]) {
        for i in 0..BATCHES {
            let offset = Offset(15 * i as i64);
            let place = BatchPlace {
                key: key(i as i32),
                generation: 1,
                leader_epoch: LeaderEpoch(0),
                base_offset: offset,
                last_offset: offset.plus(14),
                segment: Offset(0),
                position: 0,
                appended_at: WallMs(0),
            };
            let buffers = &mut self.buffers;
            let pushed = self.frame.push_batch(i as u32, &place, batch, true, |n| buffers.take(n));
            pushed.expect("buffers without end");
        }
        self.sequence += 1;
        let spare = std::mem::take(&mut self.spare);
        let sealed = self.frame.seal(1, self.sequence, self.sequence - 1, spare);
        black_box(&sealed.buffers);
        self.buffers.0.extend(sealed.buffers.into_iter().map(|(buffer, _)| buffer));
        self.spare = sealed.entries;
        self.spare.clear();
    }
}

fn copy(batch: &[u8], to: &mut [u8]) {
    for part in to.chunks_exact_mut(batch.len()) {
        part.copy_from_slice(black_box(batch));
    }
    black_box(to);
}

fn journal_group(c: &mut Criterion) {
    let batch = batch(15, 1024, 1_000);
    let mut to = vec![0; BATCHES * batch.len()];
    let mut group =
        Group { frame: FrameBuilder::new(), buffers: Buffers::default(), spare: Vec::new(), sequence: 0 };
    let mut results = c.benchmark_group("journal_group");
    results.throughput(Throughput::Bytes(to.len() as u64));
    results.bench_function("copy of the batches", |b| b.iter(|| copy(&batch, &mut to)));
    results.bench_function("fill and seal a frame", |b| b.iter(|| group.fill(black_box(&batch))));
    results.finish();
    compare("fill and seal / copy", 300, || group.fill(black_box(&batch)), || copy(&batch, &mut to));
}

criterion_group!(benches, journal_group);
criterion_main!(benches);
