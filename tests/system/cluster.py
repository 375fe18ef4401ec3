"""Clusters of real nodes for system tests: each node is scripts/node with its own directories and
ports, the clients have a driver of their own. Whatever a test started is killed when it ends,
however it ends. Waiting is polling a condition; nothing sleeps in the hope that it is enough."""

import atexit
import collections
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import cnc  # noqa: E402  pylint: disable=wrong-import-position
import list_history  # noqa: E402  pylint: disable=wrong-import-position

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.environ.get("TERN_BUILD", os.path.join(ROOT, "build"))

# Counter types and values of cluster.md 7.
MODULE_STATE, ROLE, CONTROL_TOGGLE, COMMIT_POSITION, SNAPSHOT_COUNT = 200, 201, 202, 203, 205
ELECTION_STATE, ELECTION_COUNT, TERM_ID = 207, 238, 239
MODULE_ACTIVE, LEADER, ELECTION_CLOSED, SNAPSHOT, SHUTDOWN = 1, 2, 17, 4, 5

START_TIMEOUT, STOP_TIMEOUT = 30.0, 15.0
POLL_INTERVAL = 0.01
LOG_TAIL_LINES = 15

TERM, SNAPSHOT_RECORD, INVALID = 0, 1, 1 << 31  # kinds of records in recording.log
Record = collections.namedtuple(
    "Record", "recording term base position timestamp service kind offset")

DAEMONS = ("driverd", "archived", "consensusd", "servicehost")

ENVIRONMENT = {
    "AERON_CLUSTER_INGRESS_CHANNEL": "aeron:udp?term-length=64k",
    "AERON_CLUSTER_LOG_CHANNEL": "aeron:udp?term-length=64k",
    "AERON_CLUSTER_REPLICATION_CHANNEL": "aeron:udp?endpoint=localhost:0",
    "AERON_CLUSTER_MAX_SESSIONS": "50",
    "AERON_ARCHIVE_REPLICATION_CHANNEL": "aeron:udp?endpoint=localhost:0",
    "AERON_ARCHIVE_SEGMENT_FILE_LENGTH": "64k",
    "AERON_ARCHIVE_THREADING_MODE": "SHARED",
    "AERON_THREADING_MODE": "SHARED",
    "AERON_TERM_BUFFER_LENGTH": "64k",
    "AERON_IPC_TERM_BUFFER_LENGTH": "64k",
    "AERON_TERM_BUFFER_SPARSE_FILE": "true",
}

_groups = set()  # process groups that still have to be ended
_directories = set()


class Failure(AssertionError):
    """Something did not come about."""


def wait_for(condition, timeout, what):
    """Poll until the condition gives something; Failure when the time is over. `what` is a text or
    makes one."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value is not None and value is not False:
            return value
        if time.monotonic() > deadline:
            raise Failure("not within %.1f s: %s" % (timeout, what() if callable(what) else what))
        time.sleep(POLL_INTERVAL)


def program(name):
    """A program of the build tree."""
    for directory, subdirectories, files in os.walk(BUILD):
        subdirectories[:] = [d for d in subdirectories if not d.endswith(".p")]
        path = os.path.join(directory, name)
        if name in files and os.access(path, os.X_OK):
            return path
    raise Failure("%s is not built in %s" % (name, BUILD))


def free_port_base(nodes):
    """Ten ports for each node from here on are free."""
    for _ in range(100):
        base = random.randrange(20000, 32000, 100)
        try:
            for port in range(base, base + 10 * nodes):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise Failure("no free ports")


def environment(settings):
    """This process's environment without settings of Aeron, and with the given ones."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AERON_")}
    env.update(settings)
    return env


