//! A real broker that dies by SIGKILL at each step of its I/O, before and after it: nothing acknowledged
//! is lost, nothing is there twice, and a second start finds what the first one found.
//!
//! `cargo test -p tools --features fault-points --test crash_points`. The steps are those of
//! `store::failpoint`; `steps` says which of them are tried when. A step that is never reached fails its case.
//! `ONLY="write journal"` runs the cases with that in their name.

#[path = "../../../server/tests/harness/mod.rs"]
mod harness;
mod history;
mod lane;
#[path = "../process/mod.rs"]
mod process;
mod steps;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use history::{History, Seen};
use process::{Ended, Gone, Line, Process, serve, until};
use rustix::process::Signal;
use steps::{Case, Phase, cases};
use wire::{ApiKey, ErrorCode, create_topics, delete_topics};

/// Records acknowledged before a step counts.
const WARM: u64 = 120;

/// How long a step is waited for.
const HIT_WITHIN: Duration = Duration::from_secs(40);

/// Brokers that run at a time: they wait for their disk most of the time.
const AT_A_TIME: usize = 4;

const SETTINGS: [&str; 10] = [
    "memory.pool_bytes=16777216",
    "journal.first_file_bytes=1048576",
    "journal.file_bytes=2097152",
    "journal.files=3",
    "offsets.topic.num.partitions=2",
    "offsets.topic.segment.bytes=1048576",
    "ringlog.disk.ballast.bytes=1048576",
    "log.cleaner.backoff.ms=20",
    "log.cleaner.dedupe.buffer.size=1048576",
    "log.retention.check.interval.ms=200",
];

