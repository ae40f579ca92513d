//! Everything that clients do to one broker at a time, what they are told, and what must hold of it ever after.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wire::{
    ErrorCode, Message, Reader, create_topics, delete_records, delete_topics, find_coordinator,
    incremental_alter_configs, metadata, offset_commit, offset_fetch,
};

use crate::harness::Client;
use crate::lane::{Lane, Log, Shape};
use crate::process::{Gone, Line, Process, until};

const GROUPS: usize = 3;

/// Two producers share a partition; one has batches so large that they go straight to their segment; one writes
/// to a topic that is compacted and one to a topic that is cut from its start.
const SHAPES: [Shape; 6] = [
    shape("log", 0, 9_000, 0, 3),
    shape("log", 0, 150, 0, 3),
    shape("log", 1, 30_000, 0, 6),
    shape("log", 2, 420_000, 0, 60),
    shape("latest", 0, 40_000, 17, 3),
    shape("young", 0, 60_000, 0, 5),
];

const fn shape(topic: &'static str, partition: i32, bytes: usize, keys: u32, rest_ms: u64) -> Shape {
    Shape { topic, partition, bytes, keys, rest: Duration::from_millis(rest_ms), may_fail: false }
}

/// How long those who commit, cut and administer rest after each answer.
const REST: Duration = Duration::from_millis(5);

/// In the value of a setting: about as long as one may be.
const PAIRS: usize = 4000;

/// Six such values.
const CHANGE_BYTES: u64 = 6 * 4 * PAIRS as u64;

/// A metadata log that is nearly full.
const METADATA_BYTES: u64 = engine::metadata::LOG_BYTES_MAX - CHANGE_BYTES;

/// Of the last of the producers: records that are left when it is cut.
const YOUNG: i64 = 30;

/// Something that is acknowledged step by step.
#[derive(Clone, Copy, Default, Debug)]
struct Counted {
    acknowledged: i64,
    sent: i64,
}

/// Topics that come and go.
#[derive(Clone, Default, Debug)]
struct Names {
    there: BTreeSet<String>,
    gone: BTreeSet<String>,
    made: u32,
}

/// The clients of a broker, and what they know.
#[derive(Clone)]
pub(crate) struct History {
    lanes: Vec<Lane>,
    commits: [Counted; GROUPS],
    /// Where `young` was cut.
    cut: Counted,
    names: Names,
}

/// What a broker says of everything that its clients may ask, for comparison.
#[derive(PartialEq, Eq)]
pub(crate) struct Seen {
    logs: Vec<(&'static str, i32, Log)>,
    commits: Vec<i64>,
    topics: BTreeSet<String>,
}

impl History {
    /// Makes the topics of a new broker.
    pub(crate) fn begin(process: &Process) -> History {
        let mut client = process.client();
        let small = [("segment.bytes", "1048576"), ("index.interval.bytes", "8192")];
        let compact =
            [&small[..], &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")]].concat();
        assert_eq!(client.create_topic("log", 3, &small), ErrorCode::None);
        assert_eq!(client.create_topic("latest", 1, &compact), ErrorCode::None);
        // Segments of at least a mebibyte are kept for reuse when they are full.
        let cut = [("segment.bytes", "1500000"), ("retention.bytes", "3145728")];
        assert_eq!(client.create_topic("young", 1, &cut), ErrorCode::None);
        let lanes = SHAPES.iter().enumerate().map(|(i, &shape)| Lane::open(&mut client, i, shape)).collect();
        for group in 0..GROUPS {
            assert_eq!(committed(&mut client, group), -1);
        }
        History { lanes, commits: Default::default(), cut: Counted::default(), names: Names::default() }
    }

    /// Runs every client until the broker is gone. `meanwhile` is told how much was acknowledged, again
    /// and again, and may end the broker.
    pub(crate) fn run(&mut self, addr: SocketAddr, mut meanwhile: impl FnMut(u64) -> bool) {
        let acknowledged = AtomicU64::new(0);
        let History { lanes, commits, cut, names } = self;
        std::thread::scope(|scope| {
            for lane in lanes {
                let acknowledged = &acknowledged;
                scope.spawn(move || assert_eq!(lane.run(addr, acknowledged), Err(Gone)));
            }
            scope.spawn(move || assert_eq!(commit(addr, commits), Err(Gone)));
            scope.spawn(move || assert_eq!(trim(addr, cut), Err(Gone)));
            scope.spawn(move || assert_eq!(administer(addr, names), Err(Gone)));
            while !meanwhile(acknowledged.load(Ordering::Relaxed)) {
                std::thread::sleep(Duration::from_millis(2));
            }
        });
    }

    /// Lets every producer go on where it was, and holds all that the broker has against what was promised.
    pub(crate) fn check(&mut self, process: &Process) -> Seen {
        for lane in &mut self.lanes {
            lane.resume(process.addr);
        }
        let seen = Seen::of(process);
        for (topic, partition, log) in &seen.logs {
            let here = |lane: &&Lane| (lane.shape.topic, lane.shape.partition) == (*topic, *partition);
            self.lanes.iter().filter(here).for_each(|lane| lane.check(log));
            if *topic == "young" {
                assert!(
                    log.start >= self.cut.acknowledged,
                    "cut at {:?}, and starts at {}",
                    self.cut,
                    log.start
                );
            } else {
                assert_eq!(log.start, 0, "{topic}/{partition} was not cut");
            }
        }
        for (counted, found) in self.commits.iter_mut().zip(&seen.commits) {
            let none_yet = counted.acknowledged == 0 && *found == -1;
            let bounds = counted.acknowledged..=counted.sent;
            assert!(none_yet || bounds.contains(found), "{found} is committed of {counted:?}");
            counted.acknowledged = counted.acknowledged.max(*found);
        }
        let lost: Vec<_> = self.names.there.difference(&seen.topics).collect();
        assert!(lost.is_empty(), "topics that were there: {lost:?}");
        let back: Vec<_> = self.names.gone.intersection(&seen.topics).collect();
        assert!(back.is_empty(), "topics that were gone: {back:?}");
        seen
    }
}

impl Seen {
    /// Asks a broker for all of it.
    pub(crate) fn of(process: &Process) -> Seen {
        let mut client = process.client();
        let mut places: Vec<_> = SHAPES.iter().map(|shape| (shape.topic, shape.partition)).collect();
        places.dedup();
        let read = |(topic, partition)| (topic, partition, Log::read(&mut client, topic, partition));
        let logs = places.into_iter().map(read).collect();
        let mut client = process.client();
        let commits = (0..GROUPS).map(|group| committed(&mut client, group)).collect();
        Seen { logs, commits, topics: topics(&mut client) }
    }

