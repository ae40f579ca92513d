use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

type Pairs = &'static [(&'static str, &'static str)];

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

fn broker(pairs: &[(&str, &str)]) -> Result<BrokerSettings, ConfigError> {
    BrokerSettings::parse(&[Layer { origin: Origin::File, values: map(pairs) }])
}

fn topic(pairs: &[(&str, &str)]) -> Result<TopicSettings, ConfigError> {
    topic::parse(&map(pairs), &BrokerSettings::default())
}

fn described(list: &[Described], name: &str) -> Described {
    list.iter().find(|d| d.name == name).unwrap_or_else(|| panic!("{name} is described")).clone()
}

#[test]
fn tables_are_sorted_and_their_defaults_pass_their_own_checks() {
    for defs in [topic::DEFS, broker::DEFS] {
        assert!(defs.is_sorted_by(|a, b| a.name < b.name));
        for def in defs {
            if let Some(default) = def.default {
                def.check(default).unwrap();
            }
            assert!(def.doc.ends_with('.'), "{}", def.name);
        }
    }
}

#[test]
fn what_has_no_effect_on_a_broker_says_so_and_is_never_altered_while_it_runs() {
    for def in broker::DEFS {
        let described = described(&BrokerSettings::default().describe(), def.name);
        if def.support == Support::Works {
            continue;
        }
        assert!(!def.dynamic && described.read_only, "{}", def.name);
        assert!(described.documentation.contains("without effect"), "{}", def.name);
    }
}

#[test]
fn a_topic_default_equals_the_default_of_its_weakest_broker_name() {
    let none = BrokerSettings::default();
    for def in topic::DEFS {
        for synonym in def.synonyms {
            let wide = broker::DEFS.iter().find(|d| d.name == synonym.name).expect(synonym.name);
            let Some(value) = none.given(wide.name).map(|g| g.value) else { continue };
            let value = value.parse::<i64>().map_or(value, |n| (n * synonym.scale).to_string());
            assert_eq!(Some(value.as_str()), def.default, "{} and {}", def.name, wide.name);
        }
    }
}

#[test]
fn defaults_are_kafkas_except_that_acknowledged_means_flushed() {
    let settings = TopicSettings::default();
    assert_eq!(settings, topic(&[]).unwrap());
    assert_eq!(settings, BrokerSettings::default().topic_defaults());
    assert_eq!(settings.retention_ms, Some(604_800_000));
    assert_eq!(settings.retention_bytes, None);
    assert_eq!(settings.segment_bytes, 1 << 30);
    assert_eq!(settings.max_message_bytes, 1_048_588);
    assert_eq!(settings.timestamp_before_max_ms, u64::MAX);
    assert_eq!(settings.timestamp_after_max_ms, 3_600_000);
    assert_eq!(settings.flush_messages, 1);
    assert!(!settings.is_relaxed());
}

#[test]
fn relaxed_needs_more_than_one_message_between_flushes_and_time() {
    let cases: &[(&[(&str, &str)], bool)] = &[
        (&[("flush.messages", "2")], true),
        (&[("flush.messages", "9223372036854775807")], true),
        (&[("flush.messages", "2"), ("flush.ms", "0")], false),
        (&[("flush.messages", "1"), ("flush.ms", "1000")], false),
        (&[("flush.ms", "1000")], false),
    ];
    for (overrides, relaxed) in cases {
        assert_eq!(topic(overrides).unwrap().is_relaxed(), *relaxed, "{overrides:?}");
        let word =
            described(&topic::describe(&map(overrides), &BrokerSettings::default()), topic::DURABILITY);
        assert_eq!(word.value.as_deref(), Some(if *relaxed { "relaxed" } else { "durable" }));
        assert!(word.read_only);
    }
    let wide = broker(&[("log.flush.interval.messages", "10000")]).unwrap();
    assert!(wide.topic_defaults().is_relaxed());
}

