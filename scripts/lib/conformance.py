#!/usr/bin/env python3
"""Judge the output of the conformance suite by the list of what is not there yet.

Prints one line per surprise: "FAIL id: text" was printed by the suite already, so only "known",
"remove" and "unknown" lines are added. Exit status 1 when there is a surprise.
"""

import argparse
import collections
import re
import subprocess
import sys

GROUPS = ("shm", "udp", "archive", "cluster")
BEGIN, END = "<!-- conformance -->", "<!-- /conformance -->"


def parse_output(path):
    """{id: outcome} and whether the suite came to its end."""
    outcomes, is_complete = {}, False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = re.match(r"(ok|skip|FAIL) +(\w+/[\w/.-]+?):? ", line)
            if match:
                outcomes[match.group(2)] = match.group(1)
            is_complete = bool(re.match(r"\d+ passed, \d+ failed, \d+ skipped$", line))
    return outcomes, is_complete


def parse_list(path):
    entries = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            words = line.split(None, 1)
            if not words or words[0].startswith("#"):
                continue
            if len(words) < 2:
                sys.exit("%s:%d: %s has no reason" % (path, number, words[0]))
            entries[words[0]] = words[1].strip()
    return entries


def all_ids(suite):
    done = subprocess.run([suite + "/run", "--list"], capture_output=True, text=True, check=False)
    return [line.split()[0] for line in done.stdout.splitlines() if re.match(r"\w+/\S+ ", line)]


def unlisted_failures(outcomes, entries):
    return sorted(test for test, outcome in outcomes.items()
                  if outcome == "FAIL" and test not in entries)


def is_sometimes(reason):
    """The entry of a test that fails now and then: it may pass."""
    return reason.startswith("sometimes: ")


def judge(outcomes, entries, ids):
    """(surprises, number of known failures)"""
    surprises, known = [], 0
    for test, outcome in outcomes.items():
        if outcome == "FAIL" and test in entries:
            known += 1
            print("known %s: %s" % (test, entries[test]))
        elif outcome == "FAIL":
            surprises.append("failed %s" % test)
        elif outcome == "ok" and test in entries and not is_sometimes(entries[test]):
            surprises.append("remove %s from the list: it passes" % test)
    surprises += ["unknown id in the list: %s" % test for test in entries if test not in ids]
    return surprises, known


def write_table(path, outcomes, ids):
    """Replace the table between the marks."""
    total = collections.Counter(test.split("/")[0] for test in ids)
    passed = collections.Counter(test.split("/")[0] for test, outcome in outcomes.items()
                                 if outcome == "ok")
    lines = ["| Group | Passed | Of all |", "|---|---|---|"]
    lines += ["| %s | %d | %d |" % (group, passed[group], total[group]) for group in GROUPS]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    table = BEGIN + "\n" + "\n".join(lines) + "\n" + END
    changed = re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: table, text,
                     flags=re.DOTALL)
    if changed != text:
        with open(path, "w", encoding="utf-8") as file:
            file.write(changed)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--suite")
    parser.add_argument("--output", required=True)
    parser.add_argument("--not-yet", required=True)
    parser.add_argument("--again", help="output of a second run of what failed")
    parser.add_argument("--failed", action="store_true",
                        help="only print the failed tests that are not listed, commas between")
    parser.add_argument("--more-failures", type=int, default=0,
                        help="failures that no test shows, to be counted")
    parser.add_argument("--readme")
    parser.add_argument("--sums")
    options = parser.parse_args()
    outcomes, is_complete = parse_output(options.output)
    entries = parse_list(options.not_yet)
    if options.failed:
        print(",".join(unlisted_failures(outcomes, entries)))
        return 0
    if options.again:
        for test, outcome in parse_output(options.again)[0].items():
            if outcome == "ok" and outcomes.get(test) == "FAIL":
                print("unsteady %s: failed at first, passed when run again" % test)
                outcomes[test] = "ok"
    if not is_complete:
        print("the suite did not come to its end")
        return 1
    ids = set(all_ids(options.suite))
    surprises, known = judge(outcomes, entries, ids)
    for line in surprises:
        print(line)
    if known:
        print("%d known failures" % known)
    if options.readme:
        write_table(options.readme, outcomes, ids)
    if options.sums:
        counts = collections.Counter(outcomes.values())
        with open(options.sums, "w", encoding="utf-8") as file:
            print(counts["ok"], len(surprises) + options.more_failures, counts["skip"] + known,
                  file=file)
    return 1 if surprises or options.more_failures else 0


if __name__ == "__main__":
    sys.exit(main())
