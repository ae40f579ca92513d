//! rdkafka: rdkafka-matrix HOST:PORT PREFIX SCENARIO...

mod cell;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, DefaultConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use cell::Done;

const SOON: Duration = Duration::from_secs(30);
const CLASSIC: &[(&str, &str)] = &[("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "300")];

fn config(settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cell::address()).set("log_level", "0");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config
}

fn admin() -> Done<AdminClient<DefaultClientContext>> {
    Ok(config(&[]).create()?)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(future)
}

fn created(name: &str, partitions: i32, configs: &[(&str, &str)]) -> Done<String> {
    let (topic, admin) = (cell::topic(name), admin()?);
    let mut wanted = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in configs {
        wanted = wanted.set(name, value);
    }
    wait(admin.create_topics([&wanted], &AdminOptions::new()))?.remove(0).map_err(|(_, code)| code)?;
    cell::waited(10, "leaders", || led(&admin, &topic) == partitions as usize)?;
    Ok(topic)
}

fn led(admin: &AdminClient<DefaultClientContext>, topic: &str) -> usize {
    let Ok(found) = admin.inner().fetch_metadata(Some(topic), SOON) else { return 0 };
    let topic = &found.topics()[0];
    topic.partitions().iter().filter(|p| p.leader() >= 0 && topic.error().is_none()).count()
}

fn producer(settings: &[(&str, &str)]) -> Done<FutureProducer> {
    let mut config = config(settings);
    Ok(config.set("enable.idempotence", "true").set("linger.ms", "1").create()?)
}

/// One record to write.
#[derive(Clone, Default)]
struct Wanted {
    partition: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Option<OwnedHeaders>,
    timestamp: Option<i64>,
}

fn number(partition: i32, i: usize) -> Wanted {
    Wanted { partition, value: Some(i.to_string().into_bytes()), ..Wanted::default() }
}

/// Writes all of them and waits for every acknowledgement.
fn written(producer: &FutureProducer, topic: &str, records: &[Wanted]) -> Done {
    let mut sent = Vec::new();
    for wanted in records {
        let mut record = FutureRecord::<[u8], [u8]>::to(topic).partition(wanted.partition);
        record.key = wanted.key.as_deref();
        record.payload = wanted.value.as_deref();
        record.headers = wanted.headers.clone();
        record.timestamp = wanted.timestamp;
        sent.push(producer.send_result(record).map_err(|(error, _)| error)?);
    }
    for one in sent {
        wait(one).map_err(|_| "a delivery was forgotten")?.map_err(|(error, _)| error)?;
    }
    Ok(())
}

fn numbered(topic: &str, partitions: i32, count: usize) -> Done {
    let records: Vec<Wanted> = (0..count).map(|i| number(i as i32 % partitions, i)).collect();
    written(&producer(&[])?, topic, &records)
}

fn consumer_with<C: ConsumerContext + 'static>(group: &str, settings: &[(&str, &str)], context: C) -> Done<BaseConsumer<C>> {
    let mut config = config(settings);
    config.set("group.id", group).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    Ok(config.create_with_context(context)?)
}

fn member(group: &str, settings: &[(&str, &str)]) -> Done<BaseConsumer> {
    consumer_with(group, settings, DefaultConsumerContext)
}

fn reading(topic: &str, offsets: &[(i32, Offset)]) -> Done<BaseConsumer> {
    let reader = member("nobody", &[("check.crcs", "true")])?;
    let mut assignment = TopicPartitionList::new();
    for (partition, offset) in offsets {
        assignment.add_partition_offset(topic, *partition, *offset)?;
    }
    reader.assign(&assignment)?;
    Ok(reader)
}

fn taken<C: ConsumerContext>(reader: &BaseConsumer<C>, count: usize, limit: Duration) -> Done<Vec<OwnedMessage>> {
    let (mut messages, end) = (Vec::new(), Instant::now() + limit);
    while messages.len() < count {
        if Instant::now() > end {
            return Err(format!("{} of {count} records in {limit:?}", messages.len()).into());
        }
        match reader.poll(Duration::from_millis(200)) {
            // Told beside the records while the broker restarts; the client goes on by itself.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure,
            ))) => {}
            Some(message) => messages.push(message?.detach()),
            None => {}
        }
    }
    Ok(messages)
}

