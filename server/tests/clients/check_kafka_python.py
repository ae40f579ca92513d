"""kafka-python: check_kafka_python.py HOST:PORT"""

import sys
import time

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.structs import TopicPartition

import plan

BROKERS = sys.argv[1]


def create(topic):
    admin = KafkaAdminClient(bootstrap_servers=BROKERS)
    admin.create_topics(
        {topic: {"num_partitions": plan.PARTITIONS, "replication_factor": 1}}, wait_for_metadata=True
    )
    admin.close()


def produce(topic, scenario):
    producer = KafkaProducer(
        bootstrap_servers=BROKERS,
        acks="all" if scenario.acks == "all" else int(scenario.acks),
        compression_type=None if scenario.codec == "none" else scenario.codec,
        enable_idempotence=scenario.idempotent,
        # Without idempotence a retry may change the order: one request at a time keeps it.
        max_in_flight_requests_per_connection=5 if scenario.idempotent else 1,
        linger_ms=5,
        batch_size=256 * 1024,
        max_request_size=1024 * 1024,
        max_block_ms=60_000,
    )
    sent = []
    for i in range(plan.PER_SCENARIO):
        r = plan.record(i)
        sent.append(
            producer.send(
                topic, r.value, r.key, list(r.headers), partition=r.partition, timestamp_ms=r.timestamp_ms
            )
        )
    producer.flush(120)
    for i, future in enumerate(sent):
        offset = future.get(60).offset
        if scenario.acks != "0":
            plan.same(f"acknowledged offset of record {i}", offset, i // plan.PARTITIONS)
    producer.close()


def consume(topic):
    consumer = KafkaConsumer(
        bootstrap_servers=BROKERS,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        check_crcs=True,
        max_partition_fetch_bytes=2 * 1024 * 1024,
    )
    partitions = [TopicPartition(topic, p) for p in range(plan.PARTITIONS)]
    consumer.assign(partitions)
    for partition in partitions:
        consumer.seek(partition, 0)
    left = {p: list(enumerate(plan.indices(p.partition))) for p in partitions}
    deadline = time.monotonic() + 120
    while any(left.values()):
        if time.monotonic() > deadline:
            raise plan.Failure(f"waited 120 s, {sum(map(len, left.values()))} records missing")
        for partition, messages in consumer.poll(1000, max_records=1000).items():
            for message in messages:
                if not left[partition]:
                    raise plan.Failure(f"one record too many at offset {message.offset}")
                offset, i = left[partition].pop(0)
                r = plan.record(i)
                plan.same(f"offset of record {i}", message.offset, offset)
                plan.same(f"key of record {i}", message.key, r.key)
                plan.same(f"value of record {i}", message.value, r.value)
                plan.same(f"headers of record {i}", tuple(map(tuple, message.headers)), r.headers)
                plan.same(f"timestamp of record {i}", message.timestamp, r.timestamp_ms)
    plan.same("beginning", consumer.beginning_offsets(partitions), {p: 0 for p in partitions})
    ends = {p: len(plan.indices(p.partition)) for p in partitions}
    plan.same("end", consumer.end_offsets(partitions), ends)
    for partition in partitions:
        for target, expected in plan.times_to_ask(partition.partition):
            found = consumer.offsets_for_times({partition: target})[partition]
            plan.same(f"offset for time {target - plan.STARTED_MS}", found and found.offset, expected)
    consumer.close()


def check(scenario):
    topic = f"kafka-python-{scenario.name}"
    create(topic)
    produce(topic, scenario)
    consume(topic)


sys.exit(plan.run("kafka-python", check))
