//! A made-up run, the same for the same seed: what outputs are tested with, and how the page can
//! be looked at without a broker (`cargo run --example sample_report -- DIR`).

use std::time::Duration;

use hdrhistogram::Histogram;

use super::curve::{Bound, CURVE_SCHEMA_VERSION, CurveDocument, CurveKind, CurveLimit, CurvePoint, Found};
use super::data::{
    Acks, Arrivals, BrokerFacts, BufferMode, DataCheck, DurabilityMode, Floor, FloorGroup, FloorUnit, Floors,
    FloorsSource, Interval, LATENCY_NS_MAX, LatencySet, LoadSettings, MachineFingerprint, Origin, RunReport,
    Setting, Setup, Share, SloResult, Throughput, Validity, latency_histogram,
};
use super::disk::{DiskInterval, DiskUse, DiskWork};
use super::floors::rounded;
use super::json::{Document, Percentiles};
use super::profile::{Hot, Profile};
use super::stages::{BrokerStages, CoreBusy, Mark, MarkKind, StageTime};
use super::{calendar, data};

/// Seconds in the made-up run.
const SECONDS: u64 = 30;
/// Records per second.
const RATE: u64 = 20_000;
/// Bytes per record.
const RECORD_BYTES: u64 = 1_024;
/// Start: 22 November 2026, 07:12:30 UTC.
const STARTED_UNIX_MS: u64 = 1_795_331_550_000;

/// SplitMix64: one multiplication away from a counter, and the same everywhere.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In (0, 1).
    fn fraction(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// About normal, mean 0 and deviation 1: twelve uniforms.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.fraction()).sum::<f64>() - 6.0
    }
}

/// Two windows that agree.
fn warm_up() -> data::WarmUpFacts {
    let window = |start_s, records, p50_us| data::WarmWindowFacts {
        start_s,
        length_s: 2.5,
        records,
        mb_per_s: (records * RECORD_BYTES) as f64 / 2.5 / 1e6,
        p50_us: Some(p50_us),
    };
    data::WarmUpFacts {
        end: data::WarmEnd::Agreed,
        untouched: 0,
        before: None,
        windows: vec![window(0.0, 49_910, 463.2), window(2.5, 50_104, 455.8)],
    }
}

/// What the broker's clocks would say of such a run.
fn stages() -> BrokerStages {
    let spread = |p50: f64, count| Percentiles {
        count,
        mean: rounded(p50 * 1.2),
        min: rounded(p50 * 0.6),
        p50: Some(p50),
        p90: Some(rounded(p50 * 1.5)),
        p99: Some(rounded(p50 * 3.0)),
        p999: Some(rounded(p50 * 8.0)),
        p9999: Some(rounded(p50 * 14.0)),
        max: rounded(p50 * 20.0),
    };
    let time = |api: &str, stage: &str, p50| StageTime {
        api: api.to_string(),
        stage: stage.to_string(),
        figures: spread(p50, 590_000),
    };
    BrokerStages {
        window_s: 30.0,
        time_us: vec![
            time("produce", "parse", 2.1),
            time("produce", "append", 3.4),
            time("produce", "commit", 61.0),
            time("produce", "journal", 58.0),
            time("produce", "flush", 152.0),
            time("produce", "acknowledge", 14.0),
            time("produce", "total", 298.0),
            time("fetch", "parse", 1.6),
            time("fetch", "wait", 402.0),
            time("fetch", "read_hot", 2.2),
            time("fetch", "send", 9.0),
            time("fetch", "total", 421.0),
        ],
        flush_bytes: Some(spread(8_192.0, 120_000)),
        acks_per_flush: Some(spread(5.0, 120_000)),
        cores: vec![CoreBusy { core: 0, busy_share: 0.34 }],
        marks: marks(),
    }
}

