//! What the broker's own clocks say of the measured window.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::json::Percentiles;

/// Times of each stage, sizes of flushes, and how busy the cores were, between two looks at the broker's
/// admin endpoint: at the start of the window and at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BrokerStages {
    /// Between the two looks.
    pub window_s: f64,
    /// All cores together; stages that never happened are absent.
    pub time_us: Vec<StageTime>,
    /// Bytes of each flushed journal frame.
    pub flush_bytes: Option<Percentiles>,
    /// Replies that each durable frame released.
    pub acks_per_flush: Option<Percentiles>,
    /// Core by core.
    pub cores: Vec<CoreBusy>,
    /// What it did when, in order of time; a second in which a kind of work did not happen has none of it.
    #[serde(default)]
    pub marks: Vec<Mark>,
}

/// Work that may show in latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// A segment was closed and the next begun.
    SegmentRolled,
    /// A checkpoint was taken.
    Checkpoint,
    /// Retention or DeleteRecords took a segment out of its log.
    Retention,
    /// A round of compaction ended.
    Compaction,
    /// A flush took longer than 10 ms.
    SlowFlush,
}

impl MarkKind {
    /// All of them, in the order in which they are drawn.
    pub const ALL: [MarkKind; 5] =
        [Self::SegmentRolled, Self::Checkpoint, Self::Retention, Self::Compaction, Self::SlowFlush];

    /// As drawn.
    pub fn word(self) -> &'static str {
        match self {
            Self::SegmentRolled => "segment roll",
            Self::Checkpoint => "checkpoint",
            Self::Retention => "retention",
            Self::Compaction => "compaction",
            Self::SlowFlush => "flush > 10 ms",
        }
    }
}

/// Work of one kind between two looks at the broker's counters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Which.
    pub kind: MarkKind,
    /// From the start of the window to the earlier look, seconds.
    pub start_s: f64,
    /// Between the looks, seconds.
    pub length_s: f64,
    /// How often it happened.
    pub count: u64,
}

/// One stage of one API, microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// `produce` or `fetch`.
    pub api: String,
    /// As the broker's table of stages has it.
    pub stage: String,
    /// The figures.
    #[serde(flatten)]
    pub figures: Percentiles,
}

/// One core.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CoreBusy {
    /// Which, from 0.
    pub core: u16,
    /// CPU time of its thread over the time that passed, 0 to 1.
    pub busy_share: f64,
}

impl StageTime {
    /// The figures of a histogram of nanoseconds; `None` if it is empty.
    pub fn of(api: &str, stage: &str, nanos: &Histogram<u64>) -> Option<StageTime> {
        let figures = Percentiles::of(Some(nanos))?;
        Some(StageTime { api: api.to_string(), stage: stage.to_string(), figures })
    }
}
