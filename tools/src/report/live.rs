//! The line that moves while a run is on. It goes to standard error, and nowhere when that is not
//! a terminal, so that piped output and `--json` stay clean.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::units;

/// What the line shows, about once a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LiveSample {
    /// Time since the phase began.
    pub elapsed: Duration,
    /// Bytes acknowledged per second, over the last interval.
    pub bytes_in_per_s: f64,
    /// Records acknowledged per second, over the last interval.
    pub records_in_per_s: f64,
    /// Records read per second, over the last interval.
    pub records_out_per_s: f64,
    /// Acknowledged records that no consumer has read yet.
    pub lag_records: u64,
    /// p99 of the produce response time in the last interval, in nanoseconds, when carried.
    pub p99_ns: Option<u64>,
    /// Share of late sends so far, 0 to 1.
    pub late_share: f64,
}

impl LiveSample {
    /// The text beside the bar.
    pub fn line(&self) -> String {
        let p99 = self.p99_ns.map_or_else(|| "-".to_string(), units::latency);
        format!(
            "in {} MB/s {}/s  out {}/s  lag {}  p99 {p99}  late {}",
            units::significant(self.bytes_in_per_s / 1e6),
            units::count(self.records_in_per_s),
            units::count(self.records_out_per_s),
            units::grouped(self.lag_records),
            units::percent(self.late_share),
        )
    }
}

/// The moving line of one phase (warm-up or measurement).
#[derive(Debug)]
pub struct Live {
    bar: ProgressBar,
}

impl Live {
    /// Starts the line for a phase of this length. Quiet when standard error is not a terminal.
    pub fn start(phase: &'static str, length: Duration) -> Self {
        Self::with_target(phase, length, ProgressDrawTarget::stderr_with_hz(10))
    }

    /// A line that draws nothing.
    pub fn quiet() -> Self {
        Self::with_target("", Duration::ZERO, ProgressDrawTarget::hidden())
    }

    fn with_target(phase: &'static str, length: Duration, target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(Some(millis(length)), target);
        let style = ProgressStyle::with_template("{prefix:>8} {elapsed:>4} {bar:20.cyan/dim}  {wide_msg}")
            .expect("the template is a constant")
            .progress_chars("█▉▊▋▌▍▎▏░");
        bar.set_style(style);
        bar.set_prefix(phase);
        Self { bar }
    }

    /// Shows a sample.
    pub fn update(&self, sample: &LiveSample) {
        self.bar.set_position(millis(sample.elapsed).min(self.bar.length().unwrap_or(0)));
        self.bar.set_message(sample.line());
    }

    /// Prints a line above the bar. Dropped when quiet.
    pub fn note(&self, text: &str) {
        self.bar.println(text);
    }

    /// Takes the line away: the summary replaces it.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_every_unit() {
        let sample = LiveSample {
            elapsed: Duration::from_secs(12),
            bytes_in_per_s: 20_480_000.0,
            records_in_per_s: 20_000.0,
            records_out_per_s: 19_990.0,
            lag_records: 41,
            p99_ns: Some(1_920_000),
            late_share: 0.0,
        };
        assert_eq!(sample.line(), "in 20.5 MB/s 20.0k/s  out 20.0k/s  lag 41  p99 1.92 ms  late 0.0 %");
    }

    #[test]
    fn a_quiet_line_takes_updates() {
        let live = Live::quiet();
        live.update(&LiveSample { elapsed: Duration::from_secs(5), ..LiveSample::default() });
        assert!(live.bar.is_hidden());
        live.finish();
    }
}
