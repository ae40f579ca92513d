//! One broker under several rates: `ringlog bench search` and `ringlog bench curve`.
//!
//! Each rate is a whole run on a topic of its own, with a folder of its own below the report's. The broker stays the same.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;

use super::knobs::Knobs;
use super::limit::Limit;
use super::quantity::Share;
use super::session::Session;
use super::{BenchArgs, outcome};
use crate::cli::exit;
use crate::load::Outcome;
use crate::load::clock::wall_ms;
use crate::load::plan::Pace;
use crate::report::curve::{Bound, CURVE_SCHEMA_VERSION, CurveDocument, CurveKind, CurvePoint, Found};
use crate::report::data::{CheckVerdict, RunReport};
use crate::report::json::Document;
use crate::report::quantile::{P99, Rung, is_carried};
use crate::report::{self, curve, units};

/// The most rates of one sweep.
const POINTS_MAX: usize = 64;

/// A point's window and warm-up where nothing else is said: shorter than a run's, for there are many.
const POINT_WINDOW: Duration = Duration::from_secs(10);
const POINT_WARM_UP: Duration = Duration::from_secs(3);

/// The rates that a search tries at most, if nobody says otherwise.
const STEPS: usize = 12;

/// The percentile of a search that names no limit.
const OMB_LIMIT: Rung = P99;

/// `ringlog bench search`
#[derive(clap::Args, Clone, Debug)]
pub struct SearchArgs {
    /// The load; what it says of rates is left aside.
    #[command(flatten)]
    pub bench: BenchArgs,
    /// The latency that must not be exceeded, from the planned send to the acknowledgement: p50, p90, p99, p99.9 or p99.99
    #[arg(long, value_name = "PERCENTILE=TIME", default_value = "p99.9=10ms", help_heading = "Search")]
    pub limit: Limit,
    /// The search ends when the best rate and the next that does not hold are this near
    #[arg(long, value_name = "SHARE", default_value = "5%", help_heading = "Search")]
    pub tolerance: Share,
    /// … or after so many rates
    #[arg(long, value_name = "N", default_value_t = STEPS, help_heading = "Search")]
    pub steps: usize,
}

/// `ringlog bench curve`
#[derive(clap::Args, Clone, Debug)]
pub struct CurveArgs {
    /// The load; what it says of rates is left aside.
    #[command(flatten)]
    pub bench: BenchArgs,
    /// Rates to try, records per second
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        conflicts_with = "shares",
        help_heading = "Curve"
    )]
    pub rates: Vec<f64>,
    /// Rates to try, as shares of what a closed loop reaches first
    #[arg(
        long,
        value_name = "SHARE,…",
        value_delimiter = ',',
        default_value = "10%,25%,50%,70%,80%,90%,95%",
        help_heading = "Curve"
    )]
    pub shares: Vec<Share>,
}

/// Searches the highest rate that keeps the limit; returns the exit code.
///
/// # Errors
/// Whatever kept a load from starting, or a report from being written.
pub fn search(args: &SearchArgs) -> anyhow::Result<u8> {
    if args.tolerance.0 <= 0.0 || !(1..=POINTS_MAX).contains(&args.steps) {
        bail!(exit::Usage::new(format!(
            "--tolerance must be above 0 % and --steps between 1 and {POINTS_MAX}"
        )));
    }
    let mut sweep = Sweep::open(&args.bench, CurveKind::Search, Some(args.limit))?;
    let result = sweep.bisect(args);
    sweep.close(result)
}

/// The search that `producerRate: 0` of an OMB workload asks for: any latency below a second will do.
///
/// # Errors
/// As [`search`].
pub fn search_for(args: &BenchArgs) -> anyhow::Result<u8> {
    let limit = Limit { rung: OMB_LIMIT, us: 1e6 };
    eprintln!(
        "note    producerRate 0: searching the highest rate with {limit}; `ringlog bench search` takes other limits"
    );
    search(&SearchArgs { bench: args.clone(), limit, tolerance: Share(0.05), steps: STEPS })
}

