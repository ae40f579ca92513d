//! The whole generator against a broker in memory, honest and not.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use engine::record::Codec;

use engine::record::BatchHeader;

use super::super::check::Findings;
use super::super::plan::{
    Acks, Arrivals, KeySpread, Mode, Pace, Payload, Plan, PlanError, Sizes, Stage, StartAt,
};
use super::super::recorder::Clock;
use super::super::warm::{WarmEnd, WarmRule};
use super::super::{Outcome, run};
use super::state::{Log, Stored};
use super::*;

/// What a dishonest broker does to the third batch of a partition, once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plant {
    Lose,
    Repeat,
    Swap,
    Flip,
}

impl Plant {
    pub(super) fn spoil(self, log: &mut Log) {
        if log.batches.len() != 3 {
            return;
        }
        let count =
            |stored: &Stored| i64::from(BatchHeader::peek(&stored.bytes).expect("a header").record_count());
        match self {
            // The place stays taken, so that it happens once.
            Plant::Lose => log.batches[2] = log.batches[1].clone(),
            Plant::Repeat => {
                let third = log.batches[2].clone();
                let base = third.base + count(&third);
                log.batches.push_back(Stored::at(base, &third.bytes));
                log.end += count(&third);
            }
            Plant::Swap => {
                // Their places stay, their records change sides.
                let (first, second) = (log.batches[1].clone(), log.batches[2].clone());
                assert_eq!(count(&first), second.base - first.base, "batches of one size");
                log.batches[1] = Stored::at(first.base, &second.bytes);
                log.batches[2] = Stored::at(second.base, &first.bytes);
            }
            Plant::Flip => {
                let mut bytes = log.batches[2].bytes.to_vec();
                *bytes.last_mut().expect("bytes") ^= 1;
                log.batches[2].bytes = bytes.into();
            }
        }
    }
}

fn plan(broker: &NullBroker) -> Plan {
    Plan {
        brokers: vec![broker.address()],
        topic: "load".to_string(),
        topic_configs: Vec::new(),
        partitions: 3,
        replication: -1,
        mode: Mode::Both,
        pace: Pace::Open { records_per_s: 20_000.0, arrivals: Arrivals::Poisson },
        stages: Vec::new(),
        batch_records: 1,
        depth: 5,
        sizes: Sizes { min: 100, max: 100 },
        payload: Payload::Random { share: 0.5 },
        keys: 0,
        key_spread: KeySpread::Uniform,
        batch_bytes: 2_000,
        linger: Duration::from_millis(1),
        producers: 2,
        consumers: 2,
        groups: 1,
        start_at: StartAt::End,
        catch_up: 0,
        catch_up_after: Duration::ZERO,
        acks: Acks::All,
        codec: Codec::None,
        idempotence: false,
        warm_up: Duration::from_millis(50),
        warm_rule: None,
        duration: Duration::from_millis(300),
        interval: Duration::from_millis(100),
        bytes_max: u64::MAX,
        preload_bytes: 0,
        fetch_bytes: 1 << 20,
        read_back: true,
        seed: 1,
        core: None,
    }
}

fn drive(change: impl FnOnce(&mut Plan)) -> Outcome {
    spoiled(None, change)
}

fn spoiled(plant: Option<Plant>, change: impl FnOnce(&mut Plan)) -> Outcome {
    let options = Options { keep: true, ..Options::default() };
    let broker = NullBroker::launch_with(options, |state| state.plant = plant).expect("a broker in memory");
    let mut plan = plan(&broker);
    change(&mut plan);
    let outcome = run(&plan, &AtomicBool::new(false), &mut |_| {}).expect("a run");
    assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
    outcome
}

#[test]
fn an_open_loop_sends_its_plan_and_reads_it_all_back() {
    let outcome = drive(|_| {});
    let sent = outcome.records_sent;
    assert_eq!(outcome.findings, Findings { read: sent, ..Findings::default() });
    assert_eq!((outcome.records_acked, outcome.errors.len(), outcome.unanswered), (sent, 0, 0));
    // 350 ms of 20,000 a second; Poisson scatters by some 80.
    assert!((6_400..7_600).contains(&sent), "{sent}");
    let measured = &outcome.measured;
    assert_eq!(measured.latencies.of(Clock::Response).len(), outcome.records_planned);
    assert_eq!(measured.latencies.of(Clock::EndToEnd).len(), outcome.records_planned);
    assert!(!measured.latencies.of(Clock::Service).is_empty());
    assert_eq!(measured.wall, Duration::from_millis(300));
    assert_eq!(measured.intervals.len(), 3);
}

