#!/usr/bin/env python3
# The command: arguments, the building of what is needed, rotated rounds, and all outputs.

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from . import figures, guards, lanes, machine, measure, page, scenario, table, words
from .machine import Fault
from .processes import Bench

ROOT = Path(__file__).resolve().parent.parent.parent
# The document that has the table of all cases, between two marks.
FIGURES = ROOT / "docs" / "measuring.md"
QUICK_CELLS = ["100:64", "10k:64", "1m:64"]
FULL_CELLS = [f"{size}:{count}" for size in ("100", "10k", "1m") for count in (1, 64, 256)]
WARMUP_SECONDS = 0.4
# What `--correctness` makes of the large ones.
SMALL_SUBSCRIBERS, SMALL_WARMUP_SECONDS = 500, 0.2


def parser():
    one = argparse.ArgumentParser(
        prog="scripts/compare",
        description=(
            "Runs lasso, nginx, haproxy, a TCP relay and any other proxy through the same scenarios"
            " on this machine, side by side. loadtest/README.md says how to read it."
        ),
    )
    what = one.add_argument_group("what")
    what.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="a scenario of loadtest/scenarios, or a file; may be repeated",
    )
    what.add_argument("--all", action="store_true", help="all scenarios of loadtest/scenarios")
    what.add_argument("--scenarios", action="store_true", help="list them with their questions, and end")
    what.add_argument(
        "--cells",
        default=None,
        help="SIZE:CONNECTIONS,... instead of scenarios, as 100:64,10k:1; default all of 100, 10k, 1m at 1, 64, 256",
    )
    what.add_argument("--quick", action="store_true", help="three cells, three rounds of a second: about two minutes")
    what.add_argument(
        "--rate", type=float, default=None, help="cells in an open loop at this many calls a second instead of the closed loop"
    )
    what.add_argument("--shape", choices=["hex", "logs"], default="hex", help="results of cells above 1,000 bytes")
    what.add_argument("--chunked", action="store_true", help="the provider answers in chunks")
    who = one.add_argument_group("who")
    who.add_argument(
        "--lanes",
        "--proxies",
        default=None,
        help=f"of {', '.join(lanes.LANES + lanes.EXTRA_LANES)}; default the first six and all peers",
    )
    who.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help=(
            "another proxy; COMMAND is started afresh for each run, on the proxy's core; {port}, {provider}, {providers},"
            " {folder} and {authority} in it are filled in, and are COMPARE_PORT ... in its environment"
        ),
    )
    who.add_argument(
        "--peer-url",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="where its calls go, as http://127.0.0.1:{port}/; once more with ws:// for WebSockets",
    )
    how = one.add_argument_group("how")
    how.add_argument("--rounds", type=int, default=None, help="default 5; 3 with --quick")
    how.add_argument(
        "--seconds",
        type=float,
        default=None,
        help="measured part of each run; default what the scenario says; for cells 2, or 1 with --quick",
    )
    how.add_argument("--warmup", type=float, default=None, help="seconds before it")
    how.add_argument(
        "--regime",
        choices=scenario.REGIMES,
        default=None,
        help="all on one core, or proxy and load on two; default what the scenario says, for cells one core",
    )
    how.add_argument("--syscalls", action="store_true", help="count the proxy's system calls too, with perf")
    how.add_argument("--no-build", action="store_true", help="take the binaries as they are")
    how.add_argument("--profile", default="release", help="cargo profile of the binaries; figures of another one mean nothing")
    how.add_argument(
        "--correctness",
        action="store_true",
        help="only whether answers are right: small loads, and no guard and no word about speed",
    )
    out = one.add_argument_group("outputs")
    out.add_argument("--json", type=Path, default=ROOT / "target" / "compare.json", help="all figures of every run")
    out.add_argument("--html", type=Path, default=None, help="a report of one file, without script")
    out.add_argument("--markdown", action="store_true", help="print the table of all cases in Markdown too")
    out.add_argument("--readme", action="store_true", help="--all, and put that table into docs/measuring.md between its marks")
    out.add_argument("--strict", action="store_true", help="exit 1 when a speed budget does not hold")
    return one


def pairs(one, flag, given):
    """NAME=VALUE, in order."""
    for word in given:
        name, found, value = word.partition("=")
        if not found or not name.replace("-", "").isalnum() or not value:
            one.error(f"{flag} {word}: expected NAME=…, with a name of letters, digits and hyphens")
        yield name, value


