//! Which sockets have something: edge-triggered epoll, so that nothing is ever re-armed.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// The most events taken at once; the rest come with the next poll.
const EVENTS_MAX: usize = 256;

/// A set of sockets.
#[derive(Debug)]
pub(super) struct Poll {
    epoll: OwnedFd,
}

/// One socket's news.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) token: usize,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

impl Poll {
    pub(super) fn new() -> io::Result<Poll> {
        Ok(Poll { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    pub(super) fn add(&self, socket: &impl AsFd, token: usize) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token as u64), flags)?)
    }

    /// What is ready now. Never waits: the generator owns its core, and a sleep would cost more than
    /// the latencies that it measures.
    pub(super) fn now(&self, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.within(Duration::ZERO, ready)
    }

    /// What is ready now, or becomes so within `nap`.
    pub(super) fn within(&self, nap: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let mut events = [MaybeUninit::<Event>::uninit(); EVENTS_MAX];
        let nap = Timespec { tv_sec: nap.as_secs() as i64, tv_nsec: nap.subsec_nanos().into() };
        let (events, _) = match epoll::wait(&self.epoll, &mut events[..], Some(&nap)) {
            Ok(events) => events,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        for event in events.iter() {
            let flags = event.flags;
            let ended = flags.intersects(EventFlags::ERR | EventFlags::HUP | EventFlags::RDHUP);
            ready.push(Ready {
                token: event.data.u64() as usize,
                readable: ended || flags.contains(EventFlags::IN),
                writable: flags.contains(EventFlags::OUT),
            });
        }
        Ok(())
    }
}
