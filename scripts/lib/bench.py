#!/usr/bin/env python3
"""Run the benchmarks of a build and print each row beside the floor of this machine.

usage: bench.py [PATTERN...] [--short] [--runs N] [--readme]

PATTERN is a group (transport, scale, archive, cluster), a subject, or a part of a row's name; all
without one. --short measures three shorter runs instead of five. --readme writes the table of the
transport's goals into README.md.

A subject is a set of rows that are measured together. Each of its runs measures the floors first
and the rows right after them, in daemons of its own; a row shows the least, the middle and the
greatest of its runs, and the middle of the ratios to its floor. Absolute figures of a shared
machine drift from minute to minute: compare the ratios, and look at what others took of the
processors meanwhile. Rows with a goal say whether the middle meets it; the exit code is 0 when all
do.
"""

import argparse
import collections
import os
import statistics
import subprocess
import sys
import time

import bench_cluster
import bench_scale
import bench_table
import bench_transport
from bench_place import Effort, Place, nodes, run_program

RUNS, RUNS_SHORT = 5, 3
SUBJECTS = bench_transport.SUBJECTS + bench_scale.SUBJECTS + bench_cluster.SUBJECTS
GOALS = {**bench_transport.GOALS, **bench_scale.GOALS, **bench_cluster.GOALS}
FOREIGN_SECONDS = 0.2


def foreign_share():
    """Percent of all processors that others take while nothing is measured."""
    def ticks():
        with open("/proc/stat", encoding="ascii") as file:
            numbers = [int(word) for word in file.readline().split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]
    total, idle = ticks()
    time.sleep(FOREIGN_SECONDS)
    total_after, idle_after = ticks()
    return 100 * (1 - (idle_after - idle) / max(1, total_after - total))


def run_once(subject):
    place = Place()
    try:
        rows = {}
        for name, *arguments in subject.floors:
            rows.update(run_program(name, *arguments, directory=place.disk))
        rows.update(subject.run(place))
        return rows
    finally:
        place.close()


def run_subject(subject):
    """The rows of all runs: name -> list of (Value, value of its floor or None); the load."""
    results, load = collections.defaultdict(list), []
    for _ in range(Effort.runs):
        load.append(foreign_share())
        rows = run_once(subject)
        for name, value in rows.items():
            floor = rows.get(value.floor)
            results[name].append((value, floor.value if floor else None))
    return results, load


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
    print("%d runs of each row; x floor is the middle of value / floor of the same run"
          % Effort.runs)


def rows_meant(pattern):
    """Index of a subject -> its rows that the pattern means: a group or subject of that name, or else rows."""
    exact = {index: subject.rows for index, subject in enumerate(SUBJECTS)
             if pattern in (subject.group, subject.name)}
    return exact or {index: [row for row in subject.rows if pattern in row]
                     for index, subject in enumerate(SUBJECTS)}


def chosen_subjects(patterns):
    """Subjects with the rows that any of the patterns means."""
    meant = [rows_meant(pattern) for pattern in patterns or [""]]
    chosen = []
    for index, subject in enumerate(SUBJECTS):
        rows = [row for row in subject.rows if any(row in some.get(index, ()) for some in meant)]
        if rows:
            chosen.append((subject, rows))
    return chosen


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--readme", action="store_true")
    words = parser.parse_args()
    Effort.is_short = words.short
    Effort.runs = words.runs or (RUNS_SHORT if words.short else RUNS)
    return words


def main():
    words = arguments()
    chosen = chosen_subjects(words.patterns)
    if not chosen:
        sys.exit("bench: nothing has \"%s\" in its name; subjects are %s" % (
            " ".join(words.patterns), ", ".join(subject.name for subject in SUBJECTS)))
    print_machine()
    everything, good = {}, True
    for subject, rows in chosen:
        print("\n%s: %s" % (subject.name, subject.config))
        try:
            results, load = run_subject(subject)
        except (nodes.Failure, subprocess.TimeoutExpired) as problem:
            print("failed: %s" % problem, flush=True)
            good = False
            continue
        bench_table.print_rows(results, rows, GOALS)
        print("others took %.0f %% of the processors, at most %.0f %%" % (
            statistics.median(load), max(load)), flush=True)
        good = good and all(bench_table.is_met(results[row], GOALS.get(row)) for row in rows)
        everything.update(results)
    table = bench_table.issue_table(everything, bench_transport.ISSUE_ROWS, GOALS)
    if table:
        print("\n" + table)
    if words.readme:
        missing = [name for _, _, name in bench_transport.ISSUE_ROWS if name not in everything]
        if missing:
            sys.exit("bench: README.md stays as it is, not measured: " + ", ".join(missing))
        bench_table.write_readme(table)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
