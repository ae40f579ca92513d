//! Writes the report of a made-up run into a folder, and beside it two sides of five runs with the page
//! that compares them, one broker under
//! several rates, and two brokers in turns, to look at: `cargo run --example sample_report -- DIR`.

use std::path::{Path, PathBuf};

use tools::compare::{self, Question, noise, runs};
use tools::report::{self, page, sample};
use tools::versus::sample as sample_versus;

/// From the start of one run to the start of the next.
const STEP_MS: u64 = 40_000;

fn main() -> anyhow::Result<()> {
    let dir = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "sample-report".to_string()));
    let report = sample::run(7);
    report::write(&dir, &report)?;
    report::print_summary(&report);
    println!("report  {}", dir.join("index.html").display());

    for pair in 0..5_u64 {
        for (side, slowness, position) in [("a", 1.0, 2 * pair), ("b", 0.9, 2 * pair + 1)] {
            let unrest = 1.0 + 0.01 * (position * 7 % 5) as f64;
            let mut run = sample::slowed(100 + position, slowness * unrest);
            run.started_unix_ms += position * STEP_MS;
            run.run_id = format!("{side}-{pair}");
            report::write(&dir.join(side).join(&run.run_id), &run)?;
        }
    }
    let (a, b) = (runs::read(&dir.join("a"))?, runs::read(&dir.join("b"))?);
    let command_line = "ringlog report compare a b".to_string();
    let question = Question { command_line, ..Question::default() };
    let document = compare::answer(&a, &b, Path::new(noise::STORE), question)?;
    let file = dir.join("comparison.html");
    std::fs::write(&file, page::comparison(&document, &a, &b))?;
    std::fs::write(dir.join("comparison.json"), serde_json::to_string_pretty(&document)?)?;
    println!("compare {}", file.display());

    let curve = dir.join("curve");
    std::fs::create_dir_all(&curve)?;
    report::curve::write(&curve, &sample::curve(&report))?;
    println!("curve   {}", curve.join("index.html").display());

    let versus = dir.join("versus");
    let document =
        sample_versus::write(&versus, |position, slowness| sample::slowed(200 + position, slowness))?;
    std::fs::write(versus.join("versus.json"), serde_json::to_string_pretty(&document)?)?;
    std::fs::write(versus.join("index.html"), page::versus(&document, &versus))?;
    println!("versus  {}", versus.join("index.html").display());
    Ok(())
}
