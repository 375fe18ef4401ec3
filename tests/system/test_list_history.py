#!/usr/bin/env python3
"""The checker of list histories: it accepts what a correct cluster can do and finds each kind of
violation when one is planted."""

import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import list_history  # noqa: E402  pylint: disable=wrong-import-position
import tap  # noqa: E402  pylint: disable=wrong-import-position


class Cluster:
    """A correct list, and clients of it whose requests overlap; it writes a history file."""

    def __init__(self, seed, clients=4, base=1000):
        self.random, self.clients, self.base = random.Random(seed), clients, base
        self.values, self.hashes = [], [list_history.HASH_START]
        self.rows, self.time = [], 0

    def apply(self, value):
        self.values.append(value)
        self.hashes.append(list_history.extend(self.hashes[-1], value))

    def row(self, client, kind, invoked):
        self.rows.append(dict(id=len(self.rows) + 1, client=client, session=client + 1, kind=kind,
                              value=self.base + len(self.rows) + 1, invoked=invoked, answered=0,
                              state="unknown", length=0, hash=0))
        return self.rows[-1]

    def run(self, count):
        """Each client has one request at a time; it takes effect between its start and its answer.
        One of ten answers is lost, with its request or without."""
        busy = {}
        while len(self.rows) < count or busy:
            self.time += 1
            client = self.random.randrange(self.clients)
            row = busy.get(client)
            if row is None:
                if len(self.rows) < count:
                    kind = self.random.choice(("append", "append", "read"))
                    busy[client] = self.row(client, kind, self.time)
                continue
            fate = self.random.random()
            if row["hash"]:
                row["answered"], row["state"] = self.time, "ok"
                del busy[client]
            elif fate < 0.05:
                del busy[client]  # lost on the way to the leader
            else:
                if row["kind"] == "append":
                    self.apply(row["value"])
                if fate < 0.1:
                    del busy[client]  # the answer is lost
                else:
                    row["length"], row["hash"] = len(self.values), self.hashes[-1]
        return self

    def lines(self):
        for row in self.rows:
            yield "op %(id)d %(client)d %(session)d %(kind)s %(value)d %(invoked)d %(answered)d " \
                "%(state)s %(length)d %(hash)d\n" % row
        yield "final %d %d\n" % (len(self.values), self.hashes[-1])
        for value in self.values:
            yield "value %d\n" % value

    def history(self, run=0):
        return list_history.read(list(self.lines()), run)

    def problems(self):
        return list_history.check([self.history()])

    def answered(self, kind):
        return [row for row in self.rows if row["kind"] == kind and row["state"] == "ok"]

    def rehash(self):
        self.hashes = [list_history.HASH_START]
        values, self.values = self.values, []
        for value in values:
            self.apply(value)


