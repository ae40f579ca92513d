//! From knobs to a plan: flags win over the workload file, which wins over the defaults. Every value
//! is noted with its origin, for the report.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use engine::record::Codec;

use super::disk;
use super::knobs::Knobs;
use super::quantity::{AcksWord, Bytes, CodecWord, Pair, RatePlan, SizeRange, Span};
use super::slo::Slo;
use crate::load::plan::{Acks, Arrivals, Mode, Pace, Payload, Plan, Sizes, Stage};
use crate::load::schedule;
use crate::load::warm::WarmRule;
use crate::report::data::{self, LoadSettings, Origin, Setting};

/// Records per second of a run that says nothing: moderate, so that any disk keeps up.
const RATE_DEFAULT: f64 = 20_000.0;

/// Small enough to lie in a broker's memory.
const PRELOAD_HOT: u64 = 16 << 20;

/// Larger than a broker's memory.
const PRELOAD_COLD: u64 = 8 << 30;

/// A window of a warm-up by rule.
const WARM_WINDOW: Duration = Duration::from_secs(5);

/// The longest warm-up by rule.
const WARM_MAX: Duration = Duration::from_secs(120);

/// What a bench will do.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The load.
    pub plan: Plan,
    /// Name of the workload.
    pub name: String,
    /// The file that fills values, to be read into the plan.
    pub payload_file: Option<PathBuf>,
    /// The report whose window counts as the one before the first of the warm-up, to be read into the plan.
    pub warm_like: Option<PathBuf>,
    /// Limits on figures: those of the flags and, where these name other figures, of the workload.
    pub slos: Vec<Slo>,
    /// Every knob in effect.
    pub settings: Vec<Setting>,
}

struct Picker<'a> {
    flags: &'a Knobs,
    file: &'a Knobs,
    settings: Vec<Setting>,
}

impl Picker<'_> {
    fn pick<T: Clone + Display>(
        &mut self,
        name: &str,
        of: impl Fn(&Knobs) -> &Option<T>,
        default: impl FnOnce() -> T,
    ) -> T {
        self.maybe(name, of).unwrap_or_else(|| {
            let value = default();
            self.note(name, &value, Origin::Default);
            value
        })
    }

    fn maybe<T: Clone + Display>(&mut self, name: &str, of: impl Fn(&Knobs) -> &Option<T>) -> Option<T> {
        let (value, origin) = match (of(self.flags), of(self.file)) {
            (Some(value), _) => (value, Origin::Flag),
            (None, Some(value)) => (value, Origin::Workload),
            (None, None) => return None,
        };
        let value = value.clone();
        self.note(name, &value, origin);
        Some(value)
    }

    fn note(&mut self, name: &str, value: &impl Display, origin: Origin) {
        self.settings.push(Setting { name: format!("load.{name}"), value: value.to_string(), origin });
    }
}

