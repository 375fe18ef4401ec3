#!/usr/bin/env python3
"""ternctl-archive reads a directory of the original and prints it as the original's tool does:
usage: test_archive_describe.py TERNCTL_ARCHIVE GOLDEN_DIRECTORY"""

import gzip
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position

GOLDEN = sys.argv.pop(2)
TOOL = sys.argv.pop(1)


def content(directory):
    found = {}
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name), "rb") as file:
            found[name] = file.read()
    return found


class ArchiveDescribeTest(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="tern-describe-")
        self.addCleanup(place.cleanup)
        with tarfile.open(os.path.join(GOLDEN, "archive_recovered.tar.gz")) as tar:
            tar.extractall(place.name)
        self.directory = os.path.join(place.name, "archive_recovered")

    def run_it(self, *arguments):
        done = subprocess.run([TOOL, *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    def test_every_line_but_the_time_is_that_of_the_original_tool(self):
        with gzip.open(os.path.join(GOLDEN, "tool_recovered_describe-all.txt.gz"), "rt") as file:
            wanted = [line for line in file if line.startswith(("[", "Catalog"))]
        before = content(self.directory)
        code, output = self.run_it("describe-all", self.directory)
        self.assertEqual(code, 0)
        self.assertEqual(output.splitlines(keepends=True)[1:], wanted)
        self.assertEqual(content(self.directory), before, "the tool changed a file")

    def test_single_facts(self):
        self.assertEqual(self.run_it("count-entries", self.directory), (0, "7\n"))
        self.assertEqual(self.run_it("pid", self.directory), (0, "1369\n"))
        code, output = self.run_it("describe", self.directory, "4")
        self.assertEqual((code, output.count("recordingId=4")), (0, 1))
        self.assertEqual(self.run_it("errors", self.directory), (0, "0 distinct errors observed\n"))

    def test_mistakes_have_exit_codes(self):
        self.assertEqual(self.run_it("describe", self.directory, "77")[0], 74)
        self.assertEqual(self.run_it("describe", os.path.join(self.directory, "no"))[0], 74)
        self.assertEqual(self.run_it("describe", self.directory, "x")[0], 64)
        self.assertEqual(self.run_it("dump", self.directory)[0], 64)
        self.assertEqual(self.run_it()[0], 64)


if __name__ == "__main__":
    tap.main()
