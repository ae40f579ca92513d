"""kafka-python: kafka_python.py HOST:PORT PREFIX [SCENARIO...]"""

import time

import cell
import kafka
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

CLASSIC = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 300}


def admin():
    return KafkaAdminClient(bootstrap_servers=cell.ADDRESS)


def create(name, partitions, configs=None):
    topic = cell.topic(name)
    options = {"num_partitions": partitions, "replication_factor": 1, "configs": configs or {}}
    client = admin()
    client.create_topics({topic: options}, wait_for_metadata=True)
    client.close()
    return topic


def producer(**more):
    settings = {"bootstrap_servers": cell.ADDRESS, "acks": "all", "enable_idempotence": True, "linger_ms": 1}
    return KafkaProducer(**settings | more)


def written(producer, records):
    sent = [producer.send(topic, value, key, partition=p, **more) for topic, p, key, value, more in records]
    for future in sent:
        future.get(60)


def consumer(*topics, **more):
    settings = {"bootstrap_servers": cell.ADDRESS, "enable_auto_commit": False, "auto_offset_reset": "earliest"}
    return KafkaConsumer(*topics, **settings | more)


def reading(topic, offsets):
    """A consumer by assignment that stands at these offsets."""
    reader = consumer()
    reader.assign([TopicPartition(topic, p) for p in offsets])
    for p, offset in offsets.items():
        reader.seek(TopicPartition(topic, p), offset)
    return reader


def taken(reader, count, seconds=30):
    messages, deadline = [], time.monotonic() + seconds
    while len(messages) < count:
        if time.monotonic() > deadline:
            raise cell.Failed(f"{len(messages)} of {count} records in {seconds} s")
        for some in reader.poll(200, max_records=count - len(messages)).values():
            messages += some
    return messages


def codecs():
    for codec in cell.CODECS:
        topic = create(f"codecs-{codec}", 1)
        wanted = [(cell.key(i), cell.value(i)) for i in range(200)]
        writer = producer(compression_type=None if codec == "none" else codec)
        written(writer, [(topic, 0, k, v, {}) for k, v in wanted])
        writer.close()
        reader = reading(topic, {0: 0})
        cell.same(codec, [(m.key, m.value) for m in taken(reader, 200)], wanted)
        reader.close()


def assign():
    topic = create("assign", 2)
    written(producer(), [(topic, i % 2, None, cell.value(i), {}) for i in range(200)])
    reader = reading(topic, {0: 50, 1: 0})
    got = {0: [], 1: []}
    for message in taken(reader, 150):
        got[message.partition].append(message.offset)
    cell.same("offsets", got, {0: list(range(50, 100)), 1: list(range(100))})
    first = TopicPartition(topic, 0)
    cell.same("beginning", reader.beginning_offsets([first]), {first: 0})
    cell.same("end", reader.end_offsets([first]), {first: 100})
    reader.close()


def group():
    topic = create("group", 3)
    written(producer(), [(topic, i % 3, None, b"%d" % i, {}) for i in range(90)])
    seen = []
    for _ in range(2):
        reader = consumer(topic, group_id=topic, max_poll_records=1)
        for _ in range(45):
            seen.append(int(taken(reader, 1)[0].value))
            reader.commit()
        reader.close()
    cell.same("records", sorted(seen), list(range(90)))


def rebalance():
    topic = create("rebalance", 6)
    writer = producer()

    def work(member):
        reader = consumer(topic, group_id=topic, max_poll_records=1, **CLASSIC)
        while not member.done.is_set():
            for records in reader.poll(100).values():
                for record in records:
                    member.ledger.receive(record.value)
                    try:
                        reader.commit()
                        member.ledger.commit(record.value)
                    except KafkaError:
                        position = TopicPartition(topic, record.partition)
                        if position in reader.assignment():
                            reader.seek(position, record.offset)
        reader.close()

    cell.flow(lambda i: writer.send(topic, b"%d" % i, partition=i % 6), work)


def static():
    topic = create("static", 4)

    class Listener(ConsumerRebalanceListener):
        def __init__(self):
            self.assignments = []

        def on_partitions_revoked(self, revoked):
            pass

        def on_partitions_assigned(self, assigned):
            self.assignments.append(sorted(p.partition for p in assigned))

    told = {"a": Listener(), "b": Listener()}

    def member(name):
        reader = consumer(group_id=topic, group_instance_id=name, **CLASSIC)
        reader.subscribe([topic], listener=told[name])
        return cell.Member(lambda me: [reader.poll(50) for _ in iter(me.done.is_set, True)] and reader.close(), None)

    def now(name):
        return told[name].assignments[-1] if told[name].assignments else []

    a, b = member("a"), member("b")
    a.start(), b.start()
    cell.waited(30, "both members", lambda: now("a") and now("b") and sorted(now("a") + now("b")) == [0, 1, 2, 3])
    before = {name: list(listener.assignments) for name, listener in told.items()}
    a.done.set()
    a.join(20)
    a = member("a")
    a.start()
    cell.waited(20, "the member again", lambda: len(told["a"].assignments) > len(before["a"]))
    time.sleep(1)
    cell.same("its partitions", now("a"), before["a"][-1])
    cell.same("the other's assignments", told["b"].assignments, before["b"])
    for thread in (a, b):
        thread.done.set()
        thread.join(20)


