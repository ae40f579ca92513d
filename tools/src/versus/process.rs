//! A broker as a process: fetched, started on its CPUs, recognised as ready, stopped and continued, gone at the end.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use wire::metadata;

use super::peer::{Peer, Words};
use crate::cli::exit::Precondition;
use crate::load::client::Client;

/// How often a starting broker is asked whether it is there.
const READY_POLL: Duration = Duration::from_millis(5);

/// How long one that was stopped may take to answer again.
const AWAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a broker that ends is looked at.
const END_POLL: Duration = Duration::from_millis(20);

/// Where brokers run and what they leave.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Fetched packages, kept.
    pub(super) homes: PathBuf,
    /// Data of running brokers, gone with them.
    pub(super) data: PathBuf,
    /// Their logs.
    pub(super) logs: PathBuf,
    /// CPUs, as in `0,2-3`.
    pub(super) cores: String,
}

/// Fetches a peer's packages unless they are there; returns where they are.
pub(super) fn fetch(peer: &Peer, place: &Place) -> anyhow::Result<PathBuf> {
    for program in &peer.needs {
        if !on_path(program) {
            bail!(Precondition::new(format!("{} needs `{program}` on the path; install it", peer.title)));
        }
    }
    let home = std::path::absolute(place.homes.join(format!("{}-{}", peer.name, peer.version)))?;
    let Some(fetch) = &peer.fetch else { return Ok(home) };
    if home.join(&fetch.proof).exists() {
        return Ok(home);
    }
    eprintln!("fetch   {} {} into {}", peer.title, peer.version, home.display());
    std::fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
    let mut words = Words::default();
    words.set("here", peer.here.to_string_lossy());
    words.set("home", home.to_string_lossy());
    for step in &fetch.steps {
        step_by(step, &words, &home).with_context(|| format!("fetch {} {}", peer.title, peer.version))?;
    }
    anyhow::ensure!(home.join(&fetch.proof).exists(), "{} was fetched without {}", peer.title, fetch.proof);
    Ok(home)
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Runs one command to its end; an error has the end of what it said.
fn step_by(step: &[String], words: &Words, dir: &Path) -> anyhow::Result<()> {
    let [program, arguments @ ..] = step else { bail!("an empty step") };
    let output = Command::new(words.fill(program))
        .args(arguments.iter().map(|argument| words.fill(argument)))
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let last: Vec<&str> = said.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
        bail!("`{program}` ended with {}: {}", output.status, last.join(" | "));
    }
    Ok(())
}

/// A broker that runs. It is killed and its data removed when the value goes.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) peer: Peer,
    pub(super) address: String,
    /// From start to the first answer that names a broker.
    pub(super) ready: Duration,
    child: Child,
    place: PathBuf,
    asleep: bool,
}

impl Running {
    /// Starts `peer` in an empty folder named after `role` and waits until it is ready.
    pub(super) fn start(peer: &Peer, home: &Path, place: &Place, role: &str) -> anyhow::Result<Running> {
        let dir = std::path::absolute(place.data.join(format!("{role}-{}", std::process::id())))?;
        let (run, data) = (dir.join("run"), dir.join("data"));
        for dir in [&run, &data] {
            std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        }
        let scratch = Scratch(Some(dir));
        let (words, port) = words(peer, home, place, &run, &data)?;
        for (name, source) in &peer.start.files {
            let source = peer.here.join(source);
            let text = std::fs::read_to_string(&source).with_context(|| source.display().to_string())?;
            std::fs::write(run.join(name), words.fill(&text))?;
        }
        for step in &peer.start.prepare {
            step_by(step, &words, &run).with_context(|| format!("prepare {}", peer.title))?;
        }
        let log_path = place.logs.join(format!("{role}.log"));
        let log = File::options().create(true).append(true).open(&log_path)?;
        let [program, arguments @ ..] = &peer.start.command[..] else { bail!("an empty command") };
        let mut command = Command::new(words.fill(program));
        command
            .args(arguments.iter().map(|argument| words.fill(argument)))
            .envs(peer.start.env.iter().map(|(name, value)| (name, words.fill(value))))
            .current_dir(&run)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A Ctrl-C at the terminal is for us, and signals reach whatever it starts itself.
            .process_group(0);
        let begun = Instant::now();
        let child = spawn_on(&crate::bench::cpus(&place.cores), &mut command)
            .with_context(|| format!("start {}", peer.title))?;
        let mut running = Running {
            peer: peer.clone(),
            address: format!("127.0.0.1:{port}"),
            ready: Duration::ZERO,
            child,
            place: scratch.keep(),
            asleep: false,
        };
        running.await_ready(peer.start.ready_within.0).with_context(|| {
            format!("{} did not become ready; it said: {}", peer.title, last_line(&log_path))
        })?;
        running.ready = begun.elapsed();
        Ok(running)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory now, bytes.
    pub(super) fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
    }

