#!/usr/bin/env python3
"""What every daemon does alike on the command line: usage: test_daemons.py CONF_BUILD DAEMON...

CONF_BUILD is where the build put the sample files; the daemons are paths."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

CONF_BUILD, DAEMONS = sys.argv[1], sys.argv[2:]
del sys.argv[1:]
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position

# What has no default.
REQUIRED = {"AERON_CLUSTER_MEMBERS": "0,a:1,a:2,a:3,a:4,a:5", "TERN_SERVICE_PLUGIN": "/x.so"}


def run(program, *arguments, **variables):
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("AERON_", "TERN_"))}
    env.update(variables)
    done = subprocess.run([program, *arguments], env=env, capture_output=True, text=True,
                          check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


class DaemonsTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tern-daemons-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def file(self, text):
        path = os.path.join(self.directory, "daemon.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_version_and_help_are_answered(self):
        for program in DAEMONS:
            name = os.path.basename(program)
            code, out, _ = run(program, "--version")
            self.assertRegex(out, r"^%s \(tern\) \d" % name)
            self.assertEqual(code, 0)
            self.assertIn("usage: %s [--config FILE]" % name, run(program, "--help")[1])
            self.assertEqual(run(program, "--nonsense")[0], 64)

    def test_a_mistake_is_named_with_its_line_and_the_exit_code_is_78(self):
        for program in DAEMONS:
            path = self.file("# comment\nlog_levle = \"info\";\n")
            code, _, err = run(program, "--config", path, "--check-config", **REQUIRED)
            self.assertEqual(code, 78, program)
            self.assertIn("%s:2: unknown key \"log_levle\"; the nearest is \"log_level\"" % path,
                          err)
            code, _, err = run(program, "--config", path, **REQUIRED)
            self.assertEqual(code, 78, "a daemon does not start with a mistake: " + program)

    def test_the_sample_is_valid_and_says_the_defaults(self):
        for program in DAEMONS:
            with open(os.path.join(CONF_BUILD, os.path.basename(program) + ".conf"),
                      encoding="utf-8") as file:
                sample = file.read()
            code, out, err = run(program, "--config", self.file(sample), "--check-config",
                                 **REQUIRED)
            self.assertEqual((code, out, err), (0, "the configuration is valid\n", ""))
            in_force = re.sub(r"^( *)#(\w+ = .*;)$", r"\1\2", sample, flags=re.M)
            path = self.file(in_force)
            code, from_file, err = run(program, "--config", path, "--print-config", **REQUIRED)
            self.assertEqual((code, err), (0, ""))
            defaults = run(program, "--print-config", **REQUIRED)[1]
            self.assertEqual(re.sub(" # .*", "", from_file), re.sub(" # .*", "", defaults))
            self.assertIn("# file %s:" % path, from_file)

    def test_the_printed_configuration_is_a_configuration(self):
        for program in DAEMONS:
            _, printed, _ = run(program, "--print-config", **REQUIRED, TERN_LOG_LEVEL="warning")
            self.assertIn('log_level = "warning"; # environment TERN_LOG_LEVEL\n', printed)
            code, again, err = run(program, "--config", self.file(printed), "--print-config")
            self.assertEqual((code, err), (0, ""), program)
            self.assertEqual(re.sub(" # .*", "", again), re.sub(" # .*", "", printed))


if __name__ == "__main__":
    tap.main()