/// What its broker would have done when: the stall of the run is a slow flush.
fn marks() -> Vec<Mark> {
    let mark = |kind, second: u32, count| Mark { kind, start_s: f64::from(second), length_s: 1.0, count };
    let mut all: Vec<Mark> =
        (0..30).step_by(2).map(|s| mark(MarkKind::SegmentRolled, s, 1 + u64::from(s % 5))).collect();
    all.extend([4, 12, 20, 28].map(|s| mark(MarkKind::Checkpoint, s, 1)));
    all.extend([6, 12, 13, 21].map(|s| mark(MarkKind::Retention, s, 4)));
    all.push(mark(MarkKind::SlowFlush, 11, 3));
    all
}

/// A durable run of thirty seconds with one stall, a slow checkpoint and a valid verdict.
pub fn run(seed: u64) -> RunReport {
    slowed(seed, 1.0)
}

/// The same of a broker that takes `slowness` times as long.
pub fn slowed(seed: u64, slowness: f64) -> RunReport {
    let mut random = Seeded(seed);
    let intervals: Vec<Interval> =
        (0..SECONDS).map(|second| interval(&mut random, second, slowness)).collect();
    let mut latency = LatencySet::default();
    for interval in &intervals {
        latency.add(&interval.latency);
    }
    let records: u64 = intervals.iter().map(|interval| interval.records_in).sum();
    let read: u64 = intervals.iter().map(|interval| interval.records_out).sum();
    let wall = Duration::from_secs(SECONDS);
    let machine = machine();
    RunReport {
        run_id: calendar::run_id(STARTED_UNIX_MS, &machine.hardware_id),
        tool_version: "0.1.0 (a1b2c3d)".to_string(),
        workload: "embedded-default".to_string(),
        started_unix_ms: STARTED_UNIX_MS,
        duration: wall,
        warm_up: Duration::from_secs(5),
        warm_up_windows: Some(warm_up()),
        command_line: "ringlog bench --duration 30s --rate 20000 --record-size 1024 --batch-size 16384 \
                       --partitions 16 --producers 8 --consumers 2 --acks all --seed 7"
            .to_string(),
        settings: settings(),
        load: load(),
        machine,
        durability: DurabilityMode::Flushed { acks: Acks::All },
        broker: BrokerFacts {
            name: "ringlog 0.1.0".to_string(),
            address: "127.0.0.1:38041".to_string(),
            pid: Some(4121),
            cores: vec![0],
            cpu_seconds: Some(2.84),
            rss_bytes_max: Some(71 << 20),
            pool_bytes: Some(64 << 20),
            buffers: BufferMode::Unregistered,
            ready_ms: Some(38.2),
            stages: Some(stages()),
        },
        produced: Throughput { records, bytes: records * RECORD_BYTES, wall },
        consumed: Some(Throughput { records: read, bytes: read * RECORD_BYTES, wall }),
        latency,
        intervals,
        caught_up: Some(Throughput {
            records: records / 2,
            bytes: records / 2 * RECORD_BYTES,
            wall: Duration::from_secs(SECONDS),
        }),
        setup: Setup { created_ms: 4.2, led_ms: 6.8, touched_ms: 9.1 },
        slo: vec![SloResult {
            key: "produce.response_us.p99".to_string(),
            limit: "< 50ms".to_string(),
            value: None,
            held: false,
        }],
        check: DataCheck {
            sent: 7 * records / 6,
            acked: 7 * records / 6,
            read: 7 * records / 6,
            checked: true,
            ..DataCheck::default()
        },
        validity: Validity {
            late_share: 0.0002,
            achieved_share: 0.9998,
            generator_ceiling_mb_per_s: Some(412.0),
            generator_ceiling_share: Some(0.05),
            steal_share: Some(0.0008),
            others_share: Some(0.0123),
            ..Validity::default()
        },
        floors: Some(floors()),
        share_of_floor: shares(),
        profile: Some(profile()),
        disk: Some(disk(records)),
        partial: false,
    }
}

