"""Two network namespaces with a driver in each, and a stream from the one to the other."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from cnc import Cnc

TIMEOUT = 60.0
NET = "10.213.7.%d"
SYSTEM, PROGRESS = 0, 1101  # types of counters
SETTINGS = {
    "AERON_TIMER_INTERVAL": "50ms", "AERON_PUBLICATION_LINGER_TIMEOUT": "500ms",
    "AERON_COUNTERS_FREE_TO_REUSE_TIMEOUT": "100ms", "AERON_COUNTERS_BUFFER_LENGTH": "1m",
}


def call(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def run(*words):
    good, text = call(*words)
    if not good:
        raise AssertionError("%s: %s" % (" ".join(words), text))


def wait_for(condition, what):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("%s: not within %d s" % (what, TIMEOUT))
        time.sleep(0.02)


class Host:
    """A network namespace with a driver and the programs of a test."""

    def __init__(self, number, directory):
        self.name = "tern-%d-%d" % (os.getpid(), number)
        # "ip netns exec" and "ip -n" change how / is mounted, and in a chroot it is no mount point.
        self.enter = ("nsenter", "--net=/run/netns/" + self.name)
        self.link = "tern%d-%d" % (os.getpid() % 1000000, number)
        self.address = NET % number
        self.directory = os.path.join(directory, "driver%d" % number)
        self.driver = None
        self.idle_counters = 0
        self.idle_descriptors = 0

    def start_driver(self, *command, **settings):
        self.driver = self.start(*command, **settings)
        wait_for(lambda: self.counters(SYSTEM), "the driver")
        self.idle_counters = len(self.counters())
        self.idle_descriptors = self.descriptors()

    def start(self, *command, **settings):
        env = {name: value for name, value in os.environ.items() if not name.startswith("AERON_")}
        env.update(settings, AERON_DIR=self.directory)
        return subprocess.Popen(self.enter + command, env=env, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *words):
        run(*self.enter, *words)

    def call(self, *words):
        return call(*self.enter, *words)

    def counters(self, kind=None):
        try:
            with Cnc(self.directory) as cnc:
                return [counter for counter in cnc.counters() if kind in (None, counter.type)]
        except (OSError, ValueError):
            return []

    def count(self, number):
        """A system counter."""
        return next(counter.value for counter in self.counters(SYSTEM) if counter.id == number)

    def progress(self):
        return max((counter.value for counter in self.counters(PROGRESS)), default=-1)

    def files(self):
        return [name for folder in ("publications", "images")
                for name in os.listdir(os.path.join(self.directory, folder))]

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.driver.pid))

    def mapped_logs(self):
        with open("/proc/%d/maps" % self.driver.pid, encoding="utf-8") as file:
            return file.read().count(".logbuffer")

    def resident_kib(self):
        with open("/proc/%d/status" % self.driver.pid, encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])


def make_link(hosts):
    first, second = hosts
    for host in hosts:
        run("ip", "netns", "add", host.name)
    add_link(first, second, first.link, second.link)
    for host in hosts:
        set_up(host, host.link, host.address + "/24")


def add_link(first, second, first_link, second_link):
    first.run("ip", "link", "add", first_link, "type", "veth", "peer", "name", second_link,
              "netns", second.name)


def set_up(host, link, *addresses):
    for address in addresses:  # it may be used at once: nobody else can have it
        host.run("ip", "address", "add", address, "dev", link, *["nodad"] * (":" in address))
    # Trains of segments are cut before the link, so that each datagram has a fate of its own.
    host.run("ip", "link", "set", link, "gso_max_segs", "1")
    host.run("ip", "link", "set", link, "up")


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("ip") and shutil.which("nsenter"),
                     "no root, no ip or no nsenter")
class TwoHosts(unittest.TestCase):
    """`here` sends, `there` receives; the programs are set by who uses this."""

    driver = peer = None
    settings = SETTINGS
    channel = "aeron:udp?endpoint=%s:20121|term-length=256k" % (NET % 2)

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="tern-hosts-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.here, self.there = self.hosts = [Host(number, self.directory) for number in (1, 2)]
        self.addCleanup(lambda: [call("ip", "netns", "delete", host.name) for host in self.hosts])
        try:
            make_link(self.hosts)
        except AssertionError as problem:
            self.skipTest("no namespaces: %s" % problem)
        self.sender = self.receiver = None

    def start(self, mode, **settings):
        self.start_drivers(**settings)
        self.start_receiver(mode)
        self.start_sender()

    def start_drivers(self, **settings):
        for host in self.hosts:
            self.start_driver(host, self.driver, **settings)

    def start_driver(self, host, *command, **settings):
        self.addCleanup(lambda: host.driver and self.end(host.driver))  # also one that never serves
        host.start_driver(*command, **self.settings, **settings)

    def start_sender(self, channel=None):
        self.sender = self.here.start(self.peer, "send", channel or self.channel)
        self.addCleanup(self.end, self.sender)

    def start_receiver(self, mode, channel=None):
        self.receiver = self.there.start(self.peer, "receive", channel or self.channel, mode)
        self.addCleanup(self.end, self.receiver)

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()
        process.wait(TIMEOUT)

    def run_on(self, count):
        """Until so many more messages came."""
        aim = self.there.progress() + count

        def is_there():
            for name, process in (("receiver", self.receiver), ("sender", self.sender)):
                if process.poll() is not None:
                    self.fail("the %s has ended: %s" % (name, process.communicate()))
            return self.there.progress() >= aim
        wait_for(is_there, "%d messages" % aim)

    def finish(self):
        """The end of the stream: (sent, received, skipped, gaps, images)."""
        self.sender.send_signal(signal.SIGTERM)
        out, err = self.receiver.communicate(timeout=TIMEOUT)
        self.assertEqual(self.receiver.returncode, 0, out + err)
        sent_out, sent_err = self.sender.communicate(timeout=TIMEOUT)
        self.assertEqual(self.sender.returncode, 0, sent_out + sent_err)
        sent = int(re.fullmatch(r"sent (\d+)\n", sent_out)[1])
        found = re.fullmatch(r"received (\d+) skipped (\d+) gaps (\d+) images (\d+)\n", out)
        received, skipped, gaps, images = (int(number) for number in found.groups())
        self.assertEqual(received + skipped, sent)
        return sent, received, skipped, gaps, images
