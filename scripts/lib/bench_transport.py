"""Benchmark of the transport: driver and client over IPC and loopback UDP.

Two ends and a driver have to live on the machine, which may have two cores only. As a user would,
each subject says where they run:

  - IPC: publisher and subscriber have a core each; the driver takes what it needs of either.
  - UDP, SHARED, spin: the driver's one thread has a core (it is pinned), publisher and subscriber
    are two threads that share the other and yield to each other.
  - UDP, DEDICATED, spin: its three agents yield instead, and are not pinned: more threads that
    spin than cores would measure the time slice of the kernel.
  - backoff and lowcpu: nothing of the driver is pinned.
"""

import os
import subprocess

import bench_place
from bench_place import Effort, Goal, Subject, Value, nodes, run_program

LENGTHS = (32, 100, 1024, 8192)
MTUS = (1408, 8192)

FILLED = {"AERON_TERM_BUFFER_SPARSE_FILE": "false"}
LOWCPU = dict(FILLED)  # as shipped, but that terms have their memory
LOWLATENCY = {**FILLED, "TERN_DRIVER_PROFILE": "lowlatency"}
AGENTS = ("CONDUCTOR", "SENDER", "RECEIVER", "SHARED", "SHAREDNETWORK")
BACKOFF = {**FILLED, **{"AERON_%s_IDLE_STRATEGY_INIT_ARGS" % agent: "10-20-1us-1ms"
                        for agent in AGENTS}}
YIELD = {"AERON_%s_IDLE_STRATEGY" % agent: "yield" for agent in AGENTS}
SHARED = {"AERON_THREADING_MODE": "SHARED"}
DEDICATED = {"AERON_THREADING_MODE": "DEDICATED"}
SHARED_SPIN = {**LOWLATENCY, **SHARED, "AERON_CONDUCTOR_CPU_AFFINITY": "1"}
DEDICATED_SPIN = {**LOWLATENCY, **DEDICATED, **YIELD}

IPC = "aeron:ipc?term-length=16m|mtu=8192"
ADD_COUNT = 1000
# Sparse whatever the profile says: 1 000 filled logs do not fit the memory of a small machine.
ADDING = {"AERON_TERM_BUFFER_SPARSE_FILE": "true", "AERON_TERM_BUFFER_LENGTH": "4m",
          "AERON_COUNTERS_BUFFER_LENGTH": "32m"}


def udp(port, mtu=1408):
    return "aeron:udp?endpoint=127.0.0.1:%d|term-length=16m|mtu=%d" % (port, mtu)


def stream(place, row, floor, words):
    kind, channel, length, placement = words
    return run_program("measure_stream", row, floor, kind, channel, length,
                       Effort.of(0.7, 0.3), placement, AERON_DIR=place.driver)


def round_trip(place, row, floor, words):
    """Words: two channels, length, count, threads, what the ends do."""
    words = list(words)
    words[3] = words[3] // Effort.of(1, 4)
    return run_program("measure_rtt", row, floor, *words, AERON_DIR=place.driver)


# -- IPC -----------------------------------------------------------------------------------------

# What a log costs on this machine by itself: rows beside those of Tern, with the simpler floor.
LOG_FLOORS = ["floor_log_32", "floor_log_1024", "floor_ipc_lines_rtt_p50"]


def ipc_rows(prefix, exclusive, shared):
    return (["%s_exclusive_%d" % (prefix, length) for length in exclusive] +
            ["%s_shared_%d" % (prefix, length) for length in shared] +
            [prefix + "_rtt_p50", prefix + "_rtt_p99"] + LOG_FLOORS)


