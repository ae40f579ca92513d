//! `ringlog log` against whole data directories, left behind by shards on the simulated disk.

mod ringlog;
mod sentences;
mod swap;

use std::fs;
use std::path::{Path, PathBuf};

use engine::base::{CoreId, LeaderEpoch, NodeId, PartitionKey, TopicId};
use engine::broker::{AppendError, HostedPartition, Shard, ShardSettings, recover};
use engine::config::TopicSettings;
use engine::io::{Disk, FileName, IO_BYTES_MAX, Open};
use engine::metadata::{MetadataLog, MetadataRecord, PartitionState};
use engine::record::{BatchBuilder, Codec};
use ringlog::ringlog;
use serde_json::Value;
use sim::{SimDisk, World};

fn verify(dir: &Path) -> (u64, Value) {
    let (damages, lines) = ringlog(&["verify", dir.to_str().expect("text")]);
    let report = lines.iter().find(|line| line["kind"] == "report").expect("a report").clone();
    (damages, report)
}

const POOL: usize = 8 << 20;
const PARTITIONS: i32 = 3;
const BATCHES: u64 = 900;

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicId(uuid::Uuid::from_u128(7)), index }
}

async fn create_topic(disk: SimDisk) {
    let (mut log, _) = MetadataLog::open(disk).await.expect("an empty directory");
    let mut records = vec![MetadataRecord::TopicCreated { id: key(0).topic, name: "events".to_owned() }];
    records.extend((0..PARTITIONS).map(|index| MetadataRecord::PartitionCreated {
        key: key(index),
        state: PartitionState {
            replicas: vec![NodeId(0)],
            isr: vec![NodeId(0)],
            leader: Some(NodeId(0)),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
            core: CoreId(0),
        },
    }));
    log.append(&records).await.expect("a fitting change");
}

/// A shard over what is there.
async fn open_shard(world: &World) -> Shard<SimDisk> {
    let settings = TopicSettings { segment_bytes: 1 << 20, ..TopicSettings::default() };
    let hosted: Vec<_> = (0..PARTITIONS)
        .map(|index| HostedPartition {
            key: key(index),
            core: CoreId(0),
            leader_epoch: LeaderEpoch(0),
            settings: settings.clone(),
        })
        .collect();
    let disk = world.disk(POOL);
    let mut recovered = recover(&disk, &hosted, 1, world.now()).await.expect("recovery");
    let journals =
        ShardSettings { journal_bytes: 1 << 20, journal_bytes_first: 1 << 20, ..ShardSettings::default() };
    let shard = Shard::open(disk, recovered.cores.remove(0), journals, world.now()).await.expect("open");
    world.run_shard(&shard);
    shard
}

/// Appends `BATCHES` batches of up to 9 KB over all partitions, one after another.
async fn run_shard(world: &World) -> Shard<SimDisk> {
    create_topic(world.disk(POOL)).await;
    let shard = open_shard(world).await;
    for i in 0..BATCHES as usize {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1_000 + i as i64, None, Some(&vec![i as u8; 10 + (i * 37) % 9_000]), &[]);
        let batch = builder.finish();
        let ticket = loop {
            match shard.append(world.now(), key(i as i32 % PARTITIONS), &batch) {
                Ok(appended) => break appended.ticket,
                Err(AppendError::NoRoom) => shard.room().await,
                Err(error) => panic!("{error}"),
            }
        };
        shard.until_durable(ticket).await.expect("online");
    }
    shard
}

/// Copies every file of the simulated disk to a real directory.
async fn export(disk: SimDisk, to: PathBuf) {
    let mut dirs: Vec<FileName> = ["meta", "cores", "topics"].map(FileName::new).into();
    while let Some(dir) = dirs.pop() {
        fs::create_dir_all(to.join(dir.as_str())).expect("a writable directory");
        for entry in disk.list(&dir).await.expect("listed") {
            if entry.is_dir {
                dirs.push(entry.name);
                continue;
            }
            let file = disk.open(&entry.name, Open::Existing).await.expect("there");
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < entry.len {
                let chunk = disk.read(&file, bytes.len() as u64, IO_BYTES_MAX).await.expect("readable");
                bytes.extend_from_slice(&chunk);
            }
            bytes.truncate(entry.len as usize);
            fs::write(to.join(entry.name.as_str()), bytes).expect("a writable directory");
        }
    }
}

/// The directory that a shard leaves behind: closed, or crashed in the middle of its life.
fn data_dir(seed: u64, clean: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let world = World::new(seed);
    let inner = world.clone();
    world.run_until(async move {
        let shard = run_shard(&inner).await;
        if clean {
            shard.close(inner.now()).await.expect("closed");
        }
    });
    world.crash();
    let (inner, to) = (world.clone(), dir.path().to_owned());
    world.run_until(async move { export(inner.disk(POOL), to).await });
    dir
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("there");
    bytes[at] ^= 0x10;
    fs::write(path, bytes).expect("a writable directory");
}

fn first_segment(dir: &Path) -> PathBuf {
    dir.join(FileName::partition_dir(key(0)).as_str()).join("00000000000000000000.log")
}

#[test]
fn a_closed_directory_is_sound_and_needs_no_journal() {
    let dir = data_dir(1, true);
    let (damages, report) = verify(dir.path());
    assert_eq!(damages, 0);
    assert_eq!((report["batches"].as_u64(), report["batchesInJournal"].as_u64()), (Some(BATCHES), Some(0)));
    assert_eq!(report["partitions"], PARTITIONS);
    assert!(report["segments"].as_u64() > Some(PARTITIONS as u64), "a roll was tested: {report}");
}

