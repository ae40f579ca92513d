use super::disk::{TestDisk, random, run};
use super::*;
use crate::io::BLOCK;
use crate::metadata::log::LOG_BYTES_MAX;

fn open(disk: &TestDisk) -> (MetadataLog<TestDisk>, Image) {
    run(MetadataLog::open(disk.clone())).unwrap()
}

fn open_error(disk: &TestDisk) -> OpenError {
    run(MetadataLog::open(disk.clone())).err().expect("refused")
}

/// The `n`th change of a test: a setting whose value grows past a block now and then.
fn change(n: u64) -> MetadataRecord {
    let padding = if n % 5 == 4 { " ".repeat(2 * BLOCK) } else { String::new() };
    set(ConfigResource::AllBrokers, "n", &format!("{n}{padding}"))
}

/// Which change an image ends with, 0 for none.
fn ends_with(image: &Image) -> u64 {
    let value = image.configs(ConfigResource::AllBrokers).unwrap().get("n");
    value.map_or(0, |v| v.trim_end().parse().unwrap())
}

#[test]
fn what_was_appended_is_there_after_opening_again() {
    let disk = TestDisk::new();
    let (mut log, empty) = open(&disk);
    assert_eq!(empty, Image::default());
    let image = run(log.append(&every_kind())).unwrap();
    assert_eq!(image.position(), Position { index: 1, term: 1 });
    assert_eq!(run(log.append(&[])).unwrap(), image);
    let image = run(log.append(&[created(9, "nine")])).unwrap();
    assert_eq!(image.position().index, 2);
    assert_eq!(open(&disk).1, image);
    run(log.snapshot()).unwrap();
    let image = run(log.append(&[created(10, "ten")])).unwrap();
    assert_eq!(open(&disk).1, image);
    assert_eq!(disk.names(), ["meta/log-00000000000000000003", "meta/snapshot"]);
}

#[test]
fn deleted_topics_are_those_whose_deletion_was_read_and_no_others() {
    let disk = TestDisk::new();
    let deleted = |disk: &TestDisk| open(disk).0.take_deleted();
    assert_eq!(deleted(&disk), []);
    let (mut log, _) = open(&disk);
    run(log.append(&[created(1, "kept"), created(2, "gone")])).unwrap();
    run(log.append(&[MetadataRecord::TopicDeleted { id: topic_id(2) }])).unwrap();
    assert_eq!(deleted(&disk), [topic_id(2)]);
    run(log.append(&[created(3, "late")])).unwrap();
    assert_eq!(deleted(&disk), [topic_id(2)], "until a snapshot ends the file");
    run(log.snapshot()).unwrap();
    assert_eq!(deleted(&disk), []);
    // A log whose end is gone knows nothing of the topics that it made: nobody deleted them.
    let (mut log, _) = open(&disk);
    run(log.append(&[created(4, "lost")])).unwrap();
    disk.flip("meta/log-00000000000000000004", 20);
    let (mut log, image) = open(&disk);
    assert!(image.topic("lost").is_none());
    assert_eq!(log.take_deleted(), []);
}

#[test]
fn a_change_that_does_not_fit_writes_nothing() {
    let disk = TestDisk::new();
    let (mut log, _) = open(&disk);
    let before = run(log.append(&[created(1, "a")])).unwrap();
    let error = run(log.append(&[created(2, "b"), created(3, "a")])).unwrap_err();
    assert!(matches!(error, AppendError::Unfit(ApplyError::TopicExists { .. })));
    assert_eq!(open(&disk).1, before);
}

#[test]
fn without_memory_nothing_is_written_and_the_log_goes_on() {
    let disk = TestDisk::new();
    let (mut log, _) = open(&disk);
    disk.set_pool_blocks(0);
    assert_eq!(run(log.append(&[change(1)])), Err(AppendError::NoRoom));
    disk.set_pool_blocks(1);
    let image = run(log.append(&[change(4)])).unwrap();
    assert_eq!((ends_with(&image), image.position().index), (4, 1));
    assert_eq!(open(&disk).1, image);
}

#[test]
fn more_than_a_frame_at_once_is_refused() {
    let (mut log, _) = open(&TestDisk::new());
    let long = "x".repeat(60_000);
    let records: Vec<_> = (0..80).map(|_| set(ConfigResource::AllBrokers, "n", &long)).collect();
    assert!(matches!(run(log.append(&records)), Err(AppendError::TooLarge { .. })));
    assert_eq!(ends_with(&run(log.append(&[change(1)])).unwrap()), 1);
}

#[test]
fn the_log_stays_bounded_by_snapshots() {
    let disk = TestDisk::new();
    let (mut log, _) = open(&disk);
    let appends = 3 * LOG_BYTES_MAX / BLOCK as u64;
    for n in 1..=appends {
        run(log.append(&[set(ConfigResource::AllBrokers, "n", &n.to_string())])).unwrap();
    }
    assert_eq!(disk.names().len(), 2, "{:?}", disk.names());
    let (_, image) = open(&disk);
    assert_eq!((ends_with(&image), image.position().index), (appends, appends));
}