def ipc(prefix, settings, exclusive, shared, placement="nap"):
    def run(place):
        place.start("driverd", **settings)
        rows = {}
        for kind, lengths in (("exclusive", exclusive), ("shared", shared)):
            for length in lengths:
                rows.update(stream(place, "%s_%s_%d" % (prefix, kind, length),
                                   "floor_ring_%d" % length, (kind, IPC, length, placement)))
        rows.update(round_trip(place, prefix + "_rtt", "floor_ipc_rtt",
                               (IPC, IPC, 32, 200000, 2, "spin")))
        return rows
    floors = [["floor_memory", "rtt", "lines", "log:32", "log:1024"] +
              ["ring:%d" % length for length in exclusive]]
    return ipc_rows(prefix, exclusive, shared), floors, run


def ipc_terms(place):
    place.start("driverd", **LOWCPU)
    rows = {}
    for length, placement in (("64k", "split"), ("1m", "nap"), ("16m", "nap")):
        rows.update(stream(place, "ipc_terms_" + length, "floor_ring_32",
                           ("exclusive", "aeron:ipc?term-length=" + length, 32, placement)))
    return rows


# -- UDP -----------------------------------------------------------------------------------------

def udp_streams(prefix, settings, lengths):
    pairs = [(mtu, length) for mtu in MTUS for length in lengths]

    def run(place):
        place.start("driverd", **settings)
        rows, port = {}, nodes.free_port_base(1)
        for mtu, length in pairs:
            rows.update(stream(place, "%s_%d_mtu%d" % (prefix, length, mtu),
                               "floor_gso_%d_mtu%d" % (length, mtu),
                               ("exclusive", udp(port, mtu), length, "together")))
        return rows
    return (["%s_%d_mtu%d" % (prefix, length, mtu) for mtu, length in pairs],
            [["floor_udp"] + ["gso:%d" % mtu for mtu in MTUS]], run)


TRIP_FLOOR, RELAY_FLOOR, BLOCK_FLOOR = ("floor_udp_rtt", "floor_udp_relay_rtt",
                                        "floor_udp_block_rtt")
DEFAULT_TRIPS = [("udp_rtt_default", BLOCK_FLOOR, 32, 4000, 2, "yield"),
                 ("udp_rtt_default_wait", BLOCK_FLOOR, 32, 4000, 2, "wait")]


def udp_trips(settings, trips):
    """Each trip: (row, floor, length, count, threads, what the ends do)."""
    def run(place):
        place.start("driverd", **settings)
        rows, port = {}, nodes.free_port_base(1)
        for row, floor, *words in trips:
            rows.update(round_trip(place, row, floor, (udp(port), udp(port + 1), *words)))
        return rows
    rows = [trip[0] + suffix for trip in trips for suffix in ("_p50", "_p99")]
    return rows, [["floor_udp", "rtt", "relay"]], run


