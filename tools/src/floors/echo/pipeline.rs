//! Two threads on one core: one receives the next group while the other waits for the flush of the
//! last. One group is in flight at a time; the next leaves when it returns.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};

use super::super::aligned::Aligned;
use super::super::cores::pin;
use super::{GROUP_BYTES_MAX, Head, Journal, REPLY_BYTES};

/// One is received into, one is flushed, one is on its way between the two.
const GROUPS: usize = 3;

/// A group and the bytes of whole records in it.
type Full = (Aligned, usize);

/// Serves one connection until its client has finished.
pub(super) fn serve(
    stream: TcpStream,
    journal: &Journal,
    record_bytes: usize,
    core: Option<usize>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let answers = stream.try_clone()?;
    // A rendezvous: a group is taken only by a flusher that has nothing to do.
    let (full, to_flush) = sync_channel::<Full>(0);
    let (back, free) = channel();
    for _ in 0..GROUPS {
        back.send(Aligned::new(GROUP_BYTES_MAX)).expect("this side has both ends");
    }
    std::thread::scope(|scope| {
        let flusher = scope.spawn(move || {
            pin(core);
            let mut head = Head::new(journal);
            flush(&to_flush, &mut head, record_bytes, answers, |group| drop(back.send(group)))
        });
        let received = receive(stream, &full, &free, record_bytes);
        drop(full);
        let flushed = flusher.join().expect("the flusher returns its errors");
        received.and(flushed)
    })
}

fn flush(
    groups: &Receiver<Full>,
    head: &mut Head<'_>,
    record_bytes: usize,
    mut answers: TcpStream,
    give_back: impl Fn(Aligned),
) -> io::Result<()> {
    let replies = vec![1; GROUP_BYTES_MAX / record_bytes * REPLY_BYTES];
    for (group, len) in groups {
        head.append(&group, len)?;
        answers.write_all(&replies[..len / record_bytes * REPLY_BYTES])?;
        give_back(group);
    }
    Ok(())
}

fn receive(
    mut stream: TcpStream,
    full: &SyncSender<Full>,
    free: &Receiver<Aligned>,
    record_bytes: usize,
) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut group = free.recv().map_err(|_| gone())?;
    let mut have = 0;
    loop {
        let n = match stream.read(&mut group[have..]) {
            // A process that was stopped and goes on.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        have += n;
        let whole = have / record_bytes * record_bytes;
        if whole == 0 {
            if n == 0 {
                return Ok(());
            }
            continue;
        }
        // No room for another record, or no more to come: this group waits for the flusher.
        let must = n == 0 || have + record_bytes > group.len();
        let rest = group[whole..have].to_vec();
        let offered = (group, whole);
        let refused = match must {
            true => full.send(offered).map_err(|_| gone()).map(|()| None)?,
            false => match full.try_send(offered) {
                Ok(()) => None,
                Err(TrySendError::Full((group, _))) => Some(group),
                Err(TrySendError::Disconnected(_)) => return Err(gone()),
            },
        };
        group = match refused {
            Some(group) => group,
            None => {
                let mut next = free.recv().map_err(|_| gone())?;
                next[..rest.len()].copy_from_slice(&rest);
                have = rest.len();
                next
            }
        };
    }
}
