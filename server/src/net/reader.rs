//! One connection's incoming half: cut frames, hand them over in order.

use std::pin::pin;
use std::rc::Rc;

use super::conn::Conn;
use super::inbox::Inbox;
use crate::runtime::{Link, Reason, Service, begin_work, clock, fair, hint};

/// The length in front of a frame.
const LENGTH_BYTES: usize = 4;

/// The shortest request: API key, version, correlation id.
const FRAME_BYTES_MIN: usize = 8;

/// Serves a connection until it ends.
pub(super) async fn serve<S: Service>(conn: Rc<Conn>, service: S) {
    let reason = match read_frames(&conn, &service).await {
        Ok(()) => Reason::Client,
        Err(reason) => reason,
    };
    conn.marks.busy.set(false);
    conn.marks.frame_since.set(None);
    conn.end(if conn.net.is_draining() { Reason::Stopping } else { reason });
    conn.clone().flush();
    conn.until_closed().await;
}

async fn read_frames<S: Service>(conn: &Rc<Conn>, service: &S) -> Result<(), Reason> {
    let mut session = service.open(conn.peer, conn.listener);
    let mut inbox = Inbox::new(&conn.net);
    let marks = &conn.marks;
    loop {
        let need = match next_frame(inbox.bytes(), service, conn)? {
            Frame::Whole(len) => {
                let work = begin_work();
                marks.busy.set(true);
                marks.greeted.set(true);
                marks.frame_since.set(None);
                if !conn.out.has_space() {
                    conn.clone().flush();
                    conn.out.until_space().await;
                }
                if conn.is_closed() || conn.net.is_draining() {
                    return Ok(());
                }
                conn.net.counters.requests.add(1);
                let frame = &inbox.bytes()[LENGTH_BYTES..LENGTH_BYTES + len];
                flush_if_it_waits(conn, service.handle(&mut session, frame, &conn.out)).await?;
                inbox.consume(LENGTH_BYTES + len);
                fair(work).await;
                continue;
            }
            Frame::Needs(bytes) => bytes,
        };
        conn.clone().flush();
        marks.busy.set(false);
        let now = clock::now().mono;
        marks.active_at.set(now);
        if !inbox.bytes().is_empty() && marks.frame_since.get().is_none() {
            marks.frame_since.set(Some(now));
        }
        marks.frame_bytes.set(if inbox.bytes().is_empty() { 0 } else { need });
        marks.frame_received.set(inbox.bytes().len());
        let n = inbox.fill(conn, need).await?;
        if n == 0 {
            return Ok(());
        }
        conn.net.counters.bytes_in.add(n as u64);
        let now = clock::monotonic();
        conn.out.received(now);
        if marks.frame_since.get().is_none() {
            marks.frame_since.set(Some(now));
        }
    }
}

/// Drives a request. If it must wait, the answers before it leave first: they may hold the very memory
/// that it waits for, and their client may wait for them.
async fn flush_if_it_waits<T>(conn: &Rc<Conn>, request: impl Future<Output = T>) -> T {
    let mut request = pin!(request);
    let mut flushed = false;
    std::future::poll_fn(|cx| {
        let polled = request.as_mut().poll(cx);
        if polled.is_pending() && !std::mem::replace(&mut flushed, true) {
            conn.clone().flush();
        }
        polled
    })
    .await
}

enum Frame {
    /// A frame of this many bytes after its length is here.
    Whole(usize),
    /// The frame will be this many bytes with its length, as far as is known.
    Needs(usize),
}

fn next_frame<S: Service>(bytes: &[u8], service: &S, conn: &Conn) -> Result<Frame, Reason> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(Frame::Needs(LENGTH_BYTES + FRAME_BYTES_MIN));
    };
    let len = i32::from_be_bytes(*length);
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if len < FRAME_BYTES_MIN || len > conn.net.settings.request_bytes_max {
        hint::foreign_protocol(*length, conn.peer);
        conn.net.counters.frames_bad.add(1);
        return Err(Reason::BadFrame);
    }
    let Some(start) = rest.first_chunk::<4>() else {
        return Ok(Frame::Needs(LENGTH_BYTES + FRAME_BYTES_MIN));
    };
    if len > service.frame_bytes_max(*start) {
        conn.net.counters.frames_bad.add(1);
        return Err(Reason::BadFrame);
    }
    if rest.len() >= len { Ok(Frame::Whole(len)) } else { Ok(Frame::Needs(LENGTH_BYTES + len)) }
}
