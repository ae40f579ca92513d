//! `report.json`: the run as a document with a version. `perf/report-schema.md` describes each key.
//!
//! Latencies are microseconds with the nanoseconds as decimals; a percentile that the samples do
//! not carry is `null`. [`Document`] is also what the page takes its figures from, so the two
//! cannot differ.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::data::{
    BrokerFacts, CheckVerdict, DiskUse, DurabilityMode, Floors, Interval, LoadSettings, MachineFingerprint,
    Profile, RunReport, SCHEMA_VERSION, Setting, Setup, Share, SloResult, Throughput, Verdict, WarmUpFacts,
};
use super::quantile::{LADDER, carried_ns};

/// The whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Names the run folder.
    pub run_id: String,
    /// Version and commit of the tool.
    pub tool_version: String,
    /// Name of the workload.
    pub workload: String,
    /// Start of the measured window, milliseconds since the epoch.
    pub started_unix_ms: u64,
    /// Planned length of the window.
    pub duration_s: f64,
    /// Warm-up before it.
    pub warm_up_s: f64,
    /// Its windows, where a rule ended it.
    pub warm_up: Option<WarmUpFacts>,
    /// True when the run was interrupted.
    pub partial: bool,
    /// `valid`, `invalid` or `data_check_failed`.
    pub verdict: Verdict,
    /// The command that repeats the run.
    pub command_line: String,
    /// What an acknowledgement meant.
    pub durability: Durability,
    /// The settings that decide what was measured.
    pub load: LoadSettings,
    /// Work done for producers.
    pub throughput: Rates,
    /// Work done for consumers.
    pub throughput_read: Option<Rates>,
    /// Work done for catch-up readers, which `throughput_read` leaves out.
    pub catch_up: Option<Rates>,
    /// What making the topic ready took.
    pub setup: Setup,
    /// Limits and whether they held.
    pub slo: Vec<SloResult>,
    /// Produce latency.
    pub produce: Produce,
    /// Planned send to the consumer that has the record.
    pub end_to_end_us: Option<Percentiles>,
    /// Fetch request to its complete answer.
    pub fetch_us: Option<Percentiles>,
    /// The data check.
    pub check: Check,
    /// Whether the generator kept its plan.
    pub validity: ValidityDocument,
    /// What the machine could do.
    #[serde(default)]
    pub floors: Option<Floors>,
    /// How near the run came to it.
    #[serde(default)]
    pub share_of_floor: Vec<Share>,
    /// Where the broker's CPU time went.
    #[serde(default)]
    pub profile: Option<Profile>,
    /// What the disk did.
    #[serde(default)]
    pub disk: Option<DiskUse>,
    /// The broker under load.
    pub broker: BrokerFacts,
    /// Where it ran.
    pub machine: MachineFingerprint,
    /// Every setting with its origin.
    pub settings: Vec<Setting>,
    /// The window cut into intervals.
    pub intervals: Vec<IntervalDocument>,
}

/// What an acknowledgement meant, and its sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Durability {
    /// As printed in headers.
    pub label: String,
    /// `mode`, `acks` and what belongs to the mode.
    #[serde(flatten)]
    pub mode: DurabilityMode,
}

/// Work over wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Records.
    pub records: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Wall clock.
    pub wall_s: f64,
    /// `records / wall_s`.
    pub records_per_s: f64,
    /// `bytes / wall_s / 10^6`.
    pub mb_per_s: f64,
    /// `bytes / wall_s / 2^20`.
    pub mib_per_s: f64,
}

impl From<&Throughput> for Rates {
    fn from(throughput: &Throughput) -> Self {
        Self {
            records: throughput.records,
            bytes: throughput.bytes,
            wall_s: throughput.wall.as_secs_f64(),
            records_per_s: throughput.records_per_s(),
            mb_per_s: throughput.mb_per_s(),
            mib_per_s: throughput.mib_per_s(),
        }
    }
}

/// Produce latency from both starting points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Produce {
    /// From the planned send.
    pub response_us: Option<Percentiles>,
    /// From the actual send.
    pub service_us: Option<Percentiles>,
}

/// One histogram in figures, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Samples.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Smallest sample.
    pub min: f64,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p999: Option<f64>,
    /// 99.99th percentile.
    pub p9999: Option<f64>,
    /// Largest sample.
    pub max: f64,
}

impl Percentiles {
    /// Of nanoseconds, in microseconds. `None` for an empty or absent histogram.
    pub fn of(histogram: Option<&Histogram<u64>>) -> Option<Self> {
        Self::in_units(histogram, 1e3)
    }

    /// Of any values, as they are. `None` for an empty or absent histogram.
    pub fn plain(histogram: Option<&Histogram<u64>>) -> Option<Self> {
        Self::in_units(histogram, 1.0)
    }

    fn in_units(histogram: Option<&Histogram<u64>>, unit: f64) -> Option<Self> {
        let histogram = histogram.filter(|histogram| !histogram.is_empty())?;
        let [p50, p90, p99, p999, p9999] =
            LADDER.map(|rung| carried_ns(histogram, rung).map(|value| value as f64 / unit));
        Some(Self {
            count: histogram.len(),
            mean: (histogram.mean()).round() / unit,
            min: histogram.min() as f64 / unit,
            p50,
            p90,
            p99,
            p999,
            p9999,
            max: histogram.max() as f64 / unit,
        })
    }

