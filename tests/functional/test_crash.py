"""What is on disk survives: kill -9, torn and newer snapshots, a full disk."""

import os
import shutil
import struct
import subprocess
import time
import zlib

from harness import Case, main, run, lines_of, samples, wait_until

EVERYTHING = ["north", "south", "east", "west"]


def stitched(nodes, who):
    """Correctness of a stream that several runs went through; later lines replace earlier ones."""
    bits = []
    for node in nodes:
        for line in node.of_type("correctness"):
            text = line[who]
            del bits[line["from"]:]
            assert len(bits) == line["from"], "a gap before sample %d" % line["from"]
            bits += text
    return "".join(bits)


class Crash(Case):

    def source(self, rows, **keys):
        text = "kind = \"csv\"\npath = \"%s\"\n" % self.write_csv("data.csv", rows)
        return text + "\n".join("%s = %s" % item for item in keys.items())

    def test_kill_9_and_restart_lose_nothing_and_repeat_nothing(self):
        rows = samples(31, [(1500, ["north", "south"]), (1500, EVERYTHING)])
        output = "predictions = false\ncorrectness = true\nprogress_every = 20"
        tables = dict(node="isolated = true\nsnapshot_every_s = 0.1", output=output, experiment="twin = true")
        whole = self.start("whole", source=self.source(rows), **tables)
        whole.wait_line("summary")
        self.assertEqual(whole.wait_exit(), 0)

        config = self.configure("cut", source=self.source(rows, rate=1500), **tables)
        runs = []
        for kill_at in (400, 1000, 1900, None):
            node = self.start_config(config)
            runs.append(node)
            begun = node.ready()["samples"]
            if kill_at is None:
                self.assertGreater(begun, 0, "the last run starts from a snapshot")
                node.wait_line("summary", timeout=60)
                self.assertEqual(node.wait_exit(), 0)
            else:
                node.wait_line("progress", lambda line: line["samples"] >= kill_at, timeout=60)
                node.kill()
                self.assertNotEqual(node.process.returncode, 0)
                # The next run may tell bits again that a torn last line has cut off, never fewer.
                node.lines = [line for line in node.lines if line["type"] != "torn"]
        summary = runs[-1].of_type("summary")[0]
        expected = whole.of_type("summary")[0]
        for key in ("samples", "accuracy", "windowed_accuracy", "twin_samples", "twin_accuracy"):
            self.assertEqual(summary[key], expected[key], key)
        # Not just as many samples: the very same predictions as without any crash.
        for who in ("node", "twin"):
            reference = stitched([whole], who)
            resumed = stitched(runs, who)
            self.assertEqual(len(resumed), len(reference))
            differing = [i for i, (a, b) in enumerate(zip(resumed, reference)) if a != b and a != "."]
            self.assertEqual(differing, [])

    def test_a_finished_stream_is_not_learned_twice(self):
        rows = samples(32, [(300, EVERYTHING)])
        config = self.configure("n", node="isolated = true", source=self.source(rows))
        for _ in range(2):
            status, out, error = run("run", "--config", config)
            self.assertEqual(status, 0, error)
            self.assertEqual(lines_of(out)[-1]["samples"], 300)
        self.assertEqual([line for line in lines_of(out) if line["type"] == "prediction"], [])

    def made_snapshot(self):
        config = self.configure("n", node="isolated = true", source=self.source(samples(33, [(300, EVERYTHING)])))
        self.assertEqual(run("run", "--config", config)[0], 0)
        return config, self.path("n.state", "snapshot")

    def refused(self, config, path, *words):
        """The node does not start, says why, and touches nothing."""
        with open(path, "rb") as file:
            before = file.read()
        status, out, error = run("run", "--config", config)
        self.assertEqual(status, 6, error)
        line = lines_of(out)[-1]
        self.assertEqual((line["type"], line["exit"]), ("error", 6))
        self.assert_mentions(line["text"], path, "away to start anew", *words)
        self.assertNotIn("ready", out)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), before)
        status, out, _ = run("check", "--config", config)
        self.assertEqual(status, 6, out)
        self.assert_mentions(out, "FAIL  snapshot")

    def test_a_torn_snapshot_is_refused_and_left_as_it_is(self):
        config, path = self.made_snapshot()
        with open(path, "rb") as file:
            whole = file.read()
        for keep in (0, 3, len(whole) // 2, len(whole) - 1):
            with open(path, "wb") as file:
                file.write(whole[:keep])
            self.refused(config, path)
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        with open(path, "wb") as file:
            file.write(flipped)
        self.refused(config, path)
        # As it was, it still loads: nothing was lost meanwhile.
        with open(path, "wb") as file:
            file.write(whole)
        status, out, _ = run("run", "--config", config)
        self.assertEqual((status, lines_of(out)[0]["samples"]), (0, 300))

    def test_a_snapshot_of_a_newer_version_is_refused(self):
        config, path = self.made_snapshot()
        with open(path, "rb") as file:
            body = bytearray(file.read())[:-4]
        body[4:8] = struct.pack("<I", struct.unpack("<I", body[4:8])[0] + 1)
        with open(path, "wb") as file:
            file.write(body + struct.pack("<I", zlib.crc32(body)))
        self.refused(config, path, "newer")

    def test_a_left_over_of_a_torn_write_is_ignored(self):
        config, path = self.made_snapshot()
        with open(path + ".new", "wb") as file:
            file.write(b"half of a sn")
        status, out, error = run("run", "--config", config)
        self.assertEqual(status, 0, error)
        self.assertEqual(lines_of(out)[0]["samples"], 300)

    def test_a_full_disk_costs_snapshots_but_not_learning(self):
        if os.geteuid() != 0:
            self.skipTest("needs root: a small file system is mounted")
        mount = self.path("small")
        os.mkdir(mount)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], capture_output=True).returncode:
            self.skipTest("cannot mount a tmpfs here")
        try:
            rows = samples(34, [(4000, EVERYTHING)])
            config = self.configure("n", state=False,
                                    node="isolated = true\nsnapshot_every_s = 0.1\nstate_dir = \"small/state\"",
                                    source=self.source(rows, rate=400), output="predictions = false")
            node = self.start_config(config)
            node.wait_line("progress", lambda line: line["samples"] >= 200)
            snapshot = os.path.join(mount, "state", "snapshot")
            wait_until(lambda: os.path.exists(snapshot), "a first snapshot")
            ballast = os.open(os.path.join(mount, "ballast"), os.O_WRONLY | os.O_CREAT)
            for size in (4096, 1):
                try:
                    while True:
                        os.write(ballast, b"x" * size)
                except OSError:
                    pass
            os.close(ballast)
            error = node.wait_line("error", timeout=30)
            self.assertEqual(error["code"], "snapshot")
            self.assert_mentions(error["text"], "no room", "free some space")
            at = node.of_type("progress")[-1]["samples"]
            node.wait_line("progress", lambda line: line["samples"] > at)  # learning goes on
            kept = os.path.getsize(snapshot)
            status, summary = node.terminate()
            self.assertEqual(status, 7)
            self.assertGreater(summary["samples"], at)
            self.assertEqual(os.path.getsize(snapshot), kept)
            status, out, _ = run("check", "--config", config)
            self.assertEqual(status, 7, out)
            self.assert_mentions(out, "FAIL  state")
            # With room again, the last good snapshot loads.
            os.remove(os.path.join(mount, "ballast"))
            node = self.start_config(config)
            self.assertGreater(node.ready()["samples"], 0)
            self.assertEqual(node.terminate()[0], 0)
        finally:
            for other in self.nodes:
                other.close()
            subprocess.run(["umount", mount], check=False)


if __name__ == "__main__":
    main()
