"""Consumer groups of real clients: groups.py BINARY SCRATCH [SEED]

Three members come and go while records flow: nothing is lost, and nothing is seen twice once it was committed. Then ten
groups commit while the broker is killed at random moments: every commit that was acknowledged is found again.
"""

import os
import random
import shutil
import sys
import threading
import time
from collections import Counter

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from kafka import KafkaConsumer

from broker import Broker
from member import Member, create
from verdict import check

BINARY, SCRATCH = sys.argv[1:3]
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
PARTITIONS = 6
RECORDS = 600
GROUPS = 10
KILLS = 6


# Short sessions, so that a member that left is missed soon.
SESSION_MS, HEARTBEAT_MS = 6000, 300


def librdkafka(strategy):
    settings = {
        "partition.assignment.strategy": strategy,
        "session.timeout.ms": SESSION_MS,
        "heartbeat.interval.ms": HEARTBEAT_MS,
    }
    return lambda address, group, topic, seen: Member(address, group, [topic], seen, settings)


class KafkaPython(threading.Thread):
    """The same with kafka-python and its default assignor."""

    def __init__(self, address, group, topic, seen):
        super().__init__(daemon=True)
        self.seen, self.done = seen, threading.Event()
        self.consumer = KafkaConsumer(
            topic,
            bootstrap_servers=address,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_records=1,
        )

    def run(self):
        while not self.done.is_set():
            for records in self.consumer.poll(timeout_ms=100).values():
                for record in records:
                    try:
                        self.consumer.commit()
                        self.seen.append(record.value)
                    except Exception:
                        pass
        self.consumer.close()


def rebalance(address, name, member):
    """Members join one after another and one leaves, while records flow."""
    topic, group = f"flow-{name}", f"group-{name}"
    create(address, topic, PARTITIONS)
    seen, members = [], []
    producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 1})
    for i in range(RECORDS):
        if i % (RECORDS // 4) == 0:
            if len(members) < 3:
                members.append(member(address, group, topic, seen))
                members[-1].start()
            else:
                members[0].done.set()
        producer.produce(topic, str(i).encode(), partition=i % PARTITIONS)
        producer.poll(0.01)
    if producer.flush(30):
        raise AssertionError("records were not acknowledged")
    deadline = time.monotonic() + 60
    while len(set(seen)) < RECORDS and time.monotonic() < deadline:
        time.sleep(0.1)
    for one in members:
        one.done.set()
        one.join(30)
    lost = RECORDS - len(set(seen))
    twice = [value for value, times in Counter(seen).items() if times > 1]
    if lost or twice:
        raise AssertionError(f"{lost} records lost, {len(twice)} seen twice after their commit")


def crash(broker):
    """Groups commit while the broker is killed."""
    rng = random.Random(SEED)
    create(broker.address, "crash", PARTITIONS)
    done = threading.Event()
    acknowledged = [[0] * PARTITIONS for _ in range(GROUPS)]

    def commit(index):
        consumer = Consumer(
            {"bootstrap.servers": broker.address, "group.id": f"crash-{index}", "enable.auto.commit": False, "log_level": 0}
        )
        offset = 0
        while not done.is_set():
            offset += 1
            partition = offset % PARTITIONS
            try:
                consumer.commit(offsets=[TopicPartition("crash", partition, offset)], asynchronous=False)
                acknowledged[index][partition] = offset
            except KafkaException:
                time.sleep(0.05)
        consumer.close()

    threads = [threading.Thread(target=commit, args=(i,)) for i in range(GROUPS)]
    for thread in threads:
        thread.start()
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.3, 1.5))
        broker.kill()
        broker.start()
    time.sleep(1)
    done.set()
    for thread in threads:
        thread.join(60)
    broker.kill()
    broker.start()
    commits = 0
    for index in range(GROUPS):
        consumer = Consumer({"bootstrap.servers": broker.address, "group.id": f"crash-{index}", "log_level": 0})
        wanted = [TopicPartition("crash", p) for p in range(PARTITIONS)]
        for found in consumer.committed(wanted, timeout=30):
            told = acknowledged[index][found.partition]
            commits += told > 0
            if found.offset < told:
                raise AssertionError(f"group {index}, partition {found.partition}: {told} was acknowledged, {found.offset} is there")
        consumer.close()
    if commits < GROUPS * PARTITIONS // 2:
        raise AssertionError(f"only {commits} partitions were ever committed: nothing was shown")


data = os.path.join(SCRATCH, "groups")
shutil.rmtree(data, ignore_errors=True)
broker = Broker(BINARY, data, settings=["group.initial.rebalance.delay.ms=200"])
broker.start()
passed = [
    check("groups_librdkafka_eager", lambda: rebalance(broker.address, "range", librdkafka("range")), SEED),
    check("groups_librdkafka_cooperative", lambda: rebalance(broker.address, "coop", librdkafka("cooperative-sticky")), SEED),
    check("groups_kafka_python", lambda: rebalance(broker.address, "python", KafkaPython), SEED),
    check("groups_kill_nine", lambda: crash(broker), SEED),
]
broker.stop()
shutil.rmtree(data, ignore_errors=True)
sys.exit(not all(passed))
