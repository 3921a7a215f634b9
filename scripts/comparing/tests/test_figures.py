#!/usr/bin/env python3
# What follows from runs, and how it is said: verdicts, budgets, the tables and the page.

import contextlib
import io
import re
import tempfile
import unittest
from pathlib import Path

from comparing import drawing, figures, main, page, scenario, table, words

STEADY = scenario.read(scenario.find("steady"))
CASE = STEADY.cases[1]


def runs(*costs, marks=()):
    return [
        {
            "cpu_us_per_call": cost,
            "p99_us": 10 * cost,
            "peak_memory_kib": 2048,
            "memory_kib": 2000,
            "system_share": 0.5,
            "calls_per_second": 1e6 / cost,
            "p50_us": cost,
            "p999_us": 20 * cost,
            "marks": list(marks),
        }
        for cost in costs
    ]


def report(by_lane, case=CASE):
    results = {case.label: figures.summary(case, by_lane)}
    facts = {
        "cpu": "C <p>",
        "cores": 2,
        "usable_cores": 2,
        "kernel": "6",
        "memory_mib": 1024,
        "date": "today",
        "load_average_before": 0.1,
    }
    return {
        "command": "scripts/compare",
        "machine": facts,
        "versions": {"nginx": "1"},
        "lanes": list(by_lane),
        "options": {"rounds": 3, "profile": "release"},
        "scenarios": [STEADY],
        "cases": [case],
        "results": results,
        "runs": {case.label: by_lane},
        "budgets": figures.judge([case], results),
        "verdicts": figures.verdicts(case, results[case.label]),
    }


class Figures(unittest.TestCase):
    def words_of(self, ours, theirs):
        found = figures.verdicts(CASE, figures.summary(CASE, {"nginx": runs(*theirs), "lasso": runs(*ours)}))
        return {one["metric"]: one["word"] for one in found}

    def test_verdicts_need_every_round(self):
        self.assertEqual(self.words_of((8, 9, 8), (10, 11, 10))["cpu_us_per_call"], "wins")
        self.assertEqual(self.words_of((12, 12, 12), (10, 11, 10))["cpu_us_per_call"], "loses")
        self.assertEqual(self.words_of((9, 12, 9), (10, 11, 10))["cpu_us_per_call"], "untold")
        self.assertEqual(self.words_of((8, 9), (10, 11))["cpu_us_per_call"], "untold", "two rounds tell nothing")
        self.assertEqual(self.words_of((10, 10, 10), (10, 10, 10))["cpu_us_per_call"], "equal")
        self.assertEqual(
            self.words_of((9.99, 9.99, 9.99), (10, 10, 10))["cpu_us_per_call"], "untold", "too little to be worth a word"
        )

    def test_rejected_runs_have_no_verdict_and_stay(self):
        mark = {"guard": "errors", "text": "1 call failed", "rejects": True}
        told = report({"nginx": runs(10, 10, 10), "lasso": runs(8, 8, 8, marks=[mark])})
        self.assertEqual({one["word"] for one in told["verdicts"]}, {"void"})
        for text in (table.case_table(CASE, told["results"][CASE.label]), table.markdown(told), page.page(told)):
            self.assertIn("rejected", text.lower())
        self.assertIn("errors (3 of 3 rounds)", table.case_table(CASE, told["results"][CASE.label]))

    def test_budgets(self):
        held = {one["what"]: one["holds"] for one in report({"nginx": runs(10, 10, 10), "lasso": runs(6, 6, 6)})["budgets"]}
        self.assertEqual(held, {"lasso 100:64 cpu_us_per_call / nginx": True, "lasso 100:64 p99_us / nginx": True})
        missed = {one["what"]: one["holds"] for one in report({"nginx": runs(10, 10, 10), "lasso": runs(8, 8, 8)})["budgets"]}
        self.assertFalse(missed["lasso 100:64 cpu_us_per_call / nginx"])

    def test_lanes_that_cannot_stay_with_their_word(self):
        told = report(
            {
                "relay": [{"cannot": "one provider only", "marks": []}],
                "nginx": runs(10, 10, 10),
                "lasso": runs(12, 12, 12),
                "peer": [{"failed": "not ready <b>", "marks": [{"guard": "failed", "text": "not ready <b>", "rejects": True}]}],
            }
        )
        for text in (table.case_table(CASE, told["results"][CASE.label]), page.page(told)):
            self.assertIn("one provider only", text)
            self.assertIn("failed", text)
        self.assertIn("**more than** nginx 1.20", table.markdown(told))

    def test_the_page_is_one_file(self):
        shown = page.page(report({"nginx": runs(10, 11, 10), "lasso": runs(8, 8, 8)}))
        for word in ("<script", "http://", "https://", "url(", "@import", "C <p>"):
            self.assertFalse(word in shown, word)
        self.assertTrue("C &lt;p&gt;" in shown)
        self.assertTrue("In 3 comparisons lasso took less in every round in 2 " in shown)
        # The style is another report's: what is used of it must still be there.
        used = {one for each in re.findall(r'class="?([a-z0-9 -]+)', shown) for one in each.split()} - {
            "num",
            "case",
            "word",
            "how",
            "marks",
            "around",
            "own-lane",
            "drawn",
        }
        css = page.style()
        self.assertEqual({one for one in used if f".{one}" not in css}, set())

    def test_axes(self):
        axis = drawing.Axis([0.0, 900.0])
        self.assertEqual([words.tick("cpu_us_per_call", tick) for tick in axis.ticks()], ["0", "500"])
        self.assertEqual(
            [words.tick("p99_us", tick) for tick in drawing.Axis([200.0, 90_000.0]).ticks()],
            ["300", "1.00 ms", "3.00 ms", "10.0 ms", "30.0 ms", "100 ms"],
        )
        self.assertTrue(all(0 <= axis.place(value) <= 100 for value in (0, 1e-9, 1e300)))

    def test_the_document_is_changed_between_its_marks_only(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "measuring.md"
            path.write_text(f"a\n{table.BEGIN}\nold\n{table.END}\nb\n")
            self.assertTrue(table.has_marks(path))
            table.put_into(path, "new\n")
            self.assertEqual(path.read_text(), f"a\n{table.BEGIN}\nnew\n{table.END}\nb\n")
            for text in ("a\n", f"{table.BEGIN}\n", f"{table.END}\n{table.BEGIN}\n"):
                path.write_text(text)
                self.assertFalse(table.has_marks(path))
        self.assertTrue(table.has_marks(main.FIGURES))

    def test_arguments(self):
        peer = main.arguments(["--peer", "x=cmd {port}", "--peer-url", "x=http://127.0.0.1:{port}/", "--cells", "100:1"])
        self.assertEqual(
            (peer.lanes[-1], peer.peers["x"].url("http"), peer.peers["x"].url("ws")), ("x", "http://127.0.0.1:{port}/", None)
        )
        for wrong in (
            ["--peer", "x=cmd"],
            ["--peer-url", "x=http://127.0.0.1/"],
            ["--lanes", "apache"],
            ["--all", "--cells", "100:1"],
            ["--readme", "--profile", "ci"],
        ):
            with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                main.arguments(wrong)


if __name__ == "__main__":
    unittest.main()
