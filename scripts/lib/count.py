#!/usr/bin/env python3
"""Sum up test results of a meson test log: count.py testlog.json -> "PASSED FAILED SKIPPED".

A TAP test counts each of its lines, any other test counts once. A test program that failed without
a failing line (a crash, a time-out) counts as one more failure. Failures are listed on stderr.
"""

import json
import re
import sys


def count(test):
    passed = failed = skipped = 0
    output = test.get("stdout") or ""
    for line in output.splitlines():
        match = re.match(r"(not )?ok\b(.*)", line)
        if not match:
            continue
        if "# SKIP" in match.group(2):
            skipped += 1
        elif match.group(1):
            failed += 1
            print("FAIL %s: %s" % (test["name"], match.group(2).strip(" -")), file=sys.stderr)
        else:
            passed += 1
    result = test["result"]
    if passed + failed + skipped == 0 and result in ("OK", "SKIP", "EXPECTEDFAIL"):
        return (0, 0, 1) if result == "SKIP" else (1, 0, 0)
    if result not in ("OK", "SKIP", "EXPECTEDFAIL") and failed == 0:
        print("FAIL %s: %s" % (test["name"], result), file=sys.stderr)
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
