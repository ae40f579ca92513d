//! Damage is put back from a second copy: another machine that holds the same log.

use engine::base::Offset;
use engine::broker::{DamagedPart, FetchError, RepairError, Shard};
use engine::io::{Disk, DiskOp};
use engine::log::DamagedRange;
use engine::record::BatchHeader;
use sim::faults::{CutAt, Side};
use sim::{SimDisk, World};

use crate::log::{
    MIB, POOL, Pass, bases, batches, bytes_of, closed_sized, file, key, open, pass_to, produce, put,
};

/// Records of the log: five segments.
const LOG: i64 = 180;

fn closed() -> World {
    closed_sized(30, 128 * 1024, LOG)
}

fn ranges(shard: &Shard<SimDisk>) -> Vec<DamagedRange> {
    let range = |part| match part {
        DamagedPart::Range(_, range) => Some(range),
        DamagedPart::Journal(..) => None,
    };
    shard.damages().into_iter().filter_map(range).collect()
}

/// The same log on another machine, sound. It has a clock and a disk of its own, and answers at once.
#[derive(Clone)]
struct Copy {
    world: World,
    shard: Shard<SimDisk>,
}

impl Copy {
    fn new() -> Copy {
        let world = closed();
        let inner = world.clone();
        let shard = world.run_until(async move { open(&inner).await });
        Copy { world, shard }
    }

    /// The first batches of a range, up to so many bytes or one.
    fn fetch(&self, range: DamagedRange, max_bytes: usize) -> Vec<u8> {
        let shard = self.shard.clone();
        self.world.run_until(async move {
            let fetched = shard.read(key(), range.first, max_bytes, true).await.expect("a sound copy");
            let bytes: Vec<u8> = fetched.slices.iter().flat_map(|slice| slice.to_vec()).collect();
            let mut len = 0;
            while let Some(header) = BatchHeader::peek(&bytes[len..]).filter(|h| h.base_offset() < range.end)
            {
                len += header.total_bytes().expect("a length");
            }
            bytes[..len].to_vec()
        })
    }

    /// Puts everything back that is listed.
    async fn repair(&self, shard: &Shard<SimDisk>, max_bytes: usize) -> Result<(), RepairError> {
        for range in ranges(shard) {
            let mut left = Some(range);
            while let Some(range) = left {
                left = shard.repair(key(), &self.fetch(range, max_bytes)).await?;
            }
        }
        Ok(())
    }
}

fn everything() -> Pass {
    Pass { read: (0..LOG).collect(), fenced: vec![] }
}

/// A log with rot, zeroes, a file cut short, one that is gone and a bad block; and what its files held.
async fn break_it(world: &World) -> Vec<(engine::io::FileName, Vec<u8>)> {
    let disk = world.disk(POOL);
    let bases = bases(&disk).await;
    assert!(bases.len() >= 5, "{bases:?}");
    let mut sound = Vec::new();
    for base in &bases {
        let name = file(*base, ".log");
        sound.push((name.clone(), bytes_of(&disk, &name).await));
    }
    let changed = |nth: usize, change: &dyn Fn(&mut Vec<u8>)| {
        let (name, mut bytes) = sound[nth].clone();
        change(&mut bytes);
        (name, bytes)
    };
    let begins = batches(&sound[0].1);
    let writes = [
        changed(0, &|bytes| bytes[begins[5].0 + 100] ^= 1),
        changed(1, &|bytes| bytes[20_000..60_000].fill(0)),
        changed(2, &|bytes| bytes.truncate(70_000)),
    ];
    for (name, bytes) in writes {
        put(&disk, &name, &bytes).await;
    }
    disk.remove(&sound[3].0).await.expect("removed");
    world.faults(|f| f.bad_blocks = [(sound[0].0.clone(), [20].into())].into());
    sound
}

#[test]
fn what_is_damaged_comes_back_from_a_second_copy_byte_for_byte() {
    let copy = Copy::new();
    for max_bytes in [1, 10_000, MIB] {
        let (world, copy) = (closed(), copy.clone());
        let inner = world.clone();
        world.run_until(async move {
            let sound = break_it(&inner).await;
            let shard = open(&inner).await;
            let found = pass_to(&shard, LOG, MIB).await;
            assert!(found.fenced.len() >= 5 && found.read.len() < 160, "{found:?}");
            copy.repair(&shard, max_bytes).await.expect("put back");
            assert_eq!(shard.damages(), []);
            assert_eq!(pass_to(&shard, LOG, MIB).await, everything(), "pieces of {max_bytes}");
            produce(&inner, &shard, LOG).await;
            shard.close(inner.now()).await.expect("closed");
            let disk = inner.disk(POOL);
            for (name, bytes) in &sound[..4] {
                assert!(bytes_of(&disk, name).await == *bytes, "{name}");
            }
        });
    }
}

