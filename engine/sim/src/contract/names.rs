//! Names: open, rename, remove, directories, small files.

use engine::io::{BLOCK, Disk, DiskFault, DiskOp, Open};

use super::{blocks, bytes, create, name};

pub(super) async fn opening_what_is_missing_is_not_found<D: Disk>(disk: &D) {
    for path in ["nothing", "no/such/dir"] {
        let error = disk.open(&name(path), Open::Existing).await.err().expect("nothing is there");
        assert_eq!((error.op, error.fault, error.file), (DiskOp::Open, DiskFault::NotFound, name(path)));
    }
    let error = disk.open(&name("no/such"), Open::OrCreate).await.err().expect("its directory is missing");
    assert_eq!(error.fault, DiskFault::NotFound);
    let error = disk.rename(&name("nothing"), &name("something")).await.unwrap_err();
    assert_eq!((error.op, error.fault), (DiskOp::Rename, DiskFault::NotFound));
}

pub(super) async fn opening_twice_is_the_same_file<D: Disk>(disk: &D) {
    let first = create(disk, "a").await;
    disk.write(&first, 0, blocks(disk, 1, 1)).await.unwrap();
    let second = create(disk, "a").await;
    assert_eq!(bytes(disk, &second, 0, BLOCK).await, [1; BLOCK], "opening again does not truncate");
    disk.write(&second, 0, blocks(disk, 2, 1)).await.unwrap();
    assert_eq!(bytes(disk, &first, 0, BLOCK).await, [2; BLOCK]);
    let third = disk.open(&name("a"), Open::Existing).await.unwrap();
    assert_eq!(disk.len(&third).await.unwrap(), BLOCK as u64);
}

pub(super) async fn a_rename_replaces_and_open_files_follow<D: Disk>(disk: &D) {
    let (a, b) = (create(disk, "a").await, create(disk, "b").await);
    disk.write(&a, 0, blocks(disk, 1, 1)).await.unwrap();
    disk.write(&b, 0, blocks(disk, 2, 1)).await.unwrap();
    disk.rename(&name("a"), &name("b")).await.unwrap();
    let now = disk.open(&name("b"), Open::Existing).await.unwrap();
    assert_eq!(bytes(disk, &now, 0, BLOCK).await, [1; BLOCK]);
    assert!(disk.open(&name("a"), Open::Existing).await.is_err());
    disk.write(&a, 0, blocks(disk, 3, 1)).await.unwrap();
    assert_eq!(bytes(disk, &now, 0, BLOCK).await, [3; BLOCK], "a handle is the file, not its name");
    assert_eq!(bytes(disk, &b, 0, BLOCK).await, [2; BLOCK]);
}

pub(super) async fn a_renamed_directory_takes_all_with_it<D: Disk>(disk: &D) {
    disk.make_dir(&name("old/deep")).await.unwrap();
    let file = create(disk, "old/deep/f").await;
    disk.write(&file, 0, blocks(disk, 4, 1)).await.unwrap();
    disk.rename(&name("old"), &name("new")).await.unwrap();
    assert!(disk.list(&name("old")).await.unwrap().is_empty());
    let file = disk.open(&name("new/deep/f"), Open::Existing).await.unwrap();
    assert_eq!(bytes(disk, &file, 0, BLOCK).await, [4; BLOCK]);
}

pub(super) async fn removing_is_deep_and_removing_nothing_succeeds<D: Disk>(disk: &D) {
    disk.make_dir(&name("d/e")).await.unwrap();
    create(disk, "d/e/f").await;
    create(disk, "d-sibling").await;
    disk.remove(&name("d")).await.unwrap();
    disk.remove(&name("d")).await.unwrap();
    disk.remove(&name("never/was")).await.unwrap();
    assert!(disk.open(&name("d/e/f"), Open::Existing).await.is_err());
    assert!(disk.open(&name("d-sibling"), Open::Existing).await.is_ok());
}

pub(super) async fn a_removed_file_stays_readable_while_open<D: Disk>(disk: &D) {
    let file = create(disk, "a").await;
    disk.write(&file, 0, blocks(disk, 6, 1)).await.unwrap();
    disk.remove(&name("a")).await.unwrap();
    assert_eq!(bytes(disk, &file, 0, BLOCK).await, [6; BLOCK]);
    let fresh = create(disk, "a").await;
    assert_eq!(disk.len(&fresh).await.unwrap(), 0);
}

pub(super) async fn directories_come_with_their_parents_and_list_sorted<D: Disk>(disk: &D) {
    assert!(disk.list(&name("top")).await.unwrap().is_empty());
    disk.make_dir(&name("top/b/c")).await.unwrap();
    disk.make_dir(&name("top/b/c")).await.unwrap();
    let file = create(disk, "top/z").await;
    disk.write(&file, 0, blocks(disk, 0, 2)).await.unwrap();
    create(disk, "top/a").await;
    disk.sync_dir(&name("top")).await.unwrap();
    let entries = disk.list(&name("top")).await.unwrap();
    let shown: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.is_dir, e.len)).collect();
    assert_eq!(shown, [("top/a", false, 0), ("top/b", true, 0), ("top/z", false, 2 * BLOCK as u64)]);
}

pub(super) async fn one_sync_takes_names_and_bytes<D: Disk>(disk: &D) {
    disk.sync_all(&[]).await.unwrap();
    disk.add_dir(&name("new/deep")).await.unwrap();
    disk.add_dir(&name("new/deep")).await.unwrap();
    let file = create(disk, "new/deep/a").await;
    disk.write(&file, 0, blocks(disk, 4, 1)).await.unwrap();
    disk.sync_all(std::slice::from_ref(&file)).await.unwrap();
    assert_eq!(bytes(disk, &file, 0, BLOCK).await, [4; BLOCK]);
    assert_eq!(disk.list(&name("new")).await.unwrap().len(), 1);
}

pub(super) async fn a_replaced_file_holds_the_new_bytes<D: Disk>(disk: &D) {
    disk.make_dir(&name("d")).await.unwrap();
    assert_eq!(disk.read_small(&name("d/s"), 100).await.unwrap(), None);
    for content in [b"one".to_vec(), Vec::new(), b"three".to_vec()] {
        disk.replace(&name("d/s"), content.clone()).await.unwrap();
        assert_eq!(disk.read_small(&name("d/s"), 100).await.unwrap(), Some(content));
    }
    let entries = disk.list(&name("d")).await.unwrap();
    assert_eq!(entries.len(), 1, "a replacement leaves nothing beside the file: {entries:?}");
    let error = disk.replace(&name("missing/s"), vec![1]).await.unwrap_err();
    assert_eq!((error.op, error.fault), (DiskOp::Replace, DiskFault::NotFound));
}

pub(super) async fn a_small_file_has_a_limit<D: Disk>(disk: &D) {
    disk.replace(&name("s"), vec![7; 100]).await.unwrap();
    assert_eq!(disk.read_small(&name("s"), 100).await.unwrap().map(|b| b.len()), Some(100));
    let error = disk.read_small(&name("s"), 99).await.unwrap_err();
    assert_eq!(error.fault, DiskFault::TooLarge);
    let space = disk.space().await.unwrap();
    assert!((1..=space.total).contains(&space.free), "{space:?}");
}

pub(super) async fn syncing_a_missing_directory_is_not_found<D: Disk>(disk: &D) {
    let error = disk.sync_dir(&name("nowhere")).await.unwrap_err();
    assert_eq!((error.op, error.fault), (DiskOp::SyncDir, DiskFault::NotFound));
}
