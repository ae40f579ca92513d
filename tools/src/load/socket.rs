//! One non-blocking connection: a frame out at a time, whole frames in.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::image::Image;

/// How long a connection may take to open.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Receive buffers start at this size and double while a frame does not fit.
const INBOX_BYTES_MIN: usize = 64 << 10;

/// A request on its way out: protocol bytes around a batch that is never copied.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Frame length, header and body up to the batch.
    pub(super) head: Vec<u8>,
    /// The batch, none for requests without one.
    pub(super) image: Option<Image>,
    /// What follows the batch.
    pub(super) tail: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The broker hung up.
    #[error("the broker closed the connection")]
    Closed,
    /// A response longer than anything that was asked for.
    #[error("the broker announced a frame of {got} bytes; at most {max} were asked for")]
    FrameTooLarge {
        /// Announced.
        got: i64,
        /// Allowed.
        max: usize,
    },
}

/// A connection that never blocks.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    out: Outgoing,
    /// Bytes of `out` that the kernel has taken; `None` when there is nothing to send.
    sent: Option<usize>,
    inbox: Vec<u8>,
    start: usize,
    end: usize,
    frame_bytes_max: usize,
}

impl Socket {
    /// Connects (blocking), then never blocks again. Frames above `frame_bytes_max` are refused.
    pub(super) fn connect(address: SocketAddr, frame_bytes_max: usize) -> io::Result<Socket> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Socket {
            stream,
            out: Outgoing::default(),
            sent: None,
            inbox: vec![0; INBOX_BYTES_MIN],
            start: 0,
            end: 0,
            frame_bytes_max,
        })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether the last frame is with the kernel, so that the next may come.
    pub(super) fn is_idle(&self) -> bool {
        self.sent.is_none()
    }

    /// Starts a frame; `fill` writes it over the last one's buffers.
    ///
    /// # Panics
    /// If the last frame is not out yet.
    pub(super) fn send(&mut self, fill: impl FnOnce(&mut Outgoing)) -> Result<Option<Image>, SocketError> {
        assert!(self.is_idle(), "one frame at a time");
        self.out.head.clear();
        self.out.tail.clear();
        fill(&mut self.out);
        self.sent = Some(0);
        self.flush()
    }

    /// Sends on. Returns the image once the whole frame is out.
    pub(super) fn flush(&mut self) -> Result<Option<Image>, SocketError> {
        while let Some(sent) = self.sent {
            let body = self.out.image.as_ref().map_or(&[][..], Image::bytes);
            let parts = [&self.out.head[..], body, &self.out.tail[..]];
            let total: usize = parts.iter().map(|p| p.len()).sum();
            if sent == total {
                self.sent = None;
                return Ok(self.out.image.take());
            }
            let mut skip = sent;
            let slices = parts.map(|part| {
                let from = skip.min(part.len());
                skip -= from;
                IoSlice::new(&part[from..])
            });
            match rustix::io::writev(&self.stream, &slices) {
                Ok(n) => self.sent = Some(sent + n),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(e) => return Err(SocketError::Io(e.into())),
            }
        }
        Ok(None)
    }

    /// Takes what the kernel has, at most one buffer full; false when there was nothing.
    pub(super) fn fill(&mut self) -> Result<bool, SocketError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end == self.inbox.len() {
            self.make_room()?;
        }
        loop {
            match recv(&self.stream, &mut self.inbox[self.end..], RecvFlags::empty()) {
                Ok((0, _)) => return Err(SocketError::Closed),
                Ok((n, _)) => {
                    self.end += n;
                    return Ok(true);
                }
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(e) => return Err(SocketError::Io(e.into())),
            }
        }
    }

    fn make_room(&mut self) -> Result<(), SocketError> {
        if self.start > 0 {
            self.inbox.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            return Ok(());
        }
        // One frame is larger than the buffer: its length is known and was checked.
        let wanted = self.frame_bytes()?.map_or(0, |n| n + 4).max(self.inbox.len() * 2);
        self.inbox.resize(wanted.min(self.frame_bytes_max + 4), 0);
        assert!(self.end < self.inbox.len(), "a frame within its bound has room");
        Ok(())
    }

    /// Length of the frame at the front, if its length field is there.
    fn frame_bytes(&self) -> Result<Option<usize>, SocketError> {
        let Some(field) = self.inbox[self.start..self.end].first_chunk::<4>() else { return Ok(None) };
        let length = i32::from_be_bytes(*field);
        match usize::try_from(length) {
            Ok(n) if n <= self.frame_bytes_max => Ok(Some(n)),
            _ => Err(SocketError::FrameTooLarge { got: i64::from(length), max: self.frame_bytes_max }),
        }
    }

    /// The whole frame at the front, without its length field.
    pub(super) fn frame(&self) -> Result<Option<&[u8]>, SocketError> {
        let Some(length) = self.frame_bytes()? else { return Ok(None) };
        let from = self.start + 4;
        Ok((from + length <= self.end).then(|| &self.inbox[from..from + length]))
    }

    /// Drops the frame at the front.
    pub(super) fn drop_frame(&mut self) {
        if let Ok(Some(length)) = self.frame_bytes() {
            self.start += 4 + length;
            assert!(self.start <= self.end, "only a whole frame is dropped");
        }
    }
}
