//! A broker that keeps nothing durable: `ringlog bench null` shows with it what the generator itself
//! can do. It answers at the least cost that a broker can have: one thread, no disk, no checksum, no
//! lock; a produce is acknowledged when it is read, a fetch is answered from memory without a copy.
//!
//! | file | what |
//! |---|---|
//! | `answer` | requests → answers |
//! | `state` | topics and what is kept of them |
//! | `connection` | bytes in, bytes out, a fetch that waits |
//!
//! Invariants: answers leave in the order of requests; what is kept never exceeds
//! [`KEEP_BYTES_MAX`] (the oldest goes, and a reader that is slower than that is told so); a
//! connection that does not read its answers is not read from.

mod answer;
mod connection;
mod state;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};
use wire::Writer;

use super::poll::{Poll, Ready};
use connection::Connection;
use state::State;

/// The most record bytes that are kept, all partitions together.
pub const KEEP_BYTES_MAX: u64 = 1 << 30;

/// How long a broker that may sleep sleeps: the precision of a waiting fetch's deadline.
const NAP: Duration = Duration::from_millis(2);

/// Token of the listener; connections count from zero.
const LISTENER: usize = usize::MAX;

/// How it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep what comes, so that it can be fetched.
    pub keep: bool,
    /// Its CPU.
    pub core: Option<usize>,
    /// Never sleep: for a CPU of its own.
    pub spin: bool,
}

/// A running null broker. It stops when it is dropped.
#[derive(Debug)]
pub struct NullBroker {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What both threads see.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    has_topics: AtomicBool,
}

impl NullBroker {
    /// Starts it on a free port, wherever the kernel puts it. With `keep` it serves back what it gets.
    pub fn start(keep: bool) -> io::Result<NullBroker> {
        NullBroker::launch(Options { keep, ..Options::default() })
    }

    /// Starts it on a free port.
    pub fn launch(options: Options) -> io::Result<NullBroker> {
        NullBroker::launch_with(options, |_| ())
    }

    fn launch_with(options: Options, prepare: impl FnOnce(&mut State)) -> io::Result<NullBroker> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let poll = Poll::new()?;
        poll.add(&listener, LISTENER)?;
        let mut state = State::new(address, options.keep);
        prepare(&mut state);
        let server = Server { listener, poll, connections: Vec::new(), state, out: Writer::new() };
        std::thread::Builder::new().name("null-broker".into()).spawn(move || {
            if let Some(core) = options.core {
                let mut set = CpuSet::new();
                set.set(core);
                // A CPU that may not be used is no reason to fail.
                let _ = sched_setaffinity(None, &set);
            }
            // Only the poll itself can fail; a client then sees its connection end.
            drop(server.run(&seen, options.spin));
        })?;
        Ok(NullBroker { address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Whether a client has made a topic.
    #[must_use]
    pub fn has_topics(&self) -> bool {
        self.shared.has_topics.load(Ordering::Acquire)
    }
}

impl Drop for NullBroker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Wakes it if it sleeps.
        drop(TcpStream::connect(self.address));
    }
}

/// The one thread's own.
struct Server {
    listener: TcpListener,
    poll: Poll,
    /// By token; `None` once it has ended.
    connections: Vec<Option<Connection>>,
    state: State,
    out: Writer,
}

impl Server {
    fn run(mut self, shared: &Shared, spin: bool) -> io::Result<()> {
        let nap = if spin { Duration::ZERO } else { NAP };
        let mut ready: Vec<Ready> = Vec::new();
        while !shared.stop.load(Ordering::Acquire) {
            self.poll.within(nap, &mut ready)?;
            let before = self.state.appended();
            for event in &ready {
                if event.token == LISTENER {
                    self.accept()?;
                } else {
                    self.turn(event.token);
                }
            }
            let grown = self.state.appended() != before;
            let now = Instant::now();
            for token in 0..self.connections.len() {
                let waits = self.connections[token].as_ref().and_then(Connection::waits_until);
                if waits.is_some_and(|until| grown || now >= until) {
                    self.turn(token);
                }
            }
            if self.state.has_topics() && !shared.has_topics.load(Ordering::Relaxed) {
                shared.has_topics.store(true, Ordering::Release);
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The client has gone already, or files are short: the next may do better.
                Err(_) => return Ok(()),
            };
            let token = self.connections.len();
            self.poll.add(&stream, token)?;
            self.connections.push(Some(Connection::new(stream)?));
            self.turn(token);
        }
    }

    /// Lets a connection go on; one that breaks ends, and its client says so.
    fn turn(&mut self, token: usize) {
        if let Some(connection) = &mut self.connections[token]
            && connection.go_on(&mut self.state, &mut self.out).is_err()
        {
            self.connections[token] = None;
        }
    }
}

#[cfg(test)]
mod tests;
