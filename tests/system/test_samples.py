#!/usr/bin/env python3
"""The sample programs talk to each other: usage: test_samples.py DRIVERD PUBLISHER SUBSCRIBER PING PONG"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position

DRIVERD, PUBLISHER, SUBSCRIBER, PING, PONG = sys.argv[1:6]
del sys.argv[1:6]  # what is left selects tests
PORT = 30000 + os.getpid() % 10000


class SamplesTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="tern-samples-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.env = {name: value for name, value in os.environ.items()
                    if not name.startswith("AERON_")}
        self.env.update(AERON_DIR=self.directory + "/driver", AERON_THREADING_MODE="SHARED",
                        AERON_TERM_BUFFER_LENGTH="256k", AERON_IPC_TERM_BUFFER_LENGTH="256k")
        self.driver = self.start(DRIVERD)

    def start(self, *command):
        process = subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.finish, process, signal.SIGKILL)
        return process

    def finish(self, process, number=None):
        """Exit code, output and errors."""
        if number is not None and process.poll() is None:
            process.send_signal(number)
        if process.stdout.closed:
            return process.returncode, "", ""
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def exchange(self, channel, *options):
        subscriber = self.start(SUBSCRIBER, "-c", channel, "-n", "3000", "-q")
        publisher = self.start(PUBLISHER, "-c", channel, "-n", "3000", "-q", *options)
        code, out, err = self.finish(publisher)
        self.assertEqual(code, 0, out + err)
        self.assertIn("sent 3000 messages", out)
        code, out, err = self.finish(subscriber)
        self.assertEqual(code, 0, out + err)
        self.assertIn("received 3000 messages", out)
        self.assertIn(" 0 gaps", out)

    def test_subscriber_gets_all_that_publisher_sends(self):
        udp = "aeron:udp?endpoint=127.0.0.1:%d" % PORT
        for channel in ("aeron:ipc", udp):
            self.exchange(channel)
            self.exchange(channel, "-x", "-l", "5000")

    def test_ping_measures_what_pong_sends_back(self):
        for number, length in enumerate(("32", "4000")):
            udp = ["aeron:udp?endpoint=127.0.0.1:%d" % (PORT + 1 + 2 * number + end)
                   for end in range(2)]
            for there, back in (("aeron:ipc", "aeron:ipc"), udp):
                pong = self.start(PONG, "-c", there, "-r", back)
                code, out, err = self.finish(self.start(PING, "-c", there, "-r", back, "-n", "100",
                                                        "-l", length))
                self.assertEqual(code, 0, out + err)
                self.assertRegex(out, r"100 round trips, us: min [0-9.]+ p50 [0-9.]+")
                code, out, err = self.finish(pong, signal.SIGTERM)
                self.assertEqual(code, 0, out + err)

    def test_programs_say_when_the_driver_goes(self):
        subscriber = self.start(SUBSCRIBER, "-c", "aeron:ipc")
        publisher = self.start(PUBLISHER, "-c", "aeron:ipc", "-i", "1000")
        for _ in range(3):
            self.assertTrue(subscriber.stdout.readline())
        self.assertEqual(self.finish(self.driver, signal.SIGTERM)[0], 0)
        for process in (subscriber, publisher):
            code, _, err = self.finish(process)
            self.assertEqual(code, 1, err)
            self.assertIn("shut down", err)

    def test_mistakes_give_64_and_a_missing_driver_1(self):
        for arguments in (["-n", "many"], ["-l", "1"], ["--nonsense"], ["stray"]):
            code, _, err = self.finish(self.start(PUBLISHER, *arguments))
            self.assertEqual(code, 64, err)
            self.assertIn("usage: publisher", err)
        self.env.update(AERON_DIR=self.directory + "/none", AERON_DRIVER_TIMEOUT="50")
        for program in (PUBLISHER, SUBSCRIBER, PING, PONG):
            code, _, err = self.finish(self.start(program))
            self.assertEqual(code, 1, err)
            self.assertIn("no media driver", err)


if __name__ == "__main__":
    tap.main()
