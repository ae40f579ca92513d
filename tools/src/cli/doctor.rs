//! `ringlog doctor`: what this machine must have, what it has, and the fix for what it lacks.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::{Mode, OFlags, open, statvfs, unlink};
use rustix::process::{Resource, getrlimit};
use serde_json::json;

use super::exit;
use super::table::table;
use crate::report::units;

/// `ringlog doctor`
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Where a broker would keep its data
    #[arg(long, value_name = "DIR", default_value = "perf/data")]
    data: PathBuf,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How much a failed condition matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Severity {
    /// A broker does not start.
    Fatal,
    /// It runs, slower or less sure.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Fatal => "fatal",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One line of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Finding {
    condition: &'static str,
    required: String,
    current: String,
    severity: Severity,
    passed: bool,
    fix: &'static str,
}

/// Pinned memory that glommio's rings need on each core before any buffer.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// What registered buffers need: three rings, each with the default pool.
const MEMLOCK_BYTES_WANTED: u64 = 3 * (64 << 20);

/// Descriptors that a broker wants for connections and segments.
const NOFILE_WANTED: u64 = 65_536;

/// The oldest kernel whose io_uring has all that the runtime uses.
const KERNEL_MIN: (u32, u32) = (5, 8);

/// Free space below which nothing sensible can be stored.
const DISK_BYTES_MIN: u64 = 4 << 30;

/// Runs the command; the code is 3 if a broker would not start.
pub fn run(args: &DoctorArgs) -> anyhow::Result<u8> {
    let findings = findings(&args.data);
    if args.json {
        let one = |f: &Finding| {
            json!({"condition": f.condition, "required": f.required, "current": f.current,
                "severity": f.severity.word(), "passed": f.passed, "fix": f.fix})
        };
        let all: Vec<_> = findings.iter().map(one).collect();
        println!("{}", json!({"schema_version": 1, "findings": all}));
    } else {
        print!("{}", text(&findings));
    }
    let fatal = findings.iter().any(|f| !f.passed && f.severity == Severity::Fatal);
    Ok(if fatal { exit::PRECONDITION } else { 0 })
}

