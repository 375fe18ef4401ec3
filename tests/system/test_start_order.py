#!/usr/bin/env python3
"""The four daemons of a node in any order: each waits for what it stands on and says so, and ends
with 69 when that dies, so that the supervisor brings the node back.
usage: test_start_order.py DRIVERD ARCHIVED CONSENSUSD SERVICEHOST PLUGIN"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position

PLUGIN = os.path.abspath(sys.argv.pop(5))
PROGRAMS = dict(zip(("driverd", "archived", "consensusd", "servicehost"),
                    (os.path.abspath(sys.argv.pop(1)) for _ in range(4))))
TIMEOUT = 30.0
UNAVAILABLE = 69


class Daemon:
    """One daemon as systemd starts it: it tells its state to a socket."""

    def __init__(self, name, place, env):
        self.states, self.log = [], os.path.join(place, "%s-%d.log" % (name, time.monotonic_ns()))
        path = os.path.join(place, "%s-%d.sock" % (name, time.monotonic_ns()))
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(0.2)
        self.is_done = False
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()
        with open(self.log, "wb") as file:
            self.child = subprocess.Popen([PROGRAMS[name]], env=dict(env, NOTIFY_SOCKET=path),
                                          cwd=place, stderr=file)

    def listen(self):
        while not self.is_done:
            try:
                self.states += self.socket.recv(4096).decode().splitlines()
            except OSError:
                pass

    @property
    def is_ready(self):
        return "READY=1" in self.states

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def end(self, number=signal.SIGKILL):
        if self.child.poll() is None:
            self.child.send_signal(number)
        code = self.child.wait(TIMEOUT)
        self.is_done = True
        self.listener.join()
        self.socket.close()
        return code


def free_ports(count):
    probes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class StartOrderTest(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="tern-order-", dir="/dev/shm")
        self.addCleanup(place.cleanup)
        self.place, self.daemons = place.name, {}
        ports = free_ports(6)
        self.env = {name: value for name, value in os.environ.items()
                    if not name.startswith("AERON_")}
        self.env.update(
            AERON_DIR=os.path.join(self.place, "driver"), AERON_DRIVER_TIMEOUT="1000",
            AERON_ARCHIVE_DIR=os.path.join(self.place, "archive"),
            AERON_CLUSTER_DIR=os.path.join(self.place, "cluster"),
            AERON_ARCHIVE_CONTROL_CHANNEL="aeron:udp?endpoint=localhost:%d" % ports[0],
            AERON_ARCHIVE_REPLICATION_CHANNEL="aeron:udp?endpoint=localhost:0",
            AERON_ARCHIVE_SEGMENT_FILE_LENGTH="64k",
            AERON_CLUSTER_MEMBERS="0,localhost:%d,localhost:%d,localhost:%d,localhost:%d,"
                                  "localhost:%d" % (*ports[1:5], ports[0]),
            AERON_CLUSTER_INGRESS_CHANNEL="aeron:udp?term-length=64k",
            AERON_CLUSTER_LOG_CHANNEL="aeron:udp?term-length=64k",
            AERON_CLUSTER_REPLICATION_CHANNEL="aeron:udp?endpoint=localhost:0",
            AERON_TERM_BUFFER_LENGTH="64k", AERON_IPC_TERM_BUFFER_LENGTH="64k",
            TERN_SERVICE_PLUGIN=PLUGIN)

    def start(self, name):
        self.daemons[name] = Daemon(name, self.place, self.env)
        self.addCleanup(self.daemons[name].end)
        return self.daemons[name]

    def wait(self, condition, what):
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join("%s: %s" % (name, daemon.text())
                                 for name, daemon in self.daemons.items())
                raise AssertionError("%g s passed waiting for %s\n%s" % (TIMEOUT, what, logs))
            time.sleep(0.02)

    def start_all(self, names):
        for name in names:
            self.start(name)
        for name, daemon in self.daemons.items():
            self.wait(lambda daemon=daemon: daemon.is_ready, name + " to be ready")

    def expect_end(self, name):
        daemon = self.daemons[name]
        self.wait(lambda: daemon.child.poll() is not None, name + " to end")
        self.assertEqual(daemon.child.returncode, UNAVAILABLE, daemon.text())

    def test_last_first_each_says_what_it_waits_for(self):
        for name in ("servicehost", "consensusd", "archived"):
            daemon = self.start(name)
            self.wait(lambda daemon=daemon: "waiting for" in daemon.text(), name + " to say so")
            self.assertFalse(daemon.is_ready, name)
        self.start("driverd")
        for name, daemon in self.daemons.items():
            self.wait(lambda daemon=daemon: daemon.is_ready, name + " to be ready")
        for name in ("servicehost", "consensusd", "archived", "driverd"):  # as systemd does
            self.assertEqual(self.daemons[name].end(signal.SIGTERM), 0, self.daemons[name].text())

    def test_a_killed_driver_takes_the_others_along_and_all_come_back(self):
        names = ("driverd", "archived", "consensusd", "servicehost")
        self.start_all(names)
        self.daemons["driverd"].end(signal.SIGKILL)
        for name in names[1:]:
            self.expect_end(name)
        self.start_all(reversed(names))

    def test_a_killed_archive_takes_those_along_that_stand_on_it(self):
        self.start_all(("driverd", "archived", "consensusd", "servicehost"))
        self.daemons["archived"].end(signal.SIGKILL)
        self.expect_end("consensusd")
        self.expect_end("servicehost")
        self.assertIsNone(self.daemons["driverd"].child.poll())


if __name__ == "__main__":
    tap.main()
