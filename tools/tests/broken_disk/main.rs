//! A real broker on a disk that fails: nbdkit's error filter under a loop device with ext4, and files that
//! were damaged while the broker was down.
//!
//! The rig needs root, loop devices, and the Debian packages nbdkit, libnbd-bin and fuse3. Where it cannot be
//! built the tests that need it say why and end; `FAULT_RIG=required` makes that a failure.

#[path = "../../../server/tests/harness/mod.rs"]
mod harness;
mod rig;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Client, Want, batch, fetched, produced, values};
use rig::Rig;
use wire::{ApiKey, ErrorCode, Message, find_coordinator, offset_commit, offset_fetch};

/// How long anything may take to come right.
const PATIENCE: Duration = Duration::from_secs(60);

/// `ringlog serve` as a process.
struct Broker {
    child: Child,
    addr: SocketAddr,
    admin: SocketAddr,
    _stdout: BufReader<ChildStdout>,
}

impl Broker {
    fn start(data: &Path, set: &[&str]) -> Broker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--cores", "0", "--data"]).arg(data);
        let own = [
            "memory.pool_bytes=33554432",
            "journal.file_bytes=8388608",
            "journal.first_file_bytes=4194304",
            "admin.listen=127.0.0.1:0",
        ];
        own.iter().chain(set).for_each(|set| {
            command.args(["--set", set]);
        });
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let said = Stdio::from(log.reopen().expect("the same file"));
        let mut child = command.stdout(Stdio::piped()).stderr(said).spawn().expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("it says something");
        let at = |name: &str| ready.split_whitespace().find_map(|w| w.strip_prefix(name)?.parse().ok());
        let (addr, admin) = (at("BROKERS="), at("ADMIN="));
        let (Some(addr), Some(admin)) = (addr, admin) else {
            let _ = child.wait();
            panic!("it said {ready:?} {}", std::fs::read_to_string(log.path()).unwrap_or_default())
        };
        Broker { child, addr, admin, _stdout: stdout }
    }

    fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("the admin endpoint");
        stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.split_once("\r\n\r\n").expect("HTTP").1.to_owned()
    }

    /// A metric of core 0.
    fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics");
        let line = page.lines().find_map(|l| l.strip_prefix(&format!("ringlog_{name}{{core=\"0\"}} ")));
        line.unwrap_or_else(|| panic!("no {name}")).parse().expect("a number")
    }

    fn kill(mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("its end");
    }

    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
        assert!(self.child.wait().expect("its end").success(), "a clean stop");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One batch, as an answer or as a connection that the broker closed because it could not say.
fn try_produce(broker: &Broker, topic: &str, value: &str) -> Result<i64, ErrorCode> {
    let mut client = broker.client();
    client.send_produce(9, topic, 0, -1, &batch(&[value.as_bytes()]));
    let mut length = [0; 4];
    if client.stream.read_exact(&mut length).is_err() {
        return Err(ErrorCode::KafkaStorageError);
    }
    let mut frame = vec![0; i32::from_be_bytes(length) as usize];
    client.stream.read_exact(&mut frame).expect("a whole answer");
    let mut r = wire::Reader::new(&frame);
    wire::ResponseHeader::decode(ApiKey::Produce, 9, &mut r).expect("a header");
    match produced(9, &frame[r.position()..]) {
        (ErrorCode::None, offset) => Ok(offset),
        (error, _) => Err(error),
    }
}

/// Reads a topic's only partition from an offset to its end.
fn try_read_all(client: &mut Client, topic: &str, mut from: i64) -> Result<Vec<(i64, Vec<u8>)>, ErrorCode> {
    let mut all = Vec::new();
    loop {
        let (error, high_watermark, records) = client.fetch(topic, 0, from, Want::default());
        if error != ErrorCode::None {
            return Err(error);
        }
        all.extend(values(&records));
        from = all.last().map_or(from, |(offset, _)| offset + 1);
        if from >= high_watermark {
            return Ok(all);
        }
        assert!(!records.is_empty(), "nothing at {from}");
    }
}