def peers_of(one, options):
    commands, urls = dict(pairs(one, "--peer", options.peer)), list(pairs(one, "--peer-url", options.peer_url))
    for name in commands:
        if name in lanes.LANES + lanes.EXTRA_LANES:
            one.error(f"--peer {name}: there is a lane of that name")
        if not any(url[0] == name for url in urls):
            one.error(f"--peer {name}: say with --peer-url {name}=URL where its calls go")
    for name, url in urls:
        if name not in commands:
            one.error(f"--peer-url {name}: there is no --peer {name}=COMMAND")
        if not url.startswith(("http://", "ws://")):
            one.error(f"--peer-url {name}={url}: expected http://127.0.0.1:{{port}}/… or ws://…")
    return {name: lanes.Peer(name, command, tuple(url for of, url in urls if of == name)) for name, command in commands.items()}


def arguments(words_given=None):
    one = parser()
    options = one.parse_args(words_given)
    options.all |= options.readme
    options.peers = peers_of(one, options)
    chosen = options.lanes.split(",") if options.lanes else [*lanes.LANES, *options.peers]
    known = [*lanes.LANES, *lanes.EXTRA_LANES, *options.peers]
    for name in chosen:
        if name not in known:
            one.error(f"--lanes {name}: choose of {', '.join(known)}")
    # A peer that was named is meant, also beside --lanes.
    options.lanes = list(dict.fromkeys([*chosen, *options.peers]))
    options.proxies = options.lanes
    options.rounds = options.rounds or (3 if options.quick else 5)
    if options.readme and (options.profile != "release" or options.rounds < figures.ROUNDS_TO_TELL or options.correctness):
        one.error("--readme wants figures: of the release profile, of three rounds or more, and not --correctness")
    if (options.all or options.scenario) and (options.cells or options.rate or options.quick or options.shape != "hex"):
        one.error("--cells, --quick, --rate and --shape are of cells; scenarios say these things themselves")
    return options


def chosen_cases(options):
    """All cases, in order, as the command line changes them."""
    if options.all or options.scenario:
        paths = scenario.ours() if options.all else []
        paths += [scenario.find(word) for word in options.scenario]
        found = [scenario.read(path) for path in dict.fromkeys(paths)]
    else:
        words_given = options.cells.split(",") if options.cells else QUICK_CELLS if options.quick else FULL_CELLS
        seconds = options.seconds or (1.0 if options.quick else 2.0)
        found = [scenario.cells(words_given, seconds, WARMUP_SECONDS, options.regime or "same")]
    return found, [changed(options, case) for one in found for case in one.cases]


def changed(options, case):
    if options.rate:
        case = replace(case, rate=options.rate)
    if options.shape == "logs":
        case = replace(case, mix=tuple(replace(kind, shape="hex" if kind.result.isdigit() else "logs") for kind in case.mix))
    if options.seconds:
        case = case.scaled(options.seconds)
    if options.warmup is not None:
        case = replace(case, warmup_seconds=options.warmup)
    if options.regime:
        case = replace(case, regime=options.regime)
    if case.regime == "cross" and len(os.sched_getaffinity(0)) < 2:
        case = replace(case, regime="same")
    if options.correctness:
        case = replace(case, warmup_seconds=min(SMALL_WARMUP_SECONDS, case.warmup_seconds))
    if options.correctness and case.subscribers:
        small = min(SMALL_SUBSCRIBERS, case.subscribers.clients)
        case = replace(case, subscribers=replace(case.subscribers, clients=small, events=4, interval_ms=250))
    return case


