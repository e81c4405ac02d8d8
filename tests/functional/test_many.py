"""Sixteen nodes joined through one seed: all publish, all find helpers, and the dead are soon no longer found."""

from harness import Case, CENTRES, main, samples, wait_until

NODES = 16
KILLED = 5
MIXES = (["north", "south"], ["south", "east"], ["east", "west"], ["west", "north"])


class Many(Case):

    def lookup(self, node):
        return node.send("lookup")["candidates"]

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
