#!/usr/bin/env python3
"""Delays datagrams: the kernel hands each to this program and waits for its verdict (NFQUEUE).

usage: shaper.py MIN_MS MAX_MS. Each datagram that rules send to queue 0 of this network namespace
is let through after a time between the two, by chance: when they differ, datagrams overtake each
other. Prints "ready" when the queue is bound; ends with its standard input.
"""

import heapq
import random
import select
import socket
import struct
import sys
import time

NETLINK_NETFILTER, SUBSYSTEM = 12, 3
PACKET, VERDICT, CONFIG = 0, 1, 2
REQUEST, ACKNOWLEDGE = 1, 4
ACCEPT = 1
BUFFER_LENGTH = 64 << 20
SOL_NETLINK, NO_ENOBUFS, SO_RCVBUFFORCE = 270, 5, 33


def attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def message(kind, data, flags=REQUEST):
    body = struct.pack("=BBH", 0, 0, 0) + data  # any family, version 0, queue 0
    return struct.pack("=IHHII", 16 + len(body), SUBSYSTEM << 8 | kind, flags, 0, 0) + body


def configure(queue, data):
    queue.send(message(CONFIG, data, REQUEST | ACKNOWLEDGE))
    length, kind, _, _, _, code = struct.unpack_from("=IHHIIi", queue.recv(4096), 0)
    if kind != 2 or code != 0:
        raise OSError(-code, "the kernel has no queues: answer of %d bytes, %d" % (length, code))


def packets(data):
    """The ids of the packets in what the kernel sent."""
    at = 0
    while at + 20 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if kind == SUBSYSTEM << 8 | PACKET:
            part = at + 20
            while part + 8 <= at + length:
                size, name = struct.unpack_from("=HH", data, part)
                if name == 1:
                    yield struct.unpack_from("!I", data, part + 4)[0]
                part += size + 3 & ~3
        at += length + 3 & ~3


def main():
    low, high = (float(word) / 1000 for word in sys.argv[1:3])
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as queue:
        queue.bind((0, 0))
        queue.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_LENGTH)
        queue.setsockopt(SOL_NETLINK, NO_ENOBUFS, 1)
        configure(queue, attribute(1, struct.pack("!BBH", 1, 0, socket.AF_INET)))  # bind
        configure(queue, attribute(2, struct.pack("!IB", 0, 1)))  # nothing of the packet
        configure(queue, attribute(3, struct.pack("!I", 100000)))  # queue length
        print("ready", flush=True)
        waiting = []
        while True:
            rest = None if not waiting else max(0, waiting[0][0] - time.monotonic())
            ready, _, _ = select.select([queue, sys.stdin], [], [], rest)
            if sys.stdin in ready:
                return
            now = time.monotonic()
            if queue in ready:
                for packet in packets(queue.recv(1 << 20)):
                    heapq.heappush(waiting, (now + random.uniform(low, high), packet))
            while waiting and waiting[0][0] <= now:
                packet = heapq.heappop(waiting)[1]
                queue.send(message(VERDICT, attribute(2, struct.pack("!II", ACCEPT, packet))))


if __name__ == "__main__":
    main()
