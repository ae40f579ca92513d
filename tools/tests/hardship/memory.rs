//! 256 MiB: a broker in a memory cgroup of that size, whose clients ask for more than it has.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, serve};
use crate::{SMALL, directory};

/// Memory of the cages, bytes.
pub(crate) const LIMIT: u64 = 256 << 20;

/// A memory cgroup.
pub(crate) struct Cage {
    dir: PathBuf,
    is_v2: bool,
}

impl Cage {
    /// Makes one; `None` where that cannot be done, after saying so.
    pub(crate) fn build(name: &str) -> Option<Cage> {
        match Cage::try_build(name) {
            Ok(cage) => Some(cage),
            Err(why) => {
                let required = std::env::var("FAULT_CAGE").is_ok_and(|v| v == "required");
                assert!(!required, "no memory cgroup: {why}");
                // Past the test harness, which shows only what failed.
                let _ = writeln!(std::io::stderr(), "SKIPPED, no memory cgroup: {why}");
                None
            }
        }
    }

    fn try_build(name: &str) -> Result<Cage, String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string())?;
        let of = |is: fn(&str) -> bool| {
            let line = mounts.lines().find(|line| line.split_once(" - ").is_some_and(|(_, how)| is(how)))?;
            line.split(' ').nth(4).map(PathBuf::from)
        };
        let v1 = of(|how| how.starts_with("cgroup ") && how.ends_with("memory"));
        let (root, is_v2) = match (v1, of(|how| how.starts_with("cgroup2 "))) {
            (Some(root), _) => (root, false),
            (None, Some(root)) => (root, true),
            (None, None) => return Err("no cgroup file system is mounted".to_owned()),
        };
        let dir = root.join(format!("ringlog-{name}-{}", std::process::id()));
        if is_v2 {
            fs::write(root.join("cgroup.subtree_control"), "+memory")
                .map_err(|e| format!("{}: {e}", root.display()))?;
        }
        fs::create_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let cage = Cage { dir, is_v2 };
        let file = if is_v2 { "memory.max" } else { "memory.limit_in_bytes" };
        fs::write(cage.dir.join(file), LIMIT.to_string()).map_err(|e| format!("{file}: {e}"))?;
        // No way out into swap, where there is some.
        let swap = if is_v2 { ("memory.swap.max", 0) } else { ("memory.memsw.limit_in_bytes", LIMIT) };
        let _ = fs::write(cage.dir.join(swap.0), swap.1.to_string());
        Ok(cage)
    }

    /// A broker inside.
    #[track_caller]
    pub(crate) fn start(&self, data: &Path, set: &[&str]) -> Process {
        let mut command = Command::new("sh");
        let procs = self.dir.join("cgroup.procs");
        command.args(["-c", "echo $$ > \"$1\" && shift && exec \"$@\"", "sh"]).arg(procs);
        command.arg(env!("CARGO_BIN_EXE_ringlog")).args(serve(data, "0,1", set));
        Process::run(&mut command).expect("a broker")
    }

    /// Bytes in use that the kernel cannot take back by dropping clean pages.
    pub(crate) fn used(&self) -> u64 {
        let text = fs::read_to_string(self.dir.join("memory.stat")).expect("counts");
        let of = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.map_or(0, |count| count.parse().expect("a number"))
        };
        if self.is_v2 {
            return of("anon") + of("kernel") + of("sock") - of("slab_reclaimable");
        }
        let kernel = fs::read_to_string(self.dir.join("memory.kmem.usage_in_bytes")).unwrap_or_default();
        of("rss") + kernel.trim().parse::<u64>().unwrap_or(0)
    }

    /// How often the kernel killed somebody here.
    pub(crate) fn kills(&self) -> u64 {
        let file = if self.is_v2 { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(self.dir.join(file)).expect("counts");
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.expect("a count").trim().parse().expect("a number")
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        // It can go once the last process has.
        for _ in 0..100 {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn sizes_follow_the_cgroup_and_not_the_machine() {
    let Some(cage) = Cage::build("sizes") else { return };
    let dir = directory();
    let data = dir.path().join("data");
    let process = cage.start(&data, &SMALL);
    let said = process.said();
    assert!(said.contains("this process may have 256 MiB of memory"), "{said}");
    process.stop();
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$1\" && shift && exec \"$@\"", "sh"]).arg(cage.dir.join("cgroup.procs"));
    command.arg(env!("CARGO_BIN_EXE_ringlog")).args(serve(&data, "0,1", &["memory.pool_bytes=1073741824"]));
    let ended = Process::run(&mut command).err().expect("it does not start");
    assert_eq!(ended.status.code(), Some(3), "{}", ended.said);
    assert!(ended.said.contains("memory.pool_bytes is 1024 MiB"), "{}", ended.said);
}