#[test]
fn a_disk_that_takes_no_snapshot_still_takes_changes_up_to_a_bound() {
    let disk = TestDisk::new();
    let (mut log, _) = open(&disk);
    disk.set_no_replacing(true);
    let bound = 4 * LOG_BYTES_MAX / BLOCK as u64;
    for n in 1..=bound {
        run(log.append(&[set(ConfigResource::AllBrokers, "n", &n.to_string())])).unwrap();
    }
    assert!(log.snapshot_error().is_some());
    assert!(matches!(run(log.append(&[change(7)])), Err(AppendError::Disk(_))));
    assert_eq!(ends_with(&open(&disk).1), bound);

    disk.set_no_replacing(false);
    assert_eq!(ends_with(&run(log.append(&[change(7)])).unwrap()), 7);
    assert_eq!(log.snapshot_error(), None);
}

#[test]
fn after_a_failed_write_nothing_is_appended_until_the_next_open() {
    let disk = TestDisk::new();
    let (mut log, _) = open(&disk);
    run(log.append(&[change(1)])).unwrap();
    disk.fail_after(1);
    assert!(matches!(run(log.append(&[change(2)])), Err(AppendError::Disk(_))), "its flush failed");
    disk.crash(&mut 1);
    assert_eq!(run(log.append(&[change(3)])), Err(AppendError::Offline));
    let (mut log, image) = open(&disk);
    assert!(ends_with(&image) <= 2);
    run(log.append(&[change(3)])).unwrap();
}

#[test]
fn damage_below_an_acknowledged_change_is_refused_not_guessed() {
    let disk = TestDisk::new();
    let (mut log, _) = open(&disk);
    for n in 1..4 {
        run(log.append(&[change(n)])).unwrap();
    }
    let name = "meta/log-00000000000000000001";
    disk.flip(name, BLOCK + 20);
    let (at, intact_at) = (BLOCK as u64, 2 * BLOCK as u64);
    assert!(
        matches!(open_error(&disk), OpenError::Damaged { at: a, intact_at: i, .. } if (a, i) == (at, intact_at))
    );
    disk.flip(name, BLOCK + 20);
    assert_eq!(ends_with(&open(&disk).1), 3);
    run(log.snapshot()).unwrap();
    disk.flip("meta/snapshot", 40);
    assert!(matches!(open_error(&disk), OpenError::Storage { .. }));
}

#[test]
fn a_log_whose_snapshot_is_gone_is_refused() {
    let disk = TestDisk::new();
    let (mut log, _) = open(&disk);
    run(log.append(&[change(1)])).unwrap();
    run(log.snapshot()).unwrap();
    run(log.append(&[change(2)])).unwrap();
    run(crate::io::Disk::remove(&disk, &crate::io::FileName::new("meta/snapshot"))).unwrap();
    assert!(matches!(open_error(&disk), OpenError::Gap { expected: 1, got: 2, .. }));
}

/// Appends, snapshots and fails at random, crashes, and opens again, several times over. What was
/// acknowledged must be there, and of what was not, at most the change in flight.
fn lives(seed: u64, lying: bool) -> Result<u32, String> {
    let mut rng = seed;
    let disk = TestDisk::new();
    if lying {
        disk.let_flushes_lie();
    }
    let mut acknowledged = 0;
    let mut unanswered = 0;
    for _life in 0..6 {
        disk.fail_after((random(&mut rng) % 40) as u32);
        if let Ok((mut log, image)) = run(MetadataLog::open(disk.clone())) {
            let found = ends_with(&image);
            // Once shown to be there, it must stay.
            acknowledged = found.max(acknowledged);
            for n in found + 1.. {
                if random(&mut rng).is_multiple_of(4) && run(log.snapshot()).is_err() {
                    // The old file goes on, unless everything fails now.
                    if random(&mut rng).is_multiple_of(2) {
                        disk.fail_after(random(&mut rng) as u32 % 8);
                    }
                }
                match run(log.append(&[change(n)])) {
                    Ok(image) => acknowledged = ends_with(&image),
                    Err(_) => {
                        unanswered = n;
                        break;
                    }
                }
            }
        }
        disk.crash(&mut rng);
        let (_, image) = run(MetadataLog::open(disk.clone())).map_err(|e| format!("seed {seed}: {e}"))?;
        let found = ends_with(&image);
        if found < acknowledged || found > acknowledged.max(unanswered) {
            return Err(format!("seed {seed}: {acknowledged} acknowledged, {found} found"));
        }
        acknowledged = found;
    }
    Ok(acknowledged as u32)
}

#[test]
fn no_acknowledged_change_is_lost_in_any_crash() {
    let mut changes = 0;
    for seed in 0..1000 {
        changes += lives(seed, false).unwrap();
    }
    assert!(changes > 10_000, "only {changes} changes: the crashes came too early to mean anything");
}

#[test]
fn a_flush_that_does_nothing_is_caught() {
    assert!((0..50).any(|seed| lives(seed, true).is_err()));
}
