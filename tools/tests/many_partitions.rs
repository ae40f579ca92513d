//! Many partitions on a broker that may have few files open.

#[path = "../../server/tests/harness/mod.rs"]
mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Client, PATIENCE, Want, batch, values};
use wire::ErrorCode;

/// A record of this size fills a block, and one of the other does not.
const LARGE: usize = 5000;
const SMALL: usize = 100;

/// `ringlog serve` as a process.
struct Process {
    child: Child,
    addr: SocketAddr,
    admin: SocketAddr,
    _stdout: BufReader<ChildStdout>,
}

/// `serve` on one core, which may have so many files open.
fn serve(data: &Path, limit: u32) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]);
    command.arg(env!("CARGO_BIN_EXE_ringlog"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--cores", "0", "--data"]).arg(data);
    for set in [
        "memory.pool_bytes=33554432",
        "journal.first_file_bytes=4194304",
        "journal.file_bytes=4194304",
        "journal.files=2",
        "ringlog.disk.ballast.bytes=1048576",
        "admin.listen=127.0.0.1:0",
    ] {
        command.args(["--set", set]);
    }
    command
}

impl Process {
    fn start(data: &Path, limit: u32) -> Process {
        let mut command = serve(data, limit);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("it says something");
        let words = ready.trim().strip_prefix("ready BROKERS=").and_then(|rest| rest.split_once(" ADMIN="));
        let (addr, admin) = words.unwrap_or_else(|| panic!("it said {ready:?}"));
        let [addr, admin] = [addr, admin].map(|at| at.parse().expect("an address"));
        Process { child, addr, admin, _stdout: stdout }
    }

    fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("its end");
    }

    fn metric(&self, name: &str) -> u64 {
        let mut http = TcpStream::connect(self.admin).expect("the admin endpoint");
        http.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("sent");
        let mut page = String::new();
        http.read_to_string(&mut page).expect("a page");
        let line = page.lines().find(|line| line.starts_with(&format!("{name}{{")));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {name} in {page}")) as u64
    }

    /// Waits until the page, which is a little behind, knows of so many records.
    fn until_appended(&self, records: u64) {
        let give_up = Instant::now() + PATIENCE;
        while self.metric("ringlog_records_appended") < records {
            assert!(Instant::now() < give_up, "the page stands still");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Bytes of files that its threads asked to be read so far.
    fn bytes_read(&self) -> u64 {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.child.id())).expect("of a child");
        let line = io.lines().find_map(|line| line.strip_prefix("read_bytes: "));
        line.and_then(|bytes| bytes.parse().ok()).expect("a number")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk")
}

/// What is written to a partition in a round.
fn value(index: i32, round: i32, bytes: usize) -> Vec<u8> {
    let mut value = format!("{index}:{round}:").into_bytes();
    value.resize(bytes, b'.');
    value
}

fn write_each(client: &mut Client, topic: &str, partitions: i32, round: i32, bytes: usize) {
    for index in 0..partitions {
        let answer = client.produce(topic, index, -1, &batch(&[&value(index, round, bytes)]));
        assert_eq!(answer, (ErrorCode::None, i64::from(round)), "partition {index}");
    }
}

#[test]
fn three_hundred_partitions_are_written_and_read_with_128_descriptors() {
    const PARTITIONS: i32 = 300;
    const ROUNDS: i32 = 3;
    let dir = directory();
    let data = dir.path().join("data");
    let mut broker = Process::start(&data, 128);
    let mut client = Client::connect(broker.addr);
    assert_eq!(client.create_topic("many", PARTITIONS, &[]), ErrorCode::None);
    for round in 0..ROUNDS {
        write_each(&mut client, "many", PARTITIONS, round, LARGE);
    }
    broker.until_appended((PARTITIONS * ROUNDS) as u64);
    assert_eq!(broker.metric("ringlog_segment_errors"), 0);
    let read_back = |client: &mut Client| {
        for index in 0..PARTITIONS {
            for round in 0..ROUNDS {
                // No more than one batch at a time: each comes from where it lies.
                let want = Want { partition_max_bytes: 1, ..Want::default() };
                let (error, end, records) = client.fetch("many", index, i64::from(round), want);
                assert_eq!((error, end), (ErrorCode::None, i64::from(ROUNDS)), "partition {index}");
                assert!(
                    values(&records)[0].1 == value(index, round, LARGE),
                    "partition {index}, round {round}"
                );
            }
        }
    };
    read_back(&mut client);
    drop(client);
    broker.kill();
    let mut broker = Process::start(&data, 128);
    let mut client = Client::connect(broker.addr);
    read_back(&mut client);
    assert!(broker.metric("ringlog_files_open") <= 32, "half of what is not set aside");
    assert_eq!(broker.metric("ringlog_segment_errors"), 0);
    broker.kill();
}

#[test]
fn a_start_on_a_thousand_written_partitions_opens_none_of_their_files() {
    const PARTITIONS: i32 = 1000;
    let dir = directory();
    let data = dir.path().join("data");
    let mut broker = Process::start(&data, 1024);
    let mut client = Client::connect(broker.addr);
    assert_eq!(client.create_topic("many", PARTITIONS, &[]), ErrorCode::None);
    write_each(&mut client, "many", PARTITIONS, 0, SMALL);
    broker.until_appended(PARTITIONS as u64);
    assert_eq!(broker.metric("ringlog_files_opened"), 0, "no block is full");
    assert!(!data.join("topics").exists(), "and no directory is made for less");
    drop(client);
    broker.kill();
    let broker = Process::start(&data, 1024);
    assert_eq!(broker.metric("ringlog_files_opened"), 0);
    assert_eq!(broker.metric("ringlog_partitions"), PARTITIONS as u64);
    // Journal and checkpoint, and the binary itself if the machine had forgotten it.
    let read = broker.bytes_read();
    assert!(read < 64 << 20, "{read} bytes were read");
    let mut client = Client::connect(broker.addr);
    let (error, end, records) = client.fetch("many", PARTITIONS - 1, 0, Want::default());
    assert_eq!((error, end), (ErrorCode::None, 1));
    assert_eq!(values(&records), [(0, value(PARTITIONS - 1, 0, SMALL))]);
}

#[test]
fn connections_take_no_descriptors_from_segments() {
    let dir = directory();
    let broker = Process::start(&dir.path().join("data"), 128);
    let mut client = Client::connect(broker.addr);
    assert_eq!(client.create_topic("many", 100, &[]), ErrorCode::None);
    // More than there are descriptors for: those above are closed as they come.
    let crowd: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(broker.addr).ok()).collect();
    write_each(&mut client, "many", 100, 0, LARGE);
    write_each(&mut client, "many", 100, 1, LARGE);
    broker.until_appended(200);
    assert_eq!(broker.metric("ringlog_segment_errors"), 0);
    assert!(broker.metric("ringlog_accepts_refused_total") > 0);
    drop(crowd);
}

#[test]
fn a_limit_that_is_too_low_is_one_sentence_with_the_fix() {
    let dir = directory();
    let output = serve(&dir.path().join("data"), 64).output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("may have 64 files open and needs 96") && said.contains("ulimit -n"), "{said}");
}