#[test]
fn a_crashed_directory_is_sound_with_its_journal() {
    for seed in 2..6 {
        let dir = data_dir(seed, false);
        let (damages, report) = verify(dir.path());
        assert_eq!(damages, 0, "seed {seed}");
        let (batches, journal) = (report["batches"].as_u64(), report["batchesInJournal"].as_u64());
        assert_eq!(batches.zip(journal).map(|(b, j)| b + j), Some(BATCHES), "seed {seed}: {report}");
        assert!(journal > Some(0) && batches > Some(0), "both were tested: {report}");
    }
}

#[test]
fn damage_is_found_where_it_matters() {
    let dir = data_dir(7, false);
    flip(&first_segment(dir.path()), 3_000);
    assert_eq!(verify(dir.path()).0, 1, "a batch in a segment");

    let dir = data_dir(7, false);
    fs::remove_file(first_segment(dir.path())).expect("there");
    assert_eq!(verify(dir.path()).0, 1, "a segment");

    let dir = data_dir(7, false);
    for slot in 0..2 {
        flip(&dir.path().join(format!("cores/0/checkpoint-{slot}")), 60);
    }
    assert!(verify(dir.path()).0 > 0, "both checkpoints");

    let dir = data_dir(7, false);
    let logs = fs::read_dir(dir.path().join("meta")).expect("there");
    for log in logs {
        fs::remove_file(log.expect("listed").path()).expect("there");
    }
    let (_, report) = verify(dir.path());
    assert_eq!(report["partitions"], 0, "without metadata nothing is hosted: {report}");
}

#[test]
fn a_frame_that_was_flushed_must_verify_and_the_last_need_not() {
    let dir = data_dir(8, false);
    let (_, lines) = ringlog(&["dump", dir.path().join("cores/0").to_str().expect("text")]);
    let sound = verify(dir.path()).1["batchesInJournal"].as_u64().expect("a count");
    // The newest file is the one whose header has the highest incarnation.
    let (mut newest, mut file, mut frames) = (0, String::new(), Vec::new());
    let mut current = String::new();
    for line in &lines {
        match line["kind"].as_str() {
            Some("file") => current = line["file"].as_str().expect("text").to_owned(),
            Some("journal") if line["incarnation"].as_u64() > Some(newest) => {
                newest = line["incarnation"].as_u64().expect("a number");
                (file, frames) = (current.clone(), Vec::new());
            }
            Some("frame") if current == file => {
                frames.push(line["position"].as_u64().expect("a number") as usize);
            }
            _ => {}
        }
    }
    assert!(frames.len() > 10, "the newest journal holds {} frames", frames.len());

    let last = *frames.last().expect("not empty");
    flip(Path::new(&file), last + 40);
    let (damages, report) = verify(dir.path());
    assert_eq!(damages, 0, "the last frame has no later flush mark: torn, not damaged");
    assert_eq!(report["batchesInJournal"].as_u64(), Some(sound - 1));

    flip(Path::new(&file), frames[frames.len() - 5] + 40);
    assert!(verify(dir.path()).0 > 0, "a later frame says that this one was flushed");
}

#[test]
fn what_a_broker_found_damaged_is_listed_from_its_directory() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let world = World::new(11);
    let inner = world.clone();
    world.run_until(async move {
        run_shard(&inner).await.close(inner.now()).await.expect("closed");
    });
    world.kill();
    let inner = world.clone();
    let (found, next) = world.run_until(async move {
        let disk = inner.disk(POOL);
        let segment = FileName::partition_dir(key(0)).join("00000000000000000000.log");
        let file = disk.open(&segment, Open::Existing).await.expect("there");
        let read = disk.read(&file, 8192, 4096).await.expect("readable");
        let mut block = disk.take(4096).expect("memory");
        block[..4096].copy_from_slice(&read);
        block[1_000] ^= 2;
        disk.write(&file, 8192, disk.seal(block, 4096)).await.expect("written");
        disk.flush(&file).await.expect("flushed");
        let shard = open_shard(&inner).await;
        let mut from = engine::base::Offset(0);
        let fenced = loop {
            match shard.read(key(0), from, 4096, true).await {
                Ok(fetched) => {
                    let first = fetched.slices.first().expect("a record");
                    from = engine::record::BatchHeader::peek(first).expect("a header").next_offset();
                }
                Err(engine::broker::FetchError::Fenced(range)) => break range,
                Err(error) => panic!("{error}"),
            }
        };
        shard.close(inner.now()).await.expect("closed");
        (fenced.first.0, fenced.end.0)
    });
    let (inner, to) = (world.clone(), dir.path().to_owned());
    world.run_until(async move { export(inner.disk(POOL), to).await });
    let (damages, lines) = ringlog(&["damage", dir.path().to_str().expect("text")]);
    assert_eq!(damages, 1, "{lines:?}");
    let line = lines.iter().find(|line| line["kind"] == "damage").expect("a line");
    assert_eq!((&line["topic"], &line["partition"]), (&Value::from("events"), &Value::from(0)));
    assert_eq!((line["firstOffset"].as_i64(), line["nextReadable"].as_i64()), (Some(found), Some(next)));
    assert!(verify(dir.path()).0 > 0, "it is still there");
}
