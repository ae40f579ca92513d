//! The commands of every day, as a user types them, against a broker of our own.

mod clock;
mod config;
mod consume;
mod group;
#[path = "../../../server/tests/harness/mod.rs"]
mod harness;
mod lag;
mod reference;
mod reset;
mod topic;

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use harness::{Broker, PATIENCE};
use serde_json::Value;

/// A broker, and what users do with it.
struct World {
    broker: Broker,
    address: String,
}

/// What a command left behind.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl World {
    fn start() -> World {
        World::with("0", &[])
    }

    /// On these CPUs, with further settings.
    fn with(cores: &str, set: &[&str]) -> World {
        let set = [&["group.initial.rebalance.delay.ms=0"], set].concat();
        let broker = Broker::start_on(cores, &set);
        let address = broker.addr().to_string();
        World { broker, address }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog"));
        command.args(args).args(["-b", &self.address]).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    fn run(&self, args: &[&str]) -> Said {
        said(self.command(args).output().expect("the binary runs"))
    }

    /// Runs a command that must succeed; what it printed.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, Some(0), "{args:?} said {}", said.err);
        said.out
    }

    /// The same, as JSON.
    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["--format", "json"]].concat());
        let value: Value = serde_json::from_str(&out).expect("one JSON object");
        assert_eq!(value["schema_version"], 1, "{value}");
        value
    }

    /// Runs a command that must fail with this code and these words.
    #[track_caller]
    fn refused(&self, args: &[&str], code: i32, says: &str) {
        let said = self.run(args);
        assert_eq!(said.code, Some(code), "{args:?} said {}", said.err);
        assert!(said.err.contains(says), "{args:?} said {:?}, not {says:?}", said.err);
    }

    fn spawn(&self, args: &[&str]) -> Running {
        Running(Some(self.command(args).spawn().expect("the binary runs")))
    }

    /// A topic whose partitions hold this many records each, the values `PARTITION-NUMBER`, at 1 s, 2 s … since
    /// the epoch.
    fn topic(&self, name: &str, records: &[usize]) {
        let mut client = self.broker.client();
        client.create_topic(name, records.len() as i32, &[("retention.ms", "-1")]);
        for (partition, count) in records.iter().enumerate() {
            for n in 0..*count {
                let value = format!("{partition}-{n}");
                let batch = harness::batch_at(1000 * (n as i64 + 1), &[value.as_bytes()]);
                let (code, _) = client.produce(name, partition as i32, -1, &batch);
                assert_eq!(code, wire::ErrorCode::None);
            }
        }
    }

    /// Waits until the group is in this state with so many members.
    #[track_caller]
    fn await_group(&self, group: &str, state: &str, members: usize) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.run(&["group", "describe", group, "--format", "json"]);
            if said.code == Some(0) {
                let mut value: Value = serde_json::from_str(&said.out).expect("json");
                let found = value["groups"][0].take();
                let count = found["members"].as_array().map(Vec::len);
                if found["state"] == state && count == Some(members) {
                    return found;
                }
            }
            assert!(
                Instant::now() < deadline,
                "{group} is not {state} with {members}: {} {}",
                said.out,
                said.err
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The committed offset of a partition of a described group.
fn committed(group: &Value, partition: usize) -> &Value {
    &group["partitions"][partition]["committed_offset"]
}

fn said(output: Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A command that runs until it is told to stop.
struct Running(Option<Child>);

impl Running {
    /// Ctrl-C, and what it left behind.
    fn interrupt(mut self) -> Said {
        let child = self.0.take().expect("it runs");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
        said(child.wait_with_output().expect("it ends"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
