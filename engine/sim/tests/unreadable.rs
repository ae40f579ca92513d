//! Blocks that the disk cannot read when a broker starts: it refuses where one may hold what was
//! acknowledged, and starts where none does.

use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch, Offset, PartitionKey, TopicId};
use engine::broker::{
    Checkpoint, HostedPartition, RecoveryError, RecoveryReport, Shard, ShardSettings, recover,
};
use engine::config::TopicSettings;
use engine::io::{BLOCK, Disk, DiskOp, FileName, IO_BYTES_MAX, Open};
use engine::journal::{FILE_HEADER_BYTES, FileHeader, FrameHeader, FrameView, file_number};
use engine::record::{BatchBuilder, BatchHeader, Codec};
use sim::{SimDisk, World};

const POOL: usize = 8 << 20;
const JOURNAL: u64 = 64 * 1024;
const SEED: u64 = 5;

fn key() -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index: 0 }
}

fn hosted() -> Vec<HostedPartition> {
    let settings = TopicSettings { segment_bytes: 128 * 1024, ..TopicSettings::default() };
    vec![HostedPartition { key: key(), core: CoreId(0), leader_epoch: LeaderEpoch(0), settings }]
}

async fn start(world: &World) -> Result<(Shard<SimDisk>, RecoveryReport), RecoveryError> {
    let settings = ShardSettings {
        journal_bytes: JOURNAL,
        journal_bytes_first: JOURNAL,
        journal_files: 3,
        ..ShardSettings::default()
    };
    let disk = world.disk(POOL);
    let mut recovered = recover(&disk, &hosted(), 1, world.now()).await?;
    let shard = Shard::open(disk, recovered.cores.remove(0), settings, world.now()).await.expect("open");
    world.run_shard(&shard);
    world.run_clock(&shard, Duration::from_millis(50));
    Ok((shard, recovered.report))
}

async fn produce(world: &World, shard: &Shard<SimDisk>, fill: u8) {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1000, None, Some(&vec![fill; 500 + usize::from(fill) * 211 % 9_000]), &[]);
    let batch = builder.finish();
    let appended = shard.append(world.now(), key(), &batch).expect("room");
    shard.until_durable(appended.ticket).await.expect("online");
}

async fn fills(shard: &Shard<SimDisk>) -> Vec<u8> {
    let (mut found, mut next) = (Vec::new(), 0);
    while next < shard.bounds(key()).expect("hosted").high_watermark.0 {
        let fetched = shard.read(key(), Offset(next), 1 << 20, true).await.expect("readable");
        let bytes: Vec<u8> = fetched.slices.iter().flat_map(|slice| slice.to_vec()).collect();
        let mut rest = &bytes[..];
        while let Some(header) = BatchHeader::peek(rest) {
            let (whole, behind) = rest.split_at(header.total_bytes().expect("a length"));
            assert!(engine::record::crc_matches(whole));
            found.push(whole[whole.len() - 2]);
            next = header.last_offset().0 + 1;
            rest = behind;
        }
    }
    found
}

/// A broker that was killed while its journal lay in two files: the first failed in the flush of its last
/// frame, which the second holds too. What it acknowledged.
fn killed_after_a_move() -> (World, Vec<u8>) {
    let world = World::new(SEED);
    let w = world.clone();
    let acknowledged = world.run_until(async move {
        let (shard, _) = start(&w).await.expect("an empty directory");
        for fill in 0..60 {
            produce(&w, &shard, fill).await;
        }
        w.sleep(Duration::from_secs(2)).await;
        for fill in 60..63 {
            produce(&w, &shard, fill).await;
        }
        w.sleep(Duration::from_millis(300)).await;
        let flush = w.counters().ops + 2;
        w.faults(|f| f.eio_at = [flush].into());
        for fill in 63..66 {
            produce(&w, &shard, fill).await;
        }
        assert_eq!(shard.stats().journals_failed, 1);
        (0..66).collect()
    });
    world.kill();
    (world, acknowledged)
}

/// The files of the core, by name.
async fn files(disk: &SimDisk) -> Vec<(FileName, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in disk.list(&FileName::core_dir(CoreId(0))).await.expect("listed") {
        let file = disk.open(&entry.name, Open::Existing).await.expect("there");
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < entry.len {
            bytes.extend_from_slice(&disk.read(&file, bytes.len() as u64, IO_BYTES_MAX).await.expect("read"));
        }
        files.push((entry.name, bytes));
    }
    files
}

/// The blocks of journal files without which nobody can say what was acknowledged: those of frames above the
/// checkpoint and below the file that follows, and the one where the next frame of the last file would be.
fn needed(files: &[(FileName, Vec<u8>)]) -> Vec<(FileName, u64)> {
    let checkpoints = files.iter().filter_map(|(_, bytes)| Checkpoint::decode(bytes));
    let included = checkpoints.max_by_key(|c| c.generation).expect("a checkpoint").included;
    let journals = files.iter().filter(|(name, _)| file_number(name.base()).is_some());
    let mut used: Vec<(FileHeader, &(FileName, Vec<u8>))> =
        journals.filter_map(|file| Some((FileHeader::read(&file.1)?, file))).collect();
    used.sort_by_key(|(header, _)| header.incarnation());
    let mut needed = Vec::new();
    for (i, (header, (name, bytes))) in used.iter().enumerate() {
        let next = used.get(i + 1).map(|(header, _)| header.first_sequence());
        let (mut at, mut sequence) = (FILE_HEADER_BYTES, header.first_sequence());
        while next.is_none_or(|next| sequence < next) {
            let Ok(view) = FrameView::verify(&bytes[at as usize..], header.incarnation(), sequence) else {
                if next.is_none() {
                    needed.push((name.clone(), at));
                }
                break;
            };
            let end = at + view.header.disk_bytes() as u64;
            if sequence > included {
                needed.extend((at..end).step_by(BLOCK).map(|block| (name.clone(), block)));
            }
            (at, sequence) = (end, sequence + 1);
        }
    }
    needed
}

