//! The command line: one binary, its subcommands, their exit codes.

use std::process::ExitCode;

/// Parses the command line and runs what it asks for.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