fn text(findings: &[Finding]) -> String {
    let row = |f: &Finding| {
        let passed = if f.passed { "yes" } else { "NO" };
        vec![
            f.condition.to_string(),
            f.required.clone(),
            f.current.clone(),
            f.severity.word().to_string(),
            passed.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = findings.iter().map(row).collect();
    let mut out = table(&["CONDITION", "REQUIRED", "CURRENT", "SEVERITY", "PASSED"], &rows);
    for failed in findings.iter().filter(|f| !f.passed && !f.fix.is_empty()) {
        out.push_str(&format!("\n{}: {}", failed.condition, failed.fix));
    }
    if findings.iter().any(|f| !f.passed && !f.fix.is_empty()) {
        out.push('\n');
    }
    out
}

fn findings(data: &Path) -> Vec<Finding> {
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_string();
    let uname = rustix::system::uname();
    let limit = |resource| getrlimit(resource).current;
    let mut all = vec![
        kernel(&uname.release().to_string_lossy()),
        io_uring(&line("/proc/sys/kernel/io_uring_disabled")),
    ];
    all.extend(memlock(limit(Resource::Memlock)));
    all.push(nofile(limit(Resource::Nofile)));
    all.extend(disk(data));
    all.push(clocksource(&line("/sys/devices/system/clocksource/clocksource0/current_clocksource")));
    let governor = line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    if !governor.is_empty() {
        all.push(Finding {
            condition: "CPU governor",
            required: "performance".to_string(),
            passed: governor == "performance",
            current: governor,
            severity: Severity::Warning,
            fix: "cpupower frequency-set -g performance",
        });
    }
    all.push(Finding {
        condition: "fs.aio-max-nr",
        required: "not used".to_string(),
        current: line("/proc/sys/fs/aio-max-nr"),
        severity: Severity::Note,
        passed: true,
        fix: "",
    });
    all
}

fn kernel(release: &str) -> Finding {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Finding {
        condition: "kernel",
        required: format!("{}.{} or later", KERNEL_MIN.0, KERNEL_MIN.1),
        current: release.to_string(),
        severity: Severity::Fatal,
        passed: version >= KERNEL_MIN,
        fix: "install a newer kernel",
    }
}

fn io_uring(disabled: &str) -> Finding {
    Finding {
        condition: "io_uring",
        required: "io_uring_disabled = 0".to_string(),
        current: if disabled.is_empty() { "no such switch".to_string() } else { disabled.to_string() },
        severity: Severity::Fatal,
        // Older kernels have no switch; 1 leaves it to members of a group, which root is.
        passed: matches!(disabled, "" | "0") || (disabled == "1" && rustix::process::geteuid().is_root()),
        fix: "sysctl -w kernel.io_uring_disabled=0 (in a container: allow io_uring in its seccomp profile)",
    }
}

fn memlock(limit: Option<u64>) -> [Finding; 2] {
    let current = limit.map_or("unlimited".to_string(), units::bytes);
    let one = |condition, min: u64, severity, fix| Finding {
        condition,
        required: units::bytes(min),
        current: current.clone(),
        severity,
        passed: limit.is_none_or(|bytes| bytes >= min),
        fix,
    };
    [
        one("memlock", MEMLOCK_BYTES_MIN, Severity::Fatal, "ulimit -l 8192 (systemd: LimitMEMLOCK=8M)"),
        one(
            "memlock for registered buffers",
            MEMLOCK_BYTES_WANTED,
            Severity::Note,
            "ulimit -l unlimited (systemd: LimitMEMLOCK=infinity); without it buffers are not registered, which works",
        ),
    ]
}

fn nofile(limit: Option<u64>) -> Finding {
    Finding {
        condition: "open files",
        required: NOFILE_WANTED.to_string(),
        current: limit.map_or("unlimited".to_string(), |n| n.to_string()),
        severity: Severity::Warning,
        passed: limit.is_none_or(|n| n >= NOFILE_WANTED),
        fix: "ulimit -n 65536 (systemd: LimitNOFILE=65536)",
    }
}

fn disk(data: &Path) -> Vec<Finding> {
    let Some(dir) = data.ancestors().find(|dir| dir.is_dir()).or(Some(Path::new("."))) else {
        return Vec::new();
    };
    let direct = probe_direct(dir);
    let free = statvfs(dir).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize));
    vec![
        Finding {
            condition: "O_DIRECT on the data directory",
            required: "supported".to_string(),
            current: match &direct {
                Ok(()) => "supported".to_string(),
                Err(e) => e.clone(),
            },
            severity: Severity::Fatal,
            passed: direct.is_ok(),
            fix: "choose a directory on ext4 or XFS with --data (not tmpfs, overlay or a network)",
        },
        Finding {
            condition: "free disk space",
            required: units::bytes(DISK_BYTES_MIN),
            current: units::bytes(free),
            severity: Severity::Warning,
            passed: free >= DISK_BYTES_MIN,
            fix: "free some space, or choose another disk with --data",
        },
    ]
}

/// Opens a file for direct I/O in `dir` and removes it again.
fn probe_direct(dir: &Path) -> Result<(), String> {
    let path = dir.join(format!(".ringlog-doctor-{}", std::process::id()));
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
    let opened: Result<OwnedFd, _> = open(&path, flags, Mode::RUSR | Mode::WUSR);
    // It may exist even where opening it failed.
    let _ = unlink(&path);
    opened.map(drop).map_err(|e| format!("refused ({e})"))
}

fn clocksource(current: &str) -> Finding {
    Finding {
        condition: "clock source",
        required: "tsc, kvm-clock or arch_sys_counter".to_string(),
        passed: matches!(current, "tsc" | "kvm-clock" | "arch_sys_counter" | ""),
        current: current.to_string(),
        severity: Severity::Warning,
        fix: "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource; others cost a system call a reading",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_passes_and_fails_where_it_should() {
        assert!(kernel("6.18.44-fc x86_64").passed && !kernel("5.4.0").passed && !kernel("").passed);
        assert!(io_uring("0").passed && io_uring("").passed && !io_uring("2").passed);
        assert!(memlock(None).iter().all(|f| f.passed));
        let ordinary = memlock(Some(8 << 20));
        assert!(ordinary[0].passed && !ordinary[1].passed && ordinary[1].severity == Severity::Note);
        assert!(!memlock(Some(64 << 10))[0].passed);
        assert!(nofile(Some(1 << 20)).passed && !nofile(Some(1_024)).passed);
        assert!(clocksource("tsc").passed && !clocksource("hpet").passed);
    }

    #[test]
    fn a_failed_condition_comes_with_its_fix() {
        let shown = text(&[nofile(Some(1_024)), kernel("6.1")]);
        assert!(shown.contains("NO") && shown.contains("open files: ulimit -n 65536"), "{shown}");
        assert!(!shown.contains("install a newer kernel"), "{shown}");
    }

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory on a disk");
        let _ = probe_direct(dir.path());
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0);
    }
}
