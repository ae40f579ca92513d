"""confluent-kafka (librdkafka): confluent.py HOST:PORT PREFIX [SCENARIO...]"""

import time

import cell
import confluent_kafka
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

ADMIN = AdminClient({"bootstrap.servers": cell.ADDRESS})


def create(name, partitions, config=None):
    topic = cell.topic(name)
    ADMIN.create_topics([NewTopic(topic, partitions, 1, config=config or {})])[topic].result(30)
    cell.waited(10, "leaders", lambda: len(described(topic)) == partitions)
    return topic


def described(topic):
    found = ADMIN.list_topics(topic, timeout=10).topics[topic]
    return [p for p in found.partitions.values() if p.leader >= 0] if found.error is None else []


def producer(**more):
    return Producer({"bootstrap.servers": cell.ADDRESS, "enable.idempotence": True, "linger.ms": 1, **more})


def written(producer, records):
    """Writes (topic, partition, key, value, more) and waits for every acknowledgement."""
    failures = []
    for topic, partition, key, value, more in records:
        told = lambda error, _: error and failures.append(error)
        producer.produce(topic, value, key, partition, on_delivery=told, **more)
    cell.same("records left", producer.flush(60), 0)
    cell.same("failures", failures, [])


def consumer(**more):
    settings = {"bootstrap.servers": cell.ADDRESS, "group.id": cell.topic("nobody"), "enable.auto.commit": False}
    return Consumer(settings | {"auto.offset.reset": "earliest", "check.crcs": True} | more)


def taken(consumer, count, seconds=30):
    messages, deadline = [], time.monotonic() + seconds
    while len(messages) < count:
        if time.monotonic() > deadline:
            raise cell.Failed(f"{len(messages)} of {count} records in {seconds} s")
        message = consumer.poll(0.2)
        if message is not None and message.error():
            raise cell.Failed(str(message.error()))
        if message is not None:
            messages.append(message)
    return messages


def codecs():
    for codec in cell.CODECS:
        topic = create(f"codecs-{codec}", 1)
        wanted = [(cell.key(i), cell.value(i)) for i in range(200)]
        written(producer(**{"compression.type": codec}), [(topic, 0, k, v, {}) for k, v in wanted])
        reader = consumer()
        reader.assign([TopicPartition(topic, 0, 0)])
        cell.same(codec, [(m.key(), m.value()) for m in taken(reader, 200)], wanted)
        reader.close()


def assign():
    topic = create("assign", 2)
    written(producer(), [(topic, i % 2, None, cell.value(i), {}) for i in range(200)])
    reader = consumer()
    reader.assign([TopicPartition(topic, 0, 50), TopicPartition(topic, 1, 0)])
    got = {0: [], 1: []}
    for message in taken(reader, 150):
        got[message.partition()].append(message.offset())
    cell.same("offsets", got, {0: list(range(50, 100)), 1: list(range(100))})
    cell.same("bounds", reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10), (0, 100))
    reader.close()


def group():
    topic = create("group", 3)
    written(producer(), [(topic, i % 3, None, b"%d" % i, {}) for i in range(90)])
    seen = []
    for _ in range(2):
        reader = consumer(**{"group.id": topic})
        reader.subscribe([topic])
        for message in taken(reader, 45):
            seen.append(int(message.value()))
            reader.commit(message, asynchronous=False)
        reader.close()
    cell.same("records", sorted(seen), list(range(90)))


def flowing(name, **settings):
    topic = create(name, 6)
    writer = producer()

    def send(i):
        writer.produce(topic, b"%d" % i, partition=i % 6)
        writer.poll(0)

    def work(member):
        reader = consumer(**{"group.id": topic}, **settings)
        reader.subscribe([topic])
        while not member.done.is_set():
            message = reader.poll(0.1)
            if message is None or message.error():
                continue
            member.ledger.receive(message.value())
            try:
                reader.commit(message, asynchronous=False)
                member.ledger.commit(message.value())
            except KafkaException:
                try:
                    reader.seek(TopicPartition(topic, message.partition(), message.offset()))
                except KafkaException:
                    pass  # another member has it and starts from what was committed
        reader.close()

    cell.flow(send, work)


CLASSIC = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300}


def static():
    topic = create("static", 4)
    assignments = {"a": [], "b": []}

    def member(name):
        reader = consumer(**{"group.id": topic, "group.instance.id": name}, **CLASSIC)
        reader.subscribe([topic], on_assign=lambda _, got: assignments[name].append(sorted(p.partition for p in got)))
        return reader

    def settled(count_a, count_b):
        for reader in (a, b):
            reader.poll(0.05)
        last = [assignments[name][-1] if assignments[name] else [] for name in "ab"]
        return len(assignments["a"]) >= count_a and len(assignments["b"]) >= count_b and sorted(sum(last, [])) == [0, 1, 2, 3]

    a, b = member("a"), member("b")
    cell.waited(30, "both members", lambda: settled(1, 1) and all(assignments[name][-1] for name in "ab"))
    before = {name: list(got) for name, got in assignments.items()}
    a.close()
    a = member("a")
    cell.waited(20, "the member again", lambda: settled(len(before["a"]) + 1, 1))
    cell.same("its partitions", assignments["a"][-1], before["a"][-1])
    cell.same("the other's assignments", assignments["b"], before["b"])
    a.close()
    b.close()