def by_time():
    topic = create("time", 1)
    written(producer(), [(topic, 0, None, cell.value(i), {"timestamp_ms": cell.STARTED_MS + i * 1000}) for i in range(100)])
    reader = reading(topic, {0: 0})
    partition = TopicPartition(topic, 0)
    found = [reader.offsets_for_times({partition: cell.STARTED_MS + t})[partition] for t in (-1, 41_500, 200_000)]
    cell.same("offsets", [f and f.offset for f in found], [0, 42, None])
    reader.seek(partition, found[1].offset)
    cell.same("first record", taken(reader, 1)[0].value, cell.value(42))
    reader.close()


def topics():
    topic, client = create("topics", 3, {"retention.ms": "3600000"}), admin()
    cell.same("listed", topic in client.list_topics(), True)
    cell.same("partitions", len(client.describe_topics([topic])[0]["partitions"]), 3)
    try:
        client.create_topics({topic: {"num_partitions": 3, "replication_factor": 1}})
        raise cell.Failed("a second creation went well")
    except TopicAlreadyExistsError:
        pass
    client.delete_topics([topic])
    cell.waited(10, "its end", lambda: topic not in client.list_topics())
    client.close()


def configs():
    topic, client = create("configs", 1, {"retention.ms": "3600000"}), admin()

    def retention():
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        return client.describe_configs([resource])["topic"][topic]["retention.ms"]["value"]

    cell.same("at first", retention(), "3600000")
    for incremental, value in ((True, "7200000"), (False, "5400000")):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": value})
        client.alter_configs([resource], incremental=incremental)
        cell.same(f"incremental {incremental}", retention(), value)
    client.close()


def partitions():
    topic, client = create("partitions", 2), admin()
    client.create_partitions({topic: 4})
    cell.waited(10, "four partitions", lambda: len(client.describe_topics([topic])[0]["partitions"]) == 4)
    written(producer(), [(topic, 3, None, b"new", {})])
    reader = reading(topic, {3: 0})
    cell.same("record", taken(reader, 1)[0].value, b"new")
    reader.close()
    client.close()


def delete_records():
    topic, client = create("delete", 1), admin()
    written(producer(), [(topic, 0, None, cell.value(i), {}) for i in range(10)])
    partition = TopicPartition(topic, 0)
    done = client.delete_records({partition: 5})
    cell.same("low watermark", done[partition]["low_watermark"], 5)
    reader = reading(topic, {0: 0})
    cell.same("first offset", taken(reader, 1)[0].offset, 5)
    reader.close()
    client.close()


def shapes():
    topic = create("shapes", 1)
    headers = [("twice", b"one"), ("twice", b"two"), ("bytes", cell.EVERY_BYTE), ("empty", b"")]
    wanted = [
        (b"large", cell.LARGE, []),
        (b"empty", b"", []),
        (b"tombstone", None, []),
        (None, b"no key", []),
        (b"headers", b"v", headers),
    ]
    written(producer(), [(topic, 0, key, value, {"headers": h}) for key, value, h in wanted])
    reader = reading(topic, {0: 0})
    got = [(m.key, m.value, [tuple(h) for h in m.headers]) for m in taken(reader, 5)]
    cell.same("records", got, wanted)
    reader.close()


def restart():
    topic = create("restart", 1)
    writer, reader = producer(), consumer(topic, group_id=topic, **CLASSIC)
    written(writer, [(topic, 0, None, b"%d" % i, {}) for i in range(100)])
    got = [int(m.value) for m in taken(reader, 100)]
    reader.commit()
    cell.restart_begins()
    sent = []
    for i in range(100, 300):
        sent.append(writer.send(topic, b"%d" % i, partition=0))
        time.sleep(0.01)
    for future in sent:
        future.get(60)
    got += [int(m.value) for m in taken(reader, 200, 60)]
    cell.restart_is_over()
    cell.same("records", got, list(range(300)))
    reader.close()


cell.main(
    "kafka-python",
    kafka.__version__,
    {
        "codecs": codecs,
        "assign": assign,
        "group": group,
        "rebalance": rebalance,
        "new-group": cell.lacks("the client speaks the classic protocol alone"),
        "static": static,
        "time": by_time,
        "topics": topics,
        "configs": configs,
        "partitions": partitions,
        "delete-records": delete_records,
        "shapes": shapes,
        "restart": restart,
    },
)
