#!/usr/bin/env python3
"""A node under a real systemd, installed as `meson install` does it.

The system is booted in a container whose root is this machine's, with every change kept in memory
(overlay). Skipped where that is not possible. usage: test_systemd.py BUILD_DIRECTORY"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = os.path.abspath(sys.argv.pop(1))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position

DAEMONS = ("driverd", "archived", "consensusd", "servicehost")
TIMEOUT = 60.0
EXAMPLES = "/usr/local/lib/*/tern/examples"
NEEDED = ("/lib/systemd/systemd", shutil.which("systemd-nspawn"))

TARGET = """[Unit]
Description=Enough for a node
Requires=sysinit.target
After=sysinit.target
"""
NODE = """AERON_CLUSTER_MEMBER_ID=0
AERON_CLUSTER_MEMBERS=0,localhost:9002,localhost:9003,localhost:9004,localhost:9005,localhost:9001
AERON_ARCHIVE_CONTROL_CHANNEL=aeron:udp?endpoint=localhost:9001|term-length=64k
AERON_CLUSTER_INGRESS_CHANNEL=aeron:udp?term-length=64k
AERON_CLUSTER_LOG_CHANNEL=aeron:udp?term-length=64k
TERN_SERVICE_PLUGIN=%s
"""


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode != 0:
        raise AssertionError("%s: %s%s" % (" ".join(words), done.stdout, done.stderr))
    return done.stdout


def wait_for(condition, what):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("%s: not within %d s" % (what, TIMEOUT))
        time.sleep(0.05)


class Machine:
    """A booted container."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="tern-systemd-", dir="/dev/shm")
        self.root = os.path.join(self.top, "root")
        self.nspawn = None
        try:
            self._install()
            self._boot()
        except BaseException:
            self.close()
            raise

    def _install(self):
        for name in ("upper", "work", "root"):
            os.mkdir(os.path.join(self.top, name))
        run("mount", "-t", "overlay", "overlay", "-o", "lowerdir=/,upperdir=%s/upper,workdir=%s/work"
            % (self.top, self.top), self.root)
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet"], check=True,
                       env=dict(os.environ, DESTDIR=self.root), stdout=subprocess.DEVNULL)
        run("chroot", self.root, "ldconfig")
        self.write("etc/systemd/system/node-test.target", TARGET)
        self.write("usr/local/etc/tern/node0.env", NODE % self.example("auction"))

    def example(self, name):
        return run("chroot", self.root, "sh", "-c", "echo %s/%s.so" % (EXAMPLES, name)).strip()

    def path(self, path):
        return os.path.join(self.root, path)

    def write(self, path, text):
        path = self.path(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def _boot(self):
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--directory=" + self.root, "--register=no",
             "--keep-unit", "--private-network", "--machine=tern-test-%d" % os.getpid(), "--boot",
             "systemd.unit=node-test.target"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        wait_for(lambda: self._leader() or self.nspawn.poll() is not None, "the container's init")
        wait_for(lambda: self._is_up() or self.nspawn.poll() is not None, "the boot")
        if self.nspawn.poll() is not None:
            raise unittest.SkipTest("systemd does not boot in a container here")

    def _leader(self):
        pid = self.nspawn.pid
        try:
            with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
                return file.read().split()[0]
        except (IndexError, FileNotFoundError):
            return None

    def call(self, *words):
        return subprocess.run(["nsenter", "-t", self._leader(), "-m", "-p", "-n", "-i", "-u",
                               *words], capture_output=True, text=True, timeout=TIMEOUT,
                              check=False)

    def _is_up(self):
        return self.call("systemctl", "is-active", "node-test.target").stdout.strip() == "active"

    def state(self, name):
        return self.call("systemctl", "is-active", name + "@0").stdout.strip()

    def states(self):
        return {name: self.state(name) for name in DAEMONS}

    def journal(self):
        return self.call("journalctl", "--no-pager", "-n", "40").stdout

    def close(self):
        leader = self._leader() if self.nspawn is not None else None
        if leader is not None:
            os.kill(int(leader), signal.SIGKILL)  # everything in the container ends with its init
        if self.nspawn is not None:
            self.nspawn.wait(TIMEOUT)
        subprocess.run(["umount", "--lazy", self.root], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.top, ignore_errors=True)


@unittest.skipUnless(os.geteuid() == 0 and all(path and os.path.exists(path)
                                               for path in NEEDED),
                     "needs root, systemd and systemd-nspawn")
class SystemdTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.machine = Machine()

    @classmethod
    def tearDownClass(cls):
        cls.machine.close()

    def bid(self, customer):
        """Three bids; what the last answer says."""
        done = self.machine.call(
            "env", "AERON_DIR=/dev/shm/tern/node0",
            "TERN_EGRESS_CHANNEL=aeron:udp?endpoint=localhost:0",
            "TERN_INGRESS_ENDPOINTS=0=localhost:9002", "sh", "-c",
            "exec %s/auction-client %d 3 10" % (EXAMPLES, customer))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + self.machine.journal())
        return int(re.findall(r"after (\d+) bids", done.stdout)[-1])

    def wait_active(self):
        wait_for(lambda: set(self.machine.states().values()) == {"active"}, "an active node")

    def test_a_node_comes_back_whoever_is_killed(self):
        done = self.machine.call("systemctl", "start", "tern-node@0.target")
        self.assertEqual(done.returncode, 0, done.stderr + self.machine.journal())
        self.wait_active()
        self.assertEqual(self.bid(1), 3)
        for number, victim in enumerate(DAEMONS, 1):
            pid = self.main_pid(victim)
            self.machine.call("kill", "-KILL", pid)
            wait_for(lambda: self.main_pid(victim) not in ("0", pid), "another " + victim)
            self.wait_active()
            self.assertEqual(self.bid(number), 3 * number + 3, "nothing is forgotten")
        done = self.machine.call("systemctl", "stop", *(name + "@0" for name in DAEMONS))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(set(self.machine.states().values()), {"inactive"}, self.machine.journal())

    def test_a_second_service_is_a_copied_unit_with_its_own_environment(self):
        """As README says."""
        machine = self.machine
        with open(machine.path("usr/local/etc/tern/node0.env"), encoding="utf-8") as file:
            node = file.read()
        self.addCleanup(machine.write, "usr/local/etc/tern/node0.env", node)
        machine.write("usr/local/etc/tern/node0.env", node + "AERON_CLUSTER_SERVICE_COUNT=2\n")
        machine.write("usr/local/etc/tern/node0-1.env", "AERON_CLUSTER_SERVICE_ID=1\n"
                      "TERN_SERVICE_PLUGIN=%s\n" % machine.example("list"))
        for words in (("cp", "/usr/local/lib/systemd/system/servicehost@.service",
                       "/etc/systemd/system/servicehost-1@.service"),
                      ("systemctl", "enable", "servicehost-1@0"),
                      ("systemctl", "start", "tern-node@0.target")):
            done = machine.call(*words)
            self.assertEqual(done.returncode, 0, done.stderr + machine.journal())
        self.wait_active()
        wait_for(lambda: machine.state("servicehost-1") == "active", "the second service")
        self.addCleanup(machine.call, "systemctl", "disable", "servicehost-1@0")
        count = self.bid(1) + 3
        self.assertEqual(self.bid(1), count, "bids of another run")
        pid = self.main_pid("servicehost-1")
        machine.call("kill", "-KILL", pid)
        wait_for(lambda: self.main_pid("servicehost-1") not in ("0", pid), "another one")
        # It is ready when the module has begun anew, which ends the first service, too.
        wait_for(lambda: machine.state("servicehost-1") == "active", "the second service again")
        self.wait_active()
        self.assertEqual(self.bid(1), count + 3, "nothing is forgotten")
        machine.call("systemctl", "stop", "tern-node@0.target")
        wait_for(lambda: machine.state("servicehost-1") == "inactive", "the end of the second")

    def main_pid(self, name):
        done = self.machine.call("systemctl", "show", "-p", "MainPID", "--value", name + "@0")
        return done.stdout.strip()

    def test_b_a_mistake_in_the_configuration_is_not_tried_again_and_again(self):
        self.machine.write("usr/local/etc/tern/driverd.conf", "threading_mode = \"PLENTY\";\n")
        self.machine.call("systemctl", "start", "driverd@0")
        shown = self.machine.call("systemctl", "show", "-p", "Result,NRestarts", "driverd@0")
        self.assertIn("NRestarts=0", shown.stdout)
        self.assertIn("Result=exit-code", shown.stdout)
        self.assertIn("threading_mode", self.machine.journal())


if __name__ == "__main__":
    tap.main()
