//! Both brokers of a run: started and warmed when they are first needed, one of them awake at a time, ended together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::bail;

use super::chain::{Peers, topic};
use super::document::{BrokerDocument, Side};
use super::lab::Lab;
use super::process::{Place, Running};
use super::quiet::Watch;
use super::slot::Load;

/// The workload that warms a broker which asks for it, in pieces of this length.
const WARM_WORKLOAD: &str = "durable-16p";
const WARM_PIECE: Duration = Duration::from_secs(15);

/// Bytes that such a piece may write.
const WARM_BYTES: u64 = 8 << 30;

/// Everything that the rows of one run share.
#[derive(Debug)]
pub(super) struct House<'a> {
    pub(super) lab: &'a Lab,
    /// Folder of `versus.toml`.
    pub(super) dir: &'a Path,
    pub(super) out: &'a Path,
    pub(super) place: Place,
    /// `None`: wherever it is put.
    pub(super) load_core: Option<usize>,
    pub(super) stop: &'a AtomicBool,
    pub(super) watch: Watch,
    pub(super) peers: Peers,
    /// Those that run.
    pub(super) running: BTreeMap<Side, (Running, BrokerDocument)>,
    /// Loads that the running brokers are warm for: the report of the last slot that had settled.
    pub(super) warm_for: BTreeMap<(Side, String), PathBuf>,
    /// What the generator reaches, by load.
    pub(super) ceilings: BTreeMap<String, f64>,
}

impl House<'_> {
    /// Ends every broker; from now on they have all CPUs and the generator has no CPU of its own.
    pub(super) fn unpin(&mut self) {
        self.end();
        self.place.cores = crate::bench::all_cpus();
        self.load_core = None;
    }

    /// Ends every broker.
    pub(super) fn end(&mut self) {
        self.warm_for.clear();
        for (running, _) in std::mem::take(&mut self.running).into_values() {
            running.end();
        }
    }

    /// Gives up a broker that does not answer any more: the next slot starts a new one.
    pub(super) fn give_up_if_dead(&mut self, side: Side) {
        if self.running.get_mut(&side).is_some_and(|(running, _)| running.wake().is_err()) {
            self.running.remove(&side);
            self.warm_for.retain(|(broker, _), _| *broker != side);
        }
    }

    /// Lets one broker run and stops the other; starts it first if it does not run yet.
    pub(super) fn turn_to(&mut self, side: Side) -> anyhow::Result<()> {
        self.rest(Some(side));
        if !self.running.contains_key(&side) {
            let started = self.start(side)?;
            self.running.insert(side, started);
        }
        self.running.get_mut(&side).expect("it was started above").0.wake()
    }

    /// Stops every broker but one.
    pub(super) fn rest(&mut self, except: Option<Side>) {
        for (side, (running, _)) in &mut self.running {
            if Some(*side) != except {
                running.sleep();
            }
        }
    }

    /// Starts a broker and loads it until it is as warm as its description asks for.
    fn start(&self, side: Side) -> anyhow::Result<(Running, BrokerDocument)> {
        let (peer, home) = &self.peers[&side];
        eprintln!("start   {} {} on CPU {}", peer.title, peer.version, self.place.cores);
        let running = Running::start(peer, home, &self.place, side.word())?;
        let mut document = BrokerDocument {
            side,
            peer: peer.name.clone(),
            title: peer.title.clone(),
            version: peer.version.clone(),
            about: peer.about.clone(),
            command: peer.start.command.clone(),
            ready_ms: running.ready.as_secs_f64() * 1e3,
            warm_runs_mb_per_s: Vec::new(),
            warm_s: 0.0,
            warm_agreed: true,
        };
        let at_least = peer.warm.at_least.map_or(0.0, |span| span.0.as_secs_f64());
        let at_most = peer.warm.at_most.map_or(at_least, |span| span.0.as_secs_f64());
        while document.warm_s < at_least || (!document.warm_agreed && document.warm_s < at_most) {
            self.go_on()?;
            let piece = document.warm_runs_mb_per_s.len() + 1;
            let load = Load {
                workload: self.workload(WARM_WORKLOAD),
                flags: &[],
                topic: topic(peer, peer.mode("unflushed").unwrap_or(&peer.mode[0])).into_iter().collect(),
                duration: WARM_PIECE,
                warm: None,
                like: None,
                bytes: WARM_BYTES,
                address: running.address.clone(),
                pid: running.pid(),
                name: format!("{} {}", peer.title, peer.version),
                flushes: false,
                core: self.load_core,
                data: &self.place.data,
                broker_cores: &self.place.cores,
            };
            let report = load.run(&self.out.join(format!("warm/{}-{piece:02}", side.word())), self.stop)?;
            let mb_per_s = report["throughput"]["mb_per_s"].as_f64().unwrap_or(0.0);
            eprintln!("warm    {} {piece}: {mb_per_s:.0} MB/s", peer.title);
            let before = document.warm_runs_mb_per_s.last().copied();
            document.warm_agreed = before.is_some_and(|before| {
                (before - mb_per_s).abs() <= self.lab.rule.tolerance * before.max(mb_per_s)
            });
            document.warm_runs_mb_per_s.push(mb_per_s);
            document.warm_s += WARM_PIECE.as_secs_f64();
        }
        Ok((running, document))
    }

    pub(super) fn workload(&self, name: &str) -> PathBuf {
        self.dir.join("workloads").join(format!("{name}.toml"))
    }

    pub(super) fn go_on(&self) -> anyhow::Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            bail!(super::run::Interrupted);
        }
        Ok(())
    }
}
