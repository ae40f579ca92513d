//! Asking a running broker's admin endpoint (`admin.listen`).

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::Context;

/// How long the endpoint may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// No answer is longer, bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// No connection to an admin endpoint.
#[derive(Debug, thiserror::Error)]
#[error("the admin endpoint at {at} does not answer ({source}); is it the broker's admin.listen?")]
pub struct Unreachable {
    at: String,
    source: std::io::Error,
}

/// The body at a path of the endpoint at `HOST:PORT`.
///
/// # Errors
/// Nobody answers there, or not with 200.
pub fn get(at: &str, path: &str) -> anyhow::Result<String> {
    ask(at, "GET", path)
}

/// As [`get`], for what changes something.
///
/// # Errors
/// As there.
pub fn post(at: &str, path: &str) -> anyhow::Result<String> {
    ask(at, "POST", path)
}

fn ask(at: &str, method: &str, path: &str) -> anyhow::Result<String> {
    let unreachable = |source| Unreachable { at: at.to_owned(), source };
    let connect = || {
        let none = std::io::Error::new(std::io::ErrorKind::NotFound, "no such address");
        let address = at.to_socket_addrs()?.next().ok_or(none)?;
        TcpStream::connect_timeout(&address, PATIENCE)
    };
    let mut stream = connect().map_err(unreachable)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // In one piece: the endpoint reads once.
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {at}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).map_err(unreachable)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    anyhow::ensure!(
        head.starts_with("HTTP/1.1 200"),
        "the admin endpoint at {at} answers {}",
        head.lines().next().unwrap_or_default()
    );
    Ok(body.to_owned())
}
