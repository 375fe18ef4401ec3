#!/usr/bin/env python3
"""Clusters of real daemons under failures: every acknowledged operation of the clients is in the
list once and in order, whoever dies in between. usage: test_cluster.py BUILD_DIRECTORY"""

import os
import signal
import struct
import subprocess
import sys
import time
import unittest

if len(sys.argv) > 1:
    os.environ["TERN_BUILD"] = os.path.abspath(sys.argv.pop(1))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import (BUILD, COMMIT_POSITION, DAEMONS, ELECTION_COUNT, INVALID,  # noqa: E402
                     SNAPSHOT_RECORD, Cluster, Group, Workload, environment, program,
                     snapshot_content, wait_for)
import tap  # noqa: E402  pylint: disable=wrong-import-position,wrong-import-order

# The shipped heartbeat time-out is 1 s and the election's 500 ms; a busy machine gets more.
NEW_LEADER_TIMEOUT = 10.0
TERM_LENGTH = 65536  # of the log, and of a segment


def note(text, *values):
    """A line beside the results."""
    print("# " + text % values, flush=True)


class ClusterTest(unittest.TestCase):
    """Tests share a cluster as long as they succeed; each finds all nodes running."""

    nodes, settings = 3, {}
    cluster = None

    def setUp(self):
        cls = type(self)
        if cls.cluster is None:
            cls.cluster = Cluster(self.nodes, **self.settings)
        try:
            self.leader = self.cluster.start()
        except BaseException:
            self.drop()
            raise

    def tearDown(self):
        outcome = self._outcome.result  # the TAP result of this run
        if any(test is self for test, _ in outcome.failures + outcome.errors):
            self.drop()

    @classmethod
    def drop(cls):
        if cls.cluster is not None:
            cls.cluster.close()
            cls.cluster = None

    @classmethod
    def tearDownClass(cls):
        cls.drop()

    def finish(self, load):
        """End a run and judge everything up to now."""
        history = load.finish()
        self.cluster.check()
        return history

    def assert_equal_states(self):
        """Snapshots taken at one position have the same bytes on all nodes."""
        self.cluster.snapshot()
        self.assert_equal_snapshots(self.cluster.running())

    def assert_equal_snapshots(self, nodes):
        """Of the service and of the module; their position."""
        for service in (0, -1):
            contents = [snapshot_content(node, service) for node in nodes]
            self.assertEqual(len({position for position, _ in contents}), 1)
            self.assertTrue(all(content == contents[0] for content in contents),
                            "snapshots of service %d differ" % service)
            self.assertGreater(len(contents[0][1]), 0)
        return contents[0][0]

    def run_load(self, count, **options):
        """A run without failures."""
        load = Workload(self.cluster, **options)
        load.wait_answered(count)
        return self.finish(load)

    def shut_down(self):
        """The cluster ends by ternctl; every node orderly, with exit code 0."""
        self.leader.ternctl("cluster", "shutdown", self.leader.cluster_directory)
        for node in self.cluster.nodes:
            self.assertEqual(node.wait_exit(), 0)


