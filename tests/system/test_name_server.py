#!/usr/bin/env python3
"""A driver whose name server says nothing: who asks for no name does not notice.

usage: test_name_server.py DRIVERD WEATHER_PEER. Skipped where namespaces cannot be made.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position
from hosts import PROGRESS, TIMEOUT, TwoHosts, wait_for  # noqa: E402  pylint: disable=wrong-import-position

DRIVERD, PEER = (os.path.abspath(path) for path in sys.argv[1:3])
del sys.argv[1:3]  # what is left selects tests
CONDUCTOR_MAX_NS, LOOKUP_MAX_NS, LOOKUPS_TOO_LONG = 26, 32, 33  # system counters
SERVER_TIMEOUT_S = 4
# Takes the questions, so that there is no error, and does not answer them.
SILENT_SERVER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 53))
    print("ready", flush=True)
    server.recv(512)
    print("asked", flush=True)
    sys.stdin.read()
"""


class NameServerTest(TwoHosts):
    driver, peer = DRIVERD, PEER

    def start_without_names(self):
        """The driver of `here`, with a name server of its own."""
        path = os.path.join(self.directory, "resolv.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write("nameserver 127.0.0.1\noptions timeout:%d attempts:1\n" % SERVER_TIMEOUT_S)
        entered = ("unshare", "--mount", "sh", "-c",
                   'mount --bind "$0" /etc/resolv.conf && exec "$@"', path)
        if not self.here.call(*entered, "true")[0]:
            self.skipTest("no mount over /etc/resolv.conf")
        self.here.run("ip", "link", "set", "lo", "up")
        server = self.here.start(sys.executable, "-c", SILENT_SERVER)
        self.addCleanup(self.end, server)
        self.assertEqual(server.stdout.readline(), "ready\n")
        self.here.start_driver(*entered, self.driver, **self.settings,
                               AERON_DRIVER_NAME_RESOLVER_THRESHOLD="1s")
        self.addCleanup(self.end, self.here.driver)
        return server

    def test_a_name_server_without_answers_holds_up_who_asks_only(self):
        server = self.start_without_names()
        asker = self.here.start(PEER, "send", "aeron:udp?endpoint=nobody.tern.invalid:20121")
        self.addCleanup(self.end, asker)
        self.assertEqual(server.stdout.readline(), "asked\n")
        for channel in ("aeron:ipc", "aeron:udp?endpoint=127.0.0.1:20122"):
            for words in (("receive", channel, "whole"), ("send", channel)):
                self.addCleanup(self.end, self.here.start(PEER, *words))
        wait_for(lambda: sum(counter.value > 100 for counter in self.here.counters(PROGRESS)) == 4,
                 "messages while the server is silent")
        self.assertEqual(self.here.count(LOOKUPS_TOO_LONG), 0, "the answer came first")
        _, error = asker.communicate(timeout=TIMEOUT)
        self.assertEqual(asker.returncode, 1)
        self.assertIn("nobody.tern.invalid", error)
        self.assertEqual(self.here.count(LOOKUPS_TOO_LONG), 1)
        self.assertGreater(self.here.count(LOOKUP_MAX_NS), SERVER_TIMEOUT_S * 10 ** 9 // 2)
        self.assertLess(self.here.count(CONDUCTOR_MAX_NS), SERVER_TIMEOUT_S * 10 ** 9 // 2)


if __name__ == "__main__":
    tap.main()
