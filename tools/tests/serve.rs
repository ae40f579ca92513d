//! `ringlog serve` as a process: what keeps it from starting, and how signals end it.

#[path = "../../server/tests/harness/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{Client, Want, batch, produced, values};
use rustix::process::{Pid, Signal, kill_process};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use wire::{ApiKey, ErrorCode};

const EPERM: u32 = 1;
const EINVAL: u32 = 22;
const ENOSYS: u32 = 38;
const O_DIRECT: u64 = 0o40_000;
const OPENAT: i64 = 257;
const IO_URING_SETUP: i64 = 425;

/// `serve` on a free port, for `data`.
fn serve(data: &Path, set: &[&str]) -> Vec<String> {
    let mut args: Vec<String> =
        ["serve", "--listen", "127.0.0.1:0", "--cores", "0", "--data"].map(str::to_string).to_vec();
    args.push(data.display().to_string());
    for set in ["memory.pool_bytes=33554432", "journal.first_file_bytes=4194304"].iter().chain(set) {
        args.extend(["--set".to_string(), (*set).to_string()]);
    }
    args
}

/// A directory on a disk, without a data directory yet.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk")
}

/// It ended with code 3, and said one sentence with the fix.
#[track_caller]
fn is_refused(output: &Output, fix: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(output.stdout, b"", "it was never ready");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(fix), "{said:?} does not say {fix:?}");
}

/// Runs `serve` where one system call fails with `errno`: every call of that number, or those with all
/// bits of `flags` in their third argument.
fn serve_where(call: i64, flags: Option<u64>, errno: u32) -> Output {
    let dir = directory();
    let rules: Vec<SeccompRule> = flags
        .map(|bits| {
            let all = SeccompCmpOp::MaskedEq(bits);
            let third = SeccompCondition::new(2, SeccompCmpArgLen::Dword, all, bits).expect("a condition");
            SeccompRule::new(vec![third]).expect("a rule")
        })
        .into_iter()
        .collect();
    let arch = TargetArch::try_from(std::env::consts::ARCH).expect("a known processor");
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, rules)]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        arch,
    );
    let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    let args = serve(&dir.path().join("data"), &[]);
    // A filter holds for the thread that takes it and for what that thread starts.
    let started = std::thread::spawn(move || {
        seccompiler::apply_filter(&program).expect("seccomp");
        Command::new(env!("CARGO_BIN_EXE_ringlog")).args(args).output().expect("the binary runs")
    });
    started.join().expect("the thread ends")
}

#[test]
fn too_little_lockable_memory_is_one_sentence_with_the_fix() {
    let dir = directory();
    let output = Command::new("sh")
        .args(["-c", "ulimit -l 64 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_ringlog")])
        .args(serve(&dir.path().join("data"), &[]))
        .output()
        .expect("a shell");
    is_refused(&output, "raise it with `ulimit -l 512`");
}

#[test]
fn forbidden_io_uring_is_one_sentence_with_the_fix() {
    is_refused(&serve_where(IO_URING_SETUP, None, EPERM), "seccomp profile that allows io_uring_setup");
}

#[test]
fn a_kernel_without_io_uring_is_one_sentence_with_the_fix() {
    is_refused(&serve_where(IO_URING_SETUP, None, ENOSYS), "Linux 5.8 or later is needed");
}

#[test]
fn a_file_system_without_direct_io_is_one_sentence_with_the_fix() {
    // As a file system without it answers; none that everybody may mount is at hand.
    is_refused(&serve_where(OPENAT, Some(O_DIRECT), EINVAL), "choose a directory on ext4 or XFS");
}

/// A broker process that is killed with its value.
struct Broker {
    child: Child,
    addr: SocketAddr,
    _stdout: BufReader<ChildStdout>,
}

