//! The run's histograms in the formats of the HdrHistogram tools.
//!
//! `latency.hlog` is an interval log, format version 1.3, one line per interval and operation:
//!
//! ```text
//! #[Histogram log format version 1.3]
//! #[StartTime: 1795331550.000 (seconds since epoch)]
//! #[BaseTime: 1795331550.000 (seconds since epoch)]
//! "StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"
//! Tag=produce.response,0.000,1.000,4.603,HISTFAAA…
//! ```
//!
//! | column | what |
//! |---|---|
//! | tag | `produce.response`, `produce.service`, `end_to_end` or `fetch` |
//! | start | seconds after the base time |
//! | length | seconds |
//! | max | largest sample of the interval in milliseconds |
//! | payload | base64 of a V2 histogram under zlib, values in nanoseconds |
//!
//! `<tag>.hgrm` is the percentile text of the whole window, values in milliseconds.

use std::fmt::Write as _;
use std::io;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::data::{LatencySet, RunReport};

/// Nanoseconds in the unit of the max column and of the percentile text: a millisecond.
const VALUE_DIVISOR: f64 = 1e6;

/// Steps per halving of the distance to 100 % in the percentile text, as the Java tools print it.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// The operations in the order in which they are written, with their tags.
pub fn tagged(set: &LatencySet) -> [(&'static str, Option<&Histogram<u64>>); 4] {
    [
        ("produce.response", set.produce_response.as_ref()),
        ("produce.service", set.produce_service.as_ref()),
        ("end_to_end", set.end_to_end.as_ref()),
        ("fetch", set.fetch.as_ref()),
    ]
}

/// The interval log.
pub fn interval_log(report: &RunReport) -> io::Result<Vec<u8>> {
    let start = report.started_unix_ms as f64 / 1e3;
    let mut log = format!(
        "#[Logged with ringlog {}]\n#[Histogram log format version 1.3]\n\
         #[StartTime: {start:.3} (seconds since epoch)]\n#[BaseTime: {start:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        report.tool_version.replace(['\r', '\n'], " "),
    )
    .into_bytes();
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .with_max_value_divisor(VALUE_DIVISOR)
        .begin_log_with(&mut log, &mut serializer)?;
    for interval in &report.intervals {
        for (name, histogram) in tagged(&interval.latency) {
            let Some(histogram) = histogram.filter(|histogram| !histogram.is_empty()) else { continue };
            let tag = Tag::new(name);
            writer
                .write_histogram(histogram, interval.start, interval.length, tag)
                .map_err(io::Error::other)?;
        }
    }
    Ok(log)
}

/// The percentile text of one histogram, in milliseconds.
pub fn percentile_text(histogram: &Histogram<u64>) -> String {
    let mut out =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / VALUE_DIVISOR;
        let quantile = step.quantile_iterated_to();
        let _ = write!(out, "{value:12.3} {quantile:14.12} {total:10}");
        if quantile < 1.0 {
            let _ = write!(out, " {:14.2}", 1.0 / (1.0 - quantile));
        }
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
        histogram.mean() / VALUE_DIVISOR,
        histogram.stdev() / VALUE_DIVISOR
    );
    let max = histogram.max() as f64 / VALUE_DIVISOR;
    let _ = writeln!(out, "#[Max     = {max:12.3}, Total count    = {:12}]", histogram.len());
    let _ = writeln!(out, "#[Buckets = {:12}, SubBuckets     = {:12}]", histogram.buckets(), 1_u32 << 11);
    out
}
