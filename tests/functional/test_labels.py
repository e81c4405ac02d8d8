"""Labels that come after their samples: by ticket on standard input, held back from a file."""

import json
import subprocess

from harness import Case, main, run, lines_of, samples
from test_crash import EVERYTHING, stitched


class Labels(Case):

    def piped(self, name="n", source="", **tables):
        tables.setdefault("node", "isolated = true")
        node = self.start(name, stdin=subprocess.PIPE, source=source, **tables)
        node.ready()
        return node

    def put(self, node, *objects):
        for line in objects:
            node.process.stdin.write(json.dumps(line) + "\n")
        node.process.stdin.flush()

    def predictions(self, node, count):
        node.wait_line("prediction", lambda line: len(node.of_type("prediction")) >= count)
        return node.of_type("prediction")

    def refused(self, node, label, code, *words):
        before = len(node.of_type("error"))
        self.put(node, label)
        node.wait_line("error", lambda _: len(node.of_type("error")) > before)
        line = node.of_type("error")[-1]
        self.assertEqual(line["code"], code, line)
        self.assert_mentions(line["text"], *words)

    def test_a_label_comes_later_by_its_ticket(self):
        rows = samples(51, [(60, EVERYTHING)])
        node = self.piped(experiment="twin = true", output="correctness = true")
        self.put(node, *({"x": x} for x, _ in rows))
        told = self.predictions(node, len(rows))
        self.assertEqual(len({line["ticket"] for line in told}), len(rows))
        self.assertEqual([line["y"] for line in told], [None] * len(rows))
        status = node.ask("status")
        self.assertEqual((status["samples"], status["pending_labels"]), (0, len(rows)))

        late = list(zip(told, rows))[::-1]  # in another order
        self.put(node, *({"ticket": line["ticket"], "y": y} for line, (_, y) in late))
        node.wait_line("label", lambda line: len(node.of_type("label")) == len(rows))
        for label, (line, (_, y)) in zip(node.of_type("label"), late):
            self.assertEqual((label["ticket"], label["predicted"], label["y"]), (line["ticket"], line["predicted"], y))
        status = node.ask("status")
        self.assertEqual((status["samples"], status["pending_labels"]), (len(rows), 0))
        self.assertEqual(status["twin_samples"], len(rows))

        # What cannot be a label is told, and the stream goes on.
        ticket = told[0]["ticket"]
        self.refused(node, {"ticket": ticket, "y": "north"}, "invalid_argument", "ticket \"%s\": " % ticket, "has its label already")
        self.refused(node, {"ticket": ticket, "y": "up"}, "invalid_argument", "unknown class \"up\"")
        self.refused(node, {"ticket": ticket.rsplit("-", 1)[0] + "-999", "y": "north"}, "not_found",
                     "ticket \"%s-999\"" % ticket.rsplit("-", 1)[0])
        for other in ("7", "0-1", ticket + "x", ticket.rsplit("-", 1)[0] + "-0"):
            self.refused(node, {"ticket": other, "y": "north"}, "not_found", "no ticket of this run")
        self.refused(node, {"ticket": ticket}, "malformed", "and nothing else")
        self.put(node, {"x": rows[0][0], "y": rows[0][1]})
        node.wait_line("prediction", lambda line: line["y"] == rows[0][1])
        self.assertNotIn("ticket", node.of_type("prediction")[-1])
        node.process.stdin.close()
        self.assertEqual(node.wait_exit(), 0)
        bits = stitched([node], "node")
        right = ["1" if line["predicted"] == y else "0" for line, (_, y) in late]
        self.assertEqual(bits[:-1], "".join(right))
        self.assertEqual(node.of_type("summary")[0]["samples"], len(rows) + 1)
        self.assertEqual(node.of_type("summary")[0]["input_errors"], 8)

    def test_a_ticket_of_an_earlier_run_is_refused(self):
        x, _ = samples(52, [(1, EVERYTHING)])[0]
        tickets = []
        for _ in range(2):
            node = self.piped()
            self.put(node, {"x": x})
            tickets.append(self.predictions(node, 1)[0]["ticket"])
            self.refused(node, {"ticket": tickets[0], "y": "no such"}, "invalid_argument", "unknown class")
            if len(tickets) == 2:
                self.refused(node, {"ticket": tickets[0], "y": "north"}, "not_found", "no ticket of this run")
            self.assertEqual(node.terminate()[0], 0)

    def test_only_so_many_samples_wait(self):
        rows = samples(53, [(15, EVERYTHING)])
        node = self.piped(source="pending_labels = 10")
        self.put(node, *({"x": x} for x, _ in rows))
        told = self.predictions(node, len(rows))
        self.assertEqual(node.ask("status")["pending_labels"], 10)
        self.refused(node, {"ticket": told[4]["ticket"], "y": "north"}, "not_found", "the latest 10", "pending_labels",
                     "ticket \"%s\"" % told[4]["ticket"])
        self.put(node, {"ticket": told[5]["ticket"], "y": "north"})
        node.wait_line("label")
        self.assertEqual(node.terminate()[1]["samples"], 1)

    def file(self, **keys):
        text = "kind = \"csv\"\npath = \"%s\"\n" % self.path("data.csv")
        return text + "\n".join("%s = %s" % item for item in keys.items())

    def test_a_files_labels_are_held_back(self):
        rows = samples(54, [(400, ["north", "south"]), (400, EVERYTHING)])
        self.write_csv("data.csv", rows)
        at_once, next_, late = (self.start("n%d" % after, source=self.file(labels_after=after), node="isolated = true",
                                           output="correctness = true", experiment="twin = true", state=False)
                                for after in (0, 1, 30))
        for node in (at_once, next_, late):
            self.assertEqual(node.wait_exit(), 0)
            self.assertEqual(node.of_type("summary")[0]["samples"], len(rows))
            self.assertEqual(node.of_type("progress")[-1]["samples"], len(rows))
        # Before the next sample is as good as at once.
        for who in ("node", "twin"):
            self.assertEqual(stitched([at_once], who), stitched([next_], who))
        self.assertEqual(at_once.of_type("label"), [])
        told = [line for line in late.lines if line["type"] in ("prediction", "label")]
        self.assertEqual([line["line"] for line in told if line["type"] == "label"], list(range(2, len(rows) + 2)))
        predicted = {}
        for line in told:
            if line["type"] == "prediction":
                predicted[line["line"]] = line["predicted"]
                newest = line["line"]
            else:
                self.assertEqual(line["predicted"], predicted[line["line"]])
                self.assertEqual(line["y"], rows[line["line"] - 2][1])
                self.assertTrue(newest == line["line"] + 29 or newest == len(rows) + 1, (newest, line))

    def test_after_kill_9_every_held_back_label_is_given_once(self):
        self.write_csv("data.csv", samples(55, [(1200, EVERYTHING)]))
        tables = dict(node="isolated = true\nsnapshot_every_s = 0.1",
                      output="predictions = false\ncorrectness = true\nprogress_every = 20", experiment="twin = true")
        whole = self.start("whole", source=self.file(labels_after=40), **tables)
        self.assertEqual(whole.wait_exit(), 0)
        config = self.configure("cut", source=self.file(labels_after=40, rate=1500), **tables)
        node = self.start_config(config)
        node.wait_line("progress", lambda line: line["samples"] >= 400)
        node.kill()
        node.lines = [line for line in node.lines if line["type"] != "torn"]
        again = self.start_config(config)
        self.assertGreater(again.ready()["samples"], 0)
        self.assertEqual(again.wait_exit(60), 0)
        for key in ("samples", "twin_samples", "pending_labels"):
            self.assertEqual(again.of_type("summary")[0][key], whole.of_type("summary")[0][key], key)
        for who in ("node", "twin"):
            # What the restart found unlearned was predicted anew, by a model that knew more; the rest is the same.
            told, expected = stitched([node, again], who), stitched([whole], who)
            self.assertEqual(len(told), len(expected))
            settled = again.ready()["samples"] + 300  # node and twin write their snapshots apart
            differing = [i for i in range(settled, len(told)) if told[i] != expected[i] and told[i] != "."]
            self.assertEqual(differing, [])

    def test_other_commands_refuse_late_labels(self):
        path = self.write("late.jsonl", "{\"x\":[0.1,0.2,0.3,0.4],\"y\":\"north\"}\n{\"ticket\":\"a-1\",\"y\":\"north\"}\n")
        status, _, error = run("evaluate", "--data", path, "--model", "nb")
        self.assertEqual(status, 3)
        self.assert_mentions(error, "line 2", "standard input")
        status, out, error = run("run", "--config", self.configure("n", source="labels_after = 3"))
        self.assertEqual(status, 2, error)
        self.assert_mentions(lines_of(out)[-1]["text"], "labels_after", "ticket")


if __name__ == "__main__":
    main()
