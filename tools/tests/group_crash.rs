//! A broker that is killed while its groups rebalance keeps every offset that it acknowledged.

#[path = "../../server/tests/harness/mod.rs"]
mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harness::Client;
use wire::{
    ApiKey, ErrorCode, Message, Reader, ResponseHeader, find_coordinator, join_group, leave_group,
    offset_commit, offset_fetch, sync_group,
};

const GROUPS: usize = 10;

/// Commits of each group that are acknowledged before the broker is killed.
const COMMITS_BEFORE: u64 = 12;

const SETTINGS: [&str; 5] = [
    "memory.pool_bytes=33554432",
    "journal.first_file_bytes=4194304",
    "group.initial.rebalance.delay.ms=0",
    // Those who were killed with their broker are waited for no longer than this.
    "group.min.session.timeout.ms=100",
    "offsets.topic.num.partitions=8",
];

/// `ringlog serve` as a process.
struct Process {
    child: Child,
    addr: SocketAddr,
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    fn start(data: &Path) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--cores", "0,1", "--data"]).arg(data);
        SETTINGS.iter().for_each(|set| {
            command.args(["--set", set]);
        });
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("it says something");
        let addr = ready.trim().strip_prefix("ready BROKERS=").and_then(|addr| addr.parse().ok());
        Process { child, addr: addr.unwrap_or_else(|| panic!("it said {ready:?}")), _stdout: stdout }
    }

    fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("its end");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection whose broker may go away at any time.
struct Line {
    client: Client,
}

/// The broker is gone.
#[derive(Debug)]
struct Gone;

impl Line {
    fn send<'a, M: Message<'a>>(&mut self, version: i16, body: &M) -> Result<(), Gone> {
        let frame = self.client.frame(version, body);
        self.client.stream.write_all(&frame).map_err(|_| Gone)
    }

    /// The next answer's body.
    fn receive(&mut self, key: ApiKey, version: i16) -> Result<Vec<u8>, Gone> {
        let mut length = [0; 4];
        self.client.stream.read_exact(&mut length).map_err(|_| Gone)?;
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        self.client.stream.read_exact(&mut answer).map_err(|_| Gone)?;
        let mut r = Reader::new(&answer);
        ResponseHeader::decode(key, version, &mut r).expect("a header");
        Ok(answer[r.position()..].to_vec())
    }

    fn call<'a, M: Message<'a>>(&mut self, version: i16, body: &M) -> Result<Vec<u8>, Gone> {
        self.send(version, body)?;
        self.receive(M::KEY, version)
    }

    /// Joins and syncs, assigning as the leader does: member id, and the generation if that came to be.
    fn take_part(&mut self, group: &str, member: &str) -> Result<(String, Option<i32>), Gone> {
        let request = join_group::Request {
            group_id: group,
            session_timeout_ms: 2000,
            rebalance_timeout_ms: 1000,
            member_id: member,
            protocol_type: "consumer",
            protocols: vec![join_group::Protocol { name: "range", metadata: b"" }],
            ..Default::default()
        };
        let body = self.call(3, &request)?;
        let joined = join_group::Response::decode(3, &mut Reader::new(&body)).expect("an answer");
        let member = joined.member_id.clone().into_owned();
        if joined.error_code != ErrorCode::None {
            return Ok((String::new(), None));
        }
        let part = |m: &join_group::Member<'_>| (m.member_id.clone().into_owned(), b"part".to_vec());
        let parts: Vec<(String, Vec<u8>)> = joined.members.iter().map(part).collect();
        let request = sync_group::Request {
            group_id: group,
            generation_id: joined.generation_id,
            member_id: &member,
            assignments: parts
                .iter()
                .map(|(member_id, assignment)| sync_group::Assignment { member_id, assignment })
                .collect(),
            ..Default::default()
        };
        let body = self.call(3, &request)?;
        let synced = sync_group::Response::decode(3, &mut Reader::new(&body)).expect("an answer");
        let generation = (synced.error_code == ErrorCode::None).then_some(joined.generation_id);
        Ok((member, generation))
    }

    fn commit(&mut self, group: &str, member: &str, generation: i32, offset: i64) -> Result<ErrorCode, Gone> {
        let partition = offset_commit::Partition { committed_offset: offset, ..Default::default() };
        let topic = offset_commit::Topic { name: "t", partitions: vec![partition], ..Default::default() };
        let request = offset_commit::Request {
            group_id: group,
            generation_id_or_member_epoch: generation,
            member_id: member,
            topics: vec![topic],
            ..Default::default()
        };
        let body = self.call(7, &request)?;
        let answer = offset_commit::Response::decode(7, &mut Reader::new(&body)).expect("an answer");
        Ok(answer.topics[0].partitions[0].error_code)
    }

