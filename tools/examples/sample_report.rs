//! Writes the report of a made-up run into a folder, to look at: `cargo run --example sample_report -- DIR`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let dir = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "sample-report".to_string()));
    let report = tools::report::sample::run(7);
    tools::report::write(&dir, &report)?;
    tools::report::print_summary(&report);
    println!("report  {}", dir.join("index.html").display());
    Ok(())
}
