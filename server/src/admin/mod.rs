//! The metrics page: one small thread beside the cores, off unless `admin.listen` is set.
//!
//! Group lag is the exception: it is asked for by the page and answered by each core at its next turn.
//!
//! Cores put copies of their numbers on a [`Board`] four times a second; the thread reads them there and
//! never touches a core's state. It serves `GET /metrics` (Prometheus text), `GET /histograms` (what the
//! histograms of the former are made from, whole, as an interval log that HdrHistogram's tools read),
//! `GET /damage`, `GET /scrub` and `GET /clock` (one JSON object a line) and `GET /health`, one client at a
//! time, each with a deadline. `POST /clock/accept` is an operator's word that the wall clock is right.

mod board;
mod clock;
mod damage;
mod histograms;
mod lag;
mod lag_page;
mod page;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::runtime::clock as clocks;

pub use board::Board;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of a request that are looked at.
const REQUEST_BYTES_MAX: usize = 4096;

/// Starts to serve the page; the address that was bound.
///
/// # Errors
/// The address cannot be bound, or no thread can be started.
pub fn listen(addr: SocketAddr, board: Arc<Board>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(addr)?;
    let bound = listener.local_addr()?;
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that goes away is its own business.
            let _ = answer(client, &board);
        }
    })?;
    Ok(bound)
}

fn metrics(board: &Board) -> String {
    let reports = board.read();
    let mut page = page::render(&reports);
    lag_page::render(&mut page, &board.lag(&reports), clocks::now().wall.0);
    page
}

fn answer(mut client: TcpStream, board: &Board) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut request = [0; REQUEST_BYTES_MAX];
    let n = client.read(&mut request)?;
    let mut words = request[..n].split(|b| *b == b' ');
    let (method, path) = (words.next(), words.next());
    let (status, body) = match path {
        Some(b"/clock/accept") if method != Some(b"POST") => {
            ("405 Method Not Allowed", "accepting the clock takes a POST\n".to_owned())
        }
        Some(b"/clock/accept") => {
            let all = board.accept_clock();
            let status = if all { "200 OK" } else { "503 Service Unavailable" };
            (status, clock::lines(&board.read()))
        }
        Some(b"/clock") => ("200 OK", clock::lines(&board.read())),
        Some(b"/histograms") => ("200 OK", histograms::render(&board.read())?),
        Some(b"/metrics") => ("200 OK", metrics(board)),
        Some(b"/damage") => ("200 OK", board.read().iter().map(|core| &*core.damage).collect()),
        Some(b"/scrub") => ("200 OK", damage::scrub_lines(&board.read())),
        Some(b"/health") => ("200 OK", "ok\n".to_owned()),
        _ => ("404 Not Found", "try /metrics, /histograms, /damage, /scrub, /clock or /health\n".to_owned()),
    };
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}
