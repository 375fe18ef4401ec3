#!/usr/bin/env python3
"""Check histories of clients of the replicated list (tests/system/list_workload.c).

usage: list_history.py HISTORY [HISTORY ...]

Several histories are runs of one cluster, in the order in which their final readings were made;
their clocks are the same. What must hold, whatever happened to the nodes in between:

  * no acknowledged append is lost, and it stands at the place that its answer named;
  * nothing is applied twice, and nothing is in the list that nobody appended;
  * what a reading told of the list (length and hash) is true of a prefix of the final list, and so
    it is of every list that was read at the end of a run;
  * real time: an operation that began after another one was answered takes effect after it;
  * requests of one session take effect in the order in which they were sent;
  * a request that was answered twice was answered alike.

An operation without an answer may have taken effect or not, and at any time after its start.
"""

import collections
import sys

HASH_START, HASH_PRIME, MASK = 0xcbf29ce484222325, 0x100000001b3, (1 << 64) - 1
PROBLEMS_MAX = 50  # one cause shows up in many operations

Operation = collections.namedtuple(
    "Operation", "run id client session kind value invoked answered ok length hash")


class History:
    """The operations of one run and what was read at its end."""

    def __init__(self, run=0):
        self.run, self.operations, self.contradictions = run, [], []
        self.final, self.final_length, self.final_hash = [], None, None

    def answered(self):
        return [operation for operation in self.operations if operation.ok]

    def longest_gap(self):
        """(length in ns, start) of the longest time without an answer to anybody."""
        times = sorted(operation.answered for operation in self.answered())
        return max(((b - a, a) for a, b in zip(times, times[1:])), default=(0, 0))


def read(lines, run=0):
    """Parse a history file; ValueError says what is wrong with it."""
    history = History(run)
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0] == "#":
            continue
        try:
            if words[0] == "op":
                _, name, client, session, kind, value, invoked, answered, state, length, digest = words
                if kind not in ("append", "read") or state not in ("ok", "unknown"):
                    raise ValueError
                history.operations.append(Operation(
                    run, int(name), int(client), int(session), kind, int(value), int(invoked),
                    int(answered), state == "ok", int(length), int(digest)))
            elif words[0] == "contradiction":
                history.contradictions.append(int(words[1]))
            elif words[0] == "final":
                history.final_length, history.final_hash = int(words[1]), int(words[2])
            elif words[0] == "value":
                history.final.append(int(words[1]))
            else:
                raise ValueError
        except (ValueError, IndexError):
            raise ValueError("line %d is no line of a history: %s" % (number, line.strip())) from None
    if history.final_length is None:
        raise ValueError("the history has no end")
    return history


def extend(digest, value):
    """FNV-1a over the eight bytes of a value."""
    for byte in (value & MASK).to_bytes(8, "little"):
        digest = (digest ^ byte) * HASH_PRIME & MASK
    return digest


def _describe(operation):
    return "%s %d of run %d (client %d, value %d)" % (
        operation.kind, operation.id, operation.run, operation.client, operation.value)


def _check_final(history, hashes, final, problems):
    """What was read at the end of a run is a prefix of the last list, and is what was said."""
    if len(history.final) != history.final_length:
        problems.append("run %d: %d values were read at its end, the list had %d" % (
            history.run, len(history.final), history.final_length))
    elif history.final != final[:history.final_length]:
        problems.append("run %d: what was read at its end is no prefix of the last list" %
                        history.run)
    elif hashes[history.final_length] != history.final_hash:
        problems.append("run %d: the hash of the list at its end is wrong" % history.run)


def _check_values(histories, final, problems):
    """Each value once, and by an append; the place of each value, from 1."""
    appended = {}
    for history in histories:
        for operation in history.operations:
            if operation.kind == "append":
                if operation.value in appended:
                    problems.append("value %d was appended by two requests: not a history that "
                                    "can be checked" % operation.value)
                appended[operation.value] = operation
    places = {}
    for place, value in enumerate(final, 1):
        if value in places:
            problems.append("value %d was applied twice, at %d and %d" % (
                value, places[value], place))
        elif value not in appended:
            problems.append("value %d at %d: nobody appended it" % (value, place))
        places.setdefault(value, place)
    return places


def _check_answers(operations, places, hashes, problems):
    """The answers agree with the final list; the operations whose answers can be ordered."""
    good = []
    for operation in operations:
        if not 0 <= operation.length < len(hashes):
            problems.append("%s: answered with length %d, the last list has %d values" % (
                _describe(operation), operation.length, len(hashes) - 1))
            continue
        if operation.kind == "append" and operation.value not in places:
            problems.append("%s: acknowledged, but lost" % _describe(operation))
            continue
        if operation.kind == "append" and places[operation.value] != operation.length:
            problems.append("%s: acknowledged at place %d, but stands at %d" % (
                _describe(operation), operation.length, places[operation.value]))
            continue
        if hashes[operation.length] != operation.hash:
            problems.append("%s: saw a list of %d values that is no prefix of the last list" % (
                _describe(operation), operation.length))
            continue
        if operation.answered < operation.invoked:
            problems.append("%s: answered before it was sent" % _describe(operation))
            continue
        good.append(operation)
    return good


def _bound(earlier, later):
    """The least length that `later` may have been answered with, coming after `earlier`."""
    return earlier.length + (1 if later.kind == "append" else 0)


def _check_real_time(operations, problems):
    by_answer = sorted(operations, key=lambda operation: operation.answered)
    furthest, at = None, 0
    for operation in sorted(operations, key=lambda operation: operation.invoked):
        while at < len(by_answer) and by_answer[at].answered < operation.invoked:
            if furthest is None or by_answer[at].length > furthest.length:
                furthest = by_answer[at]
            at += 1
        if furthest is not None and operation.length < _bound(furthest, operation):
            problems.append("%s took effect at %d, but was sent after the answer to %s, at %d" % (
                _describe(operation), operation.length, _describe(furthest), furthest.length))


def _check_sessions(operations, problems):
    last = {}
    for operation in sorted(operations, key=lambda operation: (operation.run, operation.id)):
        key = (operation.run, operation.session)
        if key in last and operation.length < _bound(last[key], operation):
            problems.append("%s overtook %s of the same session" % (
                _describe(last[key]), _describe(operation)))
        last[key] = operation


def check(histories):
    """Problems as texts; none when the histories can be explained."""
    problems = []
    final = histories[-1].final
    hashes = [HASH_START]
    for value in final:
        hashes.append(extend(hashes[-1], value))
    for history in histories:
        _check_final(history, hashes, final, problems)
        problems += ["%s: answered twice and differently" % _describe(
            history.operations[name - 1]) for name in history.contradictions]
    places = _check_values(histories, final, problems)
    answered = [operation for history in histories for operation in history.answered()]
    good = _check_answers(answered, places, hashes, problems)
    _check_real_time(good, problems)
    _check_sessions(good, problems)
    return problems


def main():
    histories = []
    for run, path in enumerate(sys.argv[1:]):
        with open(path, encoding="ascii") as file:
            histories.append(read(file, run))
    if not histories:
        sys.exit(__doc__)
    problems = check(histories)
    for problem in problems[:PROBLEMS_MAX]:
        print(problem)
    answered = sum(len(history.answered()) for history in histories)
    count = sum(len(history.operations) for history in histories)
    print("%d operations, %d answered, list of %d values: %s" % (
        count, answered, len(histories[-1].final),
        "%d problems" % len(problems) if problems else "no problem"))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
