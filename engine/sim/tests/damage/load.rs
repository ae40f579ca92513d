//! A log that is read whole to rebuild the groups of `__consumer_offsets`: what cannot be read of it costs what
//! lies there and nothing else, and is not given up at the first error.

use std::time::Duration;

use engine::broker::{Load, Shard};
use engine::io::BLOCK;
use engine::record::BatchHeader;
use sim::{SimDisk, World};

use crate::log::{POOL, RECORDS, batches, bytes_of, closed, closed_sized, file, key, open, open_sized, put};

/// Records of the log: some 900 KiB in one segment.
const LOG: i64 = 300;

/// Half a minute of asking, and what reads take.
const ASKED_FOR: Duration = Duration::from_secs(40);

/// The offsets that a load brings, in order.
async fn load(world: &World, shard: &Shard<SimDisk>) -> Vec<i64> {
    let (w, clock) = (world.clone(), shard.clone());
    world.spawn(async move {
        loop {
            w.sleep(Duration::from_millis(50)).await;
            clock.tick(w.now());
        }
    });
    let (mut offsets, mut log) = (Vec::new(), Load::new(key()));
    while let Some(bytes) = log.next(shard).await.expect("a partition") {
        let mut rest = &bytes[..];
        while let Some(header) = BatchHeader::peek(rest) {
            offsets.push(header.base_offset().0);
            rest = &rest[header.total_bytes().expect("a length")..];
        }
    }
    offsets
}

#[test]
fn one_block_that_cannot_be_read_costs_the_records_in_it() {
    let world = closed_sized(31, 4 << 20, LOG);
    let inner = world.clone();
    world.run_until(async move {
        let block = 100;
        inner.faults(|f| f.bad_blocks = [(file(0, ".log"), [block].into())].into());
        let begun = inner.now().mono;
        let shard = open_sized(&inner, 4 << 20, 0).await;
        let offsets = load(&inner, &shard).await;
        let took = inner.now().mono.since(begun);
        assert!(took > Duration::from_secs(20) && took < ASKED_FOR, "it was asked again: {took:?}");
        let stats = shard.stats();
        assert_eq!(stats.load_ranges_passed_over, 1);
        assert_eq!(offsets.len() as u64 + stats.load_offsets_passed_over, LOG as u64);
        assert!((1..10).contains(&stats.load_offsets_passed_over), "{stats:?}");
        let begins = {
            inner.faults(|f| f.bad_blocks.clear());
            batches(&bytes_of(&inner.disk(POOL), &file(0, ".log")).await)
        };
        let lost: Vec<i64> = (0..LOG).filter(|offset| !offsets.contains(offset)).collect();
        let touched = |at: usize| at / BLOCK <= block as usize;
        assert!(begins.iter().all(|(at, offset)| !lost.contains(offset) || touched(*at)));
        assert!(offsets.is_sorted());
    });
}

#[test]
fn what_can_be_read_again_after_a_while_is_loaded() {
    let world = closed_sized(32, 4 << 20, LOG);
    let inner = world.clone();
    world.run_until(async move {
        inner.faults(|f| f.bad_blocks = [(file(0, ".log"), (40..90).collect())].into());
        let w = inner.clone();
        inner.spawn(async move {
            w.sleep(Duration::from_secs(15)).await;
            w.faults(|f| f.bad_blocks.clear());
        });
        let shard = open_sized(&inner, 4 << 20, 0).await;
        assert_eq!(load(&inner, &shard).await, (0..LOG).collect::<Vec<_>>());
        assert_eq!(shard.stats().load_ranges_passed_over, 0);
    });
}

#[test]
fn damage_is_passed_over_at_once() {
    let world = closed(33);
    let inner = world.clone();
    world.run_until(async move {
        let name = file(0, ".log");
        let disk = inner.disk(POOL);
        let mut bytes = bytes_of(&disk, &name).await;
        let damaged = batches(&bytes)[3];
        bytes[damaged.0 + 80] ^= 1;
        put(&disk, &name, &bytes).await;
        let shard = open(&inner).await;
        let begun = inner.now().mono;
        let offsets = load(&inner, &shard).await;
        assert!(inner.now().mono.since(begun) < Duration::from_secs(1));
        assert!(!offsets.contains(&damaged.1) && offsets.len() as i64 >= RECORDS - 8);
        assert_eq!(shard.stats().load_ranges_passed_over, 1);
    });
}

#[test]
fn a_read_that_hangs_is_made_again() {
    let world = closed(34);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open(&inner).await;
        let hangs = inner.counters().ops + 2;
        inner.faults(|f| f.stall_at = [hangs].into());
        let begun = inner.now().mono;
        assert_eq!(load(&inner, &shard).await, (0..RECORDS).collect::<Vec<_>>());
        assert!(inner.now().mono.since(begun) > Duration::from_secs(40), "a time-out, and a pause");
        assert_eq!(shard.stats().load_ranges_passed_over, 0);
    });
}
