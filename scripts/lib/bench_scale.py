"""Benchmark of many: streams, clients and receivers in one driver, and its start beside them.

What is many does nothing; the cost of a message is measured on a stream of its own beside it, and
compared with the same beside a single one. The driver runs as shipped, with room for the counters.
"""

import os
import subprocess
import time

from bench_place import (Effort, Place, Subject, Value, anonymous_mib, nodes, processor_share,
                         run_program)

STREAMS, CLIENTS, RECEIVERS = (1, 100, 1000, 10000), (1, 100, 1000), (1, 64)
VALUES = ("add", "memory", "idle", "message", "rtt_p50")
RESTART_COUNT = 1000
SETTLE_SECONDS = 1.0  # what the adding left to do
ROOM = {"AERON_COUNTERS_BUFFER_LENGTH": "32m"}
ACTIVE_IPC = "aeron:ipc?term-length=1m"


def scale_row(kind, count, what):
    return "scale_%s_%d_%s" % (kind, count, what)


def scale_rows(kind, counts):
    return [scale_row(kind, count, what) for what in VALUES for count in counts]


def hold(place, name, channel, count):
    """Start a program that adds and then waits; the time that the adding took."""
    holder = nodes.Group([nodes.program(name), "added", channel, str(count)],
                         {"AERON_DIR": place.driver}, os.path.join(place.memory, name + ".log"),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    place.groups.append(holder)
    line = holder.process.stdout.readline().decode().split("\t")
    if len(line) != 4:
        raise nodes.Failure("%s: %s" % (name, holder.tail()))
    return float(line[1])


def beside(kind, count, counts, holder, active):
    """The rows of an active stream beside `count` that are held: holder is (program, channel)."""
    place = Place()
    try:
        place.start("driverd", **ROOM)
        pid = place.groups[0].pid
        values = {"add": (hold(place, *holder, count), "ms")}
        time.sleep(SETTLE_SECONDS)
        values["memory"] = anonymous_mib(pid), "MiB"
        values["idle"] = processor_share(pid, Effort.of(3, 1)), "%"
        ends = "split" if active == ACTIVE_IPC else "together"
        rate = run_program("measure_stream", "rate", "-", "exclusive", active, 32,
                           Effort.of(1, 0.5), ends, AERON_DIR=place.driver)["rate"]
        values["message"] = 1e9 / rate.value, "ns"
        trip = run_program("measure_rtt", "rtt", "-", active, active, 32, 2000, 2, "yield",
                           AERON_DIR=place.driver)["rtt_p50"]
        values["rtt_p50"] = trip.value, trip.unit
        return {scale_row(kind, count, what): Value(
            value, unit, None if count == counts[0] else scale_row(kind, counts[0], what))
            for what, (value, unit) in values.items()}
    finally:
        place.close()


def streams_ipc(_):
    rows = {}
    for count in STREAMS:
        rows.update(beside("ipc", count, STREAMS, ("hold_streams", "aeron:ipc?term-length=64k"),
                           ACTIVE_IPC))
    return rows


def streams_udp(_):
    rows, port = {}, nodes.free_port_base(2)
    held, active = ("aeron:udp?endpoint=127.0.0.1:%d|term-length=%s" % pair
                    for pair in ((port, "64k"), (port + 1, "1m")))
    for count in STREAMS:
        rows.update(beside("udp", count, STREAMS, ("hold_streams", held), active))
    return rows


def clients(_):
    rows = {}
    for count in CLIENTS:
        rows.update(beside("clients", count, CLIENTS,
                           ("hold_clients", "aeron:ipc?term-length=64k"), ACTIVE_IPC))
    return rows


def receivers(place):
    place.start("driverd", AERON_THREADING_MODE="SHARED", **ROOM)
    rows, first = {}, "scale_receivers_%d" % RECEIVERS[0]
    for count in RECEIVERS:
        port = nodes.free_port_base(1 + count // 10)
        row = "scale_receivers_%d" % count
        channel = ("aeron:udp?control=127.0.0.1:%d|control-mode=dynamic|fc=min,g:/%d|"
                   "term-length=1m" % (port, count))
        value = run_program("measure_receivers", row, channel, port, count, 1024,
                            Effort.of(2, 1), AERON_DIR=place.driver)[row]
        rows[row] = value._replace(floor=None if row == first else first)
    return rows


def restart(place):
    """A driver that died with its publications; a client adds them again to the next one."""
    place.start("driverd", **ROOM)
    channel = "aeron:udp?endpoint=127.0.0.1:%d|term-length=64k" % nodes.free_port_base(1)
    fresh = hold(place, "hold_streams", channel, RESTART_COUNT)
    for group in place.groups:
        group.kill()
    place.groups.clear()
    started = time.monotonic()
    place.start("driverd", **ROOM)
    ready = time.monotonic() - started
    hold(place, "hold_streams", channel, RESTART_COUNT)
    total = time.monotonic() - started
    return {"restart_fresh": Value(fresh, "ms", None),
            "restart_ready": Value(ready * 1e3, "ms", None),
            "restart_%d" % RESTART_COUNT: Value(total * 1e3, "ms", "restart_fresh")}


GOALS = {}

CONFIG = "driver as shipped, terms 64 KiB, sparse; beside them one stream of 32-byte messages"

SUBJECTS = (
    Subject("scale", "scale_ipc", scale_rows("ipc", STREAMS), [],
            "so many IPC streams, connected and idle; " + CONFIG, streams_ipc),
    Subject("scale", "scale_udp", scale_rows("udp", STREAMS), [],
            "so many UDP streams, connected and idle; " + CONFIG, streams_udp),
    Subject("scale", "scale_clients", scale_rows("clients", CLIENTS), [],
            "so many clients in invoker mode with a publication each; " + CONFIG, clients),
    Subject("scale", "scale_receivers", ["scale_receivers_%d" % count for count in RECEIVERS], [],
            "so many endpoints that receive one stream of 1 KiB messages with min flow control, "
            "control-mode=dynamic; driver as shipped", receivers),
    Subject("scale", "restart", ["restart_fresh", "restart_ready", "restart_%d" % RESTART_COUNT],
            [], "a driver killed with %d streams is started; until its client has them all again"
            % RESTART_COUNT, restart),
)
