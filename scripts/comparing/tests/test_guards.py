#!/usr/bin/env python3
# Every guard trips where it must, and a good run trips none.

import unittest
from dataclasses import replace

from comparing import guards, scenario

CLOSED = scenario.Case("t", "t", ("cpu_us_per_call",), "same", 2.0, 0.5, 64, (scenario.Kind("eth_call", "100"),))
OPEN = replace(CLOSED, rate=1000.0, regime="cross")
REPORT = {
    "errors": 0,
    "first_error": None,
    "concurrency": 64,
    "served": 64,
    "answered": 2500,
    "calls": 2000,
    "unsent": 0,
    "batch": 1,
    "seconds": 2.0,
    "own_share": 0.3,
    "beside_share": 0.3,
    "watched_share": 0.4,
    "halves": [1000.0, 1010.0],
}
SEEN = {"calls": 2501, "connections": 64}


def run(case=CLOSED, seen=SEEN, **changes):
    kinds = {name: changes.pop(name) for name in ("cores", "proxy_core", "log_bytes", "correctness", "regime") if name in changes}
    return guards.Run(case, "lasso", {**REPORT, **changes}, seen, **{"regime": case.regime, **kinds})


class Guards(unittest.TestCase):
    def check(self, looked, *names):
        self.assertEqual(sorted(mark.guard for mark in guards.look(looked)), sorted(names))

    def test_a_good_run_trips_none(self):
        self.check(run())
        self.check(run(OPEN))
        self.check(run(cores={1: {0}, 2: {0}}))

    def test_errors(self):
        self.check(run(errors=1, first_error="status 502"), "errors")
        outage = replace(OPEN, providers=scenario.Providers(count=3, outage=scenario.Outage("refuses", 1, 2)))
        self.check(run(outage, errors=1))

    def test_connections(self):
        self.check(run(concurrency=63), "connections")
        self.check(run(served=60), "connections")
        self.check(run(OPEN, served=60))

    def test_somebody_else_answered(self):
        self.check(run(seen={"calls": 900, "connections": 64}), "provider")
        self.check(run(seen={"calls": 2501, "connections": 2500}), "reuse")
        self.check(run(seen=None))

    def test_unsent(self):
        self.check(run(OPEN, unsent=20), "unsent")
        self.check(run(OPEN, unsent=1))

    def test_generator(self):
        self.check(run(OPEN, own_share=0.5, beside_share=0.4), "generator")
        self.check(run(replace(CLOSED, regime="cross"), own_share=0.6, beside_share=0.39, watched_share=0.6), "generator")
        self.check(run(replace(CLOSED, regime="cross"), own_share=0.6, beside_share=0.39, watched_share=0.99))
        self.check(
            replace(run(replace(CLOSED, regime="cross"), own_share=0.6, beside_share=0.39, watched_share=0.0), lane="direct")
        )

    def test_time(self):
        self.check(run(seconds=0.3), "time")

    def test_cores(self):
        self.check(run(cores={1: {0}, 2: {0, 1}}), "cores")

    def test_warnings_do_not_reject(self):
        for looked, name in [
            (run(halves=[500.0, 1000.0]), "drift"),
            (run(log_bytes=1_000_000), "logs"),
            (run(watched_share=0.1), "company"),
        ]:
            self.check(looked, name)
            self.assertFalse(guards.look(looked)[0].rejects)

    def test_direct_must_be_above(self):
        rate = lambda *rates: [{"calls_per_second": one} for one in rates]  # noqa: E731
        self.assertEqual([mark.guard for mark in guards.above(CLOSED, "lasso", rate(950), rate(1000))], ["direct"])
        self.assertEqual(guards.above(CLOSED, "lasso", rate(500), rate(1000)), [])
        self.assertEqual(guards.above(OPEN, "lasso", rate(1000), rate(1000)), [])

    def test_subscribers(self):
        case = replace(CLOSED, mix=(), subscribers=scenario.Subscribers(100, 10))
        good = {"clients": 100, "own_share": 0.5}
        check = lambda report, seen: [
            mark.guard for mark in guards.subscribers(case, "lasso", report, seen, {1: {0}}, 0)
        ]  # noqa: E731
        self.assertEqual(check(good, {"most": 1}), [])
        self.assertEqual(check({**good, "clients": 99}, {"most": 1}), ["connections"])
        self.assertEqual(check(good, {"most": 2}), ["provider"])
        self.assertEqual(check({**good, "own_share": 0.99}, {"most": 1}), ["generator"])

    def test_correctness_says_nothing_of_speed(self):
        self.check(run(correctness=True, seconds=0.3, halves=[1.0, 2.0], log_bytes=10**6))
        self.check(run(correctness=True, errors=2, first_error="x"), "errors")


if __name__ == "__main__":
    unittest.main()
