#!/usr/bin/env python3
# Whole runs of half a second: the example peer is measured and ended, proxies that cheat are rejected, and so is a load that the
# lane cannot carry. Needs the binaries of the profile that COMPARE_PROFILE names (ci).

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent.parent
CHEAT = f"{sys.executable} {Path(__file__).resolve().parent / 'cheat.py'}"


def compare(*words):
    """The exit code, the report, and what was said."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compare.json"
        command = [
            ROOT / "scripts/compare",
            "--no-build",
            "--profile",
            os.environ.get("COMPARE_PROFILE", "ci"),
            "--rounds",
            "1",
            "--seconds",
            "0.5",
            "--json",
            path,
            *words,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
        return done.returncode, json.loads(path.read_text()) if path.exists() else None, done.stdout + done.stderr


def peer(kind):
    return ["--lanes", "direct", "--peer", f"cheat={CHEAT} {kind} {{port}}", "--peer-url", "cheat=http://127.0.0.1:{port}/"]


class Runs(unittest.TestCase):
    def check_rejected(self, guard, lane, *words):
        code, report, said = compare(*words)
        self.assertEqual(code, 1, said)
        (results,) = report["results"].values()
        self.assertIn(guard, [mark["guard"] for mark in results[lane]["marks"] if mark["rejects"]], said)
        self.assertIn("REJECTED", said)
        return said

    def test_the_example_peer_is_measured_and_ended(self):
        code, report, said = compare(
            "--cells",
            "100:8",
            "--correctness",
            "--lanes",
            "direct",
            "--peer",
            "usual=loadtest/peers/nginx-usual",
            "--peer-url",
            "usual=http://127.0.0.1:{port}/",
        )
        self.assertEqual(code, 0, said)
        ((_, runs),) = report["runs"].items()
        run = runs["usual"][0]
        self.assertGreater(run["cpu_us_per_call"], 0)
        # Its master and its worker, which are gone.
        self.assertEqual(len(run["processes"]), 2)
        self.assertEqual([one for one in run["processes"] if Path(f"/proc/{one}").exists()], [])

    def test_who_answers_by_itself(self):
        self.check_rejected("provider", "cheat", "--cells", "100:4", *peer("echo"))

    def test_who_leaves_its_core(self):
        if os.cpu_count() > 1:
            self.check_rejected("cores", "cheat", "--cells", "100:4", *peer("stray"))

    def test_wrong_answers(self):
        self.check_rejected("failed", "cheat", "--cells", "100:4", *peer("wrong"))

    def test_a_rate_that_nobody_carries(self):
        self.check_rejected("unsent", "direct", "--cells", "10k:1", "--rate", "100000", "--warmup", "0.02", "--lanes", "direct")

    def test_who_does_not_start(self):
        said = self.check_rejected(
            "failed",
            "gone",
            "--cells",
            "100:1",
            "--lanes",
            "direct",
            "--peer",
            "gone=false",
            "--peer-url",
            "gone=http://127.0.0.1:{port}/",
        )
        self.assertIn("ended by itself with 1", said)


if __name__ == "__main__":
    unittest.main()
