#!/usr/bin/env python3
"""Run the benchmarks of a build and print each row beside the floor of this machine.

usage: bench.py [PATTERN] [--short]

A subject is a set of rows that are measured together. Each of its runs measures the floors first
and the rows right after them, in daemons of its own; a row shows the least, the middle and the
greatest of its runs, and the middle of the ratios to its floor. Absolute figures of a shared
machine drift from minute to minute: compare the ratios. Rows with a limit are marked when the
middle is above it.
"""

import collections
import glob
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
import cluster as nodes  # noqa: E402  pylint: disable=wrong-import-position

RUNS, RUNS_SHORT = 5, 3
READY_TIMEOUT = 30.0
HEARTBEAT_TIMEOUT_MS = 1000.0  # shipped

SCALE_COUNTS = (1, 100, 1000)
SCALE_VALUES = ("add", "memory", "idle", "message", "rtt_p50")

# What a median may not be above: a number, or so many times the floor.
LIMITS = {"udp_rtt_p50": ("x", 4.0)}
LIMITS.update({"idle_%s_%s" % (role, daemon): ("", 2.0) for role in ("leader", "follower")
               for daemon in ("driverd", "archived", "consensusd", "servicehost")})

Value = collections.namedtuple("Value", "value unit floor")
Subject = collections.namedtuple("Subject", "name rows floors config run")

short = "--short" in sys.argv


class Place:
    """Directories of one run: one in memory, one on the disk of the build."""

    def __init__(self):
        self.memory = tempfile.mkdtemp(prefix="tern-bench-", dir="/dev/shm")
        self.disk = tempfile.mkdtemp(prefix="bench-", dir=nodes.BUILD)
        self.groups = []

    def start(self, name, **settings):
        """A daemon, ready; its log is in memory."""
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = os.path.join(self.memory, "notify-%d" % len(self.groups))
        receiver.bind(path)
        receiver.settimeout(READY_TIMEOUT)
        settings = {"AERON_DIR": self.driver, "NOTIFY_SOCKET": path, **settings}
        started = time.monotonic()
        group = nodes.Group([nodes.program(name)], settings,
                            os.path.join(self.memory, name + ".log"))
        self.groups.append(group)
        try:
            while b"READY=1" not in receiver.recv(4096):
                pass
        except TimeoutError:
            raise nodes.Failure("%s is not ready:\n%s" % (name, group.tail())) from None
        receiver.close()
        return time.monotonic() - started

    @property
    def driver(self):
        return os.path.join(self.memory, "driver")

    def close(self):
        for group in reversed(self.groups):
            group.stop()
        shutil.rmtree(self.memory, ignore_errors=True)
        shutil.rmtree(self.disk, ignore_errors=True)


def run_program(name, *arguments, directory=None, **settings):
    """Rows that a program of tests/bench prints: name -> Value."""
    words = [nodes.program(name)] + [str(argument) for argument in arguments]
    done = subprocess.run(words, env=nodes.environment(settings), capture_output=True, text=True,
                          cwd=directory, timeout=300, check=False)
    if done.returncode != 0:
        raise nodes.Failure("%s: exit code %d: %s" % (" ".join(words), done.returncode,
                                                      done.stderr))
    rows = {}
    for line in done.stdout.splitlines():
        row, value, unit, floor = line.split("\t")
        rows[row] = Value(float(value), unit, None if floor == "-" else floor)
    return rows


# -- subjects ------------------------------------------------------------------------------------

SMALL = {"AERON_TERM_BUFFER_SPARSE_FILE": "false"}
SPINNING = {**SMALL, "AERON_SHARED_IDLE_STRATEGY": "noop"}
IPC = "aeron:ipc?term-length=16m"


def udp(port, extra=""):
    return "aeron:udp?endpoint=127.0.0.1:%d|term-length=16m|mtu=1408%s" % (port, extra)


def ipc(place):
    place.start("driverd", **SMALL)
    rows = {}
    for kind in ("exclusive", "shared"):
        for length in (32, 1024):
            rows.update(run_program("measure_stream", "ipc_%s_%d" % (kind, length),
                                    "floor_ring_%d" % length, kind, IPC, length,
                                    1 if short else 2, AERON_DIR=place.driver))
    rows.update(run_program("measure_rtt", "ipc_rtt", "floor_ipc_rtt", IPC, IPC, 32,
                            50000 if short else 200000, 2, AERON_DIR=place.driver))
    return rows


