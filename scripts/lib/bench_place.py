"""What the subjects of the benchmark share: a place with its daemons, programs of tests/bench that
measure, and what the kernel says of a process."""

import collections
import glob
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
import cluster as nodes  # noqa: E402  pylint: disable=wrong-import-position

READY_TIMEOUT = 30.0

# A measured number, and the row that says what the machine could do.
Value = collections.namedtuple("Value", "value unit floor")

# A row's goal: median `kind` (<= or >=) limit, in the row's unit; what the original reaches.
Goal = collections.namedtuple("Goal", "kind limit original")

# Rows that are measured together, in a run of their own after the floor programs.
Subject = collections.namedtuple("Subject", "group name rows floors config run")


class Effort:
    """How long to measure; set from the command line before anything runs."""
    runs = 5
    is_short = False

    @classmethod
    def of(cls, full, short):
        return short if cls.is_short else full


class Place:
    """Directories of one run: one in memory, one on the disk of the build."""

    def __init__(self):
        self.memory = tempfile.mkdtemp(prefix="tern-bench-", dir="/dev/shm")
        self.disk = tempfile.mkdtemp(prefix="bench-", dir=nodes.BUILD)
        self.groups = []

    def start(self, name, **settings):
        """A daemon, ready; its log is in memory. The time that it took, in seconds."""
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = os.path.join(self.memory, "notify-%d" % len(self.groups))
        receiver.bind(path)
        receiver.settimeout(READY_TIMEOUT)
        settings = {"AERON_DIR": self.driver, "NOTIFY_SOCKET": path, **settings}
        words = [nodes.program(name)]
        started = time.monotonic()
        group = nodes.Group(words, settings, os.path.join(self.memory, name + ".log"))
        self.groups.append(group)
        try:
            while b"READY=1" not in receiver.recv(4096):
                pass
        except TimeoutError:
            raise nodes.Failure("%s is not ready:\n%s" % (name, group.tail())) from None
        elapsed = time.monotonic() - started
        receiver.close()
        os.unlink(path)
        return elapsed

    @property
    def driver(self):
        return os.path.join(self.memory, "driver")

    def close(self):
        for group in reversed(self.groups):
            group.stop()
        shutil.rmtree(self.memory, ignore_errors=True)
        shutil.rmtree(self.disk, ignore_errors=True)


def rows_of(text):
    rows = {}
    for line in text.splitlines():
        row, value, unit, floor = line.split("\t")
        rows[row] = Value(float(value), unit, None if floor == "-" else floor)
    return rows


def run_program(name, *arguments, directory=None, **settings):
    """Rows that a program of tests/bench prints: name -> Value."""
    words = [nodes.program(name)] + [str(argument) for argument in arguments]
    done = subprocess.run(words, env=nodes.environment(settings), capture_output=True, text=True,
                          cwd=directory, timeout=300, check=False)
    if done.returncode != 0:
        raise nodes.Failure("%s: exit code %d: %s" % (" ".join(words), done.returncode,
                                                      done.stderr))
    return rows_of(done.stdout)


def floor_exec():
    """Starting a program that does nothing."""
    started = time.monotonic()
    subprocess.run(["/bin/true"], check=True)
    return {"floor_exec": Value((time.monotonic() - started) * 1e3, "ms", None)}


def processor_ns(pid):
    """Processor time of all threads of a process; that of threads that ended is gone."""
    total = 0
    for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
        with open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def processor_share(pid, seconds):
    """Percent of one processor."""
    before, started = processor_ns(pid), time.monotonic()
    time.sleep(seconds)
    return (processor_ns(pid) - before) / (time.monotonic() - started) / 1e7


def anonymous_mib(pid):
    """Memory of the process alone: logs and counters are files, which others share."""
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024
