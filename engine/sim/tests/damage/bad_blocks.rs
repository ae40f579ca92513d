//! Blocks that the disk cannot read, in segments that are read by pages of 256 KiB: what touches them is
//! fenced, everything else is served, and the disk is not asked more often than that takes.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::base::Offset;
use engine::broker::{FetchError, Shard};
use engine::io::BLOCK;
use engine::log::Cause;
use sim::{SimDisk, World};

use crate::log::{MIB, POOL, batches, bytes_of, closed_sized, file, key, open_sized, pass_to, run_for};

/// Records of the log: some 900 KiB in one segment.
const LOG: i64 = 300;

fn closed(seed: u64) -> World {
    closed_sized(seed, 4 << 20, LOG)
}

async fn open(world: &World) -> Shard<SimDisk> {
    open_sized(world, 4 << 20, 0).await
}

/// Makes blocks of the segment unreadable, besides none else.
fn break_blocks(world: &World, blocks: impl IntoIterator<Item = u64>) {
    let blocks: BTreeSet<u64> = blocks.into_iter().collect();
    world.faults(|f| f.bad_blocks = [(file(0, ".log"), blocks)].into());
}

/// Where each batch begins, its offset, and where the last one ends.
async fn layout(world: &World) -> (Vec<(usize, i64)>, usize) {
    let bytes = bytes_of(&world.disk(POOL), &file(0, ".log")).await;
    (batches(&bytes), bytes.len())
}

/// The offsets of the batches that have a byte in a block.
fn touching(layout: &(Vec<(usize, i64)>, usize), block: u64) -> (i64, i64) {
    let (begin, end) = (block as usize * BLOCK, (block as usize + 1) * BLOCK);
    let ends = layout.0.iter().skip(1).map(|b| b.0).chain([layout.1]);
    let touched = layout.0.iter().zip(ends).filter(|((at, _), stop)| *at < end && *stop > begin);
    let offsets: Vec<i64> = touched.map(|((_, offset), _)| *offset).collect();
    (offsets[0], offsets[offsets.len() - 1] + 1)
}

fn faults(world: &World) -> u64 {
    world.counters().faults
}

#[test]
fn one_bad_block_costs_the_batches_that_touch_it_and_a_few_reads() {
    let world = closed(21);
    let inner = world.clone();
    let layout = world.run_until(async move { layout(&inner).await });
    for block in (0..(layout.1 / BLOCK) as u64).step_by(11) {
        let inner = world.clone();
        let (first, end) = touching(&layout, block);
        world.run_until(async move {
            break_blocks(&inner, [block]);
            let shard = open(&inner).await;
            let before = faults(&inner);
            let found = pass_to(&shard, LOG, MIB).await;
            let [(fenced, next, Cause::Unreadable)] = found.fenced[..] else { panic!("{block}: {found:?}") };
            assert_eq!(fenced, first, "block {block}: nothing before it");
            // A batch that only begins in the block hides where the next one does: the index says the one
            // after that.
            assert!((end..=end + 3).contains(&next), "block {block}: {next} for {end}");
            assert_eq!(found.read.len() as i64, LOG - (next - fenced), "block {block}: all the rest");
            let asked = faults(&inner) - before;
            assert!(asked <= 24, "block {block}: {asked} reads failed");
            assert!(shard.stats().read_probes <= 40, "block {block}: {:?}", shard.stats());
            // Once listed, the block is left alone.
            let before = faults(&inner);
            for bytes in [1, 20_000, 200_000, MIB] {
                assert_eq!(pass_to(&shard, LOG, bytes).await, found, "block {block}, fetches of {bytes}");
            }
            assert!(
                faults(&inner) <= before + 1,
                "block {block}: asked {} times more",
                faults(&inner) - before
            );
        });
        world.kill();
    }
}

#[test]
fn many_bad_blocks_in_one_page_leave_what_lies_between_them() {
    let world = closed(22);
    let inner = world.clone();
    world.run_until(async move {
        let layout = layout(&inner).await;
        let bad = [2, 9, 10, 11, 25, 40, 58, 63, 64, 100];
        break_blocks(&inner, bad);
        let shard = open(&inner).await;
        let found = pass_to(&shard, LOG, MIB).await;
        let lost: BTreeSet<i64> = bad
            .iter()
            .flat_map(|b| {
                let (first, end) = touching(&layout, *b);
                first..end
            })
            .collect();
        assert!(lost.iter().all(|offset| !found.read.contains(offset)), "{found:?}");
        let kept = LOG as usize - lost.len();
        assert!(
            found.read.len() + 2 * bad.len() >= kept,
            "{} of {kept}: {:?}",
            found.read.len(),
            found.fenced
        );
        assert!(found.fenced.len() >= 7, "{:?}", found.fenced);
    });
}

#[test]
fn a_disk_on_which_everything_fails_is_left_alone() {
    let world = closed(23);
    let inner = world.clone();
    world.run_until(async move {
        let blocks = layout(&inner).await.1.div_ceil(BLOCK) as u64;
        let shard = open(&inner).await;
        break_blocks(&inner, 0..blocks);
        for window in 0..3 {
            let before = faults(&inner);
            for round in 0..10 {
                for offset in 0..LOG {
                    let read = shard.read(key(), Offset(offset), MIB, true).await;
                    assert!(matches!(read, Err(FetchError::Fenced(_))), "{round}: {offset} was read");
                }
                run_for(&inner, &shard, 0).await;
            }
            let asked = faults(&inner) - before;
            assert!((1..=200).contains(&asked), "window {window}: {asked} reads failed in 3000 fetches");
            inner.sleep(Duration::from_secs(11)).await;
            shard.tick(inner.now());
        }
        break_blocks(&inner, []);
        run_for(&inner, &shard, 1).await;
        inner.sleep(Duration::from_secs(11)).await;
        shard.tick(inner.now());
        let found = pass_to(&shard, LOG, MIB).await;
        assert_eq!((found.read.len() as i64, found.fenced), (LOG, vec![]), "it can be read again");
        assert_eq!(shard.damages(), []);
    });
}

#[test]
fn times_are_found_around_a_bad_block() {
    let world = closed(24);
    let inner = world.clone();
    world.run_until(async move {
        let layout = layout(&inner).await;
        let block = layout.1 as u64 / BLOCK as u64 / 2;
        let (first, end) = touching(&layout, block);
        break_blocks(&inner, [block]);
        let shard = open(&inner).await;
        for offset in [0, first - 1, LOG - 1, end + 3, first, end - 1] {
            let found = shard.offset_for_time(key(), 1_000 + offset).await.expect("an answer");
            let found = found.expect("a record").offset.0;
            if (first..end).contains(&offset) {
                assert!((end..=end + 3).contains(&found), "{found}: the next one that can be read");
            } else {
                assert_eq!(found, offset, "{first}..{end}");
            }
            let time = shard.time_at(key(), Offset(offset)).await.expect("an answer").expect("a record");
            assert_eq!(time, 1_000 + found);
        }
        assert_eq!(
            shard.max_timestamp(key()).await.expect("an answer").expect("a record").offset,
            Offset(LOG - 1)
        );
        assert_eq!(shard.stats().damaged_ranges, 1);
    });
}
