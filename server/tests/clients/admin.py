"""The daily admin calls of real clients: admin.py BINARY SCRATCH [SEED]

Each client creates a topic, describes it, alters settings of it and of the broker, adds partitions and writes to them,
deletes records, and deletes it. Then log starts are raised while the broker is killed at random moments: none that was
answered goes back.
"""

import os
import random
import shutil
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from kafka import KafkaProducer
from kafka.admin import AlterConfigOp, ConfigResourceType, KafkaAdminClient
from kafka.admin import ConfigResource as PythonResource
from kafka.structs import TopicPartition as PythonPartition

from broker import Broker
from verdict import check

BINARY, SCRATCH = sys.argv[1:3]
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
KILLS = 8


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r} instead of {wanted!r}")


def refused(what, code, run):
    try:
        run()
    except KafkaException as error:
        return same(what, error.args[0].name(), code)
    raise AssertionError(f"{what} was not refused with {code}")


def one(futures):
    (future,) = futures.values()
    return future.result(30)


def librdkafka(address):
    admin = AdminClient({"bootstrap.servers": address})
    producer = Producer({"bootstrap.servers": address, "topic.metadata.refresh.interval.ms": 200})
    topic = "daily-librdkafka"
    one(admin.create_topics([NewTopic(topic, 2, 1)], validate_only=True))
    one(admin.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "86400000"})]))
    refused("a second creation", "TOPIC_ALREADY_EXISTS", lambda: one(admin.create_topics([NewTopic(topic, 2, 1)])))

    resource = ConfigResource(ResourceType.TOPIC, topic)
    told = one(admin.describe_configs([resource]))
    same("retention.ms", (told["retention.ms"].value, told["retention.ms"].source), ("86400000", ConfigSource.DYNAMIC_TOPIC_CONFIG.value))
    if len(told) < 35 or not told["retention.ms"].synonyms:
        raise AssertionError(f"only {len(told)} settings are told")

    def incremental(kind, name, *entries):
        one(admin.incremental_alter_configs([ConfigResource(kind, name, incremental_configs=list(entries))]))

    def entry(name, value, op=AlterConfigOpType.SET):
        return ConfigEntry(name, value, incremental_operation=op)

    listed = "leader.replication.throttled.replicas"
    incremental(ResourceType.TOPIC, topic, entry("segment.ms", "60000"), entry(listed, "0:1,1:1", AlterConfigOpType.APPEND))
    incremental(ResourceType.TOPIC, topic, entry(listed, "0:1", AlterConfigOpType.SUBTRACT), entry("retention.ms", None, AlterConfigOpType.DELETE))
    told = one(admin.describe_configs([resource]))
    values = {name: told[name].value for name in ("segment.ms", listed, "retention.ms")}
    same("the settings", values, {"segment.ms": "60000", listed: "1:1", "retention.ms": "604800000"})
    refused("an unknown setting", "INVALID_CONFIG", lambda: incremental(ResourceType.TOPIC, topic, entry("no.such", "1")))
    one(admin.alter_configs([ConfigResource(ResourceType.TOPIC, topic, set_config={"flush.ms": "1000"})]))
    told = one(admin.describe_configs([resource]))
    same("segment.ms, not named when all were replaced", told["segment.ms"].value, "604800000")

    incremental(ResourceType.BROKER, "1", entry("log.retention.ms", "7200000"))
    same("retention.ms by the broker", one(admin.describe_configs([resource]))["retention.ms"].value, "7200000")
    incremental(ResourceType.BROKER, "1", entry("log.retention.ms", None, AlterConfigOpType.DELETE))
    refused("a fixed setting", "INVALID_REQUEST", lambda: incremental(ResourceType.BROKER, "1", entry("node.id", "2")))

    one(admin.create_partitions([NewPartitions(topic, 4)]))
    refused("as many partitions", "INVALID_PARTITIONS", lambda: one(admin.create_partitions([NewPartitions(topic, 4)])))
    offsets = {}
    for i in range(40):
        producer.produce(topic, b"x", partition=i % 4, on_delivery=lambda e, m: offsets.update({m.partition(): (e, m.offset())}))
    same("records left", producer.flush(30), 0)
    same("the last offsets", offsets, {p: (None, 9) for p in range(4)})

    wanted = {0: 4, 1: -1, 3: 10}
    futures = admin.delete_records([TopicPartition(topic, p, o) for p, o in wanted.items()])
    low = {p.partition: f.result(30).low_watermark for p, f in futures.items()}
    same("the low watermarks", low, {0: 4, 1: 10, 3: 10})
    refused("an offset that is not there", "OFFSET_OUT_OF_RANGE", lambda: one(admin.delete_records([TopicPartition(topic, 2, 11)])))
    asked = {TopicPartition(topic, p): OffsetSpec.earliest() for p in range(4)}
    earliest = {p.partition: f.result(30).offset for p, f in admin.list_offsets(asked).items()}
    same("the earliest offsets", earliest, {0: 4, 1: 10, 2: 0, 3: 10})
    consumer = Consumer({"bootstrap.servers": address, "group.id": "x", "auto.offset.reset": "earliest", "enable.partition.eof": True, "log_level": 0})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(4)])
    seen, ends = {}, 0
    while ends < 4:
        message = consumer.poll(30)
        if message.error():
            ends += 1
        else:
            seen.setdefault(message.partition(), []).append(message.offset())
    consumer.close()
    same("what is left", seen, {0: list(range(4, 10)), 2: list(range(10))})
    one(admin.delete_topics([topic]))


