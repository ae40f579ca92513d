//! The client of an echo. It spins on a core of its own, as the generator does, so that what it adds
//! to a latency is what the generator adds.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::super::budget::Until;
use super::super::cores::Cores;
use super::super::network::{End, Patience, Wait};
use super::super::sample::Sample;
use super::{GROUP_BYTES_MAX, REPLY_BYTES};
use crate::load::clock::now_ns;
use crate::load::schedule::{Arrivals, Schedule, Shape};

/// Bytes on their way in a saturated echo: enough for two groups and both sockets.
const WINDOW_BYTES: u64 = 4 << 20;

/// Load before the window of an open loop.
const WARM_UP: Duration = Duration::from_millis(300);

/// How long the last answers may take.
const DRAIN: Duration = Duration::from_secs(5);

/// Seed of arrivals.
const SEED: u64 = 1;

/// One record at a time.
pub(super) fn one_at_a_time(
    stream: TcpStream,
    cores: Cores,
    record_bytes: usize,
    time: Duration,
) -> io::Result<Sample> {
    let wait = if cores.are_two() { Wait::Spin } else { Wait::Block };
    let mut end = End::new(stream, wait)?;
    let (record, mut reply) = (vec![7; record_bytes], [0; REPLY_BYTES]);
    let mut sample = Sample::new();
    let until = Until::starting_now(time, u64::MAX);
    while !until.is_over(0) {
        let begun = Instant::now();
        end.write_all(&record)?;
        if !end.read_all(&mut reply)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        sample.take(record_bytes as u64, begun.elapsed());
    }
    sample.wall = until.elapsed();
    end.finish()?;
    Ok(sample)
}

/// Nothing to take or no room; or a process that was stopped and goes on.
fn is_no_news(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// What is planned but not yet with the kernel, and what came back.
#[derive(Debug)]
struct Line {
    stream: TcpStream,
    bytes: Vec<u8>,
    to_send: u64,
    replies: Vec<u8>,
    /// Bytes of a reply that is not whole yet.
    partial: usize,
}

impl Line {
    fn new(stream: TcpStream) -> io::Result<Line> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Line {
            stream,
            bytes: vec![7; GROUP_BYTES_MAX],
            to_send: 0,
            replies: vec![0; 64 << 10],
            partial: 0,
        })
    }

    /// Sends as much as the kernel takes.
    fn send(&mut self) -> io::Result<()> {
        while self.to_send > 0 {
            let len = usize::try_from(self.to_send).unwrap_or(usize::MAX).min(self.bytes.len());
            match self.stream.write(&self.bytes[..len]) {
                Ok(n) => self.to_send -= n as u64,
                Err(e) if is_no_news(&e) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Records answered since the last call.
    fn answered(&mut self) -> io::Result<u64> {
        match self.stream.read(&mut self.replies) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                let have = self.partial + n;
                self.partial = have % REPLY_BYTES;
                Ok((have / REPLY_BYTES) as u64)
            }
            Err(e) if is_no_news(&e) => Ok(0),
            Err(e) => Err(e),
        }
    }
}

/// Records when they are due, whatever the server does. What is not answered [`DRAIN`] after the end
/// counts with the time that it has waited until then.
pub(super) fn at_rate(
    stream: TcpStream,
    record_bytes: usize,
    records_per_s: f64,
    time: Duration,
    bytes_max: u64,
) -> io::Result<Sample> {
    let mut line = Line::new(stream)?;
    let begin = now_ns();
    let from = begin + WARM_UP.as_nanos() as u64;
    let end = from + time.as_nanos() as u64;
    // Two copies of one plan: what is to be sent next, and what is to be answered next.
    let mut plan = Schedule::new(begin, Shape::steady(records_per_s, Arrivals::Poisson), SEED);
    let mut answers = plan.clone();
    let (mut planned, mut done) = (0_u64, 0_u64);
    let mut sample = Sample::new();
    let take = |sample: &mut Sample, due: u64, now: u64| {
        if due >= from {
            sample.count(1, record_bytes as u64);
            sample.record(now.saturating_sub(due));
        }
    };
    loop {
        let now = now_ns();
        while plan.due_ns() <= now.min(end) && sample.bytes < bytes_max {
            line.to_send += record_bytes as u64;
            planned += 1;
            plan.advance();
        }
        line.send()?;
        let answered = line.answered()?;
        let now = now_ns();
        for _ in 0..answered {
            take(&mut sample, answers.due_ns(), now);
            answers.advance();
        }
        done += answered;
        let over = plan.due_ns() > end || sample.bytes >= bytes_max;
        if over && done == planned {
            break;
        }
        if now > end + DRAIN.as_nanos() as u64 {
            for _ in done..planned {
                take(&mut sample, answers.due_ns(), now);
                answers.advance();
            }
            break;
        }
        if answered == 0 {
            std::hint::spin_loop();
        }
    }
    sample.wall = Duration::from_nanos(now_ns().min(end).saturating_sub(from));
    line.stream.shutdown(std::net::Shutdown::Write)?;
    Ok(sample)
}

/// Records as fast as they are answered, [`WINDOW_BYTES`] of them on their way. The clock stops at
/// the last answer.
pub(super) fn saturating(
    stream: TcpStream,
    record_bytes: usize,
    time: Duration,
    bytes_max: u64,
) -> io::Result<Sample> {
    let mut line = Line::new(stream)?;
    let window = (WINDOW_BYTES / record_bytes as u64).max(2);
    let (mut sent, mut sample) = (0_u64, Sample::new());
    let until = Until::starting_now(time, bytes_max);
    let mut patience = Patience::new();
    let (mut over, mut finished) = (false, false);
    while !over || sample.operations < sent {
        while !over && sent - sample.operations < window {
            line.to_send += record_bytes as u64;
            sent += 1;
        }
        line.send()?;
        over = over || until.is_over(sample.bytes);
        if over && !finished && line.to_send == 0 {
            line.stream.shutdown(std::net::Shutdown::Write)?;
            finished = true;
        }
        match line.answered()? {
            0 => patience.again()?,
            n => {
                sample.count(n, n * record_bytes as u64);
                patience = Patience::new();
            }
        }
    }
    sample.wall = until.elapsed();
    Ok(sample)
}
