"""Nodes find each other, survive what strangers send, and are read with OpenDHT's own tool."""

import os
import random
import re
import shutil
import socket
import subprocess
import time
import unittest

from harness import Case, SCALE, main, run, samples, wait_until


class Overlay(Case):

    def three_nodes(self):
        """Three nodes in one overlay that have published; the first is the others' seed."""
        nodes = []
        seeds = ""
        for i in range(3):
            name = "n%d" % (i + 1)
            data = self.write_csv(name + ".csv", samples(10 + i, [(600, ["north", "south", "east"])]))
            node = self.start(name, node=seeds, source="kind = \"csv\"\npath = \"%s\"\nat_end = \"stay\"" % data,
                              output="predictions = false",
                              tuning="publish_after = 100\npublish_interval_ms = 200")
            nodes.append(node)
            if i == 0:
                seeds = "seeds = [\"%s\"]" % node.ready()["dht"]
        for node in nodes:
            node.wait_line("end")
        return nodes

    def test_three_nodes_see_each_other_in_peers_and_lookup(self):
        nodes = self.three_nodes()
        ids = {node.ready()["id"] for node in nodes}
        self.assertEqual(len(ids), 3)
        for node in nodes:
            own = node.ready()["id"]
            overlay = {}
            # OpenDHT calls a node good once it has answered this very node, which of a third one it need not soon.
            wait_until(lambda: overlay.update(node.ask("peers")["overlay"]) or
                       (overlay["known_nodes"] >= 2 and overlay["good_nodes"] >= 1),
                       lambda: "two nodes are known; now %s" % overlay)
            found = wait_until(
                lambda: (lambda seen: seen if ids - {own} <= seen else None)(
                    {c["id"] for c in node.ask("lookup")["candidates"]}), "both others are found")
            self.assertNotIn(own, found)
        # The endpoints that are found are those where the nodes accept links.
        links = {node.ready()["id"]: node.ready()["link"] for node in nodes}
        for candidate in nodes[0].ask("lookup")["candidates"]:
            self.assertEqual(candidate["endpoint"], links[candidate["id"]])
        # The same for people.
        control = nodes[0].ready()["control"]
        for command, words in (("status", ["n1", "600", "network"]), ("peers", ["2 nodes known of the overlay"]),
                               ("lookup", ["candidates", "127.0.0.1"]), ("history", [])):
            status, out, _ = run(command, "--socket", control)
            self.assertEqual(status, 0)
            self.assert_mentions(out, *words)
        for node in nodes:
            status, summary = node.terminate()
            self.assertEqual(status, 0)
            self.assertEqual(summary["samples"], 600)
            self.assertGreater(summary["dht_bytes"], 0)

    def test_garbage_on_both_ports_does_no_harm(self):
        nodes = self.three_nodes()
        victim = nodes[0]
        rng = random.Random(7)
        host, port = victim.ready()["link"].split(":")
        pieces = [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + rng.randbytes(3000), b"\x00" * 70000,
                  rng.randbytes(100_000), b""]
        for piece in pieces:
            with socket.create_connection((host, int(port)), 5 * SCALE) as link:
                try:
                    link.sendall(piece)
                    link.shutdown(socket.SHUT_WR)
                    link.settimeout(10 * SCALE)
                    while link.recv(4096):  # the node ends it; nothing of use comes back
                        pass
                except OSError:
                    pass
        # Peers that connect and say nothing are held only for the time of a handshake, and never block others.
        silent = [socket.create_connection((host, int(port)), 5 * SCALE) for _ in range(20)]
        host, port = victim.ready()["dht"].split(":")
        before = victim.ask("status")["overlay"]["refused_packets"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as shouter:
            for i in range(500):
                kind = i % 4
                datagram = (b"" if kind == 0 else rng.randbytes(1 + i) if kind == 1 else
                            b"\x86" + rng.randbytes(200) if kind == 2 else b"\xdf\xff\xff\xff\xff" + b"\xa1" * 50)
                shouter.sendto(datagram, (host, int(port)))
                if i % 50 == 49:
                    time.sleep(0.001)  # let the socket's buffer drain: the point is to be read, not to be dropped
        wait_until(lambda: victim.ask("status")["overlay"]["refused_packets"] > before,
                   "junk is counted as refused")
        self.assertEqual(len(wait_until(
            lambda: (lambda found: found if len(found) == 2 else None)(nodes[1].ask("lookup")["candidates"]),
            "lookups go on")), 2)
        for link in silent:
            link.close()
        for node in nodes:
            status, summary = node.terminate()
            self.assertEqual(status, 0)
            self.assertEqual(summary["samples"], 600)

    def test_check_sees_reachable_dead_and_split_seeds(self):
        first = self.start("first", source="kind = \"none\"")
        other = self.start("other", source="kind = \"none\"")  # a second overlay of the same name
        joined = self.start("joined", source="kind = \"none\"",
                            node="seeds = [\"%s\"]" % first.ready()["dht"])
        wait_until(lambda: joined.ask("peers")["overlay"]["good_nodes"] > 0, "the third node joins the first")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            dead = "127.0.0.1:%d" % silent.getsockname()[1]

            def check(name, seeds, *more):
                config = self.configure(name, node="seeds = [%s]" % ", ".join("\"%s\"" % s for s in seeds),
                                        source="kind = \"none\"")
                return run("check", "--config", config, *more)

            status, out, _ = check("whole", [first.ready()["dht"], joined.ready()["dht"]])
            self.assertEqual(status, 0, out)
            self.assert_mentions(out, "answered after", "overlay     whole")
            status, out, _ = check("dead", [first.ready()["dht"], dead], "--timeout", "1")
            self.assertEqual(status, 8, out)
            self.assert_mentions(out, "FAIL  seed        " + dead, "is a node running there")
            status, out, _ = check("split", [first.ready()["dht"], other.ready()["dht"]])
            self.assertEqual(status, 8, out)
            self.assert_mentions(out, "split: %s and %s" % (first.ready()["dht"], other.ready()["dht"]))


def dhtnode():
    return os.environ.get("P2P_DHTNODE") or shutil.which("dhtnode")


class Dhtnode(Case):

    @unittest.skipUnless(dhtnode(), "dhtnode is not there: set P2P_DHTNODE or install the package")
    def test_dhtnode_reads_what_a_node_publishes_about_itself(self):
        data = self.write_csv("n.csv", samples(3, [(400, ["north", "south"])]))
        node = self.start("reader-of-meters", source="kind = \"csv\"\npath = \"%s\"\nat_end = \"stay\"" % data,
                          tuning="publish_after = 100\npublish_interval_ms = 200")
        node.wait_line("end")
        helper = self.start("helper", source="kind = \"none\"", node="seeds = [\"%s\"]" % node.ready()["dht"])
        wait_until(lambda: helper.ask("peers")["overlay"]["good_nodes"] > 0, "a second node joins")
        wait_until(lambda: node.ask("status")["published"], "the node has published")
        status = node.ask("status")
        key = "p2p-learner/node/" + status["id"][:16]
        tool = subprocess.Popen([dhtnode(), "-p", "0", "-b", status["dht"], "-n", str(status["network_id"])],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                env={**os.environ, "HOME": self.dir})
        try:
            os.set_blocking(tool.stdout.fileno(), False)
            seen = []

            def found():
                tool.stdin.write(b"g %s\n" % key.encode())
                tool.stdin.flush()
                seen.append(tool.stdout.read() or b"")  # None: nothing yet
                return re.search(r'data\(text/plain\):"(\{.*\})"', b"".join(seen).decode(errors="replace"))

            match = wait_until(found, "dhtnode shows the readable twin at " + key, pause=0.5)
        finally:
            tool.kill()
            tool.communicate()
        self.assert_mentions(match.group(1), "reader-of-meters", status["link"])
        self.assertEqual(node.terminate()[0], 0)


if __name__ == "__main__":
    main()