def default_round_trips(place):
    """Also what the driver takes while the ends are there and say nothing."""
    rows = udp_trips({}, DEFAULT_TRIPS)[2](place)
    channel = udp(nodes.free_port_base(1))
    holder = nodes.Group([nodes.program("hold_streams"), "held", channel, "2"],
                         {"AERON_DIR": place.driver}, os.path.join(place.memory, "hold.log"),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    place.groups.append(holder)
    if not holder.process.stdout.readline():
        raise nodes.Failure("hold_streams: " + holder.tail())
    pid = place.groups[0].pid
    bench_place.processor_share(pid, 1)  # what the adding left to do
    rows["udp_rtt_default_idle"] = Value(bench_place.processor_share(pid, Effort.of(4, 2)), "%",
                                         None)
    return rows


# -- the driver itself ---------------------------------------------------------------------------

DRIVERS = {"default": {}, "spin": SHARED_SPIN, "dedicated": DEDICATED}
IDLE_DRIVERS = ("default", "dedicated")


def driver(place):
    rows = bench_place.floor_exec()
    for name in IDLE_DRIVERS:
        inner = bench_place.Place()
        try:
            ready = inner.start("driverd", **DRIVERS[name])
            rows["driver_ready_" + name] = Value(ready * 1e3, "ms", "floor_exec")
            pid = inner.groups[0].pid
            bench_place.processor_share(pid, 1)  # what the start left to do
            share = bench_place.processor_share(pid, Effort.of(4, 2))
            rows["driver_idle_" + name] = Value(share, "%", None)
            rows["driver_memory_" + name] = Value(bench_place.anonymous_mib(pid), "MiB", None)
        finally:
            inner.close()
    return rows


def add(place):
    """Publications of a channel as shipped, terms of 4 MiB, sparse."""
    rows = run_program("floor_files", place.memory, ADD_COUNT, 3 * 4 * 1024 * 1024 + 4096)
    channel = "aeron:udp?endpoint=127.0.0.1:%d" % nodes.free_port_base(1)
    for name, settings in DRIVERS.items():
        inner = bench_place.Place()
        try:
            inner.start("driverd", **{**settings, **ADDING})
            for mode in ("single", "pipelined"):
                row = "add_%s_%s" % (mode, name)
                value = run_program("measure_add", row, channel, ADD_COUNT, mode,
                                    AERON_DIR=inner.driver)[row]
                rows[row] = value._replace(floor="floor_files")
        finally:
            inner.close()
    return rows


# -- rows, goals ---------------------------------------------------------------------------------

GOALS = {
    "ipc_exclusive_32": Goal(">=", 150e6, "119 - 150 M"),
    "ipc_shared_32": Goal(">=", 75e6, "52 - 62 M"),
    "ipc_exclusive_1024": Goal(">=", 12e6, "10 M"),
    "ipc_rtt_p50": Goal("<=", 0.12, "0.12"),
    "udp_shared_spin_32_mtu1408": Goal(">=", 20e6, "4.0 M"),
    "udp_dedicated_spin_32_mtu1408": Goal(">=", 20e6, "6.0 M"),
    "udp_shared_spin_1024_mtu1408": Goal(">=", 1.5e6, "0.25 - 0.31 M"),
    "udp_dedicated_spin_1024_mtu1408": Goal(">=", 1.5e6, "0.25 - 0.31 M"),
    "udp_shared_spin_1024_mtu8192": Goal(">=", 3e6, "1.34 - 1.5 M"),
    "udp_dedicated_spin_1024_mtu8192": Goal(">=", 3e6, "1.34 - 1.5 M"),
    "udp_shared_spin_32_mtu8192": Goal(">=", 35e6, "14 - 23 M"),
    "udp_dedicated_spin_32_mtu8192": Goal(">=", 35e6, "14 - 23 M"),
    "udp_rtt_p50": Goal("<=", 10, "14 - 16"),
    "udp_rtt_default_p50": Goal("<=", 60, "47"),
    "udp_rtt_default_idle": Goal("<=", 1, ""),
    "ipc_terms_64k": Goal("", None, "0.3 M"),
    "ipc_terms_1m": Goal(">=", 50e6, "3.7 M"),
    "ipc_terms_16m": Goal(">=", 50e6, "35 M"),
    "driver_idle_default": Goal("<=", 0.5, "1.7 SHARED"),
    "driver_idle_dedicated": Goal("<=", 0.5, "4"),
    "driver_memory_default": Goal("<=", 2, "0.5"),
    "driver_memory_dedicated": Goal("<=", 2, "0.5"),
    "driver_ready_default": Goal("<=", 20, "40"),
    "driver_ready_dedicated": Goal("<=", 20, "40"),
    "add_single_default": Goal("<=", 500, "32 000"),
    "add_single_spin": Goal("<=", 500, "32 000"),
    "add_single_dedicated": Goal("<=", 500, "32 000"),
    "add_pipelined_default": Goal("<=", 100, "110 SHARED"),
    "add_pipelined_spin": Goal("<=", 100, "110 SHARED"),
    "add_pipelined_dedicated": Goal("<=", 100, "1 400"),
}


def subject(name, config, parts):
    rows, floors, run = parts
    return Subject("transport", name, rows, floors, config, run)


SPIN_ENDS = "driver lowlatency, SHARED, pinned to core 1; "
STREAM_ENDS = "; publisher and subscriber share core 0 and yield"
DEDICATED_ENDS = "; publisher and subscriber share core 0, the driver runs where the kernel puts it"

SUBJECTS = (
    subject("ipc", "driver as shipped (lowcpu); terms 16 MiB, MTU 8192; publisher and subscriber "
            "have a core each; the publisher spins, the subscriber sleeps for 1 us (some 60 with "
            "the kernel's slack) whenever it has caught up; both ends of a round trip spin",
            ipc("ipc", LOWCPU, LENGTHS, LENGTHS)),
    subject("ipc_spin", "as ipc, but the subscriber spins",
            ipc("ipc_spin", LOWCPU, (32, 1024), (32,), "split")),
    subject("ipc_yield", "as ipc, but the driver yields",
            ipc("ipc_yield", {**LOWCPU, **YIELD}, (32, 1024), ())),
    subject("ipc_backoff", "as ipc, but the driver with backoff 10-20-1us-1ms",
            ipc("ipc_backoff", BACKOFF, (32, 1024), ())),
    subject("ipc_terms", "as ipc, exclusive, 32 bytes, terms as in the name; with 64 KiB, "
            "where a nap outlasts the window, the subscriber spins",
            (["ipc_terms_64k", "ipc_terms_1m", "ipc_terms_16m"], [["floor_memory", "ring:32"]],
             ipc_terms)),
    subject("udp_shared_spin", SPIN_ENDS + "terms 16 MiB" + STREAM_ENDS,
            udp_streams("udp_shared_spin", SHARED_SPIN, LENGTHS)),
    subject("udp_dedicated_spin", "driver lowlatency, DEDICATED, its agents yield; terms 16 MiB" +
            DEDICATED_ENDS, udp_streams("udp_dedicated_spin", DEDICATED_SPIN, LENGTHS)),
    subject("udp_shared_backoff", "driver SHARED, backoff 10-20-1us-1ms, receiver window 128 KiB; "
            "terms 16 MiB" + STREAM_ENDS,
            udp_streams("udp_shared_backoff", {**BACKOFF, **SHARED}, (32, 1024))),
    subject("udp_dedicated_backoff", "as udp_shared_backoff, but DEDICATED",
            udp_streams("udp_dedicated_backoff", {**BACKOFF, **DEDICATED}, (32, 1024))),
    subject("udp_shared_lowcpu", "driver as shipped (SHARED, lowcpu, receiver window 128 KiB); "
            "terms 16 MiB" + STREAM_ENDS, udp_streams("udp_shared_lowcpu", LOWCPU, (32, 1024))),
    subject("udp_dedicated_lowcpu", "as udp_shared_lowcpu, but DEDICATED",
            udp_streams("udp_dedicated_lowcpu", {**LOWCPU, **DEDICATED}, (32, 1024))),
    subject("udp_rtt", SPIN_ENDS + "two ends that yield on core 0 (spin: one thread that polls for "
            "both ends)", udp_trips(SHARED_SPIN, [
                ("udp_rtt", RELAY_FLOOR, 32, 20000, 2, "yield"),
                ("udp_rtt_1024", RELAY_FLOOR, 1024, 20000, 2, "yield"),
                ("udp_rtt_spin", TRIP_FLOOR, 32, 20000, 1, "spin")])),
    subject("udp_rtt_dedicated", "driver lowlatency, DEDICATED, its agents yield; two ends that "
            "yield on core 0", udp_trips(DEDICATED_SPIN, [
                ("udp_rtt_dedicated", RELAY_FLOOR, 32, 20000, 2, "yield")])),
    subject("udp_rtt_default", "driver as shipped (lowcpu); two ends that yield on core 0 (wait: "
            "that sleep in tern_subscription_wait; idle: the driver's time with two streams that "
            "say nothing)", (["udp_rtt_default_p50", "udp_rtt_default_p99",
                              "udp_rtt_default_wait_p50", "udp_rtt_default_wait_p99",
                              "udp_rtt_default_idle"], [["floor_udp", "block"]],
                             default_round_trips)),
    subject("driver", "without clients; default: as shipped (SHARED, lowcpu), dedicated: the same "
            "with DEDICATED", (
                ["driver_%s_%s" % (what, name) for what in ("idle", "memory", "ready")
                 for name in IDLE_DRIVERS], [], driver)),
    subject("add", "%d publications of a UDP channel, terms 4 MiB, sparse; default: driver as "
            "shipped (SHARED, lowcpu), dedicated: the same with DEDICATED, spin: lowlatency, "
            "SHARED, pinned" % ADD_COUNT, (
                ["add_%s_%s" % (mode, name) for name in DRIVERS
                 for mode in ("single", "pipelined")], [], add)),
)

# The table of goals: what it is called, its unit, the row.
ISSUE_ROWS = (
    ("IPC exclusive offer, 32 B", "msg/s", "ipc_exclusive_32"),
    ("IPC shared offer, 32 B", "msg/s", "ipc_shared_32"),
    ("IPC exclusive offer, 1 KiB", "msg/s", "ipc_exclusive_1024"),
    ("IPC round trip, 32 B, spinning ends, p50", "us", "ipc_rtt_p50"),
    ("UDP, 32 B, MTU 1408, SHARED", "msg/s", "udp_shared_spin_32_mtu1408"),
    ("UDP, 32 B, MTU 1408, DEDICATED", "msg/s", "udp_dedicated_spin_32_mtu1408"),
    ("UDP, 1 KiB, MTU 1408, SHARED", "msg/s", "udp_shared_spin_1024_mtu1408"),
    ("UDP, 1 KiB, MTU 1408, DEDICATED", "msg/s", "udp_dedicated_spin_1024_mtu1408"),
    ("UDP, 1 KiB, MTU 8192, SHARED", "msg/s", "udp_shared_spin_1024_mtu8192"),
    ("UDP, 1 KiB, MTU 8192, DEDICATED", "msg/s", "udp_dedicated_spin_1024_mtu8192"),
    ("UDP, 32 B, MTU 8192, SHARED", "msg/s", "udp_shared_spin_32_mtu8192"),
    ("UDP, 32 B, MTU 8192, DEDICATED", "msg/s", "udp_dedicated_spin_32_mtu8192"),
    ("UDP round trip, 32 B, SHARED, yielding ends, p50", "us", "udp_rtt_p50"),
    ("UDP round trip, 32 B, as shipped, p50", "us", "udp_rtt_default_p50"),
    ("the driver meanwhile, with idle ends", "% of a core", "udp_rtt_default_idle"),
    ("IPC exclusive, 32 B, as shipped, terms 64 KiB", "msg/s", "ipc_terms_64k"),
    ("IPC exclusive, 32 B, as shipped, terms 1 MiB", "msg/s", "ipc_terms_1m"),
    ("IPC exclusive, 32 B, as shipped, terms 16 MiB", "msg/s", "ipc_terms_16m"),
    ("Idle driver, as shipped", "% of a core", "driver_idle_default"),
    ("Idle driver, DEDICATED", "% of a core", "driver_idle_dedicated"),
    ("Anonymous memory of the driver", "MiB", "driver_memory_default"),
    ("Driver, start to ready", "ms", "driver_ready_default"),
    ("1 000 publications, one after another, as shipped", "ms", "add_single_default"),
    ("1 000 publications, one after another, DEDICATED", "ms", "add_single_dedicated"),
    ("1 000 publications, pipelined, as shipped", "ms", "add_pipelined_default"),
    ("1 000 publications, pipelined, SHARED, spinning", "ms", "add_pipelined_spin"),
    ("1 000 publications, pipelined, DEDICATED", "ms", "add_pipelined_dedicated"),
)