fn numbers(messages: &[OwnedMessage]) -> Vec<usize> {
    let text = |m: &OwnedMessage| String::from_utf8_lossy(m.payload().unwrap_or_default()).into_owned();
    messages.iter().filter_map(|m| text(m).parse().ok()).collect()
}

fn codecs() -> Done {
    for codec in cell::CODECS {
        let topic = created(&format!("codecs-{codec}"), 1, &[])?;
        let record = |i| Wanted { key: Some(cell::key(i)), value: Some(cell::value(i)), ..Wanted::default() };
        written(&producer(&[("compression.type", codec)])?, &topic, &(0..200).map(record).collect::<Vec<_>>())?;
        let reader = reading(&topic, &[(0, Offset::Offset(0))])?;
        for (i, message) in taken(&reader, 200, SOON)?.iter().enumerate() {
            let got = (message.offset(), message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec));
            cell::same(codec, &got, &(i as i64, Some(cell::key(i)), Some(cell::value(i))))?;
        }
    }
    Ok(())
}

fn assign() -> Done {
    let topic = created("assign", 2, &[])?;
    numbered(&topic, 2, 200)?;
    let reader = reading(&topic, &[(0, Offset::Offset(50)), (1, Offset::Beginning)])?;
    let mut got: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for message in taken(&reader, 150, SOON)? {
        got.entry(message.partition()).or_default().push(message.offset());
    }
    cell::same("offsets", &got, &BTreeMap::from([(0, (50..100).collect()), (1, (0..100).collect())]))?;
    cell::same("bounds", &reader.fetch_watermarks(&topic, 0, SOON)?, &(0, 100))
}

fn group() -> Done {
    let topic = created("group", 3, &[])?;
    numbered(&topic, 3, 90)?;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let reader = member(&topic, CLASSIC)?;
        reader.subscribe(&[&topic])?;
        let messages = taken(&reader, 45, SOON)?;
        reader.commit_consumer_state(CommitMode::Sync)?;
        seen.extend(numbers(&messages));
    }
    seen.sort_unstable();
    cell::same("records", &seen, &(0..90).collect())
}

fn flowing(name: &str, settings: &'static [(&str, &str)]) -> Done {
    let topic = created(name, 6, &[])?;
    let writer = producer(&[])?;
    let send = |i| written(&writer, &topic, &[number(i as i32 % 6, i)]);
    let group = topic.clone();
    let work = move |ledger: &Mutex<cell::Ledger>, leave: &std::sync::atomic::AtomicBool| -> Done {
        let reader = member(&group, settings)?;
        reader.subscribe(&[&group])?;
        while !leave.load(Ordering::SeqCst) {
            let Some(Ok(message)) = reader.poll(Duration::from_millis(100)) else { continue };
            let value = message.payload().unwrap_or_default();
            ledger.lock().expect("no panic").receive(value);
            if reader.commit_message(&message, CommitMode::Sync).is_ok() {
                ledger.lock().expect("no panic").commit(value);
            } else {
                // Where another member has the partition it starts from what was committed, and this fails.
                let _ = reader.seek(&group, message.partition(), Offset::Offset(message.offset()), SOON);
            }
        }
        Ok(())
    };
    cell::flow(send, Arc::new(work))
}

/// Keeps what a member was assigned, each time.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Vec<i32>>>>);

impl ClientContext for Told {}

impl ConsumerContext for Told {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            let mut partitions: Vec<i32> = list.elements().iter().map(|e| e.partition()).collect();
            partitions.sort_unstable();
            self.0.lock().expect("no panic").push(partitions);
        }
    }
}

impl Told {
    fn all(&self) -> Vec<Vec<i32>> {
        self.0.lock().expect("no panic").clone()
    }

    fn last(&self) -> Vec<i32> {
        self.all().pop().unwrap_or_default()
    }
}

