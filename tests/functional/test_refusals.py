"""Bad input from the operator: one clear sentence, the documented exit status, nothing lost."""

import gzip
import json
import os
import signal
import socket
import stat
import struct
import subprocess

from harness import BINARY, SCALE, Case, main, run, lines_of, samples

EVERYTHING = ["north", "south", "east", "west"]


class Refusals(Case):

    def refuse(self, status, *words, config=None, stdin=None, arguments=None):
        """The program ends with this status; its words stand in one line each on stdout and stderr."""
        arguments = arguments or ["run", "--config", config]
        got, out, error = run(*arguments, stdin=stdin)
        self.assertEqual(got, status, out + error)
        self.assert_mentions(error, *words)
        self.assertNotIn("terminate called", error)
        if arguments[0] == "run":
            line = [line for line in lines_of(out) if line["type"] == "error"][-1]
            self.assertEqual(line["exit"], status)
            self.assert_mentions(line["text"], *words)
        return out

    def test_configurations(self):
        task = self.task()
        good = "[node]\ntask = \"task.toml\"\nisolated = true\n"
        cases = [
            ("[node]\ntsk = \"task.toml\"\n", ["c.toml:2", "unknown key \"tsk\"", "\"task\""]),
            (good + "[source]\nrate = \"fast\"\n", ["c.toml:5", "source.rate is a string", "a number is needed"]),
            (good + "[source]\nkind = \"kafka\"\n", ["c.toml:5", "\"kafka\"", "\"stdin\", \"csv\", \"idx\""]),
            (good + "rate = 3\n", ["c.toml:4", "belongs under [source]"]),
            (good + "[sauce]\n", ["c.toml:4", "unknown table \"sauce\"", "\"source\""]),
            (good + "dht_port = 70000\n", ["c.toml:4", "not between 0 and 65535"]),
            (good + "seeds = [\"nowhere\"]\n", ["c.toml:4", "nowhere"]),
            (good + "seeds = \"127.0.0.1:1\"\n", ["c.toml:4", "an array of strings"]),
            (good + "bind = \"localhost\"\n", ["c.toml:4", "localhost"]),
            (good + "[source]\nkind = \"csv\"\n", ["c.toml:5", "source.path is missing"]),
            (good + "[source]\nhold = true\n", ["c.toml:5", "state_dir"]),
            (good + "name = \n", ["c.toml:4", "not TOML"]),
            ("[node]\nisolated = true\n", ["node.task is missing"]),
            ("[node]\ntask = \"none.toml\"\n", ["no task file", "none.toml"]),
            (good + "[tuning]\ntrial_alpha = 7\n", ["c.toml:5", "trial_alpha"]),
        ]
        for text, words in cases:
            with self.subTest(text):
                self.refuse(2, *words, config=self.write("c.toml", text))
        self.refuse(2, "no configuration", config=self.path("missing.toml"))
        # A bad task is told with its own file and line.
        with open(task) as file:
            broken = file.read().replace("[model]", "[modell]")
        self.write("task.toml", broken)
        self.refuse(2, "task.toml", "modell", config=self.write("c.toml", good))

    def test_flags(self):
        for arguments in (["bogus"], ["run", "--nonsense"], [], ["status"], ["task"], ["run"],
                          ["run", "--config", "x", "--log-level", "loud"]):
            with self.subTest(arguments):
                status, _, error = run(*arguments)
                self.assertEqual(status, 2)
                self.assertTrue(error)
        for arguments in (["history", "--last", "-1"], ["history", "--last=-1"], ["history", "-1"], ["rollback", "-1"],
                          ["overlay", "lookup", "--samples", "-1"], ["task", "--data", "x", "--seed", "-1"],
                          ["task", "--data", "x", "--rows", "-1"],
                          ["evaluate", "--data", "x", "--model", "auto", "--samples", "-1"],
                          ["evaluate", "--data", "x", "--model", "auto", "--samples", "1.5"]):
            with self.subTest(arguments):
                more = ["--state-dir", self.path("none")] if arguments[0] in ("history", "rollback", "overlay") else []
                status, _, error = run(*arguments, *more)
                self.assertEqual(status, 2, error)
                self.assert_mentions(error, "whole number")
        for command in ("", "run", "status", "peers", "lookup", "history", "rollback", "keygen", "check", "task"):
            status, out, _ = run(*([command] if command else []), "--help")
            self.assertEqual(status, 0)
            self.assert_mentions(out, "Exit status:", "130")

    def test_a_mistyped_word_is_answered_with_what_was_meant_and_under_json_as_an_object(self):
        for arguments, words in ((["statsu"], ["unknown command 'statsu'; did you mean 'status'? See `p2p-learner --help`"]),
                                 (["bogus"], ["unknown command 'bogus'; there are", "evaluate"]),
                                 (["overlay", "lokup"], ["unknown command 'lokup'; did you mean 'lookup'? See `p2p-learner overlay --help`"]),
                                 (["overlay"], ["a command is missing; there are nodes, keys"]),
                                 (["status", "--state-dir", "x", "--jso"], ["unknown option '--jso'; did you mean '--json'?", "status --help"]),
                                 (["status", "--state-dri=x"], ["'--state-dri'; did you mean '--state-dir'?"]),
                                 (["evaluate", "--modle", "rff", "--data", "x"], ["unknown option '--modle'; did you mean '--model'?"]),
                                 (["status", "--state-dir", "x", "more"], ["'more' is one word too many"]),
                                 (["status"], ["--state-dir DIR or --socket PATH"]),
                                 (["--foo"], ["unknown option '--foo'. See `p2p-learner --help`"]),
                                 (["demo", "--sead", "3"], ["'--sead'; did you mean '--seed", "p2p-learner demo --help"])):
            with self.subTest(arguments):
                status, out, error = run(*arguments)
                self.assertEqual((status, out), (2, ""))
                self.assert_mentions(error, "p2p-learner: error: ", *words)
                status, out, error = run(*arguments, "--json")
                self.assertEqual(status, 2)
                told = json.loads(out)
                self.assertEqual((told["code"], told["exit"]), ("invalid_argument", 2))
                self.assert_mentions(told["error"], *words)

    def test_the_template_is_a_configuration(self):
        status, out, _ = run("run", "--print-config")
        self.assertEqual(status, 0)
        self.task()
        config = self.write("template.toml", out.replace("#isolated = false", "isolated = true"))
        node = self.start_config(config, stdin=subprocess.PIPE)
        node.ready()
        node.process.stdin.write("{\"x\": [0.2, 0.8, 0.3, 0.3], \"y\": \"north\"}\n")
        node.process.stdin.close()
        node.wait_line("summary")
        self.assertEqual(node.wait_exit(), 0)

    def test_data_sets(self):
        def csv(text, name="bad.csv"):
            path = self.write(name, text)
            return self.configure("n", node="isolated = true", state=False,
                                  source="kind = \"csv\"\npath = \"%s\"" % path)

        header = "a,b,c,d,class\n"
        for text, words in ((header + "1,2,3,4,north\n1,2,3,north\n", ["bad.csv, line 3", "4 fields"]),
                            (header + "1,2,inf,4,north\n", ["line 2, column 3 (c)", "not finite"]),
                            (header + "1,2,x,4,north\n", ["line 2", "\"c\"", "no number"]),
                            (header + "1,2,3,4,up\n", ["bad.csv", "2", "unknown class \"up\"", "east, north"]),
                            ("a,b,class\n1,2,north\n", ["2 features", "task has 4"]),
                            ("", ["is empty"])):
            with self.subTest(text):
                self.refuse(3, *words, config=csv(text))
        self.refuse(3, "no file", config=self.configure("n", node="isolated = true",
                                                        source="kind = \"csv\"\npath = \"/none.csv\""))
        whole = gzip.compress((header + "1,2,3,4,north\n" * 5000).encode(), mtime=0)
        with open(self.path("cut.csv.gz"), "wb") as file:
            file.write(whole[:len(whole) // 2])
        self.refuse(3, "cut.csv.gz", "truncated", "byte %d" % (len(whole) // 2),
                    config=self.configure("n", node="isolated = true",
                                          source="kind = \"csv\"\npath = \"%s\"" % self.path("cut.csv.gz")))
        with open(self.path("labels"), "wb") as file:
            file.write(struct.pack(">II", 0x801, 1) + b"\0")
        self.refuse(3, "labels", "byte 0", "magic",
                    config=self.configure("n", node="isolated = true", source="kind = \"idx\"\nimages = \"%s\"\n"
                                          "labels = \"%s\"" % (self.path("labels"), self.path("labels"))))

    def test_what_came_before_a_bad_record_is_kept(self):
        rows = samples(41, [(100, EVERYTHING)])
        path = self.write_csv("d.csv", rows)
        with open(path, "a") as file:
            file.write("1,2,3,north\n")
        config = self.configure("n", node="isolated = true", source="kind = \"csv\"\npath = \"%s\"" % path)
        out = self.refuse(3, "line 102", config=config)
        self.assertEqual(lines_of(out)[-1]["samples"], 100)
        self.assertEqual(len([line for line in lines_of(out) if line["type"] == "prediction"]), 100)
        # Mended, the stream goes on where it stopped.
        self.write_csv("d.csv", rows + samples(42, [(50, EVERYTHING)]))
        status, out, _ = run("run", "--config", config)
        self.assertEqual(status, 0)
        self.assertEqual(lines_of(out)[-1]["samples"], 150)
        self.assertEqual(len([line for line in lines_of(out) if line["type"] == "prediction"]), 50)

    def test_missing_values_are_learned_from(self):
        config = self.configure("n", node="isolated = true")
        stdin = "".join("{\"x\": [%s, 0.8, null, NaN], \"y\": \"north\"}\n" % ("null" if i % 2 else "0.2")
                        for i in range(20))
        status, out, error = run("run", "--config", config, stdin=stdin)
        self.assertEqual(status, 0, error)
        self.assertEqual(lines_of(out)[-1]["samples"], 20)

    def test_a_malformed_line_is_told_with_its_number_and_the_stream_goes_on(self):
        config = self.configure("n", node="isolated = true", output="progress_every = 0")
        good = "{\"x\": [0.2, 0.8, 0.3, 0.3], \"y\": \"north\"}"
        bad = ["oops", "{\"x\": [1, 2]}", "{\"x\": [0.2, 0.8, 0.3, 1e999]}",
               "{\"x\": [0.2, 0.8, 0.3, 0.3], \"y\": \"up\"}", "[]", "{\"x\": [0.2, 0.8, 0.3, 0.3], \"y\": 4}"]
        text = "".join("%s\n%s\n" % (good, line) for line in bad) + "{\"x\": [0.2, 0.8, 0.3, 0.3]}\n"
        status, out, error = run("run", "--config", config, stdin=text)
        self.assertEqual(status, 0, error)
        lines = [line for line in lines_of(out) if line["type"] in ("prediction", "error")]
        self.assertEqual([line["line"] for line in lines], list(range(1, 14)))
        self.assertEqual([line["type"] for line in lines], ["prediction", "error"] * 6 + ["prediction"])
        self.assertIsNone(lines[-1]["y"])
        for line in lines:
            if line["type"] == "error":
                self.assert_mentions(line["text"], "line %d" % line["line"])
        summary = lines_of(out)[-1]
        self.assertEqual((summary["samples"], summary["input_errors"]), (6, 6))

    def test_answers_come_line_by_line(self):
        node = self.start("n", node="isolated = true", stdin=subprocess.PIPE)
        node.ready()
        for i in range(1, 4):
            node.process.stdin.write("{\"x\": [0.2, 0.8, 0.3, 0.3], \"y\": 1}\n")
            node.process.stdin.flush()
            node.wait_line("prediction", lambda line: line["line"] == i)
        node.process.send_signal(signal.SIGINT)
        self.assertEqual(node.wait_exit(), 0)
        self.assertEqual(node.of_type("summary")[0]["samples"], 3)

    def test_ports_and_state_directories_in_use(self):
        first = self.start("first", source="kind = \"none\"")
        dht, link = (first.ready()[key].rsplit(":", 1)[1] for key in ("dht", "link"))
        for key, port in (("dht_port", dht), ("link_port", link)):
            config = self.configure("second", node="%s = %s" % (key, port), source="kind = \"none\"")
            self.refuse(4, port, config=config)
            self.assertFalse(os.path.exists(self.path("second.state")), "a start that failed leaves nothing")
            status, out, _ = run("check", "--config", config)
            self.assertFalse(os.path.exists(self.path("second.state")), "a check leaves nothing")
            self.assertEqual(status, 4, out)
            self.assert_mentions(out, "taken by another program", key)
        config = self.configure("third", state=False, node="state_dir = \"first.state\"", source="kind = \"none\"")
        self.refuse(4, "first.state", str(first.process.pid), config=config)
        status, out, _ = run("registry", "--port", link, "--state-dir", self.path("a", "b"))
        self.assertEqual(status, 4, out)
        self.assertFalse(os.path.exists(self.path("a")))
        # What was there stays as it was.
        os.mkdir(self.path("kept.state"))
        self.assertEqual(run("keygen", "--state-dir", self.path("kept.state"))[0], 0)
        self.refuse(4, link, config=self.configure("kept", node="link_port = %s" % link, source="kind = \"none\"", experiment="twin = true"))
        self.assertEqual(os.listdir(self.path("kept.state")), ["key.pem"])
        # The node itself could start, and what comes after it cannot: the path of the control socket is too long.
        self.refuse(2, "control socket", config=self.configure("long", state=False, node="state_dir = \"%s\"" % ("long" * 25),
                                                             source="kind = \"none\"", experiment="twin = true"))
        self.assertFalse([name for name in os.listdir(self.dir) if name.startswith("longlong")])
        # check knows its own node.
        own = self.configure("first", node="dht_port = %s\nlink_port = %s" % (dht, link), source="kind = \"none\"")
        status, out, _ = run("check", "--config", own)
        self.assertEqual(status, 0, out)
        self.assert_mentions(out, "held by this node")
        self.assertEqual(first.terminate()[0], 0)

    def test_keys(self):
        config = self.configure("n", source="kind = \"none\"")
        state = self.path("n.state")
        status, out, _ = run("keygen", "--state-dir", state)
        self.assertEqual(status, 0)
        identity = out.strip()
        self.assertEqual(len(identity), 64)
        key = os.path.join(state, "key.pem")
        self.assertEqual(stat.S_IMODE(os.stat(key).st_mode), 0o600)
        self.refuse(2, "not overwritten", "--force", arguments=["keygen", "--state-dir", state])
        node = self.start_config(config)
        self.assertEqual(node.ready()["id"], identity)
        self.assertEqual(node.terminate()[0], 0)

        os.chmod(key, 0o644)
        self.refuse(5, "key.pem", config=config)
        status, out, _ = run("check", "--config", config)
        self.assertEqual(status, 5, out)
        os.chmod(key, 0o600)
        with open(key) as file:
            good = file.read()
        for text in ("", "no key", good[:60], good.replace("PRIVATE", "PUBLIC")):
            with open(key, "w") as file:
                file.write(text)
            self.refuse(5, "key.pem", config=config)
        if subprocess.run(["openssl", "genrsa", "-out", key, "2048"], capture_output=True).returncode == 0:
            self.refuse(5, "key.pem", config=config)
        with open(key, "w") as file:
            file.write(good)
        if os.geteuid() == 0:  # somebody else's key is foreign, even if it can be read
            os.chown(key, 65534, 65534)
            self.refuse(5, "key.pem", config=config)
            os.chown(key, 0, 0)
        self.assertEqual(run("check", "--config", config)[0], 0)

    def test_no_node_is_running(self):
        for command in ("status", "peers", "lookup", "history"):
            self.refuse(8, "no node runs here", arguments=[command, "--state-dir", self.path("none")])
        self.refuse(8, "no node runs here", arguments=["rollback", "1", "--state-dir", self.path("none")])
        # A socket whose process died is not a node.
        config = self.configure("n", source="kind = \"none\"")
        node = self.start_config(config)
        control = node.ready()["control"]
        node.kill()
        self.assertTrue(os.path.exists(control))
        self.refuse(8, "not running", arguments=["status", "--socket", control])
        node = self.start_config(config)  # and does not keep the next one from starting
        self.assertEqual(node.ask("status")["name"], "n")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as rude:
            rude.connect(control)
            rude.sendall(b"hello\n{\"command\": \"dance\"}\n{\"command\": \"status\"}\n")
            answers = rude.makefile()
            self.assertIn("error", json.loads(answers.readline()))
            self.assert_mentions(json.loads(answers.readline())["error"], "dance", "status")
            self.assertEqual(json.loads(answers.readline())["name"], "n")
        self.assertEqual(node.send("stop"), {"ok": True})
        self.assertEqual(node.wait_exit(), 0)
        self.assertEqual(len(node.of_type("summary")), 1)

    def test_a_reader_that_goes_away_ends_the_node_in_order(self):
        config = self.configure("n", node="isolated = true\nsnapshot_every_s = 3600",
                                source="kind = \"csv\"\npath = \"%s\"\nrate = 1000" %
                                self.write_csv("d.csv", samples(43, [(60000, EVERYTHING)])))
        process = subprocess.Popen([BINARY, "run", "--config", config], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
        for text in process.stdout:
            if json.loads(text).get("samples", 0) >= 300:
                break
        process.stdout.close()
        self.assertEqual(process.wait(20 * SCALE), 0)
        status, out, _ = run("check", "--config", config)
        self.assertEqual(status, 0, out)
        again = self.start_config(config)
        self.assertGreaterEqual(again.ready()["samples"], 300)


class Tasks(Case):

    def test_a_task_is_inferred_and_read_back(self):
        data = self.write("d.csv", "size,kind,colour\n1,0,red\n3,2,blue\n,1,red\n2,2,\n")
        out = self.path("t.toml")
        status, text, error = run("task", "--data", data, "--out", out, "--categorical", "kind", "--json")
        self.assertEqual(status, 0, error)
        found = json.loads(text)
        self.assertEqual((found["rows"], found["features"], found["classes"]), (4, 2, ["blue", "red"]))
        self.assertEqual((found["missing_values"], found["unlabelled_rows"]), (1, 1))
        self.assertGreater(found["bandwidth"], 0)
        with open(out) as file:
            self.assert_mentions(file.read(), "categories = 3", "maximum = 3.0")
        status, _, error = run("task", "--data", data, "--out", out)
        self.assertEqual(status, 2)
        self.assert_mentions(error, "--force")
        for more, code, word in ((["--label", "none"], 3, "no column"), (["--categorical", "zebra"], 3, "zebra"),
                                 (["--family", "oracle"], 2, "oracle"), (["--param", "zebra=1"], 2, "zebra"), (["--labels", data], 2, "--labels"),
                                 (["--param", "x"], 2, "NAME=NUMBER"), (["--classes", "red,green"], 3, "blue")):
            status, _, error = run("task", "--data", data, "--out", self.path("other.toml"), *more)
            self.assertEqual(status, code, error)
            self.assert_mentions(error, word)
            self.assertFalse(os.path.exists(self.path("other.toml")))


if __name__ == "__main__":
    main()