fn read_all(client: &mut Client, topic: &str, from: i64) -> Vec<(i64, Vec<u8>)> {
    try_read_all(client, topic, from).expect("readable")
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_disk_that_takes_no_writes_costs_no_acknowledged_record_and_service_returns() {
    let Some(rig) = Rig::build() else { return };
    let broker = Broker::start(&rig.data(), &[]);
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &[]), ErrorCode::None);
    let mut acknowledged = Vec::new();
    for i in 0..50 {
        let value = format!("before {i}");
        acknowledged.push((try_produce(&broker, "t", &value).expect("a sound disk"), value));
    }

    rig.fail_writes(true);
    let mut refused = 0;
    for i in 0..5 {
        let value = format!("during {i}");
        match try_produce(&broker, "t", &value) {
            Ok(offset) => acknowledged.push((offset, value)),
            Err(error) => {
                assert_eq!(error, ErrorCode::KafkaStorageError);
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the fault showed nowhere");
    until("it says so", || broker.metric("offline") == 1);
    let served = read_all(&mut broker.client(), "t", 0);
    for (offset, value) in &acknowledged {
        assert_eq!(served[*offset as usize].1, value.as_bytes(), "reads go on");
    }

    rig.fail_writes(false);
    until("it is online again", || broker.metric("offline") == 0);
    for i in 0..50 {
        let value = format!("after {i}");
        acknowledged.push((try_produce(&broker, "t", &value).expect("online again"), value));
    }
    assert!(broker.metric("journals_failed") > 0);

    let stored = read_all(&mut broker.client(), "t", 0);
    for (offset, value) in &acknowledged {
        assert_eq!(stored[*offset as usize], (*offset, value.clone().into_bytes()));
    }
    assert_eq!((broker.get("/damage"), broker.metric("partitions_fenced")), (String::new(), 0));
    // What is on the disk now is the simulator's business: this file system lost names with its writes.
    broker.kill();
}

/// Commits an offset of a group without members: the error code.
fn commit(client: &mut Client, offset: i64) -> ErrorCode {
    let partition = offset_commit::Partition { committed_offset: offset, ..Default::default() };
    let topic = offset_commit::Topic { name: "t", partitions: vec![partition], ..Default::default() };
    let request = offset_commit::Request {
        group_id: "g",
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    let body = client.call(8, &request);
    let answer = offset_commit::Response::decode(8, &mut wire::Reader::new(&body)).expect("an answer");
    answer.topics[0].partitions[0].error_code
}

/// What the group has committed; `None` while its coordinator cannot say.
fn committed(client: &mut Client) -> Option<i64> {
    let topic = offset_fetch::Topic { name: "t", partition_indexes: vec![0] };
    let request = offset_fetch::Request { group_id: "g", topics: Some(vec![topic]), ..Default::default() };
    let body = client.call(7, &request);
    let answer = offset_fetch::Response::decode(7, &mut wire::Reader::new(&body)).expect("an answer");
    (answer.error_code == ErrorCode::None).then(|| answer.topics[0].partitions[0].committed_offset)
}

#[test]
fn a_coordinator_whose_disk_fails_goes_by_the_log_when_it_is_back() {
    let Some(rig) = Rig::build() else { return };
    let broker = Broker::start(&rig.data(), &["offsets.topic.num.partitions=1"]);
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &[]), ErrorCode::None);
    let find = find_coordinator::Request { coordinator_keys: vec!["g"], ..Default::default() };
    until("there is a coordinator", || {
        client.call(4, &find);
        commit(&mut client, 1) == ErrorCode::None
    });

    rig.fail_writes(true);
    assert_eq!(commit(&mut client, 2), ErrorCode::NotCoordinator, "it cannot be said whether that counts");
    until("it says so", || broker.metric("offline") == 1);
    assert_eq!(committed(&mut client), None, "nor what is committed");
    assert_eq!(commit(&mut client, 3), ErrorCode::NotCoordinator);

    rig.fail_writes(false);
    until("it is online again", || broker.metric("offline") == 0);
    until("the log is read again", || committed(&mut client).is_some());
    assert_eq!(committed(&mut client), Some(2), "it came into the log after all; what was refused did not");
    assert_eq!(commit(&mut client, 4), ErrorCode::None);
    assert_eq!(committed(&mut client), Some(4));
    broker.kill();
}

#[test]
fn a_disk_that_cannot_read_says_so_and_is_read_again_later() {
    let Some(rig) = Rig::build() else { return };
    let broker = Broker::start(&rig.data(), &[]);
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &[]), ErrorCode::None);
    let large = vec![7; 100_000];
    for _ in 0..40 {
        assert_eq!(client.produce("t", 0, -1, &batch(&[&large])).0, ErrorCode::None);
    }
    broker.stop();
    let broker = Broker::start(&rig.data(), &["log.scrub.io.max.bytes.per.second=0"]);
    rig.fail_reads(true);
    assert_eq!(broker.client().fetch("t", 0, 10, Want::default()).0, ErrorCode::KafkaStorageError);
    until("it is listed", || broker.get("/damage").contains("\"cause\":\"unreadable\""));
    // Appends do not need to read.
    assert_eq!(broker.client().produce("t", 0, -1, &batch(&[b"still"])).0, ErrorCode::None);
    rig.fail_reads(false);
    until("it is read again", || try_read_all(&mut broker.client(), "t", 0).is_ok_and(|all| all.len() == 41));
    until("the list is empty", || broker.get("/damage").is_empty());
    broker.stop();
}