/// What a profiler would say.
fn profile() -> Profile {
    let hot = |share, module: &str, symbol: &str| Hot {
        share,
        module: module.to_string(),
        symbol: symbol.to_string(),
    };
    Profile {
        hertz: 97,
        file: "perf.data".to_string(),
        hot: vec![
            hot(0.211, "libc.so.6", "__memmove_avx512_unaligned_erms"),
            hot(0.128, "[kernel.kallsyms]", "finish_task_switch"),
            hot(0.074, "ringlog", "crc32c::hw_x86_64::crc_u64_parallel3"),
            hot(0.019, "ringlog", "<engine::log::segments::Segments>::apply"),
        ],
    }
}

/// A disk that writes a little more than the records, with the stall and the slow checkpoint of the made-up run.
fn disk(records: u64) -> DiskUse {
    let second = |second: u64| {
        let slow = if (20..=22).contains(&second) { 1.6 } else { 1.0 };
        let written_bytes = RATE * RECORD_BYTES * (if second == 11 { 9 } else { 11 }) / 10;
        DiskWork {
            written_bytes,
            writes: 5_600 + 40 * (second % 5),
            flushes: 4_000,
            read_bytes: 0,
            reads: 0,
            read_us: None,
            write_us: Some(rounded(74.0 * slow)),
            flush_us: Some(rounded(61.0 * slow)),
            queue_depth: rounded(0.66 * slow),
            busy_share: rounded(0.44 * slow),
        }
    };
    let intervals: Vec<DiskInterval> =
        (0..SECONDS).map(|s| DiskInterval { start_s: s as f64, length_s: 1.0, work: second(s) }).collect();
    let sum = |of: fn(&DiskWork) -> u64| intervals.iter().map(|i| of(&i.work)).sum::<u64>();
    let total = DiskWork {
        written_bytes: sum(|w| w.written_bytes),
        writes: sum(|w| w.writes),
        flushes: sum(|w| w.flushes),
        ..second(0)
    };
    let written = records * RECORD_BYTES * 108 / 100;
    DiskUse {
        device: "vda".to_string(),
        window_s: SECONDS as f64,
        total,
        broker_read_bytes: Some(0),
        broker_written_bytes: Some(written),
        write_amplification: Some(1.08),
        intervals,
    }
}

/// Made-up limits of the made-up machine.
fn floors() -> Floors {
    let row = |id: &str, group, label: &str, unit, value: f64| Floor {
        id: id.to_string(),
        group,
        label: label.to_string(),
        unit,
        value,
        passes: vec![rounded(value * 1.02), rounded(value * 0.98)],
        operations: 4_000,
        bytes: 4_000 << 12,
        wall_s: 2.0,
        latency_us: None,
        tail_ratio: None,
    };
    let latency = |p50| Percentiles {
        count: 120_000,
        mean: rounded(p50 * 1.1),
        min: rounded(p50 * 0.7),
        p50: Some(p50),
        p90: Some(rounded(p50 * 1.3)),
        p99: Some(rounded(p50 * 2.0)),
        p999: Some(rounded(p50 * 3.1)),
        p9999: Some(rounded(p50 * 4.2)),
        max: rounded(p50 * 9.0),
    };
    let timed =
        |floor: Floor| Floor { latency_us: Some(latency(floor.value)), tail_ratio: Some(4.2), ..floor };
    use FloorGroup::{Disk, Echo, Network, Processor};
    use FloorUnit::{MbPerS, P50Us};
    Floors {
        source: FloorsSource::AroundTheRun,
        started_unix_ms: STARTED_UNIX_MS - 20_000,
        seconds: 24.5,
        server_core: Some(0),
        client_core: Some(1),
        rows: vec![
            row("write_recycled_1m_d4", Disk, "direct write, pre-written file, 1 MiB x 4", MbPerS, 3_410.0),
            timed(row("overwrite_fdatasync_4k", Disk, "overwrite 4 KiB + fdatasync", P50Us, 124.0)),
            timed(row("round_trip_spin", Network, "round trip 1 KiB, both ends spin", P50Us, 31.0)),
            row("crc32c", Processor, "CRC-32C, 1 MiB", MbPerS, 17_900.0),
            timed(row("echo_rate", Echo, "durable echo, 20,000 records/s", P50Us, 226.0)),
        ],
    }
}

