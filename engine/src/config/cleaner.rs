//! Settings of log compaction.

use std::time::Duration;

/// Settings of compaction, each under Kafka's name in its doc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CleanerSettings {
    /// `log.cleaner.enable`.
    pub enabled: bool,
    /// `log.cleaner.dedupe.buffer.size`: memory for the keys of a round, bytes.
    pub dedupe_bytes: u64,
    /// `log.cleaner.io.buffer.load.factor`: how full that memory may be, millionths.
    pub load_ppm: u32,
    /// `log.cleaner.io.max.bytes.per.second`: read and written together; `u64::MAX` is no limit.
    pub io_bytes_per_second: u64,
    /// `log.cleaner.backoff.ms`: how long it rests when nothing is due.
    pub backoff: Duration,
}

impl CleanerSettings {
    /// What one of `cores` cores has of memory and I/O. Each may compact at any time.
    #[must_use]
    pub fn share(self, cores: u16) -> CleanerSettings {
        let cores = u64::from(cores.max(1));
        let io_bytes_per_second = match self.io_bytes_per_second {
            u64::MAX => u64::MAX,
            limit => (limit / cores).max(1),
        };
        CleanerSettings { dedupe_bytes: self.dedupe_bytes / cores, io_bytes_per_second, ..self }
    }
}

impl Default for CleanerSettings {
    /// Kafka's defaults.
    fn default() -> CleanerSettings {
        CleanerSettings {
            enabled: true,
            dedupe_bytes: 128 * 1024 * 1024,
            load_ppm: 900_000,
            io_bytes_per_second: u64::MAX,
            backoff: Duration::from_secs(15),
        }
    }
}
