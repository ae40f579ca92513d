//! What the disk did in the measured window, by the kernel's own counters.
//!
//! Two sources that answer different questions: the whole disk's (`/sys/block/*/stat`: requests, their times, how many
//! waited at once, other programs included), and the broker process's (`/proc/PID/io`: bytes that it caused). A broker that
//! writes to the page cache causes them when it makes pages dirty; the disk sees them when the kernel writes them out.

use serde::{Deserialize, Serialize};

/// The disk below the data directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskUse {
    /// Its name in `/sys/block`.
    pub device: String,
    /// Between the first look and the last.
    pub window_s: f64,
    /// The whole disk.
    #[serde(flatten)]
    pub total: DiskWork,
    /// Bytes that the broker's process read from the disk; `None` where the kernel does not tell.
    pub broker_read_bytes: Option<u64>,
    /// Bytes that it wrote there, or will have.
    pub broker_written_bytes: Option<u64>,
    /// The latter over the bytes of keys and values that were acknowledged; `None` when nothing was.
    pub write_amplification: Option<f64>,
    /// The whole disk over time.
    pub intervals: Vec<DiskInterval>,
}

/// One look to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskInterval {
    /// From the start of the window.
    pub start_s: f64,
    /// Length.
    pub length_s: f64,
    /// What the disk did.
    #[serde(flatten)]
    pub work: DiskWork,
}

/// What a disk did in some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct DiskWork {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Read requests completed.
    pub reads: u64,
    /// Write requests completed.
    pub writes: u64,
    /// Flushes of the disk's cache completed.
    pub flushes: u64,
    /// Mean time of a read, queueing in the kernel included.
    pub read_us: Option<f64>,
    /// Mean time of a write.
    pub write_us: Option<f64>,
    /// Mean time of a flush.
    pub flush_us: Option<f64>,
    /// Requests under way at once, in the mean.
    pub queue_depth: f64,
    /// Share of the time in which at least one was under way.
    pub busy_share: f64,
}

impl DiskUse {
    /// The same beside the bytes of keys and values that were acknowledged meanwhile.
    #[must_use]
    pub fn beside(mut self, acked_bytes: u64) -> Self {
        let written = self.broker_written_bytes.filter(|_| acked_bytes > 0);
        self.write_amplification = written.map(|bytes| bytes as f64 / acked_bytes as f64);
        self
    }
}

impl DiskInterval {
    /// 10^6 bytes written a second.
    pub fn written_mb_per_s(&self) -> f64 {
        per_s(self.work.written_bytes, self.length_s) / 1e6
    }

    /// 10^6 bytes read a second.
    pub fn read_mb_per_s(&self) -> f64 {
        per_s(self.work.read_bytes, self.length_s) / 1e6
    }
}

/// `count` over `seconds`.
pub fn per_s(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}
