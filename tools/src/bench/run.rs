//! The order of things: settle, check the disk, start the broker, drive, check, report, clean up.

use anyhow::Context;

use super::BenchArgs;
use super::around::Around;
use super::session::Session;
use crate::cli::exit;
use crate::load::Outcome;
use crate::report::data::RunReport;
use crate::report::{self, json};

/// Runs a bench; returns its exit code.
///
/// # Errors
/// Whatever kept the load from starting, or the report from being written.
pub fn run(args: &BenchArgs) -> anyhow::Result<u8> {
    let mut session = Session::open(args)?;
    let settled = session.settle(&args.knobs, None)?;
    let around = Around::before(args, &settled.plan)?;
    session.start(&settled)?;
    session.header(&settled);
    let out = session.out().to_path_buf();
    let run_id = session.run_id().to_string();
    let measured = session.measure(settled, run_id);
    let measured = measured.and_then(|(mut report, outcome)| {
        around.after(args, &mut report)?;
        Ok((report, outcome))
    });
    let stopped = session.stop();
    let (report, outcome) = measured?;
    report::write(&out, &report).with_context(|| format!("write the report to {}", out.display()))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&json::Document::from(&report))?);
    } else {
        report::print_summary(&report);
        println!("report  {}", out.join("index.html").display());
    }
    let code = exit_code(&report, &outcome);
    match stopped {
        // The run has something worse to say already.
        Err(e) if code != 0 => eprintln!("ringlog: after the run: {e:#}"),
        stopped => stopped.context("after the run")?,
    }
    Ok(code)
}

/// What a finished run exits with. Broken data outranks everything, a broken connection a late generator, and that a broken
/// limit, of which it may be the cause. A broker that could not keep up breaks its limits by itself.
pub(super) fn exit_code(report: &RunReport, outcome: &Outcome) -> u8 {
    let verdict = report.verdict().exit_code();
    let broken = report.slo.iter().any(|slo| !slo.held);
    match &outcome.failure {
        _ if verdict == exit::DATA_CHECK => verdict,
        Some(failure) => exit::of_load(failure),
        None if outcome.interrupted => exit::INTERRUPTED,
        None if broken && !super::outcome::is_late(report.validity.late_share) => exit::SLO,
        None => verdict,
    }
}
