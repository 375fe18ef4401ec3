"""The simulation's own tests: seeds that once found a bug, determinism, planted bugs, fresh seeds.

    test_sim.py SIM [WORD...]
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap

SIM = sys.argv.pop(1)
# In a build with sanitizers an error ends the run as a failed assert does, with the last events.
for name, options in (("ASAN_OPTIONS", "abort_on_error=1:allow_user_segv_handler=0"),
                      ("UBSAN_OPTIONS", "abort_on_error=1:print_stacktrace=1")):
    os.environ[name] = os.environ.get(name, "") + ":" + options
SEED_TIMEOUT_S = 300
FRESH_COUNT = int(os.environ.get("TERN_SIM_FRESH", "24"))
SANITIZED_COUNT = 8
JOBS = os.cpu_count() or 1

# Seeds that found a bug, and which. A seed means another run whenever the simulation or a daemon
# draws or does something more, so these are a choice that has proved to go to dark corners. All are
# of the list workload. None had a transport beside it, which would make another run of it.
FOUND = {
    101: "a snapshot in a catch-up, while the services were asked to join",
    105: "the same on five nodes",
    1005: "an end found by recovery that was not durable",
    2018: "a replay that broke off before the services joined",
    4054: "a leader's log that was not recorded any more while a snapshot was due",
    4221: "egress that could not be made at once",
    6059: "a short replay that was over before a stalled service joined it",
}
# The same, of runs that draw their workload.
FOUND_ELSEWHERE = {
    5000162: "a recording that began after its stop was asked for",
    5000186: "a leader's recording that failed while its services still joined",
    5000727: "bytes of a failed write that came back behind an extension",
    7000214: "members that waited for a leader below the term that they had promised",
    10001271: "a copy of the leader's log that failed before it was recorded",
    6000368: "a dead client with a heartbeat from the future, after the clock was set back",
}
# The same, of runs that were chosen in more than the seed.
FOUND_WITH = {
    600113: ("--faults disk,crash --minutes 1.5 --clients 1 --nodes 3 --transport none",
             "a stop position of which a failing disk wrote a part: the recording was set aside"),
}
# Seeds with a transport beside the cluster: as they draw it, or chosen.
FOUND_BESIDE = {
    70000155: ("", "multicast-max: an image that a dead client's subscription broke in the calm"),
    70000181: ("", "twins: both began behind what their image needed, which was in no log any more"),
    70000342: ("", "twins: the same, when the source that had it lost its driver"),
    90200026: ("--transport sessions --minutes 1",
               "terms behind a cut that a failing disk broke off: a copy of the log ended in a frame"),
    130000197: ("", "the check took a timer's event for one of a later schedule, and the next for none"),
    120000135: ("", "untethered: a sender that a pad took beyond the window was not heard any more"),
}
FIXED = (7, 10)
WITH_TIMERS = (8, 11)
TWICE = (3, 101)

# What found bugs before there were timers and transports beside the cluster is repeated without.
ALONE = ("--timers", "off", "--transport", "none")

# How many seeds each planted bug may take, and what it needs in the run; most take one. The workload
# is the list, without timers, where nothing is said.
PLANTED = {
    "own-vote-suffices": (60, "--faults", "net,crash"),
    "shorter-log-elected": (40, "--faults", "net,crash"),
    "node-state-not-written": (5, "--faults", "net,crash"),
    "recording-log-not-synced": (60, "--faults", "crash"),
    "segments-not-synced": (40, "--faults", "crash"),
    "minority-commits": (5,),
    "uncommitted-served": (20, "--faults", "net,crash"),
    "truncation-forgotten": (40, "--faults", "net,crash"),
    "gap-not-rebuilt": (20, "--faults", "net"),
    "snapshot-message-lost": (20, "--faults", "crash"),
    "entry-applied-twice": (5,),
    "catalog-leaked": (5,),
    "allocation-in-cycle": (5,),
    "repeated-bid-counted": (10, "--workload", "auction", "--faults", "net,crash", "--beside", "none"),
    "stale-best-answered": (5, "--workload", "auction"),
    "later-bid-wins": (5, "--workload", "auction"),
    "frame-flipped": (5, "--beside", "stream"),
    "gap-skipped": (5, "--beside", "stream", "--faults", "net"),
    "image-joined-early": (10, "--beside", "stream", "--faults", "crash"),
    "message-given-twice": (5, "--beside", "stream"),
    "reported-before-sync": (10, "--beside", "recorder", "--faults", "crash"),
    "write-error-ignored": (15, "--beside", "recorder", "--faults", "disk,crash"),
    "whole-segments-kept": (5, "--beside", "recorder", "--faults", "crash"),
    "zeroes-kept": (5, "--beside", "recorder", "--faults", "crash"),
    "extension-forgotten": (5, "--beside", "recorder", "--faults", "crash"),
    "replay-started-early": (5, "--beside", "recorder"),
    "replay-flipped": (5, "--beside", "recorder"),
    "timer-not-in-snapshot": (60, "--timers", "on", "--beside", "none", "--nodes", "1",
                              "--clients", "1", "--faults", "crash"),
    "timer-fired-twice": (5, "--timers", "on", "--faults", "net,crash"),
    "timer-not-cancelled": (30, "--timers", "on", "--beside", "none", "--faults", "net,crash"),
    "service-message-twice": (5, "--timers", "on", "--faults", "net,crash"),
    "service-message-lost": (10, "--timers", "on", "--beside", "none", "--faults", "net,crash"),
    "group-nak-ignored": (5, "--transport", "multicast-min", "--faults", "net"),
    "responses-mixed-up": (5, "--transport", "response-udp"),
    "new-source-ignored": (5, "--transport", "twins"),
    "untethered-waited-for": (15, "--transport", "untethered"),
    "end-told-early": (5, "--transport", "destinations-dynamic"),
    "names-mixed-up": (5, "--transport", "names"),
}


def run(seed, *arguments):
    done = subprocess.run([SIM, "--quiet", "--seed", str(seed), *arguments], capture_output=True,
                          text=True, timeout=SEED_TIMEOUT_S, check=False)
    if done.returncode == 64:
        raise ValueError(done.stderr)
    return done.returncode, done.stdout, done.stderr


def hash_of(output):
    return re.search(r"hash ([0-9a-f]{16})", output).group(1)


class Seeds(unittest.TestCase):
    def assert_good(self, seeds, *arguments):
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            results = pool.map(lambda seed: run(seed, *arguments), seeds)
            for seed, (code, _, errors) in zip(seeds, results):
                self.assertEqual(code, 0, "seed %d:\n%s" % (seed, errors))

    def test_seeds_that_found_a_bug_are_good(self):
        self.assert_good(list(FOUND), "--workload", "list", *ALONE)
        for seed, (arguments, _) in FOUND_WITH.items():
            self.assert_good([seed], *arguments.split(), *ALONE)
        for seed, (arguments, _) in FOUND_BESIDE.items():
            self.assert_good([seed], *arguments.split())

    def test_fixed_seeds_are_good(self):
        self.assert_good([*FIXED, *FOUND_ELSEWHERE], *ALONE)
        self.assert_good(WITH_TIMERS, "--timers", "on")

    def test_the_same_seed_gives_the_same_run(self):
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            outputs = list(pool.map(run, [seed for seed in TWICE for _ in range(2)]))
        hashes = [hash_of(output) for _, output, _ in outputs]
        for i, seed in enumerate(TWICE):
            self.assertEqual(hashes[2 * i], hashes[2 * i + 1], "seed %d" % seed)
        self.assertEqual(len(set(hashes)), len(TWICE), "different seeds give different runs")

    def test_fresh_seeds_are_good(self):
        """Other seeds for each commit, the same for everybody who tests that commit."""
        start = seed_of_commit()
        self.assert_good(range(start, start + FRESH_COUNT))


class Sanitized(unittest.TestCase):
    """In a build with sanitizers, where a run takes some ten times as long."""

    def test_fresh_seeds_are_good(self):
        start = seed_of_commit()
        seeds = range(start, start + SANITIZED_COUNT)
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            results = pool.map(lambda seed: run(seed, "--minutes", "0.6"), seeds)
            for seed, (code, _, errors) in zip(seeds, results):
                self.assertEqual(code, 0, "seed %d:\n%s" % (seed, errors))


def seed_of_commit():
    """1 without git or its history."""
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        done = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True,
                              text=True, check=False)
    except FileNotFoundError:
        return 1
    return int(done.stdout[:10] or "1", 16)


class Planted(unittest.TestCase):
    def test_every_planted_bug_is_in_the_table(self):
        done = subprocess.run([SIM, "--list-planted"], capture_output=True, text=True, check=True)
        self.assertEqual(set(done.stdout.split()), set(PLANTED))


def seeds_taken(bug, count, faults):
    """The seed that found the bug, from 1; None when none did."""
    for start in range(1, count + 1, JOBS):
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            seeds = range(start, min(start + JOBS, count + 1))
            codes = list(pool.map(
                lambda seed: run(seed, "--plant", bug, "--workload", "list", "--timers", "off",
                                 *faults)[0], seeds))
        for seed, code in zip(seeds, codes):
            if code != 0:
                return seed
    return None


def add_planted_test(bug, count, faults):
    if "--transport" not in faults:
        faults = (*ALONE, *faults)

    def test(self):
        taken = seeds_taken(bug, count, faults)
        self.assertIsNotNone(taken, "%s was not found by %d seeds" % (bug, count))
        print("# %s: seed %d" % (bug, taken))
    setattr(Planted, "test_%s_is_found" % bug.replace("-", "_"), test)


for bug_, (count_, *faults_) in PLANTED.items():
    add_planted_test(bug_, count_, faults_)

if __name__ == "__main__":
    tap.main()
