"""Benchmark of many streams in one driver."""

import os
import subprocess
import time

from bench_place import (Effort, Place, Subject, Value, anonymous_mib, nodes, processor_share,
                         run_program)

SCALE_COUNTS = (1, 100, 1000)
SCALE_VALUES = ("add", "memory", "idle", "message", "rtt_p50")


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
        values = {"add": (float(line[1]), "ms"), "memory": (anonymous_mib(pid), "MiB"),
                  "idle": (processor_share(pid, Effort.of(3, 1)), "%")}
        rate = run_program("measure_stream", "rate", "-", "exclusive", active, 32,
                           Effort.of(2, 1), AERON_DIR=place.driver)["rate"]
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


GOALS = {}

SUBJECTS = (
    Subject("scale", "scale", [scale_row(kind, count, what) for kind in ("ipc", "udp")
                               for what in SCALE_VALUES for count in SCALE_COUNTS], [],
            "so many idle streams and one active one of 32-byte messages, which costs as much as "
            "beside a single idle one; driver as shipped", scale),
)
