//! Deadlines, looked at twice a second instead of with a timer per connection.

use std::rc::Rc;
use std::time::Duration;

use engine::base::Instant;

use super::Net;
use super::conn::Conn;
use crate::runtime::{RECEIVE_BYTES_SMALL, Reason, clock};

/// How often the connections are looked at.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

/// How long a slow frame or a stalled send is borne while memory is short: a frame for a second more for each of
/// [`BYTES_PER_SECOND_MIN`] that came, so that a large one on a slow link is not cut short, and one that stands still is.
const PATIENCE_WHEN_TIGHT: Duration = Duration::from_secs(2);

/// How fast a large frame must come, in bytes a second.
const BYTES_PER_SECOND_MIN: usize = 1 << 20;

impl Net {
    /// The job that closes connections past their deadlines. It ends only with its task.
    pub async fn run_sweep(self: Rc<Self>) {
        loop {
            glommio::timer::sleep(SWEEP_EVERY).await;
            let now = clock::now().mono;
            let late: Vec<(Rc<Conn>, Reason)> = {
                let conns = self.conns.borrow();
                conns.iter().filter_map(|(_, c)| self.late(c, now).map(|r| (c.clone(), r))).collect()
            };
            for (conn, reason) in late {
                conn.close_now(reason);
            }
        }
    }

    /// Why this connection must go now, if it must.
    fn late(&self, conn: &Conn, now: Instant) -> Option<Reason> {
        let (settings, marks) = (&self.settings, &conn.marks);
        let earned = |bytes: usize| Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND_MIN as f64);
        if let Some(since) = marks.blocked_since.get() {
            let tight = self.leases.is_tight() || self.buffers.is_full_of_answers();
            let limit =
                if tight { settings.send_stall.min(PATIENCE_WHEN_TIGHT) } else { settings.send_stall };
            return (now.since(since) > limit).then_some(Reason::SlowReader);
        }
        if let Some(since) = marks.frame_since.get() {
            let bytes = marks.frame_bytes.get();
            let limit = if bytes == 0 && !marks.greeted.get() {
                settings.first_frame
            } else {
                let whole = settings.frame + earned(bytes);
                let (large, starved) = (bytes > RECEIVE_BYTES_SMALL, marks.starved.get());
                // Who waits for memory that others hold is not the one to blame, but may not hold much itself.
                let tight = self.buffers.is_tight() && (large || !starved);
                let in_the_way = large && !starved && self.buffers.is_tight_for_large();
                let stands_still = !starved && now.since(marks.active_at.get()) > PATIENCE_WHEN_TIGHT;
                let earned = if stands_still { Duration::ZERO } else { earned(marks.frame_received.get()) };
                if tight || in_the_way { whole.min(PATIENCE_WHEN_TIGHT + earned) } else { whole }
            };
            return (now.since(since) > limit).then_some(Reason::SlowFrame);
        }
        let idle = settings.idle.filter(|_| conn.is_quiet())?;
        (now.since(marks.active_at.get()) > idle).then_some(Reason::Idle)
    }
}