#[test]
fn a_closed_loop_keeps_its_depth_and_its_data() {
    for (keys, codec, idempotence) in
        [(0, Codec::None, false), (40, Codec::Lz4, true), (2, Codec::Zstd, false)]
    {
        let outcome = drive(|plan| {
            plan.pace = Pace::Closed;
            plan.bytes_max = 300_000;
            plan.duration = Duration::from_secs(600);
            (plan.keys, plan.codec, plan.idempotence) = (keys, codec, idempotence);
        });
        assert!(outcome.findings.clean() && outcome.checked, "{:?}", outcome.findings);
        assert_eq!(outcome.findings.read, outcome.records_sent);
        assert!(outcome.budget_spent);
    }
}

#[test]
fn mixed_sizes_keys_and_every_acks_arrive_whole() {
    for acks in [Acks::All, Acks::Leader, Acks::None] {
        let outcome = drive(|plan| {
            plan.acks = acks;
            plan.keys = 1_000;
            plan.sizes = Sizes { min: 24, max: 3_000 };
        });
        assert!(outcome.findings.clean(), "{acks:?}: {:?}", outcome.findings);
        assert_eq!(outcome.findings.read, outcome.records_sent, "{acks:?}");
    }
}

#[test]
fn a_produce_only_run_is_read_back_afterwards() {
    let outcome = drive(|plan| {
        plan.mode = Mode::Produce;
        plan.consumers = 0;
    });
    assert!(outcome.checked && outcome.findings.clean());
    assert_eq!(outcome.findings.read, outcome.records_sent);
    assert_eq!(outcome.measured.counts.records_out, 0, "reading back is not measured");
}

#[test]
fn the_fetch_modes_read_their_set_again_and_again() {
    let outcome = drive(|plan| {
        plan.mode = Mode::FetchHot;
        plan.preload_bytes = 200_000;
    });
    assert!(outcome.findings.clean(), "{:?}", outcome.findings);
    assert!(outcome.findings.read > 2 * outcome.records_sent, "{:?}", outcome.findings);
    assert!(!outcome.measured.latencies.of(Clock::Fetch).is_empty());
    assert_eq!(outcome.measured.counts.records_in, 0);
}

#[test]
fn each_lie_of_a_broker_is_found_under_its_name() {
    let closed = |plan: &mut Plan| {
        plan.pace = Pace::Closed;
        // Read back afterwards: the broker lies before anybody looks.
        (plan.mode, plan.consumers) = (Mode::Produce, 0);
        plan.bytes_max = 200_000;
        plan.duration = Duration::from_secs(600);
        plan.producers = 1;
    };
    let lost = spoiled(Some(Plant::Lose), closed).findings;
    assert!(lost.lost > 0 && lost.duplicate == 0 && lost.reordered == 0 && lost.corrupt == 0, "{lost:?}");
    let twice = spoiled(Some(Plant::Repeat), closed).findings;
    assert!(twice.duplicate > 0 && twice.lost == 0 && twice.corrupt == 0, "{twice:?}");
    let swapped = spoiled(Some(Plant::Swap), closed).findings;
    assert!(swapped.reordered > 0 && swapped.lost == 0 && swapped.duplicate == 0, "{swapped:?}");
    let flipped = spoiled(Some(Plant::Flip), closed).findings;
    assert!(flipped.corrupt > 0, "{flipped:?}");
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let broker = NullBroker::start(false).expect("a broker in memory");
    let mut plan = plan(&broker);
    drop(broker);
    // Nobody listens on port 1 here.
    plan.brokers = vec!["127.0.0.1:1".to_string()];
    let error = run(&plan, &AtomicBool::new(false), &mut |_| {}).expect_err("nobody there");
    assert!(error.to_string().contains("cannot connect to 127.0.0.1:1"), "{error}");
}

#[test]
fn a_stop_ends_the_run_with_what_was_measured_until_then() {
    let broker = NullBroker::start(true).expect("a broker in memory");
    let plan = Plan { duration: Duration::from_secs(3_600), ..plan(&broker) };
    let stop = AtomicBool::new(false);
    let outcome = run(&plan, &stop, &mut |progress| {
        let measuring = progress.phase == super::super::Phase::Measure && !progress.elapsed.is_zero();
        if measuring {
            stop.store(true, Ordering::Relaxed);
        }
    })
    .expect("a run");
    assert!(outcome.interrupted && outcome.findings.clean());
    assert!(outcome.measured.wall < Duration::from_secs(3_600));
    assert!(outcome.measured.counts.records_in > 0);
}

#[test]
fn a_warm_up_by_rule_ends_when_windows_agree_and_leaves_the_window_whole() {
    let broker = NullBroker::start(false).expect("a socket");
    let window = Duration::from_millis(250);
    let rule = |tolerance, max| Some(WarmRule { window, tolerance, max, before: None });
    let mut plan = plan(&broker);
    plan.warm_rule = rule(1.0, Duration::from_secs(60));
    let outcome = run(&plan, &AtomicBool::new(false), &mut |_| {}).expect("a run");
    let warm_up = outcome.warm_up.expect("a rule");
    assert_eq!((warm_up.end, warm_up.untouched), (WarmEnd::Agreed, 0));
    assert!(warm_up.windows.len() >= 2 && warm_up.length >= window * 2, "{warm_up:?}");
    assert_eq!(outcome.measured.wall, plan.duration);
    plan.topic = "another".to_string();
    plan.warm_rule = rule(0.0, window);
    let outcome = run(&plan, &AtomicBool::new(false), &mut |_| {}).expect("a run");
    assert_eq!(outcome.warm_up.expect("a rule").end, WarmEnd::Time);
}

