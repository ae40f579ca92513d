//! Reports as Prometheus text.

use std::fmt::Write;

use super::board::CoreReport;
use crate::runtime::Reason;

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
    ("segment_bytes", "counter", "Bytes written to segments.", |r| r.shard.segment_bytes),
    ("checkpoints", "counter", "Checkpoints taken.", |r| r.shard.checkpoints),
    ("duplicates", "counter", "Duplicates of idempotent producers.", |r| r.shard.duplicates),
    ("segment_errors", "counter", "Operations on segments that failed.", |r| r.shard.segment_errors),
    ("unwritten_bytes", "gauge", "Bytes acknowledged and not yet in a segment.", |r| r.shard.unwritten_bytes),
    ("pool_bytes", "gauge", "The I/O pool, bytes.", |r| r.shard.pool_bytes),
    ("pool_bytes_free", "gauge", "Its free part, bytes.", |r| r.shard.pool_bytes_free),
    ("connections", "gauge", "Connections open.", |r| r.connections as u64),
    ("receive_bytes", "gauge", "Receive memory held, bytes.", |r| r.receive_bytes as u64),
    ("lease_bytes", "gauge", "Log memory held by replies, bytes.", |r| r.lease_bytes as u64),
];

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
    if let Some(zero) = cores.first() {
        family(&mut out, "topics", "gauge", "Topics, by what an acknowledgement means.");
        line(&mut out, "topics", "mode=\"durable\"", zero.topics_durable as u64);
        line(&mut out, "topics", "mode=\"relaxed\"", zero.topics_relaxed as u64);
        family(&mut out, "topic_relaxed", "gauge", "Topics acknowledged once written, flushed later.");
        for name in &zero.relaxed {
            line(&mut out, "topic_relaxed", &format!("topic=\"{name}\""), 1);
        }
    }
    out
}

fn family(out: &mut String, name: &str, kind: &str, doc: &str) {
    let _ = writeln!(out, "# HELP ringlog_{name} {doc}\n# TYPE ringlog_{name} {kind}");
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
            let sample = line.split_once("} ").is_some_and(|(_, v)| v.parse::<u64>().is_ok());
            assert!(line.starts_with("# ") || sample, "{line}");
        }
    }
}
