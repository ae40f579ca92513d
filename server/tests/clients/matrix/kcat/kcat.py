"""kcat, the program: kcat.py HOST:PORT PREFIX [SCENARIO...]

kcat writes with one set of headers a run, stamps nothing itself, and has no administration beyond making a topic by naming it
(which has two partitions here).
"""

import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "python"))

import cell  # noqa: E402


def kcat(*arguments, stdin=b"", seconds=60):
    done = subprocess.run(["kcat", "-b", cell.ADDRESS, *arguments], input=stdin, capture_output=True, timeout=seconds)
    if done.returncode != 0:
        raise cell.Failed(f"kcat {' '.join(arguments[:4])} exited {done.returncode}: {done.stderr.decode()[-200:]}")
    return done.stdout


def written(topic, partition, lines, *more):
    kcat("-P", "-t", topic, "-p", str(partition), "-X", "enable.idempotence=true", *more, stdin=b"".join(l + b"\n" for l in lines))


def read(topic, partition, *more, form="%s\n"):
    reading = ("-C", "-t", topic, "-p", str(partition), "-e", "-q", "-X", "check.crcs=true", "-f", form)
    return kcat(*reading, *more).splitlines()


def codecs():
    wanted = [b"%s:%s" % (cell.key(i), cell.value(i)) for i in range(200)]
    for codec in cell.CODECS:
        topic = cell.topic(f"codecs-{codec}")
        written(topic, 0, wanted, "-K:", "-X", f"compression.codec={codec}")
        cell.same(codec, read(topic, 0, form="%k:%s\n"), wanted)


def assign():
    topic = cell.topic("assign")
    for partition in (0, 1):
        written(topic, partition, [b"%d" % i for i in range(100)])
    cell.same("from 50", read(topic, 0, "-o", "50", form="%o\n"), [b"%d" % i for i in range(50, 100)])
    cell.same("all", read(topic, 1, "-o", "beginning", form="%o\n"), [b"%d" % i for i in range(100)])


CLASSIC = ("-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=300", "-X", "auto.offset.reset=earliest")


def group():
    topic = cell.topic("group")
    for partition in (0, 1):
        written(topic, partition, [b"%d" % i for i in range(partition, 90, 2)])
    seen = []
    for count in ("45", "45"):
        out = kcat("-G", topic, "-q", "-c", count, "-f", "%s\n", *CLASSIC, topic)
        seen += [int(line) for line in out.split()]
    cell.same("records", sorted(seen), list(range(90)))


class Reader:
    """A kcat that stays: its lines as they come, and what it says beside them."""

    def __init__(self, *arguments):
        command = ["kcat", "-b", cell.ADDRESS, *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines, self.said = [], []
        kept = ((self.process.stdout, self.lines), (self.process.stderr, self.said))
        self.threads = [threading.Thread(target=self._keep, args=pair, daemon=True) for pair in kept]
        for thread in self.threads:
            thread.start()

    def _keep(self, stream, lines):
        for line in stream:
            lines.append(line.strip())

    def assignments(self):
        """The partitions of each assignment that kcat told of."""
        return [re.findall(rb"\[(\d+)\]", line) for line in list(self.said) if b"assigned:" in line]

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        for thread in self.threads:
            thread.join(10)


def writer(topic, *more):
    # -E: kcat ends when no broker is there, unless told to wait.
    command = ["kcat", "-E", "-b", cell.ADDRESS, "-P", "-t", topic, "-X", "enable.idempotence=true", "-X", "linger.ms=1", *more]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)


class Committed(threading.Thread):
    """What a group has committed of a topic's two partitions, asked again and again: kcat commits on its own and does not tell."""

    def __init__(self, topic):
        super().__init__(daemon=True)
        self.now, self.over = {}, threading.Event()
        ask = struct.pack(">hhih", 9, 1, 1, 4) + b"cell" + text(topic) + struct.pack(">i", 1) + text(topic)
        self.ask = ask + struct.pack(">iii", 2, 0, 1)
        host, port = cell.ADDRESS.rsplit(":", 1)
        self.peer = socket.create_connection((host, int(port)), 10)

    def offsets(self):
        """OffsetFetch, version 1."""
        self.peer.sendall(struct.pack(">i", len(self.ask)) + self.ask)
        (size,) = struct.unpack(">i", self.peer.recv(4, socket.MSG_WAITALL))
        answer = self.peer.recv(size, socket.MSG_WAITALL)
        (length,) = struct.unpack_from(">h", answer, 8)
        at, found = 10 + length + 4, {}
        for _ in range(2):
            partition, offset, note = struct.unpack_from(">iqh", answer, at)
            at += 14 + max(note, 0) + 2
            found[partition] = offset
        return found

    def run(self):
        while not self.over.wait(0.02):
            self.now = self.offsets()


def text(name):
    return struct.pack(">h", len(name)) + name.encode()


class Taker:
    """A member: what it reads and what it says stand in one stream, so that their order is known."""

    def __init__(self, topic, committed):
        form = ("-u", "-f", "%p %o %s\n", "-X", "auto.commit.interval.ms=100", *CLASSIC)
        command = ["kcat", "-b", cell.ADDRESS, "-G", topic, *form, topic]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.committed, self.seen, self.again = committed, [], []
        self.thread = threading.Thread(target=self._take, daemon=True)
        self.thread.start()

    def _take(self):
        floor = {}
        for line in self.process.stdout:
            if line.startswith(b"%"):
                # It begins no lower than what was committed before it was given the partition.
                floor = dict(self.committed.now) if b"assigned:" in line else floor
                continue
            partition, offset, value = line.split()
            self.seen.append(value)
            if int(offset) < floor.get(int(partition), 0):
                self.again.append(value)

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.thread.join(10)