def kafka_python(address):
    admin = KafkaAdminClient(bootstrap_servers=address)
    topic = "daily-python"
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    resource = PythonResource(ConfigResourceType.TOPIC, topic)
    everything = admin.describe_configs([resource], include_synonyms=True, config_filter="all")["topic"][topic]
    if len(everything) < 35:
        raise AssertionError(f"only {len(everything)} settings are told")
    changed = PythonResource(ConfigResourceType.TOPIC, topic, {"retention.ms": (AlterConfigOp.SET, "5000000")})
    same("an incremental change", admin.alter_configs([changed]), {"topic": {topic: "OK"}})
    # Replacing all, this client first asks for what is set and sends it along.
    changed = PythonResource(ConfigResourceType.TOPIC, topic, {"segment.ms": "60000"})
    same("a replacement", admin.alter_configs([changed], incremental=False), {"topic": {topic: "OK"}})
    told = admin.describe_configs([resource])["topic"][topic]
    same("what is set", {k: v["value"] for k, v in told.items()}, {"retention.ms": "5000000", "segment.ms": "60000"})
    same("a reset", admin.reset_configs([PythonResource(ConfigResourceType.TOPIC, topic)], incremental=False), {"topic": {topic: "OK"}})
    same("what is set after the reset", admin.describe_configs([resource])["topic"][topic], {})
    resources = admin.list_config_resources()
    same("resources", (resources["broker"], topic in resources["topic"]), (["1"], True))

    admin.create_partitions({topic: 3})
    producer = KafkaProducer(bootstrap_servers=address, metadata_max_age_ms=200)
    for i in range(30):
        same("an offset", producer.send(topic, b"x" * 1000, partition=i % 3).get(30).offset, i // 3)
    producer.close()
    (directory,) = admin.describe_log_dirs({topic: [0, 1, 2]})[0]["log_dirs"]
    sizes = {p["partition_index"]: p["partition_size"] for t in directory["topics"] for p in t["partitions"]}
    if sorted(sizes) != [0, 1, 2] or not all(10_000 < size < 20_000 for size in sizes.values()):
        raise AssertionError(f"sizes {sizes}")
    same("a cordon", directory["is_cordoned"], False)
    if not 0 < directory["usable_bytes"] <= directory["total_bytes"]:
        raise AssertionError(f"volume {directory}")
    answer = admin.delete_records({PythonPartition(topic, 1): 7})
    same("the low watermark", answer[PythonPartition(topic, 1)]["low_watermark"], 7)
    admin.delete_topics([topic])
    admin.close()


def kill_nine(broker):
    """Records are written and deleted while the broker is killed."""
    rng = random.Random(SEED)
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    one(admin.create_topics([NewTopic("killed", 2, 1)]))
    done, promised = threading.Event(), [0, 0]
    answers = 0

    def work():
        nonlocal answers
        producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
        while not done.is_set():
            for partition in (0, 1):
                producer.produce("killed", b"x" * 500, partition=partition)
            producer.flush(0.5)
            for partition in (0, 1):
                try:
                    result = one(admin.delete_records([TopicPartition("killed", partition, -1)], request_timeout=1))
                    promised[partition] = max(promised[partition], result.low_watermark)
                    answers += 1
                except KafkaException:
                    time.sleep(0.02)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.3, 1.2))
        broker.kill()
        told = list(promised)
        broker.start()
        # One that was connected before may not have noticed yet that the broker is back.
        fresh = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        asked = {TopicPartition("killed", p): OffsetSpec.earliest() for p in (0, 1)}
        for at, future in fresh.list_offsets(asked).items():
            if future.result(30).offset < told[at.partition]:
                raise AssertionError(f"partition {at.partition}: {told[at.partition]} was answered, {future.result().offset} is the start")
    done.set()
    worker.join(60)
    if answers < KILLS:
        raise AssertionError(f"only {answers} deletions were answered: nothing was shown")


data = os.path.join(SCRATCH, "admin")
shutil.rmtree(data, ignore_errors=True)
broker = Broker(BINARY, data)
broker.start()
passed = [
    check("admin_librdkafka", lambda: librdkafka(broker.address), SEED),
    check("admin_kafka_python", lambda: kafka_python(broker.address), SEED),
    check("admin_kill_nine", lambda: kill_nine(broker), SEED),
]
broker.stop()
shutil.rmtree(data, ignore_errors=True)
sys.exit(not all(passed))
