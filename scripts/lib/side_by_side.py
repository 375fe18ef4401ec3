#!/usr/bin/env python3
"""Run the groups of the conformance suite side by side: its tests wait most of the time.

usage: side_by_side.py --jobs N [--only PATTERN] SUITE_RUN ARGUMENT ...

So many groups at once, each in a network of its own, so that none takes the ports or hears the
multicast of another. Where no network can be made (no root) they run one after another. Prints what
the suite prints, group by group, and the sums of all in the last line.
"""

import argparse
import ctypes
import fcntl
import os
import re
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
TOTALS = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped$", re.MULTILINE)
LIBC = ctypes.CDLL(None, use_errno=True)


def enter_network():
    """A network namespace with nothing but a loopback interface that works."""
    if LIBC.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network of its own")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", request)[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def in_network(command):
    """The command that runs a command in a network of its own."""
    return [sys.executable, os.path.abspath(__file__), "--in-network"] + command


def has_networks():
    return subprocess.run(in_network(["true"]), stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def groups(run, only):
    """{group: pattern of its tests}, the last first: those with several processes take longest."""
    command = [run, "--list"] + (["--only", only] if only else [])
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    tests = {}
    for name in re.findall(r"^(\w+/\S+) ", listed, re.MULTILINE):
        tests.setdefault(name.rpartition("/")[0], []).append(name)
    return {group: ",".join(names) if only else group + "/*"
            for group, names in reversed(tests.items())}


def main():
    if sys.argv[1] == "--in-network":
        enter_network()
        os.execvp(sys.argv[2], sys.argv[2:])
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--only")
    parser.add_argument("run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    several = options.jobs > 1 and has_networks()
    if options.jobs > 1 and not several:
        print("one group at a time: no right to make networks", flush=True)

    def run_group(pattern):
        command = [options.run] + options.arguments + ["--only", pattern]
        return subprocess.run(in_network(command) if several else command, text=True,
                              stdout=subprocess.PIPE, check=False).stdout

    sums = [0, 0, 0]
    with ThreadPoolExecutor(options.jobs if several else 1) as pool:
        waiting = [pool.submit(run_group, pattern)
                   for pattern in groups(options.run, options.only).values()]
        for done in as_completed(waiting):
            output = done.result()
            found = TOTALS.search(output)
            print(output[:found.start()] if found else output, end="", flush=True)
            if not found:
                sys.exit("a group did not come to its end")
            sums = [total + int(part) for total, part in zip(sums, found.groups())]
    print("%d passed, %d failed, %d skipped" % tuple(sums))
    return 1 if sums[1] else 0


if __name__ == "__main__":
    sys.exit(main())
