//! Damage that claims too much, and damage that is judged while the log grows.

use engine::base::Offset;
use engine::broker::FetchError;
use engine::io::DiskFault;
use engine::log::Cause;
use engine::record::BatchHeader;
use sim::World;

use crate::log::{
    MIB, POOL, batches, bytes_of, closed_sized, file, key, open_pooled, open_sized, pass_to, produce,
    produce_value, put,
};

const SEGMENT_BYTES: u32 = 64 << 20;

#[test]
fn a_length_that_no_batch_has_does_not_take_the_memory_of_all_readers() {
    // The segment is larger than all memory, so the length could be true as far as the file goes.
    const BATCHES: i64 = 60;
    let world = World::new(31);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open_sized(&inner, SEGMENT_BYTES, 0).await;
        for offset in 0..BATCHES {
            produce_value(&inner, &shard, offset, &vec![offset as u8; 200_000]).await;
        }
        shard.close(inner.now()).await.expect("closed");
    });
    world.kill();
    // Of 8 MiB and more, which no batch has; and of 2 MiB, which readers have if the cache gives way.
    for bit in [0x80_u8, 0x20] {
        let inner = world.clone();
        world.run_until(async move {
            let disk = inner.disk(POOL);
            let name = file(0, ".log");
            let mut bytes = bytes_of(&disk, &name).await;
            let begins = batches(&bytes);
            let (at, _) = begins[2];
            bytes[at + 9] ^= bit;
            let claims = BatchHeader::peek(&bytes[at..]).and_then(|h| h.total_bytes()).expect("a length");
            assert!(claims > 2 * MIB && claims < bytes.len() - at, "{claims} bytes, which the file has");
            put(&disk, &name, &bytes).await;
            let shard = open_sized(&inner, SEGMENT_BYTES, 0).await;
            // Readers elsewhere fill the cache.
            for from in [30, 35, 40, 45] {
                assert!(shard.read(key(), Offset(from), MIB, true).await.is_ok_and(|f| f.bytes > 0));
            }
            let others = shard.clone();
            let other =
                inner.start(async move { others.read(key(), Offset(50), MIB, true).await.map(|f| f.bytes) });
            let read = shard.read(key(), Offset(2), MIB, true).await;
            assert!(matches!(read, Err(FetchError::Fenced(range)) if range.first == Offset(2)));
            assert!(other.join().await.is_ok_and(|bytes| bytes > 0), "who reads elsewhere is served");
            for from in [1, 3] {
                let read = shard.read(key(), Offset(from), MIB, true).await;
                assert!(read.is_ok_and(|f| f.bytes > 0), "{from}");
            }
            let time = shard.offset_for_time(key(), 1_002).await.expect("an answer").expect("a record");
            assert_eq!(time.offset, Offset(3));
            bytes[at + 9] ^= bit;
            put(&disk, &name, &bytes).await;
        });
        world.kill();
    }
}

#[test]
fn a_batch_of_most_of_the_readers_memory_is_read_and_a_larger_one_refused_at_once() {
    let world = World::new(32);
    let inner = world.clone();
    world.run_until(async move {
        let shard = open_sized(&inner, SEGMENT_BYTES, 0).await;
        for offset in 0..40 {
            let bytes = match offset {
                // With a pool of 8 MiB readers have 4, and their cache half of that.
                20 => 3 * MIB + MIB / 2,
                _ => 200_000,
            };
            produce_value(&inner, &shard, offset, &vec![offset as u8; bytes]).await;
        }
        shard.close(inner.now()).await.expect("closed");
    });
    world.kill();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open_sized(&inner, SEGMENT_BYTES, 0).await;
        for round in 0..3 {
            for from in [0, 5, 10, 15, 22, 28, 33] {
                assert!(
                    shard.read(key(), Offset(from), MIB, true).await.is_ok_and(|f| f.bytes > 0),
                    "{round}"
                );
            }
            let read = shard.read(key(), Offset(20), MIB, true).await;
            assert!(read.is_ok_and(|f| f.bytes > 3 * MIB), "{round}: the large one");
        }
    });
    world.kill();
    let inner = world.clone();
    world.run_until(async move {
        let shard = open_pooled(&inner, 4 * MIB, SEGMENT_BYTES).await;
        let refused = shard.read(key(), Offset(20), MIB, true).await;
        assert!(matches!(refused, Err(FetchError::Disk(error)) if error.fault == DiskFault::TooLarge));
        for from in [0, 19, 21, 39] {
            assert!(shard.read(key(), Offset(from), MIB, true).await.is_ok_and(|f| f.bytes > 0), "{from}");
        }
        assert_eq!(shard.damages(), [], "it is no damage");
    });
}

#[test]
fn what_is_appended_while_damage_is_judged_is_not_fenced() {
    const OLD: i64 = 80;
    const NEW: i64 = 120;
    let mut met = 0;
    for seed in 0..12 {
        let world = closed_sized(seed, SEGMENT_BYTES, OLD);
        let inner = world.clone();
        met += world.run_until(async move {
            let disk = inner.disk(POOL);
            let name = file(0, ".log");
            let mut bytes = bytes_of(&disk, &name).await;
            let (first, _) = batches(&bytes)[OLD as usize - 20];
            bytes[first..].fill(0);
            put(&disk, &name, &bytes).await;
            let shard = open_sized(&inner, SEGMENT_BYTES, 0).await;
            let (reader, grows) = (shard.clone(), inner.clone());
            let fenced = inner.start(async move {
                let mut from = 0;
                loop {
                    match reader.read(key(), Offset(from), MIB, true).await {
                        Ok(fetched) => {
                            assert!(fetched.bytes > 0);
                            let last = fetched.slices.iter().flat_map(|s| s.to_vec()).collect::<Vec<u8>>();
                            from = batches(&last).last().expect("a batch").1 + 1;
                        }
                        Err(FetchError::Fenced(range)) => return range,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            for offset in OLD..OLD + NEW {
                produce(&grows, &shard, offset).await;
                shard.tick(grows.now());
            }
            let range = fenced.join().await;
            assert_eq!((range.first, range.cause), (Offset(OLD - 20), Cause::NotABatch), "seed {seed}");
            assert!(range.end <= Offset(OLD), "seed {seed}: {range:?}");
            shard.close(grows.now()).await.expect("closed");
            let found = pass_to(&shard, OLD + NEW, MIB).await;
            assert!((OLD..OLD + NEW).all(|offset| found.read.contains(&offset)), "seed {seed}: {found:?}");
            i64::from(range.end == Offset(OLD))
        });
    }
    assert!(met > 0, "none reached the end of what was there");
}
