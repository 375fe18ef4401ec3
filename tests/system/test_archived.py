#!/usr/bin/env python3
"""archived as a citizen: it waits for its driver, ends with it, and comes back whatever happened.
usage: test_archived.py DRIVERD ARCHIVED TERNCTL_ARCHIVE"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import cnc  # noqa: E402  pylint: disable=wrong-import-position
import tap  # noqa: E402  pylint: disable=wrong-import-position

TOOL, ARCHIVED, DRIVERD = sys.argv.pop(3), sys.argv.pop(2), sys.argv.pop(1)
TIMEOUT = 30.0


def wait(condition, what):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("%g s passed waiting for %s" % (TIMEOUT, what))
        time.sleep(0.02)


class Process:
    def __init__(self, program, env, log):
        with open(log, "wb") as file:
            self.child = subprocess.Popen([program], env=env, stderr=file)
        self.log = log

    def says(self, text):
        with open(self.log, encoding="utf-8") as file:
            return text in file.read()

    def wait_for(self, text):
        wait(lambda: self.says(text) or self.child.poll() is not None, text)
        if not self.says(text):
            with open(self.log, encoding="utf-8") as file:
                raise AssertionError("it ended with %s: %s" % (self.child.poll(), file.read()))

    def end(self, number=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(number)
        return self.child.wait(TIMEOUT)


class ArchivedTest(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="tern-archived-", dir="/dev/shm")
        self.addCleanup(place.cleanup)
        self.place, self.count = place.name, 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.archive_dir = os.path.join(self.place, "archive")
        self.env = {name: value for name, value in os.environ.items()
                    if not name.startswith("AERON_")}
        self.env.update(AERON_DIR=os.path.join(self.place, "driver"),
                        AERON_DRIVER_TIMEOUT="1000", AERON_ARCHIVE_DIR=self.archive_dir,
                        AERON_ARCHIVE_CONTROL_CHANNEL="aeron:udp?endpoint=localhost:%d" % port,
                        AERON_TERM_BUFFER_LENGTH="65536", AERON_IPC_TERM_BUFFER_LENGTH="65536")

    def start(self, program, **env):
        self.count += 1
        process = Process(program, dict(self.env, **env),
                          os.path.join(self.place, "log-%d" % self.count))
        self.addCleanup(process.end, signal.SIGKILL)
        return process

    def test_it_waits_for_a_driver_and_can_be_ended_meanwhile(self):
        archived = self.start(ARCHIVED)
        archived.wait_for("waiting for the media driver")
        self.assertEqual(archived.end(), 0)
        archived = self.start(ARCHIVED)
        archived.wait_for("waiting for the media driver")
        driverd = self.start(DRIVERD)
        archived.wait_for("ready: serving archive")
        self.assertEqual(archived.end(), 0)
        self.assertEqual(driverd.end(), 0)

    def test_it_ends_with_69_when_the_driver_is_killed_and_comes_back(self):
        for number in (signal.SIGKILL, signal.SIGTERM):
            driverd, archived = self.start(DRIVERD), self.start(ARCHIVED)
            archived.wait_for("ready: serving archive")
            driverd.end(number)
            self.assertEqual(archived.child.wait(TIMEOUT), 69)

    def test_it_starts_at_once_after_it_was_killed(self):
        driverd = self.start(DRIVERD)
        for _ in range(3):
            begun = time.monotonic()
            archived = self.start(ARCHIVED, AERON_ARCHIVE_ID="77")
            archived.wait_for("ready: serving archive")
            self.assertLess(time.monotonic() - begun, 8.0)
            archived.end(signal.SIGKILL)
        driverd.end()

    def test_the_driver_forgets_the_killed_one_when_the_next_starts(self):
        """Long before the time-out of its client, which would be the other way."""
        def clients():
            with cnc.Cnc(self.env["AERON_DIR"]) as view:
                return [counter.label for counter in view.counters()
                        if "name=archived" in counter.label]

        self.start(DRIVERD, AERON_CLIENT_LIVENESS_TIMEOUT="100s",
                   AERON_PUBLICATION_UNBLOCK_TIMEOUT="200s")
        for _ in range(2):
            archived = self.start(ARCHIVED)
            archived.wait_for("ready: serving archive")
            wait(lambda: len(clients()) == 1, "one client: %s" % clients())
            archived.end(signal.SIGKILL)

    def test_a_directory_in_use_is_refused_with_75(self):
        self.start(DRIVERD)
        archived = self.start(ARCHIVED)
        archived.wait_for("ready: serving archive")
        second = self.start(ARCHIVED, AERON_ARCHIVE_ID="5")
        self.assertEqual(second.child.wait(TIMEOUT), 75)
        self.assertTrue(second.says("archive-mark.dat"))
        found = subprocess.run([TOOL, "pid", self.archive_dir], capture_output=True, text=True,
                               check=True)
        self.assertEqual(int(found.stdout), archived.child.pid)

    def test_mistakes_in_the_configuration_are_78(self):
        archived = self.start(ARCHIVED, AERON_ARCHIVE_THREADING_MODE="DEDICATED")
        self.assertEqual(archived.child.wait(TIMEOUT), 78)
        self.assertTrue(archived.says("threading_mode"))


if __name__ == "__main__":
    tap.main()
