//! The broker that a bench starts for itself: this very binary, `serve`, as a second process.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a broker may take to say that it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to drain before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Kernel clock ticks a second in /proc/PID/stat: fixed in the kernel's interface.
const TICKS_PER_S: f64 = 100.0;

/// A running broker process.
#[derive(Debug)]
pub struct Broker {
    child: Child,
    /// `host:port`, as it said itself.
    pub address: String,
    /// `host:port` of its admin endpoint.
    pub admin: Option<String>,
    /// From start to the `ready` line.
    pub ready: Duration,
    log: PathBuf,
}

/// What the kernel knows of a process.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Usage {
    /// User and system time since it began, seconds.
    pub cpu_seconds: f64,
    /// Highest resident memory, bytes.
    pub rss_bytes_max: u64,
}

impl Usage {
    /// What process `pid` used so far; zero if there is none.
    #[must_use]
    pub fn of(pid: u32) -> Usage {
        let read = |file| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        usage(&read("stat"), &read("status"))
    }
}

impl Broker {
    /// Starts `ringlog serve` on a free port and waits for its `ready` line. All that it prints goes
    /// to `log`.
    pub fn start(data: &Path, cores: &str, sets: &[String], log: &Path) -> anyhow::Result<Broker> {
        let begun = Instant::now();
        let exe = std::env::current_exe().context("find this binary")?;
        let log_file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let mut command = Command::new(exe);
        command.arg("serve").arg("--data").arg(data).args(["--listen", "127.0.0.1:0", "--cores", cores]);
        // First: what the user sets comes later and counts.
        for set in std::iter::once("admin.listen=127.0.0.1:0").chain(sets.iter().map(String::as_str)) {
            command.args(["--set", set]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file.try_clone()?)
            // A Ctrl-C at the terminal is for the bench, which then stops the broker in order.
            .process_group(0)
            .spawn()
            .context("start the broker")?;
        let stdout = child.stdout.take().context("the broker's output")?;
        let (found, ready) = mpsc::channel();
        std::thread::spawn(move || forward(BufReader::new(stdout), log_file, &found));
        let (address, admin) = match ready.recv_timeout(READY_TIMEOUT) {
            Ok(addresses) => addresses,
            Err(_) => {
                let _ = child.kill();
                let status = child.wait()?;
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let said = said.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing");
                bail!(NotReady { code: status.code(), said: said.to_string() });
            }
        };
        Ok(Broker { child, address, admin, ready: begun.elapsed(), log: log.to_path_buf() })
    }

    /// All that it printed so far.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    /// Asks it to drain and waits for its end; kills it if it takes too long.
    pub fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(anyhow!("the broker ended with {status}"))
                };
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("the broker did not stop within {STOP_TIMEOUT:?} and was killed")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A broker that ended, or said nothing, instead of being ready.
#[derive(Debug, thiserror::Error)]
#[error("the broker did not start: {said}")]
pub struct NotReady {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The last line that it printed.
    pub said: String,
}

fn forward(from: impl BufRead, mut log: File, found: &mpsc::Sender<(String, Option<String>)>) {
    for line in from.lines().map_while(Result::ok) {
        if let Some(rest) = line.strip_prefix("ready BROKERS=") {
            let mut words = rest.split_ascii_whitespace();
            let brokers = words.next().unwrap_or_default().to_string();
            let admin = words.find_map(|word| word.strip_prefix("ADMIN=")).map(str::to_string);
            let _ = found.send((brokers, admin));
        }
        let _ = writeln!(log, "{line}");
    }
}

/// Reads `/proc/PID/stat` and `/proc/PID/status`; zero where they say nothing.
fn usage(stat: &str, status: &str) -> Usage {
    // The name may hold spaces and brackets; the fields start after the last bracket, with number 3.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_ascii_whitespace()).into_iter().flatten();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    let peak_kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    Usage { cpu_seconds: ticks / TICKS_PER_S, rss_bytes_max: peak_kib.saturating_mul(1024) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_of_a_process_is_read() {
        let stat = "41 (ring) log) S 1 41 41 0 -1 4194560 900 0 0 0 250 150 0 0 20 0 3 0 77 1 2";
        let got = usage(stat, "Name:\tringlog\nVmHWM:\t   2048 kB\nVmRSS:\t 100 kB\n");
        assert_eq!(got, Usage { cpu_seconds: 4.0, rss_bytes_max: 2 << 20 });
        assert_eq!(usage("", ""), Usage::default());
    }
}
