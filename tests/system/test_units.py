#!/usr/bin/env python3
"""The systemd units: usage: test_units.py UNIT_DIRECTORY (configured units)"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

UNITS = sys.argv.pop(1)
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position

DAEMONS = ("driverd", "archived", "consensusd", "servicehost")
EXPOSURE_MAX = 2.0


@unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze")
class UnitsTest(unittest.TestCase):
    def setUp(self):
        """Copies that name a program which is there: verify looks for it."""
        directory = tempfile.TemporaryDirectory(prefix="tern-units-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        for path in glob.glob(os.path.join(UNITS, "*@.*")):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            text = re.sub(r"^(ExecStart(?:Pre)?=)\S+", r"\g<1>/bin/true", text, flags=re.M)
            with open(os.path.join(self.directory, os.path.basename(path)), "w",
                      encoding="utf-8") as file:
                file.write(text)

    def analyze(self, *arguments):
        return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True,
                              check=False, env=dict(os.environ, SYSTEMD_COLORS="0",
                                                    SYSTEMD_UNIT_PATH=self.directory + ":"))

    def test_verify_is_silent(self):
        """It returns 0 for an unknown key, so any output counts."""
        for unit in [name + "@0.service" for name in DAEMONS] + ["tern-node@0.target"]:
            done = self.analyze("verify", "--man=no", unit)
            self.assertEqual((done.stdout + done.stderr, done.returncode), ("", 0), unit)

    def test_verify_speaks_up_about_a_mistake(self):
        with open(os.path.join(self.directory, "driverd@.service"), "a", encoding="utf-8") as file:
            file.write("[Service]\nNoSuchKey=1\n")
        done = self.analyze("verify", "--man=no", "driverd@0.service")
        self.assertIn("NoSuchKey", done.stdout + done.stderr)

    def test_exposure_is_low(self):
        for name in DAEMONS:
            path = os.path.join(self.directory, name + "@.service")
            done = self.analyze("security", "--offline=true", path)
            match = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
            self.assertIsNotNone(match, done.stdout + done.stderr)
            self.assertLessEqual(float(match.group(1)), EXPOSURE_MAX, done.stdout)


if __name__ == "__main__":
    tap.main()
