#!/usr/bin/env python3
"""The README shows programs that exist: usage: test_readme.py SOURCE_ROOT"""

import os
import re
import sys
import unittest

ROOT = sys.argv.pop(1)
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
sys.dont_write_bytecode = True
import tap  # noqa: E402  pylint: disable=wrong-import-position


def read(*names):
    with open(os.path.join(ROOT, *names), encoding="utf-8") as file:
        return file.read()


class ReadmeTest(unittest.TestCase):
    def test_its_programs_are_the_ones_that_are_built(self):
        blocks = re.findall(r"```c\n(.*?)```", read("README.md"), re.DOTALL)
        self.assertEqual(blocks, [read("tests", "samples", "first_client.c"),
                                  read("tests", "plugins", "echo.c")])

    def test_every_file_it_names_is_there(self):
        for name in re.findall(r"`((?:scripts|conf|tests|libclient)/[\w./-]+)", read("README.md")):
            self.assertTrue(os.path.exists(os.path.join(ROOT, name)), name)

    def test_the_functions_of_the_migration_table_are_declared(self):
        folder = os.path.join("libclient", "include", "tern")
        headers = "".join(read(folder, name) for name in os.listdir(os.path.join(ROOT, folder))
                          if name.endswith(".h"))
        names = re.findall(r"`(tern_\w+)`", read(folder, "README.md"))
        self.assertGreater(len(names), 80)
        for name in names:
            self.assertRegex(headers, r"\b%s\b" % name)

    def test_it_has_the_conformance_table(self):
        self.assertRegex(read("README.md"),
                         r"<!-- conformance -->\n(\|.*\n){6}<!-- /conformance -->")


if __name__ == "__main__":
    tap.main()
