//! The pool's bounds and the deadlines, on a real disk.

mod common;

use std::rc::Rc;
use std::time::Duration;

use common::{on_executor, real_dir};
use engine::io::{BLOCK, Disk, DiskFault, FileName, IO_BYTES_MAX, Open};
use store::{DiskSettings, FaultPoints, GlommioDisk};

const POOL: usize = 8 * IO_BYTES_MAX;

#[test]
fn take_says_no_when_the_pool_is_out_and_yes_when_a_chunk_drops() {
    let dir = real_dir();
    on_executor(dir.path(), POOL, |dir| async move {
        let disk = GlommioDisk::open(dir, DiskSettings::default()).await.unwrap();
        assert_eq!(disk.pool_free(), POOL);
        let mut held: Vec<_> = std::iter::from_fn(|| disk.take(IO_BYTES_MAX)).collect();
        assert_eq!((held.len(), disk.pool_free()), (8, 0));
        assert!(disk.take(1).is_none());
        let chunk = disk.seal(held.pop().unwrap(), BLOCK);
        let copy = chunk.clone();
        drop(chunk);
        assert!(disk.take(1).is_none(), "a sealed chunk costs its whole buffer while a clone lives");
        drop(copy);
        assert!(disk.take(1).is_some());
        assert_eq!(disk.pool_stats().misses, 0, "a full pool of whole buffers lies in the region");
    });
}

#[test]
fn readers_hold_at_most_half_and_wait_for_the_rest() {
    let dir = real_dir();
    on_executor(dir.path(), POOL, |dir| async move {
        let disk = GlommioDisk::open(dir, DiskSettings::default()).await.unwrap();
        let file = disk.open(&FileName::new("a"), Open::OrCreate).await.unwrap();
        let mut buf = disk.take(IO_BYTES_MAX).unwrap();
        buf.fill(7);
        disk.write(&file, 0, disk.seal(buf, IO_BYTES_MAX)).await.unwrap();

        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(disk.read(&file, 0, IO_BYTES_MAX).await.unwrap());
        }
        assert_eq!(disk.pool_stats().readers, POOL / engine::io::READERS_SHARE);
        let (other, open) = (disk.clone(), file.clone());
        let waiting =
            glommio::spawn_local(async move { other.read(&open, 0, BLOCK).await.unwrap() }).detach();
        glommio::timer::sleep(Duration::from_millis(20)).await;
        assert_eq!(disk.pool_stats().readers, POOL / engine::io::READERS_SHARE, "a fifth reader got in");
        assert!(disk.take(IO_BYTES_MAX).is_some(), "readers took a writer's memory");
        held.pop();
        assert_eq!(waiting.await.unwrap()[..], [7; BLOCK]);
    });
}

#[test]
fn a_write_that_hangs_times_out_and_keeps_its_buffer_until_it_is_through() {
    let dir = real_dir();
    on_executor(dir.path(), POOL, |dir| async move {
        let faults = Rc::new(FaultPoints::default());
        let settings = DiskSettings { deadline: Duration::from_millis(200), ..DiskSettings::default() };
        let disk = GlommioDisk::open_faulty(dir, settings, faults.clone()).await.unwrap();
        let file = disk.open(&FileName::new("a"), Open::OrCreate).await.unwrap();
        let mut buf = disk.take(BLOCK).unwrap();
        buf.fill(9);
        faults.stall_writes.set(true);
        let error = disk.write(&file, 0, disk.seal(buf, BLOCK)).await.unwrap_err();
        assert_eq!(error.fault, DiskFault::Timeout);
        assert_eq!(disk.pool_free(), POOL - BLOCK, "the kernel may still read that buffer");
        faults.stall_writes.set(false);
        while disk.pool_free() < POOL {
            glommio::timer::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(disk.read(&file, 0, BLOCK).await.unwrap()[..], [9; BLOCK], "the late write arrived");
    });
}
