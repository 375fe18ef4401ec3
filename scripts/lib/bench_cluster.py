"""Benchmark of the archive and of clusters: recording, echoes, fail-over, idle daemons, starts."""

import glob
import os
import shutil
import time

import bench_place
from bench_place import Effort, Goal, Place, Subject, Value, nodes, processor_ns, run_program

FILLED = {"AERON_TERM_BUFFER_SPARSE_FILE": "false"}
IPC = "aeron:ipc?term-length=16m"
HEARTBEAT_TIMEOUT_MS = 1000.0  # shipped

def record(place):
    rows = {}
    for level in (0, 2):
        directory = os.path.join(place.disk, "level%d" % level)
        inner = Place()
        try:
            inner.start("driverd", **FILLED)
            inner.start("archived", AERON_ARCHIVE_DIR=directory,
                        AERON_ARCHIVE_CONTROL_CHANNEL="aeron:udp?endpoint=127.0.0.1:%d" %
                        nodes.free_port_base(1),
                        AERON_ARCHIVE_FILE_SYNC_LEVEL=str(level),
                        AERON_ARCHIVE_CATALOG_FILE_SYNC_LEVEL=str(level))
            rows.update(run_program("measure_record", "record_level%d" % level,
                                    "floor_disk_stream", IPC, 1024, Effort.of(512, 128),
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
                               "floor_udp_1024", cluster.endpoints, 64, Effort.of(2000, 500),
                               Effort.of(3, 1), **cluster.client_settings)
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
        return {"floor_heartbeat": Value(HEARTBEAT_TIMEOUT_MS, "ms", None),
                "failover_kill": Value(gap_of(cluster, nodes.Node.kill), "ms", "floor_heartbeat"),
                "failover_stop": Value(gap_of(cluster, nodes.Node.stop), "ms", "floor_heartbeat")}
    finally:
        cluster.close()


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
        time.sleep(Effort.of(10, 3))
        elapsed = time.monotonic() - started
        return {"idle_%s_%s" % key: Value(
            (processor_ns(pid) - before[key]) / elapsed / 1e7, "%", None)
            for key, pid in pids.items()}
    finally:
        cluster.close()


def starts(place):
    rows = bench_place.floor_exec()
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
IDLE_ROWS = ["idle_%s_%s" % (role, daemon) for role in ("leader", "follower")
             for daemon in ("driverd", "archived", "consensusd", "servicehost")]
GOALS = {row: Goal("<=", 2.0, "") for row in IDLE_ROWS}
UDP_FLOORS = [["floor_udp", "rtt", "block", "stream"]]

SUBJECTS = (
    Subject("archive", "record", ["record_level0", "record_level0_copy", "record_level2"],
            [["floor_disk"], ["floor_memory", "copy"]],
            "1 KiB messages over IPC, terms 16 MiB, segments 128 MiB on disk, sync level 0 and 2",
            record),
    Subject("cluster", "cluster1", ["cluster1_rtt_p50", "cluster1_rtt_p99", "cluster1_rate"],
            UDP_FLOORS, "64-byte echo, " + CLUSTER_CONFIG, echo(1)),
    Subject("cluster", "cluster3", ["cluster3_rtt_p50", "cluster3_rtt_p99", "cluster3_rate"],
            UDP_FLOORS, "64-byte echo, " + CLUSTER_CONFIG, echo(3)),
    Subject("cluster", "failover", ["failover_kill", "failover_stop"], [],
            "longest time without an answer, heartbeat time-out 1 s, " + CLUSTER_CONFIG, fail_over),
    Subject("cluster", "idle", IDLE_ROWS, [],
            "processor time of each daemon without clients, " + CLUSTER_CONFIG, idle),
    Subject("cluster", "start",
            ["start_driverd", "start_archived", "start_cluster1", "start_cluster3"], [],
            "from exec to READY=1, or to a leader; " + CLUSTER_CONFIG, starts),
)
