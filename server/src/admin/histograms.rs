//! The histograms since the start, whole: an interval log of HdrHistogram, one line for each.
//!
//! | tag | values |
//! |---|---|
//! | `CORE.API.STAGE` | nanoseconds of that stage |
//! | `CORE.flush_bytes` | bytes of each flushed journal frame |
//! | `CORE.acks_per_flush` | requests that each durable frame released |
//!
//! The interval of each is from the start of the process's clock to when the core's numbers were taken.

use std::io;
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::board::CoreReport;
use crate::runtime::Stage;

/// The log.
pub(super) fn render(cores: &[CoreReport]) -> io::Result<String> {
    let mut log = b"#[Histogram log format version 1.3]\n".to_vec();
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = IntervalLogWriterBuilder::new().begin_log_with(&mut log, &mut serializer)?;
    for (id, report) in cores.iter().enumerate() {
        let histograms = &report.histograms;
        let stages = histograms.stages.iter().zip(Stage::NAMES.map(|(api, stage)| format!("{api}.{stage}")));
        let sizes = [&histograms.flush_bytes, &histograms.acks_per_flush].into_iter();
        let sizes = sizes.zip(["flush_bytes", "acks_per_flush"].map(str::to_owned));
        for (histogram, name) in stages.chain(sizes).filter(|(histogram, _)| !histogram.is_empty()) {
            let tag = format!("{id}.{name}");
            let tag = Tag::new(&tag).ok_or(io::ErrorKind::InvalidData)?;
            let length = Duration::from_nanos(report.at.0);
            writer.write_histogram(histogram, Duration::ZERO, length, Some(tag)).map_err(io::Error::other)?;
        }
    }
    String::from_utf8(log).map_err(io::Error::other)
}
