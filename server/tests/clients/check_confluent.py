"""confluent-kafka (librdkafka): check_confluent.py HOST:PORT"""

import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import plan

BROKERS = sys.argv[1]


def create(topic):
    admin = AdminClient({"bootstrap.servers": BROKERS})
    admin.create_topics([NewTopic(topic, plan.PARTITIONS, 1)])[topic].result(30)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = admin.list_topics(topic, timeout=10).topics[topic]
        if found.error is None and len(found.partitions) == plan.PARTITIONS:
            if all(p.leader >= 0 for p in found.partitions.values()):
                return
        time.sleep(0.1)
    raise plan.Failure(f"{topic} has no leaders")


def produce(topic, scenario):
    failures = []
    offsets = {}

    def delivered(error, message):
        if error is not None:
            failures.append(str(error))
        elif scenario.acks != "0":
            offsets.setdefault(message.partition(), []).append(message.offset())

    producer = Producer(
        {
            "bootstrap.servers": BROKERS,
            "compression.type": scenario.codec,
            "acks": scenario.acks,
            "enable.idempotence": scenario.idempotent,
            "linger.ms": 5,
            "queue.buffering.max.kbytes": 256 * 1024,
        }
    )
    for i in range(plan.PER_SCENARIO):
        r = plan.record(i)
        producer.produce(
            topic, r.value, r.key, r.partition, timestamp=r.timestamp_ms, headers=list(r.headers), on_delivery=delivered
        )
        producer.poll(0)
    plan.same("records left in the queue", producer.flush(120), 0)
    plan.same("deliveries that failed", failures[:3], [])
    for partition, got in offsets.items():
        plan.same(f"acknowledged offsets of partition {partition}", got, list(range(len(plan.indices(partition)))))


def consume(topic):
    consumer = Consumer(
        {
            "bootstrap.servers": BROKERS,
            "group.id": "none",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "check.crcs": True,
            # Answers keep their order: a question asked during a long poll waits for it.
            "fetch.wait.max.ms": 20,
        }
    )
    consumer.assign([TopicPartition(topic, p, 0) for p in range(plan.PARTITIONS)])
    left = {p: list(enumerate(plan.indices(p))) for p in range(plan.PARTITIONS)}
    deadline = time.monotonic() + 120
    while any(left.values()):
        if time.monotonic() > deadline:
            raise plan.Failure(f"waited 120 s, {sum(map(len, left.values()))} records missing")
        for message in consumer.consume(min(1000, sum(map(len, left.values()))), timeout=1):
            if message.error():
                raise plan.Failure(str(message.error()))
            todo = left[message.partition()]
            if not todo:
                raise plan.Failure(f"one record too many at offset {message.offset()}")
            offset, i = todo.pop(0)
            r = plan.record(i)
            plan.same(f"offset of record {i}", message.offset(), offset)
            plan.same(f"key of record {i}", message.key(), r.key)
            plan.same(f"value of record {i}", message.value(), r.value)
            plan.same(f"headers of record {i}", tuple(message.headers() or ()), r.headers)
            plan.same(f"timestamp of record {i}", message.timestamp()[1], r.timestamp_ms)
    for partition in range(plan.PARTITIONS):
        end = len(plan.indices(partition))
        plan.same("watermarks", consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10), (0, end))
        for target, expected in plan.times_to_ask(partition):
            (found,) = consumer.offsets_for_times([TopicPartition(topic, partition, target)], timeout=10)
            # librdkafka says the end of the log where no record is late enough.
            got = None if found.offset in (-1, end) else found.offset
            plan.same(f"offset for time {target - plan.STARTED_MS}", got, expected)
    consumer.close()


def check(scenario):
    topic = f"confluent-{scenario.name}"
    create(topic)
    produce(topic, scenario)
    consume(topic)


sys.exit(plan.run("confluent-kafka", check))