/// Measures latency at each rate; returns the exit code.
///
/// # Errors
/// Whatever kept a load from starting, or a report from being written.
pub fn curve(args: &CurveArgs) -> anyhow::Result<u8> {
    let asked = if args.rates.is_empty() { args.shares.len() } else { args.rates.len() };
    if !(1..=POINTS_MAX).contains(&asked) {
        bail!(exit::Usage::new(format!("a curve has between 1 and {POINTS_MAX} rates")));
    }
    let mut sweep = Sweep::open(&args.bench, CurveKind::Curve, None)?;
    let result = sweep.walk(args);
    sweep.close(result)
}

struct Sweep {
    session: Session,
    knobs: Knobs,
    json: bool,
    limit: Option<Limit>,
    document: Option<CurveDocument>,
    kind: CurveKind,
    points: Vec<CurvePoint>,
    max_records_per_s: Option<f64>,
    found: Option<Found>,
    interrupted: bool,
    started_unix_ms: u64,
}

impl Sweep {
    fn open(args: &BenchArgs, kind: CurveKind, limit: Option<Limit>) -> anyhow::Result<Sweep> {
        let mut session = Session::open(args)?;
        let mut knobs = args.knobs.clone();
        session.default_times(&mut knobs, POINT_WINDOW, POINT_WARM_UP);
        // The disk must hold the largest of them; a topic goes before the next one comes.
        let largest = session.settle(&at(&knobs, Rate::OfMax(1.0)), None)?;
        if !largest.plan.mode.produces() {
            bail!(exit::Usage::new("rates are of producers; use --mode both or produce"));
        }
        session.start(&largest)?;
        session.header(&largest);
        Ok(Sweep {
            session,
            knobs,
            json: args.json,
            limit,
            document: None,
            kind,
            points: Vec::new(),
            max_records_per_s: None,
            found: None,
            interrupted: false,
            started_unix_ms: u64::try_from(wall_ms()).unwrap_or(0),
        })
    }

    /// One rate: runs it, writes its report, notes its point. Returns whether it held.
    fn point(&mut self, rate: Rate) -> anyhow::Result<bool> {
        let number = self.points.len() + 1;
        let settled = self.session.settle(&at(&self.knobs, rate), Some(number))?;
        let name = format!("{number:02}");
        let run_id = format!("{}-{name}", self.session.run_id());
        let (report, outcome) = self.session.measure(settled, run_id)?;
        let dir = self.session.out().join(&name);
        report::write(&dir, &report).with_context(|| format!("write the report to {}", dir.display()))?;
        self.max_records_per_s = self.max_records_per_s.or(outcome.max_records_per_s);
        self.interrupted |= outcome.interrupted;
        let planned = match outcome.pace {
            Pace::Open { records_per_s, .. } => records_per_s,
            Pace::Closed | Pace::OfMax { .. } => 0.0,
        };
        let stopped_by = if outcome.interrupted { None } else { bound(&report, &outcome, self.limit) };
        let document = Document::from(&report);
        let point = CurvePoint {
            records_per_s: planned,
            achieved_records_per_s: document.throughput.records_per_s,
            mb_per_s: document.throughput.mb_per_s,
            achieved_share: document.validity.achieved_share,
            late_share: document.validity.late_share,
            held: stopped_by.is_none() && !outcome.interrupted,
            stopped_by,
            response_us: document.produce.response_us,
            end_to_end_us: document.end_to_end_us,
            cpu_seconds: document.broker.cpu_seconds,
            run: name,
        };
        eprintln!("{}", line(number, &point));
        let held = point.held;
        self.points.push(point);
        self.document = Some(self.describe(&document));
        if let Some(failure) = outcome.failure {
            return Err(failure.into());
        }
        Ok(held)
    }