class Group:
    """A process that leads a group of its own, with its output in a file."""

    def __init__(self, words, settings, log_path, cwd=None, **options):
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(words, env=environment(settings), cwd=cwd, stderr=log,
                                            start_new_session=True,
                                            **{"stdin": subprocess.DEVNULL, "stdout": log,
                                               **options})
        self.pid = self.process.pid
        _groups.add(self.pid)

    @property
    def is_running(self):
        return self.process.poll() is None

    def signal_all(self, number):
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    def kill(self):
        """What a crash of the machine does to them: all at once, nothing cleaned up."""
        self.signal_all(signal.SIGKILL)
        self.process.wait()
        wait_for(self._is_gone, 10, "the end of killed processes")
        _groups.discard(self.pid)

    def _is_gone(self):
        try:
            os.killpg(self.pid, 0)
            return False
        except ProcessLookupError:
            return True

    def stop(self, timeout=STOP_TIMEOUT):
        """SIGTERM to the leader, which ends the others; its exit code, None when it was killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        return code

    def tail(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-LOG_TAIL_LINES:])


class Node:
    """One member; its data stays when it is stopped or killed."""

    def __init__(self, cluster, number):
        self.cluster, self.id, self.group = cluster, number, None
        self.base = cluster.path("node%d" % number)
        self.driver_directory = cluster.path("driver%d" % number)
        self.archive_directory = os.path.join(self.base, "archive")
        self.cluster_directory = os.path.join(self.base, "cluster")
        self.log_path = cluster.path("node%d.log" % number)

    def settings(self):
        port = self.cluster.port(self.id)
        return {**ENVIRONMENT, "TERN_BUILD": BUILD,
                "AERON_DIR": self.driver_directory,
                "AERON_ARCHIVE_DIR": self.archive_directory,
                "AERON_CLUSTER_DIR": self.cluster_directory,
                "AERON_CLUSTER_MEMBER_ID": str(self.id),
                "AERON_CLUSTER_MEMBERS": self.cluster.members,
                "AERON_ARCHIVE_CONTROL_CHANNEL":
                    "aeron:udp?term-length=64k|endpoint=localhost:%d" % (port + 1),
                **self.cluster.settings}

    def start(self):
        os.makedirs(self.base, exist_ok=True)
        self.group = Group([os.path.join(ROOT, "scripts", "node"), "--base", self.base,
                            "--services", self.cluster.service], self.settings(), self.log_path)

    @property
    def is_running(self):
        return self.group is not None and self.group.is_running

    def kill(self):
        self.group.kill()
        self.group = None

    def stop(self):
        """SIGTERM; the exit code."""
        code = self.group.stop()
        self.group = None
        return code

    def wipe(self):
        """All its data is gone, as on a new disk."""
        shutil.rmtree(self.base)
        shutil.rmtree(self.driver_directory, ignore_errors=True)

    def counters(self):
        """Values of the cluster's counters by type; {} while there is nothing to see. A file that a
        killed driver left behind does not count."""
        if not self.is_running:
            return {}
        try:
            with cnc.Cnc(self.driver_directory) as view:
                if os.getpgid(view.pid) != self.group.pid:
                    return {}
                return {counter.type: counter.value for counter in view.counters()
                        if 200 <= counter.type < 250}
        except (OSError, ValueError):
            return {}

    @property
    def is_leader(self):
        values = self.counters()
        return values.get(ROLE) == LEADER and values.get(ELECTION_STATE) == ELECTION_CLOSED

    def ternctl(self, *words):
        """Run ternctl for this node; its output, Failure when it fails."""
        done = subprocess.run([program("ternctl"), *words], env=environment(self.settings()),
                              capture_output=True, text=True, timeout=30, check=False)
        if done.returncode != 0:
            raise Failure("ternctl %s: exit code %d: %s" % (
                " ".join(words), done.returncode, done.stdout + done.stderr))
        return done.stdout

    def pid_of(self, name):
        """The daemon of this node with this name."""
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and os.getpgid(int(entry)) == self.group.pid:
                    with open("/proc/%s/comm" % entry, encoding="ascii") as file:
                        if file.read().strip() == name:
                            return int(entry)
            except OSError:
                continue  # it has ended meanwhile
        raise Failure("node %d has no %s" % (self.id, name))

    def wait_exit(self, timeout=STOP_TIMEOUT):
        """The node ends by itself; its exit code."""
        wait_for(lambda: not self.group.is_running, timeout,
                 lambda: "the end of the node\n" + self.describe())
        code = self.group.process.returncode
        self.kill()
        return code

    def recording_log(self):
        """Records of recording.log in the order of the file."""
        with open(os.path.join(self.cluster_directory, "recording.log"), "rb") as file:
            log = file.read()
        return [Record(*struct.unpack_from("<qqqqqiI", log, at), at)
                for at in range(0, len(log) - 47, 64)]

    def last_term(self):
        return [record for record in self.recording_log() if record.kind == TERM][-1]

    def toggle(self, value):
        """Set the cluster's control toggle."""
        with cnc.Cnc(self.driver_directory) as view:
            for counter in view.counters():
                if counter.type == CONTROL_TOGGLE:
                    view.set(counter, value)
                    return
        raise Failure("node %d has no control toggle" % self.id)

    def describe(self):
        if self.group is None:
            return "node %d: not running" % self.id
        names = {MODULE_STATE: "module", ROLE: "role", ELECTION_STATE: "election",
                 TERM_ID: "term", COMMIT_POSITION: "commit"}
        values = self.counters()
        return "node %d: %s\n%s" % (self.id, ", ".join(
            "%s %s" % (name, values.get(kind)) for kind, name in names.items()),
            self.group.tail())


