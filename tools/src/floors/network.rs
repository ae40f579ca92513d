//! TCP over loopback: both ends of one connection, each on its own core.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::budget::Until;
use super::cores::{Cores, pin};
use super::sample::Sample;

/// A request as small durable produces have it.
pub(super) const REQUEST_BYTES: usize = 1 << 10;

/// An acknowledgement with its frame.
pub(super) const REPLY_BYTES: usize = 64;

/// How long an end waits for the other before it gives up.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Pauses between two looks of an end that spins.
const SPIN_HINTS: usize = 4;

/// Looks between two glances at the clock.
const LOOKS_PER_GLANCE: u32 = 4_096;

/// How an end waits for bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    /// It sleeps in `recv` until the kernel wakes it.
    Block,
    /// It asks again and again and never sleeps.
    Spin,
}

/// Which way a stream flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    /// From the client to the server, as produced bytes.
    In,
    /// From the server to the client, as fetched bytes.
    Out,
}

/// Looking again and again, but not for ever.
#[derive(Debug)]
pub(super) struct Patience {
    begun: Instant,
    looks: u32,
}

impl Patience {
    pub(super) fn new() -> Patience {
        Patience { begun: Instant::now(), looks: 0 }
    }

    /// A pause of some nanoseconds; an error once nothing has come for [`SILENCE_MAX`].
    pub(super) fn again(&mut self) -> io::Result<()> {
        (0..SPIN_HINTS).for_each(|_| std::hint::spin_loop());
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(LOOKS_PER_GLANCE) && self.begun.elapsed() > SILENCE_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) stream: TcpStream,
    wait: Wait,
}

impl End {
    pub(super) fn new(stream: TcpStream, wait: Wait) -> io::Result<End> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(wait == Wait::Spin)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        Ok(End { stream, wait })
    }

    /// What is there, at least one byte; 0 once the other end has finished.
    pub(super) fn read_some(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut patience = Patience::new();
        loop {
            match self.stream.read(into) {
                // A process that was stopped and goes on.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Without spinning this is the end of [`SILENCE_MAX`].
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && self.wait == Wait::Spin => {
                    patience.again()?;
                }
                other => return other,
            }
        }
    }

    /// Exactly `into.len()` bytes; false if the other end has finished before the first.
    pub(super) fn read_all(&mut self, into: &mut [u8]) -> io::Result<bool> {
        let mut have = 0;
        while have < into.len() {
            match self.read_some(&mut into[have..])? {
                0 if have == 0 => return Ok(false),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => have += n,
            }
        }
        Ok(true)
    }

    /// All of it. An end that spins never sleeps here either.
    pub(super) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut patience = Patience::new();
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => patience.again()?,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Nothing more will be sent.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

/// Runs both ends of one connection, each on its core, and returns what the client measured.
pub(super) fn between(
    cores: Cores,
    server: impl FnOnce(TcpStream) -> io::Result<()> + Send,
    client: impl FnOnce(TcpStream) -> io::Result<Sample> + Send,
) -> io::Result<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || {
            pin(cores.server);
            let (stream, _) = listener.accept()?;
            server(stream)
        });
        let asking = scope.spawn(move || {
            pin(cores.client);
            client(TcpStream::connect(address)?)
        });
        let measured = asking.join().expect("the client returns its errors");
        let served = serving.join().expect("the server returns its errors");
        let measured = measured?;
        served.map(|()| measured)
    })
}

/// One request at a time, there and back.
pub(super) fn round_trip(server: Wait, client: Wait, cores: Cores, time: Duration) -> io::Result<Sample> {
    let serve = move |stream| {
        let mut end = End::new(stream, server)?;
        let mut request = [0; REQUEST_BYTES];
        while end.read_all(&mut request)? {
            end.write_all(&[1; REPLY_BYTES])?;
        }
        Ok(())
    };
    let ask = move |stream| {
        let mut end = End::new(stream, client)?;
        let (request, mut reply) = ([2; REQUEST_BYTES], [0; REPLY_BYTES]);
        let mut sample = Sample::new();
        let until = Until::starting_now(time, u64::MAX);
        while !until.is_over(0) {
            let begun = Instant::now();
            end.write_all(&request)?;
            if !end.read_all(&mut reply)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            sample.take((REQUEST_BYTES + REPLY_BYTES) as u64, begun.elapsed());
        }
        sample.wall = until.elapsed();
        end.finish()?;
        Ok(sample)
    };
    between(cores, serve, ask)
}

/// Bytes one way, as fast as they go, in writes of `block` bytes. What counts is what arrived.
pub(super) fn stream(
    direction: Direction,
    block: usize,
    cores: Cores,
    time: Duration,
    bytes_max: u64,
) -> io::Result<Sample> {
    let send = move |stream| {
        let mut end = End::new(stream, Wait::Block)?;
        let bytes = vec![3; block];
        let (until, mut sent) = (Until::starting_now(time, bytes_max), 0);
        while !until.is_over(sent) {
            end.write_all(&bytes)?;
            sent += block as u64;
        }
        end.finish()
    };
    let receive = move |stream| {
        let mut end = End::new(stream, Wait::Block)?;
        let mut bytes = vec![0; block];
        let mut sample = Sample::new();
        let until = Until::starting_now(time, bytes_max);
        loop {
            match end.read_some(&mut bytes)? {
                0 => break,
                n => sample.count(1, n as u64),
            }
        }
        sample.wall = until.elapsed();
        Ok(sample)
    };
    match direction {
        // `between` returns what its client measured: here the two sides change places, not cores.
        Direction::In => between(Cores { server: cores.client, client: cores.server }, send, receive),
        Direction::Out => between(cores, send, receive),
    }
}
