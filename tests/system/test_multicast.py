#!/usr/bin/env python3
"""A stream to a group, from a driver in one network namespace to one in another, with two links
between them: which one is taken, and how far datagrams may go.

usage: test_multicast.py DRIVERD WEATHER_PEER. Skipped where namespaces cannot be made.
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position
from hosts import TIMEOUT, TwoHosts, add_link, set_up, wait_for  # noqa: E402  pylint: disable=wrong-import-position

DRIVERD, PEER = (os.path.abspath(path) for path in sys.argv[1:3])
del sys.argv[1:3]  # what is left selects tests
IMAGE_POSITION = 4  # a type of counters
FIRST_PORT = 20131
# What hears the group says how many hops the first datagram has left.
LISTENER = """
import socket, struct, sys
group, port, link = sys.argv[1], int(sys.argv[2]), socket.if_nametoindex(sys.argv[3])
family = socket.AF_INET6 if ":" in group else socket.AF_INET
level, join, hops = ((socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.IPV6_RECVHOPLIMIT)
                     if ":" in group else
                     (socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, 12))  # IP_RECVTTL
with socket.socket(family, socket.SOCK_DGRAM) as listener:
    packed = socket.inet_pton(family, group)
    listener.setsockopt(level, join, packed + (struct.pack("=I", link) if ":" in group
                                               else struct.pack("=4xI", link)))
    listener.setsockopt(level, hops, 1)
    listener.bind(("", port))
    listener.settimeout(60)
    print("listening", flush=True)
    ancillary = listener.recvmsg(2048, 256)[1]
    print([struct.unpack("=i", data)[0] for _, _, data in ancillary][0], flush=True)
"""


class Family:
    """How channels of a version of IP look. The number of a link is 0 or 1."""

    def __init__(self, group, address_format, bits):
        self.group, self.address_format, self.bits = group, address_format, bits

    def address(self, link, number):
        """The subnets of the links differ within a byte."""
        return self.address_format % (link * 16, number)

    def endpoint(self, port):
        return ("[%s]:%d" if ":" in self.group else "%s:%d") % (self.group, port)

    def interface(self, form, host, link, number):
        address = self.address(link, number)
        address = "[%s]" % address if ":" in address else address
        return {"address": address, "subnet": "%s/%d" % (address, self.bits),
                "name": "{%s}" % host.names[link]}[form]


V4 = Family("224.20.30.7", "10.214.%d.%d", 20)
V6 = Family("ff0e::213:7", "fd13:214:%d::%d", 44)


class MulticastTest(TwoHosts):
    driver, peer = DRIVERD, PEER

    def setUp(self):
        super().setUp()
        self.port = FIRST_PORT
        for host in self.hosts:
            host.names = [host.link + "a", host.link + "b"]
        for link in (0, 1):
            add_link(self.here, self.there, self.here.names[link], self.there.names[link])
            for number, host in enumerate(self.hosts, 1):
                set_up(host, host.names[link], *(
                    "%s/%d" % (family.address(link, number), family.bits)
                    for family in (V4, V6)))

    def channel(self, family, form, link, number, keys=""):
        """As the host of this number has to say it, to use this link."""
        host = self.hosts[number - 1]
        return "aeron:udp?endpoint=%s|interface=%s|term-length=256k%s" % (
            family.endpoint(self.port), family.interface(form, host, link, number), keys)

    def received(self, link):
        """Datagrams and others that came over the link to the one who receives."""
        text = self.there.call("ip", "-s", "link", "show", self.there.names[link])[1]
        return int(re.search(r"RX:.*\n +\d+ +(\d+)", text)[1])

    def check_link(self, family, form):
        """A receiver at the other link hears nothing, one at the right link everything."""
        self.port += 1
        self.start_receiver("whole", self.channel(family, form, 0, 2))
        wait_for(lambda: self.there.counters(7), "the channel of the receiver")
        self.start_sender(self.channel(family, form, 1, 1))
        aim = self.received(1) + 10  # it sends a SETUP every 100 ms while there is no answer
        wait_for(lambda: self.received(1) >= aim, "datagrams on the second link")
        self.assertEqual(self.there.counters(IMAGE_POSITION), [])
        self.end(self.receiver)
        wait_for(lambda: not self.there.counters(7), "the receiver is forgotten")
        self.start_receiver("whole", self.channel(family, form, 1, 2))
        self.run_on(1000)
        sent, received, _, _, images = self.finish()
        self.assertEqual((received, images), (sent, 1))
        wait_for(lambda: not self.here.counters(6) and not self.there.counters(7),
                 "the channels go")

    def check_links(self, family):
        self.start_drivers(AERON_CLIENT_LIVENESS_TIMEOUT="1s")
        for form in ("address", "subnet", "name"):
            with self.subTest(form):
                self.check_link(family, form)

    def test_the_interface_is_that_of_the_channel(self):
        self.check_links(V4)

    def test_the_interface_is_that_of_the_channel_by_IPv6(self):
        self.check_links(V6)

    def check_hops(self, family, keys, expected):
        self.port += 1
        listener = self.there.start(sys.executable, "-c", LISTENER, family.group, str(self.port),
                                    self.there.names[1])
        self.addCleanup(self.end, listener)
        self.assertEqual(listener.stdout.readline(), "listening\n", listener.poll())
        self.start_sender(self.channel(family, "address", 1, 1, keys))
        out, err = listener.communicate(timeout=TIMEOUT)
        self.assertEqual((out, err), ("%d\n" % expected, ""))
        self.end(self.sender)

    def test_the_time_to_live_is_that_of_the_channel_or_configured(self):
        self.start_drivers(AERON_SOCKET_MULTICAST_TTL="9")
        for family in (V4, V6):
            self.check_hops(family, "|ttl=5", 5)
            self.check_hops(family, "", 9)

    def test_the_time_to_live_is_that_of_the_system_otherwise(self):
        self.start_drivers()
        for family in (V4, V6):
            self.check_hops(family, "", 1)


if __name__ == "__main__":
    tap.main()
