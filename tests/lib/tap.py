"""Run unittest cases and write TAP to stdout, so that meson counts each test.

    if __name__ == "__main__":
        tap.main()
"""

import sys
import unittest


class TapResult(unittest.TestResult):
    """One line per test; what went wrong follows as comments."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def _line(self, test, outcome, detail=""):
        self.number += 1
        for line in detail.splitlines():
            print("# " + line)
        name = test.id().split(".")[-1].removeprefix("test_").replace("_", " ")
        print("%s %d - %s" % (outcome, self.number, name), flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line(test, "ok")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line(test, "not ok", self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._line(test, "not ok", self.errors[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.number += 1
        print("ok %d - %s # SKIP %s" % (self.number, test.id().split(".")[-1], reason), flush=True)


def _tests(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _tests(test)
        else:
            yield test


def main():
    """Run the tests of the calling module: all, or those whose ids contain one of the arguments."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    if len(sys.argv) > 1:
        suite = unittest.TestSuite(test for test in _tests(suite)
                                   if any(word in test.id() for word in sys.argv[1:]))
    if suite.countTestCases() == 0:  # a plan of none would count as skipped, and nobody would see
        sys.exit("%s: no test is selected by %s" % (sys.argv[0], " ".join(sys.argv[1:])))
    print("TAP version 13\n1..%d" % suite.countTestCases(), flush=True)
    result = TapResult()
    suite.run(result)
    sys.exit(0 if result.wasSuccessful() else 1)
