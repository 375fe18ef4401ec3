#!/usr/bin/env python3
"""What the scripts conclude from test results, and how scripts/node holds its four processes
together (with stand-ins for the daemons): usage: test_scripts.py SOURCE_ROOT"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = sys.argv.pop(1)
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position

# Says who it is, then runs until SIGTERM; AERON_TEST_END names one that ends by itself with 3,
# AERON_TEST_DEAF one that does not listen.
STAND_IN = """#!/bin/bash
name=$(basename "$0")
echo "start $name service=${AERON_CLUSTER_SERVICE_ID:-none} plugin=${TERN_SERVICE_PLUGIN##*/}" \
    "count=$AERON_CLUSTER_SERVICE_COUNT $*" >>"$TEST_LOG"
trap 'echo "stop $name" >>"$TEST_LOG"; exit 0' TERM
[ "${AERON_TEST_DEAF:-}" = "$name" ] && trap '' TERM
[ "${AERON_TEST_END:-}" = "$name" ] && sleep 0.3 && exit 3
while :; do sleep 0.05; done
"""

# Node 1 leads; node 0 thinks so, too, but in an earlier term.
TERNCTL = """#!/bin/sh
echo "   71:                    1 - Consensus Module state - clusterId=0"
echo "   72:                   17 - Cluster election state - clusterId=0"
echo "   74:                    $((4 + AERON_CLUSTER_MEMBER_ID)) - Cluster leadership term id - x"
echo "   75:                    2 - Cluster node role - clusterId=0"
"""


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


class Scratch(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tern-scripts-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def path(self, *names):
        return os.path.join(self.directory, *names)


class CountTest(Scratch):
    def count(self, *tests):
        with open(self.path("log"), "w", encoding="utf-8") as file:
            for name, result, output in tests:
                file.write(json.dumps({"name": name, "result": result, "stdout": output}) + "\n")
        done = subprocess.run([sys.executable, ROOT + "/scripts/lib/count.py", self.path("log")],
                              capture_output=True, text=True, check=True)
        self.complaints = done.stderr
        return done.stdout.strip()

    def test_every_tap_line_counts_and_a_crash_is_a_failure(self):
        self.assertEqual(self.count(
            ("a", "OK", "1..3\nok - x\nok 2 - y\nok 3 z # SKIP no root\n"),
            ("b", "FAIL", "ok 1\nnot ok 2 - z\nnot ok 3 - z\n"),
            ("c", "FAIL", "1..3\nok 1\n"), ("d", "TIMEOUT", ""), ("e", "OK", "plain program\n"),
            ("f", "SKIP", "")), "5 4 2")

    def test_a_failure_is_told_with_what_belongs_to_it(self):
        self.count(("a", "FAIL", "ok 1\n# why not\nnot ok 2 - z\nok 3\nnot ok - y\n  at line 2\n"),
                   ("b", "FAIL", "said this\n"))
        self.assertEqual(self.complaints, "FAIL a: 2 - z\n    # why not\nFAIL a: y\n"
                         "      at line 2\nFAIL b: FAIL\n    said this\n")


class ConformanceTest(Scratch):
    IDS = ["shm/a/one", "shm/a/two", "udp/b/three", "cluster/c/four"]

    def judge(self, results, listed, ending="2 passed, 2 failed, 0 skipped\n", more=0):
        write(self.path("suite", "run"), "#!/bin/sh\n" + "".join(
            "echo '%s  what it demands'\n" % name for name in self.IDS), 0o755)
        write(self.path("out"), "".join("%-4s %s%s (0.1 s)\n" % (
            outcome, name, ": why" if outcome != "ok" else "") for name, outcome in results)
            + ending)
        write(self.path("list"), "# comment\n\n" + "".join(x + " some reason\n" for x in listed))
        write(self.path("README"), "a\n<!-- conformance -->\nold\n<!-- /conformance -->\nb\n")
        done = subprocess.run(
            [sys.executable, ROOT + "/scripts/lib/conformance.py", "--suite", self.path("suite"),
             "--output", self.path("out"), "--not-yet", self.path("list"), "--readme",
             self.path("README"), "--sums", self.path("sums"), "--more-failures", str(more)],
            capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def test_a_listed_failure_is_known_and_the_table_is_brought_up_to_date(self):
        code, out = self.judge([("shm/a/one", "ok"), ("shm/a/two", "FAIL"), ("udp/b/three", "ok"),
                                ("cluster/c/four", "skip")], ["shm/a/two"])
        self.assertEqual((code, out), (0, "known shm/a/two: some reason\n1 known failures\n"))
        self.assertEqual(self.read("sums"), "2 0 2\n")
        self.assertIn("b\n", self.read("README"))
        self.assertIn("| shm | 1 | 2 |\n| udp | 1 | 1 |\n| archive | 0 | 0 |\n| cluster | 0 | 1 |",
                      self.read("README"))

    def test_other_failures_stale_and_unknown_entries_are_errors(self):
        code, out = self.judge([("shm/a/one", "ok"), ("shm/a/two", "FAIL")],
                               ["shm/a/one", "shm/a/nosuch"])
        self.assertEqual(code, 1)
        self.assertIn("failed shm/a/two\n", out)
        self.assertIn("remove shm/a/one from the list", out)
        self.assertIn("unknown id in the list: shm/a/nosuch", out)
        self.assertEqual(self.read("sums"), "1 3 0\n")

    def test_what_a_sanitizer_reports_fails_though_every_test_passed(self):
        code, _ = self.judge([("shm/a/one", "ok")], [], more=2)
        self.assertEqual((code, self.read("sums")), (1, "1 2 0\n"))

    def test_a_suite_that_breaks_off_is_a_failure(self):
        code, out = self.judge([("shm/a/one", "ok")], [], ending="Traceback\n")
        self.assertEqual((code, out), (1, "the suite did not come to its end\n"))


SUITE = """#!/bin/sh
case $1 in
--list) printf '%s  what it demands\\n' shm/a/one shm/a/two udp/b/three ;;
--only) echo "ok   $2 in $(readlink /proc/self/ns/net) (0.0 s)"
    [ "$2" = "$BROKEN" ] || echo "2 passed, 1 failed, 1 skipped" ;;