class ThreeNodesTest(ClusterTest):
    def test_the_leader_killed_under_load_loses_nothing(self):
        load = Workload(self.cluster)
        load.wait_answered(300)
        killed_at = time.monotonic()
        self.leader.kill()
        self.cluster.wait_leader(NEW_LEADER_TIMEOUT, other_than=self.leader)
        note("new leader %.2f s after the kill", time.monotonic() - killed_at)
        load.wait_answered(300)
        self.leader.start()
        self.cluster.wait_settled()
        load.wait_answered(100)
        history = self.finish(load)
        note("longest time without an answer %.2f s", history.longest_gap()[0] / 1e9)
        self.cluster.wait_committed()
        self.assert_equal_states()

    def test_a_killed_follower_catches_up_under_load(self):
        load = Workload(self.cluster)
        load.wait_answered(100)
        elections = self.leader.counters()[ELECTION_COUNT]
        victim = self.cluster.followers()[0]
        victim.kill()
        load.wait_answered(300)
        victim.start()
        self.cluster.wait_settled()
        load.wait_answered(100)
        self.finish(load)
        self.cluster.wait_committed()
        self.assertEqual(self.leader.counters()[ELECTION_COUNT], elections,
                         "a follower that comes back disturbs nobody")
        self.assert_equal_states()

    def test_a_wiped_follower_gets_everything_back_and_counts(self):
        load = Workload(self.cluster)
        load.wait_answered(200)
        victim, other = self.cluster.followers()
        victim.kill()
        victim.wipe()
        load.wait_answered(100)
        victim.start()
        self.cluster.wait_settled()
        self.cluster.wait_committed()
        other.kill()  # from here on the quorum needs the wiped one
        load.wait_answered(200)
        other.start()
        self.cluster.wait_settled()
        self.finish(load)
        self.cluster.wait_committed()
        self.assert_equal_states()

    def test_all_killed_and_restarted_keep_what_was_acknowledged(self):
        load = Workload(self.cluster)
        load.wait_answered(300)
        for node in self.cluster.nodes:
            node.kill()
        self.cluster.start()
        load.wait_answered(50, timeout=60)
        self.finish(load)

    def test_a_snapshot_and_a_restart_keep_the_state(self):
        load = Workload(self.cluster)
        load.wait_answered(300)
        self.cluster.snapshot()
        load.wait_answered(100)
        self.finish(load)
        self.cluster.wait_committed()
        for node in self.cluster.nodes:
            self.assertEqual(node.stop(), 0)
        self.cluster.start()
        load = Workload(self.cluster)
        load.wait_answered(100)
        self.finish(load)
        self.assert_equal_states()

    def test_a_shutdown_ends_all_members_at_one_position(self):
        self.run_load(200)
        self.cluster.wait_committed()
        self.shut_down()
        position = self.assert_equal_snapshots(self.cluster.nodes)
        for node in self.cluster.nodes:
            self.assertEqual(node.last_term().position, position, "end of the last term")
        self.leader = self.cluster.start()
        self.run_load(100)

    def test_ternctl_tells_the_same_on_every_node(self):
        for node in self.cluster.nodes:
            directory = node.cluster_directory
            self.assertEqual(node.ternctl("cluster", "leader", directory).split(),
                             [str(self.leader.id)])
            self.assertEqual(node.ternctl("cluster", "pid", directory).split(),
                             [str(node.pid_of("consensusd"))])
            members = node.ternctl("cluster", "members", directory)
            for other in self.cluster.nodes:
                self.assertIn("localhost:%d" % (self.cluster.port(other.id) + 2), members)
            log = node.ternctl("cluster", "recording-log", directory)
            self.assertEqual(len([line for line in log.splitlines() if "TERM" in line]),
                             len([record for record in node.recording_log() if record.kind == 0]))
        before = self.snapshot_position()
        self.leader.ternctl("cluster", "snapshot", self.leader.cluster_directory)
        self.cluster.wait_committed()
        wait_for(lambda: self.snapshot_position() > before, 20, "snapshots")

    def snapshot_position(self):
        """The lowest position of the latest snapshots of all nodes; -1 without."""
        return min(max([record.position for record in node.recording_log()
                        if record.kind == SNAPSHOT_RECORD and record.service == -1], default=-1)
                   for node in self.cluster.nodes)

    def test_a_minority_commits_nothing(self):
        load = Workload(self.cluster, timeout_ms=20000)
        load.wait_answered(100)
        followers = self.cluster.followers()
        for follower in followers:
            follower.kill()
        position = wait_for(self.standing_commit_position, 10, "the commit position to stand")
        answered = load.answered
        sent_until = time.monotonic() + 3  # what must not happen gets time to happen
        while time.monotonic() < sent_until:
            self.assertLessEqual(self.leader.counters().get(COMMIT_POSITION, -1), position)
            time.sleep(0.05)
        self.assertEqual(load.answered, answered)
        for follower in followers:
            follower.start()
        self.cluster.wait_settled()
        load.wait_answered(100, timeout=60)
        self.finish(load)

    def standing_commit_position(self):
        """The leader's commit position when it did not move for half a second."""
        position, until = self.leader.counters().get(COMMIT_POSITION), time.monotonic() + 0.5
        while time.monotonic() < until:
            if self.leader.counters().get(COMMIT_POSITION) != position:
                return None
            time.sleep(0.05)
        return position


