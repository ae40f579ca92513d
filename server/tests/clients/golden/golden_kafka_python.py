"""What kafka-python says through the recording proxy: golden_kafka_python.py HOST:PORT [BROKER_VERSION...]"""

import sys
import time

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.structs import TopicPartition

STARTED_MS = 1_700_000_000_000


def attempt(what):
    """Some calls do not exist towards old brokers; the rest of the recording goes on."""
    try:
        what()
    except Exception as error:
        print(repr(error)[:200])


def speak(topic, settings):
    admin = KafkaAdminClient(**settings, client_id="kp")
    attempt(lambda: admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"retention.ms": "3600000"})]))
    time.sleep(1)
    named = ConfigResource(ConfigResourceType.TOPIC, topic)
    changed = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "1800000"})
    attempt(lambda: admin.describe_configs([named]))
    attempt(lambda: admin.alter_configs([changed]))
    attempt(admin.describe_cluster)
    attempt(lambda: admin.describe_topics([topic]))
    attempt(admin.list_topics)
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        attempt(lambda: produce(topic, settings, codec))
    consumer = KafkaConsumer(
        topic, **settings, client_id="kp", group_id=topic, auto_offset_reset="earliest", consumer_timeout_ms=6_000
    )
    print(topic, sum(1 for _, _ in zip(range(24), consumer)), "records")
    consumer.commit()
    print(consumer.offsets_for_times({TopicPartition(topic, 0): STARTED_MS + 2}))
    print(consumer.end_offsets([TopicPartition(topic, 0)]))
    consumer.close()
    admin.delete_topics([topic])
    admin.close()


def produce(topic, settings, codec):
    producer = KafkaProducer(**settings, client_id=f"kp@{codec or 'none'}", compression_type=codec, linger_ms=50)
    for i in range(6):
        producer.send(
            topic,
            partition=i % 2,
            key=None if i % 3 == 0 else b"key-%d" % i,
            value=None if i == 4 else b"value %d " % i * 20,
            headers=[("h", b"one"), ("h", b"")],
            timestamp_ms=STARTED_MS + i,
        )
    producer.flush(10)
    producer.close()


for number, version in enumerate([None, *sys.argv[2:]]):
    settings = {"bootstrap_servers": sys.argv[1]}
    if version:
        settings["api_version"] = tuple(map(int, version.split(".")))
    attempt(lambda: speak(f"golden-kp{number}", settings))