class Cluster:
    """Nodes, the driver of the clients, and the histories of all runs so far."""

    def __init__(self, count, service="list", **settings):
        self.directory = tempfile.mkdtemp(prefix="tern-sys-", dir="/dev/shm")
        _directories.add(self.directory)
        self.service, self.settings = service, settings
        self.port_base = free_port_base(count)
        self.members = "|".join("%d,%s" % (number, ",".join(
            "localhost:%d" % (self.port(number) + offset) for offset in (2, 3, 4, 5, 1)))
            for number in range(count))
        self.endpoints = ",".join("%d=localhost:%d" % (number, self.port(number) + 2)
                                  for number in range(count))
        self.nodes = [Node(self, number) for number in range(count)]
        self.histories, self.driver = [], None
        self.client_settings = {"AERON_DIR": self.path("driver-clients"),
                                "AERON_THREADING_MODE": "SHARED",
                                "AERON_TERM_BUFFER_LENGTH": "64k",
                                "AERON_TERM_BUFFER_SPARSE_FILE": "true"}

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def port(self, number):
        return self.port_base + 10 * number

    def start(self):
        """Start what does not run; wait for a leader that all follow."""
        if self.driver is None or not self.driver.is_running:
            self.driver = Group([program("driverd")], self.client_settings,
                                self.path("driver-clients.log"))
        for node in self.nodes:
            if not node.is_running:
                node.start()
        return self.wait_settled()

    def running(self):
        return [node for node in self.nodes if node.is_running]

    def leader(self):
        """The node that leads, when there is exactly one; of two the one of the later term."""
        leaders = [(node.counters().get(TERM_ID, -1), node) for node in self.running()
                   if node.is_leader]
        return max(leaders, key=lambda pair: pair[0])[1] if leaders else None

    def wait_leader(self, timeout=START_TIMEOUT, other_than=None):
        def found():
            leader = self.leader()
            return leader if leader is not other_than else None
        return wait_for(found, timeout, lambda: "a leader\n" + self.describe())

    def is_settled(self):
        values = [node.counters() for node in self.running()]
        return all(value.get(ELECTION_STATE) == ELECTION_CLOSED and
                   value.get(MODULE_STATE) == MODULE_ACTIVE for value in values) and \
            len({value.get(TERM_ID) for value in values}) == 1 and \
            sum(value.get(ROLE) == LEADER for value in values) == 1

    def wait_settled(self, timeout=START_TIMEOUT):
        """All running nodes are out of elections, in one term, with one leader; the leader."""
        wait_for(self.is_settled, timeout, lambda: "one leader and no election\n" + self.describe())
        return self.leader()

    def wait_committed(self, timeout=START_TIMEOUT):
        """All running nodes have committed what the leader has now."""
        position = self.wait_leader().counters()[COMMIT_POSITION]
        wait_for(lambda: all(node.counters().get(COMMIT_POSITION, -1) >= position
                             for node in self.running()), timeout,
                 lambda: "commit position %d\n%s" % (position, self.describe()))
        return position

    def followers(self):
        leader = self.wait_leader()
        return [node for node in self.running() if node is not leader]

    def snapshot(self, timeout=20.0):
        """A snapshot that every running node has finished."""
        before = {node: node.counters()[SNAPSHOT_COUNT] for node in self.running()}
        self.wait_leader().toggle(SNAPSHOT)
        wait_for(lambda: all(node.counters().get(SNAPSHOT_COUNT, -1) > count
                             for node, count in before.items()), timeout,
                 lambda: "a snapshot on every node\n" + self.describe())

    def describe(self):
        return "\n".join(node.describe() for node in self.nodes)

    def close(self):
        groups = [node.group for node in self.nodes] + [self.driver]
        for group in groups:
            if group is not None:
                group.kill()
        if "TERN_TEST_KEEP" not in os.environ:
            shutil.rmtree(self.directory, ignore_errors=True)
        _directories.discard(self.directory)

    def check(self):
        """Judge all runs so far."""
        problems = list_history.check(self.histories)
        if problems:
            raise Failure("%d problems in the histories:\n%s" % (
                len(problems), "\n".join(problems[:20])))


