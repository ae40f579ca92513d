//! What a power cut may take and what it must leave.

use std::time::Duration;

use engine::io::{BLOCK, Disk, DiskFault, DiskOp, FileName, Open};
use sim::contract::POOL_BYTES;
use sim::{SimDisk, World};

const SEEDS: u64 = 300;

fn chunk(disk: &SimDisk, fill: u8) -> sim::disk::Chunk {
    let mut buf = disk.take(BLOCK).unwrap();
    buf.fill(fill);
    disk.seal(buf, BLOCK)
}

async fn file(disk: &SimDisk) -> sim::disk::File {
    let file = disk.open(&FileName::new("d/a"), Open::OrCreate).await.unwrap();
    disk.sync_dir(&FileName::new("d")).await.unwrap();
    file
}

/// Runs `before`, cuts the power, and gives what the first two blocks of `d/a` hold afterwards.
fn survivors<F: Future<Output = ()> + 'static>(
    seed: u64,
    before: impl FnOnce(SimDisk) -> F,
) -> Option<Vec<u8>> {
    let world = World::new(seed);
    let disk = world.disk(POOL_BYTES);
    let work = before(disk.clone());
    world.run_until(async move {
        disk.make_dir(&FileName::new("d")).await.unwrap();
        work.await;
    });
    world.crash();
    let disk = world.disk(POOL_BYTES);
    world.run_until(async move {
        let file = disk.open(&FileName::new("d/a"), Open::Existing).await.ok()?;
        Some(disk.read(&file, 0, 2 * BLOCK).await.unwrap().to_vec())
    })
}

#[test]
fn flushed_bytes_under_a_synced_name_survive_every_seed() {
    for seed in 0..SEEDS {
        let left = survivors(seed, |disk| async move {
            let file = file(&disk).await;
            disk.write(&file, 0, chunk(&disk, 7)).await.unwrap();
            disk.flush(&file).await.unwrap();
            disk.write(&file, BLOCK as u64, chunk(&disk, 8)).await.unwrap();
        });
        assert_eq!(left.expect("its name was synced")[..BLOCK], [7; BLOCK], "seed {seed}");
    }
}

#[test]
fn writes_in_flight_together_are_lost_and_torn_one_by_one() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..SEEDS {
        let world = World::new(seed);
        let disk = world.disk(POOL_BYTES);
        let other = disk.clone();
        let file = world.run_until(async move {
            other.make_dir(&FileName::new("d")).await.unwrap();
            let file = file(&other).await;
            other.allocate(&file, 2 * BLOCK as u64).await.unwrap();
            other.flush(&file).await.unwrap();
            file
        });
        for n in 0..2_u8 {
            let (disk, file) = (disk.clone(), file.clone());
            world.spawn(async move {
                disk.write(&file, u64::from(n) * BLOCK as u64, chunk(&disk, 7)).await.unwrap();
                disk.flush(&file).await.unwrap();
            });
        }
        world.run_steps(2 + seed % 4);
        world.crash();
        let disk = world.disk(POOL_BYTES);
        let left = world.run_until(async move {
            let file = disk.open(&FileName::new("d/a"), Open::Existing).await.unwrap();
            disk.read(&file, 0, 2 * BLOCK).await.unwrap().to_vec()
        });
        let fate = |block: &[u8]| match block.iter().filter(|b| **b == 7).count() {
            0 => 'l',
            BLOCK => 'k',
            _ => 't',
        };
        seen.insert((fate(&left[..BLOCK]), fate(&left[BLOCK..])));
    }
    for fates in [('k', 'l'), ('l', 'k'), ('t', 'k'), ('k', 't'), ('t', 'l'), ('l', 't')] {
        assert!(seen.contains(&fates), "never {fates:?}: {seen:?}");
    }
}

