"""aiokafka: aio_kafka.py HOST:PORT PREFIX [SCENARIO...]"""

import asyncio
import time
from contextlib import asynccontextmanager

import aiokafka
import cell
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

CLASSIC = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 300}


@asynccontextmanager
async def started(client):
    await client.start()
    try:
        yield client
    finally:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())


def admin():
    return started(AIOKafkaAdminClient(bootstrap_servers=cell.ADDRESS))


def producer(**more):
    settings = {"bootstrap_servers": cell.ADDRESS, "enable_idempotence": True}
    return started(AIOKafkaProducer(**settings | more))


def consumer(*topics, **more):
    settings = {"bootstrap_servers": cell.ADDRESS, "enable_auto_commit": False, "auto_offset_reset": "earliest"}
    return started(AIOKafkaConsumer(*topics, **settings | more))


@asynccontextmanager
async def reading(topic, offsets):
    async with consumer() as reader:
        reader.assign([TopicPartition(topic, p) for p in offsets])
        for p, offset in offsets.items():
            reader.seek(TopicPartition(topic, p), offset)
        yield reader


async def create(name, partitions, configs=None):
    topic = cell.topic(name)
    async with admin() as client:
        answer = await client.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs or {})])
        cell.same("creation", [error[1] for error in answer.topic_errors], [0])
        for _ in range(200):
            found = (await client.describe_topics([topic]))[0]
            if sum(p["leader"] >= 0 for p in found["partitions"]) == partitions:
                return topic
            await asyncio.sleep(0.05)
    raise cell.Failed(f"{topic} has no leaders")


async def written(writer, records):
    for sent in [await writer.send(topic, value, key, partition=p, **more) for topic, p, key, value, more in records]:
        await sent


async def taken(reader, count, seconds=30):
    messages, deadline = [], time.monotonic() + seconds
    while len(messages) < count:
        if time.monotonic() > deadline:
            raise cell.Failed(f"{len(messages)} of {count} records in {seconds} s")
        for some in (await reader.getmany(timeout_ms=200, max_records=count - len(messages))).values():
            messages += some
    return messages


async def codecs():
    for codec in cell.CODECS:
        topic = await create(f"codecs-{codec}", 1)
        wanted = [(cell.key(i), cell.value(i)) for i in range(200)]
        async with producer(compression_type=None if codec == "none" else codec) as writer:
            await written(writer, [(topic, 0, k, v, {}) for k, v in wanted])
        async with reading(topic, {0: 0}) as reader:
            cell.same(codec, [(m.key, m.value) for m in await taken(reader, 200)], wanted)


async def assign():
    topic = await create("assign", 2)
    async with producer() as writer:
        await written(writer, [(topic, i % 2, None, cell.value(i), {}) for i in range(200)])
    async with reading(topic, {0: 50, 1: 0}) as reader:
        got = {0: [], 1: []}
        for message in await taken(reader, 150):
            got[message.partition].append(message.offset)
        cell.same("offsets", got, {0: list(range(50, 100)), 1: list(range(100))})
        first = TopicPartition(topic, 0)
        cell.same("beginning", await reader.beginning_offsets([first]), {first: 0})
        cell.same("end", await reader.end_offsets([first]), {first: 100})


async def group():
    topic = await create("group", 3)
    async with producer() as writer:
        await written(writer, [(topic, i % 3, None, b"%d" % i, {}) for i in range(90)])
    seen = []
    for _ in range(2):
        async with consumer(topic, group_id=topic) as reader:
            for _ in range(45):
                seen.append(int((await taken(reader, 1))[0].value))
                await reader.commit()
    cell.same("records", sorted(seen), list(range(90)))


async def member_of(topic, member):
    async with consumer(topic, group_id=topic, **CLASSIC) as reader:
        while not member.done.is_set():
            for partition, records in (await reader.getmany(timeout_ms=100, max_records=1)).items():
                for record in records:
                    member.ledger.receive(record.value)
                    try:
                        await reader.commit({partition: record.offset + 1})
                        member.ledger.commit(record.value)
                    except KafkaError:
                        if partition in reader.assignment():
                            reader.seek(partition, record.offset)


async def rebalance():
    topic = await create("rebalance", 6)
    async with producer() as writer:
        loop = asyncio.get_running_loop()

        def send(i):
            asyncio.run_coroutine_threadsafe(writer.send(topic, b"%d" % i, partition=i % 6), loop).result(30)

        # Each member has a thread and a loop of its own; this loop goes on sending.
        await asyncio.to_thread(cell.flow, send, lambda member: asyncio.run(member_of(topic, member)))


async def static():
    topic = await create("static", 4)

    class Listener(ConsumerRebalanceListener):
        def __init__(self):
            self.assignments = []

        async def on_partitions_revoked(self, revoked):
            pass

        async def on_partitions_assigned(self, assigned):
            self.assignments.append(sorted(p.partition for p in assigned))

    told = {"a": Listener(), "b": Listener()}

    async def member(name):
        reader = AIOKafkaConsumer(
            bootstrap_servers=cell.ADDRESS, group_id=topic, group_instance_id=name, enable_auto_commit=False, **CLASSIC
        )
        reader.subscribe([topic], listener=told[name])
        await reader.start()
        return reader

    def now(name):
        return told[name].assignments[-1] if told[name].assignments else []

    async def until(what, ready):
        for _ in range(600):
            if ready():
                return
            await asyncio.sleep(0.05)
        raise cell.Failed(f"waited 30 s for {what}")

    a, b = await asyncio.gather(member("a"), member("b"))
    await until("both members", lambda: now("a") and now("b") and sorted(now("a") + now("b")) == [0, 1, 2, 3])
    before = {name: list(listener.assignments) for name, listener in told.items()}
    await a.stop()
    a = await member("a")
    await until("the member again", lambda: len(told["a"].assignments) > len(before["a"]))
    await asyncio.sleep(1)
    cell.same("its partitions", now("a"), before["a"][-1])
    cell.same("the other's assignments", told["b"].assignments, before["b"])
    await a.stop()
    await b.stop()


