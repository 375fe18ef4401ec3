#!/usr/bin/env python3
"""Two drivers in two network namespaces, and what weather there can be between them.

usage: test_weather.py DRIVERD WEATHER_PEER [CLASS ...]. Skipped where namespaces cannot be made;
single tests where the kernel has no means for their weather. Every byte of a stream has to arrive in
order and once (weather_peer.c looks), and nothing may be left when the streams have gone.
"""

import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402  pylint: disable=wrong-import-position
from hosts import SYSTEM, TIMEOUT, TwoHosts, wait_for  # noqa: E402  pylint: disable=wrong-import-position

DRIVERD, PEER = (os.path.abspath(path) for path in sys.argv[1:3])
del sys.argv[1:3]  # what is left selects tests
SHAPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib", "shaper.py")
MTU = 1408
IMAGE_POSITION = 4  # a type of counters
BYTES_SENT, NAKS_SENT, ERRORS, CLIENT_TIMEOUTS, RETRANSMITTED_BYTES = 0, 5, 15, 24, 36  # ids
UNREACHABLE_MAX = 100  # errors while there is no route: once for each status message, not more
HALF_A_MINUTE_S = 30.0
SHORT = {"AERON_IMAGE_LIVENESS_TIMEOUT": "1s", "AERON_PUBLICATION_CONNECTION_TIMEOUT": "1s"}


def lose(host, percent):
    """Datagrams that come to the host; whether the kernel can do it."""
    return host.call("iptables-legacy", "-A", "INPUT", "-p", "udp", "-m", "statistic", "--mode",
                     "random", "--probability", "%g" % (percent / 100), "-j", "DROP")[0] or (
        host.call("nft", "add table ip weather; add chain ip weather in "
                  "{ type filter hook input priority 0; }; add rule ip weather in ip protocol udp "
                  "numgen random mod 1000 < %d drop" % (percent * 10))[0])


def double(host, other):
    """Each datagram that leaves the host; whether the kernel can do it."""
    return host.call("iptables-legacy", "-t", "mangle", "-A", "POSTROUTING", "-o", host.link, "-p",
                     "udp", "-j", "TEE", "--gateway", other.address)[0]


class Weather(TwoHosts):
    driver, peer = DRIVERD, PEER

    def finish_whole(self, errors_max=0):
        sent, received, _, _, images = self.finish()
        self.assertEqual((received, images), (sent, 1))
        self.check_nothing_left(errors_max)

    def check_nothing_left(self, errors_max=0):
        for host in self.hosts:
            wait_for(lambda host=host: len(host.counters()) == host.idle_counters,
                     "the counters of the streams go")
            wait_for(lambda host=host: not host.files(), "the logs go")
            wait_for(lambda host=host: not host.mapped_logs(), "the driver lets go of the logs")
            wait_for(lambda host=host: host.descriptors() <= host.idle_descriptors,
                     "the driver closes what it opened: %d" % host.idle_descriptors)
            self.assertLessEqual(host.count(ERRORS), errors_max)

    def wait_stalled(self):
        """Until the sender does not get on any more."""
        seen = [-1, 0.0]

        def is_stalled():
            now = self.here.progress()
            if now != seen[0]:
                seen[:] = now, time.monotonic()
            return time.monotonic() - seen[1] > 0.5
        wait_for(is_stalled, "the sender is held up")

    def lose_both_ways(self, percent):
        if not all(lose(host, percent) for host in self.hosts):
            self.skipTest("no iptables-legacy or nft with random numbers")