/// The only segment below a data directory.
fn segment(data: &Path) -> PathBuf {
    let mut dirs = vec![data.join("topics")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry").path()) {
            if entry.is_dir() {
                dirs.push(entry);
            } else if entry.extension().is_some_and(|e| e == "log") {
                return entry;
            }
        }
    }
    panic!("no segment in {}", data.display());
}

#[test]
fn a_flipped_bit_costs_one_batch_and_everybody_says_which() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    let data = dir.path().join("data");
    let broker = Broker::start(&data, &[]);
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &[]), ErrorCode::None);
    for i in 0..20_u8 {
        assert_eq!(client.produce("t", 0, -1, &batch(&[&vec![i; 10_000]])).0, ErrorCode::None);
    }
    broker.stop();
    let path = segment(&data);
    let mut bytes = std::fs::read(&path).expect("the segment");
    let each = bytes.len() / 20;
    bytes[7 * each + 500] ^= 0x20;
    std::fs::write(&path, bytes).expect("damaged");

    let broker = Broker::start(&data, &[]);
    let mut client = broker.client();
    let (error, _, records) = client.fetch("t", 0, 0, Want::default());
    assert_eq!((error, values(&records).len()), (ErrorCode::None, 7), "what lies before it");
    let (error, _, records) = client.fetch("t", 0, 7, Want::default());
    assert_eq!((error, records.len()), (ErrorCode::CorruptMessage, 0));
    assert_eq!(read_all(&mut client, "t", 8).len(), 12, "what lies behind it");
    assert_eq!(client.produce("t", 0, -1, &batch(&[b"on"])), (ErrorCode::None, 20));
    until("the endpoint says it", || broker.get("/damage").contains("\"nextReadable\":8"));
    let ringlog = |args: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_ringlog")).args(args).output().expect("the binary runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = ringlog(&["log", "damage", "--admin", &broker.admin.to_string()]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("topic: t partition: 0 cause: checksum firstOffset: 7 nextReadable: 8"), "{said}");
    broker.stop();
    let (code, said) = ringlog(&["log", "damage", &data.display().to_string()]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("firstOffset: 7 nextReadable: 8"), "{said}");
    assert_eq!(ringlog(&["log", "verify", &data.display().to_string()]).0, Some(5));
}