    fn leave(&mut self, group: &str, member: &str) -> Result<(), Gone> {
        let request = leave_group::Request { group_id: group, member_id: member, ..Default::default() };
        self.call(2, &request).map(|_| ())
    }
}

/// Looks for the coordinators of all groups, until each serves.
fn coordinators(addr: SocketAddr) {
    let mut client = Client::connect(addr);
    for number in 0..GROUPS {
        let group = format!("g{number}");
        client.call(3, &find_coordinator::Request { key: &group, ..Default::default() });
        while committed(&mut client, &group).is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What a group has committed, −1 for nothing; `None` while its coordinator loads.
fn committed(client: &mut Client, group: &str) -> Option<i64> {
    let topic = offset_fetch::Topic { name: "t", partition_indexes: vec![0] };
    let request = offset_fetch::Request { group_id: group, topics: Some(vec![topic]), ..Default::default() };
    let body = client.call(7, &request);
    let answer = offset_fetch::Response::decode(7, &mut Reader::new(&body)).expect("an answer");
    (answer.error_code == ErrorCode::None).then(|| answer.topics[0].partitions[0].committed_offset)
}

/// What one group did.
#[derive(Debug, Default)]
struct Done {
    /// The last offset that was acknowledged.
    acknowledged: i64,
    /// The last that was sent.
    sent: i64,
    rebalances: u64,
}

/// A member that stays, commits three times in each generation and joins again. Ends with the broker.
fn stay(addr: SocketAddr, group: &str, commits: &AtomicU64, done: &mut Done) -> Result<(), Gone> {
    let mut line = Line { client: Client::connect(addr) };
    let mut member = String::new();
    loop {
        let (id, generation) = line.take_part(group, &member)?;
        member = id;
        let Some(generation) = generation else { continue };
        done.rebalances += 1;
        for _ in 0..3 {
            done.sent += 1;
            if line.commit(group, &member, generation, done.sent)? == ErrorCode::None {
                done.acknowledged = done.sent;
                commits.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A member that comes and goes. Ends with the broker.
fn come_and_go(addr: SocketAddr, group: &str) -> Result<(), Gone> {
    let mut line = Line { client: Client::connect(addr) };
    loop {
        let (member, _) = line.take_part(group, "")?;
        line.leave(group, &member)?;
    }
}

#[test]
fn no_offset_is_lost_when_the_broker_is_killed_while_ten_groups_rebalance() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    let data = dir.path().join("data");
    let mut process = Process::start(&data);
    let addr = process.addr;
    Client::connect(addr).create_topic("t", 1, &[]);
    coordinators(addr);
    let mut floor = [0; GROUPS];
    let mut addr = addr;
    for round in 0..3 {
        let commits: [AtomicU64; GROUPS] = Default::default();
        let done: Vec<Done> = std::thread::scope(|scope| {
            let groups: Vec<_> = (0..GROUPS)
                .map(|number| {
                    let (commits, sent) = (&commits[number], floor[number]);
                    scope.spawn(move || come_and_go(addr, &format!("g{number}")));
                    scope.spawn(move || {
                        let mut done = Done { acknowledged: sent, sent, rebalances: 0 };
                        let ended = stay(addr, &format!("g{number}"), commits, &mut done);
                        assert!(ended.is_err(), "it ends with the broker");
                        done
                    })
                })
                .collect();
            while commits.iter().any(|c| c.load(Ordering::Relaxed) < COMMITS_BEFORE) {
                std::thread::sleep(Duration::from_millis(1));
                assert!(
                    !groups.iter().any(|g| g.is_finished()),
                    "round {round}: a group ended before the broker"
                );
            }
            process.kill();
            groups.into_iter().map(|g| g.join().expect("a group")).collect()
        });
        assert!(done.iter().all(|d| d.rebalances > 0), "{done:?}");
        process = Process::start(&data);
        addr = process.addr;
        coordinators(addr);
        let mut client = Client::connect(addr);
        for (number, done) in done.iter().enumerate() {
            let kept = committed(&mut client, &format!("g{number}")).expect("its coordinator serves");
            assert!((done.acknowledged..=done.sent).contains(&kept), "g{number} kept {kept} of {done:?}");
            floor[number] = done.sent;
        }
    }
}
