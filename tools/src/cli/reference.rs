//! `ringlog completions` and `ringlog man`: what shells and `man` know of us, from the command line's own
//! definition.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;

/// `ringlog completions`
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// For which shell; for example: ringlog completions bash > /etc/bash_completion.d/ringlog
    shell: Shell,
}

/// Prints completions.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ringlog", &mut out);
    Ok(io::stdout().write_all(&out)?)
}

/// `ringlog man`
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// Write ringlog.1 and a page for each command into this directory, instead of printing the first
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the page, or writes all.
pub fn man(args: &ManArgs) -> anyhow::Result<()> {
    let Some(dir) = &args.dir else {
        let mut out = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut out)?;
        return Ok(io::stdout().write_all(&out)?);
    };
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    clap_mangen::generate_to(Cli::command(), dir)
        .with_context(|| format!("cannot write into {}", dir.display()))
}