    /// What differs from another look, where nothing may: compaction and retention go on by themselves.
    pub(crate) fn differs(&self, other: &Seen) -> Vec<String> {
        let mut found = Vec::new();
        for ((topic, partition, one), (_, _, another)) in self.logs.iter().zip(&other.logs) {
            if *topic == "log" && one != another {
                found.push(format!("{topic}/{partition}"));
            }
        }
        if self.commits != other.commits {
            found.push(format!("commits {:?} and {:?}", self.commits, other.commits));
        }
        if self.topics != other.topics {
            found.push(format!("topics {:?} and {:?}", self.topics, other.topics));
        }
        found
    }
}

fn name(group: usize) -> String {
    format!("group-{group}")
}

/// Commits in one group after the other, each time one more.
fn commit(addr: SocketAddr, commits: &mut [Counted; GROUPS]) -> Result<(), Gone> {
    let mut line = Line::to(addr)?;
    loop {
        for (group, counted) in commits.iter_mut().enumerate() {
            counted.sent += 1;
            let partition = offset_commit::Partition { committed_offset: counted.sent, ..Default::default() };
            let topic =
                offset_commit::Topic { name: "log", partitions: vec![partition], ..Default::default() };
            let request = offset_commit::Request {
                group_id: &name(group),
                generation_id_or_member_epoch: -1,
                topics: vec![topic],
                ..Default::default()
            };
            let body = line.call(8, &request)?;
            let answer = offset_commit::Response::decode(8, &mut Reader::new(&body)).expect("an answer");
            match answer.topics[0].partitions[0].error_code {
                ErrorCode::None => counted.acknowledged = counted.sent,
                error => assert_eq!(error, ErrorCode::CoordinatorLoadInProgress),
            }
            std::thread::sleep(REST);
        }
    }
}

/// What a group has committed, −1 for nothing.
fn committed(client: &mut Client, group: usize) -> i64 {
    let group = name(group);
    client.call(3, &find_coordinator::Request { key: &group, ..Default::default() });
    let mut found = None;
    until("the coordinator", || {
        let topic = offset_fetch::Topic { name: "log", partition_indexes: vec![0] };
        let request =
            offset_fetch::Request { group_id: &group, topics: Some(vec![topic]), ..Default::default() };
        let body = client.call(7, &request);
        let answer = offset_fetch::Response::decode(7, &mut Reader::new(&body)).expect("an answer");
        if answer.error_code == ErrorCode::None {
            found = Some(answer.topics[0].partitions[0].committed_offset);
        }
        found.is_some()
    });
    found.expect("waited for")
}

/// Cuts `young` from its start, again and again.
fn trim(addr: SocketAddr, cut: &mut Counted) -> Result<(), Gone> {
    let mut line = Line::to(addr)?;
    loop {
        let request = metadata_of_end();
        let body = line.call(9, &request)?;
        let end = wire::list_offsets::Response::decode(9, &mut Reader::new(&body)).expect("an answer");
        let end = end.topics[0].partitions[0].offset;
        cut.sent = (end - YOUNG).max(0);
        let partitions = vec![delete_records::Partition { partition_index: 0, offset: cut.sent }];
        let topics = vec![delete_records::Topic { name: "young", partitions }];
        let body = line.call(2, &delete_records::Request { topics, timeout_ms: 1000 })?;
        let answer = delete_records::Response::decode(2, &mut Reader::new(&body)).expect("an answer");
        let result = &answer.topics[0].partitions[0];
        if result.error_code == ErrorCode::None {
            cut.acknowledged = cut.acknowledged.max(result.low_watermark);
        } else {
            // Retention went further.
            assert_eq!(result.error_code, ErrorCode::OffsetOutOfRange);
        }
        std::thread::sleep(REST);
    }
}

fn metadata_of_end() -> wire::list_offsets::Request<'static> {
    use wire::list_offsets::{Partition, Request, Topic};
    let partition = Partition { partition_index: 0, timestamp: -1, ..Default::default() };
    let topic = Topic { name: "young", partitions: vec![partition] };
    Request { replica_id: -1, topics: vec![topic], ..Default::default() }
}

/// Makes topics, writes to each, alters one and deletes them again.
fn administer(addr: SocketAddr, names: &mut Names) -> Result<(), Gone> {
    let mut line = Line::to(addr)?;
    loop {
        names.made += 1;
        let name = format!("brief-{}", names.made);
        let configs = vec![create_topics::TopicConfig { name: "retention.ms", value: Some("100000") }];
        let topic = create_topics::Topic {
            name: &name,
            num_partitions: 2,
            replication_factor: -1,
            configs,
            ..Default::default()
        };
        let body = line.call(7, &create_topics::Request { topics: vec![topic], ..Default::default() })?;
        let answer = create_topics::Response::decode(7, &mut Reader::new(&body)).expect("an answer");
        assert_eq!(answer.topics[0].error_code, ErrorCode::None, "{name}");
        names.there.insert(name.clone());

        let frame = line.client.produce_frame(9, &name, 0, -1, &crate::harness::batch(&[&[7; 70_000]]));
        line.send(&frame)?;
        line.receive(wire::ApiKey::Produce, 9)?;

        alter(&mut line, &pairs(names.made))?;
        std::thread::sleep(REST);
        if names.there.len() > 2 {
            let name = names.there.pop_first().expect("some");
            let request = delete_topics::Request {
                topic_names: vec![name.as_str()],
                timeout_ms: 1000,
                ..Default::default()
            };
            let body = line.call(4, &request)?;
            let answer = delete_topics::Response::decode(4, &mut Reader::new(&body)).expect("an answer");
            assert_eq!(answer.responses[0].error_code, ErrorCode::None, "{name}");
            names.gone.insert(name);
        }
    }
}

/// A value that differs from the one before: what changes nothing is not written.
fn pairs(turn: u32) -> String {
    let pairs: Vec<String> = (0..PAIRS).map(|partition| format!("{}:{}", partition % 3, turn % 2)).collect();
    pairs.join(",")
}

/// A change that takes [`CHANGE_BYTES`] of the metadata log.
fn alter(line: &mut Line, pairs: &str) -> Result<(), Gone> {
    use incremental_alter_configs::{AlterableConfig, OPERATION_SET, Request, Resource, Response};
    let setting = |name| AlterableConfig { name, config_operation: OPERATION_SET, value: Some(pairs) };
    let configs = ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];
    let resource =
        |resource_name| Resource { resource_type: 2, resource_name, configs: configs.map(setting).to_vec() };
    let resources = ["log", "latest", "young"].map(resource).to_vec();
    let body = line.call(1, &Request { resources, ..Default::default() })?;
    let answer = Response::decode(1, &mut Reader::new(&body)).expect("an answer");
    assert_eq!(answer.responses[0].error_code, ErrorCode::None);
    Ok(())
}

/// Changes settings until the metadata log is nearly full.
pub(crate) fn fill_metadata(process: &Process) {
    let mut line = Line::to(process.addr).expect("a broker");
    for turn in 0..(METADATA_BYTES / CHANGE_BYTES) as u32 {
        assert_eq!(alter(&mut line, &pairs(turn)), Ok(()));
    }
}

fn topics(client: &mut Client) -> BTreeSet<String> {
    let body = client.call(12, &metadata::Request { topics: None, ..Default::default() });
    let answer = metadata::Response::decode(12, &mut Reader::new(&body)).expect("an answer");
    answer.topics.iter().filter_map(|topic| topic.name.as_ref().map(ToString::to_string)).collect()
}

/// The ids of all topics, as their directories are named.
pub(crate) fn topic_ids(client: &mut Client) -> BTreeSet<String> {
    let body = client.call(12, &metadata::Request { topics: None, ..Default::default() });
    let answer = metadata::Response::decode(12, &mut Reader::new(&body)).expect("an answer");
    answer.topics.iter().map(|topic| topic.topic_id.to_string()).collect()
}