class Workload:
    """list-workload under way. Its requests get answers, or not, as the cluster can."""

    def __init__(self, cluster, rate=400, sessions=4, window=4, **options):
        run = len(cluster.histories)
        self.cluster, self.run = cluster, run
        self.history_path = cluster.path("history%d-%d" % (run, random.randrange(1 << 30)))
        self.answered = self.unknown = 0
        self.lines = collections.deque(maxlen=50)
        words = [program("list-workload"), "--endpoints", cluster.endpoints,
                 "--history", self.history_path, "--rate", str(rate), "--sessions", str(sessions),
                 "--window", str(window), "--value-base", str((run + 1) * 10000000),
                 "--seed", str(run + 1)]
        for name, value in options.items():
            words += ["--" + name.replace("_", "-"), str(value)]
        self.group = Group(words, cluster.client_settings, cluster.path("workload.log"),
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.group.process.stdout:
            words = line.decode().split()
            self.lines.append(" ".join(words))
            if words[:1] in (["progress"], ["done"]):
                self.answered, self.unknown = int(words[1]), int(words[2])

    def wait_answered(self, more, timeout=START_TIMEOUT):
        """Wait for answers to `more` requests than now."""
        goal = self.answered + more
        wait_for(lambda: self.answered >= goal or not self.group.is_running, timeout,
                 lambda: "answer %d, got %d\n%s" % (goal, self.answered, self.describe()))

    def describe(self):
        return "%s\nworkload: %s\n%s" % (self.cluster.describe(), " | ".join(self.lines),
                                         self.group.tail())

    def finish(self, timeout=60.0):
        """End the run, read the list, add the history to those of the cluster."""
        self.group.process.stdin.close()
        try:
            code = self.group.process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        self._reader.join(5)
        self.group.process.stdout.close()
        if code != 0:
            described = self.describe()
            self.group.kill()
            raise Failure("list-workload: exit code %s\n%s" % (code, described))
        self.group.kill()
        with open(self.history_path, encoding="ascii") as file:
            history = list_history.read(file, self.run)
        self.cluster.histories.append(history)
        return history


def snapshot_content(node, service):
    """(log position, payload) of the latest snapshot of a service, or of the module (-1)."""
    records = [record for record in node.recording_log()
               if record.kind == SNAPSHOT_RECORD and record.service == service]
    if not records:
        raise Failure("node %d has no snapshot" % node.id)
    latest = max(records, key=lambda record: record.position)
    with open(os.path.join(node.archive_directory, "%d-0.rec" % latest.recording), "rb") as file:
        data = file.read()
    payload, at = [], 0
    while at + 32 <= len(data):
        length, kind = struct.unpack_from("<i2xH", data, at)
        if length <= 0:
            break
        if kind == 1:
            payload.append(data[at + 32:at + length])
        at += (length + 31) & ~31
    return latest.position, b"".join(payload)


def _end_everything():
    for pid in list(_groups):
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for directory in _directories:
        shutil.rmtree(directory, ignore_errors=True)


atexit.register(_end_everything)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