/// Settles what a bench will do. `topic` names the topic unless a knob does.
#[must_use]
pub fn settle(flags: &Knobs, file: &Knobs, topic: String) -> Settled {
    let mut p = Picker { flags, file, settings: Vec::new() };
    let mode = p.pick("mode", |k| &k.mode, || Mode::Both);
    let sizes = p.pick("record-size", |k| &k.record_size, || SizeRange { min: 1024, max: 1024 });
    let sizes = Sizes { min: sizes.min as usize, max: sizes.max as usize };
    let keys = p.pick("keys", |k| &k.keys, || 0);
    let depth = p.maybe("depth", |k| &k.depth);
    let record_bytes = sizes.mean() + if keys > 0 { 8.0 } else { 0.0 };
    let duration = p.pick("duration", |k| &k.duration, || Span(Duration::from_secs(30))).0;
    let (pace, stages) = pace(&mut p, depth, record_bytes, duration);
    let depth = depth.unwrap_or_else(|| {
        p.note("depth", &5, Origin::Default);
        5
    });
    let preload = match mode {
        Mode::FetchHot => p.pick("preload", |k| &k.preload, || Bytes(PRELOAD_HOT)).0,
        Mode::FetchCold => p.pick("preload", |k| &k.preload, || Bytes(PRELOAD_COLD)).0,
        Mode::Both | Mode::Produce => p.maybe("preload", |k| &k.preload).map_or(0, |bytes| bytes.0),
    };
    let tolerance = p.maybe("warmup-tolerance", |k| &k.warmup_tolerance);
    let warm_rule = tolerance.map(|tolerance| WarmRule {
        tolerance,
        window: p.pick("warmup-window", |k| &k.warmup_window, || Span(WARM_WINDOW)).0,
        max: p.pick("warmup-max", |k| &k.warmup_max, || Span(WARM_MAX)).0,
        before: None,
    });
    let warm_like = p.maybe("warmup-like", |k| &k.warmup_like);
    let catch_up = p.maybe("catch-up", |k| &k.catch_up).unwrap_or(0);
    let codec = p.pick("compression", |k| &k.compression, || CodecWord(Codec::None)).0;
    let payload_file = p.maybe("payload-file", |k| &k.payload_file);
    let mut plan = Plan {
        brokers: Vec::new(),
        topic: p.pick("topic", |k| &k.topic, || topic),
        topic_configs: topic_configs(&mut p),
        partitions: p.pick("partitions", |k| &k.partitions, || 6),
        replication: p.pick("replication-factor", |k| &k.replication_factor, || -1),
        mode,
        pace,
        stages,
        batch_records: p.maybe("batch-records", |k| &k.batch_records).unwrap_or(1),
        depth,
        sizes,
        payload: payload(&mut p, codec),
        keys,
        key_spread: p.maybe("key-spread", |k| &k.key_spread).unwrap_or_default(),
        batch_bytes: p.pick("batch-size", |k| &k.batch_size, || Bytes(16 << 10)).0 as usize,
        linger: p.pick("linger", |k| &k.linger, || Span(Duration::ZERO)).0,
        producers: p.pick("producers", |k| &k.producers, || 4),
        consumers: match mode {
            Mode::Produce => 0,
            _ => p.pick("consumers", |k| &k.consumers, || 2),
        },
        groups: p.maybe("groups", |k| &k.groups).unwrap_or(1),
        start_at: p.maybe("start-at", |k| &k.start_at).unwrap_or_default(),
        catch_up,
        catch_up_after: p.maybe("catch-up-after", |k| &k.catch_up_after).map_or(Duration::ZERO, |t| t.0),
        acks: p.pick("acks", |k| &k.acks, || AcksWord(Acks::All)).0,
        codec,
        idempotence: p.pick("idempotence", |k| &k.idempotence, || false),
        warm_up: p.pick("warmup", |k| &k.warmup, || Span(Duration::from_secs(5))).0,
        warm_rule,
        duration,
        interval: data::interval_length(duration),
        bytes_max: 0,
        preload_bytes: preload,
        fetch_bytes: p.pick("fetch-max-bytes", |k| &k.fetch_max_bytes, || Bytes(1 << 20)).0 as usize,
        read_back: true,
        seed: p.pick("seed", |k| &k.seed, || 1),
        core: None,
    };
    plan.bytes_max = match p.maybe("bytes", |k| &k.bytes) {
        Some(Bytes(budget)) => budget,
        None => {
            let planned = disk::planned_bytes(&plan);
            p.note("bytes", &Bytes(planned), Origin::Derived);
            planned
        }
    };
    let name =
        flags.name.clone().or_else(|| file.name.clone()).unwrap_or_else(|| "embedded-default".to_string());
    let slos = slos(&mut p);
    let [payload_file, warm_like] = [payload_file, warm_like].map(|file| file.map(PathBuf::from));
    Settled { plan, name, slos, payload_file, warm_like, settings: p.settings }
}

