//! The machine's fingerprint, read from `/proc` and `/sys`. What cannot be read is left empty: a
//! missing fact must not stop a run.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::data::MachineFingerprint;

/// Describes this machine and the disk below `data_dir` (or below its nearest existing parent).
pub fn fingerprint(data_dir: &Path) -> MachineFingerprint {
    let mount = nearest_existing(data_dir).and_then(|dir| Mount::of(&dir)).unwrap_or_default();
    let block = mount.block_dir();
    let queue =
        |name: &str| block.as_deref().map(|dir| line(dir.join("queue").join(name))).unwrap_or_default();
    let uname = rustix::system::uname();
    let mut machine = MachineFingerprint {
        hardware_id: String::new(),
        cpu_model: cpu_model(&text("/proc/cpuinfo")),
        cores: cpu_count(&line("/sys/devices/system/cpu/online")),
        memory_bytes: memory_bytes(&text("/proc/meminfo")),
        kernel: format!("{} {}", uname.release().to_string_lossy(), uname.machine().to_string_lossy()),
        os: os_name(&text("/etc/os-release")),
        device_model: block.as_deref().map(|dir| line(dir.join("device/model"))).unwrap_or_default(),
        scheduler: bracketed(&queue("scheduler")),
        write_cache: queue("write_cache"),
        logical_block_bytes: queue("logical_block_size").parse().unwrap_or(0),
        filesystem: mount.filesystem,
        device: mount.source,
        mount_point: mount.point,
        mount_options: mount.options,
        clocksource: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        memlock_bytes: getrlimit(Resource::Memlock).current,
        governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        kernel_command_line: kernels_own(&line("/proc/cmdline")),
    };
    machine.hardware_id = hardware_id(&machine);
    machine
}

/// The kernel's part of its command line: which program comes first, and with what, is no setting of the kernel.
fn kernels_own(line: &str) -> String {
    let own = line.split(" -- ").next().unwrap_or_default().split(' ');
    own.filter(|word| !word.starts_with("init=") && !word.starts_with("rdinit="))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The folder under `/sys` of the whole disk below `dir`, if it is one.
pub fn block_dir(dir: &Path) -> Option<PathBuf> {
    nearest_existing(dir).and_then(|dir| Mount::of(&dir))?.block_dir()
}

/// Equal for two runs that may be compared: processor, cores, memory to the GiB, file system, device.
/// Kernel and settings are left out on purpose: their effect is what comparisons are for.
fn hardware_id(machine: &MachineFingerprint) -> String {
    let facts = format!(
        "{}|{}|{}|{}|{}|{}",
        machine.cpu_model,
        machine.cores,
        machine.memory_bytes >> 30,
        machine.filesystem,
        machine.device,
        machine.device_model
    );
    // FNV-1a: stable over versions and machines, which the standard hasher does not promise.
    let hash = facts.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
}

/// The mount that a directory lives on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mount {
    device_number: String,
    point: String,
    options: String,
    filesystem: String,
    source: String,
}

impl Mount {
    fn of(dir: &Path) -> Option<Self> {
        let device = fs::metadata(dir).ok()?.dev();
        let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        let table = text("/proc/self/mountinfo");
        Self::parse(&table).filter(|mount| mount.device_number == number).max_by_key(|mount| {
            // Bind mounts share a device number; the longest prefix is the one in use.
            if dir.starts_with(&mount.point) { mount.point.len() } else { 0 }
        })
    }

    /// `36 35 98:0 /root /point options shared:1 - type source superoptions`
    fn parse(table: &str) -> impl Iterator<Item = Self> {
        table.lines().filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let left: Vec<&str> = left.split(' ').collect();
            let mut right = right.split(' ');
            let filesystem = right.next()?.to_string();
            let source = right.next()?.to_string();
            let mut options = (*left.get(5)?).to_string();
            for option in right.next().unwrap_or("").split(',') {
                if !option.is_empty() && !options.split(',').any(|known| known == option) {
                    options = format!("{options},{option}");
                }
            }
            Some(Self {
                device_number: (*left.get(2)?).to_string(),
                point: left.get(4)?.replace("\\040", " "),
                options,
                filesystem,
                source,
            })
        })
    }

    /// The whole disk's folder under `/sys`: a partition's parent has the queue.
    fn block_dir(&self) -> Option<PathBuf> {
        let dir = fs::canonicalize(Path::new("/sys/dev/block").join(&self.device_number)).ok()?;
        if dir.join("queue").is_dir() { Some(dir) } else { dir.parent().map(Path::to_path_buf) }
    }
}

fn nearest_existing(dir: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(dir).ok()?;
    absolute.ancestors().find_map(|ancestor| fs::canonicalize(ancestor).ok())
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn line(path: impl AsRef<Path>) -> String {
    text(path).trim().to_string()
}

fn cpu_model(cpuinfo: &str) -> String {
    // x86 has "model name"; ARM kernels name the part only by number.
    ["model name", "Model", "CPU part"].iter().find_map(|key| field(cpuinfo, key)).unwrap_or_default()
}

fn field(table: &str, key: &str) -> Option<String> {
    table.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_string())
    })
}

/// Counts a kernel list such as `0-3,8`.
fn cpu_count(list: &str) -> u32 {
    list.split(',')
        .filter_map(|part| match part.split_once('-') {
            Some((first, last)) => {
                let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
                last.checked_sub(first)?.checked_add(1)
            }
            None => part.parse::<u32>().ok().map(|_| 1),
        })
        .sum()
}

fn memory_bytes(meminfo: &str) -> u64 {
    field(meminfo, "MemTotal")
        .and_then(|value| value.split(' ').next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib.saturating_mul(1024))
}

fn os_name(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim_matches('"').to_string()
}

/// `none [mq-deadline] bfq` → `mq-deadline`
fn bracketed(choices: &str) -> String {
    let chosen = choices.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or(choices, |(chosen, _)| chosen).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_and_a_disk() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let machine = fingerprint(&dir.path().join("not/yet/there"));
        assert!(machine.cores >= 1);
        assert!(machine.memory_bytes > 1 << 20);
        assert!(!machine.filesystem.is_empty() && !machine.mount_point.is_empty());
        assert_eq!(machine.hardware_id.len(), 8);
        assert_eq!(machine, fingerprint(dir.path()), "a missing directory is judged by its parent");
    }

    #[test]
    fn kernel_tables_are_read() {
        assert_eq!(cpu_count("0-3,8"), 5);
        assert_eq!(cpu_count("0"), 1);
        assert_eq!(cpu_count("7-2"), 0);
        assert_eq!(memory_bytes("MemTotal:       24684084 kB\nMemFree: 1 kB\n"), 24_684_084 * 1024);
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: Xeon\n"), "Xeon");
        assert_eq!(bracketed("none [mq-deadline] bfq"), "mq-deadline");
        assert_eq!(os_name("ID=debian\nPRETTY_NAME=\"Debian 13\"\n"), "Debian 13");
        let table = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\nbroken line\n";
        let mounts: Vec<Mount> = Mount::parse(table).collect();
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[0].options, "rw,relatime,discard");
        assert_eq!(mounts[0].source, "/dev/vda");
    }
}
