//! A real broker on a disk that hangs, that is slow, and that loses its power.
//!
//! The rig needs root, loop devices, and the Debian packages nbdkit, libnbd-bin, fuse3 and e2fsprogs. Where it
//! cannot be built the tests say why and end; `FAULT_RIG=required` makes that a failure.

#[path = "../../../server/tests/harness/mod.rs"]
mod harness;
#[path = "../crash_points/lane.rs"]
mod lane;
#[path = "../process/mod.rs"]
mod process;
#[path = "../broken_disk/rig.rs"]
mod rig;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harness::{Client, Want, batch, values};
use lane::{Lane, Log, Shape};
use process::{Process, until};
use rig::{Fault, Rig};
use rustix::process::Signal;
use wire::{ApiKey, ErrorCode};

const SETTINGS: [&str; 5] = [
    "memory.pool_bytes=33554432",
    "journal.first_file_bytes=4194304",
    "journal.file_bytes=8388608",
    "ringlog.disk.ballast.bytes=1048576",
    "log.scrub.io.max.bytes.per.second=0",
];

/// A client that waits longer than the deadline of an operation on the disk.
fn patient(process: &Process) -> Client {
    let client = process.client();
    client.stream.set_read_timeout(Some(process::PATIENCE * 2)).expect("a timeout");
    client
}

#[test]
fn a_disk_that_hangs_is_found_by_its_deadline_and_service_returns_with_it() {
    let Some(rig) = Rig::with(Fault::Hang) else { return };
    let process = Process::start(&rig.data(), "0,1", &SETTINGS);
    let mut client = patient(&process);
    assert_eq!(client.create_topic("t", 2, &[]), ErrorCode::None);
    let mut acknowledged = Vec::new();
    for i in 0..20_u8 {
        for partition in [0, 1] {
            let (error, offset) = client.produce("t", partition, -1, &batch(&[&[i]]));
            assert_eq!(error, ErrorCode::None);
            acknowledged.push((partition, offset, vec![i]));
        }
    }

    let hang = rig.hang();
    let mut waiting = [patient(&process), patient(&process)];
    for (partition, client) in (0..).zip(&mut waiting) {
        client.send_produce(9, "t", partition, -1, &batch(&[b"during"]));
    }
    // Memory serves meanwhile.
    let readable = |partition| {
        let (error, _, records) = process.client().fetch("t", partition, 0, Want::default());
        assert_eq!(error, ErrorCode::None);
        values(&records).len()
    };
    assert_eq!([readable(0), readable(1)], [20, 20]);
    for client in &mut waiting {
        // The core of the partition closes its own clients, whose answers it has written already; another core, on
        // which the kernel may have put the connection, is told and answers.
        if let Some(body) = client.receive_unless_closed(ApiKey::Produce, 9) {
            assert_eq!(harness::produced(9, &body).0, ErrorCode::KafkaStorageError, "nothing was flushed");
        }
    }
    until("both cores say so", || process.metric("ringlog_offline") == 2);
    assert_eq!([readable(0), readable(1)], [20, 20], "reads go on");
    assert!(process.said().contains("timed out"), "{}", process.said());

    drop(hang);
    until("both cores are online again", || process.metric("ringlog_offline") == 0);
    for partition in [0, 1] {
        let (error, offset) = client.produce("t", partition, -1, &batch(&[b"after"]));
        assert_eq!(error, ErrorCode::None);
        acknowledged.push((partition, offset, b"after".to_vec()));
    }
    process.stop();
    let process = Process::start(&rig.data(), "0,1", &SETTINGS);
    for (partition, offset, value) in acknowledged {
        let (error, _, records) = process.client().fetch("t", partition, offset, Want::default());
        assert_eq!(error, ErrorCode::None);
        assert_eq!(values(&records)[0], (offset, value));
    }
    process.stop();
}

#[test]
fn a_stop_on_a_disk_that_hangs_ends_once_the_disk_answers_and_keeps_what_was_acknowledged() {
    let Some(rig) = Rig::with(Fault::Hang) else { return };
    let mut process = Process::start(&rig.data(), "0", &SETTINGS);
    let mut client = process.client();
    assert_eq!(client.create_topic("t", 1, &[]), ErrorCode::None);
    for i in 0..20_u8 {
        assert_eq!(client.produce("t", 0, -1, &batch(&[&[i]])).0, ErrorCode::None);
    }
    drop(client);
    let hang = rig.hang();
    process.signal(Signal::TERM);
    assert_eq!(process.ended_within(Duration::from_secs(3)), None, "the segment is not written yet");
    drop(hang);
    let status = process.ended_within(process::PATIENCE).expect("its end");
    assert!(status.success(), "{}", process.said());
    let process = Process::start(&rig.data(), "0", &SETTINGS);
    let log = Log::read(&mut process.client(), "t", 0);
    assert_eq!(log.len(), 20);
    process.stop();
}

#[test]
fn a_slow_disk_is_served_and_not_called_broken() {
    let Some(rig) = Rig::with(Fault::Slow(20)) else { return };
    let process = Process::start(&rig.data(), "0,1", &SETTINGS);
    let mut client = process.client();
    assert_eq!(client.create_topic("t", 2, &[]), ErrorCode::None);
    for i in 0..30_u8 {
        assert_eq!(client.produce("t", i32::from(i % 2), -1, &batch(&[&[i]])).0, ErrorCode::None);
    }
    assert_eq!(process.metric("ringlog_offline") + process.metric("ringlog_journals_failed"), 0);
    process.kill();
    let process = Process::start(&rig.data(), "0,1", &SETTINGS);
    for partition in [0, 1] {
        assert_eq!(Log::read(&mut process.client(), "t", partition).len(), 15);
    }
    process.stop();
}

#[test]
fn a_power_cut_under_load_loses_nothing_that_was_acknowledged() {
    let Some(mut rig) = Rig::with(Fault::PowerLoss) else { return };
    let process = Process::start(&rig.data(), "0,1", &SETTINGS);
    let mut client = process.client();
    assert_eq!(client.create_topic("t", 3, &[("segment.bytes", "1048576")]), ErrorCode::None);
    let rest = Duration::from_millis(1);
    let shape = |partition, bytes| Shape { topic: "t", partition, bytes, keys: 0, rest, may_fail: true };
    let shapes = [shape(0, 200), shape(1, 20_000), shape(2, 420_000)];
    let mut lanes: Vec<Lane> =
        shapes.into_iter().enumerate().map(|(i, shape)| Lane::open(&mut client, i, shape)).collect();
    let (addr, acknowledged) = (process.addr, AtomicU64::new(0));
    std::thread::scope(|scope| {
        for lane in &mut lanes {
            let acknowledged = &acknowledged;
            scope.spawn(move || lane.run(addr, acknowledged));
        }
        while acknowledged.load(Ordering::Relaxed) < 300 {
            std::thread::sleep(Duration::from_millis(1));
        }
        rig.cut_power();
        process.kill();
    });
    let data = rig.after_power_cut();
    let process = Process::start(&data, "0,1", &SETTINGS);
    for (partition, lane) in (0..).zip(&mut lanes) {
        assert!(!lane.acknowledged.is_empty(), "the cut came too early for {:?}", lane.shape);
        lane.resume(process.addr);
        lane.check(&Log::read(&mut process.client(), "t", partition));
    }
    process.stop();
}