fn static_members() -> Done {
    let topic = created("static", 4, &[])?;
    let (told_a, told_b) = (Told::default(), Told::default());
    let join = |name: &str, told: &Told| -> Done<BaseConsumer<Told>> {
        let settings = [CLASSIC, &[("group.instance.id", name)]].concat();
        let reader = consumer_with(&topic, &settings, told.clone())?;
        reader.subscribe(&[&topic])?;
        Ok(reader)
    };
    let (a, b) = (join("a", &told_a)?, join("b", &told_b)?);
    let poll = |reader: &BaseConsumer<Told>| drop(reader.poll(Duration::from_millis(20)));
    cell::waited(30, "both members", || {
        poll(&a);
        poll(&b);
        told_a.last().len() == 2 && told_b.last().len() == 2
    })?;
    let (before_a, before_b) = (told_a.all(), told_b.all());
    drop(a);
    let a = join("a", &told_a)?;
    cell::waited(20, "the member again", || {
        poll(&a);
        poll(&b);
        told_a.all().len() > before_a.len()
    })?;
    for _ in 0..20 {
        poll(&a);
        poll(&b);
    }
    cell::same("its partitions", &told_a.last(), &before_a[before_a.len() - 1])?;
    cell::same("the other's assignments", &told_b.all(), &before_b)
}

fn by_time() -> Done {
    let topic = created("time", 1, &[])?;
    let stamped = |i: usize| Wanted { timestamp: Some(*cell::STARTED + i as i64 * 1000), ..number(0, i) };
    written(&producer(&[])?, &topic, &(0..100).map(stamped).collect::<Vec<_>>())?;
    let reader = reading(&topic, &[(0, Offset::Beginning)])?;
    // librdkafka says the end of the log where no record is late enough.
    for (after, want) in [(-1, Offset::Offset(0)), (41_500, Offset::Offset(42)), (200_000, Offset::End)] {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(&topic, 0, Offset::Offset(*cell::STARTED + after))?;
        let found = reader.offsets_for_times(asked, SOON)?.elements()[0].offset();
        cell::same("offset", &found, &want)?;
    }
    let reader = reading(&topic, &[(0, Offset::Offset(42))])?;
    cell::same("first record", &numbers(&taken(&reader, 1, SOON)?), &vec![42])
}

fn topics() -> Done {
    let topic = created("topics", 3, &[("retention.ms", "3600000")])?;
    let admin = admin()?;
    cell::same("partitions", &led(&admin, &topic), &3)?;
    let again = NewTopic::new(&topic, 3, TopicReplication::Fixed(1));
    let refused = wait(admin.create_topics([&again], &AdminOptions::new()))?.remove(0).map_err(|(_, code)| code);
    cell::same("second creation", &refused.err(), &Some(RDKafkaErrorCode::TopicAlreadyExists))?;
    wait(admin.delete_topics(&[&topic], &AdminOptions::new()))?.remove(0).map_err(|(_, code)| code)?;
    cell::waited(10, "its end", || {
        let listed = admin.inner().fetch_metadata(None, SOON);
        listed.is_ok_and(|all| all.topics().iter().all(|t| t.name() != topic))
    })
}

fn configs() -> Done {
    let topic = created("configs", 1, &[("retention.ms", "3600000")])?;
    let admin = admin()?;
    let retention = |want: &str| -> Done {
        let asked = [ResourceSpecifier::Topic(&topic)];
        let found = wait(admin.describe_configs(&asked, &AdminOptions::new()))?.remove(0)?;
        let value = found.get("retention.ms").and_then(|entry| entry.value.clone());
        cell::same("retention.ms", &value.as_deref(), &Some(want))
    };
    retention("3600000")?;
    let whole = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("retention.ms", "7200000");
    wait(admin.alter_configs([&whole], &AdminOptions::new()))?.remove(0).map_err(|(_, code)| code)?;
    retention("7200000")
}

fn partitions() -> Done {
    let topic = created("partitions", 2, &[])?;
    let admin = admin()?;
    let grown = NewPartitions::new(&topic, 4);
    wait(admin.create_partitions([&grown], &AdminOptions::new()))?.remove(0).map_err(|(_, code)| code)?;
    cell::waited(10, "four partitions", || led(&admin, &topic) == 4)?;
    written(&producer(&[])?, &topic, &[number(3, 7)])?;
    cell::same("record", &numbers(&taken(&reading(&topic, &[(3, Offset::Beginning)])?, 1, SOON)?), &vec![7])
}