#[test]
fn a_stop_at_any_step_of_a_repair_leaves_what_can_be_repaired() {
    let copy = Copy::new();
    // The steps that a whole repair takes.
    let (world, other) = (closed(), copy.clone());
    let inner = world.clone();
    let (from, to) = world.run_until(async move {
        break_it(&inner).await;
        let shard = open(&inner).await;
        pass_to(&shard, LOG, MIB).await;
        let from = inner.persist_steps();
        other.repair(&shard, 30_000).await.expect("put back");
        (from, inner.persist_steps())
    });
    assert!(to - from >= 15, "{from}..{to}");
    for step in from + 1..=to {
        for side in [Side::Before, Side::After] {
            let (world, other) = (closed(), copy.clone());
            let inner = world.clone();
            world.cut_at(Some(CutAt { step, side }));
            let stopped = world.run_until_cut(async move {
                break_it(&inner).await;
                let shard = open(&inner).await;
                pass_to(&shard, LOG, MIB).await;
                other.repair(&shard, 30_000).await.expect("put back");
            });
            assert!(stopped.is_none(), "step {step} {side:?}");
            world.crash();
            let (inner, other) = (world.clone(), copy.clone());
            world.run_until(async move {
                let shard = open(&inner).await;
                pass_to(&shard, LOG, MIB).await;
                other.repair(&shard, MIB).await.expect("put back");
                assert_eq!(pass_to(&shard, LOG, MIB).await, everything(), "step {step} {side:?}");
                assert_eq!(shard.damages(), []);
            });
        }
    }
}

#[test]
fn nothing_but_what_was_there_is_put_back() {
    let copy = Copy::new();
    let world = closed();
    let inner = world.clone();
    world.run_until(async move {
        break_it(&inner).await;
        let shard = open(&inner).await;
        let found = pass_to(&shard, LOG, MIB).await;
        let before = ranges(&shard);
        let range = before[1];
        let sound = copy.fetch(range, MIB);
        let mut rotten = sound.clone();
        let last = rotten.len() - 1;
        rotten[last] ^= 1;
        let other = copy.fetch(DamagedRange { first: range.first.plus(1), ..range }, MIB);
        let beyond = copy.fetch(DamagedRange { end: range.end.plus(3), ..range }, MIB);
        for (name, piece) in
            [("rotten", &rotten[..]), ("other", &other), ("beyond", &beyond), ("cut", &sound[..last])]
        {
            shard.repair(key(), piece).await.expect_err(name);
        }
        let readable = DamagedRange { first: Offset(found.read[0]), end: Offset(found.read[0] + 1), ..range };
        let refused = shard.repair(key(), &copy.fetch(readable, 1)).await;
        assert_eq!(
            refused,
            Err(RepairError::NotDamaged(readable.first)),
            "what can be read is never written over"
        );
        assert_eq!(ranges(&shard), before);
        assert_eq!(pass_to(&shard, LOG, MIB).await, found);

        // A disk that does not write leaves the fence where it is.
        inner.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Write]));
        assert!(matches!(shard.repair(key(), &sound).await, Err(RepairError::Disk(_))));
        inner.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Flush]));
        assert!(matches!(shard.repair(key(), &sound).await, Err(RepairError::Disk(_))));
        inner.faults(|f| f.eio_ppm = 0);
        assert_eq!(ranges(&shard), before);
        assert_eq!(shard.repair(key(), &sound).await, Ok(None));
        let read = shard.read(key(), range.first, 1, true).await;
        assert!(read.is_ok_and(|fetched| fetched.bytes > 0));
    });
}

#[test]
fn a_bad_block_is_written_anew_and_can_be_read_again() {
    let copy = Copy::new();
    let world = closed();
    let inner = world.clone();
    world.run_until(async move {
        let name = file(0, ".log");
        inner.faults(|f| f.bad_blocks = [(name.clone(), [3, 4, 12].into())].into());
        let shard = open(&inner).await;
        assert_eq!(pass_to(&shard, LOG, MIB).await.fenced.len(), 2);
        assert!(matches!(
            shard.read(key(), ranges(&shard)[0].first, 1, true).await,
            Err(FetchError::Fenced(_))
        ));
        copy.repair(&shard, MIB).await.expect("put back");
        assert_eq!(pass_to(&shard, LOG, MIB).await, everything());
        inner.faults(|f| assert!(f.bad_blocks[&name].is_empty(), "each was written"));
        assert!(shard.stats().repaired_bytes > 8192);
    });
}
