//! Memory: what buffers cost, who waits for them.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use engine::io::{BLOCK, Disk, IO_BYTES_MAX};

use super::{POOL_BYTES, blocks, bytes, create};
use crate::world::both;

pub(super) async fn a_buffer_costs_a_power_of_two<D: Disk>(disk: &D) {
    assert_eq!((disk.pool_size(), disk.pool_free()), (POOL_BYTES, POOL_BYTES));
    for (len, cost) in [(1, BLOCK), (BLOCK, BLOCK), (BLOCK + 1, 2 * BLOCK), (3 * BLOCK, 4 * BLOCK)] {
        let buf = disk.take(len).unwrap();
        assert!(buf.len() >= len);
        assert_eq!(POOL_BYTES - disk.pool_free(), cost, "for {len} bytes");
        let chunk = disk.seal(buf, len);
        assert_eq!((chunk.len(), POOL_BYTES - disk.pool_free()), (len, cost));
    }
    assert_eq!(disk.pool_free(), POOL_BYTES);
}

pub(super) async fn the_pool_runs_out_and_recovers<D: Disk>(disk: &D) {
    let mut held: Vec<_> = std::iter::from_fn(|| disk.take(IO_BYTES_MAX)).collect();
    assert_eq!((held.len(), disk.pool_free()), (POOL_BYTES / IO_BYTES_MAX, 0));
    assert!(disk.take(1).is_none());
    let chunk = disk.seal(held.pop().unwrap(), BLOCK);
    let clone = chunk.clone();
    drop(chunk);
    assert!(disk.take(1).is_none(), "a clone holds the memory");
    drop(clone);
    assert!(disk.take(IO_BYTES_MAX).is_some());
}

pub(super) async fn a_read_waits_for_memory<D: Disk>(disk: &D) {
    let file = create(disk, "a").await;
    disk.write(&file, 0, blocks(disk, 1, 1)).await.unwrap();
    let mut held: Vec<_> = std::iter::from_fn(|| disk.take(IO_BYTES_MAX)).collect();
    let mut read = pin!(bytes(disk, &file, 0, BLOCK));
    let early = std::future::poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_ready())).await;
    assert!(!early, "a read without memory");
    let (read, ()) = both(read, async { drop(held.pop()) }).await;
    assert_eq!(read, [1; BLOCK]);
}

pub(super) async fn readers_leave_half_of_the_pool<D: Disk>(disk: &D) {
    let file = create(disk, "a").await;
    disk.write(&file, 0, blocks(disk, 1, IO_BYTES_MAX / BLOCK)).await.unwrap();
    let mut held = Vec::new();
    while disk.pool_free() > POOL_BYTES / 2 {
        held.push(disk.read(&file, 0, IO_BYTES_MAX).await.unwrap());
    }
    let mut read = pin!(bytes(disk, &file, 0, BLOCK));
    let early = std::future::poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_ready())).await;
    assert!(!early && disk.pool_free() == POOL_BYTES / 2, "readers took more than half");
    let (read, ()) = both(read, async { drop(held.pop()) }).await;
    assert_eq!(read, [1; BLOCK]);
}

pub(super) async fn a_read_that_is_dropped_gives_its_memory_back<D: Disk>(disk: &D) {
    let file = create(disk, "a").await;
    disk.write(&file, 0, blocks(disk, 1, 1)).await.unwrap();
    for _ in 0..4 {
        let mut read = Box::pin(bytes(disk, &file, 0, BLOCK));
        let _ = std::future::poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_ready())).await;
    }
    // The kernel may need a while with what it was given; another operation lets it pass.
    for _ in 0..1000 {
        if disk.pool_free() == POOL_BYTES {
            return;
        }
        disk.sync_dir(&super::name("d")).await.unwrap_err();
    }
    panic!("{} bytes of the pool never came back", POOL_BYTES - disk.pool_free());
}
