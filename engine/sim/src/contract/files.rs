//! Contents: write, read, allocate, truncate, flush.

use engine::io::{BLOCK, Disk, IO_BYTES_MAX};

use super::{blocks, bytes, create};
use crate::world::both;

pub(super) async fn written_blocks_are_read_back<D: Disk>(disk: &D) {
    let file = create(disk, "a").await;
    disk.write(&file, 0, blocks(disk, 1, 3)).await.unwrap();
    disk.write(&file, 3 * BLOCK as u64, blocks(disk, 4, 1)).await.unwrap();
    assert_eq!(disk.len(&file).await.unwrap(), 4 * BLOCK as u64);
    let read = bytes(disk, &file, 0, 4 * BLOCK).await;
    assert!(read.chunks(BLOCK).zip(1..).all(|(block, n)| block == [n; BLOCK]));
    assert_eq!(bytes(disk, &file, 2 * BLOCK as u64, BLOCK).await, [3; BLOCK]);

    let whole = IO_BYTES_MAX / BLOCK;
    disk.write(&file, 0, blocks(disk, 9, whole)).await.unwrap();
    assert_eq!(bytes(disk, &file, 0, IO_BYTES_MAX).await[..], blocks(disk, 9, whole)[..]);
}

pub(super) async fn an_overwrite_changes_only_its_own_blocks<D: Disk>(disk: &D) {
    let file = create(disk, "a").await;
    disk.write(&file, 0, blocks(disk, 1, 4)).await.unwrap();
    disk.write(&file, BLOCK as u64, blocks(disk, 77, 2)).await.unwrap();
    let read = bytes(disk, &file, 0, 4 * BLOCK).await;
    let firsts: Vec<u8> = read.chunks(BLOCK).map(|b| b[BLOCK - 1]).collect();
    assert_eq!(firsts, [1, 77, 78, 4]);
}

pub(super) async fn a_read_past_the_end_is_short<D: Disk>(disk: &D) {
    let file = create(disk, "a").await;
    assert!(bytes(disk, &file, 0, BLOCK).await.is_empty());
    disk.write(&file, 0, blocks(disk, 1, 2)).await.unwrap();
    assert_eq!(bytes(disk, &file, BLOCK as u64, 4 * BLOCK).await, [2; BLOCK]);
    assert!(bytes(disk, &file, 2 * BLOCK as u64, BLOCK).await.is_empty());
    disk.truncate(&file, BLOCK as u64 + 100).await.unwrap();
    assert_eq!(bytes(disk, &file, BLOCK as u64, BLOCK).await, [2; 100]);
}

pub(super) async fn writes_and_reads_in_flight_together_do_not_mix<D: Disk>(disk: &D) {
    let file = create(disk, "a").await;
    let at = |n: u8| u64::from(n) * BLOCK as u64;
    for n in (0..64).step_by(4) {
        let write = |n: u8| disk.write(&file, at(n), blocks(disk, n, 1));
        let ((a, b), (c, d)) = both(both(write(n + 2), write(n)), both(write(n + 3), write(n + 1))).await;
        assert!([a, b, c, d].iter().all(Result::is_ok));
    }
    for n in (0..64).step_by(2) {
        let (low, high) = both(bytes(disk, &file, at(n), BLOCK), bytes(disk, &file, at(n + 1), BLOCK)).await;
        assert_eq!((low[0], high[0]), (n, n + 1));
    }
}

pub(super) async fn allocated_bytes_read_as_zero_and_old_ones_stay<D: Disk>(disk: &D) {
    let file = create(disk, "a").await;
    disk.write(&file, 0, blocks(disk, 5, 1)).await.unwrap();
    disk.allocate(&file, 8 * BLOCK as u64).await.unwrap();
    assert_eq!(disk.len(&file).await.unwrap(), 8 * BLOCK as u64);
    assert_eq!(bytes(disk, &file, 0, BLOCK).await, [5; BLOCK]);
    assert_eq!(bytes(disk, &file, BLOCK as u64, 7 * BLOCK).await, [0; 7 * BLOCK]);
    disk.allocate(&file, BLOCK as u64).await.unwrap();
    assert_eq!(disk.len(&file).await.unwrap(), 8 * BLOCK as u64, "allocate never shortens");
}

pub(super) async fn truncated_bytes_are_gone_and_read_as_zero_when_they_return<D: Disk>(disk: &D) {
    let file = create(disk, "a").await;
    disk.write(&file, 0, blocks(disk, 5, 2)).await.unwrap();
    disk.truncate(&file, 10).await.unwrap();
    assert_eq!(disk.len(&file).await.unwrap(), 10);
    disk.allocate(&file, 2 * BLOCK as u64).await.unwrap();
    let read = bytes(disk, &file, 0, 2 * BLOCK).await;
    assert_eq!((read.len(), &read[..10]), (2 * BLOCK, &[5; 10][..]));
    assert!(read[10..].iter().all(|b| *b == 0));
}

pub(super) async fn flushing_one_or_many_files_keeps_their_bytes<D: Disk>(disk: &D) {
    disk.flush_all(&[]).await.unwrap();
    let mut files = Vec::new();
    // Enough for whatever way a disk has for many files.
    for n in 0..70_u8 {
        let file = create(disk, &format!("f{n}")).await;
        disk.write(&file, 0, blocks(disk, n, 1)).await.unwrap();
        files.push(file);
    }
    disk.flush(&files[0]).await.unwrap();
    disk.flush_all(&files[..3]).await.unwrap();
    disk.flush_all(&files).await.unwrap();
    for (n, file) in files.iter().enumerate() {
        assert_eq!(bytes(disk, file, 0, BLOCK).await, [n as u8; BLOCK]);
    }
}

pub(super) async fn a_chunk_that_was_read_can_be_written<D: Disk>(disk: &D) {
    let (from, to) = (create(disk, "from").await, create(disk, "to").await);
    disk.write(&from, 0, blocks(disk, 3, 2)).await.unwrap();
    let chunk = disk.read(&from, 0, 2 * BLOCK).await.unwrap();
    disk.write(&to, 0, chunk.clone()).await.unwrap();
    assert_eq!(bytes(disk, &to, 0, 2 * BLOCK).await[..], chunk[..]);
}
