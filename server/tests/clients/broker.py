"""The broker under test as a child process: start, wait until it is ready, stop, kill."""

import os
import random
import signal
import socket
import subprocess
import threading
import time


def free_port():
    """Below the ports that outgoing connections get: a client that reconnects must not take it."""
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Broker:
    """`ringlog serve` on one data directory and one port, over any number of lives."""

    READY = "ready BROKERS="

    def __init__(self, binary, data, cores="0,1", settings=()):
        self.binary, self.data, self.cores, self.settings = binary, data, cores, settings
        self.address = f"127.0.0.1:{free_port()}"
        self.process = None
        self.log = open(os.path.join(os.path.dirname(data), os.path.basename(data) + ".log"), "ab")

    def spawn(self):
        """Starts the process and does not wait for it."""
        command = [self.binary, "serve", "--data", self.data, "--listen", self.address, "--cores", self.cores]
        for setting in self.settings:
            command += ["--set", setting]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self._ready = threading.Event()
        threading.Thread(target=self._read, args=(self.process, self._ready), daemon=True).start()

    def _read(self, process, ready):
        for line in process.stdout:
            if line.startswith(self.READY):
                self.address = line[len(self.READY) :].split()[0]
                ready.set()

    def wait_ready(self, seconds=60):
        deadline = time.monotonic() + seconds
        while not self._ready.wait(0.02):
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker exited {self.process.returncode} before it was ready; see {self.log.name}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the broker was not ready in {seconds} s; see {self.log.name}")

    def start(self):
        began = time.monotonic()
        self.spawn()
        self.wait_ready()
        return time.monotonic() - began

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=60):
        """Asks for a clean stop; anything but exit code 0 is an error."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        if code != 0:
            raise RuntimeError(f"a clean stop exited {code}; see {self.log.name}")

    def alive(self):
        return self.process.poll() is None

    def memory(self):
        """(resident now, resident at its highest) in bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            sizes = {line.split(":")[0]: line.split()[1] for line in status if line.startswith("Vm")}
        return int(sizes["VmRSS"]) * 1024, int(sizes["VmHWM"]) * 1024