async def by_time():
    topic = await create("time", 1)
    async with producer() as writer:
        stamped = [(topic, 0, None, cell.value(i), {"timestamp_ms": cell.STARTED_MS + i * 1000}) for i in range(100)]
        await written(writer, stamped)
    partition = TopicPartition(topic, 0)
    async with reading(topic, {0: 0}) as reader:
        asked = [cell.STARTED_MS + t for t in (-1, 41_500, 200_000)]
        found = [(await reader.offsets_for_times({partition: at}))[partition] for at in asked]
        cell.same("offsets", [f and f.offset for f in found], [0, 42, None])
        reader.seek(partition, found[1].offset)
        cell.same("first record", (await taken(reader, 1))[0].value, cell.value(42))


async def topics():
    topic = await create("topics", 3, {"retention.ms": "3600000"})
    async with admin() as client:
        cell.same("listed", topic in await client.list_topics(), True)
        again = await client.create_topics([NewTopic(topic, 3, 1)])
        cell.same("second creation", again.topic_errors[0][1], TopicAlreadyExistsError.errno)
        await client.delete_topics([topic])
        for _ in range(100):
            if topic not in await client.list_topics():
                return
            await asyncio.sleep(0.1)
    raise cell.Failed("the topic is still there after 10 s")


async def configs():
    topic = await create("configs", 1, {"retention.ms": "3600000"})
    async with admin() as client:

        async def retention():
            answers = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            (resource,) = answers[0].resources
            cell.same("description", resource[0], 0)
            return next(entry[1] for entry in resource[4] if entry[0] == "retention.ms")

        cell.same("at first", await retention(), "3600000")
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "7200000"})
        answers = await client.alter_configs([resource])
        cell.same("alteration", [r[0] for answer in answers for r in answer.resources], [0])
        cell.same("afterwards", await retention(), "7200000")


async def partitions():
    topic = await create("partitions", 2)
    async with admin() as client:
        answer = await client.create_partitions({topic: NewPartitions(4)})
        cell.same("growth", [error[1] for error in answer.topic_errors], [0])
        for _ in range(200):
            if len((await client.describe_topics([topic]))[0]["partitions"]) == 4:
                break
            await asyncio.sleep(0.05)
    async with producer() as writer:
        await written(writer, [(topic, 3, None, b"new", {})])
    async with reading(topic, {3: 0}) as reader:
        cell.same("record", (await taken(reader, 1))[0].value, b"new")


async def delete_records():
    topic = await create("delete", 1)
    async with producer() as writer:
        await written(writer, [(topic, 0, None, cell.value(i), {}) for i in range(10)])
    partition = TopicPartition(topic, 0)
    async with admin() as client:
        done = await client.delete_records({partition: RecordsToDelete(before_offset=5)})
        cell.same("low watermark", done[partition], 5)
    async with reading(topic, {0: 0}) as reader:
        cell.same("first offset", (await taken(reader, 1))[0].offset, 5)


async def shapes():
    topic = await create("shapes", 1)
    headers = (("twice", b"one"), ("twice", b"two"), ("bytes", cell.EVERY_BYTE), ("empty", b""))
    wanted = [
        (b"large", cell.LARGE, ()),
        (b"empty", b"", ()),
        (b"tombstone", None, ()),
        (None, b"no key", ()),
        (b"headers", b"v", headers),
    ]
    async with producer() as writer:
        await written(writer, [(topic, 0, key, value, {"headers": list(h)}) for key, value, h in wanted])
    async with reading(topic, {0: 0}) as reader:
        got = [(m.key, m.value, tuple(m.headers)) for m in await taken(reader, 5)]
        cell.same("records", got, wanted)


async def restart():
    topic = await create("restart", 1)
    async with producer() as writer, consumer(topic, group_id=topic, **CLASSIC) as reader:
        await written(writer, [(topic, 0, None, b"%d" % i, {}) for i in range(100)])
        got = [int(m.value) for m in await taken(reader, 100)]
        await reader.commit()
        cell.restart_begins()
        sent = []
        for i in range(100, 300):
            sent.append(await writer.send(topic, b"%d" % i, partition=0))
            await asyncio.sleep(0.01)
        await asyncio.wait_for(asyncio.gather(*sent), 60)
        got += [int(m.value) for m in await taken(reader, 200, 60)]
        cell.restart_is_over()
        cell.same("records", got, list(range(300)))


SCENARIOS = {
    "codecs": codecs,
    "assign": assign,
    "group": group,
    "rebalance": rebalance,
    "static": static,
    "time": by_time,
    "topics": topics,
    "configs": configs,
    "partitions": partitions,
    "delete-records": delete_records,
    "shapes": shapes,
    "restart": restart,
}
running = {name: lambda scenario=scenario: asyncio.run(scenario()) for name, scenario in SCENARIOS.items()}
running["new-group"] = cell.lacks("the client speaks the classic protocol alone")
cell.main("aiokafka", aiokafka.__version__, running)