class CheckerTest(unittest.TestCase):
    def assert_found(self, cluster, text):
        problems = cluster.problems()
        self.assertTrue(any(text in problem for problem in problems), problems[:5])

    def test_correct_histories_with_lost_answers_are_explained(self):
        for seed in range(20):
            cluster = Cluster(seed).run(200)
            self.assertEqual(cluster.problems(), [])
            self.assertTrue(any(row["state"] == "unknown" for row in cluster.rows))

    def test_the_hash_is_the_one_of_the_service(self):
        self.assertEqual(list_history.extend(list_history.HASH_START, 7), 0x4bd7a317074c5b62)

    def test_a_lost_append_is_found(self):
        for place in (0, -1, 20):
            cluster = Cluster(1).run(100)
            victim = cluster.answered("append")[place]
            cluster.values.remove(victim["value"])
            cluster.rehash()
            self.assert_found(cluster, "append %d of run 0" % victim["id"])
            self.assert_found(cluster, "lost")

    def test_an_append_applied_twice_is_found(self):
        cluster = Cluster(2).run(100)
        value = cluster.answered("append")[10]["value"]
        cluster.apply(value)
        self.assert_found(cluster, "value %d was applied twice" % value)

    def test_a_value_of_nobody_is_found(self):
        cluster = Cluster(3).run(100)
        cluster.apply(77)
        self.assert_found(cluster, "nobody appended it")

    def test_two_appends_that_changed_places_are_found(self):
        cluster = Cluster(4).run(100)
        cluster.values[5], cluster.values[6] = cluster.values[6], cluster.values[5]
        cluster.rehash()
        self.assertNotEqual(cluster.problems(), [])

    def test_a_stale_read_is_found(self):
        for seed in range(5):
            cluster = Cluster(seed).run(100)
            row = cluster.answered("read")[-1]
            row["length"] -= 5
            row["hash"] = cluster.hashes[row["length"]]
            self.assert_found(cluster, "read %d of run 0" % row["id"])
            self.assert_found(cluster, "was sent after the answer to")

    def test_a_read_of_another_list_is_found(self):
        cluster = Cluster(5).run(100)
        cluster.answered("read")[3]["hash"] ^= 1
        self.assert_found(cluster, "is no prefix of the last list")

    def test_a_read_of_more_than_there_is_is_found(self):
        cluster = Cluster(6).run(100)
        cluster.answered("read")[-1]["length"] = 1000
        self.assert_found(cluster, "answered with length 1000")

    def test_an_answer_with_the_wrong_place_is_found(self):
        cluster = Cluster(7).run(100)
        row = cluster.answered("append")[4]
        row["length"] += 1
        row["hash"] = cluster.hashes[row["length"]]
        self.assert_found(cluster, "but stands at")

    def test_an_append_that_took_effect_before_it_was_sent_is_found(self):
        cluster = Cluster(8).run(100)
        row = cluster.answered("append")[2]
        row["invoked"] = row["answered"] = cluster.time + 1
        self.assert_found(cluster, "was sent after the answer to")

    def test_requests_of_a_session_that_overtake_each_other_are_found(self):
        cluster = Cluster(9, clients=1)
        first, second = cluster.row(0, "append", 1), cluster.row(0, "append", 1)
        for row in (second, first):
            cluster.apply(row["value"])
            row.update(state="ok", answered=9, length=len(cluster.values), hash=cluster.hashes[-1])
        self.assert_found(cluster, "overtook")

    def test_an_answer_that_came_twice_and_differs_is_found(self):
        cluster = Cluster(10).run(10)
        history = list_history.read(list(cluster.lines()) + ["contradiction 3\n"])
        self.assertIn("answered twice", list_history.check([history])[0])

    def test_a_later_run_that_forgot_the_earlier_one_is_found(self):
        first, second = Cluster(11).run(50), Cluster(12, base=5000).run(50)
        problems = list_history.check([first.history(0), second.history(1)])
        self.assertTrue(any("run 0" in problem and "lost" in problem for problem in problems))
        self.assertTrue(any("no prefix" in problem for problem in problems))

    def test_runs_that_continue_each_other_are_explained(self):
        first, second = Cluster(13).run(50), Cluster(14, base=5000)
        history = first.history(0)
        second.values, second.hashes = first.values, first.hashes
        second.time = first.time
        second.run(50)
        self.assertEqual(list_history.check([history, second.history(1)]), [])

    def test_a_reading_at_the_end_that_is_not_what_was_said_is_found(self):
        cluster = Cluster(15).run(20)
        lines = list(cluster.lines())
        problems = list_history.check([list_history.read(lines[:-1])])
        self.assertTrue(any("values were read at its end" in problem for problem in problems))

    def test_files_that_are_cut_or_damaged_are_refused(self):
        lines = list(Cluster(16).run(5).lines())
        for bad in (lines[:3], lines + ["op 1 2\n"], ["op x 0 1 append 1 1 1 ok 1 1\n"] + lines,
                    ["op 1 0 1 write 1 1 1 ok 1 1\n"] + lines, ["hello\n"] + lines):
            with self.assertRaises(ValueError):
                list_history.read(bad)

    def test_the_longest_gap_is_measured_between_answers(self):
        history = list_history.read([
            "op 1 0 1 read 0 1 10 ok 0 1", "op 2 0 1 read 0 1 50 ok 0 1",
            "op 3 0 1 read 0 1 70 unknown 0 1", "op 4 0 1 read 0 1 80 ok 0 1", "final 0 1"])
        self.assertEqual(history.longest_gap(), (40, 10))


if __name__ == "__main__":
    tap.main()