def udp_streams(place):
    place.start("driverd", **SPINNING)
    rows, port = {}, nodes.free_port_base(1)
    for length in (32, 1024):
        rows.update(run_program("measure_stream", "udp_%d" % length, "floor_udp_%d" % length,
                                "exclusive", udp(port), length, 1 if short else 2,
                                AERON_DIR=place.driver))
    return rows


def udp_round_trip(name, floor, settings, count):
    def run(place):
        place.start("driverd", **settings)
        port = nodes.free_port_base(1)
        return run_program("measure_rtt", name, floor, udp(port), udp(port + 1), 32,
                           count // 4 if short else count, 1, AERON_DIR=place.driver)
    return run


def record(place):
    rows = {}
    for level in (0, 2):
        directory = os.path.join(place.disk, "level%d" % level)
        inner = Place()
        try:
            inner.start("driverd", **SMALL)
            inner.start("archived", AERON_ARCHIVE_DIR=directory,
                        AERON_ARCHIVE_CONTROL_CHANNEL="aeron:udp?endpoint=127.0.0.1:%d" %
                        nodes.free_port_base(1),
                        AERON_ARCHIVE_FILE_SYNC_LEVEL=str(level),
                        AERON_ARCHIVE_CATALOG_FILE_SYNC_LEVEL=str(level))
            rows.update(run_program("measure_record", "record_level%d" % level,
                                    "floor_disk_stream", IPC, 1024, 128 if short else 512,
                                    AERON_DIR=inner.driver))
        finally:
            inner.close()
        shutil.rmtree(directory, ignore_errors=True)
    rows["record_level0_copy"] = rows["record_level0"]._replace(floor="floor_memcpy")
    return rows


def echo(count):
    def run(_):
        cluster = nodes.Cluster(count, service="echo")
        try:
            cluster.start()
            return run_program("measure_cluster", "cluster%d" % count, "floor_udp_block_rtt",
                               "floor_udp_1024", cluster.endpoints, 64, 500 if short else 2000,
                               1 if short else 3, **cluster.client_settings)
        finally:
            cluster.close()
    return run


def gap_of(cluster, end):
    """Longest time without an answer while the leader ends as told, in ms."""
    load = nodes.Workload(cluster, rate=1000, sessions=2, window=1)
    load.wait_answered(500)
    end(cluster.wait_leader())
    load.wait_answered(500)
    cluster.start()
    return load.finish().longest_gap()[0] / 1e6


def fail_over(_):
    cluster = nodes.Cluster(3)
    try:
        cluster.start()
        return {"failover_kill": Value(gap_of(cluster, nodes.Node.kill), "ms", "floor_heartbeat"),
                "failover_stop": Value(gap_of(cluster, nodes.Node.stop), "ms", "floor_heartbeat")}
    finally:
        cluster.close()


def processor_ns(pid):
    """Processor time of all threads of a process; that of threads that ended is gone."""
    total = 0
    for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
        with open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def daemons_of(node):
    """pid -> name of the daemons of a node."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/comm"):
        pid = int(path.split("/")[2])
        try:
            with open(path, encoding="ascii") as file:
                name = file.read().strip()
            if os.getpgid(pid) == node.group.pid and name in nodes.DAEMONS:
                found[pid] = name
        except (OSError, ProcessLookupError):
            continue
    return found


def idle(_):
    cluster = nodes.Cluster(3)
    try:
        leader = cluster.start()
        roles = {"leader": leader, "follower": cluster.followers()[0]}
        pids = {(role, name): pid for role, node in roles.items()
                for pid, name in daemons_of(node).items()}
        time.sleep(1)  # let the caches of the start be freed; nothing waits for it
        before = {key: processor_ns(pid) for key, pid in pids.items()}
        started = time.monotonic()
        time.sleep(3 if short else 10)
        elapsed = time.monotonic() - started
        return {"idle_%s_%s" % key: Value(
            (processor_ns(pid) - before[key]) / elapsed / 1e7, "%", None)
            for key, pid in pids.items()}
    finally:
        cluster.close()


def resident_mib(pid):
    """Memory of the process alone: logs and counters are files, which others share."""
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024


def processor_share(pid, seconds):
    """Percent of one processor."""
    before, started = processor_ns(pid), time.monotonic()
    time.sleep(seconds)
    return (processor_ns(pid) - before) / (time.monotonic() - started) / 1e7


def scale_row(kind, count, what):
    return "scale_%s_%d_%s" % (kind, count, what)


def scale_with(kind, count, held, active):
    """Streams on the channel `held` that do nothing, and one that does on `active`."""
    place = Place()
    try:
        place.start("driverd", AERON_COUNTERS_BUFFER_LENGTH="32m")
        pid = place.groups[0].pid
        holder = nodes.Group([nodes.program("hold_streams"), "add", held, str(count)],
                             {"AERON_DIR": place.driver}, os.path.join(place.memory, "hold.log"),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        place.groups.append(holder)
        line = holder.process.stdout.readline().decode().split("\t")
        if len(line) != 4:
            raise nodes.Failure("hold_streams: " + holder.tail())
        time.sleep(1)  # what the adding left to do
        values = {"add": (float(line[1]), "ms"), "memory": (resident_mib(pid), "MiB"),
                  "idle": (processor_share(pid, 1 if short else 3), "%")}
        rate = run_program("measure_stream", "rate", "-", "exclusive", active, 32,
                           1 if short else 2, AERON_DIR=place.driver)["rate"]
        values["message"] = 1e9 / rate.value, "ns"
        trip = run_program("measure_rtt", "rtt", "-", active, active, 32, 2000, 1,
                           AERON_DIR=place.driver)["rtt_p50"]
        values["rtt_p50"] = trip.value, trip.unit
        first = SCALE_COUNTS[0]
        return {scale_row(kind, count, what): Value(
            value, unit, None if count == first else scale_row(kind, first, what))
            for what, (value, unit) in values.items()}
    finally:
        place.close()


def scale(_):
    rows, port = {}, nodes.free_port_base(2)
    for count in SCALE_COUNTS:
        rows.update(scale_with("ipc", count, "aeron:ipc?term-length=64k",
                               "aeron:ipc?term-length=1m"))
        rows.update(scale_with("udp", count,
                               "aeron:udp?endpoint=127.0.0.1:%d|term-length=64k" % port,
                               "aeron:udp?endpoint=127.0.0.1:%d|term-length=1m" % (port + 1)))
    return rows


def starts(place):
    rows = {}
    started = time.monotonic()
    subprocess.run(["/bin/true"], check=True)
    rows["floor_exec"] = Value((time.monotonic() - started) * 1e3, "ms", None)
    rows["start_driverd"] = Value(place.start("driverd") * 1e3, "ms", "floor_exec")
    rows["start_archived"] = Value(place.start(
        "archived", AERON_ARCHIVE_DIR=os.path.join(place.memory, "archive"),
        AERON_ARCHIVE_CONTROL_CHANNEL="aeron:udp?endpoint=127.0.0.1:%d" %
        nodes.free_port_base(1)) * 1e3, "ms", "floor_exec")
    for count in (1, 3):
        cluster = nodes.Cluster(count)
        try:
            started = time.monotonic()
            cluster.start()
            rows["start_cluster%d" % count] = Value((time.monotonic() - started) * 1e3, "ms",
                                                    "floor_exec")
        finally:
            cluster.close()
    return rows


CLUSTER_CONFIG = "shipped idle strategies, SHARED, terms 64 KiB, files in /dev/shm, sync level 0"

SUBJECTS = (
    Subject("ipc", ["ipc_exclusive_32", "ipc_exclusive_1024", "ipc_shared_32", "ipc_shared_1024",
                    "ipc_rtt_p50", "ipc_rtt_p99"], ["floor_memory"],
            "terms 16 MiB, driver SHARED lowcpu; publisher and subscriber spin", ipc),
    Subject("udp", ["udp_32", "udp_1024"], ["floor_udp"],
            "terms 16 MiB, MTU 1408, driver SHARED noop; one client thread spins", udp_streams),
    Subject("udp_rtt", ["udp_rtt_p50", "udp_rtt_p99"], ["floor_udp"],
            "as udp; the client thread plays both ends",
            udp_round_trip("udp_rtt", "floor_udp_rtt", SPINNING, 40000)),
    Subject("udp_default", ["udp_default_rtt_p50", "udp_default_rtt_p99"], ["floor_udp"],
            "as udp_rtt, but the driver as shipped (lowcpu)",
            udp_round_trip("udp_default_rtt", "floor_udp_block_rtt", SMALL, 4000)),
    Subject("record", ["record_level0", "record_level0_copy", "record_level2"],
            ["floor_disk", "floor_memory"],
            "1 KiB messages over IPC, terms 16 MiB, segments 128 MiB on disk, sync level 0 and 2",
            record),
    Subject("cluster1", ["cluster1_rtt_p50", "cluster1_rtt_p99", "cluster1_rate"], ["floor_udp"],
            "64-byte echo, " + CLUSTER_CONFIG, echo(1)),
    Subject("cluster3", ["cluster3_rtt_p50", "cluster3_rtt_p99", "cluster3_rate"], ["floor_udp"],
            "64-byte echo, " + CLUSTER_CONFIG, echo(3)),
    Subject("failover", ["failover_kill", "failover_stop"], [],
            "longest time without an answer, heartbeat time-out 1 s, " + CLUSTER_CONFIG, fail_over),
    Subject("idle", [row for row in LIMITS if row.startswith("idle_")], [],
            "processor time of each daemon without clients, " + CLUSTER_CONFIG, idle),
    Subject("scale", [scale_row(kind, count, what) for kind in ("ipc", "udp")
                      for what in SCALE_VALUES for count in SCALE_COUNTS], [],
            "so many idle streams and one active one of 32-byte messages, which costs as much as "
            "beside a single idle one; driver as shipped", scale),
    Subject("start", ["start_driverd", "start_archived", "start_cluster1", "start_cluster3"], [],
            "from exec to READY=1, or to a leader; " + CLUSTER_CONFIG, starts),
)


# -- runs and the table --------------------------------------------------------------------------

def run_subject(subject):
    """The rows of all runs: name -> list of (Value, value of its floor or None)."""
    results = collections.defaultdict(list)
    for _ in range(RUNS_SHORT if short else RUNS):
        place = Place()
        try:
            rows = {"floor_heartbeat": Value(HEARTBEAT_TIMEOUT_MS, "ms", None)}
            for floor in subject.floors:
                rows.update(run_program(floor, place.disk))
            rows.update(subject.run(place))
        finally:
            place.close()
        for name, value in rows.items():
            floor = rows.get(value.floor)
            results[name].append((value, floor.value if floor else None))
    return results


def print_row(name, runs):
    values = [value.value for value, _ in runs]
    ratios = [value.value / floor for value, floor in runs if floor]
    middle = statistics.median(values)
    ratio = statistics.median(ratios) if ratios else None
    kind, limit = LIMITS.get(name, ("", None))
    checked = ratio if kind == "x" else middle
    mark = " above the limit of %g%s" % (limit, " floors" if kind == "x" else "") \
        if limit is not None and checked is not None and checked > limit else ""
    print("%-26s %12s %12s %12s %-6s %9s  %s%s" % (
        name, *("%.6g" % value for value in (min(values), middle, max(values))),
        runs[0][0].unit, "" if ratio is None else "%.3g" % ratio, runs[0][0].floor or "", mark),
        flush=True)
    return not mark


def print_machine():
    def line(path):
        try:
            with open(path, encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return "?"
    print("kernel %s, %d processors, load %s, guest_halt_poll_ns %s" % (
        os.uname().release, os.cpu_count(), " ".join(line("/proc/loadavg").split()[:3]),
        line("/sys/module/haltpoll/parameters/guest_halt_poll_ns")))
    print("%d runs of each row; x floor is the middle of value / floor of the same run" % (
        RUNS_SHORT if short else RUNS))


def main():
    words = [word for word in sys.argv[1:] if word != "--short"]
    if len(words) > 1 or any(word.startswith("-") for word in words):
        sys.exit(__doc__)
    pattern = words[0] if words else ""
    chosen = [(subject, [row for row in subject.rows if pattern in row or pattern == subject.name])
              for subject in SUBJECTS]
    chosen = [(subject, rows) for subject, rows in chosen if rows]
    if not chosen:
        sys.exit("bench: no row has \"%s\" in its name; rows are\n  %s" % (
            pattern, "\n  ".join(row for subject in SUBJECTS for row in subject.rows)))
    print_machine()
    good = True
    for subject, rows in chosen:
        print("\n%s: %s" % (subject.name, subject.config))
        print("%-26s %12s %12s %12s %-6s %9s  %s" % ("row", "min", "median", "max", "unit",
                                                     "x floor", "floor"))
        try:
            results = run_subject(subject)
        except (nodes.Failure, subprocess.TimeoutExpired) as problem:
            print("failed: %s" % problem, flush=True)
            good = False
            continue
        floors = {value.floor for row in rows for value, _ in results[row]} - {None}
        for name in sorted(floors) + rows:
            good = print_row(name, results[name]) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
