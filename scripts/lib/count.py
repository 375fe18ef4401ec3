#!/usr/bin/env python3
"""Sum up test results of a meson test log: count.py testlog.json -> "PASSED FAILED SKIPPED".

A TAP test counts each of its lines, any other test counts once. A test program that failed without
a failing line (a crash, a time-out) counts as one more failure. Failures are listed on stderr, with
the comments that the test printed about them, or what it printed last.
"""

import json
import re
import sys

WHY_LINES = 30


def complain(test, what, why):
    print("FAIL %s: %s" % (test["name"], what), file=sys.stderr)
    for line in why[-WHY_LINES:]:
        print("    " + line, file=sys.stderr)


def results(lines):
    """(failed, text, what belongs to it) of each TAP line: comments before it, details after it."""
    found, comments = [], []
    for line in lines:
        match = re.match(r"(not )?ok\b(.*)", line)
        if match:
            found.append((bool(match.group(1)), match.group(2).strip(" -"), comments))
            comments = []
        elif found and line.startswith("  "):
            found[-1][2].append(line)
        else:
            comments.append(line)
    return found


def count(test):
    passed = failed = skipped = 0
    lines = (test.get("stdout") or "").splitlines()
    for is_failure, text, why in results(lines):
        if "# SKIP" in text:
            skipped += 1
        elif is_failure:
            failed += 1
            complain(test, text, why)
        else:
            passed += 1
    result = test["result"]
    if passed + failed + skipped == 0 and result in ("OK", "SKIP", "EXPECTEDFAIL"):
        return (0, 0, 1) if result == "SKIP" else (1, 0, 0)
    if result not in ("OK", "SKIP", "EXPECTEDFAIL") and failed == 0:
        complain(test, result, lines + (test.get("stderr") or "").splitlines())
        failed = 1
    return passed, failed, skipped


def main():
    total = [0, 0, 0]
    with open(sys.argv[1], encoding="utf-8") as file:
        for line in file:
            total = [a + b for a, b in zip(total, count(json.loads(line)))]
    print(*total)


if __name__ == "__main__":
    main()
