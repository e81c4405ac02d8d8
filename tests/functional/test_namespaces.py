"""Nodes at addresses of their own: network namespaces on one bridge, a node that moves, and a link that is cut.

Everything lies inside namespaces that this test makes, the bridge too, so the machine's own network is not touched.
Needs root and `ip netns`; skipped, with a sentence, without.
"""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import unittest

import harness
import test_healing  # as a module: its own test is not run again here
from harness import Case, main, wait_until
from test_healing import CLASSES, stream

NODES = 5
PREFIX = "p2pf%d" % os.getpid()


def ip(*arguments):
    done = subprocess.run(["ip", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("ip %s: %s" % (" ".join(map(str, arguments)), done.stderr.strip()))


def why_not():
    """Empty, or a sentence that says why there can be no namespaces here."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "there is no ip: install the package iproute2"
    try:
        ip("netns", "add", PREFIX + "x")
        try:
            ip("-n", PREFIX + "x", "link", "add", "bridge0", "type", "bridge")
        finally:
            ip("netns", "delete", PREFIX + "x")
    except RuntimeError as error:
        return "network namespaces do not work here: %s" % error
    return ""


WHY_NOT = why_not()


def address(number):
    return "10.77.0.%d" % number


def namespace(number):
    return PREFIX + "n%d" % number


class NodeInside(harness.Node):
    """A node in a namespace. Its control socket is a file, so it is asked from outside."""

    def __init__(self, config, number):
        binary = harness.BINARY
        wrapper = config + ".sh"
        with open(wrapper, "w") as file:
            file.write("#!/bin/sh\nexec ip netns exec %s \"%s\" \"$@\"\n" % (namespace(number), os.path.abspath(binary)))
        os.chmod(wrapper, 0o755)
        try:
            harness.BINARY = wrapper
            super().__init__(config)  # `ip netns exec` becomes the program: signals and kills reach it
        finally:
            harness.BINARY = binary


@unittest.skipIf(WHY_NOT, WHY_NOT)
class Namespaces(Case):
    write_csv = test_healing.Healing.write_csv
    task = test_healing.Healing.task

    def setUp(self):
        super().setUp()
        self.addCleanup(self.remove_namespaces)
        atexit.register(self.remove_namespaces)  # after Ctrl-C unittest runs no clean-up
        ip("netns", "add", PREFIX + "b")
        ip("-n", PREFIX + "b", "link", "add", "bridge0", "type", "bridge")
        ip("-n", PREFIX + "b", "link", "set", "bridge0", "up")
        for i in range(1, NODES + 2):  # one more, to move to
            ip("netns", "add", namespace(i))
            ip("-n", PREFIX + "b", "link", "add", "port%d" % i, "type", "veth", "peer", "name", "eth0", "netns",
               namespace(i))
            ip("-n", PREFIX + "b", "link", "set", "port%d" % i, "master", "bridge0", "up")
            ip("-n", namespace(i), "address", "add", address(i) + "/24", "dev", "eth0")
            ip("-n", namespace(i), "link", "set", "eth0", "up")
            ip("-n", namespace(i), "link", "set", "lo", "up")

    def remove_namespaces(self):
        for node in self.nodes:
            node.close()
        for name in [namespace(i) for i in range(1, NODES + 2)] + [PREFIX + "b"]:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)

    def start_at(self, name, number, rows, rate=0, seeds=True, data=None):
        data = data or self.write_csv(name + ".csv", rows)
        node = "bind = \"%s\"\n" % address(number)
        if seeds:
            node += "seeds = [\"%s\"]\n" % self.seed
        config = self.configure(name, node=node, output="predictions = false",
                                source="kind = \"csv\"\npath = \"%s\"\nrate = %d\nat_end = \"stay\"" % (data, rate),
                                tuning="publish_after = 200\npublish_interval_ms = 200")
        running = NodeInside(config, number)
        self.nodes.append(running)
        return running

    def endpoints(self, node):
        return {c["id"]: c["endpoint"].split(":")[0] for c in node.send("lookup")["candidates"]}

    def wait_found(self, node, expected, what, timeout=20.0):
        """Until lookups of `node` give exactly these addresses for these ids."""
        seen = {}

        def found():
            seen.clear()
            seen.update(self.endpoints(node))
            return all(seen.get(i) == where for i, where in expected.items())

        wait_until(found, lambda: "%s: expected %s, found %s" % (what, expected, seen), timeout)

    def test_nodes_heal_move_and_survive_a_cut_link_across_namespaces(self):
        # 1 knows all classes; 2 to 4 know four each; 5 drifts.
        nodes = {1: self.start_at("n1", 1, stream(21, [(3000, CLASSES)]), seeds=False)}
        self.seed = nodes[1].ready()["dht"]
        self.assertEqual(self.seed.split(":")[0], address(1))
        for i in (2, 3, 4):
            nodes[i] = self.start_at("n%d" % i, i, stream(30 + i, [(600, CLASSES[i:i + 4])]))
        for i in (1, 2, 3, 4):
            nodes[i].wait_line("end", timeout=40)
            wait_until(lambda: nodes[i].send("status")["published"], "node %d has published" % i)
        # It goes on learning to the end of this test, so that one sees whether a cut link stops it.
        nodes[5] = self.start_at("n5", 5, stream(22, [(800, CLASSES[:4]), (40000, CLASSES)]), rate=400)
        ids = {i: node.ready()["id"] for i, node in nodes.items()}
        self.assertEqual(len(set(ids.values())), NODES)

        # A part is pulled over the bridge, from a helper's own address.
        nodes[5].wait_line("event", lambda line: line["event"] == "part_pulled", timeout=20)
        linked = {peer["endpoint"].split(":")[0] for peer in nodes[5].send("peers")["peers"] if peer["endpoint"]}
        self.assertTrue(linked)
        self.assertLessEqual(linked, {address(i) for i in (1, 2, 3, 4)})
        self.assertGreater(sum(nodes[i].send("status")["traffic"].get("chunk", 0) for i in (1, 2, 3, 4)), 0)
        for i in nodes:
            self.wait_found(nodes[i], {ids[j]: address(j) for j in nodes if j != i}, "node %d finds the others" % i)

        # 4 moves: the same state, another address. Its files are replayed already: it publishes what it had learned.
        self.assertEqual(nodes[4].terminate()[0], 0)
        nodes[4] = self.start_at("n4", NODES + 1, [], data=self.path("n4.csv"))
        self.assertEqual(nodes[4].ready()["id"], ids[4])
        for i in (1, 2, 3, 5):
            self.wait_found(nodes[i], {ids[4]: address(NODES + 1)}, "node %d finds the node that moved" % i)
            self.assertNotIn(address(4), self.endpoints(nodes[i]).values())

        # 5's link is cut: it learns on, finds nobody, is not found; and all is well again once the link is back.
        port = ("-n", PREFIX + "b", "link", "set", "port5")
        ip(*port, "down")
        before = nodes[5].send("status")["samples"]
        wait_until(lambda: ids[5] not in self.endpoints(nodes[1]), "the node that is cut off is found no more")
        wait_until(lambda: not self.endpoints(nodes[5]), "the node that is cut off finds nobody")
        wait_until(lambda: nodes[5].send("status")["samples"] > before + 100, "it goes on learning")
        ip(*port, "up")
        self.wait_found(nodes[5], {ids[1]: address(1)}, "the node that was cut off finds the others again", 10)
        self.wait_found(nodes[1], {ids[5]: address(5)}, "and is found", 10)
        for node in nodes.values():
            self.assertEqual(node.terminate()[0], 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an error to unittest, which then cleans up
    main()
