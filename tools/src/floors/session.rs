//! Passes over a list of floors, in one scratch directory, merged into rows.

use std::io;
use std::path::Path;
use std::time::Instant;

use super::budget::Budget;
use super::cores::Cores;
use super::disk::{Blocks, Flush, overwrite, sequential};
use super::echo::{Journal, Pace, echo};
use super::network::{round_trip, stream};
use super::processor::process;
use super::sample::Sample;
use super::scratch::{Scratch, Space};
use super::spec::{Kind, Spec};
use crate::load::clock::wall_ms;
use crate::report::data::{Floor, FloorUnit, Floors, FloorsSource};
use crate::report::floors::rounded;
use crate::report::json::Percentiles;

/// What `passes` over these floors occupy on disk at most.
#[must_use]
pub fn disk_bytes(specs: &[Spec], budget: Budget, passes: u64) -> u64 {
    let new = specs.iter().filter(|spec| spec.takes_new_space()).count() as u64 * passes;
    let recycled = u64::from(specs.iter().any(Spec::needs_recycled));
    (new + recycled) * budget.space_bytes
}

/// Floors being measured. Its files go with it.
#[derive(Debug)]
pub struct Session {
    scratch: Scratch,
    specs: Vec<Spec>,
    cores: Cores,
    budget: Budget,
    started_unix_ms: u64,
    seconds: f64,
    /// Samples of each floor, one a pass.
    taken: Vec<Vec<Sample>>,
}

impl Session {
    /// Makes scratch space below `dir`, and the file that later floors write over. Floors of which
    /// an end spins are left out where both ends share one CPU.
    ///
    /// # Errors
    /// Whatever the file system says, a refusal of direct I/O included.
    pub fn prepare(dir: &Path, mut specs: Vec<Spec>, cores: Cores, budget: Budget) -> io::Result<Session> {
        specs.retain(|spec| cores.are_two() || !spec.spins());
        let mut scratch = Scratch::new(dir, budget.space_bytes)?;
        if specs.iter().any(Spec::needs_recycled) {
            scratch.open(Space::Recycled, false)?;
        }
        Ok(Session {
            scratch,
            taken: vec![Vec::new(); specs.len()],
            specs,
            cores,
            budget,
            started_unix_ms: u64::try_from(wall_ms()).unwrap_or(0),
            seconds: 0.0,
        })
    }

    /// Measures each floor once. `tell` hears the label of each before it begins.
    ///
    /// # Errors
    /// Whatever the system refused.
    pub fn pass(&mut self, tell: &mut dyn FnMut(&str)) -> io::Result<()> {
        let begun = Instant::now();
        for (spec, taken) in self.specs.iter().zip(&mut self.taken) {
            tell(&spec.label);
            let sample = measure(&mut self.scratch, spec.kind, self.cores, self.budget)
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", spec.label)))?;
            taken.push(sample);
        }
        self.seconds += begun.elapsed().as_secs_f64();
        Ok(())
    }

    /// The rows over all passes.
    #[must_use]
    pub fn finish(self, source: FloorsSource) -> Floors {
        let core = |core: Option<usize>| core.and_then(|core| u32::try_from(core).ok());
        let mut order: Vec<(&Spec, &Vec<Sample>)> = self.specs.iter().zip(&self.taken).collect();
        // As people read them, whatever the order in which they were measured.
        order.sort_by_key(|(spec, _)| spec.group as u8);
        Floors {
            source,
            started_unix_ms: self.started_unix_ms,
            seconds: rounded(self.seconds),
            server_core: core(self.cores.server),
            client_core: core(self.cores.client),
            rows: order.into_iter().map(|(spec, samples)| row(spec, samples)).collect(),
        }
    }
}

fn measure(scratch: &mut Scratch, kind: Kind, cores: Cores, budget: Budget) -> io::Result<Sample> {
    let file_bytes = scratch.file_bytes();
    match kind {
        Kind::Sequential { transfer, space, block, depth } => {
            let file = scratch.open(space, false)?;
            let again = space == Space::Recycled;
            let blocks = Blocks { bytes: block, depth, file_bytes, again };
            sequential(&file, transfer, blocks, budget.throughput, budget.move_bytes_max)
        }
        Kind::Overwrite { flush, block } => {
            let file = scratch.open(Space::Recycled, flush == Flush::Dsync)?;
            overwrite(&file, flush, block, file_bytes, cores.server, budget.latency)
        }
        Kind::RoundTrip { server, client } => round_trip(server, client, cores, budget.latency),
        Kind::Stream { direction, block } => {
            stream(direction, block, cores, budget.throughput, budget.move_bytes_max)
        }
        Kind::Process { work, block } => {
            process(work, block, cores.server, budget.throughput / 2, budget.move_bytes_max)
        }
        Kind::Echo { record, pace } => {
            let journal = Journal { file: scratch.open(Space::Recycled, false)?, file_bytes };
            let time = match pace {
                Pace::One(_) => budget.latency,
                Pace::Rate { .. } => budget.at_rate,
                Pace::Saturated => budget.throughput * 2,
            };
            echo(&journal, record, pace, cores, time, budget.move_bytes_max)
        }
    }
}

fn row(spec: &Spec, samples: &[Sample]) -> Floor {
    let mut whole = Sample::new();
    samples.iter().for_each(|sample| whole.append(sample));
    let headline = |sample: &Sample| match spec.unit {
        FloorUnit::MbPerS => rounded(sample.mb_per_s()),
        FloorUnit::P50Us | FloorUnit::Ratio => rounded(sample.p50_us()),
    };
    let latency = Percentiles::of(Some(&whole.latency));
    let tail = latency.and_then(|l| Some(rounded(l.p9999? / l.p50?)));
    Floor {
        id: spec.id.clone(),
        group: spec.group,
        label: spec.label.clone(),
        unit: spec.unit,
        value: headline(&whole),
        passes: samples.iter().map(headline).collect(),
        operations: whole.operations,
        bytes: whole.bytes,
        wall_s: rounded(whole.wall.as_secs_f64()),
        latency_us: latency,
        tail_ratio: tail,
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::on_a_disk;
    use super::super::spec::all;
    use super::*;

    #[test]
    fn every_floor_is_measured_in_every_pass_and_nothing_is_left_behind() {
        let dir = on_a_disk();
        let budget = Budget { space_bytes: 8 << 20, ..Budget::quick() };
        let specs = all(2_000.0, 1_024);
        assert_eq!(disk_bytes(&specs, budget, 2), (2 * 6 + 1) * (8 << 20));
        let mut session =
            Session::prepare(dir.path(), specs, Cores::default(), budget).expect("scratch space");
        let mut told = 0;
        for _ in 0..2 {
            session.pass(&mut |_| told += 1).expect("a pass");
        }
        let measured = session.specs.len();
        let floors = session.finish(FloorsSource::Alone);
        assert_eq!((floors.rows.len(), told), (measured, 2 * measured));
        for row in &floors.rows {
            assert!(row.value > 0.0 && row.operations > 0, "{row:?}");
            assert_eq!(row.passes.len(), 2, "{row:?}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 0);
    }
}
