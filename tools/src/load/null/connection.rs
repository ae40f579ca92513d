//! One connection: bytes in, bytes out, a fetch that waits.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use bytes::Bytes;
use wire::{Segment, Writer};

use super::answer::{Answered, answer};
use super::state::State;

/// Receive buffer at first; it grows to the largest request.
const INBOX_BYTES: usize = 256 << 10;

/// The largest request.
const FRAME_BYTES_MAX: usize = 512 << 20;

/// Answers that a client may leave unread before it is not listened to any more.
const UNREAD_BYTES_MAX: usize = 64 << 20;

/// Parts of one vectored write.
const SLICES_MAX: usize = 64;

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    start: usize,
    end: usize,
    outbox: Outbox,
    /// A fetch at the front of the inbox that waits for records, at most until then.
    waits_until: Option<Instant>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            inbox: vec![0; INBOX_BYTES],
            start: 0,
            end: 0,
            outbox: Outbox::default(),
            waits_until: None,
        })
    }

    /// Until when a fetch waits here, if one does.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        self.waits_until
    }

    /// Answers what is there, reads what has come, until the socket, a fetch or an unread answer
    /// stands in the way.
    pub(super) fn go_on(&mut self, state: &mut State, out: &mut Writer) -> io::Result<()> {
        loop {
            while let Some((from, to)) = self.frame()? {
                if self.outbox.bytes > UNREAD_BYTES_MAX {
                    self.outbox.flush(&mut self.stream)?;
                    if self.outbox.bytes > UNREAD_BYTES_MAX {
                        return Ok(());
                    }
                }
                out.clear();
                let answered = answer(&self.inbox[from..to], state, self.waits_until, out)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
                match answered {
                    Answered::Later(until) => {
                        self.waits_until = Some(until);
                        return self.outbox.flush(&mut self.stream);
                    }
                    Answered::Now(records) => {
                        self.waits_until = None;
                        self.outbox.push(out, records);
                        self.start = to;
                    }
                }
            }
            self.outbox.flush(&mut self.stream)?;
            if !self.fill()? {
                return Ok(());
            }
        }
    }

    /// Where the whole frame at the front lies, without its length field.
    fn frame(&self) -> io::Result<Option<(usize, usize)>> {
        let Some(size) = self.inbox[self.start..self.end].first_chunk::<4>() else { return Ok(None) };
        let size = usize::try_from(i32::from_be_bytes(*size)).ok().filter(|n| *n <= FRAME_BYTES_MAX);
        let from = self.start + 4;
        let to = from + size.ok_or(io::ErrorKind::InvalidData)?;
        Ok((to <= self.end).then_some((from, to)))
    }

    /// Takes what the kernel has, at most what fits; false when there is nothing.
    fn fill(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.inbox.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.inbox.len() {
            // Twice as large as what has really come, whatever the length field announces.
            self.inbox.resize(self.inbox.len() * 2, 0);
        }
        match self.stream.read(&mut self.inbox[self.end..]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.end += n;
                Ok(true)
            }
            // A process that was stopped and goes on.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => self.fill(),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Answers that the kernel has not taken yet, in order: `pieces`, then `tail`.
#[derive(Debug, Default)]
struct Outbox {
    pieces: VecDeque<Bytes>,
    tail: Vec<u8>,
    /// Bytes of the first of them that are gone.
    sent: usize,
    /// Bytes of all of them that are not.
    bytes: usize,
}

impl Outbox {
    /// Takes an encoded answer and the record bytes that belong into its holes.
    fn push(&mut self, out: &Writer, mut records: VecDeque<Vec<Bytes>>) {
        self.bytes += out.total_bytes();
        for segment in out.segments() {
            match segment {
                Segment::Head(range) => self.tail.extend_from_slice(&out.head()[range]),
                Segment::Splice { .. } => {
                    if !self.tail.is_empty() {
                        self.pieces.push_back(std::mem::take(&mut self.tail).into());
                    }
                    self.pieces.extend(records.pop_front().unwrap_or_default());
                }
            }
        }
    }

    /// Hands the kernel as much as it takes.
    fn flush(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        while self.bytes > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let parts = self.pieces.iter().map(|piece| &piece[..]).chain([&self.tail[..]]);
            let mut skip = self.sent;
            let mut used = 0;
            for (slice, part) in slices.iter_mut().zip(parts) {
                *slice = IoSlice::new(&part[skip..]);
                skip = 0;
                used += 1;
            }
            match stream.write_vectored(&slices[..used]) {
                Ok(n) => self.gone(n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Forgets `n` bytes.
    fn gone(&mut self, n: usize) {
        self.bytes -= n;
        self.sent += n;
        while let Some(first) = self.pieces.front()
            && self.sent >= first.len()
        {
            self.sent -= first.len();
            self.pieces.pop_front();
        }
        if self.bytes == 0 {
            self.tail.clear();
            self.sent = 0;
        }
    }
}