def by_time():
    topic = create("time", 1)
    records = [(topic, 0, None, cell.value(i), {"timestamp": cell.STARTED_MS + i * 1000}) for i in range(100)]
    written(producer(), records)
    reader = consumer()
    asked = [TopicPartition(topic, 0, cell.STARTED_MS + t) for t in (-1, 41_500)]
    found = [reader.offsets_for_times([one], timeout=10)[0] for one in asked]
    cell.same("offsets", [p.offset for p in found], [0, 42])
    late = reader.offsets_for_times([TopicPartition(topic, 0, cell.STARTED_MS + 200_000)], timeout=10)
    cell.same("after the last", late[0].offset in (-1, 100), True)
    reader.assign([found[1]])
    cell.same("first record", taken(reader, 1)[0].value(), cell.value(42))
    reader.close()


def topics():
    topic = create("topics", 3, {"retention.ms": "3600000"})
    cell.same("listed", topic in ADMIN.list_topics(timeout=10).topics, True)
    cell.same("partitions", len(described(topic)), 3)
    try:
        ADMIN.create_topics([NewTopic(topic, 3, 1)])[topic].result(10)
        raise cell.Failed("a second creation went well")
    except KafkaException as error:
        cell.same("second creation", error.args[0].name(), "TOPIC_ALREADY_EXISTS")
    ADMIN.delete_topics([topic])[topic].result(30)
    cell.waited(10, "its end", lambda: topic not in ADMIN.list_topics(timeout=10).topics)


def retention(topic):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return ADMIN.describe_configs([resource])[resource].result(10)["retention.ms"].value


def configs():
    topic = create("configs", 1, {"retention.ms": "3600000"})
    cell.same("at first", retention(topic), "3600000")
    entry = ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    ADMIN.incremental_alter_configs([resource])[resource].result(10)
    cell.same("incrementally", retention(topic), "7200000")
    resource = ConfigResource(ResourceType.TOPIC, topic, set_config={"retention.ms": "5400000"})
    ADMIN.alter_configs([resource])[resource].result(10)
    cell.same("as a whole", retention(topic), "5400000")


def partitions():
    topic = create("partitions", 2)
    ADMIN.create_partitions([NewPartitions(topic, 4)])[topic].result(30)
    cell.waited(10, "four partitions", lambda: len(described(topic)) == 4)
    written(producer(), [(topic, 3, None, b"new", {})])
    reader = consumer()
    reader.assign([TopicPartition(topic, 3, 0)])
    cell.same("record", taken(reader, 1)[0].value(), b"new")
    reader.close()


def delete_records():
    topic = create("delete", 1)
    written(producer(), [(topic, 0, None, cell.value(i), {}) for i in range(10)])
    done = ADMIN.delete_records([TopicPartition(topic, 0, 5)])
    cell.same("low watermark", list(done.values())[0].result(30).low_watermark, 5)
    reader = consumer()
    reader.assign([TopicPartition(topic, 0, 0)])
    cell.same("first offset", taken(reader, 1)[0].offset(), 5)
    reader.close()


def shapes():
    topic = create("shapes", 1)
    headers = [("twice", b"one"), ("twice", b"two"), ("bytes", cell.EVERY_BYTE), ("empty", b""), ("null", None)]
    wanted = [
        (b"large", cell.LARGE, None),
        (b"empty", b"", None),
        (b"tombstone", None, None),
        (None, b"no key", None),
        (b"headers", b"v", headers),
    ]
    records = [(topic, 0, key, value, {"headers": h} if h else {}) for key, value, h in wanted]
    written(producer(**{"message.max.bytes": 1_000_000}), records)
    reader = consumer()
    reader.assign([TopicPartition(topic, 0, 0)])
    cell.same("records", [(m.key(), m.value(), m.headers()) for m in taken(reader, 5)], wanted)
    reader.close()


def restart():
    topic = create("restart", 1)
    writer, reader = producer(), consumer(**{"group.id": topic}, **CLASSIC)
    reader.subscribe([topic])
    written(writer, [(topic, 0, None, b"%d" % i, {}) for i in range(100)])
    got = [int(m.value()) for m in taken(reader, 100)]
    reader.commit(asynchronous=False)
    cell.restart_begins()
    for i in range(100, 300):
        writer.produce(topic, b"%d" % i, partition=0)
        writer.poll(0.01)
    cell.same("records left", writer.flush(60), 0)
    got += [int(m.value()) for m in taken(reader, 200, 60)]
    cell.restart_is_over()
    cell.same("records", got, list(range(300)))
    reader.close()


version = f"{confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})"
cell.main(
    "confluent-kafka",
    version,
    {
        "codecs": codecs,
        "assign": assign,
        "group": group,
        "rebalance": lambda: flowing("rebalance", **CLASSIC),
        "new-group": lambda: flowing("new-group", **{"group.protocol": "consumer"}),
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