fn shares() -> Vec<Share> {
    let (ours, limit) = (391.0, 226.0);
    vec![Share {
        figure: "produce.response_us.p50".to_string(),
        floor: "durable echo at the same rate".to_string(),
        rows: vec!["echo_rate".to_string()],
        unit: FloorUnit::P50Us,
        ours,
        limit,
        ratio: rounded(ours / limit),
        share: rounded(limit / ours),
        binding: true,
    }]
}

/// A made-up search whose broker takes `run.load`'s rate and little more.
pub fn curve(run: &RunReport) -> CurveDocument {
    let document = Document::from(run);
    let points = [
        (5_000.0, 0.8),
        (10_000.0, 0.9),
        (20_000.0, 1.0),
        (40_000.0, 90.0),
        (30_000.0, 1.2),
        (35_000.0, 40.0),
    ];
    let points: Vec<CurvePoint> = points
        .into_iter()
        .enumerate()
        .map(|(index, (rate, slowness))| {
            let scaled = |us: f64| rounded(us * slowness);
            let response = document.produce.response_us.map(|p| Percentiles {
                p50: p.p50.map(scaled),
                p99: p.p99.map(scaled),
                p999: p.p999.map(scaled),
                p9999: p.p9999.map(scaled),
                ..p
            });
            let achieved = if rate > 30_000.0 { 31_500.0 } else { rate };
            CurvePoint {
                records_per_s: rate,
                achieved_records_per_s: achieved,
                mb_per_s: achieved * RECORD_BYTES as f64 / 1e6,
                achieved_share: achieved / rate,
                late_share: 0.0,
                held: achieved == rate,
                stopped_by: (achieved < rate).then_some(Bound::Rate),
                response_us: response,
                end_to_end_us: None,
                cpu_seconds: Some(rate / 5_000.0),
                run: format!("{}-{index:02}", run.run_id),
            }
        })
        .collect();
    CurveDocument {
        schema_version: CURVE_SCHEMA_VERSION,
        kind: CurveKind::Search,
        run_id: run.run_id.clone(),
        tool_version: run.tool_version.clone(),
        workload: run.workload.clone(),
        started_unix_ms: run.started_unix_ms,
        command_line: "ringlog bench search --limit p99.9=20ms".to_string(),
        durability: document.durability,
        broker: run.broker.clone(),
        machine: run.machine.clone(),
        max_records_per_s: Some(33_000.0),
        limit: Some(CurveLimit {
            percentile: "p999".to_string(),
            label: "p99.9 ≤ 20ms".to_string(),
            us: 20_000.0,
        }),
        found: Some(Found {
            records_per_s: 30_000.0,
            mb_per_s: 30.72,
            next_records_per_s: Some(35_000.0),
            stopped_by: Some(Bound::Rate),
            sentence: "30,000 records/s keep p99.9 ≤ 20ms; 35,000 do not".to_string(),
        }),
        partial: false,
        points,
    }
}