impl Broker {
    fn start(data: &Path, set: &[&str]) -> Broker {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringlog"))
            .args(serve(data, set))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("it says something");
        let addr = ready.trim().strip_prefix("ready BROKERS=").and_then(|addr| addr.parse().ok());
        Broker { child, addr: addr.unwrap_or_else(|| panic!("it said {ready:?}")), _stdout: stdout }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process number"));
        kill_process(pid.expect("not zero"), signal).expect("it runs");
    }

    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + harness::PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it did not end within {:?}", harness::PATIENCE);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Offset and value of each record that was acknowledged.
type Acked = Vec<(i64, Vec<u8>)>;

/// Produces record after record to a partition until the broker goes away; what was
/// acknowledged.
fn produce_until_it_goes(addr: SocketAddr, partition: i32, acknowledged: &AtomicUsize) -> Acked {
    let mut client = Client::connect(addr);
    let mut acked = Vec::new();
    for number in 0_u64.. {
        let value = format!("{partition}/{number}").into_bytes();
        let frame = client.produce_frame(9, "t", partition, -1, &batch(&[&value]));
        let mut length = [0; 4];
        let answered =
            client.stream.write_all(&frame).and_then(|()| client.stream.read_exact(&mut length)).and_then(
                |()| {
                    let mut answer = vec![0; i32::from_be_bytes(length) as usize];
                    client.stream.read_exact(&mut answer).map(|()| answer)
                },
            );
        let Ok(answer) = answered else { break };
        let mut r = wire::Reader::new(&answer);
        wire::ResponseHeader::decode(ApiKey::Produce, 9, &mut r).expect("a header");
        let (code, offset) = produced(9, &answer[r.position()..]);
        assert_eq!(code, ErrorCode::None, "a broker that stops answers what it took, or nothing");
        acked.push((offset, value));
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    acked
}

/// Every acknowledged record is at its offset.
#[track_caller]
fn all_are_there(addr: SocketAddr, partition: i32, acked: &[(i64, Vec<u8>)]) {
    let mut client = Client::connect(addr);
    let mut found = BTreeMap::new();
    loop {
        let from = found.last_key_value().map_or(0, |(offset, _)| offset + 1);
        let (code, _, records) = client.fetch("t", partition, from, Want::default());
        assert_eq!(code, ErrorCode::None);
        let batches = values(&records);
        if batches.is_empty() {
            break;
        }
        found.extend(batches);
    }
    for (offset, value) in acked {
        assert_eq!(found.get(offset), Some(value), "offset {offset} of partition {partition}");
    }
}

/// Signals a broker while producers run; its status, and what each producer had acknowledged.
fn stop_under_load(broker: &mut Broker, signals: impl FnOnce(&Broker)) -> (ExitStatus, Vec<Acked>) {
    const PRODUCERS: i32 = 3;
    const ACKS_BEFORE: usize = 60;
    let addr = broker.addr;
    Client::connect(addr).create_topic("t", PRODUCERS, &[]);
    let acknowledged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|partition| {
                scope.spawn({
                    let acknowledged = &acknowledged;
                    move || produce_until_it_goes(addr, partition, acknowledged)
                })
            })
            .collect();
        while acknowledged.load(Ordering::Relaxed) < ACKS_BEFORE {
            std::thread::sleep(Duration::from_millis(1));
        }
        signals(broker);
        let status = broker.ended();
        (status, producers.into_iter().map(|p| p.join().expect("a producer")).collect())
    })
}

#[test]
fn sigterm_while_producers_run_drains_and_keeps_what_was_acknowledged() {
    let dir = directory();
    let data = dir.path().join("data");
    let mut broker = Broker::start(&data, &[]);
    let (status, acked) = stop_under_load(&mut broker, |broker| broker.signal(Signal::TERM));
    assert_eq!(status.code(), Some(0));
    let again = Broker::start(&data, &[]);
    for (partition, acked) in (0..).zip(&acked) {
        all_are_there(again.addr, partition, acked);
    }
}

#[test]
fn a_second_sigterm_ends_a_drain_at_once_and_loses_nothing_acknowledged() {
    const BIG: usize = 512 * 1024;
    const FETCHES: usize = 60;
    let dir = directory();
    let data = dir.path().join("data");
    // Longer than this test waits for anything.
    let mut broker = Broker::start(&data, &["server.stop_ms=600000", "net.send_stall_ms=600000"]);
    let mut stuck = Client::connect(broker.addr);
    stuck.create_topic("big", 1, &[]);
    for _ in 0..2 {
        assert_eq!(stuck.produce("big", 0, -1, &batch(&[&vec![7; BIG]])).0, ErrorCode::None);
    }
    // Answers of a megabyte each that nobody reads: more than the sockets take.
    for _ in 0..FETCHES {
        stuck.send_fetch("big", 0, 0, Want::default());
    }
    let addr = broker.addr;
    let (status, acked) = stop_under_load(&mut broker, |broker| {
        broker.signal(Signal::TERM);
        // It has begun to drain once it accepts nobody, and the reader keeps it from ending.
        while std::net::TcpStream::connect(addr).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        broker.signal(Signal::TERM);
    });
    assert_eq!(status.code(), Some(130));
    let again = Broker::start(&data, &[]);
    for (partition, acked) in (0..).zip(&acked) {
        all_are_there(again.addr, partition, acked);
    }
}