/// What a start makes of it when these bytes cannot be read: its report, and the records.
fn started_without(bad: &[(FileName, u64)]) -> Result<(RecoveryReport, Vec<u8>), RecoveryError> {
    let (world, _) = killed_after_a_move();
    world.faults(|f| {
        for (name, at) in bad {
            f.bad_blocks.entry(name.clone()).or_default().insert(at / BLOCK as u64);
        }
    });
    let w = world.clone();
    let before = world.run_until(async move {
        let (shard, report) = start(&w).await?;
        for fill in 66..70 {
            produce(&w, &shard, fill).await;
        }
        let read = fills(&shard).await;
        Ok::<_, RecoveryError>((report, read))
    })?;
    // And it starts again from what that start has left.
    world.crash();
    world.faults(|f| f.bad_blocks.clear());
    let w = world.clone();
    let again = world.run_until(async move {
        let (shard, report) = start(&w).await.expect("a sound disk");
        assert_eq!(report.frames_damaged, 0);
        fills(&shard).await
    });
    assert_eq!(again, before.1);
    Ok(before)
}

#[test]
fn a_block_of_the_journal_that_cannot_be_read_stops_the_start_only_if_it_may_hold_a_record() {
    let (world, mut all) = killed_after_a_move();
    let w = world.clone();
    let files = world.run_until(async move { files(&w.disk(POOL)).await });
    let needed = needed(&files);
    all.extend(66..70);
    let (mut refused, mut in_used, mut headers) = (0, 0, 0);
    for (name, bytes) in files.iter().filter(|(name, _)| file_number(name.base()).is_some()) {
        let used = FileHeader::read(bytes).is_some();
        for at in (0..bytes.len() as u64).step_by(BLOCK) {
            let bad = (name.clone(), at);
            match started_without(std::slice::from_ref(&bad)) {
                Ok((report, read)) => {
                    assert!(!needed.contains(&bad), "{bad:?} was needed: {report:?}");
                    assert_eq!(read, all, "{bad:?}");
                    assert_eq!((report.frames_damaged, report.partitions_damaged.len()), (0, 0), "{bad:?}");
                    headers += usize::from(at == 0);
                    in_used += usize::from(used && at > 0);
                }
                Err(RecoveryError::Disk(error)) => {
                    assert_eq!((error.op, &error.file), (DiskOp::Read, name));
                    assert!(needed.contains(&bad), "{bad:?} was not needed");
                    refused += 1;
                }
                Err(error) => panic!("{bad:?}: {error}"),
            }
        }
    }
    assert_eq!(refused, needed.len());
    assert!(refused >= 5 && in_used > 10 && headers >= 3, "{refused} {in_used} {headers}");
}

/// The frame that failed with its file lies there still, and around it nothing can be read any more.
#[test]
fn a_journal_file_that_failed_may_be_unreadable_from_where_it_failed_on() {
    let (world, mut all) = killed_after_a_move();
    let w = world.clone();
    let files = world.run_until(async move { files(&w.disk(POOL)).await });
    let needed = needed(&files);
    let first = &needed[0].0;
    let (_, bytes) = files.iter().find(|(name, _)| name == first).expect("the one that failed");
    let last = needed.iter().filter(|(name, _)| name == first).map(|(_, at)| *at).max().expect("a frame");
    assert!(FrameHeader::peek(&bytes[last as usize + BLOCK..]).is_some(), "the frame that failed");
    let bad: Vec<_> = (last + BLOCK as u64..bytes.len() as u64)
        .step_by(BLOCK)
        .chain([0])
        .map(|at| (first.clone(), at))
        .collect();
    let (report, read) = started_without(&bad).expect("a start");
    all.extend(66..70);
    assert_eq!(read, all);
    assert_eq!(
        (report.frames_damaged, report.passed_over),
        (0, 2),
        "its header, and what is behind its frames"
    );
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_passed_over_if_the_journal_reaches_back_to_the_other() {
    let (world, mut all) = killed_after_a_move();
    let w = world.clone();
    let files = world.run_until(async move { files(&w.disk(POOL)).await });
    all.extend(66..70);
    let slots: Vec<FileName> = files
        .iter()
        .filter(|(name, _)| name.base().starts_with("checkpoint-"))
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(slots.len(), 2);
    let mut whole = 0;
    for slot in &slots {
        match started_without(&[(slot.clone(), 0)]) {
            Ok((report, read)) => {
                assert_eq!(read, all);
                assert!(report.passed_over > 0);
                whole += 1;
            }
            Err(RecoveryError::JournalGap { .. }) => {}
            Err(error) => panic!("{slot}: {error}"),
        }
    }
    assert!(whole > 0);
    let both: Vec<_> = slots.iter().map(|slot| (slot.clone(), 0)).collect();
    let refused = started_without(&both);
    assert!(matches!(&refused, Err(RecoveryError::Disk(error)) if error.op == DiskOp::Read), "{refused:?}");
}