def prepare(options):
    """Installs and builds what is needed; the binaries. What cannot be installed says so in its lane."""
    wanted = {lanes.family(lane) for lane in options.lanes}
    missing = [package for name, package in lanes.PACKAGES.items() if name in wanted and not machine.find(name)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {' '.join(missing)}")
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *missing]):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode != 0:
                say(f"{' '.join(command)} failed: {done.stdout.strip()[-300:]}")
    if not options.no_build:
        say(f"building ({options.profile})")
        command = ["cargo", "build", "--locked", "--profile", options.profile, "--workspace", "--bins"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=ROOT)
        if done.returncode != 0:
            raise Fault(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / options.profile
    for name in ("loadtest", "lasso"):
        if not (target / name).exists():
            raise Fault(f"{target / name} is missing; run without --no-build")
    return target / "loadtest", target / "lasso"


def say(text):
    print(f"compare: {text}", file=sys.stderr, flush=True)


def rounds_of(bench, case, files):
    """Reports by lane, one for each round; each round starts with another lane."""
    names = bench.options.lanes
    reports = {name: [] for name in names}
    for number in range(bench.options.rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            report = measure.run(bench, name, case, bench.options.peers, files)
            reports[name].append(report)
            for mark in (mark for mark in report["marks"] if mark["rejects"]):
                say(f"{case.label}, {name}: {mark['guard']}: {mark['text'][:300]}")
    direct = [run for run in reports.get("direct", []) if "calls_per_second" in run]
    for name, runs in reports.items():
        good = [run for run in runs if "calls_per_second" in run]
        for mark in [] if bench.options.correctness else guards.above(case, name, good, direct):
            good[-1]["marks"].append(mark.__dict__)
    return reports


def compare(options):
    if options.readme and not table.has_marks(FIGURES):
        raise Fault(f"{FIGURES.relative_to(ROOT)} has not both marks, {table.BEGIN} and {table.END}")
    files = machine.raise_files()
    loadtest, lasso = prepare(options)
    scenarios, cases = chosen_cases(options)
    facts, versions = machine.facts(), lanes.versions(options.lanes, lasso)
    bench = Bench(options, None, Path(tempfile.mkdtemp(prefix="compare-")), loadtest, lasso)
    print(
        f"{words.machine(facts)}; {words.versions(versions)}; {facts['date']}; {options.rounds} rounds; load average before the"
        f" start {facts['load_average_before']}",
        flush=True,
    )
    report = {
        "command": shlex.join(["scripts/compare", *sys.argv[1:]]),
        "machine": facts,
        "versions": versions,
        "lanes": options.lanes,
        "options": {name: value for name, value in vars(options).items() if name not in ("json", "html", "peers", "proxies")},
        "scenarios": scenarios,
        "cases": [],
        "results": {},
        "runs": {},
        "budgets": [],
        "verdicts": [],
    }
    try:
        for case in cases:
            bench.machine = machine.cores(case.regime)
            shape = f"open loop at {case.rate:g}/s" if case.rate else "closed loop"
            say(f"{case.label}: {case.regime} core, {shape}, {case.seconds:g} s; {', '.join(options.lanes)}")
            add(options, report, case, rounds_of(bench, case, files))
            print(table.case_table(case, report["results"][case.label]), flush=True)
            # An hour's figures are not lost with its last minute.
            write_json(options, report)
    finally:
        bench.end_all()
        bench.clear()
    tell(options, report)
    rejected = any(one["rejected"] for of_case in report["results"].values() for one in of_case.values())
    return not rejected and not (options.strict and not all(one["holds"] for one in report["budgets"]))


def add(options, report, case, runs):
    """One more case, and what follows from all so far."""
    report["cases"].append(case)
    report["runs"][case.label] = runs
    report["results"][case.label] = figures.summary(case, runs)
    if not options.correctness:
        report["verdicts"] += figures.verdicts(case, report["results"][case.label])
        report["budgets"] = [] if options.rate else figures.judge(report["cases"], report["results"])


def write_json(options, report):
    options.json.parent.mkdir(parents=True, exist_ok=True)
    plain = {
        **report,
        "cases": [asdict(case) for case in report["cases"]],
        "scenarios": [asdict(one) for one in report["scenarios"]],
    }
    options.json.write_text(json.dumps(plain, indent=1, default=str) + "\n")


def tell(options, report):
    """All outputs behind the tables of the cases."""
    if report["budgets"]:
        print("\nspeed budgets")
    for one in report["budgets"]:
        print(f"  {'holds ' if one['holds'] else 'MISSED'} {one['what']}: {one['is']} (bar {one['bar']})")
    for heading, findings in words.sorted_out(report["verdicts"]).items():
        if findings:
            print(f"\nlasso: {heading[0].lower()}{heading[1:]}")
            print("\n".join(f"  {line}" for line in findings))
    if options.markdown or options.readme:
        text = table.markdown(report)
        print(f"\n{text}")
    if options.readme:
        table.put_into(FIGURES, text)
        print(f"{FIGURES.relative_to(ROOT)} has the table now")
    print(f"\nall figures: {options.json}")
    if options.html:
        options.html.write_text(page.page(report))
        print(f"report: {options.html}")


def list_scenarios():
    for path in scenario.ours():
        one = scenario.read(path)
        print(f"{one.name:15} {one.question}")
        for case in one.cases:
            print(f"{'':17} {case.name}")


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if options.scenarios:
            list_scenarios()
            return 0
        return 0 if compare(options) else 1
    except (Fault, scenario.Wrong) as fault:
        say(f"failed: {fault}")
        return 1
    except KeyboardInterrupt:
        return 130
