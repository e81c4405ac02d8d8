"""What an operator sees of a drift, and a merge undone by hand, with real processes."""

import json
import os

from harness import main, run
import test_healing
from test_healing import CLASSES, stream


class History(test_healing.Healing):

    test_a_drift_is_healed_by_a_helper = None  # that one has a file of its own

    def healed_node(self):
        """A node at the end of its stream, with a drift that a helper healed; and the report."""
        helper_data = self.write_csv("helper.csv", stream(21, [(5000, CLASSES)]))
        helper = self.start("helper", source="kind = \"csv\"\npath = \"%s\"\nat_end = \"stay\"" % helper_data,
                            output="predictions = false", tuning="publish_after = 200\npublish_interval_ms = 100")
        helper.wait_line("end")
        helper.wait_line("event", lambda line: line["event"] == "published")
        rows = stream(22, [(800, CLASSES[:4]), (800, CLASSES)])
        config = self.configure("node", node="seeds = [\"%s\"]" % helper.ready()["dht"],
                                source="kind = \"csv\"\npath = \"%s\"\nrate = 400\nat_end = \"stay\"" %
                                self.write_csv("node.csv", rows), output="predictions = false", tuning="shadow_samples = 0")
        node = self.start_config(config)
        node.wait_line("end", timeout=60)
        healed = [d for d in node.ask("history")["drifts"] if d["accepted"] and not d["rolled_back"]]
        self.assertTrue(healed, node.ask("history"))
        return config, node, healed[0], helper

    def refused(self, status, words, *arguments):
        got, out, error = run(*arguments)
        self.assertEqual(got, status, out + error)
        self.assertIn(words, error)

    def test_the_story_is_told_and_the_merge_undone(self):
        config, node, report, helper = self.healed_node()
        number = str(report["id"])
        control = node.ready()["control"]
        state = self.path("node.state")

        # One story: every stage, in order, with its figures.
        story = node.ask("history", number)["drift"]
        steps = {step["step"]: step for step in story["steps"]}
        for name, members in (("drift_detected", ["since"]), ("lookup_done", ["gets", "questions", "candidates", "ms"]),
                              ("described", ["described", "ms"]), ("part_pulled", ["blocks", "bytes", "ms"]),
                              ("trial_done", ["challengers", "ms"]), ("merged", ["ms"])):
            self.assertIn(name, steps)
            for member in members:
                self.assertIn(member, steps[name])
        self.assertEqual(steps["part_pulled"]["subject"], helper.ready()["id"][:16])
        self.assertEqual(sum(s["bytes"] for s in story["steps"] if s["step"] == "part_pulled"), story["bytes_pulled"])
        best = [c for c in steps["trial_done"]["challengers"] if c["wins"] == story["trial"]["wins"]]
        self.assertTrue(best, steps["trial_done"])
        times = [step["wall_ms"] for step in story["steps"]]
        self.assertEqual(times, sorted(times))
        told = [line["event"] for line in node.of_type("event") if line["drift"] and line["drift"]["id"] == report["id"]]
        self.assertEqual(told, [step["step"] for step in story["steps"]])

        # Who pulled is seen by the helper at whatever port it came from; where it accepts links, and how far it is, is not known.
        puller, = helper.ask("peers")["peers"]
        self.assertEqual((puller["id"], puller["endpoint"], puller["round_trip_ms"]), (node.ready()["id"], None, None))
        if puller["connected"]:
            self.assertRegex(puller["remote"], r"^127\.0\.0\.1:[1-9]\d*$")
        out = run("peers", "--socket", helper.ready()["control"])[1]
        self.assertNotIn(" :0 ", out)
        self.assertNotIn("0.0 ms", out)
        pulled, = node.ask("peers")["peers"]
        self.assertEqual(pulled["endpoint"], helper.ready()["link"])
        self.assertGreater(pulled["round_trip_ms"], 0)

        # The same for people, and fewer.
        status, out, _ = run("history", number, "--socket", control)
        self.assertEqual(status, 0)
        self.assert_mentions(out, "Drift %s" % number, "trial_done", "against", "by luck", helper.ready()["id"][:16])
        status, out, _ = run("history", "--last", "1", "--state-dir", state)
        self.assertEqual(status, 0)
        kept = node.ask("history")["kept"]
        self.assertEqual(len(out.splitlines()), 2 + (kept > 1), out)
        none = node.ask("history", "--last", "0")
        self.assertEqual((none["drifts"], none["kept"]), ([], kept))
        self.assertIn("none of them shown", run("history", "--last", "0", "--socket", control)[1])

        # What cannot be.
        self.refused(10, "there is no drift 999", "history", "999", "--socket", control)
        self.refused(10, "there is no drift 999", "rollback", "999", "--socket", control)
        self.refused(2, "no merge that was undone", "rollback", number, "--redo", "--socket", control)
        self.refused(2, "", "rollback", "three", "--socket", control)
        self.refused(2, "", "rollback", "--socket", control)
        for request in ({"command": "rollback"}, {"command": "rollback", "id": "3"}, {"command": "history", "last": -1},
                        {"command": "rollback", "id": 3, "redo": 1}):
            self.assertEqual(node.send_request(request)["code"], "invalid_argument")

        # Undone, done again, undone.
        undone = node.ask("rollback", number)["drift"]
        self.assertTrue(undone["rolled_back"])
        self.assert_mentions(undone["reason"], "by hand")
        self.assertEqual(undone["steps"][-1]["step"], "rolled_back")
        behind = undone["steps"][-1]["samples_behind"]
        self.assertGreater(behind, 0)
        self.refused(2, "undone already", "rollback", number, "--socket", control)
        self.assertFalse(node.ask("rollback", number, "--redo")["drift"]["rolled_back"])
        status, out, _ = run("rollback", number, "--socket", control)
        self.assertEqual(status, 0)
        self.assert_mentions(out, "rolled back", "by hand")
        # The same model as the first time, which has learned nothing in between: it is no nearer than it was.
        self.assertEqual(node.ask("history", number)["drift"]["steps"][-1]["samples_behind"], behind)
        before = node.ask("history", number)["drift"]
        for_people = run("history", number, "--socket", control)[1]

        # kill -9 takes nothing of it; the state directory tells it without a node, and is left as it was.
        node.kill()
        with open(os.path.join(state, "snapshot"), "rb") as file:
            saved = file.read()
        status, out, error = run("history", number, "--state-dir", state, "--task", self.path("task.toml"), "--json")
        self.assertEqual(status, 0, error)
        self.assert_mentions(error, "no node answers there")
        self.assertEqual(json.loads(out)["drift"], before)
        self.assertEqual(run("history", number, "--state-dir", state, "--task", self.path("task.toml"))[1], for_people)
        self.refused(10, "there is no drift 999", "history", "999", "--state-dir", state)
        self.refused(2, "no task file", "history", "--state-dir", state, "--task", self.path("none.toml"))
        self.refused(8, "not running", "rollback", number, "--state-dir", state)
        with open(os.path.join(state, "snapshot"), "rb") as file:
            self.assertEqual(file.read(), saved)
        with open(os.path.join(state, "snapshot"), "wb") as file:
            file.write(saved[:-1])
        self.refused(6, "cannot be read", "history", "--state-dir", state)
        with open(os.path.join(state, "snapshot"), "wb") as file:
            file.write(saved)

        # The next process goes on with the story, and can still do the merge again.
        node = self.start_config(config)
        node.wait_line("end", timeout=60)
        self.assertEqual(node.ask("history", number)["drift"], before)
        self.assertFalse(node.ask("rollback", number, "--redo")["drift"]["rolled_back"])
        self.assertEqual(node.terminate()[0], 0)


if __name__ == "__main__":
    main()
