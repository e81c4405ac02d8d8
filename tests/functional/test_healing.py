"""The main job, with real processes: a drift at one node is healed by what another one knows."""

import random

from harness import Case, main, run

RATE = 400  # samples/s: slow enough that a lookup and a pull take few samples
FEATURES = 16
CLASSES = ["c%02d" % i for i in range(10)]


def stream(seed, plan):
    """Ten classes, each two blobs in sixteen dimensions that overlap with others: no few samples teach them."""
    shape = random.Random(5)
    centres = {c: [[shape.random() for _ in range(FEATURES)] for _ in range(2)] for c in CLASSES}
    rng = random.Random(seed)
    rows = []
    for count, names in plan:
        for _ in range(count):
            name = rng.choice(names)
            rows.append(([rng.gauss(c, 0.25) for c in rng.choice(centres[name])], name))
    return rows


class Healing(Case):

    def write_csv(self, name, rows):
        return self.write(name, ",".join("f%d" % i for i in range(FEATURES)) + ",class\n" + "".join(
            "%s,%s\n" % (",".join("%.5f" % value for value in x), y) for x, y in rows))

    def task(self):
        path = self.path("task.toml")
        status, _, error = run("task", "--data", self.write_csv("for_task.csv", stream(1, [(400, CLASSES)])),
                               "--out", path, "--force")
        self.assertEqual(status, 0, error)
        return path

    def test_a_drift_is_healed_by_a_helper(self):
        helper_data = self.write_csv("helper.csv", stream(21, [(5000, CLASSES)]))
        helper = self.start("helper", source="kind = \"csv\"\npath = \"%s\"\nat_end = \"stay\"" % helper_data,
                            output="predictions = false",
                            tuning="publish_after = 200\npublish_interval_ms = 100")
        helper.wait_line("end")
        helper.wait_line("event", lambda line: line["event"] == "published")

        # Six classes that the node has never seen arrive together, 800 samples in; the twin has to learn them alone.
        rows = stream(22, [(800, CLASSES[:4]), (800, CLASSES)])
        node = self.start("node", node="seeds = [\"%s\"]" % helper.ready()["dht"],
                          source="kind = \"csv\"\npath = \"%s\"\nrate = %d\nhold = true" % (
                              self.write_csv("node.csv", rows), RATE),
                          output="predictions = false\ncorrectness = true\nprogress_every = 50",
                          experiment="twin = true")
        node.ready()
        self.assertEqual(node.ask("status")["source"], "holding")
        self.assertEqual(node.ask("status")["samples"], 0)
        self.assertEqual(node.send("start"), {"ok": True})
        node.wait_line("summary", timeout=60)
        self.assertEqual(node.wait_exit(), 0)

        names = [line["event"] for line in node.of_type("event")]
        for expected in ("drift_detected", "lookup_done", "part_pulled", "trial_done", "merged"):
            self.assertIn(expected, names)
        summary = node.of_type("summary")[0]
        self.assertEqual(summary["samples"], 1600)
        self.assertEqual(summary["twin_samples"], 1600)
        healed = [d for d in summary["drifts"] if d["accepted"]]
        self.assertTrue(healed, summary["drifts"])
        first = healed[0]
        self.assertGreater(first["detected_at"], 800)
        self.assertLess(first["detected_at"], 900)
        self.assertEqual(first["helper"], helper.ready()["id"][:16])
        self.assertGreater(first["bytes_pulled"], 0)
        self.assertGreater(first["detect_to_merge_ms"], 0)
        self.assertTrue(first["reason"])
        for stage in ("lookup_ms", "ask_ms", "pull_ms", "trial_ms"):
            self.assertGreaterEqual(first[stage], 0)
        self.assertGreaterEqual(summary["bytes_pulled"], first["bytes_pulled"])
        self.assertGreater(summary["traffic"]["chunk"], 0)
        self.assertGreater(summary["handshakes"]["made"], summary["handshakes"]["resumed"])

        # The lines of correctness are whole, and they add up to the accuracy of the summary.
        bits = {"node": "", "twin": ""}
        for line in node.of_type("correctness"):
            self.assertEqual(line["from"], len(bits["node"]))
            for who in bits:
                bits[who] += line[who]
        for who, accuracy in (("node", summary["accuracy"]), ("twin", summary["twin_accuracy"])):
            self.assertEqual(len(bits[who]), 1600)
            self.assertAlmostEqual(bits[who].count("1") / 1600, accuracy, places=9)
        # Before the drift both are the same learner; after the merge the node is no worse.
        self.assertEqual(bits["node"][:800], bits["twin"][:800])
        after = {who: bits[who][first["merged_at"]:].count("1") for who in bits}
        self.assertGreaterEqual(after["node"], after["twin"] - 8)
        status, helper_summary = helper.terminate()
        self.assertEqual(status, 0)
        self.assertGreater(helper_summary["traffic"]["chunk"], 0)


if __name__ == "__main__":
    main()
