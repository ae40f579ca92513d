//! What our broker's own clocks say: its admin endpoint, looked at when the window begins and when it ends.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use server::runtime::Stage;

use crate::report::json::Percentiles;
use crate::report::stages::{BrokerStages, CoreBusy, StageTime};

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Largest page that is read, bytes.
const PAGE_BYTES_MAX: u64 = 64 << 20;

/// Everything at one moment, since the broker began.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// By API and stage, or by the name alone, all cores together.
    histograms: BTreeMap<String, Histogram<u64>>,
    /// CPU seconds and clock seconds of each core.
    cores: BTreeMap<u16, (f64, f64)>,
}

/// Looks at the admin endpoint `address`.
///
/// # Errors
/// No answer, or one that is not our broker's.
pub(super) fn look(address: &str) -> anyhow::Result<Look> {
    let mut look = Look::default();
    look.take_histograms(get(address, "/histograms")?.as_bytes())?;
    look.take_metrics(&get(address, "/metrics")?);
    Ok(look)
}

pub(super) fn get(address: &str, path: &str) -> anyhow::Result<String> {
    let fail = || format!("the broker's admin endpoint {address}{path}");
    let mut stream = TcpStream::connect(address).with_context(fail)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In one piece: a server may answer and close before it has the rest.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).with_context(fail)?;
    let mut page = String::new();
    stream.take(PAGE_BYTES_MAX).read_to_string(&mut page).with_context(fail)?;
    match page.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_string()),
        _ => bail!("{}: {}", fail(), page.lines().next().unwrap_or("no answer")),
    }
}

impl Look {
    /// Takes an interval log with tags `CORE.API.STAGE` and `CORE.NAME`.
    fn take_histograms(&mut self, log: &[u8]) -> anyhow::Result<()> {
        let mut deserializer = Deserializer::new();
        for entry in IntervalLogIterator::new(log) {
            let entry = entry.map_err(|e| anyhow!("the broker's histograms: {e:?}"))?;
            let LogEntry::Interval(interval) = entry else { continue };
            let tag = interval.tag().map(|tag| tag.as_str()).unwrap_or_default();
            let Some((_core, name)) = tag.split_once('.') else { continue };
            let bytes = BASE64.decode(interval.encoded_histogram())?;
            let one: Histogram<u64> = deserializer
                .deserialize(&mut Cursor::new(bytes))
                .map_err(|e| anyhow!("the broker's histogram {tag}: {e}"))?;
            match self.histograms.get_mut(name) {
                Some(all) => all.add(&one).map_err(|e| anyhow!("the broker's histogram {tag}: {e}"))?,
                None => drop(self.histograms.insert(name.to_string(), one)),
            }
        }
        Ok(())
    }

    fn take_metrics(&mut self, page: &str) {
        for line in page.lines() {
            let sample = |name: &str| -> Option<(u16, f64)> {
                let (core, value) = line.strip_prefix(name)?.strip_prefix("{core=\"")?.split_once("\"} ")?;
                Some((core.parse().ok()?, value.parse().ok()?))
            };
            if let Some((core, busy)) = sample("ringlog_core_busy_seconds_total") {
                self.cores.entry(core).or_default().0 = busy;
            }
            if let Some((core, clock)) = sample("ringlog_core_clock_seconds_total") {
                self.cores.entry(core).or_default().1 = clock;
            }
        }
    }

    /// What happened since `start`, an earlier look at the same broker.
    pub(super) fn since(&self, start: &Look) -> anyhow::Result<BrokerStages> {
        let mut window_s: f64 = 0.0;
        let mut cores = Vec::new();
        for (&core, &(busy, clock)) in &self.cores {
            let (busy_before, clock_before) = start.cores.get(&core).copied().unwrap_or_default();
            let passed = clock - clock_before;
            window_s = window_s.max(passed);
            let busy_share = if passed > 0.0 { (busy - busy_before) / passed } else { 0.0 };
            cores.push(CoreBusy { core, busy_share });
        }
        let mut stages = BrokerStages {
            window_s,
            time_us: Vec::new(),
            flush_bytes: None,
            acks_per_flush: None,
            cores,
            marks: Vec::new(),
        };
        for (name, after) in &self.histograms {
            let mut within = after.clone();
            if let Some(before) = start.histograms.get(name) {
                within.subtract(before).map_err(|e| anyhow!("the broker's histogram {name}: {e}"))?;
            }
            match name.split_once('.') {
                Some((api, stage)) => stages.time_us.extend(StageTime::of(api, stage, &within)),
                None if name == "flush_bytes" => stages.flush_bytes = Percentiles::plain(Some(&within)),
                None if name == "acks_per_flush" => stages.acks_per_flush = Percentiles::plain(Some(&within)),
                None => {}
            }
        }
        stages.time_us.sort_by_key(|time| order(&time.api, &time.stage));
        Ok(stages)
    }
}

/// The order in which a request goes through its stages.
fn order(api: &str, stage: &str) -> usize {
    Stage::NAMES.iter().position(|name| *name == (api, stage)).unwrap_or(Stage::COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP ringlog_core_busy_seconds_total x\nringlog_core_busy_seconds_total{core=\"1\"} 2.5\n\
        ringlog_core_clock_seconds_total{core=\"1\"} 10\n";

    fn looked(values: &[u64], metrics: &str) -> Look {
        let mut histogram = Histogram::<u64>::new_with_bounds(64, 60_000_000_000, 2).expect("bounds");
        values.iter().for_each(|v| histogram.record(*v).expect("in bounds"));
        let mut look = Look::default();
        look.histograms.insert("produce.flush".to_string(), histogram);
        look.take_metrics(metrics);
        look
    }

    #[test]
    fn the_window_is_what_lies_between_two_looks() {
        let start = looked(&[900_000], PAGE);
        let end = looked(&[900_000, 200_000, 300_000], &PAGE.replace("2.5", "3.5").replace(" 10", " 14"));
        let stages = end.since(&start).expect("a later look");
        assert_eq!(stages.cores, [CoreBusy { core: 1, busy_share: 0.25 }]);
        assert_eq!((stages.window_s, stages.time_us.len()), (4.0, 1));
        let flush = &stages.time_us[0];
        assert_eq!((flush.api.as_str(), flush.stage.as_str(), flush.figures.count), ("produce", "flush", 2));
        assert!((295.0..305.0).contains(&flush.figures.max), "{}", flush.figures.max);
        assert!(start.since(&end).is_err(), "a broker's histograms never shrink");
    }
}