esac
"""


class SideBySideTest(Scratch):
    def run_suite(self, **env):
        write(self.path("suite", "run"), SUITE, 0o755)
        done = subprocess.run(
            [sys.executable, ROOT + "/scripts/lib/side_by_side.py", "--jobs", "2",
             self.path("suite", "run")], capture_output=True, text=True, check=False,
            env=dict(os.environ, **env))
        return done.returncode, done.stdout

    def test_groups_run_in_networks_of_their_own_and_the_sums_come_last(self):
        code, out = self.run_suite()
        self.assertEqual((code, out.splitlines()[-1]), (1, "4 passed, 2 failed, 2 skipped"))
        places = dict(re.findall(r"ok   (\S+) in (\S+)", out))
        self.assertEqual(sorted(places), ["shm/a/*", "udp/b/*"])
        if "no right to make networks" not in out:
            self.assertEqual(len({os.readlink("/proc/self/ns/net"), *places.values()}), 3)

    def test_a_group_that_breaks_off_leaves_no_sums(self):
        code, out = self.run_suite(BROKEN="udp/b/*")
        self.assertEqual(code, 1)
        self.assertNotIn("passed", out.splitlines()[-1])


class StandIns(Scratch):
    def write_stand_ins(self):
        for name in ("driverd", "archived", "consensusd", "servicehost"):
            write(self.path("build", name, name), STAND_IN, 0o755)
        for name in ("echo", "list"):
            write(self.path("build", "tests", "plugins", name + ".so"), "")
        write(self.path("conf", "driverd.conf"), "")

    def log(self):
        try:
            with open(self.path("log"), encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []


class NodeTest(StandIns):
    def start(self, **env):
        self.write_stand_ins()
        process = subprocess.Popen(
            [ROOT + "/scripts/node", "--conf", self.path("conf"), "--base", self.path("base"),
             "--services", "echo,list"], start_new_session=True, stderr=subprocess.PIPE, text=True,
            env=dict(os.environ, TERN_BUILD=self.path("build"), TEST_LOG=self.path("log"), **env))
        self.addCleanup(process.stderr.close)
        self.addCleanup(self.kill_group, process)
        return process

    @staticmethod
    def kill_group(process):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def wait_started(self):
        deadline = time.monotonic() + 20
        while len(self.log()) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(len(self.log()), 5, self.log())

    def assert_group_is_gone(self, process):
        deadline = time.monotonic() + 5  # a stand-in leaves its sleep behind for a moment
        try:
            while time.monotonic() < deadline:
                os.killpg(process.pid, 0)
                time.sleep(0.01)
            self.fail("processes of the node are still there")
        except ProcessLookupError:
            pass

    def test_sigterm_stops_everything_in_order(self):
        process = self.start()
        self.wait_started()
        self.assertEqual(sorted(re.sub(" +$", "", line) for line in self.log()), [
            "start archived service=none plugin= count=2",
            "start consensusd service=none plugin= count=2",
            "start driverd service=none plugin= count=2 --config %s" % self.path(
                "conf", "driverd.conf"),
            "start servicehost service=0 plugin=echo.so count=2",
            "start servicehost service=1 plugin=list.so count=2"])
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(15), 0)
        self.assertEqual(self.log()[5:], ["stop consensusd", "stop servicehost",
                                          "stop servicehost", "stop archived", "stop driverd"])
        self.assert_group_is_gone(process)

    def test_the_end_of_one_is_the_end_of_all(self):
        process = self.start(AERON_TEST_END="archived")
        self.assertEqual(process.wait(15), 3)
        self.assertIn("archived ended with 3", process.stderr.read())
        self.assertIn("stop driverd", self.log())
        self.assert_group_is_gone(process)

    def test_one_that_does_not_listen_is_killed_in_time(self):
        process = self.start(AERON_TEST_DEAF="archived")
        self.wait_started()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(15), 0)
        self.assertIn("archived did not stop within 3 s", process.stderr.read())
        self.assert_group_is_gone(process)


class ClusterTest(StandIns):
    """scripts/cluster without `up`, which would build."""

    def cluster(self, *arguments):
        env = dict(os.environ, TERN_BUILD=self.path("build"), TEST_LOG=self.path("log"),
                   TERN_CLUSTER_DIR=self.path("state"), USER="scripts-%d" % os.getpid(),
                   TERN_CLUSTER_SERVICE="echo,list")
        done = subprocess.run([ROOT + "/scripts/cluster", *arguments], env=env, text=True,
                              capture_output=True, check=False, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr

    def test_nodes_are_started_killed_stopped_and_reported(self):
        self.write_stand_ins()
        write(self.path("build", "libclient", "ctl", "ternctl"), TERNCTL, 0o755)
        self.addCleanup(self.cluster, "down", "--wipe")
        self.assertEqual(self.cluster("status"), (
            1, "node 0: down\nnode 1: down\nnode 2: down\n"))
        for node in ("0", "1"):
            self.assertEqual(self.cluster("start", node), (0, ""))
        self.assertEqual(self.cluster("start", "3")[0], 1)
        code, out = self.cluster("status")
        self.assertRegex(out, r"^node 0: up \(process group \d+\)\nnode 1: leader .*\nnode 2: down")
        self.assertEqual(code, 0)
        self.assertEqual(self.cluster("kill", "1"), (0, ""))
        self.assertIn("node 1: down", self.cluster("status")[1])
        self.assertEqual(self.cluster("stop", "0"), (0, ""))
        self.assertIn("stop driverd", self.log())
        self.assertIn("node 0: down", self.cluster("status")[1])
        self.assertEqual(self.cluster("logs", "0")[0], 0)


if __name__ == "__main__":
    tap.main()
