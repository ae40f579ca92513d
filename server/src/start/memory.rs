//! How much memory this process may have, and what of the broker's sizes that leaves.
//!
//! A container sees the memory of its host in `/proc/meminfo` and is killed at the limit of its cgroup. So the
//! limit is the lowest of the machine's memory and of every cgroup from the process's own to the top:
//!
//! | | mount in `/proc/self/mountinfo` | line in `/proc/self/cgroup` | file |
//! |---|---|---|---|
//! | v1 | type `cgroup` with option `memory` | `4:memory:/path` | `memory.limit_in_bytes` |
//! | v2 | type `cgroup2` | `0::/path` | `memory.max`, a number or `max` |
//!
//! Of that limit these take at most so much, whatever is set:
//!
//! | what | share of the limit | without a limit |
//! |---|---|---|
//! | the pool, `memory.pool_bytes` | a quarter if it was not set; a start is refused above a half | 64 MiB, 32 MiB a core |
//! | requests being received, `net.receive_bytes` | an eighth if it was not set | 16 MiB, 8 MiB a core |
//! | the keys of a compaction, `log.cleaner.dedupe.buffer.size` | an eighth | 128 MiB |
//! | one request, `socket.request.max.bytes` | an eighth, divided by the cores: each may receive one | 100 MiB |

use std::fs;
use std::path::{Path, PathBuf};

use super::error::StartError;
use crate::config::Config;

const MIB: u64 = 1024 * 1024;

/// A pool below this is of no use to a core.
const POOL_BYTES_MIN: u64 = 4 * MIB;

/// No limit makes the largest request smaller than Kafka's default for a batch, twice.
const REQUEST_BYTES_MIN: u64 = 2 * MIB;

/// Bytes of memory that this process may have; `None` where nobody says.
pub(super) fn limit() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).as_deref().and_then(machine_bytes);
    let mounts = read(Path::new("/proc/self/mountinfo")).unwrap_or_default();
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let files = limit_files(&mounts, &groups).into_iter();
    files.filter_map(|path| read(&path)?.trim().parse().ok()).chain(machine).min()
}

fn machine_bytes(meminfo: &str) -> Option<u64> {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().strip_suffix("kB")?;
    kib.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The files that hold the limits of a process with these mounts and groups.
fn limit_files(mounts: &str, groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for mount in mounts.lines() {
        let Some((place, how)) = mount.split_once(" - ") else { continue };
        let place: Vec<&str> = place.split(' ').collect();
        let how: Vec<&str> = how.split(' ').collect();
        let (&[_, _, _, root, at, ..], &[kind, _, options, ..]) = (&place[..], &how[..]) else { continue };
        let (file, is_ours): (&str, fn(&str) -> bool) = match kind {
            "cgroup2" => ("memory.max", str::is_empty),
            "cgroup" if options.split(',').any(|o| o == "memory") => {
                ("memory.limit_in_bytes", |controllers| controllers.split(',').any(|c| c == "memory"))
            }
            _ => continue,
        };
        for group in groups.lines() {
            let mut fields = group.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            if !is_ours(controllers) {
                continue;
            }
            // What is mounted may be a part of the tree, as in a container; a path outside it has no file here.
            let path = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
            let inside = path.ancestors().map(|part| Path::new(at).join(part).join(file));
            files.extend(inside);
        }
    }
    files
}

/// What a limit leaves of sizes that are bounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sizes {
    /// Memory for the keys of a compaction at most, all cores together, bytes.
    pub(super) dedupe_bytes_max: u64,
    /// The largest request, bytes.
    pub(super) request_bytes_max: usize,
    /// What was cut, a sentence each.
    pub(super) cut: Vec<String>,
}

/// Cuts the pool, if it was not chosen, and the bounds to what a limit allows.
///
/// # Errors
/// If a pool was chosen that leaves no memory for anything else.
pub(super) fn fit(config: &mut Config, cores: usize, limit: u64) -> Result<Sizes, StartError> {
    let (pool_bytes, shown) = (config.pool_bytes as u64, limit / MIB);
    if pool_bytes > limit / 2 {
        return Err(StartError::precondition(format!(
            "memory.pool_bytes is {} MiB and this process may have {shown} MiB of memory: set it to {} MiB at most, \
             or raise the limit of its cgroup",
            pool_bytes / MIB,
            limit / 2 / MIB,
        )));
    }
    let mut cut = Vec::new();
    let pool = (limit / 4).max(POOL_BYTES_MIN * cores as u64);
    if pool_bytes == 0 && (config.pool_bytes_per_core(cores) * cores) as u64 > pool {
        config.pool_bytes = pool as usize;
        cut.push(format!("memory.pool_bytes is {} MiB", pool / MIB));
    }
    let receive = limit / 8;
    if config.receive_bytes == 0 && (config.receive_bytes_per_core(cores) * cores) as u64 > receive {
        config.receive_bytes = receive as usize;
        cut.push(format!("net.receive_bytes is {} MiB", receive / MIB));
    }
    let dedupe = limit / 8;
    if config.broker.cleaner.dedupe_bytes > dedupe {
        cut.push(format!("log.cleaner.dedupe.buffer.size counts as {} MiB", dedupe / MIB));
    }
    let wanted = config.broker.socket_request_bytes_max as usize;
    let request = (limit / 8 / cores as u64).max(REQUEST_BYTES_MIN) as usize;
    if wanted > request {
        cut.push(format!("socket.request.max.bytes counts as {} MiB", request as u64 / MIB));
    }
    cut.iter_mut()
        .for_each(|line| line.push_str(&format!(", as this process may have {shown} MiB of memory")));
    Ok(Sizes { dedupe_bytes_max: dedupe, request_bytes_max: wanted.min(request), cut })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(mounts: &str, groups: &str) -> Vec<String> {
        limit_files(mounts, groups).iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn every_group_above_the_process_is_asked() {
        let v1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                  34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";
        let groups = "4:memory:/a/b\n3:cpuset:/c\n0::/\n";
        assert_eq!(
            files(v1, groups),
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
        let v2 = "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(
            files(v2, "0::/s.slice/x\n"),
            [
                "/sys/fs/cgroup/s.slice/x/memory.max",
                "/sys/fs/cgroup/s.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
    }

    #[test]
    fn a_container_that_sees_only_its_own_part_of_the_tree_is_asked_there() {
        let v1 = "35 31 0:32 /docker/1f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert_eq!(files(v1, "4:memory:/docker/1f\n"), ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
    }

    #[test]
    fn sizes_follow_the_limit_and_a_pool_that_was_chosen_too_large_is_refused() {
        let mut config = Config::default();
        let sizes = fit(&mut config, 2, 24 << 30).unwrap();
        assert_eq!((config.pool_bytes, sizes.cut), (0, Vec::new()), "nothing was cut");
        assert_eq!(sizes.request_bytes_max, 100 << 20);
        let sizes = fit(&mut config, 16, 256 << 20).unwrap();
        assert_eq!(sizes.cut.len(), 4, "{:?}", sizes.cut);
        assert_eq!((config.pool_bytes, sizes.dedupe_bytes_max), (64 << 20, 32 << 20));
        assert_eq!(config.receive_bytes, 32 << 20);
        assert_eq!(sizes.request_bytes_max, 2 << 20);
        let mut config = Config { pool_bytes: 200 << 20, ..Config::default() };
        let said = fit(&mut config, 2, 256 << 20).unwrap_err().to_string();
        assert!(said.contains("128 MiB at most"), "{said}");
    }
}
