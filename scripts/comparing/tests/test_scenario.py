#!/usr/bin/env python3
# Scenario files: ours are right, and what is wrong is told with file, line and key.

import tempfile
import unittest
from pathlib import Path

from comparing import scenario

GOOD = """\
# What?

title = "T"
regime = "same"
seconds = 2
judged = ["cpu_us_per_call"]

[load]
connections = 4

[[load.mix]]
method = "eth_call"
result = "1k"

[[case]]
name = "a"

[[case]]
name = "b"
connections = 8
"""
OUTAGE = (
    GOOD.replace("connections = 4", "connections = 4\nrate = 10\ndeadline_ms = 100")
    + "\n[providers]\ncount = 2\n\n[providers.outage]\nfrom_second = 1\nto_second = 2\n"
)


class Files(unittest.TestCase):
    def read(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "t.toml"
            path.write_text(text)
            return scenario.read(path)

    def check(self, text, *said):
        with self.assertRaises(scenario.Wrong) as raised:
            self.read(text)
        for word in said:
            self.assertIn(word, str(raised.exception))

    def test_good_ones(self):
        one = self.read(GOOD)
        self.assertEqual(
            [(case.name, case.connections, case.mix[0].result) for case in one.cases], [("a", 4, "1k"), ("b", 8, "1k")]
        )
        self.assertEqual((one.title, one.question), ("T", "What?"))
        outage = self.read(OUTAGE).cases[0]
        self.assertEqual(outage.providers.outage, scenario.Outage("refuses", 1, 2))
        half = outage.scaled(1.0)
        self.assertEqual((half.seconds, half.providers.outage.from_second, half.providers.outage.to_second), (1.0, 0.5, 1.0))

    def test_ours(self):
        names = {scenario.read(path).name for path in scenario.ours()}
        wanted = "steady burst mixed batches websocket subscribers slow-clients outage slow-provider big-logs tls"
        self.assertEqual(names, set(wanted.split()))
        steady = scenario.read(scenario.find("steady"))
        self.assertEqual([scenario.cell_of(case) for case in steady.cases], ["100:1", "100:64", "100:256", "10k:64", "1m:64"])

    def test_wrong_ones_say_where(self):
        self.check(GOOD.replace("connections = 4", "conections = 4"), "t.toml:9:", "load.conections", "unknown")
        self.check(GOOD.replace("[load]", "[lod]\nx = 1\n[load]"), "t.toml:8:", "lod", "unknown")
        self.check(GOOD.replace("connections = 8", "weight = 8"), "t.toml:20:", "case.weight", "unknown")
        self.check(GOOD.replace('result = "1k"', "result = 1000"), "t.toml:13:", "load.mix.result", "a size")
        self.check(GOOD.replace('regime = "same"', 'regime = "both"'), "t.toml:4:", "regime", "same, cross")
        self.check(GOOD.replace('method = "eth_call"\n', ""), "t.toml:11:", "load.mix", "method is missing")
        self.check(GOOD.replace('judged = ["cpu_us_per_call"]', 'judged = ["speed"]'), "t.toml:6:", "judged")
        self.check(GOOD.replace("[[load.mix]]", "[load.mix]"), "t.toml:11:", "[[load.mix]]")
        self.check(GOOD.replace("# What?\n", ""), "t.toml:1:", "question")
        self.check(GOOD.replace("connections = 4", "connections = 4\nburst_calls = 3"), "t.toml:10:", "rate")
        self.check(GOOD.replace("seconds = 2", "seconds = = 2"), "t.toml", "line 5")
        self.check(OUTAGE.replace("to_second = 2", "to_second = 9"), "to_second", "within the 2")
        self.check(OUTAGE.replace("count = 2", "count = 1"), "providers.outage", "two providers")
        self.check(GOOD.replace('name = "b"', 'name = "b"\noutage = "hangs"'), "t.toml:20:", "no [providers.outage]")

    def test_names_and_cells(self):
        for word in ("nothing", "../steady"):
            with self.assertRaises(scenario.Wrong):
                scenario.find(word)
        cells = scenario.cells(["100:64", "1m:1"], 1.0, 0.4, "same").cases
        self.assertEqual([scenario.cell_of(case) for case in cells], ["100:64", "1m:1"])
        for word in ("100", "100:0", "1g:4", "100:5000"):
            with self.assertRaises(scenario.Wrong):
                scenario.cells([word], 1.0, 0.4, "same")


if __name__ == "__main__":
    unittest.main()