    /// All but what only the end knows.
    fn describe(&self, run: &Document) -> CurveDocument {
        CurveDocument {
            schema_version: CURVE_SCHEMA_VERSION,
            kind: self.kind,
            run_id: self.session.run_id().to_string(),
            tool_version: run.tool_version.clone(),
            workload: run.workload.clone(),
            started_unix_ms: self.started_unix_ms,
            command_line: std::env::args()
                .map(|arg| super::words::quoted(&arg))
                .collect::<Vec<_>>()
                .join(" "),
            durability: run.durability.clone(),
            broker: run.broker.clone(),
            machine: run.machine.clone(),
            max_records_per_s: self.max_records_per_s,
            limit: self.limit.map(Limit::facts),
            found: None,
            partial: false,
            points: Vec::new(),
        }
    }

    fn walk(&mut self, args: &CurveArgs) -> anyhow::Result<()> {
        for rate in &args.rates {
            self.point(Rate::Records(*rate))?;
            if self.interrupted {
                return Ok(());
            }
        }
        let shares = if args.rates.is_empty() { &args.shares[..] } else { &[] };
        for share in shares {
            // The first point finds the maximum, the others know it.
            let rate =
                self.max_records_per_s.map_or(Rate::OfMax(share.0), |max| Rate::Records(max * share.0));
            self.point(rate)?;
            if self.interrupted {
                return Ok(());
            }
        }
        Ok(())
    }

    fn bisect(&mut self, args: &SearchArgs) -> anyhow::Result<()> {
        self.point(Rate::OfMax(0.5))?;
        let max = self.max_records_per_s.context("the first point finds the maximum")?;
        // The maximum itself is never asked for: at it, every queue grows.
        while !self.interrupted && self.points.len() < args.steps {
            let Some(next) = next_rate(&self.points, max, args.tolerance.0) else { break };
            self.point(Rate::Records(next))?;
        }
        self.found = Some(found(&self.points, max, args.limit));
        Ok(())
    }

    /// Ends the broker and writes what was found, even if a point failed.
    fn close(mut self, result: anyhow::Result<()>) -> anyhow::Result<u8> {
        let stopped = self.session.stop();
        if let Some(document) = self.document.take() {
            let document = CurveDocument {
                max_records_per_s: self.max_records_per_s,
                partial: self.interrupted || result.is_err(),
                found: self.found,
                points: self.points,
                ..document
            };
            let out = self.session.out();
            curve::write(out, &document).with_context(|| format!("write curve.json to {}", out.display()))?;
            if self.json {
                println!("{}", serde_json::to_string_pretty(&document)?);
            } else {
                print(&document, &out.join("curve.json"));
            }
            result?;
            stopped.context("after the last run")?;
            let data = document.points.iter().any(|p| p.stopped_by == Some(Bound::Data));
            let none = document.found.as_ref().is_some_and(|found| found.records_per_s == 0.0);
            return Ok(match () {
                () if data => exit::DATA_CHECK,
                () if self.interrupted => exit::INTERRUPTED,
                () if none => exit::SLO,
                () => 0,
            });
        }
        result?;
        stopped.context("after the last run")?;
        Ok(0)
    }
}

/// A rate of one point.
#[derive(Clone, Copy, Debug)]
enum Rate {
    Records(f64),
    OfMax(f64),
}

/// The knobs with this rate and no other.
fn at(knobs: &Knobs, rate: Rate) -> Knobs {
    let mut knobs = Knobs { rate: None, mb_rate: None, rate_of_max: None, rate_plan: None, ..knobs.clone() };
    match rate {
        Rate::Records(records_per_s) => knobs.rate = Some(records_per_s),
        Rate::OfMax(share) => knobs.rate_of_max = Some(Share(share)),
    }
    knobs
}

