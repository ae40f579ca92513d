"""The new group protocol (KIP-848) with librdkafka: consumer_groups.py BINARY SCRATCH [SEED]

Three members come, leave and die while records flow, by name and by pattern, with either assignor, while the broker is
killed: nothing is lost, and nothing is seen twice once it was committed. Members may change between the protocols.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from broker import Broker
from member import Member, create
from verdict import check

IS_MEMBER = sys.argv[1:2] == ["--member"]
if not IS_MEMBER:
    BINARY, SCRATCH = sys.argv[1:3]
    SEED = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
PARTITIONS = 6
RECORDS = 1500


def newcomer(address, group, topics, seen, **settings):
    """One of the new protocol; a setting may say otherwise."""
    wanted = {"group.protocol": "consumer", "topic.metadata.refresh.interval.ms": 1000} | settings
    return Member(address, group, topics, seen, wanted)


class Mortal:
    """A member in a process of its own, which can be killed. What it was about to commit then is in doubt."""

    def __init__(self, address, group, topic, seen):
        self.seen, self.doubt, self.errors, self.done = seen, set(), [], threading.Event()
        command = [sys.executable, __file__, "--member", address, group, topic]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.reader = threading.Thread(target=self.read, daemon=True)

    def start(self):
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            mark, value = line[:1], line[1:].strip()
            if mark == b"?":
                self.doubt.add(value)
            else:
                self.doubt.discard(value)
                if mark == b"!":
                    self.seen.append(value)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def join(self, seconds):
        self.kill()
        self.reader.join(seconds)


def mortal_member(address, group, topic):
    """The process of a `Mortal`: says what it is about to commit (?), and that it did (!) or did not (-)."""
    say = lambda mark, value: os.write(1, mark + value + b"\n")

    class Told(list):
        def append(self, value):
            say(b"!", value)

    member = newcomer(address, group, [topic], Told())
    commit = member.consumer.commit

    class Telling:
        def __getattr__(self, name):
            return getattr(member_consumer, name)

        def commit(self, message, **options):
            say(b"?", message.value())
            try:
                return commit(message, **options)
            except KafkaException:
                say(b"-", message.value())
                raise

    member_consumer = member.consumer
    member.consumer = Telling()
    member.run()


def wait_until(what, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


def finish(members, seen, records):
    doubt = lambda: set().union(*(getattr(m, "doubt", ()) for m in members))
    try:
        wait_until(f"all {records} records", lambda: len(set(seen) | doubt()) >= records, 90)
    except AssertionError as error:
        raise AssertionError(f"{error}: {len(set(seen))} were seen; fatal: {[m.errors for m in members]}") from None
    finally:
        for member in members:
            member.done.set()
        for member in members:
            member.join(30)
    twice = [value for value, times in Counter(seen).items() if times > 1]
    if len(doubt()) > 1:
        raise AssertionError(f"{len(doubt())} records in doubt: only one commit can be under way")
    if twice:
        raise AssertionError(f"{len(twice)} records seen twice after their commit")
    fatal = [error for member in members for error in member.errors]
    if fatal:
        raise AssertionError(f"a member gave up: {fatal}")


def rebalance(broker, topic, subscription=None, assignor=None, kill=False, restart=False):
    """Three members; one leaves, one may die, the broker may be killed, while records flow."""
    create(broker.address, topic, PARTITIONS)
    group, seen = f"group-{topic}", []
    extra = {"group.remote.assignor": assignor}
    new = lambda: newcomer(broker.address, group, [subscription or topic], seen, **extra)
    members = [new()]
    members[0].start()
    # Idempotent: one that is not sends a record again whose acknowledgement the killed broker took along, and stores it twice.
    producer = Producer({"bootstrap.servers": broker.address, "enable.idempotence": True, "log_level": 0})
    for i in range(RECORDS):
        if i == RECORDS // 6 or i == RECORDS // 3:
            dies = kill and len(members) == 1
            members.append(Mortal(broker.address, group, topic, seen) if dies else new())
            members[-1].start()
        if i == RECORDS // 2:
            members[0].done.set()
        if restart and i == RECORDS * 2 // 3:
            broker.kill()
            broker.start()
        if kill and i == RECORDS * 3 // 4:
            members[1].kill()
        while True:
            try:
                producer.produce(topic, str(i).encode(), partition=i % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0.005)
    if producer.flush(60):
        raise AssertionError("records were not acknowledged")
    finish(members, seen, RECORDS)


def grows(broker):
    """A pattern takes in a topic that is created later, and one that does not match it not."""
    create(broker.address, "grow-a", PARTITIONS)
    seen = []
    member = newcomer(broker.address, "group-grow", ["^grow-.*"], seen)
    member.start()
    producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
    producer.produce("grow-a", b"a")
    producer.flush(30)
    wait_until("the first topic", lambda: b"a" in seen)
    create(broker.address, "grow-b", PARTITIONS)
    create(broker.address, "other-grow-", PARTITIONS)
    producer.produce("other-grow-", b"other")
    producer.produce("grow-b", b"b")
    producer.flush(30)
    wait_until("the topic that was created later", lambda: b"b" in seen)
    member.done.set()
    member.join(30)
    if b"other" in seen:
        raise AssertionError("the pattern has to match the whole name")


def static(broker):
    """A static member that comes back has its partitions at once, and nobody else moves."""
    create(broker.address, "static", PARTITIONS)
    client = AdminClient({"bootstrap.servers": broker.address})

    def parts():
        """What the members have, by instance: (member id, partitions)."""
        group = client.describe_consumer_groups(["group-static"])["group-static"].result(30)
        owned = lambda m: sorted(p.partition for p in m.assignment.topic_partitions)
        return {m.group_instance_id: (m.member_id, owned(m)) for m in group.members}

    names = ["static-1", "static-2"]
    new = lambda name: newcomer(broker.address, "group-static", ["static"], [], **{"group.instance.id": name})
    members = [new(name) for name in names]
    for member in members:
        member.start()
    settled = lambda: [len(owned) for _, owned in parts().values()] == [PARTITIONS // 2] * 2
    wait_until("both members", settled)
    before = parts()
    members[0].done.set()
    members[0].join(30)
    if parts() != before:
        raise AssertionError(f"{before} became {parts()} when a static member left for a while")
    back = new(names[0])
    back.start()
    wait_until("the member that is back", lambda: parts()[names[0]][0] != before[names[0]][0], 20)
    after = parts()
    for member in [members[1], back]:
        member.done.set()
        member.join(30)
    if (before[names[0]][1], before[names[1]]) != (after[names[0]][1], after[names[1]]):
        raise AssertionError(f"it was {before} and is {after}")


def migrates(broker):
    """A classic group becomes one of the new protocol, member by member, and classic again; records flow."""
    create(broker.address, "migrates", PARTITIONS)
    group, seen = "group-migrates", []
    old = {"group.protocol": "classic", "partition.assignment.strategy": "cooperative-sticky"}
    old.update({"session.timeout.ms": 6000, "heartbeat.interval.ms": 300})
    new = lambda **extra: newcomer(broker.address, group, ["migrates"], seen, **extra)
    client = AdminClient({"bootstrap.servers": broker.address})
    kind = lambda: {g.group_id: g for g in client.list_consumer_groups().result(30).valid}[group].type.name
    members, kinds = [new(**old), new(**old)], []
    for member in members:
        member.start()
    producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
    steps = {
        300: lambda: members.append(new()),  # the first of the new protocol: the group is upgraded
        600: lambda: members[0].done.set(),
        700: lambda: kinds.append(kind()),
        800: lambda: members[2].done.set(),  # the last of the new protocol: the group is classic again
        1200: lambda: kinds.append(kind()),
    }
    for i in range(RECORDS):
        if i in steps:
            before = len(members)
            steps[i]()
            for member in members[before:]:
                member.start()
        producer.produce("migrates", str(i).encode(), partition=i % PARTITIONS)
        producer.poll(0.01)
    if producer.flush(60):
        raise AssertionError("records were not acknowledged")
    finish(members, seen, RECORDS)
    if kinds != ["CONSUMER", "CLASSIC"]:
        raise AssertionError(f"the group was {kinds}")


def admin(broker):
    """What an admin sees of a group: listed, described, its offsets; deleted when it is empty."""
    create(broker.address, "admin", PARTITIONS)
    seen = []
    member = newcomer(broker.address, "group-admin", ["admin"], seen)
    member.start()
    producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
    producer.produce("admin", b"x", partition=0)
    producer.flush(30)
    wait_until("a record", lambda: seen)
    client = AdminClient({"bootstrap.servers": broker.address})
    listed = {g.group_id: g for g in client.list_consumer_groups().result(30).valid}["group-admin"]
    described = client.describe_consumer_groups(["group-admin"])["group-admin"].result(30)
    found = (listed.type.name, listed.state.name, described.state.name, described.partition_assignor, len(described.members))
    if found != ("CONSUMER", "STABLE", "STABLE", "uniform", 1):
        raise AssertionError(f"an admin sees {found}")
    if len(described.members[0].assignment.topic_partitions) != PARTITIONS:
        raise AssertionError("an admin does not see the assignment")
    member.done.set()
    member.join(30)
    asked = [ConsumerGroupTopicPartitions("group-admin")]
    offsets = client.list_consumer_group_offsets(asked)["group-admin"].result(30).topic_partitions
    if [(p.topic, p.partition, p.offset) for p in offsets] != [("admin", 0, 1)]:
        raise AssertionError(f"the offsets are {offsets}")
    client.delete_consumer_groups(["group-admin"])["group-admin"].result(30)


if IS_MEMBER:
    mortal_member(*sys.argv[2:])
    sys.exit()
data = os.path.join(SCRATCH, "consumer_groups")
shutil.rmtree(data, ignore_errors=True)
# Short sessions, so that a member that died is missed before the check is over.
SETTINGS = [
    "group.consumer.min.session.timeout.ms=3000",
    "group.consumer.session.timeout.ms=5000",
    "group.consumer.min.heartbeat.interval.ms=200",
    "group.consumer.heartbeat.interval.ms=500",
    "group.initial.rebalance.delay.ms=200",
]
broker = Broker(BINARY, data, settings=SETTINGS)
broker.start()
checks = {
    "uniform": lambda: rebalance(broker, "uniform"),
    "range": lambda: rebalance(broker, "range", assignor="range"),
    "pattern": lambda: rebalance(broker, "pattern-x", subscription="^pattern-.*"),
    "member_dies": lambda: rebalance(broker, "dies", kill=True),
    "broker_dies": lambda: rebalance(broker, "restart", kill=True, restart=True),
    "pattern_grows": lambda: grows(broker),
    "migrates": lambda: migrates(broker),
    "static_member": lambda: static(broker),
    "admin": lambda: admin(broker),
}
wanted = os.environ.get("ONLY", "").split() or list(checks)
passed = [check(f"consumer_groups_{name}", checks[name], SEED) for name in wanted]
broker.stop()
shutil.rmtree(data, ignore_errors=True)
sys.exit(not all(passed))
