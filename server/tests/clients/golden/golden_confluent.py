"""What librdkafka says through the recording proxy: golden_confluent.py HOST:PORT"""

import sys
import time

from confluent_kafka import Consumer, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

STARTED_MS = 1_700_000_000_000
BROKERS = {"bootstrap.servers": sys.argv[1]}
TOPIC = "golden-ck"


def wait(futures):
    for future in futures.values():
        future.result()


admin = AdminClient({**BROKERS, "client.id": "ck"})
wait(admin.create_topics([NewTopic(TOPIC, 2, 1, config={"retention.ms": "3600000"}), NewTopic("gone-ck", 1, 1)]))
time.sleep(1.5)
wait(admin.describe_configs([ConfigResource(ResourceType.TOPIC, TOPIC)]))
change = ConfigEntry("retention.bytes", "100000000", incremental_operation=AlterConfigOpType.SET)
wait(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=[change])]))
admin.describe_cluster().result()
wait(admin.describe_topics(TopicCollection([TOPIC])))
wait(admin.list_offsets({TopicPartition(TOPIC, 0): OffsetSpec.latest()}))

for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    producer = Producer(
        {
            **BROKERS,
            "client.id": f"ck@{codec}",
            "compression.type": codec,
            "enable.idempotence": codec != "gzip",
            "linger.ms": 50,
        }
    )
    for i in range(6):
        producer.produce(
            TOPIC,
            partition=i % 2,
            key=None if i % 3 == 0 else b"key-%d" % i,
            value=None if i == 4 else b"value %d " % i * 20,
            headers=[("h", b"one"), ("h", b""), ("n", None)],
            timestamp=STARTED_MS + i,
        )
    producer.flush()

group = {"group.id": f"golden-ck-{time.time()}", "auto.offset.reset": "earliest"}
consumer = Consumer({**BROKERS, "client.id": "ck", **group})
consumer.subscribe([TOPIC])
read, deadline = 0, time.time() + 15
while read < 30 and time.time() < deadline:
    message = consumer.poll(0.5)
    read += 1 if message and not message.error() else 0
print(read, consumer.offsets_for_times([TopicPartition(TOPIC, 0, STARTED_MS + 2)]))
print(consumer.get_watermark_offsets(TopicPartition(TOPIC, 0)))
consumer.close()

producer = Producer({**BROKERS, "client.id": "ck", "transactional.id": "ck-tx"})
producer.init_transactions()
producer.begin_transaction()
producer.produce(TOPIC, b"tx")
producer.commit_transaction()
wait(admin.delete_topics([TOPIC, "gone-ck"]))
