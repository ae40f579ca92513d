//! `ringlog completions` and `ringlog man`.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

fn ringlog(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ringlog")).args(args).output().expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_shell_gets_completions_that_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ringlog(&["completions", shell]);
        assert!(script.contains("reset-offsets") && script.contains("ringlog"), "{shell}");
    }
}

#[test]
fn bash_takes_its_completions() {
    let mut script = tempfile::NamedTempFile::new().expect("a file");
    script.write_all(ringlog(&["completions", "bash"]).as_bytes()).expect("written");
    let status = Command::new("bash").arg("-n").arg(script.path()).status().expect("bash");
    assert!(status.success());
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    assert!(ringlog(&["man"]).starts_with(".ie"));
    let dir = tempfile::tempdir().expect("a directory");
    ringlog(&["man", "--dir", dir.path().to_str().expect("utf-8")]);
    for page in ["ringlog.1", "ringlog-group-reset-offsets.1", "ringlog-topic-alter.1"] {
        let text = std::fs::read_to_string(dir.path().join(page)).expect("a page");
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
}

#[test]
fn a_reader_that_has_gone_ends_a_command_as_it_ends_any_other() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog"));
    let mut child =
        command.arg("man").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let said = child.wait_with_output().expect("an end");
    assert_eq!(
        said.status.signal(),
        Some(signal_hook::consts::SIGPIPE),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    assert_eq!(said.stderr, b"");
}
