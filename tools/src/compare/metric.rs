//! The figures of a run that can be compared, by name.

use super::stats::{Better, Finding};
use crate::report::data::SamplesOf;
use crate::report::quantile::{LADDER, Rung, carried_ns};
use crate::report::stored::StoredRun;
use crate::report::units;

/// One comparable figure of a run.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// As typed after `--metric`.
    pub name: &'static str,
    /// As printed.
    pub label: &'static str,
    /// Which way it improves.
    pub better: Better,
    /// What [`of`](Metric::of) returns.
    pub unit: Unit,
    source: Source,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Unit {
    /// 10^6 bytes of keys and values a second.
    #[serde(rename = "MB/s")]
    MbPerS,
    /// Microseconds.
    #[serde(rename = "us")]
    Us,
    /// CPU seconds of the broker per 10^9 bytes that producers got acknowledged (or consumers read).
    #[serde(rename = "s/GB")]
    SecondsPerGb,
    /// Bytes.
    #[serde(rename = "bytes")]
    Bytes,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Ms,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Latency(SamplesOf, Rung),
    Figure(fn(&StoredRun) -> Option<f64>),
}

/// The metrics that decide when none is named: they carry the exit code.
pub const PRIMARY: [&str; 2] = ["throughput", "produce_p99"];

const fn latency(name: &'static str, label: &'static str, samples: SamplesOf, rung: usize) -> Metric {
    Metric {
        name,
        label,
        better: Better::Lower,
        unit: Unit::Us,
        source: Source::Latency(samples, LADDER[rung]),
    }
}

const RESPONSE: SamplesOf = |set| set.produce_response.as_ref();
const SERVICE: SamplesOf = |set| set.produce_service.as_ref();
const END_TO_END: SamplesOf = |set| set.end_to_end.as_ref();
const FETCH: SamplesOf = |set| set.fetch.as_ref();

/// Every metric, in the order in which they are shown.
pub const METRICS: [Metric; 20] = [
    Metric {
        name: "throughput",
        label: "throughput in",
        better: Better::Higher,
        unit: Unit::MbPerS,
        source: Source::Figure(throughput_in),
    },
    Metric {
        name: "throughput_read",
        label: "throughput out",
        better: Better::Higher,
        unit: Unit::MbPerS,
        source: Source::Figure(|run| run.document.throughput_read.map(|rates| rates.mb_per_s)),
    },
    latency("produce_p50", "produce p50", RESPONSE, 0),
    latency("produce_p90", "produce p90", RESPONSE, 1),
    latency("produce_p99", "produce p99", RESPONSE, 2),
    latency("produce_p999", "produce p99.9", RESPONSE, 3),
    latency("produce_p9999", "produce p99.99", RESPONSE, 4),
    latency("service_p50", "service p50", SERVICE, 0),
    latency("service_p99", "service p99", SERVICE, 2),
    latency("service_p999", "service p99.9", SERVICE, 3),
    latency("end_to_end_p50", "end to end p50", END_TO_END, 0),
    latency("end_to_end_p99", "end to end p99", END_TO_END, 2),
    latency("end_to_end_p999", "end to end p99.9", END_TO_END, 3),
    latency("end_to_end_p9999", "end to end p99.99", END_TO_END, 4),
    latency("fetch_p50", "fetch p50", FETCH, 0),
    latency("fetch_p99", "fetch p99", FETCH, 2),
    latency("fetch_p999", "fetch p99.9", FETCH, 3),
    Metric {
        name: "cpu_per_gb",
        label: "broker CPU per GB",
        better: Better::Lower,
        unit: Unit::SecondsPerGb,
        source: Source::Figure(cpu_per_gb),
    },
    Metric {
        name: "resident",
        label: "resident memory",
        better: Better::Lower,
        unit: Unit::Bytes,
        source: Source::Figure(|run| run.document.broker.rss_bytes_max.map(|bytes| bytes as f64)),
    },
    Metric {
        name: "ready",
        label: "ready after",
        better: Better::Lower,
        unit: Unit::Ms,
        source: Source::Figure(|run| run.document.broker.ready_ms),
    },
];

/// A run that only reads takes nothing in: that is not a throughput of zero.
fn throughput_in(run: &StoredRun) -> Option<f64> {
    let document = &run.document;
    let only_read = document.throughput.records == 0 && document.throughput_read.is_some();
    (!only_read).then_some(document.throughput.mb_per_s)
}

fn cpu_per_gb(run: &StoredRun) -> Option<f64> {
    let document = &run.document;
    let moved = match document.throughput.bytes {
        0 => document.throughput_read.map_or(0, |rates| rates.bytes),
        bytes => bytes,
    };
    let cpu = document.broker.cpu_seconds?;
    (moved > 0).then(|| cpu / (moved as f64 / 1e9))
}

/// The metric of that name.
pub fn named(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

impl Metric {
    /// The figure of one run: a percentile of its own merged histogram, or a figure of its report.
    /// `None` when it was not measured or its samples do not carry it.
    pub fn of(&self, run: &StoredRun) -> Option<f64> {
        match self.source {
            Source::Latency(samples, rung) => {
                samples(&run.latency).and_then(|h| carried_ns(h, rung)).map(|ns| ns as f64 / 1e3)
            }
            Source::Figure(of) => of(run),
        }
    }

    /// The samples behind a latency metric.
    pub fn samples(&self) -> Option<SamplesOf> {
        match self.source {
            Source::Latency(samples, _) => Some(samples),
            Source::Figure(_) => None,
        }
    }

    /// A figure of this metric as people read it.
    pub fn shown(&self, value: f64) -> String {
        match self.unit {
            Unit::MbPerS => format!("{} MB/s", units::significant(value)),
            Unit::Us => units::latency((value * 1e3).round() as u64),
            Unit::SecondsPerGb => format!("{} s/GB", units::significant(value)),
            Unit::Bytes => units::bytes(value.round() as u64),
            Unit::Ms => format!("{} ms", units::significant(value)),
        }
    }

    /// The word for a finding about this metric: memory is not faster, it is smaller.
    pub fn word(&self, finding: Finding) -> &'static str {
        match (self.unit, finding) {
            (Unit::Bytes, Finding::Faster) => "smaller",
            (Unit::Bytes, Finding::Slower) => "larger",
            (Unit::SecondsPerGb, Finding::Faster) => "cheaper",
            (Unit::SecondsPerGb, Finding::Slower) => "dearer",
            _ => finding.word(),
        }
    }
}