fn interval(random: &mut Seeded, second: u64, slowness: f64) -> Interval {
    // Second 11 has a stall whose backlog drains in the next one; 20 to 22 a slow checkpoint.
    let stalled = second == 11;
    let slow = if (20..=22).contains(&second) { 1.6 } else { 1.0 };
    let records_in = if stalled { RATE - 1_900 } else { RATE + if second == 12 { 1_900 } else { 0 } };
    let mut set = LatencySet {
        produce_response: Some(latency_histogram()),
        produce_service: Some(latency_histogram()),
        end_to_end: Some(latency_histogram()),
        fetch: Some(latency_histogram()),
    };
    for _ in 0..records_in {
        let mut service = 330e3 * slowness * slow * (0.28 * random.normal()).exp();
        if random.fraction() < 0.012 * slow {
            service += 900e3 * slowness * -random.fraction().ln();
        }
        if stalled && random.fraction() < 0.06 {
            service += 26e6 * random.fraction();
        }
        let queued = 45e3 * -random.fraction().ln() + if stalled { 0.25 * service } else { 0.0 };
        let delivered = 140e3 * (0.35 * random.normal()).exp();
        record(&mut set.produce_service, service);
        record(&mut set.produce_response, service + queued);
        record(&mut set.end_to_end, service + queued + delivered);
        record(&mut set.fetch, delivered);
    }
    let jitter = random.next() % 240;
    Interval {
        start: Duration::from_secs(second),
        length: data::interval_length(Duration::from_secs(SECONDS)),
        records_in,
        bytes_in: records_in * RECORD_BYTES,
        records_out: records_in - jitter,
        bytes_out: (records_in - jitter) * RECORD_BYTES,
        late_sends: if stalled { 120 } else { 0 },
        latency: set,
    }
}

fn record(histogram: &mut Option<Histogram<u64>>, ns: f64) {
    let ns = (ns.max(1.0) as u64).min(LATENCY_NS_MAX);
    histogram.get_or_insert_with(latency_histogram).record(ns).expect("within one hour");
}

fn load() -> LoadSettings {
    LoadSettings {
        arrivals: Arrivals::Fixed { records_per_s: RATE as f64 },
        record_bytes: RECORD_BYTES,
        batch_bytes: 16 << 10,
        linger_ms: 0.5,
        partitions: 16,
        producers: 8,
        consumers: 2,
        groups: 1,
        keys: 0,
        batch_records: 1,
        rate_plan: None,
        max_records_per_s: None,
        acks: Acks::All,
        compression: "none".to_string(),
        idempotence: true,
        seed: 7,
    }
}

fn settings() -> Vec<Setting> {
    let setting =
        |name: &str, value: &str, origin| Setting { name: name.into(), value: value.into(), origin };
    vec![
        setting("load.rate", "20000", Origin::Flag),
        setting("load.record_size", "1024", Origin::Flag),
        setting("load.batch_size", "16384", Origin::Default),
        setting("load.linger", "0.5ms", Origin::Default),
        setting("load.partitions", "16", Origin::Flag),
        setting("load.producers", "8", Origin::Workload),
        setting("load.consumers", "2", Origin::Workload),
        setting("load.acks", "all", Origin::Default),
        setting("load.compression", "none", Origin::Default),
        setting("load.idempotence", "true", Origin::Default),
        setting("load.seed", "7", Origin::Flag),
        setting("bench.data", "perf/data", Origin::Default),
        setting("broker.cores", "0", Origin::Derived),
        setting("listeners", "PLAINTEXT://127.0.0.1:38041", Origin::Derived),
        setting("flush.messages", "1", Origin::Default),
        setting("log.segment.bytes", "1073741824", Origin::Default),
        setting("message.max.bytes", "1048588", Origin::Default),
        setting("memory.pool_bytes", "67108864", Origin::Environment),
    ]
}

fn machine() -> MachineFingerprint {
    MachineFingerprint {
        hardware_id: "7f3c0a1b".to_string(),
        cpu_model: "Intel(R) Xeon(R) Processor".to_string(),
        cores: 2,
        memory_bytes: 25_276_502_016,
        kernel: "6.18.44 x86_64".to_string(),
        os: "Debian GNU/Linux 13 (trixie)".to_string(),
        filesystem: "ext4".to_string(),
        device: "/dev/vda".to_string(),
        device_model: String::new(),
        scheduler: "none".to_string(),
        write_cache: "write back".to_string(),
        logical_block_bytes: 512,
        mount_point: "/".to_string(),
        mount_options: "rw,relatime,discard".to_string(),
        clocksource: "tsc".to_string(),
        memlock_bytes: Some(8 << 20),
        governor: String::new(),
        kernel_command_line: "console=ttyS0 root=/dev/vda rw".to_string(),
    }
}