#[test]
fn refused_topic_settings_say_why() {
    let cases: &[(&str, &str, &str)] = &[
        ("retention.mss", "1", "did you mean retention.ms?"),
        ("Retention_Ms", "1", "did you mean retention.ms?"),
        ("xyzzy", "1", "unknown setting"),
        ("retention.ms", "-2", "at least -1"),
        ("retention.ms", "soon", "not a whole number"),
        ("segment.bytes", "1048575", "at least 1048576"),
        ("segment.bytes", "4294967296", "at least 1048576"),
        ("max.message.bytes", "8388609", "0 to 8388608"),
        ("flush.messages", "0", "at least 1"),
        ("compression.type", "zstd", "does not recompress"),
        ("compression.type", "brotli", "one of"),
        ("cleanup.policy", "compacted", "a list of delete, compact"),
        ("cleanup.policy", "", "must not be empty"),
        ("remote.storage.enable", "true", "tiered storage does not exist"),
        ("min.insync.replicas", "0", "1 to 32767"),
        ("message.timestamp.type", "Whenever", "one of CreateTime, LogAppendTime"),
        ("min.cleanable.dirty.ratio", "NaN", "from 0 to 1"),
        ("preallocate", "yes", "true or false"),
        ("ringlog.durability", "relaxed", "read-only"),
        ("max.compaction.lag.ms", "0", "at least 1"),
    ];
    for (name, value, reason) in cases {
        let error = topic(&[(name, value)]).expect_err(name);
        assert_eq!((error.name.as_str(), error.value.as_str()), (*name, *value));
        assert!(error.reason.contains(reason), "{error}");
    }
}

#[test]
fn a_compaction_lag_whose_lowest_is_above_its_highest_is_refused() {
    let error = topic(&[("min.compaction.lag.ms", "9"), ("max.compaction.lag.ms", "8")]).unwrap_err();
    assert_eq!(error.name, "min.compaction.lag.ms");
    topic(&[("min.compaction.lag.ms", "8"), ("max.compaction.lag.ms", "8")]).unwrap();
}

#[test]
fn a_topic_is_compacted_deleted_from_or_both() {
    let of = |policy| topic(&[("cleanup.policy", policy)]).map(|s| s.cleanup).unwrap();
    assert_eq!(topic(&[]).unwrap().cleanup, Cleanup::Delete);
    assert_eq!((of("delete"), of("compact")), (Cleanup::Delete, Cleanup::Compact));
    assert_eq!(
        (of("compact,delete"), of(" delete , compact ")),
        (Cleanup::CompactAndDelete, of("delete,compact"))
    );
    let settings = topic(&[("min.cleanable.dirty.ratio", "0.25"), ("max.compaction.lag.ms", "9")]).unwrap();
    assert_eq!((settings.min_cleanable_dirty_ppm, settings.max_compaction_lag_ms), (250_000, 9));
    assert_eq!(settings.roll_ms(), settings.segment_ms, "nothing is compacted here");
    let compacted = TopicSettings { cleanup: Cleanup::Compact, ..settings };
    assert_eq!(compacted.roll_ms(), 9, "what is never closed would never be compacted");
    assert_eq!(topic(&[]).unwrap().max_compaction_lag_ms, u64::MAX);
}

#[test]
fn compaction_is_set_for_all_cores_together() {
    assert_eq!(broker(&[]).unwrap().cleaner, CleanerSettings::default());
    let set = [("log.cleaner.io.max.bytes.per.second", "1e6"), ("log.cleaner.dedupe.buffer.size", "4194304")];
    let share = broker(&[set[0], set[1]]).map(|b| b.cleaner.share(4)).unwrap();
    assert_eq!((share.io_bytes_per_second, share.dedupe_bytes), (250_000, 1_048_576));
    assert_eq!(CleanerSettings::default().share(4).io_bytes_per_second, u64::MAX);
}