/// What a run broke on, if it did not hold.
fn bound(report: &RunReport, outcome: &Outcome, limit: Option<Limit>) -> Option<Bound> {
    if report.check.verdict() == CheckVerdict::Failed {
        return Some(Bound::Data);
    }
    if outcome::is_late(report.validity.late_share) {
        return Some(Bound::Generator);
    }
    if !outcome.errors.is_empty() || outcome.unanswered > 0 || outcome.failure.is_some() {
        return Some(Bound::Refused);
    }
    let whole = report.latency.produce_response.as_ref();
    let kept = match (limit, whole) {
        (None, _) => Ok(()),
        (Some(limit), Some(whole)) => {
            let half = report.intervals.len() / 2;
            let [first, second] = [&report.intervals[..half], &report.intervals[half..]].map(|intervals| {
                let mut sum = whole.clone();
                sum.reset();
                for histogram in intervals.iter().filter_map(|i| i.latency.produce_response.as_ref()) {
                    sum.add(histogram).expect("a growing histogram takes every value");
                }
                sum
            });
            [whole, &first, &second].into_iter().try_for_each(|histogram| limit.judge(histogram))
        }
        (Some(_), None) => Err(Bound::Samples),
    };
    match kept {
        // A queue that grows breaks both; that the broker cannot keep up says more.
        _ if !report.validity.is_valid() => Some(Bound::Rate),
        Err(bound) => Some(bound),
        Ok(()) => None,
    }
}

impl Limit {
    /// Whether the percentile keeps the limit, or why not. Percentiles of few samples are not judged but in the whole.
    fn judge(self, histogram: &Histogram<u64>) -> Result<(), Bound> {
        if !is_carried(histogram.len(), self.rung.one_in) {
            return Err(Bound::Samples);
        }
        if histogram.value_at_quantile(self.rung.quantile) as f64 / 1e3 > self.us {
            return Err(Bound::Latency);
        }
        Ok(())
    }
}

/// The best rate that held, and the lowest above it that did not.
fn bracket(points: &[CurvePoint]) -> (Option<&CurvePoint>, Option<&CurvePoint>) {
    let by_rate = |a: &&CurvePoint, b: &&CurvePoint| a.records_per_s.total_cmp(&b.records_per_s);
    let broken = points.iter().filter(|p| !p.held).min_by(by_rate);
    let below = |p: &&CurvePoint| p.held && broken.is_none_or(|b| p.records_per_s < b.records_per_s);
    (points.iter().filter(below).max_by(by_rate), broken)
}

/// The rate to try next; `None` when the bracket is narrow enough, or nothing can be learnt below.
fn next_rate(points: &[CurvePoint], max: f64, tolerance: f64) -> Option<f64> {
    let (best, broken) = bracket(points);
    let low = best.map_or(0.0, |p| p.records_per_s);
    let high = broken.map_or(max, |p| p.records_per_s);
    let samples = broken.is_some_and(|p| p.stopped_by == Some(Bound::Samples));
    let next = f64::midpoint(low, high);
    (!samples && high - low > tolerance * high && next >= 1.0).then_some(next)
}

fn found(points: &[CurvePoint], max: f64, limit: Limit) -> Found {
    let (best, broken) = bracket(points);
    let records_per_s = best.map_or(0.0, |p| p.records_per_s);
    let rate = |records_per_s: f64| units::grouped(records_per_s.round() as u64);
    let stopped_by = broken.and_then(|p| p.stopped_by);
    let end = match (broken, stopped_by) {
        (Some(p), Some(bound)) => {
            format!("{} was stopped by {}", rate(p.records_per_s), bound.words())
        }
        _ => format!("nothing stopped it below {}, which a closed loop reaches", rate(max)),
    };
    let start = match best {
        Some(p) => format!("{} records/s ({:.1} MB/s) keep {limit}", rate(p.records_per_s), p.mb_per_s),
        None => format!("no rate that was tried keeps {limit}"),
    };
    Found {
        records_per_s,
        mb_per_s: best.map_or(0.0, |p| p.mb_per_s),
        next_records_per_s: broken.map(|p| p.records_per_s),
        stopped_by,
        sentence: format!("{start}; {end}"),
    }
}

