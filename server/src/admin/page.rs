//! Reports as Prometheus text. `server/README.md` lists the families.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::board::CoreReport;
use crate::runtime::{Reason, Stage};

/// A shard's number and how to get it.
type ShardMetric = (&'static str, &'static str, &'static str, fn(&CoreReport) -> u64);

const SHARD: &[ShardMetric] = &[
    ("partitions", "gauge", "Partitions hosted.", |r| r.shard.partitions),
    ("records_appended", "counter", "Records appended.", |r| r.shard.records),
    ("log_bytes_in", "counter", "Bytes of batches appended.", |r| r.shard.bytes_in),
    ("log_bytes_out", "counter", "Bytes of batches handed to fetches.", |r| r.shard.bytes_out),
    ("log_bytes_read_cold", "counter", "Bytes of them read from segments.", |r| r.shard.bytes_read_cold),
    ("commits", "counter", "Group commits.", |r| r.shard.commits),
    ("flushes", "counter", "Group commits that were flushed.", |r| r.shard.flushes),
    ("journal_bytes", "counter", "Bytes written to the journal.", |r| r.shard.journal_bytes),
    ("extents", "counter", "Batches written straight to their segments.", |r| r.shard.extents),
    ("segment_bytes", "counter", "Bytes written to segments.", |r| r.shard.segment_bytes),
    ("files_open", "gauge", "Segment files that are open.", |r| r.shard.files_open),
    ("files_opened", "counter", "Segment files opened.", |r| r.shard.files_opened),
    ("files_closed", "counter", "Idle segment files closed to make room for others.", |r| {
        r.shard.files_closed
    }),
    ("checkpoints", "counter", "Checkpoints taken.", |r| r.shard.checkpoints),
    ("compactions", "counter", "Rounds of compaction that ended.", |r| r.shard.compactions),
    ("compaction_bytes_read", "counter", "Bytes that compaction has read.", |r| {
        r.shard.compaction_bytes_read
    }),
    ("compaction_bytes_written", "counter", "Bytes that compaction has written.", |r| {
        r.shard.compaction_bytes_written
    }),
    ("compaction_records_dropped", "counter", "Records that compaction has dropped.", |r| {
        r.shard.compaction_records_dropped
    }),
    ("compaction_errors", "counter", "Rounds of compaction that failed.", |r| r.shard.compaction_errors),
    (
        "compaction_dirty_percent_max",
        "gauge",
        "Uncompacted part of the dirtiest compacted log, percent.",
        |r| r.shard.compaction_dirty_percent_max,
    ),
    (
        "compaction_uncleanable_partitions",
        "gauge",
        "Partitions left alone for a while because their compaction failed.",
        |r| r.shard.compaction_uncleanable_partitions,
    ),
    ("segments_rolled", "counter", "Segments that gave way to their successor.", |r| r.shard.segments_rolled),
    ("segments_deleted", "counter", "Segments deleted by age, size or DeleteRecords.", |r| {
        r.shard.segments_dropped
    }),
    ("deleted_bytes", "gauge", "Bytes of deleted files that are still to be given back.", |r| {
        r.shard.deleted_bytes
    }),
    ("duplicates", "counter", "Duplicates of idempotent producers.", |r| r.shard.duplicates),
    (
        "segments_dropped",
        "counter",
        "Segments that retention and DeleteRecords took out of their logs.",
        |r| r.shard.segments_dropped,
    ),
    ("segment_errors", "counter", "Operations on segments that failed.", |r| r.shard.segment_errors),
    ("offline", "gauge", "1 while the core's journal cannot be written.", |r| r.shard.offline),
    ("journals_failed", "counter", "Journal files that failed.", |r| r.shard.journals_failed),
    ("checkpoints_failed", "counter", "Checkpoints that failed and are tried again.", |r| {
        r.shard.checkpoints_failed
    }),
    ("partitions_offline", "gauge", "Partitions that refuse appends: a file of theirs failed.", |r| {
        r.shard.partitions_offline
    }),
    ("partitions_fenced", "gauge", "Partitions that are read only: their journal was damaged.", |r| {
        r.shard.partitions_fenced
    }),
    ("damaged_ranges", "gauge", "Damaged ranges of segments that are fenced; see /damage.", |r| {
        r.shard.damaged_ranges
    }),
    ("damaged_bytes", "gauge", "Their bytes.", |r| r.shard.damaged_bytes),
    ("read_errors", "counter", "Reads of segments that failed.", |r| r.shard.read_errors),
    ("read_probes", "counter", "Reads made because another failed, to learn what can be read.", |r| {
        r.shard.read_probes
    }),
    ("damages_found", "counter", "Damaged ranges found, by readers and by the scrub.", |r| {
        r.shard.damages_found
    }),
    (
        "group_load_ranges_passed_over",
        "counter",
        "Ranges of __consumer_offsets that could not be read when groups were loaded.",
        |r| r.shard.load_ranges_passed_over,
    ),
    (
        "group_load_offsets_passed_over",
        "counter",
        "Their offsets: what was committed in them is as it was before.",
        |r| r.shard.load_offsets_passed_over,
    ),
    ("repaired_bytes", "counter", "Bytes of damaged ranges that were put back from a copy.", |r| {
        r.shard.repaired_bytes
    }),
    ("clock_held", "gauge", "1: the wall clock jumped and is not believed; see /clock.", |r| {
        u64::from(r.clock.held)
    }),
    ("clock_ahead_ms", "gauge", "How far the wall clock is ahead of what is known of it, ms.", |r| {
        r.clock.ahead_ms.max(0).unsigned_abs()
    }),
    ("scrub_pass", "gauge", "Passes of the scrub begun.", |r| r.scrub.pass),
    ("scrub_checked_bytes", "gauge", "Bytes of this pass of the scrub that were checked.", |r| {
        r.scrub.checked
    }),
    ("scrub_total_bytes", "gauge", "Bytes of all segments: what a pass of the scrub covers.", |r| {
        r.scrub.total
    }),
    ("scrub_ended_ms", "gauge", "When the last whole pass of the scrub ended, Unix ms; 0 none did.", |r| {
        r.scrub.ended.0.unsigned_abs()
    }),
    ("disk_free_bytes", "gauge", "Free bytes of the data directory's file system.", |r| {
        r.shard.disk_bytes_free
    }),
    ("disk_floor_bytes", "gauge", "Free bytes below which producers are refused.", |r| {
        r.shard.disk_bytes_floor
    }),
    ("disk_level", "gauge", "0: room for all; 1: not for producers; 2: not for commits.", |r| {
        r.shard.disk_level
    }),
    ("disk_ballast_bytes", "gauge", "Bytes kept to be given up on a full disk.", |r| r.shard.ballast_bytes),
    ("disk_full_errors", "counter", "Operations that the disk had no space for.", |r| {
        r.shard.no_space_errors
    }),
    ("produce_refused_no_space", "counter", "Batches refused for lack of space.", |r| {
        r.shard.appends_no_space
    }),
    ("unwritten_bytes", "gauge", "Bytes acknowledged and not yet in a segment.", |r| r.shard.unwritten_bytes),
    ("pool_bytes", "gauge", "The I/O pool, bytes.", |r| r.shard.pool_bytes),
    ("pool_bytes_free", "gauge", "Its free part, bytes.", |r| r.shard.pool_bytes_free),
    ("connections", "gauge", "Connections open.", |r| r.connections as u64),
    ("receive_bytes", "gauge", "Receive memory held, bytes.", |r| r.receive_bytes as u64),
    ("lease_bytes", "gauge", "Log memory held by replies, bytes.", |r| r.lease_bytes as u64),
    ("io_queue_depth", "gauge", "Disk operations under way.", |r| r.disk_ops as u64),
    ("commit_waiters", "gauge", "Requests that wait for a group commit.", |r| r.commit_waiters as u64),
    ("mailbox_depth", "gauge", "Mails that wait to be handed to other cores.", |r| r.mails_waiting as u64),
];

/// Upper bounds of the buckets of times, nanoseconds: 1, 2.5 and 5 of each decade, 1 µs to 10 s.
const NANOS: [u64; 22] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

const NANOS_PER_SECOND: f64 = 1e9;

/// The page.
pub(super) fn render(cores: &[CoreReport]) -> String {
    let mut out = String::new();
    for (name, kind, doc, value) in SHARD {
        family(&mut out, name, kind, doc);
        for (id, report) in cores.iter().enumerate() {
            line(&mut out, name, &format!("core=\"{id}\""), value(report));
        }
    }
    let counters = cores.first().map(|r| r.counters.as_slice()).unwrap_or_default();
    for (at, (name, doc, _)) in counters.iter().enumerate() {
        let name = format!("{name}_total");
        family(&mut out, &name, "counter", doc);
        for (id, report) in cores.iter().enumerate() {
            if let Some((_, _, value)) = report.counters.get(at) {
                line(&mut out, &name, &format!("core=\"{id}\""), *value);
            }
        }
    }
    family(&mut out, "connections_closed_total", "counter", "Connections closed, by reason.");
    for (id, report) in cores.iter().enumerate() {
        for (reason, value) in Reason::NAMES.iter().zip(report.closed) {
            line(&mut out, "connections_closed_total", &format!("core=\"{id}\",reason=\"{reason}\""), value);
        }
    }
    seconds(&mut out, "core_busy_seconds_total", "CPU time of the core's thread.", cores, |r| r.busy_nanos);
    let doc = "Monotonic clock of the process when the core's numbers were taken.";
    seconds(&mut out, "core_clock_seconds_total", doc, cores, |r| r.at.0);
    let doc = "Time of each stage of a request. No stage `replicate`: one node has nobody to wait for.";
    family(&mut out, "request_seconds", "histogram", doc);
    for (id, report) in cores.iter().enumerate() {
        for (histogram, (api, stage)) in report.histograms.stages.iter().zip(Stage::NAMES) {
            let labels = format!("core=\"{id}\",api=\"{api}\",stage=\"{stage}\"");
            buckets(&mut out, "request_seconds", &labels, histogram, &NANOS, NANOS_PER_SECOND);
        }
    }
    family(&mut out, "flush_bytes", "histogram", "Bytes of each flushed journal frame.");
    for (id, report) in cores.iter().enumerate() {
        let sizes: [u64; 10] = std::array::from_fn(|i| 4096 << (2 * i));
        buckets(
            &mut out,
            "flush_bytes",
            &format!("core=\"{id}\""),
            &report.histograms.flush_bytes,
            &sizes,
            1.0,
        );
    }
    family(&mut out, "acks_per_flush", "histogram", "Requests that each durable frame released.");
    for (id, report) in cores.iter().enumerate() {
        let counts: [u64; 12] = std::array::from_fn(|i| 1 << i);
        let histogram = &report.histograms.acks_per_flush;
        buckets(&mut out, "acks_per_flush", &format!("core=\"{id}\""), histogram, &counts, 1.0);
    }
    if let Some(zero) = cores.first() {
        family(&mut out, "topics", "gauge", "Topics, by what an acknowledgement means.");
        line(&mut out, "topics", "mode=\"durable\"", zero.topics_durable as u64);
        line(&mut out, "topics", "mode=\"relaxed\"", zero.topics_relaxed as u64);
        family(&mut out, "topic_relaxed", "gauge", "Topics acknowledged once written, flushed later.");
        for name in &zero.relaxed {
            line(&mut out, "topic_relaxed", &format!("topic=\"{name}\""), 1);
        }
        let doc = "Stored settings that are not valid any more, and not in force.";
        family(&mut out, "settings_ignored", "gauge", doc);
        line(&mut out, "settings_ignored", "core=\"0\"", zero.settings_ignored as u64);
    }
    out
}

pub(super) fn family(out: &mut String, name: &str, kind: &str, doc: &str) {
    let _ = writeln!(out, "# HELP ringlog_{name} {doc}\n# TYPE ringlog_{name} {kind}");
}

/// One family of a time for each core.
fn seconds(out: &mut String, name: &str, doc: &str, cores: &[CoreReport], nanos: fn(&CoreReport) -> u64) {
    family(out, name, "counter", doc);
    for (id, report) in cores.iter().enumerate() {
        let value = nanos(report) as f64 / NANOS_PER_SECOND;
        let _ = writeln!(out, "ringlog_{name}{{core=\"{id}\"}} {value}");
    }
}

/// The series of one histogram. A sample on the border of two buckets may count in the upper one: bounds
/// are rounded to the histogram's own.
fn buckets(out: &mut String, name: &str, labels: &str, of: &Histogram<u64>, bounds: &[u64], unit: f64) {
    let mut bounds = bounds.iter();
    let mut bound = bounds.next();
    let (mut count, mut sum) = (0, 0.0);
    for step in of.iter_recorded() {
        let value = step.value_iterated_to();
        while let Some(at) = bound.filter(|at| value > **at) {
            let le = *at as f64 / unit;
            let _ = writeln!(out, "ringlog_{name}_bucket{{{labels},le=\"{le}\"}} {count}");
            bound = bounds.next();
        }
        count += step.count_since_last_iteration();
        sum += of.median_equivalent(value) as f64 * step.count_since_last_iteration() as f64;
    }
    for at in bound.into_iter().chain(bounds) {
        let le = *at as f64 / unit;
        let _ = writeln!(out, "ringlog_{name}_bucket{{{labels},le=\"{le}\"}} {count}");
    }
    let sum = sum / unit;
    let _ = writeln!(out, "ringlog_{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
    let _ = writeln!(out, "ringlog_{name}_sum{{{labels}}} {sum}\nringlog_{name}_count{{{labels}}} {count}");
}

fn line(out: &mut String, name: &str, labels: &str, value: u64) {
    let _ = writeln!(out, "ringlog_{name}{{{labels}}} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let report = CoreReport {
            counters: vec![("accepts", "Connections accepted.", 7)],
            topics_relaxed: 1,
            relaxed: vec!["fast".to_owned()],
            ..CoreReport::default()
        };
        let page = render(&[report.clone(), report]);
        assert!(page.contains("ringlog_accepts_total{core=\"1\"} 7\n"));
        assert!(page.contains("ringlog_topic_relaxed{topic=\"fast\"} 1\n"));
        for line in page.lines() {
            let sample = line.split_once("} ").is_some_and(|(_, v)| v.parse::<f64>().is_ok());
            assert!(line.starts_with("# ") || sample, "{line}");
        }
    }
}
