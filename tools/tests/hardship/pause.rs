//! SIGSTOP: the broker stands still for longer than its members' sessions, and goes on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use wire::{ErrorCode, Message, Reader, find_coordinator, heartbeat, join_group, sync_group};

use crate::harness::{Client, Want, values};
use crate::lane::{Lane, Log, Shape};
use crate::process::{Process, until};
use crate::{SMALL, directory};

const SESSION_MS: i32 = 2500;

/// Longer than a session, and than the two seconds from which on a broker takes it for a pause.
const PAUSE: Duration = Duration::from_secs(6);

const GROUPS: usize = 6;

/// A member alone in its group.
struct Member {
    client: Client,
    group: String,
    id: String,
    generation: i32,
}

impl Member {
    fn join(process: &Process, group: String) -> Member {
        let mut client = process.client();
        client.call(3, &find_coordinator::Request { key: &group, ..Default::default() });
        let mut id = String::new();
        loop {
            let request = join_group::Request {
                group_id: &group,
                session_timeout_ms: SESSION_MS,
                rebalance_timeout_ms: 10_000,
                member_id: &id,
                protocol_type: "consumer",
                protocols: vec![join_group::Protocol { name: "range", metadata: b"" }],
                ..Default::default()
            };
            let body = client.call(3, &request);
            let joined = join_group::Response::decode(3, &mut Reader::new(&body)).expect("an answer");
            id = joined.member_id.clone().into_owned();
            let generation = joined.generation_id;
            if joined.error_code == ErrorCode::None {
                let assignments = vec![sync_group::Assignment { member_id: &id, assignment: b"all" }];
                let (group_id, generation_id) = (group.as_str(), generation);
                let request = sync_group::Request {
                    group_id,
                    generation_id,
                    member_id: &id,
                    assignments,
                    ..Default::default()
                };
                let body = client.call(3, &request);
                let synced = sync_group::Response::decode(3, &mut Reader::new(&body)).expect("an answer");
                assert_eq!(synced.error_code, ErrorCode::None);
                return Member { client, group, id, generation };
            }
            assert_eq!(joined.error_code, ErrorCode::CoordinatorLoadInProgress);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn beat(&mut self) -> ErrorCode {
        let request = heartbeat::Request {
            group_id: &self.group,
            generation_id: self.generation,
            member_id: &self.id,
            ..Default::default()
        };
        let body = self.client.call(3, &request);
        heartbeat::Response::decode(3, &mut Reader::new(&body)).expect("an answer").error_code
    }
}

#[test]
fn a_pause_under_load_loses_nothing_and_costs_no_member_its_session() {
    let dir = directory();
    let set =
        [&SMALL[..], &["group.min.session.timeout.ms=100", "group.initial.rebalance.delay.ms=0"]].concat();
    let process = Process::start(&dir.path().join("data"), "0,1", &set);
    let mut client = process.client();
    assert_eq!(client.create_topic("t", 3, &[("segment.bytes", "1048576")]), ErrorCode::None);
    let rest = Duration::from_millis(1);
    let shape = |partition| Shape { topic: "t", partition, bytes: 2000, keys: 0, rest, may_fail: false };
    let mut lanes: Vec<Lane> = (0..3).map(|i| Lane::open(&mut client, i, shape(i as i32))).collect();
    let mut members: Vec<Member> = (0..GROUPS).map(|i| Member::join(&process, format!("g{i}"))).collect();

    let counts: [AtomicU64; 3] = Default::default();
    let (beats, read, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let (addr, is_over) = (process.addr, || over.load(Ordering::Relaxed));
    std::thread::scope(|scope| {
        for (lane, count) in lanes.iter_mut().zip(&counts) {
            scope.spawn(move || lane.run(addr, count));
        }
        let mut others = Vec::new();
        for member in &mut members {
            let beats = &beats;
            others.push(scope.spawn(move || {
                while !is_over() {
                    assert_eq!(member.beat(), ErrorCode::None, "{}", member.group);
                    beats.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(100));
                }
            }));
        }
        others.push(scope.spawn(|| {
            let (mut client, mut next) = (Client::connect(addr), 0);
            while !is_over() {
                let (error, _, records) = client.fetch("t", 0, next, Want::default());
                assert_eq!(error, ErrorCode::None);
                for (offset, _) in values(&records) {
                    assert_eq!(offset, next, "a reader misses nothing");
                    next += 1;
                }
                read.store(next as u64, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        }));
        let least = || counts.iter().map(|count| count.load(Ordering::Relaxed)).min().expect("three");
        let goes_on = |what: &str| {
            let (acks, beats_before, read_before) =
                (least(), beats.load(Ordering::Relaxed), read.load(Ordering::Relaxed));
            until(what, || {
                let all_beat = beats.load(Ordering::Relaxed) >= beats_before + 4 * GROUPS as u64;
                all_beat && least() >= acks + 50 && read.load(Ordering::Relaxed) > read_before
            });
        };
        goes_on("load");
        process.signal(Signal::STOP);
        std::thread::sleep(PAUSE);
        process.signal(Signal::CONT);
        goes_on("service again");
        over.store(true, Ordering::Relaxed);
        others.into_iter().for_each(|other| other.join().expect("a member or a reader"));
        // The producers end with their broker.
        process.kill();
    });
    let process = Process::start(&dir.path().join("data"), "0,1", &set);
    for (partition, lane) in (0..).zip(&mut lanes) {
        lane.resume(process.addr);
        lane.check(&Log::read(&mut process.client(), "t", partition));
    }
    process.stop();
}
