//! The disk while the load runs: the kernel's counters, looked at when the window begins, once an interval, and when it
//! ends.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::report::data::{INTERVALS_MAX, interval_length};
use crate::report::disk::{DiskInterval, DiskUse, DiskWork};
use crate::report::machine;

/// Bytes of a sector in `/sys/block/*/stat`, whatever the device says.
const SECTOR_BYTES: u64 = 512;

/// A look that comes this long before an interval is over closes it all the same: looks come four times a second.
const EARLY: Duration = Duration::from_millis(120);

/// A disk that is watched, and the process whose bytes are told apart.
#[derive(Debug)]
pub(super) struct Device {
    stat: PathBuf,
    name: String,
    pid: u32,
}

/// Everything since the machine and the process began.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    counters: Counters,
    io: Option<(u64, u64)>,
}

/// `/sys/block/*/stat`, from linux/Documentation/block/stat.rst; times in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counters {
    reads: u64,
    read_sectors: u64,
    read_ms: u64,
    writes: u64,
    written_sectors: u64,
    write_ms: u64,
    busy_ms: u64,
    /// Milliseconds of all requests together.
    waited_ms: u64,
    flushes: u64,
    flush_ms: u64,
}

/// A window under way.
#[derive(Debug)]
pub(super) struct Watching {
    device: Device,
    start: Look,
    last: Look,
    length: Duration,
    intervals: Vec<DiskInterval>,
}

impl Device {
    /// The disk below `data`, if it has one that counts, beside process `pid`.
    pub(super) fn below(data: &Path, pid: u32) -> Option<Device> {
        let block = machine::block_dir(data)?;
        let name = block.file_name()?.to_string_lossy().into_owned();
        let stat = block.join("stat");
        stat.is_file().then_some(Device { stat, name, pid })
    }

    /// Begins to watch a window of this length.
    pub(super) fn watch(self, window: Duration) -> Option<Watching> {
        let start = self.look()?;
        let length = interval_length(window);
        Some(Watching { device: self, start, last: start, length, intervals: Vec::new() })
    }

    fn look(&self) -> Option<Look> {
        let counters = counters(&std::fs::read_to_string(&self.stat).ok()?)?;
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.pid)).ok();
        Some(Look { at: Instant::now(), counters, io: io.as_deref().and_then(process_io) })
    }
}

impl Watching {
    /// Looks, if an interval is over.
    pub(super) fn tick(&mut self) {
        if self.last.at.elapsed() + EARLY >= self.length && self.intervals.len() < INTERVALS_MAX {
            self.close();
        }
    }

    fn close(&mut self) {
        let Some(now) = self.device.look() else { return };
        self.intervals.push(DiskInterval {
            start_s: (self.last.at - self.start.at).as_secs_f64(),
            length_s: (now.at - self.last.at).as_secs_f64(),
            work: work(&self.last.counters, &now.counters, now.at - self.last.at),
        });
        self.last = now;
    }

    /// Looks a last time.
    pub(super) fn finish(mut self) -> DiskUse {
        if self.last.at.elapsed() * 2 >= self.length && self.intervals.len() < INTERVALS_MAX {
            self.close();
        }
        let end = self.device.look().unwrap_or(self.last);
        let io = self.start.io.zip(end.io);
        let broker = io.map(|(start, end)| (end.0.saturating_sub(start.0), end.1.saturating_sub(start.1)));
        DiskUse {
            device: self.device.name,
            window_s: (end.at - self.start.at).as_secs_f64(),
            total: work(&self.start.counters, &end.counters, end.at - self.start.at),
            broker_read_bytes: broker.map(|(read, _)| read),
            broker_written_bytes: broker.map(|(_, written)| written),
            write_amplification: None,
            intervals: self.intervals,
        }
    }
}

