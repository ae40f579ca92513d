//! Which floors there are, and which matter for a given load.

use super::disk::{Flush, Transfer};
use super::echo::Pace as EchoPace;
use super::network::{Direction, Wait};
use super::processor::Work;
use super::scratch::Space;
use crate::load::plan::{Mode, Pace, Plan};
use crate::report::data::{FloorGroup, FloorUnit};
use crate::report::units;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The largest record of an echo: a group is as large.
const ECHO_RECORD_BYTES_MAX: usize = MIB;

/// One floor: its name, and what is done.
#[derive(Clone, PartialEq, Debug)]
pub struct Spec {
    /// Stable name.
    pub id: String,
    /// What it is a limit of.
    pub group: FloorGroup,
    /// In words.
    pub label: String,
    /// What its headline counts.
    pub unit: FloorUnit,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Kind {
    Sequential { transfer: Transfer, space: Space, block: usize, depth: usize },
    Overwrite { flush: Flush, block: usize },
    RoundTrip { server: Wait, client: Wait },
    Stream { direction: Direction, block: usize },
    Process { work: Work, block: usize },
    Echo { record: usize, pace: EchoPace },
}

impl Spec {
    fn new(id: String, group: FloorGroup, unit: FloorUnit, label: String, kind: Kind) -> Spec {
        Spec { id, group, label, unit, kind }
    }

    /// Whether it writes a file of its own, which stays until the session ends.
    pub(super) fn takes_new_space(&self) -> bool {
        matches!(self.kind, Kind::Sequential { space: Space::Extending | Space::Allocated, .. })
    }

    /// Whether it uses the file that was written before.
    pub(super) fn needs_recycled(&self) -> bool {
        matches!(
            self.kind,
            Kind::Sequential { space: Space::Recycled, .. } | Kind::Overwrite { .. } | Kind::Echo { .. }
        )
    }