#[test]
fn the_scrub_finds_what_nobody_reads() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    let data = dir.path().join("data");
    let broker = Broker::start(&data, &[]);
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &[]), ErrorCode::None);
    for i in 0..200_u8 {
        assert_eq!(client.produce("t", 0, -1, &batch(&[&vec![i; 10_000]])).0, ErrorCode::None);
    }
    broker.stop();
    let path = segment(&data);
    let mut bytes = std::fs::read(&path).expect("the segment");
    let at = bytes.len() / 2;
    bytes[at..at + 4096].fill(0);
    std::fs::write(&path, bytes).expect("damaged");
    // A pass began with the broker before and is over; the next one is due.
    let broker = Broker::start(&data, &["log.scrub.interval.ms=1"]);
    until("it is found", || broker.metric("damaged_ranges") == 1);
    until("a pass is over", || broker.metric("scrub_ended_ms") > 0 && broker.metric("scrub_pass") > 2);
    let body = broker.client().fetch("t", 0, 0, Want::default());
    assert_eq!(body.0, ErrorCode::None);
    let mut client = broker.client();
    client.send_fetch("t", 0, 150, Want::default());
    let answer = client.receive(ApiKey::Fetch, 12, client.correlation());
    assert_eq!(fetched(&answer).0, ErrorCode::None, "what lies behind it");
    broker.stop();
}

#[test]
fn a_broker_that_is_read_only_serves_and_takes_nothing() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    let data = dir.path().join("data");
    let broker = Broker::start(&data, &[]);
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &[]), ErrorCode::None);
    for i in 0..20 {
        assert_eq!(client.produce("t", 0, -1, &batch(&[&[i]])).0, ErrorCode::None);
    }
    broker.kill();
    let broker = Broker::start(&data, &["server.read_only=true"]);
    assert_eq!(read_all(&mut broker.client(), "t", 0).len(), 20);
    assert_eq!(try_produce(&broker, "t", "no"), Err(ErrorCode::KafkaStorageError));
    let mut client = broker.client();
    assert_eq!(client.create_topic("u", 1, &[]), ErrorCode::KafkaStorageError);
    assert_eq!(client.delete_topic("t"), ErrorCode::KafkaStorageError);
    broker.stop();
    let broker = Broker::start(&data, &[]);
    assert_eq!(broker.client().produce("t", 0, -1, &batch(&[b"again"])), (ErrorCode::None, 20));
    broker.stop();
}

/// What a start says that does not happen.
fn refused(data: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(["serve", "--listen", "127.0.0.1:0", "--cores", "0", "--data"])
        .arg(data)
        .args(["--set", "memory.pool_bytes=33554432"])
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    said
}

#[test]
fn a_directory_that_cannot_be_started_on_is_one_sentence_with_the_fix() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    let data = dir.path().join("data");
    let broker = Broker::start(&data, &[]);
    assert_eq!(broker.client().create_topic("t", 1, &[]), ErrorCode::None);
    assert_eq!(broker.client().produce("t", 0, -1, &batch(&[b"one"])).0, ErrorCode::None);
    broker.stop();
    let checkpoints = ["cores/0/checkpoint-0", "cores/0/checkpoint-1"].map(|name| data.join(name));
    let sound = checkpoints.clone().map(|path| std::fs::read(path).expect("a checkpoint"));
    let change = |at: usize, to: u8| {
        for (path, bytes) in checkpoints.iter().zip(&sound) {
            let mut bytes = bytes.clone();
            bytes[at] = to;
            std::fs::write(path, bytes).expect("changed");
        }
    };
    change(20, 0xEE);
    assert!(refused(&data).contains("neither checkpoint of core 0 verifies"));
    change(7, b'9');
    assert!(refused(&data).contains("is of a later format"));
    change(0, b'R');
    std::fs::rename(data.join("node.json"), data.join("moved")).expect("renamed");
    assert!(refused(&data).contains("no node.json"));
    std::fs::rename(data.join("moved"), data.join("node.json")).expect("renamed");
    let broker = Broker::start(&data, &[]);
    assert_eq!(read_all(&mut broker.client(), "t", 0).len(), 1, "nothing was changed by what was refused");
    broker.stop();
}
