//! What precedes the load: the first record of each partition, a preload, and, where a share of the maximum is asked for,
//! the maximum.

use std::time::Duration;

use super::LoadError;
use super::clock::now_ns;
use super::drive::Drive;
use super::outcome::Phase;
use super::plan::Pace;
use super::touch::touch;

/// How long the closed loop runs that finds the maximum, of which a plan takes a share. Its second half counts.
pub const CALIBRATION: Duration = Duration::from_secs(6);

/// How long answers may take after it.
const DRAIN_NS: u64 = 30_000_000_000;

/// What making the topic ready took, each from the request that creates it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Setup {
    /// Until the request was answered.
    pub created: Duration,
    /// Until every partition had a leader.
    pub led: Duration,
    /// Until one record was acknowledged in each partition.
    pub touched: Duration,
}

impl Drive<'_> {
    /// Prepares the topic; from here on, the load's own pace and bytes count.
    pub(super) fn prepare(&mut self) -> Result<(), LoadError> {
        self.touch_all()?;
        if self.run.plan.preload_bytes > 0 {
            self.preload()?;
        }
        if let Pace::OfMax { share, arrivals } = self.run.plan.pace {
            let max = self.calibrate()?;
            self.max_records_per_s = Some(max);
            self.run.plan.pace = Pace::Open { records_per_s: max * share, arrivals };
        }
        self.run.pace = self.run.plan.pace;
        self.run.bytes_max = self.tally.bytes_sent.saturating_add(self.run.plan.bytes_max);
        self.bytes_before = self.tally.bytes_sent;
        self.tally.prepared = self.tally.ledgers.clone();
        self.prepared_ends = self.tally.ends.clone();
        Ok(())
    }

    fn touch_all(&mut self) -> Result<(), LoadError> {
        self.enter(Phase::Touch, now_ns(), Duration::ZERO);
        let identity = self.producers[0].identity();
        touch(&self.run, &mut self.tally, &self.leaders, identity, self.stop)?;
        self.setup.touched = Duration::from_nanos(now_ns() - self.began_ns);
        Ok(())
    }

    /// Writes so many bytes in a closed loop.
    fn preload(&mut self) -> Result<(), LoadError> {
        self.run.pace = Pace::Closed;
        self.run.bytes_max = self.tally.bytes_sent.saturating_add(self.run.plan.preload_bytes);
        self.enter(Phase::Preload, now_ns(), Duration::ZERO);
        while !self.stopped() {
            self.turn(u64::MAX)?;
            let enough = self.tally.bytes_sent >= self.run.bytes_max;
            if enough && self.producers.iter().all(|p| p.is_drained(&self.run, &self.tally, u64::MAX)) {
                break;
            }
        }
        Ok(())
    }

    /// The records per second of a closed loop.
    fn calibrate(&mut self) -> Result<f64, LoadError> {
        (self.run.pace, self.run.bytes_max) = (Pace::Closed, u64::MAX);
        let began = now_ns();
        let (half, end) = (began + CALIBRATION.as_nanos() as u64 / 2, began + CALIBRATION.as_nanos() as u64);
        self.enter(Phase::Calibrate, began, CALIBRATION);
        let mut at_half = None;
        let mut now = began;
        while now < end && !self.stopped() {
            now = self.turn(end)?;
            if now >= half {
                at_half.get_or_insert((now, self.tally.records_acked));
            }
        }
        let acked = self.tally.records_acked;
        self.until_quiet(end, DRAIN_NS, |d| d.producers.iter().all(|p| p.is_drained(&d.run, &d.tally, end)))?;
        let (from, before) = at_half.unwrap_or((began, 0));
        let per_s = (acked - before) as f64 * 1e9 / (now - from).max(1) as f64;
        // Nothing answered within half the time: the share of it must still be a rate.
        Ok(per_s.max(1.0))
    }
}