#[test]
fn one_sync_saves_new_directories_files_and_bytes_at_every_seed() {
    for seed in 0..SEEDS {
        let world = World::new(seed);
        let disk = world.disk(POOL_BYTES);
        world.run_until(async move {
            disk.add_dir(&FileName::new("x/y")).await.unwrap();
            let file = disk.open(&FileName::new("x/y/a"), Open::OrCreate).await.unwrap();
            disk.write(&file, 0, chunk(&disk, 7)).await.unwrap();
            disk.sync_all(&[file]).await.unwrap();
        });
        world.crash();
        let disk = world.disk(POOL_BYTES);
        let left = world.run_until(async move {
            let file = disk.open(&FileName::new("x/y/a"), Open::Existing).await.unwrap();
            disk.read(&file, 0, BLOCK).await.unwrap().to_vec()
        });
        assert_eq!(left, [7; BLOCK], "seed {seed}");
    }
}

#[test]
fn unflushed_bytes_are_kept_lost_and_torn() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..SEEDS {
        let left = survivors(seed, |disk| async move {
            let file = file(&disk).await;
            disk.allocate(&file, BLOCK as u64).await.unwrap();
            disk.flush(&file).await.unwrap();
            disk.write(&file, 0, chunk(&disk, 7)).await.unwrap();
        });
        match left.unwrap().iter().filter(|b| **b == 7).count() {
            0 => lost += 1,
            BLOCK => kept += 1,
            some => {
                assert_eq!(some % 512, 0, "a sector is written as one");
                torn += 1;
            }
        }
    }
    assert!(kept > 20 && lost > 20 && torn > 20, "{kept} kept, {lost} lost, {torn} torn");
}

#[test]
fn a_broken_flush_loses_what_it_promised() {
    let lost = |seed: &u64| {
        let world = World::new(*seed);
        world.faults(|f| f.broken_flush = true);
        let disk = world.disk(POOL_BYTES);
        world.run_until(async move {
            disk.make_dir(&FileName::new("d")).await.unwrap();
            let file = file(&disk).await;
            disk.write(&file, 0, chunk(&disk, 7)).await.unwrap();
            disk.flush(&file).await.unwrap();
        });
        world.crash();
        let disk = world.disk(POOL_BYTES);
        world.run_until(async move {
            let file = disk.open(&FileName::new("d/a"), Open::Existing).await.unwrap();
            disk.read(&file, 0, BLOCK).await.unwrap()[..] != [7; BLOCK]
        })
    };
    assert!((0..SEEDS).filter(lost).count() > 100);
}

#[test]
fn names_that_were_not_synced_come_and_go() {
    let there = (0..SEEDS).filter(|seed| {
        let left = survivors(*seed, |disk| async move {
            let file = disk.open(&FileName::new("d/a"), Open::OrCreate).await.unwrap();
            disk.write(&file, 0, chunk(&disk, 7)).await.unwrap();
            disk.flush(&file).await.unwrap();
        });
        left.is_some_and(|bytes| {
            assert_eq!(bytes[..BLOCK], [7; BLOCK], "the bytes were flushed, only the name was not");
            true
        })
    });
    let there = there.count();
    assert!((50..SEEDS as usize - 50).contains(&there), "{there} of {SEEDS}");
}

#[test]
fn a_replaced_file_is_old_or_new_whatever_the_moment() {
    let (mut old, mut new) = (0, 0);
    for seed in 0..SEEDS {
        let world = World::new(seed);
        let disk = world.disk(POOL_BYTES);
        let name = FileName::new("s");
        let (other, path) = (disk.clone(), name.clone());
        world.run_until(async move { other.replace(&path, vec![1; 600]).await.unwrap() });
        let path = name.clone();
        world.spawn(async move { disk.replace(&path, vec![2; 700]).await.unwrap() });
        world.run_steps(1 + seed % 5);
        world.crash();
        let disk = world.disk(POOL_BYTES);
        let bytes = world.run_until(async move { disk.read_small(&name, 1000).await.unwrap().unwrap() });
        match bytes[0] {
            1 => old += u32::from(bytes == [1; 600]),
            _ => new += u32::from(bytes == [2; 700]),
        }
    }
    assert_eq!(u64::from(old + new), SEEDS, "a mixture");
    assert!(old > 20 && new > 20, "{old} old, {new} new");
}