#[test]
fn groups_read_everything_each_and_preloads_are_read_where_the_plan_says() {
    let outcome = drive(|plan| plan.groups = 3);
    assert!(outcome.findings.clean(), "{:?}", outcome.findings);
    assert_eq!(outcome.findings.read, 3 * outcome.records_sent);
    let backlog = |plan: &mut Plan| plan.preload_bytes = 300_000;
    let behind = drive(backlog);
    assert!(
        behind.findings.clean() && behind.findings.read + 2_900 < behind.records_sent,
        "{:?}",
        behind.findings
    );
    let drained = drive(|plan| {
        backlog(plan);
        plan.start_at = StartAt::Start;
    });
    assert!(drained.findings.clean(), "{:?}", drained.findings);
    assert_eq!(drained.findings.read, drained.records_sent);
}

#[test]
fn catch_up_readers_read_the_preload_again_and_again_beside_the_tail() {
    let outcome = drive(|plan| {
        plan.preload_bytes = 300_000;
        plan.catch_up = 2;
        plan.catch_up_after = Duration::from_millis(100);
    });
    assert!(outcome.findings.clean(), "{:?}", outcome.findings);
    let counts = outcome.measured.counts;
    assert!(counts.records_caught_up > 3_000, "more than one pass: {counts:?}");
    assert!(counts.records_out > 0 && counts.records_out < outcome.records_sent, "{counts:?}");
}

#[test]
fn steps_bursts_and_moments_of_many_records_keep_their_plan() {
    let stage = |records_per_s, ms| Stage { records_per_s, length: Duration::from_millis(ms) };
    let outcome = drive(|plan| {
        plan.stages = vec![stage(5_000.0, 100), stage(0.0, 50), stage(40_000.0, 150)];
        plan.pace = Pace::Open { records_per_s: 21_667.0, arrivals: Arrivals::Fixed };
        plan.batch_records = 10;
    });
    assert!(outcome.findings.clean(), "{:?}", outcome.findings);
    assert!(outcome.records_planned.abs_diff(6_500) <= 40, "{}", outcome.records_planned);
}

#[test]
fn a_share_of_the_maximum_becomes_the_rate_that_it_is() {
    // Six seconds of a closed loop are more than a broker in memory should keep.
    let broker = NullBroker::start(false).expect("a broker in memory");
    let mut plan = plan(&broker);
    (plan.mode, plan.consumers, plan.read_back) = (Mode::Produce, 0, false);
    plan.pace = Pace::OfMax { share: 0.05, arrivals: Arrivals::Fixed };
    let outcome = run(&plan, &AtomicBool::new(false), &mut |_| {}).expect("a run");
    let max = outcome.max_records_per_s.expect("it was found");
    assert_eq!(outcome.pace, Pace::Open { records_per_s: max * 0.05, arrivals: Arrivals::Fixed });
    assert!(outcome.records_planned > 0 && outcome.records_sent > outcome.records_planned);
}

#[test]
fn every_partition_has_a_record_before_the_load_and_the_time_that_took_is_told() {
    let outcome = drive(|plan| {
        plan.partitions = 2_000;
        plan.sizes = Sizes { min: 1_000, max: 1_000 };
        plan.pace = Pace::Open { records_per_s: 100.0, arrivals: Arrivals::Fixed };
    });
    assert!(outcome.records_sent >= 2_000 && outcome.findings.clean(), "{:?}", outcome.findings);
    let setup = outcome.setup;
    assert!(setup.created <= setup.led && setup.led < setup.touched, "{setup:?}");
}

#[test]
fn a_plan_that_contradicts_itself_is_refused() {
    let broker = NullBroker::start(false).expect("a broker in memory");
    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan(&broker);
        change(&mut plan);
        plan.check().expect_err("a contradiction")
    };
    let stages = vec![Stage { records_per_s: 0.0, length: Duration::from_secs(1) }];
    assert_eq!(refused(&|plan| plan.stages.clone_from(&stages)), PlanError::Stages);
    assert_eq!(refused(&|plan| (plan.pace, plan.batch_records) = (Pace::Closed, 10)), PlanError::NeedsRate);
    assert_eq!(refused(&|plan| plan.catch_up = 1), PlanError::CatchUp);
    let unread = |plan: &mut Plan| (plan.mode, plan.preload_bytes) = (Mode::Produce, 1);
    assert_eq!(refused(&unread), PlanError::PreloadUnread);
}