#[test]
fn what_cannot_be_honoured_is_refused_at_the_start() {
    let cases: &[(&str, &str)] = &[
        ("max.connection.creation.rate", "10"),
        ("log.cleanup.policy", ""),
        ("compression.type", "zstd"),
        ("log.dirs", "/a,/b"),
        ("ssl.keystore.location", "/key"),
    ];
    for (name, value) in cases {
        assert_eq!(broker(&[(name, value)]).expect_err(name).name, *name);
    }
    let as_kafkas_own_file = [
        ("num.network.threads", "3"),
        ("num.io.threads", "8"),
        ("socket.send.buffer.bytes", "102400"),
        ("offsets.topic.replication.factor", "1"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("num.recovery.threads.per.data.dir", "2"),
    ];
    broker(&as_kafkas_own_file).unwrap();
}

#[test]
fn a_value_too_long_to_keep_is_refused() {
    let value = "a,".repeat(VALUE_BYTES_MAX);
    let error = topic(&[("leader.replication.throttled.replicas", &value)]).unwrap_err();
    assert!(error.reason.contains("more than"), "{error}");
    assert!(error.value.len() < 100);
}

#[test]
fn settings_that_old_tools_send_are_kept_without_effect() {
    let overrides = map(&[("message.format.version", "2.8"), ("message.downconversion.enable", "false")]);
    assert_eq!(topic::parse(&overrides, &BrokerSettings::default()).unwrap(), TopicSettings::default());
    let list = topic::describe(&overrides, &BrokerSettings::default());
    assert_eq!(described(&list, "message.format.version").value.as_deref(), Some("2.8"));
    let untouched = topic::describe(&BTreeMap::new(), &BrokerSettings::default());
    assert!(untouched.iter().all(|d| d.name != "message.format.version"));
}

#[test]
fn retention_comes_from_the_finest_broker_unit_that_is_set() {
    let cases: &[(Pairs, Option<u64>)] = &[
        (&[("log.retention.hours", "2")], Some(7_200_000)),
        (&[("log.retention.hours", "2"), ("log.retention.minutes", "3")], Some(180_000)),
        (&[("log.retention.minutes", "3"), ("log.retention.ms", "5")], Some(5)),
        (&[("log.retention.hours", "-1")], None),
    ];
    for (settings, retention) in cases {
        assert_eq!(broker(settings).unwrap().topic_defaults().retention_ms, *retention, "{settings:?}");
    }
}

#[test]
fn describe_names_the_value_its_source_and_every_level_below() {
    let broker = broker(&[("log.retention.minutes", "3")]).unwrap();
    let inherited = described(&topic::describe(&BTreeMap::new(), &broker), "retention.ms");
    assert_eq!((inherited.value.as_deref(), inherited.source), (Some("180000"), Source::StaticBroker));
    assert!(!inherited.is_default());

    let set = described(&topic::describe(&map(&[("retention.ms", "7")]), &broker), "retention.ms");
    assert_eq!((set.value.as_deref(), set.source), (Some("7"), Source::TopicOverride));
    assert_eq!(set.value_type, ValueType::Long);
    let levels: Vec<_> =
        set.synonyms.iter().map(|s| (s.name, s.value.as_deref().unwrap(), s.source)).collect();
    assert_eq!(
        levels,
        [
            ("retention.ms", "7", Source::TopicOverride),
            ("log.retention.minutes", "3", Source::StaticBroker),
            ("log.retention.hours", "168", Source::Default),
        ]
    );

    let flush = described(&topic::describe(&BTreeMap::new(), &BrokerSettings::default()), "flush.messages");
    assert_eq!((flush.value.as_deref(), flush.source), (Some("1"), Source::Default));
    assert!(flush.documentation.contains("relaxed"));
}

#[test]
fn alterations_apply_in_order_and_all_or_none() {
    let broker = BrokerSettings::default();
    let start = map(&[("retention.ms", "7"), ("segment.ms", "9")]);
    let ops = [
        ("retention.ms".to_owned(), AlterOp::Set(" 8 ".to_owned())),
        ("segment.ms".to_owned(), AlterOp::Delete),
        ("leader.replication.throttled.replicas".to_owned(), AlterOp::Append("0:1, 0:2".to_owned())),
        ("leader.replication.throttled.replicas".to_owned(), AlterOp::Append("0:2,1:1".to_owned())),
        ("leader.replication.throttled.replicas".to_owned(), AlterOp::Subtract("0:1".to_owned())),
    ];
    let altered = topic::alter(&start, &ops, &broker).unwrap();
    assert_eq!(altered, map(&[("retention.ms", "8"), ("leader.replication.throttled.replicas", "0:2,1:1")]));

    let refused: &[(&str, AlterOp, &str)] = &[
        ("retention.ms", AlterOp::Append("1".into()), "only a list"),
        ("retention.mx", AlterOp::Delete, "did you mean"),
        ("cleanup.policy", AlterOp::Append("erase".into()), "a list of delete, compact"),
        ("cleanup.policy", AlterOp::Subtract("delete".into()), "must not be empty"),
    ];
    for (name, op, reason) in refused {
        let error = topic::alter(&start, &[(name.to_string(), op.clone())], &broker).unwrap_err();
        assert!(error.reason.contains(reason), "{error}");
    }
}

#[test]
fn a_list_too_long_to_keep_is_refused_before_any_work_on_it() {
    let name = "leader.replication.throttled.replicas";
    let start = map(&[(name, "0:1,0:2")]);
    // Either would leave a short list.
    let words = "0:1,".repeat(VALUE_BYTES_MAX);
    for op in [AlterOp::Append(words.clone()), AlterOp::Subtract(words)] {
        let error = topic::alter(&start, &[(name.to_owned(), op)], &BrokerSettings::default()).unwrap_err();
        assert!(error.reason.contains("more than") && error.value.len() < 100, "{error}");
    }
}

#[test]
fn a_broker_value_no_topic_could_have_is_refused_under_its_own_name() {
    let error = broker(&[("log.segment.bytes", "4096")]).unwrap_err();
    assert_eq!(error.name, "log.segment.bytes");
    let error = broker(&[("compression.type", "gzip")]).unwrap_err();
    assert_eq!(error.name, "compression.type");
}

#[test]
fn later_origins_win_and_are_remembered() {
    let layer = |origin, value: &str| Layer { origin, values: map(&[("num.partitions", value)]) };
    let settings = BrokerSettings::parse(&[
        layer(Origin::Flag, "9"),
        layer(Origin::File, "2"),
        layer(Origin::Set, "3"),
        layer(Origin::Env, "4"),
    ])
    .unwrap();
    assert_eq!(settings.num_partitions, 9);
    let told = described(&settings.describe(), "num.partitions");
    assert_eq!((told.value.as_deref(), told.source, told.read_only), (Some("9"), Source::StaticBroker, true));
    assert_eq!(told.synonyms.len(), 5, "four layers and the default");
    assert!(described(&settings.describe(), "node.id").is_default());
}

#[test]
fn dynamic_settings_stand_above_the_files_and_fall_back_when_removed() {
    let start = broker(&[("log.retention.ms", "10")]).unwrap();
    let altered =
        start.alter(&BTreeMap::new(), &[("log.retention.ms".into(), AlterOp::Set("20".into()))]).unwrap();
    let now = start.with_dynamic(&map(&[("log.retention.ms", "15")]), &altered).unwrap();
    assert_eq!(now.topic_defaults().retention_ms, Some(20));
    let retention = described(&topic::describe(&BTreeMap::new(), &now), "retention.ms");
    assert_eq!(retention.source, Source::DynamicBroker);
    assert_eq!(now.with_dynamic(&BTreeMap::new(), &BTreeMap::new()).unwrap(), start);

    let fixed = start.alter(&BTreeMap::new(), &[("node.id".into(), AlterOp::Set("2".into()))]).unwrap_err();
    assert!(fixed.reason.contains("read-only"), "{fixed}");
}

#[test]
fn listeners_are_parsed_and_advertised_with_the_port_that_was_bound() {
    let settings = broker(&[
        ("listeners", "PLAINTEXT://127.0.0.1:0, inside://0.0.0.0:9093,V6://[::1]:9094"),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT,V6:PLAINTEXT"),
        ("advertised.listeners", "INSIDE://broker-1.example:0"),
    ])
    .unwrap();
    let names: Vec<String> = settings.advertise(&[4000, 9093, 9094]).iter().map(|l| l.to_string()).collect();
    assert_eq!(names, ["PLAINTEXT://127.0.0.1:4000", "INSIDE://broker-1.example:9093", "V6://[::1]:9094"]);
    let bare = broker(&[("listeners", "127.0.0.1:9000")]).unwrap();
    assert_eq!(bare.listeners[0].to_string(), "PLAINTEXT://127.0.0.1:9000");
}

#[test]
fn bad_listeners_are_refused_with_the_fix() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("listeners", "0.0.0.0:9092")], "set advertised.listeners=PLAINTEXT://"),
        (&[("listeners", "PLAINTEXT://:9092")], "clients cannot connect to 0.0.0.0"),
        (&[("listeners", "PLAINTEXT://[::]:9092")], "clients cannot connect to ::"),
        (&[("advertised.listeners", "PLAINTEXT://0.0.0.0:9092")], "clients cannot connect"),
        (&[("advertised.listeners", "OTHER://h:1")], "not among the listeners"),
        (&[("listeners", "PLAINTEXT://h")], "no port"),
        (&[("listeners", "PLAINTEXT://h:99999")], "not a port"),
        (&[("listeners", "://h:1")], "no listener name"),
        (&[("listeners", "PLAINTEXT://::1:9092")], "brackets"),
        (&[("listeners", "PLAINTEXT://a/b:9092")], "not a host"),
        (&[("listeners", "PLAINTEXT://h:1,PLAINTEXT://h:2")], "two listeners are named"),
        (&[("listeners", "")], "1 to 16"),
        (&[("listeners", "INSIDE://h:1")], "no protocol"),
        (&[("listener.security.protocol.map", "PLAINTEXT:SSL")], "only PLAINTEXT"),
        (&[("log.dirs", "/a,/b")], "only one data directory"),
        (&[("num.partition", "4")], "did you mean num.partitions?"),
    ];
    for (settings, reason) in cases {
        let error = broker(settings).expect_err(reason);
        assert!(error.reason.contains(reason), "{error}");
    }
}

