#!/usr/bin/env python3
"""A driver whose name server says nothing for long: who asks for no name does not notice.

usage: test_name_server.py DRIVERD WEATHER_PEER. Skipped where namespaces cannot be made.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position
from hosts import PROGRESS, TIMEOUT, TwoHosts, wait_for  # noqa: E402  pylint: disable=wrong-import-position

DRIVERD, PEER = (os.path.abspath(path) for path in sys.argv[1:3])
del sys.argv[1:3]  # what is left selects tests
CONDUCTOR_MAX_NS, LOOKUP_MAX_NS, LOOKUPS_TOO_LONG = 26, 32, 33  # system counters
SILENCE_S = 4
# Knows no name, and says so when it is told to.
SILENT_SERVER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 53))
    print("ready", flush=True)
    question, asker = server.recvfrom(512)
    print("asked", flush=True)
    sys.stdin.readline()
    while True:
        server.sendto(question[:2] + bytes((0x81, 0x83)) + question[4:], asker)
        question, asker = server.recvfrom(512)
"""


class NameServerTest(TwoHosts):
    driver, peer = DRIVERD, PEER

    def start_without_names(self):
        """The driver of `here`, with a name server of its own."""
        path = os.path.join(self.directory, "resolv.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write("nameserver 127.0.0.1\noptions timeout:30 attempts:1\n")
        entered = ("unshare", "--mount", "sh", "-c",
                   'mount --bind "$0" /etc/resolv.conf && exec "$@"', path)
        if not self.here.call(*entered, "true")[0]:
            self.skipTest("no mount over /etc/resolv.conf")
        self.here.run("ip", "link", "set", "lo", "up")
        server = self.here.start(sys.executable, "-c", SILENT_SERVER)
        self.addCleanup(self.end, server)
        self.assertEqual(server.stdout.readline(), "ready\n")
        self.start_driver(self.here, *entered, self.driver,
                          AERON_DRIVER_NAME_RESOLVER_THRESHOLD="1s")
        return server

    def test_a_silent_name_server_holds_up_who_asks_only(self):
        server = self.start_without_names()
        asker = self.here.start(PEER, "send", "aeron:udp?endpoint=nobody.tern.invalid:20121")
        self.addCleanup(self.end, asker)
        self.assertEqual(server.stdout.readline(), "asked\n")
        asked_s = time.monotonic()
        for channel in ("aeron:ipc", "aeron:udp?endpoint=127.0.0.1:20122"):
            for words in (("receive", channel, "whole"), ("send", channel)):
                self.addCleanup(self.end, self.here.start(PEER, *words))
        wait_for(lambda: sum(counter.value > 100 for counter in self.here.counters(PROGRESS)) == 4,
                 "messages while the server is silent")
        wait_for(lambda: time.monotonic() > asked_s + SILENCE_S, "the end of the silence")
        self.assertEqual(self.here.count(LOOKUPS_TOO_LONG), 0, "the answer came first")
        server.stdin.write("\n")
        server.stdin.flush()
        _, error = asker.communicate(timeout=TIMEOUT)
        self.assertEqual(asker.returncode, 1)
        self.assertIn("nobody.tern.invalid", error)
        self.assertEqual(self.here.count(LOOKUPS_TOO_LONG), 1)
        self.assertGreater(self.here.count(LOOKUP_MAX_NS), SILENCE_S * 10 ** 9)
        self.assertLess(self.here.count(CONDUCTOR_MAX_NS), SILENCE_S * 10 ** 9 // 2)


if __name__ == "__main__":
    tap.main()