def rebalance():
    topic, members = cell.topic("rebalance"), []
    written(topic, 0, [b"0"])
    committed = Committed(topic)
    committed.start()
    sender = writer(topic)
    for i in range(1, cell.FLOWING):
        if i % (cell.FLOWING // 4) == 1:
            if len(members) < cell.MEMBERS:
                members.append(Taker(topic, committed))
            else:
                members[0].close()
        sender.stdin.write(b"%d\n" % i)
        sender.stdin.flush()
        time.sleep(0.01)
    sender.stdin.close()
    cell.same("the writer's exit", sender.wait(30), 0)

    def seen():
        return {value for member in members for value in member.seen}

    try:
        cell.waited(40, "every record", lambda: len(seen()) >= cell.FLOWING)
    except cell.Failed:
        raise cell.Failed(f"{cell.FLOWING - len(seen())} records lost")
    finally:
        for member in members[1:]:
            member.close()
        committed.over.set()
        committed.join(10)
    again = sum(len(member.again) for member in members)
    cell.same("records seen again after their commit", again, 0)
    cell.same("committed at last", sum(committed.offsets().values()), cell.FLOWING)
    return "kcat commits on its own: what was committed is asked of the broker"


def static():
    topic = cell.topic("static")
    written(topic, 0, [b"0"])

    def member(name):
        return Reader("-G", topic, "-X", f"group.instance.id={name}", *CLASSIC, topic)

    def now(reader):
        return reader.assignments()[-1] if reader.assignments() else []

    a, b = member("a"), member("b")
    try:
        cell.waited(30, "both members", lambda: now(a) and now(b) and sorted(now(a) + now(b)) == [b"0", b"1"])
        before, others = now(a), b.assignments()
        a.close()
        a = member("a")
        cell.waited(20, "the member again", lambda: a.assignments())
        time.sleep(1)
        cell.same("its partitions", now(a), before)
        cell.same("the other's assignments", b.assignments(), others)
    finally:
        a.close()
        b.close()


def by_time():
    topic = cell.topic("time")
    for i in range(5):
        written(topic, 0, [b"%d" % i])
        time.sleep(0.05)
    stamps = [int(line) for line in read(topic, 0, "-o", "beginning", form="%T\n")]
    asked = {stamps[0] - 1: "0", stamps[2]: "2", stamps[2] + 1: "3"}
    for at, want in asked.items():
        cell.same(f"offset for {at}", kcat("-Q", "-t", f"{topic}:0:{at}").decode().split()[-1], want)
    cell.same("read from there", read(topic, 0, "-o", f"s@{stamps[2]}")[0], b"2")
    return "five records, 50 ms apart"


def shapes():
    topic = cell.topic("shapes")
    with tempfile.NamedTemporaryFile() as file:
        file.write(cell.LARGE)
        file.flush()
        kcat("-P", "-t", topic, "-p", "0", "-k", "large", "-X", "message.max.bytes=1000000", file.name)
    written(topic, 0, [b"empty:"], "-K:")
    written(topic, 0, [b"tombstone:"], "-K:", "-Z")
    written(topic, 0, [b"v"], "-H", "twice=one", "-H", "twice=two", "-H", "empty=")
    got = read(topic, 0, "-o", "beginning", form="%K %S %k %h\n")
    headers = b"twice=one,twice=two,empty="
    cell.same("sizes", got, [b"5 921600 large ", b"5 0 empty ", b"9 -1 tombstone ", b"-1 1  " + headers])
    return "of the 900 KiB record only the size is looked at"


def restart():
    topic = cell.topic("restart")
    written(topic, 0, [b"%d" % i for i in range(100)])
    reader = Reader("-E", "-C", "-t", topic, "-p", "0", "-q", "-u", "-o", "beginning")
    cell.waited(20, "the first records", lambda: len(reader.lines) == 100)
    sender = writer(topic, "-p", "0")
    cell.restart_begins()
    for i in range(100, 300):
        sender.stdin.write(b"%d\n" % i)
        sender.stdin.flush()
        time.sleep(0.01)
    sender.stdin.close()
    cell.same("the writer's exit", sender.wait(60), 0)
    cell.restart_is_over()
    try:
        cell.waited(60, "the other records", lambda: len(reader.lines) >= 300)
    finally:
        reader.close()
    cell.same("records", reader.lines, [b"%d" % i for i in range(300)])
    return "one reader of one partition, without a group"


version = subprocess.run(["kcat", "-V"], capture_output=True, text=True).stdout
words = version.split("Version", 1)[1].split()
library = version.rsplit("librdkafka", 1)[1].split()[0]
none = cell.lacks("kcat has no command for it")
cell.main(
    "kcat",
    f"{words[0]} (librdkafka {library})",
    {
        "codecs": codecs,
        "assign": assign,
        "group": group,
        "rebalance": rebalance,
        "new-group": cell.lacks("Debian's librdkafka is older than the protocol"),
        "static": static,
        "time": by_time,
        "topics": none,
        "configs": none,
        "partitions": none,
        "delete-records": none,
        "shapes": shapes,
        "restart": restart,
    },
)