class HandOverTest(ClusterTest):
    """With a heartbeat time-out of 10 s only a leader that hands over is followed soon."""

    settings = {"AERON_CLUSTER_LEADER_HEARTBEAT_TIMEOUT": "10s",
                "AERON_CLUSTER_STARTUP_CANVASS_TIMEOUT": "20s"}

    def test_a_leader_that_is_stopped_hands_over_at_once(self):
        load = Workload(self.cluster)
        load.wait_answered(100)
        stopped_at = time.monotonic()
        self.leader.group.process.terminate()
        self.cluster.wait_leader(5.0, other_than=self.leader)
        note("new leader %.2f s after SIGTERM", time.monotonic() - stopped_at)
        load.wait_answered(100)
        wait_for(lambda: not self.leader.is_running, 15, "the end of the node that was stopped")
        self.assertEqual(self.leader.stop(), 0)
        history = self.finish(load)
        note("longest time without an answer %.2f s", history.longest_gap()[0] / 1e9)
        self.assertLess(history.longest_gap()[0], 5e9)


class OneNodeTest(ClusterTest):
    nodes = 1

    def test_a_single_node_survives_kills_and_snapshots(self):
        for action in (self.leader.kill, self.cluster.snapshot, self.leader.kill):
            load = Workload(self.cluster)
            load.wait_answered(200)
            action()
            self.cluster.start()
            load.wait_answered(50)
            self.finish(load)

    def test_a_stalled_module_goes_on_leading(self):
        elections = self.leader.counters()[ELECTION_COUNT]
        load = Workload(self.cluster)
        load.wait_answered(50)
        pid = self.leader.pid_of("consensusd")
        os.kill(pid, signal.SIGSTOP)
        time.sleep(3)  # three heartbeat time-outs
        os.kill(pid, signal.SIGCONT)
        load.wait_answered(100)
        self.finish(load)
        self.assertEqual(self.leader.counters()[ELECTION_COUNT], elections)

    def test_a_log_that_ends_in_padding_is_continued(self):
        load = Workload(self.cluster)
        # A term ends with less padding than the longest message has, an eighth of the term.
        wait_for(lambda: self.leader.counters().get(COMMIT_POSITION, 0) % TERM_LENGTH >
                 TERM_LENGTH * 29 // 32, 30, "a commit position near the end of a term")
        self.leader.kill()
        pad_log(self.leader)
        self.leader = self.cluster.start()
        load.wait_answered(50)
        self.finish(load)

    def test_a_log_that_cannot_be_replayed_ends_the_node(self):
        self.run_load(50)
        self.leader.kill()
        pad_log(self.leader)  # of a length that no writer makes
        node = self.cluster.nodes[0]
        node.start()
        self.assertEqual(node.wait_exit(30), 74)
        self.drop()

    def test_what_an_invalid_snapshot_held_comes_from_the_log(self):
        self.run_load(100)
        self.shut_down()
        node = self.cluster.nodes[0]
        path = os.path.join(node.cluster_directory, "recording.log")
        last = max(record.position for record in node.recording_log())
        with open(path, "r+b") as file:
            for record in node.recording_log():
                if record.kind == SNAPSHOT_RECORD and record.position == last:
                    file.seek(record.offset + 44)
                    file.write(struct.pack("<I", record.kind | INVALID))
        self.leader = self.cluster.start()
        self.run_load(50)

    def test_the_module_ends_when_its_service_has_died(self):
        os.kill(self.leader.pid_of("servicehost"), signal.SIGSTOP)  # the node sees no child end
        module = self.leader.pid_of("consensusd")
        wait_for(lambda: not os.path.exists("/proc/%d" % module), 30,
                 "the end of a module whose service is dead")
        self.assertEqual(self.leader.wait_exit(), 69)


    def test_a_service_that_cannot_start_ends_the_module(self):
        self.run_load(20)
        self.cluster.snapshot()
        node = self.leader
        self.assertEqual(node.stop(), 0)
        settings = {**node.settings(), "AERON_CLUSTER_SERVICE_COUNT": "1",
                    "TERN_SERVICE_PLUGIN": plugin("auction")}  # the snapshot is a list
        daemons = {name: Group([program(name)], settings, self.cluster.path(name + ".log"),
                               cwd=node.base) for name in DAEMONS}
        for name, code in (("servicehost", 75), ("consensusd", 69)):
            wait_for(lambda name=name: not daemons[name].is_running, 30, "the end of " + name)
            self.assertEqual(daemons[name].process.returncode, code, daemons[name].tail())
        self.assertIn("service 0 failed to start", daemons["consensusd"].tail())
        self.assertIn("service auction cannot start", daemons["servicehost"].tail())
        for name in ("archived", "driverd"):
            self.assertEqual(daemons[name].stop(), 0)
        self.leader = self.cluster.start()
        self.run_load(20)

    def test_a_plugin_that_is_none_is_refused_with_a_reason(self):
        for name, reason in (("missing", "missing"), ("bad_no_symbol", "tern_service_plugin"),
                             ("bad_abi", "version 99, this servicehost has version 1")):
            path = os.path.join(os.path.dirname(plugin("list")), name + ".so")
            done = subprocess.run(
                [program("servicehost")], capture_output=True, text=True, timeout=30, check=False,
                env=environment({**self.leader.settings(), "TERN_SERVICE_PLUGIN": path}))
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertIn(reason, done.stderr)


def plugin(name):
    """Path of an example service."""
    return os.path.join(BUILD, "tests", "plugins", name + ".so")


def pad_log(node):
    """Let the log of a node that does not run end with the padding of its term."""
    recording, length = node.last_term().recording, TERM_LENGTH
    segments = [int(name.split("-")[1][:-len(".rec")])
                for name in os.listdir(node.archive_directory)
                if name.startswith("%d-" % recording) and name.endswith(".rec")]
    with open(os.path.join(node.archive_directory,
                           "%d-%d.rec" % (recording, max(segments))), "r+b") as file:
        data = file.read()
        at, header = 0, b""
        while at < length and struct.unpack_from("<i", data, at)[0] > 0:
            header = data[at:at + 32]
            at += (struct.unpack_from("<i", data, at)[0] + 31) & ~31
        if at == length:
            return  # it does already
        session, stream, term = struct.unpack_from("<iii", header, 12)
        file.seek(at)
        file.write(struct.pack("<iBBHiiiiq", length - at, 0, 0xC0, 0, at, session, stream, term, 0))


class FiveNodesTest(ClusterTest):
    nodes = 5

    def test_five_nodes_elect_and_survive_the_loss_of_two(self):
        load = Workload(self.cluster)
        load.wait_answered(100)
        self.cluster.followers()[0].kill()
        self.leader.kill()
        self.cluster.wait_leader(NEW_LEADER_TIMEOUT, other_than=self.leader)
        load.wait_answered(100)
        self.cluster.start()
        load.wait_answered(50)
        self.finish(load)
        self.cluster.wait_committed()
        self.assert_equal_states()


if __name__ == "__main__":
    tap.main()