/// What happened between two looks that lie `passed` apart. Counters wrap after weeks; a window that saw it shows nothing.
fn work(start: &Counters, end: &Counters, passed: Duration) -> DiskWork {
    let since = |of: fn(&Counters) -> u64| of(end).saturating_sub(of(start));
    let mean_us = |ms: u64, count: u64| (count > 0).then(|| ms as f64 * 1e3 / count as f64);
    let share = |ms: u64| if passed.is_zero() { 0.0 } else { ms as f64 / 1e3 / passed.as_secs_f64() };
    let (reads, writes, flushes) = (since(|c| c.reads), since(|c| c.writes), since(|c| c.flushes));
    DiskWork {
        read_bytes: since(|c| c.read_sectors).saturating_mul(SECTOR_BYTES),
        written_bytes: since(|c| c.written_sectors).saturating_mul(SECTOR_BYTES),
        reads,
        writes,
        flushes,
        read_us: mean_us(since(|c| c.read_ms), reads),
        write_us: mean_us(since(|c| c.write_ms), writes),
        flush_us: mean_us(since(|c| c.flush_ms), flushes),
        queue_depth: share(since(|c| c.waited_ms)),
        busy_share: share(since(|c| c.busy_ms)).min(1.0),
    }
}

/// Kernels before 5.5 do not count flushes.
fn counters(stat: &str) -> Option<Counters> {
    let fields: Vec<u64> = stat.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let field = |index: usize| fields.get(index).copied();
    Some(Counters {
        reads: field(0)?,
        read_sectors: field(2)?,
        read_ms: field(3)?,
        writes: field(4)?,
        written_sectors: field(6)?,
        write_ms: field(7)?,
        busy_ms: field(9)?,
        waited_ms: field(10)?,
        flushes: field(15).unwrap_or(0),
        flush_ms: field(16).unwrap_or(0),
    })
}

/// Bytes read and written of `/proc/PID/io`.
fn process_io(io: &str) -> Option<(u64, u64)> {
    let of = |name: &str| io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some((of("read_bytes:")?, of("write_bytes:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "   10 1 80 5 100 2 1600 50 0 40 55 0 0 0 0 20 10\n";
    const AFTER: &str = "   10 1 80 5 300 2 5696 250 3 540 2055 0 0 0 0 70 60\n";

    #[test]
    fn the_kernels_counters_become_what_the_disk_did() {
        let (start, end) = (counters(BEFORE).expect("counters"), counters(AFTER).expect("counters"));
        let did = work(&start, &end, Duration::from_secs(1));
        assert_eq!((did.reads, did.writes, did.flushes), (0, 200, 50));
        assert_eq!((did.written_bytes, did.read_bytes), (4096 * 512, 0));
        assert_eq!((did.write_us, did.flush_us, did.read_us), (Some(1_000.0), Some(1_000.0), None));
        assert_eq!((did.queue_depth, did.busy_share), (2.0, 0.5));
        assert_eq!(counters("1 2 3"), None, "an old kernel's line is not guessed at");
        let old = counters("1 2 3 4 5 6 7 8 9 10 11").expect("a kernel without flushes");
        assert_eq!((old.flushes, old.waited_ms), (0, 11));
    }

    #[test]
    fn a_processs_bytes_are_read() {
        let io = "rchar: 9\nwchar: 9\nsyscr: 1\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 81920\ncancelled_write_bytes: 0\n";
        assert_eq!(process_io(io), Some((4_096, 81_920)));
        assert_eq!(process_io(""), None);
    }

    #[test]
    fn a_window_on_this_disk_is_watched_from_look_to_look() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_string() + "/..").expect("a directory");
        let Some(device) = Device::below(dir.path(), std::process::id()) else { return };
        let mut watching = device.watch(Duration::from_secs(1)).expect("it counts");
        std::fs::write(dir.path().join("f"), vec![7; 1 << 20]).expect("written");
        watching.close();
        let use_of = watching.finish().beside(1 << 20);
        assert_eq!(use_of.intervals[0].start_s, 0.0);
        assert!(use_of.window_s >= use_of.intervals[0].length_s && !use_of.device.is_empty());
        assert_eq!(use_of.broker_written_bytes.is_some(), use_of.write_amplification.is_some());
    }
}
