"""A small online shop on one broker, told as it runs: shop.py RINGLOG DATA

An order service writes orders. Payments and notifications read them, each in a group of its own, and know nothing
of each other. A second payment service joins while orders flow, one is killed, and analytics comes last and
reads everything from the start. In the end every claim is checked: no order was lost, and none was processed again
after its commit.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

from confluent_kafka.admin import AdminClient, NewTopic

RINGLOG, DATA = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))
PARTITIONS = 4
ORDERS = 400
#: Everything here is done well within this many seconds.
PATIENCE = 60

began = time.monotonic()


def tell(text):
    print(f"{time.monotonic() - began:5.1f} s  {text}", flush=True)


class Service:
    """A process, and the lines that it wrote."""

    all = []

    def __init__(self, role, name, brokers, *more):
        self.name, self.lines, self.partitions = name, [], set()
        command = [sys.executable, os.path.join(HERE, "services.py"), role, name, brokers, *map(str, more)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        Service.all.append(self)

    def _read(self):
        for text in self.process.stdout:
            line = json.loads(text)
            if line["what"] in ("given", "taken"):
                change = set(line["partitions"])
                self.partitions = self.partitions | change if line["what"] == "given" else self.partitions - change
                held = ", ".join(map(str, sorted(self.partitions))) or "none"
                if change:
                    tell(f"{self.name} is {line['what']} {', '.join(map(str, sorted(change)))}: has {held}")
            self.lines.append(line)

    def of(self, what):
        return [line for line in list(self.lines) if line["what"] == what]

    def orders(self, what):
        return [line["order"] for line in self.of(what)]

    def end(self, how=signal.SIGTERM):
        """Asks it to end, or kills it. Whatever it wrote until then counts."""
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE)
        self.reader.join()
        expected = -signal.SIGKILL if how == signal.SIGKILL else 0
        assert code == expected, f"{self.name} ended with {code}"


def until(what, is_so):
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"in vain, waited for: {what}"
        time.sleep(0.02)


def ringlog(*args):
    done = subprocess.run([RINGLOG, *args], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def show(title, *args):
    print(f"\n$ ringlog {' '.join(args[:-2])}     # {title}")
    # Member ids are long, and new each time.
    for line in ringlog(*args).splitlines():
        print(f"  {line}")
    print()


def committed(*services):
    """Orders below what a group has committed. A commit says: all below this offset of this partition is done."""
    ends = {}
    for line in (line for service in services for line in service.of("committed")):
        ends[line["partition"]] = max(ends.get(line["partition"], 0), line["offset"] + 1)
    return sum(ends.values())


def start_broker():
    shutil.rmtree(DATA, ignore_errors=True)
    command = [RINGLOG, "serve", "--data", DATA, "--listen", "127.0.0.1:0", "--cores", "0"]
    # A group waits this long for further members before it gives partitions out the first time.
    command += ["--set", "group.initial.rebalance.delay.ms=500", "--set", "memory.pool_bytes=33554432"]
    log = open(DATA + ".log", "w")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    ready = process.stdout.readline()
    assert ready.startswith("ready BROKERS="), f"the broker did not start: see {log.name}"
    return process, ready.split("=")[1].split()[0]


def story(brokers):
    """The whole day. Returns every service."""
    admin = AdminClient({"bootstrap.servers": brokers})
    for made in admin.create_topics([NewTopic("orders", PARTITIONS, 1)]).values():
        made.result(PATIENCE)
    tell(f"the topic `orders` has {PARTITIONS} partitions on broker {brokers}")

    pay1 = Service("payment", "payment-1", brokers)
    mail = Service("notify", "notification-1", brokers)
    until("both groups have their partitions", lambda: len(pay1.partitions) == len(mail.partitions) == PARTITIONS)

    order = Service("order", "order-1", brokers, ORDERS)
    until("orders flow", lambda: len(pay1.orders("committed")) >= ORDERS // 8)
    tell(f"{len(order.of('written'))} orders written, {len(pay1.orders('committed'))} paid, "
         f"{len(mail.orders('committed'))} mailed: two groups, each reads all")

    tell("payment-2 joins the group `payments` while orders flow")
    pay2 = Service("payment", "payment-2", brokers)
    until("the payments are shared", lambda: len(pay2.of("committed")) >= ORDERS // 10)
    assert not pay1.partitions & pay2.partitions, "a partition has two owners"
    show("who reads what, and how far", "group", "describe", "payments", "-b", brokers)

    tell(f"payment-1 is killed after {len(pay1.of('committed'))} commits: no goodbye, no last commit")
    pay1.end(signal.SIGKILL)
    killed = time.monotonic()
    until("orders wait", lambda: time.monotonic() - killed > 3)
    show("nobody reads for payment-1 yet, so its orders wait", "group", "describe", "payments", "-b", brokers)
    until("payment-2 has taken over", lambda: len(pay2.partitions) == PARTITIONS)
    tell(f"payment-2 took over after {time.monotonic() - killed:.1f} s, the session timeout, from the last commit of each partition")

    until("every order is written", lambda: order.process.poll() is not None)
    order.reader.join()
    until("every payment is committed", lambda: committed(pay1, pay2) == ORDERS)
    until("every mail is committed", lambda: committed(mail) == ORDERS)

    tell("analytics comes late and reads everything from the start")
    late = Service("analytics", "analytics-1", brokers, ORDERS)
    late.process.wait(PATIENCE)
    late.reader.join()
    for service in (pay2, mail):
        service.end()
    show("what each group has left behind", "group", "list", "-b", brokers)
    return order, pay1, pay2, mail, late


def check(order, pay1, pay2, mail, late):
    """Every claim of the story."""
    everything = list(range(ORDERS))
    written = order.of("written")
    assert sorted(order.orders("written")) == everything, "orders were not acknowledged"
    where = {(line["partition"], line["offset"]) for line in written}
    assert len(where) == ORDERS, "two orders have one place"
    for partition in range(PARTITIONS):
        offsets = sorted(offset for p, offset in where if p == partition)
        assert offsets == list(range(len(offsets))), f"partition {partition} has a gap"
    place = {line["order"]: (line["partition"], line["offset"]) for line in written}
    again = 0
    for group, services, did in (("payments", (pay1, pay2), "paid"), ("notifications", (mail,), "mailed")):
        lines = sorted((line for s in services for line in s.lines if "order" in line), key=lambda line: line["at"])
        ends, done = [0] * PARTITIONS, set()
        for line in lines:
            number, partition, offset = line["order"], line.get("partition"), line.get("offset")
            if line["what"] == did:
                assert offset >= ends[partition], f"{group}: order {number} was processed again after its commit"
                assert (partition, offset) == place[number], f"{group}: order {number} comes from elsewhere"
                done.add(number)
            elif line["what"] == "committed":
                ends[partition] = max(ends[partition], offset + 1)
        assert sorted(done) == everything, f"{group}: {ORDERS - len(done)} orders lost"
        assert sum(ends) == ORDERS, f"{group}: {ORDERS - sum(ends)} orders not committed"
        again += sum(line["what"] == did for line in lines) - ORDERS
    counted = late.of("counted")[0]
    assert counted["orders"] == everything, "analytics missed orders"
    assert pay1.of("committed") and pay2.of("committed"), "one payment service did everything"
    return again, counted["turnover"]


def main():
    broker, brokers = start_broker()
    services = ()
    try:
        services = story(brokers)
    finally:
        for service in Service.all:
            if service.process.poll() is None:
                service.process.kill()
        broker.send_signal(signal.SIGTERM)
        code = broker.wait(PATIENCE)
    assert code == 0, f"the broker ended with {code}"
    again, turnover = check(*services)
    order, pay1, pay2, mail, late = services
    print(f"order-1         wrote  {len(order.of('written')):3} orders into {PARTITIONS} partitions")
    print(f"payment-1       paid   {len(pay1.of('paid')):3}, committed {len(pay1.of('committed')):3}, then was killed")
    print(f"payment-2       paid   {len(pay2.of('paid')):3}, committed {len(pay2.of('committed')):3}")
    print(f"notification-1  mailed {len(mail.of('mailed')):3}, committed {len(mail.of('committed')):3}")
    best = max(turnover, key=turnover.get)
    print(f"analytics-1     read   {len(late.of('counted')[0]['orders']):3} from the start: {sum(turnover.values()) / 100:.2f} turnover, most from {best}")
    print(f"\nPASS shop: {ORDERS} orders, none lost, none processed again after its commit"
          f" ({again} a second time, not committed before)")
    shutil.rmtree(DATA, ignore_errors=True)


try:
    main()
except Exception as error:
    print(f"FAIL shop: {error}")
    sys.exit(1)
