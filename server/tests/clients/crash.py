"""kill -9 loses nothing that was acknowledged: crash.py BINARY SCRATCH [KILLS] [SEED]

Two librdkafka producers (acks=all, one idempotent, one plain) write without pause while the broker is killed at random
moments, some of them before it is ready again. At the end every acknowledged record must stand at its acknowledged
offset, each partition's offsets must have no gap, an idempotent record must stand exactly once and in the order it was sent.
"""

import os
import random
import shutil
import sys
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from broker import Broker

PARTITIONS = 4
KILLS = int(sys.argv[3]) if len(sys.argv) > 3 else 24
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else random.SystemRandom().randrange(1 << 32)


class Writer(threading.Thread):
    """One producer that never stops; remembers what was acknowledged where."""

    def __init__(self, topic, address, idempotent):
        super().__init__()
        self.topic = topic
        self.sent = [0] * PARTITIONS
        self.acknowledged = [{} for _ in range(PARTITIONS)]  # number in its partition → offset
        self.failed = []
        self.left = None
        self.done = threading.Event()
        self.producer = Producer(
            {
                "bootstrap.servers": address,
                "acks": "all",
                "enable.idempotence": idempotent,
                # Without idempotence a retry may overtake: one request at a time keeps the order.
                "max.in.flight": 5 if idempotent else 1,
                "linger.ms": 1,
                "message.timeout.ms": 300_000,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )

    def run(self):
        try:
            self.write()
        except Exception as error:  # a fatal error of the client is the verdict, not the end of the test's thread
            self.failed.append(str(error))

    def write(self):
        turn = 0
        while not self.done.is_set():
            partition = turn % PARTITIONS
            turn += 1
            number = self.sent[partition]
            try:
                self.producer.produce(
                    self.topic, value(self.topic, partition, number), partition=partition, on_delivery=self.delivered(number)
                )
                self.sent[partition] += 1
            except BufferError:
                self.producer.poll(0.05)
            self.producer.poll(0)
            # Bursts and pauses, so that kills meet full and idle journals.
            if turn % 200 == 0:
                self.producer.poll(0.02)
        self.left = self.producer.flush(120)

    def delivered(self, number):
        def callback(error, message):
            if error is not None:
                self.failed.append(str(error))
            else:
                self.acknowledged[message.partition()][number] = message.offset()

        return callback


def value(topic, partition, number):
    size = (60, 700, 4_000, 20_000)[number % 4] if number % 50 else 200_000
    head = f"{topic} {partition} {number} ".encode()
    return head + random.Random(f"{topic}{partition}{number}").randbytes(64) * (size // 64)


def read_all(address, topic):
    """The numbers of every record, by partition, at consecutive offsets from 0; each value checked to the byte."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "none", "enable.auto.commit": False, "check.crcs": True})
    logs = []
    for partition in range(PARTITIONS):
        at = TopicPartition(topic, partition, 0)
        low, high = consumer.get_watermark_offsets(at, timeout=30)
        assert low == 0, f"{topic}/{partition} starts at {low}"
        consumer.assign([at])
        numbers = []
        while len(numbers) < high:
            messages = consumer.consume(min(1_000, high - len(numbers)), timeout=30)
            assert messages, f"{topic}/{partition}: nothing after offset {len(numbers)} of {high}"
            for message in messages:
                assert not message.error(), message.error()
                assert message.offset() == len(numbers), f"{topic}/{partition}: offset {message.offset()} after {len(numbers) - 1}"
                number = int(message.value()[:60].split(b" ", 3)[2])
                assert message.value() == value(topic, partition, number), f"{topic}/{partition}@{message.offset()} is not what was sent"
                numbers.append(number)
        logs.append(numbers)
    consumer.close()
    return logs


def verify(writer, logs, idempotent):
    for partition, numbers in enumerate(logs):
        where = f"{writer.topic}/{partition}"
        acknowledged = writer.acknowledged[partition]
        for number, offset in acknowledged.items():
            assert offset < len(numbers), f"{where}: acknowledged offset {offset} is gone, the log ends at {len(numbers)}"
            assert numbers[offset] == number, f"{where}: offset {offset} holds {numbers[offset]}, acknowledged was {number}"
        order = [acknowledged[number] for number in sorted(acknowledged)]
        assert order == sorted(set(order)), f"{where}: acknowledged offsets are out of order or given twice"
        if idempotent:
            assert numbers == list(range(len(numbers))), f"{where}: a record is lost, doubled or out of order"
            assert len(numbers) == writer.sent[partition], f"{where}: {len(numbers)} of {writer.sent[partition]} sent"


def main():
    binary, scratch = sys.argv[1:3]
    chance = random.Random(SEED)
    data = os.path.join(scratch, "crash")
    shutil.rmtree(data, ignore_errors=True)
    broker = Broker(binary, data)
    broker.start()
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    topics = {"crash-plain": False, "crash-idempotent": True}
    for created in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
        created.result(30)
    writers = [Writer(topic, broker.address, idempotent) for topic, idempotent in topics.items()]
    for writer in writers:
        writer.start()
    slowest = 0.0
    for kill in range(KILLS):
        time.sleep(chance.uniform(0.05, 1.5))
        broker.kill()
        # Every fourth time again during recovery, before anyone could connect.
        if kill % 4 == 3:
            broker.spawn()
            time.sleep(chance.uniform(0.0, 0.1))
            broker.kill()
        slowest = max(slowest, broker.start())
    time.sleep(1)
    for writer in writers:
        writer.done.set()
    for writer in writers:
        writer.join()
        assert not writer.failed, f"{writer.topic}: {len(writer.failed)} deliveries failed, first: {writer.failed[0]}"
        assert writer.left == 0, f"{writer.topic}: {writer.left} records never answered"
        acknowledged = sum(map(len, writer.acknowledged))
        assert acknowledged > 20 * KILLS, f"{writer.topic}: only {acknowledged} records were acknowledged: the test was idle"
    # Once more, so that what is verified has been through recovery.
    broker.kill()
    broker.start()
    for writer, idempotent in zip(writers, topics.values()):
        logs = read_all(broker.address, writer.topic)
        verify(writer, logs, idempotent)
        total, acknowledged = sum(map(len, logs)), sum(map(len, writer.acknowledged))
        print(f"PASS {writer.topic}: {acknowledged} acknowledged, {total} in the log, {KILLS + 1} kills, slowest start {slowest:.2f} s", flush=True)
    broker.stop()
    shutil.rmtree(data)


try:
    main()
except AssertionError as error:
    print(f"FAIL crash: {error} (seed {SEED})", flush=True)
    os._exit(1)
except Exception as error:
    print(f"FAIL crash: {type(error).__name__}: {error} (seed {SEED})", flush=True)
    os._exit(1)
