"""What the Python programs of the matrix share: records, verdicts, the lines on standard output, the group that flows."""

import sys
import threading
import time

ADDRESS, PREFIX = sys.argv[1:3]
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
LARGE = b"0123456789abcdef" * (900 * 1024 // 16)
EVERY_BYTE = bytes(range(256))
STARTED_MS = int(time.time() * 1000) - 3_600_000

FLOWING = 600
MEMBERS = 3


class Failed(Exception):
    pass


class Lacks(Exception):
    """The client itself cannot do this."""


def lacks(reason):
    def scenario():
        raise Lacks(reason)

    return scenario


def same(what, got, want):
    if got != want:
        raise Failed(f"{what}: {short(got)} instead of {short(want)}")


def short(thing):
    text = repr(thing)
    return text if len(text) < 120 else text[:60] + "…" + text[-50:]


def topic(name):
    return f"{PREFIX}-{name}"


def key(i):
    return b"k-%d" % i


def value(i):
    return b"v-%d " % i * 20


def waited(seconds, what, ready):
    """Asks until the answer is true."""
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s for {what}")
        time.sleep(0.05)
    return found


def restart_begins():
    """The driver kills the broker and starts it again while the program goes on."""
    print("restart", flush=True)


def restart_is_over():
    if sys.stdin.readline().strip() != "restarted":
        raise Failed("the driver did not restart the broker")


class Ledger:
    """What the members of one group saw: each record at least once, none again after its commit."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen, self.committed, self.again = set(), set(), set()

    def receive(self, value):
        with self.lock:
            self.seen.add(value)
            if value in self.committed:
                self.again.add(value)

    def commit(self, value):
        with self.lock:
            self.committed.add(value)

    def verdict(self, total):
        if len(self.seen) < total or self.again:
            raise Failed(f"{total - len(self.seen)} records lost, {len(self.again)} seen again after their commit")


class Member(threading.Thread):
    """One member: `work(self)` runs until `done` is set."""

    def __init__(self, work, ledger):
        super().__init__(daemon=True)
        self.work, self.ledger, self.done, self.error = work, ledger, threading.Event(), None

    def run(self):
        try:
            self.work(self)
        except Exception as error:  # said by who joins
            self.error = error


def flow(send, work):
    """Three members join one after another and the first leaves, while records flow."""
    ledger, members = Ledger(), []
    for i in range(FLOWING):
        if i % (FLOWING // 4) == 0:
            if len(members) < MEMBERS:
                members.append(Member(work, ledger))
                members[-1].start()
            else:
                members[0].done.set()
        send(i)
        time.sleep(0.01)
    deadline = time.monotonic() + 40
    while len(ledger.committed) < FLOWING and time.monotonic() < deadline:
        time.sleep(0.1)
    for member in members:
        member.done.set()
    for member in members:
        member.join(30)
        if member.error:
            raise member.error
    ledger.verdict(FLOWING)


def main(client, version, scenarios):
    print(f"version {client} {version}", flush=True)
    for name in sys.argv[3:] or scenarios:
        try:
            note = scenarios[name]()
            print(f"ok {name} {note or ''}".strip(), flush=True)
        except Lacks as reason:
            print(f"n/a {name} {reason}", flush=True)
        except Exception as error:  # each scenario speaks for itself
            said = " ".join(f"{type(error).__name__}: {error}".removeprefix("Failed: ").split())
            print(f"FAILED {name} {said[:300]}", flush=True)
    sys.stdout.flush()