#[test]
fn a_killed_process_loses_nothing_that_the_kernel_has() {
    let world = World::new(1);
    let disk = world.disk(POOL_BYTES);
    let work = disk.clone();
    world.run_until(async move {
        work.make_dir(&FileName::new("d")).await.unwrap();
        let file = file(&work).await;
        work.write(&file, 0, chunk(&work, 7)).await.unwrap();
    });
    world.kill();
    let disk = world.disk(POOL_BYTES);
    let bytes = world.run_until(async move {
        let file = file(&disk).await;
        disk.read(&file, 0, BLOCK).await.unwrap()
    });
    assert_eq!(bytes[..], [7; BLOCK]);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let world = World::new(seed);
        let disk = world.disk(POOL_BYTES);
        for n in 0..8_u8 {
            let (disk, world) = (disk.clone(), world.clone());
            world.clone().spawn(async move {
                disk.make_dir(&FileName::new("d")).await.unwrap();
                let file = file(&disk).await;
                disk.write(&file, u64::from(n) * BLOCK as u64, chunk(&disk, n)).await.unwrap();
                world.sleep(Duration::from_millis(u64::from(n))).await;
                disk.flush(&file).await.unwrap();
            });
        }
        world.run_steps(120);
        world.crash();
        (world.counters(), world.now(), world.random(|r| r.bits()))
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn faults_come_as_typed_errors_and_a_stalled_write_keeps_its_buffer() {
    let world = World::new(3);
    let disk = world.disk(POOL_BYTES);
    let w = world.clone();
    world.run_until(async move {
        let file = disk.open(&FileName::new("a"), Open::OrCreate).await.unwrap();
        w.faults(|f| f.capacity = Some(BLOCK as u64));
        disk.write(&file, 0, chunk(&disk, 1)).await.unwrap();
        let full = disk.write(&file, BLOCK as u64, chunk(&disk, 1)).await.unwrap_err();
        assert_eq!((full.op, full.fault, full.errno), (DiskOp::Write, DiskFault::NoSpace, 28));
        disk.write(&file, 0, chunk(&disk, 2)).await.expect("an overwrite needs no space");

        w.faults(|f| (f.eio_ppm, f.eio_ops) = (1_000_000, vec![DiskOp::Flush]));
        let broken = disk.flush(&file).await.unwrap_err();
        assert_eq!((broken.op, broken.fault, broken.errno), (DiskOp::Flush, DiskFault::Io, 5));
        disk.read(&file, 0, BLOCK).await.expect("only flushes fail");

        let next = w.counters().ops + 1;
        w.faults(|f| f.stall_at = [next].into());
        let before = w.now().mono;
        let late = disk.write(&file, 0, chunk(&disk, 3)).await.unwrap_err();
        assert_eq!(late.fault, DiskFault::Timeout);
        assert_eq!(w.now().mono.since(before), Duration::from_secs(30), "virtual seconds");
        assert_eq!(disk.pool_free(), POOL_BYTES - BLOCK);
    });
    assert_eq!(world.counters().faults, 2);
}

#[test]
fn counters_name_the_files_that_were_read() {
    let world = World::new(4);
    let disk = world.disk(POOL_BYTES);
    world.run_until(async move {
        disk.make_dir(&FileName::new("d")).await.unwrap();
        let file = file(&disk).await;
        disk.write(&file, 0, chunk(&disk, 1)).await.unwrap();
        disk.open(&FileName::new("d/other"), Open::OrCreate).await.unwrap();
        disk.read(&file, 0, BLOCK).await.unwrap();
    });
    let counters = world.counters();
    assert_eq!(counters.files_read.iter().map(FileName::as_str).collect::<Vec<_>>(), ["d/a"]);
    assert_eq!((counters.bytes_read, counters.bytes_written), (BLOCK as u64, BLOCK as u64));
}