/// A rate makes an open loop; a depth without a rate a closed one; neither, the default rate. A rate or a depth given by a
/// flag replaces whatever rate the workload names.
fn pace(p: &mut Picker<'_>, depth: Option<usize>, record_bytes: f64, window: Duration) -> (Pace, Vec<Stage>) {
    let (flags, file) = (p.flags, p.file);
    let paced = |k: &Knobs| {
        k.rate.is_some() || k.mb_rate.is_some() || k.rate_of_max.is_some() || k.rate_plan.is_some()
    };
    let nothing = Knobs::default();
    let (source, origin) = match () {
        () if paced(flags) => (flags, Origin::Flag),
        () if flags.depth.is_some() => (&nothing, Origin::Default),
        () => (file, Origin::Workload),
    };
    let mut stages = Vec::new();
    let records_per_s = if let Some(mb) = source.mb_rate {
        p.note("mb-rate", &mb, origin);
        mb * 1e6 / record_bytes
    } else if let Some(rate) = source.rate {
        p.note("rate", &rate, origin);
        rate
    } else if let Some(plan) = &source.rate_plan {
        p.note("rate-plan", plan, origin);
        stages.clone_from(&plan.0);
        schedule::mean_rate(&stages, window)
    } else if let Some(share) = source.rate_of_max {
        p.note("rate-of-max", &share, origin);
        let arrivals = p.pick("arrivals", |k| &k.arrivals, || Arrivals::Poisson);
        return (Pace::OfMax { share: share.0, arrivals }, stages);
    } else if depth.is_some() {
        0.0
    } else {
        p.note("rate", &RATE_DEFAULT, Origin::Default);
        RATE_DEFAULT
    };
    if records_per_s == 0.0 {
        return (Pace::Closed, stages);
    }
    let arrivals = p.pick("arrivals", |k| &k.arrivals, || Arrivals::Poisson);
    (Pace::Open { records_per_s, arrivals }, stages)
}

/// The topic's settings: those of flags replace those of the workload, by name.
fn topic_configs(p: &mut Picker<'_>) -> Vec<(String, String)> {
    let (flags, file) = (p.flags, p.file);
    let mut configs = Vec::new();
    let replaced = |pair: &Pair| flags.topic_config.iter().any(|flag| flag.name == pair.name);
    for pair in file.topic_config.iter().filter(|pair| !replaced(pair)) {
        p.note("topic-config", pair, Origin::Workload);
        configs.push((pair.name.clone(), pair.value.clone()));
    }
    for pair in &flags.topic_config {
        p.note("topic-config", pair, Origin::Flag);
        configs.push((pair.name.clone(), pair.value.clone()));
    }
    if let Some(messages) = p.maybe("relaxed", |k| &k.relaxed) {
        configs.retain(|(name, _)| name != "flush.messages");
        configs.push(("flush.messages".to_string(), messages.to_string()));
    }
    configs
}

/// Limits of flags replace those of the workload on the same figure.
fn slos(p: &mut Picker<'_>) -> Vec<Slo> {
    let (flags, file) = (p.flags, p.file);
    let replaced = |slo: &&Slo| flags.slo.iter().any(|flag| flag.key() == slo.key());
    let kept: Vec<Slo> = file.slo.iter().filter(|slo| !replaced(slo)).cloned().collect();
    kept.iter().for_each(|slo| p.note("slo", slo, Origin::Workload));
    flags.slo.iter().for_each(|slo| p.note("slo", slo, Origin::Flag));
    kept.into_iter().chain(flags.slo.iter().cloned()).collect()
}

fn payload(p: &mut Picker<'_>, codec: Codec) -> Payload {
    let share = p.maybe("random-share", |k| &k.random_share).map(|share| share.0);
    // Random bytes tell a codec nothing, so that it would only be measured at its worst.
    Payload::Random { share: share.unwrap_or(if codec == Codec::None { 1.0 } else { 0.5 }) }
}

/// The same as the report has it.
#[must_use]
pub fn load_settings(plan: &Plan) -> LoadSettings {
    LoadSettings {
        arrivals: match plan.pace {
            Pace::Open { records_per_s, arrivals: Arrivals::Fixed } => {
                data::Arrivals::Fixed { records_per_s }
            }
            Pace::Open { records_per_s, arrivals: Arrivals::Poisson } => {
                data::Arrivals::Poisson { records_per_s }
            }
            // Until the maximum is known.
            Pace::OfMax { .. } | Pace::Closed => data::Arrivals::Closed { depth: plan.depth as u32 },
        },
        rate_plan: (!plan.stages.is_empty()).then(|| RatePlan(plan.stages.clone()).to_string()),
        batch_records: plan.batch_records,
        max_records_per_s: None,
        keys: plan.keys,
        record_bytes: plan.sizes.mean() as u64,
        batch_bytes: plan.batch_bytes as u64,
        linger_ms: plan.linger.as_secs_f64() * 1e3,
        partitions: plan.partitions as u32,
        producers: plan.producers as u32,
        consumers: plan.consumers as u32,
        groups: plan.groups as u32,
        acks: acks(plan.acks),
        compression: CodecWord(plan.codec).to_string(),
        idempotence: plan.idempotence,
        seed: plan.seed,
    }
}

