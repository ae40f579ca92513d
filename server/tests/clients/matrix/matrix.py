"""The matrix: every client of clients.toml does every scenario against one live two-core broker.

    matrix.py BINARY SCRATCH BUILT [--client NAME]... [--scenario NAME]... [--write]
    matrix.py --brokers HOST:PORT BUILT [...]         the same against any broker that runs already

A cell is what the client said of one scenario: `ok`, `n/a` with what the client itself lacks, or `FAILED` with why.
`results.json` keeps the cells of the last kept run. A cell that was not ok then is known: printed as red, and no failure
here. A cell that was ok and no longer is, n/a included, is a failure. `--write` keeps this run's cells: a run of all of them,
since a row has one date and kafka-dump-log judges what every client left.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import batches  # noqa: E402
from broker import Broker  # noqa: E402

RESULTS = os.path.join(HERE, "results.json")
# A program is silent no longer than its longest scenario takes.
SILENCE_SECONDS = 180
# The scenarios that the driver does itself, with the broker stopped.
DUMP, DECODE = "kafka-dump-log", "offsets-decoder"
# Groups settle fast, a topic that is only named has two partitions.
SETTINGS = ["group.initial.rebalance.delay.ms=200", "num.partitions=2"]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("places", nargs="+", help="BINARY SCRATCH BUILT, or BUILT with --brokers")
    parser.add_argument("--brokers")
    parser.add_argument("--client", action="append", default=[])
    parser.add_argument("--scenario", action="append", default=[])
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if asked.write and (asked.client or asked.scenario):
        parser.error("--write keeps a whole run: without --client and --scenario")
    return asked


def filled(words, built):
    return [word.replace("{built}", built) for word in words]


def fingerprint(patterns):
    """What the pinning files of a build say together."""
    digest = hashlib.sha256()
    for name in patterns:
        with open(os.path.join(HERE, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def build(name, plan, built):
    """Builds what a client needs; skipped while its pinned files are the same."""
    stamp = os.path.join(built, f"matrix-{name}.stamp")
    wanted = fingerprint(plan["pinned"])
    if os.path.exists(stamp) and open(stamp).read() == wanted:
        return
    if missing := [command for command in plan["needs"] if shutil.which(command) is None]:
        raise RuntimeError(f"not installed: {', '.join(missing)}")
    began = time.monotonic()
    for command in plan["build"]:
        environment = {**os.environ, **{k: v.replace("{built}", built) for k, v in plan.get("environment", {}).items()}}
        done = subprocess.run(
            filled(command, built), cwd=os.path.join(HERE, plan["at"]), env=environment, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {(done.stdout + done.stderr)[-1500:]}")
    with open(stamp, "w") as file:
        file.write(wanted)
    print(f"     {name} built in {time.monotonic() - began:.0f} s", flush=True)


class Program:
    """One client's program while it runs: its lines are its cells, and it may ask for a restart."""

    def __init__(self, command, broker, errors):
        self.broker = broker
        self.version, self.cells, self.seconds = None, {}, {}
        self.process = subprocess.Popen(
            command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace"
        )
        self.heard = time.monotonic()

    def run(self):
        threading.Thread(target=self._watch, daemon=True).start()
        began = time.monotonic()
        for line in self.process.stdout:
            self.heard = time.monotonic()
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "version":
                self.version = rest.split(" ", 1)[1]
            elif word == "restart":
                self._restart()
            elif word in ("ok", "n/a", "FAILED"):
                name, _, why = rest.partition(" ")
                self.cells[name] = {"is": word} | ({"why": why} if why else {})
                self.seconds[name] = round(time.monotonic() - began, 1)
                began = time.monotonic()
        return self.process.wait()

    def _restart(self):
        """A kill, not a stop: what was acknowledged must be there all the same."""
        if self.broker is not None:
            self.broker.kill()
            self.broker.start()
        try:
            self.process.stdin.write("restarted\n" if self.broker is not None else "no broker of ours\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def _watch(self):
        while self.process.poll() is None:
            if time.monotonic() - self.heard > SILENCE_SECONDS:
                self.process.kill()
            time.sleep(1)


class Unbuilt:
    """A client that cannot be run at all."""

    def __init__(self, scenarios, why):
        self.version, self.seconds = "none", {}
        self.cells = {scenario: {"is": "FAILED", "why": f"not built: {why}"} for scenario in scenarios}


def judged(name, client, scenarios, address, broker, built, scratch, unbuilt):
    """The client's version and cells."""
    if client["build"] in unbuilt:
        return Unbuilt(scenarios, unbuilt[client["build"]])
    prefix = f"m{os.getpid()}-{name}"
    command = filled(client["run"], built) + [address, prefix, *scenarios]
    with open(os.path.join(scratch, f"matrix-{name}.err"), "w") as errors:
        program = Program(command, broker, errors)
        code = program.run()
    tail = " ".join(open(errors.name, errors="replace").read()[-300:].split())
    for scenario in scenarios:
        if scenario not in program.cells:
            program.cells[scenario] = {"is": "FAILED", "why": f"the program ended with {code}: {tail}"}
    if program.cells.get("codecs", {}).get("is") == "ok":
        lacking = program.cells["codecs"].get("why", "")
        if wrong := batches.wrong_codecs(address, f"{prefix}-codecs", lacking):
            program.cells["codecs"] = {"is": "FAILED", "why": wrong}
    return program


def offsets_topic(binary, address):
    """The id of the topic that groups are kept in, which is its folder's name."""
    command = [binary, "topic", "describe", "__consumer_offsets", "-b", address, "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", done.stdout)
    return found.group() if found else f"none: {done.stderr.strip()}"


def dumped(scratch, built, *topic):
    """What Kafka's kafka-dump-log says of the files that the cleanly stopped broker left."""
    dump = os.path.join(os.path.dirname(HERE), "dump.py")
    command = [sys.executable, dump, os.path.join(scratch, "matrix"), os.path.join(built, "matrix-tools"), *topic]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout.strip().split(" ", 2)
    if done.returncode == 0:
        return {"is": "ok", "why": said[2]}
    return {"is": "FAILED", "why": said[2] if len(said) == 3 else done.stderr[-300:]}


def verdict(name, scenario, cell, known):
    """One line of output; whether it is a failure."""
    why = f": {cell['why']}" if "why" in cell else ""
    before = known.get(name, {}).get("cells", {}).get(scenario)
    if cell["is"] == "ok":
        print(f"PASS {name} {scenario}{why}", flush=True)
    elif (cell["is"] == "n/a" and not (before and before["is"] == "ok")) or (before and before["is"] == cell["is"]):
        print(f"{'N/A' if cell['is'] == 'n/a' else 'RED'}  {name} {scenario}{why}", flush=True)
        return False
    else:
        print(f"FAIL {name} {scenario}{why}", flush=True)
        return True
    return False


def main():
    asked = arguments()
    with open(os.path.join(HERE, "clients.toml"), "rb") as file:
        plan = tomllib.load(file)
    clients = {n: c for n, c in plan["client"].items() if not asked.client or n in asked.client}
    for client in clients.values():
        whole = client.setdefault("scenarios", plan["scenarios"])
        client["do"] = [scenario for scenario in whole if not asked.scenario or scenario in asked.scenario]
    known = {scenario for client in clients.values() for scenario in client["scenarios"]}
    if unknown := set(asked.client) - set(clients) | set(asked.scenario) - known:
        return f"not in clients.toml: {', '.join(sorted(unknown))}"
    kept = json.load(open(RESULTS)) if os.path.exists(RESULTS) else {"clients": {}}
    built = os.path.abspath(asked.places[-1])
    scratch = built if asked.brokers else os.path.abspath(asked.places[1])
    os.makedirs(built, exist_ok=True)
    os.makedirs(scratch, exist_ok=True)

    unbuilt = {}
    for name in dict.fromkeys(client["build"] for client in clients.values()):
        try:
            build(name, plan["build"][name], built)
        except (OSError, RuntimeError) as error:
            print(f"     {name} is not built: {error}", flush=True)
            unbuilt[name] = " ".join(str(error).split())[:200]

    broker = None
    if not asked.brokers:
        data = os.path.join(scratch, "matrix")
        shutil.rmtree(data, ignore_errors=True)
        broker = Broker(asked.places[0], data, settings=SETTINGS)
        broker.start()
    failed, cells = False, {}
    try:
        for name, client in clients.items():
            began = time.monotonic()
            doing = [scenario for scenario in client["do"] if scenario not in (DUMP, DECODE)]
            told = judged(name, client, doing, asked.brokers or broker.address, broker, built, scratch, unbuilt)
            print(f"     {name} {told.version}, {time.monotonic() - began:.0f} s: {told.seconds}", flush=True)
            cells[name] = told.cells
            for scenario in doing:
                failed |= verdict(name, scenario, told.cells[scenario], kept["clients"])
            if asked.write:
                entry = kept["clients"].setdefault(name, {"cells": {}})
                entry |= {"version": told.version, "language": client["language"], "scenarios": client["scenarios"]}
                entry |= {"date": datetime.date.today().isoformat()}
        if broker is not None:
            topic = offsets_topic(asked.places[0], broker.address)
            broker.stop()
            for name, client in clients.items():
                for scenario, more in ((DUMP, ()), (DECODE, (topic,))):
                    if scenario in client["do"]:
                        cells[name][scenario] = dumped(scratch, built, *more)
                        failed |= verdict(name, scenario, cells[name][scenario], kept["clients"])
    finally:
        if broker is not None and broker.alive():
            broker.kill()
    if broker is not None:
        shutil.rmtree(os.path.join(scratch, "matrix"), ignore_errors=True)
    if asked.write:
        for name in clients:
            kept["clients"][name]["cells"] |= cells[name]
        kept["headings"] = plan["heading"]
        kept["clients"] = {name: kept["clients"][name] for name in plan["client"] if name in kept["clients"]}
        with open(RESULTS, "w") as file:
            json.dump(kept, file, indent=1, ensure_ascii=False)
            file.write("\n")
    return 1 if failed and not asked.write else 0


if __name__ == "__main__":
    sys.exit(main())
