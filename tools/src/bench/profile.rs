//! `--profile`: Linux' `perf` beside the broker while the window is measured.
//!
//! It samples addresses and no stacks: stacks need frame pointers or a copy of each stack, and either changes what is
//! measured. Even so a profiled run is for looking at, not for comparing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::cli::exit::Precondition;
use crate::report::profile::{HOT_MAX, Hot, Profile};

/// Samples a second of CPU time: not in step with anything that ticks.
const HERTZ: u32 = 97;

/// The profiler's file, beside the report.
const FILE: &str = "perf.data";

/// A profiler that may be started.
#[derive(Debug)]
pub(super) struct Profiler {
    out: PathBuf,
}

/// One that runs. It is ended when the value goes.
#[derive(Debug)]
pub(super) struct Profiling {
    child: Child,
    out: PathBuf,
}

impl Profiler {
    /// Its file goes below `out`.
    ///
    /// # Errors
    /// There is no `perf` here.
    pub(super) fn new(out: &Path) -> anyhow::Result<Profiler> {
        let answers = Command::new("perf").arg("--version").stdin(Stdio::null()).output();
        if !answers.is_ok_and(|output| output.status.success()) {
            bail!(Precondition::new("--profile needs the program `perf`; on Debian it is in linux-perf"));
        }
        Ok(Profiler { out: out.to_path_buf() })
    }

    /// Samples the process from now on; `None`, with a note, where the kernel forbids it.
    pub(super) fn start(&self, pid: u32) -> Option<Profiling> {
        let child = Command::new("perf")
            .args(["record", "-q", "-e", "cpu-clock", "-F", &HERTZ.to_string(), "-p", &pid.to_string(), "-o"])
            .arg(self.out.join(FILE))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Profiling { child, out: self.out.clone() }),
            Err(e) => {
                eprintln!("ringlog: no profile: {e}");
                None
            }
        }
    }
}

impl Profiling {
    /// Ends it and reads what it saw; `None`, with a note, if that was nothing.
    pub(super) fn finish(mut self) -> Option<Profile> {
        self.interrupt();
        let read = self.child.wait().context("wait for perf").and_then(|_| self.read());
        read.inspect_err(|e| eprintln!("ringlog: no profile: {e:#}")).ok()
    }

    fn interrupt(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // One that has ended by itself has written what it could.
            let _ = kill_process(pid, Signal::INT);
        }
    }

    fn read(&self) -> anyhow::Result<Profile> {
        let output = Command::new("perf")
            .args(["report", "--stdio", "-q", "--sort", "dso,symbol", "-g", "none", "-t", "\t", "-i"])
            .arg(self.out.join(FILE))
            .stdin(Stdio::null())
            .output()
            .context("run perf report")?;
        let hot = hot(&String::from_utf8_lossy(&output.stdout));
        if hot.is_empty() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{}", said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("perf saw nothing"));
        }
        Ok(Profile { hertz: HERTZ, file: FILE.to_string(), hot })
    }
}

impl Drop for Profiling {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.interrupt();
            let _ = self.child.wait();
        }
    }
}

/// Lines of `perf report -t '\t'`: share, module, `[.] symbol` or `[k] symbol`.
fn hot(report: &str) -> Vec<Hot> {
    let line = |line: &str| {
        let mut columns = line.split('\t');
        let share: f64 = columns.next()?.trim().strip_suffix('%')?.parse().ok()?;
        let module = columns.next()?.trim().to_string();
        let symbol = columns.next()?.trim();
        let symbol = symbol.split_once("] ").map_or(symbol, |(_, name)| name).trim().to_string();
        Some(Hot { share: share / 100.0, module, symbol })
    };
    report.lines().filter_map(line).take(HOT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profilers_table_is_read() {
        let report = "# comment\n\n    18.35%\t[kernel.kallsyms]\t[k] finish_task_switch.isra.0\n\
                      8.00%\tringlog          \t[.] <glommio::sys::Ring as Common>::submit\nnonsense\n";
        let hot = hot(report);
        assert_eq!(hot.len(), 2, "{hot:?}");
        assert!((hot[0].share - 0.1835).abs() < 1e-9 && hot[0].module == "[kernel.kallsyms]", "{hot:?}");
        assert_eq!(hot[1].symbol, "<glommio::sys::Ring as Common>::submit");
    }
}
