//! `ringlog serve` as a process, for tests of what happens to a process: it is killed, stopped, starved.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use wire::{ApiKey, Message, Reader, ResponseHeader};

use crate::harness::Client;

/// How long anything may take to come right.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A broker process. It is killed with its value.
pub(crate) struct Process {
    child: Child,
    pub(crate) addr: SocketAddr,
    admin: SocketAddr,
    log: tempfile::NamedTempFile,
    _stdout: BufReader<ChildStdout>,
}

/// A process that ended before it served.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) said: String,
}

/// The arguments of `ringlog` for a broker on these CPUs.
pub(crate) fn serve(data: &Path, cores: &str, set: &[&str]) -> Vec<String> {
    let mut args: Vec<String> =
        ["serve", "--listen", "127.0.0.1:0", "--cores", cores, "--data"].map(str::to_owned).to_vec();
    args.push(data.display().to_string());
    for set in set.iter().chain(&["admin.listen=127.0.0.1:0"]) {
        args.extend(["--set".to_owned(), (*set).to_owned()]);
    }
    args
}

impl Process {
    /// Starts one; it must come to serve.
    #[track_caller]
    pub(crate) fn start(data: &Path, cores: &str, set: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog"));
        command.args(serve(data, cores, set));
        match Process::run(&mut command) {
            Ok(process) => process,
            Err(ended) => panic!("it did not start: {} {}", ended.status, ended.said),
        }
    }

    /// Runs a command that ends in a broker.
    pub(crate) fn run(command: &mut Command) -> Result<Process, Ended> {
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let said = Stdio::from(log.reopen().expect("the same file"));
        let mut child = command.stdout(Stdio::piped()).stderr(said).spawn().expect("the command runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("text");
        let at = |name: &str| ready.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok());
        let (Some(addr), Some(admin)) = (at("BROKERS="), at("ADMIN=")) else {
            let status = child.wait().expect("its end");
            return Err(Ended { status, said: std::fs::read_to_string(log.path()).unwrap_or_default() });
        };
        Ok(Process { child, addr, admin, log, _stdout: stdout })
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to its log so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// A page of the admin endpoint.
    pub(crate) fn page(&self, path: &str) -> String {
        let mut http = TcpStream::connect(self.admin).expect("the admin endpoint");
        http.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        http.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).expect("sent");
        let mut page = String::new();
        http.read_to_string(&mut page).expect("the page");
        page
    }

    /// A metric, summed over the cores.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.page("/metrics");
        let lines = page.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<u64>().expect("a number"))
        });
        lines.sum()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process");
    }

    /// Its status once it has ended by itself; `None` after `limit`.
    pub(crate) fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("its end");
    }

    /// SIGTERM, and a clean end.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended_within(PATIENCE);
        assert!(status.is_some_and(|status| status.success()), "{status:?} {}", self.said());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(PATIENCE, what, holds);
}

/// As [`until`], for so long.
#[track_caller]
pub(crate) fn until_within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The broker is gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// A connection whose broker may go away at any time.
pub(crate) struct Line {
    pub(crate) client: Client,
}

impl Line {
    pub(crate) fn to(addr: SocketAddr) -> Result<Line, Gone> {
        TcpStream::connect(addr).map(|stream| Line { client: Client::over(stream) }).map_err(|_| Gone)
    }

    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<(), Gone> {
        self.client.stream.write_all(frame).map_err(|_| Gone)
    }

    /// The next answer's body.
    pub(crate) fn receive(&mut self, key: ApiKey, version: i16) -> Result<Vec<u8>, Gone> {
        let mut length = [0; 4];
        self.client.stream.read_exact(&mut length).map_err(|_| Gone)?;
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        self.client.stream.read_exact(&mut answer).map_err(|_| Gone)?;
        let mut r = Reader::new(&answer);
        ResponseHeader::decode(key, version, &mut r).expect("a header");
        Ok(answer[r.position()..].to_vec())
    }

    pub(crate) fn call<'a, M: Message<'a>>(&mut self, version: i16, body: &M) -> Result<Vec<u8>, Gone> {
        let frame = self.client.frame(version, body);
        self.send(&frame)?;
        self.receive(M::KEY, version)
    }
}