/// A data directory, and the file whose existence lets a step count.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk") }
    }

    /// One that holds a copy of another's data.
    fn copy_of(place: &Place) -> Place {
        let copy = Place::new();
        copy_all(&place.data(), &copy.data());
        copy
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn armed(&self) -> PathBuf {
        self.dir.path().join("armed")
    }

    fn arm(&self) {
        fs::write(self.armed(), "").expect("armed");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog"));
        command.args(serve(&self.data(), "0,1", &SETTINGS));
        command
    }

    fn start(&self) -> Process {
        Process::run(&mut self.command()).expect("a broker")
    }

    /// Starts a broker that dies at a step.
    fn start_doomed(&self, case: &Case) -> Result<Process, Ended> {
        let mut command = self.command();
        command.env("FAILPOINT", &case.step).env("FAILPOINT_HIT", case.hit.to_string());
        command.env("FAILPOINT_WHILE", self.armed());
        Process::run(&mut command)
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

/// A broker that was killed under load, and what its clients know.
struct Killed {
    place: Place,
    history: History,
}

impl Killed {
    fn under_load() -> Killed {
        let place = Place::new();
        let mut process = place.start();
        let mut history = History::begin(&process);
        history.run(process.addr, |acknowledged| killed_after(&mut process, acknowledged, 3 * WARM));
        Killed { place, history }
    }
}

/// Kills a broker whose clients had so many acknowledgements.
fn killed_after(process: &mut Process, acknowledged: u64, enough: u64) -> bool {
    if acknowledged >= enough {
        process.signal(Signal::KILL);
        process.ended_within(HIT_WITHIN).expect("its end");
    }
    acknowledged >= enough
}

/// The first things that a client does to a broker.
fn touch(line: &mut Line) -> Result<(), Gone> {
    let topic = create_topics::Topic {
        name: "touched",
        num_partitions: 2,
        replication_factor: -1,
        ..Default::default()
    };
    line.call(7, &create_topics::Request { topics: vec![topic], ..Default::default() })?;
    for partition in [0, 1] {
        let frame = line.client.produce_frame(9, "touched", partition, -1, &harness::batch(&[b"x"]));
        line.send(&frame)?;
        line.receive(ApiKey::Produce, 9)?;
    }
    Ok(())
}

/// Waits until a doomed broker has died at its step.
#[track_caller]
fn dies(process: &mut Process, case: &Case) {
    let status = process.ended_within(HIT_WITHIN);
    let status = status.unwrap_or_else(|| panic!("{case}: never reached: {}", process.said()));
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{case}: {}", process.said());
}

/// Runs one case to the death of its broker.
fn run(case: &Case, killed: &Killed) -> (Place, History) {
    match case.phase {
        Phase::First => {
            let place = Place::new();
            place.arm();
            // It may die before it serves.
            if let Ok(mut process) = place.start_doomed(case) {
                let _ = Line::to(process.addr).map(|mut line| touch(&mut line));
                dies(&mut process, case);
            }
            let mut process = place.start();
            let mut history = History::begin(&process);
            history.run(process.addr, |acknowledged| killed_after(&mut process, acknowledged, WARM));
            (place, history)
        }
        Phase::Load | Phase::Full => {
            let place = Place::new();
            let mut process = place.start_doomed(case).expect("it is not armed yet");
            let mut history = History::begin(&process);
            if case.phase == Phase::Full {
                history::fill_metadata(&process);
            }
            let (begun, mut armed) = (Instant::now(), false);
            history.run(process.addr, |acknowledged| {
                if !armed && acknowledged > WARM {
                    place.arm();
                    armed = true;
                }
                let dead = process.ended_within(Duration::from_millis(1)).is_some();
                if !dead && begun.elapsed() > HIT_WITHIN {
                    process.signal(Signal::KILL);
                    panic!("{case}: never reached: {}", process.said());
                }
                dead
            });
            dies(&mut process, case);
            (place, history)
        }
        Phase::Start => {
            let place = Place::copy_of(&killed.place);
            place.arm();
            match place.start_doomed(case) {
                Ok(mut process) => dies(&mut process, case),
                Err(Ended { status, said }) => {
                    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{case}: {said}");
                }
            }
            (place, killed.history.clone())
        }
        Phase::Stop => {
            let place = Place::copy_of(&killed.place);
            let mut process = place.start_doomed(case).expect("it is not armed yet");
            place.arm();
            process.signal(Signal::TERM);
            dies(&mut process, case);
            (place, killed.history.clone())
        }
    }
}

/// What must hold after every death.
fn check(place: &Place, mut history: History, phase: Phase) {
    let process = place.start();
    let seen = history.check(&process);
    // A snapshot of the metadata ends the file that tells of deletions.
    if phase != Phase::Full {
        leaves_no_deleted_topics(place, &process);
    }
    process.kill();
    let process = place.start();
    let again = Seen::of(&process);
    assert_eq!(seen.differs(&again), Vec::<String>::new(), "a second start found something else");
    process.stop();
    let mut verify = Command::new(env!("CARGO_BIN_EXE_ringlog"));
    let done = verify.args(["log", "verify"]).arg(place.data()).output().expect("the binary runs");
    assert!(done.status.success(), "ringlog log verify: {}", String::from_utf8_lossy(&done.stdout));
}

/// Waits until there is no directory but those of topics that are there.
fn leaves_no_deleted_topics(place: &Place, process: &Process) {
    let mut client = process.client();
    until("deleted topics leave nothing", || {
        let there = history::topic_ids(&mut client);
        directories(place).iter().all(|dir| there.contains(dir))
    });
}

/// The directories of topics.
fn directories(place: &Place) -> Vec<String> {
    let Ok(entries) = fs::read_dir(place.data().join("topics")) else { return Vec::new() };
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("our names")).collect()
}

#[test]
fn a_death_between_the_record_of_a_deletion_and_its_files_leaves_nothing_behind() {
    for step in ["after flush metadata", "before remove partition-dir", "before remove topic-dir"] {
        let place = Place::new();
        let case = Case { phase: Phase::Load, step: step.to_owned(), hit: 1 };
        let mut process = place.start_doomed(&case).expect("it is not armed yet");
        let mut client = process.client();
        for topic in ["kept", "gone"] {
            assert_eq!(client.create_topic(topic, 2, &[]), ErrorCode::None);
            for partition in [0, 1] {
                for _ in 0..3 {
                    let batch = harness::batch(&[&[7; 700_000]]);
                    assert_eq!(client.produce(topic, partition, -1, &batch).0, ErrorCode::None);
                }
            }
        }
        until("both are written", || directories(&place).len() == 2);
        // Ours by its name, and nobody said that it was deleted.
        let unknown = place.data().join("topics/5f0c1d9e-0d8e-4a53-9f41-2f1b6f6b6a10/0");
        fs::create_dir_all(&unknown).expect("a directory");
        fs::write(unknown.join("00000000000000000000.log"), "bytes").expect("a file");
        place.arm();
        let request =
            delete_topics::Request { topic_names: vec!["gone"], timeout_ms: 1000, ..Default::default() };
        client.send(4, &request);
        dies(&mut process, &case);
        assert_eq!(directories(&place).len(), 3, "{step}");

        let process = place.start();
        until("the deleted topic leaves nothing", || directories(&place).len() == 2);
        assert!(process.said().contains("left of topics that are deleted"), "{step}: {}", process.said());
        assert!(unknown.join("00000000000000000000.log").exists(), "{step}");
        for partition in [0, 1] {
            assert_eq!(process.client().list_offset("kept", partition, -1).offset, 3, "{step}");
        }
        process.stop();
    }
}

#[test]
fn whatever_step_a_broker_dies_at_nothing_acknowledged_is_lost_or_there_twice() {
    let begun = Instant::now();
    let killed = Killed::under_load();
    let wanted = std::env::var("ONLY").unwrap_or_default();
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.to_string().contains(&wanted)).collect();
    let (count, left) = (cases.len(), Mutex::new(cases.into_iter()));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(case) = left.lock().expect("no holder panics").next() else { return };
                    let begun = Instant::now();
                    let done = std::panic::catch_unwind(|| {
                        let (place, history) = run(&case, &killed);
                        check(&place, history, case.phase);
                    });
                    println!("{case}: {:.1} s", begun.elapsed().as_secs_f64());
                    if done.is_err() {
                        failed.lock().expect("no holder panics").push(case.to_string());
                    }
                }
            });
        }
    });
    println!("{count} deaths in {:.0} s", begun.elapsed().as_secs_f64());
    let failed = failed.into_inner().expect("no holder panics");
    assert!(failed.is_empty(), "{} of {count}: {failed:#?}", failed.len());
}

/// A step that a broker takes and the table does not know is one that nobody tried to die at.
#[test]
fn no_step_of_a_broker_is_missing_from_the_table() {
    let place = Place::new();
    let trace = place.dir.path().join("trace");
    let traced = || Process::run(place.command().env("FAILPOINT_TRACE", &trace)).expect("a broker");
    let mut process = traced();
    let mut history = History::begin(&process);
    history.run(process.addr, |acknowledged| killed_after(&mut process, acknowledged, 10 * WARM));
    traced().stop();
    let seen: BTreeSet<String> =
        fs::read_to_string(&trace).expect("a trace").lines().map(str::to_owned).collect();
    let unknown: Vec<&String> = seen.iter().filter(|step| !steps::knows(step)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}