class WeatherTest(Weather):
    def delay(self, low_ms, high_ms):
        """Every datagram that comes to either host, by itself."""
        for host in self.hosts:
            shaper = host.start(sys.executable, SHAPER, str(low_ms), str(high_ms))
            self.addCleanup(self.end, shaper)
            if shaper.stdout.readline() != "ready\n" or not host.call(
                    "iptables-legacy", "-A", "INPUT", "-p", "udp", "-j", "NFQUEUE")[0]:
                self.skipTest("no iptables-legacy with NFQUEUE")

    def check_repairs(self, percent, rate):
        """What was sent again is what was lost, and what is lost of that, and not much more."""
        again = self.here.count(RETRANSMITTED_BYTES)
        share = again / (self.here.count(BYTES_SENT) - again)
        lost = percent / (100 - percent)
        print("# loss %g %%: sent again %.3f of the stream, %d naks, %.0f messages/s" % (
            percent, share, self.there.count(NAKS_SENT), rate))
        self.assertTrue(lost / 4 < share < 3 * lost + 0.01, share)

    def lose_and_repair(self, percent, count):
        self.lose_both_ways(percent)
        self.start("whole")
        self.run_on(1)
        began, first = time.monotonic(), self.there.progress()
        self.run_on(count)
        rate = (self.there.progress() - first) / (time.monotonic() - began)
        self.finish_whole()
        self.check_repairs(percent, rate)

    def test_1_of_1000_datagrams_is_lost(self):
        self.lose_and_repair(0.1, 40000)

    def test_1_of_100_datagrams_is_lost(self):
        self.lose_and_repair(1, 10000)

    def test_5_of_100_datagrams_are_lost(self):
        self.lose_and_repair(5, 5000)

    def test_20_of_100_datagrams_are_lost(self):
        self.lose_and_repair(20, 2000)

    def test_the_way_takes_50_ms(self):
        self.delay(50, 50)
        self.start("whole")
        self.run_on(3000)
        self.finish_whole()
        self.assertEqual(self.here.count(RETRANSMITTED_BYTES), 0, "nothing was lost")

    def test_datagrams_overtake_each_other(self):
        self.delay(0, 4)
        self.start("whole")
        self.run_on(3000)
        self.finish_whole()

    def test_each_datagram_comes_twice(self):
        if not (double(self.here, self.there) and double(self.there, self.here)):
            self.skipTest("no iptables-legacy with TEE")
        self.start("whole")
        self.run_on(10000)
        self.finish_whole()

    def test_link_is_down_for_a_while(self):
        self.start("whole")
        self.run_on(1000)
        self.there.run("ip", "link", "set", self.there.link, "down")
        self.wait_stalled()
        self.there.run("ip", "link", "set", self.there.link, "up")
        self.run_on(1000)
        self.finish_whole(UNREACHABLE_MAX)

    def test_link_is_down_for_longer_than_images_live(self):
        self.start("images", **SHORT)
        for _ in range(2):
            self.run_on(1000)
            self.there.run("ip", "link", "set", self.there.link, "down")
            wait_for(lambda: not self.there.counters(IMAGE_POSITION), "the image goes")
            self.wait_stalled()
            self.there.run("ip", "link", "set", self.there.link, "up")
        self.run_on(1000)
        _, _, _, gaps, images = self.finish()
        self.assertGreaterEqual(images, 3)
        self.assertLess(gaps, images)
        self.check_nothing_left(UNREACHABLE_MAX)

    def test_receiving_client_is_stopped_and_goes_on(self):
        self.start("whole")
        self.run_on(1000)
        self.receiver.send_signal(signal.SIGSTOP)
        self.wait_stalled()
        resident = self.here.resident_kib(), self.there.resident_kib()
        time.sleep(1)  # nothing may happen meanwhile
        self.assertLess(self.here.resident_kib(), resident[0] + 1024)
        self.assertLess(self.there.resident_kib(), resident[1] + 1024)
        self.receiver.send_signal(signal.SIGCONT)
        self.run_on(1000)
        self.finish_whole()

    def test_receiving_driver_is_stopped_and_goes_on(self):
        self.start("whole")
        self.run_on(1000)
        self.there.driver.send_signal(signal.SIGSTOP)
        self.wait_stalled()
        self.there.driver.send_signal(signal.SIGCONT)
        self.run_on(1000)
        self.finish_whole()

    def test_receiving_driver_is_stopped_for_longer_than_the_sender_waits(self):
        self.start("images", AERON_PUBLICATION_CONNECTION_TIMEOUT="1s",
                   AERON_IMAGE_LIVENESS_TIMEOUT="1s")
        self.run_on(1000)
        self.there.driver.send_signal(signal.SIGSTOP)
        self.wait_stalled()
        time.sleep(3)  # three times what anybody waits for
        self.there.driver.send_signal(signal.SIGCONT)
        self.run_on(1000)
        self.finish()
        self.check_nothing_left()

    def test_client_stopped_for_too_long_is_forgotten(self):
        self.start("whole", **SHORT, AERON_CLIENT_LIVENESS_TIMEOUT="1s")
        self.run_on(1000)
        self.receiver.send_signal(signal.SIGSTOP)
        wait_for(lambda: len(self.there.counters()) == self.there.idle_counters,
                 "the driver forgets the client")
        self.assertEqual(self.there.count(CLIENT_TIMEOUTS), 1)
        self.receiver.send_signal(signal.SIGCONT)
        self.assertEqual(self.receiver.wait(TIMEOUT), 1)
        self.start_receiver("images")
        self.run_on(1000)
        self.finish()
        self.check_nothing_left()