/// A point in a line of the terminal.
fn line(number: usize, point: &CurvePoint) -> String {
    let ms =
        |us: Option<f64>| us.map_or_else(|| "-".to_string(), |us| units::milliseconds((us * 1e3) as u64));
    let ladder = point.response_us.map(|p| p.ladder()).unwrap_or_default();
    let [p50, _, p99, p999, _] = ladder.map(ms);
    let end = match point.stopped_by {
        None if point.held => "held".to_string(),
        None => "interrupted".to_string(),
        Some(bound) => format!("stopped by {}", bound.words()),
    };
    format!(
        " {number:>2} {:>12} records/s {:>9.1} MB/s   p50 {p50:>7}  p99 {p99:>7}  p99.9 {p999:>7} ms   {end}",
        units::grouped(point.records_per_s.round() as u64),
        point.mb_per_s,
    )
}

fn print(document: &CurveDocument, file: &Path) {
    let mut points: Vec<(usize, &CurvePoint)> = (1..).zip(&document.points).collect();
    points.sort_by(|a, b| a.1.records_per_s.total_cmp(&b.1.records_per_s));
    for (number, point) in points {
        println!("{}", line(number, point));
    }
    if let Some(max) = document.max_records_per_s {
        println!(" maximum {} records/s in a closed loop", units::grouped(max.round() as u64));
    }
    if let Some(found) = &document.found {
        println!(" {}", found.sentence);
    }
    println!("report  {}", file.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(records_per_s: f64, stopped_by: Option<Bound>) -> CurvePoint {
        CurvePoint {
            records_per_s,
            achieved_records_per_s: records_per_s,
            mb_per_s: records_per_s / 1e3,
            achieved_share: 1.0,
            late_share: 0.0,
            held: stopped_by.is_none(),
            stopped_by,
            response_us: None,
            end_to_end_us: None,
            cpu_seconds: None,
            run: String::new(),
        }
    }

    /// Searches a broker that keeps the limit up to `true_rate` and reaches 100,000 in a closed loop.
    fn search(true_rate: f64, tolerance: f64) -> (Vec<CurvePoint>, Found) {
        let mut points = Vec::new();
        let mut next = Some(50_000.0);
        while let Some(rate) = next.filter(|_| points.len() < POINTS_MAX) {
            points.push(point(rate, (rate > true_rate).then_some(Bound::Latency)));
            next = next_rate(&points, 100_000.0, tolerance);
        }
        let found = found(&points, 100_000.0, "p99=1ms".parse().expect("a limit"));
        (points, found)
    }

    #[test]
    fn a_search_ends_within_its_tolerance_below_the_true_rate() {
        for true_rate in [700.0, 31_000.0, 50_000.0, 77_777.0] {
            let (points, found) = search(true_rate, 0.05);
            assert!(found.records_per_s <= true_rate && found.records_per_s > true_rate * 0.94, "{found:?}");
            assert_eq!(found.stopped_by, Some(Bound::Latency));
            assert!(points.len() <= 13, "{} rates", points.len());
        }
    }

    #[test]
    fn a_search_says_when_nothing_stopped_it_and_when_nothing_held() {
        let (_, all) = search(f64::INFINITY, 0.05);
        assert!(
            all.records_per_s >= 95_000.0
                && all.stopped_by.is_none()
                && all.sentence.contains("nothing stopped it")
        );
        let (points, none) = search(0.0, 0.05);
        assert_eq!(none.records_per_s, 0.0);
        assert!(points.len() < 20 && none.sentence.starts_with("no rate that was tried"), "{none:?}");
    }

    #[test]
    fn too_few_samples_end_a_search_for_fewer_records_have_fewer() {
        let points = [point(50_000.0, Some(Bound::Latency)), point(25_000.0, Some(Bound::Samples))];
        assert_eq!(next_rate(&points, 100_000.0, 0.05), None);
    }
}
