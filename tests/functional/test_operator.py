"""What an operator sees of the overlay through one running node: lookup, watch, map, keys --all, get; and what he is told when there
is nothing to see."""

import json
import signal
import time
import xml.dom.minidom

from harness import SCALE, Case, Node, lines_of, main, run, samples, wait_until

MIXES = {"ab1": ["north", "south"], "ab2": ["north", "south"], "bc1": ["south", "east"], "bc2": ["south", "east"],
         "cd1": ["east", "west"], "cd2": ["east", "west"]}
TUNING = "publish_after = 100\npublish_interval_ms = 200"


class Operator(Case):

    def learner(self, name, mix, seed, node=""):
        data = self.write_csv(name + ".csv", samples(seed, [(300, mix)]))
        return self.start(name, node=node, source="kind = \"csv\"\npath = \"%s\"\nat_end = \"stay\"" % data,
                          output="predictions = false", tuning=TUNING)

    def overlay(self):
        """Six nodes of three kinds, all published; by name."""
        nodes, seeds = {}, ""
        for i, (name, mix) in enumerate(MIXES.items()):
            nodes[name] = self.learner(name, mix, 50 + i, seeds)
            seeds = seeds or "seeds = [\"%s\"]" % nodes[name].ready()["dht"]
        for node in nodes.values():
            node.wait_line("event", lambda line: line["event"] == "published")
        self.seeds = seeds
        self.ids = {node.ready()["id"]: name for name, node in nodes.items()}
        for node in nodes.values():
            wait_until(lambda: len(node.send("overlay_nodes")["nodes"]) >= 4, "%s knows most others" % node.config)
        return nodes

    def look(self, node, *words, status=0):
        """`overlay WORDS --json` at a node."""
        got, out, error = run("overlay", *words, "--json", "--socket", node.ready()["control"])
        self.assertEqual(got, status, out + error)
        return json.loads(out.splitlines()[-1])

    def names(self, answer):
        return [self.ids[c["id"]] for c in answer["candidates"]]

    def test_who_is_like_a_file_of_samples_is_found_through_any_node(self):
        nodes = self.overlay()
        rows = samples(999, [(200, ["south", "east"])])
        query = self.write_csv("query.csv", rows)
        found = self.look(nodes["ab1"], "lookup", query, "-k", "2")
        self.assertEqual(sorted(self.names(found)), ["bc1", "bc2"])
        for candidate in found["candidates"]:
            self.assertTrue(candidate["exact"])
            self.assertLess(candidate["distance"], 0.2)
            self.assertGreater(candidate["accuracy"], 0.8)
            self.assertRegex(candidate["endpoint"], r"^127\.0\.0\.1:\d+$")
        for member in ("gets", "questions", "datagram_bytes", "took_ms"):
            self.assertIn(member, found["cost"])
        # Inputs alone, from a file without labels.
        bare = self.write("bare.csv", "a,b,c,d\n" + "".join(",".join("%.5f" % v for v in x) + "\n" for x, _ in rows))
        self.assertEqual(sorted(self.names(self.look(nodes["ab1"], "lookup", bare, "--unlabelled", "-k", "2"))), ["bc1", "bc2"])
        # By what is known, without a file and with one.
        known = self.look(nodes["ab1"], "lookup", "--classes", "west", "-k", "2")
        self.assertEqual(sorted(self.names(known)), ["cd1", "cd2"])
        self.assertIsNone(known["candidates"][0]["distance"])
        # Without either, as the node itself.
        self.assertEqual(self.names(self.look(nodes["ab1"], "lookup", "-k", "1")), ["ab2"])
        # As they come, then the answer.
        status, out, _ = run("overlay", "lookup", query, "--stream", "--json", "--socket", nodes["cd1"].ready()["control"])
        self.assertEqual(status, 0)
        lines = lines_of(out)
        self.assertEqual(lines[-1]["type"], "end")
        self.assertEqual({line["type"] for line in lines[:-1]}, {"arrived"})
        self.assertLessEqual({"bc1", "bc2"}, {self.ids[line["id"]] for line in lines[:-1]})
        # For people.
        status, out, error = run("overlay", "lookup", query, "--state-dir", self.path("ab1.state"))
        self.assertEqual(status, 0, error)
        self.assert_mentions(out, "heard of", "question", "distance", "shows", nodes["bc1"].ready()["id"][:16])
        self.assertIn("200 samples", error)

        # What cannot be asked.
        for words, expected, said in ((["lookup", self.path("none.csv")], 3, "none.csv"),
                                      (["lookup", self.write("wide.csv", "a,b,class\n1,2,north\n")], 3, "line 2"),
                                      (["lookup", bare], 3, "bare.csv"),
                                      (["lookup", query, "--classes", "up"], 2, "up"),
                                      (["get", "joint/0/1/0"], 2, "multiple of 3"),
                                      (["get", "0" * 40], 2, "of no bucket of this task")):
            with self.subTest(words):
                refused = self.look(nodes["ab1"], *words, status=expected)
                self.assertEqual(refused["exit"], expected)
                self.assertIn(said, refused["error"])
        for words in (["lookup", query, "-k", "0"], ["lookup", query, "--deadline", "-1"], ["lookup", query, "--unlabelled", "--classes", "west"],
                      ["map", "--table", "joint/7"], ["keys", "--all", "--most", "0"], []):
            self.assertEqual(run("overlay", *words, "--socket", nodes["ab1"].ready()["control"])[0], 2, words)

    def test_the_whole_table_can_be_read_and_drawn(self):
        nodes = self.overlay()
        node = nodes["bc1"]
        own, read = [], {}

        def own_are_among_all():
            own[:] = self.look(node, "keys")["buckets"]
            everything = self.look(node, "keys", "--all")
            self.assertEqual(everything["unread"], 0)
            read.clear()
            read.update({bucket["bucket"]: bucket for bucket in everything["buckets"]})
            return len(own) >= 3 and all(read.get(b["bucket"], {"listed": 0})["listed"] >= 1 for b in own if b["listed"])

        wait_until(own_are_among_all, lambda: "all that the node is listed in is read: %s of %s" % (own, list(read)))
        for bucket in own:
            if bucket["listed"]:
                self.assertEqual(read[bucket["bucket"]]["key"], bucket["key"])
        few = self.look(node, "keys", "--all", "--most", "5")
        self.assertEqual(len(few["buckets"]), 5)
        self.assertGreater(few["unread"], 0)
        # A key leads to the same bucket as its name.
        by_key = self.look(node, "get", own[0]["key"].upper())
        self.assertEqual(by_key["bucket"], own[0]["bucket"])

        routing = self.look(node, "nodes")["routing"]
        self.assertGreaterEqual(routing["known_nodes"], routing["good_nodes"])
        self.assertGreaterEqual(routing["good_nodes"], 1)
        _, out, _ = run("overlay", "nodes", "--socket", node.ready()["control"])
        self.assert_mentions(out, "Routing: ", "of the table answer")

        drawn = self.look(node, "map")
        self.assertEqual(len(drawn["seen"]), len(set(self.ids) - {node.ready()["id"]}) + 1)
        self.assertTrue(any(b["listed"] > 0 for b in drawn["buckets"]))
        picture = self.path("map.svg")
        status, out, error = run("overlay", "map", "--table", "marginal/0", "--svg", picture, "--socket", node.ready()["control"])
        self.assertEqual(status, 0, error)
        self.assert_mentions(out, "marginal/0 seen from bc1", "depth 0  |", "near     |", "Fullest bucket: ")
        self.assertTrue(xml.dom.minidom.parse(picture).getElementsByTagName("path"))
        status, _, error = run("overlay", "map", "--svg", self.path("no", "map.svg"), "--socket", node.ready()["control"])
        self.assertEqual(status, 1)
        self.assertIn("map.svg", error)

    def watch(self, node, *words):
        watch = Node("watch", arguments=["overlay", "watch", *words, "--json", "--socket", node.ready()["control"]])
        self.nodes.append(watch)
        watch.wait_line("watching")
        return watch

    def test_a_watch_tells_of_a_node_that_appears_and_ends_in_order(self):
        nodes = self.overlay()
        query = self.write_csv("query.csv", samples(999, [(200, ["south", "west"])]))
        watch = self.watch(nodes["ab1"], query, "--within", "0.5")
        newcomer = self.learner("new", ["south", "west"], 77, self.seeds)
        told = watch.wait_line("appeared", lambda line: line["id"] == newcomer.ready()["id"], timeout=60)
        self.assertLess(told["distance"], 0.5)
        watch.process.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait_exit(), 0)
        self.assertGreaterEqual(watch.of_type("end")[0]["appeared"], 1)
        # For a while only; as the node itself.
        status, out, error = run("overlay", "watch", "--for", "0.3", "--socket", nodes["ab1"].ready()["control"])
        self.assertEqual(status, 0, error)
        # The node goes away meanwhile.
        watch = self.watch(nodes["ab2"])
        nodes["ab2"].kill()
        self.assertEqual(watch.wait_exit(), 8)
        for words in (["nodes"], ["keys"], ["keys", "--all"], ["get", "joint/0/0/0"], ["lookup", query], ["watch"], ["map"]):
            with self.subTest(words):
                self.assertEqual(self.look(nodes["ab2"], *words, status=8)["exit"], 8)

    def test_a_node_without_an_overlay_says_so(self):
        query = self.write_csv("query.csv", samples(999, [(20, ["south", "east"])]))
        commands = (["nodes"], ["keys"], ["keys", "--all"], ["get", "joint/0/0/0"], ["get", "0" * 40], ["lookup", query], ["watch", query],
                    ["map"])
        alone = self.start("isolated", node="isolated = true", source="kind = \"none\"")
        for words in commands:
            with self.subTest(words):
                refused = self.look(alone, *words, status=9)
                self.assertEqual((refused["code"], refused["exit"]), ("unavailable", 9))
                self.assertIn("isolated", refused["error"])
        # The first of its overlay: a table with nobody else in it.
        first = self.start("first", source="kind = \"none\"")
        for words in (["get", "joint/0/0/0"], ["keys", "--all"], ["map"], ["lookup", query]):
            with self.subTest(words):
                self.assert_mentions(self.look(first, *words, status=9)["error"], "no node of the overlay answers", first.ready()["dht"])
        self.assertIn("learned nothing yet", self.look(first, "lookup", status=2)["error"])
        alone = self.look(first, "nodes", status=9)
        self.assertEqual(alone["nodes"], [])
        self.assertIn("no node of the overlay answers", alone["silence"])
        # Over the socket itself: an answer to whatever is asked.
        for request, code in (({"command": "overlay_poll", "number": 7}, "not_found"), ({"command": "overlay_end"}, "invalid_argument"),
                              ({"command": "overlay_poll", "number": -1}, "invalid_argument"), ({"command": "overlay_dance"}, "invalid_argument"),
                              ({"command": "overlay_lookup", "by": "joint", "fingerprint": "00"}, "malformed"),
                              ({"command": "overlay_lookup", "by": "classes", "classes": [0], "want": 1000}, "invalid_argument"),
                              ({"command": "overlay_watch", "by": "classes", "classes": [0], "within": "near"}, "invalid_argument"),
                              ({"command": "overlay_get", "bucket": 3}, "invalid_argument")):
            with self.subTest(request):
                self.assertEqual(first.send_request(request)["code"], code)

    def test_that_the_only_peer_has_gone_is_said_within_seconds(self):
        query = self.write_csv("query.csv", samples(999, [(20, ["south", "east"])]))
        first = self.start("first", source="kind = \"none\"")
        second = self.start("second", node="seeds = [\"%s\"]" % first.ready()["dht"], source="kind = \"none\"")
        wait_until(lambda: second.ask("peers")["overlay"]["good_nodes"] > 0, "the two have joined")
        first.kill()
        for words in (["get", "joint/0/0/0"], ["lookup", query], ["map"], ["keys", "--all"]):
            with self.subTest(words):
                begun = time.monotonic()
                refused = self.look(second, *words, status=9)
                self.assertLess(time.monotonic() - begun, 6 * SCALE)
                self.assertEqual((refused["code"], refused["exit"]), ("unavailable", 9))
                self.assert_mentions(refused["error"], "no node of the overlay answered within", first.ready()["dht"], "is one running there")
        status, _, error = run("overlay", "watch", query, "--for", "3", "--socket", second.ready()["control"])
        self.assertEqual(status, 9, error)
        self.assertIn("no node of the overlay answered", error)

    def test_a_class_that_shares_its_bucket_is_told_with_which(self):
        names = ["c%02d" % i for i in range(70)]
        data = self.write("many.csv", "a,b,class\n" + "".join("%d,%d,%s\n" % (i % 7, i % 5, name) for i, name in enumerate(names)))
        self.assertEqual(run("task", "--data", data, "--out", self.path("task.toml"))[0], 0)
        first = self.start("first", source="kind = \"none\"")
        second = self.start("second", node="seeds = [\"%s\"]" % first.ready()["dht"], source="kind = \"none\"")
        for node in (first, second):
            wait_until(lambda: node.ask("peers")["overlay"]["good_nodes"] > 0, "the two have joined")
        folded = self.look(second, "get", "label/c67")
        self.assertEqual((folded["bucket"], folded["classes"], folded["entries"]), ("label/c03", ["c03", "c67"], []))
        _, out, _ = run("overlay", "get", "label/c67", "--socket", second.ready()["control"])
        self.assert_mentions(out, "label/c67 is folded onto label/c03", "c03, c67 share this bucket")
        _, out, _ = run("overlay", "get", "label/c20", "--socket", second.ready()["control"])
        self.assertNotIn("share", out)

    def test_at_a_registry_one_can_look_up_and_there_are_no_buckets(self):
        registry = self.start_registry()
        named = "registry = \"%s\"\nregistry_key = \"%s\"" % (registry.ready()["address"], registry.ready()["key"])
        nodes = [self.learner("a", ["north", "south"], 1, named), self.learner("b", ["east", "west"], 2, named)]
        for node in nodes:
            node.wait_line("event", lambda line: line["event"] == "published")
        self.ids = {node.ready()["id"]: name for node, name in zip(nodes, "ab")}
        query = self.write_csv("query.csv", samples(999, [(200, ["east", "west"])]))
        wait_until(lambda: self.names(self.look(nodes[0], "lookup", query)) == ["b"], "the other is found")
        self.assertIn("no buckets", self.look(nodes[0], "get", "joint/0/0/0", status=9)["error"])
        _, out, _ = run("overlay", "keys", "--socket", nodes[0].ready()["control"])
        self.assertIn("registry", out)


if __name__ == "__main__":
    main()
