"""The services of the shop. Each is a process of its own, started by shop.py:

    services.py order     NAME BROKERS COUNT
    services.py payment   NAME BROKERS
    services.py notify    NAME BROKERS
    services.py analytics NAME BROKERS COUNT

What a service did goes to standard output, one line each, as JSON: its name, the time, and what happened.
"""

import json
import signal
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

TOPIC = "orders"
CUSTOMERS = ["ann", "bob", "cem", "dea", "eli", "fay", "gus", "ida", "jon", "kim", "lea", "max", "noa"]
#: Orders a second: slow enough to watch.
RATE = 30

stopping = False


def stop(*_):
    global stopping
    stopping = True


def say(what, **more):
    print(json.dumps({"service": NAME, "at": time.monotonic(), "what": what, **more}), flush=True)


def order(count):
    """Writes orders. The key is the customer: all orders of a customer go to one partition, in their order."""
    producer = Producer({"bootstrap.servers": BROKERS, "acks": "all", "enable.idempotence": True})

    def written(error, message):
        if error is not None:
            raise KafkaException(error)
        say("written", order=json.loads(message.value())["order"], partition=message.partition(), offset=message.offset())

    due = time.monotonic()
    for number in range(count):
        customer = CUSTOMERS[number * 7 % len(CUSTOMERS)]
        value = {"order": number, "customer": customer, "cents": 250 + number * 37 % 4000}
        producer.produce(TOPIC, key=customer, value=json.dumps(value), on_delivery=written)
        due += 1 / RATE
        while (left := due - time.monotonic()) > 0:
            producer.poll(left)
    assert producer.flush(30) == 0, "the broker did not take every order"


def follow(group, then):
    """Reads the topic as a member of `group`, and commits each order before it takes the next."""
    consumer = Consumer(
        {
            "bootstrap.servers": BROKERS,
            "client.id": NAME,
            "group.id": group,
            # Where a group begins that has committed nothing.
            "auto.offset.reset": "earliest",
            # What was done is said by us, not by a timer.
            "enable.auto.commit": False,
            # How soon the others take over from one that died: the least that brokers allow.
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            # On leaving and joining, partitions that stay where they are are not interrupted.
            "partition.assignment.strategy": "cooperative-sticky",
        }
    )

    # The client adds and takes the partitions itself after each of these.
    def given(_, partitions):
        say("given", partitions=sorted(p.partition for p in partitions))

    def taken(_, partitions):
        say("taken", partitions=sorted(p.partition for p in partitions))

    consumer.subscribe([TOPIC], on_assign=given, on_revoke=taken, on_lost=taken)
    while not stopping:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            # A topic that is being created is one to wait for.
            if message.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            raise KafkaException(message.error())
        found = json.loads(message.value())
        then(found, message)
        try:
            consumer.commit(message, asynchronous=False)
        except KafkaException as error:
            # The group gives partitions out anew. If this one stays here the next commit covers this order; if it
            # goes to another member, that one begins at the last commit and sees the order again.
            say("not committed", order=found["order"], why=error.args[0].name())
            continue
        say("committed", order=found["order"], partition=message.partition(), offset=message.offset())
    consumer.close()


def payment():
    def pay(found, message):
        say("paid", order=found["order"], partition=message.partition(), offset=message.offset(), cents=found["cents"])
        time.sleep(0.01)  # the bank

    follow("payments", pay)


def notify():
    def send(found, message):
        say("mailed", order=found["order"], partition=message.partition(), offset=message.offset())

    follow("notifications", send)


def analytics(count):
    """Comes late, belongs to no group, and reads everything from the start."""
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "unused", "enable.auto.commit": False})
    partitions = consumer.list_topics(TOPIC, 10).topics[TOPIC].partitions
    consumer.assign([TopicPartition(TOPIC, p, OFFSET_BEGINNING) for p in partitions])
    turnover, orders = {}, []
    while len(orders) < count:
        message = consumer.poll(10)
        assert message is not None and not message.error(), f"only {len(orders)} of {count} orders"
        found = json.loads(message.value())
        orders.append(found["order"])
        turnover[found["customer"]] = turnover.get(found["customer"], 0) + found["cents"]
    say("counted", orders=sorted(orders), turnover=turnover)
    consumer.close()


ROLE, NAME, BROKERS = sys.argv[1:4]
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, signal.SIG_IGN)
say("started")
if ROLE in ("order", "analytics"):
    {"order": order, "analytics": analytics}[ROLE](int(sys.argv[4]))
else:
    {"payment": payment, "notify": notify}[ROLE]()
say("ended")
