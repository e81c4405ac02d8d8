"""Sixteen nodes joined through one seed: all publish, all find helpers, and the dead are soon no longer found."""

import json

from harness import Case, CENTRES, main, run, samples, wait_until

NODES = 16
KILLED = 5
MIXES = (["north", "south"], ["south", "east"], ["east", "west"], ["west", "north"])


class Many(Case):

    def lookup(self, node):
        return node.send("lookup")["candidates"]

    def look_at(self, node, ids):
        """What an operator sees of the directory, against what is there."""
        seen = node.send("overlay_nodes")
        self.assertGreaterEqual(len(seen["nodes"]), 5)
        self.assertLessEqual({n["id"] for n in seen["nodes"]}, set(ids.values()) - {ids[node]})
        buckets = node.send("overlay_keys")["buckets"]
        self.assertGreaterEqual(len(buckets), 3)
        for bucket in buckets:
            self.assertEqual(len(bucket["key"]), 40)
            if not bucket["listed"]:
                continue
            held = wait_until(lambda: self.ask(node, "get", bucket["bucket"]), "%s is read" % bucket["bucket"])
            self.assertEqual(held["key"], bucket["key"])
        status, _, error = run("overlay", "get", "joint/0/1/0", "--socket", node.ready()["control"])
        self.assertEqual(status, 2, error)
        self.assertIn("multiple of 3", error)

    def ask(self, node, *words):
        status, out, error = run("overlay", *words, "--json", "--socket", node.ready()["control"])
        self.assertEqual(status, 0, error)
        answer = json.loads(out)
        return answer if any(e["id"] == node.ready()["id"] for e in answer["entries"]) else None

    def test_lookups_among_sixteen_nodes_return_five_and_only_living_ones_soon_after_five_are_killed(self):
        self.assertLessEqual({name for mix in MIXES for name in mix}, set(CENTRES))
        nodes, seeds = [], ""
        for i in range(NODES):
            name = "n%d" % (i + 1)
            data = self.write_csv(name + ".csv", samples(30 + i, [(300, MIXES[i % len(MIXES)])]))
            node = self.start(name, node=seeds, source="kind = \"csv\"\npath = \"%s\"\nat_end = \"stay\"" % data,
                              output="predictions = false",
                              tuning="publish_after = 100\npublish_interval_ms = 200")
            nodes.append(node)
            if i == 0:
                seeds = "seeds = [\"%s\"]" % node.ready()["dht"]
        ids = {}
        for node in nodes:
            ids[node] = node.ready()["id"]
            node.wait_line("end")
            wait_until(lambda: node.send("status")["published"], "%s has published" % node.config)
        self.assertEqual(len(set(ids.values())), NODES)
        for node in nodes:
            found = wait_until(lambda: (lambda c: c if len(c) >= 5 else None)(self.lookup(node)),
                               "%s finds five" % node.config)
            self.assertLessEqual({c["id"] for c in found}, set(ids.values()) - {ids[node]})

        self.look_at(nodes[5], ids)

        # Not the seed alone, and not only its neighbours: every third one, the seed among them.
        victims = nodes[::3][:KILLED]
        living = [node for node in nodes if node not in victims]
        for node in victims:
            node.kill()
        alive = {ids[node] for node in living}
        for node in living:
            last = []

            def only_living():
                last[:] = self.lookup(node)
                return len(last) >= 5 and {c["id"] for c in last} <= alive

            wait_until(only_living, lambda: "%s finds five that live; now %s of %s" % (
                node.config, [c["id"][:8] for c in last], sorted(i[:8] for i in alive)), timeout=10)


if __name__ == "__main__":
    main()