fn delete_records() -> Done {
    let topic = created("delete", 1, &[])?;
    numbered(&topic, 1, 10)?;
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Offset::Offset(5))?;
    let done = wait(admin()?.delete_records(&before, &AdminOptions::new()))?;
    done.elements()[0].error()?;
    cell::same("low watermark", &done.elements()[0].offset(), &Offset::Offset(5))?;
    let first = taken(&reading(&topic, &[(0, Offset::Beginning)])?, 1, SOON)?;
    cell::same("first offset", &first[0].offset(), &5)
}

fn shapes() -> Done {
    let topic = created("shapes", 1, &[])?;
    let every: Vec<u8> = (0..=255).collect();
    let pairs: [(&str, Option<&[u8]>); 5] =
        [("twice", Some(b"one")), ("twice", Some(b"two")), ("bytes", Some(&every)), ("empty", Some(b"")), ("null", None)];
    let headers = pairs.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: *value }));
    let plain = |key: Option<&str>, value: Option<Vec<u8>>| Wanted { key: key.map(|k| k.into()), value, ..Wanted::default() };
    let wanted = [
        plain(Some("large"), Some(b"0123456789abcdef".repeat(900 * 1024 / 16))),
        plain(Some("empty"), Some(Vec::new())),
        plain(Some("tombstone"), None),
        plain(None, Some(b"no key".to_vec())),
        Wanted { headers: Some(headers), ..plain(Some("headers"), Some(b"v".to_vec())) },
    ];
    written(&producer(&[("message.max.bytes", "1000000")])?, &topic, &wanted)?;
    let got = taken(&reading(&topic, &[(0, Offset::Beginning)])?, 5, SOON)?;
    for (message, wanted) in got.iter().zip(&wanted) {
        cell::same("key", &message.key(), &wanted.key.as_deref())?;
        cell::same("value", &message.payload(), &wanted.value.as_deref())?;
    }
    let told = got[4].headers().ok_or("no headers")?;
    let told: Vec<_> = told.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect();
    let given: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), v.map(<[u8]>::to_vec))).collect();
    cell::same("headers", &told, &given)
}

fn restart() -> Done {
    let topic = created("restart", 1, &[])?;
    let (writer, reader) = (producer(&[])?, member(&topic, CLASSIC)?);
    reader.subscribe(&[&topic])?;
    numbered(&topic, 1, 100)?;
    let mut got = numbers(&taken(&reader, 100, SOON)?);
    reader.commit_consumer_state(CommitMode::Sync)?;
    cell::restart_begins();
    let mut sent = Vec::new();
    for i in 100..300 {
        let value = i.to_string();
        let record = FutureRecord::<[u8], [u8]>::to(&topic).partition(0).payload(value.as_bytes());
        sent.push(writer.send_result(record).map_err(|(error, _)| error)?);
        thread::sleep(Duration::from_millis(10));
    }
    for one in sent {
        wait(one).map_err(|_| "a delivery was forgotten")?.map_err(|(error, _)| error)?;
    }
    got.extend(numbers(&taken(&reader, 200, 2 * SOON)?));
    cell::restart_is_over()?;
    cell::same("records", &got, &(0..300).collect())
}

/// The version that the lock file pins: the library does not tell its own.
fn version() -> &'static str {
    let (_, after) = include_str!("../Cargo.lock").split_once("name = \"rdkafka\"\nversion = \"").expect("rdkafka is locked");
    after.split('"').next().expect("a version")
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    println!("version rdkafka {} (librdkafka {})", version(), rdkafka::util::get_rdkafka_version().1);
    for name in &cell::ARGUMENTS[2..] {
        cell::say(name, match name.as_str() {
            "codecs" => codecs(),
            "assign" => assign(),
            "group" => group(),
            "rebalance" => flowing("rebalance", CLASSIC),
            "new-group" => flowing("new-group", &[("group.protocol", "consumer")]),
            "static" => static_members(),
            "time" => by_time(),
            "topics" => topics(),
            "configs" => configs(),
            "partitions" => partitions(),
            "delete-records" => delete_records(),
            "shapes" => shapes(),
            "restart" => restart(),
            _ => Err("no such scenario".into()),
        });
    }
}