/// The same as the report has it.
#[must_use]
pub fn acks(acks: Acks) -> data::Acks {
    match acks {
        Acks::All => data::Acks::All,
        Acks::Leader => data::Acks::Leader,
        Acks::None => data::Acks::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knobs(toml: &str) -> Knobs {
        crate::bench::workload::parse(toml).expect("a workload")
    }

    #[test]
    fn a_run_that_says_nothing_is_an_open_loop_at_a_moderate_rate() {
        let settled = settle(&Knobs::default(), &Knobs::default(), "t".to_string());
        let plan = &settled.plan;
        assert_eq!(plan.check(), Ok(()));
        assert_eq!(plan.pace, Pace::Open { records_per_s: 20_000.0, arrivals: Arrivals::Poisson });
        assert_eq!((plan.mode, plan.duration.as_secs(), plan.warm_up.as_secs()), (Mode::Both, 30, 5));
        assert_eq!(plan.acks, Acks::All);
        assert!((700_000_000..800_000_000).contains(&plan.bytes_max), "{}", plan.bytes_max);
        assert!(settled.settings.iter().all(|s| matches!(s.origin, Origin::Default | Origin::Derived)));
    }

    #[test]
    fn flags_win_over_the_workload_which_wins_over_defaults() {
        let file = knobs("name = 'x'\nrate = 500\npartitions = 16\nacks = 1\nrecord-size = '100..200'");
        let flags = knobs("partitions = 3");
        let settled = settle(&flags, &file, "t".to_string());
        assert_eq!(
            (settled.plan.partitions, settled.plan.acks, settled.name.as_str()),
            (3, Acks::Leader, "x")
        );
        assert_eq!(settled.plan.sizes, Sizes { min: 100, max: 200 });
        let origin = |name: &str| settled.settings.iter().find(|s| s.name == name).map(|s| s.origin);
        assert_eq!(origin("load.partitions"), Some(Origin::Flag));
        assert_eq!(origin("load.rate"), Some(Origin::Workload));
        assert_eq!(origin("load.seed"), Some(Origin::Default));
    }

    #[test]
    fn a_depth_without_a_rate_is_a_closed_loop() {
        let pace = |flags: &str, file: &str| settle(&knobs(flags), &knobs(file), String::new()).plan.pace;
        assert_eq!(pace("depth = 8", ""), Pace::Closed);
        assert_eq!(pace("depth = 8", "rate = 100"), Pace::Closed);
        assert_eq!(pace("rate = 0", ""), Pace::Closed);
        assert!(matches!(pace("rate = 9", "depth = 8"), Pace::Open { records_per_s: 9.0, .. }));
        let by_volume = pace("mb-rate = 1.024\nrecord-size = 1024", "rate = 5");
        assert!(matches!(by_volume, Pace::Open { records_per_s: 1_000.0, .. }), "{by_volume:?}");
    }

    #[test]
    fn a_rate_plan_has_the_mean_of_its_stages_and_a_share_waits_for_the_maximum() {
        let settled = settle(
            &knobs("rate-plan = '1000 for 10s, 4000 for 10s'\nduration = 20"),
            &knobs("rate = 5"),
            String::new(),
        );
        assert!(
            matches!(settled.plan.pace, Pace::Open { records_per_s: 2_500.0, .. }),
            "{:?}",
            settled.plan.pace
        );
        assert_eq!((settled.plan.stages.len(), settled.plan.check()), (2, Ok(())));
        let share = settle(&Knobs::default(), &knobs("rate-of-max = '50%'\ndepth = 4"), String::new()).plan;
        assert_eq!((share.pace, share.depth), (Pace::OfMax { share: 0.5, arrivals: Arrivals::Poisson }, 4));
    }

    #[test]
    fn topic_settings_of_flags_replace_those_of_the_workload_by_name() {
        let file =
            knobs("relaxed = 7\n[topic-config]\n'flush.messages' = 1\n'segment.bytes' = 5\n'flush.ms' = 3");
        let flags =
            Knobs { topic_config: vec!["segment.bytes=9".parse().expect("a pair")], ..Knobs::default() };
        let plan = settle(&flags, &file, String::new()).plan;
        let text: Vec<String> = plan.topic_configs.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(text, ["flush.ms=3", "segment.bytes=9", "flush.messages=7"]);
    }
}
