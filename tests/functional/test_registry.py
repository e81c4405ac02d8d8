"""A registry and nodes as real processes: who is listed is found, and helps."""

import signal
import socket

import test_healing
from harness import Case, main, run, wait_until


class Registry(Case):
    write_csv = test_healing.Healing.write_csv
    task = test_healing.Healing.task

    def named(self, registry):
        ready = registry.ready()
        return "registry = \"%s\"\nregistry_key = \"%s\"" % (ready["address"], ready["key"])

    def helper(self, name, registry, seed, classes):
        data = self.write_csv(name + ".csv", test_healing.stream(seed, [(3000, classes)]))
        return self.start(name, node=self.named(registry),
                          source="kind = \"csv\"\npath = \"%s\"\nat_end = \"stay\"" % data,
                          output="predictions = false", tuning="publish_after = 200\npublish_interval_ms = 100")

    def test_a_drift_is_healed_by_a_node_that_the_registry_knows(self):
        registry = self.start_registry()
        every = test_healing.CLASSES
        helpers = [self.helper("knows", registry, 21, every), self.helper("other", registry, 23, every[:4])]
        for helper in helpers:
            helper.wait_line("end")
            helper.wait_line("event", lambda line: line["event"] == "published")
            self.assertIsNone(helper.ready()["dht"])
        rows = test_healing.stream(22, [(800, every[:4]), (800, every)])
        node = self.start("node", node=self.named(registry),
                          source="kind = \"csv\"\npath = \"%s\"\nrate = %d" % (self.write_csv("node.csv", rows),
                                                                              test_healing.RATE),
                          output="predictions = false")
        node.wait_line("summary", timeout=60)
        self.assertEqual(node.wait_exit(), 0)
        healed = [d for d in node.of_type("summary")[0]["drifts"] if d["accepted"]]
        self.assertTrue(healed, node.of_type("summary")[0]["drifts"])
        self.assertEqual(healed[0]["helper"], helpers[0].ready()["id"][:16])

        registry.process.send_signal(signal.SIGINT)
        self.assertEqual(registry.wait_exit(), 0)
        end = registry.of_type("end")[0]
        self.assertGreaterEqual(end["nodes"], 2)
        self.assertGreaterEqual(end["lookups"], 1)

    def test_nodes_list_themselves_again_at_a_registry_that_was_killed(self):
        registry = self.start_registry()
        first = registry.ready()
        nodes = [self.helper("a", registry, 21, test_healing.CLASSES), self.helper("b", registry, 23, test_healing.CLASSES)]
        for node in nodes:
            node.wait_line("event", lambda line: line["event"] == "published")
        wait_until(lambda: len(nodes[0].ask("lookup")["candidates"]) == 1, "the other node is found")
        registry.kill()
        self.assertEqual(nodes[0].ask("lookup")["candidates"], [])
        again = self.start_registry(port=int(first["address"].rsplit(":", 1)[1]))
        self.assertEqual(again.ready()["key"], first["key"])
        wait_until(lambda: len(nodes[0].ask("lookup")["candidates"]) == 1, "the other node is found again", timeout=60)
        again.process.send_signal(signal.SIGTERM)
        self.assertEqual(again.wait_exit(), 0)

    def test_what_cannot_be_is_refused_with_what_to_do(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            status, _, error = run("registry", "--port", taken.getsockname()[1])
        self.assertEqual(status, 4, error)
        self.assert_mentions(error, "taken", "--port")
        status, _, error = run("registry", "--bind", "example.org")
        self.assertEqual(status, 2, error)
        self.assert_mentions(error, "numeric")

        registry = self.start_registry()
        registry.ready()
        status, _, error = run("registry", "--state-dir", self.path("registry.state"))
        self.assertEqual(status, 4, error)

        both = self.configure("both", node=self.named(registry) + "\nseeds = [\"127.0.0.1:4222\"]")
        status, _, error = run("run", "--config", both)
        self.assertEqual(status, 2, error)
        self.assert_mentions(error, "seeds", "take one of them out")
        half = self.configure("half", node="registry = \"127.0.0.1:4300\"")
        status, _, error = run("run", "--config", half)
        self.assertEqual(status, 2, error)
        self.assert_mentions(error, "registry_key")

        good = self.configure("good", node=self.named(registry))
        status, out, error = run("check", "--config", good)
        self.assert_mentions(out, "registry", "proved its key")
        wrong = self.configure("wrong", node=self.named(registry).replace(registry.ready()["key"], "ab" * 32))
        status, out, error = run("check", "--config", wrong)
        self.assertEqual(status, 5, out)
        self.assert_mentions(out, "registry_key")


if __name__ == "__main__":
    main()