    fn await_ready(&mut self, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        while !answers(&self.address) {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}");
            }
            if Instant::now() > deadline {
                bail!("no answer with a broker in it within {within:?}");
            }
            std::thread::sleep(READY_POLL);
        }
        Ok(())
    }

    /// Stops all its threads where they are.
    pub(super) fn sleep(&mut self) {
        if !self.asleep {
            self.signal(Signal::STOP);
            self.asleep = true;
        }
    }

    /// Lets it run on and waits until it answers.
    pub(super) fn wake(&mut self) -> anyhow::Result<()> {
        if self.asleep {
            self.signal(Signal::CONT);
            self.asleep = false;
        }
        self.await_ready(AWAKE_TIMEOUT).with_context(|| format!("{} after SIGCONT", self.peer.title))
    }

    /// Ends it in order, or after its time without.
    pub(super) fn end(mut self) {
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let deadline = Instant::now() + self.peer.start.stop_within.0;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(END_POLL);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            // One that is gone needs no signal.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        // What cannot be removed lies in perf/data and is not worth failing for.
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

/// A folder that goes away unless a broker has taken it over.
struct Scratch(Option<PathBuf>);

impl Scratch {
    fn keep(mut self) -> PathBuf {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// The words of one start, and its first port.
fn words(peer: &Peer, home: &Path, place: &Place, run: &Path, data: &Path) -> anyhow::Result<(Words, u16)> {
    // All are held until all are known, so that they differ.
    let held: Vec<TcpListener> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()
        .context("find a free port")?;
    let ports: Vec<u16> = held.iter().map(|l| Ok(l.local_addr()?.port())).collect::<std::io::Result<_>>()?;
    let exe = std::env::current_exe().context("find this binary")?;
    let mut words = Words::default();
    words.set("here", peer.here.to_string_lossy());
    words.set("home", home.to_string_lossy());
    words.set("run", run.to_string_lossy());
    words.set("data", data.to_string_lossy());
    words.set("ringlog", exe.to_string_lossy());
    words.set("cores", place.cores.clone());
    for (word, port) in ["port", "port2", "port3"].into_iter().zip(&ports) {
        words.set(word, port.to_string());
    }
    Ok((words, ports[0]))
}

/// Starts a command whose every thread will be on these CPUs: a child has the CPUs of the thread that starts it.
fn spawn_on(cpus: &[u32], command: &mut Command) -> anyhow::Result<Child> {
    let mut set = rustix::thread::CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu as usize));
    std::thread::scope(|scope| {
        let starter = scope.spawn(|| -> anyhow::Result<Child> {
            rustix::thread::sched_setaffinity(None, &set).context("these CPUs may not be used")?;
            Ok(command.spawn()?)
        });
        starter.join().map_err(|_| anyhow::anyhow!("the starting thread panicked"))?
    })
}

/// Whether a broker there answers Metadata with at least one broker.
fn answers(address: &str) -> bool {
    let Ok(mut client) = Client::connect(address) else { return false };
    let request = metadata::Request { topics: Some(Vec::new()), ..metadata::Request::default() };
    client.call::<_, metadata::Response<'_>>(&request).is_ok_and(|answer| !answer.brokers.is_empty())
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(command: &str) -> Peer {
        let text = format!(
            "title = 'T'\nversion = '1'\n[start]\ncommand = {command}\nready-within = '2s'\nstop-within = '1s'\n\
             [[mode]]\nname = 'm'\nflushed = false\nmeaning = ''\n"
        );
        toml::from_str(&text).expect("a description")
    }

    fn place(dir: &Path) -> Place {
        let cpu = crate::floors::usable_cpus()[0].to_string();
        Place { homes: dir.join("homes"), data: dir.join("data"), logs: dir.to_path_buf(), cores: cpu }
    }

    #[test]
    fn a_broker_that_ends_at_once_is_said_in_its_own_words_and_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = place(dir.path());
        let peer = peer("['sh', '-c', 'echo no such luck; exit 3']");
        let error = Running::start(&peer, dir.path(), &place, "theirs").expect_err("it ends");
        let said = format!("{error:#}");
        assert!(said.contains("no such luck") && said.contains("exit status: 3"), "{said}");
        assert_eq!(std::fs::read_dir(&place.data).expect("a folder").count(), 0);
    }

    #[test]
    fn packages_are_fetched_once_and_a_missing_program_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = place(dir.path());
        let mut peer = peer("['true']");
        peer.name = "p".to_string();
        let steps = vec![vec!["sh".to_string(), "-c".to_string(), "echo x >> {home}/count".to_string()]];
        peer.fetch = Some(super::super::peer::Fetch { steps, proof: "count".to_string() });
        let home = fetch(&peer, &place).expect("fetched");
        assert_eq!(fetch(&peer, &place).expect("there already"), home);
        assert_eq!(std::fs::read_to_string(home.join("count")).expect("the proof"), "x\n");
        peer.needs = vec!["no-such-program-anywhere".to_string()];
        let error = fetch(&peer, &place).expect_err("it is missing").to_string();
        assert!(error.contains("no-such-program-anywhere"), "{error}");
    }
}
