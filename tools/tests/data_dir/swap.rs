//! `ringlog log verify` over directories of brokers that were stopped while compaction put a new segment in
//! the place of old ones.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::base::{CoreId, LeaderEpoch};
use engine::broker::{HostedPartition, Shard, ShardSettings, recover};
use engine::config::{CleanerSettings, Cleanup, TopicSettings};
use engine::record::{BatchBuilder, Codec};
use sim::faults::{CutAt, Side};
use sim::{SimDisk, World};

use crate::{PARTITIONS, POOL, create_topic, export, key, ringlog};

/// A shard of compacted topics with its jobs, over what is there.
async fn open(world: &World, cleans: bool) -> Shard<SimDisk> {
    let settings = TopicSettings {
        cleanup: Cleanup::Compact,
        segment_bytes: 24_000,
        min_cleanable_dirty_ppm: 0,
        index_interval_bytes: 1_000,
        ..TopicSettings::default()
    };
    let hosted = |index| HostedPartition {
        key: key(index),
        core: CoreId(0),
        leader_epoch: LeaderEpoch(0),
        settings: settings.clone(),
    };
    let hosted: Vec<_> = (0..PARTITIONS).map(hosted).collect();
    let disk = world.disk(POOL);
    let mut recovered = recover(&disk, &hosted, 1, world.now()).await.expect("recovery");
    let bytes = 1 << 20;
    let journals =
        ShardSettings { journal_bytes: bytes, journal_bytes_first: bytes, ..ShardSettings::default() };
    let shard = Shard::open(disk, recovered.cores.remove(0), journals, world.now()).await.expect("open");
    let backoff = Duration::from_millis(1);
    shard.set_cleaner(CleanerSettings { enabled: cleans, backoff, ..CleanerSettings::default() });
    world.run_shard(&shard);
    world.run_cleaner(&shard);
    world.run_clock(&shard, Duration::from_millis(5));
    shard
}

/// A closed directory of a topic with several segments to be compacted.
fn dirty() -> World {
    let world = World::new(21);
    let inner = world.clone();
    world.run_until(async move {
        create_topic(inner.disk(POOL)).await;
        let shard = open(&inner, false).await;
        for i in 0..120_u64 {
            let mut builder = BatchBuilder::new(Codec::None);
            builder.push(1_000, Some(&(i % 7).to_be_bytes()), Some(&vec![i as u8; 900]), &[]);
            let appended = shard.append(inner.now(), key(0), &builder.finish()).expect("room");
            shard.until_durable(appended.ticket).await.expect("online");
        }
        shard.close(inner.now()).await.expect("closed");
    });
    world.kill();
    world
}

/// Compacts until the machine stops, or nothing is left to do. Whether it stopped.
fn compact(world: &World) -> bool {
    let inner = world.clone();
    let done = world.run_until_cut(async move {
        let shard = open(&inner, true).await;
        while shard.stats().compactions == 0 {
            inner.sleep(Duration::from_millis(5)).await;
        }
    });
    done.is_none()
}

#[test]
fn a_stop_at_any_step_of_a_swap_is_told_in_one_sentence_and_is_no_damage() {
    let world = dirty();
    let before = world.persist_steps();
    assert!(!compact(&world));
    let steps = world.persist_steps() - before;
    assert!(steps > 20, "{steps}");
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    for step in 1..=steps {
        for side in [Side::Before, Side::After] {
            let world = dirty();
            world.cut_at(Some(CutAt { step: world.persist_steps() + step, side }));
            if !compact(&world) {
                continue;
            }
            // Killed, and not without power: every name is as it was left.
            world.kill();
            let dir = tempfile::tempdir().expect("a temporary directory");
            let (inner, to) = (world.clone(), dir.path().to_owned());
            world.run_until(async move { export(inner.disk(POOL), to).await });
            let (damages, lines) = ringlog(&["verify", dir.path().to_str().expect("text")]);
            assert_eq!(damages, 0, "step {step} {side:?}: {lines:?}");
            let swaps: Vec<_> = lines.iter().filter(|line| line["kind"] == "swap").collect();
            assert_eq!(
                swaps.len(),
                usize::from(dir.path().join("cores/0/swap").exists()),
                "step {step} {side:?}"
            );
            for line in swaps {
                assert_eq!(line["partition"], key(0).to_string());
                let what = line["what"].as_str().expect("a sentence");
                let words = what.split(|c: char| c.is_ascii_digit()).next().expect("words");
                *told.entry(words.to_owned()).or_default() += 1;
            }
        }
    }
    let sentences: Vec<&str> = told.keys().map(String::as_str).collect();
    let expected = [
        "compaction has put a new segment in the place of offsets ",
        "compaction was about to put a new segment in the place of offsets ",
        "compaction was writing the segments ",
    ];
    assert_eq!(sentences, expected, "{told:?}");
}

#[test]
fn a_note_of_a_swap_that_cannot_be_read_is_damage_and_the_old_segments_are_checked() {
    let world = dirty();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (inner, to) = (world.clone(), dir.path().to_owned());
    world.run_until(async move { export(inner.disk(POOL), to).await });
    let note = dir.path().join("cores/0/swap");
    std::fs::write(&note, [7; 40]).expect("a writable directory");
    let (damages, lines) = ringlog(&["verify", dir.path().to_str().expect("text")]);
    assert_eq!(damages, 1, "{lines:?}");
    let line = lines.iter().find(|line| line["kind"] == "damage").expect("a line");
    assert_eq!(line["file"], note.display().to_string());
    assert!(
        line["position"].is_u64() && line["what"].as_str().expect("text").contains("a start keeps it aside")
    );
    let report = lines.iter().find(|line| line["kind"] == "report").expect("a report");
    assert_eq!(report["batches"], 120);
}