class HalfMinuteTest(Weather):
    """What lasts for half a minute, with the time-outs that users have: images live for 10 s without
    a packet, clients and drivers count as dead when they were not heard of for as long."""

    settings = {}

    def stay_so(self, since):
        """Until the half minute is over; nothing may grow meanwhile."""
        wait_for(lambda: not self.there.counters(IMAGE_POSITION), "the image goes")
        self.wait_stalled()
        resident = [host.resident_kib() for host in self.hosts]
        counters = [len(host.counters()) for host in self.hosts]
        time.sleep(max(0.0, since + HALF_A_MINUTE_S - time.monotonic()))
        for host, before, count in zip(self.hosts, resident, counters):
            self.assertLess(host.resident_kib(), before + 256)
            self.assertLessEqual(len(host.counters()), count)

    def lose_no_more(self):
        for host in self.hosts:
            host.call("iptables-legacy", "-F", "INPUT")
            host.call("nft", "delete table ip weather")

    def finish_in_images(self, expected, gaps_max, errors_max=0):
        sent, _, skipped, gaps, images = self.finish()
        print("# %d sent, %d skipped in %d gaps, %d images" % (sent, skipped, gaps, images))
        self.assertEqual(images, expected)
        self.assertLessEqual(gaps, gaps_max)
        self.check_nothing_left(errors_max)


class NoLinkTest(HalfMinuteTest):
    def test_link_is_down(self):
        self.start("images")
        self.run_on(1000)
        self.there.run("ip", "link", "set", self.there.link, "down")
        self.stay_so(time.monotonic())
        self.there.run("ip", "link", "set", self.there.link, "up")
        self.run_on(1000)
        self.finish_in_images(2, 1, UNREACHABLE_MAX)

    def test_every_datagram_is_lost(self):
        self.lose_both_ways(100)
        self.lose_no_more()
        self.start("images")
        self.run_on(1000)
        self.lose_both_ways(100)
        self.stay_so(time.monotonic())
        self.lose_no_more()
        self.run_on(1000)
        self.finish_in_images(2, 1)


class PausedTest(HalfMinuteTest):
    """The receiver, its driver or both are stopped and go on: the receiver was away for too long or
    missed its driver, and ends. The sender waits for the next one."""

    def go_on_with_another(self):
        self.assertEqual(self.receiver.wait(TIMEOUT), 1)
        print("# " + self.receiver.stderr.read().strip())
        wait_for(lambda: len(self.there.counters()) == self.there.idle_counters,
                 "the driver forgets the receiver")
        self.assertEqual(self.there.count(CLIENT_TIMEOUTS), 1)
        self.start_receiver("images")
        aim = self.here.progress() + 1000
        wait_for(lambda: self.there.progress() >= aim, "%d messages" % aim)
        self.finish_in_images(1, 1)

    def test_receiver_is_stopped(self):
        self.start("images")
        self.run_on(1000)
        self.receiver.send_signal(signal.SIGSTOP)
        self.stay_so(time.monotonic())
        self.receiver.send_signal(signal.SIGCONT)
        self.go_on_with_another()

    def stop_half_a_minute(self, *processes):
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        since = time.monotonic()
        self.wait_stalled()
        resident, count = self.here.resident_kib(), len(self.here.counters())
        time.sleep(max(0.0, since + HALF_A_MINUTE_S - time.monotonic()))
        self.assertLess(self.here.resident_kib(), resident + 256)
        self.assertLessEqual(len(self.here.counters()), count)
        for process in processes:
            process.send_signal(signal.SIGCONT)

    def test_driver_is_stopped(self):
        self.start("images")
        self.run_on(1000)
        self.stop_half_a_minute(self.there.driver)
        self.go_on_with_another()

    def test_receiver_and_driver_are_stopped(self):
        self.start("images")
        self.run_on(1000)
        self.stop_half_a_minute(self.there.driver, self.receiver)
        self.go_on_with_another()


if __name__ == "__main__":
    tap.main()