    /// The percentiles in the order of [`LADDER`].
    pub fn ladder(&self) -> [Option<f64>; LADDER.len()] {
        [self.p50, self.p90, self.p99, self.p999, self.p9999]
    }
}

/// The data check with its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `passed`, `failed` or `not_checked`.
    pub verdict: CheckVerdict,
    /// Records sent.
    pub sent: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Records read.
    pub read: u64,
    /// Acknowledged, deleted by retention before they were read.
    pub expired: u64,
    /// Acknowledged, never read.
    pub lost: u64,
    /// Read more than once.
    pub duplicate: u64,
    /// Read out of order.
    pub reordered: u64,
    /// Read with other bytes.
    pub corrupt: u64,
}

/// Whether the generator kept its plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidityDocument {
    /// `reasons` is empty.
    pub valid: bool,
    /// Share of late sends, 0 to 1.
    pub late_share: f64,
    /// Achieved over planned rate.
    pub achieved_share: f64,
    /// What the generator reached on a broker that keeps nothing.
    #[serde(default)]
    pub generator_ceiling_mb_per_s: Option<f64>,
    /// The run's throughput over that.
    #[serde(default)]
    pub generator_ceiling_share: Option<f64>,
    /// Half of it or more.
    #[serde(default)]
    pub generator_bound: bool,
    /// Taken by the machine's host, of all CPU time.
    #[serde(default)]
    pub steal_share: Option<f64>,
    /// Used neither by broker nor generator.
    #[serde(default)]
    pub others_share: Option<f64>,
    /// Why the run does not count.
    pub reasons: Vec<String>,
}

/// One interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntervalDocument {
    /// From the start of the window.
    pub start_s: f64,
    /// Length.
    pub length_s: f64,
    /// Records acknowledged.
    pub records_in: u64,
    /// Bytes acknowledged.
    pub bytes_in: u64,
    /// Records read.
    pub records_out: u64,
    /// Bytes read.
    pub bytes_out: u64,
    /// Late sends.
    pub late_sends: u64,
    /// Produce latency.
    pub produce: Produce,
    /// End-to-end latency.
    pub end_to_end_us: Option<Percentiles>,
    /// Fetch latency.
    pub fetch_us: Option<Percentiles>,
}

impl From<&Interval> for IntervalDocument {
    fn from(interval: &Interval) -> Self {
        Self {
            start_s: interval.start.as_secs_f64(),
            length_s: interval.length.as_secs_f64(),
            records_in: interval.records_in,
            bytes_in: interval.bytes_in,
            records_out: interval.records_out,
            bytes_out: interval.bytes_out,
            late_sends: interval.late_sends,
            produce: Produce {
                response_us: Percentiles::of(interval.latency.produce_response.as_ref()),
                service_us: Percentiles::of(interval.latency.produce_service.as_ref()),
            },
            end_to_end_us: Percentiles::of(interval.latency.end_to_end.as_ref()),
            fetch_us: Percentiles::of(interval.latency.fetch.as_ref()),
        }
    }
}

impl From<&RunReport> for Document {
    fn from(report: &RunReport) -> Self {
        let check = &report.check;
        Self {
            schema_version: SCHEMA_VERSION,
            run_id: report.run_id.clone(),
            tool_version: report.tool_version.clone(),
            workload: report.workload.clone(),
            started_unix_ms: report.started_unix_ms,
            duration_s: report.duration.as_secs_f64(),
            warm_up_s: report.warm_up.as_secs_f64(),
            warm_up: report.warm_up_windows.clone(),
            partial: report.partial,
            verdict: report.verdict(),
            command_line: report.command_line.clone(),
            durability: Durability { label: report.durability.label(), mode: report.durability.clone() },
            load: report.load.clone(),
            throughput: Rates::from(&report.produced),
            throughput_read: report.consumed.as_ref().map(Rates::from),
            catch_up: report.caught_up.as_ref().map(Rates::from),
            setup: report.setup,
            slo: report.slo.clone(),
            produce: Produce {
                response_us: Percentiles::of(report.latency.produce_response.as_ref()),
                service_us: Percentiles::of(report.latency.produce_service.as_ref()),
            },
            end_to_end_us: Percentiles::of(report.latency.end_to_end.as_ref()),
            fetch_us: Percentiles::of(report.latency.fetch.as_ref()),
            check: Check {
                verdict: check.verdict(),
                sent: check.sent,
                acked: check.acked,
                read: check.read,
                expired: check.expired,
                lost: check.lost,
                duplicate: check.duplicate,
                reordered: check.reordered,
                corrupt: check.corrupt,
            },
            validity: ValidityDocument {
                valid: report.validity.is_valid(),
                late_share: report.validity.late_share,
                achieved_share: report.validity.achieved_share,
                generator_ceiling_mb_per_s: report.validity.generator_ceiling_mb_per_s,
                generator_ceiling_share: report.validity.generator_ceiling_share,
                generator_bound: report.validity.generator_bound,
                steal_share: report.validity.steal_share,
                others_share: report.validity.others_share,
                reasons: report.validity.reasons.clone(),
            },
            floors: report.floors.clone(),
            share_of_floor: report.share_of_floor.clone(),
            profile: report.profile.clone(),
            disk: report.disk.clone(),
            broker: report.broker.clone(),
            machine: report.machine.clone(),
            settings: report.settings.clone(),
            intervals: report.intervals.iter().map(IntervalDocument::from).collect(),
        }
    }
}
