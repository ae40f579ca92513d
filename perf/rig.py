"""What the measurements in this folder share: the binary, the machine, a broker as a child process, and how figures are printed.

Standard library only. A measurement cleans up whatever ends it: its broker is killed and its data removed.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIB = 1 << 20
GIB = 1 << 30
READY = "ready BROKERS="
READY_SECONDS_MAX = 120


def arguments(about, **numbers):
    """Parses the options that every measurement has, and its own numbers with their defaults."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--binary", help="ringlog to measure [default: a release build of this tree]")
    parser.add_argument("--data", default=os.path.join(ROOT, "perf", "data"), help="where data goes; on a real disk")
    for name, default in numbers.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default, help=f"[default: {default}]")
    options = parser.parse_args()
    options.binary = options.binary or build()
    os.makedirs(options.data, exist_ok=True)
    return options


def build():
    subprocess.run(["cargo", "build", "--release", "--locked", "-q", "-p", "tools"], cwd=ROOT, check=True)
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "ringlog")


def refuse(sentence):
    print(sentence, file=sys.stderr)
    sys.exit(3)


def needs_room(directory, count):
    free = shutil.disk_usage(directory).free
    if free < count + 2 * GIB:
        refuse(f"{directory} has {free / GIB:.1f} GiB free and this needs {count / GIB:.1f} GiB and 2 more: choose another disk with --data")


@contextlib.contextmanager
def scratch(parent):
    """A directory that is gone afterwards."""
    path = tempfile.mkdtemp(prefix="measure-", dir=parent)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _first(path, default="unknown"):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip() or default
    except OSError:
        return default


def machine(directory):
    """One paragraph on what this ran on."""
    cpu = next((l.split(":", 1)[1].strip() for l in _first("/proc/cpuinfo", "").splitlines() if l.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    device, filesystem, cache = "unknown", "unknown", "unknown"
    number = os.stat(directory).st_dev
    number = f"{os.major(number)}:{os.minor(number)}"
    for line in _first("/proc/self/mountinfo", "").splitlines():
        left, right = line.split(" - ", 1)
        if left.split()[2] == number:
            filesystem, device = right.split()[:2]
    for queue in (f"/sys/dev/block/{number}/queue", f"/sys/dev/block/{number}/../queue"):
        cache = _first(f"{queue}/write_cache", cache)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return (
        f"date     {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, commit {commit or 'unknown'}\n"
        f"machine  {cpu}, {os.cpu_count()} CPUs, {memory / GIB:.0f} GiB, Linux {platform.release()}\n"
        f"disk     {device} ({filesystem}, write cache: {cache})\n"
        f"load     {os.getloadavg()[0]:.2f} over the last minute before the start"
    )


def head(title, options, durability):
    print(f"== {title}\n{machine(options.data)}\nmode     {durability}", flush=True)


def summary(values, unit, digits=1):
    ordered = sorted(values)
    text = f"median {statistics.median(ordered):.{digits}f} {unit}"
    return f"{text} of {len(ordered)} ({ordered[0]:.{digits}f} to {ordered[-1]:.{digits}f})"


# Fewer pairs carry no interval; the draws of a bootstrap and their seed.
PAIRS_MIN, DRAWS, SEED = 5, 10_000, 1


def times(pairs):
    """How many times the second of a pair is the first: the median over pairs with its 95 % interval, and the same in words."""
    ratios = sorted(second / first for first, second in pairs)
    middle = statistics.median(ratios)
    if len(ratios) < PAIRS_MIN:
        return middle, f"{middle:.2f} of {len(ratios)} pairs ({ratios[0]:.2f} to {ratios[-1]:.2f}); an interval needs {PAIRS_MIN}"
    chance = random.Random(SEED)
    drawn = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(DRAWS))
    low, high = drawn[int(DRAWS * 0.025)], drawn[int(DRAWS * 0.975) - 1]
    return middle, f"{middle:.2f} ({low:.2f} to {high:.2f}, 95 % over {len(ratios)} pairs)"


class Broker:
    """`ringlog serve` on a directory. `ready_s` is the time from its start to its ready line."""

    def __init__(self, binary, data, *arguments):
        command = [binary, "serve", "--data", data, "--listen", "127.0.0.1:0", *arguments]
        self.log_path = data.rstrip("/") + ".log"
        with open(self.log_path, "ab") as log:
            began = time.monotonic()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
            line = self.process.stdout.readline()
            self.ready_s = time.monotonic() - began
        if not line.startswith(READY):
            self.kill()
            raise RuntimeError(f"the broker said {line!r}: {_first(self.log_path)[-500:]}")
        self.address = line[len(READY) :].split()[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def cpu_s(self):
        """CPU time of all its threads so far."""
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            total += int(_first(f"/proc/{self.process.pid}/task/{task}/schedstat", "0").split()[0])
        return total / 1e9

    def bytes_read(self):
        """Bytes that it has caused to be read from the disk."""
        lines = _first(f"/proc/{self.process.pid}/io", "").splitlines()
        return next((int(l.split()[1]) for l in lines if l.startswith("read_bytes:")), 0)

    def said(self, message):
        """The last log record with this message, as a dictionary; empty if there is none."""
        found = {}
        for line in _first(self.log_path, "").splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                fields = record.get("fields", record)
                if fields.get("message") == message:
                    found = fields
        return found


def bench(binary, data, *arguments):
    """Runs `ringlog bench` with a broker of its own; its report.json. Every verdict but `valid` is printed."""
    with scratch(data) as place:
        command = [binary, "bench", "--json", "--out", os.path.join(place, "out"), "--data", os.path.join(place, "broker"), *arguments]
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        try:
            report = json.loads(run.stdout)
        except ValueError:
            raise RuntimeError(f"{' '.join(command)} exited {run.returncode}: {run.stderr[-800:]}") from None
    if report["verdict"] != "valid":
        print(f"note     {report['workload']}: {report['verdict']}: {'; '.join(report['validity']['reasons'])}", flush=True)
    return report


def main(measure):
    """Runs a measurement so that a signal cleans up as an error does."""

    def stop(number, _):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    try:
        measure()
    except KeyboardInterrupt:
        sys.exit(130)
