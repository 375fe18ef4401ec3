#!/usr/bin/env python3
"""ternctl finds its subcommands as git does: usage: test_ternctl.py TERNCTL"""

import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position

TERNCTL = sys.argv.pop(1)
SCRIPT = '#!/bin/sh\necho "$(basename "$0")" "$@"\nexit 7\n'


class TernctlTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="tern-ctl-")
        self.addCleanup(self.directory.cleanup)
        for name in ("ternctl-driver", "ternctl-extra"):
            path = os.path.join(self.directory.name, name)
            with open(path, "w", encoding="ascii") as file:
                file.write(SCRIPT)
            os.chmod(path, 0o755)

    def run_it(self, *arguments):
        env = dict(os.environ, TERN_EXEC_PATH="/nonexistent:" + self.directory.name)
        done = subprocess.run([TERNCTL, *arguments], env=env, capture_output=True, text=True,
                              check=False)
        return done.returncode, done.stdout, done.stderr

    def test_a_command_gets_its_arguments_and_gives_its_exit_code(self):
        self.assertEqual(self.run_it("extra", "a b", "--help"),
                         (7, "ternctl-extra a b --help\n", ""))

    def test_an_alias_is_a_command_with_an_argument(self):
        self.assertEqual(self.run_it("stat", "-x"), (7, "ternctl-driver stat -x\n", ""))
        for word in ("errors", "streams", "loss", "names", "trace"):
            self.assertEqual(self.run_it(word)[1], "ternctl-driver %s\n" % word)

    def test_help_lists_what_is_there(self):
        code, out, _ = self.run_it("--help")
        self.assertEqual(code, 0)
        for word in ("driver", "archive", "cluster", "stat", "errors", "streams", "loss",
                     "names", "trace", "extra"):
            self.assertIn("\n  " + word, out)

    def test_mistakes_on_the_command_line_give_64(self):
        for arguments in ((), ("--nonsense",), ("nosuch",), ("../evil",)):
            code, out, err = self.run_it(*arguments)
            self.assertEqual((code, out), (64, ""), arguments)
            self.assertIn("ternctl", err)


if __name__ == "__main__":
    tap.main()
