#!/usr/bin/env python3
"""ternctl-driver reads the directory of an original driver, and changes nothing in it; it traces a
living driver of ours, and looks into two that talk to each other:
usage: test_driver_ctl.py TERNCTL_DRIVER GOLDEN_DIRECTORY DRIVERD PLUGINS WEATHER_PEER"""

import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position

PEER = sys.argv.pop(5)
PLUGINS = sys.argv.pop(4)
DRIVERD = sys.argv.pop(3)
GOLDEN = sys.argv.pop(2)
TOOL = sys.argv.pop(1)
COUNTER = re.compile(r" +counter id=(\d+) state=1 .*? value=(-?\d+) .*? label='(.*?)' key=")


def golden_text(name):
    with open(os.path.join(GOLDEN, name), encoding="utf-8") as file:
        return file.read()


class DriverCtlTest(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="tern-driver-ctl-")
        self.addCleanup(place.cleanup)
        self.place = place.name

    def unpack(self, capture, report=None):
        """A directory with the capture's files, which nobody may write."""
        directory = os.path.join(self.place, capture)
        os.mkdir(directory)
        for source, name in ((capture + ".cnc.dat", "cnc.dat"), (report, "loss-report.dat")):
            if source is not None:
                path = os.path.join(directory, name)
                with gzip.open(os.path.join(GOLDEN, source + ".gz")) as file:
                    data = file.read()
                with open(path, "wb") as file:
                    file.write(data)
                os.chmod(path, 0o400)
        return directory

    def run_it(self, *arguments):
        done = subprocess.run([TOOL, *arguments], capture_output=True, text=True, check=False,
                              timeout=30)
        return done.returncode, done.stdout, done.stderr

    def test_stat_prints_every_counter(self):
        for capture in ("udp-loss", "ipc", "mdc-dynamic", "commands-after"):
            directory = self.unpack(capture)
            with open(os.path.join(directory, "cnc.dat"), "rb") as file:
                before = file.read()
            code, output, _ = self.run_it("--dir", directory, "stat")
            with open(os.path.join(directory, "cnc.dat"), "rb") as file:
                self.assertEqual(file.read(), before, "the tool changed the file")
            self.assertEqual(code, 0)
            wanted = COUNTER.findall(golden_text(capture + ".cnc.dat.txt"))
            self.assertGreater(len(wanted), 40)
            found = re.findall(r"^ *(\d+): +(-?\d+) - (.*)$", output, re.MULTILINE)
            self.assertEqual(found, wanted)
            self.assertIn("layout 0.2.0", output.splitlines()[0])

    def test_a_driver_that_ended_is_said_to_have(self):
        directory = self.unpack("commands-stopped")
        self.assertIn(" ms ago", self.run_it("--dir", directory, "stat")[1].splitlines()[0])
        path = os.path.join(directory, "cnc.dat")
        os.chmod(path, 0o600)
        with open(path, "r+b") as file:  # what a clean stop leaves in the command ring's trailer
            file.seek(128 + 1048576 + 640)
            file.write(b"\xff" * 8)
        self.assertIn("has ended", self.run_it("--dir", directory, "stat")[1].splitlines()[0])

    def test_errors_losses_and_streams_are_those_of_the_capture(self):
        directory = self.unpack("commands-after")
        code, output, _ = self.run_it("--dir", directory, "errors")
        self.assertEqual(code, 0)
        self.assertIn("errorMessage=some-reason", output)
        self.assertTrue(output.endswith("1 distinct errors\n"), output)
        directory = self.unpack("udp-loss", "udp-loss.loss-report.dat")
        code, output, _ = self.run_it("--dir", directory, "loss")
        self.assertEqual((code, output.count("1 times, 6336 bytes")), (0, 2))
        self.assertIn("2 streams with loss", output)
        code, output, _ = self.run_it("streams", "--dir", directory)
        self.assertEqual(code, 0)
        self.assertEqual(output.count("stream 1001 session 102"), 2)
        self.assertIn("10560 rcv-pos (5)", output)

    def test_names_are_the_counters_of_name_resolution(self):
        directory = self.unpack("ipc")
        code, output, _ = self.run_it("--dir", directory, "names")
        self.assertEqual(code, 0)
        labels = re.findall(r"^ *\d+: +\d+ - (.*)$", output, re.MULTILINE)
        self.assertEqual(labels, ["Resolution changes: driverName=", "NameResolver max time in ns",
                                  "NameResolver exceeded threshold count: threshold=5s"])

    def test_what_is_no_driver_directory_is_69_and_never_a_crash(self):
        self.assertEqual(self.run_it("--dir", os.path.join(self.place, "none"), "stat")[0], 69)
        with gzip.open(os.path.join(GOLDEN, "ipc.cnc.dat.gz")) as file:
            whole = file.read()
        for cut in (0, 1, 127, 128, 4096, len(whole) // 2, len(whole) - 4096):
            directory = os.path.join(self.place, "cut%d" % cut)
            os.mkdir(directory)
            with open(os.path.join(directory, "cnc.dat"), "wb") as file:
                file.write(whole[:cut])
            for command in ("stat", "errors", "streams"):
                code, _, error = self.run_it("--dir", directory, command)
                self.assertEqual(code, 69, "%s of the first %d bytes" % (command, cut))
                self.assertIn("cnc.dat", error)

    def test_mistakes_are_64_and_help_names_the_exit_codes(self):
        for arguments in ((), ("nonsense",), ("--bogus", "stat"), ("stat", "errors"),
                          ("trace", "nonsense"), ("trace", "frames", "commands")):
            code, output, error = self.run_it(*arguments)
            self.assertEqual((code, output), (64, ""))
            self.assertIn("usage:", error)
        code, output, _ = self.run_it("--help")
        self.assertEqual(code, 0)
        for word in ("stat", "errors", "streams", "loss", "names", "plugins", "trace", "64", "69"):
            self.assertIn(word, output)

    def start(self, *words, **settings):
        """A process that is ended with the test."""
        process = subprocess.Popen(words, env=dict(os.environ, **settings), text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def stop():
            process.kill()
            process.communicate()
        self.addCleanup(stop)
        return process

    def start_driver(self, name="living", **settings):
        directory = os.path.join(self.place, name)
        process = self.start(DRIVERD, AERON_DIR=directory, AERON_THREADING_MODE="SHARED",
                             **settings)
        self.until(directory, "stat", "layout")
        return process, directory

    def until(self, directory, command, *patterns):
        """What the command says once it matches each of the patterns: their first groups."""
        deadline = time.monotonic() + 30
        while True:
            code, output, error = self.run_it("--dir", directory, command)
            found = [re.search(pattern, output, re.MULTILINE) for pattern in patterns]
            if code == 0 and all(found):
                return [match[0] if match.re.groups == 0 else match[1] for match in found]
            self.assertLess(time.monotonic(), deadline, "%s: %s%s" % (patterns, output, error))
            time.sleep(0.05)

    def test_trace_switches_the_event_log_on_and_off(self):
        driver, directory = self.start_driver()
        path = os.path.join(directory, "trace.dat")
        tracer = self.start(TOOL, "--dir", directory, "trace", "commands")
        self.assertIn("tracing", tracer.stderr.readline())
        self.assertTrue(os.path.exists(path))
        code, _, error = self.run_it("--dir", directory, "trace")
        self.assertEqual(code, 69)
        self.assertIn("somebody traces already", error)
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30)
        self.assertEqual(tracer.returncode, 0)
        self.assertFalse(os.path.exists(path))

        tracer = self.start(TOOL, "--dir", directory, "trace")
        self.assertIn("tracing", tracer.stderr.readline())
        driver.send_signal(signal.SIGTERM)
        error = tracer.communicate(timeout=30)[1]
        self.assertEqual(tracer.returncode, 69)
        self.assertIn("has ended", error)
        driver.communicate(timeout=30)
        self.assertFalse(os.path.exists(path))
        self.assertEqual(self.run_it("--dir", directory, "trace")[0], 69)

    def start_pair(self):
        """Two drivers that know each other's names, and four ports."""
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
        for one in sockets:
            one.close()
        common = {"AERON_TERM_BUFFER_LENGTH": "64k", "AERON_NAME_RESOLVER_SUPPLIER": "driver",
                  "AERON_DRIVER_RESOLVER_SELF_RESOLUTION_INTERVAL": "100ms",
                  "AERON_DRIVER_RESOLVER_NEIGHBOR_TIMEOUT": "2s"}
        here = self.start_driver(
            "here", **common, AERON_DRIVER_RESOLVER_NAME="here.tern.invalid",
            AERON_DRIVER_RESOLVER_INTERFACE="127.0.0.1:%d" % ports[0],
            AERON_LOW_FILE_STORE_WARNING_THRESHOLD="1000000g")
        there = self.start_driver(
            "there", **common, AERON_DRIVER_RESOLVER_NAME="there.tern.invalid",
            AERON_DRIVER_RESOLVER_INTERFACE="127.0.0.1:%d" % ports[1],
            AERON_DRIVER_RESOLVER_BOOTSTRAP_NEIGHBOR="127.0.0.1:%d" % ports[0],
            AERON_DEBUG_RECEIVE_DATA_LOSS_RATE="0.05", AERON_DEBUG_RECEIVE_DATA_LOSS_SEED="3")
        return here, there, ports

    def test_a_stream_between_two_drivers_is_seen_at_both(self):
        (_, here), (other, there), ports = self.start_pair()
        sending = "aeron:udp?control=here.tern.invalid:%d|control-mode=dynamic|fc=min" % ports[2]
        receiving = "aeron:udp?endpoint=127.0.0.1:%d|control=127.0.0.1:%d|cc=cubic" % (
            ports[3], ports[2])
        self.start(PEER, "send", sending, AERON_DIR=here)
        self.start(PEER, "receive", receiving, "whole", AERON_DIR=there)

        session, = self.until(
            here, "streams", r"^stream 1001 session (-?\d+) %s\n" % re.escape(sending))
        self.until(here, "streams", r" [1-9]\d* snd-pos \(", r" [1-9]\d* snd-naks-received \(",
                   r" 1 fc-receivers \(")
        self.until(here, "stat", r" 1 - snd-channel: %s 127\.0\.0\.1:%d$" % (
            re.escape(sending), ports[2]), r" 1 - mdc-num-dest: " + re.escape(sending),
            r" [1-9]\d* - Retransmits sent$", r" [1-9]\d* - weather sent$")
        self.until(there, "streams",
                   r"^stream 1001 session %s %s\n" % (session, re.escape(receiving)),
                   r" [1-9]\d* rcv-naks-sent \(", r" [1-9]\d* rcv-cc-cubic-wnd \(",
                   r" [1-9]\d* sub-pos \(")
        self.until(there, "loss", r"^[1-9]\d* times, [1-9]\d* bytes, .*, stream 1001 session %s %s "
                   r"from 127\.0\.0\.1:%d$" % (session, re.escape(receiving), ports[2]))
        self.assertEqual(self.run_it("--dir", here, "loss")[1], "0 streams with loss\n")

        self.until(here, "names", r" 1 - Resolver neighbors: bound 127\.0\.0\.1:%d$" % ports[0],
                   r" 1 - Resolver cache entries: name=here\.tern\.invalid$")
        self.until(there, "names", r" 1 - Bootstrap neighbor: name=127\.0\.0\.1:%d " % ports[0],
                   r" 1 - Resolver neighbors: bound 127\.0\.0\.1:%d$" % ports[1])
        other.kill()
        self.until(here, "names", r" 0 - Resolver neighbors: ", r" 0 - Resolver cache entries: ")

    def test_a_stall_is_seen(self):
        driver, directory = self.start_driver(AERON_DRIVER_CONDUCTOR_CYCLE_THRESHOLD="1500ms")
        driver.send_signal(signal.SIGSTOP)
        time.sleep(2)  # a driver that does nothing is what is looked for
        driver.send_signal(signal.SIGCONT)
        longest, _ = self.until(
            directory, "stat", r"^ *26: +(\d{10,}) - Conductor max cycle time doing its work in ns: ",
            r"^ *27: +[1-9]\d* - Conductor work cycle exceeded threshold count: threshold=1500ms ")
        self.assertGreater(int(longest), 1500000000)

    def test_errors_are_seen_when_they_happen(self):
        (_, here), (_, there), ports = self.start_pair()
        even = "aeron:udp?endpoint=224.20.30.8:%d" % ports[2]
        refused = self.start(PEER, "receive", even, "whole", AERON_DIR=there)
        self.assertIn("224.20.30.8", refused.communicate(timeout=30)[1])
        self.assertEqual(refused.returncode, 1)
        self.until(there, "errors", r"^1 times from .*224\.20\.30\.8", r"^1 distinct errors$")
        self.assertEqual(self.run_it("--dir", here, "errors")[1], "0 distinct errors\n")
        self.start(PEER, "send", "aeron:udp?endpoint=127.0.0.1:%d" % ports[3], AERON_DIR=here)
        self.until(here, "errors", r"^1 times from .*space is running low in %s" % re.escape(here))

    def test_plugins_are_shown_with_their_options(self):
        _, directory = self.start_driver(
            AERON_DRIVER_DYNAMIC_LIBRARIES=PLUGINS + "/driver_flow_control.so",
            AERON_MULTICAST_FLOWCONTROL_SUPPLIER="slowest",
            AERON_DRIVER_TERMINATION_VALIDATOR=PLUGINS + "/driver_termination.so:by_password",
            AERON_UDP_CHANNEL_INCOMING_INTERCEPTORS=PLUGINS + "/driver_interceptor.so:every_third")
        code, output, _ = self.run_it("--dir", directory, "plugins")
        self.assertEqual(code, 0)
        self.assertEqual(re.findall(r"^ *\d+: +(\d+) - (.*)$", output, re.MULTILINE), [
            ("1", "Plug-in: driver_termination_validator=%s/driver_termination.so:by_password is "
                  "by_password 1.0" % PLUGINS),
            ("0", "Plug-in: multicast_flowcontrol_supplier=slowest is slowest 1.0"),
            ("1", "Plug-in: udp_channel_incoming_interceptors=every_third is every_third 1.0")])
        self.assertTrue(output.endswith("3 plug-ins\n"), output)
        self.assertIn("Plug-in: multicast_flowcontrol_supplier=slowest",
                      self.run_it("--dir", directory, "stat")[1])

    def test_a_plugin_that_is_not_there_is_refused_where_it_is_named(self):
        path = os.path.join(self.place, "driverd.conf")
        directory = os.path.join(self.place, "refused")
        for value, text in (
                ("/none.so:mine", "cannot load the library: /none.so"),
                (PLUGINS + "/driver_idle.so:mine", "has no symbol 'mine'"),
                (PLUGINS + "/driver_idle.so:napping", "is an idle strategy, wanted is a termin"),
                (PLUGINS + "/bad_driver.so:of_tomorrow", "has plug-in ABI version 2, this driver"),
                ("mine", "'mine' is none of deny, allow, nor a symbol of driver_dynamic")):
            with open(path, "w", encoding="utf-8") as file:
                file.write("# first\ndir = \"%s\";\ndriver_termination_validator = \"%s\";\n"
                           % (directory, value))
            for check in ((), ("--check-config",)):
                done = subprocess.run([DRIVERD, "--config", path, *check], capture_output=True,
                                      text=True, check=False, timeout=30)
                self.assertEqual(done.returncode, 78, done.stderr)
                self.assertIn("%s:3: driver_termination_validator = " % path, done.stderr)
                self.assertIn(text, done.stderr)
            self.assertFalse(os.path.exists(directory))


if __name__ == "__main__":
    tap.main()
