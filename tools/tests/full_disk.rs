//! `ringlog serve` on a file system of its own that fills up: an ext4 on a loop device. Needs root; without it
//! these tests fail and say so, for a check that did not run has not passed.

#[path = "../../server/tests/harness/mod.rs"]
mod harness;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use harness::{Client, PATIENCE, Want, batch, values};
use rustix::process::{Pid, Signal, kill_process};
use wire::{ErrorCode, Message, Reader, delete_records, find_coordinator, offset_commit, offset_fetch};

const MIB: u64 = 1 << 20;

/// Bytes of the file system.
const DISK: u64 = 224 * MIB;
const FLOOR: u64 = 32 * MIB;
const BALLAST: u64 = 24 * MIB;

/// A small file system, mounted.
struct SmallDisk {
    at: PathBuf,
    _dir: tempfile::TempDir,
}

/// A command with root's rights, if this process may have them.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", program]);
    sudo
}

/// Runs a command that must work.
#[track_caller]
fn must(program: &str, args: &[&str]) {
    let done = as_root(program).args(args).output();
    let said = match &done {
        Ok(done) if done.status.success() => return,
        Ok(done) => String::from_utf8_lossy(&done.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!(
        "NOT CHECKED: a full disk needs root, e2fsprogs and a loop device; `{program} {args:?}` failed: {said}"
    );
}

impl SmallDisk {
    fn make() -> SmallDisk {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
        let (image, at) = (dir.path().join("image"), dir.path().join("mnt"));
        File::create(&image).and_then(|file| file.set_len(DISK)).expect("a file");
        fs::create_dir(&at).expect("a directory");
        let text = |path: &Path| path.to_str().expect("a plain path").to_owned();
        // No blocks are set aside for root: what is free is free for everybody.
        must("mkfs.ext4", &["-q", "-F", "-m", "0", "-b", "4096", &text(&image)]);
        must("mount", &["-o", "loop", &text(&image), &text(&at)]);
        must("chmod", &["777", &text(&at)]);
        SmallDisk { at, _dir: dir }
    }

    fn data(&self) -> PathBuf {
        self.at.join("data")
    }

    fn free(&self) -> u64 {
        let fs = rustix::fs::statvfs(&self.at).expect("mounted");
        fs.f_bavail * fs.f_frsize
    }

    /// Somebody else takes all that is left but `leave` bytes.
    fn fill(&self, leave: u64) -> PathBuf {
        let path = self.at.join("of-somebody-else");
        let file = File::create(&path).expect("a file");
        let mut bytes = 0;
        let mut step = 16 * MIB;
        while step >= 4096 {
            if self.free() >= leave + step && fallocate(&file, bytes + step) {
                bytes += step;
            } else {
                step /= 2;
            }
        }
        if leave == 0 {
            // The last blocks, byte by byte.
            let mut rest = File::create(self.at.join("of-somebody-else-too")).expect("a name");
            while rest.write_all(&[7; 4096]).and_then(|()| rest.sync_all()).is_ok() {}
        }
        path
    }
}

fn fallocate(file: &File, bytes: u64) -> bool {
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes).is_ok()
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = as_root("umount").arg("-l").arg(&self.at).status();
    }
}

/// `ringlog serve` as a process.
struct Process {
    child: Child,
    addr: SocketAddr,
    admin: SocketAddr,
    _stdout: BufReader<ChildStdout>,
}

impl Process {
    fn start(data: &Path) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--cores", "0,1", "--data"]).arg(data);
        for set in [
            "memory.pool_bytes=33554432",
            "journal.first_file_bytes=4194304",
            "journal.file_bytes=8388608",
            "journal.files=2",
            "offsets.topic.num.partitions=2",
            "admin.listen=127.0.0.1:0",
        ] {
            command.args(["--set", set]);
        }
        command.args(["--set", &format!("ringlog.disk.floor.bytes={FLOOR}")]);
        command.args(["--set", &format!("ringlog.disk.ballast.bytes={BALLAST}")]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("it says something");
        let words = ready.trim().strip_prefix("ready BROKERS=").and_then(|rest| rest.split_once(" ADMIN="));
        let (addr, admin) = words.unwrap_or_else(|| panic!("it said {ready:?}"));
        let [addr, admin] = [addr, admin].map(|at| at.parse().expect("an address"));
        Process { child, addr, admin, _stdout: stdout }
    }

    fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// The values of a family, one for each core.
    fn metric(&self, name: &str) -> Vec<u64> {
        let mut http = TcpStream::connect(self.admin).expect("the metrics page");
        http.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("sent");
        let mut page = String::new();
        http.read_to_string(&mut page).expect("the page");
        let values = page.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split_once('{')?.0 == name).then(|| value.parse::<u64>().expect("a number"))
        });
        values.collect()
    }

    /// `ringlog config`, which must work.
    fn config(&self, args: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog"));
        command.arg("config").args(args).args(["--brokers", &self.addr.to_string()]);
        let done = command.output().expect("the binary runs");
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn kill(mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("its end");
    }

    fn stop(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("a live process");
        self.child.wait().expect("its end")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

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
    let response = offset_commit::Response::decode(8, &mut Reader::new(&body)).expect("an answer");
    response.topics[0].partitions[0].error_code
}

/// What the group has committed; `None` while its coordinator loads.
fn committed(client: &mut Client) -> Option<i64> {
    client.call(3, &find_coordinator::Request { key: "g", ..Default::default() });
    let topic = offset_fetch::Topic { name: "t", partition_indexes: vec![0] };
    let request = offset_fetch::Request { group_id: "g", topics: Some(vec![topic]), ..Default::default() };
    let body = client.call(7, &request);
    let answer = offset_fetch::Response::decode(7, &mut Reader::new(&body)).expect("an answer");
    (answer.error_code == ErrorCode::None).then(|| answer.topics[0].partitions[0].committed_offset)
}

fn coordinator(client: &mut Client) {
    until("the coordinator", || committed(client).is_some());
}

/// Everything of a partition goes.
fn delete_records(client: &mut Client, partition: i32) -> ErrorCode {
    let partitions = vec![delete_records::Partition { partition_index: partition, offset: -1 }];
    let topics = vec![delete_records::Topic { name: "t", partitions }];
    let body = client.call(2, &delete_records::Request { topics, timeout_ms: 1000 });
    let response = delete_records::Response::decode(2, &mut Reader::new(&body)).expect("an answer");
    response.topics[0].partitions[0].error_code
}

/// The last record of a partition that ends at `end` is there.
#[track_caller]
fn ends_at(client: &mut Client, partition: i32, end: i64) {
    assert_eq!(client.list_offset("t", partition, -1).offset, end);
    let (error, _, records) = client.fetch("t", partition, end - 1, Want::default());
    assert_eq!(error, ErrorCode::None);
    assert_eq!(values(&records).last().map(|(offset, _)| *offset), Some(end - 1));
}

/// Produces to both partitions until both cores say that the disk is nearly full: how many records each took.
fn produce_to_the_floor(broker: &Process, client: &mut Client) -> [i64; 2] {
    let records = batch(&[&[7; 250_000]]);
    let mut counts = [0, 0];
    // However slow the disk is: it has an end.
    while broker.metric("ringlog_disk_level") != [1, 1] {
        for turn in 0..20 {
            let partition = turn % 2;
            let (error, _) = client.produce("t", partition, -1, &records);
            assert!(matches!(error, ErrorCode::None | ErrorCode::KafkaStorageError), "{error:?}");
            counts[partition as usize] += i64::from(error == ErrorCode::None);
        }
        assert!(counts[0] + counts[1] < 1000, "more than the disk has");
    }
    counts
}

#[test]
fn producers_are_refused_in_time_and_everything_else_goes_on() {
    let disk = SmallDisk::make();
    let broker = Process::start(&disk.data());
    let mut client = broker.client();
    client.create_topic("t", 2, &[("segment.bytes", "4194304")]);
    coordinator(&mut client);
    assert_eq!(commit(&mut client, 1), ErrorCode::None);
    until("the ballast", || broker.metric("ringlog_disk_ballast_bytes")[0] == BALLAST);
    let [count, other] = produce_to_the_floor(&broker, &mut client);
    assert!(count + other > 300, "{count} and {other} records of 250 kB are few for this disk");
    for partition in [0, 1] {
        assert_eq!(client.produce("t", partition, -1, &batch(&[b"x"])).0, ErrorCode::KafkaStorageError);
    }
    assert!(broker.metric("ringlog_produce_refused_no_space").iter().sum::<u64>() > 0);
    assert_eq!(
        broker.metric("ringlog_disk_full_errors"),
        [0, 0],
        "the file system itself never refused anything"
    );
    assert_eq!(broker.metric("ringlog_disk_floor_bytes"), [FLOOR, FLOOR]);
    assert!(disk.free() > FLOOR / 2, "{} bytes are left", disk.free());
    // The reserve.
    assert_eq!(commit(&mut client, count), ErrorCode::None);
    assert_eq!(committed(&mut client), Some(count));
    ends_at(&mut client, 0, count);
    // A lower floor holds at once, and the old one again without it.
    broker.config(&["set", "broker", "ringlog.disk.floor.bytes=1048576"]);
    until("service", || client.produce("t", 1, -1, &batch(&[b"x"])).0 == ErrorCode::None);
    broker.config(&["delete", "broker", "ringlog.disk.floor.bytes"]);
    let large = batch(&[&[7; 250_000]]);
    until("a refusal", || client.produce("t", 1, -1, &large).0 == ErrorCode::KafkaStorageError);
    // Space comes back by a deletion, and with it the producers.
    assert_eq!(delete_records(&mut client, 0), ErrorCode::None);
    until("service", || client.produce("t", 1, -1, &batch(&[b"x"])).0 == ErrorCode::None);
    assert_eq!(client.list_offset("t", 0, -2).offset, count);
    assert!(broker.stop().success());
}

#[test]
fn a_disk_that_others_fill_to_the_last_byte_stops_nothing_that_was_acknowledged() {
    let disk = SmallDisk::make();
    let broker = Process::start(&disk.data());
    let mut client = broker.client();
    client.create_topic("t", 2, &[("segment.bytes", "4194304")]);
    let mut acked = [0, 0];
    let records = batch(&[&[7; 65_000]]);
    for partition in [0, 1] {
        for _ in 0..300 {
            assert_eq!(client.produce("t", partition, -1, &records).0, ErrorCode::None);
            acked[partition as usize] += 1;
        }
    }
    coordinator(&mut client);
    assert_eq!(commit(&mut client, 5), ErrorCode::None);
    until("the ballast", || broker.metric("ringlog_disk_ballast_bytes")[0] == BALLAST);
    disk.fill(0);
    until("a refusal", || {
        let refused = client.produce("t", 0, -1, &records).0 != ErrorCode::None;
        acked[0] += i64::from(!refused);
        refused
    });
    until("the ballast given up", || broker.metric("ringlog_disk_ballast_bytes")[0] == 0);
    until("commits", || commit(&mut client, 6) == ErrorCode::None);
    ends_at(&mut client, 0, acked[0]);
    // It ends without a word, and others take what the ballast gave.
    broker.kill();
    fs::remove_file(disk.at.join("of-somebody-else-too")).expect("removed");
    disk.fill(8 * MIB);
    let broker = Process::start(&disk.data());
    let mut client = broker.client();
    for partition in [0, 1] {
        ends_at(&mut client, partition, acked[partition as usize]);
    }
    coordinator(&mut client);
    assert_eq!(committed(&mut client), Some(6));
    assert_eq!(client.produce("t", 0, -1, &records).0, ErrorCode::KafkaStorageError);
    // Trimming is possible, and is enough.
    assert_eq!(delete_records(&mut client, 0), ErrorCode::None);
    assert_eq!(client.delete_topic("t"), ErrorCode::None);
    fs::remove_file(disk.at.join("of-somebody-else")).expect("removed");
    client.create_topic("u", 1, &[]);
    until("service", || client.produce("u", 0, -1, &batch(&[b"x"])).0 == ErrorCode::None);
    until("the ballast again", || broker.metric("ringlog_disk_ballast_bytes")[0] == BALLAST);
    assert!(broker.stop().success());
}

#[test]
fn a_broker_starts_on_a_disk_without_a_free_byte() {
    let disk = SmallDisk::make();
    let broker = Process::start(&disk.data());
    let mut client = broker.client();
    client.create_topic("t", 2, &[("segment.bytes", "4194304")]);
    for _ in 0..100 {
        assert_eq!(client.produce("t", 0, -1, &batch(&[&[7; 65_000]])).0, ErrorCode::None);
    }
    until("the ballast", || disk.data().join("ballast").metadata().is_ok_and(|m| m.len() == BALLAST));
    broker.kill();
    disk.fill(0);
    assert!(disk.free() < 4096, "{} bytes are left", disk.free());
    let broker = Process::start(&disk.data());
    let mut client = broker.client();
    ends_at(&mut client, 0, 100);
    assert_eq!(client.produce("t", 0, -1, &batch(&[b"x"])).0, ErrorCode::KafkaStorageError);
    assert_eq!(delete_records(&mut client, 0), ErrorCode::None);
    fs::remove_file(disk.at.join("of-somebody-else")).expect("removed");
    until("service", || client.produce("t", 0, -1, &batch(&[b"x"])).0 == ErrorCode::None);
    assert!(broker.stop().success());
}
