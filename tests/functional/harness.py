"""Real processes on loopback, and the means to wait for what they do. Standard library only.

No test sleeps and hopes: every wait names its condition, ends as soon as it holds, and fails with the node's
output when it does not hold in time.
"""

import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BINARY = os.environ.get("P2P_LEARNER", "")
# Sanitizers slow the processes down; deadlines stretch with them.
SCALE = float(os.environ.get("P2P_TIME_SCALE", "1"))


def wait_until(condition, what, timeout=20.0, pause=0.05):
    """Polls until condition() is truthy and returns it; fails naming `what` (a text, or a function giving one)."""
    deadline = time.monotonic() + timeout * SCALE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not within %.0f s: %s" % (timeout * SCALE, what() if callable(what) else what))
        time.sleep(pause)


def run(*arguments, stdin=None, timeout=60.0, env=None):
    """Runs the program to its end; returns (exit status, stdout, stderr)."""
    done = subprocess.run([BINARY, *map(str, arguments)], input=stdin, capture_output=True, text=True,
                          timeout=timeout * SCALE, env=env)
    return done.returncode, done.stdout, done.stderr


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    """One `p2p-learner run`, its JSON lines read by a thread as they come."""

    def __init__(self, config, stdin=subprocess.DEVNULL, arguments=None):
        self.config = config
        self.process = subprocess.Popen([BINARY, *(arguments or ["run", "--config", config])], stdin=stdin, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, bufsize=1)
        self.lines = []
        self.errors = []
        self.changed = threading.Condition()
        self.readers = [threading.Thread(target=self._read, daemon=True),
                        threading.Thread(target=self._read_errors, daemon=True)]
        for reader in self.readers:
            reader.start()

    def _read(self):
        for text in self.process.stdout:
            try:
                line = json.loads(text)
            except ValueError:  # cut off by kill -9
                line = {"type": "torn", "text": text}
            with self.changed:
                self.lines.append(line)
                self.changed.notify_all()

    def _read_errors(self):
        for text in self.process.stderr:
            self.errors.append(text.rstrip())

    def of_type(self, kind):
        with self.changed:
            return [line for line in self.lines if line["type"] == kind]

    def wait_line(self, kind, accept=lambda line: True, timeout=20.0):
        """The first line of this type that is accepted, now or later."""
        deadline = time.monotonic() + timeout * SCALE
        seen = 0
        with self.changed:
            while True:
                for line in self.lines[seen:]:
                    if line["type"] == kind and accept(line):
                        return line
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self.readers[0].is_alive()):
                    raise AssertionError("no line \"%s\" from %s; exit %s; last lines %s; stderr %s" % (
                        kind, self.config, self.process.poll(), self.lines[-5:], self.errors[-5:]))
                self.changed.wait(min(left, 0.5))

    def ready(self, timeout=20.0):
        return self.wait_line("ready", timeout=timeout)

    def ask(self, command, *more):
        status, out, error = run(command, "--socket", self.ready()["control"], "--json", *more)
        if status != 0:
            raise AssertionError("%s: exit %d: %s" % (command, status, error))
        return json.loads(out)

    def send(self, command):
        """One command of the control socket's own protocol."""
        return self.send_request({"command": command})

    def send_request(self, request):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(10 * SCALE)
            link.connect(self.ready()["control"])
            link.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(link.makefile().readline())

    def wait_exit(self, timeout=20.0):
        status = self.process.wait(timeout * SCALE)
        for reader in self.readers:
            reader.join(5 * SCALE)
        return status

    def terminate(self, timeout=20.0):
        """Ends in order; returns (exit status, summary)."""
        self.process.send_signal(signal.SIGTERM)
        status = self.wait_exit(timeout)
        summaries = self.of_type("summary")
        return status, summaries[-1] if summaries else None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.wait_exit()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


# Four classes in four dimensions; each class is a point with noise around it.
CENTRES = {"north": (0.2, 0.8, 0.3, 0.3), "south": (0.8, 0.2, 0.3, 0.7), "east": (0.2, 0.2, 0.8, 0.3),
           "west": (0.8, 0.8, 0.7, 0.8)}


def draw(rng, names, noise=0.08):
    name = rng.choice(names)
    return [rng.gauss(c, noise) for c in CENTRES[name]], name


def samples(seed, plan):
    """plan: [(how many, class names), ...], one after the other."""
    rng = random.Random(seed)
    return [draw(rng, names) for count, names in plan for _ in range(count)]


class Case(unittest.TestCase):
    """A test with a directory of its own and processes that end with it."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="p2p-f-")
        self.nodes = []

    def tearDown(self):
        for node in self.nodes:
            node.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def write_csv(self, name, rows):
        return self.write(name, "a,b,c,d,class\n" + "".join(
            "%s,%s\n" % (",".join("%.5f" % value for value in x), y) for x, y in rows))

    def task(self):
        """A task that fits samples(); one per test."""
        if not os.path.exists(self.path("task.toml")):
            data = self.write_csv("for_task.csv", samples(1, [(400, sorted(CENTRES))]))
            status, _, error = run("task", "--data", data, "--out", self.path("task.toml"))
            self.assertEqual(status, 0, error)
        return self.path("task.toml")

    def configure(self, name, node="", source="", output="", experiment="", tuning="", state=True):
        """Writes NAME.toml; each argument holds the lines of one table."""
        self.task()
        text = "[node]\ntask = \"task.toml\"\nname = \"%s\"\n" % name
        if state:
            text += "state_dir = \"%s.state\"\n" % name
        text += node + "\n"
        for table, lines in (("source", source), ("output", output), ("experiment", experiment),
                             ("tuning", tuning)):
            text += "[%s]\n%s\n" % (table, lines)
        return self.write(name + ".toml", text)

    def start(self, name, stdin=subprocess.DEVNULL, **tables):
        return self.start_config(self.configure(name, **tables), stdin)

    def start_config(self, config, stdin=subprocess.DEVNULL):
        node = Node(config, stdin)
        self.nodes.append(node)
        return node

    def start_registry(self, port=0):
        """A `p2p-learner registry` with a key that it keeps; its lines are a node's."""
        registry = Node("registry", arguments=["registry", "--json", "--port", str(port), "--state-dir",
                                               self.path("registry.state")])
        self.nodes.append(registry)
        return registry

    def assert_mentions(self, text, *words):
        for word in words:
            self.assertIn(word, text)


def main():
    if not BINARY:
        sys.exit("set P2P_LEARNER to the program under test")
    unittest.main(verbosity=2)