#[test]
fn the_documentation_page_has_a_row_for_each_setting() {
    let page = docs::page();
    for def in topic::DEFS.iter().chain(broker::DEFS) {
        assert!(page.contains(&format!("| `{}` |", def.name)), "{}", def.name);
    }
}

#[test]
fn one_stored_override_that_is_not_valid_any_more_leaves_the_others_in_force() {
    let lag = broker(&[("log.cleaner.max.compaction.lag.ms", "50")]).unwrap();
    let set = map(&[
        ("retention.ms", "86400000000"),
        ("min.compaction.lag.ms", "100"),
        ("gone.in.this.version", "1"),
        ("segment.bytes", "7"),
    ]);
    let (settings, ignored) = topic::stored(&set, &lag);
    assert_eq!(settings.retention_ms, Some(86_400_000_000), "or a thousand days of records were deleted");
    assert_eq!(settings.segment_bytes, TopicSettings::default().segment_bytes);
    let names: Vec<&str> = ignored.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["gone.in.this.version", "segment.bytes", "min.compaction.lag.ms"]);
    let (settings, ignored) =
        topic::stored(&map(&[("retention.ms", "for ever"), ("retention.bytes", "1")]), &lag);
    assert_eq!((settings.retention_ms, settings.retention_bytes, ignored.len()), (None, Some(1), 1));
    let (settings, ignored) =
        topic::stored(&map(&[("max.compaction.lag.ms", "0")]), &BrokerSettings::default());
    assert_eq!((settings, ignored.len()), (TopicSettings::default(), 1));
    assert_eq!(topic::stored(&map(&[("retention.ms", "9")]), &lag).1, []);
}

#[test]
fn one_stored_setting_of_a_broker_that_is_not_valid_any_more_leaves_the_others_in_force() {
    let start = BrokerSettings::default();
    let all = map(&[
        ("log.retention.ms", "86400000000"),
        ("group.consumer.heartbeat.interval.ms", "16000"),
        ("gone.in.this.version", "1"),
    ]);
    let this = map(&[("group.consumer.max.heartbeat.interval.ms", "20000"), ("num.partitions", "many")]);
    let (settings, ignored) = start.with_stored(&all, &this);
    assert_eq!(settings.topic_defaults().retention_ms, Some(86_400_000_000));
    assert_eq!(settings.groups.consumer.heartbeat, Duration::from_secs(16), "by a maximum that comes later");
    let names: Vec<&str> = ignored.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["gone.in.this.version", "num.partitions"]);
    assert_eq!(start.with_stored(&map(&[]), &map(&[])), (start.clone(), Vec::new()));
}