    /// Whether an end of it spins, so that the other needs a CPU of its own.
    pub(super) fn spins(&self) -> bool {
        match self.kind {
            Kind::RoundTrip { server, client } => server == Wait::Spin || client == Wait::Spin,
            Kind::Echo { pace, .. } => pace != EchoPace::One(Wait::Block),
            _ => false,
        }
    }
}

/// `64k`, `1m`
fn short(bytes: usize) -> String {
    if bytes.is_multiple_of(MIB) { format!("{}m", bytes / MIB) } else { format!("{}k", bytes / KIB) }
}

fn size(bytes: usize) -> String {
    units::bytes(bytes as u64)
}

fn write(space: Space, block: usize, depth: usize) -> Spec {
    let state = match space {
        Space::Extending => "fresh file, extending it",
        Space::Allocated => "allocated file, never written",
        Space::Recycled => "recycled file, written before",
    };
    Spec::new(
        format!("write_{}_{}_d{depth}", space.word(), short(block)),
        FloorGroup::Disk,
        FloorUnit::MbPerS,
        format!("direct write {} × {depth}, {state}", size(block)),
        Kind::Sequential { transfer: Transfer::Write, space, block, depth },
    )
}

fn read(block: usize, depth: usize) -> Spec {
    Spec::new(
        format!("read_{}_d{depth}", short(block)),
        FloorGroup::Disk,
        FloorUnit::MbPerS,
        format!("direct read {} × {depth}", size(block)),
        Kind::Sequential { transfer: Transfer::Read, space: Space::Recycled, block, depth },
    )
}

fn overwrite(flush: Flush, block: usize) -> Spec {
    let (word, label) = match flush {
        Flush::Fdatasync => ("fdatasync", format!("overwrite {} + fdatasync", size(block))),
        Flush::Dsync => ("dsync", format!("overwrite {}, O_DSYNC", size(block))),
    };
    Spec::new(
        format!("overwrite_{word}_{}", short(block)),
        FloorGroup::Disk,
        FloorUnit::P50Us,
        label,
        Kind::Overwrite { flush, block },
    )
}

fn round_trip(server: Wait, client: Wait) -> Spec {
    let (word, label) = match (server, client) {
        (Wait::Spin, _) => ("spin", "both ends spin"),
        (Wait::Block, Wait::Spin) => ("server_sleeps", "server sleeps, client spins"),
        (Wait::Block, Wait::Block) => ("sleep", "both ends sleep"),
    };
    Spec::new(
        format!("round_trip_{word}"),
        FloorGroup::Network,
        FloorUnit::P50Us,
        format!("TCP round trip, 1 KiB there, 64 B back, {label}"),
        Kind::RoundTrip { server, client },
    )
}

fn stream(direction: Direction, block: usize) -> Spec {
    let (word, label) = match direction {
        Direction::In => ("in", "to the server"),
        Direction::Out => ("out", "from the server"),
    };
    Spec::new(
        format!("stream_{word}_{}", short(block)),
        FloorGroup::Network,
        FloorUnit::MbPerS,
        format!("TCP stream {label}, {} a call", size(block)),
        Kind::Stream { direction, block },
    )
}

fn process(work: Work) -> Spec {
    let (id, label) = match work {
        Work::Checksum => ("crc32c", "CRC-32C, 1 MiB in cache"),
        Work::Copy => ("copy", "memcpy, 1 MiB from and to memory"),
    };
    Spec::new(
        id.to_string(),
        FloorGroup::Processor,
        FloorUnit::MbPerS,
        format!("{label}, one core"),
        Kind::Process { work, block: MIB },
    )
}

fn echo(record: usize, pace: EchoPace) -> Spec {
    let record = record.clamp(1, ECHO_RECORD_BYTES_MAX);
    let (id, unit, label) = match pace {
        EchoPace::One(Wait::Block) => {
            ("echo_one_sleep".to_string(), FloorUnit::P50Us, "depth 1, server sleeps".to_string())
        }
        EchoPace::One(Wait::Spin) => {
            ("echo_one_spin".to_string(), FloorUnit::P50Us, "depth 1, server spins".to_string())
        }
        EchoPace::Rate { records_per_s } => {
            let rate = units::grouped(records_per_s.round() as u64);
            ("echo_rate".to_string(), FloorUnit::P50Us, format!("open loop, {rate} records/s"))
        }
        EchoPace::Saturated => {
            (format!("echo_saturated_{record}"), FloorUnit::MbPerS, "saturated, groups to 1 MiB".to_string())
        }
    };
    Spec::new(
        id,
        FloorGroup::Echo,
        unit,
        format!("durable echo of {}, {label}", size(record)),
        Kind::Echo { record, pace },
    )
}

/// Every floor. The echo at a rate gets `records_per_s` records of `record_bytes`.
#[must_use]
pub fn all(records_per_s: f64, record_bytes: usize) -> Vec<Spec> {
    let mut specs = vec![
        overwrite(Flush::Fdatasync, 4 * KIB),
        overwrite(Flush::Fdatasync, 16 * KIB),
        overwrite(Flush::Dsync, 4 * KIB),
        overwrite(Flush::Dsync, 16 * KIB),
    ];
    for block in [256 * KIB, MIB] {
        specs.extend([1, 4].map(|depth| write(Space::Recycled, block, depth)));
        specs.extend([1, 4].map(|depth| read(block, depth)));
    }
    specs.extend([
        round_trip(Wait::Block, Wait::Block),
        round_trip(Wait::Block, Wait::Spin),
        round_trip(Wait::Spin, Wait::Spin),
    ]);
    for direction in [Direction::In, Direction::Out] {
        specs.extend([64 * KIB, MIB].map(|block| stream(direction, block)));
    }
    specs.extend([process(Work::Checksum), process(Work::Copy)]);
    specs.extend([
        echo(record_bytes, EchoPace::One(Wait::Block)),
        echo(record_bytes, EchoPace::One(Wait::Spin)),
        echo(record_bytes, EchoPace::Rate { records_per_s }),
        echo(16 * KIB, EchoPace::Saturated),
        echo(256 * KIB, EchoPace::Saturated),
    ]);
    // Last: what takes new space leaves the file system something to tidy up.
    for block in [256 * KIB, MIB] {
        specs.extend([1, 4].map(|depth| write(Space::Allocated, block, depth)));
        specs.push(write(Space::Extending, block, 1));
    }
    specs
}

/// The floors that bound the figures of this load.
#[must_use]
pub fn for_load(plan: &Plan) -> Vec<Spec> {
    let record = plan.sizes.mean() as usize;
    let mut specs = Vec::new();
    if plan.mode.produces() {
        specs.push(overwrite(Flush::Fdatasync, 4 * KIB));
        match plan.pace {
            Pace::Open { records_per_s, .. } => {
                specs.push(round_trip(Wait::Spin, Wait::Spin));
                specs.push(echo(record, EchoPace::Rate { records_per_s }));
            }
            Pace::Closed if plan.depth * plan.producers == 1 => {
                let record = record.max(plan.batch_bytes.min(ECHO_RECORD_BYTES_MAX));
                specs.push(round_trip(Wait::Block, Wait::Spin));
                specs.push(round_trip(Wait::Spin, Wait::Spin));
                specs.push(echo(record, EchoPace::One(Wait::Block)));
                specs.push(echo(record, EchoPace::One(Wait::Spin)));
            }
            // A share of the maximum is bounded by what bounds the maximum.
            Pace::OfMax { .. } | Pace::Closed => {
                specs.extend([256 * KIB, MIB].map(|block| write(Space::Recycled, block, 4)));
                specs.extend([64 * KIB, MIB].map(|block| stream(Direction::In, block)));
                specs.push(echo(plan.batch_bytes.max(record), EchoPace::Saturated));
            }
        }
    }
    if plan.mode.fetches() && plan.pace == Pace::Closed || !plan.mode.produces() {
        specs.extend([64 * KIB, MIB].map(|block| stream(Direction::Out, block)));
    }
    if plan.mode == Mode::FetchCold {
        specs.extend([256 * KIB, MIB].map(|block| read(block, 4)));
    }
    specs
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_floor_has_a_name_of_its_own() {
        let specs = all(20_000.0, 1_024);
        let ids: HashSet<&str> = specs.iter().map(|spec| spec.id.as_str()).collect();
        assert_eq!(ids.len(), specs.len());
        for id in ["write_extending_1m_d1", "overwrite_dsync_16k", "stream_out_64k", "echo_one_spin"] {
            assert!(ids.contains(id), "{id}");
        }
    }
}
